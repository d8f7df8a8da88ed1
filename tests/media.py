"""Video files of every kind, written for tests: containers, codecs, time stamps, turned, cut short, spoilt."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (96, 128)  # height, width


def picture(t: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a colour image whose brightness tells its number up to 19, bright at the top left."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = 10 * np.sin(x / 3) + 10 * np.sin(y / 5)
    image = 40 + 8 * (t % 20) + waves[..., None] + np.array((0, 8, 16))
    image[: size[0] // 4, : size[1] // 4] += 40
    return np.clip(image, 0, 255).astype(np.uint8)


def number_of(image: np.ndarray) -> int:
    """Return the number that the brightness of a decoded picture tells."""
    height, width = image.shape[:2]
    reference = picture(0, (height, width))[height // 4 :, width // 4 :]
    return round(float(image[height // 4 :, width // 4 :].mean() - reference.mean()) / 8)


def write_video(
    path: Path,
    images: Iterable[np.ndarray],
    codec: str = "libx264",
    *,
    fps: float = 30,
    stamps_ms: Sequence[int] | None = None,
    pixels: str | None = None,
    options: dict[str, str] | None = None,
    sound: bool = False,
) -> Path:
    """Encode images; `stamps_ms` gives each its time, otherwise they are even."""
    rate = Fraction(fps).limit_denominator(1001)
    # the index at the front, so that what is cut off can be told
    first = True
    settings = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=settings) as container:
        voice = container.add_stream("aac", rate=8000) if sound else None
        stream = container.add_stream(codec, rate=rate, options={"g": "10", "b": "2M"} | (options or {}))
        clock = Fraction(1, 1000) if stamps_ms else 1 / rate
        for number, image in enumerate(images):
            if first:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pixels or stream.codec_context.codec.video_formats[0].name
                stream.time_base = stream.codec_context.time_base = clock
                first = False
            frame = av.VideoFrame.from_ndarray(image, format="bgr24" if image.ndim == 3 else "gray")
            frame.pts, frame.time_base = stamps_ms[number] if stamps_ms else number, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice:
            _hum(container, voice)
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        _hum(container, container.add_stream("aac", rate=8000))
    return path


def _hum(container, stream) -> None:
    for number in range(8):
        samples = np.sin(np.arange(1024) / 8).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 1024 * number
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def turn(path: Path, quarters: int) -> Path:
    """Ask players of an .mp4 to turn it clockwise by quarters, as telephones do: in the matrix of the track header."""
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    one = 1 << 16
    matrix = [cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30]
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    return path


def cut_short(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def spoil(path: Path, at: float = 0.5, count: int = 300) -> Path:
    """Overwrite some bytes in the middle."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    data[start : start + count] = np.random.default_rng(1).integers(0, 256, count, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path
