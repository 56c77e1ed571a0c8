"""Intervals over annotators: the independent unit is the annotator, not the answer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sim.arguments import float_array, require_count, require_shape, weight_array
from sim.distinct import numbered
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import unequal


def cluster_interval(
    values: FloatArray, cluster: IntArray, stream: Stream, *, level: float = 0.95, draws: int = 2000,
    weights: FloatArray | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Percentile bootstrap interval of the mean of `values` (n,), whole clusters (annotators) resampled; weights: (n,)
    how often each value counts, once if None.

    For a paired comparison pass the differences. With one cluster there is no spread to learn from: (-inf, inf).
    """
    return cluster_intervals([values], cluster, stream, level=level, draws=draws, weights=weights)[0]


def cluster_intervals(
    values: Iterable[FloatArray], cluster: IntArray, stream: Stream, *, level: float = 0.95, draws: int = 2000,
    weights: FloatArray | None = None,
) -> list[tuple[float, float]]:  # fmt: skip
    """`cluster_interval` of several quantities of the same answers, each (n,), from the same draws of clusters: drawing
    costs more than adding up.  values: taken one at a time, and none is kept."""
    require_count("draws", draws)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1 (got {level})")
    index, n = numbered(np.asarray(cluster))
    weights = unequal(None if weights is None else weight_array("weights", weights, len(index)))
    counts, totals = np.bincount(index, weights), []
    for one in values:
        column = float_array("values", one, ("n",))
        require_shape("cluster", cluster, column.shape)
        totals.append(np.bincount(index, weights=column if weights is None else weights * column))
    if n < 2:
        return [(-np.inf, np.inf)] * len(totals)
    from sim.compiled.resample import resampled_sums, sum_plan

    rows = np.stack([*totals, counts.astype(np.float64)], axis=1)
    sums = np.empty((draws, rows.shape[1]))
    k0, k1 = stream.key
    resampled_sums(rows, *sum_plan(n), sums, np.uint64(stream.replicate), np.uint64(k0), np.uint64(k1))
    edges = [(1 - level) / 2, (1 + level) / 2]
    found = [np.quantile(one / sums[:, -1], edges) for one in sums[:, :-1].T]
    return [(float(low), float(high)) for low, high in found]
