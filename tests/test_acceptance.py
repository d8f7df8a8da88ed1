"""The whole way on the default drawn datasets: what must be found, what must not, and what each sabotage costs.

Minutes long, run by `make bench`. All scores are of synthetic data; thresholds come from the other subjects.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.datasets import read_dataset
from mespot_lib.features.motion import MotionRecipe, RegionMotion, region_motion
from mespot_lib.interval import Interval
from mespot_lib.manifest import loso_folds
from mespot_lib.methods import zhang2020
from mespot_lib.methods.zhang2020 import ZhangConfig, leave_one_subject_out
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.write import draw_dataset

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("acceptance")]

DEFAULT = ("synthetic_casme2", "synthetic_samm_lv")


def truth_of(manifest):
    return {uid: manifest.truth(uid) for uid in manifest.uids}


def lengths_of(manifest):
    return {uid: manifest.video(uid).length for uid in manifest.uids}


def held_out_score(manifest, config=None, fit_config=None):
    return metrics.score(
        truth_of(manifest), leave_one_subject_out(manifest, config or ZhangConfig(), fit_config)
    )


def interval_of(score, manifest):
    """Return the subject-bootstrap 95 % interval of the overall F1."""
    subjects = {uid: manifest.video(uid).subject for uid in manifest.uids}
    return metrics.bootstrap_f1([s.overall for s in metrics.pool(score.videos, subjects).values()])


@pytest.fixture(scope="module", params=DEFAULT)
def manifest(request):
    return load_dataset(request.param)


@pytest.fixture(scope="module")
def casme2():
    return load_dataset("synthetic_casme2")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Draw a dataset of other settings, once each."""

    def draw(config: SyntheticConfig):
        root = tmp_path_factory.getbasetemp() / config.name
        draw_dataset(config, root, progress=False)
        return read_dataset(config.layout, root)

    return draw


def test_the_baseline_beats_chance_threefold_with_intervals_apart(manifest):
    spotted = leave_one_subject_out(manifest, ZhangConfig())
    score = metrics.score(truth_of(manifest), spotted)
    chance = metrics.chance(spotted, truth_of(manifest), lengths_of(manifest))["overall"]
    low, _ = interval_of(score, manifest)
    assert score.overall.f1 >= 3 * chance.f1
    assert low > chance.high
    assert score.overall.f1 >= 0.40
    assert score.ME.f1 >= 0.25


def test_chance_is_low_enough_to_tell_methods_apart(manifest):
    """True counts and durations at random places. The 200 fps set is short and dense, so chance is higher there."""
    truth = truth_of(manifest)
    highest = {"synthetic_casme2": 0.08, "synthetic_samm_lv": 0.12}[manifest.descriptor["dataset"]]
    assert metrics.chance(truth, truth, lengths_of(manifest))["overall"].f1 < highest


def test_leaving_the_head_in_is_clearly_worse(manifest):
    with_head = ZhangConfig(remove_head_motion=False)
    best = held_out_score(manifest)
    refitted, same = held_out_score(manifest, with_head), held_out_score(manifest, with_head, ZhangConfig())
    assert refitted.overall.f1 < best.overall.f1 - 0.05
    assert same.overall.f1 < best.overall.f1 - 0.1


def test_labels_moved_in_time_are_not_found(casme2):
    spotted = leave_one_subject_out(casme2, ZhangConfig())
    lengths = lengths_of(casme2)
    moved = {
        uid: [_turned(span, 300, lengths[uid]) for span in spans] for uid, spans in truth_of(casme2).items()
    }
    chance = metrics.chance(spotted, truth_of(casme2), lengths)["overall"]
    assert metrics.score(moved, spotted).overall.f1 <= chance.high


def _turned(span: Interval, by: int, length: int) -> Interval:
    onset = (span.onset + by) % (length - span.length)
    return Interval(onset, onset + span.length - 1, span.kind)


