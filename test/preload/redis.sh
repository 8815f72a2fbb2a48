#!/bin/bash
# redis-server under the library: one transcript of commands over every data type, a digest of the whole
# data set kept through DEBUG RELOAD, SAVE, BGSAVE, an append-only-file rewrite and restarts, lazy frees on
# another thread, and a bounded pipelined redis-benchmark. What is deterministic must equal a run without the
# library. Debian's redis-server is linked with libjemalloc: its own counters prove that redis left it.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need redis-server redis-server
need redis-cli redis-tools
need redis-benchmark redis-tools
need_override

ask() { redis-cli -s "$socket" "$@"; }
info() { ask INFO "$1" | tr -d '\r' | sed -n "s/^$2://p"; }
is_up() { [ "$(ask PING)" = PONG ]; }
no_child() { [ "$(info persistence rdb_bgsave_in_progress)$(info persistence aof_rewrite_in_progress)$(info persistence aof_rewrite_scheduled)" = 000 ]; }

# launch MODE [SETTING...]: MODE is plain or preloaded.
launch() {
	local mode=$1
	shift
	socket=$dir/socket
	rm -f "$socket"
	local command=(redis-server --port 0 --unixsocket "$socket" --dir "$dir" --daemonize no --save ""
		--enable-debug-command yes --io-threads 2 --io-threads-do-reads yes "$@")
	if [ "$mode" = plain ]; then start redis "${command[@]}"; else start_preloaded redis "${command[@]}"; fi
	wait_until 30 is_up || fail_with "$tmp/redis.out" "redis-server does not answer"
	[ "$mode" = plain ] || has_library "$server" || fail "redis-server runs without the library"
}

stop() {
	ask SHUTDOWN NOSAVE >/dev/null 2>&1
	finished "$server" redis
	grep -E 'BUG REPORT|crashed by signal|Assert' "$tmp/redis.out" && fail_with "$tmp/redis.out" "redis-server crashed"
	started=()
}

digest() { echo "digest $(ask DEBUG DIGEST)"; }

