"""Keys, folders, stored results, and the execution of a notebook (a tiny one: no pictures, no method)."""

import builtins
import dataclasses
import json
import os
import signal
import subprocess
import symtable
import sys

import nbformat
import numpy as np
import psutil
import pytest
from toy import executing, leftovers, store, toy_manifest, wait_for

from mespot_lib import runs
from mespot_lib.interval import Interval
from mespot_lib.metrics import Counts
from mespot_lib.runs import Run, RunError

# ---------------------------------------------------------------------------------------------------------------------
# Keys


def test_key_changes_with_everything_that_can_change_the_result(tiny, tmp_path):
    base = runs.run_key(tiny(), "d0")
    others = [
        runs.run_key(tiny(seed=1), "d0"),
        runs.run_key(tiny(fold="s02"), "d0"),
        runs.run_key(tiny(wait_s=1.0), "d0"),
        runs.run_key(tiny(), "d1"),
    ]
    notebook = nbformat.read(tmp_path / "tiny.ipynb", 4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    aside = {"tags": ["aside"]}
    notebook.cells.append(nbformat.v4.new_code_cell("1 / 0", metadata=aside))
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    assert runs.run_key(tiny(), "d0") == base, "neither outputs nor asides are code of a run"
    notebook.cells[2].source += "\n1 + 1"
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    others.append(runs.run_key(tiny(), "d0"))
    assert len({base, *others}) == 6


def test_unknown_method_and_broken_notebook_are_named(tmp_path):
    with pytest.raises(RunError, match="unknown method 'magic'; known: zhang2020"):
        runs.run_key(Run("magic", "toy", "s01"), "d0")
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{}")
    with pytest.raises(RunError, match=r"broken\.ipynb: not a notebook"):
        runs.run_key(Run("magic", "toy", "s01", notebook=str(broken)), "d0")
    with pytest.raises(RunError, match=r"no notebook none\.ipynb"):
        runs.run_key(Run("magic", "toy", "s01", notebook=str(tmp_path / "none.ipynb")), "d0")


# ---------------------------------------------------------------------------------------------------------------------
# Storing and reading


def test_without_a_folder_a_result_is_only_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = store("")
    assert (result.ME, result.MaE) == (Counts(1, 0, 0), Counts(0, 0, 1))
    assert list(tmp_path.iterdir()) == []


def test_storing_refuses_other_videos_than_the_folds(tmp_path):
    with pytest.raises(RunError, match="spotted videos differ from the fold's: toy/s01/v2"):
        store(tmp_path, spotted={"toy/s01/v1": []})
    with pytest.raises(RunError, match="unknown fold 's07'; known: s01, s02"):
        store(tmp_path, fold="s07")
    with pytest.raises(TypeError, match="cannot be stored as JSON"):
        store(tmp_path, settings={"threshold": {1, 2}})


@pytest.fixture
def finished(tmp_path):
    """A run folder that is sound."""
    folder = tmp_path / "runs" / "toy" / "tiny" / "s01-0123456789ab"
    store(folder, settings={"threshold": np.float64(0.25)})
    runs._complete(
        Run("tiny", "toy", "s01", notebook=_any_notebook(tmp_path)),
        folder,
        toy_manifest().digest(),
        "0" * 12,
        1,
    )
    return folder


def _any_notebook(folder):
    path = folder / "empty.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    return str(path)


def test_stored_result_reads_back(finished):
    result = runs.read_result(finished)
    assert result.record["settings"] == {"threshold": 0.25}
    assert result.record["counts"]["overall"] == {"tp": 1, "fp": 0, "fn": 1}
    assert result.record["n_folds"] == 2
    assert result.record["synthetic"] is True
    assert result.spotted == {"toy/s01/v1": [Interval(10, 19, "ME")], "toy/s01/v2": []}
    assert result.truth["toy/s01/v1"] == [Interval(10, 19, "ME", 11), Interval(40, 79, "MaE", 41)]
    assert result.score.overall == Counts(1, 0, 1)
    assert result.record["peak_memory_mb"] is None or result.record["peak_memory_mb"] > 10


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "result.json").unlink(), "half-written"),
        (lambda f: (f / "result.json").write_text('{"schema": 1'), "cannot be read"),
        (lambda f: (f / "result.json").write_text("[]"), "is not of type 'object'"),
        (lambda f: edit(f, seed="x"), "seed: 'x' is not of type 'integer'"),
        (lambda f: edit(f, surprise=1), "'surprise' was unexpected"),
        (lambda f: (f / "truth.csv").unlink(), "no such file"),
        (
            lambda f: (f / "spotted.csv").write_text("video,kind,onset,offset\ntoy/s01/v1,ME,a,3\n"),
            "row 2: onset",
        ),
        (
            lambda f: (f / "spotted.csv").write_text(
                "video,kind,onset,offset\ntoy/s01/v1,,,\ntoy/s01/v2,,,\n"
            ),
            "disagree",
        ),
    ],
)
def test_damaged_results_are_listed_and_not_fatal(finished, tmp_path, damage, message):
    assert (len(runs.read_results(tmp_path)), runs.state(finished)) == (1, "finished")
    damage(finished)
    with pytest.raises(RunError, match=message):
        runs.read_result(finished)
    assert runs.state(finished) == "damaged"
    results, problems = runs.scan_results(tmp_path)
    assert (len(results), len(problems)) == (0, 1)
    assert "s01-0123456789ab" in problems[0]
    with pytest.warns(UserWarning, match=message):
        assert runs.read_results(tmp_path) == []


