"""The MEGC baseline: spatio-temporal fusion of S-patterns (Zhang et al., FG 2020; baseline of MEGC2020 to MEGC2023).

    region motion -> head motion removed -> S-pattern votes, region x time, at several durations -> fusion -> intervals

An expression moves a region of the face away along one direction and back again. That is the S-pattern: in the motion
between neighbouring frames a rise and then a fall of opposite sign, in the displacement a bump. A head that moves and
stays, or a region that drifts, makes no bump. What the paper's descriptions leave open is decided here and listed in
notebook 10, "Where we had to choose".

The vote of a region for a bump of duration D centred on sample t is

    h_D           half-cosine rise and fall with still margins, mean removed               (1)
    a_D(t)        = sum_s h_D(s) d(t + s) / sum_s h_D(s)^2          amplitude, a vector in u   (2)
    rho_D(t)^2    = |a_D(t)|^2 sum_s h_D(s)^2 / sum_s |d(t + s) - mean d|^2    purity, 0..1    (3)
    vote          = |a_D(t)| rho_D(t)^2                                                    (4)

where d (N, 2) is the displacement of the region in face units (u). The purity is 1 if all motion around t is one bump
along one line; it falls where the direction turns, where the region does not come back, and in noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import fftconvolve

from mespot_lib import held_out, metrics, spot
from mespot_lib.features.motion import MotionRecipe, RegionMotion, region_motion
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video, loso_folds

# What the paper prints of `Fitted.settings`: neither its thresholds nor how much intervals may share.
PRINTED_SETTINGS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class ZhangConfig:
    """Settings, all in seconds and face units, so that one setting serves every frame rate and face size.

    motion : how region motion is measured; remove_head_motion : subtract the motion of the nose (the paper does)
    durations_s : the bank of filters per kind ("multi-scale filter"); a MaE lasts up to 4 s
    apex_share : where in a bump its highest point lies (expressions rise faster than they fall)
    margin_share, margin_s : still samples before and after the bump, as a share of it, and the limits of that
    smooth_s : standard deviation of the Gaussian that quiets the displacement
    voters : regions whose votes are fused (the mean of the strongest); one region alone may be a tracking fault
    height_share : an interval ends where the displacement has fallen to this share of its height
    overlap : proposals that share more than this with a stronger one are dropped
    thresholds_u : per kind, the values among which `fit` chooses, in u
    """

    motion: MotionRecipe = field(default_factory=MotionRecipe)
    remove_head_motion: bool = True
    durations_s: Mapping[str, Sequence[float]] = field(
        default_factory=lambda: {
            "ME": (0.2, 0.27, 0.35, 0.45),
            "MaE": (0.6, 0.8, 1.05, 1.4, 1.9, 2.6, 3.5),
        }
    )
    apex_share: float = 0.42
    margin_share: float = 0.35
    margin_s: tuple[float, float] = (0.1, 0.6)
    smooth_s: float = 0.04
    voters: int = 2
    height_share: float = 0.25
    overlap: float = 0.2
    thresholds_u: Mapping[str, Sequence[float]] = field(
        default_factory=lambda: {
            "ME": (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2),
            "MaE": (0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2),
        }
    )

    @classmethod
    def paper(cls, **changes: Any) -> "ZhangConfig":
        """Return the only configuration there is: nothing is trained, so `quick` and `paper` do not differ."""
        return cls(**changes)

    quick = paper


class Scores(NamedTuple):
    """What the method knows of a video before any threshold. Lengths: N samples, R regions.

    fps : frames per second of the video; frames : (N,) positions of the samples on the frame axis
    shifts : (N, R, 2) displacement of the regions, u; votes : per kind (N, R), equation (4), the best duration's
    fused : per kind (N,), mean of the strongest votes; proposals : intervals with the fused vote as score, u
    """

    fps: float
    frames: np.ndarray
    shifts: np.ndarray
    votes: dict[str, np.ndarray]
    fused: dict[str, np.ndarray]
    proposals: list[Interval]

    def table(self) -> np.ndarray:
        """Return the proposals as (P, 5) float64: kind (0 ME, 1 MaE), onset, apex, offset, fused vote in u."""
        rows = [(KINDS.index(p.kind), p.onset, p.apex, p.offset, p.score) for p in self.proposals]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)


@dataclass(frozen=True)
class Fitted:
    """The method with its thresholds; `trials` holds F1 on the training videos for every pair tried, ME x MaE."""

    config: ZhangConfig
    thresholds_u: dict[str, float]
    trials: np.ndarray

    def score(self, video: Video) -> Scores:
        """Return votes and proposals of a video."""
        return score_video(video, self.config)

    def spot(self, scores: Scores) -> list[Interval]:
        """Return the spotted intervals."""
        return spot_scores(scores, self.thresholds_u, self.config)

    def settings(self) -> dict[str, Any]:
        """Return all that `spot_stored` needs to spot as `spot` does."""
        limits = {f"threshold_{kind.lower()}_u": self.thresholds_u[kind] for kind in KINDS}
        return {**limits, "t_nms": self.config.overlap}


def fit(train: Manifest, config: ZhangConfig, seed: int = 0) -> Fitted:
    """Choose the two thresholds with the best overall F1 (profile `megc`) on the training videos.

    Of equally good pairs the middle one is taken. Nothing is random: `seed` is there because every method has it.
    """
    scores = {uid: score_video(train.video(uid), config) for uid in train.uids}
    return _chosen(_trials(train, scores, config), train.uids, config)


def leave_one_subject_out(
    manifest: Manifest, config: ZhangConfig, fit_config: ZhangConfig | None = None
) -> dict[str, list[Interval]]:
    """Spot every video with thresholds chosen on the other subjects; each is scored, and tried, once.

    fit_config : settings under which the thresholds are chosen, where those are to differ (for experiments).
    """
    scores, fit_scores = (
        {uid: score_video(manifest.video(uid), c) for uid in manifest.uids}
        for c in (config, fit_config or config)
    )
    tried = _trials(manifest, fit_scores, fit_config or config)
    spotted: dict[str, list[Interval]] = {}
    for fold in loso_folds(manifest):
        fitted = _chosen(tried, fold.train, fit_config or config)
        spotted |= {uid: spot_scores(scores[uid], fitted.thresholds_u, config) for uid in fold.test}
    return spotted


def _trials(manifest: Manifest, scores: Mapping[str, Scores], config: ZhangConfig) -> list[metrics.Score]:
    return held_out.trials(
        manifest, scores, config.thresholds_u, lambda one, pair: spot_scores(one, pair, config)
    )


def _chosen(tried: Sequence[metrics.Score], uids: Sequence[str], config: ZhangConfig) -> Fitted:
    """Choose the pair by what it does on these videos; the others have no say."""
    f1 = np.array([trial.of_videos(uids).overall.f1 for trial in tried])
    best = np.flatnonzero(f1 == f1.max())
    return Fitted(
        config,
        held_out.pairs(config.thresholds_u)[best[len(best) // 2]],
        f1.reshape([len(config.thresholds_u[k]) for k in KINDS]),
    )


def prepare(video: Video, profile: str) -> None:
    """Measure what every fold needs of a video, into the cache."""
    region_motion(video, getattr(ZhangConfig, profile)().motion)


def score_video(video: Video, config: ZhangConfig) -> Scores:
    """Measure (or read from the cache) the motion of a video and let the regions vote."""
    return score_motion(region_motion(video, config.motion), video.fps, config)


def score_motion(motion: RegionMotion, fps: float, config: ZhangConfig) -> Scores:
    """Let the regions vote on measured motion; see the module's equations."""
    rate = fps / (motion.frames[1] - motion.frames[0]) if len(motion.frames) > 1 else fps
    shifts = motion.shifts(config.remove_head_motion)
    quiet = spot.smooth(shifts.reshape(len(shifts), -1), rate, gaussian_s=config.smooth_s).reshape(
        shifts.shape
    )
    votes, fused, proposals = {}, {}, []
    for kind in KINDS:
        durations = config.durations_s[kind]
        amplitudes, by_duration = _votes(quiet, durations, rate, config)
        together = _mean_of_strongest(by_duration, config.voters)  # (D, N)
        votes[kind], fused[kind] = by_duration.max(axis=0), together.max(axis=0)
        for at in spot.peaks(fused[kind], rate, min(config.thresholds_u[kind]), distance_s=durations[0] / 2):
            d = int(together[:, at].argmax())
            extent = _extent(quiet, amplitudes[d, at], by_duration[d, at], at, durations[d] * rate, config)
            onset, apex, offset = (int(motion.frames[i]) for i in extent)
            proposals.append(Interval(onset, offset, kind, apex, float(fused[kind][at])))
    return Scores(fps, motion.frames, shifts, votes, fused, proposals)


