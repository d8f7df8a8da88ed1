"""MDMO with proposals: the graph, what the convolutions see, labels, decoding, both heads on drawn curves, leaks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from toy import people_manifest

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.features.mdmo import POINTS, MdmoMotion
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.interval import Interval
from mespot_lib.manifest import loso_folds
from mespot_lib.methods import mdmo
from mespot_lib.methods.mdmo import MdmoConfig, Scores
from mespot_lib.train import mean_loss, train

FPS, LENGTH = 30.0, 300
EVENTS = [("ME", 40, 52), ("MaE", 90, 125), ("ME", 170, 182), ("MaE", 220, 270)]
BROWS, MOUTH = (18, 19, 20, 23, 24, 25), (48, 54)


def small(**changes) -> MdmoConfig:
    """A configuration that trains in a second or two."""
    quick = MdmoConfig.quick()
    loop = replace(quick.train, epochs=4, batches_per_epoch=12, batch_size=8, device="cpu")
    return replace(quick, **({"train": loop, "segment": 96, "channels": 32, "graph": 8} | changes))


# --- the graph ------------------------------------------------------------------------------------------------------


def test_regions_that_move_together_are_joined():
    joint = mdmo.adjacency()
    assert joint.shape == (12, 12)
    assert np.array_equal(joint, joint.T)
    assert (joint >= 0).all()
    assert np.linalg.eigvalsh(joint).max() == pytest.approx(1, abs=1e-5)  # as that of any graph so normalised
    at = POINTS.index
    assert joint[at(18), at(19)] > joint[at(18), at(57)]
    assert joint[at(48), at(54)] > joint[at(48), at(20)]


def test_the_graph_is_the_same_in_a_mirror():
    joint = mdmo.adjacency()
    assert np.allclose(joint, joint[np.ix_(mdmo.MIRROR, mdmo.MIRROR)])
    assert [mdmo.MIRROR[i] for i in mdmo.MIRROR] == list(range(12))


# --- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dilations", "seen"), [((1, 2, 2), 11), ((1, 2, 4, 8), 31), ((1,), 3)])
def test_an_output_sees_its_receptive_field_and_nothing_else(dilations, seen):
    config = small(dilations=dilations, batch_norm=False)
    assert 2 * mdmo.reach(config) + 1 == seen
    model = mdmo.untrained(config, 0)
    motion = torch.randn(1, 20 + seen - 1, 12, 2, requires_grad=True)
    logits = model(motion)
    assert logits.shape == (1, 8, 20)
    logits[0, :, 7].sum().backward()
    felt = np.flatnonzero(motion.grad.abs().sum(dim=(0, 2, 3)).numpy() > 0)
    assert (felt.min(), felt.max()) == (7, 7 + seen - 1)


def test_the_printed_form_sees_eleven_samples():
    config = MdmoConfig.paper().as_printed()
    assert mdmo.reach(config) == 5
    assert (config.segment, config.train.epochs, config.train.batch_size) == (256, 100, 128)
    assert (config.motion.key_s, config.motion.share, config.motion.nose_share) == (0.0, 0.6, 0.88)
    model = mdmo.ProposalNet(config)
    shapes = [(m.in_channels, m.out_channels, m.dilation[0]) for m in model.time if hasattr(m, "dilation")]
    assert shapes == [(192, 64, 1), (64, 64, 1), (64, 64, 2), (64, 8, 2)]


@settings(max_examples=10)
@given(count=st.integers(1, 150), segment=st.integers(5, 70))
def test_cutting_a_video_into_segments_changes_nothing(count, segment):
    config = small(dilations=(1, 2))
    model = mdmo.untrained(config, 0)
    seen = np.random.default_rng(count).normal(size=(count, 12, 2)).astype(np.float32)
    cut = mdmo.probabilities(model, seen, replace(config, segment=segment))
    whole = mdmo.probabilities(model, seen, replace(config, segment=1000))
    assert cut.shape == (count, 8)  # the last, short segment too
    assert cut == pytest.approx(whole, abs=1e-6)


# --- the loss -------------------------------------------------------------------------------------------------------


def test_focal_loss_by_hand():
    logits, labels = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])
    p = 1 / (1 + np.exp(-2.0))
    expected = [0.9 * 0.5 * -np.log(0.5), 0.1 * p * -np.log(1 - p)]
    assert mdmo.focal_loss(logits, labels, 0.9, 1.0, 0.0).tolist() == pytest.approx(expected, rel=1e-5)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    assert mdmo.focal_loss(logits, labels, 0.5, 0.0, 0.0).tolist() == pytest.approx((plain / 2).tolist())


def test_smoothing_makes_certainty_cost():
    sure, labels = torch.tensor([12.0]), torch.tensor([1.0])
    assert mdmo.focal_loss(sure, labels, 0.9, 0.0, 0.16) > 0.5 > mdmo.focal_loss(sure, labels, 0.9, 0.0, 0.0)


def test_every_output_has_its_weight_in_the_loss():
    config = small(macro=0.5)
    loss = mdmo.loss_of(config)
    base = torch.full((1, 8, 10), -20.0)
    labels = torch.zeros(1, 8, 10)
    each = []
    for number in range(8):
        wrong = base.clone()
        wrong[:, number] = 20.0
        each.append(float(loss(wrong, labels)))
    apex, onset, offset, action = np.array(each[:4]) / each[1]
    assert (apex, onset, offset) == pytest.approx((1.8, 1, 1), rel=1e-3)
    assert action == pytest.approx(0.1 * 0.2 / 0.1, rel=1e-3)  # alpha .8: twice as much for what is not there
    assert np.array(each[4:]) == pytest.approx(np.array(each[:4]) / 2, rel=1e-3)


# --- labels ---------------------------------------------------------------------------------------------------------


def test_labels_by_hand():
    events = mdmo.events_of([Interval(70, 140, "ME", 91), Interval(280, 700, "MaE")], 7)
    assert events.tolist() == [[0, 10, 13, 20], [1, 40, 70, 100]]
    labels = mdmo.labels_of(events, 105, small(edge_share=0.1))
    on = [np.flatnonzero(row).tolist() for row in labels]
    assert on[0] == [12, 13, 14]
    assert on[1] == [9, 10, 11]
    assert on[2] == [19, 20, 21]
    assert on[3] == list(range(10, 21))
    assert on[4] == list(range(64, 77))
    assert on[7] == list(range(40, 101))


def test_an_event_outside_a_segment_leaves_no_label_inside():
    events = np.array([[0, -30, -25, -20], [1, 90, 100, 140], [0, 78, 85, 90]], dtype=float)
    labels = mdmo.labels_of(events, 80, small())
    assert np.flatnonzero(labels.any(axis=0)).tolist() == [77, 78, 79]


# --- drawn curves ---------------------------------------------------------------------------------------------------


def drawn_motion(person: int, length: int = LENGTH, events=EVENTS, step: int = 1) -> MdmoMotion:
    """Brows rise by 1.5 u in an ME, the mouth's corners by 4 u in an MaE; everything trembles."""
    rng = np.random.default_rng(person)
    shifts = np.cumsum(rng.normal(0, 0.03, (length, 12, 2)), axis=0)
    shifts -= np.linspace(0, 1, length)[:, None, None] * shifts[-1]
    for kind, onset, offset in events:
        course = np.sin(np.pi * np.linspace(0, 1, offset - onset + 1))
        for point in BROWS if kind == "ME" else MOUTH:
            shifts[onset : offset + 1, POINTS.index(point), 1] -= (1.5 if kind == "ME" else 4.0) * course
    regions = np.diff(shifts, axis=0, prepend=np.nan).astype(np.float32)
    nose = np.where(np.isnan(regions[:, 0]), np.nan, 0).astype(np.float32)
    return MdmoMotion(np.arange(length) * step, np.arange(length) - 1, regions, nose)


