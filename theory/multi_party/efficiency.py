"""How near to efficient what Algorithms 1 and 2 learn is (arXiv 2403.05006): Theorem 4, and the rates of 4 and 9."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.fairness import pareto_option
from sim.algorithms.pessimistic_welfare import statewise_policy
from sim.algorithms.von_neumann import von_neumann_winner
from sim.algorithms.welfare import NASH
from sim.environments.preference_tables import bradley_terry_matrices
from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV, parties, usable
from theory.multi_party.fairness import WORLDS
from theory.multi_party.winners import even_counts


@dataclass(frozen=True)
class LearnedSetting(Setting):
    """policy: nash (pessimistic), plain (no radius) or random."""

    replicates: int = 150
    policy: str = "nash"


def near_ties(stream: Stream, M: int, radius: float) -> tuple[FloatArray, FloatArray, PartyConfidence]:
    """A table of utilities (M, 11): nothing, five random options, and each of these once more, up to a quarter worse
    for everybody; how often each was seen (M, 11); sets of that radius around an estimate on their surface.

    An option of its own parameter is seen 10^-5 to 1 times as often as nothing. The error is a random one, mixed by a
    random share with the one that makes the optimum look worst."""
    base, worse = 0.2 + 0.8 * stream.child("base").uniforms((M, 5)), 0.25 * stream.child("worse").uniforms(5)
    table = np.hstack([np.zeros((M, 1)), base, base * (1.0 - worse)])
    seen = 10.0 ** (-5.0 * stream.child("seen").uniforms(table.shape))
    seen[:, 0] = 1.0
    best = int(table.prod(axis=0).argmax())
    share = stream.child("share").uniforms(1)[0]
    step = stream.child("step").normals(table.shape)
    step *= (1.0 - share) / np.linalg.norm(step, axis=1, keepdims=True)
    step[:, best] -= share
    step *= radius / np.linalg.norm(step, axis=1, keepdims=True) / np.sqrt(seen)
    return table, seen, PartyConfidence(table + step, seen[:, :, None] * np.eye(table.shape[1]), np.full(M, radius))


class ParetoBound(Theorem[LearnedSetting]):
    """Theorem 4: state by state the pessimistic Nash policy is tau(s)-approximately Pareto efficient, tau(s) = xi /
    (1 - xi) with xi = 2 sum_m Gamma_m D_m(s) / v_m(s, pi*) (the paper's rate in relative form, where xi < 1; it needs
    the state-wise maximiser). Two parties, eleven options that come in pairs of a better and a worse
    one, some seen 100,000 times as often as others, estimates on the surface of ellipsoids of radius .004. An efficient
    choice contradicts no bound: worlds are drawn until the choice is dominated and xi < 1, up to 60, and a replicate
    without one is not counted. Value: tau_actual over tau(s). Controls: a random policy; the choice of the estimate
    alone, which falls for what was hardly seen."""

    right_side = "draw"
    claim_id, paper, source = "pareto-bound", PAPER.name, f"{ARXIV}, Theorem 4"
    statement = "The pessimistic Nash policy is approximately Pareto efficient at the rate of its relative width."
    SETTINGS = {"as_stated": Variant(LearnedSetting(), attained=(0.35, 1.0))}

    def bound(self, setting: LearnedSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    def draw(self, setting: LearnedSetting, stream: Stream) -> float | None:
        for number in range(WORLDS):
            own = stream.child(f"world/{number}")
            table, seen, sets = near_ties(own, 2, 0.004)
            best = int(table.prod(axis=0).argmax())
            # ||phi(best) - phi(nothing)|| in the inverse of a diagonal covariance, by hand.
            width = np.sqrt(1.0 / seen[:, best] + 1.0 / seen[:, 0])
            xi = float(2.0 * (sets.radius * width / table[:, best]).sum())
            if xi >= 1.0:
                continue
            if setting.policy == "random":
                chosen = int(own.child("policy").integers(table.shape[1], 1)[0])
            else:
                told = sets if setting.policy == "nash" else replace(sets, radius=0.0 * sets.radius)
                chosen = int(statewise_policy(told.gain_bounds(np.eye(table.shape[1])[None]), NASH)[0])
            found = pareto_option(table, chosen)
            if not found.efficient:
                return float(min(found.tau / (xi / (1.0 - xi)), 1e9))
        return None

    def control(self, setting: LearnedSetting) -> tuple[Control[LearnedSetting], ...]:
        return (
            Control("a random policy", replace(setting, policy="random")),
            Control("the estimate alone", replace(setting, policy="plain")),
        )


@dataclass(frozen=True)
class RateSetting(Setting):
    """policy: nash (pessimistic) or random."""

    replicates: int = 120
    policy: str = "nash"


class ParetoRate(Theorem[RateSetting]):
    """Theorem 4's rate: what a dominated choice leaves to be gained falls at least as n^(-1/2), slope at most -.4 over
    n = 100 ... 10,000 answers a party. Two parties, 200 states, six actions, d = 4, r = 2, radii of the trial's own
    errors. Value: the mean over states of tau / (1 + tau), tau_actual's share of the gain that could be had (at most
    tau, and 1 where somebody gets nothing and could get something; an efficient choice has 0). It falls faster than
    claimed: both how often the choice is dominated and by how much do. Slopes of single draws differ much, hence 120 of
    them. Control: a random policy."""

    claim_id, paper, source = "pareto-rate", PAPER.name, f"{ARXIV}, Theorem 4"
    statement = "How far the pessimistic Nash policy is from Pareto efficiency falls as n^(-1/2) or faster."
    axes = ("answers a party", "mean of tau / (1 + tau)")
    cost = 10.0
    full_factor = 3
    SETTINGS = {"as_stated": Variant(RateSetting())}
    _ANSWERS = (100, 316, 1000, 3162, 10_000)

    def bound(self, setting: RateSetting) -> Bound:
        return Slope(-0.4)

    def grid(self, setting: RateSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: RateSetting, stream: Stream) -> FloatArray:
        world = parties(200, 6, 4, 2, 2, stream)
        true, found = world.gains, []
        keep = usable(true.prod(axis=0))
        for n in self._ANSWERS:
            own = stream.child(f"answers/{n}")
            if setting.policy == "random":
                chosen = own.child("policy").integers(6, 200)
            else:
                # Where every bound is zero pessimism has nothing to say: any action, the first.
                chosen = np.maximum(statewise_policy(world.learn(n, 2, own).gain_bounds(world.features), NASH), 0)
            found.append(np.mean([1.0 - 1.0 / (1.0 + pareto_option(true[:, s], int(chosen[s])).tau) for s in keep]))
        return np.array(found)

    def control(self, setting: RateSetting) -> tuple[Control[RateSetting], ...]:
        return (Control("a random policy", replace(setting, policy="random", replicates=30)),)


@dataclass(frozen=True)
class StrengthSetting(Setting):
    """literal: the bonus on the diagonal never shrinks."""

    replicates: int = 40
    literal: bool = False


class ExPostRate(Theorem[StrengthSetting]):
    """Theorem 9's rate in the worst case: p_hat(b) N*(a, b)^(1/2), b dominated by a, is at most a constant times
    n^(-1/4); of any one society b gets nothing from some n on. Three Bradley-Terry parties over four actions, the same
    seven strengths of their preferences from .001 to 1 for every n = 10^3 ... 10^6. Value: the largest over the
    strengths; slope in [-.3, -.2]: the rate is met, and no better one would hold. Control: the printed bonus on the
    diagonal, which leaves b its probability."""

    claim_id, paper, source = "ex-post-rate", PAPER.name, f"{ARXIV}, Theorem 9"
    statement = "A dominated action's probability times the root of its margin falls as n^(-1/4) over all strengths."
    axes = ("answers a party", "largest p(b) N*(a, b)^(1/2) over strengths")
    cost = 4.0
    SETTINGS = {"as_stated": Variant(StrengthSetting())}
    _ANSWERS = (1_000, 10_000, 100_000, 1_000_000)
    _STRENGTHS = 10.0 ** (-0.5 * np.arange(7))

    def bound(self, setting: StrengthSetting) -> Bound:
        return Slope(-0.2, lowest=-0.3)

    def grid(self, setting: StrengthSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: StrengthSetting, stream: Stream) -> FloatArray:
        rewards = 2.0 * stream.child("rewards").uniforms((3, 4))
        rewards[:, 1] = rewards[:, 0] - 0.5 - stream.child("behind").uniforms(3)
        # A strength is a state of its own, with n answers of each party.
        true = np.stack([bradley_terry_matrices(strength * rewards) for strength in self._STRENGTHS], axis=1)
        margin, many = np.sqrt(true[:, :, 0, 1].mean(axis=0)), len(self._STRENGTHS)
        found = []
        for n in self._ANSWERS:
            counts = even_counts(true, n * many, stream.child(f"answers/{n}"))
            winner = von_neumann_winner(counts, literal_diagonal=setting.literal)
            found.append(float((winner.policy[:, 1] * margin).max()))
        return np.array(found)

    def control(self, setting: StrengthSetting) -> tuple[Control[StrengthSetting], ...]:
        return (Control("the printed bonus on the diagonal", replace(setting, literal=True, replicates=10)),)


THEOREMS = (ParetoBound(), ParetoRate(), ExPostRate())
