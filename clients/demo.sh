#!/bin/sh
# demo.sh - the whole of it in five blocks: starts a daemon on a free port, asks it with curl, stops it. `make demo` runs this.
#
# With a URL it asks the daemon there, in a container for one: clients/demo.sh http://127.0.0.1:8740
# Exit code 1 if a run was not bit for bit what it should be, or a measured peak is not the predicted one.
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd)
rematd=$root/bin/rematd
rematctl=$root/bin/rematctl
dir=$(mktemp -d)
pid=
bad=0
tab=$(printf '\t')
json='Content-Type: application/json'

stop() {
  if [ -n "$pid" ]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

die() {
  echo "demo: $*" >&2
  exit 1
}

start() {
  "$rematd" serve --listen 127.0.0.1:0 --data "$dir/data" >"$dir/log" 2>&1 &
  pid=$!
  tries=0
  until url=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$dir/log" | head -n 1) && [ -n "$url" ] &&
    "$rematctl" --server "$url" health >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] && kill -0 "$pid" 2>/dev/null || { cat "$dir/log" >&2; die "the daemon does not start"; }
    sleep 0.1
  done
}

# job BODY: runs it to its end; the job is in $dir/job.json.
job() {
  curl -sS --fail-with-body -o "$dir/job.json" "$url/v1/jobs" -H "$json" -H 'Prefer: wait=30' -d "$1" ||
    die "$(cat "$dir/job.json")"
  get /id /state
  case $value in
  *succeeded) ;;
  *) "$rematctl" --server "$url" -o json wait "${value%%"$tab"*}" >"$dir/job.json" || die "$(cat "$dir/job.json")" ;;
  esac
}

# get POINTER...: fields of the job, tabs between, in $value.
get() {
  value=$("$rematctl" get "$dir/job.json" "$@")
}

block() {
  printf '\n--- %s\n\n' "$1"
}

# verdict IDENTICAL PREDICTED MEASURED: counts what is not as it should be.
verdict() {
  [ "$1" = true ] && [ "$2" = "$3" ] || bad=$((bad + 1))
}

savings() {
  query="/v1/memory-savings?seq_len=2048&d_model=512&num_layers=12"
  body='{"kind": "memory_savings", "seq_len": 2048, "d_model": 512, "num_layers": 12}'
  block "1. What checkpointing saves: planned, and executed"
  printf '%s\n' "\$ curl -s '$url$query'" "\$ curl -s '$url/v1/jobs' -H '$json' -H 'Prefer: wait=30' \\" "    -d '$body'" ""
  curl -sS --fail-with-body -o "$dir/plan.json" "$url$query" || die "$(cat "$dir/plan.json")"
  planned=$("$rematctl" get "$dir/plan.json" /standard_memory_bytes /checkpointed_memory_bytes /standard_memory_mb \
    /checkpointed_memory_mb /memory_saved_pct /compute_overhead_pct)
  job "$body"
  get /result/measured/standard_memory_bytes /result/measured/checkpointed_memory_bytes \
    /result/measured/compute_overhead_pct /result/measured/time_overhead_pct \
    /result/measured/standard_peak_bytes /result/measured/checkpointed_peak_bytes
  IFS=$tab read -r standard checkpointed standard_mb checkpointed_mb saved overhead <<END
$planned
END
  IFS=$tab read -r ran_standard ran_checkpointed ran_overhead ran_time peak_standard peak_checkpointed <<END
$value
END
  printf 'Standard: %.1f MB        executed: %s bytes held (planned %s), peak %s\n' \
    "$standard_mb" "$ran_standard" "$standard" "$peak_standard"
  printf 'Checkpointed: %.1f MB    executed: %s bytes held (planned %s), peak %s\n' \
    "$checkpointed_mb" "$ran_checkpointed" "$checkpointed" "$peak_checkpointed"
  printf 'Memory saved: %.1f%%       executed: %s bytes\n' "$saved" $((ran_standard - ran_checkpointed))
  printf 'Compute overhead: %.1f%%   executed: %.1f%% of the operations, %.1f%% of the time\n' \
    "$overhead" "$ran_overhead" "$ran_time"
  verdict true "$standard" "$ran_standard"
  verdict true "$checkpointed" "$ran_checkpointed"
  verdict true "$(printf '%.6f' "$overhead")" "$(printf '%.6f' "$ran_overhead")"
}

memory='/result/memory/predicted_peak_bytes /result/memory/measured_peak_bytes'
seconds='/result/time/forward_seconds /result/time/recompute_seconds /result/time/backward_seconds'

attention_body() { # DIGEST STRATEGY COMPARE_WITH
  printf '{"kind": "attention", "strategy": "%s", "compare_with": "%s",\n' "$2" "$3"
  printf '         "inputs": {"q": {"tensor": "%s", "name": "q"},\n' "$1"
  printf '                    "k": {"tensor": "%s", "name": "k"},\n' "$1"
  printf '                    "v": {"tensor": "%s", "name": "v"}}}' "$1"
}

