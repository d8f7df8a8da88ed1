"""The report in numbers: finished runs pooled over folds, as rows.

    rows            one for each method, dataset and kind: counts, F1, uncertainty, chance, protocol
    chance_rows     what needs no method: as many intervals as are true, at random places
    subject_rows    the counts of every subject
    cost_rows       seconds and memory, beside F1

Runs belong together only if they agree in everything but the fold: dataset, method, profile, seed, parameters, honest
or oracle, evaluation, and also content of the dataset and version of the code. Where there are several of the latter
two, the one with the newest run is taken, and the rest is counted as left out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mespot_lib.interval import Interval
from mespot_lib.metrics import (
    PARTS,
    Chance,
    Counts,
    Score,
    bootstrap_f1,
    boundary_errors_ms,
    chance,
    fp_per_minute,
    pool,
)
from mespot_lib.runs import Result

CHANCE_DRAWS = 1000

NOT_KNOWN = "n/a"
# Methods that look for ME alone. Zero MaE found would be no result of theirs, so MaE and overall are left empty.
ME_ALONE = frozenset({"mesnet", "mdmd", "lbp_chi2", "ltp_ml"})

# Runs of one line agree in these ...
_PROTOCOL = (
    "dataset",
    "method",
    "profile",
    "seed",
    "parameters",
    "selection",
    "evaluation",
    "t_eval",
    "fold_rule",
)
# ... and in these, of which the newest is taken.
_VERSION = ("code_version", "manifest_digest", "fix_policy")


@dataclass(frozen=True)
class Pooled:
    """Results of one method on one dataset, as many folds as there are; `left_out` counts runs of older versions."""

    results: Sequence[Result]
    left_out: int = 0

    @property
    def record(self) -> Mapping[str, Any]:
        """Return the record of one run: good for all that the runs have in common."""
        return self.results[0].record

    @property
    def n_folds(self) -> int:
        """Return how many folds the dataset has; `len(results)` of them are done."""
        return self.record["n_folds"]

    @property
    def complete(self) -> bool:
        """Return whether every fold of the dataset is done."""
        return len(self.results) == self.n_folds

    @property
    def parts(self) -> tuple[str, ...]:
        """Return what the method looks for, of "ME", "MaE" and "overall"."""
        return ("ME",) if self.record["method"] in ME_ALONE else PARTS

    @property
    def label(self) -> str:
        """Return the method with all that tells it from another line: size, seed, parameters, oracle."""
        return line_label(self.record)

    @cached_property
    def truth(self) -> dict[str, list[Interval]]:
        """Return the true intervals of all videos."""
        return {video: spans for result in self.results for video, spans in result.truth.items()}

    @cached_property
    def spotted(self) -> dict[str, list[Interval]]:
        """Return the spotted intervals of all videos."""
        return {video: spans for result in self.results for video, spans in result.spotted.items()}

    @cached_property
    def subjects(self) -> dict[str, Score]:
        """Return the score of each subject."""
        subject = {video["video"]: video["subject"] for video in self.videos}
        return pool({v: one for result in self.results for v, one in result.score.videos.items()}, subject)

    @cached_property
    def score(self) -> Score:
        """Return the counts of all folds together."""
        each = self.subjects.values()
        return Score(sum((s.ME for s in each), Counts()), sum((s.MaE for s in each), Counts()))

    @cached_property
    def chance(self) -> dict[str, Chance]:
        """Return what the same amount of intervals at random places scores."""
        lengths = {video["video"]: video["frames"] for video in self.videos}
        return chance(self.spotted, self.truth, lengths, CHANCE_DRAWS, t_eval=self.record["t_eval"])

    def interval(self, part: str) -> tuple[float, float]:
        """Return the subject-bootstrap 95 % interval of F1 of "ME", "MaE" or "overall"."""
        return bootstrap_f1([one[part] for one in self.subjects.values()])

    def error_ms(self, part: str) -> tuple[float, float] | None:
        """Return the median distance of matched onsets and offsets in ms, None without a match."""
        kinds = ("ME", "MaE") if part == "overall" else (part,)
        truth, spotted = (
            {video: [span for span in spans if span.kind in kinds] for video, spans in side.items()}
            for side in (self.truth, self.spotted)
        )
        fps = {video["video"]: video["fps"] for video in self.videos}
        errors = boundary_errors_ms(truth, spotted, fps, self.record["t_eval"])
        return tuple(np.median(np.abs(errors), axis=0).tolist()) if len(errors) else None

    @cached_property
    def truth_by_subject(self) -> dict[str, dict[str, list[Interval]]]:
        """Return the true intervals by subject, then video: two methods can be compared where these are equal."""
        found: dict[str, dict[str, list[Interval]]] = {}
        for video in self.videos:
            found.setdefault(video["subject"], {})[video["video"]] = sorted(self.truth[video["video"]])
        return found

    @property
    def seconds_of_video(self) -> float:
        """Return how long the videos are together."""
        return sum(video["frames"] / video["fps"] for video in self.videos)

    @property
    def videos(self) -> list[Mapping[str, Any]]:
        """Return what the records say of each video: `video, subject, frames, fps`."""
        return [video for result in self.results for video in result.record["videos"]]


def pool_results(results: Iterable[Result]) -> list[Pooled]:
    """Group runs that differ in the fold only, in the order of dataset, method, profile and seed."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_agreement(result, _PROTOCOL), []).append(result)
    return [_newest_version(groups[key]) for key in sorted(groups)]


