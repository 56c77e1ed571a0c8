"""Compiled pieces of Newton's method on weighted logistic losses, features as rows (d, n)."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.cholesky import factor_in_place, solve_factored
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER, faint_exp, log1p_unit
from sim.compiled.structs import Derivatives, Limits
from sim.compiled.tiles import (
    TILE,
    add_gradient,
    add_hessian,
    margins,
    take_rows,
)

_LOG2 = 0.6931471805599453
# What Newton's method keeps from pass to pass: the objective, the Newton decrement g' H^-1 g, the step size,
# the largest gradient entry, the largest diagonal entry of the Hessian, steps made, status.
LOSS, DECREMENT, SIZE, LARGEST, DIAGONAL, STEPS, STATUS = range(7)


@njit(**INNER)
def slopes(z, weight, slope, curvature):
    """First and second derivatives of -w log sigma(z) by z; returns the sum of the losses."""
    loss = 0.0
    for c in range(weight.size):
        curvature[c] = faint_exp(-abs(z[c]))
    for c in range(weight.size):
        loss += weight[c] * (log1p_unit(curvature[c]) + 0.5 * (abs(z[c]) - z[c]))
    for c in range(weight.size):
        e = curvature[c]
        s = 1.0 / (1.0 + e)
        wrong = e * s if z[c] >= 0.0 else s
        w = weight[c]
        slope[c] = -w * wrong
        curvature[c] = w * e * s * s
    return loss


@njit(**INNER)
def slopes_unweighted(z, slope, curvature):
    """The same for unit weights: one logarithm of a product of at most 504 factors, each in [1, 2], for all."""
    loss, product = 0.0, 1.0
    for c in range(slope.size):
        curvature[c] = faint_exp(-abs(z[c]))
    for c in range(slope.size):
        loss += 0.5 * (abs(z[c]) - z[c])
        product *= 1.0 + curvature[c]
    for c in range(slope.size):
        e = curvature[c]
        s = 1.0 / (1.0 + e)
        slope[c] = -(e * s if z[c] >= 0.0 else s)
        curvature[c] = e * s * s
    return loss + np.log(product)


@njit(**INNER)
def _slopes_at_origin(weight, slope, curvature):
    """The same where every margin is zero."""
    loss = 0.0
    for c in range(weight.size):
        loss += weight[c] * _LOG2
    for c in range(weight.size):
        w = weight[c]
        slope[c] = -0.5 * w
        curvature[c] = 0.25 * w
    return loss


@njit(**INNER)
def tile_pass(features, weight, unweighted, lo, hi, theta, at_origin, scratch, derivatives):
    """Add one tile's gradient and Hessian of -sum w log sigma(z); returns its loss. scratch: (7, TILE).

    unweighted: all weights are one.  at_origin: theta is zero, a third of the pass is spared.
    """
    m = hi - lo
    z, slope, curvature = scratch[0, :m], scratch[1, :m], scratch[2, :m]
    if at_origin:
        loss = _slopes_at_origin(weight[lo:hi], slope, curvature)
    else:
        margins(features, lo, hi, theta, z)
        own = weight[lo:hi]
        loss = slopes_unweighted(z, slope, curvature) if unweighted else slopes(z, own, slope, curvature)
    add_gradient(features, lo, hi, slope, derivatives.gradient)
    add_hessian(features, lo, hi, curvature, scratch[3:7], derivatives.hessian)
    return loss


@njit(**INNER)
def _serial_pass(features, weight, unweighted, n, theta, at_origin, scratch, gradient, hessian):
    gradient[:] = 0.0
    hessian[:] = 0.0
    derivatives, loss = Derivatives(gradient, hessian), 0.0
    for lo in range(0, n, TILE):
        hi = min(lo + TILE, n)
        loss += tile_pass(features, weight, unweighted, lo, hi, theta, at_origin, scratch, derivatives)
    return loss


@njit(**INNER)
def begin(progress):
    """`progress` before the first pass."""
    progress[:] = 0.0
    progress[LOSS], progress[LARGEST], progress[SIZE] = np.inf, np.inf, 1.0


@njit(**INNER)
def _length_of_margins(features, n, step, scratch):
    """(sum over answers of <step, x>^2)^(1/2), which is at least the largest of them (and, unlike a
    maximum, a loop that vectorises)."""
    total = 0.0
    for lo in range(0, n, TILE):
        hi = min(lo + TILE, n)
        margins(features, lo, hi, step, scratch)
        for c in range(hi - lo):
            total += scratch[c] * scratch[c]
    return np.sqrt(total)


@njit(**INNER)
def _all_right(features, weight, n, theta):
    """Whether every weighted answer has a positive margin; leaves at the first that has not."""
    for i in range(n):
        z = 0.0
        for j in range(theta.size):
            z += theta[j] * features[j, i]
        if weight[i] > 0.0 and not z > 0.0:
            return False
    return True


@njit(**INNER)
def advance(proposed, limits, theta, gradient, hessian, curved, step, progress):
    """Judge the pass just made at theta (its loss, gradient, Hessian, all without ridge) and move theta on.

    curved: the Hessian is of this pass, and its Cholesky factor takes its place; otherwise it is such a factor already,
    of a pass before.  A step's loss comes with the next pass, so the line search (Armijo, halving) costs nothing unless
    a step fails.  progress: see LOSS to STATUS, kept from pass to pass.  True when done.
    """
    d, ridge = theta.size, limits.ridge
    for j in range(d):
        proposed += 0.5 * ridge * theta[j] * theta[j]
    # The last term is the rounding of the loss: a gain below it cannot be seen, and is not asked for.
    gain = 1e-4 * progress[SIZE] * progress[DECREMENT] - 1e-12 * abs(proposed)
    if not proposed <= progress[LOSS] - gain:
        for j in range(d):
            theta[j] += 0.5 * progress[SIZE] * step[j]
        progress[SIZE] *= 0.5
        progress[STATUS] = 1.0
        return progress[SIZE] < 1e-12
    largest, decrement, diagonal = 0.0, 0.0, 0.0
    for j in range(d):
        gradient[j] += ridge * theta[j]
        largest = max(largest, abs(gradient[j]))
        step[j] = gradient[j]
    progress[LOSS], progress[LARGEST], progress[SIZE] = proposed, largest, 1.0
    if largest <= limits.tolerance:
        progress[STATUS] = 0.0
        return True
    if progress[STEPS] >= limits.max_rounds:
        progress[STATUS] = 2.0
        return True
    if curved:
        for j in range(d):
            hessian[j, j] += ridge
            diagonal = max(diagonal, hessian[j, j])
        progress[DIAGONAL] = diagonal
        if not factor_in_place(hessian):
            progress[STATUS] = 1.0
            return True
    solve_factored(hessian, step)
    for j in range(d):
        decrement += gradient[j] * step[j]
    for j in range(d):
        theta[j] -= step[j]
    progress[DECREMENT] = decrement
    progress[STEPS] += 1.0
    return False


@njit(**INNER)
def _lengthen(theta, loss, progress):
    """The first step, from zero, as long as it should be: by the factor c of c^2 = 1 / (1 - pi v / 8).

    The step solves least squares, 4 lambda^2 / sum w = v is the mean square of its margins, and for margins that are
    about normal the optimum lies in its direction at c times its length: least squares find 4 E s'(z) times it, and
    E s'(z) is about 1 / (4 (1 + pi c^2 v / 8)^(1/2)). Only a start: the line search judges it like any step.
    """
    v = 4.0 * _LOG2 * progress[DECREMENT] / loss  # the loss at zero is log 2 times the sum of the weights
    c = 1.0 / np.sqrt(max(1.0 - 0.39269908169872414 * v, 0.25))
    for j in range(theta.size):
        theta[j] *= c
    progress[SIZE] = c


@njit(**INNER)
def _work(d):
    """scratch, gradient, Hessian, step, progress of `_newton`, for one fit after the other."""
    return np.empty((7, TILE)), np.empty(d), np.empty((d, d)), np.empty(d), np.empty(7)


@njit(**INNER)
def _newton(features, weight, unweighted, n, limits, theta, work):
    """Minimise -sum w log sigma(<theta, x>) + 0.5 ridge |theta|^2 from theta = 0, in place.

    A last pass that would only confirm the gradient is spared: with delta the largest change of any margin,
    the curvature changes by at most a factor e^delta, so the next gradient is below
    (e^delta - 1) sqrt(H_jj) lambda, where lambda^2 = g' H^-1 g.
    Returns (steps, largest gradient entry, status): 0 converged, 1 stalled, 2 step limit.
    """
    scratch, gradient, hessian, step, progress = work
    step[:] = 0.0
    begin(progress)
    at_origin = True
    while True:
        loss = _serial_pass(features, weight, unweighted, n, theta, at_origin, scratch, gradient, hessian)
        if advance(loss, limits, theta, gradient, hessian, True, step, progress):
            break
        if at_origin:
            at_origin = False
            _lengthen(theta, loss, progress)
        # delta is lambda at least, up to the weights' scale: what follows is not computed in vain.
        if progress[SIZE] == 1.0 and progress[DECREMENT] * np.sqrt(progress[DIAGONAL]) <= limits.tolerance:
            delta = _length_of_margins(features, n, step, scratch[0])
            # e^delta - 1 < 1.3 delta below one half
            remaining = 1.3 * delta * np.sqrt(progress[DIAGONAL] * progress[DECREMENT])
            if delta < 0.5 and remaining <= limits.tolerance:
                progress[LARGEST], progress[STATUS] = remaining, 0.0
                break
    return np.int64(progress[STEPS]), progress[LARGEST], np.int64(progress[STATUS])


@njit(**FAST)
def newton(features, weight, unweighted, n, limits, theta):
    """One fit, see `_newton`."""
    return _newton(features, weight, unweighted, n, limits, theta, _work(theta.size))


@njit(**FAST_PARALLEL)
def newton_batch(differences, length, weight, unweighted, limits, theta, largest, counts):
    """`newton` for each replicate; differences (B, n, d), theta (B, d padded), weight (B or 1, n), length of the
    rows.  limits: `BatchLimits`.  counts (3, B): steps, status, separable."""
    replicates, n = differences.shape[:2]
    ridge, tolerance, max_steps, parts = limits.ridge, limits.tolerance, limits.max_rounds, min(replicates, 256)
    for part in prange(parts):
        features, work = np.zeros((theta.shape[1], length)), _work(theta.shape[1])
        for b in range(part * replicates // parts, (part + 1) * replicates // parts):
            largest[b] = take_rows(differences[b], 0, n, features)
            if largest[b] != 0.0:
                continue
            own = weight[np.int64(b) % weight.shape[0]]
            goal = Limits(ridge[b], tolerance[b], max_steps)
            result = _newton(features, own, unweighted, n, goal, theta[b], work)
            counts[0, b], largest[b], counts[1, b] = result
            counts[2, b] = _all_right(features, own, n, theta[b])
