"""Copies between arrays, entry by entry.

`a[:] = b` makes numba compile a message about shapes, number formatting and all, once for each pair of dimensions: 2 to
4 s of every first use, for shapes that kernels know to be equal.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sim.compiled.jit import INNER


@njit(**INNER)
def copy_vector(source, target):
    """target[i] = source[i], both (n,)."""
    for i in range(target.size):
        target[i] = source[i]


@njit(**INNER)
def copy_matrix(source, target):
    """target[i, j] = source[i, j], both (n, m)."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[i, j]


@njit(**INNER)
def clear(target):
    """target[i] = 0, (n,)."""
    for i in range(target.size):
        target[i] = 0.0
