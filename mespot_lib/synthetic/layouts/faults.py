"""The catalogue of faults: what copies of the datasets are known to contain, planted into a drawn tree on purpose.

`plant` changes workbooks or folders of a tree and returns what was planted: which event or video a reader must name,
and with which rule under each fix policy. Readers are tested with every fault in every layout. Only trees with the
marker of drawn data are changed; use a copy, or `write_blank_tree`.

| fault                   | what is done                                                              |
|-------------------------|---------------------------------------------------------------------------|
| offset 0, offset -1     | the offset is missing                                                     |
| apex 0, apex -1         | the apex is missing                                                       |
| onset 0, onset 1        | the expression began before the recording (SAMM-LV); a number too small   |
| onset -1                | the onset is missing                                                      |
| float frame             | half a frame                                                              |
| event past the end      | the offset comes after the last frame                                     |
| duplicate row           | a row stands twice                                                        |
| missing folder          | rows without a video                                                      |
| folder without rows     | a video without rows                                                      |
| folder without frames   | an empty folder                                                           |
| missing frames          | a gap                                                                     |
| junk files              | Thumbs.db, .DS_Store and the marker in a frame folder                     |
| damaged first frame     | the first image breaks off                                                |
| two-digit number        | the running number of an expression has two digits                        |
| other case              | capital and small letters are exchanged                                   |
| five-digit frames       | frame numbers padded to five digits (SAMM-LV)                             |
| tenth column            | the workbook has durations (CAS(ME)^2)                                    |

The last four are no errors: a reader takes them as they are, and reports the case where ids differ by it.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.build import SYNTHETIC_MARKER, is_synthetic
from mespot_lib.datasets.fixes import POLICIES
from mespot_lib.datasets.workbook import CELLS, Cell
from mespot_lib.manifest import DatasetError, Manifest, event_table, ranges_from_text, records
from mespot_lib.synthetic.events import PlannedEvent
from mespot_lib.synthetic.layouts import WRITERS, label_rows, plan_videos, write_workbooks
from mespot_lib.synthetic.layouts.native import changed, write_frames

JUNK = (".DS_Store", SYNTHETIC_MARKER, "Thumbs.db")
_WITHOUT_APEX = ("casme3_c", "smic_e")
_GREY = ("fourdme", "megc2022_samm", "megc2023_samm", "samm_lv")
_MICRO_ONLY = ("casme3_c", "fourdme", "smic_e")
_FROM_1 = ("casme2", "casme3_c", "samm_lv")  # 1 is the first frame of every video

Reports = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Planted:
    """What `plant` has done.

    Attributes
    ----------
    fault : its name. uid : the event, or the video, that is concerned. place : what was changed, in words.
    reports : policy -> how the rules begin that `Manifest.repairs` must list for `uid`, none of them if there is
        nothing to repair or to remark on.
    rows, videos, without_media : how many more there are than before, of `Manifest.counts`.
    """

    fault: str
    uid: str
    place: str
    reports: Reports
    rows: int = 0
    videos: int = 0
    without_media: int = 0


@dataclass(frozen=True)
class _Tree:
    """A tree, and what it holds as it stands."""

    layout: str
    root: Path
    manifest: Manifest

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the events table that have nothing wrong with them."""
        return [
            row
            for row in records(self.manifest.events)
            if row["has_media"] and not row["fixes"] and not row["excluded"]
        ]

    def write(self, events: pd.DataFrame) -> None:
        write_workbooks(self.layout, events, self.root)


def faults_of(layout: str) -> tuple[str, ...]:
    """Return the names of the faults that a layout can have."""
    absent = {fault for fault, layouts in _ONLY.items() if layout not in layouts}
    if layout in _WITHOUT_APEX:
        absent |= {"apex 0", "apex -1"}
    if WRITERS[layout].cells is None:
        absent |= set(_ROW_FAULTS) | {"missing folder", "folder without rows", "folder without frames"}
    return tuple(fault for fault in FAULTS if fault not in absent)


def plant(layout: str, root: str | Path, fault: str) -> Planted:
    """Plant one fault into a drawn tree, and return what a reader must say of it.

    Raises
    ------
    DatasetError
        If the tree is not drawn, the layout cannot have the fault, or the tree has no place for it.
    """
    root = Path(root)
    if not is_synthetic(root):
        raise DatasetError(
            f"{root}: faults are planted into drawn data only, and there is no {SYNTHETIC_MARKER}"
        )
    if fault not in faults_of(layout):
        raise DatasetError(f"layout {layout} has no fault {fault!r}; it has {', '.join(faults_of(layout))}")
    tree = _Tree(layout, root, read_dataset(layout, root, "raw"))
    return FAULTS[fault](tree, fault)


