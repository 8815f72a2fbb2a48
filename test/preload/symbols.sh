#!/bin/bash
# Under LD_PRELOAD every malloc-like symbol, of C and of C++, is the library's, and none is some other's.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cxx[0]}" g++
need_override

run compile "${cxx[@]}" -std=gnu++17 -O1 -Wall -Wextra -o "$tmp/whose_malloc" "$here/whose_malloc.cc" -ldl
preloaded "$tmp/whose_malloc" "$TIDE_LIB" >"$tmp/out" 2>"$tmp/err" || fail_with "$tmp/out" "a symbol is not the library's"
quiet "$tmp/err"
equal "answer" "$(cat "$tmp/out")" ok
