"""The manifest: what videos a dataset has and what is annotated in them, as two flat tables and one descriptor.

    dataset.json   descriptor: which dataset, release, fix policy, source files, counts, remarks
    videos.csv     one row per video that has frames         (columns: `VIDEO_COLUMNS`)
    events.csv     one row per annotated expression, in the order of its source (columns: `EVENT_COLUMNS`)

The columns are explained in `data_manifests/README.md` and typed in `data_manifests/manifest.schema.json`.

This is the only module that turns frame *numbers* (as in file names and workbooks) into *positions* on the frame axis
of a video and back:

    frame number    1    2    3    .    5    6      file names, workbooks; 4 is missing
    position t      0    1    2    .    4    5      t = frame number - first frame number; the gap keeps its place
"""

import functools
import hashlib
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pandas as pd

from mespot_lib import places
from mespot_lib.interval import KINDS, Interval

SCHEMA_VERSION = 1

# Column -> type. "text" columns are never parsed as numbers, so `0101` and `006` keep their zeros.
VIDEO_COLUMNS = {
    "video_uid": "text",
    "dataset": "text",
    "release": "text",
    "subset": "text",
    "subject_id": "text",
    "subject_index": "whole",
    "video_id": "text",
    "video_code": "text",
    "stimulus": "text",
    "rel_path": "text",
    "media": "text",
    "frame_prefix": "text",
    "frame_sep": "text",
    "pad_width": "whole",
    "ext": "text",
    "modality": "text",
    "fps": "number",
    "width": "whole",
    "height": "whole",
    "channels": "whole",
    "n_frames": "whole",
    "first_frame_no": "whole",
    "last_frame_no": "whole",
    "missing_frames": "text",
    "frame_no_base": "text",
    "landmarks": "text",
    "gt_available": "flag",
    "labelled": "flag",
    "split": "text",
    "synthetic": "flag",
}
EVENT_COLUMNS = {
    "event_uid": "text",
    "video_uid": "text",
    "type": "text",
    "type_raw": "text",
    "onset_raw": "text",
    "apex_raw": "text",
    "offset_raw": "text",
    "duration_raw": "text",
    "onset": "whole",
    "apex": "whole",
    "offset": "whole",
    "onset_idx": "whole",
    "apex_idx": "whole",
    "offset_idx": "whole",
    "frame_base": "text",
    "fixes": "text",
    "excluded": "text",
    "subject_raw": "text",
    "expr_id_raw": "text",
    "occurrence": "whole",
    "au_raw": "text",
    "au": "text",
    "emotion_raw": "text",
    "emotion_coarse": "text",
    "objective_class": "text",
    "self_report": "text",
    "inducement": "text",
    "notes": "text",
    "part_of": "text",
    "cell_kinds": "text",
    "provenance": "text",
    "has_media": "flag",
    "synthetic": "flag",
}
_DTYPES = {"text": "string", "whole": "Int64", "number": "Float64", "flag": "boolean"}

# Facts of one copy on one disk: they must not change the digest of the content. What a remark says about frames and
# labels is in the tables as well; the rest is about files that are no frames.
_NOT_CONTENT = ("root_hint", "source_files", "remarks")

REPAIR_COLUMNS = ("scope", "uid", "source", "rule", "before", "after")


class DatasetError(ValueError):
    """A dataset, workbook or manifest that breaks a rule; the message names file, sheet, row and rule."""


# ---------------------------------------------------------------------------------------------------------------------
# One video


