"""Two-stream I3D with BiFPN (He et al. 2023, "Bidirectional cross-scale feature fusion for long video ME 3D spotting").

    windows of 128 samples -> TV-L1 flow and face crops, an I3D each -> features after pools 3, 4, 5, mean over space
    -> pyramid P3 to P7, fused in both directions -> at each moment of each level anchors of five lengths:
       none, ME or MaE, and where the ends are -> best place of each overlap -> ME and MaE

No code of the paper is public; what it leaves open is decided here and listed in notebook 50, "Where we had to choose".
Places are counted in samples, about 30 per second; a place [a, b) begins with sample a and ends before sample b.

Between samples an ME moves the skin by a tenth of a pixel, and pictures of one person differ far less than those of
two. `input` chooses what the streams are given:

    as_printed     flow between samples, in -1..1 for +-15 px; grey levels, 0..1
    displacement   both less what they are at rest: the sum of the flow, and the grey levels, less their medians in the
                   window; as arcsinh(x / knee), because a blink moves the lids ten times as far as an ME anything
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as nnf
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from mespot_lib import metrics, spot
from mespot_lib.clips import clip_windows
from mespot_lib.face import CROP_UNITS
from mespot_lib.features.crops import CropRecipe, FaceCrops, face_crops
from mespot_lib.features.face_flow import FaceFlow, FaceFlowRecipe, face_flow
from mespot_lib.features.motion import sampling_step
from mespot_lib.inception import I3d, load_i3d, stages
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video
from mespot_lib.pyramid import Fusion, Pyramid
from mespot_lib.train import TrainConfig, Trained, parted, seeded, side_by_side, subject_parts, train

Stream = Literal["rgb", "flow"]
LEVELS = {"P3": 4, "P4": 8, "P5": 16, "P6": 32, "P7": 64}  # samples per moment
_FEATURES = ("Mixed_3c", "Mixed_4f", "Mixed_5c")  # what the pools 3, 4, 5 are given
_MOST_PX = 15.0
_CLASSES = ("none", *KINDS)
COLUMNS = ("onset", "offset", "kind", "p", "level")
_IGNORED = -1
_WINDOWS_AT_ONCE = 16
_TRIED = tuple(np.linspace(0.05, 0.95, 37).round(3).tolist())
_SURE = 2.0  # logit of "none" at the start: nearly all anchors are


# What the paper prints of `Fitted.settings`: the best row of its Table II. It does not say how overlaps were removed.
PRINTED_SETTINGS: Mapping[str, Any] = {"limits": "top", "top_threshold": 0.6}


@dataclass(frozen=True)
class I3dBiFpnConfig:
    """Settings; window and strides in samples of about 1/30 s, so that one setting serves every frame rate.

    flow, crops : what the two streams are made of; both sampled alike; grey_size : edge the crops are reduced to, px
    train : the optimiser loop
    streams : which there are; the "rgb" stream is given grey crops; input : see the module's first lines
    knee_u, knee_grey : up to where the inputs are as they are measured, in face units and grey levels
    width : of the I3Ds; channels, repeats, fusion : of the pyramid; hidden, dropout : of the classification-regression
        network
    kinetics : files of I3D weights by stream, None to train from scratch
    window, train_stride, test_stride : of the windows; in training they begin up to half a stride earlier or later
    quiet : share of the windows without an expression that an epoch has
    scale, ratios : an anchor is scale x ratio x the samples per moment of its level long
    positive, negative : an anchor with a larger IoU than the first is the expression, with a smaller one than the
        second none, between them neither; inside : an expression counts if that share of it is in the window
    alpha, gamma : of the focal loss; box_weight : of the smooth-L1 loss of the ends
    crop : side of random crops as a share; flip : probability; gain : range of a factor on what the streams see
    parts, judged : groups the training subjects are dealt into, and how many of these the limits are chosen on; see
        `judge`. Each costs a training
    floor : less probable places are not kept; nms : share of the shorter one that two kept places may have in common
    limits : "f1", one per kind, chosen on the training subjects; "top", the most probable share `top` of the places
    """

    flow: FaceFlowRecipe
    crops: CropRecipe
    grey_size: int
    train: TrainConfig
    streams: Literal["rgb", "flow", "both"] = "both"
    input: Literal["as_printed", "displacement"] = "displacement"
    knee_u: float = 0.3
    knee_grey: float = 2.0
    width: float = 1.0
    channels: int = 256
    repeats: int = 1
    fusion: Fusion = "bifpn_se"
    hidden: int = 256
    dropout: float = 0.5
    kinetics: Mapping[Stream, str] = field(default_factory=dict)
    window: int = 128
    train_stride: int = 32
    test_stride: int = 16
    quiet: float = 1.0
    scale: float = 2.0
    ratios: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5, 2.0)
    positive: float = 0.5
    negative: float = 0.4
    inside: float = 0.9
    alpha: float = 0.25
    gamma: float = 2.0
    box_weight: float = 5.0
    crop: float = 0.875
    flip: float = 0.5
    gain: tuple[float, float] = (1.0, 1.0)
    parts: int = 3
    judged: int = 3
    floor: float = 0.05
    nms: float = 0.2
    limits: Literal["f1", "top"] = "f1"
    top: float = 0.6

    @classmethod
    def paper(cls, **changes: Any) -> "I3dBiFpnConfig":
        """Return the printed sizes and epochs, at 224 px, for a GPU; what is not printed as in `quick`."""
        loop = TrainConfig(epochs=30, batch_size=32, learning_rate=1e-4)
        flow = FaceFlowRecipe(size=256, cells=256, method="tvl1", flow_settings={}, key_s=0.0)
        return replace(cls(flow, CropRecipe(size=256), 256, loop), **changes)

    @classmethod
    def quick(cls, **changes: Any) -> "I3dBiFpnConfig":
        """Return the same eight times as narrow, on 24 px (grey: 14), with fewer and larger steps; for a CPU."""
        loop = TrainConfig(
            epochs=5,
            batch_size=4,
            batches_per_epoch=50,
            learning_rate=6e-3,
            schedule="one_cycle",
            weight_decay=1e-3,
            clip_norm=5.0,
        )
        flow = FaceFlowRecipe(size=112, cells=28, method="tvl1", flow_settings={"warps": 3})
        small = cls(
            flow,
            CropRecipe(),
            16,
            loop,
            width=1 / 8,
            channels=32,
            hidden=32,
            dropout=0.1,
            test_stride=32,
            parts=2,
            judged=1,
            quiet=0.2,
            alpha=0.5,
            crop=6 / 7,
            gain=(0.7, 1.4),
        )
        return replace(small, **changes)

    def as_printed(self) -> "I3dBiFpnConfig":
        """Return the same size with everything the paper says taken literally."""
        flow = replace(self.flow, key_s=0.0)
        return replace(self, flow=flow, input="as_printed", gain=(1.0, 1.0), limits="top")

    def stream_names(self) -> tuple[Stream, ...]:
        """Return the streams there are, in the order of their features."""
        return ("rgb", "flow") if self.streams == "both" else (self.streams,)


# ---------------------------------------------------------------------------------------------------------------------
# Anchors


def places(config: I3dBiFpnConfig) -> np.ndarray:
    """Return the anchors of a window, (A, 3) float64: begin and end in samples, level from 0.

    In the order of what the network says: by level, moment, ratio. Some reach beyond the window.
    """
    rows = []
    for level, stride in enumerate(LEVELS.values()):
        centres = (np.arange(-(-config.window // stride)) + 0.5) * stride
        half = config.scale * stride * np.array(config.ratios) / 2
        edges = np.stack([centres[:, None] - half, centres[:, None] + half], axis=-1).reshape(-1, 2)
        rows.append(np.column_stack([edges, np.full(len(edges), level)]))
    return np.concatenate(rows)


def encode(anchors: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return how far ends (..., 2) are from those of anchors (..., 2), in lengths of the anchor."""
    return (ends - anchors) / (anchors[..., 1:] - anchors[..., :1])


