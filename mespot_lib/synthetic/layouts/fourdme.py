"""The layout of the micro release of 4DME: grey clips in subject folders, the workbook above them.

What readers of other projects rely on, and what is kept: the header in the first row, columns by name; subject and clip
as in the folders; frame numbers go on from one clip to the next and are the digits at the end of the file names; action
units are text, those that are kept up throughout the clip with `(k)`. **Assumed** are the spelling of the ids, the file
names before the digits, and that the columns of single units and emotions hold 1 or nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mespot_lib.datasets import fourdme
from mespot_lib.datasets.workbook import Cell, decode_cells, decode_others, encode_others
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.native import Sheets, Writer, emotion, frame_cells

SUBJECTS = tuple(f"S{no:02d}" for no in range(1, 42))
MOST_VIDEOS = 99
_UNITS = ("1", "2", "4", "5", "6", "7", "9", "10", "12", "14", "15", "17", "24", "45")
_EMOTIONS = ("Positive", "Negative", "Surprise", "Repression", "Others")
_HEADER = (
    *list(fourdme.FIELDS)[:7],
    *(f"AU{unit}" for unit in _UNITS),
    "eye blink",
    *_EMOTIONS,
    "Total",
    "fold",
    "Objective class",
)


def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id = SUBJECTS[subject]
    video_id = f"{subject_id}_1st_{turn % 999 + 1:03d}_01"
    return {
        "subject_id": subject_id,
        "video_id": video_id,
        "rel_path": f"4DMicro/gray_micro/{subject_id}/{video_id}",
        "frame_prefix": "gray",
        "frame_sep": "_",
        "pad_width": 5,
        "ext": ".jpg",
        "first_frame_no": 251 + 613 * turn,
    }


def cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    feeling = emotion(event.aus).capitalize()
    single = {f"AU{unit}": 1 for unit in event.aus} | {feeling: 1}
    return {
        "subject_raw": video["subject_id"],
        "expr_id_raw": video["video_id"],
        "emotion_raw": feeling,
        **frame_cells(video, event),
        "au_raw": "+".join(event.aus),
        "notes": encode_others(single | {"Total": 1}),
    }


def workbooks(events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the table of the release."""
    return {f"4DMicro/{fourdme.WORKBOOK}": events}


def sheets(rows: Sequence[Mapping[str, Any]]) -> Sheets:
    """Return the one sheet; columns that the release has not follow at the end."""
    native = []
    for cells in map(decode_cells, rows):
        fields = {name: cells[field] for name, field in fourdme.FIELDS.items()}
        native.append(
            decode_others(cells["notes"])
            | {name: value for name, value in fields.items() if value is not None}
        )
    more = sorted({name for cells in native for name in cells} - set(_HEADER))
    header = [*_HEADER, *more]
    return {"Sheet1": [header, *([cells.get(name) for name in header] for cells in native)]}


WRITER = Writer(SUBJECTS, MOST_VIDEOS, plan, cells, sheets, workbooks)
