"""Lotteries against linear programs of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.fairness import pareto_lottery
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import LEXIMIN, NASH
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV, DERIVED


@dataclass(frozen=True)
class LotterySetting(Setting):
    """levels: how many of leximin's levels the other programs raise, 0 for all.  options: alternatives are options
    alone, no lotteries over them."""

    replicates: int = 130
    levels: int = 0
    options: bool = False


class ParetoLottery(Theorem[LotterySetting]):
    """Definition 1 against every lottery, from both sides: tau = max_k max_p' (V p')_k / (V p)_k - 1 over p' with V p'
    >= V p, one linear program a party, written out here. Three parties, six options, utilities .2 to 1.2; p a random
    lottery, and one in three the Nash lottery, which is efficient: tau = 0 and weights whose sum it maximises. Value:
    the difference in tau, or what another option adds to the weighted sum, as a share of it. Control: options as the
    only alternatives."""

    claim_id, paper, source = "pareto-lottery", PAPER.name, f"{ARXIV}, Definition 1 with mixed strategies"
    statement = "tau is the largest share that any lottery gains a party at nobody's expense."
    SETTINGS = {"as_stated": Variant(LotterySetting())}

    def bound(self, setting: LotterySetting) -> Bound:
        return EveryDraw(1e-5)

    def draw(self, setting: LotterySetting, stream: Stream) -> float:
        from scipy.optimize import linprog

        table = 0.2 + stream.child("table").uniforms((3, 6))
        if stream.replicate % 3 == 0:
            p = best_lotteries(table[None], NASH).probabilities[0]
            found = pareto_lottery(table, p)
            if not found.efficient or found.weights is None or found.weights.min() <= 0:
                return 1.0
            worth = found.weights @ table
            return float(found.tau + worth.max() / (worth @ p) - 1.0)
        p = stream.child("lottery").generator().dirichlet(np.ones(6))
        own = table @ p
        if setting.options:
            most = np.array([max((a[k] for a in table.T if (a >= own).all()), default=own[k]) for k in range(3)])
        else:
            simplex = {"A_eq": np.ones((1, 6)), "b_eq": [1.0]}
            most = np.array([-linprog(-row, A_ub=-table, b_ub=-own, **simplex).fun for row in table])
        return abs(pareto_lottery(table, p).tau - float((most / own).max() - 1.0))

    def control(self, setting: LotterySetting) -> tuple[Control[LotterySetting], ...]:
        return (Control("options as the only alternatives", replace(setting, options=True)),)


class LeximinLottery(Theorem[LotterySetting]):
    """The leximin lottery level by level, by linear programs of sums: with the k smallest utilities' sum as max_t k t -
    sum_m max(t - u_m, 0), maximise the smallest, then the sum of the two smallest given it, then of three. Three
    parties, six options, utilities 0 to 1, but the first party gets .1 at most, from any of four options, and leaves
    the other levels to be decided. Value: the levels' differences in absolute value, one column a level.
    Control: programs that raise the first level alone, which leaves only the later columns wrong."""

    claim_id, paper, source = "leximin-lottery", PAPER.name, f"{DERIVED}, for section 4 (Leximin) with mixed strategies"
    statement = "The leximin lottery raises every level, the worst off first, as far as any lottery can."
    SETTINGS = {"as_stated": Variant(LotterySetting())}

    def bound(self, setting: LotterySetting) -> Bound:
        return EveryDraw(1e-5)

    @staticmethod
    def _sums(table: FloatArray, levels: int) -> FloatArray:
        """Utilities (M,) of a lottery whose sums of the 1, 2, ..., `levels` smallest are each the largest, in order."""
        from scipy.optimize import linprog

        M, A = table.shape
        # p (A), then for each level k its t (1) and what the parties fall short of it by (M).
        size = A + levels * (1 + M)
        rows, right = [], []
        for k in range(levels):
            for m in range(M):
                row = np.zeros(size)
                at = A + k * (1 + M)
                row[:A], row[at], row[at + 1 + m] = -table[m], 1.0, -1.0
                rows.append(row)
                right.append(0.0)
        whole = np.append(np.ones(A), np.zeros(size - A))[None]
        limits = [(0, None)] * A + ([(None, None)] + [(0, None)] * M) * levels
        for k in range(levels):
            goal = np.zeros(size)
            at = A + k * (1 + M)
            goal[at], goal[at + 1 : at + 1 + M] = k + 1.0, -1.0
            solved = linprog(-goal, A_ub=np.array(rows), b_ub=right, A_eq=whole, b_eq=[1.0], bounds=limits)
            rows.append(-goal)
            # Rounding must not leave the level itself out.
            right.append(solved.fun + 1e-9)
        return np.asarray(table @ solved.x[:A])

    def draw(self, setting: LotterySetting, stream: Stream) -> FloatArray:
        table = stream.child("table").uniforms((3, 6))
        table[0] *= 0.1
        table[0, :4] = 0.1
        found = best_lotteries(table[None], LEXIMIN).utilities[0]
        return np.asarray(np.abs(np.sort(found) - np.sort(self._sums(table, setting.levels or 3))))

    def control(self, setting: LotterySetting) -> tuple[Control[LotterySetting], ...]:
        return (Control("the first level alone", replace(setting, levels=1)),)


THEOREMS = (ParetoLottery(), LeximinLottery())
