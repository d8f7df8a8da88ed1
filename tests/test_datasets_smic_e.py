"""The readers of SMIC-E and SMIC-E-Long: what they accept, list, and refuse."""

import json
import shutil

import pytest
from trees import edit_workbook, planned, set_cells, write_tree

from mespot_lib.datasets import read_dataset, smic_e
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError

BOOK = "HS_long/SMIC-HS-E_annotation.xlsx"
MEDIA = "HS_long/SMIC-HS-E/HS"
UID = "smic_e/s01/s1_ne_01"
EVENTS = (planned("ME", 2, 5, 9), planned("ME", 15, 20, 30))


@pytest.fixture
def tree(tmp_path):
    """Three subjects with two clips each; clips have two micro-expressions, side by side in one row."""
    return write_tree("smic_e", tmp_path / "SMIC-E_raw image", events=EVENTS)


def repairs(manifest, rule):
    return manifest.repairs().query("rule == @rule")


# ------------------------------------------------------------------------------------------------ what is accepted


def test_the_facts_of_a_clip(tree):
    manifest = read_dataset("smic_e", tree)
    video = manifest.video(UID)
    assert (video.subject, video.fps, video.length, video.first_frame_no) == ("s01", 100.0, 40, 100_000)
    assert video.frame_path(0).name == "image100000.jpg"
    assert manifest.truth(UID) == [Interval(2, 9, "ME"), Interval(15, 30, "ME")]
    assert set(manifest.videos["frame_no_base"]) == set(manifest.events["frame_base"]) == {"absolute"}
    assert list(manifest.videos["video_code"][:2]) == ["ne", "po"]
    assert (manifest.counts()["ME"], manifest.counts()["MaE"]) == (12, 0)


def test_every_pair_of_a_row_is_an_event(tree):
    events = read_dataset("smic_e", tree).events
    assert list(events["occurrence"][:3]) == [1, 2, 1]
    assert list(events["provenance"][:3]) == [f"SMIC-HS-E_annotation.xlsx!Sheet1!{row}" for row in (2, 2, 3)]
    assert list(events["duration_raw"][:2]) == ["8", "16"]
    assert json.loads(events["notes"][0]) == {"FirstF": 100_000, "LastF": 100_039, "TotalVL": 40}
    assert events["apex"].isna().all()


def test_a_third_pair(tree):
    set_cells(tree / BOOK, H2=100_033, I2=100_038)  # Onset3F, Offset3F
    manifest = read_dataset("smic_e", tree)
    assert manifest.truth(UID)[2] == Interval(33, 38, "ME")
    assert list(manifest.events["occurrence"][:3]) == [1, 2, 3]


@pytest.mark.parametrize("names", [("OnsetF2", "OffsetF2"), ("OnsetF", "OffsetF"), ("onset2f ", "OFFSET2F")])
def test_names_of_the_second_pair(tree, names):
    before = read_dataset("smic_e", tree).truth(UID)
    set_cells(tree / BOOK, F1=names[0], G1=names[1])
    assert read_dataset("smic_e", tree).truth(UID) == before


def test_copies_without_the_inner_folder(tree):
    before = read_dataset("smic_e", tree)
    inner, outer = tree / MEDIA, tree / "HS_long/SMIC-HS-E"
    for folder in inner.iterdir():
        folder.rename(outer / folder.name)
    inner.rmdir()
    manifest = read_dataset("smic_e", tree)
    assert manifest.truth(UID) == before.truth(UID)
    assert manifest.videos["rel_path"][0] == "HS_long/SMIC-HS-E/s01/s1_ne_01"


def test_the_root_may_be_above(tree):
    digest = read_dataset("smic_e", tree).videos["video_uid"]
    assert read_dataset("smic_e", tree.parent).videos["video_uid"].equals(digest)


@pytest.mark.parametrize("name", ["SMIC-HS-E_annotation_2019.xlsx", "SMIC-HS-E_annotation_orig.xlsx"])
def test_other_names_of_the_workbook(tree, name):
    before = read_dataset("smic_e", tree).truth(UID)
    book = (tree / BOOK).read_bytes()
    for path in (tree / "HS_long").glob("*.xlsx"):
        path.unlink()
    (tree / MEDIA).parent.joinpath(name).write_bytes(book)  # beside the clips, as some copies have it
    manifest = read_dataset("smic_e", tree)
    assert manifest.truth(UID) == before
    assert manifest.descriptor["release"] == name.removesuffix(".xlsx")


