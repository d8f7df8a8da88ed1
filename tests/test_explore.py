"""The explorer without a browser: its numbers are those of the library, its words are true, its errors readable."""

import json
import re

import numpy as np
import pytest
from stored import METHODS, SETTINGS, people_videos, stored_scores, write_runs

from mespot_lib import explore, metrics, places, respot, runs, viz
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for method in METHODS:
        write_runs(folder, method)
    return folder


def folds_of(reports, method, chosen="all"):
    found, problems = explore.newest_runs(reports)
    assert not problems
    return explore.read_folds(found["toy", method], chosen)


@pytest.fixture
def page(reports, request):
    return explore.Explorer(folds_of(reports, getattr(request, "param", "zhang2020")))


def shown(page):
    """Return the table of counts as it is read: {"ME tp": 3.0, ...}."""
    cells = re.findall(r'data-cell="([^"]+)">([^<]+)<', page.numbers.value)
    return {name: float(value) for name, value in cells if "here" not in name}


def counted(page, changes, t_eval):
    spotted = respot.spot_again(page.folds, changes)
    score = metrics.score(respot.truth_of(page.folds), spotted, t_eval)
    names = ("tp", "fp", "fn", "precision", "recall", "f1")
    return {f"{part} {n}": round(getattr(score[part], n), 3) for part in metrics.PARTS for n in names}


# ---------------------------------------------------------------------------------------------------------------------
# Numbers


@pytest.mark.parametrize("page", METHODS, indirect=True)
def test_numbers_at_first_are_those_of_the_runs(page, reports):
    stored = [r for r in runs.read_results(reports) if r.record["method"] == page.folds[0].run.method]
    total = sum((r.score.overall for r in stored), metrics.Counts())
    assert (shown(page)["overall tp"], shown(page)["overall fp"]) == (total.tp, total.fp)
    assert page.state == "own"
    assert "as fitted on the training subjects" in page.said.value


