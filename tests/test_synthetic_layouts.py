"""The writers of the real layouts: loss-free round trips, and what readers of other projects rely on."""

import re

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import EVENTS, planned, write_tree

from mespot_lib.datasets import casme2, casme3, fourdme, read_dataset, samm_lv, smic_e
from mespot_lib.datasets.workbook import (
    CELLS,
    cell_kind,
    cell_text,
    encode_cells,
    encode_others,
    normal_aus,
)
from mespot_lib.manifest import DatasetError, event_table, read_manifest, write_manifest
from mespot_lib.synthetic.layouts import WRITERS, plan_videos, write_workbooks
from mespot_lib.synthetic.layouts.casme2 import STIMULI
from mespot_lib.synthetic.layouts.casme2 import SUBJECTS as CASME2_SUBJECTS
from mespot_lib.synthetic.layouts.casme3_a import SUBJECTS as CASME3_SUBJECTS
from mespot_lib.synthetic.layouts.samm_lv import SUBJECTS as SAMM_SUBJECTS
from mespot_lib.synthetic.layouts.smic_e import SUBJECTS as SMIC_SUBJECTS

# ------------------------------------------------------------------------------------------------ round trip

# what XML 1.0 can hold; a workbook turns a carriage return into a line feed, as XML does
letters = st.characters(
    exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff", include_characters="\n\t"
)
texts = st.text(letters, min_size=1, max_size=12)
numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9, allow_nan=False))
cells = st.one_of(st.none(), texts, numbers)
frame_numbers = st.one_of(
    st.integers(0, 2000), st.floats(0, 2000, allow_nan=False), st.integers(0, 99).map(str)
)


@st.composite
def casme2_rows(draw):
    """Draw native cells of one row of CAS(ME)^2, free where the reader is free."""
    at = draw(st.integers(0, 21))
    code = draw(st.sampled_from(list(STIMULI)))
    row = {name: draw(cells) for name in ("emotion_raw", "self_report", "au_raw", "duration_raw")}
    row |= {name: draw(frame_numbers) for name in ("onset_raw", "apex_raw", "offset_raw")}
    row |= {
        "subject_raw": at + 1,
        "expr_id_raw": f"{STIMULI[code][0]}_{draw(st.integers(1, 99))}",
        "type_raw": draw(st.sampled_from(["micro-expression", "macro-expression", "Macro-expression"])),
    }
    subject = CASME2_SUBJECTS[at]
    return {"video_uid": f"casme2/{subject}/{subject[1:]}_{code}"} | encode_cells(row)


@st.composite
def samm_rows(draw):
    """Draw native cells of one row of SAMM-LV, free where the reader is free."""
    subject, recording = draw(st.sampled_from(SAMM_SUBJECTS)), draw(st.integers(1, 7))
    row = {name: draw(cells) for name in ("inducement", "notes", "au_raw", "duration_raw")}
    row |= {name: draw(frame_numbers) for name in ("onset_raw", "apex_raw", "offset_raw")}
    row |= {
        "subject_raw": draw(st.sampled_from([subject, int(subject), None])),
        "expr_id_raw": f"{subject}_{recording}_{draw(st.integers(1, 12))}",
        "type_raw": draw(st.sampled_from(["Macro", "Micro - 1/2", "macro "])),
    }
    return {"video_uid": f"samm_lv/{subject}/{subject}_{recording}"} | encode_cells(row)


def row_lists(rows):
    return st.lists(rows, min_size=1, max_size=6)


def same(a, b):
    return (cell_kind(a), cell_text(a)) == (cell_kind(b), cell_text(b))


def joined_by(key):
    subject, letter, moments = key
    return subject, letter, *map(cell_text, moments)


