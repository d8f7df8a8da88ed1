"""The challenges end to end: train on the drawn training sets, spot the unseen ones, hand in, be scored.

    .venv/bin/python tools/spot_unseen.py                    # all methods below
    .venv/bin/python tools/spot_unseen.py yap2022_3dcnn
    .venv/bin/python tools/spot_unseen.py flow_peaks --keep build/submissions

As the challenges have it: what was trained on SAMM-LV spots the SAMM videos, what was trained on CAS(ME)^2 those of
CAS(ME)^3; the thresholds come from the training sets too. What is spotted is written as a submission, checked, read
back and scored with the withheld truth. Writes these methods' rows of reports/reference/unseen.csv, and prints the
table of the challenge.
"""

import argparse
import csv
import tempfile
from pathlib import Path

from mespot_lib.catalogue import load_dataset
from mespot_lib.held_out import Fit
from mespot_lib.interval import Interval
from mespot_lib.leaderboard import score_submission, standings
from mespot_lib.manifest import Manifest
from mespot_lib.methods import flow_peaks, mdmo, mesnet, stsnet_sw, videomae_flow, yap2022_3dcnn, zhang2020
from mespot_lib.methods import zhang2020_released as released
from mespot_lib.places import repository_root
from mespot_lib.submit import hand_in

METHODS: dict[str, Fit] = {
    "zhang2020": lambda train: zhang2020.fit(train, zhang2020.ZhangConfig.quick()),
    # the public upload, with its faults and without
    "zhang2020_released": lambda train: released.fit(train, released.ReleasedConfig()),
    "zhang2020_released_right": lambda train: released.fit(train, released.ReleasedConfig.right()),
    "flow_peaks": lambda train: flow_peaks.fit(train, flow_peaks.FlowPeaksConfig.quick()),
    "mdmo_peaks": lambda train: mdmo.fit(train, mdmo.MdmoConfig.peaks()),
    "mdmo": lambda train: mdmo.fit(train, mdmo.MdmoConfig.quick()),
    "yap2022_3dcnn": lambda train: yap2022_3dcnn.fit(train, yap2022_3dcnn.Yap3dCnnConfig.quick()),
    "mesnet": lambda train: mesnet.fit(train, mesnet.MesNetConfig.quick()),  # micro-expressions alone
    "stsnet_sw": lambda train: stsnet_sw.fit(train, stsnet_sw.StsNetConfig.quick()),
    "videomae_flow": lambda train: videomae_flow.fit(train, videomae_flow.VideoMaeConfig.quick()),
}
TRAINED_ON = {"samm": "synthetic_samm_lv", "cas": "synthetic_casme2"}
YEARS = (2022, 2023)
SCORES = ("part", "tp", "fp", "fn", "precision", "recall", "f1", "low", "high", "chance", "chance_high")
COLUMNS = ("method", "year", "videos", *SCORES)

Spotted = dict[str, list[Interval]]


def spot(fit: Fit) -> dict[int, tuple[list[Manifest], Spotted]]:
    """Return both halves of the unseen sets with what was spotted in them, by year."""
    found: dict[int, tuple[list[Manifest], Spotted]] = {year: ([], {}) for year in YEARS}
    for half, name in TRAINED_ON.items():
        fitted = fit(load_dataset(name))
        for year, (manifests, spotted) in found.items():
            unseen = load_dataset(f"synthetic_megc{year}_{half}")
            manifests.append(unseen)
            spotted |= {uid: fitted.spot(fitted.score(unseen.video(uid))) for uid in unseen.uids}
    return found


def scored(path: Path, manifests: list[Manifest], name: str) -> list[dict]:
    """Return the rows of a submission, of its halves and of both together."""
    found = score_submission(path, manifests, name)
    videos = {half: f"{half} (trained on {training})" for half, training in TRAINED_ON.items()}
    videos["overall"] = "both"
    return [{"videos": videos[part]} | row for part in videos for row in found[part]]


def store(method: str, rows: list[dict]) -> list[dict]:
    """Put the rows of a method in place of its old ones in the table on disk; return the whole table."""
    path = repository_root() / "reports/reference/unseen.csv"
    table = list(csv.DictReader(path.open(encoding="utf-8", newline=""))) if path.is_file() else []
    table = [row for row in table if row["method"] != method] + rows
    table.sort(key=lambda row: list(METHODS).index(row["method"]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=list(METHODS), choices=[*METHODS, []])
    parser.add_argument("--keep", type=Path, help="folder for the submissions, which are not kept otherwise")
    asked = parser.parse_args()
    for method in asked.methods:
        found = spot(METHODS[method])
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for year, (manifests, spotted) in found.items():
                submission = (asked.keep or Path(folder)) / f"{method}_megc{year}.zip"
                hand_in(submission, spotted, manifests, f"megc{year}")
                some = scored(submission, manifests, f"megc{year}")
                rows += [{"method": method, "year": year} | row for row in some]
        table = store(method, rows)
        print(method, {(r["year"], r["videos"]): r["f1"] for r in rows if r["part"] == "overall"}, flush=True)
    for year in YEARS:
        print(standings(table, f"megc{year}").to_string(), end="\n\n")


if __name__ == "__main__":
    main()
