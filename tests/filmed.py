"""Small video files of a drawn face, and an analysis made by hand: for tests of the way of one's own video."""

import functools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mespot_lib.face import MEAN_FACE
from mespot_lib.interval import Interval
from mespot_lib.manifest import Video
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.render import render_frames
from mespot_lib.synthetic.timeline import plan_timeline
from mespot_lib.user_video import Analysis, Curves, Track, write_video_file

FPS = 30.0
CONFIG = replace(
    SyntheticConfig.still(),
    seconds_per_video=6.0,
    blinks_per_min=0.0,
    swallows_per_min=0.0,
    talks_per_min=0.0,
    me_amplitude_u=(2.5, 0.01, 2.4, 2.6),
    mae_seconds=(1.2, 0.05, 1.0, 1.4),
    mae_amplitude_u=(6.0, 0.01, 5.8, 6.2),
)


@functools.cache
def drawn(width: int = 256, height: int = 256, pixels_per_u: float = 0.6) -> tuple[list, list[Interval]]:
    """Return the pictures of six seconds with one micro- and one macro-expression, and these."""
    config = replace(CONFIG, width=width, height=height, pixels_per_u=pixels_per_u)
    timeline = plan_timeline(config, seed=5, counts={"ME": 1, "MaE": 1})
    images = [image for image, _ in render_frames(make_identity(3), timeline, config, seed=5)]
    return images, [Interval(e.onset, e.offset, e.kind, e.apex) for e in timeline.events]


def mirrored(image: np.ndarray) -> np.ndarray:
    """Return another shot of the same face: mirrored, nearer, with another background."""
    near = cv2.resize(image, None, fx=1.25, fy=1.25)[20 : 20 + image.shape[0], 40 : 40 + image.shape[1]]
    near[:60, :80] = 230
    return np.ascontiguousarray(near[:, ::-1])


def wall(count: int, size: int = 256) -> list[np.ndarray]:
    """Return pictures without a face."""
    rng = np.random.default_rng(0)
    plain = np.tile(np.linspace(60, 120, size).astype(np.uint8)[:, None, None], (1, size, 3))
    return [np.clip(plain + rng.normal(0, 2, plain.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def film(path: Path, images: list[np.ndarray], fps: float = FPS) -> Path:
    write_video_file(path, images, fps)
    return path


def film_jpegs(path: Path, images: list[np.ndarray], fps: float = FPS) -> Path:
    """Write an .avi in which every picture stands alone, so that its beginning can be read without its end."""
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (width, height))
    for image in images:
        writer.write(image)
    writer.release()
    return path


def course(frames: np.ndarray, span: Interval) -> np.ndarray:
    """Return a bump of height 1 from the onset over the apex to the offset."""
    return np.interp(frames, [span.onset, span.apex, span.offset], [0, 1, 0], left=0, right=0)


def analysis(**changes) -> Analysis:
    """Return an analysis of ten seconds made by hand: a brow goes down at 2 s, a mouth corner out at 5 s."""
    frames = np.arange(300)
    spans = (Interval(60, 72, "ME", 66, 2.0), Interval(150, 180, "MaE", 165, 3.0))
    shifts = np.zeros((300, 4, 2), np.float32)
    shifts[:, 0, 1] = 2 * course(frames, spans[0])
    shifts[:, 1, 0] = -6 * course(frames, spans[1])
    points = ((18,), (48,), (30,), (36, 39, 40, 41))
    landmarks = np.tile((MEAN_FACE * 0.6 + (128, 110)).astype(np.float32), (300, 1, 1))
    video = Video("own_video/x/x", "own_video", "x", "x", Path("nowhere/x.mp4"), "video", FPS, 0, 299)
    made = Analysis(
        video=video,
        intervals=spans,
        strengths=(2.0, 3.0),
        blinks=(),
        gaps=(),
        curves=Curves(frames, points, shifts, np.zeros(300, int)),
        track=Track(
            frames,
            np.zeros(300, bool),
            landmarks,
            np.full(300, 0.2, np.float32),
            np.full(300, 120.0, np.float32),
        ),
        scores=None,
        media={"name": "x.mp4", "media": "video", "width": 256, "height": 256, "fps": FPS, "seconds": 10.0},
        settings={"method": "flow_peaks", "thresholds_u": {"ME": 0.5, "MaE": 1.0}, "config": {"a": 1}},
        read_until=300,
    )
    if "intervals" in changes:
        changes = {"strengths": tuple(span.score for span in changes["intervals"])} | changes
    return replace(made, **changes)
