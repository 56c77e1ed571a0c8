"""Bradley-Terry maximum likelihood with a ridge: one large fit, or thousands of small ones at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from sim.arguments import (
    float_array,
    require_count,
    require_finite,
    require_not_negative,
    require_positive,
    weight_array,
)
from sim.compiled import newton
from sim.compiled.newton_large import ENOUGH, PART, Blocks, Goal, newton_large, over, over_blocks
from sim.compiled.structs import BatchLimits, Limits
from sim.compiled.tiles import padded, row_length
from sim.preferences import BoolArray, FloatArray, IntArray

# From this many numbers on, one fit is shared between threads.
_PARALLEL_FROM = 1 << 18
# Rows that are looked at together.
_ROWS = 1 << 14
# Rows of a replicate in which an entry of 1 is looked for first.
_FEW = 4


class FitStatus(IntEnum):
    """How a fit ended."""

    CONVERGED = 0
    STALLED = 1
    MAX_STEPS = 2

    @property
    def message(self) -> str:
        """What happened and what to do."""
        return {
            FitStatus.CONVERGED: "the gradient is below its tolerance",
            FitStatus.STALLED: "no step improved the objective; raise the ridge or scale the features",
            FitStatus.MAX_STEPS: "the step limit was reached first; raise max_steps or the ridge",
        }[self]


@dataclass(frozen=True, eq=False)
class BradleyTerryFit:
    """theta (d,), Newton steps, largest gradient entry, status; separable: every answer is on the right side.

    steps: of a large fit those on all answers; it begins on a sixteenth of them.  With separable data the likelihood
    has no maximum and theta's length is decided by the ridge alone.
    """

    theta: FloatArray
    steps: int
    gradient_norm: float
    status: FitStatus
    separable: bool


@dataclass(frozen=True, eq=False)
class BradleyTerryBatch:
    """The same for B replicates: theta (B, d), steps, gradient_norm, status, separable (B,)."""

    theta: FloatArray
    steps: IntArray
    gradient_norm: FloatArray
    status: IntArray
    separable: BoolArray


def unit_scale(differences: FloatArray) -> float:
    """The power of two, at least 1, that brings the largest entry to at least 1; 1 where all are zero.

    Tolerances on gradients are in features' units: of features in units of 1e-8 the gradient at zero would pass.  A
    power of two changes no digit.
    """
    largest = max(float(differences.max(initial=0.0)), -float(differences.min(initial=0.0)))
    return 1.0 if largest >= 1.0 or largest < 1e-150 else float(2.0 ** -np.floor(np.log2(largest)))


def unit_scales(differences: FloatArray) -> FloatArray:
    """`unit_scale` of each replicate (B, ...); (B,).  Read as far as an entry of 1, which of most is in a few rows."""
    scales = np.ones(len(differences))
    few = np.abs(differences[:, :_FEW]) >= 1.0
    for b in np.flatnonzero(~few.reshape(len(few), -1).any(axis=1)):
        scales[b] = unit_scale(differences[b])
    return scales


def as_rows(differences: FloatArray) -> FloatArray:
    """(n, d) -> rows of features as `sim.compiled.tiles` wants them."""
    n, d = differences.shape
    rows = np.zeros((padded(d), row_length(n)))
    rows[:d, :n] = differences.T
    return rows


def fit_bradley_terry(
    differences: FloatArray,
    weights: FloatArray | None = None,
    *,
    ridge: float = 1e-3,
    mass_scaled: bool = False,
    tolerance: float = 1e-8,
    max_steps: int = 50,
) -> BradleyTerryFit:
    """Minimise -sum_j w_j log sigma(<theta, d_j>) + 0.5 lambda ||theta||^2 by Newton with Armijo halving.

    differences: (n, d), features of the chosen minus those of the rejected.  lambda = ridge, times sum w if
    `mass_scaled`.  Stops when the gradient's largest entry is at most tolerance * sum w, features in units of their
    largest entry where that is below 1.
    """
    differences = _checked(differences, ("n", "d"))
    _require_limits(ridge, tolerance, max_steps)
    tolerance = tolerance / unit_scale(differences)
    n, d = differences.shape
    own = _writable(weight_array("weights", weights, n))
    mass = float(own.sum())
    theta = np.zeros(padded(d))
    if mass == 0.0:
        return BradleyTerryFit(theta[:d], 0, 0.0, FitStatus.CONVERGED, False)
    if n * d >= _PARALLEL_FROM:
        part = over(differences, own, weights is None, PART) if n >= PART * ENOUGH * d else None
        goal = Goal(ridge, mass_scaled, tolerance, max_steps)
        steps, largest, status, _ = newton_large(over(differences, own, weights is None), part, goal, theta)
    else:
        limits = Limits(_penalty(ridge, mass_scaled, mass), float(tolerance * mass), max_steps)
        steps, largest, status = newton.newton(as_rows(differences), own, weights is None, n, limits, theta)
    theta = theta[:d]
    return BradleyTerryFit(theta, int(steps), float(largest), FitStatus(status), _all_right(differences, own, theta))


def fit_bradley_terry_blocks(
    blocks: Blocks,
    *,
    ridge: float = 1e-3,
    mass_scaled: bool = False,
    tolerance: float = 1e-8,
    max_steps: int = 50,
) -> BradleyTerryFit:
    """`fit_bradley_terry` on more answers than memory holds; each block is asked for four to eight times.

    blocks: anything with a length and items by number, each (n_b, d), the same when it is asked for again; made, or
    read, as it is asked for, one at a time (`sim.populations.feature_pairs.PairBlocks`, row groups of a file).
    """
    _require_limits(ridge, tolerance, max_steps)
    if not len(blocks):
        raise ValueError("blocks must not be empty")
    first = float_array("block 0", blocks[0], ("n", "d"))
    (n, d), tolerance = first.shape, tolerance / unit_scale(first)
    del first
    if d == 0:
        raise ValueError("block 0 must have a feature (got none)")
    theta = np.zeros(padded(d))
    part = over_blocks(blocks, d, PART) if len(blocks) >= PART and n * len(blocks) >= PART * ENOUGH * d else None
    goal = Goal(ridge, mass_scaled, tolerance, max_steps)
    steps, largest, status, mass = newton_large(over_blocks(blocks, d), part, goal, theta)
    if mass == 0.0:
        raise ValueError("blocks must hold an answer (got none)")
    theta = theta[:d]
    in_turn = (np.asarray(blocks[place]) for place in range(len(blocks)))
    separable = all(_all_right(block, np.ones(len(block)), theta) for block in in_turn)
    return BradleyTerryFit(theta, steps, float(largest), FitStatus(status), separable)


def _all_right(differences: FloatArray, weights: FloatArray, theta: FloatArray) -> bool:
    """Whether every weighted answer has a positive margin; one part after the other, to the first that has not."""
    return all(
        bool(((differences[lo : lo + _ROWS] @ theta > 0) | (weights[lo : lo + _ROWS] == 0)).all())
        for lo in range(0, len(weights), _ROWS)
    )


def fit_bradley_terry_batch(
    differences: FloatArray,
    weights: FloatArray | None = None,
    *,
    ridge: float = 1e-3,
    mass_scaled: bool = False,
    tolerance: float = 1e-8,
    max_steps: int = 50,
) -> BradleyTerryBatch:
    """`fit_bradley_terry` on B replicates at once, parallel over replicates.

    differences: (B, n, d).  weights: (B, n), (n,) or None.
    """
    differences = _checked(differences, ("B", "n", "d"), finite=False)
    _require_limits(ridge, tolerance, max_steps)
    B, n, d = differences.shape
    if weights is None or np.ndim(weights) == 1:
        own = _writable(weight_array("weights", weights, n))[None]
    else:
        own = _writable(float_array("weights", weights, (B, n)))
        if own.size and own.min() < 0:
            raise ValueError(f"weights must not be negative (got {own.min()})")
    mass = np.broadcast_to(own.sum(axis=1), (B,))
    penalty = np.array([_penalty(ridge, mass_scaled, float(m)) for m in mass])
    theta, largest, counts = np.zeros((B, padded(d))), np.empty(B), np.empty((3, B), np.int64)
    limits = BatchLimits(penalty, tolerance * mass / unit_scales(differences), max_steps)
    newton.newton_batch(differences, row_length(n), own, weights is None, limits, theta, largest, counts)
    if np.isnan(largest).any():
        # The kernel looks at each number as it takes it; a second look says which it was.
        require_finite(differences=differences)
    return BradleyTerryBatch(theta[:, :d], counts[0], largest, counts[1], counts[2] == 1)


def _writable(values: FloatArray) -> FloatArray:
    """Contiguous float64, a copy only where it must be: a read-only array would be one more signature."""
    return np.require(values, np.float64, ["C", "W"])


def _checked(differences: FloatArray, shape: tuple[str, ...], finite: bool = True) -> FloatArray:
    differences = _writable(float_array("differences", differences, shape, finite=finite))
    if 0 in differences.shape[-2:]:
        raise ValueError(f"differences must not be empty (got {differences.shape})")
    return differences


def _require_limits(ridge: float, tolerance: float, max_steps: int) -> None:
    # The ridge keeps the fit finite on separable answers.
    require_positive(ridge=ridge)
    require_not_negative(tolerance=tolerance)
    require_count("max_steps", max_steps, 0)


def _penalty(ridge: float, mass_scaled: bool, mass: float) -> float:
    return float(ridge * mass if mass_scaled else ridge)


def is_separable(differences: FloatArray) -> bool:
    """Whether some theta puts every answer strictly on the right side (an LP, certain up to its tolerance).

    max t  s.t.  <theta, d_j> >= t,  |theta_i| <= 1,  solved by HiGHS.
    """
    from scipy.optimize import linprog

    differences = _checked(differences, ("n", "d"))
    n, d = differences.shape
    solved = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.concatenate([-differences, np.ones((n, 1))], axis=1),
        b_ub=np.zeros(n),
        bounds=[(-1.0, 1.0)] * d + [(None, 1.0)],
    )
    return bool(solved.success and -solved.fun > 1e-9)
