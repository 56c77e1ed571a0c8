"""Sure inequalities behind Theorems 2, 5 and 6 (arXiv 2403.05006): they must hold in every trial of the event."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.pessimistic_welfare import statewise_policy, utilitarian_policy
from sim.algorithms.welfare import LEXIMIN, NASH, UTILITARIAN
from sim.estimators.party_confidence import PartyConfidence, gains
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.kept import kept
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.multi_party import PAPER
from theory.multi_party._instances import (
    ARXIV,
    DERIVED,
    Parties,
    parties,
    party_norms,
    reference_gap,
    sized,
    usable,
)


@dataclass(frozen=True)
class SureSetting(Setting):
    """shrunk: the radius as a share of the trial's own error, 1 on the event.  policy: right, or one that is not:
    utilitarian (one party's scale tenfold), dictator, last-left-out."""

    replicates: int = 200
    shrunk: float = 1.0
    policy: str = "right"


class SureInequality(Theorem[SureSetting], abc.ABC):
    """Set-up: S = 20 states, 6 actions, d = 6, r = 2, 2 to 8 parties with 250 to 16,000 answers each; the radius of
    each party is the error of this very trial, so that the event of the theorem holds exactly. Of five states often
    none could contradict a claim about losses."""

    paper = PAPER.name

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1e-9)

    def drawn_as(self, setting: SureSetting) -> SureSetting:
        return replace(setting, shrunk=1.0, policy="right")

    @staticmethod
    @kept
    def _learned(stream: Stream, loud: bool) -> tuple[Parties, PartyConfidence]:
        M, n = sized(stream.replicate)
        world = parties(20, 6, 6, 2, M, stream)
        if loud:
            # One loud party: welfare by sums serves it alone.
            world = replace(world, theta=world.theta * np.append(10.0, np.ones(M - 1))[:, None] / 10.0)
        return world, world.learn(n, 2, stream)

    def draw(self, setting: SureSetting, stream: Stream) -> float | None:
        world, sets = self._learned(stream, setting.policy == "utilitarian")
        return self.excess(setting, world, replace(sets, radius=setting.shrunk * sets.radius))

    @abc.abstractmethod
    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float | None:
        """The left side minus the right one, or over it, at the worst state; None where no state could contradict."""

    def witness(self, setting: SureSetting, stream: Stream) -> Json:
        M, n = sized(stream.replicate)
        return {"parties": M, "answers": n, "excess": self.draw(setting, stream)}


def _nash_choice(setting: SureSetting, bounds: FloatArray) -> IntArray:
    if setting.policy in ("utilitarian", "dictator"):
        return statewise_policy(bounds[:1] if setting.policy == "dictator" else bounds, UTILITARIAN)
    chosen = statewise_policy(bounds, NASH)
    # Where every bound is zero pessimism has nothing to say: any action, the first.
    return np.where(chosen < 0, 0, chosen)


class GainBound(SureInequality):
    """I1. Lcb_m(s, a) = max_a' [<theta_hat_m, D> - Gamma_m ||D||_{Sigma_m^-1}], D = phi(s, a) - phi(s, a'), is at most
    the true gain v_m(s, a) for every party, state and action. Value: the largest excess. Control: radii of a quarter.
    """

    claim_id, source = "gain-bound", f"{DERIVED}, for Algorithm 1"
    statement = "The closed-form pessimistic gain is never above the true gain."
    SETTINGS = {"as_stated": Variant(SureSetting())}

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float:
        return float((sets.gain_bounds(world.features) - world.gains).max())

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("radii of a quarter of the error", replace(setting, shrunk=0.25)),)


class NashChain(SureInequality):
    """I2. V(s, pi*) - V(s, pi_hat) <= V(s, pi*) - prod_m Lcb_m(s, pi*), V the product of gains: what pessimism loses is
    at most how far its bound lies below the truth at the optimum. States where nothing is lost or nothing is bounded
    (prod_m Lcb_m = 0, true of any policy) test nothing. Control: the Utilitarian policy, one party loud."""

    claim_id, source = "nash-chain", f"{ARXIV}, proof of Theorem 2"
    statement = "The Nash policy's loss is at most the gap of its bound at the optimum."
    SETTINGS = {"as_stated": Variant(SureSetting())}

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float | None:
        welfare, bounds = world.gains.prod(axis=0), sets.gain_bounds(world.features)
        states = np.arange(len(world.law))
        best, chosen = welfare.argmax(axis=1), _nash_choice(setting, bounds)
        loss = welfare[states, best] - welfare[states, chosen]
        bound = bounds.prod(axis=0)[states, best]
        keep = usable(welfare)
        keep = keep[(loss[keep] > 0.0) & (bound[keep] > 0.0)]
        gap = welfare[states, best] - bound
        return float((loss - gap)[keep].max() / welfare.max()) if len(keep) else None

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("Utilitarian policy, one loud party", replace(setting, policy="utilitarian")),)


