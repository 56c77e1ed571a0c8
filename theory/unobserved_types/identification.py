"""What answers can reveal about the law of annotators (later version of arXiv 2405.15065, "The Necessity of Ternary
Preferences"; lemma numbers as a textbook reports them).

Annotator i draws theta_i ~ F and answers by a logit choice among options with features x. Two laws that give every
answer the same probability cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from sim.policies.protocol import choice_log_likelihood, log_sigmoid, plackett_luce_log_likelihood
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray, PreferencePairs, Rankings
from sim.streams import Stream
from theory.judges import Bound, EveryDraw, Exactly, MeanAtLeast
from theory.theorem import Control, Setting, Theorem, Variant
from theory.unobserved_types._instances import ARXIV, PAPER
from theory.verdicts import Verdict

_LATER = f"{ARXIV}, later version"
# Two laws on the line with the same odd part: .6 at b and .2 at +-c, against .6 at b and .2 at +-e.
_FIRST = (np.array([1.0, 2.0, -2.0]), np.array([0.6, 0.2, 0.2]))
_SECOND = (np.array([1.0, 3.0, -3.0]), np.array([0.6, 0.2, 0.2]))


def _sigmoid(t: FloatArray | float) -> FloatArray:
    return np.asarray(np.exp(log_sigmoid(np.asarray(t, dtype=np.float64))))


@dataclass(frozen=True)
class VisibilitySetting(Setting):
    """answers: one binary answer an annotator, two binary answers of the same one, or a top choice of three; pairs of
    laws: opposite (theta and -theta, weights `weight`, against a coin) or same-odd."""

    replicates: int = 200
    answers: Literal["one binary", "two binary", "top of three"] = "one binary"
    weight: float = 0.5


def _visible(setting: VisibilitySetting, stream: Stream) -> float:
    """Largest difference of answer probabilities between two laws with the same odd part, over 20 designs."""
    theta = 2.0 * stream.child("theta").normals(3)
    x = stream.child("design").normals((20, 2, 3))
    worst = 0.0
    for points, weights, others, other_weights in (
        (np.array([1.0, -1.0]), np.array([setting.weight, 1 - setting.weight]), np.zeros(1), np.ones(1)),
        (_FIRST[0], _FIRST[1], _SECOND[0], _SECOND[1]),
    ):

        def law(t: FloatArray, w: FloatArray) -> FloatArray:
            u = np.einsum("nod,d,t->not", x, theta, t)
            if setting.answers == "one binary":
                return np.asarray(_sigmoid(u[:, 0]) @ w)
            if setting.answers == "two binary":
                return np.asarray((_sigmoid(u[:, 0]) * _sigmoid(u[:, 1])) @ w)
            total = np.logaddexp(np.logaddexp(u[:, 0], u[:, 1]), 0.0)
            return np.asarray(np.exp(u[:, 0] - total) @ w)

        worst = max(worst, float(np.abs(law(points, weights) - law(others, other_weights)).max()))
    return worst


class BinaryBlind(Theorem[VisibilitySetting]):
    """sigmoid(t) = 1/2 + odd(t), so one binary answer an annotator reveals E_F odd(<theta, d>) alone: laws with one
    odd part (theta and -theta in equal shares, and a point at 0) give every pair the same probability.

    Two answers of the same annotator already break it: E sigma(<theta, x>) sigma(<theta, x'>) has even mixed
    derivatives. So "binary comparisons are insufficient" is about one answer each, not about EM-DPO with m = 10.
    Value: largest difference of answer probabilities over 20 random designs, for two such pairs of laws.
    """

    claim_id, paper, source = "binary-blind", PAPER, f"{_LATER}, Lemma 4.1 and abstract"
    statement = "Binary comparisons cannot tell laws with the same odd part apart."
    SETTINGS = {
        "as_printed": Variant(
            VisibilitySetting(answers="two binary"), Verdict.VIOLATED, "However many binary answers an annotator gives."
        ),
        "as_corrected": Variant(VisibilitySetting(), Verdict.HOLDS, "From one binary answer an annotator."),
    }

    def bound(self, setting: VisibilitySetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: VisibilitySetting, stream: Stream) -> float:
        return _visible(setting, stream)

    def witness(self, setting: VisibilitySetting, stream: Stream) -> dict[str, Any]:
        return {"theta": (2.0 * stream.child("theta").normals(3)).tolist(), "difference": _visible(setting, stream)}

    def control(self, setting: VisibilitySetting) -> tuple[Control[VisibilitySetting], ...]:
        one = replace(setting, answers="one binary")
        return (
            Control("unequal shares .6 / .4", replace(one, weight=0.6)),
            Control("top choice of three", replace(one, answers="top of three")),
        )


class TernarySees(BinaryBlind):
    """The same laws differ in the top choice of three by at least .02 on average over random instances."""

    claim_id, source = "ternary-sees", f"{_LATER}, Theorem 4.2"
    statement = "A top choice of three tells apart laws that binary answers cannot."
    SETTINGS = {"as_stated": Variant(VisibilitySetting(replicates=60, answers="top of three"))}

    def bound(self, setting: VisibilitySetting) -> Bound:
        return MeanAtLeast(0.02)

    def control(self, setting: VisibilitySetting) -> tuple[Control[VisibilitySetting], ...]:
        return (Control("one binary answer", replace(setting, answers="one binary")),)


class TwoBinarySee(TernarySees):
    """Two binary answers of the same annotator do as well."""

    claim_id = "two-binary-see"
    statement = "Two binary answers of one annotator tell apart laws that one cannot."
    SETTINGS = {"as_corrected": Variant(VisibilitySetting(replicates=60, answers="two binary"))}


@dataclass(frozen=True)
class FactorSetting(Setting):
    """options: numbers J of options offered; order: highest derivative."""

    options: tuple[int, ...] = (3, 4, 5, 7, 10)
    order: int = 30


def _derivative_factors(n_options: int, order: int) -> list[Fraction]:
    """sigmoid^(n)(-log(J - 1)) for n = 1..order, exact: polynomials in s = 1 / J with s' = s (1 - s)."""
    s, factors = Fraction(1, n_options), []
    polynomial = [Fraction(0), Fraction(1)]
    for _ in range(order):
        derivative = [i * c for i, c in enumerate(polynomial)][1:]
        polynomial = [Fraction(0)] * (len(derivative) + 2)
        for i, c in enumerate(derivative):
            polynomial[i + 1] += c
            polynomial[i + 2] -= c
        factors.append(sum((c * s**i for i, c in enumerate(polynomial)), Fraction(0)))
    return factors


class DerivativeFactors(Theorem[FactorSetting]):
    """With features (x, 0, ..., 0), P(first) = E sigmoid(<theta, x> - log(J - 1)), whose n-th derivative at 0 is
    sigmoid^(n)(-log(J - 1)) E<theta, v>^n. For J >= 3 the factor is never 0 (roots of Eulerian polynomials, monic with
    constant term 1, can only be rational at -1, that is J = 2), so all moments are identified.

    Exact rational arithmetic to order 30. Value: number of zero factors. With J = 2 every even one is zero.
    """

    claim_id, paper, source = "moment-factors", PAPER, f"{_LATER}, Theorem 4.2 (hypothesis on the number of options)"
    statement = "With three or more options every moment of the annotators' law enters the answers."
    SETTINGS = {"as_stated": Variant(FactorSetting())}

    def bound(self, setting: FactorSetting) -> Bound:
        return Exactly(0.0)

    def draw(self, setting: FactorSetting, stream: Stream) -> float:
        factors = [f for J in setting.options for f in _derivative_factors(J, setting.order)]
        return float(sum(f == 0 for f in factors))

    def control(self, setting: FactorSetting) -> tuple[Control[FactorSetting], ...]:
        return (Control("two options", replace(setting, options=(2,))),)


@dataclass(frozen=True)
class LineSetting(Setting):
    """design: line (all features multiples of one vector) or full."""

    replicates: int = 200
    design: Literal["line", "full"] = "line"


class LineDesign(Theorem[LineSetting]):
    """H2 asks for features whose support contains an open set. On a line through the origin only the law of the
    projection enters: two laws of theta in the plane with equal projections give equal answers, choices of three
    included.

    Value: largest difference over 20 designs of top-of-three probabilities between theta in {a, b} and {a + n, b - n}
    with n orthogonal to the line. Designs of full dimension see the difference: the control.
    """

    claim_id, paper, source = "line-design-blind", PAPER, f"{_LATER}, Theorem 4.2, hypothesis H2"
    statement = "Without features that span the space, laws with equal projections look alike."
    SETTINGS = {"as_stated": Variant(LineSetting())}

    def bound(self, setting: LineSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: LineSetting, stream: Stream) -> float:
        direction = stream.child("direction").normals(2)
        direction /= np.linalg.norm(direction)
        normal = np.array([-direction[1], direction[0]])
        points = 2.0 * stream.child("points").normals((2, 2))
        others = points + np.array([2.0, -1.5])[:, None] * normal
        if setting.design == "line":
            x = stream.child("design").normals((20, 2, 1)) * direction
        else:
            x = stream.child("design").normals((20, 2, 2))

        def law(theta: FloatArray) -> FloatArray:
            u = np.einsum("nod,td->not", x, theta)
            total = np.logaddexp(np.logaddexp(u[:, 0], u[:, 1]), 0.0)
            return np.asarray(np.exp(u[:, 0] - total).mean(axis=1))

        return float(np.abs(law(points) - law(others)).max())

    def control(self, setting: LineSetting) -> tuple[Control[LineSetting], ...]:
        return (Control("features in the whole plane", replace(setting, design="full")),)


@dataclass(frozen=True)
class DependenceSetting(Setting):
    """dependent: whether the point mass may depend on the features."""

    replicates: int = 200
    dependent: bool = True


class DependentTastes(Theorem[DependenceSetting]):
    """H3: theta independent of the features. Without it a point mass b(x) = logit(p(x)) / x reproduces the answers of
    half +-2-like mixtures exactly, so the data do not determine F. Value: |sigma(b(x) x) - p(x)| over 50 features x;
    a point mass that may not depend on x (the best of a grid) fails.
    """

    claim_id, paper, source = "dependent-tastes", PAPER, f"{_LATER}, Theorem 4.2, hypothesis H3"
    statement = "If tastes may depend on the features, a single type reproduces any mixture."
    SETTINGS = {"as_stated": Variant(DependenceSetting())}

    def bound(self, setting: DependenceSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: DependenceSetting, stream: Stream) -> float:
        points = 2.0 * stream.child("points").normals(2)
        x = 0.2 + 3.0 * stream.child("x").uniforms(50)
        p = _sigmoid(np.outer(x, points) - np.log(2.0)).mean(axis=1)
        if setting.dependent:
            b = (np.log(p / (1 - p)) + np.log(2.0)) / x
            return float(np.abs(_sigmoid(b * x - np.log(2.0)) - p).max())
        grid = np.linspace(-6, 6, 241)
        return float(np.abs(_sigmoid(np.outer(grid, x) - np.log(2.0)) - p).max(axis=1).min())

    def control(self, setting: DependenceSetting) -> tuple[Control[DependenceSetting], ...]:
        return (Control("a point mass independent of the features", replace(setting, dependent=False)),)


@dataclass(frozen=True)
class MomentSetting(Setting):
    """frequency: of the sine that perturbs the lognormal law (2 pi keeps every integer moment)."""

    frequency: float = 2.0


class MomentsNotNeeded(Theorem[MomentSetting]):
    """H1 (Carleman) is sufficient, not necessary: the lognormal law and its perturbation by 1 + sin(2 pi log b) have
    equal moments (all integer ones; 1 to 3 are compared) and total variation .318, yet their answers differ by a few
    times 1e-4: seeing that at one feature (two-sided 5 % test, power .8) takes more than 1e6 answers.

    Value: the largest violation of {moments equal to 1e-6, TV >= .3, difference of answers >= 1e-6 somewhere, at least
    1e6 answers needed at each of 8 features in [-4, 10] (in millions)}.
    """

    claim_id, paper, source = "moments-not-needed", PAPER, f"{_LATER}, Theorem 4.2, hypothesis H1"
    statement = "Two laws with equal moments can still be told apart by their answers."
    SETTINGS = {"as_stated": Variant(MomentSetting())}

    def bound(self, setting: MomentSetting) -> Bound:
        return Exactly(0.0)

    def draw(self, setting: MomentSetting, stream: Stream) -> float:
        t = np.linspace(-12.0, 12.0, 480_001)
        density = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) * (t[1] - t[0])
        wave = density * np.sin(setting.frequency * np.pi * t)
        moments = [abs(float((np.exp(n * t) * wave).sum() / (np.exp(n * t) * density).sum())) for n in (1, 2, 3)]
        variation = float(np.abs(wave).sum() / 2)
        chances = [_sigmoid(x * np.exp(t) - np.log(2.0)) for x in np.linspace(-4, 10, 8)]
        p = np.array([float((chance * density).sum()) for chance in chances])
        difference = np.array([abs(float((chance * wave).sum())) for chance in chances])
        # (1.96 + 0.84)^2 p (1 - p) / difference^2
        needed = 7.85 * p * (1 - p) / np.maximum(difference, 1e-12) ** 2
        return max(
            float(max(moments)) - 1e-6,
            0.3 - variation,
            1e-6 - float(difference.max()),
            1.0 - float(needed.min()) / 1e6,
            0.0,
        )

    def control(self, setting: MomentSetting) -> tuple[Control[MomentSetting], ...]:
        return (Control("sin(pi log b), whose moments differ", replace(setting, frequency=1.0)),)


