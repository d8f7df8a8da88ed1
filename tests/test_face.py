"""Faces: both back-ends on a real photograph, on drawn faces with known landmarks, and the aligned crop."""

import functools
import multiprocessing
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib import face as face_module
from mespot_lib.face import (
    MEAN_FACE,
    MESH_VERTICES,
    FaceError,
    NoFaceError,
    available_backend,
    crop_face,
    detect_face,
    detect_faces,
    face_matrix,
    jittered_landmarks,
    load_landmarks,
    px_per_u,
    require_face,
    side_landmarks,
    transform_points,
)
from mespot_lib.frames import iter_frames
from mespot_lib.manifest import Video
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.render import develop, draw_planes, landmarks_px, set_stage
from mespot_lib.synthetic.timeline import neutral_state

HAS_MESH = available_backend() == "mediapipe"
needs_mesh = pytest.mark.skipif(not HAS_MESH, reason="MediaPipe 0.10.21 is not installed")
BACKENDS = [pytest.param("mediapipe", marks=needs_mesh), "cascade"]

# dlib landmarks with left and right exchanged
MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip

CROP_ORIGIN_U = np.array([128, 96])  # of the inner-eye midpoint, from the corner of the crop

# Read off the enlarged photograph by eye, px: corners of the eyes, tip of the nose, corners of the mouth.
SEEN = {36: (192.4, 99.9), 39: (213.2, 103.3), 42: (236.2, 104.5), 45: (258.7, 103.2), 30: (222.4, 126.2)}
SEEN_MOUTH = {48: (202.4, 139.3), 54: (244.9, 139.9)}


SEEN_FACE = MEAN_FACE * 0.369 + (225.0, 103.8)  # the average face at its place


def astronaut_bgr() -> np.ndarray:
    from skimage.data import astronaut

    return cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return astronaut_bgr()


def similarity(angle_deg: float, scale: float, dx: float, dy: float, centre=(224.0, 115.0)) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D(centre, angle_deg, scale)
    matrix[:, 2] += dx, dy
    return matrix


def warp(image: np.ndarray, matrix: np.ndarray, size=(512, 512)) -> np.ndarray:
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def distances_u(landmarks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(landmarks - truth, axis=-1) / px_per_u(truth)


# --- the photograph -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("grey", [False, True])
def test_the_landmarks_are_where_one_sees_them(portrait, backend, grey):
    image = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY) if grey else portrait
    found = detect_face(image, backend)
    assert found.backend == backend
    assert found.landmarks.shape == (68, 2)
    assert found.landmarks.dtype == np.float32
    for index, place in SEEN.items():
        assert np.linalg.norm(found.landmarks[index] - place) < (3 if backend == "mediapipe" else 5), index
    if backend == "mediapipe":  # the average face does not smile
        for index, place in SEEN_MOUTH.items():
            assert np.linalg.norm(found.landmarks[index] - place) < 3, index
    x, y, width, height = found.box
    assert x < 200 < 245 < x + width
    assert y < 100 < 140 < y + height


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "move", [(0, 1.0, 40.3, 25.7), (10, 1.0, 0, 30), (-9, 1.4, -60, 40), (0, 0.7, 10, 0)]
)
def test_landmarks_follow_a_known_warp(portrait, backend, move):
    matrix = similarity(*move)
    still = detect_face(portrait, backend).landmarks
    moved = detect_face(warp(portrait, matrix), backend).landmarks
    distance = distances_u(moved, transform_points(still, matrix))
    assert np.median(distance) < (4 if backend == "mediapipe" else 8)
    assert distance[[39, 42]].max() < (4 if backend == "mediapipe" else 8)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("move", [(0, 1.0, 40.3, 25.7), (9, 1.3, -20, 40)])
