# wrk.sh - for http.sh and load.sh: wrk, a directory that goes at the end, the handler that does nothing, daemons. Sourced.
command -v wrk >/dev/null || .ci/install load
work=$(mktemp -d)
pids=
finish() {
  for p in $pids; do kill "$p" 2>/dev/null || :; done
  wait
  rm -rf "$work"
}
trap finish EXIT

# idle HANDLER: sets idle_pid and idle_url.
idle() {
  mkfifo "$work/hold"
  "$1" <"$work/hold" >"$work/port" &
  idle_pid=$! pids="$pids $!"
  exec 9>"$work/hold"
  for _ in $(seq 100); do
    [ -s "$work/port" ] && break
    sleep 0.05
  done
  idle_url="http://127.0.0.1:$(cat "$work/port")/"
}

# serve NAME FLAGS...: a daemon over $work/NAME; sets daemon (its pid), data and url.
serve() {
  data=$work/$1
  shift
  rm -f "$data/url"
  bin/rematd serve --listen 127.0.0.1:0 --data "$data" "$@" >/dev/null 2>>"$work/log" &
  daemon=$! pids="$pids $!"
  for _ in $(seq 400); do
    [ -s "$data/url" ] && break
    sleep 0.05
  done
  url=$(cat "$data/url")
}
