"""Compiled Frank-Wolfe for policies that are pessimistic about their mean features."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.jit import FAST, INNER


@njit(**INNER)
def _best_move(v, across, gain, radius):
    """argmax over t in [0, 1] of t gain - radius |v + t across|, in closed form.

    With a = |across|^2, b = <v, across>: zero derivative at t = (-b + gain sqrt(h / (radius^2 a - gain^2))) / a,
    h = |v|^2 a - b^2.
    """
    a, b, size = 0.0, 0.0, 0.0
    for i in range(v.size):
        a += across[i] * across[i]
        b += v[i] * across[i]
        size += v[i] * v[i]
    under = radius * radius * a - gain * gain
    if a <= 1e-300 or under <= 0.0:
        return 1.0 if gain > 0.0 else 0.0
    h = max(size * a - b * b, 0.0)
    return min(max((-b + gain * np.sqrt(h / under)) / a, 0.0), 1.0)


@njit(**FAST)
def frank_wolfe(gain, scaled, radius, first, tolerance, max_steps, policy):
    """Maximise mean_j sum_a q_ja gain_ja - radius |mean_j sum_a q_ja scaled_ja| from the actions `first` (m,).

    gain (m, A), scaled (m, A, k); policy (m, A) as output.  Returns (value, gap, steps): the value is within `gap` of
    the best possible.
    """
    m, A, k = scaled.shape
    v, across, unit = np.zeros(k), np.empty(k), np.empty(k)
    vertex = np.empty(m, np.int64)
    linear = 0.0
    policy[:] = 0.0
    for j in range(m):
        policy[j, first[j]] = 1.0
        linear += gain[j, first[j]] / m
        row = scaled[j, first[j]]
        for i in range(k):
            v[i] += row[i] / m
    gap, steps, value = np.inf, 0, 0.0
    while True:
        norm = 0.0
        for i in range(k):
            norm += v[i] * v[i]
        norm = np.sqrt(norm)
        value = linear - radius * norm
        for i in range(k):
            unit[i] = radius * v[i] / norm if norm > 1e-300 else 0.0
        here, there, best_linear = 0.0, 0.0, 0.0
        across[:] = 0.0
        for j in range(m):
            best, own = -np.inf, 0.0
            for a in range(A):
                row, slope = scaled[j, a], gain[j, a]
                for i in range(k):
                    slope -= unit[i] * row[i]
                own += policy[j, a] * slope
                if slope > best:
                    best = slope
                    vertex[j] = a
            here += own / m
            there += best / m
            row = scaled[j, vertex[j]]
            best_linear += gain[j, vertex[j]] / m
            for i in range(k):
                across[i] += row[i] / m
        gap = max(there - here, 0.0)
        if gap <= tolerance or steps >= max_steps:
            return value, gap, steps
        for i in range(k):
            across[i] -= v[i]
        move = _best_move(v, across, best_linear - linear, radius)
        if move <= 0.0:
            return value, gap, steps
        steps += 1
        for i in range(k):
            v[i] += move * across[i]
        linear += move * (best_linear - linear)
        for j in range(m):
            for a in range(A):
                policy[j, a] *= 1.0 - move
            policy[j, vertex[j]] += move
