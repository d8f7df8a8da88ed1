"""The planned expressions: their statistics, their labels, their places."""

from dataclasses import replace

import numpy as np
import pytest

from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.events import VISIBLE_HEIGHT, plan_events, time_course
from mespot_lib.synthetic.muscles import ACTION_UNITS, AMPLITUDE_LIMIT_U, LIMIT_U

CONFIG = replace(SyntheticConfig.casme2(), fps=200.0)


@pytest.fixture(scope="module")
def many():
    """Some hundred expressions of each kind by kind."""
    events = [event for seed in range(120) for event in plan_events(CONFIG, seed, {"ME": 4, "MaE": 4})]
    return {kind: [event for event in events if event.kind == kind] for kind in ("ME", "MaE")}


def seconds(events):
    return np.array([(event.offset - event.onset + 1) / CONFIG.fps for event in events])


def test_durations_are_those_of_the_real_sets(many):
    me, mae = seconds(many["ME"]), seconds(many["MaE"])
    assert 0.37 < me.mean() < 0.46  # CAS(ME)^2 .45, SAMM-LV .37 s
    assert 0.05 < me.std() < 0.10
    assert me.max() <= 0.51
    assert 1.0 < np.median(mae) < 1.25  # 1.03 and 1.08 s, 1.3 s after repair
    assert mae.min() > 0.5
    assert np.percentile(mae, 95) > 2.0  # heavy tail


def test_amplitudes_are_those_asked_for(many):
    me = np.array([event.amplitude_u for event in many["ME"]])
    mae = np.array([event.amplitude_u for event in many["MaE"]])
    assert 1.2 < np.median(me) < 1.6
    assert me.max() <= 3.0
    assert 4.3 < np.median(mae) < 6.2
    assert mae.max() > 9


def test_the_rise_is_mostly_shorter_than_the_fall(many):
    for kind, low, high in (("ME", 0.55, 0.80), ("MaE", 0.65, 0.95)):
        faster = np.mean([event.apex - event.onset < event.offset - event.apex for event in many[kind]])
        assert low < faster < high


def test_labels_cover_what_is_above_a_tenth_of_the_apex(many):
    for event in many["ME"] + many["MaE"]:
        frames = np.arange(event.exact_onset - 3, event.exact_offset + 4)
        height = time_course(frames / CONFIG.fps, event.course_s)
        visible = frames[height >= VISIBLE_HEIGHT - 1e-9]
        moving = frames[height > 1e-12]
        assert (event.onset, event.offset) == (visible[0], visible[-1])
        assert event.exact_onset <= moving[0] <= event.exact_onset + 1
        assert event.exact_offset - 1 <= moving[-1] <= event.exact_offset
        assert event.onset < event.apex < event.offset


def test_every_action_unit_respects_its_limit(many):
    for event in many["ME"] + many["MaE"]:
        assert event.amplitude_u == max(peak for _, _, peak in event.peaks_u)
        assert event.side == ("B" if len({side for _, side, _ in event.peaks_u}) == 2 else event.side)
        for action_unit, _, peak in event.peaks_u:
            assert action_unit in ACTION_UNITS
            assert 0 < peak <= AMPLITUDE_LIMIT_U.get(action_unit, LIMIT_U)


def test_some_are_one_sided_and_most_have_one_action_unit(many):
    one_sided = np.mean([event.side != "B" for event in many["ME"]])
    single = np.mean([len(event.aus) == 1 for event in many["ME"]])
    assert 0.12 < one_sided < 0.35
    assert 0.6 < single < 0.95


def test_expressions_keep_their_distance():
    for seed in range(40):
        events = plan_events(CONFIG, seed, {"ME": 5, "MaE": 7})
        assert len(events) == 12
        starts = np.array([event.course_s[0] for event in events])
        ends = np.array([event.course_s[3] for event in events])
        assert (starts[1:] - ends[:-1] > CONFIG.gap_s - 1e-9).all()
        assert starts[0] >= CONFIG.margin_s
        assert ends[-1] <= CONFIG.seconds_per_video - CONFIG.margin_s + 1e-9


def test_places_are_uniform_over_the_video():
    middles = [
        (event.course_s[0] + event.course_s[3]) / 2 / CONFIG.seconds_per_video
        for seed in range(400)
        for event in plan_events(CONFIG, seed, {"ME": 1, "MaE": 0})
    ]
    assert abs(np.mean(middles) - 0.5) < 0.05
    assert abs(np.std(middles) - 1 / np.sqrt(12)) < 0.04


def test_rates_give_the_counts_where_none_are_given():
    numbers = [len(plan_events(CONFIG, seed)) for seed in range(200)]
    expected = (CONFIG.me_per_min + CONFIG.mae_per_min) * CONFIG.seconds_per_video / 60
    assert abs(np.mean(numbers) - expected) < 0.8


def test_more_than_fits_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        plan_events(replace(CONFIG, seconds_per_video=5.0), 0, {"ME": 2, "MaE": 8})


def test_no_expressions_is_a_plan_too():
    assert plan_events(CONFIG, 0, {"ME": 0, "MaE": 0}) == []
