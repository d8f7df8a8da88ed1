"""Frames: positions, gaps, damage, sizes, and memory that does not grow with the video."""

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from media import spoil, write_video

from mespot_lib.frames import (
    DamagedFrameWarning,
    FrameError,
    damaged_frames,
    gaps,
    iter_frames,
    read_frame,
    read_image,
)
from mespot_lib.manifest import Video

SIZE = (48, 64)  # height, width


def picture(t: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a colour image whose brightness tells its position, with some texture to compress."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = 10 * np.sin(x / 3) + 10 * np.sin(y / 5)
    return np.clip(40 + 8 * t + waves[..., None] + (0, 8, 16), 0, 255).astype(np.uint8)


def brightness(image: np.ndarray) -> float:
    return float(image.mean())


def folder_video(path: Path, numbers, *, first=None, last=None, missing=(), ext=".png") -> Video:
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(path / f"img{number:03d}{ext}"), picture(number))
    return Video(
        uid="toy/s1/v1",
        dataset="toy",
        subject="s1",
        video_id="v1",
        path=path,
        media="frames",
        fps=30.0,
        first_frame_no=min(numbers) if first is None else first,
        last_frame_no=max(numbers) if last is None else last,
        missing=missing,
        frame_prefix="img",
        pad_width=3,
        ext=ext,
    )


def file_video(path: Path, length: int, *, written=None, size=SIZE, codec="MJPG") -> Video:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 30, size[::-1])
    assert writer.isOpened()
    for t in range(length if written is None else written):
        writer.write(picture(t % 20, size))
    writer.release()
    return Video("toy/s1/v2", "toy", "s1", "v2", path, "video", 30.0, 0, length - 1)


@pytest.fixture
def folder(tmp_path):
    return folder_video(tmp_path / "v1", range(5, 17))


@pytest.fixture
def file(tmp_path):
    return file_video(tmp_path / "v2.avi", 12)


# --- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media", ["folder", "file"])
@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, None, 1), (3, 9, 1), (2, 11, 4), (0, 99, 5), (11, None, 1)]
)
def test_positions_are_those_of_a_slice(request, media, start, stop, step):
    video = request.getfixturevalue(media)
    seen = list(iter_frames(video, start, stop, step))
    assert [frame.t for frame in seen] == list(range(12))[start:stop:step]
    every = dict(iter_frames(video))
    for t, image in seen:
        np.testing.assert_array_equal(image, every[t])


def test_position_0_is_the_first_frame_number(folder):
    for t, image in iter_frames(folder, grey=False):
        np.testing.assert_array_equal(image, picture(t + 5))


def test_a_video_file_gives_every_frame_its_own_picture(file):
    levels = [brightness(image) for _, image in iter_frames(file)]
    np.testing.assert_allclose(np.diff(levels), 8, atol=0.7)


@pytest.mark.parametrize("media", ["folder", "file"])
def test_grey_and_colour(request, media):
    video = request.getfixturevalue(media)
    grey, colour = read_frame(video, 3), read_frame(video, 3, grey=False)
    assert (grey.shape, colour.shape) == (SIZE, (*SIZE, 3))
    assert grey.dtype == colour.dtype == np.uint8
    assert np.abs(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY).astype(int) - grey).max() <= 1
    assert colour[..., 2].mean() - colour[..., 0].mean() == pytest.approx(16, abs=2)  # blue first


def test_only_the_asked_files_are_opened(folder):
    for number in range(5, 17):
        if number not in (7, 11):
            folder.frame_path(number - 5).write_bytes(b"")
    assert [t for t, _ in iter_frames(folder, 2, 7, 4)] == [2, 6]


def test_an_empty_span_yields_nothing(folder, file):
    assert list(iter_frames(folder, 4, 4)) == list(iter_frames(file, 30, 40)) == []


@pytest.mark.parametrize(("start", "stop", "step"), [(-1, None, 1), (0, -3, 1), (0, None, 0), (0, None, -1)])
def test_arguments_that_do_not_count_forwards_are_refused(folder, start, stop, step):
    with pytest.raises(FrameError, match="toy/s1/v1"):
        iter_frames(folder, start, stop, step)


# --- gaps and damage ------------------------------------------------------------------------------------------------


