"""bench/replay: replays a trace of libtidepool-record.so on several allocators, side by side.

usage: bench/replay TRACE [--allocator NAME[=LIBRARY[,VARIABLE=VALUE]...]]... [--rounds N] [--out FOLDER]

The trace becomes a program of the bench's contract with two loads: one for time and memory, one with every call timed,
because reading the clock costs. bench run does the rest, as for any other program: interleaved rounds, a probe of the
machine before and after every run, results.json, raw.csv and report.html. The allocators' names, the ratios and their
spreads are those of bench run. A short table comes out here, too.

Memory is what was added to the replay's own. An allocator that crashes or doesn't end is a row that says so.

Exit status: 0; 1 wrong usage; 2 the trace can't be read; 3 no replay succeeded; 130 interrupted.
"""
from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from . import allocators, main as bench, programs, store
from .analysis import Analysis, Key, Measure, memory_of, time_of
from .figures import Spread
from .page import factor
from .places import Refused, build_folder
from .records import Json
from .store import Results

EXIT_USAGE, EXIT_TRACE, EXIT_RUN, EXIT_INTERRUPTED = 1, 2, 3, 130
TIMED = ":latency"              # ends the name of the load whose calls are timed
LEVELS = ("p50", "p99", "p99.9", "p99.99", "max")
# The harness calls it as PROGRAM run NAME --threads N --scale PERCENT.
SCRIPT = """#!/bin/sh
# The replay of a trace as a program of the contract in bench/README.md.
if test "$1" = list; then
    exec cat {loads}
fi
case $2 in
*{timed}) exec {command} --scale "$6" --latency ;;
*) exec {command} --scale "$6" ;;
esac
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="replay", description="Replays a trace on several allocators.")
    parser.add_argument("trace")
    parser.add_argument("--touch", choices=["nothing", "ends", "pages"], default="pages",
                        help="what to write to of each block [pages]")
    parser.add_argument("--drift", default="1", help="percent that the bytes alive may stray, or any [1]")
    parser.add_argument("--builddir", type=Path, help="where tidepool was built [$TIDE_BUILDDIR, or found]")
    for_bench = parser.add_argument_group("as for bench/bench run")
    for_bench.add_argument("--allocator", action="append", default=[], metavar="NAME[=LIBRARY[,VARIABLE=VALUE]...]",
                           help="another library; or a name of the table, then only those named are run")
    for_bench.add_argument("--baseline", default=allocators.DEFAULT_BASELINE, help="[%(default)s]")
    for_bench.add_argument("--rounds", type=int, default=bench.ROUNDS, help="[%(default)s]")
    for_bench.add_argument("--scale", type=int, default=100, help="only the first percent of the trace [%(default)s]")
    for_bench.add_argument("--timeout", type=float, default=600, help="seconds of one replay [%(default)s]")
    for_bench.add_argument("--out", type=Path, default=Path("replay-results"), help="[%(default)s]")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return arguments


# ---- The trace as a program ---------------------------------------------------

def find_program(build: Path) -> str:
    program = build / "bench/trace/replay"
    if not os.access(program, os.X_OK):
        raise Refused(f"{program} is missing: run make bench/trace/replay there")
    return str(program)


def replay_command(program: str, arguments: argparse.Namespace) -> list[str]:
    return [program, "--json", "--touch", arguments.touch, "--drift", arguments.drift, os.path.abspath(arguments.trace)]


def read_info(command: list[str], scale: int) -> Json:
    """What the trace is; ends the program if it can't be read."""
    done = subprocess.run([*command, "--scale", str(scale), "--info"], capture_output=True, text=True, check=False,
                          env=programs.clean_environment())
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        sys.exit(done.returncode if done.returncode > 0 else EXIT_RUN)
    info: Json = json.loads(done.stdout)
    return info


