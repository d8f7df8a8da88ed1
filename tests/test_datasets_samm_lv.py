"""The reader of SAMM Long Videos: what it accepts, repairs, lists, and refuses."""

import shutil

import pytest
from trees import FRAMES, edit_workbook, planned, set_cells, write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError

V1, V2, V3 = (f"SAMM_LongVideos_V{number}_Release.xlsx" for number in (1, 2, 3))
FIRST = 11  # the first row below the header
UID = "samm_lv/006/006_1"


@pytest.fixture
def tree(tmp_path):
    return write_tree("samm_lv", tmp_path / "SAMMLV")


def rules(manifest):
    return set(manifest.repairs()["rule"])


# ------------------------------------------------------------------------------------------------ what it accepts


@pytest.mark.parametrize("subjects", [3, 30])
def test_any_number_of_subjects_loads(tmp_path, subjects):
    manifest = read_dataset(
        "samm_lv", write_tree("samm_lv", tmp_path, subjects=subjects, videos=1, frames=32)
    )
    assert len(manifest.subjects) == len(manifest.uids) == subjects
    assert manifest.subjects[:3] == ("006", "007", "008")
    assert manifest.subjects[-1] == ("037" if subjects == 30 else "008")
    assert not {"027", "029"} & set(manifest.subjects)


def test_the_facts_of_a_video(tree):
    video = read_dataset("samm_lv", tree).video(UID)
    assert (video.subject, video.fps, video.length, video.channels) == ("006", 200.0, FRAMES, 1)
    assert video.frame_path(0).name == "006_1_0001.jpg"
    assert all(video.frame_path(t).is_file() for t in range(video.length))


def test_frame_numbers_of_five_digits(tree):
    folder = tree / "SAMM_longvideos" / "006_1"
    for image in list(folder.iterdir()):
        image.rename(folder / f"006_1_{int(image.stem[-4:]):05d}.jpg")
    manifest = read_dataset("samm_lv", tree)
    assert manifest.video(UID).frame_path(9).name == "006_1_00010.jpg"
    assert manifest.video(UID).frame_path(9).is_file()
    assert manifest.video("samm_lv/006/006_2").pad_width == 4


def test_the_writer_pads_to_five_digits_from_ten_thousand_frames(tmp_path):
    from mespot_lib.synthetic.layouts import plan_videos

    assert plan_videos("samm_lv", 1, 1, 9_999)[0][0]["pad_width"] == 4
    assert plan_videos("samm_lv", 1, 1, 10_000)[0][0]["pad_width"] == 5


@pytest.mark.parametrize(
    ("policy", "release"),
    [("official_baseline", "V3"), ("softnet", "V2"), ("slswin", "V3"), ("strict", "V3")],
)
def test_a_policy_takes_the_release_it_was_published_with(tree, policy, release):
    assert read_dataset("samm_lv", tree, policy=policy).descriptor["release"] == release
    for name in (V2, V3):
        (tree / name).unlink()
    assert read_dataset("samm_lv", tree, policy=policy).descriptor["release"] == "V1"


def test_a_release_can_be_asked_for(tree):
    assert read_dataset("samm_lv", tree, release="V1").descriptor["release"] == "V1"
    (tree / V1).unlink()
    with pytest.raises(DatasetError, match=f"no workbook {V1}"):
        read_dataset("samm_lv", tree, release="V1")


def test_a_cleaned_copy_with_the_header_in_the_first_row(tree):
    before = read_dataset("samm_lv", tree, release="V1").truth(UID)
    edit_workbook(tree / V1, lambda book: book.worksheets[0].delete_rows(1, 9))
    assert read_dataset("samm_lv", tree, release="V1").truth(UID) == before


def test_running_numbers_of_two_digits(tree):
    set_cells(tree / V3, **{f"B{FIRST}": "006_1_10"})
    event = read_dataset("samm_lv", tree).events.iloc[0]
    assert (event["video_uid"], event["occurrence"]) == (UID, 10)


def test_subjects_that_lost_their_zeros_still_join(tree):
    set_cells(tree / V3, **{f"A{FIRST}": 6})
    event = read_dataset("samm_lv", tree).events.iloc[0]
    assert (event["subject_raw"], event["cell_kinds"][0], event["video_uid"]) == ("6", "n", UID)


def test_types_by_their_first_word(tree):
    set_cells(tree / V3, **{f"H{FIRST}": "macro"})
    events = read_dataset("samm_lv", tree).events
    assert list(events["type"][:2]) == ["MaE", "MaE"]
    assert list(events["type_raw"][:3]) == ["macro", "Macro", "Micro - 1/2"]


