# readme.sh - what the README shows is what there is: its C program, its answer of memory-savings, its links.
start

prefix=$dir/prefix
check "make install" make -s -C "$root" install "PREFIX=$prefix"
# block N: the N-th C program of the README
block() { awk -v n="$1" '/^```c$/ {on = ++i == n; next} /^```/ {on = 0} on' "$root/README.md"; }
block 1 >"$dir/program.c"
block 2 >"$dir/example.c"
check "the README's client program is clients/c/example.c" diff "$dir/example.c" "$root/clients/c/example.c"
flags() { PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config "$@" remat; }
# shellcheck disable=SC2046
check "the README's C program compiles" ${CC:-cc} -std=c11 -Wall -Wextra "$dir/program.c" -o "$dir/program" $(flags --cflags --libs)
check "and runs with the shared library" env "LD_LIBRARY_PATH=$prefix/lib" "$dir/program"
check "its two peaks are one" awk '{exit !($5 == $7 ";" || $5 + 0 == $7 + 0)}' "$dir/out"
check "which shows remat_ names alone" sh -c '! nm -D --defined-only "$1" | grep -v " remat_"' _ "$prefix/lib/libremat.so.0"
# shellcheck disable=SC2046
check "and with the static one" ${CC:-cc} -std=c11 "$dir/program.c" -o "$dir/static" $(flags --cflags) "$prefix/lib/libremat.a" -lpthread -lm
same "the README's memory-savings answer" "$(grep -m1 '^{"standard_memory_bytes"' "$root/README.md")" \
  "$(curl -s "$REMATD_URL/v1/memory-savings?seq_len=2048&d_model=512&num_layers=12")"
check "rematctl explain as in the README" "$rematctl" explain "$root/clients/attention.json"
same "prints what the README shows" "$(sed -n '/^  STEP  DO/,/^$/p' "$root/README.md" | sed '/^$/d')" "$(sed -n '/^  STEP  DO/,$p' "$dir/out")"
check "rematctl plan as in the README" "$rematctl" plan "$root/clients/qwen2-7b.json" --device h100-80gb --seq-len 8192 \
  --dtype bfloat16 --attention flash --strategy every_layer --optimizer adamw_8bit
same "prints what the README shows" "$(sed -n '/^\$ rematctl plan clients/,/^$/p' "$root/README.md" | sed '1d; /^$/d')" "$(cat "$dir/out")"
check "rematctl capacity as in the README" "$rematctl" capacity gpt2-xl --find batch --seq-len 1024 --device a100-80gb \
  --dtype bfloat16 --attention flash --strategy every_layer
same "prints what the README shows" "$(sed -n '/^\$ rematctl capacity/,/^```/p' "$root/README.md" | sed '1d; /^```/d')" "$(head -n 2 "$dir/out")"
command=$(sed -n 's/^\$ \(rematctl plan .*--strategy optimal.*\)/\1/p' "$root/README.md")
eval "$command" >"$dir/optimal"
sed -n '/^\$ rematctl plan .*--strategy optimal/,/^```/p' "$root/README.md" | sed '1d; /^\.\.\.$/d; /^```/d' >"$dir/shown"
check "an optimal plan as in the README" sh -c 'while read -r l; do grep -qxF -e "$l" "$1" || { echo "no $l"; exit 1; }; done <"$2"' _ "$dir/optimal" "$dir/shown"
command=$(sed -n 's/^\$ \(rematctl frontier .*\)/\1/p' "$root/README.md")
same "rematctl frontier prints what the README shows" "$(sed -n '/^\$ rematctl frontier/,/^```/p' "$root/README.md" | sed '1d; /^```/d')" "$(eval "$command")"
grep -oE '\]\(([A-Za-z.][^)#]*)\)' "$root/README.md" | sed 's/^](//; s/)$//' | sort -u >"$dir/links"
check "every link leads somewhere" sh -c 'cd "$1" && while read -r l; do [ -e "$l" ] || { echo "no $l"; exit 1; }; done <"$2"' _ "$root" "$dir/links"
