#!/bin/sh
# savings.sh - what checkpointing saves, from three numbers; nothing is run.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/memory-savings?seq_len=2048&d_model=512&num_layers=12"
