#!/bin/sh
# capacity.sh - the largest batch that fits a device, under two strategies; the next one does not fit.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

for strategy in standard every_layer; do
  curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/capacity?model=gpt2-xl&seq_len=1024&find=batch&dtype=bfloat16&attention=flash&strategy=$strategy&device=a100-80gb"
done
