#!/bin/sh
# upload.sh - sends the queries, keys and values of a real sentence; a file is named by what is in it.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"
cd "$(dirname "$0")/../../tests/data"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/tensors" -H 'Content-Type: application/octet-stream' \
  --data-binary @minilm_river.safetensors
digest=sha256:$(sha256sum minilm_river.safetensors | cut -d' ' -f1)
curl -sS --fail-with-body -w '\n' -X PUT "$REMATD_URL/v1/tensors/$digest" -H 'Content-Type: application/octet-stream' \
  --data-binary @minilm_river.safetensors
curl -sS --fail-with-body "$REMATD_URL/v1/tensors/$digest" | cmp - minilm_river.safetensors
