"""The command line: bench run, quick, report, list, compare."""
from __future__ import annotations

import argparse
import fnmatch
import math
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from . import allocators, compare, counts, machine, matrix, plots, programs, report, store
from .places import SOURCE, Refused, build_folder
from .progress import Progress, duration
from .records import NO_TIME, Allocator, Cell, Workload
from .store import Results

QUICK_MINUTES = 5.0
QUICK_SCALE = 25
QUICK_ROUNDS = 3
ROUNDS = 5
TIMEOUT, QUICK_TIMEOUT = 120.0, 20.0    # seconds of one run
REPORT_SHARE, REPORT_SECONDS = 0.04, 15  # of a budget, kept for the report
COUNT_SHARE = 0.25                      # of a budget, kept for the exact counts at most
TOOLS = {                               # whose versions are recorded: the harness's, then those of servers and programs
    "python3": [allocators.PYTHON, "--version"],
    "gnuplot": ["gnuplot", "--version"],
    "valgrind": ["valgrind", "--version"],
    "redis": ["redis-server", "--version"],
    "memcached": ["memcached", "--version"],
    "nginx": ["nginx", "-v"],
    "wrk": ["wrk", "-v"],
    "sqlite3": ["sqlite3", "--version"],
    "perl": ["perl", "-e", "print $^V"],
    "gcc": ["gcc", "--version"],
    "clang": ["clang", "--version"],
}


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    try:
        return int(options.call(options))
    except (Refused, allocators.Unusable, programs.Broken, plots.PlotError, store.Unreadable) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Compares allocators; see bench/README.md.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, about in (("run", "run the matrix and write the report"),
                        ("quick", f"the same in at most {QUICK_MINUTES:g} minutes")):
        command = commands.add_parser(name, help=about)
        _add_selection(command)
        _add_run_options(command)
        command.set_defaults(call=_run, quick=name == "quick")
        if name == "run":
            command.add_argument("--quick", action="store_true", help="as the command quick")
    command = commands.add_parser("report", help="write the report again from results.json")
    command.add_argument("folder", type=Path, nargs="?", default=Path("bench-results"))
    command.set_defaults(call=_report)
    command = commands.add_parser("compare", help="do two results agree within their spreads?")
    command.add_argument("folders", type=Path, nargs=2)
    command.set_defaults(call=_compare)
    command = commands.add_parser("list", help="allocators and workloads that are here")
    _add_selection(command)
    command.set_defaults(call=_list)
    if not arguments or arguments[0].startswith("--") and arguments[0] != "--help":
        arguments = ["run", *arguments]
    return parser.parse_args(arguments)


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument("--allocator", action="append", default=[], metavar="NAME[=LIBRARY[,VARIABLE=VALUE]...]",
                         help="another library (a path, or a name of the table to give it other settings); or a name "
                              "of the table alone, then only those named are run")
    command.add_argument("--workload", "--group", dest="workload", action="append", default=[], metavar="GLOB",
                         help="only workloads (or groups) that match; may be given again")
    command.add_argument("--threads", type=_counts, metavar="N,N...", help="instead of each workload's own counts")
    command.add_argument("--builddir", type=Path, help="where tidepool was built [$TIDE_BUILDDIR, or found]")
    command.add_argument("--program", type=Path, action="append", default=[],
                         help="a workload program to run instead of those of the build; may be given again")


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rounds", type=int, help=f"[{ROUNDS}, quick {QUICK_ROUNDS}]")
    command.add_argument("--baseline", default=allocators.DEFAULT_BASELINE, help="[%(default)s]")
    command.add_argument("--scale", type=int, help=f"size of a run, whole percent [100, quick {QUICK_SCALE}]")
    command.add_argument("--minutes", type=float, help="time budget; what is left out for it is told")
    command.add_argument("--timeout", type=float, help=f"seconds of one run [{TIMEOUT:g}, quick {QUICK_TIMEOUT:g}]")
    command.add_argument("--no-counts", action="store_true", help="leave out the exact counts under valgrind")
    command.add_argument("--out", type=Path, default=Path("bench-results"), help="[%(default)s]")


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise ValueError
    return counts


