#!/bin/bash
# A thread is stopped at each instruction of a malloc and of a free while another one tidies its heap, and that one
# in the middle of tidying while the first mallocs and frees (tracer.c), under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

hang_seconds=900
run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread -o "$tmp/tracer" "$here/tracer.c"
why=$("$tmp/tracer" probe) || skip "no thread can be single-stepped here: $why"
for held in owner tidier; do
	# There the owner takes pools all the time, and their arenas' locks.
	[ "$held.${TIDE_GEOMETRY-}" != tidier.classic ] || continue
	run_preloaded "$held" "$tmp/tracer" "$held"
	cat "$tmp/$held.out"
	equal "answer when the $held is held" "$(tail -n 1 "$tmp/$held.out")" ok
done
