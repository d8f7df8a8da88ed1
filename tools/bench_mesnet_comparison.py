"""The methods that MESNet is compared with, on the drawn default sets: ME F1 of every setting.

    .venv/bin/python tools/bench_mesnet_comparison.py [dataset ...]     # reports/reference/mesnet_comparison.csv

`general`, `high_f1` and `megc2019` are printed thresholds; `fitted` are those of the other subjects, leave one subject
out, and so is what LTP-ML learns in every setting. Nothing is chosen on the subject that is scored. `chance` is the F1
of as many intervals of the same lengths at random places, matched as under `megc`. The features of the sets are
measured on first use, some 15 minutes on one core. All scores are of synthetic data.
"""

import argparse
import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.manifest import Manifest
from mespot_lib.methods import lbp_chi2, ltp_ml, mdmd
from mespot_lib.places import repository_root

TARGET = Path("reports/reference/mesnet_comparison.csv")
COLUMNS = ("dataset", "method", "setting", "profile", "tp", "fp", "fn", "precision", "recall", "f1", "chance")
DATASETS = ("synthetic_casme2", "synthetic_samm_lv")
PROFILES = ("megc", "mesnet")


def settings(dataset: str) -> Iterator[tuple[str, str, object, object]]:
    """Yield method, setting, the method's `fit` and its configuration."""
    differences, patterns, local = mdmd.MdmdConfig, lbp_chi2.LbpChi2Config, ltp_ml.LtpMlConfig
    yield "mdmd", "general", mdmd.fit, differences.general(dataset)
    yield "mdmd", "high_f1", mdmd.fit, differences.high_f1(dataset)
    yield "mdmd", "fitted", mdmd.fit, differences.general(dataset, p=None)
    yield "lbp_chi2", "general", lbp_chi2.fit, patterns.general(dataset)
    yield "lbp_chi2", "high_f1", lbp_chi2.fit, patterns.high_f1(dataset)
    yield "lbp_chi2", "megc2019", lbp_chi2.fit, patterns.megc2019(dataset)
    yield "lbp_chi2", "fitted", lbp_chi2.fit, patterns.general(dataset, p=None)
    yield "ltp_ml", "general", ltp_ml.fit, local.general(dataset)
    yield "ltp_ml", "high_f1", ltp_ml.fit, local.high_f1(dataset)
    yield "ltp_ml", "fitted", ltp_ml.fit, local.general(dataset, margin=None)


def rows(dataset: str, manifest: Manifest) -> Iterator[dict[str, object]]:
    """Yield the rows of a dataset, ME only."""
    truth = metrics.of_part({uid: manifest.truth(uid) for uid in manifest.uids}, "ME")
    lengths = {uid: manifest.video(uid).length for uid in manifest.uids}
    for method, setting, fit, config in settings(dataset):
        spotted = metrics.of_part(leave_one_subject_out(manifest, partial(fit, config=config)), "ME")
        chance = metrics.chance(spotted, truth, lengths)["ME"].f1
        for profile in PROFILES:
            counts = metrics.score(truth, spotted, profile=profile).ME
            ratios = {name: f"{getattr(counts, name):.4f}" for name in ("precision", "recall", "f1")}
            found = {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, **ratios, "chance": f"{chance:.4f}"}
            yield dict(zip(COLUMNS, (dataset, method, setting, profile), strict=False)) | found


def write_rows(datasets: list[str]) -> None:
    """Replace the rows of these datasets in the file."""
    target = repository_root() / TARGET
    kept = []
    if target.exists():
        with target.open(encoding="utf-8", newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["dataset"] not in datasets]
    found = [row for dataset in datasets for row in rows(dataset, load_dataset(dataset, draw=True))]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *found], key=lambda row: DATASETS.index(row["dataset"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=list(DATASETS))
    write_rows(parser.parse_args().datasets)


if __name__ == "__main__":
    main()
