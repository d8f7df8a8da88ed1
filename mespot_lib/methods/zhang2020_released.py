"""The MEGC baseline as its public upload has it: humps of speed in twelve squares; its faults are switches.

    flow between neighbouring frames -> twelve squares less the nose's motion -> speed curves -> crests -> intervals

The upload to which the baseline's authors pointed is not what their paper describes (`zhang2020` is): nothing tests for
an S-pattern, there is one filter and not a bank, and no rule for the kind. Per square it takes

    v(t)    mean length of the flow vectors in the strongest of six bins of direction, of 60 degrees each     (1)
    y       v, smoothed by a Savitzky-Golay filter of order 3                                                 (2)
    crests  strict local maxima with 0.8 max y < y, y > 0.3 h, in squares with max y >= 0.8 h; h = 1          (3)

and from each crest walks down both sides as long as y falls. What is short enough is marked in the video, all squares
together; runs of marks with hardly a gap are joined. Each of its faults has a switch (`Faults`), so that one can
see what it costs. Numbers in frames are read as those of 30 frames per second, the rate of CAS(ME)^2, for which they
were set.

Decided here, since the upload leaves it open. Its flow function is missing: DIS, as elsewhere in the library. It looks
for landmarks in every frame, we every second, following the nose. Its px are those of faces of about 256 px: here they
are face units (u), so that the size of the picture does not matter. Its filter window comes from a table with one row
per video that is not public: here one window serves all videos. What it spots has no kind: it is typed by duration, as
in the challenge, a micro-expression lasting at most 0.5 s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from mespot_lib import face, metrics, spot
from mespot_lib.features.cache import cached_arrays
from mespot_lib.features.motion import CropFlow, MotionRecipe, crop_flows, sampling_step
from mespot_lib.features.regions import REGIONS, region_boxes
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, Video, loso_folds

NOSE = 28  # the bridge of the nose: there the head's motion is read
SQUARES: tuple[int, ...] = (*REGIONS, NOSE)  # landmarks; the nose's own square is searched too
BINS = 6
FPS = 30.0  # of CAS(ME)^2, for which the upload's numbers were set


@dataclass(frozen=True)
class Faults:
    """What is wrong in the upload, True as uploaded. The first four are slips, the others choices that do not carry.

    transposed : the field is indexed [x, y]: a square lies where its mirror image in the diagonal belongs
    overwritten : the sum of the nose's vectors is written over the first of them, into the field
    top_excluded : a crest must lie *below* the maximum, so the strongest movement of a square is never one
    in_pairs : runs 0 and 1, 2 and 3, ... are joined if close; 1 and 2 never, and never three
    lengths_in_frames : filter, longest crest, gap and margin are numbers of frames, whatever the frame rate
    heights_per_frame : speeds are compared with u per frame, so a camera seven times as fast sees a seventh
    every_frame : the flow is between neighbouring frames, at 200 per second too; else about 1/30 s apart
    ends_cut : nothing is looked for in the first and the last 100 frames
    """

    transposed: bool = True
    overwritten: bool = True
    top_excluded: bool = True
    in_pairs: bool = True
    lengths_in_frames: bool = True
    heights_per_frame: bool = True
    every_frame: bool = True
    ends_cut: bool = True

    @classmethod
    def none(cls) -> "Faults":
        """Return the upload with everything put right."""
        return cls(**dict.fromkeys(FAULTS, False))

    def without(self, *names: str) -> "Faults":
        """Return the same with the named ones put right."""
        return replace(self, **dict.fromkeys(names, False))


FAULTS: tuple[str, ...] = tuple(one.name for one in fields(Faults))


class Limits(NamedTuple):
    """What may be chosen for all videos, by default as uploaded; frames are those of 30 per second.

    window : frames of the filter, odd; by 3 nothing is smoothed. height : h of equation (3)
    longest : frames of a crest from foot to foot
    """

    window: int = 5
    height: float = 1.0
    longest: int = 8


CHOICE = tuple(Limits(*one) for one in product((5, 9, 15), (1.0, 0.5, 0.25, 0.12), (8, 20, 30)))


@dataclass(frozen=True)
class ReleasedConfig:
    """Numbers of the upload; frames are those of 30 per second, speeds are u per 1/30 s.

    limits : one, or several among which `fit` chooses
    least_max, share, least : equation (3); most_crests : a square with more of them is noise
    gap : runs whose ends are so many frames apart are joined; ends : frames left out at each end
    """

    faults: Faults = field(default_factory=Faults)
    motion: MotionRecipe = field(default_factory=MotionRecipe)
    limits: Sequence[Limits] = (Limits(),)
    least_max: float = 0.8
    share: float = 0.8
    least: float = 0.3
    most_crests: int = 30
    gap: int = 2
    ends: int = 100

    @classmethod
    def paper(cls, **changes: Any) -> "ReleasedConfig":
        """Return the only configuration there is: nothing is trained, so `quick` and `paper` do not differ."""
        return cls(**changes)

    quick = paper

    @classmethod
    def right(cls) -> "ReleasedConfig":
        """Return the upload with everything put right and limits to choose from."""
        return cls(faults=Faults.none(), limits=CHOICE)

    def recipe(self, fps: float) -> MotionRecipe:
        """Return how the motion of a video is measured."""
        return replace(self.motion, rate_hz=fps if self.faults.every_frame else min(self.motion.rate_hz, fps))


class Scores(NamedTuple):
    """What the method knows of a video before any threshold. N samples, 12 squares.

    fps : frames per second of the video; frames : (N,) int64 positions on the frame axis
    speeds : (N, 12) float32, equation (1), u per sample, from a frame to the sample after it; the last row is 0
    """

    fps: float
    frames: np.ndarray
    speeds: np.ndarray

    @property
    def rate(self) -> float:
        """Return the samples per second."""
        return self.fps / (self.frames[1] - self.frames[0]) if len(self.frames) > 1 else self.fps


@dataclass(frozen=True)
class Fitted:
    """The method with its limits."""

    config: ReleasedConfig
    limits: Limits

    def score(self, video: Video) -> Scores:
        """Return the speeds in the squares of a video."""
        return score_video(video, self.config)

    def spot(self, scores: Scores) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_speeds(scores, self.limits, self.config)


def fit(train: Manifest, config: ReleasedConfig, seed: int = 0) -> Fitted:
    """Choose the limits with the best overall F1 (profile `megc`) on the training videos, of equals the first.

    With one to choose from, as in the default, no video is looked at. Nothing is random.
    """
    if len(config.limits) == 1:
        return Fitted(config, config.limits[0])
    return Fitted(config, _best(_tried(train, config), train))


def limits_of_others(manifest: Manifest, config: ReleasedConfig) -> dict[str, Limits]:
    """Return for every video the limits that `fit` chooses on the other subjects."""
    tried = _tried(manifest, config)
    chosen: dict[str, Limits] = {}
    for fold in loso_folds(manifest):
        chosen |= dict.fromkeys(fold.test, _best(tried, manifest.only(fold.train)))
    return chosen


def _tried(manifest: Manifest, config: ReleasedConfig) -> dict[Limits, dict[str, list[Interval]]]:
    scores = {uid: score_video(manifest.video(uid), config) for uid in manifest.uids}
    return {
        limits: {uid: spot_speeds(one, limits, config) for uid, one in scores.items()}
        for limits in config.limits
    }


def _best(tried: Mapping[Limits, Mapping[str, list[Interval]]], train: Manifest) -> Limits:
    truth = {uid: train.truth(uid) for uid in train.uids}

    def f1(limits: Limits) -> float:
        return metrics.score(truth, {uid: tried[limits][uid] for uid in truth}).overall.f1

    return max(tried, key=f1)


def prepare(video: Video, profile: str) -> None:
    """Measure what every fold needs of a video, into the cache."""
    score_video(video, getattr(ReleasedConfig, profile)())


# ---------------------------------------------------------------------------------------------------------------------
# Speeds


def score_video(video: Video, config: ReleasedConfig) -> Scores:
    """Measure, or read from the cache, how fast the squares of a video move.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If no frame shows a face.
    """
    recipe = config.recipe(video.fps)
    described = {"name": "square_speeds", **asdict(recipe), "squares": SQUARES}
    described["landmarks"] = face.available_backend() if recipe.landmarks == "auto" else recipe.landmarks
    arrays = cached_arrays(video, described, lambda: _measure(video, recipe))
    speeds = arrays["speeds"][:, int(config.faults.transposed), int(config.faults.overwritten)]
    return Scores(video.fps, arrays["frames"], speeds)


def _measure(video: Video, recipe: MotionRecipe) -> dict[str, np.ndarray]:
    """Return the speeds of all samples with and without the two faults in the field: (N, 2, 2, 12) float32."""
    step = sampling_step(video.fps, recipe.rate_hz)
    samples = np.arange(0, video.length, step)
    speeds = np.zeros((len(samples), 2, 2, len(SQUARES)), dtype=np.float32)
    for t, moved in crop_flows(video, recipe):
        if moved is not None:
            for transposed, overwritten in np.ndindex(2, 2):
                row = speeds[t // step - 1]  # the upload counts a motion to the frame where it begins
                row[transposed, overwritten] = square_speeds(moved, bool(transposed), bool(overwritten))
    return {"frames": samples, "speeds": speeds}


def square_speeds(moved: CropFlow, transposed: bool = False, overwritten: bool = False) -> np.ndarray:
    """Return the speeds of the squares, equation (1): (12,) float32 in the unit of the flow.

    The motion of the head has the direction of the sum of the nose's vectors and their mean length. Squares are cut at
    the border of the crop.
    """
    flow = (moved.flow.transpose(1, 0, 2) if transposed else moved.flow).copy()
    boxes = region_boxes(moved.landmarks, len(flow), SQUARES)
    left, top, right, bottom = boxes[SQUARES.index(NOSE)]
    nose = flow[top:bottom, left:right]
    total, length = nose.sum(axis=(0, 1)), np.linalg.norm(nose, axis=2).mean()
    head = total * (length / max(np.linalg.norm(total), 1e-9))
    if overwritten:
        nose[0, 0] = total
    vectors = [flow[t:b, lft:r].reshape(-1, 2) - head for lft, t, r, b in boxes]
    square = np.repeat(np.arange(len(SQUARES)), [len(one) for one in vectors])
    return _strongest_bins(np.concatenate(vectors), square)


def _strongest_bins(vectors: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return for each square the mean length of the vectors in that of six bins where the lengths add up to most."""
    lengths, angles = np.hypot(*vectors.T), np.arctan2(vectors[:, 1], vectors[:, 0])
    bins = np.floor(angles / (2 * np.pi / BINS)).astype(int) % BINS
    place, cells = square * BINS + bins, len(SQUARES) * BINS
    sums = np.bincount(place, lengths, cells).reshape(-1, BINS)
    counts = np.bincount(place, minlength=cells).reshape(-1, BINS)
    best = sums.argmax(axis=1)[:, None]
    means = np.take_along_axis(sums, best, 1) / np.maximum(np.take_along_axis(counts, best, 1), 1)
    return means[:, 0].astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Intervals


