"""Methods compared on common subjects, ranked, and set beside the papers."""

import json

import pytest
from finished import EVENTS, TRUE, finish

from mespot_lib import report, runs
from mespot_lib.claims import Claim
from mespot_lib.comparison import (
    HEADLINES,
    beside_claims,
    claims_table,
    common_subjects,
    differences,
    ranking_record,
    rankings,
    recorded,
)

PEOPLE = ["s01", "s02"]


@pytest.fixture
def pooled(tmp_path):
    """A function that stores what each method found of each person, and pools it."""

    def make(found, **changes):
        for method, by_fold in found.items():
            for fold, spans in by_fold.items():
                finish(tmp_path, PEOPLE, fold, spans, method=method, **changes)
        return report.pool_results(runs.read_results(tmp_path))

    return make


def only(rows, kind="overall"):
    (row,) = [row for row in rows if row["kind"] == kind]
    return row


def test_a_lead_by_hand(pooled):
    """All 4 of s01 against 2 of them, nothing of s02: F1 8/12 and 4/10, and three ways to draw two subjects."""
    lines = pooled({"good": {"s01": TRUE, "s02": []}, "poor": {"s01": TRUE[:2], "s02": []}})
    row = only(differences(lines))
    assert (row["first"], row["second"]) == ("good (quick)", "poor (quick)")
    assert (row["f1_first"], row["f1_second"]) == pytest.approx((8 / 12, 4 / 10))
    assert row["difference"] == pytest.approx(8 / 12 - 4 / 10)
    # s01 twice: 1 - 4/6; both: as above; s02 twice: 0 - 0
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0, 1 / 3))
    assert row["positive"] == pytest.approx(0.75, abs=0.05)
    assert (row["subjects"], row["of_subjects"]) == (2, 2)


def test_the_better_one_stands_first_whatever_its_name(pooled):
    lines = pooled({"a_poor": {"s01": TRUE[:1], "s02": []}, "good": {"s01": TRUE, "s02": []}})
    assert {row["first"] for row in differences(lines)} == {"good (quick)"}


def test_only_subjects_that_both_have_done_are_compared(pooled):
    lines = pooled({"half": {"s01": TRUE[:2]}, "whole": {"s01": TRUE, "s02": []}})
    row = only(differences(lines))
    assert (row["subjects"], row["of_subjects"], row["n_folds"]) == (1, 2, 2)
    assert row["f1_first"] == 1.0  # not the pooled 8/12: s02 does not count
    assert row["ci_low"] is None  # of one subject there is nothing to draw again
    assert not rankings(lines)


def test_subjects_with_other_truth_or_other_rules_are_not_compared(pooled, tmp_path):
    lines = pooled({"one": {"s01": TRUE, "s02": TRUE}})
    finish(tmp_path, PEOPLE, "s01", TRUE, events=EVENTS[:2], method="two")
    finish(tmp_path, PEOPLE, "s01", TRUE, method="loose", t_eval=0.3)
    finish(tmp_path, PEOPLE, "s01", TRUE, method="oracle", selection="oracle")
    lines = report.pool_results(runs.read_results(tmp_path))
    by_name = {one.record["method"]: one for one in lines}
    assert common_subjects(by_name["one"], by_name["two"]) == []
    assert common_subjects(by_name["one"], by_name["loose"]) == ["s01"]
    assert differences(lines) == []


def test_a_method_for_me_alone_is_compared_on_me_alone(pooled):
    lines = pooled({"mesnet": {"s01": TRUE[:1], "s02": TRUE[:1]}, "whole": {"s01": TRUE, "s02": TRUE}})
    assert [row["kind"] for row in differences(lines)] == ["ME"]
    assert rankings(lines) == []
    (one,) = rankings(lines, "ME")
    assert one.names == ["mesnet (quick)", "whole (quick)"]
    assert one.average.tolist() == [2.0, 1.0]


