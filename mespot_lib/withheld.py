"""What was drawn in the stand-ins of the challenges' unseen sets: to score by, after spotting, and for nothing else.

The unseen sets of MEGC2022 and MEGC2023 have no public truth. Neither have their drawn stand-ins as far as readers and
methods can tell: a manifest of one has no events. What was drawn lies beside the frames in `truth.csv`, and this is the
only code that opens it.
"""

import pandas as pd

from mespot_lib.interval import Interval
from mespot_lib.manifest import DatasetError, Manifest

_COLUMNS = {"video_id": str, "kind": str, "onset": int, "apex": int, "offset": int}


def withheld_truth(manifest: Manifest) -> dict[str, list[Interval]]:
    """Return the drawn intervals of every video of a synthetic dataset, on the frame axis, in order of onset.

    Onset and offset are those that an annotator would have seen, as in the annotations of the drawn training sets.

    Raises
    ------
    mespot_lib.manifest.DatasetError
        If the dataset is not a drawn one, or its `truth.csv` is missing or does not fit its videos.
    """
    path = manifest.root / "truth.csv"
    if not manifest.descriptor.get("synthetic") or not path.is_file():
        raise DatasetError(f"{path}: not there; only drawn datasets come with a truth to score by")
    try:
        rows = pd.read_csv(path, usecols=list(_COLUMNS), dtype=_COLUMNS).to_dict("records")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: {error}") from None
    videos = {manifest.video(uid).video_id: uid for uid in manifest.uids}
    unknown = sorted({row["video_id"] for row in rows} - set(videos))
    if unknown:
        raise DatasetError(f"{path}: no such video in {manifest.descriptor['dataset']}: {', '.join(unknown)}")
    truth: dict[str, list[Interval]] = {uid: [] for uid in manifest.uids}
    for row in rows:
        video = manifest.video(videos[row["video_id"]])
        onset, apex, offset = (video.position(row[name]) for name in ("onset", "apex", "offset"))
        truth[video.uid].append(Interval(onset, offset, row["kind"], apex))
    return {uid: sorted(spans) for uid, spans in truth.items()}
