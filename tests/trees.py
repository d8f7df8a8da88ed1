"""Small trees in the real layouts: every folder, name and cell as released, the frames blank."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl

from mespot_lib.manifest import event_table
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts import label_rows, plan_videos, write_workbooks
from mespot_lib.synthetic.layouts.native import write_frames

FRAMES = 40
GREY = ("fourdme", "megc2022_samm", "megc2023_samm", "samm_lv")


def planned(kind: str, onset: int, apex: int, offset: int, aus: Sequence[str] = ("4",)) -> PlannedEvent:
    """Return an expression at these positions of the frame axis."""
    return PlannedEvent(kind, onset, apex, offset, onset, offset, tuple(aus), "B", 1.0, (0.0,) * 4, ())


EVENTS = (planned("ME", 2, 5, 9), planned("MaE", 15, 20, 30, ("6", "12")))


def write_tree(
    layout: str,
    root: Path,
    *,
    subjects: int = 3,
    videos: int = 2,
    frames: int = FRAMES,
    events: Sequence[PlannedEvent] = EVENTS,
) -> Path:
    """Write a tree in which every video has the same expressions; there is no marker, so it counts as recorded."""
    plan = [video for subject in plan_videos(layout, subjects, videos, frames) for video in subject]
    image = np.zeros((12, 16) if layout in GREY else (12, 16, 3), np.uint8)
    for video in plan:
        write_frames(root, video, [image] * frames, 90)
    rows = label_rows(layout, layout, plan, [events] * len(plan), seed=1)
    write_workbooks(layout, event_table(rows), root)
    return root


def edit_workbook(path: Path, change: Callable) -> None:
    """Load a workbook, call `change` on it, and save it in place."""
    book = openpyxl.load_workbook(path)
    change(book)
    book.save(path)


def set_cells(path: Path, sheet: int = 0, **cells) -> None:
    """Set cells, as in `set_cells(path, E1=0)`."""

    def change(book):
        for name, value in cells.items():
            book.worksheets[sheet][name] = value

    edit_workbook(path, change)


def jpeg(width: int = 16, height: int = 12) -> bytes:
    """Return a blank JPEG file."""
    return cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes()
