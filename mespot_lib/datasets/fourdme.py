"""4DME, micro release: grey clips at 60 frames per second around micro-expressions; no macro-expressions.

    4DMicro/                                          any name, or the folder above it
      4DME_Labelling_Micro_release v1.xlsx
      gray_micro/<sub_ID>/<fold_name>/<..number>.jpg  or .bmp, .png; face crops: gray_micro_crop

The first sheet has a header: sub_ID, fold_name, Emotion, Onset, Apex, Offset, AUs, one column per action unit and per
emotion, Total, fold, Objective class. Frame numbers are those of the recording, the digits at the end of the file
names. Action units are joined by `+`; `(k)` stands behind a unit that is kept up throughout the clip. Emotions may be
combined.

The workbook that went round before the release has quotes around its headers, calls clips `video_number`, and ends in a
row of sums; it is understood. Layout and labels of the long clips and of macro-expressions are not known.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mespot_lib.datasets.build import Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import get_policy
from mespot_lib.datasets.folders import subfolders
from mespot_lib.datasets.workbook import (
    Cell,
    Sheet,
    cell_text,
    cells_of,
    coarse_emotion,
    encode_others,
    find_header,
    find_workbook,
    read_sheets,
)
from mespot_lib.manifest import DatasetError, Manifest

FPS = 60.0
WORKBOOK = "4DME_Labelling_Micro_release v1.xlsx"
SUBSETS = ("gray_micro", "gray_micro_crop")
FIELDS = {  # header -> field
    "sub_ID": "subject_raw",
    "fold_name": "expr_id_raw",
    "Emotion": "emotion_raw",
    "Onset": "onset_raw",
    "Apex": "apex_raw",
    "Offset": "offset_raw",
    "AUs": "au_raw",
    "Length": "duration_raw",
    "self-report emo": "self_report",
}
_EARLIER_NAMES = {"video_number": "fold_name", "au": "AUs"}  # of the workbook before the release
_NEEDED = ("sub_ID", "Onset", "Offset")


def read(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    subset: str | None = None,
    workbook: str | None = None,
    fps: float = FPS,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of a copy of the micro release of 4DME.

    Parameters
    ----------
    root : folder of the workbook and of `gray_micro/`, or the one above it.
    policy : name of the fix policy.
    name : the dataset's name in uids, by default `fourdme`, or `synthetic_fourdme` for drawn data.
    subset : "gray_micro" or "gray_micro_crop"; by default the first that is there.
    workbook : its path from the root, where it is called otherwise.
    fps : frames per second; the files do not tell.
    aliases : folder (`S13/clip 1`) -> fold_name, where folder and workbook disagree.

    Raises
    ------
    DatasetError
        If folder, workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    media = _media_folder(root, subset)
    path = root / workbook if workbook else find_workbook(media.parent, [WORKBOOK], r"4dme_labell.*\.xlsx")
    name = dataset_name("fourdme", root, name)
    sheet = read_sheets(path)[0]
    findings = Findings(root, aliases or {})
    _find_videos(findings, media, name)
    _read_labels(findings, sheet, name)
    return build_manifest(
        findings,
        layout="fourdme",
        name=name,
        policy=get_policy(policy),
        fps=fps,
        subset=media.name,
        release=path.stem,
        sheets=[sheet],
        frame_no_base="absolute",
    )


def _media_folder(root: Path, subset: str | None) -> Path:
    if subset is not None and subset not in SUBSETS:
        raise DatasetError(f"subset {subset!r} is unknown; it must be one of {', '.join(SUBSETS)}")
    wanted = (subset,) if subset else SUBSETS
    for media in (top / name for name in wanted for top in (root, root / "4DMicro")):
        if media.is_dir():
            return media
    raise DatasetError(f"{root}: the root of 4DME holds {' or '.join(wanted)}, which is not there")


def _find_videos(findings: Findings, media: Path, name: str) -> None:
    for subject in subfolders(media):
        clips = subfolders(media / subject)
        if not clips:
            findings.remark((media / subject).relative_to(findings.root).as_posix(), "folder_without_clips")
        for folder in clips:
            clip = findings.alias(f"{subject}/{folder}") or folder
            path = media / subject / folder
            findings.add_video(f"{name}/{subject}/{clip}", path, subject_id=subject, video_id=clip)


# ---------------------------------------------------------------------------------------------------------------------
# Workbook


def _read_labels(findings: Findings, sheet: Sheet, name: str) -> None:
    header_row, header = find_header(sheet, _NEEDED)
    names = _names(header)
    if "fold_name" not in names:
        raise DatasetError(f"{sheet.place(header_row)}: no column fold_name")
    folders = {_spelling(video["video_uid"]): video["video_uid"] for video in findings.videos}
    counts: Counter[str] = Counter()
    for number, row in sheet.rows:
        if number <= header_row:
            continue
        place = sheet.place(number)
        cells = dict(zip(names, cells_of(row, len(names)), strict=True))
        if cells["fold_name"] is None and cells["Onset"] is None:
            text = " ".join(filter(None, (cell_text(value) for value in cells.values())))
            findings.remark(place, "row_of_text_ignored", before=text[:80])
            continue
        subject, clip = (_identity(cells[column], place, column) for column in ("sub_ID", "fold_name"))
        uid = _known_uid(findings, place, f"{name}/{subject}/{clip}", folders)
        counts[uid] += 1
        others = {key: value for key, value in cells.items() if key not in FIELDS}
        findings.add_label(
            uid,
            "ME",
            place,
            {field: cells.get(column) for column, field in FIELDS.items()} | {"notes": encode_others(others)},
            occurrence=counts[uid],
            emotion_coarse=coarse_emotion(cells.get("Emotion")),
            objective_class=cell_text(cells.get("Objective class")),
            part_of=cell_text(cells.get("fold")),
        )


def _names(header: Sequence[str]) -> list[str]:
    """Return the names of the release for the headers of a workbook; a column without header goes by its number."""
    usual = {name.lower(): name for name in (*FIELDS, "Objective class", "fold")} | _EARLIER_NAMES
    names: list[str] = []
    for at, text in enumerate(header, start=1):
        name = usual.get(text.lower(), text or f"column {at}")
        names.append(name if name not in names else f"{name} (column {at})")
    return names


def _identity(cell: Cell, place: str, column: str) -> str:
    text = (cell_text(cell) or "").strip(" '\"")
    if not text:
        raise DatasetError(f"{place}: {column} must name the folder of the clip, found {cell!r}")
    return text


def _known_uid(findings: Findings, place: str, uid: str, folders: Mapping[str, str]) -> str:
    """Return the uid of the folder that is meant: case and leading zeros of numbers do not matter."""
    known = folders.get(_spelling(uid), uid)
    if known != uid:
        before, after = (text.partition("/")[2] for text in (uid, known))
        findings.remark(place, "id_spelling->folder", known, before=before, after=after)
    return known


def _spelling(uid: str) -> str:
    return re.sub(r"0+([0-9])", r"\1", re.sub(r"(?<=[0-9])(?=[^0-9])", " ", uid.lower()))
