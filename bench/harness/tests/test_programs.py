"""Tests of programs.py, records.py and store.py: what is parsed and written."""
import csv
import io
import json
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import programs, store
from harness.records import LAUNCH_FAILED, NO_RESULT, NOT_PRELOADED, SKIPPED, Allocator, Cell, Run, Workload

RESULT = {"workload": "pair", "threads": 2, "operations": 1000, "seconds": 0.5, "final_bytes": 7,
          "thread_operations": [600, 400], "latency_ns": {"malloc": {"p50": 20, "max": 900, "count": 1000}},
          "series": [[0.0, 10, 5]], "metrics": {"pinned": 1}}
LAUNCHED = {"status": "ok", "wall_seconds": 0.6, "user_seconds": 0.9, "system_seconds": 0.1, "peak_bytes": 4096,
            "voluntary_switches": 3, "involuntary_switches": 4, "minor_faults": 5, "major_faults": 0}


def new_run() -> Run:
    return Run("pair", "contention", 2, "glibc", 1, 1)


def taken(stdout: str, stderr: str = "", **launched: object) -> Run:
    run = new_run()
    programs.take_launched(run, {**LAUNCHED, **launched}, 20)
    programs.take_output(run, stdout, stderr)
    return run


class Locks(unittest.TestCase):
    def test_one_line_for_all(self) -> None:
        said = "tidepool 0.1.0 statistics\nlocks           taken 12 times, waited for 3 times, 450 us in all\n"
        self.assertEqual(programs.lock_metrics(said), {"locks_taken": 12, "locks_waits": 3, "locks_wait_us": 450})

    def test_a_line_for_each_kind(self) -> None:
        said = ("lock arena      taken 5 times, waited for 1 times, 10 us in all\n"
                "lock big-map    taken 2 times, waited for 0 times, 0 us in all\n")
        self.assertEqual(programs.lock_metrics(said), {
            "lock_arena_taken": 5, "lock_arena_waits": 1, "lock_arena_wait_us": 10,
            "lock_big_map_taken": 2, "lock_big_map_waits": 0, "lock_big_map_wait_us": 0})

    def test_several_processes_add_up(self) -> None:
        line = "locks           taken 2 times, waited for 1 times, 5 us in all\n"
        self.assertEqual(programs.lock_metrics(line * 3)["locks_taken"], 6)


class Arenas(unittest.TestCase):
    line = "arenas          3 of 4096 KiB; created 18, released 15; 187 slots free, 0 empty pools stocked\n"

    def test_at_exit(self) -> None:
        run = taken(json.dumps(RESULT), "tidepool 0.1.0 statistics\n" + self.line * 2)
        self.assertEqual((run.metrics["arenas"], run.metrics["arenas_created"]), (6, 36))
        self.assertNotIn("arenas", taken(json.dumps(RESULT)).metrics)


class Outputs(unittest.TestCase):
    def test_a_good_run(self) -> None:
        run = taken("noise\n" + json.dumps(RESULT) + "\n")
        self.assertEqual((run.status, run.ns_per_operation, run.operations_per_second), ("ok", 500000.0, 2000.0))
        self.assertEqual((run.peak_bytes, run.final_bytes), (4096, 7))
        self.assertAlmostEqual(run.fairness or 0, 1000 ** 2 / (2 * (600 ** 2 + 400 ** 2)))
        self.assertAlmostEqual(run.metrics["cpu_per_wall"], 1.0 / 0.6)

    def test_a_runner_tells_its_servers_peak(self) -> None:
        self.assertEqual(taken(json.dumps({**RESULT, "peak_bytes": 99})).peak_bytes, 99)

    def test_what_stays_of_the_peak(self) -> None:
        run = taken(json.dumps({**RESULT, "settled_bytes": 1024}))
        self.assertEqual((run.settled_bytes, run.settled_share), (1024, 0.25))
        run = taken(json.dumps({**RESULT, "settled_bytes": 1024, "peak_bytes": 2048}))
        self.assertEqual(run.settled_share, 0.5)
        self.assertEqual(taken(json.dumps({**RESULT, "settled_bytes": 4100})).settled_share, 1.0)
        self.assertIsNone(taken(json.dumps(RESULT)).settled_share)

    def test_failures(self) -> None:
        self.assertEqual(taken("", "boom\n", status="signal 6").status, "signal 6")
        self.assertEqual(taken("", "boom\n", status="signal 6").reason, "boom")
        self.assertEqual(taken("", status="timeout").reason, "more than 20 s")
        self.assertEqual(taken("nothing\n").status, NO_RESULT)
        skipped = taken(json.dumps({"workload": "pair", "skipped": "no wrk (Debian package wrk)"}))
        self.assertEqual((skipped.status, skipped.reason), (SKIPPED, "no wrk (Debian package wrk)"))

    def test_a_result_without_its_figures(self) -> None:
        for changed, said in (({"operations": None}, "has no operations"), ({"seconds": 0}, 'has seconds "0"'),
                              ({"operations": "many"}, 'has operations "many"'),
                              ({"latency_ns": [1]}, "has latency_ns that is not a JSON object")):
            run = taken(json.dumps({**RESULT, **changed}))
            self.assertEqual(run.status, NO_RESULT)
            self.assertIn(said, run.reason)
            self.assertIsNone(run.ns_per_operation)

    def test_a_library_that_isnt_preloaded(self) -> None:
        run = taken(json.dumps(RESULT), "ERROR: ld.so: object 'x.so' from LD_PRELOAD cannot be preloaded: ignored.\n")
        self.assertEqual(run.status, NOT_PRELOADED)
        self.assertIsNone(run.ns_per_operation)

    def test_the_reason_is_not_a_line_of_statistics(self) -> None:
        said = ("workload: no such workload: x\nusage: ...\ntidepool 0.1.0 statistics (server geometry)\n"
                "heaps           2, of which 0 without a thread; records 3392 bytes\n")
        self.assertEqual(programs.complaint(said), "workload: no such workload: x")
        self.assertEqual(programs.complaint("Traceback (most recent call last):\n  File\nValueError: bad\n"),
                         "ValueError: bad")


