"""Tests of main.py and machine.py: what is selected, what fits into the budget, and what the report says of a build."""
import argparse
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import counts, machine, main
from harness.places import Refused
from harness.progress import Progress
from harness.records import Allocator, Workload
from harness.store import Results

ALLOCATORS = [Allocator(name, "", {}, "1", "", "#000000") for name in "ab"]


def workload(name: str, group: str, *threads: int) -> Workload:
    return Workload(name, group, threads, True, "", "pair", "/bin/w", False)


LIFO, PAIR, RELAY = workload("lifo", "micro", 1), workload("pair", "contention", 2, 4), workload(
    "relay", "contention", 1, 2, 4)


class Threads(unittest.TestCase):
    def test_what_they_dont_change_is_said(self) -> None:
        self.assertEqual(main.threads_notes([LIFO, PAIR, RELAY], [1, 2]), ["--threads 1 is too few for pair"])
        self.assertEqual(main.threads_notes([LIFO, PAIR, RELAY], [2]),
                         ["--threads 2 doesn't change workloads that have one thread count: 1 of micro"])

    def test_refused_if_they_change_nothing(self) -> None:
        for workloads, threads in (([LIFO], [8]), ([PAIR], [1]), ([LIFO, workload("idle", "footprint", 1000)], [2])):
            with self.assertRaises(Refused):
                main.threads_notes(workloads, threads)


class Counting(unittest.TestCase):
    def count(self, seconds: float, deadline: float | None) -> tuple[Results, str]:
        """Of two workloads and two allocators; a count takes so many seconds of a clock that stands still besides."""
        clock = mock.Mock(now=0.0)

        def counted(*_: object) -> counts.Json:
            clock.now += seconds
            return {}

        results = Results({}, {}, {"baseline": "a"}, ALLOCATORS, [PAIR, RELAY])
        said = io.StringIO()
        pairs = [(each, allocator) for each in results.workloads for allocator in ALLOCATORS]
        with mock.patch("time.monotonic", lambda: clock.now), mock.patch.object(counts, "count", counted):
            main.count(main.ToCount(pairs, deadline), results, Progress(said))
        return results, said.getvalue()

    def test_all_without_a_deadline(self) -> None:
        results, said = self.count(20, None)
        self.assertEqual((len(results.counts), results.left_out), (4, []))
        self.assertIn("bench: counting 1/4, 1 min 0 s left: pair b\n", said)

    def test_as_many_as_fit(self) -> None:
        results, _ = self.count(20, 50)
        self.assertEqual((len(results.counts), results.left_out), (2, ["exact counts: 2 of 4, for lack of time"]))

    def test_a_budget_keeps_time_for_them(self) -> None:
        options = argparse.Namespace(quick=False, workload=[], threads=None, rounds=None, scale=None, minutes=10.0,
                                     timeout=None, no_counts=False)
        with mock.patch.object(counts, "check"):
            plan, wanted = main._plan(options, Results({}, {}, {}, ALLOCATORS, [RELAY]), 0.0)
        self.assertEqual(len(wanted.pairs), 2)
        assert plan.deadline and wanted.deadline
        self.assertAlmostEqual(wanted.deadline - plan.deadline, 2 * counts.GUESS_SECONDS)
        self.assertLess(wanted.deadline, 600)


class Builds(unittest.TestCase):
    def test_without_hwloc_the_bench_says_so(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("no thread is tied to a core", main.pinning_notes(Path(folder))[0])
            cores = Path(folder, "bench/workloads/cores")
            cores.parent.mkdir(parents=True)
            cores.touch()
            self.assertEqual(main.pinning_notes(Path(folder)), [])

    def test_compiler_and_arguments(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            status = Path(folder, "config.status")
            status.write_text('#!/bin/sh\necho "CC=/bin/echo --enable-debug"\nexit\nS["CC"]="/bin/echo -n"\n'
                              'S["CFLAGS"]="-O2"\n')
            status.chmod(0o755)
            self.assertEqual(machine.describe_build(Path(folder)), {
                "tidepool's compiler": "/bin/echo -n: --version", "tidepool's CFLAGS": "-O2",
                "tidepool's configure": "CC=/bin/echo --enable-debug"})

    def test_a_folder_that_isnt_configured(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("unknown", machine.describe_build(Path(folder))["tidepool's build"])

    def test_versions(self) -> None:
        found = machine.versions_of_tools({"here": ["sh", "-c", "echo; echo version 1 >&2; exit 1"],
                                           "not here": ["no-such-program"], "silent": ["true"]})
        self.assertEqual(found, {"here": "version 1", "not here": "missing", "silent": "unknown: true says nothing"})
