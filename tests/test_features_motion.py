"""Region motion on a photograph moved by a known path, on drawn faces, and where there is no face."""

import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mespot_lib import face
from mespot_lib.face import NoFaceError
from mespot_lib.features import motion
from mespot_lib.features.motion import MotionRecipe, region_motion, sampling_step
from mespot_lib.features.regions import REGIONS, region_boxes, region_means
from mespot_lib.manifest import Video

RECIPE = MotionRecipe(landmarks="cascade")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))


def video_of(images, folder, fps=30.0, missing=(), landmarks=None) -> Video:
    folder.mkdir()
    gone = {number for first, last in missing for number in range(first, last + 1)}
    for number, image in enumerate(images, start=1):
        if number not in gone:
            cv2.imwrite(str(folder / f"img{number:05d}.png"), image)
        height, width = image.shape[:2]
    frames = {"frame_prefix": "img", "pad_width": 5, "ext": ".png", "width": width, "height": height}
    last = {"first_frame_no": 1, "last_frame_no": number, "missing": missing}
    return Video(
        f"own/p/{folder.name}",
        "own",
        "p",
        folder.name,
        folder,
        "frames",
        fps,
        **last,
        **frames,
        landmarks=landmarks,
    )


@pytest.fixture(scope="module")
def portrait():
    skimage_data = pytest.importorskip("skimage.data")
    photo = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR)[0:256, 96:352]
    return cv2.resize(photo, (384, 384), interpolation=cv2.INTER_CUBIC)


def moved(image, path):
    height, width = image.shape[:2]
    for x, y in path:
        matrix = np.float64([[1, 0, x], [0, 1, y]])
        yield cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )


def test_a_photograph_moved_as_a_whole_moves_nose_and_regions_alike(portrait, tmp_path):
    path = 5 * np.stack(
        [np.sin(np.arange(45) / 6), np.cos(np.arange(45) / 9)], axis=1
    )  # px, up to .8 a frame
    clip = video_of(moved(portrait, path), tmp_path / "astronaut")
    measured = region_motion(clip, RECIPE)
    landmarks = face.detect_face(next(moved(portrait, path[:1])), "cascade").landmarks
    turn = face.face_matrix(landmarks, 1)[:, :2]  # the face is tilted by some degrees, and the crop is level
    expected = (path - path[0]) @ (turn / np.linalg.norm(turn[0])).T / face.px_per_u(landmarks)  # u
    travelled = np.cumsum(np.nan_to_num(measured.nose), axis=0)
    gain = (travelled * expected).sum() / (expected**2).sum()
    assert 0.9 < gain < 1.2
    assert np.abs(travelled - gain * expected).max() < 0.1 * np.abs(expected).max()
    left_in, taken_out = (np.sqrt((measured.shifts(remove) ** 2).mean()) for remove in (False, True))
    assert taken_out < 0.12 * left_in


def test_gaps_are_unknown_and_nothing_behind_them_shifts(portrait, tmp_path):
    path = np.stack([np.sin(np.arange(40) / 5), np.zeros(40)], axis=1)
    whole = region_motion(video_of(moved(portrait, path), tmp_path / "whole"), RECIPE)
    holed = region_motion(video_of(moved(portrait, path), tmp_path / "holed", missing=((15, 19),)), RECIPE)
    assert np.array_equal(holed.frames, whole.frames)
    assert not holed.known[14:20].any()  # the five missing frames and the step across them
    assert holed.known[20:].all()
    same, shifted = (np.abs(holed.nose[20:] - whole.nose[20 - lag : 40 - lag]).mean() for lag in (0, 5))
    assert same < shifted / 3


def test_one_missing_frame_is_bridged(portrait, tmp_path):
    path = np.stack([np.arange(40) * 0.2, np.zeros(40)], axis=1)
    holed = region_motion(video_of(moved(portrait, path), tmp_path / "holed", missing=((15, 15),)), RECIPE)
    assert not holed.known[14]
    assert holed.nose[15, 0] == pytest.approx(2 * holed.nose[12, 0], rel=0.3)


