"""Many runs: planning, workers, resuming, failures, clusters that share nothing."""

import contextlib
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from toy import executing, leftovers, toy_manifest, wait_for

from mespot_lib import cluster, runs
from mespot_lib import sweep as sweeping
from mespot_lib.cluster import ClusterError
from mespot_lib.runs import LEARNED, NOTEBOOKS, RunError
from mespot_lib.sweep import Job, Summary, choose_folds, plan, reproduction, status, sweep


def job(run):
    return Job(run, toy_manifest().digest())


# --- planning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folds", "chosen"),
    [
        ("all", ["s01", "s02"]),
        ("1", ["s01"]),
        ("9", ["s01", "s02"]),
        ("s02", ["s02"]),
        ("s02, s01", ["s02", "s01"]),
    ],
)
def test_folds_are_chosen_by_name_or_number(folds, chosen):
    assert choose_folds(toy_manifest(), folds) == chosen


@pytest.mark.parametrize("folds", ["s03", "s01,s9", "", "0", "-1"])
def test_unknown_folds_are_named(folds):
    with pytest.raises(RunError, match=r"unknown fold .*; known: s01, s02"):
        choose_folds(toy_manifest(), folds)


def test_impossible_sweeps_are_refused_before_they_start():
    with pytest.raises(RunError, match="unknown method 'magic'"):
        plan(["magic"], {"toy": toy_manifest()})
    with pytest.raises(RunError, match="unknown profile 'slow'; known: quick, paper"):
        plan(["zhang2020"], {"toy": toy_manifest()}, profile="slow")


@pytest.mark.parametrize("full", [False, True])
def test_the_reproduction_trains_on_one_fold_of_the_second_set_unless_it_is_to_be_full(full):
    jobs = reproduction({"first": toy_manifest(), "second": toy_manifest()}, full)
    counted = {
        (dataset, learned): sum(
            one.run.dataset == dataset and (one.run.method in LEARNED) == learned for one in jobs
        )
        for dataset in ("first", "second")
        for learned in (False, True)
    }
    free, trained = len(NOTEBOOKS) - len(LEARNED), len(LEARNED)
    assert counted == {
        ("first", False): 2 * free,
        ("first", True): 2 * trained,
        ("second", False): 2 * free,
        ("second", True): trained * (2 if full else 1),
    }


def test_the_reproduction_begins_with_what_takes_longest():
    jobs = reproduction({"first": toy_manifest(), "second": toy_manifest()})
    learned = [one.run.method in LEARNED for one in jobs]
    assert learned == sorted(learned, reverse=True)
    assert [one.run.dataset for one in jobs if one.run.method == "i3d_bifpn"] == ["first", "first", "second"]


def test_the_trained_methods_are_those_that_reach_the_optimiser():
    reach = {name: "mespot_lib.train" in imports(f"mespot_lib.methods.{name}") for name in NOTEBOOKS}
    assert {name for name, trains in reach.items() if trains} == set(LEARNED)


def imports(name):
    module = importlib.import_module(name)
    return {
        getattr(value, "__module__", None) or getattr(value, "__name__", "")
        for value in vars(module).values()
    }


def test_the_status_says_why_a_run_is_to_be_run(tiny, reports):
    fresh, done, other_code, other_data, half, failed = (job(tiny(seed=seed)) for seed in range(6))
    record = {"profile": "quick", "fold": "s01", "parameters": {}, "finished": "2020-01-01T00:00:00+00:00"}
    versions = {"code_version": runs.code_version(runs.notebook_path(fresh.run)), "seconds": 1.0}
    for one, changed in ((other_code, {"code_version": "old"}), (other_data, {"manifest_digest": "old"})):
        folder = one.folder.with_name("s01-000000000000" if "code_version" in changed else "s01-111111111111")
        folder.mkdir(parents=True)
        stored = record | versions | {"manifest_digest": one.manifest_digest, "seed": one.run.seed} | changed
        (folder / "result.json").write_text(json.dumps(stored))
    half.folder.mkdir(parents=True)
    lost = runs.failed_folder(failed.folder)
    lost.mkdir(parents=True)
    (lost / "error.json").write_text(json.dumps({"run": {}, "reason": "stumbled"}))
    runs.execute(done.run, done.manifest_digest)
    assert [(one.state, one.why) for one in status([fresh, done, other_code, other_data, half, failed])] == [
        ("missing", "never run"),
        ("finished", ""),
        ("stale", "code changed since 2020-01-01T00:00"),
        ("stale", "data changed since 2020-01-01T00:00"),
        ("damaged", "its folder is there, but half-written or damaged"),
        ("failed", "stumbled"),
    ]


