"""One face followed through a stream of frames: where its landmarks are in every frame, and where it cannot be followed.

    detection        at the beginning, and about every second near the last place
    in between       points on the face are followed from frame to frame (Lucas-Kanade, there and back), and a similarity
                     fitted to them, in which moving brows and lips count little, carries the landmarks along
    next detection   what it says otherwise is blended in over the second that follows, so that nothing jumps

A *scene* is a stretch in which the face is followed without a break. Motion can be measured within a scene only: between
two of them the camera was cut, or the face was gone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.frames import Frame

Choice = int | Literal["largest"]

# All lengths in face units u. Where the skin is near bone, or at least has texture: brow to upper lip, no jaw.
_FOLLOWED = (*range(17, 48), 48, 54)
_POINTS, _FEWEST = 80, 16
_FACE_PX_PER_U = 0.75  # faces are followed at this size at most; 256 px faces have 1
_THERE_AND_BACK_U = 1.0
_OUTLIER_U = 1.5  # residual beyond which a point has no say
_SAME_FACE_U = (
    64.0  # a face found nearer than the distance of the inner eye corners is the one that is followed
)
_FORGOTTEN_S = 3.0  # without being seen by the detector
_SEARCH_S = 0.2  # between two looks for a face that is gone
_LEAST_GAIN = 0.2  # of a detection, when many have been averaged
_CUT, _PERHAPS_CUT = 0.6, 0.9  # likeness of successive thumbnails
_SAME_LOOK = 0.5  # likeness of the face in successive frames
_THUMBNAIL, _PATCH = (32, 24), 32  # px


class Tracked(NamedTuple):
    """One frame with the face that is followed.

    t, image : as in `mespot_lib.frames.Frame`
    landmarks : (68, 2) float32 px, None where the face is lost
    scene : goes up by one at a camera cut and whenever a lost face is found again
    residual_px : root mean square distance of the points followed on the face from the similarity fitted to them; NaN
        in the first frame of a scene and where the face is lost
    cut : whether the camera was cut just before this frame
    """

    t: int
    image: np.ndarray
    landmarks: np.ndarray | None
    scene: int
    residual_px: float
    cut: bool = False


def track_face(
    frames: Iterable[Frame],
    fps: float,
    *,
    backend: face.Backend = "auto",
    redetect_s: float = 1.0,
    choose: Choice = "largest",
    landmarks: np.ndarray | None = None,
) -> Iterator[Tracked]:
    """Follow one face and yield every frame with its landmarks, as the frames come.

    Parameters
    ----------
    frames : of one video, in order; grey or colour. Gaps and steps between them are allowed.
    backend : detector, see `mespot_lib.face`.
    redetect_s : seconds between detections.
    choose : "largest", or the number of a face from left to right, from 1. A face once chosen is kept while it is seen,
        though another grows.
    landmarks : (T, 68, 2) px by position, NaN where there are none; taken instead of detecting
        (`face.side_landmarks`, `face.openface_landmarks`).

    Raises
    ------
    mespot_lib.face.FaceError
        For another choice, or as `face.detect_faces`.
    """
    if choose != "largest" and (not isinstance(choose, int) or choose < 1):
        raise face.FaceError(f'choose is "largest" or a number from 1 (from left to right), not {choose!r}')
    if landmarks is not None:
        return _given(frames, landmarks)
    return _followed(frames, fps, backend, redetect_s, choose)


# --- following ------------------------------------------------------------------------------------------------------


@dataclass
class _Track:
    """A face that is followed. t and grey: the last frame; points (P, 2) px in it."""

    t: int
    grey: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    seen_at: int  # by the detector
    looked_at: int  # whether the detector saw it or not
    detections: int = 1
    drift: np.ndarray = field(default_factory=lambda: np.zeros((68, 2)))  # px per frame, until `drifts_to`
    drifts_to: int = -1


def _followed(
    frames: Iterable[Frame], fps: float, backend: face.Backend, redetect_s: float, choose: Choice
) -> Iterator[Tracked]:
    track: _Track | None = None
    scene, begun = 0, False
    looked_at, thumbnail = -np.inf, None
    for t, image in frames:
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        before, thumbnail = thumbnail, _thumbnail(grey)
        likeness = 1.0 if before is None else _likeness(before, thumbnail)
        residual = np.nan
        cut = likeness < _CUT
        if track is not None and not cut:
            residual = _follow(track, t, grey)
            if np.isnan(residual):
                cut, track = likeness < _PERHAPS_CUT, None
                looked_at = -np.inf
        if cut:
            track, looked_at = None, -np.inf
            scene += begun
        if track is not None and t - track.looked_at >= redetect_s * fps:
            track = _confirmed(track, image, fps, backend, redetect_s)
        if track is None and t - looked_at >= _SEARCH_S * fps:
            looked_at = t
            found = _chosen(face.detect_faces(image, backend), choose)
            if found is not None:
                scene += begun and not cut
                begun = True
                track = _Track(t, grey, found.astype(np.float64), _points(grey, found), t, t)
                residual = np.nan
        known = track is not None
        yield Tracked(t, image, track.landmarks.astype(np.float32) if known else None, scene, residual, cut)


def _chosen(faces: list[face.Face], choose: Choice) -> np.ndarray | None:
    if choose == "largest":
        return faces[0].landmarks if faces else None
    ordered = sorted(faces, key=lambda one: one.box[0] + one.box[2] / 2)
    return ordered[choose - 1].landmarks if choose <= len(ordered) else None


def _follow(track: _Track, t: int, grey: np.ndarray) -> float:
    """Carry the track on to a frame and return the residual in px; NaN, and the track unchanged, if it is lost."""
    unit = float(face.px_per_u(track.landmarks))
    start, end = _flow(track.grey, grey, track.points, track.landmarks, unit)
    if len(start) < _FEWEST:
        return np.nan
    matrix, residual = fit_similarity(start, end, _OUTLIER_U * unit)
    moved = track.landmarks @ matrix[:, :2].T + matrix[:, 2]
    if not _plausible(matrix, moved, grey.shape):
        return np.nan
    if _likeness(_patch(track.grey, track.landmarks), _patch(grey, moved)) < _SAME_LOOK:
        return np.nan
    steps = min(t, track.drifts_to) - min(track.t, track.drifts_to)
    track.t, track.grey, track.points = t, grey, end
    track.landmarks = moved + steps * track.drift
    if len(end) < _POINTS // 2:
        track.points = _points(grey, track.landmarks)
    return residual


def _confirmed(
    track: _Track, image: np.ndarray, fps: float, backend: face.Backend, redetect_s: float
) -> _Track | None:
    """Look for the face near its place, and turn towards what is found; None if it has not been seen for long."""
    track.looked_at = track.t
    found = _detected_near(image, track.landmarks, backend)
    if found is None:
        return track if track.t - track.seen_at < _FORGOTTEN_S * fps else None
    track.seen_at = track.t
    track.detections += 1
    frames = max(1, round(redetect_s * fps))
    track.drift = (found - track.landmarks) * max(1 / track.detections, _LEAST_GAIN) / frames
    track.drifts_to = track.t + frames
    track.points = _points(track.grey, track.landmarks)
    return track


def _detected_near(image: np.ndarray, landmarks: np.ndarray, backend: face.Backend) -> np.ndarray | None:
    """Return the landmarks of the face that stands nearest to where it is expected, None if that is not near."""
    corner = np.maximum(landmarks.min(axis=0) - 0.4 * np.ptp(landmarks, axis=0), 0).astype(int)
    end = np.ceil(landmarks.max(axis=0) + 0.4 * np.ptp(landmarks, axis=0)).astype(int) + 1
    region = np.ascontiguousarray(image[corner[1] : end[1], corner[0] : end[0]])
    if min(region.shape[:2]) < 20:
        return None
    unit = face.px_per_u(landmarks)
    faces = [found.landmarks + corner for found in face.detect_faces(region, backend, smallest=0.35)]
    distances = [np.linalg.norm(_middle(found) - _middle(landmarks)) / unit for found in faces]
    best = int(np.argmin(distances)) if faces else -1
    return faces[best] if faces and distances[best] < _SAME_FACE_U else None


def _middle(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[[39, 42]].mean(axis=0)


def _plausible(matrix: np.ndarray, landmarks: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Tell whether a face can move so between frames, and is still in the image."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    x, y = _middle(landmarks)
    return 0.8 < scale < 1.25 and 0 <= x < shape[1] and 0 <= y < shape[0]


# --- points ---------------------------------------------------------------------------------------------------------


def _points(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return points (P, 2) float32 px with texture, between brows and upper lip."""
    hull = cv2.convexHull(landmarks[list(_FOLLOWED)].astype(np.float32)).astype(np.int32)
    x, y, width, height = cv2.boundingRect(hull)
    x, y = max(x, 0), max(y, 0)
    region = grey[y : y + height, x : x + width]
    if min(region.shape) < 8:
        return np.empty((0, 2), np.float32)
    mask = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(mask, hull - np.int32((x, y)), 255)
    apart = max(2.0, 5.0 * float(face.px_per_u(landmarks)))
    found = cv2.goodFeaturesToTrack(region, _POINTS, 0.01, apart, mask=mask, blockSize=5)
    return np.empty((0, 2), np.float32) if found is None else found[:, 0] + np.float32((x, y))