def decode(anchors: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return the ends (..., 2) that `encode` made `moved` of."""
    return anchors + moved * (anchors[..., 1:] - anchors[..., :1])


def place_iou(anchors: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the IoU (A, M) of places [a, b), (A, 2) and (M, 2)."""
    first = np.maximum(anchors[:, None, 0], truth[:, 0])
    shared = np.maximum(np.minimum(anchors[:, None, 1], truth[:, 1]) - first, 0)
    lengths = (anchors[:, 1] - anchors[:, 0])[:, None] + (truth[:, 1] - truth[:, 0])
    return shared / (lengths - shared)


def matched(anchors: np.ndarray, truth: np.ndarray, config: I3dBiFpnConfig) -> np.ndarray:
    """Return what each anchor (A, 2) shall say, (A, 3): 0 for none, 1 ME, 2 MaE, -1 ignored; and where the ends are.

    truth : (M, 3) begin and end in samples of the window, and class. The anchor with the highest IoU is the expression
    however low that is. An expression of which too little is in the window is not asked for: what overlaps it much is
    ignored.
    """
    targets = np.zeros((len(anchors), 3))
    if not len(truth):
        return targets
    iou = place_iou(anchors, truth[:, :2])
    shown = np.minimum(truth[:, 1], config.window) - np.maximum(truth[:, 0], 0)
    asked = shown >= config.inside * (truth[:, 1] - truth[:, 0])
    nearest = iou.argmax(axis=1)
    best = iou[np.arange(len(anchors)), nearest]
    for number in np.flatnonzero(asked):
        top = iou[:, number].argmax()
        nearest[top], best[top] = number, 1.0
    targets[:, 0] = np.where(best > config.positive, truth[nearest, 2], 0)
    unclear = (best >= config.negative) & ((best <= config.positive) | ~asked[nearest])
    targets[unclear, 0] = _IGNORED
    targets[:, 1:] = encode(anchors, truth[nearest, :2])
    return targets


# ---------------------------------------------------------------------------------------------------------------------
# The network


class Head(nn.Module):
    """Classification-regression network of a level: two convolutions over time, two dense layers at each moment.

    The paper does not pad the convolutions; then the coarsest level, of two moments, would have nothing left.
    """

    def __init__(self, channels: int, hidden: int, ratios: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.kind, self.ends = nn.Conv1d(hidden, ratios * len(_CLASSES), 1), nn.Conv1d(hidden, ratios * 2, 1)
        for layer in self.layers:
            if isinstance(layer, nn.Conv1d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, layer.bias))
        for last in (self.kind, self.ends):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(cast(Tensor, last.bias))
        cast(Tensor, self.kind.bias).data[:: len(_CLASSES)] = _SURE

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, T R, 3) and moved ends (B, T R, 2) of a level (B, C, T)."""
        x = self.layers(x)
        return _by_anchor(self.kind(x), len(_CLASSES)), _by_anchor(self.ends(x), 2)


def _by_anchor(x: Tensor, values: int) -> Tensor:
    """Return (B, T R, values) of (B, R values, T)."""
    return x.unflatten(1, (-1, values)).permute(0, 3, 1, 2).flatten(1, 2)


class Spotter(nn.Module):
    """The whole network: an I3D per stream, the pyramid, a head per level."""

    def __init__(self, config: I3dBiFpnConfig):
        super().__init__()
        names = config.stream_names()
        self.backbone = nn.ModuleDict({n: I3d(2 if n == "flow" else 1, config.width) for n in names})
        widths = stages(config.width)
        features = [len(names) * widths[layer] for layer in _FEATURES]
        self.pyramid = Pyramid(features, len(LEVELS), config.channels, config.fusion, config.repeats)
        self.heads = nn.ModuleList(
            Head(config.channels, config.hidden, len(config.ratios), config.dropout) for _ in LEVELS
        )

    def levels(self, *clips: Tensor) -> list[Tensor]:
        """Return P3 to P7, (B, C, T) each, of a clip (B, C, T, H, W) per stream."""
        streams = [net(clip) for net, clip in zip(self.backbone.values(), clips, strict=True)]
        means = [[x.mean(dim=(-2, -1)) for x in features] for features in streams]
        return self.pyramid([torch.cat(same, dim=1) for same in zip(*means, strict=True)])

    def forward(self, *clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, A, 3) and moved ends (B, A, 2) of all `places`."""
        said = [head(x) for head, x in zip(self.heads, self.levels(*clips), strict=True)]
        logits, ends = zip(*said, strict=True)
        return torch.cat(logits, dim=1), torch.cat(ends, dim=1)


