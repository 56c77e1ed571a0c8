"""Group-robust DPO: one reward for all whose worst known group has the least loss (Ramesh et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.algorithms.worst_case_weights import worst_case_weights
from sim.arguments import float_array, index_array, require_count, require_positive, require_shape, weight_array
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class GroupRobustFit:
    """theta (d,); weights (G,) of the groups in the end; losses (G,), mean nats an answer; gap, nats: no theta has a
    penalised worst loss that is lower by more.  rounds of the weights."""

    theta: FloatArray
    weights: FloatArray
    losses: FloatArray
    gap: float
    rounds: int


def group_robust_dpo(
    differences: FloatArray,
    group: IntArray,
    n_groups: int,
    *,
    weights: FloatArray | None = None,
    ridge: float = 1e-3,
    tolerance: float = 1e-5,
    max_rounds: int = 500,
) -> GroupRobustFit:
    """argmin over theta of max_g L_g(theta) + 0.5 ridge |theta|^2, L_g the mean of -log sigma(<theta, d_j>) in group g.

    [arXiv 2405.20304, GR-DPO: this is its loss for an implicit reward beta log(pi / pi_ref) = <theta, phi>]
    differences: (n, d), features of the chosen minus those of the rejected.  group: (n,) in 0..n_groups-1, known; a
    group without answers has no say.  weights: (n,) of answers inside their groups.

    Departs from the authors' recipe, which alternates a gradient step on theta with an exponentiated one on the groups'
    weights from batches: every theta is the optimum for its weights, and the gap certifies the end. The ridge is ours.
    """
    differences = float_array("differences", differences, ("n", "d"))
    require_count("n_groups", n_groups)
    require_positive(ridge=ridge)
    n = len(differences)
    group = index_array("group", group, n_groups)
    require_shape("group", group, (n,))
    own = weight_array("weights", weights, n)
    mass = np.bincount(group, own, n_groups)
    there = np.flatnonzero(mass > 0)
    if not len(there):
        raise ValueError("weights must not all be zero: some group must have answers")
    share = own / np.where(mass > 0, mass, 1.0)[group]
    place = np.zeros(n_groups, dtype=np.int64)
    place[there] = np.arange(len(there))
    number = place[group]

    def reply(p: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        fitted = fit_bradley_terry(differences, share * p[number], ridge=ridge, tolerance=1e-10)
        each = share * log_sigmoid(differences @ fitted.theta)
        losses = -np.bincount(number, each, len(there)).astype(np.float64)
        return float(p @ losses + 0.5 * ridge * fitted.theta @ fitted.theta), losses, fitted.theta

    found = worst_case_weights(reply, len(there), tolerance=tolerance, max_rounds=max_rounds)
    all_weights, losses = np.zeros(n_groups), np.full(n_groups, np.nan)
    all_weights[there], losses[there] = found.weights, found.losses
    return GroupRobustFit(found.answer, all_weights, losses, found.gap, found.rounds)
