"""How a spotting result is scored: matching, counts that add, F1, chance, uncertainty.

A video comes with *true* intervals (annotated) and *spotted* ones (a method's output), each of kind ME or MaE.
Scoring asks which of them belong together, counts, and pools the counts. Small differences in each step move the
numbers of a paper by several points, so every result names the *profile* it was counted with.

Profile `megc` (the rule of the Micro-Expression Grand Challenges)
------------------------------------------------------------------
1.  Intervals are closed: onset and offset both belong to them, so frames 3..7 are five frames. With half-open
    arithmetic every length is one frame shorter, and short pairs close to the threshold are decided differently.
2.  A spotted and a true interval *hit* if intersection over union >= `t_eval` (0.5 where nothing else is said).
    Exactly one half is a hit; the comparison is made in whole numbers, so that no rounding decides it.
3.  Kinds are never mixed: a micro-expression spotted where a macro-expression is true is a false positive *and* a
    false negative.
4.  A true interval is matched to at most one spotted interval and the other way round. Among all such assignments
    one with the most pairs is taken (maximum matching). Taking the first or the best hit for each interval in
    turn can lose pairs where true intervals overlap or `t_eval` is below one half, and would make the result
    depend on the order of rows.
5.  TP are the pairs, FP the spotted intervals left over (a second hit on the same true interval among them), FN
    the true intervals left over. *All* videos of the protocol count, also those without any expression: their
    spotted intervals are false positives. Leaving such videos out raises the precision.
6.  Counts are summed over videos, subjects and folds, as if all were one long video, and precision, recall and F1
    are computed once, from the sums. (A mean of F1 over folds is another number.) "overall" is the sum of ME and
    MaE; where MaE are frequent it hardly depends on ME, so the three are always shown together.

Where a denominator is zero the value is 0.0. So F1 is 1 exactly if every true interval is matched, nothing else is
spotted and there is something to spot; without any true and any spotted interval it is 0, not undefined.

Beside F1
---------
`chance` scores as many intervals of the same lengths, placed at random: what F1 the *amount* of spotted intervals
earns. `bootstrap_f1` says how far F1 would move with other subjects, by drawing the subjects again, with
replacement: frames and videos of one person are far from independent, so subjects are the units. `fp_per_minute`
and `boundary_errors_ms` tell what a user meets: false alarms by the clock, and how well onset and offset are
placed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from mespot_lib.interval import KINDS, Interval, as_array, overlaps

PARTS = (*KINDS, "overall")


class MetricError(ValueError):
    """Truth and spotted intervals that cannot be scored, or a setting out of range; the message says what is wrong."""


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives. They add, which is how results are pooled.

    >>> (Counts(3, 1, 0) + Counts(0, 1, 3)).f1
    0.5454545454545454
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Return the share of spotted intervals that are right, 0 where nothing is spotted."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Return the share of true intervals that are found, 0 where there are none."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall, 0 where nothing is true nor spotted."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def as_dict(self) -> dict[str, int | float]:
        """Return counts and ratios under the names used in result files."""
        ratios = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {"tp": self.tp, "fp": self.fp, "fn": self.fn, **ratios}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


@dataclass(frozen=True)
class Score:
    """Counts of both kinds, over all videos and (in `videos`) of each one."""

    ME: Counts
    MaE: Counts
    videos: Mapping[str, "Score"] = field(default_factory=dict, repr=False)

    @property
    def overall(self) -> Counts:
        """Return the counts of both kinds together."""
        return self.ME + self.MaE

    def __getitem__(self, part: str) -> Counts:
        """Return the counts of "ME", "MaE" or "overall"."""
        if part not in PARTS:
            raise KeyError(part)
        return getattr(self, part)

    def as_dict(self) -> dict[str, dict[str, int | float]]:
        """Return counts and ratios of ME, MaE and overall, without the videos."""
        return {part: self[part].as_dict() for part in PARTS}


# ---------------------------------------------------------------------------------------------------------------------
# Matching


def match(
    truth: Sequence[Interval], spotted: Sequence[Interval], t_eval: float = 0.5
) -> list[tuple[int, int]]:
    """Pair true and spotted intervals of one video by the rules of profile `megc`.

    Returns
    -------
    list of (index in `truth`, index in `spotted`), as many pairs as possible, in the order of `truth`.

    >>> match([Interval(0, 9, "ME")], [Interval(5, 14, "ME"), Interval(0, 4, "ME")])
    [(0, 1)]
    """
    videos = ("",)
    pairs = _maximum_matching(_table({"": truth}, videos), _table({"": spotted}, videos), t_eval)
    return sorted((int(t), int(s)) for t, s in pairs)


class _Table(NamedTuple):
    """Intervals of many videos as arrays. A *group* is one kind in one video: video number x 2 + kind number."""

    frames: np.ndarray  # (N, 2) int64, onset and offset
    group: np.ndarray  # (N,) int64


def _table(intervals: Mapping[str, Sequence[Interval]], videos: Sequence[str]) -> _Table:
    spans = [span for video in videos for span in intervals.get(video, ())]
    video_no = np.repeat(np.arange(len(videos)), [len(intervals.get(video, ())) for video in videos])
    kind_no = np.array([KINDS.index(span.kind) for span in spans], dtype=np.int64)
    return _Table(as_array(spans), video_no * len(KINDS) + kind_no)


def _maximum_matching(truth: _Table, spotted: _Table, t_eval: float) -> np.ndarray:
    """Return a largest set of pairs (P, 2): rows of `truth` and of `spotted` of the same group with IoU >= t_eval.

    All groups are solved in one sparse graph: they share no edge, so the largest matching of the whole is the union of
    the largest matchings of the parts.
    """
    t, s = _pairs_in_group(truth.group, spotted.group)
    hit = _reaches(*overlaps(truth.frames[t], spotted.frames[s]), t_eval)
    t, s = t[hit], s[hit]
    graph = csr_array((np.ones(len(t), bool), (t, s)), shape=(len(truth.group), len(spotted.group)))
    partner = maximum_bipartite_matching(
        graph, perm_type="column"
    )  # (number of true intervals,), -1 without partner
    found = np.flatnonzero(partner >= 0)
    return np.column_stack([found, partner[found]])


def _pairs_in_group(truth_group: np.ndarray, spotted_group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of truth and rows of spotted, (K,) each, that enumerate all pairs of equal group."""
    order = np.argsort(truth_group, kind="stable")
    start = np.searchsorted(truth_group[order], spotted_group, side="left")
    stop = np.searchsorted(truth_group[order], spotted_group, side="right")
    partners = stop - start  # (number of spotted intervals,)
    s = np.repeat(np.arange(len(spotted_group)), partners)
    before = np.cumsum(partners) - partners
    t = np.arange(len(s)) - np.repeat(before, partners) + np.repeat(start, partners)
    return order[t], s


