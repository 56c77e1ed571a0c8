"""Intervals over annotators: the independent unit is the annotator, not the answer."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from sim.arguments import float_array, require_count, require_shape, weight_array
from sim.distinct import numbered
from sim.estimators.edge_limits import SpreadOverPeople, edge_limits
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import unequal

Limits: TypeAlias = tuple[float, float]

# Fewer annotators than this have limits by Student's t, not by drawing them again.
FEW = 20
# What a mean can be: of anything, of shares, of differences of shares, of logarithms of chances.
ANY: Limits = (-np.inf, np.inf)
SHARE: Limits = (0.0, 1.0)
GAP: Limits = (-1.0, 1.0)
LOG_CHANCE: Limits = (-np.inf, 0.0)


def annotator_interval(
    values: FloatArray, annotator: IntArray, stream: Stream, *, weights: FloatArray | None = None,
    within: Limits = ANY, draws: int = 2000,
) -> Limits | None:  # fmt: skip
    """`annotator_intervals` of one quantity."""
    return annotator_intervals([values], annotator, stream, weights=weights, within=[within], draws=draws)[0]


def annotator_intervals(
    values: Iterable[FloatArray], annotator: IntArray, stream: Stream, *, weights: FloatArray | None = None,
    within: Sequence[Limits] = (ANY,), draws: int = 2000,
) -> list[Limits | None]:  # fmt: skip
    """95 % limits, over annotators, of the means of several quantities of the same answers, each (n,).

    weights: (n,) how often each answer counts, once if None.  within: what each mean can be, of quantity after
    quantity and from the start again.  Of `FEW` annotators and more the bootstrap's (`cluster_intervals`).  Of fewer

        m +- t_{.975, nu} s,   s^2 = sum_i c_i (sum_j w_ij (v_ij - m))^2 / (sum_ij w_ij)^2

    with c_i and nu of `half_over_people`: G / (G - 1) and G - 1 where all G annotators have the same weight.  The mean
    is a ratio of sums over annotators (Cameron & Miller, J. Human Resources 50(2), 2015, section VI).  A few people
    drawn again are too much alike: the bootstrap's limits of five held the truth 86 times in 100.

    Where so few of them differ that neither is to be trusted (`SpreadOverPeople.is_told`), however many there are, the
    limits are the wider of these and of `edge_limits`; of a quantity without two edges, of these and Student's, and
    none where all are the same.  None where there are fewer than two annotators.
    """
    index, G = numbered(np.asarray(annotator))
    weights = unequal(None if weights is None else weight_array("weights", weights, len(index)))
    spreads: list[SpreadOverPeople] = []

    def columns() -> Iterator[FloatArray]:
        for one in values:
            column = float_array("values", one, ("n",))
            require_shape("annotator", annotator, column.shape)
            if G > 1:
                spreads.append(SpreadOverPeople.of(column, index, G, weights))
            yield column

    if G < 2:
        return [None for _ in columns()]
    drawn = cluster_intervals(columns(), annotator, stream, draws=draws, weights=weights) if G >= FEW else None
    if drawn is None:
        collections.deque(columns(), maxlen=0)
    found: list[Limits | None] = []
    for number, spread in enumerate(spreads):
        found.append(_limits(spread, None if drawn is None else drawn[number], within[number % len(within)]))
    return found


def _limits(spread: SpreadOverPeople, drawn: Limits | None, within: Limits) -> Limits | None:
    """drawn: the bootstrap's, None of few."""
    if drawn is not None and spread.is_told:
        return drawn
    known = [] if drawn is None or spread.alike else [drawn]
    edges = np.isfinite(within).all()
    if not spread.alike and (drawn is None or not edges):
        reach = half_over_people(spread.moved, abs(spread.mean), spread.share)
        known.append((max(spread.mean - reach, within[0]), min(spread.mean + reach, within[1])))
    if edges and not spread.is_told:
        known.append(edge_limits(spread, *within))
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def half_over_people(apart: FloatArray, scale: float = 1.0, share: FloatArray | None = None) -> float:
    """t_{.975, nu} s of a mean that G people's (G,) u_i move; nan where there is one person, or but for rounding (of
    numbers of about `scale`) all are the same.

        s^2 = sum_i u_i^2 / (1 - 2 p_i + sum_j p_j^2)

    share: (G,) p_i, of all weight; 1 / G if None.  Whoever has most of the answers is never far from their mean: the
    variance of u_i is p_i^2 times what stands under it times that of people's values, and s^2 is unbiased where the
    latter is one for all.  nu: twice the squared mean of s^2 over its variance, of normal ones (Satterthwaite; Bell &
    McCaffrey, Survey Methodology 28(2), 2002): G - 1 of people of equal weight, near 1 where one person is nearly all.
    """
    from scipy.special import stdtrit

    G = len(apart)
    if G < 2:
        return float("nan")
    # Who has no weight moves nothing, and is nobody to leave out.
    p = np.full(G, 1.0 / G) if share is None else share[share > 0.0]
    own = apart if share is None else apart[share > 0.0]
    G = len(p)
    if G < 2:
        return float("nan")
    # 1 - 2 p_i + sum_j p_j^2, without the cancellation where one person is nearly all (k).
    k, others = int(p.argmax()), np.arange(G) != p.argmax()
    rest, square = 1.0 - p, (p**2).sum() - p**2
    rest[k], square[k] = p[others].sum(), (p[others] ** 2).sum()
    spread = rest**2 + square
    error = float(np.sqrt((own**2 / spread).sum()))
    if not error > 1e-12 * max(1.0, scale):
        return float("nan")
    # s^2 = x' M' W M x of independent x_i, M = I - 1 p', W = diag(p^2 / spread): nu is (tr M'WM)^2 / tr (M'WM)^2.  The
    # latter is sum_ij W_i W_j K_ij^2, K = M M': spread on the diagonal, sum_l p_l^2 - p_i - p_j beside it.
    weight, own_weight = p[others] ** 2 / spread[others], p[k] ** 2 / spread[k]
    beside = square[k] - p[k] * rest[k] - p[others]
    half = 0.5 * (p**2).sum() - p[others]
    total = (p**4).sum() + 2.0 * own_weight * (weight * beside**2).sum()
    total += 2.0 * weight.sum() * (weight * half**2).sum() + 2.0 * (weight * half).sum() ** 2
    total -= 4.0 * (weight**2 * half**2).sum()
    return float(stdtrit((p**2).sum() ** 2 / total, 0.975) * error)


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
