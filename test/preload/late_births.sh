#!/bin/bash
# Threads that malloc after the last of their destructors, while another thread calls malloc_trim (late_births.c),
# under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

hang_seconds=600
run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread -o "$tmp/late_births" "$here/late_births.c"
check() {
	run_preloaded late_births "$tmp/late_births"
	equal "answer" "$(cat "$tmp/late_births.out")" ok
}
in_both_lock_modes check
