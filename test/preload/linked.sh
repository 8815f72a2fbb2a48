#!/bin/bash
# A program that includes the public header and links with -ltidepool, as C and as C++ (linked_program.c).
# Needs only the tide_ names, so it also runs when the library was built without malloc & co.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need_library

# as_language NAME COMPILER...
as_language() {
	local name=$1
	shift
	run "compile.$name" "$@" -O1 -Wall -Wextra -pthread -I"$TIDE_INCLUDE" "$here/linked_program.c" -o "$tmp/$name" \
		-x none -L"$library_folder" -ltidepool -Wl,-rpath,"$library_folder" -ldl
	run "$name" "$tmp/$name"
	equal "answer ($name)" "$(head -n 1 "$tmp/$name.out")" ok
	equal "library in use ($name)" "$(readlink -f "$(tail -n 1 "$tmp/$name.out")")" "$TIDE_LIB"
}

library_folder=$(dirname "$TIDE_LIB")
as_language c "${cc[@]}" -std=gnu11
if command -v "${cxx[0]}" >/dev/null; then
	as_language cxx "${cxx[@]}" -std=gnu++17 -x c++
fi
