"""The optimiser loop of every learned method.

    samples -> batches by index -> loss -> weights        one epoch after the other, judged on other people's samples

    trained = train(model, samples, loss, TrainConfig(epochs=20), seed, validation=others, folder=checkpoints)

Samples are drawn by index, a batch at a time, from whatever holds them (arrays mapped from disk, say), so a data set
larger than memory trains. All chance comes from the seed, the epoch and the batch: no generator is carried from one
epoch to the next, so a training that was killed and is started again ends with the bits of one that was not. That
holds for one number of threads (sums of floats depend on it).

Checkpoints are safetensors with JSON beside them; reading one executes nothing.

    <folder>/epoch-0007.safetensors     weights, best weights so far, state of the optimiser
    <folder>/epoch-0007.json            what they belong to, loss curves, digest of the other file
"""

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils import deterministic

from mespot_lib.interval import KINDS
from mespot_lib.manifest import Manifest

if TYPE_CHECKING:
    from tqdm import tqdm
Loss = Callable[[Any, Any], Tensor]


class TrainError(ValueError):
    """A training that cannot start, go on or be taken up again."""


class Samples(Protocol):
    """What `train` draws its batches from."""

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Return the samples of one epoch in the order of their use, (N,) int64; rare ones may come more than once."""

    def batch(self, index: np.ndarray, rng: np.random.Generator | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the arguments of the model and the targets of some samples; `rng` None means: nothing at random."""

    def __len__(self) -> int:
        """Return how many samples there are."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the loop.

    epochs, batch_size : as in the papers; batches_per_epoch : at most so many, None for all that `order` gives
    learning_rate, weight_decay, momentum (of sgd)
    schedule : "constant", "cosine" (down to 0) or "one_cycle" (up over the first fifth, then cosine down)
    clip_norm : longest gradient, None for no limit
    patience : stop after so many epochs without a better validation, None to go on; the best epoch is returned anyway
    device : "auto" (CUDA, else MPS, else CPU) or a name torch knows
    mixed_precision : half precision where it helps, which is on CUDA alone
    """

    epochs: int
    batch_size: int
    learning_rate: float
    batches_per_epoch: int | None = None
    weight_decay: float = 0.0
    momentum: float = 0.9
    optimiser: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    clip_norm: float | None = None
    patience: int | None = None
    device: str = "auto"
    mixed_precision: bool = True


Model = TypeVar("Model", bound=nn.Module)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Trained(Generic[Model]):
    """A trained model, on the CPU and in evaluation mode, with its loss curves.

    history : per epoch `epoch` (from 0), `loss`, `validation` (None without), `learning_rate` (at its end), `seconds`
    best_epoch : the one whose weights the model has: of the lowest validation, else the last
    """

    model: Model
    history: tuple[dict[str, Any], ...]
    best_epoch: int


# ---------------------------------------------------------------------------------------------------------------------
# Surroundings


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    TrainError
        If the device is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TrainError(f"no device {name!r} here: {str(error).splitlines()[0]}") from None
    return device


