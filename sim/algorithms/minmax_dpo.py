"""MinMax-DPO: the ensemble whose worst group regrets least (arXiv 2405.15065, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.algorithms.hedge import HedgeResult, game_value, hedge
from sim.algorithms.regret import RegretMatrix, discrepancy, discrepancy_sampled, regret_matrix
from sim.arguments import require_count, require_shape
from sim.policies.mixture import FiniteMixture, Mixture
from sim.policies.protocol import FinitePolicy, ScoredPolicy
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class MinMaxResult:
    """The ensemble and its certificate.

    weights: (K,).  value: worst weighted regret of the ensemble.  gap: the duality gap of the averaged play.
    lp_value: the game's exact value from the LP; value - lp_value lies in [0, gap] up to rounding.
    group_regret: (K,) each group's own regret, priorities divided out, reward units.
    """

    policy: Mixture
    weights: FloatArray
    value: float
    gap: float
    lp_value: float
    group_regret: FloatArray
    regret: RegretMatrix
    hedge: HedgeResult


def minmax_dpo(
    policies: Sequence[ScoredPolicy],
    contexts: AnyArray,
    *,
    beta: float,
    priorities: FloatArray | Sequence[float] | None = None,
    context_probabilities: FloatArray | None = None,
    rounds: int = 10_000,
    samples: int | None = None,
    stream: Stream | None = None,
) -> MinMaxResult:
    """min over w of max over z of c_z E[R_z(pi_z*) - R_z(sum_k w_k pi_k)]^+ by optimistic Hedge.

    samples: None for exact expectations (finite policies only), else responses sampled a context.
    """
    if not policies:
        raise ValueError("policies must hold at least one policy, one a group (got none)")
    exact = [policy for policy in policies if isinstance(policy, FinitePolicy)]
    error: FloatArray | None = None
    if samples is None:
        if len(exact) < len(policies):
            raise ValueError("samples must be given: exact regrets need policies over finitely many actions")
        matrix = discrepancy(exact, contexts, context_probabilities)
    else:
        if context_probabilities is not None:
            raise ValueError("context_probabilities are for exact regrets; for sampled ones draw the contexts by them")
        sampled = discrepancy_sampled(policies, contexts, stream or Stream(role="minmax"), samples)
        matrix, error = sampled.estimate, sampled.regret_error
    return weigh(policies, matrix, beta=beta, priorities=priorities, standard_error=error, rounds=rounds)


def weigh(
    policies: Sequence[ScoredPolicy],
    discrepancy: FloatArray,
    *,
    beta: float,
    priorities: FloatArray | Sequence[float] | None = None,
    standard_error: FloatArray | None = None,
    rounds: int = 10_000,
) -> MinMaxResult:
    """The game of `minmax_dpo` for discrepancies L (K, K) that are known already: priorities cost no new samples.

    standard_error: (K, K) of L[z, z] - L[z, k], see `regret_matrix`.
    """
    require_shape("discrepancy", discrepancy, (len(policies), len(policies)))
    require_count("rounds", rounds)
    exact = [policy for policy in policies if isinstance(policy, FinitePolicy)]
    game = regret_matrix(discrepancy, beta, priorities, standard_error)
    played = hedge(game.values, rounds)
    value = float(np.max(game.values @ played.weights))
    mixture = FiniteMixture(exact, played.weights) if len(exact) == len(policies) else Mixture(policies, played.weights)
    return MinMaxResult(
        policy=mixture,
        weights=played.weights,
        value=value,
        gap=played.gap,
        lp_value=game_value(game.values).value,
        group_regret=game.of_groups(played.weights),
        regret=game,
        hedge=played,
    )
