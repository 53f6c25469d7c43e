# crash.sh - kill -9 of a worker costs its job a retry and nothing else; a job that kills every worker fails.
start
same "one worker" 1 "$(children | wc -l)"

id=$(submit "$(long_job 100)")
check "the job runs" until_state "$id" running 20
worker=$(children)
kill -9 $worker
code "the job succeeds all the same" 0 "$rematctl" wait --timeout 120 "$id"
same "at the second attempt" "succeeded	2" "$(job_field "$id" /state /attempts)"
check "the daemon never noticed" "$rematctl" health
check "another worker took its place" test "$(children)" != "$worker"
code "and takes the next job" 0 "$rematctl" submit --wait - <<<'{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'

id=$(submit "$(long_job 600)")
check "a second job runs" until_state "$id" running 20
killed=0
for _ in 1 2 3 4 5 6; do
  [ "$(job_field "$id" /state)" != failed ] || break
  until_state "$id" running 20 && sleep 0.2 && kill -9 $(children) && killed=$((killed + 1))
  sleep 0.5
done
check "a job that kills its workers fails in the end" until_state "$id" failed 10
check "after a few attempts ($killed kills)" test "$killed" -le 4
job_field "$id" /problem >"$dir/out"
says "and says that a worker crashed" crash

# a worker that hangs as a whole: it is stopped, so it cannot end its own job
id=$(submit "$(long_job 600)")
check "a third job runs" until_state "$id" running 20
kill -STOP $(children)
check "is cancelled" "$rematctl" cancel "$id"
check "a hung worker does not keep a cancelled job" until_state "$id" cancelled 5
code "and another takes the next job" 0 "$rematctl" submit --wait - <<<'{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'
