"""Files that a study's settings name: which folder a relative path is of, whoever runs the study and from where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sim.running.fingerprint import SIM
from sim.settings import in_home


def bases(paths: Iterable[str], file: Path, overridden: Iterable[str], where: Path | None) -> dict[str, Path]:
    """Field of a path -> the folder that relative ones are of: beside the study file, as its `reference` is; where the
    study was asked for if it was given on the command line, or if the study is of ours.

    where: None: the working folder.
    """
    beside, asked = file.resolve().parent, (where or Path.cwd()).absolute()
    typed = set(overridden)
    return {name: asked if name in typed or beside.is_relative_to(SIM) else beside for name in paths}


def located(values: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, Any]:
    """The values with absolute paths in the fields that have a folder: workers, and who goes on with the study, may be
    in another."""
    return {name: _absolute(value, folders[name]) if name in folders else value for name, value in values.items()}


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, tuple):
        return tuple(_absolute(item, folder) for item in value)
    return str(folder / in_home(value)) if isinstance(value, str) else value
