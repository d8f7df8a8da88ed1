"""Any video of one's own: one pass over the file, and everything that can be said about it without labels.

    file or folder -> frames -> tracked face -> motion of the regions -> scores -> intervals, and what was not seen

    from mespot_lib import spot_video
    spot_video("talk.mp4")            # [Interval(onset=412, offset=424, kind='ME', ...), ...]
    analyse_video("talk.mp4")         # the same with gaps, motion curves, tracking, settings

Thresholds are those that the methods were given on drawn faces: nothing is fitted to the video. What the pass could not
look at (no face, damaged, missing or unread frames) is flagged as a gap, and a camera cut as well, because nothing is
compared across it. Memory does not grow with the length of the video but for a few numbers per sample.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd

from mespot_lib import face as faces
from mespot_lib.catalogue import load_dataset
from mespot_lib.datasets.build import SYNTHETIC_MARKER
from mespot_lib.datasets.own_video import read_media
from mespot_lib.features import motion as neighbour_motion
from mespot_lib.features import reference_motion
from mespot_lib.features.cache import media_digest
from mespot_lib.features.motion import LONGEST_STEP_S, sampling_step
from mespot_lib.features.regions import REGIONS
from mespot_lib.frames import DamagedFrameWarning, Frame, FrameError, gaps, iter_frames
from mespot_lib.interval import COLUMNS, Interval
from mespot_lib.manifest import Manifest, Video
from mespot_lib.methods import flow_peaks, zhang2020
from mespot_lib.places import cache_root
from mespot_lib.spot import runs_above
from mespot_lib.tracking import Tracked, track_face

Method = Literal["flow_peaks", "zhang2020"]
Reason = Literal["no face", "missing", "damaged", "unread", "cut"]

# Chosen once by `zhang2020.fit` on all subjects of the drawn default dataset of 30 frames per second.
ZHANG_THRESHOLDS_U = {"ME": 0.5, "MaE": 1.0}

# What a user should be warned of.
LOW_FPS = 25.0  # an expression of 0.2 s has five frames then
SMALL_FACE_PX = 25.0  # between the inner eye corners: a movement of 1 u is less than 0.4 px then
UNSTEADY_U = 1.5  # median residual of the tracked landmarks
DARK_LEVEL = 45.0  # median grey level in the face
SHARE_LOST = 0.05  # of the pictures


CROWDED_SHARE = 0.35  # of the time inside intervals
LARGEST_U = 25.0  # displacement; faces do not move further
EDGE_S = 0.1  # beside a gap
SLOW_S = 3.0  # what lasts longer than this is no expression but posture


class UserVideoError(ValueError):
    """A video cannot be analysed as asked; the message says why."""


class Gap(NamedTuple):
    """Positions `first` to `last`, both included, that were not looked at, or between which nothing was compared."""

    first: int
    last: int
    reason: Reason


class Track(NamedTuple):
    """What the tracker saw, one row for each picture looked at.

    frames : (N,) int64 positions on the frame axis; cut : (N,) bool, whether the camera was cut just before
    landmarks : (N, 68, 2) float32 px; residual_px : (N,) float32; grey : (N,) float32, mean level of the face; all NaN
        without a face
    """

    frames: np.ndarray
    cut: np.ndarray
    landmarks: np.ndarray
    residual_px: np.ndarray
    grey: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Return (N,) bool: whether there is a face."""
        return np.isfinite(self.landmarks[:, 0, 0])

    def nearest(self, t: int) -> int:
        """Return the row of the picture with a face that is nearest to position t."""
        found = np.flatnonzero(self.found)
        return int(found[np.abs(self.frames[found] - t).argmin()])


