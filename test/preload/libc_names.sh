#!/bin/bash
# A program that mixes malloc with glibc's names for it, __libc_malloc and its like (libc_names.c): under
# LD_PRELOAD, and linked statically.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

flags=(-std=gnu11 -O1 -fno-builtin -Wall -Wextra)
run compile "${cc[@]}" "${flags[@]}" -o "$tmp/dynamic" "$here/libc_names.c"
run_preloaded dynamic "$tmp/dynamic"
equal "answer under LD_PRELOAD" "$(cat "$tmp/dynamic.out")" ok
link_statically program "${cc[@]}" "${flags[@]}" "$here/libc_names.c"
run static "$tmp/program"
equal "answer of the static program" "$(cat "$tmp/static.out")" ok
