"""Plots: HTML figures with a caption and an inline SVG, drawn by gnuplot.

Every plot has named axes with units. gnuplot gives every plot the same ids, which must differ within
one page: each plot's get a prefix.
"""
from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html import escape
from typing import Sequence

WIDTH, HEIGHT = 640, 400
LABEL_SHARE = 0.06              # of the plot's height: from one name to the next
PLOT_SECONDS = 120
PROGRAM, PACKAGE = "gnuplot", "gnuplot-nox"
_number = itertools.count(1)


class PlotError(Exception):
    """gnuplot is missing, or draws no plot; the text says why."""


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    least: float | None = None      # whiskers
    most: float | None = None


@dataclass(frozen=True)
class Curve:
    name: str
    colour: str
    points: Sequence[Point]
    is_wide: bool = False
    is_dashed: bool = False
    has_marks: bool = True
    is_line: bool = True


@dataclass(frozen=True)
class Axes:
    x: str                          # name with its unit
    y: str
    log_x: int = 0                  # base; 0: linear
    log_y: int = 0
    ticks: Sequence[tuple[str, float]] = ()     # of x, instead of numbers
    reference: float | None = None  # a thin horizontal line
    reference_x: float | None = None
    from_zero: bool = True
    from_zero_x: bool = False
    format_y: str = "%g"


@dataclass(frozen=True)
class Bars:
    """One allocator's bars, one per label; None: no bar."""
    name: str
    colour: str
    values: Sequence[tuple[float, float, float] | None] = field(default_factory=list)  # value, least, most


def check() -> None:
    if not shutil.which(PROGRAM):
        raise PlotError(f"{PROGRAM} is missing (Debian package {PACKAGE})")


def lines(curves: Sequence[Curve], axes: Axes, title: str) -> str:
    script = _head(axes)
    drawn = []
    for number, curve in enumerate(curve for curve in curves if curve.points):
        script.append(f"$curve{number} << END")
        script += [f"{point.x:.9g} {point.y:.9g} {_or(point.least, point.y):.9g} {_or(point.most, point.y):.9g}"
                   for point in curve.points]
        script.append("END")
        drawn += _drawn_curve(number, curve)
    return _draw(script, drawn, title)


def _drawn_curve(number: int, curve: Curve) -> list[str]:
    name, source = _quoted(curve.name), f"$curve{number}"
    width = 3 if curve.is_wide else 1.6
    dash = " dashtype 2" if curve.is_dashed else ""
    look = f"linecolor rgb '{curve.colour}' linewidth {width}{dash}"
    mark = f" pointtype {(5, 7, 9, 11, 13, 4, 6, 8, 10, 12)[number % 10]} pointsize 0.7"
    if not curve.is_line:
        return [f"{source} using 1:2 with points {look} pointtype 7 pointsize 0.3 title {name}"]
    drawn = []
    if any(point.least is not None for point in curve.points):
        drawn.append(f"{source} using 1:3:(0):($4-$3) with vectors nohead linecolor rgb '{curve.colour}' "
                     f"linewidth 1 notitle")
    style = f"with linespoints {look}{mark}" if curve.has_marks else f"with lines {look}"
    return [*drawn, f"{source} using 1:2 {style} title {name}"]


def bars(labels: Sequence[str], columns: Sequence[Bars], axes: Axes, title: str) -> str:
    """Clustered bars with whiskers, the labels below the clusters."""
    script = _head(axes)
    cluster = len(columns) + 1.2
    ticks = ", ".join(f"{_quoted(label)} {index * cluster + (len(columns) - 1) / 2:g}"
                      for index, label in enumerate(labels))
    turn = " rotate by -25 left" if max(map(len, labels)) * len(labels) > 60 else ""
    script += [f"set xtics scale 0 nomirror{turn} ({ticks})", "set style fill solid 0.9 noborder",
               f"set xrange [-1.2:{(len(labels) - 1) * cluster + len(columns) + 0.2:g}]"]
    drawn = []
    for number, column in enumerate(columns):
        script.append(f"$bars{number} << END")
        script += [f"{index * cluster + number:g} " + " ".join(f"{part:.9g}" for part in value)
                   for index, value in enumerate(column.values) if value is not None]
        script.append("END")
        if any(value is not None for value in column.values):
            drawn.append(f"$bars{number} using 1:2:(0.9) with boxes linecolor rgb '{column.colour}' "
                         f"title {_quoted(column.name)}")
            drawn.append(f"$bars{number} using 1:3:(0):($4-$3) with vectors nohead linewidth 1.2 "
                         f"linecolor rgb '#555555' notitle")
    return _draw(script, drawn, title)


