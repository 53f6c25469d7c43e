#!/bin/sh
# tensors.sh - attention on uploaded tensors; the outputs come back as safetensors, and one of them as npy.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"
data=$(dirname "$0")/../../tests/data
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

file=$(curl -sS --fail-with-body -o /dev/null -w '%header{location}' "$REMATD_URL/v1/tensors" \
  -H 'Content-Type: application/octet-stream' --data-binary "@$data/minilm_times.safetensors")
digest=${file##*/}
job=$(curl -sS --fail-with-body -o "$out/job.json" -w '%header{location}' "$REMATD_URL/v1/jobs" \
  -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{
  "kind": "attention", "strategy": "flash_checkpointed",
  "inputs": {"q": {"tensor": "'"$digest"'", "name": "q"},
             "k": {"tensor": "'"$digest"'", "name": "k"},
             "v": {"tensor": "'"$digest"'", "name": "v"}}}')
cat "$out/job.json"
curl -sS --fail-with-body -o "$out/all.safetensors" "$REMATD_URL$job/tensors"
curl -sS --fail-with-body -o "$out/output.safetensors" "$REMATD_URL$job/tensors/output"
curl -sS --fail-with-body -o "$out/grad_q.npy" -H 'Accept: application/x-npy' "$REMATD_URL$job/tensors/grad_q"
wc -c "$out/all.safetensors" "$out/output.safetensors" "$out/grad_q.npy"
