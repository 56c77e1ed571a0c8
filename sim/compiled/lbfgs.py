"""Compiled limited-memory BFGS on two factors, one evaluation at a time: the caller makes the passes, serial or shared.

`progress` and the kept vectors carry the method from one evaluation to the next, see `advance`.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.factor_metric import apply_inverse, balance, set_metric, split
from sim.compiled.jit import INNER
from sim.compiled.structs import Metric, Search

HISTORY = 8
# Places in `progress`.
LOSS, DECREMENT, SIZE, ROUNDS, STATUS, STORED, SHRUNK = 0, 1, 2, 3, 4, 5, 6
_KEPT = 7


@njit(**INNER)
def start_lbfgs(point, r, ridge, x_root, z_root, x_variance, z_variance):
    """(Search, Metric): vectors rows 0 kept point, 1 kept gradient, 2 direction, 3 work; then steps and changes of
    slope."""
    size = point.size
    progress = np.zeros(_KEPT + HISTORY)
    progress[LOSS], progress[SIZE], progress[SHRUNK] = np.inf, 1.0, 1.0
    scalars = np.array([0.0, 0.0, ridge, x_variance, z_variance])
    search = Search(point, np.empty(size), progress, np.zeros((4 + 2 * HISTORY, size)))
    return search, Metric(x_root, z_root, np.empty((4, r, r)), scalars)


@njit(**INNER)
def _inner(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(**INNER)
def _set_direction(search, factors, metric):
    """The two-loop recursion into vectors[2]; returns -<gradient, direction>."""
    _, gradient, progress, vectors = search
    stored, work, direction = int(progress[STORED]), vectors[3], vectors[2]
    for i in range(gradient.size):
        work[i] = -gradient[i]
    shares = np.empty(HISTORY)
    count = min(stored, HISTORY)
    for back in range(count):
        at = (stored - 1 - back) % HISTORY
        step, change = vectors[4 + at], vectors[4 + HISTORY + at]
        shares[at] = _inner(step, work) / progress[_KEPT + at]
        for i in range(gradient.size):
            work[i] -= shares[at] * change[i]
    apply_inverse(work, factors, metric, direction)
    for forward in range(count):
        at = (stored - count + forward) % HISTORY
        step, change = vectors[4 + at], vectors[4 + HISTORY + at]
        share = _inner(change, direction) / progress[_KEPT + at]
        for i in range(gradient.size):
            direction[i] += (shares[at] - share) * step[i]
    return -_inner(gradient, direction)


# Longer than others: one judgement, whose every part reads and writes the same progress.
@njit(**INNER)
def advance(loss, curvature, mass, limits, metric, search):
    """Judge the evaluation just made at the search's point and move it on; True when done.

    Armijo with halving; done when half of -<gradient, direction>, the gain a quadratic would still give, is at most
    `tolerance` (in the units of the loss), or when the last rounds shrank that gain so fast that one more step will
    leave less: it is made, and LOSS is what it should reach.  STATUS: 0 converged, 1 stalled, 2 round limit.
    """
    point, gradient, progress, vectors = search
    tolerance, max_rounds, x_root = limits.tolerance, limits.max_rounds, metric.x_root
    rounding = 1e-14 * abs(loss)
    if not loss <= progress[LOSS] - 1e-4 * progress[SIZE] * progress[DECREMENT] + rounding:
        progress[SIZE] *= 0.5
        progress[STATUS] = 1.0
        # Nothing to gain that double precision could show: where we were is the minimum.
        if progress[SIZE] < 1e-8:
            known = progress[LOSS] < np.inf
            progress[STATUS] = 0.0 if known and progress[DECREMENT] < 1e-11 * abs(progress[LOSS]) else 1.0
            for i in range(point.size):
                point[i] = vectors[0, i]
            return True
        for i in range(point.size):
            point[i] = vectors[0, i] + progress[SIZE] * vectors[2, i]
        return False
    if progress[LOSS] < np.inf:
        at = int(progress[STORED]) % HISTORY
        step, change = vectors[4 + at], vectors[4 + HISTORY + at]
        for i in range(point.size):
            step[i] = point[i] - vectors[0, i]
            change[i] = gradient[i] - vectors[1, i]
        bent = _inner(step, change)
        if bent > 1e-6 * progress[SIZE] * progress[DECREMENT]:
            progress[_KEPT + at] = bent
            progress[STORED] += 1.0
    factors = split(point, metric.inverses.shape[1], x_root.shape[0])
    sound = set_metric(curvature, mass, factors, metric)
    if not sound and progress[ROUNDS] < max_rounds and balance(factors.left, factors.right, x_root):
        # The same Theta from sounder factors; what was known of the curvature is lost with the old ones.
        progress[ROUNDS] += 1.0
        progress[LOSS], progress[DECREMENT], progress[SIZE], progress[STORED] = np.inf, 0.0, 1.0, 0.0
        return False
    before, shrunk, size = progress[DECREMENT], progress[SHRUNK], progress[SIZE]
    progress[LOSS], progress[SIZE] = loss, 1.0
    decrement = _set_direction(search, factors, metric)
    if not decrement > 0.0:
        progress[STORED] = 0.0
        decrement = _set_direction(search, factors, metric)
    progress[DECREMENT] = decrement
    progress[SHRUNK] = decrement / before if size == 1.0 and before > 0.0 else 1.0
    # Where it took long to come here, what a round gains is a small part of what there is to gain.
    if 0.5 * decrement * max(0.05 * progress[ROUNDS], 1.0) <= tolerance:
        progress[STATUS] = 0.0
        return True
    if progress[ROUNDS] >= max_rounds:
        progress[STATUS] = 2.0
        return True
    progress[ROUNDS] += 1.0
    for i in range(point.size):
        vectors[0, i], vectors[1, i] = point[i], gradient[i]
        point[i] += vectors[2, i]
    shrunk = max(shrunk, progress[SHRUNK])
    if shrunk < 0.25 and 0.5 * decrement * shrunk <= 0.3 * tolerance:
        progress[LOSS] -= 0.5 * decrement
        progress[STATUS] = 0.0
        return True
    return False
