"""The 3D-CNN: its parts against plain references, its loss against the printed one, its fit against leaks."""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import people_manifest

from mespot_lib import held_out, metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.curves import spot_curves
from mespot_lib.features.crops import FaceCrops
from mespot_lib.features.lcn import lcn
from mespot_lib.manifest import loso_folds
from mespot_lib.methods import yap2022_3dcnn as yap
from mespot_lib.methods.yap2022_3dcnn import LocalContrast, SeparableBlock, Yap3dCnnConfig
from mespot_lib.train import mean_loss, train

SIDE = 24
INPUTS = ("as_printed", "difference", "mean_difference")


def small(**changes) -> Yap3dCnnConfig:
    """A configuration that trains in seconds on crops of 24 px."""
    quick = Yap3dCnnConfig.quick()
    loop = replace(
        quick.train, epochs=6, batch_size=32, batches_per_epoch=15, learning_rate=1e-2, device="cpu"
    )
    sizes = {
        "crops": replace(quick.crops, size=SIDE),
        "widths": (8, 8, 8),
        "train": loop,
        "lcn_sigma_u": 20.0,
    }
    return replace(quick, **(sizes | changes))


# --- local contrast -------------------------------------------------------------------------------------------------


def face_like(seed=0, size=SIDE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.uniform(0, 255, (size, size)), (0, 0), 1.5)


def contrast_of(image: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    return LocalContrast(len(image), sigma)(torch.from_numpy(image)).numpy()


@pytest.mark.parametrize(("size", "sigma"), [(24, 2.0), (48, 1.9), (112, 4.4), (12, 4.0)])
def test_the_layer_equals_the_feature(size, sigma):
    image = face_like(size=size)
    assert np.abs(contrast_of(image, sigma) - lcn(image, sigma)).max() < 1e-5


def test_the_layer_equals_a_double_loop():
    image, sigma = face_like(size=14), 1.2
    reach, size = round(sigma * 8 + 1) // 2, len(image)
    mirror = [*range(size), *range(size - 1, -1, -1)]

    def blurred(grey):
        out = np.zeros_like(grey)
        for y in range(size):
            for x in range(size):
                weights = values = 0.0
                for dy in range(-reach, reach + 1):
                    for dx in range(-reach, reach + 1):
                        weight = np.exp(-(dx * dx + dy * dy) / (2 * sigma**2))
                        weights += weight
                        values += weight * grey[mirror[(y + dy) % (2 * size)], mirror[(x + dx) % (2 * size)]]
                out[y, x] = values / weights
        return out

    above = image - blurred(image)
    deviation = np.sqrt(blurred(above**2))
    expected = above / np.maximum(deviation, deviation.mean())
    assert np.abs(contrast_of(image, sigma) - expected).max() < 1e-6


def test_brightness_and_contrast_do_not_matter_and_flat_skin_stays_flat():
    image = face_like()
    assert np.abs(contrast_of(image + 1) - contrast_of(image)).max() < 1e-6
    assert np.abs(contrast_of(image * 0.5) - contrast_of(image)).max() < 1e-4
    flat = np.full((SIDE, SIDE), 93.0)
    assert np.isfinite(contrast_of(flat)).all()
    assert np.abs(contrast_of(flat)).max() < 1e-3
    flat[8:] = image[8:]
    assert np.isfinite(contrast_of(flat)).all()


# --- the network ----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 4),
    out=st.integers(1, 5),
    multiplier=st.integers(1, 3),
    depth=st.integers(1, 2),
    stride=st.integers(1, 2),
    side=st.integers(4, 9),
)
def test_the_fast_form_is_the_3d_convolution(channels, out, multiplier, depth, stride, side):
    block = SeparableBlock(channels, out, stride, 0.0, multiplier)
    x = torch.randn(2, channels, depth, side, side, requires_grad=True)
    inner = channels * multiplier
    depthwise = torch.nn.Conv3d(
        channels, inner, 3, padding=1, stride=(1, stride, stride), groups=channels, bias=False
    )
    pointwise = torch.nn.Conv3d(inner, out, 1, bias=False)
    depthwise.weight.data = block.depthwise.detach().permute(1, 2, 0, 3, 4)
    pointwise.weight.data = block.pointwise.detach()[:, :, None, None, None]
    ours, theirs = block.convolved(x), pointwise(depthwise(x))
    assert torch.allclose(ours, theirs, atol=1e-5)
    ours.square().sum().backward()
    gradient, x.grad = x.grad.clone(), None
    theirs.square().sum().backward()
    assert torch.allclose(gradient, x.grad, rtol=1e-4, atol=1e-3)
    used = depthwise.weight.grad.permute(2, 0, 1, 3, 4)
    assert torch.allclose(block.depthwise.grad, used, rtol=1e-4, atol=1e-3)


