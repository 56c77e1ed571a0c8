"""k-means on points: Lloyd's rounds from k-means++ starts, with SciPy's assignment to the nearest centre.

scikit-learn's is the same method; importing it, with SciPy's statistics and pandas behind it, takes a second of every
study with clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.arguments import float_array, require_count
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

_ROUNDS = 300
# Part of the points' variance below which centres that move so little, squared, stay.
_STILL = 1e-4
# Part of the inertia by which two starts differ that found the same.
_ALIKE = 1e-9


class _Clusters(NamedTuple):
    """inertia: sum of squared distances of points to their centres."""

    labels: IntArray
    centres: FloatArray
    inertia: float


def k_means(points: FloatArray, n_clusters: int, stream: Stream, starts: int = 10) -> tuple[IntArray, FloatArray]:
    """argmin of sum_i |x_i - c_{l(i)}|^2 as far as Lloyd's rounds find it, the best of `starts`: labels (n,), centres
    (n_clusters, d).

    Starts are k-means++ (Arthur and Vassilvitskii, SODA 2007), the greedy kind.  Of fewer distinct points than clusters
    the last clusters are empty, with the first one's centre.
    """
    float_array("points", points, ("n", "d"))
    require_count("n_clusters", n_clusters)
    require_count("starts", starts)
    if n_clusters > len(points):
        raise ValueError(f"n_types must not exceed the {len(points)} annotators (got {n_clusters})")
    unit = max(float(points.max()), -float(points.min())) or 1.0  # whose squares do not overflow
    moved = np.ascontiguousarray(points / unit)
    middle = moved.mean(axis=0)
    moved -= middle
    still, generator = _STILL * float(np.einsum("nd,nd->", moved, moved)) / moved.size, stream.generator()
    best = _lloyd(moved, _start(moved, n_clusters, generator), still)
    for _ in range(starts - 1):
        found = _lloyd(moved, _start(moved, n_clusters, generator), still)
        # The same clusters in another order differ by rounding, which must not decide how they are numbered.
        if found.inertia < best.inertia * (1.0 - _ALIKE):
            best = found
    centres = (best.centres + middle) * unit
    return best.labels, np.concatenate([centres, np.repeat(centres[:1], n_clusters - len(centres), axis=0)])


def _start(points: FloatArray, k: int, generator: np.random.Generator) -> FloatArray:
    """At most k different points: of a few that are drawn in proportion to the squared distance to those chosen before,
    the one that leaves least of it."""
    chosen = [points[generator.integers(len(points))]]
    nearest = _squared(points, chosen[0])
    while len(chosen) < k:
        reached = np.cumsum(nearest)
        if reached[-1] == 0.0:
            break
        drawn = np.searchsorted(reached, generator.random(2 + int(np.log(k))) * reached[-1], side="right")
        tried = []
        for at in np.minimum(drawn, len(points) - 1):
            left = np.minimum(nearest, _squared(points, points[at]))
            tried.append((float(left.sum()), at, left))
        _, at, nearest = min(tried, key=lambda one: one[0])
        chosen.append(points[at])
    return np.array(chosen)


def _squared(points: FloatArray, one: FloatArray) -> FloatArray:
    """Squared distances to one of them, (n,), without a table of differences as large as the points."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(one[None], points, "sqeuclidean")[0])


def _lloyd(points: FloatArray, centres: FloatArray, still: float) -> _Clusters:
    """Rounds until no label changes or centres move by no more than `still`, squared; a centre that loses all its
    points goes to the one farthest from its own."""
    from scipy.cluster.vq import vq
    from scipy.sparse import csr_array

    (n, _), k = points.shape, len(centres)
    ones, rows = np.ones(n), np.arange(n + 1)
    before: IntArray | None = None
    for _ in range(_ROUNDS):
        labels, distance = vq(points, centres, check_finite=False)
        counts = np.bincount(labels, minlength=k)
        if (empty := np.flatnonzero(counts == 0)).size:
            labels[np.argsort(-distance, kind="stable")[: empty.size]] = empty
            counts = np.bincount(labels, minlength=k)
        if before is not None and (labels == before).all():
            break
        before = labels
        means = csr_array((ones, labels, rows), shape=(n, k)).T @ points / np.maximum(counts, 1)[:, None]
        settled = ((means - centres) ** 2).sum() <= still
        centres = means
        if settled:
            break
    labels, distance = vq(points, centres, check_finite=False)
    return _Clusters(labels.astype(np.int64), centres, float((distance**2).sum()))
