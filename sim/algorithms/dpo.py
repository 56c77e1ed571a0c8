"""Weighted DPO: one policy for everybody, or the M-step of one group."""

from __future__ import annotations

import numpy as np

from sim.arguments import float_array, weight_array
from sim.policies.protocol import PreferencePolicy, choice_log_likelihood
from sim.preferences import FloatArray, Observations


def dpo(policy: PreferencePolicy, observations: Observations, weights: FloatArray | None = None) -> FloatArray:
    """Fit `policy` by DPO, in place, and return each answer's log-likelihood under it; (n,), nats.

    Loss = -sum_j v_j log sigma(M_j) / sum_j v_j with M the margin of implicit rewards
    (arXiv 2405.15065, section 3; v = 1 is pooled DPO). `weights` multiply the observations' own.
    """
    total = observations.pair_weights()
    if weights is not None:
        total = total * weight_array("weights", weights, len(observations))
    policy.fit(observations, total)
    return choice_log_likelihood(policy, observations)


def dpo_loss(log_likelihood: FloatArray, weights: FloatArray) -> float:
    """-sum_j v_j log sigma(M_j) / sum_j v_j."""
    float_array("log_likelihood", log_likelihood, ("n",))
    weight_array("weights", weights, len(log_likelihood))
    return float(-(weights @ log_likelihood) / np.sum(weights))
