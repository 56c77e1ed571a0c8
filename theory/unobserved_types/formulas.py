"""Claims about the formulas EM-DPO rests on (arXiv 2405.15065, sections 3 and 4, Appendix C)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.em_dpo import soft_posterior
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, random_simplex


@dataclass(frozen=True)
class PosteriorSetting(Setting):
    """dependence: how strongly contexts depend on the type (0: Assumption 1 holds)."""

    replicates: int = 200
    dependence: float = 0.0


class PosteriorExact(Theorem[PosteriorSetting]):
    """gamma_ik = eta_k prod_j p(y_j | x_j, k) / sum_l eta_l prod_j p(y_j | x_j, l).

    Appendix C keeps p(X | z_l) in the numerator (an index slip); under Assumption 1 it cancels. The oracle here is
    Bayes' rule with p(x | z) spelled out, over 4 contexts, 3 types and 5 answers; the value is the largest
    difference. With contexts that depend on the type the same formula is wrong: the control.
    """

    claim_id, paper, source = "em-posterior", PAPER.name, f"{ARXIV}, Assumption 1 and Appendix C"
    statement = "The E-step's responsibilities are Bayes' posterior although p(x | z) is left out."
    SETTINGS = {"as_corrected": Variant(PosteriorSetting())}

    def bound(self, setting: PosteriorSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: PosteriorSetting, stream: Stream) -> float:
        K, S, m = 3, 4, 5
        eta = random_simplex(K, stream.child("eta"))
        shared = np.log(random_simplex(S, stream.child("contexts")))
        law = np.exp(shared + setting.dependence * stream.child("dependence").normals((K, S)))
        law /= law.sum(axis=1, keepdims=True)
        chance = stream.child("answers").uniforms((K, S))
        contexts = stream.child("draw").integers(S, m)
        oracle = eta * np.prod(law[:, contexts], axis=1) * np.prod(chance[:, contexts], axis=1)
        answers = np.log(chance[:, contexts]).T
        ours = soft_posterior(answers, np.zeros(m, dtype=np.int64), 1, eta).responsibilities[0]
        return float(np.abs(ours - oracle / oracle.sum()).max())

    def control(self, setting: PosteriorSetting) -> tuple[Control[PosteriorSetting], ...]:
        return (Control("contexts that depend on the type", replace(setting, dependence=1.0)),)


@dataclass(frozen=True)
class MixtureSetting(Setting):
    """divisor: annotators (n) or answers (|H|)."""

    replicates: int = 200
    divisor: Literal["annotators", "answers"] = "annotators"


class MixtureUpdate(Theorem[MixtureSetting]):
    """argmax over the simplex of sum_ik gamma_ik log eta_k is eta_k = (1/n) sum_i gamma_ik, n annotators.

    Algorithm 1 divides by |H|, the number of histories' answers: the result does not sum to 1. The value of a
    draw is the larger of |sum eta - 1| and the gain the best of 200 other points of the simplex makes.
    """

    claim_id, paper, source = "em-mixture-update", PAPER.name, f"{ARXIV}, Algorithm 1, line of the eta update"
    statement = "The eta update maximises the expected complete-data likelihood over the simplex."
    SETTINGS = {
        "as_printed": Variant(MixtureSetting(divisor="answers"), Verdict.VIOLATED, "eta is the sum of gamma over |H|."),
        "as_corrected": Variant(MixtureSetting(), Verdict.HOLDS, "eta is the mean of gamma over annotators."),
    }

    def bound(self, setting: MixtureSetting) -> Bound:
        return EveryDraw(1e-12)

    def _eta(self, setting: MixtureSetting, stream: Stream) -> tuple[FloatArray, FloatArray]:
        gamma = stream.child("gamma").uniforms((12, 3))
        gamma /= gamma.sum(axis=1, keepdims=True)
        answers_each = 1 + stream.child("answers").integers(9, 12)
        divisor = 12 if setting.divisor == "annotators" else int(answers_each.sum())
        return gamma, np.asarray(gamma.sum(axis=0) / divisor)

    def draw(self, setting: MixtureSetting, stream: Stream) -> float:
        gamma, eta = self._eta(setting, stream)
        others = -np.log(stream.child("others").uniforms((200, 3)))
        others /= others.sum(axis=1, keepdims=True)
        gain = (gamma.sum(axis=0) * np.log(others)).sum(axis=1).max() - (gamma.sum(axis=0) * np.log(eta)).sum()
        return float(max(abs(eta.sum() - 1.0), gain))

    def witness(self, setting: MixtureSetting, stream: Stream) -> Json:
        _, eta = self._eta(setting, stream)
        return {"eta": eta.tolist(), "sum": float(eta.sum())}

    def control(self, setting: MixtureSetting) -> tuple[Control[MixtureSetting], ...]:
        return (Control("division by the number of answers", replace(setting, divisor="answers")),)


@dataclass(frozen=True)
class LossSetting(Setting):
    """log: whether the loss is -E log sigma (else -E sigma, as printed)."""

    replicates: int = 150
    log: bool = True


class RewardLoss(Theorem[LossSetting]):
    """The population minimiser of -p log sigma(t) - (1 - p) log sigma(-t) is the true margin log(p / (1 - p)).

    Section 3 prints the loss without the logarithm; -p sigma(t) - (1 - p) sigma(-t) is monotone in t and its
    minimiser runs to infinity. The value is the distance of the minimiser on [-30, 30] from the true margin.
    """

    claim_id, paper, source = "reward-loss", PAPER.name, f"{ARXIV}, section 3, reward loss"
    statement = "The reward loss is minimised by the true reward margin."
    SETTINGS = {
        "as_printed": Variant(LossSetting(log=False), Verdict.VIOLATED, "Loss -E sigma(margin), without logarithm."),
        "as_corrected": Variant(LossSetting(), Verdict.HOLDS, "Loss -E log sigma(margin)."),
    }

    def bound(self, setting: LossSetting) -> Bound:
        return EveryDraw(1e-4)

    def _minimiser(self, setting: LossSetting, stream: Stream) -> tuple[float, float]:
        from scipy.optimize import minimize_scalar

        p = 0.05 + 0.9 * float(stream.uniforms(1)[0])

        def loss(t: float) -> float:
            if setting.log:
                return float(p * np.logaddexp(0, -t) + (1 - p) * np.logaddexp(0, t))
            return float(-p / (1 + np.exp(-t)) - (1 - p) / (1 + np.exp(t)))

        found = minimize_scalar(loss, bounds=(-30, 30), method="bounded", options={"xatol": 1e-9})
        return p, float(found.x)

    def draw(self, setting: LossSetting, stream: Stream) -> float:
        p, margin = self._minimiser(setting, stream)
        return abs(margin - float(np.log(p / (1 - p))))

    def witness(self, setting: LossSetting, stream: Stream) -> Json:
        p, margin = self._minimiser(setting, stream)
        return {"p": p, "true_margin": float(np.log(p / (1 - p))), "minimiser": margin}

    def control(self, setting: LossSetting) -> tuple[Control[LossSetting], ...]:
        return (Control("loss without the logarithm", replace(setting, log=False)),)


THEOREMS = (
    PosteriorExact(),
    MixtureUpdate(),
    RewardLoss(),
)
