"""The reader of CAS(ME)^2: what it accepts, repairs, lists, and refuses."""

import shutil

import pytest
from trees import FRAMES, edit_workbook, jpeg, planned, set_cells, write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.build import SYNTHETIC_MARKER
from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError

BOOK = "CAS(ME)^2code_final.xlsx"
VIDEO = "rawpic/s15/15_0101disgustingteeth"


@pytest.fixture
def tree(tmp_path):
    return write_tree("casme2", tmp_path / "CAS(ME)^2")


def rules(manifest):
    return set(manifest.repairs()["rule"])


# ------------------------------------------------------------------------------------------------ what it accepts


@pytest.mark.parametrize("subjects", [3, 22])
def test_any_number_of_subjects_loads(tmp_path, subjects):
    manifest = read_dataset("casme2", write_tree("casme2", tmp_path, subjects=subjects, videos=1, frames=32))
    assert len(manifest.subjects) == len(manifest.uids) == subjects
    assert manifest.subjects[:3] == ("s15", "s16", "s19")
    assert all(len(manifest.truth(uid)) == 2 for uid in manifest.uids)


def test_nine_videos_of_a_subject_have_the_nine_codes(tmp_path):
    manifest = read_dataset("casme2", write_tree("casme2", tmp_path, subjects=1, videos=9))
    assert list(manifest.videos["video_code"]) == sorted(manifest.videos["video_code"])
    assert manifest.videos["stimulus"].nunique() == 9
    assert manifest.video("casme2/s15/15_0503").path.name == "15_0503unnyfarting"


def test_the_facts_of_a_video(tree):
    video = read_dataset("casme2", tree).video("casme2/s15/15_0101")
    assert (video.subject, video.fps, video.length, video.first_frame_no) == ("s15", 30.0, FRAMES, 1)
    assert (video.width, video.height, video.channels) == (16, 12, 3)
    assert not video.synthetic
    assert not video.publishable
    assert all(video.frame_path(t).is_file() for t in range(video.length))


def test_the_face_cropped_release(tree):
    cropped = tree / "CAS(ME)2_longVideoFaceCropped" / "longVideoFaceCropped"
    for image in (tree / "rawpic").rglob("*.jpg"):
        target = cropped / image.parent.relative_to(tree / "rawpic") / f"img_{int(image.stem[3:])}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        image.rename(target)
    assert read_dataset("casme2", tree).descriptor["subset"] == "rawpic"  # empty folders, but they are there
    manifest = read_dataset("casme2", tree, subset="face_cropped")
    assert manifest.video(manifest.uids[0]).frame_path(0).name == "img_1.jpg"
    assert manifest.video(manifest.uids[0]).frame_path(0).is_file()
    shutil.rmtree(tree / "rawpic")
    assert read_dataset("casme2", tree).digest() == manifest.digest()


@pytest.mark.parametrize("name", ["code_final.xlsx", "CAS(ME)^2code_final(Updated).xlsx"])
def test_every_workbook_name_gives_the_same_labels(tree, name):
    both = [read_dataset("casme2", tree, workbook=book) for book in (BOOK, name)]
    for uid in both[0].uids:
        assert both[0].truth(uid) == both[1].truth(uid)


def test_the_updated_workbook_has_durations(tree):
    for name in (BOOK, "code_final.xlsx"):
        (tree / name).unlink()
    manifest = read_dataset("casme2", tree)
    assert manifest.descriptor["release"] == "CAS(ME)^2code_final(Updated)"
    assert manifest.events["duration_raw"][2] == "7"
    assert manifest.events["cell_kinds"].str.len().eq(12).all()


def test_sheets_are_read_by_position(tree):
    def rename(book):
        for sheet, name in zip(book.worksheets, ("CASMEcode_final", "a", "b"), strict=True):
            sheet.title = name

    before = read_dataset("casme2", tree).truth("casme2/s16/16_0401")
    edit_workbook(tree / BOOK, rename)
    assert read_dataset("casme2", tree).truth("casme2/s16/16_0401") == before


def test_a_naming_rule_with_one_row_per_subject(tree):
    def shorten(book):
        sheet = book.worksheets[1]
        rows = sorted({tuple(cell.value for cell in row) for row in sheet.iter_rows()})
        sheet.delete_rows(1, sheet.max_row)
        for row in rows:
            sheet.append(row)

    before = read_dataset("casme2", tree).truth("casme2/s16/16_0401")
    edit_workbook(tree / BOOK, shorten)
    assert read_dataset("casme2", tree).truth("casme2/s16/16_0401") == before


