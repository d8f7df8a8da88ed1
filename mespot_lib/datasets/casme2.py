"""CAS(ME)^2: long colour videos at 30 frames per second, 22 subjects, macro- and micro-expressions.

    CAS(ME)^2/                                  any name
      CAS(ME)^2code_final.xlsx                  or CAS(ME)^2code_final(Updated).xlsx, code_final.xlsx
      rawpic/s15/15_0101disgustingteeth/img001.jpg
    or, of the face-cropped release,
      CAS(ME)2_longVideoFaceCropped/longVideoFaceCropped/s15/15_0101disgustingteeth/img_1.jpg
    or, as video files,
      rawvideo/s15/15_0101disgustingteeth.avi   the extension is assumed; mp4, mov and mkv are read too

Folders or files are `<subject>_<stimulus code><title>`. Titles are misspelt in the release, so the code alone counts.

The workbook has three sheets without header, read by position because their names vary between copies:

    1   one row per expression: subject index 1..22, expression id (`anger1_1`), onset, apex, offset, action units,
        emotion, micro- or macro-expression, self-reported emotion; the updated workbook adds the duration
    2   row-aligned with sheet 1: subject number, folder (`s15`), subject index
    3   stimulus code (the text `0101`) and its name (`disgust1`)

Onset, apex and offset are the frame numbers of the file names, from 1, both ends included; frame 1 of a video file is
assumed to be its first. An offset of 0 stands for a missing one.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mespot_lib.datasets.build import Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import get_policy
from mespot_lib.datasets.folders import subfolders, video_files
from mespot_lib.datasets.workbook import (
    Cell,
    Sheet,
    cell_text,
    cells_of,
    coarse_emotion,
    find_workbook,
    read_sheets,
    require_kind,
    require_text,
    require_whole,
)
from mespot_lib.manifest import DatasetError, Manifest

FPS = 30.0
WORKBOOKS = ("CAS(ME)^2code_final.xlsx", "CAS(ME)^2code_final(Updated).xlsx", "code_final.xlsx")
SHEETS = ("CASFEcode_final", "naming rule1", "naming rule2")
MEDIA = {  # subset -> where its subject folders may lie
    "rawpic": ("rawpic",),
    "face_cropped": (
        "CAS(ME)2_longVideoFaceCropped/longVideoFaceCropped",
        "CAS(ME)^2_longVideoFaceCropped/longVideoFaceCropped",
        "longVideoFaceCropped",
    ),
    "rawvideo": ("rawvideo",),
}
FIELDS = (  # of the columns A.. of the first sheet
    "subject_raw",
    "expr_id_raw",
    "onset_raw",
    "apex_raw",
    "offset_raw",
    "au_raw",
    "emotion_raw",
    "type_raw",
    "self_report",
    "duration_raw",
)
KINDS = "micro-expression or macro-expression"


def read(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    subset: str | None = None,
    workbook: str | None = None,
    fps: float | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of a copy of CAS(ME)^2.

    Parameters
    ----------
    root : folder of the workbook.
    policy : name of the fix policy.
    name : the dataset's name in uids, by default `casme2`, or `synthetic_casme2` for drawn data.
    subset : "rawpic", "face_cropped" or "rawvideo"; by default the first that is there.
    workbook : its file name, where several lie side by side.
    fps : frames per second; by default 30 for frames, which do not tell, and what the container says for video files.
    aliases : folder or file (`s23/23_0503unnyfarting`) -> video id (`23_0502`), where it and the workbook disagree.

    Raises
    ------
    DatasetError
        If folder, workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; the root of CAS(ME)^2 holds its workbook and rawpic/")
    name = dataset_name("casme2", root, name)
    subset, media = _media_folder(root, subset)
    path = root / workbook if workbook else find_workbook(root, WORKBOOKS, r".*code_final.*\.xlsx")
    sheets = read_sheets(path)
    if len(sheets) != 3:
        found = ", ".join(sheet.name for sheet in sheets)
        raise DatasetError(
            f"{path}: {len(sheets)} sheets ({found}) where labels, naming rule1 and naming rule2 belong"
        )
    findings = Findings(root, aliases or {})
    subjects, stimuli = _subjects(sheets[1]), _stimuli(sheets[2], findings)
    _find_videos(findings, media, name, subjects, stimuli, fps)
    _read_labels(findings, sheets[0], name, subjects, stimuli)
    return build_manifest(
        findings,
        layout="casme2",
        name=name,
        policy=get_policy(policy),
        fps=fps or FPS,
        subset=subset,
        release=path.stem,
        sheets=sheets,
    )


def _media_folder(root: Path, subset: str | None) -> tuple[str, Path]:
    if subset is not None and subset not in MEDIA:
        raise DatasetError(f"subset {subset!r} is unknown; it must be one of {', '.join(MEDIA)}")
    for name, folders in MEDIA.items():
        for folder in folders:
            if subset in (None, name) and (root / folder).is_dir():
                return name, root / folder
    wanted = " or ".join(
        MEDIA[subset] if subset else [folder for known in MEDIA.values() for folder in known]
    )
    raise DatasetError(f"{root}: holds {_listed(root)}; the root of CAS(ME)^2 holds {wanted}")


def _listed(folder: Path) -> str:
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:6]) or "nothing"


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def _find_videos(
    findings: Findings,
    media: Path,
    name: str,
    subjects: Mapping[int, str],
    stimuli: Mapping[str, str],
    fps: float | None,
) -> None:
    indices = {folder: index for index, folder in subjects.items()}
    names = {code: stimulus for stimulus, code in stimuli.items()}
    for subject in subfolders(media):
        if not re.fullmatch(r"s[0-9]{2}", subject):
            findings.remark(subject, "folder_ignored")
            continue
        found = video_files if media.name == "rawvideo" else subfolders
        for source in found(media / subject):
            video_id = _video_id(findings, subject, source)
            if video_id is None:
                continue
            code = video_id.partition("_")[2]
            uid, path = f"{name}/{subject}/{video_id}", media / subject / source
            known: dict[str, Any] = {
                "subject_id": subject,
                "subject_index": indices.get(subject),
                "video_id": video_id,
                "video_code": code,
                "stimulus": names.get(code),
            }
            if found is subfolders:
                findings.add_video(uid, path, **known)
            else:
                findings.add_readable_file(uid, path, fps=fps, usual_fps=FPS, first=1, **known)


def _video_id(findings: Findings, subject: str, folder: str) -> str | None:
    """Return `15_0101` of `15_0101disgustingteeth`, a folder or file; None (remarked on) of what is no video."""
    source = f"{subject}/{folder}"
    alias = findings.alias(source)
    if alias:
        return alias
    match = re.match(r"(.*?)_?([0-9]{4})(?![0-9])", folder)
    if match is None:
        findings.remark(source, "folder_ignored")
        return None
    if match[1] != subject[1:]:
        findings.remark(source, "folder_prefix", before=match[1], after=subject[1:])
    return f"{subject[1:]}_{match[2]}"


# ---------------------------------------------------------------------------------------------------------------------
# Workbook


def _stimuli(sheet: Sheet, findings: Findings) -> dict[str, str]:
    """Return stimulus name -> code from naming rule2."""
    codes = {}
    for number, row in sheet.rows:
        place = sheet.place(number)
        code, stimulus = cells_of(row, 2)
        text = cell_text(code) or ""
        if not isinstance(code, str) and text:  # a copy that was saved again has lost the zeros
            findings.remark(place, "code_number->text", before=text, after=text.zfill(4))
            text = text.zfill(4)
        if not re.fullmatch(r"[0-9]{4}", text):
            raise DatasetError(f"{place}: the stimulus code must be four digits such as 0101, found {code!r}")
        codes[require_text(stimulus, place, "the stimulus name")] = text
    return codes


def _subjects(sheet: Sheet) -> dict[int, str]:
    """Return subject index -> folder name from naming rule1.

    Released copies repeat the pair on every row of sheet 1, some hold each once; read as a map both are the same.
    """
    folders: dict[int, str] = {}
    for number, row in sheet.rows:
        place = sheet.place(number)
        _subject_number, folder, index = cells_of(row, 3)
        folder = require_text(folder, place, "the subject folder (column B)")
        index = require_whole(index, place, "the subject index (column C)")
        if folders.setdefault(index, folder) != folder:
            raise DatasetError(f"{place}: subject index {index} is {folder} here and {folders[index]} above")
    return folders


def _read_labels(
    findings: Findings, sheet: Sheet, name: str, subjects: Mapping[int, str], stimuli: Mapping[str, str]
) -> None:
    widest = max((len(row) for _, row in sheet.rows), default=0)
    if widest < 8:
        raise DatasetError(
            f"{sheet.path}!{sheet.name}: {widest} columns where A..I belong (subject index .. self report)"
        )
    for number, row in sheet.rows:
        place = sheet.place(number)
        cells = dict(zip(FIELDS, cells_of(row, len(FIELDS)), strict=True))
        index = require_whole(cells["subject_raw"], place, "the subject index (column A)")
        if index not in subjects:
            raise DatasetError(f"{place}: subject index {index} does not occur in naming rule1")
        stimulus, occurrence = _expression(cells["expr_id_raw"], place)
        if stimulus not in stimuli:
            raise DatasetError(f"{place}: stimulus {stimulus!r} does not occur in naming rule2")
        subject = subjects[index]
        findings.add_label(
            f"{name}/{subject}/{subject[1:]}_{stimuli[stimulus]}",
            require_kind(cells["type_raw"], place, "the kind", KINDS),
            place,
            cells,
            occurrence=occurrence,
            emotion_coarse=coarse_emotion(cells["emotion_raw"]),
        )


def _expression(cell: Cell, place: str) -> tuple[str, int]:
    """Return (`anger1`, 12) of the expression id `anger1_12`."""
    text = require_text(cell, place, "the expression id (column B)")
    stimulus, _, occurrence = text.rpartition("_")
    if not (stimulus and occurrence.isdecimal()):
        raise DatasetError(f"{place}: the expression id must look like anger1_1, found {text!r}")
    return stimulus, int(occurrence)
