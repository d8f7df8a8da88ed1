"""MDMO and proposals (Yu et al., third of MEGC2023): where regions rise and fall, an expression is proposed.

    MDMO of twelve regions -> feature curves -> proposals (onset, apex, offset, score) -> limits -> intervals

The challenge paper names the two parts and no more. The features are those of the complete public variant of this
family (`mespot_lib.features.mdmo`). Proposals come from one of two heads:

    peaks     nothing is trained: a region that moves away and comes back makes a peak in its displacement
    learned   a graph of regions, then dilated convolutions over time say where apex, onset and offset of each kind are

What is open in both is decided here and listed in notebook 10, "Where we had to choose". Between neighbouring frames a
micro-expression moves the skin hardly further than tremble does. `input` chooses what the learned head sees:

    as_printed     what moved since the sample before
    displacement   its sum, less the mean over some seconds around
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as nnf
from scipy.ndimage import uniform_filter, uniform_filter1d
from scipy.signal import find_peaks
from torch import Tensor, nn

from mespot_lib import metrics, spot
from mespot_lib.features.mdmo import POINTS, MdmoMotion, MdmoRecipe, mdmo_motion
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video
from mespot_lib.methods.flow_peaks import FlowPeaksConfig, extent
from mespot_lib.train import TrainConfig, Trained, parted, seeded, subject_parts, train

OUTPUTS = ("apex", "onset", "offset", "action")  # of each kind, in this order; ME first
# which point is where another one is in a mirror
MIRROR = tuple(
    POINTS.index({18: 25, 19: 24, 20: 23, 48: 54}.get(p) or {25: 18, 24: 19, 23: 20, 54: 48}.get(p, p))
    for p in POINTS
)
# what each action unit pulls (Ekman and Friesen 1978)
PULLED: Mapping[int, tuple[int, ...]] = {
    1: (19, 20, 23, 24),
    2: (18, 19, 24, 25),
    4: (18, 19, 20, 23, 24, 25, 28),
    9: (20, 23, 28, 30, 51),
    10: (30, 48, 51, 54),
    12: (48, 51, 54),
    14: (48, 54),
    15: (48, 54, 57),
    16: (57,),
    17: (51, 57),
    20: (48, 54, 57),
    23: (51, 57),
    24: (51, 57),
    25: (51, 57),
    26: (57,),
}
# which of them come together: the basic emotions of EMFACS (Friesen and Ekman 1983), and each unit by itself
EMOTIONS = ((12,), (1, 4, 15), (1, 2, 26), (1, 2, 4, 20, 26), (4, 23), (9, 15, 16), (14,))
TOGETHER = (*EMOTIONS, *((unit,) for unit in PULLED))
# What the training-free head looks at: neighbouring points together, because one that moves alone has slipped, and
# areas that lie opposite each other.
AREAS = ((18, 19), (19, 20), (23, 24), (24, 25), (48,), (51,), (54,), (57,))
OPPOSITE = ((0, 3), (1, 2), (4, 6))
DIRECTIONS = 8
_FEWEST_SAMPLES = 8
_TRIED_U = (0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 2.5, 3.2)
_TRIED = tuple(np.geomspace(0.01, 0.7, 18).round(4).tolist())


@dataclass(frozen=True)
class MdmoConfig:
    """Settings; durations in seconds and lengths in u, so that one setting serves every frame rate and face size.

    motion : how the motion is measured; remove_head_motion : subtract that of the nose
    head : see the module's first lines; train : the loop of the learned one
    overlap : of proposals that share more than this of the shorter one the strongest stays, of each kind and of both

    Of the training-free head:
    low_pass_hz : what is faster is no expression; least_u : lower peaks are not looked at
    reach_s, shortest_s : how far a peak can reach on either side, and how short an expression can be
    extent : how the ends of a peak are found, see `mespot_lib.methods.flow_peaks.extent`

    Of the learned head:
    input : see the module's first lines; high_pass_s : window of the mean that is subtracted
    knee_u : motion goes in as arcsinh(u / knee_u): a smile moves ten times as far as an ME; 0 leaves it in u
    graph : channels of a region after the graph; channels, dilations : of the convolutions of three samples, after one
        of one sample; the last has the outputs
    batch_norm, dropout : between the layers; neither is printed
    segment : samples of a segment in training and scoring
    quiet : share of training segments at random places, the others are around an expression
    edge_share : an onset, apex or offset is labelled as far around as this share of the expression's length
    alpha, gamma, smoothing : of the focal loss; alpha of apex, ends and action
    weights : of apex, ends and action in the loss; macro : of MaE, where ME have 1
    flip, gain, stretch, noise_u : augmentation: probability of mirroring, log standard deviation of strength and of
        speed, and standard deviation of what is added to the input
    parts : groups the training subjects are dealt into; limits are chosen on what networks say that have learnt from
        the other groups
    apex : least probability of an apex; sides_s : where onset and offset are looked for around it, per kind
    lasting : look for ends up to which the action lasts, too: their probability times the mean of that of the action
    lengths_s : shortest and longest of each kind
    """

    motion: MdmoRecipe
    train: TrainConfig
    head: Literal["peaks", "learned"] = "learned"
    remove_head_motion: bool = True
    overlap: float = 0.2
    low_pass_hz: float = 5.0
    least_u: float = 0.2
    reach_s: float = 4.0
    shortest_s: float = 0.1
    extent: FlowPeaksConfig = field(default_factory=FlowPeaksConfig)
    input: Literal["as_printed", "displacement"] = "displacement"
    high_pass_s: float = 3.0
    knee_u: float = 0.3
    graph: int = 16
    channels: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    batch_norm: bool = True
    dropout: float = 0.2
    segment: int = 256
    quiet: float = 0.2
    edge_share: float = 0.1
    alpha: tuple[float, float, float] = (0.9, 0.9, 0.8)
    gamma: float = 1.0
    smoothing: float = 0.0
    weights: tuple[float, float, float] = (1.8, 1.0, 0.1)
    macro: float = 1.0
    flip: float = 0.5
    gain: float = 0.3
    stretch: float = 0.05
    noise_u: float = 0.1
    parts: int = 3
    apex: float = 0.2
    sides_s: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"ME": (0.07, 0.37), "MaE": (0.13, 2.5)}
    )
    lasting: bool = True
    lengths_s: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"ME": (0.1, 0.5), "MaE": (0.35, 4.0)}
    )

    @classmethod
    def paper(cls, **changes: Any) -> "MdmoConfig":
        """Return the learned head with the published loop: 100 epochs of batches of 128."""
        loop = TrainConfig(
            epochs=100, batch_size=128, learning_rate=0.01, weight_decay=0.1, schedule="cosine"
        )
        return replace(cls(MdmoRecipe(), loop), **changes)

    @classmethod
    def quick(cls, **changes: Any) -> "MdmoConfig":
        """Return the learned head with a loop that takes seconds on a CPU."""
        loop = TrainConfig(
            epochs=6,
            batch_size=16,
            batches_per_epoch=15,
            learning_rate=3e-3,
            weight_decay=0.05,
            schedule="one_cycle",
        )
        return replace(cls(MdmoRecipe(), loop, segment=128), **changes)

    @classmethod
    def peaks(cls, **changes: Any) -> "MdmoConfig":
        """Return the training-free head."""
        return cls.quick(head="peaks", **changes)

    def as_printed(self) -> "MdmoConfig":
        """Return the learned head with everything taken as the public variant has it, in seconds at 30 per second."""
        return replace(
            self,
            head="learned",
            motion=replace(self.motion, key_s=0.0),
            input="as_printed",
            knee_u=0.0,
            dilations=(1, 2, 2),
            batch_norm=False,
            dropout=0.0,
            smoothing=0.16,
            macro=0.5,
            flip=0.0,
            gain=0.0,
            stretch=0.0,
            noise_u=0.0,
            apex=0.5,
            sides_s={"ME": (2 / 30, 7 / 30), "MaE": (7 / 30, 29 / 30)},
            lasting=False,
            lengths_s={"ME": (5 / 30, 30 / 30), "MaE": (15 / 30, 90 / 30)},
        )


class Scores(NamedTuple):
    """What is known of a video before any limit.

    fps : frames per second; frames : (N,) sampled positions on the frame axis
    curves : (N, C): displacements in u that the peaks are sought in, or probabilities, `OUTPUTS` of ME, then of MaE
    proposals : intervals with score: prominence in u, or the product of three probabilities
    """

    fps: float
    frames: np.ndarray
    curves: np.ndarray
    proposals: list[Interval]

    def table(self) -> np.ndarray:
        """Return the proposals as (P, 5) float64: kind (0 ME, 1 MaE), onset, apex, offset, score."""
        rows = [(KINDS.index(p.kind), p.onset, p.apex, p.offset, p.score) for p in self.proposals]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)


def prepare(video: Video, profile: str) -> None:
    """Measure what every fold needs of a video, into the cache."""
    mdmo_motion(video, getattr(MdmoConfig, profile)().motion)


def _rate_hz(motion: MdmoMotion, fps: float) -> float:
    return fps / (motion.frames[1] - motion.frames[0]) if len(motion.frames) > 1 else fps


# ---------------------------------------------------------------------------------------------------------------------
# Training-free


def area_curves(motion: MdmoMotion, fps: float, config: MdmoConfig) -> np.ndarray:
    """Return the displacement of areas, and of opposite ones together, along every direction: (N, C) u."""
    shifts = motion.shifts(config.remove_head_motion)
    areas = [shifts[:, [POINTS.index(point) for point in points]].mean(axis=1) for points in AREAS]
    mirrored = np.array([-1.0, 1.0])
    both = [(areas[one] + areas[other] * mirrored) / 2 for one, other in OPPOSITE]
    flat = np.stack([*areas, *both], axis=1).reshape(len(shifts), -1)
    rate_hz = _rate_hz(motion, fps)
    if config.low_pass_hz < rate_hz / 2:
        flat = spot.smooth(flat, rate_hz, low_pass_hz=config.low_pass_hz)
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    along = flat.reshape(len(shifts), -1, 2) @ np.stack([np.cos(angles), np.sin(angles)])
    return along.reshape(len(shifts), -1)


def peak_proposals(curves: np.ndarray, frames: np.ndarray, fps: float, config: MdmoConfig) -> list[Interval]:
    """Return an interval for every peak of every curve (N, C): it rises from onset to apex and falls to offset."""
    if len(frames) < _FEWEST_SAMPLES:
        return []
    step = int(frames[1] - frames[0])
    rate_hz = fps / step
    window = 2 * round(config.reach_s * rate_hz) + 1
    found: list[Interval] = []
    for curve in curves.T:
        for peak in find_peaks(curve, prominence=config.least_u, wlen=window)[0]:
            onset, offset, height = extent(curve, int(peak), rate_hz, config.extent)
            if height < config.least_u or offset - onset < config.shortest_s * rate_hz:
                continue
            ends = np.array([[round(onset * step), round(offset * step)]])
            (span,) = spot.type_by_duration(ends, fps, [int(peak) * step], [height])
            found.append(span)
    return spot.nms(found, config.overlap, over="shorter")


# ---------------------------------------------------------------------------------------------------------------------
# The learned head: the network


def adjacency() -> np.ndarray:
    """Return how much regions move together, (R, R) float32, normalised as in a graph convolution.

    Of the emotions' action units in which one of two regions moves, the share in which both do; with every region
    joined to itself, D^-1/2 A D^-1/2 (Kipf and Welling 2017).
    """
    moves = np.array(
        [[any(p in PULLED.get(u, ()) for u in units) for p in POINTS] for units in TOGETHER], dtype=float
    )
    both = moves.T @ moves
    alone = np.diag(both)
    joint = both / (alone[:, None] + alone - both)
    np.fill_diagonal(joint, 1.0)
    degree = joint.sum(axis=1)
    return (joint / np.sqrt(degree[:, None] * degree)).astype(np.float32)


class ProposalNet(nn.Module):
    """Graph of regions, a dense layer at each moment, dilated convolutions over time, eight outputs.

    The convolutions are not padded: an output of a segment sees nothing but what is there.
    """

    adjacency: Tensor

    def __init__(self, config: MdmoConfig):
        super().__init__()
        self.register_buffer("adjacency", torch.from_numpy(adjacency()), persistent=False)
        self.graph = nn.Linear(2, config.graph)
        layers: list[nn.Module] = [nn.Conv1d(len(POINTS) * config.graph, config.channels, 1)]
        for dilation in config.dilations[:-1]:
            layers += [*_between(config), nn.Conv1d(config.channels, config.channels, 3, dilation=dilation)]
        last = nn.Conv1d(config.channels, len(KINDS) * len(OUTPUTS), 3, dilation=config.dilations[-1])
        self.time = nn.Sequential(*layers, *_between(config), last)

    def forward(self, motion: Tensor) -> Tensor:
        """Return the logits (B, 8, T) of motion (B, T + 2 reach, R, 2); `reach` as of the function."""
        joined = torch.relu(self.graph(self.adjacency @ motion))
        return self.time(joined.flatten(2).transpose(1, 2))


def _between(config: MdmoConfig) -> list[nn.Module]:
    norm = [nn.BatchNorm1d(config.channels)] if config.batch_norm else []
    return [*norm, nn.ReLU(), *([nn.Dropout(config.dropout)] if config.dropout else [])]


def reach(config: MdmoConfig) -> int:
    """Return how many samples before and after its own an output sees.

    >>> reach(MdmoConfig.quick(dilations=(1, 2, 2)))
    5
    """
    return sum(config.dilations)


def untrained(config: MdmoConfig, seed: int) -> ProposalNet:
    """Return a network with the random weights that a training with this seed begins with."""
    with seeded(seed, 11):
        return ProposalNet(config).eval()


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float, smoothing: float) -> Tensor:
    """Return the focal loss of labels in 0..1 (Lin et al. 2017), of the shape given.

    alpha weighs what is there, 1 - alpha what is not; smoothing moves both labels towards one half.
    """
    p = logits.sigmoid()
    smooth = labels * (1 - smoothing) + smoothing / 2
    missed = (labels - p).abs()
    cross = nnf.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    return (alpha * labels + (1 - alpha) * (1 - labels)) * missed**gamma * cross


def loss_of(config: MdmoConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of logits (B, 8, T) and labels (B, 8, T): a mean over moments, weighted by output and kind."""
    alpha, ends, action = config.alpha
    of_output = (alpha, ends, ends, action)
    weight = (config.weights[0], config.weights[1], config.weights[1], config.weights[2])

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for number in range(labels.shape[1]):
            output, kind = number % len(OUTPUTS), number // len(OUTPUTS)
            each = focal_loss(
                logits[:, number], labels[:, number], of_output[output], config.gamma, config.smoothing
            )
            total = total + (config.macro if KINDS[kind] == "MaE" else 1.0) * weight[output] * each.mean()
        return total

    return loss


