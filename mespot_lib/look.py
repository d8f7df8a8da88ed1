"""The look of the project's pages: head and style, tables, figures and lists as HTML that loads nothing from outside.

What may be wider than a phone stands in a box of its own that fingers and arrow keys can move, so that the page itself
never does.
"""

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def page_head(title: str, style: str = "") -> str:
    """Return the beginning of a page with the project's look, in light, dark and print, up to its first element."""
    return f"""<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{_CSS}{style}</style>"""


def data_address(content: bytes, kind: str) -> str:
    """Return content as an address that holds it, for instance of `kind` "image/jpeg"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def table(
    caption: str,
    columns: Mapping[str, Callable[[Any], str]],
    rows: Sequence[Any],
    text: int = 0,
) -> str:
    """Return a table in a box of its own.

    columns : heading -> function from row to HTML; the first column heads its row. text : so many columns are words and
    stand at the left; the others are numbers.
    """
    kinds = ["text"] * text + ["number"] * (len(columns) - text)
    head = "".join(f"<th scope=col class={kind}>{name}" for name, kind in zip(columns, kinds, strict=True))
    lines = []
    for row in rows:
        first, *others = (cell(row) for cell in columns.values())
        cells = "".join(f"<td class={kind}>{cell}" for cell, kind in zip(others, kinds[1:], strict=True))
        lines.append(f"<tr><th scope=row class={kinds[0]}>{first}{cells}")
    inside = f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return scroll_box(f"<table class=plain>{inside}</table>", caption)


def scroll_box(content: str, label: str) -> str:
    """Return what may be wider than the screen in a box of its own that fingers and arrow keys can move."""
    return f'<div class=scroll tabindex=0 role=region aria-label="{html.escape(label)}">{content}</div>'


def figure(svg: bytes, alt: str, caption: str, narrow: bool = False) -> str:
    """Return an SVG as a figure; `narrow` is for one that is easily read when it is small."""
    image = f'<img class="{"narrow" if narrow else "wide"}" alt="{html.escape(alt)}" src="{data_address(svg, _SVG)}">'
    return f"<figure>{scroll_box(image, 'Figure')}<figcaption>{caption}</figcaption></figure>"


def bullets(title: str, lines: Sequence[str]) -> str:
    """Return a section with a list, nothing without lines."""
    if not lines:
        return ""
    return (
        f"<section><h2>{title}</h2><ul>{''.join(f'<li>{html.escape(line)}' for line in lines)}</ul></section>"
    )


_SVG = "image/svg+xml"
_CSS = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6673; --line: #e3e7ec; --ground: #f5f6f8; --card: #fff;
  --mark: #fdf3c4; --ME: #c25500; --MaE: #0072b2; --overall: #333 }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #a3adb9; --line: #363e48; --ground: #14181d; --card: #1d232a; --mark: #574a12;
    --ME: #ff9a52; --MaE: #64b8ea; --overall: #ddd }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
header, main { max-width: 1280px; margin: 0 auto; padding: 0 24px }
header p { max-width: 76ch; color: var(--soft); margin: 0 0 20px }
h1 { font-size: 27px; margin: 30px 0 6px; letter-spacing: -.01em }
h2 { font-size: 19px; margin: 0 0 4px }
h3 { font-size: 16px; margin: 18px 0 0 }
li, summary, figcaption, nav { overflow-wrap: anywhere }
nav { margin: 0 0 20px }
nav a { margin-right: 14px; white-space: nowrap }
a { color: var(--MaE) }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 20px 24px; margin: 0 0 22px }
.badge { background: #f0e442; color: #3b3700; border-radius: 99px; padding: 2px 10px; font-size: 12px;
  vertical-align: 3px }
.protocol { color: var(--soft); margin: 0 0 12px; font-size: 13.5px }
.warning { margin: 0 0 4px; font-size: 13.5px }
.scroll { overflow-x: auto }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--MaE); outline-offset: 2px }
caption { text-align: left; color: var(--soft); font-size: 13px; padding: 6px 8px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px }
th { font-weight: 600; text-align: right; color: var(--soft); font-size: 12.5px; line-height: 1.25 }
th, td { padding: 5px 8px; white-space: nowrap }
td { text-align: right }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom }
thead th:first-child, thead th:nth-child(2) { text-align: left }
tbody { border-bottom: 1px solid var(--line) }
th.method { white-space: normal; min-width: 140px; max-width: 230px; overflow-wrap: anywhere }
th.method { text-align: left; vertical-align: top; color: var(--ink); font-size: 15px }
th.method small { display: block; color: var(--soft); font-size: 11.5px; line-height: 1.4; margin-top: 3px }
small { font-weight: 400 }
mark { background: var(--mark); color: var(--ink); padding: 0 4px; border-radius: 3px }
td.kind { text-align: left; font-weight: 600 }
td.f1 { font-weight: 700 }
.spark { text-align: center; width: 124px }
th.spark { word-spacing: 28px }
th.spark i { font-style: normal }
td.spark svg { display: block; margin: 0 auto }
tr.ME td.kind, tr.ME td.f1, tr.ME .spark { color: var(--ME) }
tr.MaE td.kind, tr.MaE td.f1, tr.MaE .spark { color: var(--MaE) }
tr.overall td.kind, tr.overall td.f1, tr.overall .spark { color: var(--overall) }
figure { margin: 18px 0 0 }
figure img { width: 100%; height: auto; background: #fff; display: block }
img.wide { min-width: 680px }
img.narrow { min-width: 520px; max-width: 860px }
details { margin: 12px 0 0 }
table.plain { width: auto }
table.plain tbody tr { border-bottom: 1px solid var(--line) }
table.plain .text { text-align: left }
.sources { color: var(--soft); font-size: 13px; margin: 10px 0 0; padding-left: 26px }
tbody th { color: var(--ink); font-size: 14px; font-weight: 400 }
tr.chance { color: var(--soft) }
summary { cursor: pointer; color: var(--soft); font-size: 13.5px }
figcaption { color: var(--soft); font-size: 13px; max-width: 90ch }
@media screen and (max-width: 600px) {
  header, main { padding: 0 10px }
  section { padding: 14px 12px }
  h1 { font-size: 23px; overflow-wrap: anywhere }
  h2 { overflow-wrap: anywhere }
}
@media print {
  body { background: #fff; font-size: 11px }
  header, main { max-width: none; padding: 0 }
  section { border: 0; padding: 0 }
  nav { display: none }
  .scroll { overflow: visible }
  table { font-size: 10px }
  th, td { padding: 2px 4px }
  img.wide, img.narrow { min-width: 0 }
  tr, figure { break-inside: avoid }
  h2, h3, caption { break-after: avoid }
}
"""
