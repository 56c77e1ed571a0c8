"""Regrets and weights before any policy is sampled: from responses that the reference wrote, by their ratios.

    L[z, k] = E_x E_{y ~ pi_k} h_z = E_x E_{y ~ pi_ref} (pi_k / pi_ref)(y | x) h_z(y | x),    h_z = log(pi_z / pi_ref)

A fitted run has the ratios: one scoring pass of what the reference wrote to a prompt, for all policies, and no
sampling of any. What the tabular twin leaves out is in them: the prompts, and the pooled policy as it was trained.
Self-normalised over all prompts together (within each, few responses would pull every policy to the reference); the
effective number of responses says how much the ratios leave of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.algorithms.minmax_dpo import weigh
from sim.policies.protocol import ScoredPolicy
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class PredictedRegrets:
    """weights (K,): MinMax of the groups' policies at equal priorities.  regrets: policy or "minmax" -> (K,), those of
    the ensemble at the weights given, or at the predicted ones.  welfare: the same, as mean implied rewards of each
    group under the policy, beta E_pi h_z.  effective: of a policy, responses a prompt that its ratios leave."""

    weights: FloatArray
    regrets: Mapping[str, FloatArray]
    welfare: Mapping[str, FloatArray]
    effective: Mapping[str, float]
    responses: float


def predicted_regrets(
    groups: Sequence[ScoredPolicy],
    others: Mapping[str, ScoredPolicy],
    contexts: IntArray,
    responses: IntArray,
    *,
    beta: float,
    weights: FloatArray | None = None,
) -> PredictedRegrets:
    """Of the groups' policies (K of them), others by name, and the groups' MinMax ensemble.

    contexts, responses: (n,) rows that the reference wrote, several a prompt; prompts count alike.  weights: (K,) the
    ensemble's, where they are known already.
    """
    names = [*(f"group {k}" for k in range(len(groups))), *others]
    ratio = np.stack([policy.log_ratio(contexts, responses) for policy in (*groups, *others.values())])
    prompts, place, written = np.unique(contexts, return_inverse=True, return_counts=True)
    share = np.exp(ratio - ratio.max(axis=1, keepdims=True)) / written[place]
    share /= share.sum(axis=1, keepdims=True)
    effective = 1.0 / (share**2).sum(axis=1) / len(prompts)
    K = len(groups)
    L = ratio[:K] @ share.T
    played = weigh(groups, L[:, :K], beta=beta).weights if weights is None else weights
    # Columns: what each group gets of each policy, and of the ensemble.
    welfare = beta * np.column_stack([L[:, K:], L[:, :K] @ played])
    own = beta * np.diag(L[:, :K])
    labels = [*others, "minmax"]
    return PredictedRegrets(
        weights=np.asarray(played),
        regrets={name: own - welfare[:, j] for j, name in enumerate(labels)},
        welfare={name: welfare[:, j] for j, name in enumerate(labels)},
        effective=dict(zip(names, effective.tolist(), strict=True)),
        responses=len(contexts) / len(prompts),
    )


def order_agreement(predicted: Mapping[str, FloatArray], measured: Mapping[str, FloatArray]) -> float | None:
    """Kendall's tau over all (policy, group) that both name; 1 is the same order.  None for fewer than two."""
    from scipy.stats import kendalltau

    both = [name for name in measured if name in predicted]
    if sum(len(measured[name]) for name in both) < 2:
        return None
    first, second = (np.concatenate([one[name] for name in both]) for one in (predicted, measured))
    tau = float(kendalltau(first, second).statistic)
    return tau if np.isfinite(tau) else None
