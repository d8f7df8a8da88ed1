"""Drawing a whole dataset to disk: one task per video in a pool of processes, then the workbooks, then one rename.

    <root>/
      SYNTHETIC_DATA.txt      the marker; only at the root, because readers list the folders below
      generator.json          name, version, hash and all settings
      truth.csv               what was drawn, exactly, beside what an annotator would have seen
      landmarks/<video>.npz   frame_no (T,) int32, landmarks (T, 68, 2) float32, exact, in pixels
      rawpic/... or SAMM_longvideos/..., and the workbooks, as in the real layout

A dataset is drawn into `<root>.partial` and renamed when it is complete, so a drawing that was killed is never read.
"""

import contextlib
import csv
import functools
import hashlib
import inspect
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock

from mespot_lib.datasets.build import GENERATOR_FILE, LANDMARKS_FOLDER, SYNTHETIC_MARKER, dataset_facts
from mespot_lib.manifest import DatasetError, event_table
from mespot_lib.synthetic.chance import identity_seed, video_seed
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.identity import Identity, make_identity
from mespot_lib.synthetic.layouts import WRITERS, label_rows, plan_videos, write_workbooks
from mespot_lib.synthetic.layouts.native import write_frames
from mespot_lib.synthetic.render import render_frames
from mespot_lib.synthetic.timeline import plan_video

# Raise it when a drawn pixel, label or cell changes on purpose; it is part of the manifest and its digest.
GENERATOR_VERSION = 1

_MARKER_TEXT = """\
Synthetic data, drawn by mespot (see generator.json). No person is depicted.
Scores on this data compare methods and settings; they are no estimate of scores on recorded data.
"""
_TRUTH_COLUMNS = (
    "video_id",
    "kind",
    "onset",
    "apex",
    "offset",
    "exact_onset",
    "exact_offset",
    "aus",
    "side",
    "amplitude_u",
)


def draw_dataset(
    name_or_config: str | SyntheticConfig, root: str | Path, workers: int = 2, progress: bool = True
) -> Path:
    """Draw a dataset into `root` and return it; a dataset that is there already, unchanged, is left alone.

    Parameters
    ----------
    name_or_config : name of a synthetic dataset in `data_manifests/`, or settings of one's own.
    workers : processes; 1 draws in this one. The result does not depend on it.
    progress : show a bar, counted in frames.

    Raises
    ------
    DatasetError
        If `root` holds anything but an older drawing of the same dataset: it is never overwritten.
    ChildProcessError
        If a drawing process was killed.
    """
    config = synthetic_config(name_or_config) if isinstance(name_or_config, str) else name_or_config
    root = Path(root).absolute()
    if is_drawn(config, root):  # before the lock, which needs a folder that can be written to
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    # a second process that wants the same dataset waits here, and then finds it drawn
    with FileLock(root.with_name(f".{root.name}.lock")):
        if not is_drawn(config, root):
            _refuse_foreign(root, config.name)
            _draw(config, root, workers, progress)
    return root


def _draw(config: SyntheticConfig, root: Path, workers: int, progress: bool) -> None:
    partial = root.with_name(f"{root.name}.partial")
    _refuse_foreign(partial, config.name)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / SYNTHETIC_MARKER).write_text(_MARKER_TEXT, encoding="utf-8")
    (partial / LANDMARKS_FOLDER).mkdir()
    videos = plan_videos(config.layout, config.subjects, config.videos_per_subject, config.frames_per_video)
    events = _draw_videos(config, videos, partial, workers, progress)
    flat = [video for subject in videos for video in subject]
    rows = label_rows(config.layout, config.name, flat, events, config.seed)
    write_workbooks(config.layout, event_table(rows), partial)
    _write_truth(flat, events, partial / "truth.csv")
    (partial / GENERATOR_FILE).write_text(json.dumps(generator(config), indent=2) + "\n", encoding="utf-8")
    _replace(partial, root)


def synthetic_config(name: str) -> SyntheticConfig:
    """Return the settings of a synthetic dataset of `data_manifests/`; raise `DatasetError` for any other."""
    facts = dataset_facts(name)
    if not facts["synthetic"]:
        raise DatasetError(f"{name} is a recorded dataset and cannot be drawn; " + " ".join(facts["request"]))
    return getattr(SyntheticConfig, facts["preset"])()


def generator(config: SyntheticConfig) -> dict[str, Any]:
    """Return the content of `generator.json`: everything that determines the drawn dataset.

    `hash` covers the settings and the sources that draw and write, so data drawn by other code is recognised.
    """
    settings = json.loads(json.dumps(asdict(config)))  # tuples become lists, as in the file
    content = {"name": config.name, "version": GENERATOR_VERSION, "seed": config.seed, "config": settings}
    covered = json.dumps([content, _sources_digest(config.layout)], sort_keys=True)
    return {"hash": hashlib.sha256(covered.encode()).hexdigest()} | content


@functools.cache  # a process draws with the sources it has imported, whatever happens to the files meanwhile
def _sources_digest(layout: str) -> str:
    """Return a digest of the code behind a dataset of this layout.

    Left out are the settings, which count by value, and the writers of other layouts.
    """
    package = Path(__file__).parent
    writer = inspect.getmodule(WRITERS[layout].plan)
    assert writer is not None
    assert writer.__file__ is not None  # it has been imported from there
    drawing = [path for path in package.glob("*.py") if path.name != "config.py"]
    digest = hashlib.sha256()
    for path in [*sorted(drawing), package / "layouts" / "native.py", Path(writer.__file__)]:
        digest.update(f"{path.name}\n{path.read_text(encoding='utf-8')}\0".encode())
    return digest.hexdigest()


