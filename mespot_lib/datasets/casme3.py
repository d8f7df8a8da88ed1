"""CAS(ME)^3: colour and depth videos at 30 frames per second; part A of 100 subjects, and part C, a mock crime.

    CAS(ME)^3/                                        any name
      part_A/data/part_A/spNO.1/a/color/<n>.jpg       13 videos a..m of a subject; or under another root of `MEDIA_A`
      part_A/data/part_A/spNO.1/a/depth/<n>.png       16 bit
      annotation/CAS(ME)3_part_A_v2.xlsx              released as .xls: open and save it as .xlsx once
      annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx
      exception/error_info_damaged_image_partA.txt    of the annotation repository, if there
      ME_C/01/1/color/<n>.jpg                         part C: subject, clip
      annotation/CAS(ME)3_part_C_ME.xlsx

Frame numbers are not padded and are those of the workbooks. Most videos begin at number 8 or so, and many have gaps;
colour and depth need not have the same ones. Nothing is renumbered.

**Part A** has two workbooks with a header. The first has a row per expression: Subject, Filename (the letter of the
video, `J` where the folder is `j`), Onset, Apex, Offset, AU, Expression type, Objective class. The second, here called
the ME list, has micro-expressions only, and their emotion: Subject, Filename, Onset, Apex, Offset, AU, Objective class,
emotion. They are joined where subject, video and the three moments agree; what is in one alone is kept. A
micro-expression is one by its time from onset to apex, so events are never typed by their duration.

**Part C** has clips with micro-expressions and one workbook: sub, count (the clip), onset, offset, au, risk and more,
but no apex. That onset and offset are the numbers of the clip's files is **assumed**.

Video ids are `spNO.1_a` and `01_1`: side files are named after them, so a letter alone would not do.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mespot_lib.datasets.build import Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import get_policy
from mespot_lib.datasets.folders import require_inside, subfolders
from mespot_lib.datasets.workbook import (
    Cell,
    NoWorkbookError,
    Sheet,
    cell_text,
    cells_of,
    encode_others,
    find_header,
    find_workbook,
    read_sheets,
    require_kind,
    require_text,
)
from mespot_lib.manifest import DatasetError, Manifest

FPS = 30.0
MEDIA_A = (
    "part_A/data/part_A",
    "part_A_split/part_A",
    "Compressed_version1_seperate_compress",
    "data/part_A",
    "part_A/data",
    "part_A",
    "data",
    ".",
)
MEDIA_C = ("ME_C", "part_C/ME_C", ".")
ANNOTATION = ("annotation", "part_A/annotation", "annotation/partA", "annotation/partC", ".")
DAMAGED = ("exception/error_info_damaged_image_partA.txt", "error_info_damaged_image_partA.txt")
MODALITIES = {"color": "rgb", "depth": "depth"}  # subset -> modality; the subset is the name of the folder
RELEASES = ("v2", "v1")
WORKBOOK_C = "CAS(ME)3_part_C_ME.xlsx"
OBJECTIVE = "Objective class"  # a column of both workbooks of part A that has no field of its own
LIST_ROW = "ME list row"  # where `notes` keep the row of the ME list
LIST = "ME list "  # + column: cells of the ME list that differ from those of the first workbook

_MOMENTS = {"Onset": "onset_raw", "Apex": "apex_raw", "Offset": "offset_raw"}
_NAMES = {"Subject": "subject_raw", "Filename": "expr_id_raw"}
# header -> field
FIELDS_A = _NAMES | _MOMENTS | {"AU": "au_raw", "Expression type": "type_raw"}
FIELDS_LIST = _NAMES | _MOMENTS | {"AU": "au_raw", "emotion": "emotion_raw"}
FIELDS_C = {
    "sub": "subject_raw",
    "count": "expr_id_raw",
    "onset": "onset_raw",
    "offset": "offset_raw",
    "au": "au_raw",
}
_COARSE = {
    "happy": "positive",
    "disgust": "negative",
    "fear": "negative",
    "anger": "negative",
    "sad": "negative",
    "surprise": "surprise",
    "others": "others",
}


def workbook_name(release: str) -> str:
    """Return the file name of the first workbook of part A, once saved as .xlsx."""
    return f"CAS(ME)3_part_A_{release}.xlsx"


def list_name(release: str) -> str:
    """Return the file name of the ME list."""
    return f"cas(me)3_part_A_ME_label_JpgIndex_{release}.xlsx"


def read_a(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    subset: str = "color",
    media: str | None = None,
    release: str | None = None,
    workbook: str | None = None,
    me_list: str | None = None,
    fps: float = FPS,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of a copy of part A.

    Parameters
    ----------
    root : folder with the media and the annotation.
    policy : name of the fix policy.
    name : the dataset's name in uids, by default `casme3_a`, or `synthetic_casme3_a` for drawn data.
    subset : "color" or "depth".
    media : folder of the subjects, from the root; by default the first of `MEDIA_A` that has any.
    release : "v1" or "v2" of the workbooks; by default the newest that is there.
    workbook, me_list : their paths from the root, where they are called otherwise. The ME list need not be there.
    fps : frames per second; the files do not tell.
    aliases : folder (`spNO.4/k`) -> video id (`spNO.4_j`), where folder and workbook disagree.

    Raises
    ------
    DatasetError
        If folder, workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    _require_subset(subset)
    folder = _media_folder(root, (media,) if media else MEDIA_A, r"spNO\.[0-9]+", "part A", "spNO.1")
    name = dataset_name("casme3_a", root, name)
    releases = (release,) if release else RELEASES
    pattern = "" if release else r"cas\(me\)\^?3_part_a_v[0-9]+.*\.xlsx"
    path = (
        root / workbook
        if workbook
        else find_workbook(root, [workbook_name(each) for each in releases], pattern, ANNOTATION)
    )
    found = re.search(r"v[0-9]+", path.stem)
    sheet = read_sheets(path)[0]
    findings = Findings(root, aliases or {})
    listed = _list_sheet(findings, me_list, (found[0],) if found else releases)
    damaged = _damaged_frames(root) if subset == "color" else {}  # a list of .jpg files
    _find_videos(findings, folder, name, subset, _letter_ids, damaged)
    _read_labels(findings, sheet, listed, name)
    return build_manifest(
        findings,
        layout="casme3_a",
        name=name,
        policy=get_policy(policy),
        fps=fps,
        subset=subset,
        release=found[0] if found else path.stem,
        sheets=[sheet, listed] if listed else [sheet],
    )


def read_c(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    subset: str = "color",
    media: str | None = None,
    workbook: str | None = None,
    fps: float = FPS,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of a copy of the clips of part C.

    Parameters
    ----------
    As of `read_a`; aliases : folder (`01/2`) -> video id (`01_3`).

    Raises
    ------
    DatasetError
        If folder, workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    _require_subset(subset)
    folder = _media_folder(root, (media,) if media else MEDIA_C, r"[0-9]{1,2}", "part C", "01")
    name = dataset_name("casme3_c", root, name)
    pattern = r"cas\(me\)\^?3_part_c_me.*\.xlsx"
    path = root / workbook if workbook else find_workbook(root, [WORKBOOK_C], pattern, ANNOTATION)
    sheet = read_sheets(path)[0]
    findings = Findings(root, aliases or {})
    _find_videos(findings, folder, name, subset, _number_ids)
    _read_clip_labels(findings, sheet, name)
    return build_manifest(
        findings,
        layout="casme3_c",
        name=name,
        policy=get_policy(policy),
        fps=fps,
        subset=subset,
        release=path.stem,
        sheets=[sheet],
    )


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def _require_subset(subset: str) -> None:
    if subset not in MODALITIES:
        raise DatasetError(f"subset {subset!r} is unknown; it must be one of {', '.join(MODALITIES)}")


def _media_folder(root: Path, places: tuple[str, ...], subject: str, part: str, example: str) -> Path:
    """Return the first place that holds folders named like a subject."""
    for place in places:
        folder = root / place
        if folder.is_dir() and any(re.fullmatch(subject, name) for name in subfolders(folder)):
            return folder
    where = ", ".join("itself" if place == "." else place for place in places)
    raise DatasetError(f"{root}: no subject folder ({example}) of {part} in {where}")


def _find_videos(
    findings: Findings,
    media: Path,
    name: str,
    subset: str,
    ids: Callable[[str, str], tuple[str, str] | None],
    damaged: Mapping[tuple[str, str], Sequence[tuple[int, int]]] | None = None,
) -> None:
    """Add the videos below `media`.

    Parameters
    ----------
    ids : subject and video folder -> subject id and letter or number of the video; None for what is no video.
    damaged : what `ids` returns -> frames that cannot be opened.
    """
    for subject in subfolders(media):
        for folder in subfolders(media / subject):
            alias = findings.alias(f"{subject}/{folder}")
            known = ids(*alias.rpartition("_")[::2]) if alias else ids(subject, folder)
            if alias and known is None:
                raise DatasetError(f"aliases gives {subject}/{folder} the impossible video id {alias!r}")
            path = media / subject / folder / subset
            if known is None or not path.is_dir():
                findings.remark(f"{subject}/{folder}", "folder_ignored", before=None if known else "no video")
                continue
            subject_id, video = known
            findings.add_video(
                f"{name}/{subject_id}/{subject_id}_{video}",
                path,
                damaged=(damaged or {}).get(known, ()),
                subject_id=subject_id,
                subject_index=int(re.findall(r"[0-9]+", subject_id)[0]),
                video_id=f"{subject_id}_{video}",
                video_code=video,
                modality=MODALITIES[subset],
            )


def _letter_ids(subject: str, video: str) -> tuple[str, str] | None:
    """Return (`spNO.1`, `j`) of folders or cells of part A, whose case differs; None for other names."""
    match = re.fullmatch(r"spno\.?\s*0*([1-9][0-9]*)", subject, re.IGNORECASE)
    return (f"spNO.{match[1]}", video.lower()) if match and re.fullmatch(r"[A-Za-z]", video) else None


def _number_ids(subject: str, clip: str) -> tuple[str, str] | None:
    """Return (`01`, `2`) of folders or cells of part C; None for other names."""
    plain = re.fullmatch(r"[0-9]{1,4}", subject) and re.fullmatch(r"[0-9]{1,6}", clip) and int(subject) > 0
    return (f"{int(subject):02d}", str(int(clip))) if plain else None


def _damaged_frames(root: Path) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return (subject, video) -> frames that cannot be opened, from the list that comes with the annotation.

    Its lines are `spNO.3 J 498.jpg  the image cannot open`.
    """
    path = next((root / name for name in DAMAGED if (root / name).is_file()), None)
    frames: dict[tuple[str, str], list[tuple[int, int]]] = {}
    if path is None:
        return frames
    text = require_inside(root, path).read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = re.match(r"(spNO\.[0-9]+)\s+([A-Za-z])\s+([0-9]{1,9})\.jpg\b", line)
        if match is None:
            raise DatasetError(
                f"{path}, line {number}: must begin like `spNO.3 J 498.jpg`, found {line[:60]!r}"
            )
        subject, video, frame = match.groups()
        known = _letter_ids(subject, video)
        if known is None:
            raise DatasetError(f"{path}, line {number}: there is no subject {subject}")
        frames.setdefault(known, []).append((int(frame), int(frame)))
    return frames


