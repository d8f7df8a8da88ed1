"""A sweep: many runs (methods x datasets x folds x seeds) over worker processes, of this machine or of a cluster.

    plan -> status (which are finished, stale, failed) -> features, one task per video and method -> runs -> summary

The features of a video are tasks that the runs depend on, so that no two runs measure the same; then each worker
executes one run at a time, in a kernel of its own. Finished runs are skipped; a failing run does not stop the others; a
worker that dies is replaced and its run begun anew; a sweep that was killed goes on where it was when started again.
Tasks are functions of this module alone: a worker needs nothing but an installed mespot and the data.
"""

import contextlib
import hashlib
import importlib.util
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mespot_lib import cluster, runs
from mespot_lib.catalogue import dataset_root
from mespot_lib.manifest import Manifest, Video, loso_folds
from mespot_lib.progress import Board, Line, shown
from mespot_lib.runs import KernelDied, Run, RunError

if TYPE_CHECKING:
    from distributed import Client, Future

# How often a run whose kernel was killed is begun anew; of killed workers dask itself takes care, three times.
_KERNEL_RETRIES = 2
# Between two looks at what the workers do.
_LOOK_S = 2.0


@dataclass(frozen=True)
class Job:
    """A run and the digest of the dataset it was planned for."""

    run: Run
    manifest_digest: str

    @property
    def folder(self) -> Path:
        """Return where the result is or will be."""
        return runs.run_folder(self.run, self.manifest_digest)


@dataclass(frozen=True)
class Status:
    """How a job stands before a sweep.

    state : "finished", "missing", "stale" (finished with other code or data), "damaged", or "failed" with this very
        code and data.
    why : what there is to say about it, for people.
    """

    job: Job
    state: str
    why: str


@dataclass
class Summary:
    """What became of the runs of a sweep."""

    done: list[Run] = field(default_factory=list)
    skipped: list[Run] = field(default_factory=list)
    damaged: list[Run] = field(default_factory=list)  # half-written ones, done again; also in `done`
    failed: dict[str, str] = field(default_factory=dict)  # run -> what went wrong, with the executed notebook
    failed_before: dict[str, str] = field(
        default_factory=dict
    )  # likewise; with this code and data, not run again

    def __str__(self) -> str:
        again = f" ({len(self.damaged)} of them half-written before)" if self.damaged else ""
        before = f", {len(self.failed_before)} failed before (--retry-failed)" if self.failed_before else ""
        return f"{len(self.done)} runs done{again}, {len(self.skipped)} skipped, {len(self.failed)} failed{before}"


# ---------------------------------------------------------------------------------------------------------------------
# Planning


def plan(
    methods: Sequence[str],
    manifests: Mapping[str, Manifest],
    folds: str = "all",
    profile: str = "quick",
    seeds: Sequence[int] = (0,),
    parameters: Mapping[str, Any] | None = None,
) -> list[Job]:
    """List the runs of a sweep, and refuse it before anything starts if one of them is impossible.

    Parameters
    ----------
    methods : names of methods; see `runs.NOTEBOOKS`.
    manifests : the datasets by name.
    folds : "all", the first so many ("3"), or names separated by commas.
    parameters : further notebook parameters, the same for all runs.

    Raises
    ------
    RunError
        For an unknown method, profile, fold or notebook parameter; the message lists the known ones.
    """
    if profile not in runs.PROFILES:
        raise RunError(f"unknown profile {profile!r}; known: {', '.join(runs.PROFILES)}")
    jobs = [
        Job(Run(method, dataset, fold, profile, seed, dict(parameters or {})), digest)
        for dataset, manifest in manifests.items()
        for digest in [manifest.digest()]
        for method in methods
        for seed in seeds
        for fold in choose_folds(manifest, folds)
    ]
    for run in {job.run.method: job.run for job in jobs}.values():
        runs.check_parameters(run)
    return jobs


