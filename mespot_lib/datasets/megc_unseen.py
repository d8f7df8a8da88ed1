"""The unseen test sets of MEGC2022 and MEGC2023: long videos whose annotation stays with the organisers.

    MEGC2022_testSet/CAS_Test_cropped/sub01/<n>.jpg           5 clips of CAS(ME)^3, 30 frames per second, faces cut out
    MEGC2022_testSet/SAMM_Test_cropped/001_2/001_2_<n>.jpg    5 videos of SAMM Challenge, 200 frames per second
    MEGC2023_testSet/CAS_data/dzw_a1/<n>.jpg                  20 clips of CAS(ME)^3; used again in 2024 and 2025
    MEGC2023_testSet/SAMM_data/001_2/..<n>.jpg                10 videos of SAMM Challenge

The root may be the folder of the set or the one above. Assumed, because no released text says so: the names `CAS_data`
and `SAMM_data`, the padding of frame numbers, and that numbers count from 1. Both halves are datasets of their own, as
they are scored. A folder name may end in `_aligned`, which is no part of the id.

The ids are known but for two of the twenty clips of 2023. A folder with another id of the same form is taken and
remarked on, and so is an id that is known and not there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mespot_lib.datasets.build import Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import get_policy
from mespot_lib.datasets.folders import subfolders
from mespot_lib.manifest import DatasetError, Manifest


@dataclass(frozen=True)
class UnseenSet:
    """What is known of one unseen set.

    top, folder : the set's folder and its half of the videos. ids : of the known videos.
    pattern : form of an id; its first group is the subject.
    """

    top: str
    folder: str
    fps: float
    ids: tuple[str, ...]
    pattern: str

    def subject(self, video_id: str) -> str | None:
        """Return the subject of a video id, None of a text of another form."""
        match = re.fullmatch(self.pattern, video_id)
        return match[1] if match else None


_SAMM_ID = r"([0-9]{3})_[0-9]+"
_PEOPLE = {"dzw": "a1 d1 f3 h3 s3", "gcf": "a1 d1 f2 h3 s4", "smy": "a1 d1 f2 h3 s3", "wy": "f1 f4 s1"}

SETS = {
    "megc2022_cas": UnseenSet(
        "MEGC2022_testSet",
        "CAS_Test_cropped",
        30.0,
        tuple(f"sub{number:02d}" for number in range(1, 6)),
        r"(sub[0-9]{2})",
    ),
    "megc2022_samm": UnseenSet(
        "MEGC2022_testSet",
        "SAMM_Test_cropped",
        200.0,
        ("001_2", "002_4", "003_1", "004_3", "005_7"),
        _SAMM_ID,
    ),
    "megc2023_cas": UnseenSet(
        "MEGC2023_testSet",
        "CAS_data",
        30.0,
        tuple(f"{person}_{clip}" for person, clips in _PEOPLE.items() for clip in clips.split()),
        r"([a-z]+)_[a-z][0-9]+",
    ),
    "megc2023_samm": UnseenSet(
        "MEGC2023_testSet",
        "SAMM_data",
        200.0,
        ("001_2", "001_3", "002_1", "002_4", "003_1", "003_7", "004_3", "004_6", "005_2", "005_7"),
        _SAMM_ID,
    ),
}


def _read(
    layout: str,
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    media: str | None = None,
    fps: float | None = None,
    frame_no_base: str | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Manifest:
    """Return the manifest of one half of an unseen set; it has no events.

    Parameters
    ----------
    layout : one of `SETS`.
    root : folder of the set, or the one above.
    policy : fix policy; there is nothing to fix.
    name : the dataset's name in uids, by default the layout, or `synthetic_<layout>` for drawn data.
    media : folder of the videos from the root, where it is called otherwise.
    fps : frames per second, by default 30 or 200; the files do not tell.
    frame_no_base : what the file names count from, "rel1", "rel0" or "absolute"; by default 1, or 0 if there is a 0.
    aliases : folder -> video id, where a folder is called otherwise.

    Raises
    ------
    DatasetError
        If the folder is not there, holds no video, or breaks a rule.
    """
    unseen = SETS[layout]
    folder = _media_folder(root, layout, media)
    name = dataset_name(layout, root, name)
    findings = Findings(root, aliases or {})
    _find_videos(findings, folder, name, unseen)
    if not findings.videos:
        raise DatasetError(f"{folder}: no folder with frames is called like {unseen.ids[0]}")
    begins_at_0 = any(video["first_frame_no"] == 0 for video in findings.videos)
    return build_manifest(
        findings,
        layout=layout,
        name=name,
        policy=get_policy(policy),
        fps=fps or unseen.fps,
        subset=folder.name,
        release=None,
        frame_no_base=frame_no_base or ("rel0" if begins_at_0 else "rel1"),
        gt_available=False,
        split="unseen",
    )


READERS = {layout: partial(_read, layout) for layout in SETS}


def _media_folder(root: Path, layout: str, media: str | None) -> Path:
    unseen = SETS[layout]
    places = [media] if media else [unseen.folder, f"{unseen.top}/{unseen.folder}"]
    for place in places:
        if (root / place).is_dir():
            return root / place
    raise DatasetError(f"{root}: the root of {layout} holds {' or '.join(places)}, which is not there")


def _find_videos(findings: Findings, media: Path, name: str, unseen: UnseenSet) -> None:
    for folder in subfolders(media):
        video_id = findings.alias(folder) or folder.removesuffix("_aligned")
        subject = unseen.subject(video_id)
        if subject is None:
            findings.remark(folder, "folder_ignored")
            continue
        uid = f"{name}/{subject}/{video_id}"
        findings.add_video(uid, media / folder, subject_id=subject, video_id=video_id)
        if video_id not in unseen.ids:
            findings.remark(folder, "id_not_listed", uid)
    found = {video["video_id"] for video in findings.videos}
    for video_id in unseen.ids:
        if video_id not in found:
            findings.remark(video_id, "id_absent")
