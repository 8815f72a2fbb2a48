"""From runs to the rows of tables: comparable runs, ratios and the summary.

Two runs are comparable if they are of one cell and, where the cell moves cache lines between CPUs, the
machine was in the same state for both. Ratios are taken round by round between comparable runs; a median
of ratios keeps out what the two have in common. Where no round has a comparable pair, runs of different
rounds in the same state are paired instead. A ratio above 1 means slower, or more memory.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Callable, Iterable

from . import figures
from .figures import Spread
from .records import Allocator, Cell, Run, Workload
from .states import is_near

Measure = Callable[[Run], float | None]
Key = tuple[str, int]
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def time_of(run: Run) -> float | None:
    return run.ns_per_operation


def memory_of(run: Run) -> float | None:
    return run.peak_bytes


def settled_of(run: Run) -> float | None:
    """What stays resident of the peak; only some loads tell it."""
    return run.settled_share


@dataclass(frozen=True)
class Summary:
    """One allocator against another, or against the best peer of each load, over all workloads."""
    mean: float                         # geometric, each workload weighs the same
    interval: tuple[float, float]       # 95 %, of the noise between rounds
    worst: float
    worst_key: Key
    best: float
    best_key: Key
    workloads: int
    loads: int


class Analysis:
    def __init__(self, allocators: list[Allocator], workloads: list[Workload], runs: list[Run]) -> None:
        self.allocators = allocators
        self.workloads = {workload.name: workload for workload in workloads}
        self.runs = runs
        self.keys: list[Key] = list(dict.fromkeys(run.key for run in runs))
        self._used: dict[tuple[Key, str], list[Run]] = {}
        self._all: dict[tuple[Key, str], list[Run]] = {}
        self._typicals: dict[tuple[str, str, Measure], float] = {}
        for run in runs:
            self._all.setdefault((run.key, run.allocator), []).append(run)
            if run.is_used:
                self._used.setdefault((run.key, run.allocator), []).append(run)

    def cell(self, key: Key) -> Cell:
        return Cell(self.workloads[key[0]], key[1])

    def keys_of_group(self, group: str) -> list[Key]:
        return [key for key in self.keys if self.workloads[key[0]].group == group]

    def groups(self) -> list[str]:
        return list(dict.fromkeys(self.workloads[name].group for name, _ in self.keys))

    def peers(self) -> list[Allocator]:
        return [allocator for allocator in self.allocators if not allocator.is_ours]

    def subjects(self) -> list[Allocator]:
        """Ours; without any, all."""
        return [allocator for allocator in self.allocators if allocator.is_ours] or self.allocators

    # ---- values of one cell -------------------------------------------------

    def used(self, key: Key, allocator: str) -> list[Run]:
        return self._used.get((key, allocator), [])

    def all_runs(self, key: Key, allocator: str) -> list[Run]:
        """Failed and repeated ones, too."""
        return self._all.get((key, allocator), [])

    def state_shown(self, key: Key) -> int | None:
        """The state that most of the cell's runs were in; None where the state doesn't matter."""
        if not self.cell(key).is_shared:
            return None
        states = Counter(run.state for allocator in self.allocators for run in self.used(key, allocator.name)
                         if run.state is not None)
        return min(states, key=lambda state: (-states[state], state)) if states else None

    def shown(self, key: Key, allocator: str) -> list[Run]:
        """The runs that a cell's absolute values are taken from: those in its most frequent state. An
        allocator without any in that state has all of its runs shown."""
        runs, state = self.used(key, allocator), self.state_shown(key)
        return [run for run in runs if state is None or run.state == state] or runs

    def spread(self, key: Key, allocator: str, measure: Measure) -> Spread | None:
        values = [measure(run) for run in self.shown(key, allocator)]
        return figures.spread(value for value in values if value is not None)

    def tells(self, key: Key, measure: Measure) -> bool:
        """Any allocator's runs do."""
        return any(measure(run) is not None for allocator in self.allocators
                   for run in self.used(key, allocator.name))

    def calls(self, key: Key) -> list[str]:
        """Whose latency any allocator's runs tell."""
        names: dict[str, None] = {}
        for allocator in self.allocators:
            for run in self.used(key, allocator.name):
                names.update(dict.fromkeys(run.latency_ns))
        return list(names)

    def latency(self, key: Key, allocator: str, call: str) -> dict[str, float]:
        """Each percentile's median over the rounds, of those that the runs tell."""
        runs = [run.latency_ns[call] for run in self.shown(key, allocator) if call in run.latency_ns]
        return {level: median(run[level] for run in runs if level in run)
                for level in PERCENTILES if any(level in run for run in runs)}

    def failures(self, key: Key, allocator: str) -> list[Run]:
        return [run for run in self.all_runs(key, allocator) if not run.is_ok]

    # ---- ratios -------------------------------------------------------------

    def ratios(self, key: Key, subject: str, reference: str, measure: Measure) -> list[float]:
        pairs = _pair(self.used(key, subject), self.used(key, reference), self.cell(key).is_shared)
        values = [(measure(one), measure(other)) for one, other in pairs]
        return [one / other for one, other in values if one is not None and other]

    def ratio_spread(self, key: Key, subject: str, reference: str, measure: Measure) -> Spread | None:
        """Of the median ratio: where another run's would be. A subject's ratio to itself has none."""
        if subject == reference:
            return figures.spread(self.ratios(key, subject, reference, measure))
        typical = self._typical(self.workloads[key[0]].group, reference, measure)
        return figures.ratio_spread(self.ratios(key, subject, reference, measure), typical)

    def _typical(self, group: str, reference: str, measure: Measure) -> float:
        """The median half range of the ratios of a group of workloads, in logarithms."""
        kind = (group, reference, measure)
        if kind not in self._typicals:
            found = [figures.half_range(self.ratios(key, allocator.name, reference, measure))
                     for key in self.keys_of_group(group) for allocator in self.allocators
                     if allocator.name != reference]
            self._typicals[kind] = median([half for half in found if half is not None] or [0.0])
        return self._typicals[kind]

    def best_peer(self, key: Key, measure: Measure) -> str | None:
        medians = [(found.median, peer.name) for peer in self.peers()
                   if (found := self.spread(key, peer.name, measure))]
        return min(medians)[1] if medians else None

    def ratios_to_best(self, key: Key, subject: str, measure: Measure) -> list[float]:
        best = self.best_peer(key, measure)
        return self.ratios(key, subject, best, measure) if best else []

    # ---- summary ------------------------------------------------------------

    def summary(self, subject: str, reference: str | None, measure: Measure,
                keys: Iterable[Key] | None = None) -> Summary | None:
        """reference None: the best peer of each load. None if nothing can be compared."""
        by_key: dict[Key, list[float]] = {}
        for key in self.keys if keys is None else keys:
            found = (self.ratios_to_best(key, subject, measure) if reference is None
                     else self.ratios(key, subject, reference, measure))
            if found:
                by_key[key] = found
        if not by_key:
            return None
        medians = {key: median(values) for key, values in by_key.items()}
        names = dict.fromkeys(name for name, _ in by_key)
        mean = figures.weighted_geometric_mean(
            [[value for key, value in medians.items() if key[0] == name] for name in names])
        interval = figures.bootstrap_interval(
            [[values for key, values in by_key.items() if key[0] == name] for name in names])
        if mean is None or interval is None:
            return None
        worst, best = max(medians, key=medians.__getitem__), min(medians, key=medians.__getitem__)
        return Summary(mean, interval, medians[worst], worst, medians[best], best, len(names), len(by_key))


def _pair(ones: list[Run], others: list[Run], is_shared: bool) -> list[tuple[Run, Run]]:
    """Comparable runs, of the same round if there are any."""
    by_round = {run.round: run for run in others}
    same_round = [(one, by_round[one.round]) for one in ones
                  if one.round in by_round and (not is_shared or is_comparable(one, by_round[one.round]))]
    if same_round or not is_shared:
        return same_round
    left, pairs = list(others), []
    for one in ones:
        partner = next((other for other in left if is_comparable(one, other)), None)
        if partner:
            left.remove(partner)
            pairs.append((one, partner))
    return pairs


def is_comparable(one: Run, other: Run) -> bool:
    """In the same state of the machine. Without probes (one CPU) there is only one."""
    if one.probe_before_ns is None and other.probe_before_ns is None:
        return True
    return one.state is not None and one.state == other.state and is_near(_probe(one), _probe(other))


def _probe(run: Run) -> float:
    """The mean of the probes around a run that has a state, so both are there."""
    return ((run.probe_before_ns or 0.0) + (run.probe_after_ns or 0.0)) / 2