def points_with_names(points: Sequence[tuple[str, str, float, float]], axes: Axes, title: str) -> str:
    """(name, colour, x, y): one mark each with its name beside it."""
    script = _head(axes) + ["unset key", "set xrange [*<0.95:*]", "set yrange [*<0.95:*]",
                            "set offsets 0, graph 0.2, graph 0.1, 0"]
    drawn = []
    apart = LABEL_SHARE * (max((y for *_, y in points), default=0) - min((y for *_, y in points), default=0))
    label_y = float("-inf")
    for number, (name, colour, x, y) in enumerate(sorted(points, key=lambda point: point[3])):
        label_y = max(y, label_y + apart)   # so that no name covers another
        script += [f"$point{number} << END", f'{x:.9g} {y:.9g} {label_y:.9g} "{name}"', "END"]
        drawn.append(f"$point{number} using 1:2 with points pointtype 7 pointsize 1.4 linecolor rgb '{colour}' "
                     f"notitle, $point{number} using 1:3:4 with labels left offset 1,0 "
                     f"textcolor rgb '{colour}' notitle")
    return _draw(script, drawn, title)


def _head(axes: Axes) -> list[str]:
    script = [
        f"set terminal svg size {WIDTH},{HEIGHT} dynamic font 'sans-serif,13' background '#ffffff' noenhanced",
        f"set xlabel {_quoted(axes.x)}",
        f"set ylabel {_quoted(axes.y)} offset 0.5,0",
        f"set format y {_quoted(axes.format_y)}",
        "set border 3 linecolor rgb '#666666'",
        "set tics nomirror textcolor rgb '#333333'",
        "set grid ytics linecolor rgb '#dddddd' linewidth 1",
        "set key outside top center horizontal maxrows 2 samplen 1.5 spacing 1.1",
        "set offsets graph 0.02, graph 0.02, graph 0.06, graph 0",
    ]
    if axes.log_x:
        script.append(f"set logscale x {axes.log_x}")
    if axes.log_y:
        script += [f"set logscale y {axes.log_y}"]
    elif axes.from_zero:
        script.append("set yrange [0:*]")
    if axes.from_zero_x:
        script += ["set xrange [0:*]", "set offsets 0, graph 0.02, graph 0.06, graph 0"]
    if axes.ticks:
        script.append("set xtics (" + ", ".join(f"{_quoted(name)} {at:g}" for name, at in axes.ticks) + ")")
    if axes.reference is not None:
        script.append(f"set arrow from graph 0, first {axes.reference:g} to graph 1, first {axes.reference:g} "
                      f"nohead linecolor rgb '#444444' dashtype 3 front")
    if axes.reference_x is not None:
        script.append(f"set arrow from first {axes.reference_x:g}, graph 0 to first {axes.reference_x:g}, graph 1 "
                      f"nohead linecolor rgb '#444444' dashtype 3 front")
    return script


def _draw(script: list[str], drawn: list[str], title: str) -> str:
    if not drawn:
        return ""
    text = "\n".join([*script, "plot " + ", \\\n  ".join(drawn)]) + "\n"
    try:
        inner = _embeddable(_drawn(text), f"plot{next(_number)}-")
    except PlotError as error:          # the rest of the page is worth having
        inner = f"<p>This plot could not be drawn: {escape(str(error))}</p>"
    return f"<figure><figcaption>{escape(title)}</figcaption>{inner}</figure>"


def _drawn(script: str) -> str:
    try:
        done = subprocess.run([PROGRAM, "-"], input=script, capture_output=True, text=True, timeout=PLOT_SECONDS,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlotError(str(error)) from error
    if done.returncode or "<svg" not in done.stdout:
        raise PlotError(f"{PROGRAM}: exit {done.returncode}: {done.stderr.strip()[:500]}")
    return done.stdout


def _embeddable(svg: str, prefix: str) -> str:
    """Without the prolog, with ids of its own."""
    body = svg[svg.index("<svg"):]
    body = re.sub(r"""\bid=(["'])""", rf"id=\1{prefix}", body)
    body = re.sub(r"""xlink:href=(["'])#""", rf"xlink:href=\1#{prefix}", body)
    body = body.replace("url(#", f"url(#{prefix}")
    return re.sub(r"<title>[^<]*</title>\s*<desc>[^<]*</desc>", "", body)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _quoted(text: str) -> str:
    cleaned = re.sub(r"[\x00-\x1f]", " ", text)
    return "'" + cleaned.replace("'", "''") + "'"
