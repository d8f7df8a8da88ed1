"""Presets, seeds and the number of expressions of the synthetic datasets."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.interval import KINDS
from mespot_lib.synthetic.chance import event_counts, identity_seed, stream, video_seed
from mespot_lib.synthetic.config import SyntheticConfig

PRESETS = (
    SyntheticConfig.casme2(),
    SyntheticConfig.samm_lv(),
    SyntheticConfig.casme2_smoke(),
    SyntheticConfig.samm_lv_smoke(),
    SyntheticConfig.still(),
    SyntheticConfig.hard(),
    SyntheticConfig.natural_rate(),
    SyntheticConfig.amplitude_sweep(2.0),
    SyntheticConfig.smic_e(),
    SyntheticConfig.fourdme(),
)


def total(config, kind):
    return sum(video[kind] for subject in event_counts(config) for video in subject)


def test_the_default_sets_are_rich_enough():
    casme2, samm_lv = SyntheticConfig.casme2(), SyntheticConfig.samm_lv()
    assert total(casme2, "ME") >= 28
    assert total(casme2, "ME") + total(casme2, "MaE") >= 75
    assert total(samm_lv, "ME") >= 14
    assert total(samm_lv, "ME") + total(samm_lv, "MaE") >= 36


@pytest.mark.parametrize("config", PRESETS[:4], ids=lambda config: config.name)
def test_every_subject_has_both_kinds(config):
    for subject in event_counts(config):
        assert all(sum(video[kind] for video in subject) >= 1 for kind in KINDS)


@pytest.mark.parametrize("config", PRESETS, ids=lambda config: config.name)
def test_totals_follow_the_rates(config):
    for kind, rate in (("ME", config.me_per_min), ("MaE", config.mae_per_min)):
        fewest = config.fewest_me_per_subject if kind == "ME" else config.fewest_mae_per_subject
        assert total(config, kind) == max(round(rate * config.minutes), fewest * config.subjects)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_totals_are_the_same_for_every_seed(seed):
    config = replace(SyntheticConfig.samm_lv(), seed=seed)
    assert total(config, "ME") == total(SyntheticConfig.samm_lv(), "ME")


def test_counts_are_spread_unevenly_over_subjects():
    counts = [
        sum(video["MaE"] for video in subject)
        for seed in range(20)
        for subject in event_counts(replace(SyntheticConfig.casme2(), seed=seed))
    ]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert variance > 1.3 * mean  # over-dispersed against Poisson, as the real sets are


def test_names_and_seeds_are_distinct():
    assert len({config.name for config in PRESETS}) == len(PRESETS)
    config = SyntheticConfig.casme2()
    seeds = {video_seed(config, subject, video) for subject in range(22) for video in range(10)}
    faces = {identity_seed(config, subject) for subject in range(22)}
    assert len(seeds) == 220
    assert len(faces) == 22
    assert not seeds & faces
    assert stream(1, "head").random() != stream(1, "events").random()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "casme9"}, "casme9"),
        ({"fps": 0.0}, "fps"),
        ({"subjects": 0}, "subjects"),
        ({"seconds_per_video": 2.0}, "seconds_per_video"),
        ({"width": 255}, "even"),
    ],
)
def test_impossible_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SyntheticConfig.casme2(), **change)


def test_too_many_expressions_for_the_length_are_refused():
    config = replace(SyntheticConfig.casme2(), seconds_per_video=6.0, mae_per_min=60.0)
    with pytest.raises(ValueError, match="too short"):
        event_counts(config)


@pytest.mark.parametrize("name", ["smic_e", "fourdme"])
def test_sets_of_micro_expressions_have_no_others(name):
    config = getattr(SyntheticConfig, name)()
    videos = [video for subject in event_counts(config) for video in subject]
    assert total(config, "MaE") == 0
    assert total(config, "ME") == 15
    assert max(video["ME"] for video in videos) <= 3  # what a row of SMIC-E has room for
    assert sum(video["ME"] > 0 for video in videos) >= 9


@pytest.mark.parametrize("half", ["cas", "samm"])
def test_the_unseen_set_of_2023_has_freer_heads_and_other_light_than_its_training_set(half):
    training = {"cas": SyntheticConfig.casme2(), "samm": SyntheticConfig.samm_lv()}[half]
    unseen = getattr(SyntheticConfig, f"megc2023_{half}")()
    for name in ("drift_u", "turn_rad", "roll_rad", "nods_per_min"):
        assert getattr(unseen, name) == getattr(SyntheticConfig.hard(), name) > 2 * getattr(training, name)
    assert unseen.flicker >= 4 * training.flicker
    assert unseen.me_amplitude_u == training.me_amplitude_u