def test_ranks_by_hand(pooled):
    """s01: a 1, b 2, c 3; s02: b 1, a and c share 2.5."""
    lines = pooled(
        {
            "a": {"s01": TRUE, "s02": []},
            "b": {"s01": TRUE[:3], "s02": TRUE},
            "c": {"s01": TRUE[:1], "s02": []},
        }
    )
    (one,) = rankings(lines)
    assert one.blocks == ["toy/s01", "toy/s02"]
    assert one.average.tolist() == [1.75, 1.5, 2.75]
    record = ranking_record(one)
    assert record["groups"] == [["b (quick)", "a (quick)", "c (quick)"]]
    assert [pair["first"] for pair in record["pairs"]] == ["a (quick)", "a (quick)", "b (quick)"]
    json.dumps(record, allow_nan=False)


def test_all_tied(pooled):
    lines = pooled({name: {"s01": TRUE, "s02": []} for name in "abc"})
    (one,) = rankings(lines)
    assert one.average.tolist() == [2.0, 2.0, 2.0]
    assert one.friedman == (0.0, 1.0)
    assert one.groups == [[0, 1, 2]]
    assert {pair.p_holm for pair in one.pairs} == {1.0}
    row = only(differences(lines[:2]))
    assert (row["difference"], row["ci_low"], row["ci_high"], row["positive"]) == (0, 0, 0, 0)


def test_who_has_not_finished_is_not_ranked_and_is_named(pooled, tmp_path):
    pooled({"a": {"s01": TRUE, "s02": []}, "b": {"s01": TRUE, "s02": TRUE}, "c": {"s01": TRUE}})
    for name in "ab":
        finish(tmp_path, ["s01", "s02"], "s01", TRUE, method=name, dataset="other")
    (one,) = rankings(report.pool_results(runs.read_results(tmp_path)))
    assert one.names == ["a (quick)", "b (quick)"]
    assert one.blocks == ["toy/s01", "toy/s02"]
    assert one.left_out == [
        "a (quick) on other: 1 of 2 folds",
        "b (quick) on other: 1 of 2 folds",
        "c (quick) on toy: 1 of 2 folds",
    ]


def test_as_many_methods_as_possible_then_as_many_subjects(tmp_path):
    def whole(method, dataset):
        for fold in PEOPLE:
            finish(tmp_path, PEOPLE, fold, TRUE, method=method, dataset=dataset)

    for method in "abc":
        whole(method, "first")
        whole(method, "second")
    for method in "abd":
        whole(method, "third")
    whole("d", "fourth")
    (one,) = rankings(report.pool_results(runs.read_results(tmp_path)))
    assert [name[0] for name in one.names] == ["a", "b", "c"]
    assert len(one.blocks) == 4
    assert "d (quick) on fourth: not complete wherever the others are" in one.left_out
    assert "a (quick) on third: not all of the others are complete there" in one.left_out


def test_drawn_and_recorded_people_are_never_ranked_together(pooled, tmp_path):
    pooled({"a": {"s01": TRUE, "s02": []}, "b": {"s01": [], "s02": TRUE}})
    for name in "ab":
        for fold in PEOPLE:
            finish(tmp_path, PEOPLE, fold, TRUE, record={"synthetic": False}, method=name, dataset="real")
    found = rankings(report.pool_results(runs.read_results(tmp_path)))
    assert sorted(one.rules.partition(",")[0] for one in found) == ["people", "synthetic data"]
    assert sorted({block.partition("/")[0] for block in one.blocks} == {"toy"} for one in found) == [
        False,
        True,
    ]


def test_subjects_without_a_true_interval_are_no_blocks(tmp_path):
    for name in "ab":
        finish(tmp_path, PEOPLE, "s01", TRUE, method=name, events=EVENTS[1::2])
        finish(tmp_path, PEOPLE, "s02", TRUE, method=name, events=EVENTS[1::2])
    lines = report.pool_results(runs.read_results(tmp_path))
    assert rankings(lines, "ME") == []
    assert len(rankings(lines, "MaE")[0].blocks) == 2


