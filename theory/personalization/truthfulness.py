"""Claims about the mechanism of costs (arXiv 2405.00254, Theorem 5.1): attacks, certificates, boundaries."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.mechanism import (
    Mechanism,
    best_collusion,
    pivotal_choice,
    searched_misreports,
)
from sim.algorithms.opinion_distances import opinion_distance
from sim.algorithms.pooling import pool_opinions
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly, MeanAtLeast
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV, DERIVED, simplex_points
from theory.personalization._mechanisms import (
    ALPHAS,
    MechanismSetting,
    OverProfiles,
    broken,
    mechanism_of,
)


class Truthful(OverProfiles):
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
        mechanism = mechanism_of(setting, stream)
        found = searched_misreports(mechanism, opinions, reports)
        who = int(found.gain.argmax())
        return {
            "alpha": str(mechanism.alpha), "distance_alpha": mechanism.distance, "charged": mechanism.charged,
            "annotator": who, "opinion": opinions[who].tolist(), "misreport": found.report[who].tolist(),
            "others_report": np.delete(reports, who, axis=0).tolist(), "gain": float(found.gain[who]),
        }  # fmt: skip


class TruthfulCertificate(OverProfiles):
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
        mechanism = mechanism_of(setting, stream)
        P = simplex_points((4, 3), stream.child("opinions"))
        x = mechanism.outcome(P).consensus
        far = simplex_points((500, 3), stream.child("far"))
        near = x * np.exp(0.05 * stream.child("near").normals((500, 3)))
        others = np.concatenate([far, near / near.sum(axis=1, keepdims=True)])
        own = float(opinion_distance(P, x, mechanism.distance).sum())
        best = float(opinion_distance(P[None], others[:, None], mechanism.distance).sum(axis=1).min())
        return (own - best) / own

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return broken(setting)[1:]


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
        alpha = ALPHAS[stream.replicate % len(ALPHAS)]
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
    ManipulationExample(),
    Collusion(),
    RewardMechanism(),
)
