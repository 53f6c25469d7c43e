#!/usr/bin/env bash
# promtool.sh - a daemon's /metrics, deploy/alerts.yml and deploy/grafana.json before Prometheus's own checker. The tool is
# taken from Debian's package where it is not installed: the one file, into build/promtool.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
promtool=$(command -v promtool || true)
if [ -z "$promtool" ]; then
  promtool=$root/build/promtool/usr/bin/promtool
  if [ ! -x "$promtool" ]; then
    mkdir -p build/promtool
    if ! (cd build/promtool && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb usr/bin/prometheus); then
      echo "check-metrics: left out: no promtool here, and Debian's package prometheus cannot be had" >&2
      exit 0
    fi
  fi
fi
dir=$(mktemp -d)
bin/rematd serve --listen 127.0.0.1:0 --data "$dir/data" --log-level error >"$dir/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$dir"' EXIT
until [ -s "$dir/data/url" ]; do
  kill -0 $pid
  sleep 0.1
done
REMATD_URL=$(cat "$dir/data/url")
export REMATD_URL
printf '{"kind": "memory_savings", "seq_len": 64, "d_model": 32, "num_layers": 2}' | bin/rematctl submit --wait - >/dev/null
bin/rematctl plan gpt2 --seq-len 64 >/dev/null
curl -sSf "$REMATD_URL/metrics" >"$dir/metrics"
grep -q 'rematd_jobs_finished_total{' "$dir/metrics"
"$promtool" check metrics <"$dir/metrics"
"$promtool" check rules deploy/alerts.yml
"$promtool" test rules tests/data/alerts.yml
# Every expression of the dashboard parses: as rules of a group that nobody loads.
python3 - deploy/grafana.json >"$dir/panels.yml" <<'PY'
import json, sys
print("groups:\n  - name: panels\n    rules:")
for panel in json.load(open(sys.argv[1]))["panels"]:
    for i, target in enumerate(panel["targets"]):
        expr = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        print("      - record: panel:%d:%d\n        expr: %s" % (panel["id"], i, json.dumps(expr)))
PY
"$promtool" check rules "$dir/panels.yml"
tests/metrics.py "$dir/metrics" --uses deploy/grafana.json deploy/alerts.yml
