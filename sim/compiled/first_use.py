"""Whoever waits for a kernel to be compiled may say so: once a command, in whichever process it happens.

Without numba: the command line asks before it knows whether anything will be compiled.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.compiled.interrupted import Leaving

# Workers inherit it: a file that the first of them to compile makes, and the process that waits for them looks for.
_MARK = "PLURALIGN_COMPILING"
_say: Callable[[], None] | None = None
# What Ctrl-C does while something is compiled, where a command says so.
leaving: Leaving | None = None
# The experiment whose replicates this process runs: its kernels will be needed (`ahead`).
expected: str | None = None
# Called as this process begins to wait for a kernel, compiled here or by another one, and as it has it; may be nested.
begins: Callable[[], None] | None = None
ends: Callable[[], None] | None = None
_said = False


@contextmanager
def announced(say: Callable[[], None], interrupted: tuple[str, int]) -> Iterator[None]:
    """Inside, `say()` is called when the first kernel that is not in the cache is about to be compiled here; workers
    leave a mark, see `workers_compile`. Ctrl-C during a compilation ends the process with this line and code."""
    global _say, _said, leaving
    with tempfile.TemporaryDirectory(prefix="pluralign-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get(_MARK)
        os.environ[_MARK] = str(Path(folder) / "compiling")
        _say, _said, leaving = say, False, Leaving(*interrupted)
        try:
            yield
        finally:
            _say = leaving = None
            if before is None:
                del os.environ[_MARK]
            else:
                os.environ[_MARK] = before


@contextmanager
def waiting() -> Iterator[None]:
    """Around the time that a kernel takes which another process compiles."""
    if begins is not None:
        begins()
    try:
        yield
    finally:
        if ends is not None:
            ends()


def begin() -> None:
    """Called by the compiler as it begins, whatever it compiles."""
    if leaving is not None:
        leaving.begin()
    if begins is not None:
        begins()


def end() -> None:
    """Called by the compiler as it ends."""
    if leaving is not None:
        leaving.end()
    if ends is not None:
        ends()


def compiling() -> None:
    """Called by the compiler before a kernel that is kept in the cache is compiled."""
    global _said
    if _said:
        return
    _said = True
    if _say is not None:
        _say()
    elif mark := os.environ.get(_MARK):
        # The command may have ended meanwhile, and its folder with it.
        try:
            Path(mark).touch()
        except OSError:
            return


def workers_compile() -> None:
    """Said here if a worker has left its mark, once."""
    global _said
    if not _said and _say is not None and os.path.exists(os.environ.get(_MARK, "")):
        _said = True
        _say()