# ---------------------------------------------------------------------------------------------------------------------
# The learned head: what it sees and shall say


def network_input(motion: MdmoMotion, fps: float, config: MdmoConfig) -> np.ndarray:
    """Return what the network sees of all samples of a video: (N, R, 2) float32."""
    if config.input == "as_printed":
        seen = motion.steps(config.remove_head_motion)
    else:
        shifts = motion.shifts(config.remove_head_motion)
        window = max(1, round(config.high_pass_s * _rate_hz(motion, fps)))
        seen = shifts - uniform_filter1d(shifts, window, axis=0, mode="nearest")
    return seen.astype(np.float32)


def bent(motion: np.ndarray, config: MdmoConfig) -> np.ndarray:
    """Return motion in u as the network wants it: straight below the knee, ever slower above it."""
    return np.arcsinh(motion / config.knee_u).astype(np.float32) if config.knee_u else motion


def labels_of(events: np.ndarray, samples: int, config: MdmoConfig) -> np.ndarray:
    """Return what the outputs shall be, (8, N) float32 of 0 and 1.

    events : (M, 4) kind as number, onset, apex, offset in samples, which may lie between two of these or outside
    """
    labels = np.zeros((len(KINDS) * len(OUTPUTS), samples), dtype=np.float32)
    at = np.arange(samples)
    for kind, onset, apex, offset in events:
        around = max(1.0, config.edge_share * (offset - onset + 1))
        first = int(kind) * len(OUTPUTS)
        for number, place in enumerate((apex, onset, offset)):
            labels[first + number, np.abs(at - place) <= around] = 1
        labels[first + OUTPUTS.index("action"), (at >= onset) & (at <= offset)] = 1
    return labels


