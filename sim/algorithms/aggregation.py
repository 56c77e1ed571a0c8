"""Reward aggregation: the one-parameter family that the six axioms single out, and its two limits."""

from __future__ import annotations

import numpy as np

from sim.arguments import require_finite
from sim.preferences import FloatArray


def checked_alpha(alpha: float) -> float:
    """`alpha` as a float in [-inf, inf]; NaN is refused, and what products with it cannot be told from 0 is 0."""
    value = float(alpha)
    if np.isnan(value):
        raise ValueError("alpha must be a number, -inf or inf (got nan)")
    return 0.0 if abs(value) < 1e-200 else value


def aggregate(rewards: FloatArray, alpha: float) -> FloatArray:
    """Agg_alpha(r) = (1 / alpha) log((1 / N) sum_i exp(alpha r_i)); the mean at 0, min at -inf, max at inf.

    [arXiv 2405.00254, eq. (4.1)]  rewards: (..., N, M), one row an annotator.  Returns (..., M), reward units:
    a certainty equivalent, so that N equal annotators aggregate to their common reward.
    """
    alpha = checked_alpha(alpha)
    return log_mean_exp(_checked_rewards(rewards), alpha, axis=-2)


def _checked_rewards(rewards: FloatArray) -> FloatArray:
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.ndim < 2 or rewards.shape[-2] == 0:
        raise ValueError(f"rewards must be (..., annotators, responses), somebody among them (got {rewards.shape})")
    require_finite(rewards=rewards)
    return rewards


def log_mean_exp(values: FloatArray, alpha: float, axis: int) -> FloatArray:
    """(1 / alpha) log mean exp(alpha x) along `axis`, without overflow and without cancellation as alpha -> 0.

    For |alpha| times the spread below one the mean is taken out first and the rest is log1p(mean(expm1)); beyond that
    the largest exponent is.
    """
    if alpha == 0:
        return np.asarray(values.mean(axis=axis))
    if np.isinf(alpha):
        return np.asarray(values.max(axis=axis) if alpha > 0 else values.min(axis=axis))
    with np.errstate(invalid="ignore", over="ignore"):
        centre = values.mean(axis=axis, keepdims=True)
        offset = alpha * (values - centre)
        small = np.isfinite(centre) & (np.abs(offset).max(axis=axis, keepdims=True) < 1.0)
    # Of a handful of numbers each branch is as much work as all that is before it.
    if small.all():
        return np.asarray(np.squeeze(centre, axis) + np.log1p(np.expm1(offset).mean(axis=axis)) / alpha)
    top = values.max(axis=axis, keepdims=True) if alpha > 0 else values.min(axis=axis, keepdims=True)
    # An infinite value at the top (a probability of zero under a negative alpha) decides alone.
    finite = np.isfinite(top)
    with np.errstate(divide="ignore", over="ignore"):
        far = np.log(np.exp(alpha * (np.where(finite, values, 0.0) - np.where(finite, top, 0.0))).mean(axis=axis))
    far = np.where(np.squeeze(finite, axis), np.squeeze(top, axis) + far / alpha, np.squeeze(top, axis))
    if not small.any():
        return np.asarray(far)
    near = np.log1p(np.expm1(np.where(small, offset, 0.0)).mean(axis=axis)) / alpha
    with np.errstate(invalid="ignore"):
        near = np.squeeze(centre, axis) + near
    return np.asarray(np.where(np.squeeze(small, axis), near, far))


def aggregate_prime(rewards: FloatArray, alpha: float) -> FloatArray:
    """Agg'_alpha(r) = (1 / (N alpha)) sum_i (exp(alpha r_i) - 1); the mean at 0.  [arXiv 2405.00254, eq. (4.2)]

    An increasing transform of Agg_alpha, Agg_alpha = (1 / alpha) log(1 + alpha Agg'_alpha): the same ranking of sure
    outcomes, not the same best lottery. Has no limit at infinity: alpha must be finite.
    """
    alpha = checked_alpha(alpha)
    if np.isinf(alpha):
        raise ValueError("Agg' has no limit at infinite alpha; use aggregate (min or max)")
    rewards = _checked_rewards(rewards)
    if alpha == 0:
        return np.asarray(rewards.mean(axis=-2))
    return np.asarray(np.expm1(alpha * rewards).mean(axis=-2) / alpha)


def aggregate_weights(rewards: FloatArray, alpha: float) -> FloatArray:
    """d Agg_alpha / d r_i = softmax_i(alpha r_i): each annotator's share in the aggregate; (..., N, M), sums to one.

    At infinite alpha all of it is with the extreme annotators (ties share).
    """
    return reward_shares(_checked_rewards(rewards), checked_alpha(alpha))


def reward_shares(rewards: FloatArray, alpha: float) -> FloatArray:
    """`aggregate_weights` of rewards that were checked: the inner loop of a descent calls it."""
    if np.isinf(alpha):
        extreme = rewards.max(axis=-2, keepdims=True) if alpha > 0 else rewards.min(axis=-2, keepdims=True)
        share = (rewards == extreme).astype(np.float64)
    else:
        with np.errstate(over="ignore"):
            exponent = alpha * rewards
            if not np.isfinite(exponent).all():
                # Beyond any number; differences from the extreme one are so on one side only, whose share is then 0.
                best = rewards.max(axis=-2, keepdims=True) if alpha > 0 else rewards.min(axis=-2, keepdims=True)
                exponent = alpha * (rewards - best)
        share = np.exp(exponent - exponent.max(axis=-2, keepdims=True))
    return np.asarray(share / share.sum(axis=-2, keepdims=True))
