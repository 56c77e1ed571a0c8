"""What may come of a pair under a fit that knows ties or levels: one is preferred, the other, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from sim.answer_kinds.events import TIE, Events, tie_events
from sim.answer_kinds.levels import Levels
from sim.preferences import FloatArray

# Of a pair (first, second).
Outcome: TypeAlias = Literal["first", "tie"]


def levels_told(told: Mapping[str, Any], thresholds: FloatArray) -> Levels:
    """The scale of a fit, without answers on it; told: `levels` of its summary."""
    names = tuple(told["names"])
    nothing = np.zeros(0, dtype=np.int64)
    return Levels(nothing, len(names), bool(told["around_zero"]), TIE in names, names, thresholds)


def outcome_events(
    outcome: Outcome, differences: FloatArray, further: tuple[str, ...], levels: Levels | None
) -> Events | None:
    """What each pair is answered by, whose log-likelihood is that of the outcome; None for a plain pair, which is
    sigma(z).

        Davidson:             P(first) = e^z / (e^z + 1 + e^(nu + z / 2)), P(tie) the last term's share
        ordered, with ties:   P(first) = sigma(z - c), P(tie) = sigma(c - z) - sigma(-c - z)

    c the lowest threshold: P(first) is that of all its levels together, as it is without ties, where c is 0.
    differences: (n, d) first minus second, a column for every further coefficient of the fit.  levels: the fit's.
    """
    if TIE in further:
        return tie_events(
            differences[:, : differences.shape[1] - len(further)], np.full(len(differences), outcome == TIE)
        )
    if levels is None or not levels.around_zero or not levels.ties:
        return None
    assert levels.thresholds is not None
    if outcome == TIE:
        return levels.events(differences, levels.thresholds, np.zeros(len(differences), dtype=np.int64))
    n = len(differences)
    lowest = np.full(n, -levels.thresholds[0])
    return Events(differences, np.arange(n + 1), np.arange(n), np.ones(n), lowest, np.zeros(n))
