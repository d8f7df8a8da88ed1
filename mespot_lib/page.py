"""The report to look at: all finished runs as a table, figures and one page.

reports/report.html          one page, nothing loaded from outside
reports/report/results.csv   the rows of the table with their protocol; results.json has the same
reports/report/<dataset>.svg the figures of the page
"""

import base64
import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mespot_lib import places
from mespot_lib.interval import Interval
from mespot_lib.metrics import PARTS, Counts, match
from mespot_lib.report import Pooled, pool_results, protocol_text, row_of
from mespot_lib.runs import failures, scan_results


def write_report(reports_root: str | Path | None = None) -> tuple[Path, list[dict[str, Any]], list[str]]:
    """Write page, tables and figures from the runs that are there.

    Returns
    -------
    (path of the page, rows of the table, one line for each run folder that could not be read)
    """
    root = Path(reports_root) if reports_root else places.reports_root()
    results, problems = scan_results(root)
    pooled = pool_results(results)
    table = [row_of(one, part) for one in pooled for part in PARTS]
    folder = root / "report"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    _write_csv(folder / "results.csv", table)
    sections = []
    for dataset in dict.fromkeys(one.record["dataset"] for one in pooled):
        here = [one for one in pooled if one.record["dataset"] == dataset]
        figure = _strip_plot(here)
        (folder / f"{dataset}.svg").write_bytes(figure)
        sections.append(_section(dataset, here, figure))
    failed = [failure["reason"] for failure in failures(root)]
    page = root / "report.html"
    page.write_text(_page(sections, problems, failed), encoding="utf-8")
    return page, table, problems


def _write_csv(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    if table:
        writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"parameters": json.dumps(row["parameters"])} for row in table)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def _strip_plot(pooled: Sequence[Pooled]) -> bytes:
    """Draw F1 of every subject, the pooled F1 with its interval, and chance; one panel per kind. Return SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    from mespot_lib import viz

    style = viz.STYLE | {"svg.hashsalt": "mespot", "font.size": 9}
    with matplotlib.rc_context(style):
        # a figure of its own, not pyplot's: no window, no state left behind
        figure = Figure(figsize=(10.6, 1.15 + 0.55 * len(pooled)), layout="constrained")
        figure.get_layout_engine().set(wspace=0.06)
        axes = figure.subplots(1, len(PARTS), sharex=True, sharey=True)
        for ax, part in zip(axes, ("MaE", "ME", "overall"), strict=True):
            _draw_strips(ax, pooled, part, viz.KIND_COLOURS.get(part, "#333333"))
        axes[0].set_yticks(range(len(pooled)), [_label(one) for one in pooled])
        axes[0].set_ylim(len(pooled) - 0.4, -0.6)
        axes[0].set_xlim(-0.03, 1.03)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _timelines(one: Pooled) -> bytes:
    """Draw every video as a line: truth above in the colour of its kind, spotted below by outcome. Return SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from mespot_lib import viz

    fps = {video["video"]: video["fps"] for r in one.results for video in r.record["videos"]}
    seconds = {
        video["video"]: video["frames"] / video["fps"] for r in one.results for video in r.record["videos"]
    }
    with matplotlib.rc_context(
        viz.STYLE | {"svg.hashsalt": "mespot", "font.size": 8, "hatch.linewidth": 0.6}
    ):
        figure = Figure(figsize=(10.6, 0.9 + 0.3 * len(fps)), layout="constrained")
        ax = figure.subplots()
        for y, video in enumerate(sorted(fps)):
            ax.plot([0, seconds[video]], [y, y], color="#DDDDDD", linewidth=0.8, zorder=0)
            _draw_video(ax, y, one.truth[video], one.spotted[video], fps[video], one.record["t_eval"])
        ax.set_yticks(range(len(fps)), ["/".join(video.split("/")[1:]) or video for video in sorted(fps)])
        ax.set(ylim=(len(fps) - 0.4, -0.6), xlim=(0, max(seconds.values())), xlabel="time, s")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        missed = Patch(facecolor="#EEEEEE", edgecolor="#777777", hatch="//////", label="missed")
        solid = {
            **{f"{kind} truth": c for kind, c in viz.KIND_COLOURS.items()},
            "hit": viz.HIT,
            "false": viz.FALSE,
        }
        handles = [*(Patch(color=colour, label=name) for name, colour in solid.items()), missed]
        ax.legend(handles=handles, ncols=5, loc="lower right", bbox_to_anchor=(1, 1))
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _draw_video(
    ax: Any, y: float, truth: Sequence[Interval], spotted: Sequence[Interval], fps: float, t_eval: float
) -> None:
    from mespot_lib import viz

    pairs = match(truth, spotted, t_eval)
    found, hits = {t for t, _ in pairs}, {s for _, s in pairs}
    for i, span in enumerate(truth):
        colour = viz.KIND_COLOURS[span.kind]
        missed = {} if i in found else {"facecolor": "white", "edgecolor": colour, "hatch": "//////"}
        ax.barh(y - 0.21, span.length / fps, 0.38, span.onset / fps, **({"color": colour} | missed))
    for i, span in enumerate(spotted):
        colour = viz.HIT if i in hits else viz.FALSE
        ax.barh(y + 0.2, span.length / fps, 0.34, span.onset / fps, color=colour)


