"""The command line: what it prints, and what it says to a user's mistake."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy import toy_manifest
from typer.testing import CliRunner

from mespot_lib import catalogue
from mespot_lib.cli import app
from mespot_lib.profiles import BY_DURATION, PROFILES
from mespot_lib.sweep import Summary

ROOT = Path(__file__).resolve().parents[1]
TRUTH = "video,kind,onset,offset\na,ME,10,19\na,MaE,40,79\nb,,,\n"
SPOTTED = "video,kind,onset,offset,score\na,ME,12,20,0.5\nb,MaE,3,4,0.1\n"


@pytest.fixture
def files(tmp_path):
    """A function that writes truth and spotted intervals and returns the options that name them."""

    def write(truth=TRUTH, spotted=SPOTTED):
        (tmp_path / "truth.csv").write_text(truth)
        (tmp_path / "spotted.csv").write_text(spotted)
        return ["--truth", str(tmp_path / "truth.csv"), "--spotted", str(tmp_path / "spotted.csv")]

    return write


def mespot(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# ---------------------------------------------------------------------------------------------------------------------
# score


def test_score_prints_exactly_the_promised_json(files):
    result = mespot("score", *files(), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "profile": "megc",
        "t_eval": 0.5,
        "ME": {"tp": 1, "fp": 0, "fn": 0, "precision": 1.0, "recall": 1.0, "f1": 1.0},
        "MaE": {"tp": 0, "fp": 1, "fn": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0},
        "overall": {"tp": 1, "fp": 1, "fn": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5},
    }


def test_score_by_video_adds_the_videos(files):
    record = json.loads(mespot("score", *files(), "--by", "video", "--json").stdout)
    assert list(record) == ["profile", "t_eval", "ME", "MaE", "overall", "videos"]
    assert set(record["videos"]) == {"a", "b"}
    assert record["videos"]["b"]["overall"]["fp"] == 1
    assert record["videos"]["b"]["ME"]["f1"] == 0.0


def test_score_prints_a_table(files):
    text = mespot("score", *files(), "--by", "video").stdout
    assert "profile megc, IoU at least 0.5, 2 videos" in text
    assert [line.split()[:2] for line in text.splitlines()[3:]][::3] == [
        ["a", "ME"],
        ["b", "ME"],
        ["all", "ME"],
    ]
    assert "overall     1    1    1      0.500   0.500  0.500" in text


def test_score_takes_another_threshold(files):
    record = json.loads(mespot("score", *files(), "--t-eval", "0.9", "--json").stdout)
    assert (record["t_eval"], record["ME"]["tp"]) == (0.9, 0)


@pytest.mark.parametrize("profile", PROFILES)
def test_score_knows_every_profile(files, profile):
    record = json.loads(mespot("score", *files(), "--profile", profile, "--json").stdout)
    assert record["profile"] == profile
    assert set(record["ME"]) >= {"tp", "fp", "fn", "precision", "recall", "f1"}
    assert ("right" in record["ME"]) == (profile == "mesnet")
    assert f"profile {profile}, IoU" in mespot("score", *files(), "--profile", profile).stdout


@pytest.mark.parametrize("profile", BY_DURATION)
def test_score_types_by_duration_at_the_frame_rate_given(files, tmp_path, profile):
    same = "video,kind,onset,offset\na,ME,0,50\n"
    options = [*files(same, same), "--profile", profile, "--json"]
    (tmp_path / "videos.csv").write_text("video,fps\na,200\n")
    for extra, kind in ([], "MaE"), (["--fps", "200"], "ME"), (["--videos", tmp_path / "videos.csv"], "ME"):
        assert json.loads(mespot("score", *options, *extra).stdout)[kind]["tp"] == 1


def test_score_by_subject_takes_subjects_from_the_table_of_videos(files, tmp_path):
    table = tmp_path / "videos.csv"
    table.write_text("video,subject,frames,fps\na,s1,100,30\nb,s2,100,30\n")
    options = [*files(), "--by", "subject", "--videos", table]
    record = json.loads(mespot("score", *options, "--json").stdout)
    assert list(record) == ["profile", "t_eval", "ME", "MaE", "overall", "subjects"]
    assert record["subjects"]["s2"]["overall"]["fp"] == 1
    assert "\ns2        ME" in mespot("score", *options).stdout
    table.write_text("video,subject\na,s1\n")
    assert "the subject of video b is not known" in mespot("score", *options).stderr


def test_score_tells_details(files, tmp_path):
    table = tmp_path / "videos.csv"
    table.write_text("video,subject,frames,fps\na,s1,100,30\nb,s2,100,30\n")
    options = [*files(), "--details", "--videos", table]
    record = json.loads(mespot("score", *options, "--json").stdout)
    assert record["details"]["mistakes"]["MaE"]["truth"]["missed"] == 1
    assert record["details"]["fp_per_minute"]["MaE"] == pytest.approx(9.0)
    assert "false positives per minute" in mespot("score", *options).stdout


def test_score_says_how_sure_the_lead_over_another_method_is(files, tmp_path):
    table, other = tmp_path / "videos.csv", tmp_path / "other.csv"
    table.write_text("video,subject\na,s1\nb,s2\n")
    other.write_text("video,kind,onset,offset\na,ME,60,70\nb,,,\n")
    options = [*files(), "--against", other, "--videos", table]
    lead = json.loads(mespot("score", *options, "--json").stdout)["lead"]
    assert lead["ME"]["f1"] == 1.0
    assert lead["ME"]["low"] == 0.0  # subject s1 is not always drawn
    assert "\nME       +1.000" in mespot("score", *options).stdout


@pytest.mark.parametrize("side", ["truth", "spotted"])
@pytest.mark.parametrize("dressed", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_score_reads_what_spreadsheets_write(files, side, dressed):
    plain = {"truth": TRUTH, "spotted": SPOTTED}
    expected = mespot("score", *files(), "--json").stdout
    assert mespot("score", *files(**plain | {side: dressed(plain[side])}), "--json").stdout == expected


def test_score_asks_for_videos_on_both_sides(files):
    alone = files(spotted="video,kind,onset,offset\na,ME,12,20\n")
    result = mespot("score", *alone)
    assert result.exit_code == 2
    assert result.stderr == "mespot: only truth has video b; both sides must know the same videos\n"
    allowed = json.loads(mespot("score", *alone, "--allow-missing", "--json").stdout)
    assert allowed["overall"]["fp"] == 0


@pytest.mark.parametrize(
    ("spotted", "extra", "message"),
    [
        ("", [], "spotted.csv: the file is empty"),
        ("video,kind,onset\n", [], "spotted.csv, row 1: column offset is missing"),
        (
            "video,kind,onset,offset\na,ME,x,3\n",
            [],
            "spotted.csv, row 2: onset must be a whole frame number, got 'x'",
        ),
        ("video,kind,onset,offset\na,ME,5,3\n", [], "spotted.csv, row 2: onset 5 comes after offset 3"),
        ("video,kind,onset,offset\na,micro,1,3\n", [], "spotted.csv, row 2: kind 'micro' is unknown"),
        ("video;kind;onset;offset\n", [], "spotted.csv, row 1: columns are separated by semicolons"),
        (SPOTTED, ["--profile", "none"], "unknown profile 'none'; known: megc"),
        (SPOTTED, ["--t-eval", "0"], "t_eval must lie in (0, 1], got 0.0"),
        (
            "video,kind,onset,offset\na,ME,1,3\na,ME,1,3\n",
            [],
            "spotted.csv, row 3: the same interval stands in row 2",
        ),
        ("video,kind,onset,offset\na,ME,1.5,3\n", [], "row 2: onset must be a whole frame number, got '1.5'"),
        ("video,kind,onset,offset\na,ME,0,12345678901\n", [], "row 2: offset must be a whole frame number"),
        ("video,kind,onset,offset\na,ME,1\n", [], "spotted.csv, row 2: 3 cells where the first row has 4"),
        ("video,kind,onset,offset,score\na,ME,1,3,high\n", [], "row 2: score must be a finite number"),
        (SPOTTED, ["--by", "day"], "--by 'day' is unknown; known: video, subject"),
        (SPOTTED, ["--by", "subject"], "--by subject needs --videos"),
        (SPOTTED, ["--against", "other.csv"], "--against needs --videos"),
        (SPOTTED, ["--videos", "no.csv"], "No such file or directory: 'no.csv'"),
        (SPOTTED, ["--profile", "qin", "--fps", "0"], "fps must be a positive number, got 0"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(files, spotted, extra, message):
    result = mespot("score", *files(spotted=spotted), *extra)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_the_installed_command_shows_no_traceback(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from mespot_lib.cli import app; app()",
        "score",
        "--truth",
        "no.csv",
        "--spotted",
        "x",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "mespot: no.csv: no such file\n")


def test_help_and_version_load_nothing_heavy():
    heavy = {"numpy", "pandas", "cv2", "torch", "matplotlib", "papermill", "scipy"}
    code = (
        "import sys; from mespot_lib.cli import app; app(['--help'], standalone_mode=False);"
        f"sys.exit(len({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("score", "synth", "manifest", "sweep", "report", "submit", "reproduce"):
        assert command in done.stdout
    assert mespot("--version").stdout.strip() == "0.1.0"


# ---------------------------------------------------------------------------------------------------------------------
# data, runs, report


def test_unknown_names_are_answered_with_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_DATA", str(tmp_path))
    for arguments, message in [
        (["synth", "synthetic_nothing"], "synthetic_nothing"),
        (["synth", "casme2"], "cannot be drawn"),
        (["synth", "--root", tmp_path], "name one"),
        (["manifest", "nothing"], "unknown"),
        (["manifest", "casme2"], "is not at"),
        (["sweep", "--seeds", "x"], "--seeds must be whole numbers"),
        (["sweep", "-p", "novalue"], "-p must be name=value"),
    ]:
        result = mespot(*arguments)
        assert result.exit_code == 2, arguments
        assert message in result.stderr
        assert "Traceback" not in result.stderr


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The toy data in place of every dataset, and an empty folder of reports."""
    monkeypatch.setattr(catalogue, "load_dataset", lambda name, root=None, policy=None: toy_manifest())
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path))
    return tmp_path


