#!/bin/sh
# health.sh - alive, ready for work, and which version answers.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/healthz"
curl -sS --fail-with-body -w '\n' "$REMATD_URL/readyz"
curl -sS --fail-with-body -w '\n' "$REMATD_URL/version"
