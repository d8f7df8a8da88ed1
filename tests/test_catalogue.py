"""The catalogue: descriptors, where data is looked for, and what is said when it is not there."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from trees import write_tree

from mespot_lib import places
from mespot_lib.catalogue import counts_text, dataset_root, expected_counts, load_dataset, read_folder
from mespot_lib.datasets import LAYOUTS
from mespot_lib.datasets.build import SYNTHETIC_MARKER, dataset_facts, described_datasets
from mespot_lib.datasets.fixes import POLICIES
from mespot_lib.manifest import DatasetError, read_manifest
from mespot_lib.synthetic.write import generator, synthetic_config

SYNTHETIC = ("synthetic_casme2", "synthetic_samm_lv")
COMMITTED = sorted(
    path.parent.name for path in (places.repository_root() / "data_manifests").glob("*/dataset.json")
)


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """An empty data folder, and no word from the environment about any dataset."""
    monkeypatch.setenv("MESPOT_DATA", str(tmp_path / "data"))
    for name in described_datasets():
        monkeypatch.delenv(f"MESPOT_{name.upper()}", raising=False)
    return tmp_path / "data"


@pytest.mark.parametrize("name", described_datasets())
def test_every_descriptor_keeps_its_schema_and_names_known_things(name):
    facts = dataset_facts(name)
    assert facts["name"] == name
    assert facts["layout"] in LAYOUTS
    assert facts["fix_policy"] in POLICIES
    assert facts["synthetic"] == name.startswith("synthetic_")
    if facts["synthetic"]:
        config = synthetic_config(name)
        assert (config.name, config.layout, config.fps) == (name, facts["layout"], facts["fps"])
    else:
        assert facts["citation"]
        assert not facts["licence"]["redistribution"]


def test_a_broken_descriptor_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "data_manifests"
    folder.mkdir()
    original = places.repository_root() / "data_manifests"
    (folder / "descriptor.schema.json").write_text((original / "descriptor.schema.json").read_text())
    facts = json.loads((original / "casme2.json").read_text()) | {"fps": "thirty"}
    (folder / "casme2.json").write_text(json.dumps(facts))
    monkeypatch.setattr(places, "repository_root", lambda: tmp_path)
    with pytest.raises(DatasetError, match=r"casme2\.json, \$\.fps: 'thirty' is not of type 'number'"):
        dataset_facts("casme2")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        DatasetError, match=r"'casme3d' is unknown; described are casme2, .*samm_lv, .*synthetic_casme2"
    ):
        load_dataset("casme3d")


@pytest.mark.parametrize(("name", "link"), [("casme2", "casme.psych.ac.cn"), ("samm_lv", "M.Yap@mmu.ac.uk")])
def test_absent_licensed_data_says_where_it_goes_and_how_to_ask(data, name, link):
    with pytest.raises(DatasetError) as error:
        load_dataset(name)
    message = str(error.value)
    assert f"is not at {data / name}" in message
    assert f"MESPOT_{name.upper()}" in message
    assert link in message
    assert "xlsx" in message


def test_licensed_data_is_found_by_root_by_variable_and_in_the_data_folder(data, tmp_path, monkeypatch):
    tree = write_tree("casme2", tmp_path / "copy")
    digest = load_dataset("casme2", root=tree).digest()
    monkeypatch.setenv("MESPOT_CASME2", str(tree))
    assert dataset_root("casme2") == tree
    assert load_dataset("casme2").digest() == digest
    monkeypatch.delenv("MESPOT_CASME2")
    data.mkdir()
    tree.rename(data / "casme2")
    assert load_dataset("casme2").digest() == digest


def test_the_policy_is_the_descriptors_unless_another_is_asked(tmp_path):
    tree = write_tree("samm_lv", tmp_path)
    assert load_dataset("samm_lv", root=tree).descriptor["fix_policy"] == "official_baseline"
    assert load_dataset("samm_lv", root=tree, policy="strict").descriptor["fix_policy"] == "strict"


def test_drawn_data_never_passes_for_recorded_data(tmp_path):
    tree = write_tree("casme2", tmp_path)
    (tree / SYNTHETIC_MARKER).touch()
    with pytest.raises(DatasetError, match="has the marker"):
        load_dataset("casme2", root=tree)
    assert read_folder("casme2", tree).descriptor["dataset"] == "synthetic_casme2"


def test_synthetic_data_is_drawn_on_first_use_and_only_then(data):
    name = "synthetic_casme2_smoke"
    with pytest.raises(DatasetError, match=f"not drawn yet, or out of date; run `mespot synth {name}`"):
        load_dataset(name, draw=False)
    first = load_dataset(name)
    assert first.root == data / name
    made = (first.root / SYNTHETIC_MARKER).stat().st_mtime_ns
    assert load_dataset(name).digest() == load_dataset(name, draw=False).digest() == first.digest()
    assert (first.root / SYNTHETIC_MARKER).stat().st_mtime_ns == made
    assert {uid.split("/")[0] for uid in first.uids} == {name}


def test_counts_are_compared_with_the_published_ones(tmp_path):
    manifest = load_dataset("casme2", root=write_tree("casme2", tmp_path, subjects=22, videos=1, frames=32))
    table = expected_counts(manifest).set_index("count")
    assert table.loc["subjects", "agrees"]
    assert table.loc["videos", ["found", "expected"]].tolist() == [22, "87 or 95 or 97 or 98"]
    assert not table.loc["videos", "agrees"]
    assert table["agrees"].isna()["frames"]
    assert table.loc["half_window_ME", "expected"] == "6"
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in counts_text(manifest).splitlines()}
    assert lines["subjects"] == ["22", "as known: 22"]
    assert lines["videos"] == ["22", "NOT as known: 87, 95, 97, 98"]
    assert lines["frames"] == ["704"]
    whole = replace(manifest, videos=pd.concat([manifest.videos] * 4, ignore_index=True)[:87])
    assert "one of the known 87, 95, 97, 98" in counts_text(whole)


# ------------------------------------------------------------------------------------------------ committed manifests


def test_every_drawn_dataset_has_a_committed_manifest():
    drawn = {name for name in described_datasets() if dataset_facts(name)["synthetic"]}
    assert set(COMMITTED) == {name for name in drawn if not name.endswith("_smoke")}


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_manifests_are_of_the_present_generator(name, data):
    manifest = read_manifest(places.repository_root() / "data_manifests" / name, data / name)
    current = generator(synthetic_config(name))
    assert manifest.descriptor["generator"] == {
        key: current[key] for key in ("name", "version", "seed", "config")
    }
    counts = manifest.counts()
    if name in SYNTHETIC:
        assert counts["subjects"] == 6
        assert counts["ME"] + counts["MaE"] >= (60 if name == "synthetic_casme2" else 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMITTED)
def test_a_fresh_drawing_has_the_committed_manifest(name):
    committed = read_manifest(places.repository_root() / "data_manifests" / name, "unused")
    assert load_dataset(name).digest() == committed.digest()


@pytest.mark.slow
def test_a_tree_of_full_size_is_read_in_seconds(tmp_path):
    import time
    import tracemalloc

    tree = write_tree("casme2", tmp_path, subjects=22, videos=5, frames=32)
    folders = sorted((tree / "rawpic").glob("*/*"))[:98]
    for folder in folders:
        for number in range(33, 2593):
            (folder / f"img{number:03d}.jpg").touch()
    started = time.perf_counter()
    tracemalloc.start()
    manifest = load_dataset("casme2", root=tree)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert manifest.counts()["frames"] > 254_000
    assert time.perf_counter() - started < 20
    assert peak < 100 * 2**20
