"""The report of one video: complete, readable by anyone and anything, from one file, and without a face if asked."""

import json
import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser

import cv2
import filmed
import numpy as np
import pytest
from filmed import analysis

from mespot_lib import spot_page, strips, user_video
from mespot_lib.interval import Interval
from mespot_lib.spot_page import FILES, OutputError, reserved, write_results
from mespot_lib.user_video import Gap, analyse_video

pytestmark = pytest.mark.xdist_group("own_video")
OUTSIDE = r"""(?:src|href)=["']?(?!["']?(?:data:image/jpeg|#))|@import|url\((?!#)|<script|<link|<iframe"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An analysis of a drawn video, and the folder of its results."""
    root = tmp_path_factory.mktemp("written")
    images, _ = filmed.drawn()
    found = analyse_video(filmed.film(root / "clip.mp4", images), backend="cascade")
    with reserved(root / "out") as folder:
        write_results(found, folder)
    return found, root / "out"


def page_of(found, tmp_path, faces=False):
    (tmp_path / "page").mkdir(exist_ok=True)
    write_results(found, tmp_path / "page", faces)
    return (tmp_path / "page" / "report.html").read_text(encoding="utf-8")


class Balance(HTMLParser):
    """Collects elements that are closed without having been opened, and the reverse."""

    LEFT_OPEN = ("meta", "img", "li", "tr", "td", "th", "dt", "dd", "p", "html", "title", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.ids, self.targets = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [given["href"]] if tag == "a" else []
        if tag not in self.LEFT_OPEN:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.LEFT_OPEN:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


# ---------------------------------------------------------------------------------------------------------------------
# The page


def test_all_files_are_there_and_agree(written):
    _, folder = written
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    record = json.loads((folder / "settings.json").read_text())
    assert record["summary"]["ME"] == record["summary"]["MaE"] == 1
    assert record["versions"]["mespot"]
    assert record["settings"]["config"]["motion"]["size"]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert str(folder.parent) not in text + json.dumps(record)  # the page may be passed on
    assert text.count("<article") == 2
    assert text.count("data:image/jpeg") in (7, 8)  # motion that is large as it is, is not enlarged
    timeline = cv2.imread(str(folder / "timeline.png"))
    assert timeline.shape[1] > 1000


def test_the_page_is_sound_and_loads_nothing_from_outside(written):
    text = (written[1] / "report.html").read_text(encoding="utf-8")
    assert not re.findall(OUTSIDE, text)
    parsed = Balance(text)
    assert (parsed.open, parsed.wrong) == ([], [])
    assert {target.removeprefix("#") for target in parsed.targets} <= set(parsed.ids)
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", text))
    assert text.count('role="img" aria-label="') == text.count("<svg")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "currentColor" in text  # drawings have the colour of the text around them
    assert spot_page._INK not in text


def test_photos_show_the_face_and_the_strip_enlarges_its_motion(written):
    found, _ = written
    me = next(strip for strip in strips.strips(found, found.intervals) if strip.span.kind == "ME")
    onset, apex, offset = me.frames
    assert onset < apex < offset
    assert me.crops.shape == (3, 208, 208, 3)
    assert me.alpha > 1.5
    natural, enlarged = (
        float(np.abs(a.astype(int) - me.crops[0]).mean()) for a in (me.crops[1], me.magnified)
    )
    assert enlarged > 1.3 * natural


def test_names_and_reasons_are_escaped(tmp_path):
    made = analysis(media=analysis().media | {"name": "<b>x</b>.mp4"})
    text = page_of(made, tmp_path)
    assert "<b>x</b>" not in text
    assert "&lt;b&gt;x&lt;/b&gt;.mp4" in text


def test_the_page_says_what_was_not_seen(tmp_path):
    gaps = (Gap(90, 119, "no face"), Gap(130, 131, "cut"), Gap(250, 299, "unread"))
    text = page_of(analysis(gaps=gaps, read_until=250), tmp_path)
    for words in (
        "Reading stopped at 8.3 s",
        "no face was found",
        "a cut: another picture begins",
        "What was not seen",
    ):
        assert words in text
    csv = (tmp_path / "page" / "gaps.csv").read_text()
    assert csv.splitlines()[1] == "90,119,3.0,3.967,no face"
    assert json.loads((tmp_path / "page" / "settings.json").read_text())["summary"]["stopped_s"] == 8.333


def test_a_video_in_which_nothing_is_spotted_has_a_page_too(tmp_path):
    text = page_of(analysis(intervals=()), tmp_path)
    assert "Nothing was spotted" in text
    assert "One by one" not in text


def test_a_crowd_of_intervals_is_shown_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(spot_page, "MOST_STRIPS", 3)
    spans = tuple(Interval(20 * i, 20 * i + 9, "ME", 20 * i + 4, score=i) for i in range(1, 12))
    text = page_of(analysis(intervals=spans), tmp_path)
    assert "The 3 strongest of 11." in text
    assert re.findall(r'<article id="e(\d+)"', text) == ["9", "10", "11"]
    assert text.count("<tr class=") == 11


def test_pictures_that_have_gone_since_are_told(tmp_path):
    assert "could not be read a second time" in page_of(analysis(), tmp_path, faces=True)


def test_the_same_analysis_gives_the_same_page(tmp_path):
    assert page_of(analysis(), tmp_path) == page_of(analysis(), tmp_path)


def test_long_curves_are_drawn_with_few_points():
    from mespot_lib import viz

    seconds, curve = np.arange(36000) / 30, np.zeros(36000)
    curve[20_001] = 5
    few, shown = viz._envelope(seconds, curve)
    assert len(few) == len(shown) <= 1600
    assert shown.max() == 5


# ---------------------------------------------------------------------------------------------------------------------
# Without faces


def arrays(thing):
    if isinstance(thing, np.ndarray):
        yield thing
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from arrays(getattr(thing, field.name))
    elif isinstance(thing, tuple | list):
        for part in thing:
            yield from arrays(part)
    elif isinstance(thing, dict):
        yield from arrays(list(thing.values()))


def test_without_faces_no_pixel_is_in_any_file(written, tmp_path, monkeypatch):
    found, with_faces = written

    def refuse(*_, **__):
        raise AssertionError("the video is read again")

    monkeypatch.setattr(strips, "iter_frames", refuse)
    text = page_of(found, tmp_path)
    assert not re.search(r"data:|<img|<image|base64", text)
    assert text.count("<article") == 2
    # an analysis, all that the rest is made from, holds no pictures
    assert [a.dtype for a in arrays(found) if a.ndim >= 2 and a.dtype == np.uint8] == []
    assert (tmp_path / "page" / "timeline.png").read_bytes() == (with_faces / "timeline.png").read_bytes()
    assert json.loads((tmp_path / "page" / "settings.json").read_text())["settings"]["faces_shown"] is False


# ---------------------------------------------------------------------------------------------------------------------
# Nothing half-written


def test_an_error_leaves_nothing(tmp_path):
    def interrupted():
        with reserved(tmp_path / "out") as folder:
            (folder / "spotted.csv").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path):
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "report.html").write_text("half")
    with reserved(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_results_are_replaced_only_if_asked_and_other_files_never(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "spotted.csv").write_text("old")
    with pytest.raises(OutputError, match="not empty"), reserved(out):
        pass
    (out / "diary.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"diary\.txt, which is no result"), reserved(out, force=True):
        pass
    assert (out / "spotted.csv").read_text() == "old"
    (out / "diary.txt").unlink()
    with reserved(out, force=True) as folder:
        (folder / "gaps.csv").write_text("new")
    assert [path.name for path in out.iterdir()] == ["gaps.csv"]


def test_a_file_is_no_folder_and_two_processes_do_not_write_the_same(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="is a file"), reserved(tmp_path / "out", force=True):
        pass
    with (
        reserved(tmp_path / "two"),
        pytest.raises(OutputError, match="another process"),
        reserved(tmp_path / "two"),
    ):
        pass


# ---------------------------------------------------------------------------------------------------------------------
# From near


def test_movements_are_named_as_they_are_seen():
    made = analysis()
    me, mae = made.intervals
    (brow,) = strips.strongest_movements(made, me)
    assert (brow.place, brow.direction, brow.row) == ("left brow", "down", 0)
    assert brow.shift_u == pytest.approx((0, 2), abs=1e-5)
    (corner,) = strips.strongest_movements(made, mae)
    assert (corner.place, corner.direction) == ("left mouth corner", "outwards")
    assert strips.strongest_movements(made, Interval(220, 240, "ME")) == []


@pytest.mark.parametrize(
    ("place", "shift", "words"),
    [
        ("left brow", (1, 0), "inwards"),
        ("right brow", (1, 0), "outwards"),
        ("right mouth corner", (1, -1), "up and outwards"),
        ("upper lip", (-1, 0.1), "to the left"),
        ("lower lip", (0.1, 1), "down"),
    ],
)
def test_directions_are_those_of_a_face(place, shift, words):
    assert strips._direction(place, np.array(shift)) == words


def test_a_known_motion_is_enlarged_as_stated():
    rng = np.random.default_rng(0)
    still = cv2.GaussianBlur(rng.integers(0, 255, (208, 208), dtype=np.uint8), (0, 0), 2)
    still = cv2.cvtColor(cv2.normalize(still, None, 0, 255, cv2.NORM_MINMAX), cv2.COLOR_GRAY2BGR)
    per_u = 208 / 256
    landmarks = (filmed.MEAN_FACE * per_u + (104, 60)).astype(np.float32)
    y, x = np.mgrid[0:208, 0:208].astype(np.float32)
    mouth = landmarks[51]
    bump = np.exp(-((x - mouth[0]) ** 2 + (y - mouth[1]) ** 2) / (2 * 22**2))
    apex = cv2.remap(still, x, y + 1.2 * bump, cv2.INTER_LINEAR)  # 1.2 px up at the lip
    magnified, alpha = strips.magnified(still, apex, landmarks)
    assert 4 < alpha <= strips.LARGEST_ALPHA
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (still, magnified)]
    flow = strips.dense_flow(*grey)
    lip = flow[int(mouth[1]) - 4 : int(mouth[1]) + 5, int(mouth[0]) - 4 : int(mouth[0]) + 5].mean(axis=(0, 1))
    assert lip[1] == pytest.approx(-1.2 * alpha, rel=0.25)
    assert abs(lip[0]) < 0.8
    assert (magnified[:12, :12] == still[:12, :12]).all()  # outside the face nothing moves


def test_nothing_moves_where_nothing_moved():
    still = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 255, (128, 128, 3), dtype=np.uint8), (0, 0), 2
    )
    landmarks = (filmed.MEAN_FACE * 0.5 + (64, 48)).astype(np.float32)
    magnified, alpha = strips.magnified(still, still, landmarks)
    assert alpha == strips.LARGEST_ALPHA
    assert np.abs(magnified.astype(int) - still).max() <= 1


def test_a_caricature_moves_the_lines_where_the_regions_move():
    made = analysis()
    span = made.intervals[0]
    at_rest, drawn = strips.caricature(made, span, span.apex, alpha=3.0)
    moved = np.linalg.norm(drawn - at_rest, axis=1)
    assert moved[18] == pytest.approx(6, rel=0.25)
    assert moved[[24, 54, 8]].max() < 0.1
    assert np.allclose(*strips.caricature(made, span, span.onset, 3.0))
    assert strips.drawn_alpha(made, span) == strips.LARGEST_ALPHA
    assert strips.drawn_alpha(made, made.intervals[1]) == pytest.approx(strips.DRAWN_U / 6)


def test_times_are_written_as_on_a_clock():
    assert spot_page._clock(0.04, 2) == "0:00.04"
    assert spot_page._clock(59.999, 2) == "1:00.00"
    assert spot_page._clock(1205, 0) == "20:05"


def test_regions_that_are_unknown_break_no_page(tmp_path):
    shifts = np.full_like(analysis().curves.shifts, np.nan)
    made = analysis(curves=analysis().curves._replace(shifts=shifts))
    assert "Moves most: unknown." in page_of(replace(made), tmp_path)
    assert user_video.doubts(made, made.intervals[0]) == []
