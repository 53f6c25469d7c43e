# tokens.sh - who may ask: tokens and scopes of every route, SIGHUP, rates, pages from elsewhere. What openapi.json says
# of each operation's scope is what the daemon does.

# new_token NAME SCOPES: adds one to $dir/tokens and leaves it in $dir/NAME.token.
new_token() {
  "$rematd" token "$1" --scopes "$2" >"$dir/new" || return 1
  sed -n 2p "$dir/new" >>"$dir/tokens"
  sed -n 1p "$dir/new" >"$dir/$1.token"
}

bearer() { # NAME
  printf 'Authorization: Bearer %s' "$(cat "$dir/$1.token")"
}

# operations TOKEN-NAME: every operation of the document, asked with that token (none: ""): "STATUS METHOD PATH SCOPE".
operations() {
  python3 - "$root/docs/openapi.json" <<'EOF' >"$dir/operations"
import json, re, sys
document = json.load(open(sys.argv[1]))
for path, item in document["paths"].items():
    for method in ("get", "head", "put", "post", "delete"):
        if method in item:
            security = item[method].get("security", document["security"])
            print(method.upper(), re.sub("{[^}]*}", "x", path), security[0]["bearer"][0] if security else "open")
EOF
  local auth=X-Nobody: method path scope
  [ -z "$1" ] || auth=$(bearer "$1")
  while read -r method path scope; do
    [ "$scope" != "${2:-}" ] || continue
    [ "$method" = HEAD ] && method='HEAD --head' # curl would wait for a body
    # shellcheck disable=SC2086
    [ "$path" != /v1/events ] || path="$path?job=x" # it would go on for ever
    echo "$(status "$REMATD_URL$path" -H "$auth" -X $method) ${method%% *} $path $scope"
  done <"$dir/operations"
}

# ---- files that are none ----
rm -f "$dir/tokens" "$dir"/*.token
code "a name is needed" 2 "$rematd" token
code "a scope that is none" 2 "$rematd" token a --scopes write
says "is named" "'write' is not a scope"
printf 'a read 12ab\n' >"$dir/bad"
code "a file with a short hash refuses to start" 1 "$rematd" serve --listen 127.0.0.1:0 --data "$dir/data" --tokens "$dir/bad"
says "with its line" "$dir/bad, line 1: "
code "another machine's address without tokens" 2 "$rematd" serve --listen 0.0.0.0:0 --data "$dir/data"
says "names the flag" "--tokens"

# ---- scopes ----
check "three tokens" eval 'new_token reader read && new_token worker submit && new_token chief admin'
same "each its own" 3 "$(sort -u "$dir"/*.token | wc -l)"
start --tokens "$dir/tokens" --rate 0

operations "" >"$dir/seen"
same "without a token: 401, but of what is open" "" "$(grep -v -e '^401 .* \(read\|submit\|admin\)$' -e '^\(200\|404\) .* open$' "$dir/seen")"
same "what is open" "/ /docs /docs/x /healthz /page.css /page.js /page.svg /readyz /version" "$(awk '/ open$/ { print $3 }' "$dir/seen" | sort | xargs)"
operations reader read >"$dir/seen"
same "a token that may read: 403 where something is written" "" "$(grep -v -e '^403 .* submit$' -e '^\(200\|404\) .* open$' "$dir/seen")"
check "there is something to write" grep -q submit "$dir/seen"
operations worker submit >"$dir/seen"
same "a token that may submit alone: 403 where something is read" "" "$(grep -v -e '^403 .* read$' -e '^\(200\|404\) .* open$' "$dir/seen")"
operations chief >"$dir/seen"
same "admin may do all" "" "$(grep '^40[13] ' "$dir/seen")"

same "the scope that is missing is named" 403 "$(status "$REMATD_URL/v1/jobs" -H "$(bearer reader)" -H "$json" -d "$(long_job 1)")"
check "in words" grep -q "scope 'submit'" "$dir/body"
curl -sS -o /dev/null -D "$dir/head" "$REMATD_URL/v1/jobs"
check "401 says how" grep -qi '^www-authenticate: Bearer ' "$dir/head"
code "rematctl without a token" 4 "$rematctl" jobs
same "a job says whose it is" "202 worker" \
  "$(status "$REMATD_URL/v1/jobs" -H "$(bearer worker)" -H "$json" -d "$(long_job 1)") $(field "$dir/body" /submitter)"
code "rematctl --token-file" 0 "$rematctl" --token-file "$dir/reader.token" jobs
code "REMATD_TOKEN" 0 env REMATD_TOKEN="$(cat "$dir/reader.token")" "$rematctl" jobs
code "a token that may not" 4 env REMATD_TOKEN="$(cat "$dir/reader.token")" "$rematctl" cancel none
code "--token-file wins" 0 env REMATD_TOKEN=wrong "$rematctl" --token-file "$dir/reader.token" jobs
code "a token file that is not there" 6 "$rematctl" --token-file "$dir/none" jobs
long_job 1 >"$dir/job.json"
code "a job of one is seen by others" 0 eval '"$rematctl" --token-file "$dir/chief.token" submit --wait "$dir/job.json" &&
  "$rematctl" --token-file "$dir/reader.token" jobs | grep -q succeeded'

# ---- SIGHUP ----
new_token late read
same "a new token, not read yet" 401 "$(status "$REMATD_URL/v1/jobs" -H "$(bearer late)")"
kill -HUP "$pid"
check "after SIGHUP it may ask" until_status 200 "$REMATD_URL/v1/jobs" -H "$(bearer late)"
cp "$dir/tokens" "$dir/good"
sed -i 's/^reader .*/reader everything &/' "$dir/tokens"
kill -HUP "$pid"
check "a bad file is told of" until_said "the old tokens stay: $dir/tokens, line 1: "
same "and the old ones stay" 200 "$(status "$REMATD_URL/v1/jobs" -H "$(bearer reader)")"
grep -v '^late ' "$dir/good" >"$dir/tokens"
kill -HUP "$pid"
check "a token that was taken out may not" until_status 401 "$REMATD_URL/v1/jobs" -H "$(bearer late)"
same "the others may" 200 "$(status "$REMATD_URL/v1/jobs" -H "$(bearer reader)")"
stop
same "it ends as it should" 0 "$stopped"
same "no token is in the log" "" "$(grep -F -f <(cat "$dir"/*.token) "$dir/log")"
check "the log was one" grep -q http.request "$dir/log"

