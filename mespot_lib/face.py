"""Faces: detection, the 68 landmarks, and the aligned crop that every method works on.

Two back-ends find the landmarks. `mediapipe` (its face mesh, where MediaPipe 0.10.21 is installed) measures them;
`cascade` (OpenCV's bundled cascades, always there) finds the face and the eyes and lays an average face over them:
good for cropping, blind to the expression.

Units and crop
    Landmarks are the 68 of dlib, 0-based, in px; whole numbers are pixel centres. One *face unit* `u` is 1/64 of the
    distance between the inner eye corners (landmarks 39 and 42), about half a millimetre. The crop is centred on the
    midpoint of these corners and spans 128 u to the left and right, 96 u up and 160 u down, with the eyes level: a
    crop of S px has S / 256 px per u.
"""

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import cv2.data
import numpy as np
import pandas as pd

from mespot_lib.frames import as_grey
from mespot_lib.manifest import DatasetError, Video

Backend = Literal["auto", "mediapipe", "cascade"]

INNER_EYES_U = 64.0  # between landmarks 39 and 42, by definition of u
CROP_UNITS = 256.0  # side of the crop
EYES_BELOW_TOP_U = 96.0  # of the crop

# An average neutral face in u, origin between the inner eye corners, y down. Proportions: midway between the drawn
# faces and what MediaPipe measures on photographs; symmetric.
# fmt: off
MEAN_FACE = np.array([
    (-129, 6), (-126, 58), (-121, 90), (-112, 121), (-92, 156), (-72, 178), (-46, 196), (-23, 205), (0, 208),  # jaw
    (23, 205), (46, 196), (72, 178), (92, 156), (112, 121), (121, 90), (126, 58), (129, 6),
    (-97, -37), (-81, -44), (-62, -46), (-41, -44), (-25, -40),  # brows
    (25, -40), (41, -44), (62, -46), (81, -44), (97, -37),
    (0, 0), (0, 24), (0, 49), (0, 73), (-26, 84), (-12, 88), (0, 90), (12, 88), (26, 84),  # nose
    (-84, -2), (-70, -9), (-51, -9), (-32, 0), (-49, 4), (-68, 4),  # eyes
    (32, 0), (51, -9), (70, -9), (84, -2), (68, 4), (49, 4),
    (-52, 130), (-36, 123), (-14, 119), (0, 121), (14, 119), (36, 123), (52, 130),  # outer lips
    (36, 140), (15, 147), (0, 148), (-15, 147), (-36, 140),
    (-46, 130), (-21, 130), (0, 131), (21, 130), (46, 130), (21, 133), (0, 134), (-21, 133),  # inner lips
], dtype=np.float64)

# Each dlib point as the mean of two vertices of MediaPipe's mesh (twice the same where one vertex sits right). Jaw:
# the contour of the mesh at even distances; brows: between their upper and lower row. Symmetric.
MESH_VERTICES = np.array([
    (127, 127), (93, 93), (132, 132), (58, 58), (136, 136), (150, 150), (176, 176), (148, 148), (152, 152),  # jaw
    (377, 377), (400, 400), (379, 379), (365, 365), (288, 288), (361, 361), (323, 323), (356, 356),
    (63, 46), (105, 53), (66, 52), (107, 65), (107, 55),  # brows
    (336, 285), (336, 295), (296, 282), (334, 283), (293, 276),
    (168, 6), (197, 197), (5, 5), (1, 4), (98, 75), (97, 242), (2, 2), (326, 462), (327, 305),  # nose
    (33, 33), (160, 160), (158, 158), (133, 133), (153, 153), (144, 144),  # eyes
    (362, 362), (385, 385), (387, 387), (263, 263), (373, 373), (380, 380),
    (61, 61), (40, 40), (37, 37), (0, 0), (267, 267), (270, 270), (291, 291),  # outer lips
    (321, 321), (314, 314), (17, 17), (84, 84), (91, 91),
    (78, 78), (81, 81), (13, 13), (311, 311), (308, 308), (402, 402), (14, 14), (178, 178),  # inner lips
])
# fmt: on

# Where the cascades put their boxes, in u: between what they do on drawn faces and on photographs. The face box is
# 315 u wide on the former and 266 to 300 u on the latter; the eyes come out a little too far left on both.
BOX_WIDTH_U = 305.0
BOX_CENTRE_U = np.array([1.0, 25.0])
EYES_U = np.array([(-62.5, -6.0), (57.5, -6.0)])

