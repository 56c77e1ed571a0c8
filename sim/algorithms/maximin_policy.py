"""The policy that is best against the worst reward of a set, by cutting planes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from sim.arguments import index_array, require_count, require_positive, require_shape, weight_array
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class MaximinPolicy:
    """policy (M,); value: its worst advantage over the reference among the rewards found; ceiling: no policy's worst
    advantage is larger. rounds of cutting planes."""

    policy: FloatArray
    value: float
    ceiling: float
    rounds: int

    @property
    def gap(self) -> float:
        return max(self.ceiling - self.value, 0.0)


def maximin_policy(
    worst_reward: Callable[[FloatArray], FloatArray],
    reference: FloatArray,
    *,
    context: IntArray | None = None,
    tolerance: float = 1e-5,
    max_rounds: int = 200,
) -> MaximinPolicy:
    """argmax_pi min_{r in R} <pi - reference, r> over the simplex.      [arXiv 2405.00254, Algorithms 1, 4, 7, last
    step]

    worst_reward(w): a reward of the set R, (M,), that minimises <w, r>, w = pi - reference; exact for convex R, the
    best one found otherwise. Kelley's method: the policy is the linear program's best against the rewards collected so
    far, whose value is the ceiling (a maximum over policies of a minimum over fewer rewards); then the worst reward for
    it is added. Stops when ceiling and value are within tolerance, reward units. The reference itself is worth 0.

    context: (M,) number of the context an entry belongs to. Policies are then occupancies law(s) pi(a|s): each context
    keeps the mass the reference gives it. None: one context.
    """
    reference = weight_array("reference", reference, len(reference))
    require_positive(tolerance=tolerance)
    require_count("max_rounds", max_rounds)
    M = len(reference)
    cuts: list[FloatArray] = []
    best, policy, ceiling = 0.0, reference, np.inf
    of = np.zeros(M, dtype=np.int64) if context is None else index_array("context", context)
    require_shape("context", of, (M,))
    member = (of[None, :] == np.unique(of)[:, None]).astype(np.float64)
    mass = member @ reference
    # Spread evenly inside each context.
    candidate = (mass / member.sum(axis=1)) @ member
    rounds = 0
    while rounds < max_rounds:
        rounds += 1
        reward = worst_reward(candidate - reference)
        value = float((candidate - reference) @ reward)
        if value > best:
            best, policy = value, candidate
        if ceiling - best <= tolerance:
            break
        cuts.append(reward)
        # max t  s.t.  <pi, r_c> - <reference, r_c> >= t  for every cut
        table = np.array(cuts)
        solved = linprog(
            np.append(np.zeros(M), -1.0),
            A_ub=np.column_stack([-table, np.ones(len(cuts))]),
            b_ub=-table @ reference,
            A_eq=np.column_stack([member, np.zeros(len(member))]),
            b_eq=mass,
            bounds=[(0.0, 1.0)] * M + [(None, None)],
        )
        if not solved.success:
            break
        ceiling = min(ceiling, -float(solved.fun))
        candidate = np.maximum(solved.x[:M], 0.0)
        candidate = candidate * ((mass / np.maximum(member @ candidate, 1e-300)) @ member)
    return MaximinPolicy(np.asarray(policy), best, max(ceiling, best), rounds)
