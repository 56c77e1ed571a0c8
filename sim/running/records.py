"""Finished tasks on disk: a few append-only files of checked lines, safe against a kill at any byte.

A folder holds `records-NNNN.jsonl`. The first line of a file has the format's version for its content; every other
line is one finished task,

    <BLAKE2b of the rest, 16 hex digits> <key> <content as JSON>

Each run appends to a file of its own, one write a line, so that what finished is on disk at once and a kill costs
only the line being written: a torn or changed line does not match its checksum and that task alone is computed
again. Where a key occurs twice the later file counts. `merge` writes what is whole into one new file, which
appears under its name complete or not at all, and only then removes the old ones; files another run is writing to are
left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from sim.errors import InputError
from sim.files.atomic import beside
from sim.files.locks import is_at, locked

VERSION = 2
_NAME = re.compile(r"records-(\d{4,})\.jsonl")
# A kill loses nothing that was written; a power cut loses at most this long.
_SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Found:
    """contents: key -> content of the tasks asked for.  notices: one line each, about what could not be used."""

    contents: dict[str, Any]
    notices: tuple[str, ...]


class Records:
    """Finished tasks of one folder; `add` appends, leaving the context closes the run's file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: FileIO | None = None
        self._synced = 0.0

    def find(self, keys: Collection[str]) -> Found:
        """The contents of `keys`, as far as they are there and whole."""
        wanted, contents, notices = set(keys), dict[str, Any](), []
        for path in self._paths():
            damaged = 0
            for key, content in _lines(path):
                if key is None:
                    damaged += 1
                elif key in wanted:
                    contents[key] = json.loads(content)
            if damaged:
                notices.append(f"{path}: {damaged} damaged lines; their tasks are computed again")
        if self.folder.is_dir() and (old := sum(1 for _ in self.folder.glob("[!.]*.json"))):
            notices.append(f"{self.folder}: {old} files of format 1 (one a task) are not read; they may be deleted")
        return Found(contents, tuple(notices))

    def add(self, key: str, content: Any) -> None:
        """Append one finished task: written when this returns, safe from a power cut about a second later."""
        if self._file is None:
            self._file = self._new_file()
        line = _line(key, json.dumps(content, separators=(",", ":"), allow_nan=False))
        while line:
            line = line[self._file.write(line) :]
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def merge(self) -> None:
        """Several files, or one with damaged lines, become one of whole lines; the run's own file is closed."""
        self.close()
        held = [(path, file) for path in self._paths() if (file := _exclusive(path)) is not None]
        try:
            whole: dict[str, str] = {}
            lines = 0
            for path, _ in held:
                for key, content in _lines(path):
                    lines += 1
                    if key is not None:
                        whole.pop(key, None)
                        whole[key] = content
            if len(held) < 2 and lines == len(whole):
                return
            self._publish(_line(key, content) for key, content in whole.items())
            for path, _ in held:
                path.unlink(missing_ok=True)
        finally:
            for _, file in held:
                file.close()

    def _publish(self, lines: Iterable[bytes]) -> None:
        """A new file, complete or not there at all; never in the place of one that another run has made meanwhile."""
        with beside(self._next()) as temporary, temporary.open("wb") as merged:
            merged.write(_header())
            merged.writelines(lines)
            merged.flush()
            os.fsync(merged.fileno())
            while True:
                try:
                    _link(temporary, self._next())
                    break
                except FileExistsError:
                    continue

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _paths(self) -> list[Path]:
        """Record files, the oldest first."""
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)] if self.folder.is_dir() else []
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def _next(self) -> Path:
        paths = self._paths()
        last = _NAME.fullmatch(paths[-1].name) if paths else None
        return self.folder / f"records-{int(last[1]) + 1 if last else 1:04d}.jsonl"

    def _new_file(self) -> FileIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = self._next()
            try:
                # Unbuffered: a line is one write, and no line waits in this process.
                file = path.open("xb", buffering=0)
            except FileExistsError:  # another run was faster
                continue
            # Between its making and its lock another run may have merged it away, and another have made its like.
            if locked(file) and is_at(file, path):
                file.write(_header())
                return file
            file.close()


def _header() -> bytes:
    return _line("format", str(VERSION))


def _line(key: str, content: str) -> bytes:
    rest = f"{key} {content}".encode()
    return hashlib.blake2b(rest, digest_size=8).hexdigest().encode() + b" " + rest + b"\n"


def _lines(path: Path) -> Iterator[tuple[str | None, str]]:
    """(key, content as JSON) of each line; (None, "") for one that is not whole; another format's file is refused."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # merged by another run meanwhile
        return
    # The last piece is empty, or what a kill left of a line: no damage, that task had not finished.
    for line in lines[:-1]:
        digest, _, rest = line.partition(b" ")
        if hashlib.blake2b(rest, digest_size=8).hexdigest().encode() != digest:
            yield None, ""
            continue
        key, _, content = rest.decode().partition(" ")
        if key != "format":
            yield key, content
        elif content != str(VERSION):
            raise InputError(
                f"holds finished tasks of format {content}, this program reads {VERSION}", file=path,
                fix="delete the folder, or choose another one",
            )  # fmt: skip


def _exclusive(path: Path) -> FileIO | None:
    """The file open and locked, or None if another run is writing to it or has removed it."""
    try:
        file = path.open("r+b", buffering=0)
    except OSError:
        return None
    if locked(file):
        return file
    file.close()
    return None


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
