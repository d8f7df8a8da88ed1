"""What the writers of all layouts share: frames on disk, cells as annotators type them, workbooks byte by byte."""

import datetime
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from mespot_lib.datasets.workbook import Cell, decode_cells, encode_cells
from mespot_lib.manifest import records
from mespot_lib.synthetic.events import PlannedEvent

_EMOTIONS = {"positive": {"6", "12"}, "surprise": {"1", "2", "5"}, "negative": {"4", "7", "9", "10", "15"}}
_WRITTEN = datetime.datetime(2000, 1, 1)  # in every workbook, so that equal tables make equal files

Sheets = Mapping[str, Sequence[Sequence[Cell]]]


@dataclass(frozen=True)
class Writer:
    """How one layout is written; the inverse of the reader of the same name.

    subjects : ids of the real grammar. most_videos : of one subject.
    plan : (subject, turn, frames) -> naming columns of a video: `subject_id`, `video_id`, `rel_path`, the four of the
        file name, `first_frame_no`, and what else the layout knows; subject counts from 0, turn over all videos.
    cells : (video, number, event) -> native cells of one row, number counts from 1; None for a set without truth.
    sheets : rows of the events table -> sheets of the workbook.
    workbooks : events table -> file name -> the table that this variant of the workbook holds.
    faults : what annotators got wrong, put into the cells of all rows, in place, from a seed.
    """

    subjects: tuple[str, ...]
    most_videos: int
    plan: Callable[[int, int, int], dict[str, Any]]
    cells: Callable[[Mapping[str, Any], int, PlannedEvent], dict[str, Cell]] | None = None
    sheets: Callable[[Sequence[Mapping[str, Any]]], Sheets] | None = None
    workbooks: Callable[[pd.DataFrame], Mapping[str, pd.DataFrame]] | None = None
    faults: Callable[[Sequence[dict[str, Any]], int], None] = lambda rows, seed: None


def write_frames(root: Path, video: Mapping[str, Any], images: Iterable[np.ndarray], quality: int) -> int:
    """Write images as the frames of a video, one at a time, and return their number.

    Parameters
    ----------
    video : naming columns as of `plan_videos`; frame numbers in its `missing` ranges are left out.
    images : (H, W) or (H, W, 3) uint8, blue-green-red. quality : of the JPEG files, 1..100.
    """
    folder = root / video["rel_path"]
    folder.mkdir(parents=True)
    written = 0
    for number, image in enumerate(images, start=video["first_frame_no"]):
        if any(first <= number <= last for first, last in video.get("missing", ())):
            continue
        done, data = cv2.imencode(video["ext"], image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise OSError(f"{folder}: frame {number} could not be encoded")
        name = f"{video['frame_prefix']}{video['frame_sep']}{number:0{video['pad_width']}d}{video['ext']}"
        (folder / name).write_bytes(data)
        written += 1
    return written


# ---------------------------------------------------------------------------------------------------------------------
# Cells


def au_cell(aus: Sequence[str]) -> Cell:
    """Return action units as CAS(ME)^2 and SAMM-LV hold them: a single one is a number, several are text."""
    return int(aus[0]) if len(aus) == 1 and aus[0].isdecimal() else "+".join(aus)


def emotion(aus: Sequence[str]) -> str:
    """Return the coarse emotion that an annotator would read from action units."""
    return next((name for name, typical in _EMOTIONS.items() if typical & set(aus)), "others")


def frame_cells(video: Mapping[str, Any], event: PlannedEvent) -> dict[str, Cell]:
    """Return onset, apex and offset of an expression as the frame numbers of the video's files."""
    first = video["first_frame_no"]
    return {f"{name}_raw": getattr(event, name) + first for name in ("onset", "apex", "offset")}


def changed(events: pd.DataFrame, change: Callable[[dict[str, Cell]], None]) -> pd.DataFrame:
    """Return an events table whose native cells went through `change`, which works in place, row by row."""
    table = events.copy()
    for at, row in zip(table.index, records(events), strict=True):
        cells = decode_cells(row)
        change(cells)
        for name, value in encode_cells(cells).items():
            table.loc[at, name] = pd.NA if value is None else value
    return table


# ---------------------------------------------------------------------------------------------------------------------
# Workbooks


def save_workbook(sheets: Sheets, path: Path) -> None:
    """Write a workbook of sheets; equal sheets make equal files."""
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
