"""The border of printing: how large the screen is, and that nothing from a file commands it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
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


# Where answers go while all else that is printed goes to standard error; None: to standard output.
_answers: Any = None


def print_answer(text: str) -> None:
    """Print what a command was asked for, JSON as a rule."""
    import click

    click.echo(text, file=_answers)


@contextmanager
def answers_alone() -> Iterator[None]:
    """Inside, standard output is for `print_answer` alone: what plug-ins print, in this process or in one that it
    begins, is no part of a JSON object and goes to standard error."""
    global _answers
    out = sys.stdout
    try:
        out.flush()
        if out.fileno() != 1:
            raise OSError("not the process's own")
        kept = os.dup(1)
        os.dup2(2, 1)
    except (OSError, ValueError, AttributeError):  # a test's or a notebook's stream, or none
        with redirect_stdout(sys.stderr):
            _answers = out
            try:
                yield
            finally:
                _answers = None
        return
    own = open(kept, "w", encoding=out.encoding, errors=out.errors)  # noqa: SIM115  # closed below
    _answers = _Escaping(own)
    try:
        yield
    finally:
        _answers = None
        with suppress(OSError):
            out.flush()
        # Whoever called `main` in a program of theirs prints on where they did.
        os.dup2(own.fileno(), 1)
        with suppress(OSError):  # said where the answer was printed
            own.close()


def unescaped(stream: Any) -> Any:
    """The stream below `escaped_output`."""
    return stream._stream if isinstance(stream, _Escaping) else stream
