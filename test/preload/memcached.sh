#!/bin/bash
# memcached with four threads under the library, driven by memcached_client.py: every answer is known.
# Two servers: one with room for everything (no value may be lost), one so small that it must evict
# (a value may be lost, never wrong).
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need memcached memcached
need python3 python3
need_override

# serve NAME MODE MEGABYTES
serve() {
	local socket=$tmp/$1.socket
	start_preloaded "$1" memcached -s "$socket" -t 4 -m "$3" -I 4m -u "$(id -un)"
	wait_until 30 test -S "$socket" || fail_with "$tmp/$1.err" "memcached does not start"
	has_library "$server" || fail "memcached runs without the library"
	run client python3 "$here/memcached_client.py" "$socket" "$2"
	grep -qx 'ok' "$tmp/client.out" || fail_with "$tmp/client.out" "memcached_client.py"
	kill -INT "$server"
	finished "$server" "$1"
	started=()
}

check() {
	serve "roomy${arena_lock}" keep 512
	serve "small${arena_lock}" evict 32
}

in_both_lock_modes check
