"""Pooling of finished runs, the rows of the table, and the page."""

import csv
import json
import re
import time

import pytest
from finished import TRUE, finish, many
from toy import store
from typer.testing import CliRunner

from mespot_lib import page, report, runs
from mespot_lib.cli import app
from mespot_lib.interval import Interval
from mespot_lib.metrics import Counts
from mespot_lib.report import pool_results, rows, table, table_text

KEYS = [
    *("dataset", "method", "profile", "kind", "folds", "n_folds"),
    *("tp", "fp", "fn", "precision", "recall", "f1"),
    *("ci_low", "ci_high", "chance_f1", "chance_ci_high"),
]


@pytest.fixture
def stored(tmp_path):
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


def test_folds_are_pooled_and_counted(stored, tmp_path):
    stored("s01", HIT)
    (one,) = pool_results(runs.read_results(tmp_path))
    assert (len(one.results), one.n_folds, one.left_out) == (1, 2, 0)
    stored("s02", FALSE)
    (one,) = pool_results(runs.read_results(tmp_path))
    assert [one.score[part] for part in ("ME", "MaE")] == [Counts(1, 1, 1), Counts(0, 1, 2)]
    assert one.subjects["s01"]["ME"] == Counts(1, 0, 0)
    assert one.seconds_of_video == pytest.approx(400 / 30)
    assert one.error_ms("ME") == (0.0, 0.0)
    assert one.error_ms("MaE") is None


def test_rows_have_the_promised_keys_and_values(stored, tmp_path):
    stored("s01", HIT)
    stored("s02", FALSE)
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
def test_runs_that_differ_in_protocol_are_never_mixed(stored, tmp_path, other):
    stored("s01", HIT)
    stored("s02", FALSE, key="1" * 12, **other)
    found = pool_results(runs.read_results(tmp_path))
    assert [len(one.results) for one in found] == [1, 1]


def test_of_two_code_versions_the_newer_is_shown_and_the_rest_is_counted(stored, tmp_path):
    stored("s01", FALSE, key="1" * 12, code="b" * 12)
    stored("s02", FALSE, key="2" * 12, code="b" * 12)
    stored("s01", HIT, key="3" * 12, code="c" * 12, finished="2021-01-01T00:00:00+00:00")
    (one,) = pool_results(runs.read_results(tmp_path))
    assert (one.record["code_version"], len(one.results), one.left_out) == ("c" * 12, 1, 2)
    assert one.score["ME"] == Counts(1, 0, 0)
    assert "2 runs of older code or data left out" in page.write_report(tmp_path)[0].read_text()


def test_tables_name_protocol_and_select(stored, tmp_path):
    stored("s01", HIT)
    stored("s01", HIT, method="other")
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


def test_page_is_complete_and_self_contained(stored, tmp_path):
    stored("s01", HIT, parameters={"sharp": "<b>"})
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


def test_page_says_oracle_and_is_the_same_every_time(stored, tmp_path):
    stored("s01", HIT, selection="oracle")
    text = page.write_report(tmp_path)[0].read_text()
    assert "oracle: saw the held-out truth" in text
    assert page.write_report(tmp_path)[0].read_text() == text


def test_only_drawn_data_is_called_synthetic_and_has_its_labels_shown(stored, tmp_path):
    folder = stored("s01", HIT)
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


# ---------------------------------------------------------------------------------------------------------------------
# Rows beside those of the table

PEOPLE = ["s01", "s02"]


def pooled_of(folder):
    return pool_results(runs.read_results(folder))


def test_a_method_for_me_alone_has_no_figures_of_mae(tmp_path):
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, TRUE[:1], method="mesnet")
    found = {row["kind"]: row for row in rows(runs.read_results(tmp_path))}
    assert found["ME"]["recall"] == 0.5
    for kind in ("MaE", "overall"):
        figures = list(found[kind])[6:19]
        assert figures[0] == "tp"
        assert figures[-1] == "offset_error_ms"
        assert {found[kind][name] for name in figures} == {None}
    assert set(table(list(found.values()), kind="MaE").loc[0, ["TP", "F1", "95 %", "chance"]]) == {"n/a"}
    text = page.write_report(tmp_path)[0].read_text()
    assert "looks for ME alone" in text


