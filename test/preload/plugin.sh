#!/bin/bash
# operator new that fails in a C++ plugin (plugin_new_fails.cc) of a C program (plugin.c), under LD_PRELOAD and in a
# program linked with -ltidepool: only the plugin sees the libstdc++ that has the new handler and throws bad_alloc.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cc[0]}" gcc
need "${cxx[0]}" g++
need_override

library_folder=$(dirname "$TIDE_LIB")
flags=(-O1 -Wall -Wextra -Wno-alloc-size-larger-than -pthread)
run compile_plugin "${cxx[@]}" -std=gnu++17 "${flags[@]}" -shared -fPIC -o "$tmp/plugin.so" "$here/plugin_new_fails.cc"
run compile_plain "${cc[@]}" -std=gnu11 "${flags[@]}" -o "$tmp/plain" "$here/plugin.c" -ldl
run compile_linked "${cc[@]}" -std=gnu11 "${flags[@]}" -o "$tmp/linked" "$here/plugin.c" -ldl \
	-Wl,--no-as-needed -L"$library_folder" -ltidepool -Wl,-rpath,"$library_folder"
run without "$tmp/plain" "$tmp/plugin.so"
equal "answer without the library" "$(cat "$tmp/without.out")" ok
run_preloaded plain "$tmp/plain" "$tmp/plugin.so"
equal "answer under LD_PRELOAD" "$(cat "$tmp/plain.out")" ok
run linked "$tmp/linked" "$tmp/plugin.so"
equal "answer of the linked program" "$(cat "$tmp/linked.out")" ok
