"""The version of the folders that the commands of `llm` write and read: stamped into their JSON, refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.reading import load_json

# Raised whenever what a folder's files hold, or mean, changes: an older folder is then refused, never half understood.
FORMAT = 1


def stamped(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with the format's version before everything else."""
    return {"format": FORMAT, **content}


def read_stamped(path: Path, fix: str) -> dict[str, Any]:
    """The JSON object in a file that `stamped` wrote, without its stamp.

    fix: what to do about a file of another format, for example which command to run again.
    Raises OSError where the file cannot be read, InputError where it is no JSON object or of another format.
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
    return content
