# page.sh - the page at / and the document at /docs: what is served, under which policy, and that nothing comes from elsewhere.

start

page_header() { # NAME: of the last answer
  grep -i "^$1:" "$dir/head" | tr -d '\r' | cut -d' ' -f2-
}

for file in '/ text/html; charset=utf-8' '/page.css text/css; charset=utf-8' '/page.js text/javascript; charset=utf-8' \
  '/page.svg image/svg+xml' '/docs text/html; charset=utf-8'; do
  path=${file%% *}
  same "$path" 200 "$(status -D "$dir/head" "$REMATD_URL$path")"
  same "$path: its type" "${file#* }" "$(page_header Content-Type)"
  case "$(page_header Content-Security-Policy)" in
  "default-src 'self'"*) pass "$path: nothing from elsewhere by its policy" ;;
  *) fail "$path: nothing from elsewhere by its policy" ;;
  esac
  tag=$(page_header ETag)
  same "$path: 304 for its ETag" 304 "$(status -H "If-None-Match: $tag" "$REMATD_URL$path")"
  same "$path: 200 for another" 200 "$(status -H 'If-None-Match: "0"' "$REMATD_URL$path")"
  # names of XML namespaces are no addresses that anything is fetched from
  code "$path: no address of another host in it" 1 grep -E '(https?:)?//[a-z0-9]' <(sed 's|http://www\.w3\.org/2000/svg||g' "$dir/body")
done

same "the page, gzipped" 1f8b "$(curl -sS -H 'Accept-Encoding: gzip' "$REMATD_URL/page.js" | head -c 2 | od -An -tx1 | tr -d ' ')"
status "$REMATD_URL/" >/dev/null
code "/: no script in it" 1 grep -E '<script[^>]*>[^<]' "$dir/body"
code "/: no style in it" 1 grep -E '<style| style=' "$dir/body"
same "/: HEAD" 200 "$(status -I "$REMATD_URL/")"
for file in $(grep -oE '(src|href)="/[^"]+"' "$dir/body" 2>/dev/null | cut -d'"' -f2); do
  same "/ leads to $file" 200 "$(status "$REMATD_URL$file")"
done
bytes=$(cat "$root"/server/web/page.* | wc -c)
same "the page has less than 60 kB" yes "$([ "$bytes" -lt 60000 ] && echo yes || echo "$bytes")"
same "what Swagger UI has not" 404 "$(status "$REMATD_URL/docs/elsewhere.js")"
same "a parameter that nobody reads" 400 "$(status "$REMATD_URL/v1/models?sort=name")"
same "its name" /sort "$(field "$dir/body" /pointer)"
stop

# A daemon built with Swagger UI serves it, one without says how to get it.
start
if grep -q swagger-ui-bundle.js <(curl -s "$REMATD_URL/docs"); then
  same "/docs: its script" 200 "$(status -H 'Range: bytes=0-99' "$REMATD_URL/docs/swagger-ui-bundle.js")"
  same "/docs: its styles" 200 "$(status "$REMATD_URL/docs/swagger-ui.css")"
  same "/docs: its start" 200 "$(status "$REMATD_URL/docs/docs.js")"
else
  check "/docs: how to get Swagger UI" grep -q 'make swagger' <(curl -s "$REMATD_URL/docs")
fi
