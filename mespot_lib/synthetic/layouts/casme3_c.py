"""The layout of the clips of part C of CAS(ME)^3: `ME_C/<subject>/<clip>/color`, one workbook without apex.

What readers of other projects rely on, and what is kept: subject and clip are numbers; action units are separated by
commas, and by a full-width one in one row. **Assumed** are unpadded frame numbers from 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mespot_lib.datasets import casme3
from mespot_lib.datasets.workbook import Cell, decode_cells, decode_others, encode_others
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.native import Sheets, Writer, frame_cells

SUBJECTS = tuple(f"{no:02d}" for no in range(1, 32))
MOST_VIDEOS = 20
_HEADER = (*casme3.FIELDS_C, "risk")


def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id, clip = SUBJECTS[subject], turn % MOST_VIDEOS + 1
    return {
        "subject_id": subject_id,
        "subject_index": int(subject_id),
        "video_id": f"{subject_id}_{clip}",
        "video_code": str(clip),
        "rel_path": f"{casme3.MEDIA_C[0]}/{subject_id}/{clip}/color",
        "frame_prefix": "",
        "frame_sep": "",
        "pad_width": 0,
        "ext": ".jpg",
        "first_frame_no": 1,
    }


def cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    return {
        "subject_raw": video["subject_index"],
        "expr_id_raw": int(video["video_code"]),
        **frame_cells(video, event),
        "apex_raw": None,
        "au_raw": ",".join(event.aus),
        "notes": encode_others({"risk": 0}),
    }


def mistype_a_comma(rows: Sequence[dict[str, Any]], seed: int) -> None:
    """Write the first row that has several action units with a full-width comma."""
    row = next((row for row in rows if "," in row["au_raw"]), None)
    if row:
        row["au_raw"] = row["au_raw"].replace(",", "，")


def workbooks(events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the table of the release."""
    return {f"annotation/{casme3.WORKBOOK_C}": events}


def sheets(rows: Sequence[Mapping[str, Any]]) -> Sheets:
    """Return the one sheet; columns that the release has not follow at the end."""
    table = [
        {header: cells[field] for header, field in casme3.FIELDS_C.items()} | decode_others(cells["notes"])
        for cells in map(decode_cells, rows)
    ]
    header = [*_HEADER, *sorted({name for row in table for name in row} - set(_HEADER))]
    return {"Sheet1": [header, *([row.get(name) for name in header] for row in table)]}


WRITER = Writer(SUBJECTS, MOST_VIDEOS, plan, cells, sheets, workbooks, mistype_a_comma)