@st.composite
def casme3_a_tables(draw):
    """Draw the rows of both workbooks of CAS(ME)^3 A as the reader joins them: what is in the list alone comes last."""
    subjects, letters = st.sampled_from(CASME3_SUBJECTS[:3]), st.sampled_from("ajm")
    moments = st.tuples(*[frame_numbers] * 3)
    keys = st.lists(
        st.tuples(subjects, letters, moments),
        min_size=1,
        max_size=6,
        unique_by=joined_by,
    )
    rows = {"first": [], "list": []}
    for subject, letter, frames in draw(keys):
        where = draw(st.sampled_from(["first", "both", "list"]))
        row = {"subject_raw": subject, "expr_id_raw": draw(st.sampled_from([letter, letter.upper()]))}
        row |= dict(zip(("onset_raw", "apex_raw", "offset_raw"), frames, strict=True))
        notes = {"Objective class": draw(cells), "remark": draw(cells)}
        row["au_raw"] = draw(cells)
        if where != "first":
            row["emotion_raw"] = draw(cells)
            notes[casme3.LIST_ROW] = 0  # until the order in the list is known
        if where != "list":
            row["type_raw"] = draw(st.sampled_from(["Micro-expression", "Macro-expression"]))
        if where == "both":
            others = {"AU": row["au_raw"], "Objective class": notes["Objective class"]}
            for header, value in others.items():
                other = draw(st.one_of(st.just(value), cells))
                if not same(other, value):
                    notes[f"{casme3.LIST}{header}"] = "" if other is None else other
        uid = f"casme3_a/{subject}/{subject}_{letter}"
        rows["list" if where == "list" else "first"].append(({"video_uid": uid}, row, notes))
    listed = [notes for _, _, notes in rows["first"] + rows["list"] if casme3.LIST_ROW in notes]
    for at, notes in zip(draw(st.permutations(range(len(listed)))), listed, strict=True):
        notes[casme3.LIST_ROW] = at + 2
    rows["list"].sort(key=lambda row: row[2][casme3.LIST_ROW])
    return [
        known | encode_cells(row | {"notes": encode_others(notes)})
        for known, row, notes in rows["first"] + rows["list"]
    ]


@st.composite
def casme3_c_rows(draw):
    """Draw native cells of one row of the clips of CAS(ME)^3 C."""
    subject, clip = draw(st.integers(1, 31)), draw(st.integers(1, 40))
    row = {name: draw(frame_numbers) for name in ("onset_raw", "offset_raw")}
    row |= {
        "subject_raw": draw(st.sampled_from([subject, str(subject), f"{subject:02d}"])),
        "expr_id_raw": draw(st.sampled_from([clip, str(clip)])),
        "au_raw": draw(cells),
        "notes": encode_others({"risk": draw(cells), "remark": draw(cells)}),
    }
    return {"video_uid": f"casme3_c/{subject:02d}/{subject:02d}_{clip}"} | encode_cells(row)


@st.composite
def smic_events(draw):
    """Draw the events of one native row of SMIC-E: one to three pairs of onset and offset."""
    subject, code = draw(st.sampled_from(SMIC_SUBJECTS)), draw(st.sampled_from(list(smic_e.EMOTIONS)))
    clip = f"s{int(subject[1:])}_{code}_{draw(st.integers(1, 3)):02d}"
    pairs = [1, *sorted(draw(st.sets(st.integers(2, 3))))]
    others = {name: draw(cells) for name in (*smic_e.OTHERS, "remark")}
    others |= {f"TotalMF{absent}": draw(cells) for absent in {2, 3} - set(pairs)}
    shared = {
        "subject_raw": draw(st.sampled_from([int(subject[1:]), subject[1:], subject, None])),
        "expr_id_raw": draw(st.sampled_from([clip, clip.upper(), f"{clip} "])),
        "emotion_raw": draw(cells),
        "notes": encode_others(others),
    }
    return [
        {"video_uid": f"smic_e/{subject}/{clip}", "occurrence": pair}
        | encode_cells(
            shared
            | {"onset_raw": draw(frame_numbers), "offset_raw": draw(st.one_of(st.none(), frame_numbers))}
            | {"duration_raw": draw(cells)}
        )
        for pair in pairs
    ]


@st.composite
def fourdme_rows(draw):
    """Draw native cells of one row of the micro release of 4DME."""
    subject = draw(st.sampled_from(["S01", "S13", "7"]))
    clip = f"{subject}_1st_{draw(st.integers(1, 3)):03d}_01"
    names = ("emotion_raw", "au_raw", "duration_raw", "self_report")
    row = {name: draw(cells) for name in names} | {"apex_raw": draw(st.one_of(st.none(), frame_numbers))}
    row |= {name: draw(frame_numbers) for name in ("onset_raw", "offset_raw")}
    others = ("AU4", "eye blink", "Positive", "Total", "fold", "Objective class", "remark")
    row |= {
        "subject_raw": 7 if subject == "7" else draw(st.sampled_from([subject, f"{subject}'"])),
        "expr_id_raw": clip,
        "notes": encode_others({name: draw(cells) for name in others}),
    }
    return {"video_uid": f"fourdme/{subject}/{clip}"} | encode_cells(row)