# ---- What is here -----------------------------------------------------------

def find_tools(build: Path) -> programs.Tools:
    tools = programs.Tools(build / "bench/harness/launch", build / "bench/harness/pingpong")
    for tool in (tools.launch, tools.pingpong):
        if not tool.exists():
            raise Refused(f"{tool} is missing: run make bench there")
    return tools


def find_workloads(options: argparse.Namespace, build: Path) -> tuple[list[Workload], list[str]]:
    """Those that the user selected, and a sentence for each program that can't be asked."""
    found: list[Workload] = []
    missing: list[str] = []
    for program, is_runner in _programs(options, build):
        try:
            found += programs.list_workloads(program, is_runner)
        except programs.Broken as error:
            missing.append(str(error))
    wanted = options.workload
    if wanted:
        found = [workload for workload in found
                 if any(fnmatch.fnmatchcase(name, glob) for glob in wanted for name in (workload.name, workload.group))]
    if not found:
        raise Refused(f"no workload matches {' '.join(wanted)}" if wanted else "; ".join(missing) or "no workloads")
    return found, missing


def _programs(options: argparse.Namespace, build: Path) -> list[tuple[Path, bool]]:
    if options.program:
        return [(program.resolve(), False) for program in options.program]
    runners = sorted(path for path in (SOURCE / "bench/servers").glob("*.py") if os.access(path, os.X_OK))
    return [(build / "bench/workloads/workload", False), *((path, True) for path in runners)]


def find_allocators(options: argparse.Namespace, build: Path) -> tuple[list[Allocator], list[str]]:
    known, missing = allocators.find_all(build)
    names = [option for option in options.allocator if "=" not in option]
    unknown = set(names) - {allocator.name for allocator in known}
    if unknown:
        raise Refused(f"no allocator {', '.join(sorted(unknown))} here; there are: "
                      f"{', '.join(allocator.name for allocator in known)}")
    found = [allocator for allocator in known if not names or allocator.name in names]
    added = [allocators.from_option(option, number, known)
             for number, option in enumerate(option for option in options.allocator if "=" in option)]
    return found + added, missing


def cells_of(workloads: list[Workload], threads: list[int] | None, is_quick: bool) -> list[Cell]:
    cells = []
    for workload in workloads:
        counts = list(workload.threads)
        if threads and len(counts) > 1:
            counts = [count for count in threads if count >= min(workload.threads)]
        elif is_quick:
            counts = _quick_counts(counts)
        cells += [Cell(workload, count) for count in counts]
    return cells


def threads_notes(workloads: list[Workload], threads: list[int]) -> list[str]:
    """What --threads doesn't do; refused if it does nothing."""
    wanted = ",".join(map(str, threads))
    if not any(cell.threads in threads for cell in cells_of(workloads, threads, False)):
        have = sorted({count for workload in workloads for count in workload.threads})
        raise Refused(f"--threads {wanted}: no selected workload runs with that; they have {','.join(map(str, have))}")
    single = Counter(workload.group for workload in workloads
                     if len(workload.threads) == 1 and workload.threads[0] not in threads)
    notes = []
    if single:
        groups = ", ".join(f"{count} of {group}" for group, count in single.items())
        notes.append(f"--threads {wanted} doesn't change workloads that have one thread count: {groups}")
    for count in threads:
        names = [workload.name for workload in workloads
                 if len(workload.threads) > 1 and count < min(workload.threads)]
        if names:
            notes.append(f"--threads {count} is too few for {', '.join(names)}")
    return notes


def _quick_counts(counts: list[int]) -> list[int]:
    """One, as many as there are CPUs, and eight times as many, where the workload has them."""
    cpus = len(os.sched_getaffinity(0))
    wanted = {1, cpus, 8 * cpus}
    return [count for count in counts if count in wanted] or counts[:1]


# ---- Commands ---------------------------------------------------------------

