#!/bin/sh
# Layers know only what is below them: reads every #include in src/.
set -eu
cd "${TIDE_SRCDIR:?}/src"

# A folder and the other folders it may include from.  object/, runtime/ and
# cli/ stand on the public headers alone.
rules='
base
os       base
store    base os
arena    base os store
profile  base os
pool     base os store arena profile
large    base os store
heap     base os store arena profile pool large
api      base os store arena profile pool large heap
object
runtime
cli
'

# Not a pipe, so that a failing find is seen.
files=$(find . -name '*.[ch]' | LC_ALL=C sort)
# shellcheck disable=SC2086  # one argument per file
awk -v rules="$rules" '
function complain(text) {
    printf "src/%s:%d: %s\n", file, FNR, text
    bad++
}
BEGIN {
    lines = split(rules, line, "\n")
    for (i = 1; i <= lines; i++) {
        words = split(line[i], word, " ")
        for (w = 1; w <= words; w++) {
            known[word[1]] = 1
            may[word[1], word[w]] = 1
        }
    }
}
FNR == 1 {
    file = substr(FILENAME, 3)
    layer = file
    sub("/.*", "", layer)
    if (!(layer in known))
        complain("no rule for the folder " layer)
}
match($0, /^[ \t]*#[ \t]*include[ \t]*["<][^">]+[">]/) {
    name = substr($0, RSTART, RLENGTH)
    quoted = name ~ /"/
    gsub(/^[^"<]*["<]|[">]$/, "", name)
    from = name
    if (!sub("/.*", "", from))
        from = ""
    seen++
    if (name ~ /\.c$/)
        complain("a source is included: " name)
    else if (from == "") {
        if (quoted && name != "config.h")
            complain("write the folder of \"" name "\"")
    } else if (from in known) {
        if (!((layer, from) in may))
            complain(layer "/ may not include " name)
    } else if (quoted)
        complain("not a folder of src/: \"" name "\"")
}
END {
    printf "%d includes read, %d wrong\n", seen, bad
    exit bad > 0 || seen == 0
}' $files

# Within these folders files form no circle: a file and its header are one.
for folder in arena pool; do
    for file in "$folder"/*.[ch]; do
        sed -n "s,^#include \"\($folder/[a-z_]*\)\.h\".*,${file%.[ch]} \1,p" "$file"
    done | awk '$1 != $2' | tsort >/dev/null || {
        echo "src/$folder: files include each other in a circle"
        exit 1
    }
done