def edit(folder, **changes):
    record = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(record | changes))


# ---------------------------------------------------------------------------------------------------------------------
# Executing


def test_a_run_leaves_its_files_and_is_not_done_again(tiny, reports):
    run, digest = tiny(seed=3), toy_manifest().digest()
    folder = runs.execute(run, digest)
    assert folder == runs.run_folder(run, digest)
    assert sorted(path.name for path in folder.iterdir()) == [
        "notebook.ipynb",
        "result.json",
        "scores.npz",
        "spotted.csv",
        "truth.csv",
    ]
    result = runs.read_result(folder)
    assert (result.record["method"], result.record["seed"], result.record["parameters"]) == ("tiny", 3, {})
    assert result.record["counts"]["overall"] == {"tp": 1, "fp": 1, "fn": 1}
    assert result.scores()["toy/s01/v2"].shape == (100, 2)
    machine = {str(reports.parent), os.path.expanduser("~/"), sys.prefix}
    assert not [path for path in machine if path in (folder / "result.json").read_text()]
    assert "papermill" not in nbformat.read(folder / "notebook.ipynb", 4).metadata
    before = (folder / "result.json").stat().st_mtime_ns
    assert runs.execute(run, digest) == folder
    assert (folder / "result.json").stat().st_mtime_ns == before
    (folder / "result.json").unlink()  # half-written: done again
    runs.execute(run, digest)
    assert runs.state(folder) == "finished"
    assert leftovers(reports) == []


def test_a_run_leaves_asides_out(tiny, tmp_path, reports):
    notebook = nbformat.read(tmp_path / "tiny.ipynb", 4)
    kept = len(notebook.cells)
    aside = {"tags": ["nbval-ignore-output", "aside"]}
    notebook.cells.insert(2, nbformat.v4.new_code_cell("1 / 0", metadata=aside))
    notebook.cells.append(nbformat.v4.new_markdown_cell("All folds", metadata=aside))
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    executed = nbformat.read(runs.execute(tiny(), toy_manifest().digest()) / "notebook.ipynb", 4)
    tags = [cell.metadata.tags for cell in executed.cells]
    assert len(tags) == kept + 1, "papermill adds its parameters"
    assert not any("aside" in row for row in tags)


