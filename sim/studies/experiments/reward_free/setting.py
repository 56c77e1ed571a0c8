"""The dials of the study without rewards."""

from __future__ import annotations

from dataclasses import dataclass

from sim.studies.setting_checks import check_kinds, require_share


@dataclass(frozen=True)
class RewardFreeSetting:
    """Parties over `actions`; a share `cyclic` of them prefers round a circle of its own, the others are Bradley-Terry
    with rewards N(common, spread^2), common N(0, 1) for each action.

    Action 1 is dominated: every Bradley-Terry party likes it less than action 0 by at least .5, and the cyclic ones put
    0 ahead of it too. answers: a party's, about uniform pairs.
    """

    parties: int = 8
    actions: int = 6
    answers: int = 600
    cyclic: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        check_kinds(self)
        require_share(cyclic=self.cyclic)
        if self.actions < 3 or self.spread < 0:
            raise ValueError("at least 3 actions, and spread must not be negative")

    def memory(self) -> int:
        """Bytes a replicate needs: preferences and counts of pairs, and the differences the reward fit takes."""
        M, A = self.parties, self.actions
        return 8 * (6 * M * A * A + M * A * A * A + A * A * A)
