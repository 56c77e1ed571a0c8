"""Algorithm 1 of arXiv 2403.05006: the policy whose welfare is largest in the worst case of a confidence set."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from sim.algorithms.lotteries import leximin_gap
from sim.algorithms.welfare import WelfareRule
from sim.algorithms.welfare_programs import (
    Numbers,
    block_program,
    ceiling_program,
    floor_program,
    level_program,
    set_numbers,
    utilitarian_program,
    welfare_program,
)
from sim.arguments import (
    float_array,
    index_array,
    probability_array,
    require_count,
    require_finite,
    require_not_negative,
    require_same_shape,
    require_shape,
)
from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import FloatArray, IntArray

# Beyond it leximin's lottery stands for a rule's own: within log(M) / |alpha| of it, and the cone of the powers is not.
_STRONG = -100.0
_UNSOLVED = "Clarabel found no lottery; are the features finite and the covariances positive?"


def statewise_policy(bounds: FloatArray, rule: WelfareRule) -> IntArray:
    """argmax_a W(bounds[:, s, a]) in each state; (M, S, A) -> (S,), -1 where the rule has no choice.

    With `PartyConfidence.gain_bounds` this is Algorithm 1 state by state, the variant Theorem 4 needs: its value
    sum_s law(s) W(bounds) is at most the joint minimum over theta, which couples the states. With the estimate's own
    gains it is the plain plug-in (ERM), with upper bounds optimism.
    """
    float_array("bounds", bounds, ("M", "S", "A"))
    return rule.best(bounds.transpose(1, 0, 2))


def welfare_value(gains: FloatArray, law: FloatArray, policy: IntArray, rule: WelfareRule) -> float:
    """J(pi) = sum_s law(s) W(gains[:, s, pi(s)]); gains (M, S, A), law (S,), policy (S,).

    A state without a choice (-1, see `statewise_policy`) takes its last option.
    """
    float_array("gains", gains, ("M", "S", "A"))
    _, S, A = gains.shape
    probability_array("law", law, (S,), 1e-5)
    require_shape("policy", index_array("policy", np.asarray(policy) + 1, A + 1), (S,))
    picked = gains[:, np.arange(len(law)), policy]
    return float(law @ rule.welfare(picked))


@dataclass(frozen=True, eq=False)
class StochasticPolicy:
    """policy (S, A); value: its pessimistic welfare; optimality_gap: no policy's is larger by more."""

    policy: FloatArray
    value: float
    optimality_gap: float


