"""The report in numbers: finished runs pooled over folds, one row for each method, dataset and kind.

Runs belong together only if they agree in everything but the fold: dataset, method, profile, seed, parameters, honest
or oracle, evaluation, and also content of the dataset and version of the code. Where there are several of the latter
two, the one with the newest run is taken, and the rest is counted as left out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
        subject = {video["video"]: video["subject"] for video in self._videos}
        return pool({v: one for result in self.results for v, one in result.score.videos.items()}, subject)

    @cached_property
    def score(self) -> Score:
        """Return the counts of all folds together."""
        each = self.subjects.values()
        return Score(sum((s.ME for s in each), Counts()), sum((s.MaE for s in each), Counts()))

    @cached_property
    def chance(self) -> dict[str, Chance]:
        """Return what the same amount of intervals at random places scores."""
        lengths = {video["video"]: video["frames"] for video in self._videos}
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
        fps = {video["video"]: video["fps"] for video in self._videos}
        errors = boundary_errors_ms(truth, spotted, fps, self.record["t_eval"])
        return tuple(np.median(np.abs(errors), axis=0).tolist()) if len(errors) else None

    @property
    def seconds_of_video(self) -> float:
        """Return how long the videos are together."""
        return sum(video["frames"] / video["fps"] for video in self._videos)

    @property
    def _videos(self) -> list[Mapping[str, Any]]:
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
    return Pooled(sorted(same, key=lambda result: result.record["fold"]), len(results) - len(same))


def rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return one row per method, dataset and kind (ME, MaE, overall): counts, ratios, uncertainty, chance, protocol."""
    return [row_of(one, part) for one in pool_results(results) for part in PARTS]


def row_of(one: Pooled, part: str) -> dict[str, Any]:
    """Return the row of "ME", "MaE" or "overall"."""
    record, counts = one.record, one.score[part]
    low, high = one.interval(part)
    errors = one.error_ms(part)
    return {
        "dataset": record["dataset"],
        "method": record["method"],
        "profile": record["profile"],
        "kind": part,
        "folds": len(one.results),
        "n_folds": one.n_folds,
        **counts.as_dict(),
        "ci_low": low,
        "ci_high": high,
        "chance_f1": one.chance[part].f1,
        "chance_ci_high": one.chance[part].high,
        "fp_per_minute": fp_per_minute(counts, one.seconds_of_video),
        "onset_error_ms": errors[0] if errors else None,
        "offset_error_ms": errors[1] if errors else None,
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
        "TP": row["tp"],
        "FP": row["fp"],
        "FN": row["fn"],
        **{name: f"{row[name]:.3f}" for name in ("precision", "recall")},
        "F1": f"{row['f1']:.3f}",
        "95 %": f"{row['ci_low']:.3f}-{row['ci_high']:.3f}",
        "chance": f"{row['chance_f1']:.3f}",
    }


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
