#!/bin/bash
# A small program (mlock.c) locks all its memory, with mlockall, under the default RLIMIT_MEMLOCK of 8 MiB and without
# the capability that lifts it: it can, and the library adds at most 4 MiB to what the C library's malloc would lock.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

limit=8192   # KiB, as are all sizes here
most_added=4096

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -o "$tmp/mlock" "$here/mlock.c"
(ulimit -S -l $limit) 2>/dev/null || skip "RLIMIT_MEMLOCK can't be $limit KiB"

# locking NAME COMMAND...: the program under the limit; its output in $tmp/NAME.out.
locking() {
	local name=$1 status=0
	shift
	(ulimit -S -l $limit && exec timeout -k 5 "$hang_seconds" "$@") >"$tmp/$name.out" 2>"$tmp/$name.err" || status=$?
	[ "$status" != 77 ] || skip "CAP_IPC_LOCK can't be given up"
	[ "$status" = 0 ] || { cat "$tmp/$name.out"; fail_with "$tmp/$name.err" "$name ended with status $status"; }
}

# size NAME WHEN KEY: what the program printed.
size() { sed -n "s/^$2 .*$3 \([0-9]*\).*/\1/p" "$tmp/$1.out"; }

# compare KIND: with the library and without.
compare() {
	local when key with without
	locking "plain.$1" "$tmp/mlock" "$1"
	locking "tidepool.$1" env LD_PRELOAD="$TIDE_LIB" ${arena_lock:+TIDEPOOL_ARENA_LOCK="$arena_lock"} "$tmp/mlock" "$1"
	quiet "$tmp/tidepool.$1.err"
	for when in before locked after; do
		for key in VmLck VmSize; do
			with=$(size "tidepool.$1" "$when" "$key")
			without=$(size "plain.$1" "$when" "$key")
			[ "$with" -le $((without + most_added)) ] ||
				fail "mlockall ($1): $key is $with KiB $when, $((with - without)) more than without the library"
		done
	done
	[ "$(size "tidepool.$1" locked VmLck)" -gt 0 ] || fail "mlockall ($1) locked nothing"
	echo "mlockall ($1): $(size "tidepool.$1" after VmLck) KiB locked, $(size "plain.$1" after VmLck) without the library"
}

both() {
	compare current
	compare future
}
in_both_lock_modes both

# At the limit memory is refused, and what for is told.
locking full env LD_PRELOAD="$TIDE_LIB" "$tmp/mlock" full
grep -q '^full: Cannot allocate memory$' "$tmp/full.out" || fail_with "$tmp/full.out" "no end of memory"
equal "number of lines told" "$(grep -c '^tidepool:' "$tmp/full.err")" 1
grep -q 'RLIMIT_MEMLOCK' "$tmp/full.err" || fail_with "$tmp/full.err" "the limit is not named"
