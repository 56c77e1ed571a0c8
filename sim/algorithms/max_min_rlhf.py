"""MaxMin-RLHF's policy: the KL-regularised one whose worst-off party has the most reward (Chakraborty et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.algorithms.barrier_weights import barrier_weights
from sim.algorithms.worst_case_weights import worst_case_at, worst_case_weights
from sim.arguments import float_array, probability_array, require_positive
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class MaxMinPolicy:
    """policies: (A_s,) a context, rows on the simplex.  weights (K,) of the parties at the optimum.  utilities (K,):
    mean reward of each party.  kl: mean divergence from the reference, nats.  value: min utility - beta kl; gap: no
    policy's value is higher by more."""

    policies: tuple[FloatArray, ...]
    weights: FloatArray
    utilities: FloatArray
    kl: float
    value: float
    gap: float


def max_min_policy(
    rewards: Sequence[FloatArray],
    beta: float,
    *,
    shares: FloatArray | None = None,
    reference: Sequence[FloatArray] | None = None,
    tolerance: float = 1e-6,
    max_rounds: int = 5000,
) -> MaxMinPolicy:
    """argmax over pi of min_k E_s E_pi r_k(s, a) - beta E_s KL(pi || pi_ref).

    [arXiv 2402.08925, the max-min objective, for the K rewards of its EM: `sim.estimators.user_clusters`]
    rewards: (K, A_s) a context.  shares: (contexts,) of the contexts, equal if None.  reference: (A_s,) a context,
    uniform if None.  By duality the policy is pi_ref exp(sum_k p_k r_k / beta), at the weights p that make the
    regularised optimum least.

    Departs from the authors' recipe, which takes PPO steps on the reward of the party that is worst off at the time:
    over finitely many responses the optimum is had exactly, with a certificate. Rewards must be of one scale, as there.
    """
    require_positive(beta=beta)
    if not rewards:
        raise ValueError("rewards must hold a context at least (got none)")
    K = len(float_array("rewards", rewards[0], ("K", "A")))
    tables = [float_array("rewards", table, (K, "A")) for table in rewards]
    law = np.full(len(tables), 1.0 / len(tables)) if shares is None else probability_array(
        "shares", shares, (len(tables),)
    )  # fmt: skip
    sizes = np.array([table.shape[1] for table in tables])
    if reference is None:
        log_reference = -np.log(np.repeat(sizes, sizes).astype(np.float64))
    else:
        if len(reference) != len(tables):
            raise ValueError(f"reference must have a row a context, {len(tables)} (got {len(reference)})")
        rows = [probability_array("reference", r, (size,)) for r, size in zip(reference, sizes.tolist(), strict=True)]
        with np.errstate(divide="ignore"):
            log_reference = np.log(np.concatenate(rows))
    flat, starts = np.concatenate(tables, axis=1), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    of = np.repeat(np.arange(len(sizes)), sizes)

    def best(p: FloatArray, temperature: float) -> tuple[float, FloatArray, FloatArray]:
        """The regularised optimum of the parties' weighted reward, the policy that has it, and its utilities."""
        logits = p @ flat / temperature + log_reference
        highest = np.maximum.reduceat(logits, starts)
        log_total = highest + np.log(np.add.reduceat(np.exp(logits - highest[of]), starts))
        policy = np.exp(logits - log_total[of])
        return temperature * float(law @ log_total), policy, flat @ (policy * law[of])

    def curve(p: FloatArray, temperature: float) -> tuple[float, FloatArray, FloatArray]:
        """The optimum, its gradient and its Hessian: the covariance of the parties' rewards within contexts, over the
        temperature."""
        optimum, policy, utilities = best(p, temperature)
        of_context = np.add.reduceat(flat * policy, starts, axis=1)
        second = (flat * (policy * law[of])) @ flat.T - (of_context * law) @ of_context.T
        return optimum, utilities, second / temperature

    def reply(p: FloatArray) -> tuple[float, FloatArray, tuple[FloatArray, float]]:
        optimum, policy, utilities = best(p, beta)
        # The adversary's gain is what the weighted parties lose.
        return -optimum, -utilities, (policy, (float(p @ utilities) - optimum) / beta)

    found = worst_case_weights(reply, K, tolerance=tolerance, max_rounds=max_rounds)
    if found.gap > tolerance:
        # Where beta is small beside rewards, utilities turn with the last digits of the weights.
        for p in barrier_weights(curve, K, beta, float(np.ptp(flat)), tolerance):
            found = min(found, worst_case_at(p, reply), key=lambda one: one.gap)
    (policy, kl), utilities = found.answer, -found.losses
    return MaxMinPolicy(
        tuple(np.split(policy, starts[1:])), found.weights, utilities, kl, float(utilities.min() - beta * kl), found.gap
    )
