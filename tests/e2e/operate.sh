# operate.sh - what runs the daemon for others: metrics, log lines, settings, manual pages, completion, the unit.

export REMATD_CONNECTION=9 # a slip of the pen
start --log-level info
unset REMATD_CONNECTION
cp "$dir/log" "$dir/out"
says "a variable nobody knows is named" '"event":"config.unknown".*REMATD_CONNECTION,'

for _ in $(seq 200); do
  cp "$dir/log" "$dir/out"
  grep -q worker.kernels "$dir/out" && break
  sleep 0.05
done
best=$(grep -qw avx512bw /proc/cpuinfo && echo avx512 || { grep -qw avx2 /proc/cpuinfo && echo avx2; } || echo portable)
says "a worker's kernels are for this processor" "\"event\":\"worker.kernels\".*slot 0: $best\""

# ---- metrics ----

metrics() { curl -sS -D "$dir/head" "$REMATD_URL/metrics" >"$dir/$1"; }
value() { awk -v s="$2" 'index($0, s " ") == 1 { print substr($0, length(s) + 2) }' "$dir/$1"; }

metrics metrics.0
tr -d '\r' <"$dir/head" >"$dir/out"
says "metrics are Prometheus text" '^Content-Type: text/plain; version=0.0.4; charset=utf-8$'
for n in 1 2 3; do
  submit '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}' >"$dir/id"
  until_state "$(cat "$dir/id")" succeeded 60
done
submit '{"kind": "attention", "strategy": "checkpointed", "inputs": {"q": {"shape": [64, 16], "random": {"seed": 1}},
  "k": {"shape": [64, 16], "random": {"seed": 2}}, "v": {"shape": [64, 16], "random": {"seed": 3}}}}' >"$dir/attention"
for _ in $(seq 200); do
  metrics metrics.1
  [ -z "$(value metrics.1 'rematd_jobs_finished_total{kind="attention",outcome="succeeded"}')" ] || break
  sleep 0.05
done
code "a plan" 0 "$rematctl" plan gpt2 --seq-len 64
code "the same plan" 0 "$rematctl" plan gpt2 --seq-len 64
same "a refusal" 404 "$(status "$REMATD_URL/v1/nothing/of/that/name")"
metrics metrics.1
check "they are written as the format says, nothing falls, dashboard and alerts name what there is" \
  "$root/tests/metrics.py" "$dir/metrics.0" --then "$dir/metrics.1"
check "dashboard and alerts name what there is" \
  "$root/tests/metrics.py" "$dir/metrics.1" --uses "$root/deploy/grafana.json" "$root/deploy/alerts.yml"
same "jobs that ended" 3 "$(value metrics.1 'rematd_jobs_finished_total{kind="memory_savings",outcome="succeeded"}')"
same "their waits are measured" 3 "$(value metrics.1 'rematd_job_queue_wait_seconds_count{kind="memory_savings"}')"
same "their runs are measured" 3 "$(value metrics.1 'rematd_job_run_seconds_count{kind="memory_savings",outcome="succeeded"}')"
same "their peaks were the planned ones" 3 "$(value metrics.1 'rematd_job_peak_ratio_bucket{kind="memory_savings",le="1"}')"
same "its peak was the planned one" "1 1 0" "$(for series in 'sum{kind="attention"}' 'bucket{kind="attention",le="1"}' \
  'bucket{kind="attention",le="0.999999"}'; do value metrics.1 "rematd_job_peak_ratio_$series"; done | xargs)"
same "jobs were filed" 4 "$(value metrics.1 'rematd_http_requests_total{route="/v1/jobs",method="POST",status="2xx"}')"
same "one plan was worked out, one was known" "1 1" \
  "$(value metrics.1 'rematd_plan_duration_seconds_count{route="/v1/plans"}') $(value metrics.1 'rematd_plan_cache_lookups_total{result="hit"}')"
same "what fits no route is counted, not named" 1 "$(value metrics.1 'rematd_http_requests_total{route="unmatched",method="any",status="4xx"}')"
before=$(value metrics.1 rematd_data_bytes)
head -c 300000 /dev/zero | python3 -c 'import sys; data = sys.stdin.buffer.read(); head = b"{\"a\":{\"dtype\":\"F32\",\"shape\":[75000],\"data_offsets\":[0,300000]}}"; sys.stdout.buffer.write(len(head).to_bytes(8, "little") + head + data)' >"$dir/file"
same "a tensor is sent" 201 "$(status "$REMATD_URL/v1/tensors" -H "$file_type" --data-binary "@$dir/file")"
metrics metrics.2
check "what the data directory holds is known at once" test "$(value metrics.2 rematd_data_bytes)" -ge $((before + 300000))
code "no path is a label" 1 grep -e nothing/of "$dir/metrics.1"
same "one worker, alive" "1 1" "$(value metrics.1 rematd_workers_configured) $(value metrics.1 rematd_workers_alive)"
same "nothing waits" 0 "$(value metrics.1 rematd_oldest_queued_job_seconds)"

