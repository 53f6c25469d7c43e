#!/bin/sh
# explain.sh - the plan of a job, step by step, without running it.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/explain" -H 'Content-Type: application/json' -d '{
  "kind": "attention", "strategy": "checkpointed",
  "inputs": {"q": {"shape": [128, 64], "random": {"seed": 1}},
             "k": {"shape": [128, 64], "random": {"seed": 2}},
             "v": {"shape": [128, 64], "random": {"seed": 3}}}}'
