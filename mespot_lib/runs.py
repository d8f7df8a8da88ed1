"""One run: a method's notebook, executed on one fold of one dataset, and the files it leaves.

    reports/runs/<dataset>/<method>/<fold>-<key>/
        result.json      protocol, counts, cost, versions          (data_manifests/result.schema.json)
        spotted.csv      spotted intervals of the fold's videos    (columns of `interval.write_intervals`)
        truth.csv        the true ones they were scored against
        scores.npz       score curve or proposals of each video
        notebook.ipynb   the executed notebook
    reports/runs/failed/<dataset>/<method>/<fold>-<key>/    a run that stopped: its notebook, error.json
    reports/runs/.partial/                                  runs at work

The *key* covers everything that can change a result: method, dataset and its content, fold, profile, seed,
parameters, and the code (library and notebook). A run whose folder is there is finished and is not done again;
changed code or data give a new key. Runs are written under `.partial` and moved into place in one step, so a killed
run leaves no folder that looks finished.
"""

import ast
import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import sys
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mespot_lib import places
from mespot_lib.interval import Interval, read_intervals, write_intervals
from mespot_lib.manifest import Manifest, loso_folds, schema
from mespot_lib.metrics import PARTS, Score, score

NOTEBOOKS = {
    "zhang2020": "10_megc_baseline",
    "flow_peaks": "11_flow_peaks",
    "yap2022_3dcnn": "20_3dcnn",
    "mesnet": "30_mesnet",
    "stsnet_sw": "40_stsnet",
    "i3d_bifpn": "50_bifpn",
}
# Those that are trained anew for every fold: minutes a run instead of seconds.
LEARNED = ("yap2022_3dcnn", "mesnet", "stsnet_sw", "i3d_bifpn")
PROFILES = ("quick", "paper")

_PACKAGE = __name__.partition(".")[0]
# Modules that draw, or only look at finished runs: changing them cannot change a result, so the key leaves them out.
_AFTER_RUNS = (
    "mistakes.py",
    "anchors.py",
    "evaluation.py",
    "user_video.py",
    "strips.py",
    "spot_page.py",
    "claims.py",
    "ranks.py",
    "report.py",
    "comparison.py",
    "charts.py",
    "cluster.py",
    "progress.py",
    "sweep.py",
    "viz.py",
    "page.py",
    "respot.py",
    "explore.py",
    "challenge.py",
    "leaderboard.py",
    "submit.py",
    "cli.py",
)

# One thread per process: two runs beside each other are faster so, and results do not depend on the number of cores.
KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "LOKY_MAX_CPU_COUNT": "1",  # one process, too
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


class RunError(ValueError):
    """A run that cannot be started or that failed, or a stored result that cannot be read."""


class KernelDied(RunError):
    """The kernel of a run was killed, for instance because memory was short: trying again may help."""


@dataclass(frozen=True)
class Run:
    """What to execute.

    Parameters
    ----------
    method : name of the method, one of `NOTEBOOKS`.
    dataset, fold : name of the dataset and of the fold to test on.
    profile : "quick" or "paper", the size of the method.
    seed : of everything random.
    parameters : further notebook parameters; only what differs from the notebook's own values.
    notebook : path of another notebook than the method's own, relative to the repository.
    """

    method: str
    dataset: str
    fold: str
    profile: str = "quick"
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notebook: str = ""

    def __str__(self) -> str:
        return f"{self.method} on {self.dataset}, fold {self.fold}, {self.profile}, seed {self.seed}"


def notebook_path(run: Run) -> Path:
    """Return the notebook that a run executes; raise `RunError` for an unknown method or a missing file."""
    if not run.notebook and run.method not in NOTEBOOKS:
        raise RunError(f"unknown method {run.method!r}; known: {', '.join(NOTEBOOKS)}")
    path = places.repository_root() / (run.notebook or f"notebooks/{NOTEBOOKS[run.method]}.ipynb")
    if not path.is_file():
        raise RunError(f"{run}: no notebook {path.name} in {path.parent.name}/")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Key and folder


