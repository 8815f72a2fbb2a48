#!/bin/bash
# Children that come into being without fork's handlers, and vfork's and posix_spawn's, of a program with one thread
# and of one with several (raw_forks.c), under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -Wno-deprecated-declarations -pthread \
	-o "$tmp/raw_forks" "$here/raw_forks.c"
hang_seconds=300

# Looks that follow each other closely, so that forks come in the middle of them.
export TIDEPOOL_DECAY_MS=40
for threads in one several; do
	run_preloaded "$threads" "$tmp/raw_forks" "$threads"
	equal "answer with $threads" "$(cat "$tmp/$threads.out")" ok
done