def write_program(folder: Path, command: list[str], info: Json) -> Path:
    """Into the folder: a script that obeys the contract."""
    load = {"workload": info["workload"], "group": "footprint", "threads": [info["threads"]], "quick": True,
            "about": "the calls of the trace; memory is what was added to the replay's own", "unit": "call"}
    timed = load | {"workload": info["workload"] + TIMED, "group": "latency",
                    "about": "the calls of the trace, each timed"}
    loads, script = folder / "loads.json", folder / "replay"
    loads.write_text(json.dumps([load, timed]), "utf-8")
    script.write_text(SCRIPT.format(loads=shlex.quote(str(loads)), timed=TIMED, command=shlex.join(command)), "utf-8")
    script.chmod(0o755)
    return script


def run_bench(script: Path, build: Path, arguments: argparse.Namespace) -> int:
    options = [f"--allocator={allocator}" for allocator in arguments.allocator]
    options += [f"--{name}={getattr(arguments, name)}" for name in ("baseline", "rounds", "scale", "timeout", "out")]
    return bench.main(["run", f"--program={script}", f"--builddir={build}", *options])


# ---- The table ------------------------------------------------------------------

def rows_of(results: Results, name: str, threads: int) -> list[list[str]]:
    analysis = Analysis(results.allocators, results.workloads, results.runs)
    levels = "/".join(LEVELS)
    head = ["allocator", "ms", "ratio", "peak MiB", "ratio", "final MiB", f"malloc ns {levels}", f"free ns {levels}"]
    return [head, *(row_of(analysis, allocator.name, results.baseline, (name, threads), (name + TIMED, threads))
                    for allocator in results.allocators)]


def row_of(analysis: Analysis, allocator: str, base: str, key: Key, timed: Key) -> list[str]:
    return [allocator,
            shown(analysis.spread(key, allocator, lambda run: run.seconds), 1e-3),
            ratio_shown(analysis, key, allocator, base, time_of),
            shown(analysis.spread(key, allocator, memory_of), 2**20),
            ratio_shown(analysis, key, allocator, base, memory_of),
            shown(analysis.spread(key, allocator, lambda run: run.final_bytes), 2**20),
            latency(analysis, timed, allocator, "malloc"), latency(analysis, timed, allocator, "free")]


def shown(found: Spread | None, unit: float) -> str:
    if found is None:
        return "–"
    return f"{found.median / unit:.4g} " + (f"±{100 * found.half_width():.0f}%" if found.count > 1 else "(one run)")


def ratio_shown(analysis: Analysis, key: Key, allocator: str, base: str, measure: Measure) -> str:
    """With its spread, if there are rounds enough for one."""
    found = analysis.ratio_spread(key, allocator, base, measure)
    if found and allocator != base:
        return f"{factor(found.median)} ({factor(found.least)}–{factor(found.most)})"
    few = analysis.ratios(key, allocator, base, measure)
    return factor(median(few)) if few else "no comparable runs"


def latency(analysis: Analysis, key: Key, allocator: str, call: str) -> str:
    found = analysis.latency(key, allocator, call)
    return "/".join(f"{found[level]:.0f}" for level in LEVELS) if found else "–"


def print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def print_failures(results: Results) -> None:
    failures = Counter((run.allocator, run.workload, run.status, run.reason) for run in results.runs if not run.is_ok)
    for (allocator, load, status, reason), count in failures.items():
        why = f" ({reason})" if reason else ""
        print(f"{allocator}: {load}: {status}{why} in {count} of {results.settings['rounds']} rounds")


def main() -> int:
    arguments = parse_arguments()
    try:
        build = build_folder(arguments.builddir)
        command = replay_command(find_program(build), arguments)
    except Refused as error:
        print(f"replay: {error}", file=sys.stderr)
        return EXIT_USAGE
    info = read_info(command, arguments.scale)
    print(f"{info['workload']}: {info['operations']} calls, {info['threads']} threads at once,"
          f" {info['metrics']['recorded_peak_live_bytes'] / 2**20:.1f} MiB alive at most", flush=True)
    with tempfile.TemporaryDirectory(prefix="tidepool-replay.") as folder:
        status = run_bench(write_program(Path(folder), command, info), build, arguments)
    if status not in (0, EXIT_INTERRUPTED):
        return status
    results = store.read(arguments.out)
    print_table(rows_of(results, info["workload"], info["threads"]))
    print_failures(results)
    return status or (0 if any(run.is_used for run in results.runs) else EXIT_RUN)
