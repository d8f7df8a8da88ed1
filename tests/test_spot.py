"""Score curves to intervals."""

import itertools
from dataclasses import replace

import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.interval import Interval
from mespot_lib.spot import (
    expand_to_fraction,
    merge_close,
    nms,
    peaks,
    rivals,
    runs_above,
    smooth,
    survivors,
    to_frames,
    type_by_duration,
)

FILTERS = [{"savgol_s": 0.3}, {"low_pass_hz": 4.0}, {"gaussian_s": 0.05}]


def bump(fps, centre_s=2.0, width_s=0.4, length_s=4.0):
    """A smooth bump of height 1, (T,)."""
    t = np.arange(round(length_s * fps)) / fps
    return np.exp(-0.5 * ((t - centre_s) / (width_s / 2)) ** 2)


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize("fps", [30, 200])
def test_smoothing_removes_noise_and_moves_nothing(filter_, fps):
    clean = bump(fps)
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, len(clean))
    smoothed = smooth(noisy, fps, **filter_)
    assert np.std(smoothed - clean) < 0.7 * np.std(noisy - clean)
    assert abs(int(np.argmax(smooth(clean, fps, **filter_))) - int(np.argmax(clean))) <= 1


@pytest.mark.parametrize("filter_", FILTERS)
def test_smoothing_is_the_same_in_mirrored_time(filter_):
    curve = np.random.default_rng(1).random(120)
    np.testing.assert_allclose(
        smooth(curve[::-1], 30, **filter_)[::-1], smooth(curve, 30, **filter_), atol=1e-6
    )


@pytest.mark.parametrize("filter_", FILTERS)
def test_gaps_stay_gaps_and_do_not_spread(filter_):
    curve = np.column_stack([bump(30), bump(30)])
    curve[10:14, 0] = np.nan
    smoothed = smooth(curve, 30, **filter_)
    np.testing.assert_array_equal(np.isnan(smoothed), np.isnan(curve))
    np.testing.assert_array_equal(smoothed[:, 1], smooth(curve[:, 1], 30, **filter_))
    curve[:, 0] = np.nan  # of this nothing is known
    smoothed = smooth(curve, 30, **filter_)
    np.testing.assert_array_equal(np.isnan(smoothed), np.isnan(curve))
    np.testing.assert_array_equal(smoothed[:, 1], smooth(curve[:, 1], 30, **filter_))
    assert np.isnan(smooth(curve[:, 0], 30, **filter_)).all()


# A window is the next odd number of frames, or the largest that a short video has.
@pytest.mark.parametrize(
    ("frames", "savgol_s", "window"), [(40, 0.3, 9), (40, 1 / 3, 11), (7, 0.3, 7), (6, 0.3, 5)]
)
def test_savitzky_golay_is_the_value_of_a_fitted_cubic(frames, savgol_s, window):
    curve = np.random.default_rng(2).random(frames)
    half = window // 2
    cubic = np.polyfit(np.arange(-half, half + 1), curve[:window], 3)
    assert smooth(curve, 30, savgol_s=savgol_s)[half] == pytest.approx(cubic[-1])


def test_a_gaussian_sees_the_ends_go_on():
    curve = np.random.default_rng(3).random(30)
    longer = smooth(np.pad(curve, 40, mode="edge"), 30, gaussian_s=0.1)
    np.testing.assert_allclose(smooth(curve, 30, gaussian_s=0.1), longer[40:-40])


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_very_short_videos_can_be_smoothed(filter_, frames):
    assert smooth(np.ones(frames), 30, **filter_) == pytest.approx(np.ones(frames))


@pytest.mark.parametrize("filter_", FILTERS)
def test_whole_scores_are_smoothed_as_broken_ones(filter_):
    whole = np.random.default_rng(4).integers(0, 9, 60)
    np.testing.assert_array_equal(smooth(whole, 30, **filter_), smooth(whole.astype(float), 30, **filter_))


@pytest.mark.parametrize("settings_", [{}, {"savgol_s": 1.0, "gaussian_s": 1.0}, {"gaussian_s": 0.0}])
def test_exactly_one_filter_must_be_chosen(settings_):
    with pytest.raises(ValueError, match="exactly one of"):
        smooth(np.ones(9), 30, **settings_)


