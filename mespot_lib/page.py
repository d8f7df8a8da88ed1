"""The report to look at: all finished runs as one page, and as tables for other programs.

report.html                  one page, nothing loaded from outside
report/results.csv           the rows of the table with their protocol; results.json has the same
report/subjects.csv          counts and F1 of every subject
report/differences.csv       leads of one method over another on their common subjects
report/costs.csv             seconds and memory
report/chance.csv            intervals at random places
report/claims.csv            what papers print, beside ours
report/leaderboard.json      all of these, and the ranks
report/<dataset>.svg         the strips of subjects
"""

import csv
import functools
import html
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mespot_lib import look, places
from mespot_lib.comparison import beside_claims, differences, ranking_record, rankings
from mespot_lib.metrics import PARTS
from mespot_lib.ranks import Ranking, smallest_p
from mespot_lib.report import (
    NOT_KNOWN,
    Pooled,
    chance_rows,
    cost_rows,
    pool_results,
    protocol_text,
    row_of,
    shown,
    subject_f1,
    subject_rows,
)
from mespot_lib.runs import RunError, failures, scan_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_PARTS = ("MaE", "ME", "overall")  # in the order of the papers
_MOST_VIDEOS = 40  # whose intervals are drawn
_MOST_PAIRS = 15  # whose leads are drawn: all of six methods

Rows = list[dict[str, Any]]


def write_report(
    reports_root: str | Path | None = None, out: str | Path | None = None
) -> tuple[Path, Rows, list[str]]:
    """Write page, tables and figures from the runs that are there.

    Parameters
    ----------
    reports_root : folder with `runs/`; by default `places.reports_root()`.
    out : folder to write `report.html` and `report/` to; by default the same.

    Returns
    -------
    (path of the page, rows of the table, one line for each run folder that could not be read)

    Raises
    ------
    RunError
        If `reports_root` is named and no folder.
    """
    if reports_root and not Path(reports_root).is_dir():
        raise RunError(f"{reports_root}: no such folder; it must be one with runs/ in it")
    root = Path(reports_root) if reports_root else places.reports_root()
    target = Path(out) if out else root
    results, problems = scan_results(root)
    pooled = pool_results(results)
    tables = leaderboard_tables(pooled)
    folder = target / "report"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.csv").write_text(csv_text(rows), encoding="utf-8", newline="")
    ranked = {part: rankings(pooled, part) for part in reversed(PARTS)}
    every = {**tables, "rankings": {part: list(map(ranking_record, some)) for part, some in ranked.items()}}
    _write_json(folder / "results.json", tables["results"])
    _write_json(folder / "leaderboard.json", every)
    sections = {}
    for dataset in dict.fromkeys(one.record["dataset"] for one in pooled):
        here = [one for one in pooled if one.record["dataset"] == dataset]
        strips = _strips(here)
        (folder / f"{dataset}.svg").write_bytes(strips)
        sections[dataset] = _dataset_section(dataset, here, tables, strips)
    sections["ranks"] = _ranks_section(ranked)
    sections["cost"] = _costs_section(tables["costs"])
    sections["claims"] = _claims_section(tables["claims"])
    sections = {name: section for name, section in sections.items() if section}
    page = target / "report.html"
    page.write_text(
        _page(sections, problems, [failure["reason"] for failure in failures(root)]), encoding="utf-8"
    )
    return page, tables["results"], problems


def leaderboard_tables(pooled: Sequence[Pooled]) -> dict[str, Rows]:
    """Return every table of the report as rows, by name."""
    results = [row_of(one, part) for one in pooled for part in PARTS]
    return {
        "results": results,
        "chance": chance_rows(pooled),
        "subjects": subject_rows(pooled),
        "differences": differences(pooled),
        "costs": cost_rows(pooled),
        "claims": beside_claims(results),
    }


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a line of names; what is not known is empty, parameters are JSON. Empty without rows."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _svg(draw: Callable[["Figure"], object], width: float, height: float, size: float = 9) -> bytes:
    """Return what `draw` puts on a figure of so many inches, as SVG; the same every time."""
    import matplotlib
    from matplotlib.figure import Figure

    from mespot_lib import viz

    style = viz.STYLE | {"svg.hashsalt": "mespot", "font.size": size, "hatch.linewidth": 0.6}
    with matplotlib.rc_context(style):
        # a figure of its own, not pyplot's: no window, no state left behind
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _strips(pooled: Sequence[Pooled]) -> bytes:
    from mespot_lib import charts

    def draw(figure: "Figure") -> None:
        figure.set_layout_engine("constrained", wspace=0.06)
        for ax, part in zip(figure.subplots(1, 3, sharey=True), SHOWN_PARTS, strict=True):
            charts.draw_strips(ax, pooled, part)

    return _svg(draw, 10.6, 1.15 + 0.55 * len(pooled))


