"""Which cells of a table of numbers are names, though they may be numbers: ids, and the index of a data frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sim.errors import InputError, short

_WHO = (
    "agent|annotator|client|cluster|customer|group|household|index|label(?:l?er)|member|name|participant|party|person|"
    "rater|respondent|row|segment|subject|user|voter|who|worker"
)
# Such a header of the first column says that it holds names.
_NAMES = re.compile(rf"(?:{_WHO})s?|(?:.*[ _.-])?ids?|(?:{_WHO})ids?")
# And these are of no column of numbers, wherever they stand.
_IDS = re.compile(rf"annotators?|(?:.*[ _.-])?ids?|(?:{_WHO})ids?")
# As pandas (CSV, read again, and Parquet) and tables of R head the numbers of their rows.
_INDEX = re.compile(r"|unnamed: [0-9]+|__index_level_[0-9]+__|rownames")
_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_YEARS = (1900.0, 2100.0)


def is_index(header: str) -> bool:
    """Whether a column of this name holds the numbers that a data frame gives its rows."""
    return _INDEX.fullmatch(header.strip().lower()) is not None


def names_rows(header: str, row: str) -> bool:
    """Whether a first column of this name holds names, be they numbers or not; row: what a row is."""
    plain = header.strip().lower()
    return plain == row or is_index(plain) or _NAMES.fullmatch(plain) is not None


def whole_name(cell: Any) -> str | None:
    """The name that a whole number is, 1 and 1.0 the same; None for any other cell."""
    found = None if isinstance(cell, bool) else _WHOLE.fullmatch(str(cell).strip())
    return None if found is None else found.group(1)


def is_header_of_numbers(cells: Sequence[str], row: str) -> bool:
    """Whether a first line is a header though its columns are called by numbers: its first cell says so.

    A table without a header may have a row that is called so, hence the numbers must be whole; nothing is called "".
    """
    first, *others = cells
    if not others or not names_rows(first, row):
        return False
    return is_index(first) or all(whole_name(cell) is not None for cell in others)


def require_no_years(cells: Sequence[str], path: str | Path, line: int, row: str) -> None:
    """InputError for a first line of rising years: it may be a header or the first of the numbers."""
    named = whole_name(cells[0]) is None
    found = [float(name) for cell in cells[int(named) :] if (name := whole_name(cell)) is not None]
    rising = all(a < b for a, b in pairwise(found))
    years = len(found) > 1 and len(found) == len(cells) - named and _YEARS[0] <= min(found) <= max(found) <= _YEARS[1]
    if years and rising:
        names = f"head the column of names '{row}'" if named else "give the columns names that are no numbers"
        raise InputError("may be a header of years, or numbers", file=path, row=line,
                         fix=f"{names} if it is a header, else add a header above it")  # fmt: skip


def require_ids(header: str, cells: Sequence[Any], column: str, source: str | Path, lines: Sequence[int]) -> list[str]:
    """The names in a first column of numbers.

    Errors: InputError where a number has decimals, unless it is of an index: the column may be one of the table's.
    """
    found = []
    for line, cell in zip(lines, cells, strict=True):
        name = whole_name(cell)
        if name is None and not is_index(header):
            raise InputError(
                f"the column is headed as one of names, and holds {short(cell)}", file=source, row=line, field=header,
                fix=f"give whole numbers or texts as names, or rename it if it is a {column}",
            )  # fmt: skip
        found.append(str(cell) if name is None else name)
    return found


def require_table_names(
    rows: Sequence[str], columns: Sequence[str], *, row: str, column: str, source: str | Path, lines: Sequence[int]
) -> None:
    """InputError where a row or a column has no name, or one that another has, or a column holds ids.

    A name that stands twice says nothing in an answer, and a column of ids among the numbers would be part of it.
    """
    for place, name in enumerate(columns):
        if not name.strip():
            raise InputError(f"a {column} has no name", file=source, fix="name every column, or leave it out")
        if is_index(name) or _IDS.fullmatch(name.strip().lower()):
            raise InputError(f"is no name of a {column} but of ids", file=source, field=name,
                             fix="put the column first if it names the rows, else leave it out")  # fmt: skip
        if name in columns[:place]:
            raise InputError("the column stands twice", file=source, field=name, fix="keep one of them")
    known = dict[str, int]()
    for line, name in zip(lines, rows, strict=True):
        if not name.strip():
            raise InputError(f"the {row} has no name", file=source, row=line, fix="give every row a name, or none")
        if name in known:
            raise InputError(
                f"{row} {short(name)} stands twice, first in row {known[name]}", file=source, row=line,
                fix="give every row a name of its own",
            )  # fmt: skip
        known[name] = line
