# wire.sh - every case of tests/wire, over HTTP: jobs to /v1/explain, which plans them and runs nothing. What the answers
# say is tested where the cases are; here openapi.py sees them all.
start
for file in "$root"/tests/wire/tensors/*; do
  check "upload ${file##*/}" "$rematctl" upload "$file"
done

# to_curl: standard input's questions as a curl configuration.
to_curl() {
  awk -v url="$REMATD_URL" '
    /^#/ || /^$/ { next }
    n++ % 2 { next }
    {
      method = $1; target = $2
      body = substr($0, length(method) + length(target) + 3)
      gsub(/[\\"]/, "\\\\&", body)
      if (n > 1) print "next"
      print "silent\ngloboff\noutput = /dev/null\nwrite-out = \"%{http_code}\\n\"\nurl = \"" url target "\""
      if (method == "POST") print "header = \"Content-Type: application/json\"\ndata-binary = \"" body "\""
    }'
}

cat "$root"/tests/wire/plans/* >"$dir/cases"
awk '/^#/ || /^$/ { next } n++ % 2 { print $1 }' "$dir/cases" >"$dir/wanted"
to_curl <"$dir/cases" >"$dir/curlrc"
curl -K "$dir/curlrc" >"$dir/got"
check "plans, capacity, frontiers: the status of every case" diff "$dir/wanted" "$dir/got"

for kind in ok bad; do
  for request in "$root"/tests/wire/$kind/*/request.json; do
    printf 'next\nsilent\noutput = /dev/null\nwrite-out = "%s %%{http_code}\\n"\n' "$(basename "$(dirname "$request")")"
    printf 'url = "%s/v1/explain"\nheader = "Content-Type: application/json"\ndata-binary = "@%s"\n' "$REMATD_URL" "$request"
  done | sed 1d >"$dir/curlrc"
  curl -K "$dir/curlrc" >"$dir/$kind"
done
# explain has no single plan of a savings job, of one that plans or of one that calibrates, to show
check "jobs that are fine: 200" sh -c '! grep -v -e " 200$" -e "^savings" -e "^plan-" -e "^calibrate" "$1"' - "$dir/ok"
check "jobs that are not: 4xx" sh -c '! grep -v -e " 4..$" -e past-memory "$1"' - "$dir/bad"
