"""The README says what the committed results and the papers say, names only what exists, and its commands work.

Every command in it is carried out: as it stands, or in the nearest form that needs neither a licensed dataset nor a
cluster, a network or an hour. A command that no rule below knows fails `test_every_command_has_a_rule`.
"""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import pytest
import yaml
from filmed import film
from packaging.utils import canonicalize_name
from trees import write_tree
from typer.testing import CliRunner

import mespot_lib
from mespot_lib import submit
from mespot_lib.cli import app
from mespot_lib.comparison import HEADLINES, beside_claims
from mespot_lib.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MANIFESTS = ROOT / "data_manifests"


# ---------------------------------------------------------------------------------------------------------------------
# Results and claims


def reference() -> list[dict[str, str]]:
    with (ROOT / "reports" / "reference" / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def block(name: str) -> str:
    return README.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()


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


def claims_block() -> str:
    """Return the table of what the papers print of the methods at their best, on people."""
    rows = [
        row | {"f1": float(row["f1"] or 0), "t_eval": float(row["t_eval"]), "parameters": {}}
        for row in reference()
    ]
    claimed = {(one["method"], one["claimed_on"], one["kind"]): one for one in beside_claims(rows)}
    lines = [
        "| claimed on | method | MaE F1 | ME F1 | overall F1 | printed in | to know |",
        "|---|---|---|---|---|---|---|",
    ]
    for dataset, method in sorted({key[:2][::-1] for key in claimed}):
        kinds = [claimed.get((method, dataset, kind)) for kind in ("MaE", "ME", "overall")]
        any_kind = next(filter(None, kinds))
        cells = [one["printed"] if one else "n/a" for one in kinds]
        source = f"{any_kind['paper']}, {any_kind['table']}"
        lines.append(f"| {' | '.join((dataset, method, *cells, source, HEADLINES[method].note))} |")
    return "\n".join(lines)


def test_the_results_are_those_of_the_reference():
    made = results_block()
    assert block("results") == made, f"put this between the results marks of README.md:\n{made}"


def test_the_claims_are_those_the_papers_print():
    made = claims_block()
    assert block("claims") == made, f"put this between the claims marks of README.md:\n{made}"


def test_the_reference_is_synthetic_honest_and_complete():
    for row in reference():
        assert row["synthetic"] == "True"
        assert row["dataset"].startswith("synthetic_")
        assert (row["selection"], row["evaluation"], row["folds"]) == ("honest", "megc", row["n_folds"])


# ---------------------------------------------------------------------------------------------------------------------
# Links, names, citation


def test_every_file_it_links_to_exists():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert [link for link in links if not (link in anchors or (ROOT / link).exists())] == []


def test_its_pictures_are_small():
    sizes = {link: (ROOT / link).stat().st_size for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)}
    assert {link: size for link, size in sizes.items() if size > 200_000} == {}


def test_every_option_it_names_exists():
    known = {"--no-deps"}  # of pip
    for command in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.split():
        if re.fullmatch(r"[a-z]+", command):
            known |= set(re.findall(r"--[a-z][a-z-]+", CliRunner().invoke(app, [command, "--help"]).stdout))
    assert set(re.findall(r"(?<![\w<!-])--[a-z][a-z-]+", README)) <= known


def test_every_variable_it_names_is_read():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mespot_lib").rglob("*.py"))
    datasets = {f"MESPOT_{path.stem.upper()}" for path in MANIFESTS.glob("*.json")}
    named = set(re.findall(r"MESPOT_[A-Z0-9_]+", README))
    assert named
    assert [name for name in named - datasets if f'"{name}"' not in source] == []


def test_the_citation_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)  # what CFF 1.2.0 requires
    assert citation["type"] in ("software", "dataset")
    assert [set(author) for author in citation["authors"]] == [{"name"}]  # an entity, no person
    assert (citation["title"], citation["license"]) == (PROJECT["name"], PROJECT["license"])
    assert citation["version"] == PROJECT["version"] == mespot_lib.__version__
    assert citation["abstract"] == PROJECT["description"]
    assert not {"doi", "identifiers", "url", "repository-code"} & set(citation)  # there is none yet
    assert all(isinstance(word, str) for word in citation["keywords"])
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(f"{citation['license']} License")


# ---------------------------------------------------------------------------------------------------------------------
# Commands


def commands(text: str) -> list[str]:
    """Return every command of a text once: lines of its fenced sh blocks, and inline code that calls a program."""
    fenced = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    programs = r"(?:mespot|\.venv/bin/\w+|make|pip|conda|python3?|uv|git|kubectl) "
    inline = [code for code in re.findall(r"`([^`\n]+)`", prose) if re.match(programs, code)]
    lines = [line.split("#")[0].strip() for line in fenced.splitlines()]
    parts = [part.strip() for line in (*lines, *inline) for part in line.split("&&")]
    return list(dict.fromkeys(part.removeprefix(".venv/bin/") for part in parts if part))


