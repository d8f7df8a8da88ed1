"""What a face looks like when it does nothing: the running median of its registered crops.

An expression is rare and passes; over some seconds the median of a pixel is its grey level at rest. A frame minus this
picture is what has moved, without what tells one person from another.
"""

from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from mespot_lib.features.cache import cached_arrays
from mespot_lib.features.crops import CropRecipe, FaceCrops, face_crops
from mespot_lib.manifest import Video

_APART_S = 1.0  # between two pictures at rest
_PICTURES = 25  # a median is taken of so many crops, evenly over the window


class RestFaces(NamedTuple):
    """Pictures at rest, and which of them belongs to which crop; mapped from disk, not read.

    faces : (R, S, S) float16, grey levels
    index : (N,) int64, row of `faces` for each of the N crops
    """

    faces: np.ndarray
    index: np.ndarray  # type: ignore[assignment]  # hides a method of tuples; caches on disk have this name


def rest_faces(video: Video, recipe: CropRecipe, window_s: float) -> RestFaces:
    """Return the running median of a video's face crops over `window_s` seconds, from the cache or computed now.

    Crops of another stretch cannot be compared and have no part in it.
    """
    described = {"name": "rest_faces", "window_s": window_s, "crops": asdict(recipe)}

    def compute() -> dict[str, np.ndarray]:
        return running_median(face_crops(video, recipe), video.fps, window_s)._asdict()

    return RestFaces(**cached_arrays(video, described, compute, mapped=True))


def running_median(crops: FaceCrops, fps: float, window_s: float) -> RestFaces:
    """Return the medians of crops over `window_s` seconds, one picture each second and stretch; see `rest_faces`."""
    second = (crops.frames / (fps * _APART_S)).astype(np.int64)
    _, first, index = np.unique(
        np.stack([crops.stretch, second]), axis=1, return_index=True, return_inverse=True
    )
    faces = np.empty((len(first), *crops.crops.shape[1:]), dtype=np.float16)
    for row, start in enumerate(first):
        middle = (second[start] + 0.5) * fps * _APART_S
        near = (np.abs(crops.frames - middle) <= window_s * fps / 2) & (crops.stretch == crops.stretch[start])
        near[start] = True
        places = np.flatnonzero(near)
        chosen = np.unique(places[np.linspace(0, len(places) - 1, _PICTURES).round().astype(int)])
        faces[row] = np.median(crops.crops[chosen].astype(np.float32), axis=0)
    return RestFaces(faces, index.reshape(-1).astype(np.int64))
