#!/bin/sh
# memory-savings-job.sh - the figures of savings.sh, and beside them what a run of both really held.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' \
  -d '{"kind": "memory_savings", "seq_len": 512, "d_model": 128, "num_layers": 4}'
