"""Ordered levels: how much better (cumulative logit), tie or not (Rao and Kupper 1967), grades of one item.

With margin z = <theta, x> and logistic noise, an answer has level l where z + noise falls between the thresholds a < b
around l:  P = sigma(b - z) - sigma(a - z) = sigma(z - a) sigma(b - z) (1 - e^(a - b)).  An ordered answer is two plain
ones with offsets, and a constant of the thresholds: every method fits it by what fits choices.

Thresholds are common to all annotators and types and are fitted with the rewards, turn by turn: rewards at given
thresholds, thresholds at given rewards, both by the penalised likelihood of the method.  Of pairs they lie around
zero, of strengths 1..L (and ties): -c_{L-1}, ..., c_{L-1}; of grades anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sim.answer_kinds.events import Events
from sim.files.pair_table import PairTable
from sim.preferences import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Levels:
    """code: (n,) level of each answer.  n: number of levels in use.  around_zero: whether levels are of pairs (0 a tie
    where `ties`, else the least strength), or of one item each, from below.  thresholds: where they are set already."""

    code: IntArray
    n: int
    around_zero: bool
    ties: bool
    names: tuple[str, ...]
    thresholds: FloatArray | None = None

    @property
    def n_thresholds(self) -> int:
        """Of pairs: those above zero; of grades: all."""
        return self.n - 1

    def of(self, rows: BoolArray) -> Levels:
        """Those of the masked answers."""
        return replace(self, code=self.code[rows])

    def bounds(self, thresholds: FloatArray, code: IntArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Thresholds below and above each answer's margin and noise; (n,) each, infinite at the ends."""
        own = self.code if code is None else code
        if self.around_zero and not self.ties:
            edges = np.concatenate([[0.0], thresholds, [np.inf]])
            return edges[own], edges[own + 1]
        if self.around_zero:
            edges = np.concatenate([[-thresholds[0]], thresholds, [np.inf]])
            return edges[own], edges[own + 1]
        edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
        return edges[own], edges[own + 1]

    def events(self, differences: FloatArray, thresholds: FloatArray, code: IntArray | None = None) -> Events:
        """Two plain answers each, one at the ends of the scale."""
        low, high = self.bounds(thresholds, code)
        n = len(low)
        # The lower bound first, then the upper: sigma(z - a), sigma(b - z).
        answer = np.repeat(np.arange(n), 2)
        sign = np.tile([1.0, -1.0], n)
        offset = np.stack([-low, high], axis=1).ravel()
        kept = np.isfinite(offset)
        m = int(kept.sum())
        with np.errstate(invalid="ignore"):
            constant = np.where(np.isfinite(low) & np.isfinite(high), np.log(-np.expm1(low - high)), 0.0)
        rows = (differences[answer] * sign[:, None])[kept]
        pull = differences * self.worth(code)[:, None]
        return Events(rows, np.arange(m + 1), answer[kept], np.ones(m), offset[kept], constant, pull=pull)

    def worth(self, code: IntArray | None = None) -> FloatArray:
        """How much each answer speaks for its first item: a strength from 1, 0 of a tie; a grade against the mean."""
        own = (self.code if code is None else code).astype(np.float64)
        if self.around_zero:
            return own if self.ties else own + 1.0
        return own - (own.mean() if len(own) else 0.0)

    def unseen(self) -> IntArray:
        """Levels that none of these answers has."""
        return np.flatnonzero(np.bincount(self.code, minlength=self.n) == 0)

    def share_of(self, thresholds: FloatArray, level: IntArray) -> FloatArray:
        """log P(level) of answers with a margin of zero; (len(level),)."""
        nothing = self.events(np.zeros((len(level), 1)), thresholds, level)
        return nothing.folded(np.zeros(len(nothing.rows)))

    def start(self) -> FloatArray:
        """Thresholds that give each level its share where all margins are zero; (n_thresholds,)."""
        counts = np.bincount(self.code, minlength=self.n) + 0.5
        shares = counts / counts.sum()
        if self.around_zero:
            # Half of what lies beyond |c| on either side: P(|noise| < c) = 2 sigma(c) - 1.
            inside = np.cumsum(shares)[:-1]
            return np.log((1.0 + inside) / (1.0 - inside))
        below = np.cumsum(shares)[:-1]
        return np.log(below / (1.0 - below))

    def allows(self, thresholds: FloatArray) -> bool:
        """Whether they ascend, above zero where they lie around it."""
        first = thresholds[0] > 0.0 if self.around_zero and len(thresholds) else True
        return bool(first and (np.diff(thresholds) > 0.0).all())

    def packed(self, thresholds: FloatArray) -> FloatArray:
        """Free numbers: the first threshold (its logarithm where it must be positive), logarithms of the steps."""
        steps = np.log(np.diff(thresholds))
        first = np.log(thresholds[0]) if self.around_zero else thresholds[0]
        return np.concatenate([[first], steps])

    def unpacked(self, free: FloatArray) -> FloatArray:
        """The thresholds of `packed` numbers, ascending."""
        own = np.clip(free, -30.0, 30.0)
        first = np.exp(own[0]) if self.around_zero else free[0]
        return np.asarray(first + np.concatenate([[0.0], np.cumsum(np.exp(own[1:]))]))


def levels_of(table: PairTable, likelihood: str) -> Levels | None:
    """The levels of a table's answers under an ordered likelihood; levels that nobody uses are left out."""
    if table.grade is not None:
        return Levels(table.grade, len(table.grades), False, False, table.grades)
    if likelihood not in ("rao-kupper", "cumulative-logit"):
        return None
    tie = np.zeros(len(table), dtype=np.bool_) if table.tie is None else table.tie
    strength = np.ones(len(table), dtype=np.int64)
    if likelihood == "cumulative-logit" and table.strength is not None:
        strength = table.strength
    raw = np.where(tie, 0, strength)
    used, code = np.unique(raw, return_inverse=True)
    names = tuple("tie" if level == 0 else f"strength {level}" for level in used)
    return Levels(code, len(used), True, bool(tie.any()), names)


def best_thresholds(levels: Levels, score: Callable[[FloatArray], float], start: FloatArray) -> FloatArray:
    """argmax of score(thresholds), from `start`.

    A level that none of the answers has (others may) is held open as by half an answer with a margin of zero.
    """
    if not levels.n_thresholds:
        return start
    from scipy.optimize import minimize

    unseen = levels.unseen()

    def loss(free: FloatArray) -> float:
        at = levels.unpacked(free)
        held_open = 0.5 * float(levels.share_of(at, unseen).sum()) if len(unseen) else 0.0
        return -score(at) - held_open

    found = minimize(loss, levels.packed(start), method="L-BFGS-B", options={"maxiter": 50})
    return levels.unpacked(found.x)
