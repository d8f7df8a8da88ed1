"""Fixtures of several test files. One thread in every test: results do not depend on the machine's cores."""

import os

# Sums differ in the last bits between numbers of threads; read when numpy and torch are imported, hence before them.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import cv2
import hypothesis
import nbformat
import pytest
from toy import MANIFEST, METHOD, PARAMETERS

from mespot_lib.runs import Run

cv2.setNumThreads(1)

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


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
