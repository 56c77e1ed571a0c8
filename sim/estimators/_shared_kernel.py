"""Compiled Newton's method for heads over a shared subspace: the heads are profiled out, the subspace moves on the
Grassmann manifold.

A user's answers are the columns starts[i]:starts[i + 1] of `features` (d padded, n). Subspace as rows, (k, d padded).
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.estimators._tiles import TILE, add_gradient, add_hessian, margins, solve_in_place
from sim.jit import FAST, FAST_PARALLEL, INNER, exp, log1p_unit

# Columns of each user that the starting subspace's covariance is estimated from.
_FOR_START = 64
# A step that shrinks the decrement by less than this asks for a fresh Hessian.
_STALE = 0.02


@njit(**INNER)
def _derivatives(z, weight, slope, curvature):
    """First and second derivatives of -w log sigma(z); returns the sum of the losses."""
    loss = 0.0
    for c in range(weight.size):
        e = exp(-abs(z[c]))
        s = 1.0 / (1.0 + e)
        wrong = e * s if z[c] >= 0.0 else s
        w = weight[c]
        loss += w * (log1p_unit(e) + 0.5 * (abs(z[c]) - z[c]))
        slope[c] = -w * wrong
        curvature[c] = w * e * s * s
    return loss


@njit(**INNER)
def _head_margins(projected, offset, lo, hi, head, z):
    for c in range(hi - lo):
        z[c] = offset[lo + c]
    for a in range(head.size):
        row, v = projected[a, lo:hi], head[a]
        for c in range(hi - lo):
            z[c] += v * row[c]


@njit(**INNER)
def _fit_head(projected, offset, weight, lo, hi, ridge, tolerance, head, step, hessian, scratch):
    """Newton with halving on one user's head, from where it is; the penalised loss at the end.

    Leaves slope and curvature of that point in scratch rows 1 and 2 (columns 0:hi - lo).
    """
    k, m = head.size, hi - lo
    z, slope, curvature = scratch[0, :m], scratch[1, :m], scratch[2, :m]
    own = weight[lo:hi]
    best, decrement, size = np.inf, 0.0, 1.0
    for _ in range(60):
        _head_margins(projected, offset, lo, hi, head, z)
        loss = _derivatives(z, own, slope, curvature)
        for a in range(k):
            loss += 0.5 * ridge * head[a] * head[a]
        if not loss <= best - 1e-4 * size * decrement + 1e-12 * abs(loss):
            size *= 0.5
            for a in range(k):
                head[a] += size * step[a]
            if size < 1e-10:
                break
            continue
        best, size = loss, 1.0
        for a in range(k):
            row = projected[a, lo:hi]
            g = ridge * head[a]
            for c in range(m):
                g += slope[c] * row[c]
            step[a] = g
            for b in range(a + 1):
                other = projected[b, lo:hi]
                h = ridge if a == b else 0.0
                for c in range(m):
                    h += curvature[c] * row[c] * other[c]
                hessian[a, b] = h
        decrement = 0.0
        for a in range(k):
            decrement -= step[a] * step[a]
        if decrement > -tolerance * tolerance:
            break
        decrement = 0.0
        for a in range(k):
            scratch[3, a] = step[a]
        if not solve_in_place(hessian, step):
            break
        for a in range(k):
            decrement += scratch[3, a] * step[a]
            head[a] -= step[a]
    return best


@njit(**INNER)
def _project(features, n, subspace, projected):
    for a in range(subspace.shape[0]):
        for lo in range(0, n, TILE):
            hi = min(lo + TILE, n)
            margins(features, lo, hi, subspace[a], projected[a, lo:hi])


@njit(**INNER)
def _fit_heads(projected, offset, weight, starts, ridge, tolerance, heads, slope, curvature, scratch, step, hessian):
    """All heads at their optimum for this subspace; the total penalised loss. scratch: (4, most answers + k)."""
    total = 0.0
    for i in range(heads.shape[0]):
        lo, hi = starts[i], starts[i + 1]
        total += _fit_head(projected, offset, weight, lo, hi, ridge, tolerance, heads[i], step, hessian, scratch)
        for c in range(hi - lo):
            slope[lo + c] = scratch[1, c]
            curvature[lo + c] = scratch[2, c]
    return total


@njit(**INNER)
def _moment_start(features, weight, starts, subspace):
    """Top k directions of the users' scores at zero, each multiplied by the inverse pooled covariance: for Gaussian
    features the expected score is a multiple of Sigma theta_i."""
    d, k, N = features.shape[0], subspace.shape[0], starts.size - 1
    covariance, moments, scaled = np.zeros((d, d)), np.zeros((N, d)), np.empty((4, TILE))
    for i in range(N):
        for lo in range(starts[i], starts[i + 1], TILE):
            add_gradient(features, lo, min(lo + TILE, starts[i + 1]), weight[lo : starts[i + 1]], moments[i])
        lo, hi = starts[i], min(starts[i] + _FOR_START, starts[i + 1])
        add_hessian(features, lo, hi, weight[lo:hi], scaled, covariance)
    trace = 0.0
    for j in range(d):
        trace += covariance[j, j]
    for j in range(d):
        covariance[j, j] += 1e-6 * trace + 1e-300
    gram = np.zeros((d, d))
    factor, row = np.empty((d, d)), np.empty(d)
    for i in range(N):
        factor[:] = covariance
        row[:] = moments[i]
        solve_in_place(factor, row)
        for a in range(d):
            for b in range(a + 1):
                gram[a, b] += row[a] * row[b]
    for a in range(d):
        for b in range(a):
            gram[b, a] = gram[a, b]
    vectors = np.linalg.eigh(gram)[1]
    for a in range(k):
        for j in range(d):
            subspace[a, j] = vectors[j, d - 1 - a]


@njit(**INNER)
def _orthonormalise(subspace, heads, upper):
    """Gram-Schmidt, twice, on the rows; heads are rewritten so that every theta stays as it is."""
    k, d = subspace.shape
    upper[:] = 0.0
    for a in range(k):
        upper[a, a] = 1.0
    for a in range(k):
        for _ in range(2):
            for b in range(a):
                inner = 0.0
                for j in range(d):
                    inner += subspace[a, j] * subspace[b, j]
                for j in range(d):
                    subspace[a, j] -= inner * subspace[b, j]
                upper[a, b] += inner
        norm = 0.0
        for j in range(d):
            norm += subspace[a, j] * subspace[a, j]
        norm = np.sqrt(norm)
        upper[a, a] = norm
        for j in range(d):
            subspace[a, j] /= norm
    for i in range(heads.shape[0]):
        for b in range(k):
            total = upper[b, b] * heads[i, b]
            for a in range(b + 1, k):
                total += upper[a, b] * heads[i, a]
            heads[i, b] = total


@njit(**INNER)
def _gradient(features, starts, slope, heads, per_user, gradient):
    """gradient (k, d) of the loss by the subspace; per_user (N, d): each user's sum of slope times features."""
    gradient[:] = 0.0
    per_user[:] = 0.0
    for i in range(heads.shape[0]):
        for lo in range(starts[i], starts[i + 1], TILE):
            hi = min(lo + TILE, starts[i + 1])
            add_gradient(features, lo, hi, slope[lo:hi], per_user[i])
        for a in range(heads.shape[1]):
            v = heads[i, a]
            for j in range(gradient.shape[1]):
                gradient[a, j] += v * per_user[i, j]


