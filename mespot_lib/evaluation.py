"""All that is said about one scoring, in one record: F1 by T_eval, uncertainty, boundaries, mistakes, anchors.

The counts follow the profile asked for; average precision, boundary errors, mistakes, chance, tiling and ceiling are
those of `megc` matching, whatever the profile. What needs to be known about a video and is not (subject, number of
frames) leaves its part of the record empty (None).
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mespot_lib.anchors import best_tiling, boundary_ceiling
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest
from mespot_lib.metrics import (
    DEFAULT_FPS,
    PARTS,
    Counts,
    Difference,
    MetricError,
    Score,
    average_precision,
    bootstrap_f1,
    boundary_errors_ms,
    chance,
    fp_per_minute,
    grid,
    of_part,
    paired_bootstrap,
    pool,
    score,
)
from mespot_lib.mistakes import LABELS, mistakes, tally
from mespot_lib.profiles import BY_DURATION, STRICT

NOISE_MS = (33, 67, 100, 133, 167, 200)  # one to six frames at 30 per second

Intervals = Mapping[str, Sequence[Interval]]
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class VideoFacts:
    """What is known about a video beside its intervals; None where it is not known."""

    subject: str | None = None
    frames: int | None = None
    fps: float | None = None


@dataclass(frozen=True)
class KnownVideo(VideoFacts):
    """The same of a video of a manifest, where all of it is known."""

    subject: str
    frames: int
    fps: float


def facts_of(manifest: Manifest) -> dict[str, KnownVideo]:
    """Return what a manifest knows about its videos."""
    videos = [manifest.video(uid) for uid in manifest.uids]
    return {video.uid: KnownVideo(video.subject, video.length, video.fps) for video in videos}


# ---------------------------------------------------------------------------------------------------------------------
# The table of videos


def read_videos(path: str | Path) -> dict[str, VideoFacts]:
    """Read a CSV file with the columns video and, if there, subject, frames and fps; or a manifest's `videos.csv`.

    Raises
    ------
    MetricError
        If the file is no such table; the message names file, row and rule.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            facts: dict[str, VideoFacts] = {}
            for row in reader:
                video, one = _facts_of(row, f"{path}, row {reader.line_num}")
                if video in facts:
                    raise MetricError(f"{path}, row {reader.line_num}: video {video} stands twice")
                facts[video] = one
    except (UnicodeDecodeError, csv.Error) as error:
        raise MetricError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    if not facts:
        raise MetricError(
            f"{path}: no video; the file needs a row of column names and one row for each video"
        )
    return facts


def _facts_of(row: Mapping[str, str], place: str) -> tuple[str, VideoFacts]:
    if None in row or None in row.values():
        raise MetricError(f"{place}: not as many cells as the first row has")
    video = _cell(row, "video", "video_uid")
    if not video:
        raise MetricError(f"{place}: column video is missing or empty; found {', '.join(row)}")
    subject = _cell(row, "subject", "subject_id") or None
    fps = _positive(_number(_cell(row, "fps"), place, "fps", float), place, "fps")
    return video, VideoFacts(subject, _positive(_frames(row, place), place, "frames"), fps)


def _frames(row: Mapping[str, str], place: str) -> int | None:
    if "frames" in row:
        return _number(row["frames"], place, "frames", int)
    first, last = (
        _number(_cell(row, name), place, name, int) for name in ("first_frame_no", "last_frame_no")
    )
    return None if first is None or last is None else last - first + 1


def _cell(row: Mapping[str, str], *names: str) -> str:
    """Return the cell of the first column that is there, empty if none is."""
    return next((row[name].strip() for name in names if name in row), "")


def _number(cell: str, place: str, name: str, kind: Callable[[str], Number]) -> Number | None:
    try:
        return kind(cell) if cell.strip() else None
    except ValueError:
        raise MetricError(f"{place}: {name} must be a number, got {cell!r}") from None


def _positive(value: Number | None, place: str, name: str) -> Number | None:
    if value is not None and not 0 < value < math.inf:
        raise MetricError(f"{place}: {name} must be positive, got {value:g}")
    return value


def fps_of(videos: Mapping[str, VideoFacts], names: Sequence[str], default: float) -> dict[str, float]:
    """Return the frames per second of each named video, `default` where not known."""
    known = {name: videos.get(name, VideoFacts()).fps for name in names}
    return {name: default if fps is None else fps for name, fps in known.items()}


def by_subject(result: Score, videos: Mapping[str, VideoFacts]) -> dict[str, Score]:
    """Return the score of each subject.

    Raises
    ------
    MetricError
        If the subject of a video is not known.
    """
    subjects: dict[str, str] = {}
    for video in result.videos:
        subject = videos.get(video, VideoFacts()).subject
        if subject is None:
            raise MetricError(f"the subject of video {video} is not known")
        subjects[video] = subject
    pooled = pool(result.videos, subjects)
    return {name: pooled[name] for name in sorted(pooled)}


