"""A micro-expression must be told from rest by its motion alone, never by a single frame.

Frames around the apex are compared with frames at rest of the same video by statistics of the single image. The
unit of chance is the expression, not the frame: under the null hypothesis an expression could as well have happened
elsewhere, so each permutation moves whole groups of frames.
"""

import cv2
import numpy as np
import pytest
from scipy.stats import rankdata

from mespot_lib.synthetic.chance import identity_seed, video_seed
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.render import develop, draw_planes, landmarks_px, set_stage
from mespot_lib.synthetic.timeline import plan_video

pytestmark = pytest.mark.slow

NAMES = ("cheeks", "mouth", "brows", "face", "brightness", "JPEG size")
GROUP = np.arange(-2, 3)  # frames of one group, around its middle
REST_GROUPS = 20  # per video


@pytest.fixture(scope="module")
def groups():
    return measure_groups(SyntheticConfig.casme2())


@pytest.fixture(scope="module")
def twin_groups():
    return measure_groups(SyntheticConfig.casme2().without_expressions())


def measure_groups(config):
    """Statistics (groups, frames, names) standardised per video, and which groups are micro-expressions."""
    statistics, is_expression = [], []
    for subject in range(config.subjects):
        person = make_identity(identity_seed(config, subject))
        for video in range(config.videos_per_subject):
            timeline, seed = plan_video(config, subject, video), video_seed(config, subject, video)
            middles, marks = _chosen_middles(timeline, np.random.default_rng(seed))
            stage = set_stage(person, config, seed)
            rng = np.random.default_rng(seed + 1)
            measured = np.array(
                [[_statistics(stage, timeline.state(m + step), rng) for step in GROUP] for m in middles]
            )
            at_rest = measured[~marks].reshape(-1, measured.shape[-1])
            at_rest[:, -1] = at_rest[:, NAMES.index("face")]  # what the sabotaged frames are compared with
            statistics.append((measured - at_rest.mean(0)) / at_rest.std(0))
            is_expression.append(marks)
    return np.concatenate(statistics), np.concatenate(is_expression)


def _chosen_middles(timeline, rng):
    """Apexes of micro-expressions and random middles away from all expressions, none during blinks or talk."""
    taken = np.zeros(len(timeline), bool)
    for span in timeline.spans:
        if span.name in ("blink", "talk"):
            taken[int(span.start_s * timeline.fps) : int(span.end_s * timeline.fps) + 2] = True
    undisturbed = np.convolve(taken, np.ones(5), "same") == 0
    undisturbed[:3] = undisturbed[-3:] = False
    apexes = [event.apex for event in timeline.events if event.kind == "ME" and undisturbed[event.apex]]
    free = undisturbed.copy()
    for event in timeline.events:
        free[max(0, event.exact_onset - 3) : event.exact_offset + 4] = False
    rest = rng.choice(np.flatnonzero(free), REST_GROUPS, replace=False)
    return np.concatenate([apexes, rest]).astype(int), np.arange(len(apexes) + REST_GROUPS) < len(apexes)


def _statistics(stage, state, rng):
    """The statistics of `NAMES`, and the energy of the face had it been interpolated a second time."""
    image = develop(stage, draw_planes(stage, state), rng)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    grey = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE).astype(np.float32)
    half_pixel = np.float32([[1, 0, 0.5], [0, 1, 0.5]])
    resampled = cv2.warpAffine(grey, half_pixel, grey.shape[::-1], flags=cv2.INTER_LINEAR)
    detail, resampled_detail = _detail(grey), _detail(resampled)
    landmarks = landmarks_px(stage, state)
    unit = stage.pixels_per_u

    def energy(centre, half_width, half_height, detail=detail):
        (x, y), (w, h) = np.rint(centre).astype(int), (int(half_width * unit), int(half_height * unit))
        return float(detail[y - h : y + h, x - w : x + w].mean())

    middle = landmarks[27]
    return (
        energy(middle + np.array([70, 60]) * unit, 24, 20)
        + energy(middle + np.array([-70, 60]) * unit, 24, 20),
        energy(landmarks[62], 62, 26),
        energy(landmarks[17:27].mean(0), 105, 18),
        energy(middle + np.array([0, 60]) * unit, 120, 140),
        float(grey.mean()),
        float(len(encoded)),
        energy(middle + np.array([0, 60]) * unit, 120, 140, resampled_detail),
    )


def _detail(grey):
    """Squared high-pass of an image."""
    return (grey - cv2.GaussianBlur(grey, (0, 0), 1.5)) ** 2


def area_under_curve(scores, marks):
    """Probability that a group marked has a higher score than one that is not."""
    ranks = rankdata(scores)
    positives = marks.sum()
    return (ranks[marks].sum() - positives * (positives + 1) / 2) / (positives * (~marks).sum())


@pytest.mark.parametrize("name", NAMES)
def test_single_frames_do_not_tell_micro_expressions(groups, name):
    statistics, marks = groups
    scores = statistics[..., NAMES.index(name)].mean(1)
    assert marks.sum() >= 25
    observed = area_under_curve(scores, marks)
    rng = np.random.default_rng(0)
    chance = np.array([area_under_curve(scores, rng.permutation(marks)) for _ in range(999)])
    p_value = (1 + np.sum(np.abs(chance - 0.5) >= abs(observed - 0.5))) / 1000
    assert p_value > 0.01, (observed, p_value)


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_without_motion_looks_the_same(groups, twin_groups, name):
    """The same frames without their expressions: what is left of the difference from one half is chance."""
    areas = [
        area_under_curve(statistics[..., NAMES.index(name)].mean(1), marks)
        for statistics, marks in (groups, twin_groups)
    ]
    assert abs(areas[0] - areas[1]) <= 0.10, areas


def test_a_second_interpolation_would_be_seen(groups):
    statistics, marks = groups
    plain, resampled = statistics[..., NAMES.index("face")].mean(1), statistics[..., -1].mean(1)
    assert area_under_curve(np.where(marks, resampled, plain), marks) < 0.1