class NashRelativeBound(SureInequality):
    """I3. The loss at s is at most 2 V(s, pi*) sum_m Gamma_m D_m(s) / v_m(s, pi*), D_m(s) = ||phi(s, pi*) - phi(s,
    a_m^-)||_{Sigma_m^-1}, a_m^- the true worst action of party m. Relative: no (2BL)^(M-1), no baseline that depends on
    the data. A draw that loses nothing in any state tests nothing. Control: the first party's favourite."""

    right_side = "code"
    claim_id, source = "nash-relative-bound", f"{DERIVED}, for Theorem 2"
    statement = "The Nash policy's relative loss is at most twice the sum of the parties' relative widths."
    SETTINGS = {"as_stated": Variant(SureSetting(), attained=(0.28, 0.75))}

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float | None:
        welfare, bounds = world.gains.prod(axis=0), sets.gain_bounds(world.features)
        keep, states = usable(welfare), np.arange(len(world.law))
        best, chosen = welfare.argmax(axis=1), _nash_choice(setting, bounds)
        width = party_norms(sets, reference_gap(world.features, world.theta, best))
        gained = world.gains[:, states, best]
        relative = 2.0 * (sets.radius[:, None] * width[:, keep] / gained[:, keep]).sum(axis=0)
        loss = 1.0 - welfare[states, chosen][keep] / welfare[states, best][keep]
        return float((loss / relative).max()) if (loss > 0.0).any() else None

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("the first party's favourite", replace(setting, policy="dictator")),)


class LeximinBound(SureInequality):
    """I4. min_m v_m(s, pi*) - min_m v_m(s, pi_hat) <= 2 max_m Gamma_m D_m(s), D_m at the Leximin optimum: no factor M.
    Value: the loss over that, largest over states, where anything is lost in any. Control: a policy that leaves the
    last party out of the minimum."""

    right_side = "code"
    claim_id, source = "leximin-bound", f"{DERIVED}, for Theorem 6"
    statement = "The Leximin policy's loss is at most twice the largest party's width, whatever the number of parties."
    SETTINGS = {"as_stated": Variant(SureSetting(), attained=(0.45, 1.0))}

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float | None:
        least, bounds = world.gains.min(axis=0), sets.gain_bounds(world.features)
        states, best = np.arange(len(world.law)), least.argmax(axis=1)
        heard = bounds[:-1] if setting.policy == "last-left-out" else bounds
        chosen = statewise_policy(heard, LEXIMIN)
        width = party_norms(sets, reference_gap(world.features, world.theta, best))
        loss = least[states, best] - least[states, chosen]
        if not (loss > 0.0).any():
            return None
        return float((loss / (2.0 * (sets.radius[:, None] * width).max(axis=0))).max())

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("the last party is not heard", replace(setting, policy="last-left-out")),)


@dataclass(frozen=True)
class ShiftSetting(Setting):
    """reference: whether features are counted from a reference vector.  fixed: a reference that does not
    move with the features."""

    replicates: int = 150
    reference: bool = True
    fixed: bool = False


class ShiftInvariance(Theorem[ShiftSetting]):
    """A constant vector added to all features changes no comparison, no estimate and no ranking. Value: the change of
    what the pessimistic Utilitarian policy guarantees over the uniform one, relative to the largest welfare, when all
    features move by a vector of length 2. As printed (no reference) the widths ||phibar|| move with it; with the mean
    feature as a reference they do not.

    Control: a reference that stays where it is while the features move.
    """

    claim_id, paper, source = "utilitarian-origin", PAPER.name, f"{ARXIV}, Algorithm 1 (Utilitarian) and Theorem 5"
    statement = "The pessimistic Utilitarian policy does not depend on the origin of the features."
    cost = 3.0
    SETTINGS = {
        "as_printed": Variant(ShiftSetting(reference=False), Verdict.VIOLATED, "Without a reference vector."),
        "as_corrected": Variant(ShiftSetting(), Verdict.HOLDS, "With a reference vector among the features."),
    }

    def bound(self, setting: ShiftSetting) -> Bound:
        return EveryDraw(1e-4)

    def draw(self, setting: ShiftSetting, stream: Stream) -> float:
        world = parties(3, 5, 5, 2, 3, stream)
        sets = world.learn(400, 2, stream)
        shift = stream.child("shift").normals(5)
        values = []
        for move in (np.zeros(5), 2.0 * shift / np.linalg.norm(shift)):
            features = world.features + move
            origin = np.zeros(5)
            if setting.reference:
                origin = (world.features if setting.fixed else features).mean((0, 1))
            found = utilitarian_policy(features, world.law, sets, origin)
            values.append(float(sets.reward_bounds(np.einsum("s,sa,sad->d", world.law, found.policy, world.features)
                                                   - world.features.mean((0, 1))).sum()))  # fmt: skip
        scale = float(np.abs(gains(world.theta, world.features).sum(axis=0)).max())
        return abs(values[1] - values[0]) / scale

    def witness(self, setting: ShiftSetting, stream: Stream) -> Json:
        return {"change of the pessimistic value, relative": self.draw(setting, stream)}

    def control(self, setting: ShiftSetting) -> tuple[Control[ShiftSetting], ...]:
        fixed = replace(setting, reference=True, fixed=True)
        return (Control("a reference that does not move with the features", fixed),)


THEOREMS = (
    GainBound(),
    NashChain(),
    NashRelativeBound(),
    LeximinBound(),
    ShiftInvariance(),
)
