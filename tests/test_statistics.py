"""Statistics of a dataset: right on expressions that are counted by hand, and published figures with their sources."""

from dataclasses import replace

import pandas as pd
import pytest
from toy import toy_manifest
from trees import planned, write_tree

from mespot_lib import statistics
from mespot_lib.datasets import read_dataset
from mespot_lib.manifest import DatasetError

EVENTS = (
    planned("ME", 2, 5, 10, ("1", "2")),
    planned("MaE", 12, 15, 26, ("12",)),
    planned("MaE", 28, 30, 38, ("6", "12")),
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    root = write_tree("samm_lv", tmp_path_factory.mktemp("samm"), subjects=2, videos=2, events=EVENTS)
    return read_dataset("samm_lv", root)


def values(table: pd.DataFrame, kind: str) -> dict:
    rows = table[table["kind"] == kind]
    return dict(zip(zip(rows["quantity"], rows["item"], strict=True), rows["value"], strict=True))


def test_every_expression_is_a_row_with_its_times_and_units(manifest):
    table = statistics.expressions(manifest)
    assert len(table) == 4 * 3
    first = table.iloc[0]
    assert (first["subject"], first["kind"], first["aus"]) == ("006", "ME", ("1", "2"))
    assert (first["seconds"], first["rise_s"], first["fall_s"]) == pytest.approx((9 / 200, 3 / 200, 5 / 200))


def test_the_quantities_are_those_counted_by_hand(manifest):
    found = statistics.describe(manifest)
    assert set(found["quantity"]) == set(statistics.QUANTITIES)
    me, mae = values(found, "ME"), values(found, "MaE")
    assert me["expressions", ""] == 4
    assert me["rate_per_min", ""] == pytest.approx(4 / (4 * 40 / 200 / 60))
    assert me["duration_mean_s", ""] == pytest.approx(9 / 200)
    assert me["duration_sd_s", ""] == pytest.approx(0)
    assert me["au_share", "1"] == me["au_share", "2"] == 1
    assert mae["duration_mean_s", ""] == pytest.approx((15 + 11) / 2 / 200)
    assert mae["duration_sd_s", ""] == pytest.approx(2 / 200)
    assert mae["rise_median_s", ""] == pytest.approx(2.5 / 200)
    assert mae["fall_median_s", ""] == pytest.approx(9.5 / 200)
    assert (mae["au_share", "12"], mae["au_share", "6"]) == (1, 0.5)
    assert (mae["most_of_a_subject", ""], mae["subjects_without_share", ""]) == (4, 0)


def test_people_without_expressions_count(manifest):
    events = manifest.events[
        ~((manifest.events["type"] == "ME") & manifest.events["video_uid"].str.contains("006"))
    ]
    found = values(statistics.describe(replace(manifest, events=events)), "ME")
    assert (found["subjects_without_share", ""], found["most_of_a_subject", ""]) == (0.5, 2)


def test_excluded_rows_and_rows_without_frames_do_not_count(manifest):
    events = manifest.events.copy()
    events.loc[0, "excluded"] = "no_offset"
    events.loc[1, "video_uid"] = "samm_lv/099/099_1"
    found = statistics.expressions(replace(manifest, events=events))
    assert found["kind"].value_counts().to_dict() == {"MaE": 7, "ME": 3}


def test_a_kind_that_never_occurs_and_a_set_without_units():
    toy = toy_manifest()
    only = replace(toy, events=toy.events[toy.events["type"] == "ME"])
    found = statistics.describe(only)
    assert values(found, "MaE") == {
        ("expressions", ""): 0,
        ("rate_per_min", ""): 0,
        ("subjects_without_share", ""): 1,
        ("most_of_a_subject", ""): 0,
    }
    assert "au_share" not in set(found["quantity"])


@pytest.mark.parametrize(
    ("aus", "numbers"),
    [("4+L10", ("4", "10")), ("L12+R12", ("12",)), ("4+17(k)", ("4",)), ("12B", ("12",)), (None, ())],
)
def test_units_are_counted_once_whichever_side(aus, numbers):
    assert statistics._numbers(aus) == numbers


# --- published figures ----------------------------------------------------------------------------------------------


def test_the_published_figures_are_sound():
    table = statistics.published_statistics()
    assert not table.duplicated(["dataset", "kind", "quantity", "item"]).any()
    shares = table["quantity"].str.endswith("_share")
    assert table.loc[shares, "value"].between(0, 1).all()
    assert (table["value"] > 0).all()
    assert (table["quantity"].eq("au_share") == table["item"].ne("")).all()
    counts = table[table["quantity"] == "expressions"].set_index(["dataset", "kind"])["value"]
    assert counts["casme2"].to_dict() == {"ME": 57, "MaE": 300}
    assert counts["samm_lv"].to_dict() == {"ME": 159, "MaE": 343}


def test_they_stand_beside_those_found(manifest):
    both = statistics.beside_published(manifest, "samm_lv")
    assert len(both) == (statistics.published_statistics()["dataset"] == "samm_lv").sum()
    row = both[(both["kind"] == "MaE") & (both["item"] == "12")].iloc[0]
    assert (row["published"], row["found"]) == (0.27, 1)
    assert both[(both["kind"] == "ME") & (both["item"] == "7")]["found"].item() == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("casme2,ME,duration_s,,1,somebody,", "not in the vocabulary"),
        ("casme2,micro,expressions,,1,somebody,", "not in the vocabulary"),
        ("casme2,ME,expressions,,many,somebody,", "no number"),
        ("casme2,ME,expressions,,1,,", "no source"),
    ],
)
def test_a_faulty_figure_is_named_by_its_row(tmp_path, monkeypatch, line, what):
    folder = tmp_path / "data_manifests"
    folder.mkdir()
    header = "dataset,kind,quantity,item,value,source,note\n"
    good = "casme2,ME,expressions,,57,somebody,\n"
    (folder / "published_statistics.csv").write_text(header + good + line + "\n")
    monkeypatch.setattr(statistics.places, "repository_root", lambda: tmp_path)
    with pytest.raises(DatasetError, match=f"row 3: .*{what}"):
        statistics.published_statistics()


def test_other_columns_are_refused(tmp_path, monkeypatch):
    (tmp_path / "data_manifests").mkdir()
    (tmp_path / "data_manifests" / "published_statistics.csv").write_text("dataset,value\ncasme2,1\n")
    monkeypatch.setattr(statistics.places, "repository_root", lambda: tmp_path)
    with pytest.raises(DatasetError, match="columns are dataset, value"):
        statistics.published_statistics()
