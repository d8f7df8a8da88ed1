"""MDMD: main directional maximal difference (Wang et al., Neurocomputing 2017; baseline of MEGC2020).

    registered face -> flow from the frame k before, to this frame and to the one k after -> d of 36 blocks
    -> mean of the largest third -> contrast -> threshold between mean and maximum -> runs of the right length

The features, with equation (1) of the paper, are in `mespot_lib.features.maximal_difference`; contrast and threshold
in `mespot_lib.contrast`. With B the set of blocks and m one frame less than k,

    F(t) = mean of the largest third of { d_b(t) : b in B }                                         (1)
    C(t) = F(t) - (F(t - m) + F(t + m)) / 2                                                         (2)

and ME are the runs with C >= mean C + p (max C - mean C) that last 0.2 to 0.5 s. k is the mean length of what is
looked for: 0.4 s for ME, 1.3 s for MaE, at 30 as at 200 frames per second. Nothing is learned, nor is it looked at
which way anything moves, apart from the main direction of each block.

Settings: `general` and `high_f1` are those of Table X of the MESNet paper (ME only), `megc2020` is the challenge's
baseline (ME and MaE). With p = None p is chosen on the training subjects.

Where nothing public settles it: the flow is dense inverse search, as OpenCV has no robust local flow (RLOF); the face
is registered, because flow over 0.4 s between crops that jitter is jitter; 200 frames per second are read at 30, and
the curve is straight in between. The first and the last k + m frames have no contrast, and nothing is spotted there
(the released program drops 2 k more at the end by a shifted index, which is not reproduced).

    from mespot_lib.catalogue import load_dataset
    from mespot_lib.held_out import leave_one_subject_out
    from mespot_lib.methods import mdmd

    manifest, config = load_dataset("synthetic_casme2"), mdmd.MdmdConfig.general("casme2")
    spotted = leave_one_subject_out(manifest, lambda train: mdmd.fit(train, config))
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mespot_lib.contrast import DURATIONS_S, choose_p, contrast, mean_of_largest, of_dataset, relative
from mespot_lib.curves import Curves, Durations, Threshold, on_axis, spot_curves
from mespot_lib.features.maximal_difference import DifferenceRecipe, Differences, maximal_differences
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video

# p of the MESNet paper, section IV-C 5, and of the MEGC2020 baseline
PRINTED_P = {
    "general": {"casme2": 0.02, "samm_lv": 0.01},
    "high_f1": {"casme2": 0.19, "samm_lv": 0.01},
    "megc2020": {"casme2": 0.01, "samm_lv": 0.01},
}


@dataclass(frozen=True)
class MdmdConfig:
    """Settings.

    p : threshold of every kind, see the module's first lines; None lets `fit` choose one per kind
    lags_s : k of each kind that is looked for
    durations_s : shortest and longest run of each kind (offset - onset)
    motion : how the differences are measured; its `lags_s` are those above
    largest : share of the blocks that count
    """

    p: float | None = 0.02
    lags_s: Mapping[str, float] = field(default_factory=lambda: {"ME": 0.4})
    durations_s: Durations = field(default_factory=lambda: DURATIONS_S["casme2"])
    motion: DifferenceRecipe = field(default_factory=DifferenceRecipe)
    largest: float = 1 / 3

    @classmethod
    def general(cls, dataset: str = "casme2", **changes: Any) -> "MdmdConfig":
        """Return the setting of the MESNet paper that finds many ME; `dataset` is "casme2" or "samm_lv"."""
        return cls._printed("general", dataset, changes)

    @classmethod
    def high_f1(cls, dataset: str = "casme2", **changes: Any) -> "MdmdConfig":
        """Return the setting of the MESNet paper with the higher F1; on SAMM-LV it is the same one."""
        return cls._printed("high_f1", dataset, changes)

    @classmethod
    def megc2020(cls, dataset: str = "casme2", **changes: Any) -> "MdmdConfig":
        """Return the setting of the MEGC2020 baseline, for ME and MaE."""
        return cls._printed("megc2020", dataset, {"lags_s": {"ME": 0.4, "MaE": 1.3}} | changes)

    @classmethod
    def paper(cls, **changes: Any) -> "MdmdConfig":
        """Return `general`: nothing is trained, so `quick` and `paper` do not differ."""
        return cls.general(**changes)

    quick = paper

    @classmethod
    def _printed(cls, setting: str, dataset: str, changes: dict) -> "MdmdConfig":
        p, durations_s = of_dataset(PRINTED_P[setting], dataset), of_dataset(DURATIONS_S, dataset)
        return cls(**({"p": p, "durations_s": durations_s} | changes))

    def recipe(self) -> DifferenceRecipe:
        """Return how the differences are measured, with the lags in the order of `lags_s`."""
        return replace(self.motion, lags_s=tuple(self.lags_s.values()))


@dataclass(frozen=True)
class Fitted:
    """The method with p of each kind."""

    config: MdmdConfig
    p: dict[str, float]

    def score(self, video: Video) -> Curves:
        """Return the relative contrast of a video, of both kinds."""
        return score_video(video, self.config)

    def spot(self, scores: Curves) -> list[Interval]:
        """Return the spotted intervals; their score is the highest relative contrast in units of p."""
        return spot_scores(scores, self.p, self.config)


def fit(train: Manifest, config: MdmdConfig, seed: int = 0) -> Fitted:
    """Choose p on the training videos where the setting leaves it open, else look at none of them.

    Nothing is random: `seed` is there because every method has it.
    """
    if config.p is not None:
        return Fitted(config, dict.fromkeys(KINDS, config.p))
    judged = {uid: score_video(train.video(uid), config) for uid in train.uids}
    truth = {uid: train.truth(uid) for uid in train.uids}

    def spot_at(curves: Curves, p: float) -> list[Interval]:
        return spot_scores(curves, dict.fromkeys(KINDS, p), config)

    return Fitted(config, {kind: choose_p(judged, truth, kind, spot_at) for kind in KINDS})


def prepare(video: Video, profile: str) -> None:
    """Measure what every fold needs of a video, into the cache."""
    maximal_differences(video, getattr(MdmdConfig, profile)().recipe())


def score_video(video: Video, config: MdmdConfig) -> Curves:
    """Measure (or read from the cache) the differences of a video and return its relative contrast."""
    return score_differences(maximal_differences(video, config.recipe()), video.fps, video.length, config)


def score_differences(measured: Differences, fps: float, length: int, config: MdmdConfig) -> Curves:
    """Return the relative contrast of measured differences on the frame axis, NaN where there is none."""
    curves = np.full((length, len(KINDS)), np.nan)
    step = int(measured.frames[1] - measured.frames[0]) if len(measured.frames) > 1 else 1
    for column, (kind, lag) in enumerate(zip(config.lags_s, measured.lags, strict=True)):
        strongest = mean_of_largest(measured.blocks[:, column].astype(np.float64), config.largest)
        values = relative(contrast(strongest, max(1, round(lag - 1 / step))))  # a frame is a part of a sample
        curves[:, KINDS.index(kind)] = on_axis(measured.frames, values, length, step)
    return Curves(fps, curves)


def spot_scores(scores: Curves, p: Mapping[str, float], config: MdmdConfig) -> list[Interval]:
    """Return the runs at or above p that are neither too short nor too long; the kinds do not know of each other."""
    thresholds = {kind: Threshold(p[kind], p[kind]) for kind in KINDS}
    return spot_curves(scores, thresholds, config.durations_s, t_nms=1.0)
