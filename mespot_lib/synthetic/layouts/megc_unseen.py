"""The layouts of the unseen test sets: frame folders and nothing else; what was drawn is in truth.csv alone.

Ids are those of the sets. Two clips of MEGC2023 whose ids are not known have made-up ones of the same form.
"""

from typing import Any

from mespot_lib.datasets import megc_unseen
from mespot_lib.synthetic.layouts.native import Writer

_MADE_UP = {"megc2023_cas": ("wy_a1", "wy_d1")}


def _writer(layout: str) -> Writer:
    unseen = megc_unseen.SETS[layout]
    ids: dict[str, list[str]] = {}
    for video_id in (*unseen.ids, *_MADE_UP.get(layout, ())):
        ids.setdefault(str(unseen.subject(video_id)), []).append(video_id)
    subjects = tuple(ids)
    samm = unseen.fps == 200

    def plan(subject: int, turn: int, frames: int) -> dict[str, Any]:
        videos = ids[subjects[subject]]
        video_id = videos[turn % len(videos)]
        return {
            "subject_id": subjects[subject],
            "video_id": video_id,
            "rel_path": f"{unseen.top}/{unseen.folder}/{video_id}",
            "frame_prefix": video_id if samm else "",
            "frame_sep": "_" if samm else "",
            "pad_width": 5 if samm else 0,
            "ext": ".jpg",
            "first_frame_no": 1,
        }

    return Writer(subjects, len(next(iter(ids.values()))), plan)


WRITERS = {layout: _writer(layout) for layout in megc_unseen.SETS}
