"""Compiled EM for log-linear types: one pass over the answers gives E-step, gradient and Hessian.

Answers are sorted by annotator; a tile is a run of whole annotators, so that an annotator's posterior is
known before her answers enter the M-step's sums, while their features are still in the first cache.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER, faint_exp, log1p_unit
from sim.compiled.tiles import add_gradient, add_hessian, margins

CHUNKS = 16


class Answers(NamedTuple):
    """features (d padded, n), weight (n,), sorted by annotator, whose answers begin at offsets (n_annotators + 1,);
    tiles: numbers of the annotators that runs begin with, and the end; width: of the longest run, padded."""

    features: Any
    weight: Any
    offsets: Any
    tiles: Any
    width: Any


class Types(NamedTuple):
    """theta (K, d), log_mixture (K,), gamma and proposal (n_annotators, K): responsibilities, current and new."""

    theta: Any
    log_mixture: Any
    gamma: Any
    proposal: Any


class Sums(NamedTuple):
    """gradient (K, d), hessian (K, d, d), mass (K,), quality (2, K), likelihood (1,) of a pass; see `_tile`."""

    gradient: Any
    hessian: Any
    mass: Any
    quality: Any
    likelihood: Any


class Rows(NamedTuple):
    """Room for one run: scores and wrongs (K, width), scratch (7, width)."""

    scores: Any
    wrongs: Any
    scratch: Any


# In one piece: its three sweeps share the run's rows while they are in the first cache.
@njit(**INNER)
def _tile(answers, first, last, types, fixed, hard, rows, sums):
    """Annotators first..last-1.  Adds to gradient (K, d), hessian (K, d, d), mass (K,), quality (2, K).

    gamma: current responsibilities; proposal: where the new ones go; quality[0] = sum_i gamma_ik S_ik and
    quality[1] the same with the proposal (the guard's Q after the last step and before the next). With `fixed`
    the sums use gamma itself (a further Newton step of one M-step).
    scores: (K, answers of the tile), wrongs: sigma(-margin).  likelihood: (1,).
    """
    features, weight, offsets = answers.features, answers.weight, answers.offsets
    theta, log_mixture, gamma, proposal = types.theta, types.log_mixture, types.gamma, types.proposal
    scores, wrongs, scratch = rows.scores, rows.wrongs, rows.scratch
    gradient, hessian, mass = sums.gradient, sums.hessian, sums.mass
    quality, likelihood = sums.quality, sums.likelihood
    K, lo, hi = theta.shape[0], offsets[first], offsets[last]
    m = hi - lo
    z, slope, curvature = scratch[0], scratch[1], scratch[2]
    own = weight[lo:hi]
    for k in range(K):
        margins(features, lo, hi, theta[k], z)
        score, wrong = scores[k], wrongs[k]
        for c in range(m):
            e = faint_exp(-abs(z[c]))
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
            joint[k] = faint_exp(joint[k] - highest)
        for k in range(K):
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
            total += own[c] * slope[c]
        for c in range(m):
            w = own[c] * slope[c]
            slope[c] = -w * wrong[c]
            curvature[c] = w * wrong[c] * (1.0 - wrong[c])
        mass[k] += total
        add_gradient(features, lo, hi, slope, gradient[k])
        add_hessian(features, lo, hi, curvature, scratch[3:7], hessian[k])


@njit(**INNER)
def _clear(sums):
    sums.gradient[:] = 0.0
    sums.hessian[:] = 0.0
    sums.mass[:] = 0.0
    sums.quality[:] = 0.0
    sums.likelihood[0] = 0.0


@njit(**INNER)
def _some_tiles(answers, lo_tile, hi_tile, types, fixed, hard, sums):
    K, width = types.theta.shape[0], answers.width
    rows = Rows(np.empty((K, width)), np.empty((K, width)), np.empty((7, width)))
    _clear(sums)
    for tile in range(lo_tile, hi_tile):
        _tile(answers, answers.tiles[tile], answers.tiles[tile + 1], types, fixed, hard, rows, sums)


@njit(**INNER)
def serial_pass(answers, types, fixed, hard, gradient, hessian, mass, quality, likelihood):
    """Every tile, in order."""
    sums = Sums(gradient, hessian, mass, quality, likelihood)
    _some_tiles(answers, 0, answers.tiles.size - 1, types, fixed, hard, sums)


@njit(**FAST_PARALLEL)
def parallel_pass(answers, types, fixed, hard, gradient, hessian, mass, quality, likelihood):
    """The serial pass over fixed chunks of tiles, summed in order: same bits for any number of threads.

    The sums are arguments of their own: what a parallel kernel stores into an array of a tuple may be dropped.
    """
    K, d = types.theta.shape
    n_tiles = answers.tiles.size - 1
    part_g, part_h = np.empty((CHUNKS, K, d)), np.empty((CHUNKS, K, d, d))
    part_m, part_q, part_l = np.empty((CHUNKS, K)), np.empty((CHUNKS, 2, K)), np.empty((CHUNKS, 1))
    for chunk in prange(CHUNKS):
        part = Sums(part_g[chunk], part_h[chunk], part_m[chunk], part_q[chunk], part_l[chunk])
        _some_tiles(
            answers, chunk * n_tiles // CHUNKS, (chunk + 1) * n_tiles // CHUNKS, types, fixed, hard, part
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