def spot_scores(scores: Scores, thresholds_u: Mapping[str, float], config: ZhangConfig) -> list[Interval]:
    """Keep the proposals above the threshold of their kind of filter, drop overlapping ones, type by duration.

    Where a long and a short filter answer to one movement, the one further above its threshold wins.
    """
    above = [
        Interval(p.onset, p.offset, p.kind, p.apex, p.score / thresholds_u[p.kind])
        for p in scores.proposals
        if p.score >= thresholds_u[p.kind]
    ]
    return _strongest_typed(above, scores.fps, config.overlap)


def spot_stored(stored: np.ndarray, fps: float, settings: Mapping[str, Any]) -> list[Interval]:
    """Return the intervals of a video from the proposals (P, 5) of `Scores.table`.

    settings : as `Fitted.settings` returns them, which spots as `Fitted.spot` does, or changed
    """
    limits = [settings[f"threshold_{kind.lower()}_u"] for kind in KINDS]
    above = [
        Interval(int(onset), int(offset), KINDS[int(kind)], int(apex), score / limits[int(kind)])
        for kind, onset, apex, offset, score in stored.tolist()
        if score >= limits[int(kind)]
    ]
    return _strongest_typed(above, fps, settings["t_nms"])


def stored_proposals(stored: np.ndarray, settings: Mapping[str, Any]) -> list[Interval]:
    """Return all proposals that are stored of a video, with their fused vote in u as score."""
    return [
        Interval(int(onset), int(offset), KINDS[int(kind)], int(apex), score)
        for kind, onset, apex, offset, score, *_ in stored.tolist()
    ]


