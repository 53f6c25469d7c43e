#!/bin/sh
# gpt2.sh - GPT-2 small (124 million parameters) trained for real: steps of 1,024 tokens with AdamW under five strategies, each
# in exactly the bytes that were predicted. `make gpt2` runs this; with a URL it asks the daemon there.
#
# usage: clients/gpt2.sh [URL] ; SEQ_LEN=1024 STEPS=1 in the environment
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
url=${1:-}
if [ -z "$url" ]; then
  "$root/bin/rematd" serve --listen 127.0.0.1:0 --data "$dir/data" >"$dir/log" 2>&1 &
  pid=$!
  tries=0
  until url=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$dir/log" 2>/dev/null | head -n 1) && [ -n "$url" ] &&
    "$root/bin/rematctl" --server "$url" health >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat "$dir/log" >&2; exit 1; }
    sleep 0.1
  done
fi

bad=0
first=
row='%-34s %-9s %13s %13s %13s %9s  %8s %8s %8s %8s  %s\n'
# shellcheck disable=SC2059 # one format for head and rows
printf "$row" STRATEGY ATTENTION PREDICTED MEASURED RSS "FLOP MORE" FORWARD AGAIN BACKWARD UPDATE LOSS
while IFS='|' read -r attention budget strategy; do
  printf '{"kind": "training_step", "strategy": %s, "steps": %s, %s "seed": 1,
    "workload": {"model": "gpt2", "seq_len": %s, "attention": "%s"}}' "$strategy" "${STEPS:-1}" \
    "${budget:+\"budget_bytes\": $budget,}" "${SEQ_LEN:-1024}" "$attention" >"$dir/job.json"
  "$root/bin/rematctl" --server "$url" -o json submit "$dir/job.json" --wait >"$dir/done.json" ||
    { cat "$dir/done.json" >&2; exit 1; }
  set -- $("$root/bin/rematctl" get "$dir/done.json" /result/memory/predicted_peak_bytes /result/memory/measured_peak_bytes \
    /result/memory/rss_growth_bytes /result/flops/recompute /result/flops/forward /result/flops/backward \
    /result/time/forward_seconds /result/time/recompute_seconds /result/time/backward_seconds /result/time/update_seconds \
    /result/loss /result/gradients_digest)
  chosen=$("$root/bin/rematctl" get "$dir/done.json" /result/strategy | sed 's/"name"://; s/["{}]//g')
  [ "$strategy" = '"auto"' ] && chosen="auto: $chosen"
  more=$(awk "BEGIN { printf \"%.1f%%\", 100 * $4 / ($5 + $6) }")
  # shellcheck disable=SC2059
  printf "$row" "$chosen" "$attention" "$1" "$2" "$3" "$more" "$(printf %.2f "$7")" "$(printf %.2f "$8")" \
    "$(printf %.2f "$9")" "$(printf %.2f "${10}")" "${11}"
  [ "$1" = "$2" ] || bad=1
  if [ "$attention" = standard ]; then
    [ "${first:-${12}}" = "${12}" ] || bad=1
    first=${12}
  fi
done <<'END'
standard||"standard"
standard||"every_layer"
standard||{"name": "selective", "ops": ["attention"]}
standard|3221225472|"auto"
flash||"standard"
flash||"every_layer"
END
[ "$bad" = 0 ] || { echo "gpt2: a peak is not the predicted one, or gradients differ" >&2; exit 1; }
echo "Every measured peak is the predicted one; all rows with standard attention have the same gradients, bit for bit."
