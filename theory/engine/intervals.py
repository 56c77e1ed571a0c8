"""Intervals: exact binomial, slopes of rates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from sim.preferences import FloatArray
from theory.engine.means import mean_and_error, mean_interval, tails


@lru_cache(maxsize=4096)
def _beta_quantile(q: float, a: int, b: int) -> float:
    # Of counts: a control's two hundred resamples ask for the same few again and again.
    return float(stats.beta.ppf(q, a, b))


def binomial_interval(events: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson limits of a frequency; with no events the upper one is about 3 / trials at 95 % one-sided."""
    if not 0 <= events <= trials or trials < 1:
        raise ValueError(f"events must lie in 0..trials (got {events} of {trials})")
    tail = (1.0 - level) / 2.0
    lower = 0.0 if events == 0 else _beta_quantile(tail, events, trials - events + 1)
    upper = 1.0 if events == trials else _beta_quantile(1.0 - tail, events + 1, trials - events)
    return lower, upper


@dataclass(frozen=True, eq=False)
class SlopeFit:
    """Slope of log mean(value) on log grid, its interval over replicates, and the slope without the smallest grid
    point (how much the claim leans on it).

    shares: (n_replicates,), numbers whose mean is the slope and whose standard error is its: what each replicate adds,
    by the jackknife. None where that cannot be said.
    """

    slope: float
    interval: tuple[float, float]
    standard_error: float
    without_first: float
    shares: FloatArray | None = None

    def tails(self, limit: float) -> tuple[float, float]:
        """p-values of "the slope is at most `limit`" and of "at least", see `theory.engine.means.tails`."""
        if not np.isfinite(limit):
            return float(limit < 0), float(limit > 0)
        return (1.0, 1.0) if self.shares is None else tails(self.shares, limit)


def _weighted_slopes(log_grid: FloatArray, log_means: FloatArray, weights: FloatArray) -> FloatArray:
    """One slope a row of means and weights, (..., points)."""
    x = log_grid - (weights * log_grid).sum(axis=-1, keepdims=True) / weights.sum(axis=-1, keepdims=True)
    return np.asarray((log_means * weights * x).sum(axis=-1) / (weights * x**2).sum(axis=-1))


def _log_weights(means: FloatArray, variances: FloatArray) -> FloatArray:
    """Inverse variances of the log means (delta method), so bounded that no point counts more than a hundred times
    another."""
    relative = variances / means**2
    return np.asarray(1.0 / np.maximum(relative, np.maximum(relative.max(axis=-1, keepdims=True) / 100.0, 1e-12)))


def rate_slope(grid: FloatArray, values: FloatArray, level: float = 0.95) -> SlopeFit:
    """Weighted log-log fit of the mean over replicates against the grid; values (n_replicates, n_points).

    The jackknife leaves each replicate out once, whole, and estimates the weights anew, since they rest on the same
    replicates as the means. The interval is that of a mean of the n numbers

        slope + (n - 1) (mean of the slopes without one - slope without this one),

    Student's where they are even, and with Hall's correction where they are skewed: means of skewed draws lie below
    their law's too often, most where the draws spread most, and the rate looks steeper than it is. Where this cannot be
    done (fewer than three replicates, or a mean that is not positive, or no number) the interval is the whole line.
    """
    n, points = values.shape
    if points < 3:
        raise ValueError(f"a rate needs at least 3 grid points (got {points})")
    with np.errstate(invalid="ignore"):  # Of both infinities.
        log_grid, means = np.log(grid), values.mean(axis=0)
    if not ((means > 0) & (means < np.inf)).all():
        return SlopeFit(np.nan, (-np.inf, np.inf), np.inf, np.nan)
    weights = _log_weights(means, values.var(axis=0, ddof=1) / n if n > 1 else np.zeros(points))
    slope = float(_weighted_slopes(log_grid, np.log(means), weights))
    without_first = float(_weighted_slopes(log_grid[1:], np.log(means[1:]), weights[1:]))
    left = (n * means - values) / max(n - 1, 1)
    if n < 3 or not (left > 0).all():
        return SlopeFit(slope, (-np.inf, np.inf), np.inf, without_first)
    # Sums of squares about the mean, less what the replicate that is left out adds to them.
    squares = ((values - means) ** 2).sum(axis=0) - (values - means) ** 2 * n / (n - 1)
    without = _log_weights(left, np.maximum(squares, 0.0) / (n - 2) / (n - 1))
    slopes = _weighted_slopes(log_grid, np.log(left), without)
    shares = slope + (n - 1) * (slopes.mean() - slopes)
    error = mean_and_error(shares)[1]
    return SlopeFit(slope, mean_interval(shares, level), error, without_first, shares)
