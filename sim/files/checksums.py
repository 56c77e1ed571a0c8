"""Checksums of a result folder's files, in one of its own: a number that was changed later is not shown as a result.

    {"format": 1, "blake2b": {"fit.json": "0f3c...", ...}}        16 bytes of BLAKE2b over each file's bytes

The file is written last and goes before any of the others is replaced, so that it never speaks of a state that is only
half there. A folder without it is of an earlier version, or of somebody who changed it on purpose, and is not checked.
They protect against accidents: whoever can change a file can change its checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from sim.errors import InputError
from sim.files.atomic import write_json

NAME = "checksums.json"
_FORMAT = 1
_KIND = "blake2b"


def write_checksums(folder: str | Path, names: Iterable[str]) -> None:
    """Of these files, given relative to the folder; one that is not there is left out."""
    target = Path(folder)
    found = {name: _digest(target / name) for name in sorted(names) if (target / name).is_file()}
    write_json(target / NAME, {"format": _FORMAT, _KIND: found})


def forget_checksums(folder: str | Path) -> None:
    """Before one of the files is replaced."""
    (Path(folder) / NAME).unlink(missing_ok=True)


def require_unchanged(folder: str | Path, *names: str) -> None:
    """InputError with the first of these files whose bytes are others than when the folder was written."""
    path = Path(folder) / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("is no file of checksums", file=path, fix="copy the folder again, or delete it") from error
    known = content.get(_KIND) if isinstance(content, dict) else None
    if not isinstance(known, dict):
        raise InputError("is no file of checksums", file=path, fix="copy the folder again, or delete it")
    for name in names:
        own = Path(folder) / name
        # One that is missing or cannot be read is for its reader to tell.
        if name in known and own.is_file() and _digest(own) != known[name]:
            raise InputError(
                "was changed since it was written (checksum)", file=own,
                fix=f"copy or compute it again, or delete {NAME} beside it if the change was meant",
            )  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
