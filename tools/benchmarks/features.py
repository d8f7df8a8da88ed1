"""What is measured of a face: contrast, flow by three algorithms, patterns; and what the cache saves."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from benchmarks import material
from benchmarks.measure import Case, Growth, apart
from mespot_lib.features.accuracy import moved_faces
from mespot_lib.features.crops import CropRecipe, face_crops
from mespot_lib.features.face_flow import FaceFlowRecipe, face_flow
from mespot_lib.features.flow import dense_flow, dense_flows
from mespot_lib.features.lbp import LbpRecipe, pattern_counts
from mespot_lib.features.lcn import lcn
from mespot_lib.features.maximal_difference import DifferenceRecipe, stream_differences
from mespot_lib.manifest import Video

_SIDE = 112
_PEAKS_PX = (0.1, 0.3, 1.0, 3.0)


def contrast(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of local contrast and of patterns."""
    small = np.random.default_rng(0).integers(0, 256, (16, 16) if tiny else (48, 48)).astype(np.uint8)
    yield Case(
        "lcn",
        f"local contrast normalisation of a picture of {len(small)} x {len(small)} px, sigma 4",
        "picture",
        1,
        ours=lambda: lcn(small, 4.0),
        beside="two loops over the pixels, a window of numpy at each",
        theirs=lambda: lcn_by_loops(small, 4.0),
        same=lambda a, b: np.allclose(a, b, atol=1e-4),
    )
    picture = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 60, (227, 227)), (0, 0), 2)
    picture = picture.clip(0, 255).astype(np.uint8)
    recipe = LbpRecipe()
    yield Case(
        "lbp",
        "histograms of uniform local binary patterns in 36 blocks, 227 px",
        "picture",
        1,
        ours=lambda: pattern_counts(picture, recipe),
        beside="scikit-image's local_binary_pattern and numpy.histogram for each block",
        theirs=lambda: lbp_by_scikit_image(picture, recipe),
    )
    crops = list(swaying(30 if tiny else 60, _SIDE))
    differences = DifferenceRecipe(size=_SIDE)
    yield Case(
        "mdmd",
        "main-direction differences over two lags, 112 px",
        "frame",
        len(crops),
        ours=lambda: list(stream_differences(crops, [4, 9], differences)),
        beside="the same flow, the blocks in Python loops",
        theirs=lambda: mdmd_by_loops(crops, [4, 9], differences),
        limit_is="the flow alone",
        limit=lambda: mdmd_by_loops(crops, [4, 9], differences, blocks=False),
        same=lambda a, b: all(np.allclose(one[2], other, atol=1e-3) for one, other in zip(a, b, strict=True)),
    )


def flow(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of dense flow."""
    from skimage.registration import optical_flow_ilk, optical_flow_tvl1

    peaks = (_PEAKS_PX * 16)[: 2 if tiny else 8]
    first, second, _ = moved_faces(peaks, size=_SIDE)
    scaled = [(a / np.float32(255), b / np.float32(255)) for a, b in zip(first, second, strict=True)]
    some = {"unit": "pair", "count": len(peaks)}

    def by_scikit_image(algorithm: Callable) -> Callable[[], list[np.ndarray]]:
        return lambda: [algorithm(a, b) for a, b in scaled]

    yield Case(
        "flow_dis",
        "DIS flow of pairs of 112 px, down to full resolution",
        **some,
        ours=lambda: list(dense_flows(first, second, "dis")),
        beside="an algorithm made anew for every pair",
        theirs=lambda: [fresh_dis().calc(a, b, None) for a, b in zip(first, second, strict=True)],
        limit_is="OpenCV's own loop",
        limit=lambda: bare_dis(first, second),
        same=np.array_equal,
    )
    yield Case(
        "flow_dis_scikit_image",
        "DIS flow of pairs of 112 px, down to full resolution",
        **some,
        ours=lambda: list(dense_flows(first, second, "dis")),
        beside="scikit-image's optical_flow_ilk",
        theirs=by_scikit_image(optical_flow_ilk),
    )
    yield Case(
        "flow_farneback",
        "Farneback's flow of pairs of 112 px",
        **some,
        ours=lambda: list(dense_flows(first, second, "farneback")),
        beside="scikit-image's optical_flow_ilk",
        theirs=by_scikit_image(optical_flow_ilk),
    )
    yield Case(
        "flow_tvl1",
        "TV-L1 flow of pairs of 112 px",
        **some,
        ours=lambda: list(dense_flows(first, second, "tvl1")),
        beside="scikit-image's optical_flow_tvl1",
        theirs=by_scikit_image(optical_flow_tvl1),
        goal=5.0,
    )
    large = [side[: 1 if tiny else 2] for side in moved_faces(_PEAKS_PX, size=2 * _SIDE)[:2]]
    yield Case(
        "flow_tvl1_224",
        "TV-L1 flow of pairs of 224 px",
        "pair",
        len(large[0]),
        ours=lambda: list(dense_flows(*large, "tvl1")),
        beside="scikit-image's optical_flow_tvl1",
        theirs=lambda: [
            optical_flow_tvl1(*(side / np.float32(255) for side in pair)) for pair in zip(*large, strict=True)
        ],
        goal=5.0,
    )
    yield Case(
        "flow_tvl1_pairs",
        "TV-L1 flow of pairs of 112 px, many at a time",
        **some,
        ours=lambda: list(dense_flows(first, second, "tvl1")),
        beside="the same, pair by pair",
        theirs=lambda: [dense_flow(a, b, "tvl1") for a, b in zip(first, second, strict=True)],
        same=lambda a, b: np.allclose(a, b, atol=1e-3),
    )


def cache(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of what is kept of a video."""
    manifest = material.drawn(place)
    video = manifest.video(manifest.uids[0])
    recipes = {"face_crops": (face_crops, CropRecipe()), "face_flow": (face_flow, FaceFlowRecipe())}
    for name, (feature, recipe) in recipes.items():
        apart(lambda feature=feature, recipe=recipe: [feature(video, recipe), None][1])  # measured once
        yield Case(
            f"cache_{name}",
            f"{name.replace('_', ' ')} of a video that have been measured before, read in full",
            "frame",
            video.length,
            ours=lambda feature=feature, recipe=recipe: read(feature, video, recipe),
            beside="measuring them",
            theirs=lambda feature=feature, recipe=recipe: anew(feature, video, recipe),
            same=lambda a, b: all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)),
            goal=20.0,
        )


