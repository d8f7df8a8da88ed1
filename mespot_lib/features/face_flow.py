"""Dense flow of the registered face: how the skin moves from one sampled frame to the next, everywhere.

    sampled frames -> the face is followed and registered (`crops.aligned`) -> flow at full size -> means over cells

Between neighbouring frames at 30 per second a micro-expression moves the skin by some 0.3 u, a sixth of a pixel of the
crop in which the flow is taken. So the flow is measured there and only then reduced: the mean over a cell keeps what is
below a pixel, whereas flow between reduced pictures would have lost it.

The errors of flow between neighbours add up to a random walk when they are summed to a displacement. With `key_s` the
flow is taken from a key frame, which is renewed after that time, and a step is the difference of two such flows: the
error of a sum over an expression is then that of one or two flows and not of ten.

    key frame   k . . . . . . k . . . . . . k        flow k -> t for the frames up to and with the next key frame
    steps         | | | | | |   | | | | | |          step(t) = flow(k -> t) - flow(k -> t - 1)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_of_face
from mespot_lib.features.crops import CropRecipe, crop_stream
from mespot_lib.features.flow import Method, dense_flows
from mespot_lib.features.motion import LONGEST_STEP_S, sampling_step
from mespot_lib.manifest import Video

_AT_ONCE = 16  # pairs whose flow is taken together


@dataclass(frozen=True)
class FaceFlowRecipe:
    """Settings of `face_flow`; the part of the cache key that the user chooses.

    rate_hz : frames per second that are read, at most
    size : edge of the crop in which the flow is taken, px; cells : edge of what is kept, cells per side
    method, flow_settings : of `dense_flow`
    key_s : how long a key frame serves, see the module's first lines; 0 takes the flow between neighbours, as papers do
    landmarks, redetect_s : as in `CropRecipe`
    """

    rate_hz: float = 30.0
    size: int = 128
    cells: int = 32
    method: Method = "dis"
    flow_settings: dict[str, Any] = field(default_factory=lambda: {"finest_scale": 1, "patch_stride": 3})
    key_s: float = 0.5
    landmarks: str = "auto"
    redetect_s: float = 2.0


class FaceFlow(NamedTuple):
    """Steps of the face's skin between sampled frames; mapped from disk, not read.

    frames : (N,) int64, sampled positions on the frame axis, evenly spaced, from the first frame to the last
    steps : (N, 2, S, S) float16 u, motion since the sample before, x right and y down; 0 where it is unknown
    known : (N,) bool, whether the motion since the sample before is known: not at the first sample, across cuts or gaps
    """

    frames: np.ndarray
    steps: np.ndarray
    known: np.ndarray


def face_flow(video: Video, recipe: FaceFlowRecipe) -> FaceFlow:
    """Return the steps of a video, from the cache or measured now; memory does not grow with its length.

    Raises
    ------
    ValueError
        If `cells` does not divide `size`.
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    if recipe.size % recipe.cells:
        raise ValueError(f"{recipe.cells} cells do not divide a crop of {recipe.size} px")
    return FaceFlow(
        **cached_of_face(video, "face_flow", recipe, lambda: _measured(video, recipe), mapped=True)
    )


def _measured(video: Video, recipe: FaceFlowRecipe) -> dict[str, np.ndarray]:
    import tempfile

    step = sampling_step(video.fps, recipe.rate_hz)
    samples = np.arange(0, video.length, step)
    known = np.zeros(len(samples), dtype=bool)
    nothing = np.zeros((2, recipe.cells, recipe.cells), dtype=np.float16).tobytes()
    written = 0
    with tempfile.TemporaryFile() as file:
        for t, moved in flow_steps(_crops(video, recipe), video.fps, recipe):
            file.write(nothing * (t // step - written))
            file.write(nothing if moved is None else moved.astype(np.float16).tobytes())
            known[t // step] = moved is not None
            written = t // step + 1
        file.write(nothing * (len(samples) - written))
        file.flush()
        shape = (len(samples), 2, recipe.cells, recipe.cells)
        return {"frames": samples, "steps": np.memmap(file, np.float16, "r", shape=shape), "known": known}


def _crops(video: Video, recipe: FaceFlowRecipe) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield (t, registered crop uint8, stretch) of the sampled frames that show the face."""
    crop = CropRecipe(recipe.rate_hz, recipe.size, landmarks=recipe.landmarks, redetect_s=recipe.redetect_s)
    for t, grey, stretch in crop_stream(video, crop):
        yield t, np.clip(np.rint(grey), 0, 255).astype(np.uint8), stretch


class _Pair(NamedTuple):
    """A crop and the key frame from which its flow is taken, None if nothing before can be compared with it."""

    t: int
    key: np.ndarray | None
    crop: np.ndarray
    first: bool  # since the key frame


def flow_steps(
    crops: Iterable[tuple[int, np.ndarray, int]], fps: float, recipe: FaceFlowRecipe
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield (t, step since the sample before (2, S, S) u) of crops (t, (H, H) uint8, stretch); None if unknown."""
    waiting = _pairs(crops, fps, recipe)
    before: np.ndarray | np.float32 = np.float32(0)  # flow from the key to the sample before
    while pairs := list(islice(waiting, _AT_ONCE)):
        keyed = [pair for pair in pairs if pair.key is not None]
        sides = (np.array([pair.key for pair in keyed]), np.array([pair.crop for pair in keyed]))
        flows = dense_flows(*sides, recipe.method, **recipe.flow_settings)
        for pair in pairs:
            if pair.key is None:
                yield pair.t, None
                continue
            flow = _cells(next(flows), recipe)
            yield pair.t, flow if pair.first else flow - before
            before = flow


def _pairs(
    crops: Iterable[tuple[int, np.ndarray, int]], fps: float, recipe: FaceFlowRecipe
) -> Iterator[_Pair]:
    longest = max(LONGEST_STEP_S * fps, sampling_step(fps, recipe.rate_hz))
    key, key_t, last, first = None, 0, None, True
    for t, crop, stretch in crops:
        if last is None or stretch != last[1] or t - last[0] > longest:
            yield _Pair(t, None, crop, True)
            key, key_t, first = crop, t, True
        else:
            yield _Pair(t, key, crop, first)
            first = False
            if t - key_t >= recipe.key_s * fps:
                key, key_t, first = crop, t, True
        last = t, stretch


def _cells(flow: np.ndarray, recipe: FaceFlowRecipe) -> np.ndarray:
    """Return the means of a flow field (H, H, 2) px over cells, (2, S, S) u."""
    means = cv2.resize(flow, (recipe.cells, recipe.cells), interpolation=cv2.INTER_AREA)
    return means.transpose(2, 0, 1) * (face.CROP_UNITS / recipe.size)
