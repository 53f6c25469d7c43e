# answers.sh - the answers nobody else asks for: every operation, most of its statuses. openapi.py looks into them.
start

# answer WANTED METHOD PATH CURL-ARGUMENTS...
answer() {
  local want=$1 method=$2 path=$3
  shift 3
  same "$want $method ${path:0:60}" "$want" "$(status -X "$method" "$REMATD_URL$path" "$@")"
}

file=$root/tests/data/minilm_river.safetensors
digest=sha256:$(sha256sum "$file" | cut -d' ' -f1)
absent=sha256:$(printf '%064d' 0)
tiny='{"kind": "attention", "inputs": {"q": [[1, 0], [0, 1]], "k": [[1, 0], [0, 1]], "v": [[1, 2], [3, 4]]}}'
id=$(submit "$tiny")
code "a small job" 0 "$rematctl" wait "$id"
long=$(submit "$(long_job 600)")
stored=$("$rematctl" -o json upload "$root/tests/wire/tensors/qkv.safetensors" | "$rematctl" get - /tensor)
reader=$(submit "$(cat "$root/tests/wire/ok/attention-stored/request.json")")
plan='/v1/plans?model=gpt2&seq_len=64'

answer 201 PUT /v1/tensors -H "$file_type" --data-binary "@$file"
answer 201 PUT "/v1/tensors/$digest" -H "$file_type" --data-binary "@$file"
answer 400 PUT /v1/tensors/none -H "$file_type" --data-binary "@$file"
answer 415 POST /v1/tensors -H 'Content-Type: text/plain' -d x
answer 411 POST /v1/tensors -H "$file_type"
for method in POST PUT; do
  answer 400 $method /v1/tensors -H "$file_type" -d 'no tensors'
done
answer 411 PUT /v1/tensors -H "$file_type"
answer 415 PUT /v1/tensors -H 'Content-Type: text/plain' -d x
answer 411 PUT "/v1/tensors/$digest" -H "$file_type"
answer 415 PUT "/v1/tensors/$digest" -H 'Content-Type: text/plain' -d x
same "200 HEAD" 200 "$(status -I "$REMATD_URL/v1/tensors/$digest")"
same "304 HEAD" 304 "$(status -I "$REMATD_URL/v1/tensors/$digest" -H 'If-None-Match: *')"
same "400 HEAD" 400 "$(status -I "$REMATD_URL/v1/tensors/none")"
same "404 HEAD" 404 "$(status -I "$REMATD_URL/v1/tensors/$absent")"
answer 304 GET "/v1/tensors/$digest" -H "If-None-Match: \"$digest\""
answer 404 GET "/v1/tensors/$absent"
answer 400 GET /v1/tensors/none
answer 409 DELETE "/v1/tensors/$stored"
answer 204 DELETE "/v1/tensors/$digest"
answer 404 DELETE "/v1/tensors/$digest"
answer 400 DELETE /v1/tensors/none
answer 405 DELETE /v1/tensors

