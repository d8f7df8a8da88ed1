"""From a score curve to spotted intervals: smooth, find peaks or runs, merge, suppress overlaps, name the kind.

A *score curve* has one value per frame of the video's frame axis, (T,) or (T, K); frames without a picture (gaps) are
NaN. All durations are given in seconds and all frequencies in Hz, so that one setting serves 30 and 200 frames per
second.

    scores          .  .  :  |  #  |  :  .  .  .  .  :  |  :  .
    runs_above               [=====]                    |
    peaks                       ^                       ^
    expand_to_fraction    [===========]              [=====]
    merge_close           [================================]      if the gap between them is short
"""

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, find_peaks, savgol_filter, sosfiltfilt

from mespot_lib.interval import KINDS, Interval, as_array, merge, overlaps

Share = Literal["union", "shorter"]

ME_LONGEST_S = 0.5  # a micro-expression lasts at most half a second; anything longer is a macro-expression


def to_frames(seconds: float, fps: float) -> int:
    """Return the number of frame steps nearest to a duration.

    >>> to_frames(0.5, 30), to_frames(0.5, 200)
    (15, 100)
    """
    return round(seconds * fps)


# ---------------------------------------------------------------------------------------------------------------------
# Smoothing


def smooth(
    scores: np.ndarray,
    fps: float,
    *,
    savgol_s: float | None = None,
    low_pass_hz: float | None = None,
    gaussian_s: float | None = None,
) -> np.ndarray:
    """Return a smoothed copy of the scores, (T,) or (T, K); nothing moves in time.

    Exactly one of the three is given; gaps are bridged by straight lines while smoothing and are gaps again after it.

    Parameters
    ----------
    savgol_s : window of a Savitzky-Golay filter of order 3; keeps the height of peaks wider than the window.
    low_pass_hz : cut-off of a Butterworth filter of order 2, run forwards and backwards (zero phase).
    gaussian_s : standard deviation of a Gaussian.

    Raises
    ------
    ValueError
        If none or several are given, or a value is not possible at this frame rate.
    """
    given = [value for value in (savgol_s, low_pass_hz, gaussian_s) if value is not None]
    if len(given) != 1 or not given[0] > 0:
        raise ValueError("give exactly one of savgol_s, low_pass_hz, gaussian_s, and a positive value")
    bridged = _bridge_gaps(np.asarray(scores, dtype=float))
    if savgol_s is not None:
        smoothed = _savgol(bridged, to_frames(savgol_s, fps))
    elif low_pass_hz is not None:
        smoothed = _low_pass(bridged, low_pass_hz, fps)
    else:
        assert gaussian_s is not None  # one of the three is given
        smoothed = gaussian_filter1d(bridged, gaussian_s * fps, axis=0, mode="nearest")
    return np.where(np.isnan(scores), np.nan, smoothed)


def _bridge_gaps(scores: np.ndarray) -> np.ndarray:
    known = ~np.isnan(scores)
    if known.all():
        return scores
    if scores.ndim > 1:
        return np.stack([_bridge_gaps(column) for column in scores.T], axis=1)
    if not known.any():
        return np.zeros(len(scores))  # what is a gap all along is one again after smoothing
    frames = np.arange(len(scores))
    return np.interp(frames, frames[known], scores[known])


def _savgol(scores: np.ndarray, window: int, order: int = 3) -> np.ndarray:
    longest = len(scores) - 1 + len(scores) % 2  # the largest odd number of frames the video has
    window = min(window + 1 - window % 2, longest)
    return savgol_filter(scores, window, order, axis=0) if window > order else scores


def _low_pass(scores: np.ndarray, cutoff_hz: float, fps: float) -> np.ndarray:
    if cutoff_hz >= fps / 2:
        raise ValueError(f"low_pass_hz must lie below half the frame rate, {fps / 2:g} Hz; got {cutoff_hz:g}")
    padding = min(round(3 * fps / cutoff_hz), len(scores) - 1)  # three periods settle the filter
    return sosfiltfilt(_butterworth(cutoff_hz, fps), scores, axis=0, padlen=padding)


