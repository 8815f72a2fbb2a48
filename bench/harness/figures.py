"""Medians, spreads and ratios: arithmetic without any knowledge of runs.

A spread is the least and the greatest value seen: with the three to seven rounds of a run, quartiles
would be no more than a guess. A confidence interval is a percentile bootstrap with a fixed seed, so
that the same figures always give the same report.
"""
from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import median
from typing import Iterable, Sequence

BOOTSTRAP_DRAWS = 400
BOOTSTRAP_SEED = 1


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
