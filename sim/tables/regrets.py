"""A user's own regret matrix: read from CSV, solved, certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.arguments import float_array
from sim.errors import InputError
from sim.files.number_tables import LARGEST, as_number, read_number_table
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class RegretTable:
    """values (n_groups, n_policies); the names of its rows and columns."""

    values: FloatArray
    groups: tuple[str, ...]
    policies: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        float_array("values", self.values, (len(self.groups), len(self.policies)))


@dataclass(frozen=True, eq=False)
class RegretSolution:
    """weights (n_policies,), each group's own regret, and the certificate (value - lp_value <= gap)."""

    table: RegretTable
    weights: FloatArray
    regret_per_group: FloatArray
    priorities: FloatArray
    value: float
    lp_value: float
    gap: float
    rounds: int

    def as_json(self) -> dict[str, Any]:
        return {
            "weights": self.weights.tolist(),
            "value": self.value,
            "lp_value": self.lp_value,
            "gap": self.gap,
            "rounds": self.rounds,
            "regret_per_group": self.regret_per_group.tolist(),
            "priorities": self.priorities.tolist(),
            "groups": list(self.table.groups),
            "policies": list(self.table.policies),
        }


def read_regret_table(path: str | Path) -> RegretTable:
    """Read a CSV of regrets; a header line and a first column of names are recognised by not being numbers."""
    table = read_number_table(path, row="group", column="policy", entry="the regret")
    return RegretTable(table.values, table.rows, table.columns, table.source)


def parse_priorities(text: str, n_groups: int) -> FloatArray:
    """ "1,2,4" -> (n_groups,) positive numbers."""
    numbers = [as_number(part) for part in text.split(",")]
    if len(numbers) != n_groups:
        raise InputError(
            f"priorities: expected {n_groups} numbers, one a group, got {len(numbers)}", fix="give one a group"
        )
    priorities = np.array([np.nan if number is None else number for number in numbers])
    if not np.isfinite(priorities).all() or (priorities <= 0).any():
        raise InputError(f"priorities: expected positive numbers, got '{text}'", fix="write e.g. 1,2,4")
    return priorities


def solve_regret_table(
    table: RegretTable, *, priorities: str | Sequence[float] | None = None, rounds: int = 100_000
) -> RegretSolution:
    """min_w max_z c_z (R w)_z by optimistic Hedge, with the LP's exact value beside it.

    priorities: c, one positive number a group, as numbers or as text ("1,2,4"); ones if None. No zero row is added: the
    user's matrix is the game (for exact ensembles the row changes nothing).
    """
    from sim.algorithms.hedge import game_value, hedge
    from sim.algorithms.regret import checked_priorities

    if isinstance(priorities, str):
        c = parse_priorities(priorities, len(table.groups))
    else:
        c = checked_priorities(priorities, len(table.groups))
    with np.errstate(over="ignore"):
        game = table.values * c[:, None]
    if not np.abs(game).max() <= LARGEST:
        raise InputError(
            f"priorities: times regrets they must lie below 1e100 (got {np.abs(game).max():.3g})",
            fix="give smaller ones: only their ratios count",
        )
    played = hedge(game, rounds)
    return RegretSolution(
        table=table,
        weights=played.weights,
        regret_per_group=table.values @ played.weights,
        priorities=c,
        value=played.upper,
        lp_value=game_value(game).value,
        gap=played.gap,
        rounds=rounds,
    )
