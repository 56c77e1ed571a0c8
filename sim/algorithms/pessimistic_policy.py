"""Policies that are best in the worst case over a confidence set of one reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.algorithms.maximin_policy import MaximinPolicy, maximin_policy
from sim.arguments import float_array, probability_array, require_count, require_not_negative
from sim.cones import modelling, solve
from sim.estimators.confidence import Ellipsoid
from sim.estimators.likelihood_set import LikelihoodSet
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class PessimisticPolicy:
    """policy (M,) on the simplex, its guaranteed value over the reference, and how far it may be from the best."""

    policy: FloatArray
    value: float
    gap: float


def pessimistic_policy(
    features: FloatArray, reference: FloatArray, ellipsoid: Ellipsoid, *, tolerance: float = 1e-7, max_steps: int = 5000
) -> PessimisticPolicy:
    """argmax_pi min_{theta in the set} <theta, v_pi>, v_pi = sum_tau (pi - reference)(tau) psi(tau).

    [arXiv 2405.00254, Algorithm 1, step 4]  The inner minimum is <v, estimate> - sqrt(radius) ||v||_{covariance^-1},
    concave in pi, so that the best policy may be stochastic. features: (M, k).  reference: (M,), the law the paper
    calls mu_ref; playing it is worth 0 for sure, so the value is never negative.

    Pairwise Frank-Wolfe from the best single action: mass moves from the worst action in play to the best one, by an
    exact line search. `gap` is a certificate: the value is within it of the best possible. Where it misses the
    tolerance, a cone program has a try: Frank-Wolfe stays where v is zero, the kink of the norm, beside better ones.
    """
    features = _features(features, len(ellipsoid.estimate))
    reference = probability_array("reference", reference, (len(features),))
    require_not_negative(tolerance=tolerance)
    require_count("max_steps", max_steps)
    z = np.linalg.solve(ellipsoid.root, (features - reference @ features).T).T
    gain = (features - reference @ features) @ ellipsoid.estimate
    radius = float(np.sqrt(ellipsoid.radius))

    def value(policy: FloatArray) -> float:
        return float(policy @ gain - radius * np.linalg.norm(policy @ z))

    singles = ellipsoid.lower_bound(features - reference @ features)
    best = int(singles.argmax())
    policy = np.zeros(len(gain))
    policy[best] = 1.0
    ceiling = np.inf
    for _ in range(max_steps):
        v = policy @ z
        norm = float(np.linalg.norm(v))
        if norm < 1e-14:
            break
        slope = gain - radius * (z @ v) / norm
        up = int(slope.argmax())
        # For any unit u, gain - radius <z, u> bounds the value from above, action by action.
        ceiling = min(ceiling, float(slope[up]))
        if ceiling - max(value(policy), 0.0) <= tolerance:
            break
        used = np.flatnonzero(policy > 0)
        down = int(used[slope[used].argmin()])
        move = _line_search(v, z[up] - z[down], float(gain[up] - gain[down]), radius, float(policy[down]))
        if move == 0.0:
            break
        policy[up] += move
        policy[down] -= move
    policy = np.maximum(policy, 0.0)
    policy /= policy.sum()
    worth = value(policy)
    if ceiling - max(worth, 0.0) > tolerance:
        other, lowest = _by_cone(gain, np.asarray(radius * z, dtype=np.float64))
        ceiling = min(ceiling, lowest)
        if value(other) > worth:
            policy, worth = other, value(other)
    if worth < 0.0:
        policy, worth = np.array(reference, dtype=np.float64), 0.0
    return PessimisticPolicy(policy, worth, max(ceiling - worth, 0.0))


def _by_cone(gain: FloatArray, norms: FloatArray) -> tuple[FloatArray, float]:
    """argmax over the simplex of <p, gain> - ||norms' p||, and a bound on that maximum; gain (M,), norms (M, k).

    ||w|| >= <u, w> for every |u| <= 1: max_a gain_a - <norms_a, u> bounds it. The best u is the price of w = norms' p.
    """
    cp = modelling()
    # In units of the largest number, which the solver's tolerances are for.
    size = max(float(np.abs(gain).max()), float(np.abs(norms).max()), 1e-300)
    p, w = cp.Variable(len(gain), nonneg=True), cp.Variable(norms.shape[1])
    held = w == (norms / size).T @ p
    solve(cp.Problem(cp.Maximize((gain / size) @ p - cp.norm(w)), [held, cp.sum(p) == 1]))
    played = np.maximum(np.full(len(gain), 1.0) if p.value is None else p.value, 0.0)
    u = np.zeros(norms.shape[1]) if held.dual_value is None else np.asarray(held.dual_value)
    u = u / max(float(np.linalg.norm(u)), 1.0)
    return played / played.sum(), min(float((gain - sign * norms @ u).max()) for sign in (1.0, -1.0))


def likelihood_pessimistic_policy(
    features: FloatArray, reference: FloatArray, rewards: LikelihoodSet, *, tolerance: float = 1e-5
) -> MaximinPolicy:
    """argmax_pi min_{theta in the set} <theta, v_pi>, v_pi = sum_tau (pi - reference)(tau) psi(tau).

    [arXiv 2405.00254, Algorithm 7, last step]  features: (M, k).  reference: (M,).  Exact up to `tolerance`.
    """
    features = _features(features, rewards.differences.shape[1])
    reference = probability_array("reference", reference, (len(features),))
    return maximin_policy(lambda w: features @ rewards.worst(w @ features), reference, tolerance=tolerance)


def _features(features: FloatArray, k: int) -> FloatArray:
    """(M, k) of one trajectory at least."""
    found = float_array("features", features, ("M", k))
    if not len(found):
        raise ValueError("features must hold at least one trajectory (got none)")
    return found


def _line_search(v: FloatArray, direction: FloatArray, gain: float, radius: float, most: float) -> float:
    """argmax over t in [0, most] of t gain - radius ||v + t direction||, in closed form.

    With a = |direction|^2, b = <v, direction>, the derivative vanishes where radius (b + a t) = gain ||v + t d||:
    t = (-b + gain sqrt(h / (radius^2 a - gain^2))) / a, h = |v|^2 a - b^2 >= 0.
    """
    a, b = float(direction @ direction), float(v @ direction)
    if a <= 1e-300:
        return most if gain > 0 else 0.0
    under = radius * radius * a - gain * gain
    if under <= 0.0:
        # The gain beats the norm's growth all along the line.
        return most if gain > 0 else 0.0
    h = max(float(v @ v) * a - b * b, 0.0)
    return float(np.clip((-b + gain * np.sqrt(h / under)) / a, 0.0, most))
