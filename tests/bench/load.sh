#!/bin/sh
# load.sh - the daemon under load: plans at 1, 32 and 256 connections beside a handler that does nothing; jobs made
# durable a second; what the queue adds to a job; list pages over 100,000 stored jobs. One table a part.
# usage: load.sh IDLE_HANDLER [SECONDS] [JOBS_STORED]
set -eu
cd "$(dirname "$0")/../.."
idle=$1 seconds=${2:-5} stored=${3:-100000}
command -v wrk >/dev/null || .ci/install bench
work=$(mktemp -d)
pids=
finish() {
  for p in $pids; do kill "$p" 2>/dev/null || :; done
  wait
  rm -rf "$work"
}
trap finish EXIT

# serve NAME FLAGS...: a daemon over $work/NAME; sets daemon and url.
serve() {
  data=$work/$1
  shift
  rm -f "$data/url"
  bin/rematd serve --listen 127.0.0.1:0 --data "$data" "$@" >/dev/null 2>>"$work/log" &
  daemon=$! pids="$pids $!"
  for _ in $(seq 400); do
    [ -s "$data/url" ] && break
    sleep 0.05
  done
  url=$(cat "$data/url")
}
leave() {
  kill "$daemon"
  wait "$daemon" || :
}
# ask CONNECTIONS SECONDS ADDRESS ARGUMENTS...: requests a second, p50, p99, failures, requests
ask() {
  connections=$1 for=$2 address=$3
  shift 3
  threads=2
  [ "$connections" -gt 1 ] || threads=1
  wrk -t$threads -c"$connections" -d"${for}s" -s tests/bench/load.lua "$address" -- "$@" | sed -n 's/^round //p'
}
row() { # NAME FIGURES...
  name=$1
  shift
  printf '%-44s %10s %10s %10s %8s\n' "$name" "$1" "$2" "$3" "$4"
}
head() { printf '\n%-44s %10s %10s %10s %8s\n' "$1" "a second" "p50, ms" "p99, ms" failed; }

echo "$(nproc) cores shared with wrk, $seconds s a row"

# ---- plans ----
mkfifo "$work/hold"
"$idle" <"$work/hold" >"$work/port" &
pids="$pids $!"
exec 9>"$work/hold"
serve plans --workers 0 --connections 1024
head "plans"
query="model=gpt2&seq_len=1024&batch=8&dtype=bfloat16&strategy=every_layer"
for connections in 1 32 256; do
  # shellcheck disable=SC2046
  row "nothing done, $connections connections" $(ask $connections "$seconds" "http://127.0.0.1:$(cat "$work/port")/" get)
  # shellcheck disable=SC2046
  row "GET /v1/plans, $connections connections" $(ask $connections "$seconds" "$url/v1/plans?$query" get)
done
leave

# ---- jobs filed ----
serve jobs --workers 0 --connections 1024 --queue-limit 10000000
head "jobs on disk (fsync each or together)"
first=0
for connections in 1 32 256; do
  # shellcheck disable=SC2046
  row "POST /v1/jobs, $connections connections" $(ask $connections "$seconds" "$url/v1/jobs" post "$first")
  first=$((first + 1000000))
done
count() { python3 - "$work/jobs/rematd.db" <<'P'
import sqlite3, sys
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT count(*) FROM jobs").fetchone()[0])
P
}
while [ "$(count)" -lt "$stored" ]; do
  ask 64 5 "$url/v1/jobs" post "$first" >/dev/null
  first=$((first + 1000000))
done
head "pages of 100 over $(count) jobs"
middle=$(python3 - "$work/jobs/rematd.db" <<'P'
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
n = db.execute("SELECT count(*) FROM jobs").fetchone()[0]
print(db.execute("SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET ?", (n // 2,)).fetchone()[0])
P
)
for page in "" "&page_token=$middle" "&state=queued" "&state=failed" "&kind=plan" "&state=queued&kind=plan"; do
  # shellcheck disable=SC2046
  row "GET /v1/jobs?page_size=100$(echo "$page" | sed 's/=\(........\)-.*/=(middle)/')" \
    $(ask 1 2 "$url/v1/jobs?page_size=100$page" get)
done
leave

# ---- jobs run ----
n=10000
serve drain --workers 0 --queue-limit 10000000 --connections 1024
first=0
drained() { sqlite_count "$work/drain/rematd.db" "$1"; }
sqlite_count() { python3 - "$1" "$2" <<'P'
import sqlite3, sys
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10).execute(sys.argv[2]).fetchone()[0])
P
}
while [ "$(drained 'SELECT count(*) FROM jobs')" -lt $n ]; do
  ask 32 1 "$url/v1/jobs" post "$first" >/dev/null
  first=$((first + 1000000))
done
leave
begun=$(date +%s.%N)
serve drain --workers 1 --threads 1
while [ "$(drained 'SELECT count(*) FROM jobs WHERE state < 2')" -gt 0 ]; do sleep 0.2; done
ended=$(date +%s.%N)
all=$(drained 'SELECT count(*) FROM jobs')
bad=$(drained 'SELECT count(*) FROM jobs WHERE state <> 2')
ran=$(drained "SELECT sum(json_extract(result, '\$.time.forward_seconds') + json_extract(result, '\$.time.recompute_seconds') + json_extract(result, '\$.time.backward_seconds')) FROM jobs")
echo
awk -v n="$all" -v b="$begun" -v e="$ended" -v ran="$ran" -v bad="$bad" 'BEGIN {
  printf "%d jobs drained by one worker in %.1f s: %.2f ms a job, of which computing %.3f ms; %d failed\n", n, e - b, (e - b) * 1000 / n, ran * 1000 / n, bad }'
