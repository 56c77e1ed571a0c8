"""Algorithm 6 step by step: who starts a cluster, who moves, and what is fitted (arXiv 2405.00254)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.stochastic_cluster_dpo import stochastic_cluster_dpo
from sim.environments.trajectory_pool import sign_answers
from sim.likelihoods import log_sigmoid
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.populations.shared_representation import clustered_heads
from sim.preferences import FloatArray, IntArray, Observations, PreferencePairs
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV

_ANNOTATORS, _ANSWERS, _CLUSTERS, _ROUNDS, _STEPS, _RIDGE = 9, 12, 3, 6, 4, 0.1


class _Watched(LogLinear):
    """Notes whose answers each fit was given, and how many steps."""

    def __init__(self, features: ItemFeatures) -> None:
        super().__init__(features, ridge=_RIDGE)
        self.fitted_to: list[frozenset[int]] = []
        self.steps: list[int] = []

    def fit(self, observations: Observations, weights: FloatArray) -> None:
        assert isinstance(observations, PreferencePairs)
        self.fitted_to.append(frozenset(observations.annotator[weights > 0.0].tolist()))
        super().fit(observations, weights)

    def ascend(self, pairs: PreferencePairs, weights: FloatArray, steps: int) -> None:
        self.fitted_to.append(frozenset(pairs.annotator[weights > 0.0].tolist()))
        self.steps.append(steps)
        super().ascend(pairs, weights, steps)


@dataclass(frozen=True)
class StepsSetting(Setting):
    """rewards: those a move is held against, of before the round's fits or of after them."""

    replicates: int = 100
    rewards: str = "before"


class StochasticSteps(Theorem[StepsSetting]):
    """Algorithm 6: K annotators, no two the same, start a cluster each, fitted to their own answers alone. A round
    draws K annotators; each moves to the cluster whose reward makes her answers likeliest, sum_j log sigma(<theta_s,
    d_j>), and a cluster then takes a few ascent steps on the answers of those who were drawn and are in it, and of no
    others; clusters nobody drew stay as they are. At the end everybody goes to her likeliest cluster. The steps raise
    the objective, mean log sigma - (ridge / 2) |theta|^2, by at least |gradient|^2 / (2 L), which one step of 1 / L
    does where its curvature is at most L.

    Value: how many of these statements a run breaks, read off the fits and off the rewards at every round; 9
    annotators around 3 centres, 12 answers each, 6 rounds of 4 steps. Control: moves held against the rewards of
    after the round."""

    claim_id, paper, source = "cluster-stochastic-steps", PAPER.name, f"{ARXIV}, Algorithm 6"
    statement = "Every start, move and fit of the stochastic alternation is the one that the algorithm names."
    cost = 1.0
    SETTINGS = {"as_stated": Variant(StepsSetting())}

    def bound(self, setting: StepsSetting) -> Bound:
        return EveryDraw(0.0)

    def draw(self, setting: StepsSetting, stream: Stream) -> float:
        theta = clustered_heads(_ANNOTATORS, _CLUSTERS, stream, spread=0.3)
        x = stream.child("differences").generator().standard_normal((_ANNOTATORS, _ANSWERS, theta.shape[1]))
        rows = sign_answers(x, theta, stream).reshape(-1, theta.shape[1])
        features = ItemFeatures(np.stack([rows, np.zeros_like(rows)], axis=1).reshape(-1, theta.shape[1]))
        item = 2 * np.arange(len(rows))
        who = np.repeat(np.arange(_ANNOTATORS), _ANSWERS)
        pairs = PreferencePairs(np.zeros_like(item), item, item + 1, who, _ANNOTATORS)
        policies = [_Watched(features) for _ in range(_CLUSTERS)]
        rewards: list[FloatArray] = []
        labels: list[IntArray] = []
        fits: list[list[int]] = []

        def record(own: IntArray) -> None:
            rewards.append(np.stack([policy.theta.copy() for policy in policies]))
            labels.append(own)
            fits.append([len(policy.fitted_to) for policy in policies])

        # Without a round the rewards are those of the start; the same stream then starts the same way.
        started = [_Watched(features) for _ in range(_CLUSTERS)]
        stochastic_cluster_dpo(started, pairs, 0, stream)
        first = np.stack([policy.theta for policy in started])
        last = stochastic_cluster_dpo(policies, pairs, _ROUNDS, stream, steps=_STEPS, on_round=record)

        def shortfall(before: FloatArray, after: FloatArray, members: list[int]) -> float:
            """How far the rise stays below |gradient|^2 / (2 L), what one step of 1 / L gains at least."""
            own = rows[np.isin(who, members)]
            first, last = (log_sigmoid(own @ t).mean() - 0.5 * _RIDGE * t @ t for t in (before, after))
            gradient = np.exp(log_sigmoid(-own @ before)) @ own / len(own) - _RIDGE * before
            curvature = 0.25 * float(np.linalg.norm(own, 2)) ** 2 / len(own) + _RIDGE
            return float(0.5 * gradient @ gradient / curvature - (last - first))

        def best(theta: FloatArray) -> IntArray:
            scores = log_sigmoid(rows @ theta.T).reshape(_ANNOTATORS, _ANSWERS, _CLUSTERS).sum(axis=1)
            return np.asarray(scores.argmax(axis=1))

        starters = [policy.fitted_to[0] for policy in policies]
        broken = sum(len(own) != 1 for own in starters) + (_CLUSTERS - len(frozenset().union(*starters)))
        before, done = first, [1] * _CLUSTERS
        for t in range(_ROUNDS):
            held = best(before if setting.rewards == "before" else rewards[t])
            drawn: list[int] = []
            for s, policy in enumerate(policies):
                own = policy.fitted_to[done[s] : fits[t][s]]
                broken += len(own) > 1
                members = sorted(own[0]) if own else []
                broken += sum(held[annotator] != s or labels[t][annotator] != s for annotator in members)
                if members:
                    broken += shortfall(before[s], rewards[t][s], members) > 1e-12
                else:
                    broken += not np.array_equal(before[s], rewards[t][s])
                drawn += members
            broken += len(drawn) != _CLUSTERS or len(set(drawn)) != len(drawn)
            if t:
                moved = np.flatnonzero(labels[t] != labels[t - 1])
                broken += not set(moved.tolist()) <= set(drawn)
            before, done = rewards[t], fits[t]
        broken += sum(steps != _STEPS for policy in policies for steps in policy.steps)
        return float(broken + (last != best(before)).sum())

    def control(self, setting: StepsSetting) -> tuple[Control[StepsSetting], ...]:
        return (Control("moves held against the rewards of after the fits", replace(setting, rewards="after")),)


THEOREMS = (StochasticSteps(),)