def test_one_subject_has_no_interval(tmp_path):
    finish(tmp_path, PEOPLE, "s01", TRUE)
    found = rows(runs.read_results(tmp_path))
    assert [(row["f1"], row["ci_low"], row["ci_high"]) for row in found] == [(1.0, None, None)] * 3
    assert report.overview(found).loc[("toy", "tiny (quick)"), "overall"] == "1.000"


def test_a_fold_counts_once(tmp_path):
    finish(tmp_path, PEOPLE, "s01", [])
    finish(tmp_path, PEOPLE, "s01", TRUE, record={"key": "1" * 12, "finished": "2021-01-01T00:00:00+00:00"})
    (one,) = pooled_of(tmp_path)
    assert (len(one.results), one.left_out, one.score.overall.tp) == (1, 1, 4)


def test_chance_rows_are_of_the_line_with_most_folds(tmp_path):
    finish(tmp_path, PEOPLE, "s01", TRUE, method="half")
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, [], method="whole")
    found = {row["kind"]: row for row in report.chance_rows(pooled_of(tmp_path))}
    assert {row["subjects"] for row in found.values()} == {2}
    assert [found[kind]["intervals"] for kind in ("ME", "MaE", "overall")] == [4, 4, 8]
    for row in found.values():
        assert 0 < row["f1"] < row["ci_high"] < 1


def test_subject_rows_add_up_to_the_table(tmp_path):
    finish(tmp_path, PEOPLE, "s01", TRUE)
    finish(tmp_path, PEOPLE, "s02", TRUE[1:2])
    (one,) = pooled = pooled_of(tmp_path)
    found = report.subject_rows(pooled)
    assert [row["subject"] for row in found] == ["s01"] * 3 + ["s02"] * 3
    for kind in ("ME", "MaE", "overall"):
        each = [row for row in found if row["kind"] == kind]
        assert [sum(row[name] for row in each) for name in ("tp", "fp", "fn")] == [
            *(one.score[kind].tp, one.score[kind].fp, one.score[kind].fn)
        ]
    assert [row["f1"] for row in found[3:]] == [0.0, pytest.approx(2 / 3), pytest.approx(2 / 5)]


def test_a_subject_without_anything_has_no_f1():
    assert report.subject_f1(Counts()) is None
    assert report.subject_f1(Counts(0, 1, 0)) == 0.0


def test_costs_by_hand(tmp_path):
    """Two runs of 2 s and 8 s on 10 s of video each."""
    finish(tmp_path, PEOPLE, "s01", TRUE, record={"peak_memory_mb": 300.0})
    finish(tmp_path, PEOPLE, "s02", TRUE, record={"seconds": 8.0, "peak_memory_mb": None})
    (row,) = report.cost_rows(pooled_of(tmp_path))
    assert (row["seconds_median"], row["seconds_most"], row["video_seconds"]) == (5.0, 8.0, 10.0)
    assert row["seconds_per_video_second"] == pytest.approx(0.5)
    assert (row["peak_memory_mb"], row["f1_overall"]) == (300.0, 1.0)


def test_the_overview_puts_the_best_first_and_unfinished_lines_last(tmp_path):
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, TRUE[:2], method="poor")
        finish(tmp_path, PEOPLE, fold, TRUE, method="rich")
    finish(tmp_path, PEOPLE, "s01", TRUE, method="half")
    results = runs.read_results(tmp_path)
    found = report.overview(rows(results), report.chance_rows(pool_results(results)))
    assert [name for _, name in found.index] == ["rich (quick)", "poor (quick)", "half (quick)", "chance"]
    assert list(found["folds"]) == ["2 of 2", "2 of 2", "1 of 2", ""]
    assert len(report.overview([])) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Files and command


