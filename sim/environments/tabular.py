"""Finite contexts and actions with exact expectations: the oracle of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.arguments import (
    float_array,
    probability_array,
    require_choice,
    require_count,
    require_number,
    require_positive,
    require_shape,
)
from sim.environments.protocol import BradleyTerryWorld, distinct_actions, sigmoid
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class TabularEnvironment(BradleyTerryWorld):
    """Types' rewards over finite contexts and actions.

    rewards: r_z(s, a), (n_types, n_contexts, n_actions).  context_probabilities: (n_contexts,).
    reference: pi_0(a|s), (n_contexts, n_actions), positive.  Contexts do not depend on the type (Assumption 1).
    """

    rewards: FloatArray
    context_probabilities: FloatArray
    reference: FloatArray

    def __post_init__(self) -> None:
        float_array("rewards", self.rewards, ("types", "contexts", "actions"))
        if 0 in self.rewards.shape:
            raise ValueError(f"rewards must be (types, contexts, actions), none empty (got {self.rewards.shape})")
        _, S, A = self.rewards.shape
        probability_array("context_probabilities", self.context_probabilities, (S,), 1e-9)
        probability_array("reference", self.reference, (S, A), 1e-9)
        if (self.reference <= 0).any():
            raise ValueError("reference must be positive: where it is 0, log(pi / pi_0) is undefined")

    @property
    def n_types(self) -> int:
        return int(self.rewards.shape[0])

    @property
    def n_contexts(self) -> int:
        return int(self.rewards.shape[1])

    @property
    def n_actions(self) -> int:
        return int(self.rewards.shape[2])

    def draw_contexts(self, n: int, stream: Stream) -> IntArray:
        """n contexts; (n,) int."""
        return stream.choice(self.context_probabilities, n)

    def rewards_of(self, contexts: IntArray, types: IntArray, actions: IntArray, stream: Stream) -> FloatArray:
        """r_z(s, a) of each row's type for the offered actions (n, J); (n, J). No noise."""
        return np.asarray(self.rewards[types[:, None], contexts[:, None], actions])

    def draw_offers(self, contexts: IntArray, n_offered: int, stream: Stream) -> IntArray:
        """Distinct actions, uniformly; (n, n_offered)."""
        return distinct_actions(len(contexts), n_offered, self.n_actions, stream)

    def preferred(self, contexts: IntArray, types: IntArray, offered: IntArray) -> FloatArray:
        """sigma(r_z(s, a) - r_z(s, b)) of offered (n, 2); (n,)."""
        own = self.rewards[types[:, None], contexts[:, None], offered]
        return sigmoid(own[:, 0] - own[:, 1])

    def features_of(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        """One indicator a context and action; actions (n, J) -> (n, J, n_contexts n_actions)."""
        return np.asarray(np.eye(self.n_contexts * self.n_actions)[contexts[:, None] * self.n_actions + responses])

    def expected_reward(self, policy: FloatArray) -> FloatArray:
        """R_z(pi) = E_s E_{a ~ pi} r_z(s, a); policy (n_contexts, n_actions) -> (n_types,)."""
        require_shape("policy", policy, self.reference.shape)
        return np.asarray(np.einsum("s,sa,zsa->z", self.context_probabilities, policy, self.rewards))

    def optimal_policies(self, beta: float) -> FloatArray:
        """pi_z*(a|s) = pi_0 exp(r_z / beta) / C_z(s), the KL-regularised optima; (n_types, n_contexts, n_actions)."""
        require_positive(beta=beta)
        return np.exp(log_softmax(np.log(self.reference) + self.rewards / beta))

    def kl(self, policy: FloatArray) -> float:
        """E_s KL(pi || pi_0), with 0 log 0 = 0."""
        ratio = np.where(policy > 0, policy, 1.0) / self.reference
        return float(self.context_probabilities @ np.where(policy > 0, policy * np.log(ratio), 0.0).sum(axis=1))

    def regularised_value(self, policy: FloatArray, beta: float) -> FloatArray:
        """R_z(pi) - beta KL(pi || pi_0); (n_types,)."""
        return self.expected_reward(policy) - beta * self.kl(policy)

    def regret(
        self, policy: FloatArray, comparator: Literal["greedy", "kl"] = "greedy", beta: float = 1.0
    ) -> FloatArray:
        """R_z(comparator) - R_z(pi); "greedy": the best action, "kl": pi_z* at `beta` (may be negative)."""
        require_choice("comparator", comparator, ("greedy", "kl"))
        if comparator == "greedy":
            best = self.rewards.max(axis=2) @ self.context_probabilities
        else:
            best = np.einsum("s,zsa,zsa->z", self.context_probabilities, self.optimal_policies(beta), self.rewards)
        return np.asarray(best - self.expected_reward(policy))


def random_tabular(
    n_types: int,
    n_contexts: int,
    n_actions: int,
    stream: Stream,
    scale: float = 1.0,
    uniform_reference: bool = False,
) -> TabularEnvironment:
    """Normal rewards of standard deviation `scale`; context law and reference drawn uniformly on the simplex."""
    for name, count in (("n_types", n_types), ("n_contexts", n_contexts), ("n_actions", n_actions)):
        require_count(name, count)
    require_positive(scale=scale)
    rewards = scale * stream.child("rewards").normals((n_types, n_contexts, n_actions))
    contexts = -np.log(stream.child("contexts").uniforms(n_contexts))
    reference = (
        np.ones((n_contexts, n_actions))
        if uniform_reference
        else -np.log(stream.child("reference").uniforms((n_contexts, n_actions)))
    )
    return TabularEnvironment(rewards, contexts / contexts.sum(), reference / reference.sum(axis=1, keepdims=True))


def _one_context(rewards: FloatArray) -> TabularEnvironment:
    n_actions = rewards.shape[1]
    return TabularEnvironment(rewards[:, None, :], np.ones(1), np.full((1, n_actions), 1.0 / n_actions))


def compromise_arm(compromise: float = 6.0, n_types: int = 3, own: float = 10.0) -> TabularEnvironment:
    """Each type's own arm gives `own`; one more arm gives `compromise` to everybody.

    An ensemble of the types' own policies cannot play it, another policy can.
    """
    require_count("n_types", n_types)
    require_number(compromise=compromise, own=own)
    return _one_context(np.concatenate([own * np.eye(n_types), np.full((n_types, 1), compromise)], axis=1))


def maxmin_example() -> TabularEnvironment:
    """r_1 = (0, .01, .02), r_2 = (0, 10, 1): max-min reward and min-max regret part (arXiv 2405.15065, section 4)."""
    return _one_context(np.array([[0.0, 0.01, 0.02], [0.0, 10.0, 1.0]]))
