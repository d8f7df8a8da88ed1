"""Reading frames: beside a plain loop of OpenCV, and beside decoding from memory, which no reader undercuts."""

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks import material
from benchmarks.measure import Case, Growth, apart
from mespot_lib.frames import iter_frames
from mespot_lib.manifest import Video


def entries(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of reading."""
    manifest = material.drawn(place)
    folder = manifest.video(manifest.uids[0])
    files = [folder.frame_path(t) for t in range(folder.length)]
    data = [np.frombuffer(path.read_bytes(), np.uint8) for path in files]
    yield Case(
        "frame_folder",
        "frames of a folder of JPEG files, checked",
        "frame",
        folder.length,
        ours=lambda: brightness(image for _, image in iter_frames(folder)),
        beside="cv2.imread in a loop",
        theirs=lambda: brightness(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in files),
        limit_is="cv2.imdecode from memory",
        limit=lambda: brightness(cv2.imdecode(one, cv2.IMREAD_GRAYSCALE) for one in data),
        same=np.array_equal,
    )
    yield Case(
        "every_seventh_frame",
        "every seventh frame of a folder",
        "frame",
        folder.length,
        ours=lambda: brightness(image for _, image in iter_frames(folder, step=7)),
        beside="all frames read, six of seven dropped",
        theirs=lambda: brightness([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in files][::7]),
        same=np.array_equal,
    )
    frames = 90 if tiny else 900
    video = material.film(place, 30, frames)
    whole = video.path.read_bytes()
    yield Case(
        "video_file",
        "frames of an .mp4 file by their time stamps",
        "frame",
        frames,
        ours=lambda: brightness(image for _, image in iter_frames(video, grey=False)),
        beside="cv2.VideoCapture in a loop",
        theirs=lambda: brightness(captured(video)),
        limit_is="decoding from memory without conversion to pixels in colour",
        limit=lambda: decoded(whole),
        same=lambda a, b: len(a) == len(b) and np.allclose(a, b, atol=3),  # two conversions of colour
    )
    films = apart(lambda: material.long_films(place, tiny, 30))
    yield Growth(
        "reading_a_video_file",
        "all frames of an .mp4 file of 30 fps",
        "minute of video",
        tuple(films),
        lambda minutes: lambda: sum(1 for _ in iter_frames(films[minutes], grey=False)),
        most_mb=1.0,
    )


def brightness(images: Iterator[np.ndarray] | list[np.ndarray]) -> list[float]:
    """Return one grey level of each picture: a look at it that costs nothing."""
    return [float(image[image.shape[0] // 2, image.shape[1] // 2].mean()) for image in images]


def captured(video: Video) -> Iterator[np.ndarray]:
    """Yield the pictures of a video file as most scripts read them."""
    capture = cv2.VideoCapture(str(video.path))
    while True:
        there, image = capture.read()
        if not there:
            break
        yield image
    capture.release()


def decoded(data: bytes) -> int:
    """Return how many pictures a video file in memory holds, each decoded."""
    import av

    with av.open(io.BytesIO(data)) as container:
        container.streams.video[0].thread_type = "NONE"
        return sum(1 for _ in container.decode(video=0))
