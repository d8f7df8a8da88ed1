"""Writing challenge files: from spotted intervals or finished runs to what `mespot_lib.challenge` describes."""

import csv
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mespot_lib.catalogue import load_dataset
from mespot_lib.challenge import (
    EMOTIONS,
    ORDER,
    T_EVAL,
    TYPES,
    Format,
    LogRow,
    Row,
    SubmitError,
    Verdict,
    challenge_id,
    check_submission,
    first_frame,
    get_format,
    log_csv,
    log_text,
    prediction_text,
)
from mespot_lib.interval import Interval, read_intervals
from mespot_lib.manifest import Manifest, read_manifest, records
from mespot_lib.metrics import match
from mespot_lib.report import pool_results
from mespot_lib.runs import Result, read_result

Spans = Mapping[str, Sequence[Interval]]


def submit(
    sources: Sequence[str | Path],
    name: str,
    out: str | Path,
    *,
    manifests: Sequence[str | Path] = (),
    frames: str = "number",
    header: str | None = None,
    order: Sequence[str] = ORDER,
) -> Verdict:
    """Write what was spotted as a challenge asks for it, and check it.

    Parameters
    ----------
    sources : tables of spotted intervals, folders of runs, or folders that hold runs of one method.
    name : of the format.
    out : a zip archive (`.zip`) or else a folder for the two files of predictions; a log is CSV if it is called so.
    manifests : folders with the manifests of the videos; by default the datasets are read where they lie.
    frames : how frames are counted, one of `FRAMES`.
    header : one of the format's rows of column names, by default the first.
    order : which dataset a log calls 1, and which 2.

    Raises
    ------
    SubmitError
        If a source or manifest does not fit, or what would be handed in breaks a rule; the message lists every problem,
        and nothing is written.
    """
    form, out = get_format(name), Path(out)
    header = header or form.headers[0]
    if header not in form.headers:
        raise SubmitError(f"header {header!r} is not in use in {name}; known: {' and '.join(form.headers)}")
    spotted, policies = read_spotted(sources)
    if manifests:
        known = [read_manifest(folder, folder) for folder in manifests]
    else:
        datasets = sorted({uid.partition("/")[0] for uid in spotted})
        known = [load_dataset(dataset, policy=policies.get(dataset), draw=False) for dataset in datasets]
    if form.is_log:
        rows = log_rows(form, spotted, known, frames)
        files = {out.name: (log_csv if out.suffix == ".csv" else log_text)(rows, order)}
    else:
        emotions = read_emotions(sources) if form.labels == EMOTIONS else None
        predicted = prediction_rows(form, spotted, known, frames, emotions)
        files = {file: prediction_text(lines, header) for file, lines in predicted.items()}
    verdict = write_submission(out, files, name, frames=frames, videos=known, order=order)
    if any(manifest.descriptor["synthetic"] for manifest in known):
        verdict.notes.append("synthetic data: for practice, no challenge has these videos")
    return verdict


def read_spotted(sources: Iterable[str | Path]) -> tuple[dict[str, list[Interval]], dict[str, str]]:
    """Return the intervals of every video, and the fix policy of every dataset that a run tells it of.

    Raises
    ------
    SubmitError
        If two sources, or runs of two methods in one folder, have the same video.
    """
    spotted: dict[str, list[Interval]] = {}
    policies: dict[str, str] = {}
    for source in map(Path, sources):
        tables = [read_intervals(source)] if source.is_file() else []
        if source.is_dir():
            pooled = pool_results(_results(source))
            tables = [one.spotted for one in pooled]
            policies |= {one.record["dataset"]: one.record["fix_policy"] for one in pooled}
        elif not tables:
            raise SubmitError(f"{source}: no such file or folder")
        for table in tables:
            twice = sorted(set(table) & set(spotted))
            if twice:
                raise SubmitError(
                    f"{source}: video {twice[0]} is there twice; name the runs of one method and protocol"
                )
            spotted |= table
    return spotted, policies


def _results(folder: Path) -> list[Result]:
    stored = [path.parent for path in sorted(folder.rglob("result.json"))]
    finished = [one for one in stored if not {"failed", ".partial"} & set(one.relative_to(folder).parts)]
    if not finished:
        raise SubmitError(f"{folder}: no finished run in this folder")
    return [read_result(one) for one in finished]


