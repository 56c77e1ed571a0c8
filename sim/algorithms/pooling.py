"""Opinion pooling: probabilistic opinions of several annotators merged into one."""

from __future__ import annotations

import numpy as np

from sim.algorithms.aggregation import checked_alpha, log_mean_exp
from sim.algorithms.welfare import WelfareRule
from sim.arguments import SUM_TOLERANCE, require_finite
from sim.preferences import FloatArray


def checked_opinions(opinions: FloatArray) -> FloatArray:
    """(..., N, K) opinions, rows scaled to sum to one exactly; negative entries and other sums are refused."""
    opinions = np.asarray(opinions, dtype=np.float64)
    if opinions.ndim < 2 or 0 in opinions.shape[-2:]:
        raise ValueError(f"opinions must be (annotators, candidates), none empty (got {opinions.shape})")
    require_finite(opinions=opinions)
    if (opinions < 0).any():
        raise ValueError(f"opinions must not be negative (got {opinions.min()})")
    total = opinions.sum(axis=-1, keepdims=True)
    if np.abs(total - 1.0).max() > SUM_TOLERANCE:
        worst = float(total.ravel()[np.abs(total - 1.0).argmax()])
        raise ValueError(f"opinions must each sum to 1 (one sums to {worst:.6g})")
    return np.asarray(opinions / total)


def pool_opinions(opinions: FloatArray, alpha: float) -> FloatArray:
    """Agg-p_alpha(P)(a) proportional to (sum_i P_i(a)^alpha)^(1/alpha); geometric mean at 0, min, max at -inf, inf.

    [arXiv 2405.00254, eq. (5.1) and Remark 4]  alpha = 1 is the linear pool, 0 the geometric one. The power formula
    itself, in logarithms; nothing is borrowed from the aggregation of rewards but the stable power mean.
    opinions: (..., N, K), rows on the simplex.  Returns (..., K).
    A zero counts as its limit: for alpha <= 0 a candidate to which anybody gives zero gets zero. If that leaves no
    candidate (or nobody gives any candidate anything), there is no pool: ValueError.
    """
    return _pool(checked_opinions(opinions), checked_alpha(alpha))


def _pool(opinions: FloatArray, alpha: float) -> FloatArray:
    with np.errstate(divide="ignore"):
        exponent = log_mean_exp(np.log(opinions), alpha, axis=-2)
    zeros = (opinions == 0).any(axis=(-2, -1))
    if 0.0 < alpha <= 1.0 and zeros.any():
        # Where somebody gives nothing, log(0) drowns the logarithms that decide at a small alpha: the number of those
        # who give something, and the mean among them, are told apart.
        first = opinions.sum(axis=-2).argmax(axis=-1)
        exponent = np.where(zeros[..., None], WelfareRule(alpha).advantage(opinions, first), exponent)
    top = exponent.max(axis=-1, keepdims=True)
    if np.isneginf(top).any():
        raise ValueError(f"no candidate is left: at alpha = {alpha:g} one zero vetoes a candidate, and each has one")
    weight = np.exp(exponent - top)
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))
