"""Tests of analysis.py: which runs are compared, and what the summary says."""
import unittest

from harness.analysis import Analysis, memory_of, time_of
from harness.records import Allocator, Run, Workload

OURS = Allocator("ours", "/o.so", {}, "1", "", "#000000", is_ours=True)
A, B = (Allocator(name, "", {}, "1", "", "#000000") for name in "ab")


def workload(name: str = "w", group: str = "contention", threads: tuple[int, ...] = (2,)) -> Workload:
    return Workload(name, group, threads, True, "", "pair", "/bin/w", group == "server")


def run(allocator: str, number: int, ns: float, state: int | None = 0, name: str = "w", threads: int = 2,
        peak: int = 100) -> Run:
    made = Run(name, "contention", threads, allocator, number, 1, status="ok", is_used=True)
    made.ns_per_operation, made.peak_bytes, made.state = ns, peak, state
    made.probe_before_ns = made.probe_after_ns = 300.0 if state == 1 else 60.0
    return made


class Ratios(unittest.TestCase):
    def test_round_by_round(self) -> None:
        runs = [run("a", 1, 10), run("b", 1, 20), run("a", 2, 30), run("b", 2, 30)]
        self.assertEqual(Analysis([A, B], [workload()], runs).ratios(("w", 2), "b", "a", time_of), [2.0, 1.0])

    def test_only_in_the_same_state(self) -> None:
        runs = [run("a", 1, 10), run("b", 1, 90, state=1), run("a", 2, 30), run("b", 2, 30)]
        self.assertEqual(Analysis([A, B], [workload()], runs).ratios(("w", 2), "b", "a", time_of), [1.0])

    def test_other_rounds_if_none_is_comparable(self) -> None:
        runs = [run("a", 1, 10), run("b", 1, 90, state=1), run("a", 2, 30, state=1), run("b", 2, 40)]
        found = Analysis([A, B], [workload()], runs).ratios(("w", 2), "b", "a", time_of)
        self.assertEqual(found, [3.0, 4.0])

    def test_never_across_states(self) -> None:
        runs = [run("a", 1, 10), run("b", 1, 90, state=1)]
        self.assertEqual(Analysis([A, B], [workload()], runs).ratios(("w", 2), "b", "a", time_of), [])

    def test_unsettled_runs_arent_compared(self) -> None:
        runs = [run("a", 1, 10, state=None), run("b", 1, 90, state=None)]
        self.assertEqual(Analysis([A, B], [workload()], runs).ratios(("w", 2), "b", "a", time_of), [])

    def test_one_thread_is_compared_in_any_state(self) -> None:
        runs = [run("a", 1, 10, threads=1), run("b", 1, 20, state=1, threads=1)]
        self.assertEqual(Analysis([A, B], [workload()], runs).ratios(("w", 1), "b", "a", time_of), [2.0])

    def test_values_are_shown_in_the_most_frequent_state(self) -> None:
        runs = [run("a", 1, 10), run("a", 2, 12), run("a", 3, 90, state=1)]
        found = Analysis([A], [workload()], runs).spread(("w", 2), "a", time_of)
        assert found
        self.assertEqual((found.median, found.count), (11, 2))


class Summaries(unittest.TestCase):
    def test_best_peer_of_each_load(self) -> None:
        runs = [run("a", 1, 10), run("b", 1, 20), run("ours", 1, 5),
                run("a", 1, 40, name="v"), run("b", 1, 10, name="v"), run("ours", 1, 20, name="v")]
        analysis = Analysis([OURS, A, B], [workload(), workload("v")], runs)
        ours, peer = analysis.summary("ours", None, time_of), analysis.summary("a", None, time_of)
        assert ours and peer
        self.assertAlmostEqual(ours.mean, 1.0)
        self.assertEqual((ours.worst, ours.worst_key, ours.best, ours.best_key), (2.0, ("v", 2), 0.5, ("w", 2)))
        self.assertAlmostEqual(peer.mean, 2.0)

    def test_memory_has_its_own_best(self) -> None:
        runs = [run("a", 1, 10, peak=400), run("b", 1, 20, peak=100), run("ours", 1, 5, peak=200)]
        found = Analysis([OURS, A, B], [workload()], runs).summary("ours", None, memory_of)
        assert found
        self.assertEqual(found.mean, 2.0)

    def test_a_peer_that_always_fails_has_none(self) -> None:
        failed = Run("w", "contention", 2, "b", 1, 1, status="signal 6")
        self.assertIsNone(Analysis([A, B], [workload()], [run("a", 1, 10), failed]).summary("b", "a", time_of))
