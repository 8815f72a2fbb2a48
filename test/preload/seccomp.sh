#!/bin/bash
# A program of one thread that allows itself only the system calls by which a malloc gets and returns memory
# (seccomp.c), under LD_PRELOAD with default settings.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread -o "$tmp/seccomp" "$here/seccomp.c"
[ "$("$tmp/seccomp" probe)" = ok ] || skip "no seccomp filter can be installed here"
run_preloaded alone "$tmp/seccomp" alone
equal "answer" "$(cat "$tmp/alone.out")" ok
