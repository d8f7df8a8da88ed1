"""Grey face crops of a video in which the face stands still: for methods that compare pixels of two frames.

    sampled frames -> the face is followed -> crop by its landmarks -> registered to the first crop of the scene

A micro-expression moves the skin by 1 to 2 u, a third of a pixel of a small crop. Landmarks found anew in every frame
jitter by as much, and so does every edge of the crop: what then differs between two frames is alignment. Registered
crops hold still to a few hundredths of a unit: points all over the face, without eyes and mouth, are found again in
each frame by Lucas-Kanade, and a similarity that outliers cannot pull carries the frame onto the template. The template
is one picture for a whole scene, so nothing drifts; it is renewed when the face has turned too far from it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_of_face
from mespot_lib.features.motion import sampling_step
from mespot_lib.frames import Frame, as_grey, iter_frames
from mespot_lib.manifest import Video
from mespot_lib.tracking import Tracked, fit_similarity, track_face

_SIDE = 256  # px of the template: 1 px is 1 u
_POINTS = 120
_OUTLIER_U = 0.7  # a point further from its place has no say
_RENEW, _LOST = 0.5, 0.25  # share of points in their place
# What moves without the head is left out: eyes and mouth, as centre and half axes in u from between the eye corners.
_MOVING_U = (((-60, 0), (38, 20)), ((60, 0), (38, 20)), ((0, 135), (60, 30)))
_CENTRAL_U = (-110, -60, 110, 180)  # left, top, right, bottom


@dataclass(frozen=True)
class CropRecipe:
    """Settings of `face_crops`; the part of the cache key that the user chooses.

    rate_hz : frames per second that are read, at most
    size : edge of the crop, px
    align : "steady" (registered, see above) or "detected" (by the landmarks of each frame, as with OpenFace)
    landmarks : detector ("auto", "mediapipe", "cascade"), or "side" for the exact ones of a side file (an oracle)
    redetect_s : seconds between detections while the face is followed
    """

    rate_hz: float = 30.0
    size: int = 48
    align: Literal["steady", "detected"] = "steady"
    landmarks: str = "auto"
    redetect_s: float = 2.0


class FaceCrops(NamedTuple):
    """Crops of the sampled frames that show the face; mapped from disk, not read.

    frames : (N,) int64, positions on the frame axis
    crops : (N, S, S) float16, grey levels 0 to 255; finer than whole levels, which would be as coarse as the motion
    stretch : (N,) int64, number of the stretch a crop is in: only crops of one stretch can be compared
    """

    frames: np.ndarray
    crops: np.ndarray
    stretch: np.ndarray


def face_crops(video: Video, recipe: CropRecipe) -> FaceCrops:
    """Return the face crops of a video, from the cache or cut now.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face. Frames without a face are left out.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    found = cached_of_face(video, "crops", recipe, lambda: _cut(video, recipe)._asdict(), mapped=True)
    # only the pictures are large, and looking things up in a mapped array takes numpy ten times as long
    return FaceCrops(np.asarray(found["frames"]), found["crops"], np.asarray(found["stretch"]))


