"""Proposals: thresholds by hand, and the sweep against the slow way to the same numbers."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib import metrics
from mespot_lib.interval import Interval
from mespot_lib.proposals import (
    Limits,
    Proposals,
    choose_limits,
    read_proposals,
    spot_proposals,
    sweep,
    write_proposals,
)

T_CPN, T_CRN, T_NMS, T_EVAL = (0.2, 0.5, 0.8), (0.3, 0.6), (0.05, 0.5, None), (0.1, 0.5, 0.7)


def random_proposals(count: int, length: int, rng: np.random.Generator) -> Proposals:
    first = rng.integers(0, length - 15, count)
    frames = np.column_stack([first, first + rng.integers(6, 15, count)])
    refined = np.sort(np.clip(frames + rng.integers(-3, 4, (count, 2)), 0, length - 1), axis=1)
    return Proposals(frames, refined, *rng.random((2, count)), rng.integers(0, 5, count))


def random_set(seed: int, videos: int = 3, count: int = 40, length: int = 120):
    rng = np.random.default_rng(seed)
    truth = {}
    for v in range(videos):
        first = rng.choice(np.arange(0, length - 15, 9), rng.integers(0, 5), replace=False)
        truth[f"v{v}"] = [Interval(int(a), int(a + rng.integers(4, 14)), "ME") for a in sorted(first)]
        truth[f"v{v}"].append(Interval(5, 60, "MaE"))  # has no say
    return {uid: random_proposals(count, length, rng) for uid in truth}, truth


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["cpn", "crn"]))
def test_the_sweep_counts_what_scoring_one_by_one_counts(seed, stage):
    proposals, truth = random_set(seed)
    counts = sweep(proposals, truth, T_CPN, T_CRN, T_NMS, T_EVAL, stage)
    only_me = metrics.of_part(truth, "ME")
    for (i, j, k, e), n in np.ndenumerate(counts.spotted):
        limits = Limits(T_CPN[i], T_CRN[j], T_NMS[k])
        spotted = {uid: spot_proposals(one, limits, stage) for uid, one in proposals.items()}
        megc = metrics.score(only_me, spotted, T_EVAL[e]).ME
        mesnet = metrics.score(only_me, spotted, T_EVAL[e], "mesnet").ME
        assert n == megc.tp + megc.fp
        assert counts.true == megc.tp + megc.fn
        assert counts.pairs[i, j, k, e] == megc.tp
        assert (counts.found[i, j, k, e], counts.right[i, j, k, e]) == (mesnet.tp, mesnet.right)
        assert counts.f1()[i, j, k, e] == pytest.approx(megc.f1)
        assert counts.f1("mesnet")[i, j, k, e] == pytest.approx(mesnet.f1)


def test_both_stages_by_hand():
    found = Proposals(
        np.array([[10, 18], [12, 20], [40, 46], [70, 80]]),
        np.array([[9, 18], [9, 19], [40, 50], [70, 80]]),
        np.array([0.9, 0.6, 0.8, 0.4]),
        np.array([0.7, 0.8, 0.2, 0.9]),
        np.arange(4),
    )
    cpn = spot_proposals(found, Limits(0.5, 0.5, 0.5), "cpn")
    assert [(s.onset, s.offset, s.score) for s in cpn] == [(10, 18, 0.9), (40, 46, 0.8)]
    crn = spot_proposals(found, Limits(0.5, 0.5, 0.5))
    assert [(s.onset, s.offset, s.score) for s in crn] == [(9, 19, 0.8)]
    assert len(spot_proposals(found, Limits(0.5, 0.5, None))) == 2
    assert {s.kind for s in cpn + crn} == {"ME"}


def test_a_table_keeps_everything():
    found = random_proposals(30, 200, np.random.default_rng(0))
    assert found.table().shape == (30, 7)
    again = Proposals.of_table(found.table())
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    nothing = random_proposals(0, 200, np.random.default_rng(0))
    assert Proposals.of_table(nothing.table()).frames.shape == (0, 2)
    assert spot_proposals(nothing, Limits(0.5, 0.5, 0.5)) == []


def test_a_file_keeps_proposals_and_thresholds(tmp_path):
    found = {
        uid: random_proposals(n, 200, np.random.default_rng(n)) for uid, n in (("set/s01/a", 20), ("b", 0))
    }
    limits = {uid: {"cpn": Limits(0.35, 0.0, 0.5), "crn": Limits(0.1, 0.6, 0.05)} for uid in found}
    write_proposals(tmp_path / "p.npz", found, limits)
    again, chosen = read_proposals(tmp_path / "p.npz")
    assert chosen == limits
    assert np.array_equal(again["set/s01/a"].frames, found["set/s01/a"].frames)
    assert np.abs(again["set/s01/a"].p_crn - found["set/s01/a"].p_crn).max() < 1e-6
    assert len(again["b"].subnet) == 0


def test_limits_keep_the_right_ones_and_drop_the_wrong_ones():
    rng = np.random.default_rng(0)
    proposals, truth = {}, {}
    for uid in "abc":
        spans = [Interval(a, a + 9, "ME") for a in range(20, 400, 60)]
        noise = random_proposals(80, 450, rng)
        right = np.array([(s.onset + 1, s.offset) for s in spans])
        every = np.concatenate([right, noise.frames])
        p_cpn = np.concatenate([rng.uniform(0.55, 1, len(right)), rng.uniform(0, 0.9, 80)])
        p_crn = np.concatenate([rng.uniform(0.6, 1, len(right)), rng.uniform(0, 0.55, 80)])
        proposals[uid] = Proposals(every, every, p_cpn, p_crn, np.zeros(len(every), int))
        truth[uid] = spans
    limits = choose_limits(proposals, truth)
    spotted = {uid: spot_proposals(one, limits) for uid, one in proposals.items()}
    assert metrics.score(truth, spotted).ME.f1 == 1
    assert choose_limits(proposals, truth, "cpn").crn == 0


def test_without_proposals_nothing_is_found():
    nothing = {"a": random_proposals(0, 50, np.random.default_rng(0))}
    counts = sweep(nothing, {"a": [Interval(3, 9, "ME")]}, T_CPN, T_CRN, T_NMS, T_EVAL)
    assert not counts.spotted.any()
    assert not counts.f1().any()
    assert counts.true == 1


@pytest.mark.slow
def test_all_thresholds_of_a_large_set_are_swept_in_seconds():
    """As many proposals as the default sets have, all combinations of the paper's Tables VII to IX."""
    proposals, truth = random_set(0, videos=30, count=600, length=1100)
    steps = tuple(np.arange(0.40, 0.81, 0.04).round(2))
    tenths = tuple(np.arange(0.05, 0.96, 0.10).round(2))
    started = time.process_time()
    for stage in ("cpn", "crn"):
        sweep(proposals, truth, steps, steps, (*tenths, 0.5, None), sorted((*tenths, 0.5)), stage)
    assert time.process_time() - started < 10
