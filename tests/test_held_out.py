"""Who is spotted by what was fitted on whom."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mespot_lib.held_out import leave_one_subject_out, pairs, spot_across, trials
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, event_table, video_table


def manifest_of(dataset: str, subjects: str) -> Manifest:
    """Two videos for each letter."""
    rows = [
        {"video_uid": f"{dataset}/{s}/{n}", "dataset": dataset, "subject_id": s, "video_id": f"{s}_{n}"}
        | {"rel_path": f"{s}_{n}", "media": "frames", "fps": 30.0, "labelled": True, "synthetic": True}
        | {"first_frame_no": 1, "last_frame_no": 100, "n_frames": 100}
        for s in subjects
        for n in range(2)
    ]
    return Manifest({"dataset": dataset, "publishable": True}, video_table(rows), event_table([]), Path("."))


@dataclass
class Remembering:
    """A method that spots one interval whose length is the number of subjects it was fitted on."""

    seen: frozenset

    def score(self, video):
        assert video.subject not in self.seen, "scored by what was fitted on this very person"
        return video.uid

    def spot(self, scores):
        return [Interval(0, len(self.seen), "ME")]


def fit(train: Manifest) -> Remembering:
    return Remembering(frozenset(train.subjects))


def test_every_video_is_spotted_by_what_was_fitted_on_all_the_other_people():
    manifest = manifest_of("set", "abcd")
    spotted = leave_one_subject_out(manifest, fit)
    assert set(spotted) == set(manifest.uids)
    assert all(spans == [Interval(0, 3, "ME")] for spans in spotted.values())


def test_some_folds_only():
    manifest = manifest_of("set", "abcd")
    spotted = leave_one_subject_out(manifest, fit, folds=2)
    assert {manifest.video(uid).subject for uid in spotted} == {"a", "b"}


def test_another_dataset_is_spotted_by_what_was_fitted_on_the_whole_first():
    spotted = spot_across(manifest_of("one", "abc"), manifest_of("two", "xy"), fit)
    assert set(spotted) == set(manifest_of("two", "xy").uids)
    assert all(spans == [Interval(0, 3, "ME")] for spans in spotted.values())


def test_the_double_notices_a_leak():
    manifest = manifest_of("set", "ab")
    with pytest.raises(AssertionError, match="this very person"):
        leave_one_subject_out(manifest, lambda train: fit(manifest))


def test_every_pair_of_thresholds_is_tried_on_every_video():
    manifest, tried = manifest_of("set", "ab"), {"ME": (1.0, 2.0), "MaE": (3.0, 4.0, 5.0)}
    every = pairs(tried)
    assert [tuple(pair.values()) for pair in every] == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    assert all(tuple(pair) == ("ME", "MaE") for pair in every)
    heights = dict.fromkeys(manifest.uids, 4.5)
    found = trials(
        manifest, heights, tried, lambda height, pair: [Interval(0, 9, "MaE")] * (height >= pair["MaE"])
    )
    assert [score.overall.fp for score in found] == [4, 4, 0, 4, 4, 0]
    assert set(found[0].videos) == set(manifest.uids)
