"""Videos of one's own: files, frame folders and folders of several, and what is said when there is none."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import cut_short, number_of, picture, write_sound, write_video
from typer.testing import CliRunner

from mespot_lib.cli import app
from mespot_lib.datasets.build import SYNTHETIC_MARKER
from mespot_lib.datasets.own_video import read_media
from mespot_lib.frames import DamagedFrameWarning, FrameError, iter_frames
from mespot_lib.manifest import DatasetError, check_manifest, read_manifest, write_manifest


def frame_folder(path: Path, names) -> Path:
    path.mkdir(parents=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(path / name), picture(number))
    return path


def clip(path: Path, count: int = 12, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, (picture(t) for t in range(count)), **settings)


def only_video(manifest):
    (uid,) = manifest.uids
    return manifest.video(uid)


def remarks(manifest) -> dict[str, str]:
    return {remark["rule"]: remark["before"] for remark in manifest.descriptor["remarks"]}


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_tells_all_about_itself(tmp_path):
    manifest = read_media(clip(tmp_path / "Meine Aufnahme.MP4", fps=25))
    video = only_video(manifest)
    assert video.uid == "own_video/Meine Aufnahme/Meine Aufnahme"
    assert (video.fps, video.length, video.missing) == (25, 12, ())
    assert (video.width, video.height, video.channels) == (128, 96, 3)
    assert not video.publishable
    assert not video.synthetic
    assert manifest.truth(video.uid) == []
    assert not manifest.videos["gt_available"].any()
    assert manifest.descriptor["licence"]["name"] == "your own"
    assert check_manifest(manifest) == []
    assert [number_of(image) for _, image in iter_frames(video, grey=False)] == list(range(12))


def test_the_manifest_is_written_and_read_again(tmp_path):
    manifest = read_media(clip(tmp_path / "v.mp4"))
    write_manifest(manifest, tmp_path / "out")
    assert read_manifest(tmp_path / "out", tmp_path).digest() == manifest.digest()


def test_gaps_of_a_variable_rate_keep_their_place(tmp_path):
    numbers = [0, 1, 2, 5, 6, 7, 8, 9]
    stamps = [round(1000 * n / 30) for n in numbers]
    path = write_video(tmp_path / "v.webm", (picture(n) for n in numbers), "libvpx", stamps_ms=stamps)
    manifest = read_media(path)
    video = only_video(manifest)
    assert video.missing == ((3, 4),)
    assert remarks(manifest)["frames_missing"] == "3-4"
    seen = list(iter_frames(video, grey=False))
    assert [t for t, _ in seen] == numbers == [number_of(image) for _, image in seen]


def test_a_rate_that_is_given_changes_the_times_and_not_the_frames(tmp_path):
    """A laboratory camera filmed 200 frames per second, and its file says 30."""
    manifest = read_media(clip(tmp_path / "v.avi", codec="mjpeg"), fps=200)
    video = only_video(manifest)
    assert (video.fps, video.length, video.missing) == (200, 12, ())
    assert remarks(manifest)["fps_given"] == "30"
    assert [t for t, _ in iter_frames(video)] == list(range(12))


def test_a_file_cut_short_is_remarked_on_and_read_as_far_as_it_goes(tmp_path):
    manifest = read_media(cut_short(clip(tmp_path / "v.mkv", 60)))
    video = only_video(manifest)
    assert video.length == 60
    assert remarks(manifest)["file_ends_early"] == "60 frames"
    kept = []
    with pytest.raises(FrameError, match=r"own_video/v/v, positions? .* of 60 \(.* s\): .*v.mkv"):
        kept.extend(frame.t for frame in iter_frames(video))
    assert kept == list(range(len(kept)))
    assert len(kept) > 15
    with pytest.warns(DamagedFrameWarning):
        assert [frame.t for frame in iter_frames(video, on_damaged="gap")] == kept


def test_a_side_file_beside_it_is_found(tmp_path):
    path = clip(tmp_path / "v.mp4")
    (tmp_path / "landmarks").mkdir()
    (tmp_path / "landmarks" / "v.npz").touch()
    assert only_video(read_media(path)).landmarks == tmp_path / "landmarks" / "v.npz"


@pytest.mark.parametrize("name", ["a#b.mp4", "日本 (1).mp4", "x.tar.mp4", "CON.mp4", "o'clock;.mp4"])
def test_names_of_every_kind_make_a_sound_manifest(tmp_path, name):
    video = only_video(read_media(clip(tmp_path / "v.mp4").rename(tmp_path / name)))
    assert "#" not in video.uid
    assert len(list(iter_frames(video))) == 12


def test_a_drawn_video_is_known_by_the_marker_beside_it(tmp_path):
    path = clip(tmp_path / "v.mp4")
    (tmp_path / SYNTHETIC_MARKER).touch()
    video = only_video(read_media(path))
    assert (video.uid, video.synthetic, video.publishable) == ("synthetic_own_video/v/v", True, True)


# --- folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["img{:03d}.png", "Frame {}.PNG", "{:05d}.jpg"])
def test_a_folder_of_frames_is_one_video(tmp_path, pattern):
    folder = frame_folder(tmp_path / "rec 1", [pattern.format(no) for no in (7, 8, 11, 12)])
    video = only_video(read_media(folder, fps=50))
    assert video.uid == "own_video/rec 1/rec 1"
    assert (video.fps, video.length, video.missing) == (50, 6, ((9, 10),))
    assert [t for t, _ in iter_frames(video)] == [0, 1, 4, 5]


def test_the_folder_one_stands_in_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(frame_folder(tmp_path / "here", ["f1.png", "f2.png"]))
    assert only_video(read_media(".", fps=30)).uid == "own_video/here/here"


def test_a_folder_of_several_videos(tmp_path):
    clip(tmp_path / "b.mp4")
    clip(tmp_path / "a.mov", fps=25)
    frame_folder(tmp_path / "c", ["1.png", "2.png"])
    (tmp_path / "notes.txt").touch()
    manifest = read_media(tmp_path, fps=30)
    assert manifest.uids == ("own_video/a/a", "own_video/b/b", "own_video/c/c")
    assert manifest.subjects == ("a", "b", "c")
    for uid in manifest.uids:
        assert len(list(iter_frames(manifest.video(uid)))) == manifest.video(uid).length


def test_files_of_one_stem_are_told_apart(tmp_path):
    clip(tmp_path / "v.mp4")
    clip(tmp_path / "v.mov")
    assert read_media(tmp_path).uids == ("own_video/v.mov/v.mov", "own_video/v.mp4/v.mp4")


def test_one_file_that_cannot_be_read_does_not_hide_the_others(tmp_path):
    clip(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 99)
    manifest = read_media(tmp_path)
    assert manifest.uids == ("own_video/good/good",)
    assert "bad.mp4 is no video file" in remarks(manifest)["video_unreadable"]


# --- what is said ---------------------------------------------------------------------------------------------------


def several_unreadable(path):
    path.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (path / name).touch()


CASES = {
    "absent": (lambda path: None, "no such file or folder"),
    "empty.mp4": (lambda path: path.touch(), r"is empty \(0 bytes\)"),
    "text.mp4": (lambda path: path.write_text("hello " * 99), "is no video file"),
    "sound.m4a": (write_sound, "has no pictures, only audio"),
    "front.mp4": (lambda path: cut_short(clip(path), 0.02), "is no video file .* or is cut short"),
    "frames": (lambda path: frame_folder(path, ["i1.png", "i2.png"]), "give it .fps=30, or --fps 30"),
    "nothing": (lambda path: path.mkdir(), "holds no video file and no numbered frames"),
    "names": (lambda path: frame_folder(path, ["anna.png"]), r"not frames by their names \(anna.png\)"),
    "both": (
        lambda path: clip(frame_folder(path, ["i1.png"]) / "v.mp4"),
        r"holds frames \(i1.png\) and a video file \(v.mp4\)",
    ),
    "twice": (lambda path: frame_folder(path, ["a1.png", "b1.png"]), "named in two ways"),
    "all bad": (several_unreadable, "none of its 2 videos can be read, .*a.mp4 is empty"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name):
    make, message = CASES[name]
    make(tmp_path / name)
    with pytest.raises(DatasetError, match=message) as error:
        read_media(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    told = CliRunner().invoke(app, ["manifest", "own_video", str(tmp_path / name)])
    assert told.exit_code == 2
    assert str(error.value) in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("fps", [0, -30, 1e6, float("nan")])
def test_impossible_rates_are_refused(tmp_path, fps):
    with pytest.raises(DatasetError, match="fps must be between 1 and 2000"):
        read_media(clip(tmp_path / "v.mp4"), fps=fps)


def test_the_command_takes_the_rate_of_a_folder(tmp_path):
    folder = frame_folder(tmp_path / "f", ["i1.png", "i2.png"])
    told = CliRunner().invoke(
        app, ["manifest", "own_video", str(folder), "--fps", "60", "--out", str(tmp_path / "m")]
    )
    assert told.exit_code == 0, told.output
    assert read_manifest(tmp_path / "m", tmp_path).video("own_video/f/f").fps == 60


# --- a real clip ----------------------------------------------------------------------------------------------------


def test_a_real_clip(tmp_path):
    path = os.environ.get("MESPOT_REAL_CLIP")
    if not path or not Path(path).is_file():
        pytest.skip("set MESPOT_REAL_CLIP to a video file of one person's face")
    video = only_video(read_media(shutil.copy(path, tmp_path)))
    seen = [t for t, _ in iter_frames(video)]
    assert len(seen) == video.length - sum(b - a + 1 for a, b in video.missing)
    assert np.diff(seen).min() >= 1
