"""Claims about whom a single policy serves (arXiv 2405.15065, sections 3 to 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.dpo import dpo
from sim.algorithms.hedge import game_value
from sim.environments.linear import majority_bandit
from sim.environments.tabular import maxmin_example
from sim.policies.log_linear import LogLinear
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly, MeanAtLeast
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, FEATURES, SHARES, bandit_pairs


@dataclass(frozen=True)
class CollapseSetting(Setting):
    """evaluate: the policy's probabilities, or its most probable arm; beta; shares of the types."""

    replicates: int = 40
    evaluate: Literal["sampled", "argmax"] = "sampled"
    beta: float = 1.0
    shares: tuple[float, ...] = SHARES


class MajorityCollapse(Theorem[CollapseSetting]):
    """Pooled DPO on the bandit of section 5.1 (shares .6, .3, .1; 200 annotators with 10 pairs).

    The pooled Bradley-Terry fit has log-odds near logit(.65), logit(.75), logit(.6): at beta = 1 the policy plays the
    majority's arm about 53 % of the time. It collapses when its argmax is played, or for small beta (logits scale with
    1 / beta). Value: mean mass on the majority's arm over 500 fresh contexts. Without a majority there is no collapse.
    """

    claim_id, paper, source = "majority-collapse", PAPER.name, f"{ARXIV}, section 5.1 (Figure 2)"
    statement = "Pooled DPO serves only the majority: its arm gets at least 95 % of the policy's mass."
    cost = 1.5
    constant = True  # The most probable arm is one arm in every context, if the fit sees the majority at all.
    SETTINGS = {
        "as_printed": Variant(
            CollapseSetting(), Verdict.VIOLATED, "At beta = 1, for the policy as it samples (as the text reads)."
        ),
        "as_corrected": Variant(
            CollapseSetting(evaluate="argmax"), Verdict.HOLDS, "For the policy's most probable arm."
        ),
    }

    def bound(self, setting: CollapseSetting) -> Bound:
        return MeanAtLeast(0.95)

    def draw(self, setting: CollapseSetting, stream: Stream) -> float:
        pairs = bandit_pairs(stream, shares=setting.shares)
        policy = LogLinear(FEATURES, beta=setting.beta, ridge=1e-3)
        dpo(policy, pairs)
        contexts = majority_bandit().draw_contexts(500, stream.child("evaluation"))
        log_p = policy.log_probabilities(contexts)
        if setting.evaluate == "argmax":
            return float((log_p.argmax(axis=1) == 0).mean())
        return float(np.exp(log_p[:, 0]).mean())

    def witness(self, setting: CollapseSetting, stream: Stream) -> Json:
        return {"mass_on_the_majority_arm": self.draw(setting, stream)}

    def control(self, setting: CollapseSetting) -> tuple[Control[CollapseSetting], ...]:
        equal = replace(setting, shares=(0.34, 0.33, 0.33), evaluate="argmax")
        return (
            Control("sampled at beta = 1", replace(setting, evaluate="sampled", beta=1.0)),
            Control("no majority", equal),
        )


class CollapseSmallBeta(MajorityCollapse):
    """The second way in which collapse is true: mean mass .535 at beta = 1, .717 at .5, .957 at .2, .998 at .1. A few
    draws lie far below the others, and 40 are too few to be sure of such a mean."""

    claim_id = "majority-collapse-small-beta"
    statement = "At beta = 0.1 pooled DPO's sampled policy gives the majority's arm at least 95 % of its mass."
    SETTINGS = {"as_stated": Variant(CollapseSetting(beta=0.1, replicates=150))}

    def control(self, setting: CollapseSetting) -> tuple[Control[CollapseSetting], ...]:
        return (
            Control("beta = 1", replace(setting, beta=1.0)),
            Control("no majority", replace(setting, shares=(0.34, 0.33, 0.33))),
        )


@dataclass(frozen=True)
class ExampleSetting(Setting):
    """user: whose reward response 3 is said to maximise (1 or 2)."""

    user: int = 1


