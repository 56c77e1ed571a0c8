"""Which claims there are."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from typing import Any

from sim.errors import InputError
from theory.engine.theorem import Theorem

PAPERS = {
    "unobserved_types": "EM-DPO and MinMax-DPO (Chidambaram, Seetharaman, Syrgkanis, arXiv 2405.15065)",
    "multi_party": "welfare functions with pessimism, von Neumann winner (Zhong et al., arXiv 2403.05006)",
    "personalization": "personalised RLHF, aggregation, pooling, truthful mechanisms (Park et al., arXiv 2405.00254)",
    "low_rank": "low-rank contextual RLHF, pessimism in a reduced subspace (Lee, Sun, Liu, arXiv 2412.19436)",
}


@cache
def theorems_of(paper: str) -> tuple[Theorem[Any], ...]:
    """Every theorem of a paper, in the order of its modules and of `THEOREMS` in each."""
    package = importlib.import_module(f"theory.{paper}")
    found: list[Theorem[Any]] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        found += getattr(importlib.import_module(f"theory.{paper}.{module.name}"), "THEOREMS", ())
    return tuple(found)


def all_theorems() -> tuple[Theorem[Any], ...]:
    return tuple(theorem for paper in PAPERS for theorem in theorems_of(paper))


def find(claim_id: str) -> Theorem[Any]:
    """The theorem of that name, or an error with the nearest one."""
    known = {theorem.claim_id: theorem for theorem in all_theorems()}
    if claim_id in known:
        return known[claim_id]
    near = difflib.get_close_matches(claim_id, [*known, *PAPERS], n=1)
    hint = f"did you mean '{near[0]}'?" if near else "`pluralign list` names them"
    raise InputError(f"no claim or paper '{claim_id}'", fix=hint)


def select(names: tuple[str, ...]) -> tuple[Theorem[Any], ...]:
    """Theorems of the named papers and claims, each once; all of them if nothing is named."""
    if not names:
        return all_theorems()
    chosen: dict[str, Theorem[Any]] = {}
    for name in names:
        for theorem in theorems_of(name) if name in PAPERS else (find(name),):
            chosen[theorem.claim_id] = theorem
    return tuple(chosen.values())
