"""MDMD on differences drawn by hand: which movements it spots and where, and the printed settings."""

import numpy as np
import pytest
from toy import toy_manifest

from mespot_lib import held_out
from mespot_lib.features.maximal_difference import Differences, lag_samples
from mespot_lib.interval import Interval, iou
from mespot_lib.methods import mdmd
from mespot_lib.methods.mdmd import MdmdConfig, score_differences, spot_scores

CONFIG = MdmdConfig.high_f1("casme2")


def away(seconds, onset_s, duration_s):
    """Return a half-cosine path (N,) u away and back."""
    place = np.clip((seconds - onset_s) / duration_s, 0, 1)
    return 0.5 - 0.5 * np.cos(2 * np.pi * place)


def differences_of(path, rate, blocks=15, step=1, lags_s=(0.4,)):
    """Return what is measured if some blocks follow a path (N,) along one line and the others rest."""
    lags = np.array([lag_samples(lag_s, rate, len(path)) for lag_s in lags_s])
    values = np.full((len(path), len(lags), 36), np.nan, dtype=np.float32)
    for column, k in enumerate(lags):
        if len(path) > 2 * k:
            head, current, tail = path[: -2 * k], path[k:-k], path[2 * k :]
            values[k:-k, column] = 0
            values[k:-k, column, :blocks] = (np.abs(current - head) - np.abs(tail - head))[:, None]
    return Differences(np.arange(len(path)) * step, lags, values)


def spotted_on(path, fps=30, step=1, config=CONFIG, length=None, **kwargs):
    measured = differences_of(path, fps / step, step=step, lags_s=tuple(config.lags_s.values()), **kwargs)
    length = length or (len(path) - 1) * step + 1
    return spot_scores(
        score_differences(measured, fps, length, config), dict.fromkeys(("ME", "MaE"), config.p), config
    )


def around(spots, onset_s, offset_s, fps):
    return [s for s in spots if s.onset <= offset_s * fps and s.offset >= onset_s * fps]


def test_a_curve_worked_out_by_hand():
    # one block, k = 2, m = 1: F = 0 but for 4 at t = 6 and 2 beside it
    config = MdmdConfig(p=0.5, largest=1.0, durations_s={"ME": (0, 1), "MaE": (9, 10)})
    blocks = np.full((13, 1, 1), np.nan, dtype=np.float32)
    blocks[2:11] = 0
    blocks[5:8, 0, 0] = (2, 4, 2)
    curves = score_differences(Differences(np.arange(13), np.array([2]), blocks), 30, 13, config)
    c = np.array([0, -1, 0, 2, 0, -1, 0.0])  # t = 3..9
    expected = (c - c.mean()) / (c.max() - c.mean())
    np.testing.assert_allclose(curves.curves[3:10, 0], expected)
    assert np.isnan(curves.curves[[0, 1, 2, 10, 11, 12], 0]).all()
    assert np.isnan(curves.curves[:, 1]).all()
    assert spot_scores(curves, {"ME": 0.5, "MaE": 0.5}, config) == [Interval(6, 6, "ME", 6, 2.0)]


@pytest.mark.parametrize(("fps", "step"), [(30, 1), (200, 7), (200, 1)])
@pytest.mark.parametrize("duration_s", [0.4, 0.5])
def test_what_comes_and_goes_is_spotted_at_either_frame_rate(fps, step, duration_s):
    seconds = np.arange(0, 10, step / fps)
    config = MdmdConfig.high_f1("casme2" if fps == 30 else "samm_lv", p=0.19)
    spots = spotted_on(2 * away(seconds, 5, duration_s), fps, step, config)
    truth = Interval(round(5 * fps), round((5 + duration_s) * fps), "ME")
    assert len(spots) == 1
    assert iou(spots[0], truth) >= 0.5
    assert abs(spots[0].apex / fps - (5 + duration_s / 2)) < 0.07


def test_what_moves_one_way_is_lower_than_what_returns():
    seconds = np.arange(0, 20, 1 / 30)
    path = 2 * away(seconds, 5, 0.5) + 2 * np.clip((seconds - 12) / 0.3, 0, 1)
    measured = differences_of(path, 30)
    curve = score_differences(measured, 30, len(path), CONFIG).curves[:, 0]
    # going away for good is no difference half-way, and coming to rest is one, but slight
    assert np.nanmax(curve[11 * 30 : 14 * 30]) < 0.6 * np.nanmax(curve[4 * 30 : 7 * 30])


def test_a_slow_movement_is_not_spotted_as_me_but_as_mae():
    seconds = np.arange(0, 24, 1 / 30)
    path = 3 * away(seconds, 12, 1.5)
    both = MdmdConfig.megc2020("casme2", p=0.3)
    kinds = [s.kind for s in around(spotted_on(path, config=both), 12, 13.5, 30)]
    assert kinds == ["MaE"]


def test_the_kinds_do_not_silence_each_other():
    curve = np.zeros((100, 2))
    curve[40:50, 0] = curve[35:60, 1] = 1
    config = MdmdConfig.megc2020()
    assert [s.kind for s in spot_scores(mdmd.Curves(30, curve), {"ME": 0.5, "MaE": 0.5}, config)] == [
        "MaE",
        "ME",
    ]


