#!/usr/bin/python3
"""Replays a trace of libtidepool-record.so on several allocators, side by side.

usage: replay.py TRACE --allocator NAME=PATH [--allocator ...] [--rounds N]

PATH is a library to preload; NAME= alone is the C library's malloc, and is
what the others are compared with if no allocator is named first.  Rounds are
interleaved (A B C A B C ...).  A round runs each allocator twice: once for
time and memory, once with every call timed, because reading the clock costs.

Prints a table of medians, the spread (greatest less smallest, in percent of
the median), and the ratio to the first allocator, taken round by round.  An
allocator that crashes or doesn't end is a row that says so.  Memory is what
the allocator added to the replay's own.

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

Result = dict[str, Any]
EXIT_USAGE, EXIT_TRACE, EXIT_RUN = 1, 2, 3


class Failure(Exception):
    """A replay that gave no result; the text says why."""


def find_program(wanted: str | None) -> str:
    """The built replay: as told, in TIDE_BUILDDIR, beside this file or in the working folder."""
    here = Path(__file__).resolve().parent
    places = [Path(wanted)] if wanted else [
        Path(os.environ.get("TIDE_BUILDDIR", ".")) / "bench/replay/replay", here / "replay",
        *sorted(here.parent.parent.glob("build/*/bench/replay/replay"))]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    sys.exit(f"replay.py: no program at {places[0]}; build it with"
             " \"make bench/replay/replay\" and name it with --program")


def parse_allocator(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f'"{text}" is not NAME=PATH')
    if path and not os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"no library at {path}")
    return name, os.path.realpath(path) if path else ""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replays a trace on several allocators.")
    parser.add_argument("trace")
    parser.add_argument("--allocator", action="append", type=parse_allocator, metavar="NAME=PATH",
                        help="a library to preload; NAME= is the C library's malloc")
    parser.add_argument("--rounds", type=int, default=5, help="[5]")
    parser.add_argument("--scale", type=int, default=100, help="percent of the trace [100]")
    parser.add_argument("--touch", choices=["nothing", "ends", "pages"], default="pages",
                        help="what to write to of each block [pages]")
    parser.add_argument("--drift", default="1",
                        help="percent that the bytes alive may stray, or any [1]")
    parser.add_argument("--timeout", type=float, default=600, help="seconds of one replay [600]")
    parser.add_argument("--program", help="the built replay")
    parser.add_argument("--json", metavar="FILE", help="write every result there")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    arguments.allocator = arguments.allocator or [("glibc", "")]
    return arguments


def replay(command: list[str], library: str, timeout: float) -> Result:
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
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
    if library and os.path.realpath(result["allocator"]) != library:
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


def run_rounds(program: str, arguments: argparse.Namespace
               ) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """Per allocator one result a round, with the latencies of the timed run put into it."""
    command = [program, "--json", "--scale", str(arguments.scale), "--touch", arguments.touch,
               "--drift", arguments.drift, arguments.trace]
    results: dict[str, list[Result]] = {name: [] for name, _ in arguments.allocator}
    failures: dict[str, str] = {}
    for number in range(arguments.rounds):
        for name, library in arguments.allocator:
            if name in failures:
                continue
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {arguments.rounds}: {name:20}", end="",
                      file=sys.stderr)
            try:
                result = replay(command, library, arguments.timeout)
                timed = replay(command[:1] + ["--latency"] + command[1:], library,
                               arguments.timeout)
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


def rows_of(arguments: argparse.Namespace, results: dict[str, list[Result]],
            failures: dict[str, str]) -> list[list[str]]:
    rows = [["allocator", "ms", "ratio", "peak MiB", "ratio", "final MiB",
             "malloc ns p50/p99/p99.9/max", "free ns p50/p99/p99.9/max"]]
    base = results[arguments.allocator[0][0]]
    for name, _ in arguments.allocator:
        mine = results[name]
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
    program = find_program(arguments.program)
    info = check_trace(program, arguments)
    print(f"{info['workload']}: {info['operations']} calls, {info['threads']} threads at once,"
          f" {info['metrics']['recorded_peak_live_bytes'] / 2**20:.1f} MiB alive at most;"
          f" {arguments.rounds} rounds")
    results, failures = run_rounds(program, arguments)
    print_table(rows_of(arguments, results, failures))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(
            {"trace": info, "results": results, "failures": failures}, indent=1), "utf-8")
    return EXIT_RUN if len(failures) == len(results) else 0


if __name__ == "__main__":
    sys.exit(main())
