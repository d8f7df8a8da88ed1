"""The interval: frames from onset to offset, both included, with a kind. The only interval arithmetic of the project.

    frame     0  1  2  3  4  5  6  7  8  9
    truth           [========]                Interval(2, 5, "ME"), 4 frames
    spotted            [===========]          Interval(3, 7, "ME"), 5 frames

They share frames 3, 4, 5 and cover frames 2..7 together, so `iou` is 3 / 6 = 0.5.

Frames are counted on the video's frame axis: 0 is the first frame, gaps keep their place. True and spotted intervals
are the same thing in memory and on disk, so every function and every file format serves both.
"""

import csv
import io
import itertools
import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex, cast

import numpy as np

KINDS = ("ME", "MaE")
REQUIRED_COLUMNS = ("video", "kind", "onset", "offset")
COLUMNS = (*REQUIRED_COLUMNS, "apex", "score")


class IntervalError(ValueError):
    """An interval, or a file of intervals, that breaks a rule. The message says where and which."""


@dataclass(frozen=True)
class Interval:
    """Frames `onset` to `offset` of a video, both included, showing one expression.

    Parameters
    ----------
    onset, offset : first and last frame on the frame axis.
    kind : "ME" (micro-expression) or "MaE" (macro-expression).
    apex : frame of the strongest expression, None where unknown.
    score : confidence of a spotted interval; 1 for a true one.

    Raises
    ------
    IntervalError
        If a frame is no whole number, the onset comes after the offset, or the kind is unknown.

    >>> Interval(2, 5, "ME").length
    4
    """

    onset: int
    offset: int
    kind: str
    apex: int | None = None
    score: float = 1.0

    def __post_init__(self) -> None:
        # numpy integers become plain ones, so that intervals print, compare and serialise alike
        object.__setattr__(self, "onset", _whole(self.onset, "onset"))
        object.__setattr__(self, "offset", _whole(self.offset, "offset"))
        if self.apex is not None:
            object.__setattr__(self, "apex", _whole(self.apex, "apex"))
        object.__setattr__(self, "score", float(self.score))
        if self.onset > self.offset:
            raise IntervalError(f"onset {self.onset} comes after offset {self.offset}")
        if self.kind not in KINDS:
            raise IntervalError(f"kind {self.kind!r} is unknown; it must be one of {', '.join(KINDS)}")

    @property
    def length(self) -> int:
        """Return the number of frames, both ends counted."""
        return self.offset - self.onset + 1

    def __lt__(self, other: "Interval") -> bool:
        # Chronological. Spelt out because an unknown apex (None) cannot be compared with a known one.
        return self._order() < other._order()

    def _order(self) -> tuple:
        apex = -math.inf if self.apex is None else self.apex
        return self.onset, self.offset, self.kind, apex, self.score


def _whole(value: object, name: str) -> int:
    try:
        return operator.index(cast(SupportsIndex, value))
    except TypeError:
        raise IntervalError(f"{name} must be a whole frame number, got {value!r}") from None


def intersection(first: Interval, second: Interval) -> int:
    """Return how many frames two intervals share (0 where they are apart)."""
    return max(0, min(first.offset, second.offset) - max(first.onset, second.onset) + 1)


def union(first: Interval, second: Interval) -> int:
    """Return how many frames at least one of two intervals covers."""
    return first.length + second.length - intersection(first, second)


def iou(first: Interval, second: Interval) -> float:
    """Return shared frames over covered frames, in 0..1; kinds are not compared.

    >>> iou(Interval(2, 5, "ME"), Interval(3, 7, "ME"))
    0.5
    """
    return intersection(first, second) / union(first, second)


def merge(first: Interval, second: Interval) -> Interval:
    """Return the interval from the earlier onset to the later offset; kind, apex and score are the stronger one's.

    On equal scores the earlier interval counts as the stronger.
    """
    early, late = sorted((first, second))
    strong = late if late.score > early.score else early
    offset = max(first.offset, second.offset)
    return Interval(early.onset, offset, strong.kind, strong.apex, strong.score)


def as_array(intervals: Sequence[Interval]) -> np.ndarray:
    """Return onsets and offsets as one array (N, 2) int64."""
    frames = np.empty((len(intervals), 2), dtype=np.int64)
    frames[:, 0] = [span.onset for span in intervals]
    frames[:, 1] = [span.offset for span in intervals]
    return frames