@dataclass(frozen=True)
class Video:
    """One video: a folder of numbered frames, or a video file.

    Parameters
    ----------
    uid : `<dataset>/<subject>/<video>`, unique.
    path : the frame folder or the video file.
    media : "frames" or "video".
    fps : frames per second.
    first_frame_no, last_frame_no : frame numbers as in the file names, both included.
    missing : frame-number ranges (first, last) without a file, both included.
    frame_prefix, frame_sep, pad_width, ext : file names are prefix + sep + zero-padded number + ext (with its dot).
    width, height, channels : of the frames; None where they could not be measured.
    landmarks : side file with a landmark table, None where there is none.
    publishable : whether pixels of this video may appear in figures that are published.
    """

    uid: str
    dataset: str
    subject: str
    video_id: str
    path: Path
    media: str
    fps: float
    first_frame_no: int
    last_frame_no: int
    missing: tuple[tuple[int, int], ...] = ()
    frame_prefix: str = ""
    frame_sep: str = ""
    pad_width: int = 0
    ext: str = ".jpg"
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    landmarks: Path | None = None
    synthetic: bool = False
    publishable: bool = False

    @property
    def length(self) -> int:
        """Return T, the number of positions on the frame axis, gaps counted."""
        return self.last_frame_no - self.first_frame_no + 1

    def frame_no(self, t: int) -> int:
        """Return the frame number at position `t` of the frame axis."""
        if not 0 <= t < self.length:
            raise DatasetError(f"{self.uid}: position {t} is outside the video (0..{self.length - 1})")
        return self.first_frame_no + t

    def position(self, frame_no: int) -> int:
        """Return the position on the frame axis of a frame number."""
        if not self.first_frame_no <= frame_no <= self.last_frame_no:
            span = f"{self.first_frame_no}..{self.last_frame_no}"
            raise DatasetError(f"{self.uid}: frame {frame_no} is outside the video ({span})")
        return frame_no - self.first_frame_no

    def frame_path(self, t: int) -> Path:
        """Return the image file at position `t`; the file of a gap does not exist."""
        if self.media != "frames":
            raise DatasetError(f"{self.uid}: {self.path.name} is a video file, it has no frame files")
        name = f"{self.frame_prefix}{self.frame_sep}{self.frame_no(t):0{self.pad_width}d}{self.ext}"
        return self.path / name