def utilitarian_policy(
    features: FloatArray, law: FloatArray, confidence: PartyConfidence, reference: FloatArray | None = None
) -> StochasticPolicy:
    """argmax over stochastic policies of sum_m min_theta <theta, phibar(pi) - reference>, a second-order cone program.

    [arXiv 2403.05006, Algorithm 1, Utilitarian]  phibar(pi) = sum_s law(s) sum_a pi(a|s) phi(s, a). The minimum is
    <theta_hat_m, .> - radius_m ||.||_{Sigma_m^-1}. reference: (d,), default 0 as printed; comparisons do not identify
    the origin of the features, and without a reference the answer moves with it. The gap is a bound that holds whoever
    found the answer.
    """
    _require_states(features, law, confidence)
    S, A, d = features.shape
    origin = np.zeros(d) if reference is None else float_array("reference", reference, (d,))
    weighted = (law[:, None, None] * features).reshape(S * A, d)
    # The origin as one more column, played -1 times.
    told = set_numbers(np.vstack([weighted, origin]), confidence)
    rewards, norms, M = told["rewards"], told["norms"], len(confidence.theta)
    numbers = {"rewards": rewards[:, :-1], "norms": norms[:, :-1], "origin": norms[:, -1]}
    found = utilitarian_program(S, A, len(norms) // M, M, numbers=numbers).solve(**numbers)["policy"]
    policy = np.maximum(np.full((S, A), 1.0) if found is None else found, 0.0)
    policy /= policy.sum(axis=1, keepdims=True)
    value = float(confidence.reward_bounds(policy.ravel() @ weighted - origin).sum())
    return StochasticPolicy(policy, value, _utilitarian_gap(rewards, norms, policy, value))


def _require_states(features: FloatArray, law: FloatArray, confidence: PartyConfidence) -> None:
    float_array("features", features, ("S", "A", confidence.theta.shape[1]))
    probability_array("law", law, (len(features),), 1e-5)


def _utilitarian_gap(rewards: FloatArray, norms: FloatArray, policy: FloatArray, value: float) -> float:
    """How far any policy's value may lie above `value`; rewards (M, S A + 1) and norms (M k, S A + 1), the last column
    the origin's.

    ||W v|| >= <u, W v> for every |u| <= 1, so that with some u_m of each party

        sum_s max_a law(s) <phi(s, a), g(u)> - <origin, g(u)>,   g(u) = sum_m theta_hat_m - radius_m W_m' u_m

    is an upper bound.  u along W v first, Frank-Wolfe's; where v is near zero, the kink of the norm, that says nothing,
    and the best u is a program's.
    """
    (S, A), M = policy.shape, len(rewards)
    total, d = rewards.sum(axis=0), len(norms) // M
    white = (norms @ np.append(policy, -1.0)).reshape(M, d)
    length = np.linalg.norm(white, axis=1, keepdims=True)
    along = np.divide(white, length, out=np.zeros_like(white), where=length > 1e-14)

    def ceiling(u: FloatArray) -> float:
        slope = total - u.ravel() @ norms
        return float(slope[:-1].reshape(S, A).max(axis=1).sum() - slope[-1])

    gap = ceiling(along) - value
    if gap > 1e-6 * max(float(np.abs(total[:-1]).max()), 1e-300):
        numbers = {"rewards": total[:-1], "pulls": norms[:, :-1].T, "origin": norms[:, -1]}
        found = ceiling_program(S, A, d, M, numbers=numbers).solve(**numbers)["worst"]
        if found is not None:
            gap = min(gap, ceiling(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1.0)) - value)
    return max(gap, 0.0)


@dataclass(frozen=True, eq=False)
class PessimisticLottery:
    """lottery (A,) of one state; guaranteed (M,): each party's gain in the worst case of the set (the ellipsoid).

    optimality_gap: by what share the guaranteed gains' equivalent utility (for leximin the least of them, whatever the
    levels above it) could still rise, a bound from the linearised problem at the answer, whoever found it.
    """

    lottery: FloatArray
    guaranteed: FloatArray
    optimality_gap: float


