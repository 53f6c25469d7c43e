#!/bin/sh
# bench.sh - everything `make bench` prints. usage: bench.sh DIRECTORY_OF_PROGRAMS; QUICK=1 in the environment: some
# minutes in place of most of an hour.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
programs=$1
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # each library picks its own kernels
quick=${QUICK:+--quick}
"$programs/bench_kernels" $quick
if "$here/peers.sh" --there; then
  echo
  "$here/peers.sh" peers.py "$programs/bench_rounds" $quick
  printf '\ntraining steps of GPT-2 small beside PyTorch\n'
  python3 "$here/step_table.py" "$programs/bench_step" --turns 1 --rounds 2 ${QUICK:+--seq 512 --strategy standard}
else
  echo
  echo "Left out: tables beside PyTorch and ONNX Runtime. pip cannot install them here (build/peers/pip.log)."
fi
[ -z "$quick" ] || exit 0
for b in lab plan layout chain dag; do
  printf '\n== %s\n' "$b"
  "$programs/bench_$b"
done
