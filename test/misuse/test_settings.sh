#!/bin/sh
# test_settings.sh - a bad setting is named in one warning and changes nothing
program=${TIDE_BUILDDIR:-.}/test/misuse/no_misuse
rows=${TIDE_SRCDIR:-${0%/*}/../..}/src/base/options_table.h
failed=0
[ -x "$program" ] || { echo "$program is not built"; exit 99; }

complain()
{
    echo "FAILED $*"
    failed=1
}

run() # setting...: sets output (stderr) and status
{
    output=$(env "$@" "$program" 2>&1 >/dev/null)
    status=$?
    [ $status = 0 ] || complain "$*: status $status"
}

help=$(TIDEPOOL_HELP=1 "$program" 2>&1 >/dev/null)

default_of() # variable: the third column of the printed table
{
    echo "$help" | awk -v name="$1" '$1 == name { print $3 }'
}

# One line that names the setting and its value, what it takes and what is kept.
warns() # variable value accepted
{
    run "$1=$2"
    kept=$(default_of "$1")
    wanted="tidepool: setting $1=$2 is not understood: it takes $3; the default $kept is kept"
    if [ -n "$kept" ] && [ "$output" = "$wanted" ]; then
        echo "ok     $1=$2"
    else
        complain "$1=$2"
        echo "  expected: $wanted"
        echo "  found:    $output"
    fi
}

accepts() # variable=value
{
    run "$1"
    if [ -z "$output" ]; then
        echo "ok     $1"
    else
        complain "$1 is refused: $output"
    fi
}

warns TIDEPOOL_ARENA_LOCK sideways 'arena|global'
warns TIDEPOOL_ARENA_LOCK '' 'arena|global'
warns TIDEPOOL_ARENA_LOCK 'arena|global' 'arena|global'
warns TIDEPOOL_ARENA_LOCK aren 'arena|global'
warns TIDEPOOL_CHECK 2 'off|on'
warns TIDEPOOL_THP madvise 'auto|always|never'
for value in -5 99999999999999999999 18446744073709551615 12Q 12MM 12.5M ' 12M' '12 M' 0x10 M '' 2T \
    9000000T; do
    warns TIDEPOOL_HUGETLB "$value" '0 to 1T'
done
warns TIDEPOOL_DEPOT '0 ' '0 to 1G' # a space is no suffix, though it looks like one without its case

accepts TIDEPOOL_ARENA_LOCK=global
accepts TIDEPOOL_THP=never
accepts TIDEPOOL_ARENA_LOCK=Arena
accepts TIDEPOOL_LIMIT_SOFT=0
accepts TIDEPOOL_LIMIT_SOFT=12M
accepts TIDEPOOL_LIMIT_SOFT=1t

run TIDEPOOL_NO_SUCH=1
wanted='tidepool: setting TIDEPOOL_NO_SUCH=1 is unknown and ignored; TIDEPOOL_HELP=1 lists the settings'
[ "$output" = "$wanted" ] || complain "TIDEPOOL_NO_SUCH=1: $output"

# One that is gone is named with what does its work, whatever its value.
for value in 64M 0 down ''; do
    run "TIDEPOOL_HUGE_CACHE=$value"
    wanted="tidepool: setting TIDEPOOL_HUGE_CACHE=$value is gone: TIDEPOOL_DECAY_MS says how long freed memory is kept"
    [ "$output" = "$wanted" ] || complain "TIDEPOOL_HUGE_CACHE=$value: $output"
done

# Each bad setting gets a line of its own, the good one between them works.
run TIDEPOOL_ARENA_LOCK=up TIDEPOOL_HELP=1 TIDEPOOL_HUGETLB=down
[ "$(echo "$output" | grep -c 'is not understood')" = 2 ] || complain "two bad settings: $output"
echo "$output" | grep -q '^TIDEPOOL_HELP  *1 ' || complain "TIDEPOOL_HELP is not shown as 1"

# A value too long for a line is cut, not overrun.
long=$(printf '%0500d' 0)x
run "TIDEPOOL_HUGETLB=$long"
[ "$(echo "$output" | wc -l)" = 1 ] || complain "a long value: $output"
echo "$output" | grep -q '^tidepool: setting TIDEPOOL_HUGETLB=0000' || complain "long: $output"

# The table has every row of the source.
count=0
for row in $(sed -n 's/^ *ROW(\([a-z_]*\),.*/\1/p' "$rows" | tr '[:lower:]' '[:upper:]'); do
    count=$((count + 1))
    echo "$help" | grep -q "^TIDEPOOL_$row " || complain "TIDEPOOL_HELP=1 doesn't list TIDEPOOL_$row"
done
[ $count -gt 3 ] || complain "no rows found in $rows"
echo "$count settings listed"
exit $failed
