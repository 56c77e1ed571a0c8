"""Hashes of large files, kept in the user's cache folder: a base of 14 GB is read once, not by every command.

A hash is believed only of exactly the files it was taken of: the same paths, sizes, inodes, and times of change. The
time of the last change of content can be set to anything, that of the last change of the inode cannot; both count.
A file that was changed while it was read, or just before, is not kept: the next change may carry the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llm.base.folder_format import read_stamped, stamped
from sim.errors import InputError
from sim.files.atomic import write_json

# Smaller sets of files are as soon read as looked up.
_LARGE_BYTES = 1 << 26
# File systems count time in steps of up to two seconds.
_SETTLED_NS = 3_000_000_000


def cache_folder() -> Path:
    """Where what can be made again lies: PLURALIGN_CACHE, else pluralign in the user's cache folder."""
    own = os.environ.get("PLURALIGN_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pluralign"


def kept_hash(files: Mapping[Path, str], compute: Callable[[], str]) -> str:
    """What `compute` makes of these files' content and names, now or when they were the very same before.

    files: to the names that go into the hash.
    """
    before = _state(files)
    if before is None or sum(row[2] for row in before) < _LARGE_BYTES:
        return compute()
    place = cache_folder() / "hashes" / f"{_digest(before)}.json"
    known = _read(place, before)
    if known is not None:
        return known
    began = time.time_ns()
    found = compute()
    if _state(files) == before and all(max(row[4:6]) < began - _SETTLED_NS for row in before):
        _write(place, before, found)
    return found


def _state(files: Mapping[Path, str]) -> list[list[Any]] | None:
    """[name, path, size, inode, time of content, time of inode, device] of each; None where one cannot be seen."""
    rows: list[list[Any]] = []
    for file, name in files.items():
        try:
            own = file.stat()
        except OSError:
            return None
        path = str(file.absolute())
        rows.append([name, path, own.st_size, own.st_ino, own.st_mtime_ns, own.st_ctime_ns, own.st_dev])
    return rows


def _digest(rows: list[list[Any]]) -> str:
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()


def _read(place: Path, rows: list[list[Any]]) -> str | None:
    """The hash kept of these files; None where there is none, or one that is not as it was written."""
    try:
        content = read_stamped(place, "")
    except (OSError, InputError):
        return None
    found = content.get("hash")
    return found if content.get("files") == rows and isinstance(found, str) else None


def _write(place: Path, rows: list[list[Any]], found: str) -> None:
    try:
        write_json(place, stamped({"files": rows, "hash": found}))
    except OSError:  # a cache that cannot be written is none
        return
