"""The printed figures of the papers and their audit.

The counts of rows are the shapes of the papers' tables (rows x columns of figures), counted in the papers.
"""

import json
from collections import Counter
from dataclasses import fields, replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mespot_lib import claims as auditing
from mespot_lib.claims import (
    COLUMNS,
    METRICS,
    PROSE,
    Claim,
    ClaimsError,
    Finding,
    audit,
    bounds,
    claims_file,
    findings_records,
    findings_table,
    findings_text,
    read_claims,
)
from mespot_lib.cli import app


@pytest.fixture(scope="module")
def claims():
    return read_claims()


@pytest.fixture(scope="module")
def findings(claims):
    return audit(claims)


def claim(metric="f1", value="0.500", **other):
    """One figure of a made-up table."""
    usual = {
        "paper": "nobody2020",
        "table": "Table 1",
        "dataset": "casme2",
        "method": "guess",
        "expression": "ME",
        "condition": "T_eval=0.50",
        "where": f"row {metric}, {other.get('expression', 'ME')}",
    }
    return Claim(**(usual | {"metric": metric, "value": value} | other))


def row(expression="ME", **figures):
    """Figures of one row, given as metric=value."""
    return [claim(metric, value, expression=expression) for metric, value in figures.items()]


def elsewhere(rows):
    """The same figures on a dataset whose true intervals nobody states."""
    return [replace(one, dataset="other") for one in rows]


def rules(found):
    return Counter(finding.rule for finding in audit(found))


# ---------------------------------------------------------------------------------------------------------------------
# The file is complete

# (paper, table): rows x columns of figures, less the cells printed "-" or "N/A".
SHAPES = {
    ("megc2023-challenge", "Table 1"): 4 * 9,
    ("yap2022-3dcnn", "Table 2"): 2 * 6 - 4,  # Pan: overall only
    ("yap2022-3dcnn", "Table 3"): 1 * 7,
    ("wang2021-mesnet", "Table III"): 6 * 5,
    ("wang2021-mesnet", "Table IV"): 7 * 4,
    ("wang2021-mesnet", "Table V"): 4 * 4,
    ("wang2021-mesnet", "Table VI"): 6 * 4,
    ("wang2021-mesnet", "Table VII"): 11 * 18 - 2 * 2 * 6,  # T_CPN of .40 and .44: N/A, on both datasets
    ("wang2021-mesnet", "Table VIII"): 12 * 4 * 4,  # "TP / Find" are two figures
    ("wang2021-mesnet", "Table IX"): 11 * 4 * 3,  # likewise
    ("wang2021-mesnet", "Table X"): 20 * 7,  # likewise
    ("fu2023-stsnet_sw", "Table 1"): 11 * 6 - 3,  # Yap et al.: no CAS(ME)^2
    ("fu2023-stsnet_sw", "Table 2"): 7 * 6,
    ("fu2023-stsnet_sw", "Table 3"): 7 * 6,
    ("fu2023-stsnet_sw", "Table 4"): 7 * 6,
    ("he2023-i3d-bifpn", "Table I"): 4 * 9,
    ("he2023-i3d-bifpn", "Table II"): 7 * 6,
    ("he2023-i3d-bifpn", "Table III"): 6 * 6 - 4,  # MESNet: All only, on both datasets
}
REPEATED = {
    ("megc2023-challenge", "text"): 5,
    ("yap2022-3dcnn", "abstract"): 1,
    ("yap2022-3dcnn", "text"): 3 + 3,
    ("wang2021-mesnet", "text"): 3
    + 8
    + 4
    + 4
    + 6
    + 8,  # on Tables III (twice), VII (found, highest), VIII, IX
    ("fu2023-stsnet_sw", "abstract"): 2,
    ("fu2023-stsnet_sw", "text"): 4
    + 4
    + 6
    + 4
    + 4,  # F1 and gains on Table 1, F1 on Table 2, conclusion twice
}