def spot_speeds(scores: Scores, limits: Limits, config: ReleasedConfig) -> list[Interval]:
    """Return what moves in short humps of speed; the score of an interval is its fastest speed, u per 1/30 s.

    Of a video no longer than both ends nothing is returned.
    """
    faults = config.faults
    rate = FPS if faults.lengths_in_frames else scores.rate  # by it lengths are counted
    speeds = scores.speeds if faults.heights_per_frame else scores.speeds * (scores.rate / FPS)
    cut = _samples(config.ends, rate) if faults.ends_cut else 0
    inner = speeds[cut : len(speeds) - cut]
    if len(inner) < 2:
        return []
    smooth = spot.smooth(inner, rate, savgol_s=limits.window / FPS)
    runs = join(_marked(smooth, rate, limits, config), _samples(config.gap, rate), faults.in_pairs)
    fastest = smooth.max(axis=1)
    tops = [first + int(fastest[first : last + 1].argmax()) for first, last in runs]
    frames = scores.frames[cut : len(speeds) - cut]
    return spot.type_by_duration(
        frames[runs], scores.fps, [int(frames[top]) for top in tops], [float(fastest[top]) for top in tops]
    )


def _samples(frames: int, rate: float) -> int:
    return spot.to_frames(frames / FPS, rate)


