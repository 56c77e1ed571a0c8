"""Compiled alternation of HypCluster: users to the reward that explains them best, rewards to their users."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.heads import fit_head, head_margins
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER, faint_exp, log1p_unit
from sim.compiled.structs import Answers, HeadScratch


@njit(**INNER)
def _loss(answers, lo, hi, theta, z):
    """-sum w log sigma(offset + <theta, x>) of one user's answers."""
    head_margins(answers.features, answers.offset, lo, hi, theta, z)
    weight, total = answers.weight, 0.0
    for c in range(hi - lo):
        total += weight[lo + c] * (log1p_unit(faint_exp(-abs(z[c]))) + 0.5 * (abs(z[c]) - z[c]))
    return total


@njit(**INNER)
def _assign(answers, starts, theta, labels, z):
    """Each user to her best cluster (the lowest number of equals); the total loss and whether anybody moved."""
    total, moved = 0.0, False
    for i in range(labels.size):
        best, chosen = np.inf, 0
        for c in range(theta.shape[0]):
            loss = _loss(answers, starts[i], starts[i + 1], theta[c], z)
            if loss < best:
                best, chosen = loss, c
        moved |= chosen != labels[i]
        labels[i] = chosen
        total += best
    return total, moved


@njit(**INNER)
def _refit(answers, starts, ridge, theta, labels, gathered, work):
    """Each cluster's reward from its users' answers, which are gathered into one run of columns first.

    A cluster without users keeps the reward it has. Returns the penalised loss.
    """
    features, weight, offset = answers
    held, held_weight, held_offset = gathered
    total = 0.0
    for c in range(theta.shape[0]):
        filled, mass = 0, 0.0
        for i in range(labels.size):
            if labels[i] != c:
                continue
            m = starts[i + 1] - starts[i]
            for a in range(features.shape[0]):
                source, target = features[a, starts[i] : starts[i + 1]], held[a, filled : filled + m]
                for j in range(m):
                    target[j] = source[j]
            own_offset, own_weight = offset[starts[i] : starts[i + 1]], weight[starts[i] : starts[i + 1]]
            to_offset, to_weight = held_offset[filled : filled + m], held_weight[filled : filled + m]
            for j in range(m):
                to_offset[j] = own_offset[j]
                to_weight[j] = own_weight[j]
            for j in range(m):
                mass += own_weight[j]
            filled += m
        if filled > 0:
            total += fit_head(gathered, 0, filled, ridge, 1e-9 * max(mass, 1.0), theta[c], work)
        else:
            for a in range(theta.shape[1]):
                total += 0.5 * ridge * theta[c, a] * theta[c, a]
    return total


@njit(**INNER)
def _cluster(answers, starts, ridge, seeds, theta, labels, trace):
    """From the rewards of the users `seeds`, until nobody moves; the objective after each round into `trace`."""
    (K, k), n = theta.shape, answers.weight.size
    z, work = np.empty(n), HeadScratch(np.empty(k), np.empty((k, k)), np.empty((4, n + k)))
    gathered = Answers(np.empty((k, n)), np.empty(n), np.empty(n))
    theta[:] = 0.0
    for c in range(K):
        lo, hi = starts[seeds[c]], starts[seeds[c] + 1]
        fit_head(answers, lo, hi, ridge, 1e-9 * max(float(hi - lo), 1.0), theta[c], work)
    labels[:] = -1
    trace[:] = np.nan
    for r in range(trace.size):
        _, moved = _assign(answers, starts, theta, labels, z)
        if not moved:
            return r
        trace[r] = -_refit(answers, starts, ridge, theta, labels, gathered, work)
    return trace.size


@njit(**FAST)
def cluster(answers, starts, ridge, seeds, theta, labels, trace):
    return _cluster(answers, starts, ridge, seeds, theta, labels, trace)


@njit(**FAST_PARALLEL)
def cluster_batch(differences, ridge, seeds, theta, labels, trace):
    """`cluster` for each replicate and restart; differences (B, N, Np, k), seeds (B, R, K), theta (B, R, K, k),
    labels (B, R, N), trace (B, R, rounds)."""
    B, N, per_user, k = differences.shape
    R, n = seeds.shape[1], N * per_user
    starts = np.arange(N + 1) * per_user
    for task in prange(B * R):
        b, r = task // R, task % R
        features = np.empty((k, n))
        for i in range(N):
            for j in range(per_user):
                for a in range(k):
                    features[a, i * per_user + j] = differences[b, i, j, a]
        answers = Answers(features, np.ones(n), np.zeros(n))
        _cluster(answers, starts, ridge, seeds[b, r], theta[b, r], labels[b, r], trace[b, r])
