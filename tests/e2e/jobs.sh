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
check "it is cancelled" until_state "$id" cancelled 10
id=$(submit "$(with '"timeout_seconds": 1' "$(long_job 4000)")")
check "a job runs" until_state "$id" running 20
kill -STOP $(children)
check "a worker that hangs is ended by force" until_state "$id" failed 10
same "its job is not tried again" "timeout	1" "$(slug "$id")	$(job_field "$id" /attempts)"
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
stop

# --- what is kept, how long, and how much of it
# npy FILE COUNT: a file of that many zeros.
npy() {
  python3 -c 'import sys
head = "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (%d,), }".replace("\"", chr(39)) % int(sys.argv[2])
head += " " * (53 - len(head) % 64 + (64 if len(head) % 64 > 53 else 0)) + "\n"
open(sys.argv[1], "wb").write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(4 * int(sys.argv[2])))' "$@"
}
files() { find "$dir/data/blobs" "$dir/data/tmp" -type f | wc -l; }
small='{"kind": "attention", "inputs": {"q": {"shape": [4, 8], "random": {"seed": 1}},
  "k": {"shape": [4, 8], "random": {"seed": 2}}, "v": {"shape": [4, 8], "random": {"seed": 3}}}}'
npy "$dir/one.npy" 16
rm -rf "$dir/data"
start --workers 1
id=$(submit "$small")
code "a job is run" 0 "$rematctl" wait --timeout 20 "$id"
digest=$("$rematctl" -o json upload "$dir/one.npy" | "$rematctl" get - /tensor)
output=$(job_field "$id" /result/outputs/output/tensor)
kept=$(files)
stop KILL
mkdir -p "$dir/data/blobs/ab"
: >"$dir/data/blobs/ab/ab${digest#sha256:??}"
echo left >"$dir/data/tmp/upload-XXXXXX"
echo left >"$dir/data/tmp/outputs-XXXXXX"
start --workers 1
same "after a kill nothing is left that nobody knows" "$kept" "$(files)"
same "what is known stays" "200 200" "$(status "$REMATD_URL/v1/tensors/$digest") $(status "$REMATD_URL/v1/tensors/$output")"
stop
start --workers 1 --retention 1
check "a job that has ended goes after --retention" until_status 404 "$REMATD_URL/v1/jobs/$id"
check "its files too" until_status 404 "$REMATD_URL/v1/tensors/$output"
check "and what was uploaded for nothing" until_status 404 "$REMATD_URL/v1/tensors/$digest"
same "nothing is left" 0 "$(files)"
stop
rm -rf "$dir/data"
start --workers 0 --data-limit 8M
npy "$dir/large.npy" 2500000
upload() { status "$REMATD_URL/v1/tensors" -H "$file_type" --data-binary @"$1"; }
same "a small file has room" 201 "$(upload "$dir/one.npy")"
same "a large one has not" 507 "$(upload "$dir/large.npy")"
check "it says which setting" grep -q -e --data-limit "$dir/body"
same "nothing of it stays" 1 "$(files)"
same "a small one still has room" 201 "$(upload "$dir/one.npy")"
stop
start --workers 1 --data-limit 8M
id=$(submit "${small//4, 8/64, 32768}")
code "a job whose results have no room fails" 1 "$rematctl" wait --timeout 60 "$id"
same "and says so" full "$(slug "$id")"
id=$(printf '%s' "$tiny" | "$rematctl" -o json submit --key once - | "$rematctl" get - /id)
stop
start --workers 0 --data-limit 40K
same "a full directory takes no job" 507 "$(status "$REMATD_URL/v1/jobs" -H "$json" -d "$tiny")"
same "a known key is answered" 202 "$(status "$REMATD_URL/v1/jobs" -H "$json" -H 'Idempotency-Key: once' -d "$tiny")"
same "and what is there" 200 "$(status "$REMATD_URL/v1/jobs/$id")"
stop

# --- labels, and a second chance
start --workers 0
ids() { python3 -c 'import json, sys; print(*[job["id"] for job in json.load(open(sys.argv[1]))["jobs"]])' "$dir/body"; }
a=$(submit "$(with '"labels": {"team": "x", "run": "1"}' "$tiny")")
b=$(submit "$(with '"labels": {"team": "x"}' "$tiny")")
c=$(printf '%s' "$tiny" | "$rematctl" -o json submit --label team:y --label run:1 --queue-timeout 600 - | "$rematctl" get - /id)
same "a job has its labels" 'x	1' "$(job_field "$a" /labels/team /labels/run)"
same "rematctl submit --label, --queue-timeout" 'y	1	600' "$(job_field "$c" /labels/team /labels/run /queue_timeout_seconds)"
same "jobs with a label" "200 $b $a" "$(status "$REMATD_URL/v1/jobs?label=team:x") $(ids)"
same "with both" "200 $a" "$(status "$REMATD_URL/v1/jobs?label=team:x&label=run:1") $(ids)"
same "with one that none has" "200 " "$(status "$REMATD_URL/v1/jobs?label=team:") $(ids)"
same "page by page" "200 $b" "$(status -D "$dir/head" "$REMATD_URL/v1/jobs?label=team:x&state=queued&page_size=1") $(ids)"
next=$(sed -n 's/^[Ll]ink: <\(.*\)>; rel="next".*/\1/p' "$dir/head")
same "the link keeps them" "200 $a" "$(status "$REMATD_URL$next") $(ids)"
check "all of them" grep -q 'label=team:x&state=queued' <<<"$next"
same "a parameter twice" "400 /state" "$(status "$REMATD_URL/v1/jobs?state=queued&label=team:x&state=running") $(field "$dir/body" /pointer)"
same "no colon" "400 /label" "$(status "$REMATD_URL/v1/jobs?label=team") $(field "$dir/body" /pointer)"
same "not a label" 422 "$(status "$REMATD_URL/v1/jobs?label=te%20am:x")"
same "rematctl jobs --label" 2 "$("$rematctl" jobs --label team:x | grep -c queued)"
same "only what has ended badly is run again" 409 "$(status -X POST "$REMATD_URL/v1/jobs/$a/retry")"
same "and what there is" 404 "$(status -X POST "$REMATD_URL/v1/jobs/nobody/retry")"
"$rematctl" cancel "$a" >/dev/null
same "again" "202" "$(status -D "$dir/head" -X POST "$REMATD_URL/v1/jobs/$a/retry" -H 'Idempotency-Key: again')"
again=$(field "$dir/body" /id)
check "it is another job" grep -qi "^location: /v1/jobs/$again" "$dir/head"
same "with the same body" "queued	$a	x	1" "$(job_field "$again" /state /retry_of /labels/team /labels/run)"
same "a key is for one" "202 $again" \
  "$(status -X POST "$REMATD_URL/v1/jobs/$a/retry" -H 'Idempotency-Key: again') $(field "$dir/body" /id)"
