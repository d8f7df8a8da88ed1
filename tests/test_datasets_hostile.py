"""Datasets and workbooks from unknown hands: every trap is refused with one line that names the place."""

import os
import re
import zipfile

import openpyxl
import pytest
from trees import jpeg, set_cells, write_tree

from mespot_lib.datasets import folders, read_dataset, workbook
from mespot_lib.datasets.build import Findings, require_plain_uid
from mespot_lib.datasets.folders import scan_frames, subfolders
from mespot_lib.datasets.workbook import read_sheets
from mespot_lib.manifest import DatasetError

BOOK = "CAS(ME)^2code_final.xlsx"
VIDEO = "rawpic/s15/15_0101disgustingteeth"


@pytest.fixture
def tree(tmp_path):
    return write_tree("casme2", tmp_path / "tree", subjects=1, videos=1)


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.xlsx"
    new = openpyxl.Workbook()
    new.active.append(["006", 12, "Macro"])
    new.save(path)
    return path


def refused(tree, message, **options):
    with pytest.raises(DatasetError, match=message) as error:
        read_dataset("casme2", tree, **options)
    assert str(error.value).count("\n") == 0


def rewrite(path, member, change):
    """Write a workbook again with one of its parts changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    parts[member] = change(parts[member])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def sheet_xml(path, old, new):
    rewrite(path, "xl/worksheets/sheet1.xml", lambda data: data.replace(old, new))


# ---------------------------------------------------------------------------------------------------------------------
# Names that are paths


@pytest.mark.parametrize(
    "folder", ["../../x", "s15/../..", "/etc", "..", "C:\\x", "s15\x01", "x" * 101, "a|b", "s15."]
)
def test_a_folder_cell_that_is_a_path_is_refused_with_its_row(tree, folder):
    if folder.isprintable():
        set_cells(tree / BOOK, sheet=1, B1=folder, B2=folder)
        refused(tree, r"CAS\(ME\)\^2code_final\.xlsx!CASFEcode_final!1: names the video")
    with pytest.raises(DatasetError, match="sheet!7: names the video"):
        Findings(tree).add_label(f"casme2/{folder}/15_0101", "ME", "book!sheet!7", {})
    with pytest.raises(DatasetError, match="names the video"):
        Findings(tree).add_video(f"casme2/{folder}/15_0101", tree / VIDEO)


def test_names_that_copies_do_have_are_fine():
    for uid in (
        "casme2/s15/15_0101",
        "casme3/spNO.1/a",
        "fourdme/S13/S13_1st_001_01_1",
        "own_video/a b/a b",
        "d/é/é",
    ):
        require_plain_uid(uid, "here")


def test_a_workbook_elsewhere_is_refused(tree, book):
    (tree / "copy.xlsx").symlink_to(tree / BOOK)
    assert len(read_dataset("casme2", tree, workbook="copy.xlsx").events) == 2
    outside = tree.parent / BOOK
    os.replace(tree / BOOK, outside)
    for name in (f"../{BOOK}", str(outside)):
        refused(tree, "leads out of the dataset", workbook=name)


# ---------------------------------------------------------------------------------------------------------------------
# Links


@pytest.mark.parametrize("level", ["rawpic", "rawpic/s15", VIDEO])
def test_folders_linked_from_outside_are_refused(tree, tmp_path, level):
    outside = tmp_path / "outside"
    os.replace(tree / level, outside)
    (tree / level).symlink_to(outside)
    refused(tree, f"15_0101disgustingteeth: leads out of the dataset, to {re.escape(str(outside))}")


def test_links_inside_the_dataset_are_followed(tree):
    os.replace(tree / VIDEO, tree / "elsewhere")
    (tree / VIDEO).symlink_to(tree / "elsewhere")
    assert read_dataset("casme2", tree).counts()["videos"] == 1


def test_the_root_itself_may_be_a_link(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    assert read_dataset("casme2", tmp_path / "link").counts()["videos"] == 1


def test_a_circle_of_links_is_named_and_never_walked(tree):
    (tree / "rawpic/s16").symlink_to("s16")
    refused(tree, "rawpic/s16: is a link that leads in a circle")
    (tree / "rawpic/s16").unlink()
    (tree / "rawpic/s16").symlink_to("../rawpic")  # ends in itself, again and again
    assert read_dataset("casme2", tree).counts()["videos"] == 1
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    with pytest.raises(DatasetError, match="in a circle"):
        subfolders(tree)


def test_a_frame_linked_from_outside_is_refused(tree, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    (tree / VIDEO / "img041.jpg").symlink_to(tmp_path / "secret.jpg")
    refused(tree, "img041.jpg: leads out of the dataset")
    (tree / VIDEO / "img041.jpg").unlink()
    (tree / VIDEO / "img041.jpg").symlink_to("img041.jpg")
    refused(tree, "img041.jpg: does not exist, or is a link that leads nowhere or in a circle")


def test_a_landmark_file_linked_from_outside_is_refused(tree, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"")
    (tree / "landmarks").mkdir()
    (tree / "landmarks" / "15_0101.npz").symlink_to(tmp_path / "x.npz")
    refused(tree, r"15_0101\.npz: leads out of the dataset")


def test_frames_are_files(tmp_path):
    (tmp_path / "img001.jpg").write_bytes(jpeg())
    (tmp_path / "img002.jpg").mkdir()
    os.mkfifo(tmp_path / "img003.jpg")  # reading it would wait for ever
    frames = scan_frames(tmp_path)
    assert (frames.count, frames.ignored) == (1, ("img002.jpg", "img003.jpg"))


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and sizes


@pytest.mark.parametrize("value", [10**12, 4e14, "99999999999", "1e300", "nan"])
def test_absurd_frame_numbers_in_cells_are_refused(tree, value):
    set_cells(tree / BOOK, C1=value)
    refused(tree, r"CASFEcode_final!1: onset must be a frame number")


@pytest.mark.parametrize("digits", ["9" * 400, "9" * 5000, "1e999", "-1e16"])
def test_numbers_that_no_cell_can_hold_are_refused(book, digits):
    sheet_xml(book, b"<v>12</v>", f"<v>{digits}</v>".encode())
    with pytest.raises(DatasetError, match=r"book\.xlsx"):
        read_sheets(book)


def test_absurd_frame_numbers_in_file_names_are_refused(tree):
    for name, message in (("img9999999999.jpg", "10 digits"), ("img999999999.jpg", "cannot be one video")):
        (tree / VIDEO / name).write_bytes(jpeg())
        refused(tree, f"15_0101disgustingteeth.*{message}")
        (tree / VIDEO / name).unlink()


def test_an_absurdly_large_image_is_refused_unopened(tree):
    first = tree / VIDEO / "img001.jpg"
    data = first.read_bytes()
    at = data.index(b"\xff\xc0") + 5  # height and width in the frame header
    first.write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
    refused(tree, "img001.jpg: 65535 x 65535 pixels cannot be a frame")


def test_a_huge_cell_is_refused(book):
    sheet_xml(book, b"<v>12</v>", b"<v>12</v>")
    set_cells(book, D3="x" * 32_767)
    assert len(read_sheets(book)[0].rows[1][1][3]) == 32_767
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workbook, "_LONGEST_CELL", 1000)
        with pytest.raises(DatasetError, match=r"book.xlsx!Sheet!3, cell D3: a text of 32767 characters"):
            read_sheets(book)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("A65539", None),  # far down is fine, if the rest is empty
        ("JJ2", r"Sheet!2: 270 columns"),
    ],
)
def test_tables_of_absurd_shape_are_refused(book, cell, message):
    set_cells(book, **{cell: "x"})
    if message is None:
        assert read_sheets(book)[0].rows[-1][0] == 65539
        return
    with pytest.raises(DatasetError, match=message):
        read_sheets(book)


def test_a_row_number_beyond_all_spreadsheets_does_not_count_for_ever(book, monkeypatch):
    monkeypatch.setattr(workbook, "_LAST_ROW", 1000)
    sheet_xml(book, b'<row r="1"', b'<row r="99999999999"')
    with pytest.raises(DatasetError, match=r"book.xlsx!Sheet!1001: more rows"):
        read_sheets(book)


def test_too_many_rows_are_refused(book, monkeypatch):
    monkeypatch.setattr(workbook, "_MOST_ROWS", 20)
    set_cells(book, **{f"A{row}": row for row in range(2, 40)})
    with pytest.raises(DatasetError, match=r"Sheet!22: more rows than a table of labels can have"):
        read_sheets(book)


def test_formatted_empty_cells_count_for_nothing(book):
    def widen(sheet):
        sheet.active.cell(1, 400).font = openpyxl.styles.Font(bold=True)

    new = openpyxl.load_workbook(book)
    widen(new)
    new.save(book)
    assert read_sheets(book)[0].rows == ((1, ("006", 12, "Macro")),)


# ---------------------------------------------------------------------------------------------------------------------
# Formulas


@pytest.mark.parametrize(
    "formula", ["=1+1", "=cmd|'/C calc'!A0", '=HYPERLINK("http://x","y")', "=SUM(B1:B1)"]
)
def test_a_formula_without_stored_value_is_refused_with_its_cell(book, formula):
    set_cells(book, B2=formula)
    with pytest.raises(DatasetError, match=r"book\.xlsx!Sheet!2, cell B2: a formula without stored value"):
        read_sheets(book)


def test_a_formula_counts_as_its_stored_value(book):
    sheet_xml(book, b"<v>12</v>", b"<f>6+7</f><v>12</v>")  # not computed: 13 would be
    assert read_sheets(book)[0].rows == ((1, ("006", 12, "Macro")),)


def test_a_formula_that_refers_to_another_workbook_is_refused(book):
    sheet_xml(book, b"<v>12</v>", b"<f>[1]Sheet1!A1+1</f><v>12</v>")
    with pytest.raises(DatasetError, match=r"Sheet!1, cell B1: a formula that refers to another workbook"):
        read_sheets(book)


def test_text_that_looks_like_a_formula_stays_text(book):
    sheet_xml(book, b"<v>12</v>", b"<v>12</v>")
    new = openpyxl.load_workbook(book)
    new.active["D1"].value = "=1+1"
    new.active["D1"].data_type = "s"
    new.save(book)
    assert read_sheets(book)[0].rows[0][1][3] == "=1+1"


# ---------------------------------------------------------------------------------------------------------------------
# Archives


def test_a_bomb_is_refused_by_its_ratio(book):
    rewrite(book, "docProps/app.xml", lambda data: data + b" " * 2**23)
    with pytest.raises(DatasetError, match=r"book\.xlsx: refused: unpacks to more than 200 times its size"):
        read_sheets(book)


def test_a_bomb_is_refused_by_its_size(book, monkeypatch):
    rewrite(book, "docProps/app.xml", lambda data: data + os.urandom(2**20))
    monkeypatch.setattr(workbook, "_LARGEST_WORKBOOK", 2**19)
    with pytest.raises(DatasetError, match=r"book\.xlsx: too large"):
        read_sheets(book)
    rewrite(book, "docProps/app.xml", lambda data: b"ab" * 2**19)
    with pytest.raises(DatasetError, match=r"refused: 1 MB when unpacked, more than 0 MB"):
        read_sheets(book)


def test_a_bomb_is_refused_by_its_number_of_members(book):
    with zipfile.ZipFile(book, "a") as archive:
        for number in range(1001):
            archive.writestr(f"x/{number}", b"")
    with pytest.raises(DatasetError, match=r"refused: holds 10\d\d files"):
        read_sheets(book)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a\\..\\x", "C:/x"])
def test_a_member_that_would_leave_the_folder_is_refused(book, name):
    with zipfile.ZipFile(book, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DatasetError, match="would leave the folder it is unpacked to"):
        read_sheets(book)


def test_a_lie_about_the_size_of_a_member_ends_in_an_error_not_in_memory(book):
    padding = b"<!--" + os.urandom(2**16).hex().encode() + b"-->"
    sheet_xml(book, b"<v>12</v>", b"<v>12</v>" + padding)
    data = bytearray(book.read_bytes())
    with zipfile.ZipFile(book) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    old, new = size.to_bytes(4, "little"), (1000).to_bytes(4, "little")
    book.write_bytes(bytes(data).replace(old, new))
    with pytest.raises(DatasetError, match="not a readable"):
        read_sheets(book)


def test_entities_that_grow_without_end_are_refused(book):
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
    bomb = b'<!DOCTYPE worksheet [<!ENTITY l0 "lol">' + laughs + b"]>"
    sheet_xml(book, b"<worksheet", bomb + b"<worksheet")
    sheet_xml(book, b"<v>12</v>", b"<v>&l11;</v>")
    with pytest.raises(DatasetError, match="not a readable"):
        read_sheets(book)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0" + b"\0" * 600, b"a,b\n1,2\n", b"\0" * 100]
)
def test_files_that_are_no_workbook_are_refused(book, content):
    book.write_bytes(content)
    with pytest.raises(DatasetError, match=r"book\.xlsx: not a readable .xlsx workbook"):
        read_sheets(book)


def test_every_trap_is_one_line(book):
    """No message quotes a text of unbounded length."""
    with pytest.raises(DatasetError) as error:
        require_plain_uid("d/" + "y" * 10_000 + "/v", "here")
    assert len(str(error.value)) < 300
    assert folders.require_inside(book.parent, book) == book
