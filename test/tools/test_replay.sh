#!/bin/bash
# Recording and replay: a program of our own, redis, memcached and a threaded python server are
# recorded, and replayed under the C library's malloc and under tidepool; the bytes alive must be
# the recorded ones to within 1 % after the same count of calls.  Then what must go wrong: damaged
# traces, with one clear line each.  A server that isn't installed is left out, and named.
# shellcheck disable=SC2154,SC2034  # names shared with common.sh
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
: "${TIDE_SRCDIR:?}" "${TIDE_BUILDDIR:?}" "${TIDE_LIB:?}" "${TIDE_OVERRIDE:?}"
# shellcheck disable=SC1091
. "$TIDE_SRCDIR/test/preload/common.sh"
here=$TIDE_SRCDIR/test/tools
need python3 python3
need_override
recorder=$TIDE_BUILDDIR/bench/trace/.libs/libtidepool-record.so
replay=$TIDE_BUILDDIR/bench/trace/replay
[ -e "$recorder" ] || skip "no $recorder (built with --disable-shared)"

check() { run check python3 "$here/replay_check.py" "$@" && cat "$tmp/check.out"; }

# replay_both NAME [OPTION...]: under both mallocs, checked
replay_both() {
	run replay "$replay" --verify --json "${@:2}" "$tmp/$1.trace"
	check replayed "$tmp/replay.out"
	cp "$tmp/replay.out" "$tmp/$1.glibc.json"
	run_preloaded replay "$replay" --verify --latency --json "${@:2}" "$tmp/$1.trace"
	grep -qF "\"allocator\": \"$TIDE_LIB\"" "$tmp/replay.out" || fail "replay didn't use $TIDE_LIB"
	check replayed "$tmp/replay.out"
}

# ---- a program that counts for itself, recorded above both mallocs -----------------------------

own_program() {
	local below program=$TIDE_BUILDDIR/test/tools/replay_program
	for below in "" "$TIDE_LIB"; do
		run program env LD_PRELOAD="$recorder${below:+ $below}" \
			TIDE_RECORD_FILE="$tmp/own.trace" "$program" 4
		cp "$tmp/program.out" "$tmp/points"
		replay_both own --points 1000000
		check points "$tmp/points" "$tmp/own.glibc.json"
	done
	# The replay itself, recorded.
	run info "$replay" --info --json --points 10000 "$tmp/own.trace"
	run replay env LD_PRELOAD="$recorder" TIDE_RECORD_FILE="$tmp/again.trace" \
		"$replay" --json "$tmp/own.trace"
	run info.again "$replay" --info --json --points 1000000 "$tmp/again.trace"
	check again "$tmp/info.out" "$tmp/info.again.out" "$tmp/replay.out"
	# And without the threads waiting for each other the curve must differ: the check can fail.
	run replay "$replay" --verify --json --drift any "$tmp/own.trace"
	python3 "$here/replay_check.py" replayed "$tmp/replay.out" >/dev/null 2>&1 &&
		fail "a replay in any order passes the check"
	return 0
}

# ---- servers -----------------------------------------------------------------------------------

left_out=()
# has COMMAND PACKAGE: else notes it
has() { command -v "$1" >/dev/null && return; left_out+=("$1 not found (Debian package: $2)"); false; }

# start_recording NAME COMMAND...
start_recording() {
	start "$1" env LD_PRELOAD="$recorder" TIDE_RECORD_FILE="$tmp/$1.trace" "${@:2}"
}

redis() {
	has redis-server redis-server && has redis-cli redis-tools && has redis-benchmark redis-tools || return 0
	local socket=$tmp/redis.socket
	start_recording redis redis-server --port 0 --unixsocket "$socket" --dir "$tmp" --save "" \
		--lazyfree-lazy-user-del yes --io-threads 2 --io-threads-do-reads yes
	wait_until 30 redis-cli -s "$socket" ping || fail_with "$tmp/redis.out" "redis-server does not answer"
	run load redis-benchmark -s "$socket" -n 4000 -r 2000 -P 8 -d 200 -q -t set,get,lpush,sadd,hset,zadd
	for i in $(seq 5); do
		redis-cli -s "$socket" eval "for i = 1, 3000 do redis.call('rpush', KEYS[1], string.rep('x', 600)) end" \
			1 "long$i"
		redis-cli -s "$socket" del "long$i"
	done >"$tmp/load.out" 2>&1 || fail_with "$tmp/load.out" "redis-cli"
	redis-cli -s "$socket" shutdown nosave >"$tmp/load.out" 2>&1
	finished "$server" redis
	started=()
	replay_both redis
}

memcached_server() {
	has memcached memcached || return 0
	local socket=$tmp/memcached.socket
	start_recording memcached memcached -s "$socket" -t 4 -m 64 -u "$(id -un)"
	wait_until 30 test -S "$socket" || fail_with "$tmp/memcached.err" "memcached does not start"
	run load python3 "$here/replay_load.py" memcached "$socket"
	kill -INT "$server"
	finished "$server" memcached
	started=()
	replay_both memcached
}

# A thread for each request: thread churn, and objects freed by other threads.
python_server() {
	mkdir "$tmp/files"
	seq 200 | sed "s|.*|$tmp/files/file&|" | xargs touch
	start_recording http env PYTHONMALLOC=malloc python3 "$here/replay_load.py" serve "$tmp/files"
	wait_until 30 grep -q 'port [0-9]' "$tmp/http.out" || fail_with "$tmp/http.err" "the server does not start"
	run load python3 "$here/replay_load.py" http "$(sed -n 's/^port //p' "$tmp/http.out")"
	kill -TERM "$server"
	finished "$server" http
	started=()
	replay_both http
}

