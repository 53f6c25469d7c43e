# numbers.sh - docs/memory-model.md against the daemon: its commands, its table of tensors, its optimizers, its fields.
start

page=$root/docs/memory-model.md
query() { curl -s -H "$json" "$REMATD_URL/v1/$1" -d "$2"; }
example="\"model\": $(cat "$root/clients/two-layers.json"), \"seq_len\": 4, \"batch\": 2"
query plans "{\"workload\": {$example}, \"include\": [\"steps\", \"alive_at_peak\", \"timeline\", \"layers\", \"explain\"]}" >"$dir/plan.json"

# Every command on the page prints what stands below it (of capacity: the first line).
grep '^\$ rematctl' "$page" >"$dir/commands"
check "the page has commands" test "$(wc -l <"$dir/commands")" -ge 3
while read -r _ command; do
  awk -v c="\$ $command" 'on && (/^```/ || /^\$/) {exit} on; $0 == c {on = 1}' "$page" >"$dir/wanted"
  same "$command" "$(cat "$dir/wanted")" "$(cd "$root" && eval "$command" 2>&1 </dev/null | head -n "$(wc -l <"$dir/wanted")")"
done <"$dir/commands"

# Its tensors: name, extent, steps that free it, category, as often as there are numbers of steps.
grep -o '"do":"[a-z]*","of":"[^"]*"' "$dir/plan.json" | awk -F'"' '{print NR - 1, $4, $8}' >"$dir/steps"
grep -o '"name":"[^"]*","bytes":[0-9]*,"category":"[a-z_]*"},\?' "$dir/plan.json" | awk -F'[":,]+' '{print $3, $5, $7}' >"$dir/alive"
awk 'FNR == NR {if ($2 == "free") freed[$3] = $1; if ($2 == "grad" && $3 == "loss") freed["workspace"] = $1; next}
  {name = $1; sub(/^[0-9]+\./, "", name); print name, $2, ($1 in freed) ? freed[$1] : "end", $3}' "$dir/steps" "$dir/alive" | sort >"$dir/there"
grep '^| `.* | saved_activations |$\|^| `.* | inputs_outputs |$\|^| `.* | activation_gradients |$\|^| `.* | workspace |$' "$page" | tr -d '`' >"$dir/rows"
awk -F' *[|] *' '{n = split($7, freed, ", "); for (i = 1; i <= n; i++) print $2, $5, freed[i], $8}' "$dir/rows" | sort >"$dir/said"
check "the page's tensors are those alive at the peak" diff "$dir/said" "$dir/there"
check "exact bytes are 4 times the shape, extents the next multiple of 64" awk -F' *[|] *' '
  {n = split($3, s, " x "); b = 4; for (i = 1; i <= n; i++) b *= s[i]; if (b != $4 || int((b + 63) / 64) * 64 != $5) exit 1}' "$dir/rows"
check "they are made where the page says" awk -F' *[|] *' '
  FNR == NR {split($0, w, " "); if (w[2] != "free" && !((w[2], w[3]) in at)) at[w[2], w[3]] = w[1]; next}
  {n = split($6, made, ", ")
   for (i = 1; i <= n; i++) {
     op = n > 1 ? i - 1 "." $2 : $2
     if (op ~ /^d\(|^workspace/) {if (made[i] != at["grad", "loss"]) exit 1; continue}
     while (!(("run", op) in at) && sub(/\.[a-z_]+$/, "", op));
     if (made[i] != (("run", op) in at ? at["run", op] : 0)) {print $2, op, made[i]; exit 1}}}' "$dir/steps" "$dir/rows"
same "extents sum to the live peak" "$(field "$dir/plan.json" /live_peak_bytes)" \
  "$(awk -F' *[|] *' '{s += split($7, f, ", ") * $5} END {print s}' "$dir/rows")"
same "exact saved bytes sum to those when the forward ends" "$(field "$dir/plan.json" /memory/saved_activations_bytes)" \
  "$(awk -F' *[|] *' '$8 == "saved_activations" {s += split($7, f, ", ") * $4} END {print s}' "$dir/rows")"
same "a layer keeps what the page says" 3456 "$(field "$dir/plan.json" /layers/0/kept_bytes)"
same "forward and backward FLOPs are the page's" "21456	42064" "$(field "$dir/plan.json" /flops/forward /flops/backward)"

# Its optimizers, in both widths.
grep '^| `[a-z0-9_]*` | [^|]* | [0-9]* | [0-9]* |$' "$page" | tr -d '`' >"$dir/optimizers"
same "the page has every optimizer" 8 "$(wc -l <"$dir/optimizers")"
while IFS='|' read -r _ name _ float32 bfloat16 _; do
  for dtype in float32 bfloat16; do
    query plans "{\"workload\": {$example, \"optimizer\": \"${name// /}\", \"dtype\": \"$dtype\"}}" >"$dir/one.json"
    same "${name// /} in $dtype" "$((${!dtype}))" "$(field "$dir/one.json" /memory/optimizer_bytes)"
  done
done <"$dir/optimizers"

# Every field that is answered stands on the page (but the number of a strategy).
query plans "{\"workload\": {$example}, \"budget_bytes\": 25000, \"include\": [\"explain\"]}" >"$dir/short.json"
query capacity "{\"workload\": {$example}, \"find\": \"batch\", \"budget_bytes\": 100000}" >"$dir/capacity.json"
query frontiers "{\"workload\": {$example}}" >"$dir/frontier.json"
same "the plan that is short has ways to fit" strategy "$(field "$dir/short.json" /explain/ways_to_fit/0/change)"
cat "$dir/plan.json" "$dir/short.json" "$dir/capacity.json" "$dir/frontier.json" | grep -o '"[a-z_]*":' | tr -d '":' | sort -u | grep -vx k >"$dir/fields"
check "there are fields" test "$(wc -l <"$dir/fields")" -gt 60
check "every field is explained" sh -c 'while read -r f; do
  grep -q "\`$f\`" "$1" || { echo "$f is not"; exit 1; }; done <"$2"' _ "$page" "$dir/fields"