TABLES = {  # layout -> tables that its reader returns as they were written
    "casme2": row_lists(casme2_rows()),
    "casme3_a": casme3_a_tables(),
    "casme3_c": row_lists(casme3_c_rows()),
    "fourdme": row_lists(fourdme_rows()),
    "samm_lv": row_lists(samm_rows()),
    "smic_e": row_lists(smic_events()).map(lambda rows: [event for events in rows for event in events]),
}
OPTIONS = {"samm_lv": {"release": "V2"}}  # V3 has other onsets


def round_trip(layout, rows, folder):
    """Write rows as workbooks, read them, write the manifest, read that, and return its native columns."""
    media = plan_videos(layout, 1, 1, 100)[0][0]["rel_path"]
    for place in (folder, folder / "again"):
        (place / media).mkdir(parents=True)
    first = write_workbooks(layout, event_table(rows), folder)
    options = OPTIONS.get(layout, {})
    write_manifest(read_dataset(layout, folder, policy="raw", **options), folder / "out")
    manifest = read_manifest(folder / "out", folder)
    again = write_workbooks(layout, manifest.events, folder / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]
    return manifest.events[["video_uid", *CELLS, "cell_kinds"]]


def test_every_layout_with_a_workbook_has_its_round_trip():
    assert set(TABLES) == {layout for layout, writer in WRITERS.items() if writer.sheets}


