"""The optimiser loop: it learns, it repeats itself, it survives being killed, and it keeps its files plain."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy import toy_manifest

from mespot_lib import places
from mespot_lib import train as training
from mespot_lib.train import (
    TrainConfig,
    TrainError,
    choose_device,
    parted,
    seeded,
    side_by_side,
    subject_parts,
    train,
)

CONFIG = TrainConfig(epochs=4, batch_size=8, learning_rate=0.03, schedule="one_cycle", device="cpu")


class Bumps:
    """Noisy half-cosines of two signs, kept as one array and drawn by index."""

    def __init__(self, count=64, seed=0, trace=None):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 2, count).astype(np.float32)
        course = np.sin(np.linspace(0, np.pi, 12))
        self.curves = np.where(self.labels[:, None] > 0, course, -course) + rng.normal(0, 0.8, (count, 12))
        self.trace = [] if trace is None else trace

    def __len__(self):
        return len(self.labels)

    def order(self, rng):
        return rng.permutation(len(self))

    def batch(self, index, rng):
        self.trace.append((index.copy(), rng is None))
        noise = 0 if rng is None else rng.normal(0, 0.1, (len(index), 12))
        curves = torch.from_numpy((self.curves[index] + noise).astype(np.float32))
        return (curves,), torch.from_numpy(self.labels[index])


def fresh_model(seed=0):
    """With batch statistics and dropout, whose chance must repeat too."""
    with seeded(seed):
        return nn.Sequential(
            nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1), nn.Flatten(0)
        )


def loss(output, target):
    return nn.functional.binary_cross_entropy_with_logits(output, target)


def run(config=CONFIG, seed=1, **named):
    return train(fresh_model(), Bumps(), loss, config, seed, progress=False, **named)


def bits(trained):
    curves = [(e["epoch"], e["loss"], e["validation"], e["learning_rate"]) for e in trained.history]
    return curves, {name: value.numpy().tobytes() for name, value in trained.model.state_dict().items()}


def test_the_loss_falls_and_the_curve_is_kept():
    trained = run(replace(CONFIG, epochs=20))
    losses = [entry["loss"] for entry in trained.history]
    assert len(losses) == 20
    assert losses[-1] < 0.4 * losses[0]
    assert not trained.model.training


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(optimiser):
    config = replace(CONFIG, optimiser=optimiser)
    assert bits(run(config)) == bits(run(config))
    assert bits(run(config)) != bits(run(config, seed=2))


def test_chance_outside_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run()
    assert torch.equal(torch.rand(3), expected)


def test_the_best_epoch_is_chosen_on_the_validation_samples():
    config = replace(CONFIG, epochs=25, learning_rate=0.1)
    trained = run(config, validation=Bumps(16, seed=9))
    judged = [entry["validation"] for entry in trained.history]
    assert trained.best_epoch == int(np.argmin(judged)) < 24
    again = training.mean_loss(trained.model, Bumps(16, seed=9), loss, config)
    assert again == pytest.approx(min(judged), abs=1e-6)


def test_patience_ends_a_training_that_no_longer_gets_better():
    config = replace(CONFIG, epochs=60, learning_rate=0.1, patience=3)
    trained = run(config, validation=Bumps(16, seed=9))
    assert len(trained.history) == trained.best_epoch + 1 + 3 < 60


def test_samples_are_drawn_a_batch_at_a_time():
    samples, others = Bumps(), Bumps(20, seed=9)
    train(fresh_model(), samples, loss, CONFIG, 1, validation=others, progress=False)
    assert max(len(index) for index, _ in samples.trace + others.trace) <= CONFIG.batch_size
    assert {still for _, still in samples.trace} == {False}
    assert {still for _, still in others.trace} == {True}
    first, second = (np.concatenate([index for index, _ in samples.trace[at : at + 8]]) for at in (0, 8))
    assert sorted(first) == sorted(second) == list(range(64))
    assert list(first) != list(second)


def test_an_epoch_may_be_cut_short():
    samples = Bumps()
    train(fresh_model(), samples, loss, replace(CONFIG, batches_per_epoch=3), 1, progress=False)
    assert len(samples.trace) == 4 * 3


class Killed(Exception):
    pass


class Stumbling(Bumps):
    """Raises in the middle of an epoch."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def batch(self, index, rng):
        if len(self.trace) == self.after:
            raise Killed
        return super().batch(index, rng)


