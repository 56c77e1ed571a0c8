"""A mechanism that makes truthful probabilistic opinions a dominant strategy, and the attacks that test it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.algorithms.aggregation import checked_alpha
from sim.algorithms.opinion_distances import distance_gradient, opinion_distance
from sim.algorithms.pooling import checked_opinions, pool_opinions
from sim.arguments import (
    float_array,
    require_count,
    require_index,
    require_number,
    require_same_shape,
    require_shape,
)
from sim.preferences import FloatArray
from sim.streams import Stream

# Opinions below it count as it: with a zero some distances are infinite whatever the consensus.
FLOOR = 1e-9
# Beyond it the differences that costs and gains are have no digits left that mean anything.
LARGEST_DISTANCE = 1e9
_SEARCH_STEPS = 400
_PATTERN_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Outcome:
    """consensus (..., K) and each annotator's cost (..., N), nats."""

    consensus: FloatArray
    costs: FloatArray


@dataclass(frozen=True, eq=False)
class Misreports:
    """gain (..., N) of the best report found over the truth, that report (..., N, K), and `bound` (..., N): no report
    at all can gain more."""

    gain: FloatArray
    report: FloatArray
    bound: FloatArray


def floored(opinions: FloatArray) -> FloatArray:
    """Opinions with entries of at least FLOOR, rows summing to one."""
    raised = np.maximum(checked_opinions(opinions), FLOOR)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Mechanism:
    """x(P) = Agg-p_alpha(P) and the costs of a Clarke pivot.                     [arXiv 2405.00254, eq. (5.1)]

    c_i(P) = sum_{j != i} [d(P_j, x(P)) - d(P_j, x(P_-i))],  u_i = -d(p_i, x(P)) - c_i(P),  p_i the true opinion.
    With d = d_alpha, whose barycentre is x, truth is a dominant strategy (Theorem 5.1): u_i = h_i(P_-i) - F(x) with F
    the sum of distances that x minimises when i reports p_i. Not so without costs (`charged` False), with the distance
    of another alpha, or at infinite alpha, where no distance fits and `distance_alpha` has to be named.
    Costs are >= 0 (no deficit; the sum is not paid out), utilities <= 0: taking part is not always worth it.
    """

    alpha: float = 1.0
    distance_alpha: float | None = None
    charged: bool = True

    def __post_init__(self) -> None:
        checked_alpha(self.alpha)
        if self.distance_alpha is not None:
            require_number(distance_alpha=self.distance_alpha)
        if self.distance_alpha is None and np.isinf(self.alpha):
            raise ValueError("no distance has the min or the max rule as its barycentre: name distance_alpha")

    @property
    def distance(self) -> float:
        return checked_alpha(self.alpha if self.distance_alpha is None else self.distance_alpha)

    @property
    def truthful(self) -> bool:
        """Whether Theorem 5.1 covers it."""
        return self.charged and np.isfinite(self.alpha) and self.distance == checked_alpha(self.alpha)

    def outcome(self, reports: FloatArray) -> Outcome:
        """Consensus and costs of reports (..., N, K); all costs are zero where nobody is charged."""
        reports = floored(reports)
        consensus = pool_opinions(reports, self.alpha)
        n = reports.shape[-2]
        costs = np.zeros(reports.shape[:-1])
        if self.charged and n > 1:
            for i in range(n):
                others = np.delete(reports, i, axis=-2)
                without = pool_opinions(others, self.alpha)
                now = opinion_distance(others, consensus[..., None, :], self.distance)
                then = opinion_distance(others, without[..., None, :], self.distance)
                with np.errstate(invalid="ignore"):  # of two that are beyond any number: see `require_payable`
                    costs[..., i] = (now - then).sum(axis=-1)
        return Outcome(consensus, costs)

    def utilities(self, opinions: FloatArray, reports: FloatArray | None = None) -> FloatArray:
        """u_i = -d(p_i, x) - c_i under reports (default: the truth); (..., N), nats."""
        truth = floored(opinions)
        outcome = self.outcome(truth if reports is None else reports)
        with np.errstate(invalid="ignore"):
            return -opinion_distance(truth, outcome.consensus[..., None, :], self.distance) - outcome.costs

    def require_payable(self, opinions: FloatArray) -> None:
        """ValueError where distances between these opinions and their pool are beyond what costs can be told from.

        They grow like (P / x)^alpha: over a thousandfold difference by 700 nats of exponent at alpha = 100.
        """
        largest = np.abs(self.utilities(opinions)).max(initial=0.0)
        if not largest <= LARGEST_DISTANCE:
            name = "alpha" if self.distance_alpha is None else "distance_alpha"
            raise ValueError(
                f"{name} must lie nearer to 0 and 1 for opinions that are so far apart (got {self.distance:g}): their "
                f"distances reach {largest:.2g} nats, and costs no sense beyond {LARGEST_DISTANCE:.0e}"
            )

    def gain_of(self, opinions: FloatArray, reports: FloatArray, agent: int, report: FloatArray) -> FloatArray:
        """What `agent` gains by `report` over the truth while the others report as they do; (...)."""
        truth, others = floored(opinions), np.array(floored(reports))
        require_same_shape(opinions=truth, reports=others)
        require_index("agent", agent, truth.shape[-2])
        honest, lying = others.copy(), others
        honest[..., agent, :] = truth[..., agent, :]
        lying[..., agent, :] = report
        with np.errstate(invalid="ignore"):
            gain = self.utilities(truth, lying)[..., agent] - self.utilities(truth, honest)[..., agent]
        return np.asarray(gain, dtype=np.float64)

    def largest_gain(self, opinions: FloatArray, reports: FloatArray) -> FloatArray:
        """Largest gain any report can have; (..., N).

        u_i = h_i - F(x) with F(q) = d(p_i, q) + sum_{j != i} d(P_j, q), or d(p_i, q) alone where nobody is charged:
        convex, so whatever x a report leads to, F(x*) - F(x) <= <grad F(x*), x*> - min_a grad_a F(x*), the Frank-Wolfe
        gap at the truthful outcome x*. For a truthful mechanism it is zero up to rounding: a proof, not a search.
        """
        truth, others = floored(opinions), floored(reports)
        require_same_shape(opinions=truth, reports=others)
        out = np.empty(truth.shape[:-1])
        # So near 0 what slopes differ by is lost beside 1 / alpha, and the limit's are off by less.
        distance = 0.0 if abs(self.distance) < 1e-9 else self.distance
        for i in range(truth.shape[-2]):
            profile = others.copy()
            profile[..., i, :] = truth[..., i, :]
            x = pool_opinions(profile, self.alpha)
            judged = profile if self.charged else profile[..., i : i + 1, :]
            slope = distance_gradient(judged, x[..., None, :], distance).sum(axis=-2)
            out[..., i] = np.maximum((slope * x).sum(axis=-1) - slope.min(axis=-1), 0.0)
        return out