def test_sweep_plans_what_was_asked_for_and_tells_what_became_of_it(toy, monkeypatch):
    seen = []

    def fake(jobs, manifests, **options):
        seen.extend(job.run for job in jobs)
        return Summary(done=seen[:1], skipped=seen[1:-1], failed={"last": "because"})

    monkeypatch.setattr("mespot_lib.sweep.sweep", fake)
    options = ["--methods", "zhang2020", "--datasets", "toy", "--folds", "s02", "--seeds", "0,3"]
    result = mespot("sweep", *options, "-p", "remove_head_motion=false", "-p", "fix_policy=official_baseline")
    assert result.stdout == "1 runs done, 0 skipped, 1 failed\n"
    assert result.exit_code == 1
    assert [(run.fold, run.seed) for run in seen] == [("s02", 0), ("s02", 3)]
    assert seen[0].parameters == {"remove_head_motion": False, "fix_policy": "official_baseline"}


def test_a_dry_run_says_what_and_why_and_does_nothing(toy):
    options = ["--methods", "zhang2020", "--datasets", "toy", "--dry-run"]
    result = mespot("sweep", *options)
    assert result.stdout.splitlines() == [
        "run   missing   zhang2020 on toy, fold s01, quick, seed 0: never run",
        "run   missing   zhang2020 on toy, fold s02, quick, seed 0: never run",
        "2 of 2 runs would be executed",
    ]
    assert result.exit_code == 0
    rows = json.loads(mespot("sweep", *options, "--json").stdout)
    assert [(row["fold"], row["state"], row["run"]) for row in rows] == [
        ("s01", "missing", True),
        ("s02", "missing", True),
    ]
    assert not (toy / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "s77"], "unknown fold s77; known: s01, s02"),
        (["--methods", "magic"], "unknown method 'magic'; known: "),
        (["--profile", "slow"], "unknown profile 'slow'; known: quick, paper"),
        (["-p", "remove_head_moton=false"], "has no parameter remove_head_moton; it has: "),
    ],
)
def test_impossible_sweeps_are_refused(toy, options, message):
    result = mespot("sweep", "--datasets", "toy", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (toy / "runs").exists()


def test_report_prints_rows(toy):
    assert json.loads(mespot("report", "--json").stdout) == []
    assert "no finished run yet" in mespot("report").stdout
    (toy / "runs" / "toy" / "tiny" / "s01-half").mkdir(parents=True)
    assert "half-written" in mespot("report", "--json").stderr
    assert (toy / "report.html").exists()


def test_manifest_lists_counts_and_writes(toy):
    result = mespot("manifest", "toy", "--out", toy / "m")
    assert result.exit_code == 0, result.output
    lines = [line.split()[:2] for line in result.stdout.splitlines()]
    assert lines[:3] == [["count", "found"], ["subjects", "2"], ["videos", "4"]]
    assert "0 repairs and remarks, policy none" in result.stdout
    assert sorted(path.name for path in (toy / "m").iterdir()) == ["dataset.json", "events.csv", "videos.csv"]
    record = json.loads(mespot("manifest", "toy", "--json").stdout)
    assert (record["counts"]["ME"], record["counts"]["MaE"], record["repairs"]) == (2, 2, [])
    assert record["digest"] == toy_manifest().digest()


def test_manifest_checks_what_is_written(toy):
    folder = toy / "m"
    shutil.copytree(ROOT / "data_manifests" / "synthetic_casme2", folder)
    result = mespot("manifest", "--check", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{folder}: sound, 18 videos, 81 events\n"
    rows = (folder / "videos.csv").read_text().replace(",1080,1,1080,", ",1079,1,1080,")
    (folder / "videos.csv").write_text(rows)
    result = mespot("manifest", "--check", folder, "--json")
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["problems"]) == 18
    result = mespot("manifest", "--check", folder, toy)
    assert result.stderr.splitlines()[0].startswith("videos.csv, row 2: n_frames is 1079")
    assert len(result.stderr.splitlines()) == 36  # each of them, and the media are not there
    assert result.stdout == f"{folder}: 36 problems\n"
    assert mespot("manifest", "--check", toy / "none").exit_code == 2
