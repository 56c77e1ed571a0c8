"""What the low-rank studies say in numbers: tables, constants tuned fairly, paired differences, crossings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.plots import Rows, half_width
from sim.studies.summary import pipe_table

PESSIMISTIC = ("distributional", "pointwise")
_OF_POLICIES = ("regret", "value", "exotic", "bound", "gap", "regret/strangers")
_OF_ESTIMATES = ("error", "error/common", "covers", "C*", "rank", "free", "agreement", "agreement/strangers")


@dataclass(frozen=True)
class Policy:
    """A policy's name taken apart: "low/distributional/c=1"."""

    estimator: str
    kind: str
    scale: float

    @property
    def method(self) -> str:
        return f"{self.estimator}/{self.kind}/c={self.scale:g}"


def policy_of(method: str) -> Policy | None:
    """None of estimators and of policies without a radius (uniform, behaviour)."""
    head, mark, scale = method.rpartition("/c=")
    estimator, _, kind = head.partition("/")
    return Policy(estimator, kind, float(scale)) if mark else None


class Cells:
    """The rows of a study by cell, method and metric: values in the order of replicates."""

    def __init__(self, rows: Rows) -> None:
        self.cells: dict[str, Mapping[str, Any]] = {}
        self._found: dict[tuple[str, str, str], list[float]] = {}
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self.methods: dict[str, None] = {}
        for row in rows:
            if row["value"] is not None:
                self.cells.setdefault(row["cell_id"], row)
                self.methods.setdefault(row["method"])
                self._found.setdefault((row["cell_id"], row["method"], row["metric"]), []).append(row["value"])
                self._seconds.setdefault((row["cell_id"], row["method"]), []).append(row["wall_s"])

    def at(self, **factors: Any) -> list[str]:
        """Cells with these levels, in the study's order."""
        return [cell for cell, row in self.cells.items() if all(row.get(k) == v for k, v in factors.items())]

    def values(self, cell: str, method: str, metric: str) -> FloatArray:
        """(replicates,), or nothing."""
        return np.array(self._found.get((cell, method, metric), []))

    def seconds(self, cell: str, method: str) -> float:
        """Median over replicates: compilation happens in the first ones."""
        return float(np.median(self._seconds[cell, method]))

    def policies(self) -> list[Policy]:
        return [policy for policy in map(policy_of, self.methods) if policy is not None]


@dataclass(frozen=True, eq=False)
class Tuned:
    """scale: the best multiple of the radius on even replicates.  own, at_one: regret of odd replicates at it, and at
    1 (nothing where 1 was not tried)."""

    scale: float
    own: FloatArray
    at_one: FloatArray


def tune(cells: Cells, cell: str, estimator: str, kind: str, metric: str = "regret") -> Tuned | None:
    """Each method's constant chosen on one half of the seeds and judged on the other, so that no method gains from
    having been tuned on what it is judged by; None if there is nothing to choose from."""
    tried = {
        policy.scale: cells.values(cell, policy.method, metric)
        for policy in cells.policies()
        if (policy.estimator, policy.kind) == (estimator, kind)
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


def table_low_rank(rows: Rows, factors: Sequence[str]) -> str:
    """Policies, then estimates, then every pessimistic method at its own best constant beside constant 1."""
    cells = Cells(rows)
    of_policies = _metrics_table(cells, factors, _OF_POLICIES, lambda method: method != "truth" and (
        policy_of(method) is not None or method in ("uniform", "behaviour")))  # fmt: skip
    of_estimates = _metrics_table(
        cells, factors, _OF_ESTIMATES, lambda method: policy_of(method) is None and method not in
        ("truth", "uniform", "behaviour"), seconds=True)  # fmt: skip
    text = f"{of_policies}\nEstimates (seconds: median, fit and confidence set)\n\n{of_estimates}"
    tuned = _tuned_table(cells, factors)
    words = "Regret at each method's best multiple of the radius, chosen on even seeds, on odd ones; beside multiple 1"
    return f"{text}\n{words}\n\n{tuned}" if tuned else text


def _metrics_table(
    cells: Cells, factors: Sequence[str], metrics: Sequence[str], wanted: Callable[[str], bool], seconds: bool = False
) -> str:
    methods = [method for method in cells.methods if wanted(method)]
    used = [name for name in metrics if any(cells.values(c, m, name).size for c in cells.cells for m in methods)]
    body = []
    for cell, levels in cells.cells.items():
        for method in methods:
            found = [cells.values(cell, method, name) for name in used]
            if any(own.size for own in found):
                line = [*(str(levels[name]) for name in factors), method]
                line += [f"{own.mean():.3g} ± {half_width(own):.1g}" if own.size else "" for own in found]
                body.append((*line, f"{cells.seconds(cell, method):.3g}") if seconds else tuple(line))
    return pipe_table((*factors, "method", *used, *(["seconds"] if seconds else [])), body)


def _tuned_table(cells: Cells, factors: Sequence[str]) -> str:
    kinds = list(dict.fromkeys((p.estimator, p.kind) for p in cells.policies() if p.kind in PESSIMISTIC))
    if len({policy.scale for policy in cells.policies() if policy.kind in PESSIMISTIC}) < 2:
        return ""
    body = []
    for cell, levels in cells.cells.items():
        for estimator, kind in kinds:
            found = tune(cells, cell, estimator, kind)
            if found is not None and found.own.size:
                one = f"{found.at_one.mean():.3g} ± {half_width(found.at_one):.1g}" if found.at_one.size else ""
                body.append(
                    (*(str(levels[name]) for name in factors), f"{estimator}/{kind}", f"{found.scale:g}",
                     f"{found.own.mean():.3g} ± {half_width(found.own):.1g}", one)
                )  # fmt: skip
    return pipe_table((*factors, "method", "best multiple", "regret at it", "regret at 1"), body)
