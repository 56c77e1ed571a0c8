"""Linear contextual bandits with latent types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sim.arguments import (
    float_array,
    require_choice,
    require_count,
    require_not_negative,
    require_number,
    require_shape,
)
from sim.environments.protocol import BradleyTerryWorld, distinct_actions, noisy_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

ContextLaw = Literal["cube", "ball", "gaussian"]
CONTEXT_LAWS: tuple[ContextLaw, ...] = get_args(ContextLaw)


@dataclass(frozen=True, eq=False)
class LinearBandit(BradleyTerryWorld):
    """r_z(x, a) = <coefficients[z, a], [x; 1]> + N(0, noise_sd^2), fresh noise each time an arm is judged.

    coefficients: (n_types, n_actions, d + 1).  context_law: uniform on the cube [0, 1]^d, uniform in the unit
    ball, or standard normal.
    """

    coefficients: FloatArray
    context_law: ContextLaw = "cube"
    noise_sd: float = 0.0

    def __post_init__(self) -> None:
        float_array("coefficients", self.coefficients, ("types", "actions", "d + 1"))
        if 0 in self.coefficients.shape or self.coefficients.shape[2] < 2:
            raise ValueError(f"coefficients must be (types, actions, d + 1), d >= 1 (got {self.coefficients.shape})")
        require_choice("context_law", self.context_law, CONTEXT_LAWS)
        require_not_negative(noise_sd=self.noise_sd)

    @property
    def n_types(self) -> int:
        return int(self.coefficients.shape[0])

    @property
    def n_actions(self) -> int:
        return int(self.coefficients.shape[1])

    @property
    def dimension(self) -> int:
        return int(self.coefficients.shape[2]) - 1

    def draw_contexts(self, n: int, stream: Stream) -> FloatArray:
        """n contexts; (n, d)."""
        if self.context_law == "cube":
            return stream.uniforms((n, self.dimension))
        direction = stream.normals((n, self.dimension))
        if self.context_law == "gaussian":
            return direction
        radius = stream.child("radius").uniforms(n) ** (1.0 / self.dimension)
        return np.asarray(direction * (radius / np.linalg.norm(direction, axis=1))[:, None])

    def rewards(self, contexts: FloatArray) -> FloatArray:
        """Noiseless r_z(x, a); (n, d) -> (n_types, n, n_actions)."""
        require_shape("contexts", contexts, ("n", self.dimension))
        linear = np.einsum("nd,zad->zna", contexts, self.coefficients[:, :, :-1])
        return np.asarray(linear + self.coefficients[:, None, :, -1])

    def draw_offers(self, contexts: FloatArray, n_offered: int, stream: Stream) -> IntArray:
        """Distinct actions, uniformly; (n, n_offered)."""
        return distinct_actions(len(contexts), n_offered, self.n_actions, stream)

    def preferred(self, contexts: FloatArray, types: IntArray, offered: IntArray) -> FloatArray:
        """E sigma(r_z(x, a) - r_z(x, b)) over the rewards' own noise, offered (n, 2); (n,)."""
        own = self._mean_rewards_of(contexts, types, offered)
        return noisy_sigmoid(own[:, 0] - own[:, 1], np.sqrt(2.0) * self.noise_sd)

    def rewards_of(self, contexts: FloatArray, types: IntArray, actions: IntArray, stream: Stream) -> FloatArray:
        """Noisy rewards of each row's type for the offered actions (n, J); (n, J). Works column by column."""
        out = self._mean_rewards_of(contexts, types, actions)
        if self.noise_sd > 0:
            out += self.noise_sd * stream.normals(actions.shape)
        return out

    def _mean_rewards_of(self, contexts: FloatArray, types: IntArray, actions: IntArray) -> FloatArray:
        out = np.empty(actions.shape)
        for place in range(actions.shape[1]):
            chosen = actions[:, place]
            total = self.coefficients[types, chosen, -1].copy()
            for axis in range(self.dimension):
                total += self.coefficients[types, chosen, axis] * contexts[:, axis]
            out[:, place] = total
        return out

    def features_of(self, contexts: FloatArray, responses: IntArray) -> FloatArray:
        """e_a kron [x; 1], in which the rewards are linear; actions (n, J) -> (n, J, n_actions (d + 1))."""
        n, J = responses.shape
        told = np.concatenate([contexts, np.ones((n, 1))], axis=1)
        own = np.eye(self.n_actions)[responses]
        return np.asarray((own[..., None] * told[:, None, None, :]).reshape(n, J, -1))

    def expected_reward(self, contexts: FloatArray, probabilities: FloatArray) -> FloatArray:
        """Mean over the contexts of E_{a ~ pi} r_z(x, a); probabilities (n, n_actions) -> (n_types,)."""
        return self._expected(self.rewards(contexts), probabilities)

    def regret(self, contexts: FloatArray, probabilities: FloatArray) -> FloatArray:
        """Mean over the contexts of max_a r_z(x, a) - E_{a ~ pi} r_z(x, a); (n_types,)."""
        rewards = self.rewards(contexts)
        return np.asarray(rewards.max(axis=2).mean(axis=1) - self._expected(rewards, probabilities))

    def _expected(self, rewards: FloatArray, probabilities: FloatArray) -> FloatArray:
        """rewards: (n_types, n, n_actions)."""
        n = rewards.shape[1]
        require_shape("probabilities", probabilities, (n, self.n_actions))
        return np.asarray(np.einsum("na,zna->z", probabilities, rewards) / n)


def majority_bandit(n_types: int = 3, dimension: int = 3, scale: float = 10.0, noise_sd: float = 0.1) -> LinearBandit:
    """The bandit of arXiv 2405.15065, section 5.1: r_z(x, a) = scale * sum(x) * 1{a = z} + N(0, .01)."""
    require_count("n_types", n_types)
    require_count("dimension", dimension)
    require_number(scale=scale)
    coefficients = np.zeros((n_types, n_types, dimension + 1))
    coefficients[np.arange(n_types), np.arange(n_types), :-1] = scale
    return LinearBandit(coefficients, "cube", noise_sd)