_SEARCH_SIDES = (360, 960)  # px of the longer side: the quick search, then the one for small faces
_SMALLEST_FACE = 0.12  # of the shorter side of the image in the quick search
_NEAR_ENOUGH = 0.25  # of the longer side: a mesh of a narrower face is inaccurate
_mesh_lock = threading.Lock()


class FaceError(ValueError):
    """A face or its landmarks cannot be had."""


class NoFaceError(FaceError):
    """No face has been found in an image."""


@dataclass(frozen=True)
class Face:
    """A detected face.

    box : x, y, width, height in px; of the cascade, or around the landmarks
    landmarks : (68, 2) float32 px
    backend : the back-end that found it
    sure : False where the cascade has not found both eyes in the box: now and then that is no face
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    backend: Literal["mediapipe", "cascade"]
    sure: bool = True


def available_backend() -> Literal["mediapipe", "cascade"]:
    """Return what "auto" means here: `mediapipe` where its face mesh can be imported, else `cascade`."""
    return "cascade" if _face_mesh_class() is None else "mediapipe"


def detect_face(image: np.ndarray, backend: str = "auto") -> Face | None:
    """Return the largest face in an image, None if there is none; see `detect_faces`."""
    return next(iter(detect_faces(image, backend)), None)


def detect_faces(image: np.ndarray, backend: str = "auto", smallest: float = _SMALLEST_FACE) -> list[Face]:
    """Return the faces in an image, the largest first.

    image : (H, W) grey or (H, W, 3) blue, green, red, uint8
    smallest : width of the smallest face that the cascade looks for, as a part of the image's shorter side; larger is
        faster. At its usual value an image of more than 360 px without a face is searched again for smaller ones,
        which takes many times as long.

    Raises
    ------
    FaceError
        If MediaPipe is asked for and cannot be imported, or cannot work in this process because it has been forked;
        or if the image has another shape or type.
    """
    _check_image(image)
    if backend == "auto":
        backend = available_backend()
    if backend == "mediapipe":
        return _mesh_faces(image, smallest)
    if backend == "cascade":
        return _cascade_faces(image, smallest)
    raise FaceError(f'unknown face back-end {backend!r}: "auto", "mediapipe" or "cascade"')


def require_face(image: np.ndarray, where: str, backend: str = "auto") -> Face:
    """Return the largest face in an image; `where` names the image in the error ("casme2/s15/15_0101, position 12").

    Raises
    ------
    NoFaceError
        If there is none.
    """
    face = detect_face(image, backend)
    if face is None:
        height, width = image.shape[:2]
        raise NoFaceError(
            f"no face found in {where} ({width} x {height} px, back-end {backend}). Try: another frame; the other "
            f"back-end (mediapipe or cascade); frames in which the face is upright, frontal and at least "
            f"{_SMALLEST_FACE:.0%} of the image's shorter side; or a landmark side file"
        )
    return face


# --- landmarks from elsewhere ---------------------------------------------------------------------------------------


def load_landmarks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a landmark side file: frame numbers (T,) int32 and landmarks (T, 68, 2) float32 px.

    The file is an .npz with the arrays `frame_no` and `landmarks`.

    Raises
    ------
    FaceError
        If the file is absent, damaged, or has other arrays or shapes.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            frame_no, landmarks = arrays["frame_no"], arrays["landmarks"]
    except Exception as error:  # zipfile, pickle, key and OS errors, by the kind of damage
        raise FaceError(f"the landmark file {path} cannot be read: {error}") from error
    if landmarks.shape != (len(frame_no), 68, 2) or frame_no.ndim != 1:
        raise FaceError(
            f"the landmark file {path} has frame_no {frame_no.shape} and landmarks {landmarks.shape}; "
            "expected (T,) and (T, 68, 2)"
        )
    return frame_no.astype(np.int32), landmarks.astype(np.float32)


def load_openface(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the landmarks of an OpenFace table: frame numbers (T,) int32 from 1, landmarks (T, 68, 2) float32 px.

    The file is the .csv of OpenFace's FeatureExtraction with 2D landmarks: columns `frame`, `success`, `x_0` to `x_67`,
    `y_0` to `y_67` (names may have blanks around them). Frames without success are left out. Where there are several
    faces, the one of the first `face_id` counts.

    Raises
    ------
    FaceError
        If the file is absent or no such table, or a frame stands in it twice.
    """
    names = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise FaceError(f"the landmark table {path} cannot be read: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in ("frame", "success", *names) if name not in table.columns]
    if missing:
        raise FaceError(
            f"the landmark table {path} lacks {len(missing)} columns, the first {missing[0]!r}; OpenFace writes them "
            "with -2Dfp"
        )
    if "face_id" in table.columns and len(table):
        table = table[table["face_id"] == table["face_id"].iloc[0]]
    try:
        values = table[["frame", "success", *names]].astype(float).to_numpy()
    except ValueError as error:
        raise FaceError(f"the landmark table {path} has a cell that is no number: {error}") from error
    found = values[(values[:, 1] == 1) & np.isfinite(values).all(axis=1)]
    numbers = found[:, 0].astype(np.int32)
    if (np.diff(numbers) <= 0).any() or (numbers < 1).any():
        raise FaceError(f"the landmark table {path}: its frame numbers do not count upwards from 1")
    return numbers, found[:, 2:].reshape(-1, 2, 68).transpose(0, 2, 1).astype(np.float32)


def side_landmarks(video: Video, path: Path | None = None) -> np.ndarray:
    """Return landmarks from a file on a video's frame axis: (T, 68, 2) float32 px, NaN where the file has none.

    path : an .npz side file (`load_landmarks`; its frame numbers are those of the video), or a .csv of OpenFace
        (`load_openface`, whose first frame is the first one of the video); by default the side file of the manifest.

    Raises
    ------
    FaceError
        If there is no file, it cannot be read, or it has a frame that the video lacks.
    """
    path = Path(path) if path is not None else video.landmarks
    if path is None:
        raise FaceError(f"{video.uid} has no landmark side file")
    if path.suffix.lower() == ".csv":
        numbers, landmarks = load_openface(path)
        frame_no = _nth_frame_numbers(video, numbers, path)
    else:
        frame_no, landmarks = load_landmarks(path)
    try:
        positions = [video.position(int(number)) for number in frame_no]
    except DatasetError as error:
        raise FaceError(f"the landmark file {path} belongs to another video: {error}") from error
    on_axis = np.full((video.length, 68, 2), np.nan, dtype=np.float32)
    on_axis[positions] = landmarks
    return on_axis


def _nth_frame_numbers(video: Video, numbers: np.ndarray, path: Path) -> np.ndarray:
    """Return the frame numbers of the n-th frames, n from 1: OpenFace counts the frames that there are, not gaps."""
    absent = {number for first, last in video.missing for number in range(first, last + 1)}
    present = np.array([n for n in range(video.first_frame_no, video.last_frame_no + 1) if n not in absent])
    if len(numbers) and numbers[-1] > len(present):
        raise FaceError(
            f"the landmark file {path} belongs to another video: it has frame {numbers[-1]}, {video.uid} has "
            f"{len(present)} frames"
        )
    return present[numbers - 1]


def jittered_landmarks(landmarks: np.ndarray, sigma_u: float, rng: np.random.Generator) -> np.ndarray:
    """Return landmarks (..., 68, 2) with independent normal noise of `sigma_u` face units in x and y.

    Exact landmarks flatter a pipeline; this makes them as unsteady as those of a detector.
    """
    sigma = sigma_u * px_per_u(landmarks)[..., None, None]
    return (landmarks + sigma * rng.standard_normal(landmarks.shape)).astype(np.float32)


# --- alignment ------------------------------------------------------------------------------------------------------


def px_per_u(landmarks: np.ndarray) -> np.ndarray:
    """Return how many px one face unit is: (...) for landmarks (..., 68, 2)."""
    return np.linalg.norm(landmarks[..., 42, :] - landmarks[..., 39, :], axis=-1) / INNER_EYES_U


def face_matrix(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Return the similarity that maps image px to px of the face crop of side `size`: (2, 3) float64.

    Position and scale come from the inner eye corners, the roll from all four corners, which is half as noisy.

    Raises
    ------
    FaceError
        If the eye corners are not finite or coincide, or `size` is not positive.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    scale_px = float(px_per_u(landmarks))
    if size < 1 or not np.isfinite(scale_px) or scale_px <= 0:
        raise FaceError(f"no crop of {size} px from landmarks with {scale_px:.3g} px per face unit")
    across = landmarks[[42, 45]].mean(axis=0) - landmarks[[39, 36]].mean(axis=0)
    cos, sin = across / np.linalg.norm(across) * (size / CROP_UNITS / scale_px)
    turn = np.array([[cos, sin], [-sin, cos]])
    # Half a pixel less, because 0 is the centre of the first pixel and the crop begins at its edge.
    target = np.array([CROP_UNITS / 2, EYES_BELOW_TOP_U]) * size / CROP_UNITS - 0.5
    return np.column_stack([turn, target - turn @ landmarks[[39, 42]].mean(axis=0)])


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map points (..., 2) px through a (2, 3) matrix; with `face_matrix`, from the image into the crop."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def crop_face(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the crop (size, size) or (size, size, 3) of an image through a matrix of `face_matrix`.

    The image is interpolated once. Where the crop has fewer pixels than the face, several samples per pixel are
    averaged, so that fine texture does not alias into motion. Beyond the image its edge is repeated.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    samples = max(1, int(np.ceil(1 / scale - 0.05)))
    fine = matrix * samples
    fine[:, 2] += (samples - 1) / 2  # pixel centres again
    side = size * samples
    crop = cv2.warpAffine(image, fine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop if samples == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


# --- the cascade ----------------------------------------------------------------------------------------------------


def _cascade_faces(image: np.ndarray, smallest: float) -> list[Face]:
    grey = as_grey(image)
    candidates = [(box, _eye_centres(grey, box)) for box in _face_boxes(grey, smallest)]
    # What has eyes is a face; only then does size count, because some patterns pass for a large face.
    candidates.sort(key=lambda candidate: (candidate[1] is not None, candidate[0][2]), reverse=True)
    return [
        Face(tuple(box.tolist()), _mean_face_at(box, eyes), "cascade", eyes is not None)
        for box, eyes in candidates
    ]


def _face_boxes(grey: np.ndarray, smallest: float = _SMALLEST_FACE) -> list[np.ndarray]:
    """Return the boxes (x, y, width, height) px of faces, searching the image at a moderate size first."""
    for side in _SEARCH_SIDES if smallest <= _SMALLEST_FACE else _SEARCH_SIDES[:1]:
        zoom = min(2.0, side / max(grey.shape))
        sized = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        least = int(smallest * min(sized.shape) * _SEARCH_SIDES[0] / side)
        # Five overlapping hits make a face: patterns in photographs that are none reach four.
        boxes = _cascade("haarcascade_frontalface_alt2.xml").detectMultiScale(
            sized, 1.1, 5, minSize=(least, least)
        )
        if len(boxes) or zoom >= 1:
            return [box / zoom for box in boxes]
    return []


def _eye_centres(grey: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Return the centres (2, 2) of the left and right eye in the image, or None unless both stand where eyes do."""
    x, y, width = box[:3]
    top, left = max(0, int(y + 0.15 * width)), max(0, int(x))
    region = grey[top : int(y + 0.6 * width), left : int(x + width)]
    zoom = 200 / width
    region = cv2.resize(region, None, fx=zoom, fy=zoom)
    found = _cascade("haarcascade_eye.xml").detectMultiScale(
        region, 1.1, 4, minSize=(30, 30), maxSize=(90, 90)
    )
    if len(found) < 2:
        return None
    eyes = np.asarray(found)  # (N, 4): x, y, width, height
    centres = (eyes[:, :2] + eyes[:, 2:] / 2) / zoom + (left, top)
    distance = np.linalg.norm(centres[None] - _expected(box, EYES_U)[:, None], axis=2)
    nearest = distance.argmin(axis=1)
    return centres[nearest] if (distance.min(axis=1) < 0.15 * width).all() else None


def _mean_face_at(box: np.ndarray, eyes: np.ndarray | None) -> np.ndarray:
    """Lay the average face over a box and, where found, over the centres of the eyes: (68, 2) float32 px.

    The eyes give the place and the roll. Both eyes and box measure the scale, each to about 4 %: their mean is used.
    """
    if eyes is None:
        return _expected(box, MEAN_FACE).astype(np.float32)
    across, across_u = eyes[1] - eyes[0], EYES_U[1, 0] - EYES_U[0, 0]
    distance = np.linalg.norm(across)
    scale = np.sqrt(distance / across_u * box[2] / BOX_WIDTH_U)
    cos, sin = across / distance * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    return ((MEAN_FACE - EYES_U.mean(axis=0)) @ turn.T + eyes.mean(axis=0)).astype(np.float32)


def _expected(box: np.ndarray, points_u: np.ndarray) -> np.ndarray:
    """Return where points of the average face lie in an upright cascade box."""
    x, y, width, height = box
    return (points_u - BOX_CENTRE_U) * width / BOX_WIDTH_U + (x + (width - 1) / 2, y + (height - 1) / 2)


@functools.cache
def _cascade(name: str) -> cv2.CascadeClassifier:
    if not hasattr(cv2, "CascadeClassifier"):
        raise FaceError(
            f"OpenCV {cv2.__version__} has no cascade classifier; install opencv-python >= 4.10, < 5"
        )
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / name))


# --- MediaPipe ------------------------------------------------------------------------------------------------------


def _mesh_faces(image: np.ndarray, smallest: float) -> list[Face]:
    """Find the faces; look a second time from near at what is small, and at what has not been seen from afar."""
    if _face_mesh_class() is None:
        raise FaceError(
            "MediaPipe's face mesh cannot be imported: install mediapipe==0.10.21 (later ones do not carry the model) "
            'or use the back-end "cascade"'
        )
    meshes = _meshes(image)
    boxes = [_box(mesh) for mesh in meshes] or [face.box for face in _cascade_faces(image, smallest)[:1]]
    near_enough = _NEAR_ENOUGH * max(image.shape[:2])
    found = [
        meshes[i] if meshes and box[2] > near_enough else _mesh_from_near(image, box)
        for i, box in enumerate(boxes)
    ]
    faces = [Face(_box(mesh), mesh, "mediapipe") for mesh in found if mesh is not None]
    return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)


def _mesh_from_near(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray | None:
    """Return the landmarks of the face in the middle of the doubled box, None if the mesh sees none."""
    x, y, width, height = box
    side = int(2 * max(width, height))
    left, top = int(max(0, x + (width - side) / 2)), int(max(0, y + (height - side) / 2))
    meshes = _meshes(np.ascontiguousarray(image[top : top + side, left : left + side]))
    middle = np.array((x + width / 2 - left, y + height / 2 - top), np.float32)
    nearest = min(meshes, key=lambda mesh: np.linalg.norm(mesh.mean(axis=0) - middle), default=None)
    return None if nearest is None else nearest + np.array((left, top), np.float32)


def _meshes(image: np.ndarray) -> list[np.ndarray]:
    """Return the landmarks (68, 2) px of every face that MediaPipe sees."""
    colour = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)
    with _mesh_lock, _silent_stderr():
        mesh, process = _face_mesh()
        if process != os.getpid():
            raise FaceError(
                "this process was forked from one that used MediaPipe's face mesh, where it would hang: start worker "
                'processes by "spawn"'
            )
        meshes = mesh.process(colour).multi_face_landmarks or ()
    return [_mesh_landmarks(mesh, image.shape) for mesh in meshes]


def _box(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    return (*landmarks.min(axis=0).tolist(), *np.ptp(landmarks, axis=0).tolist())


def _mesh_landmarks(mesh: Any, shape: tuple[int, ...]) -> np.ndarray:
    vertices = np.array([(vertex.x, vertex.y) for vertex in mesh.landmark])
    # MediaPipe counts from the edge of the first pixel, we count from its centre.
    px = vertices * (shape[1], shape[0]) - 0.5
    return px[MESH_VERTICES].mean(axis=1).astype(np.float32)


def _face_mesh_class() -> Any:
    """Return MediaPipe's FaceMesh, or None where MediaPipe is absent or too new to have it."""
    try:
        import mediapipe

        return mediapipe.solutions.face_mesh.FaceMesh
    except (ImportError, AttributeError):
        return None


@functools.cache
def _face_mesh() -> tuple[Any, int]:
    """Return the one face mesh of this process, because making it is slow, and the process it works in."""
    return _face_mesh_class()(
        static_image_mode=True, max_num_faces=4, min_detection_confidence=0.5
    ), os.getpid()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep MediaPipe's C++ log, which no setting stops, off the terminal."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise FaceError(f"an image is (H, W) or (H, W, 3) uint8, not {image.shape} of {image.dtype}")
