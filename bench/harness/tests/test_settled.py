"""Tests of the settled figure, what stays resident of the peak, from a run's output to tables and bench compare."""
import contextlib
import io
import re
import unittest

from harness import compare, report, sections
from harness.analysis import Analysis, settled_of
from harness.digest import BEST_PEER, digest
from harness.records import Allocator, Run, Workload
from harness.store import Results

OURS = Allocator("ours", "/o.so", {}, "1", "", "#000000", is_ours=True)
BASE, PEER = (Allocator(name, "", {}, "1", "", "#000000") for name in ("base", "peer"))
ALLOCATORS = [OURS, BASE, PEER]
GIVES = Workload("gives", "return", (1,), True, "", "block", "/bin/w", False)
OTHER = Workload("other", "micro", (1,), True, "", "block", "/bin/w", False)
MIB = 2**20
SHARES = {"ours": 0.1, "base": 0.8, "peer": 0.4}


def run(workload: Workload, allocator: str, number: int, share: float | None) -> Run:
    made = Run(workload.name, workload.group, 1, allocator, number, 1, status="ok", is_used=True)
    made.ns_per_operation, made.peak_bytes = 10.0, 2**30
    if share is not None:
        made.settled_bytes, made.settled_share = round(share * 2**30), share
    return made


def results(shares: dict[str, float]) -> Results:
    runs = [run(workload, name, number, share if workload is GIVES else None)
            for number in (1, 2, 3) for workload in (GIVES, OTHER) for name, share in shares.items()]
    return Results({"cpus_usable": 2}, {}, {"baseline": "base", "scale": 5}, ALLOCATORS, [GIVES, OTHER], runs=runs)


def analysis(found: Results) -> Analysis:
    return Analysis(found.allocators, found.workloads, found.runs)


class Analysed(unittest.TestCase):
    def test_only_loads_that_tell_it(self) -> None:
        found = analysis(results(SHARES))
        self.assertTrue(found.tells(("gives", 1), settled_of))
        self.assertFalse(found.tells(("other", 1), settled_of))

    def test_the_best_peer_is_not_ours(self) -> None:
        self.assertEqual(analysis(results(SHARES)).best_peer(("gives", 1), settled_of), "peer")

    def test_digest(self) -> None:
        made = digest(analysis(results(SHARES)), "base")
        rows = {(row["workload"], row["allocator"]): row for row in made["loads"]}
        self.assertEqual(rows["gives", "ours"]["figures"]["settled_share"]["median"], 0.1)
        self.assertEqual(rows["gives", "ours"]["ratios"]["settled"]["median"], 0.125)
        self.assertNotIn("settled", rows["other", "ours"]["ratios"])
        summary = {(row["allocator"], row["against"]): row for row in made["summary"]}
        self.assertAlmostEqual(summary["ours", BEST_PEER]["settled"]["mean"], 0.25)
        self.assertEqual(summary["ours", BEST_PEER]["settled"]["loads"], 1)


class Shown(unittest.TestCase):
    def test_table_of_the_group(self) -> None:
        found = results(SHARES)
        page = sections.group_section("return", found, analysis(found))
        for text in ("<h3>Settled memory</h3>", '<span class="best">10 % of the peak ±0 %</span>', "<small>102 MiB",
                     "<small>0.25 (", "<small>best peer</small>", "<small>2.00 ("):
            self.assertIn(text, page)

    def test_no_table_where_no_load_tells_it(self) -> None:
        found = results(SHARES)
        self.assertNotIn("Settled memory", sections.group_section("micro", found, analysis(found)))

    def test_what_a_quiet_program_keeps(self) -> None:
        found = results(SHARES)
        self.assertNotIn("one thread that is quiet", sections.group_section("return", found, analysis(found)))
        for each in found.runs:
            if (each.workload, each.allocator) == ("gives", "ours"):
                each.metrics = {"started_bytes": 2 * MIB, "at_once_bytes": 200 * MIB, "live_page_bytes": 90 * MIB,
                                "kept_bytes": 11 * MIB, "kept_free_bytes": 7 * MIB, "kept_share": 0.0126}
        page = sections.group_section("return", found, analysis(found))
        self.assertIn("<h3>Memory of one thread that is quiet</h3>", page)
        row = page.split("<th>kept by the peak</th>")[1].split("</table>")[0]
        self.assertEqual(re.findall(r"<td>(.*?)</td>", row)[-8:],
                         ["1\u2009024", "200", "102", "2.00", "90.0", "11.0", "7.00", "1 %"])
        self.assertEqual(row.count("<tr>"), 1)      # of the allocators that tell it

    def test_summary_of_the_page(self) -> None:
        table = report._against_best(analysis(results(SHARES)))
        self.assertIn("<th>settled memory</th><th>worst load, settled memory</th>", table)
        without = [each for each in results(SHARES).runs if each.workload == "other"]
        self.assertNotIn("settled", report._against_best(Analysis(ALLOCATORS, [OTHER], without)))


class Compared(unittest.TestCase):
    def compare(self, one: Results, other: Results) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = compare.show(one, other)
        return status, said.getvalue()

    def test_what_isnt_told_is_not_lacking(self) -> None:
        status, said = self.compare(results(SHARES), results(SHARES))
        # time and peak memory of two loads, settled memory of one; two allocators
        self.assertIn("10 ratios agree within their spreads, 0 don't, 0 can't be compared", said)
        self.assertEqual(status, 0)

    def test_a_difference_is_told(self) -> None:
        status, said = self.compare(results(SHARES), results(SHARES | {"ours": 0.2}))
        self.assertRegex(said, r"settled +gives +ours +0\.12 \(.*\) and 0\.25 \(")
        self.assertEqual(status, 1)

    def test_one_that_only_one_result_tells_is_lacking(self) -> None:
        other = results(SHARES)
        other.runs = [each for each in other.runs if each.workload == "other"]
        _, said = self.compare(results(SHARES), other)
        self.assertIn("4 ratios agree within their spreads, 0 don't, 6 can't be compared", said)