class MaxMinExample(Theorem[ExampleSetting]):
    """r_1 = (0, .01, .02), r_2 = (0, 10, 1). Max-min picks response 3 (minimum .02); min-max regret picks response 2
    (largest regrets 10, .01, 9). Mixed: min-max w = (0, .99889, .00111) with value .0099889; max-min w = (0, 0, 1).

    The text after the example says that response 3 maximises user 2's reward, the minimum; it is user 1's. The value
    is the number of these statements that a computation by LP contradicts.
    """

    claim_id, paper, source = "maxmin-example", PAPER.name, f"{ARXIV}, section 4, example of max-min against regret"
    statement = "In the two-user example max-min reward and min-max regret choose as stated."
    SETTINGS = {
        "as_printed": Variant(
            ExampleSetting(user=2), Verdict.VIOLATED, "Response 3 maximises user 2's reward (the minimum)."
        ),
        "as_corrected": Variant(ExampleSetting(user=1), Verdict.HOLDS, "Response 3 maximises user 1's reward."),
    }

    def bound(self, setting: ExampleSetting) -> Bound:
        return Exactly(0.0)

    def _statements(self, setting: ExampleSetting) -> dict[str, bool]:
        r = maxmin_example().rewards[:, 0, :]
        regret = r.max(axis=1, keepdims=True) - r
        mixed_regret, mixed_reward = game_value(regret), game_value(-r)
        return {
            "max-min picks response 3": int(r.min(axis=0).argmax()) == 2,
            "min-max regret picks response 2": int(regret.max(axis=0).argmin()) == 1,
            "largest regrets are 10, .01, 9": bool(np.allclose(regret.max(axis=0), [10, 0.01, 9])),
            "min-max weights": bool(np.allclose(mixed_regret.weights, [0, 0.99889, 0.00111], atol=1e-5)),
            "min-max value": bool(np.isclose(mixed_regret.value, 0.0099889, atol=1e-7)),
            "max-min weights": bool(np.allclose(mixed_reward.weights, [0, 0, 1], atol=1e-9)),
            f"response 3 maximises user {setting.user}'s reward": int(r[setting.user - 1].argmax()) == 2,
            f"user {setting.user} has the minimum there": int(r[:, 2].argmin()) == setting.user - 1,
        }

    def draw(self, setting: ExampleSetting, stream: Stream) -> float:
        return float(sum(not holds for holds in self._statements(setting).values()))

    def witness(self, setting: ExampleSetting, stream: Stream) -> Json:
        return {"statements": self._statements(setting), "rewards": maxmin_example().rewards[:, 0, :].tolist()}

    def control(self, setting: ExampleSetting) -> tuple[Control[ExampleSetting], ...]:
        return (Control("user 2 instead of user 1", replace(setting, user=2)),)


@dataclass(frozen=True)
class ShiftSetting(Setting):
    """rule: regret (min-max) or reward (max-min)."""

    replicates: int = 200
    rule: Literal["regret", "reward"] = "regret"


class ShiftInvariance(Theorem[ShiftSetting]):
    """Adding a constant to one user's rewards leaves every regret, and so the min-max regret choice, unchanged;
    max-min reward then follows whoever counts from a lower zero. Preferences determine rewards only up to such shifts.

    Value: total-variation distance of the LP's mixed choice before and after shifts of up to +-100 (unique optima:
    normal rewards of 3 users over 5 responses).
    """

    claim_id, paper, source = "shift-invariance", PAPER.name, f"{ARXIV}, section 4, why regret and not reward"
    statement = "The min-max regret choice does not depend on the zero of each user's reward."
    SETTINGS = {"as_stated": Variant(ShiftSetting())}

    def bound(self, setting: ShiftSetting) -> Bound:
        return EveryDraw(1e-7)

    def draw(self, setting: ShiftSetting, stream: Stream) -> float:
        r = stream.child("rewards").normals((3, 5))
        shifted = r + 200.0 * (stream.child("shift").uniforms((3, 1)) - 0.5)

        def choice(rewards: FloatArray) -> FloatArray:
            best = rewards.max(axis=1, keepdims=True)
            return game_value(best - rewards if setting.rule == "regret" else -rewards).weights

        return float(0.5 * np.abs(choice(r) - choice(shifted)).sum())

    def control(self, setting: ShiftSetting) -> tuple[Control[ShiftSetting], ...]:
        return (Control("max-min reward", replace(setting, rule="reward")),)


