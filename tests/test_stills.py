"""Stills of expressions: drawn people nobody else draws, and the layouts of AffectNet."""

import pickle

import cv2
import numpy as np
import pytest

from mespot_lib import stills
from mespot_lib.face import CROP_UNITS, MEAN_FACE
from mespot_lib.stills import CLASSES, StillsError, StillsRecipe
from mespot_lib.synthetic.chance import identity_seed
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.events import MAE_WEIGHTS

RECIPE = StillsRecipe(people=2, pictures=12, size=32)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESPOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        first = stills.drawn_stills(RECIPE, progress=False)
        patch.setattr(stills, "make_identity", None)  # a second time nothing is drawn
        again = stills.drawn_stills(RECIPE, progress=False)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    return first


def test_each_person_is_drawn_at_rest_and_with_expressions(drawn):
    assert drawn.faces.shape == (24, 32, 32)
    assert drawn.rest.shape == (2, 32, 32)
    assert np.bincount(drawn.person).tolist() == [12, 12]
    assert (drawn.labels == 0).sum() == 12
    assert CLASSES.index("fear") not in drawn.labels
    assert 60 < drawn.faces.astype(float).mean() < 200


def test_expressions_differ_from_rest_by_more_than_neutral_faces_do(drawn):
    rows = np.arange(len(drawn.labels))
    apart = np.abs(drawn.faces.astype(float) - drawn.at_rest(rows)).mean(axis=(1, 2))
    assert np.median(apart[drawn.labels > 0]) > 1.2 * np.median(apart[drawn.labels == 0])
    crossed = np.abs(drawn.faces.astype(float) - drawn.rest[1 - drawn.person]).mean(axis=(1, 2))
    assert crossed.min() > apart.max()  # who it is shows far more than what the face does


def test_nobody_drawn_here_is_in_a_dataset():
    presets = (
        "casme2",
        "samm_lv",
        "smic_e",
        "fourdme",
        "casme3_a",
        "casme3_c",
        "megc2022_cas",
        "megc2023_cas",
    )
    taken = {identity_seed(getattr(SyntheticConfig, name)(), s) for name in presets for s in range(40)}
    own = {stills.person_seed(StillsRecipe(), person) for person in range(StillsRecipe().people)}
    assert len(own) == StillsRecipe().people
    assert not own & taken


def test_every_drawn_combination_of_units_has_an_emotion():
    assert set(stills.EMOTION_OF_UNITS) == set(MAE_WEIGHTS)
    assert set(stills.EMOTION_OF_UNITS.values()) <= set(CLASSES)


# --- AffectNet ------------------------------------------------------------------------------------------------------

LANDMARKS = MEAN_FACE * 0.5 + (80, 60)  # a face half the size of a crop
EXPRESSIONS = (0, 1, 6, 10, 0, 3)  # 10 is no face, which is left out


def picture(number: int) -> np.ndarray:
    image = np.full((200, 160, 3), 40 + 20 * number, np.uint8)
    cv2.circle(image, (80, 60), 4, (255, 255, 255), -1)  # between the eyes
    return image


def write_lists(root, header=True, folder="Manually_Annotated_file_lists"):
    pictures = root / "Manually_Annotated" / "Manually_Annotated_Images"
    lines = [
        "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    ]
    points = ";".join(f"{x:.2f};{y:.2f}" for x, y in LANDMARKS)
    for number, expression in enumerate(EXPRESSIONS):
        name = f"{number % 2 + 1}/p{number}.png"
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(pictures / name), picture(number))
        lines.append(f"{name},10,10,120,120,{points},{expression},0.1,0.2")
    (root / folder).mkdir(exist_ok=True)
    text = "\n".join(lines if header else lines[1:]) + "\n"
    (root / folder / "training.csv").write_text(text, encoding="utf-8")
    return root


def write_folders(root):
    for kind in ("images", "annotations"):
        (root / "train_set" / kind).mkdir(parents=True)
    for number, expression in enumerate(EXPRESSIONS):
        cv2.imwrite(str(root / "train_set" / "images" / f"{number}.jpg"), picture(number))
        np.save(root / "train_set" / "annotations" / f"{number}_exp.npy", np.array(str(expression)))
        np.save(root / "train_set" / "annotations" / f"{number}_lnd.npy", LANDMARKS.ravel())
    return root


@pytest.mark.parametrize(
    "write",
    [write_lists, lambda root: write_lists(root, header=False), write_folders],
    ids=["lists", "no names", "folders"],
)
def test_affectnet_is_read_in_both_layouts(tmp_path, write):
    found = stills.read_affectnet(write(tmp_path), 64)
    assert sorted(found.labels) == [0, 0, 1, 3, 6]
    levels = {40 + 20 * n: e for n, e in enumerate(EXPRESSIONS) if e < 8}
    for face, label in zip(found.faces, found.labels, strict=True):
        assert levels[min(levels, key=lambda level: abs(level - float(np.median(face))))] == label
        eyes = int(96 * 64 / CROP_UNITS)
        assert face[eyes, 32] > 200  # the crop is where the landmarks say
    assert found.rest.shape == (1, 64, 64)
    neutral = found.faces[found.labels == 0].astype(float).mean(axis=0)
    assert np.abs(found.at_rest(np.arange(5)) - neutral).max() < 1


def test_classes_are_evened(tmp_path):
    found = stills.read_affectnet(write_lists(tmp_path), 16, most_per_class=1)
    assert sorted(found.labels) == [0, 1, 3, 6]


def test_what_is_wrong_with_affectnet_is_named(tmp_path):
    with pytest.raises(StillsError, match=r"neither train_set/annotations nor training\.csv"):
        stills.read_affectnet(tmp_path, 16)
    root = write_lists(tmp_path / "a")
    (root / "Manually_Annotated/Manually_Annotated_Images/2/p1.png").unlink()
    with pytest.raises(StillsError, match=r"p1\.png: no such picture"):
        stills.read_affectnet(root, 16)
    table = root / "Manually_Annotated_file_lists" / "training.csv"
    table.write_text("1/p0.png,1,2,3,4,1;2;3,happy,0,0\n", encoding="utf-8")
    with pytest.raises(StillsError, match=r"training\.csv, row 1: the expression must be a number"):
        stills.read_affectnet(root, 16)
    table.write_text("1/p0.png,1,2,3,4,1;2;3,0,0,0\n", encoding="utf-8")
    with pytest.raises(StillsError, match="68 pairs"):
        stills.read_affectnet(root, 16)
    table.write_text("1/p0.png,1,2\n", encoding="utf-8")
    with pytest.raises(StillsError, match="row 1: 3 cells"):
        stills.read_affectnet(root, 16)


def test_a_pickled_annotation_is_not_unpickled(tmp_path):
    root = write_folders(tmp_path)
    (root / "train_set/annotations/0_exp.npy").write_bytes(pickle.dumps({"not": "an array"}))
    with pytest.raises(StillsError, match=r"0_exp\.npy: cannot be read"):
        stills.list_affectnet(root)
