"""Which papers and claims there are: whatever the packages beside this one declare."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from typing import Any

from sim.errors import InputError
from theory.engine.paper import Paper
from theory.engine.theorem import Theorem


@cache
def papers(root: str = "theory") -> dict[str, Paper]:
    """name -> paper, in the order of their places: every package in `root` that declares a `PAPER`."""
    packages = (m.name for m in pkgutil.iter_modules(importlib.import_module(root).__path__) if m.ispkg)
    declared = [getattr(importlib.import_module(f"{root}.{name}"), "PAPER", None) for name in packages]
    found = sorted((p for p in declared if isinstance(p, Paper)), key=lambda paper: (paper.place, paper.name))
    return {paper.name: paper for paper in found}


@cache
def theorems_of(paper: str) -> tuple[Theorem[Any], ...]:
    """Every theorem of a paper, in the order of its modules and of `THEOREMS` in each."""
    package = importlib.import_module(f"theory.{paper}")
    found: list[Theorem[Any]] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        found += getattr(importlib.import_module(f"theory.{paper}.{module.name}"), "THEOREMS", ())
    return tuple(found)


def all_theorems() -> tuple[Theorem[Any], ...]:
    return tuple(theorem for paper in papers() for theorem in theorems_of(paper))


def find(claim_id: str) -> Theorem[Any]:
    """The theorem of that name, or an error with the nearest one."""
    known = {theorem.claim_id: theorem for theorem in all_theorems()}
    if claim_id in known:
        return known[claim_id]
    near = difflib.get_close_matches(claim_id, [*known, *papers()], n=1)
    hint = f"did you mean '{near[0]}'?" if near else "`pluralign list` names them"
    raise InputError(f"no claim or paper '{claim_id}'", fix=hint)


def select(names: tuple[str, ...]) -> tuple[Theorem[Any], ...]:
    """Theorems of the named papers and claims, each once; all of them if nothing is named."""
    if not names:
        return all_theorems()
    chosen: dict[str, Theorem[Any]] = {}
    for name in names:
        for theorem in theorems_of(name) if name in papers() else (find(name),):
            chosen[theorem.claim_id] = theorem
    return tuple(chosen.values())
