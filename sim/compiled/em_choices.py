"""Compiled EM for log-linear types over choices: the recursion of `em` with the passes of `choice_pass`."""
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.choice_pass import ChoiceAnswers, parallel_choice_pass, serial_choice_pass
from sim.compiled.em import State, recursion
from sim.compiled.em_pass import Types
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER

em_choices = njit(**FAST)(recursion(serial_choice_pass, "em_choices", compiled=True))
_piece = njit(**INNER)(recursion(serial_choice_pass, "em_choices", compiled=True))
em_choices_shared = recursion(parallel_choice_pass, "em_choices_shared", compiled=False)


@njit(**FAST_PARALLEL)
def em_choices_batch(rules, answers, centre, states, rounds, status):
    """`em_choices` for each restart, in parallel: states with a first axis (R,), rounds and status (R,)."""
    theta, mixture, gamma = states.theta, states.mixture, states.gamma
    trace, likelihood_trace = states.trace, states.likelihood_trace
    features, offset, weight, events = answers.features, answers.offset, answers.weight, answers.events
    offsets, tiles, width = answers.offsets, answers.tiles, answers.width
    for job in prange(gamma.shape[0]):
        r = np.int64(job)
        own = ChoiceAnswers(features, offset, weight, events, offsets, tiles, width)
        state = State(theta[r], mixture[r], gamma[r], trace[r], likelihood_trace[r])
        rounds[r], status[r] = _piece(rules, own, centre, state)


@njit(**FAST)
def choice_posterior(answers, theta, log_mixture, gamma):
    """Responsibilities of new annotators into gamma; returns their observed log-likelihood."""
    K, d = theta.shape
    gradient, hessian = np.empty((K, d)), np.empty((K, d, d))
    mass, quality, likelihood = np.empty(K), np.empty((2, K)), np.empty(1)
    types = Types(theta, log_mixture, gamma, gamma)
    serial_choice_pass(answers, types, False, False, gradient, hessian, mass, quality, likelihood)
    return likelihood[0]