def test_every_table_is_written_and_can_be_read_again(tmp_path):
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, TRUE, method="zhang2020", dataset="casme2")
        finish(tmp_path, PEOPLE, fold, TRUE[:2], method="yap2022_3dcnn", dataset="casme2")
    out = tmp_path / "elsewhere"
    written = page.write_report(tmp_path, out)[0]
    assert written == out / "report.html"
    assert not (tmp_path / "report.html").exists()
    every = json.loads((out / "report" / "leaderboard.json").read_text())
    sizes = {name: len(every[name]) for name in every if name != "rankings"}
    assert sizes == {"results": 6, "chance": 3, "subjects": 12, "differences": 3, "costs": 2, "claims": 6}
    for name in sizes:
        with open(out / "report" / f"{name}.csv", newline="") as file:
            read = list(csv.DictReader(file))
        assert len(read) == sizes[name]
        assert list(read[0]) == list(every[name][0])
    (ranking,) = every["rankings"]["overall"]
    assert ranking["average_rank"] == [2.0, 1.0]
    text = written.read_text()
    for phrase in (
        "Ranks over subjects",
        "Cost beside quality",
        "What papers print",
        "as many intervals as are true",
    ):
        assert phrase in text


def test_the_page_marks_unfinished_methods_and_says_why_they_are_not_ranked(tmp_path):
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, TRUE, method="a")
        finish(tmp_path, PEOPLE, fold, TRUE[:2], method="b")
    finish(tmp_path, PEOPLE, "s01", TRUE, method="c")
    text = page.write_report(tmp_path)[0].read_text()
    assert "<mark>1 of 2 folds</mark>" in text
    assert "c (quick) on toy: 1 of 2 folds" in text
    assert "<mark>1 of 2</mark>" in text  # its leads are over one of two subjects


@pytest.mark.parametrize("methods", [1, 2])
def test_few_runs_make_a_page(tmp_path, methods):
    """One subject, one method, all tied: nothing to compare is no error."""
    for method in "ab"[:methods]:
        finish(tmp_path, ["s01"], "s01", [], method=method)
    text = page.write_report(tmp_path)[0].read_text()
    assert ("Ranks over subjects" in text) == (methods == 2)


def test_damaged_folders_are_listed_and_the_rest_is_shown(tmp_path):
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, TRUE, method="a")
    broken = finish(tmp_path, PEOPLE, "s01", TRUE, method="b")
    (broken / "result.json").write_text("{")
    short = finish(tmp_path, PEOPLE, "s02", TRUE, method="b")
    (short / "spotted.csv").unlink()
    failed = tmp_path / "runs" / "failed" / "toy" / "b" / "s01-1"
    failed.mkdir(parents=True)
    (failed / "error.json").write_text("{")
    written, found, problems = page.write_report(tmp_path)
    assert {row["method"] for row in found} == {"a"}
    assert len(problems) == 2
    text = written.read_text()
    assert "error.json: cannot be read" in text
    assert text.count("<li>") == 3


def test_the_command_writes_elsewhere_and_prints_what_is_asked_for(tmp_path):
    finish(tmp_path, PEOPLE, "s01", TRUE)
    given = ["report", "--reports", str(tmp_path), "--out", str(tmp_path / "out")]
    call = CliRunner().invoke
    printed = call(app, [*given, "--csv"])
    assert printed.stdout == (tmp_path / "out" / "report" / "results.csv").read_text()
    assert json.loads(call(app, [*given, "--json"]).stdout)[0]["kind"] == "ME"
    assert str(tmp_path / "out" / "report.html") in call(app, given).stdout
    for wrong, word in (
        ([*given, "--json", "--csv"], "exclude"),
        (["report", "--reports", "/no/where"], "no such"),
    ):
        failed = call(app, wrong)
        assert failed.exit_code == 2
        assert word in failed.stderr
        assert failed.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_hundred_folds_of_five_methods_on_three_datasets(tmp_path):
    """The page grows with what is shown, not with the folds: the time of a fold and a size that a browser opens."""
    many(tmp_path / "few", methods=5, datasets=3, people=10)
    many(tmp_path / "many", methods=5, datasets=3, people=100)
    seconds, sizes = [], []
    for name in ("few", "many"):
        started = time.perf_counter()
        written, found, _ = page.write_report(tmp_path / name)
        seconds.append(time.perf_counter() - started)
        sizes.append(written.stat().st_size)
        assert len(found) == 3 * 5 * 3
    assert seconds[1] < 10 * seconds[0]
    assert sizes[1] < 5_000_000
