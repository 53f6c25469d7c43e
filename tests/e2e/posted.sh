# posted.sh - a graph that is planned by a job: it reports while it searches, and a cancel keeps the best so far.
start --workers 1
# layered N BYTES SECONDS: a job of N layers, each with a forward and a backward node, in so many bytes
layered() {
  printf '{"kind": "plan", "graph": %s, "budget_bytes": %d, "strategy": {"name": "optimal_dag", "time_limit_seconds": %s}}' \
    "$(layered_graph "$1")" "$2" "$3"
}

id=$(submit "$(layered 4 100000 60)")
code "a search that is soon over" 0 "$rematctl" wait "$id"
same "it is proven" "true	true" "$(job_field "$id" /result/feasible /result/optimality/exact)"

id=$(submit "$(layered 120 3000 3600)")
check "a long search runs" until_state "$id" running 20
sleep 2
check "cancelling it" "$rematctl" cancel "$id"
check "it stops" until_state "$id" cancelled 5
check "what it found by then is its result" job_field "$id" /result/feasible /result/standard/peak_bytes
curl -sS -N --max-time 20 "$REMATD_URL/v1/jobs/$id/events" >"$dir/sse"
check "it has told how far it was" grep -q '"report":{"phase":"search"' "$dir/sse"
