"""Contexts with finitely many actions and frozen features: pairs are two actions of one context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, index_array, probability_array, require_count, require_shape
from sim.environments.protocol import require_pairs
from sim.environments.trajectory_pool import sign_answers
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class ContextualPool:
    """features (S, A, d); law (S,) of contexts; first, second (S, A): the laws of a pair's two actions.

    The contextual bandit of arXiv 2405.00254, section 2, at H = 1. reference: (S,) action of reward 0 in each context,
    or None; with it features are relative to it (assumption A5, context by context). Rewards are <theta_i, phi(s, a)>,
    so that a shared or an annotator's own subspace is a matter of theta (`sim.populations.shared_representation`).
    """

    features: FloatArray
    law: FloatArray
    first: FloatArray
    second: FloatArray
    reference: IntArray | None = None

    def __post_init__(self) -> None:
        float_array("features", self.features, ("S", "A", "d"))
        S, A, _ = self.features.shape
        probability_array("law", self.law, (S,), 1e-5)
        probability_array("first", self.first, (S, A), 1e-5)
        probability_array("second", self.second, (S, A), 1e-5)
        if self.reference is not None:
            require_shape("reference", index_array("reference", self.reference, A), (S,))

    @property
    def pinned(self) -> FloatArray:
        """Features, minus those of the context's reference action where there is one; (S, A, d)."""
        if self.reference is None:
            return self.features
        return self.features - self.features[np.arange(len(self.features)), self.reference][:, None]

    @property
    def n_features(self) -> int:
        return int(self.features.shape[2])

    def draw_contexts(self, n: int, stream: Stream) -> IntArray:
        """n contexts by `law`; (n,)."""
        return stream.choice(self.law, n)

    def draw_offers(self, contexts: IntArray, n_offered: int, stream: Stream) -> IntArray:
        """Two actions of each context, from its rows of `first` and `second`; (n, 2)."""
        require_pairs(n_offered)
        laws = (("a", self.first), ("b", self.second))
        return np.stack([self._actions(law, contexts, stream.child(name)) for name, law in laws], axis=1)

    def features_of(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        """Pinned features of actions (n, J); (n, J, d)."""
        return np.asarray(self.pinned[contexts[:, None], responses])

    def rewards(self, theta: FloatArray) -> FloatArray:
        """r_i(s, a); (N, d) -> (N, S, A)."""
        require_shape("theta", theta, ("N", self.features.shape[2]))
        return np.asarray(np.einsum("sad,nd->nsa", self.pinned, theta))

    def collect(self, theta: FloatArray, per_annotator: int, stream: Stream) -> FloatArray:
        """phi(s, chosen) - phi(s, rejected) of Bradley-Terry answers; (N, per_annotator, d)."""
        float_array("theta", theta, ("N", self.features.shape[2]))
        require_count("per_annotator", per_annotator)
        shape = (len(theta), per_annotator)
        s = stream.child("contexts").choice(self.law, shape)
        draws = [self._actions(laws, s, stream.child(name)) for name, laws in (("a", self.first), ("b", self.second))]
        return sign_answers(self.features[s, draws[0]] - self.features[s, draws[1]], theta, stream)

    def _actions(self, laws: FloatArray, contexts: IntArray, stream: Stream) -> IntArray:
        """One action a row, by the inverse distribution function of its context."""
        from sim.compiled.trajectories import pick_rows

        edges, picked = np.cumsum(laws, axis=1, dtype=float), np.empty(contexts.shape, dtype=np.int64)
        pick_rows(edges, contexts.ravel(), stream.uniforms(contexts.shape).ravel(), picked.reshape(-1))
        return picked

    def value(self, theta: FloatArray, policy: FloatArray) -> FloatArray:
        """J(pi; r_i) = sum_s law(s) sum_a pi(a|s) r_i(s, a); policy (S, A) -> (N,)."""
        require_shape("policy", policy, self.first.shape)
        return np.asarray(np.einsum("s,sa,nsa->n", self.law, policy, self.rewards(theta)))
