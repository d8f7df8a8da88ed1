"""LTP-ML: local temporal patterns, recognised by a support vector machine (Li et al., FG 2018 and 2019; MEGC2019).

    squares of skin around 12 landmarks -> clips of 1 s -> two principal components per clip and region
    -> distances of a frame from the 9 that follow -> linear SVM -> regions together -> cells of 0.5 s -> intervals

With x_n the coordinates of a square in frame n along its first two principal components in a clip, and W = 0.3 s,

    d_i(n) = |x_{n+i} - x_n|,  i = 1..W                                                             (1)
    a      = max over the clip's n and i <= W/2 of d_i(n)                                           (2)
    LTP(n) = [ min(10, 1/a), d_1(n)/a, ..., d_W(n)/a ]                                              (3)

A micro-expression that begins just after n rises and falls in it: an S-pattern, alike in all regions. One SVM serves
them all. It learns from the clips in which a training ME begins: from the two regions where the action units are, that
move more than the average one and show the clearest rise and fall; positive are the frames up to `lead_s` before the
onset. When spotting,

    a region speaks where it moves more than the average one and d_i / a reaches 0.9 (as when learning)
    a frame is silent where both regions of the nose speak (the head moves), or more than half of all regions
    a cell of 0.5 s with enough frames that speak is an interval from the first to the last of them, moved by `lead_s`

There is no threshold to choose, so `general` and `high_f1` of the MESNet paper's Table X are one setting; with
margin = None the distance from the plane is chosen on the training subjects, each judged by an SVM of the others.

Where nothing public settles it: the regions (see `mespot_lib.features.patches`) are 0.2 of the distance between the
inner eye corners wide; the loss of the SVM is the squared hinge, whose minimum is unique; of two clips that overlap the
one counts in which the whole window lies; 200 frames per second are read at 30; the intervals must have the lengths of
MEGC2020, as the MESNet paper asks of all methods.

    from mespot_lib.catalogue import load_dataset
    from mespot_lib.held_out import leave_one_subject_out
    from mespot_lib.methods import ltp_ml

    manifest, config = load_dataset("synthetic_casme2"), ltp_ml.LtpMlConfig.general("casme2")
    spotted = leave_one_subject_out(manifest, lambda train: ltp_ml.fit(train, config))
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.optimize import minimize

from mespot_lib import metrics, spot
from mespot_lib.contrast import DURATIONS_S, hits_in_cells, of_dataset
from mespot_lib.curves import Durations
from mespot_lib.features.patches import LANDMARKS, ROWS, FacePatches, PatchRecipe, face_patches
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, Video, loso_folds, records

LEADS_S = {"casme2": 0.1, "samm_lv": 0.075}  # a third and a quarter of the window
FEWEST_S = {"casme2": 6 / 30, "samm_lv": 20 / 200}
_MARGINS = tuple(np.linspace(-1, 1, 21).round(2).tolist())  # tried by `fit`
_LARGEST_SCALE = 10.0  # of equation (3)
_FEWEST = 4  # samples in which a rise and a fall can be told
_STILL = 1e-4  # grey levels: a square that moves less does not move


@dataclass(frozen=True)
class LtpMlConfig:
    """Settings.

    margin : distance from the plane of the SVM above which a region speaks; None lets `fit` choose
    lead_s : how long before the onset the patterns of an ME begin
    durations_s : shortest and longest interval (offset - onset) of ME
    cells_s : length of a cell, and how much of it must speak
    patches : how the squares are cut
    clip_s, window_s : length of the clips, and of the patterns; clips overlap by one window
    near_max : what d_i / a must reach
    learned_regions, keep_every : regions that are learned from per ME, and every how many-th of their negative frames
    cost, positive_weight : C of the SVM, and how much more a positive frame costs
    """

    margin: float | None = 0.0
    lead_s: float = LEADS_S["casme2"]
    durations_s: Durations = field(default_factory=lambda: DURATIONS_S["casme2"])
    cells_s: tuple[float, float] = (0.5, FEWEST_S["casme2"])
    patches: PatchRecipe = field(default_factory=PatchRecipe)
    clip_s: float = 1.0
    window_s: float = 0.3
    near_max: float = 0.9
    learned_regions: int = 2
    keep_every: int = 8
    cost: float = 5.0
    positive_weight: float = 2.5

    @classmethod
    def general(cls, dataset: str = "casme2", **changes: Any) -> "LtpMlConfig":
        """Return the published setting; `dataset` is "casme2" or "samm_lv"."""
        printed: dict[str, Any] = {
            "lead_s": of_dataset(LEADS_S, dataset),
            "durations_s": of_dataset(DURATIONS_S, dataset),
            "cells_s": (0.5, of_dataset(FEWEST_S, dataset)),
        }
        return cls(**(printed | changes))

    high_f1 = general

    @classmethod
    def paper(cls, **changes: Any) -> "LtpMlConfig":
        """Return `general`; it trains in a second, so `quick` and `paper` do not differ."""
        return cls.general(**changes)

    quick = paper


# ---------------------------------------------------------------------------------------------------------------------
# Patterns


class Patterns(NamedTuple):
    """Local temporal patterns of a video. Lengths: N samples, R regions, W samples of the window.

    rate : samples per second
    frames : (N,) positions of the samples on the frame axis
    values : (N, R, 1 + W) equation (3); NaN where the window does not lie in one stretch
    moving : (N, R) bool, whether the region moves more than the average one in the clip
    clip : (N,) number of the clip in which the window lies, -1 where in none
    """

    rate: float
    frames: np.ndarray
    values: np.ndarray
    moving: np.ndarray
    clip: np.ndarray


def local_patterns(patches: FacePatches, rate: float, config: LtpMlConfig) -> Patterns:
    """Return the patterns of cut squares, `rate` samples per second."""
    samples, regions = patches.patches.shape[:2]
    window = max(_FEWEST, round(config.window_s * rate))
    length = max(window + 1, round(config.clip_s * rate))
    values = np.full((samples, regions, 1 + window), np.nan)
    moving = np.zeros((samples, regions), dtype=bool)
    clip = np.full(samples, -1, dtype=np.int64)
    for number, (first, last) in enumerate(_clips(patches.stretch, length, window)):
        found = clip_patterns(patches.patches[first:last], window)
        inside = slice(first, last - window)
        values[inside] = found.transpose(1, 0, 2)
        moving[inside] = found[:, 0, 0] <= found[:, 0, 0].mean()
        clip[inside] = number
    return Patterns(rate, patches.frames, values, moving, clip)


def _clips(stretch: np.ndarray, length: int, window: int) -> Iterator[tuple[int, int]]:
    """Yield the samples [first, last) of clips within one stretch, so that every window lies whole in one clip only."""
    edges = np.flatnonzero(np.diff(stretch)) + 1
    for first, last in zip([0, *edges], [*edges, len(stretch)], strict=True):
        if stretch[first] >= 0:
            for start in range(first, last - window, length - window):
                yield start, min(start + length, last)


def clip_patterns(squares: np.ndarray, window: int) -> np.ndarray:
    """Return equation (3) of the squares of a clip (L, R, P, P): (R, L - window, 1 + window)."""
    length, regions = squares.shape[:2]
    pixels = squares.reshape(length, regions, -1).transpose(1, 0, 2).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    # of L points the components come from their (L, L) products, however many pixels there are
    power, vectors = np.linalg.eigh(pixels @ pixels.transpose(0, 2, 1))
    places = vectors[..., -2:] * np.sqrt(np.maximum(power[:, None, -2:], 0))  # (R, L, 2)
    starts = length - window
    far = [
        np.linalg.norm(places[:, i : i + starts] - places[:, :starts], axis=-1) for i in range(1, window + 1)
    ]
    distances = np.stack(far, axis=-1)  # (R, starts, window)
    largest = distances[..., : max(1, window // 2)].max(axis=(1, 2))
    scale = 1 / np.maximum(largest, _STILL)
    first = np.broadcast_to(np.minimum(_LARGEST_SCALE, scale)[:, None, None], (regions, starts, 1))
    return np.concatenate([first, distances * scale[:, None, None]], axis=-1)


# ---------------------------------------------------------------------------------------------------------------------
# Learning


def learned_rows(
    patterns: Patterns, onset: int, regions: Iterable[int], config: LtpMlConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return patterns (M, 1 + W) and labels (M,) in -1, 1 of the clip in which an ME begins.

    onset : on the frame axis; regions : rows of the regions in which it may be seen. No rows if it is seen in none.
    """
    window = patterns.values.shape[-1] - 1
    nothing = np.empty((0, 1 + window)), np.empty(0)
    at = int(np.searchsorted(patterns.frames, onset)) - 1  # the last sample before the onset
    if at < 0 or patterns.clip[at] < 0:
        return nothing
    heights = {
        region: patterns.values[at, region, 1 : 1 + -(-window // 2)].max()
        for region in regions
        if _rises_and_falls(patterns.values[at, region, 1:], config) and patterns.moving[at, region]
    }
    chosen = sorted(heights, key=lambda region: -heights[region])[: config.learned_regions]
    if not chosen:
        return nothing
    clip = np.flatnonzero(patterns.clip == patterns.clip[at])
    lead = max(1, round(config.lead_s * patterns.rate))
    positive = (clip <= at) & (clip > at - lead)
    kept = positive | ((clip - clip[0]) % config.keep_every == 0)
    rows = patterns.values[clip[kept]][:, chosen]
    labels = np.where(positive[kept], 1.0, -1.0)
    return rows.transpose(1, 0, 2).reshape(-1, 1 + window), np.tile(labels, len(chosen))


def _rises_and_falls(distances: np.ndarray, config: LtpMlConfig) -> bool:
    half = -(-len(distances) // 2)
    rise, fall = distances[:half], distances[half - 1 :]
    slopes = [np.polyfit(np.arange(len(side)), side, 1)[0] for side in (rise, fall)]
    return bool(rise.max() >= config.near_max and slopes[0] > 0 and slopes[1] <= 0)


def regions_of(action_units: str | None) -> tuple[int, ...]:
    """Return the rows of the regions where action units ("4+7", "R12") show: brows, mouth, or all.

    As published: brows if all are below 6, the mouth if all are 10 or more. The nose only tells of the head.
    """
    numbers = [int("".join(filter(str.isdigit, part)) or 0) for part in (action_units or "").split("+")]
    if any(numbers) and all(0 < number < 6 for number in numbers):
        return ROWS["brows"]
    if all(number >= 10 for number in numbers):
        return ROWS["mouth"]
    return tuple(row for row in range(len(LANDMARKS)) if row not in ROWS["nose"])


class Plane(NamedTuple):
    """The plane of a linear SVM: weights (D,) and bias; the margin of x is weights . x + bias."""

    weights: np.ndarray
    bias: float

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """Return the margins (...) of rows (..., D)."""
        return rows @ self.weights + self.bias


def linear_svm(rows: np.ndarray, labels: np.ndarray, cost: float, positive_weight: float) -> Plane:
    """Return the plane that minimises |w|^2 / 2 + C sum_i c_i max(0, 1 - y_i f(x_i))^2.

    rows : (N, D); labels : (N,) in -1, 1; c is `positive_weight` where the label is 1, and 1 elsewhere. The function is
    convex with one minimum, so no seed is needed. Without a positive row nothing can be learned: every margin is -1.
    """
    if not (labels > 0).any():
        return Plane(np.zeros(rows.shape[1]), -1.0)
    costs = cost * np.where(labels > 0, positive_weight, 1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        short = np.maximum(0, 1 - labels * (rows @ weights + bias))
        slope = -2 * costs * short * labels
        value = weights @ weights / 2 + costs @ short**2
        return value, np.append(weights + slope @ rows, slope.sum())

    start = np.zeros(rows.shape[1] + 1)
    settings = {"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-8}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=settings).x
    return Plane(found[:-1], float(found[-1]))


# ---------------------------------------------------------------------------------------------------------------------
# Scores and intervals


class Scores(NamedTuple):
    """What the method knows of a video before the threshold.

    fps, length : of the video, in frames; frames : (N,) positions of the samples
    margins : (N, R), distance from the plane; -inf where a region may not speak
    """

    fps: float
    length: int
    frames: np.ndarray
    margins: np.ndarray


def score_patterns(patterns: Patterns, plane: Plane, fps: float, length: int, config: LtpMlConfig) -> Scores:
    """Return the margins of patterns."""
    reaches = patterns.values[..., 1:].max(axis=-1) >= config.near_max  # NaN reaches nothing
    margins = plane.margins(patterns.values)
    return Scores(fps, length, patterns.frames, np.where(reaches & patterns.moving, margins, -np.inf))


def spot_scores(scores: Scores, margin: float, config: LtpMlConfig) -> list[Interval]:
    """Return the spotted intervals, all of them ME; see the module's first lines."""
    if not len(scores.frames):
        return []
    step = int(scores.frames[1] - scores.frames[0]) if len(scores.frames) > 1 else 1
    speaks = _without_head(scores.margins > margin, max(1, round(config.window_s * scores.fps / step / 9)))
    frames = np.repeat(speaks.any(axis=1), step)[: scores.length]
    cell, fewest = (max(1, spot.to_frames(seconds, scores.fps)) for seconds in config.cells_s)
    spans = hits_in_cells(frames, cell, fewest) + spot.to_frames(config.lead_s, scores.fps)
    spans = np.minimum(spans, scores.length - 1)
    strongest = np.where(speaks, scores.margins, -np.inf).max(axis=1)
    shortest, longest = (seconds * scores.fps for seconds in config.durations_s["ME"])
    return [
        Interval(onset, offset, "ME", score=_strength(strongest, onset, offset, step, config, scores.fps))
        for onset, offset in spans
        if shortest - 1e-9 <= offset - onset <= longest + 1e-9
    ]


def _strength(
    strongest: np.ndarray, onset: int, offset: int, step: int, config: LtpMlConfig, fps: float
) -> float:
    """Return the largest margin of the samples behind an interval."""
    lead = spot.to_frames(config.lead_s, fps)
    return float(strongest[max(0, onset - lead) // step : (offset - lead) // step + 1].max())


def _without_head(speaks: np.ndarray, reach: int) -> np.ndarray:
    """Return who speaks (N, R), nobody within `reach` samples of a moving nose or where more than half do."""
    first, second = speaks[:, list(ROWS["nose"])].T.astype(np.uint8)
    size = 2 * reach + 1
    head = (first & maximum_filter1d(second, size)) | (second & maximum_filter1d(first, size))
    silent = (maximum_filter1d(head, size) > 0) | (speaks.sum(axis=1) > speaks.shape[1] / 2)
    return speaks & ~silent[:, None]


# ---------------------------------------------------------------------------------------------------------------------
# The method


@dataclass(frozen=True)
class Fitted:
    """The method with its plane and margin; `positives` is the number of positive rows it was learned from."""

    config: LtpMlConfig
    plane: Plane
    margin: float
    positives: int

    def score(self, video: Video) -> Scores:
        """Return the margins of a video."""
        return score_patterns(
            video_patterns(video, self.config), self.plane, video.fps, video.length, self.config
        )

    def spot(self, scores: Scores) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_scores(scores, self.margin, self.config)


def prepare(video: Video, profile: str) -> None:
    """Cut what every fold needs of a video, into the cache."""
    face_patches(video, getattr(LtpMlConfig, profile)().patches)


def video_patterns(video: Video, config: LtpMlConfig) -> Patterns:
    """Cut (or read from the cache) the squares of a video and return its patterns."""
    patches = face_patches(video, config.patches)
    step = patches.frames[1] - patches.frames[0] if len(patches.frames) > 1 else 1
    return local_patterns(patches, video.fps / step, config)


def fit(train: Manifest, config: LtpMlConfig, seed: int = 0) -> Fitted:
    """Learn the plane from the ME of the training videos, and the margin where the setting leaves it open.

    To choose the margin, every training subject is scored with a plane of the others; with a single subject, with its
    own. Nothing is random: `seed` is there because every method has it.
    """
    patterns = {uid: video_patterns(train.video(uid), config) for uid in train.uids}
    plane, positives = _learned(train, patterns, config)
    if config.margin is not None:
        return Fitted(config, plane, config.margin, positives)
    judged = {}
    for fold in loso_folds(train):
        others = _learned(train.only(fold.train), patterns, config)[0] if fold.train else plane
        for uid in fold.test:
            video = train.video(uid)
            judged[uid] = score_patterns(patterns[uid], others, video.fps, video.length, config)
    return Fitted(config, plane, _chosen_margin(train, judged, config), positives)


def _learned(train: Manifest, patterns: Mapping[str, Patterns], config: LtpMlConfig) -> tuple[Plane, int]:
    """Return the plane learned from the ME of a manifest, and the number of its positive rows."""
    width = next(iter(patterns.values())).values.shape[-1]
    found = [(np.empty((0, width)), np.empty(0))]
    for event in records(train.events):
        if event["type"] == "ME" and not event["excluded"]:
            video = train.video(event["video_uid"])
            onset = max(0, event["onset"] - video.first_frame_no)
            found.append(learned_rows(patterns[video.uid], onset, regions_of(event["au"]), config))
    rows, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return linear_svm(rows, labels, config.cost, config.positive_weight), int((labels > 0).sum())


def _chosen_margin(train: Manifest, judged: Mapping[str, Scores], config: LtpMlConfig) -> float:
    truth = metrics.of_part({uid: train.truth(uid) for uid in judged}, "ME")
    f1 = []
    for margin in _MARGINS:
        spotted = {uid: spot_scores(scores, margin, config) for uid, scores in judged.items()}
        f1.append(metrics.score(truth, spotted).overall.f1)
    best = np.flatnonzero(np.array(f1) == max(f1))
    return _MARGINS[best[len(best) // 2]]
