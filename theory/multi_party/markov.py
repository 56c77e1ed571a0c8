"""Episodic MDPs (arXiv 2403.05006, section 4.3, Algorithm 1-MDP and Theorem 7)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.environments.episodic_mdp import EpisodicMDP, linear_mdp, random_mdp
from sim.estimators.party_confidence import PartyConfidence, gains, party_confidence
from sim.estimators.party_rewards import estimate_party_rewards
from sim.populations.shared_representation import shared_population
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Slope
from theory.engine.kept import kept
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV


def world(stream: Stream, linear: bool) -> tuple[EpisodicMDP, FloatArray]:
    """S = 6, A = 4, H = 4, d = 5, and three parties with rewards of length 1 / H, so that 2 B L H = O(1)."""
    make = linear_mdp if linear else random_mdp
    mdp = make(6, 4, 5, 4, stream.child("mdp"))
    return mdp, shared_population(3, 5, 2, stream.child("people"), length=1.0).theta / 4.0


def learn(mdp: EpisodicMDP, theta: FloatArray, n: int, stream: Stream, radius: float | None = None) -> PartyConfidence:
    """Alg 0 on trajectory comparisons (features times 16, which sharpens answers), the trial's own error as radius."""
    sharp = replace(mdp, features=16.0 * mdp.features)
    x = sharp.collect(theta, n, np.full((6, 4), 0.25), stream)
    estimate = estimate_party_rewards(x[None], rank=2)[0]
    own = party_confidence(x, estimate, 0.0, 1e-9).errors(theta) if radius is None else radius
    return party_confidence(x, estimate, own, 1e-9)


@dataclass(frozen=True)
class IdentitySetting(Setting):
    """welfare: "steps", the sum over steps of products; "returns", the product of returns."""

    replicates: int = 150
    welfare: str = "steps"


class OccupancyIdentity(Theorem[IdentitySetting]):
    """E sum_h V(s_h, pi_h(s_h)) = sum_h sum_s P(s_h = s) V(s, pi_h(s)) with V the product of the parties' gains at a
    step, for random MDPs and linear MDPs in turn and random policies. Value: relative difference. Control: the product
    of the parties' returns, which no occupancy identity gives."""

    claim_id, paper, source = "occupancy-identity", PAPER.name, f"{ARXIV}, section 4.3"
    statement = "The Nash welfare of a policy, step by step, is a sum over its occupancies."
    SETTINGS = {"as_stated": Variant(IdentitySetting())}

    def bound(self, setting: IdentitySetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: IdentitySetting, stream: Stream) -> float:
        mdp, theta = world(stream, linear=stream.replicate % 2 == 1)
        each = gains(theta, mdp.features)
        policy = stream.child("policy").integers(4, (4, 6))
        by_occupancy = mdp.occupancy_value(policy, each.prod(axis=0))
        if setting.welfare == "steps":
            other = mdp.value(policy, each.prod(axis=0))
        else:
            other = float(np.prod([mdp.value(policy, own) for own in each]))
        return abs(other / by_occupancy - 1.0)

    def control(self, setting: IdentitySetting) -> tuple[Control[IdentitySetting], ...]:
        return (Control("product of returns", replace(setting, welfare="returns")),)


@dataclass(frozen=True)
class PlanSetting(Setting):
    """planner: "dynamic programming" or "myopic"."""

    replicates: int = 130
    planner: str = "dynamic programming"


class DynamicProgramming(Theorem[PlanSetting]):
    """Algorithm 1-MDP reduces to a scalar step reward V(s, a): backward recursion finds the best of all (A^S)^H
    policies. S = 2, A = 3, H = 2, all 81 enumerated. Value: the best of all minus the recursion's. Control: the action
    that is best at the step alone."""

    claim_id, paper, source = "mdp-planning", PAPER.name, f"{ARXIV}, Algorithm 1 (MDP)"
    statement = "Dynamic programming on the step's welfare finds the best policy."
    SETTINGS = {"as_stated": Variant(PlanSetting())}

    def bound(self, setting: PlanSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: PlanSetting, stream: Stream) -> float:
        mdp = random_mdp(2, 3, 4, 2, stream.child("mdp"))
        theta = shared_population(2, 4, 2, stream.child("people"), length=1.0).theta
        welfare = gains(theta, mdp.features).prod(axis=0)
        policy: IntArray = mdp.best_policy(welfare)[0]
        if setting.planner == "myopic":
            policy = np.broadcast_to(welfare.argmax(axis=1), (2, 2))
        return max(mdp.value(other, welfare) for other in mdp.all_policies()) - mdp.value(policy, welfare)

    def control(self, setting: PlanSetting) -> tuple[Control[PlanSetting], ...]:
        return (Control("the action that is best at the step alone", replace(setting, planner="myopic")),)


@dataclass(frozen=True)
class MarkovSetting(Setting):
    """heard: parties whose bounds are multiplied, of three."""

    replicates: int = 180
    heard: int = 3


