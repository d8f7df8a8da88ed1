"""The canvas a face is painted on, and the few brushes used on it.

The canvas is the face at rest, seen from the front: origin in the middle between the inner eye corners, x to the
right of the image, y down, in face units (u). Painting happens at ``PAINT_SCALE`` pixels per u.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

LEFT, RIGHT, TOP, BOTTOM = -200.0, 200.0, -240.0, 268.0  # edges of the canvas, u
PAINT_SCALE = 2.0  # px per u: finer than any camera of the presets, so that hairs stay fine after reduction
_SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 px


def canvas_axes(scale: float = PAINT_SCALE) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, W) and y (H, 1) in u of the pixel centres of a canvas with `scale` px per u, float32."""
    width, height = round((RIGHT - LEFT) * scale), round((BOTTOM - TOP) * scale)
    x = (np.arange(width, dtype=np.float32)[None] + 0.5) / scale + LEFT
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / scale + TOP
    return x.astype(np.float32), y.astype(np.float32)


def smooth_step(start: np.ndarray | float, stop: np.ndarray | float, value: np.ndarray | float) -> np.ndarray:
    """Cubic ramp from 0 at `start` to 1 at `stop` (`start` may be the larger one: the ramp then falls)."""
    t = np.minimum(
        np.maximum((value - start) * (1 / (stop - start)), 0), 1
    )  # np.clip is slow on small arrays
    return t * t * (3 - 2 * t)


def blob(
    x: np.ndarray, y: np.ndarray, centre_x: float, centre_y: float, sigma_x: float, sigma_y: float
) -> np.ndarray:
    """Gaussian of height 1."""
    return np.exp(-0.5 * (((x - centre_x) / sigma_x) ** 2 + ((y - centre_y) / sigma_y) ** 2))


def blob_pair(
    x: np.ndarray, y: np.ndarray, centre_x: float, centre_y: float, sigma_x: float, sigma_y: float
) -> np.ndarray:
    """The same Gaussian on both halves of the face."""
    return blob(np.abs(x), y, centre_x, centre_y, sigma_x, sigma_y)


def pink_noise(
    rng: np.random.Generator, shape: tuple[int, int], exponent: float, lowest: float
) -> np.ndarray:
    """Noise of unit variance whose amplitude falls as 1/f^exponent above `lowest` cycles per canvas, float32."""
    height, width = shape
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width)[None] * width
    radius = np.hypot(rows, columns)
    amplitude = np.where(radius < lowest, 0, 1 / np.maximum(radius, 1) ** exponent)
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(radius.shape))
    noise = np.fft.irfft2(spectrum, s=shape)
    return (noise / noise.std()).astype(np.float32)


def soften(image: np.ndarray, sigma_u: float, scale: float = PAINT_SCALE) -> np.ndarray:
    """Gaussian blur by `sigma_u` face units; wide blurs run on a reduced image."""
    reduction = max(1, int(sigma_u * scale / 4))
    if reduction == 1:
        return cv2.GaussianBlur(image, (0, 0), sigma_u * scale)
    size = (image.shape[1] // reduction, image.shape[0] // reduction)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_u * scale / reduction)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def to_pixels(points_u: np.ndarray) -> np.ndarray:
    """Return points (..., 2) in u as the fixed-point pixel positions that OpenCV's drawing takes."""
    pixels = (np.asarray(points_u, np.float64) - (LEFT, TOP)) * PAINT_SCALE - 0.5
    return np.rint(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def fill_shape(outline_u: np.ndarray) -> np.ndarray:
    """Return the mask (H, W) float32 in [0, 1] of a polygon with corners (N, 2) in u."""
    x, y = canvas_axes()
    mask = np.zeros((y.size, x.size), np.uint8)
    cv2.fillPoly(mask, [to_pixels(outline_u)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask.astype(np.float32) / 255


def draw_strokes(
    layer: np.ndarray,
    strokes_u: np.ndarray,
    colours: np.ndarray,
    thickness_px: int | Sequence[float] | np.ndarray,
) -> None:
    """Draw polylines (N, points, 2) in u onto a uint8 `layer`, each with its colour and thickness, in order.

    On a layer that starts as zeros and whose last channel is drawn with 255 the result is premultiplied colour.
    """
    thickness_px = np.broadcast_to(thickness_px, len(strokes_u))
    for points, colour, thickness in zip(to_pixels(strokes_u), colours, thickness_px, strict=True):
        cv2.polylines(
            layer, [points], False, tuple(map(float, colour)), int(thickness), cv2.LINE_AA, _SUBPIXEL_BITS
        )


def draw_dots(layer: np.ndarray, centres_u: np.ndarray, radii_u: np.ndarray, values: np.ndarray) -> None:
    """Draw filled discs onto a one-channel float32 `layer`."""
    radii = np.rint(np.asarray(radii_u) * PAINT_SCALE * (1 << _SUBPIXEL_BITS)).astype(int)
    for centre, radius, value in zip(to_pixels(centres_u), radii, values, strict=True):
        place = tuple(map(int, centre))
        cv2.circle(layer, place, int(radius), float(value), -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def over(front: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Composite two premultiplied float images (H, W, 4) with alpha in [0, 255]."""
    return front + back * (1 - front[..., 3:] / 255)


def smooth_curve(
    corners_u: np.ndarray | Sequence[tuple[float, float]], closed: bool = False, per_segment: int = 8
) -> np.ndarray:
    """Return a Catmull-Rom curve through points (N, 2), as points (M, 2)."""
    corners = np.asarray(corners_u, float)
    if closed:
        padded = np.concatenate([corners[-1:], corners, corners[:2]])
    else:
        padded = np.concatenate([corners[:1], corners, corners[-1:]])
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None]
    pieces = []
    for before, start, stop, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(
            0.5
            * (
                2 * start
                + (stop - before) * t
                + (2 * before - 5 * start + 4 * stop - after) * t**2
                + (3 * start - before - 3 * stop + after) * t**3
            )
        )
    return np.concatenate(pieces if closed else [*pieces, corners[-1:]])
