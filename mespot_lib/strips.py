"""A spotted expression from near: which parts of the face move where, the pictures, and the motion made visible.

The pictures are read in a second pass, for one expression after the other, so that memory does not grow with their
number. They are cropped after the landmarks, so the head stays in place and only the face moves.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.features.flow import dense_flow
from mespot_lib.features.head_motion import nose_shift, remove_head_motion
from mespot_lib.features.motion import region_crop
from mespot_lib.frames import FrameError, iter_frames
from mespot_lib.interval import Interval
from mespot_lib.manifest import Video
from mespot_lib.user_video import Analysis, apex_of, displacements, place_name

# The largest motion of a strip is drawn about so large, and no motion more than so many times its size.
SHOWN_U = 8.0
DRAWN_U = 24.0  # in line drawings
LARGEST_ALPHA = 12.0
_SMOOTH_U = 5.0  # the flow is smoothed before it is enlarged, else its noise tears the picture
_FADE_U = 10.0  # at the rim of the face
_NEAR_U = 14.0  # a landmark moves as the regions do that are so near


class Movement(NamedTuple):
    """How one place of the face moves from onset to apex: its name, the shift (x right, y down) in u, and in words.

    row : of the region in `Analysis.curves`
    """

    row: int
    place: str
    shift_u: tuple[float, float]
    direction: str


class Strip(NamedTuple):
    """One spotted expression in pictures, S px each side.

    frames : onset, apex, offset, where the pictures were taken; crops : (3, S, S, 3) uint8 blue, green, red
    magnified : (S, S, 3) uint8, the onset with the motion to the apex `alpha` times as large
    """

    span: Interval
    frames: tuple[int, int, int]
    crops: np.ndarray
    magnified: np.ndarray
    alpha: float


def strips(found: Analysis, spans: Iterable[Interval], size: int = 208) -> Iterator[Strip]:
    """Read the pictures of expressions again, one after the other; one whose pictures cannot be read is left out."""
    for span in spans:
        rows = [found.track.nearest(t) for t in (span.onset, apex_of(span), span.offset)]
        onset, apex, offset = (int(found.track.frames[row]) for row in rows)
        frames = (onset, apex, offset)
        images = _images(found.video, set(frames))
        if len(images) < len(set(frames)):
            continue
        places = [found.track.landmarks[row] for row in rows]
        matrices = [region_crop(landmarks, size) for landmarks in places]
        crops = [face.crop_face(images[t], matrix, size) for t, matrix in zip(frames, matrices, strict=True)]
        inside = face.transform_points(places[0], matrices[0])
        larger, alpha = magnified(crops[0], crops[1], inside)
        yield Strip(span, frames, np.array(crops), larger, alpha)


def magnified(onset: np.ndarray, apex: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the onset with the motion of the face to the apex enlarged, (S, S, 3) uint8, and how many times: alpha.

    onset, apex : crops (S, S, 3) that follow the head; landmarks : (68, 2) px in the onset.

    The motion is dense optical flow less that of the nose, smoothed, inside the face. Every point of the onset is moved
    alpha times as far as it moves to the apex; alpha is such that the strongest movement gets `SHOWN_U` large, but at
    least 1 and at most `LARGEST_ALPHA`.
    """
    per_u = len(onset) / face.CROP_UNITS
    greys = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (onset, apex)]
    flow = dense_flow(greys[0], greys[1])
    flow = remove_head_motion(flow, nose_shift(flow, landmarks))
    inside = _face_mask(landmarks, len(onset))
    flow = cv2.GaussianBlur(flow, (0, 0), _SMOOTH_U * per_u) * inside[..., None]
    largest_u = float(np.percentile(np.linalg.norm(flow[inside > 0.5], axis=1), 98)) / per_u
    alpha = float(np.clip(SHOWN_U / max(largest_u, 1e-3), 1, LARGEST_ALPHA))
    return _moved(onset, alpha * flow), alpha


