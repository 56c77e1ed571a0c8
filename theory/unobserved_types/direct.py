"""Claims about the direct saddle point (arXiv 2405.15065, section 4, direct optimisation)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.hedge import game_value
from sim.algorithms.regret import discrepancy, regret_matrix
from sim.algorithms.saddle_point import DirectGame, saddle_point_gradient, saddle_point_lp, saddle_point_table
from sim.environments.tabular import compromise_arm
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Exactly
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, optimal_tables


@dataclass(frozen=True)
class DirectSetting(Setting):
    """compromise: what the shared arm gives (None: random in 6..9.5); sign: of L_z in the direct formulation."""

    replicates: int = 150
    compromise: float | None = None
    sign: Literal["corrected", "printed"] = "corrected"


def _direct_values(compromise: float, sign: str) -> dict[str, float]:
    """Worst regrets of the ensemble's and of the direct optimum on the compromise-arm environment, beta = 1."""
    environment = compromise_arm(compromise)
    policies, contexts = optimal_tables(environment, 1.0), np.zeros(1, dtype=np.int64)
    ensemble = game_value(regret_matrix(discrepancy(policies, contexts), 1.0).values[1:]).value
    optimum = environment.optimal_policies(1.0)
    log_ratio = np.log(optimum / environment.reference)
    game = DirectGame(log_ratio, optimum, environment.context_probabilities, zero_row=False)
    solved = replace(game, log_ratio=-log_ratio) if sign == "printed" else game
    _, policy = saddle_point_lp(solved)
    return {"ensemble": ensemble, "direct": float(game.regret(policy).max())}


class DirectBelowEnsemble(Theorem[DirectSetting]):
    """Every ensemble of the pi_z* is a policy, so the best policy's worst regret is at most the best ensemble's; where
    an arm is second best for everybody, an ensemble cannot reach it and the gap is wide.

    Section 4's direct formulation prints L_z = R_z(pi) - R_z(pi_z*): minimising that avoids the compromise arm.
    Three types, own arm 10, shared arm c in [6, 9.5]; both optima by LP. Value: direct minus ensemble.
    """

    claim_id, paper, source = "direct-below-ensemble", PAPER.name, f"{ARXIV}, section 4, direct optimisation"
    statement = "The direct saddle point's worst regret is at most the best ensemble's."
    SETTINGS = {
        "as_printed": Variant(DirectSetting(sign="printed"), Verdict.VIOLATED, "With L_z = R_z(pi) - R_z(pi_z*)."),
        "as_corrected": Variant(DirectSetting(), Verdict.HOLDS, "With L_z = R_z(pi_z*) - R_z(pi)."),
    }

    def bound(self, setting: DirectSetting) -> Bound:
        return EveryDraw(1e-9)

    def _at(self, setting: DirectSetting, stream: Stream) -> dict[str, float]:
        c = setting.compromise
        chosen = 6.0 + 3.5 * float(stream.uniforms(1)[0]) if c is None else c
        return {"compromise": chosen, **_direct_values(chosen, setting.sign)}

    def draw(self, setting: DirectSetting, stream: Stream) -> float:
        values = self._at(setting, stream)
        return values["direct"] - values["ensemble"]

    def witness(self, setting: DirectSetting, stream: Stream) -> Json:
        return {**self._at(setting, stream)}

    def control(self, setting: DirectSetting) -> tuple[Control[DirectSetting], ...]:
        return (Control("the printed sign", replace(setting, sign="printed")),)


class CompromiseArm(DirectBelowEnsemble):
    """At c = 8 the gap is at least 4 (5.871 against 1.761): an ensemble of extremists cannot compromise. At c = 3 the
    shared arm is useless and the two agree to 0.001: the control.
    """

    claim_id = "compromise-arm"
    statement = "With a good compromise (c = 8) the direct optimum beats the best ensemble by at least 4."
    SETTINGS = {"as_stated": Variant(DirectSetting(replicates=1, compromise=8.0))}

    def bound(self, setting: DirectSetting) -> Bound:
        return Exactly(-4.0)

    def control(self, setting: DirectSetting) -> tuple[Control[DirectSetting], ...]:
        return (Control("no useful compromise (c = 3)", replace(setting, compromise=3.0)),)


@dataclass(frozen=True)
class DirectMethodSetting(Setting):
    """method: gradient (optimistic policy gradient on logits) or table (optimistic Hedge on arms)."""

    replicates: int = 1
    sign: Literal["corrected", "printed"] = "corrected"


