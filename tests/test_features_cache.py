"""The cache: found again, never stale, never half-written, shared by processes."""

import errno
import json
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mespot_lib.features import cache as cache_module
from mespot_lib.features.cache import CacheError, CacheWarning, cached_arrays, entry_path, media_digest
from mespot_lib.manifest import Video

RECIPE = {"name": "flow", "size": 128, "method": "dis"}


@pytest.fixture
def video(tmp_path) -> Video:
    return make_video(tmp_path / "media")


def make_video(folder: Path) -> Video:
    folder.mkdir(parents=True)
    for number in range(1, 8):
        (folder / f"img{number:03d}.jpg").write_bytes(bytes([number]) * (100 + number))
    return Video(
        "toy/s1/v1", "toy", "s1", "v1", folder, "frames", 30.0, 1, 7, frame_prefix="img", pad_width=3
    )


class Counted:
    """A computation that knows how often it ran."""

    def __init__(self, value: float = 1.0) -> None:
        self.value, self.runs = value, 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.runs += 1
        return {"flow": np.full((3, 4), self.value, np.float32), "t": np.arange(3)}


# --- found again ----------------------------------------------------------------------------------------------------


def test_the_second_call_reads_what_the_first_computed(tmp_path, video):
    compute = Counted()
    for _ in range(3):
        arrays = cached_arrays(video, RECIPE, compute, tmp_path)
        assert list(arrays) == ["flow", "t"]
        assert arrays["flow"].dtype == np.float32
        np.testing.assert_array_equal(arrays["flow"], np.ones((3, 4)))
    assert compute.runs == 1


def test_the_entry_is_readable_by_eye(tmp_path, video):
    cached_arrays(video, RECIPE, Counted(), tmp_path)
    entry = entry_path(video, RECIPE, tmp_path)
    assert entry.parent == tmp_path / "toy" / "s1" / "v1"
    assert entry.name.startswith("flow-")
    assert json.loads(entry.with_suffix(".json").read_text()) == RECIPE


def test_the_cache_folder_comes_from_the_environment(tmp_path, video, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "mine"))
    cached_arrays(video, RECIPE, Counted())
    assert list((tmp_path / "mine").rglob("*.npz"))


def test_names_cannot_leave_the_cache_folder(tmp_path, video):
    entry = entry_path(replace(video, uid="../../etc/a b"), {"name": "../x"}, tmp_path / "cache")
    assert (tmp_path / "cache") in entry.resolve().parents


# --- never stale ----------------------------------------------------------------------------------------------------


def changed_media(video: Video) -> dict[str, Video]:
    """Return, by what has changed, videos that must not share an entry with `video`."""
    other = {
        "another video": replace(video, uid="toy/s1/v2"),
        "another frame range": replace(video, last_frame_no=6),
        "another gap": replace(video, missing=((3, 3),)),
    }
    for what in ("a frame more", "a frame of other size", "a frame redrawn at the same size"):
        other[what] = make_video(video.path.parent / what)
        first = other[what].frame_path(0)
        content = {"a frame of other size": bytes(50), "a frame redrawn at the same size": bytes(101)}.get(
            what
        )
        (other[what].frame_path(6).with_name("img008.jpg") if content is None else first).write_bytes(
            content or b"8"
        )
    side = video.path.parent / "side.npz"
    side.write_bytes(b"landmarks")
    other["a side file"] = replace(video, landmarks=side)
    return other


def test_changed_media_have_another_entry(tmp_path, video):
    entries = {what: entry_path(other, RECIPE, tmp_path) for what, other in changed_media(video).items()}
    entries["as it was"] = entry_path(video, RECIPE, tmp_path)
    assert len(set(entries.values())) == len(entries)


def test_a_moved_or_copied_dataset_keeps_its_entries(tmp_path, video):
    copy = make_video(tmp_path / "copy")
    os.utime(copy.frame_path(2), (1, 1))
    assert media_digest(copy) == media_digest(video)


def test_a_redrawn_video_file_has_another_entry(tmp_path):
    path = tmp_path / "clip.avi"
    video = Video("toy/s1/v1", "toy", "s1", "v1", path, "video", 30.0, 0, 9)
    digests = [media_digest(video)]  # of an absent file: reading it is what must fail, not this
    for content in (b"a" * 3_000_000, b"a" * 3_000_001, b"a" * 2_999_999 + b"b", b"b" + b"a" * 2_999_999):
        path.write_bytes(content)
        digests.append(media_digest(video))
    assert len(set(digests)) == len(digests)


def test_changed_code_has_another_entry(tmp_path, video, monkeypatch):
    before = entry_path(video, RECIPE, tmp_path)
    monkeypatch.setattr(cache_module, "FEATURE_VERSION", cache_module.FEATURE_VERSION + 1)
    assert entry_path(video, RECIPE, tmp_path) != before


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=4), plain, max_size=4), st.randoms())
def test_the_order_of_a_recipe_does_not_matter_its_content_does(video, recipe, random):
    items = list(recipe.items())
    random.shuffle(items)
    root = Path("/cache")
    assert entry_path(video, dict(items), root) == entry_path(video, recipe, root)
    assert entry_path(video, {**recipe, "one more": 1}, root) != entry_path(video, recipe, root)


