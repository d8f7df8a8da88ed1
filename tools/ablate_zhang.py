"""What each fault of the baseline's public upload costs, and what tuning its filter window per video buys.

    .venv/bin/python tools/ablate_zhang.py          # ten minutes, most of them for measuring flow at 200 per second

Writes reports/reference/zhang2020_released.csv, for both default drawn sets. The column `limits` says where window,
height and longest crest come from; `oracle` rows look at the truth of the video they are scored on. The part `untyped`
scores the same intervals without their kinds, since the upload has no rule for them.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import replace

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest
from mespot_lib.methods import zhang2020
from mespot_lib.methods import zhang2020_released as released
from mespot_lib.methods.zhang2020_released import CHOICE, FAULTS, Faults, Limits, ReleasedConfig
from mespot_lib.places import repository_root

DATASETS = ("synthetic_casme2", "synthetic_samm_lv")
WINDOWS = (5, 7, 9, 11, 13, 15, 19, 23, 27, 33, 41, 49)  # frames; public tables per video have 5 to 49
SLIPS = FAULTS[:4]
UNITS = ("lengths_in_frames", "heights_per_frame")
COLUMNS = ("dataset", "variant", "limits", "part", "tp", "fp", "fn", "precision", "recall", "f1")
COLUMNS += ("low", "high", "chance", "chance_high")

Spotted = dict[str, list[Interval]]


def variants() -> Iterator[tuple[str, Faults]]:
    """Yield the upload, the upload with one fault put right, with all, and with all but one."""
    yield "as uploaded", Faults()
    for name in FAULTS:
        yield f"without {name}", Faults().without(name)
    yield "without slips", Faults().without(*SLIPS)
    yield "all put right", Faults.none()
    for name in FAULTS:
        yield f"with {name} alone", replace(Faults.none(), **{name: True})


def at_another_rate() -> Iterator[tuple[str, Faults]]:
    """Yield what a change of the frame rate may break: everything else is right."""
    wrong = Faults().without(*SLIPS, "ends_cut")
    yield "frames, per frame, every frame", wrong
    yield "lengths in seconds", wrong.without("lengths_in_frames")
    yield "heights per second", wrong.without("heights_per_frame")
    yield "lengths in seconds, heights per second", wrong.without(*UNITS)
    yield "flow over 1/30 s", wrong.without("every_frame")
    yield "all put right", Faults.none()


def runs(manifest: Manifest, tuned_on: Manifest) -> Iterator[tuple[str, str, Spotted]]:
    """Yield variant, origin of the limits, and what was spotted."""
    for name, faults in variants():
        config = ReleasedConfig(faults=faults)
        yield name, "uploaded", _spotted(manifest, config, dict.fromkeys(manifest.uids, Limits()))
    for name, faults in variants():
        config = ReleasedConfig(faults=faults, limits=CHOICE)
        yield name, "chosen on other people", _spotted(manifest, config, _others(manifest, config))
    for name, faults in at_another_rate() if manifest is not tuned_on else ():
        config = ReleasedConfig(faults=faults, limits=CHOICE)
        limits = released.fit(tuned_on, config).limits
        found = _spotted(manifest, config, dict.fromkeys(manifest.uids, limits))
        yield name, f"chosen on {tuned_on.descriptor['dataset']}", found
    for name, faults in (("as uploaded", Faults()), ("all put right", Faults.none())):
        config = ReleasedConfig(faults=faults, limits=CHOICE)
        for origin, limits in (
            ("uploaded", dict.fromkeys(manifest.uids, Limits())),
            ("chosen on other people", _others(manifest, config)),
        ):
            yield name, f"{origin}, window per video (oracle)", _tuned(manifest, config, limits)
    config = zhang2020.ZhangConfig()
    yield (
        "the paper's method",
        "chosen on other people",
        zhang2020.leave_one_subject_out(manifest, config),
    )


def _others(manifest: Manifest, config: ReleasedConfig) -> dict[str, Limits]:
    return released.limits_of_others(manifest, config)


def _spotted(manifest: Manifest, config: ReleasedConfig, limits: dict[str, Limits]) -> Spotted:
    return {
        uid: released.spot_speeds(released.score_video(manifest.video(uid), config), limits[uid], config)
        for uid in manifest.uids
    }


def _tuned(manifest: Manifest, config: ReleasedConfig, limits: dict[str, Limits]) -> Spotted:
    """Return what is spotted with the window that suits each video best: an oracle, it looks at the truth."""
    tried = [
        _spotted(manifest, config, {uid: one._replace(window=window) for uid, one in limits.items()})
        for window in WINDOWS
    ]

    def worth(uid: str, spans: list[Interval]) -> tuple[float, int]:
        overall = metrics.score({uid: manifest.truth(uid)}, {uid: spans}).overall
        return overall.f1, -overall.fp

    return {uid: max((one[uid] for one in tried), key=lambda spans: worth(uid, spans)) for uid in limits}


def rows(manifest: Manifest, spotted: Spotted) -> list[dict]:
    """Return one row for ME, MaE, overall and untyped."""
    truth, facts = {uid: manifest.truth(uid) for uid in manifest.uids}, facts_of(manifest)
    plain = [{uid: _untyped(spans) for uid, spans in side.items()} for side in (truth, spotted)]
    untyped = next(row for row in summary(*plain, facts) if row["part"] == "overall")
    return [*summary(truth, spotted, facts), untyped | {"part": "untyped"}]


def _untyped(spans: list[Interval]) -> list[Interval]:
    return [replace(span, kind="ME") for span in {(one.onset, one.offset): one for one in spans}.values()]


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    path = repository_root() / "reports/reference/zhang2020_released.csv"
    table, tuned_on = [], load_dataset(DATASETS[0])
    for dataset in DATASETS:
        manifest = tuned_on if dataset == DATASETS[0] else load_dataset(dataset)
        for variant, limits, spotted in runs(manifest, tuned_on):
            found = rows(manifest, spotted)
            table += [{"dataset": dataset, "variant": variant, "limits": limits} | row for row in found]
            print(dataset, variant, "|", limits, {row["part"]: row["f1"] for row in found}, flush=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
