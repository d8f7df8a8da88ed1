"""A toy dataset without pictures and a tiny notebook that runs on it: for tests of runs, sweeps and reports."""

import contextlib
import json
import time
from pathlib import Path

from mespot_lib import runs
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, event_table, video_table

# Two subjects with two videos of 100 frames each; in the first video of each an ME at 10..19 and an MaE at 40..79.
MANIFEST = """
from pathlib import Path
from mespot_lib.manifest import Manifest, event_table, video_table

videos = [
    dict(video_uid=f"toy/{s}/{v}", dataset="toy", subject_id=s, video_id=v, rel_path=f"{s}/{v}", media="frames", fps=30,
         first_frame_no=1, last_frame_no=100, n_frames=100, labelled=True, synthetic=True)
    for s in ("s01", "s02") for v in ("v1", "v2")
]
events = [
    dict(event_uid=f"{s}{kind}", video_uid=f"toy/{s}/v1", type=kind, onset=onset + 1, apex=onset + 2, offset=offset + 1,
         has_media=True)
    for s in ("s01", "s02") for kind, onset, offset in (("ME", 10, 19), ("MaE", 40, 79))
]
descriptor = dict(dataset="toy", fix_policy="none", publishable=True, remarks=[])
manifest = Manifest(descriptor, video_table(videos), event_table(events), Path("nowhere"))
"""
PARAMETERS = """
dataset = "toy"
fold = "s01"
profile = "quick"
seed = 0
result_folder = ""
wait_s = 0.0
busy_s = 0.0
stumble = False
"""
METHOD = """
import time
import numpy as np
from mespot_lib.interval import Interval
from mespot_lib.runs import store_result

time.sleep(wait_s)
while time.process_time() < busy_s:  # of this process, its start included
    sum(range(1000))
assert not stumble, "stumbled on purpose"
spotted = {f"toy/{fold}/v1": [Interval(12, 20, "ME", 14, 0.7)], f"toy/{fold}/v2": [Interval(0, seed, "MaE")]}
scores = {uid: np.full((100, 2), seed) for uid in spotted}
store_result(result_folder, method="tiny", dataset=dataset, fold=fold, profile=profile, seed=seed, manifest=manifest,
             spotted=spotted, scores=scores, settings={"threshold": np.float32(0.5)})
"""


def people_manifest(people, events, length, fps=30.0):
    """A manifest of one video per person without pictures; events are (kind, onset, offset) on the frame axis."""
    videos = [
        {"video_uid": f"toy/{p}/v", "dataset": "toy", "subject_id": p, "video_id": "v", "rel_path": p}
        | {"media": "frames", "fps": fps, "first_frame_no": 1, "last_frame_no": length, "n_frames": length}
        | {"labelled": True, "synthetic": True}
        for p in people
    ]
    rows = [
        {"event_uid": f"{p}{onset}", "video_uid": f"toy/{p}/v", "type": kind, "has_media": True}
        | {"onset": onset + 1, "apex": (onset + offset) // 2 + 1, "offset": offset + 1}
        for p in people
        for kind, onset, offset in events
    ]
    descriptor = {"dataset": "toy", "fix_policy": "none", "publishable": True, "remarks": []}
    return Manifest(descriptor, video_table(videos), event_table(rows), Path("nowhere"))


def toy_manifest():
    names = {}
    exec(MANIFEST, names)
    return names["manifest"]


def store(folder, spotted=None, **changes):
    spotted = {"toy/s01/v1": [Interval(10, 19, "ME")], "toy/s01/v2": []} if spotted is None else spotted
    given = {"method": "tiny", "dataset": "toy", "fold": "s01", "profile": "quick", "seed": 0} | changes
    return runs.store_result(folder, manifest=toy_manifest(), spotted=spotted, **given)


def executing(partial):
    """Return whether a notebook under way has finished its last cell but one."""
    for path in partial.glob("*/*.ipynb"):
        with contextlib.suppress(json.JSONDecodeError):  # read while it is being written
            if json.loads(path.read_text())["cells"][-2]["execution_count"]:
                return True
    return False


def leftovers(reports):
    return list((reports / "runs" / ".partial").iterdir())


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("waited in vain")
