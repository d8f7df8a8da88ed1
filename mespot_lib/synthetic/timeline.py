"""The timeline of one video: for every frame the state of muscles, lids, eyes, mouth, head and light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mespot_lib.synthetic import nuisances
from mespot_lib.synthetic.chance import event_counts, video_seed
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.events import PlannedEvent, plan_events, time_course
from mespot_lib.synthetic.geometry import SIDES
from mespot_lib.synthetic.muscles import COLUMNS, amplitude_limits, column
from mespot_lib.synthetic.nuisances import RESTING_UNITS, Head, Span

# Lids follow muscles: relative change of the eye's opening, or rise of the lower lid, per u of amplitude.
_WIDENS_PER_U, _WIDEST = 0.11, 0.35  # action unit 5
_NARROWS_PER_U, _NARROWEST = 0.045, 0.30  # 6 and 7, upper lid
_LIFTS_PER_U, _HIGHEST = 0.10, 0.55  # 6 and 7, lower lid
_FOLLOWS_GAZE_PER_U = 0.0125  # the upper lid goes down when the eye looks down


class FrameState(NamedTuple):
    """All that the renderer needs to know of one frame; units as in `Timeline`."""

    muscles: np.ndarray
    opening: np.ndarray
    raised: np.ndarray
    gaze: np.ndarray
    mouth: float
    x: float
    y: float
    roll: float
    size: float
    yaw: float
    pitch: float
    gain: float


@dataclass(frozen=True)
class Timeline:
    """State of the face on every frame.

    Attributes
    ----------
    fps : frames per second.
    events : the labelled expressions, in order of time.
    spans : blinks, swallows, talks and nods, unlabelled.
    muscles : (T, COLUMNS) float32, amplitude in u of every action unit and side.
    opening : (T, 2) float32, opening of the left and right eye of the image; 1 is at rest, 0 shut.
    raised : (T, 2) float32, share by which the lower lids are raised.
    gaze : (T, 2) float32, shift of the irises in u.
    mouth : (T,) float32, opening in u.
    head : x, y (u), roll (rad), size (relative), yaw, pitch (rad), each (T,).
    gain : (T,) relative brightness.
    """

    fps: float
    events: list[PlannedEvent]
    spans: list[Span]
    muscles: np.ndarray
    opening: np.ndarray
    raised: np.ndarray
    gaze: np.ndarray
    mouth: np.ndarray
    head: Head
    gain: np.ndarray

    def __len__(self) -> int:
        return len(self.muscles)

    def state(self, frame: int) -> FrameState:
        """Return the state of one frame."""
        x, y, roll, size, yaw, pitch = (float(path[frame]) for path in self.head[:6])
        return FrameState(
            self.muscles[frame],
            self.opening[frame],
            self.raised[frame],
            self.gaze[frame],
            float(self.mouth[frame]),
            x,
            y,
            roll,
            size,
            yaw,
            pitch,
            float(self.gain[frame]),
        )


def neutral_state(**changes: Any) -> FrameState:
    """Return the state of a face at rest, with the given fields changed."""
    rest = FrameState(
        np.zeros(COLUMNS, np.float32), np.ones(2), np.zeros(2), np.zeros(2), 0, 0, 0, 0, 1, 0, 0, 1
    )
    return rest._replace(**changes)


def plan_timeline(config: SyntheticConfig, seed: int, counts: dict[str, int] | None = None) -> Timeline:
    """Plan one video.

    Parameters
    ----------
    config : the dataset's settings.
    seed : seed of the video, see `video_seed`.
    counts : number of expressions of each kind; drawn from the rates where not given.
    """
    events = plan_events(config, seed, counts)
    closure, helpers, blink_spans = nuisances.blinks(config, seed)
    gaze = nuisances.gaze(config, seed)
    distraction = nuisances.distractors(config, seed)
    head = nuisances.head(config, seed)

    muscles = np.zeros((config.frames_per_video, COLUMNS), np.float32)
    resting = [column(au, side) for au in RESTING_UNITS for side in SIDES]
    muscles[:, resting] = nuisances.rest_activity(config, seed)
    for side in SIDES:
        muscles[:, column("4", side)] += helpers
        muscles[:, column("6", side)] += 0.6 * helpers
        muscles[:, column("17", side)] += distraction.swallow
        muscles[:, column("24", side)] += 0.5 * distraction.swallow
        muscles[:, column("12", side)] += distraction.speech
    time_s = nuisances.frame_times(config)
    for event in events:
        _add_event(muscles, event, time_s, config.expression_gain)
    limits = amplitude_limits()
    np.clip(muscles, -limits, limits, out=muscles)

    opening, raised = _lids(muscles, closure, gaze)
    return Timeline(
        fps=config.fps,
        events=events,
        spans=sorted([*blink_spans, *distraction.spans, *head.spans], key=lambda span: span.start_s),
        muscles=muscles,
        opening=opening.astype(np.float32),
        raised=raised.astype(np.float32),
        gaze=gaze.astype(np.float32),
        mouth=distraction.mouth.astype(np.float32),
        head=head,
        gain=nuisances.light(config, seed),
    )


def plan_video(config: SyntheticConfig, subject: int, video: int) -> Timeline:
    """Plan one video of the dataset (both numbers 0-based) with the counts of `event_counts`."""
    return plan_timeline(config, video_seed(config, subject, video), event_counts(config)[subject][video])


def _add_event(muscles: np.ndarray, event: PlannedEvent, time_s: np.ndarray, gain: float) -> None:
    frames = slice(event.exact_onset, event.exact_offset + 1)
    course = gain * time_course(time_s[frames], event.course_s)
    for action_unit, side, peak_u in event.peaks_u:
        muscles[frames, column(action_unit, side)] += peak_u * course


def _lids(muscles: np.ndarray, closure: np.ndarray, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Opening and raised lower lid (T, 2) that follow from muscles, blinks and gaze."""

    def amplitude(action_unit: str) -> np.ndarray:
        return np.maximum(muscles[:, [column(action_unit, side) for side in SIDES]], 0)

    squeeze = amplitude("6") + amplitude("7")
    opening = 1 + np.minimum(_WIDENS_PER_U * amplitude("5"), _WIDEST)
    opening -= np.minimum(_NARROWS_PER_U * squeeze, _NARROWEST)
    opening -= _FOLLOWS_GAZE_PER_U * gaze[:, 1:]
    opening *= 1 - closure[:, None]
    return opening, np.minimum(_LIFTS_PER_U * squeeze, _HIGHEST)
