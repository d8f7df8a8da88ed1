"""Writers of the real layouts: tables of a manifest -> native workbooks and frame folders.

They are the inverse of `mespot_lib.datasets.casme2` and `mespot_lib.datasets.samm_lv`: a dataset that is written here
and read there is the same, down to whether a cell holds the number 4 or the text `4`.

Rules that readers of other projects rely on, and that are kept:

* CAS(ME)^2: three sheets without header, told apart by position; naming rule1 has one row per row of the first sheet;
  stimulus codes and folder names are text, subject numbers and frame numbers are numbers; a single action unit is a
  number, several are text; the workbook lies there under several names, the updated one with a tenth column.
* SAMM-LV: nine rows of text (text in column B too, no underscore in its first five characters), the header in row 10;
  Subject and Filename are text; frame numbers are never empty; the type of micro-movements is the one literal
  `Micro - 1/2`; one padding per folder; workbooks V1 to V3, where V3 has onset 1 for the onset 0 of the others.
* Nothing but frames in a frame folder.
"""

import datetime
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from mespot_lib.datasets import casme2, samm_lv
from mespot_lib.datasets.workbook import Cell, decode_cells, encode_cells
from mespot_lib.manifest import DatasetError, records
from mespot_lib.synthetic.events import PlannedEvent

FIRST_FRAME_NO = 1  # of both layouts

CASME2_SUBJECTS = tuple(f"s{no}" for no in (15, 16, *range(19, 28), *range(29, 39), 40))
SAMM_SUBJECTS = tuple(f"{no:03d}" for no in (*range(6, 27), 28, *range(30, 38)))
SAMM_RECORDINGS = 7
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
_EMOTIONS = {"positive": {"6", "12"}, "surprise": {"1", "2", "5"}, "negative": {"4", "7", "9", "10", "15"}}
_PREAMBLE = "Synthetic data drawn by mespot. No person is depicted."
_WRITTEN = datetime.datetime(2000, 1, 1)  # in every workbook, so that equal tables make equal files


# ---------------------------------------------------------------------------------------------------------------------
# Videos: which subjects, names and folders a drawn dataset has


def plan_videos(
    layout: str, subjects: int, videos_per_subject: int, frames: int
) -> list[list[dict[str, Any]]]:
    """Return the naming columns of every video, `[subject][video]`, with ids of the real grammar.

    Raises
    ------
    DatasetError
        If the layout has fewer subjects, or fewer videos per subject, than asked for.
    """
    names, most_videos = {
        "casme2": (CASME2_SUBJECTS, len(STIMULI)),
        "samm_lv": (SAMM_SUBJECTS, SAMM_RECORDINGS),
    }[layout]
    if subjects > len(names) or videos_per_subject > most_videos:
        raise DatasetError(
            f"layout {layout} has room for {len(names)} subjects with {most_videos} videos each, "
            f"not for {subjects} with {videos_per_subject}"
        )
    plan = _casme2_video if layout == "casme2" else _samm_video
    return [
        [plan(subject, subject * videos_per_subject + video, frames) for video in range(videos_per_subject)]
        for subject in range(subjects)
    ]


def _casme2_video(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id = CASME2_SUBJECTS[subject]
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
    }


def _samm_video(subject: int, turn: int, frames: int) -> dict[str, Any]:
    subject_id = SAMM_SUBJECTS[subject]
    recording = turn % SAMM_RECORDINGS + 1
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
    }


