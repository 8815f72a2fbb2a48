"""Sections of the page: one per group of workloads, the noise, and how to read it."""
from __future__ import annotations

from collections import Counter
from statistics import median

from . import page, plots
from .analysis import PERCENTILES, Analysis, Key, Measure, memory_of, settled_of, time_of
from .figures import Spread, spread
from .page import Html, factor, mebibytes, number, percent, short, tag
from .plots import Axes, Bars, Curve, Point
from .records import BUSY, NO_TIME, STOLEN, UNSETTLED, Allocator, Run
from .states import States
from .store import Results

ORDER = ("micro", "contention", "latency", "footprint", "return", "cliffs", "server", "program")
TITLES = {"micro": "Micro", "contention": "Contention", "latency": "Latency", "footprint": "Footprint",
          "return": "Memory that goes back", "cliffs": "Cliffs", "server": "Servers", "program": "Programs"}
MOST_CLUSTERS = 6               # of bars in one plot
STATE_COLOURS = ("#009e73", "#d55e00", "#0072b2", "#cc79a7", "#7f7f7f")
LIVE_COLOUR = "#999999"
# A workload's own figures of its measured part; they have columns, in place of those of the whole process.
SHOWN_ELSEWHERE = ("cpu_per_wall", "cpu_seconds", "voluntary_switches", "minor_faults")


def load(key: Key) -> str:
    name, threads = key
    return f"{name} × {threads}" if threads > 1 else name


def named(allocator: Allocator) -> Html:
    swatch = Html(f'<span class="swatch" style="background:{allocator.colour}"></span>')
    return Html(f"{swatch}{page.text(allocator.name)}")


def _metric(name: str) -> Measure:
    return lambda run: run.metrics.get(name)


def group_section(group: str, results: Results, analysis: Analysis) -> Html:
    keys = analysis.keys_of_group(group)
    base = results.baseline
    parts: list[object] = [tag("h2", TITLES.get(group, group), id=group)]
    if group == "contention":
        parts.append(page.plot_grid(_throughput_plots(keys, analysis)))
    else:
        parts.append(page.plot_grid(_ratio_plots(keys, analysis, base, time_of, "time")))
    if group in ("latency", "return"):
        parts.append(page.plot_grid(_latency_plots(keys, analysis, results)))
    if group in ("footprint", "return"):
        parts.append(page.plot_grid(_series_plots(keys, analysis)))
    settling = [key for key in keys if analysis.tells(key, settled_of)]
    if settling:
        parts.append(page.plot_grid(_ratio_plots(settling, analysis, base, settled_of, "settled memory")))
    if group in ("footprint", "return", "cliffs", "server", "program"):
        parts.append(page.plot_grid(_ratio_plots(keys, analysis, base, memory_of, "peak memory")))
    if group == "cliffs":
        parts += [tag("h3", "Time, memory, faults and mappings"), _cost_table(keys, analysis)]
    parts += [tag("h3", "Time"), _value_table(keys, analysis, base, time_of, "ns per operation")]
    if any(analysis.calls(key) for key in keys):
        parts += [tag("h3", "Latency of one call or request in ns, medians over the rounds"),
                  _latency_table(keys, analysis)]
    if settling:
        parts += [tag("h3", "Settled memory"), _settled_table(settling, analysis)]
    watched = [key for key in keys if analysis.tells(key, _kept)]
    if watched:
        parts += [tag("h3", "Memory of one thread that is quiet"), _kept_table(watched, analysis)]
    if group in ("footprint", "return"):
        parts += [tag("h3", "Resident memory by the bytes alive"), _live_table(keys, analysis)]
    memory = [tag("h3", "Peak memory"), _value_table(keys, analysis, base, memory_of, "MiB"),
              tag("h3", "Memory at the end"), _final_table(keys, analysis)]
    if group in ("micro", "contention", "latency"):
        parts.append(page.folded("Memory", *memory))
    else:
        parts += memory
    if group != "micro":
        parts.append(page.folded("Context switches, CPU time, fairness, lock waits", _detail_table(keys, analysis)))
    parts.append(page.folded("What these workloads do", _about(keys, analysis)))
    return page.join(parts)


# ---- Plots ------------------------------------------------------------------

