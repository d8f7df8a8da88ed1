"""No pixel of a dataset that may not be published gets into figures, notebooks, or the report, unless asked for.

A pattern is planted into frames, and every picture that comes out is searched for it. The same search finds it when
MESPOT_SHOW_FACES is set, so it would find a leak.
"""

import ast
import base64
import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import toy
from planted import FOUND, likeness, pictures_in, plant, plant_tree
from test_submit import complete

from mespot_lib import catalogue, page, runs, viz
from mespot_lib.datasets.build import GENERATOR_FILE, SYNTHETIC_MARKER, described_datasets
from mespot_lib.manifest import Video

matplotlib.use("Agg")
plt = matplotlib.pyplot

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mespot_lib"
FACTS = {"parameters": {}, "code_version": "0" * 12, "key": "0" * 12, "seconds": 1.0}


@pytest.fixture
def image():
    """A frame (256, 256, 3) of soft shades with the pattern in it."""
    soft = np.random.default_rng(5).integers(60, 200, (8, 8, 3)).astype(np.uint8)
    return plant(cv2.resize(soft, (256, 256), interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def licensed(tmp_path):
    return Video("casme2/s15/15_0101", "casme2", "s15", "15_0101", tmp_path, "frames", 30.0, 1, 9)


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def points() -> np.ndarray:
    """Return landmarks (68, 2) px somewhere in a picture 256 px wide."""
    return np.random.default_rng(1).uniform(60, 200, (68, 2)).astype(np.float32)


# Every function of `viz` that is given pictures, and how it is called.
DRAWINGS = {
    "show_image": lambda axes, image, video: viz.show_image(axes[0], image, video),
    "contact_sheet": lambda axes, image, video: viz.contact_sheet(
        axes, [image, image[::-1].copy(), image], video, "abc"
    ),
    "draw_regions": lambda axes, image, video: viz.draw_regions(axes[0], image, video, points()),
    "draw_landmarks": lambda axes, image, video: viz.draw_landmarks(
        axes[0], image, video, {"mediapipe": points()}
    ),
    "draw_flow": lambda axes, image, video: viz.draw_flow(
        axes[0], image, video, np.ones((256, 256, 2), np.float32), step=40
    ),
}
_PICTURE = re.compile(r"image|images|crop|crops|picture|pictures|frame|face")


def rendered(name, image, video) -> np.ndarray:
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), dpi=80)
    DRAWINGS[name](axes, image, video)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., 2::-1].copy()
    plt.close(figure)
    return picture


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_figure_shows_a_licensed_picture(name, image, licensed, monkeypatch):
    monkeypatch.delenv("MESPOT_SHOW_FACES", raising=False)
    assert likeness(rendered(name, image, licensed)) < FOUND
    monkeypatch.setenv("MESPOT_SHOW_FACES", "1")
    assert likeness(rendered(name, image, licensed)) > FOUND  # the search does find what is there


def test_every_function_that_is_given_pictures_is_tested_here():
    """A drawing of pictures needs the video, which knows whether it may be shown."""
    drawings = dict(inspect.getmembers(viz, inspect.isfunction))
    given = {
        name: set(inspect.signature(function).parameters)
        for name, function in drawings.items()
        if function.__module__ == viz.__name__ and not name.startswith("_")
    }
    with_pictures = {name for name, parameters in given.items() if any(map(_PICTURE.fullmatch, parameters))}
    helpers = {"shown", "as_grey"}  # return a picture, draw none
    assert with_pictures - helpers == set(DRAWINGS)
    assert all("video" in given[name] for name in DRAWINGS)


# What may turn an array into a picture, and where: each of them either asks `viz.shown` or has no face to show.
SHOWING = {
    "viz.py": {"imshow"},  # after `shown`; fields, votes, and trials are no pictures
    "spot_page.py": {"imencode"},  # of the user's own video
    "explore.py": {"imencode"},  # after `viz.shown`
    "native.py": {"imencode"},  # writes drawn frames
}


def test_pictures_are_made_in_few_places():
    makers = {"imshow", "imwrite", "imencode", "imsave", "matshow", "figimage", "toimage", "fromarray"}
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in makers:
                found.setdefault(path.name, set()).add(node.attr)
    assert found == SHOWING, "a new place that makes pictures: it must go through viz.shown"


