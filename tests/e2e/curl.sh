# curl.sh - every script of clients/curl, and what some of them must say.
start

for script in "$root"/clients/curl/*.sh; do
  check "curl/${script##*/}" sh "$script"
done

sh "$root/clients/curl/savings.sh" >"$dir/savings.json"
same "the lab's bytes" "352321536	167772160" "$(field "$dir/savings.json" /standard_memory_bytes /checkpointed_memory_bytes)"
same "the lab's percentages" "52.4 33.3" "$(printf '%.1f %.1f' "$(field "$dir/savings.json" /memory_saved_pct)" \
  "$(field "$dir/savings.json" /compute_overhead_pct)")"

for script in attention sequential attention-inline train; do
  sh "$root/clients/curl/$script.sh" >"$dir/job.json"
  same "$script: succeeded, identical" "succeeded	true" "$(field "$dir/job.json" /state /result/comparison/identical)"
  same "$script: the measured peak is the predicted one" "$(field "$dir/job.json" /result/memory/predicted_peak_bytes)" \
    "$(field "$dir/job.json" /result/memory/measured_peak_bytes)"
done

sh "$root/clients/curl/memory-savings-job.sh" >"$dir/job.json"
same "memory_savings: executed as planned" \
  "$(field "$dir/job.json" /result/standard_memory_bytes /result/checkpointed_memory_bytes)" \
  "$(field "$dir/job.json" /result/measured/standard_memory_bytes /result/measured/checkpointed_memory_bytes)"

sh "$root/clients/curl/auto.sh" >"$dir/job.json"
check "auto: the peak fits the budget" test "$(field "$dir/job.json" /result/memory/measured_peak_bytes)" -le 4000000

# What HEAD says is what GET says.
same "HEAD of a route" "200" "$(status -I "$REMATD_URL/v1/strategies")"
