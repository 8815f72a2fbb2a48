"""Tests of counts.py and model.py on small made-up inputs."""
import unittest

from harness import counts, model
from harness.records import Allocator

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
