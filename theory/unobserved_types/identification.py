"""What answers can reveal about the law of annotators (later version of arXiv 2405.15065, "The Necessity of Ternary
Preferences"; lemma numbers as a textbook reports them).

Annotator i draws theta_i ~ F and answers by a logit choice among options with features x. Two laws that give every
answer the same probability cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from sim.likelihoods import plackett_luce_log_likelihood
from sim.policies.protocol import choice_log_likelihood
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray, PreferencePairs, Rankings
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly, MeanAtLeast
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import LATER, sigmoid

# Two laws on the line with the same odd part: .6 at b and .2 at +-c, against .6 at b and .2 at +-e.
_FIRST = (np.array([1.0, 2.0, -2.0]), np.array([0.6, 0.2, 0.2]))


_SECOND = (np.array([1.0, 3.0, -3.0]), np.array([0.6, 0.2, 0.2]))


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
                return np.asarray(sigmoid(u[:, 0]) @ w)
            if setting.answers == "two binary":
                return np.asarray((sigmoid(u[:, 0]) * sigmoid(u[:, 1])) @ w)
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

    claim_id, paper, source = "binary-blind", PAPER.name, f"{LATER}, Lemma 4.1 and abstract"
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

    def witness(self, setting: VisibilitySetting, stream: Stream) -> Json:
        return {"theta": (2.0 * stream.child("theta").normals(3)).tolist(), "difference": _visible(setting, stream)}

    def control(self, setting: VisibilitySetting) -> tuple[Control[VisibilitySetting], ...]:
        one = replace(setting, answers="one binary")
        return (
            Control("unequal shares .6 / .4", replace(one, weight=0.6)),
            Control("top choice of three", replace(one, answers="top of three")),
        )


class TernarySees(BinaryBlind):
    """The same laws differ in the top choice of three by at least .02 on average over random instances (.22 is
    measured: the limit is loose). The smallest departure that matters is a mean of 0: laws that look alike, as to a
    pair.
    """

    claim_id, source = "ternary-sees", f"{LATER}, Theorem 4.2"
    arithmetic = True
    statement = "A top choice of three tells apart laws that binary answers cannot."
    SETTINGS = {"as_stated": Variant(VisibilitySetting(replicates=120, answers="top of three"), attained=(0.06, 0.14))}

    def bound(self, setting: VisibilitySetting) -> Bound:
        return MeanAtLeast(0.02, departure=0.02)

    def control(self, setting: VisibilitySetting) -> tuple[Control[VisibilitySetting], ...]:
        return (Control("one binary answer", replace(setting, answers="one binary")),)


class TwoBinarySee(TernarySees):
    """Two binary answers of one annotator do as well as a top choice of three: E sigma(<theta, x>) sigma(<theta, x'>)
    has even mixed derivatives, so the even moments of the law enter. Mean largest difference at least .02.
    """

    claim_id = "two-binary-see"
    arithmetic = False
    statement = "Two binary answers of one annotator tell apart laws that one cannot."
    SETTINGS = {"as_corrected": Variant(VisibilitySetting(replicates=120, answers="two binary"), attained=(0.06, 0.14))}


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

    claim_id, paper, source = (
        "moment-factors",
        PAPER.name,
        f"{LATER}, Theorem 4.2 (hypothesis on the number of options)",
    )
    statement = "With three or more options every moment of the annotators' law enters the answers."
    arithmetic = True
    SETTINGS = {"as_stated": Variant(FactorSetting())}

    def bound(self, setting: FactorSetting) -> Bound:
        return Exactly(0.0)

    def draw(self, setting: FactorSetting, stream: Stream) -> float:
        factors = [f for J in setting.options for f in _derivative_factors(J, setting.order)]
        return float(sum(f == 0 for f in factors))

    def control(self, setting: FactorSetting) -> tuple[Control[FactorSetting], ...]:
        return (Control("two options", replace(setting, options=(2,))),)


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

    claim_id, paper, source = "kwise-reduces", PAPER.name, f"{LATER}, Plackett-Luce likelihood"
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
    KWiseReduces(),
)
