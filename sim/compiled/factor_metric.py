"""Compiled inverse curvature of a loss in two factors, Theta = left' right, by blocks: what L-BFGS starts from.

For contexts and differences independent of each other the second derivative on the tangent space is E[w q q'] times
the contexts' covariance for `left`, E[w p p'] times the differences' for `right` (p = left x, q = right z, w = sigma'),
and nearly the product of both on the directions left' D right that the factors share; no (rank x dimensions)^2 matrix
is formed.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.cholesky import factor_in_place, solve_factored
from sim.compiled.jit import INNER
from sim.compiled.structs import Factors

# Places in `inverses`, and in `scalars`.
PP, QQ, LEFT, RIGHT = 0, 1, 2, 3
MEAN, ALONG, RIDGE, X_VARIANCE, Z_VARIANCE = 0, 1, 2, 3, 4
# What trace times trace of the inverse, over r^2, of left's second moments may become.
_UNSOUND = 1e3


@njit(**INNER)
def split(vector, r, dx):
    """(left (r, d_x), right (r, d_phi)) as views of a vector of both."""
    left, right = vector[: r * dx].reshape((r, dx)), vector[r * dx :].reshape((r, (vector.size - r * dx) // r))
    return Factors(left, right)


@njit(**INNER)
def _invert(matrix, inverse):
    """Inverse of a symmetric matrix given by its lower triangle, which is used up; directions nobody has seen get a
    curvature that is small beside the others."""
    r = matrix.shape[0]
    trace = 1e-200
    for a in range(r):
        trace += matrix[a, a]
    for a in range(r):
        matrix[a, a] += 1e-10 * trace
    sound = factor_in_place(matrix)
    for a in range(r):
        for b in range(r):
            inverse[a, b] = 0.0
        inverse[a, a] = 1.0
        if sound:
            solve_factored(matrix, inverse[a])
        else:
            inverse[a, a] = 1.0 / trace


@njit(**INNER)
def _gram(factor, out):
    """out = factor factor', lower triangle."""
    for a in range(factor.shape[0]):
        for b in range(a + 1):
            total = 0.0
            for j in range(factor.shape[1]):
                total += factor[a, j] * factor[b, j]
            out[a, b] = total


@njit(**INNER)
def _metric_gram(factor, root, out):
    """out = factor C factor', lower triangle, C = root root'."""
    r, d = factor.shape
    turned = np.zeros((r, d))
    for a in range(r):
        for j in range(d):
            v, row = factor[a, j], root[j]
            for k in range(j + 1):
                turned[a, k] += v * row[k]
    _gram(turned, out)


@njit(**INNER)
def set_metric(curvature, mass, factors, metric):
    """inverses and scalars from a pass's curvatures (their sums are used up), its factors and the covariances' roots.

    False where left's rows have come close to dependence: large numbers cancel in left' right then.
    """
    left, right = factors
    sums, totals, inverses, scalars = curvature.sums, curvature.totals, metric.inverses, metric.scalars
    r = left.shape[0]
    grams = np.empty((2, r, r))
    _gram(left, grams[0])
    _gram(right, grams[1])
    ridge_left, ridge_right = scalars[RIDGE] / scalars[X_VARIANCE], scalars[RIDGE] / scalars[Z_VARIANCE]
    mean, along, product = totals[1] / mass + ridge_left / scalars[Z_VARIANCE], totals[2] / mass, 0.0
    for a in range(r):
        for b in range(a + 1):
            twice = 1.0 if a == b else 2.0
            along += twice * scalars[RIDGE] * grams[0, a, b] * grams[1, a, b]
        for b in range(a + 1):
            sums[0, a, b] = sums[0, a, b] / mass + ridge_right * grams[0, a, b]
            sums[1, a, b] = sums[1, a, b] / mass + ridge_left * grams[1, a, b]
        for b in range(a + 1):
            twice = 1.0 if a == b else 2.0
            product += twice * sums[0, a, b] * sums[1, a, b]
    scalars[MEAN] = mean
    # Along Theta itself p and q go together: E[w u^2] in place of the product (Sherman-Morrison).
    scalars[ALONG] = mean / product - 1.0 / along if product > 0.0 and along > 0.0 else 0.0
    _metric_gram(left, metric.x_root, grams[0])
    _metric_gram(right, metric.z_root, grams[1])
    size, inverse = 0.0, 0.0
    for a in range(r):
        size += grams[0, a, a]
    _invert(sums[0], inverses[PP])
    _invert(sums[1], inverses[QQ])
    _invert(grams[0], inverses[LEFT])
    _invert(grams[1], inverses[RIGHT])
    for a in range(r):
        inverse += inverses[LEFT, a, a]
    return size * inverse <= _UNSOUND * r * r


