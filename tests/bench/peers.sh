#!/bin/sh
# peers.sh - runs a script in an environment that has PyTorch, ONNX Runtime and numpy, made under build/peers at first.
# usage: peers.sh SCRIPT.py [its arguments]; peers.sh --there says with its exit whether there is, or can be, such a one
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../build/peers
has() {
  "$venv/bin/python" -c 'import torch, onnxruntime, onnx, numpy' 2>/dev/null
}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" 2>/dev/null || exit 3
has || "$venv/bin/pip" install --quiet torch==2.13.0 onnxruntime onnx numpy >"$venv/pip.log" 2>&1 || exit 3
[ "$1" != --there ] || exit 0
script=$1
shift
exec "$venv/bin/python" "$here/$script" "$@"
