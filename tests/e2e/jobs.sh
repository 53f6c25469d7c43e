# jobs.sh - what others rely on: time limits, a bounded queue, retention, labels, retries, fair shares, events of many.

# with MEMBERS BODY: the body with more members.
with() { printf '{%s, %s' "$1" "${2#\{}"; }
tiny='{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}'
slug() { job_field "$1" /problem/type | sed 's|.*/||'; }

start --workers 1
id=$(submit "$(with '"timeout_seconds": 1' "$(long_job 4000)")")
waiting=$(submit "$(with '"queue_timeout_seconds": 20' "$tiny")")
same "the job says how long it may take" "1	null" "$(job_field "$id" /timeout_seconds /queue_timeout_seconds)"
check "one that runs too long fails" until_state "$id" failed 10
same "with a problem of its own" timeout "$(slug "$id")"
same "that names the field" /timeout_seconds "$(job_field "$id" /problem/pointer)"
same "tried once" 1 "$(job_field "$id" /attempts)"
code "in time, for the next" 0 "$rematctl" wait --timeout 20 "$waiting"
id=$(submit "$(long_job 4000)")
check "a job runs" until_state "$id" running 20
waiting=$(submit "$(with '"queue_timeout_seconds": 1, "timeout_seconds": 2592000' "$tiny")")
check "one that waits too long fails" until_state "$waiting" failed 10
same "with a problem of its own" queue-timeout "$(slug "$waiting")"
same "the other one runs on" running "$(job_field "$id" /state)"
same "no time is no limit" 422 "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "$(with '"timeout_seconds": 0' "$tiny")")"
same "a month is the most" 422 \
  "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "$(with '"queue_timeout_seconds": 2592001' "$tiny")")"
same "and it is named" /queue_timeout_seconds "$(field "$dir/body" /pointer)"
"$rematctl" cancel "$id" >/dev/null
stop

# --- a full queue
start --workers 0 --queue-limit 2
submit "$tiny" >/dev/null
id=$(printf '%s' "$tiny" | "$rematctl" -o json submit --key once - | "$rematctl" get - /id)
same "a full queue" 503 "$(status -D "$dir/head" "$REMATD_URL/v1/jobs" -H "$json" -d "$tiny")"
check "with Retry-After" grep -qi '^retry-after: [0-9]' "$dir/head"
check "it says which setting" grep -q -e --queue-limit "$dir/body"
same "a known key is answered" "202 $id" \
  "$(status "$REMATD_URL/v1/jobs" -H "$json" -H 'Idempotency-Key: once' -d "$tiny") $(field "$dir/body" /id)"
"$rematctl" cancel "$id" >/dev/null
same "there is room again" 202 "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "$tiny")"
