"""The pessimistic von Neumann winner of several parties' preferences: Algorithm 2 of arXiv 2403.05006."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.arguments import (
    float_array,
    probability_array,
    require_between,
    require_choice,
    require_count,
    require_positive,
)
from sim.environments.preference_tables import PreferenceCounts
from sim.preferences import FloatArray

Stance = Literal["pessimistic", "plain", "optimistic"]
# Of the largest entry: a gap that a simplex leaves by rounding alone.
_EXACT = 1e-10


@dataclass(frozen=True, eq=False)
class VonNeumannWinner:
    """policy (S, A), one lottery a state; opponent (S, A): the other side of the saddle point; value (S,): what the
    policy guarantees against any opponent in the matrix it was solved for; gap (S,): no lottery guarantees more than
    value + gap."""

    policy: FloatArray
    opponent: FloatArray
    value: FloatArray
    gap: FloatArray


def comparison_bonus(
    total: FloatArray, delta: float = 0.1, *, literal_diagonal: bool = False, averaged: bool = False
) -> FloatArray:
    """B(s, a, b) = sqrt(2 log(4 M S A^2 / delta) / max(min_m n_m(s, a, b), 1)); total (M, S, A, A) -> (S, A, A).

    [arXiv 2403.05006, Algorithm 2]  Nobody compares an action with itself, so that as printed B(s, a, a) never shrinks
    (`literal_diagonal`); an action's preference over itself is known to be 0, and its bonus is 0 here.
    averaged: sqrt(2 log(4 S A^2 / delta) mean_m(1 / n_m) / M), the width of the mean over parties [derived].
    """
    total = float_array("total", total, ("parties", "states", "actions", "actions"))
    M, S, A, other = total.shape
    if other != A:
        raise ValueError(f"total must count pairs of the same actions (got {A} and {other})")
    require_between(0.0, 1.0, delta=delta)
    require_positive(delta=delta)
    count = np.maximum(total, 1.0)
    if averaged:
        bonus = np.sqrt(2.0 * np.log(4 * S * A**2 / delta) * (1.0 / count).mean(axis=0) / M)
    else:
        bonus = np.sqrt(2.0 * np.log(4 * M * S * A**2 / delta) / count.min(axis=0))
    if not literal_diagonal:
        bonus[:, np.arange(A), np.arange(A)] = 0.0
    return np.asarray(bonus)


def von_neumann_winner(
    counts: PreferenceCounts,
    *,
    delta: float = 0.1,
    stance: Stance = "pessimistic",
    literal_diagonal: bool = False,
    averaged: bool = False,
) -> VonNeumannWinner:
    """argmax_p min_q p' (N - B) q in each state, N the mean of the parties' matrices.  [Algorithm 2]

    plain: N alone; optimistic: N + B. Entries are clipped to [-1, 1], the range of a preference.
    """
    require_choice("stance", stance, ("pessimistic", "plain", "optimistic"))
    mean = counts.matrices().mean(axis=0)
    bonus = comparison_bonus(counts.total, delta, literal_diagonal=literal_diagonal, averaged=averaged)
    sign = {"pessimistic": -1.0, "plain": 0.0, "optimistic": 1.0}[stance]
    return solve_exactly(np.clip(mean + sign * bonus, -1.0, 1.0))


def _square(matrices: FloatArray) -> FloatArray:
    """(states, A, A), finite."""
    found = float_array("matrices", matrices, ("states", "actions", "actions"))
    if found.shape[1] != found.shape[2] or 0 in found.shape:
        raise ValueError(f"matrices must be square and not empty (got {found.shape})")
    return found


def mean_preferences(rewards: FloatArray) -> FloatArray:
    """N(a, b) = (1 / M) sum_m [2 sigma(r_m(a) - r_m(b)) - 1], Bradley-Terry parties; (S, M, A) -> (S, A, A).

    [arXiv 2403.05006, Algorithm 2: N = 2 P - 1]
    """
    from sim.compiled import matrix_games

    own = np.require(float_array("rewards", rewards, ("S", "M", "A")), np.float64, ["C", "W"])
    if 0 in own.shape:
        raise ValueError(f"rewards must hold a party and an action at least (got {own.shape})")
    games = np.empty((len(own), own.shape[2], own.shape[2]))
    matrix_games.mean_preferences(own, games)
    return games


def solve_exactly(matrices: FloatArray) -> VonNeumannWinner:
    """`solve_matrices` by a compiled simplex, all matrices at once and in parallel.

    HiGHS has a try where the simplex leaves a gap of more than 1e-10 of the largest entry (entries a million times
    smaller than others). Where several lotteries win, the two may find different ones.
    """
    from sim.compiled import matrix_games

    matrices = np.require(_square(matrices), np.float64, ["C", "W"])
    S, A, _ = matrices.shape
    row, column = np.empty((S, A)), np.empty((S, A))
    matrix_games.solve(matrices, row, column)
    value = (row[:, None] @ matrices)[:, 0].min(axis=1)
    gap = np.maximum((matrices @ column[:, :, None])[..., 0].max(axis=1) - value, 0.0)
    wide = ~(gap <= _EXACT * np.maximum(np.abs(matrices).max(axis=(1, 2)), 1e-300))
    if wide.any():
        again = solve_matrices(matrices[wide])
        own = again.gap < gap[wide]
        better = np.flatnonzero(wide)[own]
        row[better], column[better] = again.policy[own], again.opponent[own]
        value[better], gap[better] = again.value[own], again.gap[own]
    return VonNeumannWinner(row, column, value, gap)


def solve_matrices(matrices: FloatArray) -> VonNeumannWinner:
    """max_p min_b (p' N)_b for each matrix (S, A, A), by linear programs (HiGHS).

    The certificate: with the opponent's optimal lottery q, no p gets more than max_a (N q)_a.
    """
    from sim.algorithms.hedge import game_value

    matrices = _square(matrices)
    S, A, _ = matrices.shape
    policy, opponent, value, gap = np.empty((S, A)), np.empty((S, A)), np.empty(S), np.empty(S)
    for s, matrix in enumerate(matrices):
        solved = game_value(-matrix.T)
        policy[s], opponent[s] = solved.weights, solved.adversary
        value[s] = (policy[s] @ matrix).min()
        gap[s] = max(float((matrix @ opponent[s]).max() - value[s]), 0.0)
    return VonNeumannWinner(policy, opponent, value, gap)


def regret_matching(matrices: FloatArray, rounds: int = 10_000) -> VonNeumannWinner:
    """The same by regret matching+ on both sides, batched over states, averages weighted by the round; O(1/T) at best.

    A no-regret dynamic with a certificate: `gap` is the duality gap of the two averages.
    """
    from sim.compiled import regret_matching as regret_matching_kernels

    require_count("rounds", rounds)
    matrices = np.require(_square(matrices), np.float64, ["C", "W"])
    S, A, _ = matrices.shape
    row, column = np.empty((S, A)), np.empty((S, A))
    regret_matching_kernels.regret_matching(matrices, rounds, row, column)
    value = np.einsum("sa,sab->sb", row, matrices).min(axis=1)
    ceiling = np.einsum("sab,sb->sa", matrices, column).max(axis=1)
    return VonNeumannWinner(row, column, value, np.maximum(ceiling - value, 0.0))


def exploitability(matrices: FloatArray, policy: FloatArray) -> FloatArray:
    """-min_b (p_s' N_s)_b, what the best opponent wins on average; matrices (S, A, A), policy (S, A) -> (S,).

    Zero exactly for a von Neumann winner of a skew-symmetric N.
    """
    matrices = _square(matrices)
    policy = probability_array("policy", policy, matrices.shape[:2])
    return np.asarray(-np.einsum("sa,sab->sb", policy, matrices).min(axis=1))


def borda_winner(counts: PreferenceCounts) -> FloatArray:
    """The action with the largest share of comparisons won, parties pooled; (S, A), all mass on one action."""
    wins, total = counts.wins.sum(axis=0).sum(axis=-1), counts.total.sum(axis=0).sum(axis=-1)
    share = np.divide(wins, total, out=np.full_like(wins, 0.5), where=total > 0)
    return np.asarray(np.eye(share.shape[-1])[share.argmax(axis=-1)])
