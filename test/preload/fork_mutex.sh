#!/bin/bash
# A library's fork handlers take a mutex that other threads hold while they call malloc (fork_mutex.c and
# fork_mutex_library.c): under LD_PRELOAD, in a program linked with -ltidepool in front of that library and behind
# it, and in a static program. No fork may hang.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

flags=(-std=gnu11 -O1 -Wall -Wextra -pthread)
library_folder=$(dirname "$TIDE_LIB")
theirs=("$tmp/libfork_mutex.so" -Wl,-rpath,"$tmp")
ours=(-Wl,--no-as-needed -L"$library_folder" -ltidepool -Wl,-rpath,"$library_folder")

# in_this_mode NAME RUNNER
in_this_mode() {
	"$2" "$1" env ${arena_lock:+TIDEPOOL_ARENA_LOCK="$arena_lock"} "$tmp/$1"
	equal "answer ($1)" "$(cat "$tmp/$1.out")" ok
}

check() {
	in_this_mode plain run_preloaded
	in_this_mode ours_first run
	in_this_mode theirs_first run
}

check_static() { in_this_mode static run; }

run compile_library "${cc[@]}" "${flags[@]}" -shared -fPIC -o "$tmp/libfork_mutex.so" "$here/fork_mutex_library.c"
run compile_plain "${cc[@]}" "${flags[@]}" -o "$tmp/plain" "$here/fork_mutex.c" "${theirs[@]}"
run compile_ours_first "${cc[@]}" "${flags[@]}" -o "$tmp/ours_first" "$here/fork_mutex.c" "${ours[@]}" "${theirs[@]}"
run compile_theirs_first "${cc[@]}" "${flags[@]}" -o "$tmp/theirs_first" "$here/fork_mutex.c" "${theirs[@]}" "${ours[@]}"
in_both_lock_modes check
link_statically static "${cc[@]}" "${flags[@]}" "$here/fork_mutex.c" "$here/fork_mutex_library.c"
in_both_lock_modes check_static
