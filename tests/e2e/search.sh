# search.sh - rematctl on posted graphs and chains: at once, as a job that is watched, and ended by Ctrl-C.
start --workers 1
layered_graph 4 >"$dir/small-graph.json"
layered_graph 120 >"$dir/graph.json"
cat >"$dir/chain.json" <<'CHAIN'
{"stages": [{"input_size": 4, "fast_forward": {"time": 1}, "options": [{"forward": 1, "backward": 2, "kept": 8}]},
            {"input_size": 4, "fast_forward": {"time": 1}, "options": [{"forward": 1, "backward": 2, "kept": 8}]},
            {"input_size": 4, "fast_forward": {"time": 1}, "options": [{"forward": 1, "backward": 2, "kept": 8}]}], "output_size": 4}
CHAIN

code "plan of a graph" 0 "$rematctl" plan --graph "$dir/small-graph.json" --budget 10kB --time-limit 5
says "its verdict" "^fits: .* of 10,000 "
says "its proof" "^Proven, of all plans"
code "plan of a graph within too little" 0 "$rematctl" plan --graph "$dir/small-graph.json" --budget 10
says "it does not fit" "^does not fit 10: .* would do"
code "plan of a graph from standard input, for programs" 0 "$rematctl" -o json plan --graph - --reorder <"$dir/small-graph.json"
same "reorder arrives" true "$(field "$dir/out" /strategy/reorder)"
code "plan of a chain" 0 "$rematctl" plan --chain "$dir/chain.json"
says "its proof" "^Proven, of persistent plans"
code "frontier of a chain" 0 "$rematctl" frontier --chain "$dir/chain.json"
says "it has standard" "standard"
code "frontier of a graph, drawn" 0 "$rematctl" frontier --graph "$dir/graph.json" --points 6 --time-limit 3 --svg "$dir/graph.svg"
check "which is XML" python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$dir/graph.svg"

code "more than a minute: a job" 0 "$rematctl" plan --graph "$dir/small-graph.json" --budget 10kB --time-limit 3600
says "which is named" "^job [0-9a-f-]*; Ctrl-C"
says "and ends with the verdict" "^fits: "

"$rematctl" plan --graph "$dir/graph.json" --budget 5000 --time-limit 3600 >"$dir/search" 2>&1 &
searching=$!
tries=0
until grep -q ' s  best ' "$dir/search" || [ $((tries += 1)) -gt 200 ]; do sleep 0.1; done
before=$(date +%s%N)
kill -INT "$searching"
code "Ctrl-C: cancelled" 1 wait "$searching"
check "within two seconds" test $((($(date +%s%N) - before) / 1000000)) -lt 2500
cp "$dir/search" "$dir/out"
says "a line for each better plan, with its bound and gap" '^ *[0-9.]* s  best [0-9.]* s, +[0-9.]* % compute in .*; at least [0-9.]*, gap [0-9.]* %; [0-9]* states'
says "and the best so far" "^cancelled; the best so far:"
says "which fits" "^fits: "
code "the job is cancelled" 1 "$rematctl" wait "$(sed -n 's/^job \([^;]*\);.*/\1/p' "$dir/search")"
says "and shows its plan" "^fits: "
