"""MESNet: its windows by gradient, its losses by hand, its scoring against plain references, its fit against leaks."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import people_manifest

from mespot_lib import held_out, metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.features.face_flow import FaceFlow, FaceFlowRecipe
from mespot_lib.manifest import loso_folds
from mespot_lib.methods import mesnet as me
from mespot_lib.methods.mesnet import MesNetConfig
from mespot_lib.proposals import PRINTED, choose_limits, spot_proposals
from mespot_lib.train import mean_loss, train

INPUTS = ("as_printed", "displacement", "both")


def small(**changes) -> MesNetConfig:
    """A configuration that trains in seconds on flow of 16 x 16."""
    quick = MesNetConfig.quick()
    first = replace(quick.pretrain, epochs=4, batches_per_epoch=4, device="cpu")
    second = replace(quick.train, epochs=4, batches_per_epoch=12, learning_rate=4e-3, device="cpu")
    sizes = {
        "flow": FaceFlowRecipe(size=64, cells=16),
        "widths": (6, 8, 12, 32),
        "temporal": 32,
        "dense": 48,
        "pretrain": first,
        "train": second,
        "parts": 2,
    }
    return replace(quick, **(sizes | changes))


# --- windows ---------------------------------------------------------------------------------------------------------


def windows_by_gradient(samples: int) -> np.ndarray:
    """Which samples of f each output depends on, (A, N) bool."""
    torch.manual_seed(0)
    config = small()
    backbone, cpn = me.Backbone(config).eval(), me.ClipProposals(config.temporal)
    for layer in backbone.time:
        if isinstance(layer, torch.nn.Conv1d):
            layer.weight.data.abs_()  # so that no ReLU closes and nothing cancels
            layer.bias.data.abs_()
    for value in cpn.parameters():
        value.data.abs_()
    f = torch.rand(1, backbone.length, samples, requires_grad=True)
    out = cpn(backbone.time(f))[0, :, 0]
    rows = [torch.autograd.grad(one, f, retain_graph=True)[0][0].abs().sum(0) > 0 for one in out]
    return torch.stack(rows).numpy()


def test_windows_are_where_the_outputs_look():
    samples = 24
    seen, where = windows_by_gradient(samples), me.places(samples)
    assert len(seen) == len(where)
    for row, (first, stop, _) in zip(seen, where, strict=True):
        expected = np.zeros(samples, dtype=bool)
        expected[max(first, 0) : stop] = True
        assert (row == expected).all()


def test_windows_are_7_to_15_samples_long():
    assert me.window_lengths() == (7, 9, 11, 13, 15)
    where = me.places(100)
    for number, length in enumerate(me.window_lengths()):
        assert (np.diff(where[where[:, 2] == number, :2], axis=1) == length).all()


@given(st.integers(11, 200))
def test_there_are_as_many_windows_as_printed(samples):
    where = me.places(samples)
    for number, ((k1, r1), (k2, r2)) in enumerate(me.SUBNETS):
        assert (where[:, 2] == number).sum() == samples - (k1 - 1) * r1 - (k2 - 1) * r2
    assert me._samples_of(len(where)) == samples


def test_a_clip_too_short_for_a_window_has_none_of_it():
    assert set(me.places(4)[:, 2]) == {0}
    assert me.places(2).shape == (0, 3)
    for samples in (2, 4, 8):
        s = torch.rand(1, 32, samples)
        assert me.ClipProposals(32)(s).shape == (1, len(me.places(samples)), 2)


def test_iou_of_places_is_that_of_closed_frames():
    where = np.array([[3, 10], [0, 7], [20, 29]])
    iou = me.place_iou(where, np.array([[4.0, 12.0]]))  # frames 4 to 11
    assert iou[:, 0] == pytest.approx([6 / 9, 3 / 12, 0])


# --- the networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("input_", INPUTS)
def test_shapes_are_those_of_the_paper(input_):
    config = MesNetConfig.quick(input=input_)
    channels = 4 if input_ == "both" else 2
    backbone = me.Backbone(config)
    clips = torch.rand(1, 20, channels, 32, 32)
    assert backbone.features(clips).shape == (1, 32 * 32 // 4, 20)  # L = HW / 4
    assert backbone(clips).shape == (1, 128, 20)
    logits, _ = me.PreTraining(config)(torch.rand(2, 16, channels, 32, 32))
    assert logits.shape == (2, 2)
    drawn = torch.tensor([[0, 5, 30]])
    out = me.Output(*me.MesNet(config)(clips, drawn))
    assert out.cpn.shape == (1, len(me.places(20)), 2)
    assert out.chosen.shape == (1, 3 + config.most_proposals)
    assert out.kind.shape == out.ends.shape == (1, 3 + config.most_proposals, 2)


def test_pooling_before_relu_is_what_the_paper_does_after_it():
    x = torch.randn(3, 2, 32, 32)
    backbone = me.Backbone(MesNetConfig.quick(batch_norm=False))
    expected = x
    for layer in backbone.space:
        if isinstance(layer, torch.nn.Conv2d):
            expected = torch.nn.functional.max_pool2d(layer(expected).relu(), 2)
    assert torch.allclose(backbone.spatial(x), expected.flatten(1), atol=1e-5)


def test_features_of_112_px_have_the_printed_length():
    assert me.Backbone(MesNetConfig.paper()).length == 112 * 112 // 4


def test_the_first_layers_of_four_sub_networks_are_one():
    cpn = me.ClipProposals(8)
    s = torch.rand(1, 8, 20)
    before = cpn(s)[0]
    cpn.narrow.weight.data += 1
    changed = (cpn(s)[0] != before).any(dim=1).numpy()
    of = me.places(20)[:, 2]
    assert changed[of < 4].all()
    assert not changed[of == 4].any()


def test_signals_neither_fade_nor_grow_at_the_start():
    config = small(batch_norm=False)
    clips = torch.randn(4, 20, 2, 16, 16)
    net = me.started(me.MesNet(config))
    s = net.backbone(clips)
    assert 0.2 < s.std() < 5
    faded = me.MesNet(config).backbone(clips)
    assert faded.std() < 0.1 * s.std()
    out = me.Output(*net(clips, torch.zeros(4, 1, dtype=torch.long)))
    assert (out.cpn.softmax(-1) - 0.5).abs().max() < 0.4


def test_shared_temporal_convolutions_have_no_weights_of_their_own():
    apart, shared = (me.parameter_counts(small(shared=value)) for value in (False, True))
    assert apart["CRN"] - shared["CRN"] == apart["1-D convolutions"]
    config = small(shared=True)
    net = me.MesNet(config).eval()
    f = torch.rand(3, net.backbone.length, config.n_cr)
    s = net.backbone.time(f)[..., 2:-2]
    x = net.crn.dense(s.flatten(1))
    assert torch.allclose(net.crn(f, net.backbone)[0], net.crn.kind(x))


def test_a_proposal_is_brought_to_one_length_by_straight_lines():
    f = torch.arange(30.0).repeat(1, 2, 1)
    where = torch.tensor([[[4, 11], [0, 16], [-2, 5], [25, 40]]])
    out = me.resampled(f, where, 16)
    assert out.shape == (1, 4, 2, 16)
    assert torch.allclose(out[0, 0, 1], torch.linspace(4, 10, 16))
    assert torch.allclose(out[0, 1, 0], torch.linspace(0, 15, 16))
    assert torch.allclose(out[0, 2, 0], torch.linspace(-2, 4, 16).clamp_min(0), atol=1e-5)
    assert torch.allclose(out[0, 3, 0], torch.linspace(25, 39, 16).clamp_max(29))
    wider = me.resampled(f, torch.tensor([[[10, 15]]]), 9, context=0.5)
    assert torch.allclose(wider[0, 0, 0], torch.linspace(8, 16, 9))


# --- the losses ------------------------------------------------------------------------------------------------------


def logit_of(p: float) -> list[float]:
    return [np.log(p), np.log(1 - p)]


def test_loss_of_the_pretraining_by_hand():
    logits = torch.tensor([logit_of(0.8), logit_of(0.3)])
    value = me.pretraining_loss(logits, torch.tensor([1.0, 0.0]), torch.tensor(6.0), 0.01)
    assert float(value) == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2 + 0.005 * 6)


def test_loss_of_the_cpn_by_hand():
    logits = torch.tensor([[logit_of(0.9), logit_of(0.4), logit_of(0.2)]])
    labels, counted = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    value = me.cpn_loss(logits, labels, counted)
    assert float(value) == pytest.approx(-(np.log(0.9) + np.log(0.6)) / 2)  # the third has M = 0


def test_loss_of_the_crn_by_hand():
    logits = torch.tensor([logit_of(0.7), logit_of(0.1)])
    ends = torch.tensor([[0.5, 2.0], [9.0, 9.0]])
    wanted = torch.tensor([[0.1, -0.5], [0.0, 0.0]])
    value = me.crn_loss(logits, ends, torch.tensor([1.0, 0.0]), wanted)
    smooth = 0.5 * 0.4**2 + (2.5 - 0.5)  # of non-ME nothing is regressed
    assert float(value) == pytest.approx((-np.log(0.7) + smooth - np.log(0.9)) / 2)
    assert float(me.crn_loss(logits[:0], ends[:0], torch.ones(0), wanted[:0])) == 0


def test_the_ends_that_are_wanted():
    where, truth = torch.tensor([[10.0, 20.0]]), torch.tensor([[12.0, 20.0]])
    assert me.wanted_ends(where, truth).tolist() == [[2 / 8, 0.0]]


def test_the_whole_loss_is_the_sum_of_its_terms():
    config = small(l2=0.02)
    net, samples = me.untrained(config, 0), 20
    clips, drawn = torch.randn(2, samples, 2, 16, 16), torch.randint(0, 60, (2, 5))
    out = me.Output(*net(clips, drawn))
    targets = torch.zeros(2, len(me.places(samples)), 4)
    targets[..., 0], targets[0, :7, 1] = 1, 1
    targets[..., 2:] = torch.tensor([3.0, 12.0])
    looked = [(b, int(n)) for b in range(2) for n in out.chosen[b] if n >= 0]
    row = {pair: list(out.chosen[pair[0]].long()).index(pair[1]) for pair in looked}
    kind = torch.stack([out.kind[b, row[b, n]] for b, n in looked])
    ends = torch.stack([out.ends[b, row[b, n]] for b, n in looked])
    where = torch.tensor(np.stack([me.places(samples)[n, :2] for _, n in looked]))
    labels = torch.tensor([float(targets[b, n, 1]) for b, n in looked])
    wanted = me.wanted_ends(where.float(), torch.tensor([3.0, 12.0]).expand(len(looked), 2))
    expected = me.cpn_loss(out.cpn, targets[..., 1], targets[..., 0])
    expected = expected + me.crn_loss(kind, ends, labels, wanted) + 0.01 * me.squares(net)
    assert me.loss_of(config)(tuple(out), targets).item() == pytest.approx(float(expected), rel=1e-5)


def test_the_last_layers_and_biases_are_not_held_small():
    net = me.MesNet(small())
    before = float(me.squares(net))
    net.crn.kind.weight.data += 1
    net.crn.ends.weight.data += 1
    net.cpn.narrow.bias.data += 1
    assert float(me.squares(net)) == before
    net.crn.dense[0].weight.data += 1
    assert float(me.squares(net)) > before


# --- the input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("input_", INPUTS)
def test_a_part_of_a_video_gets_what_the_whole_would_have(input_):
    steps = np.random.default_rng(0).normal(0, 0.3, (90, 2, 4, 4)).astype(np.float16)
    config = small(input=input_, high_pass_s=0.8)
    whole = me.network_input(steps, 0, 90, 30.0, config)
    for first, stop in ((0, 20), (31, 62), (70, 90)):
        part = me.network_input(steps, first, stop, 30.0, config)
        assert np.abs(part - whole[first:stop]).max() < 1e-5
    beyond = me.network_input(steps, -2, 92, 30.0, config)
    assert not beyond[:2].any()
    assert not beyond[-2:].any()
    assert np.abs(beyond[2:-2] - whole).max() < 1e-5


def test_displacement_is_the_sum_of_steps_less_its_mean_around():
    steps = np.random.default_rng(0).normal(0, 0.1, (80, 2, 3, 3)).astype(np.float16)
    steps[0] = 0
    config = small(high_pass_s=20 / 30)
    x = config.knee_u * np.sinh(me.network_input(steps, 0, 80, 30.0, config))
    position = np.cumsum(steps, axis=0, dtype=np.float64)
    for t in (0, 5, 40, 79):
        around = position[np.clip(np.arange(t - 10, t + 11), 0, 79)]
        assert np.abs(x[t] - (position[t] - around.mean(axis=0))).max() < 1e-4


def test_a_mirror_turns_what_points_to_the_right():
    config = small(flip=1.0, gain=(1.0, 1.0), shift=0.0, turn_deg=0.0)
    clips = torch.randn(2, 3, 2, 16, 16)
    out = me.augment(clips, config, np.random.default_rng(0))
    assert torch.allclose(out[:, :, 0], -clips[:, :, 0].flip(-1), atol=1e-5)
    assert torch.allclose(out[:, :, 1], clips[:, :, 1].flip(-1), atol=1e-5)


def test_motion_goes_in_straight_when_small_and_ever_slower_when_large():
    steps = np.zeros((60, 2, 2, 2), dtype=np.float16)
    steps[20:40, :, 0] = 0.001  # a slow push of one row
    steps[20:40, :, 1] = 1.0
    config = small(knee_u=0.3)
    x, doubled = (me.network_input(steps, 0, 60, 30.0, config, gain) for gain in (1.0, 2.0))
    little, much = np.abs(x[:, 0, 0, 0]).argmax(), np.abs(x[:, 0, 1, 0]).argmax()
    assert doubled[little, 0, 0, 0] == pytest.approx(2 * x[little, 0, 0, 0], rel=0.01)
    assert abs(doubled[much, 0, 1, 0] - x[much, 0, 1, 0]) == pytest.approx(np.log(2), abs=0.02)


# --- a toy: flow of people in whose faces a patch moves --------------------------------------------------------------

FPS, LENGTH, CELLS = 30.0, 300, 16
EVENTS = [("ME", 40, 50), ("MaE", 90, 130), ("ME", 160, 173), ("ME", 205, 214), ("MaE", 240, 280)]


@pytest.fixture(scope="module")
def toy_flow():
    """Flow (300, 2, 16, 16) of four people: a spot moves up and back in ME, another one in MaE, the head a little."""
    made = {}
    y, x = np.mgrid[:CELLS, :CELLS]
    for person in range(4):
        rng = np.random.default_rng(person)
        place = np.zeros((LENGTH, 2, CELLS, CELLS))
        for kind, onset, offset in EVENTS:
            course = np.sin(np.pi * np.linspace(0, 1, offset - onset + 1))
            at, far = ((5, 4), 1.2) if kind == "ME" else ((11, 8), 2.5)
            spot = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 6)
            place[onset : offset + 1, 1] -= far * course[:, None, None] * spot
        place += np.cumsum(rng.normal(0, 0.02, (LENGTH, 2, 1, 1)), axis=0) + rng.normal(0, 0.05, place.shape)
        steps = np.diff(place, axis=0, prepend=place[:1]).astype(np.float16)
        known = np.arange(LENGTH) > 0
        made[f"p{person}"] = FaceFlow(np.arange(LENGTH), steps, known)
    return made


@pytest.fixture
def toy(toy_flow, monkeypatch):
    """A manifest of the four people, one video each, whose flow needs no pictures."""
    monkeypatch.setattr(me, "face_flow", lambda video, recipe: toy_flow[video.subject])
    return people_manifest(toy_flow, EVENTS, LENGTH, FPS)


def test_clips_hold_what_their_targets_say(toy):
    samples = me.Clips(me.reels(toy, small()), small(disguised=0.0))
    assert len(samples) == 12 * (8 + 8 + 2)
    me_index = np.flatnonzero(samples.kinds == 0)[:8]
    (clips, further), targets = samples.batch(me_index, np.random.default_rng(0))
    assert clips.shape == (8, 60, 2, CELLS, CELLS)
    assert further.shape == (8, 8)
    where = torch.from_numpy(me.places(60)[:, :2]).double()
    for one in targets.double():
        right = one[:, 1] > 0
        assert right.any()
        assert (one[right, 0] == 1).all() or not ((where[:, 0] >= 0) & (where[:, 1] <= 60))[right].all()
        for place, (onset, stop) in zip(where[right], one[right, 2:], strict=True):
            shared = torch.minimum(place[1], stop) - torch.maximum(place[0], onset)
            assert shared / (torch.maximum(place[1], stop) - torch.minimum(place[0], onset)) > 0.7 - 1e-6


def test_a_warped_clip_shows_the_moment_it_says(toy):
    """The displacement of the ME spot is large in the middle of the true ME, wherever the clip lies."""
    config = small(flip=0.0, shift=0.0, turn_deg=0.0, gain=(1.0, 1.0), stretch=(0.8, 1.25), disguised=0.0)
    samples = me.Clips(me.reels(toy, small()), config)
    (clips, _), targets = samples.batch(np.arange(24), np.random.default_rng(3))
    spot = -clips[:, :, 1, 4:7, 3:6].mean(dim=(2, 3))
    for course, one in zip(spot, targets, strict=True):
        onset, stop = one[one[:, 1] > 0][0, 2:]
        middle = int((onset + stop - 1) / 2)
        assert course[middle] > 0.5
        assert course[middle] > course[max(0, int(onset) - 4)] + 0.4


def test_a_disguise_changes_what_an_event_is(toy):
    """An MaE shown fast is an ME where it lies; an ME shown slowly is none."""
    changes = {"flip": 0.0, "shift": 0.0, "turn_deg": 0.0, "stretch": (1.0, 1.0), "gain": (1.0, 1.0)}
    samples = me.Clips(me.reels(toy, small()), small(disguised=1.0, **changes))
    (clips, _), targets = samples.batch(np.flatnonzero(samples.kinds == 1)[:12], np.random.default_rng(0))
    for clip, one in zip(-clips[:, :, 1, 10:13, 7:10].mean(dim=(2, 3)), targets, strict=True):
        right = one[one[:, 1] > 0]
        assert len(right)
        stays = right[:, 2:].mean(dim=1).long()  # middles of true ME, the disguised one among them
        assert clip[stays.clamp(0, 59)].max() > 0.8 * clip.max() - 0.1
    (_, _), targets = samples.batch(np.flatnonzero(samples.kinds == 0)[:12], np.random.default_rng(0))
    assert not targets[..., 1].any()


def test_non_me_windows_count_as_often_as_me(toy):
    for negatives in ("drawn", "weighted"):
        samples = me.Clips(me.reels(toy, small()), small(negatives=negatives))
        positive = negative = 0.0
        for start in range(0, len(samples), 16):
            _, targets = samples.batch(
                np.arange(start, min(start + 16, len(samples))), np.random.default_rng(start)
            )
            positive += float((targets[..., 0] * targets[..., 1]).sum())
            negative += float((targets[..., 0] * (1 - targets[..., 1])).sum())
        assert negative == pytest.approx(positive, rel=0.15)


def test_judging_draws_nothing(toy):
    samples = me.Clips(me.reels(toy, small()), small())
    first, second = (samples.batch(np.arange(5), None) for _ in range(2))
    assert torch.equal(first[0][0], second[0][0])
    assert torch.equal(first[1], second[1])


def test_clips_of_the_pretraining(toy):
    samples = me.Snippets(me.reels(toy, small()), small())
    assert len(samples) == 12 + 6 + 12  # ME, half as many MaE, as many quiet ones
    (clips,), labels = samples.batch(np.arange(len(samples)), np.random.default_rng(0))
    assert clips.shape == (30, 16, 2, CELLS, CELLS)
    assert labels.tolist() == [1.0] * 12 + [0.0] * 18


def test_a_few_clips_can_be_learnt_by_heart(toy):
    config = small(
        flip=0.0, shift=0.0, turn_deg=0.0, gain=(1.0, 1.0), stretch=(1.0, 1.0), dropout=0.0, l2=0.0
    )
    samples = me.Clips(me.reels(toy.only(toy.uids[:1]), small()), config)
    few = np.flatnonzero(samples.kinds == 0)[:4]

    class Few:
        def __len__(self):
            return len(few)

        def order(self, rng):
            return np.arange(len(few))

        def batch(self, index, rng):
            return samples.batch(few[index], None)

    loop = replace(config.train, epochs=60, batches_per_epoch=None, schedule="constant")
    model, loss = me.untrained(config, 0), me.loss_of(config)
    before = mean_loss(model, Few(), loss, loop)
    trained = train(model, Few(), loss, loop, 0, progress=False)
    assert mean_loss(trained.model, Few(), loss, loop) < 0.25 * before


def test_movements_are_found_on_people_never_seen(toy):
    fold = loso_folds(toy)[0]
    loop = replace(small().train, epochs=5, batches_per_epoch=20)
    fitted = me.fit(toy.only(fold.train), small(train=loop, starts=1), progress=False)
    assert len(fitted.models) == 2
    assert set(fitted.judged) == set(fold.train)
    spotted = fitted.spot(fitted.score(toy.video(fold.test[0])))
    wanted = [span for span in toy.truth(fold.test[0]) if span.kind == "ME"]
    assert len(metrics.match(wanted, spotted)) >= 2
    assert len(spotted) <= 5


def test_the_same_seed_gives_the_same_proposals(toy):
    two = toy.only(toy.uids[:2])
    loop = replace(small().train, epochs=1, batches_per_epoch=3)
    first = replace(small().pretrain, epochs=1, batches_per_epoch=2)
    config = small(train=loop, pretrain=first, starts=1, floor=0.0)
    results = [me.fit(two, config, seed, progress=False).score(toy.video(toy.uids[2])) for seed in (1, 1, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    assert not np.array_equal(results[0].p_cpn, results[2].p_cpn)


def test_another_start_is_tried_where_the_first_goes_badly(toy):
    first = replace(small().pretrain, epochs=1, batches_per_epoch=1)
    seeds = []
    original = me.train

    def counted(model, samples, loss, config, seed, **rest):
        seeds.append(seed)
        return original(model, samples, loss, config, seed, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(me, "train", counted)
        me.pretrained(
            me.reels(toy, small()),
            me.reels(toy, small()),
            small(pretrain=first, good_accuracy=2.0, starts=3),
            0,
            progress=False,
        )
        assert len(seeds) == 3
        seeds.clear()
        me.pretrained(
            me.reels(toy, small()),
            me.reels(toy, small()),
            small(pretrain=first, good_accuracy=0.0, starts=3),
            0,
            progress=False,
        )
        assert len(seeds) == 1


@pytest.mark.parametrize("seed", range(3))
def test_videos_are_drawn_so_that_me_are_spread(toy, seed):
    learnt, apart = me.split_videos(toy, seed)
    assert len(learnt) == 3
    assert not set(learnt) & set(apart)
    assert set(learnt) | set(apart) == set(toy.uids)


def test_shares_of_me_are_kept_or_come_closest(toy):
    count = {uid: sum(s.kind == "ME" for s in toy.truth(uid)) for uid in toy.uids}
    for seed in range(5):
        learnt, _ = me.split_videos(toy, seed)
        share = sum(count[uid] for uid in learnt) / sum(count.values())
        assert 0.64 <= share <= 0.85
    alone = toy.only(toy.uids[:1])
    assert me.split_videos(alone, 0) == (alone.uids, ())


# --- scoring ---------------------------------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(clip_s=st.sampled_from([0.7, 1.1, 2.0, 20.0]), overlap_s=st.sampled_from([0.5, 0.6]))
def test_clips_find_what_one_pass_over_the_video_finds(toy_flow, clip_s, overlap_s):
    config = small(floor=0.0, clip_s=clip_s, overlap_s=overlap_s)
    model = me.untrained(config, 1)
    flow = toy_flow["p0"]
    with torch.inference_mode():
        features = me._Features([model], flow, FPS, config)
        (f,) = features.of(0, features.total)
        found = np.concatenate(list(me._proposed([model], features, config)))
        where, p_cpn = found[:, :3], found[:, 3]
        once = me.places(len(f))
        inside = (once[:, 0] >= 0) & (once[:, 1] <= len(f))
        expected = model.cpn(model.backbone.time(f.T[None]))[0].softmax(1)[inside, 0].numpy()
    order = np.lexsort(where.T)
    assert np.array_equal(where[order], once[inside][np.lexsort(once[inside].T)])
    assert np.abs(p_cpn[order] - expected[np.lexsort(once[inside].T)]).max() < 1e-5


def test_what_most_networks_hold_counts():
    said = [torch.tensor([0.9, 0.1]), torch.tensor([0.8, 0.9]), torch.tensor([0.1, 0.1])]
    assert me._agreed(said) == pytest.approx([0.8, 0.1])
    assert me._agreed(said[:2]) == pytest.approx([0.85, 0.5])


def test_every_frame_goes_through_the_network_once(toy, monkeypatch):
    config = small(clip_s=1.0, overlap_s=0.6)
    model, seen = me.untrained(config, 0), []
    monkeypatch.setattr(
        model.backbone, "spatial", lambda x: seen.append(len(x)) or me.Backbone.spatial(model.backbone, x)
    )
    me.score_video([model], toy.video(toy.uids[0]), config)
    assert sum(seen) == LENGTH + 4


def test_features_are_forgotten_on_the_way_and_nothing_else_changes(toy, monkeypatch):
    config = small(clip_s=1.0, overlap_s=0.6, floor=0.0, context=0.5)
    model, video = me.untrained(config, 0), toy.video(toy.uids[0])
    whole = me.score_video([model], video, config)
    seen, held, of = [], [], me._Features.of

    def noted(self, first, stop):
        held.append(len(self._blocks))
        return of(self, first, stop)

    spatial = model.backbone.spatial
    monkeypatch.setattr(model.backbone, "spatial", lambda x: seen.append(len(x)) or spatial(x))
    monkeypatch.setattr(me._Features, "of", noted)
    for name, value in {"_FRAMES_AT_ONCE": 16, "_SAMPLES_HELD": 96, "_PROPOSALS_AT_ONCE": 40}.items():
        monkeypatch.setattr(me, name, value)
    apart = me.score_video([model], video, config)
    assert sum(seen) == LENGTH + 4  # nothing was forgotten too soon
    assert max(held) <= (96 + 2 * FPS) / 16 + 2 < (LENGTH + 4) / 16
    assert np.array_equal(apart.frames, whole.frames)
    assert apart.table() == pytest.approx(whole.table(), abs=1e-5)


def test_a_short_video_is_scored_whole(toy_flow, toy, monkeypatch):
    short = FaceFlow(*(column[:20] for column in toy_flow["p0"]))
    monkeypatch.setattr(me, "face_flow", lambda video, recipe: short)
    video = replace(toy.video(toy.uids[0]), last_frame_no=20)
    found = me.score_video([me.untrained(small(), 0)], video, small(floor=0.0))
    assert found.frames.min() == 0
    assert found.frames.max() == 19
    assert len(found.frames) == sum(20 + 4 - length + 1 for length in me.window_lengths())


def test_nothing_is_proposed_in_a_gap(toy_flow, toy, monkeypatch):
    flow = toy_flow["p0"]
    known = flow.known.copy()
    known[100:160] = False
    monkeypatch.setattr(me, "face_flow", lambda video, recipe: flow._replace(known=known))
    found = me.score_video([me.untrained(small(), 0)], toy.video(toy.uids[0]), small(floor=0.0))
    middles = found.frames.mean(axis=1)
    assert not ((middles > 101) & (middles < 158)).any()
    assert (middles < 95).any()


def test_other_frame_rates_give_frames_of_their_own_axis(toy_flow, toy, monkeypatch):
    flow = toy_flow["p0"]
    config = small(floor=0.0)
    model = me.untrained(config, 0)
    slow = me.score_video([model], toy.video(toy.uids[0]), config)
    video = replace(toy.video(toy.uids[0]), fps=210.0, last_frame_no=7 * LENGTH)
    monkeypatch.setattr(me, "face_flow", lambda v, recipe: flow._replace(frames=7 * flow.frames))
    fast = me.score_video([model], video, config)
    assert np.array_equal(fast.p_cpn, slow.p_cpn)
    inside = (slow.frames[:, 0] > 0) & (slow.frames[:, 1] < LENGTH - 1)
    assert np.array_equal(fast.frames[inside, 0], 7 * slow.frames[inside, 0])
    assert np.array_equal(fast.frames[inside, 1], 7 * slow.frames[inside, 1] + 6)


def test_the_printed_thresholds_are_one_half(toy):
    two = toy.only(toy.uids[:2])
    loop = replace(small().train, epochs=1, batches_per_epoch=1)
    config = small(train=loop, pretraining=False).as_printed()
    config = replace(config, flow=small().flow)
    fitted = me.fit(two, config, progress=False)
    assert fitted.limits == PRINTED
    assert fitted.pretrainings == ()
    assert len(fitted.models) == 1
    chosen = choose_limits(fitted.judged, {uid: toy.truth(uid) for uid in fitted.judged})
    assert 0 < chosen.cpn < 1


# --- pictures --------------------------------------------------------------------------------------------------------


def test_fitting_cannot_see_the_held_out_subject(fitted_twice):
    loop = replace(small().train, epochs=1, batches_per_epoch=2)
    first = replace(small().pretrain, epochs=1, batches_per_epoch=2)
    recipe = FaceFlowRecipe(size=64, cells=16, landmarks="cascade")
    config = small(train=loop, pretrain=first, starts=1, flow=recipe)
    before, after = fitted_twice(lambda train: me.fit(train, config, progress=False))
    assert after.limits == before.limits
    for mine, theirs in zip(after.models, before.models, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


# --- minutes ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthetic_casme2", "synthetic_samm_lv"])
def test_drawn_micro_expressions_are_found_at_30_and_at_200_fps(name):
    manifest = load_dataset(name)
    spotted = held_out.leave_one_subject_out(manifest, partial(me.fit, config=MesNetConfig.quick()), folds=2)
    truth = metrics.of_part({uid: manifest.truth(uid) for uid in spotted}, "ME")
    lengths = {uid: manifest.video(uid).length for uid in spotted}
    score, by_chance = metrics.score(truth, spotted).ME, metrics.chance(spotted, truth, lengths)["ME"]
    assert score.f1 >= 3 * by_chance.f1
    assert score.f1 > by_chance.high


@pytest.mark.slow
def test_an_untrained_network_is_far_below():
    manifest, config = load_dataset("synthetic_casme2"), MesNetConfig.quick()
    blank = [me.untrained(config, 0)]
    fold = loso_folds(manifest)[0]
    known = {uid: me.score_video(blank, manifest.video(uid), config) for uid in fold.train}
    limits = choose_limits(known, {uid: manifest.truth(uid) for uid in known})
    spotted = {
        uid: spot_proposals(me.score_video(blank, manifest.video(uid), config), limits) for uid in fold.test
    }
    assert metrics.score({uid: manifest.truth(uid) for uid in fold.test}, spotted).ME.f1 < 0.2
