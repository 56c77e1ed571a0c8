"""The dials of the representation studies."""

from __future__ import annotations

from dataclasses import dataclass

from sim.estimators.party_rewards import PartyMethod
from sim.studies.setting_checks import check_kinds, require_share

METHODS: tuple[PartyMethod, ...] = ("shared", "separate", "pooled", "oracle")


@dataclass(frozen=True)
class RepresentationSetting:
    """theta_m = sqrt(1 - w^2) U alpha_m + w e_m, |alpha_m| = 1, e_m a unit vector off the subspace, w = `violation`.

    answers: a party.  fit_rank: the rank that is fitted, whatever the true one.  outlier_share: parties with w = 1.
    permuted: answers reshuffled over parties (a control: nothing to share but the mean).  ridge: of every method's
    penalty, on sums over a party's answers.
    """

    parties: int = 32
    answers: int = 150
    dimension: int = 16
    rank: int = 2
    fit_rank: int = 2
    violation: float = 0.0
    outlier_share: float = 0.0
    permuted: bool = False
    ridge: float = 1.0

    def __post_init__(self) -> None:
        check_kinds(self)
        require_share(violation=self.violation, outlier_share=self.outlier_share)
        if not self.ridge > 0:
            raise ValueError(f"ridge must be positive (got {self.ridge})")
        if self.rank >= self.dimension or self.fit_rank > self.dimension:
            raise ValueError(f"ranks must be below the dimension (got {self.rank}, {self.fit_rank}, {self.dimension})")

    def memory(self) -> int:
        """Bytes a replicate needs: answers, their copies, and rewards."""
        M, n, d = self.parties, self.answers, self.dimension
        return 8 * (4 * M * n * d + 8 * M * d + 120 * M + 2 * d * d)
