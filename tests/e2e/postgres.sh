# postgres.sh - one queue for several machines: a front, workers elsewhere and a second front, which share a PostgreSQL
# database and nothing else. A worker that is killed, a database that goes away, a tensor that is damaged on its way.
server=$dir.postgres
began=0
"$root/tests/postgres.sh" start "$server" >"$dir/out" 2>&1 || began=$?
if [ "$began" = 77 ]; then
  cat "$dir/out"
  return 0
fi
same "a PostgreSQL server starts" 0 "$began"
export REMATD_STORE="postgres:///postgres?host=$server&user=rematd"
as_admin() {
  psql -X -q -A -t "$REMATD_STORE" -c "$1"
}
# elsewhere NAME: a worker on another machine; its process is $!
elsewhere() {
  "$rematd" work --data "$dir/$1" --threads 1 >>"$dir/$1.log" 2>&1 &
}
bytes_of() { # URL
  curl -sS "$1" | sha256sum | cut -d' ' -f1
}

start --workers 0
first=$REMATD_URL
elsewhere other
worker=$!
same "the front is ready when the database is" 200 "$(status "$first/readyz")"

# tensors go there and back
file=$root/tests/data/minilm_times.safetensors
digest=sha256:$(sha256sum "$file" | cut -d' ' -f1)
same "a tensor is taken" 201 "$(status -X PUT -H "$file_type" --data-binary "@$file" "$first/v1/tensors/$digest")"
body='{"kind": "attention", "strategy": "flash_checkpointed", "compare_with": "flash", "inputs": {"q": {"tensor": "'$digest'", "name": "q"},
  "k": {"tensor": "'$digest'", "name": "k"}, "v": {"tensor": "'$digest'", "name": "v"}}}'
id=$(submit "$body")
check "a job runs on the other machine" "$rematctl" wait --timeout 20 "$id"
same "with the tensors that were sent here" true "$(job_field "$id" /result/comparison/identical)"
output=$(job_field "$id" /result/outputs/output/tensor)
same "which are there now too" "$digest" "sha256:$(cat "$dir/other/blobs/"*/"${digest#sha256:}" | sha256sum | cut -d' ' -f1)"
same "and what it made is read here" "$output" "sha256:$(bytes_of "$first/v1/tensors/$output")"

# a second front
"$rematd" serve --listen 127.0.0.1:0 --workers 0 --data "$dir/second" >"$dir/second.log" 2>&1 &
front=$!
until [ -s "$dir/second/url" ]; do sleep 0.05; done
second=$(cat "$dir/second/url")
same "a second front knows the job" succeeded "$(REMATD_URL=$second job_field "$id" /state)"
same "and its tensors" "$output" "sha256:$(bytes_of "$second/v1/tensors/$output")"
as_admin "UPDATE blob_chunks SET bytes = overlay(bytes PLACING '\\x00'::bytea FROM 200) WHERE digest = '$digest'"
same "a tensor that was damaged on its way is not taken for one" 503 "$(status "$second/v1/tensors/$digest")"
rm "$dir/other/blobs/"*/"${digest#sha256:}"
back=$(submit "$body")
code "a job that needs it on the other machine fails" 1 "$rematctl" wait --timeout 20 "$back"
same "after another attempt, and says why" "2 the store's copy of tensor $digest is damaged" "$(job_field "$back" /attempts) $(job_field "$back" /problem/detail)"
same "it can be deleted all the same" 204 "$(status -X DELETE "$second/v1/tensors/$digest")"
same "once" 404 "$(status -X DELETE "$second/v1/tensors/$digest")"
same "and sent anew" 201 "$(status -X PUT -H "$file_type" --data-binary "@$file" "$first/v1/tensors/$digest")"
same "for everybody" "$digest" "sha256:$(bytes_of "$second/v1/tensors/$digest")"
check "a job that is gone" "$rematctl" delete "$id"
same "takes its tensors with it, out of the database" 0 "$(as_admin "SELECT count(*) FROM blob_chunks WHERE digest = '$output'")"

# bytes that are no text
same "an id that is none is that of no job" "404 404 404 404" "$(status "$first/v1/jobs/%ff") $(status -X DELETE "$first/v1/jobs/%ff") $(
  status -X POST "$first/v1/jobs/%ff/cancel") $(status "$first/v1/events?job=%ff")"
same "and a key that is no text is refused" 400 "$(status -H "$json" -H $'Idempotency-Key: caf\xe9' -d "$body" "$first/v1/jobs")"

# a worker is killed; nobody is there who would see it but the clock of the database
id=$(submit "$(long_job 40)")
check "another job runs" until_state "$id" running 20
kill -9 "$worker"
wait "$worker" 2>/dev/null
same "whose worker is killed" running "$(job_field "$id" /state)"
as_admin "UPDATE jobs SET lease_until_ms = lease_until_ms - 60000 WHERE state = 1"
elsewhere third
worker=$!
code "it runs again on a third machine when the lease is over" 0 "$rematctl" wait --timeout 60 "$id"
same "at the second attempt" "succeeded	2" "$(job_field "$id" /state /attempts)"

# the database goes away under a running job
id=$(submit "$(long_job 40)")
check "one more job runs" until_state "$id" running 20
"$root/tests/postgres.sh" stop "$server"
same "without its database a front is not ready" 503 "$(status "$first/readyz")"
same "files nothing" 503 "$(status -H "$json" -d '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}' "$first/v1/jobs")"
same "and lives" 200 "$(status "$first/healthz")"
"$root/tests/postgres.sh" start "$server"
code "the job goes on, and ends when the database is there again" 0 "$rematctl" wait --timeout 30 "$id"
same "at the first attempt" "succeeded	1" "$(job_field "$id" /state /attempts)"
same "both fronts have found it" "200 200" "$(status "$first/readyz") $(status "$second/readyz")"

# a claim that is done and not answered: the server waits for a standby that does not come, and is cut off there
standby() { # NAME
  as_admin "ALTER SYSTEM SET synchronous_standby_names = '$1'"
  as_admin "SELECT pg_reload_conf()" >/dev/null
  sleep 0.3
}
cut_off() {
  local tries=0
  until [ "$(as_admin "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")" != 0 ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
    sleep 0.05
  done
}
kill -STOP "$worker"
id=$(submit "$(long_job 1)")
standby nobody
kill -CONT "$worker"
check "a claim that is committed and not answered" cut_off
standby ''
code "is not forgotten: the job runs before its lease is over" 0 "$rematctl" wait --timeout 20 "$id"
same "and loses no attempt" "succeeded	1" "$(job_field "$id" /state /attempts)"

# what does not start
kill "$worker" "$front"
wait "$worker" "$front" 2>/dev/null
stop
REMATD_STORE='' start --workers 0
stop
code "a directory with a store of its own is not used for copies" 1 "$rematd" serve --listen 127.0.0.1:0 --data "$dir/data"
code "a store that is not there is said" 1 "$rematd" work --data "$dir/other" --store postgres://127.0.0.1:1/none
says "with its address" 127.0.0.1
code "as is a URL that is none" 2 "$rematd" work --store mysql://here/there
as_admin "UPDATE rematd_layout SET number = 999"
code "a database of a newer rematd is left alone" 1 "$rematd" work --data "$dir/other"
says "and it says so" newer
unset REMATD_STORE