def _reaches(shared: np.ndarray, covered: np.ndarray, t_eval: float) -> np.ndarray:
    """Return where shared / covered >= t_eval, decided in whole numbers."""
    threshold = _as_fraction(t_eval)
    return shared * threshold.denominator >= covered * threshold.numerator


def _as_fraction(t_eval: float) -> Fraction:
    """Return the decimal fraction meant by a float: 0.15000000000000002 of a range(0.05, ...) means 3/20."""
    if not 0 < t_eval <= 1:
        raise MetricError(f"t_eval must lie in (0, 1], got {t_eval}")
    return Fraction(float(t_eval)).limit_denominator(10_000)


# ---------------------------------------------------------------------------------------------------------------------
# Profiles. A profile counts: (truth, spotted, number of groups, t_eval) -> (number of groups, 3) TP, FP, FN.


def _count_megc(truth: _Table, spotted: _Table, groups: int, t_eval: float) -> np.ndarray:
    pairs = _maximum_matching(truth, spotted, t_eval)
    tp = np.bincount(truth.group[pairs[:, 0]], minlength=groups)
    fp = np.bincount(spotted.group, minlength=groups) - tp
    fn = np.bincount(truth.group, minlength=groups) - tp
    return np.column_stack([tp, fp, fn])


PROFILES: dict[str, Callable[[_Table, _Table, int, float], np.ndarray]] = {"megc": _count_megc}


