"""VideoMAE with flow: hidden tubes, pre-training, weights from a folder, ends that follow the flow, fusion, leaks."""

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import people_manifest

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.curves import Curves
from mespot_lib.features.crops import FaceCrops
from mespot_lib.features.reference_motion import BOXES, Stretch
from mespot_lib.features.rest_face import running_median
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, loso_folds
from mespot_lib.methods import videomae_flow as vf
from mespot_lib.methods.videomae_flow import Candidate, Refinement, VideoMaeConfig, VideoMaeError
from mespot_lib.train import TrainError, mean_loss, train

SIDE, FPS, LENGTH = 32, 30.0, 240
EVENTS = [("ME", 40, 52), ("MaE", 90, 125), ("ME", 160, 171), ("MaE", 190, 220)]


def small(**changes) -> VideoMaeConfig:
    """A configuration that trains in seconds on crops of 32 px; without flow, as the toy has none."""
    quick = VideoMaeConfig.quick()
    loop = replace(quick.train, epochs=2, batch_size=32, batches_per_epoch=25, device="cpu")
    sizes = {
        "crops": replace(quick.crops, size=SIDE),
        "patch": 8,
        "width": 24,
        "heads": 2,
        "decoder_width": 16,
        "decoder_heads": 2,
    }
    return replace(quick, **sizes | {"pretrain": loop, "train": loop, "parts": 2, "refine": None} | changes)


# --- a drawn toy: people of different texture, on whom one of two patches grows bright ------------------------------


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
    monkeypatch.setattr(vf, "face_crops", lambda video, recipe: toy_crops[video.subject])
    monkeypatch.setattr(
        vf, "rest_faces", lambda video, recipe, s: running_median(toy_crops[video.subject], video.fps, s)
    )
    return people_manifest(toy_crops, EVENTS, LENGTH, FPS)


# --- hidden tubes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mask", "many"), [(0.75, 12), (0.9, 14), (0.0, 1), (1.0, 15)])
def test_the_share_of_hidden_places_is_exact_in_every_clip_and_they_stay_hidden(mask, many):
    config = small(mask=mask)
    hidden = vf.tubes(50, config, np.random.default_rng(0)).reshape(50, config.moments, config.places)
    assert (hidden.sum(axis=2) == many).all()
    assert (hidden == hidden[:, :1]).all()
    assert len(np.unique(hidden[:, 0], axis=0)) > 10


def test_the_paper_profile_has_the_printed_sizes():
    config = VideoMaeConfig.paper()
    assert (config.frames, config.crops.size, config.patch, config.places) == (16, 160, 16, 100)
    assert vf.tubes(1, config, np.random.default_rng(0)).mean() == 0.9
    assert (config.width, config.layers, config.heads) == (768, 12, 12)
    assert (config.pretrain.epochs, config.train.epochs) == (100, 20)


def test_patches_are_the_pixels_of_the_tokens():
    config = small()
    clips = torch.randn(2, config.frames, SIDE, SIDE)
    patches = vf.patches_of(clips, config)
    assert patches.shape == (2, config.moments * config.places, config.tubelet * config.patch**2)
    assert torch.equal(
        patches[1, 16 + 5], clips[1, 2:4, 8:16, 8:16].flatten()
    )  # second moment, row 1, column 1
    assert torch.equal(vf.clips_from(patches, config), clips)


def test_the_target_of_the_library_is_the_normalised_one():
    config = small(target="normalised", decoder_layers=1)
    clips = torch.randn(3, config.frames, SIDE, SIDE)
    hidden = torch.from_numpy(vf.tubes(3, config, np.random.default_rng(1)))
    model = vf.unlearnt(config, 0)
    output = model.net(clips[:, :, None], bool_masked_pos=hidden)
    own = vf.reconstruction_loss(model(clips, hidden), vf.targets_of(clips, hidden, config)).detach()
    assert float(own) == pytest.approx(float(output.loss.detach()), rel=1e-4)


