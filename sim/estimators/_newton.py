"""Compiled pieces of Newton's method on weighted logistic losses, features as rows (d, n)."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.jit import FAST, FAST_PARALLEL, INNER, exp, log1p_unit

# Columns a pass works on at once: d x 504 doubles stay in the first cache, and 504 * 8 bytes is no multiple
# of 4,096, where all rows would fall into the same cache sets (3.7 times slower).
TILE = 504
# Below this Newton decrement it is worth asking whether the next pass is needed at all.
_NEARLY_THERE = 1e-3
# What Newton's method keeps from pass to pass: the objective, the Newton decrement g' H^-1 g, the step size,
# the largest gradient entry, the largest diagonal entry of the Hessian, steps made, status.
LOSS, DECREMENT, SIZE, LARGEST, DIAGONAL, STEPS, STATUS = range(7)


# Rows are cut to the tile before a loop: an index `lo + c` might be negative for all numba knows, and the
# wrap-around test it then inserts stops vectorisation (3.5 times slower).


@njit(**INNER)
def margins(features, lo, hi, theta, out):
    """out[c] = sum_j theta[j] features[j, lo + c]."""
    m = hi - lo
    t, x = theta[0], features[0, lo:hi]
    for c in range(m):
        out[c] = t * x[c]
    for j in range(1, theta.size):
        t, x = theta[j], features[j, lo:hi]
        for c in range(m):
            out[c] += t * x[c]


@njit(**INNER)
def add_gradient(features, lo, hi, slope, gradient):
    """gradient[j] += sum_c slope[c] features[j, lo + c]."""
    for j in range(features.shape[0]):
        total, x = 0.0, features[j, lo:hi]
        for c in range(hi - lo):
            total += slope[c] * x[c]
        gradient[j] += total


@njit(**INNER)
def add_hessian(features, lo, hi, curvature, scaled, hessian):
    """hessian[j, k] += sum_c curvature[c] features[j, c] features[k, c], k <= j.  scaled: scratch (2, >= m).

    Two rows against two at a time: each load serves two products.
    """
    d, m = features.shape[0], hi - lo
    s0, s1 = scaled[0], scaled[1]
    for j in range(0, d - 1, 2):
        y0, y1 = features[j, lo:hi], features[j + 1, lo:hi]
        for c in range(m):
            s0[c] = curvature[c] * y0[c]
            s1[c] = curvature[c] * y1[c]
        for k in range(0, j + 1, 2):
            x0, x1 = features[k, lo:hi], features[k + 1, lo:hi]
            h00, h01, h10, h11 = 0.0, 0.0, 0.0, 0.0
            for c in range(m):
                h00 += s0[c] * x0[c]
                h01 += s0[c] * x1[c]
                h10 += s1[c] * x0[c]
                h11 += s1[c] * x1[c]
            hessian[j, k] += h00
            hessian[j + 1, k] += h10
            hessian[j + 1, k + 1] += h11
            if k < j:
                hessian[j, k + 1] += h01
    if d % 2 == 1:
        j = d - 1
        y0 = features[j, lo:hi]
        for c in range(m):
            s0[c] = curvature[c] * y0[c]
        for k in range(d):
            total, x0 = 0.0, features[k, lo:hi]
            for c in range(m):
                total += s0[c] * x0[c]
            hessian[j, k] += total


@njit(**INNER)
def solve_in_place(hessian, right):
    """Solve H x = b by Cholesky of the lower triangle, overwriting both; False if H is not positive."""
    d = right.size
    for j in range(d):
        pivot = hessian[j, j]
        for k in range(j):
            pivot -= hessian[j, k] * hessian[j, k]
        if not pivot > 0.0:
            return False
        pivot = np.sqrt(pivot)
        hessian[j, j] = pivot
        for i in range(j + 1, d):
            total = hessian[i, j]
            for k in range(j):
                total -= hessian[i, k] * hessian[j, k]
            hessian[i, j] = total / pivot
    for j in range(d):
        total = right[j]
        for k in range(j):
            total -= hessian[j, k] * right[k]
        right[j] = total / hessian[j, j]
    for j in range(d - 1, -1, -1):
        total = right[j]
        for k in range(j + 1, d):
            total -= hessian[k, j] * right[k]
        right[j] = total / hessian[j, j]
    return True


@njit(**INNER)
def _tile_pass(features, weight, lo, hi, theta, scratch, gradient, hessian):
    """Add one tile's gradient and Hessian of -sum w log sigma(z); returns its loss. scratch: (5, TILE)."""
    m = hi - lo
    z, slope, curvature, own = scratch[0], scratch[1], scratch[2], weight[lo:hi]
    margins(features, lo, hi, theta, z)
    loss = 0.0
    for c in range(m):
        e = exp(-abs(z[c]))
        s = 1.0 / (1.0 + e)
        wrong = e * s if z[c] >= 0.0 else s
        w = own[c]
        loss += w * (log1p_unit(e) + 0.5 * (abs(z[c]) - z[c]))
        slope[c] = -w * wrong
        curvature[c] = w * e * s * s
    add_gradient(features, lo, hi, slope, gradient)
    add_hessian(features, lo, hi, curvature, scratch[3:5], hessian)
    return loss


@njit(**INNER)
def _serial_pass(features, weight, n, theta, scratch, gradient, hessian):
    gradient[:] = 0.0
    hessian[:] = 0.0
    loss = 0.0
    for lo in range(0, n, TILE):
        loss += _tile_pass(features, weight, lo, min(lo + TILE, n), theta, scratch, gradient, hessian)
    return loss


