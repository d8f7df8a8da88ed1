"""What the expressions of a dataset are like: durations, rates, action units, how unevenly people have them.

`data_manifests/published_statistics.csv` holds the aggregate figures that are known of the recorded datasets, each with
its source; `describe` computes the same quantities of a manifest, so that they stand side by side. Nothing here is a
row of an annotation.

    quantity                 unit      of the expressions of one kind that are in use
    expressions              count     how many
    duration_*_s             seconds   onset to offset, both frames included
    rise_median_s            seconds   onset to apex
    fall_median_s            seconds   apex to offset
    rate_per_min             1/min     of recorded time
    subjects_without_share   share     people who have none
    most_of_a_subject        count     of the person who has most
    au_share                 share     of expressions in which the action unit `item` takes part, on whichever side
"""

import re

import pandas as pd

from mespot_lib import places
from mespot_lib.interval import KINDS
from mespot_lib.manifest import DatasetError, Manifest, records

QUANTITIES = (
    "expressions",
    "duration_mean_s",
    "duration_sd_s",
    "duration_median_s",
    "rise_median_s",
    "fall_median_s",
    "rate_per_min",
    "subjects_without_share",
    "most_of_a_subject",
    "au_share",
)
_COLUMNS = ("dataset", "kind", "quantity", "item", "value", "source", "note")


def published_statistics() -> pd.DataFrame:
    """Return the table of published aggregate figures: `dataset, kind, quantity, item, value, source, note`.

    Raises
    ------
    DatasetError
        If the file has other columns, or a row with an unknown kind or quantity, without a number, or without a source.
    """
    path = places.repository_root() / "data_manifests" / "published_statistics.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != _COLUMNS:
        raise DatasetError(f"{path}: columns are {', '.join(table.columns)}, expected {', '.join(_COLUMNS)}")
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    for row, entry in enumerate(records(table), start=2):
        if entry["kind"] not in KINDS or entry["quantity"] not in QUANTITIES:
            raise DatasetError(
                f"{path}, row {row}: {entry['kind']} {entry['quantity']} is not in the vocabulary"
            )
        if entry["value"] is None or not entry["source"]:
            raise DatasetError(f"{path}, row {row}: has no number, or no source")
    return table


def expressions(manifest: Manifest) -> pd.DataFrame:
    """Return one row per expression that is in use and has frames.

    Columns: `video_uid, subject, kind`; `seconds, rise_s, fall_s` (the last two NaN without an apex); `aus`, the action
    units as a tuple of numbers in text, sides and units kept up throughout the clip left out.
    """
    videos = {row["video_uid"]: row for row in records(manifest.videos)}
    rows = []
    for event in records(manifest.events):
        video = videos.get(event["video_uid"])
        if event["excluded"] or video is None:
            continue
        onset, apex, offset, fps = event["onset"], event["apex"], event["offset"], video["fps"]
        inside = apex is not None and onset <= apex <= offset
        row = {
            "video_uid": event["video_uid"],
            "subject": video["subject_id"],
            "kind": event["type"],
            "seconds": (offset - onset + 1) / fps,
            "rise_s": (apex - onset) / fps if inside else None,
            "fall_s": (offset - apex) / fps if inside else None,
            "aus": _numbers(event["au"]),
        }
        rows.append(row)
    names = ("video_uid", "subject", "kind", "seconds", "rise_s", "fall_s", "aus")
    return pd.DataFrame(rows, columns=names).astype({"seconds": float, "rise_s": float, "fall_s": float})


def describe(manifest: Manifest) -> pd.DataFrame:
    """Return the statistics of a manifest: `kind, quantity, item, value`, as in the published table."""
    table = expressions(manifest)
    minutes = float((manifest.videos["n_frames"] / manifest.videos["fps"]).sum()) / 60
    rows = []
    for kind in KINDS:
        rows += [
            (kind, *row) for row in _of_one_kind(table[table["kind"] == kind], manifest.subjects, minutes)
        ]
    return pd.DataFrame(rows, columns=["kind", "quantity", "item", "value"])


def beside_published(manifest: Manifest, dataset: str) -> pd.DataFrame:
    """Return `kind, quantity, item, published, found`: each published figure of `dataset` beside the manifest's own."""
    published = published_statistics()
    published = published[published["dataset"] == dataset].rename(columns={"value": "published"})
    found = describe(manifest).rename(columns={"value": "found"})
    keys = ["kind", "quantity", "item"]
    both = published[[*keys, "published"]].merge(found, on=keys, how="left")
    absent = both["quantity"].eq("au_share") & both["found"].isna()
    return both.assign(found=both["found"].mask(absent, 0.0))  # an action unit that never occurs


def _of_one_kind(table: pd.DataFrame, subjects: tuple[str, ...], minutes: float) -> list[tuple]:
    per_subject = table["subject"].value_counts().reindex(subjects, fill_value=0)
    rows = [
        ("expressions", "", float(len(table))),
        ("rate_per_min", "", len(table) / minutes),
        ("subjects_without_share", "", float((per_subject == 0).mean())),
        ("most_of_a_subject", "", float(per_subject.max())),
    ]
    if table.empty:
        return rows
    rows += [
        ("duration_mean_s", "", table["seconds"].mean()),
        ("duration_sd_s", "", table["seconds"].std(ddof=0)),
        ("duration_median_s", "", table["seconds"].median()),
        ("rise_median_s", "", table["rise_s"].median()),
        ("fall_median_s", "", table["fall_s"].median()),
    ]
    shares = table["aus"].explode().dropna().value_counts() / len(table)
    return rows + [("au_share", unit, float(share)) for unit, share in shares.items()]


def _numbers(aus: str | None) -> tuple[str, ...]:
    """Return `4+L10+17(k)` as ("4", "10"): each unit once, whichever side."""
    units = [part for part in (aus or "").split("+") if part and not part.endswith("(k)")]
    return tuple(dict.fromkeys(re.findall(r"\d+", unit)[0] for unit in units))
