"""CONTRIBUTING.md is true: its method and its dataset, added to a copy of the project by its steps alone, work.

A code block belongs to the file that the line above it names: a new one if it is python, json or markdown, one that is
there if it is a diff. The notebook is a block whose cells begin with `# %%`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mespot_lib.datasets import read_dataset

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# `path`, anything, and the block: (path, language, code)
BLOCKS = re.findall(r"^`([\w./]+)`[^\n]*:\n\n```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PYTHON = [path for path, language, _ in BLOCKS if language == "python" and path.endswith(".py")]
METHOD, DATASET = "mouth_energy", "labelled_folders"

pytestmark = pytest.mark.xdist_group("contributing")

# What a reader does after the last step: read the dataset, run a fold, look at the report, spot it again.
TRIED = f"""
import json, sys
from mespot_lib import page, respot, runs
from mespot_lib.catalogue import counts_text, load_dataset, read_folder

drawn = load_dataset("synthetic_casme2_smoke", draw=False)
folder = runs.execute(runs.Run({METHOD!r}, "synthetic_casme2_smoke", drawn.subjects[0]), drawn.digest())
fold = respot.read_fold(runs.read_result(folder))
report, rows, problems = page.write_report()
labelled = read_folder({DATASET!r}, sys.argv[1])
truth = {{uid: [[s.kind, s.onset, s.offset] for s in labelled.truth(uid)] for uid in labelled.uids}}
json.dump(
    dict(folder=str(folder), settings=fold.settings, report=str(report), rows=rows, problems=problems, truth=truth,
         sliders=list(respot.controls([fold])), counts=counts_text(labelled)),
    sys.stdout,
)
"""


def notebook_of(code: str) -> nbformat.NotebookNode:
    """Return the notebook of a block in which `# %%` begins a cell and names its kind or its tag."""
    cells = []
    for part in re.split(r"^# %%", code, flags=re.MULTILINE)[1:]:
        head, source = part.split("\n", 1)
        head, source = head.strip(), source.rstrip("\n")
        if head == "[markdown]":
            cells.append(nbformat.v4.new_markdown_cell(re.sub(r"^# ?", "", source, flags=re.MULTILINE)))
        else:
            cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [head]} if head else {}))
    return nbformat.v4.new_notebook(cells=cells)


def patched(source: str, diff: str) -> str:
    """Return a text with the hunks of a diff (parted by @@) applied; what a hunk expects must be there once."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        before, after = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        assert source.count(before) == 1, (
            f"CONTRIBUTING.md expects these lines, which are not there:\n{before}"
        )
        source = source.replace(before, after)
    return source


def follow(root: Path) -> None:
    """Do in a copy of the project what CONTRIBUTING.md says."""
    for name, language, code in BLOCKS:
        path = root / name
        if language == "diff":
            path.write_text(patched(path.read_text(encoding="utf-8"), code), encoding="utf-8")
        elif path.suffix == ".ipynb":
            nbformat.write(notebook_of(code), path)
        elif path.name == "README.md":
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            (row,) = (at for at, line in enumerate(lines) if line.startswith("| [11_flow_peaks]"))
            path.write_text("".join([*lines[: row + 1], code, *lines[row + 1 :]]), encoding="utf-8")
        else:
            assert not path.exists(), f"{name} is there already"
            path.write_text(code, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what the steps touch, with the steps done."""
    root = tmp_path_factory.mktemp("copy")
    descriptors_alone = shutil.ignore_patterns("synthetic_*[!n]")  # written manifests are folders
    shutil.copytree(ROOT / "mespot_lib", root / "mespot_lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data_manifests", root / "data_manifests", ignore=descriptors_alone)
    (root / "notebooks").mkdir()
    (root / "tests").mkdir()
    (root / "reports").mkdir()
    files = [ROOT / name for name in ("README.md", "pyproject.toml", "reports/paper_claims.csv")]
    for path in [*files, *(ROOT / "tests").glob("*.py")]:
        shutil.copy(path, root / path.relative_to(ROOT))
    follow(root)
    notebooks = map(str, (root / "notebooks").glob("*.ipynb"))
    run(root, "-m", "nbstripout", "--keep-output", "--keep-count", *notebooks).check_returncode()
    return root


def run(copy: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run Python on the copy's library, whichever one is installed."""
    environment = os.environ | {"PYTHONPATH": str(copy)} | variables
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, timeout=600
    )


