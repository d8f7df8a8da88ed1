"""From what a reader found (frame folders and labels) to a manifest: the same steps for every layout."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mespot_lib import places, video_file
from mespot_lib.datasets.fixes import FixPolicy, exclude_repeated, fix_event
from mespot_lib.datasets.folders import FrameFolder, image_size, require_inside, scan_frames
from mespot_lib.datasets.workbook import Cell, Sheet, encode_cells, normal_aus, sha256
from mespot_lib.manifest import (
    SCHEMA_VERSION,
    DatasetError,
    Manifest,
    check_manifest,
    event_table,
    ranges_to_text,
    schema,
    video_table,
)

READER_VERSION = 1

# The only thing that tells drawn data from recorded data; it stands at the root, beside the data.
SYNTHETIC_MARKER = "SYNTHETIC_DATA.txt"
GENERATOR_FILE = "generator.json"
LANDMARKS_FOLDER = "landmarks"

_LONGEST_NAME = 100  # characters of a subject or video; folders and files are named after them
_LARGEST_FRAME = 10**8  # pixels; decoded in colour it has 300 MB


@dataclass
class Findings:
    """What a reader gathers while it walks a dataset: rows of the two tables, and remarks on what it met.

    aliases : folder -> video id, as the user says, where the folder's name is wrong.
    """

    root: Path
    aliases: Mapping[str, str] = field(default_factory=dict)
    videos: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[dict[str, Any]] = field(default_factory=list)

    def remark(
        self,
        source: str,
        rule: str,
        uid: str | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        """Note something that was met, ignored or repaired outside the rows of the workbook."""
        scope = "video" if uid else "dataset"
        entry = {"scope": scope, "uid": uid, "source": source, "rule": rule, "before": before, "after": after}
        self.remarks.append(entry)

    def alias(self, folder: str) -> str | None:
        """Return the video id that `aliases` gives a folder, remarked on, or None where it has nothing to say."""
        video_id = self.aliases.get(folder)
        if video_id is not None:
            self.remark(folder, "folder_alias", before=folder.rpartition("/")[2], after=video_id)
        return video_id

    def add_video(
        self, uid: str, folder: Path, *, damaged: Sequence[tuple[int, int]] = (), **columns: Any
    ) -> None:
        """Scan a frame folder and add its row; a folder without frames is remarked on and left out.

        Parameters
        ----------
        damaged : ranges of frame numbers that are there but cannot be used; they become gaps.
        columns : naming columns, and what overrides the columns that are measured and those all videos share.

        Raises
        ------
        DatasetError
            If the folder's frames are named in two ways, another folder has the same uid, the uid could lead out of a
            folder that is named after it, or a link leads out of the dataset.
        """
        source = self._claimed(uid, folder)
        frames = scan_frames(folder, self.root)
        if frames is None:
            self.remark(source, "folder_without_frames", uid)
            return
        if frames.ignored:
            self.remark(source, "files_ignored", uid, before=_shortened(frames.ignored))
        if frames.missing:
            self.remark(source, "frames_missing", uid, before=ranges_to_text(frames.missing))
        whole = frames.without(damaged)
        if whole.count < frames.count:
            self.remark(source, "frames_damaged", uid, before=str(frames.count), after=str(whole.count))
        if whole.count == 0:
            self.remark(source, "folder_without_frames", uid)
            return
        self.videos.append(
            {"video_uid": uid, "rel_path": source} | self._frame_columns(uid, folder, whole) | columns
        )

    def add_video_file(
        self,
        uid: str,
        file: Path,
        *,
        fps: float | None = None,
        usual_fps: float | None = None,
        first: int = 0,
        **columns: Any,
    ) -> None:
        """Index a video file and add its row, with remarks on what its stamps say.

        Parameters
        ----------
        fps : frames per second, by default as the container says.
        usual_fps : what the container should say; another rate is remarked on.
        first : number of the first frame, as the annotation counts.

        Raises
        ------
        DatasetError
            As `add_video`.
        VideoFileError
            If the file cannot be read.
        """
        source = self._claimed(uid, file)
        index = video_file.index_video(file)
        _refuse_huge(file, index.width, index.height)
        rate = fps or index.rate
        missing = ranges_to_text([(a + first, b + first) for a, b in index.missing])
        if missing:
            self.remark(source, "frames_missing", uid, before=missing)
        if index.dropped:
            self.remark(source, "frames_at_one_position", uid, before=str(index.dropped))
        if index.length > index.readable:
            before, after = (f"{count} frames" for count in (index.length, index.readable))
            self.remark(source, "file_ends_early", uid, before=before, after=after)
        if not math.isclose(rate, index.rate, rel_tol=1e-3):
            self.remark(source, "fps_given", uid, before=f"{index.rate:.6g}", after=f"{rate:.6g}")
        elif usual_fps and not math.isclose(rate, usual_fps, rel_tol=1e-2):
            self.remark(source, "rate_unexpected", uid, before=f"{usual_fps:.6g}", after=f"{rate:.6g}")
        measured = {
            "media": "video",
            "ext": file.suffix,
            "modality": "gray" if index.channels == 1 else "rgb",
            "fps": rate,
            "width": index.width,
            "height": index.height,
            "channels": index.channels,
            "n_frames": len(index.positions) + index.length - index.readable,
            "first_frame_no": first,
            "last_frame_no": first + index.length - 1,
            "missing_frames": missing,
            "landmarks": self._landmarks(uid),
        }
        self.videos.append({"video_uid": uid, "rel_path": source} | measured | columns)

    def add_readable_file(self, uid: str, file: Path, **columns: Any) -> None:
        """Add a video file as `add_video_file`; one that cannot be read is remarked on and left out."""
        try:
            self.add_video_file(uid, file, **columns)
        except video_file.VideoFileError as error:
            self.remark(file.relative_to(self.root).as_posix(), "video_unreadable", uid, before=str(error))

    def _claimed(self, uid: str, path: Path) -> str:
        """Return a folder or file relative to the root, once it may go by `uid`."""
        source = path.relative_to(self.root).as_posix()
        require_plain_uid(uid, source)
        require_inside(self.root, path)
        twin = next((video for video in self.videos if video["video_uid"] == uid), None)
        if twin:
            raise DatasetError(
                f"{path}: is video {uid}, and so is {twin['rel_path']}; name the right one in aliases"
            )
        return source

    def _landmarks(self, uid: str) -> str | None:
        side_file = Path(LANDMARKS_FOLDER) / f"{uid.rpartition('/')[2]}.npz"
        if not (self.root / side_file).is_file():
            return None
        require_inside(self.root, self.root / side_file)
        return side_file.as_posix()

    def _frame_columns(self, uid: str, folder: Path, frames: FrameFolder) -> dict[str, Any]:
        first = frames.file_name(frames.first)
        size = image_size(folder / first)
        if size is None:
            self.remark(f"{folder.relative_to(self.root).as_posix()}/{first}", "first_frame_unreadable", uid)
        else:
            _refuse_huge(folder / first, *size[:2])
        width, height, channels = size or (None, None, None)
        return {
            "media": "frames",
            "frame_prefix": frames.prefix,
            "frame_sep": frames.separator,
            "pad_width": frames.pad_width,
            "ext": frames.ext,
            "modality": {None: None, 1: "gray"}.get(channels, "rgb"),
            "width": width,
            "height": height,
            "channels": channels,
            "n_frames": frames.count,
            "first_frame_no": frames.first,
            "last_frame_no": frames.last,
            "missing_frames": ranges_to_text(frames.missing),
            "landmarks": self._landmarks(uid),
        }

    def add_label(self, uid: str, kind: str, place: str, cells: Mapping[str, Cell], **columns: Any) -> None:
        """Add a row of the workbook: its video, "ME" or "MaE", where it stands, and its cells by field.

        Raises
        ------
        DatasetError
            If the cells make a uid that could lead out of a folder that is named after it.
        """
        require_plain_uid(uid, place)
        raw = encode_cells(cells)
        self.labels.append(
            {"video_uid": uid, "type": kind, "provenance": place, "au": normal_aus(raw["au_raw"])}
            | raw
            | columns
        )


def _refuse_huge(path: Path, width: int, height: int) -> None:
    if width * height > _LARGEST_FRAME:
        raise DatasetError(f"{path}: {width} x {height} pixels cannot be a frame of a video")


def _shortened(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ---------------------------------------------------------------------------------------------------------------------


def require_plain_uid(uid: str, place: str) -> None:
    """Raise `DatasetError`, naming `place`, unless `uid` is three plain names: `<dataset>/<subject>/<video>`.

    Subjects and videos come from folders and cells, and become names of folders again (runs, caches, side files), so
    they must not be a path.
    """
    names = uid.split("/")
    for name in names:
        plain = name.isprintable() and name.strip(". ") == name != "" and not set(name) & set('\\#:*?"<>|')
        if len(names) != 3 or not plain or len(name) > _LONGEST_NAME:
            short = uid if len(uid) <= _LONGEST_NAME else f"{uid[:_LONGEST_NAME]}..."
            raise DatasetError(
                f"{place}: names the video {short!r}, which is not <dataset>/<subject>/<video>"
            )


def is_synthetic(root: Path) -> bool:
    """Return whether the dataset is drawn, which the marker file at its root says."""
    return (root / SYNTHETIC_MARKER).is_file()


def dataset_name(layout: str, root: Path, name: str | None) -> str:
    """Return the name a dataset goes by; drawn data always has a name of its own kind.

    Raises
    ------
    DatasetError
        If a synthetic name is asked for data without the marker, or the reverse.
    """
    synthetic = is_synthetic(root)
    name = name or (_drawn_name(layout, root) if synthetic else layout)
    if name.startswith("synthetic_") != synthetic:
        found = "has" if synthetic else "lacks"
        raise DatasetError(
            f"{root}: {found} the marker {SYNTHETIC_MARKER}, so it cannot go by the name {name!r}"
        )
    return name


def _drawn_name(layout: str, root: Path) -> str:
    """Return the name that data was drawn under, as far as it can be part of a uid."""
    name = re.sub(r"[^a-z0-9_]", "_", (_generator(root) or {}).get("name", layout))
    return name if name.startswith("synthetic_") else f"synthetic_{name}"


def described_datasets() -> list[str]:
    """Return the names of all datasets that have a descriptor in `data_manifests/`."""
    folder = places.repository_root() / "data_manifests"
    return sorted(path.stem for path in folder.glob("*.json") if not path.name.endswith(".schema.json"))


def dataset_facts(name: str) -> dict[str, Any]:
    """Return `data_manifests/<name>.json`: layout, rate, licence, citation, expected counts of a dataset.

    Raises
    ------
    DatasetError
        If there is no such descriptor, or it breaks `descriptor.schema.json`.
    """
    if name not in described_datasets():
        raise DatasetError(f"dataset {name!r} is unknown; described are {', '.join(described_datasets())}")
    path = places.repository_root() / "data_manifests" / f"{name}.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    for error in schema("descriptor").iter_errors(facts):
        raise DatasetError(f"{path}, {error.json_path}: {error.message}")
    return facts


def build_manifest(
    findings: Findings,
    *,
    layout: str,
    name: str,
    policy: FixPolicy,
    fps: float,
    subset: str | None,
    release: str | None,
    sheets: Iterable[Sheet] = (),
    frame_no_base: str = "rel1",
    gt_available: bool = True,
    split: str = "loso",
) -> Manifest:
    """Return the manifest of what a reader found: fixes applied, positions resolved, rules checked.

    Parameters
    ----------
    fps, frame_no_base : of all videos but those whose own columns say otherwise.
    frame_no_base : "rel1" numbers count from 1, "rel0" from 0, "absolute" they go on from one recording to the next.
    gt_available : whether annotations exist at all. split : "loso", "unseen" or "user".

    Raises
    ------
    DatasetError
        If a cell breaks a rule that the policy does not repair, or an alias names a folder that is not there.
    """
    synthetic = is_synthetic(findings.root)
    _refuse_unused(findings)
    events = _events(findings, policy, layout)
    labelled = {event["video_uid"] for event in events}
    _remark_unpaired(findings, events if gt_available else None)
    facts = _facts(layout, synthetic)
    shared = {
        "dataset": name,
        "release": release,
        "subset": subset,
        "fps": fps,
        "frame_no_base": frame_no_base,
        "gt_available": gt_available,
        "split": split,
        "synthetic": synthetic,
    }
    videos = [shared | video | {"labelled": video["video_uid"] in labelled} for video in findings.videos]
    descriptor = {
        "schema_version": SCHEMA_VERSION,
        "dataset": name,
        "layout": layout,
        "release": release,
        "subset": subset,
        "fps": videos[0]["fps"] if videos else fps,
        "frame_numbering": frame_no_base,
        "licence": facts["licence"],
        "citation": facts["citation"],
        "publishable": facts["publishable"],
        "synthetic": synthetic,
        "generator": _generator(findings.root),
        "fix_policy": policy.name,
        "reader": {"name": f"mespot_lib.datasets.{layout}", "version": READER_VERSION},
        "source_files": _sources(findings.root, sheets),
        "root_hint": findings.root.name,
        "counts": {},
        "remarks": findings.remarks,
    }
    bases = {video["video_uid"]: video["frame_no_base"] for video in videos}
    events = [
        event | {"frame_base": bases.get(event["video_uid"], frame_no_base), "synthetic": synthetic}
        for event in events
    ]
    manifest = Manifest(descriptor, video_table(videos), event_table(events), findings.root)
    descriptor["counts"] = manifest.counts()
    problems = check_manifest(manifest)
    if problems:
        raise DatasetError(f"{findings.root}: " + "\n".join(problems[:5]))
    return manifest


def _facts(layout: str, synthetic: bool) -> dict[str, Any]:
    """Return the descriptor behind a manifest; drawn data may be published, whether it has one of its own or not."""
    if synthetic and f"synthetic_{layout}" in described_datasets():
        return dataset_facts(f"synthetic_{layout}")
    facts = dataset_facts(layout)
    return facts | {"publishable": True} if synthetic else facts


def _refuse_unused(findings: Findings) -> None:
    used = {remark["source"] for remark in findings.remarks if remark["rule"] == "folder_alias"}
    unused = sorted(set(findings.aliases) - used)
    if unused:
        raise DatasetError(f"{findings.root}: aliases names {unused[0]!r}, which is not there")


def _remark_unpaired(findings: Findings, events: Iterable[Mapping[str, Any]] | None) -> None:
    """Remark on videos without rows and on rows without a video; `events` is None where nothing is annotated."""
    if events is None:
        return
    places: dict[str, list[str]] = {}
    for event in events:
        places.setdefault(event["video_uid"], []).append(event["provenance"])
    for video in findings.videos:
        if video["video_uid"] not in places:
            findings.remark(video["rel_path"], "folder_without_rows", video["video_uid"])
    known = {video["video_uid"] for video in findings.videos}
    for uid, rows in places.items():
        if uid not in known:
            findings.remark(rows[0], "rows_without_folder", uid, before=f"{len(rows)} rows")


def _events(findings: Findings, policy: FixPolicy, layout: str) -> list[dict[str, Any]]:
    videos = {video["video_uid"]: video for video in findings.videos}
    numbers: dict[str, int] = {}
    events = []
    for label in findings.labels:
        uid = label["video_uid"]
        video = videos.get(uid)
        numbers[uid] = numbers.get(uid, 0) + 1
        fixed = fix_event(label, video, policy, layout=layout)
        known = {"event_uid": f"{uid}#{numbers[uid]}", "has_media": video is not None}
        events.append(label | known | fixed | _positions(fixed, video))
    exclude_repeated(events, policy)
    return events


def _positions(fixed: Mapping[str, Any], video: Mapping[str, Any] | None) -> dict[str, int]:
    """Return where the frame numbers stand on the frame axis; numbers outside the video have no position."""
    if video is None:
        return {}
    first, last = video["first_frame_no"], video["last_frame_no"]
    numbers = {name: fixed.get(name) for name in ("onset", "apex", "offset")}
    return {
        f"{name}_idx": no - first for name, no in numbers.items() if no is not None and first <= no <= last
    }


def _sources(root: Path, sheets: Iterable[Sheet]) -> list[dict[str, Any]]:
    names: dict[Path, list[str]] = {}
    for sheet in sheets:
        names.setdefault(sheet.path, []).append(sheet.name)
    return [
        {
            "path": require_inside(root, path).relative_to(root).as_posix(),
            "sha256": sha256(path),
            "sheets": sheet_names,
        }
        for path, sheet_names in names.items()
    ]


def _generator(root: Path) -> dict[str, Any] | None:
    path = root / GENERATOR_FILE
    if not (is_synthetic(root) and path.is_file()):
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path}: not valid JSON ({error})") from None
    content.pop(
        "hash", None
    )  # it covers source code down to the comments, which are no content of the dataset
    return content