def score(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    t_eval: float = 0.5,
    profile: str = "megc",
    allow_missing: bool = False,
) -> Score:
    """Count hits, false alarms and misses of all videos and pool them.

    Parameters
    ----------
    truth, spotted : the intervals of each video. A video without expression has an empty list.
    t_eval : smallest intersection over union of a hit, in (0, 1].
    profile : rule of counting, one of `PROFILES`.
    allow_missing : take a video that only one side knows as one without intervals on the other side.

    Raises
    ------
    MetricError
        If a video stands on one side only (and `allow_missing` is off), or `profile` or `t_eval` is not possible.
    """
    if profile not in PROFILES:
        raise MetricError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    if not allow_missing:
        _refuse_missing(truth, spotted)
    videos = sorted({*truth, *spotted})
    groups = len(videos) * len(KINDS)
    counts = PROFILES[profile](_table(truth, videos), _table(spotted, videos), groups, t_eval)
    counts = counts.reshape(len(videos), len(KINDS), 3)
    each = {video: _as_score(counts[v]) for v, video in enumerate(videos)}
    total = _as_score(counts.sum(axis=0))
    return Score(total.ME, total.MaE, each)


def _as_score(counts: np.ndarray) -> Score:
    return Score(*(Counts(*map(int, row)) for row in counts))


def _refuse_missing(truth: Mapping[str, object], spotted: Mapping[str, object]) -> None:
    for here, there, name in ((truth, spotted, "truth"), (spotted, truth, "spotted")):
        alone = sorted(set(here) - set(there))
        if alone:
            shown = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
            raise MetricError(f"only {name} has video {shown}; both sides must know the same videos")


def pool(scores: Mapping[str, Score], groups: Mapping[str, str]) -> dict[str, Score]:
    """Sum the scores of videos into the scores of their groups, for instance subjects.

    >>> pool({"a": Score(Counts(1), Counts()), "b": Score(Counts(1), Counts())}, {"a": "s1", "b": "s1"})["s1"].ME.tp
    2
    """
    pooled: dict[str, Score] = {}
    for video, one in scores.items():
        so_far = pooled.get(groups[video], Score(Counts(), Counts()))
        pooled[groups[video]] = Score(so_far.ME + one.ME, so_far.MaE + one.MaE)
    return pooled


# ---------------------------------------------------------------------------------------------------------------------
# Beside F1


def fp_per_minute(counts: Counts, seconds: float) -> float:
    """Return false positives per minute of video (0 for no video)."""
    return counts.fp / (seconds / 60) if seconds else 0.0


def boundary_errors_ms(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    fps: Mapping[str, float],
    t_eval: float = 0.5,
) -> np.ndarray:
    """Return how late onset and offset of each matched pair are, (P, 2) in ms; negative is too early.

    Only pairs that hit are looked at, so the errors are bounded by `t_eval`: read them beside the recall.
    """
    errors = [np.empty((0, 2))]
    for video in sorted(set(truth) & set(spotted)):
        pairs = np.array(match(truth[video], spotted[video], t_eval), dtype=np.int64).reshape(-1, 2)
        late = as_array(spotted[video])[pairs[:, 1]] - as_array(truth[video])[pairs[:, 0]]  # (P, 2) frames
        errors.append(late * (1000 / fps[video]))
    return np.concatenate(errors)


@dataclass(frozen=True)
class Chance:
    """F1 of random placement: the mean and the value that only one draw in forty exceeds (97.5 % quantile)."""

    f1: float
    high: float


