"""SAMM Long Videos: long grey videos at 200 frames per second, 30 subjects, macro- and micro-movements.

    SAMMLV/                                     any name
      SAMM_LongVideos_V1_Release.xlsx           or V2, V3
      SAMM_longvideos/006_1/006_1_0001.jpg      flat: `<subject>_<recording>`, no subject folder

Frame numbers count from 1, padded to four digits, or to five in videos of 10,000 frames or more.

The workbook's sheet `FACS_Movement_Only` has nine rows of text, then the header in row 10, then one row per movement:
Subject, Filename (`006_1_1` = subject, recording, running number), Inducement Code, Onset, Apex, Offset, Duration, Type
(`Macro` or the one literal `Micro - 1/2`), Action Units, Notes. Frame numbers are those of the file names, both ends
included. Macro-movements that began before the recording carry onset 0 (V1, V2) or 1 (V3).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from mespot_lib.datasets.build import Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import FixPolicy, get_policy
from mespot_lib.datasets.folders import subfolders
from mespot_lib.datasets.workbook import (
    Cell,
    Sheet,
    cell_text,
    find_header,
    find_workbook,
    read_sheets,
    require_kind,
    require_text,
)
from mespot_lib.manifest import DatasetError, Manifest

FPS = 200.0
RELEASES = ("V3", "V2", "V1")
MEDIA = "SAMM_longvideos"
SHEET = "FACS_Movement_Only"
FIELDS = {  # header -> field, in the order of the columns A..J
    "Subject": "subject_raw",
    "Filename": "expr_id_raw",
    "Inducement Code": "inducement",
    "Onset": "onset_raw",
    "Apex": "apex_raw",
    "Offset": "offset_raw",
    "Duration": "duration_raw",
    "Type": "type_raw",
    "Action Units": "au_raw",
    "Notes": "notes",
}
_NEEDED = ("Filename", "Onset", "Apex", "Offset", "Type")


def workbook_name(release: str) -> str:
    """Return the file name of a release, "V1", "V2" or "V3"."""
    return f"SAMM_LongVideos_{release}_Release.xlsx"


def read(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    release: str | None = None,
    workbook: str | None = None,
    fps: float = FPS,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of a copy of SAMM Long Videos.

    Parameters
    ----------
    root : folder of the workbook and of `SAMM_longvideos/`.
    policy : name of the fix policy.
    name : the dataset's name in uids, by default `samm_lv`, or `synthetic_samm_lv` for drawn data.
    release : "V1", "V2" or "V3"; by default the one the policy was published with, else the newest that is there.
    workbook : its file name, where it is called otherwise.
    fps : frames per second; the files do not tell.
    aliases : folder name -> video id (`006_1`), where they disagree.

    Raises
    ------
    DatasetError
        If folder, workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    media = root / MEDIA
    if not media.is_dir():
        raise DatasetError(f"{root}: the root of SAMM Long Videos holds {MEDIA}/, which is not there")
    name = dataset_name("samm_lv", root, name)
    fixes = get_policy(policy)
    path = root / workbook if workbook else _workbook(root, fixes, release)
    sheets = read_sheets(path)
    sheet = next((sheet for sheet in sheets if sheet.name == SHEET), sheets[0])
    findings = Findings(root, aliases or {})
    _find_videos(findings, media, name)
    _read_labels(findings, sheet, name)
    found = re.search(r"V[0-9]+", path.stem)
    return build_manifest(
        findings,
        layout="samm_lv",
        name=name,
        policy=fixes,
        fps=fps,
        subset=MEDIA,
        release=found[0] if found else path.stem,
        sheets=[sheet],
    )


def _workbook(root: Path, policy: FixPolicy, release: str | None) -> Path:
    pattern = r"samm_long_?videos?_v[0-9]+_release.*\.xlsx"
    if release is not None:
        return find_workbook(root, [workbook_name(release)], "")
    preferred = [policy.samm_release] if policy.samm_release else []
    return find_workbook(root, [workbook_name(name) for name in (*preferred, *RELEASES)], pattern)


def _find_videos(findings: Findings, media: Path, name: str) -> None:
    for folder in subfolders(media):
        video_id = findings.alias(folder) or folder
        match = re.fullmatch(r"([0-9]{3})_([0-9]+)", video_id)
        if match is None:
            findings.remark(f"{MEDIA}/{folder}", "folder_ignored")
            continue
        subject, recording = match.groups()
        findings.add_video(
            f"{name}/{subject}/{video_id}",
            media / folder,
            subject_id=subject,
            video_id=video_id,
            video_code=recording,
        )


# ---------------------------------------------------------------------------------------------------------------------
# Workbook


def _read_labels(findings: Findings, sheet: Sheet, name: str) -> None:
    header_row, header = find_header(sheet, _NEEDED)
    names = [name.lower() for name in header]
    columns = {field: names.index(name.lower()) for name, field in FIELDS.items() if name.lower() in names}
    for number, row in sheet.rows:
        if number <= header_row:
            continue
        place = sheet.place(number)
        cells = {field: row[at] if at < len(row) else None for field, at in columns.items()}
        subject, recording, occurrence = _expression(cells["expr_id_raw"], place)
        _check_subject(cells.get("subject_raw"), subject, place)
        findings.add_label(
            f"{name}/{subject}/{subject}_{recording}",
            require_kind(cells["type_raw"], place, "Type", "Macro or Micro - 1/2"),
            place,
            cells,
            occurrence=occurrence,
        )


def _expression(cell: Cell, place: str) -> tuple[str, str, int]:
    """Return (`006`, `1`, 10) of the file name `006_1_10`."""
    text = require_text(cell, place, "Filename")
    match = re.fullmatch(r"([0-9]{3})_([0-9]+)_([0-9]+)", text)
    if match is None:
        raise DatasetError(f"{place}: Filename must look like 006_1_1, found {text!r}")
    return match[1], match[2], int(match[3])


def _check_subject(cell: Cell, subject: str, place: str) -> None:
    text = cell_text(cell)
    if text is not None and text.strip().zfill(3) != subject:
        raise DatasetError(f"{place}: Subject {text} contradicts Filename, which begins with {subject}")
