"""Compiled block-coordinate Frank-Wolfe for policies that are pessimistic about their mean features."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.jit import FAST, INNER


@njit(**INNER)
def _best_move(v, across, gain, radius, most, eps):
    """argmax over t in [0, most] of t gain - radius sqrt(|v + t across|^2 + eps^2), in closed form.

    With a = |across|^2, b = <v, across>: zero derivative at t = (-b + gain sqrt(h / (radius^2 a - gain^2))) / a,
    h = (|v|^2 + eps^2) a - b^2.
    """
    a, b, size = 0.0, 0.0, eps * eps
    for i in range(v.size):
        a += across[i] * across[i]
        b += v[i] * across[i]
        size += v[i] * v[i]
    under = radius * radius * a - gain * gain
    if a <= 1e-300 or under <= 0.0:
        return most if gain > 0.0 else 0.0
    h = max(size * a - b * b, 0.0)
    return min(max((-b + gain * np.sqrt(h / under)) / a, 0.0), most)


@njit(**INNER)
def _slope(row, gain, v, scale):
    """gain - scale <row, v>, the gradient along an action; scale = radius / |v|."""
    inner = 0.0
    for i in range(v.size):
        inner += row[i] * v[i]
    return gain - scale * inner


@njit(**INNER)
def _scale(v, radius, eps):
    """radius / sqrt(|v|^2 + eps^2): times v, radius times a vector of the unit ball, which certifies."""
    size = eps * eps
    for i in range(v.size):
        size += v[i] * v[i]
    return radius / np.sqrt(size) if size > 1e-300 else 0.0


@njit(**INNER)
def _certificate(gain, scaled, radius, policy, v, eps):
    """(value, gap) of the policy, from its mean features, which are summed anew into v."""
    m, A, k = scaled.shape
    linear, size, gap = 0.0, 0.0, 0.0
    v[:] = 0.0
    for j in range(m):
        for a in range(A):
            share = policy[j, a] / m
            if share > 0.0:
                linear += share * gain[j, a]
                row = scaled[j, a]
                for i in range(k):
                    v[i] += share * row[i]
    for i in range(k):
        size += v[i] * v[i]
    scale = _scale(v, radius, eps)
    for j in range(m):
        best, own = -np.inf, 0.0
        for a in range(A):
            slope = _slope(scaled[j, a], gain[j, a], v, scale)
            own += policy[j, a] * slope
            best = max(best, slope)
        gap += (best - own) / m
    # The value has the norm itself, the slopes the smooth one: what lies between is part of the gap.
    gap += radius * np.sqrt(size) - scale * size
    return linear - radius * np.sqrt(size), max(gap, 0.0)


@njit(**FAST)
def frank_wolfe(gain, scaled, radius, first, tolerance, max_sweeps, policy):
    """Maximise mean_j sum_a q_ja gain_ja - radius |mean_j sum_a q_ja scaled_ja| from the actions `first` (m,).

    Context after context, probability moves from the worst action in use to the best one by an exact line search. After
    each sweep the Frank-Wolfe gap over all contexts certifies the value. gain (m, A), scaled (m, A, k); policy (m, A)
    as output.  Returns (value, gap, sweeps): the value is within `gap` of the best possible.
    """
    m, A, k = scaled.shape
    v, across = np.zeros(k), np.empty(k)
    # The norm has a kink at zero, where a step of one context alone may be no better while one of two is: with
    # sqrt(|v|^2 + eps^2) in its place no step is stuck, at half the tolerance.
    eps = 0.5 * tolerance / radius if radius > 0.0 else 0.0
    policy[:] = 0.0
    for j in range(m):
        policy[j, first[j]] = 1.0
    value, gap = _certificate(gain, scaled, radius, policy, v, eps)
    sweeps = 0
    while gap > tolerance and sweeps < max_sweeps:
        sweeps += 1
        for j in range(m):
            scale = _scale(v, radius, eps)
            up, down, high, low = 0, 0, -np.inf, np.inf
            for a in range(A):
                slope = _slope(scaled[j, a], gain[j, a], v, scale)
                if slope > high:
                    up, high = a, slope
                if policy[j, a] > 0.0 and slope < low:
                    down, low = a, slope
            if high - low <= 0.1 * tolerance:
                continue
            for i in range(k):
                across[i] = (scaled[j, up, i] - scaled[j, down, i]) / m
            move = _best_move(v, across, (gain[j, up] - gain[j, down]) / m, radius, policy[j, down], eps)
            policy[j, up] += move
            policy[j, down] = max(policy[j, down] - move, 0.0)
            for i in range(k):
                v[i] += move * across[i]
        value, gap = _certificate(gain, scaled, radius, policy, v, eps)
    return value, gap, sweeps
