"""The direct saddle point: one new policy against the worst group (arXiv 2405.15065, direct formulation).

    min_pi max_{p in simplex} sum_z p_z c_z L_z(pi),   L_z(pi) = R_z(pi_z*) - R_z(pi)
                                                              = beta E_x[E_{pi_z*} h_z - E_pi h_z]

with h_z = log(pi_z* / pi_ref).  As printed L_z has the opposite sign, and its minimiser avoids the arm that
would serve everybody.  There is no KL term: the optimum usually lies on the boundary of the simplex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.algorithms.regret import checked_priorities
from sim.arguments import float_array, probability_array, require_count, require_positive
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class DirectGame:
    """A finite instance.

    log_ratio: h (K, S, A).  optimum: pi_z* (K, S, A).  context_probabilities: (S,).  priorities: c (K,).
    zero_row: whether the adversary may also play the empty group z0 (it matters here, not for ensembles:
    the unregularised regret against a KL-regularised optimum can be negative).
    """

    log_ratio: FloatArray
    optimum: FloatArray
    context_probabilities: FloatArray
    beta: float = 1.0
    priorities: FloatArray | None = None
    zero_row: bool = True

    def __post_init__(self) -> None:
        float_array("log_ratio", self.log_ratio, ("K", "S", "A"))
        float_array("optimum", self.optimum, self.log_ratio.shape)
        probability_array("context_probabilities", self.context_probabilities, self.log_ratio.shape[1:2])
        require_positive(beta=self.beta)
        checked_priorities(self.priorities, len(self.log_ratio))

    def regret(self, policy: FloatArray) -> FloatArray:
        """c_z L_z(pi), with the zero row last if it plays; policy (S, A) -> (K,) or (K + 1,)."""
        gain = np.einsum("s,zsa,zsa->z", self.context_probabilities, self.optimum - policy, self.log_ratio)
        c = checked_priorities(self.priorities, len(self.log_ratio))
        regret = self.beta * c * gain
        return np.append(regret, 0.0) if self.zero_row else regret

    def action_losses(self, adversary: FloatArray) -> FloatArray:
        """d/d pi(a|s) of sum_z p_z c_z L_z, without the context's probability; (S, A)."""
        c = checked_priorities(self.priorities, len(self.log_ratio))
        weight = adversary[: len(self.log_ratio)] * c
        return np.asarray(-self.beta * np.tensordot(weight, self.log_ratio, axes=1))

    @property
    def n_rows(self) -> int:
        return len(self.log_ratio) + int(self.zero_row)


@dataclass(frozen=True, eq=False)
class SaddlePointResult:
    """policy (S, A), adversary (rows,), value = worst weighted regret, gap, and the last iterate's value."""

    policy: FloatArray
    adversary: FloatArray
    value: float
    gap: float
    last_policy: FloatArray
    last_value: float


def _best_response_value(game: DirectGame, adversary: FloatArray) -> float:
    """min over pi of sum_z p_z c_z L_z(pi): in each context the arm of least loss."""
    constant = np.einsum("s,zsa,zsa->z", game.context_probabilities, game.optimum, game.log_ratio)
    c = checked_priorities(game.priorities, len(game.log_ratio))
    weight = adversary[: len(game.log_ratio)] * c
    best = game.action_losses(adversary).min(axis=1)
    return float(game.beta * weight @ constant + game.context_probabilities @ best)