def test_detected_crops_of_a_moved_photograph_agree(portrait, backend, move):
    crops = []
    for image in (portrait, warp(portrait, similarity(*move))):
        crops.append(crop_face(image, face_matrix(detect_face(image, backend).landmarks, 128), 128))
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mirrored_face_has_mirrored_landmarks(portrait, backend):
    plain = detect_face(portrait, backend).landmarks
    mirrored = detect_face(np.ascontiguousarray(portrait[:, ::-1]), backend).landmarks
    back = mirrored[MIRROR] * np.float32([-1, 1]) + np.float32([511, 0])
    assert np.median(distances_u(back, plain)) < 5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(900, 520), (1280, 720), (1920, 1080)])
def test_a_small_face_in_a_large_image(portrait, backend, size):
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    left = size[0] // 3
    image[:512, left : left + 512] = portrait
    found = detect_face(image, backend)
    for index in (39, 42):
        assert np.linalg.norm(found.landmarks[index] - np.array(SEEN[index]) - (left, 0)) < 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_largest_face_is_taken(portrait, backend):
    bust = portrait[:300, 80:380]
    image = np.full((300, 500, 3), 80, np.uint8)
    image[60:240, :180] = cv2.resize(bust, (180, 180), interpolation=cv2.INTER_AREA)
    image[:, 200:500] = bust
    found = detect_face(image, backend)
    assert np.linalg.norm(found.landmarks[39] - (213.2 - 80 + 200, 103.3)) < 3


def test_what_looks_like_a_large_face_but_has_no_eyes_loses(portrait, monkeypatch):
    pattern = np.array([270, 120, 140, 140])
    true_boxes = face_module._face_boxes
    monkeypatch.setattr(face_module, "_face_boxes", lambda grey, *_: [pattern, *true_boxes(grey)])
    assert np.linalg.norm(detect_face(portrait, "cascade").landmarks[39] - SEEN[39]) < 3


def test_a_face_with_hidden_eyes_still_gets_its_average_face(portrait, monkeypatch):
    monkeypatch.setattr(face_module, "_eye_centres", lambda grey, box: None)
    found = detect_face(portrait, "cascade")
    assert np.linalg.norm(found.landmarks[[39, 42]] - [SEEN[39], SEEN[42]], axis=1).max() < 6


# --- no face, no MediaPipe, bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_face(backend):
    rng = np.random.default_rng(0)
    for image in (np.zeros((240, 320), np.uint8), rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)):
        assert detect_face(image, backend) is None
        with pytest.raises(
            NoFaceError, match=r"casme2/s15/15_0101, position 12 \(320 x 240 px.*Try: another frame"
        ):
            require_face(image, "casme2/s15/15_0101, position 12", backend)


@pytest.fixture(params=["absent", "too new"])
def no_mesh(request, monkeypatch):
    module = None if request.param == "absent" else types.ModuleType("mediapipe")
    monkeypatch.setitem(sys.modules, "mediapipe", module)


def test_without_mediapipe_the_cascade_serves(portrait, no_mesh):
    assert available_backend() == "cascade"
    assert detect_face(portrait).backend == "cascade"
    with pytest.raises(FaceError, match=r"mediapipe==0\.10\.21.*cascade"):
        detect_face(portrait, "mediapipe")


def test_an_opencv_without_cascades_is_said(portrait, monkeypatch):
    face_module._cascade.cache_clear()
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(FaceError, match="install opencv-python"):
        detect_face(portrait, "cascade")


@needs_mesh
def test_auto_is_mediapipe_where_it_is_installed(portrait):
    assert detect_face(portrait).backend == "mediapipe"


