"""The rules of counting, one function for each profile: intervals as arrays in, TP, FP and FN of every video out.

What the profiles mean for a reader of papers stands at the top of `metrics`; here is how each is counted. Seven of
them reproduce the counts of a public evaluator, with its oddities, so that a number of a paper can be had again from
the intervals behind it. They were written from descriptions of what those programs do, not from their text; where a
description leaves something open, the docstring says what is assumed.

All evaluators ask for an IoU of one half; here it is `t_eval`. Three things are left to the data and are no part of
counting: repairs of labels (a missing offset), shifts by one frame between numbering from 0 and from 1, and fixed
denominators such as 57 and 300, which are the numbers of true intervals in one dataset and are counted here.

Intervals of all videos lie in one table. A *group* is one kind in one video: video number x 2 + kind number. Evaluators
whose result hangs on the order of rows are given them in the order of time, so that a file can be shuffled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from mespot_lib.interval import KINDS, Interval, as_array, overlaps


class MetricError(ValueError):
    """Truth and spotted intervals that cannot be scored, or a setting out of range; the message says what is wrong."""


class Table(NamedTuple):
    """Intervals of many videos as arrays."""

    frames: np.ndarray  # (N, 2) int64, onset and offset
    group: np.ndarray  # (N,) int64, video number x 2 + kind number
    score: np.ndarray  # (N,) float64

    def only(self, rows: np.ndarray) -> "Table":
        """Return chosen rows: a mask, or row numbers in the order wanted."""
        return Table(self.frames[rows], self.group[rows], self.score[rows])

    def by_video(self) -> "Table":
        """Return the same intervals with the video number as group: kinds are forgotten."""
        return Table(self.frames, self.group // len(KINDS), self.score)

    def in_order(self) -> "Table":
        """Return the rows sorted by group, then time."""
        return self.only(np.lexsort((self.frames[:, 1], self.frames[:, 0], self.group)))


def as_table(intervals: Mapping[str, Sequence[Interval]], videos: Sequence[str]) -> Table:
    """Return the intervals of `videos` as a table, rows in the order given."""
    spans = [span for video in videos for span in intervals.get(video, ())]
    video_no = np.repeat(np.arange(len(videos)), [len(intervals.get(video, ())) for video in videos])
    kind_no = np.array([KINDS.index(span.kind) for span in spans], dtype=np.int64)
    scores = np.array([span.score for span in spans], dtype=float)
    return Table(as_array(spans), video_no * len(KINDS) + kind_no, scores)


# ---------------------------------------------------------------------------------------------------------------------
# Pairs of a true and a spotted interval


class Pairs(NamedTuple):
    """Rows of truth and of spotted intervals, and the frames they share and cover by some rule."""

    t: np.ndarray  # (P,) int64
    s: np.ndarray  # (P,) int64
    shared: np.ndarray  # (P,) int64
    covered: np.ndarray  # (P,) int64

    def only(self, rows: np.ndarray) -> "Pairs":
        """Return chosen pairs: a mask, or numbers in the order wanted."""
        return Pairs(*(column[rows] for column in self))


Rule = Callable[
    [np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]
]  # frames (P, 2) twice -> shared, covered


def pairs_in_group(truth: Table, spotted: Table, rule: Rule = overlaps) -> Pairs:
    """Return all pairs of equal group, also those that share no frame, measured by a rule."""
    order = np.argsort(truth.group, kind="stable")
    start = np.searchsorted(truth.group[order], spotted.group, side="left")
    stop = np.searchsorted(truth.group[order], spotted.group, side="right")
    partners = stop - start  # (number of spotted intervals,)
    s = np.repeat(np.arange(len(spotted.group)), partners)
    before = np.cumsum(partners) - partners
    t = order[np.arange(len(s)) - np.repeat(before, partners) + np.repeat(start, partners)]
    return Pairs(t, s, *rule(truth.frames[t], spotted.frames[s]))


def overlapping(truth: Table, spotted: Table) -> Pairs:
    """Return the pairs of equal group that share at least one frame."""
    pairs = pairs_in_group(truth, spotted)
    return pairs.only(pairs.shared > 0)


def hits(pairs: Pairs, t_eval: float, strictly: bool = False) -> Pairs:
    """Return the pairs with shared / covered >= t_eval, or > t_eval."""
    return pairs.only(_reach(pairs, t_eval, strictly))


def _reach(pairs: Pairs, t_eval: float, strictly: bool = False) -> np.ndarray:
    """Decide in whole numbers which pairs are hits, (P,) bool; covering no frame (0 / 0) is none."""
    threshold = _as_fraction(t_eval)
    excess = pairs.shared * threshold.denominator - pairs.covered * threshold.numerator
    return (pairs.covered > 0) & ((excess > 0) if strictly else (excess >= 0))


def _as_fraction(t_eval: float) -> Fraction:
    """Return the decimal fraction meant by a float: 0.15000000000000002 of a range(0.05, ...) means 3/20."""
    if not 0 < t_eval <= 1:
        raise MetricError(f"t_eval must lie in (0, 1], got {t_eval}")
    return Fraction(float(t_eval)).limit_denominator(10_000)


def largest_matching(pairs: Pairs) -> np.ndarray:
    """Return a largest set of pairs (P, 2), row of truth and of spotted, in which no row stands twice.

    All groups are solved in one sparse graph: they share no edge, so the largest matching of the whole is the union of
    the largest matchings of the parts.
    """
    true_rows, t = np.unique(pairs.t, return_inverse=True)
    spotted_rows, s = np.unique(pairs.s, return_inverse=True)
    graph = csr_array((np.ones(len(t), bool), (t, s)), shape=(len(true_rows), len(spotted_rows)))
    partner = maximum_bipartite_matching(graph, perm_type="column")  # (true rows,), -1 without partner
    found = np.flatnonzero(partner >= 0)
    return np.column_stack([true_rows[found], spotted_rows[partner[found]]])


def greedy_matching(pairs: Pairs, score: np.ndarray) -> np.ndarray:
    """Return pairs (P, 2) taken one by one: spotted intervals from the highest score (N,), each its best free truth.

    Of equal scores the earlier row comes first, of equal IoU the earlier truth.
    """
    order = np.lexsort((pairs.t, -pairs.shared / pairs.covered, pairs.s, -score[pairs.s]))
    taken_t, taken_s, chosen = set(), set(), []
    for t, s in zip(pairs.t[order].tolist(), pairs.s[order].tolist(), strict=True):
        if t not in taken_t and s not in taken_s:
            taken_t.add(t)
            taken_s.add(s)
            chosen.append((t, s))
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)


# ---------------------------------------------------------------------------------------------------------------------
# Other ways to measure an overlap


def _lengths(frames: np.ndarray) -> np.ndarray:
    return frames[:, 1] - frames[:, 0]


def _half_open(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure without the +1: the length is offset - onset, so a single frame has none."""
    shared = np.maximum(np.minimum(first[:, 1], second[:, 1]) - np.maximum(first[:, 0], second[:, 0]), 0)
    return shared, _lengths(first) + _lengths(second) - shared


