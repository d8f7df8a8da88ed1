"""The readers of the unseen test sets: no truth, known and unknown ids, names that are assumed."""

import pytest
from trees import write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.megc_unseen import SETS
from mespot_lib.manifest import DatasetError, read_manifest, write_manifest
from mespot_lib.synthetic.layouts import WRITERS


def whole(layout, root):
    """Write every video of a set."""
    writer = WRITERS[layout]
    return write_tree(
        layout, root, subjects=len(writer.subjects), videos=writer.most_videos, frames=4, events=()
    )


@pytest.mark.parametrize(
    ("layout", "subjects", "videos", "fps"),
    [
        ("megc2022_cas", 5, 5, 30),
        ("megc2022_samm", 5, 5, 200),
        ("megc2023_cas", 4, 20, 30),
        ("megc2023_samm", 5, 10, 200),
    ],
)
def test_a_whole_set_has_its_videos_and_no_truth(layout, subjects, videos, fps, tmp_path):
    manifest = read_dataset(layout, whole(layout, tmp_path))
    counts = manifest.counts()
    assert (counts["subjects"], counts["videos"], counts["rows"]) == (subjects, videos, 0)
    assert set(manifest.videos["split"]) == {"unseen"}
    assert not manifest.videos["gt_available"].any()
    assert not manifest.videos["labelled"].any()
    assert manifest.video(manifest.uids[0]).fps == fps
    assert manifest.video(manifest.uids[-1]).frame_path(3).is_file()
    assert all(manifest.truth(uid) == [] for uid in manifest.uids)
    assert "folder_without_rows" not in set(manifest.repairs()["rule"])
    assert not list(tmp_path.rglob("*.xlsx"))
    write_manifest(manifest, tmp_path / "out")
    assert read_manifest(tmp_path / "out", tmp_path).digest() == manifest.digest()


def test_eighteen_of_twenty_ids_are_known(tmp_path):
    assert [len(unseen.ids) for unseen in SETS.values()] == [5, 5, 18, 10]
    assert set(SETS["megc2022_samm"].ids) < set(SETS["megc2023_samm"].ids)
    repairs = read_dataset("megc2023_cas", whole("megc2023_cas", tmp_path)).repairs()
    assert set(repairs["rule"]) == {"id_not_listed"}
    assert list(repairs["source"]) == ["wy_a1", "wy_d1"]


def test_absent_and_foreign_folders_are_listed(tmp_path):
    tree = whole("megc2022_samm", tmp_path)
    media = tree / "MEGC2022_testSet" / "SAMM_Test_cropped"
    (media / "004_3").rename(media / "landmarks")
    repairs = read_dataset("megc2022_samm", tree).repairs()
    assert dict(zip(repairs["source"], repairs["rule"], strict=True)) == {
        "landmarks": "folder_ignored",
        "004_3": "id_absent",
    }


@pytest.mark.parametrize("top", ["MEGC2023_testSet", "."])
def test_the_root_is_the_set_or_the_folder_above(tmp_path, top):
    tree = whole("megc2023_samm", tmp_path)
    assert len(read_dataset("megc2023_samm", tree / top).uids) == 10


def test_the_ending_aligned_is_no_part_of_an_id(tmp_path):
    tree = whole("megc2023_cas", tmp_path)
    media = tree / "MEGC2023_testSet" / "CAS_data"
    expected = read_dataset("megc2023_cas", tree).uids
    for folder in list(media.iterdir()):
        folder.rename(folder.with_name(f"{folder.name}_aligned"))
    assert read_dataset("megc2023_cas", tree).uids == expected
    (media / "wy_f1_aligned").rename(media / "wy-f1")
    assert "megc2023_cas/wy/wy_f1" in read_dataset("megc2023_cas", tree, aliases={"wy-f1": "wy_f1"}).uids


def test_what_is_assumed_can_be_told(tmp_path):
    tree = whole("megc2023_cas", tmp_path)
    media = tree / "MEGC2023_testSet" / "CAS_data"
    media.rename(tree / "clips")
    with pytest.raises(
        DatasetError, match="the root of megc2023_cas holds CAS_data or MEGC2023_testSet/CAS_data"
    ):
        read_dataset("megc2023_cas", tree)
    manifest = read_dataset("megc2023_cas", tree, media="clips", fps=25.0, frame_no_base="absolute")
    assert (manifest.descriptor["fps"], manifest.descriptor["frame_numbering"]) == (25.0, "absolute")
    assert manifest.descriptor["subset"] == "clips"


def test_numbers_that_begin_at_0(tmp_path):
    tree = whole("megc2022_cas", tmp_path)
    folder = tree / "MEGC2022_testSet" / "CAS_Test_cropped" / "sub02"
    for number in range(1, 5):
        (folder / f"{number}.jpg").rename(folder / f"{number - 1}.jpg")
    manifest = read_dataset("megc2022_cas", tree)
    assert set(manifest.videos["frame_no_base"]) == {"rel0"}
    assert manifest.video("megc2022_cas/sub02/sub02").frame_no(0) == 0


def test_a_folder_without_videos(tmp_path):
    (tmp_path / "CAS_data").mkdir()
    with pytest.raises(DatasetError, match="no folder with frames is called like dzw_a1"):
        read_dataset("megc2023_cas", tmp_path)
