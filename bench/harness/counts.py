"""Exact counts: the synchronising instructions of an allocator, per 1,000 operations of a workload.

A synchronising instruction is one with a lock prefix, or an xchg with memory. Two of valgrind's tools count:
    callgrind   how often each instruction ran. Two runs of different length; their difference, divided by the
                difference of their operations, has no start-up in it.
    lackey      which address each of them touched, and in which thread. The first TRACE_BYTES of its trace after
                the second thread began tell which share of them hits cache lines of one thread, of two, ...
objdump tells which instructions are synchronising.

Whose instruction is it? Those in the preloaded library are the allocator's, those in the program are not. Code
of other libraries (pthread_mutex_lock) belongs to its callers: by callgrind's calls in the counts, by the last
caller before it in lackey's trace. glibc's own malloc is what its entry functions call.

valgrind runs one thread at a time and switches now and then. So an attempt that fails because another thread
came first is nearly never seen: the counts are those of threads that don't meet. THREADS threads are started
on whatever machine; no clock is read.
"""
from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator

from . import programs
from .records import Allocator, Cell, Json

THREADS = 4
SCALES = (1, 2)             # percent, of callgrind's two runs
TRACE_BYTES = 64 << 20      # read of lackey's trace, some 4 million instructions; lackey writes 10 MB a second
LINE_BYTES = 64
TIMEOUT = 300.0             # seconds of one run under valgrind
GUESS_SECONDS = 12.0        # of one count, until one was seen
MOST_LOOK_BACK = 4096       # bytes of trace to find a caller in
CHUNK_BYTES = 1 << 22
ENTRIES = re.compile(r"^(__libc_|__)?(malloc|free|calloc|realloc|memalign|valloc|pvalloc|aligned_alloc|"
                     r"posix_memalign|cfree|malloc_usable_size)('\d+)?$")
SYNCHRONISING = re.compile(r"\block\b|\bxchg\s.*(\(|%[fg]s:)")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(.*)$")

Function = tuple[str, str]      # object file, name
Place = tuple[str, int]         # object file, address in it


class CountError(Exception):
    """The text says what couldn't be counted and why."""


@dataclass
class Profile:
    """callgrind's output."""
    executed: Counter[tuple[Function, int]] = field(default_factory=Counter)    # of an instruction
    calls: Counter[tuple[Function, Function]] = field(default_factory=Counter)  # caller, callee
    operations: float = 0.0


def check() -> None:
    for tool, package in (("valgrind", "valgrind"), ("objdump", "binutils")):
        if not programs.is_here(tool):
            raise CountError(f"{tool} is missing (Debian package {package})")
    if os.uname().machine != "x86_64":
        raise CountError("synchronising instructions are only known for x86-64")


