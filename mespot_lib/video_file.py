"""Video files: which frames they hold, by their time stamps, and the pictures of these frames, turned upright.

A file is first *indexed*: all packets are looked at, none but the first is decoded. The time stamps are laid on an even
grid at the rate of the recording, so that a frame that the camera dropped leaves a gap instead of shifting the frames
behind it:

    stamp (s)    0.000  0.033  0.067  .      0.133  0.168      a variable frame rate: nothing at 0.1 s
    position     0      1      2      .      4      5

Then `decode` yields the pictures one at a time. Because every picture is recognised by its stamp, it may begin at the
key frame before the first picture wanted: where a container leads elsewhere, that is noticed, and the file is read from
its beginning.

What is damaged is told, never guessed: packets that the decoder refuses or had to repair, and all that refer to them,
up to the next key frame. Damage that still decodes without complaint is not recognised.
"""

import functools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

# fmt: off
EXTENSIONS = frozenset((
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv",
    ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".mjpeg", ".mjpg", ".h264", ".264", ".hevc", ".h265", ".265", ".dv", ".gif",
))
# fmt: on
RATES_HZ = (1.0, 2000.0)  # of a camera that films faces
_LONGEST = 10**7  # positions; at 200 frames per second that is fourteen hours
_SHORTEST_TAIL_S = 0.5  # less than this is no sign that a file has been cut short: durations are rounded
_NEAREST = 0.75  # of a frame: as far as a stamp may lie from its position
_SAME_RATE = 0.005  # relative


class VideoFileError(ValueError):
    """A video file cannot be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class VideoIndex:
    """What frames a video file holds.

    stamps : (N,) int64, ascending; of the frames that have a position, in units of the container; the frame's number
        where the container has no stamps
    positions : (N,) int64, ascending from 0, on the grid of `rate`
    keys : (N,) bool, whether decoding can begin there
    stamped : whether the container has time stamps
    rate : positions per second of the container's clock
    width, height : px, turned upright; channels : 1 grey or 3
    length : number of positions; more than those of the frames where the container promises frames that are not there
    dropped : number of frames that had no position of their own
    codec : short name
    """

    stamps: np.ndarray
    positions: np.ndarray
    keys: np.ndarray
    stamped: bool
    rate: float
    width: int
    height: int
    channels: int
    length: int
    dropped: int
    codec: str

    @property
    def readable(self) -> int:
        """Return the number of positions up to the last frame that is there."""
        return int(self.positions[-1]) + 1

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """Return the gaps between the frames as closed ranges of positions."""
        at = np.flatnonzero(np.diff(self.positions) > 1)
        return tuple((int(self.positions[i]) + 1, int(self.positions[i + 1]) - 1) for i in at)


class Picture(NamedTuple):
    """One decoded picture: its position and (H, W, 3) uint8 in OpenCV's order blue, green, red, upright."""

    t: int
    image: np.ndarray


class Damage(NamedTuple):
    """Successive positions of those wanted that cannot be had, and why."""

    positions: Sequence[int]
    reason: str


def index_video(path: Path) -> VideoIndex:
    """Return what frames a video file holds. The answer is kept while the file stays as it is.

    Raises
    ------
    VideoFileError
        If the file is absent, empty, no video, without pictures (audio only), in a codec that cannot be decoded, too
        damaged for a single picture, or has impossible time stamps.
    """
    path = Path(path)
    try:
        facts = path.stat()
    except OSError as error:
        reason = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise VideoFileError(f"{path} {reason}") from None
    if facts.st_size == 0:
        raise VideoFileError(f"{path} is empty (0 bytes)")
    return _indexed(path, facts.st_mtime_ns, facts.st_size)


