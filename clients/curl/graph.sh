#!/bin/sh
# graph.sh - a graph of one's own: which nodes to run again, so that what is alive stays within a budget; and a chain of
# stages, whose whole frontier of memory against time is exact. With more time than a minute: a job of kind plan.
set -eu
: "${REMATD_URL:=http://127.0.0.1:8740}"

graph='{"nodes": [
    {"id": "x", "bytes": 100, "phase": "input"},
    {"id": "a", "seconds": 1, "bytes": 400}, {"id": "b", "seconds": 2, "bytes": 400}, {"id": "c", "seconds": 2, "bytes": 400},
    {"id": "loss", "seconds": 1, "bytes": 4},
    {"id": "grad_c", "seconds": 2, "bytes": 400, "phase": "backward"},
    {"id": "grad_b", "seconds": 4, "bytes": 400, "phase": "backward"},
    {"id": "grad_a", "seconds": 2, "bytes": 100, "phase": "backward"}],
  "edges": [["x", "a"], ["a", "b"], ["b", "c"], ["c", "loss"], ["c", "grad_c"], ["loss", "grad_c"], ["b", "grad_b"],
    ["grad_c", "grad_b"], ["a", "grad_a"], ["x", "grad_a"], ["grad_b", "grad_a"]],
  "outputs": ["loss", "grad_a"]}'
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/plans" -H 'Content-Type: application/json' -d "{\"graph\": $graph,
  \"strategy\": {\"name\": \"optimal_dag\", \"time_limit_seconds\": 5}, \"budget_bytes\": 1400, \"include\": [\"steps\"]}"

chain='{"stages": [
    {"input_size": 10, "fast_forward": {"time": 1}, "options": [{"forward": 1, "backward": 2, "kept": 100}]},
    {"input_size": 20, "fast_forward": {"time": 2},
     "options": [{"forward": 2, "backward": 4, "kept": 100}, {"forward": 2, "backward": 5, "kept": 40}]},
    {"input_size": 20, "fast_forward": {"time": 2}, "options": [{"forward": 2, "backward": 4, "kept": 100}]},
    {"input_size": 10, "fast_forward": {"time": 0}, "options": [{"forward": 0, "backward": 0, "kept": 0}]}],
  "output_size": 1}'
curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/frontiers" -H 'Content-Type: application/json' -d "{\"chain\": $chain}"

curl -sS --fail-with-body -w '\n' "$REMATD_URL/v1/jobs" -H 'Content-Type: application/json' -H 'Prefer: wait=30' -d "{
  \"kind\": \"plan\", \"graph\": $graph, \"strategy\": {\"name\": \"optimal_dag\", \"time_limit_seconds\": 600}, \"budget_bytes\": 1400}"
