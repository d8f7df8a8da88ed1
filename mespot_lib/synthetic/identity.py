"""A drawn person: shape, look, muscles and the painted layers of the face at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mespot_lib.synthetic import muscles as muscle_grid
from mespot_lib.synthetic.brushes import over
from mespot_lib.synthetic.eyes import paint_eyeball
from mespot_lib.synthetic.geometry import FaceShape, draw_shape, neutral_landmarks
from mespot_lib.synthetic.hair import hair_shadow, paint_beard, paint_brows, paint_hair
from mespot_lib.synthetic.look import Look, draw_look
from mespot_lib.synthetic.muscles import Muscles, make_muscles
from mespot_lib.synthetic.skin import head_depth, paint_skin
from mespot_lib.synthetic.worn import paint_glasses


@dataclass(frozen=True)
class Identity:
    """Everything about a person that does not change from frame to frame.

    Attributes
    ----------
    face : uint8 (H, W, 4), premultiplied blue-green-red-alpha painting of the face at rest, see `brushes`.
    worn : uint8 (H, W, 4) or None, what follows the head but not the skin (glasses).
    eyeball : float32 (N, N, 3), texture of the eyes, see `paint_eyeball`.
    depth : float32 (rows, columns), depth of the head in u on the grid of `muscles`.
    landmarks : (68, 2), u, at rest.
    """

    seed: int
    shape: FaceShape
    look: Look
    muscles: Muscles
    face: np.ndarray
    worn: np.ndarray | None
    eyeball: np.ndarray
    depth: np.ndarray
    landmarks: np.ndarray


def make_identity(seed: int, look: Look | None = None) -> Identity:
    """Draw a person; the same seed gives the same person. Takes about half a second.

    Parameters
    ----------
    look : look to use instead of the one the seed gives.
    """
    # one generator per part, so that a change of one part leaves the others as they are
    rngs = dict(zip(("look", "shape", "muscles", "skin", "hair", "eyes"), _spawn(seed, 6), strict=True))
    look = look or draw_look(rngs["look"])
    shape = draw_shape(rngs["shape"], look.masculinity)
    face, hair = _paint_face(shape, look, rngs["skin"], rngs["hair"])
    worn = paint_glasses(shape, look)
    if worn is not None:
        worn *= 1 - hair[..., 3:] / 255  # the arms of glasses go under the hair
    return Identity(
        seed=seed,
        shape=shape,
        look=look,
        muscles=make_muscles(shape, rngs["muscles"]),
        face=_as_bytes(face),
        worn=None if worn is None else _as_bytes(worn),
        eyeball=paint_eyeball(shape, look, rngs["eyes"]),
        depth=muscle_grid.sample_on_grid(lambda x, y: head_depth(shape, x, y)),
        landmarks=neutral_landmarks(shape),
    )


def _spawn(seed: int, number: int) -> list[np.random.Generator]:
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(number)]


def _paint_face(
    shape: FaceShape, look: Look, skin_rng: np.random.Generator, hair_rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Skin, beard, brows and hair on top of each other; and the hair alone."""
    skin = paint_skin(shape, look, skin_rng)
    beard = paint_beard(shape, look, hair_rng)
    brows = paint_brows(shape, look, hair_rng)
    hair = paint_hair(shape, look, hair_rng)
    skin[..., :3] *= hair_shadow(hair)
    return over(hair, over(brows, over(beard, skin))), hair


def _as_bytes(layer: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(layer), 0, 255).astype(np.uint8)
