"""VideoMAE and optical flow, after the winner of MEGC2023 (Xu et al., ACM MM 2023; Section 5 of the challenge paper).

    face crops -> clips of two lengths, for ME and for MaE -> a VideoMAE encoder each -> probability in their middle
    -> peaks -> the flow shows where each begins and ends, and how large it is -> thresholds -> both kinds, fused

The encoder first learns without labels: patches are hidden in tubes through all frames of a clip, and it fills them in
from the few that are left. Then it learns from labels, once for short clips (ME) and once for long ones (MaE). The code
of the spotting is not public and the challenge gives it three sentences; what these leave open is decided here and
listed in notebook 10, "Where we had to choose".

The encoder is that of the library `transformers`, the extra `videomae`. Nothing is downloaded: weights come from a
folder, or from training on the videos that are trained on.
"""

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as nnf
from scipy.ndimage import uniform_filter
from scipy.special import softmax
from torch import Tensor, nn

from mespot_lib import metrics, spot
from mespot_lib.curves import Curves, labels_at, on_axis
from mespot_lib.features.crops import CropRecipe, FaceCrops, face_crops
from mespot_lib.features.motion import sampling_step
from mespot_lib.features.reference_motion import PUBLISHED_ROWS, ReferenceRecipe, Stretch, reference_motion
from mespot_lib.features.rest_face import RestFaces, rest_faces
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video
from mespot_lib.train import TrainConfig, Trained, choose_device, parted, seeded, subject_parts, train

_GREY_MEAN, _GREY_SPREAD = 0.449, 0.226  # of ImageNet, mean of its three channels
_DIFFERENCE_SPREAD = 4.0  # grey levels, about the standard deviation over all pixels
_BATCH = 128  # clips scored at a time
_OVERLAP = 0.2  # intervals that share more than this of the shorter one are one expression
_LEVELS = tuple(np.geomspace(0.05, 0.95, 12).round(3).tolist())  # tried as thresholds


