"""Small helpers that write HTML which is well-formed XML, too, so that a test can parse it."""
from __future__ import annotations

from html import escape
from typing import Iterable, Sequence

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 "Helvetica Neue", Arial, "Liberation Sans", sans-serif; color: #1c1c1c; background: #fff;
  max-width: 84rem; margin: 0 auto; padding: 1rem 2rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 1.2rem 0 .2rem; }
h2 { font-size: 1.45rem; margin: 3rem 0 .6rem; border-bottom: 2px solid #1c1c1c; padding-bottom: .2rem; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
p, ul { max-width: 52rem; margin: .5rem 0; }
nav a { margin-right: 1.2rem; }
a { color: #0057a0; }
.lead { color: #444; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; line-height: 1.35; margin: .6rem 0 1.2rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th { border-bottom: 1.5px solid #555; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; white-space: normal; max-width: 46rem; }
tbody tr:hover { background: #f4f6f8; }
small { color: #666; font-size: .92em; display: block; }
.best { font-weight: 700; }
.bad { color: #b00020; white-space: normal; }
.flag { color: #9a5b00; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1.2rem; margin: 1rem 0; }
figure { margin: 0; }
figcaption { font-weight: 600; font-size: .95rem; text-align: center; }
.plots svg { width: 100%; height: auto; }
.model { border-left: 5px solid #8c6bb1; padding-left: 1.2rem; }
.model .label { font-weight: 700; color: #5d3d8a; }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .4em; }
details > summary { cursor: pointer; color: #0057a0; margin: .4rem 0; }
@media print { body { max-width: none; padding: 0; } }
"""


class Html(str):
    """Text that is markup already."""


def text(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def tag(name: str, *content: object, **attributes: str) -> Html:
    """kind becomes the attribute class."""
    written = "".join(f' {"class" if key == "kind" else key}="{escape(value, quote=True)}"'
                      for key, value in attributes.items() if value)
    return Html(f"<{name}{written}>{''.join(map(text, content))}</{name}>")


def join(parts: Iterable[object]) -> Html:
    return Html("\n".join(text(part) for part in parts))


def table(head: Sequence[object], rows: Sequence[Sequence[object]], text_columns: Sequence[int] = ()) -> Html:
    def cell(index: int, value: object) -> Html:
        if isinstance(value, Html) and value.startswith("<td"):
            return value
        return tag("td", value, kind="text" if index in text_columns else "")

    body = join(tag("tr", *(cell(index, value) for index, value in enumerate(row))) for row in rows)
    return tag("div", tag("table", tag("thead", tag("tr", *(tag("th", name) for name in head))),
                          tag("tbody", body)), kind="wide")


def paragraphs(*sentences: str) -> Html:
    return join(tag("p", sentence) for sentence in sentences)


def bullets(items: Sequence[object]) -> Html:
    return tag("ul", *(tag("li", item) for item in items))


def plot_grid(svgs: Sequence[str]) -> Html:
    drawn = [tag("div", Html(svg)) for svg in svgs if svg]
    return tag("div", *drawn, kind="plots") if drawn else Html("")


def folded(title: str, *content: object) -> Html:
    return tag("details", tag("summary", title), *content)


def document(title: str, body: Html) -> str:
    return (f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head>\n'
            f'<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width"/>\n'
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n")


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, thousands with a thin gap; a dash if it isn't known."""
    if value is None:
        return "–"
    size = abs(value)
    if size < 5e-7:
        return "0"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", "\u2009")
    decimals = digits - 1
    while size < 1 and decimals < 6:
        size *= 10
        decimals += 1
    while size >= 10:
        size /= 10
        decimals -= 1
    return f"{value:.{decimals}f}"


def short(value: float | None) -> str:
    """As number(), but 28.5k for thousands and 4.69M for millions."""
    if value is None:
        return "–"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return number(value / (limit if letter != "k" else 1e3)) + letter
    return number(value)


def factor(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 99.5 else f"{value:.0f}"


def mebibytes(value: float | None) -> str:
    return number(None if value is None else value / 2**20)


def percent(value: float) -> str:
    return f"{value * 100:.0f} %" if value >= 0.0095 or value == 0 else f"{value * 100:.1f} %"
