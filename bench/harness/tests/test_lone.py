"""Tests of the runner that watches programs of one thread: its arithmetic, and what it makes of a program that fails."""
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

SERVERS = Path(__file__).resolve().parent.parent.parent / "servers"
sys.path.insert(0, str(SERVERS))
import common  # noqa: E402
import lone  # noqa: E402
sys.path.remove(str(SERVERS))

TOLD = {"operations": 10, "nanoseconds": 5_000_000, "live_bytes": 30, "live_page_bytes": 100, "own_page_bytes": 120}
GOOD = """
for word in ready peak freed; do echo $word; read answer || exit 1; done
echo 'quiet {"operations": 10, "nanoseconds": 5, "live_bytes": 0, "live_page_bytes": 0, "own_page_bytes": 0}'
read answer || :
"""


class Arithmetic(unittest.TestCase):
    def test_kept_is_beyond_what_must_stay(self) -> None:
        found = lone.result_of(started=50, peak=1050, at_once=400, settled=230, told=TOLD)
        self.assertEqual((found["kept_at_once_bytes"], found["kept_bytes"], found["kept_free_bytes"]), (250, 80, 60))
        self.assertEqual(found["kept_share"], 0.08)
        self.assertEqual((found["operations"], found["seconds"]), (10, 0.005))


class Watching(unittest.TestCase):
    def run_script(self, text: str) -> common.Result:
        """With a shell's script in place of the program."""
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "lone")
            script.write_text("#!/bin/sh\n" + text)
            script.chmod(0o755)
            setup = common.Setup("lone-all", "", {}, 1.0, 1)
            with mock.patch.object(lone, "built", return_value=str(script)), \
                    mock.patch.object(lone, "effective_preload", return_value=""), \
                    mock.patch.object(lone, "IDLE_SECONDS", 0.01):
                return lone.run_lone(setup)

    def test_its_words_in_order(self) -> None:
        found = self.run_script(GOOD)
        self.assertEqual(found["operations"], 10)
        self.assertEqual(found["metrics"]["process_threads"], 1)
        self.assertGreaterEqual(found["peak_bytes"], found["settled_bytes"])
        self.assertGreater(found["metrics"]["started_bytes"], 0)
        self.assertNotIn("peak_bytes", found["metrics"])

    def test_one_that_ends_early_has_failed(self) -> None:
        with self.assertRaisesRegex(common.Failed, 'said "" instead of "peak".*(signal 9|exit 4).*no luck'):
            self.run_script("echo ready; read answer; echo no luck >&2; exit 4")

    def test_one_that_ends_badly_has_failed(self) -> None:
        with self.assertRaisesRegex(common.Failed, "ended badly: exit 3"):
            self.run_script(GOOD + "exit 3")

    def test_workers_that_need_too_much_are_skipped(self) -> None:
        with self.assertRaisesRegex(common.Skipped, "a smaller --scale has fewer workers"):
            lone.run_prefork(common.Setup("prefork", "", {}, 1e6, 1))


if __name__ == "__main__":
    unittest.main()
