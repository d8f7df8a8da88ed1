"""Figures say what the numbers say, and show no face that a licence keeps back."""

import cv2
import matplotlib
import numpy as np
import pytest

from mespot_lib import viz
from mespot_lib.face import MEAN_FACE, face_matrix
from mespot_lib.features.regions import NAMES
from mespot_lib.interval import Interval
from mespot_lib.manifest import Video

matplotlib.use("Agg")
plt = matplotlib.pyplot


def video(tmp_path, publishable: bool) -> Video:
    return Video("d/s/v", "d", "s", "v", tmp_path, "frames", 30.0, 1, 9, publishable=publishable)


@pytest.fixture
def face():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 255, (120, 120, 3)).astype(np.uint8), (0, 0), 1.5)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def pictures(fig) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for ax in fig.axes for image in ax.images]


def draw_all(face, clip):
    landmarks = np.random.default_rng(1).uniform(20, 100, (68, 2)).astype(np.float32)
    fig, axes = plt.subplots(1, 7)
    viz.contact_sheet(axes[:4], [face, face[::-1], face], clip, ["a", "b", "c"])
    viz.draw_regions(axes[4], face, clip, landmarks)
    viz.draw_flow(axes[5], face, clip, np.ones((120, 120, 2), dtype=np.float32))
    viz.draw_landmarks(axes[6], face, clip, {"exact": landmarks})
    return pictures(fig)


def test_licensed_faces_are_lines_in_every_picture(face, tmp_path, monkeypatch):
    monkeypatch.delenv("MESPOT_SHOW_FACES", raising=False)
    licensed, free = (video(tmp_path, publishable=may) for may in (False, True))
    for one, other in zip(draw_all(face, licensed), draw_all(255 - face, licensed), strict=True):
        assert (one == other).all()  # whatever the pixels are
    pictures = zip(draw_all(face, free), draw_all(255 - face, free), strict=True)
    assert not any((one == other).all() for one, other in pictures)


def test_what_is_kept_back_shows_where_the_landmarks_are(face, tmp_path, monkeypatch):
    monkeypatch.delenv("MESPOT_SHOW_FACES", raising=False)
    landmarks = np.random.default_rng(1).uniform(20, 100, (68, 2)).astype(np.float32)
    drawing = viz.shown(face, video(tmp_path, publishable=False), landmarks)
    x, y = np.round(landmarks).astype(int).T
    assert (drawing[y, x] > 150).all()
    assert (drawing == viz.shown(255 - face, video(tmp_path, publishable=False), landmarks)).all()
    assert (viz.shown(face, video(tmp_path, publishable=False)) == 96).all()  # noise: no face, no lines


