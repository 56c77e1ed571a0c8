"""Claims about group priorities (arXiv 2405.15065, Algorithm 2, step 5, and section 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from sim.algorithms.hedge import game_value
from sim.algorithms.minmax_dpo import MinMaxResult, weigh
from sim.algorithms.regret import discrepancy
from sim.algorithms.von_neumann import solve_exactly
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import (
    ARXIV,
    optimal_tables,
    random_instance,
    random_priorities,
    value_of_rows,
)

# The types' optima and their discrepancies.
Instance: TypeAlias = tuple[list[SoftmaxTable], FloatArray]


@dataclass(frozen=True)
class PrioritySetting(Setting):
    """on: what the group priorities multiply."""

    replicates: int = 150
    on: Literal["rows", "columns", "nothing"] = "rows"


_ROUNDS = 10_000


def _weigh(instance: Instance, priorities: FloatArray, on: str, rounds: int = 1) -> MinMaxResult:
    """MinMax-DPO with the priorities where `on` says."""
    policies, L = instance
    if on == "rows":
        return weigh(policies, L, beta=1.0, priorities=priorities, rounds=rounds)
    if on == "columns":
        # The matrix is the diagonal less L: this L's has column k times c_k.
        L = -(np.diag(L)[:, None] - L) * priorities[None, :]
    return weigh(policies, L, beta=1.0, rounds=rounds)


def _instance(stream: Stream) -> Instance:
    """The types' optima and their discrepancies."""
    environment = random_instance(stream, n_actions=5)
    policies = optimal_tables(environment, 1.0)
    return policies, discrepancy(policies, np.arange(4), environment.context_probabilities)


def _own_regrets(L: FloatArray) -> FloatArray:
    """L_zz - L_zk, without a priority; (K, K)."""
    return np.asarray(np.diag(L)[:, None] - L)


class PrioritiesOnRows(Theorem[PrioritySetting]):
    """Algorithm 2, step 5 multiplies by an undefined w'_k. Read as a priority of the row's group it minimises
    max_z c_z regret_z; multiplying columns instead rescales the policies and misses that optimum.

    `weigh` of MinMax-DPO plays 10,000 rounds. Value: how far max_z c_z regret_z, of the groups' own regrets it reports,
    is from the optimum by linear program, over the range of the weighted matrix; also, if larger, how far c_z times
    those regrets are from the matrix written out here. The limit is the bound on Hedge's gap, (log 3 + log 4) / 10,000.
    """

    claim_id, paper, source = "priorities-on-rows", PAPER.name, f"{ARXIV}, Algorithm 2, step 5 (w'_k)"
    statement = "The weighted matrix's solution minimises the largest weighted regret."
    SETTINGS = {
        "as_printed": Variant(
            PrioritySetting(on="columns"), Verdict.VIOLATED, "w'_k, indexed by the policy, multiplies columns."
        ),
        "as_corrected": Variant(
            PrioritySetting(), Verdict.HOLDS, "c_z multiplies the row of group z.", attained=(0.25, 1.0)
        ),
    }

    def bound(self, setting: PrioritySetting) -> Bound:
        return EveryDraw((np.log(3) + np.log(4)) / _ROUNDS)

    def _excess(self, setting: PrioritySetting, stream: Stream) -> tuple[float, Json]:
        instance, c = _instance(stream), random_priorities(3, stream.child("priorities"))
        aim = np.concatenate([np.zeros((1, 3)), c[:, None] * _own_regrets(instance[1])])
        found = _weigh(instance, c, setting.on, _ROUNDS)
        best = value_of_rows(aim)
        weighted = aim @ found.weights
        reported = c * found.group_regret if setting.on == "rows" else weighted[1:]
        off = max(abs(float(weighted.max()) - best), float(np.abs(reported - weighted[1:]).max()))
        detail = {"priorities": c.tolist(), "weights": found.weights.tolist(), "optimum": best}
        return off / float(np.ptp(aim)), detail

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
    SETTINGS = {"as_stated": Variant(PrioritySetting(replicates=200))}

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
        instance, c = _instance(stream), random_priorities(3, stream.child("priorities"), spread=2.0)
        R = _own_regrets(instance[1])

        def regrets(priorities: FloatArray) -> FloatArray:
            # The game that MinMax-DPO builds, solved exactly: Hedge's weights would hide small rises in its gap.
            game = _weigh(instance, priorities, setting.on).regret.values[1:]
            return np.asarray(R @ solve_exactly(-game.T[None]).policy[0])

        before = regrets(c)
        rise = []
        for z in range(3):
            raised = c * np.where(np.arange(3) == z, 2.0, 1.0)
            rise.append(float(regrets(raised)[z] - before[z]))
        return max(rise) / float(np.abs(R).max())

    def control(self, setting: PrioritySetting) -> tuple[Control[PrioritySetting], ...]:
        return (Control("priorities on columns", replace(setting, on="columns")),)


def _filled(priorities: FloatArray) -> FloatArray:
    """w_k = max(0, 1 - t / c_k) with the t at which they add to 1: those of the largest priorities, as many as do."""
    order = np.argsort(-priorities)
    inverse = np.cumsum(1.0 / priorities[order])
    t = np.arange(len(priorities)) / inverse
    # With m in play t = (m - 1) / sum 1 / c; the largest such t is the one at which nobody else would come in.
    return np.asarray(np.maximum(0.0, 1.0 - t.max() / priorities))


class PrioritiesFill(Theorem[PrioritySetting]):
    """Where every group loses the same A under every other group's policy, max_k c_k A (1 - w_k) is least at
    w_k = max(0, 1 - t / c_k), t such that they add to 1: groups of small priority get nothing, and priorities (1, 2, 4)
    give weights (0, 1/3, 2/3). Every fourth draw has these priorities, the others random ones between 1/3 and 3.

    Value: largest difference of the game's exact solution from it.                                      [derived]
    """

    claim_id, paper, source = "priorities-fill", PAPER.name, f"{ARXIV}, section 5 (weighted regret tuples) [derived]"
    statement = "Among groups that lose alike, weights follow priorities, and a group of small priority has none."
    SETTINGS = {"as_stated": Variant(PrioritySetting(replicates=200))}

    def bound(self, setting: PrioritySetting) -> Bound:
        return EveryDraw(1e-8)

    def draw(self, setting: PrioritySetting, stream: Stream) -> float:
        policies, _ = _instance(stream)
        A = 1.0 + 20.0 * float(stream.child("loss").uniforms(1)[0])
        c = random_priorities(3, stream.child("priorities"), spread=3.0)
        if stream.replicate % 4 == 0:
            c = np.array([1.0, 2.0, 4.0])
        # Regrets are the diagonal less the discrepancies.
        game = _weigh((policies, A * np.eye(3)), c, setting.on).regret.values[1:]
        solved = solve_exactly(-game.T[None]).policy[0]
        return float(np.abs(solved - _filled(c)).max())

    def control(self, setting: PrioritySetting) -> tuple[Control[PrioritySetting], ...]:
        return (
            Control("no priorities", replace(setting, on="nothing")),
            Control("priorities on columns", replace(setting, on="columns")),
        )


THEOREMS = (
    PrioritiesOnRows(),
    PrioritiesEqualise(),
    PrioritiesMonotone(),
    PrioritiesFill(),
)
