"""The five answers a check can give."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What a check concluded."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    INCONCLUSIVE = "INCONCLUSIVE"
    VACUOUS = "VACUOUS"
    PREMISE_FAILED = "PREMISE_FAILED"

    @property
    def meaning(self) -> str:
        """One line for a reader."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.HOLDS: "the measurement lies within the bound, and a broken version was caught",
    Verdict.VIOLATED: "the measurement contradicts the bound",
    Verdict.INCONCLUSIVE: "the interval straddles the bound, or the check's measured power is below 0.8",
    Verdict.VACUOUS: "the largest possible value is within the bound, so nothing could contradict it",
    Verdict.PREMISE_FAILED: "a premise of the claim does not hold in this setting",
}