def test_running_numbers_of_two_digits(tree):
    set_cells(tree / BOOK, B1="disgust1_12")
    event = read_dataset("casme2", tree).events.iloc[0]
    assert (event["video_uid"], event["occurrence"]) == ("casme2/s15/15_0101", 12)


def test_action_units_keep_their_kind(tree):
    set_cells(tree / BOOK, F1=4, F2="L12, au6", F3="4", F4="eyes")
    events = read_dataset("casme2", tree).events
    assert list(events["au_raw"][:4]) == ["4", "L12, au6", "4", "eyes"]
    assert list(events["au"][:3]) == ["4", "L12+6", "4"]
    assert events["au"].isna()[3]
    assert [kinds[8] for kinds in events["cell_kinds"][:4]] == ["n", "t", "t", "t"]


def test_misspelt_titles_do_not_matter(tree):
    (tree / VIDEO).rename((tree / VIDEO).with_name("15_0101some other title"))
    manifest = read_dataset("casme2", tree)
    assert manifest.video("casme2/s15/15_0101").path.name == "15_0101some other title"


def test_the_marker_alone_makes_data_synthetic(tree):
    recorded = read_dataset("casme2", tree)
    (tree / SYNTHETIC_MARKER).touch()
    drawn = read_dataset("casme2", tree)
    assert (recorded.descriptor["synthetic"], drawn.descriptor["synthetic"]) == (False, True)
    assert (recorded.descriptor["dataset"], drawn.descriptor["dataset"]) == ("casme2", "synthetic_casme2")
    with pytest.raises(DatasetError, match="has the marker"):
        read_dataset("casme2", tree, name="casme2")
    (tree / SYNTHETIC_MARKER).unlink()
    with pytest.raises(DatasetError, match="lacks the marker"):
        read_dataset("casme2", tree, name="synthetic_casme2")


@pytest.mark.parametrize(
    ("drawn_as", "name"),
    [("synthetic_amplitude_1.5u", "synthetic_amplitude_1_5u"), ("mine", "synthetic_mine")],
)
def test_drawn_data_goes_by_the_name_it_was_drawn_under(tree, drawn_as, name):
    (tree / SYNTHETIC_MARKER).touch()
    (tree / "generator.json").write_text(f'{{"name": "{drawn_as}"}}')
    assert read_dataset("casme2", tree).descriptor["dataset"] == name
    (tree / "generator.json").write_text("{")
    with pytest.raises(DatasetError, match=r"generator\.json: not valid JSON"):
        read_dataset("casme2", tree)


# ------------------------------------------------------------------------------------------------ repairs, listed


def test_offset_zero_is_repaired_as_the_policy_says(tree):
    set_cells(tree / BOOK, E4=0, E2=31)
    manifest = read_dataset("casme2", tree)
    assert manifest.truth(manifest.uids[1])[1] == Interval(15, 20, "MaE", 20)
    manifest = read_dataset("casme2", tree, policy="lgsnet")
    assert manifest.events["fixes"][3] == "offset0->apex+20"
    assert manifest.events["excluded"][3] == "offset_past_end (last frame 40)"


def test_onset_zero_is_listed(tree):
    set_cells(tree / BOOK, C1=0)
    manifest = read_dataset("casme2", tree)
    assert manifest.truth("casme2/s15/15_0101")[0] == Interval(0, 9, "ME", 5)
    assert "onset_before_first:kept" in rules(manifest)


def test_offset_before_onset_is_excluded_and_listed(tree):
    set_cells(tree / BOOK, E1=2)
    manifest = read_dataset("casme2", tree)
    assert [span.kind for span in manifest.truth("casme2/s15/15_0101")] == ["MaE"]
    row = manifest.repairs().query("rule == 'excluded: offset_before_onset'")
    assert row["source"].item() == f"{BOOK}!CASFEcode_final!1"
    assert len(manifest.events) == 12  # nothing is dropped


def test_an_event_past_the_last_frame(tree):
    set_cells(tree / BOOK, E4=55)
    assert read_dataset("casme2", tree).truth("casme2/s15/15_0102")[1].offset == 54
    assert read_dataset("casme2", tree, policy="strict").truth("casme2/s15/15_0102")[1].offset == FRAMES - 1
    assert "offset_past_end->clamp" in rules(read_dataset("casme2", tree, policy="strict"))