def trained_statistics(config: Yap3dCnnConfig) -> yap.Yap3dCnn:
    """A network whose batch norms have seen something."""
    model = yap.untrained(config, 3).train()
    with torch.no_grad():
        for _ in range(5):
            model(255 * torch.rand(16, 3, config.crops.size, config.crops.size))
    return model.eval()


def random_crops(count: int, gaps=(), cut: int | None = None) -> FaceCrops:
    frames = np.array([t for t in range(count + len(gaps)) if t not in gaps])
    rng = np.random.default_rng(8)
    stretch = (frames >= cut).astype(int) if cut else np.zeros(len(frames), dtype=int)
    return FaceCrops(frames, rng.uniform(0, 255, (len(frames), SIDE, SIDE)).astype(np.float16), stretch)


@pytest.mark.parametrize("reference", ["future", "past", "both"])
@pytest.mark.parametrize("input_", INPUTS)
def test_shared_work_changes_nothing(input_, reference, monkeypatch):
    monkeypatch.setattr(yap, "_BLOCK", 70)  # several blocks, and batches that do not divide them
    monkeypatch.setattr(yap, "_BATCH", 32)
    models = [trained_statistics(small(input=input_)) for _ in range(2)]
    crops = random_crops(330, gaps=range(40, 60), cut=200)
    with torch.inference_mode():
        fast = yap.sample_logits(models, crops, (6, 19), reference)
        plain = yap.sample_logits_plainly(models, crops, (6, 19), reference)
    assert np.abs(fast - plain).max() < 1e-5
    assert np.ptp(plain) > 0.01


def test_each_image_is_normalised_and_convolved_once(monkeypatch):
    monkeypatch.setattr(yap, "_BLOCK", 64)
    model, seen = trained_statistics(small()), []
    normalise, maps = model.contrast.forward, model.frame_maps
    monkeypatch.setattr(model.contrast, "forward", lambda x: seen.append(("lcn", len(x))) or normalise(x))
    monkeypatch.setattr(
        model, "frame_maps", lambda x, folded: seen.append(("maps", len(x))) or maps(x, folded)
    )
    with torch.inference_mode():
        yap.sample_logits([model], random_crops(500), (6, 19), "both")
    for name in ("lcn", "maps"):
        assert sum(count for kind, count in seen if kind == name) == 500


def test_the_streams_share_their_weights_and_separation_saves():
    counts = yap.parameter_counts(yap.Yap3dCnn(Yap3dCnnConfig.paper()))
    assert counts["depthwise separable"] < 0.3 * counts["full 3-D convolutions"]
    by_hand = 16 * 27 + 16 * 16 + 2 * 16 + 16 * 27 + 16 * 32 + 2 * 32 + 32 * 27 + 32 * 32 + 2 * 32
    dense = 2 * (64 * 64 + 64) + 64 * 2 + 2
    quick = yap.parameter_counts(yap.Yap3dCnn(Yap3dCnnConfig.quick()))
    assert quick["depthwise separable"] == by_hand + dense


# --- the loss -------------------------------------------------------------------------------------------------------


