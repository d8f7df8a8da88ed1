"""MESNet (Wang et al., IEEE Transactions on Image Processing 2021, doi 10.1109/TIP.2021.3064258).

    dense flow of the face -> 2-D convolutions per frame: f -> 1-D convolutions over time: S
      S -> clip proposal network, five windows of 7 to 15 frames slide over the video -> proposals, p_cpn
      f of each proposal, brought to one length -> classification regression network -> p_crn, ends moved
    -> thresholds, non-maximum suppression -> ME

It spots micro-expressions only. No code of the paper is public; what it leaves open is decided here and listed in
notebook 30, "Where we had to choose". Places are counted in samples, about 30 per second; a place [a, b) begins with
sample a and ends before sample b.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from mespot_lib.clips import clip_windows, stitched
from mespot_lib.features.face_flow import FaceFlow, FaceFlowRecipe, face_flow
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, Video
from mespot_lib.proposals import PRINTED, Limits, Proposals, choose_limits, spot_proposals
from mespot_lib.train import Model, TrainConfig, Trained, parted, seeded, side_by_side, subject_parts, train

# Table II: kernel and dilation of the first and of the second layer of each sub-network
SUBNETS = (((3, 1), (1, 1)), ((3, 1), (3, 1)), ((3, 1), (3, 2)), ((3, 1), (3, 3)), ((3, 2), (3, 3)))
_BEFORE = 2  # samples of f before the first of S that a window sees: two convolutions of 3 (section III-A)
_CHANNELS = {"as_printed": 2, "displacement": 2, "both": 4}
_LAST = ("output", "crn.kind", "crn.ends", *(f"cpn.second.{number}" for number in range(len(SUBNETS))))
_AFTER_APEX_S = 0.2  # an MaE in the pre-training ends so long after its apex
_STEPS_OF_A_RISE = 5  # steps are so much smaller than the displacement of an ME
_JUDGED: dict[str, Any] = {"me_clips": 3, "mae_clips": 2, "none_clips": 1}  # enough to choose an epoch by
_FRAMES_AT_ONCE, _PROPOSALS_AT_ONCE = 512, 1024
_SAMPLES_HELD = 4096  # of features, at most half of which wait for places to be looked at


# What the paper prints of `Fitted.settings` (section IV-A): 0.5 for all three.
PRINTED_SETTINGS: Mapping[str, Any] = {f"t_{name}": value for name, value in PRINTED._asdict().items()}


@dataclass(frozen=True)
class MesNetConfig:
    """Settings; durations in seconds, so that one setting serves every frame rate.

    flow : how the flow of the face is measured; pretrain, train : the optimiser loop of the two trainings
    input : "as_printed", the flow between neighbouring samples; "displacement", its sum over time less the mean over
        `high_pass_s` around; or both
    knee_u : motion goes in as arcsinh(u / knee_u), straight below the knee and ever slower above it, because a blink
        moves the lids ten times as far as an ME anything
    widths : channels of the four 2-D convolutions (Table I); temporal, dense, dropout : as printed
    batch_norm : normalise after each convolution, which is not in the paper
    l2 : lambda of equations (8), (11), (12); shared : the CRN uses the 1-D convolutions of the backbone (Table VI)
    pretraining : whether there is one (Table V); n_pre, n_cr : samples of a clip in it, and of a proposal for the CRN
    none_ratio, mae_ratio, none_s : r_noL, r_MaE and l_noL of the pre-training
    starts, good_accuracy : random starts of the pre-training at most; one this good on the validation clips will do
    clip_s, overlap_s : length of the clips and of what neighbours share
    me_clips, mae_clips, none_clips : clips per ME and epoch, r_tME, r_tMaE and r_tNL
    negatives : non-ME windows in equation (11), "drawn" with the ratio of ME to non-ME as printed, or all of them,
        "weighted" with it
    most_proposals, drawn_proposals : per training clip the most probable ones, and ones at random around the ME
    flip, gain, shift, turn_deg, stretch : augmentation: mirrored or not, strength, place, tilt, speed
    disguised : share of clips around an MaE that show it as fast and weak as an ME, and of those around an ME that
        show it too slowly for one
    context : how much more than a proposal the CRN sees on either side, in lengths of the proposal
    split : "videos", 7 to 3 at random as printed, or "subjects", apart in parts; parts : networks per fold
    floor : proposals with less p_cpn are not kept; limits : "printed" or chosen by F1 on the validation videos
    """

    flow: FaceFlowRecipe
    pretrain: TrainConfig
    train: TrainConfig
    input: Literal["as_printed", "displacement", "both"] = "displacement"
    high_pass_s: float = 2.0
    knee_u: float = 0.3
    widths: tuple[int, int, int, int] = (8, 16, 32, 64)
    temporal: int = 128
    dense: int = 300
    dropout: float = 0.5
    batch_norm: bool = False
    l2: float = 0.01
    shared: bool = False
    pretraining: bool = True
    n_pre: int = 16
    n_cr: int = 16
    none_ratio: float = 1.0
    mae_ratio: float = 0.5
    none_s: float = 0.5
    starts: int = 3
    good_accuracy: float = 0.75
    clip_s: float = 10 / 3
    overlap_s: float = 2 / 3
    me_clips: int = 10
    mae_clips: int = 4
    none_clips: int = 2
    negatives: Literal["drawn", "weighted"] = "drawn"
    most_proposals: int = 16
    drawn_proposals: int = 8
    flip: float = 0.5
    gain: tuple[float, float] = (0.6, 1.6)
    shift: float = 0.06
    turn_deg: float = 8.0
    stretch: tuple[float, float] = (0.85, 1.2)
    disguised: float = 0.0
    context: float = 0.0
    split: Literal["videos", "subjects"] = "subjects"
    parts: int = 3
    floor: float = 0.1
    limits: Literal["printed", "f1"] = "f1"

    @classmethod
    def paper(cls, **changes: Any) -> "MesNetConfig":
        """Return the printed sizes and epochs: flow of 112 px, clips of 100 samples, batches of 2; for a GPU."""
        first = TrainConfig(epochs=10_000, batch_size=64, learning_rate=1e-4)
        second = TrainConfig(epochs=30, batch_size=2, learning_rate=1e-4)
        recipe = FaceFlowRecipe(size=224, cells=112)
        return replace(cls(recipe, first, second), **changes)

    @classmethod
    def quick(cls, **changes: Any) -> "MesNetConfig":
        """Return the same at 32 x 32, with shorter clips and far fewer, larger steps; for a CPU."""
        first = TrainConfig(
            epochs=6,
            batch_size=16,
            batches_per_epoch=8,
            learning_rate=1e-3,
            schedule="one_cycle",
            clip_norm=1.0,
        )
        second = TrainConfig(
            epochs=4,
            batch_size=4,
            batches_per_epoch=42,
            learning_rate=1e-3,
            schedule="one_cycle",
            clip_norm=1.0,
        )
        recipe = FaceFlowRecipe()
        return replace(
            cls(
                recipe,
                first,
                second,
                clip_s=2.0,
                starts=2,
                good_accuracy=0.65,
                l2=1e-4,
                me_clips=8,
                mae_clips=8,
                negatives="weighted",
                batch_norm=True,
                disguised=0.15,
                context=0.5,
            ),
            **changes,
        )

    def as_printed(self) -> "MesNetConfig":
        """Return the same size with everything the paper says taken literally."""
        return replace(
            self,
            flow=replace(self.flow, key_s=0.0),
            input="as_printed",
            batch_norm=False,
            l2=0.01,
            me_clips=10,
            mae_clips=4,
            none_clips=2,
            negatives="drawn",
            drawn_proposals=0,
            flip=0.0,
            gain=(1.0, 1.0),
            shift=0.0,
            turn_deg=0.0,
            stretch=(1.0, 1.0),
            disguised=0.0,
            context=0.0,
            split="videos",
            parts=1,
            limits="printed",
        )


# ---------------------------------------------------------------------------------------------------------------------
# Places


def window_lengths() -> tuple[int, ...]:
    """Return how many samples of f an output of each sub-network sees: 7, 9, 11, 13, 15 (section III-B)."""
    return tuple(2 * _BEFORE + _reach(subnet) for subnet in SUBNETS)


def _reach(subnet: tuple[tuple[int, int], ...]) -> int:
    """Return how many samples of S an output of a sub-network sees."""
    return 1 + sum((kernel - 1) * dilation for kernel, dilation in subnet)


def places(samples: int) -> np.ndarray:
    """Return where the windows of a clip lie, (A, 3) int64: first sample, one after the last, sub-network.

    A = sum of N_s = N - (k1 - 1) r1 - (k2 - 1) r2 over the sub-networks that fit. Windows at the ends reach up to two
    samples beyond the clip, into what the convolutions of the backbone pad with zeros.
    """
    rows = []
    for number, subnet in enumerate(SUBNETS):
        first = np.arange(max(0, samples - _reach(subnet) + 1)) - _BEFORE
        rows.append(
            np.column_stack([first, first + _reach(subnet) + 2 * _BEFORE, np.full(len(first), number)])
        )
    return np.concatenate(rows).astype(np.int64)


def place_iou(places_: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the IoU (A, M) of places [a, b) (A, 2) and true ME (M, 2), in samples."""
    shared = np.minimum(places_[:, None, 1], truth[:, 1]) - np.maximum(places_[:, None, 0], truth[:, 0])
    shared = np.maximum(shared, 0)
    lengths = np.diff(places_[:, :2], axis=1) + np.diff(truth, axis=1)[:, 0]
    return shared / (lengths - shared)


