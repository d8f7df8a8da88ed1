"""Small trees in the real layouts: every folder, name and cell as released, the frames blank."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl

from mespot_lib.datasets.build import SYNTHETIC_MARKER
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts.faults import planned, write_blank_tree

FRAMES = 40
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
    write_blank_tree(layout, root, subjects, videos, frames=frames, events=events)
    (root / SYNTHETIC_MARKER).unlink()
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
