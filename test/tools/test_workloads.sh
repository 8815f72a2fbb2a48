#!/bin/sh
# Every workload of the bench runs under the built library, little of each, and
# prints a result that the harness can read.
set -eu
program=$TIDE_BUILDDIR/bench/workloads/workload
slowed=$TIDE_BUILDDIR/bench/workloads/.libs/libtidepool-slowed.so

skip() {
    echo "skipped: $*"
    exit 77
}
[ "${TIDE_OVERRIDE:-1}" = 1 ] || skip "the library was built without malloc & co (--disable-override)"
[ "${TIDE_SANITIZER:-no}" = no ] || skip "a library with a sanitizer can't be preloaded"
command -v python3 >/dev/null || skip "python3 not found (Debian package: python3)"

# status 0 and a good result; a list of what was wrong otherwise
exec python3 - "$program" "$TIDE_LIB" "$slowed" <<'END'
import json, os, subprocess, sys

program, library, slowed = sys.argv[1:]
errors = []


def run(arguments, preload):
    environment = dict(os.environ, LD_PRELOAD=preload)
    done = subprocess.run([program, *arguments], env=environment, capture_output=True,
                          text=True, timeout=60)
    if done.returncode or done.stderr:
        raise ValueError(f"status {done.returncode}, stderr: {done.stderr[:500]}")
    return done.stdout


CALLS = {"pair": 1, "block": 1, "thread": 100}      # of malloc, and of free, for an operation


def check_histogram(histogram):
    order = [histogram[name] for name in ("p50", "p90", "p99", "p99.9", "p99.99", "max")]
    if order != sorted(order) or histogram["count"] <= 0:
        raise ValueError(f"not a histogram: {histogram}")


def check_calls(row, result):
    """Every call of the loop is timed, and no other."""
    calls = [result["latency_ns"][call]["count"] for call in ("malloc", "free")]
    expected = CALLS[row["unit"]] * result["operations"] if row["unit"] in CALLS else calls[0]
    if calls != [expected, expected]:
        raise ValueError(f"{calls} calls of malloc and free were timed, not {expected}")


def check_quarter(result):
    done = result["thread_operations"]
    producers = len(done) // 4
    if not sum(done[:producers]) == sum(done[producers:]) == result["operations"]:
        raise ValueError(f"not a quarter of the threads allocates for the others: {done}")


def check(row, threads, result):
    if (result["workload"], result["threads"]) != (row["workload"], threads):
        raise ValueError("the result is of another workload")
    for name in ("operations", "seconds", "final_bytes"):
        if result[name] <= 0:
            raise ValueError(f"{name} is {result[name]}")
    if row["group"] == "contention" and len(result["thread_operations"]) != threads:
        raise ValueError("thread_operations isn't of all threads")
    if "latency" in (row["group"], row["workload"].rpartition("-")[2]):
        check_histogram(result["latency_ns"]["malloc"])
        check_histogram(result["latency_ns"]["free"])
        check_calls(row, result)
    if row["group"] == "return" or row["workload"] in ("sparse-frees", "free-all"):
        check_settled(row, result)
    if row["workload"] == "few-producers":
        check_quarter(result)
    if row["group"] == "footprint":
        if not 2 <= len(result["series"]) <= 100 or result["series"][-1][2] != 0:
            raise ValueError(f"not a series that ends with nothing alive: {result['series'][-3:]}")


def check_settled(row, result):
    """Blocks that stay are resident; where all were freed nobody keeps more than there was."""
    if not 0 < result["settled_bytes"] < 1 << 30:
        raise ValueError(f"settled_bytes is {result['settled_bytes']}")
    if result["settled_bytes"] < result["metrics"].get("held_live_bytes", 0):
        raise ValueError("less is resident than is alive")
    if row["workload"] == "return-trim" and result["metrics"]["has_malloc_trim"] != 1:
        raise ValueError("the library's malloc_trim wasn't found")


def attempt(name, action):
    try:
        action()
    except (ValueError, KeyError, subprocess.TimeoutExpired) as error:
        errors.append(f"{name}: {type(error).__name__}: {error}")


def run_one(row, threads, preload):
    arguments = ["run", row["workload"], "--threads", str(threads), "--scale", "1"]
    check(row, threads, json.loads(run(arguments, preload)))


rows = json.loads(run(["list"], ""))
for row in rows:
    threads = 1 if row["group"] == "micro" else 8 if row["threads"][0] == 8 else 2
    attempt(row["workload"], lambda: run_one(row, threads, library))
attempt("under libtidepool-slowed",
        lambda: run_one(next(r for r in rows if r["workload"] == "thread-lives"), 2,
                        f"{slowed} {library}"))
print("\n".join(errors) or f"{len(rows)} workloads ran")
sys.exit(bool(errors))
END
