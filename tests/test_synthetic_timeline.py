"""The timeline: streams of chance that do not touch each other, and a face that is never motionless."""

from dataclasses import replace

import numpy as np
import pytest

from mespot_lib.synthetic import nuisances
from mespot_lib.synthetic.chance import video_seed
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.events import time_course
from mespot_lib.synthetic.geometry import SIDES
from mespot_lib.synthetic.muscles import column
from mespot_lib.synthetic.timeline import neutral_state, plan_timeline, plan_video

CONFIG = SyntheticConfig.casme2()
NO_EVENTS = {"ME": 0, "MaE": 0}


def test_the_same_seed_plans_the_same_video():
    first, second = plan_video(CONFIG, 2, 1), plan_video(CONFIG, 2, 1)
    assert first.events == second.events
    assert np.array_equal(first.muscles, second.muscles)
    assert np.array_equal(first.opening, second.opening)
    assert not np.array_equal(first.muscles, plan_video(CONFIG, 2, 2).muscles)


def test_expressions_change_nothing_but_the_muscles():
    for seed in range(10):
        full, bare = plan_timeline(CONFIG, seed, {"ME": 4, "MaE": 5}), plan_timeline(CONFIG, seed, NO_EVENTS)
        for with_events, without in zip(full.head[:6], bare.head[:6], strict=True):
            assert np.array_equal(with_events, without)
        for name in ("gaze", "mouth", "gain"):
            assert np.array_equal(getattr(full, name), getattr(bare, name))
        assert full.spans == bare.spans
        assert not np.array_equal(full.muscles, bare.muscles)


def test_away_from_expressions_the_muscles_are_untouched():
    full, bare = plan_timeline(CONFIG, 3, {"ME": 4, "MaE": 5}), plan_timeline(CONFIG, 3, NO_EVENTS)
    free = np.ones(len(full), bool)
    for event in full.events:
        free[event.exact_onset : event.exact_offset + 1] = False
    assert free.mean() > 0.5
    assert np.array_equal(full.muscles[free], bare.muscles[free])
    assert np.array_equal(full.opening[free], bare.opening[free])


def test_the_twin_has_the_labels_without_the_motion():
    seed = video_seed(CONFIG, 1, 0)
    twin, bare = plan_video(CONFIG.without_expressions(), 1, 0), plan_timeline(CONFIG, seed, NO_EVENTS)
    assert twin.events == plan_video(CONFIG, 1, 0).events
    assert len(twin.events) > 0
    assert np.array_equal(twin.muscles, bare.muscles)
    assert np.array_equal(twin.opening, bare.opening)


def test_the_other_streams_ignore_each_other():
    calm = replace(CONFIG, blinks_per_min=0.0, swallows_per_min=0.0, talks_per_min=0.0, rest_u=0.0)
    first, second = plan_timeline(CONFIG, 5, {"ME": 2, "MaE": 2}), plan_timeline(calm, 5, {"ME": 2, "MaE": 2})
    assert first.events == second.events
    assert np.array_equal(first.gaze, second.gaze)
    for one, other in zip(first.head[:6], second.head[:6], strict=True):
        assert np.array_equal(one, other)


def test_head_and_blinks_do_not_know_of_expressions():
    correlations, blink_differences = [], []
    for seed in range(150):
        timeline = plan_timeline(CONFIG, seed, {"ME": 2, "MaE": 3})
        inside = np.zeros(len(timeline))
        for event in timeline.events:
            inside[event.onset : event.offset + 1] = 1
        speed = np.hypot(np.gradient(timeline.head.x), np.gradient(timeline.head.y))
        correlations.append(np.corrcoef(inside, speed)[0, 1])
        blinking = nuisances.blinks(CONFIG, seed)[0] > 0.1
        blink_differences.append(blinking[inside == 1].mean() - blinking[inside == 0].mean())
    for sample in (np.array(correlations), np.array(blink_differences)):
        assert abs(sample.mean()) < 3 * sample.std() / np.sqrt(len(sample))


def test_a_neutral_face_is_never_motionless():
    timeline = plan_timeline(replace(CONFIG, nods_per_min=0.0), 7, NO_EVENTS)
    steps = np.abs(np.diff(timeline.muscles[:, column("12", 1)]))
    assert 0.06 < timeline.muscles[:, column("12", 1)].std() < 0.15
    assert (steps > 0).mean() > 0.99
    assert (np.abs(np.diff(timeline.head.x)) > 0).all()


@pytest.mark.parametrize("fps", [30.0, 200.0])
def test_nuisances_do_not_depend_on_the_frame_rate(fps):
    config = replace(CONFIG, fps=fps, seconds_per_video=200.0)
    closure, _, spans = nuisances.blinks(config, 1)
    assert 9 < len(spans) / (200 / 60) < 16
    assert 0.01 < (closure > 0.3).mean() < 0.08
    assert 0.5 < nuisances.rest_activity(config, 1).std() / config.rest_u < 1.1
    head = nuisances.head(replace(config, nods_per_min=0.0), 1)
    assert 0.5 < head.x.std() / config.drift_u < 1.5
    assert 0.001 < np.ptp(nuisances.light(config, 1)) < 0.06


def test_lids_follow_muscles_and_blinks():
    timeline = plan_timeline(CONFIG, 0, NO_EVENTS)
    closure = nuisances.blinks(CONFIG, 0)[0]
    shut = closure > 0.99
    assert shut.any()
    assert np.abs(timeline.opening[shut]).max() < 0.05
    assert (timeline.opening >= 0).all()
    assert 0.9 < np.median(timeline.opening) < 1.1


def test_the_course_of_an_expression_is_in_the_muscles():
    config = replace(CONFIG, rest_u=0.0, blinks_per_min=0.0, swallows_per_min=0.0, talks_per_min=0.0)
    timeline = plan_timeline(config, 9, {"ME": 3, "MaE": 3})
    time_s = nuisances.frame_times(config)
    for event in timeline.events:
        action_unit, side, peak = event.peaks_u[0]
        frames = slice(event.onset, event.offset + 1)
        expected = peak * time_course(time_s[frames], event.course_s)
        assert np.allclose(timeline.muscles[frames, column(action_unit, side)], expected, atol=1e-5)


def test_states_have_both_eyes_and_all_muscles():
    timeline = plan_video(CONFIG, 0, 0)
    state = timeline.state(10)
    assert len(timeline) == CONFIG.frames_per_video
    assert state.opening.shape == state.raised.shape == (len(SIDES),)
    assert state.x == timeline.head.x[10]
    assert neutral_state(mouth=2.0).mouth == 2.0
