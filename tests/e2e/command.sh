# command.sh - rematctl: every command, and every exit code.
start

small='{"kind": "attention", "strategy": "checkpointed", "compare_with": "standard", "inputs": {
  "q": {"shape": [64, 16], "random": {"seed": 1}}, "k": {"shape": [64, 16], "random": {"seed": 2}},
  "v": {"shape": [64, 16], "random": {"seed": 3}}}}'
printf '%s' "$small" >"$dir/small.json"
long_job 600 >"$dir/long.json"

code "health" 0 "$rematctl" health
same "savings, for people" "Standard: 336.0 MB
Checkpointed: 160.0 MB
Memory saved: 52.4%
Compute overhead: 33.3%" "$("$rematctl" savings 2048 512 12)"
"$rematctl" -o json savings 2048 512 12 >"$dir/savings.json"
same "savings, for programs" 352321536 "$(field "$dir/savings.json" /standard_memory_bytes)"

code "explain" 0 "$rematctl" explain "$dir/small.json"
for step in run grad free; do
  says "explain shows a $step" " $step "
done
"$rematctl" -o json explain "$dir/small.json" >"$dir/plan.json"
code "submit --wait" 0 "$rematctl" -o json submit --wait "$dir/small.json"
cp "$dir/out" "$dir/done.json"
same "the plan explained is the plan run" "$(field "$dir/plan.json" /planned/peak_bytes)" \
  "$(field "$dir/done.json" /result/memory/measured_peak_bytes)"
id=$(field "$dir/done.json" /id)
code "submit from standard input" 0 "$rematctl" submit - <"$dir/small.json"
code "job" 0 "$rematctl" job "$id"
says "job, for people, says identical" identical
code "wait for a finished job" 0 "$rematctl" wait "$id"
code "jobs" 0 "$rematctl" jobs --kind attention --page-size 2
says "jobs names them" attention
code "fetch all" 0 "$rematctl" fetch "$id" -O "$dir/all.safetensors"
check "fetched: five outputs' bytes and a header" test "$(wc -c <"$dir/all.safetensors")" -gt $((4 * 64 * 16 * 4))
code "fetch one as npy" 0 "$rematctl" fetch "$id" output --npy -O "$dir/output.npy"
check "npy begins as npy does" grep -q NUMPY "$dir/output.npy"
"$rematctl" fetch "$id" grad_v --npy -O - >"$dir/grad_v.npy"
same "npy on standard output: 4096 bytes of numbers, header of 64s" 0 $((($(wc -c <"$dir/grad_v.npy") - 4096) % 64))
code "upload" 0 "$rematctl" -o json upload "$root/tests/data/minilm_river.safetensors"
same "a file is named by its digest" "sha256:$(sha256sum "$root/tests/data/minilm_river.safetensors" | cut -d' ' -f1)" \
  "$(field "$dir/out" /tensor)"
code "plan" 0 "$rematctl" plan gpt2 --seq-len 1024 --batch 8 --strategy every_layer --budget 6GiB
says "plan begins with the verdict" "^fits: "
code "plan of a step of several batches" 0 "$rematctl" -o json plan gpt2 --seq-len 64 --batch 2 --accumulate 4
same "it counts the tokens of all" 512 "$(field "$dir/out" /tokens_per_step)"
code "plan in words" 0 "$rematctl" plan gpt2 --seq-len 1024 --batch 8 --budget 8GiB --explain
says "it says where the peak is" "^It is at step [0-9]* of [0-9]*, at the loss"
says "and what would fit" "^The smallest change that fits: strategy "
code "plan within too little" 0 "$rematctl" plan gpt2 --seq-len 1024 --batch 8 --budget 6GiB
says "it says by how much" "^does not fit: "
code "plan from standard input" 0 "$rematctl" plan - --seq-len 16 <"$root/clients/qwen2-7b.json"
code "plan of an unknown model: refused" 4 "$rematctl" plan gpt0 --seq-len 16
code "plan within nonsense: wrong usage" 2 "$rematctl" plan gpt2 --seq-len 16 --budget much
code "plan of a file that is not there" 6 "$rematctl" plan "$dir/none.json" --seq-len 16
code "plan under a strategy with parameters" 0 "$rematctl" plan gpt2 --seq-len 64 --strategy '{"name": "every_n", "n": 2}'
code "plan under no strategy: wrong usage" 2 "$rematctl" plan gpt2 --seq-len 64 --strategy '{"name'
code "plan of nothing: wrong usage" 2 "$rematctl" plan --seq-len 64
code "plan of two things: wrong usage" 2 "$rematctl" plan gpt2 --graph "$dir/small.json"
code "plan of a graph that is not there" 6 "$rematctl" plan --graph "$dir/none.json"
code "a time limit that is none: wrong usage" 2 "$rematctl" plan gpt2 --seq-len 64 --time-limit soon
code "train under no strategy to compare with: wrong usage" 2 "$rematctl" train gpt2 --seq-len 64 --compare-with '{'

for strange in 'dance' '0' '-1'; do
  code "points that are no number: wrong usage" 2 "$rematctl" frontier gpt2 --seq-len 64 "--points=$strange"