# ---------------------------------------------------------------------------------------------------------------------
# The networks


class Backbone(nn.Module):
    """2+1D spatiotemporal convolutional network: four 2-D and two 1-D convolutions, all with "same" padding.

    Table I prints a padding of 2, with which a size does not halve at each pooling as the text says; 1 does.
    """

    def __init__(self, config: MesNetConfig):
        super().__init__()
        channels = (_CHANNELS[config.input], *config.widths)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            # pooling and ReLU may change places: both keep the order of values
            norm = [nn.BatchNorm2d(after)] if config.batch_norm else []
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.MaxPool2d(2), *norm, nn.ReLU()]
        self.space = nn.Sequential(*layers)
        self.length = config.widths[-1] * (config.flow.cells // 16) ** 2
        self.time = over_time(self.length, config, padding=1)

    def spatial(self, flow: Tensor) -> Tensor:
        """Return f (M, L) of flow fields (M, C, S, S)."""
        # channels last in memory: on CPUs that halves the time
        return self.space(flow.contiguous(memory_format=torch.channels_last)).flatten(1)

    def features(self, clips: Tensor) -> Tensor:
        """Return F (B, L, N) of clips (B, N, C, S, S)."""
        return self.spatial(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]).transpose(1, 2)

    def forward(self, clips: Tensor) -> Tensor:
        """Return S (B, 128, N)."""
        return self.time(self.features(clips))


def over_time(length: int, config: MesNetConfig, padding: int) -> nn.Sequential:
    """Return two 1-D convolutions of kernel 3 from L to 128 channels."""
    layers: list[nn.Module] = []
    for before in (length, config.temporal):
        norm = [nn.BatchNorm1d(config.temporal)] if config.batch_norm else []
        layers += [nn.Conv1d(before, config.temporal, 3, padding=padding), *norm, nn.ReLU()]
    return nn.Sequential(*layers)


