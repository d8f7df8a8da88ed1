"""What each choice of STSNet_SW is worth: trains variants and writes reports/reference/stsnet_sw_*.csv.

    .venv/bin/python tools/ablate_stsnet.py variants                   # 2 folds of the drawn 30 fps set, 15 minutes
    .venv/bin/python tools/ablate_stsnet.py variants --folds 6 --parts 3 --only repaired "as printed"
    .venv/bin/python tools/ablate_stsnet.py stills                     # the second training: how many people it needs
    .venv/bin/python tools/ablate_stsnet.py leak                       # the evaluation of the public code

What a file already has, with the same dataset, folds and seed, is not trained again. All variants share folds, seed,
size and number of batches, and differ from "repaired" in what their name says.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.manifest import Manifest, loso_folds
from mespot_lib.methods import stsnet_sw as sts
from mespot_lib.methods.stsnet_sw import StsNet, StsNetConfig, WindowSamples
from mespot_lib.places import repository_root
from mespot_lib.train import train

SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
FILES = {
    "variants": (
        "stsnet_sw_ablations.csv",
        ("dataset", "folds", "parts", "seed", "variant", "post", *SCORES),
    ),
    "stills": (
        "stsnet_sw_stills.csv",
        ("input", "people", "longer", "seed", "accuracy", "neutral", "expressions", "loss"),
    ),
    "leak": (
        "stsnet_sw_leak.csv",
        ("dataset", "folds", "parts", "seed", "input", "step", "tp", "fp", "fn", "f1"),
    ),
}
# from the honest evaluation to that of the public code, one step at a time
STEPS = (
    "honest: intervals of people never seen",
    "windows counted",
    "epoch chosen on the test windows",
    "key frames by the true label",
    "people on both sides",
)
# ways from labels to intervals; the first with the printed decision, the others with the fitted one
POSTS = {
    "argmax": {"decision": "argmax", "post": "raw"},
    "raw": {"post": "raw"},
    "merging": {"post": "merging"},
    "duration": {"post": "duration"},
}
VARIANTS: dict[str, Callable[[StsNetConfig], StsNetConfig]] = {
    "repaired": lambda c: c,
    "as printed": lambda c: c.as_printed(),
    "faces as printed": lambda c: replace(c, input="as_printed"),
    "no stills": lambda c: replace(c, pretrain=None),
    "equation (4) as printed": lambda c: replace(c, attention="as_printed"),
    "attention off": lambda c: replace(c, attention="off"),
    "no key frames": lambda c: replace(c, attention="none"),
    "frames 0.1 s apart": lambda c: replace(c, spacing_s=0.1),
    "M = 1": lambda c: replace(c, key_frames=1),
    "M = 5 = K": lambda c: replace(c, key_frames=5),
    "K = 9, M = 5": lambda c: replace(c, window=9, key_frames=5),
    "windows as they come": lambda c: replace(c, shares=None),
    "faces as printed, 3 x longer": lambda c: replace(
        c, input="as_printed", train=replace(c.train, epochs=3 * c.train.epochs)
    ),
    # as many batches as with 200
    "stills of 25 people": lambda c: replace(
        c, stills=replace(c.stills, people=25), pretrain=replace(c.pretrain, epochs=8 * c.pretrain.epochs)
    ),
}


# --- variants -------------------------------------------------------------------------------------------------------


def of_variant(manifest: Manifest, config: StsNetConfig, folds: int, seed: int) -> list[dict]:
    """Return one row per way of post-processing and kind; the networks are the same for all ways."""
    spotted: dict[str, dict] = {post: {} for post in POSTS}
    for fold in loso_folds(manifest)[:folds]:
        learnt = manifest.only(fold.train)
        fitted = sts.fit(learnt, config, seed, progress=False)
        scores = {uid: fitted.score(manifest.video(uid)) for uid in fold.test}
        for post, found in spotted.items():
            form = replace(config, **{"decision": "fitted"} | POSTS[post])
            weights = sts.choose_weights(fitted.judged, {uid: learnt.truth(uid) for uid in learnt.uids}, form)
            found |= {uid: sts.spot_labels(curves, weights, form) for uid, curves in scores.items()}
    seen = manifest.only(spotted["raw"])
    truth = {uid: seen.truth(uid) for uid in seen.uids}
    return [{"post": post} | row for post in POSTS for row in summary(truth, spotted[post], facts_of(seen))]


# --- stills ---------------------------------------------------------------------------------------------------------


def of_stills(form: str, people: int, longer: int, seed: int) -> list[dict]:
    """Return how well expressions are told apart on people never seen, after training on some drawn people.

    The number of batches is the same whatever the number of people, half that of the notebook; `longer` multiplies it.
    """
    config = StsNetConfig.quick(input=form)
    stills = sts.expression_stills(config, progress=False)
    order = np.random.default_rng([seed, 6]).permutation(len(stills.rest))
    apart = sts.StillSamples(stills, config, order[:20])
    samples = sts.StillSamples(stills, config, order[20 : 20 + people])
    epochs = config.pretrain.epochs / 2 * longer * (len(order) - 20) / people
    loop = replace(config.pretrain, epochs=round(epochs))
    model = sts.StillNet(sts.untrained(config, seed).trunk)
    done = train(model, samples, sts.cross_entropy, loop, seed, progress=False)
    (images,), labels = apart.batch(np.arange(len(apart)), None)
    with torch.inference_mode():
        called = done.model(images).argmax(dim=1)
    kinds = {"accuracy": slice(None), "neutral": labels == 0, "expressions": labels > 0}
    right = {name: round(float((called == labels)[rows].float().mean()), 4) for name, rows in kinds.items()}
    return [right | {"loss": round(done.history[-1]["loss"], 4)}]


# --- the evaluation of the public code ------------------------------------------------------------------------------


def of_leak(manifest: Manifest, config: StsNetConfig, folds: int, seed: int) -> list[dict]:
    """Return F1 step by step, from the honest evaluation to that of the public code; each step keeps those before."""
    spotted, counts = {}, {name: np.zeros(3, dtype=int) for name in STEPS[1:]}
    for fold in loso_folds(manifest)[:folds]:
        learnt, held_out = manifest.only(fold.train), manifest.only(fold.test)
        fitted = sts.fit(learnt, config, seed, progress=False)
        spotted |= {uid: fitted.spot(fitted.score(manifest.video(uid))) for uid in fold.test}
        windows = WindowSamples(held_out, config, every=2)
        counts["windows counted"] += window_counts(fitted.models, windows)
        chosen = trained(WindowSamples(learnt, config), windows, config, seed)
        counts["epoch chosen on the test windows"] += window_counts([chosen], windows)
        counts["key frames by the true label"] += window_counts([chosen], windows, by_label=True)
        some, others = at_random(WindowSamples(manifest, config), len(fold.test) / len(manifest.uids), seed)
        chosen = trained(others, some, config, seed)
        counts["people on both sides"] += window_counts([chosen], some, by_label=True)
    seen = manifest.only(spotted)
    honest = summary({uid: seen.truth(uid) for uid in seen.uids}, spotted, facts_of(seen))[-1]
    rows = [{"step": STEPS[0]} | {name: honest[name] for name in ("tp", "fp", "fn", "f1")}]
    for step, (tp, fp, fn) in counts.items():
        rows.append({"step": step, "tp": tp, "fp": fp, "fn": fn, "f1": round(2 * tp / (2 * tp + fp + fn), 4)})
    return rows


def trained(samples: WindowSamples, judge: WindowSamples, config: StsNetConfig, seed: int) -> StsNet:
    """Return a network whose epoch is chosen on `judge`, which an honest training never sees."""
    model = sts.untrained(config, seed)
    model.trunk.load_state_dict(sts.pretrained_trunk(config, 0, progress=False).state_dict())
    return train(
        model, samples, sts.cross_entropy, config.train, seed, validation=judge, progress=False
    ).model


def at_random(samples: WindowSamples, share: float, seed: int) -> tuple[WindowSamples, WindowSamples]:
    """Deal windows, not people, into two: a share of them, as many with expression as without, and the rest."""
    shuffled = np.random.default_rng([seed, 7]).permutation(len(samples))
    some, rest = np.split(shuffled, [round(share * len(samples))])
    expressive = some[samples.labels[some] > 0]
    neutral = some[samples.labels[some] == 0][: len(expressive)]
    return samples.rows(np.concatenate([expressive, neutral])), samples.rows(rest)


def window_counts(models: Sequence[StsNet], samples: WindowSamples, by_label: bool = False) -> np.ndarray:
    """Return TP, FP, FN of windows called ME or MaE, each for itself, added up.

    by_label : key frames of a window with expression are the strongest of the network's own scores, those of one
        without are the weakest: which of the two lists counts depends on the true label, as in the public code.
    """
    counts = np.zeros(3, dtype=int)
    for index in np.array_split(np.arange(len(samples)), len(samples) // 256 + 1):
        (images,), labels = samples.batch(index, None)
        with torch.inference_mode():
            called = sum(_logits(model, images, labels if by_label else None) for model in models).argmax(
                dim=1
            )
        for kind in (1, 2):
            right, said, true = called == labels, called == kind, labels == kind
            counts += [int((right & true).sum()), int((said & ~true).sum()), int((true & ~said).sum())]
    return counts


def _logits(model: StsNet, images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    if labels is None:
        return model(images)
    maps = model.trunk(images.flatten(0, 1)[:, None]).unflatten(0, images.shape[:2])
    scores = model.keys(sts.summarised(maps))
    lists = sts.strongest(scores, model.key_frames), sts.strongest(-scores, model.key_frames)
    return model.of_maps(maps, torch.where(labels[:, None] > 0, *lists))


# --- files ----------------------------------------------------------------------------------------------------------


def blocks(chosen: argparse.Namespace) -> Iterator[tuple[dict, Callable[[], list[dict]]]]:
    """Yield what each block of rows is about, and the function that makes the rows."""
    if chosen.study == "stills":
        for people, longer in ((180, 1), (20, 1), (60, 1), (180, 3)):
            for form in ("difference", "as_printed"):
                about = {"input": form, "people": people, "longer": longer, "seed": chosen.seed}
                yield about, lambda f=form, p=people, n=longer: of_stills(f, p, n, chosen.seed)
        return
    manifest = load_dataset(chosen.dataset)
    about = {name: getattr(chosen, name) for name in ("dataset", "folds", "parts", "seed")}
    if chosen.study == "leak":
        for form in ("difference", "as_printed"):
            config = StsNetConfig.quick(input=form, parts=chosen.parts)
            yield about | {"input": form}, lambda c=config: of_leak(manifest, c, chosen.folds, chosen.seed)
        return
    for name in chosen.only:
        config = VARIANTS[name](StsNetConfig.quick(parts=chosen.parts))
        yield about | {"variant": name}, lambda c=config: of_variant(manifest, c, chosen.folds, chosen.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=list(FILES))
    parser.add_argument("--dataset", default="synthetic_casme2")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--parts", type=int, default=2, help="networks of a fold; the notebook has 3")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin nothing after so many")
    chosen = parser.parse_args()
    name, columns = FILES[chosen.study]
    path, started = repository_root() / "reports/reference" / name, time.monotonic()
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline=""))) if path.is_file() else []
    for about, make in blocks(chosen):
        about = {key: str(value) for key, value in about.items()}
        if any(row | about == row for row in rows):
            continue
        if time.monotonic() - started > 60 * chosen.minutes:
            break
        rows += [about | row for row in make()]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(*about.values(), rows[-1].get("f1", rows[-1].get("accuracy")), flush=True)


if __name__ == "__main__":
    main()
