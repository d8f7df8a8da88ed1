"""Pooling of finished runs, the rows of the table, and the page."""

import csv
import json
import re

import pytest
from toy import store

from mespot_lib import page, report, runs
from mespot_lib.interval import Interval
from mespot_lib.metrics import Counts
from mespot_lib.report import pool_results, rows, table, table_text

KEYS = [
    *("dataset", "method", "profile", "kind", "folds", "n_folds"),
    *("tp", "fp", "fn", "precision", "recall", "f1"),
    *("ci_low", "ci_high", "chance_f1", "chance_ci_high"),
]


@pytest.fixture
def finish(tmp_path):
    """A function that stores a finished run: in the first video of the fold `found` is spotted."""

    def store_one(fold, found, key="0" * 12, code="a" * 12, finished="2020-01-01T00:00:00+00:00", **changes):
        record = {
            "parameters": changes.pop("parameters", {}),
            "code_version": code,
            "key": key,
            "seconds": 2.0,
            "finished": finished,
        }
        method = changes.get("method", "tiny")
        folder = tmp_path / "runs" / "toy" / method / f"{fold}-{key}"
        spotted = {f"toy/{fold}/v1": found, f"toy/{fold}/v2": []}
        store(folder, spotted, fold=fold, **changes)
        path = folder / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | record))
        runs.read_result(folder)  # sound
        return folder

    return store_one


HIT = [Interval(10, 19, "ME")]  # the ME of the toy data, not its MaE
FALSE = [Interval(0, 4, "ME"), Interval(90, 95, "MaE")]


def test_folds_are_pooled_and_counted(finish, tmp_path):
    finish("s01", HIT)
    (one,) = pool_results(runs.read_results(tmp_path))
    assert (len(one.results), one.n_folds, one.left_out) == (1, 2, 0)
    finish("s02", FALSE)
    (one,) = pool_results(runs.read_results(tmp_path))
    assert [one.score[part] for part in ("ME", "MaE")] == [Counts(1, 1, 1), Counts(0, 1, 2)]
    assert one.subjects["s01"]["ME"] == Counts(1, 0, 0)
    assert one.seconds_of_video == pytest.approx(400 / 30)
    assert one.error_ms("ME") == (0.0, 0.0)
    assert one.error_ms("MaE") is None


def test_rows_have_the_promised_keys_and_values(finish, tmp_path):
    finish("s01", HIT)
    finish("s02", FALSE)
    found = rows(runs.read_results(tmp_path))
    assert [row["kind"] for row in found] == ["ME", "MaE", "overall"]
    for row in found:
        assert list(row)[: len(KEYS)] == KEYS
        assert row["ci_low"] <= row["f1"] <= row["ci_high"]
        assert 0 <= row["chance_f1"] <= row["chance_ci_high"] <= 1
        assert (row["folds"], row["n_folds"], row["synthetic"], row["selection"]) == (2, 2, True, "honest")
    overall = found[2]
    assert (overall["tp"], overall["fp"], overall["fn"]) == (1, 2, 3)
    assert overall["f1"] == pytest.approx(2 / 7)
    assert overall["fp_per_minute"] == pytest.approx(2 / (400 / 30 / 60))
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"profile": "paper"},
        {"method": "other"},
        {"selection": "oracle"},
        {"parameters": {"p": 0.5}},
    ],
)
def test_runs_that_differ_in_protocol_are_never_mixed(finish, tmp_path, other):
    finish("s01", HIT)
    finish("s02", FALSE, key="1" * 12, **other)
    found = pool_results(runs.read_results(tmp_path))
    assert [len(one.results) for one in found] == [1, 1]


def test_of_two_code_versions_the_newer_is_shown_and_the_rest_is_counted(finish, tmp_path):
    finish("s01", FALSE, key="1" * 12, code="b" * 12)
    finish("s02", FALSE, key="2" * 12, code="b" * 12)
    finish("s01", HIT, key="3" * 12, code="c" * 12, finished="2021-01-01T00:00:00+00:00")
    (one,) = pool_results(runs.read_results(tmp_path))
    assert (one.record["code_version"], len(one.results), one.left_out) == ("c" * 12, 1, 2)
    assert one.score["ME"] == Counts(1, 0, 0)
    assert "2 runs of older code or data left out" in page.write_report(tmp_path)[0].read_text()


def test_tables_name_protocol_and_select(finish, tmp_path):
    finish("s01", HIT)
    finish("s01", HIT, method="other")
    found = rows(runs.read_results(tmp_path))
    assert set(table(found, method="other")["method"]) == {"other"}
    assert list(table(found, kind="ME", method="tiny")["F1"]) == ["1.000"]
    text = table_text(found)
    assert (
        "toy (synthetic data, labels none, leave one subject out, evaluation megc, IoU at least 0.5)" in text
    )
    assert "1 of 2" in text
    assert len(table([])) == 0
    assert table_text([]) == ""


def test_page_is_complete_and_self_contained(finish, tmp_path):
    finish("s01", HIT, parameters={"sharp": "<b>"})
    half = tmp_path / "runs" / "toy" / "tiny" / "s02-half"
    half.mkdir()
    failed = tmp_path / "runs" / "failed" / "toy" / "tiny" / "s02-1"
    failed.mkdir(parents=True)
    (failed / "error.json").write_text('{"run": {}, "reason": "tiny on toy: stumbled"}')
    path, found, problems = page.write_report(tmp_path)
    text = path.read_text()
    for phrase in (
        "synthetic data",
        "1 of 2 folds",
        "thresholds from other subjects",
        "half-written",
        "tiny on toy: stumbled",
    ):
        assert phrase in text
    assert "sharp = &lt;b&gt;" in text
    assert not re.findall(r"""(?:src|href)=["']?(?!["']?(?:data:|#))|@import|url\(|<script""", text)
    assert len(problems) == 1
    assert json.loads((tmp_path / "report" / "results.json").read_text()) == found
    with open(tmp_path / "report" / "results.csv", newline="") as file:
        assert [row["f1"] for row in csv.DictReader(file)] == [str(row["f1"]) for row in found]
    assert (tmp_path / "report" / "toy.svg").read_text().startswith("<?xml")


def test_page_says_oracle_and_is_the_same_every_time(finish, tmp_path):
    finish("s01", HIT, selection="oracle")
    text = page.write_report(tmp_path)[0].read_text()
    assert "oracle: saw the held-out truth" in text
    assert page.write_report(tmp_path)[0].read_text() == text


def test_only_drawn_data_is_called_synthetic_and_has_its_labels_shown(finish, tmp_path):
    folder = finish("s01", HIT)
    assert "<details>" in page.write_report(tmp_path)[0].read_text()
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"synthetic": False}))
    text = page.write_report(tmp_path)[0].read_text()
    assert "<details>" not in text
    assert "synthetic data" not in text


def test_report_without_runs_says_how_to_make_some(tmp_path):
    path, found, problems = page.write_report(tmp_path)
    assert (found, problems) == ([], [])
    assert "mespot reproduce" in path.read_text()
    assert report.rows([]) == []