def test_every_figure_of_every_result_table_is_there(claims):
    assert Counter((one.paper, one.table) for one in claims) == Counter(SHAPES | REPEATED)


@pytest.mark.parametrize(
    ("paper", "table", "total"),
    [
        ("megc2023-challenge", "Table 1", "6.66"),
        ("yap2022-3dcnn", "Table 3", "1.0563"),
        ("he2023-i3d-bifpn", "Table III", "6.911"),
    ],
)
def test_the_small_tables_add_up_to_what_a_person_adds_up(claims, paper, table, total):
    """A slip of a digit shows in the sum; the sums were made from the papers."""
    values = [one.value for one in claims if (one.paper, one.table) == (paper, table)]
    assert f"{sum(map(float, values)):.4f}".rstrip("0") == total


@pytest.mark.parametrize(
    ("paper", "where", "value"),
    [
        ("megc2023-challenge", "row Yu et al. [21], column Recall SAMM", "0.35"),
        ("wang2021-mesnet", "row 0.48, column SAMM vary T_CPN C-p", "6254"),
        ("wang2021-mesnet", "row 0.80, column SAMM vary T_CRN R-s", "0.049"),
        ("wang2021-mesnet", "row 0.95, column SAMM CRN Find", "44"),
        ("wang2021-mesnet", "row SAMM High F1-score LTP-ML, column F1-score", "0.016"),
        ("fu2023-stsnet_sw", "row MTSN [46], column SAMM Long Videos Overall", "0.2867"),
        ("he2023-i3d-bifpn", "row 0.60, column SAMM All", "0.352"),
    ],
)
def test_figures_stand_where_the_papers_print_them(claims, paper, where, value):
    assert value in [one.value for one in claims if (one.paper, one.where) == (paper, where)]


def test_the_words_of_the_file_are_known(claims):
    assert {one.metric for one in claims} <= METRICS
    assert {one.dataset for one in claims} == {
        "casme2",
        "samm_lv",
        *(f"megc{year}{part}" for year in (2022, 2023) for part in ("", "_samm", "_cas")),
    }
    assert {one.table for one in claims if not one.table.startswith("Table ")} <= PROSE


# ---------------------------------------------------------------------------------------------------------------------
# What the audit finds in the papers


def found(findings, paper, *words):
    """The findings of a paper whose place, rule and sentence hold all the words."""
    texts = {one: f"{one.place}; {one.rule}; {one.sentence}" for one in findings}
    return [one for one, text in texts.items() if one.paper == paper and all(word in text for word in words)]


def test_the_abstract_of_yap_contradicts_its_table(findings):
    [one] = found(findings, "yap2022-3dcnn", "abstract")
    assert (one.printed, one.follows, one.tolerance) == ("0.1531", "0.1351 in Table 3", 0)


def test_the_openface_sentence_of_yap_is_out_of_order(findings):
    [one] = found(findings, "yap2022-3dcnn", "section 4.1", "pooled value between its parts")
    assert (one.printed, one.follows) == ("0.0497", "0.06855 to 0.11905")


def test_pooled_recall_of_he_lies_outside_its_parts_twice(findings):
    wrong = found(
        findings, "he2023-i3d-bifpn", "Table I,", "Overall Recall", "pooled value between its parts"
    )
    assert [(one.printed, one.follows) for one in wrong] == [
        ("0.515", "0.2345 to 0.5135"),
        ("0.724", "0.4315 to 0.7125"),
    ]


def test_the_conclusion_of_fu_swaps_two_gains(findings):
    wrong = found(findings, "fu2023-stsnet_sw", "gain over the best other method")
    assert [(one.place, one.printed) for one in wrong] == [
        ("text, section 4, second paragraph", "14.58%"),
        ("text, section 4, second paragraph", "39.11%"),
    ]


