"""The dials of the pessimism study."""

from __future__ import annotations

from dataclasses import dataclass

from sim.studies.setting_checks import check_kinds

# The multiples of the parties' own errors that are tried; below 0: optimism.
MULTIPLIERS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class PessimismSetting:
    """One state, `actions` without common features; a party's gain of an action is a number in [0, 1].

    Each party compares every action with a status quo, which everybody likes least: `well` times for the first `known`
    actions, `few` times for the others. expert: the known actions are good ones (gains uniform on [.5, 1], the others'
    on [0, .6]), as where answers come from people who chose what to show; otherwise all are uniform on [0, 1]. Answers
    Bradley-Terry at `sharpness` times the gain; the fits' ridge is small, so that few answers give wild estimates.
    """

    parties: int = 3
    actions: int = 20
    known: int = 4
    expert: bool = True
    well: int = 2000
    few: int = 20
    sharpness: float = 3.0
    ridge: float = 0.05

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.known >= self.actions:
            raise ValueError(f"known must be below actions, {self.actions} (got {self.known})")
        if not (self.sharpness > 0 and self.ridge > 0):
            raise ValueError("sharpness and ridge must be positive")

    def memory(self) -> int:
        """Bytes a replicate needs: one-hot answers, their copies, and covariances."""
        M, A = self.parties, self.actions
        n = self.known * self.well + (A - self.known) * self.few
        return 8 * (2 * M * n * A + 3 * M * A * A)


def method_of(multiple: float) -> str:
    """The name of the method at that multiple of the radius."""
    return f"z={multiple:g}"
