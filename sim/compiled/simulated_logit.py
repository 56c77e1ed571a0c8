"""Compiled simulated likelihood of the mixed logit: people in parallel, draws in SIMD lanes.

A person's coefficients at draw r are mean + factor draws[i, :, r]. Her choices' probabilities, their gradient and the
weights of the draws come from one pass; what is left of a person is a row, so that sums do not depend on threads.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER, faint_exp
from sim.compiled.structs import PanelChoices

# Draws worked on at once: the utilities of a set of ten and the coefficients of a person stay in the first cache.
LANES = 64
# A product of denominators is turned into its logarithm before it may pass this.
_LARGEST = 1e280


@njit(**INNER)
def _coefficients(mean, factor, draws, lo, m, theta):
    """theta[k, c] = mean[k] + sum_b factor[k, b] draws[b, lo + c]."""
    for k in range(mean.size):
        out = theta[k, :m]
        out[:] = mean[k]
        for b in range(factor.shape[1]):
            f, own = factor[k, b], draws[b, lo : lo + m]
            if f != 0.0:
                for c in range(m):
                    out[c] += f * own[c]


@njit(**INNER)
def _others(rows, first, last, theta, m, mass, top, total):
    """mass[j, c] = exp(-<theta, row_j> - top[c]), top = max(0, max_j -<theta, row_j>), total = exp(-top) + sum_j."""
    high, whole = top[:m], total[:m]
    high[:] = 0.0
    for j in range(first, last):
        own = mass[j - first, :m]
        own[:] = 0.0
        for k in range(rows.shape[1]):
            x, t = rows[j, k], theta[k, :m]
            for c in range(m):
                own[c] -= x * t[c]
        for c in range(m):
            high[c] = max(high[c], own[c])
    for c in range(m):
        whole[c] = faint_exp(-high[c])
    for j in range(last - first):
        own = mass[j, :m]
        for c in range(m):
            e = faint_exp(own[c] - high[c])
            own[c] = e
            whole[c] += e


@njit(**INNER)
def _settle(weight, product, shift, out):
    """out -= weight * (log(product) + shift), both started anew: one logarithm for several choices."""
    for c in range(out.size):
        out[c] -= weight * (np.log(product[c]) + shift[c])
        product[c] = 1.0
        shift[c] = 0.0


@njit(**INNER)
def _tile(choices, person, theta, lo, m, mass, sums, value, score):
    """Adds log prod_e P_e^w_e of the person's choices to value[lo:lo + m] and its gradient by theta to score (d, R)."""
    rows, starts, people, weight = choices
    top, total, product, shift = sums[0, :m], sums[1, :m], sums[2, :m], sums[3, :m]
    product[:] = 1.0
    shift[:] = 0.0
    out, bound, last_weight = value[lo : lo + m], 1.0, 0.0
    for e in range(people[person], people[person + 1]):
        first, last = starts[e], starts[e + 1]
        _others(rows, first, last, theta, m, mass, top, total)
        bound *= last - first + 1.0
        if weight[e] != last_weight or bound > _LARGEST:
            _settle(last_weight, product, shift, out)
            bound, last_weight = last - first + 1.0, weight[e]
        for c in range(m):
            product[c] *= total[c]
            shift[c] += top[c]
            total[c] = weight[e] / total[c]
        for j in range(last - first):
            own = mass[j, :m]
            for c in range(m):
                own[c] *= total[c]
            for k in range(rows.shape[1]):
                x, slope = rows[first + j, k], score[k, lo : lo + m]
                for c in range(m):
                    slope[c] += x * own[c]
    _settle(last_weight, product, shift, out)


@njit(**INNER)
def _average(value, score, draws, out, centre):
    """log of the mean of exp(value); the draws' weights h into `value`; out[:d] = sum h score, out[d:] its products
    with the draws; centre = sum h draws."""
    R, d, q = value.size, score.shape[0], draws.shape[0]
    most, total = -np.inf, 0.0
    for r in range(R):
        most = max(most, value[r])
    for r in range(R):
        value[r] = faint_exp(value[r] - most)
    for r in range(R):
        total += value[r]
    for r in range(R):
        value[r] /= total
    for k in range(d):
        own = score[k]
        g = 0.0
        for r in range(R):
            own[r] *= value[r]
        for r in range(R):
            g += own[r]
        out[k] = g
        for b in range(q):
            eps = draws[b]
            g = 0.0
            for r in range(R):
                g += own[r] * eps[r]
            out[d + k * q + b] = g
    for b in range(q):
        eps = draws[b]
        g = 0.0
        for r in range(R):
            g += value[r] * eps[r]
        centre[b] = g
    return most + np.log(total / R)


@njit(**FAST_PARALLEL)
def simulate(choices, mean, factor, draws, values, scores, centres):
    """Each person's simulated log-likelihood and its gradient.

    choices: `PanelChoices`.  mean (d,), factor (d, q), draws (N, q, R).  Outputs: values (N,); scores (N, d + d q), by
    mean and then by factor, row by row; centres (N, q): the draws' posterior means.
    """
    rows, starts, people, weight = choices
    d, (N, _, R) = mean.size, draws.shape
    longest = 1
    for e in range(starts.size - 1):
        longest = max(longest, starts[e + 1] - starts[e])
    for i in prange(N):
        theta, mass, sums = np.empty((d, LANES)), np.empty((longest, LANES)), np.empty((4, LANES))
        value, score, eps = np.zeros(R), np.zeros((d, R)), draws[i]
        own = PanelChoices(rows, starts, people, weight)
        for lo in range(0, R, LANES):
            m = min(LANES, R - lo)
            _coefficients(mean, factor, eps, lo, m, theta)
            _tile(own, np.int64(i), theta, lo, m, mass, sums, value, score)
        values[i] = _average(value, score, eps, scores[i], centres[i])
