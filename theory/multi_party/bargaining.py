"""What bargaining gives each party (arXiv 2403.05006, Proposition 3, section 4.4 and the introduction's example)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from sim.algorithms.fairness import choice_invariance, smallest_share
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import WelfareRule
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV
from theory.multi_party.fairness import random_gains


@dataclass(frozen=True)
class CommonSetting(Setting):
    """alike: both parties like the same feature."""

    alike: bool = False


class NoCommonPolicy(Theorem[CommonSetting]):
    """Proposition 3: two states, three actions, features swapped between the states (e1, e2, 0 and e2, e1, 0), party 1
    likes e1, party 2 e2: each of the nine deterministic policies leaves some party at least B L / 2 = 1/2 below its own
    best. Value: minus the smallest such loss, exact. Control: two parties who agree."""

    arithmetic = True
    claim_id, paper, source = "no-common-policy", PAPER.name, f"{ARXIV}, Proposition 3"
    statement = "Some instance leaves every policy half the scale below some party's own best."
    SETTINGS = {"as_stated": Variant(CommonSetting())}

    def bound(self, setting: CommonSetting) -> Bound:
        return Exactly(-0.5)

    def draw(self, setting: CommonSetting, stream: Stream) -> float:
        features = np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]])
        theta = np.array([[1.0, 0.0], [1.0, 0.0] if setting.alike else [0.0, 1.0]])
        reward = np.einsum("md,sad->msa", theta, features)
        best = reward.max(axis=2).mean(axis=1)
        losses = [
            float((best - reward[:, np.arange(2), list(policy)].mean(axis=1)).max())
            for policy in product(range(3), repeat=2)
        ]
        return -min(losses)

    def control(self, setting: CommonSetting) -> tuple[Control[CommonSetting], ...]:
        return (Control("two parties who agree", replace(setting, alike=True)),)


@dataclass(frozen=True)
class ShareSetting(Setting):
    """rule: alpha of the welfare.  loud: the first party's scale."""

    replicates: int = 200
    rule: float = 0.0
    loud: float = 100.0


class SmallestShare(Theorem[ShareSetting]):
    """Bargaining on a convex set gives everybody at least 1/M of its largest gain: for the Nash lottery max_a sum_m
    v_m(a) / v_m(p*) <= M. Five parties, eight actions, cubed uniform gains, one party's scale a hundredfold. Value: 1/M
    minus the smallest share. Control: the Utilitarian lottery."""

    claim_id, paper, source = "one-mth", PAPER.name, f"{ARXIV}, section 4.4"
    statement = "The Nash lottery gives every party at least 1/M of its largest gain."
    SETTINGS = {"as_stated": Variant(ShareSetting())}

    def bound(self, setting: ShareSetting) -> Bound:
        return EveryDraw(1e-7)

    def draw(self, setting: ShareSetting, stream: Stream) -> float:
        v = random_gains(stream, M=5, A=8, worst=False) ** 3
        v[0] *= setting.loud
        p = best_lotteries(v[None], WelfareRule(setting.rule)).probabilities[0]
        return 0.2 - smallest_share(v, p)[0]

    def control(self, setting: ShareSetting) -> tuple[Control[ShareSetting], ...]:
        return (Control("the Utilitarian lottery", replace(setting, rule=1.0)),)


@dataclass(frozen=True)
class InvarianceSetting(Setting):
    """rule: alpha.  scales: multiply each party's rewards too, not only add to them."""

    replicates: int = 200
    rule: float = 0.0
    scales: bool = True


def _changes(setting: InvarianceSetting, stream: Stream, from_worst: bool) -> float:
    """Share of 20 affine changes of four parties' rewards over 12 actions that change the rule's choice."""
    rule = WelfareRule(setting.rule)

    def choose(r: FloatArray) -> int:
        return int(rule.best(r - r.min(axis=1, keepdims=True) if from_worst else r))

    rewards = stream.child("r").normals((4, 12))
    return 1.0 - choice_invariance(rewards, choose, stream, scales=setting.scales, trials=20).unchanged


