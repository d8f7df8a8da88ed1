"""LTP-ML on squares drawn by hand: the S-pattern, what is learned from, who may speak, and nothing of the held-out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_manifest

from mespot_lib import held_out
from mespot_lib.features.patches import ROWS, FacePatches
from mespot_lib.interval import Interval
from mespot_lib.methods import ltp_ml
from mespot_lib.methods.ltp_ml import (
    LtpMlConfig,
    Plane,
    Scores,
    clip_patterns,
    learned_rows,
    linear_svm,
    local_patterns,
    regions_of,
    spot_scores,
)

CONFIG = LtpMlConfig.general("casme2")
MOUTH = ROWS["mouth"][0]


def squares_of(paths, noise=0.0, seed=0):
    """Return squares (N, 12, 11, 11) of one texture that follows a path (N,) px in some regions and rests elsewhere."""
    rng = np.random.default_rng(seed)
    samples = len(next(iter(paths.values())))
    waves = np.arange(11)
    squares = np.empty((samples, 12, 11, 11))
    for region in range(12):
        phase = rng.uniform(0, 6)
        path = paths.get(region, np.zeros(samples))
        x = waves[None, None, :] - np.asarray(path)[:, None, None]
        squares[:, region] = 128 + 60 * np.sin(0.6 * x + phase) + 20 * np.cos(0.9 * waves)[None, :, None]
    return np.clip(squares + rng.normal(0, noise, squares.shape), 0, 255).round().astype(np.uint8)


def bump(samples, onset, length, height=2.0):
    place = np.clip((np.arange(samples) - onset) / length, 0, 1)
    return height * (0.5 - 0.5 * np.cos(2 * np.pi * place))


def patches_of(paths, stretch=None, **kwargs):
    squares = squares_of(paths, **kwargs)
    stretch = np.zeros(len(squares), dtype=np.int64) if stretch is None else stretch
    return FacePatches(np.arange(len(squares)), squares, stretch)


def test_an_expression_rises_and_falls_in_the_window_that_begins_before_it():
    values = clip_patterns(squares_of({MOUTH: bump(30, 10, 9)}), 9)
    assert values.shape == (12, 21, 10)
    pattern = values[MOUTH, 9, 1:]
    assert pattern.argmax() in (4, 5)
    assert pattern.max() == pytest.approx(1, abs=0.1)
    assert pattern[0] < 0.1
    assert pattern[-1] < 0.3


def test_distances_are_those_of_a_plain_loop_over_principal_components():
    squares = np.random.default_rng(0).integers(0, 255, (20, 2, 5, 5)).astype(np.uint8)
    values = clip_patterns(squares, 6)
    for region in range(2):
        pixels = squares[:, region].reshape(20, -1).astype(float)
        centred = pixels - pixels.mean(axis=0)
        directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
        places = centred @ directions.T
        d = np.array([[np.linalg.norm(places[n + i] - places[n]) for i in range(1, 7)] for n in range(14)])
        largest = d[:, :3].max()
        np.testing.assert_allclose(values[region, :, 1:], d / largest, rtol=1e-6)
        assert values[region, 0, 0] == pytest.approx(min(10, 1 / largest))


def test_movement_of_any_direction_and_light_that_stays_are_alike():
    there = clip_patterns(squares_of({MOUTH: bump(30, 10, 9)}), 9)[MOUTH]
    back = clip_patterns(squares_of({MOUTH: -bump(30, 10, 9)}), 9)[MOUTH]
    np.testing.assert_allclose(there[9, 1:], back[9, 1:], atol=0.25)
    brighter = clip_patterns(squares_of({MOUTH: bump(30, 10, 9)}) - np.uint8(20), 9)[MOUTH]
    np.testing.assert_allclose(there, brighter, atol=1e-6)


def test_a_still_square_has_no_distances():
    values = clip_patterns(np.full((30, 12, 11, 11), 90, dtype=np.uint8), 9)
    assert (values[..., 1:] == 0).all()
    assert (values[..., 0] == 10).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), st.integers(12, 40), st.integers(3, 11))
def test_every_whole_window_lies_in_exactly_one_clip(lengths, length, window):
    stretch = np.concatenate([np.full(n, number) for number, n in enumerate(lengths)])
    owners = np.zeros(len(stretch), dtype=int)
    for first, last in ltp_ml._clips(stretch, length, window):
        assert len(set(stretch[first:last])) == 1
        owners[first : last - window] += 1
    ends = np.cumsum(lengths)
    expected = np.concatenate(
        [np.arange(end - n, end) + window < end for n, end in zip(lengths, ends, strict=True)]
    )
    np.testing.assert_array_equal(owners, expected)


def test_gaps_and_short_videos_have_no_patterns():
    stretch = np.repeat([0, -1, 1], [40, 5, 15])
    patterns = local_patterns(patches_of({MOUTH: bump(60, 10, 9)}, stretch), 30, CONFIG)
    known = ~np.isnan(patterns.values[:, 0, 0])
    assert set(np.flatnonzero(known)) == {*range(31), *range(45, 51)}
    np.testing.assert_array_equal(known, patterns.clip >= 0)
    for samples in (1, 2, 9, 10):
        short = local_patterns(patches_of({MOUTH: np.zeros(samples)}), 30, CONFIG)
        assert (short.clip < 0).sum() >= min(samples, 9)


@pytest.mark.parametrize("rate", [1.0, 5.0, 12.5, 28.6, 60.0])
def test_any_frame_rate_has_patterns(rate):
    patches = patches_of({MOUTH: bump(200, 10, 9)})
    patterns = local_patterns(patches, rate, CONFIG)
    assert patterns.values.shape[-1] - 1 == max(4, round(0.3 * rate))
    learned_rows(patterns, 10, ROWS["mouth"], CONFIG)


def test_learned_from_the_region_that_moves_and_from_the_frames_before_the_onset():
    patterns = local_patterns(patches_of({MOUTH: bump(60, 10, 9)}, noise=1.0), 30, CONFIG)
    rows, labels = learned_rows(patterns, 10, ROWS["mouth"], CONFIG)
    assert (labels > 0).sum() == 3
    np.testing.assert_array_equal(rows[labels > 0], patterns.values[7:10, MOUTH])
    assert (labels < 0).sum() == 2  # samples 0 and 16 of 21
    # not where no such movement is, nor in regions of another part of the face
    assert len(learned_rows(patterns, 40, ROWS["mouth"], CONFIG)[0]) == 0
    assert len(learned_rows(patterns, 10, ROWS["brows"], CONFIG)[0]) == 0
    assert len(learned_rows(patterns, 0, ROWS["mouth"], CONFIG)[0]) == 0


def test_only_regions_that_move_more_than_the_average_one_may_speak():
    other = ROWS["brows"][0]
    patches = patches_of({MOUTH: bump(60, 10, 9), other: bump(60, 10, 9, 1.5)})
    patterns = local_patterns(patches, 30, CONFIG)
    assert np.flatnonzero(patterns.moving[9]).tolist() == sorted([MOUTH, other])
    scores = ltp_ml.score_patterns(patterns, Plane(np.zeros(10), 1.0), 30, 60, CONFIG)
    assert np.flatnonzero(scores.margins[9] > 0).tolist() == sorted([MOUTH, other])
    # nor where the distance stays far below the clip's largest
    assert (scores.margins[0] == -np.inf).all()


def test_a_movement_that_stays_is_not_learned_from():
    stays = 2 * np.clip((np.arange(60) - 10) / 4, 0, 1)
    patterns = local_patterns(patches_of({MOUTH: stays + np.arange(60) * 0.02}, noise=0.5), 30, CONFIG)
    assert len(learned_rows(patterns, 10, ROWS["mouth"], CONFIG)[0]) == 0


@pytest.mark.parametrize(
    ("units", "part"),
    [("4", "brows"), ("1+2", "brows"), ("12", "mouth"), ("R12+L14", "mouth"), ("4+12", None)],
)
def test_action_units_tell_the_regions(units, part):
    expected = ROWS[part] if part else (*ROWS["brows"], *ROWS["mouth"])
    assert regions_of(units) == expected


def test_without_action_units_all_but_the_nose():
    assert regions_of(None) == regions_of("") == (*ROWS["brows"], *ROWS["mouth"])


def test_the_plane_is_the_minimum_known_by_hand():
    # one dimension, classes at -1 and 1: f(x) = w x, w^2 / 2 + 2 C (1 - w)^2 -> w = 4 C / (1 + 4 C)
    plane = linear_svm(np.array([[-1.0], [1.0]]), np.array([-1.0, 1.0]), cost=5, positive_weight=1)
    assert plane.weights[0] == pytest.approx(20 / 21, rel=1e-4)
    assert plane.bias == pytest.approx(0, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_no_other_plane_is_better(seed):
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(0, 1, (30, 3)), np.where(rng.random(30) < 0.3, 1.0, -1.0)
    labels[0] = 1.0

    def loss(weights, bias):
        costs = 5 * np.where(labels > 0, 2.5, 1.0)
        return weights @ weights / 2 + costs @ np.maximum(0, 1 - labels * (rows @ weights + bias)) ** 2

    plane = linear_svm(rows, labels, 5, 2.5)
    least = loss(*plane)
    for _ in range(20):
        assert loss(plane.weights + rng.normal(0, 0.05, 3), plane.bias + rng.normal(0, 0.05)) >= least - 1e-6


def test_without_a_positive_row_nobody_speaks():
    assert linear_svm(np.ones((4, 2)), -np.ones(4), 5, 2.5).margins(np.ones((3, 2))).tolist() == [-1, -1, -1]


def scores_of(speaking, samples=60, fps=30.0, step=1):
    margins = np.full((samples, 12), -np.inf)
    for region, frames in speaking.items():
        margins[frames, region] = 1.0
    return Scores(fps, samples * step, np.arange(samples) * step, margins)


def test_frames_that_speak_are_an_interval_a_tenth_of_a_second_later():
    assert spot_scores(scores_of({MOUTH: range(16, 24)}), 0, CONFIG) == [Interval(19, 26, "ME", score=1.0)]
    assert spot_scores(scores_of({MOUTH: range(16, 21)}), 0, CONFIG) == []  # five frames are too few
    assert spot_scores(scores_of({MOUTH: range(16, 24)}), 1.5, CONFIG) == []


def test_the_same_at_200_frames_per_second():
    config = LtpMlConfig.general("samm_lv")
    spots = spot_scores(scores_of({MOUTH: range(15, 25)}, fps=200.0, step=7), 0, config)
    assert spots == [Interval(7 * 15 + 15, 7 * 25 - 1 + 15, "ME", score=1.0)]


def test_a_moving_nose_or_half_the_face_is_silence():
    event = {MOUTH: range(16, 24)}
    nose = {row: range(16, 24) for row in ROWS["nose"]}
    assert spot_scores(scores_of(event | nose), 0, CONFIG) == []
    assert len(spot_scores(scores_of(event | {ROWS["nose"][0]: range(16, 24)}), 0, CONFIG)) == 1
    assert spot_scores(scores_of(dict.fromkeys(range(7), range(16, 24))), 0, CONFIG) == []
    brows_and_mouth = dict.fromkeys((*ROWS["brows"][:3], *ROWS["mouth"][:3]), range(16, 24))
    assert len(spot_scores(scores_of(brows_and_mouth), 0, CONFIG)) == 1


def test_no_samples_no_intervals():
    assert spot_scores(scores_of({}, samples=1), 0, CONFIG) == []
    assert spot_scores(scores_of({}), 0, CONFIG) == []


def test_printed_settings():
    assert LtpMlConfig.general("casme2") == LtpMlConfig.high_f1("casme2") == LtpMlConfig.paper()
    assert round(LtpMlConfig.general("casme2").lead_s * 30) == 3
    assert round(LtpMlConfig.general("synthetic_samm_lv").lead_s * 200) == 15
    assert CONFIG.margin == 0


@pytest.fixture
def toy(monkeypatch):
    """The toy dataset: an expression of the mouth at 10..19, as the events of the first video of each subject say."""

    def cut(video, recipe):
        seed = sum(map(ord, video.uid))
        return patches_of({MOUTH: bump(video.length, 10, 9)}, noise=1.0, seed=seed)

    monkeypatch.setattr(ltp_ml, "face_patches", cut)
    return toy_manifest()


def test_leave_one_subject_out_finds_the_expression(toy):
    spotted = held_out.leave_one_subject_out(toy, lambda train: ltp_ml.fit(train, CONFIG))
    assert set(spotted) == set(toy.uids)
    fitted = ltp_ml.fit(toy, CONFIG)
    assert fitted.positives == 6
    margins = fitted.score(toy.video(toy.uids[0])).margins[:, MOUTH]
    assert np.nanmax(margins[6:10]) > 0
    assert (margins[30:] <= 0).all()


@pytest.mark.parametrize("margin", [0.0, None])
def test_the_held_out_subject_leaves_no_trace(toy, monkeypatch, margin):
    config = LtpMlConfig.general(margin=margin)
    train = toy.only([uid for uid in toy.uids if "s01" in uid])
    before = ltp_ml.fit(train, config)
    plain = ltp_ml.face_patches

    def poisoned(video, recipe):
        assert video.subject != "s02", "the held-out subject was looked at"
        return plain(video, recipe)

    monkeypatch.setattr(ltp_ml, "face_patches", poisoned)
    toy.events.loc[toy.events["video_uid"].str.contains("s02"), "onset"] = 50
    after = ltp_ml.fit(toy.only([uid for uid in toy.uids if "s01" in uid]), config)
    np.testing.assert_array_equal(before.plane.weights, after.plane.weights)
    assert (before.plane.bias, before.margin) == (after.plane.bias, after.margin)


def test_a_training_subject_leaves_one(toy, monkeypatch):
    before = ltp_ml.fit(toy, CONFIG)
    plain = ltp_ml.face_patches

    def other(video, recipe):
        if video.subject == "s01":
            return plain(video, recipe)
        return patches_of({MOUTH: bump(video.length, 10, 6, 3.0)}, noise=1.0, seed=5)

    monkeypatch.setattr(ltp_ml, "face_patches", other)
    assert not np.allclose(before.plane.weights, ltp_ml.fit(toy, CONFIG).plane.weights)


def test_inner_margins_come_from_planes_of_other_subjects(toy, monkeypatch):
    seen = []
    plain = ltp_ml._learned

    def recorded(train, patterns, config):
        seen.append(train.subjects)
        return plain(train, patterns, config)

    monkeypatch.setattr(ltp_ml, "_learned", recorded)
    ltp_ml.fit(toy, LtpMlConfig.general(margin=None))
    assert seen == [("s01", "s02"), ("s02",), ("s01",)]


def test_a_plane_is_what_it_says():
    assert Plane(np.array([2.0, -1.0]), 0.5).margins(np.array([[1.0, 1.0]])).tolist() == [1.5]
