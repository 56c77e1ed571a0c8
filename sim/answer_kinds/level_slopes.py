"""How the likelihood of ordered levels moves with their thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.answer_kinds.levels import Levels
from sim.preferences import BoolArray, FloatArray, IntArray


class ThresholdSlopes(NamedTuple):
    """T thresholds c of n answers whose events (`Levels.events`) have m rows.

    rows: (m, T) d offset / d c of each row, as if thresholds were coefficients common to all and these their features.
    constant: (n, T) d log(1 - e^(a - b)) / d c of each answer.  bent: (n,) q (1 + q), q = 1 / (e^(b - a) - 1), and
    apart: (n, T) d (b - a) / d c: minus the constant's second derivatives are bent_j apart_j apart_j'.
    held: (T, T) minus the second derivatives of half an answer with a margin of zero for each level that nobody has
    given, which holds it open (`best_thresholds`).
    """

    rows: FloatArray
    constant: FloatArray
    bent: FloatArray
    apart: FloatArray
    held: FloatArray


def threshold_slopes(levels: Levels, thresholds: FloatArray) -> ThresholdSlopes:
    """At the thresholds; see `ThresholdSlopes`."""
    rows, constant, bent, apart = _slopes(levels, thresholds, levels.code)
    held = np.zeros((len(thresholds), len(thresholds)))
    if len(unseen := levels.unseen()):
        own, _, curved, gap = _slopes(levels, thresholds, unseen)
        z = levels.events(np.zeros((len(unseen), 1)), thresholds, unseen).offset
        chance = 1.0 / (1.0 + np.exp(-z))
        held = 0.5 * ((own * (chance * (1.0 - chance))[:, None]).T @ own + (gap * curved[:, None]).T @ gap)
    return ThresholdSlopes(rows, constant, bent, apart, np.asarray(held))


def _slopes(
    levels: Levels, thresholds: FloatArray, code: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(rows, constant, bent, apart) of answers with these levels."""
    low, high = levels.bounds(thresholds, code)
    ends = np.isfinite(low), np.isfinite(high)
    of_low, of_high = (_edges(levels, len(thresholds), code, upper) for upper in (False, True))
    sides = np.stack([-of_low, of_high], axis=1).reshape(-1, len(thresholds))
    kept: BoolArray = np.stack(ends, axis=1).ravel()
    within = ends[0] & ends[1]
    q = np.zeros(len(code))
    q[within] = 1.0 / np.expm1(high[within] - low[within])
    apart = of_high - of_low
    return sides[kept], apart * q[:, None], q * (1.0 + q), apart


def _edges(levels: Levels, n: int, code: IntArray, upper: bool) -> FloatArray:
    """d bound / d threshold of each answer, (len(code), n): bounds are linear in thresholds, infinite ones constant."""
    with np.errstate(invalid="ignore"):
        moved = [levels.bounds(one, code)[upper] - levels.bounds(np.zeros(n), code)[upper] for one in np.eye(n)]
    return np.nan_to_num(np.stack(moved, axis=1), nan=0.0)
