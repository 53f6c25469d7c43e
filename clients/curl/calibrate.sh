#!/bin/sh
# calibrate.sh - how fast this machine is at each op, of few tokens, in a second or two; then a step planned on `host`.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' \
  -d '{"kind": "calibrate", "seconds": 1, "tokens": 64}'
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/plans?model=gpt2&seq_len=512&device=host"