class VideoMaeError(ValueError):
    """The library is not there, or weights cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Refinement:
    """How the ends of an interval follow the flow; see `refined`.

    motion : how the flow of the face is measured
    search_s : how far before and after an interval its ends may move, by kind
    low_pass_hz : cut-off of the curve; regions : the mean of so many, the strongest, is the curve
    fraction : an end lies where the curve has fallen to this share of its height
    least_u : where the face moves less, ends stay where they are
    full_u : a movement of this size leaves the probability as it is, a smaller one lowers it in proportion; 0 lets
        every movement count alike
    """

    motion: ReferenceRecipe = field(default_factory=ReferenceRecipe)
    search_s: Mapping[str, float] = field(default_factory=lambda: {"ME": 0.2, "MaE": 1.0})
    low_pass_hz: float = 5.0
    regions: int = 3
    fraction: float = 0.2
    least_u: float = 0.3
    full_u: float = 1.0


@dataclass(frozen=True)
class VideoMaeConfig:
    """Settings; times in seconds, so that one setting serves every frame rate.

    crops : how the face is cut out
    pretrain : the loop without labels; None leaves it out
    train : the loop with labels, one network per kind
    weights : folder of an encoder as `transformers` writes it (config.json, model.safetensors), in place of the loop
        without labels; empty for none
    input : "difference", the crop minus the same face at rest, or "as_printed", its grey levels
    rest_s : window of the running median that is the face at rest
    frames, spans_s : pictures of a clip, and the time from the first to the last, by kind
    patch, tubelet : px, and pictures, of what becomes one token
    width, layers, heads : of the encoder; decoder_... : of the decoder, for pre-training alone
    mask : share of hidden patches; target : what is filled in, "pixels", or each patch with mean 0 and deviation 1
    shares : of neutral clips, those of the other kind and those of the own kind in an epoch
    flip, gain, shift_px : augmentation: probability, log standard deviation of the contrast, largest shift
    parts : groups the training subjects are dealt into; networks of each learn from the others and are judged on it
    score_hz : clips scored per second, at most
    low_pass_hz : cut-off of the curves; prominence : a peak stands out by so much
    shortest_s : shorter intervals are dropped
    refine : how ends follow the flow, and kinds then the duration; None leaves both as the networks have them, with
        ends at half the height of the curve
    """

    crops: CropRecipe
    pretrain: TrainConfig | None
    train: TrainConfig
    weights: str = ""
    input: Literal["difference", "as_printed"] = "difference"
    rest_s: float = 8.0
    frames: int = 16
    spans_s: Mapping[str, float] = field(default_factory=lambda: {"ME": 0.8, "MaE": 2.0})
    patch: int = 16
    tubelet: int = 2
    width: int = 768
    layers: int = 12
    heads: int = 12
    decoder_width: int = 384
    decoder_layers: int = 4
    decoder_heads: int = 6
    mask: float = 0.9
    target: Literal["pixels", "normalised"] = "normalised"
    shares: tuple[float, float, float] = (0.45, 0.15, 0.4)
    flip: float = 0.5
    gain: float = 0.3
    shift_px: int = 2
    parts: int = 3
    score_hz: float = 15.0
    low_pass_hz: float = 4.0
    prominence: float = 0.05
    shortest_s: float = 0.1
    refine: Refinement | None = field(default_factory=Refinement)

    @classmethod
    def paper(cls, **changes: Any) -> "VideoMaeConfig":
        """Return the printed sizes: 16 frames of 160 px, patches of 16 px, nine tenths hidden; ViT-B; for a GPU.

        At 30 frames per second these are neighbours for ME and every fourth frame for MaE. The 100 epochs of
        pre-training are those on VoxCeleb2, which nothing here can replace; the 20 of the second training are printed.
        """
        pretrain = TrainConfig(
            epochs=100, batch_size=64, learning_rate=3e-4, schedule="one_cycle", weight_decay=0.05
        )
        loop = TrainConfig(
            epochs=20, batch_size=32, learning_rate=1e-4, schedule="one_cycle", weight_decay=0.05
        )
        return replace(cls(CropRecipe(size=160), pretrain, loop, shift_px=6), **changes)

    @classmethod
    def quick(cls, **changes: Any) -> "VideoMaeConfig":
        """Return a small form for a CPU: 8 frames of 48 px, 36 tokens, 2 layers."""
        pretrain = TrainConfig(
            epochs=3,
            batch_size=64,
            batches_per_epoch=60,
            learning_rate=3e-3,
            schedule="one_cycle",
            weight_decay=0.05,
        )
        loop = replace(
            pretrain, epochs=4, batch_size=32, batches_per_epoch=50, learning_rate=2e-3, clip_norm=1.0
        )
        sizes: dict[str, Any] = {
            "frames": 8,
            "patch": 16,
            "width": 48,
            "layers": 2,
            "heads": 3,
            "score_hz": 10.0,
        }
        decoder: dict[str, Any] = {"decoder_width": 48, "decoder_layers": 1, "decoder_heads": 3, "mask": 0.75}
        return replace(cls(CropRecipe(), pretrain, loop, **sizes, **decoder), **changes)

    @property
    def places(self) -> int:
        """Return how many patches one picture has."""
        return (self.crops.size // self.patch) ** 2

    @property
    def moments(self) -> int:
        """Return how many tokens a place has in a clip, one after the other."""
        return self.frames // self.tubelet


# ---------------------------------------------------------------------------------------------------------------------
# The library


def library() -> Any:
    """Return the module of `transformers` with VideoMAE; it is told to stay off the network.

    Raises
    ------
    VideoMaeError
        If it is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the library is imported
    try:
        return importlib.import_module("transformers.models.videomae.modeling_videomae")
    except ImportError as error:
        raise VideoMaeError(
            f"videomae_flow needs the library transformers ({str(error).splitlines()[0]}): "
            'pip install "mespot[videomae]", or pip install transformers'
        ) from None


def _library_config(config: VideoMaeConfig) -> Any:
    """Return our settings as the library wants them."""
    if config.crops.size % config.patch or config.frames % config.tubelet:
        raise VideoMaeError(
            f"crops of {config.crops.size} px in patches of {config.patch}, clips of {config.frames} frames in "
            f"tubelets of {config.tubelet}: that leaves a remainder"
        )
    for width, heads in ((config.width, config.heads), (config.decoder_width, config.decoder_heads)):
        if width % heads:
            raise VideoMaeError(f"a width of {width} cannot be shared by {heads} heads")
    return library().VideoMAEConfig(
        image_size=config.crops.size,
        patch_size=config.patch,
        num_channels=1,
        num_frames=config.frames,
        tubelet_size=config.tubelet,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.width,
        initializer_range=0.02 * (768 / config.width) ** 0.5,  # sums over fewer channels: larger weights
        decoder_hidden_size=config.decoder_width,
        decoder_num_hidden_layers=config.decoder_layers,
        decoder_num_attention_heads=config.decoder_heads,
        decoder_intermediate_size=4 * config.decoder_width,
        num_labels=2,
    )


