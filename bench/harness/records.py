"""What the results consist of: allocators, cells of the matrix and runs.

Every record turns into a plain dictionary for results.json and back. A run's row in raw.csv has the
same names; nested ones are joined by dots (latency_ns.malloc.p99).
"""
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# Statuses besides "ok" and launch's "exit N", "signal N" and "timeout".
SKIPPED = "skipped"             # the workload said so
NO_RESULT = "no result"         # ended well but printed no result, or one without its figures
NO_TIME = "no time left"        # the time budget was spent: not run, or stopped
LAUNCH_FAILED = "launch failed"  # launch didn't tell what the program took
PROBE_FAILED = "probe failed"   # the machine's state isn't known
NOT_PRELOADED = "not preloaded"  # ld.so ignored the library: another malloc would be measured

# Flags of a run that is kept.
BUSY = "busy"                   # other processes used CPU time
STOLEN = "stolen"               # the hypervisor gave CPU time to others
UNSETTLED = "unsettled"         # the probes before and after it disagree, even when repeated


@dataclass(frozen=True)
class Allocator:
    name: str
    path: str                   # what is preloaded; "": nothing, the C library's own malloc
    env: dict[str, str]
    version: str
    source: str                 # Debian package, or where it was found
    colour: str
    is_ours: bool = False

    def to_json(self) -> Json:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Workload:
    name: str
    group: str
    threads: tuple[int, ...]
    is_quick: bool
    about: str
    unit: str
    program: str                # path of what runs it
    is_runner: bool             # preloads by itself and is given --preload

    def to_json(self) -> Json:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Cell:
    """A workload with a number of threads: what allocators are compared on."""
    workload: Workload
    threads: int

    @property
    def key(self) -> tuple[str, int]:
        return self.workload.name, self.threads

    @property
    def is_shared(self) -> bool:
        """Moves cache lines between CPUs, so that the machine's state decides."""
        return self.threads > 1 or self.workload.group == "server"


@dataclass
class Run:
    workload: str
    group: str
    threads: int
    allocator: str
    round: int
    attempt: int
    status: str = NO_RESULT
    reason: str = ""
    is_used: bool = False       # counts in tables and ratios
    flags: list[str] = field(default_factory=list)
    started: float = 0.0        # seconds since the first run
    probe_before_ns: float | None = None
    probe_after_ns: float | None = None
    state: int | None = None
    other_cpu_share: float | None = None
    stolen_share: float | None = None
    operations: float | None = None
    seconds: float | None = None
    ns_per_operation: float | None = None
    operations_per_second: float | None = None
    peak_bytes: int | None = None
    final_bytes: int | None = None
    settled_bytes: int | None = None    # resident when what was freed had its time to go back
    settled_share: float | None = None  # ... by the peak
    wall_seconds: float | None = None
    user_seconds: float | None = None
    system_seconds: float | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    fairness: float | None = None
    thread_operations: list[float] = field(default_factory=list)
    latency_ns: dict[str, dict[str, float]] = field(default_factory=dict)
    series: list[list[float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        return self.workload, self.threads

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"

    def to_json(self) -> Json:
        return dataclasses.asdict(self)


def run_from_json(data: Json) -> Run:
    return Run(**data)


def workload_from_json(data: Json) -> Workload:
    return Workload(**dict(data, threads=tuple(data["threads"])))


def allocator_from_json(data: Json) -> Allocator:
    return Allocator(**data)


def flatten(run: Run) -> dict[str, Any]:
    """A run as one row: nested names joined by dots, lists as JSON, without the series."""
    row: dict[str, Any] = {}
    for name, value in run.to_json().items():
        if name == "series":
            row["series_points"] = len(value)
        elif name == "flags":
            row[name] = " ".join(value)
        elif isinstance(value, dict):
            row.update(_flat(name, value))
        else:
            row[name] = json.dumps(value) if isinstance(value, list) else value
    return row


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    row: dict[str, Any] = {}
    for name, inner in value.items():
        row.update(_flat(f"{prefix}.{name}", inner))
    return row