@njit(**INNER)
def balance(left, right, x_root):
    """left's rows orthonormal in the contexts' metric, and right so that left' right stays; False if it cannot be."""
    r, d = left.shape
    gram = np.empty((r, r))
    _metric_gram(left, x_root, gram)
    if not factor_in_place(gram):
        return False
    for a in range(r):
        for b in range(a):
            for j in range(d):
                left[a, j] -= gram[a, b] * left[b, j]
        for j in range(d):
            left[a, j] /= gram[a, a]
        for j in range(right.shape[1]):
            total = 0.0
            for b in range(a, r):
                total += gram[b, a] * right[b, j]
            right[a, j] = total
    return True


@njit(**INNER)
def _product(a, b, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(b.shape[0]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@njit(**INNER)
def _turn(rows, root, mixing, factor, own, out):
    """out_a = sum_b mixing_ab C^-1 rows_b + own_ab factor_b; rows are used up."""
    r, d = rows.shape
    for a in range(r):
        solve_factored(root, rows[a])
    for a in range(r):
        for j in range(d):
            out[a, j] = 0.0
        for b in range(r):
            m, o, row, other, line = mixing[a, b], own[a, b], rows[b], factor[b], out[a]
            for j in range(d):
                line[j] += m * row[j] + o * other[j]


@njit(**INNER)
def apply_inverse(vector, factors, metric, out):
    """out = inverse curvature times `vector` (a gradient by both factors, used up): no part of it along directions that
    leave Theta as it is."""
    left, right = factors
    x_root, z_root, inverses, scalars = metric
    r, dx = left.shape
    v_left, v_right = split(vector, r, dx)
    out_left, out_right = split(out, r, dx)
    small = np.empty((6, r, r))
    by_left, by_right, core, work, shift, other = small[0], small[1], small[2], small[3], small[4], small[5]
    trace = 0.0
    for a in range(r):
        for b in range(r):
            x, z = 0.0, 0.0
            for j in range(dx):
                x += left[a, j] * v_left[b, j]
            for j in range(right.shape[1]):
                z += right[a, j] * v_right[b, j]
            by_left[a, b] = x
            by_right[a, b] = z
    for a in range(r):
        for b in range(r):
            other[a, b] = 0.5 * scalars[MEAN] * (by_left[a, b] + by_right[b, a])
        trace += other[a, a] / scalars[MEAN]
    _product(inverses[PP], other, work)
    _product(work, inverses[QQ], core)
    for a in range(r):
        core[a, a] -= scalars[ALONG] * trace
    # What each factor alone may do: without the directions of the other's that `core` has moved already.
    _product(inverses[LEFT], by_left, work)
    _product(work, inverses[QQ], other)
    for a in range(r):
        for b in range(r):
            shift[a, b] = 0.5 * core[b, a] - other[b, a]
    _turn(v_left, x_root, inverses[QQ], left, shift, out_left)
    _product(inverses[RIGHT], by_right, work)
    _product(work, inverses[PP], other)
    for a in range(r):
        for b in range(r):
            shift[a, b] = 0.5 * core[a, b] - other[b, a]
    _turn(v_right, z_root, inverses[PP], right, shift, out_right)