def test_missing_frames_are_gaps_that_shift_nothing(tree):
    for number in (12, 13, 14, 20):
        (tree / VIDEO / f"img{number:03d}.jpg").unlink()
    manifest = read_dataset("casme2", tree)
    video = manifest.video("casme2/s15/15_0101")
    assert video.missing == ((12, 14), (20, 20))
    assert video.length == FRAMES
    assert manifest.videos["n_frames"][0] == FRAMES - 4
    assert manifest.truth(video.uid)[0] == Interval(2, 9, "ME", 5)
    row = manifest.repairs().query("rule == 'frames_missing'")
    assert (row["uid"].item(), row["before"].item()) == (video.uid, "12-14;20")


def test_first_and_last_number_follow_the_files(tree):
    (tree / VIDEO / "img001.jpg").unlink()
    manifest = read_dataset("casme2", tree)
    assert manifest.video("casme2/s15/15_0101").first_frame_no == 2
    assert manifest.truth("casme2/s15/15_0101")[0] == Interval(1, 8, "ME", 4)


def test_an_unreadable_first_image_is_listed(tree):
    (tree / VIDEO / "img001.jpg").write_bytes(jpeg()[:9])
    manifest = read_dataset("casme2", tree)
    assert manifest.video("casme2/s15/15_0101").width is None
    row = manifest.repairs().query("rule == 'first_frame_unreadable'")
    assert row["source"].item() == f"{VIDEO}/img001.jpg"


def test_junk_files_are_listed(tree):
    (tree / VIDEO / "Thumbs.db").touch()
    (tree / VIDEO / ".DS_Store").touch()
    (tree / "rawpic" / ".DS_Store").touch()
    (tree / "rawpic" / "readme.txt").touch()
    manifest = read_dataset("casme2", tree)
    row = manifest.repairs().query("rule == 'files_ignored'")
    assert row["before"].item() == ".DS_Store, Thumbs.db"
    assert len(manifest.uids) == 6


def test_an_empty_folder_is_listed_and_its_rows_stay(tree):
    shutil.rmtree(tree / VIDEO)
    (tree / VIDEO).mkdir()
    manifest = read_dataset("casme2", tree)
    assert "casme2/s15/15_0101" not in manifest.uids
    assert "folder_without_frames" in rules(manifest)
    assert manifest.counts()["without_media"] == 2
    assert len(manifest.events) == 12


def test_rows_without_a_folder_stay(tree):
    shutil.rmtree(tree / VIDEO)
    manifest = read_dataset("casme2", tree)
    assert manifest.counts()["without_media"] == 2
    assert list(manifest.events["has_media"][:3]) == [False, False, True]


def test_a_folder_without_rows_stays_and_is_listed(tree):
    shutil.copytree(tree / VIDEO, tree / "rawpic" / "s15" / "15_0508funnydunkey")
    manifest = read_dataset("casme2", tree)
    assert manifest.truth("casme2/s15/15_0508") == []
    assert manifest.counts()["videos"] - manifest.counts()["videos_labelled"] == 1
    assert manifest.repairs().query("rule == 'folder_without_rows'")["uid"].item() == "casme2/s15/15_0508"


def test_repeated_rows_count_once_and_are_listed(tree):
    def repeat(book):
        for sheet in book.worksheets[:2]:
            sheet.append([cell.value for cell in sheet[1]])

    edit_workbook(tree / BOOK, repeat)
    manifest = read_dataset("casme2", tree)
    assert len(manifest.events) == 13
    assert manifest.events["excluded"][12] == f"repeats {BOOK}!CASFEcode_final!1"
    assert len(manifest.truth("casme2/s15/15_0101")) == 2


def test_an_alias_joins_a_folder_to_its_rows(tree):
    (tree / VIDEO).rename(tree / "rawpic/s15/15_0503unnyfarting")
    assert read_dataset("casme2", tree).counts()["without_media"] == 2
    manifest = read_dataset("casme2", tree, aliases={"s15/15_0503unnyfarting": "15_0101"})
    assert manifest.counts()["without_media"] == 0
    assert "folder_alias" in rules(manifest)