def test_what_is_hidden_is_not_seen():
    config = small()
    clips = torch.randn(2, config.frames, SIDE, SIDE)
    hidden = torch.from_numpy(vf.tubes(2, config, np.random.default_rng(2)))
    other = vf.patches_of(clips, config)
    other[hidden] = 100.0
    model = vf.unlearnt(config, 0)
    assert torch.equal(model(clips, hidden), model(vf.clips_from(other, config), hidden))


@pytest.mark.parametrize("target", ["pixels", "normalised"])
def test_only_hidden_places_are_filled_in(target):
    config = small(target=target)
    clips = torch.randn(2, config.frames, SIDE, SIDE)
    hidden = torch.from_numpy(vf.tubes(2, config, np.random.default_rng(3)))
    truth = vf.targets_of(clips, hidden, config)
    filled = vf.filled_in(lambda clips, hidden: truth, clips, hidden, config)
    assert torch.allclose(filled, clips, atol=1e-5)
    nothing = vf.patches_of(vf.filled_in(lambda clips, hidden: 0 * truth, clips, hidden, config), config)
    patches = vf.patches_of(clips, config)
    assert torch.equal(nothing[~hidden], patches[~hidden])
    mean = 0.0 if target == "pixels" else patches[hidden].mean(dim=-1, keepdim=True)
    assert torch.allclose(nothing[hidden], mean + 0 * nothing[hidden], atol=1e-5)


# --- clips ----------------------------------------------------------------------------------------------------------


def test_clips_are_as_long_in_seconds_at_every_rate():
    slow = FaceCrops(np.arange(300), np.empty(0), np.zeros(300, int))
    fast = FaceCrops(np.arange(300) * 7, np.empty(0), np.zeros(300, int))
    for crops, fps in ((slow, 30.0), (fast, 200.0)):
        for span_s in (0.8, 2.0):
            samples = vf.clip_samples(crops, np.array([150]), fps, span_s, 8)[0]
            seconds = crops.frames[samples] / fps
            assert np.ptp(seconds) == pytest.approx(span_s, abs=0.04)
            assert seconds.mean() == pytest.approx(crops.frames[150] / fps, abs=0.02)
            assert np.diff(seconds) == pytest.approx(span_s / 7, abs=0.04)


@given(count=st.integers(1, 60), cut=st.integers(0, 60), gap=st.integers(0, 20), span_s=st.floats(0.1, 3.0))
def test_a_clip_never_leaves_its_stretch(count, cut, gap, span_s):
    frames = np.arange(count)
    frames[cut:] += gap
    crops = FaceCrops(frames, np.empty(0), (np.arange(count) >= cut).astype(int))
    samples = vf.clip_samples(crops, np.arange(count), 30.0, span_s, 8)
    assert (crops.stretch[samples] == crops.stretch[:, None]).all()
    assert (np.diff(samples, axis=1) >= 0).all()


def test_an_epoch_has_the_shares_asked_for(toy):
    samples = vf.Clips(toy, small(shares=(0.5, 0.3, 0.2)), "MaE")
    drawn = samples.order(np.random.default_rng(0))
    assert samples.expressive[drawn].mean(axis=0) == pytest.approx([0.3, 0.2], abs=0.05)
    assert samples.labels[drawn].mean() == pytest.approx(0.2, abs=0.05)


def test_the_frames_of_a_clip_are_changed_alike():
    rng = np.random.default_rng(1)
    clips = np.repeat(rng.normal(size=(6, 1, SIDE, SIDE)).astype(np.float32), 8, axis=1)
    changed = vf.augmented(clips, small(), rng)
    assert np.array_equal(changed, np.repeat(changed[:, :1], 8, axis=1))
    off = small(flip=0.0, gain=0.0, shift_px=0)
    assert np.array_equal(vf.augmented(clips, off, rng), clips)
    mirrored = vf.augmented(clips, replace(off, flip=1.0), rng)
    assert np.array_equal(mirrored[..., ::-1], clips)


