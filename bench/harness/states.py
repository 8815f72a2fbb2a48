"""Sorts the probe's round trips into states of the machine.

A virtual machine's cost of moving a cache line between two CPUs jumps between a few levels and stays
there for minutes. The levels aren't known beforehand: the round trips are sorted, and where one is more
than GAP times the one before it a new state begins. Nothing is cut where values follow closely, so
besides its state a pair of probes must be within GAP of each other to count as the same.
"""
from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from statistics import median
from typing import Sequence

GAP = 2.0


@dataclass(frozen=True)
class State:
    least: float        # ns of a round trip
    median: float
    most: float
    count: int


class States:
    """The states of a list of round trips, numbered from 0, the quickest first."""

    def __init__(self, round_trips: Sequence[float]) -> None:
        groups: list[list[float]] = []
        for value in sorted(value for value in round_trips if value > 0):
            if groups and value <= groups[-1][-1] * GAP:
                groups[-1].append(value)
            else:
                groups.append([value])
        self.states = [State(group[0], median(group), group[-1], len(group)) for group in groups]

    def of(self, round_trip: float) -> int | None:
        """The state whose range is nearest; None if there are none at all."""
        if not self.states:
            return None
        at = bisect_right([state.least for state in self.states], round_trip) - 1
        if at < 0:
            return 0
        above = at + 1
        if above < len(self.states) and round_trip > self.states[at].most:
            if self.states[above].least / round_trip < round_trip / self.states[at].most:
                return above
        return at

    def of_bracket(self, before: float | None, after: float | None) -> int | None:
        """The state of a run, by the probes before and after it; None if they differ, or if either is
        missing."""
        if before is None or after is None or not is_near(before, after):
            return None
        state = self.of(before)
        return state if state == self.of(after) else None


def is_near(one: float, other: float) -> bool:
    return max(one, other) <= GAP * min(one, other)