def crop_stream(video: Video, recipe: CropRecipe) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield (t, crop, stretch) for each sampled frame that shows the face, in order; the crops are not kept.

    The crops are (S, S) float32, grey levels 0 to 255; `stretch` as in `FaceCrops`. Raises as `face_crops`.
    """
    for t, grey, matrix, stretch in registered(video, recipe):
        small = matrix * (recipe.size / _SIDE)
        small[:, 2] += (recipe.size / _SIDE - 1) / 2  # pixel centres
        yield t, face.crop_face(grey.astype(np.float32), small, recipe.size), stretch


def registered(video: Video, recipe: CropRecipe) -> Iterator[tuple[int, np.ndarray, np.ndarray, int]]:
    """Yield what `aligned` does for the sampled frames of a video, whose face is followed once and for all recipes.

    Raises as `face_crops`.
    """
    where = _registration(video, recipe)
    rows = zip(where.frames.tolist(), where.matrices, where.stretch.tolist(), strict=True)
    here, matrix, stretch = next(rows)
    for t, image in _sampled(video, recipe):
        if t == here:
            yield t, as_grey(image), matrix, stretch
            if (row := next(rows, None)) is None:
                return
            here, matrix, stretch = row


class _Registration(NamedTuple):
    """Where the face lies: frames (N,) int64, matrices (N, 2, 3) into a crop of 256 px, stretch (N,) int64."""

    frames: np.ndarray
    matrices: np.ndarray
    stretch: np.ndarray


@dataclass(frozen=True)
class _Followed:
    """Of a `CropRecipe` what tells where the face lies, so that crops of any size share it."""

    step: int
    align: str
    landmarks: str
    redetect_s: float


def _registration(video: Video, recipe: CropRecipe) -> _Registration:
    """Return where the face lies, from the cache or followed now; raise `face.NoFaceError` where there is none."""

    def compute() -> dict[str, np.ndarray]:
        found = [
            (t, matrix, stretch) for t, _, matrix, stretch in aligned(_sampled(video, recipe), video, recipe)
        ]
        if not found:
            raise face.NoFaceError(
                f"{video.uid}: no face in any of the sampled frames; try the other detector (mediapipe or cascade), or "
                "give a side file with landmarks"
            )
        return _Registration(*map(np.array, zip(*found, strict=True)))._asdict()

    step = sampling_step(video.fps, recipe.rate_hz)
    followed = _Followed(step, recipe.align, recipe.landmarks, recipe.redetect_s)
    return _Registration(**cached_of_face(video, "registration", followed, compute))


def _sampled(video: Video, recipe: CropRecipe) -> Iterator[Frame]:
    return iter_frames(video, step=sampling_step(video.fps, recipe.rate_hz), grey=False)


def _cut(video: Video, recipe: CropRecipe) -> FaceCrops:
    import tempfile

    places, stretches = [], []
    with tempfile.TemporaryFile() as file:  # so that memory does not grow with the length of the video
        for t, crop, stretch in crop_stream(video, recipe):
            file.write(crop.astype(np.float16).tobytes())
            places.append(t)
            stretches.append(stretch)
        file.flush()
        shape = (len(places), recipe.size, recipe.size)
        crops = np.memmap(file, np.float16, "r", shape=shape)
    return FaceCrops(np.array(places, dtype=np.int64), crops, np.array(stretches, dtype=np.int64))


def aligned(
    frames: Iterable[Frame], video: Video, recipe: CropRecipe
) -> Iterator[tuple[int, np.ndarray, np.ndarray, int]]:
    """Yield (t, grey image, matrix (2, 3) into a crop of 256 px, stretch) for each frame with a face."""
    table = face.side_landmarks(video) if recipe.landmarks == "side" else None
    if recipe.align == "detected":
        yield from _detected(frames, recipe, table)
        return
    backend = "auto" if table is not None else recipe.landmarks
    followed = track_face(frames, video.fps, backend=backend, redetect_s=recipe.redetect_s, landmarks=table)
    yield from _steadied(followed)


def _detected(frames: Iterable[Frame], recipe: CropRecipe, table: np.ndarray | None) -> Iterator[tuple]:
    for t, image in frames:
        if table is not None:
            landmarks = table[t] if np.isfinite(table[t]).all() else None
        else:
            found = face.detect_face(image, recipe.landmarks)
            landmarks = None if found is None else found.landmarks
        if landmarks is not None:
            yield t, as_grey(image), face.face_matrix(landmarks, _SIDE), 0


def _steadied(followed: Iterable[Tracked]) -> Iterator[tuple]:
    """Register every frame to the template of its scene; see the module's first lines."""
    template: np.ndarray | None = None
    matrix = before = points = np.empty(0)  # set together with the template
    scene, stretch = None, -1
    for frame in followed:
        if frame.landmarks is None:
            template = None
            continue
        grey, by_landmarks = as_grey(frame.image), face.face_matrix(frame.landmarks, _SIDE)
        share = 0.0
        if template is not None and frame.scene == scene:
            expected = _after(_after(matrix, _inverse(before)), by_landmarks)  # moved as the landmarks have
            matrix, share = _registered(template, points, grey, expected)
        if (
            share < _LOST
        ):  # a new scene, or nothing found again: nothing before can be compared with what comes
            matrix, scene, stretch = by_landmarks, frame.scene, stretch + 1
        if share < _RENEW:
            template = face.crop_face(grey, matrix, _SIDE)
            points = _template_points(template)
        before = by_landmarks
        yield frame.t, grey, matrix, stretch


def _registered(
    template: np.ndarray, points: np.ndarray, grey: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the matrix with which the frame lies on the template, and the share of points then in their place."""
    share = 0.0
    for _ in range(2):
        crop = face.crop_face(grey, matrix, _SIDE)
        settings: dict[str, Any] = {"nextPts": None, "winSize": (15, 15), "maxLevel": 2}
        found, good, _ = cv2.calcOpticalFlowPyrLK(template, crop, points, **settings, criteria=(3, 20, 0.003))
        start, end = (p[good[:, 0] == 1, 0].astype(np.float64) for p in (found, points))
        if len(start) < len(points) / 4:
            return matrix, 0.0
        back, _ = fit_similarity(start, end, _OUTLIER_U)
        missed = np.linalg.norm(start @ back[:, :2].T + back[:, 2] - end, axis=1)
        share = float((missed < _OUTLIER_U).sum() / len(points))
        matrix = _after(back, matrix)
        if (
            np.abs(back - np.eye(2, 3)).max() < 0.3
        ):  # it lay nearly right: the next round would change nothing
            break
    return matrix, share


def _template_points(template: np.ndarray) -> np.ndarray:
    """Return points with texture on the face, eyes and mouth left out: (P, 1, 2) float32 px."""
    centre = np.array([_SIDE / 2, face.EYES_BELOW_TOP_U])
    mask = np.zeros(template.shape, np.uint8)
    left, top, right, bottom = (np.reshape(_CENTRAL_U, (2, 2)) + centre).clip(0, _SIDE).astype(int).ravel()
    mask[top:bottom, left:right] = 255
    for middle, axes in _MOVING_U:
        cv2.ellipse(mask, tuple((centre + middle).astype(int).tolist()), axes, 0, 0, 360, 0, -1)
    found = cv2.goodFeaturesToTrack(template, _POINTS, 0.01, 5, mask=mask, blockSize=3)
    return np.empty((0, 1, 2), np.float32) if found is None else found


def _after(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the (2, 3) matrix that does what `first` does and then what `second` does."""
    return second @ np.vstack([first, (0, 0, 1)])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(matrix)
