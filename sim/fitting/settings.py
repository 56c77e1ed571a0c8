"""What a fit is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias, get_args

from sim.answer_kinds.kinds import LIKELIHOODS, AskedLikelihood
from sim.arguments import require_count, require_positive
from sim.errors import InputError
from sim.files.atomic import Json

# What is held out to score by, and what may be asked for.
HoldOut: TypeAlias = Literal["answers", "items", "prompts", "people"]
AskedHoldOut: TypeAlias = Literal["auto"] | HoldOut
HOLD_OUTS = ("auto", *get_args(HoldOut))


@dataclass(frozen=True)
class FitSettings:
    """method: a name of ours or module:NAME.  n_types: number of types or clusters, or the rank; None: chosen on
    held-out training answers, up to max_types (ranks of `low-rank` to 12 where that is 8 or more).  ridge None: chosen
    likewise.  restarts: random starts of the final fit.  beta: temperature of the policies whose regret is reported
    (margins and scores do not depend on it).  priorities: one positive number a type, for MinMax, only for methods of
    types.  shift: a region of items that training leaves out, see `sim.fitting.diagnostics.serving.region_of`.
    hold_out: what is held out where the file has no split, and in choosing; auto: by how items recur, see
    `sim.fitting.splits`.  likelihood: of answers given rewards; auto: the one that uses all they say.
    beside: names of further methods to fit and score with it.
    folds: cross-validation over people beside the fit, in so many parts; None: none.
    features: columns of the file, or of the items' texts: words, or what an encoder that `fit`
    is given makes of them (its name, for the record).

    Errors: ValueError names the argument; what does not go with the method, `fit` refuses.
    """

    method: str = "em-dpo"
    n_types: int | None = None
    max_types: int = 8
    restarts: int = 10
    ridge: float | None = None
    beta: float = 0.1
    priorities: tuple[float, ...] | None = None
    shift: str | None = None
    hold_out: AskedHoldOut = "auto"
    likelihood: AskedLikelihood = "auto"
    features: str = "columns"
    folds: int | None = None
    beside: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_types is not None:
            require_count("n_types", self.n_types)
        require_count("max_types", self.max_types)
        if self.folds is not None:
            require_count("folds", self.folds, 2, 100)
        require_count("restarts", self.restarts, 1, 10_000)
        if self.ridge is not None:
            require_positive(ridge=self.ridge)
        require_positive(beta=self.beta)
        if self.hold_out not in HOLD_OUTS:
            raise InputError(f"hold_out: expected one of {', '.join(HOLD_OUTS)}, got '{self.hold_out}'", fix="give one")
        if self.likelihood not in LIKELIHOODS:
            known = ", ".join(LIKELIHOODS)
            raise InputError(f"likelihood: expected one of {known}, got '{self.likelihood}'", fix="give one")
        if self.priorities is not None and not (self.priorities and all(0 < c < float("inf") for c in self.priorities)):
            given = ", ".join(f"{c:g}" for c in self.priorities) or "none"
            raise InputError(
                f"priorities: expected positive numbers, got {given}", fix="give one positive number a type"
            )

    def as_json(self) -> dict[str, Json]:
        """As a file has them: lists for tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