def test_gaps_are_not_yielded_and_shift_nothing(tmp_path):
    numbers = [1, 2, 5, 6, 7, 9]
    video = folder_video(tmp_path, numbers, missing=((3, 4), (8, 8)))
    assert gaps(video) == [(2, 3), (7, 7)]
    for (t, image), number in zip(iter_frames(video, grey=False), numbers, strict=True):
        assert t == number - 1
        np.testing.assert_array_equal(image, picture(number))


def test_a_gap_asked_for_by_name_is_an_error(tmp_path):
    video = folder_video(tmp_path, [1, 3], missing=((2, 2),))
    with pytest.raises(FrameError, match=r"no frame at position 1.*missing"):
        read_frame(video, 1)
    with pytest.raises(FrameError, match=r"no frame at position 3.*ends at 2"):
        read_frame(video, 3)


def jpeg_with_thumbnail() -> bytes:
    """Return a JPEG whose header holds a whole small JPEG, as cameras write them."""
    encoded = cv2.imencode(".jpg", picture(3))[1].tobytes()
    thumbnail = cv2.imencode(".jpg", picture(1, (8, 8)))[1].tobytes()
    segment = b"Exif\x00\x00" + thumbnail
    return encoded[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + encoded[2:]


ENCODED = {ext: cv2.imencode(ext, picture(3))[1].tobytes() for ext in (".jpg", ".png", ".bmp")}


@pytest.mark.parametrize(
    ("ext", "content", "what"),
    [
        (".jpg", b"", "empty"),
        (".jpg", ENCODED[".jpg"][: len(ENCODED[".jpg"]) // 2], "ends before its end marker"),
        (".jpg", ENCODED[".jpg"][:-1], "ends before its end marker"),
        (".jpg", ENCODED[".jpg"][:20], "ends before its end marker"),
        (".jpg", jpeg_with_thumbnail()[:-40], "ends before its end marker"),
        (".jpg", b"not a picture", "cannot decode"),
        (".png", ENCODED[".png"][:-200], "ends before its end marker"),
        (".bmp", ENCODED[".bmp"][:20], "cannot decode"),
        (".jpg", None, "cannot be read: No such file"),
    ],
)
def test_a_damaged_frame_is_named_or_becomes_a_gap(tmp_path, ext, content, what):
    video = folder_video(tmp_path, range(1, 7), ext=ext)
    damaged = video.frame_path(3)
    damaged.unlink() if content is None else damaged.write_bytes(content)

    with pytest.raises(FrameError, match=f"toy/s1/v1, position 3: .*img004.*{what}"):
        list(iter_frames(video))
    with pytest.warns(DamagedFrameWarning, match="img004.*left out as a gap"):
        assert [t for t, _ in iter_frames(video, on_damaged="gap")] == [0, 1, 2, 4, 5]
    assert list(damaged_frames(video)) == [3]
    assert what in damaged_frames(video)[3]


def test_whole_pictures_pass_with_a_thumbnail_or_bytes_behind_the_end(tmp_path):
    for name, content in {"a.jpg": jpeg_with_thumbnail(), "b.jpg": ENCODED[".jpg"] + bytes(64)}.items():
        (tmp_path / name).write_bytes(content)
        assert read_image(tmp_path / name).shape == SIZE


def test_a_frame_of_another_size_is_an_error_even_where_damage_is_a_gap(folder):
    cv2.imwrite(str(folder.frame_path(4)), picture(0, (24, 32)))
    with pytest.raises(FrameError, match=r"position 4: the frame is 32 x 24 px, the video is 64 x 48 px"):
        list(iter_frames(folder, on_damaged="gap"))


def test_the_manifest_says_the_size(tmp_path, folder):
    declared = Video(**{**folder.__dict__, "width": 640, "height": 480})
    with pytest.raises(FrameError, match="64 x 48 px, the video is 640 x 480 px"):
        next(iter_frames(declared))


def test_a_missing_folder_is_named(tmp_path):
    video = folder_video(tmp_path / "here", [1, 2])
    moved = Video(**{**video.__dict__, "path": tmp_path / "elsewhere"})
    with pytest.raises(FrameError, match="elsewhere does not exist"):
        next(iter_frames(moved))


def test_an_unknown_treatment_of_damage_is_refused(folder):
    with pytest.raises(FrameError, match="pad"):
        iter_frames(folder, on_damaged="pad")


# --- video files ----------------------------------------------------------------------------------------------------


def test_damage_in_the_middle_of_a_video_file_names_place_and_time(tmp_path):
    path = spoil(write_video(tmp_path / "v.mp4", (picture(t % 20) for t in range(60))), count=60)
    video = Video("toy/s1/v2", "toy", "s1", "v2", path, "video", 30.0, 0, 59)
    before = []
    with pytest.raises(FrameError, match=r"toy/s1/v2, positions? [0-9].* of 60 \([01]\.[0-9]+ s\): .*v.mp4"):
        before.extend(iter_frames(video))
    assert [t for t, _ in before] == list(range(len(before)))
    assert len(before) >= 10
    with pytest.warns(DamagedFrameWarning) as warned:
        kept = {t for t, _ in iter_frames(video, on_damaged="gap")}
    assert len(warned) == 1  # one fault, one warning
    assert kept == set(range(60)) - set(damaged_frames(video))
    assert 59 in kept


def test_frames_of_a_variable_rate_stand_at_their_times(tmp_path):
    numbers = [0, 1, 2, 4, 5, 9, 10, 11]
    stamps = [round(1000 * n / 30) for n in numbers]
    path = write_video(tmp_path / "v.mkv", map(picture, numbers), "mjpeg", stamps_ms=stamps)
    video = Video("toy/s1/v2", "toy", "s1", "v2", path, "video", 30.0, 0, 11, missing=((3, 3), (6, 8)))
    levels = {t: brightness(image) for t, image in iter_frames(video)}
    assert list(levels) == numbers
    for t, level in levels.items():
        assert level == pytest.approx(brightness(picture(t)), abs=12)


def test_a_video_file_that_ends_early(tmp_path):
    video = file_video(tmp_path / "short.avi", 12, written=9)
    with pytest.raises(FrameError, match=r"positions 9 to 11 of 12 \(0.30 s\): .*short.avi ends at 0.30 s"):
        list(iter_frames(video))
    with pytest.warns(DamagedFrameWarning) as warned:
        assert [t for t, _ in iter_frames(video, on_damaged="gap", step=2)] == [0, 2, 4, 6, 8]
    assert len(warned) == 1  # position 10
    assert list(damaged_frames(video)) == [9, 10, 11]


@pytest.mark.parametrize(
    ("content", "what"), [(None, "does not exist"), (b"", "empty"), (b"text" * 99, "is no video file")]
)
def test_what_is_no_video_file_is_named(tmp_path, content, what):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FrameError, match=rf"clip.mp4.* {what}"):
        next(iter_frames(Video("toy/s1/v3", "toy", "s1", "v3", path, "video", 30.0, 0, 9)))


# --- memory ---------------------------------------------------------------------------------------------------------


def resident_growth_mb(video: Video, *, warm: int) -> float:
    """Return how much resident memory the frames behind the first `warm` ones cost, in MB."""
    process = psutil.Process()
    base = peak = 0
    for t, _ in iter_frames(video, grey=False):
        if t == warm:
            base = peak = process.memory_info().rss
        elif t > warm and t % 20 == 0:
            peak = max(peak, process.memory_info().rss)
    assert base
    return (peak - base) / 1e6


def test_memory_of_a_video_file_does_not_grow_with_its_length(tmp_path):
    video = file_video(tmp_path / "long.avi", 600, size=(240, 320))  # 138 MB of pixels
    assert resident_growth_mb(video, warm=60) < 15


def test_memory_of_a_frame_folder_does_not_grow_with_its_length(tmp_path):
    picture_file = cv2.imencode(".jpg", picture(3, (240, 320)))[1].tobytes()
    for number in range(600):
        (tmp_path / f"img{number:03d}.jpg").write_bytes(picture_file)
    video = folder_video(tmp_path, [0], last=599, ext=".jpg")
    cv2.imwrite(str(video.frame_path(0)), picture(3, (240, 320)))
    assert resident_growth_mb(video, warm=60) < 15

    tracemalloc.start()
    for _ in iter_frames(video, grey=False):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 240 * 320 * 3  # of NumPy and Python: the image in hand, the one before it, and the file