attention() {
  block "2. Attention on the queries, keys and values of a real sentence encoder (all-MiniLM-L6-v2)"
  printf '%s\n' "\$ curl -s '$url/v1/tensors' -H 'Content-Type: application/octet-stream' \\" \
    "    --data-binary @tests/data/minilm_gettysburg.safetensors" \
    "\$ curl -s '$url/v1/jobs' -H '$json' -H 'Prefer: wait=30' \\" \
    "    -d '$(attention_body sha256:... flash_checkpointed flash)'" ""
  printf '%s\n' "Bytes. SAVED is held for the backward when the forward ends; RSS is what the system saw the worker grow by." ""
  printf '%-10s %-18s %9s %9s %9s %9s  %-25s  %s\n' TEXT STRATEGY PREDICTED MEASURED RSS SAVED \
    "FORWARD AGAIN BACKWARD, s" "IDENTICAL TO"
  for text in river times gettysburg; do
    file=$(curl -sS --fail-with-body -o "$dir/file.json" -w '%header{location}' "$url/v1/tensors" \
      -H 'Content-Type: application/octet-stream' --data-binary "@$root/tests/data/minilm_$text.safetensors") ||
      die "$(cat "$dir/file.json")"
    for pair in standard:standard checkpointed:standard flash:flash flash_checkpointed:flash; do
      job "$(attention_body "${file##*/}" "${pair%:*}" "${pair#*:}")"
      # shellcheck disable=SC2086 # lists of words
      get $memory /result/memory/rss_growth_bytes /result/memory/saved_bytes $seconds /result/comparison/identical
      IFS=$tab read -r predicted measured growth saved forward again backward identical <<END
$value
END
      printf '%-10s %-18s %9s %9s %9s %9s   %.5f %.5f %.5f   %s: %s\n' "$text" "${pair%:*}" "$predicted" "$measured" \
        "$growth" "$saved" "$forward" "$again" "$backward" "${pair#*:}" "$identical"
      verdict "$identical" "$predicted" "$measured"
    done
  done
}

training_body() { # STRATEGY DTYPE
  printf '{"kind": "training_step", "strategy": %s, "compare_with": "standard", "steps": 3, "seed": 1,\n' "$1"
  printf '         "workload": {"seq_len": 256, "batch": 2, "dtype": "%s", "dropout": 0.1,\n' "$2"
  printf '           "model": {"family": "decoder", "layers": 6, "d_model": 192, "heads": 6, "vocab": 256, "mlp": "swiglu",\n'
  printf '                     "norm": "rmsnorm", "positions": "rotary", "kv_heads": 2, "bias": false}},\n'
  printf '         "tokens": {"tensor": "%s"}}' "$3"
}

# Whole steps of a small Llama-like model on a real text: forward, loss, backward, AdamW.
training() {
  block "3. Three steps of training a whole model on a real text (the GPL, byte by byte), dropout on"
  bytes=$(wc -c <"$root/tests/data/gpl-3.txt")
  { # the text as a vector of bytes in npy: magic, version, the header's length, the header padded to 118
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($bytes,), }"
    cat "$root/tests/data/gpl-3.txt"
  } >"$dir/text.npy"
  file=$(curl -sS --fail-with-body -o "$dir/file.json" -w '%header{location}' "$url/v1/tensors" \
    -H 'Content-Type: application/octet-stream' --data-binary "@$dir/text.npy") || die "$(cat "$dir/file.json")"
  printf '%s\n' "\$ curl -s '$url/v1/jobs' -H '$json' -H 'Prefer: wait=30' \\" \
    "    -d '$(training_body '"every_layer"' float32 sha256:...)'" ""
  printf '%-9s %-27s %9s %9s %9s %9s %9s  %-19s  %s\n' DTYPE STRATEGY PREDICTED MEASURED SAVED "PEAK LESS" "FLOP MORE" \
    "LOSS OF THREE STEPS" "BIT FOR BIT"
  for dtype in float32 bfloat16; do
    for strategy in '"standard"' '"every_layer"' '{"name": "every_n", "n": 2}' \
      '{"name": "selective", "ops": ["attention"]}'; do
      job "$(training_body "$strategy" "$dtype" "${file##*/}")"
      # shellcheck disable=SC2086 # lists of words
      get $memory /result/memory/saved_bytes /result/comparison/memory_saved_pct \
        /result/comparison/compute_overhead_pct /result/losses/0 /result/losses/1 /result/losses/2 \
        /result/comparison/identical
      IFS=$tab read -r predicted measured saved less more first second third identical <<END
$value
END
      printf '%-9s %-27s %9s %9s %9s %8.1f%% %8.1f%%   %.4f %.4f %.4f   standard: %s\n' "$dtype" \
        "$(echo "$strategy" | sed 's/"name": //; s/["{}]//g')" "$predicted" "$measured" "$saved" "$less" "$more" "$first" \
        "$second" "$third" "$identical"
      verdict "$identical" "$predicted" "$measured"
    done
  done
}

