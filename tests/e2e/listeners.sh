# listeners.sh - TLS, a socket in the file system, sockets from systemd, limits of one address; probes while planning is
# at its limit.
certificates=$root/tests/data/tls
tls="--cacert $certificates/authority.pem"

# begin FLAGS: a daemon that need not speak HTTP; sets pid, waits for its url file, sets url to what is in it.
begin() {
  rm -f "$dir/data/url"
  "$rematd" serve --data "$dir/data" --workers 0 "$@" >"$dir/log" 2>&1 &
  pid=$!
  until [ -s "$dir/data/url" ]; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  url=$(cat "$dir/data/url" 2>/dev/null)
}

# ---- TLS ----

begin --listen 127.0.0.1:0 --tls-cert "$certificates/server.pem" --tls-key "$certificates/server.key"
same "the url is https" https "${url%%:*}"
same "curl trusts the certificate" 200 "$(status $tls "$url/healthz")"
same "and the name in it" 200 "$(status $tls "https://localhost:${url##*:}/healthz")"
same "TLS 1.2 is spoken" 200 "$(status $tls --tls-max 1.2 "$url/healthz")"
code "TLS 1.1 is not" 35 curl -sS $tls --ciphers DEFAULT@SECLEVEL=0 --tls-max 1.1 --tlsv1.0 "$url/healthz"
code "without the authority nobody trusts it" 60 curl -sS "$url/healthz"
same "plain HTTP is not answered" 000 "$(status "http${url#https}/healthz")"
question='{"workload": {"model": "gpt2", "seq_len": 256, "batch": 1}}'
same "a long answer comes" 200 "$(status $tls "$url/v1/frontiers" -H "$json" -d "$question")"
head -c 300000 /dev/zero | tr '\0' ' ' >"$dir/spaces"
printf '%s' "$question" >>"$dir/spaces"
same "and one to a long question" 200 "$(status $tls "$url/v1/plans" -H "$json" --data-binary "@$dir/spaces")"
check "rematctl with --ca-file" "$rematctl" --server "$url" --ca-file "$certificates/authority.pem" health
check "and with REMATD_CA_FILE" env REMATD_CA_FILE="$certificates/authority.pem" REMATD_URL="$url" "$rematctl" version
code "and without either" 3 "$rematctl" --server "$url" health
id=$(REMATD_CA_FILE="$certificates/authority.pem" REMATD_URL="$url" submit "$(long_job 60)")
curl -sSN $tls --max-time 20 "$url/v1/jobs/$id/events" >"$dir/events" 2>&1 &
events=$!
until grep -q queued "$dir/events"; do kill -0 $events 2>/dev/null || break; sleep 0.05; done
same "cancelled while its events are heard" 200 "$(status $tls -X POST "$url/v1/jobs/$id/cancel")"
wait $events
check "the stream ends with the job" grep -q cancelled "$dir/events"
stop

# SIGHUP: the files are read again.
other="--cacert $certificates/other.pem"
renew() { cp "$certificates/$1.pem" "$dir/pair.pem" && cp "$certificates/$2.key" "$dir/pair.key" && kill -HUP "$pid"; }
cp "$certificates/server.pem" "$dir/pair.pem"
cp "$certificates/server.key" "$dir/pair.key"
begin --listen 127.0.0.1:0 --tls-cert "$dir/pair.pem" --tls-key "$dir/pair.key"
same "the first certificate" 200 "$(status $tls "$url/healthz")"
id=$(REMATD_CA_FILE="$certificates/authority.pem" REMATD_URL="$url" submit "$(long_job 60)")
curl -sSN $tls --max-time 20 "$url/v1/jobs/$id/events" >"$dir/events" 2>&1 &
events=$!
until grep -q queued "$dir/events"; do kill -0 $events 2>/dev/null || break; sleep 0.05; done
renew other other
check "after SIGHUP the second" until_status 200 $other "$url/healthz"
same "and no longer the first" 000 "$(status $tls "$url/healthz")"
same "which is as good" 200 "$(status $other --tls-max 1.2 -X POST "$url/v1/jobs/$id/cancel")"
wait $events
check "a connection from before goes on" grep -q cancelled "$dir/events"
renew server other
check "what does not belong together is said" until_said "the old certificate stays: --tls-key"
same "and the old one stays" 200 "$(status $other "$url/healthz")"
renew server server
check "the first again" until_status 200 $tls "$url/healthz"
stop
for files in "server.pem other.key --tls-key" "server.key server.key --tls-cert" "absent server.key --tls-cert"; do
  # shellcheck disable=SC2086
  set -- $files
  code "$1 with $2 does not start" 1 "$rematd" serve --listen 127.0.0.1:0 --data "$dir/data" \
    --tls-cert "$certificates/$1" --tls-key "$certificates/$2"
  says "and $3 is to blame" "$3"
done

# ---- a socket in the file system ----

socket=$dir/socket
begin --listen "unix:$socket"
same "the url is the socket" "unix:$socket" "$url"
same "it is its owner's alone" 600 "$(stat -c %a "$socket")"
same "curl asks there" 200 "$(status --unix-socket "$socket" http://localhost/healthz)"
same "another Host" 421 "$(status --unix-socket "$socket" http://elsewhere.example/healthz)"
check "rematctl asks there" "$rematctl" --server "unix:$socket" health
check "and plans there" env REMATD_URL="unix:$socket" "$rematctl" plan gpt2 --seq-len 256
mkdir "$dir/second"
code "a second daemon does not take it" 1 "$rematd" serve --listen "unix:$socket" --data "$dir/second"
says "and says why" "another process listens"
stop KILL
check "a killed daemon leaves its socket" test -S "$socket"
begin --listen "127.0.0.1:0,unix:$socket"
check "the next one takes it" "$rematctl" --server "unix:$socket" health
same "and listens on TCP beside it" 200 "$(status "$url/healthz")"
stop
same "a daemon that ends takes it away" no "$(test -e "$socket" && echo yes || echo no)"

# ---- systemd ----

rm -f "$dir/data/url"
"$root/tests/e2e/activate.py" "$dir/told" "$rematd" serve --data "$dir/data" --workers 0 >"$dir/log" 2>&1 &
pid=$!
until [ -s "$dir/data/url" ]; do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
same "serves the sockets it was handed" 2 "$(grep -c 'listening on' "$dir/log")"
url=$(cat "$dir/data/url")
same "by TCP" 200 "$(status "$url/healthz")"
same "and by file" 200 "$(status --unix-socket "$dir/told.socket" http://localhost/healthz)"
until grep -q READY "$dir/told"; do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
stop
for i in $(seq 100); do grep -q STOPPING "$dir/told" && break; sleep 0.05; done
same "tells when it is ready and when it stops" "READY=1 STOPPING=1 " "$(tr '\n' ' ' <"$dir/told")"
check "sockets that are not its own stay" test -S "$dir/told.socket"

# ---- limits ----

start --workers 0 --planning-threads 1 --planning-queue 1 --streams 1 --connections-per-address 24
direct=$(cat "$dir/data/url")
same "the contract, gzipped" 1f8b "$(curl -sS -H 'Accept-Encoding: gzip' "$direct/openapi.json" | head -c 2 | od -An -tx1 | tr -d ' ')"
check "is the same" sh -c "curl -sS --compressed '$direct/openapi.json' | cmp - '$root/docs/openapi.json'"
same "and plain to who does not take that" '{' "$(curl -sS -H "Accept-Encoding: gzip;q=0" "$direct/openapi.json" >"$dir/plain"; head -c 1 "$dir/plain")"
tag=$(curl -sSI "$direct/openapi.json" | tr -d '\r' | sed -n 's/^ETag: //p')
same "304 for who has it" 304 "$(status "$REMATD_URL/openapi.json" -H "If-None-Match: $tag")"
same "the whole contract" 200 "$(status "$REMATD_URL/openapi.json")"

# One search in the one thread, one in the queue: the third is too many, and everything else is answered.
search() {
  printf '{"graph": %s, "budget_bytes": %d, "strategy": {"name": "optimal_dag", "time_limit_seconds": 3}}' \
    "$(layered_graph 120)" "$1"
}
pids=
for i in 1 2 3 4; do
  search $((3000 + i)) >"$dir/search.$i"
  curl -sS --max-time 60 -o /dev/null -D "$dir/head.$i" -w '%{http_code}\n' "$REMATD_URL/v1/plans" -H "$json" \
    --data-binary "@$dir/search.$i" >"$dir/status.$i" &
  pids="$pids $!"
done
until grep -lq 503 "$dir"/status.* 2>/dev/null; do sleep 0.02; done
slowest=0
for i in $(seq 40); do
  for path in healthz readyz; do
    took=$(curl -sS -o /dev/null -w '%{http_code} %{time_total}' "$direct/$path" | awk '$1 == 200 { print int($2 * 1000) }')
    [ "${took:-100000}" -le "$slowest" ] || slowest=${took:-100000}
  done
done
check "40 probes of each kind while planning is full: the slowest took $slowest ms" test "$slowest" -lt 2000
same "what is not long is planned" 200 "$(status "$REMATD_URL/v1/plans?model=gpt2&seq_len=512&strategy=every_layer")"
# shellcheck disable=SC2086
wait $pids
same "one was planned, one waited, two were too many" "200 200 503 503 " "$(sort "$dir"/status.[1-4] | tr '\n' ' ')"
check "and were told when to come again" grep -qi '^retry-after: ' "$(grep -l 503 "$dir"/status.[1-4] | head -n 1 | sed 's/status/head/')"

id=$(submit "$(long_job 60)")
curl -sSN "$REMATD_URL/v1/jobs/$id/events" >"$dir/events" 2>&1 &
events=$!
until grep -q queued "$dir/events"; do kill -0 $events 2>/dev/null || break; sleep 0.05; done
same "a second stream is one too many" 503 "$(status "$REMATD_URL/v1/jobs/$id/events")"
kill $events
wait $events 2>/dev/null
"$rematctl" cancel "$id" >/dev/null
check "the daemon is well" "$rematctl" health