def _names(keys: list[Key]) -> list[str]:
    return list(dict.fromkeys(name for name, _ in keys))


def _throughput_plots(keys: list[Key], analysis: Analysis) -> list[str]:
    drawn = []
    for name in _names(keys):
        threads = sorted(count for other, count in keys if other == name)
        curves = []
        for allocator in analysis.allocators:
            points = []
            for count in threads:
                found = analysis.spread((name, count), allocator.name, lambda run: run.operations_per_second)
                if found:
                    points.append(Point(count, found.median / 1e6, found.least / 1e6, found.most / 1e6))
            curves.append(Curve(allocator.name, allocator.colour, points, is_wide=allocator.is_ours))
        unit = analysis.workloads[name].unit
        axes = Axes("threads", f"throughput, million {unit}s per second", log_x=2,
                    ticks=[(str(count), count) for count in threads])
        drawn.append(plots.lines(curves, axes, f"{name}: more is better"))
    return drawn


def _ratio_plots(keys: list[Key], analysis: Analysis, base: str, measure: Measure, what: str) -> list[str]:
    """Bars of the ratios to the baseline, a few loads in each plot."""
    drawn = []
    chunks = -(-len(keys) // MOST_CLUSTERS)
    size = -(-len(keys) // chunks) if chunks else 1
    for start in range(0, len(keys), size):
        part = keys[start:start + size]
        columns = []
        for allocator in analysis.allocators:
            values = [_triple(_shown_ratio(analysis, key, allocator.name, base, measure)) for key in part]
            columns.append(Bars(allocator.name, allocator.colour, values))
        axes = Axes("load (workload × threads)", f"{what} / {base}'s", reference=1)
        drawn.append(plots.bars([load(key) for key in part], columns, axes, f"{what.capitalize()}: less is better"))
    return drawn


def _triple(found: Spread | None) -> tuple[float, float, float] | None:
    return (found.median, found.least, found.most) if found else None


def _latency_plots(keys: list[Key], analysis: Analysis, results: Results) -> list[str]:
    drawn = []
    for name in _names(keys):
        threads = _nearest([count for other, count in keys if other == name], results.machine["cpus_usable"])
        for call in analysis.calls((name, threads)):
            levels = _levels([(name, threads)], analysis)
            curves = []
            for allocator in analysis.allocators:
                found = analysis.latency((name, threads), allocator.name, call)
                points = [Point(at, found[level]) for at, level in enumerate(levels) if found.get(level)]
                curves.append(Curve(allocator.name, allocator.colour, points, is_wide=allocator.is_ours))
            axes = Axes("percentile of calls", "ns of one call (k: thousand, M: million)", log_y=10,
                        ticks=[(level, float(at)) for at, level in enumerate(levels)], format_y="%.0s%c")
            drawn.append(plots.lines(curves, axes, f"{load((name, threads))}, {call}: less is better"))
    return drawn


def _levels(keys: list[Key], analysis: Analysis) -> list[str]:
    """The percentiles that any run tells."""
    told = {level for key in keys for call in analysis.calls(key) for allocator in analysis.allocators
            for level in analysis.latency(key, allocator.name, call)}
    return [level for level in PERCENTILES if level in told]


def _nearest(counts: list[int], wanted: int) -> int:
    """The greatest that isn't above, else the least."""
    below = [count for count in counts if count <= wanted]
    return max(below) if below else min(counts)


def _series_plots(keys: list[Key], analysis: Analysis) -> list[str]:
    """Memory over time; of each allocator the run whose peak is the median."""
    drawn = []
    for key in keys:
        curves: list[Curve] = []
        live: list[Point] = []
        for allocator in analysis.allocators:
            runs = sorted((run for run in analysis.used(key, allocator.name) if run.series), key=_peak)
            if not runs:
                continue
            series = runs[len(runs) // 2].series
            curves.append(Curve(allocator.name, allocator.colour, [Point(row[0], row[1] / 2**20) for row in series],
                                is_wide=allocator.is_ours, has_marks=False))
            if len(series[0]) > 2 and not live:
                live = [Point(row[0], row[2] / 2**20) for row in series]
        if live:
            curves.append(Curve("bytes alive", LIVE_COLOUR, live, is_dashed=True, has_marks=False))
        axes = Axes("seconds since the start", "resident memory, MiB", from_zero_x=True)
        drawn.append(plots.lines(curves, axes, f"{load(key)}: less is better"))
    return drawn


def _peak(run: Run) -> int:
    return run.peak_bytes or 0


# ---- Tables -----------------------------------------------------------------

def _value_table(keys: list[Key], analysis: Analysis, base: str, measure: Measure, unit: str) -> Html:
    head = ["load", *(allocator.name for allocator in analysis.allocators)]
    rows = []
    for key in keys:
        found = {allocator.name: analysis.spread(key, allocator.name, measure) for allocator in analysis.allocators}
        medians = [value.median for value in found.values() if value]
        least = min(medians) if medians else None
        rows.append([load(key), *(_value_cell(key, name, value, least, analysis, base, measure)
                                  for name, value in found.items())])
    note = (f"Median in {unit}, half the distance from least to greatest as ± percent; below it the median ratio to "
            f"{base} with its spread. Bold: the least of the row.")
    return page.join([tag("p", note, kind="lead"), page.table(head, rows)])


def _value_cell(key: Key, name: str, value: Spread | None, least: float | None, analysis: Analysis, base: str,
                measure: Measure) -> Html:
    failed = _failure_note(key, name, analysis)
    if value is None:
        return tag("td", failed or "–")
    shown = mebibytes(value.median) if measure is memory_of else number(value.median)
    around = f"±{percent(value.half_width())}" if value.count > 1 else "(one run)"
    content: list[object] = [tag("span", f"{shown} {around}",
                                 kind="best" if value.median == least else "")]
    if name != base:
        content.append(tag("small", _ratio_note(analysis, key, name, base, measure)))
    flags = _flag_note(analysis.used(key, name))
    return tag("td", *content, *([tag("small", flags, kind="flag")] if flags else []), failed)


def _ratio_note(analysis: Analysis, key: Key, name: str, base: str, measure: Measure) -> str:
    found = analysis.ratio_spread(key, name, base, measure)
    if found:
        return f"{factor(found.median)} ({factor(found.least)}–{factor(found.most)})"
    few = analysis.ratios(key, name, base, measure)
    return f"{factor(median(few))} ({len(few)} rounds)" if few else "no comparable runs"


def _shown_ratio(analysis: Analysis, key: Key, name: str, base: str, measure: Measure) -> Spread | None:
    """With its spread; of too few rounds, their own."""
    return analysis.ratio_spread(key, name, base, measure) or spread(analysis.ratios(key, name, base, measure))


def _flag_note(runs: list[Run]) -> str:
    flags = Counter(flag for run in runs for flag in run.flags)
    return ", ".join(f"{count}/{len(runs)} {flag}" for flag, count in flags.items())


def _failure_note(key: Key, name: str, analysis: Analysis) -> Html:
    """Crashes, time-outs and skips say so in every table; rounds that there was no time for, where none was run."""
    failures = [run for run in analysis.failures(key, name)
                if run.status != NO_TIME or not analysis.used(key, name)]
    if not failures:
        return Html("")
    statuses = Counter(run.status for run in failures)
    said = ", ".join(f"{status} ({count} of {_attempts(key, name, analysis)})" for status, count in statuses.items())
    reason = next((run.reason for run in failures if run.reason), "")
    return tag("span", said, *([tag("small", reason)] if reason else []), kind="bad")


def _attempts(key: Key, name: str, analysis: Analysis) -> int:
    return len(analysis.all_runs(key, name))


def _final_table(keys: list[Key], analysis: Analysis) -> Html:
    head = ["load", *(allocator.name for allocator in analysis.allocators)]
    rows = []
    for key in keys:
        row: list[object] = [load(key)]
        for allocator in analysis.allocators:
            final = analysis.spread(key, allocator.name, lambda run: run.final_bytes)
            peak = analysis.spread(key, allocator.name, memory_of)
            share = f"{percent(final.median / peak.median)} of the peak" if final and peak and peak.median else ""
            row.append(tag("td", mebibytes(final.median if final else None), tag("small", share)))
        rows.append(row)
    note = "Median in MiB, after everything that the workload frees is freed."
    return page.join([tag("p", note, kind="lead"), page.table(head, rows)])


def _settled_table(keys: list[Key], analysis: Analysis) -> Html:
    head = ["load", *(allocator.name for allocator in analysis.allocators)]
    rows = []
    for key in keys:
        found = {allocator.name: analysis.spread(key, allocator.name, settled_of) for allocator in analysis.allocators}
        least = min((value.median for value in found.values() if value), default=None)
        rows.append([load(key), *(_settled_cell(key, name, value, least, analysis) for name, value in found.items())])
    note = ("What is resident when the freed memory had its time to go back, by the peak: median, half the distance "
            "from least to greatest as ± percent, the same in MiB; below it the median ratio to the best peer with "
            "its spread. Bold: the least of the row. Blocks that are alive still are in it.")
    return page.join([tag("p", note, kind="lead"), page.table(head, rows)])


def _settled_cell(key: Key, name: str, value: Spread | None, least: float | None, analysis: Analysis) -> Html:
    failed = _failure_note(key, name, analysis)
    if value is None:
        return tag("td", failed or "–")
    around = f"±{percent(value.half_width())}" if value.count > 1 else "(one run)"
    size = analysis.spread(key, name, lambda run: run.settled_bytes)
    best = analysis.best_peer(key, settled_of)
    ratio = "best peer" if best == name else _ratio_note(analysis, key, name, best, settled_of) if best else ""
    return tag("td", tag("span", f"{percent(value.median)} of the peak {around}",
                         kind="best" if value.median == least else ""),
               tag("small", f"{mebibytes(size.median if size else None)} MiB"), tag("small", ratio), failed)


def _in_mebibytes(measure: Measure) -> Measure:
    return lambda run: None if (value := measure(run)) is None else value / 2**20


COST_COLUMNS: dict[str, Measure] = {
    "ns per operation": time_of, "seconds": lambda run: run.seconds, "peak, MiB": _in_mebibytes(memory_of),
    "settled, MiB": _in_mebibytes(lambda run: run.settled_bytes),
    "faults": lambda run: _measured_part(run, "minor_faults"), "mappings": _metric("mappings")}


def _cost_table(keys: list[Key], analysis: Analysis) -> Html:
    """All that a load costs side by side."""
    rows = []
    for key in keys:
        for allocator in analysis.allocators:
            found = [analysis.spread(key, allocator.name, measure) for measure in COST_COLUMNS.values()]
            if any(found):
                rows.append([load(key), named(allocator), *(number(each.median if each else None) for each in found)])
    note = ("Medians. Faults are the minor ones of the measured part; mappings the lines of /proc/self/maps at the "
            "peak, the program's own and its threads' stacks among them.")
    return page.join([tag("p", note, kind="lead"), page.table(["load", "allocator", *COST_COLUMNS], rows, (1,))])


_kept = _metric("kept_bytes")
KEPT_COLUMNS: dict[str, Measure] = {
    "peak": lambda run: run.peak_bytes, "at once": _metric("at_once_bytes"),
    "settled": lambda run: run.settled_bytes, "started": _metric("started_bytes"),
    "live pages": _metric("live_page_bytes"), "kept": _kept, "of it free": _metric("kept_free_bytes")}


def _kept_table(keys: list[Key], analysis: Analysis) -> Html:
    """Of programs that were watched from outside: see bench/servers/lone.py."""
    rows = []
    for key in keys:
        for allocator in analysis.allocators:
            share = analysis.spread(key, allocator.name, _metric("kept_share"))
            if share:
                found = [analysis.spread(key, allocator.name, measure) for measure in KEPT_COLUMNS.values()]
                rows.append([load(key), named(allocator), *(mebibytes(each.median if each else None) for each in found),
                             percent(share.median)])
    note = ("Medians in MiB. At once: resident right after the last free; settled: after 2 s in which nothing was "
            "called; started: before the first malloc, the program's own; live pages: those that have a part of a "
            "live block, as large as it was asked for, the least that must stay. Kept is settled less started less "
            "live pages, and by the peak less started; of it free: without what lies behind the bytes asked for in "
            "the live blocks' size classes.")
    head = ["load", "allocator", *KEPT_COLUMNS, "kept by the peak"]
    return page.join([tag("p", note, kind="lead"), page.table(head, rows, (1,))])


def _live_table(keys: list[Key], analysis: Analysis) -> Html:
    rows = []
    for key in keys:
        row: list[object] = [load(key)]
        for allocator in analysis.allocators:
            peak, mean, held = (analysis.spread(key, allocator.name, measure)
                                for measure in (_peak_by_live, _mean_by_live, _held_by_live))
            notes = [tag("small", f"{name} {factor(found.median)}") for name, found in (("mean", mean), ("held", held))
                     if found]
            row.append(tag("td", factor(peak.median if peak else None), *notes))
        rows.append(row)
    note = ("Medians. The greatest resident size that the workload's samples saw by the greatest number of bytes "
            "alive; mean: the means of both over the run's time; held: of both at the moment that the workload is "
            "about, after its frees or its shift.")
    head = ["load", *(allocator.name for allocator in analysis.allocators)]
    return page.join([tag("p", note, kind="lead"), page.table(head, rows)])


def _peak_by_live(run: Run) -> float | None:
    live = max((row[2] for row in run.series if len(row) > 2), default=0)
    return max(row[1] for row in run.series) / live if live else None


def _mean_by_live(run: Run) -> float | None:
    return _by_live(run, "mean")


def _held_by_live(run: Run) -> float | None:
    return _by_live(run, "held")


def _by_live(run: Run, when: str) -> float | None:
    """From the workload's metrics."""
    resident, live = (run.metrics.get(f"{when}_{what}_bytes") for what in ("resident", "live"))
    return resident / live if resident and live else None


def _latency_table(keys: list[Key], analysis: Analysis) -> Html:
    levels = _levels(keys, analysis)
    rows = []
    for key in keys:
        for call in analysis.calls(key):
            for allocator in analysis.allocators:
                found = analysis.latency(key, allocator.name, call)
                if found:
                    rows.append([f"{load(key)}, {call}", named(allocator),
                                 *(short(found.get(level)) for level in levels)])
    return page.table(["load, call", "allocator", *("worst" if level == "max" else level for level in levels)], rows,
                      (1,))


def _detail_table(keys: list[Key], analysis: Analysis) -> Html:
    """A row per load and allocator, a column per figure, metrics included."""
    metrics: dict[str, None] = {}
    for key in keys:
        for allocator in analysis.allocators:
            for run in analysis.used(key, allocator.name):
                metrics.update(dict.fromkeys(run.metrics))
    for name in SHOWN_ELSEWHERE:
        metrics.pop(name, None)
    rows = [_detail_row(key, allocator, list(metrics), analysis) for key in keys for allocator in analysis.allocators
            if analysis.used(key, allocator.name)]
    head = ["load", "allocator", "voluntary switches", "per 1,000 operations", "CPU / wall", "fairness",
            "minor faults", *(name.replace("_", " ") for name in metrics)]
    note = "Medians. Fairness is Jain's index of the threads' operations: 1 if all did as much."
    return page.join([tag("p", note, kind="lead"), page.table(head, rows, (1,))])


def _detail_row(key: Key, allocator: Allocator, metrics: list[str], analysis: Analysis) -> list[object]:
    def middle(measure: Measure) -> float | None:
        found = analysis.spread(key, allocator.name, measure)
        return found.median if found else None

    def per_thousand(run: Run) -> float | None:
        switches = _measured_part(run, "voluntary_switches")
        return switches / run.operations * 1000 if switches is not None and run.operations else None

    return [load(key), named(allocator), number(middle(lambda run: _measured_part(run, "voluntary_switches"))),
            number(middle(per_thousand)), number(middle(_cpu_per_wall)), number(middle(lambda run: run.fairness)),
            number(middle(lambda run: _measured_part(run, "minor_faults"))),
            *(number(middle(_metric(name))) for name in metrics)]


def _measured_part(run: Run, name: str) -> float | None:
    """The workload's own figure, else the whole process's."""
    return run.metrics.get(name, getattr(run, name))


def _cpu_per_wall(run: Run) -> float | None:
    seconds = run.metrics.get("cpu_seconds")
    return seconds / run.seconds if seconds and run.seconds else run.metrics.get("cpu_per_wall")


def _about(keys: list[Key], analysis: Analysis) -> Html:
    rows = [[name, analysis.workloads[name].about, analysis.workloads[name].unit] for name in _names(keys)]
    return page.table(["workload", "what it does", "an operation is a"], rows, (1, 2))


# ---- Noise ------------------------------------------------------------------

def noise(results: Results, analysis: Analysis) -> Html:
    runs = results.runs
    flags = Counter(flag for run in runs if run.is_used for flag in run.flags)
    used = sum(run.is_used for run in runs)
    late = sum(run.status == NO_TIME for run in runs)
    rows = [
        ["runs", len(runs) - late],
        ["runs that count in the tables", used],
        ["not run or stopped: no time left", late],
        ["dropped and repeated: the probes before and after differed", results.repeated],
        [f"{UNSETTLED}: differed even then, not compared", flags[UNSETTLED]],
        [f"{BUSY}: other processes used more than 5 % of the CPUs", flags[BUSY]],
        [f"{STOLEN}: the hypervisor took more than 5 % of the CPUs", flags[STOLEN]],
    ]
    return page.join([
        tag("h2", "Noise", id="noise"),
        page.paragraphs("A probe before and after every run lets two CPUs write one cache line in turns for 10 ms. On "
                        "virtual machines what that costs jumps between states that last minutes, and it decides the "
                        "results of several threads; so only runs in the same state are compared."),
        page.plot_grid([_probe_plot(results)]),
        _state_table(results, analysis),
        page.table(["", "runs"], rows),
        _failures(results),
    ])


def _probe_plot(results: Results) -> str:
    states = States([ns for _, ns in results.probes])
    curves = []
    for number_, state in enumerate(states.states):
        points = [Point(seconds / 60, ns) for seconds, ns in results.probes if states.of(ns) == number_]
        curves.append(Curve(f"state {number_}: {state.least:.0f} to {state.most:.0f} ns",
                            STATE_COLOURS[number_ % len(STATE_COLOURS)], points, is_line=False))
    axes = Axes("minutes since the first run", "round trip of a cache line, ns", log_y=10, from_zero_x=True)
    return plots.lines(curves, axes, "The machine's state")


def _state_table(results: Results, analysis: Analysis) -> Html:
    states = States([ns for _, ns in results.probes])
    rows = []
    for at, state in enumerate(states.states):
        runs = sum(run.state == at for run in results.runs if run.is_used)
        rows.append([f"state {at}", number(state.least), number(state.median), number(state.most), state.count, runs])
    if not rows:
        return page.paragraphs("No probe could be made: only one CPU may be used.")
    return page.table(["", "least, ns", "median, ns", "greatest, ns", "probes", "runs in it"], rows)


def _failures(results: Results) -> Html:
    failed = Counter((run.allocator, load(run.key), run.status, run.reason) for run in results.runs
                     if not run.is_ok and run.status != NO_TIME)
    if not failed:
        return page.paragraphs("No run failed, timed out or was skipped.")
    rows = [[*what, count] for what, count in failed.items()]
    return page.join([tag("h3", "Crashes, time-outs and skips"),
                      page.table(["allocator", "load", "status", "reason", "runs"], rows, (3,))])


# ---- How to read it ---------------------------------------------------------

def how_to_read(results: Results) -> Html:
    return page.join([
        tag("h2", "How to read it", id="reading"),
        page.bullets([
            "A load is a workload with a number of threads. A round runs every load once on every allocator, one right "
            "after the other; figures are medians over the rounds, their spreads go from the least to the greatest.",
            f"A ratio is taken within a round, then its median over the rounds. {results.baseline} is the baseline: "
            "its ratio is 1. Its spread is where the median of another run would be: the half range of the rounds, or "
            "what is typical of the group of workloads if that is more, widened by how few rounds there are. Two "
            "allocators whose spreads overlap weren't told apart.",
            "Time is wall time of the measured part divided by its operations. Peak memory is the greatest resident "
            "size of the whole process; a program's own 1 to 2 MiB are in it, for all allocators alike.",
            "Settled memory is what is still resident once freed memory had its time to go back to the system, as a "
            "part of that peak. Not all loads tell it.",
            "Absolute figures of several threads are from the state of the machine that most of the load's runs were "
            "in. “No comparable runs” means that the two were never run in the same state.",
            "A benchmark isn't your program. Record and replay, or preload into your own server, before you choose.",
        ]),
    ])
