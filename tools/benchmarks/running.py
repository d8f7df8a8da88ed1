"""Everything around the computing: starting up, reading a dataset, running notebooks over folds."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import toy
from trees import write_tree

from benchmarks.measure import Case, Growth
from mespot_lib.datasets import read_dataset
from mespot_lib.runs import Run
from mespot_lib.sweep import Job, sweep

_PEER = "import numpy, pandas, cv2, torch, matplotlib.pyplot"


def starting(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of starting up."""
    words = {
        "start_import": ("import mespot_lib", ["-c", "import mespot_lib"]),
        "start_help": ("mespot --help", ["-c", "from mespot_lib.cli import app; app(['--help'])"]),
    }
    for name, (what, arguments) in words.items():
        yield Case(
            name,
            what,
            "start",
            1,
            ours=python(*arguments),
            beside="a script that imports numpy, pandas, OpenCV, torch and matplotlib at its top",
            theirs=python("-c", _PEER),
            limit_is="Python itself",
            limit=python("-c", "pass"),
            forked=False,
        )


def python(*arguments: str) -> Callable[[], None]:
    """Return the work of running Python with these arguments."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def reading_a_dataset(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of making a manifest of a dataset's folder."""
    people = 4 if tiny else 22
    roots = {n: a_tree(place, n) for n in ((2, 4) if tiny else (6, 11, 22))}
    yield Case(
        "manifest",
        f"manifest of a tree like CAS(ME)^2: {people} people, {4 * people} videos; all rules checked",
        "video",
        4 * people,
        ours=lambda: len(read_dataset("casme2", roots[people]).uids),
        beside="pandas.read_excel and glob in a loop; no rule checked",
        theirs=lambda: plain_manifest(roots[people]),
        same=lambda a, b: a == b,
        limit_is="the workbook's cells and the folders' names, read once",
        limit=lambda: bare_reading(roots[people]),
    )
    yield Growth(
        "manifest_by_videos",
        "manifest of a tree like CAS(ME)^2",
        "video",
        tuple(4 * n for n in roots),
        lambda videos: lambda: read_dataset("casme2", roots[videos // 4]),
        most_mb=1.0,
    )


def a_tree(place: Path, people: int) -> Path:
    """Return a tree in the layout of CAS(ME)^2 with blank frames, four videos of each person."""
    root = place / f"tree_{people}"
    if not root.exists():
        write_tree("casme2", root, subjects=people, videos=4, frames=64)
    return root


def plain_manifest(root: Path) -> int:
    """Return how many videos a user's script finds: it reads the sheets and lists the frames of each video."""
    import pandas as pd

    sheets = pd.read_excel(workbook(root), sheet_name=None, header=None)
    events = next(iter(sheets.values()))
    rows = []
    for subject in sorted((root / "rawpic").iterdir()):
        for folder in sorted(subject.iterdir()):
            rows.append({"path": folder, "frames": len(sorted(folder.glob("*.jpg")))})
    videos = pd.DataFrame(rows)
    [row.to_dict() for _, row in events.iterrows()]
    return len(videos)


def bare_reading(root: Path) -> int:
    """Return how many cells and names there are."""
    import openpyxl

    book = openpyxl.load_workbook(workbook(root), read_only=True)
    cells = sum(len(row) for sheet in book for row in sheet.iter_rows(values_only=True))
    return cells + sum(len(files) for _, _, files in os.walk(root / "rawpic"))


def workbook(root: Path) -> Path:
    """Return the first workbook of a tree."""
    return sorted(root.glob("*.xlsx"))[0]


# ---------------------------------------------------------------------------------------------------------------------
# Sweeps


def sweeping(place: Path, tiny: bool) -> Iterator[Case | Growth]:
    """Yield the benchmarks of running a notebook over folds: what a run costs beside its own computing."""
    runs, pause = (2, 0.0) if tiny else (3, 1.0)
    notebook = tiny_notebook(place)
    yield Case(
        "sweep_overhead",
        f"{runs} runs of a notebook that does nothing but wait for {pause:g} s, one worker",
        "run",
        runs,
        ours=lambda: swept(notebook, runs, pause, workers=1),
        beside="papermill's command once for each run",
        theirs=lambda: papermilled(notebook, runs, pause),
        limit_is="the wait",
        limit=python("-c", f"import time; time.sleep({runs * pause})"),
        on_the_wall=True,
        once=True,
    )
    if not tiny:
        yield Case(
            "sweep_two_workers",
            f"{runs} runs of a notebook that waits for {8 * pause:g} s, two workers",
            "run",
            runs,
            ours=lambda: swept(notebook, runs, 8 * pause, workers=2),
            beside="one worker",
            theirs=lambda: swept(notebook, runs, 8 * pause, workers=1),
            on_the_wall=True,
            once=True,
        )


def tiny_notebook(place: Path) -> Path:
    """Return a notebook that stores the result of a run on a dataset without pictures."""
    import nbformat

    cells = [nbformat.v4.new_code_cell(toy.PARAMETERS, metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in (toy.MANIFEST, toy.METHOD)]
    path = place / "tiny.ipynb"
    kernel = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }  # papermill's command wants one
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@contextmanager
def _reports() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, MESPOT_REPORTS=folder):
        yield


def swept(notebook: Path, runs: int, pause: float, workers: int) -> int:
    """Return how many runs a sweep has done."""
    digest = toy.toy_manifest().digest()
    jobs = [
        Job(Run("tiny", "toy", "s01", "quick", seed, {"wait_s": pause}, notebook=str(notebook)), digest)
        for seed in range(runs)
    ]
    with _reports():
        return len(sweep(jobs, workers=workers, progress=False).done)


def papermilled(notebook: Path, runs: int, pause: float) -> int:
    """Return how many runs papermill's command has done."""
    with _reports(), tempfile.TemporaryDirectory() as folder:
        for seed in range(runs):
            command = ["-m", "papermill", str(notebook), f"{folder}/{seed}.ipynb", "--no-progress-bar"]
            command += [
                "-p",
                "seed",
                str(seed),
                "-p",
                "wait_s",
                str(pause),
                "-p",
                "result_folder",
                f"{folder}/{seed}",
            ]
            python(*command)()
    return runs
