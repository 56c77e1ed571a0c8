"""The dials of the best-of-n study, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sim.studies.experiments.best_of_n.responses import require_features
from sim.studies.setting_checks import Count, Extended, check_kinds, require_share


@dataclass(frozen=True)
class BestOfNSetting:
    """Reward heads learned from `answers` comparisons, then used to pick the best of `n` responses to each prompt.

    Responses have `directions` features, the last `rare` of which the usual ones hardly vary (standard deviation
    `tau`): other languages, refusals, loops. A share `odd` of what a model writes varies them with `reach`. The other
    directions have the spectrum and the tails of hidden states: variances j^-decay, and Student's t with `tail`
    degrees of freedom (infinite: normal).  file: a user's own features in their place (a .npy table, a response a row,
    or a file of the features cache): leading directions, and the share `odd` farthest out in the last of them.

    Rewards are x' Theta phi, x ~ N(0, I) in `contexts` dimensions, Theta of rank `rank`, such that differences of
    usual responses have standard deviation `spread`, nats.  Answers, Bradley-Terry, compare usual responses alone.
    prompts: covered, whose candidates are usual too; uncovered, whose candidates are whatever the model writes, and the
    rare directions are worth nothing; rewarding, the same where they are worth as much as others.
    pool: candidates of a prompt of which n are the first.  scale: of the pessimistic sets' radius.
    """

    contexts: int = 6
    directions: int = 18
    rare: Count = 6
    rank: int = 2
    answers: int = 2000
    n: int = 16
    pool: int = 256
    targets: int = 60
    prompts: Literal["covered", "uncovered", "rewarding"] = "uncovered"
    odd: float = 0.05
    tau: float = 0.05
    reach: float = 1.0
    decay: float = 1.0
    tail: Extended = 5.0
    spread: float = 1.5
    ridge: float = 1e-4
    delta: float = 0.1
    scale: float = 1.0
    file: str | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        for name in ("tau", "reach", "spread", "ridge", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")
        require_share(odd=self.odd)
        if not 0.0 < self.delta < 1.0:
            raise ValueError(f"delta must lie between 0 and 1 (got {self.delta})")
        if self.decay < 0 or not self.tail > 2.0:
            raise ValueError(f"decay must not be negative, and tail above 2 (got {self.decay} and {self.tail})")
        if self.rare >= self.directions:
            raise ValueError(f"rare must be below directions, {self.directions} (got {self.rare})")
        if self.rank > min(self.contexts, self.directions):
            raise ValueError(f"rank must be at most {min(self.contexts, self.directions)}, of contexts and directions")
        if self.n > self.pool:
            raise ValueError(f"n must be at most pool, {self.pool} (got {self.n})")
        if self.file is not None:
            # Workers may be in another folder.
            object.__setattr__(self, "file", str(Path(self.file).absolute()))
            require_features(self.file, self.directions, self.odd)

    def memory(self) -> int:
        """Bytes a replicate needs: answers, the pool of candidates, its part in the coordinates of the full fit."""
        free = self.contexts * self.directions
        candidates = self.targets * (self.pool * 4 * self.directions + self.n * 4 * free)
        return 8 * (self.answers * (6 * self.directions + 4 * self.contexts) + candidates + 4 * free * free
                    + self.directions**2 + self.contexts**2)  # fmt: skip