def _list(options: argparse.Namespace) -> int:
    build = build_folder(options.builddir)
    found, missing = find_allocators(options, build)
    workloads, broken = find_workloads(options, build)
    for allocator in found:
        print(f"{allocator.name:16} {allocator.version:36} {allocator.path}")
    print()
    for workload in workloads:
        counts = ",".join(map(str, workload.threads))
        quick = "quick" if workload.is_quick else ""
        print(f"{workload.group:11} {workload.name:24} {counts:20} {quick:6} {workload.about}")
    for line in missing + broken:
        print(f"bench: {line}", file=sys.stderr)
    return 0


def _report(options: argparse.Namespace) -> int:
    plots.check()
    print(report.write(store.read(options.folder), options.folder))
    return 0


def _compare(options: argparse.Namespace) -> int:
    one, other = (store.read(folder) for folder in options.folders)
    return compare.show(one, other)


def _run(options: argparse.Namespace) -> int:
    plots.check()
    start = time.monotonic()
    build = build_folder(options.builddir)
    tools = find_tools(build)
    found, missing = find_allocators(options, build)
    workloads, broken = find_workloads(options, build)
    missing += broken
    if not options.program:
        missing += pinning_notes(build)
    results = _new_results(options, found, workloads, missing)
    results.versions.update(machine.describe_build(build))
    plan, to_count = _plan(options, results, start)
    progress = Progress()
    for line in missing + results.left_out:
        progress.say(f"bench: {line}")
    progress.say(f"bench: {len(plan.cells)} loads, {len(plan.allocators)} allocators, {plan.rounds} rounds, "
                 f"scale {plan.scale:g} %")
    work = matrix.Matrix(plan, tools, progress)
    planned = len(results.left_out)
    try:
        work.run()
        if not work.outcome.is_interrupted:
            count(to_count, results, progress)
    finally:
        _take_outcome(results, work.outcome)
        store.write(results, options.out)
        name = report.write(results, options.out)
    for line in results.left_out[planned:]:
        progress.say(f"bench: left out: {line}")
    done = sum(run.status != NO_TIME for run in results.runs)
    progress.say(f"bench: {done} runs in {duration(time.monotonic() - start)}; {name}")
    return 130 if work.outcome.is_interrupted else 0


def pinning_notes(build: Path) -> list[str]:
    """The workloads ask the program `cores` beside them where to put their threads."""
    if (build / "bench/workloads/cores").exists():
        return []
    return ["hwloc: not in this build (Debian package libhwloc-dev), so no thread is tied to a core: the kernel may "
            "move them, and runs of several threads vary more"]


# ---- Exact counts -----------------------------------------------------------

@dataclass(frozen=True)
class ToCount:
    """The exact counts that are wanted, and until when."""
    pairs: list[tuple[Workload, Allocator]]
    deadline: float | None      # time.monotonic()


def pairs_to_count(options: argparse.Namespace, results: Results, cells: list[Cell]
                   ) -> list[tuple[Workload, Allocator]]:
    """Of the contention workloads that are run; why there are none is left in the results."""
    workloads = dict.fromkeys(cell.workload for cell in cells if cell.workload.group == "contention")
    if not workloads:
        return []
    reason = "not wanted" if options.no_counts else "quick doesn't make them" if options.quick else ""
    try:
        counts.check()
    except counts.CountError as error:
        reason = str(error)
    if reason:
        results.left_out.append(f"exact counts and the model of more cores: {reason}")
        return []
    return [(workload, allocator) for workload in workloads for allocator in results.allocators]


def count(wanted: ToCount, results: Results, progress: Progress) -> None:
    """As many as fit; what doesn't is left out, and told."""
    start, whole = time.monotonic(), len(wanted.pairs)
    for done, (workload, allocator) in enumerate(wanted.pairs):
        now = time.monotonic()
        each = (now - start) / done if done else counts.GUESS_SECONDS
        left = math.inf if wanted.deadline is None else wanted.deadline - now
        if each > left:
            results.left_out.append(f"exact counts: {whole - done} of {whole}, for lack of time")
            return
        progress.show(f"bench: counting {done}/{whole}, {duration(min(each * (whole - done), left))} left: "
                      f"{workload.name} {allocator.name}")
        try:
            results.counts.append(counts.count(Cell(workload, counts.THREADS), allocator, wanted.deadline))
        except KeyboardInterrupt:
            results.left_out.append(f"exact counts: {whole - done} of {whole}, interrupted by the user")
            return


