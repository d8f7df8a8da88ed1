"""Head motion as the nose sees it: measured in a flow field and taken out of it.

No facial muscle moves the bridge and tip of the nose much, so what moves there is the head (He 2021, Zhao 2022, Qin
2023). The method corrects translation, not turning.
"""

from typing import Literal

import numpy as np

from mespot_lib.face import CROP_UNITS

NOSE_MARGIN_U = 13.0  # around the box of landmarks 29 and 30, as printed for a 256 px face
TOP_SHARE = 0.7

Statistic = Literal["median", "top_mean"]


def nose_shift(flow: np.ndarray, landmarks: np.ndarray, statistic: Statistic = "median") -> np.ndarray:
    """Return the shift of the nose in a flow field: (2,) float32, x and y in px of the crop.

    flow : (S, S, 2) of a face crop; landmarks : (68, 2) px in that crop.

    `top_mean` is the published statistic, the mean of the 70 % largest vectors. It drops the small vectors of skin
    without texture, but choosing by length also favours noise that points along the motion, so it overstates small
    shifts; a highlight that stays in place or moves on its own pulls it too. The `median` of each component has
    neither fault, and is the default.

    Raises
    ------
    ValueError
        If the nose lies outside the flow field, or for another statistic.
    """
    vectors = _nose_region(flow, landmarks).reshape(-1, 2)
    if statistic == "median":
        return np.median(vectors, axis=0).astype(np.float32)
    if statistic == "top_mean":
        lengths = np.hypot(*vectors.T)
        return (
            vectors[lengths >= np.quantile(lengths, 1 - TOP_SHARE)]
            .mean(axis=0, dtype=np.float64)
            .astype(np.float32)
        )
    raise ValueError(f'statistic is "median" or "top_mean", not {statistic!r}')


def remove_head_motion(flow: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return `flow` (..., 2) less the shift (2,) of the head, in the same unit."""
    return flow - shift.astype(flow.dtype)


def _nose_region(flow: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    height, width = flow.shape[:2]
    margin = NOSE_MARGIN_U * width / CROP_UNITS
    left, top = np.floor(landmarks[29:31].min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(landmarks[29:31].max(axis=0) + margin).astype(int) + 1
    region = flow[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if region.size == 0:
        raise ValueError(
            f"the nose (landmarks 29, 30) lies outside the {width} x {height} px flow field: map the landmarks into "
            "the crop first"
        )
    return region