def untrained(config: I3dBiFpnConfig, seed: int) -> Spotter:
    """Return a network with the weights a training with this seed begins with: random ones, or those of a file.

    Raises
    ------
    mespot_lib.inception.WeightsError
        If a file of `config.kinetics` does not serve.
    """
    with seeded(seed, 9):
        model = Spotter(config).eval()
    for stream, path in config.kinetics.items():
        load_i3d(path, cast(I3d, model.backbone[stream]))
    return model


def parameter_counts(config: I3dBiFpnConfig) -> dict[str, int]:
    """Return how many numbers each part has."""
    model = Spotter(config)
    parts = {f"I3D, {name}": net for name, net in model.backbone.items()}
    parts |= {"pyramid": model.pyramid, "heads": model.heads}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


# ---------------------------------------------------------------------------------------------------------------------
# The loss


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the focal loss of each anchor (N,) (Lin et al. 2017), over a softmax of logits (N, 3); label 0 is none.

    - a (1 - p)^gamma log p for the probability p of the right class, a = alpha for expressions and 1 - alpha for none.
    """
    log_p = nnf.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
    weight = torch.where(labels > 0, alpha, 1 - alpha)
    return -weight * (1 - log_p.exp()) ** gamma * log_p


def loss_of(config: I3dBiFpnConfig) -> Callable[[tuple[Tensor, Tensor], Tensor], Tensor]:
    """Return the loss of (logits, moved ends) and targets (B, A, 3) of `matched`: per anchor that is an expression."""

    def loss(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        logits, ends = output
        labels = targets[..., 0].long()
        known, found = labels != _IGNORED, labels > 0
        count = found.sum().clamp_min(1)
        classes = focal_loss(logits[known], labels[known], config.alpha, config.gamma).sum()
        moved = nnf.smooth_l1_loss(ends[found], targets[..., 1:][found], reduction="sum")
        return (classes + config.box_weight * moved) / count

    return loss


# ---------------------------------------------------------------------------------------------------------------------
# What the network sees


def prepare(video: Video, profile: str) -> None:
    """Measure the flow of a video and cut out the face, into the cache: what every fold needs of it."""
    config = getattr(I3dBiFpnConfig, profile)()
    face_flow(video, config.flow)
    face_crops(video, config.crops)


class Reel(NamedTuple):
    """A video as the network sees it: `total` samples, `step` frames apart.

    flow, crops : of a stream that is used, else None; rows : (total,) crop nearest to each sample
    truth : (M, 3) begin and end in samples, class
    """

    total: int
    step: int
    flow: FaceFlow | None
    crops: FaceCrops | None
    rows: np.ndarray
    truth: np.ndarray


def reel(video: Video, truth: Sequence[Interval], config: I3dBiFpnConfig) -> Reel:
    """Return a video ready to be read, with the expressions in samples."""
    names = config.stream_names()
    step = sampling_step(video.fps, config.flow.rate_hz)
    samples = np.arange(0, video.length, step)
    flow = face_flow(video, config.flow) if "flow" in names else None
    crops = face_crops(video, config.crops) if "rgb" in names else None
    rows = np.empty(0, dtype=np.int64) if crops is None else _nearest(crops.frames, samples)
    spans = [(s.onset / step, (s.offset + 1) / step, 1 + KINDS.index(s.kind)) for s in truth]
    return Reel(len(samples), step, flow, crops, rows, np.array(spans, dtype=float).reshape(-1, 3))


def _nearest(frames: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    after = np.clip(np.searchsorted(frames, wanted), 0, len(frames) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - frames[before] < frames[after] - wanted, before, after)


def read_window(seen: Reel, first: int, config: I3dBiFpnConfig) -> list[np.ndarray]:
    """Return the clip (C, T, S, S) float32 of each stream from sample `first` on; a video that ends stands still."""
    stop = min(first + config.window, seen.total)
    read = {"rgb": _grey, "flow": _flow}
    clips = [read[name](seen, first, stop, config) for name in config.stream_names()]
    missing = config.window - (stop - first)
    return [np.pad(clip, ((0, 0), (0, missing), (0, 0), (0, 0)), mode="edge") for clip in clips]


def _flow(seen: Reel, first: int, stop: int, config: I3dBiFpnConfig) -> np.ndarray:
    assert seen.flow is not None  # as `config.streams` has it
    steps = np.array(seen.flow.steps[first:stop], dtype=np.float32).transpose(1, 0, 2, 3)
    if config.input == "as_printed":
        return (steps * (config.flow.size / CROP_UNITS / _MOST_PX)).clip(-1, 1)
    return _compressed(steps.cumsum(axis=1), config.knee_u)


def _grey(seen: Reel, first: int, stop: int, config: I3dBiFpnConfig) -> np.ndarray:
    assert seen.crops is not None  # as `config.streams` has it
    levels = np.array(seen.crops.crops[seen.rows[first:stop]], dtype=np.float32)
    size, cell = config.grey_size, levels.shape[1] // config.grey_size
    pixels = levels[:, : size * cell, : size * cell].reshape(-1, size, cell, size, cell)
    # ten times as fast as the mean over two axes at once
    rows = cast(np.ndarray, sum(pixels[..., x] for x in range(cell)))
    summed = cast(np.ndarray, sum(rows[:, :, y] for y in range(cell)))
    small = (summed / np.float32(cell**2))[None]
    return small / 255 if config.input == "as_printed" else _compressed(small, config.knee_grey)


def _compressed(values: np.ndarray, knee: float) -> np.ndarray:
    """Return values (C, T, S, S) less their median over time, the large ones made smaller.

    An expression is a small part of a window; a mean would be drawn towards it, and all the rest away from zero.
    """
    ranked, count = np.sort(values, axis=1), values.shape[1]  # sooner than `np.median`, which gives the same
    median = (ranked[:, (count - 1) // 2] + ranked[:, count // 2]) / 2
    return np.arcsinh((values - median[:, None]) / knee)


def varied(
    clips: list[np.ndarray], config: I3dBiFpnConfig, rng: np.random.Generator | None
) -> list[np.ndarray]:
    """Return clips (C, T, S, S) cropped at random, mirrored, stronger or weaker; without rng their middle.

    A mirror turns the sign of what points to the right.
    """
    left, top = (0.5, 0.5) if rng is None else rng.random(2)
    mirror = rng is not None and rng.random() < config.flip
    gain = 1.0 if rng is None else float(np.exp(rng.uniform(*np.log(config.gain))))
    out = []
    for name, clip in zip(config.stream_names(), clips, strict=True):
        side = clip.shape[-1]
        kept = round(side * config.crop)
        x, y = (round(share * (side - kept)) for share in (left, top))
        clip = clip[..., y : y + kept, x : x + kept] * np.float32(gain)
        if mirror:
            clip = clip[..., ::-1]
            clip = clip * np.array([-1, 1], np.float32)[:, None, None, None] if name == "flow" else clip
        out.append(np.ascontiguousarray(clip))
    return out


class Windows:
    """Windows of some videos (`train.Samples`)."""

    def __init__(self, manifest: Manifest, config: I3dBiFpnConfig):
        self.config = config
        self.reels = [reel(manifest.video(uid), manifest.truth(uid), config) for uid in manifest.uids]
        overlap = config.window - config.train_stride
        starts = [clip_windows(seen.total, config.window, overlap)[:, 0] for seen in self.reels]
        self.owner = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
        self.start = np.concatenate(starts) if starts else np.empty(0, dtype=np.int64)
        self.anchors = places(config)[:, :2]
        self.busy = np.array([self._busy(i) for i in range(len(self.start))], dtype=bool)

    def _busy(self, i: int) -> bool:
        truth, first = self.reels[self.owner[i]].truth, self.start[i]
        return bool(((truth[:, 1] > first) & (truth[:, 0] < first + self.config.window)).any())

    def __len__(self) -> int:
        return len(self.start)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the windows of an epoch, shuffled: all with an expression, some without; again if they are too few."""
        wanted = self.config.train.batch_size * (self.config.train.batches_per_epoch or 1)
        drawn = np.empty(0, dtype=np.int64)
        possible = self.busy.any() or (self.config.quiet > 0 and len(self))
        while possible and len(drawn) < wanted:
            kept = np.flatnonzero(self.busy | (rng.random(len(self)) < self.config.quiet))
            drawn = np.concatenate([drawn, rng.permutation(kept)])
        return drawn

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return a clip (B, C, T, S, S) per stream, and targets (B, A, 3)."""
        drawn = [self._window(int(i), rng) for i in index]
        clips = zip(*(clips for clips, _ in drawn), strict=True)
        targets = np.stack([targets for _, targets in drawn]).astype(np.float32)
        return tuple(torch.from_numpy(np.stack(same)) for same in clips), torch.from_numpy(targets)

    def _window(self, i: int, rng: np.random.Generator | None) -> tuple[list[np.ndarray], np.ndarray]:
        seen, first = self.reels[self.owner[i]], int(self.start[i])
        if rng is not None:
            half = self.config.train_stride // 2
            first += int(rng.integers(-half, half + 1))
        first = max(0, min(first, seen.total - self.config.window))
        clips = varied(read_window(seen, first, self.config), self.config, rng)
        return clips, matched(self.anchors, seen.truth - [first, first, 0], self.config)


# ---------------------------------------------------------------------------------------------------------------------
# Scoring


class Detections(NamedTuple):
    """What was found in a video, N places, before any threshold.

    frames : (N, 2) int64, onset and offset on the frame axis; kind : (N,) int64, 0 ME, 1 MaE; p : (N,) probability
    level : (N,) int64, level of the pyramid, 0 for P3
    """

    frames: np.ndarray
    kind: np.ndarray
    p: np.ndarray
    level: np.ndarray

    def table(self) -> np.ndarray:
        """Return all of it as (N, 5) float64, with the columns `COLUMNS`."""
        return np.column_stack(self).astype(np.float64)

    @classmethod
    def of_table(cls, table: np.ndarray) -> "Detections":
        """Return the detections of a table (N, 5)."""
        whole = table[:, [0, 1, 2, 4]].round().astype(np.int64)
        return cls(whole[:, :2], whole[:, 2], table[:, 3].astype(np.float64), whole[:, 3])

    def intervals(self, limits: Sequence[float]) -> list[Interval]:
        """Return those whose probability reaches the limit of their kind, scored by how many times it does."""
        columns = (self.frames.tolist(), self.kind.tolist(), self.p.tolist())
        return [
            Interval(onset, offset, KINDS[kind], score=p / limits[kind])
            for (onset, offset), kind, p in zip(*columns, strict=True)
            if p >= limits[kind]
        ]


def score_video(model: Spotter, video: Video, config: I3dBiFpnConfig) -> Detections:
    """Return what a network finds in a video."""
    seen = reel(video, (), config)
    windows = clip_windows(seen.total, config.window, config.window - config.test_stride)
    said = [_said(model, seen, first, config) for first in _in_turn(windows[:, 0])]
    p, moved = (np.concatenate(column) for column in zip(*said, strict=True))  # (W, A, 3), (W, A, 2)
    anchors = places(config)
    shifted = anchors[None, :, :2] + windows[:, :1, None]
    window, anchor = once(shifted, windows, seen.total)
    edges = decode(shifted[window, anchor], moved[window, anchor]) * seen.step
    frames = _closed(edges, video.length)
    level = anchors[anchor, 2].astype(np.int64)
    parts = []
    for kind in range(len(KINDS)):
        probable = p[window, anchor, 1 + kind]
        rows = np.flatnonzero((probable >= config.floor) & (frames[:, 0] <= frames[:, 1]))
        rows = rows[_survivors(frames[rows], probable[rows], config.nms)]
        parts.append((frames[rows], np.full(len(rows), kind), probable[rows], level[rows]))
    return Detections(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _in_turn(starts: np.ndarray) -> Iterable[np.ndarray]:
    return np.split(starts, range(_WINDOWS_AT_ONCE, len(starts), _WINDOWS_AT_ONCE))


@torch.inference_mode()
def _said(
    model: Spotter, seen: Reel, starts: np.ndarray, config: I3dBiFpnConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (W, A, 3) and moved ends (W, A, 2) of windows that begin at samples (W,)."""
    drawn = [varied(read_window(seen, int(first), config), config, None) for first in starts]
    device = next(model.parameters()).device
    logits, ends = model(*(torch.from_numpy(np.stack(same)).to(device) for same in zip(*drawn, strict=True)))
    return nnf.softmax(logits, dim=-1).double().cpu().numpy(), ends.double().cpu().numpy()


