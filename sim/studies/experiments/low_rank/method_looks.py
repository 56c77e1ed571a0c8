"""What the low-rank studies' figures share: words, colours and curves of methods and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.preferences import FloatArray
from sim.studies.experiments.low_rank.method_names import MethodName
from sim.studies.plots import curve
from sim.studies.precision import student_half
from sim.studies.results import Results

LOW, FULL, BIC, ORACLE, CONTEXT_FREE = (
    MethodName(name, "distributional", 1.0) for name in ("low", "full", "bic", "oracle", "context_free")
)
# method -> (words, number of its colour and marker); the same in every figure.
POLICIES = {
    LOW: ("pessimistic, reduced (PRS)", 0),
    FULL: ("pessimistic, full rank", 1),
    MethodName("low", "pointwise", 1.0): ("PRS, each context alone", 5),
    MethodName("full", "pointwise", 1.0): ("full rank, each context alone", 4),
    MethodName("low", "greedy", 0.0): ("greedy, low rank", 2),
    MethodName("full", "greedy", 0.0): ("greedy, full rank", 3),
    CONTEXT_FREE: ("pessimistic, context-free", 6),
}
WITH_CONTEXT = [name for name in POLICIES if name.estimator != "context_free"]
SHIFTS = {
    "exotic": "exotic actions", "none": "no shift", "context": "exotic actions, contexts hardly varied",
    "mean": "exotic actions, other mean context", "isotropic": "uneven training, even targets",
    "uncovered": "features never varied",
}  # fmt: skip


def curves(axes: Any, results: Results, x: str, metric: str, methods: Sequence[MethodName]) -> None:
    """A line a method of POLICIES; greedy ones dashed."""
    for name in methods:
        label, number = POLICIES[name]
        curve(axes, results, x, metric, label, number, dashed=name.kind == "greedy", method=name.text)


def ratio(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Ratio of the means of paired values and half its 95 % interval (delta method)."""
    found = float(first.mean() / second.mean())
    return found, student_half((first - found * second) / second.mean())


def numeric_factors(results: Results) -> list[str]:
    """Factors with several levels, all numbers."""
    found = {name: results.levels(name) for name in results.factors}
    return [n for n, own in found.items() if len(own) > 1 and all(isinstance(v, int | float) for v in own)]