class DirectMethods(Theorem[DirectMethodSetting]):
    """Optimistic policy gradient (steps 0.2 and 0.02, 20,000 rounds, last iterate) and optimistic Hedge on arms (10,000
    rounds, average) both reach the LP's value at c = 8 within 0.01. The paper leaves the policy's step out.

    Value: the larger of the two methods' distances above the LP.
    """

    claim_id, paper, source = "direct-methods-converge", PAPER.name, f"{ARXIV}, section 4, direct optimisation"
    statement = "The direct saddle point is reached by gradient play as by Hedge on arms."
    cost = 3.0
    SETTINGS = {"as_corrected": Variant(DirectMethodSetting())}

    def bound(self, setting: DirectMethodSetting) -> Bound:
        return Exactly(0.01)

    def draw(self, setting: DirectMethodSetting, stream: Stream) -> float:
        environment = compromise_arm(8.0)
        optimum = environment.optimal_policies(1.0)
        log_ratio = np.log(optimum / environment.reference)
        game = DirectGame(log_ratio, optimum, environment.context_probabilities, zero_row=False)
        played = replace(game, log_ratio=-log_ratio) if setting.sign == "printed" else game
        value = saddle_point_lp(game)[0]
        reached = (
            saddle_point_gradient(played, 20_000).last_policy,
            saddle_point_table(played, 10_000).policy,
        )
        return max(float(game.regret(policy).max()) for policy in reached) - value

    def control(self, setting: DirectMethodSetting) -> tuple[Control[DirectMethodSetting], ...]:
        return (Control("the printed sign", replace(setting, sign="printed")),)


@dataclass(frozen=True)
class StepSetting(Setting):
    """optimism: how often the last payoff is taken off again in the play by hand; 1 is the algorithm."""

    replicates: int = 100
    optimism: float = 1.0


def _normalised(values: FloatArray) -> FloatArray:
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


class DirectSteps(Theorem[StepSetting]):
    """The play written out: with payoffs l_t = -beta sum_z p_z c_z h_z (of arms) and L_t (of groups, the empty one
    last), pi_{t+1} is proportional to pi_t exp(-s (2 l_t - l_{t-1})) in every context and p_{t+1} to p_t exp(s (2 L_t -
    L_{t-1})); the gradient play moves logits by -a (2 G_t - G_{t-1}), G_t = P(x) pi (l_t - <pi, l_t>). Before the first
    round the last payoff is the first one.

    Value: the largest distance of the policy and of the adversary, after 3, 4 or 5 rounds in turn, from this play in
    plain products; random games of three groups, two contexts, four arms, with priorities, both methods. Control: the
    play by hand without its optimism, l_t in place of 2 l_t - l_{t-1}."""

    claim_id, paper, source = "direct-steps", PAPER.name, f"{ARXIV}, section 4, direct optimisation"
    statement = "Both methods of the direct saddle point take the steps that their formulas name."
    SETTINGS = {"as_stated": Variant(StepSetting())}

    def bound(self, setting: StepSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: StepSetting, stream: Stream) -> float:
        raw = stream.child("game").normals((2, 3, 2, 4))
        optimum, priorities = _normalised(np.exp(raw[1])), 0.5 + stream.child("priorities").uniforms(3)
        law = _normalised(0.2 + stream.child("contexts").uniforms(2))
        game = DirectGame(raw[0], optimum, law, 0.7, priorities, zero_row=bool(stream.replicate % 2))
        rounds, step, slow = 3 + stream.replicate % 3, 0.3, 0.1
        table = saddle_point_table(game, rounds, step)
        gradient = saddle_point_gradient(game, rounds, policy_step=step, group_step=slow)
        away = 0.0
        for found, on_logits in ((table, False), (gradient, True)):
            policy, adversary = self._by_hand(game, rounds, step, slow if on_logits else step, on_logits, setting)
            away = max(away, float(np.abs(found.last_policy - policy).max()))
            away = max(away, float(np.abs(found.adversary - adversary).max()))
        return away

    @staticmethod
    def _by_hand(
        game: DirectGame, rounds: int, step: float, group_step: float, on_logits: bool, setting: StepSetting
    ) -> tuple[FloatArray, FloatArray]:
        """The policy after so many rounds, and the adversary's mean over them."""
        assert game.priorities is not None
        c, h, n = game.priorities, game.log_ratio, 3 + int(game.zero_row)
        pi, p, played = np.full((2, 4), 0.25), np.full(n, 1.0 / n), np.zeros(n)
        last: tuple[FloatArray, FloatArray] | None = None
        for _ in range(rounds):
            arms = -game.beta * sum(p[z] * c[z] * h[z] for z in range(3))
            groups = np.zeros(n)
            for z in range(3):
                by_context = ((game.optimum[z] - pi) * h[z]).sum(axis=1)
                groups[z] = game.beta * c[z] * float(game.context_probabilities @ by_context)
            if on_logits:
                mean = (pi * arms).sum(axis=1)[:, None]
                arms = game.context_probabilities[:, None] * pi * (arms - mean)
            before = last or (arms, groups)
            last = arms, groups
            ahead, behind = (own + setting.optimism * (own - was) for own, was in zip(last, before, strict=True))
            pi = _normalised(pi * np.exp(-step * ahead))
            p = _normalised(p * np.exp(group_step * behind))
            played += p / rounds
        return pi, played

    def control(self, setting: StepSetting) -> tuple[Control[StepSetting], ...]:
        return (Control("no optimism", replace(setting, optimism=0.0)),)


THEOREMS = (
    DirectBelowEnsemble(),
    CompromiseArm(),
    DirectMethods(),
    DirectSteps(),
)
