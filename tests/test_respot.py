"""Stored folds spotted again: the method's own intervals with its own settings, and `mespot score`'s counts for any."""

import importlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import METHODS, SETTINGS, people_videos, write_runs
from typer.testing import CliRunner

from mespot_lib import metrics, places, respot, runs
from mespot_lib.cli import app
from mespot_lib.curves import Curves, Threshold
from mespot_lib.interval import Interval, read_intervals, write_intervals
from mespot_lib.methods import flow_peaks, i3d_bifpn, mesnet, stsnet_sw, zhang2020
from mespot_lib.methods import yap2022_3dcnn as yap
from mespot_lib.proposals import Limits, Proposals
from mespot_lib.runs import Run


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return the folder of reports with two folds of every method, and the folds."""
    reports = tmp_path_factory.mktemp("reports")
    for method in METHODS:
        write_runs(reports, method)
    folds = {}
    for result in runs.read_results(reports):
        folds.setdefault(result.record["method"], []).append(respot.read_fold(result))
    return reports, folds


# ---------------------------------------------------------------------------------------------------------------------
# The methods' own functions


def spans_of(rng, count=40, length=900):
    onset = rng.integers(0, length - 60, count)
    lengths, scores = rng.integers(3, 55, count), rng.uniform(0.2, 2.0, count)
    return [
        Interval(int(a), int(a + n), rng.choice(["ME", "MaE"]), int(a + n // 2), float(s))
        for a, n, s in zip(onset, lengths, scores, strict=True)
    ]


@pytest.mark.parametrize("config", [{}, {"overlap": 0.6}])
def test_zhang_spots_the_same_from_what_is_stored(config):
    spans = spans_of(np.random.default_rng(0))
    scores = zhang2020.Scores(30.0, np.arange(900), np.zeros((900, 1, 2)), {}, {}, spans)
    fitted = zhang2020.Fitted(zhang2020.ZhangConfig(**config), {"ME": 0.4, "MaE": 0.7}, np.zeros((1, 1)))
    assert fitted.spot(scores)
    assert zhang2020.spot_stored(scores.table(), 30.0, fitted.settings()) == fitted.spot(scores)


@pytest.mark.parametrize("config", [{}, {"combine": "union", "overlap": 0.3}, {"train_peaks": 2}])
def test_flow_peaks_spots_the_same_from_what_is_stored(config):
    rng = np.random.default_rng(1)
    spans = spans_of(rng)
    where = [str(rng.choice(["mouth 48 90", "left inner brow 0"])) for _ in spans]
    scores = flow_peaks.Scores(30.0, np.arange(900), np.ones(900, bool), spans, where, [(10, 14)])
    fitted = flow_peaks.Fitted(
        flow_peaks.FlowPeaksConfig(**config), {"ME": 0.4, "MaE": 0.7}, np.zeros((1, 1))
    )
    assert fitted.spot(scores)
    assert flow_peaks.spot_stored(scores.table(), 30.0, fitted.settings()) == fitted.spot(scores)


def walk(rng, count=900):
    values = np.abs(rng.standard_normal((count, 2)).cumsum(axis=0) / 12 % 2 - 1)
    values[:4] = values[300:310] = np.nan
    return values.astype(np.float32)


@pytest.mark.parametrize("config", [yap.Yap3dCnnConfig.quick(), yap.Yap3dCnnConfig.quick().as_printed()])
def test_the_3dcnn_spots_the_same_from_its_raw_curves(config):
    raw = walk(np.random.default_rng(2))
    limits = {"ME": Threshold(0.4, 0.6), "MaE": Threshold(0.3, 0.5)}
    fitted = yap.Fitted(config, (), (0.2, 0.5), limits, {})
    scores = yap.smoothed(Curves(30.0, raw.astype(float)), config.low_pass_hz, config.normalise)
    assert fitted.spot(scores)
    own = fitted.settings()
    assert yap.spot_stored(raw, 30.0, own) == fitted.spot(scores)
    assert yap.spot_stored(raw, 30.0, json.loads(json.dumps(own))) == fitted.spot(scores)
    np.testing.assert_array_equal(yap.stored_curves(raw, 30.0, own).curves, scores.curves)


@pytest.mark.parametrize("post", ["raw", "merging", "duration"])
def test_stsnet_spots_the_same_from_its_probabilities(post):
    chances = walk(np.random.default_rng(3)) / 2
    fitted = stsnet_sw.Fitted(stsnet_sw.StsNetConfig.quick(post=post), (), {"ME": 0.3, "MaE": 0.6}, {})
    found = fitted.spot(Curves(30.0, chances.astype(float)))
    assert found
    assert stsnet_sw.spot_stored(chances, 30.0, fitted.settings()) == found


def test_mesnet_spots_the_same_from_its_proposals():
    rng = np.random.default_rng(4)
    onset = rng.integers(0, 800, 200)
    frames = np.column_stack([onset, onset + rng.integers(4, 15, 200)])
    found = Proposals(frames, frames + 1, *np.float32(rng.random((2, 200))).astype(float), onset * 0)
    fitted = mesnet.Fitted(mesnet.MesNetConfig.quick(), (), (), Limits(0.3, 0.4, 0.1), {})
    assert fitted.spot(found)
    assert mesnet.spot_stored(found.table().astype(np.float32), 30.0, fitted.settings()) == fitted.spot(found)


@pytest.mark.parametrize(
    "config", [i3d_bifpn.I3dBiFpnConfig.quick(), i3d_bifpn.I3dBiFpnConfig.quick().as_printed()]
)
def test_i3d_spots_the_same_from_its_detections(config):
    rng = np.random.default_rng(5)
    onset = rng.integers(0, 800, 60)
    frames = np.column_stack([onset, onset + rng.integers(4, 60, 60)])
    p = np.float32(rng.random(60)).astype(float)
    found = i3d_bifpn.Detections(frames, rng.integers(0, 2, 60), p, onset * 0)
    fitted = i3d_bifpn.Fitted(config, None, (0.4, 0.3), {})
    assert fitted.spot(found)
    assert i3d_bifpn.spot_stored(found.table().astype(np.float32), 30.0, fitted.settings()) == fitted.spot(
        found
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_the_paper_prints_is_a_setting_of_the_method(method):
    assert set(respot.printed(method)) <= set(SETTINGS[method])


@pytest.mark.parametrize("method", list(runs.NOTEBOOKS))
def test_every_method_can_be_explored(method):
    module = importlib.import_module(f"mespot_lib.methods.{method}")
    assert hasattr(module, "spot_stored")
    assert hasattr(module, "stored_curves") or hasattr(module, "stored_proposals")
    assert hasattr(module.Fitted, "settings")
    assert set(SETTINGS[method]) <= set(respot.CONTROLS)


def test_reference_runs_spot_again_what_they_spotted():
    results, problems = runs.scan_results(places.repository_root() / "reports" / "reference")
    assert not problems
    folds = [respot.read_fold(result) for result in results]  # refuses those that do not
    assert {fold.run.method for fold in folds} == set(runs.NOTEBOOKS)


# ---------------------------------------------------------------------------------------------------------------------
# Counts


@pytest.mark.parametrize("method", METHODS)
def test_counts_are_those_of_mespot_score(stored, tmp_path, method):
    """The same setting through the command line gives the same numbers: nothing is counted here."""
    _, folds = stored
    changes = {"t_nms": 0.0, "shortest_s": 0.3}
    changes = {name: value for name, value in changes.items() if name in SETTINGS[method]}
    spotted = respot.spot_again(folds[method], changes)
    ours = respot.score_again(folds[method], spotted, 0.4)
    write_intervals(tmp_path / "spotted.csv", spotted)
    write_intervals(tmp_path / "truth.csv", respot.truth_of(folds[method]))
    files = ["--truth", str(tmp_path / "truth.csv"), "--spotted", str(tmp_path / "spotted.csv")]
    said = CliRunner().invoke(app, ["score", *files, "--t-eval", "0.4", "--json"])
    assert said.exit_code == 0, said.output
    theirs = json.loads(said.output)
    assert {part: theirs[part] for part in metrics.PARTS} == ours.as_dict()


@pytest.mark.parametrize("method", METHODS)
def test_every_control_changes_what_is_spotted(stored, method):
    _, folds = stored
    before = respot.spot_again(folds[method], {})
    mute = {  # settings that have a say only beside another
        "top_threshold": {"limits": "top"},
        "gap_s": {"post": "merging"},
        "train_s": {"train_peaks": 2, "threshold_me_u": 0.2},
        "train_peaks": {"threshold_me_u": 0.2},
        "normalise": {},
    }
    for name, control in respot.controls(folds[method]).items():
        beside = mute.get(name, {})
        base = before if not beside else respot.spot_again(folds[method], beside)
        others = [respot.spot_again(folds[method], {**beside, name: value}) for value in control.values]
        assert any(other != base for other in others), name


def test_a_sweep_scores_each_value_as_it_is_scored_alone(stored):
    _, folds = stored
    values = (0.2, 0.6, 1.4)
    swept = list(respot.sweep(folds["zhang2020"], {"t_nms": 0.1}, "threshold_me_u", values, 0.5))
    for value, score in zip(values, swept, strict=True):
        spotted = respot.spot_again(folds["zhang2020"], {"t_nms": 0.1, "threshold_me_u": value})
        assert score == respot.score_again(folds["zhang2020"], spotted, 0.5)
    by_t_eval = list(respot.sweep(folds["zhang2020"], {}, "t_eval", (0.3, 0.9), 0.5))
    assert by_t_eval[0].overall.tp >= by_t_eval[1].overall.tp


@pytest.mark.parametrize("method", METHODS)
def test_an_oracle_is_never_below_what_was_fitted(stored, method):
    _, folds = stored
    fitted = respot.score_again(folds[method], respot.spot_again(folds[method], {}), 0.5).overall.f1
    *_, (changes, f1) = respot.oracle(folds[method], 0.5, rounds=1)
    assert f1 >= fitted
    assert f1 == respot.score_again(folds[method], respot.spot_again(folds[method], changes), 0.5).overall.f1


def test_folds_keep_their_own_settings_until_one_is_changed(tmp_path):
    write_runs(tmp_path / "a", "zhang2020", threshold_me_u=0.5)
    write_runs(tmp_path / "b", "zhang2020", threshold_me_u=2.0)
    one, other = (respot.read_fold(runs.read_results(tmp_path / name)[i]) for i, name in enumerate("ab"))
    together = respot.spot_again([one, other], {})
    assert together == {**respot.spot_again([one], {}), **respot.spot_again([other], {})}
    both = respot.spot_again([one, other], {"threshold_me_u": 2.0})
    assert both == {**respot.spot_again([one], {"threshold_me_u": 2.0}), **respot.spot_again([other], {})}
    assert respot.own_value([one, other], "threshold_me_u") in (0.5, 2.0)


# ---------------------------------------------------------------------------------------------------------------------
# One video


spans = st.builds(
    lambda onset, length, kind: Interval(onset, onset + length, kind),
    st.integers(0, 100),
    st.integers(0, 30),
    st.sampled_from(("ME", "MaE")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(spans, max_size=6, unique=True), st.lists(spans, max_size=6, unique=True))
def test_bars_add_up_to_the_counts(truth, spotted):
    counts = metrics.score({"v": truth}, {"v": spotted}).overall
    found = respot.bars(truth, spotted, 0.5)
    assert len(found) == len(truth) + len(spotted)
    by = [(bar.side, bar.outcome == "hit") for bar in found]
    assert (by.count(("truth", True)), by.count(("spotted", True))) == (counts.tp, counts.tp)
    assert (by.count(("truth", False)), by.count(("spotted", False))) == (counts.fn, counts.fp)
    assert all((bar.partner is not None) == (bar.outcome == "hit") for bar in found)


def test_a_bar_says_what_it_is():
    truth = [Interval(10, 19, "ME"), Interval(50, 90, "MaE")]
    spotted = [Interval(11, 20, "ME", score=0.5), Interval(50, 90, "ME"), Interval(200, 205, "ME")]
    said = [respot.says(bar, 30.0) for bar in respot.bars(truth, spotted, 0.5)]
    assert any("hit, IoU 0.82, onset +33 ms, offset +33 ms" in words for words in said)
    assert sum("wrong type" in words for words in said) == 2
    assert any("false alarm" in words and "200 to 205" in words for words in said)


@pytest.mark.parametrize("method", METHODS)
def test_scores_of_a_video_can_be_drawn(stored, method):
    _, folds = stored
    uid = next(iter(folds[method][0].videos))
    found = respot.scores_of_video(folds[method][0], uid, {})
    assert len(found.curves if isinstance(found, Curves) else found)
    for level in respot.levels(folds[method][0], {}):
        assert level.value in SETTINGS[method].values()


def test_levels_follow_what_decides(stored):
    _, folds = stored
    assert [one.name for one in respot.levels(folds["mesnet"][0], {"stage": "cpn"})] == ["T_CPN"]
    assert respot.levels(folds["i3d_bifpn"][0], {"limits": "top"}) == []


# ---------------------------------------------------------------------------------------------------------------------
# Bad input: one line that says what is wrong and what to do


def refused(folder):
    with pytest.raises(respot.RespotError) as error:
        respot.read_fold(runs.read_result(folder))
    return str(error.value)


def test_a_run_without_settings_is_refused(tmp_path):
    folder = write_runs(tmp_path, "zhang2020")[0]
    record = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(record | {"settings": {"landmarks": "mediapipe"}}))
    assert "without the settings it spotted with" in refused(folder)
    assert "mespot sweep --methods zhang2020 --datasets toy --folds s00" in refused(folder)


def test_missing_damaged_and_foreign_scores_are_refused(tmp_path):
    folder, other = write_runs(tmp_path, "zhang2020")
    scores = folder / "scores.npz"
    data = scores.read_bytes()
    scores.write_bytes(data[: len(data) // 2])
    assert "cannot be read" in refused(folder)
    scores.write_bytes((other / "scores.npz").read_bytes())
    assert "has nothing of toy/s00/v0" in refused(folder)
    scores.unlink()
    assert "scores.npz is missing" in refused(folder)


def test_scores_that_no_longer_give_their_intervals_are_refused(tmp_path):
    folder = write_runs(tmp_path, "zhang2020")[0]
    with np.load(folder / "scores.npz") as arrays:
        changed = {uid: scores[1:] for uid, scores in arrays.items()}
        cut = {uid: scores[:, :3] for uid, scores in arrays.items()}
    np.savez_compressed(folder / "scores.npz", **changed)
    assert "no longer give its spotted.csv" in refused(folder)
    np.savez_compressed(folder / "scores.npz", **cut)
    assert "not those of this version" in refused(folder)


def test_a_method_that_cannot_spot_again_is_refused(tmp_path):
    folder = write_runs(tmp_path, "zhang2020")[0]
    record = json.loads((folder / "result.json").read_text())
    for method, words in (("nobody2030", "there is no such method"), ("mdmd", "no way from stored scores")):
        (folder / "result.json").write_text(json.dumps(record | {"method": method}))
        assert words in refused(folder)


def test_a_fold_scored_just_now_is_a_fold():
    manifest = people_videos(2, 1, 600)
    scores = {uid: np.empty((0, 5)) for uid in ("toy/s00/v0",)}
    fold = respot.fold_of(manifest, scores, SETTINGS["zhang2020"], Run("zhang2020", "toy", "s00"))
    assert respot.spot_again([fold], {}) == {"toy/s00/v0": []}
    assert fold.synthetic
    assert fold.videos["toy/s00/v0"].fps == 30.0


def test_intervals_of_a_fold_are_those_of_its_file(stored):
    reports, folds = stored
    for result in runs.read_results(reports):
        fold = next(f for f in folds[result.record["method"]] if f.run.fold == result.record["fold"])
        own = read_intervals(result.folder / "spotted.csv")
        assert {uid: sorted(spans) for uid, spans in respot.spot_again([fold], {}).items()} == own
