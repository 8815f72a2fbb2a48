#!/bin/bash
# Frees in thread_local, pthread key, atexit and static destructors (late_frees.cc), under LD_PRELOAD.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cxx[0]}" g++
need_override

run compile "${cxx[@]}" -std=gnu++17 -O1 -Wall -Wextra -pthread -o "$tmp/late_frees" "$here/late_frees.cc"
run plain "$tmp/late_frees"
run_preloaded late_frees "$tmp/late_frees"
equal "answer" "$(cat "$tmp/late_frees.out")" ok
