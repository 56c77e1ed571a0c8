"""How far a mean over replicates is to be trusted: one rule for tables, figures, the page and Python.

One replicate says nothing of it, and numbers that are all alike neither (nan: not known, and nothing is written).  Of a
metric that is 0 or 1 more is known: what has not been seen in n replicates may still happen in a share of them.
"""

from __future__ import annotations

import math

import numpy as np

from sim.preferences import FloatArray
from sim.studies.results import Results

# The 0.975 quantile of the standard normal distribution.
_Z = 1.959963984540054


def yes_no(results: Results) -> frozenset[str]:
    """The metrics whose every value in the study is 0 or 1: their means are shares of replicates."""
    found = {str(metric): rows.values() for metric, rows in results.measured().by("metric").items()}
    return frozenset(metric for metric, values in found.items() if ((values == 0) | (values == 1)).all())


def plus_four(count: int, mean: float, squares: float, low: float, high: float) -> float:
    """Standard error of a mean, as if four more values had come: two like the smallest, two like the largest.

    s~ / sqrt(n + 4), s~ the standard deviation of the n + 4 values.  Of zeros and ones this is
    sqrt(p~ (1 - p~) / (n + 3)), p~ = (x + 2) / (n + 4)  [Agresti and Coull 1998, The American Statistician 52(2), with
    n + 3 for n + 4]: not 0 where all are alike.  squares: sum of squares around the mean.
    """
    spread, away = high - low, mean - (low + high) / 2
    total = squares + spread * spread + 4 * count / (count + 4) * away * away
    return math.sqrt(total / (count + 3) / (count + 4))


def standard_error(values: FloatArray, *, share: bool = False) -> float:
    """Of the mean of one number a replicate: s / sqrt(n); of zeros and ones (share) `plus_four`; nan: not known."""
    count = len(values)
    if count < 2 or not (share or np.ptp(values)):
        return math.nan
    if share:
        mean = float(values.mean())
        return plus_four(count, mean, count * mean * (1 - mean), 0.0, 1.0)
    return float(values.std(ddof=1) / math.sqrt(count))


def half_width(values: FloatArray, *, share: bool = False) -> float:
    """Half of Student's 95 % interval of the mean of one number a replicate; nan: not known.

    share: of zeros and ones, how far the farther end of Wilson's interval is from the mean, so that mean +- half holds
    that interval [Wilson 1927, JASA 22(158)]: 3.84 / (n + 3.84) where all are alike.
    """
    count = len(values)
    if count < 2 or not (share or np.ptp(values)):
        return math.nan
    if share:
        mean = float(values.mean())
        centre = (mean + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
        own = _Z / (1 + _Z**2 / count) * math.sqrt(mean * (1 - mean) / count + _Z**2 / (4 * count**2))
        return own + abs(centre - mean)
    return student_half(values)


def student_half(values: FloatArray) -> float:
    """Half of Student's 95 % interval of the mean of two numbers or more, whatever they are."""
    from scipy.special import stdtrit  # scipy.stats has the same, and takes .4 s to import

    return float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)))


def told(values: FloatArray, *, share: bool = False) -> str:
    """The mean and the half width of its 95 % interval, where that is known; nothing of nothing."""
    if not len(values):
        return ""
    half = half_width(values, share=share)
    return f"{values.mean():.3g}" + ("" if math.isnan(half) else f" ± {half:.1g}")