def test_who_holds_the_licence_may_look(face, tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_SHOW_FACES", "1")
    assert viz.shown(face, video(tmp_path, publishable=False)) is face


def test_the_timeline_colours_hits_and_false_alarms_and_hatches_what_is_missed():
    truth = [Interval(10, 19, "ME"), Interval(50, 89, "MaE")]
    spotted = [Interval(10, 19, "ME"), Interval(100, 120, "MaE")]
    _, ax = plt.subplots()
    viz.draw_timeline(ax, truth, spotted, fps=30, length=150)
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colours.count(viz.HIT) == 1
    assert colours.count(viz.FALSE) == 1
    assert [bool(bar.get_hatch()) for bar in ax.patches].count(True) == 1


def test_a_short_expression_stays_visible_in_a_long_video():
    _, ax = plt.subplots()
    viz.draw_timeline(ax, [Interval(10, 14, "ME")], [], fps=30, length=30 * 60 * 10)
    assert ax.patches[0].get_width() >= 600 / 300


def test_votes_are_drawn_at_their_place_and_time():
    votes = np.zeros((100, len(NAMES)))
    votes[50, 3] = 2.0
    _, ax = plt.subplots()
    viz.draw_votes(ax, np.arange(100), votes, fps=10, high=2.0, title="votes")
    image = ax.images[0]
    assert np.argwhere(image.get_array() == 2.0).tolist() == [[3, 50]]
    assert image.get_extent()[:2] == pytest.approx([0, 9.9])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(NAMES)


def test_landmarks_of_every_source_are_drawn_where_they_are(face, tmp_path):
    rng = np.random.default_rng(2)
    found = {name: rng.uniform(0, 119, (68, 2)) for name in ("exact", "cascade")}
    _, ax = plt.subplots()
    viz.draw_landmarks(ax, face, video(tmp_path, publishable=True), found)
    drawn = {dots.get_label(): dots.get_offsets() for dots in ax.collections}
    assert drawn.keys() == found.keys()
    np.testing.assert_allclose(drawn["cascade"], found["cascade"])


def test_the_outline_of_a_crop_is_where_the_crop_was_cut_out():
    matrix = face_matrix(2 * MEAN_FACE + (300, 200), 64)
    _, ax = plt.subplots()
    viz.outline_crop(ax, matrix, 64)
    corners = ax.lines[0].get_xydata()
    np.testing.assert_allclose(corners[0] + 512, corners[2], atol=0.01)  # 256 u of 2 px
    np.testing.assert_allclose(
        corners[[0, 2]].mean(axis=0), (300, 200 + 2 * 32), atol=1
    )  # eyes 96 u below the top


def test_the_bias_of_a_readout_is_the_readout_less_the_truth():
    true, read = np.array([1.0, 2.0]), np.array([0.9, 2.2])
    _, axes = plt.subplots(1, 2)
    viz.draw_readout(axes[0], {"dis": (true, read, np.array([0.1, 0.1]))})
    viz.draw_readout(axes[1], {"dis": (true, read)}, bias=True)
    (plain, *_), (bias, *_) = (ax.containers[0].lines for ax in axes)
    np.testing.assert_allclose(plain.get_ydata(), read)
    np.testing.assert_allclose(bias.get_ydata(), [-0.1, 0.2])


def test_paths_are_drawn_over_seconds():
    _, ax = plt.subplots()
    viz.draw_paths(
        ax, np.arange(30, 60, 2), {"head": np.zeros(15), "exact": np.ones(15), "brow": np.arange(15)}, fps=10
    )
    np.testing.assert_allclose(ax.lines[2].get_xdata()[[0, -1]], (3.0, 5.8))
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-"]


def test_durations_stand_beside_what_is_published():
    seconds = [11 / 30] * 3 + [12 / 30]
    _, axes = plt.subplots(1, 2)
    viz.draw_durations(axes[0], seconds, "ME", {"duration_median_s": 0.4})
    viz.draw_durations(axes[1], seconds, "ME", {"duration_mean_s": 0.4, "duration_sd_s": 0.1})
    heights = [bar.get_height() for bar in axes[0].patches]
    assert sorted(heights)[-2:] == [1, 3]  # every number of frames has a bar of its own
    assert axes[0].lines[0].get_xdata()[0] == 0.4
    band = axes[1].patches[-1].get_extents().transformed(axes[1].transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((0.3, 0.5))


def test_a_field_has_the_asked_scale():
    fig, ax = plt.subplots()
    viz.draw_field(ax, np.eye(8), "px", high=3.0)
    assert ax.images[0].get_clim() == (0, 3)
    assert fig.axes[1].get_ylabel() == "px"


def test_names_of_variants_are_wrapped_and_the_legend_lies_above_every_bar():
    fig, ax = plt.subplots(figsize=(9, 3.5))
    f1 = {"ME": 1.0, "MaE": 1.0, "overall": 1.0}
    names = ("K = 9, M = 5", "equation (4) as printed", "head left in,\nrefitted", *map(str, range(7)))
    viz.draw_comparison(ax, dict.fromkeys(names, f1), chance=0.1)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels[:3] == ["K = 9, M = 5", "equation (4)\nas printed", "head left\nin,\nrefitted"]
    fig.canvas.draw()
    legend = ax.get_legend().get_window_extent().y0
    assert max(text.get_window_extent().y1 for text in ax.texts) <= legend


def test_colours_of_lines_keep_apart_for_colour_blind_readers():
    """Simulated after Viénot et al. 1999: no two colours of the cycle fall together for want of one kind of cones."""
    srgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in viz.COLOURS]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    protan = [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]
    deutan = [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]
    for seen in (np.eye(3), np.array(protan), np.array(deutan)):
        light = np.clip(linear @ seen.T, 0, 1)
        lab = cv2.cvtColor(np.float32(light ** (1 / 2.4))[None], cv2.COLOR_RGB2LAB)[0]
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)[np.triu_indices(len(lab), 1)]
        assert apart.min() > 15