def count(cell: Cell, allocator: Allocator, deadline: float | None = None) -> Json:
    """One row: the instructions per 1,000 operations, and "lines", see _lines(). What goes wrong is in the row's
    "error"; what was counted until then stays. Nothing goes on after the deadline, of time.monotonic()."""
    row: Json = {"workload": cell.workload.name, "allocator": allocator.name, "threads": cell.threads}
    try:
        few, many = (_callgrind(cell, allocator, scale, _timeout(deadline)) for scale in SCALES)
        counted, per_place = _counted(few, many, cell, allocator)
        row.update(counted)
        row["lines"] = _lines(_trace(cell, allocator, per_place, _timeout(deadline)), row["per_thousand"])
    except (CountError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        row["error"] = str(error)
    return row


def _timeout(deadline: float | None) -> float:
    """Seconds that the next run may take."""
    left = TIMEOUT if deadline is None else min(TIMEOUT, deadline - time.monotonic())
    if left <= 0:
        raise CountError("no time left")
    return left


def _counted(few: Profile, many: Profile, cell: Cell, allocator: Allocator) -> tuple[Json, dict[Place, float]]:
    """Also how much of each instruction is the allocator's."""
    operations = many.operations - few.operations
    if operations <= 0:
        raise CountError("the longer run did no more operations")
    places = {ob: synchronising(ob) for (ob, _), _ in many.executed}
    share = shares(many, allocator, cell.workload.program)
    ours = others = 0.0
    per_place: dict[Place, float] = {}
    for (function, address), executed in many.executed.items():
        if address not in places[function[0]]:
            continue
        more = max(0, executed - few.executed[(function, address)])
        ours += more * share.get(function, 0.0)
        others += more * (1 - share.get(function, 0.0))
        per_place[(function[0], address)] = share.get(function, 0.0)
    return {"operations": operations, "per_thousand": ours / operations * 1000,
            "program_per_thousand": others / operations * 1000}, per_place


# ---- callgrind --------------------------------------------------------------

def _valgrind(options: list[str], cell: Cell, allocator: Allocator, scale: int) -> tuple[list[str], dict[str, str]]:
    env = {**programs.clean_environment(), **allocator.env,
           "HWLOC_SYNTHETIC": f"core:{cell.threads} pu:1"}  # no pinning, and no long look at the real machine
    env.pop("TIDEPOOL_STATS", None)
    if allocator.path:
        env["LD_PRELOAD"] = allocator.path
    return ["valgrind", *options, *programs.command_of(cell, scale)], env


def _callgrind(cell: Cell, allocator: Allocator, scale: int, timeout: float) -> Profile:
    with tempfile.TemporaryDirectory(prefix="tidepool-bench.") as folder:
        out = Path(folder, "out")
        command, env = _valgrind(
            ["--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", "--compress-strings=no",
             f"--callgrind-out-file={out}", f"--log-file={folder}/log"], cell, allocator, scale)
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise CountError(f"callgrind took more than {timeout:.0f} s") from error
        result = programs.find_result(done.stdout)
        if done.returncode or not result or not out.exists():
            raise CountError(f"under callgrind: exit {done.returncode}: {programs.complaint(done.stderr)}")
        if "skipped" in result:
            raise CountError(str(result["skipped"]))
        if not isinstance(result.get("operations"), (int, float)):
            raise CountError("under callgrind: the result has no operations")
        profile = read_profile(out.read_text(errors="replace").splitlines())
    profile.operations = result["operations"]
    return profile


def read_profile(lines: Iterable[str]) -> Profile:
    """The format is callgrind's, with neither names nor positions compressed."""
    profile = Profile()
    ob = name = ""
    callee_ob = callee = ""
    is_call_cost = False
    for line in lines:
        if line.startswith("ob="):
            ob = line[3:]
        elif line.startswith("fn="):
            name, callee_ob = line[3:], ""
        elif line.startswith("cob="):
            callee_ob = line[4:]
        elif line.startswith("cfn="):
            callee = line[4:]
        elif line.startswith("calls="):
            times = int(line[6:].split()[0])
            profile.calls[((ob, name), (callee_ob or ob, callee))] += times
            callee_ob, is_call_cost = "", True
        elif line.startswith("0x"):
            if not is_call_cost:
                address, _, executed = line.split()
                profile.executed[((ob, name), int(address, 16))] += int(executed)
            is_call_cost = False
    return profile


def shares(profile: Profile, allocator: Allocator, program: str) -> dict[Function, float]:
    """How much of each function's work is the allocator's: 1 in the allocator, 0 in the program, elsewhere that
    of its callers, weighed by their calls."""
    library = os.path.realpath(allocator.path) if allocator.path else ""
    own_program = os.path.realpath(program)
    callers: dict[Function, list[tuple[Function, int]]] = defaultdict(list)
    fixed: dict[Function, float] = {}
    functions = {function for function, _ in profile.executed}
    for (caller, callee), times in profile.calls.items():
        functions |= {caller, callee}
        if caller != callee:
            callers[callee].append((caller, times))
    for function in functions:
        ob, name = os.path.realpath(function[0]), function[1]
        if library and ob == library:
            fixed[function] = 1.0
        elif not library and ENTRIES.match(name) and Path(ob).name.startswith("libc.so"):
            fixed[function] = 1.0
        elif ob == own_program:
            fixed[function] = 0.0
    share = {function: fixed.get(function, 0.0) for function in functions}
    for _ in range(30):         # deeper chains of calls don't occur outside the allocator
        for function in functions - fixed.keys():
            times = sum(count_ for _, count_ in callers[function])
            if times:
                share[function] = sum(share[caller] * count_ for caller, count_ in callers[function]) / times
    return share


_synchronising: dict[str, frozenset[int]] = {}


def synchronising(ob: str) -> frozenset[int]:
    """Addresses of an object file's synchronising instructions."""
    if ob not in _synchronising:
        _synchronising[ob] = frozenset(_disassembled(ob)) if Path(ob).is_file() else frozenset()
    return _synchronising[ob]


def _disassembled(ob: str) -> Iterator[int]:
    done = subprocess.run(["objdump", "-d", "--no-show-raw-insn", ob], capture_output=True, text=True,
                          errors="replace", timeout=TIMEOUT, check=False)
    if done.returncode:
        raise CountError(f"objdump {ob}: {done.stderr.strip()[:200]}")
    for line in done.stdout.splitlines():
        found = INSTRUCTION.match(line)
        if found and SYNCHRONISING.search(found[2]):
            yield int(found[1], 16)


# ---- lackey -----------------------------------------------------------------

EVENT = re.compile(rb"SCHED\[(\d+)\]:\s+acquired|I  ([0-9a-f]+),\d+\n M ([0-9a-f]+),")
CALLER = re.compile(rb"I  ([0-9a-f]+),")


@dataclass
class Trace:
    """Hits of the allocator's synchronising instructions: by cache line, then by thread."""
    hits: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    has_begun: bool = False     # the second thread was seen


def _lines(trace: Trace, per_thousand: float) -> list[Json]:
    """One entry for each number of threads that share a line. The trace's proportions, callgrind's sum."""
    if per_thousand <= 0:
        return []
    if not trace.has_begun:
        raise CountError("the trace of valgrind's lackey is empty: which lines are shared isn't known")
    whole = sum(sum(threads.values()) for threads in trace.hits.values())
    if not whole:
        raise CountError("none of these instructions is in the part of lackey's trace that is read: which lines are "
                         "shared isn't known")
    by_sharers: dict[int, list[int]] = defaultdict(list)
    for threads in trace.hits.values():
        by_sharers[len(threads)].append(sum(threads.values()))
    return [{"sharers": sharers, "lines": len(hits), "per_thousand": per_thousand * sum(hits) / whole,
             "hottest_per_thousand": per_thousand * max(hits) / whole}
            for sharers, hits in sorted(by_sharers.items())]


def _trace(cell: Cell, allocator: Allocator, wanted: dict[Place, float], timeout: float) -> Trace:
    reading, writing = os.pipe()
    command, env = _valgrind(["--tool=lackey", "--basic-counts=no", "--trace-mem=yes", "--trace-sched=yes",
                              f"--log-fd={writing}"], cell, allocator, SCALES[0])
    with subprocess.Popen(command, env=env, pass_fds=(writing,), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        guard = threading.Timer(timeout, process.kill)
        guard.start()
        try:
            with os.fdopen(reading, "rb") as stream:
                trace = _Reader(wanted, allocator, cell, process.pid).read(stream)
            if not guard.is_alive():
                raise CountError(f"lackey took more than {timeout:.0f} s")
            return trace
        finally:
            guard.cancel()
            process.kill()      # it is at its end, or has told enough


class _Reader:
    """Reads the trace as it is written: it is too long to keep."""

    def __init__(self, wanted: dict[Place, float], allocator: Allocator, cell: Cell, pid: int) -> None:
        self._wanted = wanted
        self._pid = pid
        self._library = os.path.realpath(allocator.path) if allocator.path else ""
        self._program = os.path.realpath(cell.workload.program)
        self._trace = Trace()
        self._thread = 1
        self._share: dict[bytes, float] = {}    # by the address as lackey writes it
        self._ranges: list[tuple[int, int, str]] = []

    def read(self, stream: BinaryIO) -> Trace:
        kept = b""          # text to look back into, then text that isn't taken yet
        taken = 0           # where in `kept` the latter begins
        left = TRACE_BYTES
        while left > 0 and (chunk := stream.read(CHUNK_BYTES)):
            buffer = kept + chunk
            if not self._trace.has_begun:
                at = buffer.find(b"SCHED[2]:  acquired")    # the second thread: every library is there now
                if at < 0:
                    kept = buffer[-64:]
                    continue
                self._locate()
                self._trace.has_begun, buffer, taken = True, buffer[at:], 0
            end = max(taken, buffer.rfind(b"\nI  ") + 1)    # an instruction stays with its accesses
            self._take(buffer, taken, end)
            left -= end - taken
            start = max(0, end - MOST_LOOK_BACK)
            kept, taken = buffer[start:], end - start
        return self._trace

    def _take(self, buffer: bytes, start: int, end: int) -> None:
        """The events in [start, end)."""
        for event in EVENT.finditer(buffer, start, end):
            if event[1]:
                self._thread = int(event[1])
                continue
            share = self._share.get(event[2])
            if share is None:
                continue
            if 0.0 < share < 1.0:
                share = self._share_of_caller(buffer, event.start())
            if share:
                self._trace.hits[int(event[3], 16) // LINE_BYTES][self._thread] += 1

    def _share_of_caller(self, buffer: bytes, end: int) -> float:
        """1 if the last instruction before, outside the C library, is the allocator's."""
        for found in reversed(CALLER.findall(buffer, max(0, end - MOST_LOOK_BACK), end)):
            name = self._object_at(int(found, 16))
            if name == self._library:
                return 1.0
            if name == self._program:
                return 0.0
        return 0.0

    def _object_at(self, address: int) -> str:
        return next((name for low, high, name in self._ranges if low <= address < high), "")

    def _locate(self) -> None:
        """Where the objects are in the traced process."""
        bases: dict[str, int] = {}
        for line in Path(f"/proc/{self._pid}/maps").read_text().splitlines():
            fields = line.split(None, 5)
            if len(fields) < 6 or not fields[5].startswith("/"):
                continue
            low, high = (int(part, 16) for part in fields[0].split("-"))
            name = os.path.realpath(fields[5])
            self._ranges.append((low, high, name))
            bases.setdefault(name, low - int(fields[2], 16))
        for (ob, address), share in self._wanted.items():
            name = os.path.realpath(ob)
            if share > 0 and name in bases:
                self._share[b"%08x" % (bases[name] + address)] = share
