"""Text files of records, plain or packed: opened, and what breaks inside them said."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from sim.errors import InputError, require_utf8

# A cell of text may be a whole conversation; Python's own limit is 131,072 characters.
LONGEST_CELL = 1 << 26
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass
class Count:
    """The row read last, for messages about what breaks after it."""

    row: int = 0


@contextmanager
def opened(path: Path, count: Count | None = None) -> Iterator[IO[str]]:
    """A file as text, unpacked by what it holds (gzip, zstd), a byte-order mark left out, line ends as they are.

    Errors: InputError for what breaks while it is read, with the row of `count`, which the caller keeps.
    """
    at = count or Count()
    try:
        with path.open("rb") as start:
            head = start.read(4)
        if head == _ZSTD:
            import pyarrow as pa

            require_utf8(path)
            with pa.input_stream(str(path), compression="zstd") as raw:
                yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        elif head[:2] == _GZIP:
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as lines:
                yield lines
        else:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield lines
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        after = f" after row {at.row}" if count else ""
        problem = f"the gzip file ends or breaks{after} ({error})"
        raise InputError(problem, file=path, fix="copy it again, whole") from error
    except UnicodeDecodeError as error:
        row = at.row + 1 if count else None
        raise InputError("is not text in UTF-8", file=path, row=row, fix="save it as UTF-8") from error
    except csv.Error as error:
        row = at.row + 1 if count else None
        raise InputError(f"is not whole CSV ({error})", file=path, row=row, fix="write it again") from error
    except OSError as error:
        what = error.strerror or "the packed file ends or breaks"
        raise InputError(f"cannot be read ({what})", file=path, fix="check the path, or copy it again") from error


@contextmanager
def long_cells() -> Iterator[None]:
    """Inside, cells of CSV may be as long as a conversation."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def cells_of(lines: Iterator[str], path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """(the names in the header, the rows of cells below it) of comma-separated text, inside `opened`.

    Strict: a quote that is lost or too many would make one cell of the rows up to the next, and is a csv.Error.
    """
    header = next(lines, "")
    reader = csv.reader(chain([header] if header else [], lines), delimiter=delimiter_of(header), strict=True)
    names = [name.strip() for name in next(reader, [])]
    require_once(names, path)
    return names, reader


def require_once(names: Sequence[str], source: str | Path) -> None:
    """InputError where a column stands twice: a row would keep the last; nobody asks for one without a name."""
    twice = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if twice is not None:
        raise InputError("the column stands twice", file=source, field=twice, fix="keep one of them")


def delimiter_of(header: str) -> str:
    """The separator that a table's first line shows: comma, semicolon or tab."""
    return max(",;\t", key=header.count)
