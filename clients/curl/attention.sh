#!/bin/sh
# attention.sh - checkpointed attention, forward and backward, compared with standard attention bit for bit.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{
  "kind": "attention", "mask": "causal", "strategy": "checkpointed", "compare_with": "standard",
  "inputs": {"q": {"shape": [1, 8, 256, 64], "random": {"seed": 1}},
             "k": {"shape": [1, 8, 256, 64], "random": {"seed": 2}},
             "v": {"shape": [1, 8, 256, 64], "random": {"seed": 3}}}}'
