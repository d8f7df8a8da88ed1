"""Labels of wrong intervals: a drawing for each, and that none is lost."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.interval import KINDS, Interval
from mespot_lib.metrics import MetricError, score
from mespot_lib.mistakes import LABELS, mistakes, tally


def intervals(kind, line):
    return [Interval(m.start(), m.end() - 1, kind) for m in re.finditer(r"\[=*]|\|", line)]


def labels(truth, spotted, truth_kind="ME", spotted_kind="ME"):
    """Labels of the spotted and of the true intervals of a drawing, in order of time."""
    found = mistakes({"a": intervals(truth_kind, truth)}, {"a": intervals(spotted_kind, spotted)})
    return tuple([one.label for one in found if one.side == side] for side in ("spotted", "truth"))


@pytest.mark.parametrize(
    ("truth", "spotted", "of_spotted", "of_truth"),
    [
        ("..[====]....", "..[====]....", [], []),
        ("..[====]....", "............", [], ["missed"]),
        ("............", "..[====]....", ["false alarm"], []),
        ("..[====]....", ".........[=]", ["false alarm"], ["missed"]),
        ("..[====]....", "[==========]", [], []),
        ("....[=]...........", "[================]", ["too long"], ["too long"]),
        ("[================]", "....[=]...........", ["too short"], ["too short"]),
        ("..[======]......", ".......[======].", ["shifted"], ["shifted"]),
        ("[===========]", "[==].[==]....", ["split", "split"], ["split"]),
        ("[=]...[=]...[=]", "[=============]", ["merged"], ["merged"] * 3),
        (
            "..[===========]",
            "[==]..[=]......",
            ["split", "split"],
            ["split"],
        ),  # half of the first lies inside
    ],
)
def test_label(truth, spotted, of_spotted, of_truth):
    assert labels(truth, spotted) == (of_spotted, of_truth)


def test_a_second_interval_on_a_found_one_is_a_duplicate():
    truth = {"a": [Interval(0, 9, "ME")]}
    hit, within = Interval(0, 9, "ME"), Interval(6, 8, "ME")
    for second in (Interval(1, 9, "ME"), within):  # one hits as well, one lies inside
        found = mistakes(truth, {"a": [hit, second]})
        assert [(one.side, one.label) for one in found] == [("spotted", "duplicate")]


def test_wrong_type_is_told_on_both_sides():
    assert labels("..[====]..", "..[====]..", "ME", "MaE") == (["wrong type"], ["wrong type"])
    # an overlap that would be no hit is none
    assert labels("..[====]..........", "[================]", "ME", "MaE") == (["false alarm"], ["missed"])


def test_a_true_interval_hit_by_one_that_found_another_is_merged():
    truth = {"a": [Interval(2, 8, "MaE"), Interval(4, 10, "MaE")]}
    found = mistakes(truth, {"a": [Interval(3, 9, "MaE")]})
    assert [(one.side, one.label) for one in found] == [("truth", "merged")]


@st.composite
def spans(draw):
    ends = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 12)), max_size=5))
    return [Interval(on, on + more, draw(st.sampled_from(KINDS))) for on, more in ends]


@settings(max_examples=200)
@given(spans(), spans(), st.sampled_from([0.2, 0.5, 0.8]))
def test_every_wrong_interval_has_one_label(truth, spotted, t_eval):
    result = score({"a": truth}, {"a": spotted}, t_eval)
    times = tally(mistakes({"a": truth}, {"a": spotted}, t_eval))
    for kind in KINDS:
        assert sum(times[kind]["spotted"].values()) == result[kind].fp
        assert sum(times[kind]["truth"].values()) == result[kind].fn
        assert {side: tuple(times[kind][side]) for side in times[kind]} == LABELS


def test_videos_on_one_side_are_named_or_counted():
    truth = {"a": [Interval(0, 9, "ME")], "b": []}
    with pytest.raises(MetricError, match="only truth has video b"):
        mistakes(truth, {"a": []})
    assert [one.video for one in mistakes(truth, {"b": [Interval(3, 4, "ME")]}, allow_missing=True)] == [
        "a",
        "b",
    ]
