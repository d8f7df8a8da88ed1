"""The README says what the committed reference results say, and names only what exists."""

import csv
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mespot_lib.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def reference() -> list[dict[str, str]]:
    with (ROOT / "reports" / "reference" / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def results_block() -> str:
    """Return the table of the README as the reference results make it: one line per dataset and method."""
    lines = [
        "| dataset | method | folds | MaE F1 | ME F1 | overall F1 (95 % interval) | chance |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = reference()
    for one in [row for row in rows if row["kind"] == "overall"]:
        same = {
            row["kind"]: row
            for row in rows
            if (row["dataset"], row["method"]) == (one["dataset"], one["method"])
        }
        mae, me, f1, low, high, chance = (
            f"{float(value):.2f}" if value else "n/a"
            for value in (
                same["MaE"]["f1"],
                same["ME"]["f1"],
                *(one[k] for k in ("f1", "ci_low", "ci_high", "chance_f1")),
            )
        )
        cells = (
            one["dataset"],
            one["method"],
            f"{one['folds']} of {one['n_folds']}",
            mae,
            me,
            f"**{f1}** ({low} to {high})" if one["f1"] else "n/a",
            chance,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_results_are_those_of_the_reference():
    block = README.split("<!-- results -->")[1].split("<!-- /results -->")[0].strip()
    assert block == results_block(), f"put this between the results marks of README.md:\n{results_block()}"


def test_the_reference_is_synthetic_honest_and_complete():
    for row in reference():
        assert row["synthetic"] == "True"
        assert row["dataset"].startswith("synthetic_")
        assert (row["selection"], row["evaluation"], row["folds"]) == ("honest", "megc", row["n_folds"])


def test_every_file_it_links_to_exists():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("command", sorted(set(re.findall(r"mespot ([a-z]+)", README)) - {"and", "checkout"}))
def test_every_command_it_names_exists(command):
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_every_make_target_it_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)) - {"chooses"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