done
code "frontier of nothing: wrong usage" 2 "$rematctl" frontier --seq-len 64
code "frontier of one strategy: wrong usage" 2 "$rematctl" frontier gpt2 --seq-len 64 --strategy every_layer
code "frontier of an unknown model: refused" 4 "$rematctl" frontier gpt0 --seq-len 64
code "frontier" 0 "$rematctl" frontier gpt2 --seq-len 1024 --batch 8 --device a100-80gb
says "frontier begins with what was asked" "^gpt2, sequences of 1024, batch 8, a100-80gb$"
says "it has standard, with all of its own memory" "^[* ]  *[0-9.]*  *100.0 %  *+0.00 %[ 0-9.]*  standard"
says "and the named strategies beside its points" "every_n n=2"
cp "$dir/out" "$dir/table"
grep '^[* >] *[0-9]' "$dir/table" | sed 's/^.//' >"$dir/rows"
check "its table falls in memory" awk 'NR > 1 && $1 + 0 > last {exit 1} {last = $1 + 0} END {if (NR < 10) exit 1}' "$dir/rows"
grep '^[*>] *[0-9]' "$dir/table" | sed 's/^.//' >"$dir/rows"
check "and its points rise in compute" awk '$4 + 0 < last {exit 1} {last = $4 + 0} END {if (NR < 5) exit 1}' "$dir/rows"
"$rematctl" -o json frontier gpt2 --seq-len 1024 --points 3 >"$dir/three.json"
check "for programs, of at most three points" python3 -c 'import json, sys; sys.exit(not 0 < len(json.load(open(sys.argv[1]))["points"]) <= 3)' "$dir/three.json"
code "frontier drawn" 0 "$rematctl" frontier gpt2 --seq-len 1024 --batch 8 --svg "$dir/frontier.svg"
says "it names the file" "frontier.svg$"
check "which is XML, with a line, an axis in GiB and every name" python3 -c '
import sys, xml.etree.ElementTree as e
root = e.parse(sys.argv[1]).getroot(); svg = "{http://www.w3.org/2000/svg}"; said = "".join(root.itertext())
assert root.tag == svg + "svg" and root.find(".//" + svg + "path[@class=\"line\"]").get("d").startswith("M"), root.tag
assert all(word in said for word in ("peak memory, GiB", "standard", "every_layer", "gpt2", "100 %")), said
assert "prefers-color-scheme: dark" in said and "nan" not in said and "inf" not in said' "$dir/frontier.svg"
cp "$root/clients/two-layers.json" "$dir/a<b&c>.json"
code "a strange name drawn" 0 "$rematctl" frontier "$dir/a<b&c>.json" --seq-len 4 --svg "$dir/strange.svg"
check "is XML too" python3 -c 'import sys, xml.etree.ElementTree as e; assert "a<b&c>.json" in "".join(e.parse(sys.argv[1]).getroot().itertext())' "$dir/strange.svg"
check "drawn to standard output it is the same" sh -c '"$1" frontier gpt2 --seq-len 1024 --batch 8 --svg - | cmp - "$2"' _ "$rematctl" "$dir/frontier.svg"
code "drawn where nothing can be" 6 "$rematctl" frontier gpt2 --seq-len 64 --svg "$dir/none/frontier.svg"
code "capacity" 0 "$rematctl" -o json capacity gpt2 --find seq_len --device a100-80gb
same "capacity ends with the positions" "1024	positions" "$(field "$dir/out" /value /limited_by)"
for table in models devices strategies kernels version; do
  code "$table" 0 "$rematctl" "$table"
done
code "delete" 0 "$rematctl" delete "$id"
code "deleted: refused" 4 "$rematctl" job "$id"

code "exit 1: a job that was cancelled" 1 bash -c '
  id=$("$0" -o json submit "$1" | "$0" get - /id) && "$0" cancel "$id" >&2 && "$0" wait "$id"' "$rematctl" "$dir/long.json"
code "exit 2: no command" 2 "$rematctl"
code "exit 2: no such command" 2 "$rematctl" dance
code "exit 2: no such option" 2 "$rematctl" jobs --colour red
code "exit 2: a number that is none" 2 "$rematctl" savings 2048 many 12
code "exit 3: nobody there" 3 "$rematctl" --server http://127.0.0.1:1 health
code "exit 4: no such job" 4 "$rematctl" job none
code "exit 4: an unknown field" 4 "$rematctl" submit - <<<'{"kind": "memory_savings", "seq_len": 8, "d_model": 8, "num_layers": 1, "x": 1}'
says "which is pointed to" /x
code "exit 4: no strategy fits" 4 "$rematctl" submit - <<<"${small/\"kind\"/\"budget_bytes\": 1000, \"kind\"}"
says "and the least budget is named" 'least budget'
code "exit 6: no such file" 6 "$rematctl" upload "$dir/none"
code "exit 6: not JSON" 6 "$rematctl" submit "$dir/log"
id=$(submit "$(cat "$dir/long.json")")
code "exit 7: not finished in time" 7 "$rematctl" wait --timeout 1 "$id"
before=$(date +%s%N)
"$rematctl" cancel "$id" >/dev/null
check "cancel stops a running job" until_state "$id" cancelled 5
check "within two seconds" test $((($(date +%s%N) - before) / 1000000)) -lt 2000
code "cancel again: nothing new" 0 "$rematctl" cancel "$id"
