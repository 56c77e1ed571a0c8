"""Columns that the answers say nothing about: constant ones, and ones that others determine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, require_positive
from sim.preferences import BoolArray, FloatArray
from sim.running.threads import one_thread


@dataclass(frozen=True, eq=False)
class Screened:
    """kept (d,), columns that are left; constant: names of columns without variation; collinear: name of a column that
    was left out -> names of the kept ones it is a combination of."""

    kept: BoolArray
    constant: tuple[str, ...]
    collinear: dict[str, tuple[str, ...]]

    def message(self) -> str:
        """What was left out and why; empty if nothing."""
        parts = [f"{name} does not vary" for name in self.constant]
        parts += [f"{name} is a combination of {', '.join(of)}" for name, of in self.collinear.items()]
        return "; ".join(parts)


@one_thread()
def screen_columns(matrix: FloatArray, names: Sequence[str] | None = None, *, tolerance: float = 1e-8) -> Screened:
    """Which columns of (n, d) the rows identify.

    Differences whose column is zero throughout (an intercept among an item's features) leave that column of Theta free,
    and choices do not depend on it; so do contexts or differences that are linear combinations of others. Columns are
    taken from the left: one is left out if, scaled to length one, less than `tolerance` of it lies off the span of
    those already kept.

    Of more rows than columns only R of the QR decomposition is looked at: its columns have the lengths and the angles
    of the matrix's own.
    """
    float_array("matrix", matrix, ("n", "d"))
    require_positive(tolerance=tolerance)
    n, d = matrix.shape
    own = [f"column {j + 1}" for j in range(d)] if names is None else list(names)
    if len(own) != d:
        raise ValueError(f"names must be as many as the {d} columns (got {len(own)})")
    if n > d > 0:
        matrix = np.asarray(np.linalg.qr(matrix, mode="r"))
    length = np.linalg.norm(matrix, axis=0)
    least = tolerance * (length.max() if d else 0.0)
    kept = np.zeros(d, dtype=np.bool_)
    constant: list[str] = []
    collinear: dict[str, tuple[str, ...]] = {}
    # Directions as rows: a copy of all of them at every column would be most of the work.
    basis, found = np.empty((min(n, d), len(matrix))), 0
    for j in range(d):
        if length[j] <= least:
            constant.append(own[j])
            continue
        column = matrix[:, j] / length[j]
        before = basis[:found]
        rest = column - (before @ column) @ before
        rest -= (before @ rest) @ before
        size = float(np.linalg.norm(rest))
        if size <= tolerance:
            share, *_ = np.linalg.lstsq(matrix[:, kept] / length[kept], column, rcond=None)
            used = np.flatnonzero(kept)[np.abs(share) > 1e-6 * np.abs(share).max()]
            collinear[own[j]] = tuple(own[i] for i in used)
            continue
        kept[j] = True
        basis[found] = rest / size
        found += 1
    return Screened(kept, tuple(constant), collinear)
