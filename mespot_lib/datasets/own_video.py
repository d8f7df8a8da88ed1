"""Any video of your own: a video file, a folder of numbered frames, or a folder of several of these.

    clip.mp4                                 its rate, size and gaps are read from the file
    recording/img001.jpg img002.jpg ...      one video; images do not tell their rate, so it must be given
    recordings/anna.mp4 ben.mov cleo/...     several videos, each file or folder of frames one

The frame axis of a file is the even grid that its time stamps lie on: position t = time stamp x rate, rounded, from the
first frame on. Stamps without a frame are gaps; of two frames at one position the first counts. Frames of a folder are
ordered by the number at the end of their names; without numbers their order and the gaps would be a guess, so such
folders are refused.

A video has no labels here. Its subject is the video itself. Beside the videos, `landmarks/<name>.npz` may hold
landmarks of `<name>.mp4` or of the folder `<name>`.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from mespot_lib import video_file
from mespot_lib.datasets.build import LANDMARKS_FOLDER, Findings, build_manifest, dataset_name
from mespot_lib.datasets.fixes import get_policy
from mespot_lib.datasets.folders import scan_frames, subfolders, video_files
from mespot_lib.manifest import DatasetError, Manifest

LAYOUT = "own_video"
_IMAGES = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm", ".heic"]
)


def read_media(path: str | Path, *, fps: float | None = None, name: str | None = None) -> Manifest:
    """Return the manifest of a video file, a folder of frames, or a folder of several videos.

    Parameters
    ----------
    path : the file or folder.
    fps : frames per second. Needed for frames in folders. For a file, the rate of the recording where the file states
        another one (slow motion, some laboratory cameras): the frames stay the same, only their times change.
    name : the dataset's name in uids, by default `own_video`, or `synthetic_own_video` beside the marker of drawn data.

    The uid of each video is `<name>/<stem>/<stem>`. `missing` lists its gaps. A file that ends before its container
    says keeps the length promised, with a remark; reading it tells where it ends (`mespot_lib.frames`).

    Raises
    ------
    DatasetError
        If there is no video in `path`, it cannot be read, or `fps` is missing or impossible; the message names the
        file. In a folder of several videos a file that cannot be read is left out with a remark, unless it is the only
        one.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder")
    path = path.resolve()  # so that "." has a name
    if fps is not None and not video_file.RATES_HZ[0] <= fps <= video_file.RATES_HZ[1]:
        low, high = video_file.RATES_HZ
        raise DatasetError(f"fps must be between {low:g} and {high:g}, not {fps:g}")
    sources = _sources(path)
    root = path if path.is_dir() and sources != [path] else path.parent
    findings = Findings(root)
    name = dataset_name(LAYOUT, root, name)
    for uid, source in _uids(name, sources):
        _add_video(findings, uid, source, fps)
    if not findings.videos:
        reason = findings.remarks[0]["before"]
        several = f"{path}: none of its {len(sources)} videos can be read, {reason}"
        raise DatasetError(reason if len(sources) == 1 else several)
    first = findings.videos[0]
    return build_manifest(
        findings,
        layout=LAYOUT,
        name=name,
        policy=get_policy("official_baseline"),
        fps=first["fps"],
        subset=None,
        release=None,
        frame_no_base=first["frame_no_base"],
        gt_available=False,
        split="user",
    )


def read(
    root: Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    fps: float | None = None,
) -> Manifest:
    """Return `read_media(root)`; a fix policy has nothing to fix where there are no labels."""
    return read_media(root, fps=fps, name=name)


# --- what there is --------------------------------------------------------------------------------------------------


def _sources(path: Path) -> list[Path]:
    """Return the video files and frame folders that a path stands for, in order."""
    if path.is_file():
        return [path]
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    videos = [path / name for name in video_files(path)]
    frames = scan_frames(path)
    if frames is not None and videos:
        raise DatasetError(
            f"{path}: holds frames ({frames.file_name(frames.first)}) and a video file ({videos[0].name}); name one of "
            "the videos, or keep the frames in a folder of their own"
        )
    if frames is not None:
        return [path]
    folders = [path / name for name in subfolders(path) if name != LANDMARKS_FOLDER]
    found = sorted(videos + [folder for folder in folders if scan_frames(folder) is not None])
    if not found:
        raise DatasetError(f"{path}: {_what_is_absent(files)}")
    return found


def _what_is_absent(files: list[Path]) -> str:
    images = [file.name for file in files if file.suffix.lower() in _IMAGES]
    if images:
        return (
            f"its images are not frames by their names ({images[0]}): a frame ends in its number and is .jpg, .png or "
            ".bmp, as in img001.jpg"
        )
    return "holds no video file and no numbered frames (img001.jpg)"


def _uids(name: str, sources: list[Path]) -> list[tuple[str, Path]]:
    """Return (uid, source) of each; videos of one stem go by their full names."""
    stems = [source.name if source.is_dir() else source.stem for source in sources]
    times = Counter(stems)
    ids = [source.name if times[stem] > 1 else stem for stem, source in zip(stems, sources, strict=True)]
    ids = [re.sub(r'[\\/#:*?"<>|]', "_", text).strip(". ") or "video" for text in ids]
    return [(f"{name}/{text}/{text}", source) for text, source in zip(ids, sources, strict=True)]


def _add_video(findings: Findings, uid: str, source: Path, fps: float | None) -> None:
    video_id = uid.rpartition("/")[2]
    known: dict[str, Any] = {"subject_id": video_id, "video_id": video_id}
    if source.is_file():
        findings.add_readable_file(uid, source, fps=fps, **known, frame_no_base="rel0")
        return
    if fps is None:
        raise DatasetError(
            f"{source}: images do not tell how many frames per second were recorded; give it (fps=30, or --fps 30)"
        )
    findings.add_video(uid, source, **known, fps=fps, frame_no_base="absolute")
