# requests.sh - a thousand requests made from docs/openapi.json, right ones and nearly right ones: no answer but those that it
# declares. make fuzz-api asks more of them. They go past record.py: api.py judges each answer itself.

start --memory-limit 256M --workers 2 --threads 1
check "a thousand requests made from the document" "$root/tests/fuzz/api.py" "$(cat "$dir/data/url")" --requests 1000 --seed 1
same "the same daemon answers still" "200 yes" "$(status "$REMATD_URL/healthz") $(kill -0 "$pid" 2>/dev/null && echo yes)"
