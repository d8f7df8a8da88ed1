"""Proposals of a two-stage detector: stored once, thresholded as often as wanted.

    places with a score p_cpn -> second look: score p_crn, ends moved -> thresholds -> non-maximum suppression -> ME

The networks are needed for the first arrow only. What they say of a video is kept as a table of `Proposals`, so every
threshold can be swept afterwards, for all folds at once, in seconds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from mespot_lib.interval import KINDS, Interval
from mespot_lib.metrics import of_part
from mespot_lib.profiles import Pairs, Table, as_table, hits, largest_matching, overlapping
from mespot_lib.spot import Rivals, rivals, survivors

Stage = Literal["cpn", "crn"]
STAGES: tuple[Stage, ...] = ("cpn", "crn")
COLUMNS = ("onset", "offset", "refined onset", "refined offset", "p_cpn", "p_crn", "sub-network")
_TRIED = (*np.linspace(0.1, 0.9, 17).round(2).tolist(), 0.93, 0.95, 0.97, 0.98, 0.99)
_TRIED_NMS = (0.05, 0.2, 0.35, 0.5)


class Proposals(NamedTuple):
    """What was proposed in a video, N places; frames are closed intervals on the frame axis.

    frames, refined : (N, 2) int64, as proposed, and with the ends moved by the second stage
    p_cpn, p_crn : (N,) float64, probability of an ME by the first and by the second stage
    subnet : (N,) int64, number of the sub-network, from 0
    """

    frames: np.ndarray
    refined: np.ndarray
    p_cpn: np.ndarray
    p_crn: np.ndarray
    subnet: np.ndarray

    def table(self) -> np.ndarray:
        """Return all of it as (N, 7) float64, with the columns `COLUMNS`."""
        return np.column_stack(self) if len(self.subnet) else np.empty((0, len(COLUMNS)))

    @classmethod
    def of_table(cls, table: np.ndarray) -> "Proposals":
        """Return the proposals of a table (N, 7)."""
        whole = table[:, [0, 1, 2, 3, 6]].round().astype(np.int64)
        probabilities = table[:, 4:6].astype(np.float64)
        return cls(whole[:, :2], whole[:, 2:4], probabilities[:, 0], probabilities[:, 1], whole[:, 4])


class Limits(NamedTuple):
    """Least probability of the first and of the second stage, and largest IoU of two that are kept (None: any)."""

    cpn: float
    crn: float
    nms: float | None


PRINTED = Limits(0.5, 0.5, 0.5)


def spot_proposals(found: Proposals, limits: Limits, stage: Stage = "crn") -> list[Interval]:
    """Return the ME that are left by the first stage alone ("cpn") or by both ("crn"), in order of time."""
    frames, score = _view(found, stage)
    passed = found.p_cpn >= limits.cpn
    if stage == "crn":
        passed &= found.p_crn >= limits.crn
    frames, score = frames[passed], score[passed]
    kept = np.ones(len(frames), dtype=bool)
    if limits.nms is not None:
        kept = survivors(rivals(frames, np.zeros(len(frames), np.int64), score), len(frames), limits.nms)
    return sorted(
        Interval(onset, offset, "ME", score=p)
        for (onset, offset), p in zip(frames[kept].tolist(), score[kept].tolist(), strict=True)
    )


def _view(found: Proposals, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    return (found.frames, found.p_cpn) if stage == "cpn" else (found.refined, found.p_crn)


def write_proposals(
    path: str | Path, found: Mapping[str, Proposals], limits: Mapping[str, Mapping[Stage, Limits]]
) -> None:
    """Write the proposals of each video, with the thresholds that were chosen for it without seeing it, as .npz."""
    arrays: dict[str, Any] = {f"table {uid}": one.table().astype(np.float32) for uid, one in found.items()}
    for uid, of in limits.items():
        arrays |= {f"{stage} {uid}": np.array(of[stage], dtype=np.float32) for stage in STAGES}
    np.savez_compressed(path, **arrays)


def read_proposals(path: str | Path) -> tuple[dict[str, Proposals], dict[str, dict[Stage, Limits]]]:
    """Return the proposals of each video and its thresholds by stage."""
    with np.load(path, allow_pickle=False) as arrays:
        uids = [name.removeprefix("table ") for name in arrays if name.startswith("table ")]
        found = {uid: Proposals.of_table(arrays[f"table {uid}"]) for uid in uids}
        limits = {
            uid: {
                stage: Limits(*arrays[f"{stage} {uid}"].astype(float).round(4).tolist()) for stage in STAGES
            }
            for uid in uids
        }
    return found, limits


# ---------------------------------------------------------------------------------------------------------------------
# All thresholds at once


class Sweep(NamedTuple):
    """Counts over all combinations of thresholds, each an int64 array (T_CPN, T_CRN, T_nms, T_eval).

    spotted : n; found : a, true ME that are hit; right : b, spotted ones that hit; pairs : of a largest one-to-one
    matching; true : m, a number
    """

    spotted: np.ndarray
    found: np.ndarray
    right: np.ndarray
    pairs: np.ndarray
    true: int

    def f1(self, profile: Literal["megc", "mesnet"] = "megc") -> np.ndarray:
        """Return F1 under the rule of the challenge, or that of the MESNet paper, 2ab / (an + bm)."""
        if profile == "megc":
            above, below = 2 * self.pairs, self.spotted + self.true
        else:
            above, below = 2 * self.found * self.right, self.found * self.spotted + self.right * self.true
        return np.where(below > 0, above / np.maximum(below, 1), 0.0)


def sweep(
    proposals: Mapping[str, Proposals],
    truth: Mapping[str, Sequence[Interval]],
    t_cpn: Sequence[float],
    t_crn: Sequence[float],
    t_nms: Sequence[float | None],
    t_eval: Sequence[float],
    stage: Stage = "crn",
) -> Sweep:
    """Count all combinations of thresholds over all videos; of stage "cpn", T_CRN has no say and stays one wide.

    Equal to `spot_proposals` and `metrics.score` for each, in a fraction of the time: which proposals rival, and which
    hit, is found once for all.

    """
    if stage == "cpn":
        t_crn = (-np.inf,)
    videos = sorted(proposals)
    passing = [_passing(proposals[v], min(t_cpn), min(t_crn)) for v in videos]
    frames, score, p_cpn, p_crn, video = _in_one(passing, stage)
    found = rivals(frames, video, score)
    true = as_table(of_part({v: truth[v] for v in videos}, "ME"), videos)
    meeting = overlapping(true, Table(frames, video * len(KINDS), score))
    hitting = [hits(meeting, value) for value in t_eval]
    shape = (len(t_cpn), len(t_crn), len(t_nms))
    counts = np.zeros((4, *shape, len(t_eval)), dtype=np.int64)
    for i, j in np.ndindex(shape[:2]):
        passed = (p_cpn >= t_cpn[i]) & (p_crn >= t_crn[j])
        among = _among(found, passed)
        for k, most in enumerate(t_nms):
            kept = passed if most is None else passed & survivors(among, len(passed), most)
            counts[0, i, j, k] = kept.sum()
            for e, pairs in enumerate(hitting):
                counts[1:, i, j, k, e] = _counts(pairs.only(kept[pairs.s]))
    return Sweep(counts[0], counts[1], counts[2], counts[3], len(true.group))


def _passing(found: Proposals, cpn: float, crn: float) -> Proposals:
    passed = (found.p_cpn >= cpn) & (found.p_crn >= crn)
    return Proposals(*(column[passed] for column in found))


def _in_one(found: Sequence[Proposals], stage: Stage) -> tuple[np.ndarray, ...]:
    """Return frames, score, p_cpn, p_crn and video of all proposals, in order of time within each video."""
    views = [_view(one, stage) for one in found]
    frames, score = (np.concatenate(column) for column in zip(*views, strict=True))
    video = np.repeat(np.arange(len(found)), [len(one.subnet) for one in found])
    p_cpn, p_crn = (np.concatenate([getattr(one, name) for one in found]) for name in ("p_cpn", "p_crn"))
    order = np.lexsort((frames[:, 1], frames[:, 0], video))
    return frames[order], score[order], p_cpn[order], p_crn[order], video[order]


def _among(found: Rivals, passed: np.ndarray) -> Rivals:
    both = passed[found.strong] & passed[found.weak]
    return Rivals(*(column[both] for column in found))


def _counts(pairs: Pairs) -> tuple[int, int, int]:
    """Return how many true ones are hit, how many proposals hit, and how many pairs a largest matching has."""
    found, right = len(np.unique(pairs.t)), len(np.unique(pairs.s))
    # a true ME can have a proposal of its own unless one proposal hits several
    return found, right, found if right == len(pairs.s) else len(largest_matching(pairs))


# ---------------------------------------------------------------------------------------------------------------------
# Choosing


def choose_limits(
    proposals: Mapping[str, Proposals], truth: Mapping[str, Sequence[Interval]], stage: Stage = "crn"
) -> Limits:
    """Choose all three thresholds by the F1 of ME (profile `megc`) on videos whose truth may be seen."""
    f1 = sweep(proposals, truth, _TRIED, _TRIED, _TRIED_NMS, (0.5,), stage).f1()[..., 0]
    # with its neighbours, because a single good value among bad ones is luck
    smooth = uniform_filter(f1, (3, min(3, f1.shape[1]), 1), mode="nearest")
    cpn, crn, nms = np.unravel_index(smooth.argmax(), smooth.shape)
    return Limits(_TRIED[cpn], _TRIED[crn] if stage == "crn" else 0.0, _TRIED_NMS[nms])
