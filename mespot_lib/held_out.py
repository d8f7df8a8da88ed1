"""Videos spotted by what was fitted on other people: leave one subject out, and one dataset for another.

    spotted = leave_one_subject_out(manifest, lambda train: mesnet.fit(train, config, seed))

A method's `fit` is given the training videos and nothing else. A fit that does no more than try thresholds tries each
pair on every video once (`trials`), and chooses for each fold by its training videos alone.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from mespot_lib import metrics
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, Video, loso_folds


class Fitted(Protocol):
    """What the `fit` of every method returns."""

    def score(self, video: Video) -> Any:
        """Return the scores of a video: curves or proposals, before any threshold."""

    def spot(self, scores: Any) -> list[Interval]:
        """Return the intervals in these scores, with thresholds of the training subjects."""


Fit = Callable[[Manifest], Fitted]
Pair = dict[str, float]  # a threshold for each kind
Scores = TypeVar("Scores")


def leave_one_subject_out(
    manifest: Manifest, fit: Fit, folds: int | None = None
) -> dict[str, list[Interval]]:
    """Spot every video with what was fitted on the other subjects; `folds` takes the first so many only."""
    spotted: dict[str, list[Interval]] = {}
    for fold in loso_folds(manifest)[:folds]:
        spotted |= _spot(fit(manifest.only(fold.train)), manifest.only(fold.test))
    return spotted


def spot_across(train: Manifest, test: Manifest, fit: Fit) -> dict[str, list[Interval]]:
    """Fit on one dataset and spot another, as the papers do for the challenges' unseen sets; frame rates may differ."""
    return _spot(fit(train), test)


def pairs(tried: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Return every pair of thresholds that is to be tried, of those of each kind; those of the last kind vary first."""
    return [dict(zip(KINDS, pair, strict=True)) for pair in itertools.product(*(tried[k] for k in KINDS))]


def trials(
    manifest: Manifest,
    scores: Mapping[str, Scores],
    tried: Mapping[str, Sequence[float]],
    spot: Callable[[Scores, Pair], list[Interval]],
) -> list[metrics.Score]:
    """Return what becomes of the scores of some videos with each of the `pairs` of thresholds.

    Each score has the counts of every video, so that a choice on some of the videos needs no second trial.
    """
    truth = {uid: manifest.truth(uid) for uid in scores}
    return [
        metrics.score(truth, {uid: spot(one, pair) for uid, one in scores.items()}) for pair in pairs(tried)
    ]


def _spot(fitted: Fitted, manifest: Manifest) -> dict[str, list[Interval]]:
    return {uid: fitted.spot(fitted.score(manifest.video(uid))) for uid in manifest.uids}