def once(shifted: np.ndarray, windows: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return window and anchor (P,) each of all places, every place once.

    shifted : (W, A, 2) anchors of each window in samples of the video; windows : (W, 2) first and last sample; total :
    samples of the video. A place that several windows have is taken from the one in whose middle it is most. What
    reaches beyond its window is left to others, unless the video ends there too; of a place at least half is in the
    video.
    """
    within = shifted.clip(0, total)
    low, high = windows[:, :1], windows[:, 1:] + 1
    kept = (within[..., 0] >= low) & (within[..., 1] <= high)
    kept &= 2 * np.diff(within)[..., 0] >= np.diff(shifted)[..., 0]
    window, anchor = np.nonzero(kept)
    place = shifted[window, anchor]
    apart = np.abs(place.sum(axis=1) - windows[window].sum(axis=1) - 1)  # twice the distance of the middles
    order = np.lexsort((window, apart, place[:, 1], place[:, 0]))
    place = place[order]
    new = np.concatenate([[True], (place[1:] != place[:-1]).any(axis=1)]) if len(place) else np.empty(0, bool)
    first = np.sort(order[new])
    return window[first], anchor[first]


def _closed(edges: np.ndarray, length: int) -> np.ndarray:
    """Return frames (N, 2), both ends included and inside the video, of edges (N, 2); onset > offset for nothing."""
    whole = np.rint(edges).astype(np.int64).clip(0, length)
    return np.column_stack([whole[:, 0], whole[:, 1] - 1])


def _survivors(frames: np.ndarray, p: np.ndarray, nms: float) -> np.ndarray:
    found = spot.rivals(frames, np.zeros(len(frames), dtype=np.int64), p, over="shorter")
    return spot.survivors(found, len(frames), nms)


# ---------------------------------------------------------------------------------------------------------------------
# From what was found to intervals


def spot_above(found: Detections, limits: Sequence[float], nms: float) -> list[Interval]:
    """Return what reaches the limit of its kind, ME first; of two of different kinds in one place the surer."""
    return spot.nms(found.intervals(limits), nms, across_kinds=True, over="shorter")


def spot_top(found: Detections, top: float, nms: float) -> list[Interval]:
    """Return the most probable share `top` of what was found (top_threshold of Table II), overlaps removed."""
    count = int(np.ceil(top * len(found.p) - 1e-9))
    rows = np.sort(np.argsort(-found.p, kind="stable")[:count])
    return spot_above(Detections(*(column[rows] for column in found)), (1e-9, 1e-9), nms)


def choose_limits(
    judged: Mapping[str, Detections], truth: Mapping[str, Sequence[Interval]], nms: float
) -> tuple[float, float]:
    """Choose a limit for each kind by F1, on videos whose truth may be seen: first alone, then by the overall F1."""
    never = 2.0
    limits = [never, never]
    for alone in (True, False):
        for kind, name in enumerate(KINDS):
            others = [never, never] if alone else list(limits)
            wanted = {uid: [s for s in spans if not alone or s.kind == name] for uid, spans in truth.items()}
            f1 = []
            for value in _TRIED:
                others[kind] = value
                spotted = {uid: spot_above(one, others, nms) for uid, one in judged.items()}
                f1.append(metrics.score(wanted, spotted).overall.f1)
            # with its neighbours, because a single good value among bad ones is luck
            limits[kind] = _TRIED[int(uniform_filter1d(np.array(f1), 3, mode="nearest").argmax())]
    return limits[0], limits[1]


def write_detections(
    path: str | Path, found: Mapping[str, Detections], limits: Mapping[str, tuple[float, float]]
) -> None:
    """Write what was found in each video, with the limits that were chosen for it without seeing it, as .npz."""
    arrays: dict[str, Any] = {f"table {uid}": one.table().astype(np.float32) for uid, one in found.items()}
    arrays |= {f"limits {uid}": np.array(pair) for uid, pair in limits.items()}
    np.savez_compressed(path, **arrays)


def read_detections(path: str | Path) -> tuple[dict[str, Detections], dict[str, tuple[float, float]]]:
    """Return what was found in each video, and its limits."""
    with np.load(path, allow_pickle=False) as arrays:
        uids = [name.removeprefix("table ") for name in arrays if name.startswith("table ")]
        found = {uid: Detections.of_table(arrays[f"table {uid}"]) for uid in uids}
        return found, {uid: tuple(arrays[f"limits {uid}"].tolist()) for uid in uids}


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


@dataclass(frozen=True)
class Fitted:
    """The network with what was chosen on the training subjects.

    training : on all training subjects; limits : least probability of an ME and of an MaE
    judged : what was found in training videos by networks that have not seen the person; limits are chosen on it
    """

    config: I3dBiFpnConfig
    training: Trained[Spotter]
    limits: tuple[float, float]
    judged: dict[str, Detections]

    @property
    def model(self) -> Spotter:
        """Return the network."""
        return self.training.model

    def score(self, video: Video) -> Detections:
        """Return what is found in a video, of any dataset and frame rate."""
        return score_video(self.model, video, self.config)

    def spot(self, scores: Detections) -> list[Interval]:
        """Return the spotted intervals."""
        if self.config.limits == "top":
            return spot_top(scores, self.config.top, self.config.nms)
        return spot_above(scores, self.limits, self.config.nms)

    def settings(self) -> dict[str, Any]:
        """Return all that `spot_stored` needs to spot as `spot` does."""
        limits = {f"limit_{kind.lower()}": limit for kind, limit in zip(KINDS, self.limits, strict=True)}
        how = {"limits": self.config.limits, "top_threshold": self.config.top}
        return {**how, **limits, "t_nms": self.config.nms}


def spot_stored(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> list[Interval]:
    """Return the intervals of a video from the places (N, 5) of `Detections.table`; `fps` has no say here.

    settings : as `Fitted.settings` returns them, which spots as `Fitted.spot` does, or changed. What is stored has been
        thinned with the run's own `t_nms` already, kind by kind, so a larger one lets in less than it might.
    """
    found, t_nms = Detections.of_table(stored), settings["t_nms"]
    if settings["limits"] == "top":
        return spot_top(found, settings["top_threshold"], t_nms)
    return spot_above(found, [settings[f"limit_{kind.lower()}"] for kind in KINDS], t_nms)


def stored_proposals(stored: np.ndarray, settings: Mapping[str, Any]) -> list[Interval]:
    """Return all proposals that are stored of a video, with their probability as score."""
    found = Detections.of_table(stored)
    return [
        Interval(onset, offset, KINDS[kind], score=p)
        for (onset, offset), kind, p in zip(
            found.frames.tolist(), found.kind.tolist(), found.p.tolist(), strict=True
        )
    ]


def fit(
    train_manifest: Manifest,
    config: I3dBiFpnConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Train on the videos of a manifest, which holds the training subjects and nobody else.

    The network learns from all of them. The limits are chosen on what others of the same size find in videos of people
    they have not seen (`judge`). All epochs are gone through, as in the paper. With a single subject, or one part, the
    limits are chosen on what was learnt from.

    folder : of checkpoints, for a training that may be interrupted.
    """
    parts = subject_parts(train_manifest, min(config.parts, len(train_manifest.subjects)), seed)
    apart = [(), *parts[: config.judged]] if len(parts) > 1 else [()]
    calls = [(train_manifest, part, number, config, seed, folder) for number, part in enumerate(apart)]
    learnt = side_by_side(_learnt, calls, device=config.train.device, progress=progress)
    training = learnt[0][0]
    judged = {uid: places for _, found in learnt for uid, places in found.items()}
    if len(parts) == 1:
        videos = [train_manifest.video(uid) for uid in train_manifest.uids]
        judged = {video.uid: score_video(training.model, video, config) for video in videos}
    truth = {uid: train_manifest.truth(uid) for uid in judged}
    return Fitted(config, training, choose_limits(judged, truth, config.nms), judged)


def judge(
    manifest: Manifest,
    config: I3dBiFpnConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> dict[str, Detections]:
    """Return what is found in videos by networks that have learnt from other people.

    The subjects are dealt into `config.parts` parts, or as many as there are; for each of the first `config.judged` a
    network is trained on the others.
    """
    parts = subject_parts(manifest, min(config.parts, len(manifest.subjects)), seed)
    apart = enumerate(parts[: config.judged], start=1)
    calls = [(manifest, part, number, config, seed, folder) for number, part in apart]
    learnt = side_by_side(_learnt, calls, device=config.train.device, progress=progress)
    return {uid: places for _, found in learnt for uid, places in found.items()}


def _learnt(
    manifest: Manifest,
    part: Sequence[str],
    number: int,
    config: I3dBiFpnConfig,
    seed: int,
    folder: str | Path | None,
    progress: bool | None,
) -> tuple[Trained[Spotter], dict[str, Detections]]:
    """Return a network that has not seen a part (which may be nobody), and what it finds in that part."""
    others, apart = parted(manifest, part)
    title = f"without part {number}" if part else "the network"
    training = train(
        untrained(config, seed + number),
        Windows(others, config),
        loss_of(config),
        config.train,
        seed + number,
        folder=None if folder is None else Path(folder) / title.replace(" ", "-"),
        progress=progress,
        title=title,
    )
    return training, {uid: score_video(training.model, apart.video(uid), config) for uid in part}
