#!/bin/sh
# swagger.sh - fetches what /docs is made of, swagger-ui-dist, with npm: swagger.sh DIRECTORY
# Where it can't be had, says so and leaves everything as it is: /docs then says how to get it.
set -eu
version=5.32.0
to=$1
if ! command -v npm >/dev/null; then
  echo "swagger: left out, npm is not here"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && npm pack --silent "swagger-ui-dist@$version" >/dev/null 2>&1); then
  echo "swagger: left out, npm has no swagger-ui-dist@$version for us"
  exit 0
fi
tar -xzf "$work"/swagger-ui-dist-*.tgz -C "$work"
mkdir -p "$to"
for file in swagger-ui-bundle.js swagger-ui.css LICENSE; do
  grep -v '^//# sourceMappingURL\|^/\*# sourceMappingURL' "$work/package/$file" >"$to/$file"
done
echo "swagger: $to has swagger-ui-dist $version; make builds it in"
