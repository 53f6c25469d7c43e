#!/bin/sh
# load.sh - the daemon under load: plans at 1, 32 and 256 connections beside a handler that does nothing; jobs made
# durable a second; what the queue adds to a job; list pages over 100,000 stored jobs. One table a part.
# usage: load.sh IDLE_HANDLER [SECONDS] [JOBS_STORED] ['PART ...'], parts being plans, jobs, pages and drain
set -eu
cd "$(dirname "$0")/../.."
handler=$1 seconds=${2:-5} stored=${3:-100000} parts=${4:-plans jobs pages drain}
. tests/bench/wrk.sh

# asked NAME SQL: the one value that it has in that daemon's store.
asked() {
  python3 -c 'import sqlite3, sys; print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10).execute(sys.argv[2]).fetchone()[0])' \
    "$work/$1/rematd.db" "$2"
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
  wrk -t$threads -c"$connections" -d"${for}s" -s tests/bench/http.lua "$address" -- "$@" | sed -n 's/^round //p'
}
row() { # NAME FIGURES...
  name=$1
  shift
  printf '%-44s %10s %10s %10s %8s\n' "$name" "$1" "$2" "$3" "$4"
}
head() { printf '\n%-44s %10s %10s %10s %8s\n' "$1" "a second" "p50, ms" "p99, ms" failed; }

echo "$(nproc) cores shared with wrk, $seconds s a row"

plans() {
  idle "$handler"
  serve plans --workers 0 --connections 1024
  head "plans"
  query="model=gpt2&seq_len=1024&batch=8&dtype=bfloat16&strategy=every_layer"
  for connections in 1 32 256; do
    # shellcheck disable=SC2046
    row "nothing done, $connections connections" $(ask $connections "$seconds" "$idle_url" get)
    # shellcheck disable=SC2046
    row "GET /v1/plans, $connections connections" $(ask $connections "$seconds" "$url/v1/plans?$query" get)
  done
  leave
}

# file CONNECTIONS SECONDS: jobs, each another
first=0
file() {
  ask "$1" "$2" "$url/v1/jobs" jobs "$first"
}

jobs() {
  serve jobs --workers 0 --connections 1024 --queue-limit 10000000
  head "jobs on disk (fsync each or together)"
  for connections in 1 32 256; do
    # shellcheck disable=SC2046
    row "POST /v1/jobs, $connections connections" $(file $connections "$seconds")
    first=$((first + 1000000))
  done
  leave
}

# fill NAME JOBS CONNECTIONS: until so many are stored
fill() {
  while [ "$(asked "$1" "SELECT count(*) FROM jobs")" -lt "$2" ]; do
    file "$3" 1 >/dev/null
    first=$((first + 1000000))
  done
}

pages() {
  serve jobs --workers 0 --connections 1024 --queue-limit 10000000
  fill jobs "$stored" 64
  head "pages of 100 over $(asked jobs "SELECT count(*) FROM jobs") jobs"
  middle=$(asked jobs "SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET (SELECT count(*) / 2 FROM jobs)")
  for page in "" "&page_token=$middle" "&state=queued" "&state=failed" "&kind=plan" "&state=queued&kind=plan"; do
    # shellcheck disable=SC2046
    row "GET /v1/jobs?page_size=100$(echo "$page" | sed 's/=\(........\)-.*/=(middle)/')" \
      $(ask 1 2 "$url/v1/jobs?page_size=100$page" get)
  done
  leave
}

drain() {
  serve drain --workers 0 --queue-limit 10000000 --connections 1024
  fill drain 10000 32
  leave
  begun=$(date +%s.%N)
  serve drain --workers 1 --threads 1
  while [ "$(asked drain 'SELECT count(*) FROM jobs WHERE state < 2')" -gt 0 ]; do sleep 0.2; done
  ended=$(date +%s.%N)
  all=$(asked drain 'SELECT count(*) FROM jobs')
  bad=$(asked drain 'SELECT count(*) FROM jobs WHERE state <> 2')
  ran=$(asked drain "SELECT sum(json_extract(result, '\$.time.forward_seconds') + json_extract(result, '\$.time.recompute_seconds') + json_extract(result, '\$.time.backward_seconds')) FROM jobs")
  echo
  awk -v n="$all" -v b="$begun" -v e="$ended" -v ran="$ran" -v bad="$bad" 'BEGIN {
    printf "%d jobs drained by one worker in %.1f s: %.2f ms a job, of which computing %.3f ms; %d failed\n", n, e - b, (e - b) * 1000 / n, ran * 1000 / n, bad }'
}

for part in $parts; do
  $part
done