# --- learning -------------------------------------------------------------------------------------------------------


def test_pretraining_fills_in_hidden_parts_of_people_never_seen(toy):
    config = small(pretrain=replace(small().pretrain, epochs=4), target="pixels")
    trained = vf.pretrain(toy.only(toy.uids[:3]), config, 0, progress=False)
    others = vf.HiddenClips(toy.only(toy.uids[3:]), config, every=4)
    before, after = (
        mean_loss(model, others, vf.reconstruction_loss, config.pretrain)
        for model in (vf.unlearnt(config, 0), trained.model)
    )
    (_, hidden), targets = others.batch(np.arange(len(others)), None)
    assert hidden.float().mean() == 0.75
    assert after < 0.9 * before
    assert after < float((targets**2).mean())  # better than to say that nothing moves


def test_pretraining_knows_no_labels(toy):
    config = small(pretrain=replace(small().pretrain, epochs=1, batches_per_epoch=3))
    silent = Manifest(toy.descriptor, toy.videos, toy.events.iloc[:0], toy.root)
    first, second = (vf.pretrain(one, config, 0, progress=False).model for one in (toy, silent))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_eight_clips_can_be_learnt_by_heart(toy):
    config = small()
    samples = vf.Clips(toy.only(toy.uids[:1]), config, "ME")
    eight = np.array([46, 165, 44, 168, 5, 70, 107, 205])
    assert samples.labels[eight].tolist() == [1] * 4 + [0] * 4
    samples.order = lambda rng: np.tile(eight, 4)
    samples.batch = lambda index, rng: type(samples).batch(samples, index, None)
    loop = replace(config.train, epochs=40, batch_size=8, batches_per_epoch=None)
    trained = train(
        vf.untrained(config, 0), samples, torch.nn.functional.cross_entropy, loop, 0, progress=False
    )
    assert trained.history[-1]["loss"] < 0.02


def test_networks_begin_where_pretraining_ended(toy):
    still = replace(small().train, epochs=1, batches_per_epoch=1, learning_rate=0.0)
    part = vf.fit_part(toy, small(train=still), 0, progress=False)
    expected = part.pretrained.model.encoder.state_dict()
    for kind in KINDS:
        found = part.networks[kind].encoder.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert vf.fit_part(toy, small(train=still, pretrain=None), 0, progress=False).pretrained is None


def test_what_lights_up_is_found_on_people_never_seen(toy):
    fold = loso_folds(toy)[0]
    config = small(train=replace(small().train, epochs=4))
    fitted = vf.fit(toy.only(fold.train), config, progress=False)
    truth = {uid: toy.truth(uid) for uid in fold.test}
    spotted = {uid: fitted.spot(fitted.score(toy.video(uid))) for uid in fold.test}
    assert metrics.score(truth, spotted).overall.f1 > 0.5
    assert set(fitted.judged) == set(fold.train)


def test_the_same_seed_gives_the_same_scores_and_thresholds(toy):
    fold = loso_folds(toy)[1]
    loop = replace(small().train, epochs=1, batches_per_epoch=4)
    config = small(train=loop, pretrain=loop)
    first, second, other = (vf.fit(toy.only(fold.train), config, seed, progress=False) for seed in (4, 4, 5))
    video = toy.video(fold.test[0])
    curves = [fitted.score(video).curves.curves for fitted in (first, second, other)]
    assert first.thresholds == second.thresholds
    assert np.array_equal(curves[0], curves[1], equal_nan=True)
    assert not np.array_equal(curves[0], curves[2], equal_nan=True)


