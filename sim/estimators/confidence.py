"""Confidence ellipsoids of a reward's coefficients, and policies that are best in the worst case inside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.arguments import float_array, require_finite, require_not_negative
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """{theta : (theta - estimate)' covariance (theta - estimate) <= radius}.  [arXiv 2405.00254, Algorithm 1, step 3]

    estimate: (k,).  covariance: (k, k) = (1 / Np) sum_j x_j x_j' + lambda I of an annotator's answers, positive
    definite.
    radius: zeta', squared reward units. With the representation held at its estimate the paper's set is this, annotator
    by annotator; with it free the set is one in the features' d dimensions, which the low rank does not shrink.
    """

    estimate: FloatArray
    covariance: FloatArray
    radius: float

    def __post_init__(self) -> None:
        float_array("estimate", self.estimate, ("k",))
        float_array("covariance", self.covariance, (len(self.estimate), len(self.estimate)))
        require_not_negative(radius=self.radius)

    @cached_property
    def _root(self) -> FloatArray:
        return np.asarray(np.linalg.cholesky(self.covariance), dtype=np.float64)

    def norm(self, features: FloatArray) -> FloatArray:
        """||v||_{covariance^-1} of each row; (n, k) -> (n,)."""
        return np.asarray(np.linalg.norm(np.linalg.solve(self._root, np.atleast_2d(features).T), axis=0))

    def contains(self, theta: FloatArray) -> bool:
        gap = theta - self.estimate
        return bool(gap @ self.covariance @ gap <= self.radius)

    def worst(self, direction: FloatArray) -> FloatArray:
        """argmin over the set of <direction, theta>; (k,)."""
        inverse = np.linalg.solve(self.covariance, direction)
        norm = float(np.sqrt(max(float(direction @ inverse), 0.0)))
        return np.asarray(self.estimate - np.sqrt(self.radius) * inverse / norm if norm > 1e-14 else self.estimate)

    def lower_bound(self, features: FloatArray) -> FloatArray:
        """min over the set of <theta, v> = <estimate, v> - sqrt(radius) ||v||_{covariance^-1}; (n, k) -> (n,)."""
        rows = np.atleast_2d(features)
        return np.asarray(rows @ self.estimate - np.sqrt(self.radius) * self.norm(rows))


def answer_covariance(differences: FloatArray, regularisation: float) -> FloatArray:
    """(1 / Np) sum_j x_j x_j' + lambda I; (..., Np, k) -> (..., k, k).

    lambda B^2 enters the proof's radius, so it should be at most k / (B^2 Np).
    """
    if differences.ndim < 2 or differences.shape[-2] == 0:
        raise ValueError(f"differences must be (..., Np, k), at least one answer (got {differences.shape})")
    require_finite(differences=differences)
    require_not_negative(regularisation=regularisation)
    Np, k = differences.shape[-2:]
    return np.asarray(np.swapaxes(differences, -1, -2) @ differences / Np + regularisation * np.eye(k))


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
    exact line search. `gap` is a certificate: the value is within it of the best possible.
    """
    z = np.linalg.solve(ellipsoid._root, (features - reference @ features).T).T
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
    if worth < 0.0:
        policy, worth = np.array(reference, dtype=np.float64), 0.0
    return PessimisticPolicy(policy, worth, max(ceiling - worth, 0.0))


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
