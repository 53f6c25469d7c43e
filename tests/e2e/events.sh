# events.sh - what happens to a job, as it happens: read from the start, resumed, by several, and by who leaves.
start --workers 1
events() { # ID CURL-ARGUMENTS...
  local id=$1
  shift
  curl -sS -N --max-time 60 "$REMATD_URL/v1/jobs/$id/events" "$@"
}
lines='Accept: application/x-ndjson'

id=$(submit "$(long_job 60)")
events "$id" >"$dir/sse" & first=$!
events "$id" -H "$lines" >"$dir/lines" & second=$!
"$rematctl" -o json events "$id" >"$dir/ctl" & third=$!
"$rematctl" events "$id" >"$dir/people" & fourth=$!
check "others are served while four watch" "$rematctl" health
code "a stream ends with its job" 0 wait "$first"
code "a second one too" 0 wait "$second"
code "rematctl too" 0 wait "$third"
code "rematctl's table too" 0 wait "$fourth"
same "the job has ended by then" succeeded "$(job_field "$id" /state)"
same "all hear the same" "$(sed -n 's/^data: //p' "$dir/sse")" "$(sed 's/.*"data":\(.*\)}$/\1/' "$dir/lines")"
same "rematctl hears it" "$(cat "$dir/lines")" "$(cat "$dir/ctl")"
n=$(wc -l <"$dir/lines")
same "a line an event, for people" "$n" "$(wc -l <"$dir/people")"
check "progress is among them" grep -q '^event: progress$' "$dir/sse"
same "ids count from 1" "$(seq "$n")" "$(sed -n 's/^id: //p' "$dir/sse")"
same "states in their order" 'queued running succeeded' \
  "$(sed -n 's/^data: {"state":"\([a-z]*\)".*/\1/p' "$dir/sse" | tr '\n' ' ' | sed 's/ $//')"
check "all is done before the end" grep -q '"done":\([0-9]*\),"total":\1}' "$dir/lines"

events "$id" >"$dir/again"
same "of a finished job: the same, at once" "$(cat "$dir/sse")" "$(cat "$dir/again")"
events "$id" -H "$lines" -H 'Last-Event-ID: 2' >"$dir/rest"
same "Last-Event-ID: exactly the rest" "$(tail -n +3 "$dir/lines")" "$(cat "$dir/rest")"
same "last_event_id too" "$(cat "$dir/rest")" "$(curl -sS "$REMATD_URL/v1/jobs/$id/events?last_event_id=2" -H "$lines")"
same "the header counts" "$(cat "$dir/rest")" \
  "$(curl -sS "$REMATD_URL/v1/jobs/$id/events?last_event_id=1" -H "$lines" -H 'Last-Event-ID: 2')"
same "rematctl resumes" "$(cat "$dir/rest")" "$("$rematctl" -o json events "$id" --last-event-id 2)"
same "nothing is left: 204" 204 "$(status "$REMATD_URL/v1/jobs/$id/events" -H "Last-Event-ID: $n")"
code "rematctl: nothing is left" 0 "$rematctl" events "$id" --last-event-id "$n"
same "HEAD" 200 "$(status -I "$REMATD_URL/v1/jobs/$id/events")"
same "an unknown job" 404 "$(status "$REMATD_URL/v1/jobs/nobody/events")"
code "rematctl: refused" 4 "$rematctl" events nobody
same "an id that is none" 400 "$(status "$REMATD_URL/v1/jobs/$id/events" -H 'Last-Event-ID: x')"
same "an unknown parameter" 400 "$(status "$REMATD_URL/v1/jobs/$id/events?since=1")"
same "another type" 406 "$(status "$REMATD_URL/v1/jobs/$id/events" -H 'Accept: image/png')"
same "another method" 405 "$(status -X DELETE "$REMATD_URL/v1/jobs/$id/events")"

id=$(submit "$(long_job 600)")
check "a job runs" until_state "$id" running 20
waiting=$(submit "$(long_job 2)")
"$rematctl" events "$id" >"$dir/cancelled" & first=$!
events "$waiting" -H "$lines" >"$dir/waiting" & second=$!
timeout 1 curl -sS -N "$REMATD_URL/v1/jobs/$id/events" >"$dir/left"
check "who leaves has heard what was" grep -q running "$dir/left"
kill -9 $(children)
tries=0
until [ "$(job_field "$id" /attempts)" = 2 ] || [ "$tries" -gt 200 ]; do
  tries=$((tries + 1))
  sleep 0.05
done
same "its worker is killed, it runs again" "running	2" "$(job_field "$id" /state /attempts)"
"$rematctl" cancel "$id" >/dev/null
code "exit 1: it was cancelled" 1 wait "$first"
same "back to the queue, then cancelled" 'queued, attempt 0
running, attempt 1
queued, attempt 1
running, attempt 2
cancelled, attempt 2' "$(sed -n 's/^ *[0-9]*  state *//p' "$dir/cancelled")"
code "one that waits is heard as well" 0 wait "$second"
same "from the queue to its end" 'queued running succeeded' \
  "$(sed -n 's/.*"state":"\([a-z]*\)".*/\1/p' "$dir/waiting" | tr '\n' ' ' | sed 's/ $//')"

id=$(submit "$(long_job 600)")
check "a job runs" until_state "$id" running 20
queued=$(submit "$(long_job 2)")
events "$queued" >"$dir/queued" & first=$!
sleep 0.3
"$rematctl" cancel "$queued" >/dev/null
code "a queued job's stream ends with a cancel" 0 wait "$first"
queued=$(submit "$(long_job 2)")
events "$queued" >"$dir/queued" & first=$!
sleep 0.3
"$rematctl" cancel "$id" >/dev/null
check "it is cancelled" until_state "$id" cancelled 5
id=$(submit "$(long_job 600)")
check "a job runs" until_state "$id" running 20
events "$id" >"$dir/running" & second=$!
sleep 0.3
kill -TERM "$pid"
kill -TERM "$pid"
code "a stream ends with the daemon" 0 wait "$second"
wait "$first" || true
stopped=0
wait "$pid" || stopped=$?
pid=
same "which ends well" 0 "$stopped"
