"""Where the tasks of a sweep are done: processes of this machine, or of any cluster that dask can be told of.

    with connect(workers=4) as client: ...                          processes of this machine
    with connect("tcp://10.0.0.7:8786") as client: ...              a scheduler that runs, with workers of any host
    with connect("slurm", workers=16) as client: ...                jobs of a batch system, by dask-jobqueue

A worker runs one task at a time, in one thread; what it reads and writes lies where its own environment says
(`places`), so hosts may share their files or not.
"""

import contextlib
import json
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mespot_lib import places

if TYPE_CHECKING:
    from distributed import Client

# Batch systems that dask-jobqueue speaks to: what it calls their clusters.
BATCH_SYSTEMS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "htcondor": "HTCondorCluster",
}
# As of the kernels: two processes of one thread are faster than one of two, and their sums are the same everywhere.
_ONE_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
THREADS = dict.fromkeys(_ONE_EACH, "1")
SCHEDULING = {
    # Dask guesses half a second for a task that it does not know, and would let others queue up behind it.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.default-task-durations": {"run": "60s", "features": "5s"},
    # Looking a hundred times a second where a worker is costs a twelfth of a core.
    "distributed.worker.profile.enabled": False,
    # In place of dask's own, which also make the memory allocator give back what the next step of a training wants
    # again (see `forget_allocator`).
    "distributed.nanny.pre-spawn-environ": THREADS,
}
# A run needs about 1 GB beside its worker; what the batch system is asked for if its own configuration says nothing.
JOB_DEFAULTS = {"cores": 1, "processes": 1, "memory": "4 GB"}
WORKER_OPTIONS = ("--nworkers", "1", "--nthreads", "1")


# What a run may need at its most, its kernel and the worker together.
_RUN_BYTES = 1.5 * 2**30


class ClusterError(ValueError):
    """A scheduler or worker that cannot be reached or is not fit for sweeps; the message says what to do."""


