"""Eyes: the eyeball behind the lids, and lids that open, close, squeeze and widen."""

from __future__ import annotations

import cv2
import numpy as np

from mespot_lib.synthetic.brushes import pink_noise, smooth_step
from mespot_lib.synthetic.geometry import UPPER_LID_SHARE, FaceShape, lid_margins
from mespot_lib.synthetic.look import Look

BALL_SCALE = 3.0  # px per u of the eyeball's texture
BALL_REACH = 48.0  # half width of that texture in u
PUPIL_U = 4.6
REACH_X, ABOVE, BELOW = 44.0, 32.0, 26.0  # the box around an eye's middle in which anything is painted, u


def paint_eyeball(shape: FaceShape, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Paint sclera, iris and pupil: float32 (N, N, 3), the iris in the middle, `BALL_SCALE` px per u."""
    size = int(2 * BALL_REACH * BALL_SCALE)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / BALL_SCALE - BALL_REACH
    x, y = axis[None], axis[:, None]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    veins = pink_noise(rng, (size, size), 1.2, 6)
    image = np.array([202, 208, 218], np.float32) * (0.92 + 0.012 * veins)[..., None]
    image *= (1 - 0.22 * smooth_step(10, 34, radius))[..., None] ** np.array([1.1, 1.1, 0.8], np.float32)
    fibres = 0.14 * np.sin(angle * 13 + rng.uniform(0, 6)) + 0.10 * np.sin(angle * 31 + rng.uniform(0, 6))
    t = radius / shape.iris_radius
    tone = (1 + fibres * smooth_step(0.3, 0.6, t)) * (0.75 + 0.5 * np.exp(-0.5 * ((t - 0.55) / 0.2) ** 2))
    tone = tone * (1 - 0.62 * smooth_step(0.80, 1.0, t)) * (1 + 0.25 * y / shape.iris_radius)
    in_iris = smooth_step(shape.iris_radius + 0.9, shape.iris_radius - 0.9, radius)[..., None]
    image += in_iris * (np.asarray(look.iris, np.float32) * tone[..., None] - image)
    in_pupil = smooth_step(PUPIL_U + 0.5, PUPIL_U - 0.5, radius)[..., None]
    image += in_pupil * (np.float32(14) - image)
    return image.astype(np.float32)


def draw_eye(
    planes: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    ball: np.ndarray,
    shape: FaceShape,
    look: Look,
    side: int,
    opening: float,
    raised: float,
    gaze: np.ndarray,
    pixel_u: float,
) -> None:
    """Draw one eye into its box of the image, in place.

    Parameters
    ----------
    planes : (planes, h, w) float32, the box of the image.
    x, y : (h, w) float32, places of its pixels on the face at rest, in u, x mirrored so that it grows outward.
    ball : eyeball texture (N, N, 3) or (N, N) as prepared for this camera.
    side : -1 left, 1 right half of the image (for the light and the gaze).
    opening, raised : state of the lids, see `lid_margins`.
    gaze : shift (2,) of the iris in u.
    pixel_u : size of a pixel in u: edges are as soft as that.
    """
    along = (x - shape.eye_inner_x) * (1 / (shape.eye_outer_x - shape.eye_inner_x))
    along = np.minimum(np.maximum(along, 0), 1)
    upper, lower = lid_margins(shape, along, opening, raised)
    within = smooth_step(0, 1.2 + pixel_u, np.minimum(x - shape.eye_inner_x, shape.eye_outer_x - x) + 0.6)
    fullness = (4 * along * (1 - along)) ** 0.6
    rest = shape.eye_tilt * along - UPPER_LID_SHARE * shape.eye_height * fullness
    closed = float(np.clip(1 - opening, 0, 1))

    _shade_lids(planes, y, upper, lower, rest, within, fullness, closed, pixel_u)
    aperture = smooth_step(-0.6 * pixel_u, 0.6 * pixel_u, y - upper)
    aperture = aperture * smooth_step(-0.6 * pixel_u, 0.6 * pixel_u, lower - y) * within
    globe = _globe(x, y, ball, shape, look, side, gaze, along, upper, pixel_u)
    planes += aperture * (globe - planes)
    _draw_lashes(planes, y, upper, lower, within, fullness, closed, pixel_u)


def _shade_lids(
    planes: np.ndarray,
    y: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    rest: np.ndarray,
    within: np.ndarray,
    fullness: np.ndarray,
    closed: float,
    pixel_u: float,
) -> None:
    """Crease above the upper lid, the lid's plate, the shadow under the lower lid."""
    crease_y = 0.72 * rest + 0.28 * upper - 4.2 * fullness - 1.2
    width = 1.2 + 0.3 * pixel_u
    crease = np.exp(-0.5 * ((y - crease_y) / width) ** 2) * fullness * within
    plate = smooth_step(-1.5, 1.5, y - crease_y) * smooth_step(-1, 1, upper - y) * within
    under = np.exp(-0.5 * ((y - lower - 3.0) / 1.8) ** 2) * fullness * within
    wet_rim = np.exp(-0.5 * ((y - lower - 0.9) / (0.8 + 0.3 * pixel_u)) ** 2) * fullness * within
    planes *= (1 - 0.30 * (1 - 0.6 * closed) * crease) * (1 + (0.10 * closed - 0.04) * plate)
    planes *= (1 - 0.13 * under) * (1 + 0.10 * (1 - closed) * wet_rim)


def _globe(
    x: np.ndarray,
    y: np.ndarray,
    ball: np.ndarray,
    shape: FaceShape,
    look: Look,
    side: int,
    gaze: np.ndarray,
    along: np.ndarray,
    upper: np.ndarray,
    pixel_u: float,
) -> np.ndarray:
    """Colours (planes, h, w) of what lies behind the lids."""
    centre_x = 0.5 * (shape.eye_inner_x + shape.eye_outer_x) - 0.8 + side * gaze[0]
    centre_y = 0.5 * shape.eye_tilt - 0.13 * shape.eye_height + gaze[1]
    columns = ((x - centre_x) + BALL_REACH) * BALL_SCALE - 0.5
    rows = ((y - centre_y) + BALL_REACH) * BALL_SCALE - 0.5
    globe = cv2.remap(
        ball,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    globe = globe[None] if globe.ndim == 2 else np.moveaxis(globe, 2, 0)
    lid_shadow = 1 - 0.42 * np.exp(np.minimum(upper - y, 0) / 3.4)
    corners = 1 - 0.20 * np.abs(2 * along - 1) ** 2.5
    globe = globe * (lid_shadow * corners * (0.70 + 0.22 * look.ambient + 0.08 * look.skin_tone))
    flesh = 0.75 * np.exp(-0.5 * (((x - shape.eye_inner_x - 1.5) / 2.8) ** 2 + (y / 2.6) ** 2))
    globe = globe + flesh * (_flesh(len(globe)) - globe)
    width = 1.5**2 + 0.15 * pixel_u**2
    glint_x, glint_y = centre_x + side * 7.5 * look.light[0], centre_y - 4.2
    glint = np.exp(-0.5 * ((x - glint_x) ** 2 + (y - glint_y) ** 2) / width)
    return globe + 0.92 * glint * (np.float32(236) - globe)


def _flesh(planes: int) -> np.ndarray:
    """Colour of the inner corner, (planes, 1, 1)."""
    pink = np.array([112, 118, 176], np.float32)
    return (
        pink if planes == 3 else pink @ np.array([0.114, 0.587, 0.299], np.float32) * np.ones(1, np.float32)
    )[:, None, None]


def _draw_lashes(
    planes: np.ndarray,
    y: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    within: np.ndarray,
    fullness: np.ndarray,
    closed: float,
    pixel_u: float,
) -> None:
    thickness = 1.0 + 0.25 * pixel_u
    upper_lashes = (
        np.exp(-0.5 * ((y - upper + 0.7) / thickness) ** 2) * np.minimum(1.3 * fullness, 1) * within
    )
    lower_lashes = np.exp(-0.5 * ((y - lower) / (0.6 + 0.3 * pixel_u)) ** 2) * fullness * within
    planes *= (1 - 0.74 * upper_lashes) * (1 - 0.26 * (1 - 0.5 * closed) * lower_lashes)
