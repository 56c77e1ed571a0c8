"""Newton's method on one large weighted logistic loss: passes shared between threads, begun on a part."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numba import njit, prange

from sim.arguments import float_array
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
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
from sim.compiled.tiles import TILE, add_gradient_of_answers, margins_of_answers, take_rows
from sim.preferences import FloatArray

# A large fit begins on each so manieth tile or block, if these hold so many answers a feature.
PART, ENOUGH = 16, 50
# As near to their optimum, in the gradient an answer, as they are to that of all.
_ROUGHLY = 1e-4
# Below this Newton decrement an answer, a step changes margins by a tenth or less: the Hessian may be kept.
_NEAR = 2e-3


@njit(**INNER)
def _slope_pass(x, weight, unweighted, theta, scratch, gradient):
    """`tile_pass` without the Hessian, of answers x (m, d) as they come."""
    z, slope, curvature = scratch[0, : weight.size], scratch[1, : weight.size], scratch[2, : weight.size]
    margins_of_answers(x, theta, z)
    loss = slopes_unweighted(z, slope, curvature) if unweighted else slopes(z, weight, slope, curvature)
    add_gradient_of_answers(x, slope, gradient)
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
                x = differences[lo:hi]
                part_l[chunk] += _slope_pass(x, weight[lo:hi], unweighted, theta, scratch, own.gradient)
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


class Blocks(Protocol):
    """Answers by blocks (n_b, d), the same when asked for again; a list, or what makes or reads one as it is asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> FloatArray: ...


class Sweep(Protocol):
    """A pass over answers: adds up the gradient, and where `curved` the Hessian, of -sum w log sigma(<theta, x>);
    returns (loss, sum of weights).  at_origin: theta is zero."""

    def __call__(
        self, theta: FloatArray, at_origin: bool, curved: bool, gradient: FloatArray, hessian: FloatArray
    ) -> tuple[float, float]: ...


@dataclass(frozen=True)
class Goal:
    """Where a fit ends: ridge (a part of the sum of weights where `mass_scaled`); tolerance, of the gradient an
    answer."""

    ridge: float
    mass_scaled: bool
    tolerance: float
    max_steps: int


def over(differences: FloatArray, weight: FloatArray, unweighted: bool, every: int = 1) -> Sweep:
    """Each `every`-th tile of differences (n, d)."""
    tiles = range(0, -(-len(differences) // TILE), every)
    mass = float(weight.sum()) if every == 1 else sum(float(weight[t * TILE : (t + 1) * TILE].sum()) for t in tiles)

    def sweep(
        theta: FloatArray, at_origin: bool, curved: bool, gradient: FloatArray, hessian: FloatArray
    ) -> tuple[float, float]:
        loss = _parallel_pass(differences, weight, unweighted, every, theta, at_origin, curved, gradient, hessian)
        return float(loss), mass

    return sweep


def over_blocks(blocks: Blocks, d: int, every: int = 1) -> Sweep:
    """Each `every`-th block of answers (n_b, d); one is done with before the next is asked for."""

    def sweep(
        theta: FloatArray, at_origin: bool, curved: bool, gradient: FloatArray, hessian: FloatArray
    ) -> tuple[float, float]:
        own_gradient, own_hessian, total, mass = np.empty_like(gradient), np.empty_like(hessian), 0.0, 0.0
        gradient[:] = 0.0
        if curved:
            hessian[:] = 0.0
        for place in range(0, len(blocks), every):
            block = np.require(float_array(f"block {place}", blocks[place], ("n", d)), np.float64, ["C", "W"])
            total += _parallel_pass(
                block, np.ones(len(block)), True, 1, theta, at_origin, curved, own_gradient, own_hessian
            )
            gradient += own_gradient
            if curved:
                hessian += own_hessian
            mass += len(block)
        return total, mass

    return sweep


@njit(**FAST)
def _judge(proposed, limits, theta, gradient, hessian, curved, step, progress):
    """`advance`, called from Python."""
    return advance(proposed, limits, theta, gradient, hessian, curved, step, progress)


def newton_large(whole: Sweep, part: Sweep | None, goal: Goal, theta: FloatArray) -> tuple[int, float, int, float]:
    """`newton` for one large problem, in place; (steps, largest gradient entry, status, sum of weights).

    It begins at the optimum of a part of the answers (None: at the origin), and with the Hessian there. A Hessian is
    kept, and passes make the gradient alone, as long as they bring it down five times each: several such passes take
    less than one that makes another. Steps on the part are not counted.
    """
    state = np.empty(theta.size), np.empty((theta.size, theta.size)), np.zeros(theta.size)
    at_origin, factored, begun = True, False, 0.0
    if part is not None:
        roughly = replace(goal, tolerance=_ROUGHLY)
        if not goal.mass_scaled:
            roughly = replace(roughly, ridge=goal.ridge / PART)
        *_, begun, factored = _from_here(part, roughly, theta, state, at_origin, 0.0)
        at_origin = False
    steps, largest, status, mass, _ = _from_here(whole, goal, theta, state, at_origin, begun if factored else 0.0)
    return steps, largest, status, mass


def _from_here(
    sweep: Sweep,
    goal: Goal,
    theta: FloatArray,
    state: tuple[FloatArray, FloatArray, FloatArray],
    at_origin: bool,
    factored_of: float,
) -> tuple[int, float, int, float, bool]:
    """Newton's method from theta.  factored_of: the state's Hessian is the Cholesky factor of one near enough, of so
    many answers (0: it is not).  Returns steps, largest, status, sum of weights, and whether it is one then."""
    gradient, hessian, step = state
    progress, factored, limits = np.empty(7), factored_of > 0.0, None
    # Whether the step that is judged comes of a Hessian made where it began: another would be the same again.
    own_hessian = not factored
    begin.py_func(progress)
    while True:
        before, curved = progress[LARGEST], not factored
        loss, mass = sweep(theta, at_origin, curved, gradient, hessian)
        at_origin = False
        if limits is None:
            ridge = goal.ridge * mass if goal.mass_scaled else goal.ridge
            limits = Limits(float(ridge), float(goal.tolerance * mass), goal.max_steps)
            if factored:
                hessian *= np.sqrt(mass / factored_of)
        if _judge(loss, limits, theta, gradient, hessian, curved, step, progress):
            return int(progress[STEPS]), progress[LARGEST], int(progress[STATUS]), mass, factored
        if progress[SIZE] == 1.0:
            own_hessian = curved
        elif not own_hessian:
            # The Hessian that was kept led astray, however short the step (a feature that the part never shows has
            # the ridge alone there): back to where it was taken, and a Hessian made there.
            theta += progress[SIZE] * step
            steps = progress[STEPS]
            begin.py_func(progress)
            progress[STEPS] = steps - 1.0
            own_hessian = True
        near = progress[DECREMENT] <= _NEAR * mass if curved else progress[LARGEST] <= 0.2 * before
        factored = progress[SIZE] == 1.0 and near