class PreTraining(nn.Module):
    """The backbone with three dense layers that tell whether a clip is an ME."""

    def __init__(self, config: MesNetConfig):
        super().__init__()
        self.backbone = Backbone(config)
        self.dense = nn.Sequential(
            nn.Linear(config.temporal * config.n_pre, config.dense),
            nn.ReLU(),
            nn.Linear(config.dense, config.dense),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.output = nn.Linear(config.dense, 2)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 2), ME first, of clips (B, N_pre, C, S, S), and the sum of squares of equation (8)."""
        return self.output(self.dense(self.backbone(clips).flatten(1))), squares(self.backbone, self.dense)


class ClipProposals(nn.Module):
    """CPN: five sub-networks of two dilated 1-D convolutions; the first layers of the first four are one."""

    def __init__(self, channels: int):
        super().__init__()
        self.narrow, self.wide = (
            nn.Conv1d(channels, channels, kernel, dilation=dilation)
            for kernel, dilation in (SUBNETS[0][0], SUBNETS[-1][0])
        )
        self.second = nn.ModuleList(
            nn.Conv1d(channels, 2, kernel, dilation=dilation) for _, (kernel, dilation) in SUBNETS
        )

    def forward(self, s: Tensor) -> Tensor:
        """Return the logits (B, A, 2) of all `places` of S (B, 128, N), ME first."""
        hidden = {}
        out = []
        for layer, (first, _), reach in zip(self.second, SUBNETS, map(_reach, SUBNETS), strict=True):
            if s.shape[-1] < reach:
                continue
            if first not in hidden:
                hidden[first] = torch.relu((self.narrow if first == SUBNETS[0][0] else self.wide)(s))
            out.append(layer(hidden[first]))
        return torch.cat(out, dim=-1).transpose(1, 2) if out else s.new_empty(len(s), 0, 2)


class SecondLook(nn.Module):
    """CRN: classifies the spatial features of a proposal and says how far its ends are off."""

    def __init__(self, config: MesNetConfig, length: int):
        super().__init__()
        self.time = None if config.shared else over_time(length, config, padding=0)
        self.dense = nn.Sequential(
            nn.Linear(config.temporal * (config.n_cr - 4), config.dense),
            nn.ReLU(),
            nn.Linear(config.dense, config.dense),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.kind, self.ends = nn.Linear(config.dense, 2), nn.Linear(config.dense, 2)

    def forward(self, f: Tensor, backbone: Backbone) -> tuple[Tensor, Tensor]:
        """Return logits (P, 2), ME first, and r (P, 2) of features (P, L, N_CR)."""
        # shared, those of the backbone pad: what the padding has touched is left out
        s = backbone.time(f)[..., 2:-2] if self.time is None else self.time(f)
        x = self.dense(s.flatten(1))
        return self.kind(x), self.ends(x)


class Output(NamedTuple):
    """What MESNet says of clips (B): logits of all places (B, A, 2); chosen places (B, P) as numbers, -1 for none.

    kind, ends : logits and r of the chosen ones, (B, P, 2) each; squares : sum of the squared weights under L2, ()
    """

    cpn: Tensor
    chosen: Tensor
    kind: Tensor
    ends: Tensor
    squares: Tensor


class MesNet(nn.Module):
    """Backbone, clip proposals and second look in one."""

    def __init__(self, config: MesNetConfig):
        super().__init__()
        self.most, self.n_cr, self.context = config.most_proposals, config.n_cr, config.context
        self.backbone = Backbone(config)
        self.cpn = ClipProposals(config.temporal)
        self.crn = SecondLook(config, self.backbone.length)

    def forward(self, clips: Tensor, drawn: Tensor) -> tuple[Tensor, ...]:
        """Return an `Output` as a plain tuple, of clips (B, N, C, S, S) and further places to look at (B, E)."""
        f = self.backbone.features(clips)
        cpn = self.cpn(self.backbone.time(f))
        chosen = torch.cat([drawn, self._proposed(cpn, f.shape[-1])], dim=1)
        kind, ends = self.look_again(f, chosen)
        return tuple(Output(cpn, chosen.float(), kind, ends, squares(self)))

    def _proposed(self, cpn: Tensor, samples: int) -> Tensor:
        """Return the numbers (B, P) of the places in the clip with the highest p_cpn of at least one half."""
        where = places(samples)
        inside = torch.from_numpy((where[:, 0] >= 0) & (where[:, 1] <= samples)).to(cpn.device)
        lead = (cpn[..., 0] - cpn[..., 1]).detach().masked_fill(~inside, -torch.inf)
        top = lead.topk(min(self.most, int(inside.sum())), dim=1)
        return torch.where(top.values >= 0, top.indices, -1)

    def look_again(self, f: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and r (B, P, 2) of the chosen places (B, P) of F (B, L, N)."""
        where = torch.from_numpy(places(f.shape[-1])[:, :2]).to(f.device)[chosen.clamp_min(0)]
        samples = resampled(f, where, self.n_cr, self.context)
        kind, ends = self.crn(samples.flatten(0, 1), self.backbone)
        return kind.unflatten(0, chosen.shape), ends.unflatten(0, chosen.shape)


class Part(NamedTuple):
    """Which part of a video some features are of: sample of the first, and how many the video has."""

    first: int
    total: int


def resampled(f: Tensor, where: Tensor, count: int, context: float = 0.0, part: Part | None = None) -> Tensor:
    """Return F (B, L, N) at `count` moments from the first to the last sample of places (B, P, 2): (B, P, L, count).

    context : how much further on either side, in lengths of the place; part : of the video that f is, None for all
    """
    begin, total = part or (0, f.shape[-1])
    first, last = where[..., :1].to(f.dtype), where[..., 1:].to(f.dtype) - 1
    first, last = first - context * (last - first), last + context * (last - first)
    at = first + (last - first) * torch.linspace(0, 1, count, device=f.device, dtype=f.dtype)
    at = at.clamp(0, total - 1)
    low = at.floor().long()
    high = (low + 1).clamp_max(total - 1)
    rows = torch.arange(len(f), device=f.device)[:, None, None]
    by_time = f.transpose(1, 2)  # (B, N, L)
    share = (at - low).unsqueeze(-1)
    return torch.lerp(by_time[rows, low - begin], by_time[rows, high - begin], share).transpose(-1, -2)


def squares(*modules: nn.Module) -> Tensor:
    """Return the sum of all squared weights but those of the last dense layers, as equations (8) and (12) have it."""
    total = torch.zeros(())
    for module in modules:
        for name, value in module.named_parameters():
            if value.ndim > 1 and not name.startswith(("crn.kind", "crn.ends")):
                total = total.to(value.device) + value.square().sum()
    return total