def read(feature: Callable, video: Video, recipe: object) -> list[np.ndarray]:
    """Return the arrays of a feature in memory: those of the cache are only mapped."""
    return [np.array(one) for one in feature(video, recipe)]


def anew(feature: Callable, video: Video, recipe: object) -> list[np.ndarray]:
    """Return the arrays of a feature with nothing in the cache."""
    with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, MESPOT_CACHE=empty):
        return read(feature, video, recipe)


def lcn_by_loops(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return the local contrast of a picture, one pixel after the other."""
    above = image - by_windows(image.astype(float), sigma)
    deviation = np.sqrt(by_windows(above**2, sigma))
    return above / np.maximum(deviation, deviation.mean())


def by_windows(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return the weighted mean around every pixel."""
    reach = round(4 * sigma)
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = np.outer(line, line) / line.sum() ** 2
    padded, mean = np.pad(image, reach, mode="symmetric"), np.empty_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            mean[y, x] = (weights * padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1]).sum()
    return mean


def lbp_by_scikit_image(image: np.ndarray, recipe: LbpRecipe) -> np.ndarray:
    """Return histograms (B, 59) of blocks that do not overlap: a user's few lines, a little less work than ours."""
    from skimage.feature import local_binary_pattern

    codes = local_binary_pattern(image, 8, recipe.radius, method="nri_uniform")
    side = len(image) // recipe.blocks
    return np.stack(
        [
            np.histogram(codes[y : y + side, x : x + side], bins=59, range=(0, 59))[0]
            for y in range(0, side * recipe.blocks, side)
            for x in range(0, side * recipe.blocks, side)
        ]
    )


def swaying(frames: int, size: int) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield (t, crop, stretch) of a texture that sways by some 2 px."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (size, size)), (0, 0), 3)
    texture = (128 + 60 * texture / texture.std()).clip(0, 255).astype(np.float32)
    for t in range(frames):
        matrix = np.array([[1, 0, 2 * np.sin(t / 5)], [0, 1, np.cos(t / 7)]])
        moved = cv2.warpAffine(texture, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
        yield t, np.rint(moved), 0


def mdmd_by_loops(
    crops: list[tuple[int, np.ndarray, int]], lags: list[int], recipe: DifferenceRecipe, blocks: bool = True
) -> list[np.ndarray]:
    """Return the differences of every frame and lag in the order of the frames, blocks one by one."""
    grey = [np.rint(crop).astype(np.uint8) for _, crop, _ in crops]
    found = []
    for t, tail in enumerate(grey):
        for lag in lags:
            if t < 2 * lag:
                continue
            head, current = grey[t - 2 * lag], grey[t - lag]
            flows = [
                dense_flow(head, other, recipe.flow, **recipe.flow_settings) for other in (current, tail)
            ]
            found.append(_differences(*flows, recipe) if blocks else np.empty(0))
    return found


def _differences(to_current: np.ndarray, to_tail: np.ndarray, recipe: DifferenceRecipe) -> np.ndarray:
    side = len(to_current) // recipe.blocks
    found = []
    for y in range(0, side * recipe.blocks, side):
        for x in range(0, side * recipe.blocks, side):
            directions: dict[int, list[float]] = {}
            pairs = zip(
                to_current[y : y + side, x : x + side].reshape(-1, 2).tolist(),
                to_tail[y : y + side, x : x + side].reshape(-1, 2).tolist(),
                strict=True,
            )
            for (ax, ay), (bx, by) in pairs:
                gain = (ax**2 + ay**2) ** 0.5 - (bx**2 + by**2) ** 0.5
                directions.setdefault((ax < 0) + 2 * (ay < 0), []).append(gain)
            most = max(sorted(directions), key=lambda d: len(directions[d]))
            gains = sorted(directions[most], reverse=True)
            third = max(1, (2 * len(gains) + 3) // 6)
            found.append(sum(gains[:third]) / third)
    return np.array(found) * (256 / recipe.size)


def fresh_dis() -> cv2.DISOpticalFlow:
    """Return a new algorithm with the settings of `dense_flow`."""
    algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    algorithm.setFinestScale(0)
    algorithm.setPatchStride(2)
    return algorithm


def bare_dis(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Return the flow of pairs by one algorithm that is called by nobody else."""
    algorithm = fresh_dis()
    return [algorithm.calc(a, b, None) for a, b in zip(first, second, strict=True)]
