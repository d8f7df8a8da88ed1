"""Squares around landmarks: where they are cut, and that they stay on the skin."""

import numpy as np
import pytest

from mespot_lib.face import CROP_UNITS
from mespot_lib.features.patches import GROUPS, LANDMARKS, ROWS, PatchRecipe, cut_squares

RECIPE = PatchRecipe(side_u=12.0, pixels=12)


def ramp(size=256):
    """A picture in which every place has its own grey level along x."""
    return np.tile(np.linspace(0, 255, size).astype(np.uint8), (size, 1))


def test_there_are_twelve_regions_in_three_groups():
    assert len(LANDMARKS) == 12
    assert {part: tuple(LANDMARKS[row] for row in rows) for part, rows in ROWS.items()} == GROUPS


@pytest.mark.parametrize("side_u", [6.0, 12.0, 24.0])
def test_a_square_is_centred_on_its_place(side_u):
    recipe = PatchRecipe(side_u=side_u, pixels=12)
    places = np.array([(60.0, 80.0), (200.0, 100.0)])
    squares = cut_squares(ramp(), np.eye(2, 3), places, recipe)
    assert squares.shape == (2, 12, 12)
    assert squares.dtype == np.uint8
    np.testing.assert_allclose(squares.mean(axis=(1, 2)), places[:, 0], atol=1)
    assert np.ptp(squares[0].astype(int)) == pytest.approx(side_u * 11 / 12, abs=1.5)


def test_the_matrix_of_the_crop_is_obeyed():
    # the frame is twice as large as the crop and shifted: the same skin is cut
    places = np.array([(100.0, 90.0)])
    plain = cut_squares(ramp(), np.eye(2, 3), places, RECIPE)
    moved = np.roll(ramp(), 30, axis=1)
    matrix = np.array([[1, 0, -30.0], [0, 1, 0]])
    np.testing.assert_array_equal(cut_squares(moved, matrix, places, RECIPE), plain)


def test_a_place_outside_of_the_frame_is_cut_all_the_same():
    squares = cut_squares(ramp(), np.eye(2, 3), np.array([(-40.0, CROP_UNITS + 40)]), RECIPE)
    assert squares.shape == (1, 12, 12)