def test_a_cut_off_lies_below_half_the_frame_rate():
    with pytest.raises(ValueError, match="half the frame rate, 15 Hz; got 15"):
        smooth(np.ones(9), 30, low_pass_hz=15)
    assert smooth(np.ones(9), 30, low_pass_hz=14.5) == pytest.approx(np.ones(9))


def test_peaks_reach_height_distance_and_prominence():
    #                  0  1  2  3  4  5  6  7  8  9
    curve = np.array([9.0, 0, 5, 0, 4, 3, 4.5, 0, 2, 0])
    assert peaks(curve, 10, height=3).tolist() == [2, 4, 6]
    assert peaks(curve, 10, height=3, distance_s=0.3).tolist() == [2, 6]
    assert peaks(curve, 10, height=0, prominence=2).tolist() == [2, 6, 8]
    assert peaks(curve, 10, height=6).tolist() == []


def test_peaks_ignore_gaps():
    curve = np.array([0, 1, 5, 1, np.nan, 1, 6, 1.0])
    assert peaks(curve, 10, height=3, prominence=1).tolist() == [2, 6]
    assert peaks(np.full(4, np.nan), 10, height=0).tolist() == []
    assert peaks(np.array([0, 1, 5, np.nan, np.nan, 6, 1]), 10, height=3).tolist() == [
        2,
        5,
    ]  # beside one they count
    assert peaks(curve, 10, height=3).dtype == peaks(np.full(4, np.nan), 10, height=0).dtype == np.int64


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, np.nan]), max_size=30))
def test_runs_cover_exactly_the_frames_above(values):
    curve = np.array(values)
    runs = runs_above(curve, 0.5)
    covered = np.zeros(len(curve), dtype=bool)
    for onset, offset in runs:
        covered[onset : offset + 1] = True
    np.testing.assert_array_equal(covered, curve >= 0.5)
    assert all(after[0] - before[1] >= 2 for before, after in itertools.pairwise(runs))


def test_expanding_walks_to_the_fraction_on_both_sides():
    curve = np.array([1, 0, 2, 3, 4, 2, 1, np.nan, 4, 4.0])
    assert expand_to_fraction(curve, np.array([4, 8]), 0.5).tolist() == [[2, 5], [8, 9]]
    assert expand_to_fraction(curve, np.array([4]), 1.0).tolist() == [[4, 4]]
    assert expand_to_fraction(curve, np.array([4]), 0.5, base=2.0).tolist() == [[3, 4]]
    assert expand_to_fraction(curve, np.array([], dtype=int), 0.5).shape == (0, 2)
    assert expand_to_fraction(np.array([3, 4, 1.0]), np.array([1]), 0.5).tolist() == [[0, 1]]
    assert expand_to_fraction(np.array([1, 3, 4.0]), np.array([2]), 0.5).tolist() == [[1, 2]]
    for at in (np.array([4]), np.array([], dtype=int)):
        assert expand_to_fraction(curve, at, 0.5).dtype == np.int64


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, np.nan])
def test_fractions_lie_between_nothing_and_all(fraction):
    with pytest.raises(ValueError, match="fraction"):
        expand_to_fraction(np.array([0, 4, 0.0]), np.array([1]), fraction)


@pytest.mark.parametrize(("fps", "longest"), [(30, 15), (200, 100)])
def test_kind_follows_the_duration_in_seconds(fps, longest):
    spotted = type_by_duration(np.array([[4, 4 + longest], [4, 5 + longest]]), fps, [5, 6], [0.1, 0.2])
    assert spotted == [Interval(4, 4 + longest, "ME", 5, 0.1), Interval(4, 5 + longest, "MaE", 6, 0.2)]
    assert type_by_duration(np.array([[4, 9]]), fps) == [Interval(4, 9, "ME", None, 1.0)]
    assert type_by_duration(np.empty((0, 2)), fps) == []
    with pytest.raises(ValueError, match=r"longer than|shorter than"):
        type_by_duration(np.array([[4, 9]]), fps, [5, 6], [0.1])
    assert to_frames(0.5, fps) == longest


def test_merging_joins_one_kind_over_short_gaps():
    # frames   0123456789
    # ME       [=] [=]  |     gaps of one and two frames
    # MaE         |
    spans = [
        Interval(0, 2, "ME", 1, 0.5),
        Interval(4, 6, "ME", 5, 0.9),
        Interval(9, 9, "ME"),
        Interval(3, 3, "MaE"),
    ]
    assert merge_close(spans, gap_s=0.1, fps=10) == [
        Interval(0, 6, "ME", 5, 0.9),
        Interval(3, 3, "MaE"),
        Interval(9, 9, "ME"),
    ]
    assert merge_close(spans, gap_s=0.0, fps=10) == sorted(spans)
    assert merge_close([], gap_s=1, fps=10) == []


