"""SMIC-E: clips of some seconds around spontaneous micro-expressions, 16 subjects; no apex, no macro-expressions.

    SMIC-E_raw image/                                    any name, or the folder above it
      HS_long/SMIC-HS-E_annotation.xlsx                  or SMIC-HS-E_annotation_2019.xlsx, .._orig.xlsx
      HS_long/SMIC-HS-E/HS/s01/s1_ne_01/image559700.jpg  some copies lack the inner HS/
      VIS_long/SMIC-VIS-E/VIS/..  NIR_long/SMIC-NIR-E/NIR/..

HS is the fast camera (100 frames per second), VIS and NIR run at 25. A clip is `s<subject>_<emotion>_<number>`, emotion
`ne`, `po` or `sur`; the subject is padded in its folder and not in the clip. Frame numbers are those of the camera's
counter, which never starts at 1: number 1 of a clip is its FirstF.

The first sheet has a header: Subject, Filename, the pairs OnsetF OffsetF, Onset2F Offset2F, Onset3F Offset3F, then
FirstF, LastF, the durations TotalMF1, TotalMF2, TotalMF3 and TotalVL, and Emotion. Every filled pair is an event of its
own, numbered by `occurrence`. FirstF is a text for the clips that were lost. Below the clips stand rows of free text.

SMIC-E-Long (longer videos of the same recordings) is read by `read_long`. Its layout is **assumed** to be the same;
where it is not, a file `mapping.json` at its root says what is called otherwise.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mespot_lib.datasets.build import Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import get_policy
from mespot_lib.datasets.folders import require_inside, subfolders
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

RATES = {"HS": 100.0, "VIS": 25.0, "NIR": 25.0}  # camera -> frames per second
FIELDS = {"Subject": "subject_raw", "Filename": "expr_id_raw", "Emotion": "emotion_raw"}  # header -> field
PAIRS = (  # headers of onset, offset and duration of the first, second and third micro-expression of a clip
    ("OnsetF", "OffsetF", "TotalMF1"),
    ("Onset2F", "Offset2F", "TotalMF2"),
    ("Onset3F", "Offset3F", "TotalMF3"),
)
OTHERS = ("FirstF", "LastF", "TotalVL")
EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
MAPPING = "mapping.json"
CLIP = "s{subject}_{emotion}_{number}"
_PLACES = {  # what a place in the form of a clip stands for
    "subject": r"(?P<subject>[0-9]+)",
    "emotion": r"(?P<emotion>ne|po|sur)",
    "number": r"[0-9]+",
    "rest": r".*",
}
_FASTEST = 10_000  # frames per second
_NEEDED = ("Filename", "OnsetF", "OffsetF")


def read(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    camera: str = "HS",
    workbook: str | None = None,
    fps: float | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of a copy of SMIC-E, of one camera.

    Parameters
    ----------
    root : folder that holds `HS_long/`, or one of those above it.
    policy : name of the fix policy.
    name : the dataset's name in uids, by default `smic_e`, or `synthetic_smic_e` for drawn data.
    camera : "HS", "VIS" or "NIR".
    workbook : its path from the root, where several lie side by side.
    fps : frames per second, by default the camera's; the files do not tell.
    aliases : folder (`s01/s1_ne_1`) -> clip (`s1_ne_01`), where folder and workbook disagree.

    Raises
    ------
    DatasetError
        If folder, workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    if camera not in RATES:
        raise DatasetError(f"camera {camera!r} is unknown; it must be one of {', '.join(RATES)}")
    media = _media_folder(root, camera)
    path = root / workbook if workbook else _workbook(root, media, camera)
    return _read(root, policy, "smic_e", name, media, path, camera, fps or RATES[camera], aliases=aliases)


def read_long(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    mapping: Mapping[str, Any] | None = None,
) -> Manifest:
    """Return the manifest of a copy of SMIC-E-Long, whose layout is assumed to be that of SMIC-E-HS.

    Parameters
    ----------
    mapping : what is called otherwise in this copy, by default the content of `mapping.json` at the root. Optional are
        `media` and `workbook`, paths from the root to the folder of the subject folders and to the workbook;
        `columns`, name as in SMIC-E-HS (`OnsetF`) -> header in this workbook;
        `clip`, the form of clips, by default `s{subject}_{emotion}_{number}`; `{rest}` stands for anything;
        `fps`, frames per second; `aliases` as in `read`.

    Raises
    ------
    DatasetError
        As `read`, and if the mapping has unknown entries or a value of the wrong kind.
    """
    mapping = _checked_mapping(_mapping_file(root) if mapping is None else mapping, root)
    media = root / mapping["media"] if "media" in mapping else _media_folder(root, "HS")
    if not media.is_dir():
        raise DatasetError(f"{media}: no such folder, but the mapping names it as media")
    require_inside(root, media)
    path = root / mapping["workbook"] if "workbook" in mapping else _workbook(root, media, "HS")
    return _read(
        root,
        policy,
        "smic_e_long",
        name,
        media,
        path,
        "HS",
        float(mapping.get("fps", RATES["HS"])),
        aliases=mapping.get("aliases"),
        columns=mapping.get("columns", {}),
        clip=mapping.get("clip", CLIP),
    )


def _read(
    root: Path,
    policy: str,
    layout: str,
    name: str | None,
    media: Path,
    path: Path,
    camera: str,
    fps: float,
    *,
    aliases: Mapping[str, str] | None,
    columns: Mapping[str, str] | None = None,
    clip: str = CLIP,
) -> Manifest:
    name = dataset_name(layout, root, name)
    sheet = read_sheets(path)[0]
    findings = Findings(root, aliases or {})
    pattern = _clip_pattern(clip)
    _find_videos(findings, media, name, camera, pattern)
    _read_labels(findings, sheet, name, columns or {}, pattern)
    return build_manifest(
        findings,
        layout=layout,
        name=name,
        policy=get_policy(policy),
        fps=fps,
        subset=camera,
        release=path.stem,
        sheets=[sheet],
        frame_no_base="absolute",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Where things lie


def _media_folder(root: Path, camera: str) -> Path:
    """Return the folder of the subject folders of a camera."""
    tops = (root, root / "SMIC-E_raw image", root / "SMIC" / "SMIC-E_raw image")
    for folder in (top / f"{camera}_long" / f"SMIC-{camera}-E" for top in tops):
        for media in (folder / camera, folder):
            if media.is_dir():
                return media
    raise DatasetError(
        f"{root}: the root of SMIC-E holds {camera}_long/SMIC-{camera}-E/{camera}/, which is not there"
    )


def _workbook(root: Path, media: Path, camera: str) -> Path:
    """Return the workbook that lies above the clips, the nearest first."""
    name = f"SMIC-{camera}-E_annotation"
    above = [folder for folder in (media, *media.parents) if folder.is_relative_to(root)]
    return find_workbook(
        root,
        [f"{name}.xlsx", f"{name}_2019.xlsx"],
        rf"smic[-_]{camera}[-_]e_annotation.*\.xlsx",
        [folder.relative_to(root).as_posix() for folder in above],
    )


def _mapping_file(root: Path) -> Mapping[str, Any]:
    path = root / MAPPING
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise DatasetError(f"{path}: not valid JSON ({error})") from None


def _checked_mapping(mapping: Any, root: Path) -> Mapping[str, Any]:
    kinds = {"media": str, "workbook": str, "columns": dict, "clip": str, "fps": int | float, "aliases": dict}
    place = f"{root}, mapping"
    if not isinstance(mapping, Mapping) or not set(mapping) <= set(kinds):
        raise DatasetError(f"{place}: must be an object with some of {', '.join(kinds)}")
    for key, value in mapping.items():
        if not isinstance(value, kinds[key]) or isinstance(value, bool):
            raise DatasetError(f"{place}: {key} has a value of the wrong kind, {value!r}")
        if isinstance(value, dict) and not all(isinstance(text, str) for text in value.values()):
            raise DatasetError(f"{place}: {key} must give a text for every name")
    places = re.findall(r"\{(.*?)\}", mapping.get("clip", CLIP))
    if "subject" not in places or not set(places) <= set(_PLACES) or len(places) > len(set(places)):
        allowed = ", ".join(f"{{{name}}}" for name in _PLACES)
        raise DatasetError(f"{place}: clip must have {{subject}}, and may have each of {allowed} once")
    if not 0 < mapping.get("fps", 1) <= _FASTEST:
        raise DatasetError(f"{place}: fps must be positive and at most {_FASTEST}")
    return mapping


# ---------------------------------------------------------------------------------------------------------------------
# Clips


def _clip_pattern(form: str) -> re.Pattern[str]:
    """Return the pattern of a form like `CLIP`, with the groups `subject` and perhaps `emotion`."""
    parts = re.split(r"\{(.*?)\}", form)  # text and names of places by turns
    return re.compile(
        "".join(_PLACES[part] if at % 2 else re.escape(part) for at, part in enumerate(parts)), re.IGNORECASE
    )


def _find_videos(
    findings: Findings,
    media: Path,
    name: str,
    camera: str,
    pattern: re.Pattern[str],
) -> None:
    base = media.relative_to(findings.root)
    for subject in subfolders(media):
        if not re.fullmatch(r"[sS]?[0-9]+", subject):
            findings.remark((base / subject).as_posix(), "folder_ignored")
            continue
        for folder in subfolders(media / subject):
            source = (base / subject / folder).as_posix()
            clip = findings.alias(f"{subject}/{folder}") or folder
            match = pattern.fullmatch(clip)
            if match is None:
                findings.remark(source, "folder_ignored")
                continue
            owner = _subject(match)
            uid = f"{name}/{owner}/{clip.lower()}"
            _remark_spelling(findings, source, uid, clip)
            if owner != subject.lower():
                findings.remark(source, "folder_of_other_subject", uid, before=subject, after=owner)
            modality: dict[str, Any] = {} if camera == "HS" else {"modality": camera.lower()}
            findings.add_video(
                uid,
                media / subject / folder,
                subject_id=owner,
                video_id=clip.lower(),
                video_code=(match.groupdict().get("emotion") or "").lower(),
                **modality,
            )


def _subject(match: re.Match[str]) -> str:
    return f"s{int(match['subject']):02d}"


def _remark_spelling(findings: Findings, source: str, uid: str, clip: str) -> None:
    """Clips are told apart whatever their case; what is not in lower case is remarked on."""
    if clip != clip.lower():
        findings.remark(source, "id_case->lower", uid, before=clip, after=clip.lower())


# ---------------------------------------------------------------------------------------------------------------------
# Workbook


def _read_labels(
    findings: Findings, sheet: Sheet, name: str, columns: Mapping[str, str], pattern: re.Pattern[str]
) -> None:
    header_row, header = find_header(sheet, [columns.get(needed, needed) for needed in _NEEDED])
    names = _names(header, columns)
    firsts = {video["video_uid"]: video["first_frame_no"] for video in findings.videos}
    for number, row in sheet.rows:
        if number <= header_row:
            continue
        place = sheet.place(number)
        cells = dict(zip(names, cells_of(row, len(names)), strict=True))
        match = pattern.fullmatch((cell_text(cells["Filename"]) or "").strip())
        if match is None:
            _pass_over(findings, place, cells)
            continue
        _check_subject(cells.get("Subject"), match, place)
        uid = f"{name}/{_subject(match)}/{match[0].lower()}"
        _remark_spelling(findings, place, uid, match[0])
        _check_first(findings, place, uid, cells.get("FirstF"), firsts.get(uid))
        for occurrence, event in _events(cells):
            emotion = EMOTIONS.get((match.groupdict().get("emotion") or "").lower())
            findings.add_label(
                uid,
                "ME",
                place,
                event,
                occurrence=occurrence,
                emotion_coarse=coarse_emotion(cells.get("Emotion")) or emotion,
            )


def _names(header: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """Return the names of SMIC-E-HS for the headers of a workbook; other columns keep theirs.

    Later pairs are called `Onset2F`, `OnsetF2`, or `OnsetF` again; a column without header goes by its number.
    """
    known = (*FIELDS, *OTHERS, *(name for pair in PAIRS for name in pair))
    usual = {name.lower(): name for name in known} | {own.lower(): name for name, own in columns.items()}
    seen: Counter[str] = Counter()
    names = []
    for at, text in enumerate(header, start=1):
        name = usual.get(text.lower(), text or f"column {at}")
        match = re.fullmatch(r"(onset|offset)([0-9]?)f([0-9]?)", name, re.IGNORECASE)
        if match:
            what = match[1].capitalize()
            seen[what] += 1
            number = int(match[2] or match[3] or seen[what])
            name = f"{what}{'' if number == 1 else number}F"
        names.append(name if name not in names else f"{name} (column {at})")
    return names


def _events(cells: Mapping[str, Cell]) -> Iterable[tuple[int, dict[str, Cell]]]:
    """Yield occurrence and native cells of every micro-expression in a row; the first pair counts even if empty."""
    cells = dict(cells)
    shared = {field: cells.pop(name, None) for name, field in FIELDS.items()}
    events = []
    for occurrence, (onset, offset, duration) in enumerate(PAIRS, start=1):
        pair = {"onset_raw": cells.pop(onset, None), "offset_raw": cells.pop(offset, None)}
        if occurrence == 1 or any(value is not None for value in pair.values()):
            events.append((occurrence, pair | {"duration_raw": cells.pop(duration, None)}))
    shared["notes"] = encode_others(cells)
    return [(occurrence, shared | pair) for occurrence, pair in events]


def _pass_over(findings: Findings, place: str, cells: Mapping[str, Cell]) -> None:
    """Remark on a row of free text; a row with frame numbers but without a clip is an error."""
    numbers = [cells.get(name) for pair in PAIRS for name in pair[:2]]
    if any(isinstance(value, int | float) for value in numbers):
        raise DatasetError(f"{place}: Filename must look like s1_ne_01, found {cells['Filename']!r}")
    text = " ".join(filter(None, (cell_text(value) for value in cells.values())))
    findings.remark(place, "row_of_text_ignored", before=text[:80])


def _check_subject(cell: Cell, match: re.Match[str], place: str) -> None:
    text = (cell_text(cell) or "").strip().lower().lstrip("s")
    if text and not (text.isdecimal() and int(text) == int(match["subject"])):
        raise DatasetError(f"{place}: Subject {cell} contradicts Filename {match[0]}")


def _check_first(findings: Findings, place: str, uid: str, cell: Cell, first: int | None) -> None:
    """Remark on a clip that the workbook calls lost, and on one whose files begin elsewhere than the workbook says."""
    if isinstance(cell, str):
        findings.remark(place, "clip_lost", uid, before=cell)
    elif cell is not None and first is not None and cell != first:
        findings.remark(place, "first_frame_differs", uid, before=cell_text(cell), after=str(first))