def best_misreports(
    mechanism: Mechanism, opinions: FloatArray, reports: FloatArray | None = None, *, stream: Stream, starts: int = 1
) -> Misreports:
    """Each annotator's best report by Nelder-Mead from 3 + `starts` points, the others' reports fixed.

    opinions: (..., N, K) true ones.  reports: what the others say (default: the truth).  Starting points: the truth,
    an even report, the truth's departure from the others three times over, and random ones.  The gain is that of the
    report found, computed by `Mechanism.utilities` and not by the search.
    """
    from sim.compiled.misreports import Pooling, search

    truth = floored(opinions)
    others = truth if reports is None else floored(reports)
    require_same_shape(opinions=truth, reports=others)
    require_count("starts", starts, 0)
    *batch, N, K = truth.shape
    if K < 2:
        raise ValueError(f"opinions must be over two candidates or more (got {K}): over one nothing can be misreported")
    flat, flat_others = truth.reshape(-1, N, K), others.reshape(-1, N, K)
    best = np.zeros((len(flat), N, K - 1))
    search(
        np.log(flat), np.log(flat_others), 2.0 * stream.child("starts").normals((starts, K - 1)),
        Pooling(mechanism.alpha, mechanism.distance, mechanism.charged, float(np.log(FLOOR))), 0.5,
        _SEARCH_STEPS * (K - 1), best,
    )  # fmt: skip
    logits = np.concatenate([best, np.zeros((*best.shape[:-1], 1))], axis=-1)
    report = np.exp(logits - logits.max(axis=-1, keepdims=True))
    report = np.maximum(report / report.sum(axis=-1, keepdims=True), FLOOR)
    report /= report.sum(axis=-1, keepdims=True)
    gain = np.stack([mechanism.gain_of(flat, flat_others, i, report[:, i]) for i in range(N)], axis=-1)
    # The truth is a report too.
    better = gain > 0
    report = np.where(better[..., None], report, flat)
    return Misreports(
        np.where(better, gain, 0.0).reshape(*batch, N),
        report.reshape(*batch, N, K),
        mechanism.largest_gain(truth, others),
    )