# What is added to a command to carry it out here; of an option given twice the last one counts.
PLAN = ("--dry-run", "--datasets", "casme2")
ADDED = {
    "mespot spot talk.mp4": (),
    "mespot spot talk.mp4 --no-faces": ("--force",),
    "mespot claims": (),
    "mespot manifest casme2 --policy official_baseline": (),
    "mespot report": (),
    "mespot score --truth truth.csv --spotted spotted.csv --by video --json": (),
    "mespot sweep --datasets casme2 --folds all --workers 4": PLAN,
    "mespot sweep --methods zhang2020,flow_peaks": PLAN,
    "mespot sweep --methods all --datasets casme2,samm_lv --dry-run": (),
    "mespot sweep --methods all --datasets casme2,samm_lv --workers 8": ("--dry-run",),
    "mespot sweep --scheduler tcp://10.0.0.7:8786": PLAN,
    "mespot sweep --scheduler slurm --workers 16": PLAN,
    "mespot cluster hosts": (),
    "mespot cluster slurm": (),
    "mespot cluster kubernetes --image IMAGE": (),
    "mespot submit reports/runs/synthetic_casme2/zhang2020 --format megc2021 --out log.txt": (
        *("--manifest", str(MANIFESTS / "synthetic_casme2")),
    ),
    "mespot submit spotted_cas.csv spotted_samm.csv --format megc2023 --out entry.zip": (
        *("--manifest", str(MANIFESTS / "synthetic_megc2023_cas")),
        *("--manifest", str(MANIFESTS / "synthetic_megc2023_samm")),
    ),
    "mespot submit --check entry.zip": (),
}
NAMED_ONLY = {"kubectl apply"}  # a program of others, which is not started here


@pytest.fixture(scope="module")
def stage(tmp_path_factory, drawn):
    """A folder in which the commands are given: a short video, tables, a finished method, blank licensed datasets."""
    folder = tmp_path_factory.mktemp("readme")
    frames = sorted(drawn("synthetic_casme2_smoke").rglob("*.jpg"))[:60]
    film(folder / "talk.mp4", [cv2.imread(str(path)) for path in frames])
    table = "video,kind,onset,offset\na/b/c,ME,10,20\na/b/c,MaE,40,90\n"
    (folder / "truth.csv").write_text(table)
    (folder / "spotted.csv").write_text(table.replace("10,20", "11,22"))
    finished = ROOT / "reports" / "reference" / "runs" / "synthetic_casme2" / "zhang2020"
    shutil.copytree(finished, folder / "reports" / "runs" / "synthetic_casme2" / "zhang2020")
    halves = {half: MANIFESTS / f"synthetic_megc2023_{half}" for half in ("cas", "samm")}
    for half, written in halves.items():
        video = read_manifest(written, written).uids[0]
        (folder / f"spotted_{half}.csv").write_text(f"video,kind,onset,offset\n{video},ME,10,20\n")
    tables = [folder / f"spotted_{half}.csv" for half in halves]
    submit.submit(tables, "megc2023", folder / "entry.zip", manifests=list(halves.values()))
    for layout in ("casme2", "samm_lv"):
        write_tree(layout, folder / layout, subjects=2, videos=1)
    return folder


@pytest.fixture
def on_stage(stage, monkeypatch):
    monkeypatch.chdir(stage)
    monkeypatch.setenv("MESPOT_CASME2", str(stage / "casme2"))
    monkeypatch.setenv("MESPOT_SAMM_LV", str(stage / "samm_lv"))
    monkeypatch.setenv("MESPOT_REPORTS", str(stage / "reports"))
    monkeypatch.setenv("MESPOT_CACHE", str(stage / "cache"))
    return stage


def of(program: str) -> list[str]:
    return [command for command in commands(README) if command.split()[0] == program]


def test_every_command_has_a_rule():
    others = {command for program in ("make", "pip", "conda") for command in of(program)}
    assert set(commands(README)) - others - NAMED_ONLY == set(ADDED)
    assert {"make reproduce", "make test"} <= others


@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("command", ADDED)
def test_commands_of_mespot_work(on_stage, command):
    said = CliRunner().invoke(app, [*shlex.split(command)[1:], *ADDED[command]])
    assert said.exit_code == 0, said.output
    assert said.stdout.strip()
    if "--json" in command:
        json.loads(said.stdout)
    if "--out" in command:
        assert (on_stage / command.split()[-1]).is_file()
    if command.startswith("mespot spot"):
        assert (on_stage / "talk_spotted" / "report.html").is_file()
    if "--dry-run" in (*ADDED[command], *command.split()):
        assert " runs would be executed" in said.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("command", of("make"))
def test_targets_of_make_are_there(command):
    done = subprocess.run(
        [*shlex.split(command), "-n", f"PYTHON={sys.executable}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", of("pip"))
def test_pip_is_given_what_there_is(command):
    """What would be installed is in the lock, in the same version; nothing is installed here."""
    lock = dict(
        line.partition(";")[0].split("==") for line in (ROOT / "requirements.lock").read_text().split()
    )
    lock = {canonicalize_name(name): version for name, version in lock.items()}
    words = shlex.split(command.replace(" -r ", " -r=").replace(" -e ", " -e="))
    assert words[:2] == ["pip", "install"]
    for word in words[2:]:
        if word.startswith("-r="):
            assert (ROOT / word[3:]).is_file()
        elif word.startswith("-e="):
            extra = re.fullmatch(r"\.(?:\[(\w+)\])?", word[3:])[1]
            assert extra is None or extra in PROJECT["optional-dependencies"]
        elif not word.startswith("--"):
            name, _, version = word.partition("==")
            assert version in ("", lock[canonicalize_name(name)])


def test_conda_is_given_what_there_is():
    create, activate = of("conda")
    assert create == "conda env create -f environment.yml"
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert activate == f"conda activate {environment['name']}"


@pytest.mark.xdist_group("readme")
def test_its_python_works(on_stage, capsys):
    lines = re.findall(r"`((?:mespot_lib\.|import )[^`]+)`", README)
    assert lines == ["import mespot_lib; help(mespot_lib)", 'mespot_lib.spot_video("talk.mp4")']
    for line in lines:
        exec(line, {"mespot_lib": mespot_lib})
    assert "module" in capsys.readouterr().out
