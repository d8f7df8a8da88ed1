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
    MaE. Where MaE are frequent it hardly depends on ME: with the 57 ME and 300 MaE of CAS(ME)^2, a method that finds
    every MaE and not a single ME has an overall F1 of 600 / 657 = 0.913. So the three are always shown together.

Where a denominator is zero the value is 0.0. So F1 is 1 exactly if every true interval is matched, nothing else is
spotted and there is something to spot; without any true and any spotted interval it is 0, not undefined.

The other profiles, and where each moves the score
--------------------------------------------------
Each names its differences from `megc`; "up" is towards a higher F1. How each counts in detail stands in `profiles`.

`mesnet`          The MESNet paper: every spotted interval that hits is right, so several hits on one true interval
                  cost nothing. F1 = 2ab / (an + bm) with a of m true found, b of n spotted right. Up, never down.
                  As two numerators are pooled, the overall F1 need not lie between those of ME and MaE.
`class_agnostic`  Kinds are ignored for the match and split by duration (ME: offset - onset <= 0.5 s) afterwards.
                  Overall up, never down, as no pair of a common kind is lost; ME and MaE alone go either way.
`zhang2020`       Baseline of MEGC2023 by Zhang, kinds pooled: every pair with a sufficient overlap is a TP, so
                  duplicates and overlapping true intervals count twice, and the union of a partial overlap is one
                  frame short: up. But each insufficient overlap is an FP, the first of a video two: down. FN can be
                  negative and the recall above 1.
`megc2020`        Baseline of MEGC2020 by He: a true interval is found if anything of its kind hits it, so one long
                  interval can find two: up. A single frame hits nothing: down. Below T_eval 1/2 intervals that are
                  apart may hit: up.
`softnet`         SOFTNet and descendants: each kind is counted only in videos that contain it, which drops false
                  positives: up, and the rarer the kind, the more. A video without a spotted interval gets one false
                  positive: down. Greedy matching: down a little, if at all.
`slswin`          As `softnet`, but exactly T_eval is no hit any more: lower than `softnet`, or equal.
`lgsnet`          Kinds are ignored and one spotted interval may find several true ones: overall up, never down. TP
                  are split by the duration of the true interval and spotted intervals by their own, so a kind may
                  gain or lose, and its precision may exceed 1.
`qin`             As `lgsnet`, but lengths lack the +1: partial overlaps of short intervals get smaller: lower than
                  `lgsnet`, or equal.
`abpn`            Lengths lack the +1 and exactly T_eval is no hit: down. A true interval whose best spotted one is
                  also the best of another is lost, even if a second one would do: down. Single frames are never
                  found. Never above `megc`.

A video that only one file knows is an error that names it, under every profile. With `allow_missing` it counts as one
without intervals on the other side: its true intervals are FN and its spotted ones FP, except under `softnet` and
`slswin`, which leave out spotted intervals where their kind is not true.

Beside F1
---------
`chance` scores as many intervals of the same lengths, placed at random: what F1 the *amount* of spotted intervals
earns. `bootstrap_f1` says how far F1 would move with other subjects, by drawing the subjects again, with
replacement: frames and videos of one person are far from independent, so subjects are the units;
`paired_bootstrap` does the same with the difference of two methods on the same subjects, which is far less uncertain
than the two apart. `fp_per_minute` and `boundary_errors_ms` tell what a user meets: false alarms by the clock, and how
well onset and offset are placed. `average_precision` judges the ranking by score, without any threshold on it;
`grid` scores all thresholds of a sweep at once. Module `anchors` says what trivial and ideal methods score, module
`mistakes` in which way intervals are wrong. All of these match by the rules of `megc`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from mespot_lib.interval import KINDS, Interval, as_array
from mespot_lib.profiles import (
    PROFILES,
    MetricError,
    Sides,
    Table,
    as_table,
    greedy_matching,
    hits,
    largest_matching,
    overlapping,
)
from mespot_lib.spot import ME_LONGEST_S, rivals, survivors

