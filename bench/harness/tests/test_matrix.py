"""Tests of matrix.py: what fits into a budget, and that neither the deadline nor a failing tool ends the rounds."""
import io
import unittest
from pathlib import Path
from unittest import mock

from harness import matrix, programs
from harness.progress import Progress
from harness.records import NO_TIME, PROBE_FAILED, Allocator, Cell, Run, Workload

ALLOCATORS = [Allocator(name, "", {}, "1", "", "#000000") for name in "ab"]
TOOLS = programs.Tools(Path("/bin/launch"), Path("/bin/pingpong"))


def cells(count: int, group: str = "micro") -> list[Cell]:
    return [Cell(Workload(str(number), group, (1,), True, "", "pair", "/bin/w", False), 1) for number in range(count)]


class Plans(unittest.TestCase):
    def test_a_wide_budget_keeps_the_scale(self) -> None:
        self.assertEqual(matrix.scale_for_budget(cells(20), 6, 3, 100, 3600), 100)

    def test_a_narrow_budget_shrinks_it(self) -> None:
        self.assertEqual(matrix.scale_for_budget(cells(20), 6, 3, 100, 240), 50)
        self.assertEqual(matrix.scale_for_budget(cells(20), 6, 3, 100, 1), matrix.LEAST_PERCENT)

    def test_a_scale_is_at_least_one(self) -> None:
        self.assertEqual(matrix.scale_for_budget(cells(20), 6, 3, 2, 1), 1)


class Machine:
    """A clock that only runs take time on, and the runs."""

    def __init__(self, seconds: float, probe: float | Exception | None = None) -> None:
        self.now = 0.0
        self._seconds = seconds         # of a run
        self._probe = probe
        self.timeouts: list[float] = []

    def perform(self, run: Run, _cell: Cell, _allocator: Allocator, _tools: programs.Tools, _scale: float,
                timeout: float) -> None:
        self.timeouts.append(timeout)
        self.now += min(self._seconds, timeout)
        run.status = "ok" if self._seconds <= timeout else "timeout"
        run.ns_per_operation = 1.0 if run.is_ok else None

    def probe(self, _tools: programs.Tools) -> float | None:
        if isinstance(self._probe, Exception):
            raise self._probe
        return self._probe

    def run(self, planned: list[Cell], rounds: int, deadline: float | None) -> matrix.Outcome:
        plan = matrix.Plan(planned, ALLOCATORS, rounds, 100, 20.0, deadline)
        with mock.patch("time.monotonic", lambda: self.now), mock.patch.object(programs, "perform", self.perform), \
                mock.patch.object(programs, "probe", self.probe):
            work = matrix.Matrix(plan, TOOLS, Progress(io.StringIO()))
            work.run()
        return work.outcome


class Deadlines(unittest.TestCase):
    def test_without_one_everything_is_run(self) -> None:
        runs = Machine(5).run(cells(2), 3, None).runs
        self.assertEqual([run.status for run in runs], ["ok"] * 12)

    def test_a_cell_that_would_end_after_it_is_a_row(self) -> None:
        machine = Machine(5)
        outcome = machine.run(cells(2), 3, 45)
        statuses = [run.status for run in outcome.runs]
        self.assertEqual((statuses.count("ok"), statuses.count(NO_TIME)), (8, 4))
        self.assertEqual(machine.now, 40)       # not a cell of 10 s more
        self.assertEqual(outcome.left_out, ["2 of 3 rounds of 1 x 1"])

    def test_a_run_is_stopped_soon_after_it(self) -> None:
        machine = Machine(1000)
        runs = machine.run(cells(1), 1, 5).runs
        self.assertEqual(machine.timeouts, [5 + matrix.DEADLINE_GRACE])
        self.assertEqual([run.status for run in runs], [NO_TIME, NO_TIME])
        self.assertEqual([run.reason for run in runs], ["stopped after 8 s", "not begun"])


class Failures(unittest.TestCase):
    def test_a_failing_probe_is_a_row(self) -> None:
        runs = Machine(1, programs.Broken("pingpong: exit 1: boom")).run(cells(2), 1, None).runs
        self.assertEqual([(run.status, run.reason, run.is_used) for run in runs],
                         [(PROBE_FAILED, "pingpong: exit 1: boom", False)] * 4)

    def test_a_run_that_times_out_isnt_run_again(self) -> None:
        runs = Machine(1000).run(cells(1), 2, None).runs
        self.assertEqual([run.status for run in runs], ["timeout", "timeout", "skipped", "skipped"])
