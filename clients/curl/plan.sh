#!/bin/sh
# plan.sh - does a training step fit, under which strategy, at what cost? Nothing is run. GET, and POST with a config.json.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' \
  "$REMATD_URL/v1/plans?model=gpt2&seq_len=1024&batch=8&dtype=bfloat16&strategy=every_layer&device=a10-24gb"
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/plans" -H 'Content-Type: application/json' -d '{
  "workload": {"seq_len": 8192, "dtype": "bfloat16", "attention": "flash", "optimizer": "adamw_8bit",
    "model": {"hf_config": {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
      "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064}}},
  "strategy": "every_layer", "device": "h100-80gb", "include": ["layers", "apply"]}'
