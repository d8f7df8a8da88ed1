"""Motion from a reference on a photograph moved by known paths: what is head, what is skin, and where segments end."""

import tracemalloc

import cv2
import numpy as np
import pytest

from mespot_lib import face
from mespot_lib.features import reference_motion as rm
from mespot_lib.features.reference_motion import (
    REGION_NAMES,
    ReferenceMotion,
    ReferenceRecipe,
    measure_tracked,
    reference_motion,
)
from mespot_lib.manifest import Video
from mespot_lib.tracking import Tracked

SIDE = 384
SHORT = ReferenceRecipe(segment_samples=20, step_samples=10)
MOUTH_LEFT = REGION_NAMES.index("mouth 48")


@pytest.fixture(scope="module")
def portrait():
    skimage_data = pytest.importorskip("skimage.data")
    photo = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2GRAY)[0:256, 96:352]
    return cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def landmarks(portrait):
    return face.detect_face(portrait, "cascade").landmarks


def similarity(landmarks, shift_u=(0.0, 0.0), turn=0.0, grow=1.0) -> np.ndarray:
    """Return the motion of the picture (2, 3) that carries the face, about the nose."""
    centre = landmarks[27:31].mean(axis=0)
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), np.degrees(-turn), grow)
    matrix[:, 2] += np.array(shift_u) * face.px_per_u(landmarks)
    return matrix


def tracked_through(image, landmarks, matrices, scene=0, first=0, follow=True):
    """Yield the picture moved by each matrix, with the landmarks moved too, or left where they were found."""
    for t, matrix in enumerate(matrices, start=first):
        moved = cv2.warpAffine(
            image, matrix, image.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        yield Tracked(t, moved, face.transform_points(landmarks, matrix) if follow else landmarks, scene, 0.0)


def pushed(image, landmarks, at, by_u, sigma_u=22.0):
    """Return the picture with the skin around a landmark pushed by (x, y) u at most."""
    px = float(face.px_per_u(landmarks))
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    weight = np.exp(-((x - landmarks[at, 0]) ** 2 + (y - landmarks[at, 1]) ** 2) / (2 * (sigma_u * px) ** 2))
    return cv2.remap(image, x - by_u[0] * px * weight, y - by_u[1] * px * weight, cv2.INTER_CUBIC)


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("head", ["pose", "shift"])
def test_a_face_that_moves_as_a_whole_is_all_head(portrait, landmarks, follow, head):
    path = 4 * np.stack([np.sin(np.arange(30) / 5), 1 - np.cos(np.arange(30) / 5)], axis=1)  # u
    moves = [similarity(landmarks, shift) for shift in path]
    motion = measure_tracked(
        tracked_through(portrait, landmarks, moves, follow=follow), 30, ReferenceRecipe(head=head)
    )
    turn = face.face_matrix(landmarks, 1)[:, :2]  # the face is tilted, and the crop is level
    expected = path @ (turn / np.linalg.norm(turn[0])).T
    assert np.abs(motion.head - expected).max() < 0.35
    assert np.abs(motion.regions[:, :-4]).mean() < 0.12  # the lids come last: they are fine structure
    assert motion.known.all()


def test_the_pose_takes_out_what_a_shift_cannot(portrait, landmarks):
    moves = [similarity(landmarks, turn=0.03 * k / 15, grow=1 + 0.03 * k / 15) for k in range(16)]
    left = {
        head: np.abs(
            measure_tracked(
                tracked_through(portrait, landmarks, moves), 30, ReferenceRecipe(head=head)
            ).regions[-1]
        ).mean()
        for head in ("pose", "shift")
    }
    assert left["pose"] < 0.25 * left["shift"]


@pytest.mark.parametrize("zoom", [0.75, 1.0, 2.0])
def test_a_pushed_mouth_corner_reads_alike_at_every_face_size(portrait, landmarks, zoom):
    heights = (0.0, 1.0, 2.0, 3.0)
    pictures = [pushed(portrait, landmarks, 48, (-0.6 * h, 0.8 * h)) for h in (*heights, *[0.0] * 14)]
    sized = [
        cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA) for picture in pictures
    ]
    points = (landmarks + 0.5) * zoom - 0.5
    stream = (Tracked(t, picture, points, 0, 0.0) for t, picture in enumerate(sized))
    regions = measure_tracked(stream, 30).regions
    read = np.linalg.norm(regions[:4, MOUTH_LEFT], axis=1)
    assert np.allclose(read, np.array(heights) * read[3] / 3, atol=0.25)  # linear
    assert 0.55 < read[3] / 3 < 1.15
    assert regions[3, MOUTH_LEFT, 1] > 0  # down
    assert np.linalg.norm(regions[3, REGION_NAMES.index("right brow 24")]) < 0.15 * read[3]


