"""The HTML page: summary, then a section per group of workloads, the model, the noise, how to read it."""
from __future__ import annotations

from pathlib import Path

from . import model, page, plots, sections, store
from .analysis import Analysis, memory_of, settled_of, time_of
from .page import Html, factor, tag
from .records import Json
from .store import Results


def write(results: Results, folder: Path) -> Path:
    name = folder / store.REPORT_NAME
    store.replace(name, page.document("tidepool bench", body(results)))
    return name


def body(results: Results) -> Html:
    analysis = Analysis(results.allocators, results.workloads, results.runs)
    groups = [group for group in sections.ORDER if group in analysis.groups()]
    groups += [group for group in analysis.groups() if group not in sections.ORDER]
    parts = [_opening(results, groups), _summary(results, analysis)]
    parts += [sections.group_section(group, results, analysis) for group in groups]
    parts += [model.section(results, analysis), sections.noise(results, analysis), sections.how_to_read(results),
              _machine(results)]
    return page.join(part for part in parts if part)


def _opening(results: Results, groups: list[str]) -> Html:
    settings = results.settings
    links = [("summary", "Summary"), *((group, sections.TITLES.get(group, group)) for group in groups),
             *([("model", "Model")] if results.counts else []), ("noise", "Noise"), ("reading", "How to read it"),
             ("machine", "Machine and versions")]
    return page.join([
        tag("h1", "Memory allocators, side by side"),
        tag("p", f"{len({run.key for run in results.runs})} loads, {len(results.allocators)} allocators, "
            f"{_rounds(settings)} at scale {settings['scale']:g} %, on "
            f"{results.machine['cpu']} with {results.machine['cpus_usable']} CPUs, {settings['when']}.", kind="lead"),
        tag("nav", *(tag("a", title, href=f"#{name}") for name, title in links)),
        _warnings(results),
    ])


def _rounds(settings: Json) -> str:
    least, most = settings["rounds_least"], settings["rounds_most"]
    return f"{most} rounds" if least == most else f"{least} to {most} rounds"


def _warnings(results: Results) -> Html:
    """What a reader must know before any figure."""
    items: list[object] = [f"Not here: {reason}" for reason in results.missing]
    items += [f"Left out: {reason}" for reason in results.left_out]
    if results.settings["rounds_least"] < 3:
        items.append("With fewer than three rounds of a load its median and spread say little.")
    if not items:
        return Html("")
    shown = page.bullets(items[:6])
    more = page.folded(f"and {len(items) - 6} more", page.bullets(items[6:])) if len(items) > 6 else ""
    return tag("div", tag("h3", "What this report doesn't have"), shown, more)


# ---- Summary ----------------------------------------------------------------

def _summary(results: Results, analysis: Analysis) -> Html:
    return page.join([
        tag("h2", "Summary", id="summary"),
        page.paragraphs("Geometric means over all workloads, each workload with the same weight whatever its number of "
                        "thread counts. Below 1 is quicker, or smaller. In brackets: the interval in which the mean "
                        "lies with 95 % by the noise between rounds."),
        tag("h3", "Each allocator against the best peer of each load"),
        page.paragraphs("The best peer is chosen anew for each load, separately for time and for memory, from all "
                        "allocators but tidepool. Nobody can be the best everywhere, so a peer's own figure is 1 or "
                        "more. Settled memory, where loads tell it, is what stays resident of the peak when the "
                        "freed memory had its time to go back."),
        _against_best(analysis),
        page.plot_grid([_map(analysis)]),
        *(_against_peers(subject.name, analysis) for subject in analysis.subjects()[:2]),
    ])


def _against_best(analysis: Analysis) -> Html:
    measures = {"time": time_of, "peak memory": memory_of}
    if any(analysis.tells(key, settled_of) for key in analysis.keys):
        measures["settled memory"] = settled_of
    rows = []
    for allocator in analysis.allocators:
        row: list[object] = [sections.named(allocator)]
        for measure in measures.values():
            found = analysis.summary(allocator.name, None, measure)
            if found:
                row += [tag("td", factor(found.mean), tag("small", _interval(found.interval))),
                        tag("td", factor(found.worst), tag("small", sections.load(found.worst_key)))]
            else:
                row += ["–", "–"]
        found = analysis.summary(allocator.name, None, time_of)
        rows.append([*row, found.loads if found else 0])
    head = [name for what in measures for name in (what, f"worst load, {what}")]
    return page.table(["allocator", *head, "loads"], rows)


def _against_peers(subject: str, analysis: Analysis) -> Html:
    rows = []
    for allocator in analysis.allocators:
        if allocator.name == subject:
            continue
        time, memory = (analysis.summary(subject, allocator.name, measure) for measure in (time_of, memory_of))
        if not time:
            continue
        row: list[object] = [Html(f"{page.text(subject)} / {sections.named(allocator)}")]
        for found in (time, memory):
            if found is None:
                row += ["–"] * 3
                continue
            row.append(tag("td", factor(found.mean), tag("small", _interval(found.interval))))
            for value, key in ((found.worst, found.worst_key), (found.best, found.best_key)):
                row.append(tag("td", factor(value), tag("small", sections.load(key))))
        rows.append([*row, time.loads])
    if not rows:
        return Html("")
    head = ["", "time", "worst load", "best load", "peak memory", "worst load", "best load", "loads"]
    return page.join([tag("h3", f"{subject} against each other allocator"), page.table(head, rows)])


def _map(analysis: Analysis) -> str:
    points = []
    for allocator in analysis.allocators:
        time, memory = (analysis.summary(allocator.name, None, measure) for measure in (time_of, memory_of))
        if time and memory:
            points.append((allocator.name, allocator.colour, time.mean, memory.mean))
    axes = plots.Axes("time / best peer's (geometric mean; less is better)",
                      "peak memory / best peer's", reference=1, reference_x=1, from_zero=False)
    return plots.points_with_names(points, axes, "Time and memory against the best peer of each load")


def _interval(interval: tuple[float, float]) -> str:
    return f"[{factor(interval[0])} … {factor(interval[1])}]"


# ---- The end ----------------------------------------------------------------

def _machine(results: Results) -> Html:
    rows = [[name.replace("_", " "), _shown(name, value)] for name, value in results.machine.items()]
    versions = [[sections.named(allocator), allocator.version, allocator.source] for allocator in results.allocators]
    tools = [[name, version, ""] for name, version in results.versions.items()]
    settings = [[name.replace("_", " "), str(value)] for name, value in results.settings.items()]
    return page.join([
        tag("h2", "Machine and versions", id="machine"),
        page.table(["machine", ""], rows, (1,)),
        page.table(["allocator or tool", "version", "from"], versions + tools, (1, 2)),
        page.table(["setting", ""], settings, (1,)),
    ])


def _shown(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value:,} ({value / 2**30:.1f} GiB)".replace(",", "\u2009") if value > 2**30 else str(value)
    return f"{value:.2f}" if isinstance(value, float) else str(value)
