"""Peaks of the flow from a reference frame: the training-free engine of the challenge winners.

    region motion from a reference -> low-pass -> peaks that stand out -> their extent -> one interval per expression

He (2021) won MEGC2021 with it, Yu (2022) MEGC2022, Qin (2023) came second in MEGC2023. An expression moves a region of
the face away from where it was and back: its displacement d(t) (2,), in face units, has a peak. With e a direction,

    c(t) = d(t) . e                                            displacement along e                     (1)
    P(p) = c(p) - max(min c over the left, min c over the right)      prominence of the peak p          (2)
    level = foot + share (c(p) - foot)                         where the interval ends, on each side    (3)

The published methods take c = |d|, which cannot fall below zero: what begins in the middle of an expression, or leaves
in one direction and returns through another, looks different. Directed signals have no such corner.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.ndimage import median_filter
from scipy.signal import find_peaks

from mespot_lib import held_out, metrics, spot
from mespot_lib.features.reference_motion import (
    PUBLISHED_ROWS,
    REGION_NAMES,
    ReferenceMotion,
    ReferenceRecipe,
    Stretch,
    reference_motion,
)
from mespot_lib.interval import KINDS, Interval, intersection, iou
from mespot_lib.manifest import Manifest, Video, loso_folds

# What is looked at: the mean of neighbouring regions, because one that moves alone has slipped along a brow or a strand
# of hair; and areas that lie opposite each other.
AREAS: Mapping[str, tuple[str, ...]] = {
    "left outer brow": ("left brow 18", "left brow 19"),
    "left inner brow": ("left brow 19", "left brow 20"),
    "right inner brow": ("right brow 23", "right brow 24"),
    "right outer brow": ("right brow 24", "right brow 25"),
    **{name: (name,) for name in ("mouth 48", "mouth 51", "mouth 54", "mouth 57")},
}
OPPOSITE = (
    ("left outer brow", "right outer brow"),
    ("left inner brow", "right inner brow"),
    ("mouth 48", "mouth 54"),
)
DIRECTIONS = 8
FEWEST_SAMPLES = 8
KNEE_ROUNDS, KNEE_REACH, KNEE_DEPTH = 3, 1.6, 0.05

# What the public code of Qin (2023) has for `Fitted.settings`; it knows no trains of peaks.
PRINTED_SETTINGS: Mapping[str, Any] = {
    "threshold_me_u": 1.8,
    "threshold_mae_u": 1.8,
    "t_nms": 0.29,
    "combine": "union",
    "train_peaks": 10**6,
}


@dataclass(frozen=True)
class FlowPeaksConfig:
    """Settings in seconds and face units, so that one setting serves every frame rate and face size.

    motion : how the motion is measured; backend : where the landmarks come from
    areas : what is looked at, each the mean of some regions; lids : look at the lids, too, outside blinks
    signal : "directed", equation (1), or "length" of the displacement, as published
    joined : one curve for all segments that overlap, or each for itself
    low_pass, low_pass_hz : a zero-phase Butterworth filter, or the ideal one, which the published code takes the
        absolute value of; and the cut-off
    foot : the foot of a peak is where the curve bends into rest, or its lowest sample
    centred_me_s, weak_u : a micro-expression lower than this many u gets this length around its middle, which is where
        it is half as high; 0 leaves it the extent that was seen
    stands_out : the height of a peak counts from the higher or from the lower of its feet
    combine : of intervals that overlap take the strongest, or their union
    factors : by part of a region's name, what its heights are multiplied with, in place of thresholds of its own
    reach_s : how far from its peak an expression can reach on either side
    rise_u, rise_share : a side ends where the curve rises again by so much, and by so much of what it has fallen
    height_share : where an interval ends between the foot and the top, equation (3)
    least_u, shortest_s, longest_s : peaks lower, shorter or longer than that are not proposed
    overlap : intervals that share more than this with a stronger one are dropped
    train_s, train_peaks : so many short peaks, each within this time of the one before, are a movement of another kind
    closed_share, usual_s, longest_blink_s : a blink is an opening below this share of its median over that time around
    around_blink_s : what the lids do so long before and after a blink is not looked at
    with_blink_s : a peak that comes at most so long before and after a blink, and is at most so much longer, may be its
        echo on brow and cheek; blink_drag_u : and is taken to be lower by so much; it is marked, and a high one stays
    jump_share, jump_u : a lid that moves by more than this share of a peak between two samples follows the gaze
    thresholds_u : least prominence per kind; tried_u, indifference : values among which `fit` chooses, and F1 within
        which it prefers those near `thresholds_u`
    """

    motion: ReferenceRecipe = field(default_factory=ReferenceRecipe)
    backend: str = "auto"
    areas: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(AREAS))
    lids: bool = True
    signal: Literal["directed", "length"] = "directed"
    joined: bool = True
    low_pass: Literal["butterworth", "ideal"] = "butterworth"
    low_pass_hz: float = 5.0
    foot: Literal["bend", "valley"] = "bend"
    centred_me_s: float = 0.0
    weak_u: float = 1.0
    stands_out: Literal["both sides", "one side"] = "both sides"
    combine: Literal["strongest", "union"] = "strongest"
    factors: Mapping[str, float] = field(default_factory=dict)
    reach_s: float = 4.0
    rise_u: float = 0.2
    rise_share: float = 0.3
    height_share: float = 0.05
    least_u: float = 0.2
    shortest_s: float = 0.1
    longest_s: float = np.inf
    overlap: float = 0.2
    train_s: float = 0.6
    train_peaks: int = 3
    closed_share: float = 0.8
    usual_s: float = 4.0
    longest_blink_s: float = 0.7
    around_blink_s: float = 0.1
    with_blink_s: tuple[float, float, float] = (0.1, 0.15, 0.35)
    blink_drag_u: float = 0.65
    jump_share: float = 0.6
    jump_u: float = 0.25
    thresholds_u: Mapping[str, float] = field(default_factory=lambda: {"ME": 0.4, "MaE": 0.8})
    indifference: float = 0.05
    tried_u: Mapping[str, Sequence[float]] = field(
        default_factory=lambda: {
            "ME": (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5),
            "MaE": (0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2),
        }
    )

    @classmethod
    def paper(cls, **changes: Any) -> "FlowPeaksConfig":
        """Return our settings; nothing is trained, so `quick` and `paper` do not differ."""
        return cls(**changes)

    quick = paper

    @classmethod
    def published(cls, **changes: Any) -> "FlowPeaksConfig":
        """Return what is printed, with the behaviour of the published code where that differs (Qin 2023 and before).

        Constants are for a face of 256 px, hence in u. Left out: the empirical mode decomposition that takes the
        trend out of a second copy of the signal; the blinks, which it does not know.
        """
        recipe = ReferenceRecipe(
            size=256,
            flow="farneback",
            flow_settings={},
            published_steps=True,
            head="shift",
            published_shift=True,
            nose="top_mean",
            passes=4,
            top_share=0.2,
        )
        printed: dict[str, Any] = {
            "motion": recipe,
            "areas": {REGION_NAMES[row]: (REGION_NAMES[row],) for row in PUBLISHED_ROWS},
            "lids": False,
            "signal": "length",
            "joined": False,
            "low_pass": "ideal",
            "foot": "valley",
            "reach_s": 1.0,
            "rise_u": 0.7,
            "rise_share": 0.33,
            "height_share": 0.33,
            "stands_out": "one side",
            "combine": "union",
            "overlap": 0.29,
            "shortest_s": 0.4,
            "longest_s": 200 / 30,
            "train_peaks": 10**6,
            "blink_drag_u": 0.0,
            "factors": {"mouth": 1.8 / 1.85, "nose": 1.8 / 2.1},
            "thresholds_u": {"ME": 1.8, "MaE": 1.8},
        }
        return cls(**printed | changes)


class Scores(NamedTuple):
    """What the engine knows of a video before any threshold.

    fps : frames per second; frames : (N,) sampled positions; known : (N,) whether a sample could be measured
    proposals : intervals with their prominence as score, u; where : the curve that shows it, for each
    blinks : first and last frame of each
    """

    fps: float
    frames: np.ndarray
    known: np.ndarray
    proposals: list[Interval]
    where: list[str]
    blinks: list[tuple[int, int]]

    def with_blink(self, interval: Interval) -> bool:
        """Tell whether an interval shares frames with a blink: what the brows do then may be part of it.

        It may also be the expression: closing the eyes (AU43) counts as one in some datasets.
        """
        return any(first <= interval.offset and interval.onset <= last for first, last in self.blinks)

    def table(self) -> np.ndarray:
        """Return the proposals as (P, 7) float64.

        Columns: kind (0 ME, 1 MaE), onset, apex, offset, height in u, with a blink, at the mouth.
        """
        rows = [
            (KINDS.index(p.kind), p.onset, p.apex, p.offset, p.score, self.with_blink(p), _MOUTH in where)
            for p, where in zip(self.proposals, self.where, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 7)


@dataclass(frozen=True)
class Fitted:
    """The method with its thresholds; `trials` holds F1 on the training videos for every pair tried, ME x MaE."""

    config: FlowPeaksConfig
    thresholds_u: dict[str, float]
    trials: np.ndarray

    def score(self, video: Video) -> Scores:
        """Return the proposals of a video."""
        return score_video(video, self.config)

    def spot(self, scores: Scores) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_scores(scores, self.thresholds_u, self.config)

    def settings(self) -> dict[str, Any]:
        """Return all that `spot_stored` needs to spot as `spot` does."""
        limits = {f"threshold_{kind.lower()}_u": self.thresholds_u[kind] for kind in KINDS}
        trains = {name: getattr(self.config, name) for name in ("combine", "train_s", "train_peaks")}
        return {**limits, "t_nms": self.config.overlap, **trains}


def fit(train: Manifest, config: FlowPeaksConfig, seed: int = 0) -> Fitted:
    """Choose the two thresholds on the training videos by overall F1 (profile `megc`).

    A few dozen expressions do not tell F1 apart that are nearly equal: of the pairs within `indifference` of the best,
    the one nearest to the default thresholds, in ratio, is taken. Nothing is random: `seed` is there because every
    method has it.
    """
    scores = {uid: score_video(train.video(uid), config) for uid in train.uids}
    return _chosen(_trials(train, scores, config), train.uids, config)


def leave_one_subject_out(manifest: Manifest, config: FlowPeaksConfig) -> dict[str, list[Interval]]:
    """Spot every video with thresholds chosen on the other subjects; each is scored, and tried, once."""
    scores = {uid: score_video(manifest.video(uid), config) for uid in manifest.uids}
    tried = _trials(manifest, scores, config)
    spotted: dict[str, list[Interval]] = {}
    for fold in loso_folds(manifest):
        fitted = _chosen(tried, fold.train, config)
        spotted |= {uid: fitted.spot(scores[uid]) for uid in fold.test}
    return spotted


def _trials(manifest: Manifest, scores: Mapping[str, Scores], config: FlowPeaksConfig) -> list[metrics.Score]:
    return held_out.trials(manifest, scores, config.tried_u, lambda one, pair: spot_scores(one, pair, config))


def _chosen(tried: Sequence[metrics.Score], uids: Sequence[str], config: FlowPeaksConfig) -> Fitted:
    """Choose the pair by what it does on these videos; the others have no say."""
    f1 = np.array([trial.of_videos(uids).overall.f1 for trial in tried])
    good = [
        pair
        for pair, own in zip(held_out.pairs(config.tried_u), f1, strict=True)
        if own >= f1.max() - config.indifference
    ]
    chosen = min(good, key=lambda pair: sum(abs(np.log(pair[k] / config.thresholds_u[k])) for k in KINDS))
    return Fitted(config, chosen, f1.reshape([len(config.tried_u[k]) for k in KINDS]))


def prepare(video: Video, profile: str) -> None:
    """Measure what every fold needs of a video, into the cache."""
    config = getattr(FlowPeaksConfig, profile)()
    reference_motion(video, config.motion, config.backend)


def score_video(video: Video, config: FlowPeaksConfig) -> Scores:
    """Measure (or read from the cache) the motion of a video and propose intervals."""
    return score_motion(reference_motion(video, config.motion, config.backend), video.fps, config)


def score_motion(motion: ReferenceMotion, fps: float, config: FlowPeaksConfig | None = None) -> Scores:
    """Propose intervals from measured motion; see the module's equations."""
    config = config or FlowPeaksConfig()
    stretches = motion.stretches() if config.joined else motion.apart()
    proposals = [one for stretch in stretches for one in _propose(stretch, fps, config)]
    blinks = [
        (int(stretch.frames[first]), int(stretch.frames[last]))
        for stretch in stretches
        if len(stretch.frames) >= FEWEST_SAMPLES
        for first, last in find_blinks(stretch.eyes, fps / (stretch.frames[1] - stretch.frames[0]), config)
    ]
    kept = _strongest(proposals, fps)
    spans, where = [one.span for one in kept], [one.where for one in kept]
    return Scores(fps, motion.frames, motion.known, spans, where, blinks)


