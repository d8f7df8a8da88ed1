"""Small squares of the registered face around landmarks, frame by frame: what the skin looks like there.

    frames -> the face is followed and registered -> at the first frame of a stretch: where the landmarks lie
    -> at these places, fixed for the stretch, one square per region

Twelve landmarks on the brows, the nose and the mouth, as Li et al. (2019) take them; their numbers 1, 4, 5, 6, 7, 10,
11, 14, 32, 35, 38, 41 are read as those of a 49-point face, which is dlib's without the jaw.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mespot_lib import face
from mespot_lib.features.cache import cached_of_face
from mespot_lib.features.crops import CropRecipe, registered
from mespot_lib.features.motion import sampling_step
from mespot_lib.manifest import Video

# part of the face -> landmarks (dlib's numbers, 0-based); the order is that of the regions
GROUPS: dict[str, tuple[int, ...]] = {
    "brows": (17, 20, 21, 22, 23, 26),
    "nose": (27, 30),
    "mouth": (48, 51, 54, 57),
}
LANDMARKS: tuple[int, ...] = tuple(point for points in GROUPS.values() for point in points)
ROWS: dict[str, tuple[int, ...]] = {
    part: tuple(LANDMARKS.index(point) for point in points) for part, points in GROUPS.items()
}


@dataclass(frozen=True)
class PatchRecipe:
    """Settings of `face_patches`; the part of the cache key that the user chooses.

    rate_hz, align, landmarks : as in `CropRecipe`
    side_u : edge of a square, face units; pixels : its edge in px
    """

    rate_hz: float = 30.0
    side_u: float = 12.8
    pixels: int = 11
    align: Literal["steady", "detected"] = "steady"
    landmarks: str = "auto"


class FacePatches(NamedTuple):
    """Squares of the sampled frames.

    frames : (N,) int64, sampled positions on the frame axis, evenly spaced
    patches : (N, R, P, P) uint8 grey; 0 where no face is seen
    stretch : (N,) int64, only frames of one stretch can be compared; -1 where no face is seen
    """

    frames: np.ndarray
    patches: np.ndarray
    stretch: np.ndarray


def face_patches(video: Video, recipe: PatchRecipe) -> FacePatches:
    """Return the squares of a video, from the cache or cut now.

    Raises
    ------
    mespot_lib.face.NoFaceError
        If not one of the sampled frames shows a face.
    mespot_lib.frames.FrameError
        If a frame that the manifest promises cannot be read.
    """
    return FacePatches(**cached_of_face(video, "patches", recipe, lambda: _cut(video, recipe)._asdict()))


def _cut(video: Video, recipe: PatchRecipe) -> FacePatches:
    step = sampling_step(video.fps, recipe.rate_hz)
    frames = np.arange(0, video.length, step)
    patches = np.zeros((len(frames), len(LANDMARKS), recipe.pixels, recipe.pixels), dtype=np.uint8)
    stretch = np.full(len(frames), -1, dtype=np.int64)
    for t, squares, number in _squares(video, recipe):
        patches[t // step], stretch[t // step] = squares, number
    return FacePatches(frames, patches, stretch)


def _squares(video: Video, recipe: PatchRecipe) -> Iterator[tuple[int, np.ndarray, int]]:
    crops = CropRecipe(recipe.rate_hz, align=recipe.align, landmarks=recipe.landmarks)
    find, places, before = _finder(video, recipe), None, None
    for t, grey, matrix, stretch in registered(video, crops):
        if places is None or stretch != before:
            found = find(t, grey)
            # a face that is followed but not found in this one frame: an average face
            points = _average_face() if found is None else face.transform_points(found, matrix)
            places, before = points[list(LANDMARKS)], stretch
        yield t, cut_squares(grey, matrix, places, recipe), stretch


def _average_face() -> np.ndarray:
    return face.MEAN_FACE + np.array([face.CROP_UNITS / 2, face.EYES_BELOW_TOP_U])


def _finder(video: Video, recipe: PatchRecipe) -> Callable[[int, np.ndarray], np.ndarray | None]:
    """Return what finds the landmarks (68, 2) px of frame t: a detector, or the side file as a table."""
    if recipe.landmarks == "side":
        table = face.side_landmarks(video)
        return lambda t, image: table[t] if np.isfinite(table[t]).all() else None

    def detected(t: int, image: np.ndarray) -> np.ndarray | None:
        found = face.detect_face(image, recipe.landmarks)
        return None if found is None else found.landmarks

    return detected


def cut_squares(grey: np.ndarray, matrix: np.ndarray, places: np.ndarray, recipe: PatchRecipe) -> np.ndarray:
    """Return the squares (R, P, P) uint8 around places (R, 2) u of the crop into which `matrix` carries the frame."""
    scale = recipe.pixels / recipe.side_u
    middle = (recipe.pixels - 1) / 2
    squares = []
    for place in places:
        into = matrix * scale
        into[:, 2] += middle - scale * place
        squares.append(face.crop_face(grey, into, recipe.pixels))
    return np.array(squares)
