"""The test beds of the flow are what they say, and the tables measured on them are right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.features import accuracy
from mespot_lib.features.regions import REGIONS
from mespot_lib.synthetic.timeline import neutral_state

QUICK = ("dis", "farneback")


# --- the texture ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 99))
def test_a_shift_by_whole_pixels_moves_the_texture_right_and_down(dx, dy, seed):
    first, second = accuracy.moved_texture((dx, dy), size=48, seed=seed)
    np.testing.assert_array_equal(second, np.roll(first, (dy, dx), axis=(0, 1)))


@settings(deadline=None, max_examples=15)
@given(st.floats(-2, 2), st.floats(-2, 2))
def test_two_shifts_add_up(dx, dy):
    """Half a shift, measured twice, is the whole one: no fraction of a pixel is blurred or rounded."""
    once = accuracy.moved_texture((dx, dy), size=48)[1].astype(int)
    opposite = accuracy.moved_texture((dx - 5, dy + 3), size=48)[1].astype(int)
    assert np.abs(np.roll(opposite, (-3, 5), axis=(0, 1)) - once).max() <= 1  # grey level, from rounding


def test_fractions_of_a_pixel_do_not_blur():
    first, second = accuracy.moved_texture((0.5, 0.5), grain_px=1.0)
    assert second.std() == pytest.approx(first.std(), rel=0.01)
    assert np.abs(np.diff(second.astype(int))).mean() == pytest.approx(
        np.abs(np.diff(first.astype(int))).mean(), rel=0.02
    )


def test_contrast_grain_and_noise_are_those_asked_for():
    plain = accuracy.moved_texture((0, 0), contrast=20, grain_px=1)[0].astype(float)
    coarse = accuracy.moved_texture((0, 0), contrast=20, grain_px=4)[0].astype(float)
    assert plain.std() == pytest.approx(20, rel=0.03)
    assert np.abs(np.diff(coarse)).mean() < 0.5 * np.abs(np.diff(plain)).mean()
    first, second = accuracy.moved_texture((0, 0), contrast=20, noise_levels=3)
    assert (second.astype(float) - first).std() == pytest.approx(3 * np.sqrt(2), rel=0.05)


def test_a_sensor_rounds_and_clips():
    image = np.array([[-4.0, 0.6, 254.4, 300.0]])
    photo = accuracy.photographed(image, 0, np.random.default_rng(0))
    assert photo.dtype == np.uint8
    assert photo.tolist() == [[0, 1, 254, 255]]


def test_the_readout_of_a_texture_is_near_the_truth_and_its_columns_agree():
    table = accuracy.texture_readout([0.5, 2.0], QUICK, repeats=2, size=64)
    assert list(table.columns) == ["method", "true", "read", "bias", "spread", "error"]
    assert len(table) == 4
    assert table["bias"].abs().max() < 0.05
    np.testing.assert_allclose(table["read"] - table["true"], table["bias"])
    assert (table["error"] >= table["bias"].abs()).all()


def test_a_flow_that_reads_half_is_told_so(monkeypatch):
    def half(first, second, method):
        return np.broadcast_to(0.5 * 2.0 * np.float32([np.cos(0.4), np.sin(0.4)]), (*first.shape, 2))

    monkeypatch.setattr(accuracy, "dense_flow", half)
    row = accuracy.texture_readout([2.0], ["dis"], repeats=1, size=32).iloc[0]
    assert row["read"] == pytest.approx(1.0, abs=1e-6)
    assert row["bias"] == pytest.approx(-1.0, abs=1e-6)
    assert row["error"] == pytest.approx(1.0, abs=1e-6)
    assert row["spread"] == pytest.approx(0.0, abs=1e-6)


# --- the drawn face -------------------------------------------------------------------------------------------------


def test_crops_share_the_matrix_of_the_first_state():
    shifted = neutral_state(x=4.0)  # u to the right
    crops, landmarks = accuracy.drawn_crops(1, [neutral_state(), shifted], size=128, noise_levels=0)
    assert [crop.shape for crop in crops] == [(128, 128)] * 2
    assert crops[0].dtype == np.uint8
    np.testing.assert_allclose(landmarks[1] - landmarks[0], np.broadcast_to((2.0, 0.0), (68, 2)), atol=0.05)
    np.testing.assert_allclose(landmarks[0, [39, 42]].mean(axis=0), (63.5, 47.5), atol=1e-3)


def test_noise_is_new_in_every_photograph_and_the_same_in_every_run():
    states = [neutral_state()] * 2
    (first, second), _ = accuracy.drawn_crops(1, states)
    (again, _), _ = accuracy.drawn_crops(1, states)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_only_the_asked_muscle_works_and_only_as_far_as_it_can():
    rest, smile = accuracy.drawn_crops(1, [neutral_state(), accuracy.working("12", 3.0)])[1]
    moved = np.linalg.norm(smile - rest, axis=1) * 2  # u
    assert (moved[[48, 54]] > 2).all()
    assert moved[17:27].max() < 0.01
    with pytest.raises(ValueError, match="action unit 24 of a drawn face goes up to 5 u"):
        accuracy.working("24", 9.0)


def test_the_readout_of_a_muscle_follows_its_amplitude():
    table = accuracy.muscle_readout([0.5, 2.0], QUICK, persons=(1,))
    assert len(table) == 2 * 2 * len(accuracy.PLACES)
    ratio = table["read"] / table["true"]
    assert ratio.between(0.75, 1.25).all()
    assert (table["true"] <= table["amplitude"] + 1e-6).all()
    for _, rows in table.groupby(["method", "place"]):
        assert rows.sort_values("amplitude")["read"].is_monotonic_increasing


def test_flow_is_read_where_the_landmarks_are(monkeypatch):
    """Where flow is the exact displacement at the landmarks and absurd elsewhere, the truth is read."""
    states = [neutral_state(), accuracy.working("12", 2.0)]
    _, landmarks = accuracy.drawn_crops(1, states)

    def known(first, second, method):
        flow = np.full((*first.shape, 2), 99, np.float32)
        for point in (48, 54):
            x, y = np.rint(landmarks[0, point]).astype(int)
            flow[y - 2 : y + 3, x - 2 : x + 3] = landmarks[1, point] - landmarks[0, point]
        return flow

    monkeypatch.setattr(accuracy, "dense_flow", known)
    table = accuracy.muscle_readout([2.0], ["dis"], persons=(1,)).set_index("place").loc["mouth corners"]
    assert table["read"] == pytest.approx(table["true"], rel=1e-3)


# --- the noise floor ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def face():
    crops, landmarks = accuracy.drawn_crops(1, [neutral_state()], noise_levels=0)
    return crops[0], landmarks[0]


def test_nothing_is_seen_without_noise_and_more_with_more(face):
    table = accuracy.noise_floor(*face, [(0, 1.0), (1, 1.0), (4, 1.0)], QUICK, repeats=2)
    for _, rows in table.groupby("method"):
        assert rows["region"].iloc[0] < 0.01
        assert rows["region"].is_monotonic_increasing
        assert rows["pixel"].is_monotonic_increasing
    noisy = table[table["noise"] == 4]
    assert (noisy["region"] < noisy["pixel"]).all()


def test_only_tvl1_takes_light_for_motion(face):
    table = accuracy.noise_floor(*face, [(0, 1.05)], repeats=1).set_index("method")["region"]
    assert table["tvl1"] > 0.25
    assert table[["dis", "farneback"]].max() < 0.15


def test_the_floor_is_a_root_mean_square(face, monkeypatch):
    monkeypatch.setattr(accuracy, "dense_flow", lambda first, *_: np.full((*first.shape, 2), 3.0, np.float32))
    row = accuracy.noise_floor(*face, [(0, 1.0)], ["dis"], repeats=2).iloc[0]
    assert row["pixel"] == pytest.approx(np.sqrt(18))
    assert row["region"] == pytest.approx(np.sqrt(18))
    assert len(REGIONS) == 11