def _never_apart(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure with +1, but let intervals that are apart share one frame, and single frames none."""
    shared = _half_open(first, second)[0] + 1
    covered = (_lengths(first) + 1) + (_lengths(second) + 1) - shared
    single = (_lengths(first) == 0) | (_lengths(second) == 0)
    return np.where(single, 0, shared), covered


def _short_union(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure with +1, but partial overlaps cover one frame less, and one shared frame is no overlap."""
    shared, covered = overlaps(first, second)
    contained = shared == np.minimum(_lengths(first), _lengths(second)) + 1
    return np.where(shared > 1, shared, 0), np.where(contained, covered, covered - 1)


# ---------------------------------------------------------------------------------------------------------------------
# The profiles: (sides, t_eval) -> counts (V, kinds, 3) int64: TP, FP, FN of ME and MaE in each video


@dataclass(frozen=True)
class Sides:
    """True and spotted intervals of the same videos, ready to be counted; rows in the order of time."""

    truth: Table
    spotted: Table
    n_videos: int
    me_longest: np.ndarray  # (V,) float64: offset - onset of the longest ME of a video, for profiles that ask

    @cached_property
    def same_kind(self) -> Pairs:
        """Return the overlapping pairs of one kind."""
        return overlapping(self.truth, self.spotted)

    @cached_property
    def any_kind(self) -> Pairs:
        """Return the overlapping pairs, whatever their kinds."""
        return overlapping(self.truth.by_video(), self.spotted.by_video())

    def measured(self, pairs: Pairs, rule: Rule) -> Pairs:
        """Return the same pairs, measured by another rule."""
        return Pairs(pairs.t, pairs.s, *rule(self.truth.frames[pairs.t], self.spotted.frames[pairs.s]))

    def tally(self, group: np.ndarray) -> np.ndarray:
        """Return how many rows each group has, (V, kinds)."""
        return np.bincount(group, minlength=self.n_videos * len(KINDS)).reshape(self.n_videos, len(KINDS))

    def group_by_duration(self, table: Table) -> np.ndarray:
        """Return the groups (N,) of rows with kinds by duration: ME lasts half a second at most."""
        video = table.group // len(KINDS)
        is_long = _lengths(table.frames) > self.me_longest[video]
        return video * len(KINDS) + np.where(is_long, KINDS.index("MaE"), KINDS.index("ME"))


def _counts(found: np.ndarray, spotted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return TP, FP, FN (..., 3) from the numbers of found, spotted and true intervals."""
    return np.stack([found, spotted - found, true - found], axis=-1)


def megc(sides: Sides, t_eval: float) -> np.ndarray:
    """Count pairs of a largest one-to-one matching within each video and kind."""
    pairs = largest_matching(hits(sides.same_kind, t_eval))
    found = sides.tally(sides.truth.group[pairs[:, 0]])
    return _counts(found, sides.tally(sides.spotted.group), sides.tally(sides.truth.group))


def mesnet(sides: Sides, t_eval: float) -> np.ndarray:
    """Count a of m true intervals that are hit and b of n spotted ones that hit; (V, kinds, 4) with b at the end.

    Recall is a/m, precision b/n, F1 = 2ab / (an + bm). Several hits on one true interval are all right, so FP = n - b
    and FN = m - a. The paper spots ME only; MaE are counted by the same rule.
    """
    pairs = hits(sides.same_kind, t_eval)
    found = sides.tally(sides.truth.group[np.unique(pairs.t)])
    right = sides.tally(sides.spotted.group[np.unique(pairs.s)])
    wrong, missed = sides.tally(sides.spotted.group) - right, sides.tally(sides.truth.group) - found
    return np.stack([found, wrong, missed, right], axis=-1)


def class_agnostic(sides: Sides, t_eval: float) -> np.ndarray:
    """Match one to one as `megc` does, but whatever the kinds, then split by duration.

    TP and FN are split by the duration of the true interval, FP by that of the spotted one; annotated kinds are not
    looked at. Of all largest matchings one with the most pairs of equal kind (by duration) is taken, of these one with
    the most true, then the most spotted ME: so the counts of a kind do not hang on a coincidence.
    """
    true, spotted = sides.group_by_duration(sides.truth), sides.group_by_duration(sides.spotted)
    pairs = hits(sides.any_kind, t_eval)
    me = KINDS.index("ME")
    merits = (true[pairs.t] == spotted[pairs.s], true[pairs.t] % 2 == me, spotted[pairs.s] % 2 == me)
    matched = _best_matching(pairs, sides.truth.by_video().group[pairs.t], merits)
    found, right = sides.tally(true[matched[:, 0]]), sides.tally(spotted[matched[:, 1]])
    return np.stack([found, sides.tally(spotted) - right, sides.tally(true) - found], axis=-1)


def _best_matching(pairs: Pairs, group: np.ndarray, merits: Sequence[np.ndarray]) -> np.ndarray:
    """Return of the largest matchings (P, 2) in each group one with most pairs of the first merit, then of the next."""
    order = np.argsort(group, kind="stable")
    chosen = [np.empty((0, 2), dtype=np.int64)]
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        true_rows, t = np.unique(pairs.t[rows], return_inverse=True)
        spotted_rows, s = np.unique(pairs.s[rows], return_inverse=True)
        base = float(
            min(len(true_rows), len(spotted_rows)) + 1
        )  # all pairs' merits weigh less than one more before
        worth = np.zeros((len(true_rows), len(spotted_rows)))
        digits = (np.ones(len(rows), dtype=bool), *(merit[rows] for merit in merits))
        worth[t, s] = sum(digit * base ** (len(merits) - power) for power, digit in enumerate(digits))
        first, second = linear_sum_assignment(worth, maximize=True)
        real = worth[first, second] > 0
        chosen.append(np.column_stack([true_rows[first], spotted_rows[second]])[real])
    return np.concatenate(chosen)


def zhang2020(sides: Sides, t_eval: float) -> np.ndarray:
    """Count every overlapping pair, as the evaluator of the MEGC2023 baseline does; (V, ME MaE overall, 3).

    An overlap takes two shared frames at least; partial overlaps cover one frame less than they do. Each pair that
    reaches `t_eval` is a TP, each other overlapping pair an FP, and so is a spotted interval without overlap. If the
    first overlapping pair of a video is too weak, its spotted interval is counted once more. FN are the true intervals
    less TP, and may be negative.

    Kinds are not told apart, so "overall" is what the evaluator prints, and not the sum: ME and MaE are what it prints
    if given the intervals of one kind alone.

    Assumed: pairs are visited spotted interval by spotted interval, in order of time; true intervals in videos without
    spotted ones count as FN; a single frame never overlaps.
    """
    true, spotted = sides.truth.group, sides.spotted.group
    by_kind = _zhang2020(sides, sides.same_kind, true, spotted, t_eval)
    overall = _zhang2020(sides, sides.any_kind, true // len(KINDS), spotted // len(KINDS), t_eval)
    by_kind = by_kind.reshape(-1, len(KINDS), 3)
    return np.concatenate([by_kind, overall[: len(by_kind), None]], axis=1)


def _zhang2020(
    sides: Sides, pairs: Pairs, true: np.ndarray, spotted: np.ndarray, t_eval: float
) -> np.ndarray:
    """Return TP, FP, FN (V x kinds, 3) of the groups in which the true (N,) and spotted (M,) rows lie."""
    pairs = sides.measured(pairs, _short_union)
    pairs = pairs.only(pairs.shared > 0)
    in_time = (*sides.truth.frames[pairs.t].T[::-1], *sides.spotted.frames[pairs.s].T[::-1])
    pairs = pairs.only(np.lexsort(in_time))  # in the order of visits within each group
    group, strong = true[pairs.t], _reach(pairs, t_eval)
    first = np.unique(group, return_index=True)[1]
    alone = np.ones(len(spotted), dtype=bool)
    alone[pairs.s] = False
    wrong = np.concatenate([group[~strong], group[first][~strong[first]], spotted[alone]])
    tp, fp, m = (sides.tally(rows).ravel() for rows in (group[strong], wrong, true))
    return np.column_stack([tp, fp, m - tp])


def megc2020(sides: Sides, t_eval: float) -> np.ndarray:
    """Count true intervals that any spotted one of their kind hits, as the evaluator of the MEGC2020 baseline does.

    Intervals that are apart share one frame, which can be a hit where `t_eval` is low; a single frame, true or
    spotted, has IoU 0. FP are spotted intervals less TP: -1 where one interval finds two true ones. Assumed: covered
    frames are the two lengths less the shared frames, also for intervals that are apart.
    """
    pairs = hits(pairs_in_group(sides.truth, sides.spotted, _never_apart), t_eval)
    found = sides.tally(sides.truth.group[np.unique(pairs.t)])
    return _counts(found, sides.tally(sides.spotted.group), sides.tally(sides.truth.group))


def softnet(sides: Sides, t_eval: float) -> np.ndarray:
    """Match greedily in the videos that contain the kind, as the evaluator of SOFTNet, MTSN and ME-TST does.

    Each kind is counted in videos with a true interval of this kind only. Where nothing is spotted in such a video, a
    dummy interval 0..0 is, which is one FP (and would be a TP on a true interval at the very beginning). Assumed:
    spotted intervals choose in the order of their scores, then of time, each the free true interval with the largest
    IoU.
    """
    return _softnet(sides, t_eval, strictly=False)


def slswin(sides: Sides, t_eval: float) -> np.ndarray:
    """Count as `softnet` does, but ask for an IoU above `t_eval`, as the evaluator of SL-Swin does."""
    return _softnet(sides, t_eval, strictly=True)


def _softnet(sides: Sides, t_eval: float, strictly: bool) -> np.ndarray:
    truth = sides.truth
    spotted = sides.spotted.only(np.isin(sides.spotted.group, truth.group))
    silent = np.setdiff1d(truth.group, spotted.group)
    spotted = Table(
        np.concatenate([spotted.frames, np.zeros((len(silent), 2), dtype=np.int64)]),
        np.concatenate([spotted.group, silent]),
        np.concatenate([spotted.score, np.zeros(len(silent))]),
    )
    pairs = greedy_matching(hits(overlapping(truth, spotted), t_eval, strictly), spotted.score)
    found = sides.tally(truth.group[pairs[:, 0]])
    return _counts(found, sides.tally(spotted.group), sides.tally(truth.group))


def lgsnet(sides: Sides, t_eval: float) -> np.ndarray:
    """Count true intervals that any spotted one hits, as the evaluator of LGSNet does.

    Kinds are not looked at for a hit. TP are split by the duration of the true interval, spotted intervals by their
    own, true ones as annotated: so the FP or FN of a kind may be negative and its precision exceed 1. Choosing epoch
    and threshold on the test folds, which that program also does, is no part of counting.
    """
    return _split_by_duration(sides, hits(sides.any_kind, t_eval))


def qin(sides: Sides, t_eval: float) -> np.ndarray:
    """Count as `lgsnet` does, but without the +1 in lengths, as the evaluators of Sheng and of Qin do.

    There the first spotted interval that hits is taken, not the best; it may serve several true intervals, so the
    counts are the same. Assumed: intervals that are apart have IoU 0, and so do single frames (0 / 0).
    """
    pairs = sides.measured(sides.any_kind, _half_open)
    return _split_by_duration(sides, hits(pairs, t_eval))


def _split_by_duration(sides: Sides, pairs: Pairs) -> np.ndarray:
    found = sides.tally(sides.group_by_duration(sides.truth)[np.unique(pairs.t)])
    spotted = sides.tally(sides.group_by_duration(sides.spotted))
    return _counts(found, spotted, sides.tally(sides.truth.group))


def abpn(sides: Sides, t_eval: float) -> np.ndarray:
    """Let each true interval name its best spotted one of its kind, as the evaluator of ABPN does.

    Lengths lack the +1 and the IoU must be above `t_eval`. TP are the different intervals that are named: one that is
    the best of two true intervals is one TP, also where the second best would hit as well. A single frame is never
    found (0 / 0). Of equally good ones the earliest is named.
    """
    pairs = hits(sides.measured(sides.same_kind, _half_open), t_eval, strictly=True)
    pairs = pairs.only(np.lexsort((pairs.s, -pairs.shared / pairs.covered, pairs.t)))
    _, best = np.unique(pairs.t, return_index=True)
    found = sides.tally(sides.spotted.group[np.unique(pairs.s[best])])
    return _counts(found, sides.tally(sides.spotted.group), sides.tally(sides.truth.group))


PROFILES: dict[str, Callable[[Sides, float], np.ndarray]] = {
    rule.__name__: rule
    for rule in (megc, mesnet, class_agnostic, zhang2020, megc2020, softnet, slswin, lgsnet, qin, abpn)
}
BY_DURATION = ("class_agnostic", "lgsnet", "qin")  # these look at the frame rate
STRICT = ("slswin", "abpn")  # exactly t_eval is no hit for these
