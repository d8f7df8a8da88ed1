"""The records of the benchmarks as text, as the table of the README, and as a figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]

MET, MISSED, OTHER = "#009E73", "#D55E00", "#0072B2"  # of Okabe and Ito; the shape of the mark tells them too
_HEAD = ("what", "beside", "times as fast", "goal", "of the limit", "MB, ours and theirs")


def read_records(folder: Path) -> list[Record]:
    """Return the records of a folder of benchmarks, in the order in which `tools/bench.py` runs them."""
    from bench import BENCHMARKS

    paths = [folder / f"{name}.json" for name in BENCHMARKS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def all_of(records: Sequence[Record], part: str) -> list[dict[str, Any]]:
    """Return the "rows" or the "growth" of all records."""
    return [row for record in records for row in record[part]]


def met(row: dict[str, Any]) -> bool | None:
    """Tell whether a row reaches its goal; None if it has none."""
    return None if row["goal"] is None else row["ratio"] >= row["goal"]


def times(ratio: float) -> str:
    """Return a ratio with two digits."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def text(records: Sequence[Record]) -> str:
    """Return all ratios and slopes for the terminal."""
    rows, growth = all_of(records, "rows"), all_of(records, "growth")
    lines = [f"{'':26} {'times as fast':>24} {'goal':>6} {'MB':>12}   beside"]
    for row in rows:
        spread = f"{times(row['ratio'])} ({times(row['ratio_low'])} to {times(row['ratio_high'])})"
        goal = "" if row["goal"] is None else f"{row['goal']:g}{'' if met(row) else ' !'}"
        memory = " ".join("-" if row[m] is None else f"{row[m]:.0f}" for m in ("ours_mb", "theirs_mb"))
        lines.append(f"{row['name']:26} {spread:>24} {goal:>6} {memory:>12}   {row['beside']}")
    lines.append(f"\n{'growth':26} {'power of the seconds':>24} {'MB per unit':>19}   unit")
    for one in growth:
        lines.append(
            f"{one['name']:26} {one['exponent']:>24.2f} {one['mb_per_unit']:>19.3f}   {one['unit']}: "
            + ", ".join(f"{size:g}" for size in one["sizes"])
        )
    return "\n".join(lines)


def table(records: Sequence[Record]) -> str:
    """Return the ratios as the table of the README."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    for row in all_of(records, "rows"):
        limit = "" if row["limit_s"] is None else f"{100 * row['limit_s'] / row['ours_s']:.0f} %"
        goal = "" if row["goal"] is None else f"{row['goal']:g}"
        memory = [f"{row[one]:.0f}" for one in ("ours_mb", "theirs_mb") if row[one] is not None]
        cells = (
            row["what"],
            row["beside"],
            {True: "**{}**", False: "{} (missed)", None: "{}"}[met(row)].format(times(row["ratio"])),
            goal,
            limit,
            " and ".join(memory),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def growth_table(records: Sequence[Record]) -> str:
    """Return the slopes as a table of the README."""
    lines = ["| what grows | sizes | seconds grow with the power | MB per unit |", "|---|---|---|---|"]
    for one in all_of(records, "growth"):
        sizes = ", ".join(f"{size:g}" for size in one["sizes"])
        unit = one["unit"].replace("minute ", "minutes ")
        unit = unit if " " in unit else f"{unit}s"
        lines.append(f"| {one['what']} | {sizes} {unit} | {one['exponent']:.2f} | {one['mb_per_unit']:.2f} |")
    return "\n".join(lines)


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw the ratios with their goals, and how seconds and memory grow, and write the picture to `path`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows, growth = all_of(records, "rows"), all_of(records, "growth")
    height = max(3.0, 0.24 * len(rows) + 1.2)
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
    }
    with plt.rc_context(style):
        figure = plt.figure(figsize=(11, height), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
        draw_ratios(left.subplots(), rows)
        upper, lower = right.subplots(2, 1, sharex=False)
        draw_growth(upper, growth, "seconds", "processor seconds, first size = 1")
        draw_growth(lower, growth, "mb", "MB beyond the start")
        if growth:
            handles, labels = upper.get_legend_handles_labels()
            right.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=8, ncols=2)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def draw_ratios(ax: Any, rows: Sequence[dict[str, Any]]) -> Any:
    """Draw the ratio of every row with the range of its rounds; a filled mark reaches its goal, a cross misses it."""
    marks = {True: (MET, "o"), False: (MISSED, "X"), None: (OTHER, "D")}
    for y, row in enumerate(reversed(rows)):
        colour, mark = marks[met(row)]
        ax.plot([row["ratio_low"], row["ratio_high"]], [y, y], color=colour, lw=2, alpha=0.5)
        ax.plot(row["ratio"], y, mark, color=colour, ms=6)
        if row["goal"] is not None:
            ax.plot(row["goal"], y, "|", color="black", ms=12, mew=2)
    for words, of in (("reaches its goal", True), ("misses it", False), ("has none", None)):
        if any(met(row) is of for row in rows):
            ax.plot([], [], marks[of][1], color=marks[of][0], label=words)
    if any(row["goal"] is not None for row in rows):
        ax.plot([], [], "|", color="black", ms=12, mew=2, label="goal")
    ax.axvline(1, color="grey", lw=1, zorder=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticks(range(len(rows)), [row["name"].replace("_", " ") for row in reversed(rows)])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(axis="x", color="0.9", zorder=0)
    ax.set_xlabel("times as fast as the other way (1: equally fast)")
    ax.set_title("Ours beside what a user would do instead")
    ax.legend(frameon=True, framealpha=1, edgecolor="0.9", fontsize=8)
    return ax


def draw_growth(ax: Any, growth: Sequence[dict[str, Any]], of: str, label: str) -> Any:
    """Draw the seconds (relative to the first size) or the MB of growing work over its size, relative to the first."""
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#7F7F7F")
    most = 1.0
    for number, one in enumerate(growth):
        sizes = [size / one["sizes"][0] for size in one["sizes"]]
        values = [value / one["seconds"][0] for value in one["seconds"]] if of == "seconds" else one["mb"]
        most = max(most, *sizes)
        line = "-" if number < len(colours) else "--"
        ax.plot(
            sizes,
            values,
            line,
            marker="osD^vPX<"[number % 8],
            ms=4,
            lw=1.2,
            color=colours[number % len(colours)],
            label=one["name"].replace("_", " "),
        )
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("size, first = 1")
    if of == "seconds":
        ax.set_yscale("log", base=2)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.plot([1, most], [1, most], color="grey", lw=4, alpha=0.3, zorder=0)
        ax.set_title("Work grows in proportion (grey)")
    else:
        ax.set_title("Memory")
    ax.set_ylabel(label)
    ax.grid(color="0.9")
    return ax
