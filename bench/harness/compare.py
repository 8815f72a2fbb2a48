"""Do two results agree? Every ratio to the baseline that both have is compared: they agree if the spreads
overlap."""
from __future__ import annotations

from . import figures
from .analysis import Analysis, memory_of, settled_of, time_of
from .page import factor
from .sections import load
from .store import Results


def show(one: Results, other: Results) -> int:
    """Prints what disagrees and a summary. Returns 1 if anything does."""
    for name in ("scale", "baseline"):
        if one.settings.get(name) != other.settings.get(name):
            print(f"the {name}s differ, so ratios may, too: {one.settings.get(name)} and {other.settings.get(name)}")
    analyses = [Analysis(results.allocators, results.workloads, results.runs) for results in (one, other)]
    names = [allocator.name for allocator in one.allocators if allocator.name != one.baseline]
    agreed = disagreed = lacking = 0
    for what, measure in (("time", time_of), ("peak memory", memory_of), ("settled", settled_of)):
        for key in analyses[0].keys:
            if not any(key in analysis.keys and analysis.tells(key, measure) for analysis in analyses):
                continue
            for name in names:
                found = [analysis.ratio_spread(key, name, one.baseline, measure)
                         if key in analysis.keys else None for analysis in analyses]
                if found[0] is None or found[1] is None:
                    lacking += 1
                elif found[0].overlaps(found[1]):
                    agreed += 1
                else:
                    disagreed += 1
                    print(f"{what:12} {load(key):32} {name:16} {_shown(found[0])} and {_shown(found[1])}")
    print(f"{agreed} ratios agree within their spreads, {disagreed} don't, {lacking} can't be compared: fewer than "
          f"{figures.LEAST_ROUNDS} comparable rounds in one of the two")
    return 1 if disagreed else 0


def _shown(spread: figures.Spread) -> str:
    return f"{factor(spread.median)} ({factor(spread.least)}-{factor(spread.most)})"