PARTS = (*KINDS, "overall")
DEFAULT_FPS = 30.0
T_EVALS = tuple(step / 20 for step in range(1, 20))  # 0.05, 0.10 ... 0.95


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
        sums = self.tp + other.tp, self.fp + other.fp, self.fn + other.fn
        if isinstance(self, CountsApart) or isinstance(other, CountsApart):
            return CountsApart(*sums, self.right + other.right)
        return Counts(*sums)

    @property
    def right(self) -> int:
        """Return how many spotted intervals are right: as many as true ones are found, if they come in pairs."""
        return self.tp

    @property
    def precision(self) -> float:
        """Return the share of spotted intervals that are right, 0 where nothing is spotted."""
        return _ratio(self.right, self.right + self.fp)

    @property
    def recall(self) -> float:
        """Return the share of true intervals that are found, 0 where there are none."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall, 0 where one of them is 0 or has no denominator."""
        return float(_f1(np.array([self.tp, self.fp, self.fn, self.right])))

    def as_dict(self) -> dict[str, int | float]:
        """Return counts and ratios under the names used in result files."""
        ratios = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {**asdict(self), **ratios}


@dataclass(frozen=True)
class CountsApart(Counts):
    """Counts of a profile in which `tp` true intervals are found, but `right` spotted ones are right."""

    right: int = 0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(counts: np.ndarray) -> np.ndarray:
    """Return F1 (...) of counts (..., 4) TP, FP, FN, right: 2ab / (an + bm), a of m found, b of n spotted right."""
    a, b = counts[..., 0], counts[..., 3]
    n, m = b + counts[..., 1], a + counts[..., 2]
    whole = np.where((n > 0) & (m > 0), a * n + b * m, 0)
    return np.where(whole > 0, 2 * a * b, 0) / np.maximum(whole, 1)


def _as_array(counts: Sequence[Counts]) -> np.ndarray:
    """Return counts as TP, FP, FN, right (N, 4)."""
    return np.array([(c.tp, c.fp, c.fn, c.right) for c in counts], dtype=np.int64).reshape(-1, 4)


@dataclass(frozen=True)
class Score:
    """Counts of both kinds, over all videos and (in `videos`) of each one."""

    ME: Counts
    MaE: Counts
    videos: Mapping[str, "Score"] = field(default_factory=dict, repr=False)
    together: Counts | None = None  # where "overall" is counted in another way than by the sum

    @property
    def overall(self) -> Counts:
        """Return the counts of both kinds together."""
        return self.ME + self.MaE if self.together is None else self.together

    def __add__(self, other: "Score") -> "Score":
        """Return the counts of both scores together, without the videos."""
        apart = self.together is not None or other.together is not None
        together = self.overall + other.overall if apart else None
        return Score(self.ME + other.ME, self.MaE + other.MaE, together=together)

    def of_videos(self, videos: Iterable[str]) -> "Score":
        """Return the counts of these videos together, without the videos."""
        return sum((self.videos[video] for video in videos), Score(Counts(), Counts()))

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
    sides = as_table({"": truth}, ("",)), as_table({"": spotted}, ("",))
    pairs = largest_matching(hits(overlapping(*sides), t_eval))
    return sorted((int(t), int(s)) for t, s in pairs)


# ---------------------------------------------------------------------------------------------------------------------
# Scoring


Fps = float | Mapping[str, float]  # frames per second of all videos, or of each


def score(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    t_eval: float = 0.5,
    profile: str = "megc",
    allow_missing: bool = False,
    fps: Fps = DEFAULT_FPS,
) -> Score:
    """Count hits, false alarms and misses of all videos and pool them.

    Parameters
    ----------
    truth, spotted : the intervals of each video. A video without expression has an empty list.
    t_eval : smallest intersection over union of a hit, in (0, 1].
    profile : rule of counting, one of `PROFILES`.
    allow_missing : take a video that only one side knows as one without intervals on the other side.
    fps : frames per second, of all videos or of each; only profiles that type by duration look at it.

    Raises
    ------
    MetricError
        If a video stands on one side only (and `allow_missing` is off), or a setting is not possible.
    """
    rule = _rule(profile)
    videos = _videos(truth, spotted, allow_missing)
    counts = rule(_sides(truth, spotted, videos, fps), t_eval)
    each = {video: _as_score(rows) for video, rows in zip(videos, counts, strict=True)}
    return replace(_as_score(counts.sum(axis=0)), videos=each)