def leads(
    first: Score, second: Score, videos: Mapping[str, VideoFacts], draws: int = 2000, seed: int = 0
) -> dict[str, Difference]:
    """Return by "ME", "MaE" and "overall" how far one method is ahead of another, drawing subjects again.

    Raises
    ------
    MetricError
        If a subject is not known, or the methods were not scored on the same subjects.
    """
    ours, theirs = by_subject(first, videos), by_subject(second, videos)
    return {
        part: paired_bootstrap(_part_of(ours, part), _part_of(theirs, part), draws, seed) for part in PARTS
    }


def _part_of(scores: Mapping[str, Score], part: str) -> dict[str, Counts]:
    return {name: score[part] for name, score in scores.items()}


# ---------------------------------------------------------------------------------------------------------------------
# In short


def summary(
    truth: Intervals,
    spotted: Intervals,
    videos: Mapping[str, VideoFacts],
    t_eval: float = 0.5,
    profile: str = "megc",
    fps: float = DEFAULT_FPS,
) -> list[dict[str, Any]]:
    """Return one row for ME, MaE and overall of all videos in `videos`, ready for a CSV file.

    Its columns: part, tp, fp, fn, precision, recall, f1, low and high (95 %, drawing subjects again), chance and
    chance_high (F1 of the same intervals at random places under `megc` matching, mean and 97.5 % quantile).

    Raises
    ------
    MetricError
        If subject or frames of a video are not known, or an interval lies in none of the videos.
    """
    lengths = {name: facts.frames for name, facts in videos.items() if facts.frames is not None}
    unknown = [name for name in videos if name not in lengths]
    strange = sorted({*truth, *spotted} - set(videos))
    if unknown or strange:
        raise MetricError(f"the number of frames of video {(unknown + strange)[0]} is not known")
    result = score(
        {name: truth.get(name, ()) for name in videos},
        {name: spotted.get(name, ()) for name in videos},
        t_eval,
        profile,
        fps=fps_of(videos, list(videos), fps),
    )
    bounds = _bootstrap(result, videos, 2000, 0)
    by_chance = chance(spotted, truth, lengths, t_eval=t_eval)
    rows = []
    for part in PARTS:
        ratios = {name: getattr(result[part], name) for name in ("precision", "recall", "f1")}
        ratios |= bounds[part] | {"chance": by_chance[part].f1, "chance_high": by_chance[part].high}
        counts = {name: getattr(result[part], name) for name in ("tp", "fp", "fn")}
        rows.append({"part": part} | counts | {name: round(value, 4) for name, value in ratios.items()})
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# The record


