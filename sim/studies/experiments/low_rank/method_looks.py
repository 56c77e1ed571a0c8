"""What the low-rank studies' figures share: words, colours and curves of methods and shifts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sim.preferences import FloatArray
from sim.studies.experiments.low_rank.method_names import MethodName
from sim.studies.plots import curve
from sim.studies.precision import half_width
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


def complete(
    results: Results, cells: Mapping[Any, Mapping[str, Any]], *wanted: tuple[str, str]
) -> dict[Any, str]:  # fmt: skip
    """level -> its cell (cells: level -> all its factors), of those alone where every (method, metric) was measured: a
    cell may have failed, and a study of somebody's own may leave a method out."""
    found = {level: results.cells(**factors)[:1] for level, factors in cells.items()}
    there = {level: own[0] for level, own in found.items() if own}
    return {level: own for level, own in there.items() if results.paired(*((own, *one) for one in wanted)).size}


def ratio(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Ratio of the means of paired values and half its 95 % interval (delta method); nan: not known, and nothing is
    drawn."""
    if not second.mean():
        return math.nan, math.nan
    found = float(first.mean() / second.mean())
    return found, half_width((first - found * second) / second.mean())


def numeric_factors(results: Results) -> list[str]:
    """Factors with several levels, all numbers."""
    found = {name: results.levels(name) for name in results.factors}
    return [n for n, own in found.items() if len(own) > 1 and all(isinstance(v, int | float) for v in own)]
