"""Flow, strain and head motion on known warps of a real photograph."""

import sys
import threading
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.face import CROP_UNITS, MEAN_FACE, crop_face, face_matrix, transform_points
from mespot_lib.features.flow import _tvl1, dense_flow
from mespot_lib.features.head_motion import nose_shift, remove_head_motion
from mespot_lib.features.strain import optical_strain
from mespot_lib.features.tvl1 import TvL1Config

SIZE = 128
METHODS = ("dis", "farneback", "tvl1")


def photograph() -> tuple[np.ndarray, np.ndarray]:
    """Return a grey portrait as float and rough landmarks: the average face between its two inner eye corners."""
    from skimage.data import astronaut

    grey = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY)
    return grey, (MEAN_FACE * 0.369 + (225.0, 103.8)).astype(np.float32)


@pytest.fixture(scope="module")
def face():
    """Return the aligned crop (128, 128) and the landmarks in it."""
    grey, landmarks = photograph()
    matrix = face_matrix(landmarks, SIZE)
    return crop_face(grey, matrix, SIZE), transform_points(landmarks, matrix)


def moved(crop: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return the image in which what stood at p in `crop` stands at p + motion(p), for smooth motion in px."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    source = motion.astype(np.float32)
    for _ in range(5):  # the inverse of a displacement is a fixed point
        at = np.dstack([x, y]) - source
        source = cv2.remap(motion.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    smooth = cv2.resize(crop.astype(np.float32), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    at = (np.dstack([x, y]) - source + 0.5) * 4 - 0.5  # a fine grid, because remap rounds to 1/32 px
    image = cv2.remap(smooth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(image.round(), 0, 255).astype(np.uint8)


def shift(dx: float, dy: float) -> np.ndarray:
    return np.broadcast_to(np.float32([dx, dy]), (SIZE, SIZE, 2))


def bump(centre: tuple[float, float], peak: tuple[float, float], sigma: float = 14.0) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    height = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))
    return height[..., None] * np.array(peak)


def end_point_error(flow: np.ndarray, motion: np.ndarray, where: np.ndarray | slice = slice(None)) -> float:
    inner = slice(8, -8)
    return float(np.linalg.norm(flow - motion, axis=2)[inner, inner][where].mean())


# Bounds on the mean end-point error in px: of a shift, of a bump, and of the moving part of a bump.
BOUNDS = {"dis": (0.05, 0.03, 0.10), "farneback": (0.10, 0.06, 0.17), "tvl1": (0.08, 0.04, 0.14)}

# --- flow -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("d", [(0.4, 0.0), (0.0, 0.6), (-0.7, 0.3), (1.6, -1.1)])
def test_a_shift_is_measured_in_x_and_y_with_its_sign(face, method, d):
    crop, _ = face
    flow = dense_flow(crop, moved(crop, shift(*d)), method)
    assert flow.shape == (SIZE, SIZE, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), d, atol=0.05)
    assert end_point_error(flow, shift(*d)) < BOUNDS[method][0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "centre", [(38, 36), (90, 36), (64, 100), (36, 78)], ids=["brow", "brow", "mouth", "cheek"]
)
def test_a_subpixel_bump_is_found_where_it_is(face, method, centre):
    crop, _ = face
    motion = bump(centre, (0.2, -0.8))
    flow = dense_flow(crop, moved(crop, motion), method)
    moving = np.linalg.norm(motion, axis=2)[8:-8, 8:-8] > 0.4
    assert end_point_error(flow, motion) < BOUNDS[method][1]
    assert end_point_error(flow, motion, moving) < BOUNDS[method][2]
    spot = (slice(centre[1] - 4, centre[1] + 5), slice(centre[0] - 4, centre[0] + 5), 1)
    assert 0.7 < flow[spot].mean() / motion[spot].mean() < 1.1


@pytest.mark.parametrize("method", METHODS)
def test_warping_the_second_image_back_gives_the_first(face, method):
    crop, _ = face
    second = moved(crop, bump((64, 64), (1.5, 1.0), 25))
    flow = dense_flow(crop, second, method)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    back = cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR).astype(float)
    before = np.abs(second.astype(float) - crop).mean()
    assert np.abs(back - crop)[8:-8, 8:-8].mean() < 0.4 * before


@pytest.mark.parametrize("method", METHODS)
def test_no_motion_no_flow(face, method):
    # Farneback's border is wrong even here: statistics leave it out.
    assert np.abs(dense_flow(face[0], face[0], method)[8:-8, 8:-8]).max() < 0.02


def test_dis_defaults_are_the_accurate_ones(face):
    crop, _ = face
    motion = bump((64, 90), (0.0, 0.8))
    errors = {
        name: end_point_error(dense_flow(crop, moved(crop, motion), "dis", **settings), motion)
        for name, settings in {"ours": {}, "preset": {"finest_scale": 1, "patch_stride": 3}}.items()
    }
    assert errors["ours"] < errors["preset"]


def test_settings_do_not_leak_from_call_to_call(face):
    crop, _ = face
    second = moved(crop, bump((64, 90), (0.0, 0.8)))
    before = dense_flow(crop, second)
    coarse = dense_flow(crop, second, finest_scale=2)
    np.testing.assert_array_equal(dense_flow(crop, second), before)
    assert not np.array_equal(coarse, before)


