"""Files to begin with, for claims, experiments, methods, converters, rules and environments of one's own."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib import resources
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from sim.errors import InputError
from sim.files.atomic import write_text
from sim.settings import require_known

Kind: TypeAlias = Literal["claim", "experiment", "method", "converter", "rule", "environment"]
KINDS: tuple[str, ...] = get_args(Kind)
# How each is run as it is written.
_RUN = {
    "claim": "pluralign check {name}:CLAIMS",
    "experiment": "pluralign study {name}.yaml --workers 2",
    "method": "pluralign fit PAIRS --method {name}:METHOD",
    "converter": "pluralign convert {name}:CONVERTER FILE --out PAIRS.parquet",
    "rule": "pluralign axioms --rule {name}:RULE",
    "environment": "pluralign study types --set environment={name}:ENVIRONMENT",
}


@dataclass(frozen=True)
class Skeleton:
    """files: what was written.  command: how it is run."""

    files: tuple[Path, ...]
    command: str


def new(kind: str, name: str, folder: str | Path | None = None) -> Skeleton:
    """Write NAME.py, a commented skeleton that runs as it is, into `folder` (an experiment also NAME.yaml).

    kind: claim, experiment, method, converter, rule or environment.  name: a module's; folder: the working directory
    if None.
    Errors: InputError for a name that no module can have or that another has, or where a file is there already.
    """
    require_known(kind, KINDS, section="kind")
    place = Path.cwd() if folder is None else Path(folder)
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or keyword.iskeyword(name):
        what = "a word of Python's own" if keyword.iskeyword(name) else "small letters, digits and underscores"
        rule = f"name must not be {what}" if keyword.iskeyword(name) else f"name must be {what}, no digit first"
        raise InputError(f"{rule}, as a module's (got '{name}')", fix=f"for example {_possible(name, place)}")
    if name in sys.stdlib_module_names or _is_installed(name, place):
        raise InputError(f"name must not be that of another module (got '{name}')", fix=f"for example my_{name}")
    endings = (".py", ".yaml") if kind == "experiment" else (".py",)
    files = tuple(place / f"{name}{ending}" for ending in endings)
    for file in files:
        if file.exists():
            raise InputError("is there already and is left alone", file=file, fix="choose another name")
    for file in files:
        text = (resources.files("pluralign") / "skeletons" / f"{kind}{file.suffix}").read_text(encoding="utf-8")
        write_text(file, _named(text, name))
    return Skeleton(files, _RUN[kind].format(name=name))


def _possible(name: str, folder: Path) -> str:
    """The nearest name that a module can have."""
    near = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "mine"
    taken = near[0].isdigit() or keyword.iskeyword(near) or near in sys.stdlib_module_names
    return f"my_{near}" if taken or _is_installed(near, folder) else near


def _is_installed(name: str, folder: Path) -> bool:
    """A module of that name elsewhere, which a file in this folder would stand before."""
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() != folder.resolve()]
    return PathFinder.find_spec(name, elsewhere) is not None


def _named(text: str, name: str) -> str:
    """In a claim's id hyphens stand for underscores."""
    return text.replace('"skeleton-', f'"{re.sub("_+", "-", name.strip("_"))}-').replace("skeleton", name)