def test_two_blocks_alone_do_not_decide():
    seconds = np.arange(0, 10, 1 / 30)
    few, many = (
        np.nanmax(differences_of(2 * away(seconds, 5, 0.4), 30, blocks=n).blocks[:, 0].mean(axis=1))
        for n in (2, 12)
    )
    assert few == pytest.approx(many / 6, rel=1e-4)


def test_motion_of_the_whole_picture_is_spotted_too_as_nothing_is_subtracted():
    # published: all that keeps the head out is the alignment of the face
    seconds = np.arange(0, 10, 1 / 30)
    assert len(spotted_on(2 * away(seconds, 5, 0.4), blocks=36)) == 1


def test_stillness_and_gaps_spot_nothing():
    assert spotted_on(np.zeros(300)) == []
    measured = differences_of(np.zeros(300), 30)
    measured.blocks[:] = np.nan
    assert spot_scores(score_differences(measured, 30, 300, CONFIG), {"ME": 0.01, "MaE": 0.01}, CONFIG) == []


def test_an_event_beside_a_gap_is_still_spotted_and_none_lies_in_it():
    seconds = np.arange(0, 20, 1 / 30)
    measured = differences_of(2 * away(seconds, 5, 0.4), 30)
    measured.blocks[300:400] = np.nan
    curves = score_differences(measured, 30, 600, CONFIG)
    spots = spot_scores(curves, {"ME": 0.19, "MaE": 0.19}, CONFIG)
    assert len(spots) == 1
    assert spots[0].offset < 300
    assert np.isnan(curves.curves[300:400, 0]).all()


@pytest.mark.parametrize("samples", [1, 2, 5, 20, 40])
def test_a_very_short_video_is_no_error(samples):
    assert isinstance(spotted_on(np.zeros(samples)), list)


def test_an_event_in_the_first_and_last_moments_is_not_seen():
    seconds = np.arange(0, 10, 1 / 30)
    assert around(spotted_on(2 * away(seconds, 0.1, 0.4)), 0, 0.6, 30) == []


def test_printed_settings():
    assert [MdmdConfig.general(d).p for d in ("casme2", "samm_lv")] == [0.02, 0.01]
    assert [MdmdConfig.high_f1(d).p for d in ("casme2", "synthetic_samm_lv")] == [0.19, 0.01]
    assert MdmdConfig.megc2020("samm_lv").p == 0.01
    assert MdmdConfig.megc2020().recipe().lags_s == (0.4, 1.3)
    assert MdmdConfig.general().recipe().lags_s == (0.4,)
    assert MdmdConfig.paper() == MdmdConfig.quick() == MdmdConfig.general()


@pytest.mark.parametrize(
    ("dataset", "fps", "shortest", "longest"), [("casme2", 30, 7, 16), ("samm_lv", 200, 47, 105)]
)
def test_lengths_are_those_of_megc2020(dataset, fps, shortest, longest):
    config = MdmdConfig.megc2020(dataset)
    for frames in range(1, 3 * longest):
        curve = np.zeros((4 * longest, 2))
        curve[5 : 5 + frames] = 1
        kinds = {s.kind for s in spot_scores(mdmd.Curves(fps, curve), {"ME": 0.5, "MaE": 0.5}, config)}
        expected = {"ME"} if shortest <= frames <= longest else {"MaE"} if frames > longest else set()
        assert kinds == expected, frames


@pytest.fixture
def toy(monkeypatch):
    """The toy dataset, in whose videos something moves where the ME of the first video is, 10..19, with noise."""
    manifest = toy_manifest()

    def measure(video, recipe):
        rng = np.random.default_rng(int(video.subject[1:]))
        seconds = np.arange(video.length) / video.fps
        path = 2 * away(seconds, 10 / 30, 0.33) + rng.normal(0, 0.02, video.length)
        return differences_of(path, video.fps, lags_s=(0.1,))

    monkeypatch.setattr(mdmd, "maximal_differences", measure)
    return manifest


def test_a_fixed_p_looks_at_no_video(toy, monkeypatch):
    monkeypatch.setattr(mdmd, "maximal_differences", lambda *_: pytest.fail("a video was looked at"))
    assert mdmd.fit(toy, CONFIG).p == {"ME": 0.19, "MaE": 0.19}


def test_leave_one_subject_out_with_p_of_the_others(toy):
    config = MdmdConfig.general(p=None)
    spotted = held_out.leave_one_subject_out(toy, lambda train: mdmd.fit(train, config))
    assert set(spotted) == set(toy.uids)


def test_p_does_not_see_the_held_out_subject(toy, monkeypatch):
    config = MdmdConfig.general(p=None)
    train = toy.only([uid for uid in toy.uids if "s01" in uid])
    before = mdmd.fit(train, config).p
    plain = mdmd.maximal_differences

    def poisoned(video, recipe):
        assert video.subject != "s02", "the held-out subject was looked at"
        return plain(video, recipe)

    monkeypatch.setattr(mdmd, "maximal_differences", poisoned)
    assert mdmd.fit(train, config).p == before