def _draw_strips(ax: Any, pooled: Sequence[Pooled], part: str, colour: str) -> None:
    rng = np.random.default_rng(0)  # where dots of equal F1 land
    for y, one in enumerate(pooled):
        # a subject without any true or spotted interval of this kind has no F1
        each = [s[part].f1 for s in one.subjects.values() if s[part] != Counts()]
        ax.scatter(
            each, y + rng.uniform(-0.16, 0.16, len(each)), s=16, color=colour, alpha=0.35, linewidths=0
        )
        low, high = one.interval(part)
        ax.plot([low, high], [y, y], color=colour, linewidth=2.5, solid_capstyle="round")
        ax.plot(one.score[part].f1, y, "o", color=colour, markersize=7, markeredgecolor="white")
        ax.vlines(
            one.chance[part].high, y - 0.3, y + 0.3, color="#7F7F7F", linestyle=(0, (2, 1.5)), linewidth=1.2
        )
    ax.set_title("all expressions" if part == "overall" else part, color=colour)
    ax.set_xlabel("F1")
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)


def _label(one: Pooled) -> str:
    record = one.record
    oracle = ", oracle" if record["selection"] == "oracle" else ""
    changed = "".join(f", {name}={value}" for name, value in record["parameters"].items())
    seed = f", seed {record['seed']}" if record["seed"] else ""
    return f"{record['method']} ({record['profile']}{seed}{changed}{oracle})"


def _section(dataset: str, pooled: Sequence[Pooled], figure: bytes) -> str:
    record = pooled[0].record
    videos = {video for one in pooled for video in one.truth}
    events = {kind: max(one.score[kind].tp + one.score[kind].fn for one in pooled) for kind in ("ME", "MaE")}
    badge = '<span class="badge">synthetic data</span>' if record["synthetic"] else ""
    remark = (
        "<p class=warning>Drawn faces with planted expressions: these figures test the methods and this software. "
        "They say nothing about the recorded dataset whose layout the files imitate.</p>"
        if record["synthetic"]
        else ""
    )
    lines = "".join(_table_lines(one) for one in pooled)
    subjects = max(len(one.subjects) for one in pooled)
    return f"""
<section>
<h2>{html.escape(dataset)} {badge}</h2>
{remark}
<p class=protocol>{html.escape(protocol_text(row_of(pooled[0], "overall")))} ·
{len(videos)} videos of {subjects} subjects · {events["ME"]} ME, {events["MaE"]} MaE</p>
<div class=scroll><table>
<thead><tr><th>method<th>kind<th>TP<th>FP<th>FN<th>precision<th>recall<th>F1<th class=spark>0 <i>F1</i> 1
<th>95 % interval<th>chance F1<br><small>mean, 97.5 %</small><th>FP/min
<th>onset, offset<br><small>median error, ms</small></tr></thead>
{lines}
</table></div>
<figure><img alt="F1 of every subject of {html.escape(dataset)}" src="{data_address(figure, _SVG)}">
<figcaption>Every pale dot is one subject. Large dot and line: all subjects pooled, with the 95 % interval that drawing
the subjects again gives. Dashed: what 97.5 % of random placements of as many intervals stay below.</figcaption>
</figure>
{"".join(_details(one) for one in pooled if record["synthetic"])}
</section>"""


def _details(one: Pooled) -> str:
    """Return the timelines of a method, folded away. For drawn data only: licensed labels are not ours to show."""
    return f"""<details><summary>What {html.escape(_label(one))} found in every video</summary>
<figure><img alt="True and spotted intervals of every video" src="{data_address(_timelines(one), _SVG)}">
<figcaption>Above the line what is true, below it what was spotted.</figcaption></figure></details>"""


