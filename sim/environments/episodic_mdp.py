"""Episodic MDPs with finitely many states, exact dynamic programming, and comparisons of trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from sim.arguments import float_array, index_array, probability_array, require_count, require_shape
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class EpisodicMDP:
    """transitions (H - 1, S, A, S), law (S,) of the first state, features (S, A, d); H steps, rewards by step.

    [arXiv 2403.05006, section 4.3]  Policies are non-stationary and deterministic: actions (H, S).
    """

    transitions: FloatArray
    law: FloatArray
    features: FloatArray

    def __post_init__(self) -> None:
        float_array("features", self.features, ("S", "A", "d"))
        S, A, _ = self.features.shape
        probability_array("transitions", self.transitions, ("H - 1", S, A, S), 1e-5)
        probability_array("law", self.law, (S,), 1e-5)

    @property
    def horizon(self) -> int:
        return len(self.transitions) + 1

    def occupancy(self, policy: IntArray) -> FloatArray:
        """P(s_h = s | policy); (H, S). The paper's d^pi is its sum over steps, of total mass H."""
        self._require(policy, None)
        S = len(self.law)
        out = np.empty((self.horizon, S))
        out[0] = self.law
        for h in range(self.horizon - 1):
            out[h + 1] = out[h] @ self.transitions[h][np.arange(S), policy[h]]
        return out

    def value(self, policy: IntArray, reward: FloatArray) -> float:
        """E sum_h reward(s_h, a_h) by backward recursion; reward (S, A)."""
        self._require(policy, reward)
        S, ahead = len(self.law), np.zeros(len(self.law))
        for h in range(self.horizon - 1, -1, -1):
            next_value = 0.0 if h == self.horizon - 1 else self.transitions[h][np.arange(S), policy[h]] @ ahead
            ahead = reward[np.arange(S), policy[h]] + next_value
        return float(self.law @ ahead)

    def occupancy_value(self, policy: IntArray, reward: FloatArray) -> float:
        """sum_h sum_s P(s_h = s) reward(s, a_h(s)): the same number by occupancies."""
        self._require(policy, reward)
        S, d = len(self.law), self.occupancy(policy)
        return float(sum(d[h] @ reward[np.arange(S), policy[h]] for h in range(self.horizon)))

    def best_policy(self, reward: FloatArray) -> tuple[IntArray, float]:
        """The policy of largest value by dynamic programming, and that value. [Algorithm 1, MDP]

        With reward(s, a) = W(v_1(s, a), ..., v_M(s, a)) this maximises the sum over steps of the welfare of each step:
        J(pi) = sum_s d^pi(s) W(s, pi(s)); welfare of the returns has no such recursion.
        """
        self._require(None, reward)
        S, ahead = len(self.law), np.zeros(len(self.law))
        policy = np.empty((self.horizon, S), dtype=np.int64)
        for h in range(self.horizon - 1, -1, -1):
            q = reward if h == self.horizon - 1 else reward + self.transitions[h] @ ahead
            policy[h] = q.argmax(axis=1)
            ahead = q.max(axis=1)
        return policy, float(self.law @ ahead)

    def _require(self, policy: IntArray | None, reward: FloatArray | None) -> None:
        S, A, _ = self.features.shape
        if policy is not None:
            require_shape("policy", index_array("policy", policy, A), (self.horizon, S))
        if reward is not None:
            float_array("reward", reward, (S, A))

    def all_policies(self) -> list[IntArray]:
        """Every deterministic policy, (H, S) each: for tiny instances only."""
        S, A, _ = self.features.shape
        return [np.array(actions).reshape(self.horizon, S) for actions in product(range(A), repeat=self.horizon * S)]

    def trajectories(self, n: int, behaviour: FloatArray, stream: Stream) -> tuple[IntArray, IntArray]:
        """n trajectories under a stationary behaviour policy (S, A); states and actions (n, H)."""
        from sim.compiled import trajectories as walks

        require_count("n", n)
        probability_array("behaviour", behaviour, self.features.shape[:2], 1e-5)
        u = stream.child("trajectories").uniforms((n, 2 * self.horizon))
        states, actions = np.empty((n, self.horizon), dtype=np.int64), np.empty((n, self.horizon), dtype=np.int64)
        first, acting, moving = (
            np.cumsum(law, axis=-1, dtype=float) for law in (self.law, behaviour, self.transitions)
        )
        walks.walk(u, first, acting, moving, states, actions)
        return states, actions

    @property
    def n_features(self) -> int:
        return int(self.features.shape[2])

    def draw_contexts(self, n: int, stream: Stream) -> IntArray:
        """There is one context, 0: a trajectory draws its own first state; (n,)."""
        return np.zeros(n, dtype=np.int64)

    def draw_offers(self, contexts: IntArray, n_offered: int, stream: Stream) -> IntArray:
        """Trajectories under uniform actions, (state, action) step by step; (n, n_offered, H, 2)."""
        require_count("n_offered", n_offered, 2)
        uniform = np.full(self.features.shape[:2], 1.0 / self.features.shape[1])
        drawn = [self.trajectories(len(contexts), uniform, stream.child(f"offer/{j}")) for j in range(n_offered)]
        return np.stack([np.stack(steps, axis=-1) for steps in drawn], axis=1)

    def features_of(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        """Features summed along trajectories (n, J, H, 2); (n, J, d)."""
        return np.asarray(self.features[responses[..., 0], responses[..., 1]].sum(axis=-2))

    def collect(self, theta: FloatArray, per_annotator: int, behaviour: FloatArray, stream: Stream) -> FloatArray:
        """Summed features of the chosen trajectory minus those of the rejected, Bradley-Terry on returns; (M, n, d).

        P(first preferred) = sigma(sum_h R_m(s_h, a_h) - sum_h R_m(s'_h, a'_h)), theta (M, d).
        """
        from sim.compiled.trajectories import add_features
        from sim.environments.trajectory_pool import sign_answers

        float_array("theta", theta, ("M", self.features.shape[2]))
        require_count("per_annotator", per_annotator)
        M, d = theta.shape
        totals, features = np.empty((2, M * per_annotator, d)), np.require(self.features, float, ["C", "W"])
        for name, own in zip(("first", "second"), totals, strict=True):
            add_features(features, *self.trajectories(M * per_annotator, behaviour, stream.child(name)), own)
        return sign_answers((totals[0] - totals[1]).reshape(M, per_annotator, d), theta, stream)


def _require_sizes(n_states: int, n_actions: int, d: int, horizon: int) -> None:
    for name, value in (("n_states", n_states), ("n_actions", n_actions), ("d", d), ("horizon", horizon)):
        require_count(name, value)


def random_mdp(n_states: int, n_actions: int, d: int, horizon: int, stream: Stream) -> EpisodicMDP:
    """Transitions uniform on the simplex, features normal with length at most 1."""
    _require_sizes(n_states, n_actions, d, horizon)
    shape = (horizon - 1, n_states, n_actions, n_states)
    transitions = -np.log(stream.child("transitions").uniforms(shape))
    transitions /= transitions.sum(axis=-1, keepdims=True)
    features = stream.child("features").normals((n_states, n_actions, d))
    features /= np.linalg.norm(features, axis=-1).max()
    return EpisodicMDP(transitions, np.full(n_states, 1.0 / n_states), features)


def linear_mdp(n_states: int, n_actions: int, d: int, horizon: int, stream: Stream) -> EpisodicMDP:
    """A linear MDP: P_h(s'|s, a) = <phi(s, a), mu_h(s')>, phi on the simplex, mu_h d laws over states.

    Rewards <theta, phi(s, a)> are linear in the same features; transitions then have rank at most d.
    """
    _require_sizes(n_states, n_actions, d, horizon)
    features = -np.log(stream.child("features").uniforms((n_states, n_actions, d)))
    features /= features.sum(axis=-1, keepdims=True)
    laws = -np.log(stream.child("laws").uniforms((horizon - 1, d, n_states)))
    laws /= laws.sum(axis=-1, keepdims=True)
    transitions = np.einsum("sad,hdt->hsat", features, laws)
    return EpisodicMDP(transitions, np.full(n_states, 1.0 / n_states), features)