@needs_mesh
def test_mediapipe_is_silent_and_its_import_waits_for_its_use():
    code = """
import sys
import mespot_lib.face as face
assert "mediapipe" not in sys.modules
import cv2
from skimage.data import astronaut
for image in (astronaut(), astronaut()[:300, :400].copy()):
    assert face.detect_face(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), "mediapipe") is not None
print("still heard", file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "still heard"
    assert result.stdout == ""


def detect_in_a_fork(image: np.ndarray, answer) -> None:
    try:
        answer.put(detect_face(image, "mediapipe").backend)
    except FaceError as error:
        answer.put(str(error))


@needs_mesh
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_a_forked_process_is_told_instead_of_hanging(portrait):
    detect_face(portrait, "mediapipe")
    fork = multiprocessing.get_context("fork")
    answer = fork.SimpleQueue()
    worker = fork.Process(target=detect_in_a_fork, args=(portrait, answer), daemon=True)
    worker.start()
    worker.join(30)
    assert worker.exitcode == 0
    assert "spawn" in answer.get()


def test_bad_images_and_back_ends_are_said(portrait):
    with pytest.raises(FaceError, match="unknown face back-end 'dlib'"):
        detect_face(portrait, "dlib")
    for image in (portrait.astype(float), portrait[..., :2], portrait[0, 0]):
        with pytest.raises(FaceError, match="an image is"):
            detect_face(image)


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_faces_are_found_the_largest_first(portrait, backend):
    near = portrait[:260, 90:350]
    both = np.full((260, 480, 3), 120, np.uint8)
    both[:208, :208], both[:, 220:] = cv2.resize(near, (208, 208), interpolation=cv2.INTER_AREA), near
    found = detect_faces(both, backend)
    assert [bool(face.landmarks[30, 0] > 220) for face in found] == [True, False]
    assert all(face.sure for face in found)
    np.testing.assert_array_equal(detect_face(both, backend).landmarks, found[0].landmarks)
    assert detect_faces(np.full((200, 200), 120, np.uint8), backend) == []


def test_a_quick_search_leaves_small_faces_out(portrait):
    far = np.full((512, 512, 3), 120, np.uint8)
    far[:128, :128] = cv2.resize(portrait, (128, 128), interpolation=cv2.INTER_AREA)
    assert detect_faces(far, "cascade", smallest=0.3) == []


# --- tables ---------------------------------------------------------------------------------------------------------


def test_the_average_face_is_symmetric_and_in_units():
    np.testing.assert_array_equal(MEAN_FACE[MIRROR] * (-1, 1), MEAN_FACE)
    assert px_per_u(MEAN_FACE) == 1
    np.testing.assert_array_equal(MEAN_FACE[[39, 42]].mean(axis=0), (0, 0))


@needs_mesh
def test_the_mesh_table_is_symmetric():
    """Mirrored landmarks use mirrored vertices: found by exchanging left and right in MediaPipe's own contours."""
    from mediapipe.python.solutions import face_mesh_connections as contours

    def vertices(edges):
        return {vertex for edge in edges for vertex in edge}

    left, right = vertices(contours.FACEMESH_LEFT_EYE), vertices(contours.FACEMESH_RIGHT_EYE)
    assert set(MESH_VERTICES[36:42].ravel()) <= right  # the person's right eye is on the image's left
    assert set(MESH_VERTICES[42:48].ravel()) <= left
    assert set(MESH_VERTICES[17:22].ravel()) <= vertices(contours.FACEMESH_RIGHT_EYEBROW)
    assert set(MESH_VERTICES[22:27].ravel()) <= vertices(contours.FACEMESH_LEFT_EYEBROW)
    assert set(MESH_VERTICES[48:68].ravel()) <= vertices(contours.FACEMESH_LIPS)
    assert set(MESH_VERTICES[:17].ravel()) <= vertices(contours.FACEMESH_FACE_OVAL)
    assert set(MESH_VERTICES[27:36].ravel()).isdisjoint(left | right | vertices(contours.FACEMESH_LIPS))


# --- alignment ------------------------------------------------------------------------------------------------------

similarities = st.builds(
    similarity, st.floats(-180, 180), st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500)
)


@given(similarities, st.sampled_from([42, 112, 128, 224, 256]))
def test_the_matrix_levels_and_scales_every_face_to_the_same_place(matrix, size):
    landmarks = MEAN_FACE @ matrix[:, :2].T + matrix[:, 2]
    in_crop = transform_points(landmarks, face_matrix(landmarks, size))
    expected = (MEAN_FACE + CROP_ORIGIN_U) * size / 256 - 0.5
    np.testing.assert_allclose(in_crop, expected, atol=1e-2)


