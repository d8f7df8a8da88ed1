"""Contrast and its threshold on curves drawn by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mespot_lib.contrast import choose_p, contrast, hits_in_cells, mean_of_largest, of_dataset, relative
from mespot_lib.curves import Curves
from mespot_lib.interval import Interval

VALUES = arrays(np.float64, st.integers(1, 40), elements=st.floats(-5, 5))


@given(VALUES, st.integers(1, 12))
def test_contrast_is_that_of_a_plain_loop(values, lag):
    found = contrast(values, lag)
    for t in range(len(values)):
        if lag <= t < len(values) - lag:
            assert found[t] == pytest.approx(values[t] - (values[t - lag] + values[t + lag]) / 2)
        else:
            assert np.isnan(found[t])


def test_a_slope_and_a_plateau_have_no_contrast():
    np.testing.assert_allclose(contrast(np.arange(20.0), 3)[3:-3], 0, atol=1e-12)
    np.testing.assert_allclose(contrast(np.full(20, 7.0), 3)[3:-3], 0)


def test_a_gap_takes_its_neighbours_with_it():
    values = np.zeros(20)
    values[10] = np.nan
    assert set(np.flatnonzero(np.isnan(contrast(values, 3))[3:-3]) + 3) == {7, 10, 13}


@given(VALUES, st.floats(0.01, 0.99))
def test_reaching_p_is_reaching_the_threshold(values, p):
    found = relative(values)
    threshold = values.mean() + p * (values.max() - values.mean())
    if values.max() - values.mean() > 1e-6:
        clear = np.abs(values - threshold) > 1e-6
        np.testing.assert_array_equal((found >= p)[clear], (values >= threshold)[clear])
        assert found.max() == pytest.approx(1)


def test_a_flat_curve_reaches_nothing_and_gaps_stay():
    assert (relative(np.full(9, 0.1)) == 0).all()
    assert np.isnan(relative(np.full(9, np.nan))).all()
    np.testing.assert_allclose(relative(np.array([0, np.nan, 4.0, 2.0])), [-1, np.nan, 1, 0])


def test_the_largest_third_of_36_blocks_are_12():
    values = np.arange(36.0)
    assert mean_of_largest(values, 1 / 3) == np.arange(24, 36).mean()
    assert np.isnan(mean_of_largest(np.append(values[:-1], np.nan), 1 / 3))


def test_cells_join_the_hits_in_them_and_nothing_across_their_borders():
    hits = np.zeros(45, dtype=bool)
    hits[[2, 5, 8]] = hits[13:18] = hits[40] = True
    assert hits_in_cells(hits, 15, 2).tolist() == [[2, 14], [15, 17]]
    assert hits_in_cells(hits, 15, 4).tolist() == [[2, 14]]
    assert hits_in_cells(hits, 15, 1).tolist() == [[2, 14], [15, 17], [40, 40]]
    assert hits_in_cells(np.zeros(9, dtype=bool), 15, 1).shape == (0, 2)


def test_a_drawn_set_has_the_settings_of_its_model():
    assert of_dataset({"casme2": 1, "samm_lv": 2}, "synthetic_samm_lv") == 2
    with pytest.raises(ValueError, match="smic_e"):
        of_dataset({"casme2": 1}, "smic_e")


def test_p_is_chosen_by_the_kind_asked_for():
    curve = np.zeros((100, 2))
    curve[10:20, 0], curve[50:60, 0] = 1.0, 0.3
    judged, truth = {"v": Curves(30, curve)}, {"v": [Interval(10, 19, "ME"), Interval(70, 90, "MaE")]}

    def spot_at(curves, p):
        high = np.flatnonzero(curves.curves[:, 0] >= p)
        runs = np.split(high, np.flatnonzero(np.diff(high) > 1) + 1)
        return [Interval(int(run[0]), int(run[-1]), "ME") for run in runs]

    assert choose_p(judged, truth, "ME", spot_at) == 0.6  # of 0.31 to 0.9, all the same
    low = {"v": [*truth["v"], Interval(50, 59, "ME")]}
    assert choose_p(judged, low, "ME", spot_at) == 0.08  # of 0.01 to 0.25
