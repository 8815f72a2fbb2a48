"""Tests of counts.py and model.py on small made-up inputs."""
import io
import unittest
from collections import Counter
from unittest import mock

from harness import counts, model
from harness.analysis import Analysis
from harness.records import Allocator, Cell, Workload
from harness.store import Results

PROFILE = """\
positions: instr line
events: Ir

ob=/p/program
fn=main
0x10 0 5
cob=/l/liballoc.so
cfn=malloc
calls=30 0x100 0
0x14 0 900
cob=/l/libc.so.6
cfn=pthread_mutex_lock
calls=10 0x200 0
0x18 0 100

ob=/l/liballoc.so
fn=malloc
0x100 0 30
cob=/l/libc.so.6
cfn=pthread_mutex_lock
calls=30 0x200 0
0x104 0 300

ob=/l/libc.so.6
fn=pthread_mutex_lock
0x200 0 40
"""
LIBRARY = Allocator("x", "/l/liballoc.so", {}, "1", "", "#000000")


class Profiles(unittest.TestCase):
    def test_read(self) -> None:
        profile = counts.read_profile(PROFILE.splitlines())
        lock = ("/l/libc.so.6", "pthread_mutex_lock")
        self.assertEqual(profile.executed[(lock, 0x200)], 40)
        self.assertEqual(profile.executed[(("/p/program", "main"), 0x10)], 5)
        self.assertNotIn((("/p/program", "main"), 0x14), profile.executed)  # the cost of a call isn't an instruction
        self.assertEqual(profile.calls[(("/l/liballoc.so", "malloc"), lock)], 30)

    def test_code_of_others_belongs_to_its_callers(self) -> None:
        share = counts.shares(counts.read_profile(PROFILE.splitlines()), LIBRARY, "/p/program")
        self.assertEqual(share[("/l/liballoc.so", "malloc")], 1.0)
        self.assertEqual(share[("/p/program", "main")], 0.0)
        self.assertEqual(share[("/l/libc.so.6", "pthread_mutex_lock")], 0.75)


class Traces(unittest.TestCase):
    cell = Cell(Workload("relay", "contention", (1, 2), True, "", "block", "/p/program", False), counts.THREADS)
    counted = {"operations": 5.0, "per_thousand": 40.0, "program_per_thousand": 2.0}

    def count(self, trace: counts.Trace) -> counts.Json:
        with mock.patch.object(counts, "_callgrind"), mock.patch.object(counts, "_trace", return_value=trace), \
                mock.patch.object(counts, "_counted", return_value=(self.counted, {})):
            return counts.count(self.cell, LIBRARY)

    def test_nothing_written_is_an_empty_trace(self) -> None:
        read = counts._Reader({}, LIBRARY, self.cell, 1).read(io.BytesIO(b""))
        row = self.count(read)
        self.assertIn("lackey is empty", row["error"])
        self.assertEqual({name: row[name] for name in self.counted}, self.counted)
        self.assertNotIn("lines", row)

    def test_a_trace_without_these_instructions(self) -> None:
        self.assertIn("none of these instructions", self.count(counts.Trace(has_begun=True))["error"])

    def test_lines_by_the_threads_that_share_them(self) -> None:
        row = self.count(counts.Trace({7: Counter({1: 3}), 9: Counter({1: 1, 2: 4})}, has_begun=True))
        self.assertEqual([(line["sharers"], line["per_thousand"]) for line in row["lines"]], [(1, 15.0), (2, 25.0)])
        self.assertNotIn("error", row)

    def test_the_counts_of_an_error_row_are_shown(self) -> None:
        row = self.count(counts.Trace())
        results = Results({}, {}, {"baseline": "x"}, [LIBRARY], [self.cell.workload], counts=[row])
        page = model.section(results, Analysis(results.allocators, results.workloads, []))
        self.assertIn("lackey is empty", page)
        self.assertIn("40.0", page)

    def test_no_time_left(self) -> None:
        with mock.patch.object(counts, "_callgrind"):
            self.assertEqual(counts.count(self.cell, LIBRARY, deadline=0)["error"], "no time left")


class Instructions(unittest.TestCase):
    def test_synchronising(self) -> None:
        for text in ("lock cmpxchg %rdx,(%rdi)", "xchg   %rax,0x10(%rip)        # 40 <x>", "xchg %eax,%fs:0x10",
                     "lock orq $0x0,(%rsp)"):
            self.assertTrue(counts.SYNCHRONISING.search(text), text)
        for text in ("xchg   %ax,%ax", "cmpxchg %rdx,(%rdi)", "mov (%rax),%rax", "call 40 <pthread_mutex_lock>"):
            self.assertFalse(counts.SYNCHRONISING.search(text), text)

    def test_entries_of_glibc(self) -> None:
        for name in ("malloc", "__libc_malloc", "free", "posix_memalign", "calloc'2"):
            self.assertTrue(counts.ENTRIES.match(name), name)
        for name in ("pthread_mutex_lock", "malloc_trim", "freeaddrinfo"):
            self.assertFalse(counts.ENTRIES.match(name), name)


class Model(unittest.TestCase):
    def line(self, sharers: int, per_thousand: float) -> dict[str, float]:
        return {"sharers": sharers, "lines": 1, "per_thousand": per_thousand, "hottest_per_thousand": per_thousand}

    def test_without_shared_lines_it_scales(self) -> None:
        self.assertAlmostEqual(model.throughput(64, 100, [self.line(1, 5000)], 50) / 1e7, 64)

    def test_one_line_of_all_is_a_wall(self) -> None:
        few, many = (model.throughput(cores, 100, [self.line(4, 1000)], 50) for cores in (64, 256))
        self.assertLess(many, 1.02 * few)
        self.assertAlmostEqual(many, 1e9 / (50 * 255 / 256))

    def test_one_core_pays_nothing(self) -> None:
        self.assertAlmostEqual(model.throughput(1, 100, [self.line(4, 1000)], 50), 1e7)

    def test_pairs_scale_but_pay(self) -> None:
        found = model.throughput(64, 100, [self.line(2, 1000)], 50)
        self.assertAlmostEqual(found, 64 / 125 * 1e9)
