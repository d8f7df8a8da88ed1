"""Workbooks as plain cells: values only, text stays text, and every row knows where it stands.

Spreadsheet libraries that guess turn the text `0101` into the number 101 and `006` into 6. Here a cell keeps its kind:

    n   number     t   text     e   empty

A row of cells is stored in the events table as text columns plus `cell_kinds`, one letter per field of `CELLS`, so that
the native row can be written again exactly.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

_LARGEST_WORKBOOK = 256 * 2**20  # bytes after unpacking; the largest released workbook is below 1 MB


@dataclass(frozen=True)
class Sheet:
    """One sheet: `rows` holds (row number from 1, cells) of every row that is not empty."""

    path: Path
    name: str
    rows: tuple[tuple[int, tuple[Cell, ...]], ...]

    def place(self, number: int) -> str:
        """Return `<file>!<sheet>!<row>`."""
        return f"{self.path.name}!{self.name}!{number}"


def find_workbook(root: Path, names: Sequence[str], pattern: str) -> Path:
    """Return the first workbook directly in `root`: the `names` in order, then any whose name matches `pattern`.

    Raises
    ------
    DatasetError
        If there is none; workbooks of the old `.xls` kind are pointed out.
    """
    files = {entry.name.lower(): entry.name for entry in sorted(root.iterdir()) if entry.is_file()}
    matching = sorted((name for name in files if re.fullmatch(pattern, name, re.IGNORECASE)), reverse=True)
    for name in [*(name.lower() for name in names), *matching]:
        if name in files:
            return root / files[name]
    old = [name for name in files if name.endswith(".xls")]
    hint = f"; save {files[old[0]]} as .xlsx first" if old else ""
    raise DatasetError(f"{root}: no workbook {' or '.join(names)} in this folder{hint}")


def read_sheets(path: Path) -> list[Sheet]:
    """Return the sheets of a workbook in order, values only.

    Raises
    ------
    DatasetError
        If the file is no workbook, is too large when unpacked, or holds a date, a truth value or an error value.
    """
    import openpyxl

    _refuse_bombs(path)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises many kinds for a damaged file
        raise DatasetError(f"{path}: not a readable .xlsx workbook ({error})") from None
    try:
        return [_sheet(path, sheet) for sheet in book.worksheets]
    finally:
        book.close()


def _refuse_bombs(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such workbook") from None
    except (OSError, zipfile.BadZipFile):
        raise DatasetError(f"{path}: not a readable .xlsx workbook (no zip archive)") from None
    if size > _LARGEST_WORKBOOK:
        raise DatasetError(
            f"{path}: {size / 2**20:.0f} MB when unpacked; a workbook of labels is far smaller"
        )


def _sheet(path: Path, sheet: Any) -> Sheet:
    sheet.reset_dimensions()  # some writers state wrong dimensions, which would hide rows
    rows = []
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        values = tuple(_value(cell, f"{path.name}!{sheet.title}!{number}") for cell in cells)
        if any(value is not None for value in values):
            rows.append((number, values))
    return Sheet(path, sheet.title, tuple(rows))


def _value(cell: Any, place: str) -> Cell:
    if cell.value is None or cell.value == "":
        return None
    if cell.data_type == "n" and isinstance(cell.value, int | float):
        return cell.value
    if cell.data_type in ("s", "inlineStr", "str"):
        return cell.value
    kinds = {"b": "a truth value", "e": "an error value", "d": "a date"}
    kind = kinds.get(cell.data_type, f"a value of kind {cell.data_type}")
    raise DatasetError(f"{place}: {kind} ({cell.value}) where text or a number belongs")


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
    if kind == "e":
        return None
    if kind == "t":
        return text
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)


def normal_aus(raw: str | None) -> str | None:
    """Return action units as `4+L10+17`, or None where the text is something else.

    Separators `+ , ; /` and blanks, a leading `AU`, and a side letter (L, R, T, B) are understood.

    >>> normal_aus("AU4, l10"), normal_aus("12"), normal_aus("none")
    ('4+L10', '12', None)
    """
    parts = [part for part in re.split(r"[\s+,;/，]+", (raw or "").upper()) if part]
    parts = [re.sub(r"^AU", "", part) for part in parts]
    if not parts or not all(re.fullmatch(r"[LRTB]?[0-9]+[A-E]?", part) for part in parts):
        return None
    return "+".join(parts)


def require_text(value: Cell, place: str, what: str) -> str:
    """Return a text cell; raise `DatasetError` naming `place` for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{place}: {what} must be text, found {value!r}")
    return value.strip()


def require_whole(value: Cell, place: str, what: str) -> int:
    """Return a whole number; raise `DatasetError` naming `place` for anything else."""
    if isinstance(value, str | None) or not float(value).is_integer():
        raise DatasetError(f"{place}: {what} must be a whole number, found {value!r}")
    return int(value)


def cells_of(values: Sequence[Cell], count: int) -> Iterable[Cell]:
    """Return exactly `count` cells: rows of a sheet end at their last filled cell."""
    return [*values, *[None] * count][:count]
