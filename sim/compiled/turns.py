"""Processes that need the same kernel at the same time compile it once: one of them does, the others wait and load it.

Workers start alike, and on an empty cache each of them compiled what all of them needed first: as many compilations of
one kernel as there were workers.
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


class TakingTurns(FunctionCache):
    """A kernel's cache: what is not in it is compiled by whoever has the lock beside it.

    The system releases the lock of a process that dies. One whose compilation fails keeps it, so that nobody waits
    longer than `PATIENCE` seconds, the time of several compilations: a kernel compiled twice is no error.
    """

    PATIENCE: ClassVar[float] = 120.0
    _turn: FileIO | None = None

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        if found is None and self._enabled and self._turn is None:
            self._turn = _wait(Path(self._cache_path) / f"{self._impl.filename_base}.lock", self.PATIENCE)
            # Whoever had the lock may have left it there.
            found = super().load_overload(sig, target_context)
            if found is not None:
                self._release()
        return found

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        finally:
            self._release()

    def _release(self):
        if self._turn is not None:
            import fcntl

            # Said of the lock and not only of the file: a process forked meanwhile has the file open, too.
            with suppress(OSError):
                fcntl.flock(self._turn, fcntl.LOCK_UN)
            self._turn.close()
            self._turn = None


def _wait(path: Path, patience: float) -> FileIO | None:
    """The locked file; None where there is no such lock, or nobody gives it back."""
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.fspath(path), "a")
    except (ImportError, OSError):
        return None
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
        except OSError:  # a file system without locks
            pass
        file.close()
        return None


def install() -> None:
    """From here on kernels that are kept are compiled in turns."""
    # The name that its dispatchers make their caches by.
    setattr(dispatcher, "FunctionCache", TakingTurns)  # noqa: B010  # an import of theirs, which mypy does not let be set