# ---------------------------------------------------------------------------------------------------------------------
# Workbooks of part A


def _list_sheet(findings: Findings, me_list: str | None, releases: Sequence[str]) -> Sheet | None:
    """Return the sheet of the ME list; None, remarked on, where it is not there or not as .xlsx."""
    if me_list:
        return read_sheets(findings.root / me_list)[0]
    names = [list_name(release) for release in releases]
    try:
        return read_sheets(find_workbook(findings.root, names, "", ANNOTATION))[0]
    except NoWorkbookError:
        findings.remark(names[0], "me_list_absent")
        return None


class _Listed(NamedTuple):
    """A row of the ME list: its number, where it stands, and its cells by header."""

    number: int
    place: str
    cells: dict[str, Cell]


def _read_labels(findings: Findings, sheet: Sheet, listed: Sheet | None, name: str) -> None:
    entries: dict[tuple, list[_Listed]] = {}
    if listed is not None:
        for number, cells in _table(listed, FIELDS_LIST):
            entry = _Listed(number, listed.place(number), cells)
            entries.setdefault(_key(cells, entry.place), []).append(entry)
    for number, cells in _table(sheet, FIELDS_A):
        place = sheet.place(number)
        kind = require_kind(cells["Expression type"], place, "Expression type", "Micro- or Macro-expression")
        same = entries.get(_key(cells, place), [])
        twin = same.pop(0) if same else None
        if twin and kind == "MaE":
            findings.remark(place, "type_disagrees", before="Macro-expression", after="in the ME list")
        _add_row(findings, name, kind, place, cells, twin)
    only_listed = (entry for rest in entries.values() for entry in rest)
    for entry in sorted(only_listed, key=lambda entry: entry.number):
        findings.remark(entry.place, "row_in_the_me_list_only")
        _add_row(findings, name, "ME", entry.place, entry.cells, entry)


