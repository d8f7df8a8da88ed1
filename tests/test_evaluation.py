"""The table of videos, and the record of all that is said about one scoring."""

import json
from pathlib import Path

import numpy as np
import pytest

from mespot_lib.evaluation import (
    VideoFacts,
    by_subject,
    details,
    details_text,
    fps_of,
    read_videos,
    rule_text,
    summary,
)
from mespot_lib.interval import Interval
from mespot_lib.metrics import PARTS, T_EVALS, MetricError, score

TRUTH = {"a": [Interval(10, 19, "ME"), Interval(40, 79, "MaE")], "b": [Interval(5, 14, "ME")], "c": []}
SPOTTED = {
    "a": [Interval(12, 20, "ME", score=0.9), Interval(40, 70, "MaE", score=0.4)],
    "b": [],
    "c": [Interval(30, 39, "ME", score=0.2)],
}
VIDEOS = {
    "a": VideoFacts("s1", 300, 30.0),
    "b": VideoFacts("s1", 300, 30.0),
    "c": VideoFacts("s2", 600, 60.0),
}


def recorded(videos, **settings):
    result = score(TRUTH, SPOTTED)
    return details(TRUTH, SPOTTED, result, videos, draws=50, **settings)


@pytest.fixture
def table(tmp_path):
    """A function that writes a table of videos and returns its path."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "videos.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


# ---------------------------------------------------------------------------------------------------------------------
# In short


def test_the_summary_is_one_row_per_part_with_counts_uncertainty_and_chance():
    rows = summary(TRUTH, SPOTTED, VIDEOS)
    counts = {row["part"]: (row["tp"], row["fp"], row["fn"], row["f1"]) for row in rows}
    assert counts == {"ME": (1, 1, 1, 0.5), "MaE": (1, 0, 0, 1.0), "overall": (2, 1, 1, 0.6667)}
    for row in rows:
        assert row["low"] <= row["f1"] <= row["high"]
        assert 0 <= row["chance"] < row["f1"]
        assert row["chance"] <= row["chance_high"]


def test_a_summary_needs_to_know_every_video():
    with pytest.raises(MetricError, match="frames of video c"):
        summary(TRUTH, SPOTTED, VIDEOS | {"c": VideoFacts("s2")})
    with pytest.raises(MetricError, match="frames of video c"):
        summary(TRUTH, SPOTTED, {name: VIDEOS[name] for name in "ab"})
    with pytest.raises(MetricError, match="subject of video a"):
        summary(TRUTH, SPOTTED, VIDEOS | {"a": VideoFacts(None, 300)})


# ---------------------------------------------------------------------------------------------------------------------
# The table of videos


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_made_by_hand(table, end, encoding):
    rows = ["video,subject,frames,fps,remark", "a,s1,300,30,x", "b,,,,"]
    assert read_videos(table(end.join(rows), encoding)) == {
        "a": VideoFacts("s1", 300, 30.0),
        "b": VideoFacts(),
    }


def test_columns_may_be_missing(table):
    assert read_videos(table("subject,video\ns1,a\n")) == {"a": VideoFacts("s1")}


def test_the_table_of_a_manifest_can_be_read():
    path = Path(__file__).parents[1] / "data_manifests" / "synthetic_casme2" / "videos.csv"
    facts = read_videos(path)
    assert len(facts) > 10
    assert all(one.subject and one.frames > 100 and one.fps == 30 for one in facts.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "videos.csv: no video"),
        ("video,subject\n", "videos.csv: no video"),
        ("name,subject\na,s1\n", "row 2: column video is missing or empty; found name, subject"),
        ("video;subject\na;s1\n", "row 2: column video is missing or empty; found video;subject"),
        ("video,subject\na\n", "row 2: not as many cells as the first row has"),
        ("video,subject\na,s1,x\n", "row 2: not as many cells as the first row has"),
        ("video,frames\na,many\n", "row 2: frames must be a number, got 'many'"),
        ("video,frames\na,0\n", "row 2: frames must be positive, got 0"),
        ("video,fps\na,-30\n", "row 2: fps must be positive, got -30"),
        ("video,fps\na,nan\n", "row 2: fps must be positive, got nan"),
        ("video,subject\na,s1\na,s1\n", "row 3: video a stands twice"),
        ('video,subject\n"a,s1\n', "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_table_is_explained_in_one_line(table, text, message):
    with pytest.raises(MetricError) as error:
        read_videos(table(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_another_encoding_is_explained(table):
    with pytest.raises(MetricError, match="not a CSV file in UTF-8"):
        read_videos(table("video,subject\nä,s1\n", "latin-1"))


def test_unknown_frame_rates_are_the_default():
    assert fps_of({"a": VideoFacts(fps=200.0), "b": VideoFacts()}, ["a", "b", "c"], 30.0) == {
        "a": 200.0,
        "b": 30.0,
        "c": 30.0,
    }


def test_subjects_are_pooled_and_must_be_known():
    result = score(TRUTH, SPOTTED)
    subjects = by_subject(result, VIDEOS)
    assert list(subjects) == ["s1", "s2"]
    assert (subjects["s1"].ME.fn, subjects["s2"].ME.fp) == (1, 1)
    with pytest.raises(MetricError, match="subject of video c is not known"):
        by_subject(result, {name: VIDEOS[name] for name in "ab"})


# ---------------------------------------------------------------------------------------------------------------------
# The record


def test_the_record_says_what_the_measures_say():
    record = recorded(VIDEOS)
    minutes = (300 / 30 + 300 / 30 + 600 / 60) / 60
    assert record["fp_per_minute"] == {
        "ME": pytest.approx(1 / minutes),
        "MaE": 0.0,
        "overall": pytest.approx(1 / minutes),
    }
    assert record["boundary_errors_ms"]["ME"] == {
        "onset": pytest.approx(2000 / 30),
        "offset": pytest.approx(1000 / 30),
        "onset_late": pytest.approx(2000 / 30),
        "offset_late": pytest.approx(1000 / 30),
    }
    assert record["boundary_errors_ms"]["MaE"]["offset_late"] == pytest.approx(-300)
    assert record["average_precision"]["ME"] == pytest.approx(0.5)
    assert record["mistakes"]["ME"]["truth"]["missed"] == 1
    assert record["mistakes"]["ME"]["spotted"]["false alarm"] == 1
    assert record["boundary_ceiling"]["33"]["MaE"] == 1.0
    assert record["bootstrap"]["overall"]["low"] <= score(TRUTH, SPOTTED).overall.f1
    for part in PARTS:
        curve = [record["f1_by_t_eval"][f"{t_eval:.2f}"][part] for t_eval in T_EVALS]
        assert all(np.diff(curve) <= 0)
        assert curve[9] == score(TRUTH, SPOTTED)[part].f1
        assert 0 <= record["chance"][part]["f1"] <= record["chance"][part]["high"]
    assert record["tiling"]["MaE"]["seconds"] > 0.5
    json.dumps(record, allow_nan=False)


def test_what_is_not_known_about_videos_is_left_empty():
    record = recorded({})
    assert [record[name] for name in ("bootstrap", "fp_per_minute", "chance", "tiling")] == [None] * 4
    assert record["boundary_errors_ms"]["ME"]["onset"] == pytest.approx(2000 / 30)
    assert recorded({name: VideoFacts("s1") for name in "abc"})["bootstrap"] is not None
    text = details_text(record)
    assert "F1 at random places                        -         -         -" in text


def test_the_record_in_words():
    lines = details_text(recorded(VIDEOS)).splitlines()
    assert lines[0].split() == list(PARTS)
    cells = {line[:34].strip(): line[34:].split() for line in lines[1:]}
    assert cells["onset error, ms (median)"] == ["67", "0", "33"]
    assert cells["FP, false alarm"] == ["1", "0", "1"]
    assert cells["FN, missed"] == ["1", "0", "1"]
    assert cells["F1 at T_eval 0.50"] == ["0.500", "1.000", "0.667"]


def test_nothing_at_all_can_be_recorded():
    nothing = {"a": []}
    record = details(nothing, nothing, score(nothing, nothing), {"a": VIDEOS["a"]}, draws=10)
    assert record["boundary_errors_ms"] == dict.fromkeys(PARTS)
    assert record["tiling"]["ME"]["f1"] == 0.0
    json.dumps(record, allow_nan=False)
    details_text(record)


def test_intervals_outside_their_video_are_named():
    short = VIDEOS | {"a": VideoFacts("s1", 70, 30.0)}
    with pytest.raises(MetricError, match=r"spotted has 40\.\.70 in video a, which has frames 0\.\.69"):
        recorded(short)


def test_the_rule_in_words():
    assert rule_text("megc", 0.5, 30.0) == "profile megc, IoU at least 0.5"
    assert rule_text("abpn", 0.5, 30.0) == "profile abpn, IoU above 0.5"
    assert rule_text("qin", 0.25, 200.0).endswith("at least 0.25, 200 frames per second where not told")