@pytest.mark.parametrize("page", METHODS, indirect=True)
def test_every_slider_leads_to_the_numbers_of_the_library(page):
    """One after the other is moved to another value and stays there; numbers and views follow each."""
    changes, t_eval = {}, 0.5
    for name, slider in page.sliders.items():
        values = (
            [one for _, one in slider.options]
            if page.controls[name].numeric
            else list(page.controls[name].values)
        )
        slider.value = next(
            value for value in reversed(values[: max(2, len(values) // 2)]) if value != slider.value
        )
        value = None if slider.value == np.inf else slider.value
        t_eval = value if name == "t_eval" else t_eval
        changes |= {} if name == "t_eval" else {name: value}
        assert shown(page) == counted(page, changes, t_eval), name
        assert page.views.version == int(re.search(r'data-version="(\d+)"', page.numbers.value)[1])
        assert page.views.sweep["now"]["ME"]["tp"] == shown(page)["ME tp"]
        assert page.views.errors["count"] == sum(page.score[kind].tp for kind in ("ME", "MaE"))
    assert page.state == "hand"
    assert "no result" in page.said.value


def test_the_curve_over_a_setting_passes_through_what_is_shown(page):
    page.sliders["threshold_me_u"].value = 0.8
    view = page.views.sweep
    assert view["done"]
    assert view["name"] == "threshold ME, u"
    assert view["values"][view["at"]] == "0.8"
    assert view["parts"]["overall"][view["at"]] == view["now"]["overall"]
    page.sliders["t_nms"].value = 0.5  # another setting, another curve
    assert page.views.sweep["name"] == "T_nms"
    assert page.views.sweep["parts"]["ME"][page.views.sweep["at"]] == page.views.sweep["now"]["ME"]


def test_a_choice_of_words_leaves_the_curve_where_it_was(reports):
    page = explore.Explorer(folds_of(reports, "stsnet_sw"))
    page.sliders["post"].value = "raw"
    assert page.over in ("weight_me", "weight_mae")
    assert page.views.sweep["parts"]["ME"][page.views.sweep["at"]] == page.views.sweep["now"]["ME"]


def test_bars_are_the_intervals_of_the_shown_video(page):
    truth = respot.truth_of(page.folds)[page.uid]
    sides = [bar["side"] for bar in page.views.bars]
    assert sides.count("truth") == len(truth)
    assert sides.count("spotted") == len(page.spotted[page.uid])
    other = next(uid for uid in page.video.options if uid != page.uid)
    page.video.value = other
    assert [bar["side"] for bar in page.views.bars].count("spotted") == len(page.spotted[other])
    assert page.views.window == [0, 20.0]


def test_one_fold_or_all(reports):
    assert len(respot.facts_of(folds_of(reports, "zhang2020", "s01"))) == 2
    assert len(respot.facts_of(folds_of(reports, "zhang2020", "all"))) == 4
    assert len(respot.facts_of(folds_of(reports, "zhang2020", ""))) == 2
    with pytest.raises(respot.RespotError, match="no finished run of fold s77; there are s00, s01"):
        folds_of(reports, "zhang2020", "s77")


def test_of_two_runs_of_a_fold_the_last_is_taken(tmp_path):
    old, new = write_runs(tmp_path, "zhang2020")[0], write_runs(tmp_path / "b", "zhang2020", t_nms=0.5)[0]
    record = json.loads((new / "result.json").read_text())
    (new / "result.json").write_text(json.dumps(record | {"finished": "2021-01-01T00:00:00+00:00"}))
    new.rename(old.with_name("s00-ffffffffffff"))
    found, _ = explore.newest_runs(tmp_path)
    assert found["toy", "zhang2020"]["s00"].record["settings"]["spot"]["t_nms"] == 0.5


# ---------------------------------------------------------------------------------------------------------------------
# Buttons


def test_reset_goes_back_to_the_run(page):
    before = shown(page)
    page.sliders["threshold_me_u"].value = 2.0
    page.sliders["t_eval"].value = 0.9
    assert shown(page) != before
    page.buttons["own"].click()
    assert shown(page) == before
    assert (page.state, page.changes, page.t_eval) == ("own", {}, 0.5)
    assert page.sliders["threshold_me_u"].value == SETTINGS["zhang2020"]["threshold_me_u"]


@pytest.mark.parametrize("page", ["mesnet", "i3d_bifpn", "yap2022_3dcnn"], indirect=True)
def test_the_papers_values_are_set_where_it_prints_some(page):
    page.buttons["printed"].click()
    printed = respot.printed(page.folds[0].run.method)
    assert {
        name: value for name, value in printed.items() if SETTINGS[page.folds[0].run.method][name] != value
    } == (page.changes)
    assert shown(page) == counted(page, printed, 0.5)
    assert page.state == "printed"
    assert "paper's values" in page.said.value


def test_a_paper_without_values_has_no_button(page):
    assert page.buttons["printed"].disabled
    assert "prints none" in page.buttons["printed"].tooltip


@pytest.mark.parametrize("page", METHODS, indirect=True)
def test_the_oracle_is_called_an_oracle(page):
    fitted = shown(page)["overall f1"]
    page.buttons["oracle"].click()
    assert page.state == "oracle"
    assert shown(page)["overall f1"] >= fitted
    assert "ORACLE, no result" in page.said.value
    assert "nobody knows the truth" in page.said.value
    assert page.views.oracle
    assert "mespot-oracle" in page.widget._dom_classes
    name = next(name for name, control in page.controls.items() if control.numeric and name != "t_eval")
    slider = page.sliders[name]
    slider.value = next(one for _, one in slider.options if one != slider.value)
    assert not page.views.oracle
    assert "mespot-oracle" not in page.widget._dom_classes
    assert "no result" in page.said.value


# ---------------------------------------------------------------------------------------------------------------------
# Export


def notebook_parameters():
    return runs.notebook_parameters(places.repository_root() / "notebooks" / "70_threshold_explorer.ipynb")


@pytest.mark.parametrize("page", METHODS, indirect=True)
def test_an_export_shows_the_same_again(page, reports, tmp_path):
    """By the way papermill takes: a file of parameters, read as papermill reads it, into the notebook's own names."""
    from papermill.iorw import read_yaml_file

    page.buttons["oracle"].click()
    page.sliders["t_eval"].value = 0.35
    path = tmp_path / "parameters.yaml"
    path.write_text(explore.parameters_text(page.parameters()))
    given = read_yaml_file(str(path))
    assert given == page.parameters()
    assert set(given) <= set(notebook_parameters())
    again = explore.Explorer(folds_of(reports, given["method"], given["fold"]), video=given["video"])
    again.begin(given["changes"], given["t_eval"])
    assert shown(again) == shown(page)
    assert again.views.bars == page.views.bars
    assert again.state == "hand"


def test_figures_are_offered_as_svg_and_png(page):
    page.buttons["export"].click()
    links = re.findall(r'download="([^"]+)" href="data:([^;]+);base64,([^"]+)"', page.files.value)
    assert [(name.rsplit(".")[-1], form) for name, form, _ in links] == [
        ("yaml", "text/yaml"),
        ("svg", "image/svg+xml"),
        ("png", "image/png"),
    ]
    assert "papermill notebooks/70_threshold_explorer.ipynb" in page.files.value
    import base64

    _, svg, png = (base64.b64decode(data) for _, _, data in links)
    assert b"<svg" in svg
    assert png.startswith(b"\x89PNG")


# ---------------------------------------------------------------------------------------------------------------------
# Frames


def test_a_click_shows_frames_of_data_that_may_be_shown(page, monkeypatch):
    manifest = people_videos(2, 2, 600)
    monkeypatch.setattr(explore, "read_frame", lambda video, t, grey: np.full((64, 48, 3), 90, np.uint8))
    page.manifest = manifest
    bar = page.views.bars[0]
    page.views.picked = bar["id"]
    assert bar["says"].replace("&", "&amp;") in page.detail.value
    assert len(re.findall("<img ", page.detail.value)) == 3
    assert re.findall('alt="(onset|apex|middle|offset), frame', page.detail.value)[0] == "onset"
    assert "licence" not in page.detail.value


def test_faces_under_a_licence_stay_back(page, monkeypatch):
    manifest = people_videos(2, 2, 600)
    manifest.descriptor["publishable"] = False
    monkeypatch.delenv("MESPOT_SHOW_FACES", raising=False)
    picture = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    monkeypatch.setattr(explore, "read_frame", lambda video, t, grey: picture)
    passed = []
    monkeypatch.setattr(viz, "shown", lambda image, video: passed.append(video) or np.zeros_like(image))
    page.manifest = manifest
    page.views.picked = page.views.bars[0]["id"]
    assert len(passed) == 3, "every picture goes through the gate"
    assert "licence keeps these pictures back" in page.detail.value


def test_nothing_is_drawn_for_a_click(page, monkeypatch):
    asked = []

    def load(name, draw=True):
        asked.append(draw)
        raise DatasetError(f"{name} is not drawn yet; run `mespot synth {name}`")

    monkeypatch.setattr(explore, "load_dataset", load)
    page.views.picked = page.views.bars[0]["id"]
    assert asked == [False]
    assert "No frames: toy is not drawn yet" in page.detail.value


# ---------------------------------------------------------------------------------------------------------------------
# What can be wrong


def words_of(widget):
    """Return all text of a tree of widgets."""
    own = getattr(widget, "value", "")
    return (own if isinstance(own, str) else "") + "".join(
        words_of(one) for one in getattr(widget, "children", ())
    )


def test_no_run_at_all_is_said(tmp_path):
    words = words_of(explore.explorer(tmp_path))
    assert "No finished run in" in words
    assert "mespot sweep" in words


def test_a_damaged_run_is_listed_and_the_others_are_shown(tmp_path):
    one, _ = write_runs(tmp_path, "zhang2020")
    (one / "result.json").write_text("{")
    words = words_of(explore.explorer(tmp_path))
    assert "cannot be read" in words
    assert 'data-cell="ME tp"' in words


def test_scores_that_are_missing_are_said_in_the_page(tmp_path):
    one, _ = write_runs(tmp_path, "zhang2020")
    (one / "scores.npz").unlink()
    page = explore.explorer(tmp_path)
    assert "scores.npz is missing" in words_of(page)
    folds = page.children[0].children[2]
    folds.value = ("s01",)  # the other one is there
    assert 'data-cell="ME tp"' in words_of(page)
    assert "scores.npz is missing" not in words_of(page)


def test_an_unknown_setting_is_said_in_the_page(reports):
    words = words_of(explore.explorer(reports, method="mesnet", changes={"t_cmn": 0.5}))
    assert "mesnet has no setting t_cmn; it has t_cpn, t_crn, t_nms, stage" in words


def test_what_is_asked_for_is_shown_first(reports):
    page = explore.explorer(reports, "toy", "mesnet", "all", changes={"t_nms": 0.5}, t_eval=0.3)
    assert page.children[0].children[1].value == "mesnet"
    assert page.children[0].children[2].value == ("s00", "s01")
    assert "turned by hand" in words_of(page)
    page.children[0].children[1].value = "zhang2020"
    assert "as fitted on the training subjects" in words_of(page)


def test_what_is_left_is_closed(reports, monkeypatch):
    closed = []
    monkeypatch.setattr(explore.Explorer, "close", lambda one: closed.append(one))
    page = explore.explorer(reports, "toy", "zhang2020")
    page.children[0].children[2].value = ("s00", "s01")
    page.children[0].children[1].value = "mesnet"
    assert len(closed) >= 2
    monkeypatch.undo()
    inner = explore.Explorer(folds_of(reports, "zhang2020"))
    inner.close()
    assert inner.views.comm is None


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_video_and_a_method_that_proposes_nothing(method, tmp_path):
    """Nothing true, nothing spotted, nothing stored: an empty table, curves of nothing, and no error."""
    manifest = people_videos(1, 1, 600, quiet=True)
    full = stored_scores(method, [], 600, np.random.default_rng(0))
    empty = np.full_like(full, np.nan) if method in ("yap2022_3dcnn", "stsnet_sw") else full[:0]
    run = {"method": method, "dataset": "toy", "fold": "s00", "profile": "quick", "seed": 0}
    fold = respot.fold_of(manifest, {"toy/s00/v0": empty}, SETTINGS[method], runs.Run(**run))
    page = explore.Explorer([fold], manifest)
    assert page.views.bars == []
    assert set(shown(page).values()) == {0.0}
    json.dumps(page.views.scores, allow_nan=False)
    page.buttons["export"].click()
    assert "svg" in page.files.value


def test_a_setting_that_cannot_be_is_said(reports, monkeypatch):
    page = explore.Explorer(folds_of(reports, "yap2022_3dcnn"))
    before = page.numbers.value

    def refuse(*_):
        raise ValueError("low_pass_hz must lie below half the frame rate")

    monkeypatch.setattr(respot, "spot_again", refuse)
    page.sliders["low_pass_hz"].value = 8.0
    assert "below half the frame rate" in page.said.value
    assert page.numbers.value == before


def test_a_fold_just_scored_is_explored_in_its_notebook():
    manifest = people_videos(2, 1, 600)
    scores = {
        "toy/s00/v0": stored_scores("zhang2020", manifest.truth("toy/s00/v0"), 600, np.random.default_rng(1))
    }
    run = {"method": "zhang2020", "dataset": "toy", "fold": "s00", "profile": "quick", "seed": 0}
    widget = explore.explore_fold(manifest, scores, SETTINGS["zhang2020"], **run)
    assert 'data-cell="ME tp"' in words_of(widget)


@pytest.mark.parametrize("notebook", sorted(runs.NOTEBOOKS.values()))
def test_method_notebooks_end_with_the_explorer_switched_off(notebook):
    path = places.repository_root() / "notebooks" / f"{notebook}.ipynb"
    assert runs.notebook_parameters(path)["explore"] is False
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    last = [cell for cell in cells if cell["cell_type"] == "code"][-1]
    assert re.search(r"explore_fold\(manifest, \w+, fitted.settings\(\), \*\*run\)", "".join(last["source"]))
    assert last["outputs"] == []


# ---------------------------------------------------------------------------------------------------------------------
# Views


def test_curves_are_thinned_with_their_peaks_and_gaps():
    curve = np.zeros(7200)
    curve[3601], curve[:40] = 0.9, np.nan
    frames, values = explore._thinned(curve)
    assert len(values) <= explore._MOST_POINTS
    assert np.nanmax(values) == 0.9
    assert abs(frames[np.nanargmax(values)] - 3601) < 5
    assert np.isnan(values[:7]).all()


def test_errors_outside_the_histogram_count_at_its_ends():
    view = explore.errors_view(np.array([[-5000.0, 20.0], [30.0, 9000.0]]))
    assert view["onset"][0] == 1
    assert view["offset"][-1] == 1
    assert sum(view["onset"]) == sum(view["offset"]) == 2


def test_words_of_others_are_no_html():
    bar = respot.bars([Interval(0, 5, "ME")], [], 0.5)
    assert explore.bars_view(bar, 30.0)[0]["outcome"] == "missed"
    page = explore._html("mespot-problem", "")
    assert page == ""


@pytest.mark.slow
def test_the_notebook_shows_an_export_without_hands(page, reports, tmp_path):
    import papermill

    page.sliders["threshold_me_u"].value = 0.8
    given = page.parameters() | {"reports": str(reports)}
    path = places.repository_root() / "notebooks" / "70_threshold_explorer.ipynb"
    out = papermill.execute_notebook(str(path), str(tmp_path / "out.ipynb"), given, progress_bar=False)
    assert any(o.get("data", {}).get("image/jpeg") for cell in out.cells for o in cell.get("outputs", ()))
