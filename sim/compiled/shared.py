"""Compiled Newton's method for heads over a shared subspace: one fit, or thousands in parallel.

A user's answers are the columns starts[i]:starts[i + 1] of `features` (d padded, n). Subspace as rows, (k, d padded).
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.cholesky import solve_factored
from sim.compiled.copies import copy_matrix
from sim.compiled.grassmann import (
    factorise,
    orthonormalise,
    profiled_hessian,
    remove_span,
    subspace_gradient,
    tangent,
)
from sim.compiled.heads import fit_heads, moment_start, project
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.structs import Answers, HeadScratch, HessianScratch, Limits, Profile
from sim.compiled.tiles import TILE

# Damping, of the largest diagonal entry, that only makes a singular Hessian positive.
_SLIGHT = 1e-6
# Passes of damping, four times as much each, after which a Hessian is none: values that are not numbers, or nothing.
_DAMPINGS = 60
# A step that shrinks the decrement by less than this asks for a fresh Hessian.
_STALE = 0.02


@njit(**INNER)
def _at_best_heads(profile, subspace, heads, ridge, tolerance):
    """Answers projected on the subspace, heads at their optimum from where they are; the penalised loss."""
    project(profile.features, profile.projected.weight.size, subspace, profile.projected.features)
    return fit_heads(
        profile.projected, profile.starts, ridge, tolerance, heads, profile.slope, profile.curvature, profile.work
    )


@njit(**INNER)
def _newton_step(factor, gradient, subspace, moved):
    """The step into `moved` (k, d), from the factored Hessian; returns the decrement."""
    copy_matrix(gradient, moved)
    solve_factored(factor, moved.reshape(moved.size))
    remove_span(subspace, moved)
    decrement = 0.0
    for a in range(moved.shape[0]):
        for j in range(moved.shape[1]):
            decrement += gradient[a, j] * moved[a, j]
    return decrement


@njit(**INNER)
def _length(vectors):
    total = 0.0
    for a in range(vectors.shape[0]):
        for j in range(vectors.shape[1]):
            total += vectors[a, j] * vectors[a, j]
    return np.sqrt(total)


@njit(**INNER)
def _damped(hessian, largest, damping, factor):
    """Factors hessian + damping I, with more damping where that is not positive; the damping, or -1 if none helps.

    None does where the Hessian is zero, as nobody's answers pull either way, or is not finite.
    """
    for _ in range(_DAMPINGS):
        if factorise(hessian, damping, factor):
            return damping
        damping = max(4.0 * damping, _SLIGHT * largest)
    return -1.0


@njit(**INNER)
def _workspace(answers, starts, k):
    """(`Profile`, `HessianScratch`)."""
    d, N, length = answers.features.shape[0], starts.size - 1, answers.features.shape[1]
    longest = TILE
    for i in range(N):
        longest = max(longest, starts[i + 1] - starts[i])
    work = HeadScratch(np.empty(k), np.empty((k, k)), np.empty((4, longest + k)))
    projected = Answers(np.empty((k, length)), answers.weight, answers.offset)
    scratch = HessianScratch(np.empty((5, TILE))[1:], np.empty((d, d)), work.hessian, np.empty((2 * k, k * d)))
    return Profile(answers.features, projected, starts, np.empty(length), np.empty(length), work), scratch


# Longer than others: one loop, whose damping, staleness and step size each branch reads and writes.
@njit(**FAST)
def fit_shared(answers, starts, limits, given, subspace, heads):
    """Minimise -sum_ij w log sigma(offset + <U' x_ij, v_i>) + 0.5 ridge sum_i |v_i|^2 over orthonormal U and V.

    given: whether `subspace` holds a start.  tolerance: on the decrement, an estimate of what is left to gain, in
    nats a unit of weight.  Returns (rounds, loss, decrement, status): 0 converged, 1 stalled, 2 round limit.
    """
    features, weight, _ = answers
    (k, d), N, ridge = subspace.shape, heads.shape[0], limits.ridge
    mass = 0.0
    for c in range(weight.size):
        mass += weight[c]
    profile, scratch = _workspace(answers, starts, k)
    slope, curvature = profile.slope, profile.curvature
    upper, per_user, gradient, moved = np.empty((k, k)), np.empty((N, d)), np.empty((k, d)), np.empty((k, d))
    hessian, factor = np.empty((k * d, k * d)), np.zeros((k * d, k * d))
    kept_subspace, kept_heads = np.empty((k, d)), np.empty((N, k))
    if not given:
        moment_start(features, weight, starts, subspace)
        heads[:] = 0.0
    orthonormalise(subspace, heads, upper)
    head_tolerance = 1e-9 * max(mass / N, 1.0)
    loss = _at_best_heads(profile, subspace, heads, ridge, head_tolerance)
    damping, previous, fresh, rounds, status = 0.0, np.inf, False, 0, 2
    decrement = np.inf
    if k == d:
        return 0, loss, 0.0, 0
    for _ in range(limits.max_rounds):
        rounds += 1
        subspace_gradient(features, starts, slope, heads, per_user, gradient)
        remove_span(subspace, gradient)
        stale = not fresh
        while True:
            if stale:
                profiled_hessian(features, starts, curvature, heads, per_user, subspace, ridge, scratch, hessian)
                largest = tangent(subspace, heads, ridge, hessian)
                damping = _damped(hessian, largest, damping, factor)
                fresh = True
                if damping < 0.0:
                    break
            decrement = _newton_step(factor, gradient, subspace, moved)
            if stale or (decrement > 0.0 and decrement < _STALE * previous):
                break
            stale = True
        # No turn of the subspace, by a right angle at most, gains more than about slope and curvature.
        if _length(gradient) + largest <= limits.tolerance * mass:
            decrement, status = 0.0, 0
            break
        if damping < 0.0:
            status = 1
            break
        # A damped Hessian makes any decrement small: far from the optimum, where it is not positive, that says nothing.
        if decrement <= limits.tolerance * mass and damping <= _SLIGHT * largest:
            status = 0
            break
        previous = decrement
        copy_matrix(subspace, kept_subspace)
        copy_matrix(heads, kept_heads)
        size, moved_on = 1.0, False
        while size > 1e-6:
            for a in range(k):
                for j in range(d):
                    subspace[a, j] = kept_subspace[a, j] - size * moved[a, j]
            copy_matrix(kept_heads, heads)
            orthonormalise(subspace, heads, upper)
            proposed = _at_best_heads(profile, subspace, heads, ridge, head_tolerance)
            if proposed <= loss - 1e-4 * size * decrement + 1e-12 * abs(loss):
                moved_on = True
                break
            size *= 0.5
        if not moved_on:
            copy_matrix(kept_subspace, subspace)
            copy_matrix(kept_heads, heads)
            loss = _at_best_heads(profile, subspace, heads, ridge, head_tolerance)
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


_fit_piece = njit(**INNER)(fit_shared.py_func)


@njit(**FAST_PARALLEL)
def fit_shared_batch(differences, length, limits, subspace, heads, rounds, loss, decrement, status):
    """`fit_shared` for each replicate, unweighted; differences (B, N, Np, d), length of the rows."""
    B, N, per_user, d = differences.shape
    n = N * per_user
    starts = np.arange(N + 1) * per_user
    ridge, tolerance, max_rounds = limits.ridge, limits.tolerance, limits.max_rounds
    for b in prange(B):
        features = np.zeros((subspace.shape[2], length))
        for i in range(N):
            own = differences[b, i]
            for j in range(d):
                row, column = features[j, i * per_user : (i + 1) * per_user], own[:, j]
                for c in range(per_user):
                    row[c] = column[c]
        answers = Answers(features, np.ones(n), np.zeros(n))
        result = _fit_piece(answers, starts, Limits(ridge, tolerance, max_rounds), False, subspace[b], heads[b])
        rounds[b], loss[b], decrement[b], status[b] = result
