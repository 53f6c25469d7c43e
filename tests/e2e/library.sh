# library.sh - the example of the README, compiled against librematc as a stranger would, and run.
start

check "example.c compiles" ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$root" -o "$dir/example" \
  "$root/clients/c/example.c" "$root/clients/c/rematc.c" $(pkg-config --libs libcurl jansson)
check "example runs" "$dir/example"
says "and says identical" 'identical *yes'
same "its two peaks are one" "$(awk '/^predicted/ {print $3}' "$dir/out")" "$(awk '/^measured/ {print $3}' "$dir/out")"
code "example without a daemon fails" 1 env REMATD_URL=http://127.0.0.1:1 "$dir/example"