def events_of(truth: Sequence[Interval], step: int) -> np.ndarray:
    """Return true intervals as (M, 4): kind as number, onset, apex (else the middle), offset, in samples."""
    rows = [
        (KINDS.index(s.kind), s.onset, (s.onset + s.offset) / 2 if s.apex is None else s.apex, s.offset)
        for s in truth
    ]
    events = np.array(rows, dtype=np.float64).reshape(-1, 4)
    events[:, 1:] /= step
    return events


class Segments:
    """Segments of some videos, drawn by index (`train.Samples`): the first ones around the expressions."""

    def __init__(self, manifest: Manifest, config: MdmoConfig):
        self.config = config
        self.inputs, self.events = [], []
        for uid in manifest.uids:
            video = manifest.video(uid)
            motion = mdmo_motion(video, config.motion)
            self.inputs.append(network_input(motion, video.fps, config))
            step = int(motion.frames[1] - motion.frames[0]) if len(motion.frames) > 1 else 1
            self.events.append(events_of(manifest.truth(uid), step))
        shown = [(v, float(e[2])) for v, events in enumerate(self.events) for e in events]
        tiles = [
            (v, float(middle))
            for v, seen in enumerate(self.inputs)
            for middle in np.arange(config.segment / 2, max(len(seen), config.segment), config.segment)
        ]
        self.places, self.n_shown = [*shown, *tiles], len(shown)

    def __len__(self) -> int:
        return len(self.places)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return places for an epoch, the share of those without regard to expressions as configured."""
        count = max(len(self), self.config.train.batch_size * (self.config.train.batches_per_epoch or 1))
        quiet = rng.random(count) < (self.config.quiet if self.n_shown else 1.0)
        shown = rng.integers(max(self.n_shown, 1), size=count)
        return np.where(quiet, rng.integers(self.n_shown, len(self), size=count), shown)

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return motion (B, T + 2 reach, R, 2) and labels (B, 8, T)."""
        places = [self.places[i] for i in index]
        pairs = [self._segment(video, middle, rng) for video, middle in places]
        motion, labels = (np.stack(column) for column in zip(*pairs, strict=True))
        return (torch.from_numpy(motion),), torch.from_numpy(labels)

    def _segment(self, video: int, middle: float, rng: np.random.Generator | None) -> tuple:
        config, seen = self.config, self.inputs[video]
        speed = 1.0 if rng is None else float(np.exp(config.stretch * rng.standard_normal()))
        apart = 0.0 if rng is None else rng.uniform(-0.4, 0.4) * config.segment
        first = middle + (apart - config.segment / 2) * speed
        first = np.clip(first, 0, max(0, len(seen) - config.segment * speed))
        first = np.floor(first) if speed == 1 else first
        around = reach(config)
        motion = _read(seen, first + speed * np.arange(-around, config.segment + around))
        if rng is not None:
            motion = varied(motion, config, rng)
        events = self.events[video].copy()
        events[:, 1:] = (events[:, 1:] - first) / speed
        return bent(motion, config), labels_of(events, config.segment, config)


