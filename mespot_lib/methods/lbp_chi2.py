"""LBP-chi2: differences of local binary patterns (Moilanen et al., ICPR 2014; baseline of MEGC2019).

    registered face -> histograms of local binary patterns in 36 blocks -> this frame against the mean of those k
    before and k after it -> mean of the 12 largest distances -> contrast -> threshold between mean and maximum

Histograms and distance are in `mespot_lib.features.lbp`, contrast and threshold in `mespot_lib.contrast`. With
h_b(t) the histogram of block b,

    D_b(t) = chi2( h_b(t), (h_b(t - k) + h_b(t + k)) / 2 )                                          (1)
    F(t)   = mean of the 12 largest D_b(t)                                                          (2)
    C(t)   = max(0, F(t) - (F(t - k) + F(t + k)) / 2)                                               (3)

A frame is hit where C >= mean C + p (max C - mean C). Before the first and after the last k samples F keeps its value,
as published. A pattern that comes and goes within 2 k is seen whatever moves and wherever to; light that gets brighter
everywhere changes no pattern.

Settings: `general` and `high_f1` are those of Table X of the MESNet paper: one threshold per video, each hit widened by
0.1 s on both sides, runs of the lengths of MEGC2020. `megc2019` is that challenge's baseline: a threshold per clip of
1 s, overlapping by 0.3 s; hits joined within cells of 0.5 s. With p = None p is chosen on the training subjects.

Where nothing public settles it: the MESNet paper gives p and lengths and refers for the rest to a paper without
LBP-chi2, so window and blocks are MEGC2019's (10 frames at 30 per second, 61 at 200); hits are widened, as a later
program does by 3 frames, because the contrast of an ME of 0.4 s is positive for a third of it and no run would be long
enough; the face is registered; the patterns are taken from the whole face and then counted in blocks, so that no block
loses its rim; 200 frames per second are read at 30.

    from mespot_lib.catalogue import load_dataset
    from mespot_lib.held_out import leave_one_subject_out
    from mespot_lib.methods import lbp_chi2

    manifest, config = load_dataset("synthetic_casme2"), lbp_chi2.LbpChi2Config.high_f1("casme2")
    spotted = leave_one_subject_out(manifest, lambda train: lbp_chi2.fit(train, config))
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d

from mespot_lib import spot
from mespot_lib.contrast import (
    DURATIONS_S,
    choose_p,
    contrast,
    hits_in_cells,
    mean_of_largest,
    of_dataset,
    relative,
)
from mespot_lib.curves import Curves, Durations, Threshold, on_axis, spot_curves
from mespot_lib.features.lbp import BlockPatterns, LbpRecipe, block_patterns, chi_square
from mespot_lib.interval import KINDS, Interval, as_array
from mespot_lib.manifest import Manifest, Video

# p of the MESNet paper, section IV-C 5, and of the MEGC2019 baseline
PRINTED_P = {
    "general": {"casme2": 0.02, "samm_lv": 0.01},
    "high_f1": {"casme2": 0.31, "samm_lv": 0.01},
    "megc2019": {"casme2": 0.15, "samm_lv": 0.05},
}
LAGS_S = {"casme2": 5 / 30, "samm_lv": 30 / 200}
FEWEST_S = {"casme2": 6 / 30, "samm_lv": 20 / 200}


@dataclass(frozen=True)
class LbpChi2Config:
    """Settings.

    p : threshold, see the module's first lines; None lets `fit` choose
    lag_s : k, half of the window
    durations_s : shortest and longest run (offset - onset) of ME
    patterns : how the histograms are counted
    largest : share of the blocks that count
    widen_s : by how much a hit is widened on both sides
    clips_s : length and overlap of clips with a mean and maximum of their own; None takes those of the video
    cells_s : length of the cells in which hits are joined, and how much of one they must fill; None takes the runs
    """

    p: float | None = 0.02
    lag_s: float = LAGS_S["casme2"]
    durations_s: Durations = field(default_factory=lambda: DURATIONS_S["casme2"])
    patterns: LbpRecipe = field(default_factory=LbpRecipe)
    largest: float = 1 / 3
    widen_s: float = 0.1
    clips_s: tuple[float, float] | None = None
    cells_s: tuple[float, float] | None = None

    @classmethod
    def general(cls, dataset: str = "casme2", **changes: Any) -> "LbpChi2Config":
        """Return the setting of the MESNet paper that finds more ME; `dataset` is "casme2" or "samm_lv"."""
        return cls._printed("general", dataset, changes)

    @classmethod
    def high_f1(cls, dataset: str = "casme2", **changes: Any) -> "LbpChi2Config":
        """Return the setting of the MESNet paper with the higher F1; on SAMM-LV it is the same one."""
        return cls._printed("high_f1", dataset, changes)

    @classmethod
    def megc2019(cls, dataset: str = "casme2", **changes: Any) -> "LbpChi2Config":
        """Return the setting of the MEGC2019 baseline: clips and cells."""
        cells_s = (0.5, of_dataset(FEWEST_S, dataset))
        joined = {"widen_s": 0.0, "clips_s": (1.0, 0.3), "cells_s": cells_s}
        return cls._printed("megc2019", dataset, joined | changes)

    @classmethod
    def paper(cls, **changes: Any) -> "LbpChi2Config":
        """Return `general`: nothing is trained, so `quick` and `paper` do not differ."""
        return cls.general(**changes)

    quick = paper

    @classmethod
    def _printed(cls, setting: str, dataset: str, changes: dict) -> "LbpChi2Config":
        printed = {
            "p": of_dataset(PRINTED_P[setting], dataset),
            "lag_s": of_dataset(LAGS_S, dataset),
            "durations_s": of_dataset(DURATIONS_S, dataset),
        }
        return cls(**(printed | changes))


@dataclass(frozen=True)
class Fitted:
    """The method with its p."""

    config: LbpChi2Config
    p: float

    def score(self, video: Video) -> Curves:
        """Return the relative contrast of a video, as the curve of ME."""
        return score_video(video, self.config)

    def spot(self, scores: Curves) -> list[Interval]:
        """Return the spotted intervals, all of them ME; their score is the highest relative contrast in units of p."""
        return spot_scores(scores, self.p, self.config)


def fit(train: Manifest, config: LbpChi2Config, seed: int = 0) -> Fitted:
    """Choose p on the training videos where the setting leaves it open, else look at none of them.

    Nothing is random: `seed` is there because every method has it.
    """
    if config.p is not None:
        return Fitted(config, config.p)
    judged = {uid: score_video(train.video(uid), config) for uid in train.uids}
    truth = {uid: train.truth(uid) for uid in train.uids}
    return Fitted(config, choose_p(judged, truth, "ME", lambda curves, p: spot_scores(curves, p, config)))


def prepare(video: Video, profile: str) -> None:
    """Count what every fold needs of a video, into the cache."""
    block_patterns(video, getattr(LbpChi2Config, profile)().patterns)


def score_video(video: Video, config: LbpChi2Config) -> Curves:
    """Count (or read from the cache) the patterns of a video and return its relative contrast."""
    return score_patterns(block_patterns(video, config.patterns), video.fps, video.length, config)


def score_patterns(patterns: BlockPatterns, fps: float, length: int, config: LbpChi2Config) -> Curves:
    """Return the relative contrast of counted patterns on the frame axis, as the curve of ME; there is none of MaE."""
    step = int(patterns.frames[1] - patterns.frames[0]) if len(patterns.frames) > 1 else 1
    lag = max(1, round(config.lag_s * fps / step))
    distances = pattern_distances(patterns, lag)
    strongest = mean_of_largest(distances, config.largest)
    values = np.zeros(len(strongest))
    for clip in _clips(len(strongest), fps / step, config):
        # a frame in two clips is hit if it is in one of them
        values[clip] = np.maximum(values[clip], relative(_kept_positive(strongest[clip], lag)))
    curves = np.full((length, len(KINDS)), np.nan)
    values[patterns.stretch < 0] = np.nan
    curves[:, KINDS.index("ME")] = on_axis(patterns.frames, values, length, step)
    return Curves(fps, curves)


def pattern_distances(patterns: BlockPatterns, lag: int) -> np.ndarray:
    """Return D of equation (1), (N, B) float64; NaN where one of the three frames is missing or of another stretch."""
    shares, stretch = patterns.shares(), patterns.stretch
    distances = np.full(shares.shape[:2], np.nan)
    if len(shares) > 2 * lag:
        middle, before, after = slice(lag, -lag), slice(None, -2 * lag), slice(2 * lag, None)
        found = chi_square(shares[middle], (shares[before] + shares[after]) / 2)
        whole = (stretch[before] == stretch[middle]) & (stretch[middle] == stretch[after])
        distances[middle] = np.where(whole[:, None], found, np.nan)
    return distances


def _kept_positive(differences: np.ndarray, lag: int) -> np.ndarray:
    """Return equation (3) of F (N,), 0 where it is not known."""
    known = np.flatnonzero(~np.isnan(differences))
    if not known.size:
        return np.zeros(len(differences))
    held = differences.copy()
    held[: known[0]], held[known[-1] + 1 :] = differences[known[0]], differences[known[-1]]
    return np.nan_to_num(np.maximum(contrast(held, lag), 0))


def _clips(samples: int, rate: float, config: LbpChi2Config) -> Iterator[slice]:
    """Yield the samples with a common mean and maximum; the last clip ends with the video and is as long as any."""
    if config.clips_s is None:
        yield slice(0, samples)
        return
    length, overlap = (max(1, round(seconds * rate)) for seconds in config.clips_s)
    starts = range(0, max(1, samples - overlap), length - overlap)
    for start in starts:
        yield slice(max(0, min(start, samples - length)), start + length)


def spot_scores(scores: Curves, p: float, config: LbpChi2Config) -> list[Interval]:
    """Return the runs of hits that are neither too short nor too long, or what the cells hold, all of them ME."""
    curve = scores.curves[:, KINDS.index("ME")]
    wide = _widened(curve, spot.to_frames(config.widen_s, scores.fps))
    if config.cells_s is None:
        both = np.column_stack([wide, np.full(len(wide), np.nan)])
        threshold = dict.fromkeys(KINDS, Threshold(p, p))
        spans = as_array(spot_curves(Curves(scores.fps, both), threshold, config.durations_s))
    else:
        cell, fewest = (max(1, spot.to_frames(seconds, scores.fps)) for seconds in config.cells_s)
        spans = hits_in_cells(wide >= p, cell, fewest)
    apexes = [int(onset + np.nanargmax(curve[onset : offset + 1])) for onset, offset in spans]
    return [
        Interval(onset, offset, "ME", apex, float(curve[apex] / p))
        for (onset, offset), apex in zip(spans, apexes, strict=True)
    ]


def _widened(curve: np.ndarray, frames: int) -> np.ndarray:
    """Return the largest value within so many frames of each, gaps left as they are."""
    filled = np.where(np.isnan(curve), -np.inf, curve)
    return np.where(np.isnan(curve), np.nan, maximum_filter1d(filled, 2 * frames + 1, mode="nearest"))