def test_the_printed_sign_rewards_false_alarms():
    neutral = torch.zeros(8, 2)
    quiet, alarm = (torch.full((8, 2), value) for value in (-4.0, 4.0))
    weights = (3.0, (0.9, 0.1))
    assert yap.weighted_loss(alarm, neutral, *weights, sign=-1) < yap.weighted_loss(
        quiet, neutral, *weights, sign=-1
    )
    assert yap.weighted_loss(alarm, neutral, *weights) > yap.weighted_loss(quiet, neutral, *weights)


def test_learning_with_the_printed_sign_calls_everything_an_expression():
    labels = torch.zeros(10, 2)
    labels[0] = 1
    called = {}
    for sign in (1, -1):
        logits = torch.zeros(10, 2, requires_grad=True)
        for _ in range(200):
            (slope,) = torch.autograd.grad(yap.weighted_loss(logits, labels, 3.0, (0.9, 0.1), sign), logits)
            logits = (logits - 5 * slope).detach().requires_grad_()
        called[sign] = (logits > 0).all(dim=1)
    assert called[1].tolist() == [True] + 9 * [False]
    assert called[-1].all()


def test_the_corrected_loss_without_weights_is_cross_entropy():
    logits, labels = torch.randn(20, 2), torch.randint(0, 2, (20, 2)).float()
    expected = nnf.binary_cross_entropy_with_logits(logits, labels)
    assert yap.loss_of(small())(logits, labels) == pytest.approx(float(expected), rel=1e-5)


def test_the_weights_are_those_of_the_paper():
    logits = torch.zeros(1, 2)
    loss = yap.loss_of(small(loss="weighted"))
    log2 = np.log(2)
    assert float(loss(logits, torch.tensor([[1.0, 0.0]]))) == pytest.approx(
        0.9 * 3 * log2 + 0.1 * log2, rel=1e-5
    )
    assert float(loss(logits, torch.tensor([[0.0, 1.0]]))) == pytest.approx(
        0.9 * log2 + 0.1 * 3 * log2, rel=1e-5
    )


# --- samples --------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(-40, 40).filter(bool), st.integers(1, 59), st.integers(1, 7))
def test_a_reference_is_never_taken_across_a_cut(count, skip, cut, step):
    crops = FaceCrops(np.arange(count) * step, np.empty((count, 0, 0)), (np.arange(count) >= cut).astype(int))
    found = yap.partners(crops, np.arange(count), np.full(count, skip))
    assert (crops.stretch[found] == crops.stretch).all()
    apart = crops.frames[found] - crops.frames
    reached = np.abs(np.abs(apart) - abs(skip)) <= step / 2
    runs = np.array([np.ptp(crops.frames[crops.stretch == s]) for s in crops.stretch])
    assert reached[runs >= 2 * abs(skip)].all()


def test_references_of_a_gap_are_the_nearest_frames():
    crops = FaceCrops(np.array([0, 1, 2, 3, 9, 10, 11, 12]), np.empty((8, 0, 0)), np.zeros(8, int))
    assert yap.partners(crops, np.array([1, 3, 0]), np.array([3, 6, 10])).tolist() == [3, 4, 5]


def test_the_images_of_a_sample_are_changed_alike():
    config, rng = small(), np.random.default_rng(1)
    image = torch.from_numpy(face_like().astype(np.float32))
    changed = yap.augment(image.expand(6, 3, SIDE, SIDE).clone(), config, rng)
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert torch.equal(changed[:, 0], changed[:, 2])
    assert (changed[0] - changed[1]).abs().max() > 5
    off = replace(config, contrast=(1, 1), gamma=(1, 1), gain=(1, 1), flip=0.0, rotation_deg=0.0)
    assert torch.allclose(yap.augment(image.expand(2, 3, SIDE, SIDE), off, rng)[0, 0], image, atol=0.05)
    mirrored = yap.augment(image.expand(2, 3, SIDE, SIDE), replace(off, flip=1.0), rng)
    assert torch.allclose(mirrored[0, 0].flip(-1), image, atol=0.05)


