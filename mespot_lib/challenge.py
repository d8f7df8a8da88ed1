"""The files of the Micro-Expression Grand Challenges: their formats as text, both ways, and the rules they must keep.

| format             | what is handed in                      | columns                                                |
|--------------------|----------------------------------------|--------------------------------------------------------|
| megc2020, megc2021 | one log of hits, misses, false alarms  | video, true onset and offset, spotted ones, TP, FN, FP |
| megc2022, megc2023 | cas_pred.csv and samm_pred.csv, zipped | vid, pred_onset, pred_offset, type (`me`, `mae`)       |
| megc2024_str       | the same two files                     | subject, video, onset, offset, emotion                 |

The formats are those that public entries to the challenges wrote. What none of them states is assumed, and every
verdict says so: see `Format.assumed`. Frames are the numbers of the file names unless told otherwise, both ends
included.

A file to be checked may come from anywhere. Nothing is unpacked to disk, sizes are bounded, and what is odd is
reported as `file, row: rule`, not raised.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mespot_lib import evaluation
from mespot_lib.archive import archive_faults
from mespot_lib.datasets.megc_unseen import SETS
from mespot_lib.interval import Interval, iou
from mespot_lib.manifest import Manifest, read_manifest, records
from mespot_lib.synthetic.layouts import casme2, samm_lv

FRAMES = ("number", "0", "1")  # of the file names; positions from 0; positions from 1
TYPES = {"me": "ME", "mae": "MaE"}  # as in the files of 2022 and 2023 -> as everywhere else
EMOTIONS = ("negative", "positive", "surprise")
RESULTS = ("TP", "FN", "FP")
ORDER = ("samm", "cas")  # which dataset a log calls 1, and which 2; the official baseline's
PREDICTIONS = ("cas_pred.csv", "samm_pred.csv")
LOG_HEADER = "Video_ID,GT_onset,GT_offset,Predicted_onset,Predicted_offset,Result"

T_EVAL = 0.5  # smallest intersection over union of a hit
_LARGEST_FILE = 16 * 2**20  # bytes; submissions have some kB
_MOST_ROWS = 100_000
_LONGEST_CELL = 100
_ARCHIVES = (".zip", ".gz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz")


class SubmitError(ValueError):
    """A challenge file that cannot be written, or a request for one that makes no sense."""


@dataclass(frozen=True)
class Part:
    """The videos of one dataset in a challenge.

    video : pattern of their ids. known : all their ids, empty where any id of the pattern may occur.
    unnamed : how many more there are whose ids are not public.
    """

    video: str
    known: frozenset[str] = frozenset()
    unnamed: int = 0


@dataclass(frozen=True)
class Format:
    """The files of one challenge.

    headers : the rows of column names in use, the first one is written. labels : values of the last column.
    parts : the datasets, "cas" and "samm". assumed : what public entries leave open, and how it is taken here.
    """

    name: str
    headers: tuple[str, ...]
    labels: tuple[str, ...]
    parts: Mapping[str, Part]
    assumed: tuple[str, ...]

    @property
    def is_log(self) -> bool:
        """Return whether it is one log that compares with the truth, not two files of predictions."""
        return self.labels == RESULTS

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of the files, none for a log, which may have any."""
        return () if self.is_log else PREDICTIONS


_HEADERS = ("vid,pred_onset,pred_offset,type", "vid,onset,offset,type")
_ZIP = "both files stand at the root of one zip archive: assumed"
_FRAMES = (
    "whether frames are counted as in the file names, from 0 or from 1 is not published; --frames chooses"
)


def _unseen(name: str, unnamed: int = 0) -> Part:
    return Part(SETS[name].pattern, frozenset(SETS[name].ids), unnamed)


def _of_subjects(subjects: Iterable[int], videos: Iterable[str]) -> frozenset[str]:
    """Return `<subject>/<video>` of every pair; `{}` in a video stands for the subject."""
    return frozenset(f"{n}/{video.format(n)}" for n in subjects for video in videos)


_STIMULI = [stimulus for stimulus, _title in casme2.STIMULI.values()]
_LOG_PARTS = {"cas": Part(r"[0-9]{2}_[0-9]{4}"), "samm": Part(r"[0-9]{3}_[1-7]")}
_LOG_ASSUMED = (
    "the number of the dataset is 1 for SAMM-LV and 2 for CAS(ME)^2 in the official baseline, the reverse in some "
    "entries; --order chooses",
    "what is absent is a dash in the CSV variant too: assumed",
)

