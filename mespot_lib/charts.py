"""Drawings of finished runs, each on axes that the caller gives: strips of subjects, leads, ranks, cost, claims.

ME is orange and MaE blue as in `viz`, both together are dark grey. Nothing is computed here that a number depends on.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from mespot_lib.interval import Interval
from mespot_lib.metrics import match
from mespot_lib.ranks import Ranking
from mespot_lib.report import Pooled, subject_f1
from mespot_lib.viz import FALSE, HIT, KIND_COLOURS

COLOURS = {**KIND_COLOURS, "overall": "#333333"}
TITLES = {"ME": "ME", "MaE": "MaE", "overall": "all expressions"}


def short_names(names: Sequence[str]) -> list[str]:
    """Return names of lines without the size, such as " (quick)", where all of them have the same."""
    sizes = {name[name.rfind(" (") :] for name in names}
    return [name.removesuffix(*sizes) for name in names] if len(sizes) == 1 else list(names)


def draw_strips(ax: Axes, pooled: Sequence[Pooled], part: str) -> Axes:
    """Draw F1 of every subject as pale dots, the pooled F1 with its 95 % interval, and what chance stays below."""
    rng = np.random.default_rng(0)  # where dots of equal F1 land
    colour = COLOURS[part]
    for y, one in enumerate(pooled):
        if part not in one.parts:
            ax.text(
                0.5,
                y,
                f"looks for {' and '.join(one.parts)} alone",
                color="#6B6B6B",
                ha="center",
                va="center",
            )
            continue
        each = [f1 for s in one.subjects.values() if (f1 := subject_f1(s[part])) is not None]
        spread = y + rng.uniform(-0.16, 0.16, len(each))
        ax.scatter(each, spread, s=16, color=colour, alpha=0.35, linewidths=0)
        if len(one.subjects) > 1:
            ax.plot(one.interval(part), [y, y], color=colour, linewidth=2.5, solid_capstyle="round")
        ax.plot(one.score[part].f1, y, "o", color=colour, markersize=7, markeredgecolor="white")
        high = one.chance[part].high
        ax.vlines(high, y - 0.3, y + 0.3, color=FALSE, linestyle=(0, (2, 1.5)), linewidth=1.2)
    names = short_names([one.label for one in pooled])
    folds = ["" if one.complete else f"\n{len(one.results)} of {one.n_folds} folds" for one in pooled]
    ax.set_yticks(range(len(pooled)), [name + some for name, some in zip(names, folds, strict=True)])
    ax.set(ylim=(len(pooled) - 0.4, -0.6), xlim=(-0.03, 1.03), xlabel="F1")
    ax.set_title(TITLES[part], color=colour)
    return _rows_alone(ax)


def _rows_alone(ax: Axes) -> Axes:
    """Leave faint lines for the values and no marks for the rows."""
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    return ax


def show(figure: Figure, colours: int = 128) -> None:
    """Show a figure in a notebook as PNG of few colours, and close it: lines so take a quarter of the room."""
    import matplotlib.pyplot as plt
    from IPython.display import Image, display
    from PIL import Image as Picture

    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    Picture.open(drawn).convert("RGB").quantize(colours).save(stored, "png", optimize=True)
    plt.close(figure)
    display(Image(stored.getvalue(), width=int(figure.get_figwidth() * 80)))


# ---------------------------------------------------------------------------------------------------------------------
# Leads and ranks


def draw_differences(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> Axes:
    """Draw rows of `comparison.differences` of one kind as leads with their 95 % intervals; hollow where 0 is in it."""
    names = short_names([name for row in rows for name in (row["first"], row["second"])])
    labels = []
    for y, row in enumerate(rows):
        colour = COLOURS[row["kind"]]
        known = row["ci_low"] is not None
        if known:
            ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=2.2, solid_capstyle="round")
        sure = known and not row["ci_low"] <= 0 <= row["ci_high"]
        ax.plot(row["difference"], y, "o", ms=7, color=colour, mfc=colour if sure else "white", mew=1.6)
        shared = "" if row["subjects"] == row["of_subjects"] else f" ({row['subjects']} subjects)"
        labels.append(f"{names[2 * y]} - {names[2 * y + 1]}{shared}")
    ax.axvline(0, color="#333333", lw=1)
    ax.set_yticks(range(len(rows)), labels)
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="difference of pooled F1")
    return _rows_alone(ax)


def draw_ranking(ax: Axes, ranking: Ranking) -> Axes:
    """Draw the diagram of critical differences: average ranks on a line, bars over methods that are not apart.

    1, the best rank, is on the left.
    """
    k, average, order = len(ranking.names), ranking.average, ranking.order
    names = short_names(ranking.names)
    ax.plot([1, k], [0, 0], color="#333333", lw=1.2)
    for tick in range(1, k + 1):
        ax.plot([tick, tick], [0, 0.12], color="#333333", lw=1.2)
        ax.text(tick, 0.2, str(tick), ha="center", va="bottom")
    ax.plot([1, 1 + ranking.distance], [0.75, 0.75], color="#333333", lw=1.6, marker="|", ms=9, mew=1.6)
    ax.text(1 + ranking.distance / 2, 0.82, f"CD = {ranking.distance:.2f}", ha="center", va="bottom")
    bars = ranking.groups
    for row, group in enumerate(bars):
        low, high = average[group[0]], average[group[-1]]
        y = -0.22 - 0.2 * row
        ax.plot([low - 0.03, high + 0.03], [y, y], color=COLOURS["ME"], lw=4, solid_capstyle="round")
    below = -0.45 - 0.2 * len(bars)
    left = (k + 1) // 2
    for place, method in enumerate(order):
        first_half = place < left
        y = below - 0.36 * (place if first_half else k - 1 - place)
        end = 0.9 if first_half else k + 0.1
        ax.plot([average[method]] * 2 + [end], [0, y, y], color="#777777", lw=1)
        ax.plot(average[method], 0, "o", color="#333333", ms=5)
        text = f"{names[method]}  {average[method]:.2f}"
        ax.text(
            end,
            y,
            text + " " if first_half else " " + text,
            ha="right" if first_half else "left",
            va="center",
        )
    lowest = below - 0.36 * (left - 1)
    ax.set(xlim=(1 - 0.5 * k, k + 0.5 * k), ylim=(lowest - 0.2, 1.1))
    ax.set_axis_off()
    return ax


# ---------------------------------------------------------------------------------------------------------------------
# Cost and claims

COSTS = {
    "seconds_median": "seconds per run (median)",
    "seconds_per_video_second": "seconds per second of held-out video",
    "peak_memory_mb": "memory at most, MB",
}


def draw_costs(ax: Axes, rows: Sequence[Mapping[str, Any]], cost: str = "seconds_median") -> Axes:
    """Draw rows of `report.cost_rows` as F1 over what it costs, one of `COSTS`; better is up and to the left.

    A hollow dot is F1 of ME, of a method that looks for ME alone.
    """
    rows = sorted((row for row in rows if row[cost] is not None), key=lambda row: _quality(row))
    if not rows:
        return ax
    heights = _apart([_quality(row) for row in rows], 0.1)
    for row, height in zip(rows, heights, strict=True):
        alone = row["f1_overall"] is None
        colour = COLOURS["ME"] if alone else COLOURS["overall"]
        ax.plot(row[cost], _quality(row), "o", ms=8, color=colour, mfc="white" if alone else colour, mew=1.8)
        some = "" if row["folds"] == row["n_folds"] else f", {row['folds']} of {row['n_folds']} folds"
        text = row["method"] + (" (ME)" if alone else "") + some
        ax.annotate(
            text,
            (row[cost], _quality(row)),
            xytext=(1.03, height),
            textcoords=ax.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": "#BBBBBB", "lw": 0.8, "shrinkB": 5},
        )
    values = [row[cost] for row in rows]
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.set(xlim=(min(values) / 1.6, max(values) * 1.6), ylim=(-0.04, 1.04))
    ax.set(xlabel=COSTS[cost], ylabel="F1 overall")
    ax.grid(color="#E5E5E5", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _quality(row: Mapping[str, Any]) -> float:
    return row["f1_ME"] if row["f1_overall"] is None else row["f1_overall"]


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """Return rising values moved up as little as needed to be `gap` apart, and down again where they leave 1."""
    moved: list[float] = []
    for value in values:
        moved.append(max(value, moved[-1] + gap) if moved else value)
    return [min(value, 1.0 - gap * (len(moved) - 1 - i)) for i, value in enumerate(moved)]


def draw_claims(ours: Axes, theirs: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw rows of `comparison.beside_claims` of one dataset: ours on the left, what papers print on the right.

    Two axes, not one, wherever the videos are different ones.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for row in rows:
        y = methods.index(row["method"]) + {"MaE": -0.22, "ME": 0.0, "overall": 0.22}[row["kind"]]
        colour = COLOURS[row["kind"]]
        if row["ci_low"] is not None:
            ours.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=2.2)
        ours.plot(row["f1"], y, "o", ms=6, color=colour)
        theirs.plot(row["claimed"], y, "D", ms=6, color=colour, mfc="white", mew=1.6)
    drawn = rows[0]["synthetic"]
    ours.set_title(f"ours, {'synthetic' if drawn else 'on people'}: {rows[0]['dataset']}")
    theirs.set_title(f"published, on people: {rows[0]['claimed_on']}")
    for ax in (ours, theirs):
        ax.set_yticks(range(len(methods)), methods)
        ax.set(xlim=(-0.03, 1.03), ylim=(len(methods) - 0.5, -0.5), xlabel="F1")
        _rows_alone(ax)
    kinds = [kind for kind in ("MaE", "ME", "overall") if any(row["kind"] == kind for row in rows)]
    theirs.legend(handles=[Patch(color=COLOURS[kind], label=kind) for kind in kinds], fontsize=8)


# ---------------------------------------------------------------------------------------------------------------------
# What was found where


def draw_found(ax: Axes, one: Pooled, videos: Sequence[str]) -> Axes:
    """Draw videos as lines: truth above in the colour of its kind, hatched if missed, spotted below by outcome."""
    facts = {video["video"]: video for video in one.videos}
    seconds = {video: facts[video]["frames"] / facts[video]["fps"] for video in videos}
    for y, video in enumerate(videos):
        ax.plot([0, seconds[video]], [y, y], color="#DDDDDD", linewidth=0.8, zorder=0)
        _draw_video(ax, y, one.truth[video], one.spotted[video], facts[video]["fps"], one.record["t_eval"])
    ax.set_yticks(range(len(videos)), ["/".join(video.split("/")[1:]) or video for video in videos])
    ax.set(ylim=(len(videos) - 0.4, -0.6), xlim=(0, max(seconds.values())), xlabel="time, s")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    missed = Patch(facecolor="#EEEEEE", edgecolor="#777777", hatch="//////", label="missed")
    solid = {**{f"{kind} truth": c for kind, c in KIND_COLOURS.items()}, "hit": HIT, "false": FALSE}
    handles = [*(Patch(color=colour, label=name) for name, colour in solid.items()), missed]
    ax.legend(handles=handles, ncols=5, loc="lower right", bbox_to_anchor=(1, 1))
    return ax


def _draw_video(
    ax: Axes, y: float, truth: Sequence[Interval], spotted: Sequence[Interval], fps: float, t_eval: float
) -> None:
    pairs = match(truth, spotted, t_eval)
    found, hits = {t for t, _ in pairs}, {s for _, s in pairs}
    for i, span in enumerate(truth):
        colour = KIND_COLOURS[span.kind]
        look: dict[str, Any] = {"color": colour}
        if i not in found:
            look |= {"facecolor": "white", "edgecolor": colour, "hatch": "//////"}
        ax.barh(y - 0.21, span.length / fps, 0.38, span.onset / fps, **look)
    for i, span in enumerate(spotted):
        colour = HIT if i in hits else FALSE
        ax.barh(y + 0.2, span.length / fps, 0.34, span.onset / fps, color=colour)
