"""What the low-rank studies say in numbers: tables, constants tuned fairly, paired differences, crossings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sim.preferences import FloatArray
from sim.studies.experiments.low_rank.method_names import PESSIMISTIC, MethodName, names_in
from sim.studies.precision import student_half, told, yes_no
from sim.studies.results import Results
from sim.studies.summary import pipe_table

# Points of a crossing's limits from one grid point to the next.
_BETWEEN = 33
_OF_POLICIES = ("regret", "value", "exotic", "bound", "gap", "regret/strangers")
_OF_ESTIMATES = ("error", "error/common", "covers", "C*", "rank", "free", "agreement", "agreement/strangers")


@dataclass(frozen=True, eq=False)
class Tuned:
    """scale: the best multiple of the radius on even replicates.  own, at_one: regret of odd replicates at it, and at
    1 (nothing where 1 was not tried)."""

    scale: float
    own: FloatArray
    at_one: FloatArray


def half_of(results: Results, cell: str, method: str, metric: str, *, odd: bool) -> FloatArray:
    """Values of the odd or of the even replicates, whichever of them are there."""
    own = results.at(cell, method, metric)
    chosen: FloatArray = own.values()[np.array(own["replicate"], dtype=np.int64) % 2 == odd]
    return chosen


def tune(results: Results, cell: str, estimator: str, kind: str, metric: str = "regret") -> Tuned | None:
    """Each method's constant chosen on one half of the seeds and judged on the other, so that no method gains from
    having been tuned on what it is judged by; None if there is nothing to choose from."""
    tried = {
        name.scale: tuple(half_of(results, cell, name.text, metric, odd=odd) for odd in (False, True))
        for name in names_in(results)
        if (name.estimator, name.kind) == (estimator, kind)
    }
    tried = {scale: halves for scale, halves in tried.items() if all(map(len, halves))}
    if not tried:
        return None
    best = min(tried, key=lambda scale: float(tried[scale][0].mean()))
    return Tuned(best, tried[best][1], tried[1.0][1] if 1.0 in tried else np.empty(0))


@dataclass(frozen=True)
class Crossing:
    """Where the difference of two curves changes sign, with its 95 % limits; inf: beyond the last x, 0: below the
    first, nan: not known."""

    at: float
    low: float
    high: float


def crossing(x: Sequence[float], difference: FloatArray) -> Crossing:
    """difference (len(x), replicates), paired, first method minus second: the x above which the second is better.

    Linear in log x between grid points, from the right: the last sign change. Its limits are where the two edges of
    Student's 95 % band around the mean difference change sign: the x at which a difference of 0 is not refused, as in
    [Fieller 1954, JRSS B 16(2)]; of 3, 5, 10 and 30 normal replicates they hold it .96, .95, .95 and .95 of the time.
    Not known of fewer than three (of two they held it .89), and where all are alike.
    """
    log_x, mean = np.log(np.asarray(x, dtype=np.float64)), difference.mean(axis=1)
    at = _last_change(log_x, mean)
    if difference.shape[1] < 3 or not np.ptp(difference, axis=1).any():
        return Crossing(at, math.nan, math.nan)
    # Between grid points a mean of two is known better than either: the edges are no straight lines.
    fine = np.unique(np.concatenate([np.linspace(a, b, _BETWEEN) for a, b in pairwise(log_x)] or [log_x]))
    several = np.array([np.interp(fine, log_x, own) for own in difference.T])
    half = np.array([student_half(own) for own in several.T])
    mean = several.mean(axis=0)
    return Crossing(at, _last_change(fine, mean + half), _last_change(fine, mean - half))


def _last_change(log_x: FloatArray, gap: FloatArray) -> float:
    if gap[-1] <= 0:
        return float("inf")
    for i in range(len(gap) - 2, -1, -1):
        if gap[i] <= 0:
            return float(np.exp(log_x[i] + (log_x[i + 1] - log_x[i]) * gap[i] / (gap[i] - gap[i + 1])))
    return 0.0


def slope(x: Sequence[float], y: FloatArray) -> tuple[float, float]:
    """Log-log slope of the mean of y (len(x), replicates), and half its 95 % interval's width; nan: not known.

    b = sum_i w_i log(mean_r y_ir), w_i = (log x_i - mean) / sum of squares; the half is Student's t of n - 1 times the
    jackknife's error over replicates, sqrt((n - 1) / n sum_r (b_-r - mean)^2)  [Tukey 1958; Miller 1974, Biometrika
    61(1)], b_-r without replicate r.  Of 2, 3, 5, 10 and 30 lognormal replicates (sigma .5) it holds the slope
    .95, .95, .94, .94 and .95 of the time.
    """
    own, n = np.log(np.asarray(x, dtype=np.float64)), y.shape[1]
    if not n or not np.ptp(own):
        return math.nan, math.nan
    weights = (own - own.mean()) / ((own - own.mean()) ** 2).sum()
    found = _weighted_log(weights, y.mean(axis=1, keepdims=True))[0]
    if n < 2 or not np.ptp(y, axis=1).any():
        return float(found), math.nan
    without = _weighted_log(weights, (y.sum(axis=1, keepdims=True) - y) / (n - 1))
    # Student's half of n numbers is t s / sqrt(n); the jackknife's error is (n - 1) s / sqrt(n) of the b_-r.
    return float(found), (n - 1) * student_half(without)


def _weighted_log(weights: FloatArray, means: FloatArray) -> FloatArray:
    """weights (n,) times the logarithms of means (n, several); nan where one of them has none."""
    there = (means > 0).all(axis=0)
    out = np.full(means.shape[1], np.nan)
    out[there] = weights @ np.log(means[:, there])
    return out


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