@contextlib.contextmanager
def seeded(*words: int) -> Iterator[None]:
    """Draw torch's chance from these numbers inside the block, and leave its generators outside as they were."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1))
        yield


def subject_parts(manifest: Manifest, parts: int, seed: int, draws: int = 300) -> list[tuple[str, ...]]:
    """Deal the subjects into `parts` groups with about equally many ME and MaE; return the uids of each group.

    For validation inside the training subjects: no subject is in two groups. Of many random deals the evenest is taken.

    Raises
    ------
    TrainError
        If there are fewer subjects than parts.
    """
    subjects = manifest.subjects
    if not 1 <= parts <= len(subjects):
        raise TrainError(
            f"{manifest.descriptor['dataset']}: {len(subjects)} subjects cannot be dealt into {parts} parts"
        )
    owner = {uid: subjects.index(manifest.video(uid).subject) for uid in manifest.uids}
    load = np.zeros((len(subjects), 1 + len(KINDS)))  # per subject: itself, its ME, its MaE
    load[:, 0] = 1
    for uid, subject in owner.items():
        for span in manifest.truth(uid):
            load[subject, 1 + KINDS.index(span.kind)] += 1
    share = load / np.maximum(load.sum(axis=0), 1)
    rng = np.random.default_rng([seed, 1])
    even = np.arange(len(subjects)) % parts
    deals = [rng.permutation(even) for _ in range(draws)]
    unevenness = [sum(np.ptp([share[deal == p].sum(axis=0) for p in range(parts)], axis=0)) for deal in deals]
    best = deals[int(np.argmin(unevenness))]
    return [tuple(uid for uid in manifest.uids if best[owner[uid]] == part) for part in range(parts)]


def parted(manifest: Manifest, part: Sequence[str]) -> tuple[Manifest, Manifest]:
    """Return the videos that are not in a part, to learn from, and those that are, to judge by.

    part : uids, as `subject_parts` deals them; if these are all there are, they are on both sides.

    Raises
    ------
    TrainError
        If a subject has videos on both sides.
    """
    inside, apart = set(part), manifest.only(part)
    if len(inside) == len(manifest.uids):
        return apart, apart
    others = manifest.only(uid for uid in manifest.uids if uid not in inside)
    if shared := set(others.subjects) & set(apart.subjects):
        raise TrainError(f"on both sides: subject {', '.join(sorted(shared))}")
    return others, apart


def side_by_side(
    work: Callable[..., Result],
    calls: Sequence[Sequence[Any]],
    *,
    device: str = "auto",
    progress: bool | None = None,
    title: str = "networks",
) -> list[Result]:
    """Return ``work(*call, progress)`` of every call, in order; on a CPU each in a process of its own, of one thread.

    So the networks, which know nothing of each other, fill the cores, where the threads of numpy and torch in one
    process get in each other's way; and they come out the same bit for bit as one after the other in one thread. They
    are trained in turn on a GPU, and where one CPU is all there is or may be used (`LOKY_MAX_CPU_COUNT=1`, which the
    runs of a sweep are given).

    work : a function at the top of a module; it and its arguments must be picklable.
    progress : show a bar on stderr, of each training or of the networks done; None shows it on terminals only.
    """
    import joblib
    from joblib.externals.loky import get_reusable_executor

    if len(calls) < 2 or joblib.cpu_count() < 2 or choose_device(device).type != "cpu":
        return [work(*call, progress) for call in calls]
    jobs = [joblib.delayed(work)(*call, False) for call in calls]
    # three networks on two cores end sooner all at once than two and then one
    at_once = min(len(calls), 2 * joblib.cpu_count())
    done = []
    try:
        with (
            joblib.parallel_config("loky", inner_max_num_threads=1),
            _bar(len(calls), 0, title, progress) as bar,
        ):
            for one in joblib.Parallel(at_once, return_as="generator", max_nbytes=None)(jobs):
                done.append(one)
                bar.update()
    finally:  # a process that has torch and waits holds memory for nothing
        get_reusable_executor(reuse=True).shutdown()
    return done


# ---------------------------------------------------------------------------------------------------------------------
# The loop


def train(
    model: Model,
    samples: Samples,
    loss: Loss,
    config: TrainConfig,
    seed: int,
    *,
    validation: Samples | None = None,
    folder: str | Path | None = None,
    progress: bool | None = None,
    title: str = "training",
) -> Trained[Model]:
    """Train a model and return it with the weights of its best epoch.

    Parameters
    ----------
    model : called with the first part of a batch; its weights at the start belong to the result.
    samples, validation : to learn from, and to judge an epoch by (mean loss, nothing at random). Both of training
        subjects: the caller holds nothing else.
    loss : of (output, targets), a mean over the batch; sees single precision whatever the model computes in.
    folder : of checkpoints; one that holds some of the same training takes it up after its last full epoch.
    progress : show a bar on stderr; None shows it on terminals only.

    Raises
    ------
    TrainError
        If there are no samples, a loss is not finite, or `folder` holds checkpoints of another training.
    """
    if not len(samples):
        raise TrainError(f"{title}: there are no samples")
    device = choose_device(config.device)
    model.to(device)
    store = None if folder is None else _Checkpoints(Path(folder), _purpose(model, samples, config, seed))
    run = _Run(model, config, device)
    if store is not None and (found := store.newest(device)) is not None:
        run.restore(*found)
    with _bar(config.epochs, len(run.history), title, progress) as bar, _deterministic():
        while not run.finished():
            started = time.perf_counter()
            mean = run.epoch(samples, loss, seed)
            judged = None if validation is None else mean_loss(model, validation, loss, config)
            _refuse_infinite(title, len(run.history), mean, judged)
            run.record(mean, judged, time.perf_counter() - started)
            if store is not None:
                store.write(run)
            bar.set_postfix(loss=f"{mean:.3g}", **({} if judged is None else {"val": f"{judged:.3g}"}))
            bar.update()
    model.load_state_dict(run.best)
    return Trained(model.to("cpu").eval(), tuple(run.history), run.best_epoch)


@torch.no_grad()
def mean_loss(model: nn.Module, samples: Samples, loss: Loss, config: TrainConfig) -> float:
    """Return the mean loss over all samples, each once, without augmentation."""
    device = next(model.parameters()).device
    model.eval()
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(samples), config.batch_size):
        index = np.arange(start, min(start + config.batch_size, len(samples)))
        total += len(index) * _forward(model, samples, index, None, loss, device, config).double().cpu()
    return float(total) / len(samples)


class _Run:
    """What changes during a training: weights, optimiser, curves."""

    def __init__(self, model: nn.Module, config: TrainConfig, device: torch.device):
        self.model, self.config, self.device = model, config, device
        self.optimiser = _optimiser(model, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=_half(config, device))
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1

    def finished(self) -> bool:
        """Tell whether all epochs are done, or as many without improvement as patience allows."""
        done, patience = len(self.history), self.config.patience
        waited = done - 1 - self.best_epoch
        return done >= self.config.epochs or (done > 0 and patience is not None and waited >= patience)

    def epoch(self, samples: Samples, loss: Loss, seed: int) -> float:
        """Go through the samples once and return their mean loss."""
        config, number = self.config, len(self.history)
        batches = _batches(samples.order(np.random.default_rng([seed, 2, number])), config)
        if not batches:
            raise TrainError("the order of the samples is empty")
        self.model.train()
        total, count = torch.zeros((), dtype=torch.float64), 0
        with seeded(seed, 3, number):
            for at, index in enumerate(batches):
                self._set_rate((number + at / len(batches)) / config.epochs)
                rng = np.random.default_rng([seed, 4, number, at])
                value = _forward(self.model, samples, index, rng, loss, self.device, config)
                self._step(value)
                total += len(index) * value.detach().double().cpu()
                count += len(index)
        return float(total) / count

    def _set_rate(self, share: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rate_factor(self.config.schedule, share)

    def _step(self, value: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(value).backward()
        if self.config.clip_norm is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def record(self, mean: float, judged: float | None, seconds: float) -> None:
        """Note an epoch, and keep its weights if it is the best so far."""
        before = [e["validation"] for e in self.history[self.best_epoch : self.best_epoch + 1]]
        rate = self.optimiser.param_groups[0]["lr"]
        self.history.append(
            {"epoch": len(self.history), "loss": mean, "validation": judged, "learning_rate": rate}
            | {"seconds": round(seconds, 2)}
        )
        if judged is None or not before or judged < before[0]:
            self.best_epoch = len(self.history) - 1
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return all that a checkpoint needs as tensors by name."""
        found = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        found |= {f"best.{name}": value for name, value in self.best.items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            found |= {
                f"optimiser.{number}.{name}": value for name, value in state.items() if value is not None
            }
        return found

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a checkpoint."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.model.load_state_dict(parts["model"])
        self.best, self.best_epoch = parts["best"], record["best_epoch"]
        self.history = list(record["history"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.scaler.load_state_dict(record["scaler"])


def rate_factor(schedule: str, share: float) -> float:
    """Return the learning rate at a share (0..1) of the training, as a part of the highest."""
    if schedule == "constant":
        return 1.0
    rise = 0.2 if schedule == "one_cycle" else 0.0
    if share < rise:
        return 0.04 + 0.96 * share / rise
    return 0.5 + 0.5 * math.cos(math.pi * (share - rise) / (1 - rise))


def _forward(
    model: nn.Module,
    samples: Samples,
    index: np.ndarray,
    rng: np.random.Generator | None,
    loss: Loss,
    device: torch.device,
    config: TrainConfig,
) -> Tensor:
    inputs, targets = samples.batch(index, rng)
    there = [value.to(device, non_blocking=True) for value in inputs]
    with torch.autocast(device.type, dtype=torch.float16, enabled=_half(config, device)):
        output = model(*there)
    return loss(_single(output), targets.to(device, non_blocking=True))


def _single(output: Any) -> Any:
    return tuple(map(_single, output)) if isinstance(output, tuple) else output.float()


def _half(config: TrainConfig, device: torch.device) -> bool:
    return config.mixed_precision and device.type == "cuda"


def _batches(order: np.ndarray, config: TrainConfig) -> list[np.ndarray]:
    """Cut an order into whole batches; a last short one is left out, as its statistics would be poor, unless alone."""
    size = min(config.batch_size, len(order))
    count = len(order) // size if size else 0
    if config.batches_per_epoch is not None:
        count = min(count, config.batches_per_epoch)
    return [order[i * size : (i + 1) * size] for i in range(count)]


def _optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.requires_grad]
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            weights, config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    # all weights of a step in one call
    return torch.optim.AdamW(weights, config.learning_rate, weight_decay=config.weight_decay, fused=True)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    switches: Any = deterministic  # whose types do not know this one
    strict, filled = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA's sums are not repeatable
    torch.use_deterministic_algorithms(True, warn_only=True)
    switches.fill_uninitialized_memory = False  # nothing is read that has not been written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        switches.fill_uninitialized_memory = filled


def _bar(epochs: int, done: int, title: str, progress: bool | None) -> "tqdm":
    from tqdm import tqdm

    return tqdm(
        total=epochs,
        initial=done,
        desc=title,
        unit="epoch",
        disable=None if progress is None else not progress,
    )


def _refuse_infinite(title: str, epoch: int, *losses: float | None) -> None:
    if not all(value is None or math.isfinite(value) for value in losses):
        raise TrainError(f"{title}: the loss of epoch {epoch} is not finite; try a lower learning_rate")


# ---------------------------------------------------------------------------------------------------------------------
# Files


def save_weights(path: str | Path, model: nn.Module, record: Mapping[str, Any]) -> None:
    """Write a model's weights to `path` (.safetensors) and a record of plain values to `.json` beside it."""
    _write(Path(path), model.state_dict(), record)


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Fill a model with stored weights and return the record beside them; nothing is unpickled.

    Raises
    ------
    TrainError
        If a file is missing or damaged, or the weights are of another model.
    """
    try:
        tensors, record = _read(Path(path))
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise TrainError(f"{path}: weights of another model: {reason[:200]}") from None
    return record


def _purpose(model: nn.Module, samples: Samples, config: TrainConfig, seed: int) -> dict[str, Any]:
    """Return what a checkpoint belongs to: settings, seed, amount of samples, weights at the start."""
    settings = {name: value for name, value in asdict(config).items() if name != "device"}
    return {
        "config": settings,
        "seed": seed,
        "samples": len(samples),
        "start": _digest_of(model.state_dict()),
    }


def _digest_of(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name].detach().cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]


class _Checkpoints:
    """The checkpoints of one training in a folder; only the newest is kept."""

    def __init__(self, folder: Path, purpose: Mapping[str, Any]):
        self.folder, self.purpose = folder, purpose

    def newest(self, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return tensors and record of the newest whole checkpoint, None without one.

        Damaged and half-written ones are passed over.
        """
        for path in sorted(self.folder.glob("epoch-*.safetensors"), reverse=True):
            try:
                tensors, record = _read(path, device)
            except TrainError:
                continue
            odd = [name for name in self.purpose if record.get("of", {}).get(name) != self.purpose[name]]
            if odd:
                raise TrainError(
                    f"{self.folder} holds checkpoints of another training ({', '.join(odd)} differ); "
                    "choose another folder, or remove them"
                )
            return tensors, record
        return None

    def write(self, run: _Run) -> None:
        """Store the state after an epoch, then remove the older ones."""
        record = {"of": self.purpose, "best_epoch": run.best_epoch, "history": run.history}
        path = self.folder / f"epoch-{len(run.history) - 1:04d}.safetensors"
        _write(path, run.tensors(), record | {"scaler": run.scaler.state_dict()})
        for old in self.folder.glob("epoch-*.*"):
            if old.stem != path.stem:
                old.unlink(missing_ok=True)


def _write(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write both files under temporary names and rename them; the JSON, which vouches for the other, comes last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.tmp")
    # copies, because tensors that share memory are refused
    save_file({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, part)
    text = json.dumps({**record, "digest": _file_digest(part)}, indent=1, allow_nan=False)
    os.replace(part, path)
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, path.with_suffix(".json"))


def _read(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    beside = path.with_suffix(".json")
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        if not path.is_file() or record["digest"] != _file_digest(path):
            raise TrainError(
                f"{path} is missing, damaged, or not the file that {beside.name} was written for"
            )
        return load_file(path, device=str(device)), record
    except TrainError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise TrainError(f"{path} or {beside.name} cannot be read: {error}") from None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
