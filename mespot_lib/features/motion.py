"""How far each region of the face, and the nose, moves from one sampled frame to the next.

    frames -> face every second -> aligned crop -> dense flow between neighbours -> means in the regions, in face units

A 200 fps video is read at about the rate of a 30 fps one: a micro-expression of 0.2 s still has six samples, and a
movement between neighbours is then as large at any frame rate, so one setting serves all. The face is detected again
every second; in between the crop follows the nose, so that the regions stay on the skin they were put on. Both frames
of a pair are cropped with the same matrix: what the flow sees between them is motion of the face and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_arrays
from mespot_lib.features.flow import Method, dense_flow
from mespot_lib.features.head_motion import nose_shift
from mespot_lib.features.regions import REGIONS, region_boxes, region_means
from mespot_lib.frames import Frame, iter_frames
from mespot_lib.manifest import Video
from mespot_lib.tracking import Tracked

MOVED_DOWN_U = 24.0
# Two samples further apart than this are no neighbours: what moved between them is unknown.
LONGEST_STEP_S = 0.1
# A face that is not found again for so long is gone; until then the crop goes on following the nose.
FORGOTTEN_S = 3.0


@dataclass(frozen=True)
class MotionRecipe:
    """Settings of `region_motion`; the part of the cache key that the user chooses.

    rate_hz : frames per second that are read, at most
    size : edge of the face crop, px
    flow, flow_settings : method and settings of `dense_flow`; half resolution serves means over regions as well as
        the full one, in a fifth of the time
    landmarks : detector ("auto", "mediapipe", "cascade"), or "side" for the exact ones of a side file (an oracle)
    jitter_u : noise put on the landmarks of a side file, in face units
    redetect_s : seconds between detections
    """

    rate_hz: float = 30.0
    size: int = 128
    flow: Method = "dis"
    flow_settings: dict[str, Any] = field(default_factory=lambda: {"finest_scale": 1, "patch_stride": 3})
    landmarks: str = "auto"
    jitter_u: float = 0.0
    redetect_s: float = 1.0
    seed: int = 0


class RegionMotion(NamedTuple):
    """Motion between sampled frames, in face units (u: 1 px at a 256 px face).

    frames : (N,) int64, sampled positions on the frame axis
    regions : (N, R, 2) float32, shift of each region since the sample before, x right, y down; NaN where unknown
    nose : (N, 2) float32, shift of the nose since the sample before; NaN where unknown
    """

    frames: np.ndarray
    regions: np.ndarray
    nose: np.ndarray

    def shifts(self, remove_head_motion: bool = True) -> np.ndarray:
        """Return where each region is relative to the first sample, (N, R, 2) u; unknown steps count as rest."""
        steps = self.regions - self.nose[:, None] if remove_head_motion else self.regions
        return np.cumsum(np.nan_to_num(steps), axis=0, dtype=np.float64)

    @property
    def known(self) -> np.ndarray:
        """Return (N,) bool: whether the motion since the sample before is known."""
        return ~np.isnan(self.nose[:, 0])


class CropFlow(NamedTuple):
    """Motion between two neighbouring samples, in the crop of the face.

    flow : (S, S, 2) float32 u, x right, y down; landmarks : (68, 2) px in the crop; nose : (2,) float32 u, its shift
    """

    flow: np.ndarray
    landmarks: np.ndarray
    nose: np.ndarray


def region_motion(video: Video, recipe: MotionRecipe) -> RegionMotion:
    """Measure, or read from the cache, the region motion of a video.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face. Stretches without a face are NaN.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    settings = {"name": "region_motion", "backend": _backend(recipe), **asdict(recipe)}
    return RegionMotion(**cached_arrays(video, settings, lambda: _measure(video, recipe)._asdict()))


