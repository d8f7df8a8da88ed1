"""No annotation row and no frame of a licensed dataset is in the repository: every tracked file is looked at.

Ids of drawn videos follow the grammar of the real ones, so an id alone says nothing. What counts is whether a row of a
table says that it is synthetic, and whether a file could hold pictures or tables that cannot be read as text.
"""

import base64
import csv
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest

from mespot_lib import runs
from mespot_lib.datasets.build import dataset_facts, described_datasets
from mespot_lib.runs import RunError

ROOT = Path(__file__).resolve().parents[1]
LICENSED = [name for name in described_datasets() if not dataset_facts(name)["publishable"]]

# Pictures that are tracked, and what they show. Any other one is refused.
PICTURES = {
    "reports/benchmarks/benchmarks.png": "ratios and growth, drawn by tools/bench.py",
    "reports/reference/pipeline.jpg": "a video of synthetic_casme2, drawn by tools/readme_figures.py",
    "reports/reference/expression.jpg": "the same, one expression from near",
    "reports/reference/explorer.jpg": "the threshold explorer on reference runs, photographed by the same",
}

# Arrays that are tracked, and what they hold. Every name in them must be that of a drawn dataset.
ARRAYS = {
    "reports/reference/i3d_bifpn_detections.npz": "places and probabilities that I3D + BiFPN found in drawn videos",
    "reports/reference/mesnet_proposals.npz": "places and probabilities that MESNet proposed in drawn videos",
}
_SCORES = re.compile(
    r"reports/reference/runs/synthetic_\w+/\w+/[\w-]+/scores\.npz"
)  # curves and proposals of runs
_MOST_COLUMNS = 8

_TEXT_OF_OBJECTS = {".pkl", ".pickle", ".joblib", ".mat"}  # pickles may be text, too
_UID = re.compile(rf"(?<![a-z0-9_])(?:{'|'.join(LICENSED)})/[^/\s\"',|`]+/[^/\s\"',|`]+")
# ids as they stand in workbooks, lists, and logs of the datasets and of the challenges
_ID = re.compile(
    r"(?<![0-9a-zA-Z_])(?:(?:anger|disgust|happy)[1-5]_[0-9]+|[0-9]{2}_0[1-5]0[1-8]|0[0-9]{2}_[1-7](?:_[0-9]+)?"
    r"|spNO\.[0-9]+|s[0-9]{1,2}_(?:ne|po|sur)_[0-9]+|sub0[1-9]|(?:dzw|gcf|smy|wy)_[a-z][0-9])(?![0-9a-zA-Z_])"
)
# an address that holds a picture but a drawing, or the first bytes of PNG, JPEG and BMP files in base64
_PICTURE = re.compile(
    r"(?:data:image/(?!svg)[a-z+.-]*;base64,|iVBORw0KGgo|/9j/4[A-Z]|Qk[0-9A-Za-z]{4}AAAA)[A-Za-z0-9+/]{100}"
)
_FRAME = re.compile(r"(?<![\w.])[0-9]{2,6}(?:\.0)?(?![\w.])")
# lines with an id and two frame numbers: tests and documents have a few, a workbook has hundreds
_MOST_ROWS = 12


def violations(root: Path, files: Iterable[str]) -> list[str]:
    """Return `file: why` of every file, relative to `root`, that holds or may hold licensed rows or frames."""
    found = []
    for file in files:
        found += [f"{file}: {why}" for why in _faults(root / file, file)]
    return found


def _faults(path: Path, file: str) -> Iterator[str]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if path.suffix in _TEXT_OF_OBJECTS or "\0" in text:
        if file in ARRAYS or _SCORES.fullmatch(file):
            yield from _array_faults(path)
        elif file not in PICTURES:
            yield "is no text: a workbook, an archive, arrays, or a picture that PICTURES does not name"
        return
    if path.suffix == ".ipynb":
        yield from _notebook_faults(path, text)
        return
    if _PICTURE.search(text):
        yield "holds a picture"
    if path.suffix == ".json":
        yield from _json_faults(text)
    if path.suffix in (".csv", ".tsv"):
        yield from _table_faults(text, "\t" if path.suffix == ".tsv" else ",")
    yield from _row_faults(text)


def _array_faults(path: Path) -> Iterator[str]:
    """Say what speaks against tracked arrays: pickles (refused by `load`), pictures, and names of recorded videos."""
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays:
            if not re.search(r"(?<![a-z0-9_])synthetic_\w+/", name):
                yield f"{name} is not of a drawn dataset"
            shape, kind = arrays[name].shape, arrays[name].dtype.kind
            if len(shape) > 2 or shape[1:] > (_MOST_COLUMNS,) or kind not in "fi":
                yield f"{name} may be a picture"