@njit(**INNER)
def _remove_span(subspace, vectors):
    """Each row of `vectors` minus its part in the subspace."""
    for r in range(vectors.shape[0]):
        for a in range(subspace.shape[0]):
            inner = 0.0
            for j in range(subspace.shape[1]):
                inner += vectors[r, j] * subspace[a, j]
            for j in range(subspace.shape[1]):
                vectors[r, j] -= inner * subspace[a, j]


@njit(**INNER)
def _hessian(features, starts, curvature, heads, per_user, subspace, ridge, scaled, own, block, cross, out):
    """Hessian of the profiled loss on the tangent space, row (a, j) -> a * d + j, plus a large multiple of the
    projector onto the rest; lower triangle. [variable projection: H_UU - sum_i C_i H_vv^-1 C_i']"""
    k, d = subspace.shape
    N = heads.shape[0]
    out[:] = 0.0
    for i in range(N):
        own[:] = 0.0
        for lo in range(starts[i], starts[i + 1], TILE):
            hi = min(lo + TILE, starts[i + 1])
            add_hessian(features, lo, hi, curvature[lo:hi], scaled, own)
        for j in range(d):
            for other in range(j):
                own[other, j] = own[j, other]
        for a in range(k):
            for b in range(a + 1):
                scale = heads[i, a] * heads[i, b]
                for j in range(d):
                    for other in range(d):
                        out[a * d + j, b * d + other] += scale * own[j, other]
        # cross[c] = H_i u_c, then C_i[(a, j), c] = v_a (H_i u_c)_j + [a = c] g_ij
        for c in range(k):
            for j in range(d):
                total = 0.0
                for other in range(d):
                    total += own[j, other] * subspace[c, other]
                cross[c, j] = total
        for a in range(k):
            for b in range(a + 1):
                total = ridge if a == b else 0.0
                for j in range(d):
                    total += subspace[a, j] * cross[b, j]
                block[a, b] = total
        for a in range(k):
            for b in range(a + 1):
                total = block[a, b]
                for c in range(b):
                    total -= block[a, c] * block[b, c]
                block[a, b] = np.sqrt(max(total, 1e-300)) if a == b else total / block[b, b]
        # Columns of C_i L^-T, one after the other; each is subtracted as an outer product.
        m = k * d
        for c in range(k):
            for a in range(k):
                for j in range(d):
                    value = heads[i, a] * cross[c, j] + (per_user[i, j] if a == c else 0.0)
                    for e in range(c):
                        value -= cross[k + e, a * d + j] * block[c, e]
                    cross[k + c, a * d + j] = value / block[c, c]
            for r in range(m):
                left = cross[k + c, r]
                for s in range(r + 1):
                    out[r, s] -= left * cross[k + c, s]
    for r in range(k * d):
        for s in range(r):
            out[s, r] = out[r, s]