def test_fu_quotes_other_values_of_yap_than_yap_prints(findings):
    wrong = found(findings, "fu2023-stsnet_sw", "3D-CNN [47]", "quoted value")
    assert {one.printed for one in wrong} == {"0.2158", "0.0253", "0.1417", "0.1921", "0.0425", "0.1066"}


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("Table X", "High F1-score MESNet-CPN", "Precision"), "0.024"),
        (("Table X", "High F1-score MESNet-CRN", "Precision"), "0.032"),
        (("Table X", "CAS(ME)2 General LTP-ML", "Recall"), "0.05"),
        (("Table IV", "CRN", "F1 from counts"), "0.026"),
        (("text", "Table VIII", "find"), "65"),
        (("table against table", "prediction", "mesnet_crn, casme2"), "871"),
        (("table against table", "prediction", "mesnet_cpn, samm_lv"), "3848"),
        (("table against table", "prediction", "mesnet_crn, samm_lv"), "1318"),
        (("table against table", "F1", "mesnet_crn, samm_lv"), "0.050"),
        (("Table IX", "row 0.65", "twice"), "0.033"),
    ],
)
def test_contradictions_of_mesnet(findings, words, printed):
    [one] = found(findings, "wang2021-mesnet", *words)
    assert one.printed == printed


def test_nothing_else_is_flagged(findings):
    """Every finding was checked by hand against the papers; a rule that begins to flag more must be looked at."""
    assert Counter((one.paper, one.rule) for one in findings) == {
        ("fu2023-stsnet_sw", "gain over the best other method"): 2,
        ("fu2023-stsnet_sw", "quoted value against its source"): 6,
        ("he2023-i3d-bifpn", "F1 from precision and recall"): 6,
        ("he2023-i3d-bifpn", "pooled recall from its parts"): 4,
        ("he2023-i3d-bifpn", "pooled value between its parts"): 2,
        ("he2023-i3d-bifpn", "recall of whole intervals"): 9,
        ("wang2021-mesnet", "F1 from counts"): 5,
        ("wang2021-mesnet", "F1 from found intervals"): 2,
        ("wang2021-mesnet", "precision from counts"): 2,
        ("wang2021-mesnet", "recall from counts"): 2,
        ("wang2021-mesnet", "table against table"): 4,
        ("wang2021-mesnet", "text against table"): 1,
        ("yap2022-3dcnn", "pooled value between its parts"): 1,
        ("yap2022-3dcnn", "text against table"): 1,
    }


# ---------------------------------------------------------------------------------------------------------------------
# The rules


def consistent():
    """A table that a careful author could have printed: 57 ME and 300 MaE, 12 + 150 hits, 28 + 150 false alarms."""
    return [
        *row(total="57", tp="12", fp="28", fn="45", precision="0.300", recall="0.211", f1="0.247"),
        *row("MaE", total="300", tp="150", fp="150", fn="150", precision="0.5", recall="0.50", f1="0.500"),
        *row(
            "overall",
            total="357",
            tp="162",
            fp="178",
            fn="195",
            precision="0.476",
            recall="0.454",
            f1="0.465",
        ),
    ]


def test_a_consistent_table_yields_no_finding():
    assert audit(consistent()) == []


@pytest.mark.parametrize(
    ("expression", "metric", "value", "rule"),
    [
        ("ME", "precision", "0.301", "precision from counts"),
        ("ME", "recall", "0.210", "recall from counts"),
        ("overall", "f1", "0.466", "F1 from counts"),
        ("MaE", "total", "301", "TP and FN add up"),
        ("overall", "fp", "179", "pooled counts add up"),
    ],
)
def test_one_wrong_figure_is_found(expression, metric, value, rule):
    wrong = [
        replace(one, value=value) if (one.expression, one.metric) == (expression, metric) else one
        for one in consistent()
    ]
    assert rules(wrong)[rule]


