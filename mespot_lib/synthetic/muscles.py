"""Facial action units as displacement fields and furrows of the face at rest.

An action unit moves the skin by a sum of Gaussian blobs, scaled so that an amplitude of 1 means a largest
displacement of 1 u. Displacement is defined inversely: what is seen at q was at q - D(q) in the face at rest. A
landmark P therefore moves to the solution of q = P + D(q), which exists and is unique while the gradient of D has a
norm below 1; `AMPLITUDE_LIMIT_U` keeps it below 0.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from mespot_lib.synthetic.brushes import smooth_step
from mespot_lib.synthetic.geometry import SIDES, FaceShape, nasolabial_distance

ACTION_UNITS = ("1", "2", "4", "5", "6", "7", "9", "10", "12", "14", "15", "17", "24")

# Largest displacement of one action unit in u. Narrow blobs have steep gradients (per u: 24 .11, 7 .10, 4 .06,
# 1 and 2 .05, others up to .04), so they get a lower limit.
AMPLITUDE_LIMIT_U = {"24": 5.0, "7": 6.0, "4": 10.0, "1": 11.0, "2": 11.0, "6": 9.0, "9": 9.0, "10": 9.0}
LIMIT_U = 14.0

# These close muscles tire sooner: their share of the amplitude of the expression they take part in.
RELATIVE_STRENGTH = {"6": 0.7, "7": 0.7, "9": 0.7, "10": 0.7, "14": 0.7, "24": 0.7}

FIELD_STEP = 4.0  # u between nodes of the displacement grid; the narrowest blob has sigma 9 u
FIELD_LEFT, FIELD_RIGHT, FIELD_TOP, FIELD_BOTTOM = -164.0, 164.0, -144.0, 264.0
FURROW_STEP = 2.0  # u between nodes of the furrow grid
FURROW_DEPTH = 0.028  # relative darkening per u of amplitude at the middle of a furrow
DEEPEST_FURROW = 0.42


class Blob(NamedTuple):
    """Gaussian push: centre and sigmas (u) on the right half of the image, direction (unit-free)."""

    x: float
    y: float
    sigma_x: float
    sigma_y: float
    toward_x: float
    toward_y: float


BLOBS: dict[str, tuple[Blob, ...]] = {
    "1": (Blob(28, -44, 24, 24, 0, -1),),
    "2": (Blob(84, -46, 28, 26, 0.12, -1),),
    "4": (Blob(32, -40, 30, 22, -0.62, 0.78),),
    "5": (),  # moves the upper lid only
    "6": (Blob(76, 52, 34, 26, -0.05, -0.9),),
    "7": (Blob(60, 20, 26, 11, 0, -0.55),),
    "9": (Blob(20, 52, 17, 28, 0.05, -1),),
    "10": (Blob(24, 118, 24, 18, 0, -1),),
    "12": (Blob(54, 136, 34, 30, 0.75, -0.66), Blob(78, 88, 36, 32, 0.2, -0.4)),
    "14": (Blob(56, 136, 22, 20, 0.95, -0.1),),
    "15": (Blob(52, 142, 24, 24, 0.15, 1),),
    "17": (Blob(12, 186, 30, 20, 0, -1), Blob(14, 154, 30, 12, 0, -0.5)),
    "24": (Blob(16, 124, 34, 9, 0, 0.7), Blob(16, 150, 34, 9, 0, -0.8)),
}


def column(action_unit: str, side: int) -> int:
    """Return the column of an action unit on one side (-1 or 1) in arrays of amplitudes (frames, columns)."""
    return ACTION_UNITS.index(action_unit) * 2 + SIDES.index(side)


COLUMNS = 2 * len(ACTION_UNITS)


def amplitude_limits() -> np.ndarray:
    """Return the largest amplitude of every column (COLUMNS,), u."""
    return np.repeat([AMPLITUDE_LIMIT_U.get(au, LIMIT_U) for au in ACTION_UNITS], 2)


@dataclass(frozen=True)
class Muscles:
    """Displacement and furrows of one face.

    Attributes
    ----------
    displacement : float32 (COLUMNS + 1, rows * columns * 2), u per u of amplitude; the last row is the jaw,
        per u of mouth opening.
    furrows : per column the place on the furrow grid (two slices) and the relative darkening per u there, or
        None.
    """

    displacement: np.ndarray
    furrows: tuple[tuple[tuple[slice, slice], np.ndarray] | None, ...]

    def field(self, amplitudes: np.ndarray, mouth: float) -> np.ndarray:
        """Return the displacement field (rows, columns, 2) in u for amplitudes (COLUMNS,) and a mouth opening."""
        weights = np.append(amplitudes, mouth).astype(np.float32)
        return (weights @ self.displacement).reshape(*FIELD_SHAPE, 2)

    def shade(self, amplitudes: np.ndarray) -> np.ndarray:
        """Return what the furrows leave of the light (rows, columns) on the furrow grid, float32 around 1."""
        depth = np.zeros(FURROW_SHAPE, np.float32)
        for amplitude, furrow in zip(amplitudes, self.furrows, strict=True):
            if furrow is not None:
                place, darkening = furrow
                depth[place] += np.float32(amplitude) * darkening
        return 1 - np.clip(depth, -0.08, DEEPEST_FURROW)


def _axes(step: float) -> tuple[np.ndarray, np.ndarray]:
    x = np.arange(FIELD_LEFT, FIELD_RIGHT + step / 2, step, dtype=np.float32)[None]
    y = np.arange(FIELD_TOP, FIELD_BOTTOM + step / 2, step, dtype=np.float32)[:, None]
    return x, y


FIELD_SHAPE = (_axes(FIELD_STEP)[1].size, _axes(FIELD_STEP)[0].size)
FURROW_SHAPE = (_axes(FURROW_STEP)[1].size, _axes(FURROW_STEP)[0].size)


def look_up(grid: np.ndarray, x: np.ndarray, y: np.ndarray, step: float) -> np.ndarray:
    """Read a grid of this module bilinearly at the places x, y (u, float32 2-d); constant beyond its edges."""
    columns = (x - np.float32(FIELD_LEFT)) * np.float32(1 / step)
    rows = (y - np.float32(FIELD_TOP)) * np.float32(1 / step)
    return cv2.remap(grid, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def make_muscles(shape: FaceShape, rng: np.random.Generator) -> Muscles:
    """Lay the muscles under a face; centres and widths vary a little from person to person and side to side."""
    x, y = _axes(FIELD_STEP)
    furrow_x, furrow_y = _axes(FURROW_STEP)
    rows, furrows = [], []
    for action_unit in ACTION_UNITS:
        for side in SIDES:
            shift = rng.normal(0, 2.5, 2).clip(-5, 5)
            width = np.exp(rng.normal(0, 0.08, 2)).clip(0.86, 1.2)
            rows.append(_displacement(action_unit, side, shape, shift, width, x, y))
            darkening = _furrows(action_unit, side, shape, furrow_x, furrow_y)
            furrows.append(None if darkening is None else _cut_out(darkening * FURROW_DEPTH))
    rows.append(_jaw_drop(shape, x, y))
    return Muscles(np.ascontiguousarray([row.ravel() for row in rows], np.float32), tuple(furrows))


def _displacement(
    action_unit: str,
    side: int,
    shape: FaceShape,
    shift: np.ndarray,
    width: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    """Field (rows, columns, 2) of one action unit on one side, largest displacement 1 u."""
    field = np.zeros((y.size, x.size, 2), np.float32)
    for push in BLOBS[action_unit]:
        centre_x, centre_y = _adapted_centre(push, shape)
        strength = np.exp(
            -0.5
            * (
                ((x - side * centre_x - shift[0]) / (push.sigma_x * width[0])) ** 2
                + ((y - centre_y - shift[1]) / (push.sigma_y * width[1])) ** 2
            )
        )
        # The two sides share the midline, so that both together reach no further than one of them.
        strength = strength * smooth_step(-12, 12, x * side)
        field[..., 0] += side * push.toward_x * strength
        field[..., 1] += push.toward_y * strength
    # Skin slides over the eyeball's surroundings, the eye itself is not dragged along.
    eye_stays = smooth_step(-8, -30, y) if action_unit in ("1", "2", "4") else smooth_step(4, 18, y)
    field *= eye_stays[..., None]
    field *= _edge_fade(x, y)[..., None]
    largest = np.hypot(field[..., 0], field[..., 1]).max()
    return field / largest if largest > 0 else field


def _adapted_centre(push: Blob, shape: FaceShape) -> tuple[float, float]:
    """Move a blob with the feature it belongs to."""
    if push.y > 105:
        return push.x * shape.mouth_half_width / 50, push.y + shape.mouth_y - 137
    if push.y < -30:
        return push.x, push.y + shape.brow_y + 45
    return push.x, push.y


def _edge_fade(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 inside, 0 at the edges of the grid, so that nothing beyond them jumps."""
    sides = smooth_step(FIELD_RIGHT, FIELD_RIGHT - 30, np.abs(x))
    return sides * smooth_step(FIELD_TOP, FIELD_TOP + 24, y) * smooth_step(FIELD_BOTTOM, FIELD_BOTTOM - 24, y)