# --- running --------------------------------------------------------------------------------------------------------


def test_two_workers_and_one_give_the_same_and_a_failing_run_stops_nobody(tiny, reports, monkeypatch):
    good = [job(tiny(fold=fold, seed=seed)) for fold, seed in (("s01", 0), ("s02", 4))]
    bad = job(tiny(stumble=True))
    stored = {}
    for workers in (1, 2):
        monkeypatch.setenv("MESPOT_REPORTS", str(reports / str(workers)))
        good[1].folder.mkdir(parents=True)
        summary = sweep([bad, *good], workers=workers, progress=False)
        assert str(summary) == "2 runs done (1 of them half-written before), 0 skipped, 1 failed"
        assert summary.damaged == [good[1].run]
        (message,) = summary.failed.values()
        assert "AssertionError: stumbled on purpose" in message
        assert "failed/toy/tiny" in message
        stored[workers] = [lasting(result) for result in runs.read_results()]
        assert leftovers(reports / str(workers)) == []
    assert len(stored[1]) == 2
    assert stored[1] == stored[2]
    # nothing is repeated: neither what is finished nor, unless asked for, what failed with the same code and data
    again = sweep([bad, *good], progress=False)
    assert str(again) == "0 runs done, 2 skipped, 0 failed, 1 failed before (--retry-failed)"
    assert list(again.failed_before) == [str(bad.run)]
    assert "stumbled on purpose" in again.failed_before[str(bad.run)]


def lasting(result):
    """All of a result that does not depend on the machine's mood."""
    moods = ("seconds", "peak_memory_mb", "finished")
    record = {name: value for name, value in result.record.items() if name not in moods}
    return record, result.truth, result.spotted, {uid: s.tobytes() for uid, s in result.scores().items()}


def test_a_failed_run_is_repeated_when_asked_for(tiny, reports, tmp_path):
    switch = tmp_path / "broken"
    run = tiny()
    notebook = json.loads((tmp_path / "tiny.ipynb").read_text())
    notebook["cells"][-1]["source"] = (
        f"import os\nassert not os.path.exists({str(switch)!r})\n{''.join(notebook['cells'][-1]['source'])}"
    )
    (tmp_path / "tiny.ipynb").write_text(json.dumps(notebook))
    switch.touch()
    (reason,) = sweep([job(run)], workers=1, progress=False).failed.values()
    assert "AssertionError" in reason
    (failure,) = runs.failures(reports)
    assert (failure["folder"] / "notebook.ipynb").is_file()
    switch.unlink()
    assert (
        str(sweep([job(run)], workers=1, progress=False, retry_failed=True))
        == "1 runs done, 0 skipped, 0 failed"
    )
    assert runs.failures(reports) == []


def test_a_killed_worker_costs_nothing_and_a_killed_kernel_is_begun_anew(tiny, reports, tmp_path):
    jobs = [job(tiny(fold=fold, wait_s=3.0)) for fold in ("s01", "s02")]
    driver = start(jobs, tmp_path)
    partial = reports / "runs" / ".partial"
    wait_for(lambda: executing(partial))
    family = psutil.Process(driver.pid).children(recursive=True)
    kernels = [process for process in family if "ipykernel_launcher" in " ".join(process.cmdline())]
    worker = kernels[0].parent()
    worker.kill()
    others = [kernel for kernel in kernels if kernel.is_running() and kernel.ppid() not in (worker.pid, 1)]
    for kernel in others[:1]:
        kernel.kill()
    output, _ = driver.communicate(timeout=180)
    assert "2 runs done, 0 skipped, 0 failed" in output
    killed = [lasting(result) for result in runs.read_results(reports)]
    assert len(killed) == 2
    assert leftovers(reports) == []
    wait_for(lambda: not any(process.is_running() for process in family))
    for one in jobs:
        one.folder.rename(one.folder.with_name("gone"))
        runs.shutil.rmtree(one.folder.with_name("gone"))
        runs.execute(one.run, one.manifest_digest)
    assert [lasting(result) for result in runs.read_results(reports)] == killed


def test_a_killed_sweep_goes_on_where_it_was(tiny, reports, tmp_path):
    jobs = [job(tiny(fold="s01")), job(tiny(fold="s02", wait_s=4.0))]
    driver = start(jobs, tmp_path, workers=1)
    partial = reports / "runs" / ".partial"
    wait_for(lambda: len(runs.scan_results(reports)[0]) == 1 and partial.exists() and executing(partial))
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    wait_for(lambda: not any(process.is_running() for process in family))
    results, problems = runs.scan_results(reports)
    assert (len(results), problems) == (1, [])
    summary = sweep(jobs, workers=1, progress=False)
    assert str(summary) == "1 runs done, 1 skipped, 0 failed"
    assert leftovers(reports) == []