FORMATS = {
    one.name: one
    for one in (
        Format("megc2020", (LOG_HEADER,), RESULTS, _LOG_PARTS, _LOG_ASSUMED),
        Format("megc2021", (LOG_HEADER,), RESULTS, _LOG_PARTS, _LOG_ASSUMED),
        Format(
            "megc2022",
            _HEADERS,
            tuple(TYPES),
            {"cas": _unseen("megc2022_cas"), "samm": _unseen("megc2022_samm")},
            (_ZIP, _FRAMES),
        ),
        Format(
            "megc2023",
            _HEADERS,
            tuple(TYPES),
            {"cas": _unseen("megc2023_cas", unnamed=2), "samm": _unseen("megc2023_samm")},
            (_ZIP, _FRAMES),
        ),
        Format(
            "megc2024_str",
            ("subject,video,onset,offset,emotion",),
            EMOTIONS,
            {
                "cas": Part(r"[0-9]+/[a-z]+[0-9]", _of_subjects(range(1, 23), _STIMULI)),
                "samm": Part(
                    r"[0-9]+/[0-9]{3}_[0-9]",
                    _of_subjects(
                        map(int, samm_lv.SUBJECTS), [f"{{:03d}}_{n + 1}" for n in range(samm_lv.RECORDINGS)]
                    ),
                ),
            },
            (_ZIP, _FRAMES, "micro-expressions alone are handed in: assumed"),
        ),
    )
}


@dataclass(frozen=True)
class Row:
    """A row of a file of predictions, as it stands there; in `megc2024_str` the video is `<subject>/<video>`."""

    video: str
    onset: int
    offset: int
    label: str


@dataclass(frozen=True)
class LogRow:
    """A row of a log: a true and a spotted interval (onset, offset), None where there is none, and TP, FN or FP."""

    video: str
    truth: tuple[int, int] | None
    spotted: tuple[int, int] | None
    result: str


LogLine = tuple[
    int, list[str], str | None
]  # number of the row, its cells, and the part it belongs to, where known


