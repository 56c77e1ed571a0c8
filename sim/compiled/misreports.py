"""Compiled search for the report that serves one annotator best, over many profiles at once."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from sim.compiled.jit import INNER, JIT, exp

_PARALLEL = {**JIT, "parallel": True}


class Pooling(NamedTuple):
    """alpha of the pool, beta of the distances, whether costs are charged, floor under a reported log-probability."""

    alpha: Any
    beta: Any
    charged: Any
    floor: Any


class Judge(NamedTuple):
    """What a report is judged by: the others' sums (K,) behind the pool of n, the opinions behind the disutility (K,)
    and how many these are."""

    others: Any
    n: Any
    judged: Any
    weight: Any


class Room(NamedTuple):
    """log_report, log_x (K,), trial (3, K - 1)."""

    log_report: Any
    log_x: Any
    trial: Any


@njit(**INNER)
def _power(log_value, alpha):
    """value^alpha, with 0^0 = 1."""
    return exp(alpha * log_value) if alpha != 0.0 else 1.0


@njit(**INNER)
def _consensus(log_report, others, alpha, n, log_x):
    """log of the pool of one report and the others, of whom only `others` (K,) is needed: sum_j P_j^alpha, or
    sum_j log P_j at 0, or the minimum or maximum of log P_j at infinity."""
    top = -np.inf
    for a in range(log_x.size):
        if alpha == 0.0:
            value = (others[a] + log_report[a]) / n
        elif alpha == np.inf:
            value = max(others[a], log_report[a])
        elif alpha == -np.inf:
            value = min(others[a], log_report[a])
        else:
            value = np.log(others[a] + exp(alpha * log_report[a])) / alpha
        log_x[a] = value
        top = max(top, value)
    total = 0.0
    for a in range(log_x.size):
        total += exp(log_x[a] - top)
    shift = top + np.log(total)
    for a in range(log_x.size):
        log_x[a] -= shift


@njit(**INNER)
def _disutility(log_x, judged, weight, beta):
    """sum over the opinions behind `judged` of d_beta(P_j, x), up to a constant; weight: how many they are.

    judged (K,): sum_j P_j^beta, or sum_j log P_j at beta = 0.
    """
    total = 0.0
    for a in range(log_x.size):
        if beta == 1.0:
            total -= judged[a] * log_x[a]
        elif beta == 0.0:
            total += exp(log_x[a]) * (weight * log_x[a] - judged[a])
        else:
            total -= judged[a] * _power(log_x[a], 1.0 - beta)
    return total if beta in (0.0, 1.0) else total / (beta * (1.0 - beta))


@njit(**INNER)
def _loss(z, judge, pooling, room):
    """Minus the utility (up to a constant) of reporting softmax(z, 0), held at `floor` from below."""
    log_report, log_x, floor = room.log_report, room.log_x, pooling.floor
    K = log_x.size
    top = 0.0
    for a in range(K - 1):
        top = max(top, z[a])
    total = exp(-top)
    for a in range(K - 1):
        total += exp(z[a] - top)
    shift = top + np.log(total)
    for a in range(K):
        log_report[a] = max((z[a] if a < K - 1 else 0.0) - shift, floor)
    _consensus(log_report, judge.others, pooling.alpha, judge.n, log_x)
    return _disutility(log_x, judge.judged, judge.weight, pooling.beta)


@njit(**INNER)
def _nelder_mead(simplex, values, most, judge, pooling, room):
    """Nelder and Mead 1965 with the usual coefficients; simplex (d + 1, d) is moved in place, best vertex first."""
    # One loop with five ways out of a step: apart, each part would need all that the others have computed.
    d, trial = simplex.shape[1], room.trial
    centre, second = trial[0], trial[1]
    for v in range(d + 1):
        values[v] = _loss(simplex[v], judge, pooling, room)
    spent = d + 1
    while spent < most:
        # Insertion sort: the simplex stays nearly sorted.
        for v in range(1, d + 1):
            w = v
            while w > 0 and values[w] < values[w - 1]:
                values[w], values[w - 1] = values[w - 1], values[w]
                for j in range(d):
                    simplex[w, j], simplex[w - 1, j] = simplex[w - 1, j], simplex[w, j]
                w -= 1
        if values[d] - values[0] <= 1e-13 * (1.0 + abs(values[0])):
            break
        for j in range(d):
            total = 0.0
            for v in range(d):
                total += simplex[v, j] / d
            centre[j] = total
            trial[2, j] = 2.0 * centre[j] - simplex[d, j]
        reflected = _loss(trial[2], judge, pooling, room)
        spent += 1
        if reflected < values[0]:
            for j in range(d):
                second[j] = 3.0 * centre[j] - 2.0 * simplex[d, j]
            expanded = _loss(second, judge, pooling, room)
            spent += 1
            if expanded < reflected:
                values[d] = expanded
                for j in range(d):
                    simplex[d, j] = second[j]
            else:
                values[d] = reflected
                for j in range(d):
                    simplex[d, j] = trial[2, j]
            continue
        if reflected < values[d - 1]:
            values[d] = reflected
            for j in range(d):
                simplex[d, j] = trial[2, j]
            continue
        outside = reflected < values[d]
        for j in range(d):
            second[j] = centre[j] + 0.5 * ((trial[2, j] if outside else simplex[d, j]) - centre[j])
        contracted = _loss(second, judge, pooling, room)
        spent += 1
        if contracted < min(reflected, values[d]):
            values[d] = contracted
            for j in range(d):
                simplex[d, j] = second[j]
            continue
        for v in range(1, d + 1):
            for j in range(d):
                simplex[v, j] = 0.5 * (simplex[v, j] + simplex[0, j])
            values[v] = _loss(simplex[v], judge, pooling, room)
        spent += d
    best = 0
    for v in range(1, d + 1):
        if values[v] < values[best]:
            best = v
    return best


@njit(**INNER)
def _summed(log_reports, skip, alpha, out):
    """What `_consensus` needs of everybody but `skip` (nobody is skipped if it is -1)."""
    N, K = log_reports.shape
    for a in range(K):
        total = np.inf if alpha == -np.inf else -np.inf if alpha == np.inf else 0.0
        for j in range(N):
            if j == skip:
                continue
            value = log_reports[j, a]
            if alpha == np.inf:
                total = max(total, value)
            elif alpha == -np.inf:
                total = min(total, value)
            else:
                total += value if alpha == 0.0 else exp(alpha * value)
        out[a] = total


@njit(**_PARALLEL)
def search(log_opinions, log_reports, starts, pooling, step, most, best):
    """best[b, i]: the logits (last one 0) of the best report found for annotator i in profile b.

    log_opinions, log_reports: (B, N, K), true opinions and what everybody else reports.  starts: (S, K - 1) logits
    that are tried beside the truth, an even report, and an exaggeration of the annotator's departure from the rest.
    """
    B, N, K = log_opinions.shape
    d, alpha, beta, charged = K - 1, pooling.alpha, pooling.beta, pooling.charged
    for b in prange(B):
        others, judged, own = np.empty(K), np.empty(K), np.empty((1, K))
        log_report, log_x, values, trial = np.empty(K), np.empty(K), np.empty(K), np.empty((3, d))
        simplex, rest = np.empty((K, d)), np.empty(K)
        room = Room(log_report, log_x, trial)
        for i in range(N):
            _summed(log_reports[b], i, alpha, others)
            own[0] = log_opinions[b, i]
            _summed(own, -1, beta, judged)
            weight = 1.0
            if charged:
                _summed(log_reports[b], i, beta, rest)
                weight = float(N)
                for a in range(K):
                    judged[a] += rest[a]
            # The rest's geometric mean, as a point to exaggerate away from.
            _summed(log_reports[b], i, 0.0, rest)
            lowest = np.inf
            for s in range(3 + starts.shape[0]):
                for j in range(d):
                    truth = own[0, j] - own[0, d]
                    among = (rest[j] - rest[d]) / max(N - 1, 1)
                    if s == 0:
                        simplex[0, j] = truth
                    elif s == 1:
                        simplex[0, j] = 0.0
                    elif s == 2:
                        simplex[0, j] = 3.0 * truth - 2.0 * among
                    else:
                        simplex[0, j] = starts[s - 3, j]
                for v in range(d):
                    for j in range(d):
                        simplex[v + 1, j] = simplex[0, j] + (step if v == j else 0.0)
                judge = Judge(others, N, judged, weight)
                vertex = _nelder_mead(simplex, values, most, judge, pooling, room)
                if values[vertex] < lowest:
                    lowest = values[vertex]
                    for j in range(d):
                        best[b, i, j] = simplex[vertex, j]
