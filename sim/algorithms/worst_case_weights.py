"""The weights on the simplex that are worst for whoever answers them best: the adversary of a convex game."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sim.arguments import float_array, require_count, require_not_negative, require_positive
from sim.preferences import FloatArray

Answer = TypeVar("Answer")
_LARGEST_STEP = 1e6


@dataclass(frozen=True, eq=False)
class WorstCase(Generic[Answer]):
    """weights (K,); answer, the best reply to them; losses (K,) it has; value, of the game's lower side.

    gap: the largest loss minus the weighted one. No answer's worst case is below that of `answer` by more.
    """

    weights: FloatArray
    answer: Answer
    losses: FloatArray
    value: float
    gap: float
    rounds: int


def worst_case_weights(
    reply: Callable[[FloatArray], tuple[float, FloatArray, Answer]], K: int, *, tolerance: float = 1e-6,
    max_rounds: int = 2000,
) -> WorstCase[Answer]:  # fmt: skip
    """max over p in the simplex of D(p) = min over answers of sum_k p_k L_k(answer) + penalty(answer).

    reply(p) -> (D(p), losses L (K,) of the answer that attains it, the answer).  L is D's gradient (Danskin), D is
    concave, and max_k L_k - sum_k p_k L_k bounds what is left. Exponentiated gradient (`exponentiated_step`), as in
    arXiv 2405.20304, where each reply is one gradient step; here it is exact, and eta grows while D
    rises and is halved where it would fall. Stops when the gap is at most `tolerance`.
    """
    require_count("K", K)
    require_positive(tolerance=tolerance)
    require_count("max_rounds", max_rounds)
    log_p = np.full(K, -np.log(K))
    best, step, rounds = worst_case_at(np.exp(log_p), reply), 1.0, 0
    value, losses = best.value, best.losses
    while rounds < max_rounds and best.gap > tolerance and step > 1e-12:
        rounds += 1
        moved = exponentiated_step(log_p, losses, step)
        tried = reply(np.exp(moved))
        if tried[0] < value - 1e-15 * max(1.0, abs(value)):
            step *= 0.5
            continue
        log_p, (value, losses, answer) = moved, tried
        gap = _gap(np.exp(log_p), losses)
        if gap < best.gap:
            best = WorstCase(np.exp(log_p), answer, losses, value, gap, rounds)
        step = min(1.5 * step, _LARGEST_STEP)
    return best


def worst_case_at(
    weights: FloatArray, reply: Callable[[FloatArray], tuple[float, FloatArray, Answer]], rounds: int = 0
) -> WorstCase[Answer]:  # fmt: skip
    """What is known at these weights, whoever found them."""
    value, losses, answer = reply(weights)
    return WorstCase(weights, answer, losses, value, _gap(weights, losses), rounds)


def exponentiated_step(log_weights: FloatArray, losses: FloatArray, step: float) -> FloatArray:
    """p_k <- p_k exp(step L_k) / sum_h p_h exp(step L_h): the adversary's step, in logarithms.

    [arXiv 2405.20304, Algorithm 1, lines 6 and 7]
    log_weights, losses: (K,).  Returns (K,); their exponentials sum to one.  step: not negative; 0 leaves the weights.
    """
    log_weights = float_array("log_weights", log_weights, ("K",))
    losses = float_array("losses", losses, (len(log_weights),))
    require_not_negative(step=step)
    # Logarithms, since a weight that has become 0 would never rise again.
    moved = log_weights + step * (losses - losses.max())
    return np.asarray(moved - np.logaddexp.reduce(moved))


def _gap(weights: FloatArray, losses: FloatArray) -> float:
    return float(losses.max() - weights @ losses)