@st.composite
def printed_row(draw):
    """TP, FP, FN, and their precision, recall and F1 rounded by Python to two to four digits."""
    tp, fp, fn = draw(st.integers(0, 400)), draw(st.integers(0, 5000)), draw(st.integers(0, 400))
    precision, recall = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
    f1 = 2 * tp / max(2 * tp + fp + fn, 1)
    rates = {"precision": precision, "recall": recall, "f1": f1}
    digits = {name: draw(st.integers(2, 4)) for name in rates}
    return {name: f"{value:.{digits[name]}f}" for name, value in rates.items()}, (tp, fp, fn)


@given(printed_row())
def test_rounding_alone_is_never_flagged(printed):
    rates, _ = printed
    assert audit(elsewhere(row(**rates))) == []


@given(printed_row())
def test_rounding_alone_is_never_flagged_beside_counts(printed):
    rates, counts = printed
    names = dict(zip(("tp", "fp", "fn"), map(str, counts), strict=True))
    assert audit(row(**rates, **names)) == []


@given(printed_row(), printed_row())
def test_pooled_counts_are_never_flagged(one, other):
    (me, a), (mae, b) = one, other
    tp, fp, fn = (x + y for x, y in zip(a, b, strict=True))
    if not (a[0] + a[1] and a[0] + a[2] and b[0] + b[1] and b[0] + b[2]):
        return  # a rate of nothing is no ratio of counts, and papers print a dash
    whole = {"precision": tp / (tp + fp), "recall": tp / (tp + fn), "f1": 2 * tp / (2 * tp + fp + fn)}
    rows = [
        *row(**me),
        *row("MaE", **mae),
        *row("overall", **{name: f"{v:.3f}" for name, v in whole.items()}),
    ]
    assert audit(elsewhere(rows)) == []


@given(st.integers(0, 57), st.integers(0, 30), st.integers(0, 3000), st.integers(2, 4))
def test_found_and_hit_intervals_are_never_flagged(found, more, misses, digits):
    hits = found + more if found else 0
    spotted = hits + misses
    f1 = 2 * found * hits / (found * spotted + hits * 57) if found else 0
    rates = {"find": str(found), "f1": f"{f1:.{digits}f}"}
    assert audit(row(**rates, tp=str(hits), prediction=str(spotted))) == []
    assert audit(row(**rates, prediction=str(spotted))) == []  # the hits are not printed
    at_half = [replace(one, table="Table 2") for one in row(prediction=str(spotted))]
    assert (
        audit([*row(**rates, tp=str(hits)), *at_half]) == []
    )  # the spotted intervals stand in another table
    assert audit([*row(**rates), *at_half]) == []  # both


def test_an_impossible_f1_of_found_intervals_is_found():
    # 10 found of 57 and at least 10 hits of 893 spotted: F1 cannot be below 2 * 10 / (893 + 57) = 0.02105.
    assert rules(row(find="10", prediction="893", f1="0.020")) == {"F1 from found intervals": 1}
    assert not rules(row(find="10", prediction="893", f1="0.021"))


def test_f1_at_the_edge_of_its_tolerance():
    # 0.3575..0.3585 and 0.6805..0.6815 give 0.46875..0.46984, and 0.469 is printed for 0.4685..0.4695.
    rates = {"precision": "0.358", "recall": "0.681"}
    assert not audit(elsewhere(row(**rates, f1="0.469")))
    [one] = audit(elsewhere(row(**rates, f1="0.468")))
    assert (one.printed, one.follows) == ("0.468", "0.468745 to 0.469842")
    assert one.tolerance == pytest.approx(0.0005 + 0.000549, abs=1e-6)


def test_rounding_twice_is_named():
    [one] = audit(row(tp="18", find="18", prediction="2125", f1="0.017"))  # 0.016499
    assert one.sentence.endswith("Rounding twice would explain it.")
    [one] = audit(row(tp="18", find="18", prediction="2125", f1="0.018"))
    assert "twice" not in one.sentence


def test_recall_must_be_of_whole_intervals():
    assert rules(row(recall="0.235")) == {"recall of whole intervals": 1}  # 13 of 57 is 0.228, 14 is 0.246
    assert not rules(row(recall="0.228"))
    assert not rules(elsewhere(row(recall="0.235")))


