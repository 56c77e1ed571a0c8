"""Claims about opinion pooling (arXiv 2405.00254, Theorems 4.3 and 5.2, Remarks 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize, root

from sim.algorithms.aggregation import aggregate
from sim.algorithms.opinion_distances import distance_gradient, opinion_distance, printed_distance
from sim.algorithms.pooling import pool_opinions
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV, simplex_points, total_variation

_LINK_ALPHAS = (-np.inf, -3.0, -1.0, 0.0, 1.0, 3.0, np.inf)


@dataclass(frozen=True)
class LinkSetting(Setting):
    """normalised: log-partition (log sum exp R_i equal), minimum (min R_i = 0, as printed), or none."""

    replicates: int = 200
    normalised: Literal["log-partition", "minimum", "none"] = "log-partition"


class PlackettLuceLink(Theorem[LinkSetting]):
    """With P_i proportional to exp(R_i), Agg-p_alpha(P) = softmax(Agg_alpha(R)) for alpha in -inf, -3, -1, 0, 1, 3,
    inf, if log sum_a exp R_i(a) is the same for all annotators. The paper asks for a common lower bound on R_i instead,
    which does nothing. N = 4, K = 5, R ~ 1.5 N(0, 1). Value: largest total variation over alpha.

    The pool is computed by its own power formula and the other side by the aggregation of rewards.
    """

    claim_id, paper, source = "plackett-luce-link", PAPER.name, f"{ARXIV}, Theorem 4.3"
    statement = "Pooling opinions is aggregating the rewards behind them."
    SETTINGS = {
        "as_printed": Variant(
            LinkSetting(normalised="minimum"), Verdict.VIOLATED, "Rewards share a lower bound: min_a R_i(a) = 0."
        ),
        "as_corrected": Variant(LinkSetting(), Verdict.HOLDS, "Rewards share their log-partition function."),
    }

    def bound(self, setting: LinkSetting) -> Bound:
        return EveryDraw(1e-12)

    def _rewards(self, setting: LinkSetting, stream: Stream) -> FloatArray:
        R = 1.5 * stream.child("rewards").normals((4, 5))
        if setting.normalised == "log-partition":
            return log_softmax(R) + 0.7
        return R - R.min(axis=1, keepdims=True) if setting.normalised == "minimum" else R

    def draw(self, setting: LinkSetting, stream: Stream) -> float:
        R = self._rewards(setting, stream)
        P = np.exp(log_softmax(R))
        return max(
            total_variation(pool_opinions(P, alpha), np.exp(log_softmax(aggregate(R, alpha)[None])[0]))
            for alpha in _LINK_ALPHAS
        )

    def witness(self, setting: LinkSetting, stream: Stream) -> Json:
        return {"rewards": self._rewards(setting, stream).tolist(), "alphas": [str(a) for a in _LINK_ALPHAS]}

    def control(self, setting: LinkSetting) -> tuple[Control[LinkSetting], ...]:
        return (Control("rewards as they come", replace(setting, normalised="none")),)


@dataclass(frozen=True)
class PoolSetting(Setting):
    replicates: int = 200
    alpha: float = 0.0
    rooted: bool = True


class ExternalBayesianity(Theorem[PoolSetting]):
    """Agg-p_0(P L) = Agg-p_0(P) L, both normalised: updating on a common likelihood before or after pooling is one.
    N = 4, K = 5. Controls: alpha = 1 and -1."""

    claim_id, paper, source = "external-bayesianity", PAPER.name, f"{ARXIV}, Remark 4"
    statement = "Geometric pooling commutes with Bayesian updating."
    SETTINGS = {"as_stated": Variant(PoolSetting())}

    def bound(self, setting: PoolSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: PoolSetting, stream: Stream) -> float:
        P = simplex_points((4, 5), stream.child("opinions"))
        likelihood = stream.child("likelihood").uniforms(5)
        updated = P * likelihood
        before = pool_opinions(updated / updated.sum(axis=1, keepdims=True), setting.alpha)
        after = pool_opinions(P, setting.alpha) * likelihood
        return total_variation(before, after / after.sum())

    def control(self, setting: PoolSetting) -> tuple[Control[PoolSetting], ...]:
        return (
            Control("alpha = 1", replace(setting, alpha=1.0)),
            Control("alpha = -1", replace(setting, alpha=-1.0)),
        )


class Unanimity(Theorem[PoolSetting]):
    """If all annotators agree, the pool is their opinion, for alpha from -inf to inf. Control: the sum of powers
    without the outer power 1 / alpha."""

    claim_id, paper, source = "pool-unanimity", PAPER.name, f"{ARXIV}, Remark 4"
    statement = "Pooling N times one opinion gives that opinion."
    SETTINGS = {"as_stated": Variant(PoolSetting())}

    def bound(self, setting: PoolSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: PoolSetting, stream: Stream) -> float:
        p = simplex_points((1, 5), stream.child("opinion"))[0]
        P = np.tile(p, (4, 1))
        if setting.rooted:
            return max(total_variation(pool_opinions(P, alpha), p) for alpha in (*_LINK_ALPHAS, 0.5))
        power = (P**2).sum(axis=0)
        return total_variation(power / power.sum(), p)

    def control(self, setting: PoolSetting) -> tuple[Control[PoolSetting], ...]:
        return (Control("without the outer power", replace(setting, rooted=False)),)


class EventwiseIndependence(Theorem[PoolSetting]):
    """At alpha = 1 the pooled chance of an event depends on the annotators' chances of it alone: moving their mass
    inside the event changes nothing. K = 5, the event is the first two candidates. Control: alpha = 0."""

    claim_id, paper, source = "eventwise-independence", PAPER.name, f"{ARXIV}, Remark 4"
    statement = "Linear pooling treats every event by its own opinions."
    SETTINGS = {"as_stated": Variant(PoolSetting(alpha=1.0))}

    def bound(self, setting: PoolSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: PoolSetting, stream: Stream) -> float:
        P = simplex_points((4, 5), stream.child("opinions"))
        moved = P.copy()
        share = stream.child("share").uniforms(4)
        moved[:, 0], moved[:, 1] = share * (P[:, 0] + P[:, 1]), (1 - share) * (P[:, 0] + P[:, 1])
        both = [pool_opinions(Q, setting.alpha)[:2].sum() for Q in (P, moved)]
        return float(abs(both[0] - both[1]))

    def control(self, setting: PoolSetting) -> tuple[Control[PoolSetting], ...]:
        return (Control("alpha = 0", replace(setting, alpha=0.0)),)


@dataclass(frozen=True)
class BarycentreSetting(Setting):
    """distance: repaired, or at alpha = 0 the divergence of the other direction, as printed."""

    replicates: int = 250
    alphas: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)
    reversed_at_zero: bool = False
    shift: float = 0.0


class PoolIsBarycentre(Theorem[BarycentreSetting]):
    """argmin_q sum_i d_alpha(P_i, q) = Agg-p_alpha(P): the minimum found by BFGS and its gradient's root over softmax
    logits against the pool's closed form, N = 4, K = 3, alpha = -2, -1, -.5, 0, .5, 1, 2, 4 in turn. Value: total
    variation.

    As printed, the distance at alpha = 0 is KL(P_i || q): its barycentre is the linear pool, not the geometric one.
    """

    claim_id, paper, source = "pool-is-barycentre", PAPER.name, f"{ARXIV}, Theorem 5.2 and Remark 5"
    statement = "The pool minimises the sum of distances to the opinions."
    cost = 2.0
    SETTINGS = {
        "as_printed": Variant(
            BarycentreSetting(alphas=(0.0,), reversed_at_zero=True), Verdict.VIOLATED, "At alpha = 0 with KL(P_i || q)."
        ),
        "as_corrected": Variant(BarycentreSetting(), Verdict.HOLDS, "With KL(q || P_i) at alpha = 0."),
    }

    def bound(self, setting: BarycentreSetting) -> Bound:
        return EveryDraw(1e-6)

    def _found(self, setting: BarycentreSetting, P: FloatArray, alpha: float) -> FloatArray:
        of = 1.0 if alpha == 0 and setting.reversed_at_zero else alpha

        def loss(z: FloatArray) -> tuple[float, FloatArray]:
            q = np.exp(log_softmax(z[None])[0])
            slope, value = distance_gradient(P, q, of).sum(axis=0), float(opinion_distance(P, q, of).sum())
            # The logarithm of the sum: an opinion near zero makes it vary over many orders of magnitude.
            return float(np.log(value)), q * (slope - (slope * q).sum()) / value

        # Logits are bounded, or a first long step overflows. The sum of distances is convex in q but not in its logits:
        # the lower of two starts. The search stops where the loss itself is rounded; its gradient's zero is then found
        # to full precision.
        starts, box = (np.zeros(P.shape[1]), np.log(P).mean(axis=0)), [(-30.0, 30.0)] * P.shape[1]
        runs = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=box) for start in starts]
        near = min(runs, key=lambda run: float(run.fun)).x
        near = near - near[-1]
        polished = root(lambda z: loss(np.append(z, 0.0))[1][:-1], near[:-1], tol=1e-12, options={"maxfev": 60}).x
        # Far away the gradient also vanishes, where a candidate's share goes to zero: only a correction is taken.
        found = polished if np.abs(polished - near[:-1]).max() < 1e-3 else near[:-1]
        return np.asarray(np.exp(log_softmax(np.append(found, 0.0)[None])[0]))

    def draw(self, setting: BarycentreSetting, stream: Stream) -> float:
        P = simplex_points((4, 3), stream.child("opinions"))
        alpha = setting.alphas[stream.replicate % len(setting.alphas)]
        return total_variation(self._found(setting, P, alpha), pool_opinions(P, alpha + setting.shift))

    def witness(self, setting: BarycentreSetting, stream: Stream) -> Json:
        P = simplex_points((4, 3), stream.child("opinions"))
        return {
            "opinions": P.tolist(),
            "minimiser": {str(alpha): self._found(setting, P, alpha).tolist() for alpha in setting.alphas},
            "pool": {str(alpha): pool_opinions(P, alpha).tolist() for alpha in setting.alphas},
        }

    def control(self, setting: BarycentreSetting) -> tuple[Control[BarycentreSetting], ...]:
        return (Control("the pool of alpha + 1/2", replace(setting, shift=0.5)),)


@dataclass(frozen=True)
class DistanceSetting(Setting):
    """printed: Remark 5's formula.  beside: the consensus is not the opinion, a hundredth of its first candidate's
    share is gone.  reversed: the limit that is claimed is the divergence in the other direction."""

    replicates: int = 200
    printed: bool = False
    beside: bool = False
    reversed: bool = False


class DistanceToItself(Theorem[DistanceSetting]):
    """d_alpha(p, p) = 0 for alpha = -1, 1/2, 2. Remark 5 prints the 1 inside the sum over K candidates, which makes it
    sgn(alpha) (K - 1) / (1 - alpha): -2, 8, -4 for K = 5. Control: a consensus one hundredth beside the opinion."""

    claim_id, paper, source = "distance-to-itself", PAPER.name, f"{ARXIV}, Remark 5"
    statement = "An opinion is at distance zero from itself."
    SETTINGS = {
        "as_printed": Variant(DistanceSetting(printed=True), Verdict.VIOLATED, "The 1 inside the sum."),
        "as_corrected": Variant(DistanceSetting(), Verdict.HOLDS, "The 1 outside the sum."),
    }

    def bound(self, setting: DistanceSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: DistanceSetting, stream: Stream) -> float:
        p = simplex_points((1, 5), stream.child("opinion"))[0]
        of, q = printed_distance if setting.printed else opinion_distance, p.copy()
        if setting.beside:
            q[0] *= 0.99
            q /= q.sum()
        return float(max(np.abs(of(p, q, alpha)) for alpha in (-1.0, 0.5, 2.0)))

    def witness(self, setting: DistanceSetting, stream: Stream) -> Json:
        return {"opinion": simplex_points((1, 5), stream.child("opinion"))[0].tolist()}

    def control(self, setting: DistanceSetting) -> tuple[Control[DistanceSetting], ...]:
        return (Control("a hundredth beside it", replace(setting, printed=False, beside=True)),)


class DistanceLimit(Theorem[DistanceSetting]):
    """d_alpha -> KL(q || p) as alpha -> 0. The printed factor sgn(alpha) / (1 - alpha), even with the 1 put outside the
    sum, gives 0 in the limit. Value: |d_alpha / KL - 1| at alpha = 1e-4, the divergence written out. Control: KL(p ||
    q)."""

    claim_id, paper, source = "distance-limit", PAPER.name, f"{ARXIV}, Remark 5"
    statement = "The distances tend to a Kullback-Leibler divergence as alpha -> 0."
    SETTINGS = {
        "as_printed": Variant(DistanceSetting(printed=True), Verdict.VIOLATED, "Scaled by sgn(alpha) / (1 - alpha)."),
        "as_corrected": Variant(DistanceSetting(), Verdict.HOLDS, "Scaled by 1 / (alpha (1 - alpha))."),
    }

    def bound(self, setting: DistanceSetting) -> Bound:
        return EveryDraw(1e-2)

    def draw(self, setting: DistanceSetting, stream: Stream) -> float:
        p, q = simplex_points((2, 5), stream.child("opinions"), concentration=5.0)
        alpha = 1e-4
        found = float(opinion_distance(p, q, alpha))
        if setting.printed:
            found *= alpha
        first, second = (p, q) if setting.reversed else (q, p)
        return float(abs(found / (first * np.log(first / second)).sum() - 1.0))

    def control(self, setting: DistanceSetting) -> tuple[Control[DistanceSetting], ...]:
        return (Control("the divergence in the other direction", replace(setting, printed=False, reversed=True)),)


THEOREMS = (
    PlackettLuceLink(),
    ExternalBayesianity(),
    Unanimity(),
    EventwiseIndependence(),
    PoolIsBarycentre(),
    DistanceToItself(),
    DistanceLimit(),
)