@pytest.mark.parametrize("batches", [8, 12, 16, 29])  # between epochs and in their middle; an epoch has 8
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_an_interrupted_training_ends_with_the_bits_of_an_unbroken_one(tmp_path, batches, optimiser):
    config = replace(CONFIG, optimiser=optimiser)
    named = {"validation": Bumps(16, seed=9), "folder": tmp_path, "progress": False}
    with pytest.raises(Killed):
        train(fresh_model(), Stumbling(batches), loss, config, 1, **named)
    samples = Bumps()
    resumed = train(fresh_model(), samples, loss, config, 1, **named)
    assert bits(resumed) == bits(run(config, validation=Bumps(16, seed=9)))
    assert len(samples.trace) == 8 * (4 - batches // 8)  # what was done is not done again


def test_a_finished_training_is_only_read(tmp_path):
    first = run(folder=tmp_path)
    samples = Bumps()
    again = train(fresh_model(), samples, loss, CONFIG, 1, folder=tmp_path, progress=False)
    assert bits(again) == bits(first)
    assert not samples.trace


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_train
from mespot_lib.train import train

class Slow(test_train.Bumps):
    def batch(self, index, rng):
        time.sleep(0.03)
        return super().batch(index, rng)

train(test_train.fresh_model(), Slow(), test_train.loss, test_train.CONFIG, 1, folder=sys.argv[2], progress=False)
"""


def test_kill_9_in_the_middle_of_an_epoch_changes_nothing(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    here = os.path.dirname(__file__)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, here, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("epoch-000[1-9].json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    assert list(tmp_path.glob("epoch-000[12].json")), "the child ended before it was killed, or wrote nothing"
    assert bits(run(folder=tmp_path)) == bits(run())


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    with pytest.raises(Killed):
        train(fresh_model(), Stumbling(20), loss, CONFIG, 1, folder=tmp_path, progress=False)
    (newest,) = tmp_path.glob("*.safetensors")
    newest.write_bytes(newest.read_bytes()[:-7])
    assert bits(run(folder=tmp_path)) == bits(run())


@pytest.mark.parametrize("other", [{"seed": 2}, {"config": replace(CONFIG, learning_rate=0.01)}])
def test_checkpoints_of_another_training_are_refused(tmp_path, other):
    run(folder=tmp_path)
    with pytest.raises(TrainError, match="another training"):
        run(folder=tmp_path, **other)


def test_only_the_newest_checkpoint_is_kept_and_it_is_plain(tmp_path):
    run(folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0003.json", "epoch-0003.safetensors"]
    record = json.loads((tmp_path / "epoch-0003.json").read_text())
    assert [entry["epoch"] for entry in record["history"]] == [0, 1, 2, 3]


def test_weights_come_back(tmp_path):
    model = run().model
    training.save_weights(tmp_path / "net.safetensors", model, {"paper": "none", "sizes": [12, 8]})
    other = fresh_model(seed=3)
    assert training.load_weights(tmp_path / "net.safetensors", other)["sizes"] == [12, 8]
    for mine, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_weights_of_another_model_or_a_damaged_file_are_refused_in_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    training.save_weights(path, fresh_model(), {})
    with pytest.raises(TrainError, match="another model"):
        training.load_weights(path, nn.Linear(3, 3))
    path.write_bytes(b"pickle")
    with pytest.raises(TrainError, match="damaged") as error:
        training.load_weights(path, fresh_model())
    assert "\n" not in str(error.value)
    with pytest.raises(TrainError, match="cannot be read"):
        training.load_weights(tmp_path / "absent.safetensors", fresh_model())


def test_nothing_to_learn_from_and_a_diverging_loss_are_errors():
    with pytest.raises(TrainError, match="no samples"):
        train(fresh_model(), Bumps(0), loss, CONFIG, 1)
    with pytest.raises(TrainError, match="not finite"):
        train(fresh_model(), Bumps(), lambda output, target: output.mean() / 0, CONFIG, 1, progress=False)


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(TrainError, match="no device"):
        choose_device("abacus")


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["cosine", "one_cycle"]), st.floats(0, 1))
def test_learning_rates_stay_between_nothing_and_the_highest(schedule, share):
    assert 0 <= training.rate_factor(schedule, share) <= 1
    assert training.rate_factor(schedule, 1.0) == pytest.approx(0)


def test_parts_hold_whole_subjects():
    manifest = toy_manifest()
    parts = subject_parts(manifest, 2, seed=0)
    assert sorted(uid for part in parts for uid in part) == sorted(manifest.uids)
    assert [len({manifest.video(uid).subject for uid in part}) for part in parts] == [1, 1]
    with pytest.raises(TrainError, match="2 subjects"):
        subject_parts(manifest, 3, seed=0)


def test_no_subject_is_learnt_from_and_judged_by():
    manifest = toy_manifest()
    for part in subject_parts(manifest, 2, seed=0):
        others, apart = parted(manifest, part)
        assert not set(others.subjects) & set(apart.subjects)
        assert sorted(others.uids + apart.uids) == sorted(manifest.uids)
        assert list(apart.uids) == list(part)
    one_subject = [uid for uid in manifest.uids if manifest.video(uid).subject == manifest.subjects[0]]
    with pytest.raises(TrainError, match=f"both sides: subject {manifest.subjects[0]}"):
        parted(manifest, one_subject[:1])
    nobody, all_of_them = parted(manifest, ()), parted(manifest, manifest.uids)
    assert [list(side.uids) for side in nobody] == [list(manifest.uids), []]
    assert [list(side.uids) for side in all_of_them] == [list(manifest.uids)] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_half_precision_learns_too():
    trained = run(replace(CONFIG, epochs=20, device="cuda"))
    assert trained.history[-1]["loss"] < 0.6 * trained.history[0]["loss"]


# ---------------------------------------------------------------------------------------------------------------------
# Side by side


def trained_apart(seed, progress):
    found = train(fresh_model(), Bumps(), loss, CONFIG, seed, progress=progress)
    return bits(found), os.getpid(), torch.get_num_threads(), progress


def test_networks_side_by_side_are_those_in_turn(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    in_turn = side_by_side(trained_apart, [(1,), (2,)], device="cpu", progress=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    beside = side_by_side(trained_apart, [(1,), (2,)], device="cpu", progress=False)
    assert [one[0] for one in beside] == [one[0] for one in in_turn]
    assert in_turn[0][0] != in_turn[1][0]
    assert {one[1] for one in in_turn} == {os.getpid()}
    assert len({one[1] for one in beside} | {os.getpid()}) == 3
    assert {one[2] for one in beside} == {1}
    running = {child.pid for child in psutil.Process().children(recursive=True)}
    assert not running & {one[1] for one in beside}  # nobody is left behind


def test_what_goes_wrong_beside_is_told_here(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    with pytest.raises(TrainError, match="there are no samples"):
        side_by_side(nothing_to_learn, [(), ()], device="cpu", progress=False)


def nothing_to_learn(progress):
    train(fresh_model(), [], loss, CONFIG, 1, progress=progress)


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(
        "import operator\n"
        "from mespot_lib.train import side_by_side\n"
        "print(side_by_side(operator.add, [(1,), (2,), (3,)], device='cpu', progress=False))\n"
    )
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": "2", "PYTHONPATH": str(places.repository_root())}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\n"), done.stderr
