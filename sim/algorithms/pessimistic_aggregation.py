"""Pessimism about an aggregate of several annotators' rewards, each known up to an ellipsoid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.algorithms.aggregation import checked_alpha, log_mean_exp, reward_shares
from sim.algorithms.maximin_policy import MaximinPolicy, maximin_policy
from sim.arguments import float_array, require_count, require_shape
from sim.estimators.confidence import Ellipsoid
from sim.preferences import FloatArray
from sim.streams import Stream

_STEPS = 200


def pessimistic_aggregate_policy(
    features: FloatArray,
    reference: FloatArray,
    ellipsoids: Sequence[Ellipsoid],
    alpha: float,
    stream: Stream,
    *,
    starts: int = 3,
    tolerance: float = 1e-4,
) -> MaximinPolicy:
    """argmax_pi min over theta_i in each ellipsoid of E_pi Agg_alpha(r) - E_ref Agg_alpha(r), r_i = <theta_i, psi>.

    [arXiv 2405.00254, Algorithm 4]  The aggregate is taken trajectory by trajectory.  features: (M, k), zero at the
    pinned reference trajectory (assumption A5), without which no amount of answers identifies the aggregate unless
    alpha is 0.  reference: (M,).  The inner minimum is convex, and so exact, at alpha = 0 only; elsewhere it is the
    best of `starts` projected gradient descents and the value an upper bound on the worst case.
    """
    features = float_array("features", features, ("M", "k"))
    require_shape("reference", reference, (len(features),))
    require_count("starts", starts, 0)
    alpha = checked_alpha(alpha)
    if not ellipsoids:
        raise ValueError("ellipsoids must hold at least one, one an annotator (got none)")
    for ellipsoid in ellipsoids:
        require_shape("ellipsoids", ellipsoid.estimate, features.shape[1:])
    estimate = np.stack([e.estimate for e in ellipsoids])
    # theta_i = estimate_i + A_i u_i with |u_i|^2 <= radius_i
    maps = np.stack([np.linalg.inv(np.linalg.cholesky(e.covariance)).T for e in ellipsoids])
    radii = np.sqrt([e.radius for e in ellipsoids])
    first = radii[:, None] * _unit(stream.child("starts").normals((starts, *estimate.shape)))
    warm: list[FloatArray] = []

    def worst_reward(weights: FloatArray) -> FloatArray:
        begin = [np.zeros_like(estimate), *first, *warm[-1:]]
        found = [_descend(features, weights, estimate, maps, radii, alpha, u) for u in begin]
        best = min(found, key=lambda pair: pair[0])
        warm.append(best[1])
        return _aggregated(features, estimate, maps, best[1], alpha)

    return maximin_policy(worst_reward, reference, tolerance=tolerance)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def _aggregated(
    features: FloatArray, estimate: FloatArray, maps: FloatArray, u: FloatArray, alpha: float
) -> FloatArray:
    theta = estimate + np.einsum("ijk,ik->ij", maps, u)
    return log_mean_exp(theta @ features.T, alpha, axis=-2)


def _descend(
    features: FloatArray, weights: FloatArray, estimate: FloatArray, maps: FloatArray, radii: FloatArray, alpha: float,
    u: FloatArray,
) -> tuple[float, FloatArray]:  # fmt: skip
    """Projected gradient with halving on u_i in balls of `radii`; (value, u). At infinite alpha a subgradient."""
    value, size = float(weights @ _aggregated(features, estimate, maps, u, alpha)), 1.0
    for _ in range(_STEPS):
        theta = estimate + np.einsum("ijk,ik->ij", maps, u)
        share = reward_shares(theta @ features.T, alpha)
        slope = np.einsum("ijk,ij->ik", maps, (share * weights) @ features)
        norm = float(np.linalg.norm(slope))
        if norm < 1e-12:
            break
        moved = False
        while size > 1e-9:
            trial = u - size * slope / norm * (1.0 + radii.max())
            length = np.linalg.norm(trial, axis=1, keepdims=True)
            trial = trial * np.minimum(1.0, radii[:, None] / np.maximum(length, 1e-300))
            reached = float(weights @ _aggregated(features, estimate, maps, trial, alpha))
            if reached < value - 1e-10 * abs(value):
                u, value, moved = trial, reached, True
                size = min(1.0, 2.0 * size)
                break
            size *= 0.5
        if not moved:
            break
    return value, u
