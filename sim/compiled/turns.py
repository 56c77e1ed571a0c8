"""Processes that need the same kernel at the same time compile it once: one of them does, the others load it.

Workers start alike, and on an empty cache each of them compiled what all of them needed first: as many compilations of
one kernel as there were workers. While they wait they compile something else (`ahead`).
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import os
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import ClassVar

from numba.core import dispatcher
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from sim.compiled import first_use


class TakingTurns(FunctionCache):
    """A kernel's cache: what is not in it is compiled by whoever has the lock beside it.

    The system releases the lock of a process that dies. One whose compilation fails keeps it, so that nobody waits
    longer than `PATIENCE` seconds, the time of several compilations: a kernel compiled twice is no error.
    """

    PATIENCE: ClassVar[float] = 120.0
    _turn: FileIO | None = None

    def load_overload(self, sig, target_context):
        found = self._kept(sig, target_context)
        if found is None and self._enabled and self._turn is None:
            with first_use.waiting():
                self._turn = _wait(self._place(), self.PATIENCE)
            # Whoever had the lock may have left it there.
            found = self._kept(sig, target_context)
            if found is not None:
                self.release()
        return found

    def _kept(self, sig, target_context):
        """Without what numba knows of functions that a kernel may call, whose import takes half a second: a kernel that
        is loaded has them within, and whoever compiles one imports it then."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def take(self):
        """Whether this process compiles it: nobody else does at the moment."""
        with suppress(BlockingIOError):
            self._turn = _locked(self._place())
        return self._turn is not None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        finally:
            self.release()

    def _place(self):
        return Path(self._cache_path) / f"{self._impl.filename_base}.lock"

    def release(self):
        if self._turn is not None:
            import fcntl

            # Said of the lock and not only of the file: a process forked meanwhile has the file open, too.
            with suppress(OSError):
                fcntl.flock(self._turn, fcntl.LOCK_UN)
            self._turn.close()
            self._turn = None


def _locked(path: Path) -> FileIO | None:
    """The locked file, None where there is no such lock; BlockingIOError if somebody has it."""
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.fspath(path), "a")
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    except OSError:  # a file system without locks
        file.close()
        return None
    return file


def _wait(path: Path, patience: float) -> FileIO | None:
    """The locked file; None where there is no such lock, or nobody gives it back."""
    until = time.monotonic() + patience
    while True:
        try:
            return _locked(path)
        except BlockingIOError:
            if time.monotonic() >= until:
                return None
        if not _meanwhile():
            time.sleep(0.05)


def _meanwhile() -> bool:
    """Whether something else was compiled that this process will need."""
    if first_use.expected is None:
        return False
    from sim.compiled import ahead

    return ahead.compile_one(first_use.expected)


def install() -> None:
    """From here on kernels that are kept are compiled in turns."""
    # The name that its dispatchers make their caches by.
    setattr(dispatcher, "FunctionCache", TakingTurns)  # noqa: B010  # an import of theirs, which mypy does not let be set
