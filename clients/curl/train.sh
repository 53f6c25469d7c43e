#!/bin/sh
# train.sh - two steps of training a small decoder on a sentence, in bfloat16, each layer checkpointed, compared with standard.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{
  "kind": "training_step", "strategy": "every_layer", "compare_with": "standard", "steps": 2,
  "workload": {"model": {"family": "decoder", "layers": 4, "d_model": 128, "heads": 4, "vocab": 256},
               "seq_len": 64, "batch": 2, "dropout": 0.1, "dtype": "bfloat16"},
  "text": "Four score and seven years ago our fathers brought forth, on this continent, a new nation, conceived in Liberty"}'
