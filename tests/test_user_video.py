"""A video of one's own from file to intervals: what is found, what is flagged, what is refused."""

import subprocess
import sys
from dataclasses import replace

import filmed
import numpy as np
import pytest
from filmed import FPS, analysis

import mespot_lib
from mespot_lib import metrics, user_video
from mespot_lib.face import NoFaceError
from mespot_lib.interval import Interval, iou, read_intervals
from mespot_lib.manifest import DatasetError
from mespot_lib.user_video import Gap, UserVideoError, analyse_video, doubts, remarks

pytestmark = pytest.mark.xdist_group("own_video")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def found(folder):
    images, _ = filmed.drawn()
    return analyse_video(filmed.film(folder / "clip.mp4", images), backend="cascade")


# ---------------------------------------------------------------------------------------------------------------------
# End to end


def test_planted_expressions_are_spotted_in_time(found):
    _, truth = filmed.drawn()
    assert metrics.score({"x": truth}, {"x": list(found.intervals)}).overall.f1 == 1.0
    for true, spotted in zip(truth, found.intervals, strict=True):
        assert iou(true, spotted) > 0.6
        assert abs(true.apex - spotted.apex) <= 3
    assert min(found.strengths) >= 1
    assert found.gaps == ()
    assert found.fault_s is None
    assert remarks(found) == []


def test_the_same_video_is_spotted_by_the_baseline(folder):
    _, truth = filmed.drawn()
    images, _ = filmed.drawn()
    path = filmed.film(folder / "again.mp4", images)
    found = analyse_video(path, method="zhang2020", backend="cascade")
    spotted = list(found.intervals)
    assert min(found.strengths) >= 1
    assert metrics.score({"x": truth}, {"x": spotted}).overall.recall == 1.0


def test_scenes_without_a_face_and_cuts_are_flagged_and_spot_nothing(folder):
    images, truth = filmed.drawn()
    rest = images[: truth[0].onset][:40]
    shots = [*rest, *filmed.wall(40), *rest, *map(filmed.mirrored, rest)]
    found = analyse_video(filmed.film(folder / "shots.mp4", shots), backend="cascade")
    n = len(rest)
    assert found.intervals == ()
    lost = [gap for gap in found.gaps if gap.reason == "no face"]
    assert len(lost) == 1
    assert abs(lost[0].first - n) <= 1
    assert abs(lost[0].last - (n + 39)) <= 0.25 * FPS  # a lost face is looked for a few times a second
    last_cut = max(gap for gap in found.gaps if gap.reason == "cut")
    assert last_cut[:2] == (2 * n + 39, 2 * n + 40)
    assert any("No face was found" in line for line in remarks(found))
    assert any("cut" in line for line in remarks(found))


def test_what_came_before_the_end_of_a_truncated_file_is_kept(folder):
    images, truth = filmed.drawn()
    path = filmed.film_jpegs(folder / "cut_short.avi", images)
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
    found = analyse_video(path, backend="cascade")
    assert 0.6 * len(images) < found.read_until < 0.8 * len(images)
    assert found.gaps[-1] == Gap(found.read_until, len(images) - 1, "unread")
    assert found.fault_s == pytest.approx(found.read_until / FPS)
    assert f"Reading stopped at {found.fault_s:.1f} s of 6.0 s" in remarks(found)[0]
    whole = [span for span in truth if span.offset < found.read_until - 15]
    assert metrics.score({"x": whole}, {"x": list(found.intervals)}).overall.recall == 1.0


def test_frames_that_change_their_size_stop_the_reading(tmp_path):
    import cv2

    images, _ = filmed.drawn()
    for number, image in enumerate(images[:30], start=1):
        part = image if number <= 20 else image[:200]
        cv2.imwrite(str(tmp_path / f"img{number:03d}.jpg"), part)
    found = analyse_video(tmp_path, fps=30, backend="cascade")
    assert found.read_until == 20
    assert "200" in found.settings["fault"]
    assert str(tmp_path.parent) not in found.settings["fault"]
    assert [gap.reason for gap in found.gaps] == ["unread"]


def test_frames_of_a_folder_that_are_damaged_or_missing_are_gaps(tmp_path):
    import cv2

    images, _ = filmed.drawn()
    for number, image in enumerate(images[:40], start=1):
        cv2.imwrite(str(tmp_path / f"img{number:03d}.jpg"), image)
    for number in range(11, 19):
        (tmp_path / f"img{number:03d}.jpg").unlink()
    for number in (30, 31):
        (tmp_path / f"img{number:03d}.jpg").write_bytes(b"")
    found = analyse_video(tmp_path, fps=30, backend="cascade")
    assert found.gaps == (Gap(10, 17, "missing"), Gap(29, 30, "damaged"))
    assert found.read_until == 40


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


def test_a_video_without_any_face_is_refused(folder):
    path = filmed.film(folder / "wall.mp4", filmed.wall(12))
    with pytest.raises(NoFaceError, match=r"wall\.mp4: no face in any of the 12 pictures"):
        analyse_video(path, backend="cascade")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method 'magic' is unknown; it must be one of flow_peaks, zhang2020"),
        ({"face": "smallest"}, "face is \"largest\" or a number from 1, not 'smallest'"),
        ({"face": 0}, "number from 1, not 0"),
    ],
)
def test_unknown_options_are_refused_before_the_file_is_opened(options, message):
    with pytest.raises(UserVideoError, match=message):
        analyse_video("nowhere.mp4", **options)


