"""The layout of SMIC-E as released, of its fast camera: clips in subject folders, the workbook beside them.

What readers of other projects rely on, and what is kept: the header in the first row and the columns by name as well as
by place (subject and clip in A and B, the three pairs from D, FirstF from K); six-digit frame numbers of a running
counter; rows of free text below the clips. A row has room for three micro-expressions; a fourth starts another row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mespot_lib.datasets import smic_e
from mespot_lib.datasets.workbook import Cell, decode_cells, decode_others, encode_others
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.native import Sheets, Writer, frame_cells

SUBJECTS = tuple(f"s{no:02d}" for no in (*range(1, 7), 8, 9, *range(11, 16), *range(18, 21)))
MOST_VIDEOS = 39
WORKBOOKS = tuple(f"HS_long/SMIC-HS-E_annotation{part}.xlsx" for part in ("", "_2019"))
_ROOM = len(smic_e.PAIRS)
_HEADER = (  # "": a column of the release whose name is not known
    "Subject",
    "Filename",
    "",
    *(name for pair in smic_e.PAIRS for name in pair[:2]),
    "",
    "FirstF",
    "LastF",
    *(pair[2] for pair in smic_e.PAIRS),
    "TotalVL",
    "Emotion",
)
_TEXT = "Synthetic data drawn by mespot. No person is depicted."


def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id = SUBJECTS[subject]
    code = list(smic_e.EMOTIONS)[turn % 3]
    video_id = f"s{int(subject_id[1:])}_{code}_{turn // 3 % 99 + 1:02d}"
    first = 100_000 + 2_347 * turn % 700_000
    return {
        "subject_id": subject_id,
        "video_id": video_id,
        "video_code": code,
        "rel_path": f"HS_long/SMIC-HS-E/HS/{subject_id}/{video_id}",
        "frame_prefix": "image",
        "frame_sep": "",
        "pad_width": 6,
        "ext": ".jpg",
        "first_frame_no": first,
        "last_frame_no": first + frames - 1,
    }


def cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    first, last = video["first_frame_no"], video["last_frame_no"]
    others = {"FirstF": first, "LastF": last, "TotalVL": last - first + 1}
    return {
        "subject_raw": int(video["subject_id"][1:]),
        "expr_id_raw": video["video_id"],
        **frame_cells(video, event),
        "apex_raw": None,
        "duration_raw": event.offset - event.onset + 1,
        "emotion_raw": smic_e.EMOTIONS[video["video_code"]],
        "notes": encode_others(others),
        "occurrence": (number - 1) % _ROOM + 1,
    }


def workbooks(events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the same table under two of the names in circulation."""
    return dict.fromkeys(WORKBOOKS, events)


def sheets(rows: Sequence[Mapping[str, Any]]) -> Sheets:
    """Return the one sheet: the events of a clip side by side, as far as they came from one row or fit into one."""
    native: list[dict[str, Cell]] = []
    uid, occurrence = None, 0
    for row in rows:
        cells = decode_cells(row)
        if row["video_uid"] != uid or row["occurrence"] <= occurrence:
            shared = {name: cells[field] for name, field in smic_e.FIELDS.items()}
            native.append(decode_others(cells["notes"]) | shared)
        uid, occurrence = row["video_uid"], row["occurrence"]
        fields = ("onset_raw", "offset_raw", "duration_raw")
        native[-1] |= {
            name: cells[field] for name, field in zip(smic_e.PAIRS[occurrence - 1], fields, strict=True)
        }
    more = sorted({name for cells in native for name in cells} - set(_HEADER))
    header = [*_HEADER, *more]
    table = [[cells.get(name) for name in header] for cells in native]
    return {"Sheet1": [[name or None for name in header], *table, [], [_TEXT]]}


WRITER = Writer(SUBJECTS, MOST_VIDEOS, plan, cells, sheets, workbooks)
