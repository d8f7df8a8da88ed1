"""Drawing a dataset to disk: complete or absent, the same for any number of workers, never over other data."""

import json
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.build import GENERATOR_FILE, SYNTHETIC_MARKER
from mespot_lib.manifest import DatasetError
from mespot_lib.synthetic import write
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.layouts import WRITERS
from mespot_lib.synthetic.write import draw_dataset, is_drawn

TINY = replace(
    SyntheticConfig.casme2_smoke(),
    name="synthetic_tiny",
    subjects=1,
    videos_per_subject=2,
    seconds_per_video=8.0,
    width=64,
    height=64,
    pixels_per_u=0.15,
    me_per_min=8.0,
    mae_per_min=8.0,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return draw_dataset(TINY, tmp_path_factory.mktemp("drawn") / "tiny", workers=1, progress=False)


@pytest.fixture
def blank(monkeypatch):
    """Blank frames in place of drawn ones, where a test is about files only."""

    def frames(identity, timeline, config, seed):
        image = np.zeros((config.height, config.width, 3), np.uint8)
        return ((image, np.zeros((68, 2), np.float32)) for _ in range(len(timeline)))

    monkeypatch.setattr(write, "_identity", lambda seed: None)
    monkeypatch.setattr(write, "render_frames", frames)


def test_a_drawn_dataset_loads_like_any_other(tiny):
    manifest = read_dataset("casme2", tiny)
    assert manifest.descriptor["dataset"] == "synthetic_tiny"
    assert manifest.descriptor["synthetic"]
    assert manifest.descriptor["generator"]["config"]["seconds_per_video"] == 8.0
    assert [manifest.video(uid).length for uid in manifest.uids] == [240, 240]
    assert all(manifest.video(uid).publishable for uid in manifest.uids)


def test_labels_are_what_was_drawn(tiny):
    manifest = read_dataset("casme2", tiny, policy="raw")
    drawn = pd.read_csv(tiny / "truth.csv", dtype={"video_id": str})
    events = manifest.events
    assert (
        len(drawn) == len(events) == manifest.counts()["ME"] + manifest.counts()["MaE"] + 1
    )  # one without offset
    known = (events["offset_raw"] != "0").to_numpy()
    for column in ("onset", "apex", "offset"):
        expected = drawn[column].to_numpy()
        assert (events[column].to_numpy()[known] == expected[known]).all()
    assert (events["video_uid"].str.split("/").str[2].to_numpy() == drawn["video_id"].to_numpy()).all()
    assert (drawn["exact_onset"] <= drawn["onset"]).all()
    assert (drawn["offset"] <= drawn["exact_offset"]).all()


def test_landmarks_lie_beside_the_data(tiny):
    manifest = read_dataset("casme2", tiny)
    video = manifest.video(manifest.uids[0])
    with np.load(video.landmarks) as side_file:
        assert side_file["frame_no"].tolist() == list(range(1, video.length + 1))
        assert side_file["landmarks"].shape == (video.length, 68, 2)
        assert side_file["landmarks"].dtype == np.float32
        assert 0 < side_file["landmarks"].min() < side_file["landmarks"].max() < 64


def test_nothing_but_the_dataset_is_left(tiny):
    assert {path.name for path in tiny.parent.iterdir()} == {"tiny", ".tiny.lock"}
    assert {path.name for path in tiny.iterdir() if path.suffix != ".xlsx"} == {
        SYNTHETIC_MARKER,
        GENERATOR_FILE,
        "truth.csv",
        "landmarks",
        "rawpic",
    }


def test_the_number_of_workers_changes_no_byte(tiny, tmp_path):
    again = draw_dataset(TINY, tmp_path / "again", workers=2, progress=False)
    files = sorted(path.relative_to(tiny) for path in tiny.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [path for path in files if (tiny / path).read_bytes() != (again / path).read_bytes()] == []


def test_what_is_there_is_left_alone(tiny):
    before = (tiny / GENERATOR_FILE).stat().st_mtime_ns
    draw_dataset(TINY, tiny, workers=1, progress=False)
    assert (tiny / GENERATOR_FILE).stat().st_mtime_ns == before


@pytest.mark.usefixtures("blank")
def test_samm_layout(tmp_path):
    config = replace(TINY, name="synthetic_tiny_samm", layout="samm_lv", fps=200.0)
    manifest = read_dataset("samm_lv", draw_dataset(config, tmp_path / "s", workers=1, progress=False))
    assert [manifest.video(uid).length for uid in manifest.uids] == [1600, 1600]
    assert manifest.uids[0] == "synthetic_tiny_samm/006/006_1"


@pytest.mark.usefixtures("blank")
def test_a_killed_drawing_is_never_read_and_does_not_hinder_the_next(tmp_path, monkeypatch):
    root = tmp_path / "d"
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_workbooks", _killed)
        with pytest.raises(KeyboardInterrupt):
            draw_dataset(TINY, root, workers=1, progress=False)
    assert not root.exists()
    assert (tmp_path / "d.partial").exists()
    with pytest.raises(DatasetError, match="no such folder"):
        read_dataset("casme2", root)
    draw_dataset(TINY, root, workers=1, progress=False)
    assert is_drawn(TINY, root)
    assert not (tmp_path / "d.partial").exists()


def _killed(*_arguments):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("blank")
def test_other_drawing_code_draws_again(tmp_path, monkeypatch):
    root = draw_dataset(TINY, tmp_path / "d", workers=1, progress=False)
    monkeypatch.setattr(write, "_sources_digest", lambda layout: "changed")
    assert not is_drawn(TINY, root)
    (root / "rawpic" / "old").mkdir()
    draw_dataset(TINY, root, workers=1, progress=False)
    assert is_drawn(TINY, root)
    assert not (root / "rawpic" / "old").exists()


@pytest.mark.usefixtures("blank")
def test_other_data_is_never_overwritten(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="holds data that mespot has not drawn"):
        draw_dataset(TINY, mine, workers=1, progress=False)
    assert (mine / "thesis.txt").read_text() == "precious"
    root = draw_dataset(TINY, tmp_path / "d", workers=1, progress=False)
    with pytest.raises(DatasetError, match="holds the drawn dataset 'synthetic_tiny', not 'synthetic_other'"):
        draw_dataset(replace(TINY, name="synthetic_other"), root, workers=1, progress=False)
    assert is_drawn(TINY, root)


@pytest.mark.usefixtures("blank")
def test_two_at_once_draw_once(tmp_path, monkeypatch):
    draws = []
    draw = write._draw
    monkeypatch.setattr(write, "_draw", lambda *arguments: (draws.append(1), draw(*arguments)))
    threads = [threading.Thread(target=draw_dataset, args=(TINY, tmp_path / "d", 1, False)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert draws == [1]
    assert is_drawn(TINY, tmp_path / "d")


def test_a_killed_process_is_told(tmp_path, monkeypatch):
    def broken(*_arguments):
        future = write.Future()
        future.set_exception(write.BrokenProcessPool("gone"))
        return future

    monkeypatch.setattr(write, "_run_here", broken)
    with pytest.raises(ChildProcessError, match="synthetic_tiny: a drawing process was killed"):
        draw_dataset(TINY, tmp_path / "d", workers=1, progress=False)
    assert not (tmp_path / "d").exists()


def test_a_drawn_dataset_loads_from_a_disk_that_cannot_be_written_to(tiny, monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError

    monkeypatch.setattr(write, "FileLock", refuse)
    assert draw_dataset(TINY, tiny, workers=1, progress=False) == tiny


@pytest.mark.usefixtures("blank")
def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(frames: int) -> int:
        name = f"v{frames}-{len(list(tmp_path.iterdir()))}"
        naming = {"video_id": name, "rel_path": name, "frame_prefix": "f", "frame_sep": ""}
        naming |= {"pad_width": 5, "ext": ".jpg", "first_frame_no": 1}
        config = replace(TINY, width=256, height=256)
        tracemalloc.start()
        timeline = [None] * frames
        images = write.render_frames(None, timeline, config, 0)
        with write._landmark_file(tmp_path / f"{name}.npz", 1, frames) as store:
            write.write_frames(tmp_path, naming, write._images(images, store), 92)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(10)
    # other threads of this process allocate too, now and then: what grows with the length is in every measurement
    short, long = (min(peak(frames) for _ in range(3)) for frames in (20, 500))
    # 500 frames are 98 MB of pixels and 272 kB of landmarks
    assert long < short + 100_000


def test_settings_are_told_by_the_name():
    assert write.synthetic_config("synthetic_samm_lv") == SyntheticConfig.samm_lv()
    with pytest.raises(DatasetError, match="casme2 is a recorded dataset and cannot be drawn"):
        write.synthetic_config("casme2")


def test_the_hash_covers_every_setting():
    hashes = {
        write.generator(config)["hash"] for config in (TINY, replace(TINY, seed=1), replace(TINY, fps=25.0))
    }
    assert len(hashes) == 3
    assert json.dumps(write.generator(TINY)) == json.dumps(write.generator(replace(TINY)))


# ------------------------------------------------------------------------------------------------ every layout


@pytest.mark.parametrize("layout", WRITERS)
def test_a_reader_finds_what_was_planted(layout, tmp_path, blank):
    preset = getattr(SyntheticConfig, layout)()
    videos = min(2, preset.videos_per_subject)
    config = replace(
        preset, subjects=2, videos_per_subject=videos, seconds_per_video=5.0, width=16, height=16
    )
    root = draw_dataset(config, tmp_path / "set", workers=1, progress=False)
    truth = pd.read_csv(root / "truth.csv", dtype={"video_id": str})
    manifest = read_dataset(layout, root, policy="raw")
    assert manifest.descriptor["dataset"] == config.name == f"synthetic_{layout}"
    assert manifest.descriptor["publishable"]
    assert len(manifest.uids) == 2 * videos
    assert manifest.videos["landmarks"].nunique() == 2 * videos
    for uid in manifest.uids:
        video = manifest.video(uid)
        assert video.length == config.frames_per_video
        with np.load(video.landmarks) as side_file:
            assert side_file["frame_no"][0] == video.first_frame_no
    events = manifest.events
    assert len(truth) > 0
    if layout.startswith("megc"):
        assert len(events) == 0
        return
    found = zip(events["video_uid"].str.split("/").str[2], events["type"], events["onset"], strict=True)
    assert sorted(found) == sorted(zip(truth["video_id"], truth["kind"], truth["onset"], strict=True))
