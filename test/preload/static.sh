#!/bin/bash
# A C program with threads and forks, linked statically with libtidepool.a; then the same program dynamically
# under LD_PRELOAD. Both must find every block as its maker left it.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

flags=(-std=gnu11 -O1 -Wall -Wextra -pthread)
run compile "${cc[@]}" "${flags[@]}" -o "$tmp/dynamic" "$here/static_threads.c"
run_preloaded dynamic "$tmp/dynamic"
equal "answer under LD_PRELOAD" "$(cat "$tmp/dynamic.out")" ok
link_statically program "${cc[@]}" "${flags[@]}" "$here/static_threads.c"
run static "$tmp/program"
equal "answer of the static program" "$(cat "$tmp/static.out")" ok
