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
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.multi_party import PAPER
from theory.multi_party._instances import (
    ARXIV,
    DERIVED,
    Parties,
    drawn_sets,
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

    replicates: int = 250
    shrunk: float = 1.0
    policy: str = "right"


class SureInequality(Theorem[SureSetting], abc.ABC):
    """Set-up: S = 5 states, 6 actions, d = 6, r = 2, 2 to 8 parties with 250 to 16,000 answers each; the radius of each
    party is the error of this very trial, so that the event of the theorem holds exactly."""

    paper = PAPER.name

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: SureSetting, stream: Stream) -> float:
        M, n = sized(stream.replicate)
        world = parties(5, 6, 6, 2, M, stream)
        if setting.policy == "utilitarian":
            # One loud party: welfare by sums serves it alone.
            world = replace(world, theta=world.theta * np.append(10.0, np.ones(M - 1))[:, None] / 10.0)
        sets = world.learn(n, 2, stream)
        sets = replace(sets, radius=setting.shrunk * sets.radius)
        return self.excess(setting, world, sets)

    @abc.abstractmethod
    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float:
        """The left side minus the right one, or over it, at the worst state."""

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
    at most how far its bound lies below the truth at the optimum. Control: the Utilitarian policy, one party loud."""

    claim_id, source = "nash-chain", f"{ARXIV}, proof of Theorem 2"
    statement = "The Nash policy's loss is at most the gap of its bound at the optimum."
    SETTINGS = {"as_stated": Variant(SureSetting())}

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float:
        welfare, bounds = world.gains.prod(axis=0), sets.gain_bounds(world.features)
        states = np.arange(len(world.law))
        best, chosen = welfare.argmax(axis=1), _nash_choice(setting, bounds)
        loss = welfare[states, best] - welfare[states, chosen]
        gap = welfare[states, best] - bounds.prod(axis=0)[states, best]
        return float((loss - gap)[usable(welfare)].max() / welfare.max())

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("Utilitarian policy, one loud party", replace(setting, policy="utilitarian")),)


class NashRelativeBound(SureInequality):
    """I3. The loss at s is at most 2 V(s, pi*) sum_m Gamma_m D_m(s) / v_m(s, pi*), D_m(s) = ||phi(s, pi*) - phi(s,
    a_m^-)||_{Sigma_m^-1}, a_m^- the true worst action of party m. Relative: no (2BL)^(M-1), no baseline that depends on
    the data. Control: the first party's favourite."""

    claim_id, source = "nash-relative-bound", f"{DERIVED}, for Theorem 2"
    statement = "The Nash policy's relative loss is at most twice the sum of the parties' relative widths."
    SETTINGS = {"as_stated": Variant(SureSetting(), attained=(0.28, 0.75))}

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float:
        welfare, bounds = world.gains.prod(axis=0), sets.gain_bounds(world.features)
        keep, states = usable(welfare), np.arange(len(world.law))
        best, chosen = welfare.argmax(axis=1), _nash_choice(setting, bounds)
        width = party_norms(sets, reference_gap(world.features, world.theta, best))
        gained = world.gains[:, states, best]
        relative = 2.0 * (sets.radius[:, None] * width[:, keep] / gained[:, keep]).sum(axis=0)
        loss = 1.0 - welfare[states, chosen][keep] / welfare[states, best][keep]
        return float((loss / relative).max())

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("the first party's favourite", replace(setting, policy="dictator")),)


