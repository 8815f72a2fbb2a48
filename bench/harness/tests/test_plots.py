"""Tests of plots.py: a plot that can't be drawn says so in its place."""
import unittest
from unittest import mock

from harness import plots


class Failures(unittest.TestCase):
    def drawn(self) -> str:
        curve = plots.Curve("a", "#000000", [plots.Point(1, 2), plots.Point(2, 3)])
        return plots.lines([curve], plots.Axes("x", "y"), "title")

    def test_a_program_that_fails_or_is_missing(self) -> None:
        for program in ("false", "/nowhere/gnuplot"):
            with mock.patch.object(plots, "PROGRAM", program):
                figure = self.drawn()
            self.assertIn("could not be drawn", figure)
            self.assertIn(program, figure)

    def test_a_plot(self) -> None:
        self.assertIn("<svg", self.drawn())
