"""`mespot spot`: what it writes and prints, and that whatever is wrong costs one clear line and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import av
import cv2
import filmed
import numpy as np
import pytest
from typer.testing import CliRunner

from mespot_lib.cli import app
from mespot_lib.interval import read_intervals
from mespot_lib.spot_page import FILES

pytestmark = pytest.mark.xdist_group("own_video")


def mespot(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    images, _ = filmed.drawn()
    return filmed.film(tmp_path_factory.mktemp("clips") / "clip.mp4", images)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---------------------------------------------------------------------------------------------------------------------
# What it does


def test_results_appear_beside_the_working_folder_and_are_named(clip, here):
    done = mespot("spot", clip, "--backend", "cascade", "--no-faces")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (here / "clip_spotted").iterdir()) == sorted(FILES)
    assert [path.name for path in here.iterdir()] == ["clip_spotted"]
    assert "clip.mp4: 1 ME, 1 MaE in 6.0 s, a face in 100% of the pictures" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(os.path.join("clip_spotted", "report.html"))
    (spans,) = read_intervals(here / "clip_spotted" / "spotted.csv").values()
    assert sorted(span.kind for span in spans) == ["ME", "MaE"]

    before = (here / "clip_spotted" / "spotted.csv").stat().st_mtime_ns
    again = mespot("spot", clip, "--backend", "cascade")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "is not empty; name another folder, or replace its results with --force" in again.stderr
    assert (here / "clip_spotted" / "spotted.csv").stat().st_mtime_ns == before


def test_json_tells_the_same(clip, here):
    done = mespot(
        "spot", clip, "--backend", "cascade", "--method", "zhang2020", "--out", here / "o", "--json"
    )
    record = json.loads(done.stdout)
    assert record["summary"]["ME"] + record["summary"]["MaE"] == len(record["spotted"]) >= 1
    assert record["spotted"][0]["onset_s"] == pytest.approx(record["spotted"][0]["onset"] / 30, abs=1e-3)
    assert record["settings"]["method"] == "zhang2020"
    assert record["gaps"] == []


# ---------------------------------------------------------------------------------------------------------------------
# Whatever is wrong


def nothing(folder):
    return folder / "nothing.mp4"


def empty_file(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text_file(folder):
    (folder / "text.mp4").write_text("this is no film\n" * 50)
    return folder / "text.mp4"


def sound(folder):
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def headless(folder):
    """A file whose table of contents, which stands at the end, is cut off."""
    path = filmed.film(folder / "headless.mp4", filmed.wall(10))
    path.write_bytes(path.read_bytes()[:-400])
    return path


def faceless(folder):
    return filmed.film(folder / "faceless.mp4", filmed.wall(8))


def frames(folder):
    """A folder of frames, which do not tell their rate."""
    (folder / "frames").mkdir()
    for number, image in enumerate(filmed.wall(3), start=1):
        cv2.imwrite(str(folder / "frames" / f"img{number:03d}.jpg"), image)
    return folder / "frames"


def empty_folder(folder):
    (folder / "none").mkdir()
    return folder / "none"


def several(folder):
    (folder / "several").mkdir()
    for name in ("a.mp4", "b.mp4"):
        filmed.film(folder / "several" / name, filmed.wall(2))
    return folder / "several"


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (nothing, (), "nothing.mp4"),
        (empty_file, (), "is empty"),
        (text_file, (), "text.mp4"),
        (sound, (), "no pictures"),
        (headless, (), "headless.mp4"),
        (faceless, (), "no face in any of the 8 pictures"),
        (frames, (), "--fps 30"),
        (frames, ("--fps", "0"), "fps must be between"),
        (frames, ("--fps", "nan"), "fps must be between"),
        (empty_folder, (), "holds no video"),
        (several, (), "holds 2 videos"),
        (faceless, ("--method", "magic"), "method 'magic' is unknown"),
        (faceless, ("--face", "0"), "a number from 1"),
        (faceless, ("--face", "left"), "a number from 1"),
        (faceless, ("--backend", "magic"), "magic"),
        (faceless, ("--landmarks", "absent.npz"), "absent.npz"),
        (faceless, ("--landmarks", "absent.csv"), "absent.csv"),
        (faceless, ("--out", "taken"), "taken is not empty"),
        (faceless, ("--out", "taken", "--force"), "taken holds diary.txt"),
        (faceless, ("--out", "taken/diary.txt"), "is a file"),
    ],
)
def test_it_is_one_line_and_leaves_nothing(here, make, options, words):
    (here / "taken").mkdir()
    (here / "taken" / "diary.txt").write_text("dear")
    path = make(here)
    before = sorted(here.rglob("*"))
    done = mespot("spot", path, *options)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("mespot: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert sorted(here.rglob("*")) == before


def started(clip, here):
    """Start the command in a process of its own and wait until it is at work."""
    code = "from mespot_lib.cli import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "spot", str(clip), "--backend", "cascade"],
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not (here / ".clip_spotted.partial").exists():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_plea_to_end_removes_what_is_half_written(clip, here):
    process = started(clip, here)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    assert list(here.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_process_leaves_no_results_and_the_next_one_cleans_up(clip, here):
    process = started(clip, here)
    process.kill()
    process.wait(60)
    assert not (here / "clip_spotted").exists()
    assert mespot("spot", clip, "--backend", "cascade", "--no-faces").exit_code == 0
    assert [path.name for path in here.iterdir()] == ["clip_spotted"]