class Curves(NamedTuple):
    """Where each region is, relative to where it was at the beginning of its stretch, the head's motion taken out.

    frames : (N,) int64; points : for each region, the landmarks (0-based, of 68) that it lies around
    shifts : (N, R, 2) float32 u, x right, y down; NaN where unknown
    stretch : (N,) int64, number of the stretch within which displacements can be compared, -1 where unknown
    """

    frames: np.ndarray
    points: tuple[tuple[int, ...], ...]
    shifts: np.ndarray
    stretch: np.ndarray


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that one pass over a video found.

    intervals : in order of time; strengths : of each, as a multiple of the least that counts
    blinks : first and last frame of each, where the method looks for them; gaps : in order of time
    scores : what the method knew before its thresholds, for its own `spot_scores` with others
    media : facts about the file; settings : what was asked for and what it came to
    read_until : first position behind the last picture; less than `video.length` where a fault stopped the reading
    """

    video: Video
    intervals: tuple[Interval, ...]
    strengths: tuple[float, ...]
    blinks: tuple[tuple[int, int], ...]
    gaps: tuple[Gap, ...]
    curves: Curves
    track: Track
    scores: Any
    media: Mapping[str, Any]
    settings: Mapping[str, Any]
    read_until: int

    @property
    def seconds(self) -> float:
        """Return how much of the video was read, s."""
        return self.read_until / self.video.fps

    @property
    def fault_s(self) -> float | None:
        """Return where reading stopped before the end of the video, s; None if it did not."""
        return self.seconds if self.read_until < self.video.length else None


def spot_video(
    path: str | Path,
    *,
    fps: float | None = None,
    method: Method = "flow_peaks",
    face: int | Literal["largest"] = "largest",
    backend: faces.Backend = "auto",
    landmarks: str | Path | None = None,
    progress: bool = False,
) -> list[Interval]:
    """Return the expressions spotted in a video file or a folder of frames, in order of time.

    Frame t of an interval is shown t / fps seconds after the first one. Parameters and errors are those of
    `analyse_video`, which also tells what could not be looked at.
    """
    found = analyse_video(
        path, fps=fps, method=method, face=face, backend=backend, landmarks=landmarks, progress=progress
    )
    return list(found.intervals)


def analyse_video(
    path: str | Path,
    *,
    fps: float | None = None,
    method: Method = "flow_peaks",
    face: int | Literal["largest"] = "largest",
    backend: faces.Backend = "auto",
    landmarks: str | Path | None = None,
    progress: bool = False,
) -> Analysis:
    """Look at a video once, from its first frame to its last, or to a fault.

    Parameters
    ----------
    path : a video file, or a folder of numbered frames.
    fps : frames per second; a folder of frames does not know them. By default those of the file.
    method : "flow_peaks" or "zhang2020", see `mespot_lib.methods`.
    face : which face where there are several: "largest", or its number from left to right, from 1.
    backend : where landmarks come from, see `mespot_lib.face`.
    landmarks : a landmark file (.npz, or CSV of OpenFace) instead of a detector.
    progress : show a bar on standard error.

    Raises
    ------
    UserVideoError
        For an unknown method, or if not a single picture can be read.
    mespot_lib.face.NoFaceError
        If no picture shows a face.
    mespot_lib.manifest.DatasetError, mespot_lib.frames.FrameError, mespot_lib.tracking.TrackingError
        If the file cannot be read or the frame rate is unknown; for a face that is not there, or a landmark file of
        another video.
    """
    if method not in _ENGINES:
        raise UserVideoError(f"method {method!r} is unknown; it must be one of {', '.join(_ENGINES)}")
    if face != "largest" and not (isinstance(face, int) and face >= 1):
        raise UserVideoError(f'face is "largest" or a number from 1, not {face!r}')
    manifest = read_media(path, fps=fps)
    if len(manifest.uids) > 1:
        raise UserVideoError(f"{path}: holds {len(manifest.uids)} videos; name one of them")
    video = manifest.video(manifest.uids[0])
    engine = _ENGINES[method]()
    step = sampling_step(video.fps, engine.rate_hz)
    log = _Log()
    table = None if landmarks is None else faces.side_landmarks(video, Path(landmarks))
    tracked = track_face(
        _pictures(video, step, log, progress), video.fps, backend=backend, choose=face, landmarks=table
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFrameWarning)  # they become gaps
        motion = engine.measure(_watched(tracked, log), video.fps)
    track = log.track()
    if not len(track.frames):
        raise UserVideoError(f"{path}: not one frame can be read{f': {log.fault}' if log.fault else ''}")
    if not track.found.any():
        raise faces.NoFaceError(
            f"{path}: no face in any of the {len(track.frames)} pictures looked at; try --backend cascade or "
            "mediapipe, or give a landmark file"
        )
    read_until = min(video.length, int(track.frames[-1]) + step)
    scores, spotted = engine.spot(motion, video.fps)
    spotted = sorted(spotted)
    least = engine.thresholds_u if engine.scores_in_u else {"ME": 1.0, "MaE": 1.0}
    return Analysis(
        video=video,
        intervals=tuple(spotted),
        strengths=tuple(span.score / least[span.kind] for span in spotted),
        blinks=tuple(getattr(scores, "blinks", ())),
        gaps=tuple(_gaps(video, track, step, read_until)),
        curves=engine.curves(motion),
        track=track,
        scores=scores,
        media=_media(video, manifest, path),
        settings={
            "method": method,
            "thresholds_u": dict(engine.thresholds_u),
            "config": asdict(engine.config),
            "face": face,
            "backend": faces.available_backend() if backend == "auto" else backend,
            "landmarks": None if landmarks is None else Path(landmarks).name,
            "fps_asked": fps,
            "fault": log.fault,
        },
        read_until=read_until,
    )


def example_video(name: str = "synthetic_casme2", number: int = 0, seconds: float | None = None) -> Path:
    """Return a drawn video as an .mp4 file in the cache: something to try things on, for everybody.

    name : a drawn dataset; number : which of its videos; seconds : its beginning only.
    """
    manifest = load_dataset(name)
    video = manifest.video(manifest.uids[number])
    stop = None if seconds is None else round(seconds * video.fps)
    folder = cache_root() / "example_video"
    path = folder / f"{video.video_id}{'' if stop is None else f'_{stop}'}_{media_digest(video)[:8]}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SYNTHETIC_MARKER).write_text("Drawn by mespot. No person is depicted.\n", encoding="utf-8")
        partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        write_video_file(
            partial, (image for _, image in iter_frames(video, stop=stop, grey=False)), video.fps
        )
        partial.replace(path)
    return path


def write_video_file(path: str | Path, images: Iterable[np.ndarray], fps: float, quality: int = 14) -> None:
    """Encode pictures (H, W, 3) uint8 blue, green, red of even sides as H.264.

    quality : the encoder's constant rate factor; lower is better. From about 20 on it smooths away skin texture, and
        the motion with it.
    """
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(quality), "preset": "veryfast"}
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


# ---------------------------------------------------------------------------------------------------------------------
# The two methods, as one pass needs them


class _Engine(NamedTuple):
    config: Any
    rate_hz: float  # samples per second, at most
    thresholds_u: Mapping[str, float]
    scores_in_u: bool  # else the score of an interval is a multiple of its threshold
    measure: Callable[[Iterable[Tracked], float], Any]
    spot: Callable[[Any, float], tuple[Any, list[Interval]]]
    curves: Callable[[Any], Curves]


def _flow_peaks() -> _Engine:
    config = flow_peaks.FlowPeaksConfig()

    def spot(motion: reference_motion.ReferenceMotion, fps: float) -> tuple[Any, list[Interval]]:
        scores = flow_peaks.score_motion(motion, fps, config)
        return scores, flow_peaks.spot_scores(scores, config.thresholds_u, config)

    return _Engine(
        config,
        config.motion.rate_hz,
        config.thresholds_u,
        True,
        lambda tracked, fps: reference_motion.measure_tracked(tracked, fps, config.motion),
        spot,
        _joined_stretches,
    )


def _zhang2020() -> _Engine:
    config = zhang2020.ZhangConfig()

    def spot(motion: neighbour_motion.RegionMotion, fps: float) -> tuple[Any, list[Interval]]:
        scores = zhang2020.score_motion(motion, fps, config)
        return scores, zhang2020.spot_scores(scores, ZHANG_THRESHOLDS_U, config)

    def curves(motion: neighbour_motion.RegionMotion) -> Curves:
        shifts = motion.shifts().astype(np.float32)
        shifts[~motion.known] = np.nan
        stretch = np.where(motion.known, np.cumsum(~motion.known), -1)
        return Curves(motion.frames, tuple((point,) for point in REGIONS), shifts, stretch)

    return _Engine(
        config,
        config.motion.rate_hz,
        ZHANG_THRESHOLDS_U,
        False,
        lambda tracked, fps: neighbour_motion.measure_tracked(tracked, fps, config.motion),
        spot,
        curves,
    )


_ENGINES: dict[str, Callable[[], _Engine]] = {"flow_peaks": _flow_peaks, "zhang2020": _zhang2020}


def _joined_stretches(motion: reference_motion.ReferenceMotion) -> Curves:
    stretches = motion.stretches()
    frames = np.unique(np.concatenate([motion.frames, *(stretch.frames for stretch in stretches)]))
    shifts = np.full((len(frames), *motion.regions.shape[1:]), np.nan, np.float32)
    belongs = np.full(len(frames), -1)
    for number, stretch in enumerate(stretches):
        rows = np.searchsorted(frames, stretch.frames)
        shifts[rows], belongs[rows] = stretch.regions, number
    points = tuple(box.points for box in reference_motion.BOXES.values())
    return Curves(frames, points, shifts, belongs)


# ---------------------------------------------------------------------------------------------------------------------
# Watching the stream


@dataclass
class _Log:
    """What passes by in the stream, a few numbers each."""

    seen: list[tuple] = field(default_factory=list)
    fault: str | None = None

    def track(self) -> Track:
        frames, cut, landmarks, residual, grey = zip(*self.seen, strict=True) if self.seen else ((),) * 5
        nowhere = np.full((68, 2), np.nan, np.float32)
        places = [nowhere if points is None else points for points in landmarks]
        return Track(
            np.array(frames, np.int64),
            np.array(cut, bool),
            np.array(places, np.float32).reshape(-1, 68, 2),
            np.array(residual, np.float32),
            np.array(grey, np.float32),
        )


def _pictures(video: Video, step: int, log: _Log, progress: bool) -> Iterator[Frame]:
    """Yield the sampled frames up to the end or to a fault, which is noted: what was seen before it is kept."""
    from tqdm import tqdm

    with tqdm(
        total=video.length, unit="frame", desc=video.path.name, disable=not progress, mininterval=0.5
    ) as bar:
        try:
            for one in iter_frames(video, step=step, grey=False, on_damaged="gap"):
                yield one
                bar.update(one.t + step - bar.n)
        except (FrameError, OSError) as error:
            # results may be passed on: they name the file, not the folders above it
            log.fault = str(error).replace(f"{video.path.parent}{os.sep}", "")


def _watched(tracked: Iterable[Tracked], log: _Log) -> Iterator[Tracked]:
    for one in tracked:
        log.seen.append((one.t, one.cut, one.landmarks, one.residual_px, _face_grey(one)))
        yield one


def _face_grey(one: Tracked) -> float:
    """Return the mean level inside the box of the landmarks, NaN without a face."""
    if one.landmarks is None:
        return math.nan
    height, width = one.image.shape[:2]
    left, top = np.clip(one.landmarks.min(axis=0), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(one.landmarks.max(axis=0), (left + 1, top + 1), (width, height)).astype(int)
    return float(np.mean(cv2.mean(one.image[top:bottom, left:right])[:3]))


def _gaps(video: Video, track: Track, step: int, read_until: int) -> list[Gap]:
    """Return what was not looked at, in order of time."""
    found = [
        *_lost(track, step, video.length),
        *(Gap(first, last, "missing") for first, last in gaps(video) if _is_long(first, last, video.fps)),
        *_damaged(video, track, step, read_until),
        *_cuts(track),
    ]
    if read_until < video.length:
        found.append(Gap(read_until, video.length - 1, "unread"))
    return sorted(found)


def _lost(track: Track, step: int, length: int) -> Iterator[Gap]:
    for first, last in runs_above(~track.found, True):
        yield Gap(int(track.frames[first]), min(int(track.frames[last]) + step, length) - 1, "no face")


def _damaged(video: Video, track: Track, step: int, read_until: int) -> Iterator[Gap]:
    """Yield the sampled positions that have no picture although the manifest has one."""
    sampled = np.arange(0, read_until, step)
    absent = ~np.isin(sampled, track.frames)
    for first, last in gaps(video):
        absent &= (sampled < first) | (sampled > last)
    for first, last in runs_above(absent, True):
        yield Gap(int(sampled[first]), min(int(sampled[last]) + step, read_until) - 1, "damaged")


def _cuts(track: Track) -> Iterator[Gap]:
    """Yield the pairs of pictures between which the camera was cut."""
    for row in np.flatnonzero(track.cut[1:]):
        yield Gap(int(track.frames[row]), int(track.frames[row + 1]), "cut")


def _is_long(first: int, last: int, fps: float) -> bool:
    """Tell whether missing frames interrupt the motion; a camera of variable rate drops single ones all the time."""
    return (last - first + 2) / fps > LONGEST_STEP_S


def _media(video: Video, manifest: Manifest, path: str | Path) -> dict[str, Any]:
    return {
        "name": Path(path).name,
        "media": video.media,
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "frames": video.length,
        "frames_missing": sum(last - first + 1 for first, last in video.missing),
        "seconds": video.length / video.fps,
        "remarks": [remark["rule"] for remark in manifest.descriptor["remarks"]],
    }


# ---------------------------------------------------------------------------------------------------------------------
# What the regions are called


# Sides of the picture, because that is what the reader sees.
_PLACES = {
    **dict.fromkeys(range(17, 22), "left brow"),
    **dict.fromkeys(range(22, 27), "right brow"),
    **dict.fromkeys((30,), "nose tip"),
    **dict.fromkeys((31, 32), "left nose wing"),
    **dict.fromkeys((34, 35), "right nose wing"),
    **dict.fromkeys((36, 37, 38, 39, 40, 41), "left eyelids"),
    **dict.fromkeys((42, 43, 44, 45, 46, 47), "right eyelids"),
    48: "left mouth corner",
    51: "upper lip",
    54: "right mouth corner",
    57: "lower lip",
    62: "lips",
}


def place_name(points: tuple[int, ...]) -> str:
    """Return in words where on the face, as seen in the picture, the region around some landmarks lies.

    >>> place_name((48,)), place_name((17, 18, 19, 20, 21))
    ('left mouth corner', 'left brow')
    """
    names = {_PLACES.get(point, "mouth") for point in points}
    return names.pop() if len(names) == 1 else "mouth"


def column_name(points: tuple[int, ...]) -> str:
    """Return a name of the region around some landmarks for a table, unique among the regions of a method."""
    place = place_name(points).replace(" ", "_")
    return f"{place}_{points[0]}" if len(points) == 1 else f"{place}_{points[0]}_{points[-1]}"


def activity(found: Analysis) -> dict[str, np.ndarray]:
    """Return per part of the face how far its furthest region is from where it rests, (N,) u, NaN where unknown.

    Where a region rests is its median over the `SLOW_S` around: slow drift is no expression.
    """
    curves = found.curves
    spacing = int(np.diff(curves.frames).min()) if len(curves.frames) > 1 else 1
    window = max(3, round(SLOW_S * found.video.fps / spacing))
    flat = pd.DataFrame(curves.shifts.reshape(len(curves.frames), -1).astype(float))
    alike = flat.groupby(curves.stretch, group_keys=False)
    rest = alike.apply(lambda part: part.rolling(window, center=True, min_periods=1).median()).sort_index()
    length = np.linalg.norm(curves.shifts - rest.to_numpy().reshape(curves.shifts.shape), axis=2)
    parts = [next(part for word, part in _PARTS.items() if word in place_name(p)) for p in curves.points]
    return {
        part: length[:, [part == own for own in parts]].max(axis=1)
        for part in ("brows", "eyelids", "nose", "mouth")
        if part in parts
    }


_PARTS = {"brow": "brows", "eyelids": "eyelids", "nose": "nose", "mouth": "mouth", "lip": "mouth"}


def displacements(curves: Curves, span: Interval) -> np.ndarray:
    """Return how far each region has moved from the onset to the apex of an interval: (R, 2) u, NaN where unknown."""
    onset, apex = (int(np.abs(curves.frames - t).argmin()) for t in (span.onset, apex_of(span)))
    return curves.shifts[apex] - curves.shifts[onset]


def apex_of(span: Interval) -> int:
    """Return the apex of an interval, its middle where unknown."""
    return (span.onset + span.offset) // 2 if span.apex is None else span.apex


def doubts(found: Analysis, span: Interval) -> list[str]:
    """Return what speaks against taking a spotted interval for an expression, in words."""
    curves = found.curves
    inside = (curves.frames >= span.onset) & (curves.frames <= span.offset)
    way = curves.shifts[inside] - curves.shifts[np.abs(curves.frames - span.onset).argmin()]
    margin = EDGE_S * found.video.fps
    lines = []
    if np.nanmax(np.linalg.norm(way, axis=2), initial=0.0) > LARGEST_U:
        lines.append("moves further than a face can: a hand before it, or a tracking fault")
    if span.kind == "ME" and any(first <= span.offset and span.onset <= last for first, last in found.blinks):
        lines.append("together with a blink: brow and cheek may only go along with it")
    if any(gap.first - margin <= span.offset and gap.last + margin >= span.onset for gap in found.gaps):
        lines.append("beside a gap or a cut")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Tables and remarks


def spotted_table(found: Analysis) -> pd.DataFrame:
    """Return the intervals with the columns of `mespot_lib.interval` and their times in seconds from the first frame.

    Written to CSV it is read by `read_intervals`; a video without intervals has a row with its name only.
    """
    fps = found.video.fps
    rows = [
        {
            "video": found.video.uid,
            "kind": span.kind,
            "onset": span.onset,
            "offset": span.offset,
            "apex": span.apex,
            "score": round(span.score, 4),
            "strength": round(strength, 3),
            "onset_s": round(span.onset / fps, 3),
            "offset_s": round(span.offset / fps, 3),
            "apex_s": None if span.apex is None else round(span.apex / fps, 3),
            "doubts": "; ".join(doubts(found, span)),
        }
        for span, strength in zip(found.intervals, found.strengths, strict=True)
    ]
    table = pd.DataFrame(
        rows or [{"video": found.video.uid}],
        columns=[*COLUMNS, "strength", "onset_s", "offset_s", "apex_s", "doubts"],
    )
    return table.astype(dict.fromkeys(("onset", "offset", "apex"), "Int64"))


def motion_table(found: Analysis) -> pd.DataFrame:
    """Return the motion curves: frame, time, and per region its displacement in u along x (right) and y (down)."""
    curves = found.curves
    columns = {"frame": curves.frames, "time_s": np.round(curves.frames / found.video.fps, 4)}
    for row, points in enumerate(curves.points):
        for axis, name in enumerate("xy"):
            columns[f"{column_name(points)}_{name}_u"] = np.round(
                curves.shifts[:, row, axis].astype(float), 4
            )
    return pd.DataFrame(columns)


def gaps_table(found: Analysis) -> pd.DataFrame:
    """Return the gaps: first and last frame, the same in seconds, and the reason."""
    fps = found.video.fps
    rows = [(g.first, g.last, round(g.first / fps, 3), round(g.last / fps, 3), g.reason) for g in found.gaps]
    return pd.DataFrame(rows, columns=["first", "last", "first_s", "last_s", "reason"])


def summary(found: Analysis) -> dict[str, Any]:
    """Return the figures at the top of a report, as plain values."""
    track, fps = found.track, found.video.fps
    seen = track.found
    per_u = faces.px_per_u(track.landmarks[seen])
    reasons = [gap.reason for gap in found.gaps]
    return {
        "video": found.media["name"],
        "ME": sum(span.kind == "ME" for span in found.intervals),
        "MaE": sum(span.kind == "MaE" for span in found.intervals),
        "doubtful": sum(bool(doubts(found, span)) for span in found.intervals),
        "blinks": len(found.blinks),
        "seconds": round(found.seconds, 3),
        "fps": fps,
        "face_share": round(float(seen.mean()), 4),
        "eyes_px": round(float(np.median(per_u)) * faces.INNER_EYES_U, 1),
        "residual_u": round(float(np.nanmedian(track.residual_px[seen] / per_u)), 3),
        "face_level": round(float(np.median(track.grey[seen])), 1),
        "cuts": reasons.count("cut"),
        "gaps": len(reasons) - reasons.count("cut"),
        "stopped_s": None if found.fault_s is None else round(found.fault_s, 3),
        "warnings": remarks(found),
    }


def remarks(found: Analysis) -> list[str]:
    """Return in whole sentences what makes this video hard, the gravest first."""
    track, fps = found.track, found.video.fps
    seen = track.found
    per_u = faces.px_per_u(track.landmarks[seen])
    eyes_px = float(np.median(per_u)) * faces.INNER_EYES_U
    unsteady = float(np.nanmedian(track.residual_px[seen] / per_u))
    seconds: dict[str, float] = {}
    for gap in found.gaps:
        seconds[gap.reason] = seconds.get(gap.reason, 0.0) + (gap.last - gap.first + 1) / fps
    cuts = sum(gap.reason == "cut" for gap in found.gaps)
    lines = []
    if found.fault_s is not None:
        lines.append(
            f"Reading stopped at {found.fault_s:.1f} s of {found.video.length / fps:.1f} s: the file is damaged or cut "
            "short. What came before is kept; nothing is known of the rest."
        )
    if 1 - seen.mean() > SHARE_LOST:
        lines.append(
            f"No face was found in {1 - seen.mean():.0%} of the pictures ({seconds.get('no face', 0):.1f} s); "
            "expressions there cannot be spotted."
        )
    for reason in ("missing", "damaged"):
        if reason in seconds:
            lines.append(f"{seconds[reason]:.1f} s of frames are {reason}.")
    if cuts:
        lines.append(
            f"The picture is cut {cuts} time{'s' if cuts > 1 else ''}: nothing is compared across a cut, and an "
            "expression that a cut goes through is missed."
        )
    if fps < LOW_FPS:
        lines.append(
            f"{fps:.3g} frames per second are few: an expression of 0.2 s lasts {0.2 * fps:.0f} frames and may be "
            "missed."
        )
    if eyes_px < SMALL_FACE_PX:
        lines.append(
            f"The face is small: {eyes_px:.0f} px between the inner corners of the eyes, better are "
            f"{2 * SMALL_FACE_PX:.0f}. Weak expressions are lost in the noise."
        )
    if unsteady > UNSTEADY_U:
        lines.append(
            f"The landmarks are unsteady (median residual {unsteady:.1f} u): a covered or turned face, or blur. Some "
            "spots may be tracking faults."
        )
    covered = float(_covered(found.intervals, found.video.length).sum()) / found.read_until
    if covered > CROWDED_SHARE:
        lines.append(
            f"Spotted expressions cover {covered:.0%} of the time. Somebody who talks, eats, laughs all along or has a "
            "hand at the face cannot be told from somebody who makes many faces."
        )
    if np.median(track.grey[seen]) < DARK_LEVEL:
        lines.append("The face is dark: the noise of the camera may pass for motion.")
    return lines


def _covered(intervals: Iterable[Interval], length: int) -> np.ndarray:
    """Return (T,) bool: whether a position lies in an interval."""
    covered = np.zeros(length, dtype=bool)
    for span in intervals:
        covered[span.onset : span.offset + 1] = True
    return covered
