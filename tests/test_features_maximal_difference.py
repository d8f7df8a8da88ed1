"""Maximal difference of blocks: against plain loops, for movements known by hand, across gaps and cuts."""

import cv2
import numpy as np
import pytest

from mespot_lib.features.maximal_difference import (
    DifferenceRecipe,
    block_differences,
    lag_samples,
    stream_differences,
)

RECIPE = DifferenceRecipe(size=60)


def differences_by_loops(hc, ht, blocks, directions=4):
    """Equation (1), pixel by pixel."""
    side = len(hc) // blocks
    out = []
    for row in range(blocks):
        for column in range(blocks):
            groups = [[] for _ in range(directions)]
            for y in range(row * side, (row + 1) * side):
                for x in range(column * side, (column + 1) * side):
                    u, v = hc[y, x]
                    way = (u < 0) + 2 * (v < 0) if directions == 4 else int(u * v < 0)
                    groups[way].append(np.hypot(u, v) - np.hypot(*ht[y, x]))
            main = max(groups, key=len)
            third = max(1, int(len(main) / 3 + 0.5))
            out.append(np.mean(sorted(main, reverse=True)[:third]))
    return np.array(out)


@pytest.mark.parametrize("directions", [4, 2])
@pytest.mark.parametrize("size", [60, 64])
def test_differences_are_those_of_plain_loops(directions, size):
    rng = np.random.default_rng(0)
    hc, ht = rng.normal(0, 1, (2, size, size, 2)).astype(np.float32)
    found = block_differences(hc, ht, DifferenceRecipe(directions=directions))
    np.testing.assert_allclose(found, differences_by_loops(hc, ht, 6, directions), rtol=1e-4)


def uniform(u, v, size=60):
    return np.full((size, size, 2), (u, v), dtype=np.float32)


def test_there_and_back_is_the_distance_and_staying_away_is_nothing():
    np.testing.assert_allclose(block_differences(uniform(3, 4), uniform(0, 0), RECIPE), 5)
    np.testing.assert_allclose(block_differences(uniform(3, 4), uniform(3, 4), RECIPE), 0)


def test_one_that_goes_on_is_negative():
    np.testing.assert_allclose(block_differences(uniform(3, 4), uniform(6, 8), RECIPE), -5)


def test_only_the_main_direction_counts():
    flow = uniform(1, 1)
    flow[:, :3] = (-50, -50)  # much, but fewer vectors
    found = block_differences(flow, uniform(0, 0), RECIPE)
    np.testing.assert_allclose(found, np.sqrt(2), rtol=1e-6)
    opposite = block_differences(flow, uniform(0, 0), DifferenceRecipe(directions=2))
    # with the angle of the released program, opposite vectors are one direction, and the largest third counts
    assert opposite[0] > 40


def test_a_movement_shows_in_its_block_only():
    flow = uniform(0, 0)
    flow[20:30, 40:50] = (2, 0)
    found = block_differences(flow, uniform(0, 0), RECIPE).reshape(6, 6)
    assert found[2, 4] == pytest.approx(2)
    assert np.count_nonzero(found) == 1


@pytest.mark.parametrize(
    ("fps", "lag_s", "expected"), [(30, 0.4, 12), (200, 0.4, 80), (30, 1.3, 39), (200, 1.3, 260)]
)
def test_one_lag_in_seconds_is_the_published_one_at_both_frame_rates(fps, lag_s, expected):
    assert lag_samples(lag_s, fps, 10**5) == expected


@pytest.mark.parametrize(("samples", "expected"), [(72, 12), (71, 6), (36, 6), (35, 3), (6, 1), (1, 1)])
def test_a_short_video_halves_the_lag(samples, expected):
    assert lag_samples(0.4, 30, samples) == expected


def moved(texture, x):
    return cv2.warpAffine(texture, np.array([[1, 0, x], [0, 1, 0.0]]), None, borderMode=cv2.BORDER_REFLECT)


def stream(missing=(), cut_at=None, path=None):
    texture = cv2.GaussianBlur(np.random.default_rng(1).normal(128, 90, (120, 120)), (0, 0), 2)
    texture = np.clip((texture - 128) * 4 + 128, 0, 255).astype(np.float32)
    for t in range(40):
        x = path[t] if path is not None else 2 * max(0, 1 - abs(t - 20) / 4)
        if t not in missing:
            yield t, moved(texture, x), int(cut_at is not None and t >= cut_at)


def measured(**changes):
    recipe = DifferenceRecipe(size=120)
    found = {t: d for t, _, d in stream_differences(stream(**changes), [6], recipe)}
    return found


def test_a_picture_that_moves_and_returns_is_high_in_the_middle():
    found = measured()
    assert sorted(found) == list(range(6, 34))
    curve = {t: d.mean() for t, d in found.items()}
    assert max(curve, key=curve.get) == 20
    assert curve[20] == pytest.approx(2 * 256 / 120, rel=0.1)
    assert abs(curve[8]) < 0.1
    # what moves before the head frame is still away in both others
    assert abs(measured(path=[0.0] * 20 + [2.0] * 20)[30].mean()) < 0.1


def test_nothing_is_compared_across_a_gap_or_a_cut():
    assert set(measured(missing=(20,))) == set(range(6, 34)) - {14, 20, 26}
    assert set(measured(cut_at=20)) == {*range(6, 14), *range(26, 34)}


def test_several_lags_in_one_pass_are_those_of_several_passes():
    recipe = DifferenceRecipe(size=120)
    both = {(t, c): d for t, c, d in stream_differences(stream(), [6, 9], recipe)}
    for column, lag in enumerate((6, 9)):
        for t, _, alone in stream_differences(stream(), [lag], recipe):
            np.testing.assert_array_equal(both[t, column], alone)
