"""Claims about the direct saddle point (arXiv 2405.15065, section 4, direct optimisation)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.hedge import game_value
from sim.algorithms.regret import discrepancy, regret_matrix
from sim.algorithms.saddle_point import DirectGame, saddle_point_gradient, saddle_point_lp, saddle_point_table
from sim.environments.tabular import compromise_arm
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


THEOREMS = (
    DirectBelowEnsemble(),
    CompromiseArm(),
    DirectMethods(),
)
