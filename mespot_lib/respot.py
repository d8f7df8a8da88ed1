"""Finished folds spotted again with other settings, from the scores they stored: nothing is measured, nothing trained.

    scores.npz, settings of result.json  ->  Fold  ->  changes  ->  the method's own `spot_stored`  ->  metrics.score

Every method's module has a function `spot_stored(stored, fps, settings)` from what a run stores of a video to its
intervals, and `PRINTED_SETTINGS`, what its paper prints of the settings. With a fold's own settings the intervals are
those of its spotted.csv; a fold of which that is not so is refused.

*Changes* are settings by name that take the place of those of each fold. What is chosen with the truth in view, by hand
or by `oracle`, is no result: it says what a method could reach if it knew the answers.
"""

import importlib.util
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mespot_lib import metrics
from mespot_lib.curves import Curves
from mespot_lib.evaluation import KnownVideo
from mespot_lib.interval import Interval, iou
from mespot_lib.manifest import Manifest
from mespot_lib.mistakes import mistakes
from mespot_lib.runs import Result, Run

Changes = Mapping[str, Any]


class RespotError(ValueError):
    """A stored fold that cannot be spotted again. The message says which, why, and what to do about it."""


class Control(NamedTuple):
    """One setting a reader may change.

    label : with unit; values : those offered, in order; meaning : one sentence; numeric : whether it can be swept
    """

    label: str
    values: tuple[Any, ...]
    meaning: str

    @property
    def numeric(self) -> bool:
        """Return whether the values lie on a scale; others are a choice between words."""
        return not isinstance(self.values[0], str | bool)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the values as they are shown; None sets no limit."""
        return tuple("any" if v is None else f"{v:g}" if self.numeric else str(v) for v in self.values)


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    return tuple(np.arange(first, last + step / 2, step).round(4).tolist())


_U = (*_steps(0.2, 0.9, 0.05), *_steps(1.0, 2.0, 0.1), 2.25, 2.5, 2.75, 3.0, 3.2)
_P = _steps(0.05, 0.95, 0.05)
_LIMITS = _steps(0.05, 0.95, 0.025)
_SHARES = _steps(0.0, 1.0, 0.05)
_PROBABLE = (*_steps(0.1, 0.9, 0.05), 0.93, 0.95, 0.97, 0.98, 0.99)
_WEIGHTS = tuple(np.geomspace(0.003, 3, 16).round(4).tolist())
_NMS = "of two that share more than this, the weaker one goes; 0 leaves nothing that overlaps, 1 leaves everything"

T_EVAL = Control(
    "T_eval",
    _steps(0.05, 0.95, 0.05),
    "smallest IoU of a hit; a rule of the scoring, no setting of the method",
)
CONTROLS = {
    "threshold_me_u": Control("threshold ME, u", _U, "least height of the motion of a micro-expression"),
    "threshold_mae_u": Control("threshold MaE, u", _U, "least height of the motion of a macro-expression"),
    "t_cpn": Control("T_CPN", _PROBABLE, "least probability by the first stage"),
    "t_crn": Control("T_CRN", _PROBABLE, "least probability by the second stage"),
    "stage": Control("stages", ("crn", "cpn"), "crn: both stages; cpn: the first one alone"),
    "limits": Control("decide by", ("f1", "top"), "f1: a limit for each kind; top: the most probable share"),
    "limit_me": Control("limit ME", _LIMITS, "least probability of a micro-expression (with limits f1)"),
    "limit_mae": Control("limit MaE", _LIMITS, "least probability of a macro-expression (with limits f1)"),
    "top_threshold": Control(
        "top_threshold", _steps(0.05, 1.0, 0.05), "share that is kept (with limits top)"
    ),
    "me_extent": Control("p ME, extent", _P, "how high the ME curve must be for a frame to belong to a run"),
    "me_peak": Control("p ME, peak", _P, "how high the ME curve must get somewhere in a run"),
    "mae_extent": Control(
        "p MaE, extent", _P, "how high the MaE curve must be for a frame to belong to a run"
    ),
    "mae_peak": Control("p MaE, peak", _P, "how high the MaE curve must get somewhere in a run"),
    "weight_me": Control(
        "weight ME", _WEIGHTS, "what the probability of ME is multiplied with; 1 is the argmax"
    ),
    "weight_mae": Control(
        "weight MaE", _WEIGHTS, "what the probability of MaE is multiplied with; 1 is the argmax"
    ),
    "post": Control(
        "post-processing",
        ("raw", "merging", "duration"),
        "runs of equal labels; merged; or typed by duration",
    ),
    "gap_s": Control(
        "merge gap, s", (0.0, 0.05, *_steps(0.1, 1.0, 0.1)), "what is bridged (with post merging)"
    ),
    "t_nms": Control("T_nms", _SHARES, _NMS),
    "combine": Control("overlaps", ("strongest", "union"), "keep the strongest, or join them"),
    "train_s": Control(
        "train, s", _steps(0.1, 1.5, 0.1), "peaks of the mouth closer than this are one train"
    ),
    "train_peaks": Control(
        "train, peaks", (2, 3, 4, 5, 6, 8, 10, 10**6), "so many in a train are no expressions"
    ),
    "low_pass_hz": Control(
        "smoothing, Hz",
        (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
        "the low-pass filter passes what is slower",
    ),
    "normalise": Control("normalise", (False, True), "whether the curves of each video are brought to 0..1"),
    "me_shortest_s": Control("shortest ME, s", _steps(0.0, 0.5, 0.05), "shorter runs are dropped"),
    "me_longest_s": Control("longest ME, s", (*_steps(0.2, 1.5, 0.1), None), "longer runs are dropped"),
    "mae_shortest_s": Control("shortest MaE, s", _steps(0.0, 2.0, 0.1), "shorter runs are dropped"),
    "mae_longest_s": Control("longest MaE, s", (*_steps(1.0, 8.0, 0.5), None), "longer runs are dropped"),
    "shortest_s": Control("minimum length, s", _steps(0.0, 0.6, 0.05), "shorter intervals are dropped"),
}  # in the order in which they are shown


@dataclass(frozen=True)
class Fold:
    """A fold as it was scored: who was held out, the truth, the scores and settings that gave its intervals.

    scores : of each video, as `runs.store_result` was given them; settings : as the method's `Fitted.settings`
    """

    run: Run
    videos: Mapping[str, KnownVideo]
    truth: Mapping[str, Sequence[Interval]]
    scores: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]
    synthetic: bool
    selection: str = "honest"
    evaluation: str = "megc"
    t_eval: float = 0.5


def read_fold(result: Result) -> Fold:
    """Return the fold of a finished run, ready to be spotted again.

    Raises
    ------
    RespotError
        If the run has stored no scores or no settings to spot with, if they are damaged, or if they do not give the
        intervals of its spotted.csv.
    """
    record = result.record
    run = Run(**{name: record[name] for name in ("method", "dataset", "fold", "profile", "seed")})
    if not record["settings"].get("spot"):
        raise RespotError(f"{run}: stored without the settings it spotted with. {_anew(run)}")
    try:
        scores = result.scores()
    except FileNotFoundError:
        raise RespotError(f"{run}: scores.npz is missing. {_anew(run)}") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RespotError(f"{run}: scores.npz cannot be read ({error}). {_anew(run)}") from None
    missing = sorted(set(result.truth) - set(scores))
    if missing:
        raise RespotError(f"{run}: scores.npz has nothing of {', '.join(missing[:3])}. {_anew(run)}")
    facts = {v["video"]: KnownVideo(v["subject"], v["frames"], v["fps"]) for v in record["videos"]}
    fold = Fold(
        run,
        facts,
        result.truth,
        scores,
        record["settings"]["spot"],
        record["synthetic"],
        record["selection"],
        record["evaluation"],
        record["t_eval"],
    )
    _refuse_others(fold, result.spotted)
    return fold


def fold_of(
    manifest: Manifest, scores: Mapping[str, np.ndarray], settings: Mapping[str, Any], run: Run
) -> Fold:
    """Return a fold that has been scored just now, from what `runs.store_result` is given."""
    videos = {uid: manifest.video(uid) for uid in scores}
    facts = {uid: KnownVideo(video.subject, video.length, video.fps) for uid, video in videos.items()}
    truth = {uid: manifest.truth(uid) for uid in scores}
    return Fold(run, facts, truth, scores, settings, any(video.synthetic for video in videos.values()))


def _anew(run: Run) -> str:
    where = f"--methods {run.method} --datasets {run.dataset} --folds {run.fold}"
    return f"Run it again: mespot sweep {where}"


def _refuse_others(fold: Fold, spotted: Mapping[str, Sequence[Interval]]) -> None:
    try:
        again = spot_again([fold], {})
    except RespotError:
        raise
    except (ValueError, LookupError, TypeError) as error:
        reason = f"its scores or settings are not those of this version of the method ({error})"
        raise RespotError(f"{fold.run}: {reason}. {_anew(fold.run)}") from None
    if {uid: sorted(spans) for uid, spans in again.items()} != {u: sorted(s) for u, s in spotted.items()}:
        reason = "its scores and settings no longer give its spotted.csv, so it is of another version of the method"
        raise RespotError(f"{fold.run}: {reason}. {_anew(fold.run)}")


# ---------------------------------------------------------------------------------------------------------------------
# What can be changed


def controls(folds: Sequence[Fold]) -> dict[str, Control]:
    """Return the settings of a method that can be changed, each with its folds' own values among those offered."""
    slowest = min((facts.fps for facts in facts_of(folds).values()), default=np.inf)
    found = {}
    for name, control in CONTROLS.items():
        if name not in folds[0].settings:
            continue
        if control.numeric:
            values = {*control.values, *(fold.settings[name] for fold in folds)}
            numbers = sorted(values - {None})
            if name == "low_pass_hz":  # a filter must be slower than half the frame rate
                numbers = [value for value in numbers if value < slowest / 2]
            control = control._replace(values=(*numbers, *({None} & values)))
        found[name] = control
    return found


