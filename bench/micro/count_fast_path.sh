#!/bin/sh
# Counts the instructions of a warm malloc(16) and its free in one thread, with
# valgrind's callgrind, which counts exactly.
#
# usage: count_fast_path.sh PROGRAM [NAME=LIBRARY]...
#
# PROGRAM is the built fast_path.  Prints a line "NAME INSTRUCTIONS" for each
# library preloaded; NAME= alone is the program's own malloc, glibc's.
set -eu
program=$1
shift
pairs=20000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v valgrind >/dev/null || {
    echo "count_fast_path: valgrind is missing (Debian package valgrind)" >&2
    exit 77
}

# instructions <library> <mode> <pairs>: all that the program executes
instructions() {
    LD_PRELOAD=$1 valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        --log-file="$work/log" "$program" "$2" "$3" >/dev/null 2>"$work/stderr" || {
        cat "$work/stderr" "$work/log" >&2
        exit 1
    }
    sed -n 's/^summary: *//p' "$work/out"
}

# per_pair <library> <mode>
per_pair() {
    few=$(instructions "$1" "$2" "$pairs")
    many=$(instructions "$1" "$2" $((2 * pairs)))
    echo "$few $many" | awk -v n="$pairs" '{ printf "%.2f", ($2 - $1) / n }'
}

empty=$(per_pair "" nothing)
for allocator in "$@"; do
    full=$(per_pair "${allocator#*=}" malloc)
    # The functions that do nothing have three instructions.
    echo "$full $empty" | awk -v name="${allocator%%=*}" '{ printf "%-12s %.1f\n", name, $1 - $2 + 3 }'
done
