"""Log-linear policies: the exact backend for contexts with features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sim.arguments import (
    float_array,
    index_array,
    probability_array,
    require_count,
    require_positive,
    require_shape,
    weight_array,
)
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.plackett_luce import fit_plackett_luce
from sim.policies.finite import RewardPolicy
from sim.preferences import AnyArray, FloatArray, Observations, PreferencePairs, Rankings


class FeatureMap(Protocol):
    """phi(x, a): what makes a reward linear."""

    @property
    def n_features(self) -> int: ...

    @property
    def n_actions(self) -> int: ...

    def rows(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """phi at each row; (n, n_features)."""
        ...

    def differences(self, contexts: AnyArray, chosen: AnyArray, rejected: AnyArray) -> FloatArray:
        """phi(x, chosen) - phi(x, rejected); (n, n_features)."""
        ...

    def rewards(self, contexts: AnyArray, theta: FloatArray) -> FloatArray:
        """<theta, phi(x, a)> for every action; (n, n_actions)."""
        ...


@dataclass(frozen=True)
class ArmFeatures:
    """phi(x, a) = e_a kron [x; 1]: one linear function of the context for each arm.

    The linear class for the bandit of arXiv 2405.15065, section 5.1: 12 parameters for d = 3 and three arms. A
    vector added to every arm's block changes nothing; the ridge removes that null space.
    """

    n_actions: int
    dimension: int

    def __post_init__(self) -> None:
        require_count("n_actions", self.n_actions)
        require_count("dimension", self.dimension)

    @property
    def n_features(self) -> int:
        return self.n_actions * (self.dimension + 1)

    def _extended(self, contexts: AnyArray) -> FloatArray:
        require_shape("contexts", contexts, ("n", self.dimension))
        return np.concatenate([contexts, np.ones((len(contexts), 1))], axis=1)

    def rows(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        index_array("responses", responses, self.n_actions)
        blocks = np.zeros((len(contexts), self.n_actions, self.dimension + 1))
        blocks[np.arange(len(contexts)), responses] = self._extended(contexts)
        return blocks.reshape(len(contexts), -1)

    def differences(self, contexts: AnyArray, chosen: AnyArray, rejected: AnyArray) -> FloatArray:
        float_array("contexts", contexts, ("n", self.dimension))
        index_array("chosen", chosen, self.n_actions)
        index_array("rejected", rejected, self.n_actions)
        blocks = np.zeros((len(contexts), self.n_actions, self.dimension + 1))
        extended, row = self._extended(contexts), np.arange(len(contexts))
        blocks[row, chosen] = extended
        blocks[row, rejected] -= extended
        return blocks.reshape(len(contexts), -1)

    def rewards(self, contexts: AnyArray, theta: FloatArray) -> FloatArray:
        return np.asarray(self._extended(contexts) @ theta.reshape(self.n_actions, -1).T)


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """phi(x, a) = table[a]: the context is ignored; table (n_items, n_features)."""

    table: FloatArray

    def __post_init__(self) -> None:
        float_array("table", self.table, ("n_items", "n_features"))

    @property
    def n_actions(self) -> int:
        return int(self.table.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.table.shape[1])

    def rows(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return np.asarray(self.table[index_array("responses", responses, self.n_actions)])

    def differences(self, contexts: AnyArray, chosen: AnyArray, rejected: AnyArray) -> FloatArray:
        first, second = (
            index_array("chosen", chosen, self.n_actions), index_array("rejected", rejected, self.n_actions)
        )  # fmt: skip
        return np.asarray(self.table[first] - self.table[second])

    def rewards(self, contexts: AnyArray, theta: FloatArray) -> FloatArray:
        return np.broadcast_to(self.table @ theta, (len(contexts), self.n_actions))


class LogLinear(RewardPolicy):
    """log pi(a|x) = log pi_ref(a|x) + <theta, phi(x, a)> / beta - log Z(x); theta in reward units.

    `fit` maximises sum_j w_j log sigma(<theta, phi_chosen - phi_rejected>) - penalty by Newton, where
    penalty = 0.5 ridge ||theta||^2, times the total weight if `mass_scaled` (then the objective is the
    weighted mean loss plus the ridge: the same strength for a large and for a small group).
    reference: (n_actions,) probabilities, the same in every context; uniform if None.
    """

    def __init__(
        self,
        features: FeatureMap,
        *,
        beta: float = 1.0,
        ridge: float = 1e-3,
        mass_scaled: bool = True,
        theta: FloatArray | None = None,
        reference: FloatArray | None = None,
    ) -> None:
        require_positive(beta=beta, ridge=ridge)
        self.features, self.beta, self.ridge, self.mass_scaled = features, beta, ridge, mass_scaled
        n_features, n_actions = features.n_features, features.n_actions
        self.theta = np.zeros(n_features) if theta is None else float_array("theta", theta, (n_features,)).copy()
        if reference is None:
            reference = np.full(n_actions, 1.0 / n_actions)
        reference = probability_array("reference", reference, (n_actions,), 1e-5)
        if (reference <= 0).any():
            raise ValueError("reference must be positive: an action it never takes has no log-ratio")
        self._log_reference = np.log(reference)
        # One entry: EM fits every round on the same answers, and phi's differences do not change.
        self._designed: tuple[PreferencePairs, FloatArray] | None = None

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """<theta, phi(x, a)>, which is beta log(pi / pi_ref) + beta log Z(x); (n,)."""
        return np.asarray(self.features.rows(contexts, responses) @ self.theta)

    def rewards(self, contexts: AnyArray) -> FloatArray:
        return self.features.rewards(contexts, self.theta)

    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        return np.broadcast_to(self._log_reference, (len(contexts), self.features.n_actions))

    def fit(self, observations: Observations, weights: FloatArray) -> None:
        if not isinstance(observations, PreferencePairs | Rankings):
            raise TypeError(f"expected pairs or rankings, got {type(observations).__name__}; fit it with em_choices")
        weights = weight_array("weights", weights, len(observations))
        if isinstance(observations, PreferencePairs):
            fitted = fit_bradley_terry(
                self._differences(observations), weights, ridge=self.ridge, mass_scaled=self.mass_scaled
            )
            self.theta = fitted.theta
            return
        places = [
            self.features.rows(observations.contexts, observations.responses[:, s])
            for s in range(observations.n_offered)
        ]
        ridge = self.ridge * (weights.sum() if self.mass_scaled else 1.0)
        self.theta = fit_plackett_luce(
            np.stack(places, axis=1), observations.n_ranked, weights, ridge=ridge, start=self.theta
        ).theta

    def ascend(self, pairs: PreferencePairs, weights: FloatArray, steps: int) -> None:
        """`steps` steps of gradient ascent on the weighted mean log-likelihood less its ridge, from where theta is.

        Step 1 / L with L = largest eigenvalue of the mean of x x' / 4, which bounds the curvature, plus the ridge.
        """
        weights = weight_array("weights", weights, len(pairs))
        require_count("steps", steps, 0)
        mass = float(weights.sum())
        if mass == 0.0:
            return
        x = self._differences(pairs)[weights > 0]
        share = weights[weights > 0] / mass
        ridge = self.ridge if self.mass_scaled else self.ridge / mass
        length = 1.0 / (0.25 * float(np.linalg.eigvalsh((x * share[:, None]).T @ x)[-1]) + ridge)
        for _ in range(steps):
            wrong = 1.0 / (1.0 + np.exp(np.clip(x @ self.theta, -700, 700)))
            self.theta = self.theta + length * ((share * wrong) @ x - ridge * self.theta)

    def _differences(self, pairs: PreferencePairs) -> FloatArray:
        if self._designed is None or self._designed[0] is not pairs:
            rows = self.features.differences(pairs.contexts, pairs.chosen, pairs.rejected)
            self._designed = (pairs, rows)
        return self._designed[1]

    def penalty(self, group_mass: float) -> float:
        """0.5 ridge ||theta||^2, times the group's total weight if `mass_scaled`."""
        return 0.5 * self.ridge * (group_mass if self.mass_scaled else 1.0) * float(self.theta @ self.theta)

    def snapshot(self) -> FloatArray:
        return self.theta.copy()

    def restore(self, state: FloatArray) -> None:
        self.theta = state.copy()