def _flow(
    first: np.ndarray, second: np.ndarray, points: np.ndarray, landmarks: np.ndarray, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Follow points (P, 2) px from one frame to the next and back; return those that come back: start, end (Q, 2) px."""
    if not len(points):
        return points, points
    scale = min(1.0, _FACE_PX_PER_U / unit)
    corner = np.maximum(landmarks.min(axis=0) - 40 * unit, 0).astype(int)
    end = np.ceil(landmarks.max(axis=0) + 40 * unit).astype(int)
    crops = [image[corner[1] : end[1], corner[0] : end[0]] for image in (first, second)]
    if min(crops[0].shape) * scale < 32:
        return points[:0], points[:0]
    if scale < 1:
        crops = [cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for crop in crops]
    settings = {"winSize": (15, 15), "maxLevel": 3, "criteria": (3, 20, 0.01)}
    start = ((points - corner + 0.5) * scale - 0.5).astype(np.float32)[:, None]
    there, good, _ = cv2.calcOpticalFlowPyrLK(*crops, start, None, **settings)
    back, good_too, _ = cv2.calcOpticalFlowPyrLK(*crops[::-1], there, None, **settings)
    returned = np.linalg.norm(back - start, axis=2)[:, 0] < _THERE_AND_BACK_U * unit * scale
    kept = returned & (good[:, 0] == 1) & (good_too[:, 0] == 1)
    ends = (there[kept, 0] + 0.5) / scale - 0.5 + corner
    return points[kept], ends.astype(np.float32)


def fit_similarity(start: np.ndarray, end: np.ndarray, outlier: float) -> tuple[np.ndarray, float]:
    """Return the similarity (2, 3) that maps points `start` (P, 2) to `end`, and the root mean square residual.

    Tukey's biweight: a point further than `outlier` from its place has no say, so that moving brows, lips and lids do not
    pull the head along. The residual is that of all points.
    """
    z, target = start @ (1, 1j), end @ (1, 1j)
    weights = np.ones(len(z))
    turn, shift = 1.0 + 0j, np.median((target - z).real) + 1j * np.median((target - z).imag)
    for _ in range(6):
        distance = np.abs(turn * z + shift - target)
        # at first so wide that half of the points count
        reach = max(outlier, 2 * float(np.median(distance)))
        weights = np.clip(1 - (distance / reach) ** 2, 0, None) ** 2
        total = weights.sum()
        centre, goal = (weights @ z) / total, (weights @ target) / total
        turn = (weights * (z - centre).conj()) @ (target - goal) / (weights @ np.abs(z - centre) ** 2)
        shift = goal - turn * centre
    distance = np.abs(turn * z + shift - target)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return matrix, float(np.sqrt(np.mean(distance**2)))


# --- likeness -------------------------------------------------------------------------------------------------------


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    return cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA)


def _patch(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(
        grey, face.face_matrix(landmarks, _PATCH), (_PATCH, _PATCH), borderMode=cv2.BORDER_REPLICATE
    )


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two pictures: blind to brightness and contrast, so that flicker is no change."""
    first, second = (image - image.mean() for image in (first, second))
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else 1.0


# --- landmarks from elsewhere ---------------------------------------------------------------------------------------


def _given(frames: Iterable[Frame], table: np.ndarray) -> Iterator[Tracked]:
    last, thumbnail = None, None
    scene, begun = 0, False
    for t, image in frames:
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        before, thumbnail = thumbnail, _thumbnail(grey)
        cut = before is not None and _likeness(before, thumbnail) < _CUT
        landmarks = table[t] if t < len(table) and np.isfinite(table[t]).all() else None
        residual = np.nan
        if landmarks is not None and last is not None and not cut:
            unit = float(face.px_per_u(last))
            _, residual = fit_similarity(last, landmarks, _OUTLIER_U * unit)
        elif landmarks is not None or cut:
            scene += begun
            begun = begun or landmarks is not None
        last = landmarks
        yield Tracked(t, image, landmarks, scene, residual, cut)
