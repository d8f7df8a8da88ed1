"""How far each region of the face has moved since a reference frame, segment by segment.

    tracked frames -> segments of 200 samples, each with its first sample as reference -> crops that follow the head
    -> dense flow from the reference -> motion of the head taken out -> mean vector per region, in face units

This is the measurement of the optical-flow methods that won the MEGC challenges (He 2021, Yu 2022, Zhao 2022, Qin
2023). Unlike the motion between neighbours (`mespot_lib.features.motion`) it does not drift: every sample is compared
with the same picture. It ages instead: after some seconds the head has turned and the reference no longer fits, which
is why segments are short and overlap by half.

What the head does is measured in the flow itself and taken out twice: the crop follows it, so that the flow only sees
what is left, and what is left of it is subtracted. Two ways:

    "shift"  the mean flow of the nose, as published: right for a head that moves without turning
    "pose"   shift, turn, size, yaw and pitch that together explain most of the face, by a robust fit; the nose stands
             out from the face, so a nod moves it more than the mouth, and a mouth corrected by the nose seems to move
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_arrays
from mespot_lib.features.flow import Method, dense_flow
from mespot_lib.features.head_motion import nose_shift
from mespot_lib.features.motion import LONGEST_STEP_S, region_crop, sampling_step
from mespot_lib.frames import iter_frames
from mespot_lib.manifest import Video
from mespot_lib.tracking import Tracked, track_face


class Box(NamedTuple):
    """A region: the box around some landmarks, grown by so many u to the left, top, right and bottom."""

    points: tuple[int, ...]
    left: float
    top: float
    right: float
    bottom: float


def _around(point: int) -> Box:
    return Box((point,), 10, 10, 10, 10)


# The published regions, sizes for a face crop of 256 px. "Left" and "right" are sides of the picture. The lids are
# measured there too but not used; see `mespot_lib.methods.flow_peaks`.
BOXES: dict[str, Box] = {
    "left brow": Box((17, 18, 19, 20, 21), -5, 5, -10, -5),
    **{f"left brow {point}": _around(point) for point in (18, 19, 20)},
    "right brow": Box((22, 23, 24, 25, 26), -10, 5, -10, -5),
    **{f"right brow {point}": _around(point) for point in (23, 24, 25)},
    "mouth": Box(tuple(range(48, 67)), 10, 5, 10, 0),
    "mouth 48": Box((48,), 10, 10, 20, 10),
    "mouth 51": _around(51),
    "mouth 54": Box((54,), 20, 10, 10, 10),
    "mouth 57": _around(57),
    "mouth 62": _around(62),
    "nose wing 31": Box((31,), 10, 20, 20, 5),
    "nose wing 35": Box((35,), 20, 20, 10, 5),
    "left lower lid": Box((36, 39, 40, 41), -5, -14, -5, 26),
    "right lower lid": Box((42, 45, 46, 47), -5, -14, -5, 26),
    "left upper lid": Box((36, 37, 38, 39), -8, 6, -8, -4),
    "right upper lid": Box((42, 43, 44, 45), -8, 6, -8, -4),
}
REGION_NAMES: tuple[str, ...] = tuple(BOXES)
# without the whole brows and mouth, which the boxes around points repeat, and without the lids
PUBLISHED_ROWS = [row for row, name in enumerate(BOXES) if name[-1].isdigit()]
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))

SHORTEST_SEGMENT_S = 0.5
MOVES_U = 1.4  # printed for a face of 256 px
FAR_U = 8.0  # between where the head was and where the landmarks are: it has jumped
_KEPT_AROUND = 0.35  # of the crop's edge, on each side: room for a head that moves within a segment
_LARGEST_KEPT_PX = 640


@dataclass(frozen=True)
class ReferenceRecipe:
    """Settings of `measure_tracked`.

    rate_hz : samples per second, at most
    size : edge of the face crop, px
    flow, flow_settings : method and settings of `dense_flow`
    segment_samples, step_samples : length of a segment and distance between references, at 30 samples per second
    published_steps : where something moves around the next reference, take one before or after it, as published
    head : "pose" or "shift", see the module's first lines
    published_shift : move the crop by the shift measured in its own px as if those were px of the video, in whole
        px and from the unmoved place: what the published code does, right only where the face is as large as the crop
    nose : statistic of the nose's flow for "shift"
    passes : how often the crop is moved at most before the rest of the head's motion is subtracted
    top_share : share of a region's vectors, the longest, whose mean is its motion; 1 takes all
    """

    rate_hz: float = 30.0
    size: int = 128
    flow: Method = "dis"
    flow_settings: Mapping[str, Any] = field(default_factory=lambda: {"finest_scale": 1, "patch_stride": 3})
    segment_samples: int = 200
    step_samples: int = 100
    published_steps: bool = False
    head: Literal["pose", "shift"] = "pose"
    published_shift: bool = False
    nose: Literal["median", "top_mean"] = "median"
    passes: int = 3
    top_share: float = 0.5


class Segment(NamedTuple):
    """Motion since the first sample of a segment; n samples, R regions, in face units.

    frames : (n,) int64 on the frame axis; regions : (n, R, 2) float32, head taken out, x right, y down
    head : (n, 2) float32, the head's own shift; eyes : (n, 2) float32, how open the eyes are, 1 as in the reference
    misfit : (n,) float32, median length of what the head's motion leaves over the face
    """

    frames: np.ndarray
    regions: np.ndarray
    head: np.ndarray
    eyes: np.ndarray
    misfit: np.ndarray


class ReferenceMotion(NamedTuple):
    """The segments of a video one after the other, with all sampled positions.

    frames : (N,) int64, sampled positions on the frame axis
    bounds : (K + 1,) int64, where each segment begins in the arrays below; their fields are those of `Segment`
    """

    frames: np.ndarray
    bounds: np.ndarray
    segment_frames: np.ndarray
    regions: np.ndarray
    head: np.ndarray
    eyes: np.ndarray
    misfit: np.ndarray

    def segments(self) -> list[Segment]:
        """Return the segments in order of time."""
        parts = (self.segment_frames, self.regions, self.head, self.eyes, self.misfit)
        return [
            Segment(*(part[first:last] for part in parts))
            for first, last in zip(self.bounds[:-1], self.bounds[1:], strict=True)
        ]

    def stretches(self) -> list["Stretch"]:
        """Return what hangs together: segments that overlap are joined to one curve, on evenly spaced samples.

        Displacements from two references differ by how far the face has moved between these. The difference is taken
        where both are known, and from one to the other it goes by and by, so that nothing steps.
        """
        found: list[Stretch] = []
        joined: _Joined | None = None
        for segment in self.segments():
            if joined is not None and segment.frames[0] <= joined.frames[-1]:
                joined = joined.with_next(segment)
                continue
            if joined is not None:
                found.append(joined.stretch())
            joined = _Joined.of(segment)
        return found if joined is None else [*found, joined.stretch()]

    def apart(self) -> list["Stretch"]:
        """Return every segment as a stretch of its own."""
        return [_Joined.of(segment).stretch() for segment in self.segments()]

    @property
    def known(self) -> np.ndarray:
        """Return (N,) bool: whether a sample lies in a segment. Others show no face, or a very short scene."""
        return np.isin(self.frames, self.segment_frames)


class Stretch(NamedTuple):
    """Joined segments: frames (n,) int64 evenly spaced, regions (n, R, 2) and eyes (n, 2) as in `Segment`, float64."""

    frames: np.ndarray
    regions: np.ndarray
    eyes: np.ndarray


class _Joined(NamedTuple):
    """A stretch that grows: each sample with the weight it has gathered."""

    frames: np.ndarray
    regions: np.ndarray
    eyes: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, segment: Segment) -> "_Joined":
        n = len(segment.frames)
        weight = np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float64)  # least at its ends
        return cls(
            segment.frames, segment.regions.astype(np.float64), segment.eyes.astype(np.float64), weight
        )

    def with_next(self, segment: Segment) -> "_Joined":
        new = _Joined.of(segment)
        first = int(np.searchsorted(self.frames, new.frames[0]))
        common = len(self.frames) - first
        both = np.minimum(self.weight[first:], new.weight[:common])
        between = np.average(self.regions[first:] - new.regions[:common], axis=0, weights=both)
        factor = np.average(self.eyes[first:] / np.maximum(new.eyes[:common], 0.1), axis=0, weights=both)
        share = (self.weight[first:] / (self.weight[first:] + new.weight[:common]))[:, None]

        def mixed(old: np.ndarray, other: np.ndarray) -> np.ndarray:
            part = share.reshape(-1, *[1] * (old.ndim - 1))
            return np.concatenate(
                [old[:first], part * old[first:] + (1 - part) * other[:common], other[common:]]
            )

        return _Joined(
            np.concatenate([self.frames, new.frames[common:]]),
            mixed(self.regions, new.regions + between),
            mixed(self.eyes, new.eyes * factor),
            np.concatenate(
                [self.weight[:first], self.weight[first:] + new.weight[:common], new.weight[common:]]
            ),
        )

    def stretch(self) -> Stretch:
        """Return it on evenly spaced samples; single lost ones are bridged by straight lines."""
        step = int(np.median(np.diff(self.frames))) if len(self.frames) > 1 else 1
        even = np.arange(self.frames[0], self.frames[-1] + 1, step)

        def resampled(values: np.ndarray) -> np.ndarray:
            flat = values.reshape(len(values), -1)
            return np.stack([np.interp(even, self.frames, column) for column in flat.T], axis=1).reshape(
                len(even), *values.shape[1:]
            )

        return Stretch(even, resampled(self.regions), resampled(self.eyes))


def reference_motion(video: Video, recipe: ReferenceRecipe, backend: str = "auto") -> ReferenceMotion:
    """Measure, or read from the cache, the motion of a video of a dataset.

    backend : where the landmarks come from, see `mespot_lib.tracking.track_face`

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """

    step = sampling_step(video.fps, recipe.rate_hz)
    settings = {
        "name": "reference_motion",
        "backend": face.available_backend() if backend == "auto" else backend,
    }

    def compute() -> dict[str, np.ndarray]:
        frames = iter_frames(video, step=step, grey=False)
        motion = measure_tracked(track_face(frames, video.fps, backend=backend), video.fps, recipe)
        if not motion.known.any():
            raise face.NoFaceError(
                f"{video.uid}: no face in any of the {len(motion.frames)} frames looked at (back-end "
                f"{settings['backend']}); try the other one (mediapipe or cascade), or give a side file with landmarks"
            )
        return motion._asdict()

    return ReferenceMotion(**cached_arrays(video, settings | asdict(recipe), compute))


def measure_tracked(
    tracked: Iterable[Tracked], fps: float, recipe: ReferenceRecipe | None = None
) -> ReferenceMotion:
    """Measure the motion of a tracked face against a reference per segment, in one pass and flat memory.

    tracked : in order of time; frames between the samples are skipped, so either all frames or only the sampled ones

    A lost face, a new scene or a gap of more than a tenth of a second ends a segment; the next one begins with a
    reference of its own. Nothing raises if there is no face at all: `known` is then False everywhere.
    """
    recipe = recipe or ReferenceRecipe()
    sampled: list[int] = []
    segments = list(_segments(_samples(tracked, fps, recipe, sampled), fps, recipe))
    empty = Segment(
        np.empty(0, np.int64),
        np.empty((0, len(BOXES), 2), np.float32),
        *(np.empty((0, 2), np.float32), np.empty((0, 2), np.float32), np.empty(0, np.float32)),
    )
    bounds = np.cumsum([0, *(len(segment.frames) for segment in segments)])
    joined = (np.concatenate(parts) for parts in zip(empty, *segments, strict=True))
    return ReferenceMotion(np.array(sampled, np.int64), bounds.astype(np.int64), *joined)


# ---------------------------------------------------------------------------------------------------------------------
# From frames to segments


class _Sample(NamedTuple):
    """The part of a frame around the face, in grey, and the face's landmarks in it."""

    t: int
    grey: np.ndarray
    to_part: np.ndarray  # (2, 3), from the frame into the part
    landmarks: np.ndarray  # (68, 2) px of the frame


