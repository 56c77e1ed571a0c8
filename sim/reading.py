"""Files as text and as JSON, however large, deep or endless what somebody gives us is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sim.errors import InputError, require_utf8

# No record is so long; a file without an end of line must not be read into memory to find that out.
LONGEST_LINE = 1 << 26
# No table or settings file is so large.
LARGEST_TEXT = 1 << 30
# gzip packs text of people's answers 3 to 50 times; a file of nothing but spaces 1000 times.
_UNPACKED, _TIMES = 1 << 30, 200
# Nor is one line so many times in a row an answer; kilobytes can unpack to a blank one for minutes, and to records
# of nothing that fill the memory.
MOST_ALIKE = 1 << 20


def bounded(lines: IO[str], path: Path) -> Iterator[str]:
    """The lines of an open file, one at a time; InputError where a line, or all that a packed file unpacks to, is
    beyond what any file of records is."""
    size, total, number, before, alike = path.stat().st_size, 0, 0, "", 0
    while line := lines.readline(LONGEST_LINE):
        number, total = number + 1, total + len(line)
        alike, before = alike + 1 if line == before else 0, line
        if alike > MOST_ALIKE and total > size:
            raise InputError(
                f"unpacks to one line more than {MOST_ALIKE:,} times in a row", file=path, row=number,
                fix="look at what it holds, and pack that again",
            )  # fmt: skip
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise InputError(
                f"a line of more than {LONGEST_LINE:,} characters", file=path, row=number, fix="write one record a line"
            )
        _require_size(total, size, path, number)
        yield line


def _require_size(total: int, size: int, path: Path, row: int | None = None) -> None:
    """InputError where a packed file of `size` bytes unpacks to more than any file of records does."""
    if total > max(_UNPACKED, _TIMES * size):
        raise InputError(
            f"unpacks to more than {_TIMES} times its size", file=path, row=row,
            fix="look at what it holds, and pack that again",
        )  # fmt: skip


def bounded_bytes(path: Path, packed: str) -> bytes:
    """A whole file, unpacked (packed: "", ".gz" or ".zst"); InputError where that is beyond what any file of records
    is, OSError where it breaks."""
    import pyarrow as pa

    require_utf8(path)
    size, parts, total, line, alike = path.stat().st_size, [], 0, 0, 0
    codec = {"": None, ".gz": "gzip", ".zst": "zstd"}[packed]
    with pa.input_stream(str(path), compression=codec) as file:
        while part := file.read(1 << 24):
            alike = alike + 1 if len(set(part[-(1 << 16) :].split(b"\n")[1:-1])) == 1 else 0
            parts.append(part)
            total += len(part)
            line = len(part) - part.rfind(b"\n") if b"\n" in part else line + len(part)
            if packed and (line > LONGEST_LINE or alike > 1):
                # Which line it is the pass over lines says.
                raise InputError("unpacks to one line, or to the same again and again", file=path)
            if packed:
                _require_size(total, size, path)
    return b"".join(parts)


@contextmanager
def of_this_version(file: Path, fix: str) -> Iterator[None]:
    """Around taking a value from a file that this program wrote: another version's, or a damaged one, is one line."""
    try:
        yield
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"is damaged, or not of this version (no {error} in it)", file=file, fix=fix) from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(
            f"is damaged, or not of this version (another kind of value than expected: {said})", file=file, fix=fix
        ) from error


def read_text(path: str | Path, fix: str, *, largest: int = LARGEST_TEXT) -> str:
    """A whole text file, a byte-order mark left out; InputError where it cannot be read, is endless or is no text."""
    try:
        with Path(path).open("rb") as file:
            parts, size = [], 0
            while part := file.read(1 << 20):
                size += len(part)
                if b"\0" in part:
                    raise InputError("is not text: it holds zero bytes", file=path, fix=fix)
                if size > largest:
                    raise InputError(f"is larger than {largest:,} bytes", file=path, fix=fix)
                parts.append(part)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, fix=fix) from error
    try:
        return b"".join(parts).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8", file=path, fix=fix) from error


def load_json(text: str | bytes) -> Any:
    """`json.loads`, and a ValueError where the text is nested deeper than Python can follow."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {sys.getrecursionlimit()} deep") from error