def _row_faults(text: str) -> Iterator[str]:
    rows = [line for line in text.splitlines() if "synthetic" not in line and _is_row(line)]
    if len(rows) > _MOST_ROWS:
        yield f"{len(rows)} lines look like annotations: {rows[0].strip()[:60]!r}"


def _is_row(line: str) -> bool:
    found = _ID.search(line)
    return bool(found) and len(_FRAME.findall(line.replace(found[0], " "))) >= 2


def _table_faults(text: str, delimiter: str) -> Iterator[str]:
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter))
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if not (any("onset" in name for name in names) and any("offset" in name for name in names)):
        if any(_UID.search(cell) for row in rows for cell in row):
            yield "a table that names videos of a licensed dataset"
        return
    for number, row in enumerate(rows[1:], start=2):
        told = dict(zip(names, row, strict=False)).get("synthetic") == "True"
        if not told and not any(cell.startswith("synthetic_") for cell in row):
            yield f"row {number} has an onset and an offset and is not marked as synthetic"
            return


def _json_faults(text: str) -> Iterator[str]:
    if _UID.search(text):
        yield "names videos of a licensed dataset"
    for one in _objects(json.loads(text)):
        if one.get("synthetic") is False and "source_files" in one:
            yield "is the manifest of a licensed dataset"
        frames = all(isinstance(one.get(name), int | float | str) for name in ("onset", "offset"))
        drawn = one.get("synthetic") is True or str(one.get("video", "")).startswith("synthetic_")
        if frames and not drawn:
            yield "has an onset and an offset and is not marked as synthetic"
            return


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


def _notebook_faults(path: Path, text: str) -> Iterator[str]:
    notebook = json.loads(text)
    try:
        dataset = runs.notebook_parameters(path).get("dataset", "synthetic_")
    except RunError:
        dataset = "synthetic_"
    if not dataset.startswith("synthetic_"):
        yield f"was executed on {dataset}"
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    if _UID.search(json.dumps(outputs)):
        yield "its outputs name videos of a licensed dataset"
    if any(cell.get("attachments") for cell in notebook["cells"]):
        yield "has pictures attached that no cell draws"
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if _PICTURE.search(source):
            yield "holds a picture in the text of a cell"
        yield from _row_faults(source)


# ---------------------------------------------------------------------------------------------------------------------
# The repository


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [file for file in done.stdout.split("\0") if file and (ROOT / file).is_file()]


needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="no checkout: what is tracked is not known"
)


@needs_git
def test_no_tracked_file_holds_licensed_rows_or_frames():
    files = tracked()
    assert len(files) > 100
    assert violations(ROOT, files) == []


@needs_git
def test_pictures_that_are_named_are_there():
    assert set(PICTURES) <= set(tracked())


def test_every_licensed_dataset_is_looked_for():
    assert {"casme2", "samm_lv"} <= set(LICENSED)
    assert not any(name.startswith("synthetic_") for name in LICENSED)


# ---------------------------------------------------------------------------------------------------------------------
# What is planted is found


def workbook(path):
    book = openpyxl.Workbook()
    book.active.append([1, "anger1_1", 10, 20, 30])
    book.save(path)


def picture(path):
    path.write_bytes(cv2.imencode(path.suffix or ".png", IMAGE)[1].tobytes())


def notebook(path, dataset="synthetic_casme2", output="", source="1", **cell):
    parameters = {
        "cell_type": "code",
        "metadata": {"tags": ["parameters"]},
        "source": f'dataset = "{dataset}"',
    }
    shown = {"output_type": "stream", "name": "stdout", "text": output}
    code = {"cell_type": "code", "metadata": {}, "source": source, "outputs": [shown]} | cell
    path.write_text(json.dumps({"cells": [parameters | {"outputs": []}, code]}))


IMAGE = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
B64 = base64.b64encode(cv2.imencode(".png", IMAGE)[1].tobytes()).decode()
LOG = "".join(f"15_0101   {n}0       {n}9       -       -       FN\n" for n in range(11, 40))
MARKED = "video_uid,type,onset,offset,synthetic\nd/s/v,ME,10,20,{}\n"

