"""Tests of figures.py and states.py."""
import unittest

from harness import figures
from harness.states import States, is_near


class Spreads(unittest.TestCase):
    def test_of_nothing(self) -> None:
        self.assertIsNone(figures.spread([]))

    def test_of_three(self) -> None:
        found = figures.spread([3.0, 1.0, 2.0])
        assert found
        self.assertEqual((found.median, found.least, found.most, found.count), (2.0, 1.0, 3.0, 3))
        self.assertEqual(found.half_width(), 0.5)

    def test_overlap(self) -> None:
        low, high, far = (figures.spread(values) for values in ([1.0, 2.0], [2.0, 3.0], [2.1, 3.0]))
        assert low and high and far
        self.assertTrue(low.overlaps(high))
        self.assertFalse(low.overlaps(far))

    def test_of_a_ratio(self) -> None:
        found = figures.ratio_spread([1.0, 1.1, 1.21, 1.1, 1.1], typical=0.0)
        assert found
        self.assertEqual((found.median, found.count), (1.1, 5))
        self.assertAlmostEqual(found.most, 1.1 * 1.1 ** 1.5)
        self.assertAlmostEqual(found.least, 1.1 / 1.1 ** 1.5)

    def test_rounds_that_lie_close_by_chance_are_as_wide_as_is_typical(self) -> None:
        close, wide = (figures.ratio_spread([2.0, 2.0, 2.0], typical) for typical in (0.0, 0.1))
        assert close and wide
        self.assertGreater(close.most, 2.0)
        self.assertGreater(wide.most, close.most)

    def test_a_ratio_of_nothing(self) -> None:
        self.assertIsNone(figures.ratio_spread([], typical=0.1))
        self.assertIsNone(figures.ratio_spread([1.0, 1.1], typical=0.1))

    def test_more_rounds_are_widened_less(self) -> None:
        widths = [figures.widening(rounds) for rounds in range(3, 12)]
        self.assertEqual(widths, sorted(widths, reverse=True))


class Means(unittest.TestCase):
    def test_geometric(self) -> None:
        self.assertAlmostEqual(figures.geometric_mean([0.5, 2.0]) or 0, 1.0)
        self.assertIsNone(figures.geometric_mean([]))
        self.assertIsNone(figures.geometric_mean([1.0, 0.0]))

    def test_groups_weigh_the_same(self) -> None:
        self.assertAlmostEqual(figures.weighted_geometric_mean([[4.0, 4.0, 4.0], [1.0]]) or 0, 2.0)

    def test_bootstrap_holds_the_mean(self) -> None:
        low, high = figures.bootstrap_interval([[[0.9, 1.0, 1.1], [2.0, 2.1, 1.9]]]) or (0, 0)
        self.assertLess(low, 2 ** 0.5)
        self.assertGreater(high, 2 ** 0.5)
        self.assertLess(high - low, 0.4)

    def test_bootstrap_of_equal_values_is_a_point(self) -> None:
        low, high = figures.bootstrap_interval([[[1.5, 1.5, 1.5]]]) or (0, 0)
        self.assertAlmostEqual(low, 1.5)
        self.assertAlmostEqual(high, 1.5)

    def test_same_figures_same_interval(self) -> None:
        cells = [[[1.0, 1.2, 1.4]], [[0.8, 0.9, 1.3]]]
        self.assertEqual(figures.bootstrap_interval(cells), figures.bootstrap_interval(cells))

    def test_fairness(self) -> None:
        self.assertEqual(figures.fairness([5, 5, 5]), 1.0)
        self.assertEqual(figures.fairness([9, 0, 0]), 1 / 3)
        self.assertIsNone(figures.fairness([]))


class Clusters(unittest.TestCase):
    def test_two_states(self) -> None:
        states = States([52, 70, 61, 280, 330, 55, 301])
        self.assertEqual([(state.least, state.most, state.count) for state in states.states],
                         [(52, 70, 4), (280, 330, 3)])
        self.assertEqual([states.of(ns) for ns in (40, 60, 75, 250, 300, 900)], [0, 0, 0, 1, 1, 1])

    def test_one_state_if_values_follow_closely(self) -> None:
        self.assertEqual(len(States([50, 60, 90, 120, 200, 300]).states), 1)

    def test_none_without_probes(self) -> None:
        self.assertIsNone(States([]).of(60))

    def test_brackets(self) -> None:
        states = States([52, 70, 61, 280, 330])
        self.assertEqual(states.of_bracket(55, 65), 0)
        self.assertEqual(states.of_bracket(290, 300), 1)
        self.assertIsNone(states.of_bracket(55, 300))
        self.assertIsNone(states.of_bracket(55, None))

    def test_brackets_in_a_chain_must_be_near(self) -> None:
        states = States([50, 90, 160, 300])
        self.assertEqual(len(states.states), 1)
        self.assertIsNone(states.of_bracket(50, 160))
        self.assertTrue(is_near(50, 100))
        self.assertFalse(is_near(50, 101))
