"""Intervals over annotators: the independent unit is the annotator, not the answer."""

from __future__ import annotations

import numpy as np

from sim.arguments import float_array, require_count, require_shape
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


def cluster_interval(
    values: FloatArray, cluster: IntArray, stream: Stream, *, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (n,), whole clusters (annotators) resampled.

    For a paired comparison pass the differences. With one cluster there is no spread to learn from: (-inf, inf).
    """
    values = float_array("values", values, ("n",))
    require_shape("cluster", cluster, values.shape)
    require_count("draws", draws)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1 (got {level})")
    _, index = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(index, weights=values), np.bincount(index)
    n = len(sums)
    if n < 2:
        return -np.inf, np.inf
    means = np.empty(draws)
    block = max(1, 2_000_000 // n)
    for lo in range(0, draws, block):
        rows = min(block, draws - lo)
        picked = stream.integers(n, (rows, n), start=lo * n)
        means[lo : lo + rows] = sums[picked].sum(axis=1) / counts[picked].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
