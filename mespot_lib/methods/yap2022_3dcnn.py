"""3D-CNN with temporal oriented reference frame (Yap et al., ACM MM 2022, doi 10.1145/3503161.3551570).

    face crops -> local contrast -> two pairs: the frame and a reference a short, and one a long skip away
    -> two streams with shared weights -> ME and MaE, a sigmoid each -> smoothed curves -> ROC threshold -> intervals

The short skip is half the length of a mean ME, the long one half that of a mean MaE: then the frame stands at the
height of the expression and the reference at rest. No code of the paper is public. What it leaves open is decided here
and listed in notebook 20, "Where we had to choose".

Fed with pairs of pictures as printed, the network hardly learns movements: they are a fiftieth, in energy, of what
stands still in both pictures and tells people apart. `input` chooses:

    as_printed        the pair (frame, reference) as two slices in time
    difference        frame minus reference, one slice
    mean_difference   the pair in another basis: mean and difference, two slices with the information of two
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from mespot_lib import spot
from mespot_lib.curves import (
    RIVALS,
    Curves,
    Threshold,
    choose_by_f1,
    choose_by_youden,
    labels_at,
    on_axis,
    spot_curves,
)
from mespot_lib.face import CROP_UNITS
from mespot_lib.features.crops import CropRecipe, FaceCrops, face_crops
from mespot_lib.features.motion import sampling_step
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video, half_windows
from mespot_lib.train import TrainConfig, Trained, parted, seeded, side_by_side, subject_parts, train

# slices x (frame, reference): what the streams see of a pair
_SLICES = {
    "as_printed": ((1.0, 0.0), (0.0, 1.0)),
    "difference": ((1.0, -1.0),),
    "mean_difference": ((0.5, 0.5), (1.0, -1.0)),
}
_SIDES = {"future": (1,), "past": (-1,), "both": (1, -1)}
_FLAT = 1e-9  # as in `mespot_lib.features.lcn`
_BLOCK, _BATCH = 512, 128  # samples whose maps are held, and samples scored, at a time


# What the paper prints of `Fitted.settings`: runs of any length, and no word on an ME and an MaE in one place.
PRINTED_SETTINGS: Mapping[str, Any] = {
    "me_shortest_s": 0.0,
    "me_longest_s": None,
    "mae_shortest_s": 0.0,
    "mae_longest_s": None,
    "t_nms": 1.0,
    "normalise": True,
}


@dataclass(frozen=True)
class Yap3dCnnConfig:
    """Settings; skips in seconds, so that one setting serves every frame rate.

    crops : how the face is cut out; train : the optimiser loop
    input : what a stream sees of its pair, see the module's first lines
    reference : on which side of the frame the reference lies; "both" averages the two at test time
    lcn : local contrast normalisation in front; lcn_sigma_u : its window, standard deviation in u
    widths, strides : channels and spatial stride of the three blocks; dropout : share of channels
    regions : the last block is averaged over each of regions x regions parts of the face; 1 is the global average
    short_skip_s, long_skip_s : ranges of the random skips in training (Table 1: 3 to 9 and 16 to 50 frames at 30 fps)
    oriented : whether the streams have skips of their own; off, both draw from one range and use one k
    loss : "plain" cross-entropy; "weighted", equation (2) with its sign corrected; "as_printed", equation (2)
    positive_weight, kind_weights : W and M of equation (2)
    shares : of neutral, ME and MaE frames in an epoch; None takes the frames as they come
    contrast, gamma, gain : ranges of the augmentation; flip : probability; rotation_deg : largest angle
    parts : groups the training subjects are dealt into; one network per group, trained on the others and judged on it
    low_pass_hz : cut-off of the Butterworth filter; normalise : bring the curves of each video to 0..1 (the paper does)
    thresholds : "roc", one per kind, by Youden's J; or "f1", two per kind, by F1 on the training subjects: how far an
        interval reaches, and how high its curve must rise
    durations_s : shortest and longest run of each kind
    """

    crops: CropRecipe
    train: TrainConfig
    input: Literal["as_printed", "difference", "mean_difference"] = "difference"
    reference: Literal["future", "past", "both"] = "both"
    lcn: bool = True
    lcn_sigma_u: float = 10.0
    widths: tuple[int, int, int] = (16, 32, 32)
    strides: tuple[int, int, int] = (2, 2, 1)
    dropout: float = 0.1
    regions: int = 1
    short_skip_s: tuple[float, float] = (0.1, 0.3)
    long_skip_s: tuple[float, float] = (0.53, 1.67)
    oriented: bool = True
    loss: Literal["plain", "weighted", "as_printed"] = "plain"
    positive_weight: float = 3.0
    kind_weights: Mapping[str, float] = field(default_factory=lambda: {"ME": 0.9, "MaE": 0.1})
    shares: tuple[float, float, float] | None = (0.44, 0.28, 0.28)
    contrast: tuple[float, float] = (0.5, 1.5)
    gamma: tuple[float, float] = (0.5, 1.5)
    gain: tuple[float, float] = (0.5, 1.5)
    flip: float = 0.5
    rotation_deg: float = 10.0
    parts: int = 3
    low_pass_hz: float = 3.0
    normalise: bool = False
    thresholds: Literal["roc", "f1"] = "f1"
    durations_s: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"ME": (0.1, 0.6), "MaE": (0.4, np.inf)}
    )

    @classmethod
    def paper(cls, **changes: Any) -> "Yap3dCnnConfig":
        """Return the printed sizes: 112 px, every frame; widths and epochs, which are not printed, for a GPU."""
        loop = TrainConfig(
            epochs=40, batch_size=64, learning_rate=1e-3, schedule="one_cycle", weight_decay=1e-3, patience=10
        )
        recipe = CropRecipe(rate_hz=200.0, size=112)
        return replace(cls(recipe, loop, widths=(32, 64, 64), dropout=0.2), **changes)

    @classmethod
    def quick(cls, **changes: Any) -> "Yap3dCnnConfig":
        """Return the same in small: 48 px, some 30 frames per second, a few thousand batches; for a CPU."""
        loop = TrainConfig(
            epochs=8,
            batch_size=32,
            batches_per_epoch=100,
            learning_rate=3e-3,
            schedule="one_cycle",
            weight_decay=1e-3,
        )
        return replace(cls(CropRecipe(), loop), **changes)

    def as_printed(self) -> "Yap3dCnnConfig":
        """Return the same size with everything the paper says taken literally (the sign of its loss apart)."""
        return replace(
            self,
            crops=replace(self.crops, align="detected"),
            input="as_printed",
            reference="future",
            loss="weighted",
            shares=None,
            normalise=True,
            thresholds="roc",
            durations_s=dict.fromkeys(KINDS, (0.0, np.inf)),
        )


# ---------------------------------------------------------------------------------------------------------------------
# The network


class LocalContrast(nn.Module):
    """Equation (1) as a layer, equal to `mespot_lib.features.lcn.lcn`; nothing in it is trained.

    The Gaussian is separable, so a blur is a product with one (S, S) matrix from the left and from the right; the
    reflection at the borders is in the matrix.
    """

    blur: Tensor

    def __init__(self, size: int, sigma_px: float):
        super().__init__()
        reach = round(sigma_px * 8 + 1) // 2  # the window OpenCV takes for floats
        taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma_px) ** 2)
        taps /= taps.sum()
        place = torch.arange(size)[:, None] + torch.arange(-reach, reach + 1)
        place = torch.where(place < 0, -1 - place, place) % (2 * size)  # mirrored about the edge of the image
        place = torch.where(place >= size, 2 * size - 1 - place, place)
        blur = torch.zeros(size, size, dtype=torch.float64)
        blur.scatter_add_(1, place, taps.expand(size, -1).contiguous())
        self.register_buffer("blur", blur.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images, (..., S, S) as given."""
        above = images - images.mean(dim=(-2, -1), keepdim=True)
        above = above - self._blurred(above)
        deviation = self._blurred(above**2).clamp_min(0).sqrt()
        floor = deviation.mean(dim=(-2, -1), keepdim=True).clamp_min(_FLAT)
        return above / torch.maximum(deviation, floor)

    def _blurred(self, images: Tensor) -> Tensor:
        blur = self.blur.to(images.dtype)
        return blur @ images @ blur.T


