"""Intervals: exact binomial, Student, bootstrap, slopes of rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from sim.preferences import FloatArray
from sim.streams import Stream


def binomial_interval(events: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson limits of a frequency; with no events the upper one is about 3 / trials at 95 % one-sided."""
    if not 0 <= events <= trials or trials < 1:
        raise ValueError(f"events must lie in 0..trials (got {events} of {trials})")
    tail = (1.0 - level) / 2.0
    lower = 0.0 if events == 0 else float(stats.beta.ppf(tail, events, trials - events + 1))
    upper = 1.0 if events == trials else float(stats.beta.ppf(1.0 - tail, events + 1, trials - events))
    return lower, upper


def student_interval(values: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Mean of independent replicates, +- t quantile times standard error."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return mean, mean
    half = float(stats.t.ppf(0.5 + level / 2.0, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean - half, mean + half


def bootstrap_interval(
    values: FloatArray, stream: Stream, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap of the mean over replicates; (n,) values."""
    picked = stream.child("bootstrap").integers(len(values), (draws, len(values)))
    means = values[picked].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class SlopeFit:
    """Slope of log mean(value) on log grid, its bootstrap interval over replicates, and the slope without the
    smallest grid point (how much the claim leans on it)."""

    slope: float
    interval: tuple[float, float]
    standard_error: float
    without_first: float
    bootstrap: FloatArray


def _weighted_slopes(log_grid: FloatArray, log_means: FloatArray, weights: FloatArray) -> FloatArray:
    centre = (weights * log_grid).sum() / weights.sum()
    x = log_grid - centre
    return np.asarray((log_means * (weights * x)).sum(axis=-1) / (weights * x**2).sum())


def rate_slope(
    grid: FloatArray, values: FloatArray, stream: Stream, level: float = 0.95, draws: int = 1000
) -> SlopeFit:
    """Weighted log-log fit of the mean over replicates against the grid; values (n_replicates, n_points) > 0.

    Weights are the inverse variances of the log means (delta method), bounded so that no point counts more
    than a hundred times another. Replicates are resampled whole.
    """
    replicates, points = values.shape
    if points < 3:
        raise ValueError(f"a rate needs at least 3 grid points (got {points})")
    means = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1) if replicates > 1 else np.zeros(points)
    variance = (spread / means) ** 2 / replicates
    weights = 1.0 / np.maximum(variance, max(variance.max() / 100.0, 1e-12))
    log_grid = np.log(grid)
    slope = float(_weighted_slopes(log_grid, np.log(means), weights))
    picked = stream.child("slope").integers(replicates, (draws, replicates))
    resampled = _weighted_slopes(log_grid, np.log(values[picked].mean(axis=1)), weights)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    dropped = float(_weighted_slopes(log_grid[1:], np.log(means[1:]), weights[1:]))
    return SlopeFit(slope, (float(low), float(high)), float(resampled.std()), dropped, resampled)
