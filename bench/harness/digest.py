"""What the page's tables show, for results.json: medians, spreads, ratios and the summary.

    loads       a row for each load and allocator:  "figures" {name: spread}, "latency_ns" {call: {level: median}},
                "ratios" to the baseline {"time", "peak_memory", "settled"}: {"median", "rounds", and with enough rounds
                "least", "most": where the median of another run would be}
    summary     a row for each allocator and each it is compared with; "best peer": of each load
A spread is {"median", "least", "most", "runs"}. Nothing reads it back: the page is made from the runs.
"""
from __future__ import annotations

import dataclasses
from operator import attrgetter
from statistics import median

from .analysis import Analysis, Key, Measure, memory_of, settled_of, time_of
from .records import Json

FIGURES = ("ns_per_operation", "operations_per_second", "peak_bytes", "final_bytes", "settled_bytes", "settled_share",
           "fairness", "voluntary_switches", "minor_faults")
MEASURES: dict[str, Measure] = {"time": time_of, "peak_memory": memory_of, "settled": settled_of}
BEST_PEER = "best peer"


def digest(analysis: Analysis, baseline: str) -> Json:
    return {"loads": [_row(key, allocator.name, baseline, analysis) for key in analysis.keys
                      for allocator in analysis.allocators if analysis.used(key, allocator.name)],
            "summary": _summary(analysis)}


def _row(key: Key, allocator: str, baseline: str, analysis: Analysis) -> Json:
    measures: dict[str, Measure] = {name: attrgetter(name) for name in FIGURES}
    measures |= {f"metrics.{name}": _metric(name)
                 for name in dict.fromkeys(name for run in analysis.used(key, allocator) for name in run.metrics)}
    figures = {name: {"median": found.median, "least": found.least, "most": found.most, "runs": found.count}
               for name, measure in measures.items() if (found := analysis.spread(key, allocator, measure))}
    latency = {call: analysis.latency(key, allocator, call) for call in analysis.calls(key)}
    ratios = {what: ratio for what, measure in MEASURES.items()
              if (ratio := _ratio(key, allocator, baseline, measure, analysis))}
    return {"workload": key[0], "threads": key[1], "allocator": allocator, "state": analysis.state_shown(key),
            "figures": figures, "latency_ns": latency, "ratios": ratios}


def _metric(name: str) -> Measure:
    return lambda run: run.metrics.get(name)


def _ratio(key: Key, allocator: str, baseline: str, measure: Measure, analysis: Analysis) -> Json | None:
    values = analysis.ratios(key, allocator, baseline, measure)
    if not values:
        return None
    spread = analysis.ratio_spread(key, allocator, baseline, measure)
    return {"median": median(values), "rounds": len(values),
            **({"least": spread.least, "most": spread.most} if spread else {})}


def _summary(analysis: Analysis) -> list[Json]:
    rows = []
    for subject in analysis.allocators:
        for other in [None, *(each.name for each in analysis.allocators if each.name != subject.name)]:
            found = {what: dataclasses.asdict(summary) for what, measure in MEASURES.items()
                     if (summary := analysis.summary(subject.name, other, measure))}
            if found:
                rows.append({"allocator": subject.name, "against": other or BEST_PEER, **found})
    return rows