def _strongest_typed(above: Sequence[Interval], fps: float, overlap: float) -> list[Interval]:
    kept = spot.nms(above, overlap, across_kinds=True, over="shorter")
    frames = np.array([(p.onset, p.offset) for p in kept])
    return spot.type_by_duration(frames, fps, [p.apex for p in kept], [p.score for p in kept])


def bump(duration_s: float, rate: float, config: ZhangConfig) -> np.ndarray:
    """Return h_D of equation (1), (L,) float64: a bump of height 1 between still margins, less its mean."""
    inside = max(3, round(duration_s * rate))
    margin = max(1, round(np.clip(config.margin_share * duration_s, *config.margin_s) * rate))
    place = (np.arange(inside) + 0.5) / inside
    phase = np.where(
        place < config.apex_share,
        place / config.apex_share,
        1 + (place - config.apex_share) / (1 - config.apex_share),
    )
    template = np.pad(0.5 - 0.5 * np.cos(np.pi * phase), margin)
    return template - template.mean()


def _votes(
    shifts: np.ndarray, durations: Sequence[float], rate: float, config: ZhangConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return amplitudes (D, N, R, 2) u and votes (D, N, R) u, equations (2) to (4), for every duration."""
    amplitudes, votes = [], []
    for duration_s in durations:
        template = bump(duration_s, rate, config)[:, None, None]
        power = (template**2).sum()
        amplitude = _slide(shifts, template[::-1]) / power
        window = np.ones_like(template)
        spread = (_slide(shifts**2, window) - _slide(shifts, window) ** 2 / len(window)).sum(axis=-1)
        length2 = (amplitude**2).sum(axis=-1)
        purity = np.clip(length2 * power / np.maximum(spread, 1e-9), 0, 1)
        amplitudes.append(amplitude)
        votes.append(np.sqrt(length2) * purity)
    return np.array(amplitudes), np.array(votes)


def _slide(signal: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the sum under a kernel (L, 1, 1) centred on each sample; beyond its ends the signal rests."""
    before, after = len(kernel) // 2, (len(kernel) - 1) // 2
    rested = np.concatenate([signal[:1].repeat(before, 0), signal, signal[-1:].repeat(after, 0)])
    return fftconvolve(rested, kernel, mode="valid", axes=0)


def _mean_of_strongest(votes: np.ndarray, voters: int) -> np.ndarray:
    """Return the mean over the `voters` strongest regions: (..., R) -> (...)."""
    return np.sort(votes, axis=-1)[..., -voters:].mean(axis=-1)


def _extent(
    shifts: np.ndarray, amplitude: np.ndarray, votes: np.ndarray, at: int, samples: float, config: ZhangConfig
) -> tuple[int, int, int]:
    """Return onset, apex and offset (samples) of the bump around `at`, seen by the regions that voted for it.

    Their displacement along their own direction, weighted by their votes, is one curve; its highest point is the apex,
    and it is followed down on both sides.
    """
    voters = np.argsort(votes)[-config.voters :]
    weights = votes[voters] / votes[voters].sum()
    length = np.linalg.norm(amplitude[voters], axis=1, keepdims=True)
    direction = amplitude[voters] / np.maximum(
        length, 1e-9
    )  # a voter at rest has no direction, and no weight
    curve = np.einsum("nrc,rc,r->n", shifts[:, voters], direction, weights)  # u
    near, reach = round(0.6 * samples), round(1.2 * samples)
    first = max(0, at - near)
    apex = first + int(curve[first : at + near + 1].argmax())
    left = curve[max(0, apex - reach) : apex + 1][::-1]
    right = curve[apex : apex + reach + 1]
    return apex - _fall(left, config.height_share), apex, apex + _fall(right, config.height_share)


def _fall(side: np.ndarray, share: float) -> int:
    """Return how many samples from the apex a side (apex first) needs to fall to a share of its height."""
    valley = int(side.argmin())
    level = side[valley] + share * (side[0] - side[valley])
    return int(np.flatnonzero(side[: valley + 1] <= level)[0])
