"""Which of several methods is better on many subjects: average ranks, and how far apart they must be.

Every subject ranks the k methods by F1, the best one first; methods of equal F1 share the mean of their ranks. With
r_ij the rank of method j on subject i of N (Demsar, *Statistical comparisons of classifiers over multiple data sets*,
JMLR 7, 2006),

    R_j  = (1 / N) sum_i r_ij                                                             average rank           (1)
    chi2 = (k - 1) N^2 sum_j (R_j - (k + 1) / 2)^2 / sum_ij (r_ij - (k + 1) / 2)^2        Friedman, ties counted (2)
    CD   = q_alpha sqrt(k (k + 1) / (6 N))                                                Nemenyi                (3)

where q_alpha is the quantile of the studentized range of k values, divided by sqrt 2. (2) asks whether there is any
difference at all; only then (3) says which pairs are apart: those whose average ranks differ by CD or more.

An average rank depends on which other methods take part, and so does the verdict on a pair. The signed-rank test of
Wilcoxon looks at the two methods of a pair alone; as there are many pairs, its p is corrected (Holm). Both stand in a
`Ranking`. Neither can find what few subjects do not hold: see `smallest_p`.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import chdtrc
from scipy.stats import rankdata, studentized_range

_DIGITS = 12  # differences that are equal but for the last bits are ties


class RankError(ValueError):
    """Scores that cannot be ranked."""


@dataclass(frozen=True)
class Pair:
    """Two methods, as indices: the p of the signed-rank test, and the same corrected for the number of pairs."""

    first: int
    second: int
    p: float
    p_holm: float


@dataclass(frozen=True)
class Ranking:
    """Methods ranked by subjects.

    Attributes
    ----------
    names : the methods, (k).
    blocks : the subjects, (N).
    scores : (N, k), higher is better.
    left_out : what was not ranked, and why; one line each.
    rules : in words, what all scores have in common.
    alpha : level of `distance` and of the groups.
    """

    names: Sequence[str]
    blocks: Sequence[str]
    scores: np.ndarray
    left_out: Sequence[str] = ()
    rules: str = ""
    alpha: float = 0.05
    ranks: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", ranks(self.scores))
        if self.scores.shape != (len(self.blocks), len(self.names)):
            raise RankError(f"scores of {len(self.blocks)} subjects and {len(self.names)} methods expected")

    @property
    def average(self) -> np.ndarray:
        """Return the average rank of each method, (k); 1 is best. Equation (1)."""
        return self.ranks.mean(axis=0)

    @property
    def order(self) -> list[int]:
        """Return the methods from best to worst average rank."""
        return np.argsort(self.average, kind="stable").tolist()

    @property
    def friedman(self) -> tuple[float, float]:
        """Return chi2 of equation (2) and its p."""
        return friedman(self.ranks)

    @property
    def distance(self) -> float:
        """Return the critical difference of equation (3)."""
        return critical_difference(len(self.names), len(self.blocks), self.alpha)

    @property
    def groups(self) -> list[list[int]]:
        """Return the groups of methods that (3) cannot tell apart, each from best to worst."""
        return groups(self.average, self.distance)

    @property
    def pairs(self) -> list[Pair]:
        """Return the signed-rank test of every pair, in the order of the methods."""
        return signed_rank_pairs(self.scores)


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks (N, k) of k methods on each of N subjects, 1 for the highest score; ties share the mean.

    >>> ranks(np.array([[0.9, 0.5, 0.5]]))
    array([[1. , 2.5, 2.5]])

    Raises
    ------
    RankError
        If there is no subject, or only one method, or a score is missing (NaN).
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
        raise RankError(f"ranks need a subject and two methods, got scores of shape {scores.shape}")
    if np.isnan(scores).any():
        raise RankError("a score is missing: only subjects that every method has done can be ranked")
    return rankdata(-scores, axis=1)


def friedman(ranks: np.ndarray) -> tuple[float, float]:
    """Return chi2 and p of ranks (N, k): how likely such average ranks are if the methods do not differ.

    As `scipy.stats.friedmanchisquare`, but for two methods too (a sign test then), and 0 and 1 where all are tied.
    """
    k = ranks.shape[1]
    apart = ranks - (k + 1) / 2
    spread = (apart**2).sum()
    if not spread:
        return 0.0, 1.0
    chi2 = (k - 1) * (apart.sum(axis=0) ** 2).sum() / spread
    return float(chi2), float(chdtrc(k - 1, chi2))


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return how far apart the average ranks of two of `k` methods must be on `n` subjects (Nemenyi).

    >>> round(critical_difference(4, 14), 2)
    1.25

    Raises
    ------
    RankError
        For less than two methods, no subject, or an alpha that is no probability.
    """
    if k < 2 or n < 1 or not 0 < alpha < 1:
        raise RankError(f"no critical difference for {k} methods, {n} subjects, alpha {alpha:g}")
    return float(_quantile(k, alpha) * np.sqrt(k * (k + 1) / (6 * n)))


@functools.cache  # an integral that takes a while
def _quantile(k: int, alpha: float) -> float:
    return studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)


def groups(average: np.ndarray, distance: float) -> list[list[int]]:
    """Return the largest runs of methods, by average rank (k), whose ends are less than `distance` apart.

    A method that is apart from all others is in no group.
    """
    order = np.argsort(average, kind="stable")
    ordered = average[order]
    found: list[list[int]] = []
    reached = 0
    for first in range(len(order)):
        # those exactly so far apart are apart, whatever the last bits of a sum say
        last = int(np.searchsorted(ordered, ordered[first] + distance - 10.0**-_DIGITS))
        if last - first > 1 and last > reached:
            found.append(order[first:last].tolist())
            reached = last
    return found


def signed_rank_pairs(scores: np.ndarray) -> list[Pair]:
    """Return the signed-rank test (Wilcoxon) of each pair of columns of scores (N, k), corrected after Holm.

    Subjects without a difference are left out of a pair; if none is left, p is 1. As `scipy.stats.wilcoxon` without
    approximation, ties included.
    """
    pairs = list(itertools.combinations(range(scores.shape[1]), 2))
    each = np.array([_signed_rank(scores[:, i] - scores[:, j]) for i, j in pairs])
    corrected = holm(each)
    return [Pair(i, j, float(p), float(q)) for (i, j), p, q in zip(pairs, each, corrected, strict=True)]


def _signed_rank(difference: np.ndarray) -> float:
    """Return p of differences (N,), two-sided: all ways to deal signs to the ranks of their sizes, counted exactly."""
    apart = np.round(difference, _DIGITS)
    apart = apart[apart != 0]
    doubled = (2 * rankdata(np.abs(apart))).astype(np.int64)  # shared ranks end in a half
    chance = np.ones(1)  # of each sum of the ranks with a plus
    for rank in doubled:
        chance = (np.pad(chance, (0, rank)) + np.pad(chance, (rank, 0))) / 2
    least = min(doubled[apart > 0].sum(), doubled[apart < 0].sum())
    return min(1.0, 2 * float(chance[: least + 1].sum()))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values (M,) corrected for being M (Holm, 1979): the least at M times its size, the next at M - 1 ...

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2)
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def smallest_p(n: int, pairs: int = 1) -> float:
    """Return the least p that the signed-rank test of `n` subjects can give, times the number of pairs (Holm).

    All subjects on one side is one of 2^n ways to deal signs, and as good as all on the other. What stands above the
    level, can never be found: six subjects and ten pairs.

    >>> smallest_p(6, 10)
    0.3125
    """
    return min(1.0, pairs * 2.0 ** (1 - n))