def _jaw_drop(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Field (rows, columns, 2) of the opening mouth per u of opening: the jaw falls, the upper lip rises a bit."""
    field = np.zeros((y.size, x.size, 2), np.float32)
    below = smooth_step(shape.mouth_y - 6, shape.mouth_y + 10, y) * np.clip(1 - (np.abs(x) / 125) ** 2, 0, 1)
    fades = 1 - smooth_step(shape.chin_y - 35, shape.chin_y + 45, y)
    upper_lip = np.exp(
        -0.5 * (((y - shape.mouth_y + 8) / 10) ** 2 + (x / (0.7 * shape.mouth_half_width)) ** 2)
    )
    field[..., 1] = 0.8 * below * (0.25 + 0.75 * fades) * _edge_fade(x, y)
    field[..., 1] -= 0.2 * upper_lip * smooth_step(shape.mouth_y + 8, shape.mouth_y - 6, y)
    return field


def _cut_out(darkening: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
    """Keep the box of a furrow map in which anything is visible."""
    visible = np.abs(darkening) > 1e-4
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    place = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return place, np.ascontiguousarray(darkening[place], np.float32)


def _line(distance: np.ndarray, sigma: float = 2.8) -> np.ndarray:
    """A furrow seen from above: dark valley with a faint bright rim."""
    valley = np.exp(-0.5 * (distance / sigma) ** 2)
    return valley - 0.25 * np.exp(-0.5 * (distance / (2.2 * sigma)) ** 2)


def _furrows(
    action_unit: str, side: int, shape: FaceShape, x: np.ndarray, y: np.ndarray
) -> np.ndarray | None:
    """Relative depth (rows, columns) of the furrows of one action unit on one side, or None if it has none."""
    near = x * side  # distance from the midline toward this side
    if action_unit in ("1", "2"):
        middle = 25 if action_unit == "1" else 75
        lines = sum(_line(y - (-74 - 13 * k + 0.002 * (near - 45) ** 2)) for k in range(3))
        return 0.7 * lines * np.exp(-0.5 * ((near - middle) / 28) ** 2)
    if action_unit == "4":
        return _line(near - 9 - 0.08 * (y + 40)) * np.exp(-0.5 * ((y + 36) / 15) ** 2)
    if action_unit == "9":
        folds = _line(y - 10 - 0.3 * np.abs(x)) + 0.6 * _line(y - 20 - 0.3 * np.abs(x))
        return folds * np.exp(-0.5 * (x / 14) ** 2) * (near > 0)
    if action_unit == "6":
        feet = sum(_line(y - (4 + 9 * k) - (near - 104) * 0.35 * (k - 1), 2.4) for k in range(3))
        cheek = np.exp(-0.5 * (((near - 70) / 26) ** 2 + ((y - 44) / 14) ** 2))
        return feet * np.exp(-0.5 * ((near - 108) / 10) ** 2) - 0.25 * cheek
    if action_unit in ("10", "12"):
        fold = _line(nasolabial_distance(shape, x, y), 3.2)
        ends = smooth_step(shape.nose_base_y - 18, shape.nose_base_y - 2, y)
        ends = ends * smooth_step(shape.mouth_y + 8, shape.mouth_y - 8, y)
        return fold * ends * (near > 0)
    if action_unit == "14":
        corner = shape.mouth_half_width + 9
        return np.exp(-0.5 * (((near - corner) / 3.8) ** 2 + ((y - shape.mouth_y) / 7) ** 2))
    if action_unit == "15":
        return _line(near - shape.mouth_half_width - 3, 3) * np.exp(
            -0.5 * ((y - shape.mouth_y - 12) / 9) ** 2
        )
    if action_unit == "17":
        return 0.5 * np.exp(-0.5 * ((x / 22) ** 2 + ((y - shape.mouth_y - shape.lower_lip - 12) / 4) ** 2))
    return None


def sample_on_grid(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Return `function(x, y)` on the nodes of the displacement grid (rows, columns), float32."""
    x, y = _axes(FIELD_STEP)
    return np.ascontiguousarray(np.broadcast_to(function(x, y), FIELD_SHAPE), np.float32)
