"""The plan of the expressions of one video: when, which muscles, how strong, on which side.

The time course of an expression is a half-cosine rise to the apex, for macro-expressions a hold, and a half-cosine
fall. Its first and last fifth cannot be seen by a human coder, so onset and offset are the first and last frame on
which the expression exceeds a tenth of its height, and drawn durations are durations of that visible part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mespot_lib.synthetic.chance import stream
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.geometry import SIDES
from mespot_lib.synthetic.muscles import AMPLITUDE_LIMIT_U, LIMIT_U, RELATIVE_STRENGTH

VISIBLE_HEIGHT = 0.1  # of the apex height
_HIDDEN = math.acos(1 - 2 * VISIBLE_HEIGHT) / math.pi  # share of a half-cosine below the visible height: .205

# weights of the combinations of action units, after the annotation of CAS(ME)^2 and SAMM-LV
ME_WEIGHTS = {
    ("4",): 35,
    ("12",): 16,
    ("1", "2"): 14,
    ("7",): 12,
    ("2",): 9,
    ("14",): 8,
    ("5",): 6,
    ("4", "7"): 5,
    ("1",): 4,
    ("24",): 4,
    ("15",): 3,
}
MAE_WEIGHTS = {
    ("12",): 26,
    ("4",): 24,
    ("6", "12"): 15,
    ("4", "7"): 10,
    ("14",): 10,
    ("1", "2"): 9,
    ("24",): 7,
    ("7",): 6,
    ("12", "14"): 5,
    ("15",): 5,
    ("9", "10"): 3,
}
ONE_SIDED = {"14": 0.5, "2": 0.3, "12": 0.3, "15": 0.2, "10": 0.2, "1": 0.1, "4": 0.1, "7": 0.1}
_NEIGHBOURS_SHARE = 0.75  # neighbouring muscles add their gradients, so each gets this share of its limit


@dataclass(frozen=True)
class PlannedEvent:
    """One expression and its exact truth; frames are 0-based and inclusive.

    Attributes
    ----------
    kind : "ME" or "MaE".
    onset, apex, offset : visible support (above a tenth of the apex height) and the frame of the apex.
    exact_onset, exact_offset : first and last frame on which the muscles are not at rest.
    aus : action units, as in ("6", "12").
    side : "B" both sides, else "L" or "R" half of the image.
    amplitude_u : largest displacement among its action units and sides, in u, before `expression_gain`.
    course_s : start, apex, end of hold and end of the time course, in seconds.
    peaks_u : amplitude of every (action unit, side).
    """

    kind: str
    onset: int
    apex: int
    offset: int
    exact_onset: int
    exact_offset: int
    aus: tuple[str, ...]
    side: str
    amplitude_u: float
    course_s: tuple[float, float, float, float]
    peaks_u: tuple[tuple[str, int, float], ...]


def plan_events(
    config: SyntheticConfig, seed: int, counts: dict[str, int] | None = None
) -> list[PlannedEvent]:
    """Plan the expressions of one video, in order of time.

    Parameters
    ----------
    seed : seed of the video.
    counts : number of expressions of each kind; drawn from the rates (negative binomial) where not given.

    Raises
    ------
    ValueError
        If the expressions asked for do not fit into the video.
    """
    rng = stream(seed, "events")
    if counts is None:
        counts = _draw_counts(config, rng)
    kinds = [kind for kind, number in counts.items() for _ in range(number)]
    rng.shuffle(kinds)
    shapes = _draw_fitting_shapes(config, kinds, rng)
    starts = _place(config, [sum(shape) for shape in shapes], rng)
    return [
        _draw_event(config, kind, start, shape, rng)
        for kind, start, shape in zip(kinds, starts, shapes, strict=True)
    ]


def time_course(time_s: np.ndarray, course_s: tuple[float, float, float, float]) -> np.ndarray:
    """Height in [0, 1] at the times: half-cosine rise from start to apex, hold, half-cosine fall to the end."""
    start, apex, hold_end, end = course_s
    rise = np.clip((time_s - start) / (apex - start), 0, 1)
    fall = np.clip((time_s - hold_end) / (end - hold_end), 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * rise)) * (0.5 + 0.5 * np.cos(np.pi * fall))


def _draw_counts(config: SyntheticConfig, rng: np.random.Generator) -> dict[str, int]:
    minutes = config.seconds_per_video / 60
    rates = {"ME": config.me_per_min, "MaE": config.mae_per_min}
    return {kind: int(rng.poisson(rate * minutes * rng.gamma(2.0) / 2.0)) for kind, rate in rates.items()}


def _draw_fitting_shapes(
    config: SyntheticConfig, kinds: Sequence[str], rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Draw (rise, hold, fall) in seconds of each expression, again and again until all fit together."""
    available = config.seconds_per_video - 2 * config.margin_s - config.gap_s * max(0, len(kinds) - 1)
    for _ in range(500):
        shapes = [_draw_shape(config, kind, rng) for kind in kinds]
        if sum(map(sum, shapes)) <= available:
            return shapes
    raise ValueError(
        f"{config.name!r}: {len(kinds)} expressions do not fit into {config.seconds_per_video:g} s of video"
    )