class NashInvariance(Theorem[InvarianceSetting]):
    """The bargaining solution prod (u - u0) does not change under r_m -> c_m r_m + b_m, c_m > 0: gains over the worst
    action drop b_m, the product takes c_m out. The best of 12 actions for four parties, 20 changes with scales from .1
    to 10 a draw. Value: share of changes that move the choice. Control: Utilitarian."""

    claim_id, paper, source = "nash-invariance", PAPER.name, f"{ARXIV}, section 4.4"
    statement = "The Nash choice depends neither on a party's scale nor on its zero."
    SETTINGS = {"as_stated": Variant(InvarianceSetting())}

    def bound(self, setting: InvarianceSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: InvarianceSetting, stream: Stream) -> float:
        return _changes(setting, stream, from_worst=True)

    def control(self, setting: InvarianceSetting) -> tuple[Control[InvarianceSetting], ...]:
        return (Control("Utilitarian", replace(setting, rule=1.0)),)


class UtilitarianInvariance(Theorem[InvarianceSetting]):
    """The sum of rewards has the same best action under r_m -> r_m + b_m (and not under scales). Value: share of 20
    changes that move the choice, rewards as they are. Control: scales too."""

    claim_id, paper, source = "utilitarian-invariance", PAPER.name, f"{ARXIV}, section 4.4"
    statement = "The Utilitarian choice does not depend on a party's zero."
    SETTINGS = {"as_stated": Variant(InvarianceSetting(rule=1.0, scales=False))}

    def bound(self, setting: InvarianceSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: InvarianceSetting, stream: Stream) -> float:
        return _changes(setting, stream, from_worst=False)

    def control(self, setting: InvarianceSetting) -> tuple[Control[InvarianceSetting], ...]:
        return (Control("scales too", replace(setting, scales=True)),)


@dataclass(frozen=True)
class PooledSetting(Setting):
    """sharpness: inverse temperature b of the answers."""

    sharpness: float = 4000.0


class PooledIndifference(Theorem[PooledSetting]):
    """The introduction's example: half the parties value (A, B, C) at (1, 0, 1 - eps), half at (0, 1, 1 - eps); "pooled
    comparisons cannot separate A, B and C". True of noiseless votes only: pooled P(A over C) = (sigma(b eps) +
    sigma(-b (1 - eps))) / 2, which is 1/2 for b -> infinity (or eps = 1/2). Value: |P(A over C) - 1/2| at eps = .3. At
    b = 1 it is .047, and pooling finds C. (The text then says "recommend B, average 1 - eps", which is C.)

    Control: b = 5, the same pooled answers less noisy but not noiseless."""

    arithmetic = True
    claim_id, paper, source = "pooled-indifference", PAPER.name, f"{ARXIV}, section 1 (example)"
    statement = "In the introduction's example pooled comparisons are indifferent between the options."
    SETTINGS = {
        "as_printed": Variant(PooledSetting(sharpness=1.0), Verdict.VIOLATED, "With Bradley-Terry answers, b = 1."),
        "as_corrected": Variant(PooledSetting(), Verdict.HOLDS, "In the noiseless limit (b = 4,000)."),
    }

    def bound(self, setting: PooledSetting) -> Bound:
        return Exactly(1e-9)

    def draw(self, setting: PooledSetting, stream: Stream) -> float:
        b, eps = setting.sharpness, 0.3
        return float(abs(0.5 * (1 / (1 + np.exp(-b * eps)) + 1 / (1 + np.exp(min(b * (1 - eps), 700.0)))) - 0.5))

    def witness(self, setting: PooledSetting, stream: Stream) -> Json:
        return {"|P(A over C) - 1/2|": self.draw(setting, stream), "b": setting.sharpness, "eps": 0.3}

    def control(self, setting: PooledSetting) -> tuple[Control[PooledSetting], ...]:
        return (Control("b = 5", replace(setting, sharpness=5.0)),)


THEOREMS = (NoCommonPolicy(), SmallestShare(), NashInvariance(), UtilitarianInvariance(), PooledIndifference())
