"""Finished runs of the real methods on people without pictures: invented scores, spotted by the method itself."""

import importlib
import json
from pathlib import Path

import numpy as np

from mespot_lib import runs
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Manifest, event_table, loso_folds, video_table

SETTINGS = {
    "zhang2020": {"threshold_me_u": 0.5, "threshold_mae_u": 1.0, "t_nms": 0.2},
    "flow_peaks": {"threshold_me_u": 0.4, "threshold_mae_u": 0.8, "t_nms": 0.2}
    | {"combine": "strongest", "train_s": 0.6, "train_peaks": 3},
    "yap2022_3dcnn": {"me_extent": 0.3, "me_peak": 0.5, "mae_extent": 0.3, "mae_peak": 0.5}
    | {"low_pass_hz": 3.0, "normalise": False, "t_nms": 0.2}
    | {"me_shortest_s": 0.1, "me_longest_s": 0.6, "mae_shortest_s": 0.4, "mae_longest_s": None},
    "mesnet": {"t_cpn": 0.5, "t_crn": 0.4, "t_nms": 0.05, "stage": "crn"},
    "stsnet_sw": {"weight_me": 1.5, "weight_mae": 1.2, "post": "duration", "gap_s": 0.1, "shortest_s": 0.1},
    "i3d_bifpn": {"limits": "f1", "limit_me": 0.4, "limit_mae": 0.4, "top_threshold": 0.6, "t_nms": 0.2},
}
METHODS = tuple(SETTINGS)


def people_videos(people: int, videos: int, length: int, fps: float = 30.0, quiet: bool = False) -> Manifest:
    """Return a manifest of some videos of some people, with an ME and an MaE in every 600 frames, or with none."""
    names = [(f"s{p:02d}", f"v{v}") for p in range(people) for v in range(videos)]
    rows = [
        {
            "video_uid": f"toy/{p}/{v}",
            "dataset": "toy",
            "subject_id": p,
            "video_id": v,
            "rel_path": f"{p}/{v}",
        }
        | {"media": "frames", "fps": fps, "first_frame_no": 1, "last_frame_no": length, "n_frames": length}
        | {"labelled": True, "synthetic": True}
        for p, v in names
    ]
    planted = [("ME", 40, 11), ("MaE", 150, 59)]
    events = [
        {"event_uid": f"{p}{v}{kind}{start}", "video_uid": f"toy/{p}/{v}", "type": kind, "has_media": True}
        | {"onset": start + at + 1, "apex": start + at + length_ // 2, "offset": start + at + length_ + 1}
        for p, v in names
        for start in range(0, 0 if quiet else length - 250, 600)
        for kind, at, length_ in planted
    ]
    descriptor = {"dataset": "toy", "fix_policy": "none", "publishable": True, "remarks": []}
    return Manifest(descriptor, video_table(rows), event_table(events), Path("nowhere"))


def stored_scores(method: str, truth: list[Interval], length: int, rng: np.random.Generator) -> np.ndarray:
    """Return scores as a run of the method stores them: high around the truth, and here and there by chance."""
    if method in ("yap2022_3dcnn", "stsnet_sw"):
        steps = rng.standard_normal((length, 2)).cumsum(axis=0)
        curves = 0.15 + 0.1 * steps / np.sqrt(np.arange(1, length + 1))[:, None]
        for span in truth:
            height, middle = rng.uniform(0.3, 0.8), (span.onset + span.offset) // 2
            curves[span.onset : span.offset + 1, KINDS.index(span.kind)] += height
            curves[middle - 5 : middle + 4, KINDS.index("ME")] += 0.4  # seen as both
        curves = np.clip(curves, 0, 1) / (2 if method == "stsnet_sw" else 1)
        curves[:3] = np.nan
        return curves.astype(np.float32)
    found = [
        (s.kind, s.onset + d, s.offset + d, rng.uniform(0.1, 1))
        for s in truth
        for d in rng.integers(-4, 5, 3)
    ]
    found += [("ME", t, t + 10, rng.exponential(0.12)) for t in rng.integers(0, length - 15, length // 30)]
    found += [("ME", t, t + 8, 0.9) for t in range(300, 340, 13)]  # a mouth that talks
    rows = []
    for kind, onset, offset, height in found:
        onset, offset, height = max(0, int(onset)), min(length - 1, int(offset)), min(height, 1.0)
        number, middle = KINDS.index(kind), (onset + offset) // 2
        rows.append(
            {
                "zhang2020": (number, onset, middle, offset, 2.5 * height),
                "flow_peaks": (number, onset, middle, offset, 2.5 * height, 0, 300 <= onset < 340),
                "mesnet": (onset, offset, onset + 1, offset, height, rng.uniform(0, 1), 0),
                "i3d_bifpn": (onset, offset, number, height, 0),
            }[method]
        )
    columns = {"zhang2020": 5, "flow_peaks": 7, "mesnet": 7, "i3d_bifpn": 5}[method]
    return np.array(rows, dtype=np.float32).astype(np.float64).reshape(-1, columns)


def write_runs(
    reports: Path,
    method: str,
    people: int = 2,
    videos: int = 2,
    length: int = 600,
    quiet: bool = False,
    **changes,
) -> list[Path]:
    """Store a finished run of every fold of a method, spotted with `SETTINGS`; `changes` go into these."""
    manifest, rng = people_videos(people, videos, length, quiet=quiet), np.random.default_rng(7)
    module, settings = importlib.import_module(f"mespot_lib.methods.{method}"), SETTINGS[method] | changes
    folders = []
    for number, fold in enumerate(loso_folds(manifest)):
        scores = {uid: stored_scores(method, manifest.truth(uid), length, rng) for uid in fold.test}
        spotted = {uid: module.spot_stored(one, 30.0, settings) for uid, one in scores.items()}
        run = {"method": method, "dataset": "toy", "fold": fold.name, "profile": "quick", "seed": 0}
        folder = Path(reports) / "runs" / "toy" / method / f"{fold.name}-{number:012x}"
        runs.store_result(
            folder, manifest=manifest, spotted=spotted, scores=scores, settings={"spot": settings}, **run
        )
        path = folder / "result.json"
        rest = {"parameters": {}, "seconds": 1.0, "finished": "2020-01-01T00:00:00+00:00"}
        rest |= {"code_version": "a" * 12, "key": f"{number:012x}"}
        path.write_text(json.dumps(json.loads(path.read_text()) | rest))
        folders.append(folder)
    return folders
