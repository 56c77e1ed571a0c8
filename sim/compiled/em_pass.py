"""Compiled EM for log-linear types: one pass over the answers gives E-step, gradient and Hessian.

Answers are sorted by annotator; a tile is a run of whole annotators, so that an annotator's posterior is
known before her answers enter the M-step's sums, while their features are still in the first cache.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER, exp, log1p_unit
from sim.compiled.tiles import add_gradient, add_hessian, margins

CHUNKS = 16


@njit(**INNER)
def _tile(
    features, weight, offsets, first, last, theta, log_mixture, fixed, hard, gamma, proposal, scores,
    wrongs, scratch, gradient, hessian, mass, quality, likelihood,
):  # fmt: skip
    """Annotators first..last-1.  Adds to gradient (K, d), hessian (K, d, d), mass (K,), quality (2, K).

    gamma: current responsibilities; proposal: where the new ones go; quality[0] = sum_i gamma_ik S_ik and
    quality[1] the same with the proposal (the guard's Q after the last step and before the next). With `fixed`
    the sums use gamma itself (a further Newton step of one M-step).
    scores: (K, answers of the tile), wrongs: sigma(-margin).  likelihood: (1,).
    """
    K, lo, hi = theta.shape[0], offsets[first], offsets[last]
    m = hi - lo
    z, slope, curvature = scratch[0], scratch[1], scratch[2]
    own = weight[lo:hi]
    for k in range(K):
        margins(features, lo, hi, theta[k], z)
        score, wrong = scores[k], wrongs[k]
        for c in range(m):
            e = exp(-abs(z[c]))
            s = 1.0 / (1.0 + e)
            wrong[c] = e * s if z[c] >= 0.0 else s
            score[c] = -own[c] * (log1p_unit(e) + 0.5 * (abs(z[c]) - z[c]))
    joint, totals = np.empty(K), np.empty(K)
    for i in range(first, last):
        highest, best = -np.inf, 0
        for k in range(K):
            total, own_scores = 0.0, scores[k, offsets[i] - lo : offsets[i + 1] - lo]
            for c in range(own_scores.size):
                total += own_scores[c]
            totals[k] = total
            joint[k] = total + log_mixture[k]
            if joint[k] > highest:
                highest, best = joint[k], k
        norm = 0.0
        for k in range(K):
            joint[k] = exp(joint[k] - highest)
            norm += joint[k]
        likelihood[0] += highest + np.log(norm)
        for k in range(K):
            if hard:
                proposal[i, k] = 1.0 if k == best else 0.0
            else:
                proposal[i, k] = joint[k] / norm
            quality[0, k] += gamma[i, k] * totals[k]
            quality[1, k] += proposal[i, k] * totals[k]
    for k in range(K):
        wrong = wrongs[k]
        for i in range(first, last):
            share, own_slope = gamma[i, k] if fixed else proposal[i, k], slope[offsets[i] - lo : offsets[i + 1] - lo]
            for c in range(own_slope.size):
                own_slope[c] = share
        total = 0.0
        for c in range(m):
            w = own[c] * slope[c]
            total += w
            slope[c] = -w * wrong[c]
            curvature[c] = w * wrong[c] * (1.0 - wrong[c])
        mass[k] += total
        add_gradient(features, lo, hi, slope, gradient[k])
        add_hessian(features, lo, hi, curvature, scratch[3:7], hessian[k])


@njit(**INNER)
def serial_pass(
    features, weight, offsets, tiles, lo_tile, hi_tile, width, theta, log_mixture, fixed, hard, gamma,
    proposal, gradient, hessian, mass, quality, likelihood,
):  # fmt: skip
    K = theta.shape[0]
    scores, wrongs, scratch = np.empty((K, width)), np.empty((K, width)), np.empty((7, width))
    gradient[:] = 0.0
    hessian[:] = 0.0
    mass[:] = 0.0
    quality[:] = 0.0
    likelihood[0] = 0.0
    for tile in range(lo_tile, hi_tile):
        _tile(
            features, weight, offsets, tiles[tile], tiles[tile + 1], theta, log_mixture, fixed, hard, gamma,
            proposal, scores, wrongs, scratch, gradient, hessian, mass, quality, likelihood,
        )  # fmt: skip


@njit(**FAST_PARALLEL)
def parallel_pass(
    features, weight, offsets, tiles, width, theta, log_mixture, fixed, hard, gamma, proposal, gradient,
    hessian, mass, quality, likelihood,
):  # fmt: skip
    """The serial pass over fixed chunks of tiles, summed in order: same bits for any number of threads."""
    K, d = theta.shape
    n_tiles = tiles.size - 1
    part_g, part_h = np.empty((CHUNKS, K, d)), np.empty((CHUNKS, K, d, d))
    part_m, part_q, part_l = np.empty((CHUNKS, K)), np.empty((CHUNKS, 2, K)), np.empty((CHUNKS, 1))
    for chunk in prange(CHUNKS):
        serial_pass(
            features, weight, offsets, tiles, chunk * n_tiles // CHUNKS, (chunk + 1) * n_tiles // CHUNKS,
            width, theta, log_mixture, fixed, hard, gamma, proposal, part_g[chunk], part_h[chunk],
            part_m[chunk], part_q[chunk], part_l[chunk],
        )  # fmt: skip
    gradient[:] = 0.0
    hessian[:] = 0.0
    mass[:] = 0.0
    quality[:] = 0.0
    likelihood[0] = 0.0
    for chunk in range(CHUNKS):
        gradient += part_g[chunk]
        hessian += part_h[chunk]
        mass += part_m[chunk]
        quality += part_q[chunk]
        likelihood[0] += part_l[chunk, 0]
