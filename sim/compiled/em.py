"""Compiled EM for log-linear types: the recursion between the passes over the answers of `em_pass`."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.em_pass import parallel_pass, serial_pass
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.tiles import solve_in_place

_SMALLEST_SHARE = 1e-300
CONVERGED, MAX_ROUNDS = 0, 1
# What the recursion keeps from pass to pass: Newton steps left in this M-step, whether the pass keeps the
# responsibilities, whether a step awaits judgement, E-steps closed, status.
FIXED_LEFT, FIXED, MOVED, ROUNDS, STATUS = range(5)


@njit(**INNER)
def _square(x):
    total = 0.0
    for j in range(x.size):
        total += x[j] * x[j]
    return total


@njit(**INNER)
def _distance(x, centre):
    total = 0.0
    for j in range(x.size):
        total += (x[j] - centre[j]) ** 2
    return total


@njit(**FAST)
def _begin(newton_steps, centre, theta, progress):
    """Before the first pass: every type at the centre, and the M-step of the start still to make, of
    `newton_steps` Newton steps (at least two, to reach the split's own fit)."""
    for k in range(theta.shape[0]):
        theta[k, :] = centre
    progress[:] = 0
    progress[FIXED_LEFT] = max(newton_steps, 2)


@njit(**FAST)
def _share(gamma, mixture, log_mixture, progress):
    """The mixture of the responsibilities that the coming pass starts from; whether it keeps them."""
    for k in range(mixture.size):
        total = 0.0
        for i in range(gamma.shape[0]):
            total += gamma[i, k]
        mixture[k] = total / gamma.shape[0]
        log_mixture[k] = np.log(max(mixture[k], _SMALLEST_SHARE))
    progress[FIXED] = progress[FIXED_LEFT] > 0


@njit(**FAST)
def _advance(
    ridge, mass_scaled, max_rounds, tolerance, newton_steps, centre, theta, gamma, proposal, gradient,
    hessian, mass, quality, likelihood, step, target, penalty, progress, trace, likelihood_trace,
):  # fmt: skip
    """Judge the pass just made: guard the last step, close an E-step, make the next step. True when done."""
    K, d = theta.shape
    fixed, rounds = progress[FIXED] == 1, progress[ROUNDS]
    # Guard: with the responsibilities the last step used, no type's Q may fall; else its step is halved.
    if progress[MOVED] == 1:
        failed = False
        for k in range(K):
            reached = quality[0, k] - 0.5 * penalty[k] * _distance(theta[k], centre)
            if reached < target[k] - 1e-12 * abs(target[k]) and _square(step[k]) > 1e-24:
                failed = True
                for j in range(d):
                    step[k, j] *= 0.5
                    theta[k, j] += step[k, j]
        if failed:
            return False
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
            progress[STATUS] = CONVERGED if settled else MAX_ROUNDS
            return True
        progress[ROUNDS] = rounds + 1
        progress[FIXED_LEFT] = newton_steps
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
    length = 0.0
    for k in range(K):
        # Q before the step, under the responsibilities the step uses.
        target[k] = quality[0 if fixed else 1, k] - 0.5 * penalty[k] * _distance(theta[k], centre)
        for j in range(d):
            theta[k, j] -= step[k, j]
        length += _square(step[k])
    progress[MOVED] = 1
    # Once the M-step is solved, further Newton steps would not move.
    progress[FIXED_LEFT] = 0 if length < 1e-24 else progress[FIXED_LEFT] - 1
    return False


@njit(**FAST)
def em(
    features, weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance, newton_steps, hard,
    centre, theta, mixture, gamma, trace, likelihood_trace,
):  # fmt: skip
    """EM from `gamma` (in: a start; out: responsibilities of the returned theta), theta (K, d) in place.

    Returns (rounds, status). trace[t] is the penalised, likelihood_trace[t] the plain observed likelihood.
    """
    K, d = theta.shape
    proposal, progress = gamma.copy(), np.empty(5, np.int64)
    gradient, hessian, step = np.empty((K, d)), np.empty((K, d, d)), np.zeros((K, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    penalty, target, log_mixture = np.zeros(K), np.full(K, -np.inf), np.empty(K)
    _begin(newton_steps, centre, theta, progress)
    done = False
    while not done:
        _share(gamma, mixture, log_mixture, progress)
        serial_pass(
            features, weight, offsets, tiles, 0, tiles.size - 1, width, theta, log_mixture, progress[FIXED]
            == 1, hard, gamma, proposal, gradient, hessian, mass, quality, likelihood,
        )  # fmt: skip
        done = _advance(
            ridge, mass_scaled, max_rounds, tolerance, newton_steps, centre, theta, gamma, proposal,
            gradient, hessian, mass, quality, likelihood, step, target, penalty, progress, trace,
            likelihood_trace,
        )  # fmt: skip
    return progress[ROUNDS], progress[STATUS]


def em_shared(
    features, weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance, newton_steps, hard,
    centre, theta, mixture, gamma, trace, likelihood_trace,
):  # fmt: skip
    """`em` for one large problem, each pass shared between threads (a parallel kernel is called from Python
    only, see `sim.compiled.jit`)."""
    K, d = theta.shape
    proposal, progress = gamma.copy(), np.empty(5, np.int64)
    gradient, hessian, step = np.empty((K, d)), np.empty((K, d, d)), np.zeros((K, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    penalty, target, log_mixture = np.zeros(K), np.full(K, -np.inf), np.empty(K)
    _begin(newton_steps, centre, theta, progress)
    done = False
    while not done:
        _share(gamma, mixture, log_mixture, progress)
        parallel_pass(
            features, weight, offsets, tiles, width, theta, log_mixture, bool(progress[FIXED]), hard, gamma,
            proposal, gradient, hessian, mass, quality, likelihood,
        )  # fmt: skip
        done = _advance(
            ridge, mass_scaled, max_rounds, tolerance, newton_steps, centre, theta, gamma, proposal,
            gradient, hessian, mass, quality, likelihood, step, target, penalty, progress, trace,
            likelihood_trace,
        )  # fmt: skip
    return int(progress[ROUNDS]), int(progress[STATUS])


@njit(**FAST_PARALLEL)
def em_batch(
    features, weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance, newton_steps, hard,
    centre, theta, mixture, gamma, trace, likelihood_trace, rounds, status,
):  # fmt: skip
    """`em` for each (replicate, restart), in parallel: features (B, d, n), gamma (B, R, n_annotators, K)."""
    replicates, restarts = gamma.shape[0], gamma.shape[1]
    for job in prange(replicates * restarts):
        b, r = np.int64(job) // restarts, np.int64(job) % restarts
        result = em(
            features[b], weight, offsets, tiles, width, ridge, mass_scaled, max_rounds, tolerance,
            newton_steps, hard, centre, theta[b, r], mixture[b, r], gamma[b, r], trace[b, r],
            likelihood_trace[b, r],
        )  # fmt: skip
        rounds[b, r], status[b, r] = result


@njit(**FAST)
def posterior(features, weight, offsets, tiles, width, theta, log_mixture, gamma):
    """Responsibilities of new annotators into gamma; returns their observed log-likelihood."""
    K, d = theta.shape
    gradient, hessian = np.empty((K, d)), np.empty((K, d, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    serial_pass(
        features, weight, offsets, tiles, 0, tiles.size - 1, width, theta, log_mixture, False, False, gamma,
        gamma, gradient, hessian, mass, quality, likelihood,
    )  # fmt: skip
    return likelihood[0]
