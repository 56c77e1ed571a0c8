"""Types of annotators with rewards linear in a world's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, index_array
from sim.environments.protocol import BradleyTerryWorld, FeatureWorld, sigmoid
from sim.preferences import AnyArray, FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class LinearTypes(BradleyTerryWorld):
    """r_z(x, y) = <theta_z, phi(x, y)> over the features of a trajectory pool, a contextual pool or an episodic MDP.

    theta: (n_types, d), reward units; one row an annotator where each is a type of her own.
    """

    world: FeatureWorld
    theta: FloatArray

    def __post_init__(self) -> None:
        float_array("theta", self.theta, ("n_types", self.world.n_features))

    @property
    def n_types(self) -> int:
        return len(self.theta)

    def draw_contexts(self, n: int, stream: Stream) -> AnyArray:
        return self.world.draw_contexts(n, stream)

    def draw_offers(self, contexts: AnyArray, n_offered: int, stream: Stream) -> AnyArray:
        return self.world.draw_offers(contexts, n_offered, stream)

    def features_of(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """The world's features; (n, J, d)."""
        return self.world.features_of(contexts, responses)

    def rewards_of(self, contexts: AnyArray, types: IntArray, responses: AnyArray, stream: Stream) -> FloatArray:
        """No noise; (n, J)."""
        return self._rewards(contexts, types, responses)

    def preferred(self, contexts: AnyArray, types: IntArray, offered: AnyArray) -> FloatArray:
        rewards = self._rewards(contexts, types, offered)
        return sigmoid(rewards[:, 0] - rewards[:, 1])

    def _rewards(self, contexts: AnyArray, types: IntArray, responses: AnyArray) -> FloatArray:
        own = self.theta[index_array("types", types, self.n_types)]
        return np.asarray(np.einsum("njd,nd->nj", self.world.features_of(contexts, responses), own))
