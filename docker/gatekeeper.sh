#!/bin/sh
# gatekeeper.sh - another service: it admits a training job where rematd says that it fits, and says how.
#
#   gatekeeper.sh DEVICE "MODEL SEQ_LEN BATCH"...
#
# Asks the daemon at $REMATD_URL. Exit code 1 if a job was refused, 3 to 5 if the daemon did not answer.
set -eu
device=$1
shift
code=0
for job in "$@"; do
  read -r model seq_len batch <<EOF
$job
EOF
  verdict="refuse $model, $seq_len tokens, batch $batch on $device"
  for strategy in standard every_layer; do
    answer=$(rematctl -o json capacity "$model" --find batch --seq-len "$seq_len" --dtype bfloat16 --attention flash \
      --strategy "$strategy" --device "$device") # no pipe: where nobody answers its code is ours
    most=$(echo "$answer" | rematctl get - /value)
    if [ "$most" -ge "$batch" ]; then
      verdict="admit  $model, $seq_len tokens, batch $batch on $device: $strategy, up to batch $most"
      break
    fi
  done
  echo "$verdict"
  case $verdict in refuse*) code=1 ;; esac
done
exit "$code"
