#!/bin/sh
# Rooms use only what is below them, and no files form a circle: by every #include in
# src/, and by the symbols of the objects.  First, that the check finds what is wrong.
set -eu
: "${TIDE_SRCDIR:?}" "${TIDE_BUILDDIR:?}" "${CC:?}" "${NM:?}"
check=$TIDE_SRCDIR/test/tools/dependencies.py

"$check" --self-test "$CC" "$NM"
"$check" "$TIDE_SRCDIR" "$TIDE_BUILDDIR" "$NM"
