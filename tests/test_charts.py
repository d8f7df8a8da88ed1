"""What the drawings of finished runs show."""

import itertools

import numpy as np
import pytest
from finished import TRUE, finish, many
from matplotlib.figure import Figure

from mespot_lib import charts, comparison, report, runs
from mespot_lib.ranks import Ranking

PEOPLE = ["s01", "s02", "s03"]


@pytest.fixture
def ax():
    return Figure(figsize=(8, 4)).subplots()


def texts(ax):
    return [text.get_text() for text in ax.texts]


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.fixture
def pooled(tmp_path):
    for i, fold in enumerate(PEOPLE):
        finish(tmp_path, PEOPLE, fold, TRUE[: 4 - i], method="rich")
        finish(tmp_path, PEOPLE, fold, TRUE[: 2 - i], method="poor")
        finish(tmp_path, PEOPLE, fold, TRUE[:1], method="mesnet")
    finish(tmp_path, PEOPLE, "s01", TRUE, method="short")
    return report.pool_results(runs.read_results(tmp_path))


def test_names_lose_a_size_that_all_have():
    assert charts.short_names(["a (quick)", "b (quick)"]) == ["a", "b"]
    assert charts.short_names(["a (quick)", "a (paper)"]) == ["a (quick)", "a (paper)"]
    assert charts.short_names([]) == []


def test_strips_have_a_dot_for_every_subject_and_say_what_is_missing(ax, pooled):
    charts.draw_strips(ax, pooled, "overall")
    dots = [np.sort(one.get_offsets()[:, 0].data) for one in ax.collections if hasattr(one, "get_sizes")]
    rich = next(one for one in pooled if one.record["method"] == "rich")
    drawn = next(x for x in dots if len(x) == 3 and x.max() == 1)
    assert drawn == pytest.approx(sorted(s.overall.f1 for s in rich.subjects.values()))
    assert labels(ax) == ["mesnet", "poor", "rich", "short\n1 of 3 folds"]
    assert texts(ax) == ["looks for ME alone"]


def test_leads_are_hollow_where_zero_is_in_the_interval(ax):
    rows = [
        {"first": "a (quick)", "second": f"{name} (quick)", "kind": "ME", "difference": 0.2, "ci_low": low}
        | {"ci_high": 0.4, "subjects": some, "of_subjects": 6}
        for name, low, some in (("b", 0.1, 6), ("c", -0.1, 6), ("d", None, 1))
    ]
    charts.draw_differences(ax, rows)
    assert labels(ax) == ["a - b", "a - c", "a - d (1 subjects)"]
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert faces == [charts.COLOURS["ME"], "white", "white"]
    assert len([line for line in ax.lines if line.get_marker() == "None"]) == 3  # two intervals and the zero


@pytest.mark.parametrize("k", [2, 3, 6, 12])
def test_the_diagram_names_every_method_once_with_its_rank(ax, k):
    scores = np.random.default_rng(k).random((9, k))
    ranking = Ranking([f"m{i} (quick)" for i in range(k)], [f"s{i}" for i in range(9)], scores)
    charts.draw_ranking(ax, ranking)
    written = [text.strip() for text in texts(ax)]
    for i, name in enumerate(charts.short_names(ranking.names)):
        assert f"{name}  {ranking.average[i]:.2f}" in written
    assert f"CD = {ranking.distance:.2f}" in written
    bars = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 4]
    assert [(bar[0], bar[1]) for bar in bars] == [
        (pytest.approx(ranking.average[g[0]] - 0.03), pytest.approx(ranking.average[g[-1]] + 0.03))
        for g in ranking.groups
    ]


def test_names_beside_the_line_do_not_lie_on_each_other(ax):
    ranking = Ranking([f"m{i}" for i in range(7)], ["s"], np.arange(7.0)[None])
    charts.draw_ranking(ax, ranking)
    places = [text.get_position() for text in ax.texts if "m" in text.get_text()]
    assert len(set(places)) == len(places) == 7


def test_costs_are_drawn_for_what_is_known(ax, pooled):
    rows = report.cost_rows(pooled)
    charts.draw_costs(ax, rows)
    assert sorted(texts(ax)) == ["mesnet (ME)", "poor", "rich", "short, 1 of 3 folds"]
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_ydata()[0] for line in hollow] == [rows[0]["f1_ME"]]
    none = [row | {"peak_memory_mb": None} for row in rows]
    assert not charts.draw_costs(Figure().subplots(), none, "peak_memory_mb").lines


@pytest.mark.parametrize("values", [[0.1, 0.11, 0.12], [0.97, 0.98, 0.99], [0.2, 0.9], []])
def test_labels_are_moved_apart_and_stay_inside(values):
    moved = charts._apart(values, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(moved))
    assert all(0 <= value <= 1 for value in moved)


def test_claims_stand_on_axes_of_their_own(tmp_path):
    for fold in PEOPLE:
        finish(tmp_path, PEOPLE, fold, TRUE, method="zhang2020", dataset="synthetic_casme2")
    rows = comparison.beside_claims(report.rows(runs.read_results(tmp_path)))
    ours, theirs = Figure().subplots(1, 2)
    charts.draw_claims(ours, theirs, rows)
    assert "synthetic" in ours.get_title(loc="left") or "synthetic" in ours.get_title()
    drawn = [[line.get_xdata()[0] for line in ax.lines if line.get_marker() in "oD"] for ax in (ours, theirs)]
    assert drawn == [[row["f1"] for row in rows], [row["claimed"] for row in rows]]


def test_found_draws_every_interval(ax, tmp_path):
    many(tmp_path, methods=1, people=3)
    (one,) = report.pool_results(runs.read_results(tmp_path))
    charts.draw_found(ax, one, sorted(one.truth)[:2])
    spans = sum(len(side[video]) for side in (one.truth, one.spotted) for video in sorted(one.truth)[:2])
    assert len(ax.patches) == spans


def test_a_shown_figure_is_a_small_png_and_closed(monkeypatch):
    import IPython.display
    import matplotlib.pyplot as plt

    given = []
    monkeypatch.setattr(IPython.display, "display", given.append)
    figure, ax = plt.subplots(figsize=(6, 3))
    ax.plot(np.random.default_rng(0).random(50))
    charts.show(figure)
    assert given[0].data[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(given[0].data) < 20_000
    assert not plt.fignum_exists(figure.number)
