"""STSNet_SW: equation (4), the choice of key frames, work shared by windows, rules of the paper's figures, leaks."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from toy import people_manifest

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.curves import Curves
from mespot_lib.features.crops import FaceCrops
from mespot_lib.features.rest_face import running_median
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.interval import Interval
from mespot_lib.manifest import loso_folds
from mespot_lib.methods import stsnet_sw as sts
from mespot_lib.methods.stsnet_sw import KeyFrames, ResNet18, StsNetConfig, StsNetError
from mespot_lib.stills import StillsRecipe
from mespot_lib.train import TrainConfig, mean_loss, train

SIDE = 32


def small(**changes) -> StsNetConfig:
    """A configuration that trains in seconds on crops of 32 px, without stills."""
    quick = StsNetConfig.quick()
    loop = replace(
        quick.train, epochs=4, batch_size=32, batches_per_epoch=20, learning_rate=3e-3, device="cpu"
    )
    sizes = {"crops": replace(quick.crops, size=SIDE), "width": 0.125, "pretrain": None, "train": loop}
    return replace(quick, **(sizes | changes))


# --- equation (4) and the choice of key frames ----------------------------------------------------------------------


def scored(attention: str, frames: torch.Tensor, spoilt: bool) -> torch.Tensor:
    torch.manual_seed(0)
    keys = KeyFrames(frames.shape[-1], attention, 0.5).eval()
    if spoilt:
        with torch.no_grad():
            keys.w1.weight.normal_(std=3)
            keys.w2.weight.normal_(std=3)
    return keys(frames)


def test_equation_4_as_printed_ignores_the_attention_and_the_repaired_form_does_not():
    frames = torch.randn(6, 5, 16)
    change = {
        form: (scored(form, frames, True) - scored(form, frames, False)).abs().max().item()
        for form in ("as_printed", "repaired")
    }
    assert change["as_printed"] < 1e-6
    assert change["repaired"] > 1e-2


def test_printed_the_score_of_a_frame_does_not_depend_on_the_others():
    frames = torch.randn(4, 5, 16)
    others = torch.cat([torch.randn(4, 4, 16), frames[:, 4:]], dim=1)
    change = {
        form: (scored(form, frames, False) - scored(form, others, False))[:, 4].abs().max().item()
        for form in ("as_printed", "off", "repaired")
    }
    assert change["as_printed"] < 1e-6
    assert change["off"] < 1e-6
    assert change["repaired"] > 1e-3


def test_attention_weights_sum_to_one_over_the_window():
    keys = KeyFrames(8, "repaired", 0.0)
    frames = torch.randn(3, 5, 8)
    weights = keys.weights(frames)
    assert torch.allclose(weights.sum(dim=2), torch.ones(3, 5))
    k, i = 1, 4
    by_hand = torch.stack([keys.w1(frames[0, j]) @ keys.w2(frames[0, k]) for j in range(5)]) / 8**0.5
    assert float(weights[0, k, i].detach()) == pytest.approx(float(by_hand.softmax(0)[i].detach()), rel=1e-4)


@pytest.mark.parametrize(("attention", "reached"), [("repaired", True), ("as_printed", False)])
def test_gradients_reach_the_attention(attention, reached):
    torch.manual_seed(1)
    model = sts.StsNet(small(attention=attention)).train()
    loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 5, SIDE, SIDE)), torch.arange(8) % 3)
    loss.backward()
    for name in ("w1", "w2"):
        slope = getattr(model.keys, name).weight.grad.abs().max()
        assert (float(slope) > 1e-8) == reached
    for module in (model.keys.w3, model.keys.u, model.keys.second, model.trunk.conv1):
        assert float(module.weight.grad.abs().max()) > 0


def test_with_all_frames_kept_the_selection_changes_nothing():
    model = sts.StsNet(small(key_frames=5)).eval()
    maps = torch.randn(3, 5, model.trunk.channels, 1, 1)
    weighted = maps * model.keys(sts.summarised(maps))[..., None, None, None]
    assert torch.equal(model.chosen(maps), weighted)


def test_key_frames_may_be_given():
    model = sts.StsNet(small()).eval()
    maps = torch.randn(3, 5, model.trunk.channels, 1, 1)
    own = sts.strongest(model.keys(sts.summarised(maps)), 3)
    assert torch.equal(model.of_maps(maps, own), model.of_maps(maps))
    assert not torch.allclose(model.of_maps(maps, 4 - own.flip(1)), model.of_maps(maps))


def test_the_strongest_frames_are_kept_in_order_of_time():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.3, 0.7], [0.5, 0.5, 0.5, 0.5, 0.1]])
    assert sts.strongest(scores, 3).tolist() == [
        [1, 2, 4],
        [0, 1, 2],
    ]  # of equal ones the earlier, and never more


@given(st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5), st.integers(1, 5))
def test_no_frame_left_out_is_stronger_than_one_kept(scores, count):
    kept = sts.strongest(torch.tensor([scores]), count)[0].tolist()
    assert kept == sorted(set(kept))
    assert len(kept) == count
    left = set(range(5)) - set(kept)
    assert all(scores[k] >= scores[rest] for k in kept for rest in left)


def test_the_paper_profile_has_the_printed_sizes():
    config = StsNetConfig.paper()
    assert (config.window, config.key_frames, 2 * config.hidden) == (5, 3, 64)
    model = sts.StsNet(config)
    maps = model.trunk(torch.zeros(1, 1, 128, 128))
    assert maps.shape == (1, 512, 4, 4)
    assert model.head[1].in_features == 64 * 16
    assert (config.train.epochs, config.train.learning_rate, config.train.momentum) == (30, 1e-3, 0.9)
    assert (config.train.weight_decay, config.train.optimiser) == (5e-4, "sgd")


def test_the_gru_is_shared_by_all_places():
    config = small(crops=replace(small().crops, size=64))
    model = sts.StsNet(config).eval()
    maps = torch.randn(2, 5, model.trunk.channels, 2, 2)
    turned = maps.flip(4)
    with torch.no_grad():
        model.head[1].weight.copy_(
            model.head[1].weight[:, :64].repeat(1, 4)
        )  # a head that adds up all places
    assert torch.allclose(model.of_maps(maps), model.of_maps(turned), atol=1e-5)


# --- windows, and work shared by them -------------------------------------------------------------------------------


def random_crops(count: int, gaps=(), cut: int | None = None, step: int = 1) -> FaceCrops:
    frames = np.array([t for t in range(count + len(gaps)) if t not in gaps]) * step
    rng = np.random.default_rng(8)
    stretch = (frames >= cut).astype(int) if cut else np.zeros(len(frames), dtype=int)
    return FaceCrops(frames, rng.uniform(0, 255, (len(frames), SIDE, SIDE)).astype(np.float16), stretch)


def test_ends_gaps_and_cuts_have_no_window():
    config = small()
    found = sts.windows(random_crops(40, gaps=range(10, 13), cut=30), 30.0, config)
    frames = random_crops(40, gaps=range(10, 13), cut=30).frames
    assert frames[found.middle].tolist() == [*range(2, 8), *range(15, 28), *range(32, 41)]
    assert (np.diff(frames[found.samples], axis=1) == 1).all()


def test_frames_of_a_window_are_as_far_apart_in_seconds_at_every_rate():
    slow = sts.windows(random_crops(60), 30.0, small(spacing_s=0.1))
    fast = sts.windows(random_crops(60, step=7), 200.0, small(spacing_s=0.1))
    assert np.unique(np.diff(slow.samples, axis=1)).tolist() == [3]
    assert np.unique(np.diff(fast.samples, axis=1)).tolist() == [3]  # of 35 ms each


def trained_statistics(config: StsNetConfig, seed: int) -> sts.StsNet:
    """A network whose batch norms have seen something."""
    model = sts.untrained(config, seed).train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(8, 5, SIDE, SIDE))
    return model.eval()


@settings(max_examples=12, deadline=None)
@given(count=st.integers(30, 300), gap=st.integers(0, 25), cut=st.integers(5, 200), apart=st.integers(1, 4))
def test_the_trunk_runs_once_per_frame_and_nothing_changes(count, gap, cut, apart):
    config = small(spacing_s=apart / 30)
    models = [trained_statistics(config, seed) for seed in range(2)]
    crops = random_crops(count, gaps=range(20, 20 + gap), cut=cut)
    found, seen = sts.windows(crops, 30.0, config), []

    def images(samples):
        seen.extend(samples.tolist())
        return (crops.crops[samples].astype(np.float32) - 128) / 50

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(sts, "_BLOCK", 70)  # several blocks, and batches that do not divide them
        patch.setattr(sts, "_BATCH", 32)
        fast = sts.window_logits(models, images, found)
        assert len(seen) <= 2 * len(crops.frames)
        assert len(seen) == len(models) * len(set(seen))
        plain = sts.window_logits_plainly(models, images, found)
    assert fast.shape == (len(found.middle), 3)
    if len(fast):
        assert np.abs(fast - plain).max() < 1e-5


# --- labels to intervals --------------------------------------------------------------------------------------------


def curves_of(labels) -> Curves:
    """Probabilities whose highest is that of the labels."""
    labels = np.asarray(labels)
    return Curves(30.0, np.stack([np.where(labels == n, 0.9, 0.04) for n in (1, 2)], axis=1))


FIGURE_4 = [0, 0, 1, 1, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("labels", "gap", "merged"),
    [
        (*FIGURE_4[:1], 1, FIGURE_4[1]),
        ([2, 0, 2], 1, [2, 2, 2]),
        ([1, 0, 2], 1, [1, 0, 2]),  # neighbours that do not agree
        ([1, 2, 1], 1, [1, 2, 1]),  # only frames without expression change
        ([2, 1, 2], 3, [2, 1, 2]),
        ([1, 0, 0, 1], 1, [1, 0, 0, 1]),
        ([1, 0, 0, 1], 2, [1, 1, 1, 1]),
        ([1, 0, 0, 0, 1], 2, [1, 0, 0, 0, 1]),
        ([0, 1, 0], 1, [0, 1, 0]),  # ends have one neighbour
        ([1, 0, 1, 0, 1], 1, [1, 1, 1, 1, 1]),
        ([0, 0, 0], 5, [0, 0, 0]),
        ([1, 0, 1], 0, [1, 0, 1]),
    ],
)
def test_merging(labels, gap, merged):
    assert sts.merge_labels(np.array(labels), gap).tolist() == merged


def test_figure_4_two_spotted_segments_become_one():
    config = small(shortest_s=0.0, gap_s=1 / 30)
    ones, scores = dict.fromkeys(("ME", "MaE"), 1.0), curves_of(FIGURE_4[0])
    raw = sts.spot_labels(scores, ones, replace(config, post="raw"))
    assert [(s.onset, s.offset, s.kind) for s in raw] == [(2, 3, "ME"), (5, 6, "ME")]
    merged = sts.spot_labels(scores, ones, replace(config, post="merging"))
    assert [(s.onset, s.offset, s.kind) for s in merged] == [(2, 6, "ME")]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        # Figure 5: a short segment labelled ME in its first part and MaE in its second is one ME
        ([0] * 4 + [1] * 5 + [2] * 6 + [0] * 4, [(4, 14, "ME")]),
        ([0] + [2] * 16 + [0], [(1, 16, "ME")]),  # 15 frames from onset to offset: half a second
        ([0] + [2] * 17 + [0], [(1, 17, "MaE")]),
        ([0] + [1] * 30 + [0], [(1, 30, "MaE")]),  # what was called ME is too long for one
        ([0] * 20, []),
    ],
)
def test_duration(labels, found):
    config = small(shortest_s=0.0, post="duration")
    spotted = sts.spot_labels(curves_of(labels), {"ME": 1.0, "MaE": 1.0}, config)
    assert [(s.onset, s.offset, s.kind) for s in spotted] == found


def test_an_me_of_200_fps_is_short_in_seconds():
    scores = Curves(200.0, curves_of([0] + [2] * 101 + [0] + [2] * 102 + [0]).curves)
    spotted = sts.spot_labels(scores, {"ME": 1.0, "MaE": 1.0}, small(shortest_s=0.0, post="duration"))
    assert [s.kind for s in spotted] == ["ME", "MaE"]


def test_the_decision_is_the_argmax_unless_weighted_and_gaps_are_none():
    curves = np.array([[0.3, 0.2], [0.4, 0.3], [0.15, 0.8], [np.nan, np.nan]])
    assert sts.choose_labels(Curves(30.0, curves), {"ME": 1, "MaE": 1}).tolist() == [0, 1, 2, 0]
    assert sts.choose_labels(Curves(30.0, curves), {"ME": 3, "MaE": 1}).tolist() == [1, 1, 2, 0]
    assert sts.choose_labels(Curves(30.0, curves), {"ME": 1, "MaE": 0.1}).tolist() == [0, 1, 1, 0]


def test_too_short_runs_are_dropped():
    labels = [0, 1, 1, 0, 0, 0, 2, 2, 2, 2, 2, 0]
    spotted = sts.spot_labels(curves_of(labels), {"ME": 1, "MaE": 1}, small(shortest_s=0.1, post="raw"))
    assert [(s.onset, s.offset, s.kind) for s in spotted] == [(6, 10, "MaE")]


def test_labels_follow_the_middle_frame():
    truth = [Interval(4, 8, "ME"), Interval(8, 20, "MaE")]
    assert sts.window_labels(np.array([3, 4, 8, 9, 20, 21]), truth).tolist() == [0, 1, 1, 2, 2, 0]


# --- weights from a file --------------------------------------------------------------------------------------------


def torchvision_like(width: float = 1.0) -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of torchvision's ResNet-18."""
    state = {name: torch.rand_like(value.float()) for name, value in ResNet18(width).state_dict().items()}
    state = {n: (v.round().long() if n.endswith("tracked") else v.contiguous()) for n, v in state.items()}
    state["conv1.weight"] = torch.randn(round(64 * width), 3, 7, 7)
    return state | {"fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_torchvision_state_dict_loads(tmp_path, suffix):
    state, path = torchvision_like(), tmp_path / f"resnet18{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    assert len(state) == 122  # as torchvision's
    trunk = ResNet18()
    sts.load_resnet18(trunk, path)
    assert torch.equal(trunk.layer3[0].downsample[0].weight, state["layer3.0.downsample.0.weight"])
    assert torch.equal(trunk.bn1.running_var, state["bn1.running_var"])
    grey = torch.randn(2, 1, 32, 32)
    colour = torch.nn.functional.conv2d(
        grey.expand(-1, 3, -1, -1), state["conv1.weight"], stride=2, padding=3
    )
    assert torch.allclose(trunk.conv1(grey), colour, atol=1e-3)


class Evil:
    def __reduce__(self):
        return (os.makedirs, ("executed",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "no ResNet-18: 99 tensors are not in it"),
        (torchvision_like(0.25), "weights from a file need width 1"),
        (torchvision_like() | {"layer5.weight": torch.zeros(1)}, "it has a tensor layer5.weight"),
        ([1, 2], "holds no state dict"),
        ({"conv1.weight": 3}, "holds no state dict"),
        ({"model": Evil()}, "holds more than tensors"),
        (None, "no such file"),
        (b"no weights at all", "holds more than tensors, or is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(StsNetError, match=message):
        sts.load_resnet18(ResNet18(), path)
    assert not Path("executed").exists()


def test_a_pickle_and_a_broken_safetensors_file_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(StsNetError, match=r"weights\.pth"):
        sts.load_resnet18(ResNet18(), path)
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(StsNetError, match="cannot be read"):
        sts.load_resnet18(ResNet18(), broken)


# --- a drawn toy: people of different texture, on whom one of two patches grows bright ------------------------------

FPS, LENGTH = 30.0, 240
EVENTS = [("ME", 40, 52), ("MaE", 90, 125), ("ME", 160, 171), ("MaE", 190, 220)]


@pytest.fixture(scope="module")
def toy_crops():
    """Crops (240, 32, 32) of four people: in ME the lower half of the face lights up a little, in MaE the upper."""
    made = {}
    for person in range(4):
        rng = np.random.default_rng(person)
        height = np.zeros((LENGTH, 2))
        for kind, onset, offset in EVENTS:
            course = np.sin(np.pi * np.linspace(0.1, 0.9, offset - onset + 1))
            height[onset : offset + 1, int(kind == "MaE")] = 12 * course
        patches = np.zeros((2, SIDE, SIDE))
        patches[0, 20:28, 8:24] = patches[1, 4:12, 8:24] = 1
        frames = rng.uniform(60, 180, (SIDE, SIDE)) + np.einsum("tk,kyx->tyx", height, patches)
        noisy = frames + rng.normal(0, 1.5, frames.shape)
        made[f"p{person}"] = FaceCrops(np.arange(LENGTH), noisy.astype(np.float16), np.zeros(LENGTH, int))
    return made


@pytest.fixture
def toy(toy_crops, monkeypatch):
    """A manifest of the four people, one video each, whose crops need no pictures."""
    monkeypatch.setattr(sts, "face_crops", lambda video, recipe: toy_crops[video.subject])
    monkeypatch.setattr(
        sts, "rest_faces", lambda video, recipe, s: running_median(toy_crops[video.subject], video.fps, s)
    )
    return people_manifest(toy_crops, EVENTS, LENGTH, FPS)


def test_an_epoch_has_the_shares_asked_for_or_every_window_once(toy):
    rng = np.random.default_rng(0)
    samples = sts.WindowSamples(toy, small())
    drawn = samples.labels[samples.order(rng)]
    assert np.bincount(drawn) / len(drawn) == pytest.approx([0.44, 0.28, 0.28], abs=0.06)
    plain = sts.WindowSamples(toy, small(shares=None))
    assert sorted(plain.order(rng)) == list(range(len(plain)))
    judged = sts.WindowSamples(toy, small(), every=3)
    assert (judged.labels > 0).mean() == pytest.approx(0.5, abs=0.1)


def test_the_frames_of_a_window_are_changed_alike():
    rng = np.random.default_rng(1)
    images = torch.randn(6, 1, SIDE, SIDE).expand(-1, 5, -1, -1)
    changed = sts.augmented(images, small(), rng)
    assert torch.allclose(changed, changed[:, :1].expand_as(changed), atol=1e-6)
    assert (changed - images).abs().max() > 0.5
    off = small(flip=0.0, gain=0.0, shift=0.0)
    assert torch.allclose(sts.augmented(images, off, rng), images, atol=1e-4)
    mirrored = sts.augmented(images, replace(off, flip=1.0), rng)
    assert torch.allclose(mirrored.flip(-1), images, atol=1e-4)


def test_a_difference_does_not_tell_who_it_is():
    faces, rest = np.full((2, 3, 3), 90.0), np.array([80.0, 90.0])[:, None, None] + np.zeros((2, 3, 3))
    assert sts.normalised(faces, rest, "difference")[:, 0, 0].tolist() == [10 / 16, 0]
    assert np.ptp(sts.normalised(faces, rest, "as_printed")) == 0
    grey = sts.normalised(np.array([[[255 * 0.449]]]), None, "as_printed")
    assert grey.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("form", ["as_printed", "difference"])
def test_eight_windows_can_be_learnt_by_heart(toy, form):
    config = small(input=form, key_dropout=0.0, head_dropout=0.0, shares=None)
    samples = sts.WindowSamples(toy.only(toy.uids[:1]), config)
    samples = samples.rows(np.array([40, 160, 100, 107, 5, 70, 140, 226]))
    samples.batch = lambda index, rng: type(samples).batch(samples, index, None)  # the same eight every time
    assert sorted(samples.labels) == [0, 0, 0, 0, 1, 1, 2, 2]
    loop = replace(config.train, epochs=60, batch_size=8, learning_rate=5e-3, batches_per_epoch=None)
    trained = train(sts.untrained(config, 0), samples, sts.cross_entropy, loop, 0, progress=False)
    assert trained.history[-1]["loss"] < 0.02
    assert mean_loss(trained.model, samples, sts.cross_entropy, loop) < 0.2


def test_what_lights_up_is_found_on_people_never_seen(toy):
    fold = loso_folds(toy)[0]
    fitted = sts.fit(toy.only(fold.train), small(), progress=False)
    truth = {uid: toy.truth(uid) for uid in fold.test}
    spotted = {uid: fitted.spot(fitted.score(toy.video(uid))) for uid in fold.test}
    assert metrics.score(truth, spotted).overall.f1 > 0.5
    assert set(fitted.judged) == set(fold.train)


def test_the_same_seed_gives_the_same_scores_and_decision(toy):
    fold = loso_folds(toy)[1]
    config = small(train=replace(small().train, epochs=1, batches_per_epoch=5), parts=2)
    first, second, other = (sts.fit(toy.only(fold.train), config, seed, progress=False) for seed in (4, 4, 5))
    video = toy.video(fold.test[0])
    assert first.weights == second.weights
    assert np.array_equal(first.score(video).curves, second.score(video).curves, equal_nan=True)
    assert not np.array_equal(first.score(video).curves, other.score(video).curves, equal_nan=True)


def test_the_ends_of_a_video_have_no_score(toy):
    models = [sts.untrained(small(spacing_s=0.1), 0)]
    scores = sts.score_video(models, toy.video(toy.uids[0]), small(spacing_s=0.1))
    assert scores.curves.shape == (LENGTH, 2)
    unknown = np.isnan(scores.curves).any(axis=1)
    assert np.flatnonzero(unknown).tolist() == [*range(6), *range(LENGTH - 6, LENGTH)]


def test_a_video_shorter_than_a_window_has_no_score_and_nothing_spotted(toy, toy_crops, monkeypatch):
    short = FaceCrops(*(part[:4] for part in toy_crops["p0"]))
    monkeypatch.setattr(sts, "face_crops", lambda video, recipe: short)
    scores = sts.score_video([sts.untrained(small(), 0)], toy.video(toy.uids[0]), small())
    assert np.isnan(scores.curves).all()
    assert sts.spot_labels(scores, {"ME": 1.0, "MaE": 1.0}, small()) == []


# --- stills, shared by all folds ------------------------------------------------------------------------------------


def with_stills(**changes) -> StsNetConfig:
    """A configuration that draws three people and trains on them for a moment."""
    loop = TrainConfig(epochs=1, batch_size=8, learning_rate=1e-3, device="cpu")
    return small(stills=StillsRecipe(people=3, pictures=12), pretrain=loop, **changes)


def test_the_trunk_is_trained_once_and_shared(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path))
    first = sts.pretrained_trunk(with_stills(), 0, progress=False)
    monkeypatch.setattr(sts, "pretrain", None)  # a second time nothing is trained
    again = sts.pretrained_trunk(with_stills(), 0, progress=False)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    loop = replace(small().train, epochs=1, batches_per_epoch=1, learning_rate=0.0)
    fitted = sts.fit(toy, with_stills(train=loop, parts=2), progress=False)
    for model in fitted.models:
        assert torch.equal(model.trunk.conv1.weight, first.conv1.weight)


def test_weights_from_a_file_are_where_the_stills_begin(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path))
    torch.save(torchvision_like(), tmp_path / "resnet18.pth")
    loop = TrainConfig(epochs=1, batch_size=8, learning_rate=0.0, device="cpu")
    config = with_stills(width=1.0, weights=str(tmp_path / "resnet18.pth"))
    with pytest.raises(StsNetError, match="no such file of weights"):
        sts.pretrained_trunk(replace(config, weights="nowhere.pth"), 0, progress=False)
    trunk = sts.pretrained_trunk(replace(config, pretrain=loop), 0, progress=False)
    expected = ResNet18()
    sts.load_resnet18(expected, tmp_path / "resnet18.pth")
    assert torch.equal(trunk.conv1.weight, expected.conv1.weight)


# --- pictures -------------------------------------------------------------------------------------------------------


def test_fitting_cannot_see_the_held_out_subject(fitted_twice):
    loop = replace(small().train, epochs=1, batches_per_epoch=4)
    config = with_stills(train=loop, crops=replace(small().crops, landmarks="cascade"))
    before, after = fitted_twice(lambda train: sts.fit(train, config, progress=False))
    assert after.weights == before.weights
    for mine, theirs in zip(after.models, before.models, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


# --- minutes --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthetic_casme2", "synthetic_samm_lv"])
def test_drawn_expressions_are_found_at_30_and_at_200_fps(name):
    manifest = load_dataset(name)
    config = StsNetConfig.quick()
    spotted = leave_one_subject_out(manifest, lambda train: sts.fit(train, config), folds=2)
    truth = {uid: manifest.truth(uid) for uid in spotted}
    score = metrics.score(truth, spotted).overall
    lengths = {uid: manifest.video(uid).length for uid in spotted}
    by_chance = metrics.chance(spotted, truth, lengths)["overall"]
    assert score.f1 >= 3 * by_chance.f1
    assert score.f1 > by_chance.high
