"""A bound and the way a measurement is held against it.

`p_value` is always that of the asserted direction: the probability of so clear a result if the opposite were
just true. It is 0 where no randomness is left (a deterministic case, or a counter-example in hand).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.intervals import binomial_interval, rate_slope, student_interval
from theory.engine.verdicts import Verdict

ALPHA = 0.05


@dataclass(frozen=True)
class Judgement:
    """verdict, the measured number, an interval of `interval_of`, p-value, the replicate to blame if any."""

    verdict: Verdict
    measured: float
    interval: tuple[float, float]
    interval_of: str
    p_value: float
    standard_error: float = 0.0
    worst: int | None = None
    note: str = ""


class Bound(Protocol):
    """limit: the number in the claim.  relation: how the measured number must stand to it."""

    @property
    def limit(self) -> float: ...

    @property
    def relation(self) -> str: ...

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement: ...


@dataclass(frozen=True)
class EveryDraw:
    """Every independent draw's value is at most `limit` (a stated rounding tolerance included in it).

    One draw above is a counter-example. None above among N is evidence that violations are rarer than
    `tolerated_rate`: p = (1 - tolerated_rate)^N, with the exact upper limit on their frequency (about 3 / N).
    """

    limit: float
    tolerated_rate: float = 0.05
    relation: str = "every draw <="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        flat = values.reshape(len(values), -1).max(axis=1)
        events = int((~(flat <= self.limit)).sum())
        worst = int(np.argmax(np.where(np.isfinite(flat), flat, np.inf)))
        interval = binomial_interval(events, len(flat))
        verdict = Verdict.VIOLATED if events else Verdict.HOLDS
        p_value = 0.0 if events else float((1.0 - self.tolerated_rate) ** len(flat))
        return Judgement(verdict, float(flat[worst]), interval, "violation frequency", p_value, worst=worst)


@dataclass(frozen=True)
class Exactly:
    """A deterministic case: its value (or each of them) is at most `limit`."""

    limit: float
    relation: str = "<="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        flat = values.reshape(len(values), -1).max(axis=1)
        worst = int(np.argmax(np.where(np.isfinite(flat), flat, np.inf)))
        holds = bool((flat <= self.limit).all())
        measured = float(flat[worst])
        return Judgement(
            Verdict.HOLDS if holds else Verdict.VIOLATED, measured, (measured, measured), "value", 0.0, worst=worst
        )


@dataclass(frozen=True)
class Frequency:
    """P(value > threshold) <= limit: the violation frequency of a high-probability bound against its delta."""

    limit: float
    threshold: float
    relation: str = "frequency <="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        n, events = len(values), int((~(values <= self.threshold)).sum())
        low, high = binomial_interval(events, n)
        worst = int(np.argmax(values))
        if events / n <= self.limit:
            p, verdict = float(stats.binom.cdf(events, n, self.limit)), Verdict.HOLDS
        else:
            p, verdict = float(stats.binom.sf(events - 1, n, self.limit)), Verdict.VIOLATED
        if p > ALPHA:
            verdict = Verdict.INCONCLUSIVE
        return Judgement(verdict, events / n, (low, high), "frequency", p, worst=worst)


def _one_sided(values: FloatArray, limit: float) -> tuple[float, float, float]:
    """mean, its standard error, and P(T <= t) for t = (mean - limit) / standard error."""
    mean = float(values.mean())
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    if error == 0.0:
        return mean, 0.0, float(mean > limit)
    return mean, error, float(stats.t.cdf((mean - limit) / error, len(values) - 1))


@dataclass(frozen=True)
class MeanAtMost:
    """The mean over replicates is at most `limit` (Student, one-sided)."""

    limit: float
    relation: str = "mean <="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        mean, error, below = _one_sided(values, self.limit)
        p = min(below, 1.0 - below)
        verdict = Verdict.HOLDS if mean <= self.limit else Verdict.VIOLATED
        if p > ALPHA:
            verdict = Verdict.INCONCLUSIVE
        return Judgement(verdict, mean, student_interval(values), "mean", p, error, worst=int(np.argmax(values)))


@dataclass(frozen=True)
class MeanAtLeast:
    """The mean over replicates is at least `limit` (Student, one-sided)."""

    limit: float
    relation: str = "mean >="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        mirrored = MeanAtMost(-self.limit).judge(-values, grid, stream)
        low, high = mirrored.interval
        return Judgement(
            mirrored.verdict, -mirrored.measured, (-high, -low), "mean", mirrored.p_value, mirrored.standard_error,
            worst=int(np.argmin(values)),
        )  # fmt: skip


@dataclass(frozen=True)
class Equivalent:
    """|mean - limit| <= margin, by two one-sided tests; VIOLATED when the interval lies outside the margin."""

    limit: float
    margin: float

    @property
    def relation(self) -> str:
        return f"mean within {self.margin:g} of"

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        mean, error, _ = _one_sided(values, self.limit)
        low, high = student_interval(values, 1.0 - 2.0 * ALPHA)
        # P(T <= t) at the upper edge, P(T >= t) at the lower: both must be small.
        above_low = 1.0 - _one_sided(values, self.limit - self.margin)[2]
        below_high = _one_sided(values, self.limit + self.margin)[2]
        p_holds = max(above_low, below_high)
        p_violated = 1.0 - max(below_high, above_low) if abs(mean - self.limit) > self.margin else 1.0
        inside = self.limit - self.margin <= low and high <= self.limit + self.margin
        outside = high < self.limit - self.margin or low > self.limit + self.margin
        verdict = Verdict.HOLDS if inside else Verdict.VIOLATED if outside else Verdict.INCONCLUSIVE
        p = p_holds if inside else p_violated if outside else 1.0
        worst = int(np.argmax(np.abs(values - self.limit)))
        return Judgement(verdict, mean, (low, high), "mean (90 %)", p, error, worst=worst)


@dataclass(frozen=True)
class Slope:
    """The rate: slope of log mean against log grid at most `limit` (an upper bound: steeper is consistent), and
    at least `lowest` where the claim is that it is no steeper."""

    limit: float
    lowest: float = -np.inf

    @property
    def relation(self) -> str:
        return "slope <=" if self.lowest == -np.inf else f"slope in [{self.lowest:g}, .] and <="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        if grid is None:
            raise ValueError("a slope needs a grid")
        fit = rate_slope(grid, values, stream)
        low, high = fit.interval
        error = max(fit.standard_error, 1e-12)
        inside = high <= self.limit and low >= self.lowest
        outside = low > self.limit or high < self.lowest
        distance = min(self.limit - fit.slope, fit.slope - self.lowest)
        p = float(stats.norm.sf(abs(distance) / error))
        verdict = Verdict.HOLDS if inside else Verdict.VIOLATED if outside else Verdict.INCONCLUSIVE
        return Judgement(
            verdict, fit.slope, fit.interval, "slope", p, fit.standard_error,
            note=f"without the smallest grid point {fit.without_first:.3f}",
        )  # fmt: skip
