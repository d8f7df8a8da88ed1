"""Local binary patterns of the registered face, as histograms of overlapping blocks.

    face crop -> each pixel against eight around it: a code 0..255 -> 59 uniform labels -> 6 x 6 blocks -> histograms

A neighbour that is at least as bright as the centre sets its bit (Ojala, Pietikäinen and Mäenpää 2002):

    code(c) = sum_p 2^p [g_p >= g_c],   g_p at c + R (cos 2 pi p / 8, -sin 2 pi p / 8)              (1)
    chi2(P, Q) = sum_b (P_b - Q_b)^2 / (P_b + Q_b)                                                  (2)

A code is *uniform* if its circle of bits changes at most twice; the 58 uniform codes have labels of their own, the
other 198 share one.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mespot_lib.features.cache import cached_of_face
from mespot_lib.features.crops import CropRecipe, crop_stream
from mespot_lib.features.motion import sampling_step
from mespot_lib.manifest import Video

POINTS = 8
_EQUAL = 1e-3  # grey levels: interpolated neighbours on an even surface differ from the centre by rounding


@dataclass(frozen=True)
class LbpRecipe:
    """Settings of `block_patterns`; the part of the cache key that the user chooses.

    rate_hz, size, align, landmarks : as in `CropRecipe`
    radius : of the circle of neighbours, px
    labels : "uniform" (59 of them) or "all" 256 codes
    blocks : per side; overlap : of neighbouring blocks, share of their width and of their height
    """

    rate_hz: float = 30.0
    size: int = 227
    radius: float = 3.0
    labels: Literal["uniform", "all"] = "uniform"
    blocks: int = 6
    overlap: tuple[float, float] = (0.2, 0.3)
    align: Literal["steady", "detected"] = "steady"
    landmarks: str = "auto"


class BlockPatterns(NamedTuple):
    """Histograms of the sampled frames.

    frames : (N,) int64, sampled positions on the frame axis, evenly spaced
    counts : (N, B, L) uint16, pixels per block and label; 0 where no face is seen
    stretch : (N,) int64, only frames of one stretch can be compared; -1 where no face is seen
    """

    frames: np.ndarray
    counts: np.ndarray
    stretch: np.ndarray

    def shares(self) -> np.ndarray:
        """Return the histograms with sum 1, (N, B, L) float32; NaN where no face is seen."""
        total = self.counts.sum(axis=-1, keepdims=True, dtype=np.float32)
        with np.errstate(invalid="ignore"):
            return self.counts / total


def block_patterns(video: Video, recipe: LbpRecipe) -> BlockPatterns:
    """Return the histograms of a video, from the cache or counted now.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    return BlockPatterns(**cached_of_face(video, "lbp", recipe, lambda: _counted(video, recipe)._asdict()))


def _counted(video: Video, recipe: LbpRecipe) -> BlockPatterns:
    step = sampling_step(video.fps, recipe.rate_hz)
    frames = np.arange(0, video.length, step)
    bins = len(uniform_labels()) if recipe.labels == "all" else int(uniform_labels().max()) + 1
    counts = np.zeros((len(frames), recipe.blocks**2, bins), dtype=np.uint16)
    stretch = np.full(len(frames), -1, dtype=np.int64)
    crops = CropRecipe(recipe.rate_hz, recipe.size, recipe.align, recipe.landmarks)
    for t, histograms, number in _histograms(crop_stream(video, crops), recipe):
        counts[t // step], stretch[t // step] = histograms, number
    return BlockPatterns(frames, counts, stretch)


def _histograms(crops: Iterator[tuple], recipe: LbpRecipe) -> Iterator[tuple[int, np.ndarray, int]]:
    for t, crop, stretch in crops:
        # whole grey levels, as in the pictures that are compared in papers
        yield t, pattern_counts(np.rint(crop), recipe), stretch


def pattern_counts(image: np.ndarray, recipe: LbpRecipe) -> np.ndarray:
    """Return how many pixels of each block of an image (S, S) have each label, (B, L) int64."""
    codes = lbp_codes(image, recipe.radius)
    labels = codes if recipe.labels == "all" else uniform_labels()[codes]
    bins = 256 if recipe.labels == "all" else int(uniform_labels().max()) + 1
    places = _block_pixels(codes.shape, recipe.blocks, recipe.overlap)
    numbered = labels.ravel()[places] + bins * np.arange(len(places))[:, None]
    return np.bincount(numbered.ravel(), minlength=bins * len(places)).reshape(-1, bins)


def lbp_codes(image: np.ndarray, radius: float) -> np.ndarray:
    """Return the codes of equation (1), (H - 2m, W - 2m) uint8 with m = ceil(radius); between pixels bilinear."""
    image = np.asarray(image, dtype=np.float32)
    margin = int(np.ceil(radius))
    height, width = (side - 2 * margin for side in image.shape)
    least = image[margin : margin + height, margin : margin + width] - np.float32(_EQUAL)
    codes = np.zeros((height, width), dtype=np.uint8)
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    places = np.round(margin + radius * np.column_stack([-np.sin(angles), np.cos(angles)]), 9)
    for bit, (y, x) in enumerate(places):
        codes |= (_shifted(image, y, x, height, width) >= least).astype(np.uint8) << bit
    return codes


def _shifted(image: np.ndarray, y: float, x: float, height: int, width: int) -> np.ndarray:
    """Return image[i + y, j + x] for i, j of the inner part, bilinear between pixels."""
    top, left = int(np.floor(y)), int(np.floor(x))
    down, right = y - top, x - left
    weights = ((0, 0, (1 - down) * (1 - right)), (0, 1, (1 - down) * right), (1, 0, down * (1 - right)))
    total = np.zeros((height, width), dtype=np.float32)
    for i, j, weight in (*weights, (1, 1, down * right)):
        if weight > 0:
            corner = image[top + i : top + i + height, left + j : left + j + width]
            total += np.float32(weight) * corner
    return total


@functools.cache
def uniform_labels() -> np.ndarray:
    """Return the label of each code, (256,) int64: the 58 uniform ones in order, 58 for all others."""
    bits = (np.arange(256)[:, None] >> np.arange(POINTS)) & 1
    uniform = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    return np.where(uniform, np.cumsum(uniform) - 1, uniform.sum())


@functools.lru_cache(maxsize=8)
def _block_pixels(shape: tuple[int, int], blocks: int, overlap: tuple[float, float]) -> np.ndarray:
    """Return the flat positions of the pixels of each block, (B, P), row by row of blocks."""
    across, down = overlap
    rows, columns = (_spans(side, blocks, part) for side, part in zip(shape, (down, across), strict=True))
    grid = rows[:, None, :, None] * shape[1] + columns[None, :, None, :]
    return grid.reshape(blocks**2, -1)


def _spans(side: int, blocks: int, overlap: float) -> np.ndarray:
    """Return the positions of equal spans that overlap by a share and cover a side: (blocks, length)."""
    length = side / (blocks - (blocks - 1) * overlap)
    starts = np.round(np.arange(blocks) * length * (1 - overlap)).astype(np.int64)
    return starts[:, None] + np.arange(int(min(np.ceil(length), side - starts[-1])))


def chi_square(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return equation (2) of histograms (..., L): (...), 0 for equal ones, 2 for disjoint ones of sum 1."""
    total = first + second
    return np.divide((first - second) ** 2, total, out=np.zeros_like(total), where=total != 0).sum(axis=-1)
