"""The inside of an opening mouth."""

from __future__ import annotations

import numpy as np

from mespot_lib.synthetic.brushes import smooth_step
from mespot_lib.synthetic.geometry import FaceShape

_DARK = np.array([26, 24, 52], np.float32)
_TEETH = np.array([164, 182, 194], np.float32)
_GREY_WEIGHTS = np.array([0.114, 0.587, 0.299], np.float32)


def draw_mouth(
    planes: np.ndarray, x: np.ndarray, y: np.ndarray, shape: FaceShape, opening: float, pixel_u: float
) -> None:
    """Draw what shows between the lips into the mouth's box of the image, in place.

    Parameters
    ----------
    planes : (planes, h, w) float32.
    x, y : (h, w), places of the pixels on the unmoved face (u), before the jaw's displacement.
    opening : opening of the mouth in u; at 0 nothing is drawn.
    """
    t = np.clip(np.abs(x) / (0.93 * shape.mouth_half_width), 0, 1)
    lens = (1 - t**2) ** 0.8
    top = shape.mouth_y - 0.2 * opening * lens + 0.4
    bottom = shape.mouth_y + 0.78 * opening * (0.25 + 0.75 * lens) + 0.6
    soft = 0.7 * pixel_u
    inside = smooth_step(-soft, soft, y - top) * smooth_step(-soft, soft, bottom - y) * (t < 1)
    inside = inside * min(1.0, opening / 2)
    row_end = top + min(9.0, 0.55 * opening)
    teeth = (
        smooth_step(0.5, 2.0, y - top)
        * smooth_step(row_end + 0.8, row_end - 0.8, y)
        * smooth_step(0.85, 0.7, t)
    )
    teeth = teeth * smooth_step(1.5, 4.0, opening) * (0.9 - 0.5 * t)
    gaps = 1 - 0.25 * np.exp(-0.5 * ((np.mod(x + 4.5, 9) - 4.5) / 0.8) ** 2)
    for plane, (dark, white) in zip(planes, _tones(len(planes)), strict=True):
        plane += inside * (dark + teeth * (white * gaps - dark) - plane)


def _tones(planes: int) -> list[tuple[float, float]]:
    """Dark and tooth brightness of every plane."""
    if planes == 1:
        return [(float(_DARK @ _GREY_WEIGHTS), float(_TEETH @ _GREY_WEIGHTS))]
    return list(zip(_DARK.tolist(), _TEETH.tolist(), strict=True))
