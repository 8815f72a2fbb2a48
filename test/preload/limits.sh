#!/bin/bash
# A program (limits.c) at its limits, under LD_PRELOAD: tidepool's own, the process's, the system's, and in a real
# control group where one can be made. What fails is NULL and ENOMEM with one line that names the limit; what a
# program asks for to find out how much there is gives no line.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

around=()   # a command that runs the program
cgroup=     # a version 1 group of this test's own, below its parent's
cgroup_parent() {
	local path
	path=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
	[ -n "$path" ] && readlink -f "/sys/fs/cgroup/memory$path"
}
remove_cgroup() {
	[ -z "$cgroup" ] || wait_until 10 rmdir "$cgroup" || echo "left behind: $cgroup"
	clean_up
}
trap remove_cgroup EXIT

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -I "$TIDE_INCLUDE" \
	-o "$tmp/limits" "$here/limits.c" -ldl

# limited NAME COMMAND...: under the library; its output in $answer, the library's lines in $tmp/NAME.told
limited() {
	local name=$1 status=0
	shift
	timeout -k 5 "$hang_seconds" "${around[@]}" env LD_PRELOAD="$TIDE_LIB" \
		${arena_lock:+TIDEPOOL_ARENA_LOCK="$arena_lock"} "$@" <&0 >"$tmp/$name.out" 2>"$tmp/$name.err" || status=$?
	[ "$status" = 0 ] || fail_with "$tmp/$name.err" "$name ended with status $status"
	answer=$(cat "$tmp/$name.out")
	grep '^tidepool:' "$tmp/$name.err" >"$tmp/$name.told"
	return 0
}

# told NAME WORDS: one line, with these words in it.
told() {
	equal "number of lines about $1" "$(wc -l <"$tmp/$1.told")" 1
	grep -qF "$2" "$tmp/$1.told" || fail_with "$tmp/$1.told" "no line with '$2'"
}

# between NUMBER LEAST MOST: of "failed NUMBER"
between() {
	[ "${1%% *}" = failed ] || fail "$1: nothing failed"
	[ "${1#* }" -ge "$2" ] && [ "${1#* }" -le "$3" ] || fail "$1: not from $2 to $3"
}

own_limits() {
	limited hard TIDEPOOL_LIMIT_HARD=200M "$tmp/limits" 500
	between "$answer" 140 200
	told hard 'TIDEPOOL_LIMIT_HARD is reached: '
	limited below TIDEPOOL_LIMIT_HARD=1G "$tmp/limits" 500
	equal "answer below the limit" "$answer" "ok 500"
	quiet "$tmp/below.err"
	limited cache TIDEPOOL_LIMIT_SOFT=100M TIDEPOOL_LIMIT_HARD=150M "$tmp/limits" cache
	equal "answer of the cache" "$answer" told
	quiet "$tmp/cache.err"
}
in_both_lock_modes own_limits

limited probe TIDEPOOL_LIMIT_HARD=100M "$tmp/limits" probe
equal "answer of the probe" "$answer" ok
quiet "$tmp/probe.err"

# So little that the program can just be loaded.
for ((least = 2000; least < 40000; least += 100)); do
	preloaded bash -c "ulimit -v $least && exec '$tmp/limits' 10" >"$tmp/least.out" 2>/dev/null && break
done
limited start bash -c "ulimit -v $least && exec '$tmp/limits' 10"
equal "answer without memory for the first block" "$answer" "failed 0"
told start 'RLIMIT_AS, is reached'
limited address_space bash -c "ulimit -v 900000 && exec '$tmp/limits' 1000"
between "$answer" 200 900
told address_space 'RLIMIT_AS, is reached'
limited data bash -c "ulimit -d 300000 && exec '$tmp/limits' 1000"
between "$answer" 200 300
told data 'RLIMIT_DATA, is reached'

limited mappings "$tmp/limits" mappings
case $answer in
'too many') echo "not tested: this system gives a process too many mappings" ;;
ok*) ;; # a few mappings grew
*) told mappings 'vm.max_map_count allows' ;;
esac

# ---- A control group ----------------------------------------------------------------------------

make_cgroup() {
	local parent
	parent=$(cgroup_parent) && [ -w "$parent" ] || return
	mkdir "$parent/tidepool-test.$$" 2>/dev/null || return
	cgroup=$parent/tidepool-test.$$
	echo 300M >"$cgroup/memory.limit_in_bytes" 2>/dev/null
}
if ! make_cgroup; then
	echo "not tested: no control group with a memory limit can be made here"
	exit 0
fi

around=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup")
limited half TIDEPOOL_LIMIT_HARD=50% "$tmp/limits" 500
between "$answer" 95 150
told half 'TIDEPOOL_LIMIT_HARD is reached: '
grep -q ' of 157286[0-9]* bytes' "$tmp/half.told" || fail_with "$tmp/half.told" "50 % is not of 300M"
# By its clock alone nothing would go for a day.
limited idle TIDEPOOL_DECAY_MS=86400000 "$tmp/limits" idle
equal "answer of the idle program" "$answer" gone
quiet "$tmp/idle.err"
echo "tested in $cgroup"
