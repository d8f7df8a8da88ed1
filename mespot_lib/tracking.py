"""One face followed through a stream of frames: its landmarks in every frame, and where it is lost.

    detection        at the beginning, and about every second near the last place
    in between       points on the face are followed from frame to frame (Lucas-Kanade, there and back), and a
                     similarity fitted to them, in which moving brows and lips count little, moves the landmarks
    next detection   what it says otherwise is blended in over the second that follows: nothing jumps

A *scene* is a stretch in which the face is followed without a break. Motion can be measured within a scene only:
between two of them the camera was cut, or the face was gone.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.frames import Frame, as_grey

Choice = int | Literal["largest"]

# Lengths in face units u, which make them hold for faces of any size.

# Points are followed between brows and upper lip, but not where the gaze goes.
_FOLLOWED = (*range(17, 48), 48, 54)
_EYES = (range(36, 42), range(42, 48))
_GAZE_U = 19.0  # radius around the middle of an eye, whose corners are 26 u away
_POINTS = 80
_TEXTURE, _APART_U = 0.004, 7.0  # of the strongest corner; between points
_FACE_PX_PER_U = 0.75  # larger faces are made smaller to be followed; a 256 px face has 1
_THERE_AND_BACK_U = 1.0
_OUTLIER_U = 0.6  # off the course of the head: such a point has no say

# A face is lost when fewer points than this, or than this part of them, come back, or it suddenly looks different.
_FEWEST, _RETURNING = 12, 0.4
_HELD = 0.85  # returning: the face cannot be another one
_SAME_LOOK = 0.5  # correlation of the face in successive frames
_SAME_FACE_U = 64.0  # between the place where a face is expected and the face that is taken for it
_FORGOTTEN_S = 3.0  # followed without being seen by the detector; waited for while other faces are there

# Looking for a face: often for a large one, rarely for a small one, which takes ten times as long.
_LOOK_S, _THOROUGH_S = 0.25, 3.0
_LARGE_FACE = 0.15  # of the shorter side of the image
_LOOKS_WHEN_UNSURE = 3  # in succession

_SLOW_U, _SCATTER_U = 0.25, 8.0  # correction per detection, and scatter of detectors

# Differences of successive thumbnails (1 - correlation). A face that turns quickly makes 0.05 of it, more and more from
# frame to frame; a cut from one take to the next before the same background 0.09 to 0.5, out of nothing.
_CUT = 0.4
_SURPRISE, _SURPRISE_IF_LOST = 1.2, 0.25  # difference x how many times it exceeds the last ones
_FEWEST_RECENT, _RECENT = 3, 6  # frames to compare with
_STILL, _MOST_TIMES = 0.002, 20.0  # the least difference; the largest factor
_THUMBNAIL, _PATCH = (32, 24), 32  # px
_SHADE = 2.0  # grey levels; less than that is no structure


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
    backend: str = "auto",
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
    if choose != "largest" and (not isinstance(choose, int) or isinstance(choose, bool) or choose < 1):
        raise face.FaceError(f'choose is "largest" or a number from 1 (from left to right), not {choose!r}')
    if landmarks is not None:
        return _given(frames, landmarks)
    return _followed(frames, fps, backend, redetect_s, choose)


# --- following ------------------------------------------------------------------------------------------------------


@dataclass
class _Track:
    """A face that is followed.

    t, grey : the last frame; points (P, 2) px and landmarks (68, 2) px in it
    anchors, base : where the same points and landmarks were in the frame that motion is measured from. Over up to a
        second a moving brow leaves the head's course far enough to be told from it, which from frame to frame it does
        not, least of all at 200 frames per second.
    drift : (68, 2) px per frame, added to `base` until position `drifts_to`
    seen_at, looked_at : when the detector saw the face last, and when it looked
    """

    t: int
    grey: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    anchors: np.ndarray
    base: np.ndarray
    seen_at: int
    looked_at: int
    drift: np.ndarray
    drifts_to: int


def _begin(t: int, grey: np.ndarray, landmarks: np.ndarray) -> _Track:
    landmarks = landmarks.astype(np.float64)
    points = _points(grey, landmarks)
    return _Track(t, grey, landmarks, points, points, landmarks, t, t, np.zeros((68, 2)), t)


def _anchor(track: _Track) -> None:
    """Measure motion from the last frame on."""
    track.points = track.anchors = _points(track.grey, track.landmarks)
    track.base = track.landmarks


def _followed(
    frames: Iterable[Frame], fps: float, backend: str, redetect_s: float, choose: Choice
) -> Iterator[Tracked]:
    track: _Track | None = None
    search = _Search(choose, backend, fps)
    watch = _Watch()
    scene, begun = 0, False
    for t, image in frames:
        grey = as_grey(image)
        change = watch.change(grey)
        residual, held = (np.nan, None) if track is None else _follow(track, t, grey)
        cut = watch.is_cut(change, held)
        if track is not None and (cut or not held):
            search.lost(track)
            track = None
        if cut:
            search.cut()
            scene += begun
            begun = False
        if track is not None and t - track.looked_at >= redetect_s * fps:
            followed, track = track, _confirmed(track, image, fps, backend, redetect_s)
            if track is None:
                search.lost(followed)
        if track is None:
            residual = np.nan
            found = search.look(t, image)
            if found is not None:
                track = _begin(t, grey, found)
                scene += begun
                begun = True
        landmarks = None if track is None else track.landmarks.astype(np.float32)
        yield Tracked(t, image, landmarks, scene, residual, cut)


@dataclass
class _Search:
    """What is known while no face is followed. last, crowded: the face lost, and whether there were others."""

    choose: Choice
    backend: str
    fps: float
    last: np.ndarray | None = None
    lost_at: float = -np.inf
    crowded: bool = False
    looked_at: float = -np.inf
    thorough_at: float = -np.inf
    unsure: np.ndarray | None = None
    looks: int = 0

    def lost(self, track: _Track) -> None:
        self.last, self.lost_at = track.landmarks, track.t
        self.looked_at, self.looks = -np.inf, 0

    def cut(self) -> None:
        self.last, self.looked_at, self.looks = None, -np.inf, 0

    def look(self, t: int, image: np.ndarray) -> np.ndarray | None:
        """Return the landmarks of the face to follow, None if there is none or it is not the time to look."""
        if t - self.looked_at < _LOOK_S * self.fps:
            return None
        self.looked_at = t
        settings = {"smallest": _LARGE_FACE}
        if t - self.thorough_at >= _THOROUGH_S * self.fps:
            self.thorough_at, settings = t, {}
        faces = face.detect_faces(image, self.backend, **settings)
        found = self._chosen(t, faces)
        if found is None or not self._believed(found):
            return None
        self.crowded, self.looks = len(faces) > 1, 0
        return found.landmarks

    def _chosen(self, t: int, faces: list[face.Face]) -> face.Face | None:
        if self.last is not None and self.crowded:
            same = _nearest(faces, self.last, 2 * _SAME_FACE_U)
            if same is not None or t - self.lost_at < _FORGOTTEN_S * self.fps:
                return same
        if self.choose == "largest":
            return faces[0] if faces else None
        ordered = sorted(faces, key=lambda one: one.box[0] + one.box[2] / 2)
        return ordered[self.choose - 1] if self.choose <= len(ordered) else None

    def _believed(self, found: face.Face) -> bool:
        """Tell whether it is a face: at once where the detector is sure, else when it is found again in its place."""
        again = (
            self.looks > 0
            and self.unsure is not None
            and _nearest([found], self.unsure, _SAME_FACE_U) is not None
        )
        self.unsure, self.looks = found.landmarks, self.looks + 1 if again else 1
        return found.sure or self.looks >= _LOOKS_WHEN_UNSURE


def _nearest(faces: list[face.Face], landmarks: np.ndarray, reach_u: float) -> face.Face | None:
    """Return the face nearest to where landmarks are, None if it is out of reach."""
    reach = reach_u * face.px_per_u(landmarks)
    distances = [np.linalg.norm(_middle(one.landmarks) - _middle(landmarks)) for one in faces]
    return faces[int(np.argmin(distances))] if faces and min(distances) < reach else None


def _follow(track: _Track, t: int, grey: np.ndarray) -> tuple[float, float]:
    """Carry the track on to a frame; return the residual in px and the part of the points that have been followed.

    If the face is lost the track stays as it is, and NaN and 0 are returned.
    """
    unit = float(face.px_per_u(track.landmarks))
    points, kept = _flow(track.grey, grey, track.points, track.landmarks, unit)
    if kept.sum() < max(_FEWEST, _RETURNING * len(kept)):
        return np.nan, 0.0
    points, anchors = points[kept], track.anchors[kept]
    base = track.base + (min(t, track.drifts_to) - min(track.t, track.drifts_to)) * track.drift
    matrix, residual = fit_similarity(anchors, points, _OUTLIER_U * unit)
    moved = base @ matrix[:, :2].T + matrix[:, 2]
    if not _plausible(track.landmarks, moved, grey.shape):
        return np.nan, 0.0
    if _likeness(_patch(track.grey, track.landmarks), _patch(grey, moved)) < _SAME_LOOK:
        return np.nan, 0.0
    track.t, track.grey, track.landmarks = t, grey, moved
    track.points, track.anchors, track.base = points, anchors, base
    if len(points) < _POINTS // 2:
        _anchor(track)
    return residual, float(kept.mean())


def _confirmed(
    track: _Track, image: np.ndarray, fps: float, backend: str, redetect_s: float
) -> _Track | None:
    """Look for the face near its place, and turn towards what is found; None if it has not been seen for long."""
    track.looked_at = track.t
    found = _detected_near(image, track.landmarks, backend)
    if found is None and track.t - track.seen_at >= _FORGOTTEN_S * fps:
        return None
    _anchor(track)
    if found is not None:
        track.seen_at = track.t
        frames = max(1, round(redetect_s * fps))
        track.drift = _correction(track.landmarks, found) / frames
        track.drifts_to = track.t + frames
    return track


def _correction(followed: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Return by how much (68, 2) px the landmarks are to move until the next detection.

    Followed points drift less than detections scatter, so what is within the scatter hardly counts: moving landmarks
    over still skin looks like motion of the skin.
    """
    difference = detected - followed
    distance_u = float(np.sqrt((difference**2).sum(axis=1).mean()) / face.px_per_u(followed))
    move_u = max(min(distance_u, _SLOW_U), distance_u - _SCATTER_U)
    return difference * (move_u / max(distance_u, 1e-9))


