"""What the low-rank studies say in numbers: tables, constants tuned fairly, paired differences, crossings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiments.low_rank.method_names import PESSIMISTIC, MethodName, names_in
from sim.studies.precision import told, yes_no
from sim.studies.results import Results
from sim.studies.summary import pipe_table

_OF_POLICIES = ("regret", "value", "exotic", "bound", "gap", "regret/strangers")
_OF_ESTIMATES = ("error", "error/common", "covers", "C*", "rank", "free", "agreement", "agreement/strangers")


@dataclass(frozen=True, eq=False)
class Tuned:
    """scale: the best multiple of the radius on even replicates.  own, at_one: regret of odd replicates at it, and at
    1 (nothing where 1 was not tried)."""

    scale: float
    own: FloatArray
    at_one: FloatArray


def tune(results: Results, cell: str, estimator: str, kind: str, metric: str = "regret") -> Tuned | None:
    """Each method's constant chosen on one half of the seeds and judged on the other, so that no method gains from
    having been tuned on what it is judged by; None if there is nothing to choose from."""
    tried = {
        name.scale: results.of(cell, name.text, metric)
        for name in names_in(results)
        if (name.estimator, name.kind) == (estimator, kind)
    }
    tried = {scale: found for scale, found in tried.items() if len(found) >= 2}
    if not tried:
        return None
    best = min(tried, key=lambda scale: float(tried[scale][::2].mean()))
    return Tuned(best, tried[best][1::2], tried.get(1.0, np.empty(0))[1::2])


@dataclass(frozen=True)
class Crossing:
    """Where the difference of two curves changes sign, with a 95 % bootstrap interval; inf: beyond the last x, 0: below
    the first."""

    at: float
    low: float
    high: float


def crossing(x: Sequence[float], difference: FloatArray, stream: Stream, draws: int = 1000) -> Crossing:
    """difference (len(x), replicates), paired, first method minus second: the x above which the second is better.

    Linear in log x between grid points, from the right: the last sign change. Replicates are resampled whole, so that
    what the x share stays shared.
    """
    log_x = np.log(np.asarray(x, dtype=np.float64))
    count = difference.shape[1]
    chosen = stream.child("bootstrap").integers(count, (draws, count))
    several = [_last_change(log_x, difference[:, own].mean(axis=1)) for own in chosen]
    low, high = np.quantile(several, [0.025, 0.975], method="nearest")
    return Crossing(_last_change(log_x, difference.mean(axis=1)), float(low), float(high))


def _last_change(log_x: FloatArray, gap: FloatArray) -> float:
    if gap[-1] <= 0:
        return float("inf")
    for i in range(len(gap) - 2, -1, -1):
        if gap[i] <= 0:
            return float(np.exp(log_x[i] + (log_x[i + 1] - log_x[i]) * gap[i] / (gap[i] - gap[i + 1])))
    return 0.0


def slope(x: Sequence[float], y: FloatArray) -> tuple[float, float]:
    """Log-log slope of the mean of y (len(x), replicates), and half its 95 % bootstrap interval's width over
    replicates."""
    log_x = np.log(np.asarray(x, dtype=np.float64))
    chosen = Stream(0, "slope").child("bootstrap").integers(y.shape[1], (500, y.shape[1]))
    several = [np.polyfit(log_x, np.log(y[:, own].mean(axis=1)), 1)[0] for own in chosen]
    low, high = np.quantile(several, [0.025, 0.975])
    return float(np.polyfit(log_x, np.log(y.mean(axis=1)), 1)[0]), float(high - low) / 2


def table_low_rank(results: Results, factors: Sequence[str]) -> str:
    """Policies, then estimates, then every pessimistic method at its own best constant beside constant 1."""
    of_policies = _metrics_table(results, factors, _OF_POLICIES, lambda method: method != "truth" and (
        MethodName.parse(method) is not None or method in ("uniform", "behaviour")))  # fmt: skip
    of_estimates = _metrics_table(
        results, factors, _OF_ESTIMATES, lambda method: MethodName.parse(method) is None and method not in
        ("truth", "uniform", "behaviour"), seconds=True)  # fmt: skip
    text = f"{of_policies}\nEstimates (seconds: median, fit and confidence set)\n\n{of_estimates}"
    tuned = _tuned_table(results, factors)
    words = "Regret at each method's best multiple of the radius, chosen on even seeds, on odd ones; beside multiple 1"
    return f"{text}\n{words}\n\n{tuned}" if tuned else text


def _metrics_table(
    results: Results, factors: Sequence[str], metrics: Sequence[str], wanted: Callable[[str], bool],
    seconds: bool = False,
) -> str:  # fmt: skip
    found, shares = results.measured(), yes_no(results)
    methods = [method for method in found.by("method") if wanted(method)]
    there = {metric for method, metric in found.by("method", "metric") if method in methods}
    used = [name for name in metrics if name in there]
    body = []
    for cell, rows in found.by("cell_id").items():
        levels = [str(rows[name][0]) for name in factors]
        for method in methods:
            values = [found.of(cell, method, name) for name in used]
            if any(own.size for own in values):
                line = [*levels, method]
                line += [told(own, share=name in shares) for name, own in zip(used, values, strict=True)]
                body.append((*line, f"{found.seconds(cell, method):.3g}") if seconds else tuple(line))
    return pipe_table((*factors, "method", *used, *(["seconds"] if seconds else [])), body)


def _tuned_table(results: Results, factors: Sequence[str]) -> str:
    pessimistic = [name for name in names_in(results) if name.kind in PESSIMISTIC]
    if len({name.scale for name in pessimistic}) < 2:
        return ""
    kinds = list(dict.fromkeys((name.estimator, name.kind) for name in pessimistic))
    body = []
    for cell, rows in results.measured().by("cell_id").items():
        for estimator, kind in kinds:
            found = tune(results, cell, estimator, kind)
            if found is not None and found.own.size:
                body.append(
                    (*(str(rows[name][0]) for name in factors), f"{estimator}/{kind}", f"{found.scale:g}",
                     told(found.own), told(found.at_one))
                )  # fmt: skip
    return pipe_table((*factors, "method", "best multiple", "regret at it", "regret at 1"), body)