@pytest.fixture
def toy(monkeypatch):
    """A manifest of four people, one video each, whose motion is drawn."""
    monkeypatch.setattr(mdmo, "mdmo_motion", lambda video, recipe: drawn_motion(int(video.subject[1:])))
    return people_manifest([f"p{p}" for p in range(4)], EVENTS, LENGTH, FPS)


def test_the_input_is_the_displacement_less_its_mean_around_or_the_steps():
    motion, config = drawn_motion(0), small()
    steps = mdmo.network_input(motion, FPS, replace(config, input="as_printed"))
    assert steps == pytest.approx(np.nan_to_num(motion.regions), abs=1e-6)
    seen = mdmo.network_input(motion, FPS, config)
    at = POINTS.index(19)
    assert seen[:, at, 1].min() < -3 * np.abs(steps[:, at, 1]).max()
    slow = motion._replace(regions=motion.regions + np.float32(0.05))  # the head drifts
    assert np.abs(mdmo.network_input(slow, FPS, config) - seen)[50:-50].max() < 0.1


def test_the_knee_is_straight_below_and_keeps_the_order():
    config = small(knee_u=0.5)
    small_motion = np.array([-0.01, 0.0, 0.02])
    assert mdmo.bent(small_motion, config) == pytest.approx(small_motion / 0.5, rel=1e-3)
    assert (np.diff(mdmo.bent(np.linspace(-9, 9, 50), config)) > 0).all()
    assert mdmo.bent(small_motion, small(knee_u=0.0)) is small_motion


