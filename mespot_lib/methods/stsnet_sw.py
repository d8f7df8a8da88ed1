"""STSNet_SW: spatio-temporal spotting network with sliding windows (Fu et al., Electronics 2023, 12, 3947).

    face crops -> ResNet-18, frame by frame -> windows of K frames -> self-attention scores the frames, M are kept
    -> a bi-directional GRU at every place of the maps -> none, ME or MaE for the middle frame -> runs -> intervals

Three trainings follow each other: ImageNet (a file of weights, if there is one), single pictures of expressions
(`stills`), spotting. Equation (4) is printed with a slip that takes all effect from the attention; see
`KeyFrames`. What the paper leaves open is decided here and listed in notebook 40, "Where we had to choose".

Fed with faces as printed, the network learns who is who: movements are a fraction of what tells people apart. `input`
chooses:

    as_printed    grey levels of the crop
    difference    the crop minus the same face at rest, a running median
"""

import copy
import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as nnf
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.ndimage import uniform_filter
from scipy.special import softmax
from torch import Tensor, nn

from mespot_lib import metrics, places, spot
from mespot_lib.curves import Curves, labels_at, on_axis
from mespot_lib.features.crops import CropRecipe, FaceCrops, face_crops
from mespot_lib.features.motion import sampling_step
from mespot_lib.features.rest_face import RestFaces, rest_faces
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video
from mespot_lib.stills import CLASSES, Stills, StillsRecipe, drawn_stills, list_affectnet, read_affectnet
from mespot_lib.train import (
    TrainConfig,
    Trained,
    load_weights,
    parted,
    save_weights,
    seeded,
    side_by_side,
    subject_parts,
    train,
)

LABELS = ("none", *KINDS)

# Raise it when the code of the first two trainings gives another trunk.
TRUNK_VERSION = 2

_GREY_MEAN, _GREY_SPREAD = 0.449, 0.226  # of ImageNet, mean of its three channels
_DIFFERENCE_SPREAD = 16.0  # grey levels; brings differences to about the size of normalised pictures
_WEIGHTS = tuple(np.geomspace(0.003, 3, 16).round(4).tolist())  # tried for the decision
_BLOCK, _BATCH = 512, 128  # samples whose maps are held, and windows classified, at a time


# What the paper prints of `Fitted.settings`: the argmax of the softmax. It names no shortest duration.
PRINTED_SETTINGS: Mapping[str, Any] = {"weight_me": 1.0, "weight_mae": 1.0}


class StsNetError(ValueError):
    """Weights that cannot be used; the message names the file."""


