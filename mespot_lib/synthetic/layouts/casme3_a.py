"""The layout of part A of CAS(ME)^3: unpadded frame numbers from 8 on, gaps, colour folders, two workbooks.

What readers of other projects rely on, and what is kept: both workbooks with their header in the first row and eight
columns in the order of the release; `spNO.<number>`; action units as `4`, `L4`, `R12` or `4+7`; the letter of a video
is a capital J in the workbook and small in the folder. The first workbook was released as .xls, and is written as
.xlsx. As in the release, some micro-expressions are not in the second workbook, the list of micro-expressions.
**Assumed** is what an objective class looks like: a number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mespot_lib.datasets import casme3
from mespot_lib.datasets.workbook import Cell, decode_cells, decode_others, encode_others
from mespot_lib.manifest import records
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.native import Sheets, Writer, au_cell, changed, emotion, frame_cells

SUBJECTS = tuple(f"spNO.{no}" for no in range(1, 218) if no % 11 in (1, 3, 4, 6, 8))
LETTERS = "abcdefghijklm"
FIRST_FRAME_NO = 8
_ANNOTATION = "annotation"
_NOT_LISTED = 0.09  # of the micro-expressions
_EMOTIONS = {"positive": "happy", "negative": "disgust", "surprise": "surprise", "others": "others"}


def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id, letter = SUBJECTS[subject], LETTERS[turn % len(LETTERS)]
    gap = FIRST_FRAME_NO + 3 * frames // 5
    return {
        "subject_id": subject_id,
        "subject_index": int(subject_id.partition(".")[2]),
        "video_id": f"{subject_id}_{letter}",
        "video_code": letter,
        "rel_path": f"{casme3.MEDIA_A[0]}/{subject_id}/{letter}/color",
        "frame_prefix": "",
        "frame_sep": "",
        "pad_width": 0,
        "ext": ".jpg",
        "first_frame_no": FIRST_FRAME_NO,
        "missing": ((gap, gap + 1),) if turn % 2 else (),
    }


def cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    side = "" if event.side == "B" else event.side
    feeling = emotion(event.aus)
    return {
        "subject_raw": video["subject_id"],
        "expr_id_raw": video["video_code"].upper() if video["video_code"] == "j" else video["video_code"],
        **frame_cells(video, event),
        "au_raw": au_cell([f"{side}{unit}" for unit in event.aus]),
        "emotion_raw": _EMOTIONS[feeling] if event.kind == "ME" else None,
        "type_raw": "Micro-expression" if event.kind == "ME" else "Macro-expression",
        "notes": encode_others({casme3.OBJECTIVE: list(_EMOTIONS).index(feeling) + 1}),
    }


def list_micro_expressions(rows: Sequence[dict[str, Any]], seed: int) -> None:
    """Give the micro-expressions their rows in the list, but for 9 % that are not in it."""
    row_number = 2  # below the header
    for count, row in enumerate((row for row in rows if row["type"] == "ME"), start=1):
        if int(count * _NOT_LISTED) > int((count - 1) * _NOT_LISTED):
            row["emotion_raw"] = None
            continue
        row["notes"] = encode_others(decode_others(row["notes"]) | {casme3.LIST_ROW: row_number})
        row_number += 1


def workbooks(events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of both workbooks; rows of the list are recognised by having no type."""
    order = pd.Series(
        [decode_others(row["notes"]).get(casme3.LIST_ROW) for row in records(events)], events.index
    )
    listed = events.loc[order.dropna().sort_values(kind="stable").index]
    return {
        f"{_ANNOTATION}/{casme3.workbook_name('v2')}": events[events["type_raw"].notna()],
        f"{_ANNOTATION}/{casme3.list_name('v2')}": changed(listed, _as_listed),
    }


def _as_listed(cells: dict[str, Cell]) -> None:
    """Put what the list says differently in place of what the first workbook says."""
    notes = decode_others(cells["notes"])
    own = {
        header.removeprefix(casme3.LIST): None if value == "" else value
        for header, value in notes.items()
        if header.startswith(casme3.LIST) and header != casme3.LIST_ROW
    }
    shared = {casme3.OBJECTIVE: notes.get(casme3.OBJECTIVE)} if cells["type_raw"] else notes
    shared.pop(casme3.LIST_ROW, None)
    for header, field in casme3.FIELDS_LIST.items():
        if header in own:
            cells[field] = own.pop(header)
    cells["notes"] = encode_others(shared | own)
    cells["type_raw"] = None


def sheets(rows: Sequence[Mapping[str, Any]]) -> Sheets:
    """Return the one sheet of either workbook; columns that the release has not follow at the end."""
    native = [decode_cells(row) for row in rows]
    typed = all(cells["type_raw"] for cells in native)  # of an empty table too
    fields = casme3.FIELDS_A if typed else casme3.FIELDS_LIST
    known = [*fields, casme3.OBJECTIVE]
    if not typed:
        known[-2:] = reversed(known[-2:])  # the emotion comes last
    table = [
        {header: cells[field] for header, field in fields.items()} | decode_others(cells["notes"])
        for cells in native
    ]
    more = {header for row in table for header in row if not header.startswith(casme3.LIST)} - set(known)
    header = [*known, *sorted(more)]
    return {"Sheet1": [header, *([row.get(name) for name in header] for row in table)]}


WRITER = Writer(SUBJECTS, len(LETTERS), plan, cells, sheets, workbooks, list_micro_expressions)
