"""VideoMAE with flow on all folds, and what pre-training and the flow are worth: trains, and writes what is read later.

    .venv/bin/python tools/ablate_videomae.py folds --most 2     # the next two folds, some minutes each
    .venv/bin/python tools/ablate_videomae.py parts              # with and without pre-training
    .venv/bin/python tools/ablate_videomae.py write              # the file, of what there is

    build/videomae_flow/                                 folds and variants, so that a run can be taken up again
    reports/reference/videomae_flow_ablations.csv        spotted intervals counted, and errors in hidden parts

Folds hold out one person each. Pre-training is judged more cheaply: the people are dealt into three parts, and each is
spotted by networks that have learnt from the other two, with thresholds chosen on the other two. The same networks are
counted with all that the flow does, with the ends it gives alone, and without it. What the flow does alone is seen
where the networks are untrained. All scores are of synthetic data.
"""

import argparse
import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest, loso_folds
from mespot_lib.methods import videomae_flow as vf
from mespot_lib.methods.videomae_flow import Scores, VideoMaeConfig
from mespot_lib.places import repository_root
from mespot_lib.train import mean_loss, subject_parts

DATASETS = ("synthetic_casme2", "synthetic_samm_lv")
STORE = repository_root() / "build" / "videomae_flow"
CHECKPOINTS = STORE / "checkpoints"
SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
LOSSES = ("loss_before", "loss_after", "loss_nothing_moves")
COLUMNS = ("dataset", "seed", "protocol", "network", "flow", *SCORES, *LOSSES)
PARTS = 3
ENDS: Mapping[str, Callable[[VideoMaeConfig], VideoMaeConfig]] = {
    "flow": lambda config: config,
    "flow, ends alone": lambda config: replace(config, refine=replace(config.refine, full_u=0.0)),
    "no flow": lambda config: replace(config, refine=None),
}
VARIANTS: Mapping[str, Callable[[VideoMaeConfig], VideoMaeConfig]] = {
    "pre-trained": lambda config: config,
    "from scratch": lambda config: replace(config, pretrain=None),
    "untrained": lambda config: replace(
        config, pretrain=None, train=replace(config.train, epochs=1, batches_per_epoch=1, learning_rate=0.0)
    ),
}

Spotted = Mapping[str, Mapping[str, list[Interval]]]  # by what the flow does, and by video


def of_fold(dataset: str, fold: str, seed: int) -> tuple[Spotted, dict[str, float]]:
    """Hold out one person."""
    manifest, config = load_dataset(dataset), VideoMaeConfig.quick()
    (held_out,) = [one for one in loso_folds(manifest) if one.name == fold]
    learnt = manifest.only(held_out.train)
    folder = CHECKPOINTS / f"folds {dataset} {fold} {seed}"
    fitted = vf.fit(learnt, config, seed, folder=folder, progress=False)
    scores = {uid: fitted.score(manifest.video(uid)) for uid in held_out.test}
    return {way: spotted(scores, fitted.judged, learnt, ends(config)) for way, ends in ENDS.items()}, {}


def of_parts(dataset: str, variant: str, seed: int) -> tuple[Spotted, dict[str, float]]:
    """Spot each third of the people with networks that have learnt from the others; fill in their hidden parts, too."""
    manifest, config = load_dataset(dataset), VARIANTS[variant](VideoMaeConfig.quick(parts=PARTS))
    folder = CHECKPOINTS / f"parts {dataset} {variant} {seed}"
    fitted = vf.fit(manifest, config, seed, folder=folder, progress=False)
    dealt = subject_parts(manifest, PARTS, seed)
    found: dict[str, dict] = {way: {} for way in ENDS}
    for part in dealt:
        others = manifest.only(uid for uid in manifest.uids if uid not in part)
        for way, ends in ENDS.items():
            judged = {uid: fitted.judged[uid] for uid in others.uids}
            found[way] |= spotted({uid: fitted.judged[uid] for uid in part}, judged, others, ends(config))
    if config.pretrain is None:
        return found, {}
    missed = [
        losses(manifest.only(part), learnt.pretrained.model, config, seed + number)
        for number, (part, learnt) in enumerate(zip(dealt, fitted.parts, strict=True))
    ]
    return found, dict(zip(LOSSES, np.mean(missed, axis=0).round(4).tolist(), strict=True))


