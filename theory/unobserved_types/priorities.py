"""Claims about group priorities (arXiv 2405.15065, Algorithm 2, step 5, and section 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.hedge import game_value
from sim.algorithms.regret import discrepancy, regret_matrix
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, optimal_tables, random_instance, random_priorities


@dataclass(frozen=True)
class PrioritySetting(Setting):
    """on: what the group priorities multiply."""

    replicates: int = 200
    on: Literal["rows", "columns", "nothing"] = "rows"


def _weighted(L: FloatArray, priorities: FloatArray, on: str) -> FloatArray:
    R = regret_matrix(L, 1.0).values[1:]
    if on == "rows":
        return regret_matrix(L, 1.0, priorities).values[1:]
    return np.asarray(R * priorities[None, :]) if on == "columns" else R


def _discrepancy(stream: Stream) -> FloatArray:
    environment = random_instance(stream, n_actions=5)
    return discrepancy(optimal_tables(environment, 1.0), np.arange(4), environment.context_probabilities)


class PrioritiesOnRows(Theorem[PrioritySetting]):
    """Algorithm 2, step 5 multiplies by an undefined w'_k. Read as a priority of the row's group it minimises
    max_z c_z regret_z; multiplying columns instead rescales the policies and misses that optimum.

    Value: how far the LP's weights for the matrix so read are above the optimum of max_z c_z regret_z, relative.
    """

    claim_id, paper, source = "priorities-on-rows", PAPER.name, f"{ARXIV}, Algorithm 2, step 5 (w'_k)"
    statement = "The weighted matrix's solution minimises the largest weighted regret."
    SETTINGS = {
        "as_printed": Variant(
            PrioritySetting(on="columns"), Verdict.VIOLATED, "w'_k, indexed by the policy, multiplies columns."
        ),
        "as_corrected": Variant(PrioritySetting(), Verdict.HOLDS, "c_z multiplies the row of group z."),
    }

    def bound(self, setting: PrioritySetting) -> Bound:
        return EveryDraw(1e-9)

    def _excess(self, setting: PrioritySetting, stream: Stream) -> tuple[float, Json]:
        L, c = _discrepancy(stream), random_priorities(3, stream.child("priorities"))
        aim = _weighted(L, c, "rows")
        weights = game_value(_weighted(L, c, setting.on)).weights
        best = game_value(aim)
        detail = {"priorities": c.tolist(), "weights": weights.tolist(), "optimal": best.weights.tolist()}
        return float((aim @ weights).max() - best.value) / float(np.abs(aim).max()), detail

    def draw(self, setting: PrioritySetting, stream: Stream) -> float:
        return self._excess(setting, stream)[0]

    def witness(self, setting: PrioritySetting, stream: Stream) -> Json:
        return self._excess(setting, stream)[1]

    def control(self, setting: PrioritySetting) -> tuple[Control[PrioritySetting], ...]:
        return (
            Control("priorities on columns", replace(setting, on="columns")),
            Control("no priorities", replace(setting, on="nothing")),
        )


class PrioritiesEqualise(Theorem[PrioritySetting]):
    """At an interior equilibrium (every policy and every group in play) c_z regret_z is the same for all groups, by
    complementary slackness. Games are near-symmetric (zero diagonal, other entries within 10 % of 10, priorities
    within 10 %), whose equilibrium is interior; a draw whose LP solution is not is drawn again.

    Value: spread of c_z regret_z relative to the value.
    """

    claim_id, paper, source = "priorities-equalise", PAPER.name, f"{ARXIV}, section 5 (weighted regret tuples)"
    statement = "At an interior optimum all groups have the same weighted regret."
    SETTINGS = {"as_stated": Variant(PrioritySetting())}

    def bound(self, setting: PrioritySetting) -> Bound:
        return EveryDraw(1e-8)

    def draw(self, setting: PrioritySetting, stream: Stream) -> float:
        for attempt in range(20):
            own = stream.child(f"attempt/{attempt}")
            R = (10.0 + own.child("entries").uniforms((3, 3))) * (1.0 - np.eye(3))
            c = 0.9 + 0.2 * own.child("priorities").uniforms(3)
            solved = game_value(R * (c[:, None] if setting.on == "rows" else 1.0))
            if min(solved.weights.min(), solved.adversary.min()) > 1e-6:
                break
        weighted = c * (R @ solved.weights)
        return float((weighted.max() - weighted.min()) / weighted.mean())

    def control(self, setting: PrioritySetting) -> tuple[Control[PrioritySetting], ...]:
        return (Control("no priorities in the game", replace(setting, on="nothing")),)


class PrioritiesMonotone(Theorem[PrioritySetting]):
    """If the optimum is unique, raising c_z cannot raise group z's regret: were it to rise, the old weights would
    beat the new ones at the new priorities or the new ones the old at the old (derivation by exchange).

    Value: the rise of group z's regret when c_z is doubled, relative; largest over z.
    """

    claim_id, paper, source = "priorities-monotone", PAPER.name, f"{ARXIV}, section 5 (weighted regret tuples)"
    statement = "Raising a group's priority does not raise its regret."
    SETTINGS = {"as_stated": Variant(PrioritySetting())}

    def bound(self, setting: PrioritySetting) -> Bound:
        return EveryDraw(1e-8)

    def draw(self, setting: PrioritySetting, stream: Stream) -> float:
        L, c = _discrepancy(stream), random_priorities(3, stream.child("priorities"), spread=2.0)
        R = regret_matrix(L, 1.0).values[1:]
        before = R @ game_value(_weighted(L, c, setting.on)).weights
        rise = []
        for z in range(3):
            raised = c * np.where(np.arange(3) == z, 2.0, 1.0)
            after = R @ game_value(_weighted(L, raised, setting.on)).weights
            rise.append(float(after[z] - before[z]))
        return max(rise) / float(np.abs(R).max())

    def control(self, setting: PrioritySetting) -> tuple[Control[PrioritySetting], ...]:
        return (Control("priorities on columns", replace(setting, on="columns")),)


THEOREMS = (
    PrioritiesOnRows(),
    PrioritiesEqualise(),
    PrioritiesMonotone(),
)
