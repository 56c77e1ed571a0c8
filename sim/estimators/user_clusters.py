"""Clusters of annotators by whose reward explains their answers best (HypCluster)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, index_array, require_count, require_positive, require_shape, weight_array
from sim.compiled import clusters as clusters_kernels
from sim.compiled.structs import Answers
from sim.estimators.answer_spectrum import AnswerSpectrum, answer_spectrum
from sim.estimators.bradley_terry import unit_scale, unit_scales
from sim.estimators.shared_representation import fit_head
from sim.estimators.wide_clusters import WideClusters
from sim.estimators.wide_subspace import WideAnswers
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.restarts import first_best
from sim.running.engines import available_cores
from sim.running.threads import one_thread
from sim.streams import Stream

_MOST_ROUNDS = 100
# Features from which steps without a Hessian are faster; what a restart is compared by, nats a unit of weight.
WIDE_FROM, _LOOSE = 48, 1e-6


@dataclass(frozen=True, eq=False)
class UserClusters:
    """theta (K, k) rewards, label (N,) of each annotator, objective of every restart, best first; trace of the best."""

    theta: FloatArray
    label: IntArray
    objectives: FloatArray
    trace: FloatArray

    @property
    def objective(self) -> float:
        return float(self.objectives[0])


@dataclass(frozen=True, eq=False)
class UserClustersBatch:
    """The best restart of each replicate: theta (B, K, k), label (B, N), objective (B,), trace (B, rounds) padded with
    NaN."""

    theta: FloatArray
    label: IntArray
    objective: FloatArray
    trace: FloatArray


def _seeds(B: int, restarts: int, N: int, K: int, stream: Stream) -> IntArray:
    """K distinct annotators for each restart; (B, R, K)."""
    return np.argsort(stream.child("seeds").uniforms((B, restarts, N)), axis=-1)[..., :K].copy()


def _annotators(annotator: IntArray, n: int, n_annotators: int) -> IntArray:
    """(n,) of 0..n_annotators-1."""
    require_count("n_annotators", n_annotators)
    own = index_array("annotator", annotator, n_annotators)
    require_shape("annotator", own, (n,))
    return own


def _best(theta: FloatArray, label: IntArray, trace: FloatArray) -> tuple[IntArray, FloatArray]:
    """(best restart, last objective of each); (B,), (B, R)."""
    last = np.nanmax(trace, axis=-1)
    return first_best(last), last


def cluster_users(
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    n_clusters: int,
    stream: Stream,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
    restarts: int = 5,
    spectrum: AnswerSpectrum | None = None,
    tolerance: float = 1e-12,
) -> UserClusters:
    """max over theta_(1..K) of sum_i max_c LL_i(theta_c) - 0.5 ridge sum_c |theta_c|^2, by alternation.

    [arXiv 2405.00254, Algorithm 3, after Mansour et al. 2020]  differences: (n, k), features of the chosen minus those
    of the rejected, already in the representation the rewards are linear in.  offset, weights: (n,).  Each restart
    begins with the rewards of K random annotators; the objective never falls; the best restart is kept.

    From 48 features on rewards are moved by conjugate gradients (`sim.estimators.wide_clusters`) from `spectrum`, that
    of these answers (made if None), until g' P^-1 g is at most tolerance nats a unit of weight; below by Newton.
    """
    differences = float_array("differences", differences, ("n", "k"))
    n, k = differences.shape
    annotator = _annotators(annotator, n, n_annotators)
    require_positive(ridge=ridge)
    require_count("restarts", restarts)
    order = np.argsort(annotator, kind="stable")
    starts = np.searchsorted(annotator[order], np.arange(n_annotators + 1))
    answered = np.flatnonzero(np.diff(starts))
    if not 1 <= n_clusters <= len(answered):
        raise ValueError(f"n_clusters must lie in 1..{len(answered)}, the annotators with answers (got {n_clusters})")
    weight = weight_array("weights", weights, n)[order]
    margin = np.zeros(n) if offset is None else float_array("offset", offset, (n,))[order]
    seeds = answered[_seeds(1, restarts, len(answered), n_clusters, stream)[0]]
    if k >= WIDE_FROM:
        sorted_rows = np.ascontiguousarray(differences[order])
        wide = WideAnswers(sorted_rows, starts, weight, margin)
        if spectrum is None:
            spectrum = answer_spectrum(differences, annotator, n_annotators, weights)
        return _wide(wide, spectrum, seeds, ridge, tolerance)
    # The same rewards in the units that the tolerance of `sim.compiled.clusters` is meant in.
    scale = unit_scale(differences)
    features = np.ascontiguousarray(differences[order].T)
    features *= scale
    ridge = ridge * scale**2
    theta, label = np.zeros((restarts, n_clusters, k)), np.zeros((restarts, n_annotators), dtype=np.int64)
    trace = np.full((restarts, _MOST_ROUNDS), np.nan)
    answers = Answers(features, weight, margin)
    for r in range(restarts):
        clusters_kernels.cluster(answers, starts, float(ridge), seeds[r], theta[r], label[r], trace[r])
    best, last = _best(theta[None], label[None], trace[None])
    own = trace[best[0]]
    return UserClusters(scale * theta[best[0]], label[best[0]], np.sort(last[0])[::-1], own[np.isfinite(own)])


@one_thread()
def _wide(
    answers: WideAnswers, spectrum: AnswerSpectrum, seeds: IntArray, ridge: float, tolerance: float
) -> UserClusters:
    """Every restart loosely, restarts shared out between cores, and the best to the end."""

    loose = max(tolerance, _LOOSE)

    def alone(i: int) -> FloatArray:
        own = slice(answers.starts[i], answers.starts[i + 1])
        return fit_head(answers.rows[own], None, weights=answers.weight[own], offset=answers.offset[own], ridge=ridge)

    def of(chosen: IntArray) -> WideClusters:
        first = np.stack([alone(int(i)) for i in chosen])
        return WideClusters(answers, spectrum, ridge, first).run(loose)

    with ThreadPoolExecutor(available_cores()) as pool:
        found = list(pool.map(of, seeds))
    best = found[int(first_best(np.array([own.objective for own in found]), loose * found[0].mass))].run(tolerance)
    return UserClusters(best.theta, best.label, np.sort([own.objective for own in found])[::-1], np.array(best.trace))


def cluster_users_batch(
    differences: FloatArray, n_clusters: int, stream: Stream, *, ridge: float = 1e-3, restarts: int = 5
) -> UserClustersBatch:
    """`cluster_users` on B replicates, parallel over replicates and restarts; differences (B, N, Np, k)."""
    differences = np.require(
        float_array("differences", differences, ("B", "annotators", "answers", "k")), requirements=["C", "W"]
    )
    require_positive(ridge=ridge)
    require_count("restarts", restarts)
    B, N, _, k = differences.shape
    if not 1 <= n_clusters <= N:
        raise ValueError(f"n_clusters must lie in 1..{N}, the number of annotators (got {n_clusters})")
    seeds = _seeds(B, restarts, N, n_clusters, stream)
    theta, label = np.zeros((B, restarts, n_clusters, k)), np.zeros((B, restarts, N), dtype=np.int64)
    trace = np.full((B, restarts, _MOST_ROUNDS), np.nan)
    scales = unit_scales(differences.reshape(B, -1, k))
    for scale in np.unique(scales):
        some = scales == scale
        # As they are where all are of one size, which is that of most: nothing is copied.
        every = scale == 1.0 and some.all()
        own = [part if every else part[some] for part in (seeds, theta, label, trace)]
        rows = differences if every else scale * differences[some]
        clusters_kernels.cluster_batch(rows, float(ridge * scale**2), *own)
        if not every:
            theta[some], label[some], trace[some] = scale * own[1], own[2], own[3]
    best, last = _best(theta, label, trace)
    row = np.arange(B)
    return UserClustersBatch(theta[row, best], label[row, best], last[row, best], trace[row, best])


def assign_users(
    theta: FloatArray,
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
) -> IntArray:
    """f(i) = argmax_c LL_i(theta_c), also for annotators nobody trained on; (n_annotators,).

    The paper defines f on the training annotators only; the same rule is used for others. Without answers: cluster 0.
    """
    theta = float_array("theta", theta, ("K", "k"))
    differences = float_array("differences", differences, ("n", theta.shape[1]))
    n = len(differences)
    annotator = _annotators(annotator, n, n_annotators)
    margin = differences @ theta.T + (0.0 if offset is None else float_array("offset", offset, (n,))[:, None])
    scores = log_sigmoid(margin) * (1.0 if weights is None else weight_array("weights", weights, n)[:, None])
    totals = np.stack([np.bincount(annotator, weights=column, minlength=n_annotators) for column in scores.T], axis=1)
    return np.asarray(totals.argmax(axis=1), dtype=np.int64)