def _agreement(result: Result, names: Sequence[str]) -> str:
    return json.dumps([result.record[name] for name in names], sort_keys=True)


def _newest_version(results: Sequence[Result]) -> Pooled:
    newest = max(results, key=lambda result: result.record["finished"])
    same = [result for result in results if _agreement(result, _VERSION) == _agreement(newest, _VERSION)]
    # a fold counts once, also where somebody has copied its folder
    latest = {one.record["fold"]: one for one in sorted(same, key=lambda result: result.record["finished"])}
    return Pooled([latest[fold] for fold in sorted(latest)], len(results) - len(latest))


def line_label(record: Mapping[str, Any]) -> str:
    """Return the name of a line of the table: method, size, and seed, parameters and oracle where they are unusual."""
    changed = "".join(f", {name}={value}" for name, value in record["parameters"].items())
    seed = f", seed {record['seed']}" if record["seed"] else ""
    oracle = ", oracle" if record["selection"] == "oracle" else ""
    return f"{record['method']} ({record['profile']}{seed}{changed}{oracle})"


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return one row per method, dataset and kind (ME, MaE, overall): counts, ratios, uncertainty, chance, protocol.

    What a method does not look for has a row too, its figures None.
    """
    return [row_of(one, part) for one in pool_results(results) for part in PARTS]


def row_of(one: Pooled, part: str) -> dict[str, Any]:
    """Return the row of "ME", "MaE" or "overall"."""
    record = one.record
    return {
        "dataset": record["dataset"],
        "method": record["method"],
        "profile": record["profile"],
        "kind": part,
        "folds": len(one.results),
        "n_folds": one.n_folds,
        **_figures(one, part),
        "seed": record["seed"],
        "parameters": dict(record["parameters"]),
        "selection": record["selection"],
        "synthetic": record["synthetic"],
        "fix_policy": record["fix_policy"],
        "fold_rule": record["fold_rule"],
        "evaluation": record["evaluation"],
        "t_eval": record["t_eval"],
        "code_version": record["code_version"],
    }


def _figures(one: Pooled, part: str) -> dict[str, float | None]:
    counts = one.score[part]
    # one subject drawn again and again is always the same: that is no certainty
    low, high = one.interval(part) if len(one.subjects) > 1 else (None, None)
    errors = one.error_ms(part)
    figures = {
        **counts.as_dict(),
        "ci_low": low,
        "ci_high": high,
        "chance_f1": one.chance[part].f1,
        "chance_ci_high": one.chance[part].high,
        "fp_per_minute": fp_per_minute(counts, one.seconds_of_video),
        "onset_error_ms": errors[0] if errors else None,
        "offset_error_ms": errors[1] if errors else None,
    }
    return figures if part in one.parts else dict.fromkeys(figures)


def chance_rows(pooled: Iterable[Pooled]) -> list[dict[str, Any]]:
    """Return one row per dataset and kind: as many intervals as are true, of their lengths, at random places.

    This knows how many there are and how long each is, so it is more than a guess; a method at this height has found
    nothing. Of the methods of a dataset the one with the most folds says which subjects count.
    """
    most: dict[str, Pooled] = {}
    for one in pooled:
        before = most.get(one.record["dataset"])
        if before is None or len(one.results) > len(before.results):
            most[one.record["dataset"]] = one
    return [row for one in most.values() for row in _chance_of(one)]


def _chance_of(one: Pooled) -> list[dict[str, Any]]:
    lengths = {video["video"]: video["frames"] for video in one.videos}
    drawn = chance(one.truth, one.truth, lengths, CHANCE_DRAWS, t_eval=one.record["t_eval"])
    true = {part: one.score[part].tp + one.score[part].fn for part in PARTS}
    return [
        {
            "dataset": one.record["dataset"],
            "kind": part,
            "subjects": len(one.subjects),
            "intervals": true[part],
            "f1": drawn[part].f1,
            "ci_high": drawn[part].high,
        }
        for part in PARTS
    ]


def subject_rows(pooled: Iterable[Pooled]) -> list[dict[str, Any]]:
    """Return one row per method, dataset, subject and kind the method looks for: counts and F1.

    F1 is None for a subject without any true or spotted interval of the kind.
    """
    return [
        _line(one) | {"subject": subject, "kind": part} | _subject_figures(score[part])
        for one in pooled
        for subject, score in sorted(one.subjects.items())
        for part in one.parts
    ]


def _line(one: Pooled) -> dict[str, Any]:
    """Return what tells one line from another."""
    names = ("dataset", "method", "profile", "seed", "parameters", "selection", "synthetic")
    return {name: one.record[name] for name in names}


def _subject_figures(counts: Counts) -> dict[str, float | None]:
    return {**asdict(counts), "f1": subject_f1(counts)}


def subject_f1(counts: Counts) -> float | None:
    """Return F1 of one subject, None where nothing is true and nothing was spotted."""
    return counts.f1 if counts.tp or counts.fp or counts.fn else None


def cost_rows(pooled: Iterable[Pooled]) -> list[dict[str, Any]]:
    """Return one row per method and dataset: seconds of a run, per second of held-out video, memory, and F1.

    A run is the whole notebook of one fold: training, figures and tables, and what it measures itself; features that
    were in the cache cost it nothing.
    """
    rows = []
    for one in pooled:
        seconds = [result.record["seconds"] for result in one.results]
        memory = [result.record["peak_memory_mb"] for result in one.results]
        known = [peak for peak in memory if peak is not None]
        rows.append(
            _line(one)
            | {
                "folds": len(one.results),
                "n_folds": one.n_folds,
                "seconds_median": float(np.median(seconds)),
                "seconds_most": max(seconds),
                "video_seconds": one.seconds_of_video / len(one.results),
                "seconds_per_video_second": sum(seconds) / one.seconds_of_video,
                "peak_memory_mb": max(known, default=None),
                **{f"f1_{part}": one.score[part].f1 if part in one.parts else None for part in PARTS},
            }
        )
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# To look at


def table(rows: Sequence[Mapping[str, Any]], **only: Any) -> pd.DataFrame:
    """Return rows as a table to look at, rounded; `only` selects, for instance `method="zhang2020"`."""
    chosen = [row for row in rows if all(row[name] == value for name, value in only.items())]
    return pd.DataFrame([_cells(row) for row in chosen], columns=list(_cells(rows[0])) if rows else None)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    changed = "".join(f", {name}={value}" for name, value in row["parameters"].items())
    oracle = ", oracle" if row["selection"] == "oracle" else ""
    return {
        "dataset": row["dataset"],
        "method": f"{row['method']}{changed}{oracle}",
        "size": row["profile"],
        "seed": row["seed"],
        "kind": row["kind"],
        "folds": f"{row['folds']} of {row['n_folds']}",
        **{name.upper(): shown(row[name], "d") for name in ("tp", "fp", "fn")},
        **{name: shown(row[name]) for name in ("precision", "recall")},
        "F1": shown(row["f1"]),
        "95 %": shown_range(row["ci_low"], row["ci_high"]),
        "chance": shown(row["chance_f1"]),
    }


def overview(rows: Iterable[Mapping[str, Any]], chance: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """Return one line per dataset and method: folds, and F1 with its 95 % interval for MaE, ME and overall.

    rows, chance : of `rows` and `chance_rows`. Best overall first, lines with some folds missing last, then chance with
    what 97.5 % of random placements stay below.
    """
    lines: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["dataset"], line_label(row)), {})[row["kind"]] = row
    ordered = sorted(lines, key=lambda line: _place(line[0], lines[line]))
    table = {line: _overview_cells(lines[line]) for line in ordered}
    for row in chance:
        cells = table.setdefault((row["dataset"], "chance"), {"folds": ""})
        cells[row["kind"]] = f"{row['f1']:.3f} (below {row['ci_high']:.3f})"
    datasets = list(dict.fromkeys(dataset for dataset, _ in table))
    index = sorted(table, key=lambda line: datasets.index(line[0]))  # stable: chance stays last
    return pd.DataFrame(
        [table[line] for line in index],
        columns=["folds", "MaE", "ME", "overall"],
        index=pd.MultiIndex.from_tuples(index, names=["dataset", "method"]) if index else None,
    )


def _place(dataset: str, parts: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...]:
    row = parts["overall"]
    return dataset, row["folds"] < row["n_folds"], row["f1"] is None, -(row["f1"] or 0)


def _overview_cells(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    cells = {"folds": "{folds} of {n_folds}".format_map(parts["overall"])}
    for kind, row in parts.items():
        known = row["ci_low"] is not None
        cells[kind] = shown(row["f1"]) + (f" ({shown_range(row['ci_low'], row['ci_high'])})" if known else "")
    return cells


def shown(value: float | None, form: str = ".3f") -> str:
    """Return a figure as text, "n/a" for None."""
    return NOT_KNOWN if value is None else format(value, form)


def shown_range(low: float | None, high: float | None, form: str = ".3f") -> str:
    """Return an interval as text, "n/a" where it is not known."""
    return NOT_KNOWN if low is None or high is None else f"{low:{form}}-{high:{form}}"


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows for the terminal: a table for each dataset, its protocol above."""
    blocks = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        here = table(rows, dataset=dataset).drop(columns="dataset")
        first = next(row for row in rows if row["dataset"] == dataset)
        label = "synthetic data, " if first["synthetic"] else ""
        blocks.append(f"{dataset} ({label}{protocol_text(first)})\n{here.to_string(index=False)}")
    return "\n\n".join(blocks)


def protocol_text(row: Mapping[str, Any]) -> str:
    """Return in words how the counts of a row came about."""
    rule = {"loso": "leave one subject out"}[row["fold_rule"]]
    return (
        f"labels {row['fix_policy']}, {rule}, evaluation {row['evaluation']}, IoU at least {row['t_eval']:g}"
    )
