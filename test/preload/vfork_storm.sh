#!/bin/bash
# Threads that vfork children which malloc and free, while another thread calls malloc_trim (vfork_storm.c), under
# LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

hang_seconds=300
run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -Wno-deprecated-declarations -pthread \
	-o "$tmp/vfork_storm" "$here/vfork_storm.c"
check() {
	run_preloaded vfork_storm "$tmp/vfork_storm"
	equal "answer" "$(cat "$tmp/vfork_storm.out")" ok
}
in_both_lock_modes check
