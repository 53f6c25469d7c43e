# calibrate.sh - the machine measured, and planned on as the device `host`: of few tokens, for a second each time.
start --workers 1

plan="$REMATD_URL/v1/plans?model=gpt2&seq_len=64&device=host"
first_device() { curl -sS "$REMATD_URL/v1/devices" >"$dir/devices.json" && field "$dir/devices.json" "/devices/0/$1"; }

same "before it the host is no device" 422 "$(status "$plan")"
same "and it is named" /device "$(field "$dir/body" /pointer)"
check "it is said how to make it one" grep -q calibrate "$dir/body"
check "it is not listed" test "$(first_device name)" != host

code "the machine is measured" 0 "$rematctl" calibrate --seconds 1 --tokens 64
for op in copy update_adamw layer_norm gelu dropout rotary embedding attention_flash_causal linear linear_cross_entropy; do
  says "$op in both dtypes" "^$op .*bfloat16"
done
first=$(curl -sS "$REMATD_URL/v1/jobs?kind=calibrate" | "$rematctl" get - /jobs/0/id)
same "in the bytes that were planned" "$(job_field "$first" /planned/peak_bytes)	$(job_field "$first" /planned/peak_bytes)" \
  "$(job_field "$first" /result/memory/predicted_peak_bytes /result/memory/measured_peak_bytes)"
same "the host is the first device" host "$(first_device name)"
check "its source is the job" grep -q "calibrated by job $first at " "$dir/devices.json"
same "a step is planned on it" 200 "$(status "$plan")"
seconds=$(field "$dir/body" /step_seconds)
same "its memory is the daemon's" "$(first_device memory_bytes)" "$(field "$dir/body" /budget_bytes)"

# A step of the width that was measured, as planned and as run.
workload='{"model": {"family": "decoder", "layers": 2, "d_model": 768, "heads": 12, "vocab": 8192}, "seq_len": 64, "optimizer": "none"}'
status "$REMATD_URL/v1/plans" -H "$json" -d "{\"workload\": $workload, \"device\": \"host\"}" >/dev/null
predicted=$(field "$dir/body" /step_seconds)
id=$(submit "{\"kind\": \"training_step\", \"steps\": 3, \"strategy\": \"standard\", \"workload\": $workload}")
check "the step is run" until_state "$id" succeeded 60
# shellcheck disable=SC2046
set -- $(job_field "$id" /result/time/forward_seconds /result/time/backward_seconds)
measured=$(awk -v a="$1" -v b="$2" 'BEGIN { print (a + b) / 3 }')
echo "      a step: $predicted s predicted, $measured s measured"
check "within a factor of ten, whatever else the machine does" awk -v p="$predicted" -v m="$measured" \
  'BEGIN { exit !(p > 0 && p < 10 * m && m < 10 * p) }'

# --- again
code "it is measured again" 0 "$rematctl" -o json calibrate --seconds 1 --tokens 64
cp "$dir/out" "$dir/again.json"
second=$(field "$dir/again.json" /id)
first_device source >"$dir/source"
check "the newest counts" grep -q "^calibrated by job $second at " "$dir/source"
same "the plan is made anew" 200 "$(status "$plan")"
check "with other seconds" test "$(field "$dir/body" /step_seconds)" != "$seconds"
seconds=$(field "$dir/body" /step_seconds)
code "the job is removed" 0 "$rematctl" delete "$second"
id=$(submit '{"kind": "plan", "device": "host", "workload": {"model": "gpt2", "seq_len": 64}}')
check "a job of planning knows the host too" until_state "$id" succeeded 20
same "as it was measured" "$seconds" "$(job_field "$id" /result/step_seconds)"
stop
start --workers 0
same "the host outlives job and daemon" "host $seconds" \
  "$(first_device name) $(status "$REMATD_URL/v1/plans?model=gpt2&seq_len=64&device=host" >/dev/null; field "$dir/body" /step_seconds)"
