#!/usr/bin/env bash
# page.sh - the page in a real browser: a daemon, Debian's chromium, and page.mjs, which fills the form and reads the answers.
# Left out with a word where there is no node, npm, chromium, or playwright-core to be had. Screenshots: build/page.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/../e2e/lib.sh"
to=$root/build/page
for tool in node npm chromium; do
  command -v "$tool" >/dev/null || { echo "test-page: left out, $tool is not here"; exit 0; }
done
mkdir -p "$to"
if [ ! -d "$to/node_modules/playwright-core" ] &&
  ! npm install --prefix "$to" --no-save --ignore-scripts --silent playwright-core@1.61.0 >"$dir/out" 2>&1; then
  echo "test-page: left out, npm does not give playwright-core"
  exit 0
fi
start --memory-limit 1G
NODE_PATH=$to/node_modules CHROMIUM=$(command -v chromium) node "$here/page.mjs" "$REMATD_URL" "$to" || failed=1
unrecord
check "every answer the page got is one that docs/openapi.json promises" "$here/../e2e/openapi.py" "$root/docs/openapi.json" "$dir/records"
summary