def searched_misreports(mechanism: Mechanism, opinions: FloatArray, reports: FloatArray | None = None) -> Misreports:
    """Each annotator's best report by a pattern search on `Mechanism.utilities` alone, the others' reports fixed.

    opinions, reports: as of `best_misreports`, which is fast because it writes the mechanism out again; this one
    believes nothing but what the object charges, whatever subclass it is. Started at the best of the truth, an even
    report, half of the truth, the truth's departure from the others three times over, and the truth with one
    candidate raised or lowered by 2 nats; 8 rounds of one candidate up or down, the step halved where no move
    helps. Nothing is drawn, so that a profile's answer does not depend on those beside it.
    """
    truth = floored(opinions)
    others = truth if reports is None else floored(reports)
    require_same_shape(opinions=truth, reports=others)
    N, K = truth.shape[-2:]
    if K < 2:
        raise ValueError(f"opinions must be over two candidates or more (got {K}): over one nothing can be misreported")
    gain, best = np.zeros(truth.shape[:-1]), truth.copy()
    moves = np.concatenate([np.eye(K), -np.eye(K)])
    for i in range(N):
        honest = others.copy()
        honest[..., i, :] = truth[..., i, :]
        base = mechanism.utilities(truth, honest)[..., i]

        def gained(logits: FloatArray, i: int = i, honest: FloatArray = honest, base: FloatArray = base) -> FloatArray:
            """(C, ...) over candidates (C, ..., K)."""
            weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
            lying = np.tile(honest, (len(logits), *([1] * honest.ndim)))
            lying[..., i, :] = weight / weight.sum(axis=-1, keepdims=True)
            return np.asarray(mechanism.utilities(truth, lying)[..., i] - base)

        def pick(values: FloatArray, logits: FloatArray) -> tuple[FloatArray, FloatArray]:
            top = values.argmax(axis=0)[None]
            chosen = np.take_along_axis(logits, top[..., None], axis=0)[0]
            return np.take_along_axis(values, top, axis=0)[0], chosen

        own = np.log(truth[..., i, :])
        rest = np.log(np.delete(others, i, axis=-2)).mean(axis=-2) if N > 1 else np.zeros_like(own)
        spread = [own + 2.0 * move for move in moves]
        starts = np.stack([own, 0.0 * own, 0.5 * own, 3.0 * own - 2.0 * rest, *spread])
        value, at = pick(gained(starts), starts)
        step = np.ones(value.shape)
        for _ in range(_PATTERN_ROUNDS):
            tried = at + step[..., None] * moves.reshape(len(moves), *([1] * (at.ndim - 1)), K)
            found, where = pick(gained(tried), tried)
            better = found > value
            value, at = np.where(better, found, value), np.where(better[..., None], where, at)
            step = np.where(better, step, 0.5 * step)
        # The truth is a report too.
        lies = value > 0
        weight = np.exp(at - at.max(axis=-1, keepdims=True))
        gain[..., i] = np.where(lies, value, 0.0)
        best[..., i, :] = np.where(lies[..., None], weight / weight.sum(axis=-1, keepdims=True), truth[..., i, :])
    return Misreports(gain, best, mechanism.largest_gain(truth, others))


def best_collusion(mechanism: Mechanism, opinions: FloatArray, pair: tuple[int, int], *, stream: Stream) -> float:
    """What two annotators gain together (sum of their utilities) by the best joint misreport found, >= 0.

    Truthfulness is against lies of one; a Clarke pivot does not hold against two.  opinions: (N, K).
    """
    from scipy.optimize import minimize

    truth = floored(opinions)
    require_shape("opinions", truth, ("annotators", "candidates"))
    if len(set(pair)) != 2:
        raise ValueError(f"pair must be two annotators (got {pair})")
    for agent in pair:
        require_index("pair", agent, len(truth))
    K, chosen = truth.shape[1], list(pair)
    honest = float(mechanism.utilities(truth)[chosen].sum())

    def loss(logits: FloatArray) -> float:
        reports = truth.copy()
        shifted = logits.reshape(2, K)
        weight = np.exp(shifted - shifted.max(axis=1, keepdims=True))
        reports[chosen] = weight / weight.sum(axis=1, keepdims=True)
        return honest - float(mechanism.utilities(truth, reports)[chosen].sum())

    own = np.log(truth[chosen])
    rest = np.log(np.delete(truth, chosen, axis=0)).mean(axis=0) if len(truth) > 2 else np.zeros(K)
    points = [own, 3.0 * own - 2.0 * rest, 0.5 * own, stream.child("pair").normals((2, K))]
    found = [minimize(loss, point.ravel(), method="Nelder-Mead", options={"maxiter": 400}).fun for point in points]
    return float(max(0.0, -min(found)))


@dataclass(frozen=True, eq=False)
class CandidateOutcome:
    """choice: the candidate; costs (N,), in units of the values."""

    choice: int
    costs: FloatArray


def pivotal_choice(values: FloatArray, charged: bool = True) -> CandidateOutcome:
    """Remark 6's analogue for rewards, an extension the paper asserts without proof: a Clarke pivot over candidates.

    values: (N, M), what each annotator's welfare is at each of M candidates, for Agg_alpha its summand
    (exp(alpha r) - 1) / alpha. choice = argmax_y sum_i values[i, y] (the first of equals), c_i = max_y of the others'
    sum minus the others' sum at the choice. The utility values[i, choice] - c_i is largest under truth.
    """
    values = float_array("values", values, ("annotators", "candidates"))
    if 0 in values.shape:
        raise ValueError(f"values must not be empty (got {values.shape})")
    total = values.sum(axis=0)
    choice = int(total.argmax())
    others = total[None, :] - values
    costs = others.max(axis=1) - others[:, choice] if charged else np.zeros(len(values))
    return CandidateOutcome(choice, costs)
