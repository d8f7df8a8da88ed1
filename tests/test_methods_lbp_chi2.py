"""LBP-chi2 on histograms drawn by hand: distances worked out on paper, what is spotted, and the printed settings."""

import itertools

import numpy as np
import pytest
from toy import toy_manifest

from mespot_lib import held_out
from mespot_lib.curves import Curves
from mespot_lib.features.lbp import BlockPatterns, chi_square
from mespot_lib.interval import Interval, iou
from mespot_lib.methods import lbp_chi2
from mespot_lib.methods.lbp_chi2 import LbpChi2Config, pattern_distances, score_patterns, spot_scores

CONFIG = LbpChi2Config.high_f1("casme2")


def patterns_of(shares, blocks=36, step=1):
    """Return histograms of two labels: the share (N,) of the second one is the same in the first blocks."""
    counts = np.zeros((len(shares), 36, 2), dtype=np.uint16)
    counts[..., 0] = 1000
    moved = np.round(1000 * np.asarray(shares)).astype(np.uint16)[:, None]
    counts[:, :blocks, 1] = moved
    counts[:, :blocks, 0] = 1000 - moved
    return BlockPatterns(np.arange(len(shares)) * step, counts, np.zeros(len(shares), dtype=np.int64))


def bump(seconds, onset_s, duration_s, height=0.5):
    place = np.clip((seconds - onset_s) / duration_s, 0, 1)
    return 0.2 + height * (0.5 - 0.5 * np.cos(2 * np.pi * place))


def spotted_on(patterns, fps=30, config=CONFIG, p=None):
    length = int(patterns.frames[-1]) + 1
    return spot_scores(score_patterns(patterns, fps, length, config), p or config.p, config)


def test_a_distance_worked_out_by_hand():
    patterns = patterns_of([0.2, 0.2, 0.6, 0.2, 0.4])
    found = pattern_distances(patterns, 1)
    expected = chi_square(np.array([0.4, 0.6]), np.array([0.8, 0.2]))
    assert expected == pytest.approx(0.16 / 1.2 + 0.16 / 0.8)
    assert found[2, 0] == pytest.approx(expected)
    # the mean of before and after: 0.4
    assert found[3, 0] == pytest.approx(chi_square(np.array([0.8, 0.2]), np.array([0.5, 0.5])))
    assert np.isnan(found[[0, 4]]).all()


def test_distances_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 50, (30, 4, 7)).astype(np.uint16)
    stretch = np.repeat([0, 1], [18, 12])
    found = pattern_distances(BlockPatterns(np.arange(30), counts, stretch), 3)
    for t in range(30):
        for block in range(4):
            around = (t - 3, t, t + 3)
            if min(around) < 0 or max(around) > 29 or len({stretch[s] for s in around}) > 1:
                assert np.isnan(found[t, block])
                continue
            before, now, after = (counts[s, block] / counts[s, block].sum() for s in around)
            mean, total = (before + after) / 2, 0.0
            for label in range(7):
                if now[label] + mean[label]:
                    total += (now[label] - mean[label]) ** 2 / (now[label] + mean[label])
            assert found[t, block] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(("fps", "step"), [(30, 1), (200, 7), (200, 1)])
@pytest.mark.parametrize("duration_s", [0.35, 0.45])
def test_what_comes_and_goes_is_spotted_at_either_frame_rate(fps, step, duration_s):
    seconds = np.arange(0, 10, step / fps)
    config = LbpChi2Config.high_f1("casme2" if fps == 30 else "samm_lv", p=0.31)
    spots = spotted_on(patterns_of(bump(seconds, 5, duration_s), step=step), fps, config)
    truth = Interval(round(5 * fps), round((5 + duration_s) * fps), "ME")
    assert len(spots) == 1
    assert iou(spots[0], truth) >= 0.5
    assert abs(spots[0].apex / fps - (5 + duration_s / 2)) < 0.07