def planned(kind: str, onset: int, apex: int, offset: int, aus: Sequence[str] = ("4",)) -> PlannedEvent:
    """Return an expression at these positions of the frame axis, for `write_blank_tree`."""
    return PlannedEvent(kind, onset, apex, offset, onset, offset, tuple(aus), "B", 1.0, (0.0,) * 4, ())


def write_blank_tree(
    layout: str,
    root: str | Path,
    subjects: int = 2,
    videos: int = 2,
    *,
    frames: int = 60,
    events: Sequence[PlannedEvent] | None = None,
) -> Path:
    """Write a tree in a layout whose frames are blank, for `plant`; it carries the marker of drawn data.

    Parameters
    ----------
    subjects : how many. videos : of each subject. frames : of each video.
    events : expressions of each video, by default a micro-expression and, where the layout has any, a macro-expression.
    """
    root = Path(root)
    if events is None:
        events = (planned("ME", 2, 5, 9), planned("ME" if layout in _MICRO_ONLY else "MaE", 20, 25, 38))
    plan = [video for subject in plan_videos(layout, subjects, videos, frames) for video in subject]
    for video in plan:
        write_frames(root, video, [_blank(layout)] * frames, 90)
    (root / SYNTHETIC_MARKER).touch()
    rows = label_rows(layout, f"synthetic_{layout}", plan, [events] * len(plan), seed=1)
    write_workbooks(layout, event_table(rows), root)
    return root


