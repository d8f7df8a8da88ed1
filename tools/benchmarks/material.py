"""What benchmarks work on: drawn videos, made once per run of the benchmarks; nothing of them is stored."""

from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.own_video import read_media
from mespot_lib.frames import iter_frames
from mespot_lib.manifest import Manifest, Video
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.write import draw_dataset
from mespot_lib.user_video import write_video_file

_PICTURES = 75  # of a film, forwards and backwards: 150, which divides a minute at 2.5 and at 30 fps


def drawn(place: Path) -> Manifest:
    """Return a drawn set of two people, one video of 9 seconds at 30 fps each."""
    config = SyntheticConfig.casme2_smoke()
    root = draw_dataset(config, place / "data" / config.name, workers=1, progress=False)
    return read_dataset(config.layout, root, name=config.name)


def pictures(place: Path, count: int | None = None) -> list[np.ndarray]:
    """Return the first pictures of the set in colour."""
    manifest = drawn(place)
    frames = iter_frames(manifest.video(manifest.uids[0]), stop=count, grey=False)
    return [image for _, image in frames]


def film(place: Path, fps: float, frames: int) -> Video:
    """Return a video file of so many frames: drawn ones forwards and backwards, over and over, so nothing jumps."""
    path = place / f"film_{fps:g}_{frames}.mp4"
    if not path.exists():
        endless = chain.from_iterable(repeat(_to_and_fro(pictures(place, _PICTURES))))
        write_video_file(path, (image for image, _ in zip(endless, range(frames), strict=False)), fps, 23)
    return _video(path)


def long_films(place: Path, tiny: bool, fps: float) -> dict[float, Video]:
    """Return video files by their minutes, the shorter ones over and over: 1, 4 and 16, or seconds."""
    unit = (
        len(_to_and_fro(range(_PICTURES))) if tiny else round(60 * fps)
    )  # frames; a film ends where it begins
    first = film(place, fps, unit)
    return {
        times * unit / fps / 60: _video(_repeated(first.path, place / f"film_{fps:g}_x{times}.mp4", times))
        for times in ((1, 2) if tiny else (1, 4, 16))
    }


def _to_and_fro(images: Sequence) -> list:
    return [*images, *images[::-1]]


def _video(path: Path) -> Video:
    manifest = read_media(path)
    return manifest.video(manifest.uids[0])


def _repeated(source: Path, path: Path, times: int) -> Path:
    """Write a video file as often as wanted into one, without encoding anything anew."""
    import av

    if path.exists():
        return path
    with av.open(str(path), "w") as target:
        stream = None
        for number in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                for packet in container.demux(video):
                    if packet.dts is None:  # the end
                        continue
                    packet.pts += number * video.duration
                    packet.dts += number * video.duration
                    packet.stream = stream
                    target.mux(packet)
    return path