def is_drawn(config: SyntheticConfig, root: Path) -> bool:
    """Return whether `root` holds exactly this dataset, complete and drawn by this code."""
    return (root / SYNTHETIC_MARKER).is_file() and _read_generator(root) == generator(config)


def _read_generator(root: Path) -> dict[str, Any]:
    """Return the content of `generator.json`, empty where it is absent or damaged."""
    try:
        return json.loads((root / GENERATOR_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _refuse_foreign(folder: Path, name: str) -> None:
    """Raise `DatasetError` unless `folder` is absent, empty, or an older drawing of the dataset `name`."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / SYNTHETIC_MARKER).is_file():
        raise DatasetError(f"{folder}: holds data that mespot has not drawn; choose another folder")
    found = _read_generator(folder).get("name", name)  # a drawing that was killed has no name yet
    if found != name:
        raise DatasetError(
            f"{folder}: holds the drawn dataset {found!r}, not {name!r}; choose another folder"
        )


def _replace(partial: Path, root: Path) -> None:
    """Put `partial` in the place of `root`; whatever happens, `root` is a complete dataset or absent."""
    old = root.with_name(f"{root.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if root.exists():
        root.replace(old)
    partial.replace(root)
    shutil.rmtree(old, ignore_errors=True)


# ---------------------------------------------------------------------------------------------------------------------
# Videos


def _draw_videos(
    config: SyntheticConfig, videos: list[list[dict[str, Any]]], root: Path, workers: int, progress: bool
) -> list[list[PlannedEvent]]:
    """Draw every video and return its expressions, in the order of the videos."""
    from tqdm.auto import tqdm

    jobs = [(subject, video) for subject, row in enumerate(videos) for video in range(len(row))]
    events: dict[tuple[int, int], list[PlannedEvent]] = {}
    bar = tqdm(
        total=len(jobs) * config.frames_per_video, desc=config.name, unit="frame", disable=not progress
    )
    with bar, _pool(workers) as submit:
        futures = {submit(draw_video, config, *job, videos[job[0]][job[1]], root): job for job in jobs}
        for future in as_completed(futures):
            events[futures[future]] = _result(future, config.name)
            bar.update(config.frames_per_video)
    return [events[job] for job in jobs]


def _result(future: Future, name: str) -> list[PlannedEvent]:
    try:
        return future.result()
    except BrokenProcessPool:
        message = (
            f"{name}: a drawing process was killed, perhaps for want of memory; draw again with fewer workers"
        )
        raise ChildProcessError(message) from None


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Callable]:
    """Yield `submit`. Processes are spawned, because a forked OpenCV or torch may hang; a failure stops the rest."""
    if workers == 1:
        yield _run_here
        return
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_here(function: Callable, *arguments: Any) -> Future:
    future: Future = Future()
    future.set_result(function(*arguments))
    return future


def draw_video(
    config: SyntheticConfig, subject: int, video: int, naming: dict[str, Any], root: Path
) -> list[PlannedEvent]:
    """Draw one video (numbers from 0) into its folder below `root`, with its landmarks; return its expressions.

    Frames are written as they are drawn, so memory does not grow with the length of the video.
    """
    seed = video_seed(config, subject, video)
    timeline = plan_video(config, subject, video)
    frames = render_frames(_identity(identity_seed(config, subject)), timeline, config, seed)
    path = root / LANDMARKS_FOLDER / f"{naming['video_id']}.npz"
    with _landmark_file(path, naming["first_frame_no"], len(timeline)) as store:
        write_frames(root, naming, _images(frames, store), config.jpeg_quality)
    return timeline.events


_identity: Callable[[int], Identity] = functools.lru_cache(maxsize=1)(make_identity)


def _images(
    frames: Iterator[tuple[np.ndarray, np.ndarray]], store: Callable[[np.ndarray], object]
) -> Iterator:
    for image, landmarks in frames:
        store(landmarks)
        yield image


@contextlib.contextmanager
def _landmark_file(path: Path, first_frame_no: int, frames: int) -> Iterator[Callable[[np.ndarray], object]]:
    """Write an .npz file frame by frame; yield the function that stores the landmarks (68, 2) of the next frame."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        numbers = np.arange(first_frame_no, first_frame_no + frames, dtype=np.int32)
        with archive.open(zipfile.ZipInfo("frame_no.npy"), "w") as file:
            np.lib.format.write_array(file, numbers)
        with archive.open(zipfile.ZipInfo("landmarks.npy"), "w") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (frames, 68, 2)}
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda landmarks: file.write(np.ascontiguousarray(landmarks, "<f4").tobytes())


def _write_truth(videos: list[dict[str, Any]], events: list[list[PlannedEvent]], path: Path) -> None:
    """Write the exact truth, in frame numbers of the files; it goes with the data but no reader uses it."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_TRUTH_COLUMNS)
        for video, planned in zip(videos, events, strict=True):
            for event in planned:
                moments = (event.onset, event.apex, event.offset, event.exact_onset, event.exact_offset)
                numbers = [t + video["first_frame_no"] for t in moments]
                aus = "+".join(event.aus)
                amplitude = f"{event.amplitude_u:.4f}"
                writer.writerow([video["video_id"], event.kind, *numbers, aus, event.side, amplitude])
