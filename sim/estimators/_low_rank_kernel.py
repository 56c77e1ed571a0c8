"""Compiled rank-constrained logistic fits: limited-memory BFGS on whitened, scaled factors.

Theta = left' right, factors as rows. In coordinates where contexts and differences have unit covariance and the
factors' columns are scaled by the singular values of the start, the curvature is near a multiple of the identity, so
that few passes do and no Hessian is formed.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim._cholesky import factor_in_place
from sim.estimators._bilinear import bilinear_pass, shared_bilinear_pass, tile_of
from sim.estimators._lbfgs import LOSS, ROUNDS, STATUS, advance, start_lbfgs
from sim.estimators._tiles import TILE, add_gradient, add_hessian
from sim.jit import FAST, FAST_PARALLEL, INNER, sigmoid

# Columns that covariances are estimated from: they only shape the coordinates.
_FOR_COVARIANCE = 1024
# Columns the start is computed from, a number of unknowns: more would refine what the fit refines anyway.
_FOR_START = 6


@njit(**INNER)
def root_of_covariance(features, n):
    """Lower Cholesky factor of the features' second moments, from at most about a thousand columns."""
    d = features.shape[0]
    stride = max(n // _FOR_COVARIANCE, 1)
    m = (n + stride - 1) // stride
    picked, ones = np.empty((d, m)), np.full(m, 1.0 / m)
    for j in range(d):
        for c in range(m):
            picked[j, c] = features[j, c * stride]
    root, scaled = np.zeros((d, d)), np.empty((4, TILE))
    for lo in range(0, m, TILE):
        hi = min(lo + TILE, m)
        add_hessian(picked, lo, hi, ones[lo:hi], scaled, root)
    trace = 0.0
    for j in range(d):
        trace += root[j, j]
    for j in range(d):
        # Rows of zeros that make up the number of four, and columns nobody varied, keep a unit of their own.
        if root[j, j] <= 1e-12 * trace:
            root[j, j] = 1.0
        root[j, j] += 1e-10 * trace / d
        for k in range(j + 1, d):
            root[j, k] = 0.0
    if not factor_in_place(root):
        root[:] = 0.0
        for j in range(d):
            root[j, j] = 1.0
    return root


@njit(**INNER)
def solve_lower(root, rows):
    """L^-1 v for each row v, in place."""
    for a in range(rows.shape[0]):
        v = rows[a]
        for j in range(v.size):
            total = v[j]
            for k in range(j):
                total -= root[j, k] * v[k]
            v[j] = total / root[j, j]


@njit(**INNER)
def solve_upper(root, rows, out):
    """L^-T v for each row v."""
    d = root.shape[0]
    for a in range(rows.shape[0]):
        v = out[a]
        for j in range(d):
            v[j] = rows[a, j]
        for j in range(d - 1, -1, -1):
            v[j] /= root[j, j]
            x, row = v[j], root[j]
            for k in range(j):
                v[k] -= row[k] * x


@njit(**INNER)
def score_matrix(x, z, weight, offset, n, stride):
    """(sum_i w s_i x_i z_i' / sum_i w, mean curvature) with s = sigma(-offset), over every stride-th column."""
    m = (n + stride - 1) // stride
    score, column = np.zeros((z.shape[0], x.shape[0])), np.empty((1, TILE))
    mass, curvature = 0.0, 0.0
    picked_x, slope = np.empty((x.shape[0], TILE)), np.empty(TILE)
    for first in range(0, m, TILE):
        count = min(TILE, m - first)
        for c in range(count):
            at = (first + c) * stride
            s = sigmoid(-offset[at])
            slope[c] = weight[at] * s
            mass += weight[at]
            curvature += weight[at] * s * (1.0 - s)
        for j in range(x.shape[0]):
            for c in range(count):
                picked_x[j, c] = x[j, (first + c) * stride]
        for k in range(z.shape[0]):
            for c in range(count):
                column[0, c] = slope[c] * z[k, (first + c) * stride]
            add_gradient(picked_x, 0, count, column[0, :count], score[k])
    return score.T / mass, curvature / mass


@njit(**INNER)
def _place_start(start, rank, left, right):
    """Factors of the best rank-r approximation, left_a = s_a u_a, right_a = s_a v_a; the scales 1 / s_a."""
    u, s, vt = np.linalg.svd(start)
    scale = np.empty(rank)
    for a in range(rank):
        own = max(s[a], 1e-3 * s[0], 1e-8)
        scale[a] = 1.0 / own
        for j in range(left.shape[1]):
            left[a, j] = u[j, a] * own
        for j in range(right.shape[1]):
            right[a, j] = vt[a, j] * own
    return scale


@njit(**INNER)
def to_factors(point, scale, x_root, z_root, work_left, work_right, left, right):
    """Factors in the data's coordinates: L_x^-T (hat left) and L_z^-T (hat right) / s, so that Theta = left' right."""
    rank, dx = left.shape
    for a in range(rank):
        for j in range(dx):
            work_left[a, j] = point[a * dx + j]
        for j in range(right.shape[1]):
            work_right[a, j] = point[rank * dx + a * right.shape[1] + j] * scale[a]
    solve_upper(x_root, work_left, left)
    solve_upper(z_root, work_right, right)


@njit(**INNER)
def to_gradient(loss, mass, ridge, scale, x_root, z_root, left, right, left_gradient, right_gradient, gradient):
    """Mean loss with ridge 0.5 ridge |Theta|^2, and its gradient in the hat coordinates; left_gradient is used up."""
    rank, dx = left.shape
    own = loss / mass
    # |left' right|^2 = sum_ab <left_a, left_b> <right_a, right_b>
    for a in range(rank):
        for j in range(dx):
            left_gradient[a, j] /= mass
        for j in range(right.shape[1]):
            right_gradient[a, j] /= mass
    if ridge > 0.0:
        for a in range(rank):
            for b in range(rank):
                ll, rr = 0.0, 0.0
                for j in range(dx):
                    ll += left[a, j] * left[b, j]
                for j in range(right.shape[1]):
                    rr += right[a, j] * right[b, j]
                own += 0.5 * ridge * ll * rr
                for j in range(dx):
                    left_gradient[a, j] += ridge * rr * left[b, j]
                for j in range(right.shape[1]):
                    right_gradient[a, j] += ridge * ll * right[b, j]
    solve_lower(x_root, left_gradient)
    solve_lower(z_root, right_gradient)
    for a in range(rank):
        for j in range(dx):
            gradient[a * dx + j] = left_gradient[a, j]
        for j in range(right.shape[1]):
            gradient[rank * dx + a * right.shape[1] + j] = right_gradient[a, j] * scale[a]
    return own


@njit(**INNER)
def _minimise(x, z, weight, offset, n, K, mass, ridge, tolerance, max_rounds, x_root, z_root, scale, point,
              progress, vectors, left, right):  # fmt: skip
    """Serial passes until `advance` is content; factors in the data's coordinates as output; largest gradient."""
    rank, tile = left.shape[0], tile_of(K)
    gradient = np.empty(point.size)
    left_gradient, right_gradient = np.empty(left.shape), np.empty(right.shape)
    work_left, work_right = np.empty(left.shape), np.empty(right.shape)
    p, q, scratch = np.empty((rank, tile)), np.empty((rank, tile)), np.empty((2, tile))
    while True:
        to_factors(point, scale, x_root, z_root, work_left, work_right, left, right)
        total = bilinear_pass(x, z, weight, offset, K, n, left, right, p, q, scratch, left_gradient, right_gradient)
        loss = to_gradient(
            total, mass, ridge, scale, x_root, z_root, left, right, left_gradient, right_gradient, gradient
        )
        if advance(loss, gradient, tolerance, max_rounds, point, progress, vectors):
            break
    to_factors(point, scale, x_root, z_root, work_left, work_right, left, right)
    return largest_of(gradient)


@njit(**FAST)
def prepare_fit(x, z, weight, offset, n, K, rank, given, start):
    """(x root, z root, point, scale, progress, vectors): coordinates, start, and what is known of the curvature.

    given: whether `start` (d_x, d_phi padded) holds a start.
    """
    dx, dz = x.shape[0], z.shape[0]
    x_root, z_root = root_of_covariance(x, n), root_of_covariance(z, n)
    curvature = 0.25
    if given:
        first = x_root.T.copy() @ start @ z_root
    else:
        if K > 0:
            first = _ranking_score(x, z, n, K)
        else:
            first, curvature = score_matrix(x, z, weight, offset, n, max(n // (_FOR_START * dx * dz), 1))
            first /= curvature
        solve_lower(z_root, first)
        first = first.T.copy()
        solve_lower(x_root, first)
        first = first.T.copy()
    left, right = np.zeros((rank, dx)), np.zeros((rank, dz))
    scale = _place_start(first, rank, left, right)
    point = np.empty(rank * (dx + dz))
    for a in range(rank):
        for j in range(dx):
            point[a * dx + j] = left[a, j]
        for j in range(dz):
            point[rank * dx + a * dz + j] = right[a, j]
    progress, vectors = start_lbfgs(point.size, 1.0 / curvature)
    return x_root, z_root, point, scale, progress, vectors


@njit(**INNER)
def _ranking_score(x, z, n, K):
    """Minus the gradient at zero of the Plackett-Luce loss by Theta over its curvature's scale, (d_x, d_phi)."""
    score = np.zeros((x.shape[0], z.shape[0]))
    groups = n // K
    for g in range(groups):
        for j in range(K):
            own = 0.0
            for i in range(j + 1):
                own += 1.0 / (K - i) if i < K - 1 else 0.0
            own = (1.0 if j < K - 1 else 0.0) - own
            at = g * K + j
            for a in range(x.shape[0]):
                for b in range(z.shape[0]):
                    score[a, b] += own * x[a, at] * z[b, at]
    return score / max(n, 1) * 2.0


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
def all_right_given(x, z, weight, offset, n, left, right):
    return all_right(x, z, weight, offset, n, left, right)


@njit(**INNER)
def largest_of(gradient):
    largest = 0.0
    for i in range(gradient.size):
        largest = max(largest, abs(gradient[i]))
    return largest


@njit(**INNER)
def _fit_one(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right):
    """One fit, factors (r, d padded) as output; (loss, largest gradient entry, rounds, status)."""
    x_root, z_root, point, scale, progress, vectors = prepare_fit(x, z, weight, offset, n, K, rank, given, start)
    largest = _minimise(
        x, z, weight, offset, n, K, mass, ridge, tolerance, max_rounds, x_root, z_root, scale, point, progress,
        vectors, left, right,
    )  # fmt: skip
    return progress[LOSS], largest, np.int64(progress[ROUNDS]), np.int64(progress[STATUS])


@njit(**FAST_PARALLEL)
def rows_of(values, rows):
    """values (n, d) into rows (d padded, at least n), in blocks that stay in the cache."""
    n, d = values.shape
    for block in prange((n + 63) // 64):
        lo, hi = np.int64(block) * 64, min((np.int64(block) + 1) * 64, n)
        for j in range(d):
            row = rows[j, lo:hi]
            for c in range(hi - lo):
                row[c] = values[lo + c, j]


@njit(**FAST)
def finish_fit(loss, mass, ridge, scale, x_root, z_root, left, right, left_gradient, right_gradient, gradient):
    """After a shared pass: the objective, with its gradient in hat coordinates."""
    return to_gradient(loss, mass, ridge, scale, x_root, z_root, left, right, left_gradient, right_gradient, gradient)


@njit(**FAST)
def factors_at(point, scale, x_root, z_root, left, right):
    to_factors(point, scale, x_root, z_root, np.empty(left.shape), np.empty(right.shape), left, right)


@njit(**FAST)
def fit_serial(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right):
    return _fit_one(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right)


def fit_shared_passes(x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, given, start, left, right):
    """`fit_serial` for one large problem, each pass shared between threads (a parallel kernel is called from Python
    only, see `sim.jit`)."""
    x_root, z_root, point, scale, progress, vectors = prepare_fit(x, z, weight, offset, n, K, rank, given, start)
    gradient = np.empty(point.size)
    left_gradient, right_gradient = np.empty(left.shape), np.empty(right.shape)
    while True:
        factors_at(point, scale, x_root, z_root, left, right)
        total = shared_bilinear_pass(x, z, weight, offset, K, n, left, right, left_gradient, right_gradient)
        loss = finish_fit(
            total, mass, ridge, scale, x_root, z_root, left, right, left_gradient, right_gradient, gradient
        )
        if advance(loss, gradient, tolerance, max_rounds, point, progress, vectors):
            break
    factors_at(point, scale, x_root, z_root, left, right)
    return progress[LOSS], float(np.abs(gradient).max()), int(progress[ROUNDS]), int(progress[STATUS])


@njit(**FAST_PARALLEL)
def fit_low_rank_many(
    contexts,
    differences,
    length,
    K,
    rank,
    ridge,
    tolerance,
    max_rounds,
    theta,
    loss,
    largest,
    rounds,
    status,
    separable,
):
    """One fit a replicate; contexts (B, n, d_x), differences (B, n, d_phi), theta (B, d_x, d_phi)."""
    B, n, dx = contexts.shape
    dz = differences.shape[2]
    rows_x, rows_z = (dx + 3) // 4 * 4, (dz + 3) // 4 * 4
    for b in prange(B):
        x, z = np.zeros((rows_x, length)), np.zeros((rows_z, length))
        for i in range(n):
            for j in range(dx):
                x[j, i] = contexts[b, i, j]
            for j in range(dz):
                z[j, i] = differences[b, i, j]
        weight, offset = np.ones(n), np.zeros(n)
        mass = n / max(K, 1)
        left, right = np.zeros((rank, rows_x)), np.zeros((rank, rows_z))
        start = np.zeros((rows_x, rows_z))
        found = _fit_one(
            x, z, weight, offset, n, K, mass, rank, ridge, tolerance, max_rounds, False, start, left, right
        )
        loss[b], largest[b], rounds[b], status[b] = found
        separable[b] = K == 0 and all_right(x, z, weight, offset, n, left, right)
        for i in range(dx):
            for j in range(dz):
                total = 0.0
                for a in range(rank):
                    total += left[a, i] * right[a, j]
                theta[b, i, j] = total
