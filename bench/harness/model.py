"""What the exact counts mean on machines with more cores: a model, not a measurement.

Time of one operation with n threads on n cores:    T(n) = t1 + sum over classes of lines of  h * c * (k - 1) / k
    t1  measured CPU time of an operation with as few threads as were run (one, where the workload has it)
    h   synchronising instructions per operation on lines of the class, counted under valgrind
    k   threads that share such a line. A line that all THREADS threads of the count shared is shared by all n;
        one that fewer shared is taken to be shared by as many on any machine
    c   moving a line from one core to another: half of the probe's round trip
    (k - 1) / k  the chance that another thread wrote the line last
Throughput:     X(n) = min(n / T(n), limits)
    a line moves once in c, so the hottest line of a class, with m hits per operation, limits the throughput to
    1 / (m * c * (k - 1) / k), times n / THREADS where there are more such lines with more threads

Assumed: the program itself scales perfectly; every transfer costs the same, however far the cores are apart; a
lock is held for no longer than its line takes to move; plain stores to shared lines cost nothing; memory
bandwidth, page faults and the kernel cost nothing; the counts per operation don't grow with the threads. Each of
these makes the model kinder than a machine.
"""
from __future__ import annotations

from . import counts, page, plots
from .analysis import Analysis
from .page import Html, number, tag
from .plots import Axes, Curve, Point
from .records import Json, Run
from .sections import named
from .states import States
from .store import Results

CORES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHOWN = (16, 64, 256)
ASSUMED_TRANSFER_NS = 50.0      # where there is no probe: one CPU


def throughput(cores: int, single_ns: float, lines: list[Json], transfer_ns: float,
               counted_threads: int = counts.THREADS) -> float:
    """Operations per second. `lines` as counts.py writes them."""
    per_operation, limit = single_ns, float("inf")
    for entry in lines:
        sharers = entry["sharers"]
        if sharers >= counted_threads:
            sharers, copies = cores, 1.0
        else:
            copies = max(1.0, cores / counted_threads)
        if sharers < 2 or cores < 2:
            continue
        cost = transfer_ns * (sharers - 1) / sharers
        per_operation += entry["per_thousand"] / 1000 * cost
        if entry["hottest_per_thousand"] > 0:
            limit = min(limit, copies / (entry["hottest_per_thousand"] / 1000 * cost))
    return min(cores / per_operation, limit) * 1e9


def single_ns(name: str, allocator: str, analysis: Analysis) -> float | None:
    """CPU time of an operation in ns, with the fewest threads that were run."""
    for key in sorted(key for key in analysis.keys if key[0] == name):
        found = analysis.spread(key, allocator, _cpu_ns)
        if found:
            return found.median
    return None


def _cpu_ns(run: Run) -> float | None:
    """The workload's own figure is of the measured part only."""
    if run.threads == 1 or not run.operations:
        return run.ns_per_operation
    seconds = run.metrics.get("cpu_seconds")
    return seconds / run.operations * 1e9 if seconds else None


def transfer_ns(results: Results) -> float:
    """Half the round trip of the state that most probes saw."""
    states = States([ns for _, ns in results.probes]).states
    return max(states, key=lambda state: state.count).median / 2 if states else ASSUMED_TRANSFER_NS


# ---- The section of the page ------------------------------------------------

def section(results: Results, analysis: Analysis) -> Html:
    if not results.counts:
        return Html("")
    cost = transfer_ns(results)
    return page.join([
        tag("h2", "Exact counts, and a model of more cores", id="model"),
        page.paragraphs(f"Counted, not timed: the allocator's instructions with a lock prefix or an xchg with memory, "
                        f"per 1,000 operations of {counts.THREADS} threads under valgrind, and how many threads share "
                        f"the cache lines they hit. valgrind runs one thread at a time, so repeated attempts after a "
                        f"lost race aren't in the counts."),
        _count_table(results),
        tag("div",
            page.paragraphs("A MODEL, not a measurement. Nothing below was run on more cores than this machine has."),
            page.paragraphs(f"Every synchronising instruction on a line that k threads share waits {cost:.0f} ns (half "
                            f"the probe's round trip) with the chance (k − 1)/k that another core wrote the line "
                            f"last; a line moves once in that time, which limits the throughput. Assumed besides: the "
                            f"program itself scales perfectly (fan-in and fan-out don't: their one thread is a limit "
                            f"of its own), all cores are equally far apart, no lock is held longer than its line takes "
                            f"to move, plain stores, memory bandwidth, page faults and the kernel cost nothing. All of "
                            f"these flatter. Use it to see where a shared line becomes a wall."),
            page.plot_grid(_plots(results, analysis, cost)), _model_table(results, analysis, cost), kind="model"),
    ])


def _count_table(results: Results) -> Html:
    colours = {allocator.name: allocator for allocator in results.allocators}
    rows = []
    for row in results.counts:
        head: list[object] = [row["workload"], named(colours[row["allocator"]])]
        if "error" in row:      # what was counted before it stays
            rows.append([*head, tag("td", number(row.get("per_thousand")), tag("small", row["error"], kind="bad")),
                         *["–"] * 4, number(row.get("program_per_thousand"))])
            continue
        shared = [entry for entry in row["lines"] if entry["sharers"] > 1]
        hits = sum(entry["per_thousand"] for entry in shared)
        hottest = max((entry["hottest_per_thousand"] for entry in shared), default=0.0)
        rows.append([*head, number(row["per_thousand"]), number(row["per_thousand"] - hits), number(hits),
                     number(hottest), sum(entry["lines"] for entry in shared), number(row["program_per_thousand"])])
    return page.table(["workload", "allocator", "synchronising per 1,000 operations", "on lines of one thread",
                       "on shared lines", "on the hottest shared line", "shared lines", "the program's own"],
                      rows, (1,))


def _modelled(row: Json, analysis: Analysis, cost: float) -> list[Point]:
    """Empty if nothing was counted or measured."""
    single = single_ns(row["workload"], row["allocator"], analysis)
    if "error" in row or not single:
        return []
    return [Point(cores, throughput(cores, single, row["lines"], cost) / 1e6) for cores in CORES]


def _plots(results: Results, analysis: Analysis, cost: float) -> list[str]:
    drawn = []
    for name in dict.fromkeys(row["workload"] for row in results.counts):
        curves = []
        for allocator in results.allocators:
            rows = [row for row in results.counts if row["workload"] == name and row["allocator"] == allocator.name]
            points = _modelled(rows[0], analysis, cost) if rows else []
            curves.append(Curve(allocator.name, allocator.colour, points, is_wide=allocator.is_ours))
        axes = Axes("cores (one thread each)", "modelled throughput, million operations per second", log_x=2,
                    log_y=10, ticks=[(str(cores), float(cores)) for cores in CORES])
        drawn.append(plots.lines(curves, axes, f"MODEL: {name}"))
    return drawn


def _model_table(results: Results, analysis: Analysis, cost: float) -> Html:
    colours = {allocator.name: allocator for allocator in results.allocators}
    rows = []
    for row in results.counts:
        points = {point.x: point.y for point in _modelled(row, analysis, cost)}
        if points:
            rows.append([row["workload"], named(colours[row["allocator"]]),
                         *(f"{points[cores] / points[1]:.1f}" for cores in SHOWN)])
    return page.table(["workload", "allocator", *(f"modelled speed-up, {cores} cores" for cores in SHOWN)],
                      rows, (1,))
