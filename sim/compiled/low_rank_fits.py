"""Compiled rank-constrained logistic fits: limited-memory BFGS on the factors of Theta = left' right, factors as rows.

Each round starts from the inverse curvature by blocks, see `_factor_metric`, of sums the pass makes on its way: where
contexts and differences are independent a round leaves a twentieth of what there was to gain.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.bilinear import curved_pass, tile_of, to_rows
from sim.compiled.bilinear_large import lone_pass, shared_moments, shared_pass
from sim.compiled.copies import copy_matrix
from sim.compiled.factor_metric import split
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.lbfgs import LOSS, ROUNDS, STATUS, advance, start_lbfgs
from sim.compiled.low_rank_start import moments, place_start
from sim.compiled.structs import BilinearAnswers, Curvature, Factors, Limits, Moments, TileScratch
from sim.compiled.tiles import TILE
from sim.preferences import FloatArray

# Parts a batch is cut into, whose fits share their memory.
_PARTS = 64


@njit(**INNER)
def _objective(loss, mass, ridge, left, right, left_gradient, right_gradient):
    """Mean loss with 0.5 ridge |Theta|^2; the gradients become its own."""
    own = loss / mass
    for a in range(left.shape[0]):
        for j in range(left.shape[1]):
            left_gradient[a, j] /= mass
        for j in range(right.shape[1]):
            right_gradient[a, j] /= mass
    # |left' right|^2 = sum_ab <left_a, left_b> <right_a, right_b>
    if ridge > 0.0:
        for a in range(left.shape[0]):
            for b in range(left.shape[0]):
                ll, rr = 0.0, 0.0
                for j in range(left.shape[1]):
                    ll += left[a, j] * left[b, j]
                for j in range(right.shape[1]):
                    rr += right[a, j] * right[b, j]
                own += 0.5 * ridge * ll * rr
                for j in range(left.shape[1]):
                    left_gradient[a, j] += ridge * rr * left[b, j]
                for j in range(right.shape[1]):
                    right_gradient[a, j] += ridge * ll * right[b, j]
    return own


@njit(**INNER)
def spectral_factors(answers, ridge, rank, given, start):
    """(x root, z root, both factors after one another, mean variances), see `place_start`."""
    sums = moments(answers)
    point, of_x, of_z = place_start(sums, ridge, rank, given, start)
    return sums.x_square, sums.z_square, point, of_x, of_z


@njit(**INNER)
def all_right(x, z, weight, offset, n, left, right):
    """Whether every weighted answer has a positive margin; leaves at the first that has not."""
    for i in range(n):
        u = offset[i]
        for a in range(left.shape[0]):
            p, q = 0.0, 0.0
            for j in range(left.shape[1]):
                p += left[a, j] * x[j, i]
            for j in range(right.shape[1]):
                q += right[a, j] * z[j, i]
            u += p * q
        if weight[i] > 0.0 and not u > 0.0:
            return False
    return True


@njit(**FAST)
def all_positive(x, z, weight, offset, theta):
    """`all_right` for x (n, d_x), z (n, d_phi) and theta (d_x, d_phi).

    Compiled because the threads a matrix product leaves spinning take the core from the next fit: twice its time.
    """
    for i in range(len(x)):
        u = offset[i]
        for a in range(theta.shape[0]):
            row, inner = theta[a], 0.0
            for j in range(theta.shape[1]):
                inner += row[j] * z[i, j]
            u += x[i, a] * inner
        if weight[i] > 0.0 and not u > 0.0:
            return False
    return True


@njit(**INNER)
def largest_of(gradient):
    largest = 0.0
    for i in range(gradient.size):
        largest = max(largest, abs(gradient[i]))
    return largest


@njit(**INNER)
def _fit_one(answers, limits, given, start, factors):
    """One fit, serial passes, factors as output; (loss, largest gradient entry, rounds, status)."""
    rank, tile = factors.left.shape[0], tile_of(answers.K)
    x_root, z_root, point, of_x, of_z = spectral_factors(answers, limits.ridge, rank, given, start)
    search, metric = start_lbfgs(point, rank, limits.ridge, x_root, z_root, of_x, of_z)
    scratch = TileScratch(np.empty((rank, tile)), np.empty((rank, tile)), np.empty((3, tile)))
    curvature = Curvature(np.empty((2, rank, rank)), np.empty(3))
    here, slopes = split(point, rank, answers.x.shape[0]), split(search.gradient, rank, answers.x.shape[0])
    while True:
        loss = curved_pass(answers, here, scratch, slopes, curvature)
        loss = _objective(loss, answers.mass, limits.ridge, here.left, here.right, slopes.left, slopes.right)
        if advance(loss, curvature, answers.mass, limits, metric, search):
            break
    copy_matrix(here.left, factors.left)
    copy_matrix(here.right, factors.right)
    progress = search.progress
    return progress[LOSS], largest_of(search.gradient), np.int64(progress[ROUNDS]), np.int64(progress[STATUS])


@njit(**FAST_PARALLEL)
def rows_of(values, rows):
    """values (n, d) into rows (d padded, at least n)."""
    n = len(values)
    for block in prange((n + TILE - 1) // TILE):
        lo = np.int64(block) * TILE
        to_rows(values, lo, min(lo + TILE, n), rows[:, lo:])


@njit(**FAST)
def fit_serial(answers, limits, given, start, factors):
    """From the spectral start, or from `start` (d_x, d_phi padded) where it is `given`, see `_fit_one`."""
    return _fit_one(answers, limits, given, start, factors)


@njit(**FAST)
def _begin(sums, ridge, rank, given, start):
    point, of_x, of_z = place_start(sums, ridge, rank, given, start)
    return start_lbfgs(point, rank, ridge, sums.x_square, sums.z_square, of_x, of_z)


@njit(**FAST)
def _judge(curvature, mass, limits, metric, search):
    """After a shared pass: the objective, and the next point; True when done."""
    rank, dx = metric.inverses.shape[1], metric.x_root.shape[0]
    here, slopes = split(search.point, rank, dx), split(search.gradient, rank, dx)
    loss = _objective(curvature.totals[0], mass, limits.ridge, here.left, here.right, slopes.left, slopes.right)
    return advance(loss, curvature, mass, limits, metric, search)


def fit_large(
    answers: BilinearAnswers, limits: Limits, given: bool, start: FloatArray, factors: Factors,
    sums: Moments | None = None,
) -> tuple[float, float, int, int]:  # fmt: skip
    """`fit_serial` for one large problem, x (n, d_x) and z (n, d_phi).  sums: `Moments` of the answers, used up; each
    pass then is the calling thread's own. Without them passes are shared between threads (a parallel kernel is called
    from Python only, see `sim.compiled.jit`)."""
    (rank, dx), dz = factors.left.shape, factors.right.shape[1]
    one_pass = shared_pass if sums is None else lone_pass
    if sums is None:
        sums = shared_moments(answers, dx, dz, rank)
    search, metric = _begin(sums, limits.ridge, rank, given, start)
    curvature = Curvature(np.empty((2, rank, rank)), np.empty(3))
    here, slopes = split.py_func(search.point, rank, dx), split.py_func(search.gradient, rank, dx)
    while True:
        one_pass(answers, here, *slopes, *curvature)
        if _judge(curvature, answers.mass, limits, metric, search):
            break
    factors.left[:], factors.right[:] = here
    progress = search.progress
    return float(progress[LOSS]), float(np.abs(search.gradient).max()), int(progress[ROUNDS]), int(progress[STATUS])


@njit(**FAST_PARALLEL)
def fit_low_rank_many(contexts, differences, length, K, rank, limits, theta, values, counts):
    """One fit a replicate; contexts (B, n, d_x), differences (B, n, d_phi), theta (B, d_x, d_phi); values (2, B): loss,
    largest gradient entry; counts (3, B): rounds, status, separable."""
    B, n, dx = contexts.shape
    dz = differences.shape[2]
    rows_x, rows_z = (dx + 3) // 4 * 4, (dz + 3) // 4 * 4
    ridge, tolerance, max_rounds = limits.ridge, limits.tolerance, limits.max_rounds
    for part in prange(_PARTS):
        x, z = np.empty((rows_x, length)), np.empty((rows_z, length))
        x[dx:] = 0.0
        z[dz:] = 0.0
        weight, offset, start = np.ones(n), np.zeros(n), np.zeros((rows_x, rows_z))
        left, right = np.zeros((rank, rows_x)), np.zeros((rank, rows_z))
        answers = BilinearAnswers(x, z, weight, offset, n, n / max(K, 1), True, K)
        own, factors = Limits(ridge, tolerance, max_rounds), Factors(left, right)
        for b in range(part * B // _PARTS, (part + 1) * B // _PARTS):
            to_rows(contexts[b], 0, n, x)
            to_rows(differences[b], 0, n, z)
            found = _fit_one(answers, own, False, start, factors)
            values[0, b], values[1, b], counts[0, b], counts[1, b] = found
            counts[2, b] = K == 0 and all_right(x, z, weight, offset, n, left, right)
            for i in range(dx):
                for j in range(dz):
                    total = 0.0
                    for a in range(rank):
                        total += left[a, i] * right[a, j]
                    theta[b, i, j] = total
