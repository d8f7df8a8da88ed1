"""Fixtures of several test files. One thread in every test: results do not depend on the machine's cores."""

import os
import shutil

# Sums differ in the last bits between numbers of threads; read when numpy and torch are imported, hence before them.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
    os.environ.setdefault(_threads, "1")

import cv2
import hypothesis
import nbformat
import pytest
from toy import MANIFEST, METHOD, PARAMETERS

from mespot_lib.datasets import read_dataset
from mespot_lib.frames import FrameError
from mespot_lib.manifest import loso_folds
from mespot_lib.runs import Run

cv2.setNumThreads(1)

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A function that returns the folder of a drawn set: drawn once, by the first worker process that asks for it."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder_of(name):
        from mespot_lib.synthetic.write import draw_dataset

        return draw_dataset(name, shared / "drawn" / name, workers=1, progress=False)

    return folder_of


@pytest.fixture
def smoke(drawn, tmp_path):
    """Two drawn people, one video each, in files that the test may damage."""
    folder = drawn("synthetic_casme2_smoke")
    return read_dataset("casme2", shutil.copytree(folder, tmp_path / folder.name))


@pytest.fixture
def fitted_twice(smoke, tmp_path, monkeypatch):
    """A function that fits on one person of `smoke`, and again when the other's pictures are spoilt and all is measured
    anew: it returns both, which are to be the same."""

    def fit_twice(fit):
        fold = loso_folds(smoke)[0]
        (held_out,) = (smoke.video(uid) for uid in fold.test)
        monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
        before = fit(smoke.only(fold.train))
        for frame in held_out.path.iterdir():
            frame.write_bytes(b"no picture")
        monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "empty"))
        after = fit(smoke.only(fold.train))
        with pytest.raises(FrameError, match=held_out.video_id):
            after.score(held_out)
        return before, after

    return fit_twice


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """An empty folder of reports that kernels and worker processes use too."""
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def tiny(tmp_path):
    """A function that makes runs of the tiny notebook."""
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(MANIFEST),
            nbformat.v4.new_code_cell(METHOD),
        ]
    )
    path = tmp_path / "tiny.ipynb"
    nbformat.write(notebook, path)

    def make(fold="s01", seed=0, **parameters):
        return Run("tiny", "toy", fold, "quick", seed, parameters, notebook=str(path))

    return make
