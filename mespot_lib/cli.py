"""The `mespot` command.

Each command is a few calls into the library, imported only when the command runs, so that `mespot --help` is quick.
What a user can put right (a malformed file, an unknown name) is one line on standard error and exit code 2.
"""

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import mespot_lib

# Two processes with a thread each are faster than one with two, and sums differ in the last bits between numbers of
# threads; numpy and torch look at these when they are imported, which the commands do later.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

app = typer.Typer(
    help="Spot facial micro- and macro-expressions in long videos: data, runs, scores, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_DATASETS = "synthetic_casme2,synthetic_samm_lv"

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes at work at the same time.")]
AllWorkers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes (or jobs) at work at the same time; by default what cores and memory allow."
    ),
]


def _explain(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the library's own errors and those of the file system into one line and exit code 2."""

    @functools.wraps(command)
    def explained(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (ValueError, OSError) as error:
            own = type(error).__module__.startswith("mespot_lib")
            if not own and not isinstance(error, OSError):
                raise  # a fault of the program, not of its input: the traceback is wanted
            typer.echo(f"mespot: {error}", err=True)
            raise typer.Exit(2) from None

    return explained


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(mespot_lib.__version__)
        raise typer.Exit


@app.command()
@_explain
def score(
    truth: Annotated[Path, typer.Option(help="CSV with the columns video, kind, onset, offset.")],
    spotted: Annotated[Path, typer.Option(help="CSV with the same columns; may add score.")],
    profile: Annotated[
        str,
        typer.Option(
            help="Rule of counting: megc, mesnet, class_agnostic, or that of a public evaluator: zhang2020, megc2020, "
            "softnet, slswin, lgsnet, qin, abpn."
        ),
    ] = "megc",
    t_eval: Annotated[float, typer.Option(help="Smallest intersection over union of a hit.")] = 0.5,
    by: Annotated[
        str, typer.Option(help="`video` or `subject`: also the counts of every video or subject.")
    ] = "",
    videos: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns video, subject, frames, fps, or videos.csv of a manifest."),
    ] = None,
    fps: Annotated[
        float, typer.Option(help="Frames per second where --videos does not tell; for kinds by duration.")
    ] = 30.0,
    details: Annotated[
        bool, typer.Option("--details", help="Also uncertainty, boundaries, mistakes, chance, and more.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option(help="Spotted intervals of another method: how sure is the lead?")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A video in one file only has no interval in the other.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score spotted intervals against true ones."""
    from mespot_lib import evaluation, metrics
    from mespot_lib.interval import read_intervals

    if by not in ("", "video", "subject"):
        raise metrics.MetricError(f"--by {by!r} is unknown; known: video, subject")
    for option, given in (("--by subject", by == "subject"), ("--against", against)):
        if given and videos is None:
            raise metrics.MetricError(
                f"{option} needs --videos, a table that names the subject of each video"
            )
    facts = evaluation.read_videos(videos) if videos else {}
    true, found, other = (read_intervals(path) if path else {} for path in (truth, spotted, against))
    rates = evaluation.fps_of(facts, [*true, *found, *other], fps)
    result = metrics.score(true, found, t_eval, profile, allow_missing, rates)
    parts = evaluation.by_subject(result, facts) if by == "subject" else result.videos if by else {}
    record: dict[str, Any] = {"profile": profile, "t_eval": t_eval, **result.as_dict()}
    if by:
        record[f"{by}s"] = {name: one.as_dict() for name, one in parts.items()}
    if against:
        second = metrics.score(true, other, t_eval, profile, allow_missing, rates)
        record["lead"] = {
            part: asdict(lead) for part, lead in evaluation.leads(result, second, facts).items()
        }
    if details:
        record["details"] = evaluation.details(true, found, result, facts, t_eval, profile, fps)
    if as_json:
        typer.echo(json.dumps(record, indent=2))
        return
    typer.echo(f"{evaluation.rule_text(profile, t_eval, fps)}, {len(result.videos)} videos\n")
    _echo_counts({name: one.as_dict() for name, one in [*parts.items(), ("all", result)]})
    if against:
        typer.echo(f"\nlead over {against}, 95 % interval over subjects")
        for part, lead in record["lead"].items():
            typer.echo(f"{part:<8}{lead['f1']:>+7.3f}{lead['low']:>+10.3f} to{lead['high']:>+7.3f}")
    if details:
        typer.echo("\n" + evaluation.details_text(record["details"]))


def _echo_counts(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    width = max([8, *map(len, rows)])
    typer.echo(f"{'':<{width}}  kind       TP   FP   FN  precision  recall     F1")
    for name, parts in rows.items():
        for part, counts in parts.items():
            typer.echo(f"{name:<{width}}  {part:<8}{_counts_text(counts)}")


def _counts_text(counts: Mapping[str, float]) -> str:
    whole = "".join(f"{counts[name]:>5}" for name in ("tp", "fp", "fn"))
    return f"{whole}{counts['precision']:>11.3f}{counts['recall']:>8.3f}{counts['f1']:>7.3f}"


@app.command()
@_explain
def synth(
    datasets: Annotated[str, typer.Argument(help="Names, separated by commas.")] = DEFAULT_DATASETS,
    root: Annotated[Path | None, typer.Option(help="Folder to draw into; one dataset only.")] = None,
    workers: Workers = 2,
) -> None:
    """Draw synthetic datasets, unless they are there already."""
    from mespot_lib.catalogue import dataset_root
    from mespot_lib.manifest import DatasetError
    from mespot_lib.synthetic.write import draw_dataset

    names = _names(datasets)
    if root and len(names) != 1:
        raise DatasetError("--root is for one dataset; name one")
    for name in names:
        typer.echo(f"{name}: {draw_dataset(name, root or dataset_root(name), workers)}")


@app.command()
@_explain
def manifest(
    dataset: Annotated[
        str,
        typer.Argument(help="Name of a dataset of data_manifests/; with --check a folder with a manifest."),
    ],
    root: Annotated[
        Path | None, typer.Argument(help="Where the dataset lies, if not at its usual place.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Fix policy of the labels.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second, where the files do not tell; with ROOT.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write dataset.json, videos.csv, events.csv to.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check the three files of a folder instead; with ROOT, the media too."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Read a dataset, list what was counted and repaired, and write its manifest; or check one that is written."""
    from mespot_lib.catalogue import counts_text, load_dataset, read_folder
    from mespot_lib.manifest import write_manifest

    if check:
        _check_manifest(Path(dataset), root, as_json)
        return
    found = read_folder(dataset, root, policy, fps) if root else load_dataset(dataset, policy=policy)
    repairs = found.repairs()
    if out:
        write_manifest(found, out)
    if as_json:
        lines = json.loads(repairs.to_json(orient="records"))
        record = {"dataset": dataset, "digest": found.digest(), "counts": found.counts(), "repairs": lines}
        typer.echo(json.dumps(record, indent=2))
        return
    typer.echo(counts_text(found))
    typer.echo(f"\n{len(repairs)} repairs and remarks, policy {found.descriptor['fix_policy']}")
    if len(repairs):
        typer.echo(repairs.fillna("").to_string(index=False))


def _check_manifest(folder: Path, root: Path | None, as_json: bool) -> None:
    """List every problem of a written manifest; exit with code 2 if there is one."""
    from mespot_lib.manifest import DatasetError, manifest_problems, read_manifest

    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; --check takes the folder of a written manifest")
    problems = manifest_problems(folder, root)
    if as_json:
        typer.echo(json.dumps({"manifest": str(folder), "problems": problems}, indent=2))
    else:
        for problem in problems:
            typer.echo(problem, err=True)
        size = f"{len(problems)} problems"
        if not problems:
            known = read_manifest(folder, root or folder)
            size = f"sound, {len(known.videos)} videos, {len(known.events)} events"
        typer.echo(f"{folder}: {size}")
    if problems:
        raise typer.Exit(2)


@app.command()
@_explain
def spot(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of numbered frames.")],
    fps: Annotated[
        float | None, typer.Option(help="Frames per second, where the file does not know or is wrong.")
    ] = None,
    method: Annotated[str, typer.Option(help="flow_peaks or zhang2020.")] = "flow_peaks",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default <name>_spotted.")
    ] = None,
    face: Annotated[
        str, typer.Option(help="Which face: largest, or its number from left to right, from 1.")
    ] = "largest",
    backend: Annotated[
        str, typer.Option(help="What finds the landmarks: auto, mediapipe, cascade.")
    ] = "auto",
    landmarks: Annotated[
        Path | None, typer.Option(help="Landmark file instead: .npz, or CSV of OpenFace.")
    ] = None,
    no_faces: Annotated[
        bool, typer.Option("--no-faces", help="No pixel of the video in the results; landmarks are drawn.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace results that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Spot expressions in a video of your own; write tables, a timeline and a report."""
    from mespot_lib import spot_page, user_video

    # a plea to end, as by ^C: what is half-written is removed on the way out
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    which = int(face) if face.isascii() and face.isdigit() else face
    given: dict[str, Any] = {"method": method, "face": which, "backend": backend}  # refused there if unknown
    bar = sys.stderr.isatty()
    folder = out or Path(f"{video.resolve().stem or 'video'}_spotted")
    with spot_page.reserved(folder, force) as partial:
        found = user_video.analyse_video(video, fps=fps, landmarks=landmarks, progress=bar, **given)
        spot_page.write_results(found, partial, faces=not no_faces)
    if as_json:
        record = spot_page.settings_record(found, not no_faces) | {"out": str(folder)}
        spans = json.loads(user_video.spotted_table(found).to_json(orient="records"))
        gaps = json.loads(user_video.gaps_table(found).to_json(orient="records"))
        typer.echo(json.dumps(record | {"spotted": spans if found.intervals else [], "gaps": gaps}, indent=2))
        return
    facts = user_video.summary(found)
    typer.echo(
        f"{facts['video']}: {facts['ME']} ME, {facts['MaE']} MaE in {facts['seconds']:.1f} s, "
        f"a face in {facts['face_share']:.0%} of the pictures\n"
    )
    if found.intervals:
        table = user_video.spotted_table(found)[["kind", "onset_s", "apex_s", "offset_s", "strength"]]
        typer.echo(table.to_string(index=False) + "\n")
    for line in facts["warnings"]:
        typer.echo(f"note: {line}")
    typer.echo(str(folder / "report.html"))


@app.command()
@_explain
def sweep(
    methods: Annotated[str, typer.Option(help="Names, separated by commas, or `all`.")] = "all",
    datasets: Annotated[str, typer.Option(help="Names, separated by commas.")] = DEFAULT_DATASETS,
    folds: Annotated[
        str, typer.Option(help="`all`, the first so many, or names separated by commas.")
    ] = "all",
    profile: Annotated[str, typer.Option(help="Size of the methods: quick or paper.")] = "quick",
    seeds: Annotated[str, typer.Option(help="Whole numbers, separated by commas.")] = "0",
    parameter: Annotated[
        list[str] | None, typer.Option("-p", help="name=value, a notebook parameter.")
    ] = None,
    workers: AllWorkers = None,
    scheduler: Annotated[
        str,
        typer.Option(
            help="Where the workers are, if not here: tcp://host:port, a scheduler file, or slurm, pbs, sge, lsf, "
            "oar, htcondor; `mespot cluster` has recipes."
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and why.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run what failed with this code and data once more.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Execute notebooks over datasets and folds, on this machine or a cluster; what is finished is skipped."""
    from mespot_lib import sweep as sweeping
    from mespot_lib.catalogue import load_dataset
    from mespot_lib.runs import NOTEBOOKS

    given = _parameters(parameter or [])
    numbers = _whole_numbers(seeds)
    manifests = {name: load_dataset(name, policy=given.get("fix_policy")) for name in _names(datasets)}
    chosen = list(NOTEBOOKS) if methods == "all" else _names(methods)
    jobs = sweeping.plan(chosen, manifests, folds, profile, numbers, given)
    if dry_run:
        _print_status(sweeping.status(jobs), retry_failed, as_json)
        return
    options = {"scheduler": scheduler, "retry_failed": retry_failed}
    raise typer.Exit(_sweep(jobs, manifests, workers, as_json, **options))


def _sweep(
    jobs: Sequence[Any],
    manifests: Mapping[str, Any],
    workers: int | None,
    as_json: bool = False,
    **options: Any,
) -> int:
    """Execute and print a summary; return the exit code, 1 if a run failed."""
    from mespot_lib import cluster
    from mespot_lib import sweep as sweeping

    # a plea to end, as by ^C: workers are ended and half-written runs removed on the way out
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    summary = sweeping.sweep(jobs, manifests, workers=workers or cluster.usable_workers(), **options)
    for run in summary.damaged:
        typer.echo(f"half-written, done again: {run}", err=True)
    for reason in summary.failed_before.values():
        typer.echo(f"failed before: {reason}", err=True)
    if as_json:
        listed = {name: list(map(str, getattr(summary, name))) for name in ("done", "skipped", "damaged")}
        failed = {"failed": summary.failed, "failed_before": summary.failed_before}
        typer.echo(json.dumps(listed | failed, indent=2))
    else:
        typer.echo(str(summary))
    return 1 if summary.failed or summary.failed_before else 0


def _print_status(found: Sequence[Any], retry_failed: bool, as_json: bool) -> None:
    waiting = {"missing", "stale", "damaged"} | ({"failed"} if retry_failed else set())
    rows = [
        {**asdict(one.job.run), "state": one.state, "why": one.why, "run": one.state in waiting}
        for one in found
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row, one in zip(rows, found, strict=True):
        typer.echo(
            f"{'run ' if row['run'] else 'skip'}  {one.state:<8}  {one.job.run}{': ' * bool(one.why)}{one.why}"
        )
    to_run = sum(row["run"] for row in rows)
    typer.echo(f"{to_run} of {len(rows)} runs would be executed")


@app.command()
@_explain
def cluster(
    kind: Annotated[str, typer.Argument(help="hosts, kubernetes, or slurm, pbs, sge, lsf, oar, htcondor.")],
    workers: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    address: Annotated[str, typer.Option(help="hosts: where the scheduler is to be.")] = "tcp://HOST:8786",
    host: Annotated[
        list[str] | None, typer.Option(help="hosts: a machine for a worker; several times.")
    ] = None,
    image: Annotated[str, typer.Option(help="kubernetes: container with mespot.")] = "",
    claim: Annotated[str, typer.Option(help="kubernetes: volume claim with the data, for all pods.")] = "",
    memory: Annotated[str, typer.Option(help="Of a worker, as `4 GB`, for kubernetes `4Gi`.")] = "",
    option: Annotated[
        list[str] | None,
        typer.Option("-o", help="batch systems: name=value of dask-jobqueue, as queue, account, walltime."),
    ] = None,
) -> None:
    """Print what starts workers elsewhere: commands, a job script, or a file for kubectl. Nothing is started."""
    from mespot_lib import cluster as recipes

    size: dict[str, Any] = {"memory": memory} if memory else {}
    if kind == "hosts":
        typer.echo(recipes.hosts_recipe(address, host or ["HOST"]))
    elif kind == "kubernetes":
        import yaml

        if not image:
            raise recipes.ClusterError("kubernetes needs --image, a container with mespot installed")
        spec = recipes.kubernetes_spec(image, workers, claim=claim, **size)
        typer.echo(yaml.safe_dump(spec, sort_keys=False), nl=False)
    elif kind in recipes.BATCH_SYSTEMS:
        typer.echo(recipes.batch_recipe(kind, workers, size | _parameters(option or [], "-o")))
    else:
        known = ", ".join(["hosts", "kubernetes", *recipes.BATCH_SYSTEMS])
        raise recipes.ClusterError(f"unknown kind of cluster {kind!r}; known: {known}")


@app.command()
@_explain
def report(
    reports: Annotated[
        Path | None, typer.Option(help="Folder with runs/; by default MESPOT_REPORTS, else reports/.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and report/; by default the same.")
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Pool the finished runs over folds, compare methods, and write one page with its tables beside it."""
    from mespot_lib.page import write_report
    from mespot_lib.runs import RunError

    if as_json and as_csv:
        raise RunError("--json and --csv exclude each other; both are written to files anyway")
    _print_report(*write_report(reports, out), as_json, as_csv)


@app.command()
@_explain
def explore(
    reports: Annotated[
        Path | None,
        typer.Option(help="Folder with runs/; by default one's own runs, else the reference results."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to serve on; any but this machine's own makes the page ask for a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port, or the next free one.")] = 8866,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Show finished runs in the threshold explorer, as a page in the browser."""
    from mespot_lib import explore_page

    folder = reports or explore_page.default_reports()
    with explore_page.served(folder, host, port, browser) as (voila, address):
        typer.echo(f"The threshold explorer of {folder} is at {address} (Ctrl+C ends it).")
        if voila.wait():
            raise explore_page.PageError(f"the page has ended; Voila's exit status is {voila.returncode}")


def _print_report(
    page: Path, table: list[dict[str, Any]], problems: list[str], as_json: bool, as_csv: bool = False
) -> None:
    from mespot_lib.page import csv_text
    from mespot_lib.report import table_text

    for problem in problems:
        typer.echo(f"not shown: {problem}", err=True)
    if as_json or as_csv:
        typer.echo(json.dumps(table, indent=2) if as_json else csv_text(table), nl=as_json)
        return
    typer.echo(table_text(table) if table else "no finished run yet; `mespot reproduce` makes some")
    typer.echo(f"\n{page}")


@app.command()
@_explain
def submit(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of spotted intervals or folders of runs; with --check what would be handed in."
        ),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Check a log, a file of predictions, a folder or a zip archive.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="megc2020, megc2021, megc2022, megc2023, or megc2024_str.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="A .zip archive or a folder; for a log a .txt, .log or .csv file.")
    ] = None,
    manifest: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with a manifest of the videos; with --check also a table of videos."),
    ] = None,
    frames: Annotated[
        str, typer.Option(help="How frames are counted: `number` as in the file names, from 0, or from 1.")
    ] = "number",
    header: Annotated[
        str | None, typer.Option(help="Another row of column names than the usual one.")
    ] = None,
    order: Annotated[str, typer.Option(help="Which dataset a log calls 1, and which 2.")] = "samm,cas",
    as_json: Json = False,
) -> None:
    """Write the files that a Micro-Expression Grand Challenge asks for, or check them."""
    from mespot_lib import challenge
    from mespot_lib import submit as writing

    given: dict[str, Any] = {"frames": frames, "order": _names(order)}
    if check:
        verdicts = {
            path: challenge.check_submission(path, form or None, videos=manifest or None, **given)
            for path in sources
        }
    else:
        if not form or out is None:
            raise challenge.SubmitError("writing needs --format and --out; --check checks what is there")
        verdicts = {out: writing.submit(sources, form, out, manifests=manifest or (), header=header, **given)}
    _print_verdicts(verdicts, as_json)
    if any(verdict.problems for verdict in verdicts.values()):
        raise typer.Exit(2)


def _print_verdicts(verdicts: Mapping[Path, Any], as_json: bool) -> None:
    for path, verdict in verdicts.items():
        rows = {file: len(rows) for file, rows in verdict.rows.items()}
        if as_json:
            record = {"path": str(path), "format": verdict.format, "rows": rows}
            typer.echo(json.dumps(record | {"problems": verdict.problems, "notes": verdict.notes}, indent=2))
            continue
        for problem in verdict.problems:
            typer.echo(problem, err=True)
        counts = ", ".join(f"{file} {count} rows" for file, count in rows.items())
        state = f"{len(verdict.problems)} problems" if verdict.problems else "sound"
        typer.echo(f"{path}: {state}, {verdict.format or 'format unknown'}{', ' * bool(counts)}{counts}")
        for note in verdict.notes:
            typer.echo(f"  note: {note}")


@app.command()
@_explain
def claims(
    file: Annotated[
        Path | None, typer.Option(help="Other claims than the project's reports/paper_claims.csv.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Audit the figures that the papers print: which of them cannot be true together."""
    from mespot_lib import claims as auditing

    found = auditing.read_claims(file)
    findings = auditing.audit(found)
    if as_json:
        record = {"claims": len(found), "findings": auditing.findings_records(findings)}
        typer.echo(json.dumps(record, indent=2))
        return
    typer.echo(auditing.findings_text(findings, len(found)))


@app.command()
@_explain
def reproduce(
    workers: AllWorkers = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every fold of every method, of the 200 fps set too.")
    ] = False,
) -> None:
    """Draw the synthetic datasets, run every method on every fold of them, write the report.

    Of the second set, at 200 fps, the methods that are trained run on one fold only; --full runs all.
    """
    from mespot_lib import sweep as sweeping
    from mespot_lib.catalogue import load_dataset
    from mespot_lib.page import write_report

    manifests = {name: load_dataset(name) for name in _names(DEFAULT_DATASETS)}
    jobs = sweeping.reproduction(manifests, full)
    code = _sweep(jobs, manifests, workers)
    _print_report(*write_report(), as_json=False)
    raise typer.Exit(code)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _whole_numbers(text: str) -> list[int]:
    from mespot_lib.runs import RunError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise RunError(f"--seeds must be whole numbers separated by commas, got {text!r}") from None


def _parameters(texts: list[str], option: str = "-p") -> dict[str, Any]:
    """Return name=value pairs; a value is read as JSON where it is that, else as text."""
    from mespot_lib.runs import RunError

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise RunError(f"{option} must be name=value, got {text!r}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found
