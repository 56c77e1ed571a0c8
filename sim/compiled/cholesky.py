"""Compiled Cholesky factors of small matrices, and solves with them."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.jit import INNER


@njit(**INNER)
def factor_in_place(matrix):
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor; False if it is not positive."""
    n = matrix.shape[0]
    for j in range(n):
        row_j = matrix[j]
        pivot = row_j[j]
        for k in range(j):
            pivot -= row_j[k] * row_j[k]
        if not pivot > 0.0:
            return False
        pivot = np.sqrt(pivot)
        row_j[j] = pivot
        for i in range(j + 1, n):
            row_i = matrix[i]
            total = row_i[j]
            for k in range(j):
                total -= row_i[k] * row_j[k]
            row_i[j] = total / pivot
    return True


@njit(**INNER)
def solve_factored(factor, right):
    """Solve L L' x = b in place; L the lower triangle of `factor`."""
    n = right.size
    for j in range(n):
        row, total = factor[j], right[j]
        for k in range(j):
            total -= row[k] * right[k]
        right[j] = total / row[j]
    for j in range(n - 1, -1, -1):
        row = factor[j]
        right[j] /= row[j]
        x = right[j]
        for k in range(j):
            right[k] -= row[k] * x
