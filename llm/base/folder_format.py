"""The version and the checksums of the folders that the commands of `llm` write and read.

Their JSON states its format and a checksum of its own content; files that are no JSON have their checksums in one that
is. A file of another format, or one that is not as it was written, is refused by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.reading import load_json

# Raised whenever what a folder's files hold, or mean, changes: an older folder is then refused, never half understood.
FORMAT = 2


def stamped(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with the format's version and its checksum before everything else."""
    return {"format": FORMAT, "checksum": _checksum(content), **content}


def _checksum(content: Mapping[str, Any]) -> str:
    """Of what JSON makes of the content, in whatever order and layout; numbers must be finite."""
    plain = json.loads(json.dumps(content, allow_nan=False))
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_stamped(path: Path, fix: str) -> dict[str, Any]:
    """The JSON object in a file that `stamped` wrote, without its stamps.

    fix: what to do about a file of another format, for example which command to run again.
    Raises OSError where the file cannot be read, InputError where it is no JSON object, of another format, or changed.
    """
    try:
        content = load_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", file=path, fix=fix) from error
    if not isinstance(content, dict):
        raise InputError(f"expected a JSON object, got {type(content).__name__}", file=path, fix=fix)
    found = content.pop("format", None)
    # True equals 1, and is no version.
    if type(found) is not int or found != FORMAT:
        came = "no format" if found is None else f"format {found!r}"
        raise InputError(f"has {came}, this version reads format {FORMAT}", file=path, fix=fix)
    try:
        whole = content.pop("checksum", None) == _checksum(content)
    except ValueError:  # NaN, which JSON has not and Python reads
        whole = False
    if not whole:
        raise InputError("was changed or damaged: its checksum differs", file=path, fix=fix)
    return content


def file_checksum(path: Path) -> str:
    """BLAKE2b of a file's bytes."""
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """name -> checksum of the files in a folder, with those inside of the names that are folders.

    Without README.md, which nobody reads back and people edit.
    """
    files = [file for name in names for file in _files(folder / name)]
    return {file.relative_to(folder).as_posix(): file_checksum(file) for file in files}


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    return sorted(file for file in place.rglob("*") if file.is_file() and file.name != "README.md")


def require_unchanged(folder: Path, files: Mapping[str, str], fix: str) -> None:
    """InputError where one of the files is missing or is not the one whose checksum was taken."""
    for name, wanted in files.items():
        try:
            found = file_checksum(folder / name)
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=folder / name, fix=fix) from error
        if found != wanted:
            raise InputError("was changed or damaged: its checksum differs", file=folder / name, fix=fix)