@dataclass(frozen=True)
class StsNetConfig:
    """Settings; times in seconds, so that one setting serves every frame rate.

    crops : how the face is cut out
    stills, pretrain : the second training: drawn pictures, of the size of the crops, and its loop; with pretrain None
        it is left out, and the first one too
    train : the loop of the third training
    weights : file with ImageNet weights of a ResNet-18 (width 1 only); affectnet : folder of the licensed set, used in
        place of the drawn pictures; empty for none
    input : what the network sees, see the module's first lines; rest_s : window of the running median
    width : channels of the trunk as a part of ResNet-18's 64, 128, 256, 512
    window, spacing_s : K frames, so far apart; the paper's are neighbours in the video
    key_frames : M; attention : equation (4) "repaired" or "as_printed"; "off" scores each frame by itself; "none" keeps
        all frames unweighted
    hidden, layers : of the GRU, per direction
    key_dropout, head_dropout : shares of zeros
    shares : of none, ME and MaE windows in an epoch; None takes them as they come
    flip, gain, shift : augmentation: probability, log standard deviation of the contrast, standard deviation of the
        place as a part of the crop
    parts : groups the training subjects are dealt into; one network per group, trained on the others and judged on it
    decision : "argmax" of the softmax, or "fitted": classes weighted so that F1 on the training subjects is best
    post : "raw" runs of equal labels, "merging" or "duration"; gap_s : what merging bridges; shortest_s : shorter runs
        are dropped
    """

    crops: CropRecipe
    stills: StillsRecipe
    pretrain: TrainConfig | None
    train: TrainConfig
    weights: str = ""
    affectnet: str = ""
    input: Literal["as_printed", "difference"] = "difference"
    rest_s: float = 8.0
    width: float = 1.0
    window: int = 5
    spacing_s: float = 1 / 30
    key_frames: int = 3
    attention: Literal["repaired", "as_printed", "off", "none"] = "repaired"
    hidden: int = 32
    layers: int = 1
    key_dropout: float = 0.5
    head_dropout: float = 0.5
    shares: tuple[float, float, float] | None = (0.44, 0.28, 0.28)
    flip: float = 0.5
    gain: float = 0.3
    shift: float = 0.03
    parts: int = 3
    decision: Literal["argmax", "fitted"] = "fitted"
    post: Literal["raw", "merging", "duration"] = "duration"
    gap_s: float = 0.1
    shortest_s: float = 0.1

    @classmethod
    def paper(cls, **changes: Any) -> "StsNetConfig":
        """Return the printed sizes and epochs: 128 px, ResNet-18, 30 epochs of SGD; for a GPU.

        Windows are of neighbours at 30 frames per second, at 200 too. The loop of the second training is not printed.
        """
        pretrain = TrainConfig(
            epochs=20, batch_size=64, learning_rate=1e-3, schedule="one_cycle", weight_decay=1e-2
        )
        loop = TrainConfig(
            epochs=30,
            batch_size=8,
            learning_rate=1e-3,
            weight_decay=5e-4,
            momentum=0.9,
            optimiser="sgd",
            schedule="cosine",
        )
        return replace(cls(CropRecipe(size=128), StillsRecipe(), pretrain, loop), **changes)

    @classmethod
    def quick(cls, **changes: Any) -> "StsNetConfig":
        """Return a small form for a CPU: 48 px, a quarter of the channels."""
        pretrain = TrainConfig(
            epochs=8, batch_size=64, learning_rate=3e-3, schedule="one_cycle", weight_decay=1e-2
        )
        loop = TrainConfig(
            epochs=4,
            batch_size=32,
            batches_per_epoch=30,
            learning_rate=1e-3,
            schedule="one_cycle",
            weight_decay=1e-2,
        )
        return replace(cls(CropRecipe(), StillsRecipe(), pretrain, loop, width=0.25), **changes)

    def as_printed(self) -> "StsNetConfig":
        """Return the same size with everything the paper says taken literally."""
        return replace(
            self,
            input="as_printed",
            attention="as_printed",
            shares=None,
            decision="argmax",
            post="raw",
            shortest_s=0.0,
        )


# ---------------------------------------------------------------------------------------------------------------------
# The network


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a way around them; names as in torchvision."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_())) + around).relu_()


class ResNet18(nn.Module):
    """The convolutions of ResNet-18 for pictures of one channel, its channels multiplied by `width`.

    With width 1 the parameters have the names and shapes of torchvision's `resnet18`, but for the first layer, which
    has one input channel, and the classifier, which is left out.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, width: float = 1.0):
        super().__init__()
        channels = [max(1, round(64 * width * 2**level)) for level in range(4)]
        self.channels = channels[-1]
        self.conv1 = nn.Conv2d(1, channels[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        before = channels[0]
        for level, now in enumerate(channels):
            blocks = (BasicBlock(before, now, 1 if level == 0 else 2), BasicBlock(now, now, 1))
            setattr(self, f"layer{level + 1}", nn.Sequential(*blocks))
            before = now
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs lack this form

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised pictures (N, 1, S, S) to feature maps (N, C, S / 32, S / 32), rounded up."""
        x = nnf.max_pool2d(
            self.bn1(self.conv1(images.contiguous(memory_format=torch.channels_last))).relu_(), 3, 2, 1
        )
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class KeyFrames(nn.Module):
    """Figure 2: how much each frame of a window matters, equations (1) to (6).

    Equation (4) is printed as b_k = sum_i a_ki W3 p_k. The weights a_ki sum to one over i, so that is W3 p_k, whatever
    the attention says, and W1 and W2 get no gradient. `attention="repaired"` takes p_i in place of p_k, which is
    self-attention. The frames come as averages of their feature maps over all places.
    """

    def __init__(self, channels: int, attention: str, dropout: float):
        super().__init__()
        self.attention = attention
        self.w1, self.w2, self.w3, self.u = (nn.Linear(channels, channels, bias=False) for _ in range(4))
        self.norm = nn.Sequential(nn.Dropout(dropout), nn.LayerNorm(channels))
        self.first = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Dropout(dropout), nn.LayerNorm(channels)
        )
        self.second = nn.Linear(channels, 1)

    def weights(self, frames: Tensor) -> Tensor:
        """Return the attention a_ki (N, K, K) of frame k to frame i, equations (1) to (3), of frames (N, K, C)."""
        alike = torch.einsum("nkc,nic->nki", self.w2(frames), self.w1(frames))
        return (alike / frames.shape[-1] ** 0.5).softmax(dim=2)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the scores z_k (N, K) in 0..1 of frames (N, K, C)."""
        if self.attention == "off":
            seen = torch.zeros_like(frames)
        elif self.attention == "as_printed":
            seen = self.weights(frames).sum(dim=2, keepdim=True) * self.w3(frames)
        else:
            seen = self.weights(frames) @ self.w3(frames)
        return self.second(self.first(self.norm(self.u(seen) + frames)))[..., 0].sigmoid()


def strongest(scores: Tensor, count: int) -> Tensor:
    """Return where the highest of the scores (N, K) are, (N, count), in order of time; of equal ones the earlier."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    return order[:, :count].sort(dim=1).values