@settings(deadline=None, max_examples=15)
@given(angle=st.floats(-25, 25), scale=st.floats(1, 1.8), dx=st.floats(-30, 30), dy=st.floats(-20, 20))
def test_the_crop_of_a_moved_photograph_is_the_crop_of_the_photograph(angle, scale, dx, dy):
    photograph = astronaut_bgr()
    matrix = similarity(angle, scale, dx + 30, dy + 60)
    moved = warp(photograph, matrix, (640, 640))
    crops = [
        crop_face(image, face_matrix(landmarks, 64), 64).astype(float)
        for image, landmarks in ((photograph, SEEN_FACE), (moved, transform_points(SEEN_FACE, matrix)))
    ]
    half_a_pixel = np.abs(np.diff(crops[0], axis=1)).mean() / 2
    assert np.abs(crops[0] - crops[1]).mean() < min(2.5, 0.5 * half_a_pixel)  # of 255


@pytest.mark.parametrize("reduction", [2, 3, 5])
def test_reducing_averages_instead_of_skipping(reduction):
    rng = np.random.default_rng(0)
    size = 64
    noise = rng.integers(0, 255, (size * reduction, size * reduction), dtype=np.uint8)
    landmarks = (MEAN_FACE + CROP_ORIGIN_U) * size * reduction / 256 - 0.5
    crop = crop_face(noise, face_matrix(landmarks, size), size)
    exact = noise.reshape(size, reduction, size, reduction).mean(axis=(1, 3))
    assert np.abs(crop - exact).max() < 6  # rounding, and coordinates to 1/32 px


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_crop_beyond_the_image_repeats_the_edge(channels):
    image = np.full((40, 40, *channels), 77, np.uint8)
    crop = crop_face(image, face_matrix(MEAN_FACE * 0.3 + 5, 96), 96)
    assert crop.shape == (96, 96, *channels)
    assert (crop == 77).all()


def test_a_larger_crop_is_the_same_picture(portrait):
    large, small = (crop_face(portrait, face_matrix(SEEN_FACE, size), size) for size in (256, 64))
    reduced = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(float) - small).mean() < 1.5


@pytest.mark.parametrize("landmarks", [MEAN_FACE * 0, MEAN_FACE * np.nan])
def test_landmarks_without_eyes_make_no_crop(landmarks):
    with pytest.raises(FaceError, match="px per face unit"):
        face_matrix(landmarks, 128)


# --- landmarks from elsewhere ---------------------------------------------------------------------------------------