def test_several_videos_are_not_one(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        filmed.film(tmp_path / name, filmed.wall(3))
    with pytest.raises(UserVideoError, match="holds 2 videos; name one"):
        analyse_video(tmp_path)
    with pytest.raises(DatasetError, match="no such file"):
        analyse_video(tmp_path / "c.mp4")


def test_importing_the_package_stays_cheap():
    code = "import sys, mespot_lib; print(any(n in sys.modules for n in ('numpy', 'cv2', 'mespot_lib.user_video')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert mespot_lib.spot_video is user_video.spot_video
    with pytest.raises(AttributeError):
        mespot_lib.spot_audio  # noqa: B018


# ---------------------------------------------------------------------------------------------------------------------
# What is said about it


def test_the_table_is_read_back_by_the_project(tmp_path):
    made = analysis()
    user_video.spotted_table(made).to_csv(tmp_path / "spotted.csv", index=False)
    assert read_intervals(tmp_path / "spotted.csv") == {"own_video/x/x": list(made.intervals)}
    table = user_video.spotted_table(made)
    assert table["onset_s"].tolist() == [2.0, 5.0]
    assert table["apex_s"].tolist() == [2.2, 5.5]
    none = user_video.spotted_table(analysis(intervals=()))
    none.to_csv(tmp_path / "none.csv", index=False)
    assert read_intervals(tmp_path / "none.csv") == {"own_video/x/x": []}


def test_motion_and_gaps_are_tables():
    made = analysis(gaps=(Gap(30, 59, "no face"),))
    motion = user_video.motion_table(made)
    assert len(motion) == 300
    assert motion["left_brow_18_y_u"].max() == pytest.approx(2)
    assert motion["time_s"].iloc[-1] == pytest.approx(299 / 30, abs=1e-4)
    assert user_video.gaps_table(made).iloc[0].tolist() == [30, 59, 1.0, 1.967, "no face"]


def test_regions_have_names_of_their_own():
    names = [user_video.column_name(box.points) for box in user_video.reference_motion.BOXES.values()]
    assert len(set(names)) == len(names)


def changed_track(**changes):
    made = analysis()
    return replace(made, track=made.track._replace(**changes))


LOST = analysis().track.landmarks.copy()
LOST[100:200] = np.nan


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (analysis(gaps=(Gap(10, 11, "cut"),)), "cut 1 time:"),
        (changed_track(landmarks=LOST), "No face was found in 33% of the pictures"),
        (changed_track(landmarks=analysis().track.landmarks / 3), "The face is small: 13 px"),
        (changed_track(residual_px=np.full(300, 2.0)), "unsteady (median residual 3.3 u)"),
        (changed_track(grey=np.full(300, 20.0)), "The face is dark"),
        (analysis(read_until=250), "Reading stopped at 8.3 s of 10.0 s"),
        (analysis(intervals=(Interval(0, 150, "MaE"),)), "cover 50% of the time"),
        (analysis(gaps=(Gap(30, 59, "damaged"),)), "1.0 s of frames are damaged"),
        (replace(analysis(), video=replace(analysis().video, fps=15.0)), "15 frames per second are few"),
    ],
)
def test_what_makes_a_video_hard_is_said(made, words):
    assert any(words in line for line in remarks(made))
    assert remarks(analysis()) == []


def test_doubtful_intervals_say_why():
    made = analysis()
    me, mae = made.intervals
    assert doubts(made, me) == doubts(made, mae) == []
    beside = replace(made, gaps=(Gap(74, 80, "no face"),))
    assert doubts(beside, me) == ["beside a gap or a cut"]
    assert doubts(beside, mae) == []
    far = made.curves.shifts.copy()
    far[:, 1] *= 5
    assert "further than a face can" in doubts(replace(made, curves=made.curves._replace(shifts=far)), mae)[0]
    blink = replace(made, blinks=((64, 70), (170, 175)))
    assert "together with a blink" in doubts(blink, me)[0]
    assert doubts(blink, mae) == []  # no blink is so long


def test_slow_drift_is_no_activity():
    drift = analysis().curves.shifts + np.linspace(0, 4, 300, dtype=np.float32)[:, None, None]
    made = analysis(curves=analysis().curves._replace(shifts=drift))
    quiet = user_video.activity(made)
    assert quiet["nose"][60:240].max() < 0.1
    assert quiet["brows"].max() == pytest.approx(2, abs=0.2)


def test_a_drawn_video_for_everybody_is_encoded_once(tmp_path, monkeypatch):
    import cv2

    images, _ = filmed.drawn()
    for number, image in enumerate(images[:40], start=1):
        cv2.imwrite(str(tmp_path / f"img{number:03d}.jpg"), image)
    monkeypatch.setattr(user_video, "load_dataset", lambda name: user_video.read_media(tmp_path, fps=30))
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
    path = user_video.example_video(seconds=1)
    before = path.stat().st_mtime_ns
    assert user_video.example_video(seconds=1) == path
    assert path.stat().st_mtime_ns == before
    manifest = user_video.read_media(path)
    assert manifest.video(manifest.uids[0]).length == 30
    assert manifest.descriptor["synthetic"]