def test_a_full_disk_is_said_and_loses_nothing(tiny, reports, tmp_path):
    done, other = job(tiny(fold="s01")), job(tiny(fold="s02"))
    runs.execute(done.run, done.manifest_digest)
    for limit in (3000, 200):  # room for what went wrong but not for the notebook; not even for that
        driver = start([done, other], tmp_path, workers=1, largest_file=limit)
        output, _ = driver.communicate(timeout=180)
        assert "0 runs done, 1 skipped, 1 failed" in output
        assert "File too large" in output
        assert leftovers(reports) == []
        assert runs.state(done.folder) == "finished"
        assert runs.state(other.folder) == "missing"
    summary = sweep([done, other], workers=1, progress=False, retry_failed=True)
    assert str(summary) == "1 runs done, 1 skipped, 0 failed"


def test_a_folder_that_cannot_be_written_is_named(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path / "file" / "reports"))
    with pytest.raises(OSError, match="file/reports"):
        sweep([job(tiny())], workers=1, progress=False)


def start(jobs, folder, workers=2, largest_file=None):
    """Start a sweep in a process of its own, which prints its summary and what failed.

    largest_file : bytes, more than which no file may have: as if the disk were full.
    """
    script = folder / "sweep.py"
    lines = [
        "from mespot_lib.runs import Run",
        "from mespot_lib.sweep import Job, sweep",
        "if __name__ == '__main__':",
    ]
    if largest_file is not None:
        limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file}, resource.RLIM_INFINITY))"
        lines += ["    import resource", f"    {limit}"]
    options = f"workers={workers}, progress=False, retry_failed=True"
    lines += [f"    summary = sweep({jobs!r}, {options})", "    print(summary, *summary.failed.values())"]
    script.write_text("\n".join(lines))
    return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)


# --- a scheduler with workers of its own ----------------------------------------------------------------------------


@contextlib.contextmanager
def running_cluster(folder, environments):
    """A scheduler and one worker for each environment, as on other hosts; yields the address."""
    file = folder / "scheduler.json"
    log = (folder / "cluster.log").open("w")
    options = {"stdout": log, "stderr": log, "cwd": folder}
    dask = [sys.executable, "-m", "dask"]
    start = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    started = [subprocess.Popen([*start, "--scheduler-file", file], **options)]
    try:
        wait_for(file.exists)
        address = wait_for(lambda: json.loads(file.read_text() or "{}")).get("address")
        words = cluster.worker_command(address).split()[1:]
        for number, environment in enumerate(environments):
            local = ["--local-directory", folder / f"worker{number}"]
            started.append(subprocess.Popen([*dask, *words, *local], env=os.environ | environment, **options))
        yield address
    finally:
        family = [child for one in started for child in psutil.Process(one.pid).children(recursive=True)]
        for one in reversed(started):
            one.terminate()
        for one in started:
            one.wait(30)
        psutil.wait_procs(family, 10)
        log.close()


