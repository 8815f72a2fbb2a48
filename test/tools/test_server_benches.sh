#!/bin/sh
# Every runner of bench/servers, at a small scale, on this library: its answers
# are right, its result is whole, and it leaves no process and no file behind,
# also when it is ended early.  A library that doesn't define malloc is refused.
set -eu
: "${TIDE_SRCDIR:?}" "${TIDE_BUILDDIR:?}" "${TIDE_LIB:?}" "${TIDE_OVERRIDE:?}"
skip() {
    echo "skipped: $1"
    exit 77
}
test "$TIDE_OVERRIDE" = 1 || skip "this build doesn't define malloc"
test -x /usr/bin/python3 || skip "/usr/bin/python3 is missing (Debian package python3)"
! ldd "$TIDE_LIB" | grep -q 'lib[at]san' || skip "a sanitizer's library can't be preloaded"
runners=$TIDE_SRCDIR/bench/servers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp"
TMPDIR=$work/tmp
export TIDE_BUILDDIR TMPDIR
TIDE_LAUNCH=$TIDE_BUILDDIR/bench/harness/launch # which a small program's peak needs
export TIDE_LAUNCH

fail() {
    echo "$1"
    exit 1
}

nothing_left() {
    left=$(ls "$work/tmp")
    test -z "$left" || fail "$1 leaves files: $left"
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" || true) in
        "$work"/*) fail "$1 leaves a process: $(tr '\0' ' ' <"$process/cmdline")" ;;
        esac
    done
}

# check_result NAME <result: skipped with a reason, or with all the figures
check_result() {
    /usr/bin/python3 -c '
import json, sys

def check_kept(result, metrics):
    """The figures of bench/servers/lone.py, which fit each other; and nothing has a thread that it did not ask for."""
    must_stay = metrics["started_bytes"] + metrics["live_page_bytes"]
    assert 0 < metrics["started_bytes"] < result["settled_bytes"] <= result["peak_bytes"], result
    assert metrics["at_once_bytes"] <= result["peak_bytes"], result
    assert metrics["live_bytes"] <= metrics["live_page_bytes"] <= metrics["own_page_bytes"], result
    assert (metrics["live_bytes"] == 0) == ("-all" in result["workload"]), result
    assert must_stay <= result["settled_bytes"], "less is resident than the pages of live blocks"
    assert metrics["kept_bytes"] == result["settled_bytes"] - must_stay, result
    assert metrics["process_threads"] == 1, result

result = json.load(sys.stdin)
assert result["workload"] == sys.argv[1], result
if "skipped" in result:
    assert result["skipped"]
    sys.exit(print(sys.argv[1], "skipped:", result["skipped"]))
assert result["threads"] >= 1 and result["operations"] > 0 and result["seconds"] > 0, result
assert 0 < result.get("final_bytes", 1) <= result["peak_bytes"] < 1 << 34 and result["peak_bytes"] > 1 << 20, result
assert all(isinstance(value, (int, float)) for value in result["metrics"].values()), result
if "kept_bytes" in result["metrics"]:
    check_kept(result, result["metrics"])
for name, kind in result.get("latency_ns", {}).items():
    assert 0 < kind["p50"] <= kind["p99"] <= kind["max"] and kind["count"] > 0, (name, kind)
if result["workload"] == "fork-redis":
    metrics = result["metrics"]
    assert 0 < metrics["added_bytes"] < result["peak_bytes"] and metrics["fork_us"] > 0, result
    dirty = [metrics[name] for name in ("parent_dirty_bytes", "children_dirty_bytes", "rdb_last_cow_size")]
    assert all(0 < each < result["peak_bytes"] for each in dirty), result
print("%s: %d operations in %.2f s, peak %.1f MB"
      % (sys.argv[1], result["operations"], result["seconds"], result["peak_bytes"] / 1e6))' "$1"
}

count=0
for runner in cxx lone memcached nginx perl python redis redis_return redis_save sqlite startup; do
    names=$("$runners/$runner.py" list | /usr/bin/python3 -c '
import json, sys
for each in json.load(sys.stdin):
    assert each["group"] in ("server", "program", "micro", "return") and each["threads"] and each["about"] and each["unit"], each
    print(each["workload"])')
    for name in $names; do
        "$runners/$runner.py" run "$name" --preload "$TIDE_LIB" --scale 2 >"$work/result" || fail "$name fails"
        check_result "$name" <"$work/result"
        nothing_left "$name"
        count=$((count + 1))
    done
done
test "$count" -ge 10 || fail "only $count workloads"

# The runner sees when the malloc that it was given isn't the one in use.
libm=$(ldd "$TIDE_BUILDDIR/bench/servers/memcached_load" | sed -n 's/.*libc\.so\.6 => \(.*\)libc\.so\.6 .*/\1libm.so.6/p')
for library in "$libm" "$work/none.so"; do
    if "$runners/perl.py" run perl --preload "$library" --scale 2 >"$work/result" 2>"$work/errors"; then
        grep -q skipped "$work/result" || fail "perl.py measures under $library"
    fi
done

# Ended early, a runner stops its server.
"$runners/redis.py" run redis --preload "$TIDE_LIB" --scale 300 >"$work/result" &
runner=$!
sleep 1
kill "$runner" 2>/dev/null || grep -q skipped "$work/result" || fail "redis.py had ended"
wait "$runner" || true
nothing_left "redis.py, ended early,"

# Also when the server's child is stopped.
a_child_is_stopped() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" || true) in
        "$work"/*) if grep -q '^State:.T' "$process/status"; then return 0; fi ;;
        esac
    done
    return 1
}
"$runners/redis_save.py" run fork-redis --preload "$TIDE_LIB" --scale 200 >"$work/result" 2>"$work/errors" &
runner=$!
while ! a_child_is_stopped && kill -0 "$runner" 2>/dev/null; do
    sleep 0.05
done
kill "$runner" 2>/dev/null || grep -q skipped "$work/result" || fail "redis_save.py had ended"
wait "$runner" || true
nothing_left "redis_save.py, ended early,"

# Also one that has forked workers.
(cd "$work/tmp" && exec "$runners/lone.py" run prefork --preload "$TIDE_LIB" --scale 20) >"$work/result" &
runner=$!
sleep 1
kill "$runner" || fail "lone.py had ended"
wait "$runner" || true
nothing_left "lone.py, ended early,"