class LeximinBound(SureInequality):
    """I4. min_m v_m(s, pi*) - min_m v_m(s, pi_hat) <= 2 max_m Gamma_m D_m(s), D_m at the Leximin optimum: no factor M.
    Value: the loss over that, largest over states. Control: a policy that leaves the last party out of the minimum."""

    claim_id, source = "leximin-bound", f"{DERIVED}, for Theorem 6"
    statement = "The Leximin policy's loss is at most twice the largest party's width, whatever the number of parties."
    SETTINGS = {"as_stated": Variant(SureSetting(), attained=(0.45, 1.0))}

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    def excess(self, setting: SureSetting, world: Parties, sets: PartyConfidence) -> float:
        least, bounds = world.gains.min(axis=0), sets.gain_bounds(world.features)
        states, best = np.arange(len(world.law)), least.argmax(axis=1)
        heard = bounds[:-1] if setting.policy == "last-left-out" else bounds
        chosen = statewise_policy(heard, LEXIMIN)
        width = party_norms(sets, reference_gap(world.features, world.theta, best))
        loss = least[states, best] - least[states, chosen]
        return float((loss / (2.0 * (sets.radius[:, None] * width).max(axis=0))).max())

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("the last party is not heard", replace(setting, policy="last-left-out")),)


@dataclass(frozen=True)
class UnevenSetting(Setting):
    """told: the radius the program is told, as a share of the true one.  deaf: parties it does not hear."""

    replicates: int = 130
    told: float = 1.0
    deaf: int = 0


def uneven(M: int, stream: Stream) -> tuple[Parties, PartyConfidence, FloatArray]:
    """(parties, sets with the truth on their surface, reference): five states, six actions, of which three have a part
    in a direction that is hardly compared (eigenvalue 10^-4) and worth nothing; radius .02, the first action the
    reference. Without pessimism an estimate that is too high there is followed."""
    world = parties(5, 6, 6, 2, M, stream)
    features, theta = world.features.copy(), world.theta.copy()
    features[:, :3, -1], features[:, 3:, :-1], theta[:, -1] = 0.0, 0.5 * features[:, 3:, :-1], 0.0
    world = replace(world, features=features, theta=theta)
    root = stream.child("roots").normals((M, 6, 12)) / np.sqrt(12.0)
    root[:, -1] = 0.01 * root[:, -1] / np.linalg.norm(root[:, -1], axis=-1, keepdims=True)
    covariance = root @ root.transpose(0, 2, 1)
    turn = stream.child("turn").normals((M, 6))
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    step = np.linalg.solve(np.linalg.cholesky(covariance).transpose(0, 2, 1), turn[..., None])[..., 0]
    sets = PartyConfidence(theta + 0.02 * step, covariance, np.full(M, 0.02))
    return world, sets, np.asarray(world.law @ features[:, 0])


def told_of(sets: PartyConfidence, setting: UnevenSetting) -> PartyConfidence:
    keep = len(sets.theta) - setting.deaf
    return PartyConfidence(sets.theta[:keep], sets.covariance[:keep], setting.told * sets.radius[:keep])


class UtilitarianBound(Theorem[UnevenSetting]):
    """I5. J* - J(pi_hat) <= 2 sum_m Gamma_m ||phibar(pi*) - reference||_{Sigma_m^-1} for the joint program, phibar(pi)
    = E_s phi(s, pi(s)), J* by the best action of each state. The mean over states stands inside the norm, which is
    right here: the welfare is linear. Two to eight parties, estimates on the surface of their ellipsoids, a direction
    that is hardly compared (see `uneven`). Value: left over right; no number of the program's own enters the limit.

    Controls: no pessimism, which follows estimates that are too high; a program that does not hear the last party."""

    claim_id, paper, source = "utilitarian-bound", PAPER.name, f"{ARXIV}, proof of Theorem 5"
    statement = "The Utilitarian policy's loss is at most twice the sum of the parties' widths at the optimum."
    cost = 8.0
    SETTINGS = {"as_stated": Variant(UnevenSetting(), attained=(0.085, 0.5))}

    def bound(self, setting: UnevenSetting) -> Bound:
        return EveryDraw(1.0)

    def draw(self, setting: UnevenSetting, stream: Stream) -> float:
        M, _ = sized(stream.replicate)
        world, sets, reference = uneven(M, stream)
        found = utilitarian_policy(world.features, world.law, told_of(sets, setting), reference)
        reward = np.einsum("md,sad->sa", world.theta, world.features)
        best = reward.argmax(axis=1)
        loss = float(world.law @ reward.max(axis=1) - world.law @ (found.policy * reward).sum(axis=1))
        at_best = world.law @ world.features[np.arange(len(best)), best] - reference
        # Where the reference is the optimum itself the right side is zero, and so must the loss be.
        return loss / max(2.0 * float(sets.radius @ sets.norms(at_best)), 1e-6)

    def witness(self, setting: UnevenSetting, stream: Stream) -> Json:
        return {"loss over its limit": self.draw(setting, stream), "parties": sized(stream.replicate)[0]}

    def control(self, setting: UnevenSetting) -> tuple[Control[UnevenSetting], ...]:
        return (
            Control("no pessimism", replace(setting, told=0.0)),
            Control("the last party is not heard", replace(setting, deaf=1)),
        )


