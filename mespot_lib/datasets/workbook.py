"""Workbooks as plain cells: values only, text stays text, and every row knows where it stands.

Spreadsheet libraries that guess turn the text `0101` into the number 101 and `006` into 6. Here a cell keeps its kind:

    n   number     t   text     e   empty

A row of cells is stored in the events table as text columns plus `cell_kinds`, one letter per field of `CELLS`, so that
the native row can be written again exactly.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mespot_lib.archive import archive_faults
from mespot_lib.manifest import DatasetError

Cell = str | int | float | None

# The fields of the events table that hold a cell as it is in the workbook; `cell_kinds` has a letter for each.
CELLS = (
    "subject_raw",
    "expr_id_raw",
    "inducement",
    "onset_raw",
    "apex_raw",
    "offset_raw",
    "duration_raw",
    "type_raw",
    "au_raw",
    "emotion_raw",
    "self_report",
    "notes",
)

_LARGEST_WORKBOOK = 64 * 2**20  # bytes, packed or unpacked; the largest released workbook is below 1 MB
# What spreadsheet programs themselves can hold in a cell and in a column, and far more than any table of labels has.
_LONGEST_CELL, _LAST_ROW = 32_767, 2**20
_MOST_ROWS, _MOST_COLUMNS = 65_536, 256
_LARGEST_NUMBER = 1e15  # beyond, spreadsheets do not keep every digit


class NoWorkbookError(DatasetError):
    """A workbook is not where it belongs."""


@dataclass(frozen=True)
class Sheet:
    """One sheet: `rows` holds (row number from 1, cells) of every row that is not empty."""

    path: Path
    name: str
    rows: tuple[tuple[int, tuple[Cell, ...]], ...]

    def place(self, number: int) -> str:
        """Return `<file>!<sheet>!<row>`."""
        return f"{self.path.name}!{self.name}!{number}"


def find_workbook(root: Path, names: Sequence[str], pattern: str, folders: Sequence[str] = ("",)) -> Path:
    """Return the first workbook that is there: the `names` in order, then any whose name matches `pattern`.

    Parameters
    ----------
    folders : where to look, relative to `root`, the first of them for each name first.

    Raises
    ------
    NoWorkbookError
        If there is none; workbooks of the old `.xls` kind are pointed out.
    """
    places = [root / folder for folder in folders if (root / folder).is_dir()]
    paths = [path for place in places for path in sorted(place.iterdir()) if path.is_file()]
    files: dict[str, Path] = {}
    for path in paths:
        files.setdefault(path.name.lower(), path)
    matching = sorted((name for name in files if re.fullmatch(pattern, name, re.IGNORECASE)), reverse=True)
    for name in [*(name.lower() for name in names), *matching]:
        if name in files:
            return files[name]
    stems = [Path(name).stem.lower() for name in names]
    old = sorted(
        (path for path in paths if path.suffix.lower() == ".xls"), key=lambda p: p.stem.lower() not in stems
    )
    hint = f"; save {old[0].name} as .xlsx first" if old else ""
    where = "this folder" if len(places) < 2 else " or ".join(folder or "this folder" for folder in folders)
    raise NoWorkbookError(f"{root}: no workbook {' or '.join(names)} in {where}{hint}")


def read_sheets(path: Path) -> list[Sheet]:
    """Return the sheets of a workbook in order, values only.

    A formula counts as the value that was stored with it when the workbook was last saved; nothing is computed and no
    other file is opened.

    Raises
    ------
    DatasetError
        If the file is no workbook, or is too large when unpacked; if a cell holds a date, truth value, error value,
        a formula without stored value or one that refers to another workbook; or if there are absurdly many rows or
        columns, or an absurdly long text or large number.
    """
    import openpyxl

    _refuse_bombs(path)
    try:
        values, formulas = (
            openpyxl.load_workbook(path, read_only=True, data_only=data_only, keep_links=False)
            for data_only in (True, False)
        )
        try:
            return [_sheet(path, *pair) for pair in zip(values.worksheets, formulas.worksheets, strict=True)]
        finally:
            values.close()
            formulas.close()
    except DatasetError:
        raise
    except Exception as error:  # openpyxl raises many kinds for a damaged file, some of them late
        raise DatasetError(f"{path}: not a readable .xlsx workbook ({error})") from None


def _refuse_bombs(path: Path) -> None:
    try:
        if path.stat().st_size > _LARGEST_WORKBOOK:
            raise DatasetError(f"{path}: too large; a workbook of labels has less than 1 MB")
        with zipfile.ZipFile(path) as archive:
            faults = archive_faults(archive, _LARGEST_WORKBOOK)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such workbook") from None
    except (OSError, zipfile.BadZipFile):
        hint = "; save it as .xlsx first" if path.suffix.lower() == ".xls" else ""
        raise DatasetError(f"{path}: not a readable .xlsx workbook (no zip archive){hint}") from None
    if faults:
        raise DatasetError(f"{path}: refused: {faults[0]}; a workbook of labels is far smaller and simpler")


def _sheet(path: Path, values: Any, formulas: Any) -> Sheet:
    for sheet in (values, formulas):
        sheet.reset_dimensions()  # some writers state wrong dimensions, which would hide rows
    rows: list[tuple[int, tuple[Cell, ...]]] = []
    pairs = zip(values.iter_rows(), formulas.iter_rows(), strict=True)
    for number, (cells, originals) in enumerate(pairs, start=1):
        place = f"{path.name}!{values.title}!{number}"
        if number > _LAST_ROW or len(rows) > _MOST_ROWS:
            raise DatasetError(f"{place}: more rows than a table of labels can have")
        row = [_value(*pair, place) for pair in zip(cells, originals, strict=True)]
        while row and row[-1] is None:  # cells that are formatted and empty
            row.pop()
        if len(row) > _MOST_COLUMNS:
            raise DatasetError(f"{place}: {len(row)} columns; a table of labels has at most {_MOST_COLUMNS}")
        if row:
            rows.append((number, tuple(row)))
    return Sheet(path, values.title, tuple(rows))


def _value(cell: Any, original: Any, place: str) -> Cell:
    """Return the value of a cell; `original` is the same cell with its formula in place of the stored value."""
    if original.data_type == "f":
        _refuse_formula(cell, original, place)
    if cell.value is None or cell.value == "":
        return None
    if cell.data_type == "n" and isinstance(cell.value, int | float):
        if abs(cell.value) > _LARGEST_NUMBER:
            raise DatasetError(f"{place}, cell {cell.coordinate}: a number of this size cannot be right")
        return cell.value
    if cell.data_type in ("s", "inlineStr", "str"):
        if len(cell.value) > _LONGEST_CELL:
            raise DatasetError(f"{place}, cell {cell.coordinate}: a text of {len(cell.value)} characters")
        return cell.value
    kinds = {"b": "a truth value", "e": "an error value", "d": "a date"}
    kind = kinds.get(cell.data_type, f"a value of kind {cell.data_type}")
    raise DatasetError(f"{place}: {kind} ({cell.value}) where text or a number belongs")


def _refuse_formula(cell: Any, original: Any, place: str) -> None:
    formula = str(getattr(original.value, "text", original.value))  # an array formula is an object
    if re.search(r"\[[0-9]+\]", formula):  # how references to other workbooks are stored
        raise DatasetError(
            f"{place}, cell {original.coordinate}: a formula that refers to another workbook; save its values instead"
        )
    if cell.value is None and cell.data_type != "str":  # a text that is empty is a value
        raise DatasetError(
            f"{place}, cell {original.coordinate}: a formula without stored value; open the workbook in a "
            "spreadsheet program and save it, or save its values"
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Cells in the events table


def cell_text(value: Cell) -> str | None:
    """Return a cell as the text of the events table. Numbers keep 15 digits, as spreadsheets do.

    >>> cell_text(12.0), cell_text("006"), cell_text(2.5)
    ('12', '006', '2.5')
    """
    if value is None or isinstance(value, str):
        return value or None
    whole = float(value).is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else f"{value:.15g}"


def cell_kind(value: Cell) -> str:
    """Return the letter of a cell: n number, t text, e empty."""
    if value is None or value == "":
        return "e"
    return "t" if isinstance(value, str) else "n"


def encode_cells(cells: Mapping[str, Cell]) -> dict[str, str | None]:
    """Return the events-table columns of native cells, keyed by the names of `CELLS`; absent fields are empty."""
    columns = {name: cell_text(cells.get(name)) for name in CELLS}
    return columns | {"cell_kinds": "".join(cell_kind(cells.get(name)) for name in CELLS)}


def decode_cells(row: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the native cells of a row of the events table; the inverse of `encode_cells`."""
    return {name: _decode(row[name], kind) for name, kind in zip(CELLS, row["cell_kinds"], strict=True)}


