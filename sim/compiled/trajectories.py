"""Compiled draws of actions and states from tables of laws."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sim.compiled.jit import INNER, JIT


@njit(**INNER)
def _pick(edges, uniform):
    """The place of a uniform among cumulative `edges` (k,)."""
    last = edges.size - 1
    scaled, found = uniform * edges[last], 0
    for k in range(last):
        found += scaled >= edges[k]
    return found


@njit(**JIT)
def pick_rows(edges, rows, uniform, picked):
    """picked (n,): a place of row `rows` (n,) of cumulative laws (S, A) for each uniform (n,)."""
    for i in range(picked.size):
        picked[i] = _pick(edges[rows[i]], uniform[i])


@njit(**JIT)
def walk(uniform, first, acting, moving, states, actions):
    """states, actions (n, H) of n walks. Cumulative laws: first (S,), acting (S, A), moving (H - 1, S, A, S).

    uniform (n, 2 H): the first state's, then an action's and the next state's in turn.
    """
    n, horizon = states.shape
    for i in range(n):
        state = _pick(first, uniform[i, 0])
        for h in range(horizon):
            action = _pick(acting[state], uniform[i, 2 * h + 1])
            states[i, h], actions[i, h] = state, action
            if h < horizon - 1:
                state = _pick(moving[h, state, action], uniform[i, 2 * h + 2])


@njit(**JIT)
def add_features(features, states, actions, totals):
    """totals (n, d) = sum over steps of features (S, A, d) at states and actions (n, H)."""
    n, horizon = states.shape
    d = features.shape[2]
    for i in range(n):
        for j in range(d):
            totals[i, j] = features[states[i, 0], actions[i, 0], j]
        for h in range(1, horizon):
            for j in range(d):
                totals[i, j] += features[states[i, h], actions[i, h], j]
