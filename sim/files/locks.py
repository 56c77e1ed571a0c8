"""One process at a time: locks that the system releases when their process dies, however it dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from sim.errors import InputError

LOCK = ".lock"


def locked(file: FileIO) -> bool:
    """Whether this process has the file now; where the system has no such locks, always."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_at(file: FileIO, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """The folder for this process alone, made if it is not there; a second process is refused with one line.

    The lock is the file `.lock` with the process's number. It is removed at the end, and with it the folder if it was
    made here and nothing came of it; what a kill leaves of it locks nobody out.
    """
    folder = Path(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _exclusive(folder)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=folder, fix="name another place") from error
    try:
        yield
    finally:
        # While the lock is still ours: nobody then removes a file that another process has locked.
        (folder / LOCK).unlink(missing_ok=True)
        file.close()
        with suppress(OSError):  # not empty
            for place in made:
                place.rmdir()


def is_held(folder: str | Path) -> bool:
    """Whether some process has the folder for itself now, as far as this machine can see."""
    try:
        file = open(Path(folder) / LOCK, "r+b", buffering=0)  # noqa: SIM115  # closed below
    except OSError:
        return False
    with file:
        return not locked(file)


def _exclusive(folder: Path) -> FileIO:
    path = folder / LOCK
    while True:
        file = open(path, "a+b", buffering=0)  # noqa: SIM115  # held for as long as the work takes
        if not locked(file):
            with file:
                file.seek(0)
                number = file.read(20).decode("ascii", "replace").strip()
            by = f"process {number}" if number.isdecimal() else "another process"
            raise InputError(f"{by} is working there", file=folder, fix="wait for it, or choose another folder")
        # Between opening and locking its owner may have removed it, and another have made its like.
        if is_at(file, path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
            return file
        file.close()
