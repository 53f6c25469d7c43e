#!/bin/sh
# errors.sh - what a refusal looks like: problem+json, with a pointer to the field where one is to blame.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

# refused STATUS CURL-ARGUMENTS...: prints the answer, and fails unless it has that status.
refused() {
  want=$1
  shift
  answer=$(curl -sS -w ' %{http_code}' "$@")
  echo "$answer"
  [ "${answer##* }" = "$want" ]
}
json='Content-Type: application/json'

refused 400 "$REMATD_URL/v1/memory-savings?seq_len=many&d_model=512&num_layers=12"
refused 400 "$REMATD_URL/v1/jobs" -H "$json" -d '{"kind": "memory_savings", "seq_len": 1, "d_model": 1, "num_layers": 1, "colour": "red"}'
refused 400 "$REMATD_URL/v1/jobs" -H "$json" -d '{"kind": '
refused 404 "$REMATD_URL/v1/jobs/none"
refused 405 -X DELETE "$REMATD_URL/v1/memory-savings"
refused 415 "$REMATD_URL/v1/jobs" -H 'Content-Type: text/plain' -d '{}'
# More than any strategy can do: the answer says which budget would be enough.
refused 422 "$REMATD_URL/v1/jobs" -H "$json" -d '{
  "kind": "attention", "strategy": "auto", "budget_bytes": 100000,
  "inputs": {"q": {"shape": [1024, 64], "random": {"seed": 1}},
             "k": {"shape": [1024, 64], "random": {"seed": 2}},
             "v": {"shape": [1024, 64], "random": {"seed": 3}}}}'