@functools.cache  # designing it takes longer than filtering a video
def _butterworth(cutoff_hz: float, fps: float) -> np.ndarray:
    return butter(2, cutoff_hz, fs=fps, output="sos")


# ---------------------------------------------------------------------------------------------------------------------
# From scores to frames: all return closed intervals as (N, 2) int64 or frames as (P,) int64


def peaks(
    scores: np.ndarray, fps: float, height: float, distance_s: float = 0.0, prominence: float | None = None
) -> np.ndarray:
    """Return the frames (P,) of local maxima of a curve (T,) that are at least `height` high.

    Of peaks closer than `distance_s` the highest stays; `prominence` asks each to stand out from its surroundings by
    so much. The first and the last frame are no peaks; of a flat top the middle frame is taken.
    """
    known = ~np.isnan(scores)
    if not known.any():
        return np.empty(0, dtype=np.int64)
    filled = np.where(known, scores, np.min(scores[known]))
    distance = max(1, to_frames(distance_s, fps))
    return find_peaks(filled, height=height, distance=distance, prominence=prominence)[0].astype(np.int64)


def runs_above(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the longest runs (N, 2) of frames whose score reaches the threshold; gaps end a run.

    >>> runs_above(np.array([0, 2, 2, 0, 3]), 2).tolist()
    [[1, 2], [4, 4]]
    """
    above = np.concatenate([[False], np.asarray(scores) >= threshold, [False]]).astype(np.int8)
    change = np.diff(above)  # +1 where a run starts, -1 one frame after its end
    return np.column_stack([np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1])


def expand_to_fraction(scores: np.ndarray, at: np.ndarray, fraction: float, base: float = 0.0) -> np.ndarray:
    """Walk from each peak down both sides while the score stays at or above a fraction of the peak's height.

    Parameters
    ----------
    scores : (T,) curve.
    at : (P,) frames of peaks.
    fraction : in (0, 1]; 0.5 gives the width at half height.
    base : value of the curve at rest, from which heights are measured.

    Returns
    -------
    (P, 2) onset and offset; they stop at gaps and at the ends of the video.

    >>> expand_to_fraction(np.array([0.0, 1, 4, 3, 1, 0]), np.array([2]), 0.5).tolist()
    [[2, 3]]
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1], got {fraction}")
    spans = np.empty((len(at), 2), dtype=np.int64)
    for row, peak in enumerate(at):
        level = base + fraction * (scores[peak] - base)
        low = np.flatnonzero(~(scores >= level))  # frames below the level, and gaps
        after = np.searchsorted(low, peak)
        spans[row, 0] = low[after - 1] + 1 if after > 0 else 0
        spans[row, 1] = low[after] - 1 if after < len(low) else len(scores) - 1
    return spans


# ---------------------------------------------------------------------------------------------------------------------
# Intervals to intervals


def type_by_duration(
    frames: np.ndarray,
    fps: float,
    apexes: Sequence[int | None] | None = None,
    scores: Sequence[float] | None = None,
    me_longest_s: float = ME_LONGEST_S,
) -> list[Interval]:
    """Make intervals of frames (N, 2): ME where offset - onset lasts at most `me_longest_s`, MaE where longer.

    >>> [i.kind for i in type_by_duration(np.array([[0, 15], [0, 16]]), fps=30)]
    ['ME', 'MaE']
    """
    frames = np.asarray(frames, dtype=np.int64).reshape(-1, 2)
    apexes = [None] * len(frames) if apexes is None else apexes
    scores = [1.0] * len(frames) if scores is None else scores
    return [
        Interval(onset, offset, "ME" if offset - onset <= me_longest_s * fps else "MaE", apex, score)
        for (onset, offset), apex, score in zip(frames, apexes, scores, strict=True)
    ]


