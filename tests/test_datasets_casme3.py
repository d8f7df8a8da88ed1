"""The reader of CAS(ME)^3, parts A and C: what it joins, accepts, repairs, lists, and refuses."""

import shutil

import pytest
from trees import edit_workbook, jpeg, set_cells, write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError
from mespot_lib.synthetic.layouts.casme3_a import FIRST_FRAME_NO

BOOK = "annotation/CAS(ME)3_part_A_v2.xlsx"
LIST = "annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
BOOK_C = "annotation/CAS(ME)3_part_C_ME.xlsx"
UID = "casme3_a/spNO.1/spNO.1_a"
VIDEO = "part_A/data/part_A/spNO.1/a"


@pytest.fixture
def tree(tmp_path):
    return write_tree("casme3_a", tmp_path / "CAS(ME)^3")


@pytest.fixture
def clips(tmp_path):
    return write_tree("casme3_c", tmp_path / "CAS(ME)^3")


def rules(manifest):
    return set(manifest.repairs()["rule"])


# ------------------------------------------------------------------------------------------------ part A, folders


def test_numbers_are_those_of_the_files_and_gaps_keep_their_place(tree):
    manifest = read_dataset("casme3_a", tree)
    first, second = (manifest.video(uid) for uid in manifest.uids[:2])
    assert (first.first_frame_no, first.length, first.missing, first.fps) == (FIRST_FRAME_NO, 40, (), 30.0)
    assert first.frame_path(3).name == "11.jpg"
    assert (first.frame_path(3).is_file(), first.width, first.channels) == (True, 16, 3)
    assert second.missing == ((32, 33),)
    assert not second.frame_path(24).is_file()
    assert second.frame_path(26).is_file()
    for video in (first, second):
        assert manifest.truth(video.uid) == [Interval(2, 9, "ME", 5), Interval(15, 30, "MaE", 20)]
    assert manifest.events["onset"][0] == FIRST_FRAME_NO + 2


def test_ids_are_unique_without_their_subject(tree):
    videos = read_dataset("casme3_a", tree).videos
    assert videos["video_id"].is_unique
    assert list(videos["video_id"][:2]) == ["spNO.1_a", "spNO.1_b"]
    assert list(videos["video_code"][:2]) == ["a", "b"]
    assert list(videos["subject_index"].unique()) == [1, 3, 4]


@pytest.mark.parametrize(
    "place", ["part_A_split/part_A", "Compressed_version1_seperate_compress", "data", "elsewhere"]
)
def test_other_roots_of_the_media(tree, place):
    expected = read_dataset("casme3_a", tree).truth(UID)
    shutil.move(tree / "part_A/data/part_A", tree / place)
    options = {"media": place} if place == "elsewhere" else {}
    assert read_dataset("casme3_a", tree, **options).truth(UID) == expected


def test_depth_has_frames_and_gaps_of_its_own(tree):
    import cv2
    import numpy as np

    (tree / VIDEO / "depth").mkdir()
    for number in (8, 9, 12, 40):
        cv2.imwrite(str(tree / VIDEO / "depth" / f"{number}.png"), np.zeros((12, 16), np.uint16))
    manifest = read_dataset("casme3_a", tree, subset="depth")
    assert manifest.uids == (UID,)
    assert manifest.videos["modality"][0] == "depth"
    assert manifest.videos["missing_frames"][0] == "10-11;13-39"
    assert manifest.counts()["without_media"] == 10
    with pytest.raises(DatasetError, match="subset 'infrared' is unknown; it must be one of color, depth"):
        read_dataset("casme3_a", tree, subset="infrared")


def test_a_capital_in_the_workbook_is_the_small_letter_of_the_folder(tmp_path):
    tree = write_tree("casme3_a", tmp_path, subjects=1, videos=13)
    manifest = read_dataset("casme3_a", tree)
    row = manifest.events.set_index("video_uid").loc["casme3_a/spNO.1/spNO.1_j"].iloc[0]
    assert (row["expr_id_raw"], row["has_media"]) == ("J", True)
    (tree / "part_A/data/part_A/spNO.1/k").rename(tree / "part_A/data/part_A/spNO.1/K")
    assert set(read_dataset("casme3_a", tree).uids) == set(manifest.uids)