# ------------------------------------------------------------------------------------------------ repairs, listed


def test_onset_zero_in_v2_is_onset_one_in_v3(tmp_path):
    events = [planned("MaE", -1, 4, 20), planned("ME", 25, 28, 35)]
    tree = write_tree("samm_lv", tmp_path, subjects=1, videos=1, events=events)
    onsets = {
        name: read_dataset("samm_lv", tree, release=name).events["onset_raw"][0]
        for name in ("V1", "V2", "V3")
    }
    assert onsets == {"V1": "0", "V2": "0", "V3": "1"}
    for policy, macros in {
        "official_baseline": 1,
        "softnet": 0,
        "slswin": 0,
        "strict": 0,
        "lgsnet": 1,
    }.items():
        counts = read_dataset("samm_lv", tree, policy=policy).counts()
        assert (counts["MaE"], counts["ME"]) == (macros, 1), policy


def test_float_frames_are_rounded_and_listed(tree):
    set_cells(tree / V3, **{f"D{FIRST}": 3.0, f"E{FIRST}": 6.5})
    manifest = read_dataset("samm_lv", tree)
    assert manifest.truth(UID)[0] == Interval(2, 9, "ME", 6)
    assert manifest.events["fixes"][0] == "apex_float->round"


def test_faults_are_listed_with_their_row(tree):
    set_cells(tree / V3, **{f"F{FIRST}": 2, f"F{FIRST + 1}": 99, f"F{FIRST + 2}": 0})
    repairs = read_dataset("samm_lv", tree).repairs()
    assert dict(zip(repairs["rule"], repairs["source"], strict=True)) == {
        "excluded: offset_before_onset": f"{V3}!FACS_Movement_Only!{FIRST}",
        "offset_past_end:kept": f"{V3}!FACS_Movement_Only!{FIRST + 1}",
        "offset0->apex": f"{V3}!FACS_Movement_Only!{FIRST + 2}",
    }


def test_missing_frames_junk_and_strange_folders_are_listed(tree):
    (tree / "SAMM_longvideos/006_1/006_1_0012.jpg").unlink()
    (tree / "SAMM_longvideos/006_1/Thumbs.db").touch()
    (tree / "SAMM_longvideos/preview").mkdir()
    shutil.rmtree(tree / "SAMM_longvideos/007_3")
    manifest = read_dataset("samm_lv", tree)
    assert manifest.video(UID).missing == ((12, 12),)
    assert {"frames_missing", "files_ignored", "folder_ignored"} <= rules(manifest)
    assert manifest.counts()["without_media"] == 2


def test_an_alias_joins_a_folder_to_its_rows(tree):
    (tree / "SAMM_longvideos/006_1").rename(tree / "SAMM_longvideos/006_1_new")
    manifest = read_dataset("samm_lv", tree, aliases={"006_1_new": "006_1"})
    assert manifest.counts()["without_media"] == 0
    assert manifest.video(UID).frame_path(0).is_file()


# ------------------------------------------------------------------------------------------------ errors


def refused(tree, message, **options):
    with pytest.raises(DatasetError, match=message):
        read_dataset("samm_lv", tree, **options)


def test_wrong_folder_and_missing_workbook(tree, tmp_path):
    refused(tmp_path / "nowhere", "the root of SAMM Long Videos holds SAMM_longvideos/")
    for path in tree.glob("*.xlsx"):
        path.unlink()
    refused(tree, f"no workbook {V3} or {V2} or {V1}")


def test_wrong_sheet(tree):
    edit_workbook(tree / V3, lambda book: book.worksheets[0].delete_rows(10))
    refused(tree, f"{V3}!FACS_Movement_Only: no header with Filename, Onset, Apex, Offset, Type")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"D11": "early"}, "!11: onset must be a frame number, found 'early'"),
        ({"B12": "006_1"}, "!12: Filename must look like 006_1_1, found '006_1'"),
        ({"B12": 61}, "!12: Filename must be text, found 61"),
        ({"A12": "007"}, "!12: Subject 007 contradicts Filename, which begins with 006"),
        ({"H12": "Mixed"}, "!12: Type must be Macro or Micro - 1/2, found 'Mixed'"),
        ({"H12": None}, "!12: Type must be text, found None"),
    ],
)
def test_a_wrong_cell_is_named_with_file_sheet_row_and_rule(tree, cells, message):
    set_cells(tree / V3, **cells)
    refused(tree, f"{V3}!FACS_Movement_Only{message}")
