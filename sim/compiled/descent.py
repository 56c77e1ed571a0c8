"""Compiled alternating gradient descent on the factors of Theta = left' right (rows, d padded)."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.bilinear import bilinear_pass
from sim.compiled.cholesky import factor_in_place, solve_factored
from sim.compiled.jit import FAST, INNER
from sim.compiled.tiles import TILE


@njit(**INNER)
def _gram(factor):
    r = factor.shape[0]
    out = np.zeros((r, r))
    for a in range(r):
        for b in range(r):
            for j in range(factor.shape[1]):
                out[a, b] += factor[a, j] * factor[b, j]
    return out


@njit(**INNER)
def _step(factor, other, gradient, mass, ridge, scaled, eta, balance):
    """One step of one factor, in place. gradient: of the summed loss."""
    r, d = factor.shape
    own, across = _gram(factor), _gram(other)
    change = np.empty((r, d))
    for a in range(r):
        for j in range(d):
            total = gradient[a, j] / mass
            for b in range(r):
                total += (ridge * across[a, b] + balance * (own[a, b] - across[a, b])) * factor[b, j]
            change[a, j] = total
    if scaled:
        solver, column = across.copy(), np.empty(r)
        for a in range(r):
            solver[a, a] += 1e-12 * across[a, a] + 1e-300
        if not factor_in_place(solver):
            return False
        for j in range(d):
            for a in range(r):
                column[a] = change[a, j]
            solve_factored(solver, column)
            for a in range(r):
                change[a, j] = column[a]
    for a in range(r):
        for j in range(d):
            factor[a, j] -= eta * change[a, j]
    return True


@njit(**INNER)
def _difference(left, right, kept_left, kept_right):
    """(|left' right - kept'|_F, |kept|_F)."""
    gap, size = 0.0, 0.0
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            new, old = 0.0, 0.0
            for a in range(left.shape[0]):
                new += left[a, i] * right[a, j]
                old += kept_left[a, i] * kept_right[a, j]
            gap += (new - old) * (new - old)
            size += old * old
    return np.sqrt(gap), np.sqrt(size)


@njit(**FAST)
def descend(x, z, weight, offset, n, mass, ridge, scaled, eta, balance, tolerance, left, right, losses):
    """Rounds until Theta moves by at most `tolerance` of itself; losses (rounds + 1) as output.

    Returns (rounds, largest gradient entry, status): 0 converged, 1 overflow, 2 round limit.
    """
    r = left.shape[0]
    left_gradient, right_gradient = np.empty(left.shape), np.empty(right.shape)
    p, q, scratch = np.empty((r, TILE)), np.empty((r, TILE)), np.empty((2, TILE))
    rounds, largest = 0, 0.0
    losses[0] = (
        bilinear_pass(x, z, weight, offset, 0, n, left, right, p, q, scratch, left_gradient, right_gradient) / mass
    )
    while True:
        kept_left, kept_right = left.copy(), right.copy()
        if not _step(left, right, left_gradient, mass, ridge, scaled, eta, balance):
            return rounds, largest, 1
        # The other factor's gradient is taken at the new one.
        bilinear_pass(x, z, weight, offset, 0, n, left, right, p, q, scratch, left_gradient, right_gradient)
        if not _step(right, left, right_gradient, mass, ridge, scaled, eta, balance):
            return rounds, largest, 1
        loss = bilinear_pass(x, z, weight, offset, 0, n, left, right, p, q, scratch, left_gradient, right_gradient)
        rounds += 1
        losses[rounds] = loss / mass
        largest = 0.0
        for a in range(r):
            for j in range(left.shape[1]):
                largest = max(largest, abs(left_gradient[a, j]) / mass)
            for j in range(right.shape[1]):
                largest = max(largest, abs(right_gradient[a, j]) / mass)
        gap, size = _difference(left, right, kept_left, kept_right)
        if not gap < 1e12:
            left[:], right[:] = kept_left, kept_right
            return rounds, largest, 1
        if gap <= tolerance * size:
            return rounds, largest, 0
        if rounds >= losses.size - 1:
            return rounds, largest, 2