def test_pooled_recall_is_weighted_with_the_true_intervals():
    parts = [*row(recall="0.211"), *row("MaE", recall="0.500")]
    assert not rules([*parts, *row("overall", recall="0.454")])
    assert rules([*parts, *row("overall", recall="0.471")])["pooled recall from its parts"] == 1


def test_a_union_of_datasets_lies_between_them():
    parts = [
        claim(value="0.1176", dataset="megc2022_samm", where="a"),
        claim(value="0.1739", dataset="megc2022_cas", where="b"),
    ]
    assert not rules([*parts, claim(value="0.1351", dataset="megc2022")])
    assert rules([*parts, claim(value="0.1741", dataset="megc2022")]) == {"pooled value between its parts": 1}
    assert not rules([*parts, claim(value="0.174", dataset="megc2022")])


def test_a_stricter_t_eval_cannot_score_higher():
    loose, strict = claim(value="0.30", condition="T_eval=0.40"), claim(value="0.32", condition="T_eval=0.50")
    assert rules([strict, loose]) == {"no higher score under a higher T_eval": 1}
    assert not rules([replace(strict, value="0.30"), loose])
    assert not rules([replace(strict, value="0.31"), loose])  # both may be 0.305
    assert not rules([replace(strict, condition="T_nms=0.10 T_eval=0.50"), loose])


def test_repeated_figures_must_agree():
    table = claim(value="0.6600")
    assert not rules([table, claim(value="0.66", table="text"), claim(value="0.660", table="Table 2")])
    assert rules([table, claim(value="0.67", table="abstract")]) == {"text against table": 1}
    assert rules([table, claim(value="0.6601", table="Table 2")]) == {"table against table": 1}
    assert not rules([table, claim(value="0.6601", table="Table 2", condition="T_eval=0.30")])


def test_a_quotation_may_be_of_any_condition_that_is_more_precise():
    own = [
        claim(value=value, condition=f"T_eval=0.50 face={face}")
        for value, face in (("0.1", "a"), ("0.2", "b"))
    ]
    assert not rules([*own, claim(value="0.20", paper="else2023")])
    assert rules([*own, claim(value="0.30", paper="else2023")]) == {"quoted value against its source": 1}


def test_accuracy_follows_from_clips():
    figures = {"clips": "48", "correct": "44", "accuracy": "91.67%"}
    assert not rules(row(**figures))
    assert rules(row(**figures | {"accuracy": "91.66%"})) == {"accuracy from counts": 1}
    assert not rules(row(**figures | {"clips": "0"}))
    mean = [replace(one, condition="model=average") for one in row(**figures | {"accuracy": "92.60%"})]
    assert not rules(mean)  # 44 on average is up to 44.5


def test_highest_and_gained_f1():
    table = [claim(value="0.30"), claim(value="0.20", condition="T_eval=0.60", where="next")]
    best = claim("best_f1", "0.30", table="text", condition="over=Table_1")
    assert not rules([*table, best])
    assert rules([*table, replace(best, value="0.32")]) == {"highest F1 of a table": 1}
    other = claim(value="0.25", method="other")
    gain = claim("gain_f1", "5%", table="text", condition="over=Table_1")
    assert not rules([table[0], other, gain])
    assert rules([table[0], other, replace(gain, value="8%")]) == {"gain over the best other method": 1}


@pytest.mark.parametrize(
    ("metric", "value", "low", "high"),
    [
        ("f1", "0.39", 0.385, 0.395),
        ("f1", "0.0", 0, 0.05),
        ("accuracy", "77.31%", 0.77305, 0.77315),
        ("tp", "7", 7, 7),
    ],
)
def test_the_range_of_a_print(metric, value, low, high):
    both = bounds(claim(metric, value))
    assert (max(float(both.low), 0), float(both.high)) == (pytest.approx(low), pytest.approx(high))


# ---------------------------------------------------------------------------------------------------------------------
# Reading and showing