long=$(submit "$(long_job 3000)")
until_state "$long" running 30
waits=$(submit "$(long_job 3000)")
metrics metrics.2
same "a job runs, one waits" "1 1 1" "$(value metrics.2 'rematd_jobs{state="running"}') $(value metrics.2 'rematd_jobs{state="queued"}') $(value metrics.2 rematd_workers_busy)"
same "its memory is reserved" "$(job_field "$long" /planned/admission_bytes)" "$(value metrics.2 rematd_memory_reserved_bytes)"
check "the oldest has an age" awk -v age="$(value metrics.2 rematd_oldest_queued_job_seconds)" 'BEGIN { exit !(age > 0 && age < 60) }'
for id in "$waits" "$long"; do "$rematctl" cancel "$id" >/dev/null; done
until_state "$long" cancelled 30
metrics metrics.2
dead=$(value metrics.2 rematd_worker_deaths_total)
worker=
for _ in $(seq 100); do # it may just be starting, after the cancelled job
  worker=$(children | head -n 1)
  [ -z "$worker" ] || break
  sleep 0.05
done
kill -9 "$worker"
for _ in $(seq 200); do
  metrics metrics.3
  [ "$(value metrics.3 rematd_worker_deaths_total) $(value metrics.3 rematd_workers_alive)" != "$((dead + 1)) 1" ] || break
  sleep 0.05
done
same "a worker's death is counted, and that another lives" "$((dead + 1)) 1" \
  "$(value metrics.3 rematd_worker_deaths_total) $(value metrics.3 rematd_workers_alive)"

# ---- ids and traces ----

trace=0af7651916cd43dd8448eb211c80319c
span=b7ad6b7169203331
asked() { # HEADER...: the X-Request-Id of the answer
  curl -sS -o /dev/null -D - "$@" "$REMATD_URL/v1/kernels" | tr -d '\r' | sed -n 's/^X-Request-Id: //p'
}
same "a client's request id comes back" id/of-mine "$(asked -H 'X-Request-Id: id/of-mine' -H "traceparent: 00-$trace-$span-01")"
check "without one there is one" test "$(asked | wc -c)" -eq 33
check "one that is none is replaced" test "$(asked -H 'X-Request-Id: a b' | wc -c)" -eq 33
same "refusals have it too" mine "$(curl -sS -o /dev/null -D - -H 'X-Request-Id: mine' "$REMATD_URL/none" | tr -d '\r' | sed -n 's/^X-Request-Id: //p')"
same "a job's log line has both" 202 "$(status -H "$json" -H 'X-Request-Id: job-1' -H "traceparent: 00-$trace-$span-00" -d "$(long_job 1)" "$REMATD_URL/v1/jobs")"
asked -H 'X-Request-Id: bad-trace' -H "traceparent: 00-$trace-$span-01-" >/dev/null
asked -H 'X-Request-Id: two-traces' -H "traceparent: 00-$trace-$span-01" -H "traceparent: 00-$trace-$span-01" >/dev/null
stop
python3 - "$dir/log" >"$dir/out" 2>&1 <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1]) if not line.startswith("rematd: listening")]
trace = "0af7651916cd43dd8448eb211c80319c"
def find(event, id):
    return [l for l in lines if l["event"] == event and l.get("request_id") == id]
assert [l.get("trace_id") for l in find("http.request", "id/of-mine")] == [trace]
assert [l.get("trace_id") for l in find("job.queued", "job-1")] == [trace]
assert ["trace_id" in l for l in find("http.request", "bad-trace") + find("http.request", "two-traces")] == [False, False]
assert all("request_id" in l for l in lines if l["event"] == "http.request")
assert all("request_id" in l for l in lines if l["event"].startswith("job.")), "a worker's too"
assert {l["request_id"] for l in lines if l["event"] == "job.started"} <= {l["request_id"] for l in lines if l["event"] == "job.queued"}
assert any(l["event"] == "job.started" for l in lines)
assert not any("request_id" in l for l in lines if l["event"] in ("serve.started", "worker.started"))
print("%d lines" % len(lines))
PY
if grep -q ' lines$' "$dir/out"; then pass "every line of the log is JSON, and belongs to its request"; else fail "the log"; fi

