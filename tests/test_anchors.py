"""What trivial and ideal methods score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot_lib.anchors import Tiling, best_tiling, boundary_ceiling
from mespot_lib.interval import Interval
from mespot_lib.metrics import Counts, MetricError, score


def test_tiles_that_fit_find_everything():
    # frames    0         10        20        30
    # truth     [========]          [========]          tiles of one second at 10 fps hit both, and two FP besides
    truth = {"a": [Interval(0, 9, "MaE"), Interval(20, 29, "MaE")], "b": []}
    best = best_tiling(truth, {"a": 35, "b": 10}, {"a": 10.0, "b": 10.0}, tile_s=[0.5, 1.0, 3.0])
    assert best["MaE"] == Tiling(Counts(2, 2, 0), 1.0)
    assert best["ME"].counts.tp == 0
    assert best["overall"].seconds is None
    assert best["overall"].counts == best["ME"].counts + best["MaE"].counts


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=5), st.sampled_from([0.2, 0.7, 1.5])
)
def test_tiling_is_scored_as_its_intervals_would_be(spans, seconds):
    truth = {"a": [Interval(on, on + more, "ME") for on, more in spans]}
    size = round(seconds * 10)
    tiles = {"a": [Interval(on, on + size - 1, "ME") for on in range(0, 100 - size + 1, size)]}
    tiled = best_tiling(truth, {"a": 100}, {"a": 10.0}, tile_s=[seconds])
    assert tiled["ME"] == Tiling(score(truth, tiles).ME, seconds)


def test_tiles_last_as_long_at_every_frame_rate():
    truth = {"a": [Interval(0, 29, "MaE")], "b": [Interval(0, 199, "MaE")]}
    best = best_tiling(truth, {"a": 30, "b": 200}, {"a": 30.0, "b": 200.0}, tile_s=[1.0])
    assert best["MaE"].counts == Counts(2, 0, 0)


def test_exact_boundaries_reach_the_ceiling_and_short_expressions_bear_less():
    spans = [Interval(200 * k, 200 * k + 11, "ME") for k in range(20)]
    spans += [Interval(200 * k + 50, 200 * k + 109, "MaE") for k in range(20)]
    truth, fps = {"a": spans}, {"a": 30.0}
    assert boundary_ceiling(truth, fps, 0.0) == {"ME": 1.0, "MaE": 1.0, "overall": 1.0}
    ceiling = boundary_ceiling(truth, fps, 0.1)
    assert 0.5 < ceiling["ME"] < 0.95 < ceiling["MaE"]
    assert ceiling["overall"] == pytest.approx((ceiling["ME"] + ceiling["MaE"]) / 2)
    assert boundary_ceiling(truth, fps, 0.2)["ME"] < ceiling["ME"]
    assert ceiling == boundary_ceiling(truth, fps, 0.1)
    # the noise is in seconds: at twice the frame rate twice the frames
    assert boundary_ceiling(truth, {"a": 60.0}, 0.05)["ME"] == pytest.approx(ceiling["ME"], abs=0.01)


def test_ceiling_of_nothing_is_zero_and_noise_is_not_negative():
    assert boundary_ceiling({"a": []}, {"a": 30.0}, 0.1) == {"ME": 0.0, "MaE": 0.0, "overall": 0.0}
    for noise in (-0.1, np.nan):
        with pytest.raises(MetricError, match="noise_s must not be negative"):
            boundary_ceiling({"a": []}, {"a": 30.0}, noise)
