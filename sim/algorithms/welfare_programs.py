"""The cone programs of Algorithm 1 of arXiv 2403.05006, one a shape: the numbers are parameters."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sim.cones import Program, modelling
from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import FloatArray

# Shapes that are kept compiled.
_KEPT = 16


def set_numbers(features: FloatArray, confidence: PartyConfidence) -> dict[str, FloatArray]:
    """The parameters that say the set at features (A, d): rewards (M, A) = theta phi, and W phi, ||W v|| a party's
    radius times its norm of v; norms (M d, A), party below party."""
    scaled = confidence.radius[:, None, None] * confidence.whitener
    return {"rewards": confidence.theta @ features.T, "norms": scaled.reshape(-1, features.shape[1]) @ features.T}


@lru_cache(_KEPT)
def utilitarian_program(S: int, A: int, d: int, M: int) -> Program:
    """max over policies pi of sum_m <theta_m, v> - radius_m ||v||_{Sigma_m^-1}, v = phibar(pi) - origin.

    rewards, norms: of law times features (S A, d).  origin: (M d,), W origin.
    """
    cp = modelling()
    pi = cp.Variable((S, A), nonneg=True)
    rewards, norms, origin = cp.Parameter((M, S * A)), cp.Parameter((M * d, S * A)), cp.Parameter(M * d)
    played = cp.reshape(pi, S * A, order="C")
    # What the origin itself is worth is the same for all policies.
    total = cp.sum(rewards @ played)
    for m in range(M):
        own = slice(m * d, (m + 1) * d)
        total = total - cp.norm(norms[own] @ played - origin[own])
    problem = cp.Problem(cp.Maximize(total), [cp.sum(pi, axis=1) == 1])
    return Program(problem, {"rewards": rewards, "norms": norms, "origin": origin}, {"policy": pi})


@lru_cache(_KEPT)
def ceiling_program(S: int, A: int, d: int, M: int) -> Program:
    """min over |u_m| <= 1 of sum_s max_a [rewards - pulls u] + <origin, u>: the dual of `utilitarian_program`.

    rewards: (S A,).  pulls: (S A, M d), of party m the features times radius_m W_m'.  origin: (M d,).  worst: u (M, d).
    """
    cp = modelling()
    u, top = cp.Variable((M, d)), cp.Variable(S)
    rewards, pulls, origin = cp.Parameter(S * A), cp.Parameter((S * A, M * d)), cp.Parameter(M * d)
    flat = cp.reshape(u, M * d, order="C")
    own = cp.reshape(rewards - pulls @ flat, (S, A), order="C")
    rules = [own <= cp.reshape(top, (S, 1), order="C") @ np.ones((1, A)), cp.norm(u, axis=1) <= 1]
    problem = cp.Problem(cp.Minimize(cp.sum(top) + origin @ flat), rules)
    return Program(problem, {"rewards": rewards, "pulls": pulls, "origin": origin}, {"worst": u})


class _Lottery(NamedTuple):
    """What every program of a lottery has: its variables, rules and parameters."""

    p: Any
    q: Any
    t: Any
    rules: list[Any]
    parameters: dict[str, Any]

    def program(self, worth: Any, rules: list[Any], more: dict[str, Any], answers: dict[str, Any]) -> Program:
        own = {"lottery": self.p, "against": self.q, "gains": self.t}
        problem = modelling().Problem(modelling().Maximize(worth), self.rules + rules)
        return Program(problem, self.parameters | more, own | answers)


def _lottery(A: int, d: int, M: int) -> _Lottery:
    """p, q_m in the simplex, 0 <= t_m <= <theta_m, z_m> - radius_m ||z_m||_{Sigma_m^-1}, z_m = Phi' (p - q_m)."""
    cp = modelling()
    p, q, t = cp.Variable(A, nonneg=True), cp.Variable((M, A), nonneg=True), cp.Variable(M)
    rewards, norms = cp.Parameter((M, A)), cp.Parameter((M * d, A))
    rules: list[Any] = [cp.sum(p) == 1, cp.sum(q, axis=1) == 1, t >= 0]
    for m in range(M):
        apart = p - q[m]
        rules.append(t[m] <= rewards[m] @ apart - cp.norm(norms[m * d : (m + 1) * d] @ apart))
    return _Lottery(p, q, t, rules, {"rewards": rewards, "norms": norms})


@lru_cache(_KEPT)
def welfare_program(A: int, d: int, M: int, alpha: float) -> Program:
    """max sum_m log t_m (alpha = 0) or sum_m t_m^alpha sign(alpha)."""
    cp, own = modelling(), _lottery(A, d, M)
    worth = (
        cp.sum(cp.log(own.t)) if alpha == 0.0 else cp.sum(own.t) if alpha == 1.0
        else cp.sum(cp.power(own.t, alpha)) * np.sign(alpha)
    )  # fmt: skip
    return own.program(worth, [], {}, {})


@lru_cache(_KEPT)
def level_program(A: int, d: int, M: int) -> Program:
    """max s subject to t_m >= floor_m + free_m s; prices (M,): the duals."""
    cp, own = modelling(), _lottery(A, d, M)
    level, floor, free = cp.Variable(), cp.Parameter(M), cp.Parameter(M, nonneg=True)
    held = own.t >= floor + cp.multiply(free, level)
    answers = {"level": level, "prices": held.dual_variables[0]}
    return own.program(level, [held], {"floor": floor, "free": free}, answers)


@lru_cache(_KEPT)
def floor_program(A: int, d: int, M: int) -> Program:
    """max <weights, t> subject to t >= floor."""
    cp, own = modelling(), _lottery(A, d, M)
    floor, weights = cp.Parameter(M), cp.Parameter(M, nonneg=True)
    return own.program(weights @ own.t, [own.t >= floor], {"floor": floor, "weights": weights}, {})