def test_a_mirrored_face_moves_the_other_way(toy):
    config = small(flip=1.0, gain=0.0, noise_u=0.0)
    motion = np.random.default_rng(0).normal(size=(5, 12, 2)).astype(np.float32)
    rng = np.random.default_rng(0)
    mirrored = mdmo.varied(motion, config, rng)
    left, right = POINTS.index(18), POINTS.index(25)
    assert np.array_equal(mirrored[:, left], motion[:, right] * [-1, 1])
    assert np.allclose(mdmo.varied(mirrored, config, rng), motion)


def test_labels_of_a_segment_lie_where_its_motion_is(toy):
    config = small(stretch=0.2, noise_u=0.0, gain=0.0, flip=0.0, knee_u=0.0)
    segments = mdmo.Segments(toy, config)
    (motion,), labels = segments.batch(np.zeros(12, dtype=int), np.random.default_rng(3))
    around = mdmo.reach(config)
    assert motion.shape == (12, config.segment + 2 * around, 12, 2)
    assert labels.shape == (12, 8, config.segment)
    brow = -motion[:, around:-around, POINTS.index(19), 1]
    for one, said in zip(brow.numpy(), labels.numpy(), strict=True):
        assert said[3].any()  # drawn around an ME, in different places
        assert said[3][one.argmax()] == 1
    assert len({int(said[3].argmax()) for said in labels.numpy()}) > 3


def test_most_segments_of_an_epoch_are_around_an_expression(toy):
    segments = mdmo.Segments(toy, small(quiet=0.25))
    order = segments.order(np.random.default_rng(0))
    assert len(order) >= 96
    assert (order >= segments.n_shown).mean() == pytest.approx(0.25, abs=0.12)
    assert order.max() < len(segments)


def test_a_few_segments_can_be_learnt_by_heart(toy):
    config = small(dropout=0.0, weights=(1.0, 1.0, 1.0), dilations=(1, 2, 2), segment=64)
    segments = mdmo.Segments(toy.only(toy.uids[:1]), config)
    batch = segments.batch
    segments.batch = lambda index, rng: batch(index, None)  # the same ones every time
    loop = replace(config.train, epochs=30, batch_size=4, batches_per_epoch=3, learning_rate=1e-2)
    model = mdmo.untrained(config, 0)
    before = mean_loss(model, segments, mdmo.loss_of(config), loop)
    done = train(model, segments, mdmo.loss_of(config), loop, 0, progress=False)
    assert mean_loss(done.model, segments, mdmo.loss_of(config), loop) < 0.1 * before


@pytest.mark.parametrize("head", ["peaks", "learned"])
def test_what_moves_is_found_on_people_never_seen(toy, head):
    config = small(head=head, train=replace(small().train, epochs=10, learning_rate=1e-2))
    fold = loso_folds(toy)[0]
    fitted = mdmo.fit(toy.only(fold.train), config, progress=False)
    assert set(fitted.judged) == set(fold.train)
    assert (fitted.model is None) == (head == "peaks")
    assert len(fitted.trainings) == (0 if head == "peaks" else 3)
    spotted = {uid: fitted.spot(fitted.score(toy.video(uid))) for uid in fold.test}
    score = metrics.score({uid: toy.truth(uid) for uid in fold.test}, spotted)
    assert score.overall.f1 > 0.7
    assert score["ME"].tp >= 1


