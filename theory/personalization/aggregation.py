"""Claims about aggregated rewards (arXiv 2405.00254, Theorem 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.aggregation import aggregate, aggregate_prime
from sim.environments.trajectory_pool import TrajectoryPool
from sim.estimators.shared_representation import fit_shared
from sim.populations.shared_representation import Layout, shared_population
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.columns import EachEveryDraw, EachSlope
from theory.engine.judges import Bound, EveryDraw, Exactly
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV, DERIVED

_ALPHAS = (-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf)


@dataclass(frozen=True)
class LipschitzSetting(Setting):
    """factor: whether the second bound has exp(2 |alpha| Rmax).  halved: the first has half of the largest move."""

    replicates: int = 400
    factor: bool = True
    halved: bool = False


class AggregateLipschitz(Theorem[LipschitzSetting]):
    """|Agg(r) - Agg(s)| <= max_i |r_i - s_i|, and <= exp(2 |alpha| Rmax) mean_i |r_i - s_i|: the gradient is
    softmax(alpha r), whose entries sum to one and are at most exp(2 |alpha| Rmax) / N. 5 annotators, rewards uniform on
    [-1, 1], alpha random in [-2, 2]. Values: the two ratios, each with a limit of its own. Controls: the second bound
    without its factor, the first with half of the largest move."""

    right_side = "draw"
    claim_id, paper, source = "aggregate-lipschitz", PAPER.name, f"{DERIVED}, Theorem 4.1"
    statement = "The aggregate moves no more than the rewards."
    SETTINGS = {"as_corrected": Variant(LipschitzSetting(), attained=(0.9, 1.0 + 1e-9))}

    def bound(self, setting: LipschitzSetting) -> Bound:
        return EachEveryDraw(1.0 + 1e-9)

    def draw(self, setting: LipschitzSetting, stream: Stream) -> FloatArray:
        r, s = 2.0 * stream.child("rewards").uniforms((2, 5, 1)) - 1.0
        if stream.replicate % 3 == 1:
            # One annotator changes her mind: the mean is at its smallest against the maximum.
            s = r.copy()
            s[0] = -np.sign(r[0])
        elif stream.replicate % 3 == 2:
            # All of them nearly alike: the aggregate moves as far as anybody's reward.
            r, s = 0.7 * r - 0.3, 0.7 * r + 0.1 * s
        alpha = float(4.0 * stream.child("alpha").uniforms(1)[0] - 2.0)
        moved = float(np.abs(aggregate(r, alpha) - aggregate(s, alpha))[0])
        largest = np.abs(r - s).max() * (0.5 if setting.halved else 1.0)
        averaged = np.abs(r - s).mean() * (np.exp(2.0 * abs(alpha)) if setting.factor else 1.0)
        return np.array([moved / largest, moved / averaged])

    def control(self, setting: LipschitzSetting) -> tuple[Control[LipschitzSetting], ...]:
        return (
            Control("without exp(2 |alpha| Rmax)", replace(setting, factor=False)),
            Control("half of the largest move", replace(setting, halved=True)),
        )


@dataclass(frozen=True)
class FormulaSetting(Setting):
    """summed: without the 1 / N."""

    replicates: int = 100
    summed: bool = False


class AggregateFormula(Theorem[FormulaSetting]):
    """Agg_alpha(r) = (1 / alpha) log((1 / N) sum_i exp(alpha r_i)) and Agg'_alpha = (exp(alpha Agg_alpha) - 1) / alpha,
    min and max at infinite alpha, mean at 0: against sums written out here, 5 annotators with N(0, 1) rewards, close
    (a hundredth of that) in every second draw, and equal ones, who aggregate to their reward. Value: the largest
    difference over alpha = -inf, -2, -1, 0, 1, 2, inf. Control: the sum without 1 / N."""

    claim_id, paper, source = "aggregate-formula", PAPER.name, f"{ARXIV}, eqs. (4.1) and (4.2)"
    statement = "The aggregate is the certainty equivalent: equal annotators aggregate to their common reward."
    SETTINGS = {"as_stated": Variant(FormulaSetting())}

    def bound(self, setting: FormulaSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: FormulaSetting, stream: Stream) -> float:
        r = stream.child("rewards").normals((5, 3)) * (0.01 if stream.replicate % 2 else 1.0)
        equal = np.tile(r[0], (5, 1))
        worst = 0.0
        for alpha in _ALPHAS:
            found = aggregate(r, alpha)
            worst = max(worst, float(np.abs(aggregate(equal, alpha) - r[0]).max()))
            if alpha == 0.0:
                wanted = r.sum(axis=0) / 5.0
            elif np.isinf(alpha):
                wanted = np.sort(r, axis=0)[-1 if alpha > 0 else 0]
            else:
                wanted = np.log(np.exp(alpha * r).sum(axis=0) / (1.0 if setting.summed else 5.0)) / alpha
                prime = aggregate_prime(r, alpha) - (np.exp(alpha * found) - 1.0) / alpha
                worst = max(worst, float(np.abs(prime).max()))
            worst = max(worst, float(np.abs(found - wanted).max()))
        return worst

    def control(self, setting: FormulaSetting) -> tuple[Control[FormulaSetting], ...]:
        return (Control("the sum without 1 / N", replace(setting, summed=True)),)


@dataclass(frozen=True)
class ConstantSetting(Setting):
    """offset: (x - y) - (z - w) where x = 0.9, z = 0.1.  printed: the paper's ratio, else that of the rewards.
    reference: reward of the reference in the second of the two profiles, 0 where it is pinned."""

    offset: float = 1e-5
    printed: bool = True
    reference: float = 0.0


class AggregateConstant(Theorem[ConstantSetting]):
    """Theorem 4.1's proof divides |(e^ax - e^ay) - (e^az - e^aw)| by a |(x - y) - (z - w)| and calls the maximum
    C_alpha. It is infinite: let x - y -> z - w with x unlike z. Value: the ratio at an offset of 1e-5 against 1e-1
    (alpha = 1); a finite maximum could not grow without end, 10 is allowed. What is bounded is |e^ax - e^az| / (a |x -
    z|): the rewards themselves have to be close, not their differences, and that takes a pinned reference (A5).
    Control: a reference whose reward is a tenth in one of the two profiles."""

    claim_id, paper, source = "aggregate-constant", PAPER.name, f"{ARXIV}, proof of Theorem 4.1 (C_alpha)"
    statement = "The constant that turns reward differences into aggregated ones is finite."
    arithmetic = True
    SETTINGS = {
        "as_printed": Variant(ConstantSetting(), Verdict.VIOLATED, "In differences of rewards."),
        "as_corrected": Variant(ConstantSetting(printed=False), Verdict.HOLDS, "In rewards pinned by a reference."),
    }

    def bound(self, setting: ConstantSetting) -> Bound:
        return Exactly(10.0)

    def _ratio(self, offset: float, setting: ConstantSetting) -> float:
        if not setting.printed:
            x, z = 0.9, 0.9 - offset
            return float(abs(np.exp(x) - np.exp(z + setting.reference)) / abs(x - z))
        x, y, z = 0.9, 0.5, 0.1
        w = z - (x - y) + offset
        return float(abs((np.exp(x) - np.exp(y)) - (np.exp(z) - np.exp(w))) / abs((x - y) - (z - w)))

    def draw(self, setting: ConstantSetting, stream: Stream) -> float:
        return self._ratio(setting.offset, setting) / self._ratio(0.1, replace(setting, reference=0.0))

    def witness(self, setting: ConstantSetting, stream: Stream) -> Json:
        return {"alpha": 1.0, "x": 0.9, "y": 0.5, "z": 0.1, "w": 0.1 - 0.4 + setting.offset,
                "ratio": self._ratio(setting.offset, setting)}  # fmt: skip

    def control(self, setting: ConstantSetting) -> tuple[Control[ConstantSetting], ...]:
        return (Control("a reference that is not pinned", replace(setting, printed=False, reference=0.1)),)


@dataclass(frozen=True)
class RateSetting(Setting):
    """pinned: every reward is 0 at the reference trajectory (A5), in the generator and in the estimator."""

    replicates: int = 64
    pinned: bool = True
    layout: Layout = "diverse"


class AggregateRate(Theorem[RateSetting]):
    """E_mu0 |Agg_alpha(r_hat) - Agg_alpha(r*)|^2 falls as 1 / Np, for each of alpha = -inf, -2, -1, 0, 1, 2, inf: every
    slope in [-1.45, -.8] (of their sum the infinite alphas make two thirds, and 0 a hundredth). Pool of 60
    trajectories, d = 10, k = 2, N = 20, pairs against the reference (mu1 is its point mass). Shown is the slope that
    decides, all are in the note.

    As printed nothing pins the annotators' constants: they are N(0, 1) here, comparisons do not show them, and the
    error stays. First term of the printed bound also lacks xi^2 / eta^2.
    """

    claim_id, paper, source = "aggregate-rate", PAPER.name, f"{ARXIV}, Theorem 4.1"
    statement = "The aggregated reward is learned at rate 1 / Np."
    cost = 8.0
    full_factor = 2
    axes = ("answers an annotator", "squared error of the aggregate")
    SETTINGS = {
        "as_printed": Variant(RateSetting(pinned=False), Verdict.VIOLATED, "Under A1 to A4."),
        "as_corrected": Variant(RateSetting(), Verdict.HOLDS, "Under A1 to A4 and a reference of reward 0 (A5)."),
    }
    _ANSWERS = (200, 632, 2000, 6324, 20_000)

    def bound(self, setting: RateSetting) -> Bound:
        return EachSlope(-0.8, lowest=-1.45)

    def grid(self, setting: RateSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: RateSetting, stream: Stream) -> FloatArray:
        M, d = 60, 10
        features = stream.child("features").normals((M, d)) / np.sqrt(d)
        others = np.full(M, 1.0 / (M - 1))
        others[0] = 0.0
        pool = TrajectoryPool(features, others, np.eye(M)[0], reference=0)
        people = shared_population(20, d, 2, stream.child("population"), length=3.0, layout=setting.layout)
        shifts = np.zeros(20) if setting.pinned else stream.child("shifts").normals(20)
        true = pool.rewards(people.theta) + shifts[:, None]
        errors = []
        for Np in self._ANSWERS:
            wins, losses = pool.count_answers(people.theta, Np, stream.child(f"answers/{Np}"))
            rows = np.tile(pool.pinned, (2 * 20, 1)) * np.repeat(np.tile([1.0, -1.0], 20), M)[:, None]
            weights = np.stack([wins, losses], axis=1).ravel()
            learned = pool.rewards(fit_shared(rows, np.repeat(np.arange(20), 2 * M), 20, 2, weights=weights).theta)
            gaps = [(aggregate(learned, alpha) - aggregate(true, alpha))[1:] for alpha in _ALPHAS]
            errors.append(np.mean(np.square(gaps), axis=1))
        return np.array(errors)

    def witness(self, setting: RateSetting, stream: Stream) -> Json:
        shifts = np.zeros(20) if setting.pinned else stream.child("shifts").normals(20)
        return {"constants": shifts.tolist(), "errors": self.draw(setting, stream).tolist()}

    def control(self, setting: RateSetting) -> tuple[Control[RateSetting], ...]:
        return (Control("annotators without a common subspace (A1 broken)", replace(setting, layout="independent")),)


@dataclass(frozen=True)
class PinSetting(Setting):
    """alone: c is added to the second annotator's second action only, which comparisons would show."""

    alphas: tuple[float, ...] = (0.0,)
    alone: bool = False


