"""Compiled zero-sum matrix games, many in parallel: exact by quantecon's simplex, and the games that rewards make."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER, exp
from sim.compiled.simplex import minmax

# Beyond it e^(r - top) of a candidate is no number any more, and the ratio of two such is none.
_WIDE = 600.0


@njit(**INNER)
def _simplex(found):
    """Rounding below zero taken off; probabilities."""
    total = 0.0
    for a in range(found.size):
        found[a] = max(found[a], 0.0)
    for a in range(found.size):
        total += found[a]
    for a in range(found.size):
        found[a] /= total


@njit(**FAST_PARALLEL)
def solve(matrices, row, column):
    """max_p min_q p' N q and the other side, vertices of the optimal faces; matrices (S, A, A)."""
    for s in prange(matrices.shape[0]):
        # The simplex adds a number to every entry, beside which small ones would lose their digits.
        size = np.abs(matrices[s]).max()
        _, p, q = minmax(matrices[s] / size if size > 0.0 else matrices[s])
        _simplex(p)
        _simplex(q)
        row[s], column[s] = p, q


@njit(**INNER)
def _add_party(rewards, weights, game):
    """game[a, b] += tanh((r_a - r_b) / 2) above the diagonal: of e_a = e^(r_a - top), (e_a - e_b) / (e_a + e_b)."""
    A = rewards.size
    top, low = rewards[0], rewards[0]
    for a in range(A):
        top, low = max(top, rewards[a]), min(low, rewards[a])
    if top - low < _WIDE:
        for a in range(A):
            weights[a] = exp(rewards[a] - top)
        for a in range(A):
            own = weights[a]
            for b in range(a + 1, A):
                game[a, b] += (own - weights[b]) / (own + weights[b])
        return
    for a in range(A):
        for b in range(a + 1, A):
            game[a, b] += np.tanh(0.5 * (rewards[a] - rewards[b]))


@njit(**FAST_PARALLEL)
def mean_preferences(rewards, games):
    """Mean over parties of P(a) - P(b) between two candidates; rewards (S, M, A), games (S, A, A), skew-symmetric."""
    S, M, A = rewards.shape
    for s in prange(S):
        game, weights = games[s], np.empty(A)
        game[:] = 0.0
        for m in range(M):
            _add_party(rewards[s, m], weights, game)
        for a in range(A):
            for b in range(a + 1, A):
                game[a, b] /= M
                game[b, a] = -game[a, b]
