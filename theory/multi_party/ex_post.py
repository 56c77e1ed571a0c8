"""Preferences without rewards (arXiv 2403.05006): dominated actions (Theorem 9), and what a winner is (Appendix B)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from sim.algorithms.hedge import game_value
from sim.algorithms.von_neumann import Stance, exploitability, solve_matrices, von_neumann_winner
from sim.environments.preference_tables import (
    bradley_terry_matrices,
    collect_counts,
    cyclic_matrix,
)
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly
from theory.engine.theorem import Control, Json, Premise, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV
from theory.multi_party.winners import winner_bound


@dataclass(frozen=True)
class DominatedSetting(Setting):
    """cyclic: everybody prefers a to b to c to a."""

    replicates: int = 150
    cyclic: bool = False


def _dominated_population(setting: DominatedSetting, stream: Stream) -> FloatArray:
    """Three Bradley-Terry parties over four actions who all prefer action 0 to action 1, (3, 1, 4, 4); or the cycle."""
    if setting.cyclic:
        return np.broadcast_to(cyclic_matrix(3, 0.6), (3, 1, 3, 3))
    rewards = 2.0 * stream.child("rewards").uniforms((3, 4))
    rewards[:, 1] = rewards[:, 0] - 0.5 - stream.child("behind").uniforms(3)
    return bradley_terry_matrices(rewards)[:, None]


def _dominated(setting: DominatedSetting, *streams: Stream) -> tuple[Premise, ...]:
    """Of each of these populations, see `_dominates`."""
    return _dominates(setting, min(float(_dominated_population(setting, own)[:, 0, 0, 1].min()) for own in streams))


def _dominates(setting: DominatedSetting, least: float) -> tuple[Premise, ...]:
    """Everybody prefers action 0 to action 1 by at least tanh(1/4) (the cycle, a control, is measured as it is)."""
    if setting.cyclic:
        return ()
    return (Premise("action 1 is dominated", least > 0.24, least, "N(0, 1) of every party above .24"),)


class ExPostSure(Theorem[DominatedSetting]):
    """Theorem 9's sure form: for transitive parties and any lottery p, p(b)^2 N*(a, b) is at most the exploitability of
    p, b dominated by a (all prefer a to b): moving b's mass to a beats p by as much. p: the true winner mixed with a
    random lottery, weights .1, .3, .6, 1 in turn (the winner itself gives b nothing). Value: left minus right. Control
    (the paper's): everybody has the same cycle, whose winner is uniform with exploitability 0, and every action is
    dominated."""

    claim_id, paper, source = "ex-post-sure", PAPER.name, f"{ARXIV}, proof of Theorem 9"
    statement = "A dominated action's squared probability times its margin is at most the exploitability."
    SETTINGS = {"as_stated": Variant(DominatedSetting(replicates=200))}

    def premises(self, setting: DominatedSetting, stream: Stream) -> tuple[Premise, ...]:
        return _dominated(setting, *(stream.child(f"population/{i}") for i in range(20)))

    def bound(self, setting: DominatedSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: DominatedSetting, stream: Stream) -> float:
        mean = _dominated_population(setting, stream).mean(axis=0)
        weight = (0.1, 0.3, 0.6, 1.0)[stream.replicate % 4]
        drawn = stream.child("lottery").generator().dirichlet(np.full(mean.shape[-1], 0.7))
        policy = (1.0 - weight) * solve_matrices(mean).policy + weight * drawn
        return float(policy[0, 1] ** 2 * mean[0, 0, 1] - exploitability(mean, policy)[0])

    def control(self, setting: DominatedSetting) -> tuple[Control[DominatedSetting], ...]:
        return (Control("the same cycle for everybody", replace(setting, cyclic=True)),)


@dataclass(frozen=True)
class UnaskedSetting(DominatedSetting):
    """n comparisons a party.  stance: pessimistic, or one that the theorem is not about."""

    n: int = 100_000_000
    stance: Stance = "pessimistic"


# Which pairs of (a, b, c) are compared: c with a nine times as often as with b, a with b never.
_ASKED = np.array([[0.0, 0.0, 0.9], [0.0, 0.0, 0.1], [0.9, 0.1, 0.0]])


def _unasked_population(setting: UnaskedSetting) -> FloatArray:
    """Two Bradley-Terry parties, both with a two above b, one with c fourteen above a and the other as far below, but
    for a half: together they prefer c to a and b by next to nothing. Or the cycle; (parties, 1, 3, 3)."""
    if setting.cyclic:
        return np.broadcast_to(cyclic_matrix(3, 0.6), (2, 1, 3, 3))
    return bradley_terry_matrices(np.array([[0.0, -2.0, 14.0], [0.0, -2.0, -13.5]]))[:, None]


class ExPostBound(Theorem[UnaskedSetting]):
    """Theorem 9: a dominated b has probability at most tau = K (A log(4 M S A^2 / delta) sqrt(C* / n))^(1/2), K =
    sqrt(8 / N*(a, b)). Where all pairs are compared alike b gets nothing as soon as tau is below 1, and no draw tests
    anything. Here nobody was asked for a or b, so that pessimism fears a as much, and c, the winner, is compared with
    a more often than with b: some of b pays, about B(c, b), in place of more of c. n = 10^8 a party (drawn as counts),
    where tau is .26; .003 of it is measured. Value: p_hat(b), if there is any; one society, fresh answers. (The
    paper's logarithm has 2 M S A^2 here and 4 in Theorem 8; 4 is used.)

    Controls: everybody has the same cycle, and the dominated action keeps probability 1/3; optimism, which plays b."""

    claim_id, paper, source = "ex-post-bound", PAPER.name, f"{ARXIV}, Theorem 9"
    statement = "A Pareto-dominated action gets probability at most tau."
    SETTINGS = {"as_stated": Variant(UnaskedSetting(), attained=(0.0026, 0.0034))}

    def premises(self, setting: UnaskedSetting, stream: Stream) -> tuple[Premise, ...]:
        return _dominates(setting, float(_unasked_population(setting)[:, 0, 0, 1].min()))

    def bound(self, setting: UnaskedSetting) -> Bound:
        mean = _unasked_population(setting).mean(axis=0)
        winner = solve_matrices(mean).policy[0]
        # C* = max p*(x) / P(x, y), y != x: of what the winner plays.
        coverage = max(winner[x] / _ASKED[x, y] for x, y in permutations(range(3), 2) if winner[x] > 0.0)
        return EveryDraw(float(np.sqrt(winner_bound(3, 2, 1, coverage, setting.n) / mean[0, 0, 1])))

    def largest_possible(self, setting: UnaskedSetting) -> float:
        return 1.0

    def draw(self, setting: UnaskedSetting, stream: Stream) -> float | None:
        counts = collect_counts(_unasked_population(setting), setting.n, _ASKED, np.ones(1), stream)
        probability = float(von_neumann_winner(counts, stance=setting.stance).policy[0, 1])
        return probability if probability > 0.0 else None

    def control(self, setting: UnaskedSetting) -> tuple[Control[UnaskedSetting], ...]:
        return (
            Control("the same cycle for everybody", replace(setting, cyclic=True)),
            Control("optimism", replace(setting, stance="optimistic")),
        )


@dataclass(frozen=True)
class StrictSetting(Setting):
    """strict: a dominates b if nobody prefers b and somebody prefers a.  cyclic: see above."""

    replicates: int = 130
    strict: bool = True
    cyclic: bool = False


class StrictDomination(Theorem[StrictSetting]):
    """Definition 2 asks of tau ex-post efficiency that every dominated action has probability at most tau, and omits
    strictness: every action then dominates itself (N*(a, a) = 0 >= 0), so that a sure winner is never efficient. With
    N*_m(a, b) >= 0 for all parties and > 0 for one it holds. Value: the largest probability of a dominated action under
    the true von Neumann winner, three Bradley-Terry parties. Control: the same cycle for everybody."""

    claim_id, paper, source = "ex-post-strict", PAPER.name, f"{ARXIV}, Definition 2"
    statement = "The von Neumann winner of transitive parties never plays a dominated action."
    SETTINGS = {
        "as_printed": Variant(StrictSetting(strict=False), Verdict.VIOLATED, "Without strictness."),
        "as_corrected": Variant(StrictSetting(), Verdict.HOLDS, "With one party that strictly prefers."),
    }

    def bound(self, setting: StrictSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: StrictSetting, stream: Stream) -> float:
        true = _dominated_population(DominatedSetting(cyclic=setting.cyclic), stream)[:, 0]
        policy = solve_matrices(true.mean(axis=0)[None]).policy[0]
        weakly = (true >= 0).all(axis=0)
        dominated = (weakly & (true > 0).any(axis=0)).any(axis=0) if setting.strict else weakly.any(axis=0)
        return float(policy[dominated].max(initial=0.0))

    def witness(self, setting: StrictSetting, stream: Stream) -> Json:
        return {"probability of an action that 'dominates' itself": self.draw(setting, stream)}

    def control(self, setting: StrictSetting) -> tuple[Control[StrictSetting], ...]:
        return (Control("the same cycle for everybody", replace(setting, cyclic=True)),)


@dataclass(frozen=True)
class AgreementSetting(Setting):
    """parties: one of these many, in turn.  noiseless: votes in place of Bradley-Terry answers."""

    replicates: int = 200
    parties: tuple[int, ...] = (1, 2)
    noiseless: bool = False


class TwoPartiesAgree(Theorem[AgreementSetting]):
    """Appendix B: under Bradley-Terry the von Neumann winner is the Utilitarian optimum for one and for two parties
    (tanh is odd and increasing). Six actions, rewards N(0, 2^2), draws with a margin above 1e-6. Value: 1 where they
    differ. Controls: three parties, of whom the loudest may be outvoted (differences 3, -1, -1 sum to 1, the mean
    preference is .4968 < 1/2); votes without noise, which do not say how much."""

    claim_id, paper, source = "two-parties-agree", PAPER.name, f"{ARXIV}, Appendix B"
    statement = "For at most two Bradley-Terry parties the von Neumann winner is the Utilitarian optimum."
    SETTINGS = {"as_stated": Variant(AgreementSetting())}

    def bound(self, setting: AgreementSetting) -> Bound:
        return EveryDraw(0.5)

    def draw(self, setting: AgreementSetting, stream: Stream) -> float | None:
        M = setting.parties[stream.replicate % len(setting.parties)]
        rewards = 2.0 * stream.child("rewards").normals((M, 6))
        total = np.sort(rewards.sum(axis=0))
        if total[-1] - total[-2] <= 1e-6:
            return None  # Two Utilitarian optima, of which the winner may mix any.
        matrices = bradley_terry_matrices(rewards)
        if setting.noiseless:
            matrices = np.sign(matrices)
        policy = solve_matrices(matrices.mean(axis=0)[None]).policy[0]
        return float(policy[rewards.sum(axis=0).argmax()] < 1.0 - 1e-6)

    def control(self, setting: AgreementSetting) -> tuple[Control[AgreementSetting], ...]:
        return (
            Control("three parties", replace(setting, parties=(3,))),
            Control("votes without noise", replace(setting, noiseless=True)),
        )


@dataclass(frozen=True)
class FavouriteSetting(Setting):
    """opposed: party m's favourite is action m; otherwise all share one."""

    opposed: bool = True


class OpposedFavourites(Theorem[FavouriteSetting]):
    """Proposition 4: A = M, party m ranks action m first and is indifferent among the others: then max_p min_m min_q
    p' N_m q = -(M - 1) / M, at the uniform lottery (the paper states at most). M = 2, 3, 5, 8 by linear programs.
    Value: the largest deviation. Control: parties who agree, where the value is 0."""

    claim_id, paper, source = "opposed-favourites", PAPER.name, f"{ARXIV}, Proposition 4"
    statement = "With opposed favourites no lottery is better than -(M - 1) / M for every party."
    SETTINGS = {"as_stated": Variant(FavouriteSetting())}

    def bound(self, setting: FavouriteSetting) -> Bound:
        return Exactly(1e-9)

    def draw(self, setting: FavouriteSetting, stream: Stream) -> float:
        worst = 0.0
        for M in (2, 3, 5, 8):
            N = np.zeros((M, M, M))
            for m in range(M):
                favourite = m if setting.opposed else 0
                N[m, favourite], N[m, :, favourite] = 1.0, -1.0
                N[m, favourite, favourite] = 0.0
            # min over parties and opponents: one matrix with a column for each pair of them
            value = -game_value(-np.concatenate(list(N), axis=1).T).value
            worst = max(worst, abs(value + (M - 1) / M))
        return worst

    def control(self, setting: FavouriteSetting) -> tuple[Control[FavouriteSetting], ...]:
        return (Control("parties who agree", replace(setting, opposed=False)),)


THEOREMS = (ExPostSure(), ExPostBound(), StrictDomination(), TwoPartiesAgree(), OpposedFavourites())
