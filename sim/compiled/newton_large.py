"""Newton's method on one large weighted logistic loss: passes shared between threads, begun on a part."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER
from sim.compiled.newton import (
    DECREMENT,
    LARGEST,
    SIZE,
    STATUS,
    STEPS,
    advance,
    begin,
    slopes,
    slopes_unweighted,
    tile_pass,
)
from sim.compiled.structs import Derivatives, Limits
from sim.compiled.tiles import TILE, add_gradient_of_rows, margins_of_rows, take_rows
from sim.preferences import FloatArray

# A large fit begins on each so manieth tile, if these hold so many answers a feature.
_PART, _ENOUGH = 16, 50
# As near to their optimum, in the gradient an answer, as they are to that of all.
_ROUGHLY = 1e-4
# Below this Newton decrement an answer, a step changes margins by a tenth or less: the Hessian may be kept.
_NEAR = 2e-3


@njit(**INNER)
def _rows_pass(x, weight, unweighted, theta, scratch, gradient):
    """The same without the Hessian, of answers x (m, d) as they come."""
    z, slope, curvature = scratch[0, : weight.size], scratch[1, : weight.size], scratch[2, : weight.size]
    margins_of_rows(x, theta, z)
    loss = slopes_unweighted(z, slope, curvature) if unweighted else slopes(z, weight, slope, curvature)
    add_gradient_of_rows(x, slope, gradient)
    return loss


@njit(**FAST_PARALLEL)
def _parallel_pass(differences, weight, unweighted, every, theta, at_origin, curved, gradient, hessian):
    """As the serial pass over each `every`-th tile of differences (n, d) as they come, in 16 fixed chunks summed in
    order: the same bits for any number of threads.  The Hessian is left alone where it is not asked for (curved)."""
    d, n, chunks = theta.size, differences.shape[0], 16
    tiles = (n + TILE - 1) // TILE
    part_g, part_h, part_l = np.zeros((chunks, d)), np.zeros((chunks, d, d)), np.zeros(chunks)
    for chunk in prange(chunks):
        scratch, rows = np.empty((7, TILE)), np.zeros((d, TILE))
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            lo, own = tile * TILE, Derivatives(part_g[chunk], part_h[chunk])
            hi = min(lo + TILE, n)
            if tile % every != 0:
                continue
            if curved:
                take_rows(differences, lo, hi, rows)
                part_l[chunk] += tile_pass(rows, weight[lo:hi], unweighted, 0, hi - lo, theta, at_origin, scratch, own)
            else:
                part_l[chunk] += _rows_pass(differences[lo:hi], weight[lo:hi], unweighted, theta, scratch, own.gradient)
    gradient[:] = 0.0
    loss = 0.0
    for chunk in range(chunks):
        loss += part_l[chunk]
        gradient += part_g[chunk]
    if curved:
        hessian[:] = 0.0
        for chunk in range(chunks):
            hessian += part_h[chunk]
    return loss


def newton_shared(
    differences: FloatArray,
    weight: FloatArray,
    unweighted: bool,
    limits: Limits,
    theta: FloatArray,
) -> tuple[int, float, int]:
    """`newton` for one large problem, differences (n, d) as they come; each pass is shared between threads (a parallel
    kernel is called from Python only, see `sim.compiled.jit`).

    It begins at the optimum of each sixteenth tile, which costs half a pass over all, and with the Hessian there. A
    Hessian is kept, and passes make the gradient alone, as long as they bring it down five times each: several such
    passes take less than one that makes another. Steps on the tiles are not counted.
    """
    d, tiles, mass = theta.size, -(-len(differences) // TILE), float(weight.sum())
    data, state = (differences, weight, unweighted), (np.empty(d), np.empty((d, d)), np.zeros(d))
    own = 0.0
    if tiles * TILE >= _PART * _ENOUGH * d:
        own = sum(float(weight[tile * TILE : (tile + 1) * TILE].sum()) for tile in range(0, tiles, _PART))
    at_origin, factored = True, False
    if own > 0.0:
        part = Limits(own / mass * limits.ridge, _ROUGHLY * own, limits.max_rounds)
        *_, factored = _shared_from(data, _PART, part, theta, own, state, True, False)
        at_origin = False
        state[1][:] *= np.sqrt(mass / own)
    steps, largest, status, _ = _shared_from(data, 1, limits, theta, mass, state, at_origin, factored)
    return steps, largest, status


def _shared_from(
    data: tuple[FloatArray, FloatArray, bool],
    every: int,
    limits: Limits,
    theta: FloatArray,
    mass: float,
    state: tuple[FloatArray, FloatArray, FloatArray],
    at_origin: bool,
    factored: bool,
) -> tuple[int, float, int, bool]:
    """Newton's method on each `every`-th tile, from theta.  factored: the state's Hessian is the Cholesky factor of one
    near enough; returned as the last, after (steps, largest, status)."""
    gradient, hessian, step = state
    progress = np.empty(7)
    begin.py_func(progress)
    while True:
        before, curved = progress[LARGEST], not factored
        loss = _parallel_pass(*data, every, theta, at_origin, curved, gradient, hessian)
        at_origin = False
        if advance(loss, limits, theta, gradient, hessian, curved, step, progress):
            return int(progress[STEPS]), progress[LARGEST], int(progress[STATUS]), factored
        near = progress[DECREMENT] <= _NEAR * mass if curved else progress[LARGEST] <= 0.2 * before
        factored = progress[SIZE] == 1.0 and near
