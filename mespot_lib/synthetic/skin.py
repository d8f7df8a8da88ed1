"""The skin of a face at rest: a height map, the light on it, and its colour."""

from __future__ import annotations

import cv2
import numpy as np

from mespot_lib.synthetic.brushes import (
    PAINT_SCALE,
    blob,
    blob_pair,
    canvas_axes,
    draw_dots,
    fill_shape,
    pink_noise,
    smooth_curve,
    smooth_step,
    soften,
)
from mespot_lib.synthetic.geometry import (
    SIDES,
    FaceShape,
    half_width,
    head_outline,
    lip_edges,
    nasolabial_distance,
)
from mespot_lib.synthetic.look import Look


def paint_skin(shape: FaceShape, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Paint head and ears without hair; premultiplied float32 (H, W, 4), blue-green-red-alpha in [0, 255]."""
    x, y = canvas_axes()
    ears = _ear_mask(shape)
    head = fill_shape(head_outline(shape))
    on_ear = ears * (1 - head)
    height = _height_map(shape, look, rng, x, y) * (1 - on_ear) + _ear_height(shape, x, y) * on_ear
    height = soften(height.astype(np.float32), 0.7)
    image = _albedo(shape, look, rng, x, y) * _illumination(height, look)
    image += _gloss(height, look, shape, x, y)
    image *= _creases(shape, look, x, y)[..., None]
    coverage = soften(np.maximum(head, ears), 0.5)[..., None]
    return np.concatenate([np.clip(image, 0, 255) * coverage, 255 * coverage], 2).astype(np.float32)


def head_depth(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth depth (u) of head and nose, by which a turning head shifts its parts against each other."""
    across = np.clip(1 - (x / (half_width(shape, np.clip(y, -150, shape.chin_y - 25)) + 30)) ** 2, 0, 1)
    nose = blob(x, y, 0, shape.nose_tip_y - 8, 16, 26)
    return 85 * across**0.75 + 16 * nose


# --- height ------------------------------------------------------------------------------------------------


def _height_map(
    shape: FaceShape, look: Look, rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Height (H, W) of the skin toward the camera in u."""
    height = _skull(shape, x, y)
    height = height + _nose(shape, x, y) + _eye_region(shape, look, x, y) + _mouth_region(shape, x, y)
    fold = nasolabial_distance(shape, x, y)
    fold_ends = smooth_step(shape.nose_base_y - 20, shape.nose_base_y + 2, y)
    fold_ends = fold_ends * (1 - smooth_step(shape.mouth_y - 8, shape.mouth_y + 12, y))
    height -= (0.4 + 1.3 * look.age) * np.exp(-0.5 * (fold / 5) ** 2) * fold_ends
    height += 6 * blob_pair(x, y, 66, 50, 28, 24)  # cheekbones
    height += 0.16 * pink_noise(rng, height.shape, 1.7, 6)
    return height


def _skull(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rounded box: flat in front, falling off toward the outline."""
    across = np.clip(np.abs(x) / (np.hypot(half_width(shape, y), 44) + 4), 0, 1)  # the chin is no ridge
    middle = 20.0
    along = np.where(y > middle, (y - middle) / (shape.chin_y + 16 - middle), (middle - y) / (middle + 225))
    return 88 * np.sqrt(1 - across**2.15) * np.sqrt(np.clip(1 - np.abs(along) ** 2.2, 0, 1))


def _nose(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    tip, base, wing = shape.nose_tip_y, shape.nose_base_y, shape.nose_half_width
    along = smooth_step(-22, tip, y)
    ridge = 20 * along * (1 - smooth_step(tip - 2, base + 12, y))
    nose = ridge * np.exp(-0.5 * np.abs(x / (8 + 5 * smooth_step(5, tip, y))) ** 2.0)
    nose = nose + 8 * blob(x, y, 0, tip, 12, 10)
    nose += 8.5 * blob_pair(x, y, 0.64 * wing, base - 9, 7.5, 8)  # wings
    return nose - 1.5 * blob(x, y, 0, base + 16, 4, 9)  # philtrum


def _eye_region(shape: FaceShape, look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    middle = (shape.eye_inner_x + shape.eye_outer_x) / 2
    region = -11 * blob_pair(x, y, middle - 5, -8, 30, 16)
    region += 3.2 * blob_pair(x, y, middle, 0, 24, 12)  # the eyeball bulges under the lids
    region += 4 * blob_pair(x, y, 54, shape.brow_y + 12, 36, 9)  # brow ridge
    region -= (1.2 + 1.8 * look.age) * blob_pair(x, y, 42, 19, 16, 5)  # groove under the eye
    return region + (0.3 + 1.0 * look.age) * blob_pair(x, y, 54, 13, 18, 4)


def _mouth_region(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    upper, parting, lower = lip_edges(shape, x)
    inside = smooth_step(shape.mouth_half_width + 2, shape.mouth_half_width - 10, np.abs(x))
    upper_lip = np.exp(-0.5 * ((y - (upper + parting) / 2) / (0.32 * shape.upper_lip)) ** 2) * inside
    lower_lip = np.exp(-0.5 * ((y - (lower + parting) / 2) / (0.36 * shape.lower_lip)) ** 2) * inside
    region = 1.6 * upper_lip + 3.4 * lower_lip
    region += 6 * blob(x, y, 0, shape.mouth_y, 0.85 * shape.mouth_half_width, 17)  # muzzle
    region -= 4.5 * blob(x, y, 0, shape.mouth_y + shape.lower_lip + 9, 26, 6)  # below the lip
    return region + 6 * blob(x, y, 0, shape.chin_y - 27, 24, 15)


# --- ears --------------------------------------------------------------------------------------------------


def _ear_outline(shape: FaceShape, side: int) -> np.ndarray:
    root = float(half_width(shape, 20)) - 4
    reach = shape.ear_reach + 6
    corners = [(0, -22), (0.55, -34), (0.95, -26), (1.0, -4), (0.8, 24), (0.55, 44), (0.25, 54), (0, 46)]
    return smooth_curve([(side * (root + reach * dx), 6 + dy) for dx, dy in corners], closed=True)


def _ear_mask(shape: FaceShape) -> np.ndarray:
    return np.maximum(*(fill_shape(_ear_outline(shape, side)) for side in SIDES))


def _ear_height(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    root = float(half_width(shape, 20)) - 4
    across = (np.abs(x) - root) / (shape.ear_reach + 6)
    rim = 3.5 * np.exp(-0.5 * ((across - 0.82) / 0.16) ** 2) * smooth_step(58, 30, y)
    shell = -4 * np.exp(-0.5 * (((across - 0.42) / 0.2) ** 2 + ((y - 8) / 20) ** 2))
    return 34 + rim + shell + 2.5 * blob_pair(x, y, root + 8, 48, 6, 8)


# --- light -------------------------------------------------------------------------------------------------


def _normals(height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope (d height / d x, d height / d y) and the z component of the unit normal."""
    slope_y, slope_x = np.gradient(height, 1 / PAINT_SCALE)
    return slope_x, slope_y, 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)


def _illumination(height: np.ndarray, look: Look) -> np.ndarray:
    """Light that leaves the skin (H, W, 3), relative; shadows are warmer because light wanders under the skin."""
    slope_x, slope_y, facing = _normals(height)
    toward = (-slope_x * look.light[0] - slope_y * look.light[1] + look.light[2]) * facing
    wrapped = np.clip((toward + 0.2) / 1.2, 0, None)
    sky = 0.66 + 0.34 * facing + 0.16 * slope_y * facing  # more light from above than from below
    cavity = np.zeros_like(height)
    for sigma, weight in ((5, 0.045), (14, 0.026)):
        cavity += weight * np.clip(soften(height, sigma) - height, 0, 6)
    light = (look.ambient * sky + (1 - look.ambient) * 1.22 * wrapped) * (1 - np.clip(cavity, 0, 0.5))
    light = np.clip(light, 0.05, 1.4)[..., None]
    return light ** np.array([1.22, 1.12, 0.96], np.float32)


def _gloss(height: np.ndarray, look: Look, shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Soft highlights of oily skin, strongest on the nose and the forehead (H, W, 1), grey levels."""
    slope_x, slope_y, facing = _normals(soften(height, 1.2))
    half = np.array([look.light[0] / 2, look.light[1] / 2, (1 + look.light[2]) / 2])
    half /= np.linalg.norm(half)
    mirrored = np.clip((-slope_x * half[0] - slope_y * half[1] + half[2]) * facing, 0, 1)
    oily = 0.45 + 0.8 * blob(x, y, 0, shape.nose_tip_y - 4, 14, 30) + 0.5 * blob(x, y, 0, -85, 60, 26)
    oily = oily + 0.9 * blob(x, y, 0, shape.mouth_y + 6, 26, 5)
    return ((12 + 16 * (1 - look.skin_tone)) * oily * mirrored**26)[..., None]


# --- colour ------------------------------------------------------------------------------------------------


def _albedo(
    shape: FaceShape, look: Look, rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Colour of the skin (H, W, 3) in even light."""
    size = (y.size, x.size)
    flush = 0.55 * blob_pair(x, y, 68, 60, 28, 24) + 0.5 * blob(x, y, 0, shape.nose_tip_y + 4, 19, 15)
    flush = flush + 0.25 * blob(x, y, 0, shape.chin_y - 25, 24, 16) + 0.07 * pink_noise(rng, size, 1.6, 3)
    flush += 0.4 * smooth_step(0, 8, np.abs(x) - half_width(shape, y))  # ears
    shadows = 0.5 * blob_pair(x, y, 46, 14, 20, 9) + 0.35 * blob_pair(x, y, 50, -20, 26, 9)
    texture = 0.020 * pink_noise(rng, size, 1.3, 4) + 0.020 * pink_noise(rng, size, 0.7, 20)
    texture += 0.014 * pink_noise(rng, size, 0.2, 90)
    albedo = np.asarray(look.skin, np.float32) * (1 + texture)[..., None]
    albedo *= 1 - flush[..., None] * np.array([0.15, 0.15, 0.01], np.float32)
    albedo *= 1 - (0.6 + 0.5 * look.age) * shadows[..., None] * np.array([0.10, 0.16, 0.17], np.float32)
    albedo *= 1 - _spots(shape, look, rng, x, y)[..., None] * np.array([1, 0.85, 0.62], np.float32)
    return _lips(albedo, shape, look, rng, x, y)


def _spots(
    shape: FaceShape, look: Look, rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Relative darkening (H, W) by freckles and moles; none where the eyes open."""
    layer = np.zeros((y.size, x.size), np.float32)
    freckles = np.stack(
        [rng.normal(0, 58, look.freckles), rng.normal(45, 60, look.freckles).clip(-95, shape.chin_y - 12)], 1
    )
    draw_dots(layer, freckles, rng.uniform(0.6, 1.5, look.freckles), rng.uniform(0.06, 0.18, look.freckles))
    moles = np.stack([rng.uniform(-100, 100, 6), rng.uniform(-85, shape.chin_y - 25, 6)], 1)
    beside_eyes = (np.abs(moles[:, 1]) > 30) | (np.abs(moles[:, 0]) > 105)
    off_lips = (np.abs(moles[:, 1] - shape.mouth_y) > 24) | (np.abs(moles[:, 0]) > 64)
    moles = moles[beside_eyes & off_lips]
    draw_dots(layer, moles, rng.uniform(1.0, 2.1, len(moles)), rng.uniform(0.25, 0.5, len(moles)))
    return cv2.GaussianBlur(layer, (0, 0), 1.0)


def _lips(
    albedo: np.ndarray, shape: FaceShape, look: Look, rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    upper, parting, lower = lip_edges(shape, x)
    inside = smooth_step(-1.6, 1.2, y - upper) * smooth_step(-1.4, 1.6, lower - y)
    inside = soften((inside * (np.abs(x) < shape.mouth_half_width)).astype(np.float32), 0.9)
    striae = cv2.GaussianBlur(rng.normal(0, 1, (1, x.size)).astype(np.float32), (0, 0), 1.6)
    striae = 1 + 0.05 * striae / striae.std()
    tone = np.where(y < parting, 0.86, 1.0) * striae  # the upper lip is turned away from the light
    strength = (0.86 * inside)[..., None]
    return albedo * (1 - strength) + strength * np.asarray(look.lips, np.float32) * tone[..., None]


def _creases(shape: FaceShape, look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What dark lines leave of the light (H, W): mouth, nostrils, nose wings, wrinkles."""
    _, parting, _ = lip_edges(shape, x)
    t = np.clip(np.abs(x) / shape.mouth_half_width, 0, 1)
    mouth = np.exp(-0.5 * ((y - parting) / (0.9 + 0.8 * (1 - t))) ** 2)
    mouth = soften((mouth * (np.abs(x) < shape.mouth_half_width + 1)).astype(np.float32), 0.5)
    keep = 1 - 0.66 * mouth
    keep *= 1 - 0.25 * blob_pair(x, y, shape.mouth_half_width + 0.5, shape.mouth_y - 1, 3.5, 3)
    keep *= 1 - _nose_creases(shape, x, y)
    keep *= 1 - 0.16 * blob(x, y, 0, shape.mouth_y + shape.lower_lip + 5, 18, 3.5)
    return keep * _wrinkles(shape, look, x, y)


def _nose_creases(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wing, base = shape.nose_half_width, shape.nose_base_y
    distance = np.abs(x) - 0.40 * wing
    nostril = np.exp(-0.5 * ((distance / 5.6) ** 2 + ((y - base + 2 + 0.28 * distance) / 2.9) ** 2) ** 1.5)
    crease_x = wing + 0.5 - 0.012 * (y - base + 8) ** 2 * (y > base - 8)
    crease = np.exp(-0.5 * (((np.abs(x) - crease_x) / 1.8) ** 2 + ((y - base + 8) / 6) ** 2))
    below = blob(x, y, 0, base + 1.5, 0.6 * wing, 2.8)
    return np.clip(0.72 * nostril + 0.22 * crease + 0.20 * below, 0, 0.85)


def _wrinkles(shape: FaceShape, look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    keep = np.ones((y.size, x.size), np.float32)
    for line in range(3):
        wave = y + 72 + 13 * line + 3 * np.cos(x / 40 + line) - 0.0018 * x**2
        keep *= 1 - 0.07 * look.age**1.5 * np.exp(-0.5 * (wave / 1.4) ** 2) * smooth_step(88, 60, np.abs(x))
    feet_x = shape.eye_outer_x + 16
    for line in range(3):
        wave = y - (2 + 7 * line) - (np.abs(x) - feet_x) * 0.35 * (line - 1)
        keep *= 1 - 0.09 * look.age**2 * np.exp(
            -0.5 * (wave / 1.2) ** 2 - 0.5 * ((np.abs(x) - feet_x) / 8) ** 2
        )
    fold = nasolabial_distance(shape, x, y)
    ends = smooth_step(shape.nose_base_y - 18, shape.nose_base_y + 2, y)
    ends = ends * (1 - smooth_step(shape.mouth_y - 8, shape.mouth_y + 8, y))
    keep *= 1 - (0.015 + 0.08 * look.age**1.3) * np.exp(-0.5 * (fold / 2.4) ** 2) * ends
    bag = y - 21 + 0.006 * (np.abs(x) - 52) ** 2
    keep *= 1 - 0.07 * look.age * np.exp(-0.5 * (bag / 1.6) ** 2) * smooth_step(24, 8, np.abs(np.abs(x) - 48))
    return keep
