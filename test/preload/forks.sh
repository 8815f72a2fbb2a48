#!/bin/bash
# fork with handlers that allocate, vfork, posix_spawn, system and popen among allocating threads (forks.c),
# under LD_PRELOAD; then the same with fork handlers that were registered before the library's (atfork_early.c).
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

flags=(-std=gnu11 -O1 -Wall -Wextra -Wno-deprecated-declarations -pthread)
run compile "${cc[@]}" "${flags[@]}" -o "$tmp/forks" "$here/forks.c"
run compile_early "${cc[@]}" "${flags[@]}" -shared -fPIC -o "$tmp/atfork_early.so" "$here/atfork_early.c"
run_preloaded forks "$tmp/forks"
equal "answer" "$(cat "$tmp/forks.out")" ok
run early env LD_PRELOAD="$TIDE_LIB $tmp/atfork_early.so" "$tmp/forks"
equal "answer with handlers registered before the library's" "$(cat "$tmp/early.out")" ok
