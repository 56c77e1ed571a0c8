"""The cone programs of Algorithm 1 of arXiv 2403.05006: one a shape, whose numbers are parameters, or of large shapes
one for each set of numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from sim.cones import Program, modelling
from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import FloatArray

# Shapes that are kept compiled.
_KEPT = 16
# Numbers of a set that may be parameters. cvxpy keeps a coefficient for each pair of one and a variable: of 5000 a
# gigabyte, of ten times as many more than a machine has, where a program that holds them as they are takes .3 seconds.
_MOST_PARAMETERS = 2000

Numbers: TypeAlias = dict[str, FloatArray]


def set_numbers(features: FloatArray, confidence: PartyConfidence) -> Numbers:
    """What says the set at features (A, d): rewards (M, A) = theta phi, and norms (M k, A), party below party, with
    ||norms_m v|| a party's radius times its norm of Phi' v; k = min(d, A), which is all that A columns can say."""
    A, d = features.shape
    white = confidence.radius[:, None, None] * confidence.whitener @ features.T
    if d > A:
        white = np.asarray(np.linalg.qr(white, mode="r"))
    return {"rewards": confidence.theta @ features.T, "norms": white.reshape(-1, A)}


def _once_a_shape(build: Callable[..., Program]) -> Callable[..., Program]:
    """The program of a shape, compiled once with the set's numbers as parameters; where those are too many, one that
    holds `numbers` as they are. Either is solved with all of them."""
    kept = lru_cache(_KEPT)(build)

    @wraps(build)
    def program(*shape: float, numbers: Numbers) -> Program:
        if max(values.size for values in numbers.values()) <= _MOST_PARAMETERS:
            return kept(*shape)
        return build(*shape, numbers=numbers)

    return program


def _told(numbers: Numbers | None, **shapes: Any) -> dict[str, Any]:
    """By name the numbers, or parameters of those shapes."""
    return {name: modelling().Parameter(shape) if numbers is None else numbers[name] for name, shape in shapes.items()}


@_once_a_shape
def utilitarian_program(S: int, A: int, d: int, M: int, numbers: Numbers | None = None) -> Program:
    """max over policies pi of sum_m <theta_m, v> - radius_m ||v||_{Sigma_m^-1}, v = phibar(pi) - origin.

    rewards, norms: of law times features (S A, d).  origin: (M d,), W origin.
    """
    cp = modelling()
    pi = cp.Variable((S, A), nonneg=True)
    told = _told(numbers, rewards=(M, S * A), norms=(M * d, S * A), origin=M * d)
    rewards, norms, origin = told.values()
    played = cp.reshape(pi, S * A, order="C")
    # What the origin itself is worth is the same for all policies.
    total = cp.sum(rewards @ played)
    for m in range(M):
        own = slice(m * d, (m + 1) * d)
        total = total - cp.norm(norms[own] @ played - origin[own])
    problem = cp.Problem(cp.Maximize(total), [cp.sum(pi, axis=1) == 1])
    return Program(problem, told if numbers is None else {}, {"policy": pi})


@_once_a_shape
def block_program(S: int, A: int, d: int, numbers: Numbers | None = None) -> Program:
    """min over |root' (theta - centre)| <= radius of sum_s weight_s max_a <picked_sa, theta>: one party's block of
    `joint_value`.

    picked: (S A, d).  root: (d, d), transposed.  centre: (d,), root' centre.  radius: (1,).
    weight: (S,), none negative.
    """
    cp = modelling()
    theta, gain = cp.Variable(d), cp.Variable(S)
    told = _told(numbers, picked=(S * A, d), root=(d, d), centre=d, radius=1, weight=S)
    rules = [cp.norm(told["root"] @ theta - told["centre"]) <= told["radius"]]
    rules += [told["picked"] @ theta <= np.kron(np.eye(S), np.ones((A, 1))) @ gain]
    problem = cp.Problem(cp.Minimize(told["weight"] @ gain), rules)
    return Program(problem, told if numbers is None else {}, {"theta": theta, "value": problem.objective})


@_once_a_shape
def ceiling_program(S: int, A: int, d: int, M: int, numbers: Numbers | None = None) -> Program:
    """min over |u_m| <= 1 of sum_s max_a [rewards - pulls u] + <origin, u>: the dual of `utilitarian_program`.

    rewards: (S A,).  pulls: (S A, M d), of party m the features times radius_m W_m'.  origin: (M d,).  worst: u (M, d).
    """
    cp = modelling()
    u, top = cp.Variable((M, d)), cp.Variable(S)
    told = _told(numbers, rewards=S * A, pulls=(S * A, M * d), origin=M * d)
    rewards, pulls, origin = told.values()
    flat = cp.reshape(u, M * d, order="C")
    own = cp.reshape(rewards - pulls @ flat, (S, A), order="C")
    rules = [own <= cp.reshape(top, (S, 1), order="C") @ np.ones((1, A)), cp.norm(u, axis=1) <= 1]
    problem = cp.Problem(cp.Minimize(cp.sum(top) + origin @ flat), rules)
    return Program(problem, told if numbers is None else {}, {"worst": u})


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


def _lottery(A: int, d: int, M: int, numbers: Numbers | None) -> _Lottery:
    """p, q_m in the simplex, 0 <= t_m <= <theta_m, z_m> - radius_m ||z_m||_{Sigma_m^-1}, z_m = Phi' (p - q_m)."""
    cp = modelling()
    p, q, t = cp.Variable(A, nonneg=True), cp.Variable((M, A), nonneg=True), cp.Variable(M)
    told = _told(numbers, rewards=(M, A), norms=(M * d, A))
    rewards, norms = told.values()
    rules: list[Any] = [cp.sum(p) == 1, cp.sum(q, axis=1) == 1, t >= 0]
    for m in range(M):
        apart = p - q[m]
        rules.append(t[m] <= rewards[m] @ apart - cp.norm(norms[m * d : (m + 1) * d] @ apart))
    return _Lottery(p, q, t, rules, told if numbers is None else {})