def usable_workers() -> int:
    """Return how many runs this machine can hold at a time: one per core, and 1.5 GiB each."""
    from dask.system import CPU_COUNT  # those that this process may use
    from distributed.system import MEMORY_LIMIT

    return max(1, min(CPU_COUNT, int(MEMORY_LIMIT // _RUN_BYTES)))


@contextlib.contextmanager
def connect(scheduler: str = "", workers: int = 2, wait_s: float = 60.0) -> "Iterator[Client]":
    """Yield a client of a cluster; one started here ends with the block, another one is left as it is.

    Parameters
    ----------
    scheduler : "" for processes of this machine; `tcp://host:port`, or the file that `dask scheduler
        --scheduler-file` has written, for a scheduler that runs; or a batch system of `BATCH_SYSTEMS`.
    workers : processes, or jobs of the batch system; without meaning for a scheduler that runs.
    wait_s : how long a scheduler that runs may be without a worker.

    Raises
    ------
    ClusterError
        If there is no scheduler or no worker, or a worker has several threads; if a package is missing.
    """
    from distributed import Client

    with contextlib.ExitStack() as stack:
        if not scheduler:
            target: Any = stack.enter_context(_local(workers))
        elif scheduler in BATCH_SYSTEMS:
            target = stack.enter_context(batch_cluster(scheduler))
            target.scale(jobs=workers)
        else:
            target = scheduler
        try:
            file = {"scheduler_file": target} if target == scheduler and Path(scheduler).is_file() else {}
            address = {} if file else {"address": target}
            client = stack.enter_context(Client(**address, **file, set_as_default=False, timeout=10))
        except (OSError, ValueError) as error:  # distributed's time-outs are of the first kind
            raise ClusterError(
                f"no scheduler answers at {scheduler!r} ({error}); "
                "start one with `dask scheduler`, and give the tcp:// address that it prints"
            ) from None
        if target == scheduler:
            _check_workers(client, scheduler, wait_s)
        with client.as_current():  # which is where dask looks for it
            yield client


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Any]:
    """Yield a cluster of worker processes of this machine, that no other machine can reach."""
    import dask
    from distributed import LocalCluster

    options = {
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": 0,  # what needs memory are the kernels, of which dask knows nothing
        "silence_logs": logging.CRITICAL,  # a killed worker is replaced, and that is all there is to say
    }
    scratch = tempfile.TemporaryDirectory(prefix="mespot-", ignore_cleanup_errors=True)
    with (
        dask.config.set(SCHEDULING),
        scratch as folder,
        LocalCluster(n_workers=workers, local_directory=folder, **options) as cluster,
    ):
        yield cluster


def forget_allocator() -> None:
    """Take from the environment, before a kernel is started, how dask wants memory to be given back.

    With it torch asks the system for every tensor anew: training takes half as long again, or three times as long.
    """
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)


def _check_workers(client: "Client", scheduler: str, wait_s: float) -> None:
    from distributed import TimeoutError as NoWorker

    try:
        client.wait_for_workers(1, timeout=wait_s)
    except NoWorker:
        raise ClusterError(
            f"no worker has joined the scheduler {scheduler} within {wait_s:g} s; start some: "
            + worker_command(scheduler)
        ) from None
    known = client.scheduler_info(n_workers=-1)["workers"].values()
    broad = sorted(worker["host"] for worker in known if worker["nthreads"] != 1)
    if broad:
        raise ClusterError(
            f"workers on {', '.join(dict.fromkeys(broad))} have several threads, and a run needs a process of its "
            f"own; start them with --nthreads 1: {worker_command(scheduler)}"
        )


def worker_command(scheduler: str) -> str:
    """Return the shell command that starts a worker for a scheduler, an address or a scheduler file."""
    where = (scheduler,) if "://" in scheduler else ("--scheduler-file", scheduler)
    return shlex.join(("dask", "worker", *where, *WORKER_OPTIONS))


# ---------------------------------------------------------------------------------------------------------------------
# Recipes


def _places_here() -> dict[str, str]:
    """Return the environment by which a worker that shares this machine's files finds data, caches and reports."""
    roots = {
        "MESPOT_DATA": str(places.data_root()),
        "MESPOT_CACHE": str(places.cache_root()),
        "MESPOT_REPORTS": str(places.reports_root()),
    }
    return {name: value for name, value in os.environ.items() if name.startswith("MESPOT_")} | roots


def batch_cluster(system: str, **options: Any) -> Any:
    """Return a cluster whose workers are jobs of a batch system; none is submitted before its `scale` is called.

    options : as the class of dask-jobqueue takes them (`queue`, `account`, `walltime`, `memory`,
        `job_extra_directives`, ...); what is not given is read from dask's configuration
        (`~/.config/dask/jobqueue.yaml`), and of cores, processes and memory there are defaults here.

    Raises
    ------
    ClusterError
        If dask-jobqueue is not installed, or does not know an option.
    """
    try:
        import dask_jobqueue
    except ImportError:
        raise ClusterError(_extra("dask-jobqueue")) from None
    return _batch_cluster(getattr(dask_jobqueue, BATCH_SYSTEMS[system]), options)


def _batch_cluster(kind: Any, options: Mapping[str, Any]) -> Any:
    import dask

    configured = dask.config.get(f"jobqueue.{kind.job_cls.config_name}", {})
    defaults = {name: value for name, value in JOB_DEFAULTS.items() if configured.get(name) is None}
    prologue = [f"export {name}={shlex.quote(value)}" for name, value in (THREADS | _places_here()).items()]
    own = {
        "python": sys.executable,
        "job_script_prologue": prologue,
        "scheduler_options": {"dashboard": False},
    }
    try:
        return kind(**{**own, **defaults, **options})
    except (TypeError, ValueError) as error:
        raise ClusterError(f"dask-jobqueue refuses: {str(error).partition('. ')[0]}") from None


def batch_recipe(system: str, workers: int, options: Mapping[str, Any]) -> str:
    """Return the script that `connect` would submit for each worker, and how to have it done with these options."""
    with batch_cluster(system, **options) as cluster:
        script = cluster.job_script()
    configured = [f"#     {name}: {json.dumps(value)}" for name, value in options.items()]
    keep = ["# with this in ~/.config/dask/jobqueue.yaml:", "# jobqueue:", f"#   {system}:", *configured]
    submit = f"# {workers} such jobs are submitted by: mespot sweep --scheduler {system} --workers {workers}"
    return "\n".join([script.rstrip(), "", submit, *(keep if options else ())])


def kubernetes_spec(
    image: str,
    workers: int,
    *,
    name: str = "mespot",
    memory: str = "4Gi",
    claim: str = "",
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the resource `DaskCluster` for dask's operator of Kubernetes, to be written as YAML.

    Parameters
    ----------
    image : of a container with mespot installed in /mespot; it serves scheduler and workers.
    memory : of each worker, in the units of Kubernetes.
    claim : name of a persistent volume claim that all pods mount at /shared, for data, caches and reports; without one
        each pod draws and measures for itself, and results come back through the scheduler.

    Raises
    ------
    ClusterError
        If dask-kubernetes is not installed.
    """
    try:
        from dask_kubernetes.operator import make_cluster_spec
    except ImportError:
        raise ClusterError(_extra("dask-kubernetes")) from None
    shared = {f"MESPOT_{name}": f"/shared/{name.lower()}" for name in ("DATA", "CACHE", "REPORTS")}
    variables = {**THREADS, **(shared if claim else {}), **(environment or {})}
    spec = make_cluster_spec(
        name=name,
        image=image,
        n_workers=workers,
        resources={"requests": {"cpu": "1", "memory": memory}, "limits": {"memory": memory}},
        env=variables,
        worker_command="dask worker",
    )
    pods = [spec["spec"][part]["spec"] for part in ("worker", "scheduler")]
    pods[0]["containers"][0]["args"] += WORKER_OPTIONS
    for pod in pods if claim else ():
        pod["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": claim}}]
        pod["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    return spec


def _extra(package: str) -> str:
    return f"{package} is not installed; it comes with the extra `cluster`: pip install 'mespot[cluster]'"


def hosts_recipe(address: str, hosts: Sequence[str] = ("HOST",)) -> str:
    """Return the commands that start a scheduler, a worker on each host, and a sweep on them."""
    port = address.rpartition(":")[2]
    starts = [f"ssh {shlex.quote(host)} {shlex.quote(worker_command(address))}" for host in hosts]
    return "\n".join(
        [
            f"dask scheduler --port {port} --no-dashboard    # on the host of {address}",
            *starts,
            "# then, here:",
            f"mespot sweep --scheduler {address}",
        ]
    )
