#!/bin/sh
# step.sh - training steps of GPT-2 small in PyTorch, in an environment of its own under build/step.
# usage: step.sh [arguments of step_torch.py], or step.sh SCRIPT [ITS ARGUMENTS]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
script=step_torch.py
case "${1:-}" in
*.py)
  script=$1
  shift
  ;;
esac
venv=$here/../../build/step
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, numpy' 2>/dev/null || "$venv/bin/pip" install --quiet torch==2.13.0 numpy
exec "$venv/bin/python" "$here/$script" "$@"
