"""Starts one run through launch, and reads what it prints.

Two kinds of program obey the same contract (see bench/README.md):
    a workload program   launch preloads the allocator into it
    a runner             starts a server or a compiler with the allocator by itself; given --preload, --env
What goes wrong with a run ends up in its status and reason and never ends the harness.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from . import figures, machine
from .records import LAUNCH_FAILED, NO_RESULT, NOT_PRELOADED, SKIPPED, Allocator, Cell, Json, Run, Workload

LIST_SECONDS = 120
PROBE_SECONDS = 60  # against a probe that hangs, on however busy a machine
LAUNCH_SECONDS = 10     # beyond a run's time-out: launch itself hangs
LOCK_LINE = re.compile(
    r"^lock(?:s| (?P<kind>\S+))\s+taken (?P<taken>\d+) times, waited for (?P<waits>\d+) times, "
    r"(?P<us>\d+) us in all", re.MULTILINE)
ARENAS_LINE = re.compile(r"^arenas\s+(?P<arenas>\d+) of \d+ KiB; created (?P<created>\d+),", re.MULTILINE)
STATISTICS_LINE = re.compile(
    r"tidepool \S+ statistics|\s+block\s+pools|[\s\d]+$|(large blocks|free ranges|huge pages|arenas|allocated|heaps|locks?) ")
OWN_VARIABLES = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_", "TIDEPOOL_", "MIMALLOC_", "TCMALLOC_", "HWLOC_SYNTHETIC")


class Broken(Exception):
    """A program can't even list its workloads, or a tool fails; the text says why."""


@dataclass(frozen=True)
class Tools:
    """The two C programs of the harness."""
    launch: Path
    pingpong: Path


def list_workloads(program: Path, is_runner: bool) -> list[Workload]:
    try:
        done = subprocess.run([str(program), "list"], capture_output=True, text=True, timeout=LIST_SECONDS,
                              check=False, env=clean_environment())
        if done.returncode:
            raise Broken(f"{program.name} list: exit {done.returncode}: {complaint(done.stderr)}")
        return [_workload(entry, program, is_runner) for entry in json.loads(done.stdout)]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        raise Broken(f"{program.name} list: {type(error).__name__}: {error}") from error


def _workload(entry: Json, program: Path, is_runner: bool) -> Workload:
    return Workload(
        name=entry["workload"], group=entry["group"], threads=tuple(entry.get("threads") or [1]),
        is_quick=bool(entry.get("quick", False)), about=entry.get("about", ""), unit=entry.get("unit", "operation"),
        program=str(program), is_runner=is_runner)


def is_here(tool: str) -> bool:
    return shutil.which(tool) is not None


def clean_environment(tools: Tools | None = None) -> dict[str, str]:
    """Without anybody's malloc settings: only the table's and --allocator's count. Runners start programs through
    the launcher, too."""
    own = {"TIDE_LAUNCH": str(tools.launch)} if tools else {}
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)} | own


def command_of(cell: Cell, scale: float, allocator: Allocator | None = None) -> list[str]:
    """The allocator is for runners only: a workload program doesn't know what it runs on."""
    workload = cell.workload
    command = [workload.program, "run", workload.name]
    if not workload.is_runner or len(workload.threads) > 1:
        command += ["--threads", str(cell.threads)]
    command += ["--scale", f"{scale:g}"]
    if workload.is_runner and allocator:
        if allocator.path:
            command += ["--preload", allocator.path]
        for name, value in allocator.env.items():
            command += ["--env", f"{name}={value}"]
    return command


def probe(tools: Tools) -> float | None:
    """Round trip of a cache line between two CPUs in ns; None with one CPU."""
    try:
        done = subprocess.run([str(tools.pingpong)], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
        if done.returncode:
            raise Broken(f"{tools.pingpong}: exit {done.returncode}: {complaint(done.stderr)}")
        found: Json = json.loads(done.stdout)
        return found.get("round_trip_ns")
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{tools.pingpong}: no end after {PROBE_SECONDS} s") from error
    except (OSError, ValueError) as error:
        raise Broken(f"{tools.pingpong}: {type(error).__name__}: {error}") from error


def perform(run: Run, cell: Cell, allocator: Allocator, tools: Tools, scale: float, timeout: float) -> None:
    """Fills in the run's figures."""
    with tempfile.TemporaryDirectory(prefix="tidepool-bench.") as folder:
        result = Path(folder, "result")
        command = [str(tools.launch), "--timeout", f"{timeout:g}", "--result", str(result)]
        if not cell.workload.is_runner:
            for name, value in allocator.env.items():
                command += ["--env", f"{name}={value}"]
            if allocator.path:
                command += ["--preload", allocator.path]
        command += ["--", *command_of(cell, scale, allocator)]
        # Files, not pipes: a process that the program leaves behind may keep a pipe open for ever.
        with open(f"{folder}/stdout", "w+b") as stdout, open(f"{folder}/stderr", "w+b") as stderr:
            before = machine.cpu_time()
            problem = _launch(command, stdout, stderr, clean_environment(tools), timeout, folder)
            after = machine.cpu_time()
            said = [_text_of(stream) for stream in (stdout, stderr)]
        launched = _read_launched(result, problem)
    take_launched(run, launched, timeout)
    if cell.workload.is_runner:
        run.peak_bytes = None           # the runner's own; it tells the measured program's
    take_output(run, *said)
    if run.wall_seconds is not None:
        own = (run.user_seconds or 0.0) + (run.system_seconds or 0.0)
        run.other_cpu_share, run.stolen_share = machine.share_of_others(before, after, own, run.wall_seconds)


def _launch(command: list[str], stdout: BinaryIO, stderr: BinaryIO, env: dict[str, str], timeout: float,
            folder: str) -> str:
    """What launch itself failed with; empty if it ended."""
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, check=False, env=env,
                       timeout=timeout + LAUNCH_SECONDS, cwd=folder)
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {LAUNCH_SECONDS} s of the run's time-out of {timeout:g} s"
    except OSError as error:
        return f"{command[0]}: {error}"
    return ""


