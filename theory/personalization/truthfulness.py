"""Claims about the mechanism of costs (arXiv 2405.00254, Theorem 5.1): attacks, certificates, boundaries."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from sim.algorithms.mechanism import (
    Mechanism,
    Outcome,
    best_collusion,
    floored,
    pivotal_choice,
    searched_misreports,
)
from sim.algorithms.opinion_distances import opinion_distance
from sim.algorithms.pooling import pool_opinions
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly, MeanAtLeast
from theory.engine.theorem import Control, Json, Measurement, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV, DERIVED, simplex_points

_ALPHAS = (-1.0, 0.0, 0.5, 1.0, 2.0)


_Payment = Literal["", "too low", "too high", "misdirected", "pivot on the report", "no pivot", "linear pivot"]


@dataclass(frozen=True)
class MechanismSetting(Setting):
    """mismatched: the distance of another alpha (the pool's plus one); infinite: the min rule with d_0; charged: with
    the costs; payment: what is wrong with the costs."""

    replicates: int = 130
    charged: bool = True
    mismatched: bool = False
    infinite: bool = False
    payment: _Payment = ""


@dataclass(frozen=True)
class WrongPayments(Mechanism):
    """The mechanism with one mistake in what it charges."""

    payment: _Payment = ""

    def outcome(self, reports: FloatArray) -> Outcome:
        own = super().outcome(reports)
        costs = own.costs
        # No mistake here is undone by another of its kind in the mechanism itself (a half by a double, a shift by one
        # back): a control that came out right would hide behind "inconclusive" what the claim sees.
        if self.payment == "too low":
            costs = 0.7 * costs
        elif self.payment == "too high":
            costs = 1.5 * costs
        elif self.payment == "misdirected":
            costs = costs[..., ::-1]
        elif self.payment == "pivot on the report":
            # Half of the agent's own distance to the consensus is taken off: the pivot is not the others' alone.
            costs = costs - 0.5 * opinion_distance(floored(reports), own.consensus[..., None, :], self.distance)
        elif self.payment in ("no pivot", "linear pivot"):
            costs = self._pivoted(floored(reports), own.consensus)
        return Outcome(own.consensus, np.asarray(costs))

    def _pivoted(self, reports: FloatArray, consensus: FloatArray) -> FloatArray:
        """What the others lose at the consensus, less what they lose at their linear pool; (..., N)."""
        costs = np.empty(reports.shape[:-1])
        for i in range(reports.shape[-2]):
            others = np.delete(reports, i, axis=-2)
            costs[..., i] = opinion_distance(others, consensus[..., None, :], self.distance).sum(axis=-1)
            if self.payment == "linear pivot":
                then = opinion_distance(others, others.mean(axis=-2, keepdims=True), self.distance)
                costs[..., i] -= then.sum(axis=-1)
        return costs


def _mechanism(setting: MechanismSetting, stream: Stream) -> Mechanism:
    """Each draw has one of five alphas in turn."""
    if setting.infinite:
        return Mechanism(-np.inf, distance_alpha=0.0, charged=setting.charged)
    alpha = _ALPHAS[stream.replicate % len(_ALPHAS)]
    distance = alpha + 1.0 if setting.mismatched else None
    if setting.payment:
        return WrongPayments(alpha, distance, setting.charged, setting.payment)
    return Mechanism(alpha, distance_alpha=distance, charged=setting.charged)


def _broken(setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
    return (
        Control("no costs", replace(setting, charged=False)),
        Control("the distance of another alpha", replace(setting, mismatched=True)),
        Control("infinite alpha", replace(setting, infinite=True)),
    )


def _mispaid(setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
    return (
        Control("seven tenths of the costs", replace(setting, payment="too low")),
        Control("costs half as high again", replace(setting, payment="too high")),
        Control("costs charged to the annotator opposite", replace(setting, payment="misdirected")),
        Control("a pivot that depends on the report", replace(setting, payment="pivot on the report")),
    )


class _OverProfiles(Theorem[MechanismSetting]):
    """One number a profile of N = 4, K = 3: Dirichlet(1.5) opinions, and reports of the others that are not theirs."""

    def _profile(self, stream: Stream) -> tuple[FloatArray, FloatArray]:
        P = simplex_points((2, 4, 3), stream.child("opinions"))
        return P[0], P[1]

    @abc.abstractmethod
    def _values(self, mechanism: Mechanism, opinions: FloatArray, reports: FloatArray) -> FloatArray:
        """(B,) for profiles (B, N, K)."""
        ...

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        opinions, reports = self._profile(stream)
        return float(self._values(_mechanism(setting, stream), opinions[None], reports[None])[0])

    def measure(self, setting: MechanismSetting, stream: Stream) -> Measurement:
        """All draws of one mechanism at once; each profile's number does not depend on the others."""
        streams = [stream.at(replicate=r) for r in range(setting.replicates)]
        values = np.empty(setting.replicates)
        for first in range(min(len(_ALPHAS), setting.replicates)):
            own = streams[first :: len(_ALPHAS)]
            opinions, reports = (np.stack(part) for part in zip(*map(self._profile, own), strict=True))
            values[first :: len(_ALPHAS)] = self._values(_mechanism(setting, own[0]), opinions, reports)
        return Measurement(values)

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return (*_broken(replace(setting, infinite=False)), *_mispaid(replace(setting, infinite=False)))


class Truthful(_OverProfiles):
    """The best misreport found gains nothing: a pattern search whose every report is judged by the mechanism's own
    utilities, costs included; N = 4, K = 3, Dirichlet(1.5) opinions, alpha = -1, 0, 1/2, 1, 2 in turn, the others'
    reports arbitrary and not their opinions. Value: largest gain over the annotators, nats. An attack can only refute;
    `truthful-certificate` proves it for each draw.
    """

    claim_id, paper, source = "truthful", PAPER.name, f"{ARXIV}, Theorem 5.1"
    statement = "With the costs, no annotator gains by reporting another opinion than hers, whatever the others report."
    cost = 2.0
    SETTINGS = {
        "as_printed": Variant(
            MechanismSetting(infinite=True), Verdict.VIOLATED, "For every alpha, the min and max rules among them."
        ),
        "as_corrected": Variant(MechanismSetting(), Verdict.HOLDS, "For finite alpha with the distance of that alpha."),
    }

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-8)

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        # Infinite alpha is what is printed.
        return tuple(own for own in super().control(setting) if not own.setting.infinite)

    def _values(self, mechanism: Mechanism, opinions: FloatArray, reports: FloatArray) -> FloatArray:
        return np.asarray(searched_misreports(mechanism, opinions, reports).gain.max(axis=-1))

    def witness(self, setting: MechanismSetting, stream: Stream) -> Json:
        opinions, reports = self._profile(stream)
        mechanism = _mechanism(setting, stream)
        found = searched_misreports(mechanism, opinions, reports)
        who = int(found.gain.argmax())
        return {
            "alpha": str(mechanism.alpha), "distance_alpha": mechanism.distance, "charged": mechanism.charged,
            "annotator": who, "opinion": opinions[who].tolist(), "misreport": found.report[who].tolist(),
            "others_report": np.delete(reports, who, axis=0).tolist(), "gain": float(found.gain[who]),
        }  # fmt: skip


