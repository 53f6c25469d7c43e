# drain.sh - SIGTERM: not ready, no new work, what runs may end, the rest waits for the next start.
start

kill -HUP "$pid"
check "SIGHUP without tokens is heard, and that is all" until_said "no tokens and no certificate"
again=$(submit "$(long_job 60)")
"$rematctl" cancel "$again" >/dev/null
check "a job is cancelled" until_state "$again" cancelled 20
running=$(submit "$(long_job 60)")
waiting=$(submit "$(long_job 2)")
check "one job runs" until_state "$running" running 20
frontier='{"workload": {"model": "llama-3.1-405b", "seq_len": 8192, "dtype": "bfloat16", "attention": "flash"}}'
{ curl -sS -o "$dir/cut" -w '%{http_code} %{time_total}' "$REMATD_URL/v1/frontiers" -H "$json" -d "$frontier" >"$dir/cut.status"; } &
planned=$!
sleep 0.3
kill -TERM "$pid"
sleep 0.3
same "readyz says no while draining" 503 "$(status "$REMATD_URL/readyz")"
same "healthz says yes" 200 "$(status "$REMATD_URL/healthz")"
same "a new job is refused" 503 "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "$(long_job 2)")"
same "nor is one run again" 503 "$(status -X POST "$REMATD_URL/v1/jobs/$again/retry")"
check "with Retry-After" bash -c 'curl -sS -o /dev/null -D - "$1" | grep -qi "^retry-after:"' - "$REMATD_URL/readyz"
before=$(date +%s)
wait "$planned"
read -r code seconds <"$dir/cut.status" || true
same "a long plan is not waited for" "503 /problems/busy" "$code $(field "$dir/cut" /type)"
check "  and its client hears that soon" test "${seconds%.*}" -lt 5
stopped=0
wait "$pid" || stopped=$?
pid=
same "it ends well" 0 "$stopped"
check "it ends in time" test $(($(date +%s) - before)) -lt 40
start
code "the running job is not lost" 0 "$rematctl" wait --timeout 120 "$running"
same "nor counted twice" 1 "$(job_field "$running" /attempts)"
code "the waiting one is run" 0 "$rematctl" wait --timeout 60 "$waiting"