COUNTED = """
import os
from pathlib import Path
import numpy as np
from mespot_lib.features.cache import cached_arrays

def prepare(video, profile):
    def compute():
        with open(os.environ["COUNTED"], "a") as file:
            file.write(f"{video.uid} {video.path}\\n")
        return {"ones": np.ones(3)}
    cached_arrays(video, {"name": "counted"}, compute)
"""


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Two methods, known in every process, that measure the same of each video and note it; the notes."""
    (tmp_path / "site").mkdir()
    for name in ("tiny", "tiny_too"):
        (tmp_path / "site" / f"{name}.py").write_text(COUNTED)
    hook = f"import mespot_lib.methods\nmespot_lib.methods.__path__.append({str(tmp_path / 'site')!r})\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(hook)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COUNTED", str(tmp_path / "counted.txt"))
    methods = importlib.import_module("mespot_lib.methods")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "site")])
    (tmp_path / "counted.txt").touch()
    return lambda: sorted((tmp_path / "counted.txt").read_text().splitlines())


def test_workers_that_share_nothing_give_the_same_and_features_are_computed_once_each(
    tiny, reports, counted, tmp_path, monkeypatch
):
    manifest = toy_manifest()
    jobs = [job(tiny(fold=fold)) for fold in ("s01", "s02")]
    too = [job(runs.Run(**(vars(one.run) | {"method": "tiny_too"}))) for one in jobs]
    bad = job(tiny(stumble=True))
    here = sweep([*jobs, *too], {"toy": manifest}, workers=2, progress=False)
    # the notebook says it is `tiny`, so the runs of the other method fail; what they need was measured all the same
    assert (len(here.done), len(here.failed)) == (2, 2)
    assert [line.split()[0] for line in counted()] == sorted(manifest.uids)
    local = [lasting(result) for result in runs.read_results()]
    # a damaged entry is computed again, it alone
    entry = next((tmp_path / "cache").rglob("*.npz"))
    entry.write_bytes(entry.read_bytes()[:-40])
    assert len(sweep([job(tiny(seed=1))], {"toy": manifest}, workers=1, progress=False).done) == 1
    assert len(counted()) == len(manifest.uids) + 1
    # another host's copy of the data lies elsewhere, and so do its cache and its reports
    for host in ("a", "b"):
        (tmp_path / host / "data" / "toy").mkdir(parents=True)
    environments = [
        {
            "MESPOT_DATA": str(tmp_path / host / "data"),
            "MESPOT_CACHE": str(tmp_path / host / "cache"),
            "MESPOT_REPORTS": str(tmp_path / host / "reports"),
        }
        for host in ("a", "b")
    ]
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path / "afar"))
    with running_cluster(tmp_path, environments) as address:
        summary = sweep([bad, *jobs], {"toy": manifest}, scheduler=address, progress=False)
        assert str(summary) == "2 runs done, 0 skipped, 1 failed"
        assert str(sweep(jobs, scheduler=address, progress=False)) == "0 runs done, 2 skipped, 0 failed"
    assert [lasting(result) for result in runs.read_results()] == local
    (failure,) = runs.failures()
    assert (failure["folder"] / "notebook.ipynb").is_file()
    assert leftovers(tmp_path / "afar") == []
    afar = [line for line in counted() if str(tmp_path) in line]  # their videos lie in folders of theirs
    assert sorted(line.split()[0] for line in afar) == sorted(manifest.uids)


def test_a_worker_with_other_code_is_refused(tiny, reports):
    outcome = sweeping._work(job(tiny()), "s01-of-other-code", "word", [])
    assert "is not that of the machine the sweep was started on" in outcome.error
    assert runs.scan_results(reports) == ([], [])


def test_no_scheduler_and_no_worker_are_said(reports, tmp_path):
    with (
        pytest.raises(ClusterError, match="no scheduler answers at"),
        cluster.connect("tcp://127.0.0.1:9"),
    ):
        pass
    with (
        running_cluster(tmp_path, []) as address,
        pytest.raises(ClusterError, match=r"no worker has joined .*start some: dask worker tcp://"),
        cluster.connect(address, wait_s=0.5),
    ):
        pass


def test_tasks_are_functions_of_the_library():
    """What crosses a process border is importable there: no lambda, nothing defined in a notebook."""
    for task in (sweeping._measure, sweeping._work, sweeping._executing):
        assert getattr(importlib.import_module(task.__module__), task.__qualname__) is task


@pytest.mark.slow
def test_two_workers_are_nearly_twice_as_fast_and_a_run_costs_little_beside_its_own_computing(
    tiny, reports, monkeypatch
):
    busy_s, seconds = 12.0, {}
    jobs = [job(tiny(fold=fold, seed=seed, busy_s=busy_s)) for fold in ("s01", "s02") for seed in range(4)]
    for workers in (1, 2):
        monkeypatch.setenv("MESPOT_REPORTS", str(reports / str(workers)))
        started = time.perf_counter()
        assert len(sweep(jobs, workers=workers, progress=False).done) == len(jobs)
        seconds[workers] = time.perf_counter() - started
    overhead_s = seconds[1] / len(jobs) - busy_s
    record = {
        "runs": len(jobs),
        "seconds_of_a_run": busy_s,
        "seconds_one_worker": round(seconds[1], 1),
        "seconds_two_workers": round(seconds[2], 1),
        "speedup": round(seconds[1] / seconds[2], 2),
        "overhead_s_per_run": round(overhead_s, 2),
        "machine": {
            "system": platform.system(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }
    path = Path(__file__).parents[1] / "reports" / "benchmarks" / "sweep.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    assert record["speedup"] >= 1.7
    assert overhead_s < 5.0


def test_summary_counts():
    assert str(Summary()) == "0 runs done, 0 skipped, 0 failed"
