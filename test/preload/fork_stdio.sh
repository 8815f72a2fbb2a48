#!/bin/bash
# A fork while other threads hold stdio's locks and malloc, or wait for one another in fflush(NULL); then with fork
# handlers that print (fork_stdio.c); under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

hang_seconds=300
run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -pthread -o "$tmp/fork_stdio" "$here/fork_stdio.c"
check() {
	for handlers in alone printing; do
		run_preloaded "$handlers" "$tmp/fork_stdio" "$handlers"
		equal "answer when $handlers" "$(cat "$tmp/$handlers.out")" ok
	done
}
in_both_lock_modes check