def parameter_counts(config: MesNetConfig) -> dict[str, int]:
    """Return how many numbers each part has."""
    head, net = PreTraining(config), MesNet(config)
    parts = {
        "2-D convolutions": net.backbone.space,
        "1-D convolutions": net.backbone.time,
        "head of the pre-training": nn.ModuleList([head.dense, head.output]),
        "CPN": net.cpn,
        "CRN": net.crn,
    }
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def started(model: Model) -> Model:
    """Give all layers weights of the size with which signals neither fade nor grow through ReLUs (He et al. 2015).

    PyTorch's own are smaller: through eight layers the input drowns in the biases, and some trainings never start.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(cast(Tensor, layer.bias))
    for last in (layer for name, layer in model.named_modules() if name in _LAST):
        last.weight.data *= 0.1  # nothing is thought of anything yet
    return model


# ---------------------------------------------------------------------------------------------------------------------
# Losses


def pretraining_loss(logits: Tensor, labels: Tensor, total_squares: Tensor, l2: float) -> Tensor:
    """Return equation (8), a mean over the batch, of logits (B, 2), labels (B,) 1 for ME."""
    return nnf.cross_entropy(logits, 1 - labels.long()) + l2 / 2 * total_squares


def cpn_loss(logits: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """Return the first term of equation (11) of logits (B, A, 2), labels (B, A), and M, what counts, (B, A)."""
    each = nnf.cross_entropy(logits.flatten(0, 1), 1 - labels.flatten().long(), reduction="none")
    return (counted.flatten() * each).sum() / counted.sum().clamp_min(1e-6)


def crn_loss(logits: Tensor, ends: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """Return the first term of equation (12) of P proposals: logits, r and wanted r (P, 2), labels (P,)."""
    if not len(logits):
        return logits.sum()
    kind = nnf.cross_entropy(logits, 1 - labels.long(), reduction="none")
    moved = nnf.smooth_l1_loss(ends, wanted, reduction="none").sum(dim=1)  # equation (13)
    return (kind + labels * moved).mean()


def wanted_ends(where: Tensor, truth: Tensor) -> Tensor:
    """Return (a - a') / (b - a) and (b - b') / (b - a) of proposals [a', b') and true ME [a, b), (..., 2) each."""
    return (truth - where) / (truth[..., 1:] - truth[..., :1]).clamp_min(1)


def loss_of(config: MesNetConfig) -> Callable[[tuple[Tensor, ...], Tensor], Tensor]:
    """Return equation (14), of an `Output` and targets (B, A, 4): what counts, label, true onset and end."""

    def loss(output: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        out = Output(*output)
        counted, labels, truth = targets[..., 0], targets[..., 1], targets[..., 2:]
        first = cpn_loss(out.cpn, labels, counted)
        chosen = out.chosen.long()
        rows = torch.arange(len(chosen), device=chosen.device)[:, None].expand_as(chosen)
        looked = chosen >= 0
        clip, number = rows[looked], chosen[looked]
        samples = _samples_of(targets.shape[1])
        where = torch.from_numpy(places(samples)[:, :2]).to(targets)[number]
        wanted = wanted_ends(where, truth[clip, number])
        second = crn_loss(out.kind[looked], out.ends[looked], labels[clip, number], wanted)
        return first + second + config.l2 / 2 * out.squares

    return loss


def _samples_of(count: int) -> int:
    """Return how many samples a clip with so many places has: the inverse of the number of `places`."""
    return (count + sum(_reach(subnet) - 1 for subnet in SUBNETS)) // len(SUBNETS)


# ---------------------------------------------------------------------------------------------------------------------
# What the networks see


def prepare(video: Video, profile: str) -> None:
    """Measure the flow of a video, into the cache: what every fold needs of it."""
    face_flow(video, getattr(MesNetConfig, profile)().flow)


def network_input(
    steps: np.ndarray, first: int, stop: int, rate_hz: float, config: MesNetConfig, gain: float = 1.0
) -> np.ndarray:
    """Return the channels (n, C, S, S) float32 of the samples first..stop-1; zero beyond the ends of the video.

    steps : (N, 2, S, S) of `FaceFlow`; rate_hz : samples per second; gain : what all motion is multiplied with. A part
    of a video gets what the whole would have.
    """
    channels = []
    if config.input != "displacement":
        own = np.asarray(steps[max(first, 0) : max(stop, 0)], dtype=np.float32)
        channels.append(np.arcsinh(own * (gain * _STEPS_OF_A_RISE / config.knee_u)))
    if config.input != "as_printed":
        channels.append(
            np.arcsinh(_displacement(steps, first, stop, rate_hz, config) * (gain / config.knee_u))
        )
    inside = np.concatenate(channels, axis=1)
    after = stop - first - max(0, -first) - len(inside)
    return np.pad(inside, ((max(0, -first), after), (0, 0), (0, 0), (0, 0)))


def _displacement(
    steps: np.ndarray, first: int, stop: int, rate_hz: float, config: MesNetConfig
) -> np.ndarray:
    """Return the position of the skin less its mean over `high_pass_s` around, (n, 2, S, S) u.

    Position is the sum of the steps up to a sample, and both it and its mean are linear in them: the difference is the
    steps filtered with [d >= 0] - min(d + h + 1, 2h + 1) / (2h + 1), d from -h to h the samples since a step.
    """
    half = max(1, round(config.high_pass_s * rate_hz / 2))
    first, stop = max(first, 0), min(stop, len(steps))
    low, high = max(0, first - half), min(len(steps), stop + half)
    since = np.arange(first, stop)[:, None] - np.arange(low, high)
    mean = np.clip(since + half + 1, 0, 2 * half + 1) / (2 * half + 1)
    kernel = ((since >= 0) - mean).astype(np.float32)
    near = np.asarray(steps[low:high], dtype=np.float32)
    return (kernel @ near.reshape(len(near), -1)).reshape(-1, *near.shape[1:])


class Reel(NamedTuple):
    """A video with its truth in samples: onset and one after the offset, (M, 2) each; apex onwards for MaE."""

    flow: FaceFlow
    rate_hz: float
    me: np.ndarray
    mae: np.ndarray
    mae_rise: np.ndarray


def _reel(video: Video, truth: Sequence[Interval], config: MesNetConfig) -> Reel:
    flow = face_flow(video, config.flow)
    step = int(flow.frames[1] - flow.frames[0]) if len(flow.frames) > 1 else 1
    edges = {
        kind: np.array([(s.onset, s.offset + 1) for s in truth if s.kind == kind], dtype=float).reshape(-1, 2)
        for kind in ("ME", "MaE")
    }
    apexes = [(s.onset + s.offset) // 2 if s.apex is None else s.apex for s in truth if s.kind == "MaE"]
    risen = np.minimum(np.array(apexes, dtype=float) + _AFTER_APEX_S * video.fps, edges["MaE"][:, 1])
    rise = np.column_stack([edges["MaE"][:, 0], risen])
    return Reel(flow, video.fps / step, edges["ME"] / step, edges["MaE"] / step, rise / step)


def reels(manifest: Manifest, config: MesNetConfig) -> list[Reel]:
    """Return the flow and the truth of all videos of a manifest; the flow is mapped, not read."""
    return [_reel(manifest.video(uid), manifest.truth(uid), config) for uid in manifest.uids]


def _quiet_start(reel: Reel, length: float, rng: np.random.Generator) -> float:
    """Return where a stretch without any expression begins, in samples; after some tries one with the least of them."""
    busy = np.concatenate([reel.me, reel.mae])
    tries = rng.uniform(0, max(0.0, len(reel.flow.frames) - length), 20)
    shared = np.minimum(tries[:, None] + length, busy[:, 1]) - np.maximum(tries[:, None], busy[:, 0])
    return float(tries[np.maximum(shared, 0).sum(axis=1).argmin()])


def _read(
    reel: Reel, at: np.ndarray, config: MesNetConfig, gain: float = 1.0, speed: float = 1.0
) -> np.ndarray:
    """Return the channels (n, C, S, S) at moments (n,) in samples, straight between neighbours.

    speed : how much faster than it was all is shown; the mean around is taken over as much of what is shown.
    """
    low = np.floor(at).astype(np.int64)
    first, stop = int(low.min()), int(low.max()) + 2
    x = network_input(reel.flow.steps, first, stop, reel.rate_hz * speed, config, gain)
    share = (at - low).astype(np.float32)[:, None, None, None]
    if not share.any():
        return x[low - first]
    return x[low - first] * (1 - share) + x[low - first + 1] * share


def augment(clips: Tensor, config: MesNetConfig, rng: np.random.Generator) -> Tensor:
    """Return clips (B, N, C, S, S) changed at random, all samples of a clip alike.

    Mirrored, turned and shifted a little. A mirror turns the sign of what points to the right.
    """
    count, edge = len(clips), clips.shape[-1]
    mirror = np.where(rng.random(count) < config.flip, -1.0, 1.0)
    angle = np.deg2rad(rng.uniform(-1, 1, count) * config.turn_deg)
    shift = rng.uniform(-1, 1, (count, 2)) * 2 * config.shift
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack([mirror * cos, -sin, shift[:, 0]], 1), np.stack([mirror * sin, cos, shift[:, 1]], 1)
    turn = torch.from_numpy(np.stack(rows, 1).astype(np.float32))
    grid = nnf.affine_grid(turn, [count, 1, edge, edge], align_corners=False)
    flat = clips.flatten(1, 2)  # all samples of a clip with one grid
    moved = nnf.grid_sample(flat, grid, padding_mode="zeros", align_corners=False).view_as(clips)
    sign = torch.ones(count, clips.shape[2])
    sign[:, ::2] = torch.from_numpy(mirror.astype(np.float32))[:, None]
    return moved * sign.view(count, 1, -1, 1, 1)


def _between(ends: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw a factor, doubling as likely as halving."""
    return float(np.exp(rng.uniform(*np.log(ends))))