# The transcript: every answer is determined by the commands, so it is the same on any allocator.
commands() {
	cat <<'END'
SET s hello
APPEND s " world"
GETRANGE s 3 8
SETRANGE s 40 tail
STRLEN s
GET s
INCRBY n 41
INCRBYFLOAT n 0.5
SETBIT bits 100000 1
BITCOUNT bits
BITPOS bits 1
MSET m1 a m2 b m3 c
MGET m1 m2 m3 none
GETDEL m2
SETEX soon 1000 x
EXPIRE m1 2000
PERSIST m1
TTL m1
COPY s s2
LCS s s2 LEN
PFADD hll a b c d e f g
PFCOUNT hll
RPUSH l a b c d e f
LINSERT l BEFORE c between
LRANGE l 0 -1
LPOP l 2
LMOVE l l2 RIGHT LEFT
LREM l 0 between
LPOS l d
LTRIM l 0 1
LRANGE l 0 -1
HSET h f1 v1 f2 v2 f3 v3
HINCRBY h count 7
HGETALL h
HDEL h f2
HLEN h
SADD set1 1 2 3 4 5 6
SADD set2 4 5 6 7 8
SINTER set1 set2
SUNIONSTORE set3 set1 set2
SCARD set3
SORT set3 DESC
SMISMEMBER set1 1 9
SADD words pear apple fig
SORT words ALPHA
ZADD z 1 one 2 two 3 three 2.5 half
ZRANGE z 0 -1 WITHSCORES
ZINCRBY z 10 one
ZRANK z one
ZRANGEBYSCORE z (2 +inf
ZPOPMIN z
ZADD z2 5 three 6 six
ZUNIONSTORE z3 2 z z2 WEIGHTS 1 2
ZREVRANGE z3 0 -1 WITHSCORES
GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEODIST geo Palermo Catania km
GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS 200 km ASC
XADD x 1-1 a 1 b 2
XADD x 2-1 a 3
XADD x 3-1 a 4
XRANGE x - +
XGROUP CREATE x g 0
XREADGROUP GROUP g me COUNT 2 STREAMS x >
XACK x g 1-1
XPENDING x g
XTRIM x MAXLEN 2
XLEN x
EVAL "return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}" 1 n arg
EVAL "local t = {} for i = 1, 20000 do t[i] = i .. ':' .. (i * i) end return redis.sha1hex(table.concat(t, ','))" 0
EVAL "return cjson.encode({a = {1, 2, 3}}) .. cmsgpack.unpack(cmsgpack.pack('packed'))" 0
EVAL "return redis.call('NOSUCH')" 0
FUNCTION LOAD "#!lua name=lib\nredis.register_function('twice', function(keys, args) return args[1] .. args[1] end)"
FCALL twice 0 ab
MULTI
INCR n2
INCR n2
EXEC
LPUSH n2 wrong
EVAL "for i = 1, 5000 do redis.call('SET', 'str:' .. i, string.rep(tostring(i), i % 300 + 1)) end" 0
EVAL "for i = 1, 40 do redis.call('SET', 'big:' .. i, string.rep('x' .. i, i * 5000)) end" 0
EVAL "for i = 1, 3000 do redis.call('RPUSH', 'list:' .. i % 10, string.rep('e', i % 200)) redis.call('HSET', 'hash:' .. i % 7, 'field' .. i, string.rep('v', i % 150)) end" 0
EVAL "for i = 1, 6000 do redis.call('SADD', 'set:' .. i % 5, 'member' .. i) redis.call('ZADD', 'zset:' .. i % 3, i * 7 % 1000, 'member' .. i) end" 0
EVAL "for i = 1, 2000 do redis.call('XADD', 'stream', i .. '-1', 'field', string.rep('s', i % 100)) end" 0
STRLEN big:40
HSTRLEN hash:3 field1060
LINDEX list:4 100
ZCOUNT zset:1 100 200
ZRANGE zset:2 5 9 WITHSCORES
XREVRANGE stream + - COUNT 1
OBJECT ENCODING hash:1
OBJECT ENCODING zset:1
OBJECT ENCODING n2
EVAL "for i = 1, 5000, 3 do redis.call('UNLINK', 'str:' .. i) end return redis.call('DBSIZE')" 0
EVAL "for i = 2, 5000, 3 do redis.call('APPEND', 'str:' .. i, string.rep('y', 500)) end return redis.call('STRLEN', 'str:4997')" 0
RENAME s renamed
EXISTS s renamed
DBSIZE
END
}

# session MODE NAME: the deterministic part; leaves the transcript in $tmp/NAME.
session() {
	dir=$tmp/$2.data
	mkdir "$dir"
	launch "$1"
	commands | ask >"$tmp/$2" 2>&1 || fail_with "$tmp/$2" "redis-cli on the transcript"
	{
		digest
		ask DEBUG RELOAD; digest
		ask SAVE; digest
	} >>"$tmp/$2"
	[ "$1" = plain ] || unusual
	stop
	launch "$1"
	digest >>"$tmp/$2"
	ask CONFIG SET appendonly yes >/dev/null
	wait_until 30 no_child || fail "the append-only file is not written"
	ask EVAL "for i = 1, 3000 do redis.call('SET', 'more:' .. i, i) end return redis.call('DBSIZE')" 0 >>"$tmp/$2"
	ask BGREWRITEAOF >/dev/null
	ask EVAL "for i = 1, 3000 do redis.call('APPEND', 'more:' .. i, 'during') end return redis.call('DBSIZE')" 0 >>"$tmp/$2"
	wait_until 30 no_child || fail "the append-only file is not rewritten"
	equal "aof_last_bgrewrite_status" "$(info persistence aof_last_bgrewrite_status)" ok
	digest >>"$tmp/$2"
	stop
	launch "$1" --appendonly yes
	digest >>"$tmp/$2"
	ask BGSAVE >/dev/null
	wait_until 30 no_child || fail "BGSAVE does not end"
	equal "rdb_last_bgsave_status" "$(info persistence rdb_last_bgsave_status)" ok
	[ "$1" = plain ] || benchmark
	ask FLUSHALL ASYNC >>"$tmp/$2"
	ask DBSIZE >>"$tmp/$2"
	stop
}

# unusual: commands whose answers depend on the allocator; checked for sense.
unusual() {
	local usage used theirs
	usage=$(ask MEMORY USAGE big:40)
	((usage > 600000 && usage < 1400000)) || fail "MEMORY USAGE of a 600 kB string is '$usage'"
	used=$(info memory used_memory)
	[ "$used" -gt 5000000 ] || fail "used_memory is '$used' with more than 10 MB stored"
	[[ $(ask MEMORY STATS) == *total.allocated* ]] || fail "MEMORY STATS"
	[[ $(ask MEMORY DOCTOR) == *[a-z]* ]] || fail "MEMORY DOCTOR"
	equal "MEMORY PURGE" "$(ask MEMORY PURGE)" OK
	[[ $(ask MEMORY MALLOC-STATS) == *[a-z]* ]] || fail "MEMORY MALLOC-STATS"
	ask CONFIG SET activedefrag yes >/dev/null    # may be refused; must not hurt
	is_up || fail "redis-server died on CONFIG SET activedefrag"
	ask CONFIG SET activedefrag no >/dev/null
	# redis asks libjemalloc, if it is linked with it, for allocator_allocated: with another malloc in front, almost nothing.
	theirs=$(info memory allocator_allocated)
	if [[ $(info memory mem_allocator) == jemalloc* && $TIDE_LIB != *jemalloc* ]]; then
		[ "$theirs" -lt 2000000 ] || fail "libjemalloc still serves $theirs bytes: redis does not use the library"
	fi
}

benchmark() {
	local operation line before right size
	before=$(ask DBSIZE)
	for size in 16 700 20000; do
		run benchmark redis-benchmark -s "$socket" -t set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd \
			-n "$((size < 10000 ? 4000 : 1000))" -r 1000 -c 20 -P 16 -d "$size" -q
		for operation in SET GET INCR LPUSH RPUSH LPOP RPOP SADD HSET SPOP ZADD; do
			line=$(tr '\r' '\n' <"$tmp/benchmark.out" | grep "^$operation: .*requests per second") ||
				fail_with "$tmp/benchmark.out" "redis-benchmark: no result for $operation"
		done
		grep -i error "$tmp/benchmark.out" "$tmp/benchmark.err" && fail "redis-benchmark reports an error"
		# 1000 sets of 1000 random keys reach 632 of them, give or take 10
		right=$(ask EVAL "local n = 0 for i = 0, 999 do if redis.call('STRLEN', string.format('key:%012d', i)) == $size then n = n + 1 end end return n" 0)
		[ "$right" -gt 500 ] || fail "redis-benchmark set values of $size bytes, but only $right keys have one"
	done
	[ "$(ask DBSIZE)" -gt "$before" ] || fail "redis-benchmark stored nothing: $line"
}

# same_digests FILE: the whole data set was the same before and after DEBUG RELOAD, SAVE and a restart, and
# before and after the restart from the append-only file.
same_digests() {
	local digests
	mapfile -t digests < <(sed -n 's/^digest //p' "$1")
	equal "number of digests" "${#digests[@]}" 6
	[[ ${digests[0]} =~ ^[0-9a-f]{40}$ && ${digests[0]} != 0000* ]] || fail_with "$1" "no digest of the data set"
	equal "digest after DEBUG RELOAD" "${digests[1]}" "${digests[0]}"
	equal "digest after SAVE" "${digests[2]}" "${digests[0]}"
	equal "digest after a restart" "${digests[3]}" "${digests[0]}"
	equal "digest after a restart from the append-only file" "${digests[5]}" "${digests[4]}"
}

check() {
	local name=preloaded${arena_lock:+.$arena_lock}
	session preloaded "$name"
	same_digests "$tmp/$name"
	same_file "answers of redis" "$tmp/$name" "$tmp/plain"
}

session plain plain
same_digests "$tmp/plain"
in_both_lock_modes check