sequential_body() { # STRATEGY KERNEL
  printf '{"kind": "sequential", "strategy": %s, "compare_with": "standard",\n' "$1"
  printf '         "inputs": [{"shape": [1, 512, 256], "random": {"seed": 1}}],\n'
  printf '         "functions": [{"name": "layer", "repeat": 12, "functions": [\n'
  printf '           {"name": "attention", "heads": 8, "mask": "causal", "kernel": "%s", "seed": 1},\n' "$2"
  printf '           {"name": "ffn", "hidden": 1024, "activation": "gelu", "seed": 2}]}]}'
}

sequential() {
  block "4. Twelve layers under the three strategies of the lab, with standard and with flash attention"
  printf '%s\n' "\$ curl -s '$url/v1/jobs' -H '$json' -H 'Prefer: wait=30' \\" \
    "    -d '$(sequential_body '{"name": "every_n", "n": 2}' flash)'" ""
  printf '%-9s %-14s %9s %9s %9s %10s %10s  %-25s  %s\n' KERNEL STRATEGY PREDICTED MEASURED SAVED "PEAK LESS" \
    "FLOP MORE" "FORWARD AGAIN BACKWARD, s" "IDENTICAL TO"
  for kernel in standard flash; do
    for name in every_layer every_second attention_only; do
      case $name in
      every_layer) strategy='"every_layer"' ;;
      every_second) strategy='{"name": "every_n", "n": 2}' ;;
      *) strategy='{"name": "selective", "ops": ["attention"]}' ;;
      esac
      job "$(sequential_body "$strategy" "$kernel")"
      # shellcheck disable=SC2086 # lists of words
      get $memory /result/memory/saved_bytes /result/comparison/memory_saved_pct \
        /result/comparison/compute_overhead_pct $seconds /result/comparison/identical
      IFS=$tab read -r predicted measured saved less more forward again backward identical <<END
$value
END
      printf '%-9s %-14s %9s %9s %9s %9.1f%% %9.1f%%   %.5f %.5f %.5f   standard: %s\n' "$kernel" "$name" "$predicted" \
        "$measured" "$saved" "$less" "$more" "$forward" "$again" "$backward" "$identical"
      verdict "$identical" "$predicted" "$measured"
    done
  done
}

# A planning answer: a real config.json, a real device, the largest batch that fits under each strategy.
capacity() {
  block "5. The largest batch of Qwen2-7B that trains on one H200: 4,096 tokens, bfloat16, AdamW"
  printf '%s\n' "\$ curl -s '$url/v1/capacity' -H '$json' -d '{\"find\": \"batch\", \"device\": \"h200-141gb\"," \
    "    \"strategy\": \"every_layer\", \"workload\": {\"model\": {\"hf_config\": '\"\$(cat clients/qwen2-7b.json)\"'}," \
    "    \"seq_len\": 4096, \"dtype\": \"bfloat16\", \"attention\": \"flash\"}}'" ""
  row='%-34s %6s %14s %14s %11s %16s\n'
  # shellcheck disable=SC2059 # one format for head and rows
  printf "$row" STRATEGY BATCH PEAK BUDGET "FLOP MORE" "ONE MORE LACKS"
  for strategy in '"standard"' '{"name": "selective", "ops": ["norm"]}' '{"name": "selective", "ops": ["mlp"]}' \
    '{"name": "every_n", "n": 2}' '"every_layer"'; do
    curl -sS --fail-with-body -o "$dir/plan.json" "$url/v1/capacity" -H "$json" -d '{"find": "batch", "device": "h200-141gb",
      "strategy": '"$strategy"', "workload": {"model": {"hf_config": '"$(cat "$root/clients/qwen2-7b.json")"'},
      "seq_len": 4096, "dtype": "bfloat16", "attention": "flash"}}' || die "$(cat "$dir/plan.json")"
    set -- $("$rematctl" get "$dir/plan.json" /value /plan/peak_bytes /plan/budget_bytes /plan/compute_overhead_pct \
      /next/shortfall_bytes)
    # shellcheck disable=SC2059
    printf "$row" "$(echo "$strategy" | sed 's/"name": //; s/["{}]//g')" "$1" "$2" "$3" "$(printf '%.1f%%' "$4")" "$5"
    verdict true $(($2 <= $3 && $5 > 0)) 1
  done
}

[ -x "$rematd" ] && [ -x "$rematctl" ] || die "bin/rematd and bin/rematctl are missing: run make first"
command -v curl >/dev/null || die "curl is missing: apt-get install curl"
url=${1:-}
if [ -z "$url" ]; then start; else "$rematctl" --server "$url" health >/dev/null || die "nobody answers at $url"; fi
echo "rematd answers at $url"
savings
attention
training
sequential
capacity
echo
[ "$bad" -eq 0 ] || die "$bad rows are not identical, or have another peak than predicted"
echo "Every run was bit for bit the one it was compared with, and every measured peak the predicted one."
