# limits.sh - bodies too large, malformed, smuggled or many: answered, and the daemon goes on.
start --upload-limit 1M

head -c 2097152 /dev/zero | tr '\0' ' ' >"$dir/spaces"
same "2 MiB of JSON" 413 "$(status "$REMATD_URL/v1/jobs" -H "$json" --data-binary "@$dir/spaces")"
check "says what to use instead" grep -q /v1/tensors "$dir/body"
same "the same in chunks" 413 "$(status "$REMATD_URL/v1/jobs" -H "$json" -H 'Transfer-Encoding: chunked' --data-binary "@$dir/spaces")"
same "an upload beyond its limit" 413 "$(status "$REMATD_URL/v1/tensors" -H "$file_type" --data-binary "@$dir/spaces")"
same "a file that is no tensor file" 400 "$(status "$REMATD_URL/v1/tensors" -H "$file_type" --data-binary 'no tensors here')"
head -c 100 "$root/tests/data/minilm_river.safetensors" >"$dir/short"
same "a file that was cut off" 400 "$(status "$REMATD_URL/v1/tensors" -H "$file_type" --data-binary "@$dir/short")"
same "the wrong digest" 422 "$(status -X PUT "$REMATD_URL/v1/tensors/sha256:$(printf '%064d' 0)" -H "$file_type" \
  --data-binary "@$root/tests/data/minilm_river.safetensors")"
printf '%0400d' 0 | tr 0 '[' >"$dir/deep"
same "JSON that is too deep" 400 "$(status "$REMATD_URL/v1/jobs" -H "$json" --data-binary "@$dir/deep")"
same "not UTF-8" 400 "$(status "$REMATD_URL/v1/jobs" -H "$json" --data-binary "$(printf '{"kind": "\377"}')")"
same "a body that is compressed" 415 "$(status "$REMATD_URL/v1/jobs" -H "$json" -H 'Content-Encoding: gzip' -d '{}')"
same "another Host" 421 "$(status "$REMATD_URL/healthz" -H 'Host: elsewhere.example')"
same "a path that climbs" 400 "$(status --path-as-is "$REMATD_URL/v1/../healthz")"
same "a path with %00" 400 "$(status "$REMATD_URL/healthz%00")"
same "a negative size" 400 "$(status "$REMATD_URL/v1/memory-savings?seq_len=-1&d_model=1&num_layers=1")"
check "a size whose bytes overflow is refused" grep -q '^4' <<<"$(status \
  "$REMATD_URL/v1/memory-savings?seq_len=4294967295&d_model=4294967295&num_layers=4294967295")"

# raw TEXT: the first line of the answer to these bytes.
raw() {
  local answer=
  exec 3<>"/dev/tcp/127.0.0.1/${REMATD_URL##*:}" || return 1
  printf '%b' "$1" >&3
  answer=$(timeout 10 head -n 100 <&3)
  exec 3>&-
  printf '%s' "$answer" | sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p'
}
same "two Content-Lengths" 400 "$(raw 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\n{}')"
same "length and chunks together" 400 "$(raw 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}')"

printf '"%s/v1/memory-savings?seq_len=[1-200]&d_model=64&num_layers=2"\n' "$REMATD_URL" | sed 's/^/url = /' >"$dir/many"
same "200 requests, 20 at once" 200 "$(curl -sS -Z --no-progress-meter --parallel-max 20 -o /dev/null -w '%{http_code}\n' -K "$dir/many" | grep -c '^200$')"
check "the daemon is well" "$rematctl" health