Folded = Sequence[tuple[Tensor, Tensor]]  # of each block, see `SeparableBlock.folded`


class SeparableBlock(nn.Module):
    """Depthwise-separable 3-D convolution (3 x 3 x 3, then 1 x 1 x 1), batch norm, ReLU, dropout of channels.

    PyTorch's depthwise 3-D convolution is slow to train on CPUs. With one or two slices in time, padded by one, it is a
    sum of two-dimensional ones: slice d of the output is sum_j W_j * slice d + j - 1 of the input. That is what is done
    here, with the weights of the 3-D form: `depthwise` (3, C_in * multiplier, 1, 3, 3), first index time.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, dropout: float, multiplier: int = 1):
        super().__init__()
        inner = channels_in * multiplier
        self.groups, self.stride = channels_in, stride
        self.depthwise = nn.Parameter(torch.randn(3, inner, 1, 3, 3) / 3)
        self.pointwise = nn.Parameter(torch.randn(channels, inner) * (2 / inner) ** 0.5)
        self.norm = nn.BatchNorm3d(channels)
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, D, H, W) to (N, C, D, H / stride, W / stride); D is 1 or 2."""
        return self.dropout(self.norm(self.convolved(x)).relu_())

    def convolved(self, x: Tensor) -> Tensor:
        """Return the separable convolution alone."""
        slices = self._convolved(x.unbind(2), self.pointwise, None)
        stacked = slices[0].unsqueeze(2) if len(slices) == 1 else torch.stack(slices, dim=2)
        return stacked.contiguous(
            memory_format=torch.channels_last_3d
        )  # in which the norm takes half the time

    def at_test_time(self, slices: Sequence[Tensor], folded: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Return what `forward` does in evaluation mode, slice by slice, each (N, C_in, H, W)."""
        return [x.relu_() for x in self._convolved(slices, *folded)]

    def _convolved(self, slices: Sequence[Tensor], pointwise: Tensor, shifts: Tensor | None) -> list[Tensor]:
        out = []
        for d in range(len(slices)):
            if self.groups == 1:  # separable and full convolution are one, and one is faster
                kernels = self.full_kernels(pointwise)
                parts = [
                    nnf.conv2d(x, kernels[s - d + 1], stride=self.stride, padding=1)
                    for s, x in enumerate(slices)
                ]
                summed = sum(parts[1:], parts[0])
                out.append(summed if shifts is None else summed + shifts[:, None, None])
            else:
                parts = [self._depthwise(x, s - d + 1) for s, x in enumerate(slices)]
                out.append(nnf.conv2d(sum(parts[1:], parts[0]), pointwise[:, :, None, None], shifts))
        return out

    def full_kernels(self, pointwise: Tensor) -> Tensor:
        """Return the kernels (3, C, 1, 3, 3) of the full convolution that a block with one input channel amounts to."""
        return torch.einsum("om,jmihw->joihw", pointwise, self.depthwise)

    def _depthwise(self, x: Tensor, tap: int) -> Tensor:
        return nnf.conv2d(x, self.depthwise[tap], stride=self.stride, padding=1, groups=self.groups)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return pointwise weights (C, C_in * multiplier) and shifts (C,) that do batch norm at test time too."""
        mean, variance = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        return self.pointwise * scale[:, None], self.norm.bias - mean * scale


class Yap3dCnn(nn.Module):
    """The network of Figure 1: local contrast, two streams of three blocks sharing weights, residual dense layer."""

    slices: Tensor

    def __init__(self, config: Yap3dCnnConfig):
        super().__init__()
        size = config.crops.size
        sigma = config.lcn_sigma_u * size / CROP_UNITS
        self.contrast = LocalContrast(size, sigma) if config.lcn else _GreyLevels()
        first, second, third = config.widths
        self.blocks = nn.Sequential(
            SeparableBlock(1, first, config.strides[0], config.dropout, multiplier=first),
            SeparableBlock(first, second, config.strides[1], config.dropout),
            SeparableBlock(second, third, config.strides[2], config.dropout),
        )
        self.register_buffer("slices", torch.tensor(_SLICES[config.input]), persistent=False)
        self.regions = config.regions
        features = 2 * third * config.regions**2
        self.dense = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))
        self.output = nn.Linear(features, len(KINDS))

    @property
    def separable(self) -> tuple[SeparableBlock, ...]:
        """Return the blocks, of which `nn.Sequential` knows no more than that they are modules."""
        return tuple(cast(SeparableBlock, block) for block in self.blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ME and MaE (N, 2) of grey images (N, 3, S, S): frame, short and long reference."""
        frame, short, long = self.contrast(images).unbind(1)
        # both streams in one batch: they share the statistics of batch norm too
        features = self.stream(torch.cat([frame, frame]), torch.cat([short, long]))
        return self.joined(*features.chunk(2))

    def stream(self, frame: Tensor, reference: Tensor) -> Tensor:
        """Return the features (N, C) of pairs of normalised images (N, S, S): averages of the last block."""
        pairs = torch.stack([frame, reference], dim=1)
        mixed = torch.einsum("dr,nrhw->ndhw", self.slices, pairs)
        return self._averages(self.blocks(mixed[:, None]).mean(dim=2))

    def _averages(self, maps: Tensor) -> Tensor:
        """Return the averages of maps (N, C, h, w) over parts of the face, (N, C regions^2)."""
        return nnf.adaptive_avg_pool2d(maps, self.regions).flatten(1)

    def joined(self, short: Tensor, long: Tensor) -> Tensor:
        """Return the logits (N, 2) from the features of both streams (N, C): residual dense layer and output."""
        features = torch.cat([short, long], dim=1)
        return self.output(features + self.dense(features))

    def patches(self, normalised: Tensor) -> Tensor:
        """Return the 3 x 3 surroundings of each place of the first block's output, (N, h, w, 9) of images (N, S, S)."""
        padded, side = nnf.pad(normalised, (1, 1, 1, 1)), normalised.shape[-1]
        stride = self.separable[0].stride
        shifted = [
            padded[:, y : y + side : stride, x : x + side : stride] for y in range(3) for x in range(3)
        ]
        return torch.stack(shifted, dim=-1)

    def frame_maps(self, patches: Tensor, folded: Folded) -> tuple[Tensor, Tensor]:
        """Return what the first block makes of single images, as frame and as reference: (N, D C, h, w) each.

        Up to the ReLU everything is linear in the two images of a pair, so their parts are computed once per image and
        added for each pair. As a product of matrices, so that the channels lie last in memory: on CPUs that is several
        times faster, here and in what follows.
        """
        weights, shifts = folded[0]
        kernels = self.separable[0].full_kernels(weights)
        depth = len(self.slices)
        maps = []
        for role, bias in enumerate((shifts.repeat(depth), torch.zeros_like(shifts).repeat(depth))):
            mixed = [
                cast(Tensor, sum(self.slices[s, role] * kernels[s - d + 1] for s in range(depth)))
                for d in range(depth)
            ]
            maps.append(nnf.linear(patches, torch.cat(mixed).flatten(1), bias).permute(0, 3, 1, 2))
        return maps[0], maps[1]

    def stream_of_maps(self, frame: Tensor, reference: Tensor, folded: Folded) -> Tensor:
        """Return the features (N, C) of pairs from the maps (N, D C, h, w) of their images; at test time only."""
        slices: Sequence[Tensor] = (frame + reference).relu_().chunk(len(self.slices), dim=1)
        for block, ready in zip(self.separable[1:], folded[1:], strict=True):
            slices = block.at_test_time(slices, ready)
        return self._averages(sum(slices[1:], slices[0]) / len(slices))


class _GreyLevels(nn.Module):
    """In place of local contrast: grey levels from 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 255


def parameter_counts(model: Yap3dCnn) -> dict[str, int]:
    """Return how many numbers are trained: as built, and with full 3-D convolutions in place of the separable ones."""
    built = sum(p.numel() for p in model.parameters())
    separable = sum(block.depthwise.numel() + block.pointwise.numel() for block in model.separable)
    full = sum(27 * block.groups * block.pointwise.shape[0] for block in model.separable)
    return {"depthwise separable": built, "full 3-D convolutions": built - separable + full}


# ---------------------------------------------------------------------------------------------------------------------
# The loss


def weighted_loss(
    logits: Tensor, labels: Tensor, positive_weight: float, kind_weights: Sequence[float], sign: int = 1
) -> Tensor:
    """Return equation (2), a mean over the batch: - sum_i M_i [W t_i log s_i + sign (1 - t_i) log(1 - s_i)].

    Printed is sign = -1. Then a neutral frame adds M log(1 - s), which falls without end as s goes to 1: the loss is
    lowest when all that is neutral is called an expression. Cross-entropy has sign = +1.
    """
    weights = torch.as_tensor(kind_weights, dtype=logits.dtype, device=logits.device)
    hits = positive_weight * labels * nnf.logsigmoid(logits)
    quiet = (1 - labels) * nnf.logsigmoid(-logits)
    return -(weights * (hits + sign * quiet)).sum(dim=1).mean()


def loss_of(config: Yap3dCnnConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss that a configuration names, of (logits, labels)."""
    if config.loss == "plain":
        return lambda logits, labels: weighted_loss(logits, labels, 1.0, (0.5, 0.5))
    weights = [config.kind_weights[kind] for kind in KINDS]
    sign = 1 if config.loss == "weighted" else -1
    return lambda logits, labels: weighted_loss(logits, labels, config.positive_weight, weights, sign)


# ---------------------------------------------------------------------------------------------------------------------
# Samples


def prepare(video: Video, profile: str) -> None:
    """Cut the faces out of a video, into the cache: what every fold needs of it."""
    face_crops(video, getattr(Yap3dCnnConfig, profile)().crops)


def partners(crops: FaceCrops, at: np.ndarray, skip: np.ndarray | int) -> np.ndarray:
    """Return the samples (N,) nearest to `skip` frames (N,) after the samples `at`; a negative skip lies before.

    Where the video, or the stretch within which crops can be compared, ends too early, the reference is taken on the
    other side, and if that is impossible too, at the end.
    """
    first = np.searchsorted(crops.stretch, crops.stretch[at], "left")
    last = np.searchsorted(crops.stretch, crops.stretch[at], "right") - 1
    low, high = crops.frames[first], crops.frames[last]
    place = crops.frames[at]
    goal = place + skip
    goal = np.where((goal < low) | (goal > high), place - skip, goal)
    return np.clip(_nearest(crops.frames, goal), first, last)


def _nearest(frames: np.ndarray, goal: np.ndarray) -> np.ndarray:
    after = np.clip(np.searchsorted(frames, goal), 1, len(frames) - 1) if len(frames) > 1 else goal * 0
    before = np.maximum(after - 1, 0)
    return np.where(goal - frames[before] <= frames[after] - goal, before, after)


class Pairs:
    """Frames of some videos with their references, drawn by index from the mapped crops (`train.Samples`)."""

    def __init__(
        self, manifest: Manifest, config: Yap3dCnnConfig, skips_s: tuple[float, float], every: int = 1
    ):
        """Take all frames; with `every`, each so many-th of an expression and as many neutral ones (to judge by)."""
        self.config, self.skips_s = config, skips_s
        self.videos = [manifest.video(uid) for uid in manifest.uids]
        self.crops = [face_crops(video, config.crops) for video in self.videos]
        lengths = [len(crops.frames) for crops in self.crops]
        self.owner = np.repeat(np.arange(len(lengths)), lengths)
        self.place = np.concatenate([np.arange(n) for n in lengths]) if lengths else np.empty(0, dtype=int)
        labels = [
            labels_at(c.frames, manifest.truth(uid)) for uid, c in zip(manifest.uids, self.crops, strict=True)
        ]
        self.labels = np.concatenate(labels) if labels else np.empty((0, len(KINDS)), np.float32)
        if every > 1:
            expressive = self.labels.any(axis=1)
            taken, rest = np.flatnonzero(expressive)[::every], np.flatnonzero(~expressive)
            apart = max(1, len(rest) // max(len(taken), 1))
            kept = np.concatenate([taken, rest[::apart]])
            self.owner, self.place, self.labels = self.owner[kept], self.place[kept], self.labels[kept]

    def __len__(self) -> int:
        return len(self.place)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the samples of an epoch: all, shuffled, or as many with the configured shares of the kinds."""
        if self.config.shares is None:
            return rng.permutation(len(self))
        kind = np.where(self.labels[:, 0] > 0, 1, np.where(self.labels[:, 1] > 0, 2, 0))
        share = np.array(self.config.shares)
        present = np.bincount(kind, minlength=3)
        chance = np.where(present > 0, share / np.maximum(present, 1), 0)[kind]
        return rng.choice(len(self), size=len(self), p=chance / chance.sum())

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return images (B, 3, S, S) and labels (B, 2); without rng the skips of testing and no augmentation."""
        sides = np.array(_SIDES[self.config.reference])
        if rng is None:
            side, skips = sides[index % len(sides)], [np.full(len(index), s) for s in self.skips_s]
        else:
            side = rng.choice(sides, len(index))
            skips = [rng.uniform(*ends, len(index)) for ends in self._skip_ranges()]
        images = torch.from_numpy(self._images(index, side, skips)).float()
        if rng is not None:
            images = augment(images, self.config, rng)
        return (images,), torch.from_numpy(self.labels[index])

    def _skip_ranges(self) -> tuple[tuple[float, float], ...]:
        ranges = (self.config.short_skip_s, self.config.long_skip_s)
        return ranges if self.config.oriented else ((ranges[0][0], ranges[1][1]),) * 2

    def _images(self, index: np.ndarray, side: np.ndarray, skips: Sequence[np.ndarray]) -> np.ndarray:
        size = self.config.crops.size
        images = np.empty((len(index), 3, size, size), dtype=np.float16)
        for owner in np.unique(self.owner[index]):
            rows = np.flatnonzero(self.owner[index] == owner)
            crops, at, fps = self.crops[owner], self.place[index[rows]], self.videos[owner].fps
            images[rows, 0] = crops.crops[at]
            for slot, skip_s in enumerate(skips, start=1):
                skip = side[rows] * np.maximum(1, np.round(skip_s[rows] * fps)).astype(np.int64)
                images[rows, slot] = crops.crops[partners(crops, at, skip)]
        return images


def augment(images: Tensor, config: Yap3dCnnConfig, rng: np.random.Generator) -> Tensor:
    """Return images (B, K, S, S), 0 to 255, changed at random, the K images of a sample alike.

    Contrast about the mean, gamma and gain as printed; nothing is clipped at white, which a camera would do but which
    destroys what local contrast restores. Then flips and rotations.
    """
    count = len(images)
    draw = [
        torch.from_numpy(rng.uniform(*ends, count).astype(np.float32)).view(-1, 1, 1, 1)
        for ends in (config.contrast, config.gamma, config.gain)
    ]
    unit = images / 255
    mean = unit.mean(dim=(1, 2, 3), keepdim=True)
    unit = draw[2] * ((unit - mean) * draw[0] + mean).clamp_min(1e-3) ** draw[1]
    angle = torch.from_numpy(np.deg2rad(rng.uniform(-1, 1, count) * config.rotation_deg).astype(np.float32))
    mirror = torch.from_numpy(np.where(rng.random(count) < config.flip, -1, 1).astype(np.float32))
    cos, sin, nil = torch.cos(angle), torch.sin(angle), torch.zeros(count)
    turn = torch.stack(
        [torch.stack([mirror * cos, -sin, nil], 1), torch.stack([mirror * sin, cos, nil], 1)], 1
    )
    grid = nnf.affine_grid(turn, list(images.shape), align_corners=False)
    return 255 * nnf.grid_sample(unit, grid, padding_mode="border", align_corners=False)


# ---------------------------------------------------------------------------------------------------------------------
# Scoring


def sample_logits(
    models: Sequence[Yap3dCnn], crops: FaceCrops, skips: tuple[int, int], reference: str
) -> np.ndarray:
    """Return the logits (N, 2) of all samples of a video, mean over the networks and the sides of the reference.

    Local contrast is computed once per image and the first block once per image and network, and held as long as a
    frame within reach refers to it.
    """
    device = next(models[0].parameters()).device
    logits = np.empty((len(crops.frames), len(KINDS)), dtype=np.float32)
    folded = [[block.folded() for block in model.separable] for model in models]
    for block, maps, first in _held_maps(models, folded, crops, skips, reference, device):
        for rows in np.split(block, range(_BATCH, len(block), _BATCH)):
            refs = _references(crops, rows, skips, reference)
            each = [
                _joined(model, ready, held, rows - first, pair - first)
                for model, ready, held in zip(models, folded, maps, strict=True)
                for pair in refs
            ]
            logits[rows] = torch.stack(each).mean(dim=0).cpu().numpy()
    return logits


def _references(
    crops: FaceCrops, rows: np.ndarray, skips: tuple[int, int], reference: str
) -> list[np.ndarray]:
    """Return the short and the long reference of samples (N,), (2, N) for each side."""
    return [np.stack([partners(crops, rows, side * skip) for skip in skips]) for side in _SIDES[reference]]


def _joined(
    model: Yap3dCnn, folded: Folded, held: tuple[Tensor, ...], rows: np.ndarray, references: np.ndarray
) -> Tensor:
    frame = _taken(held[0], rows)
    return model.joined(*(model.stream_of_maps(frame, _taken(held[1], one), folded) for one in references))


def _taken(maps: Tensor, index: np.ndarray) -> Tensor:
    """Return some of the maps; neighbours, as they mostly are, without copying them."""
    if index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return maps[index[0] : index[-1] + 1]
    return maps[index]


def _held_maps(
    models: Sequence[Yap3dCnn],
    folded: Sequence[Folded],
    crops: FaceCrops,
    skips: tuple[int, int],
    reference: str,
    device: torch.device,
) -> Iterator[tuple[np.ndarray, list[tuple[Tensor, ...]], int]]:
    """Yield blocks of samples with the maps of all they refer to: samples, maps per network, first sample of these."""
    total, first, ready = len(crops.frames), 0, 0
    maps: list[tuple[Tensor, ...]] = [() for _ in models]
    for block in np.split(np.arange(total), range(_BLOCK, total, _BLOCK)):
        everything = np.concatenate([block, *_references(crops, block, skips, reference)], axis=None)
        low, high = min(everything.min(), ready), max(everything.max() + 1, ready)
        fresh: list[tuple[Tensor, ...]] = [() for _ in models]
        if high > ready:
            grey = torch.from_numpy(crops.crops[ready:high].astype(np.float32)).to(device)
            patches = models[0].patches(models[0].contrast(grey))
            fresh = [model.frame_maps(patches, one) for model, one in zip(models, folded, strict=True)]
        for number in range(len(models)):
            kept = tuple(old[max(0, low - first) :] for old in maps[number])
            parts = [part for part in (kept, fresh[number]) if part]
            maps[number] = tuple(
                torch.cat(same) if len(same) > 1 else same[0] for same in zip(*parts, strict=True)
            )
        first, ready = max(low, first), high
        yield block, maps, first


def sample_logits_plainly(
    models: Sequence[Yap3dCnn], crops: FaceCrops, skips: tuple[int, int], reference: str
) -> np.ndarray:
    """Return what `sample_logits` does, the straightforward way: every sample with its own images from the start."""
    logits = np.empty((len(crops.frames), len(KINDS)), dtype=np.float32)
    for start in range(0, len(logits), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(logits)))
        each = []
        for pair in _references(crops, rows, skips, reference):
            places = [rows, *pair]
            images = torch.from_numpy(np.stack([crops.crops[p] for p in places], axis=1).astype(np.float32))
            each += [model(images.to(next(model.parameters()).device)) for model in models]
        logits[rows] = torch.stack(each).mean(dim=0).cpu().numpy()
    return logits


def score_video(
    models: Sequence[Yap3dCnn], video: Video, config: Yap3dCnnConfig, skips_s: tuple[float, float]
) -> Curves:
    """Return the curves of a video, smoothed without delay."""
    return smoothed(raw_curves(models, video, config, skips_s), config.low_pass_hz, config.normalise)


def raw_curves(
    models: Sequence[Yap3dCnn], video: Video, config: Yap3dCnnConfig, skips_s: tuple[float, float]
) -> Curves:
    """Return the curves of a video before smoothing, to the precision with which they are stored."""
    crops = face_crops(video, config.crops)
    short, long = (max(1, spot.to_frames(skip_s, video.fps)) for skip_s in skips_s)
    skips = (short, long)
    with torch.inference_mode():
        logits = sample_logits(models, crops, skips, config.reference)
    values = 1 / (1 + np.exp(-logits.astype(np.float64)))
    # a one-sided pair is strongest halfway between its frames
    halfway = {"future": 0.5, "past": -0.5, "both": 0.0}[config.reference]
    step = sampling_step(video.fps, config.crops.rate_hz)
    curves = [
        on_axis(crops.frames + halfway * skip, values[:, c], video.length, step)
        for c, skip in enumerate(skips)
    ]
    return Curves(video.fps, np.stack(curves, axis=1).astype(np.float32).astype(np.float64))


def smoothed(raw: Curves, low_pass_hz: float, normalise: bool) -> Curves:
    """Return curves without what is faster than the cut-off, and if asked brought to 0..1 in the video."""
    smooth = spot.smooth(raw.curves, raw.fps, low_pass_hz=low_pass_hz)
    if normalise:
        low, high = np.nanmin(smooth, axis=0), np.nanmax(smooth, axis=0)
        smooth = (smooth - low) / np.maximum(high - low, 1e-9)
    return Curves(raw.fps, smooth)


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


@dataclass(frozen=True)
class Fitted:
    """The networks with what was chosen on the training subjects.

    trainings : one per part of the training subjects; skips_s : k of the short and the long pair, in seconds
    judged : out-of-part scores and labels of every training video, from which the thresholds come
    """

    config: Yap3dCnnConfig
    trainings: tuple[Trained[Yap3dCnn], ...]
    skips_s: tuple[float, float]
    thresholds: dict[str, Threshold]
    judged: dict[str, Curves]

    @property
    def models(self) -> tuple[Yap3dCnn, ...]:
        """Return the networks."""
        return tuple(training.model for training in self.trainings)

    def score(self, video: Video) -> Curves:
        """Return the curves of a video, of any dataset and frame rate."""
        return score_video(self.models, video, self.config, self.skips_s)

    def raw(self, video: Video) -> Curves:
        """Return the curves before smoothing, which is what a run stores."""
        return raw_curves(self.models, video, self.config, self.skips_s)

    def spot(self, scores: Curves) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_curves(scores, self.thresholds, self.config.durations_s, t_nms=self._t_nms)

    @property
    def _t_nms(self) -> float:
        return RIVALS if self.config.thresholds == "f1" else 1.0

    def settings(self) -> dict[str, Any]:
        """Return all that `spot_stored` needs to spot as `spot` does."""
        levels: dict[str, float] = {}
        lasting: dict[str, float | None] = {}
        for kind in KINDS:
            shortest, longest = self.config.durations_s[kind]
            ends = (shortest, longest if np.isfinite(longest) else None)
            names = ("shortest", "longest")
            levels |= {f"{kind.lower()}_{name}": v for name, v in self.thresholds[kind]._asdict().items()}
            lasting |= {f"{kind.lower()}_{name}_s": v for name, v in zip(names, ends, strict=True)}
        smoothing = {"low_pass_hz": self.config.low_pass_hz, "normalise": self.config.normalise}
        return {**levels, **smoothing, **lasting, "t_nms": self._t_nms}


def spot_stored(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> list[Interval]:
    """Return the intervals of a video from its raw curves (T, 2).

    settings : as `Fitted.settings` returns them, which spots as `Fitted.spot` does, or changed; a longest duration of
        None is no limit
    """
    scores = stored_curves(stored, fps, settings)
    thresholds, durations_s = {}, {}
    for kind in KINDS:
        extent, peak = (settings[f"{kind.lower()}_{name}"] for name in Threshold._fields)
        thresholds[kind] = Threshold(extent, peak)
        longest = settings[f"{kind.lower()}_longest_s"]
        durations_s[kind] = (settings[f"{kind.lower()}_shortest_s"], np.inf if longest is None else longest)
    return spot_curves(scores, thresholds, durations_s, t_nms=settings["t_nms"])


def stored_curves(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> Curves:
    """Return the curves of a video that `spot_stored` puts its thresholds to."""
    values = np.ascontiguousarray(stored, dtype=np.float32).tobytes()
    return _smoothed_once(values, fps, settings["low_pass_hz"], settings["normalise"])


@functools.lru_cache(maxsize=256)  # whoever turns a threshold smooths no curve again
def _smoothed_once(values: bytes, fps: float, low_pass_hz: float, normalise: bool) -> Curves:
    raw = np.frombuffer(values, dtype=np.float32).reshape(-1, len(KINDS))
    return smoothed(Curves(fps, raw.astype(np.float64)), low_pass_hz, normalise)


def half_lengths_s(manifest: Manifest, config: Yap3dCnnConfig) -> tuple[float, float]:
    """Return k of both pairs in seconds: half the mean length of the ME and of the MaE; of absent ones mid-range."""
    fps = manifest.video(manifest.uids[0]).fps
    ranges = {"ME": config.short_skip_s, "MaE": config.long_skip_s}
    found = {
        kind: sum(ranges[kind]) / 2 if half is None else half / fps
        for kind, half in half_windows(manifest).items()
    }
    if not config.oriented:
        return (sum(found.values()) / 2,) * 2
    return found["ME"], found["MaE"]


def untrained(config: Yap3dCnnConfig, seed: int) -> Yap3dCnn:
    """Return a network with the random weights that a training with this seed begins with."""
    with seeded(seed, 5):
        return Yap3dCnn(config).eval()


def fit(
    train_manifest: Manifest,
    config: Yap3dCnnConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Train on the videos of a manifest, which holds the training subjects and nobody else.

    The subjects are dealt into parts. For each part a network is trained on the others; the part chooses its epoch, and
    is scored by it. So every training video has scores of a network that has not seen its person, and the thresholds
    are chosen on those. A new video gets the mean of the networks. With a single subject, or one part, nobody is left
    to judge: the last epoch is taken, and the thresholds are chosen on what was learnt from.

    folder : of checkpoints, for a training that may be interrupted.
    """
    skips_s = half_lengths_s(train_manifest, config)
    parts = subject_parts(train_manifest, min(config.parts, len(train_manifest.subjects)), seed)
    calls = [(train_manifest, parts, number, config, skips_s, seed, folder) for number in range(len(parts))]
    learnt = side_by_side(_learnt, calls, device=config.train.device, progress=progress)
    trainings = tuple(training for training, _ in learnt)
    judged = {uid: curves for _, found in learnt for uid, curves in found.items()}
    truth = {uid: train_manifest.truth(uid) for uid in judged}
    return Fitted(config, trainings, skips_s, choose_thresholds(judged, truth, config), judged)


def _learnt(
    manifest: Manifest,
    parts: Sequence[Sequence[str]],
    number: int,
    config: Yap3dCnnConfig,
    skips_s: tuple[float, float],
    seed: int,
    folder: str | Path | None,
    progress: bool | None,
) -> tuple[Trained[Yap3dCnn], dict[str, Curves]]:
    """Return the network that has not seen one part, and its scores of that part."""
    part = parts[number]
    others, apart = parted(manifest, part)
    training = train(
        untrained(config, seed + number),
        Pairs(others, config, skips_s),
        loss_of(config),
        config.train,
        seed + number,
        validation=Pairs(apart, config, skips_s, every=3) if len(parts) > 1 else None,
        folder=None if folder is None else Path(folder) / f"part-{number}",
        progress=progress,
        title=f"network {number + 1} of {len(parts)}",
    )
    return training, {uid: score_video((training.model,), apart.video(uid), config, skips_s) for uid in part}


def choose_thresholds(
    judged: Mapping[str, Curves], truth: Mapping[str, Sequence[Interval]], config: Yap3dCnnConfig
) -> dict[str, Threshold]:
    """Choose the thresholds of both kinds on curves of videos whose truth may be seen."""
    if config.thresholds == "roc":
        return choose_by_youden(judged, truth)
    return choose_by_f1(judged, truth, config.durations_s)