def _marked(smooth: np.ndarray, rate: float, limits: Limits, config: ReleasedConfig) -> np.ndarray:
    """Return the runs (M, 2) of samples that lie in a crest of any square."""
    marks = np.zeros(len(smooth))
    for curve in smooth.T:
        spans = crests(curve, rate, limits, config)
        if len(spans) <= config.most_crests:
            for first, last in spans:
                marks[first : last + 1] = 1
    return spot.runs_above(marks, 1)


def crests(curve: np.ndarray, rate: float, limits: Limits, config: ReleasedConfig) -> np.ndarray:
    """Return from where to where the crests of a smoothed speed curve (n,) go, (P, 2), equation (3)."""
    top = curve.max()
    if top < config.least_max * limits.height:
        return np.empty((0, 2), dtype=np.int64)
    steps = np.diff(curve)
    peaks = np.flatnonzero((steps[:-1] > 0) & (steps[1:] < 0)) + 1
    peaks = peaks[curve[peaks] > max(config.share * top, config.least * limits.height)]
    if config.faults.top_excluded:
        peaks = peaks[curve[peaks] < top]
    ends = [(peak - _falling(curve[peak::-1]), peak + _falling(curve[peak:])) for peak in peaks]
    spans = np.array(ends, dtype=np.int64).reshape(-1, 2)
    return spans[spans[:, 1] - spans[:, 0] + 1 <= _samples(limits.longest, rate)]


def _falling(side: np.ndarray) -> int:
    """Return for how many samples a curve falls from its first."""
    rises = np.flatnonzero(np.diff(side) >= 0)
    return int(rises[0]) if len(rises) else len(side) - 1


def join(runs: np.ndarray, gap: int, in_pairs: bool = False) -> np.ndarray:
    """Return runs (M, 2) with those joined whose ends are at most `gap` apart.

    >>> join(np.array([[0, 3], [5, 8], [10, 12]]), 2).tolist()
    [[0, 12]]
    >>> join(np.array([[0, 3], [5, 8], [10, 12]]), 2, in_pairs=True).tolist()
    [[0, 8], [10, 12]]
    """
    close = runs[1:, 0] - runs[:-1, 1] <= gap
    if in_pairs:
        close[1::2] = False
    ends = np.append(~close, True)[: len(runs)]
    begins = np.append(True, ~close)[: len(runs)]
    return np.column_stack([runs[begins, 0], runs[ends, 1]])
