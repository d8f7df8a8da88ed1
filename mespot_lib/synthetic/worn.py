"""Glasses: they follow the head but not the skin under them."""

from __future__ import annotations

import numpy as np

from mespot_lib.synthetic.brushes import canvas_axes, draw_strokes, fill_shape, smooth_curve
from mespot_lib.synthetic.geometry import SIDES, FaceShape, half_width
from mespot_lib.synthetic.look import Look

_FRAME = {"round": (46, 44, 42), "square": (34, 30, 30), "half rim": (74, 92, 110)}
_THICKNESS_PX = {"round": 4, "square": 6, "half rim": 3}


def paint_glasses(shape: FaceShape, look: Look) -> np.ndarray | None:
    """Paint the glasses of a person who wears some; premultiplied float32 (H, W, 4), or None."""
    if look.glasses == "none":
        return None
    x, y = canvas_axes()
    layer = np.zeros((y.size, x.size, 4), np.float32)
    strokes = np.zeros(layer.shape, np.uint8)
    colour = np.array([[*_FRAME[look.glasses], 255]], np.float32)
    thickness = _THICKNESS_PX[look.glasses]
    for side in SIDES:
        rim = _rim(shape, look.glasses, side)
        _add_lens(layer, rim, x, y)
        visible = rim[: len(rim) // 2 + 1] if look.glasses == "half rim" else np.concatenate([rim, rim[:1]])
        draw_strokes(strokes, visible[None], colour, thickness)
        draw_strokes(strokes, _temple_arm(shape, side)[None], colour, thickness)
    draw_strokes(strokes, _bridge(shape)[None], colour, thickness)
    frame = strokes.astype(np.float32)
    return frame + layer * (1 - frame[..., 3:] / 255)


def _rim(shape: FaceShape, model: str, side: int) -> np.ndarray:
    """Closed outline of one lens, starting at its outer end and running over the top."""
    middle_x, middle_y = 0.5 * (shape.eye_inner_x + shape.eye_outer_x) + 1, 4.0
    half, up, down, power = (41, 33, 37, 2.1) if model == "round" else (44, 27, 30, 3.6)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cosine, sine = np.cos(angle), -np.sin(angle)
    x = np.sign(cosine) * np.abs(cosine) ** (2 / power) * half
    y = np.sign(sine) * np.abs(sine) ** (2 / power) * np.where(sine < 0, up, down)
    return np.stack([side * (middle_x + x), middle_y + y], 1)


def _add_lens(layer: np.ndarray, rim: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Slightly dark glass with a slanted reflection."""
    glass = fill_shape(rim)
    middle_x = rim[:, 0].mean()
    slant = (x - middle_x) + 0.7 * (y - 4)
    gleam = np.exp(-0.5 * ((slant + 16) / 6) ** 2) + 0.6 * np.exp(-0.5 * ((slant + 32) / 3) ** 2)
    alpha = glass * (0.03 + 0.09 * gleam)
    layer[..., :3] += (255 * glass * 0.09 * gleam)[..., None]
    layer[..., 3] += 255 * alpha


def _bridge(shape: FaceShape) -> np.ndarray:
    inner = 0.5 * (shape.eye_inner_x + shape.eye_outer_x) - 41
    return smooth_curve([(-inner, -2), (-0.4 * inner, -8), (0.4 * inner, -8), (inner, -2)])


def _temple_arm(shape: FaceShape, side: int) -> np.ndarray:
    outer = 0.5 * (shape.eye_inner_x + shape.eye_outer_x) + 43
    return np.array([(side * outer, -10), (side * (float(half_width(shape, -8)) + 2), -13)])
