"""Main directional mean optical flow (MDMO, Liu et al. 2016): what most of a region does, as one vector.

    sampled frames -> the face is followed -> flow since a key frame -> main direction of each region -> less the nose's

The vectors of a region fall into bins by direction; the fullest bin is the main one. Of its vectors the longest are
taken, and the region's motion is

    m = (rho cos theta, rho sin theta),    theta = mean direction, rho = mean length of those vectors        (1)

so vectors that point elsewhere, of a highlight or a strand of hair, have no say, where they would shorten a plain mean.
The price: what only trembles has a main direction, too, and m is then as long as the tremble. The motion of the head is
that of the nose, computed the same way, and is subtracted.

Bins, shares and the twelve regions are those of the complete public variant of Yu et al. (MEGC2023), which takes the
flow between neighbouring frames: `key_s=0`. Between these a micro-expression moves the skin by a tenth of a pixel.
Otherwise the flow is taken since a key frame that is renewed after `key_s`, as in `mespot_lib.features.face_flow`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_of_face
from mespot_lib.features.flow import Method, dense_flow
from mespot_lib.features.motion import LONGEST_STEP_S, region_crop, sampling_step
from mespot_lib.features.regions import REGIONS
from mespot_lib.frames import as_grey, iter_frames
from mespot_lib.manifest import Video
from mespot_lib.tracking import Tracked, fit_similarity, track_face

# the eleven regions of Zhang et al. and the bridge of the nose, which no muscle moves
POINTS: tuple[int, ...] = (*REGIONS, 28)
# where the bins of directions begin; each ends where the next begins, the last at the first. The regions' are wide up
# and down (120 degrees), where muscles pull, and narrow to the sides; the nose's are alike.
REGION_BINS: tuple[float, ...] = tuple(np.radians([30, 150, 210, 330]).tolist())
NOSE_BINS: tuple[float, ...] = tuple(np.radians([45, 135, 225, 315]).tolist())
_NOSE = (29, 30)
_NOSE_MARGIN_U = 11.2  # 0.35 of half the distance of the inner eye corners
_OUTLIER_U = 0.6  # between where a landmark is and where the head took it


@dataclass(frozen=True)
class MdmoRecipe:
    """Settings of `mdmo_motion`; the part of the cache key that the user chooses.

    rate_hz : frames per second that are read, at most
    size : edge of the face crop, px
    method, flow_settings : of `dense_flow`
    key_s : how long a key frame serves; 0 takes the flow between neighbours, as printed
    radius_u : a region is the square that reaches so far from its landmark
    share, nose_share : of the vectors in the main bin, the longest, that count
    landmarks, redetect_s : as in `mespot_lib.features.crops.CropRecipe`
    """

    rate_hz: float = 30.0
    size: int = 128
    method: Method = "dis"
    flow_settings: dict[str, Any] = field(default_factory=lambda: {"finest_scale": 1, "patch_stride": 3})
    key_s: float = 0.5
    radius_u: float = 8.0
    share: float = 0.6
    nose_share: float = 0.88
    landmarks: str = "auto"
    redetect_s: float = 1.0


class MdmoMotion(NamedTuple):
    """MDMO of the regions at the sampled frames, in face units (u), x right and y down.

    frames : (N,) int64, sampled positions on the frame axis, evenly spaced
    since : (N,) int64, the sample from which the flow is taken: a number below its own, -1 where nothing is known
    regions : (N, R, 2) float32, equation (1) of each region; NaN where unknown
    nose : (N, 2) float32, the same of the nose
    """

    frames: np.ndarray
    since: np.ndarray
    regions: np.ndarray
    nose: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Return (N,) bool: whether the motion since an earlier sample is known."""
        return self.since >= 0

    def moved(self, remove_head_motion: bool = True) -> np.ndarray:
        """Return the motion of the regions since the key frame, (N, R, 2) u; NaN where unknown."""
        return self.regions - self.nose[:, None] if remove_head_motion else self.regions

    def steps(self, remove_head_motion: bool = True) -> np.ndarray:
        """Return the motion of the regions since the sample before, (N, R, 2) float64 u; 0 where it is unknown.

        As long as a key frame serves, that is the difference of two motions since then.
        """
        moved = np.nan_to_num(self.moved(remove_head_motion)).astype(np.float64)
        steps = moved.copy()
        same_key = self.known[1:] & (self.since[1:] == self.since[:-1])
        steps[1:][same_key] -= moved[:-1][same_key]
        return steps

    def shifts(self, remove_head_motion: bool = True) -> np.ndarray:
        """Return where each region is relative to the first sample, (N, R, 2) float64 u; unknown steps are rest."""
        return np.cumsum(self.steps(remove_head_motion), axis=0)