def _draw_shape(config: SyntheticConfig, kind: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Rise, hold and fall in seconds whose visible part has the duration drawn."""
    if kind == "ME":
        mean, deviation, least, most = config.me_seconds
        visible = float(np.clip(rng.normal(mean, deviation), least, most))
        rise = visible * float(rng.beta(8, 10))
        hold = 0.0
    else:
        median, log_deviation, least, most = config.mae_seconds
        visible = float(np.clip(median * np.exp(rng.normal(0, log_deviation)), least, most))
        rise = visible * float(rng.beta(5, 8))
        hold = (visible - rise) * float(rng.uniform(0, 0.5))
    fall = visible - rise - hold
    return rise / (1 - _HIDDEN), hold, fall / (1 - _HIDDEN)


def _place(config: SyntheticConfig, durations_s: list[float], rng: np.random.Generator) -> list[float]:
    """Start times that keep order, gaps and margins; the slack between them is shared out uniformly."""
    if not durations_s:
        return []
    fixed = sum(durations_s) + config.gap_s * (len(durations_s) - 1) + 2 * config.margin_s
    slack = np.sort(rng.uniform(0, config.seconds_per_video - fixed, len(durations_s)))
    taken = np.concatenate([[0], np.cumsum(np.array(durations_s[:-1]) + config.gap_s)])
    return (config.margin_s + slack + taken).tolist()


def _draw_event(
    config: SyntheticConfig,
    kind: str,
    start_s: float,
    shape: tuple[float, float, float],
    rng: np.random.Generator,
) -> PlannedEvent:
    rise, hold, fall = shape
    course = (start_s, start_s + rise, start_s + rise + hold, start_s + rise + hold + fall)
    weights = ME_WEIGHTS if kind == "ME" else MAE_WEIGHTS
    share = np.array(list(weights.values()), float)
    aus = list(weights)[rng.choice(len(weights), p=share / share.sum())]
    one_sided = rng.random() < max(ONE_SIDED.get(au, 0.0) for au in aus)
    sides = (SIDES[rng.integers(2)],) if one_sided else SIDES
    peaks = _draw_peaks(config, kind, aus, sides, rng)
    fps, visible_start, visible_end = config.fps, start_s + _HIDDEN * rise, course[3] - _HIDDEN * fall
    return PlannedEvent(
        kind=kind,
        onset=math.ceil(visible_start * fps),
        apex=round(course[1] * fps),
        offset=math.floor(visible_end * fps),
        exact_onset=math.ceil(start_s * fps),
        exact_offset=math.floor(course[3] * fps),
        aus=aus,
        side="B" if not one_sided else "L" if sides[0] < 0 else "R",
        amplitude_u=max(peak for _, _, peak in peaks),
        course_s=course,
        peaks_u=tuple(peaks),
    )


def _draw_peaks(
    config: SyntheticConfig, kind: str, aus: Sequence[str], sides: Sequence[int], rng: np.random.Generator
) -> list[tuple[str, int, float]]:
    """Amplitude in u of every action unit and side; the two sides are never quite equal."""
    median, log_deviation, least, most = config.me_amplitude_u if kind == "ME" else config.mae_amplitude_u
    strength = float(np.clip(median * np.exp(rng.normal(0, log_deviation)), least, most))
    peaks = []
    for au in aus:
        limit = AMPLITUDE_LIMIT_U.get(au, LIMIT_U) * (_NEIGHBOURS_SHARE if len(aus) > 1 else 1)
        relative = RELATIVE_STRENGTH.get(au, 1.0) if len(aus) > 1 else 1.0
        for side in sides:
            peaks.append((au, side, min(limit, strength * relative * float(rng.uniform(0.85, 1.0)))))
    return peaks
