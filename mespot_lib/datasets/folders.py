"""Frame folders: which frames they hold and how the files are named, from directory entries alone.

Names are `prefix + separator + number + extension`: `img001.jpg`, `img_1.jpg`, `006_1_00001.jpg`. Numbers are compared
as numbers, because `img1000.jpg` sorts before `img999.jpg` as text. No image is opened but the first, for its size.
"""

import os
import re
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mespot_lib import video_file
from mespot_lib.manifest import DatasetError

_FRAME_NAME = re.compile(r"(.*?)(_?)([0-9]+)(\.(?:jpg|jpeg|png|bmp))", re.IGNORECASE)
_LONGEST_NUMBER = 9  # digits; some cameras count on from one recording to the next
_LONGEST_VIDEO = 10**7  # frames; at 200 frames per second that is fourteen hours


@dataclass(frozen=True)
class FrameFolder:
    """The frames of one folder.

    first, last : the smallest and the largest frame number. count : number of frame files.
    missing : ranges (first, last) of absent numbers in between. ignored : names of files that are no frames.
    """

    prefix: str
    separator: str
    pad_width: int
    ext: str
    first: int
    last: int
    count: int
    missing: tuple[tuple[int, int], ...]
    ignored: tuple[str, ...]

    def file_name(self, number: int) -> str:
        """Return the file name of a frame number."""
        return f"{self.prefix}{self.separator}{number:0{self.pad_width}d}{self.ext}"

    def without(self, damaged: Iterable[tuple[int, int]]) -> "FrameFolder":
        """Return the folder with the numbers in `damaged` (ranges) made gaps; `count` is 0 where nothing is left."""
        absent = merged([*self.missing, *damaged])
        first, last = self.first, self.last
        for a, b in absent:  # what is absent at an end is no gap, it moves the end
            first = b + 1 if a <= first <= b else first
        for a, b in reversed(absent):
            last = a - 1 if a <= last <= b else last
        inside = tuple((a, b) for a, b in absent if first < a and b < last)
        count = max(0, last - first + 1) - sum(b - a + 1 for a, b in inside)
        return replace(self, first=first, last=last, missing=inside, count=count)


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return closed ranges in order, those that overlap or touch made one.

    >>> merged([(8, 9), (1, 3), (4, 4), (2, 2)])
    [(1, 4), (8, 9)]
    """
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def require_inside(root: Path, path: Path) -> Path:
    """Return `path`, which exists; links are followed, but only within the dataset.

    Raises
    ------
    DatasetError
        If a link on the way leads out of `root`, nowhere, or in a circle.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # a circle is a RuntimeError before Python 3.13
        raise DatasetError(
            f"{path}: does not exist, or is a link that leads nowhere or in a circle"
        ) from None
    if not target.is_relative_to(root.resolve()):
        raise DatasetError(f"{path}: leads out of the dataset, to {target}; all of it must lie inside {root}")
    return path


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in `folder`, sorted, hidden ones left out.

    Raises
    ------
    DatasetError
        If one of them is a link in a circle.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_dir(entry))


