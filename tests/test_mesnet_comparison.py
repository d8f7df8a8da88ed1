"""MDMD, LBP-chi2 and LTP-ML from the frames of a drawn video on, with a gap in it, and their speed."""

import json
import time

import cv2
import filmed
import numpy as np
import pytest
from test_features_lbp import codes_by_loops
from test_features_maximal_difference import differences_by_loops

from mespot_lib.datasets.own_video import read_media
from mespot_lib.face import NoFaceError
from mespot_lib.features.lbp import LbpRecipe, block_patterns, pattern_counts
from mespot_lib.features.maximal_difference import DifferenceRecipe, block_differences, maximal_differences
from mespot_lib.features.patches import PatchRecipe, face_patches
from mespot_lib.methods import lbp_chi2, ltp_ml, mdmd

GAP = (171, 172)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESPOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, cache):
    """A drawn video of six seconds without two of its frames, and what is true in it."""
    images, truth = filmed.drawn()
    folder = tmp_path_factory.mktemp("drawn") / "clip"
    return recorded([(t, image) for t, image in enumerate(images) if t not in GAP], folder), truth


def recorded(numbered, folder):
    folder.mkdir()
    for t, image in numbered:
        cv2.imwrite(str(folder / f"img{t:03d}.png"), image)
    manifest = read_media(folder, fps=30.0)
    return manifest.video(manifest.uids[0])


def test_mdmd_stands_out_in_the_true_expressions(drawn):
    video, truth = drawn
    curves = mdmd.score_video(video, mdmd.MdmdConfig.general())
    assert curves.curves.shape == (video.length, 2)
    expression = next(span for span in truth if span.kind == "ME")
    apex = int(np.nanargmax(curves.curves[:, 0]))
    assert any(span.onset - 6 <= apex <= span.offset + 6 for span in truth)
    assert curves.curves[expression.onset : expression.offset + 1, 0].max() > 0.3


def test_lbp_chi2_stands_out_in_a_true_expression(drawn):
    video, truth = drawn
    curve = lbp_chi2.score_video(video, lbp_chi2.LbpChi2Config.general()).curves[:, 0]
    apex = int(np.nanargmax(curve))
    assert any(span.onset - 6 <= apex <= span.offset + 6 for span in truth)


def test_ltp_ml_has_patterns_of_all_regions(drawn):
    video, _ = drawn
    patterns = ltp_ml.video_patterns(video, ltp_ml.LtpMlConfig.general())
    known = patterns.clip >= 0
    assert patterns.values[known].shape == (known.sum(), 12, 10)
    assert np.isfinite(patterns.values[known]).all()
    assert patterns.moving[known].any(axis=1).all()


def test_a_gap_is_neither_measured_nor_bridged(drawn):
    video, _ = drawn
    patterns = block_patterns(video, LbpRecipe())
    assert np.flatnonzero(patterns.stretch < 0).tolist() == list(GAP)
    assert (patterns.counts[list(GAP)] == 0).all()
    patches = face_patches(video, PatchRecipe())
    assert np.flatnonzero(patches.stretch < 0).tolist() == list(GAP)
    measured = maximal_differences(video, DifferenceRecipe())
    k = int(measured.lags[0])
    assert k == 12
    unknown = {t + shift for t in GAP for shift in (-k, 0, k)} | {
        *range(k),
        *range(video.length - k, video.length),
    }
    assert set(np.flatnonzero(np.isnan(measured.blocks[:, 0, 0]))) == {t for t in unknown if t < video.length}


def test_what_is_measured_is_kept(drawn, monkeypatch):
    video, _ = drawn
    mdmd.prepare(video, "quick")
    lbp_chi2.prepare(video, "quick")
    ltp_ml.prepare(video, "paper")
    for module in ("lbp", "maximal_difference"):
        monkeypatch.setattr(
            f"mespot_lib.features.{module}.crop_stream", lambda *_: pytest.fail("measured again")
        )
    monkeypatch.setattr("mespot_lib.features.patches.registered", lambda *_: pytest.fail("cut again"))
    mdmd.score_video(video, mdmd.MdmdConfig.high_f1())
    lbp_chi2.score_video(video, lbp_chi2.LbpChi2Config.megc2019())
    ltp_ml.video_patterns(video, ltp_ml.LtpMlConfig())


def test_a_video_without_a_face_is_an_error_that_names_it(tmp_path, cache):
    video = recorded(enumerate(filmed.wall(8)), tmp_path / "wall")
    for measure, recipe in (
        (maximal_differences, DifferenceRecipe()),
        (block_patterns, LbpRecipe()),
        (face_patches, PatchRecipe()),
    ):
        with pytest.raises(NoFaceError, match="wall"):
            measure(video, recipe)


def seconds_of(way, rounds):
    best = np.inf
    for _ in range(rounds):
        started = time.process_time()
        way()
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.slow
def test_no_loop_over_pixels_comes_near_to_the_speed():
    rng = np.random.default_rng(0)
    image, flows = rng.integers(0, 256, (60, 60)), rng.normal(0, 1, (2, 60, 60, 2)).astype(np.float32)
    ratios = {
        "lbp": seconds_of(lambda: codes_by_loops(image.astype(np.float32), 3), 2)
        / seconds_of(lambda: pattern_counts(image, LbpRecipe(size=60)), 20),
        "mdmd": seconds_of(lambda: differences_by_loops(*flows, 6), 2)
        / seconds_of(lambda: block_differences(*flows, DifferenceRecipe()), 20),
    }
    print(json.dumps(ratios))
    assert min(ratios.values()) > 15
