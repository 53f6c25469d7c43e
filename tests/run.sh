#!/bin/sh
# run.sh - runs the test binary; fails on a failed test, on a sanitizer's report, and when no test ran.
# usage: run.sh BINARY VARIANT [SUITE] [V]
set -eu
binary=$1 variant=$2 suite=${3:-} verbose=${4:-}
reports=$(mktemp -d)
# A PostgreSQL server for the tests that want one: the first of them starts it.
export REMATD_TESTS_POSTGRES="$reports.postgres"
end() {
  [ ! -d "$REMATD_TESTS_POSTGRES" ] || "$(dirname "$0")/postgres.sh" stop "$REMATD_TESTS_POSTGRES"
  rm -rf "$reports" "$REMATD_TESTS_POSTGRES"*
}
trap end EXIT
# Criterion 2.4 counts a test that leaks as passed: reports go to files, and a file is a failure.
export ASAN_OPTIONS="log_path=$reports/asan:detect_leaks=1" UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1"
export LSAN_OPTIONS="suppressions=$(dirname "$0")/lsan.supp:print_suppressions=0"
export TSAN_OPTIONS="log_path=$reports/tsan:second_deadlock_stack=1"
status=0
if [ -n "$suite" ] && [ "$variant" != tsan ]; then # Criterion calls a run of no tests a success
  some=
  for name in $("$binary" --list | sed -n 's/^\([A-Za-z0-9_]*\):.*/\1/p'); do
    case $name in $suite) some=1 ;; esac
  done
  [ -n "$some" ] || { echo "run.sh: there is no suite '$suite'; $binary --list names them" >&2; exit 1; }
fi
if [ "$variant" = tsan ]; then
  "$binary" $suite || status=$?
else
  "$binary" -j2 ${suite:+--filter "$suite/*"} ${verbose:+--verbose} || status=$?
fi
for r in "$reports"/*; do
  [ -e "$r" ] || continue
  cat "$r" >&2
  status=1
done
exit $status