# ---------------------------------------------------------------------------------------------------------------------
# Samples


def _disguise(kind: int, samples: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return speed and gain that make an ME of an MaE (kind 1), or something too long for one of an ME (kind 0).

    What tells them apart is duration (and strength): MaE shown faster and weaker are further ME, of muscles that the
    few true ones may lack; ME shown slower and stronger are what the network must not take for one.
    """
    if kind == 1:
        return samples / rng.uniform(8, 15), _between((0.15, 0.6), rng)
    return samples / rng.uniform(26, 50), _between((1.0, 3.0), rng)


class Snippets:
    """Single clips of `n_pre` samples, ME or not, for the pre-training (`train.Samples`)."""

    def __init__(self, of: Sequence[Reel], config: MesNetConfig):
        self.config, self.reels = config, list(of)
        me = [(v, m) for v, reel in enumerate(self.reels) for m in range(len(reel.me))]
        mae = [(v, m) for v, reel in enumerate(self.reels) for m in range(len(reel.mae))]
        self.me, self.mae = np.array(me).reshape(-1, 2), np.array(mae).reshape(-1, 2)
        self.n_mae = min(round(config.mae_ratio * len(me)), len(mae))
        self.n_none = round(config.none_ratio * len(me))

    def __len__(self) -> int:
        return len(self.me) + self.n_mae + self.n_none

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the samples of an epoch: each ME, as many others as the ratios say."""
        wanted = self.config.pretrain.batches_per_epoch
        rounds = 1 if wanted is None else -(-wanted * self.config.pretrain.batch_size // max(1, len(self)))
        return np.concatenate([rng.permutation(len(self)) for _ in range(rounds)])

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return clips (B, N_pre, C, S, S) and labels (B,), 1 for ME; which MaE and which quiet clips is drawn."""
        drawn = [
            self._clip(int(i), np.random.default_rng([7, int(i)]) if rng is None else rng, rng is not None)
            for i in index
        ]
        clips = torch.from_numpy(np.stack(drawn))
        if rng is not None:
            clips = augment(clips, self.config, rng)
        return (clips,), torch.from_numpy((index < len(self.me)).astype(np.float32))

    def _clip(self, i: int, rng: np.random.Generator, vary: bool) -> np.ndarray:
        if i < len(self.me):
            video, number = self.me[i]
            reel, (first, stop) = self.reels[video], self.reels[video].me[number]
        elif i < len(self.me) + self.n_mae:
            video, number = self.mae[rng.integers(len(self.mae))]
            reel, (first, stop) = self.reels[video], self.reels[video].mae_rise[number]
        else:
            reel = self.reels[rng.integers(len(self.reels))]
            length = self.config.none_s * reel.rate_hz
            first = _quiet_start(reel, length, rng)
            stop = first + length
        at = np.round(np.linspace(first, stop - 1, self.config.n_pre))
        return _read(reel, at, self.config, _between(self.config.gain, rng) if vary else 1.0)


class Clips:
    """Clips around ME, around MaE and without either, for the training of MESNet (`train.Samples`)."""

    def __init__(self, of: Sequence[Reel], config: MesNetConfig):
        self.config, self.reels = config, list(of)
        me = [(v, 0, m) for v, reel in enumerate(self.reels) for m in range(len(reel.me))]
        mae = [(v, 1, m) for v, reel in enumerate(self.reels) for m in range(len(reel.mae))]
        self.me, self.mae = np.array(me).reshape(-1, 3), np.array(mae).reshape(-1, 3)
        self.samples = round(config.clip_s * self.reels[0].rate_hz) if self.reels else 0
        self.kinds = np.repeat(
            [0, 1, 2], np.array([config.me_clips, config.mae_clips, config.none_clips]) * len(me)
        )

    def __len__(self) -> int:
        return len(self.kinds)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return all samples of an epoch, shuffled."""
        return rng.permutation(len(self))

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return clips (B, N, C, S, S) and further places (B, E), and targets (B, A, 4) for `loss_of`."""
        chance = [np.random.default_rng([8, int(i)]) if rng is None else rng for i in index]
        drawn = [self._clip(int(i), one, rng is not None) for i, one in zip(index, chance, strict=True)]
        clips = torch.from_numpy(np.stack([clip for clip, _ in drawn]))
        targets = np.stack([self._targets(truth) for _, truth in drawn])
        self._count(targets, rng)
        further = np.stack([self._further(one[:, 1], c) for one, c in zip(targets, chance, strict=True)])
        if rng is not None:
            clips = augment(clips, self.config, rng)
        return (clips, torch.from_numpy(further)), torch.from_numpy(targets.astype(np.float32))

    def _clip(self, i: int, rng: np.random.Generator, vary: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return a clip (N, C, S, S) and the true ME in it (M, 2), in its samples."""
        kind = 2 if self.kinds[i] == 1 and not len(self.mae) else self.kinds[i]
        speed, gain = (
            (_between(self.config.stretch, rng), _between(self.config.gain, rng)) if vary else (1.0, 1.0)
        )
        if kind == 2:
            reel, event = self.reels[rng.integers(len(self.reels))], None
        else:
            some = (self.me, self.mae)[kind]
            video, _, number = some[i % len(some)] if kind == 0 else some[rng.integers(len(some))]
            reel = self.reels[video]
            event = (reel.me, reel.mae)[kind][number]
        true = reel.me
        if event is not None and vary and rng.random() < self.config.disguised:
            speed, weaker = _disguise(kind, float(np.diff(event)[0]), rng)
            gain *= weaker
            true = np.concatenate([reel.me, event[None]]) if kind == 1 else true
        span = (self.samples - 1) * speed
        # the event lies inside the clip, or the clip inside a long event
        ends = () if event is None else sorted((event[1] - 1 - span, event[0]))
        first = rng.uniform(*ends) if ends else _quiet_start(reel, span + 1, rng)
        first = np.clip(first, -_BEFORE, max(-_BEFORE, len(reel.flow.frames) + _BEFORE - 1 - span))
        first = first if vary else np.floor(first)
        at = first + np.arange(self.samples) * speed
        return _read(reel, at, self.config, gain, speed), (true - first) / speed

    def _targets(self, truth: np.ndarray) -> np.ndarray:
        """Return counted (inside the clip), label and nearest true ME of all places, (A, 4)."""
        where = places(self.samples)
        inside = (where[:, 0] >= 0) & (where[:, 1] <= self.samples)
        targets = np.zeros((len(where), 4))
        targets[:, 0] = inside
        if len(truth):
            iou = place_iou(where, truth)
            nearest = iou.argmax(axis=1)
            targets[:, 1] = iou[np.arange(len(where)), nearest] > 0.7  # equation (10)
            targets[:, 2:] = truth[nearest]
        return targets

    def _count(self, targets: np.ndarray, rng: np.random.Generator | None) -> None:
        """Let non-ME places count with the ratio of ME to non-ME in the batch, M of equation (11)."""
        counted, label = targets[..., 0], targets[..., 1]
        positive, negative = (counted * label).sum(), (counted * (1 - label)).sum()
        ratio = max(positive, 1) / max(negative, 1)
        if rng is None or self.config.negatives == "weighted":
            share = np.full(label.shape, min(1.0, ratio))
        else:
            share = rng.random(label.shape) < ratio
        targets[..., 0] = counted * np.where(label > 0, 1.0, share)

    def _further(self, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return places for the CRN (E,): half ME where there are any, the rest anywhere in the clip."""
        count = self.config.drawn_proposals
        where = places(self.samples)
        inside = np.flatnonzero((where[:, 0] >= 0) & (where[:, 1] <= self.samples))
        right = inside[label[inside] > 0]
        half = rng.choice(right, count // 2) if len(right) else np.empty(0, dtype=np.int64)
        return np.concatenate([half, rng.choice(inside, count - len(half))]).astype(np.int64)


# ---------------------------------------------------------------------------------------------------------------------
# Scoring


def score_video(models: Sequence[MesNet], video: Video, config: MesNetConfig) -> Proposals:
    """Return the proposals of a video by the median of some networks; each frame goes through each of them once.

    Memory does not grow with the video: features are forgotten once their places have been looked at.
    """
    flow = face_flow(video, config.flow)
    step = int(flow.frames[1] - flow.frames[0]) if len(flow.frames) > 1 else 1
    with torch.inference_mode():
        features = _Features(models, flow, video.fps / step, config)
        looked = [
            (rows, *_looked_at(models, features, rows[:, :2].astype(np.int64)))
            for rows in _in_batches(_proposed(models, features, config))
        ]
    found, p_crn, ends = (np.concatenate(column) for column in zip(*looked, strict=True))
    length = (found[:, 1] - found[:, 0])[:, None]
    edges = (found[:, :2] - _BEFORE) * step
    moved = np.round(edges + ends * length * step).astype(np.int64)
    frames = _closed(edges.astype(np.int64), video)
    return Proposals(frames, _closed(moved, video), found[:, 3], p_crn, found[:, 2].astype(np.int64))


def _closed(edges: np.ndarray, video: Video) -> np.ndarray:
    """Return frames (N, 2), both ends included and inside the video, of edges (N, 2)."""
    onset = np.clip(edges[:, 0], 0, video.length - 1)
    return np.column_stack([onset, np.clip(edges[:, 1] - 1, onset, video.length - 1)]).astype(np.int64)


class _Features:
    """f of a video with two empty samples before and after, for each network; computed when asked for, kept a while."""

    def __init__(self, models: Sequence[MesNet], flow: FaceFlow, rate_hz: float, config: MesNetConfig):
        self.models, self.flow, self.rate_hz, self.config = models, flow, rate_hz, config
        self.device = next(models[0].parameters()).device
        self.total = len(flow.frames) + 2 * _BEFORE
        self._blocks: dict[int, list[Tensor]] = {}

    def of(self, first: int, stop: int) -> list[Tensor]:
        """Return f (stop - first, L) of the samples first..stop-1, for each network."""
        numbers = range(first // _FRAMES_AT_ONCE, -(-stop // _FRAMES_AT_ONCE))
        for number in numbers:
            if number not in self._blocks:
                self._blocks[number] = self._block(number * _FRAMES_AT_ONCE)
        rows = slice(first - numbers[0] * _FRAMES_AT_ONCE, stop - numbers[0] * _FRAMES_AT_ONCE)
        each = zip(*(self._blocks[number] for number in numbers), strict=True)
        return [torch.cat(blocks)[rows] for blocks in each]

    def _block(self, first: int) -> list[Tensor]:
        stop = min(first + _FRAMES_AT_ONCE, self.total)
        steps, rate_hz = self.flow.steps, self.rate_hz
        x = torch.from_numpy(network_input(steps, first - _BEFORE, stop - _BEFORE, rate_hz, self.config))
        return [model.backbone.spatial(x.to(self.device)) for model in self.models]

    def forget(self, before: int) -> None:
        """Forget what lies before a sample; it would be computed again."""
        self._blocks = {n: block for n, block in self._blocks.items() if (n + 1) * _FRAMES_AT_ONCE > before}


def _proposed(models: Sequence[MesNet], features: _Features, config: MesNetConfig) -> Iterator[np.ndarray]:
    """Yield the places that each clip of a video has for itself, with a p_cpn of `floor` or more.

    They are (P, 4): first sample and one after the last in the padded video, sub-network, p_cpn.
    """
    length, overlap = (round(s * features.rate_hz) for s in (config.clip_s, config.overlap_s))
    windows = clip_windows(features.total, length, overlap)
    known = np.concatenate([[0], np.cumsum(features.flow.known)])
    for number, (first, last) in enumerate(windows):
        features.forget(first - _SAMPLES_HELD)
        where = places(last - first + 1)
        inside = (where[:, 0] >= 0) & (where[:, 1] <= last - first + 1)
        each = [
            model.cpn(model.backbone.time(f.T[None]))[0].softmax(dim=1)[:, 0]
            for model, f in zip(models, features.of(first, last + 1), strict=True)
        ]
        p_cpn = _agreed(each)
        probable = inside & (p_cpn >= config.floor)
        where, p_cpn = where[probable] + (first, first, 0), p_cpn[probable]
        own = stitched(where[:, :2] - (0, 1), np.full(len(where), number), windows)
        kept = own & _seen(where - _BEFORE, known)
        yield np.column_stack([where[kept], p_cpn[kept]])


def _in_batches(found: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of `_proposed` by so many as are looked at together, or fewer before their features are lost."""
    waiting = np.empty((0, 4))
    for rows in found:
        waiting = np.concatenate([waiting, rows])
        while len(waiting) >= _PROPOSALS_AT_ONCE:
            yield waiting[:_PROPOSALS_AT_ONCE]
            waiting = waiting[_PROPOSALS_AT_ONCE:]
        if len(waiting) and np.ptp(waiting[:, 0]) > _SAMPLES_HELD // 2:
            yield waiting
            waiting = waiting[:0]
    yield waiting


def _agreed(each: Sequence[Tensor]) -> np.ndarray:
    """Return the median of what the networks say.

    The thresholds are chosen on what single networks say. The mean of several hardly ever reaches the heights of one,
    so thresholds would mean something else; the median passes one that most of the networks pass.
    """
    return torch.stack(tuple(each)).quantile(0.5, dim=0).double().cpu().numpy()


def _seen(where: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tell which places (P, 2) have some motion known in them, not those in a gap; known : (N + 1,) summed up."""
    first, stop = (np.clip(where[:, i], 0, len(known) - 1) for i in (0, 1))
    return 2 * (known[stop] - known[first]) >= stop - first


def _looked_at(
    models: Sequence[MesNet], features: _Features, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return p_crn (P,) and r (P, 2) of places (P, 2)."""
    if not len(where):
        return np.empty(0), np.empty((0, 2))
    wider = math.ceil(features.config.context * np.diff(where).max()) + 2
    first, stop = max(0, where[:, 0].min() - wider), min(features.total, where[:, 1].max() + wider)
    inside = torch.from_numpy(where[None]).to(features.device)
    each = []
    for model, f in zip(models, features.of(first, stop), strict=True):
        part = Part(first, features.total)
        kind, r = model.crn(resampled(f.T[None], inside, model.n_cr, model.context, part)[0], model.backbone)
        each.append(torch.cat([kind.softmax(dim=1)[:, :1], r], dim=1))
    agreed = _agreed(each)
    return agreed[:, 0], agreed[:, 1:]


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


@dataclass(frozen=True)
class Fitted:
    """The networks with what was chosen on the training subjects.

    trainings : of MESNet, one per part; pretrainings : those before, of the chosen start, empty without pre-training
    judged : proposals of the validation videos by the network that has not learnt from them; limits are chosen on them
    """

    config: MesNetConfig
    trainings: tuple[Trained[MesNet], ...]
    pretrainings: tuple[Trained[PreTraining], ...]
    limits: Limits
    judged: dict[str, Proposals]

    @property
    def models(self) -> tuple[MesNet, ...]:
        """Return the networks."""
        return tuple(training.model for training in self.trainings)

    def score(self, video: Video) -> Proposals:
        """Return the proposals of a video, of any dataset and frame rate."""
        return score_video(self.models, video, self.config)

    def spot(self, scores: Proposals) -> list[Interval]:
        """Return the spotted ME."""
        return spot_proposals(scores, self.limits)

    def settings(self) -> dict[str, Any]:
        """Return all that `spot_stored` needs to spot as `spot` does."""
        return {f"t_{name}": value for name, value in self.limits._asdict().items()} | {"stage": "crn"}


def spot_stored(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> list[Interval]:
    """Return the ME of a video from the proposals (N, 7) of `Proposals.table`; `fps` has no say here.

    settings : as `Fitted.settings` returns them, which spots as `Fitted.spot` does, or changed; stage "cpn" asks the
        first stage alone
    """
    limits = Limits(*(settings[f"t_{name}"] for name in Limits._fields))
    return spot_proposals(Proposals.of_table(stored), limits, settings["stage"])


def stored_proposals(stored: np.ndarray, settings: Mapping[str, Any]) -> list[Interval]:
    """Return all proposals that are stored of a video, with their probability by the stage that decides as score."""
    found = Proposals.of_table(stored)
    return spot_proposals(found, Limits(0.0, 0.0, None), settings["stage"])


def split_videos(manifest: Manifest, seed: int, draws: int = 2000) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the uids to learn from and to validate on: videos at random 7 to 3, drawn until the ME are spread well.

    That is, at least 64 % of them to learn from and 15 % to validate on (section IV-A.3). Of a set in which that cannot
    be, the draw that comes closest.
    """
    rng = np.random.default_rng([seed, 11])
    uids = np.array(manifest.uids)
    count = np.array([sum(s.kind == "ME" for s in manifest.truth(uid)) for uid in uids])
    n_train = min(len(uids), max(1, round(0.7 * len(uids))))
    best, least = np.arange(len(uids)), np.inf
    for _ in range(draws):
        order = rng.permutation(len(uids))
        learnt = count[order[:n_train]].sum() / max(1, count.sum())
        missing = max(0.0, 0.64 - learnt) + max(0.0, 0.15 - (1 - learnt))
        if missing < least:
            best, least = order, missing
        if missing == 0:
            break
    return tuple(sorted(uids[best[:n_train]].tolist())), tuple(sorted(uids[best[n_train:]].tolist()))


def _splits(manifest: Manifest, config: MesNetConfig, seed: int) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield the videos to learn from and those to judge by, for each network; one video or subject judges itself."""
    if config.split == "videos":
        for number in range(config.parts):
            learnt, apart = split_videos(manifest, seed + number)
            yield manifest.only(learnt), manifest.only(apart or learnt)
        return
    for part in subject_parts(manifest, min(config.parts, len(manifest.subjects)), seed):
        yield parted(manifest, part)


def untrained(config: MesNetConfig, seed: int) -> MesNet:
    """Return a network with the random weights that a training with this seed begins with."""
    with seeded(seed, 6):
        return started(MesNet(config)).eval()


def pretrained(
    learnt: Sequence[Reel],
    apart: Sequence[Reel],
    config: MesNetConfig,
    seed: int,
    progress: bool | None = None,
) -> Trained[PreTraining]:
    """Train the backbone to tell ME clips from others; start again, from other random weights, if it goes badly.

    The first start with `good_accuracy` on the validation clips is taken, else the best.
    """
    tried = []
    for start in range(config.starts):
        with seeded(seed, 7, start):
            model = started(PreTraining(config))
        one = train(
            model,
            Snippets(learnt, config),
            lambda output, labels: pretraining_loss(output[0], labels, output[1], config.l2),
            config.pretrain,
            seed + start,
            validation=Snippets(apart, config),
            progress=progress,
            title=f"pre-training, start {start + 1}",
        )
        tried.append((accuracy(one.model, Snippets(apart, config)), one))
        if tried[-1][0] >= config.good_accuracy:
            break
    return max(tried, key=lambda pair: pair[0])[1]


@torch.no_grad()
def accuracy(model: PreTraining, samples: Snippets) -> float:
    """Return the share of clips that are told rightly, without augmentation."""
    (clips,), labels = samples.batch(np.arange(len(samples)), None)
    logits, _ = model.eval()(clips)
    return float(((logits[:, 0] > logits[:, 1]) == (labels > 0)).float().mean())


def fit(
    train_manifest: Manifest,
    config: MesNetConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Train on the videos of a manifest, which holds the training subjects and nobody else.

    Each network learns from a part of the videos; the rest chooses the start of its pre-training and its epoch, and is
    scored by it. The thresholds are chosen on those scores. A new video gets the median of the networks.

    folder : of checkpoints, for a training that may be interrupted.
    """
    splits = _splits(train_manifest, config, seed)
    calls = [(learnt, apart, number, config, seed, folder) for number, (learnt, apart) in enumerate(splits)]
    networks = side_by_side(_network, calls, device=config.train.device, progress=progress)
    judged = {uid: proposals for network in networks for uid, proposals in network.judged.items()}
    limits = PRINTED
    if config.limits == "f1":
        limits = choose_limits(judged, {uid: train_manifest.truth(uid) for uid in judged})
    trainings = tuple(network.training for network in networks)
    before = tuple(network.before for network in networks if network.before is not None)
    return Fitted(config, trainings, before, limits, judged)


class _Network(NamedTuple):
    """A trained network, its pre-training if there was one, and what it proposes in videos it has not learnt from."""

    training: Trained[MesNet]
    before: Trained[PreTraining] | None
    judged: dict[str, Proposals]


def _network(
    learnt: Manifest,
    apart: Manifest,
    number: int,
    config: MesNetConfig,
    seed: int,
    folder: str | Path | None,
    progress: bool | None,
) -> _Network:
    model = untrained(config, seed + number)
    own, others = reels(learnt, config), reels(apart, config)
    before = pretrained(own, others, config, seed + number, progress) if config.pretraining else None
    if before is not None:
        model.backbone.load_state_dict(before.model.backbone.state_dict())
    training = train(
        model,
        Clips(own, config),
        loss_of(config),
        config.train,
        seed + number,
        validation=Clips(others, replace(config, **_JUDGED)),
        folder=None if folder is None else Path(folder) / f"network-{number}",
        progress=progress,
        title=f"network {number + 1} of {config.parts}",
    )
    judged = {uid: score_video((training.model,), apart.video(uid), config) for uid in apart.uids}
    return _Network(training, before, judged)
