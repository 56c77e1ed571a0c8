"""What parties are sure to get of each candidate, when their rewards are known up to a confidence set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from sim.algorithms.pessimistic_welfare import pessimistic_lottery, utilitarian_policy
from sim.algorithms.welfare import LEXIMIN, UTILITARIAN, WelfareRule
from sim.arguments import require_same_rows
from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import BoolArray, FloatArray

# Where a party's reward is zero in each prompt: at its mean candidate, at its worst, or where the fit has it.
Zero: TypeAlias = Literal["mean", "worst", "fit"]


# Shares of a party's range of rewards that a cone program's answer cannot be told from zero by.
_NOTHING = 1e-6


@dataclass(frozen=True, eq=False)
class SureRewards:
    """features: (A, d) of each prompt's candidates.  confidence: of the parties' rewards on them."""

    features: tuple[FloatArray, ...]
    confidence: PartyConfidence

    def bounds(self, prompt: int, zero: Zero) -> FloatArray:
        """(M, A) the least reward of each candidate over the set, counted from `zero`.

        mean, fit: <theta, v> - radius |v|, v the candidate's features minus the mean candidate's, or as they are.
        worst: the gain over the worst candidate, which moves with theta (`PartyConfidence.gain_bounds`).
        """
        own = self.features[prompt]
        if zero == "worst":
            return self.confidence.gain_bounds(own[None])[:, 0]
        return self.confidence.reward_bounds(own - own.mean(axis=0) if zero == "mean" else own)

    def heard(self, prompt: int, rule: WelfareRule, bounds: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Whom some lottery is sure to give something, and (M,) the most that one gives each of the others, as a share
        of its range of rewards.  bounds: from the worst candidate, for a start.

        Every party for utilitarian, whose sum counts doubt as well. Else sup <theta_m, v> / ||v||_{Sigma_m^-1} over
        differences v of lotteries' features, the norm of L_m' theta_m (Sigma_m = L_m L_m') in the span of whitened
        differences, has to exceed the radius: the set must not hold a theta to which all candidates are the same.
        """
        own, M = self.features[prompt], len(self.confidence.theta)
        left = np.zeros(M)
        spread = np.ptp(self.confidence.theta @ own.T, axis=1)
        if rule == UTILITARIAN:
            return np.full(M, spread.max() > 0), left
        found: BoolArray = np.asarray((bounds > 0).any(axis=1))
        for m in np.flatnonzero(~found & (spread > 0)):
            alone = np.arange(M) == m
            if not self._tells_apart(own, int(m)):
                continue
            # By its own program: less than what the solver can tell from nothing is nothing.
            left[m] = self.lottery(prompt, LEXIMIN, alone)[1][m] / spread[m]
            found[m] = left[m] > _NOTHING
        return found, np.where(found, 0.0, left)

    def _tells_apart(self, own: FloatArray, m: int) -> bool:
        u, s, _ = np.linalg.svd(self.confidence.whitener[m] @ (own[1:] - own[0]).T, full_matrices=False)
        span = u[:, s > 1e-12 * s.max(initial=0.0)]
        root = np.linalg.cholesky(self.confidence.covariance[m])
        return bool(np.linalg.norm(span.T @ (root.T @ self.confidence.theta[m])) > self.confidence.radius[m])

    def lottery(self, prompt: int, rule: WelfareRule, heard: BoolArray) -> tuple[FloatArray, FloatArray, float]:
        """The lottery of largest guaranteed welfare for the parties of the mask; what each of them is sure of (0 for
        the others), and the gap that its algorithm certifies: by what share the guaranteed gains' equivalent could
        still rise, for utilitarian how many nats their mean.

        Utilitarian counts from the mean candidate, the others from each party's worst lottery, which moves with theta.
        """
        own, sure = self.features[prompt], np.zeros(len(heard))
        # In units of the largest difference, which the solver's tolerances are for; welfare rises with any scale.
        size = float(np.ptp(self.confidence.theta[heard] @ own.T, axis=1).max())
        among = _of(self.confidence, heard, size)
        if rule == UTILITARIAN:
            middle = own.mean(axis=0)
            found = utilitarian_policy(own[None], np.ones(1), among, middle)
            lottery, gap = found.policy[0], found.optimality_gap * size / heard.sum()
            sure[heard] = size * among.reward_bounds(lottery @ own - middle)
        else:
            best = pessimistic_lottery(own - own.mean(axis=0), among, rule)
            lottery, gap = best.lottery, best.optimality_gap
            sure[heard] = size * best.guaranteed
        return lottery, sure, float(gap)


def sure_rewards(features: Sequence[FloatArray], rewards: Sequence[FloatArray], sure: PartyConfidence) -> SureRewards:
    """Checked against the parties and candidates that the rewards are of."""
    for own, table in zip(features, rewards, strict=True):
        require_same_rows(features=own, rewards=table.T)
        require_same_rows(sure=sure.theta, rewards=table)
    return SureRewards(tuple(features), sure)


def _of(confidence: PartyConfidence, heard: BoolArray, size: float) -> PartyConfidence:
    """Of the masked parties, rewards divided by `size`."""
    return replace(
        confidence, theta=confidence.theta[heard] / size, covariance=confidence.covariance[heard],
        radius=confidence.radius[heard] / size,
    )  # fmt: skip