class TruthfulCertificate(_OverProfiles):
    """u_i = h_i(P_-i) - F(x) with F convex, so no report can gain more than F's Frank-Wolfe gap at the truthful
    outcome. Both halves are measured: that gap, largest over the annotators, and how much h_i = u_i + F(x), with the
    costs as they are charged, differs between the truth and an even, an exaggerated and a swapped report. Value: the
    larger; a proof for each draw up to rounding, where the attack is a search. F is summed here, apart from the
    mechanism.
    """

    claim_id, paper, source = "truthful-certificate", PAPER.name, f"{ARXIV}, Theorem 5.1 [derived certificate]"
    statement = "At the truthful outcome the first-order condition of the annotator's utility holds over all outcomes."
    cost = 1.0
    SETTINGS = {"as_corrected": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-9)

    def _values(self, mechanism: Mechanism, opinions: FloatArray, reports: FloatArray) -> FloatArray:
        gap = mechanism.largest_gain(opinions, reports).max(axis=-1)
        return np.asarray(np.maximum(gap, self._moved(mechanism, opinions, reports)), dtype=np.float64)

    def _moved(self, mechanism: Mechanism, opinions: FloatArray, reports: FloatArray) -> FloatArray:
        """max over annotators and reports of |h_i(report) - h_i(truth)|, relative to the sizes it is the difference of;
        (B,)."""
        out = np.zeros(len(opinions))
        for i in range(opinions.shape[1]):
            own = opinions[:, i]
            sharp = own**3 / (own**3).sum(axis=-1, keepdims=True)
            constants, size = [], np.ones(len(opinions))
            for said in (own, np.full_like(own, 1.0 / own.shape[-1]), sharp, own[:, ::-1]):
                profile, judged = reports.copy(), reports.copy()
                profile[:, i], judged[:, i] = said, own
                x = mechanism.outcome(profile).consensus[:, None, :]
                total = opinion_distance(judged, x, mechanism.distance).sum(axis=-1)
                constants.append(mechanism.utilities(opinions, profile)[:, i] + total)
                size = np.maximum(size, total)
            out = np.maximum(out, np.ptp(constants, axis=0) / size)
        return np.asarray(out)


