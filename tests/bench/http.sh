#!/bin/sh
# http.sh - planning queries a second, beside a handler that does nothing: 32 connections, rounds in turn, medians.
# usage: http.sh IDLE_HANDLER [ROUNDS] [SECONDS]
set -eu
cd "$(dirname "$0")/../.."
handler=$1 rounds=${2:-11} seconds=${3:-1}
. tests/bench/wrk.sh
idle "$handler"
serve data --workers 0
query="model=gpt2&seq_len=1024&batch=8&dtype=bfloat16&strategy=every_layer"

# Processor time in milliseconds: a process's own, and that of the children this shell has waited for.
own_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$1/stat"; }
children_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($16 + $17) * 1000 / hz }' "/proc/$$/stat"; }

# NAME PID ADDRESS ARGUMENTS...: one round of that server, a line in NAME's file: requests a second, p50, p99, failures,
# microseconds of processor time a request of the server, and of the server and wrk together.
measure() {
  name=$1 pid=$2 address=$3
  shift 3
  own=$(own_ms "$pid") children=$(children_ms)
  wrk -t2 -c32 -d"${seconds}s" -s tests/bench/http.lua "$address" -- "$@" >"$work/out"
  children=$(children_ms | awk -v before="$children" '{ print $1 - before }')
  sed -n 's/^round //p' "$work/out" | awk -v ms="$(own_ms "$pid")" -v own="$own" -v wrk="$children" -v s="$seconds" \
    '{ printf "%s %.2f %.2f\n", $0, (ms - own) * 1000 / ($1 * s), (ms - own + wrk) * 1000 / ($1 * s) }' >>"$work/$name"
}

# There and back in turn: nobody is always the first, or always behind the same other.
for round in $(seq "$rounds"); do
  order="idle get post distinct"
  [ $((round % 2)) = 1 ] || order="distinct post get idle"
  for name in $order; do
    case $name in
    idle) measure idle "$idle_pid" "$idle_url" get ;;
    get) measure get "$daemon" "$url/v1/plans?$query" get ;;
    post) measure post "$daemon" "$url/v1/plans" post ;;
    distinct) measure distinct "$daemon" "$url" distinct "$round" ;;
    esac
  done
done

middle() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
median() { cut -d' ' -f"$2" "$work/$1" | middle; }
# Of each round's own pair: what else the machine does then weighs on both. $1 to $6 are its own, $7 to $12 are of idle.
ratio() { paste -d' ' "$work/$1" "$work/idle" | awk "{ printf \"%.3f\\n\", $2 }" | middle; }
cut -d' ' -f4 "$work"/idle "$work"/get "$work"/post "$work"/distinct | grep -qvx 0 && { echo "http.sh: some requests failed" >&2; exit 1; }
echo "$(nproc) cores shared with wrk, 32 connections, medians of $rounds rounds of $seconds s"
echo "CPU: microseconds a request, of the server and of server and wrk together; requests that so much allows, of idle's"
printf '%-34s %10s %8s %8s %8s %8s %8s %8s\n' "" requests/s "of idle" "p50, ms" "p99, ms" "CPU" "with wrk" "of idle"
row() {
  printf '%-34s %10s %8s %8s %8s %8s %8s %8s\n' "$2" "$(median "$1" 1)" "$(ratio "$1" '$1 / $7')" "$(median "$1" 2)" \
    "$(median "$1" 3)" "$(median "$1" 5)" "$(median "$1" 6)" "$(ratio "$1" '$12 / $6')"
}
row idle "a handler that does nothing"
row get "GET /v1/plans, asked before"
row post "POST /v1/plans, asked before"
row distinct "GET /v1/plans of GPT-2, never asked"
echo "the daemon's memory at most: $(sed -n 's/^VmHWM:[[:space:]]*//p' "/proc/$daemon/status")"