def _samples(
    tracked: Iterable[Tracked], fps: float, recipe: ReferenceRecipe, sampled: list[int]
) -> Iterator[_Sample | None]:
    """Yield samples with a face as they come, and None where the next one cannot be compared with those before."""
    step = sampling_step(fps, recipe.rate_hz)
    last, scene, seen = None, None, False
    for one in tracked:
        if last is not None and one.t - last < step:
            continue
        late = last is not None and one.t - last > max(LONGEST_STEP_S * fps, step)
        if seen and (late or one.landmarks is None or one.scene != scene):
            yield None
        last, scene, seen = one.t, one.scene, one.landmarks is not None
        sampled.append(one.t)
        if seen:
            yield _part_around_face(one)


def _part_around_face(one: Tracked) -> _Sample:
    """Cut the face out with room around it, so that a segment can be kept in memory whatever the size of the video."""
    image, landmarks = one.image, np.asarray(one.landmarks, dtype=np.float64)
    half = face.px_per_u(landmarks) * face.CROP_UNITS * (0.5 + _KEPT_AROUND)
    centre = landmarks[[39, 42]].mean(axis=0) + np.array([0, 0.2 * half])
    left, top = np.clip(np.floor(centre - half), 0, None).astype(int)
    right, bottom = (int(np.ceil(end)) for end in centre + half)
    part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY) if part.ndim == 3 else part.copy()
    shrink = int(np.ceil(max(grey.shape) / _LARGEST_KEPT_PX))
    if shrink > 1:
        size = (grey.shape[1] // shrink, grey.shape[0] // shrink)
        grey = cv2.resize(grey[: size[1] * shrink, : size[0] * shrink], size, interpolation=cv2.INTER_AREA)
    middle = (shrink - 1) / 2  # pixel centres
    to_part = np.array([[1, 0, -left - middle], [0, 1, -top - middle]]) / shrink
    return _Sample(one.t, grey, to_part, landmarks)


def _segments(samples: Iterable[_Sample | None], fps: float, recipe: ReferenceRecipe) -> Iterator[Segment]:
    shortest = max(3, round(SHORTEST_SEGMENT_S * min(fps, recipe.rate_hz)))
    waiting: deque[_Sample] = deque()
    done = 0  # samples at the beginning of `waiting` that a segment has covered
    for sample in samples:
        if sample is None:
            if len(waiting) - done > 0 and len(waiting) >= shortest:
                yield _measure(waiting, recipe)
            waiting.clear()
            done = 0
            continue
        waiting.append(sample)
        if len(waiting) == recipe.segment_samples:
            segment = _measure(waiting, recipe)
            yield segment
            step = _published_step(segment.regions, recipe) if recipe.published_steps else recipe.step_samples
            for _ in range(step):
                waiting.popleft()
            done = len(waiting)
    if len(waiting) - done > 0 and len(waiting) >= shortest:
        yield _measure(waiting, recipe)


def _published_step(regions: np.ndarray, recipe: ReferenceRecipe) -> int:
    """Return how many samples on the next reference lies: the middle, but not in the middle of an expression.

    As in Qin (2023), with the samples around the middle that reach the first of the two published thresholds as the
    expression; there it is an interval found in this segment.
    """
    middle, last = recipe.step_samples, len(regions) - 1
    length = np.linalg.norm(regions[:, PUBLISHED_ROWS], axis=2)
    still = np.flatnonzero(~((length - length.min(axis=0)) >= MOVES_U).any(axis=1))
    if middle in still:
        return middle
    begin = int(still[still < middle].max(initial=-1)) + 1
    end = int(still[still > middle].min(initial=last + 1)) - 1
    if end < 1.5 * middle:
        return end + 20
    if begin > middle / 2:
        return begin - 20
    return min(last - 10, end) + 10


# ---------------------------------------------------------------------------------------------------------------------
# One segment


def _measure(samples: Iterable[_Sample], recipe: ReferenceRecipe) -> Segment:
    """Measure every sample against the first."""
    samples = list(samples)
    reference = samples[0]
    matrix = region_crop(reference.landmarks, recipe.size)
    first = _crop(reference, matrix, recipe.size)
    inside = face.transform_points(reference.landmarks, matrix)
    boxes, eyes = _boxes(inside, recipe.size), _EyeOpening(first, inside, recipe.size)
    follow = _HeadFollower(first, matrix, inside, recipe)
    frames = np.array([sample.t for sample in samples], dtype=np.int64)
    regions = np.zeros((len(samples), len(BOXES), 2), np.float32)
    head, opening = np.zeros((len(samples), 2), np.float32), np.ones((len(samples), 2), np.float32)
    misfit = np.zeros(len(samples), np.float32)
    for i, sample in enumerate(samples[1:], start=1):
        crop, flow, head[i], misfit[i] = follow(sample)
        regions[i] = _region_vectors(flow, boxes, recipe.top_share)
        opening[i] = eyes(crop)
    return Segment(frames, regions, head, opening, misfit)


def _crop(sample: _Sample, matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the crop (size, size) through a matrix that maps px of the frame to px of the crop."""
    return face.crop_face(sample.grey, _then(_inverse(sample.to_part), matrix), size)


def _boxes(inside: np.ndarray, size: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of every region in a crop with landmarks `inside` (68, 2) px."""
    per_u = size / face.CROP_UNITS
    return [_place(inside[list(box.points)], np.array(box[1:]) * per_u, size) for box in BOXES.values()]


def _place(points: np.ndarray, grown: np.ndarray, size: int) -> tuple[slice, slice]:
    """Return rows and columns of the box around points, grown to the left, top, right and bottom; at least 2 x 2 px."""
    left, top = np.clip(np.round(points.min(axis=0) - grown[:2]), 0, size - 2).astype(int)
    right, bottom = np.clip(np.round(points.max(axis=0) + grown[2:]) + 1, (left + 2, top + 2), size).astype(
        int
    )
    return slice(top, bottom), slice(left, right)


def _region_vectors(flow: np.ndarray, boxes: list[tuple[slice, slice]], share: float) -> np.ndarray:
    """Return the mean of the longest vectors of each region: (R, 2)."""
    means = np.empty((len(boxes), 2), np.float32)
    for row, place in enumerate(boxes):
        vectors = flow[place].reshape(-1, 2)
        count = max(1, round(share * len(vectors)))
        if count < len(vectors):
            longest = np.argpartition((vectors**2).sum(axis=1), -count)[-count:]
            vectors = vectors[longest]
        means[row] = vectors.mean(axis=0)
    return means


# ---------------------------------------------------------------------------------------------------------------------
# The head


class _HeadFollower:
    """Keeps the crop on the head through a segment and measures the flow that the head does not explain."""

    def __init__(self, first: np.ndarray, matrix: np.ndarray, inside: np.ndarray, recipe: ReferenceRecipe):
        self.first, self.matrix, self.inside, self.recipe = first, matrix, inside, recipe
        self.per_u = recipe.size / face.CROP_UNITS
        self.model = _PoseModel(inside, recipe.size)
        self.moved = _SAME  # from px of the reference's crop to where the head took them, px of that crop
        self.nose = inside[27:31].mean(axis=0)

    def __call__(self, sample: _Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return the crop, the flow (S, S, 2) in u without the head's motion, the head's shift (2,) u, the misfit u."""
        recipe = self.recipe
        moved = _SAME if recipe.published_shift else self._expected(sample.landmarks)
        for attempt in range(recipe.passes + 1):
            crop = _crop(sample, _then(self.matrix, _inverse(moved)), recipe.size)
            flow = dense_flow(self.first, crop, method=recipe.flow, **recipe.flow_settings)
            step, explained = self._head(flow)
            if attempt == recipe.passes or _reach(step, recipe.size) <= 1:
                break
            moved = _then(step, moved)
        self.moved = _then(step, moved)
        flow = (flow - explained) / self.per_u
        shift = (_apply(self.moved, self.nose) - self.nose) / self.per_u
        return crop, flow, shift, self.model.left_over(flow)

    def _expected(self, landmarks: np.ndarray) -> np.ndarray:
        """Return where the head was in the sample before, unless the tracked landmarks are far from there.

        Landmarks are less steady than the flow, and how well the crop sits changes what the flow reads.
        """
        tracked = face.transform_points(landmarks, self.matrix)[27:31].mean(axis=0)
        apart = tracked - _apply(self.moved, self.nose)
        far = np.hypot(*apart) > FAR_U * self.per_u
        return _then(self.moved, _shift(apart)) if far else self.moved

    def _head(self, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the head's motion in a flow field: the similarity that the crop can follow, and all of it as flow."""
        if self.recipe.head == "pose":
            return self.model.fit(flow)
        shift = nose_shift(flow, self.inside, self.recipe.nose)
        if not self.recipe.published_shift:
            return _shift(shift), shift
        zoom = np.hypot(self.matrix[0, 0], self.matrix[1, 0])  # px of the crop per px of the video
        # the printed test is on the squared length; within 1 px the rest is subtracted
        return _shift(np.round(shift) * zoom if shift @ shift > 1 else np.zeros(2)), shift


_SAME = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def _shift(by: np.ndarray) -> np.ndarray:
    return np.column_stack([np.eye(2), by])


def _then(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the matrix (2, 3) that applies one and then the other."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])


def _apply(matrix: np.ndarray, point: np.ndarray) -> np.ndarray:
    return matrix[:, :2] @ point + matrix[:, 2]


def _reach(step: np.ndarray, size: int) -> float:
    """Return how far a motion carries the corners of the middle of a crop, px."""
    corners = size * np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
    return float(np.linalg.norm(corners @ step[:, :2].T + step[:, 2] - corners, axis=1).max())


class _PoseModel:
    """Shift, turn, size, yaw and pitch of a head, fitted to a flow field.

    To first order a head that turns by yaw and pitch moves a point of depth z by (yaw, pitch) z: the flow is linear in
    six numbers. The depth is that of an average head: an ellipsoid with a nose. The fit is robust, so muscles that move
    part of the face do not count as head.
    """

    def __init__(self, inside: np.ndarray, size: int):
        per_u = size / face.CROP_UNITS
        rows, columns = np.mgrid[0:size, 0:size]
        origin = inside[[39, 42]].mean(axis=0)
        x, y = (columns - origin[0]) / per_u, (rows - origin[1]) / per_u
        self.size, self.per_u, self.origin = size, per_u, origin
        one, nothing, z = np.ones_like(x), np.zeros_like(x), _depth(x, y)
        # what each of the six does to a point, (6, S, S, 2); turn, size, yaw and pitch at 100 u
        along_x = np.stack([one, nothing, -y / 100, x / 100, z / 100, nothing])
        along_y = np.stack([nothing, one, x / 100, y / 100, nothing, z / 100])
        self.basis = np.stack([along_x, along_y], axis=-1).astype(np.float32)
        self.points = _face_points(inside, size)
        self.design = np.moveaxis(self.basis[:, *self.points], 0, -1).reshape(-1, 6).astype(np.float64)

    def fit(self, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the similarity (2, 3) px of the crop and the flow (S, S, 2) px of the whole motion."""
        seen = cv2.blur(flow, (5, 5))[self.points].astype(np.float64) / self.per_u  # (P, 2) u
        weights = np.ones(len(seen))
        for _ in range(_ROUNDS):
            motion = self._solve(seen, weights)
            left = np.linalg.norm(seen - (self.design @ motion).reshape(-1, 2), axis=1)
            weights = 1 / (1 + (left / max(_NOISE_U, 1.5 * _median(left))) ** 2)
        dx, dy, turn, grow = motion[0], motion[1], motion[2] / 100, motion[3] / 100
        linear = np.array([[1 + grow, -turn], [turn, 1 + grow]])
        shift = np.array([dx, dy]) * self.per_u + self.origin - linear @ self.origin
        return np.column_stack([linear, shift]), self._explained(motion.astype(np.float32))

    def _explained(self, motion: np.ndarray) -> np.ndarray:
        """Return what motion (6,) float32 does to every pixel, (S, S, 2) float32 px; a sum of fields is soon taken."""
        field = self.basis[0] * motion[0]
        for one, by in zip(self.basis[1:], motion[1:], strict=True):
            field += one * by
        return field * np.float32(self.per_u)

    def left_over(self, flow: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(flow[self.points], axis=1)))

    def _solve(self, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weighted = self.design * np.repeat(weights, 2)[:, None]
        return np.linalg.solve(weighted.T @ self.design + _PRIOR, weighted.T @ seen.ravel())


def _median(values: np.ndarray) -> float:
    """Return what `np.median` does, without its checks, which take most of the time for some hundred values."""
    middle = [(len(values) - 1) // 2, len(values) // 2]
    low, high = np.partition(values, middle)[middle]
    return (low + high) / 2


_ROUNDS = 6
_NOISE_U = 0.1
# keeps the turns small where the face does not tell them from shifts; in the unit of a squared weight
_PRIOR = np.diag([1e-6, 1e-6, 1e-3, 1e-3, 0.5, 0.5])


def _depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how far an average face stands out towards the camera at a place in u, 0 at the eyes' inner corners."""
    dome = 85 * np.sqrt(np.clip(1 - (x / 150) ** 2, 0.05, 1) * np.clip(1 - ((y - 20) / 225) ** 2, 0.05, 1))
    bridge = np.clip((y + 18) / 70, 0, 1) * np.clip((100 - y) / 15, 0, 1)
    nose = (14 + 20 * np.clip((y - 30) / 40, 0, 1)) * bridge * np.exp(-0.5 * (x / 11) ** 2)
    return dome + nose - 80


def _face_points(inside: np.ndarray, size: int, every_u: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns (P,) of a grid over the face, without its rim and its eyes."""
    per_u = size / face.CROP_UNITS
    mask: np.ndarray = np.zeros((size, size), np.uint8)
    outline = np.concatenate([inside[:17], inside[17:27] - (0, 12 * per_u)])
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(outline).astype(np.int32)), 1)
    rim = max(1, round(12 * per_u))
    mask = cv2.erode(mask, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8), borderValue=1)
    border = max(1, round(8 * per_u))
    mask[:border] = mask[-border:] = mask[:, :border] = mask[:, -border:] = 0
    for eye in EYES:
        low = np.floor(inside[list(eye)].min(axis=0) - 8 * per_u).astype(int)
        high = np.ceil(inside[list(eye)].max(axis=0) + 8 * per_u).astype(int)
        mask[max(low[1], 0) : high[1], max(low[0], 0) : high[0]] = 0
    every = max(1, round(every_u * per_u))
    grid = np.zeros_like(mask)
    grid[every // 2 :: every, every // 2 :: every] = 1
    rows, columns = np.nonzero(np.bitwise_and(mask, grid))
    return rows, columns


# ---------------------------------------------------------------------------------------------------------------------
# The eyes


class _EyeOpening:
    """How open the eyes are, as the amount of dark (iris, pupil, lashes) in their boxes, 1 as in the reference."""

    def __init__(self, first: np.ndarray, inside: np.ndarray, size: int):
        per_u = size / face.CROP_UNITS
        eyes = [inside[list(eye)] for eye in EYES]
        self.places = [_place(eye, np.array([-8, 6, -8, 4]) * per_u, size) for eye in eyes]
        self.around = [_place(eye, np.array([0, 14, 0, 16]) * per_u, size) for eye in eyes]
        self.at_first = self._dark(first)

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """Return the opening of the left and of the right eye (2,)."""
        return self._dark(crop) / np.maximum(self.at_first, 1e-6)

    def _dark(self, crop: np.ndarray) -> np.ndarray:
        dark = []
        for place, around in zip(self.places, self.around, strict=True):
            skin = max(1.0, float(np.percentile(crop[around], 70)))
            dark.append(np.clip(1 - crop[place] / skin, 0, None).mean())
        return np.array(dark, np.float32)