class StsNet(nn.Module):
    """The network of Figure 1: trunk, key frames, shared bi-GRU, classifier of none, ME and MaE."""

    def __init__(self, config: StsNetConfig):
        super().__init__()
        self.key_frames = config.window if config.attention == "none" else config.key_frames
        self.trunk = ResNet18(config.width)
        channels, places = self.trunk.channels, map_side(config.crops.size) ** 2
        self.keys = None
        if config.attention != "none":
            self.keys = KeyFrames(channels, config.attention, config.key_dropout)
        self.temporal = nn.GRU(channels, config.hidden, config.layers, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(
            nn.Dropout(config.head_dropout), nn.Linear(2 * config.hidden * places, len(LABELS))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, 3) of windows of normalised pictures (N, K, S, S)."""
        maps = self.trunk(images.flatten(0, 1)[:, None])
        return self.of_maps(maps.unflatten(0, images.shape[:2]))

    def of_maps(self, maps: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return the logits (N, 3) of windows of feature maps (N, K, C, h, w).

        columns : key frames (N, M) that are given, not chosen; in order of time
        """
        kept = self.chosen(maps, columns)
        at_places = kept.flatten(3).permute(0, 3, 1, 2)  # (N, places, M, C)
        states, _ = self.temporal(at_places.flatten(0, 1))
        features = states.mean(dim=1).unflatten(0, at_places.shape[:2])
        return self.head(features.flatten(1))

    def chosen(self, maps: Tensor, columns: Tensor | None = None) -> Tensor:
        """Return the maps of the M key frames (N, M, C, h, w), in order of time, times their scores.

        Choosing has no gradient; the scores, as factors, have one.
        """
        if self.keys is None:
            return maps
        scores = self.keys(summarised(maps))
        if columns is None:
            columns = strongest(scores.detach(), self.key_frames)
        rows = torch.arange(len(maps), device=maps.device)[:, None]
        return maps[rows, columns] * scores.gather(1, columns)[..., None, None, None]


def summarised(maps: Tensor) -> Tensor:
    """Return what key frames are judged by (N, K, C): averages of feature maps (N, K, C, h, w) over all places."""
    return maps.mean(dim=(3, 4))


def map_side(size: int) -> int:
    """Return the side of the feature maps of pictures of `size` px: five times halved, rounded up.

    >>> map_side(128), map_side(48)
    (4, 2)
    """
    return -(-size // 32)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def normalised(faces: np.ndarray, rest: np.ndarray, form: str) -> np.ndarray:
    """Return what the network sees of crops (N, S, S) and the same faces at rest (N, S, S): float32."""
    faces = faces.astype(np.float32)
    if form == "as_printed":
        return (faces / 255 - _GREY_MEAN) / _GREY_SPREAD
    return (faces - rest.astype(np.float32)) / _DIFFERENCE_SPREAD


def augmented(images: Tensor, config: StsNetConfig, rng: np.random.Generator) -> Tensor:
    """Return windows of pictures (N, K, S, S) mirrored, moved, enlarged and with another contrast, each as a whole."""
    count = len(images)
    mirror = np.where(rng.random(count) < config.flip, -1.0, 1.0)
    size = 1 + config.shift * rng.standard_normal(count)
    place = 2 * config.shift * rng.standard_normal((count, 2))
    still = np.zeros(count)
    rows = np.stack([[size * mirror, still, place[:, 0]], [still, size, place[:, 1]]])
    grid = nnf.affine_grid(
        torch.from_numpy(rows.transpose(2, 0, 1)).float(), list(images.shape), align_corners=False
    )
    moved = nnf.grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast = np.exp(config.gain * rng.standard_normal(count)).astype(np.float32)
    return moved * torch.from_numpy(contrast)[:, None, None, None]


# ---------------------------------------------------------------------------------------------------------------------
# First and second training


def load_resnet18(trunk: ResNet18, path: str | Path) -> None:
    """Fill a trunk of width 1 with a file of torchvision's `resnet18` weights, .pth or .safetensors.

    Nothing in the file is executed. The first layer's three input channels are added up, which is what a grey picture
    repeated three times amounts to; the classifier is left out.

    Raises
    ------
    StsNetError
        If the file is missing or damaged, holds more than tensors, or the weights are of another network.
    """
    tensors = _read_tensors(Path(path))
    given = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
    first = given.get("conv1.weight")
    if first is not None and first.ndim == 4:
        given["conv1.weight"] = first.sum(dim=1, keepdim=True)
    wanted = {name: value for name, value in trunk.state_dict().items() if "num_batches" not in name}
    absent = [name for name in wanted if name not in given]
    if absent:
        raise StsNetError(f"{path}: no ResNet-18: {len(absent)} tensors are not in it, {absent[0]} for one")
    for name, value in wanted.items():
        if given[name].shape != value.shape:
            raise StsNetError(
                f"{path}: {name} has shape {tuple(given[name].shape)}, the trunk's is {tuple(value.shape)}; "
                "weights from a file need width 1"
            )
    surplus = sorted(name for name in given if name not in trunk.state_dict())
    if surplus:
        raise StsNetError(f"{path}: no ResNet-18: it has a tensor {surplus[0]}")
    trunk.load_state_dict(given, strict=False)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StsNetError(f"{path}: no such file of weights") from None
    except pickle.UnpicklingError:
        raise StsNetError(
            f"{path}: holds more than tensors, or is damaged; it is not loaded, because unpickling executes what is in "
            "it. Store the state dict alone: torch.save(model.state_dict(), file)"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError) as error:
        raise StsNetError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise StsNetError(f"{path}: holds no state dict, tensors by name")
    return found


class StillSamples:
    """Pictures of expressions for the second training (`train.Samples`)."""

    def __init__(self, stills: Stills, config: StsNetConfig, people: np.ndarray | None = None):
        """Take the pictures of some people; None takes all."""
        self.stills, self.config = stills, config
        known = np.unique(stills.person) if people is None else people
        self.rows = np.flatnonzero(np.isin(stills.person, known))

    def __len__(self) -> int:
        return len(self.rows)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return all pictures, shuffled."""
        return rng.permutation(len(self))

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return pictures (B, 1, S, S) and labels (B,)."""
        rows = self.rows[index]
        faces = normalised(self.stills.faces[rows], self.stills.at_rest(rows), self.config.input)
        images = torch.from_numpy(faces)[:, None]
        if rng is not None:
            images = augmented(images, self.config, rng)
        return (images,), torch.from_numpy(self.stills.labels[rows])


def untrained(config: StsNetConfig, seed: int) -> StsNet:
    """Return a network with the random weights that a training with this seed begins with."""
    with seeded(seed, 5):
        return StsNet(config).eval()


# ---------------------------------------------------------------------------------------------------------------------
# Third training


def prepare(video: Video, profile: str) -> None:
    """Cut the faces out of a video and find them at rest, into the cache: what every fold needs of it."""
    config = getattr(StsNetConfig, profile)()
    rest_faces(video, config.crops, config.rest_s)


def prepare_once(profile: str) -> None:
    """Train the trunk on stills, into the cache: what every fold needs, whatever the dataset."""
    config = getattr(StsNetConfig, profile)()
    if config.pretrain is not None:
        pretrained_trunk(config, 0, progress=False)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return equation (7), a mean over the batch."""
    return nnf.cross_entropy(logits, labels)


class Windows(NamedTuple):
    """The windows of a video: sample of the middle frame (W,), and samples of all frames (W, K)."""

    middle: np.ndarray
    samples: np.ndarray


def windows(crops: FaceCrops, fps: float, config: StsNetConfig) -> Windows:
    """Return all windows whose K frames are there, evenly spaced and of one stretch: ends and gaps have none."""
    step = sampling_step(fps, config.crops.rate_hz)
    apart = max(1, round(config.spacing_s * fps / step))
    reach = (np.arange(config.window) - config.window // 2) * apart
    samples = np.arange(len(crops.frames))[:, None] + reach
    inside = (samples >= 0) & (samples < len(crops.frames))
    samples = np.where(inside, samples, 0)
    even = crops.frames[samples] - crops.frames[:, None] == reach * step
    together = crops.stretch[samples] == crops.stretch[:, None]
    middle = np.flatnonzero((inside & even & together).all(axis=1))
    return Windows(middle, samples[middle])


class WindowSamples:
    """Windows of some videos, drawn by index from the mapped crops (`train.Samples`)."""

    def __init__(self, manifest: Manifest, config: StsNetConfig, every: int = 1):
        """Take all windows; with `every`, each so many-th of an expression and as many without (to judge by)."""
        self.config = config
        videos = [manifest.video(uid) for uid in manifest.uids]
        self.crops = [face_crops(video, config.crops) for video in videos]
        self.rest = [rest_faces(video, config.crops, config.rest_s) for video in videos]
        found = [windows(crops, video.fps, config) for crops, video in zip(self.crops, videos, strict=True)]
        self.owner = np.repeat(np.arange(len(found)), [len(one.middle) for one in found])
        self.samples = np.concatenate([one.samples for one in found])
        self.labels = np.concatenate(
            [
                window_labels(crops.frames[one.middle], manifest.truth(uid))
                for uid, crops, one in zip(manifest.uids, self.crops, found, strict=True)
            ]
        )
        if every > 1:
            taken, rest = np.flatnonzero(self.labels > 0)[::every], np.flatnonzero(self.labels == 0)
            self._keep(np.concatenate([taken, rest[:: max(1, len(rest) // max(len(taken), 1))]]))

    def rows(self, kept: np.ndarray) -> "WindowSamples":
        """Return some of the windows (B,)."""
        some = copy.copy(self)
        some._keep(kept)
        return some

    def _keep(self, kept: np.ndarray) -> None:
        self.owner, self.samples, self.labels = self.owner[kept], self.samples[kept], self.labels[kept]

    def __len__(self) -> int:
        return len(self.labels)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the windows of an epoch: all, shuffled, or as many with the configured shares of the labels."""
        if self.config.shares is None:
            return rng.permutation(len(self))
        present = np.bincount(self.labels, minlength=len(LABELS))
        chance = (np.array(self.config.shares) / np.maximum(present, 1))[self.labels]
        return rng.choice(len(self), size=len(self), p=chance / chance.sum())

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return normalised pictures (B, K, S, S) and labels (B,)."""
        pairs = zip(self.owner[index], self.samples[index], strict=True)
        stacks = [seen(self.crops[v], self.rest[v], rows, self.config.input) for v, rows in pairs]
        images = torch.from_numpy(np.stack(stacks))
        if rng is not None:
            images = augmented(images, self.config, rng)
        return (images,), torch.from_numpy(self.labels[index])


def seen(crops: FaceCrops, rest: RestFaces, samples: np.ndarray, form: str) -> np.ndarray:
    """Return what the network sees of some samples (B,) of a video, (B, S, S) float32."""
    return normalised(crops.crops[samples], rest.faces[rest.index[samples]], form)


def window_labels(frames: np.ndarray, truth: Sequence[Interval]) -> np.ndarray:
    """Return the label (N,) int64 of windows by their middle frames: 0 none, 1 ME, 2 MaE; where both are, ME."""
    micro, macro = labels_at(frames, truth).T > 0
    return np.where(micro, 1, np.where(macro, 2, 0))


# ---------------------------------------------------------------------------------------------------------------------
# Scoring


def window_logits(
    models: Sequence[StsNet], images: Callable[[np.ndarray], np.ndarray], found: Windows
) -> np.ndarray:
    """Return the logits (W, 3) of all windows of a video, the mean over the networks.

    Each picture goes once through each trunk; its maps are held as long as a window refers to them.

    images : of samples (B,), what the network sees of them (B, S, S)
    """
    device = next(models[0].parameters()).device
    logits = np.empty((len(found.middle), len(LABELS)), dtype=np.float32)
    if not len(logits):
        return logits
    maps: list[Tensor] = [torch.empty(0) for _ in models]
    first = ready = 0
    for rows in np.split(np.arange(len(found.middle)), range(_BLOCK, len(found.middle), _BLOCK)):
        needed = np.unique(found.samples[rows])
        low, fresh = needed[0], np.arange(max(ready, needed[0]), needed[-1] + 1)
        for number, model in enumerate(models):
            kept = [maps[number][max(0, low - first) :]] if ready > low else []
            for part in np.split(fresh, range(_BATCH, len(fresh), _BATCH)):
                if len(part):
                    kept.append(model.trunk(torch.from_numpy(images(part))[:, None].to(device)))
            maps[number] = torch.cat(kept)
        first, ready = low, max(ready, needed[-1] + 1)
        for part in np.split(rows, range(_BATCH, len(rows), _BATCH)):
            places = torch.from_numpy(found.samples[part] - first)
            each = [model.of_maps(held[places]) for model, held in zip(models, maps, strict=True)]
            logits[part] = torch.stack(each).mean(dim=0).cpu().numpy()
    return logits


def window_logits_plainly(
    models: Sequence[StsNet], images: Callable[[np.ndarray], np.ndarray], found: Windows
) -> np.ndarray:
    """Return what `window_logits` does, the straightforward way: every window with its own K pictures."""
    device = next(models[0].parameters()).device
    logits = np.empty((len(found.middle), len(LABELS)), dtype=np.float32)
    for rows in np.split(np.arange(len(logits)), range(_BATCH, len(logits), _BATCH)):
        samples = found.samples[rows]
        pictures = images(samples.ravel()).reshape(*samples.shape, *images(samples[:1, 0]).shape[1:])
        each = [model(torch.from_numpy(pictures).to(device)) for model in models]
        logits[rows] = torch.stack(each).mean(dim=0).cpu().numpy()
    return logits


def score_video(models: Sequence[StsNet], video: Video, config: StsNetConfig) -> Curves:
    """Return the probabilities of ME and MaE for every frame; NaN where there is no window.

    To the precision with which they are stored.
    """
    crops = face_crops(video, config.crops)
    rest = rest_faces(video, config.crops, config.rest_s)
    found = windows(crops, video.fps, config)
    with torch.inference_mode():
        logits = window_logits(models, lambda samples: seen(crops, rest, samples, config.input), found)
    chances = softmax(logits.astype(np.float64), axis=1)[:, 1:]
    step = sampling_step(video.fps, config.crops.rate_hz)
    frames = crops.frames[found.middle]
    if not len(frames):  # shorter than a window
        return Curves(video.fps, np.full((video.length, len(KINDS)), np.nan))
    curves = np.stack([on_axis(frames, column, video.length, step) for column in chances.T], axis=1)
    curves[: frames[0]] = curves[frames[-1] + 1 :] = np.nan  # the ends have no window
    return Curves(video.fps, curves.astype(np.float32).astype(np.float64))


# ---------------------------------------------------------------------------------------------------------------------
# Decision and post-processing


def choose_labels(scores: Curves, weights: Mapping[str, float]) -> np.ndarray:
    """Return the label (T,) of each frame: that with the highest probability times weight; 0 in gaps and at the ends.

    Weights of 1 are the argmax of the softmax.
    """
    known = ~np.isnan(scores.curves).any(axis=1)
    chances = np.where(known[:, None], scores.curves, 0)
    weighted = chances * [weights[kind] for kind in KINDS]
    none = 1 - chances.sum(axis=1, keepdims=True)
    return np.where(known, np.hstack([none, weighted]).argmax(axis=1), 0)


def merge_labels(labels: np.ndarray, gap: int) -> np.ndarray:
    """Return labels (T,) in which at most `gap` frames of 0 between two equal others have taken their label.

    Section 2.4 and Figure 4 of the paper, where `gap` is 1.

    >>> merge_labels(np.array([1, 0, 1, 0, 2, 0, 0, 2]), 1).tolist()
    [1, 1, 1, 0, 2, 0, 0, 2]
    """
    merged = labels.copy()
    for onset, offset in spot.runs_above(labels == 0, 1):
        inside = onset > 0 and offset < len(labels) - 1
        if inside and offset - onset < gap and labels[onset - 1] == labels[offset + 1]:
            merged[onset : offset + 1] = labels[onset - 1]
    return merged


def label_runs(labels: np.ndarray, scores: Curves) -> list[Interval]:
    """Return the runs of equal labels, but 0, as intervals, with their highest probability as score."""
    found = []
    for number, kind in enumerate(KINDS, start=1):
        curve = scores.curves[:, number - 1]
        for onset, offset in spot.runs_above(labels == number, 1):
            apex = int(onset + np.nanargmax(curve[onset : offset + 1]))
            found.append(Interval(int(onset), int(offset), kind, apex, float(curve[apex])))
    return sorted(found)


def by_duration(labels: np.ndarray, scores: Curves) -> list[Interval]:
    """Return the runs of any expression; ME is what lasts at most half a second, whatever its label was.

    Section 3.2 and Figure 5: 15 frames at 30 per second, 100 at 200.
    """
    chance = scores.curves.sum(axis=1)
    frames = spot.runs_above(labels > 0, 1)
    apexes = [int(a + np.nanargmax(chance[a : b + 1])) for a, b in frames]
    return spot.type_by_duration(frames, scores.fps, apexes, [float(chance[t]) for t in apexes])


def spot_labels(scores: Curves, weights: Mapping[str, float], config: StsNetConfig) -> list[Interval]:
    """Return the intervals of a video from its probabilities; `config.post` says how."""
    labels = choose_labels(scores, weights)
    if config.post == "merging":
        labels = merge_labels(labels, spot.to_frames(config.gap_s, scores.fps))
    found = by_duration(labels, scores) if config.post == "duration" else label_runs(labels, scores)
    return [span for span in found if span.offset - span.onset >= config.shortest_s * scores.fps]


def choose_weights(
    judged: Mapping[str, Curves], truth: Mapping[str, Sequence[Interval]], config: StsNetConfig
) -> dict[str, float]:
    """Choose the weights of ME and MaE by the mean F1 of both kinds, on scores of videos whose truth may be seen."""
    if config.decision == "argmax":
        return dict.fromkeys(KINDS, 1.0)
    f1 = np.zeros((len(_WEIGHTS), len(_WEIGHTS)))
    for row, column in np.ndindex(f1.shape):
        weights = dict(zip(KINDS, (_WEIGHTS[row], _WEIGHTS[column]), strict=True))
        spotted = {uid: spot_labels(scores, weights, config) for uid, scores in judged.items()}
        score = metrics.score(truth, spotted)
        f1[row, column] = np.mean([score[kind].f1 for kind in KINDS])
    # with its neighbours, because a single good value among bad ones is luck
    row, column = np.unravel_index(uniform_filter(f1, 3, mode="nearest").argmax(), f1.shape)
    return dict(zip(KINDS, (_WEIGHTS[row], _WEIGHTS[column]), strict=True))


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


def pretrained_trunk(config: StsNetConfig, seed: int, progress: bool | None = None) -> ResNet18:
    """Return the trunk after the first two trainings, from the cache or trained now.

    It depends on no dataset of spotting, so all folds share it.

    Raises
    ------
    StsNetError, mespot_lib.stills.StillsError
        If a file of weights or the licensed set is given and cannot be used.
    """
    assert config.pretrain is not None  # else nobody asks
    described = {
        "stills": list_digest(config.affectnet) if config.affectnet else asdict(config.stills),
        "weights": file_digest(config.weights) if config.weights else "",
        "pretrain": asdict(config.pretrain),
        "augmentation": [config.flip, config.gain, config.shift],
        "width": config.width,
        "input": config.input,
        "size": config.crops.size,
        "seed": seed,
        "version": TRUNK_VERSION,
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    path = places.cache_root() / "stsnet_sw" / f"trunk-{digest}.safetensors"
    trunk = untrained(config, seed).trunk
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            load_weights(path, trunk)
            return trunk
        trained = pretrain(config, seed, progress)
        save_weights(path, trained.model.trunk, {"accuracy": trained.history[-1]["validation"]})
        return trained.model.trunk


def file_digest(path: str | Path) -> str:
    """Return what tells a file of weights from any other."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StsNetError(f"{path}: no such file of weights: {error.strerror}") from None


def list_digest(root: str | Path) -> str:
    """Return what tells the labelled pictures of a folder of AffectNet from any others."""
    listed = [(one.image.name, one.label) for one in list_affectnet(root)]
    return hashlib.sha256(repr(listed).encode()).hexdigest()


class StillNet(nn.Module):
    """Trunk, average over all places, and a classifier of expressions: the network of the second training."""

    def __init__(self, trunk: ResNet18, dropout: float = 0.2):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(trunk.channels, len(CLASSES)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, 8) of normalised pictures (N, 1, S, S)."""
        return self.head(self.trunk(images).mean(dim=(2, 3)))


def expression_stills(config: StsNetConfig, progress: bool | None = None) -> Stills:
    """Return the pictures of the second training: the licensed set if its folder is given, else drawn ones."""
    if config.affectnet:
        return read_affectnet(config.affectnet, config.crops.size)
    return drawn_stills(replace(config.stills, size=config.crops.size), progress)


def pretrain(config: StsNetConfig, seed: int, progress: bool | None = None) -> Trained[StillNet]:
    """Train the trunk on pictures of expressions; a tenth of the people judge it, and choose nothing."""
    assert config.pretrain is not None  # else nobody asks
    stills = expression_stills(config, progress)
    with seeded(seed, 6):
        model = StillNet(untrained(config, seed).trunk)
    if config.weights:
        load_resnet18(model.trunk, config.weights)
    people = np.random.default_rng([seed, 6]).permutation(stills.person.max() + 1)
    apart = max(1, len(people) // 10)
    return train(
        model,
        StillSamples(stills, config, people[apart:]),
        cross_entropy,
        config.pretrain,
        seed,
        validation=StillSamples(stills, config, people[:apart]),
        progress=progress,
        title="expression stills",
    )


@dataclass(frozen=True)
class Fitted:
    """The networks with what was chosen on the training subjects.

    trainings : one per part of the training subjects
    weights : of ME and MaE in the decision
    judged : out-of-part scores of every training video, from which the weights come
    """

    config: StsNetConfig
    trainings: tuple[Trained[StsNet], ...]
    weights: dict[str, float]
    judged: dict[str, Curves]

    @property
    def models(self) -> tuple[StsNet, ...]:
        """Return the networks."""
        return tuple(training.model for training in self.trainings)

    def score(self, video: Video) -> Curves:
        """Return the probabilities of ME and MaE in a video, of any dataset and frame rate."""
        return score_video(self.models, video, self.config)

    def spot(self, scores: Curves) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_labels(scores, self.weights, self.config)

    def settings(self) -> dict[str, Any]:
        """Return all that `spot_stored` needs to spot as `spot` does."""
        weights = {f"weight_{kind.lower()}": self.weights[kind] for kind in KINDS}
        return weights | {name: getattr(self.config, name) for name in _POST}


_POST = ("post", "gap_s", "shortest_s")


def spot_stored(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> list[Interval]:
    """Return the intervals of a video from its probabilities (T, 2).

    settings : as `Fitted.settings` returns them, which spots as `Fitted.spot` does, or changed
    """
    weights = {kind: settings[f"weight_{kind.lower()}"] for kind in KINDS}
    config = StsNetConfig.quick(**{name: settings[name] for name in _POST})
    return spot_labels(stored_curves(stored, fps, settings), weights, config)


def stored_curves(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> Curves:
    """Return the curves of a video from which `spot_stored` takes its labels."""
    return Curves(fps, stored.astype(np.float64))


def fit(
    train_manifest: Manifest,
    config: StsNetConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Train on the videos of a manifest, which holds the training subjects and nobody else.

    The subjects are dealt into parts. For each part a network is trained on the others; the part chooses its epoch, and
    is scored by it. So every training video has scores of a network that has not seen its person, and the decision is
    chosen on those. A new video gets the mean of the networks.

    folder : of checkpoints, for a training that may be interrupted.
    """
    trunk = None if config.pretrain is None else pretrained_trunk(config, 0, progress)
    parts = subject_parts(train_manifest, min(config.parts, len(train_manifest.subjects)), seed)
    calls = [(train_manifest, parts, number, trunk, config, seed, folder) for number in range(len(parts))]
    learnt = side_by_side(_learnt, calls, device=config.train.device, progress=progress)
    trainings = tuple(training for training, _ in learnt)
    judged = {uid: curves for _, found in learnt for uid, curves in found.items()}
    truth = {uid: train_manifest.truth(uid) for uid in judged}
    return Fitted(config, trainings, choose_weights(judged, truth, config), judged)


def _learnt(
    manifest: Manifest,
    parts: Sequence[Sequence[str]],
    number: int,
    trunk: nn.Module | None,
    config: StsNetConfig,
    seed: int,
    folder: str | Path | None,
    progress: bool | None,
) -> tuple[Trained[StsNet], dict[str, Curves]]:
    """Return the network that has not seen one part, and its scores of that part."""
    part = parts[number]
    others, apart = parted(manifest, part)
    model = untrained(config, seed + number)
    if trunk is not None:
        model.trunk.load_state_dict(trunk.state_dict())
    training = train(
        model,
        WindowSamples(others, config),
        cross_entropy,
        config.train,
        seed + number,
        validation=WindowSamples(apart, config, every=3) if len(parts) > 1 else None,
        folder=None if folder is None else Path(folder) / f"part-{number}",
        progress=progress,
        title=f"network {number + 1} of {len(parts)}",
    )
    return training, {uid: score_video((training.model,), apart.video(uid), config) for uid in part}
