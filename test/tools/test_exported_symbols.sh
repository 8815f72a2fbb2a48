#!/bin/sh
# libtidepool.so exports what tidepool.map lists, no more and no less, and the
# map lists every function of the public headers.
set -eu
: "${TIDE_SRCDIR:?}" "${TIDE_LIB:?}" "${TIDE_OVERRIDE:?}" "${NM:=nm}"
if ! test -e "$TIDE_LIB"; then
    echo "no shared library was built"
    exit 77
fi
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Comments are C's, in the map and in the headers.
without_comments() {
    cat "$@" | tr '\n' ' ' | sed 's|\*/|*/\n|g' | sed 's|/\*.*\*/||' | tr '\n' ' '
}

without_comments "$TIDE_SRCDIR/tidepool.map" |
    sed 's/.*global:\(.*\)local:.*/\1/' | tr -d ' \t' | tr ';' '\n' | sed '/^$/d' |
    sort >"$work/map"
if test "$TIDE_OVERRIDE" = 1; then
    cp "$work/map" "$work/expected"
else
    grep '^tide_' "$work/map" >"$work/expected"
fi

# shellcheck disable=SC2086  # nm may come with flags
$NM -D --defined-only "$TIDE_LIB" | awk '{ print $NF }' | sort >"$work/exported"

without_comments "$TIDE_SRCDIR"/include/tidepool/*.h | tr ';' '\n' |
    sed -n 's/.*TIDE_API [^(]*\(tide_[a-z0-9_]*\) *(.*/\1/p' | sort >"$work/public"

status=0
# complain <about> <names>
complain() {
    test -z "$2" || {
        echo "$1:" "$2"
        status=1
    }
}
names() {
    "$@" | tr '\n' ' '
}
complain 'twice in the map' "$(names uniq -d "$work/map")"
complain 'in the map, not exported' "$(names comm -23 "$work/expected" "$work/exported")"
complain 'exported, not in the map' "$(names comm -13 "$work/expected" "$work/exported")"
complain 'in a public header, not in the map' "$(names comm -23 "$work/public" "$work/map")"
grep '^tide_' "$work/map" >"$work/own"
complain 'in the map, not in a public header' "$(names comm -13 "$work/public" "$work/own")"
echo "$(wc -l <"$work/exported") exported, $(wc -l <"$work/map") in the map," \
    "$(wc -l <"$work/public") in public headers"
test -s "$work/public" && exit $status
