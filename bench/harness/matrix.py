"""The matrix: workload x threads x allocator, in interleaved rounds.

A round runs every cell once on every allocator, the allocators of a cell one right after the other
(A B C, next cell, ..., next round), so that what drifts on the machine drifts for all. A probe of the
cost of moving a cache line stands before and after every run. A run whose two probes show different
states of the machine is dropped and repeated, a bounded number of times. Other processes' CPU time is
recorded and flagged.

With a time budget the first round is for all cells; of the further ones the cheapest cells come first, so
that few loads, those with long runs, have fewer rounds. `left_out` names them. A cell that is expected to end after
the deadline isn't begun, a run that goes on DEADLINE_GRACE seconds beyond it is stopped: rows whose status is NO_TIME.

A probe or a launcher that fails makes its run a row that says so, and the rounds go on.
"""
from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from . import machine, programs
from .progress import Progress, duration
from .records import BUSY, NO_TIME, PROBE_FAILED, SKIPPED, STOLEN, UNSETTLED, Allocator, Cell, Run
from .states import States

FIRST_PROBES = 5                # before the first run, to know a state at all
MOST_ATTEMPTS = 3               # of one run, when its probes disagree
RUN_SECONDS = 1.0               # guess for a run at scale 100, until one was seen
# By group: guess for a run at any scale.
FIXED_SECONDS = {"footprint": 2.2, "return": 3.5, "server": 2.5, "program": 1.2}
OVERHEAD_SECONDS = 0.1          # of a run: probes, starting it
LEAST_PERCENT = 15              # of the scale asked for: smaller runs say too little
DEADLINE_GRACE = 3.0            # seconds that a run may end after the deadline


@dataclass(frozen=True)
class Plan:
    cells: list[Cell]
    allocators: list[Allocator]
    rounds: int
    scale: int                  # percent
    timeout: float              # seconds of one run
    deadline: float | None      # time.monotonic() after which no run starts; one may end DEADLINE_GRACE later


@dataclass
class Outcome:
    runs: list[Run] = field(default_factory=list)
    probes: list[list[float]] = field(default_factory=list)  # [seconds since the first run, round trip in ns]
    left_out: list[str] = field(default_factory=list)
    rounds_least: int = 0           # of a cell
    rounds_most: int = 0
    repeated: int = 0
    is_interrupted: bool = False


def guess_seconds(cell: Cell, scale: float) -> float:
    """Of one run on one allocator."""
    return FIXED_SECONDS.get(cell.workload.group, RUN_SECONDS * scale / 100) + OVERHEAD_SECONDS