def test_a_folder_with_an_odd_prefix_belongs_to_its_parent(tree):
    (tree / VIDEO).rename(tree / "rawpic/s15/16_0101disgustingteeth")
    manifest = read_dataset("casme2", tree)
    assert "casme2/s15/15_0101" in manifest.uids
    row = manifest.repairs().query("rule == 'folder_prefix'")
    assert (row["before"].item(), row["after"].item()) == ("16", "15")


def test_codes_that_lost_their_zeros_are_repaired_and_listed(tree):
    set_cells(tree / BOOK, sheet=2, A1=101)
    manifest = read_dataset("casme2", tree)
    assert "casme2/s15/15_0101" in set(manifest.events["video_uid"])
    row = manifest.repairs().query("rule == 'code_number->text'")
    assert (row["before"].item(), row["after"].item()) == ("101", "0101")


# ------------------------------------------------------------------------------------------------ errors


def refused(tree, message, **options):
    with pytest.raises(DatasetError, match=message) as error:
        read_dataset("casme2", tree, **options)
    assert "Traceback" not in str(error.value)


def test_wrong_folder(tmp_path):
    refused(tmp_path / "nowhere", "nowhere: no such folder")
    (tmp_path / "photos").mkdir()
    refused(tmp_path, "holds photos; the root of CAS.* holds rawpic or ")
    refused(tmp_path, "subset 'raw' is unknown", subset="raw")


def test_missing_workbook(tree):
    for path in tree.glob("*.xlsx"):
        path.unlink()
    refused(tree, r"no workbook CAS\(ME\)\^2code_final.xlsx or")
    refused(tree, "labels.xlsx: no such workbook", workbook="labels.xlsx")
    (tree / "code_final.xls").touch()
    refused(tree, "save code_final.xls as .xlsx first")


def test_damaged_workbook(tree):
    (tree / BOOK).write_bytes(b"not a workbook")
    refused(tree, r"code_final.xlsx: not a readable .xlsx workbook")


def test_wrong_number_of_sheets(tree):
    edit_workbook(tree / BOOK, lambda book: book.remove(book.worksheets[1]))
    refused(
        tree, r"2 sheets \(CASFEcode_final, naming rule2\) where labels, naming rule1 and naming rule2 belong"
    )


@pytest.mark.parametrize(
    ("sheet", "cells", "message"),
    [
        (0, {"C1": "soon"}, r"CASFEcode_final!1: onset must be a frame number, found 'soon'"),
        (0, {"A1": "Subject"}, r"CASFEcode_final!1: the subject index \(column A\) must be a whole number"),
        (0, {"A3": 99}, r"CASFEcode_final!3: subject index 99 does not occur in naming rule1"),
        (0, {"B2": "disgust1"}, r"CASFEcode_final!2: the expression id must look like anger1_1"),
        (0, {"B2": "boredom_1"}, r"CASFEcode_final!2: stimulus 'boredom' does not occur in naming rule2"),
        (0, {"B2": 7}, r"CASFEcode_final!2: the expression id \(column B\) must be text, found 7"),
        (
            0,
            {"H2": "expression"},
            r"CASFEcode_final!2: the kind must be micro-expression or macro-expression",
        ),
        (0, {"D2": True}, r"CASFEcode_final!2: a truth value \(True\)"),
        (1, {"B1": 15}, r"naming rule1!1: the subject folder \(column B\) must be text, found 15"),
        (1, {"B2": "s16"}, r"naming rule1!2: subject index 1 is s16 here and s15 above"),
        (2, {"A1": "disgust"}, r"naming rule2!1: the stimulus code must be four digits"),
    ],
)
def test_a_wrong_cell_is_named_with_file_sheet_row_and_rule(tree, sheet, cells, message):
    set_cells(tree / BOOK, sheet=sheet, **cells)
    refused(tree, r"CAS\(ME\)\^2code_final.xlsx!" + message)


def test_a_date_is_named(tree):
    import datetime

    set_cells(tree / BOOK, F1=datetime.datetime(2020, 4, 10))
    refused(tree, r"CASFEcode_final!1: a date \(2020-04-10")


def test_formulas_are_never_computed(tree):
    set_cells(tree / BOOK, E1="=C1+7")
    refused(tree, r"CASFEcode_final!1, cell E1: a formula without stored value")


def test_two_folders_of_one_code_are_refused(tree):
    shutil.copytree(tree / VIDEO, tree / "rawpic/s15/15_0101copy")
    refused(tree, r"is video casme2/s15/15_0101, and so is rawpic/s15/15_0101copy")