def _leads(rows: Sequence[Mapping[str, Any]]) -> bytes:
    from mespot_lib import charts

    return _svg(lambda figure: charts.draw_differences(figure.subplots(), rows), 8.0, 0.9 + 0.34 * len(rows))


def _found(one: Pooled, videos: Sequence[str]) -> bytes:
    from mespot_lib import charts

    return _svg(
        lambda figure: charts.draw_found(figure.subplots(), one, videos), 10.6, 0.9 + 0.3 * len(videos), 8
    )


def _ranks(ranking: Ranking) -> bytes:
    from mespot_lib import charts

    return _svg(
        lambda figure: charts.draw_ranking(figure.subplots(), ranking), 8.0, 1.5 + 0.18 * len(ranking.names)
    )


def _costs(rows: Sequence[Mapping[str, Any]]) -> bytes:
    from mespot_lib import charts

    datasets = list(dict.fromkeys(row["dataset"] for row in rows))

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(len(datasets), 2, squeeze=False)
        for line, dataset in zip(panels, datasets, strict=True):
            for ax, cost in zip(line, ("seconds_median", "peak_memory_mb"), strict=True):
                charts.draw_costs(ax, [row for row in rows if row["dataset"] == dataset], cost)
                ax.set_title(dataset)

    return _svg(draw, 10.6, 3.1 * len(datasets))


# ---------------------------------------------------------------------------------------------------------------------
# Sections


def _dataset_section(
    dataset: str, pooled: Sequence[Pooled], tables: Mapping[str, Rows], strips: bytes
) -> str:
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
    chance = {row["kind"]: row for row in tables["chance"] if row["dataset"] == dataset}
    subjects = max(len(one.subjects) for one in pooled)
    f1 = ", ".join(
        f"{one.label} {shown(one.score['overall'].f1, '.2f')}" for one in pooled if one.parts == PARTS
    )
    name = html.escape(dataset)
    return f"""
<section id="{name}">
<h2>{name} {badge}</h2>
{remark}
<p class=protocol>{html.escape(protocol_text(row_of(pooled[0], "overall")))} ·
{len(videos)} videos of {subjects} subjects · {events["ME"]} ME, {events["MaE"]} MaE</p>
{
        look.scroll_box(
            f'''<table>
<caption>Counts of all folds that are done, pooled</caption>
<thead><tr><th scope=col>method<th scope=col>kind<th scope=col>F1<th scope=col class=spark>0 <i>F1</i> 1
<th scope=col>95 % interval<th scope=col>chance F1<br><small>mean, 97.5 %</small>
<th scope=col>TP<th scope=col>FP<th scope=col>FN<th scope=col>precision<th scope=col>recall<th scope=col>FP/min
<th scope=col>onset, offset<br><small>median error, ms</small></tr></thead>
{lines}{_chance_lines(chance)}
</table>''',
            f"Results on {dataset}",
        )
    }
{
        look.figure(
            strips,
            f"F1 of every subject of {dataset}. Pooled, overall: {f1}",
            '''Every pale dot is one subject. Large dot
and line: all subjects pooled, with the 95 % interval that drawing the subjects again gives. Dashed: what 97.5 % of
random placements of as many intervals stay below.''',
        )
    }
{_leads_part([row for row in tables["differences"] if row["dataset"] == dataset])}
{_subjects_part(pooled)}
{"".join(_found_part(one) for one in pooled if record["synthetic"])}
</section>"""


def _table_lines(one: Pooled) -> str:
    record = one.record
    parts = [
        f"{record['profile']}, seed {record['seed']}, code {record['code_version']}",
        *(f"{name} = {value}" for name, value in record["parameters"].items()),
        *([f"looks for {' and '.join(one.parts)} alone"] if one.parts != PARTS else []),
        *([f"{one.left_out} runs of older code or data left out"] if one.left_out else []),
    ]
    notes = "<br>".join([_folds_done(one), _selection(record), *map(html.escape, parts)])
    head = f"<th scope=rowgroup rowspan=3 class=method>{html.escape(record['method'])}<small>{notes}</small>"
    lines = []
    for part in SHOWN_PARTS:
        lines.append(f'<tr class="{part}">{head}<td class=kind>{part}{_figures(row_of(one, part))}')
        head = ""
    return f"<tbody>{''.join(lines)}</tbody>"


