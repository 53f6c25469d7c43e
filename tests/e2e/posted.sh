# posted.sh - a graph that is planned by a job: it reports while it searches, and a cancel keeps the best so far.
start --workers 1
# layered N BYTES SECONDS: a job of N layers, each with a forward and a backward node, in so many bytes
layered() {
  awk -v n="$1" -v budget="$2" -v seconds="$3" 'BEGIN {
    for (i = 0; i < n; i++)
      nodes = nodes sprintf("{\"id\": %d, \"seconds\": %d, \"bytes\": %d},", i, 1 + i * 7 % 5, 50 + i * 13 % 100)
    for (i = n - 1; i >= 0; i--)
      nodes = nodes sprintf("{\"id\": \"g%d\", \"seconds\": 2, \"bytes\": 60, \"phase\": \"backward\"}%s", i, i ? "," : "")
    for (i = 0; i < n; i++) {
      if (i) edges = edges sprintf("[%d, %d], [\"g%d\", \"g%d\"],", i - 1, i, i, i - 1)
      if (i > 4) edges = edges sprintf("[%d, %d],", i - 5, i)
      edges = edges sprintf("[%d, \"g%d\"]%s", i, i, i < n - 1 ? "," : "")
    }
    printf "{\"kind\": \"plan\", \"graph\": {\"nodes\": [%s], \"edges\": [%s]}, \"budget_bytes\": %d,", nodes, edges, budget
    printf "\"strategy\": {\"name\": \"optimal_dag\", \"time_limit_seconds\": %g}}", seconds
  }'
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
