#!/bin/bash
# A program of several threads that doesn't allow itself to change how threads are scheduled, with enough memory for
# a thread of the library's own (seccomp.c), under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread -o "$tmp/seccomp" "$here/seccomp.c"
[ "$("$tmp/seccomp" probe)" = ok ] || skip "no seccomp filter can be installed here"
run_preloaded threads "$tmp/seccomp" threads
equal "answer" "$(cat "$tmp/threads.out")" ok
