#!/bin/bash
# tidepool in front of a real server: redis-server on loopback, filled and driven by redis-benchmark, on tidepool
# and on the malloc it is shipped with, in turn; then tidepool's own statistics of the last run.
#
# usage: LIB=/path/of/libtidepool.so bench/servers/demo.sh
# Takes a minute and a half, at most two. Uses a temporary directory and a free port of 127.0.0.1, keeps nothing on disk, and
# stops everything it started, however it ends. Settings: ROUNDS [3] interleaved runs of each, medians are shown;
# REQUESTS [60000] per benchmark line.
#
# How a redis-server that is linked with libjemalloc is moved to another malloc: it calls plain malloc, free and so on,
# so whatever comes first in the order of symbol look-up serves it. LD_PRELOAD comes before libjemalloc. That also holds
# for libc.so.6 itself, which gives the column for glibc. Of libjemalloc only mallctl and malloc_stats_print are still
# called: redis's allocator_* figures then describe a nearly empty jemalloc; resident memory below comes from /proc.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
set -u -o pipefail +o posix
export LC_ALL=C
unset LD_PRELOAD

ROUNDS=${ROUNDS:-3}
REQUESTS=${REQUESTS:-60000}
seconds_at_most=115
operations=(SET GET LPUSH LPOP SADD HSET)
value_bytes=(24 400 4000)
keys=60000            # filled with values of mixed sizes for the memory lines
server=
tmp=

stop() { echo "$*" >&2; exit 1; }

end_server() {
	[ -n "$server" ] || return 0
	# it does not save: a plain end, at which tidepool prints its statistics
	kill "$server" 2>/dev/null
	for ((polls = 0; polls < 100; polls++)); do
		kill -0 "$server" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
}

clean_up() {
	trap '' INT TERM HUP
	end_server
	[ -z "$tmp" ] || rm -rf "$tmp"
}

for command in redis-server redis-cli redis-benchmark; do
	command -v "$command" >/dev/null ||
		stop "This demonstration needs $command. On Debian: apt install redis-server redis-tools"
done
[ -n "${LIB:-}" ] || stop "Say which library: LIB=/path/of/libtidepool.so $0  (or: make demo)"
[ -e "$LIB" ] || stop "There is no $LIB; build it first: make"
LIB=$(readlink -f "$LIB")
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tidepool-demo.XXXXXX") || exit 1

# ---- the columns: name, and what is preloaded -----------------------------------------------------

shipped=$(ldd "$(command -v redis-server)" 2>/dev/null | grep -oE 'lib(je|tc|mi)malloc[^ ]*' | head -n 1)
libc=$(ldd "$(command -v redis-server)" 2>/dev/null | sed -n 's/.*libc\.so\.6 => \([^ ]*\).*/\1/p')
columns=(tidepool system)
declare -A preload=([tidepool]=$LIB [system]="" [glibc]=$libc)
declare -A title=([tidepool]=tidepool [system]="as shipped" [glibc]="glibc")
if [ -n "$shipped" ] && [ -n "$libc" ]; then
	columns+=(glibc)
	origin="$shipped, which redis-server is linked with; glibc's own malloc is the third column"
else
	origin="$(redis-server --version | grep -o 'malloc=[^ ]*')"
fi

# ---- one server -----------------------------------------------------------------------------------

# in_time COMMAND...: the command, ended when the demonstration's time is over.
in_time() { timeout "$((seconds_at_most > SECONDS ? seconds_at_most - SECONDS : 1))" "$@"; }

ask() { in_time redis-cli -h 127.0.0.1 -p "$port" "$@"; }
is_up() { [ "$(ask PING 2>/dev/null)" = PONG ] && [ "$(ask INFO server | tr -d '\r' | sed -n 's/^process_id://p')" = "$server" ]; }

# launch COLUMN: tries random ports until redis-server gets one.
launch() {
	local tries polls
	for ((tries = 0; tries < 20; tries++)); do
		port=$((20000 + RANDOM % 12000))
		env ${preload[$1]:+LD_PRELOAD="${preload[$1]}"} TIDEPOOL_STATS=1 \
			redis-server --bind 127.0.0.1 --port "$port" --dir "$tmp" --save "" --appendonly no --daemonize no \
			</dev/null >"$tmp/$1.out" 2>"$tmp/$1.err" &
		server=$!
		for ((polls = 0; polls < 100; polls++)); do
			is_up && break 2
			kill -0 "$server" 2>/dev/null || break
			sleep 0.05
		done
		end_server
	done
	[ -n "$server" ] || { cat "$tmp/$1.out" "$tmp/$1.err" >&2; stop "redis-server does not start (${title[$1]})"; }
	[ -z "${preload[$1]}" ] || grep -qF "$(readlink -f "${preload[$1]}")" "/proc/$server/maps" ||
		stop "redis-server runs without ${preload[$1]}: $(head -n 1 "$tmp/$1.err")"
}

