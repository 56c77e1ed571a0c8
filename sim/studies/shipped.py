"""The studies that come with the package, by name: the YAML files beside the experiments."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path

from sim.errors import InputError

_EXPERIMENTS = Path(__file__).resolve().parent / "experiments"
_IS_STUDY = re.compile(r"^experiment:", re.MULTILINE)


@cache
def _found() -> dict[str, Path]:
    """folder/name -> file; a file of reference numbers is no study."""
    files = sorted(_EXPERIMENTS.glob("*/*.yaml"))
    return {
        f"{file.parent.name}/{file.stem}": file for file in files if _IS_STUDY.search(file.read_text(encoding="utf-8"))
    }


def shipped_studies() -> dict[str, Path]:
    """name -> study file, in the order of their folders: `reward_free`; two of one name are called `folder/name`."""
    names = [path.stem for path in _found().values()]
    return {full if names.count(path.stem) > 1 else path.stem: path for full, path in _found().items()}


def study_file(name: str | Path) -> Path:
    """The file of a study: a path as it is, a shipped one by its name or folder/name.

    A file that is there goes before a shipped study of the same name. InputError, with the nearest name, for neither.
    """
    path = Path(name)
    if path.exists() and not path.is_dir():
        return path
    known = {**_found(), **shipped_studies()}
    asked = str(name).removesuffix(".yaml")
    if asked in known:
        return known[asked]
    if path.suffix in (".yaml", ".yml"):
        # Meant as a path: reading it says what is wrong with it.
        return path
    for beside in (Path(f"{name}{ending}") for ending in (".yaml", ".yml")):
        if beside.is_file():
            raise InputError(f"no study '{name}'", fix=f"for the file {beside}: pluralign study {beside}")
    near = difflib.get_close_matches(asked, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise InputError(
        f"no study '{name}'", fix=f"{hint}`pluralign study --list` names them; a path to a YAML file does too"
    )
