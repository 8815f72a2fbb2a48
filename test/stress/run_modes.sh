#!/bin/sh
# run_modes.sh program [argument...] - runs a stress program in each mode: a
# lock for each arena, one lock for all arenas, and, with a fifth of the work,
# every pointer checked.  Fails if any run fails or hangs.
#
# TIDE_TEST_SCALE is the work in percent, TIDE_TEST_TIMEOUT the seconds after
# which a run counts as hanging.
program=${TIDE_BUILDDIR:-.}/test/stress/$1
shift
scale=${TIDE_TEST_SCALE:-100}
checked_scale=$((scale > 5 ? scale / 5 : 1))
failed=0
skipped=0

# ThreadSanitizer's deadlock detector stops at 64 locks held by a thread; a fork
# holds those of all arenas and heaps.
TSAN_OPTIONS=detect_deadlocks=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}
export TSAN_OPTIONS

run() # scale setting...; the program's arguments in "$arguments"
{
    run_scale=$1
    shift
    echo "== $* TIDE_TEST_SCALE=$run_scale ${program##*/} $arguments"
    # The arguments are numbers: to be split.
    env "$@" TIDE_TEST_SCALE="$run_scale" \
        timeout -k 10 "${TIDE_TEST_TIMEOUT:-900}" "$program" $arguments
    status=$?
    case $status in
    0) ;;
    77) skipped=$((skipped + 1)) ;;
    124) echo "${program##*/} hangs: ended after ${TIDE_TEST_TIMEOUT:-900} s"; failed=1 ;;
    *) echo "${program##*/} failed with status $status"; failed=1 ;;
    esac
}

arguments=$*
run "$scale" TIDEPOOL_ARENA_LOCK=arena
run "$scale" TIDEPOOL_ARENA_LOCK=global
run "$checked_scale" TIDEPOOL_CHECK=on

[ $failed = 0 ] || exit 1
[ $skipped = 0 ] || exit 77