# ---- the recorder's edges ----------------------------------------------------------------------

edges() {
	# A child of fork doesn't record; a program started with the same name takes another file.
	run shell env LD_PRELOAD="$recorder" TIDE_RECORD_FILE="$tmp/shell.trace" \
		bash -c '(:); ls / >/dev/null; :'
	run info "$replay" --info "$tmp/shell.trace"
	grep -q '^program .*bash' "$tmp/info.out" || fail_with "$tmp/info.out" "not the shell's trace"
	local other=("$tmp"/shell.trace.*)
	[ ${#other[@]} = 1 ] || fail "traces of children: ${other[*]}"
	run info "$replay" --info "${other[0]}"
	grep -q '^program .*ls' "$tmp/info.out" || fail_with "$tmp/info.out" "not the trace of ls"
	# %p is the process; exec keeps it, and begins anew.
	run exec env LD_PRELOAD="$recorder" TIDE_RECORD_FILE="$tmp/exec%p.trace" bash -c 'exec ls /'
	run info "$replay" --info "$tmp"/exec*.trace
	grep -q '^program .*ls' "$tmp/info.out" || fail_with "$tmp/info.out" "exec didn't begin a new trace"
}

# ---- damage ------------------------------------------------------------------------------------

# refused FILE PATTERN: status 2, and one line that has the pattern
refused() {
	local status=0
	"$replay" "$1" >"$tmp/out" 2>"$tmp/err" || status=$?
	equal "status for ${1##*/}" "$status" 2
	equal "lines for ${1##*/}" "$(wc -l <"$tmp/err")" 1
	grep -qE "^replay: $1: .*$2" "$tmp/err" || fail_with "$tmp/err" "no \"$2\" for ${1##*/}"
}

# flipped OFFSET: own.trace with one byte changed, to 255 or from it
flipped() {
	local byte='\377'
	test "$(od -An -tu1 -j "$1" -N 1 "$tmp/own.trace" | tr -d ' ')" != 255 || byte='\0'
	cp "$tmp/own.trace" "$tmp/flipped.trace"
	# shellcheck disable=SC2059  # the byte is a format on purpose
	printf "$byte" | dd of="$tmp/flipped.trace" bs=1 seek="$1" conv=notrunc 2>/dev/null
}

damage() {
	local size
	size=$(stat -c %s "$tmp/own.trace")
	: >"$tmp/empty.trace"
	refused "$tmp/empty.trace" 'the file is empty'
	refused "$tmp/none.trace" 'No such file'
	refused "$tmp" 'not a regular file'
	refused "$TIDE_LIB" 'not a trace'
	head -c 20 "$tmp/own.trace" >"$tmp/cut.trace"
	refused "$tmp/cut.trace" 'cut at byte 20, inside the header'
	head -c $((size - 48)) "$tmp/own.trace" >"$tmp/cut.trace"
	refused "$tmp/cut.trace" 'cut after chunk [0-9]+, .*no end record'
	head -c $((size / 2)) "$tmp/own.trace" >"$tmp/cut.trace"
	refused "$tmp/cut.trace" "cut at byte $((size / 2)), inside .*chunk [0-9]+"
	flipped 8
	refused "$tmp/flipped.trace" 'version 255; this program reads version 1'
	flipped 20
	refused "$tmp/flipped.trace" 'header is damaged'
	flipped $((size / 2))
	refused "$tmp/flipped.trace" 'chunk [0-9]+ at byte [0-9]+ is damaged: its checksum differs'
	{ cat "$tmp/own.trace"; echo more; } >"$tmp/longer.trace"
	refused "$tmp/longer.trace" '5 bytes follow the end record'
	# A killed program's.
	start_recording killed sleep 60
	wait_until 30 test -s "$tmp/killed.trace" || fail "no trace of sleep"
	kill -KILL "$server"
	wait "$server" 2>/dev/null
	started=()
	refused "$tmp/killed.trace" 'no end record .was the recorded program killed'
}

# ---- side by side ------------------------------------------------------------------------------

side_by_side() {
	local status=0
	"$TIDE_SRCDIR/bench/replay" "$tmp/cut.trace" --allocator glibc \
		>"$tmp/table.out" 2>"$tmp/table.err" || status=$?
	equal "status of bench/replay for a cut trace" "$status" 2
	grep -q 'cut at byte' "$tmp/table.err" || fail_with "$tmp/table.err" "bench/replay doesn't say why"

	has gnuplot gnuplot-nox || return 0
	# The caller's TIDEPOOL_STATS must not reach the library that has no settings of its own.
	run table env TIDEPOOL_STATS=1 "$TIDE_SRCDIR/bench/replay" "$tmp/own.trace" --rounds 2 --out "$tmp/table" \
		--allocator glibc --allocator tidepool --allocator mine="$TIDE_LIB"
	grep -qE '^mine +[0-9]' "$tmp/table.out" || fail_with "$tmp/table.out" "no row for mine"
	cat "$tmp/table.out"
	check side_by_side "$tmp/table" glibc tidepool mine
}

own_program
edges
damage
side_by_side
redis
memcached_server
python_server
[ ${#left_out[@]} = 0 ] || skip "${left_out[*]}"