@dataclass(frozen=True)
class KWiseSetting(Setting):
    """reading: pair (a top choice of two), or three read as if the third option were absent."""

    replicates: int = 200
    reading: Literal["pair", "third ignored"] = "pair"


class KWiseReduces(Theorem[KWiseSetting]):
    """log-lik = u_w - logsumexp_{y in C} u_y with u = beta (log pi - log pi_0); C = {w, l} is log sigma(u_w - u_l).

    Value: largest difference between the library's Plackett-Luce and pairwise log-likelihoods of random answers under
    a random policy; a full ranking of two is compared as well.
    """

    claim_id, paper, source = "kwise-reduces", PAPER, f"{_LATER}, Plackett-Luce likelihood"
    statement = "With two options the K-wise likelihood is the binary one."
    SETTINGS = {"as_stated": Variant(KWiseSetting())}

    def bound(self, setting: KWiseSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: KWiseSetting, stream: Stream) -> float:
        policy = SoftmaxTable(np.full((4, 5), 0.2), rewards=5.0 * stream.child("rewards").normals((4, 5)))
        contexts = stream.child("contexts").integers(4, 50)
        offered = np.argsort(stream.child("offered").uniforms((50, 5)), axis=1)
        annotator = np.zeros(50, dtype=np.int64)
        pairs = PreferencePairs(contexts, offered[:, 0], offered[:, 1], annotator, 1)
        binary = choice_log_likelihood(policy, pairs)
        if setting.reading == "third ignored":
            utility = policy.table[contexts[:, None], offered[:, :3]]
            return float(np.abs(plackett_luce_log_likelihood(utility, 1) - binary).max())
        return max(
            float(
                np.abs(
                    choice_log_likelihood(policy, Rankings(contexts, offered[:, :2], annotator, 1, n)) - binary
                ).max()
            )
            for n in (1, 2)
        )

    def control(self, setting: KWiseSetting) -> tuple[Control[KWiseSetting], ...]:
        return (Control("a choice of three read as a pair", replace(setting, reading="third ignored")),)


THEOREMS = (
    BinaryBlind(),
    TernarySees(),
    TwoBinarySee(),
    DerivativeFactors(),
    LineDesign(),
    DependentTastes(),
    MomentsNotNeeded(),
    KWiseReduces(),
)