def test_a_change_that_stays_is_lower_than_one_that_returns():
    seconds = np.arange(0, 20, 1 / 30)
    shares = bump(seconds, 5, 0.4) + 0.5 * np.clip((seconds - 12) / 0.2, 0, 1)
    patterns = patterns_of(np.clip(shares, 0, 1))
    curve = score_patterns(patterns, 30, len(seconds), CONFIG).curves[:, 0]
    assert np.nanmax(curve[11 * 30 : 14 * 30]) < 0.7 * np.nanmax(curve[4 * 30 : 7 * 30])


def test_a_slow_change_is_no_me():
    seconds = np.arange(0, 20, 1 / 30)
    spots = spotted_on(patterns_of(bump(seconds, 5, 3.0) + bump(seconds, 14, 0.4) - 0.2))
    assert all(s.onset > 13 * 30 for s in spots)


def test_near_the_ends_the_difference_keeps_its_value_so_that_an_early_change_is_seen():
    seconds = np.arange(0, 10, 1 / 30)
    curve = score_patterns(patterns_of(bump(seconds, 0.15, 0.3)), 30, 300, CONFIG).curves[:, 0]
    # F is known from sample 5 on, its neighbours 5 before only from 10 on
    assert 8 <= curve.argmax() <= 9
    late = score_patterns(patterns_of(bump(seconds, 9.5, 0.3)), 30, 300, CONFIG).curves[:, 0]
    assert 289 <= late.argmax() <= 290


def test_twelve_blocks_say_as_much_as_all():
    seconds = np.arange(0, 10, 1 / 30)
    some, every = (
        score_patterns(patterns_of(bump(seconds, 5, 0.4), blocks=n), 30, 300, CONFIG).curves[:, 0]
        for n in (12, 36)
    )
    np.testing.assert_allclose(some, every, atol=1e-6)


def test_stillness_spots_nothing_in_either_mode():
    still = patterns_of(np.full(300, 0.2))
    assert spotted_on(still, p=0.01) == []
    assert spotted_on(still, config=LbpChi2Config.megc2019()) == []