@st.composite
def proposals(draw):
    spans = []
    for _ in range(draw(st.integers(0, 12))):
        onset = draw(st.integers(0, 30))
        length = draw(st.integers(1, 12))
        score = draw(st.sampled_from([0.1, 0.5, 0.5, 0.9]))  # equal scores are frequent
        spans.append(Interval(onset, onset + length - 1, draw(st.sampled_from(["ME", "MaE"])), score=score))
    return spans


@settings(max_examples=200)
@given(proposals(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.95, 1.0]), st.booleans())
def test_nms_equals_the_plain_reference(spans, t_nms, across_kinds):
    assert nms(spans, t_nms, across_kinds=across_kinds) == plain.nms(spans, t_nms, across_kinds)


def test_nms_over_the_shorter_drops_a_short_interval_inside_a_long_one():
    spans = [Interval(0, 99, "MaE", score=2), Interval(40, 49, "ME", score=1)]
    assert nms(spans, 0.2, across_kinds=True) == sorted(spans)  # their IoU is 0.1
    assert nms(spans, 0.2, across_kinds=True, over="shorter") == spans[:1]


def test_nms_leaves_other_kinds_alone_unless_told():
    spans = [Interval(0, 9, "MaE", score=2), Interval(0, 9, "ME", score=1)]
    assert nms(spans, 0.5) == sorted(spans)
    assert nms(spans, 0.5, across_kinds=True) == spans[:1]


@given(proposals(), st.sampled_from([0.1, 0.5]), st.booleans())
def test_nms_does_not_ask_where_time_begins(spans, t_nms, across_kinds):
    earlier = [replace(span, onset=span.onset - 100, offset=span.offset - 100) for span in spans]
    kept = [(span.onset + 100, span.offset + 100) for span in nms(earlier, t_nms, across_kinds=across_kinds)]
    assert kept == [(span.onset, span.offset) for span in nms(spans, t_nms, across_kinds=across_kinds)]


@pytest.mark.parametrize("scores", [[2.0, 1.0], [1.0, 2.0]])
def test_rivals_share_frames_of_their_union_or_of_the_shorter(scores):
    frames, group, scores = np.array([[3, 12], [8, 30]]), np.zeros(2, int), np.array(scores)
    strong, weak, share = rivals(frames, group, scores)
    assert (strong.tolist(), weak.tolist()) == ([int(np.argmax(scores))], [int(np.argmin(scores))])
    assert share.tolist() == [5 / 28]
    assert rivals(frames, group, scores, "shorter").share.tolist() == [5 / 10]


def test_nms_of_a_long_chain_alternates():
    # each is stronger than the next and overlaps it by half: the first silences the second, which frees the third
    chain = [Interval(5 * k, 5 * k + 9, "MaE", score=-k) for k in range(2001)]
    assert nms(chain, 0.3) == chain[::2]


@pytest.mark.parametrize("t_nms", [0.1, 0.5])
def test_nms_of_many_crowded_intervals_equals_the_plain_reference(t_nms):
    rng = np.random.default_rng(0)
    spans = [
        Interval(onset, onset + int(rng.integers(5, 80)), "ME", score=float(rng.integers(20)))
        for onset in rng.integers(0, 2000, size=400).tolist()
    ]
    assert nms(spans, t_nms) == plain.nms(spans, t_nms)


def test_videos_are_suppressed_apart_in_one_call():
    frames = np.array([[0, 9], [0, 9], [3, 12], [3, 12]])
    found = rivals(frames, np.array([0, 1, 0, 1]), np.array([1.0, 1.0, 2.0, 0.5]))
    assert survivors(found, 4, 0.2).tolist() == [False, True, True, False]
    assert survivors(found, 4, 1.0).all()
    nobody = rivals(frames[:0], np.empty(0, int), np.empty(0))
    assert [(part.shape, part.dtype) for part in nobody] == [
        ((0,), np.int64),
        ((0,), np.int64),
        ((0,), float),
    ]
    assert survivors(nobody, 0, 0.5).shape == (0,)
