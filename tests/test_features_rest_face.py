"""The face at rest: a median that expressions pass through without a trace."""

import numpy as np

from mespot_lib.features.crops import FaceCrops
from mespot_lib.features.rest_face import running_median


def crops(values, frames=None, stretch=None) -> FaceCrops:
    values = np.asarray(values, dtype=np.float16)
    frames = np.arange(len(values)) if frames is None else np.asarray(frames)
    stretch = np.zeros(len(values), dtype=int) if stretch is None else np.asarray(stretch)
    return FaceCrops(frames, np.broadcast_to(values[:, None, None], (len(values), 3, 3)), stretch)


def at_rest(found) -> np.ndarray:
    return found.faces[found.index, 0, 0].astype(float)


def test_an_expression_leaves_no_trace():
    values = np.full(600, 100.0)
    values[200:290] = 140  # three seconds
    found = running_median(crops(values), 30.0, 8.0)
    assert len(found.faces) == 20
    assert (at_rest(found) == 100).all()


def test_what_changes_slowly_is_followed():
    values = np.linspace(50, 150, 1800)
    rest = at_rest(running_median(crops(values), 30.0, 8.0))
    assert np.abs(rest - values)[240:-240].max() < 2


def test_only_crops_of_the_same_stretch_have_a_part():
    values = np.repeat([10.0, 200.0], 45)
    rest = at_rest(running_median(crops(values, stretch=np.repeat([0, 1], 45)), 30.0, 8.0))
    assert np.array_equal(rest, values)


def test_a_lone_crop_is_its_own_rest():
    rest = at_rest(running_median(crops([7.0, 9.0], frames=[0, 90_000], stretch=[0, 1]), 30.0, 8.0))
    assert rest.tolist() == [7, 9]


def test_the_window_is_in_seconds():
    values = np.repeat([100.0, 130.0], 2000)  # a step after ten seconds at 200 frames per second
    rest = at_rest(running_median(crops(values), 200.0, 4.0))
    assert (rest[: 7 * 200] == 100).all()
    assert (rest[13 * 200 :] == 130).all()
