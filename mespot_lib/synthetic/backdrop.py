"""What stays still behind a moving head: the wall, the neck and the clothes."""

from __future__ import annotations

import numpy as np

from mespot_lib.synthetic.brushes import pink_noise, smooth_step
from mespot_lib.synthetic.geometry import FaceShape, half_width
from mespot_lib.synthetic.look import Look


def paint_backdrop(
    shape: FaceShape, look: Look, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Paint wall, neck and clothes; float32 (H, W, 3) in [0, 255].

    Parameters
    ----------
    x, y : (1, W) and (H, 1), places of the camera's pixels in u.
    rng : generator of the backdrop of this video.
    """
    image = _wall(x, y, rng)
    neck_half = 0.66 * float(half_width(shape, shape.chin_y - 60)) * (0.92 + 0.12 * look.masculinity)
    neck = _neck_mask(shape, neck_half, x, y)[..., None]
    image = image * (1 - neck) + _neck_colour(shape, look, neck_half, x, y) * neck
    clothes = _clothes_mask(shape, neck_half, x, y, rng)[..., None]
    return (image * (1 - clothes) + _clothes_colour(look, x, y, rng) * clothes).astype(np.float32)


def _wall(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tone = rng.uniform(85, 195) + rng.normal(0, 7, 3)
    lean = rng.uniform(-0.12, 0.12, 2)
    light = 1 + lean[0] * x / 200 + lean[1] * y / 230
    vignette = 1 - 0.12 * ((x / 260) ** 2 + (y / 280) ** 2)
    unevenness = (
        1 + 0.015 * pink_noise(rng, light.shape, 1.6, 1) + 0.006 * pink_noise(rng, light.shape, 0.6, 6)
    )
    return tone * (light * vignette * unevenness)[..., None]


def _neck_mask(shape: FaceShape, neck_half: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Neck that widens toward the shoulders."""
    widening = np.clip((y - shape.chin_y + 10) / 60, 0, 2) ** 2 * 22
    return smooth_step(3, -3, np.abs(x) - neck_half - widening) * (y > 80)


def _neck_colour(shape: FaceShape, look: Look, neck_half: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    round_shading = 0.50 + 0.22 * np.sqrt(np.clip(1 - (x / (1.25 * neck_half)) ** 2, 0, 1))
    sideways = 1 + 0.18 * look.light[0] * x / neck_half
    below_chin = 1 - 0.42 * np.exp(-np.clip(y - shape.chin_y + 4, 0, None) / 24)
    tendons = 1 - 0.05 * np.exp(-0.5 * ((np.abs(x) - 0.35 * neck_half) / 6) ** 2)
    light = round_shading * sideways * below_chin * tendons
    return np.asarray(look.skin) * light[..., None] ** np.array([1.2, 1.1, 0.95])


def _clothes_mask(
    shape: FaceShape, neck_half: float, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Shoulders with a round or a pointed neckline."""
    shoulder_y = shape.chin_y + 16 + 0.30 * np.clip(np.abs(x) - neck_half, 0, None)
    depth = rng.uniform(14, 26)
    pointed = rng.random() < 0.35
    across = np.clip(1 - (np.abs(x) / (neck_half + 8)) ** (1.0 if pointed else 2.2), 0, 1)
    return smooth_step(-2, 2, y - shoulder_y - depth * across)


def _clothes_colour(look: Look, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colour = rng.uniform(25, 150, 3) * rng.uniform(0.7, 1.1)
    weave = 1 + 0.05 * pink_noise(rng, (y.size, x.size), 0.8, 4)
    folds = 1 + 0.06 * np.sin(x / 17 + 3 * np.sin(y / 40) + rng.uniform(0, 6))
    light = 0.85 + 0.15 * look.light[0] * np.sign(x) * np.clip(np.abs(x) / 150, 0, 1)
    return colour * (weave * folds * light)[..., None]