class Commands(unittest.TestCase):
    allocator = Allocator("a", "/lib/a.so", {"X": "1"}, "1", "", "#000000")

    def cell(self, is_runner: bool, threads: tuple[int, ...]) -> Cell:
        return Cell(Workload("pair", "micro", threads, True, "", "pair", "/bin/workload", is_runner), threads[0])

    def test_a_workload_program_isnt_told_the_allocator(self) -> None:
        self.assertEqual(programs.command_of(self.cell(False, (1,)), 25, self.allocator),
                         ["/bin/workload", "run", "pair", "--threads", "1", "--scale", "25"])

    def test_a_runner_is_told(self) -> None:
        self.assertEqual(programs.command_of(self.cell(True, (4,)), 25, self.allocator),
                         ["/bin/workload", "run", "pair", "--scale", "25", "--preload", "/lib/a.so", "--env", "X=1"])


class Launching(unittest.TestCase):
    """A launcher or a probe that hangs, is missing or talks nonsense."""
    tools = programs.Tools(Path("/nowhere/launch"), Path("/nowhere/pingpong"))
    cell = Cell(Workload("pair", "micro", (1,), True, "", "pair", "/bin/workload", False), 1)

    def performed(self) -> Run:
        run = new_run()
        programs.perform(run, self.cell, Commands.allocator, self.tools, 100, 20)
        return run

    def test_a_missing_launcher(self) -> None:
        run = self.performed()
        self.assertEqual(run.status, LAUNCH_FAILED)
        self.assertIn("/nowhere/launch", run.reason)

    def test_a_hanging_launcher(self) -> None:
        with mock.patch("subprocess.run", side_effect=subprocess.TimeoutExpired("launch", 30)):
            run = self.performed()
        self.assertEqual(run.status, LAUNCH_FAILED)
        self.assertIn("did not end within 10 s of the run's time-out of 20 s", run.reason)

    def test_a_failing_probe(self) -> None:
        hanging = subprocess.TimeoutExpired("pingpong", programs.PROBE_SECONDS)
        nonsense = subprocess.CompletedProcess([], 0, "nothing", "")
        for outcome in ({"side_effect": hanging}, {"return_value": nonsense}, {"side_effect": FileNotFoundError("x")}):
            with mock.patch("subprocess.run", **outcome), self.assertRaises(programs.Broken) as caught:
                programs.probe(self.tools)
            self.assertIn("/nowhere/pingpong", str(caught.exception))


class Files(unittest.TestCase):
    def results(self) -> store.Results:
        run = taken(json.dumps(RESULT))
        run.flags = ["busy"]
        workload = Workload("pair", "contention", (2,), True, "about", "pair", "/bin/workload", False)
        return store.Results({"cpu": "x"}, {}, {"baseline": "glibc"}, [Commands.allocator], [workload],
                             runs=[run, taken("", status="signal 11")], probes=[[0.1, 60.0]])

    def test_json_comes_back(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store.write(self.results(), Path(folder))
            self.assertEqual(store.read(Path(folder)), self.results())

    def test_csv_has_every_figure(self) -> None:
        rows = list(csv.DictReader(io.StringIO(store.as_csv(self.results().runs))))
        self.assertEqual(rows[0]["latency_ns.malloc.max"], "900")
        self.assertEqual(rows[0]["metrics.pinned"], "1")
        self.assertEqual(rows[0]["flags"], "busy")
        self.assertEqual((rows[1]["status"], rows[1]["ns_per_operation"]), ("signal 11", ""))

    def test_a_cut_file_is_told(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, store.JSON_NAME).write_text('{"format": 1, ')
            with self.assertRaises(store.Unreadable):
                store.read(Path(folder))