def test_unknown_parameter_is_refused_before_anything_runs(tiny, reports):
    with pytest.raises(
        RunError, match=r"tiny\.ipynb has no parameter wait; it has: dataset, fold, profile, seed"
    ):
        runs.execute(tiny(wait=3), "d0")
    assert not reports.exists()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "0 cells are tagged `parameters`"),
        (["a = 1", "b = 2"], "2 cells are tagged `parameters`"),
        (["a = 1\nb = a + 1"], "parameters must be literals, but 'b = a \\+ 1'"),
        (["import os"], "parameters must be literals, but 'import os'"),
        (["%magic"], "the parameters cell is not Python"),
    ],
)
def test_parameters_cell_is_one_cell_of_literals(tmp_path, cells, message):
    new = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(
        cells=[new(text, metadata={"tags": ["parameters"]}) for text in cells]
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    with pytest.raises(RunError, match=message):
        runs.notebook_parameters(tmp_path / "n.ipynb")


def test_failed_runs_keep_the_executed_notebook(tiny, reports):
    run, digest = tiny(stumble=True), toy_manifest().digest()
    with pytest.raises(RunError, match="AssertionError: stumbled on purpose in cell 4") as error:
        runs.execute(run, digest)
    kept = runs.runs_root() / "failed" / "toy" / "tiny" / runs.run_folder(run, digest).name / "notebook.ipynb"
    assert str(kept) in str(error.value)
    assert "stumbled on purpose" in kept.read_text()
    assert [failure["reason"] for failure in runs.failures(reports)] == [str(error.value)]
    assert runs.state(runs.run_folder(run, digest)) == "missing"
    assert runs.scan_results(reports) == ([], [])
    assert leftovers(reports) == []


def test_a_damaged_record_of_a_failure_is_a_failure_that_says_so(tiny, reports):
    folder = reports / "runs" / "failed" / "toy" / "tiny" / "s01-000000000000"
    folder.mkdir(parents=True)
    (folder / "error.json").write_text('{"run": {')
    (failure,) = runs.failures(reports)
    assert "s01-000000000000/error.json: cannot be read" in failure["reason"]
    runs.execute(tiny(), toy_manifest().digest())  # nobody stumbles over it
    assert len(runs.failures(reports)) == 1


def test_a_success_forgets_earlier_failures_of_the_same_run(tiny, reports):
    for name, run in (("s01-a", tiny()), ("s01-b", tiny(seed=1))):
        folder = reports / "runs" / "failed" / "toy" / "tiny" / name
        folder.mkdir(parents=True)
        (folder / "error.json").write_text(json.dumps({"run": dataclasses.asdict(run), "reason": "stumbled"}))
    runs._forget_failures(tiny())
    assert [failure["folder"].name for failure in runs.failures(reports)] == ["s01-b"]


@pytest.mark.parametrize("name", ["fold", "result_folder"])
def test_what_a_run_sets_itself_cannot_be_set_again(tiny, name):
    run = dataclasses.replace(tiny(), parameters={name: "x"})
    with pytest.raises(RunError, match=f"{name} is set by the run itself"):
        runs.check_parameters(run)


def test_a_result_for_another_dataset_content_is_refused(tiny, reports):
    with pytest.raises(RunError, match=r"read another toy than the run was planned for .* instead of 0000"):
        runs.execute(tiny(), "0000")


def test_a_killed_run_leaves_neither_folder_nor_process(tiny, reports, tmp_path):
    run, digest = tiny(wait_s=60.0), toy_manifest().digest()
    script = tmp_path / "one_run.py"
    script.write_text(f"from mespot_lib.runs import Run, execute\nexecute({run!r}, {digest!r})\n")
    driver = subprocess.Popen([sys.executable, script])
    partial = reports / "runs" / ".partial"
    kernels = wait_for(lambda: executing(partial) and psutil.Process(driver.pid).children(recursive=True))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert runs.state(runs.run_folder(run, digest)) == "missing"
    assert runs.scan_results(reports) == ([], [])
    wait_for(lambda: not any(kernel.is_running() for kernel in kernels))
    assert runs.remove_abandoned() == 1
    assert leftovers(reports) == []


# --- the version of the code ----------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    """Two methods on one feature, which imports a reader only when it is used."""
    files = {
        "__init__.py": "",
        "frames.py": "",
        "features/__init__.py": "",
        "features/flow.py": "def flow():\n    from mespot_lib.frames import read\n",
        "methods/__init__.py": "",
        "methods/one.py": "from mespot_lib.features.flow import flow\n",
        "methods/two.py": "from mespot_lib.features import flow\nimport mespot_lib.report\n",
        "report.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "one", "two"),
    [
        ("methods/one.py", True, False),
        ("methods/two.py", False, True),
        ("features/flow.py", True, True),
        ("frames.py", True, True),  # reached through an import inside a function
        ("methods/__init__.py", True, True),
        ("report.py", False, False),  # only looks at finished runs
        ("__init__.py", False, False),
    ],
)
def test_a_change_counts_for_those_who_reach_it(library, changed, one, two):
    used = [
        frozenset(runs._imports(f"from mespot_lib.methods import {name}", "cell")) for name in ("one", "two")
    ]
    digest = runs._library_digest.__wrapped__
    before = [digest(names, library) for names in used]
    with (library / changed).open("a") as file:
        file.write("x = 1\n")
    after = [digest(names, library) for names in used]
    assert [b != a for b, a in zip(before, after, strict=True)] == [one, two]


@pytest.mark.parametrize("method", runs.NOTEBOOKS)
def test_the_version_of_a_notebook_covers_its_method(method):
    cells = runs._code_cells(runs.notebook_path(runs.Run(method, "synthetic_casme2", "s15")))
    found = {name for cell in cells for name in runs._imports("".join(cell["source"]), "cell")}
    assert f"mespot_lib.methods.{method}" in found


def _names(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell gets from cells before it, and those that it defines for cells after it."""
    table = symtable.symtable(source, "cell", "exec")
    inner, waiting = set(), list(table.get_children())
    while waiting:
        child = waiting.pop()
        inner |= {name.get_name() for name in child.get_symbols() if name.is_global()}
        waiting += child.get_children()
    bound = {name.get_name() for name in table.get_symbols() if name.is_assigned() or name.is_imported()}
    # `for`, `with` and functions bind names too, which symtable counts among the assigned
    used = {name.get_name() for name in table.get_symbols() if name.is_referenced()} | inner
    return used, bound


@pytest.mark.parametrize("method", runs.NOTEBOOKS)
def test_what_runs_execute_does_not_need_what_they_leave_out(method):
    path = runs.notebook_path(runs.Run(method, "synthetic_casme2", "s15"))
    every = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert any(map(runs.is_aside, every)), "a run computes what is not about its fold"
    known = {*dir(builtins), "display", "__doc__"}
    for cell in runs._code_cells(path):
        used, bound = _names("".join(cell["source"]))
        assert used <= known | bound, "".join(cell["source"])
        known |= bound


def test_a_name_from_a_cell_left_out_is_seen():
    used, bound = _names("rows = [table[x] for x in names]\ndef f():\n    return later\n")
    assert {"table", "names", "later"} <= used
    assert bound == {"rows", "f"}
