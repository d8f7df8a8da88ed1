"""Single pictures of expressions, in classes: what a face network is first trained on, before it sees any video.

    drawn stills          several hundred drawn people, each at rest and with expressions of all sizes; the default
    AffectNet (licensed)  photographs of the internet, labelled by hand (Mollahosseini et al. 2017)

Both come as grey face crops with the labels of AffectNet. The drawn people are in no dataset of this project, so what
is trained on them may be used for every fold. They are drawn once, in about two minutes, and kept in the cache.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import FileLock

from mespot_lib import face, places
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.render import Stage, develop, draw_planes, landmarks_px, set_stage
from mespot_lib.synthetic.timeline import FrameState, Timeline, neutral_state, plan_timeline
from mespot_lib.synthetic.write import GENERATOR_VERSION

# The labels of AffectNet in its numbering; 8 to 10 are none, uncertain and no face, which are left out.
CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")

# The drawn combinations of action units as emotions, after EMFACS. Nobody drawn is afraid.
EMOTION_OF_UNITS = {
    ("12",): "happiness",
    ("6", "12"): "happiness",
    ("15",): "sadness",
    ("1", "2"): "surprise",
    ("9", "10"): "disgust",
    ("4",): "anger",
    ("4", "7"): "anger",
    ("7",): "anger",
    ("24",): "anger",
    ("14",): "contempt",
    ("12", "14"): "contempt",
}

# Raise it when the code below draws other pictures from the same recipe.
STILLS_VERSION = 1

_STREAM = 3  # of seeds; 1 and 2 are the faces and the videos of the drawn datasets
_EXPRESSIONS = 8  # of a person
_SECONDS = 60.0  # of the timeline from which a person's pictures are taken

_COLUMNS = (  # of AffectNet's lists, the first that are needed
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
)


class StillsError(ValueError):
    """Stills that cannot be read; the message names the file and what is expected of it."""


class Stills(NamedTuple):
    """Pictures of expressions.

    faces : (N, S, S) float16, grey levels 0 to 255, face crops
    rest : (P, S, S) float16, each person without expression; or (1, S, S), one face for all, where there is only one
        picture of each
    person : (N,) int64, whose picture it is; row of `rest`
    labels : (N,) int64, into `CLASSES`
    """

    faces: np.ndarray
    rest: np.ndarray
    person: np.ndarray
    labels: np.ndarray

    def at_rest(self, rows: np.ndarray) -> np.ndarray:
        """Return the faces at rest (B, S, S) that belong to some pictures (B,)."""
        return self.rest[np.minimum(self.person[rows], len(self.rest) - 1)]


@dataclass(frozen=True)
class StillsRecipe:
    """Settings of `drawn_stills`.

    people : drawn people, half a second each; pictures : of each of them, about half of them neutral
    size : edge of the crops, px
    amplitude_u : of the expressions: median, log standard deviation, least, most
    jitter_u : standard deviation of the place of a crop; what registration leaves in videos
    seed : of everything
    """

    people: int = 200
    pictures: int = 32
    size: int = 48
    amplitude_u: tuple[float, float, float, float] = (3.0, 0.7, 0.8, 14.0)
    jitter_u: float = 0.1
    seed: int = 4051


# ---------------------------------------------------------------------------------------------------------------------
# Drawn


def drawn_stills(recipe: StillsRecipe, progress: bool | None = None) -> Stills:
    """Return the drawn stills of a recipe, from the cache or drawn now.

    progress : show a bar on stderr; None shows it on terminals only.
    """
    key = {"recipe": asdict(recipe), "version": STILLS_VERSION, "generator": GENERATOR_VERSION}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = places.cache_root() / "expression_stills" / f"drawn-{digest}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):  # a second process waits, and finds them drawn
        if not path.is_file():
            drawn = _draw(recipe, progress)
            part = path.with_suffix(f".{os.getpid()}.tmp")
            with part.open("wb") as file:
                np.savez(file, **drawn._asdict())
            os.replace(part, path)
    with np.load(path, allow_pickle=False) as arrays:
        return Stills(**{name: arrays[name] for name in Stills._fields})


def person_seed(recipe: StillsRecipe, person: int) -> int:
    """Return the seed of a drawn person (from 0); no dataset draws a face from it."""
    words = (recipe.seed, _STREAM, person)
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _draw(recipe: StillsRecipe, progress: bool | None) -> Stills:
    from tqdm import tqdm

    hidden = None if progress is None else not progress
    people = tqdm(range(recipe.people), desc="expression stills", unit="person", disable=hidden)
    rest, faces, person, labels = [], [], [], []
    for number in people:
        at_rest, pictures = _draw_person(recipe, person_seed(recipe, number))
        rest.append(at_rest)
        for picture, label in pictures:
            faces.append(picture)
            person.append(number)
            labels.append(label)
    return Stills(np.array(faces, np.float16), np.array(rest, np.float16), np.array(person), np.array(labels))


def _draw_person(recipe: StillsRecipe, seed: int) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
    """Return a person at rest (S, S) and pictures with labels, taken from a timeline with blinks, gaze and speech."""
    config = replace(
        SyntheticConfig.casme2(),
        grey=True,
        seconds_per_video=_SECONDS,
        mae_amplitude_u=recipe.amplitude_u,
        mae_seconds=(1.5, 0.3, 0.8, 3.0),
        talks_per_min=2.0,
    )
    timeline = plan_timeline(config, seed, {"ME": 0, "MaE": _EXPRESSIONS})
    stage = set_stage(make_identity(seed), config, seed)
    rng = np.random.default_rng([seed, _STREAM])
    still = neutral_state()
    at_rest = _crop(stage, still, draw_planes(stage, still)[0], recipe, 0)
    pictures = []
    for frame, label in _moments(timeline, recipe.pictures, rng):
        state = timeline.state(frame)
        image = develop(stage, draw_planes(stage, state), rng)
        shift_px = rng.normal(0, recipe.jitter_u * recipe.size / face.CROP_UNITS, 2)
        pictures.append((_crop(stage, state, image, recipe, shift_px), label))
    return at_rest, pictures


def _moments(timeline: Timeline, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Yield frames with labels: half of them within expressions (the middle half of their time), half far from any."""
    busy = np.zeros(len(timeline), dtype=bool)
    for event in timeline.events:
        busy[event.exact_onset : event.exact_offset + 1] = True
    for number in range(count // 2):
        event = timeline.events[number % len(timeline.events)]
        low, high = (event.onset + event.apex) // 2, (event.apex + event.offset) // 2
        yield int(rng.integers(low, high + 1)), CLASSES.index(EMOTION_OF_UNITS[event.aus])
    for frame in rng.choice(np.flatnonzero(~busy), count - count // 2, replace=False):
        yield int(frame), CLASSES.index("neutral")


def _crop(
    stage: Stage, state: FrameState, image: np.ndarray, recipe: StillsRecipe, shift_px: np.ndarray | float
) -> np.ndarray:
    """Cut the face out by the pose of the head alone, as registration does in videos: the expression moves nothing."""
    pose = {name: getattr(state, name) for name in ("x", "y", "roll", "size", "yaw", "pitch")}
    matrix = face.face_matrix(landmarks_px(stage, neutral_state(**pose)), recipe.size)
    matrix[:, 2] += shift_px
    return face.crop_face(image.astype(np.float32), matrix, recipe.size)


# ---------------------------------------------------------------------------------------------------------------------
# AffectNet


class Photograph(NamedTuple):
    """One labelled picture of AffectNet: file, class, and its 68 landmarks as text or as the file that holds them."""

    image: Path
    label: int
    landmarks: str | Path


def read_affectnet(
    root: str | Path, size: int, split: str = "train", most_per_class: int = 4000, seed: int = 0
) -> Stills:
    """Return face crops of the licensed set; see `list_affectnet` for the two ways it is laid out.

    There is one picture of each person, so the mean of the neutral pictures stands for the face at rest of all.

    Parameters
    ----------
    size : edge of the crops, px.
    most_per_class : so many pictures of each class, drawn with `seed`; happiness has 36 times as many as contempt.

    Raises
    ------
    StillsError
        If the folder has neither layout, a picture or its landmarks cannot be read, or there is no neutral picture.
    """
    photographs = _evened(list_affectnet(root, split), most_per_class, seed)
    labels = np.array([one.label for one in photographs], dtype=np.int64)
    if not (labels == 0).any():
        raise StillsError(f"{root}: no neutral picture among the {len(labels)} of the {split} split")
    faces = np.empty((len(photographs), size, size), dtype=np.float16)
    for row, one in enumerate(photographs):
        faces[row] = _cut_out(one, size)
    rest = faces[labels == 0].mean(axis=0, dtype=np.float32).astype(np.float16)
    return Stills(faces, rest[None], np.arange(len(labels)), labels)


def list_affectnet(root: str | Path, split: str = "train") -> list[Photograph]:
    """Return the labelled pictures of one split ("train" or "val"), those of the eight `CLASSES` only.

    Two layouts are known, the lists of the first release and the folders of the later one with eight labels:

        training.csv, validation.csv          subDirectory_filePath, face_x, ..., facial_landmarks, expression, ...
        Manually_Annotated_Images/<n>/<picture>

        train_set/images/<n>.jpg              and val_set/...
        train_set/annotations/<n>_exp.npy, <n>_lnd.npy

    The lists may lie beside the pictures' folder or in one of their own below the root, with or without their first
    line of names. Landmarks are 68 pairs x, y in px of the picture.

    Raises
    ------
    StillsError
        If the folder has neither layout, or a row or an annotation cannot be read; the message names it.
    """
    root = Path(root).expanduser()
    folder = root / f"{split}_set"
    if (folder / "annotations").is_dir():
        return list(_in_folders(folder))
    name = {"train": "training.csv", "val": "validation.csv"}[split]
    table = next(iter(sorted(root.rglob(name))), None) if root.is_dir() else None
    pictures = next(iter(sorted(root.rglob("Manually_Annotated_Images"))), None) if table else None
    if table is None or pictures is None:
        raise StillsError(
            f"{root}: neither {split}_set/annotations nor {name} with Manually_Annotated_Images is in it; "
            "give the folder into which AffectNet was unpacked"
        )
    return list(_in_table(table, pictures))


def _in_folders(folder: Path) -> Iterator[Photograph]:
    for file in sorted((folder / "annotations").glob("*_exp.npy")):
        number = file.name.removesuffix("_exp.npy")
        label = _label(_array(file).ravel()[:1].tolist(), str(file))
        if label is not None:
            yield Photograph(folder / "images" / f"{number}.jpg", label, file.with_name(f"{number}_lnd.npy"))


def _in_table(table: Path, pictures: Path) -> Iterator[Photograph]:
    with table.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not row or row[0] == _COLUMNS[0]:
                continue
            if len(row) < len(_COLUMNS):
                raise StillsError(f"{table}, row {number}: {len(row)} cells, expected {', '.join(_COLUMNS)}")
            cells = dict(zip(_COLUMNS, row, strict=False))
            label = _label([cells["expression"]], f"{table}, row {number}")
            if label is not None:
                yield Photograph(pictures / cells["subDirectory_filePath"], label, cells["facial_landmarks"])


def _label(found: Sequence, place: str) -> int | None:
    """Return the class, None for what is left out."""
    try:
        number = int(found[0])
    except (ValueError, IndexError):
        raise StillsError(f"{place}: the expression must be a number, 0 to 10, not {list(found)}") from None
    return number if number < len(CLASSES) else None


def _evened(photographs: list[Photograph], most: int, seed: int) -> list[Photograph]:
    order = np.random.default_rng(seed).permutation(len(photographs))
    kept, count = [], np.zeros(len(CLASSES), dtype=int)
    for number in order:
        one = photographs[number]
        if count[one.label] < most:
            kept.append(one)
            count[one.label] += 1
    return kept


def _cut_out(one: Photograph, size: int) -> np.ndarray:
    grey = cv2.imread(str(one.image), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise StillsError(f"{one.image}: no such picture, or it cannot be read")
    numbers: np.ndarray | list[str]
    if isinstance(one.landmarks, Path):
        numbers, place = _array(one.landmarks), str(one.landmarks)
    else:
        numbers, place = one.landmarks.split(";"), f"the landmarks of {one.image}"
    try:
        landmarks = np.asarray(numbers, dtype=np.float64).reshape(68, 2)
        return face.crop_face(grey.astype(np.float32), face.face_matrix(landmarks, size), size)
    except ValueError as error:
        raise StillsError(f"{place}: expected 68 pairs x, y of a face: {error}") from None


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StillsError(f"{path}: cannot be read: {error}") from None