def lay_out(root: Path, manifest) -> dict[str, list]:
    """Lay the drawn videos out as labelled folders; return what is to be read there."""
    lines, expected = ["subject,video,type,onset,apex,offset"], {}
    for uid in manifest.uids:
        video = manifest.video(uid)
        folder = root / video.subject / "talk"
        folder.mkdir(parents=True)
        for t in range(video.length):
            shutil.copy(video.frame_path(t), folder / f"img{t + 1:04d}.jpg")
        for span in manifest.truth(uid):
            kind = {"ME": "micro", "MaE": "macro"}[span.kind]
            lines.append(f"{video.subject},talk,{kind},{span.onset + 1},{span.apex + 1},{span.offset + 1}")
        spans = [[span.kind, span.onset, span.offset] for span in manifest.truth(uid)]
        expected[f"{DATASET}/{video.subject}/{video.subject}_talk"] = spans
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return expected


@pytest.fixture(scope="module")
def tried(copy, drawn, tmp_path_factory):
    """What the added method and the added dataset did, and what was to be read."""
    smoke = drawn("synthetic_casme2_smoke")
    here = tmp_path_factory.mktemp("tried")
    expected = lay_out(here / "labelled", read_dataset("casme2", smoke))
    places = {"MESPOT_DATA": smoke.parent, "MESPOT_CACHE": here / "cache", "MESPOT_REPORTS": here / "reports"}
    done = run(copy, "-c", TRIED, str(here / "labelled"), **{name: str(at) for name, at in places.items()})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"expected": expected}


def test_every_block_of_code_is_taken():
    fences = re.findall(r"^```(\w+)$", TEXT, re.MULTILINE)
    assert sorted(language for _, language, _ in BLOCKS) == sorted(one for one in fences if one != "sh")


def test_the_added_code_is_as_the_house_wants_it(copy):
    for command in (("check",), ("format", "--check")):
        done = run(copy, "-m", "ruff", *command, "--no-cache", *PYTHON, "notebooks")
        assert done.returncode == 0, done.stdout


def test_its_tests_pass_and_so_do_those_of_the_house(copy, drawn):
    """Import order and notebook rules of the whole collection hold for what was added, too."""
    base = (
        drawn("synthetic_casme2_smoke").parents[1] / "copys_own"
    )  # as a worker beside, it finds what is drawn
    files = [path for path in PYTHON if path.startswith("tests/")]
    house = ["tests/test_architecture.py", "tests/test_notebooks.py"]
    # of the house those tests that are about what was added; the notebook has not been run
    about_it = f"({METHOD} or {DATASET} or every_module or each_other) and not ran_from_first_to_last"
    done = run(
        copy,
        "-m",
        "pytest",
        *files,
        *house,
        *("-k", about_it, "-p", "no:cacheprovider"),
        "--basetemp",
        str(base),
        PYTEST_XDIST_WORKER="beside",
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_the_added_method_runs_and_stands_in_the_report(tried):
    assert tried["problems"] == []
    row = next(row for row in tried["rows"] if row["kind"] == "overall")
    assert (row["method"], row["dataset"], row["folds"]) == (METHOD, "synthetic_casme2_smoke", 1)
    assert row["tp"] + row["fn"] > 0
    assert METHOD in Path(tried["report"]).read_text(encoding="utf-8")
    assert (Path(tried["folder"]) / "notebook.ipynb").is_file()


def test_the_added_method_can_be_explored(tried):
    assert tried["settings"]["threshold_levels"] > 0
    assert "threshold_levels" in tried["sliders"]


def test_the_added_dataset_is_read(tried):
    assert tried["truth"] == tried["expected"]
    assert any(tried["truth"].values())
    assert "videos" in tried["counts"]


def test_the_commands_are_there():
    import test_readme  # the same reading of commands

    found = test_readme.commands(TEXT)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in found:
        program, first, *_ = command.split()
        assert program in ("make", "mespot", "python"), command
        if program == "make":
            assert re.search(rf"^{first}:", makefile, re.MULTILINE), command
    assert (ROOT / "tests" / "test_spot.py").is_file()
