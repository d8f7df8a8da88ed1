"""The manifest: frame axis, tables on disk, rules, folds."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import planned, write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.interval import Interval
from mespot_lib.manifest import (
    DatasetError,
    Manifest,
    Video,
    check_manifest,
    half_windows,
    loso_folds,
    manifest_problems,
    ranges_from_text,
    ranges_to_text,
    read_manifest,
    write_manifest,
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return read_dataset("casme2", write_tree("casme2", tmp_path_factory.mktemp("tree"), videos=1))


def video(**changes):
    values = {
        "uid": "d/s/v",
        "dataset": "d",
        "subject": "s",
        "video_id": "v",
        "path": "folder",
        "media": "frames",
        "fps": 30.0,
        "first_frame_no": 8,
        "last_frame_no": 1200,
    }
    from pathlib import Path

    return Video(**(values | changes | {"path": Path("folder")}))


# ------------------------------------------------------------------------------------------------ frame axis


@given(st.integers(0, 1192))
def test_position_and_frame_number_are_inverse(t):
    assert video().position(video().frame_no(t)) == t


def test_first_frame_is_position_zero_and_the_last_is_length_minus_one():
    assert (video().frame_no(0), video().frame_no(video().length - 1)) == (8, 1200)


@pytest.mark.parametrize("t", [-1, 1193])
def test_positions_outside_are_refused(t):
    with pytest.raises(DatasetError, match="outside the video"):
        video().frame_no(t)
    with pytest.raises(DatasetError, match="outside the video"):
        video().position(8 + t)


@pytest.mark.parametrize(
    ("naming", "t", "name"),
    [
        ({"frame_prefix": "img", "pad_width": 3}, 0, "img008.jpg"),
        ({"frame_prefix": "img", "pad_width": 3}, 1192, "img1200.jpg"),
        ({"frame_prefix": "img", "frame_sep": "_"}, 0, "img_8.jpg"),
        ({"frame_prefix": "006_1", "frame_sep": "_", "pad_width": 5}, 0, "006_1_00008.jpg"),
        ({"ext": ".PNG"}, 2, "10.PNG"),
    ],
)
def test_frame_path_follows_the_naming(naming, t, name):
    assert video(**naming).frame_path(t).name == name


def test_a_video_file_has_no_frame_files():
    with pytest.raises(DatasetError, match="video file"):
        video(media="video").frame_path(0)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30)), max_size=8))
def test_missing_ranges_survive_as_text(steps):
    ranges, at = [], 0
    for gap, length in steps:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    assert ranges_from_text(ranges_to_text(ranges)) == tuple(ranges)


@pytest.mark.parametrize("text", ["3-1", "5;4", "1-4;4-6", "a", "1-2-3", "-4"])
def test_disordered_ranges_are_refused(text):
    with pytest.raises(DatasetError, match="missing_frames"):
        ranges_from_text(text)


# ------------------------------------------------------------------------------------------------ truth and counts


def test_truth_is_on_the_frame_axis_and_in_order(manifest):
    assert manifest.truth(manifest.uids[1]) == [Interval(2, 9, "ME", 5), Interval(15, 30, "MaE", 20)]


def test_excluded_rows_are_no_truth_and_repeated_ones_count_once(manifest):
    events = manifest.events.copy()
    events.loc[2, "excluded"] = "for the test"
    twice = pd.concat([events, events.iloc[[3]]], ignore_index=True)
    assert replace(manifest, events=twice).truth(manifest.uids[1]) == [Interval(15, 30, "MaE", 20)]


def test_counts(manifest):
    counts = manifest.counts()
    assert (counts["subjects"], counts["videos"], counts["ME"], counts["MaE"], counts["frames"]) == (
        3,
        3,
        3,
        3,
        120,
    )
    assert counts["offset_zero"] == counts["repaired"] == 1
    assert counts["excluded"] == counts["without_media"] == 0


def test_half_windows_are_those_of_the_formula(tmp_path):
    events = [planned("ME", 0, 3, 6), planned("ME", 10, 13, 21), planned("MaE", 22, 25, 39)]
    manifest = read_dataset("samm_lv", write_tree("samm_lv", tmp_path, events=events))
    assert half_windows(manifest) == {"ME": int((8.5 + 1) / 2), "MaE": int((17 + 1) / 2)}


def test_unknown_video_is_named(manifest):
    with pytest.raises(DatasetError, match="no video 'casme2/s99/99_0101'"):
        manifest.video("casme2/s99/99_0101")


def test_a_part_of_the_manifest_has_nothing_of_the_rest(manifest):
    part = manifest.only(manifest.uids[:1])
    assert part.uids == manifest.uids[:1]
    assert set(part.events["video_uid"]) == {manifest.uids[0]}
    with pytest.raises(DatasetError):
        part.truth(manifest.uids[1])


# ------------------------------------------------------------------------------------------------ files


def test_tables_survive_the_disk(manifest, tmp_path):
    write_manifest(manifest, tmp_path)
    again = read_manifest(tmp_path, manifest.root)
    pd.testing.assert_frame_equal(again.videos, manifest.videos)
    pd.testing.assert_frame_equal(again.events, manifest.events)
    assert again.descriptor == manifest.descriptor
    assert again.digest() == manifest.digest()


def test_codes_and_numbers_of_subjects_stay_text(manifest, tmp_path):
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path, manifest.root).videos["video_code"][0] == "0101"


def test_digest_ignores_the_place_and_sees_the_content(tmp_path):
    here = read_dataset("casme2", write_tree("casme2", tmp_path / "here"))
    there = read_dataset("casme2", write_tree("casme2", tmp_path / "elsewhere"))
    assert here.digest() == there.digest()
    events = there.events.copy()
    events.loc[0, "onset"] += 1
    assert replace(there, events=events).digest() != here.digest()
    (tmp_path / "here" / "rawpic" / "s15" / "15_0101disgustingteeth" / "Thumbs.db").touch()
    assert read_dataset("casme2", tmp_path / "here").digest() == here.digest()
    other = read_dataset("casme2", tmp_path / "here", policy="softnet")
    assert other.digest() != here.digest()


def test_nothing_of_the_machine_is_written(manifest, tmp_path):
    write_manifest(manifest, tmp_path)
    for path in tmp_path.iterdir():
        assert str(manifest.root) not in path.read_text()


@pytest.mark.parametrize("name", ["dataset.json", "videos.csv", "events.csv"])
def test_a_missing_file_is_named(manifest, tmp_path, name):
    write_manifest(manifest, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match=rf"{name}: no such file"):
        read_manifest(tmp_path, manifest.root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",40,1,40,", ",forty,1,40,", r"videos.csv, row 2, column n_frames: 'forty' is not a whole value"),
        (
            "video_uid,dataset",
            "video_uid,colour",
            r"missing columns \['dataset'\], unknown columns \['colour'\]",
        ),
        (",frames,", ",film,", r"videos.csv, row 2, media: 'film' is not one of"),
        (",True,", ",maybe,", r"column gt_available: 'maybe' is not a flag value"),
    ],
)
def test_bad_cells_are_named_with_file_row_and_column(manifest, tmp_path, old, new, message):
    write_manifest(manifest, tmp_path)
    path = tmp_path / "videos.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        read_manifest(tmp_path, manifest.root)


def test_broken_json_is_named(manifest, tmp_path):
    write_manifest(manifest, tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset\.json: not valid JSON"):
        read_manifest(tmp_path, manifest.root)


# ------------------------------------------------------------------------------------------------ rules


def changed(manifest: Manifest, table: str, **cells) -> Manifest:
    """Return the manifest with cells of the first row of a table changed."""
    frame = getattr(manifest, table).copy()
    for column, value in cells.items():
        frame.loc[0, column] = value
    return replace(manifest, **{table: frame})


def test_a_read_dataset_keeps_all_rules(manifest):
    assert check_manifest(manifest) == []


@pytest.mark.parametrize(
    ("table", "cells", "problem"),
    [
        ("events", {"onset": 20, "onset_idx": 19}, "onset 20 comes after offset 10"),
        ("events", {"apex": 12}, "apex 12 is outside 3..10"),
        ("events", {"offset": 99}, "offset 99 comes after the last frame 40"),
        ("events", {"onset": 0}, "onset 0 comes before the first frame 1"),
        ("events", {"onset_idx": 3}, "onset_idx is 3, frame 3 is at 2"),
        ("events", {"onset": pd.NA}, "onset: None is not of type 'integer'"),
        ("events", {"type": "micro"}, "'micro' is not one of"),
        ("events", {"video_uid": "casme2/s99/99_0101"}, "has_media is True but casme2/s99/99_0101 is not in"),
        ("events", {"event_uid": "casme2/s15/15_0101#2"}, "stands in events.csv, row 2 already"),
        ("events", {"au": "smile"}, "does not match"),
        ("videos", {"first_frame_no": 50}, "first_frame_no 50 comes after last_frame_no 40"),
        ("videos", {"n_frames": 39}, "n_frames is 39, the numbers and the missing frames make 40"),
        ("videos", {"missing_frames": "40"}, "must lie between the first and the last frame"),
        ("videos", {"missing_frames": "9-4"}, "ranges must ascend"),
        ("videos", {"rel_path": "../elsewhere"}, "leaves the dataset"),
        ("videos", {"fps": 0.0}, "0"),
    ],
)
def test_each_broken_rule_is_named_with_file_and_row(manifest, table, cells, problem):
    problems = check_manifest(changed(manifest, table, **cells))
    assert any(problem in line for line in problems), problems
    assert all(line.startswith(("events.csv, row", "videos.csv, row")) for line in problems)


def test_excluded_rows_may_break_order_and_range(manifest):
    assert check_manifest(changed(manifest, "events", offset=999, excluded="for the test")) == []


def test_descriptor_follows_its_schema(manifest):
    descriptor = manifest.descriptor | {"licence": {"name": "x"}, "colour": 1}
    problems = "\n".join(check_manifest(replace(manifest, descriptor=descriptor)))
    assert "dataset.json" in problems
    assert "'colour' was unexpected" in problems
    assert "'redistribution' is a required property" in problems


def test_read_manifest_refuses_broken_rules(manifest, tmp_path):
    write_manifest(changed(manifest, "events", offset=999), tmp_path)
    with pytest.raises(DatasetError, match=r"events\.csv, row 2: offset 999 comes after the last frame 40"):
        read_manifest(tmp_path, manifest.root)


def test_every_problem_of_the_files_is_listed(manifest, tmp_path):
    events = manifest.events.assign(offset=999)
    write_manifest(replace(manifest, events=events), tmp_path)
    assert len(manifest_problems(tmp_path)) == len(events) > 5
    write_manifest(manifest, tmp_path)
    assert manifest_problems(tmp_path) == []
    videos = tmp_path / "videos.csv"
    videos.write_text(videos.read_text().replace(",40,1,40,", ",x,y,40,"))
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    (tmp_path / "events.csv").unlink()
    problems = manifest_problems(tmp_path)
    assert [
        p for p in problems if "'x' is not a whole value" in p or "'y' is not a whole value" in p
    ] == problems[1:-1]
    assert len(problems) == 2 * len(manifest.videos) + 2
    assert problems[0].startswith("dataset.json: not valid JSON")
    assert problems[-1].startswith("events.csv: no such file")


def test_media_are_looked_for_where_the_root_is_told(manifest, tmp_path):
    write_manifest(manifest, tmp_path)
    assert manifest_problems(tmp_path, manifest.root) == []
    absent = manifest_problems(tmp_path, tmp_path)
    assert len(absent) == len(manifest.videos)
    assert absent[0].startswith("videos.csv, row 2: there is no rawpic/s15/")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rel_path": "../x"}, "rel_path '../x' leaves the dataset"),
        ({"rel_path": "a\\..\\x"}, "leaves the dataset"),
        ({"landmarks": "/etc/x.npz"}, "landmarks '/etc/x.npz' leaves the dataset"),
        ({"frame_prefix": "../x"}, "frame_prefix '../x' is part of a file name"),
        ({"ext": "/../x"}, "ext '/../x' is part of a file name"),
        ({"video_uid": "casme2/../x"}, "'casme2/../x' does not match"),
        ({"video_uid": "casme2/s15/.."}, "'casme2/s15/..' does not match"),
        ({"gt_available": False}, "casme2/s15/15_0101 has no annotations, says gt_available"),
    ],
)
def test_a_hostile_manifest_is_refused(manifest, changes, message):
    videos = manifest.videos.copy()
    for name, value in changes.items():
        videos.loc[0, name] = value
    assert message in "\n".join(check_manifest(replace(manifest, videos=videos)))


@pytest.mark.parametrize("cell", ["9" * 400, "1e5", "0x10", "", "\0"])
def test_hostile_cells_are_named(manifest, tmp_path, cell):
    write_manifest(manifest, tmp_path)
    path = tmp_path / "videos.csv"
    path.write_text(path.read_text().replace(",40,1,40,", f",{cell},1,40,", 1))
    (problem,) = manifest_problems(tmp_path)
    assert problem.startswith("videos.csv, row 2")
    assert len(problem) < 200


def test_repairs_name_row_rule_before_and_after(manifest):
    repairs = manifest.repairs()
    (row,) = repairs[repairs["rule"] == "offset0->apex"].to_dict("records")
    assert row["source"].startswith("CAS(ME)^2code_final.xlsx!CASFEcode_final!")
    assert (row["before"], row["after"]) == ("0", "21")
    json.dumps(row)


# ------------------------------------------------------------------------------------------------ folds


def test_each_subject_is_tested_once_and_never_trained_on(tmp_path):
    manifest = read_dataset("casme2", write_tree("casme2", tmp_path))
    folds = loso_folds(manifest)
    assert [fold.name for fold in folds] == ["s15", "s16", "s19"]
    assert sorted(uid for fold in folds for uid in fold.test) == sorted(manifest.uids)
    for fold in folds:
        assert set(fold.train) | set(fold.test) == set(manifest.uids)
        assert {manifest.video(uid).subject for uid in fold.test} == {fold.name}
        assert fold.name not in {manifest.video(uid).subject for uid in fold.train}


def test_schemas_are_read_without_grammars_that_none_of_them_needs():
    """Their import takes a second; whoever wants them later still gets them."""
    code = (
        "import sys; from mespot_lib.manifest import schema; schema('manifest'); "
        "assert 'rfc3987_syntax' not in sys.modules; import importlib.util; "
        "print(importlib.util.find_spec('rfc3987_syntax') is None)"
    )
    here = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there = importlib.util.find_spec("rfc3987_syntax") is None
    assert here.stdout.strip() == str(there)
