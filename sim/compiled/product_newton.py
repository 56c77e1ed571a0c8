"""Compiled Newton's method for a matrix M in margins u = sum_ab M[a, b] left_a right_b, and alternating fits with it.

Rows of features, (rows, n): with the contexts' rows on the left and the differences' on the right it is the full
logistic fit; with one side projected on its factor, half a step of alternating exact minimisation.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.bilinear import factor_margins
from sim.compiled.copies import copy_matrix, copy_vector
from sim.compiled.factor_metric import split
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.low_rank_fits import all_right, spectral_factors
from sim.compiled.low_rank_start import orthonormal
from sim.compiled.newton import slopes
from sim.compiled.structs import BilinearAnswers, Derivatives, Limits
from sim.compiled.tiles import TILE, add_gradient, add_hessian, margins, solve_in_place


@njit(**INNER)
def _product_rows(left, n_left, right, n_right, lo, hi, rows):
    """rows[a * n_right + b] = left_a right_b over columns lo:hi."""
    m = hi - lo
    for a in range(n_left):
        own = left[a, lo:hi]
        for b in range(n_right):
            other, row = right[b, lo:hi], rows[a * n_right + b, :m]
            for c in range(m):
                row[c] = own[c] * other[c]


@njit(**INNER)
def _product_pass(answers, n_left, n_right, point, rows, scratch, derivatives):
    """Total loss, gradient and Hessian (lower triangle, and its four-row blocks) at `point`."""
    weight, offset, n = answers.weight, answers.offset, answers.n
    derivatives.gradient[:] = 0.0
    derivatives.hessian[:] = 0.0
    loss = 0.0
    for lo in range(0, n, TILE):
        hi = min(lo + TILE, n)
        m = hi - lo
        u, slope, curvature = scratch[0, :m], scratch[1, :m], scratch[2, :m]
        _product_rows(answers.x, n_left, answers.z, n_right, lo, hi, rows)
        margins(rows, 0, m, point, u)
        for c in range(m):
            u[c] += offset[lo + c]
        loss += slopes(u, weight[lo:hi], slope, curvature)
        add_gradient(rows, 0, m, slope, derivatives.gradient)
        add_hessian(rows, 0, m, curvature, scratch[3:7], derivatives.hessian)
    return loss


@njit(**INNER)
def product_newton(answers, n_left, n_right, limits, point):
    """Minimise the mean loss + 0.5 ridge |M|^2 from `point` (n_left * n_right padded), in place, by Newton with
    halving; left rows are answers.x, right rows answers.z.  Stops when half the decrement is at most the tolerance.
    Returns (loss, steps, largest gradient, status)."""
    k, mass, ridge = point.size, answers.mass, limits.ridge
    rows, scratch = np.zeros((k, TILE)), np.empty((7, TILE))
    gradient, hessian, step, kept = np.empty(k), np.empty((k, k)), np.zeros(k), point.copy()
    derivatives = Derivatives(gradient, hessian)
    best, decrement, size, steps, status, largest = np.inf, 0.0, 1.0, 0, 2, 0.0
    while True:
        loss = _product_pass(answers, n_left, n_right, point, rows, scratch, derivatives)
        loss /= mass
        for j in range(k):
            loss += 0.5 * ridge * point[j] * point[j]
        if not loss <= best - 1e-4 * size * decrement + 1e-14 * abs(loss):
            size *= 0.5
            if size < 1e-8:
                copy_vector(kept, point)
                status = 0 if decrement < 1e-11 * abs(best) else 1
                break
            for j in range(k):
                point[j] = kept[j] - size * step[j]
            continue
        best, size, largest = loss, 1.0, 0.0
        for j in range(k):
            gradient[j] = gradient[j] / mass + ridge * point[j]
            largest = max(largest, abs(gradient[j]))
            step[j] = gradient[j]
            for other in range(j + 1):
                hessian[j, other] /= mass
            # Rows of zeros that make up the number of four have no curvature.
            hessian[j, j] += ridge if hessian[j, j] > 0.0 or ridge > 0.0 else 1.0
        if not solve_in_place(hessian, step):
            status = 1
            break
        decrement = 0.0
        for j in range(k):
            decrement += gradient[j] * step[j]
        if 0.5 * decrement <= limits.tolerance:
            status = 0
            break
        if steps >= limits.max_rounds:
            break
        steps += 1
        for j in range(k):
            kept[j] = point[j]
            point[j] -= step[j]
    return best, steps, largest, status


@njit(**FAST)
def fit_full(answers, n_x, n_z, limits, point):
    """The full logistic fit; point (n_x * n_z padded) as output."""
    return product_newton(answers, n_x, n_z, limits, point)


@njit(**INNER)
def _half(answers, n_rows, basis, limits, projected, factor, point):
    """The best factor (r, d padded) for u = sum_a <factor_a, x> <basis_a, z>, warm from `factor`."""
    r, n = basis.shape[0], answers.n
    for lo in range(0, n, TILE):
        hi = min(lo + TILE, n)
        factor_margins(answers.z, lo, hi, basis, projected[:, lo:hi])
    for j in range(n_rows):
        for a in range(r):
            point[j * r + a] = factor[a, j]
    turned = BilinearAnswers(
        answers.x, projected, answers.weight, answers.offset, n, answers.mass, answers.unweighted, answers.K
    )
    found = product_newton(turned, n_rows, r, limits, point)
    for j in range(n_rows):
        for a in range(r):
            factor[a, j] = point[j * r + a]
    return found


@njit(**INNER)
def _carried(basis, left, turned):
    """The factor on the other side so that the product stays when `left`'s rows were replaced by `basis`:
    turned_b = sum_a <basis_b, left_a> times what stood with a."""
    r = basis.shape[0]
    mix = np.empty((r, r))
    for b in range(r):
        for a in range(r):
            total = 0.0
            for j in range(basis.shape[1]):
                total += basis[b, j] * left[a, j]
            mix[b, a] = total
    return mix @ turned


@njit(**INNER)
def alternate(answers, n_x, n_z, limits, factors):
    """Alternating exact minimisation from the factors, in place. After each half step its factor is
    orthonormalised, so that the other half's ridge is the one on Theta. Stops when a whole round gains at most
    `tolerance`.  Returns (loss, largest gradient of the last half, rounds, status)."""
    left, right = factors
    r = left.shape[0]
    projected = np.empty((r, answers.weight.size))
    left_point, right_point = np.zeros((n_x * r + 3) // 4 * 4), np.zeros((n_z * r + 3) // 4 * 4)
    best, rounds, status, largest = np.inf, 0, 2, 0.0
    basis = right.copy()
    orthonormal(basis)
    copy_matrix(_carried(basis, right, left), left)
    copy_matrix(basis, right)
    inner = Limits(limits.ridge, 0.01 * limits.tolerance, 30)
    flipped = BilinearAnswers(
        answers.z, answers.x, answers.weight, answers.offset, answers.n, answers.mass, answers.unweighted, answers.K
    )
    while rounds < limits.max_rounds:
        rounds += 1
        _half(answers, n_x, right, inner, projected, left, left_point)
        basis = left.copy()
        orthonormal(basis)
        copy_matrix(_carried(basis, left, right), right)
        copy_matrix(basis, left)
        loss, _, largest, _ = _half(flipped, n_z, left, inner, projected, right, right_point)
        basis = right.copy()
        orthonormal(basis)
        copy_matrix(_carried(basis, right, left), left)
        copy_matrix(basis, right)
        if best - loss <= limits.tolerance:
            status = 0
            break
        best = loss
    return loss, largest, rounds, status


@njit(**FAST)
def fit_alternating(answers, n_x, n_z, limits, given, start, factors):
    """`alternate` from the whitened spectral start, or from `start` (d_x, d_phi padded)."""
    rank = factors.left.shape[0]
    point = spectral_factors(answers, limits.ridge, rank, given, start)[2]
    begun = split(point, rank, answers.x.shape[0])
    copy_matrix(begun.left, factors.left)
    copy_matrix(begun.right, factors.right)
    return alternate(answers, n_x, n_z, limits, factors)


@njit(**FAST_PARALLEL)
def fit_full_many(contexts, differences, length, limits, theta, values, counts):
    """The full fit a replicate; contexts (B, n, d_x), differences (B, n, d_phi), theta (B, d_x, d_phi); values and
    counts as in `fit_low_rank_many`."""
    B, n, dx = contexts.shape
    dz = differences.shape[2]
    ridge, tolerance, max_steps = limits.ridge, limits.tolerance, limits.max_rounds
    for b in prange(B):
        x, z = np.zeros(((dx + 3) // 4 * 4, length)), np.zeros(((dz + 3) // 4 * 4, length))
        for i in range(n):
            for j in range(dx):
                x[j, i] = contexts[b, i, j]
            for j in range(dz):
                z[j, i] = differences[b, i, j]
        weight, offset = np.ones(n), np.zeros(n)
        point = np.zeros((dx * dz + 3) // 4 * 4)
        answers = BilinearAnswers(x, z, weight, offset, n, float(n), True, 0)
        found = product_newton(answers, dx, dz, Limits(ridge, tolerance, max_steps), point)
        values[0, b], counts[0, b], values[1, b], counts[1, b] = found
        left, right = np.zeros((dx, x.shape[0])), np.zeros((dx, z.shape[0]))
        for i in range(dx):
            left[i, i] = 1.0
            for j in range(dz):
                theta[b, i, j] = point[i * dz + j]
                right[i, j] = point[i * dz + j]
        counts[2, b] = all_right(x, z, weight, offset, n, left, right)
