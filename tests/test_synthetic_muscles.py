"""Action units: strength, sides, the still eye, and displacements that can be inverted."""

import numpy as np
import pytest

from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.geometry import SIDES, draw_shape
from mespot_lib.synthetic.muscles import (
    ACTION_UNITS,
    COLUMNS,
    DEEPEST_FURROW,
    FIELD_STEP,
    amplitude_limits,
    column,
    make_muscles,
    sample_on_grid,
)
from mespot_lib.synthetic.timeline import plan_video

PLACE_X = sample_on_grid(lambda x, y: x + 0 * y)
PLACE_Y = sample_on_grid(lambda x, y: y + 0 * x)


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(11)
    return [make_muscles(draw_shape(rng, rng.random()), rng) for _ in range(6)]


def amplitudes(sides=SIDES, **strengths):
    values = np.zeros(COLUMNS, np.float32)
    for name, strength in strengths.items():
        for side in sides:
            values[column(name.removeprefix("au"), side)] = strength
    return values


def steepest(field):
    """Largest spectral norm of the gradient of a field (rows, columns, 2) in u."""
    rows, columns = np.gradient(field, FIELD_STEP, axis=(0, 1))
    return np.linalg.norm(np.stack([columns, rows], -1), 2, axis=(-2, -1)).max()


@pytest.mark.parametrize("action_unit", [au for au in ACTION_UNITS if au != "5"])
def test_an_amplitude_is_the_largest_displacement(people, action_unit):
    for muscles in people:
        one_sided = muscles.field(amplitudes(sides=(1,), **{f"au{action_unit}": 3.0}), 0.0)
        both = muscles.field(amplitudes(**{f"au{action_unit}": 3.0}), 0.0)
        assert np.hypot(*np.moveaxis(one_sided, 2, 0)).max() == pytest.approx(3.0, rel=1e-4)
        assert np.hypot(*np.moveaxis(both, 2, 0)).max() < 3.45


def test_each_side_moves_its_half(people):
    for muscles in people:
        moved = np.hypot(*np.moveaxis(muscles.field(amplitudes(sides=(-1,), au12=5.0), 0.0), 2, 0))
        assert moved[PLACE_X > 14].max() == 0
        assert moved[PLACE_X < -20].max() > 4.9


def test_the_eyes_are_not_dragged_along(people):
    inside_eye = (np.abs(PLACE_Y) < 4) & (np.abs(PLACE_X) > 30) & (np.abs(PLACE_X) < 95)
    for muscles in people:
        everything = amplitudes(au1=5, au2=5, au4=5, au6=5, au7=5, au9=5, au12=5)
        assert np.abs(muscles.field(everything, 0.0)[inside_eye]).max() < 0.05


def test_nothing_moves_at_the_edge_of_the_grid(people):
    for muscles in people:
        field = muscles.field(np.full(COLUMNS, 4.0), 6.0)
        for edge in (field[0], field[-1], field[:, 0], field[:, -1]):
            assert np.abs(edge).max() < 1e-3


def test_furrows_darken_within_bounds_and_not_at_rest(people):
    for muscles in people:
        assert np.ptp(muscles.shade(np.zeros(COLUMNS))) == 0
        frowning = muscles.shade(amplitudes(au4=8.0))
        assert frowning.min() < 0.9
        assert muscles.shade(amplitude_limits()).min() >= 1 - DEEPEST_FURROW - 1e-6


def test_single_action_units_stay_invertible_at_their_limit(people):
    for muscles in people:
        for action_unit in ACTION_UNITS:
            limit = amplitude_limits()[column(action_unit, 1)]
            assert steepest(muscles.field(amplitudes(**{f"au{action_unit}": limit}), 0.0)) < 0.9


@pytest.mark.parametrize(
    "config", [SyntheticConfig.casme2(), SyntheticConfig.samm_lv()], ids=lambda c: c.name
)
def test_every_planned_frame_stays_invertible(people, config):
    """The steepest moments of all videos: apexes of expressions and the widest mouths."""
    worst = 0.0
    for subject in range(config.subjects):
        for video in range(config.videos_per_subject):
            timeline = plan_video(config, subject, video)
            frames = {event.apex for event in timeline.events} | {int(np.argmax(timeline.mouth))}
            frames |= set(np.argsort(np.abs(timeline.muscles).sum(1))[-5:].tolist())
            for frame in frames:
                field = people[subject].field(timeline.muscles[frame], float(timeline.mouth[frame]))
                worst = max(worst, steepest(field))
    assert worst < 0.9
