#!/usr/bin/env bash
# api.sh - the long form of tests/e2e/requests.sh: api.sh REQUESTS SEED. Then schemathesis over the same document, as a second
# opinion, where PyPI has it: what it says is shown, what api.py says counts.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/../e2e/lib.sh"
start --memory-limit 256M --workers 2 --threads 1
"$here/api.py" "$(cat "$dir/data/url")" --requests "$1" --seed "$2" || failed=1
kill -0 "$pid" || failed=1

venv=$root/build/schemathesis
if [ -x "$venv/bin/schemathesis" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q 'schemathesis>=4,<5'; } >"$dir/out" 2>&1; then
  "$venv/bin/schemathesis" run "$root/docs/openapi.json" --url "$(cat "$dir/data/url")" --phases examples,fuzzing \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --exclude-path '/v1/jobs/{id}/events' --max-examples "${EXAMPLES:-50}" --seed "$2" \
    --request-timeout 60 --no-color 2>&1 | tail -n 60
  kill -0 "$pid" || failed=1
else
  echo "schemathesis is left out: PyPI does not give it"
fi
[ "$failed" -eq 0 ]