def test_every_person_is_judged_by_networks_that_have_not_seen_her_even_without_labels(toy, monkeypatch):
    loop = replace(small().train, epochs=1, batches_per_epoch=1)
    learnt, judged = [], []
    fit_part, score_video = vf.fit_part, vf.score_video

    def watched_fit(manifest, *args, **kwargs):
        learnt.append(set(manifest.subjects))
        return fit_part(manifest, *args, **kwargs)

    def watched_score(networks, video, config):
        judged.append((video.subject, len(learnt) - 1))
        return score_video(networks, video, config)

    monkeypatch.setattr(vf, "fit_part", watched_fit)
    monkeypatch.setattr(vf, "score_video", watched_score)
    vf.fit(toy, small(train=loop, pretrain=loop), progress=False)
    assert {subject for subject, _ in judged} == set(toy.subjects)
    assert not any(subject in learnt[part] for subject, part in judged)


def test_fitting_never_opens_a_video_of_the_held_out_subject(toy, monkeypatch):
    fold = loso_folds(toy)[0]
    loop = replace(small().train, epochs=1, batches_per_epoch=1)
    opened, crops_of = set(), vf.face_crops

    def watched(video, recipe):
        opened.add(video.uid)
        return crops_of(video, recipe)

    monkeypatch.setattr(vf, "face_crops", watched)
    vf.fit(toy.only(fold.train), small(train=loop, pretrain=loop), progress=False)
    assert opened == set(fold.train)
    assert not opened & set(fold.test)