def spotted(
    scores: Mapping[str, Scores], judged: Mapping[str, Scores], learnt: Manifest, config: VideoMaeConfig
) -> dict[str, list[Interval]]:
    """Return what is spotted in some videos with thresholds chosen on others."""
    thresholds = vf.choose_thresholds(judged, learnt, config)
    return {uid: vf.fused(vf.candidates(one, config), thresholds) for uid, one in scores.items()}


def losses(held_out: Manifest, model, config: VideoMaeConfig, seed: int) -> tuple[float, float, float]:
    """Return the error in hidden parts of people never seen: before and after pre-training, and of a still face."""
    clips = vf.HiddenClips(held_out, config, every=5)
    before, after = (
        mean_loss(one, clips, vf.reconstruction_loss, config.pretrain)
        for one in (vf.unlearnt(config, seed), model)
    )
    still = [
        clips.batch(np.arange(first, min(first + 64, len(clips))), None)[1]
        for first in range(0, len(clips), 64)
    ]
    return before, after, float(np.mean([float((one**2).mean()) for one in still]))


# --- files ----------------------------------------------------------------------------------------------------------


def store(path: Path, found: Spotted, missed: Mapping[str, float]) -> None:
    """Keep what was spotted."""
    plain = {
        way: {uid: [_row(span) for span in spans] for uid, spans in one.items()} for way, one in found.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"spotted": plain, "losses": missed}), encoding="utf-8")
    print(path.stem, flush=True)


def _row(span: Interval) -> list:
    return [span.onset, span.offset, span.kind, span.apex, round(span.score, 4)]


def read(path: Path) -> tuple[Spotted, dict[str, float]]:
    """Return what `store` has kept."""
    record = json.loads(path.read_text(encoding="utf-8"))
    found = {
        way: {uid: [Interval(*row) for row in rows] for uid, rows in one.items()}
        for way, one in record["spotted"].items()
    }
    return found, record["losses"]


def rows(manifest: Manifest, found: Spotted, head: Mapping, missed: Mapping[str, float]) -> list[dict]:
    """Return a row per use of the flow and kind; errors in hidden parts stand in the overall rows."""
    made = []
    for way, one in found.items():
        seen = manifest.only(one)
        for row in summary({uid: seen.truth(uid) for uid in seen.uids}, one, facts_of(seen)):
            made.append({**head, "flow": way, **row, **(missed if row["part"] == "overall" else {})})
    return made


def write(seed: int) -> None:
    """Write the table of all that is there."""
    table = []
    for dataset in DATASETS:
        manifest = load_dataset(dataset)
        for variant in VARIANTS:
            path = STORE / f"parts {dataset} {variant} {seed}.json"
            if path.is_file():
                head = {"dataset": dataset, "seed": seed, "protocol": f"{PARTS} parts", "network": variant}
                found, missed = read(path)
                table += rows(manifest, found, head, missed)
        names = [one.name for one in loso_folds(manifest)]
        kept = [STORE / f"folds {dataset} {name} {seed}.json" for name in names]
        folds = [read(path)[0] for path in kept if path.is_file()]
        if folds:
            pooled = {way: {uid: s for one in folds for uid, s in one[way].items()} for way in ENDS}
            protocol = f"{len(folds)} of {len(names)} folds"
            head = {"dataset": dataset, "seed": seed, "protocol": protocol, "network": "pre-trained"}
            table += rows(manifest, pooled, head, {})
    path = repository_root() / "reports" / "reference" / "videomae_flow_ablations.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("folds", "parts", "write"))
    parser.add_argument("--datasets", nargs="*", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=1000, help="trainings in this run, at most")
    chosen = parser.parse_args()
    todo = []
    for dataset in chosen.datasets:
        if chosen.what == "folds":
            todo += [(of_fold, dataset, one.name) for one in loso_folds(load_dataset(dataset))]
        if chosen.what == "parts":
            todo += [(of_parts, dataset, variant) for variant in VARIANTS]
    paths = [STORE / f"{chosen.what} {dataset} {name} {chosen.seed}.json" for _, dataset, name in todo]
    left = [(one, path) for one, path in zip(todo, paths, strict=True) if not path.is_file()]
    for (run, dataset, name), path in left[: chosen.most]:
        store(path, *run(dataset, name, chosen.seed))
    write(chosen.seed)


if __name__ == "__main__":
    main()