def write_frames(root: Path, video: Mapping[str, Any], images: Iterable[np.ndarray], quality: int) -> int:
    """Write images as the frames of a video, one at a time, and return their number.

    Parameters
    ----------
    video : naming columns as of `plan_videos`.
    images : (H, W) or (H, W, 3) uint8, blue-green-red. quality : of the JPEG files, 1..100.
    """
    folder = root / video["rel_path"]
    folder.mkdir(parents=True)
    number = FIRST_FRAME_NO
    for number, image in enumerate(images, start=FIRST_FRAME_NO):
        done, data = cv2.imencode(video["ext"], image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise OSError(f"{folder}: frame {number} could not be encoded")
        name = f"{video['frame_prefix']}{video['frame_sep']}{number:0{video['pad_width']}d}{video['ext']}"
        (folder / name).write_bytes(data)
    return number - FIRST_FRAME_NO + 1


# ---------------------------------------------------------------------------------------------------------------------
# Labels: planned expressions -> rows of the events table, with the cells that an annotator would have typed


def label_rows(
    layout: str,
    dataset: str,
    videos: Sequence[Mapping[str, Any]],
    events: Sequence[Sequence[PlannedEvent]],
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row per planned expression, in the order of videos and time: `video_uid` and the native cells.

    Parameters
    ----------
    dataset : name, the first part of the uids.
    videos, events : naming columns and planned expressions of every video.
    seed : of the choice of macro-expressions in the CAS(ME)^2 layout that get the offset 0 (3 %, at least one).
    """
    cells_of = _casme2_cells if layout == "casme2" else _samm_cells
    rows = []
    for video, planned in zip(videos, events, strict=True):
        uid = f"{dataset}/{video['subject_id']}/{video['video_id']}"
        for number, event in enumerate(planned, start=1):
            rows.append({"video_uid": uid, "type": event.kind} | cells_of(video, number, event))
    if layout == "casme2":
        _forget_offsets([row for row in rows if row["type"] == "MaE"], seed)
    return [{"video_uid": row["video_uid"], "type": row["type"]} | encode_cells(row) for row in rows]


def _casme2_cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    return {
        "subject_raw": video["subject_index"],
        "expr_id_raw": f"{video['stimulus']}_{number}",
        "onset_raw": event.onset + FIRST_FRAME_NO,
        "apex_raw": event.apex + FIRST_FRAME_NO,
        "offset_raw": event.offset + FIRST_FRAME_NO,
        "au_raw": _au_cell(event.aus),
        "emotion_raw": _emotion(event.aus),
        "type_raw": "micro-expression" if event.kind == "ME" else "macro-expression",
        "self_report": video["stimulus"].rstrip("0123456789"),
    }


def _samm_cells(video: Mapping[str, Any], number: int, event: PlannedEvent) -> dict[str, Cell]:
    return {
        "subject_raw": video["subject_id"],
        "expr_id_raw": f"{video['video_id']}_{number}",
        "inducement": int(video["video_code"]),
        "onset_raw": event.onset + FIRST_FRAME_NO,
        "apex_raw": event.apex + FIRST_FRAME_NO,
        "offset_raw": event.offset + FIRST_FRAME_NO,
        "duration_raw": event.offset - event.onset + 1,
        "type_raw": "Micro - 1/2" if event.kind == "ME" else "Macro",
        "au_raw": _au_cell(event.aus),
    }


def _au_cell(aus: Sequence[str]) -> Cell:
    return int(aus[0]) if len(aus) == 1 and aus[0].isdecimal() else "+".join(aus)


def _emotion(aus: Sequence[str]) -> str:
    return next((emotion for emotion, typical in _EMOTIONS.items() if typical & set(aus)), "others")


def _forget_offsets(rows: Sequence[dict[str, Any]], seed: int) -> None:
    count = min(len(rows), max(1, round(0.03 * len(rows))))
    for at in np.random.default_rng([seed, len(rows)]).permutation(len(rows))[:count]:
        rows[at]["offset_raw"] = 0


# ---------------------------------------------------------------------------------------------------------------------
# Workbooks


def write_workbooks(layout: str, events: pd.DataFrame, root: Path) -> list[Path]:
    """Write the workbook of a dataset under the names and in the variants that are in circulation.

    Parameters
    ----------
    events : an events table; its cells and `video_uid` are used.
    """
    if layout == "casme2":
        plain, updated, short = casme2.WORKBOOKS
        variants = {plain: events, short: events, updated: _with_durations(events)}
    else:
        variants = {samm_lv.workbook_name(release): events for release in ("V1", "V2")}
        variants[samm_lv.workbook_name("V3")] = _with_onset_one(events)
    for name, table in variants.items():
        write_workbook(layout, table, root / name)
    return [root / name for name in variants]


def write_workbook(layout: str, events: pd.DataFrame, path: Path) -> None:
    """Write one workbook with exactly the cells of an events table; equal tables make equal files."""
    rows = records(events)
    sheets = _casme2_sheets(rows) if layout == "casme2" else _samm_sheets(rows)
    _save(sheets, path)


def _with_durations(events: pd.DataFrame) -> pd.DataFrame:
    def change(cells: dict[str, Cell]) -> None:
        if isinstance(cells["offset_raw"], int) and isinstance(cells["onset_raw"], int):
            cells["duration_raw"] = cells["offset_raw"] - cells["onset_raw"]

    return _changed(events, change)


def _with_onset_one(events: pd.DataFrame) -> pd.DataFrame:
    def change(cells: dict[str, Cell]) -> None:
        if cells["onset_raw"] == 0:
            cells["onset_raw"] = 1

    return _changed(events, change)


def _changed(events: pd.DataFrame, change) -> pd.DataFrame:
    table = events.copy()
    for at, row in zip(table.index, records(events), strict=True):
        cells = decode_cells(row)
        change(cells)
        for name, value in encode_cells(cells).items():
            table.loc[at, name] = pd.NA if value is None else value
    return table


def _casme2_sheets(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[list[Cell]]]:
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


def _samm_sheets(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[list[Cell]]]:
    preamble = [[_PREAMBLE, "synthetic"], *[["-", "synthetic"] for _ in range(8)]]
    native = [[cells[name] for name in samm_lv.FIELDS.values()] for cells in map(decode_cells, rows)]
    return {samm_lv.SHEET: [*preamble, list(samm_lv.FIELDS), *native]}


def _save(sheets: Mapping[str, Sequence[Sequence[Cell]]], path: Path) -> None:
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    book = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            cells = [WriteOnlyCell(sheet, value) for value in row]
            for cell in cells:
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # else a text that begins with "=" became a formula
            sheet.append(cells)
    book.properties.created = _WRITTEN
    data = io.BytesIO()
    book.save(data)
    path.write_bytes(_without_times(data.getvalue()))


def _without_times(workbook: bytes) -> bytes:
    """Return the workbook with the times of writing set to `_WRITTEN`."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook)) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2000-01-01T00:00:00Z", content)
            new.writestr(zipfile.ZipInfo(name, _WRITTEN.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
