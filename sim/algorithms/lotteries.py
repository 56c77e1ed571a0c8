"""Lotteries over options that are best for a welfare function, each with its own certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.welfare import NASH, WelfareRule
from sim.arguments import (
    float_array,
    probability_array,
    require_choice,
    require_count,
    require_finite,
    require_not_negative,
)
from sim.cones import modelling, solve
from sim.preferences import FloatArray, IntArray

# Beyond it weights differ by more than numbers can say, and leximin's lottery is as good up to log(M) / |alpha|.
_STRONG = -1000.0
# Nearer to 0 the best lottery is Nash's up to rounding: it gives everybody something, and the difference is of alpha
# squared in its welfare. (A single option need not: there the number of those who have something decides first.)
_WEAK = 1e-7


@dataclass(frozen=True, eq=False)
class Lotteries:
    """probabilities (B, A); utilities (B, M), each party's expected utility; optimality_gap (B,); iterations (B,).

    optimality_gap: no lottery's equivalent utility (`WelfareRule.equivalent`) exceeds this one's by more than that
    share; for leximin, the largest share of itself by which any of its levels could still rise while those below it
    stay, the first of which is the equivalent utility. Both are bounds from duality, whoever found the lottery.
    """

    probabilities: FloatArray
    utilities: FloatArray
    optimality_gap: FloatArray
    iterations: IntArray


def best_lotteries(
    tables: FloatArray,
    rule: WelfareRule,
    *,
    method: Literal["default", "em", "cvxpy"] = "default",
    tolerance: float = 1e-9,
    max_iterations: int | None = None,
) -> Lotteries:
    """argmax over lotteries p of W(V p), V each of `tables` (B, M, A): utilities are taken before the product.

    The ex-ante form (arXiv 2403.05006, section 5, mixed strategies): true bargaining on a convex set, concave for every
    alpha <= 1. (Ex post, E_a W(v(a)), a single option is always best: `WelfareRule.best`.)

    default: an interior point for alpha < 1, one option at alpha = 1, sequential linear programs for leximin.  Nash's
    lottery within 1e-7 of alpha = 0; leximin's below -1000, and where it is certified to be the better one.
    em: p_a <- p_a mean_m v_m(a) / (v_m p), alpha = 0 only.  cvxpy: Clarabel, any finite alpha.
    Entries must be finite, and not negative unless the rule is Utilitarian or leximin. A party whose row is zero
    everywhere has no say at alpha <= 0: leave it out.
    """
    tables = np.require(tables, np.float64, ["C", "W"])
    if tables.ndim != 3 or 0 in tables.shape:
        raise ValueError(f"tables must be (B, parties, options), none empty (got {tables.shape})")
    require_finite(tables=tables)
    require_choice("method", method, ("default", "em", "cvxpy"))
    require_not_negative(tolerance=tolerance)
    if max_iterations is not None:
        require_count("max_iterations", max_iterations, 0)
    if np.isneginf(rule.alpha):
        return _leximin(tables)[0]
    if rule.alpha == 1.0:
        return _utilitarian(tables)
    if (tables < 0).any():
        raise ValueError(f"{rule.name} needs utilities of at least 0, counted from a zero (got {tables.min():.4g})")
    if not (tables.max(axis=2) > 0).all():
        raise ValueError("a party has utility 0 under every option: leave it out, no lottery changes its utility")
    if method == "cvxpy":
        return _by_cvxpy(tables, rule.alpha)
    if method == "em" and rule.alpha != 0.0:
        raise ValueError("the EM iteration is for Nash (alpha = 0)")
    if 0.0 < abs(rule.alpha) <= _WEAK:
        return _with_gap(best_lotteries(tables, NASH, tolerance=tolerance), tables, rule.alpha)
    if rule.alpha < _STRONG:
        return _by_leximin(tables, rule)
    from sim.compiled import lottery as lottery_kernels

    B, M, A = tables.shape
    # Nash is invariant to each party's scale, the others to a common one.
    largest = tables.max(axis=2, keepdims=True) if rule.alpha == 0.0 else tables.max(axis=(1, 2), keepdims=True)
    p, t, gap = np.empty((B, A)), np.empty((B, M)), np.empty(B)
    iterations = np.empty(B, np.int64)
    most = max_iterations if max_iterations is not None else 1_000_000 if method == "em" else 100
    lottery_kernels.lotteries(
        np.ascontiguousarray(tables / largest),
        float(rule.alpha),
        tolerance,
        most,
        method == "em",
        p,
        t,
        gap,
        iterations,
    )
    found = Lotteries(p, t * largest[..., 0], gap, iterations)
    left = np.flatnonzero(~(gap <= tolerance)) if rule.alpha < 0.0 else np.empty(0, np.int64)
    return _better(found, _by_leximin(tables[left], rule), left) if len(left) else found


def leximin_gap(rule: WelfareRule, utilities: FloatArray, least: float) -> float:
    """By how much, relatively, the rule's equivalent of any lottery can exceed that of `utilities` (M,), where no
    lottery gives everybody more than `least`; alpha below 0.

    ((1 / M) sum u^alpha)^(1 / alpha) <= min u M^(1 / |alpha|).
    """
    most = least * len(utilities) ** (-1.0 / rule.alpha)
    reached = float(rule.equivalent(utilities[:, None])[0])
    return max(most / reached - 1.0, 0.0) if reached > 0.0 else float("inf")


def _by_leximin(tables: FloatArray, rule: WelfareRule) -> Lotteries:
    found, short = _leximin(tables)
    least = found.utilities.min(axis=1) + short
    gaps = [leximin_gap(rule, own, float(low)) for own, low in zip(found.utilities, least, strict=True)]
    return replace(found, optimality_gap=np.array(gaps))


def _better(found: Lotteries, other: Lotteries, left: IntArray) -> Lotteries:
    """`found`, with those of `other`, of tables `left`, whose gap is smaller."""
    p, t, gap = found.probabilities.copy(), found.utilities.copy(), found.optimality_gap.copy()
    smaller = ~(gap[left] <= other.optimality_gap)
    where = left[smaller]
    p[where], t[where] = other.probabilities[smaller], other.utilities[smaller]
    gap[where] = other.optimality_gap[smaller]
    return Lotteries(p, t, gap, found.iterations)


def _with_gap(found: Lotteries, tables: FloatArray, alpha: float) -> Lotteries:
    gaps = [relative_gap(table, p, alpha) for table, p in zip(tables, found.probabilities, strict=True)]
    return replace(found, optimality_gap=np.maximum(found.optimality_gap, gaps))


def relative_gap(table: FloatArray, probabilities: FloatArray, alpha: float) -> float:
    """max_a <w, v(a)> / <w, V p> - 1 with w = (V p)^(alpha - 1).

    The equivalent utility is concave and homogeneous in V p with a gradient along w, so that no lottery's is larger by
    more than this share. (At alpha = 0: max_a sum_m v_m(a) / (V p)_m / M - 1.)
    """
    table = float_array("table", table, ("parties", "options"))
    probabilities = probability_array("probabilities", probabilities, (table.shape[1],))
    utility = table @ probabilities
    if not (utility > 0).all():
        return float("inf")
    weight = (utility / utility.min()) ** (alpha - 1.0)
    return max(float((weight @ table).max() / (weight @ utility) - 1.0), 0.0)


def _utilitarian(tables: FloatArray) -> Lotteries:
    """Linear in p: the best option is a best lottery."""
    B, _, A = tables.shape
    chosen = tables.sum(axis=1).argmax(axis=1)
    return Lotteries(
        np.eye(A)[chosen], np.take_along_axis(tables, chosen[:, None, None], axis=2)[..., 0], np.zeros(B),
        np.zeros(B, np.int64),
    )  # fmt: skip


def _by_cvxpy(tables: FloatArray, alpha: float) -> Lotteries:
    """One disciplined program (the table is a parameter), solved by Clarabel for each table."""
    cp = modelling()
    B, M, A = tables.shape
    p, table = cp.Variable(A, nonneg=True), cp.Parameter((M, A), nonneg=True)
    t = cp.Variable(M)
    worth = cp.sum(cp.log(t)) if alpha == 0.0 else cp.sum(cp.power(t, alpha)) * np.sign(alpha)
    problem = cp.Problem(cp.Maximize(worth), [t == table @ p, cp.sum(p) == 1])
    found, rounds = np.empty((B, A)), np.empty(B, np.int64)
    for b in range(B):
        largest = tables[b].max(axis=1, keepdims=True) if alpha == 0.0 else tables[b].max()
        table.value = tables[b] / largest
        solve(problem)
        own = np.full(A, 1.0) if p.value is None else np.maximum(p.value, 0.0)
        found[b] = own / own.sum()
        rounds[b] = 0 if problem.solver_stats is None else int(problem.solver_stats.num_iters)
    utilities = np.einsum("bma,ba->bm", tables, found)
    gaps = np.array([relative_gap(tables[b], found[b], alpha) for b in range(B)])
    return Lotteries(found, utilities, gaps, rounds)


def _leximin(tables: FloatArray) -> tuple[Lotteries, FloatArray]:
    """Leximin's lotteries, and the most by which the least utility of each could still rise (B,), in its own unit."""
    from sim.compiled import leximin as leximin_kernels

    B, _, A = tables.shape
    p, short, gap, rounds = np.empty((B, A)), np.empty(B), np.empty(B), np.empty(B, np.int64)
    leximin_kernels.lotteries(np.ascontiguousarray(tables), p, short, gap, rounds)
    return Lotteries(p, np.einsum("bma,ba->bm", tables, p), gap, rounds), short
