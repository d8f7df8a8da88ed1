"""In which way intervals are wrong: one label for every false positive and every false negative.

Counts are those of profile `megc`; the labels say what to work on. The first that fits is taken:

    label         a spotted interval that is a false positive ...     a true interval that is a false negative ...
    duplicate     hits, or lies mostly inside, a true one that is     -
                  found already
    wrong type    hits a true one of the other kind                   is hit by a spotted one of the other kind
    merged        covers most of two or more true ones                is covered together with others, or hit by one
                                                                      that is matched to another
    split         is one of several that lie mostly inside a true     several spotted ones lie mostly inside it
    shifted       is no more than displaced: the lengths alone would allow a hit
    too long      is too long for a hit with the one it overlaps most (for a true interval: the spotted one is)
    too short     is too short for it
    false alarm   shares no frame with a true one of its kind         -
    missed        -                                                   shares no frame with a spotted one of its kind

"Mostly" is at least half of the frames.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mespot_lib.interval import KINDS, Interval, as_array, iou_matrix, overlaps
from mespot_lib.metrics import match, refuse_missing
from mespot_lib.profiles import as_table, hits, overlapping

_BOTH = ("wrong type", "merged", "split", "shifted", "too long", "too short")
LABELS = {"spotted": ("duplicate", *_BOTH, "false alarm"), "truth": (*_BOTH, "missed")}


class Mistake(NamedTuple):
    """An interval that is wrong: its video, whether it is "spotted" (FP) or "truth" (FN), and in which way."""

    video: str
    side: str
    label: str
    interval: Interval


def mistakes(
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    t_eval: float = 0.5,
    allow_missing: bool = False,
) -> list[Mistake]:
    """Return every false positive and false negative with its label, by video and in order of time.

    Raises
    ------
    MetricError
        As `metrics.score`.
    """
    if not allow_missing:
        refuse_missing(truth, spotted)
    videos = sorted({*truth, *spotted})
    return [found for video in videos for found in _of_video(video, truth, spotted, t_eval)]


def tally(found: Iterable[Mistake]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of mistakes by kind ("ME", "MaE"), side ("spotted", "truth") and label, zeros included."""
    times = Counter((one.interval.kind, one.side, one.label) for one in found)
    return {
        kind: {side: {label: times[kind, side, label] for label in labels} for side, labels in LABELS.items()}
        for kind in KINDS
    }


class _Relations(NamedTuple):
    """How true (T) and spotted (S) intervals of one video stand to each other."""

    truth: Sequence[Interval]
    spotted: Sequence[Interval]
    iou: np.ndarray  # (T, S) float64, 0 where the kinds differ
    hit: np.ndarray  # (T, S) bool, of one kind
    hit_other: np.ndarray  # (T, S) bool, of different kinds
    t_in_s: np.ndarray  # (T, S) bool: the true one lies mostly inside the spotted one of its kind
    s_in_t: np.ndarray  # (T, S) bool
    found: np.ndarray  # (T,) bool
    t_eval: float


def _of_video(
    video: str,
    truth: Mapping[str, Sequence[Interval]],
    spotted: Mapping[str, Sequence[Interval]],
    t_eval: float,
) -> list[Mistake]:
    true, wrong = sorted(truth.get(video, ())), sorted(spotted.get(video, ()))
    pairs = match(true, wrong, t_eval)
    relations = _relate(true, wrong, [t for t, _ in pairs], t_eval)
    missed = sorted(set(range(len(true))) - {t for t, _ in pairs})
    extra = sorted(set(range(len(wrong))) - {s for _, s in pairs})
    return sorted(
        [Mistake(video, "spotted", _label_spotted(s, relations), wrong[s]) for s in extra]
        + [Mistake(video, "truth", _label_true(t, relations), true[t]) for t in missed],
        key=lambda one: (one.interval, one.side),
    )


def _relate(
    truth: Sequence[Interval], spotted: Sequence[Interval], found: Sequence[int], t_eval: float
) -> _Relations:
    same = np.array([[t.kind == s.kind for s in spotted] for t in truth], dtype=bool)
    same = same.reshape(len(truth), len(spotted))
    shared, _ = overlaps(as_array(truth)[:, None], as_array(spotted)[None, :])
    tables = (as_table({"": side}, ("",)).by_video() for side in (truth, spotted))
    pairs = hits(overlapping(*tables), t_eval)
    hit = np.zeros(same.shape, dtype=bool)
    hit[pairs.t, pairs.s] = True
    t_length = np.array([span.length for span in truth], dtype=np.int64)[:, None]
    s_length = np.array([span.length for span in spotted], dtype=np.int64)[None, :]
    is_found = np.zeros(len(truth), dtype=bool)
    is_found[list(found)] = True
    return _Relations(
        truth,
        spotted,
        iou=np.where(same, iou_matrix(truth, spotted), 0.0),
        hit=hit & same,
        hit_other=hit & ~same,
        t_in_s=same & (2 * shared >= t_length),
        s_in_t=same & (2 * shared >= s_length),
        found=is_found,
        t_eval=t_eval,
    )


def _label_spotted(s: int, r: _Relations) -> str:
    if (r.hit[:, s] | (r.s_in_t[:, s] & r.found)).any():
        return "duplicate"
    if r.hit_other[:, s].any():
        return "wrong type"
    if r.t_in_s[:, s].sum() > 1:
        return "merged"
    if (r.s_in_t[r.s_in_t[:, s]].sum(axis=1) > 1).any():
        return "split"
    if not r.iou[:, s].any():
        return "false alarm"
    return _misfit(r.truth[int(np.argmax(r.iou[:, s]))], r.spotted[s], r.t_eval)


def _label_true(t: int, r: _Relations) -> str:
    if r.hit_other[t].any():
        return "wrong type"
    if r.hit[t].any() or (r.t_in_s[:, r.t_in_s[t]].sum(axis=0) > 1).any():
        return "merged"
    if r.s_in_t[t].sum() > 1:
        return "split"
    if not r.iou[t].any():
        return "missed"
    return _misfit(r.truth[t], r.spotted[int(np.argmax(r.iou[t]))], r.t_eval)


def _misfit(true: Interval, spotted: Interval, t_eval: float) -> str:
    if min(true.length, spotted.length) >= t_eval * max(true.length, spotted.length):
        return "shifted"
    return "too long" if spotted.length > true.length else "too short"
