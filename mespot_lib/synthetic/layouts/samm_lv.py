"""The layout of SAMM Long Videos as released: flat frame folders and workbooks V1 to V3.

What readers of other projects rely on, and what is kept: nine rows of text (text in column B too, no underscore in its
first five characters), the header in row 10; Subject and Filename are text; frame numbers are never empty; the type of
micro-movements is the one literal `Micro - 1/2`; one padding per folder; V3 has onset 1 for the onset 0 of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mespot_lib.datasets import samm_lv
from mespot_lib.datasets.workbook import Cell, decode_cells
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.native import Sheets, Writer, au_cell, changed, frame_cells

SUBJECTS = tuple(f"{no:03d}" for no in (*range(6, 27), 28, *range(30, 38)))
RECORDINGS = 7
_PREAMBLE = "Synthetic data drawn by mespot. No person is depicted."


def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id = SUBJECTS[subject]
    recording = turn % RECORDINGS + 1
    video_id = f"{subject_id}_{recording}"
    return {
        "subject_id": subject_id,
        "video_id": video_id,
        "video_code": str(recording),
        "rel_path": f"{samm_lv.MEDIA}/{video_id}",
        "frame_prefix": video_id,
        "frame_sep": "_",
        "pad_width": 4 if frames < 10_000 else 5,
        "ext": ".jpg",
        "first_frame_no": 1,
    }


def cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    return {
        "subject_raw": video["subject_id"],
        "expr_id_raw": f"{video['video_id']}_{number}",
        "inducement": int(video["video_code"]),
        **frame_cells(video, event),
        "duration_raw": event.offset - event.onset + 1,
        "type_raw": "Micro - 1/2" if event.kind == "ME" else "Macro",
        "au_raw": au_cell(event.aus),
    }


def workbooks(events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of the three releases."""
    tables = {samm_lv.workbook_name(release): events for release in ("V1", "V2")}
    return tables | {samm_lv.workbook_name("V3"): changed(events, _begin_at_one)}


def _begin_at_one(cells: dict[str, Cell]) -> None:
    if cells["onset_raw"] == 0:
        cells["onset_raw"] = 1


def sheets(rows: Sequence[Mapping[str, Any]]) -> Sheets:
    """Return the one sheet, its rows of text and its header."""
    preamble = [[_PREAMBLE, "synthetic"], *[["-", "synthetic"] for _ in range(8)]]
    native = [[cells[name] for name in samm_lv.FIELDS.values()] for cells in map(decode_cells, rows)]
    return {samm_lv.SHEET: [*preamble, list(samm_lv.FIELDS), *native]}


WRITER = Writer(SUBJECTS, RECORDINGS, plan, cells, sheets, workbooks)