GOOD = ["nobody2020", "Table 1", "casme2", "guess", "ME", "f1", "T_eval=0.50", "0.5", "row 1", ""]


def write(path, *rows, header=COLUMNS):
    path.write_text("\n".join(",".join(cells) for cells in [header, *rows]) + "\n", encoding="utf-8")
    return path


def changed(**cells):
    return [cells.get(name, value) for name, value in zip(COLUMNS, GOOD, strict=True)]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"value": "0,5"}, "row 3: 11 cells instead of 10"),
        ({"value": "-"}, "row 3: value '-' of f1 is not a number"),
        ({"value": "٣"}, "row 3: value '٣' of f1 is not a number"),
        ({"value": "1.5"}, "row 3: value '1.5' of f1 is above 1"),
        ({"metric": "tp"}, "row 3: value '0.5' of tp is not a whole number"),
        ({"metric": "f2"}, "row 3: metric 'f2' is unknown; known: accuracy"),
        ({"expression": "both"}, "row 3: expression 'both' is unknown; known: MaE, ME, overall"),
        ({"condition": ""}, "row 3: condition is empty"),
        ({"condition": "T_eval=half"}, "row 3: T_eval of the condition"),
        ({"metric": "best_f1"}, "row 3: the condition of best_f1 must name its table"),
        ({"where": "row 1"}, "row 3: the same figure as row 2"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, cells, message):
    path = write(tmp_path / "claims.csv", GOOD, changed(**{"where": "row 2"} | cells))
    with pytest.raises(ClaimsError, match=r"^claims\.csv, ") as error:
        read_claims(path)
    assert message in str(error.value)


def test_a_malformed_file_is_named(tmp_path):
    with pytest.raises(ClaimsError, match=r"claims\.csv, row 1: the columns must be paper,table"):
        read_claims(write(tmp_path / "claims.csv", GOOD[:-1], header=COLUMNS[:-1]))
    with pytest.raises(ClaimsError, match=r"claims\.csv: no claims in it"):
        read_claims(write(tmp_path / "claims.csv"))
    (tmp_path / "latin.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClaimsError, match=r"latin\.csv, after row 0: "):
        read_claims(tmp_path / "latin.csv")


def test_byte_order_mark_and_crlf_are_read(tmp_path):
    path = write(tmp_path / "claims.csv", GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [one.value for one in read_claims(path)] == ["0.5"]


def mespot(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_every_finding(claims, findings):
    answer = mespot("claims")
    assert answer.exit_code == 0
    assert answer.stdout.startswith(f"{len(claims)} printed figures, {len(findings)} contradictions\n")
    assert all(one.sentence in answer.stdout for one in findings)


def test_the_command_prints_json(claims, findings):
    answer = mespot("claims", "--json")
    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == {"claims": len(claims), "findings": findings_records(findings)}


def test_the_command_says_what_is_malformed(tmp_path):
    answer = mespot("claims", "--file", write(tmp_path / "claims.csv", changed(value="much")))
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr == "mespot: claims.csv, row 2: value 'much' of f1 is not a number\n"
    assert mespot("claims", "--file", tmp_path / "absent.csv").exit_code == 2


def test_nothing_found_is_said(tmp_path):
    answer = mespot("claims", "--file", write(tmp_path / "claims.csv", GOOD))
    assert (answer.exit_code, answer.stdout) == (0, "1 printed figures, 0 contradictions\n")


def test_the_table_of_a_notebook(findings):
    table = findings_table()
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == [field.name for field in fields(Finding)]
    assert list(table["sentence"]) == [one.sentence for one in findings]
    assert list(findings_table([]).columns) == list(table.columns)


def test_the_file_lies_in_the_source_wherever_reports_go(monkeypatch, tmp_path):
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path))
    assert claims_file().is_file()
    assert findings_text([], 3) == "3 printed figures, 0 contradictions"
    assert auditing.claims_file().name == "paper_claims.csv"
