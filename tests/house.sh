#!/bin/sh
# house.sh - is the house tidy? Layers (includes point down), prefixes, doors, sizes, layout. Reads only.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
say() {
  echo "house: $*"
  bad=1
}

# Which layer a file belongs to; the first pattern that matches counts. Includes may stay on a layer or go down.
layer() {
  case $1 in
  engine/base/*) echo 0 ;;
  engine/kernels/*) echo 1 ;;
  engine/graph/*) echo 2 ;;
  engine/models/*) echo 3 ;;
  engine/plan/planner* | engine/plan/attention_strategy*) echo 4 ;;
  engine/plan/*) echo 3 ;;
  engine/exec/*) echo 5 ;;
  engine/*) echo 6 ;;
  server/log* | server/config* | server/store* | server/blob* | server/tensor_* | server/route* | server/witness* | server/json_text* | server/clock* | server/token* | server/rate* | server/metrics* | server/trace* | server/jail*) echo 8 ;;
  server/wire* | server/queue* | server/checkpoint*) echo 9 ;;
  server/job* | server/plan_*) echo 10 ;;
  server/api*) echo 11 ;;
  server/http* | server/worker* | server/supervise*) echo 12 ;;
  server/main*) echo 13 ;;
  clients/*) echo 1 ;;
  *) echo 99 ;;
  esac
}

# Where each library may be used: its one door.
door() {
  case $1 in
  microhttpd.h) echo '^server/http' ;;
  jansson.h) echo '^server/wire|^clients/c/' ;;
  sqlite3.h) echo '^server/store_sqlite' ;;
  libpq-fe.h) echo '^server/store_postgres' ;;
  curl/curl.h) echo '^clients/c/' ;;
  cblas.h) echo '^tests/bench/' ;;
  gnutls/*) echo '^server/blob|^server/http|^server/queue|^server/api|^server/store|^server/token' ;;
  ini.h) echo '^server/config' ;;
  zlib.h) echo '^server/api_static' ;;
  seccomp.h) echo '^server/jail' ;;
  systemd/*) echo '^server/http' ;;
  *) echo '' ;;
  esac
}

files=$(git ls-files 'engine/*.[ch]' 'server/*.[ch]' 'clients/*.[ch]')
for f in $files; do
  [ -e "$f" ] || continue
  mine=$(layer "$f")
  for i in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f"); do
    theirs=$(layer "$i")
    [ "$theirs" -le "$mine" ] || say "$f (layer $mine) includes $i (layer $theirs)"
  done
  for i in $(sed -n 's/^#include <\([^>]*\)>.*/\1/p' "$f"); do
    allowed=$(door "$i")
    [ -z "$allowed" ] || echo "$f" | grep -qE "$allowed" || say "$f uses $i, which has its door elsewhere"
  done
  lines=$(wc -l <"$f")
  [ "$lines" -le 600 ] || say "$f has $lines lines"
  head -n 1 "$f" | grep -qE "^/\* $(basename "$f") - " || say "$f does not open with its name and what it is"
done

# The engine keeps out of the world: no files, sockets, JSON, clocks; no mutable statics. One exception: TILE_VARIABLE.
for f in $(git ls-files 'engine/*.[ch]'); do
  grep -nE '\b(fopen|open|socket|clock_gettime|time|getenv|printf)\(' "$f" | grep -vE 'snprintf|vsnprintf|arena_printf|now_ns|printf, |format\(|extents?_open|exec_open|getenv\(TILE_VARIABLE\)' | sed "s|^|house: $f: the world: |" | grep . && bad=1
  grep -nE '^static [^(=]*(=[^(]*)?;' "$f" | grep -v const | sed "s|^|house: $f: mutable static: |" | grep . && bad=1
done

# malloc has a short list of homes.
for f in $(git ls-files 'engine/*.c'); do
  grep -qE '\b(malloc|calloc|realloc)\(' "$f" || continue
  case $f in
  engine/base/arena.c | engine/base/pool.c | engine/exec/*.c | engine/checkpoint_*.c) ;;
  *) say "$f allocates" ;;
  esac
done

# The top level holds these and nothing else.
for t in $(git ls-files | sed 's|/.*||' | sort -u); do
  case $t in
  README.md | Makefile | LICENSE | engine | server | clients | tests | docker | deploy | docs | .*) ;;
  *) say "$t does not belong at the top level" ;;
  esac
done

# What is external in plan.c is plan_...: the symbol begins with the file's module.
if [ -d build/plain ] && command -v nm >/dev/null; then
  for o in $(find build/plain/engine build/plain/server -name '*.o' 2>/dev/null); do
    base=$(basename "$o" .o)
    module=${base%%_*}
    [ -e "$(echo "$o" | sed 's|^build/plain/||; s|\.o$|.c|')" ] || continue
    for s in $(nm --defined-only --extern-only "$o" | awk '{print $3}'); do
      case $s in
      "$module"* | remat_* | main) ;;
      *)
        case "$o:$s" in
        *plan/*:plan* | *plan/*:selection_* | *plan/*:attention_strateg* | *graph/*:op_* | *graph/*:dtype_* | *graph/*:graph_* | *models/model*:model_* | *models/model*:workload_* | *kernels/*:attn_* | *attn_flash*:flash_* | *attn_standard*:standard_* | *server/api_table*:route_tables | *exec/*:exec_* | *exec/*:slab_* | *:checkpoint_* | *memory_savings*:* | *server/api*:api_* | *server/route*:* | *:request_* | *:response_*) ;;
        *) say "$o defines $s, which has not its module's prefix" ;;
        esac
        ;;
      esac
    done
  done
fi

if command -v clang-format >/dev/null; then
  git ls-files '*.c' '*.h' | while read -r f; do [ ! -e "$f" ] || echo "$f"; done | xargs clang-format --dry-run -Werror 2>/tmp/house.$$ || {
    sed -n 's/:.*//p' /tmp/house.$$ | sort -u | head -20 | sed 's/^/house: layout of /'
    bad=1
  }
  rm -f /tmp/house.$$
else
  echo "house: clang-format is not here; layout not looked at"
fi
[ $bad = 0 ] && echo "house: tidy"
exit $bad