def _read_launched(result: Path, problem: str) -> Json:
    try:
        launched: Json = json.loads(result.read_text())
        return launched
    except FileNotFoundError:
        return {"status": LAUNCH_FAILED, "reason": problem}     # else stderr says it
    except (OSError, ValueError) as error:
        return {"status": LAUNCH_FAILED, "reason": f"its result can't be read: {error}"}


def _text_of(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def take_launched(run: Run, launched: Json, timeout: float) -> None:
    """What launch measured."""
    run.status = launched["status"]
    run.reason = f"more than {timeout:g} s" if run.status == "timeout" else launched.get("reason", "")
    for name in ("wall_seconds", "user_seconds", "system_seconds", "peak_bytes", "voluntary_switches",
                 "involuntary_switches", "minor_faults", "major_faults"):
        setattr(run, name, launched.get(name))


def take_output(run: Run, stdout: str, stderr: str) -> None:
    """What the program printed."""
    run.metrics.update(lock_metrics(stderr) | arena_metrics(stderr))
    if "cannot be preloaded" in stderr:
        run.status, run.reason = NOT_PRELOADED, complaint(stderr)
    if not run.is_ok:
        run.reason = run.reason or complaint(stderr)
        return
    result = find_result(stdout)
    if result is None:
        run.status, run.reason = NO_RESULT, complaint(stderr) or complaint(stdout)
    elif "skipped" in result:
        run.status, run.reason = SKIPPED, str(result["skipped"])
    elif lack := _lack(result):
        run.status, run.reason = NO_RESULT, f"the result line {lack}"
    else:
        _take_result(run, result)


def find_result(stdout: str) -> Json | None:
    """The last line that is a JSON object with a workload in it."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and "workload" in found:
                return found
    return None


def _lack(result: Json) -> str:
    """What keeps a result from being one; empty if nothing does."""
    for name in ("operations", "seconds"):
        value = result.get(name)
        if not isinstance(value, (int, float)) or value <= 0:
            return f"has no {name}" if value is None else f'has {name} "{value}", not a number above 0'
    for name, kind in (("thread_operations", list), ("latency_ns", dict), ("series", list), ("metrics", dict)):
        if not isinstance(result.get(name) or kind(), kind):
            return f"has {name} that is not a JSON {'array' if kind is list else 'object'}"
    return ""


def _take_result(run: Run, result: Json) -> None:
    """Of a result that lacks nothing."""
    operations, seconds = result["operations"], result["seconds"]
    run.operations, run.seconds = operations, seconds
    run.ns_per_operation = seconds / operations * 1e9
    run.operations_per_second = operations / seconds
    run.final_bytes = result.get("final_bytes")
    run.peak_bytes = result.get("peak_bytes", run.peak_bytes)
    run.settled_bytes = result.get("settled_bytes")
    if run.settled_bytes and run.peak_bytes:    # the kernel's peak may be a few pages short
        run.settled_share = run.settled_bytes / max(run.peak_bytes, run.settled_bytes)
    run.thread_operations = result.get("thread_operations") or []
    run.fairness = figures.fairness(run.thread_operations)
    run.latency_ns = result.get("latency_ns") or {}
    run.series = result.get("series") or []
    run.metrics.update(result.get("metrics") or {})
    if run.wall_seconds:
        run.metrics["cpu_per_wall"] = ((run.user_seconds or 0) + (run.system_seconds or 0)) / run.wall_seconds


def lock_metrics(stderr: str) -> dict[str, float]:
    """tidepool's statistics of its locks, of all processes that printed them: "locks" is all of them,
    "lock KIND" those of one kind."""
    sums: dict[str, float] = {}
    for found in LOCK_LINE.finditer(stderr):
        kind = f"lock_{found['kind'].replace('-', '_')}" if found["kind"] else "locks"
        for name, value in (("taken", found["taken"]), ("waits", found["waits"]), ("wait_us", found["us"])):
            key = f"{kind}_{name}"
            sums[key] = sums.get(key, 0) + int(value)
    return sums


def arena_metrics(stderr: str) -> dict[str, float]:
    """tidepool's count of its arenas at exit, of all processes that printed it."""
    found = list(ARENAS_LINE.finditer(stderr))
    if not found:
        return {}
    return {"arenas": sum(int(each["arenas"]) for each in found),
            "arenas_created": sum(int(each["created"]) for each in found)}


def complaint(stderr: str) -> str:
    """The line that says most: a Python traceback's last, else the first; tidepool's statistics aside."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not STATISTICS_LINE.match(line)]
    if not lines:
        return ""
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0])[:300]