def video_files(folder: Path) -> list[str]:
    """Return the names of the video files in `folder`, sorted, hidden ones left out."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if Path(entry.name).suffix.lower() in video_file.EXTENSIONS
            and not entry.name.startswith(".")
            and entry.is_file()
        )


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        raise DatasetError(f"{entry.path}: is a link that leads in a circle") from None


def scan_frames(folder: Path, root: Path | None = None) -> FrameFolder | None:
    """Return what frames a folder holds, or None where it holds no frame.

    Parameters
    ----------
    root : the dataset, by default the folder itself; a frame that is a link must lead to a file in it.

    Raises
    ------
    DatasetError
        If frames are named in two ways, two files claim one number, the numbers are absurd, or a link leaves the
        dataset.
    """
    numbers = array("i")
    examples: dict[tuple[str, str, str], str] = {}  # the naming -> a file named so
    padded: dict[int, str] = {}  # digits -> a file whose number starts with 0
    shortest = _LONGEST_NUMBER
    ignored = []
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _FRAME_NAME.fullmatch(entry.name)
            if match is not None and entry.is_symlink():
                require_inside(root or folder, Path(entry.path))
            if match is None or entry.name.startswith(".") or not entry.is_file():
                ignored.append(entry.name)
                continue
            prefix, separator, digits, ext = match.groups()
            if len(digits) > _LONGEST_NUMBER:
                raise DatasetError(
                    f"{folder / entry.name}: a frame number of {len(digits)} digits cannot be right"
                )
            examples.setdefault((prefix, separator, ext), entry.name)
            if digits[0] == "0" and len(digits) > 1:
                padded.setdefault(len(digits), entry.name)
            shortest = min(shortest, len(digits))
            numbers.append(int(digits))
    if not numbers:
        return None
    if len(examples) > 1 or len(padded) > 1:
        names = list((examples if len(examples) > 1 else padded).values())
        raise DatasetError(
            f"{folder}: frames are named in two ways, {names[0]} and {names[1]}; remove one set"
        )
    pad_width = next(iter(padded), 0)
    ordered = np.sort(np.frombuffer(numbers, dtype=np.intc))
    _refuse_twins(folder, ordered, shortest, pad_width)
    if ordered[-1] - ordered[0] >= _LONGEST_VIDEO:
        raise DatasetError(f"{folder}: frame numbers from {ordered[0]} to {ordered[-1]} cannot be one video")
    ((prefix, separator, ext),) = examples
    return FrameFolder(
        prefix=prefix,
        separator=separator,
        pad_width=pad_width,
        ext=ext,
        first=int(ordered[0]),
        last=int(ordered[-1]),
        count=len(ordered),
        missing=_gaps(ordered),
        ignored=tuple(sorted(ignored)),
    )


def _refuse_twins(folder: Path, ordered: np.ndarray, shortest: int, pad_width: int) -> None:
    twins = ordered[1:][np.diff(ordered) == 0]
    if twins.size:
        raise DatasetError(f"{folder}: two files claim frame {twins[0]}")
    if shortest < pad_width:
        raise DatasetError(
            f"{folder}: some frame numbers are padded to {pad_width} digits, others have {shortest}; "
            "remove one set"
        )


def _gaps(ordered: np.ndarray) -> tuple[tuple[int, int], ...]:
    at = np.flatnonzero(np.diff(ordered) > 1)
    return tuple((int(ordered[i]) + 1, int(ordered[i + 1]) - 1) for i in at)


# ---------------------------------------------------------------------------------------------------------------------
# Image size from the header


def image_size(path: Path) -> tuple[int, int, int] | None:
    """Return (width, height, channels) of a JPEG, PNG or BMP file from its header, None if it is unreadable."""
    try:
        with open(path, "rb") as file:
            head = file.read(30)
            if head[:2] == b"\xff\xd8":
                return _jpeg_size(file)
            if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 26:
                width, height = struct.unpack(">II", head[16:24])
                return width, height, {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(head[25], 3)
            if head[:2] == b"BM" and len(head) == 30:
                width, height, _planes, bits = struct.unpack("<iiHH", head[18:30])
                return width, abs(height), max(1, bits // 8)
    except (OSError, struct.error):
        return None
    return None


def _jpeg_size(file: BinaryIO) -> tuple[int, int, int] | None:
    """Walk the segments of a JPEG file to its frame header (SOF)."""
    file.seek(2)
    while True:
        marker, length = struct.unpack(">HH", file.read(4))
        if marker < 0xFF00:
            return None
        # SOF0..SOF15 but DHT (C4), JPG (C8) and DAC (CC), which share the range
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            _bits, height, width, channels = struct.unpack(">BHHB", file.read(6))
            return width, height, channels
        file.seek(length - 2, os.SEEK_CUR)