def test_an_interrupted_training_is_taken_up_again(toy, tmp_path):
    loop = replace(small().train, epochs=1, batches_per_epoch=2)
    config = small(train=loop, pretrain=loop)
    first, again = (vf.fit_part(toy, config, 0, folder=tmp_path, progress=False) for _ in range(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ME", "MaE", "masked"]
    assert first.trained["ME"].history == again.trained["ME"].history
    with pytest.raises(TrainError):
        vf.fit_part(toy, replace(config, pretrain=replace(loop, learning_rate=1e-9)), 0, folder=tmp_path)


# --- ends -----------------------------------------------------------------------------------------------------------


def hump(length: int, onset: int, offset: int, height: float) -> np.ndarray:
    """A displacement (T,) that leaves zero after onset, is highest in the middle and is back at zero at offset."""
    curve = np.zeros(length)
    curve[onset : offset + 1] = height * np.sin(np.pi * np.arange(offset - onset + 1) / (offset - onset))
    return curve


def stretch_of(curve: np.ndarray, step: int = 1, first: int = 0) -> Stretch:
    """A face whose left brow goes up along a curve (n,) u; all else is still."""
    regions = np.zeros((len(curve), len(BOXES), 2))
    rows = [row for row, name in enumerate(BOXES) if name.startswith("left brow 1")]
    regions[:, rows, 1] = -curve[:, None]
    return Stretch(first + step * np.arange(len(curve)), regions, np.ones((len(curve), 2)))


PLAIN = Refinement(regions=1, low_pass_hz=1000.0, fraction=0.1)


@pytest.mark.parametrize("given_", [(96, 104), (98, 120), (88, 116), (85, 125)])
@pytest.mark.parametrize(("fps", "step"), [(30.0, 1), (200.0, 7)])
def test_ends_move_to_where_the_motion_begins_and_ends(given_, fps, step):
    curve = hump(200, 90, 114, 2.0)
    span = Interval(given_[0] * step, given_[1] * step, "MaE", 100 * step, 0.7)
    found = vf.refined(span, [stretch_of(curve, step)], fps, PLAIN)
    assert (found.onset, found.apex, found.offset) == (
        91 * step,
        102 * step,
        113 * step,
    )  # a tenth of the height
    assert found.score == 0.7


def test_the_kind_is_that_of_the_duration():
    short, long = hump(200, 95, 107, 2.0), hump(200, 85, 125, 2.0)
    kinds = [
        vf.refined(
            Interval(97, 104, kind, 100, 1.0), [stretch_of(curve)], FPS, replace(PLAIN, search_s=far)
        ).kind
        for kind, curve, far in (("MaE", short, PLAIN.search_s), ("ME", long, {"ME": 1.0, "MaE": 1.0}))
    ]
    assert kinds == ["ME", "MaE"]


def test_where_little_moves_the_ends_stay_and_the_score_falls():
    span = Interval(95, 105, "ME", 100, 0.8)
    still = vf.refined(span, [stretch_of(hump(200, 92, 108, 0.2))], FPS, PLAIN)
    assert (still.onset, still.offset, still.kind) == (95, 105, "ME")
    assert still.score == pytest.approx(0.16, rel=0.05)
    half = vf.refined(span, [stretch_of(hump(200, 92, 108, 0.5))], FPS, PLAIN)
    assert half.score == pytest.approx(0.4, rel=0.05)
    assert half.onset < 95
    assert (
        vf.refined(span, [stretch_of(hump(200, 92, 108, 0.5))], FPS, replace(PLAIN, full_u=0.0)).score == 0.8
    )


def test_where_the_flow_is_not_known_an_interval_stays_as_it_is():
    span = Interval(95, 105, "ME", 100, 0.8)
    elsewhere = stretch_of(hump(50, 10, 30, 2.0), first=150)
    for stretches in ([elsewhere], []):
        assert vf.refined(span, stretches, FPS, PLAIN) == span


@given(
    onset=st.integers(0, 99),
    length=st.integers(0, 60),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 20),
)
def test_no_end_leaves_the_video_or_goes_too_far(onset, length, kind, seed):
    offset = min(onset + length, 99)
    curve = np.random.default_rng(seed).normal(0, 1, 100).cumsum()
    span = Interval(onset, offset, kind, onset, 1.0)
    found = vf.refined(span, [stretch_of(curve)], FPS, Refinement())
    margin = Refinement().search_s[kind] * FPS
    assert 0 <= found.onset <= found.apex <= found.offset <= 99
    assert found.onset >= onset - margin
    assert found.offset <= offset + margin
    assert onset <= found.apex <= offset


# --- fusion ---------------------------------------------------------------------------------------------------------


def test_peaks_become_intervals_at_half_height_without_flow():
    curve = np.zeros((100, 2))
    curve[:, 0], curve[:, 1] = hump(100, 20, 30, 0.8), hump(100, 50, 90, 0.6)
    found = vf.candidates(vf.Scores(Curves(FPS, curve), []), small())
    assert [(one.network, one.span.kind, one.span.apex) for one in found] == [
        ("ME", "ME", 25),
        ("MaE", "MaE", 70),
    ]
    assert (found[1].span.onset, found[1].span.offset) == (57, 83)
    assert found[0].span.score == pytest.approx(0.8)


def test_of_two_networks_that_see_the_same_the_surer_wins_and_each_has_its_threshold():
    same = [
        Candidate(Interval(10, 20, "ME", 15, 0.6), "ME"),
        Candidate(Interval(11, 30, "MaE", 16, 0.7), "MaE"),
        Candidate(Interval(50, 80, "MaE", 60, 0.45), "MaE"),
    ]
    kinds = [span.kind for span in vf.fused(same, {"ME": 0.3, "MaE": 0.5})]
    assert kinds == ["ME"]
    kinds = [span.kind for span in vf.fused(same, {"ME": 0.6, "MaE": 0.4})]
    assert kinds == ["MaE", "MaE"]


def test_a_video_without_scores_has_no_candidates():
    unknown = vf.Scores(Curves(FPS, np.full((50, 2), np.nan)), [])
    assert vf.candidates(unknown, small()) == []


# --- the library, and weights of a folder ---------------------------------------------------------------------------


def test_without_the_library_the_message_says_what_to_install(toy, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(VideoMaeError) as caught:
        vf.fit(toy, small(), progress=False)
    assert "pip install" in str(caught.value)
    assert "mespot[videomae]" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_weights_of_a_folder_come_back_and_nothing_asks_the_network(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    given_, config = vf.untrained(small(), 1), small(weights=str(tmp_path), pretrain=None)
    vf.save_encoder(given_.encoder, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    model = vf.untrained(config, 2)
    vf.load_encoder(model.encoder, tmp_path)
    for name, value in given_.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value)
    larger = vf.untrained(small(crops=replace(small().crops, size=48), frames=4), 2)
    vf.load_encoder(larger.encoder, tmp_path)  # other pictures, same patches
    assert torch.equal(larger.encoder.state_dict()[name], value)


def test_an_encoder_for_colour_sees_grey_as_three_equal_channels(tmp_path):
    described = vf._library_config(small())
    described.num_channels = 3
    torch.manual_seed(0)
    colour = vf.library().VideoMAEModel(described).eval()
    vf.save_encoder(colour, tmp_path)
    grey = vf.untrained(small(), 0).encoder
    vf.load_encoder(grey, tmp_path)
    clips = torch.randn(2, 8, 1, SIDE, SIDE)
    with torch.no_grad():
        same = colour(clips.expand(-1, -1, 3, -1, -1)).last_hidden_state
        assert torch.allclose(grey(clips).last_hidden_state, same, atol=1e-4)


def spoilt(folder: Path, how: str) -> None:
    vf.save_encoder(vf.untrained(small(), 1).encoder, folder)
    described, weights = folder / "config.json", folder / "model.safetensors"
    record = json.loads(described.read_text())
    if how == "no weights":
        weights.rename(folder / "pytorch_model.bin")
    elif how == "no config":
        described.unlink()
    elif how == "broken config":
        described.write_text("{")
    elif how == "other model":
        described.write_text(json.dumps(record | {"model_type": "bert"}))
    elif how == "broken weights":
        weights.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    elif how == "other network":
        vf.save_encoder(vf.untrained(small(width=32), 1).encoder, folder)
    elif how == "deeper":
        vf.save_encoder(vf.untrained(small(layers=3), 1).encoder, folder)
    elif how == "more in the config":
        described.write_text(json.dumps(record | {"num_hidden_layers": 4}))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no weights", r"model\.safetensors is missing.*unpickling"),
        ("no config", r"config\.json is missing"),
        ("broken config", r"config\.json: cannot be read"),
        ("other model", "of type 'bert'"),
        ("broken weights", "cannot be read"),
        ("other network", r"has shape .* these settings want"),
        ("deeper", r"has shape .* these settings want None"),
        ("more in the config", "tensors are missing"),
    ],
)
def test_other_folders_are_refused(tmp_path, how, message):
    spoilt(tmp_path, how)
    with pytest.raises(VideoMaeError, match=message) as caught:
        vf.load_encoder(vf.untrained(small(), 0).encoder, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"patch": 7}, {"tubelet": 3}, {"width": 25}, {"decoder_heads": 5}])