def imshow_calls() -> dict[str, int]:
    tree = ast.parse((PACKAGE / "viz.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    counts = {f.name: sum(getattr(n, "attr", "") == "imshow" for n in ast.walk(f)) for f in functions}
    return {name: count for name, count in counts.items() if count}


def test_in_viz_pictures_are_shown_in_one_place():
    """Colour and grey in `_show`, a difference of what `shown` let pass; the others draw motion, votes, trials."""
    assert imshow_calls() == {
        "_show": 2,
        "contact_sheet": 1,
        "draw_field": 1,
        "draw_votes": 1,
        "draw_trials": 1,
    }


# ---------------------------------------------------------------------------------------------------------------------
# Report, and where results lie


def test_the_report_on_licensed_data_has_no_picture_and_no_label(tmp_path, monkeypatch):
    """Neither pixels nor when somebody moved: curves of F1 alone."""
    licensed = toy.toy_manifest()
    licensed.videos["synthetic"] = False
    monkeypatch.setattr(toy, "toy_manifest", lambda: licensed)
    folder = tmp_path / "runs" / "casme2" / "tiny" / "s01-x"
    toy.store(folder, dataset="casme2")
    complete(folder, FACTS)
    written, _, problems = page.write_report(tmp_path)
    assert problems == []
    text = written.read_text()
    assert "casme2" in text
    assert "synthetic data" not in text
    assert pictures_in(text) == []
    assert "<details>" not in text
    figures = [
        base64.b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([A-Za-z0-9+/=]+)", text)
    ]
    assert figures
    assert not any("<image" in figure for figure in figures)


def test_the_search_finds_pictures_in_pages(image):
    for text in (cv2.imencode(".png", image)[1], cv2.imencode(".jpg", image)[1]):
        inside = base64.b64encode(text.tobytes()).decode()
        assert [likeness(p) > FOUND for p in pictures_in(f'<img src="data:image/x;base64,{inside}">')] == [
            True
        ]
        svg = f'<svg xmlns="x"><image href="data:image/x;base64,{inside}"/></svg>'
        outside = base64.b64encode(svg.encode()).decode()
        assert [likeness(p) > FOUND for p in pictures_in(f'"{outside}"')] == [True]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout: git is not asked")
@pytest.mark.parametrize("dataset", described_datasets())
def test_data_results_and_executed_notebooks_of_runs_are_ignored_by_git(dataset):
    folder = runs.run_folder(runs.Run("zhang2020", dataset, "s15"), "0" * 64)
    inside = folder.relative_to(runs.runs_root())
    names = ("result.json", "spotted.csv", "truth.csv", "scores.npz", "notebook.ipynb")
    paths = [
        *(f"reports/runs/{inside}/{name}" for name in names),
        f"reports/runs/failed/{inside}/notebook.ipynb",
        f"reports/runs/.partial/{'-'.join(inside.parts)}/truth.csv",
        f"reports/report/{dataset}.svg",
        "reports/report/results.csv",
        "reports/report.html",
        f"data/{dataset}/rawpic/s15/15_0101disgustingteeth/img001.jpg",
        f"data/{dataset}/labels.xlsx",
        "data/cache/x.npz",
    ]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == paths


def test_what_is_ignored_is_what_the_program_writes(monkeypatch):
    for variable in ("MESPOT_DATA", "MESPOT_CACHE", "MESPOT_REPORTS"):
        monkeypatch.delenv(variable, raising=False)
    assert runs.runs_root() == ROOT / "reports" / "runs"
    assert catalogue.dataset_root("casme2") == ROOT / "data" / "casme2"


# ---------------------------------------------------------------------------------------------------------------------
# Whole notebooks


@pytest.fixture(scope="module")
def licensed_tree(drawn, tmp_path_factory):
    """A small drawn dataset that counts as a licensed one: without marker, with the pattern in every frame."""
    root = shutil.copytree(drawn("synthetic_casme2_smoke"), tmp_path_factory.mktemp("data") / "casme2")
    for name in (SYNTHETIC_MARKER, GENERATOR_FILE, "truth.csv"):
        (root / name).unlink()
    plant_tree(root)
    manifest = catalogue.load_dataset("casme2", root=root)
    assert not manifest.descriptor["publishable"]
    return root


def parameters_for(path: Path) -> dict:
    """Return what lets a notebook run on the small licensed tree, of the parameters that it has."""
    wanted = {"dataset": "casme2", "video": "casme2/s15", "fold": "s15", "train_subjects": 1}
    wanted["people"] = 10  # drawn stills, where a trunk is trained first
    return {name: value for name, value in wanted.items() if name in runs.notebook_parameters(path)}


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Compares with exact landmarks, which only drawn data has: on other data it stops before its first picture.
DRAWN_ONLY = {"02_faces_and_motion"}
DATASET_NOTEBOOKS = [
    path for path in NOTEBOOKS if "dataset" in runs.notebook_parameters(path) and path.stem not in DRAWN_ONLY
]


def code_of(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_leave_pictures_to_viz(path):
    """All but the textures of notebook 02, which are noise."""
    calls = re.findall(r"\b(?:imshow|matshow|imwrite|imsave|Image|fromarray)\(", code_of(path))
    assert calls == (["imshow("] if path.stem == "02_faces_and_motion" else [])


@pytest.mark.slow
@pytest.mark.parametrize("path", DATASET_NOTEBOOKS, ids=lambda path: path.stem)
def test_executed_notebooks_show_no_licensed_picture(path, licensed_tree, tmp_path, monkeypatch):
    monkeypatch.delenv("MESPOT_SHOW_FACES", raising=False)
    hidden = likenesses(path, licensed_tree, tmp_path / "hidden", monkeypatch)
    assert hidden, "no picture came out: nothing was tested"
    assert max(hidden) < FOUND, hidden
    if any(f"viz.{name}(" in code_of(path) for name in DRAWINGS):
        monkeypatch.setenv("MESPOT_SHOW_FACES", "1")
        seen = likenesses(path, licensed_tree, tmp_path / "seen", monkeypatch)
        assert max(seen) > FOUND, seen  # the search does find what is there


def likenesses(path: Path, root: Path, folder: Path, monkeypatch) -> list[float]:
    """Execute a notebook on the tree and return how much each of its pictures is like the planted pattern."""
    import papermill

    folder.mkdir()
    for name in ("CASME2", "CACHE", "REPORTS"):
        monkeypatch.setenv(f"MESPOT_{name}", str(root if name == "CASME2" else folder / name.lower()))
    output = folder / path.name
    with runs._own_kernel(folder / "jupyter"):
        try:
            papermill.execute_notebook(
                str(path),
                str(output),
                parameters_for(path),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=str(folder),
            )
        except papermill.PapermillExecutionError as error:
            if error.ename != "AssertionError":  # a figure of merit that drawn data alone promises
                raise
    outputs = [cell.get("outputs", []) for cell in json.loads(output.read_text(encoding="utf-8"))["cells"]]
    return [likeness(picture) for picture in pictures_in(json.dumps(outputs))]
