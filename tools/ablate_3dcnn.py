"""What each choice of the 3D-CNN is worth: trains variants and writes reports/reference/yap2022_3dcnn_ablations.csv.

    .venv/bin/python tools/ablate_3dcnn.py                    # all folds of the drawn 30 fps set, half an hour
    .venv/bin/python tools/ablate_3dcnn.py --folds 2 --seed 1 # some folds
    .venv/bin/python tools/ablate_3dcnn.py --only repaired "raw pairs"
    .venv/bin/python tools/ablate_3dcnn.py --curves           # reports/reference/yap2022_3dcnn_curves.csv, two minutes

Variants that the file already has, with the same dataset, folds and seed, are not trained again. All share folds, seed,
size and number of batches, and differ from "repaired" in what their name says. Training is a third of that of the
notebook: what is compared are the rows with each other.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.manifest import Manifest, loso_folds
from mespot_lib.methods import yap2022_3dcnn as yap
from mespot_lib.methods.yap2022_3dcnn import Yap3dCnnConfig
from mespot_lib.places import repository_root

SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
COLUMNS = ("dataset", "folds", "seed", "variant", *SCORES)

VARIANTS: dict[str, Callable[[Yap3dCnnConfig], Yap3dCnnConfig]] = {
    "repaired": lambda c: c,
    "as printed": lambda c: c.as_printed(),
    "raw pairs": lambda c: replace(c, input="as_printed"),
    "mean and difference": lambda c: replace(c, input="mean_difference"),
    "faces aligned frame by frame": lambda c: replace(c, crops=replace(c.crops, align="detected")),
    "without local contrast": lambda c: replace(c, lcn=False),
    "averages of 4 x 4 regions": lambda c: replace(c, regions=4),
    "equal skips": lambda c: replace(c, oriented=False),
    "reference after the frame": lambda c: replace(c, reference="future"),
    "weighted loss": lambda c: replace(c, loss="weighted", shares=None),
    "plain loss": lambda c: replace(c, shares=None),
    "printed loss": lambda c: replace(c, loss="as_printed", shares=None),
}


def measure(manifest: Manifest, config: Yap3dCnnConfig, folds: int, seed: int) -> list[dict]:
    """Return one row per kind and one overall, pooled over the first folds."""
    spotted = leave_one_subject_out(manifest, lambda train: yap.fit(train, config, seed), folds)
    seen = manifest.only(spotted)
    return summary({uid: seen.truth(uid) for uid in spotted}, spotted, facts_of(seen))


def learning_curves(manifest: Manifest, seed: int) -> list[dict]:
    """Return the losses of each epoch of the networks of notebook 20, fed with raw pairs and with differences."""
    fold = loso_folds(manifest)[0]
    same = {"dataset": manifest.descriptor["dataset"], "fold": fold.name, "seed": seed}
    rows = []
    for name in ("raw pairs", "repaired"):
        fitted = yap.fit(manifest.only(fold.train), VARIANTS[name](Yap3dCnnConfig.quick()), seed)
        for network, training in enumerate(fitted.trainings, start=1):
            rows += [
                same
                | {"input": fitted.config.input, "network": network, "epoch": epoch["epoch"] + 1}
                | {side: round(epoch[side], 4) for side in ("loss", "validation")}
                for epoch in training.history
            ]
    return rows


def write_rows(path: Path, rows: list[dict], columns: Sequence[str]) -> None:
    """Write a table of one or more rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="synthetic_casme2")
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument(
        "--curves", action="store_true", help="losses per epoch of one fold, and nothing else"
    )
    chosen = parser.parse_args()
    reference = repository_root() / "reports/reference"
    manifest = load_dataset(chosen.dataset)
    if chosen.curves:
        curves = learning_curves(manifest, chosen.seed)
        write_rows(reference / "yap2022_3dcnn_curves.csv", curves, list(curves[0]))
        return
    path = reference / "yap2022_3dcnn_ablations.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline=""))) if path.is_file() else []
    same = {"dataset": chosen.dataset, "folds": str(chosen.folds), "seed": str(chosen.seed)}
    for name in chosen.only:
        if any(row | same | {"variant": name} == row for row in rows):
            continue
        quick = Yap3dCnnConfig.quick(parts=2)
        shorter = replace(quick, train=replace(quick.train, batches_per_epoch=50))
        config = VARIANTS[name](shorter)
        rows += [
            same | {"variant": name} | row for row in measure(manifest, config, chosen.folds, chosen.seed)
        ]
        write_rows(path, rows, COLUMNS)
        print(name, rows[-1]["f1"], flush=True)


if __name__ == "__main__":
    main()