def _moved(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return the image with every point moved along a smooth flow (S, S, 2) px."""
    y, x = np.mgrid[0 : len(image), 0 : len(image)].astype(np.float32)
    back = -flow
    for _ in range(4):  # where does what lands here come from?
        back = -cv2.remap(
            flow, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return cv2.remap(
        image, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _face_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Return 1 inside the face, falling to 0 at its rim, (S, S) float32; it ends 40 u above the brows."""
    per_u = size / face.CROP_UNITS
    outline = np.concatenate([landmarks, landmarks[17:27] - (0, 40 * per_u)])
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(outline).astype(np.int32)), 1.0)
    rim = 2 * round(_FADE_U * per_u) + 1
    inner = cv2.erode(mask, np.ones((rim, rim), np.uint8))
    return cv2.GaussianBlur(inner, (0, 0), _FADE_U * per_u / 2)


def _images(video: Video, wanted: set[int]) -> dict[int, np.ndarray]:
    """Return the pictures at some positions of a video that can be read there."""
    if video.media == "frames":
        parts = [iter_frames(video, t, t + 1, grey=False, on_damaged="gap") for t in sorted(wanted)]
    else:  # one search for a key frame, not three
        parts = [iter_frames(video, min(wanted), max(wanted) + 1, grey=False, on_damaged="gap")]
    try:
        return {one.t: one.image for part in parts for one in part if one.t in wanted}
    except FrameError:  # moved away since, for instance
        return {}


# ---------------------------------------------------------------------------------------------------------------------
# How the regions move


def strongest_movements(
    found: Analysis, span: Interval, most: int = 3, least_share: float = 0.5
) -> list[Movement]:
    """Return the places that move most from onset to apex, the strongest first, each once.

    Up to `most` places that move at least `least_share` as far as the strongest.
    """
    shifts = displacements(found.curves, span)
    length = np.nan_to_num(np.linalg.norm(shifts, axis=1))
    leaders: dict[str, int] = {}
    for row in np.argsort(-length, kind="stable"):
        leaders.setdefault(place_name(found.curves.points[row]), int(row))
    return [
        Movement(row, place, (float(shifts[row, 0]), float(shifts[row, 1])), _direction(place, shifts[row]))
        for place, row in list(leaders.items())[:most]
        if length[row] > 0 and length[row] >= least_share * length.max()
    ]


def caricature(found: Analysis, span: Interval, t: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks at the onset, and as they would be at position t if they moved `alpha` times as far.

    Both (68, 2) u in the face crop. A landmark moves as the regions near it do.
    """
    curves = found.curves
    onset, now = (int(np.abs(curves.frames - at).argmin()) for at in (span.onset, t))
    shifts = np.nan_to_num(curves.shifts[now] - curves.shifts[onset])  # (R, 2) u
    in_image = found.track.landmarks[found.track.nearest(span.onset)]
    landmarks = face.transform_points(in_image, region_crop(in_image, round(face.CROP_UNITS)))
    centres = np.array([landmarks[list(points)].mean(axis=0) for points in curves.points])
    distance = np.linalg.norm(landmarks[:, None] - centres, axis=2)
    near = np.exp(-0.5 * (distance / _NEAR_U) ** 2)
    moved = near @ shifts / np.maximum(near.sum(axis=1, keepdims=True), 1.0)  # far from all regions it rests
    return landmarks, landmarks + alpha * moved


def drawn_alpha(found: Analysis, span: Interval) -> float:
    """Return how many times the motion is enlarged in drawings: the largest becomes about `DRAWN_U`."""
    moves = strongest_movements(found, span, most=1)
    return (
        float(np.clip(DRAWN_U / max(np.hypot(*moves[0].shift_u), 1e-3), 1, LARGEST_ALPHA)) if moves else 1.0
    )


def _direction(place: str, shift: np.ndarray) -> str:
    """Return "up", "down and inwards", ...: inwards is towards the middle of the face."""
    x, y = shift
    if place.split()[0] in ("left", "right"):
        inwards = x > 0 if place.startswith("left") else x < 0
        sideways = "inwards" if inwards else "outwards"
    else:
        sideways = "to the right" if x > 0 else "to the left"
    upright = "up" if y < 0 else "down"
    if abs(x) > 2 * abs(y):
        return sideways
    return upright if abs(y) > 2 * abs(x) else f"{upright} and {sideways}"