def grid(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    t_evals: Iterable[float] = T_EVALS,
    t_nms: Iterable[float | None] = (None,),
    profile: str = "megc",
    allow_missing: bool = False,
    fps: Fps = DEFAULT_FPS,
) -> dict[tuple[float | None, float], Score]:
    """Score spotted intervals after non-maximum suppression for each threshold, at each `t_eval`.

    Parameters
    ----------
    t_nms : largest IoU that two spotted intervals of a kind may keep, as in `spot.nms`; None suppresses nothing.

    Returns
    -------
    dict
        (t_nms, t_eval) -> `score` of the intervals that are left, without the videos.

    Raises
    ------
    MetricError
        As `score`.
    """
    rule, t_evals = _rule(profile), tuple(t_evals)
    sides = _sides(truth, spotted, _videos(truth, spotted, allow_missing), fps)
    every = sides.spotted
    found = rivals(every.frames, every.group, every.score)
    scores = {}
    for most in t_nms:
        left = every if most is None else every.only(survivors(found, len(every.group), most))
        thinned = replace(sides, spotted=left)
        for t_eval in t_evals:
            scores[most, t_eval] = _as_score(rule(thinned, t_eval).sum(axis=0))
    return scores


def _rule(profile: str) -> Callable[[Sides, float], np.ndarray]:
    if profile not in PROFILES:
        raise MetricError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    return PROFILES[profile]


def _videos(truth: Mapping[str, object], spotted: Mapping[str, object], allow_missing: bool) -> list[str]:
    if not allow_missing:
        refuse_missing(truth, spotted)
    return sorted({*truth, *spotted})


def _sides(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    videos: Sequence[str],
    fps: Fps,
) -> Sides:
    true, found = (as_table(side, videos).in_order() for side in (truth, spotted))
    return Sides(true, found, len(videos), ME_LONGEST_S * _fps_of(videos, fps))


def _fps_of(videos: Sequence[str], fps: Fps) -> np.ndarray:
    """Return the frame rate of each video, (V,)."""
    if isinstance(fps, Mapping):
        unknown = [video for video in videos if video not in fps]
        if unknown:
            raise MetricError(f"the frame rate of video {unknown[0]} is not known")
        each = np.array([fps[video] for video in videos], dtype=float)
    else:
        each = np.full(len(videos), fps, dtype=float)
    if not (np.isfinite(each) & (each > 0)).all():
        raise MetricError(f"fps must be a positive number, got {each[~(each > 0) | np.isinf(each)][0]:g}")
    return each


def _as_score(counts: np.ndarray) -> Score:
    """Return the score of counts (2 or 3, 3 or 4): ME, MaE and, if there, overall."""
    kind = CountsApart if counts.shape[-1] == 4 else Counts
    parts = [kind(*map(int, row)) for row in counts]
    return Score(parts[0], parts[1], together=parts[2] if len(parts) > 2 else None)


def refuse_missing(truth: Mapping[str, object], spotted: Mapping[str, object]) -> None:
    """Raise a `MetricError` that names the videos that only one side knows."""
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
        pooled[groups[video]] = so_far + one
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


def of_part(intervals: Mapping[str, Sequence[Interval]], part: str) -> dict[str, list[Interval]]:
    """Return the intervals of "ME", "MaE" or "overall" (all) of each video; every video stays."""
    kinds = KINDS if part == "overall" else (part,)
    return {video: [span for span in spans if span.kind in kinds] for video, spans in intervals.items()}