def settings_table(folds: Sequence[Fold]) -> pd.DataFrame:
    """Return the settings that can be changed: what each fold has chosen, what the paper prints, what they mean."""
    paper, rows = printed(folds[0].run.method), {}
    for name, control in controls(folds).items():
        values = dict.fromkeys(fold.settings[name] for fold in folds)
        rows[name] = {
            "label": control.label,
            "folds": ", ".join(map(str, values)),
            "paper": str(paper[name]) if name in paper else "",
            "meaning": control.meaning,
        }
    return pd.DataFrame(rows).T


def own_value(folds: Sequence[Fold], name: str) -> Any:
    """Return the value of a setting that all folds share; of different numbers the median, of words the first."""
    values = [fold.settings[name] for fold in folds]
    if len(set(values)) == 1 or not all(isinstance(value, int | float) for value in values):
        return values[0]
    return sorted(values)[len(values) // 2]


def printed(method: str) -> dict[str, Any]:
    """Return what the paper of a method prints of its settings; empty if nothing."""
    return dict(_module(method).PRINTED_SETTINGS)


def _module(method: str) -> ModuleType:
    name = f"mespot_lib.methods.{method}"
    if not (method.isidentifier() and importlib.util.find_spec(name)):
        raise RespotError(f"{method}: there is no such method, so its scores cannot be spotted again")
    module = importlib.import_module(name)
    if not hasattr(module, "spot_stored"):
        raise RespotError(f"{method}: this method has no way from stored scores to intervals")
    return module


# ---------------------------------------------------------------------------------------------------------------------
# Spotting and scoring again


def spot_again(folds: Sequence[Fold], changes: Changes) -> dict[str, list[Interval]]:
    """Return the intervals of all videos of all folds, each fold with its own settings and the changes."""
    spotted = {}
    for fold in folds:
        spot_stored = _module(fold.run.method).spot_stored
        settings = {**fold.settings, **changes}
        for uid, facts in fold.videos.items():
            spotted[uid] = spot_stored(fold.scores[uid], facts.fps, settings)
    return spotted


def truth_of(folds: Sequence[Fold]) -> dict[str, Sequence[Interval]]:
    """Return the truth of all videos of all folds."""
    return {uid: spans for fold in folds for uid, spans in fold.truth.items()}


def facts_of(folds: Sequence[Fold]) -> dict[str, KnownVideo]:
    """Return what is known of all videos of all folds."""
    return {uid: facts for fold in folds for uid, facts in fold.videos.items()}


def score_again(
    folds: Sequence[Fold], spotted: Mapping[str, Sequence[Interval]], t_eval: float
) -> metrics.Score:
    """Return the counts of spotted intervals by the rule the folds were counted with, pooled over them."""
    rates = {uid: facts.fps for uid, facts in facts_of(folds).items()}
    return metrics.score(truth_of(folds), spotted, t_eval, folds[0].evaluation, fps=rates)


def errors_ms(folds: Sequence[Fold], spotted: Mapping[str, Sequence[Interval]], t_eval: float) -> np.ndarray:
    """Return how late onset and offset of each hit are, (P, 2) in ms."""
    rates = {uid: facts.fps for uid, facts in facts_of(folds).items()}
    return metrics.boundary_errors_ms(truth_of(folds), spotted, rates, t_eval)


def sweep(
    folds: Sequence[Fold], changes: Changes, name: str, values: Sequence[Any], t_eval: float
) -> Iterator[metrics.Score]:
    """Yield the counts for each value of one setting, or of "t_eval", all else as it is."""
    if name == "t_eval":
        spotted = spot_again(folds, changes)
        yield from (score_again(folds, spotted, value) for value in values)
    else:
        for value in values:
            yield score_again(folds, spot_again(folds, {**changes, name: value}), t_eval)


def oracle(
    folds: Sequence[Fold], t_eval: float, part: str = "overall", rounds: int = 2
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield better and better changes with their F1 of a part, chosen on the very truth they are scored with.

    One setting after the other is set to its best value, in rounds; every step is yielded, so that a page stays alive.
    Nothing of this is a result.
    """
    best: dict[str, Any] = {}
    best_f1 = score_again(folds, spot_again(folds, best), t_eval)[part].f1
    for _ in range(rounds):
        for name, control in controls(folds).items():
            for value in control.values:
                changes = {**best, name: value}
                f1 = score_again(folds, spot_again(folds, changes), t_eval)[part].f1
                if f1 > best_f1:
                    best, best_f1 = changes, f1
                yield best, best_f1


# ---------------------------------------------------------------------------------------------------------------------
# What is seen of one video


class Bar(NamedTuple):
    """An interval of a video: from which side, what became of it, and by `mistakes` how it is wrong.

    side : "truth" or "spotted"; outcome : "hit", "missed", "false alarm" or "wrong type"
    partner : the interval it was matched to, None without a hit
    """

    interval: Interval
    side: str
    outcome: str
    label: str
    partner: Interval | None = None


def bars(truth: Sequence[Interval], spotted: Sequence[Interval], t_eval: float) -> list[Bar]:
    """Return all intervals of a video with their outcome under profile `megc`, in order of time."""
    truth, spotted = sorted(truth), sorted(spotted)  # as `mistakes` does: the same pairs of equally good ones
    wrong = {(one.side, one.interval): one.label for one in mistakes({"": truth}, {"": spotted}, t_eval)}
    pairs = [(truth[t], spotted[s]) for t, s in metrics.match(truth, spotted, t_eval)]
    partner = {("truth", t): s for t, s in pairs} | {("spotted", s): t for t, s in pairs}
    found = []
    for side, spans in (("truth", truth), ("spotted", spotted)):
        other = "missed" if side == "truth" else "false alarm"
        for span in spans:
            label = wrong.get((side, span), "hit")
            outcome = label if label in ("hit", "wrong type") else other
            found.append(Bar(span, side, outcome, label, partner.get((side, span))))
    return sorted(found, key=lambda bar: (bar.interval, bar.side))


def says(bar: Bar, fps: float) -> str:
    """Return a bar in words: kind, frames, seconds, outcome and, for a hit, how well the ends are placed."""
    span = bar.interval
    seconds = f"{span.onset / fps:.2f} s, {span.length / fps:.2f} s long"
    words = f"{bar.side} {span.kind}, frames {span.onset} to {span.offset} ({seconds})"
    if bar.side == "spotted":
        words += f", score {span.score:.3g}"
    if bar.partner is None:
        return f"{words}: {bar.outcome}" + (f" ({bar.label})" if bar.label != bar.outcome else "")
    true, spotted = (bar.partner, span) if bar.side == "spotted" else (span, bar.partner)
    late = [1000 * (getattr(spotted, end) - getattr(true, end)) / fps for end in ("onset", "offset")]
    return f"{words}: hit, IoU {iou(true, spotted):.2f}, onset {late[0]:+.0f} ms, offset {late[1]:+.0f} ms"


def scores_of_video(fold: Fold, uid: str, changes: Changes) -> Curves | list[Interval]:
    """Return what a method has stored of a video: its curves as they are thresholded, or its proposals."""
    module, settings = _module(fold.run.method), {**fold.settings, **changes}
    if hasattr(module, "stored_curves"):
        return module.stored_curves(fold.scores[uid], fold.videos[uid].fps, settings)
    return module.stored_proposals(fold.scores[uid], settings)


class Level(NamedTuple):
    """A threshold that can be drawn across the scores."""

    name: str
    kind: str
    value: float


def levels(fold: Fold, changes: Changes) -> list[Level]:
    """Return the thresholds of a fold that are compared with its scores."""
    settings = {**fold.settings, **changes}
    names = [name for name in _LEVELS if name in settings]
    if "stage" in settings:
        names = [f"t_{settings['stage']}"]
    if settings.get("limits") == "top":
        names = []
    return [Level(CONTROLS[name].label, _LEVELS[name], settings[name]) for name in names]


_LEVELS = {
    **dict.fromkeys(("threshold_me_u", "limit_me", "me_extent", "me_peak", "t_cpn", "t_crn"), "ME"),
    **dict.fromkeys(("threshold_mae_u", "limit_mae", "mae_extent", "mae_peak"), "MaE"),
}
