"""Many runs: planning, workers, resuming, failures."""

import signal
import subprocess
import sys

import psutil
import pytest
from toy import executing, leftovers, toy_manifest, wait_for

from mespot_lib import runs
from mespot_lib.runs import RunError
from mespot_lib.sweep import Job, Summary, choose_folds, plan, sweep


def job(run):
    return Job(run, toy_manifest().digest())


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


def test_two_workers_and_one_give_the_same_and_a_failing_run_stops_nobody(tiny, reports, monkeypatch):
    good = [job(tiny(fold=fold, seed=seed)) for fold, seed in (("s01", 0), ("s02", 4))]
    bad = job(tiny(stumble=True))
    stored = {}
    for workers in (1, 2):
        monkeypatch.setenv("MESPOT_REPORTS", str(reports / str(workers)))
        half_written = runs.run_folder(good[1].run, good[1].manifest_digest)
        half_written.mkdir(parents=True)
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
    assert str(sweep(good, progress=False)) == "0 runs done, 2 skipped, 0 failed"


def lasting(result):
    """All of a result that does not depend on the machine's mood."""
    moods = ("seconds", "peak_memory_mb", "finished")
    record = {name: value for name, value in result.record.items() if name not in moods}
    return record, result.truth, result.spotted, {uid: s.tobytes() for uid, s in result.scores().items()}


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(tiny, reports, tmp_path):
    jobs = [job(tiny(fold=fold, wait_s=3.0)) for fold in ("s01", "s02")]
    driver = start(jobs, tmp_path)
    wait_for(lambda: executing(reports / "runs" / ".partial"))
    worker = next(p for p in psutil.Process(driver.pid).children() if "spawn_main" in " ".join(p.cmdline()))
    worker.kill()
    output, _ = driver.communicate(timeout=120)
    assert "2 runs done, 0 skipped, 0 failed" in output
    assert len(runs.read_results(reports)) == 2
    assert leftovers(reports) == []


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


def start(jobs, folder, workers=2):
    """Start a sweep in a process of its own, which prints its summary."""
    script = folder / "sweep.py"
    lines = [
        "from mespot_lib.runs import Run",
        "from mespot_lib.sweep import Job, sweep",
        "if __name__ == '__main__':",
    ]
    script.write_text("\n".join([*lines, f"    print(sweep({jobs!r}, {workers}, progress=False))"]))
    return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)


def test_summary_counts():
    assert str(Summary()) == "0 runs done, 0 skipped, 0 failed"
