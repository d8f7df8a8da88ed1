"""I3D with BiFPN on all folds, and what its parts are worth: trains, and writes what notebook 50 reads.

    .venv/bin/python tools/ablate_bifpn.py folds                 # every fold of both default sets, forty minutes
    .venv/bin/python tools/ablate_bifpn.py parts "FPN" "RGB"     # variants, five minutes each
    .venv/bin/python tools/ablate_bifpn.py write                 # the files, of what there is

    build/i3d_bifpn/*.npz                          of one fold or variant, so that a run can be taken up again
    reports/reference/i3d_bifpn_detections.npz     what was found in all held-out people, with the limits of each fold
    reports/reference/i3d_bifpn_ablations.csv      variants, and all folds

Folds hold out one person each. Variants are compared more cheaply: the people are dealt into three parts, and each is
spotted by a network that has learnt from the other two, with limits chosen on the other two. All share seed, size and
number of batches, and differ from "BiFPN + SE, both streams" in what their name says. All scores are of synthetic data.
"""

import argparse
import csv
from collections.abc import Callable, Mapping
from dataclasses import replace

from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.manifest import Manifest, loso_folds
from mespot_lib.methods import i3d_bifpn as ib
from mespot_lib.methods.i3d_bifpn import Detections, I3dBiFpnConfig
from mespot_lib.places import repository_root
from mespot_lib.train import subject_parts

DATASETS = ("synthetic_casme2", "synthetic_samm_lv")
STORE = repository_root() / "build" / "i3d_bifpn"
REFERENCE = repository_root() / "reports" / "reference"
SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
COLUMNS = ("dataset", "seed", "protocol", "variant", *SCORES)

VARIANTS: dict[str, Callable[[I3dBiFpnConfig], I3dBiFpnConfig]] = {
    "BiFPN + SE, both streams": lambda c: c,
    "flow": lambda c: replace(c, streams="flow"),
    "RGB": lambda c: replace(c, streams="rgb"),
    "BiFPN": lambda c: replace(c, fusion="bifpn"),
    "PANet": lambda c: replace(c, fusion="panet"),
    "FPN": lambda c: replace(c, fusion="fpn"),
    "inputs as printed": lambda c: replace(c, input="as_printed"),
}


def run_fold(dataset: str, fold: str, seed: int) -> None:
    """Hold out one person."""
    manifest = load_dataset(dataset)
    (held_out,) = [one for one in loso_folds(manifest) if one.name == fold]
    fitted = ib.fit(manifest.only(held_out.train), I3dBiFpnConfig.quick(), seed, progress=False)
    found = {uid: fitted.score(manifest.video(uid)) for uid in held_out.test}
    _store(f"fold {dataset} {fold} {seed}", found, dict.fromkeys(found, fitted.limits))


def run_parts(dataset: str, variant: str, seed: int) -> None:
    """Spot each third of the people with a network that has learnt from the others."""
    manifest, config = load_dataset(dataset), VARIANTS[variant](I3dBiFpnConfig.quick(parts=3, judged=3))
    found = ib.judge(manifest, config, seed, progress=False)
    limits = {}
    for part in subject_parts(manifest, 3, seed):
        others = {uid: one for uid, one in found.items() if uid not in part}
        chosen = ib.choose_limits(others, {uid: manifest.truth(uid) for uid in others}, config.nms)
        limits |= dict.fromkeys(part, chosen)
    _store(f"parts {dataset} {variant} {seed}", found, limits)


def _store(name: str, found: Mapping[str, Detections], limits: Mapping[str, tuple[float, float]]) -> None:
    STORE.mkdir(parents=True, exist_ok=True)
    ib.write_detections(STORE / f"{name}.npz", found, limits)
    print(name, flush=True)


def measure(
    manifest: Manifest, found: Mapping[str, Detections], limits: Mapping[str, tuple[float, float]]
) -> list[dict]:
    """Return one row per kind and one overall."""
    nms = I3dBiFpnConfig.quick().nms
    spotted = {uid: ib.spot_above(one, limits[uid], nms) for uid, one in found.items()}
    seen = manifest.only(spotted)
    return summary({uid: seen.truth(uid) for uid in spotted}, spotted, facts_of(seen))


def write(seed: int) -> None:
    """Write the files that notebook 50 reads."""
    rows, every, limits_of_every = [], {}, {}
    for dataset in DATASETS:
        manifest = load_dataset(dataset)
        for variant in VARIANTS:
            path = STORE / f"parts {dataset} {variant} {seed}.npz"
            if path.is_file():
                head = {"dataset": dataset, "seed": seed, "protocol": "3 parts", "variant": variant}
                rows += [head | row for row in measure(manifest, *ib.read_detections(path))]
        folds = [STORE / f"fold {dataset} {one.name} {seed}.npz" for one in loso_folds(manifest)]
        read = [ib.read_detections(path) for path in folds if path.is_file()]
        found = {uid: one for each, _ in read for uid, one in each.items()}
        limits = {uid: pair for _, each in read for uid, pair in each.items()}
        if found:
            head = {"dataset": dataset, "seed": seed, "protocol": f"{len(read)} of {len(folds)} folds"}
            rows += [head | {"variant": "quick"} | row for row in measure(manifest, found, limits)]
        every, limits_of_every = every | found, limits_of_every | limits
    with (REFERENCE / "i3d_bifpn_ablations.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    if every:
        ib.write_detections(REFERENCE / "i3d_bifpn_detections.npz", every, limits_of_every)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("folds", "parts", "write"))
    parser.add_argument("variants", nargs="*", metavar="variant", help=", ".join(VARIANTS))
    parser.add_argument("--datasets", nargs="*", default=list(DATASETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=1000, help="trainings in this run, at most")
    chosen = parser.parse_args()
    todo: list[tuple[Callable[[str, str, int], None], str, str, str]] = []
    for dataset in chosen.datasets:
        if chosen.what == "folds":
            names = [one.name for one in loso_folds(load_dataset(dataset))]
            todo += [(run_fold, f"fold {dataset} {name}", dataset, name) for name in names]
        if chosen.what == "parts":
            todo += [(run_parts, f"parts {dataset} {v}", dataset, v) for v in chosen.variants or VARIANTS]
    left = [one for one in todo if not (STORE / f"{one[1]} {chosen.seed}.npz").is_file()]
    for run, _, dataset, name in left[: chosen.most]:
        run(dataset, name, chosen.seed)
    write(chosen.seed)


if __name__ == "__main__":
    main()