resident() { awk '/^VmRSS:/ { printf "%.1f\n", $2 / 1024 }' "/proc/$server/status"; }

# note COLUMN LINE VALUE: one measurement.
note() { echo "$3" >>"$tmp/$1 $2"; }

# measure COLUMN: one server from start to end.
measure() {
	local bytes operation lines
	launch "$1"
	note "$1" "resident, started" "$(resident)"
	for bytes in "${value_bytes[@]}"; do
		lines=$(in_time redis-benchmark -h 127.0.0.1 -p "$port" -t "$(IFS=,; echo "${operations[*],,}")" -n "$REQUESTS" -r 50000 \
			-c 20 -P 16 -d "$bytes" --csv 2>/dev/null) ||
			stop "redis-benchmark failed or was too slow (${title[$1]}); try fewer requests: REQUESTS=$((REQUESTS / 4))"
		for operation in "${operations[@]}"; do
			note "$1" "$operation $bytes B" "$(sed -n "s/^\"$operation\",\"\([0-9.]*\)\".*/\1/p" <<<"$lines")"
		done
	done
	ask FLUSHALL >/dev/null
	# values of mixed sizes, some of them rewritten in another size, as a cache's are
	ask EVAL "for i = 1, $keys do redis.call('SET', 'k' .. i, string.rep('v', (i * 7919) % 2000 + 10)) end
		for i = 1, $keys, 3 do redis.call('SET', 'k' .. i, string.rep('w', (i * 104729) % 3000 + 10)) end" 0 >/dev/null
	note "$1" "resident, filled" "$(resident)"
	ask EVAL "for i = 1, $keys do if i % 10 > 0 then redis.call('DEL', 'k' .. i) end end" 0 >/dev/null
	sleep 2
	note "$1" "resident, 90 % deleted + 2 s" "$(resident)"
	ask FLUSHALL >/dev/null
	sleep 2
	note "$1" "resident, all deleted + 2 s" "$(resident)"
	end_server
}

# ---- the table ------------------------------------------------------------------------------------

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# row LINE FORMAT
row() {
	local column value
	printf '  %-30s' "$1"
	for column in "${columns[@]}"; do
		value=$(median "$tmp/$column $1")
		# shellcheck disable=SC2059  # the format is the caller's
		printf "$2" "$value"
	done
	echo
}

head_line() {
	local column
	printf '\n  %-30s' "$1"
	for column in "${columns[@]}"; do printf '%14s' "${title[$column]}"; done
	echo
}

echo "redis-server under load, on tidepool and on the system's malloc in turn."
echo "  \"as shipped\" is ${origin}."
echo "  $ROUNDS rounds of each; stopped in any case before two minutes are over."
for ((round = 1; round <= ROUNDS; round++)); do
	started=$SECONDS
	for column in "${columns[@]}"; do
		printf '  [%3d s] round %d of %d: %s\n' "$SECONDS" "$round" "$ROUNDS" "${title[$column]}"
		measure "$column"
	done
	rounds_done=$round
	((SECONDS + (SECONDS - started) <= seconds_at_most)) || break
done

head_line "requests per second"
for bytes in "${value_bytes[@]}"; do
	for operation in "${operations[@]}"; do row "$operation $bytes B" '%14.0f'; done
done
head_line "resident memory, MB"
for line in started filled "90 % deleted + 2 s" "all deleted + 2 s"; do row "resident, $line" '%14.1f'; done
echo
echo "  Medians; rounds run: $rounds_done; 20 connections, 16 requests sent at a time, values of ${value_bytes[*]} bytes."
echo "  \"filled\" is $keys keys of 10 to 3000 bytes. redis-benchmark and the server share this machine's processors, so"
echo "  small differences in requests per second say little."
echo
echo "tidepool's statistics of its last run (TIDEPOOL_STATS=1):"
if [ -s "$tmp/tidepool.err" ]; then
	sed 's/^/  /' "$tmp/tidepool.err"
else
	echo "  (none: the library printed nothing)"
fi
