#!/bin/sh
# gatekeeper.sh - another service: it admits a workload where rematd says that it fits, and says how.
#
#   gatekeeper.sh BUDGET_BYTES "SEQ_LEN D_MODEL LAYERS"...
#
# Asks the daemon at $REMATD_URL. Exit code 1 if a workload was refused, 3 to 5 if the daemon did not answer.
set -eu
budget=$1
shift
code=0
for workload in "$@"; do
  # shellcheck disable=SC2086 # three words
  figures=$(rematctl -o json savings $workload)
  standard=$(echo "$figures" | rematctl get - /standard_memory_bytes)
  checkpointed=$(echo "$figures" | rematctl get - /checkpointed_memory_bytes)
  if [ "$standard" -le "$budget" ]; then
    echo "admit  $workload: $standard of $budget bytes"
  elif [ "$checkpointed" -le "$budget" ]; then
    echo "admit  $workload: checkpointed, $checkpointed of $budget bytes (standard needs $standard)"
  else
    echo "refuse $workload: $checkpointed of $budget bytes even checkpointed"
    code=1
  fi
done
exit "$code"
