"""Tests of allocators.py: what --allocator NAME=LIBRARY[,VARIABLE=VALUE]... makes."""
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import allocators
from harness.allocators import Unusable, from_option
from harness.records import Allocator

KNOWN = [Allocator("ours", "/o.so", {"A": "1", "B": "2"}, "0.1", "this build", "#000000", is_ours=True)]


def asked(stderr: str = "") -> mock.Mock:
    return mock.Mock(return_value=subprocess.CompletedProcess([], 0, "", stderr))


class Options(unittest.TestCase):
    def test_one_of_the_table_with_other_settings(self) -> None:
        with mock.patch.object(allocators, "_ask", asked()):
            made = from_option("quiet=ours,B=3,C=x=y", 0, KNOWN)
        self.assertEqual((made.name, made.path, made.version, made.is_ours), ("quiet", "/o.so", "0.1", True))
        self.assertEqual(made.env, {"A": "1", "B": "3", "C": "x=y"})
        self.assertEqual(made.source, "this build B=3 C=x=y")
        self.assertEqual(KNOWN[0].env, {"A": "1", "B": "2"})

    def test_a_library_with_settings(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(allocators, "_ask", asked()):
            library = Path(folder, "lib.so")
            library.touch()
            made = from_option(f"mine={library},X=1", 1, KNOWN)
            self.assertEqual((made.path, made.env, made.is_ours), (str(library.resolve()), {"X": "1"}, False))
            odd = Path(folder, "a,b.so")
            odd.touch()
            self.assertEqual(from_option(f"odd={odd}", 1, KNOWN).env, {})

    def test_what_is_refused(self) -> None:
        with mock.patch.object(allocators, "_ask", asked()):
            for option, said in (("x=nothing", "not \"x=nothing\""), ("x y=ours", "not \"x y=ours\""),
                                 ("x=ours,B", '"B" isn\'t VARIABLE=VALUE'), ("x=ours,2=3", '"2=3" isn\'t')):
                with self.assertRaises(Unusable) as caught:
                    from_option(option, 0, KNOWN)
                self.assertIn(said, str(caught.exception))

    def test_a_setting_that_the_library_does_not_know(self) -> None:
        said = "tidepool: setting TIDEPOOL_ORDER=x is unknown and ignored; TIDEPOOL_HELP=1 lists the settings\n"
        with mock.patch.object(allocators, "_ask", asked(said)), self.assertRaises(Unusable) as caught:
            from_option("x=ours,TIDEPOOL_ORDER=x", 0, KNOWN)
        self.assertIn("setting TIDEPOOL_ORDER=x is unknown", str(caught.exception))