def _figures(row: Mapping[str, Any]) -> str:
    if row["f1"] is None:
        return f"<td class=f1>{NOT_KNOWN}<td class=spark>" + f"<td>{NOT_KNOWN}" * 9
    known = row["onset_error_ms"] is not None
    errors = f"{row['onset_error_ms']:.0f}, {row['offset_error_ms']:.0f}" if known else "–"
    return (
        f"<td class=f1>{row['f1']:.3f}<td class=spark>{_spark(row)}<td>{_ends(row['ci_low'], row['ci_high'])}"
        f"<td>{row['chance_f1']:.3f}, {row['chance_ci_high']:.3f}"
        f"<td>{row['tp']}<td>{row['fp']}<td>{row['fn']}<td>{row['precision']:.3f}<td>{row['recall']:.3f}"
        f"<td>{row['fp_per_minute']:.2f}<td>{errors}"
    )


def _chance_lines(chance: Mapping[str, Mapping[str, Any]]) -> str:
    head = (
        "<th scope=rowgroup rowspan=3 class=method>chance<small>as many intervals as are true,<br>"
        "of their lengths, at random places</small>"
    )
    lines = []
    for part in SHOWN_PARTS:
        row = chance[part]
        lines.append(
            f'<tr class="{part} chance">{head}<td class=kind>{part}<td class=f1>{row["f1"]:.3f}<td class=spark><td>'
            f"<td>{row['f1']:.3f}, {row['ci_high']:.3f}<td colspan=7>"
        )
        head = ""
    return f"<tbody>{''.join(lines)}</tbody>"


