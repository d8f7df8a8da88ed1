"""`mespot submit`: what it writes, what it finds, what it says."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mespot_lib.cli import app
from mespot_lib.manifest import read_manifest

MANIFEST = Path(__file__).resolve().parents[1] / "data_manifests" / "synthetic_casme2"
VIDEO = "synthetic_casme2/s15/15_0101"


def mespot(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def spotted(tmp_path):
    path = tmp_path / "spotted.csv"
    path.write_text(f"video,kind,onset,offset,emotion\n{VIDEO},ME,10,20,negative\n{VIDEO},MaE,90,150,\n")
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "cas_pred.csv"
    path.write_text("vid,onset,offset,type\ndzw_a1,9,5,me\ndzw_a1,5,9,x\n")
    return path


def test_a_log_of_a_dataset_names_every_expression_of_it(spotted, tmp_path):
    out = tmp_path / "log.txt"
    done = mespot("submit", spotted, "--format", "megc2021", "--manifest", MANIFEST, "--out", out)
    assert done.exit_code == 0, done.output
    assert "log.txt: sound, megc2021, log.txt" in done.stdout
    assert "note: synthetic data: for practice" in done.stdout
    lines = [line.split() for line in out.read_text().splitlines()]
    assert ["15_0101", "-", "-", "11", "21", "FP"] in lines
    known = read_manifest(MANIFEST, MANIFEST)
    true = sum(len(known.truth(uid)) for uid in known.uids)
    assert sum(line[-1] in ("TP", "FN") for line in lines) == true > 0
    assert mespot("submit", "--check", out, "--manifest", MANIFEST).exit_code == 0
    assert mespot("submit", "--check", out, "--order", "cas,samm").exit_code == 2


def test_what_is_written_passes_the_check(spotted, tmp_path):
    out = tmp_path / "s.zip"
    options = ("--format", "megc2024_str", "--manifest", MANIFEST, "--frames", "0")
    assert mespot("submit", spotted, *options, "--out", out).exit_code == 0
    record = json.loads(mespot("submit", "--check", out, "--frames", "0", "--json").stdout)
    assert record["problems"] == []
    assert record["rows"] == {"cas_pred.csv": 1, "samm_pred.csv": 0}
    assert any("assumed" in note for note in record["notes"])


def test_every_problem_is_a_line_and_the_exit_code_is_2(bad):
    done = mespot("submit", "--check", bad)
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "cas_pred.csv, row 2: onset 9 does not come before offset 5",
        "cas_pred.csv, row 3: 'x' is none of me, mae",
    ]
    assert "cas_pred.csv: 2 problems, megc2023, cas_pred.csv 1 rows" in done.stdout
    record = json.loads(mespot("submit", "--check", bad, "--json").stdout)
    assert len(record["problems"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "megc2023"], "writing needs --format and --out"),
        (
            ["--format", "megc2023", "--out", "s.zip", "--manifest", MANIFEST],
            "'15_0101' is no video of megc2023",
        ),
        (["--format", "megc2000", "--out", "s.zip"], "challenge format 'megc2000' is unknown"),
        (["--format", "megc2021", "--out", "s.zip", "--manifest", MANIFEST], "megc2021 is one log"),
        (["--format", "megc2021", "--out", "a.txt", "--manifest", "nowhere"], "nowhere"),
        (["--check", "--frames", "2"], "frames '2' is unknown; known: number, 0, 1"),
        (["--check", "--order", "x"], "the order must be samm,cas or cas,samm"),
        (["--check"], "of which challenge? Name its format"),
    ],
)
def test_a_users_mistake_is_one_line(spotted, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = mespot("submit", spotted, *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["spotted.csv"]


def test_nothing_is_written_where_a_rule_is_broken(tmp_path):
    path = tmp_path / "spotted.csv"
    path.write_text(f"video,kind,onset,offset\n{VIDEO},ME,10,10\n{VIDEO},ME,5000,6000\n")
    done = mespot(
        "submit", path, "--format", "megc2020", "--manifest", MANIFEST, "--out", tmp_path / "log.txt"
    )
    assert done.exit_code == 2
    assert "log.txt: not written, because\n" in done.stderr
    assert "spotted onset 11 does not come before offset 11" in done.stderr
    assert "5001..6001 leaves the video, which has the frames 1..1080" in done.stderr
    assert not (tmp_path / "log.txt").exists()
