"""Tests of digest.py and of what the page shows of latencies."""
import unittest

from harness import sections
from harness.analysis import Analysis
from harness.digest import BEST_PEER, digest
from harness.records import Allocator, Run, Workload
from harness.store import Results

OURS = Allocator("ours", "/o.so", {}, "1", "", "#000000", is_ours=True)
PEER = Allocator("peer", "", {}, "1", "", "#000000")
WORKLOAD = Workload("w", "latency", (1,), True, "", "pair", "/bin/w", False)


def run(allocator: Allocator, number: int, ns: float, peak: int, latency: dict[str, float]) -> Run:
    made = Run("w", "latency", 1, allocator.name, number, 1, status="ok", is_used=True)
    made.ns_per_operation, made.peak_bytes, made.latency_ns = ns, peak, {"malloc": latency}
    made.metrics = {"pinned": 1}
    return made


RUNS = [run(allocator, number, ns * number, peak, {"p50": 20.0 * number, "p90": 33.0, "max": 900.0})
        for number in (1, 2, 3) for allocator, ns, peak in ((OURS, 5, 300), (PEER, 10, 100))]
RUNS.append(Run("w", "latency", 1, "ours", 4, 1, status="signal 6"))


class Digests(unittest.TestCase):
    def setUp(self) -> None:
        self.found = digest(Analysis([OURS, PEER], [WORKLOAD], RUNS), "peer")

    def test_figures_of_a_load(self) -> None:
        row = self.found["loads"][0]
        self.assertEqual((row["workload"], row["threads"], row["allocator"]), ("w", 1, "ours"))
        self.assertEqual(row["figures"]["ns_per_operation"], {"median": 10, "least": 5, "most": 15, "runs": 3})
        self.assertEqual(row["figures"]["metrics.pinned"]["median"], 1)
        self.assertNotIn("final_bytes", row["figures"])     # no run tells it
        self.assertEqual(row["latency_ns"]["malloc"], {"p50": 40.0, "p90": 33.0, "max": 900.0})

    def test_ratios(self) -> None:
        ratios = self.found["loads"][0]["ratios"]
        self.assertEqual((ratios["time"]["median"], ratios["time"]["rounds"]), (0.5, 3))
        self.assertLess(ratios["time"]["least"], 0.5)
        self.assertEqual(ratios["peak_memory"]["median"], 3.0)

    def test_summary(self) -> None:
        rows = {(row["allocator"], row["against"]): row for row in self.found["summary"]}
        self.assertAlmostEqual(rows[("ours", BEST_PEER)]["time"]["mean"], 0.5)
        self.assertAlmostEqual(rows[("peer", "ours")]["peak_memory"]["worst"], 1 / 3)


class Latencies(unittest.TestCase):
    def test_the_percentiles_that_are_told(self) -> None:
        results = Results({"cpus_usable": 2}, {}, {"baseline": "peer"}, [OURS, PEER], [WORKLOAD], runs=RUNS)
        page = sections.group_section("latency", results, Analysis([OURS, PEER], [WORKLOAD], RUNS))
        self.assertIn("<th>p50</th><th>p90</th><th>worst</th>", page)