def test_two_namings_in_a_folder_are_refused(tree):
    (tree / VIDEO / "img_1.jpg").write_bytes(jpeg())
    refused(tree, r"15_0101disgustingteeth: frames are named in two ways")


def test_unknown_layout_and_policy(tree):
    with pytest.raises(DatasetError, match="layout 'casme' is unknown"):
        read_dataset("casme", tree)
    refused(tree, "fix policy 'none' is unknown", policy="none")


def test_a_link_loop_is_not_followed(tree):
    (tree / "rawpic" / "s15" / "15_0502loop").symlink_to(tree / "rawpic")
    manifest = read_dataset("casme2", tree)
    assert "folder_without_frames" in rules(manifest)


def test_events_are_numbered_in_source_order(tmp_path):
    events = [planned("MaE", 20, 25, 30), planned("ME", 2, 5, 9)]
    manifest = read_dataset("casme2", write_tree("casme2", tmp_path, subjects=1, videos=1, events=events))
    assert list(manifest.events["event_uid"]) == ["casme2/s15/15_0101#1", "casme2/s15/15_0101#2"]
    assert list(manifest.events["type"]) == ["MaE", "ME"]


# ------------------------------------------------------------------------------------------------ video files


def as_video_files(tree, ext=".avi", fps=30):
    """Put the frames of every folder of rawpic into a video file of rawvideo."""
    import av
    import cv2

    for folder in (tree / "rawpic").glob("*/*"):
        target = tree / "rawvideo" / folder.parent.name / f"{folder.name}{ext}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(target), "w") as container:
            stream = container.add_stream("mpeg4", rate=fps, width=32, height=24, pix_fmt="yuv420p")
            for path in sorted(folder.iterdir()):
                image = cv2.resize(cv2.imread(str(path)), (32, 24))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode())
    shutil.rmtree(tree / "rawpic")
    return tree


@pytest.mark.parametrize("ext", [".avi", ".mp4", ".mov", ".mkv"])
def test_video_files_have_the_frame_numbers_of_the_workbook(tmp_path, ext):
    tree = write_tree("casme2", tmp_path, subjects=1, videos=2, frames=33)
    frames = read_dataset("casme2", tree)
    manifest = read_dataset("casme2", as_video_files(tree, ext))
    assert manifest.descriptor["subset"] == "rawvideo"
    assert manifest.uids == frames.uids
    video = manifest.video("casme2/s15/15_0101")
    assert (video.media, video.length, video.fps, video.width, video.height) == ("video", 33, 30.0, 32, 24)
    assert (video.first_frame_no, video.path.suffix) == (1, ext)
    for uid in manifest.uids:
        assert manifest.truth(uid) == frames.truth(uid)


def test_video_files_are_read_on_the_frame_axis_of_the_labels(tmp_path):
    import numpy as np

    from mespot_lib.frames import iter_frames

    tree = as_video_files(write_tree("casme2", tmp_path, subjects=1, videos=1, frames=33))
    video = read_dataset("casme2", tree).video("casme2/s15/15_0101")
    found = list(iter_frames(video, 2, 10))
    assert [frame.t for frame in found] == list(range(2, 10))
    assert all(np.ptp(frame.image) < 10 for frame in found)


def test_the_rate_of_a_video_file_is_its_own(tmp_path):
    tree = as_video_files(write_tree("casme2", tmp_path, subjects=1, videos=1, frames=33), fps=25)
    manifest = read_dataset("casme2", tree)
    assert manifest.videos["fps"][0] == manifest.descriptor["fps"] == 25.0
    assert "rate_unexpected" in rules(manifest)
    manifest = read_dataset("casme2", tree, fps=30.0)
    assert manifest.videos["fps"][0] == 30.0
    assert "fps_given" in rules(manifest)


def test_a_video_file_that_cannot_be_read_is_listed_and_its_rows_stay(tmp_path):
    tree = as_video_files(write_tree("casme2", tmp_path, subjects=1, videos=2, frames=33))
    (tree / "rawvideo/s15/15_0101disgustingteeth.avi").write_bytes(b"RIFF")
    manifest = read_dataset("casme2", tree)
    assert manifest.uids == ("casme2/s15/15_0102",)
    assert manifest.counts()["without_media"] == 2
    row = manifest.repairs().query("rule == 'video_unreadable'")
    assert row["source"].item() == "rawvideo/s15/15_0101disgustingteeth.avi"