def decode(path: Path, wanted: range) -> Iterator[Picture | Damage]:
    """Yield the pictures of the positions in `wanted`, ascending; between them, what of `wanted` is damaged.

    Positions without a frame are passed over. Memory does not grow with the length of the file.

    Raises
    ------
    VideoFileError
        As `index_video`.
    """
    index = index_video(path)
    # a range finds Python's own integers at once, those of numpy only by going through itself
    expected = [t for t in index.positions.tolist() if t in wanted]
    if expected:
        yield from _decoded(path, index, expected)
    tail = [t for t in wanted if t >= index.readable]
    if tail:
        yield Damage(tail, f"ends at {index.readable / index.rate:.2f} s")


# --- stamps to positions --------------------------------------------------------------------------------------------


def recording_rate(seconds: np.ndarray) -> float:
    """Return the rate in Hz of the grid that ascending time stamps (N,) in seconds lie on, dropped frames or not.

    The median interval is one step of the grid. Stamps are often rounded to milliseconds, so the rate is taken from all
    intervals of up to three steps together.
    """
    intervals = np.diff(seconds)
    if not len(intervals):
        return math.nan
    steps = np.round(intervals / np.median(intervals))
    usual = (steps >= 1) & (steps <= 3)
    return float(steps[usual].sum() / intervals[usual].sum())


def grid_positions(seconds: Iterable[float], rate: float) -> np.ndarray:
    """Return the position of each time stamp on the grid of `rate`, from the first stamp on: (N,) int64, or -1.

    A stamp goes to the nearest position. Where the frame before has that, it goes to the next one if that is nearer
    than 3/4 of a step (stamps half a step off the first one would otherwise meet in pairs), else it gets none.
    """
    positions = []
    origin, last = None, -1
    for stamp in seconds:
        origin = stamp if origin is None else origin
        place = (stamp - origin) * rate
        nearest = math.ceil(place - 0.5 - 1e-6)
        if nearest <= last and last + 1 - place < _NEAREST:
            nearest = last + 1
        positions.append(nearest if nearest > last else -1)
        last = max(last, nearest)
    return np.array(positions, dtype=np.int64)


# --- the index ------------------------------------------------------------------------------------------------------


class _Packets(NamedTuple):
    stamps: list[int]
    keys: list[bool]
    stamped: bool
    first: Any  # the first decoded frame
    ends_s: float  # of the last packet of any stream


@functools.lru_cache(maxsize=8)
def _indexed(path: Path, _modified: int, _size: int) -> VideoIndex:
    with _opened(path) as (container, stream):
        packets = _read_packets(path, container, stream)
        average, promised = stream.average_rate, stream.frames
        time_base, duration, starts = stream.time_base, container.duration, container.start_time
        codec = stream.codec_context.name
        in_avi = container.format.name == "avi"
    stamps, first_of_twins = np.unique(np.array(packets.stamps, dtype=np.int64), return_index=True)
    keys = np.array(packets.keys, dtype=bool)[first_of_twins]
    shown = stamps >= (packets.first.pts if packets.stamped else 0)
    stamps, keys = stamps[shown], keys[shown]
    rate = _rate(path, stamps, time_base, average, packets.stamped)
    seconds = stamps * float(time_base) if packets.stamped else stamps / rate
    positions = grid_positions(seconds, rate)
    kept = positions >= 0
    length = int(positions.max()) + 1
    if length > _LONGEST:
        raise VideoFileError(
            f"{path}: its time stamps reach from {seconds[0]:.1f} to {seconds[-1]:.1f} s; that cannot be one video"
        )
    if in_avi:  # its header counts; the duration follows the size of the file
        length = max(length, promised)
    elif duration is not None:
        absent_s = (duration + (starts or 0)) / 1e6 - packets.ends_s
        length += round(absent_s * rate) if absent_s > _SHORTEST_TAIL_S else 0
    image = _upright(packets.first, _converter())
    return VideoIndex(
        stamps=stamps[kept],
        positions=positions[kept],
        keys=keys[kept],
        stamped=packets.stamped,
        rate=rate,
        width=image.shape[1],
        height=image.shape[0],
        channels=1 if packets.first.format.name.startswith("gray") else 3,
        length=length,
        dropped=int((~kept).sum()),
        codec=codec,
    )


