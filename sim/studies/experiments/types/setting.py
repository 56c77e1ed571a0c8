"""The dials of the study of types in a world of any kind."""

from __future__ import annotations

from dataclasses import dataclass

from sim.environments.registry import find_environment
from sim.studies.setting_checks import check_kinds


@dataclass(frozen=True)
class TypesSetting:
    """Annotators of a world's unobserved types answer pairs; who finds them, and whom does that serve?

    environment: a world of ours by name, or module:NAME of one's own.  answers: of each annotator, to learn from;
    test_answers: more of hers, to score by.  mixture: shares of the types, equal if none.  types: how many to look for;
    the world's own number if none.  ridge: of every fit, a unit of weight.  restarts: of EM.
    """

    environment: str = "opposed_tastes"
    annotators: int = 100
    answers: int = 10
    test_answers: int = 20
    mixture: tuple[float, ...] | None = None
    types: int | None = None
    ridge: float = 0.01
    restarts: int = 5

    def __post_init__(self) -> None:
        check_kinds(self)
        world = find_environment(self.environment)
        if self.mixture is not None and len(self.mixture) != world.n_types:
            raise ValueError(f"mixture must have {world.n_types} shares, one a type of {self.environment}")
        if self.ridge <= 0:
            raise ValueError(f"ridge must be positive (got {self.ridge})")
        if (self.types or world.n_types) > self.annotators:
            raise ValueError(f"types must not exceed the {self.annotators} annotators")
