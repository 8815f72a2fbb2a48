#!/bin/bash
# What large blocks cost (large_blocks.c), under LD_PRELOAD: page faults of memory that is used again and again,
# resident memory of blocks that shrink, mappings of many blocks and of such as grow. Only counts, and no clock: what
# is free waits for a day.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -o "$tmp/large_blocks" "$here/large_blocks.c"
export TIDEPOOL_DECAY_MS=86400000
each() {
	local arguments
	for arguments in 'bursts 20000' 'bursts 65000' 'bursts 300000' 'bursts 5000000' replaced callocs shrunk grown many \
		'quiet 300000' 'quiet 1048576' 'quiet 10485760' 'quiet 335544320'; do
		# shellcheck disable=SC2086  # two words
		run_preloaded "$arguments" "$tmp/large_blocks" $arguments
		equal "answer of $arguments" "$(cat "$tmp/$arguments.out")" ok
	done
}
in_both_lock_modes each
