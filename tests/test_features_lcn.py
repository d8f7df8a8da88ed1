"""Local contrast normalisation: independent of lighting, finite, and the printed equation."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from mespot_lib.features.lcn import lcn


@pytest.fixture(scope="module")
def portrait():
    from skimage.data import astronaut

    return cv2.cvtColor(astronaut()[40:168, 160:288], cv2.COLOR_RGB2GRAY)


@settings(deadline=None)
@given(brightness=st.floats(-100, 100), contrast=st.floats(0.1, 4), sigma=st.floats(1, 12))
def test_brightness_and_contrast_change_nothing(portrait, brightness, contrast, sigma):
    plain = lcn(portrait, sigma)
    assert np.abs(lcn(portrait + brightness, sigma) - plain).max() < 1e-6
    assert np.abs(lcn(portrait * contrast, sigma) - plain).max() < 1e-4


def test_one_grey_level_more_changes_nothing(portrait):
    dimmed = np.minimum(portrait, 254)
    assert np.abs(lcn(dimmed + np.uint8(1)) - lcn(dimmed)).max() < 1e-6


def test_it_is_the_printed_equation(portrait):
    f = portrait.astype(float)
    mean = gaussian_filter(f, 3, mode="reflect", truncate=4)
    sigma = np.sqrt(gaussian_filter((f - mean) ** 2, 3, mode="reflect", truncate=4))
    expected = (f - mean) / np.maximum(sigma, sigma.mean())
    np.testing.assert_allclose(lcn(portrait, 3), expected, atol=2e-3)


def test_flat_regions_stay_finite_and_near_zero(portrait):
    for level in (0, 130, 255):
        assert np.abs(lcn(np.full((64, 64), level, np.uint8))).max() < 1e-3
    assert np.abs(lcn(np.full((64, 64), 0.1))).max() < 1e-3
    half = portrait.copy()
    half[:, :64] = 90
    assert np.abs(lcn(half)[:, :40]).max() < 1e-3  # noise of the flat half is not blown up
    speck = np.full((64, 64), 90, np.uint8)
    speck[32, 32] = 91
    assert np.isfinite(lcn(speck)).all()


def test_shadow_across_the_face_is_mostly_gone(portrait):
    shadow = np.linspace(0.35, 1.0, 128)[None]
    plain = lcn(portrait)
    assert np.corrcoef(lcn(portrait * shadow).ravel(), plain.ravel())[0, 1] > 0.93
    assert np.corrcoef((portrait * shadow).ravel(), portrait.ravel())[0, 1] < 0.93


def test_bad_input_is_said(portrait):
    with pytest.raises(ValueError, match="grey image"):
        lcn(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="positive sigma"):
        lcn(portrait, 0)
