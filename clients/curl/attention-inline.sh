#!/bin/sh
# attention-inline.sh - numbers in the request: two heads of queries share one of keys and values, with a mask and dropout.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{
  "kind": "attention", "strategy": "flash_checkpointed", "compare_with": "flash", "scale": 0.5,
  "mask": [[true, false], [true, true]], "dropout": {"p": 0.1, "seed": 7},
  "inputs": {"q": [[[1, 0], [0, 1]], [[1, 1], [-1, 1]]], "k": [[[1, 0], [0, 1]]], "v": [[[1, 2], [3, 4]]]}}'
