"""Finished tasks as checked lines: written by whoever computed them, safe against a kill at any byte.

A place (`sim.running.places`) holds files `records-*.jsonl`. The first line of a file has the format's version for its
content; every other line is one finished task,

    <BLAKE2b of the rest, 16 hex digits> <series>-<number> <content as JSON>

A series is what is computed (a cell of a study under one state of the code), the number its replicate. In a folder each
process appends to a file of its own, one write a line, so that what finished is there at once and a kill costs only
the line being written: a torn or changed line does not match its checksum and that task alone is computed again. On an
object store lines go up together, when a batch ends and every few seconds. Where a task occurs twice the later file
counts; what failed is an object with the key `failed` and counts only until the task has succeeded. What was kept
before somebody began anew does not count at all (`sim.running.generations`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from sim.errors import InputError
from sim.files.atomic import beside
from sim.files.locks import is_at, locked
from sim.running.places import NAME, Folder, Store, order, place_at

VERSION = 3
# A kill loses nothing that was written; a power cut loses at most this long.
_SYNC_SECONDS = 1.0
# What an object store is given at once: a kill there loses at most this long, or this much.
_PUT_SECONDS, _PUT_BYTES = 5.0, 4 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """series: with its generation.  content: JSON, not yet read.  raw: as it lies there, without its end."""

    series: str
    number: int
    content: str
    raw: bytes

    @property
    def failed(self) -> bool:
        return self.content.startswith("{")


def header() -> bytes:
    return checked("format", str(VERSION))


def checked(key: str, content: str) -> bytes:
    rest = f"{key} {content}".encode()
    return hashlib.blake2b(rest, digest_size=8).hexdigest().encode() + b" " + rest + b"\n"


def parsed(line: bytes) -> tuple[str, str] | None:
    """(key, content) of a line without its end; None where it is not whole."""
    digest, _, rest = line.partition(b" ")
    if hashlib.blake2b(rest, digest_size=8).hexdigest().encode() != digest:
        return None
    key, _, content = rest.decode().partition(" ")
    return key, content


def task_line(line: bytes) -> Line | None:
    """The finished task of a line; None where there is none."""
    found = parsed(line)
    if found is None:
        return None
    series, _, number = found[0].rpartition("-")
    return Line(series, int(number), found[1], line) if number.isdecimal() else None


class Writer(Protocol):
    """`rest` when nothing will come for a while: what was added is then with the place, and no file is held."""

    def add(self, series: str, number: int, content: str) -> None: ...

    def rest(self) -> None: ...


class FolderWriter:
    """Appends to a file of this process's own: written when `add` returns, safe from a power cut about a second later.
    A file at rest is taken up again unless another process has it, or has merged it away."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder.path
        self._path: Path | None = None
        self._file: FileIO | None = None
        self._synced = 0.0

    def add(self, series: str, number: int, content: str) -> None:
        line = checked(f"{series}-{number}", content)
        try:
            if self._file is None:
                self._file = self._taken_up() or self._new_file()
            while line:
                line = line[self._file.write(line) :]
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            # What a full disk took of a line must stay the end of its file.
            self._drop()
            raise InputError(
                f"finished work cannot be written ({error.strerror})", file=self._folder,
                fix="make room; the same command goes on from what is there"
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "name a folder that can be written",
            ) from error  # fmt: skip

    def rest(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _drop(self) -> None:
        self.rest()
        self._path = None

    def _taken_up(self) -> FileIO | None:
        if self._path is None:
            return None
        try:
            file = FileIO(os.open(self._path, os.O_WRONLY | os.O_APPEND), "w")
        except FileNotFoundError:
            return None
        if locked(file) and is_at(file, self._path):
            return file
        file.close()
        return None

    def _new_file(self) -> FileIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = next_path(self._folder)
            try:
                # Unbuffered: a line is one write, and no line waits in this process.
                file = path.open("xb", buffering=0)
            except FileExistsError:  # another process was faster
                continue
            # Between its making and its lock another run may have merged it away, and another have made its like.
            if locked(file) and is_at(file, path):
                file.write(header())
                self._path = path
                return file
            file.close()


class StoreWriter:
    """Puts lines under a name of their own; nothing is ever changed there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: list[bytes] = []
        self._bytes, self._since = 0, 0.0

    def add(self, series: str, number: int, content: str) -> None:
        line = checked(f"{series}-{number}", content)
        if not self._lines:
            self._since = time.monotonic()
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > _PUT_BYTES or time.monotonic() - self._since > _PUT_SECONDS:
            self.rest()

    def rest(self) -> None:
        if self._lines:
            self._store.put(_put_name(), header() + b"".join(self._lines))
            self._lines, self._bytes = [], 0


# A process has one file a place and thread: workers of Dask may be threads of one process.
_WRITERS = threading.local()


@contextmanager
def writing_to(address: str) -> Iterator[Writer]:
    """This thread's writer of a place; at rest when the context is left."""
    known: dict[str, Writer] = _WRITERS.__dict__.setdefault("known", {})
    if address not in known:
        place = place_at(address)
        known[address] = FolderWriter(place) if isinstance(place, Folder) else StoreWriter(place)
    try:
        yield known[address]
    finally:
        known[address].rest()


def next_path(folder: Path) -> Path:
    names = [path.name for path in folder.iterdir() if NAME.fullmatch(path.name)] if folder.is_dir() else []
    return folder / f"records-{max((order(name)[0] for name in names), default=0) + 1:04d}.jsonl"


def put_whole(place: Folder | Store, lines: Iterable[bytes]) -> None:
    """A new file of these lines, complete or not there at all, safe from a power cut; never in the place of a file that
    another run has made meanwhile."""
    if isinstance(place, Store):
        place.put(_put_name(), header() + b"".join(lines))
        return
    with beside(next_path(place.path)) as temporary, temporary.open("wb") as file:
        file.write(header())
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
        while True:
            try:
                _link(temporary, next_path(place.path))
                return
            except FileExistsError:
                continue


def _put_name() -> str:
    return f"records-{time.time_ns()}-{secrets.token_hex(8)}.jsonl"


def _link(temporary: Path, path: Path) -> None:
    """The file under its name; FileExistsError where there is one already."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: nothing stands between the look and the move but luck
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(temporary, path)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def as_json(content: Any) -> str:
    """ValueError where JSON has no such number."""
    return _ENCODER.encode(content)
