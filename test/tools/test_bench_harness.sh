#!/bin/sh
# The bench harness: its unit tests, and a small matrix of two workloads that
# isn't measured but made up, on the C library's malloc and on two broken
# libraries: one crashes, one never comes back. They are rows of the results,
# not the end; and the files are there and well-formed. The same with a probe
# that fails. And ./bootstrap bench passes its arguments on.
set -eu
: "${TIDE_SRCDIR:?}" "${TIDE_BUILDDIR:?}" "${CC:=cc}"
skip() {
    echo "skipped: $1"
    exit 77
}
python=/usr/bin/python3
test -x $python || skip "$python is missing (Debian package python3)"
command -v gnuplot >/dev/null || skip "gnuplot is missing (Debian package gnuplot-nox)"
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$TIDE_SRCDIR/bench" && $python -m unittest discover -s harness/tests -t .)

# No workload is named as a group is: --workload takes both.
"$TIDE_SRCDIR/bench/bench" list --builddir "$TIDE_BUILDDIR" --allocator glibc 2>"$work/missing" |
    sed '1,/^$/d' >"$work/list"
test -s "$work/list"
awk '{ groups[$1]; names[$2] }
     END { for (name in names) if (name in groups) { print name " is a workload and a group"; exit 1 } }' "$work/list"

# ---- Arguments of ./bootstrap bench keep their spaces and dollars -------------

fresh=$work/fresh
mkdir -p "$fresh/build/bench" "$fresh/bin"
cp "$TIDE_SRCDIR/bootstrap" "$fresh"
(cd "$fresh" && mkdir m4 src test bench && touch configure.ac Makefile.am VERSION configure Makefile.in config.h.in &&
    chmod +x configure && echo >build/bench/arguments)
# shellcheck disable=SC2016  # for make, not for this shell
printf 'all:\nbench:\n\t@printf "<%%s>\\n" $(BENCH_ARGUMENTS)\n' >"$fresh/build/bench/Makefile"
printf '#!/bin/sh\necho installed\n' >"$fresh/bin/dpkg-query"
cp "$fresh/bin/dpkg-query" "$fresh/bin/apt-get"
chmod +x "$fresh/bin/dpkg-query" "$fresh/bin/apt-get"
env -u MAKEFLAGS PATH="$fresh/bin:$PATH" "$fresh/bootstrap" bench --out "my results" --workload 'a*' "it's \$HOME" \
    >"$work/said"
printf '<%s>\n' --out "my results" --workload 'a*' "it's \$HOME" >"$work/wanted"
grep '^<' "$work/said" | diff "$work/wanted" - >&2

# ---- A program that obeys the contract, and two libraries that don't ---------

cat >"$work/workload" <<'END'
#!/bin/sh
if test "$1" = list; then
    echo '[{"workload": "even", "group": "contention", "threads": [1, 2], "quick": true, "about": "none", "unit": "pair"},'
    echo ' {"workload": "grow", "group": "footprint", "threads": [1], "quick": true, "about": "none", "unit": "block"}]'
elif test "$2" = even; then
    echo '{"workload": "even", "threads": '"$4"', "operations": 1000, "seconds": 0.001, "final_bytes": 4096,'\
        '"thread_operations": [500, 500], "latency_ns": {"malloc": {"p50": 20, "p99": 90, "max": 400, "count": 9}}}'
else
    echo '{"workload": "grow", "threads": 1, "operations": 10, "seconds": 0.001, "final_bytes": 4096,'\
        '"settled_bytes": 2048, "series": [[0, 4096, 1000], [0.5, 8192, 2000]], "metrics": {"note": 1}}'
