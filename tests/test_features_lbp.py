"""Local binary patterns: codes known by hand, a plain loop, another library's, and what changes none of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import local_binary_pattern

from mespot_lib.features import lbp
from mespot_lib.features.lbp import LbpRecipe, chi_square, lbp_codes, pattern_counts, uniform_labels

RECIPE = LbpRecipe(size=60)


def textured(size=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size)).astype(np.float32)


def codes_by_loops(image, radius):
    """Equation (1), pixel by pixel."""
    margin = int(np.ceil(radius))
    out = np.zeros([side - 2 * margin for side in image.shape], dtype=np.uint8)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for p in range(8):
                py = round(y + margin - radius * np.sin(2 * np.pi * p / 8), 9)
                px = round(x + margin + radius * np.cos(2 * np.pi * p / 8), 9)
                y0, x0 = int(np.floor(py)), int(np.floor(px))
                value = 0.0
                for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    weight = (1 - abs(py - y0 - i)) * (1 - abs(px - x0 - j))
                    value += weight * image[y0 + i, x0 + j] if weight > 0 else 0.0
                out[y, x] |= (value >= image[y + margin, x + margin] - 1e-3) << p
    return out


@pytest.mark.parametrize(
    ("neighbour", "bit"), [((1, 2), 0), ((0, 1), 2), ((1, 0), 4), ((2, 1), 6)], ids=("E", "N", "W", "S")
)
def test_one_bright_neighbour_sets_its_bit(neighbour, bit):
    image = np.zeros((3, 3))
    image[1, 1], image[neighbour] = 100, 200
    assert lbp_codes(image, 1)[0, 0] == 1 << bit


def test_the_darkest_pixel_has_all_bits_the_brightest_none_and_an_even_surface_all():
    image = np.full((3, 3), 100.0)
    assert lbp_codes(image, 1)[0, 0] == 255
    image[1, 1] = 50
    assert lbp_codes(image, 1)[0, 0] == 255
    image[1, 1] = 150
    assert lbp_codes(image, 1)[0, 0] == 0


def test_even_surfaces_of_every_grey_level_have_all_bits():
    # interpolated, 117 may be 116.99999
    for level in range(256):
        assert (lbp_codes(np.full((9, 9), level), 3) == 255).all()


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_codes_are_those_of_a_plain_loop(radius):
    image = textured(24)
    np.testing.assert_array_equal(lbp_codes(image, radius), codes_by_loops(image, radius))


@pytest.mark.parametrize("radius", [1, 3])
def test_codes_are_those_of_another_library(radius):
    image = textured(40).astype(np.uint8)
    margin = radius
    theirs = local_binary_pattern(image, 8, radius, "default").astype(np.uint8)[
        margin:-margin, margin:-margin
    ]
    assert (lbp_codes(image, radius) == theirs).mean() > 0.999


@settings(max_examples=20, deadline=None)
@given(gain=st.sampled_from([0.5, 1.0, 2.0]), light=st.integers(-50, 50))
def test_light_and_contrast_change_no_code(gain, light):
    image = textured(20)
    np.testing.assert_array_equal(lbp_codes(gain * image + light, 1), lbp_codes(image, 1))


def test_there_are_58_uniform_codes():
    labels = uniform_labels()
    assert labels.max() == 58
    assert (labels == 58).sum() == 256 - 58
    assert labels[0b00000000] == 0
    assert labels[0b00011100] < 58
    assert labels[0b00010100] == 58
    assert len(set(labels[labels < 58])) == 58


def test_block_counts_are_those_of_a_plain_loop():
    image, recipe = textured(60), LbpRecipe(size=60)
    labels = uniform_labels()[lbp_codes(image, recipe.radius)]
    height = labels.shape[0] / (6 - 5 * 0.3)
    width = labels.shape[1] / (6 - 5 * 0.2)
    counts = pattern_counts(image, recipe)
    assert counts.shape == (36, 59)
    for block in range(36):
        top, left = round(block // 6 * height * 0.7), round(block % 6 * width * 0.8)
        inside = labels[top : top + int(np.ceil(height)), left : left + int(np.ceil(width))]
        np.testing.assert_array_equal(counts[block], np.bincount(inside.ravel(), minlength=59))


@pytest.mark.parametrize("size", [60, 100, 227])
def test_blocks_have_one_size_and_reach_the_border(size):
    places = lbp._block_pixels((size - 6, size - 6), 6, (0.2, 0.3))
    assert places.shape[0] == 36
    assert places.min() == 0
    assert places.max() >= (size - 6) ** 2 - 2 * (size - 6)
    assert places.max() < (size - 6) ** 2


def test_all_codes_and_no_overlap():
    counts = pattern_counts(textured(), LbpRecipe(size=60, labels="all", overlap=(0, 0)))
    assert counts.shape == (36, 256)
    assert counts.sum() == 36 * 9 * 9


def test_chi_square_is_known_by_hand():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    assert chi_square(p, q) == pytest.approx(0.25**2 / 0.75 + 0.25**2 / 0.25)
    assert chi_square(p, p) == 0
    assert chi_square(np.array([1.0, 0]), np.array([0.0, 1])) == 2


def test_what_is_not_seen_has_no_histogram():
    patterns = lbp.BlockPatterns(np.arange(2), np.zeros((2, 1, 3), np.uint16), np.array([0, -1]))
    patterns.counts[0] = (1, 1, 2)
    np.testing.assert_allclose(patterns.shares()[0, 0], (0.25, 0.25, 0.5))
    assert np.isnan(patterns.shares()[1]).all()