def ranges_to_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Return frame-number ranges as `1-7;498-576;600`.

    >>> ranges_to_text([(1, 7), (600, 600)])
    '1-7;600'
    """
    return ";".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def ranges_from_text(text: str) -> tuple[tuple[int, int], ...]:
    """Return the frame-number ranges of `1-7;600`; raise `DatasetError` unless they are ordered and apart."""
    ranges: list[tuple[int, int]] = []
    for part in filter(None, text.split(";")):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
        if not match:
            raise DatasetError(f"missing_frames {text!r}: {part!r} is neither a frame number nor first-last")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or (ranges and first <= ranges[-1][1]):
            raise DatasetError(f"missing_frames {text!r}: ranges must ascend and not overlap")
        ranges.append((first, last))
    return tuple(ranges)


# ---------------------------------------------------------------------------------------------------------------------
# The manifest


@dataclass(frozen=True, eq=False)
class Manifest:
    """Tables and descriptor of one dataset; `root` is where its media lie."""

    descriptor: dict[str, Any]
    videos: pd.DataFrame
    events: pd.DataFrame
    root: Path

    @property
    def uids(self) -> tuple[str, ...]:
        """Return the uid of every video, in table order."""
        return tuple(self.videos["video_uid"])

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the subjects that have a video, in table order."""
        return tuple(self.videos["subject_id"].unique())

    def video(self, uid: str) -> Video:
        """Return one video; raise `DatasetError` for an unknown uid."""
        if uid not in self._video_rows:
            raise DatasetError(
                f"{self.descriptor['dataset']}: no video {uid!r}; it has {len(self.videos)} videos"
            )
        row = self._video_rows[uid]
        return Video(
            uid=uid,
            dataset=row["dataset"],
            subject=row["subject_id"],
            video_id=row["video_id"],
            path=self.root / row["rel_path"],
            media=row["media"],
            fps=float(row["fps"]),
            first_frame_no=row["first_frame_no"],
            last_frame_no=row["last_frame_no"],
            missing=ranges_from_text(row["missing_frames"] or ""),
            frame_prefix=row["frame_prefix"] or "",
            frame_sep=row["frame_sep"] or "",
            pad_width=row["pad_width"] or 0,
            ext=row["ext"] or "",
            width=row["width"],
            height=row["height"],
            channels=row["channels"],
            landmarks=self.root / row["landmarks"] if row["landmarks"] else None,
            synthetic=row["synthetic"],
            publishable=bool(self.descriptor["publishable"]),
        )

    def only(self, uids: Iterable[str]) -> "Manifest":
        """Return the manifest of some of the videos: what is given to `fit` cannot see the others.

        Raises
        ------
        DatasetError
            For an unknown uid.
        """
        wanted = [self.video(uid).uid for uid in uids]
        videos = self.videos[self.videos["video_uid"].isin(wanted)].reset_index(drop=True)
        events = self.events[self.events["video_uid"].isin(wanted)].reset_index(drop=True)
        return replace(self, videos=videos, events=events)

    def truth(self, uid: str) -> list[Interval]:
        """Return the annotated intervals of a video on its frame axis, in order; excluded rows are left out.

        An onset before the first frame starts at position 0. An offset past the last frame stays where the fix policy
        left it, so that overlaps are measured against the annotation. Rows that repeat an interval count once.
        """
        video = self.video(uid)
        rows = self._truth_rows.get(uid, [])
        return sorted({_interval(row, video) for row in rows})

    def counts(self) -> dict[str, Any]:
        """Return how many subjects, videos and labels there are, and how many labels were repaired or excluded."""
        events, videos = self.events, self.videos
        used = events[events["excluded"].isna()]
        labelled = {kind: set(used.loc[used["type"] == kind, "video_uid"]) & set(self.uids) for kind in KINDS}
        return {
            "subjects": len(self.subjects),
            "videos": len(videos),
            "videos_labelled": int(videos["labelled"].sum()),
            "videos_with_ME": len(labelled["ME"]),
            "videos_with_MaE": len(labelled["MaE"]),
            "frames": int(videos["n_frames"].sum()),
            "rows": len(events),
            "ME": int((used["type"] == "ME").sum()),
            "MaE": int((used["type"] == "MaE").sum()),
            "excluded": len(events) - len(used),
            "repaired": int(events["fixes"].notna().sum()),
            "without_media": int((~events["has_media"]).sum()),
            "offset_zero": int((events["offset_raw"] == "0").sum()),
        }

    def repairs(self) -> pd.DataFrame:
        """Return every repair and remark, one per row: `scope, uid, source, rule, before, after`.

        Remarks on files and folders come first, then the rows of the events table in order.
        """
        remarks = [
            {name: remark.get(name) for name in REPAIR_COLUMNS} for remark in self.descriptor["remarks"]
        ]
        rows = [repair for row in records(self.events) for repair in _event_repairs(row)]
        return pd.DataFrame([*remarks, *rows], columns=REPAIR_COLUMNS, dtype="string")

    def digest(self) -> str:
        """Return a SHA-256 (hex) of the content: tables and descriptor, independent of where and when it was read."""
        content = {name: value for name, value in self.descriptor.items() if name not in _NOT_CONTENT}
        text = [_json(content), _csv(self.videos), _csv(self.events)]
        return hashlib.sha256("\n".join(text).encode()).hexdigest()

    @functools.cached_property
    def _video_rows(self) -> dict[str, dict[str, Any]]:
        return {row["video_uid"]: row for row in records(self.videos)}

    @functools.cached_property
    def _truth_rows(self) -> dict[str, list[dict[str, Any]]]:
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in records(self.events):
            if not row["excluded"]:
                rows.setdefault(row["video_uid"], []).append(row)
        return rows


def _interval(row: Mapping[str, Any], video: Video) -> Interval:
    first = video.first_frame_no
    onset, offset = max(0, row["onset"] - first), row["offset"] - first
    apex = None if row["apex"] is None else row["apex"] - first
    inside = apex is not None and onset <= apex <= offset
    return Interval(onset, offset, row["type"], apex if inside else None)


