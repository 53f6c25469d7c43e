# frontier.sh - memory against recomputation: which strategies none of the others beats, at most six of them.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/frontiers" -H 'Content-Type: application/json' -d '{
  "workload": {"model": "llama-3-8b", "seq_len": 8192, "dtype": "bfloat16", "attention": "flash"},
  "device": "h200-141gb", "points": 6}'