class WelfareMaximal(Theorem[MechanismSetting]):
    """Under truth x(P) maximises the sum of welfares -d(p_i, x): no point among 500 of the simplex and 500 near x has
    a smaller sum of distances. Value: how much smaller, relative. Controls: the distance of another alpha, min rule.
    """

    claim_id, paper, source = "welfare-maximal", PAPER.name, f"{ARXIV}, Theorem 5.1"
    statement = "Under truth the consensus maximises the annotators' total welfare."
    SETTINGS = {"as_corrected": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        mechanism = _mechanism(setting, stream)
        P = simplex_points((4, 3), stream.child("opinions"))
        x = mechanism.outcome(P).consensus
        far = simplex_points((500, 3), stream.child("far"))
        near = x * np.exp(0.05 * stream.child("near").normals((500, 3)))
        others = np.concatenate([far, near / near.sum(axis=1, keepdims=True)])
        own = float(opinion_distance(P, x, mechanism.distance).sum())
        best = float(opinion_distance(P[None], others[:, None], mechanism.distance).sum(axis=1).min())
        return (own - best) / own

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return _broken(setting)[1:]


class CostsNotNegative(Theorem[MechanismSetting]):
    """c_i >= 0, so the mechanism never pays out; where all agree, nobody is charged, and where they do not somebody is:
    the others' sum of distances is strictly convex and least without her. Value: the largest of -min c_i, the largest
    cost under unanimity, and 1 where nobody is charged for opinions that differ. Control: with the distance of another
    alpha the consensus is no minimum and some costs are negative. Utilities are <= 0: taking part is not always worth
    it, and the paper does not say it is.
    """

    claim_id, paper, source = "costs-not-negative", PAPER.name, f"{ARXIV}, eq. (5.1)"
    statement = "Costs are never negative, and all zero where annotators agree and only there."
    SETTINGS = {"as_stated": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        mechanism = _mechanism(setting, stream)
        P = simplex_points((4, 3), stream.child("opinions"))
        agreed = np.tile(P[0], (4, 1))
        costs = mechanism.outcome(P).costs
        free = float(costs.max() <= 0.0)
        return float(max(-costs.min(), np.abs(mechanism.outcome(agreed).costs).max(), free))

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return _broken(setting)[1:]


def _loss(opinions: FloatArray, q: FloatArray, alpha: float) -> tuple[float, FloatArray]:
    """sum_j d_alpha(P_j, q) and its gradient in q, written out; opinions (n, K), q (K,)."""
    if alpha == 0.0:
        return float((q * np.log(q / opinions)).sum()), (np.log(q / opinions) + 1.0).sum(axis=0)
    slope = -((opinions / q) ** alpha).sum(axis=0) / alpha
    if alpha == 1.0:
        return float((opinions * np.log(opinions / q)).sum()), slope
    return float((1.0 - (opinions**alpha * q ** (1.0 - alpha)).sum(axis=1)).sum() / (alpha * (1.0 - alpha))), slope


def _least_loss(opinions: FloatArray, alpha: float) -> float:
    """min over the simplex of sum_j d_alpha(P_j, q), by BFGS over log-odds."""

    def loss(z: FloatArray) -> tuple[float, FloatArray]:
        q = np.exp(np.append(z, 0.0))
        q /= q.sum()
        value, slope = _loss(opinions, q, alpha)
        return value, (q * (slope - slope @ q))[:-1]

    start = np.log(opinions.mean(axis=0))
    return float(minimize(loss, (start - start[-1])[:-1], jac=True, method="BFGS", options={"gtol": 1e-9}).fun)


class CostsAreExternalities(Theorem[MechanismSetting]):
    """u_i = -d(p_i, x) - (sum_{j != i} d(P_j, x) - min_q sum_{j != i} d(P_j, q)), whatever is reported: an annotator
    pays what the others lose at the consensus against their own optimum. N = 4, K = 3, Dirichlet(1.5) opinions and
    reports, alpha = -1, 0, 1/2, 1, 2 and the annotators in turn. The distances are written out here and the optimum is
    found by BFGS; of the mechanism only the consensus and the utility are taken. Value: the difference, nats. Truth
    stays a dominant strategy under any pivot that the annotator does not move, so `truthful` cannot tell the paper's
    from another: controls without it and with the others' linear pool.
    """

    claim_id, paper, source = "costs-are-externalities", PAPER.name, f"{ARXIV}, eq. (5.1)"
    statement = "An annotator is charged what the others lose by her report against their best outcome without her."
    SETTINGS = {"as_stated": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-7)

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        mechanism, i = _mechanism(setting, stream), stream.replicate // len(_ALPHAS) % 4
        opinions, reports = simplex_points((2, 4, 3), stream.child("opinions"))
        x, alpha = mechanism.outcome(reports).consensus, _ALPHAS[stream.replicate % len(_ALPHAS)]
        others = np.delete(reports, i, axis=0)
        own, now = (_loss(rows, x, alpha)[0] for rows in (opinions[i : i + 1], others))
        wanted = -own - (now - _least_loss(others, alpha))
        return float(abs(mechanism.utilities(opinions, reports)[i] - wanted))

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return (
            Control("the distance of another alpha", replace(setting, mismatched=True)),
            Control("seven tenths of the costs", replace(setting, payment="too low")),
            Control("costs charged to the annotator opposite", replace(setting, payment="misdirected")),
            Control("without the pivot", replace(setting, payment="no pivot")),
            Control("the others' linear pool as the pivot", replace(setting, payment="linear pivot")),
        )


@dataclass(frozen=True)
class ExampleSetting(Setting):
    alpha: float = -np.inf


class ManipulationExample(Theorem[ExampleSetting]):
    """Without costs, min rule: P_j = (.2, .8) for j < N, p_N = (.6, .4). Truth gives (1/3, 2/3); reporting
    (13/15, 2/15) gives exactly her opinion. Value: largest deviation from these numbers. Control: alpha = 0."""

    claim_id, paper, source = "manipulation-example", PAPER.name, f"{ARXIV}, section 5 (example)"
    statement = "Without costs one annotator can make the min rule say exactly what she thinks."
    SETTINGS = {"as_stated": Variant(ExampleSetting())}

    def bound(self, setting: ExampleSetting) -> Bound:
        return Exactly(1e-12)

    def draw(self, setting: ExampleSetting, stream: Stream) -> float:
        others = [[0.2, 0.8]] * 3
        truth = pool_opinions(np.array([*others, [0.6, 0.4]]), setting.alpha)
        lie = pool_opinions(np.array([*others, [13 / 15, 2 / 15]]), setting.alpha)
        return float(max(np.abs(truth - [1 / 3, 2 / 3]).max(), np.abs(lie - [0.6, 0.4]).max()))

    def control(self, setting: ExampleSetting) -> tuple[Control[ExampleSetting], ...]:
        return (Control("alpha = 0", replace(setting, alpha=0.0)),)


@dataclass(frozen=True)
class CollusionSetting(Setting):
    """together: whether the second colluder may lie too."""

    replicates: int = 10
    together: bool = True


class Collusion(Theorem[CollusionSetting]):
    """A boundary, no violation: two annotators who lie together gain, a Clarke pivot is not group-strategyproof. The
    pair's typical gain is at least .01 nats (N = 3, K = 2, alpha = 1). Value: log10 of the gain, gains below 1e-6 as
    that: it varies by a factor of three between profiles, so that half a decade less is noticed from few of them.
    Control: only one of them may lie."""

    claim_id, paper, source = "collusion-boundary", PAPER.name, f"{DERIVED}, the boundary of Theorem 5.1"
    statement = "Two annotators can gain by lying together."
    cost = 4.0
    full_factor = 2
    SETTINGS = {"as_stated": Variant(CollusionSetting())}

    def bound(self, setting: CollusionSetting) -> Bound:
        return MeanAtLeast(-2.0, departure=0.5)

    def draw(self, setting: CollusionSetting, stream: Stream) -> float:
        P, mechanism = simplex_points((3, 2), stream.child("opinions")), Mechanism(1.0)
        if setting.together:
            gain = best_collusion(mechanism, P, (0, 1), stream=stream)
        else:
            gain = float(searched_misreports(mechanism, P).gain[:2].max())
        return float(np.log10(max(gain, 1e-6)))

    def control(self, setting: CollusionSetting) -> tuple[Control[CollusionSetting], ...]:
        return (Control("one liar", replace(setting, together=False)),)


class RewardMechanism(Theorem[MechanismSetting]):
    """Remark 6 asserts the analogue for rewards without proof; as a Clarke pivot over 6 candidates it holds. 4
    annotators, rewards N(0, 1), welfare (exp(alpha r) - 1) / alpha; 400 misreports a draw, half of them the truth with
    one candidate's value raised or lowered. Value: largest gain, relative to the largest welfare. An extension;
    control: no costs."""

    claim_id, paper, source = "reward-mechanism", PAPER.name, f"{ARXIV}, Remark 6 [extension]"
    statement = "A Clarke pivot over candidate responses makes truthful rewards dominant."
    SETTINGS = {"as_corrected": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        alpha = _ALPHAS[stream.replicate % len(_ALPHAS)]
        r = stream.child("rewards").normals((4, 6))
        values = r if alpha == 0 else np.expm1(alpha * r) / alpha
        honest = pivotal_choice(values, setting.charged)
        own = values[0, honest.choice] - honest.costs[0]
        lies = values[0] + 5.0 * stream.child("lies").normals((400, 6)) * np.abs(values[0]).max()
        one = stream.child("one").integers(6, 200)
        lies[:200] = values[0]
        lies[np.arange(200), one] += 20.0 * stream.child("raise").normals(200) * np.abs(values[0]).max()
        gains = []
        for lie in lies:
            outcome = pivotal_choice(np.vstack([lie, values[1:]]), setting.charged)
            gains.append(values[0, outcome.choice] - outcome.costs[0] - own)
        return float(max(gains) / np.abs(values).max())

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return (Control("no costs", replace(setting, charged=False)),)


THEOREMS = (
    Truthful(),
    TruthfulCertificate(),
    WelfareMaximal(),
    CostsNotNegative(),
    CostsAreExternalities(),
    ManipulationExample(),
    Collusion(),
    RewardMechanism(),
)
