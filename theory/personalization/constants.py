"""Slips in the constants (arXiv 2405.00254, section 2 and appendix F)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV


@dataclass(frozen=True)
class LinkSetting(Setting):
    """printed: the paper's formula.  largest: Rmax.  span: margins reach span Rmax either way."""

    printed: bool = False
    largest: float = 1.0
    span: float = 2.0


def _grid(largest: float) -> FloatArray:
    return np.linspace(-2.0 * largest, 2.0 * largest, 4001)


class LinkConstant(Theorem[LinkSetting]):
    """kappa = 1 / min Phi'(x) on [-2 Rmax, 2 Rmax] = 2 + e^(2 Rmax) + e^(-2 Rmax) for the sigmoid; the paper prints
    kappa = eta, its inverse. Value: |kappa min Phi' - 1|. Control: kappa of margins up to Rmax, which are those of one
    reward and not of a difference of two."""

    claim_id, paper, source = "link-constant", PAPER.name, f"{ARXIV}, section 2 (kappa and eta)"
    statement = "kappa bounds the inverse of the link's slope."
    arithmetic = True
    SETTINGS = {
        "as_printed": Variant(LinkSetting(printed=True), Verdict.VIOLATED, "kappa = eta."),
        "as_corrected": Variant(LinkSetting(), Verdict.HOLDS, "kappa = 1 / eta."),
    }

    def bound(self, setting: LinkSetting) -> Bound:
        return Exactly(1e-9)

    def draw(self, setting: LinkSetting, stream: Stream) -> float:
        x, R = _grid(setting.largest), setting.largest
        slope = 1.0 / (2.0 + np.exp(x) + np.exp(-x))
        kappa = 2.0 + np.exp(setting.span * R) + np.exp(-setting.span * R)
        return float(abs((1.0 / kappa if setting.printed else kappa) * slope.min() - 1.0))

    def witness(self, setting: LinkSetting, stream: Stream) -> Json:
        return {"Rmax": setting.largest, "kappa": 2.0 + np.exp(2.0 * setting.largest) + np.exp(-2.0 * setting.largest)}

    def control(self, setting: LinkSetting) -> tuple[Control[LinkSetting], ...]:
        return (Control("kappa of margins up to Rmax", replace(setting, printed=False, span=1.0)),)


class LinkCurvature(Theorem[LinkSetting]):
    """log Phi is strongly concave on a bounded interval, with modulus eta = min (Phi'^2 - Phi'' Phi) / Phi^2; the paper
    says convex. Value: the largest second difference of log sigma over [-2 Rmax, 2 Rmax] plus eta (printed: minus the
    smallest, plus eta), at most rounding. Control: an interval twice as long keeps no such eta."""

    claim_id, paper, source = "link-curvature", PAPER.name, f"{ARXIV}, section 2 (log Phi)"
    statement = "log Phi has curvature of at least eta, of the sign that makes the likelihood concave."
    arithmetic = True
    SETTINGS = {
        "as_printed": Variant(LinkSetting(printed=True), Verdict.VIOLATED, "log Phi strongly convex."),
        "as_corrected": Variant(LinkSetting(), Verdict.HOLDS, "log Phi strongly concave."),
    }

    def bound(self, setting: LinkSetting) -> Bound:
        return Exactly(1e-5)

    def draw(self, setting: LinkSetting, stream: Stream) -> float:
        x = _grid(setting.largest)
        value = -np.logaddexp(0.0, -x)
        second = np.diff(value, 2) / (x[1] - x[0]) ** 2
        eta = 1.0 / (2.0 + np.exp(2.0) + np.exp(-2.0))
        return float(eta - second.min() if setting.printed else eta + second.max())

    def witness(self, setting: LinkSetting, stream: Stream) -> Json:
        return {"second derivative of log sigma at 0": -0.25}

    def control(self, setting: LinkSetting) -> tuple[Control[LinkSetting], ...]:
        return (Control("an interval twice as long", replace(setting, largest=2.0, printed=False)),)


@dataclass(frozen=True)
class ConcentrationSetting(Setting):
    """factor: the constant.  least: the smallest eigenvalue of Lambda_hat against Lambda; assumption A4 has 0.9."""

    replicates: int = 200
    factor: float = 1.0 / 0.9
    least: float = 0.9


