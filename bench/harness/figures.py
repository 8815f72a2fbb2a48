"""Medians, spreads and ratios: arithmetic without any knowledge of runs.

The spread of values is the least and the greatest seen: with the three to seven rounds of a run, quartiles
would be no more than a guess. A median ratio's spread has to say where another run's median may be, and a few rounds
that happen to lie close together say too little of that. So it takes the half range of the ratio's own rounds or what
is typical of its kind, whichever is greater, and widens it until two runs' spreads would miss each other by chance
less than once in 10,000 times, were the noise normal. A confidence interval of a mean is a percentile bootstrap with a
fixed seed, so that the same figures always give the same report.
"""
from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import median
from typing import Iterable, Sequence

BOOTSTRAP_DRAWS = 400
BOOTSTRAP_SEED = 1
LEAST_HALF_RANGE = 0.005        # half a percent: below it, where code and pages happen to lie decides
LEAST_ROUNDS = 3
# For 3, 4, 5, ... rounds: 2.25 sd(difference of medians) / E(half range), both of normal values.
WIDENINGS = (2.5, 1.8, 1.5, 1.25, 1.1, 1.0)


@dataclass(frozen=True)
class Spread:
    """Several values of one thing. An empty one doesn't exist: see spread()."""
    median: float
    least: float
    most: float
    count: int

    def overlaps(self, other: Spread) -> bool:
        return self.least <= other.most and other.least <= self.most

    def half_width(self) -> float:
        """As a fraction of the median."""
        return (self.most - self.least) / 2 / self.median if self.median else 0.0


def spread(values: Iterable[float]) -> Spread | None:
    """None if there are no values."""
    known = sorted(values)
    if not known:
        return None
    return Spread(median(known), known[0], known[-1], len(known))


def half_range(ratios: Sequence[float]) -> float | None:
    """Half the distance from least to greatest in natural logarithms; None with fewer than two."""
    if len(ratios) < 2 or min(ratios) <= 0:
        return None
    return math.log(max(ratios) / min(ratios)) / 2


def ratio_spread(ratios: Sequence[float], typical: float) -> Spread | None:
    """Of the median of ratios; typical is the half range usual for their kind. None with fewer than LEAST_ROUNDS, which
    say nothing of where another run's would be."""
    known = sorted(ratio for ratio in ratios if ratio > 0)
    if len(known) < LEAST_ROUNDS:
        return None
    wide = math.exp(widening(len(known)) * max(half_range(known) or 0.0, typical, LEAST_HALF_RANGE))
    middle = median(known)
    return Spread(middle, middle / wide, middle * wide, len(known))


def widening(rounds: int) -> float:
    """By which a half range is multiplied: twice it is then four and a half standard deviations of the difference of
    two medians of so many normal values."""
    return WIDENINGS[min(rounds - LEAST_ROUNDS, len(WIDENINGS) - 1)]


def geometric_mean(values: Sequence[float]) -> float | None:
    """None without values, or if one isn't positive."""
    if not values or min(values) <= 0:
        return None
    return math.exp(sum(map(math.log, values)) / len(values))


def weighted_geometric_mean(groups: Sequence[Sequence[float]]) -> float | None:
    """Of the groups' geometric means: each group weighs the same, however many values it has."""
    means = [geometric_mean(group) for group in groups if group]
    known = [mean for mean in means if mean is not None]
    return geometric_mean(known) if len(known) == len(means) else None


def bootstrap_interval(groups: Sequence[Sequence[Sequence[float]]]) -> tuple[float, float] | None:
    """95 % interval of weighted_geometric_mean() of the medians. A group has cells, a cell the ratios of
    its rounds, which are drawn again with replacement. It knows the noise between rounds, nothing else."""
    usable = [group for group in groups if group and all(cell and min(cell) > 0 for cell in group)]
    if not usable:
        return None
    draw = random.Random(BOOTSTRAP_SEED)

    def drawn(group: Sequence[Sequence[float]]) -> float:
        return sum(math.log(median(draw.choices(cell, k=len(cell)))) for cell in group) / len(group)

    means = sorted(math.exp(sum(map(drawn, usable)) / len(usable)) for _ in range(BOOTSTRAP_DRAWS))
    edge = round(0.025 * BOOTSTRAP_DRAWS)
    return means[edge], means[-edge - 1]


def fairness(operations: Sequence[float]) -> float | None:
    """Jain's index: 1 if all threads did as much, 1/n if one of n did all."""
    squares = sum(value * value for value in operations)
    if not squares:
        return None
    return sum(operations) ** 2 / (len(operations) * squares)