def _blank(layout: str) -> np.ndarray:
    return np.zeros((12, 16) if layout in _GREY else (12, 16, 3), np.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# Faults of a row


def _always(*rules: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(POLICIES, rules)


def _first(tree: _Tree, fault: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        raise DatasetError(f"{tree.root}: no row of it could have the fault {fault!r}")
    return rows[0]


def _last_frame_no(tree: _Tree, row: Mapping[str, Any]) -> int:
    return tree.manifest.video(row["video_uid"]).last_frame_no


def _change(tree: _Tree, chosen: pd.Series, change: Callable[[dict[str, Cell]], None]) -> None:
    """Write the tree's workbooks again, with the native cells of some rows changed in place."""
    table = tree.manifest.events.copy()
    columns = [*CELLS, "cell_kinds"]
    table.loc[chosen, columns] = changed(table[chosen], change)[columns]
    tree.write(table)


def _set(tree: _Tree, row: Mapping[str, Any], fault: str, reports: Reports, **cells: Cell) -> Planted:
    """Set cells of one row."""
    events = tree.manifest.events
    _change(tree, events["event_uid"] == row["event_uid"], lambda native: native.update(cells))
    place = ", ".join(f"{name} {row[name]} -> {value}" for name, value in cells.items())
    return Planted(fault, row["event_uid"], place, reports)


def _lost_offset(tree: _Tree, fault: str) -> Planted:
    # room for the twenty frames of lgsnet, and long enough for its limits
    rows = [row for row in tree.rows if row["offset"] + 20 <= _last_frame_no(tree, row)]
    row = _first(tree, fault, [row for row in rows if tree.layout != "casme3_a" or row["type"] == "MaE"])
    token = fault.replace(" ", "")
    lost = (f"{token}:kept", "excluded: no_offset")
    reports = _always(*lost)
    if row["apex"] is not None:
        reports = _always(f"{token}->apex") | {"raw": lost, "lgsnet": (f"{token}->apex+20",)}
    return _set(tree, row, fault, reports, offset_raw=int(fault.partition(" ")[2]))


def _lost_apex(tree: _Tree, fault: str) -> Planted:
    row = _first(tree, fault, [row for row in tree.rows if row["apex"] is not None])
    token = fault.replace(" ", "")
    reports = _always(f"{token}->null") | {"raw": (f"{token}:kept",), "official_baseline": (f"{token}->mid",)}
    return _set(tree, row, fault, reports, apex_raw=int(fault.partition(" ")[2]))


def _lost_onset(tree: _Tree, fault: str) -> Planted:
    return _set(tree, _first(tree, fault, tree.rows), fault, _always("excluded: no_onset"), onset_raw=-1)


def _early_onset(tree: _Tree, fault: str) -> Planted:
    """Onset 0 or 1: of a macro-expression where there are any, the one that ends first."""
    onset = int(fault.partition(" ")[2])
    kind = "ME" if tree.layout in _MICRO_ONLY else "MaE"
    rows = sorted((row for row in tree.rows if row["type"] == kind), key=lambda row: row["offset_idx"])
    row = _first(tree, fault, rows)
    before = _always("onset_before_first:kept") | {"strict": ("onset_before_first->clamp",)}
    reports = before if onset == 0 or tree.layout not in _FROM_1 else _always()
    if tree.layout == "samm_lv":  # V3 has 1 for every 0
        seen = {
            policy: 0 if onset == 0 and rules.samm_release == "V2" else 1
            for policy, rules in POLICIES.items()
        }
        reports = {
            policy: (f"excluded: began_before_recording (onset {number})",)
            if number in POLICIES[policy].early_onsets
            else ()
            for policy, number in seen.items()
        }
    return _set(tree, row, fault, reports, onset_raw=onset)


def _float_frame(tree: _Tree, fault: str) -> Planted:
    rows = [row for row in tree.rows if row["onset"] + 1 <= (row["apex"] or row["offset"])]
    row = _first(tree, fault, rows)
    return _set(tree, row, fault, _always("onset_float->round"), onset_raw=row["onset"] + 0.5)


def _past_the_end(tree: _Tree, fault: str) -> Planted:
    rows = [row for row in tree.rows if tree.layout != "casme3_a" or row["type"] == "MaE"]
    rows = sorted(rows, key=lambda row: _last_frame_no(tree, row) - row["onset"])
    row = _first(tree, fault, rows)
    reports = _always("offset_past_end:kept") | {
        "lgsnet": ("excluded: offset_past_end",),
        "strict": ("offset_past_end->clamp",),
    }
    return _set(tree, row, fault, reports, offset_raw=_last_frame_no(tree, row) + 9)


def _duplicate(tree: _Tree, fault: str) -> Planted:
    events = tree.manifest.events
    alone = [row for row in tree.rows if (events["provenance"] == row["provenance"]).sum() == 1]
    # a row of several expressions stands twice as a whole; of two workbooks only one has macro-expressions
    rows = [row for row in alone or tree.rows if tree.layout != "casme3_a" or row["type"] == "MaE"]
    row = _first(tree, fault, rows)
    same = events[events["provenance"] == row["provenance"]]
    tree.write(pd.concat([events, same], ignore_index=True))
    number = (events["video_uid"] == row["video_uid"]).sum() + 1
    reports = _always("excluded: repeats ") | {"raw": ("row_repeated:kept",)}
    return Planted(fault, f"{row['video_uid']}#{number}", "the last row", reports, rows=len(same))


def _two_digits(tree: _Tree, fault: str) -> Planted:
    row = _first(tree, fault, tree.rows)
    stem = row["expr_id_raw"].rpartition("_")[0]
    return _set(tree, row, fault, _always(), expr_id_raw=f"{stem}_12")


def _other_case(tree: _Tree, fault: str) -> Planted:
    row = _first(tree, fault, tree.rows)
    field = "type_raw" if tree.layout in ("casme2", "samm_lv") else "expr_id_raw"
    rule = {"smic_e": ("id_case->lower",), "fourdme": ("id_spelling->folder",)}.get(tree.layout, ())
    chosen = tree.manifest.events["provenance"] == row["provenance"]  # all that stands in this row
    text = row[field].swapcase()
    _change(tree, chosen, lambda native: native.update({field: text}))
    return Planted(fault, row["video_uid"], f"{field} {row[field]} -> {text}", _always(*rule))


def _tenth_column(tree: _Tree, fault: str) -> Planted:
    def add(native: dict[str, Any]) -> None:
        native["duration_raw"] = native["offset_raw"] - native["onset_raw"]

    _change(tree, tree.manifest.events["event_uid"].notna(), add)
    return Planted(
        fault, tree.manifest.events["event_uid"][0], "durations in column J of every row", _always()
    )


# ---------------------------------------------------------------------------------------------------------------------
# Faults of folders


def _labelled_video(tree: _Tree, fault: str) -> dict[str, Any]:
    """Return the row of a video without gaps whose rows have nothing wrong with them."""
    wrong = tree.manifest.events[
        tree.manifest.events["fixes"].notna() | tree.manifest.events["excluded"].notna()
    ]
    videos = [row for row in records(tree.manifest.videos) if row["video_uid"] not in set(wrong["video_uid"])]
    return _first(tree, fault, [row for row in videos if not ranges_from_text(row["missing_frames"] or "")])


def _missing_folder(tree: _Tree, fault: str) -> Planted:
    video = _labelled_video(tree, fault)
    folder = tree.root / video["rel_path"]
    shutil.rmtree(folder)
    for parent in folder.parents:
        if any(parent.iterdir()):
            break
        parent.rmdir()
    rows = int((tree.manifest.events["video_uid"] == video["video_uid"]).sum())
    reports = _always("rows_without_folder")
    return Planted(fault, video["video_uid"], video["rel_path"], reports, videos=-1, without_media=rows)


def _new_video(tree: _Tree, fault: str) -> tuple[str, dict[str, Any]]:
    """Return uid and naming columns of a video that the tree does not have."""
    writer = WRITERS[tree.layout]
    dataset, known = tree.manifest.descriptor["dataset"], set(tree.manifest.events["video_uid"])
    for turn in range(writer.most_videos):
        video = writer.plan(0, turn, 6)
        uid = f"{dataset}/{video['subject_id']}/{video['video_id']}"
        if uid not in known and not (tree.root / video["rel_path"]).exists():
            return uid, video
    raise DatasetError(
        f"{tree.root}: has all videos of its first subject, so none can have the fault {fault!r}"
    )


def _folder_without_rows(tree: _Tree, fault: str) -> Planted:
    uid, video = _new_video(tree, fault)
    write_frames(tree.root, video | {"missing": ()}, [_blank(tree.layout)] * 6, 90)
    return Planted(fault, uid, video["rel_path"], _always("folder_without_rows"), videos=1)


def _folder_without_frames(tree: _Tree, fault: str) -> Planted:
    uid, video = _new_video(tree, fault)
    (tree.root / video["rel_path"]).mkdir(parents=True)
    return Planted(fault, uid, video["rel_path"], _always("folder_without_frames"))


def _missing_frames(tree: _Tree, fault: str) -> Planted:
    row = _labelled_video(tree, fault)
    video = tree.manifest.video(row["video_uid"])
    ends = {t for span in tree.manifest.truth(video.uid) for t in (span.onset, span.offset)}
    t = next(t for t in range(1, video.length - 2) if not ends & {t, t + 1})
    for at in (t, t + 1):
        video.frame_path(at).unlink()
    place = f"{row['rel_path']}, frames {video.frame_no(t)} and {video.frame_no(t + 1)}"
    return Planted(fault, video.uid, place, _always("frames_missing"))


def _junk_files(tree: _Tree, fault: str) -> Planted:
    row = _labelled_video(tree, fault)
    for name in JUNK:
        (tree.root / row["rel_path"] / name).touch()
    return Planted(fault, row["video_uid"], row["rel_path"], _always("files_ignored"))


def _damaged_first_frame(tree: _Tree, fault: str) -> Planted:
    row = _labelled_video(tree, fault)
    path = tree.manifest.video(row["video_uid"]).frame_path(0)
    path.write_bytes(path.read_bytes()[:9])
    return Planted(
        fault, row["video_uid"], f"{row['rel_path']}/{path.name}", _always("first_frame_unreadable")
    )


def _five_digits(tree: _Tree, fault: str) -> Planted:
    row = _labelled_video(tree, fault)
    video = tree.manifest.video(row["video_uid"])
    for t in range(video.length):
        path = video.frame_path(t)
        path.rename(
            path.with_name(f"{video.frame_prefix}{video.frame_sep}{video.frame_no(t):05d}{video.ext}")
        )
    return Planted(fault, video.uid, row["rel_path"], _always())


_ROW_FAULTS = {
    "offset 0": _lost_offset,
    "offset -1": _lost_offset,
    "apex 0": _lost_apex,
    "apex -1": _lost_apex,
    "onset 0": _early_onset,
    "onset 1": _early_onset,
    "onset -1": _lost_onset,
    "float frame": _float_frame,
    "event past the end": _past_the_end,
    "duplicate row": _duplicate,
    "two-digit number": _two_digits,
    "other case": _other_case,
    "tenth column": _tenth_column,
}
FAULTS: Mapping[str, Callable[[_Tree, str], Planted]] = _ROW_FAULTS | {
    "missing folder": _missing_folder,
    "folder without rows": _folder_without_rows,
    "folder without frames": _folder_without_frames,
    "missing frames": _missing_frames,
    "junk files": _junk_files,
    "damaged first frame": _damaged_first_frame,
    "five-digit frames": _five_digits,
}
_ONLY = {  # fault -> the layouts that can have it
    "two-digit number": ("casme2", "samm_lv"),
    "other case": ("casme2", "casme3_a", "fourdme", "samm_lv", "smic_e"),
    "tenth column": ("casme2",),
    "five-digit frames": ("samm_lv",),
}
