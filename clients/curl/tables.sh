#!/bin/sh
# tables.sh - the strategies, kernels, models and devices there are, and the contract as OpenAPI 3.1.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/strategies"
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/kernels"
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/models"
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/devices"
curl -sS --fail-with-body "$REMATD_URL/openapi.json" -o /dev/null -w "%{size_download} bytes of OpenAPI\n"
