#!/bin/sh
# A warm malloc(16) and its free take no more instructions than the figure kept
# in fast_path_instructions for this compiler.  When a change makes them fewer,
# lower the figure.  The peers' counts are printed beside it.
set -eu
: "${TIDE_SRCDIR:?}" "${TIDE_BUILDDIR:?}" "${TIDE_LIB:?}" "${TIDE_OVERRIDE:?}" "${CC:?}"
skip() {
    echo "skipped: $1"
    exit 77
}
test "$TIDE_OVERRIDE" = 1 || skip "this build doesn't define malloc"
grep -q '^#define TIDE_DEBUG 0' "$TIDE_BUILDDIR/config.h" || skip "this build has debug checks"
command -v valgrind >/dev/null || skip "valgrind is missing (Debian package valgrind)"
case $CC in
*clang*) compiler=clang ;;
*gcc*) compiler=gcc ;;
*) skip "no figure is kept for the compiler $CC" ;;
esac

set -- "tidepool=$TIDE_LIB" glibc=
for name in libmimalloc.so.2.0 libjemalloc.so.2 libtcmalloc_minimal.so.4; do
    # An older peer may have a suffix that tells its minor version.
    for peer in /usr/lib/*-linux-gnu/$name; do
        test ! -e "$peer" || set -- "$@" "${name%%.so*}=$peer"
    done
done
counts=$("$TIDE_SRCDIR/bench/micro/count_fast_path.sh" "$TIDE_BUILDDIR/bench/micro/fast_path" "$@")
echo "$counts"

most=$(awk -v name="$compiler" '$1 == name { print $2 }' "$TIDE_SRCDIR/test/tools/fast_path_instructions")
echo "$counts" | awk -v most="$most" '
    $1 == "tidepool" && $2 <= most { good = 1 }
    END { if (!good) { print "more than the " most " instructions kept"; exit 1 } }'