def _decode(text: str | None, kind: str) -> Cell:
    if kind == "e" or text is None:
        return None
    if kind == "t":
        return text
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)


def normal_aus(raw: str | None) -> str | None:
    """Return action units as `4+L10+17`, or None where the text is something else.

    Separators `+ , ; /` and blanks, a leading `AU`, a side letter (L, R, T, B), and `(k)` behind a unit that is kept
    up throughout the clip are understood.

    >>> normal_aus("AU4, l10"), normal_aus("12"), normal_aus("4 + 17 (K)"), normal_aus("none")
    ('4+L10', '12', '4+17(k)', None)
    """
    text = re.sub(r"\s*\(K\)", "(k)", (raw or "").upper())
    parts = [re.sub(r"^AU", "", part) for part in re.split(r"[\s+,;/，]+", text) if part]
    if not parts or not all(re.fullmatch(r"[LRTB]?[0-9]+[A-E]?(\(k\))?", part) for part in parts):
        return None
    return "+".join(parts)


def coarse_emotion(value: Cell) -> str | None:
    """Return "negative", "positive", "surprise" or "others", None for any other word or combination."""
    text = (cell_text(value) or "").strip().lower()
    return text if text in ("negative", "positive", "surprise", "others") else None


# ---------------------------------------------------------------------------------------------------------------------
# Sheets with a header


