"""Claims about EM-DPO as an algorithm (arXiv 2405.15065, section 4, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.em_dpo import EStep, Posterior, em_dpo, em_dpo_restarts, soft_posterior
from sim.algorithms.em_log_linear import em_log_linear
from sim.policies.log_linear import LogLinear
from sim.preferences import FloatArray, IntArray, Observations, PreferencePairs
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, FEATURES, bandit_differences, bandit_pairs, uneven_pairs


class _Reversed(LogLinear):
    """The M-step with its sign as printed in section 4: the least likely parameter."""

    def fit(self, observations: Observations, weights: FloatArray) -> None:
        assert isinstance(observations, PreferencePairs)
        swapped = replace(observations, chosen=observations.rejected, rejected=observations.chosen)
        super().fit(swapped, weights)


class _FewAdamSteps(LogLinear):
    """An inexact M-step: five Adam steps of size 1 on the weighted loss."""

    def fit(self, observations: Observations, weights: FloatArray) -> None:
        assert isinstance(observations, PreferencePairs)
        rows = self._differences(observations)
        first, second = np.zeros_like(self.theta), np.zeros_like(self.theta)
        for t in range(1, 6):
            wrong = 1.0 / (1.0 + np.exp(rows @ self.theta))
            gradient = -(rows.T @ (weights * wrong)) + self.ridge * self.theta
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            corrected = np.sqrt(second / (1 - 0.999**t)) + 1e-8
            self.theta = self.theta - 1.0 * (first / (1 - 0.9**t)) / corrected


def _global_posterior(answers: FloatArray, annotator: IntArray, n_annotators: int, mixture: FloatArray) -> Posterior:
    """One posterior for everybody: all answers pooled."""
    soft = soft_posterior(answers, annotator, n_annotators, mixture)
    joint = answers.sum(axis=0) + np.log(np.maximum(mixture, 1e-300))
    shared = np.exp(joint - np.logaddexp.reduce(joint))
    responsibilities = np.tile(shared, (n_annotators, 1))
    return Posterior(responsibilities, responsibilities[annotator], soft.log_likelihood)


def _answer_posterior(answers: FloatArray, annotator: IntArray, n_annotators: int, mixture: FloatArray) -> Posterior:
    """A posterior for each answer, as if every answer came from another annotator."""
    soft = soft_posterior(answers, annotator, n_annotators, mixture)
    joint = answers + np.log(np.maximum(mixture, 1e-300))
    own = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    counts = np.bincount(annotator, minlength=n_annotators)
    means = np.stack([np.bincount(annotator, weights=c, minlength=n_annotators) for c in own.T], axis=1)
    return Posterior(means / counts[:, None], own, soft.log_likelihood)


_ESTEPS: dict[str, EStep] = {
    "annotator": soft_posterior,
    "global": _global_posterior,
    "answer": _answer_posterior,
}


@dataclass(frozen=True)
class MonotoneSetting(Setting):
    """mstep: newton (exact), reversed (as printed), adam (inexact); posterior: annotator, global, answer."""

    replicates: int = 150
    mstep: Literal["newton", "reversed", "adam"] = "newton"
    posterior: Literal["annotator", "global", "answer"] = "annotator"
    guard: bool = False


def _largest_fall(setting: MonotoneSetting, stream: Stream) -> tuple[float, FloatArray]:
    """Largest relative fall of the penalised likelihood in one EM run, and its trace."""
    pairs = bandit_pairs(stream, n_annotators=40, per_annotator=5)
    kind = {"newton": LogLinear, "reversed": _Reversed, "adam": _FewAdamSteps}[setting.mstep]
    result = em_dpo(
        pairs,
        [kind(FEATURES, ridge=0.1, mass_scaled=False) for _ in range(3)],
        estep=_ESTEPS[setting.posterior],
        max_rounds=12,
        guard=setting.guard,
        stream=stream.child("split"),
    )
    return float(-np.diff(result.penalised).min() / abs(result.penalised[-1])), result.penalised


class Monotone(Theorem[MonotoneSetting]):
    """Dempster, Laird, Rubin: Q(theta | theta_t) + log eta terms bound the likelihood from below, so a round
    whose M-step does not lower Q does not lower sum_i log sum_k eta_k prod_j sigma(M_kj) - penalty.

    The value of a draw is the largest relative fall of the penalised likelihood over 12 rounds on 40 annotators
    with 5 answers each (ridge 0.1, fixed: a ridge that moves with the group's mass changes the objective).
    Section 4 prints the separate-parameter M-step as an argmin of sum gamma log sigma; Algorithm 1 itself has
    the argmax.
    """

    claim_id, paper, source = "em-monotone", PAPER.name, f"{ARXIV}, section 4 and Appendix D"
    statement = "Each round of EM-DPO does not lower the penalised observed likelihood."
    cost = 6.0
    SETTINGS = {
        "as_printed": Variant(
            MonotoneSetting(mstep="reversed"), Verdict.VIOLATED, "The M-step takes the argmin of sum gamma log sigma."
        ),
        "as_corrected": Variant(MonotoneSetting(), Verdict.HOLDS, "The M-step takes the argmax."),
    }

    def bound(self, setting: MonotoneSetting) -> Bound:
        return EveryDraw(1e-8)

    def draw(self, setting: MonotoneSetting, stream: Stream) -> float:
        return _largest_fall(setting, stream)[0]

    def witness(self, setting: MonotoneSetting, stream: Stream) -> Json:
        return {"penalised_likelihood_by_round": _largest_fall(setting, stream)[1].tolist()}

    def control(self, setting: MonotoneSetting) -> tuple[Control[MonotoneSetting], ...]:
        plain = replace(setting, mstep="newton", posterior="annotator")
        return (
            Control("M-step with the printed sign", replace(plain, mstep="reversed")),
            Control("one posterior for all annotators", replace(plain, posterior="global")),
            Control("a posterior for each answer", replace(plain, posterior="answer")),
        )


class MonotoneInexact(Monotone):
    """The same for an inexact M-step (five Adam steps of size 1): Q may fall, and then the likelihood may.

    The guard of generalised EM keeps a type's last parameters when its Q_k would fall.
    """

    claim_id, source = "em-monotone-inexact", f"{ARXIV}, Algorithm 1 with the gradient M-step of section 5"
    statement = "EM-DPO with gradient M-steps does not lower the penalised likelihood."
    SETTINGS = {
        "as_read": Variant(
            MonotoneSetting(mstep="adam"), Verdict.VIOLATED, "Adam M-steps without a guard are monotone."
        ),
        "as_corrected": Variant(
            MonotoneSetting(mstep="adam", guard=True),
            Verdict.HOLDS,
            "Adam M-steps are monotone when one that lowers its own Q is undone.",
        ),
    }

    def control(self, setting: MonotoneSetting) -> tuple[Control[MonotoneSetting], ...]:
        return (Control("no guard", replace(setting, guard=False)),)


@dataclass(frozen=True)
class StartSetting(Setting):
    """perturbation: standard deviation added to identical starting parameters."""

    replicates: int = 150
    perturbation: float = 0.0


class IdenticalStart(Theorem[StartSetting]):
    """If all pi_k are equal, gamma_ik = eta_k = 1/K for every annotator, so every M-step solves one problem and
    the policies stay equal. All policies start at pi_SFT in the paper, which therefore needs a random split.

    The value of a draw is max |gamma - 1/3| after 25 rounds. The fixed point is unstable: noise of 1e-3 leaves it.
    """

    claim_id, paper, source = "em-identical-start", PAPER.name, f"{ARXIV}, Algorithm 1 (initialisation)"
    statement = "EM-DPO started from identical policies never tells annotators apart."
    cost = 3.0
    SETTINGS = {"as_stated": Variant(StartSetting())}

    def bound(self, setting: StartSetting) -> Bound:
        return EveryDraw(1e-10)

    def draw(self, setting: StartSetting, stream: Stream) -> float:
        pairs = bandit_pairs(stream, n_annotators=40, per_annotator=8)
        noise = setting.perturbation * stream.child("noise").normals((3, FEATURES.n_features))
        policies = [LogLinear(FEATURES, ridge=0.1, mass_scaled=False, theta=theta) for theta in noise]
        result = em_dpo(pairs, policies, start="policies", max_rounds=25, tolerance=0.0)
        return float(np.abs(result.responsibilities - 1 / 3).max())

    def control(self, setting: StartSetting) -> tuple[Control[StartSetting], ...]:
        return (Control("starts that differ by noise of 1e-3", replace(setting, perturbation=1e-3)),)


@dataclass(frozen=True)
class OptimumSetting(Setting):
    """start: dirichlet (soft responsibilities, one run) or split (random splits); restarts of the run checked."""

    replicates: int = 150
    start: Literal["dirichlet", "split"] = "split"
    restarts: int = 10


class BestLikelihood(Theorem[OptimumSetting]):
    """EM only climbs: it stops at stationary points. The value of a draw is how far the run's penalised likelihood
    stays below the best of 20 further random splits, relative; 100 annotators with 10 answers each.
    """

    claim_id, paper, source = "em-best-likelihood", PAPER.name, f"{ARXIV}, section 4 (soft EM against hard EM)"
    statement = "EM-DPO reaches the best likelihood its model class allows."
    cost = 5.0
    SETTINGS = {
        "as_read": Variant(
            OptimumSetting(start="dirichlet", restarts=1), Verdict.VIOLATED, "One run of soft EM reaches the optimum."
        ),
        "as_corrected": Variant(
            OptimumSetting(), Verdict.HOLDS, "The best of ten runs from random splits reaches the optimum."
        ),
    }

    def bound(self, setting: OptimumSetting) -> Bound:
        return EveryDraw(1e-3)

    def draw(self, setting: OptimumSetting, stream: Stream) -> float:
        pairs = bandit_pairs(stream, n_annotators=100, per_annotator=10)
        rows, start = bandit_differences(pairs), None
        if setting.start == "dirichlet":
            raw = -np.log(stream.child("dirichlet").uniforms((setting.restarts, 100, 3)))
            start = raw / raw.sum(axis=2, keepdims=True)
        common = {"ridge": 0.1, "mass_scaled": False, "max_rounds": 300}
        own = em_log_linear(
            rows, pairs.annotator, 100, 3, restarts=setting.restarts, start=start, stream=stream.child("own"),
            **common,  # type: ignore[arg-type]  # a dict of keyword arguments
        )  # fmt: skip
        best = em_log_linear(
            rows, pairs.annotator, 100, 3, restarts=20, stream=stream.child("reference"),
            **common,  # type: ignore[arg-type]  # a dict of keyword arguments
        )  # fmt: skip
        return (best.penalised - own.penalised) / abs(best.penalised)

    def witness(self, setting: OptimumSetting, stream: Stream) -> Json:
        return {"relative_shortfall": self.draw(setting, stream)}

    def control(self, setting: OptimumSetting) -> tuple[Control[OptimumSetting], ...]:
        return (Control("one run from Dirichlet responsibilities", replace(setting, start="dirichlet", restarts=1)),)


@dataclass(frozen=True)
class RestartSetting(Setting):
    """kept: which restart is taken."""

    replicates: int = 150
    kept: Literal["best", "first"] = "best"


class RestartsKeepTheBest(Theorem[RestartSetting]):
    """`em_dpo_restarts` gives the restart whose penalised likelihood sum_i log sum_k eta_k prod_j sigma(M_kj) - penalty
    is the largest, after restarts from different splits.

    Four restarts of one round each on 30 annotators with 1 to 9 answers each: that early no two splits agree. The
    likelihood of the policies returned is summed here, annotator by annotator. Value, relative: how far it is from the
    largest of the four; 1 if two of them are the same. Control: the first restart in the place of the best.
    """

    claim_id, paper, source = "em-restarts", PAPER.name, f"{ARXIV}, Algorithm 1 (initialisation)"
    statement = "Of several random splits, no two the same, the one of largest likelihood is kept."
    cost = 1.5
    SETTINGS = {"as_stated": Variant(RestartSetting())}

    def bound(self, setting: RestartSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: RestartSetting, stream: Stream) -> float:
        pairs = uneven_pairs(stream)

        def fresh(own: Stream) -> list[LogLinear]:
            return [LogLinear(FEATURES, ridge=0.1, mass_scaled=False) for _ in range(3)]

        best, reached = em_dpo_restarts(pairs, fresh, restarts=4, max_rounds=1, stream=stream.child("splits"))
        if setting.kept == "first":
            best, _ = em_dpo_restarts(pairs, fresh, restarts=1, max_rounds=1, stream=stream.child("splits"))
        if np.diff(np.sort(reached)).min() < 1e-9:
            return 1.0
        theta = np.stack([policy.theta for policy in best.policies if isinstance(policy, LogLinear)])
        chances = 1.0 / (1.0 + np.exp(-bandit_differences(pairs) @ theta.T))
        each = [np.log(best.mixture @ chances[pairs.annotator == i].prod(axis=0)) for i in range(pairs.n_annotators)]
        own = float(np.sum(each)) - 0.05 * float((theta**2).sum())
        return abs(own - float(reached.max())) / abs(own)

    def control(self, setting: RestartSetting) -> tuple[Control[RestartSetting], ...]:
        return (Control("the first restart", replace(setting, kept="first")),)


THEOREMS = (
    Monotone(),
    MonotoneInexact(),
    IdenticalStart(),
    BestLikelihood(),
    RestartsKeepTheBest(),
)
