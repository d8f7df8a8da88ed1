"""What each part of MDMO with proposals is worth: trains variants and writes reports/reference/mdmo_ablations.csv.

    .venv/bin/python tools/ablate_mdmo.py                              # both drawn sets, all people, 40 minutes
    .venv/bin/python tools/ablate_mdmo.py --only training-free learned --minutes 8

What the file already has, with the same dataset and seed, is not trained again. All learned variants share folds, seed
and loop, and differ from "learned" in what their name says.
"""

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.methods import mdmo
from mespot_lib.methods.mdmo import MdmoConfig
from mespot_lib.places import repository_root

SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
COLUMNS = ("dataset", "seed", "variant", *SCORES)
DATASETS = ("synthetic_casme2", "synthetic_samm_lv")


def neighbours(config: MdmoConfig) -> MdmoConfig:
    """Return the same with flow between neighbouring frames, not since key frames."""
    return replace(config, motion=replace(config.motion, key_s=0.0))


FREE, LEARNED = MdmoConfig.peaks(), MdmoConfig.quick()
VARIANTS: dict[str, Callable[[], MdmoConfig]] = {
    "training-free": lambda: FREE,
    "training-free, head left in": lambda: replace(FREE, remove_head_motion=False),
    "training-free, flow between neighbours": lambda: neighbours(FREE),
    "learned": lambda: LEARNED,
    "learned, all as printed": lambda: LEARNED.as_printed(),
    # steps are a tenth of displacements, and so is what is added to them in training
    "learned, input as printed": lambda: replace(neighbours(LEARNED), input="as_printed", noise_u=0.01),
    "learned, head left in": lambda: replace(LEARNED, remove_head_motion=False),
    "learned, flow between neighbours": lambda: neighbours(LEARNED),
}


def scored(dataset: str, config: MdmoConfig, seed: int) -> list[dict]:
    """Return a row for ME, MaE and overall of all people, each spotted by what was fitted on the others."""
    manifest = load_dataset(dataset)
    spotted = leave_one_subject_out(manifest, lambda train: mdmo.fit(train, config, seed, progress=False))
    return summary({uid: manifest.truth(uid) for uid in manifest.uids}, spotted, facts_of(manifest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="*", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin nothing after so many")
    chosen = parser.parse_args()
    path, started = repository_root() / "reports/reference/mdmo_ablations.csv", time.monotonic()
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline=""))) if path.is_file() else []
    for variant in chosen.only:
        for dataset in chosen.datasets:
            about = {"dataset": dataset, "seed": str(chosen.seed), "variant": variant}
            if any(row | about == row for row in rows):
                continue
            if time.monotonic() - started > 60 * chosen.minutes:
                return
            rows += [about | row for row in scored(dataset, VARIANTS[variant](), chosen.seed)]
            order = list(VARIANTS)
            rows.sort(key=lambda row: (row["dataset"], int(row["seed"]), order.index(row["variant"])))
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            overall = next(r for r in rows if r | about == r and r["part"] == "overall")
            print(dataset, variant, overall["f1"], "chance", overall["chance"], flush=True)


if __name__ == "__main__":
    main()