same "not for another body" 422 "$(status "$REMATD_URL/v1/jobs" -H "$json" -H 'Idempotency-Key: again' \
  -d "$(with '"labels": {"team": "x", "run": "1"}' "$tiny")")"
"$rematctl" cancel "$again" >/dev/null
same "rematctl retry" "$again" "$("$rematctl" -o json retry "$again" | "$rematctl" get - /retry_of)"
stop

# --- what happens to many jobs
rm -rf "$dir/data"
start --workers 1
feed() { curl -sS -N --max-time 60 "$REMATD_URL/v1/events$1" "${@:2}"; }
until_line() { # PATTERN FILE SECONDS
  local tries=0
  until grep -q -e "$1" "$2"; do
    tries=$((tries + 1))
    [ "$tries" -lt $(($3 * 20)) ] || return 1
    sleep 0.05
  done
}
jobs_of() { sed -n 's/.*"job":"\([^"]*\)".*/\1/p' "$@" | sort -u | tr '\n' ' '; }
lines='Accept: application/x-ndjson'
a=$(submit "$(with '"labels": {"team": "x"}' "$(long_job 20)")")
b=$(submit "$tiny")
c=$(submit "$(with '"labels": {"team": "y"}' "$tiny")")
feed "?label=team:x" -H "$lines" >"$dir/labelled" & third=$!
feed "?job=$a&job=$b" >"$dir/sse" & first=$!
feed "?job=$a&job=$b" -H "$lines" >"$dir/lines" & second=$!
code "a stream ends with its jobs" 0 wait "$first"
code "a second one too" 0 wait "$second"
same "both jobs have ended by then" "succeeded succeeded" "$(job_field "$a" /state) $(job_field "$b" /state)"
same "all hear the same" "$(sed -n 's/^data: //p' "$dir/sse")" "$(sed 's/.*"data":\(.*\)}$/\1/' "$dir/lines")"
same "of these jobs" "$a $b " "$(jobs_of "$dir/lines")"
same "each from its beginning to its end" 'queued running succeeded queued running succeeded ' \
  "$({ grep "$a" "$dir/lines"; grep "$b" "$dir/lines"; } | sed -n 's/.*"state":"\([a-z]*\)".*/\1/p' | tr '\n' ' ')"
sed -n 's/^{"id":\([0-9]*\).*/\1/p' "$dir/lines" >"$dir/numbers"
check "ids rise" sort -nuc "$dir/numbers"
half=$(sed -n 3p "$dir/numbers")
feed "?job=$a&job=$b" -H "$lines" -H "Last-Event-ID: $half" >"$dir/rest"
same "Last-Event-ID: exactly the rest" "$(tail -n +4 "$dir/lines")" "$(cat "$dir/rest")"
same "nothing is left: 204" 204 "$(status "$REMATD_URL/v1/events?job=$a&job=$b" -H "Last-Event-ID: $(tail -n 1 "$dir/numbers")")"
same "rematctl hears them too" "$(cat "$dir/lines")" "$("$rematctl" -o json events "$a" "$b")"
code "rematctl: for people" 0 "$rematctl" events "$a" "$b"
says "and whose events they are" "$a  state *succeeded"
check "by label" until_line succeeded "$dir/labelled" 20
"$rematctl" wait --timeout 20 "$c" >/dev/null
feed "" -H "$lines" >"$dir/all" & first=$!
check "of all" until_line "$c.*succeeded" "$dir/all" 20
check "those of labels go on when their jobs have ended" kill -0 "$third" "$first"
kill "$third" "$first"
same "of no other label" "$a " "$(jobs_of "$dir/labelled")"
same "of every job" "$(printf '%s\n' "$a" "$b" "$c" | sort | tr '\n' ' ')" "$(jobs_of "$dir/all")"
feed "?last_event_id=latest" >"$dir/latest" & first=$!
check "a stream begins before there is anything to say" until_line '^: ping' "$dir/latest" 10
b=$(submit "$tiny")
check "it hears what comes" until_line "$b.*succeeded" "$dir/latest" 20
kill "$first"
same "latest: only what comes" "$b " "$(jobs_of "$dir/latest")"
same "an unknown job" 404 "$(status "$REMATD_URL/v1/events?job=$a&job=nobody")"
same "an id that is none" 400 "$(status "$REMATD_URL/v1/events?last_event_id=x")"
same "an unknown parameter" 400 "$(status "$REMATD_URL/v1/events?since=1")"
same "a label that is none" 400 "$(status "$REMATD_URL/v1/events?label=team")"
same "another type" 406 "$(status "$REMATD_URL/v1/events" -H 'Accept: image/png')"