PLANTED = {
    "labels.xlsx": workbook,
    "labels.txt": workbook,  # under another name
    "code_final.xls": lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 64),
    "img001.jpg": picture,
    "img001.bmp": picture,
    "img001": picture,
    "notes.md": lambda path: path.write_text(f"![](data:image/png;base64,{B64})"),
    "page.html": lambda path: path.write_text(f"<i>{B64}</i>"),
    "scores.npz": lambda path: np.savez(path, a=IMAGE),
    "frames.npy": lambda path: np.save(path, IMAGE),
    "labels.pkl": lambda path: path.write_text("(lp0\nI10\na."),
    "events.csv": lambda path: path.write_text(MARKED.format("False")),
    "truth.csv": lambda path: path.write_text("video,kind,onset,offset\ncasme2/s15/15_0101,ME,10,20\n"),
    "labels.csv": lambda path: path.write_text("Subject,Filename,Onset,Apex,Offset\n006,006_1_1,10,20,30\n"),
    "labels.tsv": lambda path: path.write_text("Filename\tOnsetF\tOffsetF\ns1_ne_01\t10\t30\n"),
    "videos.csv": lambda path: path.write_text("video_uid,fps\nsamm_lv/006/006_1,200\n"),
    "log.txt": lambda path: path.write_text(LOG),
    "rows.py": lambda path: path.write_text("".join(f'("anger1_{n}", {n}7, {n}9),\n' for n in range(1, 40))),
    "rows.md": lambda path: path.write_text("".join(f"| 006_1_{n} | {n}1 | {n}5 |\n" for n in range(1, 40))),
    "headless.csv": lambda path: path.write_text(
        "".join(f"1,happy3_{n},{n}1,{n}2,{n}5\n" for n in range(1, 40))
    ),
    "dataset.json": lambda path: path.write_text(json.dumps({"synthetic": False, "source_files": []})),
    "event.json": lambda path: path.write_text(json.dumps([{"video": "a", "onset": 10, "offset": 20}])),
    "result.json": lambda path: path.write_text(json.dumps({"videos": [{"video": "casme2/s15/15_0101"}]})),
    "run.ipynb": lambda path: notebook(path, dataset="casme2"),
    "shown.ipynb": lambda path: notebook(path, output="casme2/s15/15_0101: 2000 frames"),
    "attached.ipynb": lambda path: notebook(path, attachments={"a.png": {"image/png": B64}}),
    "pasted.ipynb": lambda path: notebook(path, source=f"<img src='data:image/png;base64,{B64}'>"),
    "typed.ipynb": lambda path: notebook(path, source=LOG),
}
HARMLESS = {
    "events.csv": lambda path: path.write_text(MARKED.format("True")),
    "spotted.csv": lambda path: path.write_text("video,onset,offset\nsynthetic_casme2/s15/15_0101,10,20\n"),
    "claims.csv": lambda path: path.write_text("paper,value\nx,0.22\n"),
    "README.md": lambda path: path.write_text(
        "`casme2/s15/15_0101` has img001.jpg; 15_0101 runs from 10 to 20.\n"
    ),
    "dataset.json": lambda path: path.write_text(json.dumps({"synthetic": True, "source_files": []})),
    "schema.json": lambda path: path.write_text(json.dumps({"onset": {"type": "integer"}, "offset": {}})),
    "run.ipynb": lambda path: notebook(path, output="synthetic_casme2/s15/15_0101: 1080 frames"),
    "figure.svg": lambda path: path.write_text("<svg><path d='M10 20 30 40'/></svg>"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(tmp_path, name):
    PLANTED[name](tmp_path / name)
    found = violations(tmp_path, [name])
    assert found
    assert found[0].startswith(f"{name}: ")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_passes(tmp_path, name):
    HARMLESS[name](tmp_path / name)
    assert violations(tmp_path, [name]) == []


def test_a_tracked_violation_would_be_found(tmp_path):
    """The same way as for the repository: from the index of git."""
    (tmp_path / "ok.md").write_text("fine")
    workbook(tmp_path / "labels.xlsx")
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    files = subprocess.run([*git, "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    assert [line.partition(":")[0] for line in violations(tmp_path, files)] == ["labels.xlsx"]


def test_arrays_of_a_recorded_dataset_or_pictures_among_them_are_found(tmp_path):
    np.savez(tmp_path / "good.npz", **{"table synthetic_casme2/s15/15_0101": np.zeros((3, 7))})
    assert list(_array_faults(tmp_path / "good.npz")) == []
    np.savez(tmp_path / "rows.npz", **{"table casme2/s15/15_0101": np.zeros((3, 7))})
    assert "not of a drawn dataset" in next(_array_faults(tmp_path / "rows.npz"))
    np.savez(tmp_path / "frames.npz", **{"table synthetic_casme2/s15/15_0101": np.zeros((3, 7, 7))})
    assert "picture" in next(_array_faults(tmp_path / "frames.npz"))
    np.savez(tmp_path / "frame.npz", **{"table synthetic_casme2/s15/15_0101": np.zeros((30, 40))})
    assert "picture" in next(_array_faults(tmp_path / "frame.npz"))
