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
for tool in valgrind strip:binutils; do
    command -v "${tool%:*}" >/dev/null || {
        echo "count_fast_path: ${tool%:*} is missing (Debian package ${tool#*:})" >&2
        exit 77
    }
done

# instructions <library> <mode> <pairs>: all that the program executes
instructions() {
    LD_PRELOAD=$1 valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        --log-file="$work/log" "$program" "$2" "$3" >/dev/null 2>"$work/stderr" || {
        cat "$work/stderr" "$work/log" >&2
        exit 1
    }
    sed -n 's/^summary: *//p' "$work/out"
}

# stripped <file> <name>: a copy without debug information, of which valgrind
# doesn't read every kind
stripped() {
    strip -g -o "$work/$2" "$1" || exit 1
    echo "$work/$2"
}

# per_pair <library> <mode>
per_pair() {
    few=$(instructions "$1" "$2" "$pairs")
    many=$(instructions "$1" "$2" $((2 * pairs)))
    test -n "$few" && test -n "$many" || {
        echo "count_fast_path: no count for ${1:-glibc}" >&2
        exit 1
    }
    echo "$few $many" | awk -v n="$pairs" '{ printf "%.2f", ($2 - $1) / n }'
}

program=$(stripped "$program" program)
empty=$(per_pair "" nothing) || exit 1
for allocator in "$@"; do
    library=${allocator#*=}
    test -z "$library" || library=$(stripped "$library" "${allocator%%=*}.so")
    full=$(per_pair "$library" malloc) || exit 1
    # The functions that do nothing have three instructions.
    echo "$full $empty" | awk -v name="${allocator%%=*}" '{ printf "%-12s %.1f\n", name, $1 - $2 + 3 }'
done