def merge_close(intervals: Sequence[Interval], gap_s: float, fps: float) -> list[Interval]:
    """Join intervals of one kind that overlap, touch or have at most `gap_s` seconds between them; in order of time.

    Apex and score of a joined interval are those of its strongest part.
    """
    gap = to_frames(gap_s, fps)
    merged: list[Interval] = []
    for span in sorted(intervals, key=lambda span: (span.kind, span)):
        last = merged[-1] if merged else None
        if last and last.kind == span.kind and span.onset - last.offset - 1 <= gap:
            merged[-1] = merge(last, span)
        else:
            merged.append(span)
    return sorted(merged)


def nms(
    intervals: Sequence[Interval], t_nms: float, *, across_kinds: bool = False, over: Share = "union"
) -> list[Interval]:
    """Non-maximum suppression: drop every interval whose overlap with a stronger kept one is above `t_nms`.

    The overlap is the shared part of their union (IoU), or with `over="shorter"` of the shorter one, which also drops
    a short interval inside a long one. Kinds do not suppress each other unless `across_kinds` is set. Of equal scores
    the earlier interval is kept. Returns the kept intervals in order of time.
    """
    spans = sorted(intervals)
    group = np.array([0 if across_kinds else KINDS.index(span.kind) for span in spans], dtype=np.int64)
    found = rivals(as_array(spans), group, np.array([span.score for span in spans]), over)
    return [span for span, kept in zip(spans, survivors(found, len(spans), t_nms), strict=True) if kept]


class Rivals(NamedTuple):
    """Pairs of intervals that share frames: rows of the stronger and of the weaker one, and how much they share."""

    strong: np.ndarray  # (P,) int64
    weak: np.ndarray  # (P,) int64
    share: np.ndarray  # (P,) float64 in (0, 1]


def rivals(frames: np.ndarray, group: np.ndarray, scores: np.ndarray, over: Share = "union") -> Rivals:
    """Return all pairs of frames (N, 2) of equal group (N,) that overlap; of equal scores (N,) the earlier row wins.

    They do not depend on the threshold of the suppression, so one search serves many thresholds, and all videos at
    once if each has groups of its own.
    """
    if not len(frames):
        return Rivals(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
    onset, offset = (frames - frames.min()).T
    far = offset.max() + 1
    order = np.lexsort((onset, group))
    starts = (group * far + onset)[order]  # the groups one after the other on one long axis
    last = np.searchsorted(starts, (group * far + offset)[order], side="right")
    partners = last - np.arange(len(order)) - 1  # those that begin later, but not after the end
    first = np.repeat(np.arange(len(order)), partners)
    before = np.cumsum(partners) - partners
    second = first + 1 + np.arange(len(first)) - np.repeat(before, partners)
    a, b = order[first], order[second]
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(order))
    strong, weak = np.where(rank[a] < rank[b], a, b), np.where(rank[a] < rank[b], b, a)
    return Rivals(strong, weak, _share(frames[strong], frames[weak], over))


def _share(first: np.ndarray, second: np.ndarray, over: Share) -> np.ndarray:
    shared, covered = overlaps(first, second)
    shorter = np.minimum(first[:, 1] - first[:, 0], second[:, 1] - second[:, 0]) + 1
    return shared / (covered if over == "union" else shorter)


def survivors(found: Rivals, count: int, t_nms: float) -> np.ndarray:
    """Return which of `count` intervals non-maximum suppression keeps, (count,) bool.

    Round by round, all intervals without an undecided stronger rival are kept and silence their weaker ones. The
    outcome is that of going through the intervals one by one from the strongest, since an interval waits until all
    its stronger rivals are decided.
    """
    close = found.share > t_nms
    strong, weak = found.strong[close], found.weak[close]
    kept = np.ones(count, dtype=bool)
    while len(strong):
        waiting = np.zeros(count, dtype=bool)
        waiting[weak] = True
        kept[weak[~waiting[strong]]] = False
        undecided = kept[strong] & kept[weak]
        strong, weak = strong[undecided], weak[undecided]
    return kept
