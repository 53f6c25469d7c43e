#!/bin/sh
# run.sh - builds every tests/fuzz/fuzz_NAME.c with libFuzzer and the sanitizers and runs it for a while.
# usage: run.sh [SECONDS_EACH]     Starts from tests/fuzz/corpus_NAME; what it finds goes to build/fuzz/found_NAME.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
flags="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
objects=""
for f in engine/*.c engine/*/*.c server/*.c; do
  [ "$f" = server/main.c ] || [ ! -e "$f" ] || objects="$objects build/fuzz/${f%.c}.o"
done
# shellcheck disable=SC2086
make -s -j2 VARIANT=fuzz CC=clang EXTRA="$flags" $objects
libraries="$(pkg-config --libs libmicrohttpd jansson sqlite3 libpq gnutls inih zlib) -lpthread -lm"
for target in tests/fuzz/fuzz_*.c; do
  name=$(basename "$target" .c)
  corpus=tests/fuzz/corpus_${name#fuzz_}
  found=build/fuzz/found_${name#fuzz_}
  mkdir -p "$found"
  # shellcheck disable=SC2086
  clang -std=c11 -D_GNU_SOURCE -Wall -Wextra -I. $flags -fsanitize=fuzzer "$target" $objects -o "build/fuzz/$name" $libraries
  echo "$name: $seconds s"
  "build/fuzz/$name" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
    -artifact_prefix="$found/" "$found" "$corpus"
done
