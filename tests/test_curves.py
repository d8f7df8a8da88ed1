"""Score curves of both kinds: labels, gaps, runs between two levels, and the levels chosen on training curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib import metrics
from mespot_lib.curves import (
    Curves,
    Threshold,
    choose_by_f1,
    choose_by_youden,
    labels_at,
    on_axis,
    spot_curves,
    youden_threshold,
)
from mespot_lib.interval import KINDS, Interval

ANY = dict.fromkeys(KINDS, (0.0, np.inf))


def bump(length: int, onset: int, offset: int, height: float) -> np.ndarray:
    curve = np.zeros(length)
    curve[onset : offset + 1] = height
    return curve


def both(threshold: Threshold) -> dict[str, Threshold]:
    return dict.fromkeys(KINDS, threshold)


def test_labels_include_both_ends():
    labels = labels_at(np.arange(0, 30, 2), [Interval(4, 8, "ME"), Interval(8, 20, "MaE")])
    assert np.flatnonzero(labels[:, 0]).tolist() == [2, 3, 4]
    assert np.flatnonzero(labels[:, 1]).tolist() == [4, 5, 6, 7, 8, 9, 10]


def test_gaps_have_no_score():
    curve = on_axis(np.array([0, 2, 4, 20, 22]), np.arange(5.0), 24, step=2)
    assert np.isnan(curve[7:18]).all()
    assert curve[[0, 1, 2, 20, 21, 23]] == pytest.approx([0, 0.5, 1, 3, 3.5, 4])


def test_a_run_is_as_wide_as_one_level_says_and_counts_if_it_reaches_the_other():
    me = bump(200, 20, 30, 0.9) + bump(200, 60, 72, 0.4)
    scores = Curves(30.0, np.stack([me, bump(200, 100, 150, 0.8)], axis=1))
    found = spot_curves(scores, both(Threshold(0.3, 0.6)), ANY)
    assert [(s.onset, s.offset, s.kind) for s in found] == [(20, 30, "ME"), (100, 150, "MaE")]
    assert found[0].score == pytest.approx(0.9 / 0.6)
    assert len(spot_curves(scores, both(Threshold(0.3, 0.3)), ANY)) == 3


def test_runs_of_the_wrong_duration_are_left_out():
    scores = Curves(30.0, np.stack([bump(90, 10, 40, 0.9), bump(90, 10, 40, 0.9)], axis=1))
    found = spot_curves(scores, both(Threshold(0.5, 0.5)), {"ME": (0.1, 0.6), "MaE": (0.4, np.inf)})
    assert [s.kind for s in found] == ["MaE"]


def test_of_an_me_and_an_mae_in_one_place_the_stronger_is_kept():
    scores = Curves(30.0, np.stack([bump(200, 105, 115, 0.7), bump(200, 100, 150, 0.9)], axis=1))
    found = spot_curves(scores, both(Threshold(0.3, 0.5)), ANY)
    assert [(s.kind, s.onset) for s in found] == [("MaE", 100)]
    assert len(spot_curves(scores, both(Threshold(0.3, 0.5)), ANY, t_nms=1.0)) == 2


def test_a_gap_ends_a_run():
    curve = bump(60, 10, 50, 0.9)
    curve[25:30] = np.nan
    found = spot_curves(Curves(30.0, np.stack([curve * 0, curve], axis=1)), both(Threshold(0.5, 0.5)), ANY)
    assert [(s.onset, s.offset) for s in found] == [(10, 24), (30, 50)]


# --- thresholds -----------------------------------------------------------------------------------------------------


def test_youden_takes_the_best_corner_of_the_roc():
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    assert youden_threshold(values, labels) == 0.7


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30))
def test_no_threshold_has_a_larger_youden_j(pairs):
    values = np.array([value for value, _ in pairs], dtype=float) + np.arange(len(pairs)) / 100  # no ties
    labels = np.array([label for _, label in pairs], dtype=int)

    def j(threshold: float) -> float:
        above = values >= threshold
        return above[labels > 0].sum() / max(labels.sum(), 1) - above[labels == 0].sum() / max(
            (labels == 0).sum(), 1
        )

    assert j(youden_threshold(values, labels)) == pytest.approx(max(j(value) for value in values))


def test_a_threshold_by_youden_parts_the_frames_of_expressions_from_the_rest():
    rng = np.random.default_rng(0)
    curve = np.stack([bump(300, 50, 60, 0.6), bump(300, 150, 190, 0.5)], axis=1) + rng.uniform(
        0, 0.2, (300, 2)
    )
    curve[200:210] = np.nan
    truth = {"v": [Interval(50, 60, "ME"), Interval(150, 190, "MaE")]}
    chosen = choose_by_youden({"v": Curves(30.0, curve)}, truth)
    assert 0.2 <= chosen["ME"].extent <= 0.8
    assert chosen["ME"].extent == chosen["ME"].peak
    assert [(s.onset, s.offset) for s in spot_curves(Curves(30.0, curve), chosen, ANY)] == [
        (50, 60),
        (150, 190),
    ]


def test_levels_by_f1_find_what_was_planted_and_leave_lower_bumps_alone():
    curves, truth = {}, {}
    for number in range(3):
        shift = 7 * number
        me = bump(400, 50 + shift, 60 + shift, 0.85) + bump(400, 250, 258, 0.5)  # the second is a blink, say
        mae = bump(400, 100, 140 + shift, 0.7) + bump(400, 300, 320, 0.35)
        curves[str(number)] = Curves(30.0, np.stack([me, mae], axis=1))
        truth[str(number)] = [Interval(50 + shift, 60 + shift, "ME"), Interval(100, 140 + shift, "MaE")]
    chosen = choose_by_f1(curves, truth, ANY)
    spotted = {name: spot_curves(one, chosen, ANY) for name, one in curves.items()}
    assert metrics.score(truth, spotted).overall.f1 == 1


def test_a_kind_that_is_hardly_found_is_spotted_only_where_that_does_not_cost_the_other_its_precision():
    """The curve of ME rises as high on ten blinks as on two of the three ME; the third rises higher."""
    me = sum(bump(900, at, at + 10, 0.5) for at in range(20, 420, 40))
    me = me + bump(900, 440, 450, 0.5) + bump(900, 480, 490, 0.5) + bump(900, 520, 530, 0.9)
    mae = sum(bump(900, at, at + 40, 0.8) for at in (600, 700, 800))
    scores = {"v": Curves(30.0, np.stack([me, mae], axis=1))}
    truth = {
        "v": [Interval(at, at + 10, "ME") for at in (440, 480, 520)]
        + [Interval(at, at + 40, "MaE") for at in (600, 700, 800)]
    }
    found = spot_curves(scores["v"], choose_by_f1(scores, truth, ANY), ANY)
    assert [(s.onset, s.kind) for s in found] == [(520, "ME"), (600, "MaE"), (700, "MaE"), (800, "MaE")]