def spot_scores(
    scores: Scores, thresholds_u: Mapping[str, float] | None = None, config: FlowPeaksConfig | None = None
) -> list[Interval]:
    """Return the proposals that reach the threshold of their kind, without those that a stronger one overlaps.

    The score of an interval is its prominence in u.
    """
    config = config or FlowPeaksConfig()
    limits = thresholds_u or config.thresholds_u
    above = [
        _Found(p, where)
        for p, where in zip(scores.proposals, scores.where, strict=True)
        if p.score >= limits[p.kind]
    ]
    return _combined(above, scores.fps, config)


def spot_stored(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> list[Interval]:
    """Return the intervals of a video from the proposals (P, 7) of `Scores.table`.

    settings : as `Fitted.settings` returns them, which spots as `Fitted.spot` does, or changed
    """
    limits = [settings[f"threshold_{kind.lower()}_u"] for kind in KINDS]
    above = [
        _Found(Interval(int(onset), int(offset), KINDS[int(kind)], int(apex), score), _MOUTH if mouth else "")
        for kind, onset, apex, offset, score, _, mouth in stored.tolist()
        if score >= limits[int(kind)]
    ]
    own = {name: settings[name] for name in ("combine", "train_s", "train_peaks")}
    return _combined(above, fps, FlowPeaksConfig(overlap=settings["t_nms"], **own))


def stored_proposals(stored: np.ndarray, settings: Mapping[str, Any]) -> list[Interval]:
    """Return all proposals that are stored of a video, with their height in u as score."""
    return [
        Interval(int(onset), int(offset), KINDS[int(kind)], int(apex), score)
        for kind, onset, apex, offset, score, *_ in stored.tolist()
    ]


def _combined(above: Sequence["_Found"], fps: float, config: FlowPeaksConfig) -> list[Interval]:
    """Return what is left of proposals above their thresholds."""
    if config.combine == "union":
        return _united([one.span for one in above], fps, config)
    spans = [one.span for one in _without_trains(above, fps, config)]
    return spot.nms(spans, config.overlap, across_kinds=True, over="shorter")


# ---------------------------------------------------------------------------------------------------------------------
# Blinks


def find_blinks(eyes: np.ndarray, rate: float, config: FlowPeaksConfig) -> np.ndarray:
    """Return the blinks (B, 2) of a stretch, first and last sample, from how open the eyes are (n, 2).

    The opening is compared with its median over some seconds around, so that a squint is none.
    """
    opening = eyes.mean(axis=1)
    usual = median_filter(opening, 2 * round(config.usual_s * rate / 2) + 1, mode="nearest")
    closed = spot.runs_above(-opening / np.maximum(usual, 1e-6), -config.closed_share)
    return closed[closed[:, 1] - closed[:, 0] <= config.longest_blink_s * rate]


def _near_a_blink(
    onset: float, peak: int, offset: float, blinks: np.ndarray, rate: float, config: FlowPeaksConfig
) -> bool:
    """Tell whether a peak comes and goes with a blink."""
    before, after, longer = (round(seconds * rate) for seconds in config.with_blink_s)
    inside = (blinks[:, 0] - before <= peak) & (peak <= blinks[:, 1] + after)
    return bool((inside & (offset - onset <= blinks[:, 1] - blinks[:, 0] + longer)).any())


def _bridged(curve: np.ndarray, blinks: np.ndarray, around: int) -> np.ndarray:
    """Return a curve (n,) with straight lines in place of the blinks."""
    known = np.ones(len(curve), dtype=bool)
    for first, last in blinks:
        known[max(0, first - around) : last + around + 1] = False
    places = np.arange(len(curve))
    return np.interp(places, places[known], curve[known]) if known.any() else curve


# ---------------------------------------------------------------------------------------------------------------------
# From motion to proposals


_MOUTH = "mouth"  # part of the names of the regions around it


class _Found(NamedTuple):
    """An interval and the name of the curve that shows it."""

    span: Interval
    where: str

    @property
    def apex(self) -> int:
        assert self.span.apex is not None  # every peak has one
        return self.span.apex

    @property
    def at_mouth(self) -> bool:
        return _MOUTH in self.where


class Curve(NamedTuple):
    """One signal of a stretch: values (n,) u, low-passed, and what the regions are called.

    raw : (n,) as measured, for the lids, which move too fast in a saccade; None for skin
    longest_s : a longer peak is none; a raised upper lid that stays up is a gaze
    """

    name: str
    values: np.ndarray
    raw: np.ndarray | None = None
    longest_s: float = np.inf


def curves(stretch: Stretch, blinks: np.ndarray, rate: float, config: FlowPeaksConfig) -> Iterator[Curve]:
    """Yield all signals of a stretch, equation (1)."""
    rows = [[REGION_NAMES.index(name) for name in names] for names in config.areas.values()]
    points = np.stack([stretch.regions[:, some].mean(axis=1) for some in rows], axis=1)
    if config.signal == "length":
        values = _low_pass(np.linalg.norm(points, axis=2), rate, config)
        yield from (Curve(name, column) for name, column in zip(config.areas, values.T, strict=True))
    else:
        yield from _directed(points, rate, config)
    if config.lids:
        yield from _lids(stretch, blinks, rate, config)


def _directed(points: np.ndarray, rate: float, config: FlowPeaksConfig) -> Iterator[Curve]:
    """Yield the displacement of areas (n, P, 2), and of opposite ones together, along every direction."""
    mirror = np.array([-1.0, 1.0])
    places = {name: column for column, name in enumerate(config.areas)}
    pairs = [pair for pair in OPPOSITE if places.keys() >= set(pair)]
    together = [(points[:, places[left]] + points[:, places[right]] * mirror) / 2 for left, right in pairs]
    quiet = _low_pass(np.stack([*points.transpose(1, 0, 2), *together], axis=1), rate, config)
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    along = quiet @ np.stack([np.cos(angles), np.sin(angles)])  # (n, regions, directions)
    for row, name in enumerate((*config.areas, *("+".join(pair) for pair in pairs))):
        for k, angle in enumerate(angles):
            yield Curve(f"{name} {round(np.degrees(angle))}", along[:, row, k])


def _lids(stretch: Stretch, blinks: np.ndarray, rate: float, config: FlowPeaksConfig) -> Iterator[Curve]:
    """Yield how far the lids are raised, blinks bridged: tightened lower lids (AU7), raised upper ones (AU5)."""
    around = round(config.around_blink_s * rate)
    for lid, longest_s in (("lower lid", np.inf), ("upper lid", spot.ME_LONGEST_S)):
        up = -stretch.regions[:, [REGION_NAMES.index(f"{side} {lid}") for side in ("left", "right")], 1]
        raw = _bridged(up.mean(axis=1), blinks, around)
        yield Curve(lid, _low_pass(raw, rate, config), raw, longest_s)


def _low_pass(values: np.ndarray, rate: float, config: FlowPeaksConfig) -> np.ndarray:
    """Return values (n, ...) without what is faster than the cut-off."""
    if config.low_pass_hz >= rate / 2:
        return values
    if config.low_pass == "ideal":
        spectrum = np.fft.rfft(values, axis=0)
        spectrum[np.fft.rfftfreq(len(values), 1 / rate) > config.low_pass_hz] = 0
        return np.abs(np.fft.irfft(spectrum, len(values), axis=0))
    flat = values.reshape(len(values), -1)
    return spot.smooth(flat, rate, low_pass_hz=config.low_pass_hz).reshape(values.shape)


def _propose(stretch: Stretch, fps: float, config: FlowPeaksConfig) -> Iterator[_Found]:
    """Yield an interval for every peak of every curve of a stretch."""
    if len(stretch.frames) < FEWEST_SAMPLES:
        return
    rate = fps / (stretch.frames[1] - stretch.frames[0])
    blinks = find_blinks(stretch.eyes, rate, config)
    for curve in curves(stretch, blinks, rate, config):
        for peak in _peaks(curve.values, rate, config):
            onset, offset, height = extent(curve.values, int(peak), rate, config)
            if height < config.weak_u and offset - onset <= spot.ME_LONGEST_S * rate:
                onset, offset = _centred(curve.values, int(peak), (onset, offset), rate, config)
            if offset - onset > curve.longest_s * rate or _jumps(curve, onset, offset, height, config):
                continue
            if _near_a_blink(onset, int(peak), offset, blinks, rate, config):
                height -= config.blink_drag_u
            height *= next((by for part, by in config.factors.items() if part in curve.name), 1.0)
            if (
                height >= config.least_u
                and config.shortest_s * rate <= offset - onset <= config.longest_s * rate
            ):
                step = stretch.frames[1] - stretch.frames[0]
                onset, peak, offset = (round(stretch.frames[0] + i * step) for i in (onset, peak, offset))
                (span,) = spot.type_by_duration(np.array([[onset, offset]]), fps, [peak], [height])
                yield _Found(span, curve.name)


def _peaks(values: np.ndarray, rate: float, config: FlowPeaksConfig) -> np.ndarray:
    prominence = config.least_u if config.stands_out == "both sides" else None
    return find_peaks(values, prominence=prominence, wlen=2 * round(config.reach_s * rate) + 1)[0]


def _jumps(curve: Curve, onset: float, offset: float, height: float, config: FlowPeaksConfig) -> bool:
    """Tell whether a lid moves as fast as in a saccade or a blink."""
    if curve.raw is None:
        return False
    fastest = np.abs(np.diff(curve.raw[max(0, int(onset) - 2) : int(offset) + 4])).max()
    return bool(fastest > max(config.jump_share * height, config.jump_u))


def extent(curve: np.ndarray, peak: int, rate: float, config: FlowPeaksConfig) -> tuple[float, float, float]:
    """Return where a peak begins and ends, equation (3), in fractions of a sample, and its height, equation (2)."""
    reach = round(config.reach_s * rate)
    left, foot_left = _side(curve[max(0, peak - reach) : peak + 1][::-1], config)
    right, foot_right = _side(curve[peak : peak + reach + 1], config)
    feet = curve[peak - foot_left], curve[peak + foot_right]
    height = curve[peak] - (max(feet) if config.stands_out == "both sides" else min(feet))
    return peak - left, peak + right, float(height)


def _centred(
    curve: np.ndarray, peak: int, found: tuple[float, float], rate: float, config: FlowPeaksConfig
) -> tuple[float, float]:
    """Return an extent of the usual length of a micro-expression around the middle of a peak."""
    if not config.centred_me_s:
        return found
    first, last, _ = extent(curve, peak, rate, replace(config, height_share=0.5))
    half = config.centred_me_s * rate / 2
    onset, offset = (first + last) / 2 - half, (first + last) / 2 + half
    return max(0.0, min(onset, peak)), min(len(curve) - 1.0, max(offset, peak))


def _side(side: np.ndarray, config: FlowPeaksConfig) -> tuple[float, int]:
    """Return how many samples from the top (first) it is to the level of equation (3), and to the foot.

    The foot is where the fall bends into rest: the sample farthest below the straight line from the top to the lowest
    sample before the curve rises again. A face that is never quite still goes on sinking slowly after an expression;
    so the line is drawn again to a nearer end, and once more.
    """
    lowest = np.minimum.accumulate(side)
    rises = side - lowest > np.maximum(config.rise_u, config.rise_share * (side[0] - lowest))
    end = int(side[: int(rises.argmax()) if rises.any() else len(side)].argmin())
    foot = end
    for _ in range(KNEE_ROUNDS if config.foot == "bend" else 0):
        if end < 2:
            break
        line = side[0] + (side[end] - side[0]) * np.arange(end + 1) / end
        below = line - side[: end + 1]
        if below.max() < KNEE_DEPTH * (side[0] - side[end]):  # a straight fall bends nowhere
            foot = end
            break
        foot = int(below.argmax())
        end = min(end, max(2, round(KNEE_REACH * foot)))
    level = side[foot] + config.height_share * (side[0] - side[foot])
    below = int(np.flatnonzero(side[: foot + 1] <= level)[0])
    if below == 0:
        return 0.0, foot
    above = side[below - 1] - level  # the level is passed between two samples
    return below - 1 + float(above / (side[below - 1] - side[below])), foot


def _strongest(found: Sequence[_Found], fps: float) -> list[_Found]:
    """Return of intervals that say the same, apex within a tenth of a second and most frames shared, the strongest."""
    kept: list[_Found] = []
    for one in sorted(found, key=lambda f: (-f.span.score, f.span, f.where)):
        if not any(
            one.at_mouth == other.at_mouth  # a train at the mouth is told by all its peaks
            and abs(one.apex - other.apex) <= 0.1 * fps
            and iou(one.span, other.span) > 0.5
            for other in kept
        ):
            kept.append(one)
    return sorted(kept, key=lambda f: f.span)


def _united(spans: Sequence[Interval], fps: float, config: FlowPeaksConfig) -> list[Interval]:
    """Join intervals that share more than `overlap` of the shorter one, whatever their kind, until none do."""
    united: list[Interval] = []
    for span in sorted(spans):
        while (
            found := next((other for other in united if _share(span, other) > config.overlap), None)
        ) is not None:
            united.remove(found)
            strong = max(span, found, key=lambda one: one.score)
            ends = np.array([[min(span.onset, found.onset), max(span.offset, found.offset)]])
            (span,) = spot.type_by_duration(ends, fps, [strong.apex], [strong.score])
        united.append(span)
    return sorted(united)


def _share(first: Interval, second: Interval) -> float:
    return intersection(first, second) / min(first.length, second.length)


def _without_trains(found: Sequence[_Found], fps: float, config: FlowPeaksConfig) -> list[_Found]:
    """Drop movements of the mouth where short ones follow each other faster than expressions do, as in talking."""
    mouth = [one for one in found if one.at_mouth]
    short = spot.nms([one.span for one in mouth if one.span.kind == "ME"], config.overlap, over="shorter")
    apexes = np.array(sorted(span.apex for span in short if span.apex is not None), dtype=np.int64)
    breaks = np.flatnonzero(np.diff(apexes) > config.train_s * fps) + 1
    trains = [train for train in np.split(apexes, breaks) if len(train) >= config.train_peaks]
    dropped = {id(one) for one in mouth for train in trains if train[0] <= one.apex <= train[-1]}
    return [one for one in found if id(one) not in dropped]
