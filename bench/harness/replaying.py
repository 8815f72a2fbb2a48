"""bench/replay: replays a trace of libtidepool-record.so on several allocators, side by side.

usage: bench/replay TRACE [--allocator NAME | --allocator NAME=PATH]... [--rounds N]

NAME alone is an allocator of the table (bench/bench list tells them), NAME=PATH any library to preload, NAME= the C
library's malloc. Without any, all of the table that are here are compared. The first one is what the others are
compared with. Rounds are interleaved (A B C A B C ...). A round runs each allocator twice: once for time and memory,
once with every call timed, because reading the clock costs.

Prints a table of medians, the spread (greatest less smallest, in percent of the median), and the ratio to the first
allocator, taken round by round. An allocator that crashes or doesn't end is a row that says so. Memory is what the
allocator added to the replay's own.

Exit status: 0; 1 wrong usage; 2 the trace can't be read; 3 no replay succeeded.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import allocators
from .places import Refused, build_folder

Result = dict[str, Any]
EXIT_USAGE, EXIT_TRACE, EXIT_RUN = 1, 2, 3


class Failure(Exception):
    """A replay that gave no result; the text says why."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="replay", description="Replays a trace on several allocators.")
    parser.add_argument("trace")
    parser.add_argument("--allocator", action="append", metavar="NAME[=PATH]",
                        help="one of the table, or a library to preload; NAME= is the C library's malloc")
    parser.add_argument("--rounds", type=int, default=5, help="[5]")
    parser.add_argument("--scale", type=int, default=100, help="percent of the trace [100]")
    parser.add_argument("--touch", choices=["nothing", "ends", "pages"], default="pages",
                        help="what to write to of each block [pages]")
    parser.add_argument("--drift", default="1",
                        help="percent that the bytes alive may stray, or any [1]")
    parser.add_argument("--timeout", type=float, default=600, help="seconds of one replay [600]")
    parser.add_argument("--builddir", type=Path, help="where tidepool was built [$TIDE_BUILDDIR, or found]")
    parser.add_argument("--json", metavar="FILE", help="write every result there")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return arguments


def find_program(build: Path) -> str:
    program = build / "bench/trace/replay"
    if not os.access(program, os.X_OK):
        raise Refused(f"{program} is missing: run make bench/trace/replay there")
    return str(program)


def find_allocators(wanted: list[str] | None, build: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Name, library to preload and environment of each."""
    here, missing = allocators.find_all(build)
    table = {each.name: (each.name, each.path, each.env) for each in here}
    if not wanted:
        for line in missing:
            print(f"replay: {line}", file=sys.stderr)
        return list(table.values())
    return [_allocator(text, table) for text in wanted]


def _allocator(text: str, table: dict[str, tuple[str, str, dict[str, str]]]) -> tuple[str, str, dict[str, str]]:
    name, equals, path = text.partition("=")
    if not equals:
        if name not in table:
            raise Refused(f"no allocator {name} here; there are {', '.join(table)}, or name a library: {name}=PATH")
        return table[name]
    if path and not os.path.isfile(path):
        raise Refused(f"no library at {path}")
    return name, os.path.realpath(path) if path else "", {}


def replay(command: list[str], library: str, settings: dict[str, str], timeout: float) -> Result:
    environment = os.environ | settings
    for name in ("LD_PRELOAD", "TIDEPOOL_STATS"):
        environment.pop(name, None)
    if library:
        environment["LD_PRELOAD"] = library
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"no end after {timeout:g} s") from None
    if done.returncode < 0:
        raise Failure(f"ended by signal {-done.returncode}")
    if done.returncode != 0:
        raise Failure((done.stderr.strip().splitlines() or ["status %d" % done.returncode])[-1])
    result: Result = json.loads(done.stdout)
    if library and os.path.realpath(result["allocator"]) != os.path.realpath(library):
        raise Failure(f"malloc was of {result['allocator']}: {done.stderr.strip()}")
    return result


def check_trace(program: str, arguments: argparse.Namespace) -> Result:
    done = subprocess.run([program, "--info", "--json", arguments.trace], capture_output=True,
                          text=True, check=False)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        sys.exit(EXIT_TRACE if done.returncode == EXIT_TRACE else EXIT_RUN)
    info: Result = json.loads(done.stdout)
    return info


def run_rounds(program: str, chosen: list[tuple[str, str, dict[str, str]]], arguments: argparse.Namespace
               ) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """Per allocator one result a round, with the latencies of the timed run put into it."""
    command = [program, "--json", "--scale", str(arguments.scale), "--touch", arguments.touch,
               "--drift", arguments.drift, arguments.trace]
    results: dict[str, list[Result]] = {name: [] for name, _, _ in chosen}
    failures: dict[str, str] = {}
    for number in range(arguments.rounds):
        for name, library, settings in chosen:
            if name in failures:
                continue
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {arguments.rounds}: {name:20}", end="",
                      file=sys.stderr)
            try:
                result = replay(command, library, settings, arguments.timeout)
                timed = replay(command[:1] + ["--latency"] + command[1:], library,
                               settings, arguments.timeout)
                result["latency_ns"] = timed["latency_ns"]
                results[name].append(result)
            except Failure as failure:
                failures[name] = str(failure)
    if sys.stderr.isatty():
        print("\r" + 60 * " " + "\r", end="", file=sys.stderr)
    return results, failures


def median_and_spread(values: list[float]) -> str:
    middle = statistics.median(values)
    spread = 100 * (max(values) - min(values)) / middle if middle else 0
    return f"{middle:.4g} ±{spread:.0f}%"


def ratio(results: list[Result], base: list[Result], key: str) -> str:
    ratios = [mine[key] / other[key] for mine, other in zip(results, base) if other[key]]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def latency(results: list[Result], call: str) -> str:
    def middle(point: str) -> str:
        return f"{statistics.median(r['latency_ns'][call][point] for r in results):.0f}"
    return "/".join(middle(point) for point in ("p50", "p99", "p99.9", "max"))


def rows_of(results: dict[str, list[Result]], failures: dict[str, str]) -> list[list[str]]:
    rows = [["allocator", "ms", "ratio", "peak MiB", "ratio", "final MiB",
             "malloc ns p50/p99/p99.9/max", "free ns p50/p99/p99.9/max"]]
    base = next(iter(results.values()))
    for name, mine in results.items():
        if name in failures:
            rows.append([name, f"failed: {failures[name]}"])
            continue
        rows.append([
            name,
            median_and_spread([1e3 * r["seconds"] for r in mine]), ratio(mine, base, "seconds"),
            median_and_spread([r["peak_bytes"] / 2**20 for r in mine]),
            ratio(mine, base, "peak_bytes"),
            median_and_spread([r["final_bytes"] / 2**20 for r in mine]),
            latency(mine, "malloc"), latency(mine, "free")])
    return rows


def print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows if len(row) == len(rows[0]))
              for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main() -> int:
    arguments = parse_arguments()
    try:
        build = build_folder(arguments.builddir)
        program = find_program(build)
        info = check_trace(program, arguments)
        chosen = find_allocators(arguments.allocator, build)
    except Refused as error:
        print(f"replay: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(f"{info['workload']}: {info['operations']} calls, {info['threads']} threads at once,"
          f" {info['metrics']['recorded_peak_live_bytes'] / 2**20:.1f} MiB alive at most;"
          f" {arguments.rounds} rounds")
    results, failures = run_rounds(program, chosen, arguments)
    print_table(rows_of(results, failures))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(
            {"trace": info, "results": results, "failures": failures}, indent=1), "utf-8")
    return EXIT_RUN if len(failures) == len(results) else 0
