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

    @property
    def answers_each(self) -> int:
        """A party's answers."""
        return self.answers if self.budget == "per_party" else max(self.answers // self.parties, 8)

    def memory(self) -> int:
        """Bytes a replicate needs: answers, their copies, covariances, and pairs of actions in a party's metric."""
        M, n, A, d = self.parties, self.answers_each, self.actions, self.dimension + int(self.shared_worst)
        return 8 * (5 * M * n * d + 4 * M * d * d + 4 * M * A * A + 4 * M * A * d + 3 * A * d)
