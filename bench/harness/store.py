"""The files of bench-results/: raw.csv, results.json and report.html.

results.json has everything and is enough to write the report again; what the page's tables show is in it, too. A file
is written beside its name and then renamed, so a reader never sees half of one.
"""
from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from .analysis import Analysis
from .digest import digest
from .records import (Allocator, Json, Run, Workload, allocator_from_json, flatten, run_from_json,
                      workload_from_json)

FORMAT = 1
JSON_NAME, CSV_NAME, REPORT_NAME = "results.json", "raw.csv", "report.html"


class Unreadable(Exception):
    """The text says which file and why."""


@dataclass
class Results:
    """Everything that one call of bench found out."""
    machine: Json
    versions: dict[str, str]            # of tools
    settings: Json                      # rounds, scale, baseline, command line, when
    allocators: list[Allocator]
    workloads: list[Workload]
    missing: list[str] = field(default_factory=list)    # allocators and programs that aren't here
    left_out: list[str] = field(default_factory=list)   # what there was no time for
    runs: list[Run] = field(default_factory=list)
    probes: list[list[float]] = field(default_factory=list)
    repeated: int = 0
    counts: list[Json] = field(default_factory=list)    # see counts.py

    @property
    def baseline(self) -> str:
        return str(self.settings["baseline"])


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "format": FORMAT,
        "machine": results.machine,
        "versions": results.versions,
        "settings": results.settings,
        "allocators": [allocator.to_json() for allocator in results.allocators],
        "workloads": [workload.to_json() for workload in results.workloads],
        "missing": results.missing,
        "left_out": results.left_out,
        "repeated": results.repeated,
        "probes": results.probes,
        "counts": results.counts,
        "runs": [run.to_json() for run in results.runs],
        "digest": digest(Analysis(results.allocators, results.workloads, results.runs), results.baseline),
    }
    replace(folder / JSON_NAME, json.dumps(data, indent=1) + "\n")
    replace(folder / CSV_NAME, as_csv(results.runs))


def read(folder: Path) -> Results:
    name = folder / JSON_NAME
    try:
        data = json.loads(name.read_text())
        if data["format"] != FORMAT:
            raise Unreadable(f"{name} has format {data['format']}; this bench reads {FORMAT}")
        return Results(
            data["machine"], data["versions"], data["settings"],
            [allocator_from_json(entry) for entry in data["allocators"]],
            [workload_from_json(entry) for entry in data["workloads"]],
            data["missing"], data["left_out"], [run_from_json(entry) for entry in data["runs"]],
            data["probes"], data["repeated"], data["counts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{name}: {type(error).__name__}: {error}") from error


def as_csv(runs: list[Run]) -> str:
    """One row per run; a column for each figure that any run has."""
    rows = [flatten(run) for run in runs]
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def replace(name: Path, text: str) -> None:
    fresh = name.with_name(name.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, name)
