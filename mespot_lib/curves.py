"""From the score curves of ME and MaE to intervals, with thresholds chosen where the truth may be seen.

A method that scores every frame for both kinds leaves two curves per video. A run of a curve above one level is an
interval if the curve rises to another level somewhere in it:

    peak    - - - - - - - - - # - - - - - - - - -
    extent  - - - - - # # # # # # - - - # # - - -
                      [=========]       (not high enough)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from mespot_lib import metrics, spot
from mespot_lib.interval import KINDS, Interval

Durations = Mapping[str, tuple[float, float]]  # kind -> shortest and longest, in seconds

_HEIGHTS = tuple(np.linspace(0.1, 0.95, 18).round(2).tolist())  # tried as thresholds
RIVALS = 0.2  # an ME and an MaE that share more than this of the shorter are one expression seen twice


class Curves(NamedTuple):
    """The scores of a video: fps, and curves (T, 2) in 0..1 for ME and MaE; NaN in gaps."""

    fps: float
    curves: np.ndarray


class Threshold(NamedTuple):
    """Of one kind: frames at or above `extent` belong to a run, a run counts if it reaches `peak`."""

    extent: float
    peak: float


Spotter = Callable[[Curves, Threshold], list[Interval]]  # what is spotted in scores with a pair of levels


def labels_at(frames: np.ndarray, truth: Sequence[Interval]) -> np.ndarray:
    """Return (N, 2) float32: whether frames (N,) lie in a true ME, in a true MaE; both ends included."""
    labels = np.zeros((len(frames), len(KINDS)), dtype=np.float32)
    for span in truth:
        labels[(frames >= span.onset) & (frames <= span.offset), KINDS.index(span.kind)] = 1
    return labels


def on_axis(frames: np.ndarray, values: np.ndarray, length: int, step: int) -> np.ndarray:
    """Return values (N,) at sampled frames (N,) as a curve (T,): straight between neighbours, NaN where none is near.

    step : frames between samples; further than that from a sample is a gap, but before the first and after the last.
    """
    axis = np.arange(length)
    curve = np.interp(axis, frames, values)
    after = np.clip(np.searchsorted(frames, axis), 0, len(frames) - 1)
    near = np.minimum(np.abs(frames[after] - axis), np.abs(frames[np.maximum(after - 1, 0)] - axis))
    ends = (axis < frames[0]) | (axis > frames[-1])
    return np.where((near <= step) | ends, curve, np.nan)


# ---------------------------------------------------------------------------------------------------------------------
# Intervals


def spot_curves(
    scores: Curves, thresholds: Mapping[str, Threshold], durations_s: Durations, *, t_nms: float = RIVALS
) -> list[Interval]:
    """Return the runs of both curves; of an ME and an MaE that share frames the one further above its threshold.

    t_nms : share of the shorter one that both may have in common; with 1 both are kept
    """
    found = [span for kind in KINDS for span in _runs(scores, kind, thresholds[kind], durations_s[kind])]
    return spot.nms(found, t_nms, across_kinds=True, over="shorter")


def _runs(scores: Curves, kind: str, threshold: Threshold, ends_s: tuple[float, float]) -> list[Interval]:
    curve = scores.curves[:, KINDS.index(kind)]
    runs = []
    for onset, offset in spot.runs_above(curve, threshold.extent):
        apex = int(onset + curve[onset : offset + 1].argmax())
        shortest, longest = ends_s
        if curve[apex] >= threshold.peak and shortest <= (offset - onset) / scores.fps <= longest:
            runs.append(Interval(int(onset), int(offset), kind, apex, float(curve[apex] / threshold.peak)))
    return runs


# ---------------------------------------------------------------------------------------------------------------------
# Thresholds


def choose_by_f1(
    judged: Mapping[str, Curves], truth: Mapping[str, Sequence[Interval]], durations_s: Durations
) -> dict[str, Threshold]:
    """Choose both levels of each kind by F1, on curves of videos whose truth may be seen.

    First by the F1 of the kind alone; then, kind after kind, by the overall F1 with the other kind's levels as they
    are, because overall F1 is what the challenges rank by: a kind that is hardly found is then spotted only where the
    curve is surest, and does not cost the other one its precision.
    """
    chosen: dict[str, Threshold] = {}
    for kind in KINDS:
        own = {uid: [span for span in spans if span.kind == kind] for uid, spans in truth.items()}
        chosen[kind] = _best(own, judged, _alone(kind, durations_s))
    for kind in KINDS:
        chosen[kind] = _best(truth, judged, _beside(kind, dict(chosen), durations_s))
    return chosen


def _alone(kind: str, durations_s: Durations) -> Spotter:
    """Return what spots one kind as if there were no other."""
    return lambda scores, levels: _runs(scores, kind, levels, durations_s[kind])


def _beside(kind: str, others: Mapping[str, Threshold], durations_s: Durations) -> Spotter:
    """Return what spots both kinds, the other one with its own levels."""
    return lambda scores, levels: spot_curves(scores, {**others, kind: levels}, durations_s)


def _best(
    truth: Mapping[str, Sequence[Interval]],
    judged: Mapping[str, Curves],
    spotted: Spotter,
) -> Threshold:
    """Return the pair of levels with the highest F1 of what is `spotted` with it."""
    f1 = np.zeros((len(_HEIGHTS), len(_HEIGHTS)))
    for row, column in zip(*np.triu_indices(len(_HEIGHTS)), strict=True):
        pair = Threshold(_HEIGHTS[row], _HEIGHTS[column])
        found = {uid: spotted(scores, pair) for uid, scores in judged.items()}
        f1[row, column] = metrics.score(truth, found).overall.f1
    # with its neighbours, because a single good value among bad ones is luck
    row, column = np.unravel_index(uniform_filter(f1, 3, mode="nearest").argmax(), f1.shape)
    return Threshold(_HEIGHTS[row], _HEIGHTS[max(row, column)])


def choose_by_youden(
    judged: Mapping[str, Curves], truth: Mapping[str, Sequence[Interval]]
) -> dict[str, Threshold]:
    """Choose one level per kind by Youden's J over the frames, on curves of videos whose truth may be seen."""
    values = np.concatenate([scores.curves for scores in judged.values()])
    labels = np.concatenate([labels_at(np.arange(len(s.curves)), truth[uid]) for uid, s in judged.items()])
    known = ~np.isnan(values).any(axis=1)
    levels = [youden_threshold(values[known, column], labels[known, column]) for column in range(len(KINDS))]
    return {kind: Threshold(level, level) for kind, level in zip(KINDS, levels, strict=True)}


def youden_threshold(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the value with the largest sensitivity + specificity - 1 (Youden's J), of values and labels (N,)."""
    order = np.argsort(-values, kind="stable")
    positive = labels[order] > 0
    hits, alarms = (np.cumsum(side) / max(side.sum(), 1) for side in (positive, ~positive))
    return float(values[order][np.argmax(hits - alarms)])
