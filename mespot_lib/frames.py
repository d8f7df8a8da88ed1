"""Streaming access to the frames of a video: a folder of images or a video file.

Frames come one at a time and carry their position `t` on the video's frame axis, so memory does not grow with the
length of the video and a gap never shifts the frames behind it:

    for t, image in iter_frames(video):
        ...

A missing frame is a gap: it is not yielded, and nothing stands in for it. `gaps` lists those that the manifest knows.
A damaged frame is an error that names the file and its position, or a gap that is warned of; `damaged_frames` lists
all of a video. What counts as damaged: a file that is absent though the manifest has it, is empty, ends too early, or
cannot be decoded; in a video file also what refers to the damage, up to the next key frame, and frames promised by the
container behind the last one it has. A picture whose *middle* has been overwritten may decode to a wrong one and is not
recognised.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from mespot_lib import video_file
from mespot_lib.manifest import Video

OnDamaged = Literal["error", "gap"]


class FrameError(ValueError):
    """A frame cannot be read; the message names the file and the position on the frame axis."""


class DamagedFrameWarning(UserWarning):
    """A damaged frame has been left out of the stream and is a gap."""


class Frame(NamedTuple):
    """One decoded frame.

    t : position on the video's frame axis, 0-based
    image : (H, W) uint8 grey, or (H, W, 3) uint8 in OpenCV's order blue, green, red
    """

    t: int
    image: np.ndarray


def iter_frames(
    video: Video,
    start: int = 0,
    stop: int | None = None,
    step: int = 1,
    *,
    grey: bool = True,
    on_damaged: OnDamaged = "error",
) -> Iterator[Frame]:
    """Yield the frames `start, start + step, ...` below `stop`, in order, as they are needed.

    `start`, `stop` and `step` are positions on the frame axis and mean what they mean in a slice (a `stop` beyond the
    end is the end), except that negative ones are refused. Of a frame folder only the asked files are opened; a video
    file is decoded from the key frame before `start` on, and the frames in between are not converted.

    Raises
    ------
    FrameError
        For a missing folder or file, a damaged frame (unless `on_damaged="gap"`), a frame of another size than
        the video (as in the manifest, else as its first frame), or bad arguments.
    """
    if start < 0 or step < 1 or (stop is not None and stop < 0):
        raise FrameError(
            f"{video.uid}: frames [{start}:{stop}:{step}] asked; start and stop count from 0, step from 1"
        )
    if on_damaged not in ("error", "gap"):
        raise FrameError(f'on_damaged is "error" or "gap", not {on_damaged!r}')
    wanted = range(start, video.length if stop is None else min(stop, video.length), step)
    read = _folder_frames if video.media == "frames" else _file_frames
    return _checked(read(video, wanted, grey), video, on_damaged)


def read_frame(video: Video, t: int, *, grey: bool = True) -> np.ndarray:
    """Return the image at position `t`; raise `FrameError` where it is damaged, a gap, or beyond the end."""
    for frame in iter_frames(video, t, t + 1, grey=grey):
        return frame.image
    place = (
        f"the frame axis ends at {video.length - 1}"
        if t >= video.length
        else "the manifest lists it as missing"
    )
    raise FrameError(f"{video.uid}: there is no frame at position {t}: {place}")


def gaps(video: Video) -> list[tuple[int, int]]:
    """Return the missing frames that the manifest lists, as closed ranges (first, last) on the frame axis."""
    return [(video.position(first), video.position(last)) for first, last in video.missing]


def damaged_frames(video: Video) -> dict[int, str]:
    """Read the whole video and return, per damaged position, what is wrong with it."""
    read = _folder_frames if video.media == "frames" else _file_frames
    return {
        t: str(result)
        for t, result in read(video, range(video.length), True)
        if isinstance(result, FrameError)
    }


# Each reader yields (t, image) or (t, what is wrong at t), and skips the gaps that the manifest lists.
_Read = Iterator[tuple[int, np.ndarray | FrameError]]


def _folder_frames(video: Video, wanted: range, grey: bool) -> _Read:
    if wanted and not Path(video.path).is_dir():
        raise FrameError(f"{video.uid}: the frame folder {video.path} does not exist")
    missing = _missing_positions(video)
    for t in wanted:
        if not missing(t):
            try:
                yield t, read_image(video.frame_path(t), grey=grey)
            except FrameError as error:
                yield t, FrameError(f"{video.uid}, position {t}: {error}")


def _file_frames(video: Video, wanted: range, grey: bool) -> _Read:
    missing = _missing_positions(video)
    try:
        for part in video_file.decode(video.path, wanted):
            if isinstance(part, video_file.Picture):
                if not missing(part.t):
                    yield part.t, as_grey(part.image) if grey else part.image
                continue
            positions = [t for t in part.positions if not missing(t)]
            if positions:
                error = _damage_error(video, positions, part.reason)
                yield from ((t, error) for t in positions)
    except video_file.VideoFileError as error:
        raise FrameError(f"{video.uid}: {error}") from error


def _damage_error(video: Video, positions: Sequence[int], reason: str) -> FrameError:
    first, last = positions[0], positions[-1]
    span = f"position {first}" if first == last else f"positions {first} to {last}"
    return FrameError(
        f"{video.uid}, {span} of {video.length} ({first / video.fps:.2f} s): {video.path} {reason}"
    )


def _checked(frames: _Read, video: Video, on_damaged: OnDamaged) -> Iterator[Frame]:
    """Pass images on, raise or warn about the damaged ones, and refuse a change of size."""
    size = (video.height, video.width) if video.height and video.width else None
    told = None  # one fault may damage many frames
    for t, image in frames:
        if isinstance(image, FrameError):
            if on_damaged == "error":
                raise image
            if image is not told:
                warnings.warn(f"{image}; left out as a gap", DamagedFrameWarning, stacklevel=2)
            told = image
            continue
        size = size or image.shape[:2]
        if image.shape[:2] != size:
            raise FrameError(
                f"{video.uid}, position {t}: the frame is {_size(image.shape)} px, the video is {_size(size)} px "
                "(width x height)"
            )
        yield Frame(t, image)


def read_image(path: Path, *, grey: bool = True) -> np.ndarray:
    """Return the image in `path`: (H, W) uint8 grey or (H, W, 3) uint8 blue, green, red.

    Raises
    ------
    FrameError
        If the file is absent, empty, ends too early, or is no image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FrameError(f"the frame file {path} cannot be read: {error.strerror}") from error
    if not data:
        raise FrameError(f"the frame file {path} is empty (0 bytes)")
    if _ends_too_early(data):
        raise FrameError(
            f"the frame file {path} is damaged: it ends before its end marker ({len(data)} bytes)"
        )
    # Decoding from memory also reads paths that OpenCV itself cannot open on Windows.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if image is None:
        raise FrameError(f"the frame file {path} is damaged or no image: OpenCV cannot decode it")
    return image


def _ends_too_early(data: bytes) -> bool:
    """Tell whether a JPEG or PNG lacks its end marker: OpenCV would fill the rest of the picture with grey."""
    if data.startswith(b"\xff\xd8"):
        # Behind the last start of scan: an embedded thumbnail has an end marker of its own.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda") or b"\xff\xda" not in data
    return data.startswith(b"\x89PNG") and data.rfind(b"IEND") < 0


def _missing_positions(video: Video) -> Callable[[int], bool]:
    ranges = gaps(video)
    return lambda t: any(first <= t <= last for first, last in ranges)


def as_grey(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W), or (H, W, 3) blue, green, red, in grey (H, W)."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