def _table_lines(one: Pooled) -> str:
    record, first = one.record, True
    cost = f"{np.mean([r.record['seconds'] for r in one.results]):.0f} s per fold"
    memory = [r.record["peak_memory_mb"] for r in one.results if r.record["peak_memory_mb"] is not None]
    cost += f", {max(memory):.0f} MB at most" if memory else ""
    parts = [
        f"{record['profile']}, seed {record['seed']}, code {record['code_version']}",
        *(f"{name} = {value}" for name, value in record["parameters"].items()),
        cost,
    ]
    if one.left_out:
        parts.append(f"{one.left_out} runs of older code or data left out")
    notes = "<br>".join([_folds_done(one), _selection(record), *map(html.escape, parts)])
    lines = []
    for part in ("MaE", "ME", "overall"):
        row = row_of(one, part)
        head = (
            f"<th rowspan=3 class=method>{html.escape(record['method'])}<small>{notes}</small>"
            if first
            else ""
        )
        errors = (
            "–"
            if row["onset_error_ms"] is None
            else f"{row['onset_error_ms']:.0f}, {row['offset_error_ms']:.0f}"
        )
        lines.append(
            f'<tr class="{part}">{head}<td class=kind>{part}'
            f"<td>{row['tp']}<td>{row['fp']}<td>{row['fn']}"
            f"<td>{row['precision']:.3f}<td>{row['recall']:.3f}<td class=f1>{row['f1']:.3f}"
            f"<td class=spark>{_spark(row)}<td>{row['ci_low']:.3f} – {row['ci_high']:.3f}"
            f"<td>{row['chance_f1']:.3f}, {row['chance_ci_high']:.3f}<td>{row['fp_per_minute']:.2f}<td>{errors}"
        )
        first = False
    return f"<tbody>{''.join(lines)}</tbody>"


def _folds_done(one: Pooled) -> str:
    text = f"{len(one.results)} of {one.n_folds} folds"
    return text if len(one.results) == one.n_folds else f"<mark>{text}</mark>"


def _selection(record: Mapping[str, Any]) -> str:
    oracle = record["selection"] == "oracle"
    return "<mark>oracle: saw the held-out truth</mark>" if oracle else "thresholds from other subjects"


def _spark(row: Mapping[str, Any]) -> str:
    """Return a drawing of one line of text: F1 as a dot, its interval as a line, chance as a dashed tick."""
    x = {name: 4 + 112 * row[name] for name in ("f1", "ci_low", "ci_high", "chance_ci_high")}
    return (
        '<svg width="120" height="16" viewBox="0 0 120 16" role="img" aria-hidden="true">'
        '<path d="M4 8H116" stroke="#ddd"/>'
        f'<path d="M{x["chance_ci_high"]:.1f} 1V15" stroke="#7F7F7F" stroke-dasharray="2 1.5"/>'
        f'<path d="M{x["ci_low"]:.1f} 8H{x["ci_high"]:.1f}" stroke="currentColor" stroke-width="3"/>'
        f'<circle cx="{x["f1"]:.1f}" cy="8" r="4.5" fill="currentColor" stroke="white"/></svg>'
    )


def _page(sections: Sequence[str], problems: Sequence[str], failed: Sequence[str]) -> str:
    empty = "<p>No finished run was found. <code>mespot reproduce</code> makes some.</p>"
    return f"""{page_head("mespot: spotting results")}
<header><h1>Spotting micro- and macro-expressions</h1>
<p>Every line pools the counts of the folds that are done and states how it was made. A hit is a spotted interval that
overlaps a true one of its kind enough; each true interval is found once. ME are micro-expressions of at most half a
second, MaE macro-expressions.</p></header>
<main>{"".join(sections) or empty}
{_list("Runs that cannot be read", problems)}
{_list("Runs that stopped with an error", failed)}
</main></html>
"""


def page_head(title: str, style: str = "") -> str:
    """Return the beginning of a page with the project's look, in light, dark and print, up to its first element."""
    return f"""<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{_CSS}{style}</style>"""


def data_address(content: bytes, kind: str) -> str:
    """Return content as an address that holds it, for instance of `kind` "image/jpeg"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _list(title: str, lines: Sequence[str]) -> str:
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
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 20px 24px; margin: 0 0 22px }
.badge { background: #f0e442; color: #3b3700; border-radius: 99px; padding: 2px 10px; font-size: 12px;
  vertical-align: 3px }
.protocol { color: var(--soft); margin: 0 0 12px; font-size: 13.5px }
.warning { margin: 0 0 4px; font-size: 13.5px }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px }
th { font-weight: 600; text-align: right; color: var(--soft); font-size: 12.5px; line-height: 1.25 }
th, td { padding: 5px 8px; white-space: nowrap }
td { text-align: right }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom }
thead th:first-child, thead th:nth-child(2) { text-align: left }
tbody { border-bottom: 1px solid var(--line) }
th.method { text-align: left; vertical-align: top; color: var(--ink); font-size: 15px }
th.method small { display: block; color: var(--soft); font-size: 11.5px; line-height: 1.4; margin-top: 3px }
small { font-weight: 400 }
mark { background: var(--mark); color: inherit; padding: 0 4px; border-radius: 3px }
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
figure img { width: 100%; height: auto; background: #fff }
details { margin: 12px 0 0 }
summary { cursor: pointer; color: var(--soft); font-size: 13.5px }
figcaption { color: var(--soft); font-size: 13px; max-width: 90ch }
@media print { body { background: #fff } section { border: 0; padding: 0 } }
"""