class Reconstruction(nn.Module):
    """Encoder and decoder: hidden patches from the visible ones."""

    def __init__(self, config: VideoMaeConfig):
        super().__init__()
        self.net = library().VideoMAEForPreTraining(_library_config(config))

    @property
    def encoder(self) -> nn.Module:
        """Return the part that the second training goes on with."""
        return self.net.videomae

    def forward(self, clips: Tensor, hidden: Tensor) -> Tensor:
        """Return the hidden patches (B, M, tubelet patch^2) of clips (B, F, S, S); hidden (B, tokens) bool."""
        return self.net(clips[:, :, None], bool_masked_pos=hidden).logits


class Classifier(nn.Module):
    """Encoder, mean over all tokens, layer norm, linear layer: no or yes."""

    def __init__(self, config: VideoMaeConfig):
        super().__init__()
        self.net = library().VideoMAEForVideoClassification(_library_config(config))

    @property
    def encoder(self) -> nn.Module:
        """Return the part that pre-training fills."""
        return self.net.videomae

    def forward(self, clips: Tensor) -> Tensor:
        """Return the logits (B, 2) of clips (B, F, S, S)."""
        return self.net(clips[:, :, None]).logits


def untrained(config: VideoMaeConfig, seed: int) -> Classifier:
    """Return a network with the random weights that a training with this seed begins with."""
    with seeded(seed, 5):
        return Classifier(config).eval()


def save_encoder(encoder: Any, folder: str | Path) -> None:
    """Write an encoder to a folder, as `transformers` does: config.json and model.safetensors."""
    encoder.save_pretrained(folder)