def test_a_wrong_frame_rate_misnames_expressions(casme2):
    """With 25 instead of 30 frames per second an ME of 13 to 15 frames passes for a MaE."""
    config, fold = ZhangConfig(), loso_folds(casme2)[0]
    fitted = zhang2020.fit(casme2.only(fold.train), config)
    truth, right, wrong = truth_of(casme2), {}, {}
    for uid in casme2.uids:
        motion = region_motion(casme2.video(uid), config.motion)
        right[uid], wrong[uid] = (
            zhang2020.spot_scores(zhang2020.score_motion(motion, fps, config), fitted.thresholds_u, config)
            for fps in (30, 25)
        )
    assert metrics.score(truth, wrong).ME.f1 < metrics.score(truth, right).ME.f1


def test_swapped_axes_of_the_nose_are_no_head_motion(casme2, monkeypatch):
    measured = zhang2020.region_motion

    def swapped(video, recipe):
        motion = measured(video, recipe)
        return RegionMotion(motion.frames, motion.regions, motion.nose[:, ::-1])

    best = held_out_score(casme2)
    monkeypatch.setattr(zhang2020, "region_motion", swapped)
    assert held_out_score(casme2).overall.f1 < best.overall.f1 - 0.1


def test_a_kind_blind_score_is_higher_than_the_rules(casme2):
    """Counting a MaE that hits an ME flatters: the profile of the challenge must not do it."""
    spotted, truth = leave_one_subject_out(casme2, ZhangConfig()), truth_of(casme2)
    blind = [
        {uid: [replace(span, kind="MaE") for span in spans] for uid, spans in side.items()}
        for side in (truth, spotted)
    ]
    assert metrics.score(*blind).overall.f1 > metrics.score(truth, spotted).overall.f1


def test_the_twin_without_motion_is_at_chance(casme2, drawn):
    """Same faces, plans, seeds and labels, and no expression moves anything: what is found then is a leak."""
    twin = drawn(SyntheticConfig.casme2().without_expressions())
    config = ZhangConfig()
    fitted = zhang2020.fit(casme2, config)
    truth = truth_of(twin)
    assert [len(spans) for spans in truth.values()] == [len(spans) for spans in truth_of(casme2).values()]
    spotted = {uid: fitted.spot(fitted.score(twin.video(uid))) for uid in twin.uids}
    score = metrics.score(truth, spotted)
    chance = metrics.chance(spotted, truth, lengths_of(twin))["overall"]
    assert score.overall.f1 <= chance.high


def test_stronger_micro_expressions_are_found_more_often(casme2, drawn):
    config = ZhangConfig()
    fitted = zhang2020.fit(casme2, config)
    f1 = []
    for amplitude_u in (0.5, 1.0, 1.5, 2.0, 3.0):
        sweep = drawn(SyntheticConfig.amplitude_sweep(amplitude_u))
        spotted = {uid: fitted.spot(fitted.score(sweep.video(uid))) for uid in sweep.uids}
        f1.append(metrics.score(truth_of(sweep), spotted).ME.f1)
    print("ME F1 over amplitude:", np.round(f1, 2))
    assert f1[0] < 0.15
    assert f1[-1] > 0.7
    assert all(later >= earlier - 0.1 for earlier, later in pairwise(f1))


def test_a_restless_head_costs_and_a_still_one_does_not(casme2, drawn):
    still, hard = (
        held_out_score(drawn(config)) for config in (SyntheticConfig.still(), SyntheticConfig.hard())
    )
    print("overall F1, still and hard:", still.overall.f1, hard.overall.f1)
    assert hard.overall.f1 < still.overall.f1
    assert still.overall.f1 >= held_out_score(casme2).overall.f1 - 0.05


@pytest.mark.parametrize("landmarks", ["cascade", "side"])
def test_the_detector_matters_little(casme2, landmarks):
    """Exact landmarks are an oracle, the cascade a rough guess; the method has to live with either."""
    motion = MotionRecipe(landmarks=landmarks, jitter_u=0.7 if landmarks == "side" else 0.0)
    f1 = held_out_score(casme2, ZhangConfig(motion=motion)).overall.f1
    print(landmarks, f1)
    assert abs(f1 - held_out_score(casme2).overall.f1) < 0.15
