"""A video from its file to intervals: following a face, and the engine that spots while the video is read."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks import material
from benchmarks.measure import Case, Growth, apart
from mespot_lib import face
from mespot_lib.features.flow import dense_flow
from mespot_lib.frames import Frame, iter_frames
from mespot_lib.manifest import Video
from mespot_lib.tracking import track_face
from mespot_lib.user_video import spot_video

SIZE = 128  # px of a crop
_LOOK_BACK = 200  # samples after which the plain way takes a new reference


def tracking(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of following a face."""
    images = material.pictures(place, 30 if tiny else 120)
    frames = list(enumerate(images))
    yield Case(
        "face_tracking",
        "landmarks of a face in every frame, followed from detection to detection",
        "frame",
        len(images),
        ours=lambda: list(track_face(_as_frames(frames), 30.0)),
        beside="the same detector in every frame",
        theirs=lambda: [face.detect_face(image) for image in images],
        same=lambda a, b: _apart_u(a, b) < 3,
    )


def _as_frames(numbered: list[tuple[int, np.ndarray]]) -> Iterator[Frame]:
    return (Frame(t, image) for t, image in numbered)


def _apart_u(tracked: list, detected: list) -> float:
    """Return the median distance of two ways to the same landmarks, in face units."""
    pairs = [(a.landmarks, b.landmarks) for a, b in zip(tracked, detected, strict=True) if b is not None]
    distance = [np.linalg.norm(a - b, axis=1).mean() / face.px_per_u(b) for a, b in pairs if a is not None]
    return float(np.median(distance)) if distance else np.inf


def entries(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of the whole way of a video."""
    frames = 60 if tiny else 300
    video = material.film(place, 30, frames)
    yield Case(
        "flow_peaks_real_time",
        "flow_peaks on an .mp4 file of 256 x 256 px at 30 fps: decoding, tracking, flow, intervals",
        "second of video",
        frames / 30,
        ours=lambda: spot_video(video.path),
        beside="the video itself while it plays",
        theirs=frames / 30,
        goal=1.0,
    )
    some = 45 if tiny else 90
    short = material.film(place, 30, some)
    yield Case(
        "flow_peaks",
        "flow_peaks on an .mp4 file",
        "frame",
        some,
        ours=lambda: spot_video(short.path),
        beside="a detector in every frame, DIS flow of the crop since a reference, means of boxes",
        theirs=lambda: plain_motion(short),
        limit_is="reading the file",
        limit=lambda: sum(1 for _ in iter_frames(short, grey=False)),
    )
    films = apart(lambda: material.long_films(place, tiny, 2.5))
    yield Growth(
        "spotting_a_video_file",
        "flow_peaks on an .mp4 file of 2.5 fps; what is kept of it are landmarks and curves",
        "minute of video",
        tuple(films),
        lambda minutes: lambda: spot_video(films[minutes].path),
        most_mb=2.0,
    )


def plain_motion(video: Video) -> np.ndarray:
    """Return the mean motion in boxes of the crop since a reference, (T, 16, 2) px, frame by frame."""
    reference, found = None, []
    for t, image in iter_frames(video, grey=False):
        seen = face.detect_face(image)
        if seen is None:
            found.append(np.full((16, 2), np.nan))
            continue
        crop = face.crop_face(image, face.face_matrix(seen.landmarks, SIZE), SIZE)
        grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
        reference = grey if reference is None or t % _LOOK_BACK == 0 else reference
        flow = dense_flow(reference, grey, finest_scale=1, patch_stride=3)
        found.append(flow.reshape(4, SIZE // 4, 4, SIZE // 4, 2).mean(axis=(1, 3)).reshape(16, 2))
    return np.stack(found)
