"""What methods score that know nothing, or everything but the boundaries: the ends of the scale for a reader of F1.

`best_tiling` cuts each video into pieces of one length and calls each an expression: the trivial method. Its length
is the best one for the data at hand, so it is an upper bound of what needs no look at a single frame.

`boundary_ceiling` spots every expression, but with onset and offset off by some noise, as annotators are: the recall
(and F1) that such boundaries still allow. Short expressions bear less, which limits what ME can reach.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mespot_lib.interval import KINDS, Interval, overlaps
from mespot_lib.metrics import PARTS, Counts, MetricError, in_part
from mespot_lib.profiles import Pairs, Table, as_table, hits, largest_matching, overlapping

TILE_S = tuple(step / 10 for step in range(1, 41))  # 0.1, 0.2 ... 4.0 s


@dataclass(frozen=True)
class Tiling:
    """The counts of a tiled video, and the length of a tile in seconds (None for both kinds together)."""

    counts: Counts
    seconds: float | None


def best_tiling(
    truth: Mapping[str, Sequence[Interval]],
    lengths: Mapping[str, int],
    fps: Mapping[str, float],
    t_eval: float = 0.5,
    tile_s: Iterable[float] = TILE_S,
) -> dict[str, Tiling]:
    """Return the best result, for each kind, of intervals of one duration laid side by side from the first frame on.

    Parameters
    ----------
    lengths, fps : frames and frames per second of each video; they say which videos count.
    tile_s : durations to try.

    Returns
    -------
    dict
        `Tiling` of "ME", "MaE" and, the best of both at the same time, "overall".
    """
    videos = sorted(lengths)
    table, durations = as_table(truth, videos), tuple(tile_s)
    best = {}
    for kind in KINDS:
        true = table.only(in_part(table, kind)).by_video()
        tried = [Tiling(_tiled(true, videos, lengths, fps, t_eval, s), s) for s in durations]
        best[kind] = max(tried, key=lambda tiling: tiling.counts.f1)
    return best | {"overall": Tiling(best["ME"].counts + best["MaE"].counts, None)}


def _tiled(
    true: Table,
    videos: Sequence[str],
    lengths: Mapping[str, int],
    fps: Mapping[str, float],
    t_eval: float,
    seconds: float,
) -> Counts:
    size = np.array([max(1, round(seconds * fps[video])) for video in videos], dtype=np.int64)  # (V,) frames
    tiles = np.array([lengths[video] for video in videos], dtype=np.int64) // size
    video = np.repeat(np.arange(len(videos)), tiles)
    onset = (np.arange(len(video)) - np.repeat(np.cumsum(tiles) - tiles, tiles)) * size[video]
    tiled = Table(np.column_stack([onset, onset + size[video] - 1]), video, np.ones(len(video)))
    tp = len(largest_matching(hits(overlapping(true, tiled), t_eval)))
    return Counts(tp, len(video) - tp, len(true.group) - tp)


def boundary_ceiling(
    truth: Mapping[str, Sequence[Interval]],
    fps: Mapping[str, float],
    noise_s: float,
    t_eval: float = 0.5,
    draws: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """Return the share of true intervals that their own copies with noisy boundaries still hit.

    Onset and offset are moved independently by Gaussian noise and rounded to whole frames; if they pass each other,
    they swap. As many intervals are spotted as are true, so precision, recall and F1 are the same.

    Parameters
    ----------
    fps : frames per second of each video.
    noise_s : standard deviation of the noise in seconds.

    Raises
    ------
    MetricError
        If the noise is negative.
    """
    if not noise_s >= 0:
        raise MetricError(f"noise_s must not be negative, got {noise_s}")
    videos = sorted(truth)
    table = as_table(truth, videos)
    rate = np.array([fps[video] for video in videos])[table.group // len(KINDS)]  # (N,)
    noise = np.random.default_rng(seed).normal(0, noise_s, size=(draws, *table.frames.shape)) * rate[:, None]
    moved = np.sort(table.frames + np.rint(noise).astype(np.int64), axis=-1).reshape(-1, 2)  # (draws x N, 2)
    number = np.arange(len(moved))
    pairs = Pairs(number, number, *overlaps(np.tile(table.frames, (draws, 1)), moved))
    still = np.isin(number, hits(pairs, t_eval).t).reshape(draws, -1).mean(axis=0)  # (N,)
    rows = {part: in_part(table, part) for part in PARTS}
    return {part: float(still[mask].mean()) if mask.any() else 0.0 for part, mask in rows.items()}