def test_the_same_seed_gives_the_same_scores_and_limits(toy):
    config = small(train=replace(small().train, epochs=1, batches_per_epoch=4), parts=2)
    fold = loso_folds(toy)[1]
    first, second, other = (
        mdmo.fit(toy.only(fold.train), config, seed, progress=False) for seed in (4, 4, 5)
    )
    video = toy.video(fold.test[0])
    assert first.limits == second.limits
    assert np.array_equal(first.score(video).curves, second.score(video).curves)
    assert not np.array_equal(first.score(video).curves, other.score(video).curves)


def test_one_subject_alone_judges_itself(toy):
    config = small(train=replace(small().train, epochs=1, batches_per_epoch=2))
    fitted = mdmo.fit(toy.only(toy.uids[:1]), config, progress=False)
    assert len(fitted.trainings) == 1
    assert set(fitted.judged) == set(toy.uids[:1])


# --- proposals ------------------------------------------------------------------------------------------------------


def curves_with(kind: str, onset: int, apex: int, offset: int, length: int = 60) -> np.ndarray:
    curves = np.full((length, 8), 0.01)
    first = 0 if kind == "ME" else 4
    for number, at in enumerate((apex, onset, offset)):
        curves[at, first + number] = 0.9
    return curves


@pytest.mark.parametrize(("kind", "place"), [("ME", (20, 26, 32)), ("MaE", (5, 30, 55))])
def test_the_likeliest_ends_around_an_apex_are_taken(kind, place):
    (span,) = mdmo.learned_proposals(curves_with(kind, *place), np.arange(60), FPS, 60, small())
    assert (span.kind, span.onset, span.apex, span.offset) == (kind, *place)
    assert span.score == pytest.approx(0.9**3)


def test_an_end_up_to_which_the_action_lasts_is_preferred():
    curves = curves_with("MaE", 5, 30, 42)
    curves[58, 6] = 0.95  # likelier, but behind a rest
    curves[5:43, 7] = 0.8
    ends = {
        lasting: mdmo.learned_proposals(curves, np.arange(60), FPS, 60, small(lasting=lasting))[0].offset
        for lasting in (True, False)
    }
    assert ends == {True: 42, False: 58}


def test_an_end_too_far_from_the_apex_is_not_taken():
    config = small(sides_s={"ME": (0.1, 0.2), "MaE": (0.3, 1.0)})
    (span,) = mdmo.learned_proposals(curves_with("ME", 10, 26, 29), np.arange(60), FPS, 60, config)
    assert 20 <= span.onset <= 23  # of the places allowed, though the likeliest one lies before
    assert span.offset == 29


probabilities_of = arrays(np.float64, st.tuples(st.integers(1, 40), st.just(8)), elements=st.floats(0, 1))


@given(probabilities_of, st.sampled_from([1, 7]), st.integers(0, 6))
def test_nothing_reaches_beyond_the_ends_or_the_lengths_of_its_kind(curves, step, more):
    length = (len(curves) - 1) * step + 1 + min(more, step - 1)
    fps = FPS * step
    config = small()
    for span in mdmo.learned_proposals(curves, np.arange(len(curves)) * step, fps, length, config):
        assert 0 <= span.onset <= span.apex <= span.offset < length
        shortest, longest = config.lengths_s[span.kind]
        assert shortest - 1e-9 <= (span.offset - span.onset) / fps <= longest + 1e-9
        assert 0 <= span.score <= 1


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(0, 1000), st.sampled_from([1, 7]))
def test_peaks_lie_inside_the_video(count, seed, step):
    rng = np.random.default_rng(seed)
    curves = np.cumsum(rng.normal(0, 0.5, (count, 3)), axis=0)
    found = mdmo.peak_proposals(curves, np.arange(count) * step, FPS * step, small(head="peaks"))
    assert all(0 <= s.onset <= s.apex <= s.offset <= (count - 1) * step for s in found)
    assert all((s.offset - s.onset) / (FPS * step) >= 0.1 - 0.04 for s in found)


