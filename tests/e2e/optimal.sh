# optimal.sh - optimal plans over HTTP and through the client: the laws of budgets, and jobs that run in the bytes planned.
start --workers 1

model='{"family": "decoder", "layers": 4, "d_model": 64, "heads": 4, "vocab": 256, "max_positions": 64}'
workload="{\"model\": $model, \"seq_len\": 64, \"batch\": 2, \"attention\": \"flash\"}"

# plan STRATEGY [BUDGET]: the answer's feasible, peak_bytes, all FLOPs and minimum_budget_bytes (- where there is none).
plan() {
  curl -sS --max-time 20 "$REMATD_URL/v1/plans" -H "$json" \
    -d "{\"workload\": $workload, \"strategy\": $1${2:+, \"budget_bytes\": $2}}" >"$dir/plan.json"
  # shellcheck disable=SC2046
  set -- $(field "$dir/plan.json" /feasible /peak_bytes /flops/forward /flops/backward /flops/recompute) \
    $(field "$dir/plan.json" /minimum_budget_bytes)
  echo "$1 $2 $(($3 + $4 + $5)) ${6:--}"
}

read -r fits most standard_flops _ <<<"$(plan '"standard"')"
same "standard is planned" true "$fits"
read -r fits _ _ least <<<"$(plan '"optimal"' 1)"
same "optimal does not fit a byte" false "$fits"
same "it needs less than standard" 1 $((least < most))
same "one byte less than its least does not do" "false $least" "$(plan '"optimal"' $((least - 1)) | cut -d' ' -f 1,4)"
same "its least does" "true $least -" "$(plan '"optimal"' "$least" | cut -d' ' -f 1,2,4)"
same "standard's own peak buys no recomputation" "true $standard_flops" "$(plan '"optimal"' "$most" | cut -d' ' -f 1,3)"

# Twenty budgets: what is planned, and what two strategies with budgets of their own and two without would take.
for i in $(seq 0 19); do
  budget=$((least + (most - least) * i / 19))
  echo "$budget $(plan '"optimal"' "$budget") $(plan '"greedy"' "$budget") $(plan '"revolve"' "$budget") $(
    plan '"every_layer"' "$budget") $(plan '{"name": "selective", "ops": ["mlp"]}' "$budget")"
done >"$dir/budgets"
cp "$dir/budgets" "$dir/out"
check "twenty budgets fit" awk '$2 != "true" { exit 1 } END { if (NR != 20) exit 1 }' "$dir/budgets"
check "every peak is within its budget" awk '$3 > $1 { exit 1 }' "$dir/budgets"
check "more bytes never cost more" awk 'NR > 1 && $4 > last { exit 1 } { last = $4 }' "$dir/budgets"
check "and save something on the way" awk 'NR == 1 { first = $4 } END { exit !($4 < first) }' "$dir/budgets"
check "no other strategy that fits is cheaper" awk '{ for (f = 6; f < NF; f += 4) if ($f == "true" && $(f + 2) < $4) exit 1 }' "$dir/budgets"

# The same through the command.
budget=$(((least + most) / 2))
printf '%s' "$model" >"$dir/model.json"
small="$dir/model.json --seq-len 64 --batch 2 --attention flash"
# shellcheck disable=SC2086
code "rematctl plan" 0 "$rematctl" -o json plan $small --strategy optimal --budget "$budget"
cp "$dir/out" "$dir/answer.json"
same "it plans the same" "$(plan '"optimal"' "$budget" | cut -d" " -f 2)" "$(field "$dir/answer.json" /peak_bytes)"
same "and is exact" "true	persistent" "$(field "$dir/answer.json" /optimality/exact /optimality/class)"
# shellcheck disable=SC2086
code "rematctl frontier" 0 "$rematctl" -o json frontier $small --points 8
same "its first point keeps everything" "$most" "$(field "$dir/out" /points/0/peak_bytes)"

# Run: a training step and a list of functions, each in half of what its strategies differ by.
job="{\"kind\": \"training_step\", \"workload\": $workload, \"strategy\": {\"name\": \"optimal\"}, \"budget_bytes\": BUDGET,
  \"compare_with\": \"standard\", \"steps\": 3, \"seed\": 1}"
same "a step in too little is refused, with the least" "422" "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "${job/BUDGET/$((least - 1))}")"
same "which is the plan's" "$least" "$(field "$dir/body" /minimum_budget_bytes)"
for bytes in "$least" "$budget"; do
  id=$(submit "${job/BUDGET/$bytes}")
  check "a training job in $bytes bytes succeeds" until_state "$id" succeeded 20
  peak=$(plan '"optimal"' "$bytes" | cut -d' ' -f 2)
  same "predicted = measured = planned" "$peak $peak" "$(job_field "$id" /result/memory/predicted_peak_bytes \
    /result/memory/measured_peak_bytes | tr '\t' ' ')"
  same "losses, gradients and weights have the bits of standard" true "$(job_field "$id" /result/comparison/identical)"
done

job='{"kind": "sequential", "strategy": {"name": "optimal"}, "compare_with": "standard", "budget_bytes": BUDGET,
  "inputs": [{"shape": [1, 64, 64], "random": {"seed": 1}}],
  "functions": [{"name": "layer", "repeat": 8, "functions": [
    {"name": "attention", "heads": 4, "mask": "causal"},
    {"name": "ffn", "hidden": 256, "activation": "gelu", "seed": 1}]}]}'
same "a sequential job in a byte is refused" 422 "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "${job/BUDGET/1}")"
bytes=$(field "$dir/body" /minimum_budget_bytes)
id=$(submit "${job/BUDGET/$bytes}")
check "in its least it succeeds" until_state "$id" succeeded 20
same "predicted = measured" "$bytes $bytes" "$(job_field "$id" /result/memory/predicted_peak_bytes \
  /result/memory/measured_peak_bytes | tr '\t' ' ')"
same "with the bits of standard" true "$(job_field "$id" /result/comparison/identical)"
same "in less than standard took" 1 "$((bytes < $(job_field "$id" /result/comparison/predicted_peak_bytes)))"
