#!/bin/bash
# The C++ compiler (driver, compiler proper, assembler, linker) under the library builds templates.cc, heavy on
# templates and the standard library. The object must be, byte for byte, the one built without the library, and
# the program, itself run under the library, must give the right answers. The C compiler builds a C file likewise.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
. "$(dirname "$0")/common.sh"
need "${cxx[0]}" g++
need "${cc[0]}" gcc
need_override

flags=(-std=gnu++17 -O0 -pthread -frandom-seed=1)
run plain "${cxx[@]}" "${flags[@]}" -c "$here/templates.cc" -o "$tmp/plain.o"
run_preloaded compile "${cxx[@]}" "${flags[@]}" -c "$here/templates.cc" -o "$tmp/templates.o"
same_file "object file" "$tmp/templates.o" "$tmp/plain.o"
run_preloaded link "${cxx[@]}" -pthread -o "$tmp/templates" "$tmp/templates.o"
run_preloaded templates "$tmp/templates"
cat >"$tmp/expected" <<END
fibonacci 12586269025
primes 1229
words 2000 longest w1999999
sorted 1
matches 500
parallel 1249975000
END
same_file "answers of the program" "$tmp/templates.out" "$tmp/expected"

run plain_c "${cc[@]}" -std=gnu11 -O2 -g -S "$here/static_threads.c" -o "$tmp/plain.s"
run_preloaded compile_c "${cc[@]}" -std=gnu11 -O2 -g -S "$here/static_threads.c" -o "$tmp/c.s"
same_file "assembly" "$tmp/c.s" "$tmp/plain.s"
