# restart.sh - what was answered 202 is on disk: jobs outlive the daemon, however it ends.

# dead PID...: none of them runs; a zombie that nobody waits for is dead enough.
dead() {
  local process
  for process in "$@"; do
    [ ! -e "/proc/$process" ] || grep -q '^State:.*Z' "/proc/$process/status" || return 1
  done
}
tiny='{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'

start --workers 0
first=$(submit "$tiny")
second=$(submit "$tiny")
same "queued where nobody works" "queued	0" "$(job_field "$first" /state /attempts)"
stop
same "SIGTERM ends it well" 0 "$stopped"
start
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