def read_emotions(sources: Iterable[str | Path]) -> dict[tuple[str, int, int], str]:
    """Return the column `emotion` of sound tables of spotted intervals, by (video, onset, offset)."""
    emotions = {}
    for source in map(Path, sources):
        if not source.is_file():
            continue
        with open(source, newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                cells = {name.strip(): (cell or "").strip() for name, cell in row.items() if name}
                if cells.get("kind") == "ME":
                    key = cells["video"], int(cells["onset"]), int(cells["offset"])
                    emotions[key] = cells.get("emotion", "")
    return emotions


# ---------------------------------------------------------------------------------------------------------------------
# Spotted intervals -> rows


def prediction_rows(
    form: Format,
    spotted: Spans,
    manifests: Iterable[Manifest],
    frames: str = "number",
    emotions: Mapping[tuple[str, int, int], str] | None = None,
) -> dict[str, list[Row]]:
    """Return the rows of both files of a challenge, videos and intervals in order.

    Parameters
    ----------
    spotted : intervals of each video by its uid, on the frame axis.
    frames : one of `FRAMES`.
    emotions : for `megc2024_str`, by (uid, onset, offset) of every micro-expression; macro-expressions are left out.

    Raises
    ------
    SubmitError
        If a video is not in the manifests or none of the challenge, or a micro-expression has no emotion.
    """
    rows: dict[str, list[Row]] = {f"{part}_pred.csv": [] for part in form.parts}
    known = _videos(manifests)
    for uid in sorted(spotted):
        if uid not in known:
            raise SubmitError(f"video {uid} is in no manifest given; name its manifest")
        part, video = challenge_id(form, known[uid])
        first = first_frame(known[uid], frames)
        for span in sorted(spotted[uid]):
            label = _label(form, uid, span, emotions or {})
            if label is not None:
                rows[f"{part}_pred.csv"].append(Row(video, first + span.onset, first + span.offset, label))
    return rows


def _videos(manifests: Iterable[Manifest]) -> dict[str, Mapping[str, Any]]:
    return {row["video_uid"]: row for manifest in manifests for row in records(manifest.videos)}


def _label(
    form: Format, uid: str, span: Interval, emotions: Mapping[tuple[str, int, int], str]
) -> str | None:
    if form.labels != EMOTIONS:
        return next(label for label, kind in TYPES.items() if kind == span.kind)
    if span.kind != "ME":
        return None
    emotion = emotions.get((uid, span.onset, span.offset))
    if not emotion:
        raise SubmitError(
            f"{uid}: ME {span.onset}..{span.offset} has no emotion; {form.name} needs the column emotion"
        )
    return emotion


def log_rows(
    form: Format, spotted: Spans, manifests: Sequence[Manifest], frames: str = "number"
) -> dict[str, list[LogRow]]:
    """Return the rows of a log by part, "cas" and "samm": every video of the manifests, spotted or not.

    True and spotted intervals are paired by the challenge's rule: IoU of at least 0.5, one to one, per kind. The rows
    of a video are in the order of their first frame, both kinds together.

    Raises
    ------
    SubmitError
        If a video is not in the manifests, or none of the challenge.
    """
    rows: dict[str, list[LogRow]] = {part: [] for part in form.parts}
    known = _videos(manifests)
    unknown = sorted(set(spotted) - set(known))
    if unknown:
        raise SubmitError(f"video {unknown[0]} is in no manifest given; name its manifest")
    truth = {uid: manifest.truth(uid) for manifest in manifests for uid in manifest.uids}
    for uid in sorted(known):
        part, video = challenge_id(form, known[uid])
        rows[part] += _video_log(video, truth[uid], spotted.get(uid, ()), first_frame(known[uid], frames))
    return rows


def _video_log(
    video: str, truth: Sequence[Interval], spotted: Sequence[Interval], first: int
) -> list[LogRow]:
    pairs = dict(match(truth, spotted, T_EVAL))
    true, found = ([(first + s.onset, first + s.offset) for s in spans] for spans in (truth, spotted))
    rows = [LogRow(video, true[t], found[s], "TP") for t, s in pairs.items()]
    rows += [LogRow(video, true[t], None, "FN") for t in range(len(truth)) if t not in pairs]
    rows += [LogRow(video, None, found[s], "FP") for s in set(range(len(spotted))) - set(pairs.values())]
    return sorted(rows, key=lambda row: (min(filter(None, (row.truth, row.spotted))), row.result))


# ---------------------------------------------------------------------------------------------------------------------
# Rows -> files


def hand_in(
    path: str | Path, spotted: Spans, videos: Sequence[Manifest], name: str, frames: str = "number"
) -> Verdict:
    """Write what was spotted in the videos of both parts as a challenge asks for it, with kinds, and check it.

    Raises
    ------
    SubmitError
        As `prediction_rows` and `write_submission`.
    """
    form = get_format(name)
    rows = prediction_rows(form, spotted, videos, frames)
    files = {file: prediction_text(lines, form.headers[0]) for file, lines in rows.items()}
    return write_submission(path, files, name, frames=frames, videos=videos)


def write_submission(
    path: str | Path,
    files: Mapping[str, str],
    name: str,
    *,
    frames: str = "number",
    videos: Iterable[Manifest] | None = None,
    order: Sequence[str] = ORDER,
) -> Verdict:
    """Write `files`, text by name, into a zip archive (`.zip`), a folder, or, a log, as one file; then check it.

    All appears at once under its name, and only if it is sound.

    Raises
    ------
    SubmitError
        If it breaks a rule; the message lists every problem.
    """
    path = Path(path)
    form = get_format(name)
    if form.is_log != (path.suffix in (".txt", ".log", ".csv")):
        raise SubmitError(
            f"{path}: {name} is {'one log, .txt, .log or .csv' if form.is_log else 'a .zip archive or a folder'}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        _write(draft, files, form)
        verdict = check_submission(draft, name, frames=frames, videos=videos, order=order)
        if verdict.problems:
            raise SubmitError("\n".join([f"{path}: not written, because", *verdict.problems]))
        if draft.is_dir() and path.is_dir():  # a folder that holds other things keeps them
            for file in files:
                os.replace(draft / file, path / file)
        else:
            os.replace(draft, path)
    return verdict


def _write(path: Path, files: Mapping[str, str], form: Format) -> None:
    data = {file: text.encode("utf-8") for file, text in files.items()}
    if form.is_log:
        path.write_bytes(*data.values())
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in data.items():  # no time of writing: equal rows make equal archives
                archive.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)
    else:
        path.mkdir()
        for file, content in data.items():
            (path / file).write_bytes(content)