@pytest.mark.parametrize("value", [np.float32(1), {1, 2}, float("nan"), Path("x")])
def test_a_recipe_of_other_than_plain_values_is_refused(tmp_path, video, value):
    with pytest.raises(CacheError, match="plain JSON"):
        entry_path(video, {"name": "flow", "setting": value}, tmp_path)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text"])
def test_a_damaged_entry_is_computed_again_with_a_warning(tmp_path, video, damage):
    cached_arrays(video, RECIPE, Counted(1.0), tmp_path)
    entry = entry_path(video, RECIPE, tmp_path)
    good = entry.read_bytes()
    middle = good.index(np.ones(3, np.float32).tobytes())
    entry.write_bytes(
        {
            "truncated": good[:-30],
            "empty": b"",
            "flipped": good[:middle] + b"\xff" + good[middle + 1 :],
            "text": b"no arrays",
        }[damage]
    )
    with pytest.warns(CacheWarning, match=re.escape(str(entry))):
        arrays = cached_arrays(video, RECIPE, Counted(2.0), tmp_path)
    assert (arrays["flow"] == 2).all()
    assert (cached_arrays(video, RECIPE, Counted(3.0), tmp_path)["flow"] == 2).all()


def test_mapped_arrays_are_the_same_read_only_and_left_on_disk(tmp_path, video):
    for compute in (Counted(2.5), None):  # written, then found again
        arrays = cached_arrays(video, RECIPE, compute, tmp_path, mapped=True)
        np.testing.assert_array_equal(arrays["flow"], np.full((3, 4), 2.5, np.float32))
        np.testing.assert_array_equal(arrays["t"], np.arange(3))
        assert isinstance(arrays["flow"], np.memmap)
        assert not arrays["flow"].flags.writeable


def test_an_error_in_the_computation_passes_and_leaves_nothing(tmp_path, video):
    def fails() -> dict:
        raise RuntimeError("no face")

    with pytest.raises(RuntimeError, match="no face"):
        cached_arrays(video, RECIPE, fails, tmp_path)
    assert not list(tmp_path.rglob("*.npz")) + list(tmp_path.rglob("*.tmp"))
    assert (cached_arrays(video, RECIPE, Counted(5.0), tmp_path)["flow"] == 5).all()


def test_a_cache_that_cannot_be_a_folder_names_the_variable(tmp_path, video):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"file.*MESPOT_CACHE"):
        cached_arrays(video, RECIPE, Counted(), tmp_path / "file")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_a_read_only_cache_names_the_variable(tmp_path, video):
    root = tmp_path / "read_only"
    root.mkdir(mode=0o500)
    with pytest.raises(CacheError, match=r"Permission denied.*MESPOT_CACHE"):
        cached_arrays(video, RECIPE, Counted(), root)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_fails_names_the_variable_and_leaves_no_rubbish(tmp_path, video, monkeypatch, number):
    def fails(*_) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(CacheError, match=rf"{os.strerror(number)}.*MESPOT_CACHE"):
        cached_arrays(video, RECIPE, Counted(), tmp_path)
    assert not list(tmp_path.rglob("*.tmp")) + list(tmp_path.rglob("*.npz"))


# --- two processes --------------------------------------------------------------------------------------------------

spawn = multiprocessing.get_context("spawn")


def slow_reader(video: Video, root: Path, log: Path, ready, go) -> None:
    def compute() -> dict[str, np.ndarray]:
        with log.open("a") as file:
            file.write("computed\n")
        time.sleep(0.5)
        return {"flow": np.full(1000, 7.0)}

    ready.release()
    go.wait()
    assert (cached_arrays(video, RECIPE, compute, root)["flow"] == 7).all()


def test_of_two_processes_one_computes(tmp_path, video):
    log, ready, go = tmp_path / "log", spawn.Semaphore(0), spawn.Event()
    workers = [
        spawn.Process(target=slow_reader, args=(video, tmp_path / "c", log, ready, go)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert ready.acquire(timeout=60)
    go.set()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert log.read_text() == "computed\n"


def endless_writer(video: Video, root: Path, writing) -> None:
    """Start to write an entry and hang in the middle of it."""

    def half(file, **_) -> None:
        file.write(b"PK half an archive")
        file.flush()
        writing.set()
        time.sleep(600)

    np.savez = half
    cached_arrays(video, RECIPE, Counted(), root)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_process_killed_while_writing_leaves_a_usable_cache(tmp_path, video):
    root, writing = tmp_path / "c", spawn.Event()
    worker = spawn.Process(target=endless_writer, args=(video, root, writing))
    worker.start()
    assert writing.wait(60)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(60)
    assert len(list(root.rglob("*.tmp"))) == 1
    assert not list(root.rglob("*.npz"))

    compute = Counted()
    assert (cached_arrays(video, RECIPE, compute, root)["flow"] == 1).all()  # no lock is left behind
    assert compute.runs == 1
    assert not list(root.rglob("*.tmp"))