def _read_packets(path: Path, container: Any, stream: Any) -> _Packets:
    """Look at every packet of the file; decode until the first picture."""
    stamps, keys = [], []
    first, previous = None, None
    ends_s = 0.0
    for packet in _packets_of(container):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.size:
            ends_s = max(ends_s, float((stamp + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index != stream.index:
            continue
        if first is None:
            first = next((frame for frame in _pictures_of(packet) or () if not frame.is_corrupt), None)
        if not packet.size or packet.is_discard or not _shows(packet, stream.codec_context.name):
            continue
        if packet.dts is not None:
            if previous is not None and packet.dts < previous:
                place = float(packet.dts * stream.time_base)
                raise VideoFileError(
                    f"{path}: its time stamps go back to {place:.2f} s, so no frame has a place"
                )
            previous = packet.dts
        stamps.append(stamp)
        keys.append(packet.is_keyframe)
    if first is None:
        raise VideoFileError(f"{path} is damaged: not one of its {len(stamps)} frames can be decoded")
    stamped = first.pts is not None and None not in stamps
    return _Packets(stamps if stamped else list(range(len(stamps))), keys, stamped, first, ends_s)


def _shows(packet: Any, codec: str) -> bool:
    """Tell whether a packet has a picture to show: VP8 also sends pictures that are for reference alone."""
    return codec != "vp8" or bool(bytes(packet)[0] & 0x10)


def _rate(path: Path, stamps: np.ndarray, time_base: Any, average: Fraction | None, stamped: bool) -> float:
    """Return the rate of the recording; the container's own figure, which may be exact, where both agree."""
    measured = recording_rate(stamps * float(time_base)) if stamped else math.nan
    stated = float(average) if average else math.nan
    rate = stated if math.isnan(measured) or abs(stated / measured - 1) < _SAME_RATE else measured
    if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise VideoFileError(
            f"{path}: its time stamps make {rate:.6g} frames per second; a video has between {RATES_HZ[0]:g} and "
            f"{RATES_HZ[1]:g}"
        )
    return rate


# --- opening and decoding -------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file and choose its video stream: yield (container, stream)."""
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise VideoFileError(
            f"{path} is no video file that can be read, or is cut short ({_words(error)})"
        ) from None
    with container:
        streams = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not streams:
            kinds = sorted({stream.type for stream in container.streams})
            raise VideoFileError(f"{path} has no pictures, only {', '.join(kinds) or 'an empty container'}")
        stream = streams[0]
        if stream.codec_context is None:
            raise VideoFileError(
                f"{path}: no decoder for its codec; convert it, for example to H.264 in .mp4"
            )
        yield container, stream


def _is_cover(stream: Any) -> bool:
    """Tell whether a stream is the cover picture of a sound file."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _decoded(path: Path, index: VideoIndex, expected: list[int]) -> Iterator[Picture | Damage]:
    """Yield every position of `expected`, as a picture or in a damage."""
    converter = _converter()
    due = 0  # of `expected`
    for t, frame in _frames_up_to(path, index, expected[0]):
        passed = due
        while passed < len(expected) and expected[passed] < t:
            passed += 1
        if passed > due:
            yield Damage(expected[due:passed], "cannot be decoded")
            due = passed
        if due < len(expected) and expected[due] == t:
            yield Picture(t, _upright(frame, converter))
            due += 1
        if due == len(expected):
            return
    yield Damage(expected[due:], "cannot be decoded")


def _frames_up_to(path: Path, index: VideoIndex, t: int) -> Iterator[tuple[int, Any]]:
    """Yield (position, frame) from the key frame before position t on; from the beginning if that cannot be found."""
    begin = _key_before(index, t)
    if begin is not None:
        frames = _frames_from(path, index, begin)
        first = next(frames, None)
        if first is not None and first[0] <= t:
            yield first
            yield from frames
            return
    yield from _frames_from(path, index, None)


def _key_before(index: VideoIndex, t: int) -> int | None:
    """Return the stamp of the key frame to begin at for position t; None for the beginning of the file."""
    if not index.stamped:
        return None
    before = np.flatnonzero(index.keys & (index.positions <= t))
    return int(index.stamps[before[-1]]) if len(before) and before[-1] > 0 else None


def _frames_from(path: Path, index: VideoIndex, stamp: int | None) -> Iterator[tuple[int, Any]]:
    """Yield (position, frame) of all sound frames from a key frame's stamp on, or from the beginning."""
    import av

    with _opened(path) as (container, stream):
        if stamp is not None:
            try:
                container.seek(stamp, stream=stream)
            except av.FFmpegError:
                return
        last = -1
        for number, frame in enumerate(
            _sound_frames(container, stream, index.stamped, spoiling=stamp is not None)
        ):
            t = _position(index, frame.pts if index.stamped else number)
            if t > last:
                yield t, frame
                last = t


def _sound_frames(container: Any, stream: Any, stamped: bool, spoiling: bool) -> Iterator[Any]:
    """Yield the frames that are whole: a fault spoils all packets up to the next key frame, wherever they show.

    spoiling : whether packets before the first key frame are spoilt. Without stamps, a fault is the end: what comes
        behind it has no place.
    """
    spoilt: set[int | None] = set()
    groups: deque[list[int | None]] = deque([[]], maxlen=2)  # stamps from a key frame to the next, as decoded
    whole_from = None  # pictures before this stamp may refer to spoilt ones
    for packet in _packets_of(container, stream):
        if packet.is_keyframe:
            groups.append([])
        groups[-1].append(packet.pts)
        if spoiling and packet.is_keyframe and not packet.is_corrupt:
            spoiling, whole_from = False, packet.pts
        frames = _pictures_of(packet)
        spoiling = spoiling or frames is None or packet.is_corrupt
        if spoiling or (whole_from is not None and packet.pts is not None and packet.pts < whole_from):
            spoilt.add(packet.pts)
        for frame in frames or ():
            if not stamped and (spoiling or frame.is_corrupt):
                return
            if frame.is_corrupt:
                spoiling = _spoil_from(frame.pts, groups, spoilt) or spoiling
            if frame.pts not in spoilt:
                yield frame
            spoilt.discard(frame.pts)


def _spoil_from(stamp: int | None, groups: Sequence[list], spoilt: set) -> bool:
    """Mark a repaired picture, which is told of when it is shown, and what refers to it; tell if more is to come."""
    group = next((group for group in groups if stamp in group), [stamp])
    spoilt.update(group[group.index(stamp) :])
    return group is groups[-1]


def _packets_of(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of the given or of all streams, as far as the file can be read."""
    import av

    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _pictures_of(packet: Any) -> list[Any] | None:
    """Return the frames that the decoder gives for a packet, None where it refuses the packet."""
    import av

    try:
        return packet.decode()
    except av.FFmpegError:
        return None


def _position(index: VideoIndex, stamp: int | None) -> int:
    """Return the position of the frame with a stamp, -1 for one that has none."""
    at = int(np.searchsorted(index.stamps, stamp)) if stamp is not None else len(index.stamps)
    return int(index.positions[at]) if at < len(index.stamps) and index.stamps[at] == stamp else -1


def _converter() -> Any:
    """Return what converts colours: one for all frames, since making one takes longer than converting."""
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def _upright(frame: Any, converter: Any) -> np.ndarray:
    """Return the picture (H, W, 3) uint8 blue, green, red of a decoded frame, turned as its container asks."""
    image = converter.reformat(frame, format="bgr24", threads=1).to_ndarray()
    quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise
    turns = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
    return cv2.rotate(image, turns[quarter_turns]) if quarter_turns else image
