#!/bin/bash
# Root that keeps some capabilities, or gives them up, in the one thread that it has, and then changes its groups
# (privileges.c), under LD_PRELOAD as without the library.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
[ "$(id -u)" = 0 ] || skip "only root has capabilities to keep"
need_override

run compile "${cc[@]}" -std=gnu11 -O1 -fno-builtin -Wall -Wextra -o "$tmp/privileges" "$here/privileges.c"
chmod 711 "$tmp" # for whom it becomes
for part in keep drop; do
	run "plain_$part" "$tmp/privileges" "$part"
	if [ "$part" = keep ] && [ "$(grep -c ': done$' "$tmp/plain_keep.out")" != 4 ]; then
		skip "root can't keep capabilities here: $(tr '\n' ' ' <"$tmp/plain_keep.out")"
	fi
	run_preloaded "$part" "$tmp/privileges" "$part"
	same_file "$part" "$tmp/$part.out" "$tmp/plain_$part.out"
done
