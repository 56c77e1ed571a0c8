"""A table of numbers from CSV: rows and columns with names, every cell a finite number."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.arguments import float_array
from sim.errors import InputError, short
from sim.files.table_names import (
    is_header_of_numbers,
    names_rows,
    require_ids,
    require_no_years,
    require_table_names,
)
from sim.preferences import FloatArray
from sim.reading import read_text

# Beyond it sums and products of a table's numbers overflow.
LARGEST = 1e100
_QUOTED = re.compile(r'"[^"]*"')
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class NumberTable:
    """values (n_rows, n_columns); names of rows and columns; lines: each row's line in the file."""

    values: FloatArray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[int, ...]
    source: str

    def __post_init__(self) -> None:
        float_array("values", self.values, (len(self.rows), len(self.columns)))
        if len(self.lines) != len(self.rows):
            raise ValueError(f"lines must be {len(self.rows)}, one a row (got {len(self.lines)})")


def as_number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (ValueError, TypeError, OverflowError):  # a whole number of JSON may be beyond any float
        return None


def is_finite(value: float) -> bool:
    """Whether a number is one that a float can be, whole numbers of any length among them."""
    number = as_number(value)
    return number is not None and math.isfinite(number)


def read_cells(path: str | Path, row: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not blank; blank lines are counted, so that a row named in a message
    is the file's.

    Separated by commas, or as spreadsheets write it where a comma is the decimal sign: by semicolons, or by tabs.
    """
    lines, number = [], 0
    text = read_text(path, "give a plain CSV file").splitlines()
    separator = _separator_of(text)
    try:
        for number, found in enumerate(csv.reader(text, delimiter=separator, strict=True), start=1):
            cells = [cell.strip() for cell in found]
            if any(cells):
                lines.append((number, cells))
    except csv.Error as error:
        # Among them a cell of more characters than `csv.field_size_limit`, where a quote was not closed.
        raise InputError(
            f"is not CSV ({error})", file=path, row=number + 1, fix="close the quotes; a cell is one name or number"
        ) from error
    if not lines:
        raise InputError(f"expected a row a {row}, the file is empty", file=path, fix=f"write one row a {row}")
    return lines if separator == "," else _with_points(lines)


def _separator_of(text: Sequence[str]) -> str:
    """A semicolon or tab that stands in every line, or in a first line without commas; else a comma."""
    bare = [_QUOTED.sub("", line) for line in text if line.strip()]
    for separator in "\t;":
        if bare and all(separator in line for line in bare):
            return separator
    return next((mark for mark in "\t;" if bare and mark in bare[0] and "," not in bare[0]), ",")


def _with_points(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Decimal commas as points; as they stand where numbers have points, since then they may set thousands apart."""
    if any("." in cell and as_number(cell) is not None for _, cells in lines for cell in cells):
        return lines
    return [
        (number, [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells])
        for number, cells in lines
    ]


def read_number_table(path: str | Path, *, row: str, column: str, entry: str) -> NumberTable:
    """Read a CSV; a header line and a first column of names are recognised by not being numbers, or where they are by
    the header of the first column: nothing, as data frames write their index, or what says that it holds names.

    row, column, entry: what a row, a column and a cell are, for names and messages ("group", "policy", "the regret").
    Errors: InputError; a name stands once, and no column but the first holds ids.
    """
    lines = read_cells(path, row)
    header: list[str] | None = None
    texts = all(as_number(cell) is None for cell in lines[0][1][1:]) and as_number(lines[0][1][-1]) is None
    if texts or is_header_of_numbers(lines[0][1], row):
        header, lines = lines[0][1], lines[1:]
    else:
        require_no_years(lines[0][1], path, lines[0][0], row)
    if not lines:
        raise InputError(f"expected a row a {row}, found only a header", file=path, fix="add the rows")
    of_ids = header is not None and names_rows(header[0], row)
    named = (of_ids or all(as_number(cells[0]) is None for _, cells in lines)) and len(lines[0][1]) > 1
    width = len(header) if header is not None else len(lines[0][1])
    values = []
    for number, cells in lines:
        if len(cells) != width:
            raise InputError(
                f"expected {width} columns as in the first row, got {len(cells)}",
                file=path,
                row=number,
                fix="make the matrix rectangular",
            )
        if named and not any(cells[1:]):
            raise InputError(f"{row} '{cells[0]}' has no numbers", file=path, row=number, fix="fill in or drop the row")
        own = []
        for position, cell in enumerate(cells[int(named) :], start=1 + int(named)):
            value = as_number(cell)
            if value is None or not -LARGEST <= value <= LARGEST:
                raise InputError(
                    f"expected a finite number{_most(value)}, got {short(cell)}",
                    file=path,
                    row=number,
                    field=f"column {position}",
                    fix=f"write {entry} as a plain number{', with a point for decimals' * (',' in cell)}",
                )
            own.append(value)
        values.append(own)
    numbers = tuple(number for number, _ in lines)
    rows = [cells[0] for _, cells in lines] if named else [f"{row} {z + 1}" for z in range(len(lines))]
    if of_ids and named and any(as_number(cell) is not None for cell in rows):
        assert header is not None
        rows = require_ids(header[0], rows, column, path, numbers)
    columns = [f"{column} {k + 1}" for k in range(width - int(named))] if header is None else header[int(named) :]
    require_table_names(rows, columns, row=row, column=column, source=path, lines=numbers)
    return NumberTable(np.array(values), tuple(rows), tuple(columns), numbers, str(path))


def _most(value: float | None) -> str:
    """What a message adds where a number is too large."""
    return "" if value is None or not np.isfinite(value) else " of at most 1e100"


def table_of_cells(
    cells: Sequence[Sequence[Any]],
    *,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    row: str,
    column: str,
    entry: str,
    source: str,
) -> NumberTable:
    """The same for cells in memory.  rows, columns: names, numbered if None.  row, column, entry, source: for messages.

    Errors: InputError with row and column where a cell is no finite number of at most 1e100, or a name stands twice.
    """
    if not len(cells):
        raise InputError(f"expected a row a {row}, there is none", file=source, fix=f"give one row a {row}")
    width = len(cells[0]) if columns is None else len(columns)
    if not width:
        raise InputError(f"expected a column a {column}, there is none", file=source, fix=f"give one a {column}")
    names = [f"{column} {k + 1}" for k in range(width)] if columns is None else list(columns)
    values = np.empty((len(cells), width))
    for number, line in enumerate(cells, start=1):
        if len(line) != width:
            raise InputError(
                f"expected {width} columns as in the first row, got {len(line)}", file=source, row=number,
                fix="make the matrix rectangular",
            )  # fmt: skip
        for k, cell in enumerate(line):
            value = None if isinstance(cell, str | bool | np.bool_) else as_number(cell)
            if value is None or not -LARGEST <= value <= LARGEST:
                raise InputError(
                    f"expected a finite number{_most(value)}, got {short(str(cell))}", file=source, row=number,
                    field=names[k],
                    fix=f"give {entry} as a plain number",
                )  # fmt: skip
            values[number - 1, k] = value
    labels = [f"{row} {z + 1}" for z in range(len(cells))] if rows is None else [str(name) for name in rows]
    lines = tuple(range(1, len(cells) + 1))
    require_table_names(labels, names, row=row, column=column, source=source, lines=lines)
    return NumberTable(values, tuple(labels), tuple(names), lines, source)
