"""The regions of interest of Zhang et al. (2020): squares around landmarks where expressions show.

Eleven squares of 16 x 16 px at a 256 px face stand on the brows, the tip of the nose and the mouth. They are named
after the landmark (dlib's 68 points, 0-based) and grouped by the part of the face. The nose bridge, which no facial
muscle moves much, serves for the head's own motion (`mespot_lib.features.head_motion`).
"""

from collections.abc import Sequence

import numpy as np

from mespot_lib.face import CROP_UNITS

# part of the face -> landmarks; the order is that of the rows of every region x time matrix
GROUPS: dict[str, tuple[int, ...]] = {
    "right brow": (18, 19, 20),
    "left brow": (23, 24, 25),
    "nose tip": (30,),
    "mouth": (48, 51, 54, 57),
}
REGIONS: tuple[int, ...] = tuple(point for points in GROUPS.values() for point in points)
NAMES: tuple[str, ...] = tuple(f"{part} {point}" for part, points in GROUPS.items() for point in points)
HALF_SIZE_U = 8.0


def region_boxes(landmarks: np.ndarray, size: int, points: Sequence[int] = REGIONS) -> np.ndarray:
    """Return the squares as (R, 4) int32 `left, top, right, bottom` in px of a crop; right and bottom are exclusive.

    landmarks : (68, 2) px in the crop; size : edge of the square crop; points : landmarks in the middle of the squares.
    Squares are cut at the border and are never empty: one that lies outside becomes the nearest border pixel.
    """
    half = HALF_SIZE_U * size / CROP_UNITS
    centres = landmarks[list(points)]
    corner = np.clip(np.round(centres - half), 0, size - 1)
    opposite = np.clip(np.round(centres + half), corner + 1, size)
    return np.concatenate([corner, opposite], axis=1).astype(np.int32)


def region_means(field: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the mean of a field (S, S, C) inside each box: (R, C) float32."""
    return np.array([field[t:b, lft:r].mean(axis=(0, 1)) for lft, t, r, b in boxes], dtype=np.float32)