def test_damaged_images_of_the_list_are_gaps(tree):
    (tree / "exception").mkdir()
    lines = [f"spNO.1 A {number}.jpg  the image cannot open" for number in (8, 20, 21, 22, 21)]
    path = tree / "exception" / "error_info_damaged_image_partA.txt"
    path.write_text("\n".join([*lines, "spNO.9 j 3.jpg  the image cannot open", ""]))
    manifest = read_dataset("casme3_a", tree)
    video = manifest.video(UID)
    assert (video.first_frame_no, video.missing) == (9, ((20, 22),))
    assert manifest.videos["n_frames"][0] == 36
    assert manifest.truth(UID)[0] == Interval(1, 8, "ME", 4)
    row = manifest.repairs().query("rule == 'frames_damaged'")
    assert (row["uid"].item(), row["before"].item(), row["after"].item()) == (UID, "40", "36")
    path.write_text("frame 3 of spNO.1")
    with pytest.raises(DatasetError, match=r"partA.txt, line 1: must begin like `spNO.3 J 498.jpg`"):
        read_dataset("casme3_a", tree)
    path.write_text("spNO.1 a 8.jpg\nspNO.00 a 9.jpg")
    with pytest.raises(DatasetError, match=r"partA.txt, line 2: there is no subject spNO.00"):
        read_dataset("casme3_a", tree)


def test_damage_to_a_whole_video_leaves_no_video(tree):
    for image in (tree / VIDEO / "color").iterdir():
        if int(image.stem) > 9:
            image.unlink()
    (tree / "error_info_damaged_image_partA.txt").write_text("spNO.1 a 8.jpg\nspNO.1 a 9.jpg\n")
    manifest = read_dataset("casme3_a", tree)
    assert UID not in manifest.uids
    assert {"frames_damaged", "folder_without_frames"} <= rules(manifest)


def test_what_is_no_video_is_listed(tree):
    (tree / "part_A/data/part_A/spNO.1/notes").mkdir()
    (tree / "part_A/data/part_A/extra/a/color").mkdir(parents=True)
    shutil.move(tree / VIDEO / "color", tree / VIDEO / "infrared")
    manifest = read_dataset("casme3_a", tree)
    ignored = manifest.repairs().query("rule == 'folder_ignored'")
    assert set(ignored["source"]) == {"spNO.1/notes", "extra/a", "spNO.1/a"}
    assert UID not in manifest.uids


def test_an_alias_joins_a_folder_to_its_rows(tree):
    (tree / VIDEO).rename(tree / "part_A/data/part_A/spNO.1/k")
    assert read_dataset("casme3_a", tree).counts()["without_media"] == 2
    manifest = read_dataset("casme3_a", tree, aliases={"spNO.1/k": "spNO.1_a"})
    assert manifest.counts()["without_media"] == 0
    assert manifest.video(UID).path.parent.name == "k"
    other = read_dataset("casme3_a", tree, aliases={"spNO.1/k": "spNO.9_c"}).video("casme3_a/spNO.9/spNO.9_c")
    assert (other.subject, other.path) == ("spNO.9", manifest.video(UID).path)
    with pytest.raises(DatasetError, match=r"spNO.1/k the impossible video id 'k'"):
        read_dataset("casme3_a", tree, aliases={"spNO.1/k": "k"})
    with pytest.raises(DatasetError, match=r"aliases names 'spNO.1/x', which is not there"):
        read_dataset("casme3_a", tree, aliases={"spNO.1/x": "spNO.1_a"})


# ------------------------------------------------------------------------------------------------ part A, workbooks


def test_emotions_come_from_the_list(tree):
    events = read_dataset("casme3_a", tree).events
    assert list(events["emotion_raw"].dropna()) == ["disgust"] * 6
    assert list(events["emotion_coarse"][:1]) == ["negative"]
    assert events["provenance"][0] == (
        "CAS(ME)3_part_A_v2.xlsx!Sheet1!2;cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx!Sheet1!2"
    )
    assert events["objective_class"].notna().all()
    assert set(events["part_of"]) == {"A"}


def test_without_the_list_there_are_no_emotions(tree):
    (tree / LIST).unlink()
    manifest = read_dataset("casme3_a", tree)
    assert manifest.events["emotion_raw"].isna().all()
    assert manifest.counts()["ME"] == 6
    assert [source["path"] for source in manifest.descriptor["source_files"]] == [BOOK]
    row = manifest.repairs().query("rule == 'me_list_absent'")
    assert row["source"].item() == LIST.partition("/")[2]


