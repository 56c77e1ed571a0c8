"""The one error a user's bad input raises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """What was expected, what came, where, and what to do, in one line.

    The command line prints it to standard error and exits with 2.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        field: str | None = None,
        fix: str | None = None,
    ) -> None:
        """`problem` says what was expected and what came; `row` counts records from 1."""
        self.problem, self.file, self.row, self.field, self.fix = problem, file, row, field, fix
        where = [str(file)] if file is not None else []
        if row is not None:
            where.append(f"row {row}")
        if field is not None:
            where.append(f"field '{field}'")
        place = ", ".join(where)
        text = f"{place}: {problem}" if place else problem
        super().__init__(f"{text}; {fix}" if fix else text)


def require_utf8(path: str | Path) -> None:
    """InputError for a name that is no text: bytes that are not UTF-8 are a name to Python, and to Arrow none."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError("is not a name in UTF-8", file=path, fix="name it otherwise") from error


def is_whole(text: str) -> bool:
    """Whether a text can be encoded: JSON may escape one half of a pair of surrogates, as of an emoji that was cut."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_whole(value: Any, where: Mapping[str, Any]) -> None:
    """InputError where a text, or one inside lists and mappings, holds half a character; where: its place."""
    if isinstance(value, str):
        if not is_whole(value):
            half = next(mark for mark in value if not is_whole(mark))
            problem = f"holds half a character (\\u{ord(half):x}), which no text in UTF-8 can"
            raise InputError(problem, fix="mend the text or drop the row", **where)
    elif isinstance(value, list | tuple):
        for part in value:
            require_whole(part, where)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            require_whole(name, where)
            require_whole(part, where)


def short(value: Any) -> str:
    """The value as a message may show it, however long it is."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
