"""Rewards whose likelihood is close to the best: the confidence set that needs no diversity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.arguments import float_array, require_not_negative, require_positive
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class LikelihoodSet:
    """{theta : LL(theta) >= LL(MLE) - drop}, LL the log-likelihood less 0.5 ridge |theta|^2.

    [arXiv 2405.00254, Algorithm 7]  The paper's set is joint over the annotators; held at the others' estimates and at
    the estimated representation, an annotator's slice of it is this.  differences: (n, k) of her answers.  drop: zeta,
    nats.  Convex, unlike the squared set's ellipsoid not a quadratic's: it is wider where answers are lopsided.
    """

    differences: FloatArray
    drop: float
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        float_array("differences", self.differences, ("n", "k"))
        require_not_negative(drop=self.drop)
        require_positive(ridge=self.ridge)

    @cached_property
    def estimate(self) -> FloatArray:
        """The maximum; (k,)."""
        return fit_bradley_terry(self.differences, ridge=self.ridge).theta

    def objective(self, theta: FloatArray) -> float:
        """LL(theta), nats."""
        return float(log_sigmoid(self.differences @ theta).sum() - 0.5 * self.ridge * theta @ theta)

    def contains(self, theta: FloatArray) -> bool:
        return self.objective(theta) >= self.objective(self.estimate) - self.drop

    def worst(self, direction: FloatArray) -> FloatArray:
        """argmin over the set of <direction, theta>; (k,).

        theta(s) = argmax LL(theta) - s <direction, theta> moves outwards as s grows; the s at which its likelihood has
        dropped by `drop` is found by bisection in log s.
        """
        if not np.linalg.norm(direction) > 1e-14:
            return self.estimate
        floor = self.objective(self.estimate) - self.drop
        low, high, at_low = 0.0, 1.0 / float(np.linalg.norm(direction)), self.estimate
        while self.objective(theta := self._tilted(direction, high, at_low)) > floor:
            low, high, at_low = high, 2.0 * high, theta
            if high > 1e12:
                break
        for _ in range(60):
            middle = 0.5 * (low + high)
            theta = self._tilted(direction, middle, at_low)
            if self.objective(theta) > floor:
                low, at_low = middle, theta
            else:
                high = middle
            if high - low <= 1e-12 * high:
                break
        return at_low

    def _tilted(self, direction: FloatArray, strength: float, start: FloatArray) -> FloatArray:
        """argmax LL(theta) - strength <direction, theta> by Newton with halving."""
        theta, x = start, self.differences
        value = self.objective(theta) - strength * float(direction @ theta)
        for _ in range(100):
            right = np.exp(log_sigmoid(x @ theta))
            slope = x.T @ (1.0 - right) - self.ridge * theta - strength * direction
            curvature = (x * (right * (1.0 - right))[:, None]).T @ x + self.ridge * np.eye(len(theta))
            step = np.linalg.solve(curvature, slope)
            size = 1.0
            while size > 1e-10:
                trial = theta + size * step
                reached = self.objective(trial) - strength * float(direction @ trial)
                if reached >= value:
                    break
                size *= 0.5
            done = reached - value <= 1e-13 * (1.0 + abs(value)) or size <= 1e-10
            theta, value = (trial, reached) if reached >= value else (theta, value)
            if done:
                break
        return np.asarray(theta)
