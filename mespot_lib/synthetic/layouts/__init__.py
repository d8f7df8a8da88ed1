"""Writers of the real layouts: tables of a manifest -> native workbooks and frame folders.

They are the inverse of the readers in `mespot_lib.datasets`: a dataset that is written here and read there is the
same, down to whether a cell holds the number 4 or the text `4`. One file per layout, and `native.py` for what they
share. Nothing but frames lies in a frame folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mespot_lib.datasets.workbook import encode_cells
from mespot_lib.manifest import DatasetError, records
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts import casme2, casme3_a, casme3_c, fourdme, megc_unseen, samm_lv, smic_e
from mespot_lib.synthetic.layouts.native import save_workbook

WRITERS = {
    "casme2": casme2.WRITER,
    "casme3_a": casme3_a.WRITER,
    "casme3_c": casme3_c.WRITER,
    "fourdme": fourdme.WRITER,
    **megc_unseen.WRITERS,
    "samm_lv": samm_lv.WRITER,
    "smic_e": smic_e.WRITER,
}


def plan_videos(
    layout: str, subjects: int, videos_per_subject: int, frames: int
) -> list[list[dict[str, Any]]]:
    """Return the naming columns of every video, `[subject][video]`, with ids of the real grammar.

    Raises
    ------
    DatasetError
        If the layout has fewer subjects, or fewer videos per subject, than asked for.
    """
    writer = WRITERS[layout]
    if subjects > len(writer.subjects) or videos_per_subject > writer.most_videos:
        raise DatasetError(
            f"layout {layout} has room for {len(writer.subjects)} subjects with {writer.most_videos} videos each, "
            f"not for {subjects} with {videos_per_subject}"
        )
    return [
        [
            writer.plan(subject, subject * videos_per_subject + video, frames)
            for video in range(videos_per_subject)
        ]
        for subject in range(subjects)
    ]


def label_rows(
    layout: str,
    dataset: str,
    videos: Sequence[Mapping[str, Any]],
    events: Sequence[Sequence[PlannedEvent]],
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row per planned expression, in the order of videos and time: `video_uid` and the native cells.

    Where a native row has room for several expressions, `occurrence` says which of them it is.

    A layout without truth has no rows.

    Parameters
    ----------
    dataset : name, the first part of the uids.
    videos, events : naming columns and planned expressions of every video.
    seed : of the faults that annotators of this layout make.
    """
    writer = WRITERS[layout]
    if writer.cells is None:
        return []
    rows = []
    for video, planned in zip(videos, events, strict=True):
        uid = f"{dataset}/{video['subject_id']}/{video['video_id']}"
        for number, event in enumerate(planned, start=1):
            rows.append({"video_uid": uid, "type": event.kind, **writer.cells(video, number, event)})
    writer.faults(rows, seed)
    kept = ("video_uid", "type", "occurrence")
    return [{name: row.get(name) for name in kept} | encode_cells(row) for row in rows]


def write_workbooks(layout: str, events: pd.DataFrame, root: Path) -> list[Path]:
    """Write the workbook of a dataset under the names and in the variants that are in circulation.

    Parameters
    ----------
    events : an events table; its cells and `video_uid` are used.
    """
    writer = WRITERS[layout]
    if writer.workbooks is None:
        return []
    variants = writer.workbooks(events)
    for name, table in variants.items():
        write_workbook(layout, table, root / name)
    return [root / name for name in variants]


def write_workbook(layout: str, events: pd.DataFrame, path: Path) -> None:
    """Write one workbook with exactly the cells of an events table; equal tables make equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheets = WRITERS[layout].sheets
    assert sheets is not None  # who asks has a layout with a workbook
    save_workbook(sheets(records(events)), path)
