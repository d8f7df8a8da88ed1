"""Everything that moves or changes in a video and is not a labelled expression.

Each function draws one kind of it from its own stream and returns arrays over the frames of the video.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from mespot_lib.synthetic.chance import stream
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.events import time_course

RESTING_UNITS = ("1", "2", "4", "12", "17", "24")


class Span(NamedTuple):
    """A named stretch of time in seconds."""

    name: str
    start_s: float
    end_s: float


def frame_times(config: SyntheticConfig) -> np.ndarray:
    """Times of the frames in seconds (T,)."""
    return np.arange(config.frames_per_video) / config.fps


def rest_activity(config: SyntheticConfig, seed: int) -> np.ndarray:
    """Amplitudes (T, 2 * len(RESTING_UNITS)) in u of the muscles at rest: left, right of each in turn."""
    rng = stream(seed, "rest")
    return config.rest_u * _wander(rng, config, 1.2, 2 * len(RESTING_UNITS), smooth_s=0.08)


def blinks(config: SyntheticConfig, seed: int) -> tuple[np.ndarray, np.ndarray, list[Span]]:
    """Closure (T,) in [0, 1], strength (T,) in u of the muscles that help, and the spans of the blinks."""
    rng = stream(seed, "blinks")
    time_s = frame_times(config)
    closure, helpers = np.zeros_like(time_s), np.zeros_like(time_s)
    spans: list[Span] = []
    if config.blinks_per_min <= 0:
        return closure, helpers, spans
    pause_s = 60 / config.blinks_per_min
    start = rng.gamma(1.5, pause_s / 1.5)
    while start < config.seconds_per_video - 0.4:
        closing, shut, opening = rng.uniform(0.06, 0.11), rng.uniform(0.01, 0.06), rng.uniform(0.12, 0.24)
        depth = 1.0 if rng.random() < 0.55 else rng.uniform(0.35, 0.9)  # about half of all blinks are partial
        end = start + closing + shut + opening
        frames = slice(*np.searchsorted(time_s, (start, end)))
        course = depth * time_course(time_s[frames], (start, start + closing, start + closing + shut, end))
        closure[frames] = np.maximum(closure[frames], course)
        helpers[frames] += rng.uniform(0.2, 0.7) * course
        spans.append(Span("blink", start, end))
        start += 0.35 + rng.gamma(1.5, pause_s / 1.5)
    return closure, helpers, spans


def gaze(config: SyntheticConfig, seed: int) -> np.ndarray:
    """Shift of the irises (T, 2) in u: fixations with saccades of 45 ms between them, and jitter."""
    rng = stream(seed, "gaze")
    time_s = frame_times(config)
    now_s, knots_s, places = 0.0, [0.0], [np.zeros(2)]
    while config.fixations_per_s > 0 and now_s < config.seconds_per_video:
        now_s += 0.2 + rng.gamma(1.5, 1 / config.fixations_per_s / 1.5)
        knots_s += [now_s, now_s + 0.045]
        places += [places[-1], rng.normal(0, (2.6, 1.3)).clip((-6, -3), (6, 3))]
    path = np.stack([np.interp(time_s, knots_s, across) for across in np.transpose(places)], 1)
    return path + 0.08 * _wander(rng, config, 0.5, 2)


class Distraction(NamedTuple):
    """Unlabelled mouth movements: opening (T,) u, and the muscles of swallowing and of speech (T,) u."""

    mouth: np.ndarray
    swallow: np.ndarray
    speech: np.ndarray
    spans: list[Span]


def distractors(config: SyntheticConfig, seed: int) -> Distraction:
    """Swallowing (chin and lips) and short talking."""
    rng = stream(seed, "distractors")
    time_s = frame_times(config)
    length_s = config.seconds_per_video
    mouth, swallow, speech, spans = np.zeros_like(time_s), np.zeros_like(time_s), np.zeros_like(time_s), []
    for _ in range(rng.poisson(config.swallows_per_min * length_s / 60)):
        start, duration = rng.uniform(0.3, length_s - 1.2), rng.uniform(0.5, 0.9)
        course = (start, start + 0.4 * duration, start + 0.5 * duration, start + duration)
        swallow += rng.uniform(0.6, 1.8) * time_course(time_s, course)
        spans.append(Span("swallow", start, start + duration))
    for _ in range(rng.poisson(config.talks_per_min * length_s / 60)):
        duration = rng.uniform(0.8, min(2.5, length_s - 0.7))
        start = rng.uniform(0.3, length_s - duration - 0.3)
        envelope = time_course(time_s, (start, start + 0.2, start + duration - 0.2, start + duration))
        rhythm_hz = 4 + 0.8 * _wander(rng, config, 0.3, 1)[:, 0]
        phase = np.cumsum(2 * np.pi * rhythm_hz / config.fps)
        mouth = np.maximum(mouth, envelope * rng.uniform(3, 8) * (0.5 - 0.5 * np.cos(phase)))
        speech += 0.6 * envelope * _wander(rng, config, 0.15, 1, smooth_s=0.08)[:, 0].clip(-2.5, 2.5)
        spans.append(Span("talk", start, start + duration))
    return Distraction(mouth, swallow, speech, spans)


class Head(NamedTuple):
    """Pose of the head over time, each (T,): shift in u, roll in rad, relative size, yaw and pitch in rad."""

    x: np.ndarray
    y: np.ndarray
    roll: np.ndarray
    size: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    spans: list[Span]


def head(config: SyntheticConfig, seed: int) -> Head:
    """Slow drift, tremor, and nods or changes of posture."""
    rng = stream(seed, "head")
    time_s = frame_times(config)
    drift = _wander(rng, config, 4.0, 6, smooth_s=0.25)
    tremor = 0.05 * _wander(rng, config, 0.05, 2, smooth_s=0.03)
    x = config.drift_u * drift[:, 0] + tremor[:, 0]
    y = config.drift_u * drift[:, 1] + tremor[:, 1]
    roll, size = config.roll_rad * drift[:, 2], 1 + config.zoom * drift[:, 3]
    yaw, pitch = config.turn_rad * drift[:, 4], config.turn_rad * drift[:, 5]
    spans = []
    for _ in range(rng.poisson(config.nods_per_min * config.seconds_per_video / 60)):
        span, course, direction = _nod(rng, config, time_s)
        turn = rng.uniform(0.2, 1.2, 2) * 0.006  # rad per u of shift
        lean = 0.0015 * rng.normal()
        x, y = x + np.cos(direction) * course, y + np.sin(direction) * course
        yaw, pitch = yaw + turn[0] * np.cos(direction) * course, pitch + turn[1] * np.sin(direction) * course
        roll = roll + lean * course
        spans.append(span)
    return Head(x, y, roll, size, yaw, pitch, spans)


def _nod(
    rng: np.random.Generator, config: SyntheticConfig, time_s: np.ndarray
) -> tuple[Span, np.ndarray, float]:
    """When the head nods or takes a new posture, how far it has gone (T,) in u, and in which direction (rad)."""
    start, duration = rng.uniform(0.3, config.seconds_per_video - 1.5), rng.uniform(0.3, 1.0)
    reach, direction = np.exp(rng.uniform(*np.log(config.nod_u))), rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:  # there and back
        middle = start + duration / 2
        course = reach * time_course(time_s, (start, middle, middle, start + duration))
    else:  # a new posture: a smaller shift that stays
        share = np.clip((time_s - start) / duration, 0, 1)
        course = 0.6 * reach * (0.5 - 0.5 * np.cos(np.pi * share))
    return Span("nod", start, start + duration), course, direction


def light(config: SyntheticConfig, seed: int) -> np.ndarray:
    """Relative brightness (T,): beat of the mains against the camera plus slow drift."""
    rng = stream(seed, "light")
    beat = np.sin(2 * np.pi * rng.uniform(0.3, 8) * frame_times(config) + rng.uniform(0, 2 * np.pi))
    return 1 + config.flicker * (0.7 * beat + _wander(rng, config, 2.0, 1, smooth_s=0.1)[:, 0])


def _wander(
    rng: np.random.Generator, config: SyntheticConfig, memory_s: float, columns: int, smooth_s: float = 0.0
) -> np.ndarray:
    """Stationary Ornstein-Uhlenbeck paths (T, columns) of unit variance, optionally smoothed."""
    decay = np.exp(-1 / (config.fps * memory_s))
    steps = rng.normal(0, 1, (config.frames_per_video, columns))
    steps[1:] *= np.sqrt(1 - decay**2)  # the first is drawn from the stationary distribution
    paths = lfilter([1.0], [1.0, -decay], steps, axis=0)
    return gaussian_filter1d(paths, smooth_s * config.fps, axis=0) if smooth_s else paths
