"""The baseline on drawn motion: what an S-pattern is, where it begins and ends, and what must not count as one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.features.motion import RegionMotion
from mespot_lib.features.regions import REGIONS
from mespot_lib.interval import Interval, iou
from mespot_lib.methods import zhang2020
from mespot_lib.methods.zhang2020 import ZhangConfig, bump, score_motion, spot_scores

CONFIG = ZhangConfig()
LOW = {"ME": 0.3, "MaE": 0.3}
MOUTH_CORNERS = (7, 9)  # rows of landmarks 48 and 54


def course(seconds: np.ndarray, onset_s: float, duration_s: float, apex_share: float = 0.42) -> np.ndarray:
    """Return a half-cosine rise and fall of height 1."""
    place = np.clip((seconds - onset_s) / duration_s, 0, 1)
    phase = np.where(place < apex_share, place / apex_share, 1 + (place - apex_share) / (1 - apex_share))
    return 0.5 - 0.5 * np.cos(np.pi * phase)


def motion_of(
    path_u: np.ndarray, rows=MOUTH_CORNERS, step: int = 1, head_u: np.ndarray | None = None
) -> RegionMotion:
    """Return the motion of a still face in which some regions follow a path (N, 2) and the head another."""
    head = np.zeros_like(path_u) if head_u is None else head_u
    places = np.repeat(head[:, None], len(REGIONS), axis=1)
    places[:, list(rows)] += path_u[:, None]
    regions, nose = (np.diff(p, axis=0, prepend=p[:1]).astype(np.float32) for p in (places, head))
    return RegionMotion(np.arange(len(path_u)) * step, regions, nose)


def along(curve: np.ndarray, angle: float = 0.7) -> np.ndarray:
    return curve[:, None] * np.array([np.cos(angle), np.sin(angle)])


def spotted_in(motion: RegionMotion, fps: float, config: ZhangConfig = CONFIG) -> list[Interval]:
    return spot_scores(score_motion(motion, fps, config), LOW, config)


def test_the_template_has_no_mean_and_its_margins_are_still():
    template = bump(1.0, 30, CONFIG)
    assert template.sum() == pytest.approx(0, abs=1e-12)
    assert np.ptp(template) == pytest.approx(1, abs=0.02)
    assert np.ptp(template[:5]) == 0


@settings(max_examples=30, deadline=None)
@given(
    duration_s=st.sampled_from(CONFIG.durations_s["ME"][1:] + CONFIG.durations_s["MaE"]),
    height_u=st.floats(0.5, 8),
    angle=st.floats(0, 2 * np.pi),
)
def test_the_vote_of_a_clean_bump_is_its_height(duration_s, height_u, angle):
    seconds = np.arange(0, 12, 1 / 30)
    quiet = ZhangConfig(smooth_s=1e-3)
    scores = score_motion(motion_of(along(height_u * course(seconds, 4, duration_s), angle)), 30, quiet)
    vote = max(scores.votes[kind].max() for kind in ("ME", "MaE"))
    assert vote == pytest.approx(height_u, rel=0.1)


@pytest.mark.parametrize("duration_s", [0.3, 0.4, 0.7, 1.2, 2.0, 3.2])
def test_the_interval_is_the_visible_part_of_the_bump(duration_s):
    seconds = np.arange(0, 14, 1 / 30)
    spotted = spotted_in(motion_of(along(3 * course(seconds, 5, duration_s))), 30)
    assert len(spotted) == 1
    # a half-cosine passes 10 % of its height after .205 of its rise, and before .205 of its fall
    onset, offset = 5 + 0.205 * 0.42 * duration_s, 5 + duration_s * (1 - 0.205 * 0.58)
    visible = Interval(int(np.ceil(onset * 30)), int(offset * 30), "ME")
    assert iou(spotted[0], visible) >= 0.7
    assert spotted[0].kind == ("ME" if duration_s <= 0.5 else "MaE")
    assert abs(spotted[0].apex / 30 - (5 + 0.42 * duration_s)) <= 0.07


@pytest.mark.parametrize(("fps", "step"), [(30, 1), (60, 2), (100, 4), (200, 7)])
@pytest.mark.parametrize("duration_s", [0.35, 1.2])
def test_one_setting_serves_every_frame_rate(fps, step, duration_s):
    seconds = np.arange(0, 10, step / fps)
    spotted = spotted_in(motion_of(along(2 * course(seconds, 4, duration_s)), step=step), fps)
    assert len(spotted) == 1
    assert abs(spotted[0].onset / fps - (4 + 0.1 * duration_s)) < 0.08
    assert abs(spotted[0].offset / fps - (4 + 0.88 * duration_s)) < 0.08


def test_a_shift_without_return_is_no_s_pattern():
    seconds = np.arange(0, 12, 1 / 30)
    there = np.clip((seconds - 5) / 0.3, 0, 1)
    back = course(seconds, 5, 0.7)
    fused = [max(score_motion(motion_of(along(3 * c)), 30, CONFIG).fused["ME"]) for c in (there, back)]
    assert fused[0] < 0.6 * fused[1]


def test_a_turning_direction_is_no_s_pattern():
    seconds = np.arange(0, 12, 1 / 30)
    angle = 2 * np.pi * np.clip((seconds - 5) / 1.0, 0, 1)
    circle = 1.5 * np.stack(
        [1 - np.cos(angle), np.sin(angle)], axis=1
    )  # as far away as the bump, on another way
    line = along(3 * course(seconds, 5, 1.0, apex_share=0.5))
    votes = [score_motion(motion_of(path), 30, CONFIG).votes["MaE"].max() for path in (circle, line)]
    assert votes[0] < 0.85 * votes[1]


def test_one_region_alone_does_not_spot():
    seconds = np.arange(0, 12, 1 / 30)
    path = along(1.0 * course(seconds, 5, 0.4))
    alone, together = (
        max(score_motion(motion_of(path, rows), 30, CONFIG).fused["ME"]) for rows in ((7,), (7, 9))
    )
    assert alone == pytest.approx(together / 2, rel=0.05)


def test_motion_of_the_whole_head_changes_nothing_once_removed():
    rng = np.random.default_rng(5)
    seconds = np.arange(0, 20, 1 / 30)
    path = along(2 * course(seconds, 8, 0.4))
    head = np.cumsum(rng.normal(0, 0.4, (len(seconds), 2)), axis=0)
    still, moving = (spotted_in(motion_of(path, head_u=h), 30) for h in (None, head))
    assert [(s.onset, s.offset) for s in still] == [(s.onset, s.offset) for s in moving]
    left_in = ZhangConfig(remove_head_motion=False)
    assert len(spotted_in(motion_of(path, head_u=head), 30, left_in)) > len(still)


def test_unknown_motion_is_rest():
    seconds = np.arange(0, 12, 1 / 30)
    motion = motion_of(along(2 * course(seconds, 5, 0.4)))
    motion.regions[200:230], motion.nose[200:230] = np.nan, np.nan
    assert len(spotted_in(motion, 30)) == 1


def test_a_long_filter_does_not_spot_an_event_twice():
    seconds = np.arange(0, 20, 1 / 30)
    path = along(4 * course(seconds, 6, 1.5) + 2 * course(seconds, 12, 0.4))
    assert [s.kind for s in spotted_in(motion_of(path), 30)] == ["MaE", "ME"]


def test_a_very_short_video_has_no_votes_but_no_error_either():
    for samples in (1, 2, 5):
        assert spotted_in(motion_of(np.zeros((samples, 2))), 30) == []


def test_a_higher_threshold_never_spots_more():
    rng = np.random.default_rng(3)
    motion = motion_of(np.cumsum(rng.normal(0, 0.3, (900, 2)), axis=0), rows=range(len(REGIONS)))
    scores = score_motion(motion, 30, CONFIG)
    counts = [len(spot_scores(scores, {"ME": t, "MaE": t}, CONFIG)) for t in (0.3, 0.6, 1.2, 2.4)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_fit_takes_the_middle_of_the_best_thresholds(monkeypatch):
    class Train:
        uids = ("a", "b")

        def truth(self, uid):
            return [Interval(150, 165, "ME")] if uid == "a" else []

        def video(self, uid):
            return uid

    seconds = np.arange(0, 12, 1 / 30)
    motions = {
        "a": motion_of(along(3 * course(seconds, 4.9, 0.65))),
        "b": motion_of(along(0.5 * course(seconds, 5, 0.4))),
    }
    monkeypatch.setattr(zhang2020, "score_video", lambda uid, config: score_motion(motions[uid], 30, config))
    fitted = zhang2020.fit(Train(), CONFIG)
    assert fitted.trials.max() == 1
    assert 0.5 < fitted.thresholds_u["ME"] < 3
    assert fitted.trials.shape == (11, 11)


def test_fitting_cannot_see_the_held_out_subject(fitted_twice):
    before, after = fitted_twice(lambda train: zhang2020.fit(train, CONFIG))
    assert after.thresholds_u == before.thresholds_u
    assert np.array_equal(after.trials, before.trials)