# ---- The plan ---------------------------------------------------------------


def _new_results(options: argparse.Namespace, found: list[Allocator], workloads: list[Workload],
                 missing: list[str]) -> Results:
    names = [allocator.name for allocator in found]
    if len(set(names)) != len(names):
        raise Refused(f"two allocators have one name: {' '.join(names)}")
    if options.baseline not in names:
        raise Refused(f"the baseline {options.baseline} is not among {', '.join(names)}")
    settings = {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "baseline": options.baseline,
        "quick": options.quick,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    return Results(machine.describe(), _versions(), settings, found, workloads, missing)


def _versions() -> dict[str, str]:
    commit = machine.first_line(["git", "-C", str(SOURCE), "describe", "--always", "--dirty"])
    return {"tidepool source": commit or (SOURCE / "VERSION").read_text().strip(),
            **machine.versions_of_tools(TOOLS)}


def _plan(options: argparse.Namespace, results: Results, start: float) -> tuple[matrix.Plan, ToCount]:
    """Also records in the results what it chose and what it left out."""
    is_quick = options.quick
    workloads = [workload for workload in results.workloads if workload.is_quick or not is_quick or options.workload]
    if options.threads:
        results.left_out += threads_notes(workloads, options.threads)
    cells = cells_of(workloads, options.threads, is_quick)
    if not cells:
        raise Refused("none of these workloads is in the quick selection: name what to run with --workload")
    pairs = pairs_to_count(options, results, cells)
    rounds = options.rounds or (QUICK_ROUNDS if is_quick else ROUNDS)
    scale = options.scale or (QUICK_SCALE if is_quick else 100)
    minutes = options.minutes or (QUICK_MINUTES if is_quick else None)
    deadline = last = None
    if minutes:
        seconds = minutes * 60
        seconds -= min(seconds / 2, REPORT_SECONDS + REPORT_SHARE * seconds)
        last = start + seconds
        seconds -= min(COUNT_SHARE * seconds, counts.GUESS_SECONDS * len(pairs))
        deadline = start + seconds
        if not options.scale:
            scale = matrix.scale_for_budget(cells, len(results.allocators), rounds, scale, seconds)
    results.left_out += _left_out_by_plan(results.workloads, cells, is_quick, scale)
    timeout = options.timeout or (QUICK_TIMEOUT if is_quick else TIMEOUT)
    results.settings.update(rounds=rounds, rounds_least=0, rounds_most=0, scale=scale, minutes=minutes,
                            timeout_seconds=timeout)
    return matrix.Plan(cells, results.allocators, rounds, scale, timeout, deadline), ToCount(pairs, last)


def _left_out_by_plan(workloads: list[Workload], cells: list[Cell], is_quick: bool, scale: float) -> list[str]:
    planned = {cell.key for cell in cells}
    names = {cell.workload.name for cell in cells}
    absent = [workload.name for workload in workloads if workload.name not in names]
    counts = {count for workload in workloads if workload.name in names for count in workload.threads
              if (workload.name, count) not in planned}
    lines = []
    if is_quick and absent:
        lines.append(f"quick leaves out the workloads {', '.join(absent)}")
    if is_quick and counts:
        lines.append(f"quick leaves out thread counts {', '.join(map(str, sorted(counts)))} ")
    if scale < 100:
        lines.append(f"runs have {scale:g} % of their full size: start-up weighs more, and rare slow paths show less")
    return lines


def _take_outcome(results: Results, outcome: matrix.Outcome) -> None:
    results.runs, results.probes = outcome.runs, outcome.probes
    results.repeated = outcome.repeated
    results.left_out += outcome.left_out
    results.settings.update(rounds_least=outcome.rounds_least, rounds_most=outcome.rounds_most)
