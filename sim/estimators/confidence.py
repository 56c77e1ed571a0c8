"""Confidence ellipsoids of a reward's coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.arguments import float_array, require_finite, require_not_negative
from sim.preferences import FloatArray


def chi2_quantile(level: float, freedom: float) -> float:
    """The same as SciPy's `chi2.ppf(level, freedom)`: its statistics take .4 s to import."""
    from scipy.special import gammaincinv

    return float(2.0 * gammaincinv(freedom / 2, level))


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
    def root(self) -> FloatArray:
        """L with covariance = L L'; (k, k)."""
        return np.asarray(np.linalg.cholesky(self.covariance), dtype=np.float64)

    def norm(self, features: FloatArray) -> FloatArray:
        """||v||_{covariance^-1} of each row; (n, k) -> (n,)."""
        return np.asarray(np.linalg.norm(np.linalg.solve(self.root, np.atleast_2d(features).T), axis=0))

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
