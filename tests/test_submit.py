"""Challenge files: what is written is read back the same, and every broken rule is named with file and row."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import store

from mespot_lib import challenge, submit
from mespot_lib.challenge import FORMATS, LogRow, Row, SubmitError, check_submission
from mespot_lib.interval import Interval, iou, write_intervals
from mespot_lib.manifest import Manifest, event_table, video_table
from mespot_lib.metrics import match

TWO_FILES = [name for name, form in FORMATS.items() if not form.is_log]
LOGS = [name for name, form in FORMATS.items() if form.is_log]
# format -> columns of its two videos: one of the dataset that is called cas, one of samm
VIDEOS = {
    "megc2020": ({"subject_id": "s15", "video_id": "15_0101"}, {"subject_id": "006", "video_id": "006_1"}),
    "megc2022": ({"subject_id": "sub01", "video_id": "sub01"}, {"subject_id": "001", "video_id": "001_2"}),
    "megc2023": ({"subject_id": "dzw", "video_id": "dzw_a1"}, {"subject_id": "001", "video_id": "001_3"}),
    "megc2024_str": (
        {"subject_id": "s15", "subject_index": 1, "video_id": "15_0401", "stimulus": "anger1"},
        {"subject_id": "017", "video_id": "017_3"},
    ),
}
VIDEOS["megc2021"] = VIDEOS["megc2020"]
IDS = {"megc2024_str": ("1/anger1", "17/017_3")}
LENGTH, FIRST = 1000, 8
some = settings(max_examples=20, deadline=None)


def manifest_of(name: str, truth=()) -> Manifest:
    """Return a manifest of both videos of a format, numbered from 8; `truth` belongs to the first."""
    videos = [
        {"video_uid": f"d/{columns['subject_id']}/{columns['video_id']}", "dataset": "d", "rel_path": f"v{n}"}
        | {"media": "frames", "fps": 30, "first_frame_no": FIRST, "last_frame_no": FIRST + LENGTH - 1}
        | {"n_frames": LENGTH, "labelled": True, "synthetic": False, "gt_available": True}
        | columns
        for n, columns in enumerate(VIDEOS[name])
    ]
    events = [
        {"event_uid": f"{videos[0]['video_uid']}#{n}", "video_uid": videos[0]["video_uid"], "type": span.kind}
        | {"onset": span.onset + FIRST, "offset": span.offset + FIRST, "has_media": True}
        for n, span in enumerate(truth)
    ]
    descriptor = {"dataset": "d", "publishable": False, "synthetic": False, "remarks": []}
    return Manifest(descriptor, video_table(videos), event_table(events), Path("nowhere"))


def problems_of(path, *lines, name=None, encoding="utf-8", **options):
    data = lines[0] if isinstance(lines[0], bytes) else ("\n".join(lines) + "\n").encode(encoding)
    path.write_bytes(data)
    return check_submission(path, name, **options).problems


@pytest.fixture
def cas(tmp_path):
    return tmp_path / "cas_pred.csv"


# ---------------------------------------------------------------------------------------------------------------------
# Round trips

distinct = st.lists(
    st.tuples(st.integers(0, LENGTH - 2), st.integers(1, 200), st.sampled_from(["ME", "MaE"])),
    max_size=12,
    unique_by=lambda span: (span[0], span[1], span[2]),
).map(lambda spans: [Interval(a, min(LENGTH - 1, a + n), kind) for a, n, kind in spans])
unique = distinct.map(lambda spans: list({(s.onset, s.offset): s for s in spans}.values()))


@pytest.mark.parametrize("name", ["megc2022", "megc2023"])
@pytest.mark.parametrize("header", [0, 1])
@some
@given(first=unique, second=unique, frames=st.sampled_from(challenge.FRAMES))
def test_predictions_are_read_back_as_they_were_spotted(
    tmp_path_factory, name, header, first, second, frames
):
    manifest = manifest_of(name)
    spotted = dict(zip(manifest.uids, (first, second), strict=True))
    rows = submit.prediction_rows(FORMATS[name], spotted, [manifest], frames)
    files = {
        file: challenge.prediction_text(lines, FORMATS[name].headers[header]) for file, lines in rows.items()
    }
    path = tmp_path_factory.mktemp("s") / "s.zip"
    written = submit.write_submission(path, files, name, frames=frames, videos=[manifest])
    found = check_submission(path, name, frames=frames, videos=[manifest])
    assert (found.problems, found.rows) == ([], written.rows)
    start = {"number": FIRST, "0": 0, "1": 1}[frames]
    for file, spans in zip(("cas_pred.csv", "samm_pred.csv"), (first, second), strict=True):
        back = [
            Interval(row.onset - start, row.offset - start, {"me": "ME", "mae": "MaE"}[row.label])
            for row in found.rows[file]
        ]
        assert back == sorted(spans)


@some
@given(spans=unique, feelings=st.lists(st.sampled_from(challenge.EMOTIONS), min_size=12, max_size=12))
def test_emotions_are_read_back(tmp_path_factory, spans, feelings):
    form, manifest = FORMATS["megc2024_str"], manifest_of("megc2024_str")
    spotted = dict.fromkeys(manifest.uids, spans)
    told = {
        (uid, span.onset, span.offset): emotion
        for uid in manifest.uids
        for span, emotion in zip(spans, feelings, strict=False)
    }
    rows = submit.prediction_rows(form, spotted, [manifest], emotions=told)
    files = {file: challenge.prediction_text(lines, form.headers[0]) for file, lines in rows.items()}
    path = tmp_path_factory.mktemp("s") / "folder"
    found = submit.write_submission(path, files, form.name, videos=[manifest])
    micro = sorted(span for span in spans if span.kind == "ME")
    for file, video, uid in zip(form.files, IDS[form.name], manifest.uids, strict=True):
        assert found.rows[file] == [
            Row(video, s.onset + FIRST, s.offset + FIRST, told[uid, s.onset, s.offset]) for s in micro
        ]


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
@some
@given(truth=unique, spotted=unique, order=st.permutations(challenge.ORDER))
def test_logs_are_read_back_and_say_what_was_hit(tmp_path_factory, name, suffix, truth, spotted, order):
    manifest = manifest_of(name, truth)
    rows = submit.log_rows(FORMATS[name], {manifest.uids[0]: spotted, manifest.uids[1]: spotted}, [manifest])
    text = {".txt": challenge.log_text, ".csv": challenge.log_csv}[suffix](rows, order)
    path = tmp_path_factory.mktemp("s") / f"log{suffix}"
    found = submit.write_submission(path, {path.name: text}, name, videos=[manifest], order=order)
    back = found.rows[path.name]
    assert back == [row for part in order for row in rows[part]]
    first, second = ([row for row in back if row.video == video] for video in ("15_0101", "006_1"))
    true, made = (
        sorted((span.onset + FIRST, span.offset + FIRST) for span in spans) for spans in (truth, spotted)
    )
    assert sorted(row.truth for row in first if row.truth) == true
    assert sorted(row.spotted for row in first if row.spotted) == made
    assert sum(row.result == "TP" for row in first) == len(match(sorted(truth), sorted(spotted)))
    assert {row.result for row in second} <= {"FP"}
    assert len(second) == len(spotted)
    starts = [min(filter(None, (row.truth, row.spotted))) for row in first]
    assert starts == sorted(starts)


def test_the_columns_of_a_log_stand_where_the_baseline_puts_them():
    rows = {"samm": [LogRow("006_1", (1, 20), (2, 21), "TP"), LogRow("006_1", None, (7, 1234567), "FP")]}
    assert challenge.log_text(rows).split("\n") == [
        "1",
        "006_1   1         20      2       21      TP",
        "006_1   -         -       7       1234567 FP",
        "2",
        "",
    ]
    assert challenge.log_text(rows)[2:].index("20") == 18
    assert challenge.log_text(rows, ("cas", "samm")).startswith("1\n2\n006_1")


# ---------------------------------------------------------------------------------------------------------------------
# Rules of files of predictions

HEADER = "vid,pred_onset,pred_offset,type"


def test_the_published_ids_are_known():
    parts = FORMATS["megc2022"].parts, FORMATS["megc2023"].parts
    assert [len(part.known) + part.unnamed for both in parts for part in both.values()] == [5, 5, 20, 10]
    assert parts[0]["samm"].known < parts[1]["samm"].known
    for form in FORMATS.values():
        for part in form.parts.values():
            assert all(challenge._id_faults(video, part) == [] for video in part.known)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("dzw_a1,9,5,me", "onset 9 does not come before offset 5"),
        ("dzw_a1,5,5,me", "onset 5 does not come before offset 5"),
        ("dzw_a1,5,9,ME", "'ME' is none of me, mae"),
        ("dzw_a1,5,9,", "'' is none of me, mae"),
        ("dzw_a1,5.0,9,me", "onset must be a whole frame number of at most 7 digits, found '5.0'"),
        ("dzw_a1,-5,9,me", "onset must be a whole frame number"),
        ("dzw_a1,5,99999999,me", "offset must be a whole frame number of at most 7 digits"),
        ("dzw_a1,5,1e9,me", "offset must be a whole frame number"),
        ("dzw_a1,٥,9,me", "onset must be a whole frame number"),
        ("001_2,5,9,me", "'001_2' is no video of this part of the challenge"),
        ("../../x,5,9,me", "'../../x' is no video of this part"),
        ("dzw_a1,5,9", "3 cells where 4 belong"),
        ("dzw_a1,5,9,me,", "5 cells where 4 belong"),
        ("=1+1,5,9,me", "'=1+1' begins like a formula of a spreadsheet"),
        ("@x,5,9,me", "'@x' begins like a formula"),
        ("dzw_a1,5,9,-me", "'-me' begins like a formula"),
        ("dzw_a1 ,5,9,me", "'dzw_a1 ' holds odd characters or blanks"),
        (f"{'x' * 101},5,9,me", "a cell of more than 100 characters"),
        (f"{'x' * 200_000},5,9,me", "not valid CSV (field larger than field limit"),
        ('dzw"_a1"x,"5,9,me', "not valid CSV"),
    ],
)
def test_a_broken_rule_is_named_with_its_row(cas, row, rule):
    (problem, *_) = problems_of(cas, HEADER, "dzw_d1,1,2,mae", row)
    assert problem.startswith(f"cas_pred.csv, row 3: {rule}")
    assert len(problem) < 250


def test_every_problem_is_listed_and_one_row_may_have_several(cas):
    rows = ["=x,b,1,no", *["dzw_a1,9,5,me"] * 300]
    problems = problems_of(cas, HEADER, *rows)
    assert len([p for p in problems if ", row 2: " in p]) == 3
    assert len([p for p in problems if "does not come before" in p]) == 300


def test_duplicates_are_named(cas):
    lines = [HEADER, "dzw_a1,5,9,me", "dzw_a1,5,9,mae", "dzw_d1,5,9,me", "dzw_a1,5,9,me"]
    assert problems_of(cas, *lines) == ["cas_pred.csv, row 5: the same row stands in row 2"]


def test_two_ids_of_2023_are_not_public_so_two_may_be_unknown(cas):
    rows = [f"wy_{clip},5,9,me" for clip in ("f1", "x1", "x2")]
    assert problems_of(cas, HEADER, *rows) == []
    assert any(
        "wy_x1, wy_x2 taken for videos whose ids are not public" in n for n in check_submission(cas).notes
    )
    assert problems_of(cas, HEADER, *rows, "wy_x3,5,9,me") == [
        "cas_pred.csv: wy_x1, wy_x2, wy_x3 are unknown, but the ids of 2 videos alone are not public"
    ]
    assert len(problems_of(cas, HEADER, "sub06,5,9,me", name="megc2022")) == 1


def test_frames_must_lie_in_the_video(cas, tmp_path):
    manifest = manifest_of("megc2023")
    inside = f"dzw_a1,{FIRST},{FIRST + LENGTH - 1},mae"
    assert problems_of(cas, HEADER, inside, videos=[manifest]) == []
    for row in (f"dzw_a1,{FIRST - 1},20,me", f"dzw_a1,20,{FIRST + LENGTH},me"):
        assert (
            "leaves the video, which has the frames 8..1007"
            in problems_of(cas, HEADER, row, videos=[manifest])[0]
        )
    assert "has the frames 0..999" in problems_of(cas, HEADER, inside, videos=[manifest], frames="0")[0]
    assert problems_of(cas, HEADER, "dzw_a1,0,9,me", frames="1") == [
        "cas_pred.csv, row 2: onset 0 comes before the first frame, 1"
    ]
    table = tmp_path / "videos.csv"
    table.write_text("video,frames\ndzw_a1,50\n")
    assert "frames 1..50" in problems_of(cas, HEADER, "dzw_a1,20,51,me", videos=[table])[0]
    assert problems_of(cas, HEADER, "dzw_d1,20,51,me", videos=[table]) == []
    assert any(
        "1 videos are not known, so not checked" in note
        for note in check_submission(cas, videos=[table]).notes
    )


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\xef\xbb\xbf" + HEADER.encode() + b"\n", "row 1: begins with a byte-order mark"),
        (f"{HEADER}\r\ndzw_a1,5,9,me\r\n".encode(), "row 1: Windows line ends"),
        (f"{HEADER}\ndzw_a1,5,9,me\0\n".encode(), "row 2: a zero byte"),
        (f"{HEADER}\ndzw_a1,5,9,m\xe9\n".encode("latin-1"), "row 2: not UTF-8"),
        (f"{HEADER}\n".encode("utf-16"), "row 1: UTF-16; save it as UTF-8"),
        (b"vid;pred_onset;pred_offset;type\n", "row 1: the columns must be vid,pred_onset"),
        (b"vid,pred_onset,pred_offset,type,score\n", "row 1: the columns must be vid,pred_onset"),
        (b"", "row 1: the columns must be"),
    ],
)
def test_texts_that_an_evaluator_may_not_read_are_refused(cas, data, rule):
    (problem,) = problems_of(cas, data, name="megc2023")
    assert problem.startswith(f"cas_pred.csv, {rule}")


def test_sizes_are_bounded(cas, monkeypatch):
    monkeypatch.setattr(challenge, "_MOST_ROWS", 5)
    (problem,) = problems_of(cas, HEADER, *(f"dzw_a1,{n},{n + 9},me" for n in range(9)))
    assert problem == "cas_pred.csv, row 7: more than 5 rows"
    monkeypatch.setattr(challenge, "_LARGEST_FILE", 100)
    assert problems_of(cas, "x" * 101) == ["cas_pred.csv: larger than 0 MB"]


def test_a_file_of_another_name_is_not_taken(tmp_path):
    assert problems_of(tmp_path / "mine.csv", HEADER) == [
        "mine.csv: must be called cas_pred.csv or samm_pred.csv"
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Logs


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("006_1 5 9 - - TP", "spotted onset must be a whole frame number"),
        ("006_1 5 9 6 10 FN", "FN has a spotted interval"),
        ("006_1 5 9 6 10 FP", "FP has a true interval"),
        ("006_1 5 9 9 20 TP", "TP, but the intervals overlap by 0.06, less than 0.5"),
        ("006_1 9 5 - - FN", "true onset 9 comes after its offset 5"),
        ("006_1 - - 9 9 FP", "spotted onset 9 does not come before offset 9"),
        ("006_1 5 9 - - TN", "'TN' is none of TP, FN, FP"),
        ("15_0101 5 9 - - FN", "'15_0101' is no video of this dataset; is --order right?"),
        ("006_1 5 9 -", "4 cells where 6 belong"),
        ("3", "the number of a dataset must be 1 or 2, each once"),
        ("1", "the number of a dataset must be 1 or 2, each once"),
        ("006_1 1 2 - - FN", "the true interval 1..2 stands in row 2 already"),
        ("=x 5 9 - - FN", "'=x' begins like a formula"),
    ],
)
def test_a_broken_rule_of_a_log_is_named_with_its_row(tmp_path, row, rule):
    (problem, *_) = problems_of(tmp_path / "a.log", "1", "006_1 1 2 - - FN", row)
    assert problem.startswith(f"a.log, row 3: {rule}")


def test_the_order_of_the_datasets_is_a_parameter(tmp_path):
    lines = ["1", "15_0101   5   9   -   -   FN", "2", "006_1   -   -   5   9   FP"]
    assert len(problems_of(tmp_path / "a.log", *lines)) == 2
    assert problems_of(tmp_path / "a.log", *lines, order=("cas", "samm")) == []
    with pytest.raises(SubmitError, match="order must be"):
        check_submission(tmp_path / "a.log", order=("cas",))


def test_rows_need_the_number_of_their_dataset(tmp_path):
    assert problems_of(tmp_path / "a.log", "006_1 1 2 - - FN", name="megc2020") == [
        "a.log, row 1: stands below no number of a dataset"
    ]


def test_the_iou_of_a_hit_may_be_exactly_one_half(tmp_path):
    assert iou(Interval(1, 10, "ME"), Interval(1, 20, "ME")) == 0.5
    assert problems_of(tmp_path / "a.log", "1", "006_1 1 10 1 20 TP") == []


# ---------------------------------------------------------------------------------------------------------------------
# Archives and folders


def archive_of(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


BOTH = {"cas_pred.csv": f"{HEADER}\ndzw_a1,5,9,me\n", "samm_pred.csv": f"{HEADER}\n001_2,5,9,me\n"}


def test_both_files_at_the_root_of_an_archive_are_sound(tmp_path):
    verdict = check_submission(archive_of(tmp_path / "s.zip", BOTH))
    assert (verdict.problems, verdict.format) == ([], "megc2023")
    assert any("zip archive: assumed" in note for note in verdict.notes)
    verdict = check_submission(archive_of(tmp_path / "s.zip", BOTH | {"samm_pred.csv": f"{HEADER}\n"}))
    assert "samm_pred.csv: has no row, so nothing was spotted" in verdict.notes


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ({"../cas_pred.csv": "x"}, "would leave the folder it is unpacked to"),
        ({"/etc/passwd": "x"}, "would leave the folder"),
        ({"C:\\x": "x"}, "would leave the folder"),
        (
            {"a/cas_pred.csv": "x"},
            "'a/cas_pred.csv' does not belong; at its root stand cas_pred.csv and samm_pred.csv",
        ),
        ({"__MACOSX/._x": "x"}, "does not belong"),
        ({"inner.zip": b"PK\x03\x04"}, "'inner.zip' is an archive in an archive"),
        ({"bomb": b"0" * 2**23}, "unpacks to more than 200 times its size"),
        ({"bomb": b"0" * (17 * 2**20)}, "17 MB when unpacked, more than 16 MB"),
        ({f"{n}": b"" for n in range(1000)}, "holds 1002 files, more than 1000"),
    ],
)
def test_what_does_not_belong_into_an_archive_is_refused_unread(tmp_path, extra, rule):
    before = sorted(tmp_path.rglob("*"))
    verdict = check_submission(archive_of(tmp_path / "s.zip", BOTH | extra))
    assert any(problem.startswith("s.zip: ") and rule in problem for problem in verdict.problems)
    assert verdict.rows == {}
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "s.zip"]


def test_links_twins_and_encrypted_members_are_refused(tmp_path):
    link = zipfile.ZipInfo("cas_pred.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("samm_pred.csv", BOTH["samm_pred.csv"])
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("samm_pred.csv", BOTH["samm_pred.csv"])
    problems = check_submission(path).problems
    assert problems == ["s.zip: 'samm_pred.csv' stands in it twice", "s.zip: 'cas_pred.csv' is a link"]
    data = bytearray(archive_of(path, BOTH).read_bytes())
    for at in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    path.write_bytes(data)
    assert check_submission(path).problems == ["s.zip: 'cas_pred.csv' is encrypted"]


@pytest.mark.parametrize(
    "change", [lambda d: d[: len(d) // 2], lambda d: b"PK\x03\x04" + b"\0" * 99, lambda d: b""]
)
def test_damaged_archives_are_named(tmp_path, change):
    path = archive_of(tmp_path / "s.zip", BOTH)
    path.write_bytes(change(path.read_bytes()))
    (problem,) = check_submission(path).problems
    assert problem.startswith("s.zip: not a zip archive that can be read")


@some
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_no_changed_byte_raises_anything(tmp_path_factory, at, byte):
    path = archive_of(tmp_path_factory.mktemp("s") / "s.zip", BOTH)
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    assert isinstance(check_submission(path, "megc2023").problems, list)


@some
@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("s")
    for name, form in (("cas_pred.csv", "megc2023"), ("a.log", "megc2020")):
        (folder / name).write_bytes(data)
        assert isinstance(check_submission(folder / name, form).problems, list)


def test_a_folder_needs_both_files(tmp_path, cas):
    cas.write_text(BOTH["cas_pred.csv"])
    assert check_submission(tmp_path).problems == [f"{tmp_path.name}: samm_pred.csv is missing"]
    (tmp_path / "samm_pred.csv").write_text(BOTH["samm_pred.csv"])
    (tmp_path / "notes.txt").write_text("stays")
    assert check_submission(tmp_path).problems == []
    assert check_submission(
        archive_of(tmp_path / "s.zip", {"cas_pred.csv": HEADER}), "megc2022"
    ).problems == ["s.zip: samm_pred.csv is missing"]


def test_what_is_not_there_or_not_known_is_said(tmp_path):
    for path, message in ((tmp_path / "no", "no such file"), (tmp_path, "holds neither cas_pred.csv")):
        with pytest.raises(SubmitError, match=message):
            check_submission(path)
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(SubmitError, match="of which challenge"):
        check_submission(tmp_path / "a.txt")
    with pytest.raises(SubmitError, match="'megc1999' is unknown; known: megc2020"):
        check_submission(tmp_path / "a.txt", "megc1999")
    with pytest.raises(SubmitError, match="frames '2' is unknown"):
        check_submission(tmp_path / "a.txt", "megc2023", frames="2")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1\n", "megc2021"),
        (f"{challenge.LOG_HEADER}\n", "megc2021"),
        ("subject,video,onset,offset,emotion\n", "megc2024_str"),
        (f"{HEADER}\nsub01,1,2,me\n", "megc2022"),
        ("vid,onset,offset,type\n001_2,1,2,me\n", "megc2023"),
    ],
)
def test_the_format_is_recognised(cas, text, name):
    cas.write_text(text)
    assert check_submission(cas).format == name


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def test_nothing_is_written_that_breaks_a_rule(tmp_path):
    manifest = manifest_of("megc2023")
    rows = submit.prediction_rows(FORMATS["megc2023"], {manifest.uids[0]: [Interval(3, 3, "ME")]}, [manifest])
    files = {file: challenge.prediction_text(lines, HEADER) for file, lines in rows.items()}
    for out in ("s.zip", "folder"):
        with pytest.raises(
            SubmitError, match=r"not written, because\ncas_pred.csv, row 2: onset 11 does not come"
        ):
            submit.write_submission(tmp_path / out, files, "megc2023")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_writing_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "s.zip"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        submit.write_submission(path, BOTH, "megc2023")
    assert [p.name for p in tmp_path.iterdir()] == ["s.zip"]
    assert path.read_text() == "old"


def test_writing_twice_replaces_and_is_the_same(tmp_path):
    for path in (tmp_path / "s.zip", tmp_path / "folder"):
        for _ in range(2):
            submit.write_submission(path, BOTH, "megc2023")
    one = (tmp_path / "s.zip").read_bytes()
    submit.write_submission(tmp_path / "s.zip", BOTH, "megc2023")
    assert (tmp_path / "s.zip").read_bytes() == one
    assert zipfile.ZipFile(io.BytesIO(one)).namelist() == ["cas_pred.csv", "samm_pred.csv"]
    (tmp_path / "folder" / "other.txt").write_text("stays")
    submit.write_submission(tmp_path / "folder", BOTH, "megc2023")
    assert len(list((tmp_path / "folder").iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "out"), [("megc2023", "s.csv"), ("megc2021", "s.zip"), ("megc2021", "folder")]
)
def test_the_kind_of_file_must_fit_the_format(tmp_path, name, out):
    with pytest.raises(
        SubmitError, match="is one log" if name == "megc2021" else r"is a \.zip archive or a folder"
    ):
        submit.write_submission(tmp_path / out, BOTH, name)


def test_videos_of_no_challenge_or_no_manifest_are_refused():
    manifest = manifest_of("megc2023")
    with pytest.raises(SubmitError, match=r"d/dzw/dzw_a1: 'dzw_a1' is no video of megc2022"):
        submit.prediction_rows(FORMATS["megc2022"], {manifest.uids[0]: []}, [manifest])
    for rows in (submit.prediction_rows, submit.log_rows):
        with pytest.raises(SubmitError, match="video d/x/y is in no manifest given"):
            rows(FORMATS["megc2023"], {"d/x/y": []}, [manifest])


def test_an_emotion_must_be_told():
    manifest = manifest_of("megc2024_str")
    with pytest.raises(SubmitError, match=r"d/s15/15_0401: ME 3\.\.9 has no emotion"):
        submit.prediction_rows(
            FORMATS["megc2024_str"], {manifest.uids[0]: [Interval(3, 9, "ME")]}, [manifest], emotions={}
        )


def test_runs_are_sources_and_two_methods_are_not_mixed(tmp_path, monkeypatch):
    facts = {"parameters": {}, "code_version": "0" * 12, "key": "0" * 12, "seconds": 1.0}
    for fold, video in (("s01", "toy/s01"), ("s02", "toy/s02")):
        folder = tmp_path / "runs" / "toy" / "tiny" / f"{fold}-x"
        store(folder, {f"{video}/v1": [Interval(10, 19, "ME")], f"{video}/v2": []}, fold=fold)
        complete(folder, facts)
    spotted, policies = submit.read_spotted([tmp_path / "runs"])
    assert sorted(spotted) == ["toy/s01/v1", "toy/s01/v2", "toy/s02/v1", "toy/s02/v2"]
    assert policies == {"toy": "none"}
    one = tmp_path / "runs" / "toy" / "tiny" / "s01-x"
    assert sorted(submit.read_spotted([one])[0]) == ["toy/s01/v1", "toy/s01/v2"]
    other = tmp_path / "runs" / "toy" / "other" / "s01-x"
    store(other, method="other")
    complete(other, facts)
    with pytest.raises(SubmitError, match="video toy/s01/v1 is there twice"):
        submit.read_spotted([tmp_path / "runs"])
    write_intervals(tmp_path / "more.csv", {"toy/s01/v1": []})
    with pytest.raises(SubmitError, match=r"more\.csv: video toy/s01/v1 is there twice"):
        submit.read_spotted([one, tmp_path / "more.csv"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SubmitError, match="no finished run"):
        submit.read_spotted([tmp_path / "empty"])


def complete(folder, facts):
    """Add what only the caller of a notebook knows to a stored result."""
    record = json.loads((folder / "result.json").read_text())
    record |= facts | {"finished": "2026-01-01T00:00:00+00:00"}
    (folder / "result.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", TWO_FILES)
def test_from_a_table_to_an_archive(tmp_path, name, monkeypatch):
    manifest = manifest_of(name)
    monkeypatch.setattr(submit, "load_dataset", lambda dataset, policy, draw: manifest)
    (tmp_path / "spotted.csv").write_text(
        f"video,kind,onset,offset,emotion\n{manifest.uids[0]},ME,3,9,positive\n{manifest.uids[1]},,,,\n"
    )
    verdict = submit.submit([tmp_path / "spotted.csv"], name, tmp_path / "s.zip")
    assert verdict.problems == []
    (row,) = verdict.rows["cas_pred.csv"]
    assert (row.onset, row.offset) == (11, 17)
    with pytest.raises(SubmitError, match="header 'x' is not in use"):
        submit.submit([tmp_path / "spotted.csv"], name, tmp_path / "s.zip", header="x")
