#!/bin/bash
# operator new that fails (new_fails.cc), under LD_PRELOAD and in a program linked statically.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cxx[0]}" g++
need_override

# only_why FILE: the library says nothing but which limit the test set.
only_why() {
	grep -v '^tidepool: no memory for .* RLIMIT_AS, is reached' "$1" >"$1.rest"
	quiet "$1.rest"
}

flags=(-std=gnu++17 -O1 -Wall -Wextra -Wno-alloc-size-larger-than -pthread -fsized-deallocation -fno-builtin)
run compile "${cxx[@]}" "${flags[@]}" -o "$tmp/new_fails" "$here/new_fails.cc"
preloaded "$tmp/new_fails" >"$tmp/out" 2>"$tmp/err" || fail_with "$tmp/out" "new_fails under LD_PRELOAD"
only_why "$tmp/err"
equal "answer under LD_PRELOAD" "$(cat "$tmp/out")" ok

link_statically new_fails.static "${cxx[@]}" "${flags[@]}" "$here/new_fails.cc"
"$tmp/new_fails.static" >"$tmp/out" 2>"$tmp/err" || fail_with "$tmp/out" "new_fails linked statically"
only_why "$tmp/err"
equal "answer of the static program" "$(cat "$tmp/out")" ok