def pessimistic_lottery(features: FloatArray, confidence: PartyConfidence, rule: WelfareRule) -> PessimisticLottery:
    """The ex-ante lottery of one state whose guaranteed gains have the largest welfare; features (A, d).

        max over p, q_m in the simplex of W(t),  t_m <= <theta_hat_m, z_m> - radius_m ||z_m||_{Sigma_m^-1},
        z_m = Phi' (p - q_m)                                                                    [derived, exact]

    q_m is the lottery party m's gain is counted from; the largest bound over q_m is the minimum over the set of the
    gain over the worst action. Nash and alpha < 1 in one conic program; leximin level by level, each party that binds
    tested by a program of its own, at most M levels.
    """
    float_array("features", features, ("A", confidence.theta.shape[1]))
    M, A = len(confidence.theta), len(features)
    numbers = set_numbers(features, confidence)
    # A power of two near the largest difference, which the solver's tolerances and the levels' slacks are for.
    size = float(np.exp2(np.round(np.log2(max(float(np.ptp(numbers["rewards"], axis=1).max()), 1e-300)))))
    numbers = {name: values / size for name, values in numbers.items()}
    shape = (A, len(numbers["norms"]) // M, M)
    strong = np.isneginf(rule.alpha) or rule.alpha < _STRONG
    found = None if strong else welfare_program(*shape, float(rule.alpha), numbers=numbers).solve(**numbers)
    if found is not None and found["lottery"] is not None:
        lottery, apart, own = _guaranteed(numbers, found)
        # Utilitarian weights are equal whatever the gains, zeros among them; a power of zero is no weight.
        weights, least = np.full(M, float(rule.alpha == 1.0)), own.min()
        if least > 0:
            weights = (own / least) ** (rule.alpha - 1.0)
        return PessimisticLottery(lottery, size * own, _lottery_gap(numbers, apart, own, weights))
    if rule.alpha >= 0.0:
        raise RuntimeError(_UNSOLVED)
    found, weights = _raise_levels(shape, numbers)
    lottery, apart, own = _guaranteed(numbers, found)
    gap = _lottery_gap(numbers, apart, own, weights)
    if not np.isneginf(rule.alpha):
        gap = leximin_gap(rule, own, own.min() * (1.0 + gap))
    return PessimisticLottery(lottery, size * own, gap)


def _guaranteed(numbers: Numbers, found: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The lottery p (A,), p - q_m (M, A), and t (M,), recomputed, so that the promise holds whatever the solver's
    tolerance."""
    lottery = np.maximum(found["lottery"], 0.0)
    lottery /= lottery.sum()
    against = np.maximum(found["against"], 0.0)
    apart = lottery - against / against.sum(axis=1, keepdims=True)
    mean = (numbers["rewards"] * apart).sum(axis=1)
    return lottery, apart, np.maximum(mean - np.linalg.norm(_white(numbers, apart), axis=1), 0.0)


def _white(numbers: Numbers, apart: FloatArray) -> FloatArray:
    """radius_m W_m z_m, z_m = Phi' apart_m; (M, k)."""
    M, A = apart.shape
    return np.asarray(np.einsum("mka,ma->mk", numbers["norms"].reshape(M, -1, A), apart))


def _lottery_gap(numbers: Numbers, apart: FloatArray, own: FloatArray, weights: FloatArray) -> float:
    """max over (p, q) of the linearisation of sum_m w_m t_m, over sum_m w_m t_m, minus 1.

    t_m is concave in z_m with gradient g_m = theta_hat_m - radius_m Sigma_m^-1 z_m / ||z_m||, so that the linearisation
    bounds it; the equivalent utility is concave and homogeneous with a gradient along w (leximin: w are the duals of
    the first level, and the least gain is at most their mean).
    """
    worth = float(weights @ own) if weights.any() else 0.0
    if worth <= 0.0:
        return float("inf")
    M, A = apart.shape
    white = _white(numbers, apart)
    length = np.linalg.norm(white, axis=1, keepdims=True)
    along = np.divide(white, length, out=np.zeros_like(white), where=length > 1e-12 * np.abs(numbers["rewards"]).max())
    # <g_m, phi(a)>, weighted.
    scores = weights[:, None] * (
        numbers["rewards"] - np.einsum("mk,mka->ma", along, numbers["norms"].reshape(M, -1, A))
    )
    # The linearisation is of degree one in z, and worth what t is at the answer.
    most = float(scores.sum(axis=0).max() - scores.min(axis=1).sum())
    return max(most - float((scores * apart).sum()), 0.0) / worth


def _raise_levels(
    shape: tuple[int, int, int], numbers: Numbers, slack: float = 1e-6
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Leximin on t: raise the common level of the free parties, fix those that cannot rise further; returns the last
    program's answers and the first level's duals (M,)."""
    raising, testing = (make(*shape, numbers=numbers) for make in (level_program, floor_program))
    M = shape[2]
    level, fixed, weights, reached = np.zeros(M), np.zeros(M, dtype=bool), np.zeros(M), 0.0
    for _ in range(M):
        if fixed.all():
            break
        limits = {"floor": np.where(fixed, level - slack, 0.0), "free": np.where(fixed, 0.0, 1.0)}
        if not fixed.any():
            found = raising.solve(**limits, **numbers)
            if found["lottery"] is None:
                raise RuntimeError(_UNSOLVED)
        else:
            higher = raising.solve(**limits, **numbers)
            if higher["lottery"] is None:
                break  # as below: what the solver cannot raise for sure stays where it is
            found = higher
        reached = float(found["level"])
        if not fixed.any():
            weights = np.maximum(found["prices"], 0.0)
        tight = [m for m in np.flatnonzero(~fixed) if found["gains"][m] <= reached + 10 * slack]
        stuck = []
        # Who is alone there stays whatever its own program says.
        for m in tight if len(tight) > 1 else ():
            floor = np.where(fixed, level, reached) - slack
            alone = testing.solve(floor=floor, weights=np.eye(M)[m], **numbers)
            # A set with next to no inside may be too small for the solver: who cannot be shown to rise, stays.
            if alone["gains"] is None or alone["gains"][m] <= reached + 20 * slack:
                stuck.append(m)
        for m in stuck or tight:
            fixed[m], level[m] = True, reached
    # Where the solver gave up, the others keep the level that was shown to be possible for all of them.
    last = testing.solve(floor=np.where(fixed, level, reached) - slack, weights=np.ones(M), **numbers)
    return (found if last["lottery"] is None else last), weights


def joint_value(
    features: FloatArray, law: FloatArray, policy: IntArray, confidence: PartyConfidence, *, sweeps: int = 10
) -> float:
    """An upper bound on Algorithm 1's own value, min over theta in the set of sum_s law(s) prod_m v_m(s, pi(s)).

    One theta for all states, which couples them: convex in each party's block, not jointly. Blocks are minimised in
    turn (Clarabel), from the estimates; `statewise_policy`'s value is a lower bound on the same number.
    """
    _require_states(features, law, confidence)
    require_shape("policy", index_array("policy", policy, features.shape[1]), (len(features),))
    require_count("sweeps", sweeps)
    M, (S, A, d) = len(confidence.theta), features.shape
    theta = confidence.theta.copy()
    picked = features[np.arange(S), policy][:, None] - features
    roots = np.linalg.cholesky(confidence.covariance).swapaxes(-1, -2)
    value = np.inf
    for _ in range(sweeps):
        before = value
        for m in range(M):
            own = np.einsum("sad,md->msa", picked, theta).max(axis=2)
            numbers = {
                "picked": picked.reshape(S * A, d), "root": roots[m], "centre": roots[m] @ confidence.theta[m],
                "radius": confidence.radius[m : m + 1], "weight": law * np.delete(own, m, axis=0).prod(axis=0),
            }  # fmt: skip
            found = block_program(S, A, d, numbers=numbers).solve(**numbers)
            theta[m] = found["theta"]
            value = float(found["value"])
        if before - value <= 1e-9:
            break
    return value


def joint_policy(features: FloatArray, law: FloatArray, confidence: PartyConfidence) -> tuple[IntArray, float]:
    """The deterministic policy of largest `joint_value` by enumeration, for a handful of states and actions."""
    _require_states(features, law, confidence)
    S, A, _ = features.shape
    policies = [np.array(actions) for actions in product(range(A), repeat=S)]
    values = [joint_value(features, law, policy, confidence) for policy in policies]
    best = int(np.argmax(values))
    return policies[best], values[best]


def log_welfare_bounds(gains: FloatArray, widths: FloatArray, radius: float) -> FloatArray:
    """Lower bound on log prod_m v_m under one joint ellipsoid sum_m ||theta_m - theta_hat_m||^2 <= radius^2, to first
    order:  sum_m log v_m - radius sqrt(sum_m (width_m / v_m)^2);  (M, ...) -> (...).  [derived]

    The delta method: the widths of independent parties add in squares, about sqrt(M), where a product of sets adds
    them, M. widths: ||D_m||_{Sigma_m^-1} of each party's gain; gains of zero give -inf.
    """
    require_same_shape(gains=gains, widths=widths)
    require_finite(gains=gains, widths=widths)
    require_not_negative(radius=radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(((widths / gains) ** 2).sum(axis=0))
        bound = np.log(gains).sum(axis=0) - radius * spread
    return np.asarray(np.where((gains > 0).all(axis=0), bound, -np.inf))
