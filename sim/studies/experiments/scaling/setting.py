"""The dials of the scaling study."""

from __future__ import annotations

from dataclasses import dataclass

from sim.studies.setting_checks import check_kinds, require_choice

BUDGETS = ("per_party", "total")


@dataclass(frozen=True)
class ScalingSetting:
    """One state, `actions` with a feature vector each; parties with unit rewards over a common subspace.

    budget: per_party, `answers` a party whatever their number; total, `answers` in all, divided among them.
    coverage_power: an action is shown with weight u^k, u uniform (0: all alike); then the more parties, the more likely
    one of them dislikes most what is hardly ever shown, and the coverage coefficient grows.  shared_worst: one action
    is everybody's worst (a control: coverage stays).
    """

    parties: int = 4
    answers: int = 400
    budget: str = "per_party"
    actions: int = 24
    dimension: int = 8
    rank: int = 2
    sharpness: float = 8.0
    coverage_power: float = 0.0
    shared_worst: bool = False

    def __post_init__(self) -> None:
        check_kinds(self)
        require_choice("budget", self.budget, BUDGETS)
        if self.coverage_power < 0 or not self.sharpness > 0:
            raise ValueError("coverage_power must not be negative, sharpness must be positive")
