"""Compiled rank-constrained logistic fits: limited-memory BFGS on the factors of Theta = left' right, factors as rows.

Each round starts from the inverse curvature by blocks, see `_factor_metric`, of sums the pass makes on its way: where
contexts and differences are independent a round leaves a twentieth of what there was to gain.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.bilinear import curved_pass, tile_of, to_rows
from sim.compiled.bilinear_large import shared_moments, shared_pass
from sim.compiled.factor_metric import split
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.lbfgs import LOSS, ROUNDS, STATUS, advance, start_lbfgs
from sim.compiled.low_rank_start import moments, place_start
from sim.compiled.tiles import TILE
from sim.preferences import FloatArray

# Parts a batch is cut into, whose fits share their memory.
_PARTS = 64


@njit(**INNER)
def _all_ones(weight):
    wrong = 0
    for i in range(weight.size):
        wrong += 1 if weight[i] != 1.0 else 0
    return wrong == 0


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
def spectral_factors(x, z, weight, offset, n, K, ridge, rank, given, start):
    """(x root, z root, both factors after one another, mean variances), see `place_start`."""
    cross, x_root, z_root, totals = moments(x, z, weight, _all_ones(weight), offset, n, K)
    point, of_x, of_z = place_start(cross, x_root, z_root, totals, ridge, rank, given, start)
    return x_root, z_root, point, of_x, of_z


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
def _fit_one(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right):
    """One fit, serial passes, factors (r, d padded) as output; (loss, largest gradient entry, rounds, status)."""
    x_root, z_root, point, of_x, of_z = spectral_factors(x, z, weight, offset, n, K, ridge, rank, given, start)
    progress, vectors, inverses, scalars = start_lbfgs(point.size, rank, ridge, of_x, of_z)
    tile, unweighted = tile_of(K), _all_ones(weight)
    p, q, scratch = np.empty((rank, tile)), np.empty((rank, tile)), np.empty((3, tile))
    gradient, sums, totals = np.empty(point.size), np.empty((2, rank, rank)), np.empty(3)
    here_left, here_right = split(point, rank, x.shape[0])
    by_left, by_right = split(gradient, rank, x.shape[0])
    while True:
        curved_pass(
            x, z, weight, unweighted, offset, K, n, here_left, here_right, p, q, scratch, by_left, by_right, sums,
            totals,
        )  # fmt: skip
        loss = _objective(totals[0], mass, ridge, here_left, here_right, by_left, by_right)
        if advance(
            loss, gradient, sums, totals, mass, tolerance, max_rounds, rank, x_root, z_root, point, progress, vectors,
            inverses, scalars,
        ):  # fmt: skip
            break
    left[:] = here_left
    right[:] = here_right
    return progress[LOSS], largest_of(gradient), np.int64(progress[ROUNDS]), np.int64(progress[STATUS])


@njit(**FAST_PARALLEL)
def rows_of(values, rows):
    """values (n, d) into rows (d padded, at least n)."""
    n = len(values)
    for block in prange((n + TILE - 1) // TILE):
        lo = np.int64(block) * TILE
        to_rows(values, lo, min(lo + TILE, n), rows[:, lo:])


@njit(**FAST)
def fit_serial(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right):
    return _fit_one(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right)


@njit(**FAST)
def _begin(cross, x_square, z_square, moment_totals, ridge, rank, given, start):
    point, of_x, of_z = place_start(cross, x_square, z_square, moment_totals, ridge, rank, given, start)
    progress, vectors, inverses, scalars = start_lbfgs(point.size, rank, ridge, of_x, of_z)
    return point, progress, vectors, inverses, scalars


@njit(**FAST)
def _judge(gradient, sums, totals, mass, ridge, tolerance, max_rounds, rank, x_root, z_root, point, progress, vectors,
           inverses, scalars):  # fmt: skip
    """After a shared pass: the objective, and the next point; True when done."""
    left, right = split(point, rank, x_root.shape[0])
    by_left, by_right = split(gradient, rank, x_root.shape[0])
    loss = _objective(totals[0], mass, ridge, left, right, by_left, by_right)
    return advance(
        loss, gradient, sums, totals, mass, tolerance, max_rounds, rank, x_root, z_root, point, progress, vectors,
        inverses, scalars,
    )  # fmt: skip


def fit_shared(
    x: FloatArray, z: FloatArray, weight: FloatArray, offset: FloatArray, mass: float, rank: int, ridge: float,
    tolerance: float, max_rounds: int, given: bool, start: FloatArray, left: FloatArray, right: FloatArray,
) -> tuple[float, float, int, int]:  # fmt: skip
    """`fit_serial` for one large problem, x (n, d_x) and z (n, d_phi), each pass shared between threads (a parallel
    kernel is called from Python only, see `sim.compiled.jit`)."""
    dx, dz = left.shape[1], right.shape[1]
    unweighted = bool((weight == 1.0).all())
    cross, x_root, z_root, counts = shared_moments(x, z, weight, unweighted, offset, dx, dz, rank)
    point, progress, vectors, inverses, scalars = _begin(cross, x_root, z_root, counts, ridge, rank, given, start)
    gradient, sums, totals = np.empty(point.size), np.empty((2, rank, rank)), np.empty(3)
    here_left, here_right = point[: rank * dx].reshape(rank, dx), point[rank * dx :].reshape(rank, dz)
    by_left, by_right = gradient[: rank * dx].reshape(rank, dx), gradient[rank * dx :].reshape(rank, dz)
    while True:
        shared_pass(x, z, weight, unweighted, offset, here_left, here_right, by_left, by_right, sums, totals)
        if _judge(gradient, sums, totals, mass, ridge, tolerance, max_rounds, rank, x_root, z_root, point, progress,
                  vectors, inverses, scalars):  # fmt: skip
            break
    left[:], right[:] = here_left, here_right
    return float(progress[LOSS]), float(np.abs(gradient).max()), int(progress[ROUNDS]), int(progress[STATUS])


@njit(**FAST_PARALLEL)
def fit_low_rank_many(contexts, differences, length, K, rank, ridge, tolerance, max_rounds, theta, loss, largest,
                      rounds, status, separable):  # fmt: skip
    """One fit a replicate; contexts (B, n, d_x), differences (B, n, d_phi), theta (B, d_x, d_phi)."""
    B, n, dx = contexts.shape
    dz = differences.shape[2]
    rows_x, rows_z = (dx + 3) // 4 * 4, (dz + 3) // 4 * 4
    for part in prange(_PARTS):
        x, z = np.empty((rows_x, length)), np.empty((rows_z, length))
        x[dx:] = 0.0
        z[dz:] = 0.0
        weight, offset, start = np.ones(n), np.zeros(n), np.zeros((rows_x, rows_z))
        left, right = np.zeros((rank, rows_x)), np.zeros((rank, rows_z))
        for b in range(part * B // _PARTS, (part + 1) * B // _PARTS):
            to_rows(contexts[b], 0, n, x)
            to_rows(differences[b], 0, n, z)
            loss[b], largest[b], rounds[b], status[b] = _fit_one(
                x, z, weight, offset, n, K, n / max(K, 1), rank, ridge, tolerance, max_rounds, False, start, left, right
            )
            separable[b] = K == 0 and all_right(x, z, weight, offset, n, left, right)
            for i in range(dx):
                for j in range(dz):
                    total = 0.0
                    for a in range(rank):
                        total += left[a, i] * right[a, j]
                    theta[b, i, j] = total
