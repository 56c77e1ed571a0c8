"""Which responses annotators are offered, and how well that covers a target policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import (
    float_array,
    probability_array,
    require_count,
    require_index,
    require_not_negative,
)
from sim.environments.protocol import distinct_actions, successive_actions
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True)
class Behaviour:
    """The behaviour policy: with probability `coverage` an arm is drawn uniformly, else it is `favourite`.

    coverage = 1 is uniform; towards 0 everything but the favourite arm is rarely seen. The arms of one offer
    are distinct, drawn one after the other without replacement: i.i.d. draws from pi_SFT would waste answers
    on comparing an arm with itself (a third of them with three arms).
    """

    coverage: float = 1.0
    favourite: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.coverage <= 1:
            raise ValueError(f"coverage must lie in (0, 1] (got {self.coverage}); 1 is uniform")
        require_count("favourite", self.favourite, 0)

    def probabilities(self, n_actions: int) -> FloatArray:
        """mu(a), the law of the first offered arm; (n_actions,)."""
        require_count("n_actions", n_actions)
        require_index("favourite", self.favourite, n_actions)
        law = np.full(n_actions, self.coverage / n_actions)
        law[self.favourite] += 1.0 - self.coverage
        return law

    def draw(self, n: int, n_offered: int, n_actions: int, stream: Stream) -> IntArray:
        """Distinct arms in each row; (n, n_offered). Successive draws by the Gumbel-max trick."""
        if self.coverage == 1.0:
            return distinct_actions(n, n_offered, n_actions, stream)
        return successive_actions(np.log(self.probabilities(n_actions)), n, n_offered, stream)


def concentrability(target: FloatArray, behaviour: FloatArray) -> float:
    """C* = max over (s, a) with pi(a|s) > 0 of pi(a|s) / mu(a|s), the single-policy concentrability.

    target: (n_contexts, n_actions).  behaviour: the same shape or (n_actions,). Infinite where mu misses pi.
    """
    probability_array("target", target, ("n_contexts", "n_actions"), 1e-5)
    shape = target.shape if np.ndim(behaviour) == 2 else target.shape[1:]
    mu = np.broadcast_to(probability_array("behaviour", behaviour, shape, 1e-5), target.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(target > 0, target / mu, 0.0)
    return float(ratio.max())


def feature_concentrability(target_features: FloatArray, behaviour_features: FloatArray, ridge: float = 0.0) -> float:
    """||E_pi phi - E_mu phi||_{Sigma^-1}, Sigma = Cov_mu of feature differences + ridge I.

    The coverage term of pessimistic offline preference learning in a linear class (Zhu, Jordan, Jiao 2023),
    with mu's mean as reference vector. target_features: (n, d) draws under pi; behaviour_features: (m, 2, d)
    draws of offered pairs. Infinite if pi leaves the span.
    """
    float_array("target_features", target_features, ("n", "d"))
    float_array("behaviour_features", behaviour_features, ("m", 2, target_features.shape[1]))
    require_not_negative(ridge=ridge)
    difference = behaviour_features[:, 0] - behaviour_features[:, 1]
    sigma = difference.T @ difference / len(difference) + ridge * np.eye(difference.shape[1])
    shift = target_features.mean(axis=0) - behaviour_features.mean(axis=(0, 1))
    solution, _, rank, _ = np.linalg.lstsq(sigma, shift, rcond=None)
    if rank < len(sigma) and np.abs(sigma @ solution - shift).max() > 1e-9 * max(1.0, np.abs(shift).max()):
        return float("inf")
    return float(np.sqrt(max(shift @ solution, 0.0)))
