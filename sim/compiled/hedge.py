"""Compiled Hedge: 64 games side by side, so that the loop over games fills the vector lanes."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER, faint_exp

LANES = 64


class Played(NamedTuple):
    """Averages and last points of the columns (., lanes) and rows (., lanes), gaps of the averages at the recorded
    rounds and of the last point."""

    w_mean: Any
    p_mean: Any
    w: Any
    p: Any
    gaps: Any
    last_gap: Any


@njit(**INNER)
def _payoffs(game, w, p, to_columns, to_rows):
    """to_columns[k] = (R' p)_k and to_rows[z] = (R w)_z in each lane."""
    rows, columns, lanes = game.shape
    for k in range(columns):
        total = to_columns[k]
        for g in range(lanes):
            total[g] = 0.0
    for z in range(rows):
        total, own = to_rows[z], p[z]
        for g in range(lanes):
            total[g] = 0.0
        for k in range(columns):
            entry, weight, back = game[z, k], w[k], to_columns[k]
            for g in range(lanes):
                total[g] += entry[g] * weight[g]
                back[g] += entry[g] * own[g]


@njit(**INNER)
def _move(log_weights, weights, payoff_t, payoff_tm1, signed_step, optimism, highest):
    """log w += step ((1 + optimism) u_t - optimism u_{t-1}), then normalise; u_{t-1} := u_t."""
    n, lanes = log_weights.shape
    for g in range(lanes):
        highest[g] = -np.inf
    for i in range(n):
        lw, now, before = log_weights[i], payoff_t[i], payoff_tm1[i]
        for g in range(lanes):
            value = lw[g] + signed_step[g] * (now[g] + optimism * (now[g] - before[g]))
            lw[g] = value
            before[g] = now[g]
            highest[g] = value if value > highest[g] else highest[g]
    total = np.zeros(lanes)
    for i in range(n):
        lw, w = log_weights[i], weights[i]
        for g in range(lanes):
            # The largest is kept at 0: no logarithm is needed, and nothing drifts away.
            value = lw[g] - highest[g]
            lw[g] = value
            value = faint_exp(value)
            w[g] = value
            total[g] += value
    for g in range(lanes):
        total[g] = 1.0 / total[g]
    for i in range(n):
        w = weights[i]
        for g in range(lanes):
            w[g] *= total[g]


@njit(**INNER)
def _gap(game, w, p, scale, to_columns, to_rows, out):
    """max_z (R w)_z - min_k (R' p)_k for w, p divided by `scale`."""
    _payoffs(game, w, p, to_columns, to_rows)
    for g in range(game.shape[2]):
        upper, lower = -np.inf, np.inf
        for z in range(game.shape[0]):
            upper = max(upper, to_rows[z, g])
        for k in range(game.shape[1]):
            lower = min(lower, to_columns[k, g])
        out[g] = (upper - lower) / scale


@njit(**INNER)
def _play(game, rounds, step_w, step_p, optimism, record, played):
    """One block of lanes; everything (., lanes). `record` lists rounds, ascending."""
    w_mean, p_mean, w, p = played.w_mean, played.p_mean, played.w, played.p
    gaps, last_gap = played.gaps, played.last_gap
    rows, columns, lanes = game.shape
    log_w, log_p = np.zeros((columns, lanes)), np.zeros((rows, lanes))
    to_columns, to_rows = np.empty((columns, lanes)), np.empty((rows, lanes))
    before_columns, before_rows = np.empty((columns, lanes)), np.empty((rows, lanes))
    highest, minus_step = np.empty(lanes), -step_w
    w[:] = 1.0 / columns
    p[:] = 1.0 / rows
    w_mean[:] = 0.0
    p_mean[:] = 0.0
    # Round -1 := round 0, both uniform, so that the first optimistic step is an ordinary one.
    _payoffs(game, w, p, before_columns, before_rows)
    recorded = 0
    for t in range(1, rounds + 1):
        _payoffs(game, w, p, to_columns, to_rows)
        _move(log_w, w, to_columns, before_columns, minus_step, optimism, highest)
        _move(log_p, p, to_rows, before_rows, step_p, optimism, highest)
        for k in range(columns):
            total, now = w_mean[k], w[k]
            for g in range(lanes):
                total[g] += now[g]
        for z in range(rows):
            total, now = p_mean[z], p[z]
            for g in range(lanes):
                total[g] += now[g]
        if recorded < record.size and record[recorded] == t:
            _gap(game, w_mean, p_mean, float(t), to_columns, to_rows, gaps[recorded])
            recorded += 1
    _gap(game, w, p, 1.0, to_columns, to_rows, last_gap)
    for k in range(columns):
        for g in range(lanes):
            w_mean[k, g] /= rounds
    for z in range(rows):
        for g in range(lanes):
            p_mean[z, g] /= rounds


@njit(**FAST_PARALLEL)
def play_blocks(games, rounds, step_w, step_p, optimism, record, played):
    """games (blocks, rows, columns, lanes); every output (blocks, ., lanes)."""
    w_mean, p_mean, w, p = played.w_mean, played.p_mean, played.w, played.p
    gaps, last_gap = played.gaps, played.last_gap
    for b in prange(games.shape[0]):
        own = Played(w_mean[b], p_mean[b], w[b], p[b], gaps[b], last_gap[b])
        _play(games[b], rounds, step_w[b], step_p[b], optimism, record, own)