@pytest.mark.parametrize(
    ("camera", "book"), [("NIR", "SMIC-NIR-E_annotation"), ("VIS", "SMIC_VIS_E_annotation")]
)
def test_the_slow_cameras(tree, camera, book):
    (tree / f"{camera}_long").mkdir()
    (tree / "HS_long/SMIC-HS-E").rename(tree / f"{camera}_long/SMIC-{camera}-E")
    (tree / f"{camera}_long/SMIC-{camera}-E/HS").rename(tree / f"{camera}_long/SMIC-{camera}-E/{camera}")
    (tree / BOOK).rename(tree / f"{camera}_long/{book}.xlsx")
    folder = tree / f"{camera}_long/SMIC-{camera}-E/{camera}/s01/s1_ne_01"
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("image", "xxx "))  # a name with a blank
    manifest = read_dataset("smic_e", tree, camera=camera)
    video = manifest.video(UID)
    assert (video.fps, manifest.descriptor["subset"]) == (25.0, camera)
    assert set(manifest.videos["modality"]) == {camera.lower()}
    assert video.frame_path(3).name == "xxx 100003.jpg"
    assert video.frame_path(3).is_file()
    assert len(manifest.truth(UID)) == 2


# ------------------------------------------------------------------------------------------------ what is listed


def test_rows_of_text_are_passed_over_and_listed(tree):
    manifest = read_dataset("smic_e", tree)
    row = repairs(manifest, "row_of_text_ignored")
    assert row["source"].item() == "SMIC-HS-E_annotation.xlsx!Sheet1!9"
    assert row["before"].item().startswith("Synthetic")
    set_cells(tree / BOOK, B9="total", C9=157)
    assert len(read_dataset("smic_e", tree).events) == len(manifest.events)


def test_lost_clips_are_listed(tree):
    shutil.rmtree(tree / MEDIA / "s01/s1_ne_01")
    set_cells(tree / BOOK, K2="lost")
    manifest = read_dataset("smic_e", tree)
    assert repairs(manifest, "clip_lost")[["uid", "before"]].to_numpy().tolist() == [[UID, "lost"]]
    assert repairs(manifest, "rows_without_folder")["uid"].item() == UID
    assert manifest.counts()["without_media"] == 2


def test_files_that_begin_elsewhere_are_listed(tree):
    (tree / MEDIA / "s01/s1_ne_01/image100000.jpg").unlink()
    row = repairs(read_dataset("smic_e", tree), "first_frame_differs")
    assert row[["uid", "before", "after"]].to_numpy().tolist() == [[UID, "100000", "100001"]]


def test_clips_in_the_folder_of_another_subject_belong_to_their_own(tree):
    (tree / MEDIA / "s01/s1_ne_01").rename(tree / MEDIA / "s02/s1_ne_01")
    manifest = read_dataset("smic_e", tree)
    assert manifest.video(UID).subject == "s01"
    row = repairs(manifest, "folder_of_other_subject")
    assert row[["uid", "before", "after"]].to_numpy().tolist() == [[UID, "s02", "s01"]]


def test_aliases_and_strange_folders(tree):
    (tree / MEDIA / "s01/s1_ne_01").rename(tree / MEDIA / "s01/s1_ne_new")
    (tree / MEDIA / "preview").mkdir()
    manifest = read_dataset("smic_e", tree)
    assert set(repairs(manifest, "folder_ignored")["source"]) == {
        f"{MEDIA}/s01/s1_ne_new",
        f"{MEDIA}/preview",
    }
    manifest = read_dataset("smic_e", tree, aliases={"s01/s1_ne_new": "s1_ne_01"})
    assert manifest.counts()["without_media"] == 0


def test_the_emotion_of_the_clip_stands_in_for_an_empty_cell(tree):
    set_cells(tree / BOOK, Q2=None, Q3="Surprise")
    assert list(read_dataset("smic_e", tree).events["emotion_coarse"][[0, 2]]) == ["negative", "surprise"]


# ------------------------------------------------------------------------------------------------ errors


def refused(tree, message, layout="smic_e", **options):
    with pytest.raises(DatasetError, match=message) as error:
        read_dataset(layout, tree, **options)
    assert "\n" not in str(error.value)


