#!/usr/bin/env bash
# e2e.sh - the real daemon on a free port, spoken to by curl, rematctl and librematc; killed, restarted, drained.
#
# One line per check and "N passed, N failed" at the end. With arguments, only those parts: readme numbers curl command library
# memory crash restart drain limits. Needs bin/rematd, bin/rematctl and curl; leaves nothing behind.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

for part in ${*:-readme numbers curl command library memory crash restart drain limits}; do
  rm -rf "$dir/data"
  # shellcheck source=/dev/null
  . "$here/$part.sh"
  stop
done
summary
