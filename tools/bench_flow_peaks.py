"""What each choice of the flow-peaks engine is worth, how robust it is, and how it compares on sets of other seeds.

    .venv/bin/python tools/bench_flow_peaks.py [amplitude] [robustness] [choices] [seeds_samm_lv]

Writes `reports/reference/flow_peaks.csv`, which notebook 11 shows; minutes per table. Nothing here is tuned on the
default sets, and they are not read. All scores are of synthetic data.
"""

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from mespot_lib import evaluation, metrics
from mespot_lib.datasets import read_dataset
from mespot_lib.features.reference_motion import ReferenceRecipe
from mespot_lib.manifest import Manifest
from mespot_lib.methods import flow_peaks, zhang2020
from mespot_lib.methods.flow_peaks import FlowPeaksConfig
from mespot_lib.places import repository_root
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.write import draw_dataset

TARGET = Path("reports/reference/flow_peaks.csv")
COLUMNS = ("table", "setting", "part", "tp", "fp", "fn", "f1")
SEEDS = {"samm_lv": (511, 512, 513, 514)}
AMPLITUDES_U = (0.5, 1.0, 1.5, 2.0, 3.0)
SEED = 611

# A few people with more expressions than usual: the same plan under every nuisance.
SMALL = replace(
    SyntheticConfig.casme2(),
    seed=SEED,
    subjects=4,
    videos_per_subject=1,
    seconds_per_video=30.0,
    me_per_min=8.0,
    mae_per_min=7.0,
)
HARD = SyntheticConfig.hard()
NUISANCES = {
    "as the default sets": {},
    "head: twice the drift, thrice the nods": {
        name: getattr(HARD, name) for name in ("drift_u", "turn_rad", "roll_rad", "nods_per_min")
    },
    "flicker: 5 % instead of 0.6 %": {"flicker": 0.05},
    "noise: 4 grey levels instead of 1.6": {"noise_levels": 4.0},
    "face: 77 px between the inner eye corners": {"width": 512, "height": 512, "pixels_per_u": 1.2},
}
CHOICES = {
    "the engine": {},
    "head: shift of the nose only": {"motion": ReferenceRecipe(head="shift")},
    "head: shift as published, unscaled": {
        "motion": ReferenceRecipe(head="shift", published_shift=True, nose="top_mean", passes=4)
    },
    "length of the displacement, not its direction": {"signal": "length"},
    "segments not joined": {"joined": False},
    "foot: lowest sample, end at a third of the height": {"foot": "valley", "height_share": 0.33},
    "stands out on one side": {"stands_out": "one side"},
    "union of overlapping intervals": {"combine": "union", "overlap": 0.29},
    "no lids": {"lids": False},
    "blinks ignored": {"blink_drag_u": 0.0},
    "talking ignored": {"train_peaks": 10**6},
    "weak ME get 0.43 s around their middle": {"centred_me_s": 0.43},
    "every ME gets 0.43 s around its middle": {"centred_me_s": 0.43, "weak_u": 100.0},
}


def drawn(config: SyntheticConfig, folder: Path) -> Manifest:
    """Draw a set and return its manifest."""
    return read_dataset(config.layout, draw_dataset(config, folder / config.name, workers=1, progress=False))


def by_default(manifest: Manifest) -> metrics.Score:
    """Return the score with the thresholds that need no fitting."""
    config = FlowPeaksConfig()
    truth = {uid: manifest.truth(uid) for uid in manifest.uids}
    found = {uid: flow_peaks.score_video(manifest.video(uid), config) for uid in manifest.uids}
    return metrics.score(truth, {uid: flow_peaks.spot_scores(one) for uid, one in found.items()})


def by_amplitude(folder: Path) -> Iterator[tuple[str, metrics.Score]]:
    """Yield the score of sets whose ME all have one amplitude."""
    for amplitude_u in AMPLITUDES_U:
        config = replace(SyntheticConfig.amplitude_sweep(amplitude_u), seed=SEED)
        yield f"{amplitude_u:g}", by_default(drawn(config, folder))


def by_nuisance(folder: Path) -> Iterator[tuple[str, metrics.Score]]:
    """Yield the score of one plan under several nuisances."""
    for number, (setting, changes) in enumerate(NUISANCES.items()):
        yield (
            setting,
            by_default(drawn(replace(SMALL, name=f"synthetic_nuisance_{number}", **changes), folder)),
        )


def by_choice(folder: Path) -> Iterator[tuple[str, metrics.Score]]:
    """Yield the score of each variant, thresholds chosen on the other people."""
    manifest = drawn(replace(SMALL, name="synthetic_choices", seed=SEED + 1, seconds_per_video=24.0), folder)
    truth = {uid: manifest.truth(uid) for uid in manifest.uids}
    for setting, changes in CHOICES.items():
        spotted = flow_peaks.leave_one_subject_out(manifest, FlowPeaksConfig(**changes))
        yield setting, metrics.score(truth, spotted)


def by_seed(preset: str, folder: Path) -> Iterator[tuple[str, metrics.Score]]:
    """Yield the score of both methods, pooled over drawings of a default set with seeds that nothing was chosen on."""
    truth: dict[str, list] = {}
    spotted: dict[str, dict[str, list]] = {"flow peaks": {}, "Zhang 2020": {}}
    facts = {}
    for seed in SEEDS[preset]:
        config = replace(
            getattr(SyntheticConfig, preset)(), name=f"synthetic_fresh_{preset}_{seed}", seed=seed
        )
        manifest = drawn(config, folder)
        truth |= {uid: manifest.truth(uid) for uid in manifest.uids}
        facts |= {
            uid: evaluation.VideoFacts(subject=f"{seed} {manifest.video(uid).subject}")
            for uid in manifest.uids
        }
        spotted["flow peaks"] |= flow_peaks.leave_one_subject_out(manifest, FlowPeaksConfig())
        spotted["Zhang 2020"] |= zhang2020.leave_one_subject_out(manifest, zhang2020.ZhangConfig())
        shutil.rmtree(folder / config.name)
    scores = {name: metrics.score(truth, found) for name, found in spotted.items()}
    leads = evaluation.leads(scores["flow peaks"], scores["Zhang 2020"], facts)
    print({part: f"{lead.f1:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]" for part, lead in leads.items()})
    yield from scores.items()


TABLES: Mapping[str, object] = {
    "amplitude": by_amplitude,
    "robustness": by_nuisance,
    "choices": by_choice,
    **{f"seeds_{preset}": partial(by_seed, preset) for preset in SEEDS},
}


def main(tables: list[str]) -> None:
    """Replace the rows of these tables in the file."""
    for table in tables:
        with tempfile.TemporaryDirectory() as folder:
            found = list(_rows(table, Path(folder)))
        target = repository_root() / TARGET
        with target.open(encoding="utf-8", newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["table"] != table]
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted([*kept, *found], key=lambda row: list(TABLES).index(row["table"])))


def _rows(table: str, folder: Path) -> Iterator[dict[str, object]]:
    for setting, score in TABLES[table](folder):
        print(table, setting, {part: f"{score[part].f1:.3f}" for part in metrics.PARTS}, flush=True)
        for part in metrics.PARTS:
            counts = score[part]
            found = {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "f1": f"{counts.f1:.3f}"}
            yield {"table": table, "setting": setting, "part": part} | found


if __name__ == "__main__":
    main(sys.argv[1:] or list(TABLES))
