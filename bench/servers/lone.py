#!/usr/bin/python3
"""Programs of one thread that take much, free it and go quiet, watched from outside: how much memory do they keep?

The programs are bench/workloads/lone.c and prefork.c. They create no thread and, once quiet, call malloc no more; what
an allocator gives back, it gives back in their own calls, or by a thread of its own (`process_threads` tells). They wait
at each of their moments until this runner has read their memory, as the kernel counts it (smaps_rollup; of prefork the
sum of Pss of the parent and its workers, and the peak is the sum of the workers' VmHWM, as if all had theirs at once).

    started_bytes       resident before the first malloc: the program with its arrays of pointers
    at_once_bytes       resident right after the last free
    settled_bytes       resident IDLE_SECONDS after it
    live_page_bytes     of pages that have a part of a live block, as large as it was asked for: by the blocks'
                        addresses, and the least that must stay
    own_page_bytes      the same, as large as malloc_usable_size says: what is in the blocks' size classes
    kept_bytes          settled less started less live pages: free memory that is resident, what lies behind the bytes
                        asked for, and the allocator's own data
    kept_at_once_bytes  the same right after the last free
    kept_share          kept by the peak less started
    kept_free_bytes     settled less started less own_page_bytes: of kept, without what lies behind the bytes asked for
"""
import sys
sys.dont_write_bytecode = True

import json
import subprocess
import tempfile
import threading
import time
from typing import Any

from common import (CLIENT_SECONDS, STOP_SECONDS, Failed, Result, Setup, Skipped, Workload, built, children,
                    effective_preload, end_with_parent, ended, environment, kill, main, rollup_bytes, status_bytes)

IDLE_SECONDS = 2.0
MIB = 1024 * 1024
PREFORK_WORKERS = 100       # at scale 100; what each needs if its allocator gives nothing back:
PREFORK_BYTES = 80 * MIB