def test_sizes_that_do_not_fit_are_refused(changes):
    with pytest.raises(VideoMaeError, match=r"remainder|heads"):
        vf.untrained(small(**changes), 0)


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fitting_cannot_see_the_held_out_subject(fitted_twice):
    loop = replace(small().train, epochs=1, batches_per_epoch=3)
    crops = replace(small().crops, landmarks="cascade")
    config = small(train=loop, pretrain=loop, crops=crops, refine=Refinement())
    before, after = fitted_twice(lambda train: vf.fit(train, config, progress=False))
    assert after.thresholds == before.thresholds
    for mine, theirs in zip(after.parts, before.parts, strict=True):
        for kind in KINDS:
            pairs = zip(mine.networks[kind].parameters(), theirs.networks[kind].parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)


# --- minutes --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthetic_casme2", "synthetic_samm_lv"])
def test_drawn_expressions_are_found_at_30_and_at_200_fps(name):
    manifest, config = load_dataset(name), VideoMaeConfig.quick()
    spotted = leave_one_subject_out(manifest, lambda train: vf.fit(train, config), folds=2)
    truth = {uid: manifest.truth(uid) for uid in spotted}
    score = metrics.score(truth, spotted).overall
    lengths = {uid: manifest.video(uid).length for uid in spotted}
    assert score.f1 > metrics.chance(spotted, truth, lengths)["overall"].high
