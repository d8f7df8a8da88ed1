"""The catalogue of faults: every reader names every planted fault, under every policy, and nothing else."""

import functools
import itertools
import shutil
from collections import Counter

import pytest
from trees import write_tree

from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.build import SYNTHETIC_MARKER
from mespot_lib.datasets.fixes import POLICIES
from mespot_lib.manifest import DatasetError
from mespot_lib.synthetic.layouts import WRITERS, faults
from mespot_lib.synthetic.layouts.faults import FAULTS, faults_of, plant, write_blank_tree

CASES = [(layout, fault) for layout in WRITERS for fault in faults_of(layout)]
TURNS = itertools.cycle(("official_baseline", "raw", "lgsnet", "softnet", "strict", "slswin"))
COUNTED = ("rows", "videos", "without_media")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Return a function: layout -> a clean tree of it, and what each policy makes of it."""

    @functools.cache
    def tree(layout):
        root = write_blank_tree(layout, tmp_path_factory.mktemp(layout) / "tree", subjects=2, videos=1)
        return root, {policy: read_dataset(layout, root, policy) for policy in POLICIES}

    return tree


@pytest.fixture
def copied(clean, tmp_path):
    """Return a function: layout -> a copy of the clean tree, to be changed."""
    return lambda layout: shutil.copytree(clean(layout)[0], tmp_path / "tree")


def reported(manifest):
    """Return how often each (uid, rule) is reported; rows that move take their remarks along."""
    repairs = manifest.repairs()
    return Counter(zip(repairs["uid"].fillna(""), repairs["rule"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "fault"), CASES)
def test_every_planted_fault_is_named_and_nothing_else(clean, copied, layout, fault):
    check(layout, fault, copied(layout), clean(layout)[1])


@pytest.mark.parametrize(("layout", "fault", "policy"), [(*case, next(TURNS)) for case in CASES])
def test_planted_faults_under_one_policy_each(clean, copied, layout, fault, policy):
    check(layout, fault, copied(layout), {policy: clean(layout)[1][policy]})


def check(layout, fault, root, before):
    """Plant a fault into the tree at `root`; `before` is what each policy made of it."""
    planted = plant(layout, root, fault)
    assert (planted.fault, set(planted.reports)) == (fault, set(POLICIES))
    for policy, old in before.items():
        manifest = read_dataset(layout, root, policy)
        assert reported(old) <= reported(manifest), policy
        found = sorted((reported(manifest) - reported(old)).elements())
        rules = sorted(planted.reports[policy])
        if planted.rows > 1:  # a native row of several expressions: each is reported
            assert {uid.partition("#")[0] for uid, _rule in found} == {planted.uid.partition("#")[0]}
            rules = sorted(rules * planted.rows)
        else:
            assert {uid for uid, _rule in found} == ({planted.uid} if rules else set()), policy
        assert len(found) == len(rules), (policy, found)
        assert all(rule.startswith(wanted) for (_uid, rule), wanted in zip(found, rules, strict=True)), found
        more = {name: manifest.counts()[name] - old.counts()[name] for name in manifest.counts()}
        excluded = sum(rule.startswith("excluded") for rule in rules)
        assert {name: more[name] for name in COUNTED} == {name: getattr(planted, name) for name in COUNTED}
        assert (more["excluded"], more["ME"] + more["MaE"]) == (excluded, planted.rows - excluded), policy


def test_every_fault_is_explained_and_can_be_had():
    explained = faults.__doc__
    assert all(fault in explained for fault in FAULTS)
    assert {fault for _layout, fault in CASES} == set(FAULTS)
    assert "apex 0" not in faults_of("smic_e")
    assert set(faults_of("megc2022_cas")) == {"missing frames", "junk files", "damaged first frame"}


def test_harmless_faults_are_read_as_meant(copied, tmp_path):
    root = copied("samm_lv")
    planted = plant("samm_lv", root, "two-digit number")
    event = read_dataset("samm_lv", root).events.set_index("event_uid").loc[planted.uid]
    assert event["occurrence"] == 12
    planted = plant("samm_lv", root, "five-digit frames")
    video = read_dataset("samm_lv", root).video(planted.uid)
    assert (video.pad_width, video.frame_path(0).name) == (5, "006_1_00001.jpg")
    assert video.frame_path(9).is_file()


def test_the_tenth_column_is_the_duration(copied):
    root = copied("casme2")
    plant("casme2", root, "tenth column")
    events = read_dataset("casme2", root).events
    assert (events["duration_raw"].astype(int) == events["offset_raw"].astype(int) - events["onset"]).all()


@pytest.mark.parametrize("layout", ["casme3_a", "fourdme", "smic_e"])
def test_ids_in_other_case_mean_the_same_video(copied, clean, layout):
    root = copied(layout)
    uid = plant(layout, root, "other case").uid
    assert read_dataset(layout, root).truth(uid) == clean(layout)[1]["raw"].truth(uid)


def test_several_faults_add_up(copied, clean):
    root = copied("casme2")
    planted = [
        plant("casme2", root, fault) for fault in ("junk files", "event past the end", "duplicate row")
    ]
    more = reported(read_dataset("casme2", root)) - reported(clean("casme2")[1]["official_baseline"])
    assert more.total() == len(planted)
    assert {uid for uid, _rule in more} == {each.uid for each in planted}


def test_recorded_data_is_never_changed(tmp_path):
    root = write_tree("casme2", tmp_path / "recorded", subjects=1, videos=1)
    with pytest.raises(DatasetError, match=f"into drawn data only, and there is no {SYNTHETIC_MARKER}"):
        plant("casme2", root, "junk files")


def test_a_fault_that_the_layout_cannot_have_is_refused(copied):
    with pytest.raises(DatasetError, match="layout smic_e has no fault 'apex 0'; it has offset 0, "):
        plant("smic_e", copied("smic_e"), "apex 0")