def test_nine_per_cent_are_not_in_the_list(tmp_path):
    tree = write_tree("casme3_a", tmp_path, subjects=6, videos=2)
    manifest = read_dataset("casme3_a", tree)
    micro = manifest.events.query("type == 'ME'")
    assert (len(micro), int(micro["emotion_raw"].isna().sum())) == (12, 1)


def test_rows_that_differ_in_a_moment_are_two(tree):
    set_cells(tree / LIST, D2=14)
    manifest = read_dataset("casme3_a", tree)
    assert len(manifest.events) == 13
    added = manifest.events.iloc[12]
    assert (added["type"], added["apex"], added["emotion_raw"]) == ("ME", 14, "disgust")
    assert added["provenance"] == "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx!Sheet1!2"
    assert added["type_raw"] is not added["type"]
    assert added["excluded"].startswith("repeats ")  # the same interval counts once
    assert manifest.counts()["ME"] == 6
    row = manifest.repairs().query("rule == 'row_in_the_me_list_only'")
    assert row["source"].item() == added["provenance"]


def test_what_the_list_says_differently_is_kept(tree):
    set_cells(tree / LIST, F2="L4+7", G2=6)
    event = read_dataset("casme3_a", tree).events.iloc[0]
    assert event["au_raw"] == "4"
    assert '"ME list AU": "L4+7"' in event["notes"]
    assert '"ME list Objective class": 6' in event["notes"]


def test_a_macro_expression_in_the_list_is_listed_and_stays_one(tree):
    set_cells(tree / BOOK, G2="Macro-expression")
    manifest = read_dataset("casme3_a", tree)
    assert [span.kind for span in manifest.truth(UID)] == ["MaE", "MaE"]
    row = manifest.repairs().query("rule == 'type_disagrees'")
    assert row["source"].item() == "CAS(ME)3_part_A_v2.xlsx!Sheet1!2"


def test_types_are_never_taken_from_the_duration(tmp_path):
    tree = write_tree("casme3_a", tmp_path, subjects=1, videos=1, frames=400)
    for book in (BOOK, LIST):
        set_cells(tree / book, C2=10, D2=15, E2=390)  # a micro-expression of 13 s
    set_cells(tree / BOOK, C3=50, D3=52, E3=55)
    spans = read_dataset("casme3_a", tree).truth(UID)
    assert [(span.kind, span.onset, span.offset) for span in spans] == [("ME", 2, 382), ("MaE", 42, 47)]


def test_moments_out_of_order(tree):
    for book in (BOOK, LIST):
        set_cells(tree / book, E2=9, C4=0, D4=13, D6=0)
    manifest = read_dataset("casme3_a", tree)
    assert manifest.events["excluded"][0] == "offset_before_onset"
    assert manifest.events["fixes"][2] == "onset_before_first:kept"
    assert manifest.events["fixes"][4] == "apex0->mid"
    assert read_dataset("casme3_a", tree, policy="strict").events["onset"][2] == FIRST_FRAME_NO


@pytest.mark.parametrize("cell", ["4", "L4", "R12", "4+7", "T1+B25"])
def test_action_units_may_have_a_side(tree, cell):
    set_cells(tree / BOOK, F2=cell)
    event = read_dataset("casme3_a", tree).events.iloc[0]
    assert event["au_raw"] == event["au"] == cell


def test_version_1_on_request(tree):
    for new in (BOOK, LIST):
        shutil.copy(tree / new, tree / new.replace("v2", "v1"))
        set_cells(tree / new.replace("v2", "v1"), E2=18)
    assert read_dataset("casme3_a", tree).truth(UID)[0].offset == 9
    manifest = read_dataset("casme3_a", tree, release="v1")
    assert manifest.truth(UID)[0].offset == 10
    assert manifest.descriptor["release"] == "v1"
    assert all("v1" in source["path"] for source in manifest.descriptor["source_files"])


def test_old_workbooks_are_to_be_saved_anew(tree):
    (tree / BOOK).rename(tree / BOOK.removesuffix("x"))
    (tree / "annotation" / "CAS(ME)3_part_C.xls").touch()
    with pytest.raises(DatasetError, match=r"save CAS\(ME\)3_part_A_v2.xls as .xlsx first"):
        read_dataset("casme3_a", tree)
    (tree / BOOK.removesuffix("x")).write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(
        DatasetError, match=r"v2.xls: not a readable .xlsx workbook .*; save it as .xlsx first"
    ):
        read_dataset("casme3_a", tree, workbook=BOOK.removesuffix("x"))


