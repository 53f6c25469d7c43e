#!/bin/sh
# events.sh - what happens to a job, as it happens, until it has ended; then again, without the first three events.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

job=$(curl -sS --fail-with-body -o /dev/null -w '%header{location}' "$REMATD_URL/v1/jobs" \
  -H 'Content-Type: application/json' -d '{
  "kind": "sequential", "inputs": [{"shape": [1, 512, 64], "random": {"seed": 1}}],
  "functions": [{"name": "layer", "repeat": 100, "functions": [{"name": "attention", "heads": 4, "projections": false}]}]}')
curl -sS --fail-with-body -N "$REMATD_URL$job/events"
curl -sS --fail-with-body -N "$REMATD_URL$job/events" -H 'Last-Event-ID: 3' -H 'Accept: application/x-ndjson'