# ---- after a restart ----

start --log-level error
metrics metrics.4
same "a restart forgets no job" 3 "$(value metrics.4 'rematd_jobs_finished_total{kind="memory_savings",outcome="succeeded"}')"
"$rematctl" delete "$(cat "$dir/id")"
metrics metrics.5
same "nor does the removal of one" 3 "$(value metrics.5 'rematd_jobs_finished_total{kind="memory_savings",outcome="succeeded"}')"
stop
code "at log level error nothing is said of a good day" 1 grep -e '"level":"info"' "$dir/log"

# ---- settings ----

printf '; mine\n[rematd]\nworkers = 2\nlog-level = warning\n' >"$dir/rematd.ini"
printf 'workers = 2\nworkerz = 3\n' >"$dir/bad.ini"
code "settings are printed" 0 env REMATD_THREADS=3 "$rematd" serve --config "$dir/rematd.ini" --listen '[::1]:0' --data "$dir/data" --print-config
says "a flag's origin" '^listen = \[::1\]:0 *; flag --listen$'
says "a variable's" '^threads = 3 *; environment REMATD_THREADS$'
says "a line's" "^workers = 2 *; $dir/rematd.ini:3\$"
says "a default's" '^connections = 256 *; default$'
cp "$dir/out" "$dir/printed.ini"
code "what is printed is a file" 0 "$rematd" serve --config "$dir/printed.ini" --check-config
code "the sample file is good" 0 "$rematd" serve --config "$root/deploy/rematd.ini" --check-config
sed 's/^#\([a-z-]* =\)/\1/' "$root/deploy/rematd.ini" >"$dir/sample.ini"
code "with every line of it in force" 0 "$rematd" serve --config "$dir/sample.ini" --check-config
code "a key nobody knows is wrong usage" 2 "$rematd" serve --config "$dir/bad.ini" --check-config
says "with file and line" "$dir/bad.ini:2: 'workerz' is not a setting"
check "checking starts nothing" test ! -e "$dir/data/url"

# ---- manual pages, completion, the unit ----

"$root/deploy/man/page.sh" rematd "$rematd" 0 >"$dir/rematd.1"
"$root/deploy/man/page.sh" rematctl "$rematctl" 0 >"$dir/rematctl.1"
sed -n 's/^  \(--[a-z-]*\).*/\1/p' <("$rematd" serve --help) | sort >"$dir/flags"
sed -n 's/^\.TP$//; s/^\\fB\(\\-\\-[a-z\\-]*\)\\fR.*/\1/p' "$dir/rematd.1" | tr -d '\\' | sort -u >"$dir/paged"
check "every flag is in the manual" test -s "$dir/flags" -a -z "$(comm -23 "$dir/flags" "$dir/paged")"
check "the file's keys are flags" test -z "$(sed -n 's/^#*\([a-z-]*\) = .*/--\1/p' "$root/deploy/rematd.ini" | sort | comm -23 - "$dir/flags")"
check "every command of rematctl is in its own" grep -q '^  completion' "$dir/rematctl.1"
if command -v groff >/dev/null; then
  check "the pages are sound" test -z "$(groff -man -ww -z "$dir/rematd.1" "$dir/rematctl.1" 2>&1)"
fi

cat >"$dir/complete" <<'SH'
eval "$("$1" completion bash)"
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _rematctl; echo "${COMPREPLY[*]}"; }
try rematctl ev
try rematctl --server ev
try rematctl plan --bat
try rematctl -o json canc
try rematctl job can
SH
same "bash completes commands and options, and leaves values and files alone" "events

--batch
cancel" "$(bash "$dir/complete" "$rematctl")"
code "completion for fish" 0 "$rematctl" completion fish
says "it has what commands do" "^complete -c rematctl -n __fish_use_subcommand -a cancel -d 'cancel a queued or running job'\$"
code "completion for zsh" 0 "$rematctl" completion zsh
says "so has that for zsh" "^    'cancel:cancel a queued or running job'\$"
for shell in zsh fish; do
  command -v $shell >/dev/null || continue
  "$rematctl" completion $shell >"$dir/script"
  check "$shell reads it" $shell -n "$dir/script"
done
code "completion for no shell: wrong usage" 2 "$rematctl" completion csh

if command -v systemd-analyze >/dev/null; then
  sed -e "s|/usr/bin/rematd|$rematd|; /^Documentation/d" "$root/deploy/rematd.service" >"$dir/rematd.service"
  check "the unit is one" test -z "$(systemd-analyze verify "$dir/rematd.service" 2>&1)"
fi
