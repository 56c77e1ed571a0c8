"""Distances between an opinion and a consensus whose barycentre is the opinion pool of the same alpha."""

from __future__ import annotations

import numpy as np

from sim.algorithms.aggregation import checked_alpha
from sim.arguments import require_finite, require_number
from sim.preferences import FloatArray


def opinion_distance(opinions: FloatArray, consensus: FloatArray, alpha: float) -> FloatArray:
    """d_alpha(p, q) = (1 - sum_a p_a^alpha q_a^(1 - alpha)) / (alpha (1 - alpha)), p the opinion, q the consensus.

    d_1 = KL(p || q), d_0 = KL(q || p), the limits. For every real alpha it is >= 0, zero only at q = p, convex in q,
    and argmin_q sum_i d_alpha(P_i, q) = Agg-p_alpha(P).
    Departs from arXiv 2405.00254, Remark 5, which has the 1 inside the sum (then d(p, p) is not 0) and the factor
    sgn(alpha) / (1 - alpha) (then the limit at alpha = 0 is 0 and not a Kullback-Leibler divergence): see
    `printed_distance`.  opinions, consensus: (..., K) that broadcast.  Returns (...,), nats; inf is possible.
    """
    alpha = checked_alpha(alpha)
    if np.isinf(alpha):
        raise ValueError("no distance has the min or the max rule as its barycentre (alpha must be finite)")
    p, q = _checked(opinions, consensus)
    if alpha == 1:
        return _divergence(p, q)
    if alpha == 0:
        return _divergence(q, p)
    # p^alpha q^(1-alpha) = p exp(-(1-alpha) log(p/q)) where both are positive; by expm1, so that d(p, p) is 0 exactly
    # and nothing cancels as alpha -> 0 or 1.
    p, q = np.broadcast_arrays(p, q)
    total = np.zeros(p.shape[:-1])
    both = (p > 0) & (q > 0)
    log_ratio = np.log(np.where(both, p, 1.0) / np.where(both, q, 1.0))
    # Far from 0 and 1 a distance may be beyond any number.
    with np.errstate(over="ignore"):
        if abs(alpha - 1.0) < abs(alpha):
            terms = np.where(both, p * np.expm1(-(1.0 - alpha) * log_ratio), 0.0)
            # sum p^a q^(1-a) - 1 = sum_{both} p (e^x - 1) + sum_{both} p - 1
            total = terms.sum(axis=-1) - np.where(both, 0.0, p).sum(axis=-1)
        else:
            terms = np.where(both, q * np.expm1(alpha * log_ratio), 0.0)
            total = terms.sum(axis=-1) - np.where(both, 0.0, q).sum(axis=-1)
    # A zero with a negative exponent: infinite.
    worst = ((p == 0) & (q > 0)).any(axis=-1) if alpha < 0 else ((q == 0) & (p > 0)).any(axis=-1)
    infinite = worst if (alpha < 0 or alpha > 1) else np.zeros(worst.shape, dtype=bool)
    # By one factor after the other: their product may be beyond any number where the distance is not.
    return np.where(infinite, np.inf, -total / alpha / (1.0 - alpha))


def _checked(opinions: FloatArray, consensus: FloatArray) -> tuple[FloatArray, FloatArray]:
    p, q = np.asarray(opinions, dtype=np.float64), np.asarray(consensus, dtype=np.float64)
    for name, values in (("opinions", p), ("consensus", q)):
        require_finite(**{name: values})
        if values.size and values.min() < 0:
            raise ValueError(f"{name} must not be negative (got {values.min()})")
    if p.shape[-1:] != q.shape[-1:]:
        raise ValueError(f"consensus must have as many candidates as opinions (got {q.shape} and {p.shape})")
    return p, q


def _divergence(p: FloatArray, q: FloatArray) -> FloatArray:
    """KL(p || q), with 0 log 0 = 0 and infinity where q misses what p has."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    return np.asarray(terms.sum(axis=-1))


def distance_gradient(opinions: FloatArray, consensus: FloatArray, alpha: float) -> FloatArray:
    """d/dq d_alpha(p, q) = -(1 / alpha) (p / q)^alpha, and log(q / p) + 1 at alpha = 0; (..., K)."""
    with np.errstate(divide="ignore", over="ignore"):
        log_ratio = np.log(opinions) - np.log(consensus)
        return np.asarray(1.0 - log_ratio if alpha == 0 else -np.exp(alpha * log_ratio) / alpha)


def printed_distance(opinions: FloatArray, consensus: FloatArray, alpha: float) -> FloatArray:
    """Remark 5 as printed: sgn(alpha) / (1 - alpha) sum_a (1 - p_a^alpha q_a^(1 - alpha)); alpha not 0 or 1."""
    require_number(alpha=alpha)
    if alpha in (0.0, 1.0):
        raise ValueError(f"alpha must not be 0 or 1, where the printed distance has no value (got {alpha})")
    p, q = _checked(opinions, consensus)
    return np.asarray(np.sign(alpha) / (1.0 - alpha) * (1.0 - p**alpha * q ** (1.0 - alpha)).sum(axis=-1))
