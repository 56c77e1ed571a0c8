"""Hedge and optimistic Hedge for zero-sum matrix games, with certificates.

    min_w max_p p' R w,   w over columns (policies), p over rows (groups)

Exact values come from a linear program (HiGHS): Hedge is the object under test, never the oracle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, require_count, require_finite, require_positive
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class HedgeResult:
    """Averaged play and its certificate.

    weights (C,) and adversary (R,) average rounds 1..T.  upper = max_z (R w)_z >= value >= lower =
    min_k (R' p)_k; gap = upper - lower.  last_*: the last round's play.  trace_gap: the average's gap at
    `trace_rounds`.
    """

    weights: FloatArray
    adversary: FloatArray
    upper: float
    lower: float
    gap: float
    last_weights: FloatArray
    last_adversary: FloatArray
    last_gap: float
    rounds: int
    step: float
    trace_rounds: IntArray
    trace_gap: FloatArray


@dataclass(frozen=True, eq=False)
class HedgeBatch:
    """The same for B games: weights (B, C), adversary (B, R), gaps (B,), trace_gap (B, n_recorded)."""

    weights: FloatArray
    adversary: FloatArray
    gap: FloatArray
    last_weights: FloatArray
    last_adversary: FloatArray
    last_gap: FloatArray
    step: FloatArray
    trace_rounds: IntArray
    trace_gap: FloatArray


@dataclass(frozen=True, eq=False)
class GameValue:
    """The exact value, optimal weights (C,) and adversary (R,), and the solutions' own duality gap."""

    value: float
    weights: FloatArray
    adversary: FloatArray
    gap: float


def default_step(regret: FloatArray) -> FloatArray:
    """1 / (max R - min R), the largest step the bound admits; 1 for a constant game. (..., R, C) -> (...)."""
    require_finite(regret=regret)
    spread = regret.max(axis=(-2, -1)) - regret.min(axis=(-2, -1))
    return np.asarray(np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 1.0))


def _apart(regret: FloatArray) -> FloatArray:
    """The least entry where all are farther from zero than from each other, else 0; (..., R, C) -> (...).

    A number added to a game changes no play, and beside a large one sums over rounds lose the digits of the rest.
    """
    least, most = regret.min(axis=(-2, -1)), regret.max(axis=(-2, -1))
    return np.asarray(np.where(np.minimum(np.abs(least), np.abs(most)) > most - least, least, 0.0))


def hedge_bound(n_columns: int, n_rows: int, step: float, rounds: int) -> float:
    """(log C + log R) / (h T): bound on the averaged play's gap for equal steps h <= 1 / (max R - min R).

    Optimistic Hedge has the regret-by-variation inequality with alpha = log(d) / h, beta = h,
    gamma = 1 / (4 h) (Syrgkanis, Agarwal, Luo, Schapire 2015); for |R| <= A and h <= 1 / (2 A) the variation
    terms cancel. Adding a constant to R changes nothing, so A may be half the range. No log T: the paper's
    O(log K log T / T) holds with room to spare.
    """
    require_count("n_columns", n_columns)
    require_count("n_rows", n_rows)
    require_count("rounds", rounds)
    require_positive(step=step)
    return float((np.log(n_columns) + np.log(n_rows)) / (step * rounds))


def hedge(
    regret: FloatArray,
    rounds: int,
    *,
    step: float | None = None,
    step_rows: float | None = None,
    optimistic: bool = True,
    record: Sequence[int] = (),
) -> HedgeResult:
    """Play one game; see `hedge_batch`."""
    regret = float_array("regret", regret, ("rows", "columns"))
    batch = hedge_batch(
        regret[None],
        rounds,
        step=step,
        step_rows=step_rows,
        optimistic=optimistic,
        record=record,
    )
    w, p = batch.weights[0], batch.adversary[0]
    apart = float(_apart(regret))
    upper, lower = float(np.max((regret - apart) @ w)), float(np.min(p @ (regret - apart)))
    return HedgeResult(
        weights=w,
        adversary=p,
        upper=apart + upper,
        lower=apart + lower,
        gap=upper - lower,
        last_weights=batch.last_weights[0],
        last_adversary=batch.last_adversary[0],
        last_gap=float(batch.last_gap[0]),
        rounds=rounds,
        step=float(batch.step[0]),
        trace_rounds=batch.trace_rounds,
        trace_gap=batch.trace_gap[0],
    )


