#!/bin/sh
# run.sh - each misuse is seen, named in one line, and ends the program
#
# Every program here does one wrong thing.  Its first line has the message that
# must be all there is on stderr, with PTR for each pointer ("nothing" for a
# program that does no wrong and must end well); a second line "default too"
# says that it must be seen without TIDEPOOL_CHECK=on as well.
#
# run.sh [name...] runs some of them only.
sources=${0%/*}
programs=${TIDE_BUILDDIR:-.}/test/misuse
errors=$(mktemp) || exit 99
trap 'rm -f "$errors"' EXIT
failed=0

check() # name setting
{
    expected=$(sed -n '1s|^/\* expect: \(.*\) \*/$|\1|p' "$sources/$1.c")
    wanted=134 # 128 + SIGABRT
    if [ "$expected" = nothing ]; then
        expected=
        wanted=0
    fi
    if [ ! -x "$programs/$1" ]; then
        echo "FAILED $1: $programs/$1 is not built"
        failed=1
        return
    fi
    (ulimit -c 0; exec timeout 60 env "$2" "$programs/$1" 2>"$errors")
    status=$?
    found=$(sed 's/0x[0-9a-f]*/PTR/g' "$errors")
    if [ "$status" = "$wanted" ] && [ "$found" = "$expected" ]; then
        echo "ok     $1 ($2)"
    else
        failed=1
        echo "FAILED $1 ($2): status $status, should be $wanted"
        echo "  expected: $expected"
        echo "  found:    $found"
    fi
} 2>/dev/null # the shell's own word on a program that was aborted

[ $# -gt 0 ] || set -- $(cd "$sources" && ls ./*.c | sed 's|^\./||; s|\.c$||')
for name; do
    check "$name" TIDEPOOL_CHECK=on
    if sed -n 2p "$sources/$name.c" | grep -q 'default too'; then
        check "$name" TIDEPOOL_CHECK=off
    fi
done
exit $failed
