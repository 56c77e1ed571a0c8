"""The names of the low-rank studies' policies, written and read in one place."""

from __future__ import annotations

from dataclasses import dataclass

from sim.studies.results import Results

PESSIMISTIC = ("distributional", "pointwise")
KL = "kl"


@dataclass(frozen=True)
class MethodName:
    """A policy: whose estimate, which kind, at which multiple of the radius; beta, of the KL-regularised kind alone."""

    estimator: str
    kind: str
    scale: float
    beta: float | None = None

    @property
    def text(self) -> str:
        """As in results: "low/distributional/c=1", "low/kl/beta=0.1/c=0"."""
        strength = "" if self.beta is None else f"/beta={self.beta:g}"
        return f"{self.estimator}/{self.kind}{strength}/c={self.scale:g}"

    @classmethod
    def parse(cls, text: str) -> MethodName | None:
        """None of estimators and of policies without a radius (uniform, behaviour)."""
        head, mark, scale = text.rpartition("/c=")
        if not mark:
            return None
        estimator, _, kind = head.partition("/")
        kind, _, beta = kind.partition("/beta=")
        return cls(estimator, kind, float(scale), float(beta) if beta else None)


def names_in(results: Results) -> list[MethodName]:
    """The policies that were measured, in order."""
    return [name for name in map(MethodName.parse, results.measured().by("method")) if name is not None]


def with_names(results: Results) -> Results:
    """The policies' rows with the columns estimator, kind, scale and beta."""
    names = {text: MethodName.parse(text) for text in results.by("method")}
    policies = Results.from_rows(row for row in results.rows() if names[row["method"]] is not None)
    own = [names[method] for method in policies["method"]] if len(policies) else []
    parts = ("estimator", "kind", "scale", "beta")
    return policies.with_columns(**{part: [getattr(name, part) for name in own] for part in parts})
