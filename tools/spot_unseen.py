"""Train on the drawn training sets, spot the drawn unseen sets of MEGC2022 and 2023, score with the withheld truth.

    .venv/bin/python tools/spot_unseen.py                    # all methods below
    .venv/bin/python tools/spot_unseen.py yap2022_3dcnn

As the challenges have it: what was trained on SAMM-LV spots the SAMM videos, what was trained on CAS(ME)^2 those of
CAS(ME)^3; the thresholds come from the training sets too. Writes these methods' rows of reports/reference/unseen.csv.
"""

import argparse
import csv
from collections.abc import Iterable, Mapping

from mespot_lib.catalogue import load_dataset
from mespot_lib.evaluation import facts_of, summary
from mespot_lib.held_out import Fit
from mespot_lib.interval import Interval
from mespot_lib.manifest import Manifest
from mespot_lib.methods import flow_peaks, mesnet, stsnet_sw, yap2022_3dcnn, zhang2020
from mespot_lib.places import repository_root
from mespot_lib.withheld import withheld_truth

METHODS: dict[str, Fit] = {
    "zhang2020": lambda train: zhang2020.fit(train, zhang2020.ZhangConfig.quick()),
    "flow_peaks": lambda train: flow_peaks.fit(train, flow_peaks.FlowPeaksConfig.quick()),
    "yap2022_3dcnn": lambda train: yap2022_3dcnn.fit(train, yap2022_3dcnn.Yap3dCnnConfig.quick()),
    "mesnet": lambda train: mesnet.fit(train, mesnet.MesNetConfig.quick()),  # micro-expressions alone
    "stsnet_sw": lambda train: stsnet_sw.fit(train, stsnet_sw.StsNetConfig.quick()),
}
TRAINED_ON = {"samm": "synthetic_samm_lv", "cas": "synthetic_casme2"}
YEARS = (2022, 2023)
SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
COLUMNS = ("method", "year", "videos", *SCORES)

Spotted = Mapping[str, list[Interval]]


def spot(fit: Fit) -> dict[tuple[int, str], tuple[Manifest, Spotted]]:
    """Return the unseen sets with what was spotted in them, by year and half."""
    found = {}
    for half, name in TRAINED_ON.items():
        fitted = fit(load_dataset(name))
        for year in YEARS:
            unseen = load_dataset(f"synthetic_megc{year}_{half}")
            found[year, half] = (
                unseen,
                {uid: fitted.spot(fitted.score(unseen.video(uid))) for uid in unseen.uids},
            )
    return found


def rows(halves: Iterable[tuple[Manifest, Spotted]]) -> list[dict]:
    """Return one row for ME, MaE and overall, of the given halves together."""
    truth, spotted, facts = {}, {}, {}
    for manifest, found in halves:
        truth |= withheld_truth(manifest)
        spotted |= found
        facts |= facts_of(manifest)
    return summary(truth, spotted, facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=list(METHODS), choices=[*METHODS, []])
    chosen = parser.parse_args().methods
    path = repository_root() / "reports/reference/unseen.csv"
    table = list(csv.DictReader(path.open(encoding="utf-8"))) if path.is_file() else []
    for method in chosen:
        found = spot(METHODS[method])
        table = [row for row in table if row["method"] != method]
        for year in YEARS:
            sides = {f"{half} (trained on {name})": [found[year, half]] for half, name in TRAINED_ON.items()}
            sides["both"] = [found[year, half] for half in TRAINED_ON]
            for videos, halves in sides.items():
                table += [{"method": method, "year": year, "videos": videos} | row for row in rows(halves)]
                print(method, year, videos, table[-1]["f1"], flush=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(table, key=lambda row: list(METHODS).index(row["method"])))


if __name__ == "__main__":
    main()
