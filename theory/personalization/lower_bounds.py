"""The lower bounds (arXiv 2405.00254, Theorems 3.3 and 4.2), by exact Bayes risks and by Algorithm 1 on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar

from sim.algorithms.aggregation import aggregate
from sim.algorithms.pessimistic_policy import pessimistic_policy
from sim.environments.trajectory_pool import LowerBoundFamily
from sim.estimators.confidence import Ellipsoid
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly, MeanAtLeast, Slope
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV


def _sigmoid(t: FloatArray | float) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(t))))


def bayes_risk(family: LowerBoundFamily, per_annotator: int) -> float:
    """Smallest expected gap against uniformly random signs, exact: margin times the chance of a wrong sign.

    A context has n1 = round(Np P(a1) / S) answers about a1, Binomial with sigma(1/k) or sigma(1/k + 2 margin).
    """
    n1 = round(per_annotator * family.first_probability / family.n_contexts)
    x = np.arange(n1 + 1)
    low, high = (stats.binom.pmf(x, n1, float(_sigmoid(family.first_rewards(np.array(w))))) for w in (False, True))
    return float(family.margin * 0.5 * np.minimum(low, high).sum())


@cache
def hardest(k: int, concentrability: float, per_annotator: int, rare_first: bool) -> LowerBoundFamily:
    """The margin that makes the Bayes risk largest."""

    def family(log_margin: float) -> LowerBoundFamily:
        return LowerBoundFamily(k, concentrability, float(np.exp(log_margin)), rare_first)

    grid = np.linspace(np.log(1e-4), np.log(5.0), 60)
    best = int(np.argmax([bayes_risk(family(m), per_annotator) for m in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(lambda m: -bayes_risk(family(m), per_annotator), bounds=around, method="bounded")
    return family(float(found.x))


def squared_length(family: LowerBoundFamily) -> float:
    """|theta_w|^2 where every sign is +, its largest: a context adds v = (1/k + 2D, 1/k + D, -2/k - 3D).

    [Theorem 3.3's construction, section 3.4]  The third coordinate, which no action shows, makes the sum zero.
    """
    first = float(family.first_rewards(np.array(True)))
    second = family.second_reward
    return family.n_contexts * (first**2 + second**2 + (first + second) ** 2)


@dataclass(frozen=True)
class RiskSetting(Setting):
    """rare_first: a1 is the rare action.  hardest: the margin is the worst for each k, Np and Lambda, or one for
    all."""

    rare_first: bool = True
    hardest: bool = True


# n1 = 6 Np / (k Lambda^2) answers tell the two signs' log-odds, 2D apart, with information n1 / 4: a sign is wrong with
# probability Phi(-D sqrt(n1) / 2), and the worst D gives 2 / sqrt(n1) max_t t Phi(-t), the maximum being .16997.
_NORMAL_CONSTANT = 2.0 / np.sqrt(6.0) * 0.16997


class LowerBound(Theorem[RiskSetting]):
    """The Bayes risk of the hard family, which no algorithm can beat, is C Lambda (k / Np)^(1/2) with one C for k = 9,
    36, Np = 3,000, 12,000, 48,000, Lambda = 2, 4, 8. Value: the largest relative deviation of risk / (Lambda
    (k / Np)^(1/2)) from C = 2 / 6^(1/2) max_t t Phi(-t) = .139, that of many answers. Exact, nothing is learned or
    sampled.

    Theorem 3.3's class has |theta_w| <= B = 1. With these margins that takes Np >= C k^2 Lambda^2 (the paper has
    C k Lambda^2): of the 18 instances 7 are in it, those of few k and many answers, and the largest |theta_w|^2 is 48.
    Of the others this is the Bayes risk of the family, not of the class; a witness has every |theta_w|^2.

    The printed sampling makes a1 the common action (and inverts Lambda^2): then the constant falls with Lambda.
    Control: one margin for all 18, that of k = 9, Np = 12,000, Lambda = 4.
    """

    claim_id, paper, source = "lower-bound", PAPER.name, f"{ARXIV}, Theorem 3.3"
    statement = (
        "On the hard family (in part outside |theta| <= 1) no gap is below a constant times Lambda (k / Np)^(1/2)."
    )
    cost = 3.0
    SETTINGS = {
        "as_printed": Variant(RiskSetting(rare_first=False), Verdict.VIOLATED, "With a1 the common action."),
        "as_corrected": Variant(
            RiskSetting(), Verdict.HOLDS, "With a1 rare: probability 2 / Lambda^2.", attained=(0.9, 1.0)
        ),
    }

    def bound(self, setting: RiskSetting) -> Bound:
        return Exactly(0.05)

    def _constants(self, setting: RiskSetting) -> dict[tuple[int, int, int], float]:
        found = {}
        one = hardest(9, 4, 12_000, setting.rare_first)
        for k, Np, L in product((9, 36), (3000, 12_000, 48_000), (2, 4, 8)):
            family = hardest(k, L, Np, setting.rare_first) if setting.hardest else replace(
                one, k=k, concentrability=float(L)
            )  # fmt: skip
            risk = bayes_risk(family, Np)
            found[k, Np, L] = risk / (L * np.sqrt(k / Np))
        return found

    def draw(self, setting: RiskSetting, stream: Stream) -> float:
        constants = np.array(list(self._constants(setting).values()))
        return float(np.abs(constants / _NORMAL_CONSTANT - 1.0).max())

    def witness(self, setting: RiskSetting, stream: Stream) -> Json:
        return {
            f"k={k}, Np={Np}, Lambda={L}": {"constant": value, "largest |theta_w|^2": squared_length(
                hardest(k, L, Np, setting.rare_first))}
            for (k, Np, L), value in self._constants(setting).items()
        }  # fmt: skip

    def control(self, setting: RiskSetting) -> tuple[Control[RiskSetting], ...]:
        return (Control("one margin for all", replace(setting, rare_first=True, hardest=False)),)


@dataclass(frozen=True)
class LearnerSetting(Setting):
    """fixed_margin: the same instance at every Np.  more: answers the learner has, in multiples of Np."""

    replicates: int = 80
    fixed_margin: bool = False
    more: int = 1


def _learner_gap(family: LowerBoundFamily, per_annotator: int, stream: Stream, instances: int) -> float:
    """Mean gap of Algorithm 1 with known psi over random signs. Policies are mixtures of the 3^S deterministic ones."""
    S, k = family.n_contexts, family.k
    plans = np.array(list(product(range(3), repeat=S)))
    features = np.zeros((len(plans), k))
    for s in range(S):
        for action in (0, 1):
            features[plans[:, s] == action, 3 * s + action] = 1.0 / S
    n1 = max(round(per_annotator * family.first_probability / S), 1)
    counts = np.array([n1, max(per_annotator // S - n1, 1)])
    covariance = np.diag(np.concatenate([np.append(counts, 1.0) / per_annotator for _ in range(S)]))
    reference = np.eye(len(plans))[len(plans) - 1]
    gaps = []
    for number in range(instances):
        own = stream.child(f"instance/{number}")
        positive = own.child("signs").uniforms(S) < 0.5
        rewards = np.stack([family.first_rewards(positive), np.full(S, family.second_reward)], axis=1)
        wins = own.child("answers").generator().binomial(counts, _sigmoid(rewards))
        share = (wins + 0.5) / (counts + 1.0)
        estimate = np.zeros((S, 3))
        estimate[:, :2] = np.log(share / (1.0 - share))
        found = pessimistic_policy(
            features, reference, Ellipsoid(estimate.ravel(), covariance, 0.5 / per_annotator), tolerance=1e-5,
            max_steps=200,
        ).policy  # fmt: skip
        value = np.concatenate([rewards, np.zeros((S, 1))], axis=1)
        of_plan = value[np.arange(S), plans].mean(axis=1)
        gaps.append(float(value.max(axis=1).mean() - found @ of_plan))
    return float(np.mean(gaps))


class LowerBoundLearner(Theorem[LearnerSetting]):
    """Algorithm 1 with known psi on the hard family, the margin the worst for each Np = 300 ... 30,000: its mean gap
    over random signs falls as Np^(-1/2) and no faster, slope in [-.6, -.4]; k = 9, Lambda = 4. Control: one margin for
    all Np, that of the largest, where the gap stays until the answers suffice."""

    claim_id, paper, source = "lower-bound-learner", PAPER.name, f"{ARXIV}, Theorems 3.1 and 3.3"
    statement = "On the hard family the algorithm's gap falls as Np^(-1/2) and no faster."
    cost = 8.0
    full_factor = 2
    axes = ("answers", "mean gap over random signs")
    SETTINGS = {"as_stated": Variant(LearnerSetting())}
    _ANSWERS = (300, 950, 3000, 9500, 30_000)

    def bound(self, setting: LearnerSetting) -> Bound:
        return Slope(-0.4, lowest=-0.6)

    def grid(self, setting: LearnerSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: LearnerSetting, stream: Stream) -> FloatArray:
        return np.array([
            _learner_gap(hardest(9, 4.0, self._ANSWERS[-1] if setting.fixed_margin else Np, True), Np,
            stream.child(f"n/{Np}"), 10) for Np in self._ANSWERS
        ])  # fmt: skip

    def control(self, setting: LearnerSetting) -> tuple[Control[LearnerSetting], ...]:
        return (Control("one margin for all sample sizes", replace(setting, fixed_margin=True, replicates=32)),)


class LowerBoundMet(Theorem[LearnerSetting]):
    """The same learner's mean gap is at least the exact Bayes risk. Value: gap over risk at Np = 3,000. Control: the
    learner is given 64 times the answers the bound counts."""

    right_side = "draw"
    claim_id, paper, source = "lower-bound-met", PAPER.name, f"{ARXIV}, Theorem 3.3"
    statement = "The algorithm's gap is at least the Bayes risk."
    cost = 4.0
    full_factor = 2
    SETTINGS = {"as_stated": Variant(LearnerSetting(replicates=40), attained=(0.8, 1.0))}

    def bound(self, setting: LearnerSetting) -> Bound:
        return MeanAtLeast(1.0)

    def draw(self, setting: LearnerSetting, stream: Stream) -> float:
        family = hardest(9, 4.0, 3000, True)
        return _learner_gap(family, 3000 * setting.more, stream, 200) / bayes_risk(family, 3000)

    def control(self, setting: LearnerSetting) -> tuple[Control[LearnerSetting], ...]:
        return (Control("64 times the answers", replace(setting, more=64)),)


@dataclass(frozen=True)
class CommonSetting(Setting):
    """common: all annotators have the same signs."""

    replicates: int = 100
    common: bool = True


class LowerBoundAggregated(Theorem[CommonSetting]):
    """Theorem 4.2: where all N = 16 annotators share their signs, Agg_alpha(r) = r for every alpha, so that the bound
    of Theorem 3.3 carries over as it is. Value: |1 - (best margin under Agg_alpha) / (margin of one annotator)|,
    largest over alpha = -2, 0, 2. Control: signs of one's own, whose margins cancel in the aggregate."""

    claim_id, paper, source = "lower-bound-aggregated", PAPER.name, f"{ARXIV}, Theorem 4.2"
    statement = "The lower bound holds for the aggregated objective, for any real alpha."
    SETTINGS = {"as_stated": Variant(CommonSetting())}

    def bound(self, setting: CommonSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: CommonSetting, stream: Stream) -> float:
        family = hardest(9, 4.0, 3000, True)
        signs = stream.child("signs").uniforms(16) < 0.5
        if setting.common:
            signs[:] = signs[0]
        rewards = np.stack([family.first_rewards(signs), np.full(16, family.second_reward)], axis=1)
        margins = [abs(float(np.diff(aggregate(rewards, alpha))[0])) for alpha in (-2.0, 0.0, 2.0)]
        return max(abs(1.0 - margin / family.margin) for margin in margins)

    def control(self, setting: CommonSetting) -> tuple[Control[CommonSetting], ...]:
        return (Control("signs of one's own", replace(setting, common=False)),)


THEOREMS = (LowerBound(), LowerBoundLearner(), LowerBoundMet(), LowerBoundAggregated())