@dataclass(frozen=True)
class OpinionSetting(Setting):
    """pairs: all pairs of arms, or the pair of the two types' own arms."""

    pairs: Literal["all", "own"] = "own"
    agree: bool = False


class ContradictingOpinions(Theorem[OpinionSetting]):
    """In the bandit r_z = 10 sum(x) 1{a = z}: types z and z' order the arms z, z' in opposite ways, but type 1 is
    indifferent between arms 2 and 3. Value: share of (pair of types, pair of arms) that are not reversed.
    """

    claim_id, paper, source = "contradicting-opinions", PAPER.name, f"{ARXIV}, section 5.1"
    statement = "The bandit's types hold perfectly contradicting opinions."
    SETTINGS = {
        "as_printed": Variant(OpinionSetting(pairs="all"), Verdict.VIOLATED, "On every pair of arms."),
        "as_corrected": Variant(OpinionSetting(), Verdict.HOLDS, "On the pair of the two types' own arms."),
    }

    def bound(self, setting: OpinionSetting) -> Bound:
        return Exactly(0.0)

    def draw(self, setting: OpinionSetting, stream: Stream) -> float:
        rewards = majority_bandit(noise_sd=0.0).rewards(np.full((1, 3), 0.5))[:, 0, :]
        if setting.agree:
            rewards = np.tile(rewards[:1], (3, 1))
        missed = total = 0
        for z in range(3):
            for other in range(z + 1, 3):
                arms = [(z, other)] if setting.pairs == "own" else [(0, 1), (0, 2), (1, 2)]
                for a, b in arms:
                    total += 1
                    missed += not (rewards[z, a] - rewards[z, b]) * (rewards[other, a] - rewards[other, b]) < 0
        return missed / total

    def witness(self, setting: OpinionSetting, stream: Stream) -> Json:
        return {"rewards_at_x": majority_bandit(noise_sd=0.0).rewards(np.full((1, 3), 0.5))[:, 0, :].tolist()}

    def control(self, setting: OpinionSetting) -> tuple[Control[OpinionSetting], ...]:
        return (Control("all types alike", replace(setting, agree=True)),)


@dataclass(frozen=True)
class NoiseSetting(Setting):
    """sd: of the rewards' noise; the paper's N(0, .01) has sd 0.1."""

    sd: float = 0.1


class RewardNoise(Theorem[NoiseSetting]):
    """|E sigma(t + e) - sigma(t)| for e ~ N(0, 2 sd^2), the difference of two rewards' noise, by Gauss-Hermite over
    t in [-15, 15]: below .002, so that labels are noisy because answers are (Bradley-Terry), not rewards.
    """

    claim_id, paper, source = "reward-noise", PAPER.name, f"{ARXIV}, section 5.1 (reward noise)"
    statement = "The rewards' noise N(0, .01) changes no choice probability by more than .002."
    arithmetic = True
    SETTINGS = {"as_stated": Variant(NoiseSetting(), attained=(0.4, 0.6))}

    def bound(self, setting: NoiseSetting) -> Bound:
        return Exactly(0.002)

    def draw(self, setting: NoiseSetting, stream: Stream) -> float:
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        t = np.linspace(-15, 15, 601)
        noisy = 1 / (1 + np.exp(-(t[:, None] + np.sqrt(2) * setting.sd * nodes)))
        mean = noisy @ weights / np.sqrt(2 * np.pi)
        return float(np.abs(mean - 1 / (1 + np.exp(-t))).max())

    def control(self, setting: NoiseSetting) -> tuple[Control[NoiseSetting], ...]:
        return (Control("noise of the rewards' own size (sd 3)", replace(setting, sd=3.0)),)


THEOREMS = (
    MajorityCollapse(),
    CollapseSmallBeta(),
    MaxMinExample(),
    ShiftInvariance(),
    ContradictingOpinions(),
    RewardNoise(),
)
