#!/bin/sh
# Every header compiles as the only one in a source, twice over, without a
# warning; a public one in C and in C++, with no flag of ours but -I.  -Wundef
# sees a header that tests a switch of config.h without including it.
set -eu
: "${CC:?}" "${CXX:?}" "${TIDE_SRCDIR:?}" "${TIDE_BUILDDIR:?}"
checked=0
failed=0

# compiles_alone <header> <compiler with flags>...
compiles_alone() {
    header=$1
    shift
    checked=$((checked + 1))
    if ! printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
        "$@" -Wall -Wextra -Wundef -Werror -fsyntax-only -; then
        echo "not self-contained: $header ($*)"
        failed=$((failed + 1))
    fi
}

# headers_in <folder>: names as they are included
headers_in() {
    (cd "$1" && find . -name '*.h' | sed 's|^\./||' | LC_ALL=C sort)
}

cxx=yes
# shellcheck disable=SC2086  # a compiler may come with flags
if ! echo 'int main() { return 0; }' | $CXX -x c++ -fsyntax-only - 2>/dev/null; then
    echo "no C++ compiler: public headers not tried in C++"
    cxx=no
fi

# shellcheck disable=SC2086
for header in $(headers_in "$TIDE_SRCDIR/include"); do
    compiles_alone "$header" $CC -x c -std=c11 -pedantic -I"$TIDE_SRCDIR/include"
    test $cxx = no ||
        compiles_alone "$header" $CXX -x c++ -std=c++11 -pedantic -I"$TIDE_SRCDIR/include"
done
# shellcheck disable=SC2086
for header in $(headers_in "$TIDE_SRCDIR/src"); do
    compiles_alone "$header" $CC -x c -std=gnu11 -D_GNU_SOURCE -pthread -I"$TIDE_BUILDDIR" \
        -I"$TIDE_SRCDIR/include" -I"$TIDE_SRCDIR/src"
done

echo "$checked headers tried, $failed failed"
test "$checked" -gt 0 && test "$failed" -eq 0
