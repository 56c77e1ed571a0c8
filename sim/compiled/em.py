"""Compiled EM for log-linear types: the recursion between the passes over the answers of `em_pass`."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from sim.compiled.copies import copy_matrix, copy_vector
from sim.compiled.em_pass import Answers, Sums, Types, parallel_pass, serial_pass
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.tiles import solve_in_place

_SMALLEST_SHARE = 1e-300
CONVERGED, MAX_ROUNDS = 0, 1
# What the recursion keeps from pass to pass: Newton steps left in this M-step, whether the pass keeps the
# responsibilities, whether a step awaits judgement, E-steps closed, status.
FIXED_LEFT, FIXED, MOVED, ROUNDS, STATUS = range(5)


class Rules(NamedTuple):
    """Strength of the ridge, whether a type's mass scales it, rounds at most, the tolerance, Newton steps an M-step,
    and whether the E-step is hard."""

    ridge: Any
    mass_scaled: Any
    max_rounds: Any
    tolerance: Any
    newton_steps: Any
    hard: Any


class State(NamedTuple):
    """theta (K, d), mixture (K,), gamma (n_annotators, K), trace and likelihood_trace (max_rounds + 1,), in place."""

    theta: Any
    mixture: Any
    gamma: Any
    trace: Any
    likelihood_trace: Any


class Work(NamedTuple):
    """What a run keeps from pass to pass; progress (5,) as above."""

    proposal: Any
    log_mixture: Any
    step: Any
    target: Any
    penalty: Any
    progress: Any
    sums: Any


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


@njit(**INNER)
def _begin(rules, centre, state):
    """Before the first pass: every type at the centre, and the M-step of the start still to make, of
    `newton_steps` Newton steps (at least two, to reach the split's own fit)."""
    K, d = state.theta.shape
    sums = Sums(np.empty((K, d)), np.empty((K, d, d)), np.empty(K), np.empty((2, K)), np.empty(1))
    progress = np.zeros(5, np.int64)
    progress[FIXED_LEFT] = max(rules.newton_steps, 2)
    for k in range(K):
        copy_vector(centre, state.theta[k])
    return Work(
        state.gamma.copy(), np.empty(K), np.zeros((K, d)), np.full(K, -np.inf), np.zeros(K), progress, sums
    )  # fmt: skip


@njit(**INNER)
def _share(state, work):
    """The mixture of the responsibilities that the coming pass starts from; whether it keeps them."""
    gamma, mixture = state.gamma, state.mixture
    for k in range(mixture.size):
        total = 0.0
        for i in range(gamma.shape[0]):
            total += gamma[i, k]
        mixture[k] = total / gamma.shape[0]
        work.log_mixture[k] = np.log(max(mixture[k], _SMALLEST_SHARE))
    work.progress[FIXED] = work.progress[FIXED_LEFT] > 0


# In one piece: guard, end of an E-step and next step are the three ways out of one judgement.
@njit(**INNER)
def _advance(rules, centre, state, work):
    """Judge the pass just made: guard the last step, close an E-step, make the next step. True when done."""
    theta, gamma, trace = state.theta, state.gamma, state.trace
    gradient, hessian, mass, quality = work.sums.gradient, work.sums.hessian, work.sums.mass, work.sums.quality
    step, target, penalty, progress = work.step, work.target, work.penalty, work.progress
    ridge, mass_scaled, likelihood = rules.ridge, rules.mass_scaled, work.sums.likelihood
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
        state.likelihood_trace[rounds] = likelihood[0]
        settled = rounds > 0 and abs(value - trace[rounds - 1]) <= rules.tolerance * max(1.0, abs(value))
        copy_matrix(work.proposal, gamma)
        if settled or rounds == rules.max_rounds:
            progress[STATUS] = CONVERGED if settled else MAX_ROUNDS
            return True
        progress[ROUNDS] = rounds + 1
        progress[FIXED_LEFT] = rules.newton_steps
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


def _em(rules, answers, centre, state):
    """EM from `gamma` (in: a start; out: responsibilities of the returned theta), theta (K, d) in place.

    Returns (rounds, status). trace[t] is the penalised, likelihood_trace[t] the plain observed likelihood.
    """
    work = _begin(rules, centre, state)
    types, sums = Types(state.theta, work.log_mixture, state.gamma, work.proposal), work.sums
    done = False
    while not done:
        _share(state, work)
        one_pass(
            answers, types, work.progress[FIXED] == 1, rules.hard, sums.gradient, sums.hessian, sums.mass,
            sums.quality, sums.likelihood,
        )  # fmt: skip
        done = _advance(rules, centre, state, work)
    return work.progress[ROUNDS], work.progress[STATUS]


one_pass = serial_pass
em = njit(**FAST)(_em)
_em_piece = njit(**INNER)(_em)
# What surrounds the passes of a loop that stays uncompiled.
_begin_alone = njit(**FAST)(_begin.py_func)
_share_alone = njit(**FAST)(_share.py_func)
_advance_alone = njit(**FAST)(_advance.py_func)
_ALONE = {"_begin": _begin_alone, "_share": _share_alone, "_advance": _advance_alone}


def recursion(one_pass: Any, name: str, compiled: bool) -> Any:
    """`em`'s own recursion over other passes, its name another's: numba keeps kernels by it.

    compiled: whether it will be. With passes shared between threads, for one large problem, it cannot: a kernel that
    calls a parallel one must not be saved (see `sim.compiled.jit`).
    """
    own = FunctionType(_em.__code__, {**globals(), **({} if compiled else _ALONE), "one_pass": one_pass}, name)
    own.__qualname__ = name
    return own


em_shared = recursion(parallel_pass, "em_shared", compiled=False)


@njit(**FAST_PARALLEL)
def em_batch(rules, answers, centre, states, rounds, status):
    """`em` for each (replicate, restart), in parallel: features (B, d, n), gamma (B, R, n_annotators, K)."""
    features, weight, offsets, tiles = answers.features, answers.weight, answers.offsets, answers.tiles
    width = answers.width
    theta, mixture, gamma = states.theta, states.mixture, states.gamma
    trace, likelihood_trace = states.trace, states.likelihood_trace
    # Arrays of a tuple are only handed on here: what a parallel kernel itself stores into one may be dropped.
    replicates, restarts = gamma.shape[0], gamma.shape[1]
    for job in prange(replicates * restarts):
        b, r = np.int64(job) // restarts, np.int64(job) % restarts
        own = Answers(features[b], weight, offsets, tiles, width)
        state = State(theta[b, r], mixture[b, r], gamma[b, r], trace[b, r], likelihood_trace[b, r])
        rounds[b, r], status[b, r] = _em_piece(rules, own, centre, state)


@njit(**FAST)
def posterior(answers, theta, log_mixture, gamma):
    """Responsibilities of new annotators into gamma; returns their observed log-likelihood."""
    K, d = theta.shape
    gradient, hessian = np.empty((K, d)), np.empty((K, d, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    types = Types(theta, log_mixture, gamma, gamma)
    serial_pass(answers, types, False, False, gradient, hessian, mass, quality, likelihood)
    return likelihood[0]