def test_threads_do_not_disturb_each_other(face):
    crop, _ = face
    seconds = [moved(crop, shift(0.1 * k, 0)) for k in range(4)]
    alone = [dense_flow(crop, second) for second in seconds]
    together: dict[int, list[np.ndarray]] = {}

    def work(k: int) -> None:
        together[k] = [dense_flow(crop, seconds[k]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, flows in together.items():
        for flow in flows:
            np.testing.assert_array_equal(flow, alone[k])


@pytest.mark.parametrize("method", METHODS)
def test_the_smallest_image(face, method):
    assert dense_flow(face[0][:16, :16].copy(), face[0][:16, 1:17].copy(), method).shape == (16, 16, 2)


def test_tvl1_is_the_only_method_that_needs_torch(face, monkeypatch):
    monkeypatch.setitem(sys.modules, "mespot_lib.features.tvl1", None)
    for method in ("dis", "farneback"):
        dense_flow(face[0], face[0], method)
    with pytest.raises(ImportError):
        dense_flow(face[0], face[0], "tvl1")


def test_the_settings_of_tvl1_are_those_of_its_own_configuration():
    assert _tvl1.__kwdefaults__ == asdict(TvL1Config())


GREY = np.zeros((32, 32), np.uint8)


@pytest.mark.parametrize(
    ("first", "second", "arguments", "what"),
    [
        (GREY, GREY[:, :30], {}, "one size"),
        (GREY[:9], GREY[:9], {}, "at least 16 x 16"),
        (GREY, GREY.astype(float), {}, "grey uint8"),
        (np.dstack([GREY] * 3), GREY, {}, "grey uint8"),
        (GREY, GREY, {"method": "lk"}, "unknown flow method 'lk'"),
        (GREY, GREY, {"winsize": 9}, "no setting winsize; it has preset, finest_scale"),
        (GREY, GREY, {"preset": "best"}, "unknown preset 'best'"),
    ],
)
def test_bad_input_is_said(first, second, arguments, what):
    with pytest.raises(ValueError, match=what):
        dense_flow(first, second, **arguments)


# --- strain ---------------------------------------------------------------------------------------------------------


def linear_flow(u_x, u_y, v_x, v_y) -> np.ndarray:
    y, x = np.mgrid[:20, :30].astype(np.float32)
    return np.dstack([u_x * x + u_y * y, v_x * x + v_y * y])


coefficient = st.floats(-0.1, 0.1)


@given(coefficient, coefficient, coefficient, coefficient)
def test_strain_of_a_linear_field_is_its_formula(u_x, u_y, v_x, v_y):
    strain = optical_strain(linear_flow(u_x, u_y, v_x, v_y))
    tensor = np.array([[u_x, (u_y + v_x) / 2], [(u_y + v_x) / 2, v_y]])
    np.testing.assert_allclose(strain, np.linalg.norm(tensor), atol=1e-5)


def test_a_shift_or_a_small_turn_of_the_head_is_no_strain():
    assert optical_strain(linear_flow(0, -0.05, 0.05, 0) + np.array([3, -2])).max() < 1e-6
    assert optical_strain(linear_flow(0.05, 0, 0, 0)).min() > 0.049


# --- head motion ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["median", "top_mean"])
@pytest.mark.parametrize("d", [(0.8, -0.4), (-2.1, 1.3)])
def test_a_shift_of_the_head_is_removed_and_a_brow_stays(face, statistic, d):
    crop, landmarks = face
    brow = bump((38, 34), (0.1, -0.9), 10)
    flow = dense_flow(crop, moved(crop, shift(*d) + brow))
    head = nose_shift(flow, landmarks, statistic)
    np.testing.assert_allclose(head, d, atol=0.1)

    still = remove_head_motion(flow, head)
    assert still.dtype == np.float32
    assert np.abs(still[60:100, 40:90]).mean() < 0.1
    assert still[30:39, 34:43, 1].mean() < -0.55


def test_the_statistics_differ_where_it_matters():
    """Noise makes the longest vectors overstate a small shift, and a highlight pulls them; the median has neither."""
    rng = np.random.default_rng(0)
    landmarks = transform_points(MEAN_FACE, face_matrix(MEAN_FACE, 256))
    noisy = rng.normal(0, 0.2, (256, 256, 2)) + np.array([0.1, 0])
    assert abs(nose_shift(noisy, landmarks)[0] - 0.1) < 0.015
    assert nose_shift(noisy, landmarks, "top_mean")[0] > 0.115

    glint = np.tile(np.float32([1, 0]), (256, 256, 1))
    x, y = landmarks[29].astype(int)
    glint[y - 6 : y + 6, x - 6 : x + 6] = (-4, 0)
    assert nose_shift(glint, landmarks)[0] == 1
    assert nose_shift(glint, landmarks, "top_mean")[0] < 0.8


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([64, 128, 256]), st.floats(-3, 3), st.floats(-3, 3))
def test_only_the_nose_is_looked_at(size, dx, dy):
    landmarks = transform_points(MEAN_FACE, face_matrix(MEAN_FACE, size))
    flow = np.full((size, size, 2), 50, np.float32)
    per_u = size / CROP_UNITS
    left, right = (int(landmarks[29, 0] - 14 * per_u) - 1, int(landmarks[29, 0] + 14 * per_u) + 3)
    top, bottom = (int(landmarks[29, 1] - 14 * per_u) - 1, int(landmarks[30, 1] + 14 * per_u) + 3)
    flow[top:bottom, left:right] = (dx, dy)
    np.testing.assert_allclose(nose_shift(flow, landmarks, "top_mean"), (dx, dy), atol=1e-5)


def test_landmarks_outside_the_flow_field_are_refused(face):
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    with pytest.raises(ValueError, match="map the landmarks into the crop"):
        nose_shift(flow, face[1] + 500)
    with pytest.raises(ValueError, match="'mode'"):
        nose_shift(flow, face[1], "mode")
