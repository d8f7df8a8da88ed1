"""What the organisers of a challenge do: read a submission, refuse what is not theirs, score it, print the table.

    submission -> check -> intervals on the frame axis -> F1 against the withheld truth, per dataset and of all videos

The truth of the real unseen sets stays with the organisers; here it is that of the drawn stand-ins.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mespot_lib.challenge import (
    T_EVAL,
    TYPES,
    Format,
    Row,
    SubmitError,
    challenge_id,
    check_submission,
    first_frame,
    get_format,
)
from mespot_lib.claims import SUBSETS, Claim, read_claims
from mespot_lib.evaluation import KnownVideo, facts_of, summary
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, records
from mespot_lib.withheld import withheld_truth

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("f1", "precision", "recall")


def read_submission(
    path: str | Path, videos: Sequence[Manifest], name: str, frames: str = "number"
) -> dict[str, list[Interval]]:
    """Return what a submission says about the videos of a set, on the frame axis, by uid; a video without a row has [].

    videos : the manifests of the set, both halves. name, frames : as in `check_submission`.

    Raises
    ------
    SubmitError
        If the submission breaks a rule of its format, names a video that is not in the set, or lacks the file of a half
        of it; if the format has no kinds. The message lists every problem.
    """
    form = get_format(name)
    if set(form.labels) != set(TYPES):
        raise SubmitError(f"{name} cannot be scored here: its files do not say which kind an interval is")
    verdict = check_submission(path, name, frames=frames, videos=videos)
    rows_of = {
        challenge_id(form, row): row for manifest in videos for row in records(manifest.videos)
    }  # by part and id
    spotted: dict[str, list[Interval]] = {row["video_uid"]: [] for row in rows_of.values()}
    absent = sorted({f"{part}_pred.csv" for part, _ in rows_of} - set(verdict.rows))
    problems = verdict.problems or [f"{file}: is not there, but its videos are scored" for file in absent]
    for file, rows in verdict.rows.items():
        part = file.partition("_")[0]
        strange = sorted({row.video for row in rows if (part, row.video) not in rows_of})
        problems = [
            *problems,
            *(f"{file}: {video} is no video of the set that is scored" for video in strange),
        ]
        for row in rows:
            if row.video in strange or not isinstance(row, Row):
                continue
            video = rows_of[part, row.video]
            first = first_frame(video, frames)
            span = Interval(row.onset - first, row.offset - first, TYPES[row.label])
            spotted[video["video_uid"]].append(span)
    if problems:
        raise SubmitError("\n".join([f"{path}: not scored, because", *problems]))
    return {uid: sorted(spans) for uid, spans in spotted.items()}


def score_submission(
    path: str | Path, videos: Sequence[Manifest], name: str, frames: str = "number"
) -> dict[str, list[dict[str, Any]]]:
    """Score a submission with the withheld truth: rows as of `evaluation.summary`, for "samm", "cas" and "overall".

    Raises
    ------
    SubmitError
        As `read_submission`.
    mespot_lib.manifest.DatasetError
        If there is no truth to score by: the set is no drawn one.
    """
    spotted = read_submission(path, videos, name, frames)
    form = get_format(name)
    halves = {part_of(form, manifest): [manifest] for manifest in videos}
    return {part: _scored(some, spotted) for part, some in (halves | {"overall": list(videos)}).items()}


def part_of(form: Format, manifest: Manifest) -> str:
    """Return which part of a challenge the videos of a manifest are, "cas" or "samm"."""
    return challenge_id(form, records(manifest.videos)[0])[0]


def _scored(manifests: Iterable[Manifest], spotted: Mapping[str, list[Interval]]) -> list[dict[str, Any]]:
    truth: dict[str, list[Interval]] = {}
    facts: dict[str, KnownVideo] = {}
    for manifest in manifests:
        truth |= withheld_truth(manifest)
        facts |= facts_of(manifest)
    return summary(truth, {uid: spotted[uid] for uid in truth}, facts, T_EVAL)


# ---------------------------------------------------------------------------------------------------------------------
# The table


def published(
    challenge: str, claims: Iterable[Claim] | None = None
) -> dict[str, dict[tuple[str, str], float]]:
    """Return what papers print for a challenge, both kinds together, by method, then (metric, part).

    challenge : "megc2022" or "megc2023". claims : by default those of the project.
    """
    parts = {challenge: "overall"} | {name: name.rpartition("_")[2] for name in SUBSETS[challenge]}
    table: dict[str, dict[tuple[str, str], float]] = {}
    for claim in read_claims() if claims is None else claims:
        in_table = claim.table.startswith("Table") and claim.expression == "overall"
        if in_table and claim.dataset in parts and claim.metric in METRICS:
            table.setdefault(claim.method, {})[claim.metric, parts[claim.dataset]] = float(claim.value)
    return table


def standings(rows: Iterable[Mapping[str, Any]], challenge: str) -> "pd.DataFrame":
    """Return the table of a challenge in the form its organisers print: ours on the stand-in, then what is published.

    rows : of reports/reference/unseen.csv. Columns: F1, precision, recall, each overall, SAMM and CAS, best first.
    """
    import pandas as pd

    year = challenge.removeprefix("megc")
    ours: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for row in rows:
        if str(row["year"]) == year and row["part"] == "overall":
            half = str(row["videos"]).partition(" ")[0]
            cells = ours.setdefault(("synthetic stand-in", row["method"]), {})
            cells |= {
                (metric, "overall" if half == "both" else half): float(row[metric]) for metric in METRICS
            }
    theirs = {("published, on people", method): cells for method, cells in published(challenge).items()}
    ranked = [
        dict(sorted(some.items(), key=lambda item: -item[1].get(("f1", "overall"), 0)))
        for some in (ours, theirs)
    ]
    table = pd.DataFrame.from_dict(ranked[0] | ranked[1], orient="index")
    columns = [(metric, part) for metric in METRICS for part in ("overall", "samm", "cas")]
    table = table.reindex(columns=pd.MultiIndex.from_tuples(columns))
    table.index = pd.MultiIndex.from_tuples(table.index, names=["videos", "method"])
    return table.round(2)
