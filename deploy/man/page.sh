#!/bin/sh
# page.sh - a manual page, its flags as the program itself lists them: page.sh rematd|rematctl BIN VERSION
#
# The text is NAME.1.in beside this; a line @serve@ or @help@ in it becomes what `BIN serve --help` or `BIN --help` says.
set -eu
here=$(dirname "$0")
name=$1 program=$2 version=$3

# "  --flag VALUE   what it does" and, on the next line, its variable; long names push the text on.
flags() {
  awk '
    function plain(text) { gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text); gsub(/^[.'"'"']/, "\\\\&&", text); return text }
    /^  --/ {
      flag = $1; rest = substr($0, index($0, flag) + length(flag)); value = ""
      if (match(rest, /^ [^ ]+/)) { value = substr(rest, 2, RLENGTH - 1); rest = substr(rest, RLENGTH + 1) }
      sub(/^ +/, "", rest)
      printf ".TP\n\\fB%s\\fR%s\n%s\n", plain(flag), value == "" ? "" : " \\fI" plain(value) "\\fR", plain(rest)
      next
    }
    /^ +REMATD_/ { printf "(\\fB%s\\fR)\n", $1 }'
}

# As it stands.
lines() {
  sed 's/\\/\\e/g; s/-/\\-/g; s/^\([.'"'"']\)/\\\&\1/'
}

while IFS= read -r line; do
  case $line in
  @serve@) "$program" serve --help | flags ;;
  @work@) "$program" work --help | flags ;;
  @help@)
    printf '.nf\n'
    "$program" --help | lines
    printf '.fi\n'
    ;;
  *) printf '%s\n' "$line" | sed "s/@version@/$version/" ;;
  esac
done <"$here/$name.1.in"
