"""A sweep: many runs (methods x datasets x folds x seeds) over worker processes.

First the features of every video that a run will need are measured, one video per task, so that no two runs wait for
each other's; then each worker executes one run at a time in a kernel of its own. Finished runs are skipped, a failing
run does not stop the others, and a sweep that was killed goes on where it was when started again.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from mespot_lib import runs
from mespot_lib.manifest import Manifest, Video, loso_folds
from mespot_lib.runs import Run, RunError

# A worker that dies (out of memory, killed) takes the whole pool down; its runs are given to a new pool so many times.
_NEW_POOLS = 3


@dataclass(frozen=True)
class Job:
    """A run and the digest of the dataset it was planned for."""

    run: Run
    manifest_digest: str


@dataclass
class Summary:
    """What became of the runs of a sweep."""

    done: list[Run] = field(default_factory=list)
    skipped: list[Run] = field(default_factory=list)
    damaged: list[Run] = field(
        default_factory=list
    )  # half-written folders found and done again; also in `done`
    failed: dict[str, str] = field(default_factory=dict)  # run -> what went wrong, with the executed notebook

    def __str__(self) -> str:
        again = f" ({len(self.damaged)} of them half-written before)" if self.damaged else ""
        return f"{len(self.done)} runs done{again}, {len(self.skipped)} skipped, {len(self.failed)} failed"


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


def measure_features(
    jobs: Sequence[Job], manifests: Mapping[str, Manifest], workers: int = 2, progress: bool = True
) -> int:
    """Fill the feature cache for the jobs that are not finished, over worker processes; return how many videos.

    What cannot be measured (no face, an unreadable frame) is left to the run that needs it, which says so.
    """
    from tqdm import tqdm

    waiting = [
        job.run for job in jobs if runs.state(runs.run_folder(job.run, job.manifest_digest)) != "finished"
    ]
    wanted = sorted({(run.method, run.profile, run.dataset) for run in waiting if _has_features(run.method)})
    tasks = [
        (method, profile, manifests[dataset].video(uid))
        for method, profile, dataset in wanted
        for uid in manifests[dataset].uids
    ]
    if tasks:
        with _pool(min(workers, len(tasks))) as pool:
            measured = pool.map(_measure, tasks)
            for _ in tqdm(measured, "features", len(tasks), unit="video", disable=not progress):
                pass
    return len(tasks)


def _has_features(method: str) -> bool:
    """Return whether the method has something to measure per video; one may consist of its notebook alone."""
    name = f"mespot_lib.methods.{method}"
    return importlib.util.find_spec(name) is not None and hasattr(importlib.import_module(name), "prepare")


def _measure(task: tuple[str, str, Video]) -> None:
    method, profile, video = task
    with contextlib.suppress(ValueError, OSError):
        importlib.import_module(f"mespot_lib.methods.{method}").prepare(video, profile)


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


def sweep(jobs: Sequence[Job], workers: int = 2, progress: bool = True) -> Summary:
    """Execute all jobs that are not finished and return what became of each.

    Parameters
    ----------
    workers : processes at work at the same time; results do not depend on it.
    progress : show a bar on standard error.
    """
    from tqdm import tqdm

    runs.remove_abandoned()
    summary = Summary()
    waiting = []
    for job in jobs:
        state = runs.state(runs.run_folder(job.run, job.manifest_digest))
        if state == "finished":
            summary.skipped.append(job.run)
            continue
        if state == "damaged":
            summary.damaged.append(job.run)
        waiting.append(job)
    with tqdm(total=len(jobs), initial=len(summary.skipped), unit="run", disable=not progress) as bar:
        for job, error in _outcomes(waiting, workers):
            if error is None:
                summary.done.append(job.run)
            else:
                summary.failed[str(job.run)] = error
                tqdm.write(f"failed: {error}", file=sys.stderr)
            bar.set_postfix_str(f"{job.run.method} {job.run.dataset} {job.run.fold}")
            bar.update()
    return summary


def _outcomes(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, str | None]]:
    """Yield each job as it ends, with the reason where it failed."""
    left = list(jobs)
    for pools_left in reversed(range(_NEW_POOLS + 1)):
        if not left:
            return
        try:
            for job, error in _in_pool(left, workers):
                left.remove(job)
                yield job, error
        except BrokenProcessPool:
            if not pools_left:
                yield from ((job, f"{job.run}: its worker process died, again and again") for job in left)


def _in_pool(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, str | None]]:
    pool = _pool(min(workers, len(jobs)))
    try:
        futures: dict[Future[str | None], Job] = {pool.submit(_work, job): job for job in jobs}
        running = set(futures)
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn" starts clean processes: a forked one would share threads and locks of its parent
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    import cv2

    cv2.setNumThreads(1)  # one thread per process, see runs.KERNEL_ENVIRONMENT
    _end_with_parent()


def _end_with_parent() -> None:
    """Make this worker end when the sweep is killed; it would otherwise wait for work for ever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(job: Job) -> str | None:
    """Execute one job in a worker process; return what went wrong, None for nothing."""
    try:
        runs.execute(job.run, job.manifest_digest)
    except (RunError, OSError) as error:
        return str(error)
    return None