answer 404 GET "/v1/jobs/$id/tensors/none"
answer 404 GET /v1/jobs/none/tensors
answer 404 GET /v1/jobs/none/tensors/output
answer 409 GET "/v1/jobs/$long/tensors"
answer 409 GET "/v1/jobs/$long/tensors/output"
answer 406 GET "/v1/jobs/$id/tensors" -H 'Accept: text/html'
answer 406 GET "/v1/jobs/$id/tensors/output" -H 'Accept: image/png'
answer 200 GET "/v1/jobs/$id/tensors/output" -H 'Accept: application/x-npy'
answer 409 DELETE "/v1/jobs/$long"
answer 404 DELETE /v1/jobs/none
answer 404 GET /v1/jobs/none
answer 404 GET /v1/jobs/none/events
answer 404 POST /v1/jobs -H "$json" -d "{\"kind\": \"attention\", \"inputs\": {\"q\": {\"tensor\": \"$absent\"}, \"k\": [[1]], \"v\": [[1]]}}"
answer 404 POST /v1/explain -H "$json" -d "{\"kind\": \"attention\", \"inputs\": {\"q\": {\"tensor\": \"$absent\"}, \"k\": [[1]], \"v\": [[1]]}}"
answer 404 POST /v1/jobs/none/cancel
answer 200 POST "/v1/jobs/$reader/cancel"
answer 200 POST "/v1/jobs/$id/cancel"
check "the long job runs" until_state "$long" running 20
check "cancelling it: 200 or 202" grep -q '^20[02]$' <<<"$(status -X POST "$REMATD_URL/v1/jobs/$long/cancel")"
answer 400 GET '/v1/jobs?page_token=1'
answer 422 GET '/v1/jobs?state=asleep'
answer 200 GET '/v1/jobs?page_size=1'
answer 411 POST /v1/jobs -H "$json"
answer 202 POST /v1/jobs -H "$json" -H 'Idempotency-Key: a' -d "$tiny"
answer 202 POST /v1/jobs -H "$json" -H 'Idempotency-Key: a' -d "$tiny"
answer 422 POST /v1/jobs -H "$json" -H 'Idempotency-Key: a' -d "${tiny/4/5}"
answer 200 POST /v1/jobs -H "$json" -H 'Prefer: wait=30' -d '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'

tag=$(curl -sS -o /dev/null -w '%header{etag}' "$REMATD_URL$plan")
answer 304 GET "$plan" -H "If-None-Match: $tag"
answer 304 GET '/v1/capacity?model=gpt2&seq_len=64&find=batch&device=t4-16gb' -H 'If-None-Match: *'
for path in /v1/explain /v1/plans /v1/capacity /v1/frontiers; do
  answer 400 POST $path -H "$json" -d '{'
  answer 411 POST $path -H "$json"
  answer 415 POST $path -H 'Content-Type: text/plain' -d '{}'
  head -c 2097152 /dev/zero | status "$REMATD_URL$path" -H "$json" --data-binary @- >"$dir/status"
  same "413 POST $path" 413 "$(cat "$dir/status")"
  answer 405 PATCH $path
done
answer 422 POST /v1/frontiers -H "$json" -d '{"workload": {"model": "gpt0", "seq_len": 1}}'
answer 422 POST /v1/capacity -H "$json" -d '{"workload": {"model": "gpt0", "seq_len": 1}, "find": "batch", "budget_bytes": 1}'
answer 400 GET '/v1/plans?model=gpt2&seq_len=x'
answer 422 GET '/v1/plans?model=gpt0&seq_len=1'
answer 400 GET '/v1/capacity?model=gpt2'
answer 422 GET '/v1/capacity?model=gpt2&find=width&device=t4-16gb'
answer 422 POST /v1/explain -H "$json" -d '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'
# the deepest there is, every part of it: as much as a request can ask for, and more than an answer can hold
deepest='{"model": {"family": "decoder", "layers": 1000, "d_model": 4096, "heads": 32, "positions": "rotary", "experts": 64,
  "mlp": "swiglu", "norm": "rmsnorm", "qk_norm": true, "sandwich_norm": true}, "seq_len": 2048, "dropout": 0.1}'
answer 200 POST /v1/frontiers -H "$json" -d "{\"workload\": $deepest}" --max-time 30
answer 200 POST /v1/capacity -H "$json" -d "{\"workload\": $deepest, \"find\": \"seq_len\", \"budget_bytes\": 9000000000000000}" --max-time 30
answer 422 POST /v1/plans -H "$json" -d "{\"workload\": $deepest, \"strategy\": \"every_layer\", \"max_points\": 100000,
  \"include\": [\"timeline\", \"steps\", \"alive_at_peak\"]}"
check "says what to do" grep -q 'ask for less' "$dir/body"
for path in /index.html /v1 /v1/jobs/ /v1/plans/x; do
  answer 404 GET $path
done
answer 405 POST /healthz -H "$json" -d '{}'
answer 501 BREW /v1/plans
