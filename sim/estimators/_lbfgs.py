"""Compiled limited-memory BFGS, one evaluation at a time: the caller makes the passes, serial or shared.

`progress` and the kept vectors carry the method from one evaluation to the next, see `advance`.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.jit import FAST, INNER

HISTORY = 8
# Places in `progress`.
LOSS, DECREMENT, SIZE, ROUNDS, STATUS, STORED, SCALE = 0, 1, 2, 3, 4, 5, 6


@njit(**INNER)
def start_lbfgs(size, scale):
    """(progress, vectors): vectors rows 0 kept point, 1 kept gradient, 2 direction; then steps and changes of slope.

    scale: the first guess of the inverse curvature.
    """
    progress = np.zeros(7 + HISTORY)
    progress[LOSS], progress[SIZE], progress[SCALE] = np.inf, 1.0, scale
    return progress, np.zeros((3 + 2 * HISTORY, size))


@njit(**INNER)
def _inner(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(**INNER)
def _set_direction(gradient, progress, vectors):
    """The two-loop recursion into vectors[2]; returns -<gradient, direction>."""
    stored, direction = int(progress[STORED]), vectors[2]
    for i in range(gradient.size):
        direction[i] = -gradient[i]
    shares = np.empty(HISTORY)
    count = min(stored, HISTORY)
    for back in range(count):
        at = (stored - 1 - back) % HISTORY
        step, change = vectors[3 + at], vectors[3 + HISTORY + at]
        shares[at] = _inner(step, direction) / progress[7 + at]
        for i in range(gradient.size):
            direction[i] -= shares[at] * change[i]
    for i in range(gradient.size):
        direction[i] *= progress[SCALE]
    for forward in range(count):
        at = (stored - count + forward) % HISTORY
        step, change = vectors[3 + at], vectors[3 + HISTORY + at]
        share = _inner(change, direction) / progress[7 + at]
        for i in range(gradient.size):
            direction[i] += (shares[at] - share) * step[i]
    return -_inner(gradient, direction)


@njit(**FAST)
def advance(loss, gradient, tolerance, max_rounds, point, progress, vectors):
    """Judge the evaluation just made at `point` and move it on; True when done.

    Armijo with halving; done when half of -<gradient, direction>, the gain a quadratic would still give, is at most
    `tolerance` (in the units of the loss).  STATUS: 0 converged, 1 stalled, 2 round limit.
    """
    rounding = 1e-14 * abs(loss)
    if not loss <= progress[LOSS] - 1e-4 * progress[SIZE] * progress[DECREMENT] + rounding:
        progress[SIZE] *= 0.5
        progress[STATUS] = 1.0
        # Nothing to gain that double precision could show: where we were is the minimum.
        if progress[SIZE] < 1e-8:
            progress[STATUS] = 0.0 if progress[DECREMENT] < 1e-11 * abs(progress[LOSS]) else 1.0
            for i in range(point.size):
                point[i] = vectors[0, i]
            return True
        for i in range(point.size):
            point[i] = vectors[0, i] + progress[SIZE] * vectors[2, i]
        return False
    if progress[LOSS] < np.inf:
        at = int(progress[STORED]) % HISTORY
        step, change = vectors[3 + at], vectors[3 + HISTORY + at]
        for i in range(point.size):
            step[i] = point[i] - vectors[0, i]
            change[i] = gradient[i] - vectors[1, i]
        bent, length = _inner(step, change), _inner(change, change)
        if bent > 1e-10 * np.sqrt(length * _inner(step, step)):
            progress[7 + at] = bent
            progress[SCALE] = bent / length
            progress[STORED] += 1.0
    progress[LOSS], progress[SIZE] = loss, 1.0
    decrement = _set_direction(gradient, progress, vectors)
    if not decrement > 0.0:
        progress[STORED] = 0.0
        decrement = _set_direction(gradient, progress, vectors)
    progress[DECREMENT] = decrement
    if 0.5 * decrement <= tolerance:
        progress[STATUS] = 0.0
        return True
    if progress[ROUNDS] >= max_rounds:
        progress[STATUS] = 2.0
        return True
    progress[ROUNDS] += 1.0
    for i in range(point.size):
        vectors[0, i], vectors[1, i] = point[i], gradient[i]
        point[i] += vectors[2, i]
    return False