def test_the_published_shift_is_right_only_at_the_size_of_the_crop(portrait, landmarks):
    """It is measured in px of the crop and applied to px of the video: here one of the former is more of the latter."""
    moves = [similarity(landmarks, (0.6 * k, 0.0)) for k in range(20)]
    zoomed = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    points = (landmarks + 0.5) * 2 - 0.5
    moves = [similarity(points, (0.6 * k, 0.0)) for k in range(20)]
    left = {}
    for published in (False, True):
        recipe = ReferenceRecipe(head="shift", published_shift=published, passes=1)
        motion = measure_tracked(tracked_through(zoomed, points, moves), 30, recipe)
        left[published] = np.abs(motion.head[:, 0] - 0.6 * np.arange(20) * np.cos(0.1)).max()
    assert left[False] < 0.5 < left[True]


# ---------------------------------------------------------------------------------------------------------------------
# Segments


def still(count, landmarks, image, scene=0, first=0):
    return [Tracked(t, image, landmarks, scene, 0.0) for t in range(first, first + count)]


def test_segments_overlap_and_the_last_one_ends_with_the_video(portrait, landmarks):
    motion = measure_tracked(still(47, landmarks, portrait), 30, SHORT)
    ends = [(s.frames[0], s.frames[-1]) for s in motion.segments()]
    assert ends == [(0, 19), (10, 29), (20, 39), (30, 46)]
    assert motion.known.all()
    (stretch,) = motion.stretches()
    assert np.array_equal(stretch.frames, np.arange(47))
    assert np.abs(stretch.regions).max() < 1e-3


def test_a_cut_a_lost_face_and_a_gap_end_a_segment(portrait, landmarks):
    frames = [
        *still(20, landmarks, portrait),
        *still(20, landmarks, portrait, scene=1, first=20),
        *(Tracked(t, portrait, None, 1, np.nan) for t in range(40, 45)),
        *still(20, landmarks, portrait, scene=2, first=45),
        *still(20, landmarks, portrait, scene=2, first=75),
    ]
    motion = measure_tracked(frames, 30, SHORT)
    ends = [(int(s.frames[0]), int(s.frames[-1])) for s in motion.stretches()]
    assert ends == [(0, 19), (20, 39), (45, 64), (75, 94)]
    assert set(motion.frames[~motion.known]) == set(range(40, 45))


def test_a_single_lost_frame_is_bridged(portrait, landmarks):
    frames = [one for one in still(30, landmarks, portrait) if one.t not in (11, 12)]
    (stretch,) = measure_tracked(frames, 30, ReferenceRecipe()).stretches()
    assert np.array_equal(stretch.frames, np.arange(30))


@pytest.mark.parametrize("frames", [[], "no face", "too short"])
def test_nothing_to_measure_is_no_error(portrait, landmarks, frames):
    if frames == "no face":
        frames = [Tracked(t, portrait, None, 0, np.nan) for t in range(40)]
    elif frames == "too short":
        frames = still(5, landmarks, portrait)
    motion = measure_tracked(frames, 30)
    assert not motion.known.any()
    assert motion.stretches() == []
    assert motion.regions.shape == (0, len(REGION_NAMES), 2)


@pytest.mark.parametrize(("fps", "step"), [(25, 1), (30, 1), (60, 2), (200, 7)])
def test_samples_are_about_thirty_a_second(portrait, landmarks, fps, step):
    motion = measure_tracked(still(22 * step, landmarks, portrait), fps, ReferenceRecipe())
    assert np.array_equal(motion.frames, np.arange(0, 22 * step, step))
    thinned = measure_tracked(still(22 * step, landmarks, portrait)[::step], fps, ReferenceRecipe())
    assert np.array_equal(thinned.frames, motion.frames)


