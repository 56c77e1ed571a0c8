"""Compiled start of a low-rank fit: covariances, the spectral start, the factors nearest to it."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.bilinear import loss_slopes, tile_of
from sim.compiled.cholesky import factor_in_place
from sim.compiled.factor_metric import split
from sim.compiled.jit import INNER
from sim.compiled.structs import Moments
from sim.compiled.tiles import TILE, add_block, add_hessian

# Turns of orthogonal iteration.
_TURNS = 8


@njit(**INNER)
def _add_cross(x, z, lo, hi, slope, scaled, out):
    """out[k, j] += sum_c slope[c] z[k, lo + c] x[j, lo + c]."""
    m = hi - lo
    s0, s1, s2, s3 = scaled[0, :m], scaled[1, :m], scaled[2, :m], scaled[3, :m]
    rows = s0, s1, s2, s3
    for k in range(0, z.shape[0], 4):
        z0, z1, z2, z3 = z[k, lo:hi], z[k + 1, lo:hi], z[k + 2, lo:hi], z[k + 3, lo:hi]
        for c in range(m):
            w = slope[c]
            s0[c], s1[c], s2[c], s3[c] = w * z0[c], w * z1[c], w * z2[c], w * z3[c]
        for j in range(0, x.shape[0], 4):
            add_block((x[j, lo:hi], x[j + 1, lo:hi], x[j + 2, lo:hi], x[j + 3, lo:hi]), rows, out, k, j)


@njit(**INNER)
def add_moments(answers, lo, hi, square, sums):
    """Sums over columns lo:hi, the second moments only if `square`."""
    m, weight, totals = hi - lo, answers.weight[lo:hi], sums.totals
    slope, curvature, scaled = np.empty(m), np.empty(m), np.empty((5, max(m, TILE)))[1:]
    loss_slopes(answers.offset[lo:hi], weight, answers.unweighted, answers.K, slope, curvature)
    total = 0.0
    for c in range(m):
        total += curvature[c]
    totals[1] += total
    _add_cross(answers.x, answers.z, lo, hi, slope, scaled, sums.cross)
    if square:
        total = 0.0
        for c in range(m):
            total += weight[c]
        totals[0] += total
        add_hessian(answers.x, lo, hi, weight, scaled, sums.x_square)
        add_hessian(answers.z, lo, hi, weight, scaled, sums.z_square)


@njit(**INNER)
def moments(answers):
    """`Moments` of all columns."""
    dx, dz, n, tile = answers.x.shape[0], answers.z.shape[0], answers.n, tile_of(answers.K)
    sums = Moments(np.zeros((dz, dx)), np.zeros((dx, dx)), np.zeros((dz, dz)), np.zeros(2))
    for lo in range(0, n, tile):
        add_moments(answers, lo, min(lo + tile, n), True, sums)
    return sums


@njit(**INNER)
def _mean_variance(square, mass):
    """Over the columns that vary."""
    trace, varied = 0.0, 0
    for j in range(square.shape[0]):
        trace += square[j, j]
        varied += 1 if square[j, j] > 0.0 else 0
    return trace / (mass * max(varied, 1)) if trace > 0.0 else 1.0


@njit(**INNER)
def _root(square, mass, ridge, typical):
    """Lower Cholesky factor of the second moments plus the ridge, in place."""
    d = square.shape[0]
    for j in range(d):
        for k in range(j):
            square[j, k] /= mass
            square[k, j] = 0.0
        # Rows of zeros that make up the number of four, and columns nobody varied, keep a unit of their own; where
        # columns depend on each other, what is left of the last counts for a millionth.
        own = square[j, j] / mass
        square[j, j] = own * (1.0 + 1e-6) + ridge if own > 0.0 else typical
    if not factor_in_place(square):
        square[:] = 0.0
        for j in range(d):
            square[j, j] = np.sqrt(typical)


@njit(**INNER)
def _solve_lower(root, rows):
    """L^-1 v for each row v, in place."""
    for a in range(rows.shape[0]):
        v = rows[a]
        for j in range(v.size):
            total, row = v[j], root[j]
            for k in range(j):
                total -= row[k] * v[k]
            v[j] = total / row[j]


@njit(**INNER)
def _solve_upper(root, rows):
    """L^-T v for each row v, in place."""
    for a in range(rows.shape[0]):
        v = rows[a]
        for j in range(v.size - 1, -1, -1):
            row = root[j]
            v[j] /= row[j]
            x = v[j]
            for k in range(j):
                v[k] -= row[k] * x


@njit(**INNER)
def orthonormal(factor):
    """Gram-Schmidt, twice, on the rows; a row that vanishes is replaced by the first axis that does not."""
    r, d = factor.shape
    for a in range(r):
        axis = 0
        while True:
            before, norm = 0.0, 0.0
            for j in range(d):
                before += factor[a, j] * factor[a, j]
            for _ in range(2):
                for b in range(a):
                    inner = 0.0
                    for j in range(d):
                        inner += factor[a, j] * factor[b, j]
                    for j in range(d):
                        factor[a, j] -= inner * factor[b, j]
            for j in range(d):
                norm += factor[a, j] * factor[a, j]
            # No axis is left only where there are values that are not numbers.
            if (norm > 1e-24 * before and norm > 0.0) or axis == d:
                break
            factor[a, :] = 0.0
            factor[a, axis] = 1.0
            axis += 1
        norm = np.sqrt(norm)
        for j in range(d):
            factor[a, j] /= norm


@njit(**INNER)
def _best_factors(matrix, left, right):
    """left' right near the best approximation of `matrix` of that rank, left orthonormal: a few turns of orthogonal
    iteration from fixed rows, exact where the matrix has no more rank."""
    r, dx = left.shape
    dz = right.shape[1]
    for a in range(r):
        for j in range(dz):
            right[a, j] = (a + 1) * (j + 1) * 0.6180339887498949 % 1.0 - 0.5
    for _ in range(_TURNS):
        orthonormal(right)
        for a in range(r):
            for i in range(dx):
                total, row, v = 0.0, matrix[i], right[a]
                for j in range(dz):
                    total += row[j] * v[j]
                left[a, i] = total
        orthonormal(left)
        for a in range(r):
            v = right[a]
            v[:] = 0.0
            for i in range(dx):
                row, own = matrix[i], left[a, i]
                for j in range(dz):
                    v[j] += own * row[j]


@njit(**INNER)
def place_start(sums, ridge, rank, given, start):
    """(both factors after one another, mean variances of x and z), from `start` (d_x, d_phi) where it is given; the
    second moments become the covariances' roots."""
    cross, x_square, z_square, totals = sums
    dx, dz = x_square.shape[0], z_square.shape[0]
    mass = max(totals[0], 1e-200)
    of_x, of_z = _mean_variance(x_square, mass), _mean_variance(z_square, mass)
    _root(x_square, mass, 5.0 * ridge / of_z, of_x)
    _root(z_square, mass, 5.0 * ridge / of_x, of_z)
    if given:
        first = x_square.T.copy() @ start @ z_square
    else:
        first = cross * (-1.0 / max(totals[1], 1e-200))
        _solve_lower(x_square, first)
        first = first.T.copy()
        _solve_lower(z_square, first)
    point = np.empty(rank * (dx + dz))
    left, right = split(point, rank, dx)
    _best_factors(first, left, right)
    _solve_upper(x_square, left)
    _solve_upper(z_square, right)
    return point, of_x, of_z
