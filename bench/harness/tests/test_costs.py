"""Tests of the table of what a cliff costs: time, memory, faults and mappings side by side."""
import re
import unittest

from harness import sections
from harness.analysis import Analysis
from harness.records import Allocator, Run, Workload
from harness.store import Results

ALLOCATORS = [Allocator(name, "", {}, "1", "", "#000000") for name in ("base", "peer")]
STEEP = Workload("steep", "cliffs", (1,), False, "", "block", "/bin/w", False)
FLAT = Workload("flat", "micro", (1,), False, "", "block", "/bin/w", False)


def run(workload: Workload, allocator: str, number: int, faults: int) -> Run:
    made = Run(workload.name, workload.group, 1, allocator, number, 1, status="ok", is_used=True)
    made.ns_per_operation, made.seconds, made.peak_bytes, made.minor_faults = 10.0, 2.5, 300 * 2**20, 999_999
    made.metrics = {"minor_faults": faults, "mappings": 47}
    return made


def page_of(group: str) -> str:
    runs = [run(workload, allocator.name, number, 100 * number)
            for number in (1, 2, 3) for workload in (STEEP, FLAT) for allocator in ALLOCATORS]
    results = Results({"cpus_usable": 2}, {}, {"baseline": "base", "scale": 5}, ALLOCATORS, [STEEP, FLAT], runs=runs)
    return str(sections.group_section(group, results, Analysis(results.allocators, results.workloads, results.runs)))


class Shown(unittest.TestCase):
    def test_a_row_for_each_allocator(self) -> None:
        page = page_of("cliffs")
        table = page[page.index("Time, memory, faults and mappings"):]
        table = table[:table.index("</table>")]
        rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in table.split("<tr>")[1:]]
        self.assertEqual([cell.partition(" ")[0] for cell in rows[0][2:]],
                         ["ns", "seconds", "peak,", "settled,", "faults", "mappings"])
        self.assertEqual([row[2:] for row in rows[1:]], [["10.0", "2.50", "300", "–", "200", "47.0"]] * 2)

    def test_other_groups_have_none(self) -> None:
        self.assertNotIn("faults and mappings", page_of("micro"))
