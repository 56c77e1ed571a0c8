"""A user's own regret matrix: read from CSV, solved, certified."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class RegretTable:
    """values (n_groups, n_policies); the names of its rows and columns."""

    values: FloatArray
    groups: tuple[str, ...]
    policies: tuple[str, ...]
    source: str


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


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def read_regret_table(path: str | Path) -> RegretTable:
    """Read a CSV of regrets; a header line and a first column of names are recognised by not being numbers."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, fix="give a CSV file") from error
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8", file=path, fix="save it as plain CSV") from error
    # (line number, cells): blank lines are passed over but counted, so that a row named here is the file's.
    lines = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(csv.reader(text.splitlines()), start=1)
        if any(cell.strip() for cell in row)
    ]
    if not lines:
        raise InputError("expected a row a group, the file is empty", file=path, fix="write one row a group")
    header: list[str] | None = None
    if all(_number(cell) is None for cell in lines[0][1][1:]) and _number(lines[0][1][-1]) is None:
        header, lines = lines[0][1], lines[1:]
    if not lines:
        raise InputError("expected a row a group, found only a header", file=path, fix="add the rows")
    named = all(_number(cells[0]) is None for _, cells in lines) and len(lines[0][1]) > 1
    width = len(lines[0][1])
    values = []
    for number, cells in lines:
        if len(cells) != width:
            raise InputError(
                f"expected {width} columns as in the first row, got {len(cells)}",
                file=path,
                row=number,
                fix="make the matrix rectangular",
            )
        row = []
        for column, cell in enumerate(cells[int(named) :], start=1 + int(named)):
            value = _number(cell)
            if value is None or not np.isfinite(value):
                raise InputError(
                    f"expected a finite number, got '{cell}'",
                    file=path,
                    row=number,
                    field=f"column {column}",
                    fix="write the regret as a plain number",
                )
            row.append(value)
        values.append(row)
    n_policies = width - int(named)
    groups = [cells[0] for _, cells in lines] if named else [f"group {z + 1}" for z in range(len(lines))]
    policies = [f"policy {k + 1}" for k in range(n_policies)]
    if header is not None:
        if len(header) != width:
            raise InputError(
                f"expected {width} names in the header, got {len(header)}", file=path, row=1, fix="name each column"
            )
        policies = header[int(named) :]
    return RegretTable(np.array(values), tuple(groups), tuple(policies), str(path))


def parse_priorities(text: str | None, n_groups: int) -> FloatArray:
    """ "1,2,4" -> (n_groups,) positive numbers; ones if None."""
    if text is None:
        return np.ones(n_groups)
    numbers = [_number(part) for part in text.split(",")]
    if len(numbers) != n_groups:
        raise InputError(
            f"--priorities: expected {n_groups} numbers, one a group, got {len(numbers)}", fix="give one a group"
        )
    priorities = np.array([np.nan if number is None else number for number in numbers])
    if not np.isfinite(priorities).all() or (priorities <= 0).any():
        raise InputError(f"--priorities: expected positive numbers, got '{text}'", fix="write e.g. 1,2,4")
    return priorities


def solve_regret_table(table: RegretTable, *, priorities: str | None, rounds: int) -> RegretSolution:
    """min_w max_z c_z (R w)_z by optimistic Hedge, with the LP's exact value beside it.

    No zero row is added: the user's matrix is the game (for exact ensembles the row changes nothing).
    """
    from sim.algorithms.hedge import game_value, hedge

    c = parse_priorities(priorities, len(table.groups))
    game = table.values * c[:, None]
    played = hedge(game, rounds)
    return RegretSolution(
        table=table,
        weights=played.weights,
        regret_per_group=table.values @ played.weights,
        priorities=c,
        value=float((game @ played.weights).max()),
        lp_value=game_value(game).value,
        gap=played.gap,
        rounds=rounds,
    )
