# lib.sh - for the end-to-end tests: starts and stops a real daemon, and counts what passed. Sourced by bash.
#
# Between the tests and the daemon stands record.py, which keeps a copy of every byte in $dir/records for openapi.py.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rematd=${REMATD:-$root/bin/rematd}
rematctl=${REMATCTL:-$root/bin/rematctl}
export LC_ALL=C PATH="$root/bin:$PATH"
dir=$(mktemp -d)
mkdir "$dir/records"
pid=
recorder=
passed=0
failed=0
json='Content-Type: application/json'
file_type='Content-Type: application/octet-stream'

# start [FLAGS]: a daemon on a free port over $dir/data; sets pid and REMATD_URL.
start() {
  local tries=0
  : >"$dir/log"
  "$rematd" serve --listen 127.0.0.1:0 --data "$dir/data" "$@" >>"$dir/log" 2>&1 &
  pid=$!
  REMATD_URL=
  until [ -n "$REMATD_URL" ] && "$rematctl" health >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$pid" 2>/dev/null; then
      cat "$dir/log" >&2
      echo "the daemon does not start" >&2
      exit 1
    fi
    sleep 0.1
    REMATD_URL=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$dir/log" | head -n 1 || true)
    export REMATD_URL
  done
  record "${REMATD_URL##*:}"
}

# record PORT: from now on REMATD_URL leads through record.py.
record() {
  unrecord
  : >"$dir/recorder"
  "$root/tests/e2e/record.py" "$1" "$dir/records" >"$dir/recorder" &
  recorder=$!
  until grep -q : "$dir/recorder"; do
    kill -0 "$recorder" 2>/dev/null || exit 1
    sleep 0.02
  done
  REMATD_URL=$(cat "$dir/recorder")
}

unrecord() {
  [ -n "$recorder" ] || return 0
  kill "$recorder" 2>/dev/null || true
  wait "$recorder" 2>/dev/null || true
  recorder=
}

# stop [SIGNAL]: sets stopped to the daemon's exit code.
stop() {
  stopped=0
  [ -n "$pid" ] || return 0
  kill "-${1:-TERM}" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || stopped=$?
  pid=
}

cleanup() {
  stop KILL
  unrecord
  [ ! -d "$dir.postgres" ] || "$root/tests/postgres.sh" stop "$dir.postgres"
  rm -rf "$dir" "$dir.postgres"*
}
trap cleanup EXIT
trap 'exit 130' INT TERM

pass() {
  passed=$((passed + 1))
  echo "ok    $1"
}

fail() {
  failed=$((failed + 1))
  echo "FAIL  $1"
  sed 's/^/      /' "$dir/out" 2>/dev/null | tail -n 12
}

# check NAME COMMAND...: passes if the command does. Its output is in $dir/out.
check() {
  local name=$1
  shift
  if "$@" >"$dir/out" 2>&1; then pass "$name"; else fail "$name"; fi
}

# code NAME WANTED COMMAND...: passes if the command ends with that exit code.
code() {
  local name=$1 want=$2 got=0
  shift 2
  "$@" >"$dir/out" 2>&1 || got=$?
  if [ "$got" -eq "$want" ]; then pass "$name"; else
    echo "exit code $got, not $want" >>"$dir/out"
    fail "$name"
  fi
}

# says NAME PATTERN: passes if the last command's output has it.
says() {
  if grep -q -e "$2" "$dir/out"; then pass "$1"; else fail "$1"; fi
}

# same NAME WANTED GOT
same() {
  printf 'wanted %s\ngot    %s\n' "$2" "$3" >"$dir/out"
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1"; fi
}

# status CURL-ARGUMENTS...: the status code of an answer; the body goes to $dir/body.
status() {
  curl -sS -o "$dir/body" -w '%{http_code}' --max-time 60 "$@" 2>"$dir/curl" || true
}

# field FILE POINTER...
field() {
  "$rematctl" get "$@" 2>/dev/null
}

job_field() { # ID POINTER...
  local id=$1
  shift
  "$rematctl" -o json job "$id" >"$dir/job.json" && field "$dir/job.json" "$@"
}

# long_job REPEAT: the body of a job of that many layers, some tens of milliseconds each, without parameters to make.
long_job() {
  printf '{"kind": "sequential", "strategy": "every_layer", "inputs": [{"shape": [1, 1024, 64], "random": {"seed": 1}}],
    "functions": [{"name": "layer", "repeat": %s, "functions": [
      {"name": "attention", "heads": 4, "projections": false}]}]}' "$1"
}

# submit BODY: prints the id.
submit() {
  printf '%s' "$1" | "$rematctl" -o json submit - >"$dir/submitted.json" && field "$dir/submitted.json" /id
}

# until_state ID STATE SECONDS
until_state() {
  local tries=0
  until [ "$(job_field "$1" /state)" = "$2" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt $(($3 * 20)) ] || return 1
    sleep 0.05
  done
}

# until_status STATUS CURL-ARGUMENTS...: asks again for 10 s.
until_status() {
  local want=$1 tries=0
  shift
  until [ "$(status "$@")" = "$want" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
    sleep 0.05
  done
}

# until_said PATTERN, in the log
until_said() {
  local tries=0
  until grep -q -e "$1" "$dir/log"; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
    sleep 0.05
  done
}

# children: the daemon's worker processes.
children() {
  local stat
  for stat in /proc/[0-9]*/stat; do
    awk -v parent="$pid" '{ sub(/.*\) /, ""); split($0, f, " "); if (f[2] == parent) print FILENAME }' "$stat" 2>/dev/null |
      cut -d/ -f3 || true
  done
}

summary() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

# layered_graph N: a graph to post, {"nodes", "edges"}: N nodes with skips over five, and as many of a backward pass.
layered_graph() {
  awk -v n="$1" 'BEGIN {
    for (i = 0; i < n; i++)
      nodes = nodes sprintf("{\"id\": %d, \"seconds\": %d, \"bytes\": %d},", i, 1 + i * 7 % 5, 50 + i * 13 % 100)
    for (i = n - 1; i >= 0; i--)
      nodes = nodes sprintf("{\"id\": \"g%d\", \"seconds\": 2, \"bytes\": 60, \"phase\": \"backward\"}%s", i, i ? "," : "")
    for (i = 0; i < n; i++) {
      if (i) edges = edges sprintf("[%d, %d], [\"g%d\", \"g%d\"],", i - 1, i, i, i - 1)
      if (i > 4) edges = edges sprintf("[%d, %d],", i - 5, i)
      edges = edges sprintf("[%d, \"g%d\"]%s", i, i, i < n - 1 ? "," : "")
    }
    printf "{\"nodes\": [%s], \"edges\": [%s]}", nodes, edges
  }'
}
