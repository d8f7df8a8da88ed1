"""Counting hits, sweeping thresholds, choosing them fold by fold: beside the same rules as loops over intervals."""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import plain
from toy import people_manifest

from benchmarks.measure import Case, Growth
from mespot_lib import held_out, metrics, respot
from mespot_lib.features.motion import RegionMotion
from mespot_lib.features.regions import REGIONS
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest
from mespot_lib.methods import zhang2020
from mespot_lib.proposals import Limits, Proposals, spot_proposals, sweep
from mespot_lib.runs import Run

T_EVALS = tuple(np.arange(0.05, 0.96, 0.05).round(2).tolist())
Spans = dict[str, list[Interval]]


def entries(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of evaluation."""
    truth, spotted = a_result(videos=98, true=357, found=500 if tiny else 6000)
    grid = T_EVALS[::9] if tiny else T_EVALS
    middle = grid[len(grid) // 2]
    yield Case(
        "score",
        "one scoring of 98 videos, 357 true and thousands of spotted intervals",
        "scoring",
        1,
        ours=lambda: metrics.score(truth, spotted, 0.5),
        beside="loops over intervals",
        theirs=lambda: plain.megc(truth, spotted, 0.5),
        same=lambda a, b: all(metrics.Counts(*b[kind]) == a[kind] for kind in KINDS),
    )
    yield Case(
        "grid",
        f"{len(grid)} thresholds of NMS x {len(grid)} of the evaluation on the same",
        "pair of thresholds",
        len(grid) ** 2,
        ours=lambda: metrics.grid(truth, spotted, grid, grid),
        beside="loops over intervals, one pair of thresholds (the middle one is timed) after the other",
        theirs=lambda: plain_cell(truth, spotted, middle, middle),
        theirs_count=1,
        same=lambda a, b: all(metrics.Counts(*b[k]) == a[middle, middle][k] for k in KINDS),
        goal=20.0,
    )
    proposals, true = a_set_of_proposals(videos=4 if tiny else 30, found=200 if tiny else 600)
    steps = tuple(np.linspace(0.40, 0.80, 3 if tiny else 11).round(2).tolist())
    tenths = tuple(np.arange(0.05, 0.96, 0.45 if tiny else 0.10).round(2).tolist())
    i, k = len(steps) // 2, len(tenths) // 2
    yield Case(
        "proposals_sweep",
        "all combinations of four thresholds of a two-stage method",
        "combination",
        len(steps) ** 2 * len(tenths) ** 2,
        ours=lambda: sweep(proposals, true, steps, steps, tenths, tenths),
        beside="spotting and loops over intervals, one combination (the middle one is timed) after the other",
        theirs=lambda: plain_combination(proposals, true, Limits(steps[i], steps[i], tenths[k]), tenths[k]),
        theirs_count=1,
        same=lambda a, b: (b[0], b[0] + b[1]) == (a.pairs[i, i, k, k], a.spotted[i, i, k, k]),
        goal=20.0,
    )
    by_subject = list(metrics.score(truth, spotted).videos.values())
    counts = [one.overall for one in by_subject]
    draws = 200 if tiny else 2000
    yield Case(
        "bootstrap",
        f"95 % interval of F1, {draws} draws of {len(counts)} people",
        "draw",
        draws,
        ours=lambda: metrics.bootstrap_f1(counts, draws),
        beside="random.choices and sums",
        theirs=lambda: plain_bootstrap(counts, draws),
        same=lambda a, b: np.allclose(a, b, atol=0.02),
    )
    people, scores = a_set_of_people(3 if tiny else 5)
    config = zhang2020.ZhangConfig()
    yield Case(
        "thresholds_of_all_folds",
        f"thresholds of {len(people.subjects)} folds chosen and every fold spotted (zhang2020)",
        "fold",
        len(people.subjects),
        ours=lambda: with_scores(scores, lambda: zhang2020.leave_one_subject_out(people, config)),
        beside="every fold fitted by itself",
        theirs=lambda: with_scores(
            scores,
            lambda: held_out.leave_one_subject_out(people, partial(zhang2020.fit, config=config)),
        ),
        same=lambda a, b: a == b,
    )
    yield Growth(
        "thresholds_by_folds",
        "thresholds of all folds chosen and every fold spotted",
        "fold",
        (3, 6) if tiny else (4, 8, 16),
        choosing,
        most_mb=1.0,
    )
    yield Growth(
        "scoring_by_videos",
        "one scoring, with the videos of the same kind",
        "video",
        (20, 40) if tiny else (50, 200, 800),
        lambda videos: scoring_of(int(videos)),
        most_mb=1.0,
    )
    fitted = zhang2020.Fitted(config, {"ME": 0.5, "MaE": 1.0}, np.zeros((1, 1)))
    stored = {uid: one.table() for uid, one in scores.items()}
    fold = respot.fold_of(people, stored, fitted.settings(), Run("zhang2020", "toy", "p00"))
    motions = {uid: a_motion(number, 1200) for number, uid in enumerate(people.uids)}
    yield Case(
        "explorer_update",
        "a threshold moved in the explorer: all videos spotted and scored again",
        "video",
        len(people.uids),
        ours=lambda: respot.score_again([fold], respot.spot_again([fold], {"threshold_me_u": 0.7}), 0.5),
        beside="the method run again on its stored features, then loops over intervals",
        theirs=lambda: plain.megc(
            fold.truth,
            {
                uid: zhang2020.spot_scores(
                    zhang2020.score_motion(motion, 30.0, config), {"ME": 0.7, "MaE": 1.0}, config
                )
                for uid, motion in motions.items()
            },
            0.5,
        ),
        same=lambda a, b: all(metrics.Counts(*b[kind]) == a[kind] for kind in KINDS),
    )


# ---------------------------------------------------------------------------------------------------------------------
# The plain ways


def plain_cell(truth: Spans, spotted: Spans, t_nms: float, t_eval: float) -> dict[str, list[int]]:
    """Return the counts of each kind after non-maximum suppression, in loops."""
    return plain.megc(truth, {uid: plain.nms(spans, t_nms) for uid, spans in spotted.items()}, t_eval)


def plain_combination(
    proposals: Mapping[str, Proposals], truth: Spans, limits: Limits, t_eval: float
) -> list[int]:
    """Return TP, FP, FN of ME under one combination of thresholds, in loops."""
    none = Limits(limits.cpn, limits.crn, None)
    spotted = {
        uid: plain.nms(spot_proposals(one, none), limits.nms) if limits.nms is not None else []
        for uid, one in proposals.items()
    }
    only = {uid: [span for span in spans if span.kind == "ME"] for uid, spans in truth.items()}
    return plain.megc(only, spotted, t_eval)["ME"]


def plain_bootstrap(counts: Sequence[metrics.Counts], draws: int) -> tuple[float, float]:
    """Return the 95 % interval of F1, one draw after the other."""
    rng, values = random.Random(0), []
    for _ in range(draws):
        drawn = rng.choices(counts, k=len(counts))
        tp, fp, fn = (sum(getattr(one, name) for one in drawn) for name in ("tp", "fp", "fn"))
        values.append(2 * tp / (2 * tp + fp + fn))
    values.sort()
    return values[int(0.025 * draws)], values[int(0.975 * draws)]


# ---------------------------------------------------------------------------------------------------------------------
# Invented results


def a_result(videos: int, true: int, found: int, seed: int = 0) -> tuple[Spans, Spans]:
    """Return true and spotted intervals at random, of sizes and numbers as in CAS(ME)^2."""
    rng = np.random.default_rng(seed)

    def drawn(total: int) -> Spans:
        spans: Spans = {f"v{number:03d}": [] for number in range(videos)}
        for number in range(total):
            kind = "ME" if rng.random() < 57 / 357 else "MaE"
            length = int(rng.integers(*((8, 17) if kind == "ME" else (17, 80))))
            onset = int(rng.integers(0, 2590 - length))
            span = Interval(onset, onset + length - 1, kind, score=float(rng.random()))
            spans[f"v{number % videos:03d}"].append(span)
        return spans

    return drawn(true), drawn(found)


def a_set_of_proposals(videos: int, found: int) -> tuple[dict[str, Proposals], Spans]:
    """Return proposals at random, as many per video as the drawn sets have."""
    rng = np.random.default_rng(0)
    proposals, truth = {}, {}
    for number in range(videos):
        first = rng.integers(0, 1085, found)
        frames = np.column_stack([first, first + rng.integers(6, 15, found)])
        refined = np.sort(np.clip(frames + rng.integers(-3, 4, (found, 2)), 0, 1099), axis=1)
        proposals[f"v{number}"] = Proposals(
            frames, refined, *rng.random((2, found)), rng.integers(0, 5, found)
        )
        onsets = sorted(rng.choice(np.arange(0, 1080, 30), 3, replace=False))
        truth[f"v{number}"] = [Interval(int(a), int(a + rng.integers(6, 14)), "ME") for a in onsets]
    return proposals, truth


def a_motion(seed: int, samples: int) -> RegionMotion:
    """Return the motion of regions at random."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.15, (samples, len(REGIONS), 2)).astype(np.float32)
    return RegionMotion(np.arange(samples), steps, rng.normal(0, 0.02, (samples, 2)).astype(np.float32))


def a_set_of_people(count: int) -> tuple[Manifest, dict[str, zhang2020.Scores]]:
    """Return a set of so many people with a video each, and what zhang2020 knows of motion at random in them."""
    events = (("ME", 100, 112), ("MaE", 300, 340), ("ME", 600, 611), ("MaE", 900, 950))
    manifest = people_manifest([f"p{number:02d}" for number in range(count)], events, 1200)
    config = zhang2020.ZhangConfig()
    scores = {
        uid: zhang2020.score_motion(a_motion(number, 1200), 30.0, config)
        for number, uid in enumerate(manifest.uids)
    }
    return manifest, scores


def with_scores(scores: Mapping[str, zhang2020.Scores], work):
    """Return what a call returns to which the scores of all videos are known."""
    with mock.patch.object(zhang2020, "score_video", lambda video, config: scores[video.uid]):
        return work()


def choosing(folds: float):
    """Return the work of choosing thresholds for so many folds."""
    people, scores = a_set_of_people(int(folds))
    config = zhang2020.ZhangConfig()
    return lambda: with_scores(scores, lambda: zhang2020.leave_one_subject_out(people, config))


def scoring_of(videos: int):
    """Return the work of scoring so many videos, each with as many intervals."""
    truth, spotted = a_result(videos, 4 * videos, 60 * videos)
    return lambda: metrics.score(truth, spotted)
