#!/bin/sh
# cancel.sh - queues a long job, cancels it, and removes it once it has stopped.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

job=$(curl -sS --fail-with-body -o /dev/null -w '%header{location}' "$REMATD_URL/v1/jobs" \
  -H 'Content-Type: application/json' -d '{
  "kind": "sequential", "inputs": [{"shape": [1, 1024, 64], "random": {"seed": 1}}],
  "functions": [{"name": "layer", "repeat": 500, "functions": [{"name": "attention", "heads": 4, "projections": false}]}]}')
curl -sS --fail-with-body -w '\n' -X POST "$REMATD_URL$job/cancel"
tries=0
until curl -sS -f -X DELETE "$REMATD_URL$job" 2>/dev/null; do # 409 while it is still running
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || exit 1
  sleep 0.1
done
curl -sS -o /dev/null -w '%{http_code}\n' "$REMATD_URL$job"
