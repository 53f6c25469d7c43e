#!/bin/sh
# auto.sh - the fastest strategy that fits a budget.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{
  "kind": "attention", "strategy": "auto", "budget_bytes": 4000000,
  "inputs": {"q": {"shape": [4, 256, 64], "random": {"seed": 1}},
             "k": {"shape": [4, 256, 64], "random": {"seed": 2}},
             "v": {"shape": [4, 256, 64], "random": {"seed": 3}}}}'