def in_part(table: Table, part: str) -> np.ndarray:
    """Return which rows (N,) of a table belong to "ME", "MaE" or "overall" (all)."""
    kind = table.group % len(KINDS)
    return kind == KINDS.index(part) if part in KINDS else np.ones(len(kind), dtype=bool)


def average_precision(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    t_eval: float = 0.5,
    allow_missing: bool = False,
) -> dict[str, float | None]:
    """Return the area under precision over recall of "ME", "MaE" and "overall" while the demanded score is lowered.

    Spotted intervals choose in the order of their scores, each the free true interval of its kind with the largest
    IoU. Intervals of equal score enter together; precision at a recall is the best one at this or a higher recall.

    Returns
    -------
    dict
        None for a part whose spotted intervals all have the same score: they are not ranked. 0 without true ones.
    """
    sides = _sides(truth, spotted, _videos(truth, spotted, allow_missing), DEFAULT_FPS)
    pairs = greedy_matching(hits(sides.same_kind, t_eval), sides.spotted.score)
    hit = np.zeros(len(sides.spotted.group), dtype=bool)
    hit[pairs[:, 1]] = True
    areas = {}
    for part in PARTS:
        true, rows = in_part(sides.truth, part), in_part(sides.spotted, part)
        areas[part] = _area(sides.spotted.score[rows], hit[rows], int(true.sum()))
    return areas


def _area(score: np.ndarray, hit: np.ndarray, n_true: int) -> float | None:
    """Return the area under the precision-recall curve of scores (N,) and hits (N,), None without a ranking."""
    if len(np.unique(score)) < 2:
        return None
    order = np.argsort(-score, kind="stable")
    last = np.append(
        np.flatnonzero(np.diff(score[order])), len(order) - 1
    )  # where intervals of equal score end
    found = np.cumsum(hit[order])[last]
    precision = np.maximum.accumulate((found / (last + 1))[::-1])[::-1]
    return float(np.sum(np.diff(found, prepend=0) * precision) / max(n_true, 1))


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
    sides = as_table(truth, videos), as_table(spotted, videos)
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
    truth: Table,
    spotted: Table,
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
    many_spotted = Table(
        placed.reshape(-1, 2), (spotted.group + shift).ravel(), np.tile(spotted.score, draws)
    )
    many_true = Table(
        np.tile(truth.frames, (draws, 1)), (truth.group + shift).ravel(), np.tile(truth.score, draws)
    )
    pairs = largest_matching(hits(overlapping(many_true, many_spotted), t_eval))
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
    each = _as_array(counts)  # (S, 4)
    drawn = np.random.default_rng(seed).integers(0, len(each), size=(draws, len(each)))
    low, high = np.quantile(_f1(each[drawn].sum(axis=1)), [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """F1 of one method less that of another: as counted, its 95 % interval, and the share of draws above zero."""

    f1: float
    low: float
    high: float
    positive: float


def paired_bootstrap(
    first: Mapping[str, Counts], second: Mapping[str, Counts], draws: int = 2000, seed: int = 0
) -> Difference:
    """Return how sure the lead of the first method is: both are scored on the same resampled subjects.

    Parameters
    ----------
    first, second : the counts of each subject under both methods.

    Raises
    ------
    MetricError
        If the methods were not scored on the same subjects, or on none.
    """
    if set(first) != set(second) or not first:
        alone = ", ".join(sorted(set(first) ^ set(second))) or "none at all"
        raise MetricError(f"both methods must be scored on the same subjects; not shared: {alone}")
    subjects = sorted(first)
    each = np.stack(
        [_as_array([side[subject] for subject in subjects]) for side in (first, second)]
    )  # (2, S, 4)
    drawn = np.random.default_rng(seed).integers(0, len(subjects), size=(draws, len(subjects)))
    lead = np.subtract(*_f1(each[:, drawn].sum(axis=2)))  # (draws,)
    low, high = np.quantile(lead, [0.025, 0.975])
    observed = np.subtract(*_f1(each.sum(axis=1)))
    return Difference(float(observed), float(low), float(high), float((lead > 0).mean()))
