#!/bin/sh
# sequential.sh - twelve layers of attention and feed-forward; every second one keeps only its input.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{
  "kind": "sequential", "strategy": {"name": "every_n", "n": 2}, "compare_with": "standard",
  "inputs": [{"shape": [1, 64, 64], "random": {"seed": 1}}],
  "functions": [{"name": "layer", "repeat": 12, "functions": [
    {"name": "attention", "heads": 4, "mask": "causal"},
    {"name": "ffn", "hidden": 256, "activation": "gelu", "seed": 1}]}]}'