# ---------------------------------------------------------------------------------------------------------------------
# The feature


def main_direction(vectors: np.ndarray, bins: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the number of the bin that each of the vectors (..., 2) is in, (...) int64.

    bins : where they begin, in radians from 0 to 2 pi, rising; a direction on an edge is in the bin that begins there.

    >>> main_direction(np.array([[1.0, 0.0], [0.0, 1.0]]), NOSE_BINS).tolist()
    [3, 0]
    """
    angle = np.arctan2(vectors[..., 1], vectors[..., 0]) % (2 * np.pi)
    return (np.searchsorted(bins, angle, side="right") - 1) % len(bins)


def mdmo(vectors: np.ndarray, bins: Sequence[float] | np.ndarray, share: float) -> np.ndarray:
    """Return equation (1) of the vectors (..., P, 2): (..., 2) float64, in their unit.

    bins : as in `main_direction`; of equally full ones the first is the main one
    share : of the vectors in the main bin, the longest, that count; at least one does

    Raises
    ------
    ValueError
        Unless share is in (0, 1], and there are at least two bins that begin between 0 and 2 pi and rise.
    """
    bins = np.asarray(bins, dtype=np.float64)
    rising = (
        bins.ndim == 1
        and len(bins) > 1
        and bins[0] >= 0
        and bins[-1] < 2 * np.pi
        and (np.diff(bins) > 0).all()
    )
    if not 0 < share <= 1 or not rising:
        raise ValueError(
            f"share must be in (0, 1] and bins rise from 0 to 2 pi, got {share} and {bins.tolist()}"
        )
    vectors = np.asarray(vectors, dtype=np.float64)
    where = main_direction(vectors, bins)  # (..., P)
    full = (where[..., None] == np.arange(len(bins))).sum(axis=-2)  # (..., bins)
    main = full.argmax(axis=-1)[..., None]
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    order = np.argsort(np.where(where == main, -length, np.inf), axis=-1, kind="stable")
    count = np.maximum(1, np.round(share * full.max(axis=-1))).astype(np.int64)[..., None]
    counts = np.arange(vectors.shape[-2]) < count  # the first so many in that order
    begin = bins[main]
    turned = (np.arctan2(vectors[..., 1], vectors[..., 0]) - begin) % (
        2 * np.pi
    )  # within the bin: no jump at 0
    theta, rho = (
        (np.take_along_axis(values, order, axis=-1) * counts).sum(axis=-1) / count[..., 0]
        for values in (turned, length)
    )
    theta = theta + begin[..., 0]
    return np.stack([rho * np.cos(theta), rho * np.sin(theta)], axis=-1)


def region_vectors(flow: np.ndarray, landmarks: np.ndarray, radius_u: float) -> np.ndarray:
    """Return the vectors of the regions (R, P, 2) of a flow field (S, S, 2) of a crop with landmarks (68, 2) px.

    Each region is a square of an odd number of px around a point of `POINTS`. Beyond the border its edge is repeated.
    """
    size = len(flow)
    radius = max(1, round(radius_u * size / face.CROP_UNITS))
    centres = np.round(landmarks[list(POINTS)]).astype(np.int64)
    along = np.arange(-radius, radius + 1)
    columns, rows = (np.clip(centres[:, axis, None] + along, 0, size - 1) for axis in (0, 1))
    return flow[rows[:, :, None], columns[:, None, :]].reshape(len(POINTS), -1, 2)


def nose_vectors(flow: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the vectors (P, 2) around the lower part of the nose's ridge (landmarks 29 and 30)."""
    size = len(flow)
    margin = _NOSE_MARGIN_U * size / face.CROP_UNITS
    ridge = landmarks[list(_NOSE)]
    left, top = np.clip(np.floor(ridge.min(axis=0) - margin), 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(ridge.max(axis=0) + margin) + 1, (left + 1, top + 1), size).astype(int)
    return flow[top:bottom, left:right].reshape(-1, 2)


def region_mdmo(flow: np.ndarray, landmarks: np.ndarray, recipe: MdmoRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Return the motion of the regions (R, 2) and of the nose (2,), in u, of a flow field (S, S, 2) px."""
    per_px = face.CROP_UNITS / len(flow)
    regions = mdmo(region_vectors(flow, landmarks, recipe.radius_u), REGION_BINS, recipe.share)
    nose = mdmo(nose_vectors(flow, landmarks), NOSE_BINS, recipe.nose_share)
    return regions * per_px, nose * per_px


# ---------------------------------------------------------------------------------------------------------------------
# A video


def mdmo_motion(video: Video, recipe: MdmoRecipe) -> MdmoMotion:
    """Measure, or read from the cache, the MDMO of a video.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face. Stretches without a face are NaN.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    return MdmoMotion(**cached_of_face(video, "mdmo", recipe, lambda: _measured(video, recipe)._asdict()))


def _measured(video: Video, recipe: MdmoRecipe) -> MdmoMotion:
    step = sampling_step(video.fps, recipe.rate_hz)
    table = face.side_landmarks(video) if recipe.landmarks == "side" else None
    tracked = track_face(
        iter_frames(video, step=step, grey=False),
        video.fps,
        backend="auto" if table is not None else recipe.landmarks,
        redetect_s=recipe.redetect_s,
        landmarks=table,
    )
    motion, seen = measure_tracked(tracked, video.fps, video.length, recipe)
    if not seen:
        raise face.NoFaceError(
            f"{video.uid}: no face in any of the sampled frames; try the other detector (mediapipe or cascade), or "
            "give a side file with landmarks"
        )
    return motion


def measure_tracked(
    tracked: Iterable[Tracked], fps: float, length: int, recipe: MdmoRecipe
) -> tuple[MdmoMotion, bool]:
    """Measure a tracked face in one pass and flat memory; return also whether a face was seen at all.

    tracked : the sampled frames in order of time; length : of the video in frames. Nothing is known across a cut, a
    lost face or a gap of more than a tenth of a second.
    """
    step = sampling_step(fps, recipe.rate_hz)
    samples = np.arange(0, length, step)
    regions = np.full((len(samples), len(POINTS), 2), np.nan, dtype=np.float32)
    nose = np.full((len(samples), 2), np.nan, dtype=np.float32)
    since, seen = np.full(len(samples), -1, dtype=np.int64), False
    for t, key_t, motion in _motions(tracked, fps, recipe):
        seen = True
        if motion is not None:
            since[t // step] = key_t // step
            regions[t // step], nose[t // step] = motion
    return MdmoMotion(samples, since, regions, nose), seen


class _Key(NamedTuple):
    """A key frame: its crop, the matrix of this, and its landmarks in the frame and in the crop."""

    t: int
    crop: np.ndarray
    matrix: np.ndarray
    landmarks: np.ndarray
    inside: np.ndarray


def _motions(tracked: Iterable[Tracked], fps: float, recipe: MdmoRecipe) -> Iterator[tuple]:
    """Yield (t, t of the key frame, (regions, nose)) of every frame with a face; None where nothing precedes it."""
    longest = max(LONGEST_STEP_S * fps, sampling_step(fps, recipe.rate_hz))
    key: _Key | None = None
    last = (0, 0)  # t and scene of the frame before
    for one in tracked:
        if one.landmarks is None:
            key = None
            continue
        grey = as_grey(one.image)
        landmarks = one.landmarks.astype(np.float64)
        if key is None or one.scene != last[1] or one.t - last[0] > longest:
            key = _key(one.t, grey, landmarks, recipe)
            yield one.t, one.t, None
        else:
            crop = face.crop_face(grey, _on_key(key, landmarks), recipe.size)
            flow = dense_flow(key.crop, crop, recipe.method, **recipe.flow_settings)
            yield one.t, key.t, region_mdmo(flow, key.inside, recipe)
            if one.t - key.t >= recipe.key_s * fps:
                key = _key(one.t, grey, landmarks, recipe)
        last = one.t, one.scene


def _key(t: int, grey: np.ndarray, landmarks: np.ndarray, recipe: MdmoRecipe) -> _Key:
    matrix = region_crop(landmarks, recipe.size)
    inside = face.transform_points(landmarks, matrix)
    return _Key(t, face.crop_face(grey, matrix, recipe.size), matrix, landmarks, inside)


def _on_key(key: _Key, landmarks: np.ndarray) -> np.ndarray:
    """Return the matrix (2, 3) with which the head lies in the crop as it did in the key frame."""
    outlier = _OUTLIER_U * float(face.px_per_u(key.landmarks))
    back, _ = fit_similarity(landmarks, key.landmarks, outlier)
    return key.matrix @ np.vstack([back, (0, 0, 1)])
