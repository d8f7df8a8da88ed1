"""The reader of the micro release of 4DME: what it accepts, lists, and refuses."""

import json

import pytest
from trees import edit_workbook, jpeg, planned, set_cells, write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError

BOOK = "4DMicro/4DME_Labelling_Micro_release v1.xlsx"
MEDIA = "4DMicro/gray_micro"
UID = "fourdme/S01/S01_1st_001_01"
EVENTS = (planned("ME", 2, 5, 9), planned("ME", 15, 20, 30, ("1", "2")))


@pytest.fixture
def tree(tmp_path):
    return write_tree("fourdme", tmp_path / "4DME", events=EVENTS)


def repairs(manifest, rule):
    return manifest.repairs().query("rule == @rule")


# ------------------------------------------------------------------------------------------------ what is accepted


def test_the_facts_of_a_clip(tree):
    manifest = read_dataset("fourdme", tree)
    video = manifest.video(UID)
    assert (video.subject, video.fps, video.length, video.first_frame_no) == ("S01", 60.0, 40, 251)
    assert video.frame_path(0).name == "gray_00251.jpg"
    assert manifest.truth(UID) == [Interval(2, 9, "ME", 5), Interval(15, 30, "ME", 20)]
    assert set(manifest.events["frame_base"]) == {"absolute"}
    assert (manifest.counts()["ME"], manifest.counts()["MaE"], len(manifest.repairs())) == (12, 0, 0)


def test_the_root_may_be_the_inner_folder(tree):
    assert read_dataset("fourdme", tree / "4DMicro").truth(UID) == read_dataset("fourdme", tree).truth(UID)


def test_the_face_crops(tree):
    (tree / MEDIA).rename(tree / "4DMicro/gray_micro_crop")
    manifest = read_dataset("fourdme", tree)
    assert manifest.descriptor["subset"] == "gray_micro_crop"
    assert manifest.video(UID).frame_path(0).is_file()


@pytest.mark.parametrize("ext", [".bmp", ".png"])
def test_other_kinds_of_images(tree, ext):
    for path in list((tree / MEDIA / "S01/S01_1st_001_01").iterdir()):
        path.rename(path.with_suffix(ext))
    assert read_dataset("fourdme", tree).video(UID).frame_path(0).name == f"gray_00251{ext}"


def test_action_units_emotions_and_further_columns(tree):
    set_cells(tree / BOOK, G2="4+17(k)", C2="Positive & Surprise", G3=45)
    set_cells(tree / BOOK, AC2=3, AD2="I")  # fold, Objective class
    events = read_dataset("fourdme", tree).events
    assert list(events["au"][:2]) == ["4+17(k)", "45"]
    assert list(events["au_raw"][:2]) == ["4+17(k)", "45"]
    assert events["emotion_coarse"].isna()[0]
    assert events["emotion_coarse"][1] == "surprise"
    assert (events["part_of"][0], events["objective_class"][0]) == ("3", "I")
    assert json.loads(events["notes"][0]) == {
        "AU4": 1,
        "Negative": 1,
        "Objective class": "I",
        "Total": 1,
        "fold": 3,
    }


def test_frame_numbers_as_floats_and_texts(tree):
    set_cells(tree / BOOK, D2=253.0, E2="256", F2=260.0)
    manifest = read_dataset("fourdme", tree)
    assert manifest.truth(UID)[0] == Interval(2, 9, "ME", 5)
    assert list(manifest.repairs()["rule"]) == ["apex_text->number"]


def test_the_workbook_before_the_release(tree):
    def quote(book):
        sheet = book.worksheets[0]
        for cell in sheet[1]:
            cell.value = {"fold_name": "video_number"}.get(cell.value, cell.value) + "'"
        for row in range(2, 4):
            sheet.cell(row, 1).value += "'"
        sheet.append([None, None, None, None, None, None, None, 12, 30])

    before = read_dataset("fourdme", tree)
    edit_workbook(tree / BOOK, quote)
    manifest = read_dataset("fourdme", tree)
    assert manifest.truth(UID) == before.truth(UID)
    assert len(manifest.events) == len(before.events)
    row = repairs(manifest, "row_of_text_ignored")
    assert (row["source"].item().rpartition("!")[2], row["before"].item()) == ("14", "12 30")


# ------------------------------------------------------------------------------------------------ what is listed


def test_ids_that_lost_their_zeros_still_join(tree):
    (tree / MEDIA / "S01").rename(tree / MEDIA / "01")
    set_cells(tree / BOOK, A2=1, A3=1, A4="01", A5="01")
    manifest = read_dataset("fourdme", tree)
    assert len(manifest.truth("fourdme/01/S01_1st_001_01")) == 2
    rows = repairs(manifest, "id_spelling->folder")
    assert rows["before"].tolist() == ["1/S01_1st_001_01"] * 2
    assert manifest.counts()["without_media"] == 0


def test_subjects_without_clips_and_aliases(tree):
    (tree / MEDIA / "S99").mkdir()
    (tree / MEDIA / "S01/S01_1st_001_01").rename(tree / MEDIA / "S01/clip 1")
    manifest = read_dataset("fourdme", tree)
    assert repairs(manifest, "folder_without_clips")["source"].item() == f"{MEDIA}/S99"
    assert repairs(manifest, "rows_without_folder")["uid"].item() == UID
    manifest = read_dataset("fourdme", tree, aliases={"S01/clip 1": "S01_1st_001_01"})
    assert len(manifest.truth(UID)) == 2


# ------------------------------------------------------------------------------------------------ errors


def refused(tree, message, **options):
    with pytest.raises(DatasetError, match=message) as error:
        read_dataset("fourdme", tree, **options)
    assert "\n" not in str(error.value)


def test_wrong_folder_and_missing_workbook(tree, tmp_path):
    refused(tmp_path / "nowhere", "the root of 4DME holds gray_micro or gray_micro_crop, which is not there")
    refused(tree, "subset 'rgb' is unknown; it must be one of gray_micro, gray_micro_crop", subset="rgb")
    (tree / BOOK).unlink()
    refused(tree, "4DMicro: no workbook 4DME_Labelling_Micro_release v1.xlsx in this folder")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"D1": "Start"}, ": no header with sub_ID, Onset, Offset in the first 20 rows"),
        ({"B1": "clip"}, "!1: no column fold_name"),
        ({"B3": None}, "!3: fold_name must name the folder of the clip, found None"),
        ({"A3": "'"}, '!3: sub_ID must name the folder of the clip, found "\'"'),
        ({"A3": "../x"}, "!3: names the video 'fourdme/../x/S01_1st_001_01'"),
        ({"D3": "soon"}, "!3: onset must be a frame number, found 'soon'"),
    ],
)
def test_a_wrong_cell_is_named_with_file_sheet_row_and_rule(tree, cells, message):
    set_cells(tree / BOOK, **cells)
    refused(tree, f"4DME_Labelling_Micro_release v1.xlsx!Sheet1{message}")


def test_two_namings_in_a_folder_are_refused(tree):
    (tree / MEDIA / "S01/S01_1st_001_01/rgb_00251.jpg").write_bytes(jpeg())
    refused(tree, "S01_1st_001_01: frames are named in two ways")