@dataclass
class Verdict:
    """What a check found: `file, row: rule` of every problem, rows by file, and what was assumed or tolerated."""

    format: str = ""
    rows: dict[str, Sequence[Row] | Sequence[LogRow]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def get_format(name: str) -> Format:
    """Return a format by its name; raise `SubmitError` for an unknown one."""
    if name not in FORMATS:
        raise SubmitError(f"challenge format {name!r} is unknown; known: {', '.join(FORMATS)}")
    return FORMATS[name]


# ---------------------------------------------------------------------------------------------------------------------
# Ids and frames of a manifest in a challenge's own terms


def challenge_id(form: Format, row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the part ("cas" or "samm") and the id under which a row of a videos table is handed in.

    Raises
    ------
    SubmitError
        If the video is none of the challenge.
    """
    video = row["video_id"]
    if form.name == "megc2024_str":
        of_cas = row["subject_index"] is not None
        subject = str(row["subject_index"]) if of_cas else row["subject_id"].lstrip("0")
        video = f"{subject}/{row['stimulus'] if of_cas else video}"
    for name, part in form.parts.items():
        if re.fullmatch(part.video, video):
            return name, video
    raise SubmitError(f"{row['video_uid']}: {video!r} is no video of {form.name}")


def first_frame(row: Mapping[str, Any], frames: str) -> int:
    """Return what the first frame of a video is called under `frames`, one of `FRAMES`."""
    if frames not in FRAMES:
        raise SubmitError(f"frames {frames!r} is unknown; known: {', '.join(FRAMES)}")
    return row["first_frame_no"] if frames == "number" else int(frames)


def frame_ranges(
    videos: Iterable[Manifest | str | Path], form: Format, frames: str
) -> dict[str, tuple[int, int]]:
    """Return the first and the last frame that may be handed in for each video, by its id in the challenge.

    videos : each a manifest, the folder of one, or a CSV table with the columns video and frames. Such a table does not
        tell the number of the first frame, which is taken to be 1.
    """
    ranges: dict[str, tuple[int, int]] = {}
    for one in videos:
        if isinstance(one, str | Path) and not Path(one).is_dir():
            ranges |= _ranges_of_table(one, frames)
            continue
        manifest = one if isinstance(one, Manifest) else read_manifest(one, one)
        for row in records(manifest.videos):
            first = first_frame(row, frames)
            last = first + row["last_frame_no"] - row["first_frame_no"]
            ranges[challenge_id(form, row)[1]] = (first, last)
    return ranges


def _ranges_of_table(path: str | Path, frames: str) -> dict[str, tuple[int, int]]:
    first = 0 if frames == "0" else 1
    lengths = {video: facts.frames for video, facts in evaluation.read_videos(path).items() if facts.frames}
    return {video.rpartition("/")[2]: (first, first + length - 1) for video, length in lengths.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Rows -> text


def prediction_text(rows: Iterable[Row], header: str) -> str:
    """Return a file of predictions under one of a format's headers."""
    columns = len(header.split(","))
    lines = [[*row.video.split("/", columns - 4), row.onset, row.offset, row.label] for row in rows]
    return _csv([header.split(","), *lines])


def log_text(rows: Mapping[str, Sequence[LogRow]], order: Sequence[str] = ORDER) -> str:
    """Return a log as text: the number of each dataset on a line of its own, its rows below, as the baseline does."""
    lines = []
    for number, part in enumerate(order, start=1):
        lines += [str(number), *(_log_line(row) for row in rows.get(part, ()))]
    return "\n".join(lines) + "\n"


def _log_line(row: LogRow) -> str:
    video, *cells = _log_cells(row)
    line = f"{video}   {cells[0]}"
    for start, cell in zip((18, 26, 34, 42), cells[1:], strict=True):
        line = f"{line} ".ljust(start) + cell
    return line


def _log_cells(row: LogRow) -> list[str]:
    return [row.video, *(str(no) for span in (row.truth, row.spotted) for no in span or "--"), row.result]


def log_csv(rows: Mapping[str, Sequence[LogRow]], order: Sequence[str] = ORDER) -> str:
    """Return a log as CSV, which has no numbers of datasets: ids tell them apart."""
    return _csv([LOG_HEADER.split(","), *(_log_cells(row) for part in order for row in rows.get(part, ()))])


def _csv(lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# Text -> rows and problems


def parse_predictions(
    name: str, text: str, form: Format, ranges: Mapping[str, tuple[int, int]] | None = None, base: int = 0
) -> tuple[list[Row], list[str]]:
    """Return the rows of a file of predictions, and every broken rule as `file, row: rule`.

    name : of the file; its part ("cas" or "samm") follows from it. ranges : first and last frame by id.
    base : the smallest frame that can occur.
    """
    lines, problems = _csv_lines(name, text, form.headers)
    part = form.parts[name.partition("_")[0]]
    rows: list[Row] = []
    first_row: dict[Row, int] = {}
    for number, cells in lines:
        *ids, onset, offset, label = cells
        faults = [fault for cell in (*ids, label) for fault in _text_faults(cell)]
        faults += _id_faults("/".join(ids), part) if not faults else []
        faults += [] if label in form.labels else [f"{_short(label)} is none of {', '.join(form.labels)}"]
        span, wrong = _span(onset, offset, base)
        faults += wrong
        if span and not faults:
            row = Row("/".join(ids), *span, label)
            faults = _span_faults(row.video, span, ranges)
            if first_row.setdefault(row, number) != number:
                faults.append(f"the same row stands in row {first_row[row]}")
            rows.append(row)
        problems += [f"{name}, row {number}: {fault}" for fault in faults]
    return rows, problems


def _csv_lines(name: str, text: str, headers: Sequence[str]) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return (row number, cells) below the header of a CSV text, and what is wrong with its shape."""
    lines: list[tuple[int, list[str]]] = []
    problems: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        found = next(reader, [])
        if ",".join(found) not in headers:
            known = " or ".join(headers)
            return [], [f"{name}, row 1: the columns must be {known}, found {_short(','.join(found))}"]
        for cells in reader:
            number = reader.line_num
            if len(lines) >= _MOST_ROWS:
                return lines, [*problems, f"{name}, row {number}: more than {_MOST_ROWS} rows"]
            if not cells:
                continue
            if len(cells) == len(found) and max(map(len, cells)) <= _LONGEST_CELL:
                lines.append((number, cells))
            else:
                odd = f"{len(cells)} cells where {len(found)} belong"
                odd = odd if len(cells) != len(found) else f"a cell of more than {_LONGEST_CELL} characters"
                problems.append(f"{name}, row {number}: {odd}")
    except csv.Error as error:
        problems.append(f"{name}, row {reader.line_num}: not valid CSV ({error})")
    return lines, problems


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _text_faults(cell: str) -> list[str]:
    if cell[:1] in ("=", "+", "-", "@"):
        return [f"{_short(cell)} begins like a formula of a spreadsheet"]
    plain = cell.isprintable() and cell == cell.strip()
    return [] if plain else [f"{_short(cell)} holds odd characters or blanks"]


def _id_faults(video: str, part: Part) -> list[str]:
    """Return what is wrong with an id; ids that are not public are counted later, where the file is known whole."""
    if video in part.known:
        return []
    if re.fullmatch(part.video, video) and (part.unnamed or not part.known):
        return []
    return [f"{_short(video)} is no video of this part of the challenge"]


def _span(onset: str, offset: str, base: int) -> tuple[tuple[int, int] | None, list[str]]:
    faults = []
    for name, cell in (("onset", onset), ("offset", offset)):
        if not re.fullmatch(r"[0-9]{1,7}", cell):  # seven digits at 200 frames per second are fourteen hours
            faults.append(f"{name} must be a whole frame number of at most 7 digits, found {_short(cell)}")
        elif int(cell) < base:
            faults.append(f"{name} {cell} comes before the first frame, {base}")
    return (None if faults else (int(onset), int(offset))), faults


def _span_faults(
    video: str, span: tuple[int, int], ranges: Mapping[str, tuple[int, int]] | None
) -> list[str]:
    onset, offset = span
    faults = [] if onset < offset else [f"onset {onset} does not come before offset {offset}"]
    first, last = (ranges or {}).get(video, (onset, offset))
    if onset < first or offset > last:
        faults.append(f"{onset}..{offset} leaves the video, which has the frames {first}..{last}")
    return faults


def parse_log(
    name: str,
    text: str,
    form: Format,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    base: int = 0,
    order: Sequence[str] = ORDER,
) -> tuple[list[LogRow], list[str]]:
    """Return the rows of a log, text or CSV, and every broken rule as `file, row: rule`."""
    if text.startswith(LOG_HEADER.partition(",")[0]):
        table, problems = _csv_lines(name, text, form.headers)
        lines: list[LogLine] = [(number, cells, None) for number, cells in table]
    else:
        lines, problems = _log_lines(name, text, order)
    rows: list[LogRow] = []
    first_row: dict[tuple, int] = {}
    for number, cells, part in lines:
        row, faults = _log_row(cells, form, part, base)
        if row is not None:
            faults = _log_faults(row, ranges)
            for side, span in (("true", row.truth), ("spotted", row.spotted)):
                at = first_row.setdefault((row.video, side, span), number) if span else number
                if span and at != number:
                    faults.append(f"the {side} interval {span[0]}..{span[1]} stands in row {at} already")
            rows.append(row)
        problems += [f"{name}, row {number}: {fault}" for fault in faults]
    return rows, problems


def _log_lines(name: str, text: str, order: Sequence[str]) -> tuple[list[LogLine], list[str]]:
    """Return (row number, cells, part) of a log in text, and what is wrong with its shape."""
    lines: list[LogLine] = []
    problems: list[str] = []
    seen: list[str] = []
    part = None
    for number, line in enumerate(text.split("\n"), start=1):
        cells = line.split()
        if len(lines) >= _MOST_ROWS:
            return lines, [*problems, f"{name}, row {number}: more than {_MOST_ROWS} rows"]
        if not cells:
            continue
        if len(cells) == 1:
            known = cells[0] in ("1", "2") and cells[0] not in seen
            part = order[int(cells[0]) - 1] if known else None
            seen += cells if known else []
            if not known:
                problems.append(f"{name}, row {number}: the number of a dataset must be 1 or 2, each once")
        elif len(cells) != 6 or len(line) > 6 * _LONGEST_CELL:
            problems.append(f"{name}, row {number}: {len(cells)} cells where 6 belong")
        elif part is None:
            problems.append(f"{name}, row {number}: stands below no number of a dataset")
        else:
            lines.append((number, cells, part))
    return lines, problems


def _log_row(
    cells: Sequence[str], form: Format, part: str | None, base: int
) -> tuple[LogRow | None, list[str]]:
    video, *frames, result = cells
    parts = [form.parts[part]] if part else form.parts.values()
    faults = _text_faults(video)
    if not faults and not any(re.fullmatch(one.video, video) for one in parts):
        faults.append(f"{_short(video)} is no video of this dataset; is --order right?")
    if result not in RESULTS:
        return None, [*faults, f"{_short(result)} is none of {', '.join(RESULTS)}"]
    spans = []
    for side, pair, belongs in (
        ("true", frames[:2], result != "FP"),
        ("spotted", frames[2:], result != "FN"),
    ):
        span, wrong = _span(pair[0], pair[1], base) if belongs else (None, [])
        faults += [f"{side} {fault}" for fault in wrong]
        if not belongs and set(pair) - {"-", ""}:
            faults.append(f"{result} has a {side} interval, where - and - belong")
        spans.append(span)
    return (None if faults else LogRow(video, spans[0], spans[1], result)), faults


def _log_faults(row: LogRow, ranges: Mapping[str, tuple[int, int]] | None) -> list[str]:
    faults = []
    if row.truth and row.truth[0] > row.truth[1]:  # annotations of one frame do occur
        faults.append(f"true onset {row.truth[0]} comes after its offset {row.truth[1]}")
    if row.spotted:
        faults += [f"spotted {fault}" for fault in _span_faults(row.video, row.spotted, ranges)]
    if row.result == "TP" and row.truth and row.spotted and not faults:
        overlap = iou(Interval(*row.truth, "ME"), Interval(*row.spotted, "ME"))
        if overlap < T_EVAL:
            faults.append(f"TP, but the intervals overlap by {overlap:.2f}, less than {T_EVAL:g}")
    return faults


# ---------------------------------------------------------------------------------------------------------------------
# Checking a file, a folder, or a zip archive


def check_submission(
    path: str | Path,
    name: str | None = None,
    *,
    frames: str = "number",
    videos: Iterable[Manifest | str | Path] | None = None,
    order: Sequence[str] = ORDER,
) -> Verdict:
    """Check what would be handed in and return every problem; a sound submission has none.

    Parameters
    ----------
    path : a log, one of the two files of predictions, a folder with both, or a zip archive.
    name : of the format; by default what columns and ids suggest.
    frames : how frames are counted, one of `FRAMES`.
    videos : if given, intervals must lie inside their videos; see `frame_ranges`.
    order : which dataset a log calls 1, and which 2.

    Raises
    ------
    SubmitError
        If there is no such file, or its format is not to be recognised. What is wrong inside is not raised.
    """
    path = Path(path)
    if sorted(order) != sorted(ORDER):
        raise SubmitError(f"the order must be samm,cas or cas,samm, got {','.join(order)!r}")
    base = first_frame({"first_frame_no": 0}, frames)
    verdict = Verdict()
    texts = {
        file: _decode(file, data, verdict.problems)
        for file, data in _read_files(path, verdict.problems).items()
    }
    if not texts and not verdict.problems:
        raise SubmitError(f"{path}: holds neither cas_pred.csv nor samm_pred.csv")
    if not texts or (verdict.problems and not any(texts.values())):
        return verdict
    form = get_format(name or _recognise(path, texts))
    ranges = frame_ranges(videos, form, frames) if videos is not None else None
    verdict.format = form.name
    verdict.notes += form.assumed
    for file in form.files:
        if file not in texts:
            alone = path.is_file() and not _is_zip(path)
            place = verdict.notes if alone else verdict.problems
            place.append(f"{path.name}: {file} is {'not checked' if alone else 'missing'}")
    for file, text in texts.items():
        rows: Sequence[Row] | Sequence[LogRow] = ()
        if form.is_log:
            rows, problems = parse_log(file, text, form, ranges, base, order)
        elif file in form.files:
            rows, problems = parse_predictions(file, text, form, ranges, base)
            problems += _unnamed(file, rows, form, verdict.notes)
        else:
            problems = [f"{file}: must be called {' or '.join(form.files)}"]
        verdict.rows[file] = rows
        verdict.problems += problems
        if not rows and not problems:
            verdict.notes.append(f"{file}: has no row, so nothing was spotted")
        unknown = {row.video for row in rows} - set(ranges) if ranges is not None else ()
        if unknown:
            verdict.notes.append(f"{file}: the frames of {len(unknown)} videos are not known, so not checked")
    return verdict


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return path.suffix.lower() == ".zip" or file.read(4) == b"PK\x03\x04"


def _read_files(path: Path, problems: list[str]) -> dict[str, bytes]:
    """Return the content of the files by name; what is not to be read is added to `problems`."""
    if path.is_dir():
        return _read_plain([path / file for file in PREDICTIONS if (path / file).is_file()], problems)
    if not path.is_file():
        raise SubmitError(f"{path}: no such file or folder")
    if _is_zip(path):
        return _read_zip(path, problems)
    return _read_plain([path], problems)


def _read_plain(paths: Iterable[Path], problems: list[str]) -> dict[str, bytes]:
    content = {}
    for path in paths:
        if path.stat().st_size > _LARGEST_FILE:
            problems.append(f"{path.name}: larger than {_LARGEST_FILE // 2**20} MB")
        else:
            content[path.name] = path.read_bytes()
    return content


def _read_zip(path: Path, problems: list[str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist()]
            faults = archive_faults(archive, _LARGEST_FILE) or [
                fault for name in names for fault in _name_faults(name)
            ]
            problems += [f"{path.name}: {fault}" for fault in faults]
            return {} if faults else {name: archive.read(name) for name in names}
    except Exception as error:  # zipfile raises many kinds for a damaged archive
        problems.append(f"{path.name}: not a zip archive that can be read ({error})")
        return {}


def _name_faults(name: str) -> list[str]:
    if name.lower().endswith(_ARCHIVES):
        return [f"{_short(name)} is an archive in an archive"]
    belongs = name in PREDICTIONS
    return (
        [] if belongs else [f"{_short(name)} does not belong; at its root stand {' and '.join(PREDICTIONS)}"]
    )


def _decode(name: str, data: bytes, problems: list[str]) -> str:
    """Return a file as text with plain line ends; what an evaluator may stumble over is added to `problems`."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append(f"{name}, row 1: UTF-16; save it as UTF-8")
        return ""
    if b"\0" in data:
        problems.append(f"{name}, row {data[: data.index(0)].count(10) + 1}: a zero byte; this is no text")
        return ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(f"{name}, row {data[: error.start].count(10) + 1}: not UTF-8")
        return ""
    if text.startswith("\ufeff"):
        problems.append(f"{name}, row 1: begins with a byte-order mark; save it as UTF-8 without")
    if "\r" in text:
        row = text[: text.index("\r")].count("\n") + 1
        problems.append(f"{name}, row {row}: Windows line ends; save it with LF alone")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _recognise(path: Path, texts: Mapping[str, str]) -> str:
    """Return the format that columns and ids suggest."""
    for text in texts.values():
        header = text.partition("\n")[0].strip()
        if header.startswith("Video_ID") or header in ("1", "2"):
            return "megc2021"
        if header.startswith("subject,"):
            return "megc2024_str"
    if any(re.match(r"sub[0-9]", line) for text in texts.values() for line in text.split("\n")[1:]):
        return "megc2022"
    if any(text.startswith("vid,") for text in texts.values()):
        return "megc2023"
    raise SubmitError(f"{path}: of which challenge? Name its format: {', '.join(FORMATS)}")


def _unnamed(file: str, rows: Sequence[Row], form: Format, notes: list[str]) -> list[str]:
    """Tolerate as many unknown ids as are not public, and note them; return a problem where there are more."""
    part = form.parts[file.partition("_")[0]]
    unknown = sorted({row.video for row in rows} - part.known) if part.known else []
    listed = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
    if len(unknown) > part.unnamed:
        return [f"{file}: {listed} are unknown, but the ids of {part.unnamed} videos alone are not public"]
    if unknown:
        notes.append(f"{file}: {listed} taken for videos whose ids are not public")
    return []
