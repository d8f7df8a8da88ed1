"""Dense optical flow between two grey images, by three algorithms with one interface.

Convention: `flow[y, x] = (dx, dy)` in px, x to the right and y down, with `first(p) ~ second(p + flow(p))`: a spot that
moves right has positive x flow.

dis        dense inverse search (Kroeger et al. 2016): the default; run down to full resolution with dense patches it is
           the most accurate per cost
farneback  polynomial expansion (Farneback 2003): a few times faster, about half as accurate on small motion, and
           wrong within a few px of the border
tvl1       Zach, Pock and Bischof 2007, see `mespot_lib.features.tvl1`: for papers that use it
"""

import threading
from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np

Method = Literal["dis", "farneback", "tvl1"]

# Below this side length the pyramids of the algorithms are empty, and OpenCV fails without saying why.
MIN_SIDE = 16

_DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_per_thread = threading.local()
_NEW: Any = None  # OpenCV makes the array of the flow itself, which its type stubs do not know


def dense_flow(first: np.ndarray, second: np.ndarray, method: Method = "dis", **settings: Any) -> np.ndarray:
    """Return the motion from `first` to `second`, both (H, W) uint8 grey: (H, W, 2) float32, x and y in px.

    Settings: those of `_dis`, `_farneback` or `_tvl1`, by name.

    Raises
    ------
    ValueError
        If the images are not two grey uint8 images of one size of at least 16 x 16 px, or for an unknown method or
        setting.
    """
    _check_pair(first, second)
    algorithms: dict[str, Any] = {"dis": _dis, "farneback": _farneback, "tvl1": _tvl1}
    if method not in algorithms:
        raise ValueError(f"unknown flow method {method!r}: one of {', '.join(algorithms)}")
    known = algorithms[method].__kwdefaults__
    if unknown := settings.keys() - known.keys():
        raise ValueError(
            f"flow method {method!r} has no setting {', '.join(sorted(unknown))}; it has {', '.join(known)}"
        )
    return algorithms[method](first, second, **settings)


def dense_flows(
    first: np.ndarray, second: np.ndarray, method: Method = "dis", **settings: Any
) -> Iterator[np.ndarray]:
    """Yield the `dense_flow` of each of some pairs, stacks (N, H, W) uint8.

    TV-L1 takes all pairs at once, which is faster, and on a GPU where there is one.
    """
    if method != "tvl1":
        for pair in zip(first, second, strict=True):
            yield dense_flow(*pair, method, **settings)
    elif len(first):
        import torch

        from mespot_lib.features.tvl1 import TvL1Config, tvl1_flow

        _check_pair(first[0], second[0])
        device = "cuda" if torch.cuda.is_available() else "cpu"
        yield from tvl1_flow(first, second, TvL1Config(**settings), device)


def _dis(
    first: np.ndarray,
    second: np.ndarray,
    *,
    preset: str = "medium",
    finest_scale: int = 0,
    patch_stride: int = 2,
) -> np.ndarray:
    """Dense inverse search; `finest_scale` 0 is full resolution, `patch_stride` in px (patches are 8 px wide)."""
    if preset not in _DIS_PRESETS:
        raise ValueError(f"unknown preset {preset!r} of flow method 'dis': one of {', '.join(_DIS_PRESETS)}")
    return _dis_object(preset, finest_scale, patch_stride).calc(first, second, _NEW)


def _dis_object(preset: str, finest_scale: int, patch_stride: int) -> cv2.DISOpticalFlow:
    """Return this thread's object with these settings: it keeps its buffers between calls, so no two may share it."""
    objects = _per_thread.__dict__.setdefault("dis", {})
    key = (preset, finest_scale, patch_stride)
    if key not in objects:
        objects[key] = cv2.DISOpticalFlow.create(_DIS_PRESETS[preset])
        objects[key].setFinestScale(finest_scale)
        objects[key].setPatchStride(patch_stride)
    return objects[key]


def _farneback(
    first: np.ndarray,
    second: np.ndarray,
    *,
    pyr_scale: float = 0.5,
    levels: int = 3,
    winsize: int = 15,
    iterations: int = 5,
    poly_n: int = 7,
    poly_sigma: float = 1.5,
) -> np.ndarray:
    """Farneback's algorithm; the defaults are those of the optical-flow methods of the MEGC challenges."""
    return cv2.calcOpticalFlowFarneback(
        first, second, _NEW, pyr_scale, levels, winsize, iterations, poly_n, poly_sigma, 0
    )


def _tvl1(
    first: np.ndarray,
    second: np.ndarray,
    *,
    lambda_: float = 15.0,
    theta: float = 0.3,
    tau: float = 0.25,
    scales: int = 5,
    warps: int = 5,
    iterations: int = 10,
    dual_steps: int = 2,
    median: bool = False,
    blur_px: float = 0.5,
) -> np.ndarray:
    """TV-L1; the settings are those of `mespot_lib.features.tvl1.TvL1Config`, which takes many pairs at once faster."""
    from mespot_lib.features.tvl1 import TvL1Config, tvl1_flow

    config = TvL1Config(lambda_, theta, tau, scales, warps, iterations, dual_steps, median, blur_px)
    return tvl1_flow(first[None], second[None], config)[0]


def _check_pair(first: np.ndarray, second: np.ndarray) -> None:
    for image in (first, second):
        if image.ndim != 2 or image.dtype != np.uint8:
            raise ValueError(f"flow needs grey uint8 images (H, W), got shape {image.shape} of {image.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"flow needs two images of one size, got {first.shape} and {second.shape}")
    if min(first.shape) < MIN_SIDE:
        raise ValueError(f"flow needs images of at least {MIN_SIDE} x {MIN_SIDE} px, got {first.shape}")
