"""Scoring submissions: what was written is scored as spotted, and what belongs to another set is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_submit import LENGTH, manifest_of, unique

from mespot_lib import challenge, claims, leaderboard, submit
from mespot_lib.challenge import FORMATS, SubmitError
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError, records
from mespot_lib.metrics import score

TYPED = ["megc2022", "megc2023"]


def halves_of(name: str):
    """Return the manifests of both halves, one video each."""
    whole = manifest_of(name)
    return [whole.only([uid]) for uid in whole.uids]


@pytest.mark.parametrize("name", TYPED)
@settings(max_examples=10, deadline=None)
@given(first=unique, second=unique, frames=st.sampled_from(challenge.FRAMES))
def test_what_was_spotted_comes_back(tmp_path_factory, name, first, second, frames):
    manifests = halves_of(name)
    spotted = dict(zip([m.uids[0] for m in manifests], (first, second), strict=True))
    path = tmp_path_factory.mktemp("s") / "s.zip"
    submit.hand_in(path, spotted, manifests, name, frames)
    found = leaderboard.read_submission(path, manifests, name, frames)
    assert {uid: [(s.onset, s.offset, s.kind) for s in spans] for uid, spans in found.items()} == {
        uid: [(s.onset, s.offset, s.kind) for s in sorted(spans)] for uid, spans in spotted.items()
    }


def test_a_submission_for_other_videos_is_refused(tmp_path):
    name = "megc2023"
    manifests = halves_of(name)
    header = FORMATS[name].headers[0]
    # a clip whose id is of the right form, as two of the real set are that nobody knows: valid, but not of this set
    files = {"cas_pred.csv": f"{header}\nwy_z9,9,20,me\n", "samm_pred.csv": f"{header}\n001_3,9,20,me\n"}
    path = tmp_path / "s.zip"
    submit.write_submission(path, files, name, videos=manifests)
    with pytest.raises(SubmitError, match=r"cas_pred\.csv: wy_z9 is no video of the set that is scored"):
        leaderboard.read_submission(path, manifests, name)
    known = {"cas_pred.csv": f"{header}\ndzw_a1,9,20,me\n", "samm_pred.csv": f"{header}\n005_7,9,20,me\n"}
    submit.write_submission(path, known, name, videos=manifests)  # a known video that is not in this set
    with pytest.raises(SubmitError, match=r"samm_pred\.csv: 005_7 is no video"):
        leaderboard.read_submission(path, manifests, name)


def test_the_submission_of_another_year_is_refused(tmp_path):
    old = halves_of("megc2022")
    spotted = {old[0].uids[0]: [Interval(5, 20, "ME")]}
    path = tmp_path / "t.zip"
    submit.hand_in(path, spotted, old, "megc2022")
    with pytest.raises(SubmitError, match="'sub01' is no video of this part"):
        leaderboard.read_submission(path, halves_of("megc2023"), "megc2023")


def test_one_half_is_no_submission_for_both(tmp_path):
    name = "megc2023"
    alone = tmp_path / "cas_pred.csv"
    alone.write_text(f"{FORMATS[name].headers[0]}\ndzw_a1,30,40,me\n")
    cas, samm = halves_of(name)
    assert [len(spans) for spans in leaderboard.read_submission(alone, [cas], name).values()] == [1]
    with pytest.raises(SubmitError, match=r"samm_pred\.csv: is not there, but its videos are scored"):
        leaderboard.read_submission(alone, [cas, samm], name)


def test_broken_files_and_formats_without_kinds_are_refused(tmp_path):
    name, header = "megc2023", FORMATS["megc2023"].headers[0]
    (tmp_path / "cas_pred.csv").write_text(f"{header}\ndzw_a1,30,{LENGTH + 500},me\n")
    with pytest.raises(SubmitError) as caught:
        leaderboard.read_submission(tmp_path, halves_of(name), name)
    assert "leaves the video" in str(caught.value)
    assert "samm_pred.csv is missing" in str(caught.value)
    for other in ("megc2024_str", "megc2021"):
        with pytest.raises(SubmitError, match="which kind an interval is"):
            leaderboard.read_submission(tmp_path, halves_of(name), other)


def test_the_score_is_that_of_the_challenge(tmp_path, monkeypatch):
    name = "megc2023"
    manifests = [replace(one, descriptor=one.descriptor | {"synthetic": True}) for one in halves_of(name)]
    cas, samm = (one.uids[0] for one in manifests)
    truth = {cas: [Interval(10, 20, "ME"), Interval(100, 150, "MaE")], samm: [Interval(40, 60, "ME")]}
    monkeypatch.setattr(
        leaderboard, "withheld_truth", lambda manifest: {uid: truth[uid] for uid in manifest.uids}
    )
    spotted = {cas: [Interval(11, 20, "ME"), Interval(100, 150, "ME")], samm: []}
    path = tmp_path / "s.zip"
    submit.hand_in(path, spotted, manifests, name)
    result = leaderboard.score_submission(path, manifests, name)
    assert set(result) == {"cas", "samm", "overall"}
    for rows, uids in ((result["overall"], (cas, samm)), (result["cas"], (cas,)), (result["samm"], (samm,))):
        expected = score({u: truth[u] for u in uids}, {u: spotted[u] for u in uids}).as_dict()
        for row in rows:
            assert [row[k] for k in ("tp", "fp", "fn")] == [
                expected[row["part"]][k] for k in ("tp", "fp", "fn")
            ]
    assert result["overall"][2]["f1"] == pytest.approx(0.4)


def test_recorded_sets_have_no_truth_to_score_by(tmp_path):
    manifests = halves_of("megc2023")
    path = tmp_path / "s.zip"
    submit.hand_in(path, {}, manifests, "megc2023")
    assert records(manifests[0].videos)
    with pytest.raises(DatasetError, match="only drawn datasets"):
        leaderboard.score_submission(path, manifests, "megc2023")


def test_published_figures_are_those_of_the_table_and_no_others():
    found = leaderboard.published("megc2023")
    assert set(found) == {"xu2023", "qin2023", "yu2023", "zhang2020"}
    assert all(len(cells) == 9 for cells in found.values())
    assert found["xu2023"]["f1", "overall"] == 0.22
    assert found["zhang2020"]["f1", "samm"] == 0
    only = [one for one in claims.read_claims() if one.table in claims.PROSE]
    assert leaderboard.published("megc2023", only) == {}
    assert leaderboard.published("megc2022") == {
        "yap2022_3dcnn": {("f1", "samm"): 0.1176, ("f1", "cas"): 0.1739, ("f1", "overall"): 0.1351}
    }


def test_the_table_has_ours_first_best_first():
    def row(method, videos, f1, year="2023", part="overall"):
        rates = {"f1": f1, "precision": "0.5", "recall": "0.25"}
        return {"method": method, "year": year, "videos": videos, "part": part} | rates

    rows = [row("a", "both", "0.1"), row("a", "samm (trained on x)", "0.2"), row("b", "both", "0.3")]
    rows += [row("b", "both", "0.9", part="ME"), row("b", "both", "0.9", year="2022")]
    table = leaderboard.standings(rows, "megc2023")
    assert list(table.index) == [
        *(("synthetic stand-in", name) for name in "ba"),
        *(("published, on people", name) for name in ("xu2023", "qin2023", "yu2023", "zhang2020")),
    ]
    assert table.loc[("synthetic stand-in", "a"), ("f1", "samm")] == 0.2
    assert table.loc[("synthetic stand-in", "b"), ("f1", "overall")] == 0.3
    assert table.isna().sum().sum() == 3 + 6