@njit(**INNER)
def _tangent(subspace, heads, ridge, hessian):
    """P H P + curvature of the manifold + a multiple of I - P, in place; False if nothing is left of it."""
    k, d = subspace.shape
    largest = 0.0
    for r in range(k * d):
        largest = max(largest, abs(hessian[r, r]))
    for r in range(k * d):
        for b in range(k):
            _remove_span(subspace, hessian[r : r + 1, b * d : (b + 1) * d])
    flipped = hessian.T.copy()
    for r in range(k * d):
        for b in range(k):
            _remove_span(subspace, flipped[r : r + 1, b * d : (b + 1) * d])
    hessian[:] = flipped
    for a in range(k):
        for b in range(k):
            spread = 0.0
            for i in range(heads.shape[0]):
                spread += heads[i, a] * heads[i, b]
            for j in range(d):
                hessian[a * d + j, b * d + j] += ridge * spread
            if a == b:
                for c in range(k):
                    for j in range(d):
                        for other in range(d):
                            hessian[a * d + j, a * d + other] += largest * subspace[c, j] * subspace[c, other]
    return largest


@njit(**INNER)
def _factorise(hessian, damping, factor):
    """Cholesky of hessian + damping I into `factor` (lower); False if it is not positive."""
    m = hessian.shape[0]
    for j in range(m):
        for k in range(j + 1):
            total = hessian[j, k] + (damping if j == k else 0.0)
            for other in range(k):
                total -= factor[j, other] * factor[k, other]
            if j == k:
                if not total > 0.0:
                    return False
                factor[j, j] = np.sqrt(total)
            else:
                factor[j, k] = total / factor[k, k]
    return True


@njit(**INNER)
def _solve(factor, right):
    m = right.size
    for j in range(m):
        total = right[j]
        for k in range(j):
            total -= factor[j, k] * right[k]
        right[j] = total / factor[j, j]
    for j in range(m - 1, -1, -1):
        total = right[j]
        for k in range(j + 1, m):
            total -= factor[k, j] * right[k]
        right[j] = total / factor[j, j]


