"""Notebooks stay readable, runnable and honest. Each failure says which command repairs it."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mespot_lib import runs

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
STRIP = "nbstripout --keep-output --keep-count notebooks/*.ipynb"
RERUN = "restart the kernel, run all cells, save, then " + STRIP

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    return [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind
    ]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path, "code")]


def test_cells_ran_from_first_to_last(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1)), RERUN


def test_outputs_hold_no_errors_no_warnings_no_progress(path):
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"], RERUN
    assert "application/vnd.jupyter.widget" not in json.dumps(outputs), RERUN
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"], STRIP
    said = "\n".join("".join(output.get("text", "")) for output in outputs)
    assert not re.search(r"\b\w*Warning: |it/s\]", said), RERUN


def test_colours_are_those_that_everybody_tells_apart(path):
    for source in code(path):
        assert not re.search(r"tab10|tab20|\bjet\b|rainbow|hsv", source), "see viz.COLOURS"


def test_metadata_is_stripped(path):
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", "--keep-output", "--keep-count", str(path)],
        capture_output=True,
    )
    assert done.returncode == 0, STRIP


def test_nothing_of_a_machine_is_left(path):
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"/home/\w+|/Users/\w+|/root/|/tmp/|[A-Z]:\\\\\w+|/work/", text)
    assert not found, f"{found[:3]}: {RERUN}"


def test_the_file_is_small(path):
    assert path.stat().st_size < 400_000, "make figures smaller (viz.use_style stores JPEG)"


def test_the_first_cell_is_the_title_alone(path):
    first = cells(path, "markdown")[0]
    assert re.fullmatch(r"# \d\d · [^\n]+", "".join(first["source"]))


def test_parameters_are_literals(path):
    assert runs.notebook_parameters(path)  # raises where one is computed


def test_logic_lives_in_the_library(path):
    for source in code(path):
        tree = ast.parse(source)
        defined = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        assert not [n for n in defined if isinstance(n, ast.ClassDef) or n.end_lineno - n.lineno >= 8], source
        assert len(source.splitlines()) <= 15, f"a code cell of more than 15 lines: {source[:60]}"
        assert not re.search(r"sys\.path|pip install|^\s*[%!]|urlopen|requests\.", source, re.MULTILINE), (
            source
        )


def test_numbers_are_checked(path):
    tags = [tag for cell in cells(path, "code") for tag in cell["metadata"].get("tags", ())]
    assert tags.count("nbval-check-output") >= 2
    assert "nbval-skip" not in tags


def test_checked_cells_draw_no_data(path):
    """A data set is drawn on first use, under a progress bar, which is one output more than what is stored."""
    for cell in cells(path, "code"):
        if "nbval-check-output" in cell["metadata"].get("tags", ()):
            assert "load_dataset" not in "".join(cell["source"])


def test_the_opening_says_what_one_learns_and_what_one_needs(path):
    opening = "".join(cells(path, "markdown")[1]["source"])
    assert opening.startswith("**What you will learn.** ")
    need = opening.partition("**What you need.**")[2]
    rows = dict(re.findall(r"^\| ([\w ]+) \| (.+) \|$", need, re.MULTILINE))
    assert list(rows) == ["knowledge", "earlier notebooks", "data", "minutes"]
    assert "synthetic" in opening
    line = re.search(rf"^\| \[{path.stem}\]\(.+\| (\d+) \|$", README, re.MULTILINE)
    assert line, "the README lists every notebook"
    assert rows["minutes"].split(";")[0] == line[1], "the README says another time"


def test_words_are_explained_in_the_glossary(path):
    opening = "".join(cells(path, "markdown")[1]["source"])
    assert "[glossary](GLOSSARY.md)" in opening
    assert len(re.findall(r"\]\(GLOSSARY\.md#[\w-]+\)", opening)) >= 5


def test_the_closing_says_what_to_remember_and_sets_three_exercises(path):
    closing = "".join(cells(path, "markdown")[-1]["source"])
    remember, _, exercises = closing.partition("\n## Exercises\n")
    assert len(re.findall(r"^- ", remember.partition("What to remember")[2], re.MULTILINE)) >= 3
    each = re.findall(r"^(\d)\. \*\((\w+)\)\* (.+)$", exercises, re.MULTILINE)
    assert [(number, level) for number, level, _ in each] == [("1", "easy"), ("2", "medium"), ("3", "hard")]
    ends_in_code = json.loads(path.read_text(encoding="utf-8"))["cells"][-1]["cell_type"] == "code"
    for _, _, text in each:
        assert "?" in text, "an exercise asks for something"
        assert "Check: " in text or ends_in_code, "say how an answer is checked"
    assert f"SOLUTIONS.md#{path.stem})" in exercises
