"""The dials of the study of prompts that depend on the type."""

from __future__ import annotations

from dataclasses import dataclass

from sim.arguments import require_count
from sim.studies.setting_checks import check_kinds


@dataclass(frozen=True)
class PromptsSetting:
    """Types of annotators meet different prompts: what EM makes of it, with and without an estimate of that.

    correlation: c in 0..1; a type's prompts are of its own part with probability c, of any part otherwise (0 is
    Assumption 1, 1 parts that never meet).  answers: of each annotator.  prompts: in all, split evenly between types;
    responses: of each, with `features` normal features.  mixture: shares of types.  taste: length of a type's theta.
    strengths: of the prior of `PromptLaws`, in answers a type, each a method of its own.  ridge: of every fit.
    beta: of the policies whose regret is measured.  restarts: of EM.
    """

    correlation: float = 0.0
    annotators: int = 100
    answers: int = 4
    prompts: int = 20
    responses: int = 5
    features: int = 3
    mixture: tuple[float, ...] = (0.7, 0.3)
    taste: float = 1.5
    strengths: tuple[float, ...] = (5.0, 50.0, 500.0)
    ridge: float = 0.02
    beta: float = 1.0
    restarts: int = 4

    def __post_init__(self) -> None:
        check_kinds(self)
        if not 0 <= self.correlation <= 1:
            raise ValueError(f"correlation must lie in 0..1 (got {self.correlation})")
        for name in ("annotators", "answers", "features", "restarts"):
            require_count(name, getattr(self, name))
        require_count("responses", self.responses, 2)
        if not 2 <= len(self.mixture) <= self.annotators or min(self.mixture) <= 0 or abs(sum(self.mixture) - 1) > 1e-9:
            raise ValueError(f"mixture must be 2 to `annotators` positive shares that sum to 1 (got {self.mixture})")
        if self.prompts < len(self.mixture):
            raise ValueError(f"prompts must be at least {len(self.mixture)}, one a type (got {self.prompts})")
        if min(self.strengths, default=0.0) <= 0 or min(self.ridge, self.beta, self.taste) <= 0:
            raise ValueError("strengths (at least one), ridge, beta and taste must be positive")

    def memory(self) -> int:
        """Bytes a replicate needs: answers with features and scores, and the world."""
        return 8 * (
            self.annotators * self.answers * (6 + 4 * self.features + 6 * len(self.mixture))
            + self.prompts * self.responses * (self.features + 3 * len(self.mixture))
        )