@njit(**FAST)
def fit_shared(features, n, weight, offset, starts, ridge, tolerance, max_rounds, given, subspace, heads):
    """Minimise -sum_ij w log sigma(offset + <U' x_ij, v_i>) + 0.5 ridge sum_i |v_i|^2 over orthonormal U and V.

    given: whether `subspace` holds a start.  tolerance: on the decrement, an estimate of what is left to gain, in
    nats a unit of weight.  Returns (rounds, loss, decrement, status): 0 converged, 1 stalled, 2 round limit.
    """
    k, d = subspace.shape
    N, m = heads.shape[0], subspace.shape[0] * subspace.shape[1]
    longest = TILE
    for i in range(N):
        longest = max(longest, starts[i + 1] - starts[i])
    mass = 0.0
    for c in range(n):
        mass += weight[c]
    projected = np.empty((k, features.shape[1]))
    slope, curvature = np.empty(features.shape[1]), np.empty(features.shape[1])
    scratch, scaled = np.empty((4, longest + k)), np.empty((4, TILE))
    step, small, upper = np.empty(k), np.empty((k, k)), np.empty((k, k))
    per_user, gradient = np.empty((N, d)), np.empty((k, d))
    own, cross = np.empty((d, d)), np.empty((2 * k, m))
    hessian, factor, direction = np.empty((m, m)), np.zeros((m, m)), np.empty(m)
    kept_subspace, kept_heads = np.empty((k, d)), np.empty((N, k))
    if not given:
        _moment_start(features, weight, starts, subspace)
        heads[:] = 0.0
    _orthonormalise(subspace, heads, upper)
    head_tolerance = 1e-9 * max(mass / N, 1.0)
    _project(features, n, subspace, projected)
    loss = _fit_heads(
        projected, offset, weight, starts, ridge, head_tolerance, heads, slope, curvature, scratch, step, small
    )
    damping, previous, fresh, rounds, status = 0.0, np.inf, False, 0, 2
    decrement = np.inf
    if k == d:
        return 0, loss, 0.0, 0
    for _ in range(max_rounds):
        rounds += 1
        _gradient(features, starts, slope, heads, per_user, gradient)
        _remove_span(subspace, gradient)
        stale = not fresh
        while True:
            if stale:
                _hessian(
                    features, starts, curvature, heads, per_user, subspace, ridge, scaled, own, small, cross, hessian
                )
                largest = _tangent(subspace, heads, ridge, hessian)
                while not _factorise(hessian, damping, factor):
                    damping = max(4.0 * damping, 1e-6 * largest)
                fresh = True
            for a in range(k):
                for j in range(d):
                    direction[a * d + j] = gradient[a, j]
            _solve(factor, direction)
            moved = direction.reshape((k, d))
            _remove_span(subspace, moved)
            decrement = 0.0
            for a in range(k):
                for j in range(d):
                    decrement += gradient[a, j] * moved[a, j]
            if stale or (decrement > 0.0 and decrement < _STALE * previous):
                break
            stale = True
        if decrement <= tolerance * mass:
            status = 0
            break
        previous = decrement
        kept_subspace[:] = subspace
        kept_heads[:] = heads
        size, moved_on = 1.0, False
        while size > 1e-6:
            for a in range(k):
                for j in range(d):
                    subspace[a, j] = kept_subspace[a, j] - size * moved[a, j]
            heads[:] = kept_heads
            _orthonormalise(subspace, heads, upper)
            _project(features, n, subspace, projected)
            proposed = _fit_heads(
                projected, offset, weight, starts, ridge, head_tolerance, heads, slope, curvature, scratch, step, small
            )
            if proposed <= loss - 1e-4 * size * decrement + 1e-12 * abs(loss):
                moved_on = True
                break
            size *= 0.5
        if not moved_on:
            subspace[:] = kept_subspace
            heads[:] = kept_heads
            _project(features, n, subspace, projected)
            loss = _fit_heads(
                projected, offset, weight, starts, ridge, head_tolerance, heads, slope, curvature, scratch, step, small
            )
            if damping > 1e3 * largest:
                status = 1
                break
            damping, fresh = max(16.0 * damping, 1e-3 * largest), False
            continue
        if size < 1.0:
            fresh = False
        elif damping > 0.0:
            damping, fresh = (0.25 * damping if damping > 1e-9 * largest else 0.0), False
        loss = proposed
    return rounds, loss, decrement, status


@njit(**FAST_PARALLEL)
def fit_shared_batch(
    differences, length, ridge, tolerance, max_rounds, subspace, heads, rounds, loss, decrement, status
):
    """`fit_shared` for each replicate, unweighted; differences (B, N, Np, d), length of the rows."""
    B, N, per_user, d = differences.shape
    n = N * per_user
    starts = np.arange(N + 1) * per_user
    for b in prange(B):
        features = np.zeros((subspace.shape[2], length))
        for i in range(N):
            own = differences[b, i]
            for j in range(d):
                row, column = features[j, i * per_user : (i + 1) * per_user], own[:, j]
                for c in range(per_user):
                    row[c] = column[c]
        result = fit_shared(
            features, n, np.ones(n), np.zeros(n), starts, ridge, tolerance, max_rounds, False, subspace[b], heads[b]
        )
        rounds[b], loss[b], decrement[b], status[b] = result


@njit(**FAST)
def head_of(projected, n, weight, offset, ridge):
    """One user's head, features already projected (k, at least n)."""
    k = projected.shape[0]
    head, scratch = np.zeros(k), np.empty((4, n + k))
    tolerance = 1e-9 * max(float(n), 1.0)
    _fit_head(projected, offset, weight, 0, n, ridge, tolerance, head, np.empty(k), np.empty((k, k)), scratch)
    return head