def _read(seen: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return rows (T, R, 2) of an array (N, R, 2) at places between samples (T,); beyond its ends nothing moves."""
    at = np.clip(at, 0, len(seen) - 1)
    before = np.minimum(at.astype(np.int64), max(0, len(seen) - 2))
    after = np.minimum(before + 1, len(seen) - 1)
    share = (at - before)[:, None, None].astype(np.float32)
    return seen[before] * (1 - share) + seen[after] * share


def varied(motion: np.ndarray, config: MdmoConfig, rng: np.random.Generator) -> np.ndarray:
    """Return motion (T, R, 2) of a face mirrored or not, stronger or weaker, and less steady."""
    if rng.random() < config.flip:
        motion = motion[:, MIRROR] * np.array([-1, 1], dtype=np.float32)
    motion = motion * np.float32(np.exp(config.gain * rng.standard_normal()))
    return motion + np.float32(config.noise_u) * rng.standard_normal(motion.shape, dtype=np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# The learned head: scoring


def probabilities(model: ProposalNet, seen: np.ndarray, config: MdmoConfig) -> np.ndarray:
    """Return what a network says of all samples of a video: (N, 8) float64 in 0..1.

    seen : (N, R, 2) of `network_input`. Segments follow each other; each sees some samples of its neighbours, so
    cutting changes nothing, and beyond the ends of the video nothing moves.
    """
    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for first in range(0, len(seen), config.segment):
            stop = min(first + config.segment, len(seen))
            motion = bent(_read(seen, np.arange(first - reach(config), stop + reach(config))), config)
            said = model(torch.from_numpy(motion)[None].to(device))[0].sigmoid()
            parts.append(said.T.double().cpu().numpy())
    return np.concatenate(parts)


def learned_proposals(
    curves: np.ndarray, frames: np.ndarray, fps: float, length: int, config: MdmoConfig
) -> list[Interval]:
    """Return an interval for every likely apex: from the likeliest onset before it to the likeliest offset after it.

    curves : (N, 8) of `probabilities`; length : of the video in frames. Nothing reaches beyond its ends.
    """
    step = int(frames[1] - frames[0]) if len(frames) > 1 else 1
    rate_hz = fps / step
    found: list[Interval] = []
    for number, kind in enumerate(KINDS):
        apex, onset, offset, action = curves[:, number * len(OUTPUTS) :][:, : len(OUTPUTS)].T
        near, far = (round(seconds * rate_hz) for seconds in config.sides_s[kind])
        shortest, longest = (seconds * fps for seconds in config.lengths_s[kind])
        for at in np.flatnonzero(apex >= config.apex):
            back = slice(at, at - far - 1 if at > far else None, -1)  # from the apex to the left
            ahead = slice(at, at + far + 1)
            before, after = (
                _end(ends[side], action[side], near, config.lasting)
                for ends, side in ((onset, back), (offset, ahead))
            )
            if before is None or after is None:
                continue
            first, last = int(at) - before, int(at) + after
            if shortest <= (last - first) * step <= longest:
                score = float(apex[at] * onset[first] * offset[last])
                end = min(int(frames[last]), length - 1)
                found.append(Interval(int(frames[first]), end, kind, int(frames[at]), score))
    return spot.nms(found, config.overlap, over="shorter")


def _end(likely: np.ndarray, action: np.ndarray, near: int, lasting: bool) -> int | None:
    """Return how far from the apex its likeliest end is, of probabilities (M,) from it on; None beyond the video."""
    if len(likely) <= near:
        return None
    lasts = np.cumsum(action) / np.arange(1, len(action) + 1) if lasting else 1.0
    return near + int((likely * lasts)[near:].argmax())


def score_video(model: ProposalNet | None, video: Video, config: MdmoConfig) -> Scores:
    """Return the curves and proposals of a video; without a network those of the training-free head."""
    motion = mdmo_motion(video, config.motion)
    if config.head == "peaks":
        curves = area_curves(motion, video.fps, config)
        return Scores(
            video.fps, motion.frames, curves, peak_proposals(curves, motion.frames, video.fps, config)
        )
    assert model is not None  # the learned head has one
    curves = probabilities(model, network_input(motion, video.fps, config), config)
    found = learned_proposals(curves, motion.frames, video.fps, video.length, config)
    return Scores(video.fps, motion.frames, curves, found)


# ---------------------------------------------------------------------------------------------------------------------
# Limits


def spot_scores(scores: Scores, limits: Mapping[str, float], config: MdmoConfig) -> list[Interval]:
    """Return the proposals that reach the limit of their kind, without those that a stronger one overlaps.

    The score of an interval is how many times it reaches its limit.
    """
    above = [
        replace(span, score=span.score / limits[span.kind])
        for span in scores.proposals
        if span.score >= limits[span.kind]
    ]
    return spot.nms(above, config.overlap, across_kinds=True, over="shorter")


def choose_limits(
    judged: Mapping[str, Scores], truth: Mapping[str, Sequence[Interval]], config: MdmoConfig
) -> dict[str, float]:
    """Choose both limits by overall F1 (profile `megc`) on videos whose truth may be seen."""
    tried = _TRIED_U if config.head == "peaks" else _TRIED
    f1 = np.zeros((len(tried), len(tried)))
    for (row, me), (column, mae) in product(enumerate(tried), enumerate(tried)):
        limits = dict(zip(KINDS, (me, mae), strict=True))
        spotted = {uid: spot_scores(scores, limits, config) for uid, scores in judged.items()}
        f1[row, column] = metrics.score(truth, spotted).overall.f1
    # with its neighbours, because a single good value among bad ones is luck
    row, column = np.unravel_index(uniform_filter(f1, 3, mode="nearest").argmax(), f1.shape)
    return dict(zip(KINDS, (tried[row], tried[column]), strict=True))


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


@dataclass(frozen=True)
class Fitted:
    """The method with what was learnt and chosen on the training subjects.

    training : of the network that learnt from all, None for the training-free head; trainings : one per part
    limits : per kind, of the score of a proposal
    judged : scores of the training videos by a network that has not seen their person; limits are chosen on them
    """

    config: MdmoConfig
    training: Trained[ProposalNet] | None
    trainings: tuple[Trained[ProposalNet], ...]
    limits: dict[str, float]
    judged: dict[str, Scores]

    @property
    def model(self) -> ProposalNet | None:
        """Return the network, if there is one."""
        return None if self.training is None else self.training.model

    def score(self, video: Video) -> Scores:
        """Return the curves and proposals of a video, of any dataset and frame rate."""
        return score_video(self.model, video, self.config)

    def spot(self, scores: Scores) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_scores(scores, self.limits, self.config)


def fit(
    train_manifest: Manifest,
    config: MdmoConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Fit on the videos of a manifest, which holds the training subjects and nobody else.

    The training-free head has nothing but its limits. Of the learned one a network is trained for each part of the
    subjects, on the others; it scores the part, and the limits are chosen on those scores. A new video is scored by one
    more network, which learns from all. Each takes all its epochs: none is chosen.

    folder : of checkpoints, for a training that may be interrupted.
    """
    truth = {uid: train_manifest.truth(uid) for uid in train_manifest.uids}
    if config.head == "peaks":
        judged = {uid: score_video(None, train_manifest.video(uid), config) for uid in truth}
        return Fitted(config, None, (), choose_limits(judged, truth, config), judged)

    def learnt_from(some: Manifest, name: str, number: int) -> Trained[ProposalNet]:
        return train(
            untrained(config, seed + number),
            Segments(some, config),
            loss_of(config),
            config.train,
            seed + number,
            folder=None if folder is None else Path(folder) / name,
            progress=progress,
            title=name,
        )

    trainings: list[Trained[ProposalNet]] = []
    judged = {}
    dealt = subject_parts(train_manifest, min(config.parts, len(train_manifest.subjects)), seed)
    for number, part in enumerate(dealt, start=1):
        some, apart = parted(train_manifest, part)
        trainings.append(learnt_from(some, f"part-{number}", number))
        judged |= {uid: score_video(trainings[-1].model, apart.video(uid), config) for uid in apart.uids}
    training = learnt_from(train_manifest, "all", 0)
    return Fitted(config, training, tuple(trainings), choose_limits(judged, truth, config), judged)
