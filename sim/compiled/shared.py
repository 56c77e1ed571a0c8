"""Compiled Newton's method for heads over a shared subspace: one fit, or thousands in parallel.

A user's answers are the columns starts[i]:starts[i + 1] of `features` (d padded, n). Subspace as rows, (k, d padded).
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.cholesky import solve_factored
from sim.compiled.grassmann import (
    factorise,
    orthonormalise,
    profiled_hessian,
    remove_span,
    subspace_gradient,
    tangent,
)
from sim.compiled.heads import fit_heads, moment_start, project
from sim.compiled.jit import FAST, FAST_PARALLEL
from sim.compiled.tiles import TILE

# A step that shrinks the decrement by less than this asks for a fresh Hessian.
_STALE = 0.02


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
        moment_start(features, weight, starts, subspace)
        heads[:] = 0.0
    orthonormalise(subspace, heads, upper)
    head_tolerance = 1e-9 * max(mass / N, 1.0)
    project(features, n, subspace, projected)
    loss = fit_heads(
        projected, offset, weight, starts, ridge, head_tolerance, heads, slope, curvature, scratch, step, small
    )
    damping, previous, fresh, rounds, status = 0.0, np.inf, False, 0, 2
    decrement = np.inf
    if k == d:
        return 0, loss, 0.0, 0
    for _ in range(max_rounds):
        rounds += 1
        subspace_gradient(features, starts, slope, heads, per_user, gradient)
        remove_span(subspace, gradient)
        stale = not fresh
        while True:
            if stale:
                profiled_hessian(
                    features, starts, curvature, heads, per_user, subspace, ridge, scaled, own, small, cross, hessian
                )
                largest = tangent(subspace, heads, ridge, hessian)
                while not factorise(hessian, damping, factor):
                    damping = max(4.0 * damping, 1e-6 * largest)
                fresh = True
            for a in range(k):
                for j in range(d):
                    direction[a * d + j] = gradient[a, j]
            solve_factored(factor, direction)
            moved = direction.reshape((k, d))
            remove_span(subspace, moved)
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
            orthonormalise(subspace, heads, upper)
            project(features, n, subspace, projected)
            proposed = fit_heads(
                projected, offset, weight, starts, ridge, head_tolerance, heads, slope, curvature, scratch, step, small
            )
            if proposed <= loss - 1e-4 * size * decrement + 1e-12 * abs(loss):
                moved_on = True
                break
            size *= 0.5
        if not moved_on:
            subspace[:] = kept_subspace
            heads[:] = kept_heads
            project(features, n, subspace, projected)
            loss = fit_heads(
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
