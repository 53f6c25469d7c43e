# memory.sh - the bytes of a job, told three ways: planned, found by scanning the slab, and counted by the operating system.
#
# The system also counts what lies around the slab - the request, tables, pages of the program.
start

# bytes NAME BODY: one job with witness; checks predicted = measured = touched, and the system's count within 5 % and 256 KiB.
bytes() {
  local name=$1 predicted measured touched rss
  id=$(submit "$2")
  code "$name" 0 "$rematctl" wait --timeout 400 "$id"
  read -r predicted measured touched rss <<<"$(job_field "$id" /result/memory/predicted_peak_bytes \
    /result/memory/measured_peak_bytes /result/memory/scanned_peak_bytes /result/memory/rss_growth_bytes)"
  same "  predicted = measured" "$predicted" "$measured"
  same "  = highest byte found by the scan" "$measured" $(((touched + 63) / 64 * 64))
  echo "$name: planned $predicted, resident $rss" >"$dir/out"
  check "  resident memory grew by as much, within 5 % and 256 KiB" test $((rss * 100)) -ge $((predicted * 95)) -a \
    $((rss * 100)) -le $((predicted * 105 + 26214400))
}

# attention STRATEGY HEADS N: one body
attention() {
  local t="\"shape\": [$2, $3, 64], \"random\""
  printf '{"kind": "attention", "strategy": "%s", "mask": "causal", "witness": true, "inputs": {"q": {%s: {"seed": 1}},
    "k": {%s: {"seed": 2}}, "v": {%s: {"seed": 3}}}}' "$1" "$t" "$t" "$t"
}

for strategy in standard checkpointed flash flash_checkpointed; do
  bytes "attention, $strategy, 4 heads, N = 2048" "$(attention $strategy 4 2048)"
done

# Flash at a length where the weights alone would take 1 GiB (16 GiB with REMATD_TESTS_LONG): at most 1.1 x its tensors.
n=16384
[ -z "${REMATD_TESTS_LONG:-}" ] || n=65536
for strategy in flash flash_checkpointed; do
  bytes "$strategy, one head, N = $n, causal" "$(attention $strategy 1 $n)"
  tensors=$((8 * n * 64 * 4))
  peak=$(job_field "$id" /result/memory/measured_peak_bytes)
  echo "peak $peak, tensors $tensors" >"$dir/out"
  check "  within 1.1 x inputs, outputs and gradients" test $((peak * 10)) -le $((tensors * 11))
done