def scale_for_budget(cells: list[Cell], allocators: int, rounds: int, scale: int, seconds: float) -> int:
    """The scale, at most the one given, at which one round of all cells, and the further rounds of those
    that a smaller scale shortens, should fit into the seconds."""
    for percent in (100, 75, 50, 35, 25, LEAST_PERCENT):
        wanted = max(1, scale * percent // 100)
        first = sum(guess_seconds(cell, wanted) for cell in cells)
        further = sum(guess_seconds(cell, wanted) for cell in cells if cell.workload.group not in FIXED_SECONDS)
        if (first + further * (rounds - 1)) * allocators <= seconds:
            break
    return wanted


class Matrix:
    """Runs a plan. `outcome` may be read at any time, also after an interruption."""

    def __init__(self, plan: Plan, tools: programs.Tools, progress: Progress) -> None:
        self.outcome = Outcome()
        self._plan = plan
        self._tools = tools
        self._progress = progress
        self._start = time.monotonic()
        self._cost: dict[tuple[str, int], float] = {}   # seconds a cell took on all allocators, last time
        self._given_up: dict[tuple[str, int, str], str] = {}  # (cell, allocator) that isn't run again: why
        self._rounds: dict[tuple[str, int], int] = {}   # done of a cell
        self._done = 0

    def run(self) -> None:
        plan = self._plan
        try:
            self._probe_first()
            self._run_rounds(plan.cells, range(1, 2))
            fitting = self._fitting()
            rest = [cell for cell in plan.cells if cell not in fitting]
            self._run_rounds(fitting, range(2, plan.rounds + 1))
            self._run_rounds(rest, range(2, plan.rounds + 1))
        except KeyboardInterrupt:
            self.outcome.is_interrupted = True
            self.outcome.left_out.append("interrupted by the user")
        self._tell_left_out()
        self._settle_states()

    def _run_rounds(self, cells: list[Cell], rounds: range) -> None:
        for number in rounds:
            for cell in cells:
                if self._run_cell_in_time(cell, number):
                    self._rounds[cell.key] = number

    def _fitting(self) -> list[Cell]:
        """The cells, the cheapest ones, whose further rounds fit into the time that is left."""
        plan = self._plan
        if plan.deadline is None:
            return plan.cells
        left = plan.deadline - time.monotonic()
        fitting = []
        for cell in sorted(plan.cells, key=self._expected):
            left -= self._expected(cell) * (plan.rounds - 1)
            if left > 0:
                fitting.append(cell)
        return [cell for cell in plan.cells if cell in fitting]

    def _tell_left_out(self) -> None:
        names: dict[int, list[str]] = {}
        for cell in self._plan.cells:
            names.setdefault(self._rounds.get(cell.key, 0), []).append(f"{cell.workload.name} x {cell.threads}")
        whole = self._plan.rounds
        for rounds in sorted(names.keys() - {whole}):
            self.outcome.left_out.append(f"{whole - rounds} of {whole} rounds of {', '.join(names[rounds])}")
        self.outcome.rounds_least, self.outcome.rounds_most = min(names), max(names)

    def _run_cell_in_time(self, cell: Cell, number: int) -> bool:
        """False if it would end after the deadline: then each of its runs is a row that says so."""
        if self._time_left() < self._expected(cell):
            self.outcome.runs += [self._new_run(cell, allocator, number, 1, NO_TIME, "not begun")
                                  for allocator in self._plan.allocators]
            self._done += len(self._plan.allocators)
            return False
        start = time.monotonic()
        for allocator in self._plan.allocators:
            self._show(cell, allocator, number)
            self._run_until_settled(cell, allocator, number)
            self._done += 1
        self._cost[cell.key] = time.monotonic() - start
        return True

    def _time_left(self) -> float:
        """Seconds until the deadline; less than 0 after it."""
        return math.inf if self._plan.deadline is None else self._plan.deadline - time.monotonic()

    def _expected(self, cell: Cell) -> float:
        """Seconds for the cell on all allocators: as last time, else as guessed and put right by the
        cells that were seen."""
        known = self._cost.get(cell.key)
        if known is not None:
            return known
        return self._guess(cell) * self._correction(cell.workload.group in FIXED_SECONDS)

    def _guess(self, cell: Cell) -> float:
        return guess_seconds(cell, self._plan.scale) * len(self._plan.allocators)

    def _correction(self, is_fixed: bool) -> float:
        """Seconds taken per second guessed, over the cells of that kind that were seen."""
        seen = [cell for cell in self._plan.cells
                if cell.key in self._cost and (cell.workload.group in FIXED_SECONDS) == is_fixed]
        if len(seen) < 3:
            return 1.0
        return sum(self._cost[cell.key] for cell in seen) / sum(map(self._guess, seen))

    def _seconds_left(self, at: int, number: int) -> float:
        plan = self._plan
        correction = {kind: self._correction(kind) for kind in (False, True)}
        costs = [self._cost.get(cell.key) or self._guess(cell) * correction[cell.workload.group in FIXED_SECONDS]
                 for cell in plan.cells]
        return min(sum(costs[at:]) + sum(costs) * (plan.rounds - number), self._time_left())

    def _run_until_settled(self, cell: Cell, allocator: Allocator, number: int) -> None:
        why = self._given_up.get((*cell.key, allocator.name))
        if why:
            self.outcome.runs.append(self._new_run(cell, allocator, number, 1, SKIPPED, why))
            return
        if self._time_left() <= 0:
            self.outcome.runs.append(self._new_run(cell, allocator, number, 1, NO_TIME, "not begun"))
            return
        for attempt in range(1, MOST_ATTEMPTS + 1):
            run = self._run_once(cell, allocator, number, attempt)
            self.outcome.runs.append(run)
            if not self._needs_repetition(run, cell):
                break
            if attempt == MOST_ATTEMPTS or self._time_left() <= 0:
                run.flags.append(UNSETTLED)
                break
            run.reason = "repeated: the probes before and after it differ"
            self.outcome.repeated += 1
        run.is_used = run.is_ok and run.ns_per_operation is not None
        if run.status == "timeout":
            self._given_up[(*cell.key, allocator.name)] = "not run again after a time-out"

    def _needs_repetition(self, run: Run, cell: Cell) -> bool:
        if not run.is_ok or not cell.is_shared or run.probe_before_ns is None:
            return False
        states = States([ns for _, ns in self.outcome.probes])
        return states.of_bracket(run.probe_before_ns, run.probe_after_ns) is None

    def _run_once(self, cell: Cell, allocator: Allocator, number: int, attempt: int) -> Run:
        run = self._new_run(cell, allocator, number, attempt)
        try:
            run.probe_before_ns = self._probe()
            run.started = self._elapsed()
            self._perform(run, cell, allocator)
            run.probe_after_ns = self._probe()
        except programs.Broken as error:
            if run.is_ok or run.probe_before_ns is None:    # else how the run itself failed says more
                run.status, run.reason = PROBE_FAILED, str(error)
        if (run.other_cpu_share or 0) > machine.FLAG_SHARE:
            run.flags.append(BUSY)
        if (run.stolen_share or 0) > machine.FLAG_SHARE:
            run.flags.append(STOLEN)
        return run

    def _perform(self, run: Run, cell: Cell, allocator: Allocator) -> None:
        timeout = min(self._plan.timeout, max(self._time_left(), 0) + DEADLINE_GRACE)
        programs.perform(run, cell, allocator, self._tools, self._plan.scale, timeout)
        if run.status == "timeout" and timeout < self._plan.timeout:
            run.status, run.reason = NO_TIME, f"stopped after {timeout:.0f} s"

    def _new_run(self, cell: Cell, allocator: Allocator, number: int, attempt: int, status: str = "",
                 reason: str = "") -> Run:
        run = Run(cell.workload.name, cell.workload.group, cell.threads, allocator.name, number, attempt)
        run.started = self._elapsed()
        run.status, run.reason = status or run.status, reason
        return run

    def _probe_first(self) -> None:
        """Of one that fails the runs will tell."""
        try:
            for _ in range(FIRST_PROBES):
                self._probe()
        except programs.Broken as error:
            self._progress.say(f"bench: {error}")

    def _probe(self) -> float | None:
        value = programs.probe(self._tools)
        if value is not None:
            self.outcome.probes.append([round(self._elapsed(), 3), value])
        return value

    def _settle_states(self) -> None:
        """Every run's state, now that all probes are known."""
        states = States([ns for _, ns in self.outcome.probes])
        for run in self.outcome.runs:
            run.state = states.of_bracket(run.probe_before_ns, run.probe_after_ns)

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _show(self, cell: Cell, allocator: Allocator, number: int) -> None:
        plan = self._plan
        whole = len(plan.cells) * len(plan.allocators) * plan.rounds
        left = self._seconds_left(plan.cells.index(cell), number)
        repeated = f", {self.outcome.repeated} repeated" if self.outcome.repeated else ""
        self._progress.show(f"bench: {self._done}/{whole} round {number}/{plan.rounds}, {duration(left)} left"
                            f"{repeated}: {cell.workload.name} x {cell.threads} {allocator.name}")