def test_no_face_anywhere_is_an_error_that_names_video_and_remedy(tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (6, 160, 160, 3)).astype(np.uint8)
    with pytest.raises(NoFaceError, match=r"own/p/noise.*cascade.*side file"):
        region_motion(video_of(noise, tmp_path / "noise"), RECIPE)


def test_a_face_that_leaves_is_unknown_until_it_is_back(portrait, tmp_path, monkeypatch):
    monkeypatch.setattr(motion, "FORGOTTEN_S", 0.2)
    monkeypatch.setattr(motion, "LONGEST_STEP_S", 0.1)
    empty = np.full_like(portrait, 90)
    images = [portrait] * 12 + [empty] * 30 + [portrait] * 12
    measured = region_motion(video_of(images, tmp_path / "leaves"), replace(RECIPE, redetect_s=0.2))
    assert measured.known[1:12].all()
    assert not measured.known[25:42].any()
    assert measured.known[-3:].all()


@pytest.mark.parametrize(("fps", "step"), [(25, 1), (30, 1), (29.97, 1), (60, 2), (100, 4), (200, 7)])
def test_the_sampling_rate_is_that_of_an_ordinary_camera(fps, step):
    assert sampling_step(fps, 30) == step


def test_what_is_cached_is_not_measured_again(portrait, tmp_path, monkeypatch):
    clip = video_of([portrait] * 3, tmp_path / "still")
    first = region_motion(clip, RECIPE)
    monkeypatch.setattr(motion, "_measure", lambda *_: pytest.fail("measured again"))
    second = region_motion(clip, RECIPE)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))


def test_exact_landmarks_are_asked_for_by_name_and_can_be_jittered(portrait, tmp_path):
    landmarks = np.repeat(face.detect_face(portrait, "cascade").landmarks[None], 8, axis=0)
    side = tmp_path / "side.npz"
    np.savez(side, frame_no=np.arange(1, 9, dtype=np.int32), landmarks=landmarks)
    path = np.stack([np.arange(8) * 0.3, np.zeros(8)], axis=1)
    clip = video_of(moved(portrait, path), tmp_path / "clip", landmarks=side)
    exact, again, jittered = (
        region_motion(clip, MotionRecipe(landmarks="side", jitter_u=jitter, seed=seed)).regions
        for jitter, seed in ((0, 0), (0, 1), (0.7, 0))
    )
    assert np.array_equal(exact, again, equal_nan=True)
    assert not np.array_equal(exact, jittered, equal_nan=True)
    assert np.nanmax(np.abs(exact - jittered)) < 0.3


def test_memory_does_not_grow_with_the_video(portrait, tmp_path):
    small = cv2.resize(portrait, (96, 96))
    landmarks = face.detect_face(portrait, "cascade").landmarks / 4

    def peak(frames: int) -> int:
        side = tmp_path / f"{frames}.npz"
        table = np.repeat(landmarks[None], frames, axis=0)
        np.savez(side, frame_no=np.arange(1, frames + 1, dtype=np.int32), landmarks=table)
        clip = video_of([small] * frames, tmp_path / str(frames), landmarks=side)
        tracemalloc.start()
        measured = region_motion(clip, MotionRecipe(landmarks="side", size=64))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        results = sum(array.nbytes for array in measured)
        return (
            highest - 8 * results - 4 * table.nbytes
        )  # what is returned, copies of it, and the table itself

    assert peak(400) < peak(50) + 400_000


def test_regions_stay_inside_the_crop_and_are_never_empty():
    rng = np.random.default_rng(0)
    boxes = region_boxes(rng.uniform(-40, 170, (68, 2)).astype(np.float32), 128)
    assert boxes.shape == (len(REGIONS), 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= 128).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_region_means_are_means_of_their_boxes():
    landmarks = np.full((68, 2), 64, dtype=np.float32)
    landmarks[REGIONS[3]] = (20, 30)
    field = np.zeros((128, 128, 2), dtype=np.float32)
    field[26:34, 16:24] = (2, -1)  # rows are y
    means = region_means(field, region_boxes(landmarks, 128))
    assert means[3] == pytest.approx((2, -1))
    assert np.abs(np.delete(means, 3, axis=0)).max() == 0
