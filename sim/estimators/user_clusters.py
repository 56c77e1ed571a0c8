"""Clusters of users by whose reward explains their answers best (HypCluster)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, index_array, require_count, require_positive, require_shape, weight_array
from sim.compiled import clusters as clusters_kernels
from sim.compiled.structs import Answers
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

_MOST_ROUNDS = 100


@dataclass(frozen=True, eq=False)
class UserClusters:
    """theta (K, k) rewards, label (N,) of each user, objective of every restart, best first; trace of the best."""

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
    """K distinct users for each restart; (B, R, K)."""
    return np.argsort(stream.child("seeds").uniforms((B, restarts, N)), axis=-1)[..., :K].copy()


def _users(user: IntArray, n: int, n_users: int) -> IntArray:
    """(n,) of 0..n_users-1."""
    require_count("n_users", n_users)
    own = index_array("user", user, n_users)
    require_shape("user", own, (n,))
    return own


def _best(theta: FloatArray, label: IntArray, trace: FloatArray) -> tuple[IntArray, FloatArray]:
    """(best restart, last objective of each); (B,), (B, R)."""
    last = np.nanmax(trace, axis=-1)
    return last.argmax(axis=-1), last


def cluster_users(
    differences: FloatArray,
    user: IntArray,
    n_users: int,
    n_clusters: int,
    stream: Stream,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
    restarts: int = 5,
) -> UserClusters:
    """max over theta_(1..K) of sum_i max_c LL_i(theta_c) - 0.5 ridge sum_c |theta_c|^2, by alternation.

    [arXiv 2405.00254, Algorithm 3, after Mansour et al. 2020]  differences: (n, k), features of the chosen minus those
    of the rejected, already in the representation the rewards are linear in.  offset, weights: (n,).  Each restart
    begins with the rewards of K random users; the objective never falls; the best restart is kept.
    """
    differences = float_array("differences", differences, ("n", "k"))
    n, k = differences.shape
    user = _users(user, n, n_users)
    require_positive(ridge=ridge)
    require_count("restarts", restarts)
    order = np.argsort(user, kind="stable")
    starts = np.searchsorted(user[order], np.arange(n_users + 1))
    features = np.ascontiguousarray(differences[order].T)
    answered = np.flatnonzero(np.diff(starts))
    if not 1 <= n_clusters <= len(answered):
        raise ValueError(f"n_clusters must lie in 1..{len(answered)}, the users with answers (got {n_clusters})")
    weight = weight_array("weights", weights, n)[order]
    margin = np.zeros(n) if offset is None else float_array("offset", offset, (n,))[order]
    seeds = answered[_seeds(1, restarts, len(answered), n_clusters, stream)[0]]
    theta, label = np.zeros((restarts, n_clusters, k)), np.zeros((restarts, n_users), dtype=np.int64)
    trace = np.full((restarts, _MOST_ROUNDS), np.nan)
    answers = Answers(features, weight, margin)
    for r in range(restarts):
        clusters_kernels.cluster(answers, starts, float(ridge), seeds[r], theta[r], label[r], trace[r])
    best, last = _best(theta[None], label[None], trace[None])
    own = trace[best[0]]
    return UserClusters(theta[best[0]], label[best[0]], np.sort(last[0])[::-1], own[np.isfinite(own)])


def cluster_users_batch(
    differences: FloatArray, n_clusters: int, stream: Stream, *, ridge: float = 1e-3, restarts: int = 5
) -> UserClustersBatch:
    """`cluster_users` on B replicates, parallel over replicates and restarts; differences (B, N, Np, k)."""
    differences = np.require(
        float_array("differences", differences, ("B", "users", "answers", "k")), requirements=["C", "W"]
    )
    require_positive(ridge=ridge)
    require_count("restarts", restarts)
    B, N, _, k = differences.shape
    if not 1 <= n_clusters <= N:
        raise ValueError(f"n_clusters must lie in 1..{N}, the number of users (got {n_clusters})")
    seeds = _seeds(B, restarts, N, n_clusters, stream)
    theta, label = np.zeros((B, restarts, n_clusters, k)), np.zeros((B, restarts, N), dtype=np.int64)
    trace = np.full((B, restarts, _MOST_ROUNDS), np.nan)
    clusters_kernels.cluster_batch(differences, float(ridge), seeds, theta, label, trace)
    best, last = _best(theta, label, trace)
    row = np.arange(B)
    return UserClustersBatch(theta[row, best], label[row, best], last[row, best], trace[row, best])


def assign_users(
    theta: FloatArray,
    differences: FloatArray,
    user: IntArray,
    n_users: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
) -> IntArray:
    """f(i) = argmax_c LL_i(theta_c), also for users nobody trained on; (n_users,).

    The paper defines f on the training users only; the same rule is used for others. Without answers: cluster 0.
    """
    theta = float_array("theta", theta, ("K", "k"))
    differences = float_array("differences", differences, ("n", theta.shape[1]))
    n = len(differences)
    user = _users(user, n, n_users)
    margin = differences @ theta.T + (0.0 if offset is None else float_array("offset", offset, (n,))[:, None])
    scores = log_sigmoid(margin) * (1.0 if weights is None else weight_array("weights", weights, n)[:, None])
    totals = np.stack([np.bincount(user, weights=column, minlength=n_users) for column in scores.T], axis=1)
    return np.asarray(totals.argmax(axis=1), dtype=np.int64)
