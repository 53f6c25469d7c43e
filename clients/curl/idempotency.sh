#!/bin/sh
# idempotency.sh - the same key and body twice are one job: a retry is safe.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"
key=$(date +%s%N)-$$

submit() {
  curl -sS --fail-with-body -o /dev/null -w '%header{location}' "$REMATD_URL/v1/jobs" \
    -H 'Content-Type: application/json' -H "Idempotency-Key: $key" \
    -d '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'
}
first=$(submit)
again=$(submit)
echo "$first = $again"
[ "$first" = "$again" ]
