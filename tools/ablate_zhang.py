"""What each fault of the baseline's public upload costs, and what tuning its filter window per video buys.

    .venv/bin/python tools/ablate_zhang.py          # ten minutes, most of them for measuring flow at 200 per second

Writes reports/reference/zhang2020_released.csv, for both default drawn sets. Nothing is fitted but the filter window in
the rows that say so; `oracle` rows look at the truth of the video they are scored on. The part `untyped` scores the
same intervals without their kinds, since the upload has no rule for them.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace

from mespot_lib import metrics
from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.held_out import leave_one_subject_out
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest
from mespot_lib.methods import zhang2020, zhang2020_released
from mespot_lib.methods.zhang2020_released import FAULTS, Faults, ReleasedConfig, score_video, spot_speeds
from mespot_lib.places import repository_root

DATASETS = ("synthetic_casme2", "synthetic_samm_lv")
WINDOWS = (5, 7, 9, 11, 13, 15, 19, 23, 27, 33, 41, 49)  # frames; public tables have 5 to 49
SLIPS = FAULTS[:4]
UNITS = ("lengths_in_frames", "heights_per_frame")
COLUMNS = ("dataset", "variant", "window", "part", "tp", "fp", "fn", "precision", "recall", "f1")
COLUMNS += ("low", "high", "chance", "chance_high")

Spotted = dict[str, list[Interval]]


def variants() -> Iterator[tuple[str, Faults]]:
    """Yield what is compared at the filter window of most videos, 5 frames."""
    yield "as uploaded", Faults()
    for name in FAULTS:
        yield f"without {name}", Faults().without(name)
    yield "without slips", Faults().without(*SLIPS)
    yield "limits in seconds", Faults().without(*UNITS)
    yield "limits in seconds, nothing cut", Faults().without(*UNITS, "ends_cut")
    yield "all put right", Faults.none()
    for name in FAULTS:
        yield f"with {name} alone", replace(Faults.none(), **{name: True})


def spotted_with(manifest: Manifest, config: ReleasedConfig) -> Spotted:
    """Return what is spotted with the first window of a configuration."""
    fitted = zhang2020_released.Fitted(config, config.windows[0])
    return {uid: fitted.spot(fitted.score(manifest.video(uid))) for uid in manifest.uids}


def tuned_per_video(manifest: Manifest, config: ReleasedConfig) -> Spotted:
    """Return what is spotted with the window that suits each video best: an oracle, it looks at the truth."""

    def worth(uid: str, spans: list[Interval]) -> tuple[float, int]:
        overall = metrics.score({uid: manifest.truth(uid)}, {uid: spans}).overall
        return overall.f1, -overall.fp

    found = {}
    for uid in manifest.uids:
        scores = score_video(manifest.video(uid), config)
        tried = [spot_speeds(scores, window, config) for window in config.windows]
        found[uid] = max(tried, key=lambda spans: worth(uid, spans))
    return found


def runs(manifest: Manifest) -> Iterator[tuple[str, str, Spotted]]:
    """Yield variant, window, and what was spotted."""
    for name, faults in variants():
        yield name, "5 for all", spotted_with(manifest, ReleasedConfig(faults=faults))
    for name, faults in (("as uploaded", Faults()), ("all put right", Faults.none())):
        config = ReleasedConfig(faults=faults, windows=WINDOWS)
        fit = lambda train, config=config: zhang2020_released.fit(train, config)  # noqa: E731
        yield name, "one, chosen on other people", leave_one_subject_out(manifest, fit)
        yield name, "per video (oracle)", tuned_per_video(manifest, config)
    yield (
        "the paper's method",
        "bank of filters",
        zhang2020.leave_one_subject_out(manifest, zhang2020.ZhangConfig()),
    )


def rows(manifest: Manifest, spotted: Spotted) -> list[dict]:
    """Return one row for ME, MaE, overall and untyped."""
    truth, facts = {uid: manifest.truth(uid) for uid in manifest.uids}, facts_of(manifest)
    plain = [{uid: _untyped(spans) for uid, spans in side.items()} for side in (truth, spotted)]
    untyped = next(row for row in summary(*plain, facts) if row["part"] == "overall")
    return [*summary(truth, spotted, facts), untyped | {"part": "untyped"}]


def _untyped(spans: list[Interval]) -> list[Interval]:
    return [replace(span, kind="ME") for span in {(one.onset, one.offset): one for one in spans}.values()]


def main() -> None:
    path = repository_root() / "reports/reference/zhang2020_released.csv"
    table = []
    for dataset in DATASETS:
        manifest = load_dataset(dataset)
        for variant, window, spotted in runs(manifest):
            found = rows(manifest, spotted)
            table += [{"dataset": dataset, "variant": variant, "window": window} | row for row in found]
            f1 = {row["part"]: row["f1"] for row in found}
            print(dataset, variant, "|", window, f1, flush=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
