"""Video files: stamps to positions, pictures of every codec and pixel format, turned ones, damage, and what is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import SIZE, cut_short, number_of, picture, spoil, turn, write_sound, write_video

from mespot_lib import video_file
from mespot_lib.video_file import (
    Damage,
    Picture,
    VideoFileError,
    decode,
    grid_positions,
    index_video,
    recording_rate,
)

PICTURES = [picture(t) for t in range(20)]


def read(path, wanted=None):
    """Return the numbers told by the pictures, by position, and the damaged positions with the reasons."""
    parts = list(decode(path, range(index_video(path).length) if wanted is None else wanted))
    numbers = {part.t: number_of(part.image) for part in parts if isinstance(part, Picture)}
    return numbers, {t: part.reason for part in parts if isinstance(part, Damage) for t in part.positions}


# --- stamps ---------------------------------------------------------------------------------------------------------


def test_a_dropped_frame_is_a_gap():
    assert grid_positions(np.array([0, 1, 2, 4, 5]) / 30, 30).tolist() == [0, 1, 2, 4, 5]


def test_of_two_frames_at_one_position_the_first_counts():
    assert grid_positions(np.array([0, 1, 1.1, 2]) / 30, 30).tolist() == [0, 1, -1, 2]


@given(st.integers(2, 400), st.floats(5, 240), st.floats(0, 3), st.integers(0, 2**32 - 1))
def test_stamps_rounded_to_milliseconds_lie_on_their_grid(count, rate, start, seed):
    """Whatever the phase of the first frame, no frame of an even recording is lost or leaves a gap."""
    stamps = np.round(start * 1000 + np.arange(count) * 1000 / rate) / 1000
    assert grid_positions(stamps, rate).tolist() == list(range(count))


@given(st.floats(0.1, 0.9), st.integers(3, 50))
def test_a_first_frame_out_of_step_does_not_cost_the_others(phase, count):
    places = np.array([0.0, *(1 + phase + np.arange(count))])
    places[1:] += np.random.default_rng(0).uniform(-0.05, 0.05, count)
    positions = grid_positions(places / 30, 30)
    assert (np.diff(positions) >= 1).all()
    assert positions[-1] <= count + 2  # where the jitter crosses the border for the first time, a gap


@pytest.mark.parametrize("rate", [15.0, 24000 / 1001, 25.0, 29.97, 30.0, 59.94, 100.0, 200.0])
def test_the_rate_is_that_of_the_recording_not_of_the_frames_that_are_left(rate):
    rng = np.random.default_rng(3)
    stamps = np.round(np.arange(600) / rate, 3)
    assert recording_rate(stamps) == pytest.approx(rate, rel=1e-3)
    assert recording_rate(stamps[rng.random(600) > 0.3]) == pytest.approx(rate, rel=1e-3)
    pause = np.concatenate([stamps[:300], stamps[300:] + 12.3])
    assert recording_rate(pause) == pytest.approx(rate, rel=1e-3)


def test_a_variable_rate_keeps_its_times(tmp_path):
    numbers = [0, 1, 2, 5, 6, 8, 9, 10, 11, 15, 16, 17]
    stamps = [round(1000 * n / 30) for n in numbers]
    path = write_video(tmp_path / "v.webm", (picture(n) for n in numbers), "libvpx", stamps_ms=stamps)
    index = index_video(path)
    assert index.rate == pytest.approx(30, rel=2e-3)
    assert index.positions.tolist() == numbers
    assert index.missing == ((3, 4), (7, 7), (12, 14))
    assert (index.length, index.dropped) == (18, 0)
    assert read(path) == ({n: n for n in numbers}, {})


def test_an_exact_rate_is_kept_exactly(tmp_path):
    path = write_video(tmp_path / "v.mp4", PICTURES, fps=24000 / 1001)
    assert index_video(path).rate == 24000 / 1001


def test_frames_too_many_for_the_rate_are_counted(tmp_path):
    stamps = [0, 33, 67, 70, 100, 133, 167, 200]
    index = index_video(write_video(tmp_path / "v.mkv", PICTURES[:8], "mjpeg", stamps_ms=stamps))
    assert (index.dropped, index.positions.tolist()) == (1, [0, 1, 2, 3, 4, 5, 6])


# --- pictures -------------------------------------------------------------------------------------------------------

KINDS = [
    ("v.mp4", "libx264", None, 3),
    ("v.MP4", "mpeg4", None, 3),
    ("v.mp4", "libx264", "yuv420p10le", 3),
    ("v.mp4", "libx265", None, 3),
    ("v.mov", "libx264", "yuv444p", 3),
    ("v.mov", "qtrle", "argb", 3),
    ("v.avi", "mjpeg", None, 3),
    ("v.avi", "mpeg4", None, 3),
    ("v.avi", "ffv1", "gray", 1),
    ("v.mkv", "ffv1", "gray10le", 1),
    ("v.webm", "libvpx", None, 3),
    ("v.webm", "libvpx-vp9", "yuva420p", 3),
    ("v.ts", "libx264", None, 3),
    ("v.wmv", "wmv2", None, 3),
    ("v.h264", "libx264", None, 3),
]


@pytest.mark.parametrize(("name", "codec", "pixels", "channels"), KINDS)
def test_every_frame_has_its_picture_and_its_place(tmp_path, name, codec, pixels, channels):
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / name, PICTURES, codec, pixels=pixels, options=quiet)
    index = index_video(path)
    assert (index.length, index.channels, index.missing) == (20, channels, ())
    assert (index.height, index.width) == SIZE
    assert index.stamped == (name != "v.h264")
    if index.stamped:
        assert index.rate == pytest.approx(30, rel=1e-3)
    assert read(path) == ({t: t for t in range(20)}, {})
    for wanted in (range(13, 16), range(19, 20), range(2, 20, 7)):
        assert read(path, wanted) == ({t: t for t in wanted}, {})


@pytest.mark.parametrize("shift", [0, 1000])
def test_what_is_sought_is_what_is_read_in_order(tmp_path, shift):
    """With frames that refer forwards, and a clock that does not begin at 0."""
    stamps = [shift + round(1000 * t / 30) for t in range(60)]
    images = [picture(t) for t in range(60)]
    path = write_video(tmp_path / "v.mp4", images, options={"bf": "3", "g": "15"}, stamps_ms=stamps)
    everything = {part.t: part.image for part in decode(path, range(60))}
    for t in range(60):
        (part,) = decode(path, range(t, t + 1))
        np.testing.assert_array_equal(part.image, everything[t])


def test_seeking_skips_what_is_not_wanted(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", [picture(t) for t in range(60)])
    decoded = []
    original = video_file._position
    monkeypatch.setattr(video_file, "_position", lambda *a: decoded.append(original(*a)) or decoded[-1])
    assert read(path, range(47, 49)) == ({47: 7, 48: 8}, {})
    assert min(decoded) == 40


def test_a_container_that_leads_elsewhere_is_read_from_its_beginning(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", [picture(t) for t in range(60)])
    monkeypatch.setattr(video_file, "_key_before", lambda index, t: int(index.stamps[50]))
    assert read(path, range(47, 49)) == ({47: 7, 48: 8}, {})


@pytest.mark.parametrize("quarters", range(4))
def test_a_telephone_held_upright(tmp_path, quarters):
    path = turn(write_video(tmp_path / "v.mp4", PICTURES), quarters)
    index = index_video(path)
    assert (index.height, index.width) == (SIZE if quarters % 2 == 0 else SIZE[::-1])
    image = next(decode(path, range(1))).image
    h, w = image.shape[0] // 4, image.shape[1] // 4
    corners = [image[:h, :w], image[:h, -w:], image[-h:, -w:], image[-h:, :w]]  # clockwise
    assert np.argmax([corner.mean() for corner in corners]) == quarters


@pytest.mark.parametrize("size", [(241, 321), (97, 33)])
def test_odd_sizes(tmp_path, size):
    path = write_video(tmp_path / "v.mkv", [picture(t, size) for t in range(5)], "ffv1", pixels="bgr0")
    np.testing.assert_array_equal(next(decode(path, range(3, 4))).image, picture(3, size))


@pytest.mark.parametrize("name", ["ein Gesicht.mp4", "Ünïcödé 日本.MP4", "a%20b#c;'d.mp4", "file:x.mp4"])
def test_names_of_every_kind(tmp_path, name):
    path = write_video(tmp_path / "plain.mp4", PICTURES).rename(tmp_path / name)
    assert index_video(path).length == 20


def test_sound_beside_the_pictures_changes_nothing(tmp_path):
    path = write_video(tmp_path / "v.mp4", PICTURES, sound=True)
    assert index_video(path).length == 20
    assert read(path) == ({t: t for t in range(20)}, {})


def test_a_file_that_changes_is_indexed_again(tmp_path):
    path = write_video(tmp_path / "v.mp4", PICTURES)
    assert index_video(path).length == 20
    write_video(path, PICTURES[:7])
    assert index_video(path).length == 7


# --- damage ---------------------------------------------------------------------------------------------------------

SIXTY = [picture(t) for t in range(60)]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("v.mp4", "libx264"),
        ("v.avi", "mjpeg"),
        ("v.avi", "mpeg4"),
        ("v.webm", "libvpx"),
        ("v.mkv", "libx264"),
    ],
)
def test_a_file_cut_short_keeps_its_beginning_and_the_length_promised(tmp_path, name, codec):
    path = cut_short(write_video(tmp_path / name, SIXTY, codec))
    index = index_video(path)
    assert index.length == 60
    assert 10 < index.readable < 50
    numbers, damage = read(path)
    assert list(numbers) == list(range(len(numbers)))
    assert len(numbers) >= index.readable - 2  # the last packet may be a half
    assert all(number == t % 20 for t, number in numbers.items())
    assert sorted(damage) == list(range(len(numbers), 60))
    assert damage[59] == f"ends at {index.readable / 30:.2f} s"


def test_damage_in_the_middle_reaches_to_the_next_key_frame(tmp_path):
    path = spoil(write_video(tmp_path / "v.mp4", SIXTY))
    numbers, damage = read(path)
    assert set(numbers) | set(damage) == set(range(60))
    assert {0, 59} <= set(numbers)
    assert all(number == t % 20 for t, number in numbers.items())
    assert 1 <= len(damage) <= 20
    assert max(damage) % 10 == 9  # key frames stand at every tenth


def test_damage_in_pictures_that_stand_alone_costs_these_alone(tmp_path):
    path = spoil(write_video(tmp_path / "v.avi", SIXTY, "mjpeg"), count=100)
    numbers, damage = read(path)
    assert 1 <= len(damage) <= 2
    assert len(numbers) + len(damage) == 60


def test_without_stamps_nothing_behind_a_fault_has_a_place(tmp_path):
    path = spoil(write_video(tmp_path / "v.h264", SIXTY), at=0.4)
    numbers, damage = read(path)
    assert all(number == t % 20 for t, number in numbers.items())
    assert sorted(damage) == list(range(len(numbers), index_video(path).length))


def garbage(path):
    path.write_bytes(b"text" * 999)


def without_index(path):
    """A camera that was switched off while it wrote: the index, which comes last, is not there."""
    write_video(path, SIXTY)
    data = path.read_bytes()
    at = data.index(b"moov") - 4
    path.write_bytes(data[:at] + data[at + int.from_bytes(data[at : at + 4], "big") :])


def unknown_codec(path):
    write_video(path, PICTURES, "mjpeg")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"QQ7Z"))


def all_damaged(path):
    data = write_video(path, PICTURES).read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("v.mp4", lambda path: None, "does not exist"),
        ("v.mp4", lambda path: path.touch(), r"is empty \(0 bytes\)"),
        ("v.mp4", lambda path: path.mkdir(), "is no video file"),
        ("v.mp4", garbage, "is no video file"),
        ("v.mp4", without_index, "is no video file .* or is cut short"),
        ("v.avi", unknown_codec, "no decoder for its codec"),
        ("v.mp4", all_damaged, "not one of its .* frames can be decoded"),
        ("v.m4a", write_sound, "has no pictures, only audio"),
    ],
)
def test_what_is_no_readable_video_is_said_in_one_line(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(VideoFileError, match=message) as error:
        index_video(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_stamps_that_go_back_are_refused(tmp_path):
    """Two recordings in one file, as cameras that split them and users who join them make it."""
    path = write_video(tmp_path / "v.ts", PICTURES)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(VideoFileError, match=r"v.ts: its time stamps go back to 0.00 s"):
        index_video(path)


def test_impossible_stamps_are_refused(tmp_path):
    slow = write_video(tmp_path / "slow.mkv", PICTURES[:4], "mjpeg", stamps_ms=[0, 9000, 18000, 27000])
    with pytest.raises(VideoFileError, match=r"slow.mkv: its time stamps make 0.11+ frames per second"):
        index_video(slow)
    odd = [0, 33, 67, 100, 4 * 10**8]
    far = write_video(tmp_path / "far.mkv", PICTURES[:5], "mjpeg", stamps_ms=odd)
    with pytest.raises(VideoFileError, match=r"far.mkv: its time stamps reach from 0.0 to 400000.0 s"):
        index_video(far)
