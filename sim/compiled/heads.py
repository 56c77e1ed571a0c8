"""Compiled fits of users' heads over a given subspace, and the subspace to start from.

A user's answers are the columns starts[i]:starts[i + 1] of `features` (d padded, n). Subspace as rows, (k, d padded).
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.copies import copy_matrix, copy_vector
from sim.compiled.jit import FAST, INNER
from sim.compiled.newton import slopes
from sim.compiled.structs import Answers, HeadScratch
from sim.compiled.tiles import TILE, add_gradient, add_hessian, margins, solve_in_place

# Columns of each user that the starting subspace's covariance is estimated from.
_FOR_START = 64


@njit(**INNER)
def head_margins(projected, offset, lo, hi, head, z):
    for c in range(hi - lo):
        z[c] = offset[lo + c]
    for a in range(head.size):
        row, v = projected[a, lo:hi], head[a]
        for c in range(hi - lo):
            z[c] += v * row[c]


@njit(**INNER)
def fit_head(answers, lo, hi, ridge, tolerance, head, work):
    """Newton with halving on one user's head, from where it is; the penalised loss at the end. Features projected.

    Leaves slope and curvature of that point in rows 1 and 2 of work.columns (0:hi - lo).
    """
    projected, offset = answers.features, answers.offset
    step, hessian, scratch = work.step, work.hessian, work.columns
    k, m = head.size, hi - lo
    z, slope, curvature = scratch[0, :m], scratch[1, :m], scratch[2, :m]
    own = answers.weight[lo:hi]
    best, decrement, size = np.inf, 0.0, 1.0
    for _ in range(60):
        head_margins(projected, offset, lo, hi, head, z)
        loss = slopes(z, own, slope, curvature)
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
        for a in range(k):
            head[a] -= step[a]
    return best


@njit(**INNER)
def project(features, n, subspace, projected):
    for a in range(subspace.shape[0]):
        for lo in range(0, n, TILE):
            hi = min(lo + TILE, n)
            margins(features, lo, hi, subspace[a], projected[a, lo:hi])


@njit(**INNER)
def fit_heads(answers, starts, ridge, tolerance, heads, slope, curvature, work):
    """All heads at their optimum for this subspace, features projected on it; the total penalised loss."""
    total, columns = 0.0, work.columns
    for i in range(heads.shape[0]):
        lo, hi = starts[i], starts[i + 1]
        total += fit_head(answers, lo, hi, ridge, tolerance, heads[i], work)
        for c in range(hi - lo):
            slope[lo + c] = columns[1, c]
            curvature[lo + c] = columns[2, c]
    return total


@njit(**INNER)
def moment_start(features, weight, starts, subspace):
    """Top k directions of the users' scores at zero, each multiplied by the inverse pooled covariance: for Gaussian
    features the expected score is a multiple of Sigma theta_i."""
    d, k, N = features.shape[0], subspace.shape[0], starts.size - 1
    covariance, moments, scaled = np.zeros((d, d)), np.zeros((N, d)), np.empty((5, TILE))[1:]
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
        copy_matrix(covariance, factor)
        copy_vector(moments[i], row)
        solve_in_place(factor, row)
        for a in range(d):
            for b in range(a + 1):
                gram[a, b] += row[a] * row[b]
    spread = 1e-300
    for a in range(d):
        spread += gram[a, a]
        for b in range(a):
            gram[b, a] = gram[a, b]
    # Coordinates that nobody's answers pull along come last, and behind them the rows of zeros that only make up the
    # number of four: a subspace of these would be none.
    for a in range(d):
        if gram[a, a] == 0.0:
            gram[a, a] = -(1.0 + a) * spread
    vectors = np.linalg.eigh(gram)[1]
    for a in range(k):
        for j in range(d):
            subspace[a, j] = vectors[j, d - 1 - a]


@njit(**FAST)
def head_of(projected, n, weight, offset, ridge):
    """One user's head, features already projected (k, at least n)."""
    k = projected.shape[0]
    head, work = np.zeros(k), HeadScratch(np.empty(k), np.empty((k, k)), np.empty((4, n + k)))
    tolerance = 1e-9 * max(float(n), 1.0)
    fit_head(Answers(projected, weight, offset), 0, n, ridge, tolerance, head, work)
    return head