@njit(**INNER)
def start():
    """`progress` before the first pass."""
    progress = np.zeros(7)
    progress[LOSS], progress[LARGEST], progress[SIZE] = np.inf, np.inf, 1.0
    return progress


@njit(**FAST_PARALLEL)
def _parallel_pass(features, weight, n, theta, gradient, hessian):
    """As the serial pass, over 16 fixed chunks summed in order: the same bits for any number of threads."""
    d, chunks = theta.size, 16
    tiles = (n + TILE - 1) // TILE
    part_g, part_h, part_l = np.zeros((chunks, d)), np.zeros((chunks, d, d)), np.zeros(chunks)
    for chunk in prange(chunks):
        scratch = np.empty((5, TILE))
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            lo = tile * TILE
            part_l[chunk] += _tile_pass(
                features, weight, lo, min(lo + TILE, n), theta, scratch, part_g[chunk], part_h[chunk]
            )
    gradient[:] = 0.0
    hessian[:] = 0.0
    loss = 0.0
    for chunk in range(chunks):
        loss += part_l[chunk]
        gradient += part_g[chunk]
        hessian += part_h[chunk]
    return loss


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


@njit(**FAST)
def _advance(proposed, ridge, tolerance, max_steps, theta, gradient, hessian, step, progress):
    """Judge the pass just made at theta (its loss, gradient, Hessian, all without ridge) and move theta on.

    A step's loss comes with the next pass, so the line search (Armijo, halving) costs nothing unless a step
    fails.  progress: see below, kept from pass to pass.  True when done.
    """
    d = theta.size
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
        hessian[j, j] += ridge
        largest = max(largest, abs(gradient[j]))
        diagonal = max(diagonal, hessian[j, j])
        step[j] = gradient[j]
    progress[LOSS], progress[LARGEST], progress[SIZE], progress[DIAGONAL] = proposed, largest, 1.0, diagonal
    if largest <= tolerance:
        progress[STATUS] = 0.0
        return True
    if progress[STEPS] >= max_steps:
        progress[STATUS] = 2.0
        return True
    if not solve_in_place(hessian, step):
        progress[STATUS] = 1.0
        return True
    for j in range(d):
        decrement += gradient[j] * step[j]
        theta[j] -= step[j]
    progress[DECREMENT] = decrement
    progress[STEPS] += 1.0
    return False


@njit(**FAST)
def newton(features, weight, n, ridge, tolerance, max_steps, theta):
    """Minimise -sum w log sigma(<theta, x>) + 0.5 ridge |theta|^2 from theta, in place.

    A last pass that would only confirm the gradient is spared: with delta the largest change of any margin,
    the curvature changes by at most a factor e^delta, so the next gradient is below
    (e^delta - 1) sqrt(H_jj) lambda, where lambda^2 = g' H^-1 g.
    Returns (steps, largest gradient entry, status): 0 converged, 1 stalled, 2 step limit.
    """
    d = theta.size
    scratch, gradient, hessian = np.empty((5, TILE)), np.empty(d), np.empty((d, d))
    step, progress = np.zeros(d), start()
    while True:
        loss = _serial_pass(features, weight, n, theta, scratch, gradient, hessian)
        if _advance(loss, ridge, tolerance, max_steps, theta, gradient, hessian, step, progress):
            break
        if progress[SIZE] == 1.0 and progress[DECREMENT] < _NEARLY_THERE:
            delta = _length_of_margins(features, n, step, scratch[0])
            # e^delta - 1 < 1.3 delta below one half
            remaining = 1.3 * delta * np.sqrt(progress[DIAGONAL] * progress[DECREMENT])
            if delta < 0.5 and remaining <= tolerance:
                progress[LARGEST], progress[STATUS] = remaining, 0.0
                break
    return np.int64(progress[STEPS]), progress[LARGEST], np.int64(progress[STATUS])


def newton_shared(features, weight, n, ridge, tolerance, max_steps, theta):
    """`newton` for one large problem, each pass shared between threads (a parallel kernel is called from
    Python only, see `sim.jit`)."""
    d = theta.size
    gradient, hessian, step, progress = np.empty(d), np.empty((d, d)), np.zeros(d), start.py_func()
    while True:
        loss = _parallel_pass(features, weight, n, theta, gradient, hessian)
        if _advance(loss, ridge, tolerance, max_steps, theta, gradient, hessian, step, progress):
            return int(progress[STEPS]), progress[LARGEST], int(progress[STATUS])


@njit(**FAST_PARALLEL)
def newton_batch(differences, weight, ridge, tolerance, max_steps, theta, steps, largest, status, separable):
    """`newton` for each replicate; differences (B, n, d), weight (B or 1, n)."""
    replicates, n, d = differences.shape
    # A row of exactly k * 4,096 bytes would put all rows into the same cache sets.
    padded = n + 8 if n % 512 == 0 else n
    for b in prange(replicates):
        features = np.empty((d, padded))
        own_differences = differences[b]
        for j in range(d):
            row, column = features[j], own_differences[:, j]
            for i in range(n):
                row[i] = column[i]
        own = weight[np.int64(b) % weight.shape[0]]
        result = newton(features, own, n, ridge[b], tolerance[b], max_steps, theta[b])
        steps[b], largest[b], status[b] = result
        separable[b] = _all_right(features, own, n, theta[b])
