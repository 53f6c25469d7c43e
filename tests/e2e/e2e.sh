#!/usr/bin/env bash
# e2e.sh - the real daemon on a free port, spoken to by curl, rematctl and librematc; killed, restarted, drained.
#
# One line per check and "N passed, N failed" at the end. With arguments, only those of its parts. In the end every answer
# that was given on the way is held against docs/openapi.json. Needs bin/rematd, bin/rematctl, curl and python3-jsonschema;
# leaves nothing behind, but with KEEP=DIRECTORY what was said.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

parts='readme operate page requests numbers curl command library events posted search memory training optimal calibrate jobs crash postgres jail restart drain limits listeners tokens answers wire'
for part in ${*:-$parts}; do
  rm -rf "$dir/data"
  # shellcheck source=/dev/null
  . "$here/$part.sh"
  stop
done
unrecord
every=
[ $# -gt 0 ] || every=--every
check "every answer is one that docs/openapi.json promises" "$here/openapi.py" "$root/docs/openapi.json" "$dir/records" $every
cat "$dir/out"
[ -z "${KEEP:-}" ] || cp -r "$dir/records" "$KEEP"
summary