def _event_repairs(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    base = {"scope": "event", "uid": row["event_uid"], "source": row["provenance"]}
    repairs = []
    for rule in filter(None, (row["fixes"] or "").split(";")):
        field = re.split("[^a-z]", rule, maxsplit=1)[0]
        after = row.get(field)
        after = None if after is None else str(after)
        repairs.append(base | {"rule": rule, "before": row.get(f"{field}_raw"), "after": after})
    if row["excluded"]:
        repairs.append(base | {"rule": f"excluded: {row['excluded']}"})
    return repairs


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def video_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the typed videos table of `rows`; columns that a row lacks are null."""
    return _table(rows, VIDEO_COLUMNS)


def event_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the typed events table of `rows`; columns that a row lacks are null."""
    return _table(rows, EVENT_COLUMNS)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as dictionaries of plain Python values, null as None."""
    columns = {name: table[name].astype(object).where(table[name].notna(), None) for name in table.columns}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    rows = list(rows)
    unknown = sorted({name for row in rows for name in row} - set(columns))
    if unknown:
        raise DatasetError(f"unknown columns {', '.join(unknown)}")
    data = {name: _column([row.get(name) for row in rows], kind) for name, kind in columns.items()}
    return pd.DataFrame(data)


def _column(values: list[Any], kind: str) -> pd.Series:
    # an empty text is written as an empty cell, so it is null from the start
    values = [pd.NA if value is None or (kind == "text" and value == "") else value for value in values]
    return pd.Series(values, dtype=_DTYPES[kind])


# ---------------------------------------------------------------------------------------------------------------------
# Files


def write_manifest(manifest: Manifest, folder: str | Path) -> None:
    """Write `dataset.json`, `videos.csv` and `events.csv` into `folder`, which is made if needed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(_json(manifest.descriptor, indent=2) + "\n", encoding="utf-8")
    (folder / "videos.csv").write_text(_csv(manifest.videos), encoding="utf-8", newline="")
    (folder / "events.csv").write_text(_csv(manifest.events), encoding="utf-8", newline="")


def read_manifest(folder: str | Path, root: str | Path) -> Manifest:
    """Read the three files of `folder` and check them; `root` is where the media lie.

    Raises
    ------
    DatasetError
        If a file is missing or a rule of `check_manifest` is broken; the message lists the first problems.
    """
    manifest, problems = _read(Path(folder), Path(root))
    if manifest is None or problems:
        more = f"\n... and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DatasetError(f"{folder}: " + "\n".join(problems[:5]) + more)
    return manifest


def manifest_problems(folder: str | Path, root: str | Path | None = None) -> list[str]:
    """Return every problem of the three files of `folder` as `file, row: rule`; an empty list for a sound manifest.

    root : if given, also where media of `videos.csv` are missing.
    """
    manifest, problems = _read(Path(folder), Path(root or folder))
    if manifest is None or root is None:
        return problems
    absent = [
        f"videos.csv, row {number}: there is no {row['rel_path']} in {root}"
        for number, row in enumerate(records(manifest.videos), start=2)
        if row["rel_path"] and not (manifest.root / row["rel_path"]).exists()
    ]
    return problems + absent


def _read(folder: Path, root: Path) -> tuple[Manifest | None, list[str]]:
    """Return the manifest, None where its files cannot be made into one, and every broken rule."""
    if not folder.is_dir():
        return None, ["no such folder; a manifest is dataset.json, videos.csv, events.csv"]
    problems: list[str] = []
    descriptor = _read_descriptor(folder / "dataset.json", problems)
    videos = _read_table(folder / "videos.csv", VIDEO_COLUMNS, problems)
    events = _read_table(folder / "events.csv", EVENT_COLUMNS, problems)
    if problems or descriptor is None or videos is None or events is None:
        return None, problems
    manifest = Manifest(descriptor, videos, events, root)
    return manifest, check_manifest(manifest)


def _read_descriptor(path: Path, problems: list[str]) -> Any:
    text = _text(path, problems)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(f"{path.name}: not valid JSON ({error})")
        return None


def _text(path: Path, problems: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.append(f"{path.name}: no such file; a manifest is dataset.json, videos.csv, events.csv")
    except (UnicodeDecodeError, OSError) as error:
        problems.append(f"{path.name}: cannot be read as UTF-8 text ({error})")
    return None


def _read_table(path: Path, columns: Mapping[str, str], problems: list[str]) -> pd.DataFrame | None:
    text = _text(path, problems)
    if text is None:
        return None
    if "\0" in text:
        problems.append(f"{path.name}, row {text[: text.index(chr(0))].count(chr(10)) + 1}: a zero byte")
        return None
    try:
        raw = pd.read_csv(io.StringIO(text), dtype="string", keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        problems.append(f"{path.name}: not valid CSV ({str(error).strip()})")
        return None
    missing = [name for name in columns if name not in raw.columns]
    unknown = [name for name in raw.columns if name not in columns]
    if missing or unknown:
        problems.append(f"{path.name}: missing columns {missing}, unknown columns {unknown}")
        return None
    return pd.DataFrame(
        {name: _parse(raw[name], kind, path.name, problems) for name, kind in columns.items()}
    )


def _parse(column: pd.Series, kind: str, file: str, problems: list[str]) -> pd.Series:
    patterns = {
        "text": r"(?s).*",
        "whole": r"-?[0-9]{1,18}",
        "number": r"-?[0-9]{1,18}(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?",
        "flag": "True|False",
    }
    bad = column.notna() & ~column.str.fullmatch(patterns[kind]).fillna(True)
    for at in bad.to_numpy().nonzero()[0]:
        # row 1 is the header
        value = str(column[at])[:60]
        problems.append(f"{file}, row {at + 2}, column {column.name}: {value!r} is not a {kind} value")
    column = column.mask(bad)
    if kind == "flag":
        return column.map({"True": True, "False": False}).astype("boolean")
    return column.astype(_DTYPES[kind])


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


# ---------------------------------------------------------------------------------------------------------------------
# Rules


def check_manifest(manifest: Manifest) -> list[str]:
    """Return every broken rule as a line `file, row: rule`; an empty list for a sound manifest.

    Types, patterns and allowed values come from `data_manifests/manifest.schema.json`; order, range, keys and
    references, which JSON Schema cannot express, are checked here.
    """
    problems = _schema_problems("dataset", [("dataset.json", manifest.descriptor)])
    videos, events = records(manifest.videos), records(manifest.events)
    video_rows = [(f"videos.csv, row {number}", row) for number, row in enumerate(videos, start=2)]
    event_rows = [(f"events.csv, row {number}", row) for number, row in enumerate(events, start=2)]
    problems += _schema_problems("video", video_rows) + _schema_problems("event", event_rows)
    if problems:  # the rules below count on types
        return problems
    problems += _repeated("video_uid", video_rows) + _repeated("event_uid", event_rows)
    by_uid = {row["video_uid"]: row for row in videos}
    for place, row in video_rows:
        problems += [f"{place}: {rule}" for rule in _video_problems(row)]
    for place, row in event_rows:
        problems += [f"{place}: {rule}" for rule in _event_problems(row, by_uid.get(row["video_uid"]))]
    return problems


def schema(name: str, definition: str | None = None) -> Any:
    """Return a validator for `data_manifests/<name>.schema.json` or one of its `$defs`."""
    jsonschema = _jsonschema()
    path = places.repository_root() / "data_manifests" / f"{name}.schema.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    if definition:
        document = {"$ref": f"#/$defs/{definition}", "$defs": document["$defs"]}
    return jsonschema.Draft202012Validator(document)


@functools.cache
def _jsonschema() -> Any:
    """Import jsonschema without its grammars of international addresses: a second, and no schema here has any."""
    modules = cast(MutableMapping[str, ModuleType | None], sys.modules)
    grammars = "rfc3987_syntax"
    modules.setdefault(grammars, None)  # importing it fails then, as where it is not installed
    try:
        import jsonschema
    finally:
        if modules[grammars] is None:
            del modules[grammars]
    return jsonschema


def _schema_problems(definition: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    validator = schema("manifest", definition)
    problems = []
    for place, row in rows:
        for error in validator.iter_errors(row):
            where = "".join(f", {part}" for part in error.absolute_path)
            problems.append(f"{place}{where}: {error.message}")
    return problems


def _repeated(key: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    seen: dict[str, str] = {}
    problems = []
    for place, row in rows:
        if row[key] in seen:
            problems.append(f"{place}: {key} {row[key]!r} stands in {seen[row[key]]} already")
        seen.setdefault(row[key], place)
    return problems


def _video_problems(row: Mapping[str, Any]) -> Iterable[str]:
    first, last = row["first_frame_no"], row["last_frame_no"]
    for name in ("rel_path", "landmarks"):
        if row[name] and (Path(row[name]).is_absolute() or ".." in re.split(r"[/\\]", row[name])):
            yield f"{name} {row[name]!r} leaves the dataset"
    for name in ("frame_prefix", "frame_sep", "ext"):
        if set(row[name] or "") & set("/\\"):
            yield f"{name} {row[name]!r} is part of a file name and cannot hold a slash"
    if first > last:
        yield f"first_frame_no {first} comes after last_frame_no {last}"
        return
    try:
        missing = ranges_from_text(row["missing_frames"] or "")
    except DatasetError as error:
        yield str(error)
        return
    if missing and not first < missing[0][0] <= missing[-1][1] < last:
        yield f"missing_frames {row['missing_frames']} must lie between the first and the last frame"
    present = last - first + 1 - sum(b - a + 1 for a, b in missing)
    if row["n_frames"] != present:
        yield f"n_frames is {row['n_frames']}, the numbers and the missing frames make {present}"


def _event_problems(row: Mapping[str, Any], video: Mapping[str, Any] | None) -> Iterable[str]:
    if row["has_media"] != (video is not None):
        yield f"has_media is {row['has_media']} but {row['video_uid']} is {'' if video else 'not '}in videos.csv"
    if video is not None and not video["gt_available"]:
        yield f"{row['video_uid']} has no annotations, says gt_available in videos.csv"
    if row["excluded"]:
        return
    fixes = row["fixes"] or ""
    onset, apex, offset = row["onset"], row["apex"], row["offset"]
    if onset > offset:
        yield f"onset {onset} comes after offset {offset}, and the row is not excluded"
    if apex is not None and not onset <= apex <= offset and "apex" not in fixes:
        yield f"apex {apex} is outside {onset}..{offset}, and the row does not say so in fixes"
    if video is None:
        return
    first, last = video["first_frame_no"], video["last_frame_no"]
    if onset < first and "onset_before_first" not in fixes:
        yield f"onset {onset} comes before the first frame {first}, and the row does not say so in fixes"
    if offset > last and "offset_past_end" not in fixes:
        yield f"offset {offset} comes after the last frame {last}, and the row does not say so in fixes"
    for name, number in (("onset_idx", onset), ("offset_idx", offset)):
        if first <= number <= last and row[name] != number - first:
            yield f"{name} is {row[name]}, frame {number} is at {number - first}"


# ---------------------------------------------------------------------------------------------------------------------
# Statistics and folds


def half_windows(manifest: Manifest) -> dict[str, int | None]:
    """Return k = int((N + 1) / 2) of both kinds, in frames; N is the mean of offset - onset after the fixes.

    Methods with a sliding window take their length from it; None for a kind without labels.
    """
    used = manifest.events[manifest.events["excluded"].isna()]
    spans = (used["offset"] - used["onset"]).groupby(used["type"]).mean()
    return {kind: int((spans[kind] + 1) / 2) if kind in spans else None for kind in KINDS}


@dataclass(frozen=True)
class Fold:
    """One fold: the uids to learn from and the uids to test on."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def loso_folds(manifest: Manifest) -> list[Fold]:
    """Return one fold per subject (leave one subject out), named after the subject held out."""
    subject = dict(zip(manifest.videos["video_uid"], manifest.videos["subject_id"], strict=True))
    return [
        Fold(
            name=held_out,
            train=tuple(uid for uid in manifest.uids if subject[uid] != held_out),
            test=tuple(uid for uid in manifest.uids if subject[uid] == held_out),
        )
        for held_out in manifest.subjects
    ]
