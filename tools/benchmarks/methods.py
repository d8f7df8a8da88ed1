"""What the learned methods need to score a video and to learn, beside each one's straightforward form.

The networks are untrained and the pictures are random: neither changes how long anything takes.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import material
from benchmarks.measure import Case, Growth, apart
from mespot_lib.features.crops import FaceCrops
from mespot_lib.features.face_flow import FaceFlow
from mespot_lib.manifest import Video

_FPS = 30.0


@dataclass(frozen=True)
class Setting:
    """Of which profile the networks are and on which device they run: a GPU is only asked for by hand."""

    profile: str = "quick"
    device: str = "cpu"

    def clock(self) -> dict[str, bool]:
        """Return how a case of this device is measured: what a GPU does, no clock of the processor counts."""
        return {"on_the_wall": self.device != "cpu", "forked": self.device == "cpu"}


# ---------------------------------------------------------------------------------------------------------------------
# Scoring a video


def frame_skip_3dcnn(place: Path, tiny: bool, setting: Setting = Setting()) -> Iterator[Case | Growth]:
    """Yield the benchmarks of scoring with the 3D-CNN."""
    import torch

    from mespot_lib.methods import yap2022_3dcnn as yap

    config = getattr(yap.Yap3dCnnConfig, setting.profile)()
    models = [yap.untrained(config, seed).to(setting.device) for seed in range(config.parts)]
    crops = random_crops(60 if tiny else 600, config.crops.size)

    def scoring(way: Callable, of: FaceCrops, networks: int | None = None) -> np.ndarray:
        with torch.inference_mode():
            return way(models[:networks], of, (6, 19), config.reference)

    yield Case(
        "inference_3dcnn",
        f"scoring a video with {config.parts} networks of the 3D-CNN ({setting.profile})",
        "frame",
        len(crops.frames),
        ours=lambda: scoring(yap.sample_logits, crops),
        beside="every sample with its own images from the start",
        theirs=lambda: scoring(yap.sample_logits_plainly, crops),
        same=lambda a, b: np.allclose(a, b, atol=1e-5),
        goal=2.0,
        **setting.clock(),
    )
    if setting.device != "cpu":
        return
    yield _longer(
        "scoring_by_3dcnn",
        "scoring with one network of the 3D-CNN",
        tiny,
        lambda frames: lambda: scoring(yap.sample_logits, still_crops(frames, config.crops.size), 1),
    )


def stsnet(place: Path, tiny: bool, setting: Setting = Setting()) -> Iterator[Case | Growth]:
    """Yield the benchmarks of scoring with STSNet_SW."""
    import torch

    from mespot_lib.methods import stsnet_sw as sts

    config = getattr(sts.StsNetConfig, setting.profile)()
    models = [sts.untrained(config, 0).to(setting.device)]
    size = config.crops.size
    pictures = np.random.default_rng(0).integers(0, 255, (256, size, size)).astype(np.uint8)

    def scoring(way: Callable, frames: int) -> np.ndarray:
        crops = FaceCrops(np.arange(frames), np.empty((frames, 0, 0)), np.zeros(frames, dtype=np.int64))
        found = sts.windows(crops, _FPS, config)
        with torch.inference_mode():
            return way(models, lambda at: pictures[at % 256] / np.float32(128) - 1, found)

    frames = 60 if tiny else 1000
    yield Case(
        "inference_stsnet",
        f"classifying all windows of a video with STSNet_SW ({setting.profile}), {config.window} frames each",
        "frame",
        frames,
        ours=lambda: scoring(sts.window_logits, frames),
        beside="every window with its own pictures",
        theirs=lambda: scoring(sts.window_logits_plainly, frames),
        same=lambda a, b: np.allclose(a, b, atol=1e-5),
        goal=4.0,
        **setting.clock(),
    )
    if setting.device != "cpu":
        return
    yield _longer(
        "scoring_by_stsnet",
        "scoring with STSNet_SW",
        tiny,
        lambda frames: lambda: scoring(sts.window_logits, frames),
    )


def mesnet(place: Path, tiny: bool, setting: Setting = Setting()) -> Iterator[Case | Growth]:
    """Yield the benchmarks of scoring with MESNet."""
    from mespot_lib.clips import clip_windows
    from mespot_lib.methods import mesnet as me

    config = getattr(me.MesNetConfig, setting.profile)()
    models = [me.untrained(config, seed).to(setting.device) for seed in range(config.parts)]
    frames = 200 if tiny else 600
    flow = random_flow(frames, config.flow.cells)
    clip, overlap = (round(seconds * _FPS) for seconds in (config.clip_s, config.overlap_s))

    def scoring(of: FaceFlow, networks: Sequence[me.MesNet] = models) -> Any:
        with mock.patch.object(me, "face_flow", return_value=of):
            return me.score_video(networks, a_video(len(of.frames)), config)

    def clip_by_clip() -> list[Any]:
        return [scoring(part_of(flow, first, last)) for first, last in clip_windows(frames, clip, overlap)]

    yield Case(
        "inference_mesnet",
        f"proposals of a video by {config.parts} networks of MESNet ({setting.profile})",
        "frame",
        frames,
        ours=lambda: scoring(flow),
        beside="every clip by itself, overlaps twice",
        theirs=clip_by_clip,
        **setting.clock(),
    )
    if setting.device != "cpu":
        return
    # one that has learnt proposes little; one that has not would propose every place
    sure = me.untrained(config, 0)
    for layer in sure.cpn.second:
        layer.bias.data[0] = -8.0
    yield _longer(
        "scoring_by_mesnet",
        "scoring with one network of MESNet, hardly any place proposed",
        tiny,
        lambda frames: lambda: scoring(still_flow(frames, config.flow.cells), [sure]),
    )


def i3d(place: Path, tiny: bool, setting: Setting = Setting()) -> Iterator[Case | Growth]:
    """Yield the benchmarks of scoring with I3D and BiFPN."""
    from mespot_lib.methods import i3d_bifpn as bifpn

    config = getattr(bifpn.I3dBiFpnConfig, setting.profile)()
    model = bifpn.untrained(config, 0).to(setting.device)
    frames = 160 if tiny else 480

    def scoring(of: int, at_once: int | None = None, network: bifpn.Spotter = model) -> Any:
        given = {
            "face_flow": lambda video, recipe: still_flow(of, recipe.cells),
            "face_crops": lambda video, recipe: still_crops(of, recipe.size),
        }
        with ExitStack() as patches:
            for name, answer in given.items():
                patches.enter_context(mock.patch.object(bifpn, name, answer))
            if at_once:
                patches.enter_context(mock.patch.object(bifpn, "_WINDOWS_AT_ONCE", at_once))
            return bifpn.score_video(network, a_video(of), config)

    yield Case(
        "inference_i3d_bifpn",
        f"places of a video by I3D and BiFPN ({setting.profile}), windows of {config.window} samples",
        "frame",
        frames,
        ours=lambda: scoring(frames),
        beside="one window after the other",
        theirs=lambda: scoring(frames, 1),
        same=lambda a, b: np.array_equal(a.frames, b.frames) and np.allclose(a.p, b.p, atol=1e-5),
        **setting.clock(),
    )
    if setting.device != "cpu":
        return
    # one that has learnt is sure of "none" nearly everywhere; one that has not would keep every place
    with mock.patch.object(bifpn, "_SURE", 8.0):
        sure = bifpn.untrained(config, 0)
    yield _longer(
        "scoring_by_i3d_bifpn",
        "scoring with I3D and BiFPN, hardly any place probable",
        tiny,
        lambda frames: lambda: scoring(frames, network=sure),
        most_mb=4.0,
    )


def _frames(minutes: float) -> int:
    return round(60 * minutes * _FPS)


def _longer(
    name: str, what: str, tiny: bool, work: Callable[[int], Callable[[], Any]], most_mb: float = 2.0
) -> Growth:
    minutes = (0.05, 0.1) if tiny else (1, 4, 16)
    return Growth(name, what, "minute of video", minutes, lambda one: work(_frames(one)), most_mb)


# ---------------------------------------------------------------------------------------------------------------------
# Learning


def training(place: Path, tiny: bool, setting: Setting = Setting()) -> Iterator[Case | Growth]:
    """Yield the benchmarks of the optimiser loop: a short training of each learned method."""
    from mespot_lib.methods import i3d_bifpn, mesnet, stsnet_sw, yap2022_3dcnn

    manifest = material.drawn(place)
    ways = {
        "3dcnn": (
            yap2022_3dcnn,
            "Yap3dCnnConfig",
            lambda config: yap2022_3dcnn.Pairs(manifest, config, (0.2, 0.55)),
        ),
        "mesnet": (
            mesnet,
            "MesNetConfig",
            lambda config: mesnet.Clips(mesnet.reels(manifest, config), config),
        ),
        "stsnet": (
            stsnet_sw,
            "StsNetConfig",
            lambda config: stsnet_sw.WindowSamples(manifest, config),
        ),
        "i3d_bifpn": (
            i3d_bifpn,
            "I3dBiFpnConfig",
            lambda config: i3d_bifpn.Windows(manifest, config),
        ),
    }
    for name, (method, settings, samples_of) in ways.items():
        config = getattr(getattr(method, settings), setting.profile)()
        apart(lambda config=config, samples_of=samples_of: len(samples_of(config)))  # features are measured
        steps = 2 if tiny else 3
        loop = replace(config.train, epochs=1, batches_per_epoch=steps, device=setting.device, patience=None)
        loss = stsnet_sw.cross_entropy if method is stsnet_sw else method.loss_of(config)
        yield replace(_learning(name, method, config, loop, samples_of(config), loss), **setting.clock())


def _learning(name: str, method: Any, config: Any, loop: Any, samples: Any, loss: Callable) -> Case:
    from mespot_lib.train import train

    return Case(
        f"training_{name}",
        f"{loop.batches_per_epoch} steps of training {name}, batches of {loop.batch_size}",
        "step",
        loop.batches_per_epoch,
        ours=lambda: train(method.untrained(config, 0), samples, loss, loop, 0, progress=False),
        beside="a bare loop that draws sample by sample, as torch's DataLoader does",
        theirs=lambda: bare_loop(method.untrained(config, 0), drawn_singly(samples, loop), loss, loop),
        limit_is="the same steps on one batch that is there already",
        limit=lambda: bare_loop(
            method.untrained(config, 0), [drawn_once(samples, loop)] * loop.batches_per_epoch, loss, loop
        ),
    )


def bare_loop(model: Any, batches: Sequence, loss: Callable, loop: Any) -> None:
    """Take a step of AdamW on each batch."""
    import torch

    optimiser = torch.optim.AdamW(model.to(loop.device).train().parameters(), lr=loop.learning_rate)
    for inputs, targets in batches:
        optimiser.zero_grad()
        loss(model(*(one.to(loop.device) for one in inputs)), targets.to(loop.device)).backward()
        optimiser.step()
    if loop.device != "cpu":
        torch.cuda.synchronize()


def drawn_singly(samples: Any, loop: Any) -> Iterator[tuple]:
    """Yield batches whose samples are drawn one by one and put together."""
    import torch

    rng = np.random.default_rng(0)
    order = samples.order(rng)
    for step in range(loop.batches_per_epoch):
        index = np.resize(order, (step + 1) * loop.batch_size)[-loop.batch_size :]
        single = [samples.batch(index[i : i + 1], rng) for i in range(len(index))]
        inputs = zip(*(one for one, _ in single), strict=True)
        yield tuple(torch.cat(same) for same in inputs), torch.cat([targets for _, targets in single])


def drawn_once(samples: Any, loop: Any) -> tuple:
    """Return one batch."""
    rng = np.random.default_rng(0)
    return samples.batch(np.resize(samples.order(rng), loop.batch_size), rng)


def fitting(place: Path, tiny: bool, setting: Setting = Setting()) -> Iterator[Case | Growth]:
    """Yield the benchmark of training the networks of a fit side by side: a short fit of MESNet."""
    from mespot_lib.methods import mesnet as me

    config = getattr(me.MesNetConfig, setting.profile)()
    apart(lambda: len(me.reels(material.drawn(place), config)))  # features are measured
    cores = os.cpu_count() or 1
    yield Case(
        "fitting_mesnet",
        "a short fit of MESNet: three networks side by side, each in a process of one thread",
        "fit",
        1,
        ours=lambda: _fit_as_started(place, tiny, setting, cores),
        beside=f"one network after the other, numpy and torch with {cores} threads each, as they start",
        theirs=lambda: _fit_as_started(place, tiny, setting, 1),
        on_the_wall=True,
        once=True,
        forked=False,
    )


def _short_fit(place: Path, tiny: bool, setting: Setting) -> None:
    """Fit MESNet for a short while to the drawn set."""
    from mespot_lib.methods import mesnet as me

    config = getattr(me.MesNetConfig, setting.profile)()
    short: dict[str, Any] = {"epochs": 1 if tiny else 3, "batches_per_epoch": 2 if tiny else 40}
    short |= {"device": setting.device, "patience": None}
    config = replace(config, train=replace(config.train, **short), pretrain=replace(config.pretrain, **short))
    me.fit(material.drawn(place), config, 0, progress=False)


def _fit_as_started(place: Path, tiny: bool, setting: Setting, processes: int) -> None:
    """Fit in a program of its own, as it starts where nobody has set a number of threads."""
    code = f"""