def saddle_point_table(game: DirectGame, rounds: int, step: float | None = None) -> SaddlePointResult:
    """Optimistic Hedge on arms in every context against Hedge on groups; convex-concave, gap O(1/T).

    step: for both players; default 1 / range of the game's pure payoffs, the admissible constant of the
    regret-by-variation argument (Syrgkanis et al. 2015).
    """
    require_count("rounds", rounds)
    if step is not None:
        require_positive(step=step)
    S, A = game.log_ratio.shape[1:]
    if step is None:
        c = checked_priorities(game.priorities, len(game.log_ratio))
        pure = game.beta * c[:, None, None] * game.log_ratio
        spread = float((pure.max(axis=2) - pure.min(axis=2)).max())
        step = 1.0 / spread if spread > 0 else 1.0
    log_pi, log_p = np.full((S, A), -np.log(A)), np.full(game.n_rows, -np.log(game.n_rows))
    pi, p = np.exp(log_pi), np.exp(log_p)
    loss_tm1, gain_tm1 = game.action_losses(p), game.regret(pi)
    sum_pi, sum_p = np.zeros_like(pi), np.zeros_like(p)
    for _ in range(rounds):
        loss_t, gain_t = game.action_losses(p), game.regret(pi)
        log_pi = log_softmax(log_pi - step * (2 * loss_t - loss_tm1))
        log_p = log_softmax(log_p + step * (2 * gain_t - gain_tm1))
        loss_tm1, gain_tm1 = loss_t, gain_t
        pi, p = np.exp(log_pi), np.exp(log_p)
        sum_pi += pi
        sum_p += p
    average, adversary = sum_pi / rounds, sum_p / rounds
    value = float(game.regret(average).max())
    return SaddlePointResult(
        policy=average,
        adversary=adversary,
        value=value,
        gap=value - _best_response_value(game, adversary),
        last_policy=pi,
        last_value=float(game.regret(pi).max()),
    )


def saddle_point_gradient(
    game: DirectGame, rounds: int, policy_step: float = 0.2, group_step: float = 0.02
) -> SaddlePointResult:
    """Optimistic policy gradient on softmax logits against optimistic Hedge on groups (the paper's method).

    phi <- phi - a (2 G_t - G_{t-1}),  log p <- log p + h (2 l_t - l_{t-1}), both from the same round.
    The paper prints no policy step a; here it is an argument. Not convex in phi: read the last iterate.
    """
    require_count("rounds", rounds)
    require_positive(policy_step=policy_step, group_step=group_step)
    S, A = game.log_ratio.shape[1:]
    logits, log_p = np.zeros((S, A)), np.full(game.n_rows, -np.log(game.n_rows))
    pi, p = np.full((S, A), 1.0 / A), np.exp(log_p)
    gradient_tm1: FloatArray | None = None
    gain_tm1: FloatArray | None = None
    sum_p = np.zeros_like(p)
    for _ in range(rounds):
        loss = game.action_losses(p)
        gradient_t = pi * (loss - (pi * loss).sum(axis=1, keepdims=True))
        gradient_t = gradient_t * game.context_probabilities[:, None]
        gain_t = game.regret(pi)
        gradient_tm1 = gradient_t if gradient_tm1 is None else gradient_tm1
        gain_tm1 = gain_t if gain_tm1 is None else gain_tm1
        logits = logits - policy_step * (2 * gradient_t - gradient_tm1)
        log_p = log_softmax(log_p + group_step * (2 * gain_t - gain_tm1))
        gradient_tm1, gain_tm1 = gradient_t, gain_t
        pi, p = np.exp(log_softmax(logits)), np.exp(log_p)
        sum_p += p
    value, adversary = float(game.regret(pi).max()), sum_p / rounds
    return SaddlePointResult(
        pi, adversary, value, value - _best_response_value(game, adversary), last_policy=pi, last_value=value
    )


def saddle_point_lp(game: DirectGame) -> tuple[float, FloatArray]:
    """The exact value and an optimal policy (S, A): min v s.t. c_z L_z(pi) <= v, by HiGHS."""
    from scipy.optimize import linprog

    K, S, A = game.log_ratio.shape
    c = checked_priorities(game.priorities, K)
    scale = game.beta * c[:, None, None] * game.context_probabilities[None, :, None] * game.log_ratio
    constant = (scale * game.optimum).sum(axis=(1, 2))
    upper = np.concatenate([-scale.reshape(K, -1), -np.ones((K, 1))], axis=1)
    bounds = [(0.0, None)] * (S * A) + [(0.0 if game.zero_row else None, None)]
    simplex = np.concatenate([np.kron(np.eye(S), np.ones(A)), np.zeros((S, 1))], axis=1)
    cost = np.append(np.zeros(S * A), 1.0)
    solved = linprog(cost, A_ub=upper, b_ub=-constant, A_eq=simplex, b_eq=np.ones(S), bounds=bounds)
    if not solved.success:
        raise RuntimeError(f"the LP solver failed: {solved.message}")
    return float(solved.fun), solved.x[:-1].reshape(S, A)