@pytest.mark.parametrize("examples", [12, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layout", TABLES)
def test_tables_survive_the_native_workbook(layout, examples, tmp_path_factory):
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(TABLES[layout])
    def survive(drawn):
        expected = event_table(drawn)[["video_uid", *CELLS, "cell_kinds"]]
        found = round_trip(layout, drawn, tmp_path_factory.mktemp(layout))
        assert found.equals(expected), found.compare(expected)

    survive()


@given(st.one_of(st.integers(-(10**14), 10**14), st.floats(-1e12, 1e12, allow_nan=False)))
def test_a_number_as_text_is_the_number_to_fifteen_digits(number):
    assert float(cell_text(number)) == pytest.approx(number, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("4+10", "4+10"),
        ("4", "4"),
        ("AU4, l10", "4+L10"),
        ("L12;R14", "L12+R14"),
        ("1 2", "1+2"),
        ("4，5", "4+5"),
        (None, None),
        ("", None),
        ("none", None),
        ("4+", "4"),
        ("12a", "12A"),
        ("4+17(k)", "4+17(k)"),
        ("AU4 (K), l10", "4(k)+L10"),
        ("4(k", None),
        ("(k)", None),
        ("AU45", "45"),
    ],
)
def test_action_units_are_normalised_or_left_alone(raw, normal):
    assert normal_aus(raw) == normal


@pytest.mark.slow
@pytest.mark.parametrize("layout", WRITERS)
def test_a_tree_of_full_size_holds_what_was_planted(layout, tmp_path):
    writer = WRITERS[layout]
    subjects, videos = len(writer.subjects), min(13, writer.most_videos)
    tree = write_tree(layout, tmp_path, subjects=subjects, videos=videos, frames=12, events=EVENTS[:1])
    counts = read_dataset(layout, tree, policy="raw").counts()
    assert (counts["subjects"], counts["videos"]) == (subjects, subjects * videos)
    assert counts["frames"] == sum(
        12 - sum(b - a + 1 for a, b in video.get("missing", ()))
        for row in plan_videos(layout, subjects, videos, 12)
        for video in row
    )
    assert counts["ME"] == counts["rows"] == (subjects * videos if writer.cells else 0)
    assert counts["without_media"] == 0


# ------------------------------------------------------------------------------------------------ names


def test_ids_have_the_real_grammar():
    for row in plan_videos("casme2", 22, 9, 100):
        for video in row:
            pattern = r"rawpic/(s[0-9]{2})/([0-9]{2})_([0-9]{4})[a-z]+"
            subject, number, code = re.fullmatch(pattern, video["rel_path"]).groups()
            assert (subject, number, code) == (video["subject_id"], subject[1:], video["video_code"])
    for row in plan_videos("samm_lv", 30, 7, 100):
        assert len({video["video_id"] for video in row}) == 7
        for video in row:
            assert re.fullmatch(r"SAMM_longvideos/[0-9]{3}_[1-7]", video["rel_path"])
    pattern = r"HS_long/SMIC-HS-E/HS/s([0-9]{2})/s([0-9]+)_(ne|po|sur)_[0-9]{2}"
    for row in plan_videos("smic_e", 16, 39, 100):
        assert len({video["video_id"] for video in row}) == 39
        for video in row:
            folder, clip, _emotion = re.fullmatch(pattern, video["rel_path"]).groups()
            assert (int(folder), str(int(clip))) == (int(clip), clip)
            assert 100_000 <= video["first_frame_no"] < video["last_frame_no"] < 10**6


def test_titles_hold_no_other_code():
    # readers find the folder of a stimulus with the pattern *0101*
    assert not any(re.search(r"[0-9]", title) for _name, title in STIMULI.values())


@pytest.mark.parametrize(
    ("layout", "subjects", "videos"), [("casme2", 23, 1), ("casme2", 1, 10), ("samm_lv", 31, 1)]
)
def test_more_than_the_layout_has_is_refused(layout, subjects, videos):
    with pytest.raises(DatasetError, match="has room for"):
        plan_videos(layout, subjects, videos, 100)


# ------------------------------------------------------------------------------------------------ what others rely on


@pytest.fixture(scope="module")
def casme2_book(tmp_path_factory):
    tree = write_tree("casme2", tmp_path_factory.mktemp("c"))
    return {path.name: openpyxl.load_workbook(path) for path in tree.glob("*.xlsx")}


@pytest.fixture(scope="module")
def samm_book(tmp_path_factory):
    tree = write_tree("samm_lv", tmp_path_factory.mktemp("s"))
    return {path.name: openpyxl.load_workbook(path) for path in tree.glob("*.xlsx")}


def test_casme2_workbooks_lie_under_several_names(casme2_book):
    widths = {name: book.worksheets[0].max_column for name, book in casme2_book.items()}
    assert widths == {
        "CAS(ME)^2code_final.xlsx": 9,
        "code_final.xlsx": 9,
        "CAS(ME)^2code_final(Updated).xlsx": 10,
    }


def test_casme2_has_three_sheets_without_header_and_aligned_rows(casme2_book):
    labels, rule1, rule2 = casme2_book["CAS(ME)^2code_final.xlsx"].worksheets
    assert [sheet.title for sheet in (labels, rule1, rule2)] == list(casme2.SHEETS)
    assert labels.max_row == rule1.max_row == 12
    assert rule2.max_row == 9
    for row, naming in zip(labels.values, rule1.values, strict=True):
        assert row[0] == naming[2]
        assert naming[1] == f"s{naming[0]}"
        assert isinstance(naming[0], int)
    codes = dict(rule2.values)
    assert all(isinstance(code, str) and len(code) == 4 for code in codes)
    for row in labels.values:
        assert row[1].rsplit("_", 1)[0] in codes.values()


def test_casme2_cells_have_the_kinds_of_the_release(casme2_book):
    rows = list(casme2_book["code_final.xlsx"].worksheets[0].values)
    assert {type(row[5]) for row in rows} == {int, str}  # one action unit is a number, several are text
    assert {row[7] for row in rows} == {"micro-expression", "macro-expression"}
    assert {row[6] for row in rows} <= {"negative", "positive", "surprise", "others"}
    assert all(isinstance(row[column], int) for row in rows for column in (0, 2, 3, 4))


@pytest.mark.parametrize(("macros", "zeros"), [(1, 1), (20, 1), (100, 3)])
def test_some_casme2_macro_expressions_have_no_offset(tmp_path, macros, zeros):
    events = [planned("MaE", 4 * at, 4 * at + 1, 4 * at + 2) for at in range(macros)]
    tree = write_tree(
        "casme2", tmp_path, subjects=1, videos=1, frames=4 * macros, events=[EVENTS[0], *events]
    )
    manifest = read_dataset("casme2", tree)
    assert manifest.counts()["offset_zero"] == zeros
    assert set(manifest.events.query("offset_raw == '0'")["type"]) == {"MaE"}


def test_samm_preamble_header_and_cells(samm_book):
    assert sorted(samm_book) == [samm_lv.workbook_name(release) for release in ("V1", "V2", "V3")]
    rows = list(samm_book[samm_lv.workbook_name("V1")][samm_lv.SHEET].values)
    assert rows[9] == (
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset",
        "Apex",
        "Offset",
        "Duration",
        "Type",
        "Action Units",
        "Notes",
    )
    assert all(isinstance(row[1], str) and "_" not in row[1][:5] for row in rows[:9])
    assert "Synthetic" in rows[0][0]
    for row in rows[10:]:
        assert isinstance(row[0], str)
        assert row[1].startswith(f"{row[0]}_")
        assert all(isinstance(cell, int) for cell in row[3:7])
        assert row[7] in ("Macro", "Micro - 1/2")


@pytest.mark.parametrize("layout", ["casme2", "samm_lv"])
def test_nothing_but_frames_in_the_frame_folders(tmp_path, layout):
    write_tree(layout, tmp_path)
    top = "rawpic" if layout == "casme2" else "SAMM_longvideos"
    names = [path.name for path in (tmp_path / top).rglob("*") if path.is_file()]
    assert names
    assert all(re.search(r"[0-9]\.jpg$", name) for name in names)


def test_equal_tables_make_equal_workbooks(tmp_path):
    for place in ("a", "b"):
        write_tree("casme2", tmp_path / place)
    for name in casme2.WORKBOOKS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_text_that_looks_like_a_formula_stays_text(tmp_path):
    row = {"video_uid": "casme2/s15/15_0101"} | encode_cells(
        {
            "subject_raw": 1,
            "expr_id_raw": "disgust1_1",
            "onset_raw": 1,
            "apex_raw": 2,
            "offset_raw": 3,
            "type_raw": "micro-expression",
            "self_report": "=1+1",
        }
    )
    assert round_trip("casme2", [row], tmp_path)["self_report"][0] == "=1+1"


def test_smic_columns_stand_where_readers_by_position_look(tmp_path):
    events = [planned("ME", at, at + 2, at + 5) for at in (2, 10, 20, 30)]
    tree = write_tree("smic_e", tmp_path, subjects=1, videos=1, events=events)
    names = sorted(path.name for path in (tree / "HS_long").glob("*.xlsx"))
    assert names == ["SMIC-HS-E_annotation.xlsx", "SMIC-HS-E_annotation_2019.xlsx"]
    header, *rows = openpyxl.load_workbook(tree / "HS_long" / names[0]).worksheets[0].values
    assert header[:2] == ("Subject", "Filename")
    assert header[3:9] == ("OnsetF", "OffsetF", "Onset2F", "Offset2F", "Onset3F", "Offset3F")
    assert header[10:] == ("FirstF", "LastF", "TotalMF1", "TotalMF2", "TotalMF3", "TotalVL", "Emotion")
    first = rows[0][10]
    assert [None if cell is None else cell - first for cell in rows[0][3:9]] == [2, 7, 10, 15, 20, 25]
    assert [None if cell is None else cell - first for cell in rows[1][3:9]] == [
        30,
        35,
        None,
        None,
        None,
        None,
    ]
    assert all(row[:2] == (1, "s1_ne_01") for row in rows[:2])
    assert rows[2] == (None,) * len(header)
    assert rows[3][0].startswith("Synthetic")


def test_fourdme_columns_and_cells(tmp_path):
    tree = write_tree(
        "fourdme", tmp_path, events=[planned("ME", 2, 5, 9), planned("ME", 15, 20, 30, ("1", "2"))]
    )
    sheet = openpyxl.load_workbook(tree / "4DMicro" / fourdme.WORKBOOK).worksheets[0]
    header, *rows = sheet.values
    assert header[:7] == ("sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs")
    assert header[-3:] == ("Total", "fold", "Objective class")
    assert {type(row[6]) for row in rows} == {str}
    by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["AU1"], row["AU2"], row["AU4"]) for row in by_name[:2]] == [(None, None, 1), (1, 1, None)]
    assert (by_name[0]["Negative"], by_name[1]["Surprise"]) == (1, 1)
    names = sorted(path.name for path in (tree / "4DMicro/gray_micro/S01/S01_1st_001_01").iterdir())
    assert int(names[0][-9:-4]) == by_name[0]["Onset"] - 2  # the digits at the end of the name
