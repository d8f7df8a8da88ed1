"""Feature difference analysis: a curve that is high in the middle of a movement, and where it stands out.

A method compares each frame with those k before and k after it, which gives one difference F(t) per frame: large in
the middle of what comes and goes within 2 k. What is long or slow raises its surroundings as well, so the curve is
compared with itself (Moilanen et al. 2014), and the threshold lies between its mean and its maximum in the video:

    C(t) = F(t) - (F(t - m) + F(t + m)) / 2             contrast                                    (1)
    T    = mean C + p (max C - mean C)                  threshold, p in 0..1                        (2)
    r(t) = (C(t) - mean C) / (max C - mean C)           so that C >= T where r >= p                 (3)

As every video has a maximum, something is spotted in every video, also where nobody moves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from mespot_lib import metrics
from mespot_lib.curves import Curves, Durations
from mespot_lib.interval import Interval

Value = TypeVar("Value")

# MEGC2020 keeps runs of 7 to 16 frames (30 fps) and 47 to 105 frames (200 fps) as ME, longer ones as MaE; both ends
# counted, so offset - onset is one less.
DURATIONS_S: Mapping[str, Durations] = {
    "casme2": {"ME": (6 / 30, 15 / 30), "MaE": (16 / 30, np.inf)},
    "samm_lv": {"ME": (46 / 200, 104 / 200), "MaE": (105 / 200, np.inf)},
}
TRIED = (0.01, 0.02, 0.03, 0.05, 0.08, 0.11, 0.15, 0.19, 0.25, 0.31, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def contrast(values: np.ndarray, lag: int) -> np.ndarray:
    """Return equation (1) of a curve (N,); NaN where one of the three values is missing.

    >>> contrast(np.array([0.0, 1, 4, 1, 0]), 2).tolist()
    [nan, nan, 4.0, nan, nan]
    """
    found = np.full(len(values), np.nan)
    if len(values) > 2 * lag:
        middle = slice(lag, len(values) - lag)
        found[middle] = values[middle] - (values[: -2 * lag] + values[2 * lag :]) / 2
    return found


def relative(values: np.ndarray) -> np.ndarray:
    """Return equation (3) of a contrast curve (N,): 1 at its maximum, 0 at its mean; 0 throughout if it is flat."""
    known = values[~np.isnan(values)]
    if not known.size:
        return np.full(len(values), np.nan)
    above = values - known.mean()
    spread = np.nanmax(above)
    flat = spread <= 1e-9 * np.abs(known).max()  # by rounding a little above the mean
    return 0 * above if flat else above / spread


def mean_of_largest(values: np.ndarray, share: float) -> np.ndarray:
    """Return the mean of the largest share of the last axis: (..., B) -> (...); NaN where one is NaN."""
    count = max(1, round(share * values.shape[-1]))
    return np.sort(values, axis=-1)[..., -count:].mean(axis=-1) + 0 * values.sum(axis=-1)


def hits_in_cells(hits: np.ndarray, cell: int, fewest: int) -> np.ndarray:
    """Return intervals (N, 2) from hits (T,) bool: first to last hit of every cell with at least `fewest` of them.

    Cells are `cell` frames long, one after the other from the first frame on, as MEGC2019's baselines join hits.

    >>> hits_in_cells(np.array([0, 1, 0, 1, 1, 0, 0, 0], dtype=bool), 4, 2).tolist()
    [[1, 3]]
    """
    at = np.flatnonzero(hits)
    _, first, count = np.unique(at // cell, return_index=True, return_counts=True)
    kept = count >= fewest
    return np.column_stack([at[first], at[first + count - 1]])[kept].reshape(-1, 2)


def of_dataset(values: Mapping[str, Value], dataset: str) -> Value:
    """Return what a paper prints for a dataset, of values by "casme2" and "samm_lv"; drawn sets have their model's.

    Raises
    ------
    ValueError
        For another dataset: give the setting itself then.
    """
    name = dataset.removeprefix("synthetic_")
    if name not in values:
        raise ValueError(f"the papers print no setting for {dataset!r}; there is one for {', '.join(values)}")
    return values[name]


def choose_p(
    judged: Mapping[str, Curves],
    truth: Mapping[str, Sequence[Interval]],
    kind: str,
    spot_at: Callable[[Curves, float], Sequence[Interval]],
) -> float:
    """Choose p of one kind by its F1 (profile `megc`) on videos whose truth may be seen; of equals the middle one.

    spot_at : from the curves of a video and p to its intervals; those of other kinds are not looked at
    """
    own = metrics.of_part(truth, kind)
    f1 = []
    for p in TRIED:
        spotted = {uid: spot_at(curves, p) for uid, curves in judged.items()}
        f1.append(metrics.score(own, metrics.of_part(spotted, kind)).overall.f1)
    best = np.flatnonzero(np.array(f1) == max(f1))
    return TRIED[best[len(best) // 2]]