def choose_folds(manifest: Manifest, folds: str) -> list[str]:
    """Return the names of the chosen folds: "all", the first so many ("3"), or names separated by commas.

    A number that is also the name of a fold means that fold.
    """
    known = [fold.name for fold in loso_folds(manifest)]
    if folds == "all":
        return known
    if folds.isdecimal() and folds not in known and int(folds) > 0:
        return known[: int(folds)]
    chosen = [name.strip() for name in folds.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise RunError(f"unknown fold {', '.join(unknown) or repr(folds)}; known: {', '.join(known)}")
    return chosen


def reproduction(manifests: Mapping[str, Manifest], full: bool = False) -> list[Job]:
    """List the runs of `make reproduce`: every method on every fold, of the quick profile.

    Of all datasets but the first, methods that are trained anew for every fold run on the first fold alone, unless
    `full`.
    """
    jobs = []
    for position, (name, manifest) in enumerate(manifests.items()):
        for method in runs.NOTEBOOKS:
            folds = "1" if position and method in runs.LEARNED and not full else "all"
            jobs += plan([method], {name: manifest}, folds)
    # the later a method stands among the notebooks, the longer it takes: those of seconds come last, so that at the end
    # no worker waits long for another
    order = list(reversed(runs.NOTEBOOKS))
    return sorted(jobs, key=lambda job: order.index(job.run.method))


def status(jobs: Sequence[Job]) -> list[Status]:
    """Say of each job whether it is to be run, and why."""
    failed = {failure["folder"]: failure["reason"] for failure in runs.failures()}
    return [_status(job, failed) for job in jobs]


def _status(job: Job, failed: Mapping[Path, str]) -> Status:
    state = runs.state(job.folder)
    if state == "finished":
        return Status(job, state, "")
    if state == "damaged":
        return Status(job, state, "its folder is there, but half-written or damaged")
    if (folder := runs.failed_folder(job.folder)) in failed:
        return Status(job, "failed", failed[folder])
    older = [record for record in _records(job) if record["parameters"] == dict(job.run.parameters)]
    if not older:
        return Status(job, "missing", "never run")
    newest = max(older, key=lambda record: record["finished"])
    code = newest["code_version"] != runs.code_version(runs.notebook_path(job.run))
    data = newest["manifest_digest"] != job.manifest_digest
    changed = " and ".join(name for name, other in (("code", code), ("data", data)) if other) or "key"
    return Status(job, "stale", f"{changed} changed since {newest['finished'][:16]}")


def _records(job: Job) -> list[dict[str, Any]]:
    """Return the records of runs that differ from the job's in code, data and parameters at most."""
    wanted = {"fold": job.run.fold, "profile": job.run.profile, "seed": job.run.seed}
    found = []
    for path in job.folder.parent.glob(f"{job.run.fold}-*/result.json"):
        with contextlib.suppress(OSError, ValueError):  # damaged ones concern whoever reads results
            record = json.loads(path.read_text(encoding="utf-8"))
            if {"parameters", "finished", "code_version"} <= set(record) and wanted.items() <= record.items():
                found.append(record)
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Running


def sweep(
    jobs: Sequence[Job],
    manifests: Mapping[str, Manifest] | None = None,
    *,
    workers: int = 2,
    scheduler: str = "",
    retry_failed: bool = False,
    progress: bool = True,
) -> Summary:
    """Execute all jobs that are not finished and return what became of each.

    Parameters
    ----------
    manifests : the datasets by name, whose features are then measured by tasks of their own; without them each run
        measures what it needs.
    workers, scheduler : see `cluster.connect`; results do not depend on them.
    retry_failed : run what failed before with the same code and data, too; else it is only reported again.
    progress : show how far it is on standard error, or in the notebook.

    Raises
    ------
    mespot_lib.cluster.ClusterError
        If the scheduler or its workers cannot be used, or are gone in the middle.
    """
    runs.remove_abandoned()
    summary, waiting = Summary(), []
    for found in status(jobs):
        run = found.job.run
        if found.state == "finished":
            summary.skipped.append(run)
        elif found.state == "failed" and not retry_failed:
            summary.failed_before[str(run)] = found.why
        else:
            waiting.append(found.job)
            summary.damaged += [run] * (found.state == "damaged")
    if waiting:
        _run_all(waiting, manifests or {}, summary, workers, scheduler, progress)
    return summary


def _run_all(
    jobs: Sequence[Job],
    manifests: Mapping[str, Manifest],
    summary: Summary,
    workers: int,
    scheduler: str,
    show: bool,
) -> None:
    """Run the jobs on a cluster and note in the summary what becomes of each."""
    lines = _lines(jobs)
    with cluster.connect(scheduler, min(workers, len(jobs))) as client, runs.at_work() as token:
        board = Board(list(lines.values()), workers)
        tasks = _submit(client, jobs, manifests, token)
        with shown(board, show) as say:
            for job, outcome in _outcomes(client, tasks, lambda: _look(client, tasks, lines, board)):
                line = lines[_line_of(job)]
                if outcome.error is None:
                    summary.done.append(job.run)
                    line.done += 1
                    line.seconds.append(outcome.seconds)
                    say(f"{job.run}: done in {outcome.seconds:.0f} s")
                else:
                    summary.failed[str(job.run)] = outcome.error
                    line.failed += 1
                    say(f"failed: {outcome.error}")


def _lines(jobs: Sequence[Job]) -> dict[tuple[str, str], Line]:
    """Return the lines of the table, with what runs of each took earlier."""
    lines: dict[tuple[str, str], Line] = {}
    for job in jobs:
        line = lines.setdefault(_line_of(job), Line(job.run.dataset, job.run.method))
        line.total += 1
        line.seconds += [record["seconds"] for record in _records(job)]
    return lines


def _line_of(job: Job) -> tuple[str, str]:
    return job.run.method, job.run.dataset


@dataclass(frozen=True)
class Tasks:
    """What was given to the cluster: futures of measuring by (method, dataset), and of each run."""

    measuring: Mapping[tuple[str, str], Sequence["Future"]]
    running: Mapping["Future", Job]


def _submit(client: "Client", jobs: Sequence[Job], manifests: Mapping[str, Manifest], token: str) -> Tasks:
    """Hand over all tasks: methods in the order in which they come, of each what is measured first."""
    measuring: dict[tuple[str, str], list[Future]] = {}
    running: dict[Future, Job] = {}
    order = list(dict.fromkeys((job.run.method, job.run.dataset, job.run.profile) for job in jobs))
    for rank, (method, dataset, profile) in enumerate(order):

        def task(kind: str, name: str, *given: Any, rank: int = rank, **options: Any) -> "Future":
            # dask sees by the word before the hyphen which tasks are alike: how long they take, which may wait
            key = f"{kind}-{hashlib.sha256(f'{token} {name}'.encode()).hexdigest()[:32]}"
            return client.submit(*given, key=key, priority=-rank, pure=False, **options)

        features = []
        manifest = manifests.get(dataset)
        if manifest is not None and _has(method, "prepare_once"):
            features.append(task("features", f"{method} {profile}", _prepare_once, method, profile))
        if manifest is not None and _has(method, "prepare"):
            features += [
                task("features", f"{method} {profile} {uid}", _measure, method, profile, video, manifest.root)
                for uid in manifest.uids
                for video in [manifest.video(uid)]
            ]
        measuring.setdefault((method, dataset), []).extend(features)
        for job in jobs:
            if (job.run.method, job.run.dataset, job.run.profile) == (method, dataset, profile):
                given = _work, job, job.folder.name, token, features
                running[task("run", str(job.folder), *given, retries=_KERNEL_RETRIES)] = job
    return Tasks(measuring, running)


def _look(client: "Client", tasks: Tasks, lines: Mapping[tuple[str, str], Line], board: Board) -> None:
    """Bring the table up to date with what the workers do."""
    at_work = client.run(_executing, on_error="ignore")
    executing = {key for keys in at_work.values() for key in keys}
    board.workers = len(at_work)
    for key, line in lines.items():
        futures = tasks.measuring.get(key, ())
        line.to_measure, line.measured = len(futures), sum(future.done() for future in futures)
        line.running = sum(
            future.key in executing and not future.done()
            for future, job in tasks.running.items()
            if _line_of(job) == key
        )


def _outcomes(client: "Client", tasks: Tasks, look: Callable[[], None]) -> Iterator[tuple[Job, "Outcome"]]:
    """Yield each job as it ends; look at the workers while there is nothing to yield."""
    from distributed import TimeoutError as NothingYet
    from distributed import wait

    waiting = set(tasks.running)
    try:
        while waiting:
            ended = set()
            with contextlib.suppress(NothingYet):
                ended, waiting = wait(waiting, timeout=_LOOK_S, return_when="FIRST_COMPLETED")
            if client.status != "running":
                raise cluster.ClusterError(
                    "the scheduler is gone; what is finished is kept, and the same sweep started again does the rest"
                )
            for future in ended:
                yield tasks.running[future], _outcome(future, tasks.running[future])
            look()  # this runs after what came of the ended ones has been counted
    finally:
        client.cancel([*waiting, *(future for futures in tasks.measuring.values() for future in futures)])


def _outcome(future: "Future", job: Job) -> "Outcome":
    """Return what became of a task that has ended, and take in the files that it sent."""
    error = future.exception()
    if error is not None:  # its worker died, again and again, or cannot read the task
        name = "" if isinstance(error, RunError) else f"{job.run}: {type(error).__name__}: "
        return Outcome(f"{name}{str(error).strip().splitlines()[0]}")
    outcome = future.result()
    if outcome.files is not None:
        try:
            runs.admit(outcome.files, job.folder if outcome.error is None else runs.failed_folder(job.folder))
        except (RunError, OSError) as unfit:
            return Outcome(f"{job.run}: its result cannot be taken in: {unfit}")
    return outcome


# ---------------------------------------------------------------------------------------------------------------------
# What workers do


@dataclass(frozen=True)
class Outcome:
    """What a worker says of a run it has ended.

    error : what went wrong, None for nothing. seconds : of the notebook. files : the run's folder, packed, from a
    worker whose files are not those of the machine that the sweep was started on.
    """

    error: str | None
    seconds: float = 0.0
    files: bytes | None = None


def _has(method: str, function: str) -> bool:
    """Return whether a method's module has a function; a method may consist of its notebook alone."""
    name = f"mespot_lib.methods.{method}"
    return importlib.util.find_spec(name) is not None and hasattr(importlib.import_module(name), function)


def _measure(method: str, profile: str, video: Video, root: Path) -> None:
    """Measure what a method needs of a video, into the cache of this machine.

    root : of the dataset where the sweep was started; here it may lie somewhere else. What cannot be measured (no face,
    an unreadable frame, data not there) is left to the run that needs it, which says so.
    """
    import cv2

    cv2.setNumThreads(1)  # see runs.KERNEL_ENVIRONMENT
    with contextlib.suppress(ValueError, OSError):
        importlib.import_module(f"mespot_lib.methods.{method}").prepare(_lying_here(video, root), profile)


def _prepare_once(method: str, profile: str) -> None:
    """Compute what all runs of a method need whatever the dataset, into the cache of this machine."""
    with contextlib.suppress(ValueError, OSError):
        importlib.import_module(f"mespot_lib.methods.{method}").prepare_once(profile)


def _lying_here(video: Video, root: Path) -> Video:
    """Return the video with the paths of this machine's copy of the dataset, if it has one of its own."""
    here = dataset_root(video.dataset)
    if here == root or not here.is_dir():
        return video
    landmarks = video.landmarks and here / video.landmarks.relative_to(root)
    return replace(video, path=here / video.path.relative_to(root), landmarks=landmarks)


def _work(job: Job, name: str, token: str, _features: Sequence[None]) -> Outcome:
    """Execute one job.

    name : of the result's folder, by which code and data of this machine are those that the job was planned with.

    Raises
    ------
    KernelDied
        So that dask begins the run anew.
    """
    if job.folder.name != name:
        host = socket.gethostname()
        return Outcome(
            f"{job.run}: the code of mespot on {host} is not that of the machine the sweep was started on"
        )
    cluster.forget_allocator()
    try:
        folder, error = runs.execute(job.run, job.manifest_digest), None
    except KernelDied:
        raise
    except RunError as failure:
        folder, error = runs.failed_folder(job.folder), str(failure)
    except OSError as failure:  # a full disk, a folder that cannot be written
        return Outcome(f"{job.run}: {failure}")
    seconds = (
        json.loads((folder / "result.json").read_text(encoding="utf-8"))["seconds"] if not error else 0.0
    )
    return Outcome(error, seconds, None if runs.is_at_work(token) else runs.pack(folder))


def _executing(dask_worker: Any) -> list[str]:
    """Return the keys of the tasks that a worker has begun."""
    return [task.key for task in dask_worker.state.executing]
