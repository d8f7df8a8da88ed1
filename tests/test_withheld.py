"""The truth of drawn unseen sets: equal to what labelled drawn sets are annotated with, and refused to all else."""

from dataclasses import replace

import pytest

from mespot_lib.datasets import read_dataset
from mespot_lib.manifest import DatasetError
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.write import draw_dataset
from mespot_lib.withheld import withheld_truth


@pytest.fixture(scope="module")
def labelled(drawn):
    """A drawn set that is annotated too."""
    return read_dataset("samm_lv", drawn("synthetic_samm_lv_smoke"))


def test_the_truth_is_what_an_annotated_drawing_says(labelled):
    found = withheld_truth(labelled)
    assert set(found) == set(labelled.uids)
    assert sum(map(len, found.values())) >= 4
    for uid, spans in found.items():
        places = [(s.onset, s.offset, s.kind) for s in spans]
        assert places == [(s.onset, s.offset, s.kind) for s in sorted(labelled.truth(uid))]


def test_an_unseen_set_has_no_events_but_a_withheld_truth(tmp_path):
    config = replace(
        SyntheticConfig.megc2022_cas(), subjects=1, seconds_per_video=6.0, fewest_mae_per_subject=0
    )
    draw_dataset(config, tmp_path / config.name, workers=1, progress=False)
    manifest = read_dataset("megc2022_cas", tmp_path / config.name)
    (uid,) = manifest.uids
    assert not manifest.truth(uid)
    (spans,) = withheld_truth(manifest).values()
    assert spans
    assert all(0 <= s.onset <= s.apex <= s.offset < manifest.video(uid).length for s in spans)


def test_other_datasets_and_damaged_files_are_refused(labelled, tmp_path):
    recorded = replace(labelled, descriptor=labelled.descriptor | {"synthetic": False})
    with pytest.raises(DatasetError, match="only drawn datasets"):
        withheld_truth(recorded)
    moved = replace(labelled, root=tmp_path)
    with pytest.raises(DatasetError, match="not there"):
        withheld_truth(moved)
    (tmp_path / "truth.csv").write_text("video_id,kind,onset,apex,offset\nx,ME,1,2,3\n")
    with pytest.raises(DatasetError, match=r"no such video in .*: x"):
        withheld_truth(moved)
    (tmp_path / "truth.csv").write_text("video_id,kind,onset\nx,ME,1\n")
    with pytest.raises(DatasetError, match=r"truth\.csv"):
        withheld_truth(moved)
    (tmp_path / "truth.csv").write_text("video_id,kind,onset,apex,offset\nx,ME,early,2,3\n")
    with pytest.raises(DatasetError, match=r"truth\.csv"):
        withheld_truth(moved)