class ConcentrationFactor(Theorem[ConcentrationSetting]):
    """Lemma 6 passes from the sample to the law by 0.9 Lambda <= Lambda_hat: E g^2 <= (1 / 0.9) of its sample mean,
    where the paper writes 1.1 < 1 / 0.9. Value: E g^2 over (factor times the sample's), worst direction, for
    covariances at the edge of assumption A4 (Lambda_hat's smallest eigenvalue against Lambda is 0.9 exactly). Control:
    a concentration within 0.8 only."""

    right_side = "draw"
    claim_id, paper, source = "concentration-factor", PAPER.name, f"{ARXIV}, assumption 4 and Lemma 6"
    statement = "Under uniform concentration the true squared error is at most a constant times the sample's."
    arithmetic = True
    SETTINGS = {
        "as_printed": Variant(ConcentrationSetting(factor=1.1), Verdict.VIOLATED, "The constant 1.1."),
        "as_corrected": Variant(
            ConcentrationSetting(), Verdict.HOLDS, "The constant 1 / 0.9.", attained=(0.999, 1.001)
        ),
    }

    def bound(self, setting: ConcentrationSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    def draw(self, setting: ConcentrationSetting, stream: Stream) -> float:
        root = stream.child("root").normals((4, 4))
        law = root @ root.T + 0.1 * np.eye(4)
        rotation = np.linalg.qr(stream.child("rotation").normals((4, 4)))[0]
        factors = np.append(setting.least, 0.9 + 0.2 * stream.child("factors").uniforms(3))
        half = np.linalg.cholesky(law)
        sample = half @ rotation @ np.diag(factors) @ rotation.T @ half.T
        worst = float(np.linalg.eigvals(np.linalg.solve(sample, law)).real.max())
        return worst / setting.factor

    def witness(self, setting: ConcentrationSetting, stream: Stream) -> Json:
        return {"ratio": self.draw(setting, stream) * setting.factor}

    def control(self, setting: ConcentrationSetting) -> tuple[Control[ConcentrationSetting], ...]:
        return (Control("concentration within 0.8 (A4 broken)", replace(setting, factor=1.0 / 0.9, least=0.8)),)


@dataclass(frozen=True)
class NormalisationSetting(Setting):
    """by: the smallest reward is subtracted, or divides as printed, or nothing is done."""

    replicates: int = 250
    by: Literal["subtracting", "dividing", "nothing"] = "subtracting"


class RewardNormalisation(Theorem[NormalisationSetting]):
    """Remark 3 takes an annotator's unknown constant out of her rewards; dividing by the smallest, as printed, does
    not, subtracting it does. Value: how much the normalised rewards change when a constant is added, 5 responses.
    Control: rewards as they are."""

    claim_id, paper, source = "reward-normalisation", PAPER.name, f"{ARXIV}, Remark 3"
    statement = "Normalised rewards do not depend on an annotator's constant."
    arithmetic = True
    SETTINGS = {
        "as_printed": Variant(NormalisationSetting(by="dividing"), Verdict.VIOLATED, "r / min r."),
        "as_corrected": Variant(NormalisationSetting(), Verdict.HOLDS, "r - min r."),
    }

    def bound(self, setting: NormalisationSetting) -> Bound:
        return EveryDraw(1e-12)

    def _both(self, setting: NormalisationSetting, stream: Stream) -> tuple[FloatArray, FloatArray]:
        r = 1.0 + stream.child("rewards").uniforms(5)
        shifted = r + stream.child("constant").uniforms(1)
        if setting.by == "dividing":
            return r / r.min(), shifted / shifted.min()
        if setting.by == "nothing":
            return r, shifted
        return r - r.min(), shifted - shifted.min()

    def draw(self, setting: NormalisationSetting, stream: Stream) -> float:
        first, second = self._both(setting, stream)
        return float(np.abs(first - second).max())

    def witness(self, setting: NormalisationSetting, stream: Stream) -> Json:
        first, second = self._both(setting, stream)
        return {"normalised": first.tolist(), "normalised_after_shift": second.tolist()}

    def control(self, setting: NormalisationSetting) -> tuple[Control[NormalisationSetting], ...]:
        return (Control("rewards as they are", replace(setting, by="nothing")),)


THEOREMS = (LinkConstant(), LinkCurvature(), ConcentrationFactor(), RewardNormalisation())
