"""The benchmarks: what measures them measures, their records say what the figure, the README and the goals need."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "reports" / "benchmarks"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "tools" / "benchmarks" / "record.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")


def run_bench(*words: str) -> str:
    """Run the tool and return what it shows."""
    command = [sys.executable, ROOT / "tools" / "bench.py", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def spin(seconds):
    """Keep the processor busy."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def case(**changes):
    from benchmarks.measure import Case

    given = {"ours": lambda: spin(0.02), "beside": "slower", "theirs": lambda: spin(0.06)} | changes
    return Case("case", "spinning", "turn", given.pop("count", 1), **given)


# --- what measures --------------------------------------------------------------------------------------------------


def test_the_ratio_is_theirs_over_ours_per_unit():
    from benchmarks.measure import timed

    found = timed(case(limit=lambda: spin(0.01)), 3)
    assert found["ratio"] == pytest.approx(3, rel=0.2)
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    assert found["limit_s"] < found["ours_s"] == pytest.approx(0.02, rel=0.2)
    assert timed(case(count=4, theirs_count=1), 1)["ratio"] == pytest.approx(12, rel=0.3)
    assert timed(case(theirs=0.1), 1)["ratio"] == pytest.approx(5, rel=0.3)
    assert found["rounds"] == 3


def test_waiting_counts_on_the_wall_only():
    from benchmarks.measure import timed

    asleep = {"ours": lambda: spin(0.002), "theirs": lambda: time.sleep(0.8), "once": True}
    assert timed(case(**asleep), 3)["ratio"] < 1
    assert timed(case(**asleep, on_the_wall=True), 3)["ratio"] > 1


def test_two_sides_that_differ_are_no_benchmark():
    from benchmarks.measure import BenchmarkError, timed

    with pytest.raises(BenchmarkError, match="case: both sides do not find the same"):
        timed(case(ours=lambda: 1, theirs=lambda: 2, same=lambda a, b: a == b), 1)


def test_memory_is_that_of_a_call_alone():
    from benchmarks.measure import BenchmarkError, apart, peak_mb

    held = np.ones(4_000_000)  # 32 MB that are there already
    assert peak_mb(lambda: np.ones(8_000_000)) == pytest.approx(64, abs=12)
    assert peak_mb(lambda: held.sum()) < 8
    assert apart(lambda: 7) == 7
    with pytest.raises(BenchmarkError, match="ZeroDivisionError"):
        apart(lambda: 1 / 0)


def test_a_quadratic_step_shows_in_the_slope():
    from benchmarks.measure import Growth, grown

    def growing(power):
        return Growth("g", "spinning", "turn", (1, 2, 4), lambda n: lambda: spin(0.02 * n**power), most_mb=1)

    assert grown(growing(1))["exponent"] == pytest.approx(1, abs=0.25)
    assert grown(growing(2))["exponent"] == pytest.approx(2, abs=0.25)


def test_a_machine_is_described_and_not_named():
    from benchmarks.measure import machine

    told = json.dumps(machine())
    assert os.uname().nodename not in told
    assert "/" not in told


# --- the tool -------------------------------------------------------------------------------------------------------


def test_the_tool_runs_from_end_to_end_on_tiny_inputs(tmp_path):
    shown = run_bench("--tiny", "--to", tmp_path, "manifest")
    record = json.loads((tmp_path / "manifest.json").read_text())
    jsonschema.validate(record, SCHEMA)
    assert record["size"] == "tiny"
    assert all(row["name"] in shown for row in record["rows"] + record["growth"])
    assert (tmp_path / "benchmarks.png").stat().st_size > 10_000


def test_an_unknown_benchmark_is_refused(capsys):
    import bench

    with pytest.raises(SystemExit):
        bench.main(["magic"])
    assert "unknown benchmark magic" in capsys.readouterr().err


@pytest.mark.slow
def test_every_benchmark_runs_on_tiny_inputs(tmp_path):
    import bench

    run_bench("--tiny", "--to", tmp_path)
    for name in bench.BENCHMARKS:
        jsonschema.validate(json.loads((tmp_path / f"{name}.json").read_text()), SCHEMA)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "flow",
        "cache",
        "spotting",
        "inference_3dcnn",
        "inference_stsnet",
        "inference_mesnet",
        "scoring",
        "reading",
    ],
)
def test_goals_are_reached_and_work_grows_in_proportion(name, tmp_path):
    run_bench("--to", tmp_path, name)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    missed = [row for row in record["rows"] if row["goal"] is not None and row["ratio"] < row["goal"]]
    assert missed == []
    for growth in record["growth"]:
        assert growth["exponent"] <= growth["most_exponent"], growth
        assert growth["mb_per_unit"] <= growth["most_mb"], growth


# --- what is committed ----------------------------------------------------------------------------------------------


def committed():
    from benchmarks import shown

    return shown.read_records(FOLDER)


def test_the_committed_records_are_whole_runs():
    import bench

    records = committed()
    assert {record["benchmark"] for record in records} == set(bench.BENCHMARKS)
    for record in records:
        jsonschema.validate(record, SCHEMA)
        assert record["size"] == "full"
    names = [row["name"] for record in records for row in record["rows"] + record["growth"]]
    assert len(names) == len(set(names))


def test_the_goals_are_the_promised_ones():
    goals = {
        row["name"]: row["goal"] for one in committed() for row in one["rows"] if row["goal"] is not None
    }
    assert goals == {
        "grid": 20,
        "proposals_sweep": 20,
        "inference_stsnet": 4,
        "inference_3dcnn": 2,
        "flow_peaks_real_time": 1,
        "flow_tvl1": 5,
        "flow_tvl1_224": 5,
        "cache_face_crops": 20,
        "cache_face_flow": 20,
    }


@pytest.mark.parametrize(("marks", "table"), [("benchmarks", "table"), ("growth", "growth_table")])
def test_the_readme_has_the_tables_of_the_records(marks, table):
    from benchmarks import shown

    block = re.search(f"<!-- {marks} -->\n(.*?)\n<!-- /{marks} -->", README, re.DOTALL)
    expected = getattr(shown, table)(committed())
    assert block is not None
    assert block.group(1).strip() == expected, f"put this between the marks of README.md:\n{expected}"