def _detected_near(image: np.ndarray, landmarks: np.ndarray, backend: str) -> np.ndarray | None:
    """Return the landmarks of the face that stands nearest to where it is expected, None if that is not near."""
    corner = np.maximum(landmarks.min(axis=0) - 0.4 * np.ptp(landmarks, axis=0), 0).astype(int)
    end = np.ceil(landmarks.max(axis=0) + 0.4 * np.ptp(landmarks, axis=0)).astype(int) + 1
    region = np.ascontiguousarray(image[corner[1] : end[1], corner[0] : end[0]])
    if min(region.shape[:2]) < 20:
        return None
    found = _nearest(face.detect_faces(region, backend, smallest=0.35), landmarks - corner, _SAME_FACE_U)
    return None if found is None else found.landmarks + corner


def _middle(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[[39, 42]].mean(axis=0)


def _plausible(before: np.ndarray, after: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Tell whether a face can move so between frames, and is still in the image."""
    growth = face.px_per_u(after) / face.px_per_u(before)
    x, y = _middle(after)
    return 0.8 < growth < 1.25 and 0 <= x < shape[1] and 0 <= y < shape[0]


# --- points ---------------------------------------------------------------------------------------------------------


def _points(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return points (P, 2) float32 px with texture, between brows and upper lip but not where the gaze goes."""
    unit = float(face.px_per_u(landmarks))
    hull = cv2.convexHull(landmarks[list(_FOLLOWED)].astype(np.float32)).astype(np.int32)
    x, y, width, height = cv2.boundingRect(hull)
    x, y = max(x, 0), max(y, 0)
    region = grey[y : y + height, x : x + width]
    if min(region.shape) < 8:
        return np.empty((0, 2), np.float32)
    mask = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(mask, hull - np.array((x, y), np.int32), 255)
    for eye in _EYES:
        x_eye, y_eye = np.rint(landmarks[list(eye)].mean(axis=0) - (x, y)).astype(int).tolist()
        cv2.circle(mask, (x_eye, y_eye), round(_GAZE_U * unit), 0, -1)
    found = cv2.goodFeaturesToTrack(
        region, _POINTS, _TEXTURE, max(2.0, _APART_U * unit), mask=mask, blockSize=5
    )
    return np.empty((0, 2), np.float32) if found is None else found[:, 0] + np.array((x, y), np.float32)


def _flow(
    first: np.ndarray, second: np.ndarray, points: np.ndarray, landmarks: np.ndarray, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Follow points (P, 2) px from one frame to the next: where they are, (P, 2) px, and which come back, (P,) bool."""
    lost = points, np.zeros(len(points), dtype=bool)
    if not len(points):
        return lost
    scale = min(1.0, _FACE_PX_PER_U / unit)
    corner = np.maximum(landmarks.min(axis=0) - 40 * unit, 0).astype(int)
    end = np.ceil(landmarks.max(axis=0) + 40 * unit).astype(int)
    crops = [image[corner[1] : end[1], corner[0] : end[0]] for image in (first, second)]
    if min(crops[0].shape) * scale < 32:
        return lost
    crops[1] = _lit_alike(*crops)
    if scale < 1:
        crops = [cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for crop in crops]
    settings: dict[str, Any] = {
        "nextPts": None,
        "winSize": (15, 15),
        "maxLevel": 3,
        "criteria": (3, 20, 0.01),
    }
    start = ((points - corner + 0.5) * scale - 0.5).astype(np.float32)[:, None]
    there, good, _ = cv2.calcOpticalFlowPyrLK(crops[0], crops[1], start, **settings)
    back, good_too, _ = cv2.calcOpticalFlowPyrLK(crops[1], crops[0], there, **settings)
    returned = np.linalg.norm(back - start, axis=2)[:, 0] < _THERE_AND_BACK_U * unit * scale
    there = (there[:, 0] + 0.5) / scale - 0.5 + corner
    return there.astype(np.float32), returned & (good[:, 0] == 1) & (good_too[:, 0] == 1)


def _lit_alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the second picture in the brightness and contrast of the first: flicker would pass for motion."""
    (mean, contrast), (mean_2, contrast_2) = (
        (float(m[0, 0]), float(c[0, 0])) for m, c in map(cv2.meanStdDev, (first, second))
    )
    gain = contrast / max(contrast_2, 1.0)
    if abs(gain - 1) < 0.01 and abs(mean - mean_2) < 1:
        return second
    return cv2.convertScaleAbs(second, alpha=gain, beta=mean - gain * mean_2)


def fit_similarity(start: np.ndarray, end: np.ndarray, outlier: float) -> tuple[np.ndarray, float]:
    """Return the similarity (2, 3) that maps points `start` (P, 2) to `end`, and the root mean square residual.

    Tukey's biweight: a point further than `outlier` from its place has no say (or than three times the median distance,
    where that is more), so that moving brows, lips and lids do not pull the head along. The residual is weighted alike.
    """
    z, target = start @ (1, 1j), end @ (1, 1j)
    turn, shift = 1.0 + 0j, np.median((target - z).real) + 1j * np.median((target - z).imag)
    for _ in range(8):
        distance = np.abs(turn * z + shift - target)
        reach = max(outlier, 3 * float(np.median(distance)))
        weights = np.clip(1 - (distance / reach) ** 2, 0, None) ** 2
        weights /= weights.sum()
        centre, goal = weights @ z, weights @ target
        turn = (weights * (z - centre).conj()) @ (target - goal) / (weights @ np.abs(z - centre) ** 2)
        shift = goal - turn * centre
    residual = np.sqrt(weights @ np.abs(turn * z + shift - target) ** 2)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]), float(
        residual
    )


# --- cuts -----------------------------------------------------------------------------------------------------------


class _Watch:
    """Compares each frame with the one before, to notice cuts."""

    def __init__(self) -> None:
        self.thumbnail: np.ndarray | None = None
        self.recent: deque[float] = deque(maxlen=_RECENT)  # since the last cut

    def change(self, grey: np.ndarray) -> float:
        """Return 1 - correlation of the frame with the one before, NaN for the first."""
        before, self.thumbnail = self.thumbnail, cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        return np.nan if before is None else 1 - _likeness(before, self.thumbnail)

    def is_cut(self, change: float, held: float | None) -> bool:
        """Tell whether the camera was cut: a great change, or a sudden one, above all if the face is lost in it.

        held : the part of the points on the face that could be followed, None without a face. If it is nearly all, the
            head has moved far, and that is all.
        """
        if np.isnan(change):
            return False
        usual = max(self.recent) if len(self.recent) >= _FEWEST_RECENT else np.inf
        surprise = change * min(change / usual, _MOST_TIMES)
        cut = change > _CUT or surprise > (_SURPRISE_IF_LOST if held == 0 else _SURPRISE)
        cut = cut and (held is None or held < _HELD)
        if cut:
            self.recent.clear()
        else:
            self.recent.append(max(change, _STILL))
        return cut


def _patch(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(
        grey, face.face_matrix(landmarks, _PATCH), (_PATCH, _PATCH), borderMode=cv2.BORDER_REPLICATE
    )


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two pictures: blind to brightness and contrast, so that flicker is no change.

    Pictures without structure are alike.
    """
    first, second = (image - image.mean() for image in (first, second))
    together, *alone = (
        (one * other).mean() + _SHADE**2 for one, other in ((first, second), (first, first), (second, second))
    )
    return float(together / np.sqrt(alone[0] * alone[1]))


# --- landmarks from elsewhere ---------------------------------------------------------------------------------------


def _given(frames: Iterable[Frame], table: np.ndarray) -> Iterator[Tracked]:
    last, scene, begun = None, 0, False
    watch = _Watch()
    for t, image in frames:
        cut = watch.is_cut(watch.change(as_grey(image)), None)
        if cut:
            scene, begun, last = scene + begun, False, None
        landmarks = table[t] if t < len(table) and np.isfinite(table[t]).all() else None
        residual = np.nan
        if landmarks is not None:
            if last is None:
                scene, begun = scene + begun, True
            else:
                _, residual = fit_similarity(last, landmarks, _OUTLIER_U * float(face.px_per_u(last)))
        last = landmarks
        yield Tracked(t, image, landmarks, scene, residual, cut)


# --- summary --------------------------------------------------------------------------------------------------------


class TrackingReport(NamedTuple):
    """How well a face could be followed.

    frames : number of frames; found : the share of them with a face
    gaps : stretches without a face, closed ranges of positions; cuts : positions of the first frames behind a cut
    scenes : number of stretches with a face
    residual_px, residual_95_px : median and 95 % quantile of the alignment residual, NaN if there is none
    """

    frames: int
    found: float
    gaps: tuple[tuple[int, int], ...]
    cuts: tuple[int, ...]
    scenes: int
    residual_px: float
    residual_95_px: float


class Seen(NamedTuple):
    """What `tracking_report` needs of one frame: few bytes, so that those of a long video can be kept."""

    t: int
    found: bool
    scene: int
    residual_px: float
    cut: bool


def remembered(tracked: Iterable[Tracked], seen: list[Seen]) -> Iterator[Tracked]:
    """Pass tracked frames on, and append to `seen` what was seen in each."""
    for one in tracked:
        seen.append(Seen(one.t, one.landmarks is not None, one.scene, one.residual_px, one.cut))
        yield one


def tracking_report(seen: Sequence[Seen]) -> TrackingReport:
    """Summarise what `remembered` has gathered."""
    found = np.array([one.found for one in seen], dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], found, [True]])))
    residuals = np.array([one.residual_px for one in seen])
    residuals = residuals[np.isfinite(residuals)]
    median, most = np.quantile(residuals, [0.5, 0.95]) if len(residuals) else (np.nan, np.nan)
    return TrackingReport(
        frames=len(seen),
        found=float(found.mean()) if len(seen) else 0.0,
        gaps=tuple((seen[a].t, seen[b - 1].t) for a, b in edges.reshape(-1, 2)),
        cuts=tuple(one.t for one in seen if one.cut),
        scenes=len({one.scene for one in seen if one.found}),
        residual_px=float(median),
        residual_95_px=float(most),
    )
