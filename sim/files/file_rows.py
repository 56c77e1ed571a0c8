"""What rows of every kind of file share: endings that are written, names of annotators."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError, require_whole, short


def known_ending(path: Path) -> str:
    """.parquet, .jsonl or .jsonl.gz, which are what is written, or an error."""
    name = path.name.lower()
    for ending in (".parquet", ".jsonl", ".jsonl.gz"):
        if name.endswith(ending):
            return ending
    raise InputError(
        "expected a file ending in .parquet, .jsonl or .jsonl.gz", file=path, fix="convert or rename the file"
    )


def require_ending(path: str | Path, *endings: str) -> None:
    """InputError for a file whose name says that it is of another kind than what is written to it."""
    if not Path(path).name.lower().endswith(endings):
        raise InputError(f"expected a file ending in {' or '.join(endings)}", file=path, fix="name it so")


def number_name(value: float) -> str:
    """The name of somebody whose id is a number: 1 and 1.0 are one person."""
    return str(int(value)) if value == int(value) else str(value)


# How tables write that a cell is empty.
_NOTHING = tuple(
    form for word in ("nan", "NaN", "na", "n/a", "<na>", "null", "none")
    for form in (word, word.upper(), word.capitalize())
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def name_of_nobody(names: Mapping[str, Any]) -> str | None:
    """A name that is how tables write an empty cell, where all others are numbers; among texts somebody may be called
    so."""
    found = [name for name in _NOTHING if name in names]
    others = (name for name in names if name not in found)
    if found and len(found) < len(names) and all(map(_NUMBER.fullmatch, others)):
        return next(name for name in names if name in found)
    return None


def require_persons(names: Mapping[str, Any], where: Callable[[str], Mapping[str, Any]]) -> None:
    """InputError where a name is that of nobody; where: a name's first row and field."""
    nobody = name_of_nobody(names)
    if nobody is not None:
        problem = f"expected a name or number, got {nobody!r}, and all others are numbers"
        raise InputError(problem, fix="name the annotator, or drop the row", **where(nobody))


def read_name(value: Any, where: dict[str, Any], what: str = "annotator") -> str:
    """The name of an annotator, or of whatever `what` says: a text as it is, a number by its value."""
    if isinstance(value, bytes):
        value = decoded(value, where)
    if value is None or value == "" or isinstance(value, list | dict | bool):
        raise InputError(f"expected a name or number, got {short(value)}", fix=f"name the {what}", **where)
    if isinstance(value, float):
        if value != value or abs(value) == float("inf"):
            fix = f"name the {what}, or drop the row"
            raise InputError(f"expected a name or number, got {value}", fix=fix, **where)
        return number_name(value)
    require_whole(value, where)
    return str(value)


def named_group(value: Any, where: dict[str, Any]) -> str:
    """The name of a known group; "" where a cell is empty, which says that it is not known."""
    require_whole(value, where)
    return "" if value is None else str(value)


def decoded(value: bytes, where: dict[str, Any]) -> str:
    """Bytes that are text in UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("is bytes that are no text in UTF-8", fix="write it as text", **where) from error
