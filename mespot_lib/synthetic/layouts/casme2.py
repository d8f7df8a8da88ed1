"""The layout of CAS(ME)^2 as released: frame folders and the workbook under its several names.

What readers of other projects rely on, and what is kept: three sheets without header, told apart by position; naming
rule1 has one row per row of the first sheet; stimulus codes and folder names are text, subject numbers and frame
numbers are numbers; a single action unit is a number, several are text; the updated workbook has a tenth column.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mespot_lib.datasets import casme2
from mespot_lib.datasets.workbook import Cell, decode_cells
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.native import Sheets, Writer, au_cell, changed, emotion, frame_cells

SUBJECTS = tuple(f"s{no}" for no in (15, 16, *range(19, 28), *range(29, 39), 40))
STIMULI = {  # code -> name in the workbook, title in the folder name (misspelt as in the release)
    "0101": ("disgust1", "disgustingteeth"),
    "0102": ("disgust2", "eatingworms"),
    "0401": ("anger1", "girlcrashing"),
    "0402": ("anger2", "beatingpregnantwoman"),
    "0502": ("happy1", "funnyerrors"),
    "0503": ("happy2", "unnyfarting"),
    "0505": ("happy3", "funnyinnovations"),
    "0507": ("happy4", "climbingthewall"),
    "0508": ("happy5", "funnydunkey"),
}


def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id = SUBJECTS[subject]
    code = list(STIMULI)[turn % len(STIMULI)]
    stimulus, title = STIMULI[code]
    video_id = f"{subject_id[1:]}_{code}"
    return {
        "subject_id": subject_id,
        "subject_index": subject + 1,
        "video_id": video_id,
        "video_code": code,
        "stimulus": stimulus,
        "rel_path": f"rawpic/{subject_id}/{video_id}{title}",
        "frame_prefix": "img",
        "frame_sep": "",
        "pad_width": 3,
        "ext": ".jpg",
        "first_frame_no": 1,
    }


def cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    return {
        "subject_raw": video["subject_index"],
        "expr_id_raw": f"{video['stimulus']}_{number}",
        **frame_cells(video, event),
        "au_raw": au_cell(event.aus),
        "emotion_raw": emotion(event.aus),
        "type_raw": "micro-expression" if event.kind == "ME" else "macro-expression",
        "self_report": video["stimulus"].rstrip("0123456789"),
    }


def forget_offsets(rows: Sequence[dict[str, Any]], seed: int) -> None:
    """Give 3 % of the macro-expressions, at least one, the offset 0 that stands for a missing one."""
    rows = [row for row in rows if row["type"] == "MaE"]
    count = min(len(rows), max(1, round(0.03 * len(rows))))
    for at in np.random.default_rng([seed, len(rows)]).permutation(len(rows))[:count]:
        rows[at]["offset_raw"] = 0


def workbooks(events: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of the three names in circulation; the updated workbook adds durations."""
    plain, updated, short = casme2.WORKBOOKS
    return {plain: events, short: events, updated: changed(events, _add_duration)}


def _add_duration(cells: dict[str, Cell]) -> None:
    if isinstance(cells["offset_raw"], int) and isinstance(cells["onset_raw"], int):
        cells["duration_raw"] = cells["offset_raw"] - cells["onset_raw"]


def sheets(rows: Sequence[Mapping[str, Any]]) -> Sheets:
    """Return labels, naming rule1 and naming rule2."""
    labels, naming = [], []
    stimuli = {code: name for code, (name, _title) in STIMULI.items()}
    fields = casme2.FIELDS if any(row["duration_raw"] for row in rows) else casme2.FIELDS[:9]
    for row in rows:
        cells = decode_cells(row)
        _dataset, subject_id, video_id = row["video_uid"].split("/")
        labels.append([cells[name] for name in fields])
        naming.append([int(subject_id[1:]), subject_id, cells["subject_raw"]])
        stimuli[video_id.partition("_")[2]] = str(cells["expr_id_raw"]).rpartition("_")[0]
    codes = [[code, name] for code, name in stimuli.items()]
    return dict(zip(casme2.SHEETS, (labels, naming, codes), strict=True))


WRITER = Writer(SUBJECTS, len(STIMULI), plan, cells, sheets, workbooks, forget_offsets)
