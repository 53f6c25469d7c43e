#!/bin/sh
# postgres.sh - a PostgreSQL server for tests, from Debian's package, on a socket in a directory: postgres.sh start|stop DIR [MODE]
# `start` is cheap where it runs already; both may be asked by several at once. Exits with 77 where there is no package.
set -eu
verb=$1 directory=$2
bin=$(command -v pg_config >/dev/null && pg_config --bindir || true)
[ -x "${bin:-/nowhere}/initdb" ] || bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "${bin:-/nowhere}/initdb" ] || { echo "left out: no PostgreSQL server here (apt-get install postgresql)"; exit 77; }
as_nobody=
[ "$(id -u)" = 0 ] && as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups --" # it does not run as root
in_nobodys() {
  (cd / && env -i PATH=/usr/bin:/bin LC_ALL=C $as_nobody "$@")
}
init() {
  [ -z "$as_nobody" ] || chown 65534:65534 "$directory"
  # Another language's order than the bytes': nothing is to depend on it.
  in_nobodys "$bin/initdb" -D "$directory/data" -U rematd -A trust -N -E UTF8 --no-instructions \
    --locale=C.UTF-8 --locale-provider=icu --icu-locale=en >"$directory.log" 2>&1 ||
    { rm -rf "$directory/data"; in_nobodys "$bin/initdb" -D "$directory/data" -U rematd -A trust -N -E UTF8 >"$directory.log" 2>&1; }
}
start() {
  [ ! -S "$directory/.s.PGSQL.5432" ] || return 0
  [ -e "$directory/started" ] || init
  touch "$directory/started"
  in_nobodys "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w -s -o "-c fsync=off -c full_page_writes=off \
    -c listen_addresses='' -c unix_socket_directories='$directory' -c shared_buffers=32MB -c autovacuum=off" start
}
stop() { # [MODE]
  [ ! -d "$directory/data" ] || in_nobodys "$bin/pg_ctl" -D "$directory/data" -m "${3:-immediate}" -s stop || true
}
mkdir -p "$directory"
exec 9>"$directory.lock"
flock 9
$verb "$@" 9>&-
