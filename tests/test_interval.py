"""Interval arithmetic and the table of intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot_lib.interval import (
    Interval,
    IntervalError,
    as_array,
    intersection,
    iou,
    iou_matrix,
    merge,
    read_intervals,
    union,
    write_intervals,
)

frame = st.integers(0, 60)
kind = st.sampled_from(["ME", "MaE"])
score = st.floats(0, 1)


@st.composite
def intervals(draw):
    onset, offset = sorted((draw(frame), draw(frame)))
    return Interval(onset, offset, draw(kind), draw(st.none() | frame), draw(score))


def test_both_ends_count():
    assert Interval(3, 7, "ME").length == 5
    assert Interval(3, 3, "MaE").length == 1


@given(intervals(), intervals())
def test_iou_is_that_of_frame_sets(first, second):
    a, b = (set(range(span.onset, span.offset + 1)) for span in (first, second))
    assert intersection(first, second) == len(a & b)
    assert union(first, second) == len(a | b)
    assert iou(first, second) == len(a & b) / len(a | b)


@given(st.lists(intervals(), max_size=6), st.lists(intervals(), max_size=6))
def test_matrix_equals_pairs(first, second):
    expected = np.array([[iou(a, b) for b in second] for a in first]).reshape(len(first), len(second))
    np.testing.assert_array_equal(iou_matrix(first, second), expected)


def test_merge_spans_both_and_keeps_the_stronger():
    weak, strong = Interval(0, 9, "ME", apex=4, score=0.2), Interval(5, 7, "ME", apex=6, score=0.9)
    assert merge(weak, strong) == merge(strong, weak) == Interval(0, 9, "ME", apex=6, score=0.9)
    strong, weak = Interval(0, 9, "ME", apex=4, score=0.9), Interval(5, 12, "MaE", apex=6, score=0.2)
    assert merge(weak, strong) == merge(strong, weak) == Interval(0, 12, "ME", apex=4, score=0.9)
    early, late = Interval(0, 9, "ME", apex=4, score=0.5), Interval(5, 12, "MaE", apex=6, score=0.5)
    assert merge(late, early) == Interval(0, 12, "ME", apex=4, score=0.5)


def test_sorting_is_chronological_and_copes_with_unknown_apex():
    late, early, known = Interval(5, 9, "ME"), Interval(2, 9, "MaE"), Interval(5, 9, "ME", apex=6)
    assert sorted([known, late, early]) == [early, late, known]
    assert not known < known


def test_numpy_frames_become_plain_integers():
    span = Interval(np.int64(1), np.int32(4), "ME", np.int64(2), np.float32(0.5))
    assert [type(value) for value in (span.onset, span.offset, span.apex, span.score)] == [
        int,
        int,
        int,
        float,
    ]
    assert as_array([span]).tolist() == [[1, 4]]
    assert as_array([]).shape == (0, 2)
    assert as_array([]).dtype == as_array([span]).dtype == np.int64


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((5, 3, "ME"), "onset 5 comes after offset 3"),
        ((1, 3, "micro"), "kind 'micro' is unknown; it must be one of ME, MaE$"),
        ((1.5, 3, "ME"), "^onset must be a whole frame number, got 1.5"),
        ((1, 3.5, "ME"), "^offset must be a whole frame number, got 3.5"),
        ((1, 3, "ME", "2"), "^apex must be a whole frame number, got '2'"),
    ],
)
def test_impossible_intervals_are_refused(arguments, rule):
    with pytest.raises(IntervalError, match=rule):
        Interval(*arguments)


@given(st.dictionaries(st.sampled_from(["a", "b,1", 'c "x"', "ü"]), st.lists(intervals(), max_size=4)))
def test_table_round_trip(tmp_path_factory, table):
    table = {
        video: sorted({(s.onset, s.offset, s.kind): s for s in spans}.values())
        for video, spans in table.items()
    }
    path = tmp_path_factory.mktemp("intervals") / "table.csv"
    write_intervals(path, table)
    assert read_intervals(path) == table


def test_video_without_interval_is_a_row_of_its_own(tmp_path):
    path = tmp_path / "spotted.csv"
    write_intervals(path, {"quiet": [], "busy": [Interval(1, 2, "ME")]})
    assert path.read_bytes() == b"video,kind,onset,offset,apex,score\nbusy,ME,1,2,,1.0\nquiet,,,,,\n"
    path.write_text("video,kind,onset,offset\nquiet,,,\nbusy,ME,1,2\n", encoding="utf-8")
    assert read_intervals(path) == {"quiet": [], "busy": [Interval(1, 2, "ME")]}


HEADER = b"video,kind,onset,offset\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; its first row must be video,kind,onset,offset"),
        (b" \n\n", "the file is empty"),
        (b"video,kind,onset\na,ME,1\n", "row 1: column offset is missing; found video, kind, onset"),
        (b"video,kind\n", "row 1: column onset, offset is missing"),
        (b"a;b,kind\n", "row 1: column video, onset, offset is missing"),
        (b"video,kind,onset,offset,onset,kind\n", "row 1: column kind, onset stands twice"),
        (b"video;kind;onset;offset\na;ME;1;2\n", "row 1: columns are separated by semicolons"),
        (HEADER + b"a,ME,1,2\na,ME,x,9\n", "row 3: onset must be a whole frame number, got 'x'"),
        (HEADER + b"a,ME,1,2.5\n", "row 2: offset must be a whole frame number, got '2.5'"),
        (b"video,kind,onset,offset,apex\na,ME,1,9,x\n", "row 2: apex must be a whole frame number, got 'x'"),
        (
            b"video,kind,onset,offset,score\na,ME,1,9,high\n",
            "row 2: score must be a finite number, got 'high'",
        ),
        (HEADER + b"a,ME,1_0,20\n", "row 2: onset must be a whole frame number, got '1_0'"),
        (HEADER + b"a,ME,,9\n", "row 2: onset must be a whole frame number, got ''"),
        (HEADER + b"a,ME,9,3\n", "row 2: onset 9 comes after offset 3"),
        (HEADER + b"a,micro,1,3\n", "row 2: kind 'micro' is unknown"),
        (HEADER + b"a,,1,3\n", "row 2: kind '' is unknown"),
        (HEADER + b",ME,1,3\n", "row 2: the video is not named"),
        (HEADER + b"a,ME,1\n", "row 2: 3 cells where the first row has 4"),
        (HEADER + b"a,ME,1,2\nb,ME,1,2\na,ME,1,2\n", "row 4: the same interval stands in row 2"),
        (b"video,kind,onset,offset,score\na,ME,1,2,nan\n", "row 2: score must be a finite number, got 'nan'"),
        (HEADER + b'"a,ME,1,2\n', "not valid CSV"),
        (b"\xff\xfe\x00v", "not a UTF-8 text file"),
    ],
)
def test_malformed_files_name_file_row_and_rule(tmp_path, content, message):
    path = tmp_path / "spotted.csv"
    path.write_bytes(content)
    with pytest.raises(IntervalError) as error:
        read_intervals(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(IntervalError, match="no such file"):
        read_intervals(tmp_path / "none.csv")
    with pytest.raises(IntervalError, match="cannot be read"):
        read_intervals(tmp_path)


def test_files_saved_by_spreadsheets_are_read(tmp_path):
    path = tmp_path / "spotted.csv"
    path.write_bytes(
        "\ufeffvideo,kind,onset,offset,note\r\n a , ME,1,2,x\r\n\r\n,,,,\r\nb,ME,3,4,\r\n".encode()
    )
    assert read_intervals(path) == {"a": [Interval(1, 2, "ME")], "b": [Interval(3, 4, "ME")]}


def test_writing_refuses_what_reading_would_refuse(tmp_path):
    twice = [Interval(1, 2, "ME", score=0.3), Interval(1, 2, "ME", score=0.4)]
    with pytest.raises(IntervalError, match=r"video a: ME 1\.\.2 stands twice"):
        write_intervals(tmp_path / "spotted.csv", {"a": twice})