def test_frames_without_a_face_are_no_contrast():
    seconds = np.arange(0, 20, 1 / 30)
    patterns = patterns_of(bump(seconds, 5, 0.4))
    patterns.counts[300:310], patterns.stretch[300:310] = 0, -1
    patterns.stretch[310:] = 1
    curve = score_patterns(patterns, 30, 600, CONFIG).curves[:, 0]
    assert np.isnan(curve[300:310]).all()
    assert np.nanmax(curve[280:340]) <= 0  # next to it nothing is compared
    assert [s.onset // 30 for s in spotted_on(patterns)] == [5]


@pytest.mark.parametrize("samples", [1, 2, 5, 10, 12])
@pytest.mark.parametrize("setting", ["general", "megc2019"])
def test_a_very_short_video_is_no_error(samples, setting):
    config = getattr(LbpChi2Config, setting)()
    assert isinstance(spotted_on(patterns_of(np.full(samples, 0.3)), config=config), list)


def test_clips_have_a_threshold_of_their_own():
    seconds = np.arange(0, 20, 1 / 30)
    shares = bump(seconds, 5, 0.4) + bump(seconds, 15, 0.4, 0.1) - 0.2
    whole = LbpChi2Config.general(p=0.5)
    clips = LbpChi2Config.megc2019(p=0.5, cells_s=None, widen_s=0.1)
    found = {
        name: {s.apex // 60 for s in spotted_on(patterns_of(shares), config=config)}
        for name, config in (("whole", whole), ("clips", clips))
    }
    assert found["whole"] == {2}  # at 5.2 s
    assert found["clips"] >= {2, 7}  # and at 15.2 s, where it is a fifth as high


def test_every_sample_is_in_a_clip_and_clips_overlap_by_three_tenths():
    for samples in (1, 20, 30, 31, 51, 52, 100, 301):
        clips = list(lbp_chi2._clips(samples, 30, LbpChi2Config.megc2019()))
        covered = {t for clip in clips for t in range(samples)[clip]}
        assert covered == set(range(samples))
        starts = [clip.start for clip in clips]
        assert starts == sorted(set(starts))
        assert all(later - earlier <= 21 for earlier, later in itertools.pairwise(starts))


def test_cells_of_half_a_second():
    curve = np.full((60, 2), -0.5)
    curve[[16, 18, 20, 22, 24, 27], 0] = (0.2, 0.3, 1.0, 0.4, 0.2, 0.2)  # six hits in a cell are enough
    curve[31:36, 0] = 1.0  # five are not
    spots = spot_scores(Curves(30, curve), 0.15, LbpChi2Config.megc2019())
    assert spots == [Interval(16, 27, "ME", 20, 1.0 / 0.15)]


def test_hits_are_widened_by_a_tenth_of_a_second():
    curve = np.full((60, 2), -0.5)
    curve[30:32, 0] = (1.0, 0.4)
    assert spot_scores(Curves(30, curve), 0.31, CONFIG) == [Interval(27, 34, "ME", 30, 1.0 / 0.31)]
    assert spot_scores(Curves(30, curve), 0.31, LbpChi2Config.high_f1(widen_s=0.0)) == []


def test_printed_settings():
    assert [LbpChi2Config.general(d).p for d in ("casme2", "samm_lv")] == [0.02, 0.01]
    assert [LbpChi2Config.high_f1(d).p for d in ("casme2", "samm_lv")] == [0.31, 0.01]
    assert [LbpChi2Config.megc2019(d).p for d in ("casme2", "samm_lv")] == [0.15, 0.05]
    assert round(LbpChi2Config.general("casme2").lag_s * 30) == 5
    assert round(LbpChi2Config.general("synthetic_samm_lv").lag_s * 200) == 30
    assert round(LbpChi2Config.megc2019("casme2").cells_s[1] * 30) == 6
    assert round(LbpChi2Config.megc2019("samm_lv").cells_s[1] * 200) == 20
    assert LbpChi2Config.paper() == LbpChi2Config.quick() == LbpChi2Config.general()


@pytest.fixture
def toy(monkeypatch):
    """The toy dataset, in whose videos the patterns change where the ME of the first video is, 10..19."""

    def count(video, recipe):
        seconds = np.arange(video.length) / video.fps
        noise = np.random.default_rng(int(video.subject[1:])).uniform(0, 0.01, video.length)
        return patterns_of(bump(seconds, 10 / 30, 0.33) + noise)

    monkeypatch.setattr(lbp_chi2, "block_patterns", count)
    return toy_manifest()


def test_leave_one_subject_out(toy):
    for config in (CONFIG, LbpChi2Config.general(p=None)):
        spotted = held_out.leave_one_subject_out(
            toy, lambda train, config=config: lbp_chi2.fit(train, config)
        )
        assert set(spotted) == set(toy.uids)
        assert all(span.kind == "ME" for spans in spotted.values() for span in spans)


def test_p_is_chosen_on_the_training_subjects_alone(toy, monkeypatch):
    config = LbpChi2Config.general(p=None)
    train = toy.only([uid for uid in toy.uids if "s01" in uid])
    before = lbp_chi2.fit(train, config).p
    plain = lbp_chi2.block_patterns

    def poisoned(video, recipe):
        assert video.subject != "s02", "the held-out subject was looked at"
        return plain(video, recipe)

    monkeypatch.setattr(lbp_chi2, "block_patterns", poisoned)
    assert lbp_chi2.fit(train, config).p == before


def test_a_fixed_p_looks_at_no_video(toy, monkeypatch):
    monkeypatch.setattr(lbp_chi2, "block_patterns", lambda *_: pytest.fail("a video was looked at"))
    assert lbp_chi2.fit(toy, CONFIG).p == 0.31