def load_encoder(encoder: nn.Module, folder: str | Path) -> None:
    """Fill an encoder with the weights of a folder that `transformers` wrote; nothing is downloaded or unpickled.

    Size and number of pictures may differ; the sines that tell places, which are not learnt, then mean other ones. An
    encoder for colour becomes one for grey: the three input channels are added up, which is what a grey picture
    repeated three times amounts to.

    Raises
    ------
    VideoMaeError
        If the folder holds no such weights, or weights of another network.
    """
    folder = Path(folder)
    described = folder / "config.json"
    for path in (described, folder / "model.safetensors"):
        if not path.is_file():
            raise VideoMaeError(
                f"{folder}: no folder of VideoMAE weights, {path.name} is missing; weights in .bin or .pth are not "
                "loaded, because unpickling executes what is in them"
            )
    try:
        kind = json.loads(described.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise VideoMaeError(f"{described}: cannot be read: {error}") from None
    if kind != "videomae":
        raise VideoMaeError(f"{described}: a model of type {kind!r}, wanted 'videomae'")
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        given, report = library().VideoMAEModel.from_pretrained(str(folder), **options)
    except Exception as error:  # the library raises whatever its parts do
        raise VideoMaeError(f"{folder}: cannot be read: {str(error).splitlines()[0]}") from None
    if report["missing_keys"] or report["mismatched_keys"]:
        absent = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
        raise VideoMaeError(f"{folder}: {len(absent)} tensors are missing or misshapen, {absent[0]} for one")
    tensors = given.state_dict()
    first = "embeddings.patch_embeddings.projection.weight"
    tensors[first] = tensors[first].sum(dim=1, keepdim=True)
    own = encoder.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        shapes = [tuple(some[name].shape) if name in some else None for some in (tensors, own)]
        if shapes[0] != shapes[1]:
            raise VideoMaeError(f"{folder}: {name} has shape {shapes[0]}, these settings want {shapes[1]}")
    encoder.load_state_dict(tensors)


# ---------------------------------------------------------------------------------------------------------------------
# Clips


class Recording(NamedTuple):
    """The face in a video: its crops, and at rest."""

    fps: float
    crops: FaceCrops
    rest: RestFaces


def recording(video: Video, config: VideoMaeConfig) -> Recording:
    """Return what clips are cut from, from the cache or computed now."""
    return Recording(
        video.fps, face_crops(video, config.crops), rest_faces(video, config.crops, config.rest_s)
    )


def prepare(video: Video, profile: str) -> None:
    """Compute what every fold needs of a video, into the cache: crops, faces at rest, flow."""
    config = getattr(VideoMaeConfig, profile)()
    recording(video, config)
    if config.refine is not None:
        reference_motion(video, config.refine.motion)


def clip_samples(crops: FaceCrops, centres: np.ndarray, fps: float, span_s: float, count: int) -> np.ndarray:
    """Return the samples (N, count) of clips around samples `centres` (N,), evenly over `span_s` seconds.

    The nearest samples are taken, gaps or not; before the first and after the last crop of a stretch it stands still.
    """
    reach = (np.arange(count) - (count - 1) / 2) * span_s * fps / (count - 1)
    goal = crops.frames[centres][:, None] + reach
    after = np.clip(np.searchsorted(crops.frames, goal), 1, max(len(crops.frames) - 1, 1))
    nearer = goal - crops.frames[after - 1] <= crops.frames[np.minimum(after, len(crops.frames) - 1)] - goal
    stretch = crops.stretch[centres]
    first = np.searchsorted(crops.stretch, stretch, "left")[:, None]
    last = np.searchsorted(crops.stretch, stretch, "right")[:, None] - 1
    return np.clip(np.where(nearer, after - 1, after), first, last)


def clips_of(source: Recording, centres: np.ndarray, span_s: float, config: VideoMaeConfig) -> np.ndarray:
    """Return the clips (N, F, S, S) float32 around some samples (N,) of a recording, normalised."""
    samples = clip_samples(source.crops, centres, source.fps, span_s, config.frames)
    faces = source.crops.crops[samples].astype(np.float32)
    if config.input == "as_printed":
        return (faces / 255 - _GREY_MEAN) / _GREY_SPREAD
    at_rest = source.rest.faces[source.rest.index[samples]].astype(np.float32)
    return (faces - at_rest) / _DIFFERENCE_SPREAD


class Clips:
    """Clips around every sample of some videos, drawn by index from the mapped crops (`train.Samples`)."""

    def __init__(self, manifest: Manifest, config: VideoMaeConfig, kind: str):
        """Take the clips of the length of a kind; label 1 where their middle lies in a true one of this kind."""
        self.config, self.kind = config, kind
        self.recordings = [recording(manifest.video(uid), config) for uid in manifest.uids]
        frames = [source.crops.frames for source in self.recordings]
        self.owner = np.repeat(np.arange(len(frames)), [len(one) for one in frames])
        self.centre = np.concatenate([np.arange(len(one)) for one in frames] or [np.empty(0, dtype=int)])
        both = [labels_at(f, manifest.truth(uid)) for f, uid in zip(frames, manifest.uids, strict=True)]
        self.expressive = np.concatenate(both or [np.empty((0, len(KINDS)), np.float32)]) > 0
        self.labels = self.expressive[:, KINDS.index(kind)].astype(np.int64)

    def __len__(self) -> int:
        return len(self.centre)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return as many clips as there are, with the configured shares of neutral, other and own kind."""
        group = np.where(self.labels > 0, 2, self.expressive.any(axis=1))
        present = np.bincount(group, minlength=1 + len(KINDS))
        chance = (np.array(self.config.shares) / np.maximum(present, 1))[group]
        return rng.choice(len(self), size=len(self), p=chance / chance.sum())

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return clips (B, F, S, S) and labels (B,)."""
        return (self.clips(index, rng),), torch.from_numpy(self.labels[index])

    def clips(self, index: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        """Return clips (B, F, S, S), with rng augmented."""
        config = self.config
        found = np.empty((len(index), config.frames, config.crops.size, config.crops.size), dtype=np.float32)
        for owner in np.unique(self.owner[index]):
            rows = np.flatnonzero(self.owner[index] == owner)
            span_s = config.spans_s[self.kind]
            found[rows] = clips_of(self.recordings[owner], self.centre[index[rows]], span_s, config)
        return torch.from_numpy(found if rng is None else augmented(found, config, rng))


def augmented(clips: np.ndarray, config: VideoMaeConfig, rng: np.random.Generator) -> np.ndarray:
    """Return clips (N, F, S, S) mirrored, moved and with another contrast, each as a whole; edges are repeated."""
    count, side, most = len(clips), clips.shape[-1], config.shift_px
    mirrored = rng.random(count) < config.flip
    moves = rng.integers(-most, most + 1, (count, 2))
    contrast = np.exp(config.gain * rng.standard_normal(count)).astype(np.float32)
    changed = np.empty_like(clips)
    for row in range(count):
        down, right = (np.clip(np.arange(side) + move, 0, side - 1) for move in moves[row])
        right = right[::-1] if mirrored[row] else right
        changed[row] = contrast[row] * clips[row][:, down[:, None], right]
    return changed


# ---------------------------------------------------------------------------------------------------------------------
# Learning without labels


def tubes(count: int, config: VideoMaeConfig, rng: np.random.Generator) -> np.ndarray:
    """Return what is hidden of `count` clips, (count, moments * places) bool: the same places at every moment.

    A place hidden in one picture alone could be copied from the next. As near to `mask` as whole places allow, but
    never all and never none.
    """
    many = min(max(round(config.mask * config.places), 1), config.places - 1)
    order = rng.random((count, config.places)).argsort(axis=1)
    return np.tile(order < many, (1, config.moments))


def patches_of(clips: Tensor, config: VideoMaeConfig) -> Tensor:
    """Return the tokens' pixels (B, moments * places, tubelet patch^2) of clips (B, F, S, S)."""
    side, patch, tubelet = config.crops.size // config.patch, config.patch, config.tubelet
    parts = clips.reshape(len(clips), config.moments, tubelet, side, patch, side, patch)
    return parts.permute(0, 1, 3, 5, 2, 4, 6).reshape(len(clips), config.moments * side**2, -1)


def clips_from(patches: Tensor, config: VideoMaeConfig) -> Tensor:
    """Return the clips (B, F, S, S) of tokens' pixels: what `patches_of` takes apart."""
    side, patch, tubelet = config.crops.size // config.patch, config.patch, config.tubelet
    parts = patches.reshape(len(patches), config.moments, side, side, tubelet, patch, patch)
    return parts.permute(0, 1, 4, 2, 5, 3, 6).reshape(len(patches), config.frames, side * patch, side * patch)


def targets_of(clips: Tensor, hidden: Tensor, config: VideoMaeConfig) -> Tensor:
    """Return what is to be filled in (B, M, tubelet patch^2) of clips (B, F, S, S); hidden (B, tokens) bool."""
    patches = patches_of(clips, config)
    mean, spread = _norm(patches, config)
    return ((patches - mean) / spread)[hidden].reshape(len(clips), -1, patches.shape[-1])


def _norm(patches: Tensor, config: VideoMaeConfig) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation (B, tokens, 1) that patches are freed of."""
    if config.target == "pixels":
        return torch.zeros_like(patches[..., :1]), torch.ones_like(patches[..., :1])
    return patches.mean(dim=-1, keepdim=True), patches.std(dim=-1, keepdim=True) + 1e-6


@torch.inference_mode()
def filled_in(model: Reconstruction, clips: Tensor, hidden: Tensor, config: VideoMaeConfig) -> Tensor:
    """Return clips (B, F, S, S) with what the network puts in hidden places; hidden (B, tokens) bool.

    To be looked at: where the network gives patches of mean 0 and deviation 1, the true ones are put back.
    """
    patches = patches_of(clips, config)
    mean, spread = _norm(patches, config)
    filled = model(clips, hidden)
    patches[hidden] = (filled * spread[hidden].view(*filled.shape[:2], 1)).flatten(0, 1) + mean[hidden]
    return clips_from(patches, config)


class HiddenClips:
    """Clips of both lengths with hidden tubes (`train.Samples`); they know no labels."""

    def __init__(self, manifest: Manifest, config: VideoMaeConfig, every: int = 1):
        """Take the clips around every sample, or each so many-th."""
        self.config = config
        self.lengths = [Clips(manifest, config, kind) for kind in KINDS]
        self.kept = np.arange(0, len(self.lengths[0]), every)

    def __len__(self) -> int:
        return len(self.lengths) * len(self.kept)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return all clips, shuffled."""
        return rng.permutation(len(self))

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return clips (B, F, S, S), hidden tokens (B, tokens) and their pixels (B, M, tubelet patch^2)."""
        centre, length = self.kept[index // len(self.lengths)], index % len(self.lengths)
        clips = torch.empty(len(index), self.config.frames, self.config.crops.size, self.config.crops.size)
        for number, some in enumerate(self.lengths):
            rows = np.flatnonzero(length == number)
            clips[rows] = some.clips(centre[rows], rng)
        # without rng the same places are hidden every time
        draw = np.random.default_rng([int(index[0]), 7]) if rng is None else rng
        hidden = torch.from_numpy(tubes(len(index), self.config, draw))
        return (clips, hidden), targets_of(clips, hidden, self.config)


def reconstruction_loss(filled: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of the hidden pixels."""
    return nnf.mse_loss(filled, targets)


def unlearnt(config: VideoMaeConfig, seed: int) -> Reconstruction:
    """Return encoder and decoder with the random weights that pre-training with this seed begins with."""
    with seeded(seed, 6):
        return Reconstruction(config).eval()


def pretrain(
    manifest: Manifest,
    config: VideoMaeConfig,
    seed: int,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Trained[Reconstruction]:
    """Train encoder and decoder to fill in hidden parts of the videos of a manifest, whose events are not looked at."""
    assert config.pretrain is not None, "without `pretrain` there is nothing to train"
    return train(
        unlearnt(config, seed),
        HiddenClips(manifest, config),
        reconstruction_loss,
        config.pretrain,
        seed,
        folder=folder,
        progress=progress,
        title="masked clips",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Scoring


class Scores(NamedTuple):
    """What the method knows of a video before any threshold: probabilities, and the flow if it is looked at."""

    curves: Curves
    stretches: list[Stretch]


def score_video(networks: Sequence[Mapping[str, nn.Module]], video: Video, config: VideoMaeConfig) -> Scores:
    """Return the probabilities of ME and MaE, the mean over the networks, and the motion of the face."""
    source = recording(video, config)
    step = sampling_step(video.fps, config.crops.rate_hz)
    every = sampling_step(video.fps / step, config.score_hz)
    centres = np.arange(0, len(source.crops.frames), every)
    curves = []
    for kind in KINDS:
        chances = clip_chances([one[kind] for one in networks], source, centres, config.spans_s[kind], config)
        curves.append(on_axis(source.crops.frames[centres], chances, video.length, step * every))
    smoothed = spot.smooth(np.stack(curves, axis=1), video.fps, low_pass_hz=config.low_pass_hz)
    stretches = []
    if config.refine is not None:
        stretches = reference_motion(video, config.refine.motion).stretches()
    return Scores(Curves(video.fps, smoothed), stretches)


@torch.inference_mode()
def clip_chances(
    models: Sequence[nn.Module],
    source: Recording,
    centres: np.ndarray,
    span_s: float,
    config: VideoMaeConfig,
) -> np.ndarray:
    """Return the probability (N,) of clips around samples (N,): of the mean logits of the networks."""
    device = choose_device(config.train.device)
    logits = np.empty((len(centres), 2))
    for rows in np.split(np.arange(len(centres)), range(_BATCH, len(centres), _BATCH)):
        clips = torch.from_numpy(clips_of(source, centres[rows], span_s, config)).to(device)
        each = [model.to(device).eval()(clips) for model in models]
        logits[rows] = torch.stack(each).mean(dim=0).cpu().numpy()
    return softmax(logits, axis=1)[:, 1]


# ---------------------------------------------------------------------------------------------------------------------
# Ends


def motion_curve(stretch: Stretch, first: int, last: int, rate: float, config: Refinement) -> np.ndarray:
    """Return how far the face has moved at every sample of a stretch, (n,) u, seen from samples first..last.

    Each region's displacement since the median over the rest of the stretch around, along the direction in which it is
    largest between first and last; the mean over the regions that move most.
    """
    points = stretch.regions[:, PUBLISHED_ROWS]
    smooth = points
    if config.low_pass_hz < rate / 2:
        flat = spot.smooth(points.reshape(len(points), -1), rate, low_pass_hz=config.low_pass_hz)
        smooth = flat.reshape(points.shape)
    outside = np.ones(len(points), dtype=bool)
    outside[first : last + 1] = False
    rest = np.median(smooth[outside] if outside.any() else smooth, axis=0)
    moved = smooth - rest
    far = np.linalg.norm(moved[first : last + 1], axis=2)  # (k, R)
    apex = far.argmax(axis=0)
    strongest = np.argsort(-far.max(axis=0), kind="stable")[: config.regions]
    top = moved[first + apex[strongest], strongest]  # (regions, 2)
    direction = top / np.maximum(np.linalg.norm(top, axis=1, keepdims=True), 1e-9)
    return np.einsum("nrd,rd->nr", moved[:, strongest], direction).mean(axis=1)


class Movement(NamedTuple):
    """Where a movement begins, is largest and ends, samples, and how high it stands out, u."""

    onset: int
    apex: int
    offset: int
    height: float


def movement(curve: np.ndarray, first: int, last: int, fraction: float) -> Movement:
    """Return the movement on a curve (n,) that is largest between samples first and last.

    On each side it ends where the curve has fallen to a share of its height above the lowest point of this side. The
    height is that above the higher of both.

    >>> movement(np.array([0, 0, 0, 1.0, 2, 1, 0, 0]), 3, 6, 0.4)
    Movement(onset=3, apex=4, offset=5, height=2.0)
    """
    apex = first + int(curve[first : last + 1].argmax())
    left, right = curve[: apex + 1], curve[apex:]
    (before,) = spot.expand_to_fraction(left, np.array([apex]), fraction, float(left.min()))
    (after,) = spot.expand_to_fraction(right, np.array([0]), fraction, float(right.min()))
    height = float(curve[apex] - max(left.min(), right.min()))
    return Movement(int(before[0]), apex, apex + int(after[1]), height)


def refined(span: Interval, stretches: Sequence[Stretch], fps: float, config: Refinement) -> Interval:
    """Return an interval with the ends of the movement that the flow shows in it, and of the kind that it then lasts.

    Its score is lowered where little moves. It is returned as it is where the flow is not known. No end moves further
    than `search_s`.
    """
    margin = config.search_s[span.kind] * fps
    for stretch in stretches:
        near = (stretch.frames >= span.onset - margin) & (stretch.frames <= span.offset + margin)
        part = Stretch(*(values[near] for values in stretch))
        own = np.flatnonzero((part.frames >= span.onset) & (part.frames <= span.offset))
        if len(own) < 2 or len(part.frames) < 4:
            continue
        rate = fps / (stretch.frames[1] - stretch.frames[0])
        found = movement(motion_curve(part, own[0], own[-1], rate, config), own[0], own[-1], config.fraction)
        weight = min(1.0, found.height / config.full_u) if config.full_u else 1.0
        weighted = replace(span, score=span.score * weight)
        if found.height < config.least_u:
            return weighted
        onset, apex, offset = (int(part.frames[place]) for place in found[:3])
        return spot.type_by_duration(np.array([[onset, offset]]), fps, [apex], [weighted.score])[0]
    return span


class Candidate(NamedTuple):
    """A peak of the curve of one network, its probability and movement as score, and which network that is."""

    span: Interval
    network: str


def candidates(scores: Scores, config: VideoMaeConfig) -> list[Candidate]:
    """Return an interval for every peak of both curves, refined if the configuration says so."""
    fps, curves = scores.curves
    found = []
    for kind, curve in zip(KINDS, curves.T, strict=True):
        rest = float(np.nanmedian(curve)) if np.isfinite(curve).any() else 0.0
        apexes = spot.peaks(curve, fps, max(_LEVELS[0], rest), prominence=config.prominence)
        for apex, (onset, offset) in zip(
            apexes.tolist(), spot.expand_to_fraction(curve, apexes, 0.5, rest).tolist(), strict=True
        ):
            span = Interval(onset, offset, kind, apex, float(curve[apex]))
            if config.refine is not None:
                span = refined(span, scores.stretches, fps, config.refine)
            if span.offset - span.onset >= config.shortest_s * fps:
                found.append(Candidate(span, kind))
    return found


def fused(found: Sequence[Candidate], thresholds: Mapping[str, float]) -> list[Interval]:
    """Return the candidates that reach the threshold of their network; of those that share frames only one.

    That is the one highest above its threshold, whatever their kinds.
    """
    above = [
        replace(one.span, score=one.span.score / thresholds[one.network])
        for one in found
        if one.span.score >= thresholds[one.network]
    ]
    return spot.nms(above, _OVERLAP, across_kinds=True, over="shorter")


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


class Part(NamedTuple):
    """What learnt from all training subjects but those of one part: without labels, and for each kind with them."""

    pretrained: Trained[Reconstruction] | None
    trained: dict[str, Trained[Classifier]]

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Return the network of each kind."""
        return {kind: one.model for kind, one in self.trained.items()}


@dataclass(frozen=True)
class Fitted:
    """The networks with what was chosen on the training subjects.

    parts : one per part of the training subjects
    thresholds : of the network of each kind
    judged : out-of-part scores of every training video, from which the thresholds come
    """

    config: VideoMaeConfig
    parts: tuple[Part, ...]
    thresholds: dict[str, float]
    judged: dict[str, Scores]

    def score(self, video: Video) -> Scores:
        """Return the scores of a video, of any dataset and frame rate."""
        return score_video([part.networks for part in self.parts], video, self.config)

    def spot(self, scores: Scores) -> list[Interval]:
        """Return the spotted intervals."""
        return fused(candidates(scores, self.config), self.thresholds)


def fit_part(
    manifest: Manifest,
    config: VideoMaeConfig,
    seed: int,
    *,
    folder: Path | None = None,
    progress: bool | None = None,
) -> Part:
    """Train on the videos of a manifest: without labels, then one network per kind from there."""

    def within(name: str) -> Path | None:
        return None if folder is None else folder / name

    pretrained = None
    if config.pretrain is not None and not config.weights:
        pretrained = pretrain(manifest, config, seed, folder=within("masked"), progress=progress)
    trained = {}
    for kind in KINDS:
        model = untrained(config, seed)
        if pretrained is not None:
            model.encoder.load_state_dict(pretrained.model.encoder.state_dict())
        elif config.weights:
            load_encoder(model.encoder, config.weights)
        trained[kind] = train(
            model,
            Clips(manifest, config, kind),
            nnf.cross_entropy,
            config.train,
            seed,
            folder=within(kind),
            progress=progress,
            title=f"clips of {config.spans_s[kind]:g} s, {kind}",
        )
    return Part(pretrained, trained)


def fit(
    train_manifest: Manifest,
    config: VideoMaeConfig,
    seed: int = 0,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Fitted:
    """Train on the videos of a manifest, which holds the training subjects and nobody else.

    The subjects are dealt into parts; for each part networks learn from the others, from the first, unlabelled training
    on, and score it. So every training video has scores of networks that have not seen its person, and the thresholds
    are chosen on those. A new video gets the mean of the networks.

    folder : of checkpoints, for a training that may be interrupted.

    Raises
    ------
    VideoMaeError
        If the library is not installed, or the folder of weights cannot be used.
    """
    library()
    dealt = subject_parts(train_manifest, min(config.parts, len(train_manifest.subjects)), seed)
    parts: list[Part] = []
    judged: dict[str, Scores] = {}
    for number, part in enumerate(dealt):
        others, _ = parted(train_manifest, part)
        where = None if folder is None else Path(folder) / f"part-{number}"
        parts.append(fit_part(others, config, seed + number, folder=where, progress=progress))
        networks = [parts[-1].networks]
        judged |= {uid: score_video(networks, train_manifest.video(uid), config) for uid in part}
    return Fitted(config, tuple(parts), choose_thresholds(judged, train_manifest, config), judged)


def choose_thresholds(
    judged: Mapping[str, Scores], manifest: Manifest, config: VideoMaeConfig
) -> dict[str, float]:
    """Choose the thresholds of both networks by overall F1, on scores of videos whose truth may be seen."""
    truth = {uid: manifest.truth(uid) for uid in judged}
    found = {uid: candidates(scores, config) for uid, scores in judged.items()}
    f1 = np.zeros((len(_LEVELS), len(_LEVELS)))
    for place in np.ndindex(f1.shape):
        pair = dict(zip(KINDS, (_LEVELS[level] for level in place), strict=True))
        f1[place] = metrics.score(truth, {uid: fused(some, pair) for uid, some in found.items()}).overall.f1
    # with its neighbours, because a single good value among bad ones is luck
    best = np.unravel_index(uniform_filter(f1, 3, mode="nearest").argmax(), f1.shape)
    return {kind: _LEVELS[level] for kind, level in zip(KINDS, best, strict=True)}