class Watched:
    """The program, from `with` to its end."""

    def __init__(self, setup: Setup, mode: str) -> None:
        program = built("bench/workloads/lone")
        preload = effective_preload([program, "list"], setup.preload)
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            [program, "run", mode, str(setup.amount(100))], env=environment(preload, setup.env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, preexec_fn=end_with_parent)
        self.guard = threading.Timer(CLIENT_SECONDS, self.process.kill)
        self.guard.daemon = True
        self.guard.start()

    def __enter__(self) -> "Watched":
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    def complaints(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def fail(self, what: str) -> Failed:
        self.process.kill()
        return Failed(f"{what}: {ended(self.process.wait())}: {self.complaints()[-400:]}")

    def await_word(self, word: str) -> str:
        """What it says after the word. It waits then for go_on()."""
        assert self.process.stdout is not None
        said, _, more = self.process.stdout.readline().strip().partition(" ")
        if said != word:
            raise self.fail(f'lone said "{said}" instead of "{word}"')
        return more

    def go_on(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self.fail("lone doesn't listen") from error

    def stop(self) -> None:
        """Lets it check its blocks and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self.fail(f"lone doesn't end within {STOP_SECONDS} s") from error
        if status:
            raise self.fail("lone ended badly")
        sys.stderr.write(self.complaints())     # such as a malloc's statistics

    def __exit__(self, *_: object) -> None:
        self.guard.cancel()
        if self.process.poll() is None:
            processes = [self.process.pid, *children(self.process.pid)]     # workers would end soon after it
            for pid in processes:
                kill(pid)
        self.process.wait()
        self.errors.close()


def resident(pid: int) -> int:
    """Of one process, or the sum of those that it forked and itself."""
    workers = children(pid)
    return sum(rollup_bytes(each, "Pss") for each in [pid, *workers]) if workers else rollup_bytes(pid, "Rss")


def most_resident(pid: int) -> int:
    """VmHWM, or the sum of the workers'."""
    return sum(status_bytes(each, "VmHWM") for each in children(pid) or [pid])


def most_threads(pid: int) -> int:
    """Of the processes: the most that one has. More than one is the allocator's doing."""
    def count(each: int) -> int:
        with open(f"/proc/{each}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))
    return max(count(each) for each in [pid, *children(pid)])


def watch(watched: Watched) -> Result:
    watched.await_word("ready")
    started = resident(watched.pid)
    watched.go_on()
    watched.await_word("peak")
    peak = resident(watched.pid)
    watched.go_on()
    watched.await_word("freed")
    quiet_since = time.monotonic()
    at_once = resident(watched.pid)
    watched.go_on()
    told: dict[str, int] = json.loads(watched.await_word("quiet"))
    time.sleep(max(0.0, quiet_since + IDLE_SECONDS - time.monotonic()))
    settled = resident(watched.pid)
    peak = max(peak, most_resident(watched.pid), at_once, settled)
    threads = most_threads(watched.pid)
    watched.stop()
    return result_of(started, peak, at_once, settled, told) | {"process_threads": threads}


def result_of(started: int, peak: int, at_once: int, settled: int, told: dict[str, int]) -> Result:
    """All in bytes; flat, the figures that a run's result has beside its metrics among them."""
    must_stay = started + told["live_page_bytes"]
    return {"operations": told["operations"], "seconds": told["nanoseconds"] / 1e9, "peak_bytes": peak,
            "settled_bytes": settled, "started_bytes": started, "at_once_bytes": at_once,
            "live_bytes": told["live_bytes"], "live_page_bytes": told["live_page_bytes"],
            "own_page_bytes": told["own_page_bytes"], "kept_free_bytes": settled - started - told["own_page_bytes"],
            "kept_at_once_bytes": at_once - must_stay, "kept_bytes": settled - must_stay,
            "kept_share": (settled - must_stay) / max(1, peak - started)}


FIGURES = ("operations", "seconds", "peak_bytes", "settled_bytes")


def measure(setup: Setup, mode: str) -> Result:
    with Watched(setup, mode) as watched:
        found = watch(watched)
    result: dict[str, Any] = {name: found.pop(name) for name in FIGURES}
    return result | {"final_bytes": result["settled_bytes"], "metrics": found}


def run_lone(setup: Setup) -> Result:
    return measure(setup, setup.workload.removeprefix("lone-"))


def run_prefork(setup: Setup) -> Result:
    needed = setup.amount(PREFORK_WORKERS) * PREFORK_BYTES
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    if available < needed:
        raise Skipped(f"an allocator that gives nothing back needs {needed // MIB} MiB of memory here, and "
                      f"{available // MIB} are available: a smaller --scale has fewer workers")
    return measure(setup, "prefork")


ONE_THREAD = "one thread, watched from outside: "
SIZES = {"": "16 to 2,048 bytes", "-mixed": "16 bytes to 1 MiB, a third of the bytes each below 2 and 64 KiB and above",
         "-large": "64 KiB to 1 MiB"}
WORKLOADS = [
    *(Workload(f"lone-all{name}", "return", [1], "block", f"{ONE_THREAD}1 GiB of blocks of {sizes} taken and freed, "
               "then 2 s quiet", run_lone, quick=False) for name, sizes in SIZES.items()),
    *(Workload(f"lone-sparse{name}", "return", [1], "block", f"{ONE_THREAD}1 GiB of blocks of {sizes} taken, a random "
               "90 % freed, then 2 s quiet", run_lone, quick=False) for name, sizes in SIZES.items()),
    Workload("lone-churn", "return", [1], "block", f"{ONE_THREAD}sizes, lifetimes and load drift for long, 32 to "
             "128 MiB; then 2 s quiet with 32 MiB", run_lone, quick=False),
    Workload("prefork", "return", [1], "block", "100 forked processes of one thread take 64 MiB each, one after the "
             "other, and free a random 97 % of the blocks; then 2 s quiet; memory is the sum of Pss", run_prefork,
             quick=False)]


if __name__ == "__main__":
    sys.exit(main(WORKLOADS))
