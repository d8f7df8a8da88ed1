"""Frame folders: names, numbers, gaps, junk, and the image size from the header."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import jpeg

from mespot_lib.datasets.folders import image_size, merged, scan_frames, video_files
from mespot_lib.manifest import DatasetError


def folder_of(path, *names):
    path.mkdir(exist_ok=True)
    for name in names:
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("pattern", "numbers", "pad_width"),
    [
        ("img{:03d}.jpg", (1, 999, 1000, 4374), 3),
        ("img_{}.jpg", (1, 9, 10, 100), 0),
        ("006_1_{:04d}.jpg", (1, 2, 9999), 4),
        ("006_1_{:05d}.jpg", (1, 2, 9999, 11770), 5),
        ("{}.png", (8, 9, 10), 0),
        ("img{:03d}.JPG", (1, 2), 3),
    ],
)
def test_every_naming_is_recognised_and_written_again(tmp_path, pattern, numbers, pad_width):
    frames = scan_frames(folder_of(tmp_path, *(pattern.format(no) for no in numbers)))
    assert (frames.first, frames.last, frames.count, frames.pad_width) == (
        numbers[0],
        numbers[-1],
        len(numbers),
        pad_width,
    )
    assert [frames.file_name(no) for no in numbers] == [pattern.format(no) for no in numbers]


@given(numbers=st.sets(st.integers(0, 3000), min_size=1, max_size=60))
def test_gaps_are_exactly_the_absent_numbers(tmp_path_factory, numbers):
    folder = folder_of(tmp_path_factory.mktemp("f"), *(f"img_{no}.jpg" for no in numbers))
    frames = scan_frames(folder)
    absent = {no for a, b in frames.missing for no in range(a, b + 1)}
    assert absent == set(range(min(numbers), max(numbers) + 1)) - numbers
    assert frames.count == len(numbers)


@given(
    numbers=st.sets(st.integers(0, 60), min_size=1),
    damaged=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 9)), max_size=6),
)
def test_damaged_frames_are_as_good_as_absent(tmp_path_factory, numbers, damaged):
    ranges = [(first, first + length) for first, length in damaged]
    left = numbers - {no for a, b in ranges for no in range(a, b + 1)}
    names = (f"img_{no}.jpg" for no in numbers)
    frames = scan_frames(folder_of(tmp_path_factory.mktemp("f"), *names)).without(ranges)
    assert frames.count == len(left)
    if left:
        absent = {no for a, b in frames.missing for no in range(a, b + 1)}
        assert absent == set(range(min(left), max(left) + 1)) - left
        assert (frames.first, frames.last) == (min(left), max(left))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=8))
def test_merged_ranges_hold_the_same_numbers_and_lie_apart(pairs):
    ranges = [(first, first + length) for first, length in pairs]
    joined = merged(ranges)
    assert {n for a, b in joined for n in range(a, b + 1)} == {n for a, b in ranges for n in range(a, b + 1)}
    assert all(later[0] > earlier[1] + 1 for earlier, later in itertools.pairwise(joined))


def test_video_files_are_told_by_their_extension(tmp_path):
    (tmp_path / "folder.avi").mkdir()
    assert video_files(folder_of(tmp_path, "b.AVI", "a.mp4", ".c.mp4", "d.txt", "e")) == ["a.mp4", "b.AVI"]


def test_files_that_are_no_frames_are_listed(tmp_path):
    junk = ["Thumbs.db", ".DS_Store", "._img001.jpg", "notes.txt", "cover.jpg"]
    frames = scan_frames(folder_of(tmp_path, "img001.jpg", "img002.jpg", *junk))
    assert frames.count == 2
    assert sorted(frames.ignored) == sorted(junk)


def test_a_folder_without_frames_is_none(tmp_path):
    assert scan_frames(folder_of(tmp_path, "Thumbs.db")) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("img001.jpg", "img_1.jpg"), "named in two ways, .*img"),
        (("img001.jpg", "img002.png"), "named in two ways"),
        (("img001.jpg", "img0002.jpg"), "named in two ways"),
        (("img1.jpg", "img01.jpg"), "two files claim frame 1"),
        (("img2.jpg", "img01.jpg"), "padded to 2 digits, others have 1"),
        (("img1234567890.jpg",), "10 digits cannot be right"),
        (("img1.jpg", "img99999999.jpg"), "from 1 to 99999999 cannot be one video"),
    ],
)
def test_ambiguous_names_are_refused_and_named(tmp_path, names, message):
    with pytest.raises(DatasetError, match=message):
        scan_frames(folder_of(tmp_path, *names))


@pytest.mark.parametrize("ext", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_size_comes_from_the_header(tmp_path, ext, channels):
    image = np.zeros((34, 57) if channels == 1 else (34, 57, 3), np.uint8)
    path = tmp_path / f"a{ext}"
    path.write_bytes(cv2.imencode(ext, image)[1].tobytes()[:600])  # the header is enough
    assert image_size(path) == (57, 34, channels)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"no image at all", jpeg()[:20], b"\xff\xd8\xff\xe0\x00\x00" * 9]
)
def test_unreadable_images_have_no_size(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    assert image_size(tmp_path / "a.jpg") is None