def _table(sheet: Sheet, fields: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Cell]]]:
    """Yield (row number, header -> cell) of a sheet; the headers are spelt as in `fields`."""
    needed = [header for header in fields if header.lower() not in ("au", "apex", "emotion")]
    header_row, found = find_header(sheet, needed)
    usual = {header.lower(): header for header in (*fields, OBJECTIVE)}
    headers = [usual.get(text.lower(), text or f"column {at}") for at, text in enumerate(found, start=1)]
    for number, row in sheet.rows:
        if number > header_row:
            empty = dict.fromkeys(usual.values())
            yield number, empty | dict(zip(headers, cells_of(row, len(headers)), strict=True))


def _key(cells: Mapping[str, Cell], place: str) -> tuple[str | None, ...]:
    """Return what the rows of both workbooks are joined by."""
    moments = (cell_text(cells[header]) for header in _MOMENTS)
    return (*_ids(cells, place), *moments)


def _ids(cells: Mapping[str, Cell], place: str) -> tuple[str, str]:
    """Return (`spNO.1`, `j`) of the cells Subject and Filename."""
    texts = [require_text(cells[header], place, header) for header in ("Subject", "Filename")]
    ids = _letter_ids(*texts)
    if ids is None:
        raise DatasetError(
            f"{place}: Subject and Filename must look like spNO.1 and a, found {texts[0]!r} and {texts[1]!r}"
        )
    return ids


