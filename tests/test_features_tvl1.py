"""TV-L1: against scikit-image's on planted motion, and by what must hold whatever the pictures."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.features import tvl1
from mespot_lib.features.accuracy import BORDER_PX, moved_faces, moved_texture
from mespot_lib.features.tvl1 import TvL1Config, tvl1_flow

PEAKS_PX = (0.1, 0.3, 1.0, 3.0)


@pytest.fixture(scope="module")
def faces():
    """Three drawn faces for each peak."""
    return moved_faces(PEAKS_PX * 3, size=112)


def end_point_errors(flow: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return the mean error of each peak, in px, where the skin moves by a tenth of the peak or more."""
    error, length = np.linalg.norm(flow - motion, axis=-1), np.linalg.norm(motion, axis=-1)
    moving = length > 0.1 * length.max(axis=(1, 2), keepdims=True)
    each = np.array([e[m].mean() for e, m in zip(error, moving, strict=True)])
    return each.reshape(-1, len(PEAKS_PX)).mean(axis=0)


def of_scikit_image(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from skimage.registration import optical_flow_tvl1

    settings = {"attachment": 15, "tightness": 0.3, "num_warp": 5, "num_iter": 10}
    rows = [optical_flow_tvl1(a, b, **settings) for a, b in zip(first / 255.0, second / 255.0, strict=True)]
    return np.stack(rows)[:, ::-1].transpose(0, 2, 3, 1)


def test_errors_are_no_larger_than_those_of_scikit_image_with_the_same_parameters(faces):
    first, second, motion = faces
    ours, theirs = (end_point_errors(way(first, second), motion) for way in (tvl1_flow, of_scikit_image))
    assert (ours <= theirs).all(), (ours, theirs)
    assert (ours < 0.35 * np.array(PEAKS_PX)).all(), ours


@pytest.mark.parametrize("dx", [0.1, 0.25, 0.5, 0.75])
def test_fractions_of_a_pixel_are_read_in_full(dx):
    first, second = moved_texture((dx, 0), size=96, noise_levels=1.6, seed=1)
    flow = tvl1_flow(first[None], second[None])[0, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    assert flow[..., 0].mean() == pytest.approx(dx, rel=0.04)


def test_doubling_leaves_pixels_alone_and_puts_between_them_what_a_smooth_curve_has():
    x = np.linspace(0, 3, 20)
    image = torch.from_numpy(np.sin(x)[None, None, None].repeat(12, axis=2))
    twice = tvl1._doubled(image)
    assert twice.shape == (1, 1, 23, 39)
    assert torch.equal(twice[..., ::2, ::2], image)
    middle = np.sin((x[:-1] + x[1:]) / 2)
    np.testing.assert_allclose(twice[0, 0, 5, 1::2][3:-3], middle[3:-3], atol=1e-5)


def test_the_planted_motion_is_exact():
    """The second picture where the motion points to is the first, but for rounding, which makes a third of a level."""
    first, second, motion = moved_faces([3.0], size=112, noise_levels=0)
    y, x = np.mgrid[:112, :112].astype(np.float32)

    def difference(sign: int) -> float:
        place = np.stack([x, y], axis=-1) + sign * motion[0].astype(np.float32)
        there = cv2.remap(second[0].astype(np.float32), place[..., 0], place[..., 1], cv2.INTER_CUBIC)
        return np.abs(there - first[0])[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX].mean()

    assert difference(1) < 0.5
    assert difference(-1) > 10 * difference(1)


@settings(max_examples=15, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2))
def test_a_shift_of_the_whole_is_found_with_its_sign(dx, dy):
    first, second = moved_texture((dx, dy), size=64, seed=3)
    flow = tvl1_flow(first[None], second[None])[0, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), (dx, dy), atol=0.06)


def test_a_flow_does_not_depend_on_the_pairs_it_is_computed_with(faces, monkeypatch):
    first, second, _ = (side[:5] for side in faces)
    together = tvl1_flow(first, second)
    monkeypatch.setattr(tvl1, "_CPU_PIXELS", 1)
    alone = tvl1_flow(first, second)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_mirrored_pictures_have_mirrored_flow(faces):
    first, second, _ = (side[3:4] for side in faces)
    flow = tvl1_flow(first, second)[0]
    mirrored = tvl1_flow(first[..., ::-1], second[..., ::-1])[0][:, ::-1] * (-1, 1)
    assert np.abs(flow - mirrored)[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX].mean() < 0.02


def test_pictures_without_texture_have_finite_flow():
    flat = np.full((2, 40, 33), 128, np.uint8)
    assert np.abs(tvl1_flow(flat, flat + np.uint8(20))).max() < 1e-3
    assert tvl1_flow(flat, flat, TvL1Config(median=True, blur_px=0)).shape == (2, 40, 33, 2)


def test_smaller_lambda_is_smoother(faces):
    first, second, _ = (side[:4] for side in faces)

    def roughness(**settings):
        return np.abs(np.diff(tvl1_flow(first, second, TvL1Config(**settings)), axis=2)).mean()

    assert roughness(lambda_=3) < 0.9 * roughness(lambda_=15) < 0.9 * roughness(lambda_=60)


def test_the_exchanges_leave_the_median_in_place():
    u = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 2, 7, 9)).astype(np.float32))
    padded = torch.nn.functional.pad(u, (1, 1, 1, 1), mode="replicate")
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
    assert torch.equal(tvl1._median(u), windows.median(dim=-1).values)


@pytest.mark.parametrize(
    ("first", "second"), [((2, 20, 20), (2, 20, 21)), ((20, 20), (20, 20)), ((1, 15, 20), (1, 15, 20))]
)
def test_bad_input_is_said(first, second):
    with pytest.raises(ValueError, match="two stacks"):
        tvl1_flow(np.zeros(first, np.uint8), np.zeros(second, np.uint8))