@pytest.mark.parametrize("found", [{}, {"a": {"s01": TRUE, "s02": TRUE}}], ids=["nothing", "one method"])
def test_with_less_than_two_methods_there_is_nothing_to_compare(pooled, found):
    lines = pooled(found)
    assert differences(lines) == []
    assert rankings(lines) == []


# ---------------------------------------------------------------------------------------------------------------------
# Claims


def claim(value, kind="overall", **changes):
    headline = HEADLINES["i3d_bifpn"]
    given = {"paper": headline.paper, "table": headline.table, "dataset": "casme2", "method": headline.method}
    given |= {"expression": kind, "metric": "f1", "condition": "T_eval=0.50", "value": value, "where": "row"}
    return Claim(**(given | changes))


def row(dataset, synthetic, f1=0.5, **changes):
    given = {"dataset": dataset, "method": "i3d_bifpn", "profile": "quick", "seed": 0, "parameters": {}}
    given |= {"selection": "honest", "kind": "overall", "folds": 6, "n_folds": 6, "f1": f1, "t_eval": 0.5}
    return given | {"ci_low": 0.4, "ci_high": 0.6, "synthetic": synthetic} | changes


def test_a_difference_is_computed_on_the_same_data_only():
    drawn, real = beside_claims([row("synthetic_casme2", True), row("casme2", False)], [claim("0.345")])
    assert (drawn["claimed_on"], drawn["claimed"], drawn["difference"]) == ("casme2", 0.345, None)
    assert real["difference"] == pytest.approx(0.155)
    assert real["printed"] == "0.345"


def test_claims_of_another_table_threshold_kind_or_dataset_are_not_taken():
    others = [
        claim("0.9", table="Table I"),
        claim("0.9", condition="T_eval=0.30"),
        claim("0.9", kind="ME"),
        claim("0.9", dataset="samm_lv"),
        claim("0.9", metric="recall"),
        claim("0.9", method="he2021"),
    ]
    assert beside_claims([row("casme2", False)], others) == []
    (found,) = beside_claims([row("casme2", False)], [*others, claim("0.3"), claim("0.4", condition="x=1")])
    assert found["printed"] == "0.4"  # the highest that fits


def test_what_has_no_figure_has_no_row():
    assert beside_claims([row("casme2", False, method="unknown")]) == []
    assert beside_claims([row("casme2", False, f1=None)], [claim("0.3")]) == []
    assert beside_claims([row("unheard_of", False)]) == []


@pytest.mark.parametrize("method", HEADLINES)
@pytest.mark.parametrize("dataset", ["synthetic_casme2", "samm_lv"])
def test_every_method_has_its_printed_figures(method, dataset):
    kind = "ME" if method in report.ME_ALONE else "overall"
    (found,) = beside_claims([row(dataset, False, method=method, kind=kind)])
    assert found["claimed_on"] == recorded(dataset)
    assert 0 < found["claimed"] < 1


def test_every_method_of_the_collection_has_a_headline():
    assert set(HEADLINES) == set(runs.NOTEBOOKS)


def test_the_table_of_claims_has_a_line_per_method_and_dataset():
    rows = [
        row("synthetic_casme2", True),
        row("synthetic_casme2", True, kind="ME", f1=0.25),
        row("casme2", False),
    ]
    found = claims_table(beside_claims(rows, [claim("0.345"), claim("0.104", kind="ME")]))
    assert list(found.index) == [
        ("i3d_bifpn (quick)", "synthetic_casme2", "casme2"),
        ("i3d_bifpn (quick)", "casme2", "casme2"),
    ]
    assert list(found.iloc[0]) == ["n/a", "0.250", "0.500", "n/a", "0.104", "0.345", "n/a", "n/a", "n/a"]
    assert found.iloc[1]["difference", "overall"] == "+0.155"
    assert len(claims_table([])) == 0