fi
END
chmod +x "$work/workload"
cat >"$work/broken.c" <<'END'
#include <stdlib.h>
#include <unistd.h>
void *malloc(size_t size)
{
    if (CRASHES)
        abort();
    pause();
    return (void *)size;
}
END
# shellcheck disable=SC2086  # $CC may have arguments
for kind in crashing:1 hanging:0; do
    $CC -shared -fPIC -DCRASHES=${kind#*:} -o "$work/${kind%:*}.so" "$work/broken.c"
done

"$TIDE_SRCDIR/bench/bench" run --builddir "$TIDE_BUILDDIR" --program "$work/workload" --rounds 2 --timeout 1 \
    --allocator glibc --allocator crashing="$work/crashing.so" --allocator hanging="$work/hanging.so" \
    --no-counts --out "$work/results"

# ---- What must be in the files ----------------------------------------------

$python - "$work/results" <<'END'
import csv, json, sys
from pathlib import Path
from xml.dom import minidom

folder = Path(sys.argv[1])
rows = list(csv.DictReader(folder.joinpath("raw.csv").open()))
results = json.loads(folder.joinpath("results.json").read_text())
page = folder.joinpath("report.html").read_text()


def statuses(name):
    return {(row["workload"], row["threads"], row["status"]) for row in rows if row["allocator"] == name}


loads = {("even", "1"), ("even", "2"), ("grow", "1")}
assert statuses("glibc") == {(*load, "ok") for load in loads}, statuses("glibc")
assert statuses("crashing") == {(*load, "signal 6") for load in loads}, statuses("crashing")
assert statuses("hanging") == {(*load, status) for load in loads for status in ("timeout", "skipped")}, \
    statuses("hanging")
assert all(row["ns_per_operation"] == "" for row in rows if row["status"] != "ok")
assert len(results["runs"]) == len(rows) and results["machine"]["cpu"] and results["machine"]["kernel"]
assert [allocator["name"] for allocator in results["allocators"]] == ["glibc", "crashing", "hanging"]
digest = results["digest"]
assert {(row["workload"], str(row["threads"]), row["allocator"]) for row in digest["loads"]} == \
    {(*load, "glibc") for load in loads}, digest["loads"]
assert digest["loads"][0]["figures"]["ns_per_operation"]["median"] == 1000, digest["loads"][0]
assert [row for row in rows if row["workload"] == "grow" and row["allocator"] == "glibc"][0]["settled_bytes"] == "2048"
assert {row["workload"] for row in digest["loads"] if "settled_share" in row["figures"]} == {"grow"}, digest["loads"]
for name in ("gnuplot", "redis", "nginx", "wrk", "gcc", "tidepool's compiler", "tidepool's configure"):
    assert results["versions"][name], name
    assert name.replace("'", "&#x27;") in page, f"the report doesn't have: {name}"
assert "could not be drawn" not in page
minidom.parseString(page)   # well-formed
ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
assert len(ids) == len(set(ids)), "an id is there twice"
for text in ("signal 6", "timeout", "more than 1 s", "<svg", "Settled memory", "threads", "resident memory, MiB"):
    assert text in page, f"the report doesn't have: {text}"
for text in ("<script", "<link", "<img", "url(http", "@import"):
    assert text not in page, f"the report isn't self-contained: {text}"
print(f"{len(rows)} rows, {page.count('<svg')} plots, {len(page)} bytes of HTML")
END

# The report can be written again from the JSON, and results agree with themselves.
rm "$work/results/report.html"
"$TIDE_SRCDIR/bench/bench" report "$work/results"
test -s "$work/results/report.html"
"$TIDE_SRCDIR/bench/bench" compare "$work/results" "$work/results"

# ---- A probe that fails is rows, too, and the page is written ----------------

harness=$work/build/bench/harness
mkdir -p "$harness"
ln -s "$TIDE_BUILDDIR/bench/harness/launch" "$harness/launch"
printf '#!/bin/sh\necho no luck >&2\nexit 3\n' >"$harness/pingpong"
chmod +x "$harness/pingpong"
"$TIDE_SRCDIR/bench/bench" run --builddir "$work/build" --program "$work/workload" --rounds 1 --allocator glibc \
    --no-counts --out "$work/unprobed"
test "$(grep -c ',probe failed,.*exit 3: no luck' "$work/unprobed/raw.csv")" = 3
grep -q 'exit 3: no luck' "$work/unprobed/report.html"