class AggregationNeedsPin(Theorem[PinSetting]):
    """Two annotators, two actions, r_1 = (0, 1), r_2 = (1.2, .5) + c. The law of all comparisons is the same for c = 0
    and c = -2, the best action for Agg_alpha is not. Value: the smallest, over decisions, of the largest gap over c,
    for the worst alpha: what no algorithm can go below, with any number of answers (a stochastic decision gets
    between). Control: c on one of her actions, not a constant, which moves the mean as well."""

    claim_id, paper, source = "aggregation-needs-pin", PAPER.name, f"{ARXIV}, Theorem 4.1 [counter-example]"
    statement = "Comparisons determine the action that is best for the aggregated reward."
    SETTINGS = {
        "as_printed": Variant(PinSetting(alphas=(-np.inf, -2.0, 2.0, np.inf)), Verdict.VIOLATED, "For every alpha."),
        "as_corrected": Variant(PinSetting(), Verdict.HOLDS, "For alpha = 0, or with a pinned reference."),
    }

    def bound(self, setting: PinSetting) -> Bound:
        return Exactly(1e-12)

    def _gaps(self, setting: PinSetting, alpha: float) -> FloatArray:
        """(c, action): how far each action is below the best."""
        profiles = [[[0.0, 1.0], [1.2 + (0.0 if setting.alone else c), 0.5 + c]] for c in (0.0, -2.0)]
        values = np.array([aggregate(np.array(rewards), alpha) for rewards in profiles])
        return np.asarray(values.max(axis=1, keepdims=True) - values)

    def draw(self, setting: PinSetting, stream: Stream) -> float:
        worst = 0.0
        for alpha in setting.alphas:
            gaps = self._gaps(setting, alpha)
            # With weight w on the first action the two gaps are linear in w: they meet, or one action is best for both.
            flips = gaps[0].argmin() != gaps[1].argmin()
            first, second = gaps[0].max(), gaps[1].max()
            worst = max(worst, float(first * second / (first + second)) if flips else 0.0)
        return worst

    def witness(self, setting: PinSetting, stream: Stream) -> Json:
        return {"gaps": {str(alpha): self._gaps(setting, alpha).tolist() for alpha in setting.alphas}, "c": [0.0, -2.0]}

    def control(self, setting: PinSetting) -> tuple[Control[PinSetting], ...]:
        return (Control("c on one action only", replace(setting, alphas=(0.0,), alone=True)),)


THEOREMS = (AggregateLipschitz(), AggregateFormula(), AggregateConstant(), AggregateRate(), AggregationNeedsPin())