def measure_tracked(tracked: Iterable[Tracked], fps: float, recipe: MotionRecipe) -> RegionMotion:
    """Measure the region motion of a tracked face in one pass; all motion is unknown across a cut, a loss or a gap.

    tracked : the sampled frames, `sampling_step` apart, in order of time. Nothing raises if there is no face at all.
    """
    step = sampling_step(fps, recipe.rate_hz)
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    previous, last = None, -1
    for one in tracked:
        last = one.t
        if one.landmarks is None:
            previous = None
            continue
        now = one._replace(image=cv2.cvtColor(one.image, cv2.COLOR_BGR2GRAY))
        if previous and previous.scene == one.scene and one.t - previous.t <= max(LONGEST_STEP_S * fps, step):
            assert previous.landmarks is not None  # only those are kept
            moved = _crop_flow(previous.image, now.image, previous.landmarks, recipe)
            known[one.t // step] = _region_shifts(moved), moved.nose
        previous = now
    samples = np.arange(0, last + 1, step)
    regions = np.full((len(samples), len(REGIONS), 2), np.nan, dtype=np.float32)
    nose = np.full((len(samples), 2), np.nan, dtype=np.float32)
    for row, (shifts, shift) in known.items():
        regions[row], nose[row] = shifts, shift
    return RegionMotion(samples, regions, nose)


def region_crop(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Return the matrix (2, 3) of the crop in which regions are measured: the face crop, moved down a little.

    The crop of the optical-flow methods ends 5/8 of its height below the eyes, which cuts the region on the lower lip.
    """
    matrix = face.face_matrix(landmarks, size)
    matrix[1, 2] -= MOVED_DOWN_U * size / face.CROP_UNITS
    return matrix


def sampling_step(fps: float, rate_hz: float) -> int:
    """Return how many frames apart the samples are: the rate stays at or just below `rate_hz`."""
    return max(1, int(np.ceil(fps / rate_hz - 1e-9)))


def _backend(recipe: MotionRecipe) -> str:
    return face.available_backend() if recipe.landmarks == "auto" else recipe.landmarks


def _measure(video: Video, recipe: MotionRecipe) -> RegionMotion:
    step = sampling_step(video.fps, recipe.rate_hz)
    samples = np.arange(0, video.length, step)
    regions = np.full((len(samples), len(REGIONS), 2), np.nan, dtype=np.float32)
    nose = np.full((len(samples), 2), np.nan, dtype=np.float32)
    for t, moved in crop_flows(video, recipe):
        if moved is not None:
            regions[t // step], nose[t // step] = _region_shifts(moved), moved.nose
    return RegionMotion(samples, regions, nose)


def crop_flows(video: Video, recipe: MotionRecipe) -> Iterator[tuple[int, CropFlow | None]]:
    """Yield (t, motion since the sample before) of every sampled frame with a face; None where that is unknown.

    Raises
    ------
    As `region_motion`; that no frame shows a face is known, and raised, at the end.
    """
    step = sampling_step(video.fps, recipe.rate_hz)
    seen = False
    frames = iter_frames(video, step=step, grey=False)
    for one in _steps(frames, _finder(video, recipe), video.fps, recipe):
        seen = True
        yield one
    if not seen:
        last = (video.length - 1) // step * step
        raise face.NoFaceError(
            f"{video.uid}: no face in any of the frames looked at, 0 to {last}, with the detector "
            f"{_backend(recipe)}; try the other one (mediapipe or cascade), or give a side file with landmarks"
        )


def _finder(video: Video, recipe: MotionRecipe) -> Callable[[int, np.ndarray], np.ndarray | None]:
    """Return what finds the landmarks (68, 2) px of frame t: a detector, or the side file as a table."""
    if recipe.landmarks == "side":
        rng = np.random.default_rng(recipe.seed)
        table = face.jittered_landmarks(face.side_landmarks(video), recipe.jitter_u, rng)
        return lambda t, image: table[t] if np.isfinite(table[t]).all() else None

    def detected(t: int, image: np.ndarray) -> np.ndarray | None:
        found = face.detect_face(image, recipe.landmarks)
        return None if found is None else found.landmarks

    return detected


def _steps(frames: Iterable[Frame], find: Callable, fps: float, recipe: MotionRecipe) -> Iterator[tuple]:
    """Yield (t, `CropFlow`) for every sampled frame with a face; (t, None) where no neighbour precedes it."""
    previous, landmarks, found_at = None, None, -np.inf
    for t, image in frames:
        if t - found_at >= recipe.redetect_s * fps:
            found = find(t, image)
            if found is not None:
                landmarks, found_at = found, t
            elif t - found_at >= FORGOTTEN_S * fps:
                landmarks = None
        if landmarks is None:
            previous = None
            continue
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if previous is None or t - previous.t > max(LONGEST_STEP_S * fps, 1):
            yield t, None
        else:
            moved = _crop_flow(previous.image, grey, landmarks, recipe)
            yield t, moved
            # the nose has moved in the levelled crop; the landmarks are in the frame
            landmarks = landmarks + _turned_back(moved.nose, landmarks) * face.px_per_u(landmarks)
        previous = Frame(t, grey)


def _crop_flow(
    first: np.ndarray, second: np.ndarray, landmarks: np.ndarray, recipe: MotionRecipe
) -> CropFlow:
    """Return the motion between two frames in the crop around landmarks (68, 2) px, along the face's axes."""
    matrix = region_crop(landmarks, recipe.size)
    before, after = (face.crop_face(image, matrix, recipe.size) for image in (first, second))
    flow = dense_flow(before, after, recipe.flow, **recipe.flow_settings) * (face.CROP_UNITS / recipe.size)
    inside = face.transform_points(landmarks, matrix)
    return CropFlow(flow, inside, nose_shift(flow, inside))


def _region_shifts(moved: CropFlow) -> np.ndarray:
    """Return the shifts of the regions, (R, 2) float32 u."""
    return region_means(moved.flow, region_boxes(moved.landmarks, len(moved.flow)))


def _turned_back(shift: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Turn a shift (2,) along the face's axes into the axes of the frame."""
    turn = face.face_matrix(landmarks, 1)[:, :2]
    return shift @ (turn / np.linalg.norm(turn[0]))
