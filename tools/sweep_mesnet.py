"""MESNet on all folds, and what its parts are worth: trains, and writes what notebook 30 reads.

    .venv/bin/python tools/sweep_mesnet.py folds                   # every fold of both default sets, half an hour
    .venv/bin/python tools/sweep_mesnet.py parts "as printed"      # variants, two minutes each
    .venv/bin/python tools/sweep_mesnet.py write                   # the files, of what there is

    build/mesnet/*.npz                           proposals of one fold or variant, so that a run can be taken up again
    reports/reference/mesnet_proposals.npz       proposals of all held-out people, with the thresholds of each fold
    reports/reference/mesnet_ablations.csv       variants

Folds hold out one person each. Variants are compared more cheaply: the people are dealt into three parts, and each is
spotted by a network that has learnt from the other two, with thresholds chosen on the other two. All share seed, size
and number of batches, and differ from "repaired" in what their name says. All scores are of synthetic data.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.manifest import Manifest, loso_folds
from mespot_lib.methods import mesnet
from mespot_lib.methods.mesnet import MesNetConfig
from mespot_lib.places import repository_root
from mespot_lib.proposals import (
    PRINTED,
    STAGES,
    Limits,
    Proposals,
    Stage,
    choose_limits,
    read_proposals,
    spot_proposals,
    write_proposals,
)
from mespot_lib.train import subject_parts

DATASETS = ("synthetic_casme2", "synthetic_samm_lv")
STORE = repository_root() / "build" / "mesnet"
REFERENCE = repository_root() / "reports" / "reference"
COLUMNS = (
    "dataset",
    "seed",
    "variant",
    "stage",
    "limits",
    "spotted",
    "tp",
    "fp",
    "fn",
    "precision",
    "recall",
)
COLUMNS += ("f1", "find", "right", "f1_mesnet", "chance")

VARIANTS: dict[str, Callable[[MesNetConfig], MesNetConfig]] = {
    "repaired": lambda c: c,
    "as printed": lambda c: c.as_printed(),
    "without pre-training": lambda c: replace(c, pretraining=False),
    "CRN shares the temporal convolutions": lambda c: replace(c, shared=True),
    "flow between neighbours": lambda c: replace(c, flow=replace(c.flow, key_s=0.0), input="as_printed"),
    "no batch normalisation": lambda c: replace(c, batch_norm=False),
    "no augmentation": lambda c: replace(
        c, flip=0.0, gain=(1.0, 1.0), shift=0.0, turn_deg=0.0, stretch=(1.0, 1.0), disguised=0.0
    ),
    "no disguises": lambda c: replace(c, disguised=0.0),
    "CRN sees the proposal alone": lambda c: replace(c, context=0.0),
}


def both_stages(
    judged: Mapping[str, Proposals], manifest: Manifest, config: MesNetConfig
) -> dict[Stage, Limits]:
    """Choose the thresholds of both stages on proposals whose truth may be seen."""
    if config.limits == "printed":
        return dict.fromkeys(STAGES, PRINTED)
    truth = {uid: manifest.truth(uid) for uid in judged}
    return {stage: choose_limits(judged, truth, stage) for stage in STAGES}


def run_fold(dataset: str, fold: str, seed: int) -> None:
    """Hold out one person."""
    manifest, config = load_dataset(dataset), MesNetConfig.quick()
    (held_out,) = [one for one in loso_folds(manifest) if one.name == fold]
    fitted = mesnet.fit(manifest.only(held_out.train), config, seed, progress=False)
    limits = both_stages(fitted.judged, manifest, config)
    found = {uid: fitted.score(manifest.video(uid)) for uid in held_out.test}
    STORE.mkdir(parents=True, exist_ok=True)
    write_proposals(STORE / f"fold {dataset} {fold} {seed}.npz", found, dict.fromkeys(found, limits))


def run_parts(dataset: str, variant: str, seed: int) -> None:
    """Spot each third of the people with a network that has learnt from the others."""
    manifest, config = load_dataset(dataset), VARIANTS[variant](MesNetConfig.quick())
    found: dict[str, Proposals] = {}
    limits: dict[str, dict[Stage, Limits]] = {}
    parts = subject_parts(manifest, 3, seed)
    if config.split == "subjects":
        found = mesnet.fit(manifest, config, seed, progress=False).judged
        for part in parts:
            others = {uid: one for uid, one in found.items() if uid not in part}
            limits |= dict.fromkeys(part, both_stages(others, manifest, config))
    else:
        for part in parts:
            learnt = manifest.only(uid for uid in manifest.uids if uid not in part)
            fitted = mesnet.fit(learnt, config, seed, progress=False)
            found |= {uid: fitted.score(manifest.video(uid)) for uid in part}
            limits |= dict.fromkeys(part, both_stages(fitted.judged, manifest, config))
    STORE.mkdir(parents=True, exist_ok=True)
    write_proposals(STORE / f"parts {dataset} {variant} {seed}.npz", found, limits)


def row(manifest: Manifest, found: Mapping[str, Proposals], limits, stage: Stage) -> dict:
    """Return the figures of one stage."""
    spotted = {uid: spot_proposals(one, limits[uid][stage], stage) for uid, one in found.items()}
    truth = metrics.of_part({uid: manifest.truth(uid) for uid in found}, "ME")
    counts, printed = metrics.score(truth, spotted).ME, metrics.score(truth, spotted, profile="mesnet").ME
    lengths = {uid: manifest.video(uid).length for uid in found}
    chance = metrics.chance(spotted, truth, lengths)["ME"]
    used = sorted({tuple(of[stage]) for of in limits.values()})
    return {
        "stage": stage,
        "limits": "; ".join(" ".join(f"{value:g}" for value in one) for one in used),
        "spotted": counts.tp + counts.fp,
        **{name: getattr(counts, name) for name in ("tp", "fp", "fn")},
        **{name: f"{getattr(counts, name):.4f}" for name in ("precision", "recall", "f1")},
        "find": printed.tp,
        "right": printed.right,
        "f1_mesnet": f"{printed.f1:.4f}",
        "chance": f"{chance.f1:.4f}",
    }


def write() -> None:
    """Write the files that notebook 30 reads."""
    rows = []
    for path in sorted(STORE.glob("parts *.npz")):
        dataset, rest = path.stem.removeprefix("parts ").split(" ", 1)
        variant, seed = rest.rsplit(" ", 1)
        found, limits = read_proposals(path)
        head = {"dataset": dataset, "seed": seed, "variant": variant}
        rows += [head | row(load_dataset(dataset), found, limits, stage) for stage in STAGES]
    rows.sort(key=lambda one: (one["dataset"], one["seed"], list(VARIANTS).index(one["variant"])))
    with (REFERENCE / "mesnet_ablations.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    folds = [read_proposals(path) for path in sorted(STORE.glob("fold *.npz"))]
    found = {uid: one for each, _ in folds for uid, one in each.items()}
    limits = {uid: one for _, each in folds for uid, one in each.items()}
    if found:
        write_proposals(REFERENCE / "mesnet_proposals.npz", found, limits)


def folds_to_do(datasets: Iterable[str], seed: int) -> list[tuple[str, str]]:
    """Return the folds that have no file yet."""
    every = [(dataset, one.name) for dataset in datasets for one in loso_folds(load_dataset(dataset))]
    return [pair for pair in every if not (STORE / f"fold {pair[0]} {pair[1]} {seed}.npz").is_file()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("folds", "parts", "write"))
    parser.add_argument("variants", nargs="*", metavar="variant", help=", ".join(VARIANTS))
    parser.add_argument("--datasets", nargs="*", default=list(DATASETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=1000, help="folds in this run, at most")
    chosen = parser.parse_args()
    if chosen.what == "folds":
        for dataset, fold in folds_to_do(chosen.datasets, chosen.seed)[: chosen.most]:
            run_fold(dataset, fold, chosen.seed)
            print(dataset, fold, flush=True)
    if chosen.what == "parts":
        for variant in chosen.variants or VARIANTS:
            for dataset in chosen.datasets:
                if not (STORE / f"parts {dataset} {variant} {chosen.seed}.npz").is_file():
                    run_parts(dataset, variant, chosen.seed)
                    print(dataset, variant, flush=True)
    write()


if __name__ == "__main__":
    main()