def test_jitter_has_the_size_asked_for_in_face_units():
    landmarks = np.tile(MEAN_FACE * 0.5, (400, 1, 1))
    noise = jittered_landmarks(landmarks, 0.7, np.random.default_rng(0)) - landmarks
    assert noise.std() == pytest.approx(0.7 * 0.5, rel=0.02)
    assert abs(np.corrcoef(noise[:, 10, 0], noise[:, 11, 0])[0, 1]) < 0.2
    same = jittered_landmarks(landmarks[0], 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(same, landmarks[0], atol=1e-4)


def side_file(path: Path, frame_no, landmarks) -> Path:
    np.savez(path, frame_no=np.array(frame_no, np.int32), landmarks=np.array(landmarks, np.float32))
    return path


def test_a_side_file_is_laid_on_the_frame_axis(tmp_path):
    frame_no = [11, 12, 15]
    path = side_file(tmp_path / "v.npz", frame_no, [MEAN_FACE + number for number in frame_no])
    np.testing.assert_array_equal(load_landmarks(path)[0], frame_no)
    video = Video(
        "toy/s1/v1", "toy", "s1", "v1", tmp_path, "frames", 30.0, 11, 15, missing=((13, 14),), landmarks=path
    )
    on_axis = side_landmarks(video)
    assert on_axis.shape == (5, 68, 2)
    np.testing.assert_array_equal(np.isnan(on_axis[:, 0, 0]), [False, False, True, True, False])
    np.testing.assert_array_equal(on_axis[4], np.float32(MEAN_FACE + 15))

    with pytest.raises(FaceError, match=r"v.npz belongs to another video.*frame 15"):
        side_landmarks(replace(video, last_frame_no=14))
    with pytest.raises(FaceError, match="no landmark side file"):
        side_landmarks(replace(video, landmarks=None))


def test_bad_side_files_are_named(tmp_path):
    absent = tmp_path / "absent.npz"
    text = tmp_path / "text.npz"
    text.write_text("x,y")
    short = side_file(tmp_path / "short.npz", [1, 2, 3], [MEAN_FACE])
    other = tmp_path / "other.npz"
    np.savez(other, points=MEAN_FACE)
    for path in (absent, text, short, other):
        with pytest.raises(FaceError, match=path.name):
            load_landmarks(path)


# --- drawn faces ----------------------------------------------------------------------------------------------------

# Median distance in u from the drawn landmarks, by back-end, for (inner eye corners, eyes, brows, nose, mouth). The
# average face cannot know where a mouth is; brows and nose also differ in what the definitions mean.
GROUPS = {
    "inner": [39, 42],
    "eyes": range(36, 48),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "mouth": range(48, 68),
}
DRAWN_BOUNDS_U = {
    "mediapipe": {"inner": 4, "eyes": 6, "brows": 9, "nose": 8, "mouth": 10},
    "cascade": {"inner": 5, "eyes": 8, "brows": 10, "nose": 10, "mouth": 18},
}


@functools.cache
def drawn_face(seed: int, config: SyntheticConfig, open_eyes: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and the exact landmarks of a neutral face; cached, because painting a person takes a second."""
    stage = set_stage(make_identity(seed), config, seed)
    neutral = neutral_state(opening=np.full(2, float(open_eyes)))
    return develop(stage, draw_planes(stage, neutral), np.random.default_rng(seed)), landmarks_px(
        stage, neutral
    )


def camera(width: int, height: int, pixels_per_u: float, grey: bool) -> SyntheticConfig:
    return replace(SyntheticConfig(), width=width, height=height, pixels_per_u=pixels_per_u, grey=grey)


CAMERAS = [camera(256, 256, 0.6, False), camera(320, 240, 0.52, True), camera(640, 480, 1.0, False)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_drawn_faces_are_found_where_they_are_drawn(backend):
    distances = []
    for seed, config in zip((3, 14, 15), CAMERAS, strict=True):
        image, truth = drawn_face(seed, config)
        distances.append(distances_u(require_face(image, f"identity {seed}", backend).landmarks, truth))
    for name, indices in GROUPS.items():
        assert np.median(np.array(distances)[:, list(indices)]) < DRAWN_BOUNDS_U[backend][name], name


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_drawn_face_is_found_during_a_blink(backend):
    image, truth = drawn_face(3, CAMERAS[0], open_eyes=False)
    found = require_face(image, "a blink", backend)
    assert distances_u(found.landmarks, truth)[[39, 42]].max() < 12


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_nearly_all_drawn_faces_are_found(backend):
    distances, missed, several = [], [], 0
    for seed in range(20):
        for config in CAMERAS:
            image, truth = drawn_face(seed, config)
            found = detect_face(image, backend)
            if found is None:
                missed.append((seed, config.width))
                continue
            distances.append(distances_u(found.landmarks, truth))
            grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            several += len(face_module._face_boxes(grey)) != 1
    assert len(missed) <= 1, missed
    assert several <= 1
    distances = np.array(distances)
    assert np.quantile(distances[:, [39, 42]].mean(axis=1), 0.95) < 8
    for name, indices in GROUPS.items():
        assert np.median(distances[:, list(indices)]) < DRAWN_BOUNDS_U[backend][name], name


# --- a real clip ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_face_is_found_all_along_a_real_clip(backend):
    clip = os.environ.get("MESPOT_REAL_CLIP")
    if not clip or not Path(clip).is_file():
        pytest.skip("set MESPOT_REAL_CLIP to a video file of one person's face")
    capture = cv2.VideoCapture(clip)
    length, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    video = Video("own/p1/clip", "own", "p1", "clip", Path(clip), "video", fps, 0, length - 1)
    faces = [detect_face(image, backend) for _, image in iter_frames(video, step=24, grey=False)]
    assert len(faces) > 10
    assert np.mean([found is not None for found in faces]) > 0.9
