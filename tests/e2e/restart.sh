# restart.sh - what was answered 202 is on disk: jobs outlive the daemon, however it ends.

# dead PID...: none of them runs; a zombie that nobody waits for is dead enough.
dead() {
  local process
  for process in "$@"; do
    [ ! -e "/proc/$process" ] || grep -q '^State:.*Z' "/proc/$process/status" || return 1
  done
}
tiny='{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'

# plan: headers to $dir/head, the body to $dir/plan
plan() { curl -sS -D "$dir/head" -o "$dir/plan" "$REMATD_URL/v1/plans?model=gpt2&seq_len=128&strategy=every_layer"; }
timing() { sed -n 's/^Server-Timing: \([a-z]*\).*/\1/p' "$dir/head"; }

start --workers 0
plan
same "a plan is worked out" plan "$(timing)"
mv "$dir/plan" "$dir/plan.first"
plan
same "the second time it is known" cache "$(timing)"
check "and the same" cmp "$dir/plan.first" "$dir/plan"
first=$(submit "$tiny")
second=$(submit "$tiny")
same "queued where nobody works" "queued	0" "$(job_field "$first" /state /attempts)"
stop
same "SIGTERM ends it well" 0 "$stopped"
check "it says what its cache was good for" grep -q 'plan_cache.*1 of 3 questions' "$dir/log"
start --plan-cache 0
plan && plan
same "without a cache it is worked out each time" plan "$(timing)"
check "to the same bytes" cmp "$dir/plan.first" "$dir/plan"
code "after a restart the first is run" 0 "$rematctl" wait --timeout 60 "$first"
code "and the second" 0 "$rematctl" wait --timeout 60 "$second"
digest=$("$rematctl" -o json upload "$root/tests/data/minilm_times.safetensors" | "$rematctl" get - /tensor)

id=$(submit "$(long_job 100)")
check "a long job runs" until_state "$id" running 20
workers=$(children)
stop KILL
sleep 0.3
check "workers die with their parent" dead $workers
start
code "kill -9 of the daemon: the job succeeds after a restart" 0 "$rematctl" wait --timeout 120 "$id"
same "finished jobs are still there" succeeded "$(job_field "$first" /state)"
same "and so are tensors" 200 "$(status "$REMATD_URL/v1/tensors/$digest")"