def chance(
    spotted: Mapping[str, Sequence[Interval]],
    truth: Mapping[str, Sequence[Interval]],
    lengths: Mapping[str, int],
    draws: int = 200,
    seed: int = 0,
    t_eval: float = 0.5,
) -> dict[str, Chance]:
    """Score the spotted intervals at random places: same numbers, kinds and lengths in each video.

    The intervals of a video are placed in random order with random gaps, so that they do not overlap each other, all
    such arrangements being equally likely; where they do not fit beside each other, each is placed independently.

    Parameters
    ----------
    lengths : frames of each video; says which videos count.
    draws : number of random placements.
    seed : the same seed gives the same result.

    Returns
    -------
    dict
        `Chance` for "ME", "MaE" and "overall".
    """
    rng = np.random.default_rng(seed)
    videos = sorted(lengths)
    sides = _table(truth, videos), _table(spotted, videos)
    frames = [lengths[video] for video in videos]
    at_once = max(1, _MOST_PLACED // max(1, len(sides[1].group)))
    batches = [min(at_once, draws - done) for done in range(0, draws, at_once)]
    tp = np.concatenate([_random_hits(*sides, frames, batch, t_eval, rng) for batch in batches])  # (draws, 2)
    kinds = np.concatenate([table.group for table in sides]) % len(KINDS)
    n = np.bincount(kinds, minlength=len(KINDS))  # true and spotted intervals of each kind together
    f1 = 2 * np.column_stack([tp, tp.sum(axis=1)]) / np.maximum(np.append(n, n.sum()), 1)  # (draws, 3)
    return {
        part: Chance(float(x.mean()), float(np.quantile(x, 0.975)))
        for part, x in zip(PARTS, f1.T, strict=True)
    }


_MOST_PLACED = 2_000_000  # random intervals in memory at the same time


def _random_hits(
    truth: _Table,
    spotted: _Table,
    lengths: Sequence[int],
    draws: int,
    t_eval: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the hits of each kind (draws, 2) when spotted intervals are placed at random in their videos."""
    placed = np.empty((draws, *spotted.frames.shape), dtype=np.int64)  # (draws, N, 2)
    for v, length in enumerate(lengths):
        rows = np.flatnonzero(spotted.group // len(KINDS) == v)
        sizes = np.diff(spotted.frames[rows], axis=1)[:, 0] + 1
        onset = _place_at_random(sizes, length, draws, rng)
        placed[:, rows] = np.stack([onset, onset + sizes - 1], axis=-1)
    groups = len(lengths) * len(KINDS)
    shift = np.arange(draws)[:, None] * groups  # every draw gets groups of its own
    many_spotted = _Table(placed.reshape(-1, 2), (spotted.group + shift).ravel())
    many_true = _Table(np.tile(truth.frames, (draws, 1)), (truth.group + shift).ravel())
    pairs = _maximum_matching(many_true, many_spotted, t_eval)
    tp = np.bincount(many_true.group[pairs[:, 0]], minlength=draws * groups)
    return tp.reshape(draws, len(lengths), len(KINDS)).sum(axis=1)


def _place_at_random(sizes: np.ndarray, length: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return random onsets (draws, N) of intervals of `sizes` (N,) within `length` frames."""
    free = length - int(sizes.sum())
    if free < 0:
        return rng.integers(0, np.maximum(length - sizes, 0) + 1, size=(draws, len(sizes)))
    order = rng.permuted(np.tile(np.arange(len(sizes)), (draws, 1)), axis=1)
    # N distinct of free + N places, in order; less their rank: uncovered frames before each interval
    gaps = np.sort(_distinct(len(sizes), free + len(sizes), draws, rng), axis=1) - np.arange(len(sizes))
    in_order = sizes[order]
    onset = gaps + np.cumsum(in_order, axis=1) - in_order
    result = np.empty_like(onset)
    np.put_along_axis(result, order, onset, axis=1)
    return result


def _distinct(count: int, below: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return `draws` random subsets (draws, count) of 0..below-1, all equally likely (Floyd's algorithm)."""
    chosen = np.empty((draws, count), dtype=np.int64)
    for k, last in enumerate(range(below - count, below)):
        candidate = rng.integers(0, last + 1, size=draws)
        taken = (chosen[:, :k] == candidate[:, None]).any(axis=1)
        chosen[:, k] = np.where(taken, last, candidate)
    return chosen


def bootstrap_f1(counts: Sequence[Counts], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the pooled F1 when subjects are drawn again with replacement.

    Parameters
    ----------
    counts : the counts of each subject.

    Returns
    -------
    (low, high) : the 2.5 % and 97.5 % quantiles over `draws` resamples; (0, 0) without subjects.
    """
    if not counts:
        return 0.0, 0.0
    each = np.array([(c.tp, c.fp, c.fn) for c in counts])  # (S, 3)
    drawn = np.random.default_rng(seed).integers(0, len(each), size=(draws, len(each)))
    tp, fp, fn = each[drawn].sum(axis=1).T  # (draws,) each
    f1 = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    low, high = np.quantile(f1, [0.025, 0.975])
    return float(low), float(high)
