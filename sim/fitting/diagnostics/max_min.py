"""What each cluster gets under MaxMin-RLHF's policy, and under the policies of shares and of the largest cluster."""

from __future__ import annotations

import numpy as np

from sim.algorithms.max_min_rlhf import max_min_policy
from sim.files.atomic import Json
from sim.fitting.diagnostics.regret import candidate_sets
from sim.fitting.prepare import Prepared
from sim.fitting.reward_model import RewardModel
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray


def max_min_policies(model: RewardModel, prepared: Prepared, beta: float) -> dict[str, Json]:
    """Exact over the items of each training prompt, the reference uniform, rewards above a prompt's mean item.

    weights: of the clusters at the optimum, 0 of those that nobody is in, which are no party to it; utilities: mean
    reward of each, nats; value: the least of the others' minus beta KL, gap its certificate.  by_shares: under the
    policy of the clusters' rewards weighed by their shares; largest: under the largest cluster's own policy, all at the
    same beta.
    """
    assert model.departures is not None
    assert model.shares is not None
    theta = model.centre + model.departures
    sets, law = candidate_sets(prepared)
    rewards = [theta @ prepared.features[items].T for items in sets]
    rewards = [table - table.mean(axis=1, keepdims=True) for table in rewards]
    # A cluster that nobody was left in keeps the reward it began with, and nobody is the worse for it.
    there = model.shares > 0
    found = max_min_policy([table[there] for table in rewards], beta, shares=law)
    weights = np.zeros(len(theta))
    weights[there] = found.weights
    utilities = _utilities(rewards, law, weights, beta)
    utilities[there] = found.utilities
    first = np.eye(len(theta))[0]
    return {
        "beta": beta,
        "weights": weights.tolist(),
        "utilities": utilities.tolist(),
        "kl": found.kl,
        "value": found.value,
        "gap": found.gap,
        "by_shares": _utilities(rewards, law, model.shares, beta).tolist(),
        "largest": _utilities(rewards, law, first, beta).tolist(),
    }


def _utilities(rewards: list[FloatArray], law: FloatArray, weights: FloatArray, beta: float) -> FloatArray:
    """Mean reward of each cluster under pi proportional to exp(sum_k w_k r_k / beta)."""
    each = [table @ np.exp(log_softmax(weights @ table / beta)) for table in rewards]
    return np.asarray(law @ np.array(each))
