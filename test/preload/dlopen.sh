#!/bin/bash
# A program that opens the library at run time, with threads already running, and closes it (dlopen_threads.c).
# Needs only the tide_ names, so it also runs when the library was built without malloc & co.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_library

run compile "${cc[@]}" -std=gnu11 -O1 -Wall -Wextra -pthread -o "$tmp/program" "$here/dlopen_threads.c" -ldl
run dlopen "$tmp/program" "$TIDE_LIB"
equal "answer" "$(cat "$tmp/dlopen.out")" ok
