"""The border of printing: how large the screen is, and that nothing from a file commands it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from sim.printable import printable

# Rows of a table where there is no screen: enough to see what it is, short enough for a log.
ROWS_ELSEWHERE = 40


def columns() -> int:
    """Columns of the screen; 80 where there is none."""
    return max(shutil.get_terminal_size((80, 24)).columns, 20)


def rows() -> int:
    """Lines a table may have: a screen but for the lines around it, `ROWS_ELSEWHERE` where output is no terminal."""
    if not sys.stdout.isatty():
        return ROWS_ELSEWHERE
    return max(shutil.get_terminal_size((80, 24)).lines - 6, 10)


def nothing() -> None:
    """Nothing is on the screen that had to be cleared."""


# What clears the line of progress off the screen before anything else is printed; `pluralign.progress` puts it here.
before_printing: Callable[[], None] = nothing


class _Escaping:
    """A text stream whose every text passes `printable`; everything else is the stream's own."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        before_printing()
        text = printable(text)
        encoding = getattr(self._stream, "encoding", None)
        if encoding:
            # A terminal of few letters shows their numbers; it is no reason to fail.
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def escaped_output() -> Iterator[None]:
    """Inside, whatever is printed on standard output and error is shown and never obeyed.

    One place for all commands: a command that prints a name from a file cannot forget it. What the program itself
    tells the terminal (`pluralign.progress`) it writes past this.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(Any, _Escaping(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unescaped(stream: Any) -> Any:
    """The stream below `escaped_output`."""
    return stream._stream if isinstance(stream, _Escaping) else stream
