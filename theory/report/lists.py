"""Lists of claims that the docs keep: rates on short grids, bounds that the draw computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sim.errors import InputError
from theory.engine.judges import Slope
from theory.engine.theorem import Setting, Theorem
from theory.report.table import markdown_rows

DECADES = 2.0
REPLICATES = 30


def decades(theorem: Theorem[Any], setting: Setting) -> float:
    """log10 of a grid's largest point over its smallest."""
    grid = theorem.grid(setting)
    if grid is None:
        raise InputError(f"claim '{theorem.claim_id}' is a rate without a grid", fix="give it a `grid`")
    return float(np.log10(grid.max() / grid.min()))


def rates(theorems: Iterable[Theorem[Any]]) -> list[tuple[Theorem[Any], Setting]]:
    """Every reading of a claim that is judged by a slope."""
    readings = [(one, variant.setting) for one in theorems for variant in one.SETTINGS.values()]
    return [(one, setting) for one, setting in readings if isinstance(one.bound(setting), Slope)]


def short_grids(theorems: Iterable[Theorem[Any]]) -> str:
    """Rates over less than two decades, and why."""
    rows = [("claim", "decades", "points", "why")]
    for theorem, setting in rates(theorems):
        grid = theorem.grid(setting)
        if grid is not None and theorem.short_grid:
            rows.append((theorem.claim_id, f"{decades(theorem, setting):.2f}", str(len(grid)), theorem.short_grid))
    return markdown_rows(rows)


def right_sides(theorems: Iterable[Theorem[Any]]) -> str:
    """Claims whose draw is left over right, by where the right side comes from."""
    every = tuple(theorems)
    rows = [("right side", "claims", "which")]
    for kind, words in (("draw", "written out in the draw"), ("code", "with numbers of the code under test")):
        names = [theorem.claim_id for theorem in every if theorem.right_side == kind]
        rows.append((words, str(len(names)), ", ".join(names)))
    return markdown_rows(rows)