def code_version(notebook: Path) -> str:
    """Return a digest of the cells that a run executes, outputs left out, and of all modules that they reach.

    A module is reached if a cell, or a module reached, imports it, at its top or anywhere else. So a new method, or a
    change to another one, leaves the runs of this notebook valid.
    """
    written = notebook.stat()
    return _code_version(notebook, written.st_mtime_ns, written.st_size)


@functools.lru_cache  # a sweep asks for every run
def _code_version(notebook: Path, _written_ns: int, _size: int) -> str:
    cells = ["".join(cell["source"]) for cell in _code_cells(notebook)]
    used = frozenset(name for source in cells for name in _imports(source, notebook.name))
    return hashlib.sha256(f"{_library_digest(used)}{_notebook_source(notebook)}".encode()).hexdigest()[:12]


@functools.cache  # a process works with the sources it has imported, whatever happens to the files meanwhile
def _library_digest(used: frozenset[str], package: Path = Path(__file__).parent) -> str:
    """Return a digest of the modules of these dotted names and of all that they reach."""
    sources, waiting = {}, list(used)
    while waiting:
        for path in _files_of(waiting.pop(), package):
            if path not in sources and path.name not in _AFTER_RUNS:
                sources[path] = path.read_text(encoding="utf-8")
                waiting += _imports(sources[path], path.name)
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path.relative_to(package).as_posix()}\n{sources[path]}\0".encode())
    return digest.hexdigest()