class UtilitarianProgram(Theorem[UnevenSetting]):
    """Algorithm 1, Utilitarian: the policy maximises sum_m min_theta <theta, phibar(pi) - reference> over stochastic
    policies. A linear program of its own finds the same: two features, so that each norm is the largest of 500
    projections, up to a share of 2 x 10^-5. Two states, three actions, two parties, radius .1. Value: its optimum minus
    what the policy guarantees, in absolute value and relative to the largest width; both norms written out. Control:
    no pessimism."""

    claim_id, paper, source = "utilitarian-program", PAPER.name, f"{ARXIV}, Algorithm 1 (Utilitarian)"
    statement = "The pessimistic Utilitarian policy guarantees as much as any policy can."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(UnevenSetting())}

    def bound(self, setting: UnevenSetting) -> Bound:
        return EveryDraw(1e-4)

    def draw(self, setting: UnevenSetting, stream: Stream) -> float:
        from scipy.optimize import linprog

        S, A, M, corners = 2, 3, 2, 500
        world = parties(S, A, 2, 2, M, stream)
        sets = drawn_sets(world, 0.1, stream.child("sets"))
        reference = world.features.mean((0, 1))
        found = utilitarian_policy(world.features, world.law, told_of(sets, setting), reference)
        weighted = (world.law[:, None, None] * world.features).reshape(S * A, 2)
        angle = 2.0 * np.pi * np.arange(corners) / corners
        circle = np.column_stack([np.cos(angle), np.sin(angle)])
        # ||v||_{Sigma^-1} = max over the circle of <u, L^-1 v>: at most t_m each, phibar linear in the policy.
        rows, right = [], []
        for m in range(M):
            slopes = circle @ np.linalg.inv(np.linalg.cholesky(sets.covariance[m]))
            widths = np.zeros((corners, M))
            widths[:, m] = -1.0
            rows.append(np.column_stack([slopes @ weighted.T, widths]))
            right.append(slopes @ reference)
        total = sets.theta.sum(axis=0)
        solved = linprog(
            np.append(-weighted @ total, sets.radius),
            A_ub=np.concatenate(rows),
            b_ub=np.concatenate(right),
            A_eq=np.column_stack([np.kron(np.eye(S), np.ones(A)), np.zeros((S, M))]),
            b_eq=np.ones(S),
            bounds=[(0, None)] * (S * A + M),
        )
        vector = found.policy.reshape(-1) @ weighted - reference
        widths = np.array([np.sqrt(vector @ np.linalg.solve(own, vector)) for own in sets.covariance])
        guaranteed = float(total @ vector - sets.radius @ widths)
        scale = float((sets.radius[:, None, None] * sets.norms(world.features)).sum(axis=0).max())
        return abs(float(-solved.fun - total @ reference) - guaranteed) / scale

    def control(self, setting: UnevenSetting) -> tuple[Control[UnevenSetting], ...]:
        return (Control("no pessimism", replace(setting, told=0.0)),)


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
    cost = 8.0
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
    UtilitarianBound(),
    UtilitarianProgram(),
    ShiftInvariance(),
)