@pytest.mark.parametrize(
    ("book", "cells", "message"),
    [
        (BOOK, {"A2": "subject 1"}, r"v2.xlsx!Sheet1!2: Subject and Filename must look like spNO.1 and a"),
        (
            BOOK,
            {"B3": "aa"},
            r"v2.xlsx!Sheet1!3: Subject and Filename must look like .* found 'spNO.1' and 'aa'",
        ),
        (BOOK, {"A2": 1}, r"v2.xlsx!Sheet1!2: Subject must be text, found 1"),
        (BOOK, {"C2": "soon"}, r"v2.xlsx!Sheet1!2.*: onset must be a frame number, found 'soon'"),
        (BOOK, {"G3": "expression"}, r"v2.xlsx!Sheet1!3: Expression type must be Micro- or Macro-expression"),
        (BOOK, {"G1": "kind"}, r"v2.xlsx!Sheet1: no header with .*Expression type"),
        (LIST, {"B2": None}, r"JpgIndex_v2.xlsx!Sheet1!2: Filename must be text, found None"),
        (LIST, {"E1": "end"}, r"JpgIndex_v2.xlsx!Sheet1: no header with .*Offset"),
    ],
)
def test_a_wrong_cell_is_named_with_file_sheet_row_and_rule(tree, book, cells, message):
    set_cells(tree / book, **cells)
    with pytest.raises(DatasetError, match=message):
        read_dataset("casme3_a", tree)


def test_no_media(tmp_path):
    with pytest.raises(DatasetError, match=r"no subject folder \(spNO.1\) of part A in part_A/data/part_A, "):
        read_dataset("casme3_a", tmp_path)


# ------------------------------------------------------------------------------------------------ part C


def test_clips_have_neither_apex_nor_macro_expressions(clips):
    manifest = read_dataset("casme3_c", clips)
    assert manifest.uids[:3] == ("casme3_c/01/01_1", "casme3_c/01/01_2", "casme3_c/02/02_3")
    assert manifest.truth("casme3_c/01/01_1")[0] == Interval(2, 9, "ME", None)
    assert set(manifest.events["type"]) == {"ME"}
    assert set(manifest.events["part_of"]) == {"C"}
    assert '"risk": 0' in manifest.events["notes"][0]


def test_the_full_width_comma(clips):
    events = read_dataset("casme3_c", clips).events
    assert list(events["au_raw"][:2]) == ["4", "6，12"]
    assert list(events["au"][:4]) == ["4", "6+12", "4", "6+12"]


def test_numbers_as_text_and_padded_folders_are_the_same_clip(clips):
    set_cells(clips / BOOK_C, A2="01", B2="1")
    (clips / "ME_C/01/1").rename(clips / "ME_C/01/001")
    manifest = read_dataset("casme3_c", clips)
    assert manifest.counts()["without_media"] == 0
    assert manifest.events["cell_kinds"][0][:2] == "tt"


def test_offsets_stay_missing_where_no_apex_can_stand_in(clips):
    set_cells(clips / BOOK_C, D2=0)
    event = read_dataset("casme3_c", clips).events.iloc[0]
    assert (event["fixes"], event["excluded"]) == ("offset0:kept", "no_offset")


@pytest.mark.parametrize("cells", [{"A2": "me"}, {"B2": None}, {"A2": 0}, {"B2": 1.5}])
def test_a_wrong_clip_is_named(clips, cells):
    set_cells(clips / BOOK_C, **cells)
    with pytest.raises(DatasetError, match=r"C_ME.xlsx!Sheet1!2: sub and count must be whole numbers, found"):
        read_dataset("casme3_c", clips)


def test_further_columns_go_to_the_notes(clips):
    edit_workbook(clips / BOOK_C, lambda book: book.worksheets[0].__setitem__("G1", "question"))
    set_cells(clips / BOOK_C, G2="where?")
    event = read_dataset("casme3_c", clips).events.iloc[0]
    assert '"question": "where?"' in event["notes"]


def test_an_unreadable_first_image_is_listed(clips):
    (clips / "ME_C/01/1/color/1.jpg").write_bytes(jpeg()[:9])
    row = read_dataset("casme3_c", clips).repairs().query("rule == 'first_frame_unreadable'")
    assert row["source"].item() == "ME_C/01/1/color/1.jpg"