def test_wrong_folder_camera_and_workbook(tree, tmp_path):
    refused(tmp_path / "nowhere", "the root of SMIC-E holds HS_long/SMIC-HS-E/HS/, which is not there")
    refused(tree, "holds VIS_long/SMIC-VIS-E/VIS/", camera="VIS")
    refused(tree, "camera 'IR' is unknown; it must be one of HS, VIS, NIR", camera="IR")
    refused(tree, "HS_long/labels.xlsx: no such workbook", workbook="HS_long/labels.xlsx")
    for path in (tree / "HS_long").glob("*.xlsx"):
        path.unlink()
    refused(tree, r"no workbook SMIC-HS-E_annotation.xlsx or SMIC-HS-E_annotation_2019.xlsx in .*HS_long")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"D1": "Start"}, ": no header with Filename, OnsetF, OffsetF in the first 20 rows"),
        ({"B3": "clip 7"}, "!3: Filename must look like s1_ne_01, found 'clip 7'"),
        ({"B3": None}, "!3: Filename must look like s1_ne_01, found None"),
        ({"A3": 2}, "!3: Subject 2 contradicts Filename s1_po_01"),
        ({"F3": "soon"}, "!3: onset must be a frame number, found 'soon'"),
    ],
)
def test_a_wrong_cell_is_named_with_file_sheet_row_and_rule(tree, cells, message):
    set_cells(tree / BOOK, **cells)
    refused(tree, f"SMIC-HS-E_annotation.xlsx!Sheet1{message}")


# ------------------------------------------------------------------------------------------------ SMIC-E-Long


def test_the_long_videos_are_assumed_to_be_laid_out_alike(tree):
    manifest = read_dataset("smic_e_long", tree)
    assert manifest.descriptor["dataset"] == "smic_e_long"
    assert manifest.truth("smic_e_long/s01/s1_ne_01") == read_dataset("smic_e", tree).truth(UID)


@pytest.fixture
def other(tree):
    """A copy with its own names of everything, and the mapping that says so."""
    (tree / MEDIA).rename(tree / "videos")
    for subject in (tree / "videos").iterdir():
        for clip in subject.iterdir():
            clip.rename(subject / clip.name.replace("s", "long", 1))
    (tree / BOOK).rename(tree / "labels.xlsx")
    shutil.rmtree(tree / "HS_long")

    def rename(book):
        sheet = book.worksheets[0]
        for cell in sheet[1]:
            cell.value = {"OnsetF": "start", "OffsetF": "end", "Filename": "video"}.get(
                cell.value, cell.value
            )
        for row in range(2, 8):
            sheet.cell(row, 2).value = sheet.cell(row, 2).value.replace("s", "long", 1)

    edit_workbook(tree / "labels.xlsx", rename)
    return tree, {
        "media": "videos",
        "workbook": "labels.xlsx",
        "columns": {"OnsetF": "start", "OffsetF": "end", "Filename": "video"},
        "clip": "long{subject}_{rest}",
        "fps": 50,
    }


def test_a_mapping_says_what_is_called_otherwise(other):
    tree, mapping = other
    manifest = read_dataset("smic_e_long", tree, mapping=mapping)
    video = manifest.video("smic_e_long/s01/long1_ne_01")
    assert video.fps == 50
    assert manifest.truth(video.uid) == [Interval(2, 9, "ME"), Interval(15, 30, "ME")]
    (tree / "mapping.json").write_text(json.dumps(mapping))
    assert read_dataset("smic_e_long", tree).digest() == manifest.digest()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"folder": "x"},
            "mapping: must be an object with some of media, workbook, columns, clip, fps, aliases",
        ),
        ([1], "mapping: must be an object"),
        ({"fps": "fast"}, "fps has a value of the wrong kind, 'fast'"),
        ({"fps": True}, "fps has a value of the wrong kind"),
        ({"fps": 0}, "fps must be positive and at most 10000"),
        ({"fps": float("inf")}, "fps must be positive and at most 10000"),
        ({"columns": {"OnsetF": 4}}, "columns must give a text for every name"),
        ({"clip": "s_{number}"}, "clip must have {subject}, and may have each of {subject}, {emotion}, "),
        ({"clip": "s{subject}_{what}"}, "clip must have {subject}"),
        ({"clip": "s{subject}_{rest}{rest}"}, "clip must have {subject}"),
        ({"media": "nowhere"}, "nowhere: no such folder, but the mapping names it as media"),
        ({"media": ".."}, "leads out of the dataset"),
    ],
)
def test_a_wrong_mapping_is_named(tree, mapping, message):
    (tree / "mapping.json").write_text(json.dumps(mapping))
    refused(tree, message, layout="smic_e_long")


def test_a_mapping_that_is_no_json(tree):
    (tree / "mapping.json").write_text("media: videos")
    refused(tree, r"mapping\.json: not valid JSON", layout="smic_e_long")


def test_a_form_is_no_regular_expression():
    pattern = smic_e._clip_pattern("a.(b+)*{subject}")
    assert pattern.fullmatch("A.(B+)*12")["subject"] == "12"
    assert pattern.fullmatch("axbb12") is None
