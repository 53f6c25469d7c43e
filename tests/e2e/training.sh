# training.sh - whole training steps through the daemon: a job and the reports of its steps, rematctl train, weights kept
# and given, and the proof: a small model learns to spell under every_layer, bit for bit as under standard.
start --workers 1

tiny='"model": {"family": "decoder", "layers": 2, "d_model": 32, "heads": 2, "vocab": 256, "max_positions": 32}, "seq_len": 16'
body="{\"kind\": \"training_step\", \"workload\": {$tiny, \"batch\": 2}, \"text\": \"the quick brown fox jumps over the lazy dog\",
  \"steps\": 12, \"strategy\": \"every_layer\", \"compare_with\": \"standard\", \"outputs\": [\"weights\", \"gradients\"]}"

id=$(submit "$body")
curl -sS -N --max-time 60 "$REMATD_URL/v1/jobs/$id/events" -H 'Accept: application/x-ndjson' >"$dir/lines"
check "a training job succeeds" until_state "$id" succeeded 20
sed -n 's/.*"report":\({[^}]*}\).*/\1/p' "$dir/lines" >"$dir/reports"
check "its steps are reported" test -s "$dir/reports"
check "in their order, own run first" awk -F'"phase":"|","step":|,"steps":|,"loss":' '
  { at = ($2 == "compare" ? 12 : 0) + $3; if (at <= last || $4 != 12 || $5 !~ /^[0-9.]+,/) exit 1; last = at }' "$dir/reports"
check "the last of all among them" grep -q '"phase":"compare","step":12,' "$dir/reports"
check "memory in use is what was planned" awk -F'"used_bytes":|,"planned_bytes":|}' '$2 != $3 { exit 1 }' "$dir/reports"
same "predicted = measured, identical" "$(job_field "$id" /planned/peak_bytes) true" \
  "$(job_field "$id" /result/memory/measured_peak_bytes) $(job_field "$id" /result/comparison/identical)"

# What it kept: fetched as one file, sent back as weights.
code "fetch all" 0 "$rematctl" fetch "$id" -O "$dir/all.safetensors"
check "weights and gradients, by name" grep -aq '"gradients.1.mlp.up.weight".*"weights.1.mlp.up.weight"' "$dir/all.safetensors"
code "fetch one" 0 "$rematctl" fetch "$id" weights.embedding.weight --npy -O "$dir/embedding.npy"
check "256 rows of 32 numbers" grep -aq "'<f4'.*(256, 32)" "$dir/embedding.npy"
code "explain" 0 "$rematctl" explain - <<<"$body"
weights=$("$rematctl" -o json upload "$dir/all.safetensors" | "$rematctl" get - /tensor)
first=$(job_field "$id" /result/losses/11)
again=$(submit "{\"kind\": \"training_step\", \"workload\": {$tiny, \"batch\": 2}, \"weights\": {\"tensor\": \"$weights\"},
  \"text\": \"the quick brown fox jumps over the lazy dog\"}")
code "a file with gradients in it holds the weights too, under their names" 0 "$rematctl" wait "$again"
check "which have learned" awk "BEGIN { exit !($(job_field "$again" /result/loss) < $first + 0.5) }"

# A job that runs long is stopped between two ops.
id=$(submit "{\"kind\": \"training_step\", \"workload\": {$tiny, \"batch\": 64}, \"steps\": 10000}")
check "a long one runs" until_state "$id" running 20
again=$(submit "{\"kind\": \"training_step\", \"workload\": {$tiny}, \"weights\": {\"tensor\": \"$weights\"}}")
same "the file is held by the job that waits for it" 409 "$(status -X DELETE "$REMATD_URL/v1/tensors/$weights")"
before=$(date +%s%N)
"$rematctl" cancel "$id" >/dev/null
check "cancel stops it" until_state "$id" cancelled 5
check "within two seconds" test $((($(date +%s%N) - before) / 1000000)) -lt 2000

# rematctl train
printf '{%s}' "${tiny%%, \"seq_len\"*}" | sed 's/^{"model": \(.*\)}$/\1/' >"$dir/model.json"
text=$root/tests/data/gpl-3.txt
code "train" 0 "$rematctl" train "$dir/model.json" --seq-len 16 --text "$text" --steps 3 --learning-rate 0.003 --clip-norm 1 \
  --strategy every_layer --compare-with standard
for line in '^step 3/3  loss 5\.[0-9]*  ' '^compared: step 3/3 ' '^job ' '^strategy "every_layer"$' '^predicted peak ' '^measured peak  ' \
  '^forward .* again .* backward .* update '; do
  says "train says $line" "$line"
done
same "and in the end" 'losses, gradients and weights bit for bit those of the other strategy: yes' "$(tail -n 1 "$dir/out")"
code "train, for programs" 0 "$rematctl" -o json train "$dir/model.json" --seq-len 16 --steps 2
same "the job as it is" 2 "$(field "$dir/out" /result/steps)"
code "train refused: exit 4" 4 "$rematctl" train "$dir/model.json" --seq-len 33
says "with a pointer" /workload/seq_len
code "train, a text that is not there: exit 6" 6 "$rematctl" train "$dir/model.json" --seq-len 16 --text "$dir/none"

# The proof: four layers read the GPL. With REMATD_TESTS_LONG longer.
steps=100
[ -z "${REMATD_TESTS_LONG:-}" ] || steps=200
model='{"family": "decoder", "layers": 4, "d_model": 128, "heads": 4, "vocab": 256, "max_positions": 64}'
printf '{"kind": "training_step", "workload": {"model": %s, "seq_len": 64, "batch": 12, "attention": "flash"}, "steps": %s,
  "learning_rate": 1e-3, "beta2": 0.99, "clip_norm": 1, "strategy": "every_layer", "compare_with": "standard", "text": ' "$model" "$steps" >"$dir/proof.json"
awk '{ gsub(/[\\"]/, "\\\\&"); gsub(/\t/, "\\t"); printf "%s\\n", $0 }' "$text" >"$dir/escaped"
printf '"%s"}' "$(cat "$dir/escaped")" >>"$dir/proof.json"
code "$steps steps, and as many under standard" 0 "$rematctl" -o json submit --wait --timeout 300 "$dir/proof.json"
cp "$dir/out" "$dir/done.json"
mean=$(field "$dir/done.json" $(printf '/result/losses/%s ' $(seq $((steps - 10)) $((steps - 1)))) | tr '\t' '\n' | awk '{ s += $1 } END { print s / NR }')
check "it has learned: a byte costs less than 2.7 ($mean)" awk "BEGIN { exit !($mean > 0.5 && $mean < 2.7) }"
same "losses, gradients and weights have the bits of standard" true "$(field "$dir/done.json" /result/comparison/identical)"
same "in the bytes that were planned" "$(field "$dir/done.json" /planned/peak_bytes)" "$(field "$dir/done.json" /result/memory/measured_peak_bytes)"
same "less than standard took" 1 "$(($(field "$dir/done.json" /result/memory/measured_peak_bytes) < $(field "$dir/done.json" /result/comparison/measured_peak_bytes)))"