def _leads_part(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return leads of all pairs as figure and table."""
    if not rows:
        return ""
    overall = [row for row in rows if row["kind"] == "overall"] or list(rows)
    drawn = sorted(overall, key=lambda row: -row["difference"])
    many = ""
    if len(drawn) > _MOST_PAIRS:
        drawn = drawn[:_MOST_PAIRS]
        many = f" The {_MOST_PAIRS} largest of {len(overall)} leads."
    kind = drawn[0]["kind"]
    caption = f"""Leads of one method over another ({kind}), on the subjects that both have done, with 95 % intervals
from drawing these subjects again. Hollow: the interval holds 0, so the order of the two is not certain.{many}"""
    columns = {
        "kind": lambda row: row["kind"],
        "first": lambda row: html.escape(row["first"]),
        "second": lambda row: html.escape(row["second"]),
        "subjects": lambda row: _share(row["subjects"], row["of_subjects"]),
        "F1": lambda row: f"{row['f1_first']:.3f}, {row['f1_second']:.3f}",
        "lead": lambda row: f"<b>{row['difference']:+.3f}</b>",
        "95 % interval": lambda row: _ends(row["ci_low"], row["ci_high"], "+.3f"),
        "draws above 0": lambda row: shown(row["positive"], ".1%"),
    }
    alt = "; ".join(f"{row['first']} over {row['second']} {row['difference']:+.2f}" for row in drawn)
    return f"""{look.figure(_leads(drawn), f"Leads in F1, {kind}: {alt}", caption, narrow=True)}
<details class=more><summary>All {len(rows)} leads, MaE, ME and overall</summary>
{look.table("Differences of pooled F1", columns, rows, text=3)}</details>"""


def _subjects_part(pooled: Sequence[Pooled]) -> str:
    names = sorted({subject for one in pooled for subject in one.subjects})

    def cell(one: Pooled, subject: str) -> str:
        counts = one.subjects.get(subject)
        if counts is None:
            return "<small>not done</small>"
        return " / ".join(
            shown(subject_f1(counts[part]), ".2f") if part in one.parts else NOT_KNOWN for part in SHOWN_PARTS
        )

    columns: dict[str, Callable[[str], str]] = {"subject": html.escape}
    columns |= {html.escape(one.label): functools.partial(cell, one) for one in pooled}
    return f"""<details class=more><summary>F1 of each of {len(names)} subjects</summary>
{look.table("F1 of each subject: MaE / ME / overall", columns, names, text=1)}</details>"""


def _found_part(one: Pooled) -> str:
    """Return the timelines of a method, folded away. For drawn data only: licensed labels are not ours to show."""
    every = sorted(one.truth)
    some = every[:_MOST_VIDEOS]
    which = "every video" if some == every else f"the first {len(some)} of {len(every)} videos"
    return f"""<details><summary>What {html.escape(one.label)} found in {which}</summary>
{
        look.figure(
            _found(one, some),
            f"True and spotted intervals of {which}",
            '''Above the line what is true, below it what was
spotted.''',
        )
    }</details>"""


def _ranks_section(ranked: Mapping[str, Sequence[Ranking]]) -> str:
    parts = [_ranking_part(one, part) for part, some in ranked.items() if part != "MaE" for one in some]
    if not parts:
        return ""
    return f"""
<section id="ranks"><h2>Ranks over subjects</h2>
<p>Each subject ranks the methods by its F1, the best one first; equals share their ranks. Bars join methods whose
average ranks are less than the critical difference CD apart (Nemenyi, level 5 %): these subjects do not tell which of
them is better. An average rank depends on who else takes part; the signed-rank tests of pairs, corrected for their
number (Holm), do not.</p>{"".join(parts)}</section>"""


def _ranking_part(one: Ranking, part: str) -> str:
    n, k = len(one.blocks), len(one.names)
    datasets = dict.fromkeys(block.rpartition("/")[0] for block in one.blocks)
    chi2, p = one.friedman
    least = smallest_p(n, len(one.pairs))
    title = "all expressions" if part == "overall" else part
    average = ", ".join(f"{one.names[i]} {one.average[i]:.2f}" for i in one.order)
    alt = f"Average ranks, {title}: {average}. Critical difference {one.distance:.2f}"
    columns = {
        "pair": lambda pair: html.escape(f"{one.names[pair.first]}, {one.names[pair.second]}"),
        "difference of average ranks": lambda pair: (
            f"{abs(one.average[pair.first] - one.average[pair.second]):.2f}"
        ),
        "p, signed ranks": lambda pair: f"{pair.p:.4f}",
        "p, corrected": lambda pair: f"{pair.p_holm:.4f}",
    }
    caption = f"""{n} subjects with a true interval ({", ".join(datasets)}), {k} methods. Any difference at all:
Friedman chi2 {chi2:.2f}, p {p:.2g}. So many subjects and pairs allow no corrected p below {least:.2g}."""
    out = "".join(f"<li>{html.escape(line)}" for line in one.left_out)
    return f"""<h3>{title} <small>({html.escape(one.rules)})</small></h3>
{look.figure(_ranks(one), alt, caption, narrow=True)}
{f"<p>Not ranked:</p><ul>{out}</ul>" if out else ""}
<details class=more><summary>Tests of all {len(one.pairs)} pairs</summary>
{look.table("Pairs of methods", columns, one.pairs, text=1)}</details>"""


def _costs_section(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        "dataset": lambda row: html.escape(row["dataset"]),
        "method": lambda row: html.escape(row["method"]),
        "folds": lambda row: _share(row["folds"], row["n_folds"]),
        "s per run": lambda row: f"{row['seconds_median']:.0f}",
        "s at most": lambda row: f"{row['seconds_most']:.0f}",
        "s of video per run": lambda row: f"{row['video_seconds']:.0f}",
        "s per s of video": lambda row: f"{row['seconds_per_video_second']:.2f}",
        "memory, MB": lambda row: shown(row["peak_memory_mb"], ".0f"),
        "F1 overall": lambda row: shown(row["f1_overall"]),
        "F1 of ME": lambda row: shown(row["f1_ME"]),
    }
    if not rows:
        return ""
    return f"""
<section id="cost"><h2>Cost beside quality</h2>
<p>A run is the whole notebook of one fold: training, figures and tables, and the features that it measures itself.
What was in the cache cost it nothing, and other work on the machine makes it slower; so read these as sizes, not as a
race.</p>
{
        look.figure(
            _costs(rows),
            "F1 over seconds per run and over memory, one line of panels per dataset",
            '''Better is up and to
the left. Hollow: F1 of ME, of a method that looks for nothing else.''',
        )
    }
{look.table("Seconds and memory of runs", columns, rows, text=2)}</section>"""


def _claims_section(rows: Sequence[Mapping[str, Any]]) -> str:
    lines: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        line = row["label"], row["dataset"]
        lines.setdefault(line, {})[row["kind"]] = row
    if not rows:
        return ""

    def first(line: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        return next(iter(line.values()))

    def triple(line: Mapping[str, Mapping[str, Any]], show: Callable[[Mapping[str, Any]], str]) -> str:
        return " / ".join(show(line[part]) if part in line else NOT_KNOWN for part in SHOWN_PARTS)

    columns = {
        "method": lambda line: html.escape(first(line)["label"]),
        "ours on": lambda line: html.escape(first(line)["dataset"]) + _badge(first(line)["synthetic"]),
        "folds": lambda line: _share(first(line)["folds"], first(line)["n_folds"]),
        "our F1<br><small>MaE / ME / overall</small>": lambda line: triple(
            line, lambda row: f"{row['f1']:.3f}"
        ),
        "published on": lambda line: html.escape(first(line)["claimed_on"]) + " <small>(people)</small>",
        "published F1<br><small>MaE / ME / overall</small>": lambda line: triple(
            line, lambda row: html.escape(row["printed"])
        ),
        "difference": lambda line: (
            NOT_KNOWN
            if first(line)["synthetic"]
            else triple(line, lambda row: shown(row["difference"], "+.3f"))
        ),
    }
    sources = "".join(f"<li>{line}" for line in sorted({_source(row) for row in rows}))
    drawn = any(row["synthetic"] for row in rows)
    warning = (
        "<p class=warning>Where ours is on synthetic data and theirs on people, these are two different tasks: no "
        "difference is computed.</p>"
        if drawn
        else ""
    )
    return f"""
<section id="claims"><h2>What papers print, beside ours</h2>{warning}
{look.table("Published figures", columns, list(lines.values()), text=3)}
<ul class=sources>{sources}</ul></section>"""


def _source(row: Mapping[str, Any]) -> str:
    note = f" ({row['note']})" if row["note"] else ""
    return html.escape(f"{row['method']}: {row['paper']}, {row['table']}{note}")


def _badge(synthetic: bool) -> str:
    return ' <span class="badge">synthetic</span>' if synthetic else ""


# ---------------------------------------------------------------------------------------------------------------------
# Parts of a page


def _folds_done(one: Pooled) -> str:
    text = f"{len(one.results)} of {one.n_folds} folds"
    return text if one.complete else f"<mark>{text}</mark>"


def _share(some: int, every: int) -> str:
    return f"{some} of {every}" if some == every else f"<mark>{some} of {every}</mark>"


def _ends(low: float | None, high: float | None, form: str = ".3f") -> str:
    return NOT_KNOWN if low is None or high is None else f"{low:{form}} – {high:{form}}"


def _selection(record: Mapping[str, Any]) -> str:
    oracle = record["selection"] == "oracle"
    return "<mark>oracle: saw the held-out truth</mark>" if oracle else "thresholds from other subjects"


def _spark(row: Mapping[str, Any]) -> str:
    """Return a drawing of one line of text: F1 as a dot, its interval as a line, chance as a dashed tick."""
    x = {
        name: 4 + 112 * row[name]
        for name in ("f1", "ci_low", "ci_high", "chance_ci_high")
        if row[name] is not None
    }
    line = f"M{x['ci_low']:.1f} 8H{x['ci_high']:.1f}" if "ci_low" in x else ""
    return (
        '<svg width="120" height="16" viewBox="0 0 120 16" aria-hidden="true">'
        '<path d="M4 8H116" stroke="#ddd"/>'
        f'<path d="M{x["chance_ci_high"]:.1f} 1V15" stroke="#7F7F7F" stroke-dasharray="2 1.5"/>'
        f'<path d="{line}" stroke="currentColor" stroke-width="3"/>'
        f'<circle cx="{x["f1"]:.1f}" cy="8" r="4.5" fill="currentColor" stroke="white"/></svg>'
    )


def _page(sections: Mapping[str, str], problems: Sequence[str], failed: Sequence[str]) -> str:
    empty = """<section><h2>No finished run was found</h2>
<p><code>mespot reproduce</code> draws the synthetic datasets and runs every method on them;
<code>mespot sweep --methods zhang2020,flow_peaks</code> does the quick ones in minutes;
<code>mespot report --reports reports/reference</code> shows the runs that come with the project.</p></section>"""
    links = "".join(f'<a href="#{name}">{name}</a> ' for name in map(html.escape, sections))
    return f"""{look.page_head("mespot: spotting results")}
<header><h1>Spotting micro- and macro-expressions</h1>
<p>Every line pools the counts of the folds that are done and states how it was made. A hit is a spotted interval that
overlaps a true one of its kind enough; each true interval is found once. ME are micro-expressions of at most half a
second, MaE macro-expressions.</p><nav aria-label="Sections">{links}</nav></header>
<main>{"".join(sections.values()) or empty}
{look.bullets("Runs that cannot be read", problems)}
{look.bullets("Runs that stopped with an error", failed)}
</main></html>
"""