# ---- how often ----
start --tokens "$dir/tokens" --rate 1:3
same "three at once, not four" "200 200 200 429" "$(for _ in 1 2 3 4; do status "$REMATD_URL/v1/kernels" -H "$(bearer reader)"; echo; done | xargs)"
check "the kind of problem" grep -q /problems/too-many-requests "$dir/body"
same "the other token is not held back" 403 "$(status "$REMATD_URL/v1/kernels" -H "$(bearer worker)")"
same "nor are probes" "200 200 200 200 200" "$(for _ in 1 2 3 4 5; do status "$REMATD_URL/readyz"; echo; done | xargs)"
check "later it may again" until_status 200 "$REMATD_URL/v1/kernels" -H "$(bearer reader)"
stop

# ---- pages from elsewhere ----
start --allowed-origins https://lab.example
page='Origin: https://lab.example'
curl -sS -o /dev/null -D "$dir/head" "$REMATD_URL/v1/jobs" -X OPTIONS -H "$page" -H 'Access-Control-Request-Method: POST'
check "a page that is listed may ask whether it may" grep -qi '^access-control-allow-origin: https://lab.example' "$dir/head"
same "and post a job" 202 "$(status "$REMATD_URL/v1/jobs" -H "$page" -H "$json" -d "$(long_job 1)")"
same "another may not" 403 "$(status "$REMATD_URL/v1/jobs" -H 'Origin: https://evil.example' -H "$json" -d "$(long_job 1)")"
same "nor cancel, which takes no JSON" 403 "$(status "$REMATD_URL/v1/jobs/x/cancel" -X POST -H 'Origin: https://evil.example')"
same "nor ask whether it may" 405 "$(status "$REMATD_URL/v1/jobs" -X OPTIONS -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: POST')"
same "our own page may" 202 "$(status "$REMATD_URL/v1/jobs" -H "Origin: $REMATD_URL" -H "$json" -d "$(long_job 1)")"
stop

# ---- other machines ----
"$rematd" serve --listen 0.0.0.0:0 --data "$dir/data" --tokens "$dir/tokens" >"$dir/log" 2>&1 &
pid=$!
check "an address others reach, with tokens" until_said 'listening on http://0.0.0.0:'
stop
