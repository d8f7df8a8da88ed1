"""Main directional maximal difference: how much more a block of the face moves half-way than at the end.

    three frames k apart: head, current, tail -> flow head -> current, and head -> tail -> 6 x 6 blocks -> differences

What leaves a place and returns to it is far away in the middle and near at the end; what stays away is not. Per block,
of the flow vectors h -> c the quadrant with the most vectors is the main direction M, and (Wang et al. 2017)

    d = mean of the largest third of  { |v_hc(x)| - |v_ht(x)| :  v_hc(x) in M }                      (1)

The two flows begin in the same frame, so both vectors at x belong to the same bit of skin.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_of_face
from mespot_lib.features.crops import CropRecipe, crop_stream
from mespot_lib.features.flow import Method, dense_flow
from mespot_lib.features.motion import sampling_step
from mespot_lib.manifest import Video


@dataclass(frozen=True)
class DifferenceRecipe:
    """Settings of `maximal_differences`; the part of the cache key that the user chooses.

    lags_s : seconds k between head and current frame, and between current and tail frame; several are measured in one
        pass
    rate_hz, size, align, landmarks : as in `CropRecipe`; crops that stand still have no motion of the head in them
    blocks : per side
    directions : 4 quadrants as in the paper, or 2 as in the released program, whose angle is atan(u / v): opposite
        directions are then one
    flow, flow_settings : of `dense_flow`
    """

    lags_s: tuple[float, ...] = (0.4,)
    rate_hz: float = 30.0
    size: int = 227
    blocks: int = 6
    directions: Literal[4, 2] = 4
    align: Literal["steady", "detected"] = "steady"
    landmarks: str = "auto"
    flow: Method = "dis"
    flow_settings: dict[str, Any] = field(default_factory=lambda: {"finest_scale": 1, "patch_stride": 3})


class Differences(NamedTuple):
    """Differences of the sampled frames.

    frames : (N,) int64, sampled positions on the frame axis, evenly spaced
    lags : (K,) int64, samples between head and current frame
    blocks : (N, K, B) float32, d of equation (1) in u; NaN where one of the three frames is missing
    """

    frames: np.ndarray
    lags: np.ndarray
    blocks: np.ndarray


def maximal_differences(video: Video, recipe: DifferenceRecipe) -> Differences:
    """Return the differences of a video, from the cache or measured now.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    return Differences(
        **cached_of_face(video, "maximal_difference", recipe, lambda: _measured(video, recipe)._asdict())
    )


def _measured(video: Video, recipe: DifferenceRecipe) -> Differences:
    step = sampling_step(video.fps, recipe.rate_hz)
    frames = np.arange(0, video.length, step)
    lags = np.array([lag_samples(lag_s, video.fps / step, len(frames)) for lag_s in recipe.lags_s])
    blocks = np.full((len(frames), len(lags), recipe.blocks**2), np.nan, dtype=np.float32)
    crops = CropRecipe(recipe.rate_hz, recipe.size, recipe.align, recipe.landmarks)
    numbered = ((t // step, crop, stretch) for t, crop, stretch in crop_stream(video, crops))
    for sample, column, values in stream_differences(numbered, lags, recipe):
        blocks[sample, column] = values
    return Differences(frames, lags, blocks)


def lag_samples(lag_s: float, rate: float, samples: int) -> int:
    """Return k in samples; halved, as published, until a video of so many samples is at least 6 k long.

    >>> lag_samples(0.4, 30, 1000), lag_samples(0.4, 200, 5000), lag_samples(1.3, 30, 100)
    (12, 80, 10)
    """
    lag = max(1, round(lag_s * rate))
    while samples < 6 * lag and lag > 1:
        lag = (lag + 1) // 2
    return lag


def stream_differences(
    crops: Iterable[tuple[int, np.ndarray, int]], lags: Iterable[int], recipe: DifferenceRecipe
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (sample of the current frame, number of the lag, d (B,) u) of crops (sample, (S, S) grey, stretch).

    At most the crops of the last 2 k samples are kept.
    """
    lags = [int(lag) for lag in lags]
    kept: dict[int, tuple[np.ndarray, int]] = {}
    to_u = face.CROP_UNITS / recipe.size
    for sample, crop, stretch in crops:
        kept[sample] = np.rint(crop).astype(np.uint8), stretch
        for old in [one for one in kept if one < sample - 2 * max(lags)]:
            del kept[old]
        for column, lag in enumerate(lags):
            ends = [kept[at] for at in (sample - 2 * lag, sample - lag, sample) if at in kept]
            if len(ends) == 3 and all(one[1] == stretch for one in ends):
                head, current, tail = (one[0] for one in ends)
                to_current, to_tail = (
                    dense_flow(head, other, recipe.flow, **recipe.flow_settings) for other in (current, tail)
                )
                yield sample - lag, column, to_u * block_differences(to_current, to_tail, recipe)


def block_differences(to_current: np.ndarray, to_tail: np.ndarray, recipe: DifferenceRecipe) -> np.ndarray:
    """Return d of equation (1) for each block, (B,) float32 px, of two flows (S, S, 2) px.

    Blocks are floor(S / blocks) px wide, as published; what is left at the right and at the bottom is not looked at.
    """
    hc, ht = (_in_blocks(flow, recipe.blocks) for flow in (to_current, to_tail))
    x, y = hc[..., 0], hc[..., 1]
    direction = (x < 0) + 2 * (y < 0) if recipe.directions == 4 else (x * y < 0)
    votes = np.stack([(direction == d).sum(axis=1) for d in range(recipe.directions)], axis=1)
    gain = np.hypot(x, y) - np.hypot(ht[..., 0], ht[..., 1])
    gain[direction != votes.argmax(axis=1)[:, None]] = -np.inf
    gain = np.sort(gain, axis=1)[:, ::-1]
    third = np.maximum(1, (2 * votes.max(axis=1) + 3) // 6)  # a third, half a pixel rounded up
    return np.take_along_axis(np.cumsum(gain, axis=1), third[:, None] - 1, axis=1)[:, 0] / third


def _in_blocks(flow: np.ndarray, blocks: int) -> np.ndarray:
    """Return the vectors of each block, (B, P, 2), row by row of blocks."""
    height, width = (side // blocks for side in flow.shape[:2])
    inside = flow[: height * blocks, : width * blocks].reshape(blocks, height, blocks, width, 2)
    return inside.transpose(0, 2, 1, 3, 4).reshape(blocks**2, height * width, 2)
