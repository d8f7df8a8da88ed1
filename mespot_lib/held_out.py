"""Videos spotted by what was fitted on other people: leave one subject out, and one dataset for another.

    spotted = leave_one_subject_out(manifest, lambda train: mesnet.fit(train, config, seed))

A method's `fit` is given the training videos and nothing else.
"""

from collections.abc import Callable
from typing import Any, Protocol

from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, Video, loso_folds


class Fitted(Protocol):
    """What the `fit` of every method returns."""

    def score(self, video: Video) -> Any:
        """Return the scores of a video: curves or proposals, before any threshold."""

    def spot(self, scores: Any) -> list[Interval]:
        """Return the intervals in these scores, with thresholds of the training subjects."""


Fit = Callable[[Manifest], Fitted]


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


def _spot(fitted: Fitted, manifest: Manifest) -> dict[str, list[Interval]]:
    return {uid: fitted.spot(fitted.score(manifest.video(uid))) for uid in manifest.uids}
