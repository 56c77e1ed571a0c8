"""The dials of the profiles study."""

from __future__ import annotations

from dataclasses import dataclass

from sim.studies.setting_checks import check_kinds, require_choice

PROFILES = ("consensus", "polarised", "minority", "loud", "compromise")


@dataclass(frozen=True)
class ProfileSetting:
    """One state, gains of `parties` over `actions`, from what they have in common and what they have not.

    consensus: everybody near one taste.  polarised: two halves of opposite taste.  minority: a tenth (one party at
    least) opposed to the others.  loud: own tastes, the first party's scale tenfold.  compromise: each action is
    somebody's favourite (1) and nobody else's (0), the last gives everybody .45.  answers: a party's comparisons from
    which the rules learn.
    """

    profile: str = "polarised"
    parties: int = 10
    actions: int = 12
    answers: int = 400

    def __post_init__(self) -> None:
        check_kinds(self)
        require_choice("profile", self.profile, PROFILES)
        if self.actions < 3 or self.parties < 2:
            raise ValueError("a profile needs at least 2 parties and 3 actions")

    def memory(self) -> int:
        """Bytes a replicate needs: answers as one-hot differences, tables, and pairs of parties."""
        M, A, n = self.parties, self.actions, self.answers
        return 8 * (4 * M * n * A + 8 * M * A + 2 * M * M + A * A)