def find_header(sheet: Sheet, needed: Sequence[str], last_row: int = 20) -> tuple[int, list[str]]:
    """Return the number of the header row and its names, without blanks and quotes around them.

    Copies differ in what stands above the header. Names count whatever their case; a column without one has "".

    Raises
    ------
    DatasetError
        If none of the rows up to `last_row` has all the `needed` names.
    """
    for number, row in sheet.rows:
        if number > last_row:
            break
        names = [(cell_text(cell) or "").strip(" '\"\t\n") for cell in row]
        if {name.lower() for name in needed} <= {name.lower() for name in names}:
            return number, names
    raise DatasetError(
        f"{sheet.path}!{sheet.name}: no header with {', '.join(needed)} in the first {last_row} rows"
    )


def encode_others(cells: Mapping[str, Cell]) -> str | None:
    """Return cells of columns that have no field of their own as one text, header -> value in JSON; None if all empty.

    Numbers stay numbers, so that the native row can be written again; whole ones lose a `.0`, as in `cell_text`.

    >>> encode_others({"LastF": 559800.0, "FirstF": 559700, "Remark": None})
    '{"FirstF": 559700, "LastF": 559800}'
    """
    kept = {name: _decode(cell_text(value), cell_kind(value)) for name, value in cells.items()}
    kept = {name: value for name, value in kept.items() if value is not None}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False) if kept else None


def decode_others(text: Cell) -> dict[str, Cell]:
    """Return the cells of `encode_others`."""
    return json.loads(str(text)) if text else {}


def require_text(value: Cell, place: str, what: str) -> str:
    """Return a text cell; raise `DatasetError` naming `place` for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{place}: {what} must be text, found {value!r}")
    return value.strip()


def require_kind(value: Cell, place: str, what: str, wanted: str) -> str:
    """Return "ME" or "MaE" of a cell that begins with micro or macro; raise `DatasetError` for anything else.

    >>> require_kind("Micro - 1/2", "row 1", "Type", "Macro or Micro - 1/2")
    'ME'
    """
    text = require_text(value, place, what)
    kinds = {"micro": "ME", "macro": "MaE"}
    if text[:5].lower() not in kinds:
        raise DatasetError(f"{place}: {what} must be {wanted}, found {text!r}")
    return kinds[text[:5].lower()]


def require_whole(value: Cell, place: str, what: str) -> int:
    """Return a whole number; raise `DatasetError` naming `place` for anything else."""
    if isinstance(value, str | None) or not float(value).is_integer():
        raise DatasetError(f"{place}: {what} must be a whole number, found {value!r}")
    return int(value)


def cells_of(values: Sequence[Cell], count: int) -> Iterable[Cell]:
    """Return exactly `count` cells: rows of a sheet end at their last filled cell."""
    return [*values, *[None] * count][:count]
