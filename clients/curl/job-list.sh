#!/bin/sh
# job-list.sh - the newest jobs that succeeded, two to a page (the Link header leads to the next), and one of them.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

job=$(curl -sS --fail-with-body -o /dev/null -w '%header{location}' "$REMATD_URL/v1/jobs" \
  -H 'Content-Type: application/json' -H 'Prefer: wait=60' \
  -d '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}')
curl -sS --fail-with-body -w '\n' -D - "$REMATD_URL/v1/jobs?state=succeeded&page_size=2"
curl -sS --fail-with-body -w '\n' "$REMATD_URL$job"
