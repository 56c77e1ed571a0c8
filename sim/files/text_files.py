"""Text files of records, plain or packed: opened, and what breaks inside them said."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


def delimiter_of(header: str) -> str:
    """The separator that a table's first line shows: comma, semicolon or tab."""
    return max(",;\t", key=header.count)
