"""A bound and the way a measurement is held against it.

`p_value` is always that of the asserted direction: the probability of so clear a result if the opposite were
just true. It is 0 where no randomness is left (a deterministic case, or a counter-example in hand).

A judge also says how much of the bound is attained (a bound that can be three times smaller is told from one that
cannot), and how surely it would see the smallest departure that matters, with the replicates it has or with more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from scipy import stats

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.intervals import binomial_interval, rate_slope
from theory.engine.means import critical, mean_and_error, mean_interval, tails
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


@runtime_checkable
class TwoSided(Bound, Protocol):
    """A bound that also says how close it is and what it can see; every one here does, one of your own may."""

    @property
    def departs(self) -> str:
        """The smallest departure that matters, in words; empty where none is named."""
        ...

    def attained(self, values: FloatArray) -> float | None:
        """The measured share of the bound; None where it has no size (a rounding tolerance, a slope)."""
        ...

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        """Probability of VIOLATED if the claim were wrong by the smallest departure that matters, from the spread of
        `values` and with `n` replicates (None: as many as there are); None where no departure is named."""
        ...


@runtime_checkable
class Capped(Bound, Protocol):
    """A bound that nothing but a value above `cap` can break: vacuous where no value can be. Bounds from below, on both
    sides and on slopes have none, nor need one of your own."""

    @property
    def cap(self) -> float: ...


# Limits below it are roundings, of which no share means anything.
_ROUNDING = 1e-6


def _share(measured: float, limit: float) -> float | None:
    return measured / limit if limit > _ROUNDING else None


@dataclass(frozen=True)
class EveryDraw:
    """Every independent draw's value is at most `limit` (a stated rounding tolerance included in it).

    One draw above is a counter-example. None above among N is evidence that violations are rarer than
    `tolerated_rate`: p = (1 - tolerated_rate)^N, with the exact interval of their frequency (95 %, 0 to about
    3.7 / N).
    """

    limit: float
    tolerated_rate: float = 0.05
    relation: str = "every draw <="

    @property
    def departs(self) -> str:
        return f"{self.tolerated_rate:.0%} of the draws above the limit"

    @property
    def cap(self) -> float:
        return self.limit

    def attained(self, values: FloatArray) -> float | None:
        return _share(float(values.max()), self.limit)

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        return float(1.0 - (1.0 - self.tolerated_rate) ** (n or len(values)))

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        flat = values.reshape(len(values), -1).max(axis=1)
        events = int((~(flat <= self.limit)).sum())
        worst = int(np.argmax(np.where(np.isnan(flat), np.inf, flat)))
        interval = binomial_interval(events, len(flat))
        verdict = Verdict.VIOLATED if events else Verdict.HOLDS
        p_value = 0.0 if events else float((1.0 - self.tolerated_rate) ** len(flat))
        return Judgement(verdict, float(flat[worst]), interval, "violation frequency", p_value, worst=worst)


@dataclass(frozen=True)
class Exactly:
    """A deterministic case: its value (or each of them) is at most `limit`."""

    limit: float
    relation: str = "<="
    departs: str = ""

    @property
    def cap(self) -> float:
        return self.limit

    def attained(self, values: FloatArray) -> float | None:
        return _share(float(values.max()), self.limit)

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        return None

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        flat = values.reshape(len(values), -1).max(axis=1)
        worst = int(np.argmax(np.where(np.isnan(flat), np.inf, flat)))
        holds = bool((flat <= self.limit).all())
        measured = float(flat[worst])
        return Judgement(
            Verdict.HOLDS if holds else Verdict.VIOLATED, measured, (measured, measured), "value", 0.0, worst=worst
        )


@lru_cache(maxsize=4096)
def _binomial_tails(events: int, n: int, limit: float) -> tuple[float, float]:
    """P(X <= events) and P(X >= events); kept, since resamples come out with the same few counts."""
    return float(stats.binom.cdf(events, n, limit)), float(stats.binom.sf(events - 1, n, limit))


@dataclass(frozen=True)
class Frequency:
    """P(value > threshold) <= limit: the violation frequency of a high-probability bound against its delta.

    departure: the frequency that must be noticed; None: twice the limit.
    """

    limit: float
    threshold: float
    relation: str = "frequency <="
    departure: float | None = None

    @property
    def departs(self) -> str:
        return f"frequency {self._departed:.3g}"

    @property
    def _departed(self) -> float:
        return min(2.0 * self.limit, 1.0) if self.departure is None else self.departure

    @property
    def cap(self) -> float:
        return self.threshold

    def attained(self, values: FloatArray) -> float | None:
        """The smallest threshold that would do, as a share of the one claimed: the (1 - limit) quantile."""
        return _share(float(np.quantile(values, 1.0 - self.limit)), self.threshold)

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        n = n or len(values)
        # The fewest events that are significantly more than the limit: P(X >= events | limit) <= ALPHA.
        events = int(stats.binom.isf(ALPHA, n, self.limit)) + 1
        return float(stats.binom.sf(events - 1, n, self._departed))

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        n, events = len(values), int((~(values <= self.threshold)).sum())
        low, high = binomial_interval(events, n)
        worst = int(np.argmax(values))
        if events / n <= self.limit:
            p, verdict = _binomial_tails(events, n, self.limit)[0], Verdict.HOLDS
        else:
            p, verdict = _binomial_tails(events, n, self.limit)[1], Verdict.VIOLATED
        if p > ALPHA:
            verdict = Verdict.INCONCLUSIVE
        return Judgement(verdict, events / n, (low, high), "frequency", p, worst=worst)


def _unjudged(values: FloatArray, kind: str) -> Judgement | None:
    """Of values that say nothing of a mean: one alone, whose spread nobody knows, or some that are not finite."""
    n = len(values)
    broken = int((~np.isfinite(values)).reshape(n, -1).any(axis=1).sum())
    if n > 1 and not broken:
        return None
    with np.errstate(invalid="ignore"):  # Of both infinities.
        mean = float(values.mean())
    why = f"{broken} of {n} replicates are not finite" if broken else "one replicate shows no spread"
    return Judgement(Verdict.INCONCLUSIVE, mean, (-np.inf, np.inf), kind, 1.0, np.inf, note=why)


def _sees(values: FloatArray, departure: float | None, level: float, n: int | None) -> float | None:
    """P(T > critical t) for T of Student's t that is off centre by departure / standard error, with `n` values of the
    spread and skewness seen."""
    n = n or len(values)
    if not np.isfinite(values).all():
        return None
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if departure is None or n < 2 or spread == 0.0:
        return None
    quantiles, weights = critical(values, level, n)
    return float(stats.nct.sf(quantiles, n - 1, departure * np.sqrt(n) / spread) @ weights)


# A constant that is wrong by a fifth matters.
_OF_A_CONSTANT = 0.2


@dataclass(frozen=True)
class MeanAtMost:
    """The mean over replicates is at most `limit` (Student's one-sided test, with Hall's correction for skewness).

    departure: how far above the limit a mean must be noticed; None: a fifth of the limit, none for a limit of zero.
    """

    limit: float
    relation: str = "mean <="
    departure: float | None = None

    @property
    def _departed(self) -> float | None:
        return self.departure if self.departure is not None else _OF_A_CONSTANT * abs(self.limit) or None

    @property
    def departs(self) -> str:
        return "" if self._departed is None else f"mean {self.limit + self._departed:.3g}"

    @property
    def cap(self) -> float:
        return self.limit

    def attained(self, values: FloatArray) -> float | None:
        return _share(float(values.mean()), self.limit)

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        return _sees(values, self._departed, ALPHA, n)

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        if (unjudged := _unjudged(values, "mean")) is not None:
            return unjudged
        (mean, error), (p_below, p_above) = mean_and_error(values), tails(values, self.limit)
        verdict, p = (Verdict.HOLDS, p_below) if mean <= self.limit else (Verdict.VIOLATED, p_above)
        if p > ALPHA:
            verdict = Verdict.INCONCLUSIVE
        return Judgement(verdict, mean, mean_interval(values), "mean", p, error, worst=int(np.argmax(values)))


@dataclass(frozen=True)
class MeanAtLeast:
    """The mean over replicates is at least `limit`: `MeanAtMost`, mirrored, its departure too."""

    limit: float
    relation: str = "mean >="
    departure: float | None = None

    @property
    def _departed(self) -> float | None:
        return self.departure if self.departure is not None else _OF_A_CONSTANT * abs(self.limit) or None

    @property
    def departs(self) -> str:
        return "" if self._departed is None else f"mean {self.limit - self._departed:.3g}"

    def attained(self, values: FloatArray) -> float | None:
        """What is guaranteed as a share of what is measured."""
        return self.limit / float(values.mean()) if self.limit > _ROUNDING and values.mean() > 0 else None

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        return _sees(-values, self._departed, ALPHA, n)

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        mirrored = MeanAtMost(-self.limit).judge(-values, grid, stream)
        low, high = mirrored.interval
        return Judgement(
            mirrored.verdict, -mirrored.measured, (-high, -low), "mean", mirrored.p_value, mirrored.standard_error,
            worst=int(np.argmin(values)), note=mirrored.note,
        )  # fmt: skip


@dataclass(frozen=True)
class Equivalent:
    """|mean - limit| <= margin, by two one-sided tests; VIOLATED when the interval lies outside the margin.

    departure: how far from the limit a mean must be noticed; None: twice the margin.
    """

    limit: float
    margin: float
    departure: float | None = None

    @property
    def _departed(self) -> float:
        return 2.0 * self.margin if self.departure is None else self.departure

    @property
    def departs(self) -> str:
        return f"mean {self.limit + self._departed:.3g}"

    def attained(self, values: FloatArray) -> float | None:
        return None

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        return _sees(values, self._departed - self.margin, ALPHA, n)

    @property
    def relation(self) -> str:
        return f"mean within {self.margin:g} of"

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        if (unjudged := _unjudged(values, "mean (90 %)")) is not None:
            return unjudged
        mean, error = mean_and_error(values)
        low, high = mean_interval(values, 1.0 - 2.0 * ALPHA)
        (below_low, above_low), (below_high, above_high) = (
            tails(values, self.limit + side * self.margin) for side in (-1.0, 1.0)
        )
        # Below the upper edge, and above the lower: both must be sure.
        p_holds, p_violated = max(above_low, below_high), above_high if mean > self.limit else below_low
        inside = self.limit - self.margin <= low and high <= self.limit + self.margin
        outside = high < self.limit - self.margin or low > self.limit + self.margin
        verdict = Verdict.HOLDS if inside else Verdict.VIOLATED if outside else Verdict.INCONCLUSIVE
        p = p_holds if inside else p_violated if outside else 1.0
        worst = int(np.argmax(np.abs(values - self.limit)))
        return Judgement(verdict, mean, (low, high), "mean (90 %)", p, error, worst=worst)


def _steepest(grid: FloatArray, values: FloatArray, rising: bool) -> int | None:
    """The replicate whose own log-log slope is the largest (or the smallest): a draw that shows the rate by itself.
    None where no replicate has only positive values."""
    positive = np.flatnonzero((values > 0).all(axis=1) & np.isfinite(values).all(axis=1))
    if not len(positive):
        return None
    x = np.log(grid) - np.log(grid).mean()
    slopes = np.log(values[positive]) @ x / (x @ x)
    return int(positive[slopes.argmax() if rising else slopes.argmin()])


@dataclass(frozen=True)
class Slope:
    """The rate: slope of log mean against log grid at most `limit` (an upper bound: steeper is consistent), and
    at least `lowest` where the claim is that it is no steeper.

    departure: how much above the limit an exponent must be noticed.
    """

    limit: float
    lowest: float = -np.inf
    departure: float = 0.1

    @property
    def departs(self) -> str:
        return f"slope {self.limit + self.departure:.3g}"

    def attained(self, values: FloatArray) -> float | None:
        return None

    def column(self, values: FloatArray, grid: FloatArray) -> FloatArray:
        """The (n_replicates, n_points) of a curve: all there is, of one rate."""
        return values

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        """Of an interval of level .95 that lies above the limit; the error shrinks with the root of n."""
        n = n or len(values)
        if grid is None or len(values) < 3 or n < 3:
            return None
        error = rate_slope(grid, values).standard_error * np.sqrt(len(values) / n)
        return float(stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, self.departure / max(error, 1e-12)))

    @property
    def relation(self) -> str:
        return "slope <=" if self.lowest == -np.inf else f"slope in [{self.lowest:g}, .] and <="

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        if grid is None:
            raise ValueError("a slope needs a grid")
        if (unjudged := _unjudged(values, "slope")) is not None:
            return replace(unjudged, measured=rate_slope(grid, values).slope)
        fit = rate_slope(grid, values)
        low, high = fit.interval
        inside = high <= self.limit and low >= self.lowest
        outside = low > self.limit or high < self.lowest
        (below, above), (beneath, over) = fit.tails(self.limit), fit.tails(self.lowest)
        # Of "no steeper" and "no flatter" the less sure one; of a slope that lies outside, that it does.
        p = above if fit.slope > self.limit else beneath if fit.slope < self.lowest else max(below, over)
        verdict = Verdict.HOLDS if inside else Verdict.VIOLATED if outside else Verdict.INCONCLUSIVE
        return Judgement(
            verdict, fit.slope, fit.interval, "slope", p, fit.standard_error,
            worst=_steepest(grid, values, fit.slope > self.limit),
            note=f"without the smallest grid point {fit.without_first:.3f}",
        )  # fmt: skip