def overlaps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shared and covered frames, each (...) int64, of frames (..., 2) and (..., 2) that broadcast.

    Both are whole numbers, so that an IoU of exactly one half can be told from one just below it.
    """
    onset = np.maximum(first[..., 0], second[..., 0])
    offset = np.minimum(first[..., 1], second[..., 1])
    shared = np.maximum(offset - onset + 1, 0)
    lengths = (first[..., 1] - first[..., 0] + 1) + (second[..., 1] - second[..., 0] + 1)
    return shared, lengths - shared


def iou_matrix(first: Sequence[Interval], second: Sequence[Interval]) -> np.ndarray:
    """Return `iou` of every pair, (N, M) float64."""
    shared, covered = overlaps(as_array(first)[:, None], as_array(second)[None, :])
    return shared / covered


# ---------------------------------------------------------------------------------------------------------------------
# The table of intervals: video,kind,onset,offset[,apex,score], one interval per row.
# A row that names a video and nothing else says that the video was looked at and holds no interval.


def write_intervals(path: str | Path, intervals: Mapping[str, Iterable[Interval]]) -> None:
    """Write the intervals of each video to a CSV file, videos and intervals in order.

    A video without intervals gets a row with its name only, so that it is still there after reading.

    Raises
    ------
    IntervalError
        If an interval stands twice in a video.
    """
    rows = []
    for video in sorted(intervals):
        spans = sorted(intervals[video])
        _refuse_duplicates(spans, f"{path}: video {video}")
        rows += [_row(video, span) for span in spans] or [(video, *[""] * (len(COLUMNS) - 1))]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *rows])


def _row(video: str, span: Interval) -> tuple:
    apex = "" if span.apex is None else span.apex
    return video, span.kind, span.onset, span.offset, apex, span.score


def _refuse_duplicates(spans: Sequence[Interval], place: str) -> None:
    for previous, span in itertools.pairwise(spans):
        if (previous.onset, previous.offset) == (span.onset, span.offset) and previous.kind == span.kind:
            raise IntervalError(f"{place}: {span.kind} {span.onset}..{span.offset} stands twice")


def read_intervals(path: str | Path) -> dict[str, list[Interval]]:
    """Read a CSV file with the columns video, kind, onset, offset and, if there, apex and score.

    Other columns are ignored; a byte-order mark and Windows line ends are fine.

    Returns
    -------
    dict
        The intervals of each video in chronological order; an empty list for a video that has a row without interval.

    Raises
    ------
    IntervalError
        If the file cannot be read, a column is missing, or a row breaks a rule; the message names file, row and rule.
    """
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    intervals: dict[str, list[Interval]] = {}
    first_row: dict[tuple, int] = {}  # an interval -> the row that gave it
    try:
        columns = _header(next(reader))
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            video, span = _parse_row(cells, columns)
            spans = intervals.setdefault(video, [])
            if span is None:
                continue
            key = (video, span.kind, span.onset, span.offset)
            if key in first_row:
                raise IntervalError(f"the same interval stands in row {first_row[key]}")
            first_row[key] = reader.line_num
            spans.append(span)
    except csv.Error as error:
        raise IntervalError(f"{path}, row {reader.line_num}: not valid CSV ({error})") from None
    except IntervalError as error:
        raise IntervalError(f"{path}, row {reader.line_num}: {error}") from None
    return {video: sorted(spans) for video, spans in intervals.items()}


def _read_text(path: str | Path) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise IntervalError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise IntervalError(f"{path}: not a UTF-8 text file") from None
    except OSError as error:
        raise IntervalError(f"{path}: cannot be read ({error.strerror})") from None
    if not text.strip():
        raise IntervalError(f"{path}: the file is empty; its first row must be {','.join(REQUIRED_COLUMNS)}")
    return text


def _header(cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    if len(columns) == 1 and ";" in columns[0]:
        raise IntervalError("columns are separated by semicolons; save the file with commas")
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        raise IntervalError(f"column {', '.join(missing)} is missing; found {', '.join(columns)}")
    repeated = sorted({name for name in columns if name in COLUMNS and columns.count(name) > 1})
    if repeated:
        raise IntervalError(f"column {', '.join(repeated)} stands twice")
    return columns


def _parse_row(cells: list[str], columns: list[str]) -> tuple[str, Interval | None]:
    if len(cells) != len(columns):
        raise IntervalError(f"{len(cells)} cells where the first row has {len(columns)}")
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    if not row["video"]:
        raise IntervalError("the video is not named")
    if not any(row.get(name) for name in COLUMNS if name != "video"):
        return row["video"], None
    apex = _frame(row["apex"], "apex") if row.get("apex") else None
    score = _score(row["score"]) if row.get("score") else 1.0
    onset, offset = _frame(row["onset"], "onset"), _frame(row["offset"], "offset")
    return row["video"], Interval(onset, offset, row["kind"], apex, score)


def _frame(cell: str, name: str) -> int:
    if not re.fullmatch(r"[+-]?0*[0-9]{1,9}", cell):  # a month at 200 frames per second has 9 digits
        raise IntervalError(f"{name} must be a whole frame number, got {cell!r}")
    return int(cell)


def _score(cell: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise IntervalError(f"score must be a finite number, got {cell!r}")
    return score
