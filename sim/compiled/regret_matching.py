"""Compiled regret matching+ for zero-sum matrix games, many games in parallel."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER


@njit(**INNER)
def _play(regret, out):
    """Proportional to the positive regrets; uniform where there are none."""
    total = regret.sum()
    for a in range(out.size):
        out[a] = regret[a] / total if total > 0.0 else 1.0 / out.size


@njit(**INNER)
def _learn(regret, gain, own, sign):
    """regret <- max(regret + sign (gain - <own, gain>), 0)."""
    mean = 0.0
    for a in range(own.size):
        mean += own[a] * gain[a]
    for a in range(own.size):
        regret[a] = max(regret[a] + sign * (gain[a] - mean), 0.0)


@njit(**INNER)
def _average(sum_play, play, weight):
    for a in range(play.size):
        sum_play[a] += weight * play[a]


@njit(**FAST_PARALLEL)
def regret_matching(matrices, rounds, row, column):
    """max_p min_q p' N q: both players in turn (each answers the other's newest play), weights linear in the round."""
    for s in prange(matrices.shape[0]):
        game = matrices[s]
        A = game.shape[0]
        regret_p, regret_q = np.zeros(A), np.zeros(A)
        p, q, gain = np.full(A, 1.0 / A), np.full(A, 1.0 / A), np.empty(A)
        sum_p, sum_q = np.zeros(A), np.zeros(A)
        for t in range(1, rounds + 1):
            for a in range(A):
                total = 0.0
                for b in range(A):
                    total += game[a, b] * q[b]
                gain[a] = total
            _learn(regret_p, gain, p, 1.0)
            _play(regret_p, p)
            for b in range(A):
                gain[b] = 0.0
            for a in range(A):
                for b in range(A):
                    gain[b] += p[a] * game[a, b]
            _learn(regret_q, gain, q, -1.0)
            _play(regret_q, q)
            _average(sum_p, p, float(t))
            _average(sum_q, q, float(t))
        row[s], column[s] = sum_p / sum_p.sum(), sum_q / sum_q.sum()