def _imports(source: str, name: str) -> list[str]:
    """Return the dotted names of the library that a source imports anywhere; some name what is in a module."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise RunError(f"{name}: not Python ({error})") from None
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.partition(".")[0] == _PACKAGE]


def _files_of(name: str, package: Path) -> list[Path]:
    """Return the files that importing a name executes, but for the library's own __init__, which computes nothing."""
    parts = name.split(".")[1:]
    folders = [package.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    files = [folder / "__init__.py" for folder in folders] + [package.joinpath(*parts).with_suffix(".py")]
    return [path for path in files if path.is_file()]


def _notebook_source(path: Path) -> str:
    return json.dumps([("".join(cell["source"]), cell["metadata"].get("tags")) for cell in _code_cells(path)])


def is_aside(cell: Mapping[str, Any]) -> bool:
    """Tell whether a cell has the tag `aside`: it is not about the fold, and runs leave it out.

    What a notebook says about all folds, other data or variants is for its reader; in every run of a sweep it would be
    the same again.
    """
    return "aside" in cell["metadata"].get("tags", ())


def _code_cells(path: Path) -> list[dict[str, Any]]:
    """Return the code cells that a run executes."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [cell for cell in cells if cell["cell_type"] == "code" and not is_aside(cell)]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path.name}: not a notebook ({error})") from None


def run_key(run: Run, manifest_digest: str) -> str:
    """Return 12 hex digits that change whenever the result of the run could."""
    covered = asdict(run) | {"manifest": manifest_digest, "code": code_version(notebook_path(run))}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()[:12]


def runs_root() -> Path:
    """Return the folder of all runs."""
    return places.reports_root() / "runs"


def run_folder(run: Run, manifest_digest: str) -> Path:
    """Return where the run's result is or will be."""
    return runs_root() / run.dataset / run.method / f"{run.fold}-{run_key(run, manifest_digest)}"


def state(folder: Path) -> str:
    """Return "finished", "missing", or "damaged" for a folder that is there without a readable result."""
    if not folder.exists():
        return "missing"
    try:
        read_result(folder)
    except RunError:
        return "damaged"
    return "finished"


# ---------------------------------------------------------------------------------------------------------------------
# Storing, from inside the notebook


def store_result(
    folder: str | Path,
    *,
    method: str,
    dataset: str,
    fold: str,
    profile: str,
    seed: int,
    manifest: Manifest,
    spotted: Mapping[str, list[Interval]],
    scores: Mapping[str, np.ndarray] | None = None,
    settings: Mapping[str, Any] | None = None,
    selection: str = "honest",
    evaluation: str = "megc",
    t_eval: float = 0.5,
) -> Score:
    """Score the spotted intervals of a fold against the manifest and store everything in `folder`.

    Parameters
    ----------
    folder : where to; an empty string stores nothing (a reader who runs the notebook by hand) and only scores.
    manifest : the dataset, all folds of it.
    spotted : the intervals of every video of the fold, an empty list for none.
    scores : score curve (T, K) or table of proposals (N, K) of each video.
    settings : what the method used and fitted; plain values, as JSON knows them.
    selection : "oracle" if the held-out truth had a say in any setting.

    Raises
    ------
    RunError
        If the fold is unknown, or `spotted` has other videos than the fold.
    """
    uids = _fold_videos(manifest, fold)
    if set(spotted) != set(uids):
        odd = ", ".join(sorted(set(spotted) ^ set(uids))[:5])
        raise RunError(f"{method} on {dataset}, fold {fold}: spotted videos differ from the fold's: {odd}")
    truth = {uid: manifest.truth(uid) for uid in uids}
    result = score(truth, spotted, t_eval, evaluation)
    if not str(folder):
        return result
    videos = [manifest.video(uid) for uid in uids]
    record = {
        "schema": 1,
        "method": method,
        "dataset": dataset,
        "fold": fold,
        "fold_rule": "loso",
        "n_folds": len(loso_folds(manifest)),
        "profile": profile,
        "seed": seed,
        "fix_policy": manifest.descriptor["fix_policy"],
        "synthetic": any(video.synthetic for video in videos),
        "evaluation": evaluation,
        "t_eval": t_eval,
        "selection": selection,
        "settings": dict(settings or {}),
        "counts": {part: asdict(result[part]) for part in PARTS},
        "videos": [{"video": v.uid, "subject": v.subject, "frames": v.length, "fps": v.fps} for v in videos],
        "peak_memory_mb": _peak_memory_mb(),
        "versions": _versions(),
        "manifest_digest": manifest.digest(),
    }
    folder = places.repository_root() / folder  # an absolute folder stays what it is
    folder.mkdir(parents=True, exist_ok=True)
    write_intervals(folder / "truth.csv", truth)
    write_intervals(folder / "spotted.csv", spotted)
    arrays: dict[str, Any] = {uid: np.asarray(s) for uid, s in (scores or {}).items()}
    np.savez_compressed(folder / "scores.npz", **arrays)
    _write_json(folder / "result.json", record)
    return result


def _fold_videos(manifest: Manifest, name: str) -> tuple[str, ...]:
    folds = {fold.name: fold.test for fold in loso_folds(manifest)}
    if name not in folds:
        raise RunError(f"unknown fold {name!r}; known: {', '.join(folds)}")
    return folds[name]


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # macOS counts bytes, Linux KiB


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("mespot", "numpy", "scipy", "pandas", "opencv-python", "mediapipe", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return a numpy number or array as plain Python, which is all that JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON: {value!r}")


# ---------------------------------------------------------------------------------------------------------------------
# Executing


def notebook_parameters(path: Path) -> dict[str, Any]:
    """Return the parameters of a notebook with their own values: the assignments of its cell tagged `parameters`.

    Raises
    ------
    RunError
        If there is no such cell, or a value is not a literal (a computed one would not follow a changed parameter).
    """
    tagged = [cell for cell in _code_cells(path) if "parameters" in cell["metadata"].get("tags", ())]
    if len(tagged) != 1:
        raise RunError(f"{path.name}: {len(tagged)} cells are tagged `parameters`; there must be one")
    try:
        lines: list[Any] = ast.parse("".join(tagged[0]["source"])).body
    except SyntaxError as error:
        raise RunError(f"{path.name}: the parameters cell is not Python ({error})") from None
    found = {}
    for line in lines:
        target: Any = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        try:
            found[target.id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError):
            raise RunError(f"{path.name}: parameters must be literals, but {ast.unparse(line)!r}") from None
    return found


def check_parameters(run: Run) -> None:
    """Raise `RunError` if the run sets a parameter that its notebook does not have, or one that has a field of its own.

    papermill would only warn, and the run would silently do something else than was asked for.
    """
    path = notebook_path(run)
    known, own = notebook_parameters(path), _own_parameters(run, "")
    unknown = sorted({*own, *run.parameters} - set(known))
    if unknown:
        there = ", ".join(known) or "none"
        raise RunError(f"{path.name} has no parameter {', '.join(unknown)}; it has: {there}")
    twice = sorted(set(own) & set(run.parameters))
    if twice:
        raise RunError(
            f"{run}: {', '.join(twice)} is set by the run itself and cannot be a further parameter"
        )


def _own_parameters(run: Run, result_folder: str) -> dict[str, Any]:
    own = {"dataset": run.dataset, "fold": run.fold, "profile": run.profile, "seed": run.seed}
    return own | {"result_folder": result_folder}


def execute(run: Run, manifest_digest: str) -> Path:
    """Execute the run's notebook, unless its result is there already, and return the result's folder.

    Raises
    ------
    RunError
        If the notebook lacks a parameter, stops with an error, or stores no or another result. The executed
        notebook is then kept under `reports/runs/failed`, and the message names it.
    """
    check_parameters(run)
    folder = run_folder(run, manifest_digest)
    with _alone_with(_partial(folder)) as partial:
        if state(folder) == "finished":
            return folder
        partial.mkdir()
        failed = failed_folder(folder)
        try:
            seconds = _execute_notebook(run, partial)
            _complete(run, partial, manifest_digest, folder.name.removeprefix(f"{run.fold}-"), seconds)
        except Exception as error:
            reason = f"{run}: {_reason(error)} (executed notebook: {_shown(failed / 'notebook.ipynb')})"
            _write_json(partial / "error.json", {"run": asdict(run), "reason": reason})
            _move(partial, failed)
            raise (KernelDied if _kernel_died(error) else RunError)(reason) from error
        _move(partial, folder)
        _forget_failures(run)
    return folder


def failed_folder(folder: Path) -> Path:
    """Return where a run that is to leave `folder` leaves its notebook if it fails."""
    return runs_root() / "failed" / folder.relative_to(runs_root())


def _partial(folder: Path) -> Path:
    """Return where a run is at work that is to leave `folder`, or what is kept of its failure."""
    return runs_root() / ".partial" / "-".join(folder.relative_to(runs_root()).parts)


def _kernel_died(error: Exception) -> bool:
    # nbclient's own error, or what jupyter_client says of a kernel that dies while it starts
    return type(error).__name__ == "DeadKernelError" or "Kernel died" in str(error)


def pack(folder: Path) -> bytes:
    """Return the files of a run folder, to be sent to where its sweep was started; see `admit`."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            archive.write(path, path.name)
    return data.getvalue()


def admit(packed: bytes, folder: Path) -> None:
    """Put a run folder, finished or failed, that another host has packed, where it belongs.

    Raises
    ------
    RunError
        If what was sent is no finished run, though `folder` is the place of one.
    """
    with _alone_with(_partial(folder)) as partial:
        partial.mkdir()
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(partial)
        if not folder.is_relative_to(runs_root() / "failed"):
            read_result(partial)
        _move(partial, folder)


def failures(reports_root: str | Path | None = None) -> list[dict[str, Any]]:
    """Return the runs that stopped with an error and have not succeeded since: `run`, `reason`, `folder`."""
    root = Path(reports_root) if reports_root else places.reports_root()
    return [_failure(path) for path in sorted((root / "runs" / "failed").glob("*/*/*/error.json"))]


def _failure(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"run": record["run"], "reason": record["reason"], "folder": path.parent}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{_shown(path)}: cannot be read ({type(error).__name__}: {error})"
        return {"run": {}, "reason": reason, "folder": path.parent}


def _forget_failures(run: Run) -> None:
    """Remove what is kept of earlier attempts at the run, with other code or data too."""
    for failure in failures():
        if failure["run"] == asdict(run):
            shutil.rmtree(failure["folder"], ignore_errors=True)


@contextlib.contextmanager
def _alone_with(partial: Path, wait_s: float = -1) -> Iterator[Path]:
    """Hold the lock of a partial folder, which is not there at the start nor at the end.

    The system lets the lock go when its process dies; what that leaves in the folder nobody else is at.
    """
    from filelock import FileLock

    partial.parent.mkdir(parents=True, exist_ok=True)
    path = partial.with_name(partial.name + ".lock")
    with FileLock(path, timeout=wait_s):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            with contextlib.suppress(OSError):  # Windows keeps files that are open
                path.unlink()


@contextlib.contextmanager
def at_work() -> Iterator[str]:
    """Yield a word by which others see, as long as the block lasts, whether their folder of runs is this one."""
    word = f"sweep-{uuid.uuid4().hex}"
    with _alone_with(runs_root() / ".partial" / word) as sign:
        sign.mkdir()
        yield word


def is_at_work(word: str) -> bool:
    """Return whether whoever has got this word from `at_work` writes to the same folder of runs."""
    return (runs_root() / ".partial" / word).is_dir()


def remove_abandoned() -> int:
    """Remove what killed runs left under `.partial`; return how many there were. Runs at work are left alone."""
    from filelock import Timeout

    removed = 0
    for partial in [path for path in (runs_root() / ".partial").glob("*/") if path.is_dir()]:
        with contextlib.suppress(Timeout), _alone_with(partial, wait_s=0):
            removed += 1
    return removed


def _execute_notebook(run: Run, partial: Path) -> float:
    """Execute into `partial / notebook.ipynb`; return the seconds it took."""
    import papermill

    root = places.repository_root()
    target = partial.relative_to(root) if partial.is_relative_to(root) else partial
    output = partial / "notebook.ipynb"
    started = time.perf_counter()
    with _own_kernel(partial / "jupyter") as folder:
        papermill.execute_notebook(
            str(_without_asides(notebook_path(run), folder)),
            str(output),
            parameters={**_own_parameters(run, target.as_posix()), **run.parameters},
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(root),
            start_timeout=120,
        )
    seconds = time.perf_counter() - started
    _forget_machine(output)
    return seconds


def _without_asides(path: Path, folder: Path) -> Path:
    """Write into a folder what a run executes of a notebook, and return where."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not is_aside(cell)]
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


@contextlib.contextmanager
def _own_kernel(folder: Path) -> Iterator[Path]:
    """Make "python3" the interpreter that runs this code, whatever kernels the user has installed.

    `folder` holds what Jupyter needs for it, connection files too, and is removed at the end.
    """
    # the level silences what the kernel says about itself when it starts and stops; errors of cells are in the notebook
    quiet = "--IPKernelApp.log_level=CRITICAL"
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", quiet, "-f", "{connection_file}"],
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "env": KERNEL_ENVIRONMENT,
    }
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    _write_json(kernel / "kernel.json", spec)
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH")]))
    before = dict(os.environ)
    os.environ.update(JUPYTER_PATH=paths, JUPYTER_RUNTIME_DIR=str(folder / "runtime"))
    try:
        yield folder
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def _forget_machine(path: Path) -> None:
    """Take the paths and times that papermill notes out of an executed notebook."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    for part in (notebook, *notebook.cells):
        part.metadata.pop("papermill", None)
    nbformat.write(notebook, path)


def _complete(run: Run, partial: Path, manifest_digest: str, key: str, seconds: float) -> None:
    """Add to the stored record what only the caller of the notebook knows, and check the whole."""
    path = partial / "result.json"
    if not path.is_file():
        raise RunError("the notebook stored no result")
    record = json.loads(path.read_text(encoding="utf-8"))
    for name in ("method", "dataset", "fold", "profile", "seed"):
        if record[name] != getattr(run, name):
            raise RunError(
                f"the notebook stored {name} {record[name]!r}, asked for was {getattr(run, name)!r}"
            )
    if record["manifest_digest"] != manifest_digest:
        raise RunError(
            f"the notebook read another {run.dataset} than the run was planned for (digest "
            f"{record['manifest_digest'][:12]} instead of {manifest_digest[:12]}): have all hosts the same copy?"
        )
    record |= {
        "parameters": dict(run.parameters),
        "code_version": code_version(notebook_path(run)),
        "key": key,
        "seconds": round(seconds, 2),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    _write_json(path, record)
    read_result(partial)


def _move(source: Path, target: Path) -> None:
    """Move a folder within `reports/runs` in one step, in place of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def _reason(error: Any) -> str:
    """Return one line that says what went wrong; of an error in a cell its name, its message and where."""
    if hasattr(error, "ename"):
        message = str(error.evalue).strip().splitlines()
        return f"{error.ename}: {message[0] if message else ''} in cell {error.exec_count}"
    lines = str(error).strip().splitlines()
    return (
        lines[0]
        if isinstance(error, RunError) and lines
        else f"{type(error).__name__}: {lines[0] if lines else ''}"
    )


def _shown(path: Path) -> str:
    root = places.repository_root()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


# ---------------------------------------------------------------------------------------------------------------------
# Reading


@dataclass(frozen=True)
class Result:
    """A finished run, as stored: its record (`result.json`) and its intervals by video."""

    folder: Path
    record: Mapping[str, Any]
    truth: Mapping[str, list[Interval]]
    spotted: Mapping[str, list[Interval]]

    @property
    def score(self) -> Score:
        """Return the counts of the fold, by video too, under the profile of the record."""
        return score(self.truth, self.spotted, self.record["t_eval"], self.record["evaluation"])

    def scores(self) -> dict[str, np.ndarray]:
        """Return the stored score curves or proposals of each video."""
        with np.load(self.folder / "scores.npz", allow_pickle=False) as arrays:
            return dict(arrays)


@functools.cache
def _validator() -> Any:
    return schema("result")


def read_result(folder: str | Path) -> Result:
    """Read and check one run folder.

    Raises
    ------
    RunError
        If a file is missing or damaged, the record breaks its schema, or counts and intervals disagree.
    """
    folder = Path(folder)
    path = folder / "result.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{_shown(folder)}: half-written, it has no result.json") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{_shown(path)}: cannot be read ({error})") from None
    problem = next(iter(_validator().iter_errors(record)), None)
    if problem:
        where = "/".join(map(str, problem.absolute_path)) or "record"
        raise RunError(f"{_shown(path)}: {where}: {problem.message}")
    try:
        truth, spotted = read_intervals(folder / "truth.csv"), read_intervals(folder / "spotted.csv")
        result = Result(folder, record, truth, spotted)
        counts = {part: asdict(result.score[part]) for part in PARTS}
    except ValueError as error:
        raise RunError(f"{_shown(folder)}: {error}") from None
    if counts != record["counts"] or set(truth) != {video["video"] for video in record["videos"]}:
        raise RunError(f"{_shown(path)}: counts or videos disagree with truth.csv and spotted.csv")
    return result


def scan_results(reports_root: str | Path | None = None) -> tuple[list[Result], list[str]]:
    """Read every run folder under `reports_root / runs`, in the order of dataset, method and fold.

    Returns
    -------
    (results, problems) : what could be read, and one line for each folder that could not.
    """
    root = Path(reports_root) if reports_root else places.reports_root()
    results, problems = [], []
    for folder in sorted(path for path in (root / "runs").glob("*/*/*") if path.is_dir()):
        top = folder.relative_to(root / "runs").parts[0]
        if top == "failed" or top.startswith("."):
            continue
        try:
            results.append(read_result(folder))
        except RunError as error:
            problems.append(str(error))
    return results, problems


def read_results(reports_root: str | Path | None = None) -> list[Result]:
    """Return the results of `scan_results`; what cannot be read is a warning each."""
    results, problems = scan_results(reports_root)
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return results