def details(
    truth: Intervals,
    spotted: Intervals,
    result: Score,
    videos: Mapping[str, VideoFacts],
    t_eval: float = 0.5,
    profile: str = "megc",
    fps: float = DEFAULT_FPS,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all that is said about a result beside its counts, ready for JSON.

    Parameters
    ----------
    result : `metrics.score` of truth and spotted with these settings; its videos count.
    videos : what is known about each video.
    fps : frames per second of videos that `videos` does not tell it of.
    draws : random placements, noisy copies and resamples.

    Returns
    -------
    dict
        Under each name a dict by "ME", "MaE" and "overall", durations in seconds or milliseconds as named.
    """
    names = sorted(result.videos)
    truth, spotted = ({name: list(side.get(name, ())) for name in names} for side in (truth, spotted))
    rates = fps_of(videos, names, fps)
    known = {name: videos.get(name, VideoFacts()).frames for name in names}
    lengths = {name: frames for name, frames in known.items() if frames is not None}
    complete = len(lengths) == len(names)
    if complete:
        _refuse_outside(spotted, lengths, "spotted")
        _refuse_outside(truth, lengths, "truth")
    has_subjects = all(videos.get(name, VideoFacts()).subject for name in names)
    return {
        "f1_by_t_eval": _curve(truth, spotted, profile, rates),
        "average_precision": average_precision(truth, spotted, t_eval),
        "bootstrap": _bootstrap(result, videos, draws, seed) if has_subjects else None,
        "boundary_errors_ms": {part: _boundaries(truth, spotted, rates, t_eval, part) for part in PARTS},
        "mistakes": tally(mistakes(truth, spotted, t_eval)),
        "fp_per_minute": _false_alarms(result, lengths, rates) if complete else None,
        "chance": _chance(truth, spotted, lengths, t_eval, draws, seed) if complete else None,
        "tiling": _tiling(truth, lengths, rates, t_eval) if complete else None,
        "boundary_ceiling": {
            str(noise): boundary_ceiling(truth, rates, noise / 1000, t_eval, draws, seed)
            for noise in NOISE_MS
        },
    }


def _refuse_outside(intervals: Intervals, lengths: Mapping[str, int], name: str) -> None:
    for video, spans in intervals.items():
        for span in spans:
            if span.onset < 0 or span.offset >= lengths[video]:
                raise MetricError(
                    f"{name} has {span.onset}..{span.offset} in video {video}, which has frames 0..{lengths[video] - 1}"
                )


def _curve(truth: Intervals, spotted: Intervals, profile: str, rates: Mapping[str, float]) -> dict[str, Any]:
    scores = grid(truth, spotted, profile=profile, fps=rates)
    return {f"{t_eval:.2f}": {part: one[part].f1 for part in PARTS} for (_, t_eval), one in scores.items()}


def _bootstrap(
    result: Score, videos: Mapping[str, VideoFacts], draws: int, seed: int
) -> dict[str, dict[str, float]]:
    subjects = by_subject(result, videos).values()
    bounds = {part: bootstrap_f1([one[part] for one in subjects], draws, seed) for part in PARTS}
    return {part: {"low": low, "high": high} for part, (low, high) in bounds.items()}


def _boundaries(
    truth: Intervals, spotted: Intervals, rates: Mapping[str, float], t_eval: float, part: str
) -> dict[str, float] | None:
    late = boundary_errors_ms(of_part(truth, part), of_part(spotted, part), rates, t_eval)  # (P, 2)
    if not len(late):
        return None
    size, lag = np.median(np.abs(late), axis=0), np.median(late, axis=0)
    return {
        "onset": float(size[0]),
        "offset": float(size[1]),
        "onset_late": float(lag[0]),
        "offset_late": float(lag[1]),
    }


def _false_alarms(result: Score, lengths: Mapping[str, int], rates: Mapping[str, float]) -> dict[str, float]:
    seconds = sum(lengths[name] / rates[name] for name in lengths)
    return {part: fp_per_minute(result[part], seconds) for part in PARTS}


def _chance(
    truth: Intervals, spotted: Intervals, lengths: Mapping[str, int], t_eval: float, draws: int, seed: int
) -> dict[str, Any]:
    return {part: asdict(one) for part, one in chance(spotted, truth, lengths, draws, seed, t_eval).items()}


def _tiling(
    truth: Intervals, lengths: Mapping[str, int], rates: Mapping[str, float], t_eval: float
) -> dict[str, Any]:
    best = best_tiling(truth, lengths, rates, t_eval)
    return {part: {"seconds": one.seconds, **one.counts.as_dict()} for part, one in best.items()}


def rule_text(profile: str, t_eval: float, fps: float) -> str:
    """Return in words which rule counted: the profile, the overlap of a hit, and the frame rate if it matters."""
    rate = f", {fps:g} frames per second where not told" if profile in BY_DURATION else ""
    return f"profile {profile}, IoU {'above' if profile in STRICT else 'at least'} {t_eval:g}{rate}"


def details_text(record: Mapping[str, Any]) -> str:
    """Return the record of `details` for the terminal: a line for each value, a column for each kind."""
    rows = [
        ("95 % interval of F1, from", _values(record["bootstrap"], "low"), 3),
        ("95 % interval of F1, to", _values(record["bootstrap"], "high"), 3),
        ("average precision", _values(record["average_precision"]), 3),
        ("false positives per minute", _values(record["fp_per_minute"]), 2),
        ("onset error, ms (median)", _values(record["boundary_errors_ms"], "onset"), 0),
        ("offset error, ms (median)", _values(record["boundary_errors_ms"], "offset"), 0),
        ("F1 at random places", _values(record["chance"], "f1"), 3),
        ("F1 of the best tiling", _values(record["tiling"], "f1"), 3),
        *[
            (f"F1 if boundaries are off by {noise} ms", _values(by_part), 3)
            for noise, by_part in record["boundary_ceiling"].items()
        ],
        *[(f"F1 at T_eval {t_eval}", _values(f1), 3) for t_eval, f1 in record["f1_by_t_eval"].items()],
        *[
            (f"{'FP' if side == 'spotted' else 'FN'}, {label}", [*times, sum(times)], 0)
            for side, labels in LABELS.items()
            for label in labels
            for times in [[record["mistakes"][kind][side][label] for kind in KINDS]]
        ],
    ]
    lines = [f"{'':<34}" + "".join(f"{part:>10}" for part in PARTS)]
    for name, values, digits in rows:
        cells = ("-" if value is None else f"{value:.{digits}f}" for value in values)
        lines.append(f"{name:<34}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def _values(by_part: Mapping[str, Any] | None, name: str | None = None) -> list[float | None]:
    """Return a value of each part, None where it is not known."""
    found = [by_part[part] if by_part else None for part in PARTS]
    return [one[name] if name and one is not None else one for one in found]
