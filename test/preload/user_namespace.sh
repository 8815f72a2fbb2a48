#!/bin/bash
# A program of one thread gets a user namespace of its own (privileges.c), under LD_PRELOAD as without the library.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -o "$tmp/privileges" "$here/privileges.c"
run plain "$tmp/privileges" unshare
grep -q ': done$' "$tmp/plain.out" || skip "no user namespaces: $(cat "$tmp/plain.out")"
run_preloaded unshare "$tmp/privileges" unshare
same_file "unshare" "$tmp/unshare.out" "$tmp/plain.out"