# --- a drawn toy: a patch that moves on people of different texture -------------------------------------------------

FPS, LENGTH = 30.0, 240
EVENTS = [("ME", 40, 52), ("MaE", 90, 125), ("ME", 160, 171), ("MaE", 190, 220)]


@pytest.fixture(scope="module")
def toy_crops():
    """Crops (240, 24, 24) of four people: the lower part moves in ME by 1 px, the upper in MaE by 2 px."""
    made = {}
    for person in range(4):
        texture = cv2.resize(face_like(person + 20, 40), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(
            np.float32
        )
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        shift = np.zeros((LENGTH, 2))
        for kind, onset, offset in EVENTS:
            course = np.sin(np.pi * np.linspace(0, 1, offset - onset + 1)) ** 2
            shift[onset : offset + 1, 0 if kind == "ME" else 1] += course * (1.2 if kind == "ME" else 2.5)
        low = np.exp(-((y - 17) ** 2 + (x - 12) ** 2) / 18)
        high = np.exp(-((y - 6) ** 2 + (x - 12) ** 2) / 18)
        rng = np.random.default_rng(person)
        frames = [
            cv2.remap(texture, x, (y + m * low - n * high).astype(np.float32), cv2.INTER_CUBIC)
            for m, n in shift
        ]
        noisy = np.stack(frames) + rng.normal(0, 1, (LENGTH, SIDE, SIDE))
        made[f"p{person}"] = FaceCrops(
            np.arange(LENGTH), noisy.clip(0, 255).astype(np.float16), np.zeros(LENGTH, int)
        )
    return made


@pytest.fixture
def toy(toy_crops, monkeypatch):
    """A manifest of the four people, one video each, whose crops need no pictures."""
    monkeypatch.setattr(yap, "face_crops", lambda video, recipe: toy_crops[video.subject])
    return people_manifest(toy_crops, EVENTS, LENGTH, FPS)


def test_k_is_half_a_mean_expression(toy):
    short, long = yap.half_lengths_s(toy, small())
    assert (short, long) == (6 / FPS, pytest.approx(16 / FPS, abs=1 / FPS))
    assert len(set(yap.half_lengths_s(toy, small(oriented=False)))) == 1


def test_an_epoch_has_the_shares_asked_for_or_every_frame_once(toy):
    rng = np.random.default_rng(0)
    pairs = yap.Pairs(toy, small(), (0.2, 0.6))
    drawn = pairs.labels[pairs.order(rng)]
    assert drawn.mean(axis=0) == pytest.approx([0.28, 0.28], abs=0.06)
    plain = yap.Pairs(toy, small(shares=None), (0.2, 0.6))
    assert sorted(plain.order(rng)) == list(range(4 * LENGTH))
    judged = yap.Pairs(toy, small(), (0.2, 0.6), every=3)
    assert judged.labels.any(axis=1).mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("input_", INPUTS)
def test_eight_samples_can_be_learnt_by_heart(toy, input_):
    config = small(input=input_, dropout=0.0, shares=None)
    pairs = yap.Pairs(toy.only(toy.uids[:1]), config, (0.2, 0.6))
    rows = np.array([46, 165, 105, 112, 5, 70, 140, 230])
    pairs.owner, pairs.place, pairs.labels = pairs.owner[rows], pairs.place[rows], pairs.labels[rows]
    pairs.batch = lambda index, rng: type(pairs).batch(pairs, index, None)  # the same eight every time
    loop = replace(config.train, epochs=150, batch_size=8, learning_rate=0.02, batches_per_epoch=None)
    trained = train(yap.untrained(config, 0), pairs, yap.loss_of(config), loop, 0, progress=False)
    assert trained.history[-1]["loss"] < 0.01
    assert mean_loss(trained.model, pairs, yap.loss_of(config), loop) < 0.05


def test_movements_are_found_on_people_never_seen(toy):
    fold = loso_folds(toy)[0]
    fitted = yap.fit(toy.only(fold.train), small(), progress=False)
    truth = {uid: toy.truth(uid) for uid in fold.test}
    spotted = {uid: fitted.spot(fitted.score(toy.video(uid))) for uid in fold.test}
    assert metrics.score(truth, spotted).overall.f1 > 0.5
    assert set(fitted.judged) == set(fold.train)


def test_the_same_seed_gives_the_same_curves_and_thresholds(toy):
    fold = loso_folds(toy)[1]
    config = small(train=replace(small().train, epochs=2))
    first, second, other = (yap.fit(toy.only(fold.train), config, seed, progress=False) for seed in (4, 4, 5))
    video = toy.video(fold.test[0])
    assert first.thresholds == second.thresholds
    assert np.array_equal(first.score(video).curves, second.score(video).curves)
    assert not np.array_equal(first.score(video).curves, other.score(video).curves)


def test_another_frame_rate_is_scored_in_seconds(toy, toy_crops, monkeypatch):
    fold = loso_folds(toy)[0]
    fitted = yap.fit(toy.only(fold.train), small(train=replace(small().train, epochs=1)), progress=False)
    video = replace(toy.video(fold.test[0]), fps=60.0, last_frame_no=2 * LENGTH)
    slow = toy_crops[video.subject]
    every = FaceCrops(
        2 * slow.frames, slow.crops, slow.stretch
    )  # the same half-seconds, sampled at half the rate
    monkeypatch.setattr(yap, "face_crops", lambda video, recipe: every)
    twice = fitted.score(video).curves
    monkeypatch.setattr(yap, "face_crops", lambda video, recipe: slow)
    once = fitted.score(replace(video, fps=30.0, last_frame_no=LENGTH)).curves
    assert twice.shape == (2 * LENGTH, 2)
    assert np.abs(twice[::2] - once).max() < 0.02


# --- pictures -------------------------------------------------------------------------------------------------------


def test_fitting_cannot_see_the_held_out_subject(fitted_twice):
    loop = replace(small().train, epochs=1, batches_per_epoch=4)
    config = small(train=loop, crops=replace(small().crops, landmarks="cascade"))
    before, after = fitted_twice(lambda train: yap.fit(train, config, progress=False))
    assert after.thresholds == before.thresholds
    for mine, theirs in zip(after.models, before.models, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


# --- minutes --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("name", "folds"), [("synthetic_casme2", 2), ("synthetic_samm_lv", 2)])
def test_drawn_expressions_are_found_at_30_and_at_200_fps(name, folds):
    manifest = load_dataset(name)
    config = Yap3dCnnConfig.quick()
    spotted = held_out.leave_one_subject_out(manifest, partial(yap.fit, config=config), folds)
    truth = {uid: manifest.truth(uid) for uid in spotted}
    score = metrics.score(truth, spotted).overall
    by_chance = metrics.chance(spotted, truth, {uid: manifest.video(uid).length for uid in spotted})[
        "overall"
    ]
    assert score.f1 >= 3 * by_chance.f1
    assert score.f1 > by_chance.high


@pytest.mark.slow
def test_an_untrained_network_is_at_chance():
    manifest = load_dataset("synthetic_casme2")
    config, blank = Yap3dCnnConfig.quick(), [yap.untrained(Yap3dCnnConfig.quick(), 0)]
    fold = loso_folds(manifest)[0]
    known = {uid: yap.score_video(blank, manifest.video(uid), config, (0.2, 0.55)) for uid in fold.train}
    limits = yap.choose_thresholds(known, {uid: manifest.truth(uid) for uid in known}, config)
    spotted = {
        uid: spot_curves(
            yap.score_video(blank, manifest.video(uid), config, (0.2, 0.55)), limits, config.durations_s
        )
        for uid in fold.test
    }
    truth = {uid: manifest.truth(uid) for uid in fold.test}
    by_chance = metrics.chance(spotted, truth, {uid: manifest.video(uid).length for uid in spotted})[
        "overall"
    ]
    assert metrics.score(truth, spotted).overall.f1 <= max(by_chance.high, 0.1)