# Long for its docstring and the result's fields.
def hedge_batch(
    regrets: FloatArray,
    rounds: int,
    *,
    step: float | FloatArray | None = None,
    step_rows: float | FloatArray | None = None,
    optimistic: bool = True,
    record: Sequence[int] = (),
) -> HedgeBatch:
    """Optimistic Hedge (arXiv 2405.15065, Algorithm 2), or plain Hedge, on B games (B, R, C) at once.

        w_t proportional to w_{t-1} exp(-h (2 R'p_{t-1} - R'p_{t-2})),
        p_t proportional to p_{t-1} exp(+h (2 R w_{t-1} - R w_{t-2}))         simultaneously;

    round -1 equals round 0, both uniform; averages run over rounds 1..T.  step: h of the columns (default
    `default_step`), step_rows: h of the rows (default the same).  record: rounds whose average gap is kept.
    """
    from sim.compiled.hedge import LANES, Played, play_blocks

    regrets = np.ascontiguousarray(regrets, dtype=np.float64)
    if regrets.ndim != 3 or 0 in regrets.shape:
        raise ValueError(f"regrets must be (games, rows, columns), none empty (got {regrets.shape})")
    require_finite(regrets=regrets)
    require_count("rounds", rounds)
    B, R, C = regrets.shape
    regrets = regrets - _apart(regrets)[:, None, None]
    own = default_step(regrets) if step is None else _steps("step", step, B)
    other = own if step_rows is None else _steps("step_rows", step_rows, B)
    at = np.array(sorted(set(record)), dtype=np.int64)
    if at.size and (at[0] < 1 or at[-1] > rounds):
        raise ValueError(f"record must lie in 1..{rounds} (got {at.min()}..{at.max()})")
    lanes = min(LANES, B)
    blocks = -(-B // lanes)

    def in_lanes(values: FloatArray) -> FloatArray:
        """(B, ...) -> (blocks, ..., lanes); the last block is filled up with the first game."""
        filled = np.concatenate([values, np.repeat(values[:1], blocks * lanes - B, axis=0)])
        return np.ascontiguousarray(np.moveaxis(filled.reshape(blocks, lanes, *values.shape[1:]), 1, -1))

    def out_of_lanes(values: FloatArray) -> FloatArray:
        games = np.moveaxis(values, -1, 1).reshape(blocks * lanes, *values.shape[1:-1])
        return np.ascontiguousarray(games[:B])

    w_mean, w = np.empty((blocks, C, lanes)), np.empty((blocks, C, lanes))
    p_mean, p = np.empty((blocks, R, lanes)), np.empty((blocks, R, lanes))
    gaps, last_gap = np.empty((blocks, at.size, lanes)), np.empty((blocks, lanes))
    play_blocks(
        in_lanes(regrets), rounds, in_lanes(own), in_lanes(other), float(optimistic), at,
        Played(w_mean, p_mean, w, p, gaps, last_gap),
    )  # fmt: skip
    weights, adversary = out_of_lanes(w_mean), out_of_lanes(p_mean)
    # A mean of many rounds sums to 1 but for their rounding, which an offset of the game multiplies.
    weights /= weights.sum(axis=1, keepdims=True)
    adversary /= adversary.sum(axis=1, keepdims=True)
    upper = np.einsum("brc,bc->br", regrets, weights).max(axis=1)
    lower = np.einsum("brc,br->bc", regrets, adversary).min(axis=1)
    return HedgeBatch(
        weights=weights,
        adversary=adversary,
        gap=upper - lower,
        last_weights=out_of_lanes(w),
        last_adversary=out_of_lanes(p),
        last_gap=out_of_lanes(last_gap),
        step=np.array(own),
        trace_rounds=at,
        trace_gap=out_of_lanes(gaps),
    )


def _steps(name: str, step: float | FloatArray, games: int) -> FloatArray:
    """One positive step a game, or one for all."""
    found = np.asarray(step, dtype=np.float64)
    if found.shape not in ((), (games,)):
        raise ValueError(f"{name} must be a number or ({games},), one a game (got {found.shape})")
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise ValueError(f"{name} must be positive and finite (got {found})")
    return np.broadcast_to(found, (games,))


def game_value(regret: FloatArray) -> GameValue:
    """min v s.t. R w <= v, w in the simplex, by HiGHS; the adversary is read off the duals and certified.

    `gap` = max_z (R w)_z - min_k (R' p)_k of the two solutions: it bounds the error of `value`.
    """
    from scipy.optimize import linprog

    regret = float_array("regret", regret, ("rows", "columns"))
    if 0 in regret.shape:
        raise ValueError(f"regret must not be empty (got {regret.shape})")
    R, C = regret.shape
    # Counted from the least entry in units of the range, which the solver's tolerances are for: a number added to all
    # entries is added to the value alone, and beside it small ones would lose their digits.
    least, unit = float(regret.min()), float(np.ptp(regret)) or 1.0
    own = (regret - least) / unit
    solved = linprog(
        np.append(np.zeros(C), 1.0),
        A_ub=np.concatenate([own, -np.ones((R, 1))], axis=1),
        b_ub=np.zeros(R),
        A_eq=np.append(np.ones(C), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * C + [(None, None)],
        method="highs-ds",
    )
    if not solved.success:
        raise RuntimeError(f"the LP solver failed: {solved.message}")
    weights = np.maximum(solved.x[:C], 0.0)
    adversary = np.maximum(-solved.ineqlin.marginals, 0.0)
    weights, adversary = weights / weights.sum(), adversary / adversary.sum()
    attained = float(np.max(own @ weights))
    gap = attained - float(np.min(adversary @ own))
    return GameValue(least + unit * attained, weights, adversary, unit * max(gap, 0.0))
