"""Following a face: where it is known to be, at cuts, losses, flicker and blinks, among several, and from tables."""

import functools
import os
import time
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot_lib import tracking
from mespot_lib.datasets.own_video import read_media
from mespot_lib.face import (
    MEAN_FACE,
    Face,
    FaceError,
    available_backend,
    load_openface,
    px_per_u,
    side_landmarks,
    transform_points,
)
from mespot_lib.frames import Frame, iter_frames
from mespot_lib.manifest import Video
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.render import develop, draw_planes, landmarks_px, set_stage
from mespot_lib.synthetic.timeline import neutral_state
from mespot_lib.tracking import Seen, fit_similarity, remembered, track_face, tracking_report

FPS = 30.0
HEIGHT, WIDTH = 300, 440
RIGID = [27, 28, 29, 30, 36, 39, 42, 45]  # nose and corners of the eyes
BACKENDS = [
    pytest.param(
        "mediapipe",
        marks=pytest.mark.skipif(
            available_backend() != "mediapipe", reason="MediaPipe 0.10.21 is not installed"
        ),
    ),
    "cascade",
]


@functools.cache
def person(seed: int, open_eyes: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn face, 256 x 256 px, and its exact landmarks; cached, because painting a person takes a second."""
    config = replace(SyntheticConfig(), width=256, height=256, pixels_per_u=0.6, grey=False)
    stage = set_stage(make_identity(seed), config, seed)
    state = neutral_state(opening=np.full(2, float(open_eyes)))
    return develop(stage, draw_planes(stage, state), np.random.default_rng(seed)), landmarks_px(stage, state)


@functools.cache
def wall(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(60, 180, (HEIGHT, WIDTH, 3)).astype(np.uint8), (0, 0), 9)


def place(x: float, y: float, scale: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """Return the matrix that puts a drawn face's middle at (x, y)."""
    matrix = cv2.getRotationMatrix2D((128, 128), angle, scale)
    matrix[:, 2] += x - 128, y - 128
    return matrix


def paste(canvas: np.ndarray, face: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Put a drawn picture on a canvas, its edge blended in."""
    soft = np.zeros(face.shape[:2], np.float32)
    cv2.ellipse(soft, (128, 128), (100, 120), 0, 0, 360, 1, -1)
    soft = cv2.GaussianBlur(soft, (0, 0), 8)[..., None]
    size = canvas.shape[1::-1]
    alpha = cv2.warpAffine(soft, matrix, size)[..., None]
    return (canvas * (1 - alpha) + cv2.warpAffine(face, matrix, size) * alpha).astype(np.uint8)


def noisy(images):
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 2, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
    for image in images:
        dy, dx = rng.integers(0, (HEIGHT, WIDTH))
        yield np.clip(image + grain[dy : dy + image.shape[0], dx : dx + image.shape[1]], 0, 255).astype(
            np.uint8
        )


def track(images, fps=FPS, **settings):
    settings = {"backend": "cascade"} | settings
    return list(track_face((Frame(t, image) for t, image in enumerate(noisy(images))), fps, **settings))


def breaks(tracked):
    return [b.t for a, b in pairwise(tracked) if b.scene != a.scene]


def nose_x(one):
    return None if one.landmarks is None else float(one.landmarks[30, 0])


STILL = place(220, 150)


def shot(seed: int, count: int, matrix=STILL, background: int = 0):
    return [paste(wall(background), person(seed)[0], matrix)] * count


# --- following ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("grey", [False, True])
def test_a_moving_head_is_followed(backend, grey):
    image, truth = person(3)
    course = [
        place(
            220 + 50 * np.sin(i / 12),
            150 + 15 * np.sin(i / 5),
            1 + 0.15 * np.sin(i / 20),
            10 * np.sin(i / 15),
        )
        for i in range(75)
    ]
    images = [paste(wall(), image, matrix) for matrix in course]
    if grey:
        images = [cv2.cvtColor(one, cv2.COLOR_BGR2GRAY)[..., None] for one in images]
        images = [np.repeat(one, 3, axis=2) for one in images]
    tracked = track(images, backend=backend)
    assert [one.t for one in tracked] == list(range(75))
    assert breaks(tracked) == []
    errors = np.array(
        [
            (one.landmarks - transform_points(truth, matrix))[RIGID].mean(axis=0) / px_per_u(one.landmarks)
            for one, matrix in zip(tracked, course, strict=True)
        ]
    )
    assert one_dtype(tracked) == np.float32
    assert np.linalg.norm(errors, axis=1).max() < 9  # that of the detector
    wandering = np.linalg.norm(errors - errors[0], axis=1)
    assert wandering.max() < 1.5  # what following adds, while the head goes 100 px


def one_dtype(tracked):
    (dtype,) = {one.landmarks.dtype for one in tracked}
    return dtype


@pytest.mark.parametrize("backend", BACKENDS)
def test_landmarks_of_a_still_face_stand_still(backend):
    """At the frame rate of a fast camera too, and across detections that disagree."""
    tracked = track(shot(3, 120), fps=60, backend=backend, redetect_s=0.5)
    places = np.array([one.landmarks[RIGID].mean(axis=0) for one in tracked]) / px_per_u(tracked[0].landmarks)
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.1
    assert np.linalg.norm(places[18:] - places[:-18], axis=1).max() < 0.4  # in the time of a micro-expression
    assert np.nanmedian([one.residual_px for one in tracked]) < 0.2


def test_grey_frames_are_followed_as_colour_ones():
    colour = shot(3, 8)
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in colour]
    results = [
        [one.landmarks for one in track_face(map(Frame, range(8), images), FPS, backend="cascade")]
        for images in (colour, grey)
    ]
    np.testing.assert_allclose(*results, atol=0.3)


def test_a_moving_brow_does_not_take_the_head_along():
    image, truth = person(3)
    brows = slice(int(truth[17:27, 1].min()) - 12, int(truth[17:27, 1].max()) + 8)
    raised = image.copy()
    raised[brows.start - 6 : brows.stop - 6] = image[brows]
    images = shot(3, 15) + [paste(wall(), raised, STILL)] * 15
    tracked = track(images)
    moved = (tracked[-1].landmarks - tracked[14].landmarks)[RIGID].mean(axis=0)
    assert breaks(tracked) == []
    assert np.linalg.norm(moved) < 0.6  # px, of the six that the brows went


def test_detections_that_scatter_are_blended_in_without_a_jump(monkeypatch):
    rng = np.random.default_rng(5)
    truth = transform_points(person(3)[1], STILL)
    unit = px_per_u(truth)

    def scattered(*_):
        return (truth + rng.normal(0, 3 * unit, 2)).astype(np.float32)

    monkeypatch.setattr(tracking, "_detected_near", scattered)
    places = np.array([one.landmarks[30] for one in track(shot(3, 120), redetect_s=0.5)]) / unit
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.15
    far = transform_points(truth, place(128 + 30, 128)).astype(np.float32)  # 50 u: the detector must be right
    monkeypatch.setattr(tracking, "_detected_near", lambda *_: far)
    places = np.array([one.landmarks[30] for one in track(shot(3, 120), redetect_s=0.5)])
    assert np.linalg.norm(places[-1] - far[30]) / unit < 9


def test_gaps_between_frames_keep_their_place():
    images = shot(3, 12)
    numbers = [0, 1, 2, 5, 6, 9, 10, 11, 12, 13, 14, 15]
    frames = (Frame(t, image) for t, image in zip(numbers, noisy(images), strict=True))
    tracked = list(track_face(frames, FPS, backend="cascade"))
    assert [one.t for one in tracked] == numbers
    assert breaks(tracked) == []


@given(
    angle=st.floats(-0.2, 0.2),
    scale=st.floats(0.9, 1.1),
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    outliers=st.integers(0, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_similarity_is_found_among_outliers(angle, scale, shift, outliers, seed):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 200, (40, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    end = start @ turn.T + shift
    end[:outliers] += rng.uniform(5, 15, (outliers, 2))
    matrix, residual = fit_similarity(start, end, outlier=1.0)
    if outliers <= 8:
        np.testing.assert_allclose(matrix, np.column_stack([turn, shift]), atol=0.05 if outliers else 1e-6)
        assert residual < 0.1
    assert np.isfinite(matrix).all()


# --- cuts and losses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("background", [0, 1])
def test_a_cut_to_another_face_begins_a_scene(backend, background):
    tracked = track(shot(3, 12) + shot(14, 12, place(200, 150, 0.95), background), backend=backend)
    assert breaks(tracked) == [12]
    assert [one.t for one in tracked if one.cut] == [12]
    assert np.isnan(tracked[12].residual_px)
    assert all(one.landmarks is not None for one in tracked)
    assert abs(nose_x(tracked[11]) - nose_x(tracked[12])) > 10


def test_a_cut_within_one_take_is_noticed():
    """The same person before the same wall, nearer and in other light."""
    mirrored = np.ascontiguousarray(person(3)[0][:, ::-1])
    tracked = track(shot(3, 12) + [paste(wall(), mirrored, place(240, 160, 1.15, 4))] * 12)
    assert breaks(tracked) == [12]


def lighting(images):
    for t, image in enumerate(images):
        yield np.clip(image * (1 + 0.15 * (t % 2)) + 25 * (t % 7 == 0), 0, 255).astype(np.uint8)


def blinking(count):
    open_eyes, closed = (paste(wall(), person(3, state)[0], STILL) for state in (True, False))
    return [closed if t % 12 in (6, 7, 8) else open_eyes for t in range(count)]


def turning(count):
    return [paste(wall(), person(3)[0], place(220 + 60 * np.sin(t / 4), 150)) for t in range(count)]


@pytest.mark.parametrize(
    "images", [list(lighting(shot(3, 40))), blinking(40), turning(40)], ids=["flicker", "blinks", "turns"]
)
def test_flicker_blinks_and_turns_are_no_cuts(images):
    tracked = track(images)
    assert breaks(tracked) == []
    assert not any(one.cut for one in tracked)
    assert all(one.landmarks is not None for one in tracked)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scene_without_a_face_is_a_gap(backend):
    tracked = track(shot(3, 10) + [wall()] * 20 + shot(14, 20), backend=backend)
    lost = [one.t for one in tracked if one.landmarks is None]
    assert lost == list(range(10, 10 + len(lost)))
    assert 20 <= len(lost) <= 28
    scenes = [{one.scene for one in part} for part in (tracked[:10], tracked[30 + 8 :])]
    assert scenes[0] == {0}
    assert scenes[1].isdisjoint(scenes[0])
    assert all(np.isnan(one.residual_px) for one in tracked[10:30])


def test_where_there_is_no_face_none_is_followed():
    tracked = track([wall(seed) for seed in range(6) for _ in range(4)])
    assert all(one.landmarks is None for one in tracked)
    assert tracking_report([Seen(one.t, False, 0, np.nan, one.cut) for one in tracked]).found == 0


def test_a_face_that_is_covered_slowly_is_lost_and_found_as_a_new_scene():
    image = shot(3, 1)[0]
    images = []
    for t in range(75):
        height = int(np.interp(t, [8, 22, 45, 58], [0, 300, 300, 0]))
        covered = image.copy()
        covered[:height, 60:380] = wall(2)[:height, 60:380]
        images.append(covered)
    tracked = track(images)
    assert all(one.landmarks is None for one in tracked[24:44])
    assert tracked[-1].landmarks is not None
    assert tracked[-1].scene > tracked[0].scene


def test_a_face_that_the_detector_no_longer_sees_is_given_up(monkeypatch):
    images = list(noisy(shot(3, 150)))
    detected = tracking.face.detect_faces
    looks = []

    def once(*args, **settings):
        looks.append(1)
        return detected(*args, **settings) if len(looks) == 1 else []

    monkeypatch.setattr(tracking.face, "detect_faces", once)
    tracked = list(track_face(map(Frame, range(150), images), FPS, backend="cascade"))
    lost = [one.t for one in tracked if one.landmarks is None]
    assert lost == list(range(90, 150))  # three seconds


def test_what_the_detector_is_unsure_of_must_be_seen_again(monkeypatch):
    truth = transform_points(person(3)[1], STILL)
    box = (*truth.min(axis=0), *np.ptp(truth, axis=0))

    def unsure(image, backend="auto", smallest=0.12):
        return [Face(box, truth, "cascade", sure=False)]

    monkeypatch.setattr(tracking.face, "detect_faces", unsure)
    tracked = track(shot(3, 24))
    first = next(one.t for one in tracked if one.landmarks is not None)
    assert first == 16  # the third look, a quarter of a second between


# --- several faces --------------------------------------------------------------------------------------------------


@functools.cache
def couple(grown: float) -> np.ndarray:
    left = paste(wall(), person(3)[0], place(110, 150, 0.75))
    return paste(left, person(14)[0], place(330, 150, 0.55 + grown))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("choose", "side"), [("largest", 110), (1, 110), (2, 330), (3, None)])
def test_a_face_is_chosen_and_kept_though_another_grows(backend, choose, side):
    grown = np.round(np.linspace(0, 0.45, 40), 2)
    tracked = track([couple(float(g)) for g in grown], choose=choose, backend=backend, redetect_s=0.5)
    assert breaks(tracked) == []
    for one in tracked[::10]:
        assert nose_x(one) == (None if side is None else pytest.approx(side, abs=8))


def test_after_a_loss_the_same_face_is_waited_for():
    """The chosen one, which is now the smaller, is covered for a second; the other one is not taken for it."""
    whole = couple(0.4)
    covered = whole.copy()
    covered[60:240, 45:175] = wall(2)[60:240, 45:175]
    opening = [couple(0.0)] * 4 + [couple(float(g)) for g in np.round(np.linspace(0, 0.4, 20), 2)]
    steps = [cv2.addWeighted(whole, 1 - a, covered, a, 0) for a in np.linspace(0, 1, 8)]
    tracked = track(opening + steps + [covered] * 25 + steps[::-1] + [whole] * 15)
    assert nose_x(tracked[0]) == pytest.approx(110, abs=8)
    assert all(one.landmarks is None for one in tracked[36:54])
    assert nose_x(tracked[-1]) == pytest.approx(110, abs=8)


@pytest.mark.parametrize("choose", [0, -1, "left", 1.5, None, True])
def test_another_choice_is_refused(choose):
    with pytest.raises(FaceError, match=r"choose is .largest. or a number from 1"):
        track_face(iter(()), FPS, choose=choose)


def test_no_frames_make_no_tracks():
    assert list(track_face(iter(()), FPS)) == []


# --- landmarks from elsewhere ---------------------------------------------------------------------------------------


def test_a_table_is_taken_instead_of_detecting(monkeypatch):
    monkeypatch.setattr(tracking.face, "detect_faces", None)
    table = np.repeat((MEAN_FACE * 0.6 + (220, 140))[None], 20, axis=0).astype(np.float32)
    table += np.arange(20, dtype=np.float32)[:, None, None]
    table[8:11] = np.nan
    tracked = track(shot(3, 12) + shot(14, 12, background=1), landmarks=table)
    assert [one.t for one in tracked if one.landmarks is None] == [8, 9, 10, 20, 21, 22, 23]
    np.testing.assert_array_equal(tracked[3].landmarks, table[3])
    assert breaks(tracked) == [11, 12]
    assert tracked[5].residual_px == pytest.approx(0, abs=1e-4)
    assert np.isnan(tracked[11].residual_px)


def openface_table(path: Path, frames, success=None, **changes) -> Path:
    columns = {"frame": frames, " timestamp": np.array(frames) / 30, " confidence": 0.98}
    columns[" success"] = np.ones(len(frames), int) if success is None else success
    for axis, name in enumerate("xy"):
        for point in range(68):
            columns[f" {name}_{point}"] = MEAN_FACE[point, axis] + np.array(frames)
    pd.DataFrame(columns | changes).to_csv(path, index=False)
    return path


def test_an_openface_table_is_laid_on_the_frame_axis(tmp_path):
    path = openface_table(tmp_path / "v.csv", [1, 2, 3, 4], [1, 1, 0, 1])
    numbers, landmarks = load_openface(path)
    assert numbers.tolist() == [1, 2, 4]
    np.testing.assert_allclose(landmarks[1], MEAN_FACE + 2, atol=1e-4)
    video = Video(
        "own_video/v/v", "own_video", "v", "v", tmp_path, "frames", 30.0, 10, 14, missing=((11, 11),)
    )
    table = side_landmarks(video, path)  # its second frame is number 12, at position 2
    assert np.isfinite(table[:, 0, 0]).tolist() == [True, False, True, False, True]
    np.testing.assert_allclose(table[2], MEAN_FACE + 2, atol=1e-4)
    with pytest.raises(
        FaceError, match="belongs to another video: it has frame 4, own_video/v/v has 3 frames"
    ):
        side_landmarks(replace(video, last_frame_no=13), path)


def test_of_several_faces_in_a_table_the_first_counts(tmp_path):
    path = openface_table(tmp_path / "v.csv", [1, 1, 2, 2], face_id=[0, 1, 0, 1])
    assert load_openface(path)[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "cannot be read"),
        (b"\x00\xff\xfe" * 9, "cannot be read|lacks"),
        (b"frame, success\n1, 1\n", "lacks 136 columns, the first 'x_0'"),
    ],
)
def test_what_is_no_openface_table_is_named(tmp_path, content, message):
    path = tmp_path / "v.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FaceError, match=rf"v.csv.*({message})"):
        load_openface(path)


def test_frames_out_of_order_and_words_are_refused(tmp_path):
    with pytest.raises(FaceError, match="do not count upwards"):
        load_openface(openface_table(tmp_path / "v.csv", [1, 3, 2]))
    with pytest.raises(FaceError, match="no number"):
        load_openface(openface_table(tmp_path / "v.csv", [1, 2], **{" x_3": ["1", "face"]}))


# --- summary, memory, time ------------------------------------------------------------------------------------------


def test_the_report_counts_gaps_cuts_and_scenes():
    found = [True] * 3 + [False] * 2 + [True] * 4 + [False]
    scenes = [0] * 5 + [1, 1, 2, 2, 2]
    seen = [
        Seen(t + 10, found[t], scenes[t], 0.1 * t if found[t] and t else np.nan, t == 7) for t in range(10)
    ]
    report = tracking_report(seen)
    assert (report.frames, report.found, report.scenes) == (10, 0.7, 3)
    assert report.gaps == ((13, 14), (19, 19))
    assert report.cuts == (17,)
    assert report.residual_px == pytest.approx(0.55)
    assert tracking_report([]).frames == 0


def test_what_is_remembered_are_few_bytes():
    tracked = track(shot(3, 6))
    seen: list[Seen] = []
    passed = list(remembered(iter(tracked), seen))
    assert all(a is b for a, b in zip(passed, tracked, strict=True))
    assert seen == [Seen(t, True, 0, one.residual_px, False) for t, one in enumerate(tracked)]


def test_memory_does_not_grow_with_the_length():
    image = shot(3, 1)[0]

    def peak(count):
        frames = (Frame(t, image.copy()) for t in range(count))
        tracemalloc.start()
        for _ in track_face(frames, FPS, backend="cascade"):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(120) < peak(40) + 200_000


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_face_is_followed_all_along_a_real_clip(backend):
    clip = os.environ.get("MESPOT_REAL_CLIP")
    if not clip or not Path(clip).is_file():
        pytest.skip("set MESPOT_REAL_CLIP to a video file of one person's face")
    manifest = read_media(clip)
    video = manifest.video(manifest.uids[0])
    seen: list[Seen] = []
    began = time.process_time()
    for _ in remembered(track_face(iter_frames(video, grey=False), video.fps, backend=backend), seen):
        pass
    assert time.process_time() - began < 0.5 * video.length / video.fps
    assert tracking_report(seen).found > 0.9


@pytest.mark.slow
def test_cuts_within_a_real_take_are_noticed():
    clip = os.environ.get("MESPOT_REAL_CLIP")
    if not clip or not Path(clip).is_file():
        pytest.skip("set MESPOT_REAL_CLIP to a video file of one person's face")
    manifest = read_media(clip)
    video = manifest.video(manifest.uids[0])
    images = [image for _, image in iter_frames(video, grey=False)]
    rng = np.random.default_rng(1)
    pairs = [(i, j) for i, j in rng.integers(12, len(images) - 6, (30, 2)) if abs(i - j) > 60]
    noticed = []
    for i, j in pairs:
        joined = images[i - 12 : i] + images[j : j + 6]
        noticed.append(12 in breaks(list(track_face(map(Frame, range(18), joined), video.fps))))
    assert np.mean(noticed) > 0.9
