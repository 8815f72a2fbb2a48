#!/bin/bash
# Signal handlers that interrupt malloc and then sleep (handler_sleeps.c) or fork (fork_in_handler.c), under
# LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

flags=(-std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread)
for program in handler_sleeps fork_in_handler; do
	run "compile_$program" "${cc[@]}" "${flags[@]}" -o "$tmp/$program" "$here/$program.c"
done

# right PROGRAM ARGUMENT...
right() {
	run_preloaded "$1" "$tmp/$1" "${@:2}"
	equal "answer of $*" "$(cat "$tmp/$1.out")" ok
}

right handler_sleeps trim                   # a System V handler
right handler_sleeps trim 0                 # one whose signal is blocked
export TIDEPOOL_DECAY_MS=60                 # many looks during a nap
right handler_sleeps look
right handler_sleeps look 0
unset TIDEPOOL_DECAY_MS
TIDE_TEST_SCALE=$((${TIDE_TEST_SCALE:-100} / 8 + 1)) right handler_sleeps look 0xC0000000 1100
right fork_in_handler malloc
right fork_in_handler fflush
