"""Compiled alternating gradient descent on the factors of Theta = left' right (rows, d padded)."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.bilinear import curved_pass
from sim.compiled.cholesky import factor_in_place, solve_factored
from sim.compiled.copies import copy_matrix
from sim.compiled.jit import FAST, INNER
from sim.compiled.structs import Curvature, Factors, TileScratch
from sim.compiled.tiles import TILE


@njit(**INNER)
def _gram(factor):
    r = factor.shape[0]
    out = np.empty((r, r))
    for a in range(r):
        for b in range(r):
            total = 0.0
            for j in range(factor.shape[1]):
                total += factor[a, j] * factor[b, j]
            out[a, b] = total
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
def descend(answers, limits, scaled, eta, balance, factors, losses):
    """Rounds until Theta moves by at most the tolerance of itself; losses (rounds + 1) as output.

    Returns (rounds, largest gradient entry, status): 0 converged, 1 overflow, 2 round limit.
    """
    left, right, mass, ridge = factors.left, factors.right, answers.mass, limits.ridge
    r = left.shape[0]
    gradient = Factors(np.empty(left.shape), np.empty(right.shape))
    scratch = TileScratch(np.empty((r, TILE)), np.empty((r, TILE)), np.empty((3, TILE)))
    curvature = Curvature(np.empty((2, r, r)), np.empty(3))
    rounds, largest = 0, 0.0
    losses[0] = curved_pass(answers, factors, scratch, gradient, curvature) / mass
    while True:
        kept_left, kept_right = left.copy(), right.copy()
        if not _step(left, right, gradient.left, mass, ridge, scaled, eta, balance):
            return rounds, largest, 1
        # The other factor's gradient is taken at the new one.
        curved_pass(answers, factors, scratch, gradient, curvature)
        if not _step(right, left, gradient.right, mass, ridge, scaled, eta, balance):
            return rounds, largest, 1
        loss = curved_pass(answers, factors, scratch, gradient, curvature)
        rounds += 1
        losses[rounds] = loss / mass
        largest = 0.0
        for a in range(r):
            for j in range(left.shape[1]):
                largest = max(largest, abs(gradient.left[a, j]) / mass)
            for j in range(right.shape[1]):
                largest = max(largest, abs(gradient.right[a, j]) / mass)
        gap, size = _difference(left, right, kept_left, kept_right)
        if not gap < 1e12:
            copy_matrix(kept_left, left)
            copy_matrix(kept_right, right)
            return rounds, largest, 1
        if gap <= limits.tolerance * size:
            return rounds, largest, 0
        if rounds >= limits.max_rounds:
            return rounds, largest, 2