def test_joined_segments_are_one_curve_without_steps():
    path = np.cumsum(np.random.default_rng(4).normal(0, 0.2, (70, 2)), axis=0)
    parts = [np.arange(first, first + 30) for first in (0, 15, 30, 40)]
    regions = np.concatenate(
        [np.repeat((path[p] - path[p[0]])[:, None], len(REGION_NAMES), 1) for p in parts]
    )
    frames = np.concatenate(parts)
    motion = ReferenceMotion(
        np.arange(70),
        np.cumsum([0, *map(len, parts)]),
        frames,
        regions.astype(np.float32),
        *(np.ones((len(frames), 2), np.float32) for _ in range(2)),
        np.zeros(len(frames), np.float32),
    )
    (stretch,) = motion.stretches()
    assert np.abs(stretch.regions[:, 0] - (path - path[0])).max() < 1e-4
    assert len(motion.apart()) == 4


@pytest.mark.parametrize(
    ("moves", "step"),
    [
        ([], 100),
        ([(20, 60)], 100),
        ([(90, 120)], 140),
        ([(80, 170)], 60),
        ([(10, 160)], 170),
        ([(10, 199)], 199),
    ],
)
def test_the_published_step_avoids_what_moves(moves, step):
    regions = np.zeros((200, len(REGION_NAMES), 2))
    for first, last in moves:
        regions[first : last + 1, MOUTH_LEFT] = 3.0
    assert rm._published_step(regions, ReferenceRecipe()) == step


def test_memory_does_not_grow_with_the_video(portrait, landmarks):
    def peak(seconds: int) -> int:
        tracemalloc.start()
        frames = (Tracked(t, portrait.copy(), landmarks, 0, 0.0) for t in range(20 * seconds))
        measure_tracked(frames, 20, ReferenceRecipe(size=64, segment_samples=20, step_samples=20, passes=0))
        return tracemalloc.get_traced_memory()[1]

    short, long = peak(2), peak(6)
    tracemalloc.stop()
    assert long < short + 0.5e6


def test_shut_eyes_are_less_open(portrait, landmarks):
    shut = portrait.copy()
    for eye in rm.EYES:
        low, high = landmarks[list(eye)].min(axis=0), landmarks[list(eye)].max(axis=0)
        left, top = np.floor(low - 4).astype(int)
        right, bottom = np.ceil(high + 4).astype(int)
        shut[top:bottom, left:right] = np.percentile(portrait[top - 9 : bottom + 9, left:right], 75)
    frames = [Tracked(t, shut if 8 <= t < 12 else portrait, landmarks, 0, 0.0) for t in range(20)]
    eyes = measure_tracked(frames, 30).eyes
    assert (eyes[8:12] < 0.5).all()
    assert np.allclose(np.delete(eyes, slice(8, 12), axis=0), 1, atol=0.05)


def test_a_video_is_measured_once(portrait, tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
    for number in range(1, 112):
        cv2.imwrite(str(tmp_path / f"img{number:03d}.jpg"), portrait)
    named = {"frame_prefix": "img", "pad_width": 3, "width": SIDE, "height": SIDE}
    video = Video("own/p/v", "own", "p", "v", tmp_path, "frames", 200.0, 1, 111, **named)
    first = reference_motion(video, ReferenceRecipe(), "cascade")
    assert np.array_equal(first.frames, np.arange(0, 111, 7))
    monkeypatch.setattr(rm, "measure_tracked", lambda *_: pytest.fail("measured again"))
    again = reference_motion(video, ReferenceRecipe(), "cascade")
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_a_video_without_a_face_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
    for number in range(1, 21):
        cv2.imwrite(str(tmp_path / f"img{number:03d}.jpg"), np.full((SIDE, SIDE), 90, np.uint8))
    named = {"frame_prefix": "img", "pad_width": 3, "width": SIDE, "height": SIDE}
    video = Video("own/p/v", "own", "p", "v", tmp_path, "frames", 30.0, 1, 20, **named)
    with pytest.raises(face.NoFaceError, match="own/p/v"):
        reference_motion(video, ReferenceRecipe(), "cascade")
