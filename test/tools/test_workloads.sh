#!/bin/sh
# Every workload of the bench runs under the built library, little of each, and
# prints a result that the harness can read.  lone, which a runner watches from
# outside, says its words in their order, and can't create a thread.
set -eu
program=$TIDE_BUILDDIR/bench/workloads/workload
lone=$TIDE_BUILDDIR/bench/workloads/lone
slowed=$TIDE_BUILDDIR/bench/workloads/.libs/libtidepool-slowed.so

skip() {
    echo "skipped: $*"
    exit 77
}
[ "${TIDE_OVERRIDE:-1}" = 1 ] || skip "the library was built without malloc & co (--disable-override)"
[ "${TIDE_SANITIZER:-no}" = no ] || skip "a library with a sanitizer can't be preloaded"
command -v python3 >/dev/null || skip "python3 not found (Debian package: python3)"

# status 0 and a good result; a list of what was wrong otherwise
exec python3 - "$program" "$TIDE_LIB" "$slowed" "$lone" <<'END'
import json, os, shutil, subprocess, sys

program, library, slowed, lone = sys.argv[1:]
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
    if row["group"] == "cliffs":
        check_cliff(row, result)
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


def check_cliff(row, result):
    """Its mappings are counted, and what it tells besides is of what it did."""
    kind, metrics = row["workload"].partition("-")[0], result["metrics"]
    if not 1 < metrics["mappings"] < 65530 or metrics["minor_faults"] <= 0:
        raise ValueError(f"{metrics['mappings']} mappings, {metrics['minor_faults']} faults")
    if kind == "bursts" and not 0 < metrics["later_burst_ms"] <= metrics["worst_later_burst_ms"]:
        raise ValueError(f"not the times of bursts: {metrics}")
    if kind == "shrink":
        check_settled(row, result)
    if kind == "fork" and not (0 < metrics["children_dirty_bytes"] < 20 * result["peak_bytes"] and
                               0 < metrics["added_bytes"] < result["peak_bytes"] and metrics["fork_us"] > 0):
        raise ValueError(f"not the memory of processes that share some: {metrics}")


def run_lone(arguments, input, preload=""):
    done = subprocess.run([lone, *arguments], env=dict(os.environ, LD_PRELOAD=preload), input=input,
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def check_lone(mode):
    """As the runner drives it: a byte for each word, and it ends when its input does."""
    status, said, complaints = run_lone(["run", mode, "1"], "\n" * 3, library)
    words = [line.partition(" ")[0] for line in said.splitlines()]
    if status or complaints or words != ["ready", "peak", "freed", "quiet"]:
        raise ValueError(f"status {status}, said {words}, {complaints[:500]}")
    told = json.loads(said.splitlines()[-1].partition(" ")[2])
    if told["operations"] <= 0 or told["nanoseconds"] <= 0:
        raise ValueError(f"nothing was done: {told}")
    live, pages, own = told["live_bytes"], told["live_page_bytes"], told["own_page_bytes"]
    if not live <= pages <= own or (live == 0) != mode.startswith("all") or (live == 0) != (own == 0):
        raise ValueError(f"pages of live blocks don't fit the blocks: {told}")
    if pages > live + 2 * os.sysconf("SC_PAGESIZE") * told["operations"]:
        raise ValueError(f"more pages than the blocks can be in: {told}")


def check_lone_usage():
    for arguments in ([], ["run"], ["run", "none"], ["run", "all", "0"], ["run", "all", "x"], ["list", "all"]):
        status, said, complaints = run_lone(arguments, "")
        if status != 2 or said or not complaints.startswith("usage:"):
            raise ValueError(f"{arguments}: status {status}, {said!r}, {complaints!r}")
    status, _, complaints = run_lone(["run", "all", "1"], "\n")
    if status != 1 or "nobody watches" not in complaints:
        raise ValueError(f"it goes on though nobody watches: status {status}, {complaints!r}")


def check_no_thread():
    if not shutil.which("nm"):
        return
    symbols = subprocess.run(["nm", "-D", "--undefined-only", lone], capture_output=True, text=True,
                             check=True).stdout
    creators = [name for name in ("pthread_create", "thrd_create", "clone", "timer_create", "syscall")
                if f" {name}@" in symbols]
    if creators or " malloc@" not in symbols:
        raise ValueError(f"lone, of one thread, links {creators} and malloc: {' malloc@' in symbols}")


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
    first = row["threads"][0]
    threads = first if row["group"] in ("micro", "cliffs") or first == 8 else 2
    attempt(row["workload"], lambda: run_one(row, threads, library))
attempt("under libtidepool-slowed",
        lambda: run_one(next(r for r in rows if r["workload"] == "thread-lives"), 2,
                        f"{slowed} {library}"))
modes = run_lone(["list"], "")[1].split()
if {"all", "sparse", "churn", "prefork"} - set(modes):
    errors.append(f"lone has only {modes}")
for mode in modes:
    attempt(f"lone {mode}", lambda: check_lone(mode))
attempt("lone's usage", check_lone_usage)
attempt("lone's symbols", check_no_thread)
print("\n".join(errors) or f"{len(rows)} workloads and {len(modes)} modes of lone ran")
sys.exit(bool(errors))
END
