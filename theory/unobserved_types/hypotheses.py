"""What answers can reveal about the law of annotators: which hypotheses matter (later version of arXiv 2405.15065)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.likelihoods import plackett_luce_log_likelihood
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import LATER, sigmoid


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

    claim_id, paper, source = "line-design-blind", PAPER.name, f"{LATER}, Theorem 4.2, hypothesis H2"
    statement = "Without features that span the space, laws with equal projections look alike."
    arithmetic = True
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

    replicates: int = 150
    dependent: bool = True


class DependentTastes(Theorem[DependenceSetting]):
    """H3: theta independent of the features. Without it a point mass b(x) gives the answers of a mixture of two points,
    top choices of three (x, 0, 0), exactly, and b(x) lies between the two, so the data do not determine F.

    Chances are the library's Plackett-Luce likelihood; b(x) is found by halving between the two points. Value: the
    largest difference of chances over 50 features x. A point mass that may not depend on x, the best of 241 between
    -6 and 6, fails.
    """

    claim_id, paper, source = "dependent-tastes", PAPER.name, f"{LATER}, Theorem 4.2, hypothesis H3"
    statement = "If tastes may depend on the features, a single type reproduces any mixture."
    SETTINGS = {"as_stated": Variant(DependenceSetting())}

    def bound(self, setting: DependenceSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: DependenceSetting, stream: Stream) -> float:
        points = 2.0 * stream.child("points").normals(2)
        x = 0.2 + 3.0 * stream.child("x").uniforms(50)

        def chance(b: FloatArray) -> FloatArray:
            """P(the first of (x, 0, 0) is chosen) for b of each x."""
            utility = np.stack([b * x, np.zeros_like(x), np.zeros_like(x)], axis=1)
            return np.asarray(np.exp(plackett_luce_log_likelihood(utility, 1)))

        p = 0.5 * (chance(np.full(50, points[0])) + chance(np.full(50, points[1])))
        if setting.dependent:
            low, high = np.full(50, points.min()), np.full(50, points.max())
            for _ in range(60):
                middle = 0.5 * (low + high)
                under = chance(middle) < p
                low, high = np.where(under, middle, low), np.where(under, high, middle)
            return float(np.abs(chance(0.5 * (low + high)) - p).max())
        return min(float(np.abs(chance(np.full(50, b)) - p).max()) for b in np.linspace(-6, 6, 241))

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

    claim_id, paper, source = "moments-not-needed", PAPER.name, f"{LATER}, Theorem 4.2, hypothesis H1"
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
        chances = [sigmoid(x * np.exp(t) - np.log(2.0)) for x in np.linspace(-4, 10, 8)]
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


THEOREMS = (
    LineDesign(),
    DependentTastes(),
    MomentsNotNeeded(),
)