def test_a_bump_is_a_peak_and_a_step_is_none():
    course = np.zeros((90, 2))
    course[30:43, 0] = np.hanning(13)
    course[30:, 1] = 1.0
    found = mdmo.peak_proposals(course, np.arange(90), FPS, small(head="peaks"))
    assert [s.kind for s in found] == ["ME"]
    assert abs(found[0].apex - 36) <= 1
    assert found[0].onset == pytest.approx(31, abs=2)
    assert found[0].offset == pytest.approx(41, abs=2)


@pytest.mark.parametrize("head", ["peaks", "learned"])
def test_very_short_videos_are_scored(toy, monkeypatch, head):
    config, video = small(head=head), toy.video(toy.uids[0])
    for count in (1, 2, 9):
        monkeypatch.setattr(mdmo, "mdmo_motion", lambda v, r, n=count: drawn_motion(0, n, events=()))
        scores = mdmo.score_video(mdmo.untrained(config, 0), video, config)
        assert len(scores.curves) == count
        assert all(0 <= span.onset <= span.offset < count for span in scores.proposals)


def test_limits_are_of_each_kind_and_rivals_are_measured_by_them():
    found = [Interval(0, 12, "ME", 6, 0.5), Interval(2, 40, "MaE", 20, 0.4), Interval(60, 70, "ME", 65, 0.2)]
    scores = Scores(FPS, np.arange(90), np.zeros((90, 8)), found)
    spotted = mdmo.spot_scores(scores, {"ME": 0.45, "MaE": 0.1}, small())
    assert [(s.onset, s.kind, s.score) for s in spotted] == [(2, "MaE", pytest.approx(4))]
    spotted = mdmo.spot_scores(scores, {"ME": 0.1, "MaE": 0.3}, small())
    assert [(s.onset, s.kind) for s in spotted] == [(0, "ME"), (60, "ME")]
    assert mdmo.spot_scores(scores._replace(proposals=[]), {"ME": 0.1, "MaE": 0.3}, small()) == []


def test_limits_separate_right_from_wrong():
    truth = {"v": [Interval(0, 12, "ME"), Interval(100, 160, "MaE")]}
    found = [
        Interval(0, 12, "ME", 6, 0.3),
        Interval(40, 50, "ME", 45, 0.1),
        Interval(100, 160, "MaE", 130, 0.05),
    ]
    scores = {"v": Scores(FPS, np.arange(200), np.zeros((200, 8)), found)}
    limits = mdmo.choose_limits(scores, truth, small())
    assert 0.1 < limits["ME"] <= 0.3
    assert limits["MaE"] <= 0.05


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("head", ["peaks", "learned"])
def test_fitting_cannot_see_the_held_out_subject(fitted_twice, head):
    loop = replace(small().train, epochs=1, batches_per_epoch=3)
    config = small(head=head, train=loop, motion=replace(small().motion, landmarks="cascade"))
    before, after = fitted_twice(lambda train: mdmo.fit(train, config, progress=False))
    assert after.limits == before.limits
    if head == "learned":
        both = zip(after.model.parameters(), before.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in both)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthetic_casme2", "synthetic_samm_lv"])
@pytest.mark.parametrize("config", [MdmoConfig.peaks(), MdmoConfig.quick()], ids=["peaks", "learned"])
def test_drawn_expressions_are_found_at_30_and_at_200_fps(name, config):
    manifest = load_dataset(name)
    spotted = leave_one_subject_out(manifest, lambda train: mdmo.fit(train, config, progress=False), folds=2)
    truth = {uid: manifest.truth(uid) for uid in spotted}
    score = metrics.score(truth, spotted).overall
    lengths = {uid: manifest.video(uid).length for uid in spotted}
    by_chance = metrics.chance(spotted, truth, lengths)["overall"]
    assert score.f1 >= 3 * by_chance.f1
    assert score.f1 > by_chance.high