@_once_a_shape
def welfare_program(A: int, d: int, M: int, alpha: float, numbers: Numbers | None = None) -> Program:
    """max sum_m log t_m (alpha = 0), sum_m t_m^alpha (above) or (1 / alpha) log sum_m t_m^alpha (below): logarithms,
    for strong powers of small gains are beyond what the solver can scale."""
    cp, own = modelling(), _lottery(A, d, M, numbers)
    worth = (
        cp.sum(cp.log(own.t)) if alpha == 0.0 else cp.sum(own.t) if alpha == 1.0
        else cp.log_sum_exp(alpha * cp.log(own.t)) / alpha if alpha < 0.0
        else cp.sum(cp.power(own.t, alpha)) * np.sign(alpha)
    )  # fmt: skip
    return own.program(worth, [], {}, {})


@_once_a_shape
def level_program(A: int, d: int, M: int, numbers: Numbers | None = None) -> Program:
    """max s subject to t_m >= floor_m + free_m s; prices (M,): the duals."""
    cp, own = modelling(), _lottery(A, d, M, numbers)
    level, floor, free = cp.Variable(), cp.Parameter(M), cp.Parameter(M, nonneg=True)
    held = own.t >= floor + cp.multiply(free, level)
    answers = {"level": level, "prices": held.dual_variables[0]}
    return own.program(level, [held], {"floor": floor, "free": free}, answers)


@_once_a_shape
def floor_program(A: int, d: int, M: int, numbers: Numbers | None = None) -> Program:
    """max <weights, t> subject to t >= floor."""
    cp, own = modelling(), _lottery(A, d, M, numbers)
    floor, weights = cp.Parameter(M), cp.Parameter(M, nonneg=True)
    return own.program(weights @ own.t, [own.t >= floor], {"floor": floor, "weights": weights}, {})