from pathlib import Path
from benchmarks import methods
methods._short_fit(Path({str(place)!r}), {tiny}, methods.Setting({setting.profile!r}, {setting.device!r}))
"""
    kept = {name: value for name, value in os.environ.items() if "_THREADS" not in name}
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = kept | {"LOKY_MAX_CPU_COUNT": str(processes), "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


# ---------------------------------------------------------------------------------------------------------------------
# Invented features


def a_video(frames: int) -> Video:
    """Return a video of which nobody will read a frame."""
    return Video("toy/a/v", "toy", "a", "v", Path("nowhere"), "frames", _FPS, 0, frames - 1)


def random_crops(frames: int, size: int) -> FaceCrops:
    """Return crops of noise."""
    noise = np.random.default_rng(0).integers(0, 255, (frames, size, size)).astype(np.float16)
    return FaceCrops(np.arange(frames), noise, np.zeros(frames, dtype=np.int64))


def still_crops(frames: int, size: int) -> FaceCrops:
    """Return as many crops of one picture: their memory does not grow with the video."""
    one = random_crops(1, size).crops
    return FaceCrops(
        np.arange(frames), np.broadcast_to(one, (frames, size, size)), np.zeros(frames, np.int64)
    )


def random_flow(frames: int, cells: int) -> FaceFlow:
    """Return motion of noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, (frames, 2, cells, cells)).astype(np.float16)
    return FaceFlow(np.arange(frames), noise, np.arange(frames) > 0)


def still_flow(frames: int, cells: int) -> FaceFlow:
    """Return as many steps of one motion: their memory does not grow with the video."""
    one = random_flow(1, cells).steps
    steps = np.broadcast_to(one, (frames, 2, cells, cells))
    return FaceFlow(np.arange(frames), steps, np.arange(frames) > 0)


def part_of(flow: FaceFlow, first: int, last: int) -> FaceFlow:
    """Return the motion from one sample to another, as if it were a video."""
    return FaceFlow(np.arange(last - first + 1), flow.steps[first : last + 1], flow.known[first : last + 1])
