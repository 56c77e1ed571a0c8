"""What one policy for all costs each type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.algorithms.hedge import game_value, hedge
from sim.algorithms.regret import checked_priorities, regret_matrix
from sim.errors import InputError
from sim.files.atomic import Json
from sim.fitting.prepare import Prepared
from sim.fitting.type_model import TypeModel
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray

_MOST_PROMPTS = 2000


@dataclass(frozen=True, eq=False)
class WithPooled:
    """The exact min-max where the pooled policy may be mixed in: weights (K + 1,), its own last; value; regret of each
    group (K,)."""

    weights: FloatArray
    value: float
    regret_per_group: FloatArray

    def as_json(self) -> dict[str, Json]:
        return {
            "weights": self.weights.tolist(), "value": self.value, "regret_per_group": self.regret_per_group.tolist()
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class GroupRegrets:
    """What one policy for all costs each of K groups, units of the implied reward.

    priorities (K,).  matrix (K, K): regret of group z (row) under the policy of group k, times its priority.
    pooled_dpo, minmax_dpo: (K,) of each group under these.  minmax_weights (K,) of the groups' policies; value: their
    worst regret, lp_value that of the exact solution, gap certified.  worst_pooled_dpo, worst_minmax_dpo: the largest,
    times priorities.  largest_possible: the largest entry of the game.
    """

    beta: float
    priorities: FloatArray
    matrix: FloatArray
    pooled_dpo: FloatArray
    minmax_dpo: FloatArray
    minmax_weights: FloatArray
    value: float
    lp_value: float
    gap: float
    with_pooled: WithPooled
    worst_pooled_dpo: float
    worst_minmax_dpo: float
    largest_possible: float

    def as_json(self) -> dict[str, Json]:
        return {
            "beta": self.beta,
            "priorities": self.priorities.tolist(),
            "matrix": self.matrix.tolist(),
            "pooled_dpo": self.pooled_dpo.tolist(),
            "minmax_dpo": self.minmax_dpo.tolist(),
            "minmax_weights": self.minmax_weights.tolist(),
            "value": self.value,
            "lp_value": self.lp_value,
            "gap": self.gap,
            "with_pooled": self.with_pooled.as_json(),
            "worst_group": {
                "pooled_dpo": self.worst_pooled_dpo,
                "minmax_dpo": self.worst_minmax_dpo,
                "with_pooled": self.with_pooled.value,
            },
            "largest_possible": self.largest_possible,
        }


def candidate_sets(prepared: Prepared) -> tuple[list[np.ndarray[Any, Any]], FloatArray]:
    """Distinct items seen with each prompt (training answers), and the prompts' shares; the most frequent 2,000."""
    rows = prepared.train
    answer, item = prepared.table.shown()
    own = rows[answer]
    prompt, item = prepared.table.prompt[answer[own]], item[own]
    counts = np.bincount(prompt, minlength=len(prepared.table.prompts))
    frequent = np.argsort(-counts, kind="stable")[:_MOST_PROMPTS]
    frequent = frequent[counts[frequent] > 0]
    order = np.argsort(prompt, kind="stable")
    bounds = np.searchsorted(prompt[order], np.arange(len(prepared.table.prompts) + 1))
    sets = [np.unique(item[order[bounds[p] : bounds[p + 1]]]) for p in frequent]
    return sets, counts[frequent] / counts[frequent].sum()


def group_regrets(
    model: TypeModel, common: FloatArray, prepared: Prepared, beta: float, priorities: Sequence[float] | None
) -> GroupRegrets:
    """Each group's regret under pooled DPO and under MinMax-DPO, exact over the items of each prompt.

    pi_k(y | x) proportional to exp(<theta_k, phi(y)> / beta) over the prompt's items (uniform reference);
    regret_z(pi) = beta (E_{pi_z} h_z - E_pi h_z), h_z = log(pi_z / pi_0): in units of the implied reward.
    with_pooled: the exact min-max when the pooled policy may be mixed in too (its weight is the last).
    """
    K = model.n_types
    try:
        c = checked_priorities(priorities, K)
    except ValueError as error:
        raise InputError(f"priorities: {error}", fix=f"give {K} positive numbers, one a group") from error
    theta = np.concatenate([model.theta, common[None]])
    sets, shares = candidate_sets(prepared)
    L = np.zeros((K, K + 1))
    for items, share in zip(sets, shares, strict=True):
        log_policy = log_softmax((prepared.features[items] @ theta.T).T / beta)
        h = log_policy[:K] + np.log(len(items))
        L += share * (h @ np.exp(log_policy).T)
    game = regret_matrix(L[:, :K], beta, c)
    # Pooled DPO is a policy like any other: its column uses the same formula.
    of_pooled = beta * (np.diag(L[:, :K]) - L[:, K])
    played, exact = hedge(game.values, 20_000), game_value(game.values)
    of_minmax = game.of_groups(played.weights)
    # The ensemble holds the groups' own policies only, so MinMax can leave its worst group worse off than pooled DPO
    # does: on real people it happens. With the pooled policy as one more column it cannot.
    wider = np.column_stack([game.values, np.concatenate([[0.0], c * of_pooled])])
    served = game_value(wider)
    return GroupRegrets(
        beta=beta,
        priorities=c,
        matrix=game.values[1:],
        pooled_dpo=of_pooled,
        minmax_dpo=of_minmax,
        minmax_weights=played.weights,
        value=float(np.max(game.values @ played.weights)),
        lp_value=exact.value,
        gap=played.gap,
        with_pooled=WithPooled(served.weights, served.value, wider[1:] @ served.weights / c),
        worst_pooled_dpo=float(np.max(c * of_pooled)),
        worst_minmax_dpo=float(np.max(c * of_minmax)),
        largest_possible=float(game.values.max()),
    )