def _add_row(
    findings: Findings,
    name: str,
    kind: str,
    place: str,
    cells: dict[str, Cell],
    listed: _Listed | None,
) -> None:
    """Add one expression; `listed` is its row of the ME list, None where it is not in there.

    What the two workbooks say differently, and what has no field, goes to `notes`, from where the writer takes it.
    """
    subject, video = _ids(cells, place)
    other = listed.cells if listed else {}
    fields = FIELDS_LIST if other is cells else FIELDS_A
    notes = {header: value for header, value in cells.items() if header not in fields}
    if listed is not None:
        notes[LIST_ROW] = listed.number
        for header in (*FIELDS_LIST, OBJECTIVE):
            if header != "emotion" and not _same(other[header], cells[header]):
                notes[f"{LIST}{header}"] = "" if other[header] is None else other[header]
        more = set(other) - {*FIELDS_LIST, OBJECTIVE} if other is not cells else ()
        notes |= {f"{LIST}{header}": other[header] for header in more}
    emotion = other.get("emotion")
    findings.add_label(
        f"{name}/{subject}/{subject}_{video}",
        kind,
        place if listed is None or other is cells else f"{place};{listed.place}",
        {field: cells[header] for header, field in fields.items()}
        | {"emotion_raw": emotion, "notes": encode_others(notes)},
        emotion_coarse=_COARSE.get((cell_text(emotion) or "").strip().lower()),
        objective_class=cell_text(cells.get(OBJECTIVE)),
        part_of="A",
    )


def _same(a: Cell, b: Cell) -> bool:
    return isinstance(a, str) == isinstance(b, str) and a == b


# ---------------------------------------------------------------------------------------------------------------------
# Workbook of part C


def _read_clip_labels(findings: Findings, sheet: Sheet, name: str) -> None:
    for number, cells in _table(sheet, FIELDS_C):
        place = sheet.place(number)
        texts = [(cell_text(cells[header]) or "").strip() for header in ("sub", "count")]
        ids = _number_ids(*texts)
        if ids is None:
            raise DatasetError(
                f"{place}: sub and count must be whole numbers, found {texts[0]!r} and {texts[1]!r}"
            )
        subject_id, clip = ids
        others = {header: value for header, value in cells.items() if header not in FIELDS_C}
        findings.add_label(
            f"{name}/{subject_id}/{subject_id}_{clip}",
            "ME",
            place,
            {field: cells[header] for header, field in FIELDS_C.items()} | {"notes": encode_others(others)},
            part_of="C",
        )
