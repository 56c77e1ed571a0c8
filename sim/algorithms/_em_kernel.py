"""Compiled EM for log-linear types: one pass over the answers gives E-step, gradient and Hessian.

Answers are sorted by annotator; a tile is a run of whole annotators, so that an annotator's posterior is
known before her answers enter the M-step's sums, while their features are still in the first cache.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.estimators._newton import add_gradient, add_hessian, margins, solve_in_place
from sim.jit import FAST, FAST_PARALLEL, exp, log1p_unit

_SMALLEST_SHARE = 1e-300
CHUNKS = 16
CONVERGED, MAX_ROUNDS = 0, 1


@njit(**FAST)
def _tile(
    features, weight, offsets, first, last, theta, log_mixture, fixed, hard, gamma, proposal, scores, wrongs,
    scratch, gradient, hessian, mass, quality, likelihood,
):  # fmt: skip
    """Annotators first..last-1.  Adds to gradient (K, d), hessian (K, d, d), mass (K,), quality (2, K).

    gamma: current responsibilities; proposal: where the new ones go; quality[0] = sum_i gamma_ik S_ik and
    quality[1] the same with the proposal (the guard's Q after the last step and before the next). With `fixed` the sums use gamma itself (a further Newton step of one M-step).
    scores: (K, answers of the tile), wrongs: the same for sigma(-margin).  likelihood: (1,).
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
            total = 0.0
            for c in range(offsets[i] - lo, offsets[i + 1] - lo):
                total += scores[k, c]
            totals[k] = total
            joint[k] = total + log_mixture[k]
            if joint[k] > highest:
                highest, best = joint[k], k
        norm = 0.0
        for k in range(K):
            joint[k] = np.exp(joint[k] - highest)
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
            share = gamma[i, k] if fixed else proposal[i, k]
            for c in range(offsets[i] - lo, offsets[i + 1] - lo):
                slope[c] = share
        total = 0.0
        for c in range(m):
            w = own[c] * slope[c]
            total += w
            slope[c] = -w * wrong[c]
            curvature[c] = w * wrong[c] * (1.0 - wrong[c])
        mass[k] += total
        add_gradient(features, lo, hi, slope, gradient[k])
        add_hessian(features, lo, hi, curvature, scratch[3:5], hessian[k])


@njit(**FAST)
def _serial_pass(
    features, weight, offsets, tiles, lo_tile, hi_tile, width, theta, log_mixture, fixed, hard, gamma, proposal,
    gradient, hessian, mass, quality, likelihood,
):  # fmt: skip
    K = theta.shape[0]
    scores, wrongs, scratch = np.empty((K, width)), np.empty((K, width)), np.empty((5, width))
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
def _parallel_pass(
    features, weight, offsets, tiles, width, theta, log_mixture, fixed, hard, gamma, proposal, gradient, hessian,
    mass, quality, likelihood,
):  # fmt: skip
    """The serial pass over fixed chunks of tiles, summed in order: the same bits for any number of threads."""
    K, d = theta.shape
    n_tiles = tiles.size - 1
    part_g, part_h = np.empty((CHUNKS, K, d)), np.empty((CHUNKS, K, d, d))
    part_m, part_q, part_l = np.empty((CHUNKS, K)), np.empty((CHUNKS, 2, K)), np.empty((CHUNKS, 1))
    for chunk in prange(CHUNKS):
        _serial_pass(
            features, weight, offsets, tiles, chunk * n_tiles // CHUNKS, (chunk + 1) * n_tiles // CHUNKS, width,
            theta, log_mixture, fixed, hard, gamma, proposal, part_g[chunk], part_h[chunk], part_m[chunk],
            part_q[chunk], part_l[chunk],
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


@njit(**FAST)
def _any_pass(
    parallel, features, weight, offsets, tiles, width, theta, log_mixture, fixed, hard, gamma, proposal, gradient,
    hessian, mass, quality, likelihood,
):  # fmt: skip
    if parallel:
        _parallel_pass(
            features, weight, offsets, tiles, width, theta, log_mixture, fixed, hard, gamma, proposal, gradient,
            hessian, mass, quality, likelihood,
        )  # fmt: skip
    else:
        _serial_pass(
            features, weight, offsets, tiles, 0, tiles.size - 1, width, theta, log_mixture, fixed, hard, gamma,
            proposal, gradient, hessian, mass, quality, likelihood,
        )  # fmt: skip


@njit(**FAST)
def _square(x):
    total = 0.0
    for j in range(x.size):
        total += x[j] * x[j]
    return total


@njit(**FAST)
def _distance(x, centre):
    total = 0.0
    for j in range(x.size):
        total += (x[j] - centre[j]) ** 2
    return total


@njit(**FAST)
def em(
    features, weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance, newton_steps, hard,
    parallel, centre, theta, mixture, gamma, trace, likelihood_trace,
):  # fmt: skip
    """EM from `gamma` (in: a start; out: responsibilities of the returned theta), theta (K, d) in place.

    Returns (rounds, status). trace[t] is the penalised, likelihood_trace[t] the plain observed likelihood.
    """
    K, d = theta.shape
    n_annotators = gamma.shape[0]
    proposal = gamma.copy()
    gradient, hessian, step = np.empty((K, d)), np.empty((K, d, d)), np.zeros((K, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    penalty, target, log_mixture = np.zeros(K), np.full(K, -np.inf), np.empty(K)

    # The M-step of the start: `newton_steps` Newton steps from the centre (at least two, to reach the
    # split's own fit), on the given responsibilities.
    fixed_left = max(newton_steps, 2)
    for k in range(K):
        theta[k, :] = centre
    fixed, moved, rounds = True, False, 0
    for k in range(K):
        log_mixture[k] = 0.0
    while True:
        # mixture of the responsibilities the coming E-step starts from
        for k in range(K):
            share = 0.0
            for i in range(n_annotators):
                share += gamma[i, k]
            mixture[k] = share / n_annotators
            log_mixture[k] = np.log(max(mixture[k], _SMALLEST_SHARE))
        fixed = fixed_left > 0
        _any_pass(
            parallel, features, weight, offsets, tiles, width, theta, log_mixture, fixed, hard, gamma, proposal,
            gradient, hessian, mass, quality, likelihood,
        )  # fmt: skip
        # Guard: with the responsibilities the last step used, no type's Q may fall; else its step is halved.
        if moved:
            failed = False
            for k in range(K):
                reached = quality[0, k] - 0.5 * penalty[k] * _distance(theta[k], centre)
                if reached < target[k] - 1e-12 * abs(target[k]) and _square(step[k]) > 1e-24:
                    failed = True
                    for j in range(d):
                        step[k, j] *= 0.5
                        theta[k, j] += step[k, j]
            if failed:
                continue
        if not fixed:
            # An E-step was made: record, and stop or take its responsibilities.
            value = likelihood[0]
            for k in range(K):
                strength = ridge * mass[k] if mass_scaled else ridge
                value -= 0.5 * strength * _distance(theta[k], centre)
            trace[rounds] = value
            likelihood_trace[rounds] = likelihood[0]
            settled = rounds > 0 and abs(value - trace[rounds - 1]) <= tolerance * max(1.0, abs(value))
            gamma[:] = proposal
            if settled or rounds == max_rounds:
                return rounds, CONVERGED if settled else MAX_ROUNDS
            rounds += 1
            fixed_left = newton_steps
        # One Newton step a type on the current responsibilities.
        for k in range(K):
            strength = ridge * mass[k] if mass_scaled else ridge
            penalty[k] = strength
            for j in range(d):
                step[k, j] = 0.0
            if mass[k] < 1e-12 and mass_scaled:
                target[k] = -np.inf
                continue
            for j in range(d):
                step[k, j] = gradient[k, j] + strength * (theta[k, j] - centre[j])
                hessian[k, j, j] += strength
            if not solve_in_place(hessian[k], step[k]):
                for j in range(d):
                    step[k, j] = 0.0
        for k in range(K):
            # Q before the step, under the responsibilities the step uses.
            target[k] = quality[0 if fixed else 1, k] - 0.5 * penalty[k] * _distance(theta[k], centre)
            for j in range(d):
                theta[k, j] -= step[k, j]
        moved = True
        fixed_left -= 1
        length = 0.0
        for k in range(K):
            length += _square(step[k])
        if length < 1e-24:
            fixed_left = 0  # the M-step is solved: further Newton steps would not move


@njit(**FAST_PARALLEL)
def em_batch(
    features, weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance, newton_steps, hard, centre,
    theta, mixture, gamma, trace, likelihood_trace, rounds, status,
):  # fmt: skip
    """`em` for each (replicate, restart): features (B, d, n), gamma (B, R, n_annotators, K), parallel over both."""
    replicates, restarts = gamma.shape[0], gamma.shape[1]
    for job in prange(replicates * restarts):
        b, r = np.int64(job) // restarts, np.int64(job) % restarts
        result = em(
            features[b], weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance, newton_steps,
            hard, False, centre, theta[b, r], mixture[b, r], gamma[b, r], trace[b, r], likelihood_trace[b, r],
        )  # fmt: skip
        rounds[b, r], status[b, r] = result


@njit(**FAST)
def posterior(features, weight, offsets, tiles, width, theta, log_mixture, gamma):
    """Responsibilities of new annotators into gamma; returns their observed log-likelihood."""
    K, d = theta.shape
    gradient, hessian = np.empty((K, d)), np.empty((K, d, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    _serial_pass(
        features, weight, offsets, tiles, 0, tiles.size - 1, width, theta, log_mixture, False, False, gamma, gamma,
        gradient, hessian, mass, quality, likelihood,
    )  # fmt: skip
    return likelihood[0]