class MarkovBound(Theorem[MarkovSetting]):
    """Theorem 7's sure form: on the event J* - J(pi_hat) <= sum_s d^{pi*}(s) [V - prod_m Lcb_m](s, pi*(s)), pi_hat by
    dynamic programming on the product of lower bounds, d over all steps. 300 to 4,000 trajectory pairs a party. Value:
    left minus right, relative to J*; a draw in which nothing is lost, or nothing is bounded along pi*, tests nothing.
    Control: a policy that hears one party of three."""

    claim_id, paper, source = "mdp-bound", PAPER.name, f"{ARXIV}, proof of Theorem 7"
    statement = "The pessimistic policy's loss is at most its bound's gap along the best policy's occupancy."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(MarkovSetting())}

    def bound(self, setting: MarkovSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: MarkovSetting, stream: Stream) -> float | None:
        mdp, theta = world(stream, linear=stream.replicate % 2 == 1)
        sets = learn(mdp, theta, (300, 1000, 2000, 4000)[stream.replicate % 4], stream)
        true, bounds = gains(theta, mdp.features).prod(axis=0), sets.gain_bounds(mdp.features)
        best, most = mdp.best_policy(true)
        chosen, _ = mdp.best_policy(bounds[: setting.heard].prod(axis=0))
        promised, lost = mdp.occupancy_value(best, bounds.prod(axis=0)), most - mdp.value(chosen, true)
        # Beside rounding: the best policy by another path loses 1e-16.
        if lost <= 1e-12 * most or promised <= 1e-12 * most:
            return None
        return (lost - (most - promised)) / most

    def witness(self, setting: MarkovSetting, stream: Stream) -> Json:
        return {"excess": self.draw(setting, stream)}

    def control(self, setting: MarkovSetting) -> tuple[Control[MarkovSetting], ...]:
        return (Control("one party heard of three", replace(setting, heard=1)),)


@dataclass(frozen=True)
class MarkovRateSetting(Setting):
    """frozen: a radius that does not shrink with the answers, None for the trial's own error."""

    replicates: int = 80
    frozen: float | None = None


class MarkovRate(Theorem[MarkovRateSetting]):
    """Theorem 7's rate: the gap of the bound along the best policy, relative to J*, falls as n^(-1/2), slope at most
    -.4 over 316 ... 31,623 trajectory pairs a party, for two of the three parties (the product of three is further from
    its asymptote). Value: the mean over the three choices of two, which have the same answers and estimates, and over
    several samples where answers are few. Control: a radius that stays where it is."""

    claim_id, paper, source = "mdp-gap-rate", PAPER.name, f"{ARXIV}, Theorem 7"
    statement = "In an episodic MDP the pessimism gap falls as n^(-1/2)."
    cost = 12.0
    full_factor = 2
    axes = ("trajectory pairs a party", "relative pessimism gap")
    SETTINGS = {"as_stated": Variant(MarkovRateSetting())}
    # Answers a party, samples of so many in a draw: more where they are cheap.
    _ANSWERS = (316, 1000, 3162, 10_000, 31_623)
    _SAMPLES = (8, 3, 1, 1, 1)

    def bound(self, setting: MarkovRateSetting) -> Bound:
        return Slope(-0.4)

    def grid(self, setting: MarkovRateSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def drawn_as(self, setting: MarkovRateSetting) -> MarkovRateSetting:
        # The control has half of the replicates.
        fixed = setting.frozen is not None
        return replace(setting, frozen=None, replicates=2 * setting.replicates) if fixed else setting

    @staticmethod
    @kept
    def _learned(stream: Stream) -> list[list[PartyConfidence]]:
        """Of each number of answers the samples' confidence sets, with the trial's own errors as radii."""
        mdp, theta = world(stream, linear=False)
        return [
            [learn(mdp, theta, n, stream.child(f"answers/{n}/{i}"), None) for i in range(samples)]
            for n, samples in zip(MarkovRate._ANSWERS, MarkovRate._SAMPLES, strict=True)
        ]

    def draw(self, setting: MarkovRateSetting, stream: Stream) -> FloatArray:
        mdp, theta = world(stream, linear=False)
        pairs = np.array([[0, 1], [0, 2], [1, 2]])
        true = gains(theta, mdp.features)[pairs].prod(axis=1)
        planned = [mdp.best_policy(own) for own in true]
        found = []
        for samples in self._learned(stream):
            lost = []
            for own in samples:
                sets = own if setting.frozen is None else replace(own, radius=np.full(3, setting.frozen))
                gaps = true - sets.gain_bounds(mdp.features)[pairs].prod(axis=1)
                lost += [mdp.occupancy_value(best, gap) / most for (best, most), gap in zip(planned, gaps, strict=True)]
            found.append(np.mean(lost))
        return np.array(found)

    def control(self, setting: MarkovRateSetting) -> tuple[Control[MarkovRateSetting], ...]:
        return (Control("a radius that does not shrink", replace(setting, frozen=5.0, replicates=40)),)


THEOREMS = (OccupancyIdentity(), DynamicProgramming(), MarkovBound(), MarkovRate())
